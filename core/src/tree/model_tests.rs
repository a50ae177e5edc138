//! Three properties: the tree does what a plain map of paths does, for any records in any order; a
//! log replayed over a snapshot that was taken while it was written gives the state of one that
//! was applied; a clone is a state of its own.

use alloc::format;
use alloc::string::ToString;
use std::vec;

use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::ids::Xid;
use crate::proto::{StatPersisted, perms};
use crate::time::WallTime;
use crate::txn::{
    CreateContainerTxn, CreateTtlTxn, CreateTxn, Txn, TxnBody, TxnDigest, TxnHeader, digest,
};

fn txn(zxid: u64, session: u64, body: TxnBody) -> Txn {
    let header = TxnHeader {
        session: SessionId(session),
        cxid: Xid(1),
        zxid: Zxid(zxid),
        time: WallTime(1000 + zxid as i64),
    };
    Txn { header, body, digest: None::<TxnDigest> }
}

/// All that is stored about a znode.
type Stored = (Option<Bytes>, Vec<Acl>, StatPersisted);

fn dump(tree: &Tree) -> BTreeMap<String, Stored> {
    let mut walk = tree.walk();
    let mut all = BTreeMap::new();
    let mut previous: Option<String> = None;
    while let Some((path, node)) = walk.next(tree) {
        if let Some(previous) = previous {
            let parent = path.rsplit_once('/').unwrap().0;
            assert!(all.contains_key(parent), "{path} before its parent");
            let names = |path: &str| path.split('/').map(String::from).collect::<Vec<_>>();
            assert!(names(&previous) < names(&path), "{previous} before {path}");
        }
        previous = Some(path.clone());
        all.insert(path, (node.data.cloned(), node.acl.to_vec(), *node.stat));
    }
    all
}

/// What the tree keeps beside the znodes is what can be counted from them.
fn check_derived(tree: &Tree) {
    let all = dump(tree);
    let digest =
        all.iter().map(|(path, (data, _, stat))| digest::node_digest(path, data.as_deref(), stat));
    assert_eq!(tree.digest(), digest.fold(0, u64::wrapping_add));
    assert_eq!(tree.node_count(), all.len() + 1);
    let size =
        |(path, stored): (&String, &Stored)| path.len() + stored.0.as_ref().map_or(0, Bytes::len);
    // The root counts as `/` there.
    assert_eq!(tree.approximate_data_size(), all.iter().map(size).sum::<usize>() as u64 + 1);
    let mut ephemerals = BTreeMap::<_, Vec<&str>>::new();
    let mut containers_and_ttl = Vec::new();
    let mut acls = BTreeMap::<&[Acl], usize>::new();
    for (path, (_, acl, stat)) in &all {
        *acls.entry(acl).or_default() += 1;
        match Owner::from_stored(stat.ephemeral_owner) {
            Owner::Nobody => {}
            Owner::Container | Owner::Ttl { .. } => containers_and_ttl.push(path.as_str()),
            Owner::Session(session) => ephemerals.entry(session).or_default().push(path),
        }
        let prefix = format!("{path}/");
        let below = all.keys().filter_map(|other| other.strip_prefix(&prefix));
        let children: Vec<_> =
            below.filter(|name| !name.is_empty() && !name.contains('/')).collect();
        assert!(tree.children(path).unwrap().eq(children.iter().copied()), "{path}");
        assert_eq!(tree.get(path).unwrap().num_children, children.len());
    }
    assert!(tree.sessions_with_ephemerals().eq(ephemerals.keys().copied()));
    for (session, paths) in &ephemerals {
        assert!(tree.ephemerals(*session).eq(paths.iter().copied()));
    }
    assert_eq!(tree.ephemeral_count(), ephemerals.values().map(Vec::len).sum::<usize>());
    assert!(tree.containers_and_ttl().eq(containers_and_ttl));
    assert!(tree.acls.iter().map(|(list, nodes)| (&**list, *nodes)).eq(acls));
}

fn acl_lists() -> impl Strategy<Value = Vec<Acl>> {
    prop::sample::select(vec![Acl::open(), vec![Acl::world(perms::READ)], vec![]])
}

fn paths() -> impl Strategy<Value = String> {
    let names = prop::sample::select(vec!["a", "b", "c"]);
    let path = prop::collection::vec(names, 1..4).prop_map(|names| format!("/{}", names.join("/")));
    // Paths that no server should have logged.
    let odd = prop::sample::select(vec!["", "/", "a", "a/b", "/a/", "//", "/zookeeper/quota/a"]);
    prop_oneof![30 => path, 1 => odd.prop_map(String::from)]
}

fn data() -> impl Strategy<Value = Option<Bytes>> {
    prop::option::of("[a-z]{0,5}".prop_map(Bytes::from))
}

