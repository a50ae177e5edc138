//! The tree's digest (upstream: `DigestCalculator`, version 2): the sum of its nodes' digests, so
//! that a change costs as much as the nodes that it touches. Keeping the sum is the tree's affair.

use crate::proto::StatPersisted;

/// The version that [`node_digest`] computes; digests of other versions say nothing to us.
pub const VERSION: i32 = 2;

/// A node's part of the tree's digest: 0 below `/zookeeper/`, where servers keep things that are
/// not replicated.
// ZK: DigestCalculator.calculateDigest (3.9)
pub fn node_digest(path: &str, data: Option<&[u8]>, stat: &StatPersisted) -> u64 {
    content(path, data).map_or(0, |content| with_stat(content, stat))
}

/// The checksum of what seldom changes, path and data; `None` for a node that does not count.
pub(crate) fn content(path: &str, data: Option<&[u8]>) -> Option<u32> {
    if path.starts_with("/zookeeper/") {
        return None;
    }
    let mut crc = crc32fast::Hasher::new();
    // The root's path counts as empty.
    if path != "/" {
        crc.update(path.as_bytes());
    }
    crc.update(data.unwrap_or_default());
    Some(crc.finalize())
}

/// Continues [`content`] with the stat, in an order of its own.
pub(crate) fn with_stat(content: u32, stat: &StatPersisted) -> u64 {
    let mut bytes = [0; 60];
    let longs = [stat.czxid.to_wire(), stat.mzxid.to_wire(), stat.pzxid.to_wire(), stat.ctime];
    for (place, long) in bytes.chunks_exact_mut(8).zip(longs.into_iter().chain([stat.mtime])) {
        place.copy_from_slice(&long.to_be_bytes());
    }
    let ints = [stat.version, stat.cversion, stat.aversion];
    for (place, int) in bytes[40..].chunks_exact_mut(4).zip(ints) {
        place.copy_from_slice(&int.to_be_bytes());
    }
    bytes[52..].copy_from_slice(&stat.ephemeral_owner.to_be_bytes());
    let mut crc = crc32fast::Hasher::new_with_initial(content);
    crc.update(&bytes);
    u64::from(crc.finalize())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_tree_as_upstream() {
        let stat = StatPersisted::default();
        assert_eq!(node_digest("", Some(b""), &stat), 68_323_592);
        assert_eq!(node_digest("/", None, &stat), 68_323_592);
        assert_eq!(node_digest("/zookeeper", Some(b""), &stat), 1_303_661_912);
        assert_eq!(node_digest("/zookeeper/config", Some(b"x"), &stat), 0);
        assert_ne!(node_digest("/zookeeper2", Some(b"x"), &stat), 0);
    }
}
