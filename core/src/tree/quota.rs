//! How much lies below a path that has a quota. Clients set quotas by creating nodes below
//! `/zookeeper/quota`; the server keeps the usage in the data of their stats nodes, in place: no
//! version, no watch, no digest, and each server for itself. What a node uses counts for the deepest
//! quota above it. Whether a write would use too much is judged at the leader, in
//! [`crate::ops`].
//!
//! As upstream's, usage is counted anew from the znodes when a stats node is created and when a
//! snapshot was loaded, and that counts what is below a deeper quota too.

use alloc::format;
use alloc::string::String;

use bytes::Bytes;

use super::slab::NodeId;
pub(crate) use super::stats_track::StatsTrack;
use super::{Tree, Walk, path};

pub(crate) const QUOTA: &str = "/zookeeper/quota";
const LIMITS: &str = "/zookeeper_limits";
const STATS: &str = "/zookeeper_stats";

/// What lies, or is to lie, below a path that has a quota, or the difference of two of these.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Usage {
    /// Znodes, the one at the path itself among them.
    pub(crate) count: i64,
    /// Of their data.
    pub(crate) bytes: i64,
}

/// Where the limits of the quota on `limited` stand.
pub(crate) fn limits_path(limited: &str) -> String {
    format!("{QUOTA}{limited}{LIMITS}")
}
/// Where its usage stands.
pub(crate) fn stats_path(limited: &str) -> String {
    format!("{QUOTA}{limited}{STATS}")
}
/// The path whose limits stand at `path`, if they do.
pub(crate) fn limited_by_limits(path: &str) -> Option<&str> {
    limited_by(path, LIMITS)
}
/// The path whose usage stands at `path`, if it does.
pub(crate) fn limited_by_stats(path: &str) -> Option<&str> {
    limited_by(path, STATS)
}

impl Tree {
    /// The deepest path at or above `path` that has a quota. The root has none.
    // ZK: DataTree.getMaxPrefixWithQuota (3.9)
    pub fn quota_above<'a>(&self, path: &'a str) -> Option<&'a str> {
        let mut above = (self.quotas.len() > 0).then_some(path);
        while let Some(at) = above {
            if self.quotas.get(at).is_some() {
                return Some(at);
            }
            above = path::split(at).map(|(parent, _)| parent);
        }
        None
    }

    /// A znode came to be. Is it one that a quota is made of?
    // ZK: DataTree.createNode (3.9)
    pub(super) fn quota_made(&mut self, path: &str) {
        if let Some(limited) = limited_by(path, LIMITS) {
            self.quotas.insert(limited.into(), ());
        }
        if let Some(limited) = limited_by(path, STATS) {
            self.recount(limited);
        }
    }

    // ZK: DataTree.deleteNode (3.9)
    pub(super) fn quota_unmade(&mut self, path: &str) {
        if let Some(limited) = limited_by(path, LIMITS) {
            self.quotas.remove(limited);
        }
    }

    /// Something at `path` changed by so much.
    // ZK: DataTree.updateQuotaStat (3.9)
    pub(super) fn quota_used(&mut self, path: &str, difference: Usage) {
        let Some(limited) = self.quota_above(path) else { return };
        let Some(stats) = self.stats_of(limited) else { return };
        let data = self.node(stats).and_then(|node| node.data.as_ref());
        let track = match StatsTrack::of(data) {
            Some(mut track) => {
                track.add(difference);
                track
            }
            // Departs: upstream stops at what it cannot read, when it applies and at every start after
            // that. A client may write anything there.
            None => StatsTrack::new(self.used_below(limited)),
        };
        self.set_stats(stats, &track);
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
        if let Some(stats) = self.stats_of(limited) {
            self.set_stats(stats, &StatsTrack::new(self.used_below(limited)));
        }
    }

    // ZK: DataTree.getCounts (3.9)
    pub(crate) fn used_below(&self, limited: &str) -> Usage {
        let mut usage = Usage::default();
        if let Some(id) = self.find(limited) {
            let mut walk = Walk::from(id, limited);
            while let Some((_, node)) = walk.next(self) {
                usage.count += 1;
                usage.bytes += node.data.map_or(0, Bytes::len) as i64;
            }
        }
        usage
    }

    /// Name by name: this is done for every write below a quota, and needs no path.
    fn stats_of(&self, limited: &str) -> Option<NodeId> {
        let limited = limited.strip_prefix('/')?.split('/');
        let names = ["zookeeper", "quota"].into_iter().chain(limited).chain([path::name(STATS)]);
        names.into_iter().try_fold(self.root, |id, name| self.child(id, name))
    }

    /// Stats nodes have no part in the digest.
    fn set_stats(&mut self, stats: NodeId, track: &StatsTrack) {
        let Some(node) = self.nodes.get_mut(stats) else { return };
        let old = node.data_len() as u64;
        node.data = Some(track.text().into());
        self.data_size = self.data_size - old + node.data_len() as u64;
    }
}

/// The path that a node of this kind is about. `None` for one directly below `/zookeeper/quota`.
// Departs: upstream takes that for a quota on the empty path, and cannot apply it, nor ever start
// again on such a log; it also looks for one when any `zookeeper_limits` below `/zookeeper` is deleted.
fn limited_by<'a>(path: &'a str, kind: &str) -> Option<&'a str> {
    path.strip_prefix(QUOTA)?.strip_suffix(kind).filter(|limited| limited.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_limited() {
        assert_eq!(limited_by("/zookeeper/quota/a/b/zookeeper_limits", LIMITS), Some("/a/b"));
        assert_eq!(limited_by("/zookeeper/quota/zookeeper_limits", LIMITS), None);
        assert_eq!(limited_by("/zookeeper/quotas/a/zookeeper_limits", LIMITS), None);
        assert_eq!(limited_by("/zookeeper/quota/a/zookeeper_stats", LIMITS), None);
    }
}
