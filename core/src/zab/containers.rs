//! When an established leader looks for containers that ran empty and TTL nodes whose time is up, and
//! how fast it removes them. Which may go is [`ops::may_go`]; the removal is an ordinary transaction
//! of [`super::broadcast`], judged anew at its place in the order.
// ZK: ContainerManager (3.9)

use alloc::string::String;

use crate::config::Config;
use crate::ops;
use crate::time::{Duration, Instant, Now};
use crate::tree::Tree;

/// A walk over all containers and TTL nodes in the order of their paths, round after round.
#[derive(Clone, Debug)]
pub(crate) struct Containers {
    /// When to take the next step, in this round or as the first of the next.
    next: Instant,
    /// When the next round is due.
    next_round: Instant,
    /// The path removed last in this round; the walk goes on behind it.
    behind: Option<String>,
}

impl Containers {
    /// The first round comes after one interval.
    pub(crate) fn enter(config: &Config, now: Now) -> Self {
        let first = now.mono + interval(config);
        Self { next: first, next_round: first, behind: None }
    }

    pub(crate) fn deadline(&self) -> Instant {
        self.next
    }

    /// A path to remove now; `None` until [`Self::deadline`].
    pub(crate) fn next(&mut self, tree: &Tree, config: &Config, now: Now) -> Option<String> {
        if now.mono < self.next {
            return None;
        }
        let mut behind = self.behind.as_deref();
        while let Some(path) = tree.container_or_ttl_after(behind) {
            if tree.get(path).is_some_and(|node| ops::may_go(&node, now.wall, config)) {
                let path = String::from(path);
                self.behind = Some(path.clone());
                self.next = now.mono + pause(config);
                return Some(path);
            }
            behind = Some(path);
        }
        self.behind = None;
        // A round that took longer than the interval is followed by the next at once, but rounds
        // that were missed are not made up for.
        let due = self.next_round + interval(config);
        self.next_round = if due < now.mono { now.mono + interval(config) } else { due };
        self.next = self.next_round;
        None
    }
}

/// Upstream has no timer without a period.
fn interval(config: &Config) -> Duration {
    config.containers.check_interval.max(Duration::from_millis(1))
}

fn pause(config: &Config) -> Duration {
    Duration::from_secs(60) / config.containers.per_minute_max.max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Ensemble;
    use crate::ids::{ServerId, SessionId, Xid, Zxid};
    use crate::time::WallTime;
    use crate::tree::Database;
    use crate::txn::{CreateContainerTxn, CreateTtlTxn, Txn, TxnBody, TxnHeader};

    /// All of it happens at time 0.
    struct Bench {
        config: Config,
        database: Database,
        containers: Containers,
    }

    impl Bench {
        fn new() -> Self {
            let mut config = Config::new(ServerId(1), Ensemble::default());
            config.containers.per_minute_max = 600;
            let containers = Containers::enter(&config, Now::default());
            Self { config, database: Database::new(), containers }
        }
        fn apply(&mut self, body: TxnBody) {
            let zxid = Zxid(self.database.last_processed.0 + 1);
            let (session, time) = (SessionId(0), WallTime(0));
            let header = TxnHeader { session, cxid: Xid(0), zxid, time };
            let applied = self.database.apply(&Txn { header, body, digest: None });
            assert_eq!(applied.results, [Ok(())]);
        }
        fn container(&mut self, path: &str) {
            let (path, data, acl) = (path.into(), None, [].into());
            self.apply(TxnBody::CreateContainer(CreateContainerTxn {
                path,
                data,
                acl,
                parent_cversion: 1,
            }));
        }
        fn used_container(&mut self, path: &str) {
            self.container(path);
            let child = alloc::format!("{path}/child");
            self.container(&child);
            self.apply(TxnBody::Delete { path: child });
        }
        fn ttl(&mut self, path: &str, ttl_ms: i64) {
            let (path, data, acl) = (path.into(), None, [].into());
            self.apply(TxnBody::CreateTtl(CreateTtlTxn {
                path,
                data,
                acl,
                parent_cversion: 1,
                ttl_ms,
            }));
        }
        fn at(&mut self, ms: u64) -> Option<String> {
            let now = Now { mono: Instant::from_millis(ms), wall: WallTime(ms as i64) };
            self.containers.next(&self.database.tree, &self.config, now)
        }
        fn deadline_ms(&self) -> u64 {
            self.containers.deadline().as_millis()
        }
    }

    #[test]
    fn rounds_come_at_their_interval_and_removals_at_their_pace() {
        let mut bench = Bench::new();
        for path in ["/a", "/b", "/d"] {
            bench.used_container(path);
        }
        bench.container("/c");
        assert_eq!((bench.deadline_ms(), bench.at(59_999)), (60_000, None));
        // Whether it was removed or not, the walk goes on.
        for (at, path) in [(60_000, "/a"), (60_100, "/b"), (60_200, "/d")] {
            assert_eq!(bench.deadline_ms(), at);
            assert_eq!(bench.at(at - 1), None);
            assert_eq!(bench.at(at).as_deref(), Some(path));
        }
        assert_eq!((bench.at(60_300), bench.deadline_ms()), (None, 120_000));
        assert_eq!(bench.at(120_000).as_deref(), Some("/a"));
        bench.apply(TxnBody::DeleteContainer { path: "/a".into() });
        // After a long sleep the round ends, and the next one is not made up for.
        assert_eq!(bench.at(400_000).as_deref(), Some("/b"));
        assert_eq!(bench.at(400_100).as_deref(), Some("/d"));
        assert_eq!((bench.at(400_200), bench.deadline_ms()), (None, 460_200));
    }

    #[test]
    fn who_may_go_and_when() {
        let mut bench = Bench::new();
        bench.config.containers.never_used_max = Duration::from_millis(500_000);
        bench.container("/unused");
        bench.used_container("/used");
        bench.container("/parent");
        bench.container("/parent/unused");
        bench.ttl("/ttl", 70_000);
        bench.ttl("/ttl/child", 200_000);
        let node_may_go = |bench: &Bench, path: &str, ms: i64| {
            let node = bench.database.tree.get(path).unwrap();
            ops::may_go(&node, WallTime(ms), &bench.config)
        };
        for (path, first) in [
            ("/unused", Some(500_001)),
            ("/used", Some(0)),
            ("/parent", None),
            ("/parent/unused", Some(500_001)),
            ("/ttl", None),
            ("/ttl/child", Some(200_001)),
            ("/zookeeper", None),
        ] {
            let never = first.is_none();
            let first = first.unwrap_or(i64::MAX);
            assert_eq!(node_may_go(&bench, path, first), !never, "{path}");
            assert!(first == 0 || !node_may_go(&bench, path, first - 1), "{path}");
        }
        // Children come and go without making it younger; data does.
        bench.apply(TxnBody::Delete { path: "/ttl/child".into() });
        assert!(node_may_go(&bench, "/ttl", 70_001));
        bench.config.containers.never_used_max = Duration::ZERO;
        assert!(!node_may_go(&bench, "/unused", i64::MAX));
        // A clock that went back makes nothing old.
        assert!(!node_may_go(&bench, "/ttl", i64::MIN));
    }
}