/// Any record at all, with values that collide.
fn any_body() -> impl Strategy<Value = TxnBody> {
    let create = (paths(), data(), acl_lists(), any::<bool>(), -1..12i32)
        .prop_map(|(path, data, acl, ephemeral, parent_cversion)| CreateTxn {
            path,
            data,
            acl,
            ephemeral,
            parent_cversion,
        })
        .boxed();
    let ttl = prop::sample::select(vec![1, 60_000, 0, -1, i64::MAX, Owner::TTL_MAX_MS]);
    let listed = prop::option::of(prop::collection::vec(paths(), 0..4));
    let leaf = prop_oneof![
        6 => create.clone().prop_map(TxnBody::Create),
        3 => create.clone().prop_map(TxnBody::Create2),
        4 => paths().prop_map(|path| TxnBody::Delete { path }),
        1 => paths().prop_map(|path| TxnBody::DeleteContainer { path }),
        2 => (paths(), data(), -2..5i32)
            .prop_map(|(path, data, version)| TxnBody::SetData { path, data, version }),
        2 => (paths(), acl_lists(), -2..5i32)
            .prop_map(|(path, acl, version)| TxnBody::SetAcl { path, acl, version }),
        1 => (paths(), 0..5i32).prop_map(|(path, version)| TxnBody::Check { path, version }),
        2 => create.clone().prop_map(|c| TxnBody::CreateContainer(CreateContainerTxn {
            path: c.path,
            data: c.data,
            acl: c.acl,
            parent_cversion: c.parent_cversion,
        })),
        2 => (create, ttl).prop_map(|(c, ttl_ms)| TxnBody::CreateTtl(CreateTtlTxn {
            path: c.path,
            data: c.data,
            acl: c.acl,
            parent_cversion: c.parent_cversion,
            ttl_ms,
        })),
        1 => (-130..0i32).prop_map(|code| TxnBody::Error(ErrorCode(code))),
    ]
    .boxed();
    prop_oneof![
        20 => leaf.clone(),
        3 => prop::collection::vec(leaf, 0..5).prop_map(TxnBody::Multi),
        2 => (1..40_000i32).prop_map(|timeout_ms| TxnBody::CreateSession { timeout_ms }),
        2 => listed.prop_map(|paths| TxnBody::CloseSession { paths }),
        1 => data().prop_map(|data| TxnBody::Reconfig {
            path: "/zookeeper/config".into(),
            data,
            version: -1,
        }),
    ]
}

/// The znodes by path and nothing else; the root is the empty path.
struct Model {
    nodes: BTreeMap<String, Stored>,
    sessions: BTreeMap<u64, i32>,
}

impl Model {
    fn apply(&mut self, zxid: u64, session: u64, body: &TxnBody) {
        match body {
            TxnBody::CreateSession { timeout_ms } => {
                self.sessions.insert(session, *timeout_ms);
            }
            TxnBody::CloseSession { paths } => {
                self.sessions.remove(&session);
                paths.iter().flatten().for_each(|path| self.delete(zxid, path));
                let owned = |(path, stored): (&String, &Stored)| {
                    (stored.2.ephemeral_owner == session as i64).then(|| path.clone())
                };
                let left: Vec<_> = self.nodes.iter().filter_map(owned).collect();
                left.iter().for_each(|path| self.delete(zxid, path));
            }
            TxnBody::Error(_) | TxnBody::Check { .. } => {}
            TxnBody::Create(c) | TxnBody::Create2(c) => {
                let owner = if c.ephemeral { session as i64 } else { 0 };
                self.create(zxid, &c.path, &c.data, &c.acl, owner, c.parent_cversion);
            }
            TxnBody::Delete { path } | TxnBody::DeleteContainer { path } => self.delete(zxid, path),
            TxnBody::SetData { path, data, version }
            | TxnBody::Reconfig { path, data, version } => {
                if let Some(node) = self.nodes.get_mut(key(path)) {
                    node.0 = data.clone();
                    node.2.mzxid = Zxid(zxid);
                    node.2.mtime = 1000 + zxid as i64;
                    node.2.version = *version;
                }
            }
            TxnBody::SetAcl { path, acl, version } => {
                if let Some(node) = self.nodes.get_mut(key(path)) {
                    node.1 = acl.clone();
                    node.2.aversion = *version;
                }
            }
            TxnBody::Multi(subs) => {
                if !subs.iter().any(|sub| matches!(sub, TxnBody::Error(_))) {
                    subs.iter().for_each(|sub| self.apply(zxid, session, sub));
                }
            }
            TxnBody::CreateContainer(c) => {
                self.create(zxid, &c.path, &c.data, &c.acl, i64::MIN, c.parent_cversion);
            }
            TxnBody::CreateTtl(c) => {
                if c.ttl_ms > 0 && c.ttl_ms < 1 << 40 {
                    let owner = (0xffu64 << 56) as i64 + c.ttl_ms;
                    self.create(zxid, &c.path, &c.data, &c.acl, owner, c.parent_cversion);
                }
            }
        }
    }

