//! Directories that upstream 3.9.3 wrote, see testdata/samples/README.md.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use zebu_core::ids::Zxid;
use zebu_core::server::{Recovered, StoreOp};
use zebu_core::storage::{Dir, Layout, RecoverError, SnapshotWriter, Storage, StorageConfig};
use zebu_core::tree::{Database, Owner};

use crate::model_disk::{ModelDisk, changes};

pub(crate) fn config() -> StorageConfig {
    StorageConfig {
        prealloc_bytes: 0,
        record_max: 2 << 20,
        commit_log_count: 1000,
        layout: Layout::DEFAULT,
        autocreate: true,
        log_permille_max: 330,
        mutant: None,
    }
}

fn samples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/samples")
}

pub(crate) fn disk(sample: &str) -> ModelDisk {
    let mut disk = ModelDisk::default();
    let version_2 = samples().join(sample).join("data/version-2");
    for file in fs::read_dir(version_2).unwrap().map(Result::unwrap) {
        let name = file.file_name().into_string().unwrap();
        let dir = if name.starts_with("log.") { Dir::Log } else { Dir::Data };
        disk.put(dir, &name, fs::read(file.path()).unwrap());
    }
    disk
}

fn open(disk: &ModelDisk) -> Result<Recovered, RecoverError> {
    Ok(Storage::open(config(), disk)?.1)
}

/// The tree as upstream served it, and the digest that upstream computed.
fn check_sample(sample: &str, recovered: &Recovered) {
    let expected = fs::read_to_string(samples().join(sample).join("expected.json")).unwrap();
    let Value::Array(expected) = serde_json::from_str(&expected).unwrap() else { panic!() };
    let tree = &recovered.database.tree;
    let mut walk = tree.walk();
    let mut found = BTreeMap::new();
    while let Some((path, node)) = walk.next(tree) {
        found.insert(if path.is_empty() { "/".into() } else { path }, node);
    }
    assert_eq!(found.len(), expected.len(), "{sample}");
    for wanted in &expected {
        let path = wanted["path"].as_str().unwrap();
        let node = found[path];
        let stat = node.client_stat();
        let mut pairs = vec![
            ("czxid", stat.czxid.to_wire()),
            ("ctime", stat.ctime),
            ("cversion", stat.cversion.into()),
            ("aversion", stat.aversion.into()),
            ("ephemeralOwner", stat.ephemeral_owner),
            ("numChildren", stat.num_children.into()),
            ("pzxid", stat.pzxid.to_wire()),
        ];
        // The server that was asked had no ensemble and wrote that node anew.
        if path != "/zookeeper/config" || !sample.starts_with("ensemble") {
            pairs.extend([
                ("mzxid", stat.mzxid.to_wire()),
                ("mtime", stat.mtime),
                ("version", stat.version.into()),
                ("dataLength", stat.data_length.into()),
            ]);
            let data = wanted["data_b64"].as_str().map(base64);
            assert_eq!(node.data.map(|data| data.to_vec()), data, "{sample} {path}");
        }
        for (field, value) in pairs {
            assert_eq!(Some(value), wanted["stat"][field].as_i64(), "{sample} {path} {field}");
        }
        let acl = node.acl.iter().map(|acl| {
            Value::Array([acl.perms.into(), (*acl.id.scheme).into(), (*acl.id.id).into()].into())
        });
        assert_eq!(Value::Array(acl.collect()), wanted["acl"], "{sample} {path}");
    }
    if let Some(digest) = recovered.window.last().and_then(|entry| entry.txn.digest) {
        assert_eq!(digest.tree, tree.digest(), "{sample}");
    }
}

fn base64(text: &str) -> Vec<u8> {
    let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let (mut bits, mut held, mut bytes) = (0u32, 0, Vec::new());
    for digit in text.chars().filter_map(|c| alphabet.find(c)) {
        (bits, held) = (bits << 6 | digit as u32, held + 6);
        if held >= 8 {
            held -= 8;
            bytes.push((bits >> held) as u8);
        }
    }
    bytes
}

#[test]
fn every_directory_gives_the_tree_that_upstream_served() {
    for (sample, last) in [
        ("standalone-full", 0x30_u64),
        ("standalone-nodigest", 0x30),
        ("standalone-snaps", 0x102),
        ("standalone-gzip", 0x102),
        ("standalone-snappy", 0x102),
        ("standalone-38style", 0x102),
        ("ensemble-s1", 0x1_0000_001c),
        ("ensemble-s3", 0x1_0000_001c),
        ("quorum-after-trunc", 0x2_0000_0003),
    ] {
        let recovered = open(&disk(sample)).unwrap_or_else(|error| panic!("{sample}: {error}"));
        check_sample(sample, &recovered);
        assert_eq!(
            format!("{:x}", recovered.database.last_processed),
            format!("{last:x}"),
            "{sample}"
        );
    }
}

