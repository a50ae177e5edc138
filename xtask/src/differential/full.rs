//! Parents whose count of children made is all but used up, as no client could make them in time: both
//! servers start from one snapshot that has them, in the bytes of our own storage. And what is asked
//! about the one that a case has for itself, so that its sequential names run into the last there is.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use bytes::Bytes;
use proptest::prelude::*;
use proptest::sample::select;
use zebu_core::config::Config;
use zebu_core::ids::Zxid;
use zebu_core::proto::{
    Acl, CreateRequest, CreateTtlRequest, Request, StatPersisted, create_flags,
};
use zebu_core::storage::{DiskOp, Layout, SnapshotWriter, StorageConfig};
use zebu_core::tree::Database;

use super::sequence::{Action, FULL};

/// The directory of all of them.
const ROOT: &str = "/full";
/// More than there are cases, usually; the next begins with the first again, which both have left in
/// the same state.
const PARENTS: u64 = 3000;
/// How many sequential names each has left.
const LEFT: i32 = 3;

/// The `case`th case's own.
pub(super) fn parent_of(case: u64) -> String {
    format!("{ROOT}/{:06}", case % PARENTS)
}

/// Writes the snapshot into `directory`; its file.
pub(super) fn write_snapshot(directory: &Path) -> Result<PathBuf> {
    let mut database = Database { last_processed: Zxid(1), ..Database::new() };
    let tree = &mut database.tree;
    let used = StatPersisted { cversion: i32::MAX - LEFT, ..StatPersisted::default() };
    tree.load(ROOT, None, Acl::open().into(), StatPersisted::default())?;
    for case in 0..PARENTS {
        tree.load(&parent_of(case), None, Acl::open().into(), used)?;
    }
    let (mut content, mut name) = (Vec::new(), None);
    for op in SnapshotWriter::new(database, &storage()) {
        match op {
            DiskOp::Write { bytes, .. } => content.extend_from_slice(&bytes),
            DiskOp::Rename { to, .. } => name = Some(to.name),
            _ => {}
        }
    }
    let file = directory.join(name.context("a snapshot gets its name at last")?);
    std::fs::create_dir_all(directory)?;
    std::fs::write(&file, content)?;
    Ok(file)
}

/// One request, or a multi that makes one znode: what is in flight counts on in Java, beyond the last
/// name, and what is applied does not, so that it depends on the moment what the next name is.
pub(super) fn about_full() -> impl Strategy<Value = Action> {
    let names = select(vec!["/", "/", "/a", "/b"]);
    let sequential = || {
        let flags = [create_flags::PERSISTENT_SEQUENTIAL, create_flags::EPHEMERAL_SEQUENTIAL];
        (names.clone(), select(flags.to_vec())).prop_map(|(name, flags)| create(name, flags))
    };
    let last = i64::from(i32::MAX);
    let child = (select(vec!["/", "/a", "/b"]), last - i64::from(LEFT)..=last + 1)
        .prop_map(|(name, number)| format!("{FULL}{name}{number:010}"));
    let any = prop_oneof![4 => Just(FULL.to_owned()), 3 => child.clone()];
    let plain = select(vec!["/c", "/2147483647", "/a2147483647", "/-2147483648"])
        .prop_map(|name| create(name, create_flags::PERSISTENT));
    let ttl = names.clone().prop_map(|name| CreateTtlRequest {
        create: create(name, create_flags::TTL_SEQUENTIAL),
        ttl_ms: 60_000,
    });
    let request = prop_oneof![
        8 => sequential().prop_map(Request::Create),
        4 => sequential().prop_map(Request::Create2),
        2 => ttl.prop_map(Request::CreateTtl),
        3 => plain.prop_map(Request::Create),
        3 => sequential().prop_map(|create| Request::Multi(vec![Request::Create(create)])),
        4 => child.prop_map(|path| Request::Delete { path, version: -1 }),
        3 => any.clone().prop_map(|path| Request::Exists { path, watch: true }),
        4 => any.prop_map(|path| Request::GetChildren2 { path, watch: true }),
    ];
    request.prop_map(|request| Action::Ask(vec![request]))
}

fn create(name: &str, flags: i32) -> CreateRequest {
    CreateRequest {
        path: format!("{FULL}{name}"),
        data: Some(Bytes::new()),
        acl: Acl::open(),
        flags,
    }
}

/// Upstream's defaults. Nothing of it shows in a snapshot.
fn storage() -> StorageConfig {
    let config = Config::new(zebu_core::ids::ServerId(1), Default::default());
    StorageConfig {
        prealloc_bytes: 0,
        record_max: config.limits.record_max,
        commit_log_count: config.commit_log_count,
        layout: Layout::DEFAULT,
        autocreate: true,
        log_permille_max: 330,
        mutant: None,
    }
}
