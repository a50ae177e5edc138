//! Logs that upstream wrote, replayed: every digest must come out, and the tree that upstream
//! served in the end. See testdata/txn/README.md.

use std::string::ToString;
use std::vec::Vec;

use serde_json::Value;

use super::*;
use crate::txn::codec;
use crate::txn::sample_logs::{self, payloads};

const STANDALONE_FULL: &str = include_str!("../../testdata/txn/standalone-full.json");
const STANDALONE_NODIGEST: &str = include_str!("../../testdata/txn/standalone-nodigest.json");
const STANDALONE_SNAPS: &str = include_str!("../../testdata/txn/standalone-snaps.json");
const ENSEMBLE: &str = include_str!("../../testdata/txn/ensemble-s1.json");

/// The state after `log`, and how many digests were compared.
fn replay(log: &'static [u8]) -> (Database, usize) {
    let mut database = Database::new();
    let mut compared = 0;
    for payload in payloads(log) {
        let entry = codec::decode(payload, 1 << 20).unwrap();
        database.apply(&entry.txn);
        if let Some(digest) = entry.txn.digest {
            assert_eq!(database.tree.digest(), digest.tree, "after {:?}", entry.txn);
            compared += 1;
        }
        assert_eq!(database.last_processed, entry.zxid());
    }
    (database, compared)
}

fn same_tree(database: &Database, expected: &str) {
    let Value::Array(expected) = serde_json::from_str(expected).unwrap() else { panic!() };
    assert_eq!(database.tree.node_count(), expected.len() + 1);
    for node in expected {
        let path = node["path"].as_str().unwrap();
        let found = database.tree.get(path).unwrap_or_else(|| panic!("{path}"));
        let stat = found.client_stat();
        let number = |field: &str| node["stat"][field].as_i64().unwrap();
        let is = |field: &str, found: i64| assert_eq!(found, number(field), "{field} of {path}");
        is("czxid", stat.czxid.to_wire());
        is("ctime", stat.ctime);
        is("cversion", stat.cversion.into());
        is("aversion", stat.aversion.into());
        is("ephemeralOwner", stat.ephemeral_owner);
        is("numChildren", stat.num_children.into());
        is("pzxid", stat.pzxid.to_wire());
        let acl = found.acl.iter().map(|acl| {
            Value::Array([acl.perms.into(), (*acl.id.scheme).into(), (*acl.id.id).into()].into())
        });
        assert_eq!(Value::Array(acl.collect()), node["acl"], "{path}");
        // The server that was asked had no ensemble and wrote this node anew.
        if path == "/zookeeper/config" && stat.mzxid != Zxid::ZERO {
            continue;
        }
        is("mzxid", stat.mzxid.to_wire());
        is("mtime", stat.mtime);
        is("version", stat.version.into());
        is("dataLength", stat.data_length.into());
        assert_eq!(found.data.map(|data| data.to_vec()), node["data_b64"].as_str().map(base64));
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
fn standalone() {
    let (database, compared) = replay(sample_logs::STANDALONE_FULL);
    // 48 records; upstream's leader computes no digest for the one that was refused.
    assert_eq!(compared, 47);
    same_tree(&database, STANDALONE_FULL);
    assert_eq!(database.sessions.values().copied().collect::<Vec<_>>(), [40_000, 30_000]);
    let owners: Vec<_> = database.tree.sessions_with_ephemerals().collect();
    assert!(owners.iter().all(|owner| database.sessions.contains_key(owner)));
    assert!(database.tree.ephemeral_count() > 0);
    let kept: Vec<_> = database.tree.containers_and_ttl().map(ToString::to_string).collect();
    assert!(kept.iter().any(|path| database.tree.get(path).unwrap().owner() == Owner::Container));
    assert!(
        kept.iter().any(|p| matches!(database.tree.get(p).unwrap().owner(), Owner::Ttl { .. }))
    );
}

#[test]
fn standalone_without_digests_and_lists_of_paths() {
    let (database, compared) = replay(sample_logs::STANDALONE_NODIGEST);
    assert_eq!(compared, 0);
    same_tree(&database, STANDALONE_NODIGEST);
}

#[test]
fn standalone_over_several_logs() {
    let (database, compared) = replay(sample_logs::STANDALONE_SNAPS);
    assert!(compared > 200, "{compared}");
    same_tree(&database, STANDALONE_SNAPS);
}

#[test]
fn ensemble_with_reconfigurations() {
    let (database, compared) = replay(sample_logs::ENSEMBLE);
    assert!(compared > 20, "{compared}");
    same_tree(&database, ENSEMBLE);
    let config = database.tree.get("/zookeeper/config").unwrap();
    assert!(config.data.unwrap().starts_with(b"server.1="));
    assert_eq!(config.stat.version, -1);
}