    fn create(
        &mut self,
        zxid: u64,
        path: &str,
        data: &Option<Bytes>,
        acl: &[Acl],
        owner: i64,
        parent_cversion: i32,
    ) {
        let Some((parent, _)) = path.rsplit_once('/').filter(|(_, name)| !name.is_empty()) else {
            return;
        };
        let Some((_, _, stat)) = self.nodes.get_mut(parent) else { return };
        let cversion = if parent_cversion == -1 { stat.cversion + 1 } else { parent_cversion };
        if cversion > stat.cversion {
            (stat.cversion, stat.pzxid) = (cversion, Zxid(zxid));
        }
        if let Some(existing) = self.nodes.get_mut(path) {
            existing.1 = acl.to_vec();
            return;
        }
        let (czxid, ctime) = (Zxid(zxid), 1000 + zxid as i64);
        let stat = StatPersisted {
            czxid,
            mzxid: czxid,
            pzxid: czxid,
            ctime,
            mtime: ctime,
            ephemeral_owner: owner,
            ..StatPersisted::default()
        };
        self.nodes.insert(path.into(), (data.clone(), acl.to_vec(), stat));
    }

    fn delete(&mut self, zxid: u64, path: &str) {
        let Some((parent, _)) = path.rsplit_once('/').filter(|(_, name)| !name.is_empty()) else {
            return;
        };
        let Some((_, _, stat)) = self.nodes.get_mut(parent) else { return };
        stat.pzxid = stat.pzxid.max(Zxid(zxid));
        let below = format!("{path}/");
        self.nodes.retain(|other, _| other != path && !other.starts_with(&below));
    }
}

fn key(path: &str) -> &str {
    if path == "/" { "" } else { path }
}

fn config() -> ProptestConfig {
    ProptestConfig { failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config())]
    #[test]
    fn any_records_as_a_plain_map_would(
        bodies in prop::collection::vec((1..4u64, any_body()), 0..60),
        clone_at in 0..60usize,
    ) {
        let mut database = Database::new();
        let mut model = Model { nodes: dump(&database.tree), sessions: BTreeMap::new() };
        let mut earlier = None;
        for (index, (session, body)) in bodies.iter().enumerate() {
            if index == clone_at {
                earlier = Some((database.clone(), dump(&database.tree)));
            }
            let zxid = index as u64 + 1;
            let applied = database.apply(&txn(zxid, *session, body.clone()));
            model.apply(zxid, *session, body);
            let expected = if let TxnBody::Multi(subs) = body { subs.len() } else { 1 };
            prop_assert_eq!(applied.results.len(), expected);
            check_changes(&applied, body);
        }
        prop_assert_eq!(dump(&database.tree), model.nodes);
        let sessions = database.sessions.iter().map(|(id, timeout)| (id.0, *timeout));
        prop_assert!(sessions.eq(model.sessions));
        check_derived(&database.tree);
        if let Some((clone, then)) = earlier {
            prop_assert_eq!(dump(&clone.tree), then);
            check_derived(&clone.tree);
        }
    }
}

/// A record that did nothing tells nobody.
fn check_changes(applied: &Applied, body: &TxnBody) {
    if !matches!(body, TxnBody::CloseSession { .. }) && applied.results.iter().all(Result::is_err) {
        assert_eq!(applied.changes, []);
    }
}

/// What clients would do; made valid against the state by [`valid`].
#[derive(Clone, Debug)]
enum Wish {
    Create { parent: usize, name: u8, kind: u8, data: u8 },
    Delete(usize),
    SetData(usize, u8),
    SetAcl(usize, u8),
    CloseSession(u64),
}

fn wish() -> impl Strategy<Value = Wish> {
    prop_oneof![
        5 => (0..40usize, 0..3u8, 0..5u8, any::<u8>())
            .prop_map(|(parent, name, kind, data)| Wish::Create { parent, name, kind, data }),
        4 => (0..40usize).prop_map(Wish::Delete),
        3 => (0..40usize, any::<u8>()).prop_map(|(node, data)| Wish::SetData(node, data)),
        2 => (0..40usize, 0..3u8).prop_map(|(node, acl)| Wish::SetAcl(node, acl)),
        1 => (1..4u64).prop_map(Wish::CloseSession),
    ]
}

