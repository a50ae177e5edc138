//! Any bytes whatever in any file: an answer, and no panic.

use std::sync::Arc;

use proptest::prelude::*;
use zebu_core::storage::{Dir, Storage, StreamDecoder, StreamEncoder, purge_plan};

use crate::model_disk::{ModelDisk, changes};
use crate::samples::{self, config};

/// Some bytes, most of them small numbers, as lengths and types are.
fn rubbish() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![3 => 0..4_u8, 1 => any::<u8>(), 1 => Just(0xff), 1 => Just(b'B')];
    prop::collection::vec(byte, 0..300)
}

fn open(disk: &ModelDisk) {
    if let Ok((_, recovered, repairs)) = Storage::open(config(), disk) {
        let mut disk = disk.clone();
        disk.perform_all(&repairs);
        let (_, again, nothing) = Storage::open(config(), &disk).unwrap();
        assert_eq!(changes(nothing), []);
        assert_eq!(again.database.last_processed, recovered.database.last_processed);
    }
    let _ = purge_plan(disk, 3, &config());
}

const SNAPSHOTS: [(&str, &[u8]); 3] = [
    ("snapshot.1", b"ZKSN\0\0\0\x02\xff\xff\xff\xff\xff\xff\xff\xff"),
    ("snapshot.1.gz", &[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0]),
    ("snapshot.1.snappy", b"\x82SNAPPY\0\0\0\0\x01\0\0\0\x01"),
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn logs(
        (with_header, bytes) in (any::<bool>(), rubbish()),
        (at, edit) in (0..5300_usize, rubbish()),
    ) {
        let mut disk = samples::disk("standalone-full");
        disk.content(Dir::Log, "log.1").truncate(6000);
        let mut edited = disk.clone();
        let content = edited.content(Dir::Log, "log.1");
        let end = (at + edit.len()).min(content.len());
        content[at..end].copy_from_slice(&edit[..end - at]);
        open(&edited);
        let header: &[u8] = if with_header { b"ZKLG\0\0\0\x02\0\0\0\0\0\0\0\0" } else { b"" };
        disk.put(Dir::Log, "log.31", [header, &bytes].concat());
        open(&disk);
    }

    #[test]
    fn snapshots(bytes in rubbish(), with_header in any::<bool>(), which in 0..3_usize) {
        let (name, header) = SNAPSHOTS[which];
        let mut disk = ModelDisk::default();
        let header = if with_header { header } else { &[] };
        disk.put(Dir::Data, name, [header, &bytes].concat());
        open(&disk);
    }

    #[test]
    fn damaged_snapshots(
        sample in prop_oneof![
            Just(("standalone-snaps", "snapshot.f1")),
            Just(("standalone-gzip", "snapshot.eb.gz")),
            Just(("standalone-snappy", "snapshot.f7.snappy")),
        ],
        at in 0..12_000_usize,
        edit in rubbish(),
    ) {
        let (sample, name) = sample;
        let mut disk = samples::disk(sample);
        let content = disk.content(Dir::Data, name);
        let at = at % content.len();
        let end = (at + edit.len()).min(content.len());
        content[at..end].copy_from_slice(&edit[..end - at]);
        open(&disk);
    }

    #[test]
    fn epochs(accepted in rubbish(), current in rubbish(), temporary in rubbish()) {
        let mut disk = samples::disk("quorum-after-trunc");
        *disk.content(Dir::Data, "acceptedEpoch") = accepted;
        *disk.content(Dir::Data, "currentEpoch") = current;
        disk.put(Dir::Data, "currentEpoch.tmp", temporary);
        open(&disk);
    }

    #[test]
    fn streams(pieces in prop::collection::vec(rubbish(), 0..4)) {
        let mut decoder = StreamDecoder::new(1000);
        for piece in pieces {
            if !matches!(decoder.feed(&piece), Ok(None)) {
                break;
            }
        }
    }

    /// However a stream is cut to pieces, on either side, the same database comes out, and what
    /// follows the stream is left alone.
    #[test]
    fn a_stream_survives_any_cut(
        target in 1..2000_usize,
        cuts in prop::collection::vec(1..700_usize, 1..50),
        behind in rubbish(),
    ) {
        let (_, recovered, _) =
            Storage::open(config(), &samples::disk("standalone-full")).unwrap();
        let encode = |database| {
            let mut encoder = StreamEncoder::new(Arc::new(database));
            let mut bytes = Vec::new();
            loop {
                let mut piece = Vec::new();
                let more = encoder.encode(&mut piece, target);
                assert!(piece.len() >= target || !more);
                bytes.extend(piece);
                if !more {
                    break bytes;
                }
            }
        };
        let stream = encode(recovered.database.clone());
        let mut rest = &[&stream[..], &behind].concat()[..];
        let mut decoder = StreamDecoder::new(10_000);
        let mut cuts = cuts.into_iter().cycle();
        let database = loop {
            let (piece, later) = rest.split_at(cuts.next().unwrap().min(rest.len()));
            if let Some((database, used)) = decoder.feed(piece).unwrap() {
                prop_assert_eq!(piece.len() - used + later.len(), behind.len());
                break database;
            }
            rest = later;
        };
        prop_assert_eq!(database.tree.digest(), recovered.database.tree.digest());
        prop_assert!(encode(database) == stream);
    }
}
