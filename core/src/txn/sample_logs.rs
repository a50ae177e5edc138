//! Logs that upstream wrote, see testdata/txn/README.md.

use alloc::vec::Vec;

use bytes::Bytes;

pub(crate) const STANDALONE_FULL: &[u8] = include_bytes!("../../testdata/txn/standalone-full.log");
pub(crate) const STANDALONE_NODIGEST: &[u8] =
    include_bytes!("../../testdata/txn/standalone-nodigest.log");
pub(crate) const STANDALONE_SNAPS: &[u8] =
    include_bytes!("../../testdata/txn/standalone-snaps.log");
pub(crate) const ENSEMBLE: &[u8] = include_bytes!("../../testdata/txn/ensemble-s1.log");
pub(crate) const AFTER_TRUNC: &[u8] = include_bytes!("../../testdata/txn/quorum-after-trunc.log");

pub(crate) const ALL: [&[u8]; 5] =
    [STANDALONE_FULL, STANDALONE_NODIGEST, STANDALONE_SNAPS, ENSEMBLE, AFTER_TRUNC];

/// The payloads of a log's records.
pub(crate) fn payloads(log: &'static [u8]) -> Vec<Bytes> {
    let mut rest = &log[16..];
    let mut payloads = Vec::new();
    while let Some((head, tail)) = rest.split_at_checked(12) {
        let length = u32::from_be_bytes(head[8..].try_into().unwrap()) as usize;
        payloads.push(Bytes::from_static(&tail[..length]));
        assert_eq!(tail[length], b'B');
        rest = &tail[length + 1..];
    }
    assert!(rest.is_empty());
    payloads
}