/// The transaction that a leader would make of a wish.
fn valid(database: &Database, zxid: u64, wish: &Wish) -> Option<Txn> {
    let tree = &database.tree;
    let all: Vec<String> = dump(tree).into_keys().filter(|p| !p.starts_with("/zoo")).collect();
    let pick = |index: usize| all[index % all.len()].clone();
    let acl = |index: u8| vec![Acl::world(1 << index)];
    let mut session = u64::from(zxid as u8 % 3) + 1;
    let body = match wish {
        Wish::Create { parent, name, kind, data } => {
            let parent = pick(*parent);
            let node = tree.get(&parent)?;
            let path = format!("{parent}/{name}");
            let ephemeral_parent = matches!(node.owner(), Owner::Session(_));
            if tree.get(&path).is_some() || ephemeral_parent || path.len() > 8 {
                return None;
            }
            let parent_cversion = node.stat.cversion + 1;
            let (data, acl) = (Some(data.to_string().into()), acl(data % 3));
            match kind {
                0 | 1 => {
                    let ephemeral = *kind == 1;
                    TxnBody::Create(CreateTxn { path, data, acl, ephemeral, parent_cversion })
                }
                2 => {
                    let ephemeral = true;
                    TxnBody::Create2(CreateTxn { path, data, acl, ephemeral, parent_cversion })
                }
                3 => TxnBody::CreateContainer(CreateContainerTxn {
                    path,
                    data,
                    acl,
                    parent_cversion,
                }),
                _ => {
                    let ttl_ms = 5000;
                    TxnBody::CreateTtl(CreateTtlTxn { path, data, acl, parent_cversion, ttl_ms })
                }
            }
        }
        Wish::Delete(node) => {
            let path = pick(*node);
            if path.is_empty() || tree.get(&path)?.num_children > 0 {
                return None;
            }
            TxnBody::Delete { path }
        }
        Wish::SetData(node, data) => {
            let path = pick(*node);
            let version = tree.get(&path)?.stat.version + 1;
            let path = if path.is_empty() { "/".into() } else { path };
            TxnBody::SetData { path, data: Some(data.to_string().into()), version }
        }
        Wish::SetAcl(node, index) => {
            let path = pick(*node);
            let version = tree.get(&path)?.stat.aversion + 1;
            let path = if path.is_empty() { "/".into() } else { path };
            TxnBody::SetAcl { path, acl: acl(*index), version }
        }
        Wish::CloseSession(id) => {
            session = *id;
            let paths = tree.ephemerals(SessionId(session)).map(String::from).collect();
            TxnBody::CloseSession { paths: Some(paths) }
        }
    };
    Some(txn(zxid, session, body))
}

/// Upstream's way of writing a snapshot: depth first, each znode copied with the names of its
/// children at one moment, while `log` goes on being applied between the copies.
// ZK: DataTree.serializeNode (3.9)
fn fuzzy_snapshot(mut live: Database, log: &[Txn], mut pace: impl FnMut() -> usize) -> Database {
    let mut snapshot = live.clone();
    snapshot.tree = Tree::new();
    let mut rest = log.iter();
    let mut todo = vec![String::new()];
    while let Some(path) = todo.pop() {
        if let Some(node) = live.tree.get(&path) {
            snapshot.tree.load(&path, node.data.cloned(), node.acl.into(), *node.stat).unwrap();
            let children = live.tree.children(&path).unwrap();
            todo.extend(children.map(|name| format!("{path}/{name}")));
        }
        for txn in rest.by_ref().take(pace()) {
            live.apply(txn);
        }
    }
    snapshot.tree.loaded();
    snapshot
}

proptest! {
    #![proptest_config(config())]
    #[test]
    fn replay_over_a_fuzzy_snapshot(
        wishes in prop::collection::vec(wish(), 0..120),
        begin in 0..60usize,
        paces in prop::collection::vec(0..4usize, 1..40),
    ) {
        let mut database = Database::new();
        let (mut log, mut states) = (Vec::new(), vec![database.clone()]);
        for wish in &wishes {
            if let Some(txn) = valid(&database, log.len() as u64 + 1, wish) {
                let applied = database.apply(&txn);
                prop_assert_eq!(applied.results, [Ok(())]);
                log.push(txn);
                states.push(database.clone());
            }
        }
        let begin = begin.min(log.len());
        let mut paces = paces.into_iter().cycle();
        let pace = move || paces.next().unwrap_or(1);
        let mut replayed = fuzzy_snapshot(states[begin].clone(), &log[begin..], pace);
        for txn in &log[begin..] {
            replayed.apply(txn);
        }
        prop_assert_eq!(dump(&replayed.tree), dump(&database.tree));
        prop_assert_eq!(replayed.tree.digest(), database.tree.digest());
        prop_assert_eq!(replayed.last_processed, database.last_processed);
        check_derived(&replayed.tree);
        // The whole log over its own result: as fuzzy as it gets.
        let mut again = database.clone();
        log.iter().for_each(|txn| drop(again.apply(txn)));
        prop_assert_eq!(dump(&again.tree), dump(&database.tree));
    }
}
