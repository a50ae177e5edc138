//! The table of rules, and a model that keeps registrations in one flat set.

use alloc::collections::BTreeSet;
use std::vec;

use proptest::prelude::*;

use super::*;
use crate::ids::{SessionId, Xid};
use crate::proto::Acl;
use crate::time::WallTime;
use crate::tree::Database;
use crate::txn::{CreateTxn, Txn, TxnBody, TxnHeader};

const A: ConnId = ConnId(1);
const B: ConnId = ConnId(2);

fn created(path: &str) -> Change {
    Change::Created { path: path.into() }
}
fn deleted(path: &str) -> Change {
    Change::Deleted { path: path.into() }
}
fn changed(path: &str) -> Change {
    Change::DataChanged { path: path.into() }
}

/// What `change` fires, written `conn kind path`.
fn fired(watches: &mut WatchTable, change: Change) -> Vec<String> {
    let line = |(conn, event): (ConnId, WatcherEvent)| {
        alloc::format!("{} {:?} {}", conn.0, event.kind, event.path)
    };
    watches.fire(&change).into_iter().map(line).collect()
}

#[test]
fn each_change_fires_its_row() {
    use WatchKind::*;
    const NONE: [&str; 0] = [];
    type Row = (&'static [(ConnId, WatchKind, &'static str)], Change, &'static [&'static str]);
    let table: [Row; 8] = [
        (&[(A, Data, "/p")], created("/p"), &["1 NodeCreated /p"]),
        (
            &[(B, Child, "/"), (B, Data, "/p"), (A, Child, "/")],
            created("/p"),
            &["2 NodeCreated /p", "1 NodeChildrenChanged /", "2 NodeChildrenChanged /"],
        ),
        (&[(A, Child, "/p"), (A, Data, "/")], created("/p"), &NONE),
        (
            &[(A, Data, "/q/p"), (A, Child, "/q/p"), (B, Child, "/q/p"), (A, Child, "/q")],
            deleted("/q/p"),
            &["1 NodeDeleted /q/p", "2 NodeDeleted /q/p", "1 NodeChildrenChanged /q"],
        ),
        (&[(A, Data, "/p"), (B, Child, "/p")], changed("/p"), &["1 NodeDataChanged /p"]),
        (&[(A, Child, "/")], changed("/p"), &NONE),
        (&[(A, Child, "/")], deleted("/p/q"), &NONE),
        (&[(A, Data, "/"), (A, Data, "/")], changed("/"), &["1 NodeDataChanged /"]),
    ];
    for (registered, change, expected) in table {
        let mut watches = WatchTable::new(7);
        for (conn, kind, path) in registered {
            watches.register(*conn, *kind, (*path).into());
        }
        let before = watches.count();
        let events = fired(&mut watches, change.clone());
        assert_eq!(events, expected, "{change:?} with {registered:?}");
        assert_eq!(fired(&mut watches, change), NONE, "fired once");
        // The child watch that was skipped is consumed too.
        let skipped = usize::from(registered.contains(&(A, Child, "/q/p")));
        assert_eq!(watches.count(), before - events.len() - skipped);
    }
}

#[test]
fn a_crowd_is_notified_in_order_and_leaves_nothing_behind() {
    let mut watches = WatchTable::new(7);
    let conns: Vec<_> = (0..1000u64).map(|n| ConnId(n * 7919 % 1000)).collect();
    for conn in &conns {
        watches.register(*conn, WatchKind::Data, "/p".into());
        watches.register(*conn, WatchKind::Child, "/p".into());
    }
    watches.forget(ConnId(500));
    assert_eq!(watches.count(), 1998);
    let events = watches.fire(&deleted("/p"));
    assert_eq!(events.len(), 999);
    assert!(events.is_sorted_by_key(|(conn, _)| *conn));
    assert!(watches.table.is_bare());
}

fn database() -> Database {
    let mut database = Database::new();
    for (zxid, path) in [(5, "/old"), (6, "/parent"), (7, "/parent/child"), (8, "/new")] {
        let create = CreateTxn {
            path: path.into(),
            data: None,
            acl: Acl::open(),
            ephemeral: false,
            parent_cversion: -1,
        };
        let header =
            TxnHeader { session: SessionId(1), cxid: Xid(1), zxid: Zxid(zxid), time: WallTime(0) };
        database.apply(&Txn { header, body: TxnBody::Create(create), digest: None });
    }
    database
}

fn paths(list: &[&str]) -> Vec<String> {
    list.iter().map(|path| (*path).into()).collect()
}