#[test]
fn every_snapshot_leads_to_the_same_tree() {
    for sample in ["standalone-snaps", "standalone-gzip", "standalone-snappy", "standalone-38style"]
    {
        let mut disk = disk(sample);
        let mut snapshots: Vec<_> =
            disk.names().into_iter().filter(|name| name.starts_with("snapshot.")).collect();
        let zxid =
            |name: &String| u64::from_str_radix(name.split('.').nth(1).unwrap(), 16).unwrap();
        snapshots.sort_by_key(zxid);
        assert!(snapshots.len() > 4);
        while let Some(newest) = snapshots.pop() {
            let recovered =
                open(&disk).unwrap_or_else(|error| panic!("{sample} {newest}: {error}"));
            check_sample(sample, &recovered);
            let first = recovered.window.first().unwrap().zxid();
            assert_eq!(first, Zxid(zxid(&newest) + 1), "the window begins behind the snapshot");
            disk.remove(Dir::Data, &newest);
        }
    }
}

/// The whole log over an empty tree: the digest that upstream computed with each transaction.
#[test]
fn every_digest_comes_out_on_the_way() {
    // Upstream's leader computes none for what it refuses.
    for (sample, records, digests) in [
        ("standalone-full", 48, 47),
        ("standalone-nodigest", 48, 0),
        ("standalone-snaps", 258, 258),
        ("ensemble-s1", 28, 28),
    ] {
        let mut disk = disk(sample);
        for later in disk.names() {
            if later.starts_with("snapshot.") && later != "snapshot.0" {
                disk.remove(Dir::Data, &later);
            }
        }
        let recovered = open(&disk).unwrap();
        let mut database = Database::new();
        let mut compared = 0;
        for entry in &recovered.window {
            database.apply(&entry.txn);
            assert_eq!(database.last_processed, entry.zxid());
            if let Some(digest) = entry.txn.digest {
                assert_eq!(database.tree.digest(), digest.tree, "after {:?}", entry.txn);
                compared += 1;
            }
        }
        assert_eq!((recovered.window.len(), compared), (records, digests), "{sample}");
        assert_eq!(database.tree.digest(), recovered.database.tree.digest());
    }
}

#[test]
fn sessions_and_what_they_own_outlive_the_server() {
    let Database { tree, sessions, .. } = open(&disk("standalone-full")).unwrap().database;
    assert_eq!(sessions.values().copied().collect::<Vec<_>>(), [40_000, 30_000]);
    assert!(tree.sessions_with_ephemerals().all(|owner| sessions.contains_key(&owner)));
    assert!(tree.ephemeral_count() > 0);
    let owners: Vec<_> =
        tree.containers_and_ttl().map(|path| tree.get(path).unwrap().owner()).collect();
    assert!(owners.contains(&Owner::Container));
    assert!(owners.iter().any(|owner| matches!(owner, Owner::Ttl { .. })));
}

#[test]
fn reconfigurations_are_replayed() {
    let tree = open(&disk("ensemble-s1")).unwrap().database.tree;
    let config = tree.get("/zookeeper/config").unwrap();
    assert!(config.data.unwrap().starts_with(b"server.1="));
    assert_eq!(config.stat.version, -1);
}

#[test]
fn epochs_of_an_ensemble_and_of_a_server_alone() {
    let recovered = open(&disk("quorum-after-trunc")).unwrap();
    assert_eq!((recovered.epochs.accepted.0, recovered.epochs.current.0), (2, 2));
    let disk = disk("standalone-full");
    let (_, recovered, repairs) = Storage::open(config(), &disk).unwrap();
    assert_eq!((recovered.epochs.accepted.0, recovered.epochs.current.0), (0, 0));
    let mut disk = disk;
    disk.perform_all(&repairs);
    assert_eq!(disk.content(Dir::Data, "acceptedEpoch"), b"0");
    assert_eq!(disk.content(Dir::Data, "currentEpoch"), b"0");
}

#[test]
fn a_log_is_written_as_upstream_writes_it() {
    let recovered = open(&disk("standalone-full")).unwrap();
    let mut ours = ModelDisk::default();
    let config = StorageConfig { prealloc_bytes: 65536, ..config() };
    let (mut storage, _, repairs) = Storage::open(config, &ours).unwrap();
    ours.perform_all(&repairs);
    let (first, rest) = recovered.window.split_at(20);
    for entries in [first, rest] {
        let ops = storage.plan(vec![StoreOp::Append(entries.to_vec())], &ours).unwrap();
        ours.perform_all(&ops);
    }
    let (ours, theirs) = (ours.content(Dir::Log, "log.1").clone(), {
        let mut disk = disk("standalone-full");
        disk.content(Dir::Log, "log.1").clone()
    });
    assert_eq!(ours.len() % 65536, 0);
    assert!(ours == theirs[..65536]);
}

