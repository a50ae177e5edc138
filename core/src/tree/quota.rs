//! How much lies below a path that has a quota. Clients set quotas by creating nodes below
//! `/zookeeper/quota`; the server keeps the usage in the data of their stats nodes, in place: no
//! version, no watch, no digest, and each server for itself. Limits are not enforced here; upstream
//! does so at the leader, and only when told to.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use core::fmt::Write;

use bytes::Bytes;

use super::{Tree, Walk, path};

const QUOTA: &str = "/zookeeper/quota";
const LIMITS: &str = "/zookeeper_limits";
const STATS: &str = "/zookeeper_stats";

impl Tree {
    /// A znode with so many bytes of data came to be.
    // ZK: DataTree.createNode (3.9)
    pub(super) fn quota_created(&mut self, path: &str, bytes: usize) {
        if let Some(limited) = limited_by(path, LIMITS) {
            self.quotas.insert(limited.into(), ());
        }
        if let Some(limited) = limited_by(path, STATS) {
            self.recount(limited);
        }
        self.quota_used(path, 1, bytes as i64);
    }

    // ZK: DataTree.deleteNode (3.9)
    pub(super) fn quota_deleted(&mut self, path: &str, bytes: usize) {
        if let Some(limited) = limited_by(path, LIMITS) {
            self.quotas.remove(limited);
        }
        self.quota_used(path, -1, -(bytes as i64));
    }

    /// Counts for the deepest quota at or above `path`. The root has none.
    // ZK: DataTree.getMaxPrefixWithQuota, DataTree.updateQuotaStat (3.9)
    pub(super) fn quota_used(&mut self, path: &str, count: i64, bytes: i64) {
        if self.quotas.len() == 0 {
            return;
        }
        let mut above = Some(path);
        while let Some(at) = above {
            if self.quotas.get(at).is_some() {
                let mut usage = self.usage(at);
                usage.add("count", count);
                usage.add("bytes", bytes);
                self.set_usage(at, &usage);
                return;
            }
            above = path::split(at).map(|(parent, _)| parent);
        }
    }

    /// From nothing but the znodes, after a snapshot was loaded.
    // ZK: DataTree.setupQuota (3.9)
    pub(super) fn recount_quotas(&mut self) {
        self.quotas = super::Names::default();
        for node in self.paths_below(QUOTA) {
            if let Some(limited) = limited_by(&node, LIMITS) {
                self.quotas.insert(limited.into(), ());
                self.recount(limited);
            }
        }
    }

    // ZK: DataTree.updateQuotaForPath (3.9)
    fn recount(&mut self, limited: &str) {
        let (mut count, mut bytes) = (0, 0);
        if let Some(id) = self.find(limited) {
            let mut walk = Walk::from(id, limited);
            while let Some((_, node)) = walk.next(self) {
                count += 1;
                bytes += node.data.map_or(0, Bytes::len) as i64;
            }
        }
        self.set_usage(limited, &Usage([("count".into(), count), ("bytes".into(), bytes)].into()));
    }

    fn usage(&self, limited: &str) -> Usage {
        let stats = self.get(&format!("{QUOTA}{limited}{STATS}"));
        Usage::parse(stats.and_then(|node| node.data).map_or(b"", |data| data))
    }

    fn set_usage(&mut self, limited: &str, usage: &Usage) {
        let stats = format!("{QUOTA}{limited}{STATS}");
        if let Some(id) = self.find(&stats) {
            self.set_data(id, &stats, Some(usage.text().into()));
        }
    }
}

/// The path that a node of this kind is about. `None` for one directly below `/zookeeper/quota`.
// Departs: upstream takes that for a quota on the empty path, and cannot apply it, nor ever start
// again on such a log.
fn limited_by<'a>(path: &'a str, kind: &str) -> Option<&'a str> {
    path.strip_prefix(QUOTA)?.strip_suffix(kind).filter(|limited| limited.starts_with('/'))
}

/// The text of a stats node (upstream: `StatsTrack`): numbers by key.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Usage(BTreeMap<String, i64>);

impl Usage {
    // Departs: upstream stops at what is not `key=number`, when it applies and at every start after
    // that. A client may write anything there: such pairs are left out.
    fn parse(text: &[u8]) -> Self {
        let text = String::from_utf8_lossy(text);
        let pair = |pair: &str| {
            let (key, value) = pair.split_once('=').filter(|(key, _)| !key.is_empty())?;
            // The odd `=` behind `bytes` stops the parser of 3.4.
            let value = value.trim_end_matches('=');
            Some((key.into(), if value.is_empty() { -1 } else { value.parse().ok()? }))
        };
        Self(text.split([',', ';']).filter_map(pair).collect())
    }

    fn add(&mut self, key: &str, difference: i64) {
        let value = self.0.entry(key.into()).or_insert(-1);
        *value = value.saturating_add(difference);
    }

    // ZK: StatsTrack.toString (3.9)
    fn text(&self) -> String {
        let value = |key| self.0.get(key).copied().unwrap_or(-1);
        let mut text = format!("count={},bytes={}", value("count"), value("bytes"));
        let mut odd = "=";
        for (key, value) in self.0.iter().filter(|(key, _)| *key != "count" && *key != "bytes") {
            let _ = write!(text, "{odd};{key}={value}");
            odd = "";
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usage_as_upstream_writes_it() {
        for (text, expected) in [
            ("count=3,bytes=8", "count=3,bytes=8"),
            ("bytes=8,count=3", "count=3,bytes=8"),
            (
                "count=1,bytes=2=;countHardLimit=4;byteHardLimit=3",
                "count=1,bytes=2=;byteHardLimit=3;countHardLimit=4",
            ),
            ("", "count=-1,bytes=-1"),
            ("count=,bytes=5", "count=-1,bytes=5"),
            ("count=x,bytes,=,,;;count=99999999999999999999", "count=-1,bytes=-1"),
            ("\u{FFFD}=1=2", "count=-1,bytes=-1"),
        ] {
            assert_eq!(Usage::parse(text.as_bytes()).text(), expected, "{text}");
        }
    }

    #[test]
    fn what_is_limited() {
        assert_eq!(limited_by("/zookeeper/quota/a/b/zookeeper_limits", LIMITS), Some("/a/b"));
        assert_eq!(limited_by("/zookeeper/quota/zookeeper_limits", LIMITS), None);
        assert_eq!(limited_by("/zookeeper/quotas/a/zookeeper_limits", LIMITS), None);
        assert_eq!(limited_by("/zookeeper/quota/a/zookeeper_stats", LIMITS), None);
    }
}