#[test]
fn set_watches_catches_up() {
    let set = SetWatches {
        relative_zxid: Zxid(6),
        data: paths(&["/old", "/new", "/gone"]),
        exist: paths(&["/new", "/none"]),
        child: paths(&["/old", "/parent", "/gone"]),
        persistent: Vec::new(),
        persistent_recursive: Vec::new(),
    };
    let mut watches = WatchTable::new(7);
    let events = watches.set_watches(A, &set, &database().tree);
    let expected = vec![
        event(EventKind::NodeDataChanged, "/new"),
        event(EventKind::NodeDeleted, "/gone"),
        event(EventKind::NodeCreated, "/new"),
        event(EventKind::NodeChildrenChanged, "/parent"),
        event(EventKind::NodeDeleted, "/gone"),
    ];
    assert_eq!(events, expected);
    assert_eq!(watches.count(), 3);
    assert_eq!(fired(&mut watches, changed("/old")), ["1 NodeDataChanged /old"]);
    assert_eq!(fired(&mut watches, created("/none")), ["1 NodeCreated /none"]);
    assert_eq!(fired(&mut watches, created("/old/x")), ["1 NodeChildrenChanged /old"]);
    // A client that has seen nothing sends a zxid that is not positive.
    let set = SetWatches { relative_zxid: Zxid(u64::MAX), ..set };
    assert_eq!(watches.set_watches(A, &set, &database().tree).len(), 7);
}

#[cfg(feature = "mutants")]
#[test]
fn exists_watch_as_data_misses_the_creation() {
    let set = SetWatches {
        relative_zxid: Zxid(6),
        data: Vec::new(),
        exist: paths(&["/new"]),
        child: Vec::new(),
        persistent: Vec::new(),
        persistent_recursive: Vec::new(),
    };
    let mutant = Some(Mutant::ExistsWatchAsData);
    let events = WatchTable::new(7).set_watches_with(A, &set, &database().tree, mutant);
    assert_eq!(events, []);
}

#[derive(Clone, Debug)]
enum Op {
    Register(ConnId, WatchKind, String),
    Forget(ConnId),
    Fire(Change),
}

fn op() -> impl Strategy<Value = Op> {
    let conn = (0u64..5).prop_map(ConnId);
    let path =
        || prop::sample::select(vec!["/", "/a", "/a/b", "/a/b/c", "/b"]).prop_map(String::from);
    let kind = prop::sample::select(vec![WatchKind::Data, WatchKind::Child]);
    let change = (0..3, path()).prop_map(|(kind, path)| match kind {
        0 => created(&path),
        1 => deleted(&path),
        _ => changed(&path),
    });
    prop_oneof![
        6 => (conn.clone(), kind, path()).prop_map(|(conn, kind, path)| Op::Register(conn, kind, path)),
        1 => conn.prop_map(Op::Forget),
        3 => change.prop_map(Op::Fire),
    ]
}

type Model = BTreeSet<(String, WatchKind, ConnId)>;

fn model_fire(model: &mut Model, change: &Change) -> Vec<(ConnId, WatcherEvent)> {
    let mut take = |kind, path: &str| -> Vec<ConnId> {
        let hit = model.extract_if(.., |watch| watch.0 == path && watch.1 == kind);
        hit.map(|(_, _, conn)| conn).collect()
    };
    let (path, kind) = match change {
        Change::Created { path } => (path, EventKind::NodeCreated),
        Change::Deleted { path } => (path, EventKind::NodeDeleted),
        Change::DataChanged { path } => (path, EventKind::NodeDataChanged),
    };
    let data = take(WatchKind::Data, path);
    let mut events: Vec<_> = data.iter().map(|conn| (*conn, event(kind, path))).collect();
    if kind == EventKind::NodeDeleted {
        let child = take(WatchKind::Child, path).into_iter().filter(|conn| !data.contains(conn));
        events.extend(child.map(|conn| (conn, event(kind, path))));
    }
    if kind != EventKind::NodeDataChanged {
        let parent = match path.rfind('/') {
            Some(0) | None => "/",
            Some(slash) => &path[..slash],
        };
        let above = take(WatchKind::Child, parent).into_iter();
        events.extend(above.map(|conn| (conn, event(EventKind::NodeChildrenChanged, parent))));
    }
    events
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn like_a_flat_set(seed: u64, ops in prop::collection::vec(op(), 0..120)) {
        let (mut watches, mut model) = (WatchTable::new(seed), Model::new());
        for op in ops {
            match op {
                Op::Register(conn, kind, path) => {
                    watches.register(conn, kind, path.clone());
                    model.insert((path, kind, conn));
                }
                Op::Forget(conn) => {
                    watches.forget(conn);
                    model.retain(|watch| watch.2 != conn);
                }
                Op::Fire(change) => {
                    prop_assert_eq!(watches.fire(&change), model_fire(&mut model, &change));
                }
            }
            prop_assert_eq!(watches.count(), model.len());
            prop_assert_eq!(watches.table.is_bare(), model.is_empty());
        }
    }
}