/// What is read back, and how many logs it takes.
#[test]
fn a_log_ends_at_its_limit() {
    let recovered = open(&disk("standalone-full")).unwrap();
    for (log_bytes, logs) in [(None, 1..2), (Some(1 << 20), 1..2), (Some(500), 5..100)] {
        let mut ours = ModelDisk::default();
        let layout = Layout { log_bytes, ..Layout::DEFAULT };
        let config = StorageConfig { prealloc_bytes: 4096, layout, ..config() };
        let (mut storage, _, repairs) = Storage::open(config.clone(), &ours).unwrap();
        ours.perform_all(&repairs);
        for entry in &recovered.window {
            let ops = storage.plan(vec![StoreOp::Append(vec![entry.clone()])], &ours).unwrap();
            ours.perform_all(&ops);
        }
        let names = ours.names().into_iter().filter(|name| name.contains("log.")).count();
        assert!(logs.contains(&names), "{log_bytes:?}: {names}");
        let (_, again, _) = Storage::open(config, &ours).unwrap();
        assert_eq!(again.window, recovered.window);
    }
}

#[test]
fn sections_are_written_as_asked_and_read_however_they_are() {
    let full = open(&disk("standalone-full")).unwrap();
    for (digest, last_processed, bytes) in
        [(true, true, 67), (true, false, 46), (false, true, 34), (false, false, 13)]
    {
        let layout = Layout { digest, last_processed, ..Layout::DEFAULT };
        let config = StorageConfig { layout, ..config() };
        let mut ours = ModelDisk::default();
        ours.perform_all(&SnapshotWriter::new(full.database.clone(), &config).collect::<Vec<_>>());
        let name = format!("snapshot.{:x}", full.database.last_processed);
        let length = |disk: &mut ModelDisk| disk.content(Dir::Data, &name).len();
        let written = length(&mut ours);
        let mut bare = ModelDisk::default();
        let none = Layout { digest: false, last_processed: false, ..Layout::DEFAULT };
        let none = StorageConfig { layout: none, ..config.clone() };
        bare.perform_all(&SnapshotWriter::new(full.database.clone(), &none).collect::<Vec<_>>());
        assert_eq!(written - length(&mut bare) + 13, bytes);
        let (_, again, _) = Storage::open(config, &ours).unwrap();
        assert_eq!(again.database.last_processed, full.database.last_processed);
        assert_eq!(again.database.tree.digest(), full.database.tree.digest());
    }
}

/// Upstream writes znodes in another order and no digest yet, nothing else.
#[test]
fn the_first_snapshot_is_as_long_as_upstream_s() {
    let mut theirs = disk("standalone-full");
    let mut ours = ModelDisk::default();
    let (_, _, repairs) = Storage::open(config(), &ours).unwrap();
    ours.perform_all(&repairs);
    let (ours, theirs) =
        (ours.content(Dir::Data, "snapshot.0"), theirs.content(Dir::Data, "snapshot.0"));
    assert_eq!(ours.len(), theirs.len());
    let body = ours.len() - 67;
    let sorted = |bytes: &[u8]| {
        let mut bytes = bytes[..body].to_vec();
        bytes.sort_unstable();
        bytes
    };
    assert_eq!(sorted(ours), sorted(theirs));
}

/// The last zxid after a start with `log.1` replaced by a variant, or why it does not start.
fn start_with(variant: &str) -> String {
    let mut disk = disk("standalone-full");
    disk.remove(Dir::Log, "log.1");
    let file = samples().join("derived-torn").join(format!("log.1.{variant}"));
    disk.put(Dir::Log, "log.1", fs::read(file).unwrap());
    let first = match open(&disk) {
        Ok(recovered) => format!("{:x}", recovered.database.last_processed),
        Err(error) => return error.to_string(),
    };
    // What was put right stays right.
    let (_, _, repairs) = Storage::open(config(), &disk).unwrap();
    disk.perform_all(&repairs);
    let (_, again, repairs) = Storage::open(config(), &disk).unwrap();
    assert_eq!(changes(repairs), [], "{variant}");
    assert_eq!(first, format!("{:x}", again.database.last_processed));
    first
}

#[test]
fn a_torn_end_is_cut_off() {
    for (variant, last) in [
        ("cut-in-last-payload", "2f"),
        ("last-half-zeroed", "2f"),
        ("last-eor-zeroed", "2f"),
        ("header-only", "0"),
        ("empty", "0"),
        // Departs: upstream does not start.
        ("cut-in-header", "0"),
    ] {
        assert_eq!(start_with(variant), last, "{variant}");
    }
}

#[test]
fn damage_in_the_middle_refuses_to_start_and_says_where() {
    for (variant, wanted) in [
        ("crc-error-in-record-21", "with checksum"),
        ("length-too-large-in-record-21", "expected a length in 32..="),
    ] {
        let why = start_with(variant);
        assert!(why.starts_with("log.1: offset "), "{why}");
        assert!(why.contains(wanted), "{why}");
        assert!(why.contains("an intact record follows at offset"), "{why}");
    }
}
