//! Says when more lies below a path than the soft limit of its quota: that limit refuses nothing, so it
//! is good for this only. What lies there is counted in [`crate::tree`]; hard limits are judged in
//! [`crate::ops`].
//!
// ZK: ZooKeeperServer.checkQuota (3.9)
// Departs: upstream looks at soft limits only where `enforceQuota` is set.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

use crate::server::{Note, QuotaOf};
use crate::time::{Duration, Instant};
use crate::tree::quota::{self, StatsTrack};
use crate::tree::{Change, Tree};

/// How often the same is said again while it goes on.
const AGAIN: Duration = Duration::from_secs(60);

/// When each alarm that goes on was given last.
#[derive(Clone, Debug, Default)]
pub(crate) struct QuotaAlarm(BTreeMap<(String, QuotaOf), Instant>);

impl QuotaAlarm {
    /// What is to be said about these changes, which the tree has.
    pub(crate) fn look(&mut self, changes: &[Change], tree: &Tree, now: Instant) -> Vec<Note> {
        let mut notes = Vec::new();
        for change in changes {
            let (Change::Created { path, .. }
            | Change::Deleted { path, .. }
            | Change::DataChanged { path, .. }) = change;
            let Some(limited) = tree.quota_above(path) else { continue };
            for (of, current, limit) in usage(tree, limited) {
                let key = (String::from(limited), of);
                if limit < 0 || current <= limit {
                    self.0.remove(&key);
                } else if self.0.get(&key).is_none_or(|last| now.since(*last) >= AGAIN) {
                    self.0.insert(key, now);
                    let path = limited.into();
                    notes.push(Note::QuotaExceeded { path, of, current, limit });
                }
            }
        }
        notes
    }
}

/// What there is and the soft limit, -1 for none: a hard one stands in its place.
fn usage(tree: &Tree, limited: &str) -> [(QuotaOf, i64, i64); 2] {
    let track = |path: String| tree.get(&path).and_then(|node| StatsTrack::of(node.data));
    let none = [(QuotaOf::Znodes, 0, -1), (QuotaOf::Bytes, 0, -1)];
    let Some(limits) = track(quota::limits_path(limited)) else { return none };
    let Some(stats) = track(quota::stats_path(limited)) else { return none };
    let soft = |soft: i64, hard: Option<i64>| if hard.is_some() { -1 } else { soft };
    [
        (QuotaOf::Znodes, stats.count, soft(limits.count, limits.count_hard_limit())),
        (QuotaOf::Bytes, stats.bytes, soft(limits.bytes, limits.byte_hard_limit())),
    ]
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::ids::{SessionId, Xid, Zxid};
    use crate::proto::Acl;
    use crate::time::WallTime;
    use crate::tree::Database;
    use crate::txn::{CreateTxn, Txn, TxnBody, TxnHeader};

    struct Bench {
        database: Database,
        alarm: QuotaAlarm,
    }

    impl Bench {
        fn apply(&mut self, body: TxnBody, second: u64) -> Vec<Note> {
            let zxid = Zxid(self.database.last_processed.0 + 1);
            let header = TxnHeader { session: SessionId(0), cxid: Xid(0), zxid, time: WallTime(0) };
            let applied = self.database.apply(&Txn { header, body, digest: None });
            assert_eq!(applied.results, [Ok(())]);
            let now = Instant::from_millis(second * 1000);
            self.alarm.look(&applied.changes, &self.database.tree, now)
        }
        fn create(&mut self, path: &str, data: &'static str, second: u64) -> Vec<Note> {
            let create = CreateTxn {
                path: path.into(),
                data: Some(Bytes::from_static(data.as_bytes())),
                acl: Acl::open(),
                ephemeral: false,
                parent_cversion: -1,
            };
            self.apply(TxnBody::Create(create), second)
        }
        fn set_data(&mut self, path: &str, data: &'static str, second: u64) -> Vec<Note> {
            let data = Some(Bytes::from_static(data.as_bytes()));
            self.apply(TxnBody::SetData { path: path.into(), data, version: 1 }, second)
        }
        fn delete(&mut self, path: &str, second: u64) -> Vec<Note> {
            self.apply(TxnBody::Delete { path: path.into() }, second)
        }
    }

    fn bench(limits: &'static str) -> Bench {
        let mut bench = Bench { database: Database::new(), alarm: QuotaAlarm::default() };
        bench.create("/a", "", 0);
        bench.create("/zookeeper/quota/a", "", 0);
        bench.create("/zookeeper/quota/a/zookeeper_limits", limits, 0);
        bench.create("/zookeeper/quota/a/zookeeper_stats", "", 0);
        bench
    }

    fn alarm(of: QuotaOf, current: i64, limit: i64) -> Note {
        Note::QuotaExceeded { path: "/a".into(), of, current, limit }
    }

    #[test]
    fn said_when_it_begins_and_once_a_minute_while_it_goes_on() {
        let mut bench = bench("count=2,bytes=3");
        assert_eq!(bench.create("/a/b", "xyz", 1), []);
        assert_eq!(bench.create("/a/c", "", 2), [alarm(QuotaOf::Znodes, 3, 2)]);
        assert_eq!(bench.create("/a/d", "", 61), []);
        assert_eq!(bench.create("/a/e", "", 62), [alarm(QuotaOf::Znodes, 5, 2)]);
        assert_eq!(bench.set_data("/a/b", "four", 63), [alarm(QuotaOf::Bytes, 4, 3)]);
        assert_eq!(bench.set_data("/a/b", "xyz", 64), []);
        // It was over in between.
        assert_eq!(bench.set_data("/a/b", "four", 65), [alarm(QuotaOf::Bytes, 4, 3)]);
        for path in ["/a/c", "/a/d", "/a/e"] {
            assert_eq!(bench.delete(path, 66), []);
        }
        assert_eq!(bench.create("/a/c", "", 67), [alarm(QuotaOf::Znodes, 3, 2)]);
        assert_eq!(bench.create("/b", "elsewhere", 200), []);
    }

    #[test]
    fn where_a_hard_limit_stands_the_soft_one_says_nothing() {
        let mut bench = bench("count=1,bytes=0=;countHardLimit=9");
        assert_eq!(bench.create("/a/b", "x", 1), [alarm(QuotaOf::Bytes, 1, 0)]);
        let limits = "/zookeeper/quota/a/zookeeper_limits";
        bench.set_data(limits, "garbage", 2);
        assert_eq!(bench.create("/a/c", "x", 100), []);
        bench.set_data(limits, "count=-1,bytes=-1", 101);
        assert_eq!(bench.create("/a/d", "x", 200), []);
    }
}
