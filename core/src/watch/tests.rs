//! The table of rules, and a model that keeps registrations in one flat set.

use alloc::collections::BTreeSet;
use alloc::sync::Arc;
use std::vec;

use proptest::prelude::*;

use super::*;
use crate::ids::{SessionId, Xid};
use crate::proto::{Acl, perms};
use crate::time::WallTime;
use crate::tree::Database;
use crate::txn::{CreateTxn, Txn, TxnBody, TxnHeader};

const A: ConnId = ConnId(1);
const B: ConnId = ConnId(2);

fn created(path: &str) -> Change {
    Change::Created { path: path.into(), acl: own(), parent_acl: Acl::open().into() }
}
fn deleted(path: &str) -> Change {
    Change::Deleted { path: path.into(), acl: own(), parent_acl: Acl::open().into() }
}
fn changed(path: &str) -> Change {
    Change::DataChanged { path: path.into(), acl: own() }
}
/// The list of what changed; its parent's is open.
fn own() -> Arc<[Acl]> {
    [Acl::world(perms::READ)].into()
}

/// What `change` fires, one event after the other.
fn events_of(watches: &mut WatchTable, change: &Change) -> Vec<(ConnId, WatcherEvent)> {
    let mut events = Vec::new();
    for Notice { event, acl, conns } in watches.fire(change) {
        let of_parent = event.kind == EventKind::NodeChildrenChanged;
        let list = if of_parent { Acl::open().into() } else { own() };
        assert_eq!(*acl, *list, "{event:?}");
        events.extend(conns.into_iter().map(|conn| (conn, event.clone())));
    }
    events
}

/// What `change` fires, written `conn kind path`.
fn fired(watches: &mut WatchTable, change: Change) -> Vec<String> {
    let line = |(conn, event): (ConnId, WatcherEvent)| {
        alloc::format!("{} {:?} {}", conn.0, event.kind, event.path)
    };
    events_of(watches, &change).into_iter().map(line).collect()
}

type Row = (&'static [(ConnId, WatchMode, &'static str)], Change, &'static [&'static str]);

#[test]
fn each_change_fires_its_row() {
    use WatchMode::{Child, Data};
    const NONE: [&str; 0] = [];
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
fn persistent_watches_fire_again_and_again() {
    use WatchMode::*;
    const ALL: [WatchMode; 4] = [Data, Child, Persistent, Recursive];
    let p = |mode: WatchMode| -> &'static [(ConnId, WatchMode, &'static str)] {
        match mode {
            Persistent => &[(A, Persistent, "/p")],
            Recursive => &[(A, Recursive, "/p")],
            Data | Child => &[],
        }
    };
    let table: [Row; 14] = [
        (p(Persistent), created("/p"), &["1 NodeCreated /p"]),
        (p(Persistent), deleted("/p"), &["1 NodeDeleted /p"]),
        (p(Persistent), changed("/p"), &["1 NodeDataChanged /p"]),
        (p(Persistent), created("/p/q"), &["1 NodeChildrenChanged /p"]),
        (p(Persistent), deleted("/p/q"), &["1 NodeChildrenChanged /p"]),
        (p(Persistent), changed("/p/q"), &[]),
        (p(Persistent), created("/p/q/r"), &[]),
        (p(Recursive), created("/p"), &["1 NodeCreated /p"]),
        (p(Recursive), deleted("/p/q"), &["1 NodeDeleted /p/q"]),
        (p(Recursive), changed("/p/q/r"), &["1 NodeDataChanged /p/q/r"]),
        // It is the path's components that count, not its characters.
        (p(Recursive), created("/pq"), &[]),
        (p(Recursive), changed("/"), &[]),
        (&[(A, Recursive, "/")], created("/p/q"), &["1 NodeCreated /p/q"]),
        // In the order of connections, each of them once.
        (
            &[
                (B, Recursive, "/"),
                (B, Recursive, "/p"),
                (B, Persistent, "/p"),
                (A, Recursive, "/p"),
            ],
            deleted("/p"),
            &["1 NodeDeleted /p", "2 NodeDeleted /p"],
        ),
    ];
    for (registered, change, expected) in table {
        let mut watches = WatchTable::new(7);
        for (conn, mode, path) in registered {
            watches.register(*conn, *mode, (*path).into());
        }
        let count = watches.count();
        for _ in 0..3 {
            assert_eq!(fired(&mut watches, change.clone()), expected, "{change:?} {registered:?}");
        }
        assert_eq!(watches.count(), count);
    }
    // With all modes on one path a connection is told once of a thing, and the one-time modes go.
    let mut watches = WatchTable::new(7);
    let counted = ALL.map(|mode| {
        watches.register(A, mode, "/p".into());
        watches.count()
    });
    assert_eq!(counted, [1, 2, 2, 2], "entries of upstream's two tables");
    for _ in 0..2 {
        assert_eq!(fired(&mut watches, changed("/p")), ["1 NodeDataChanged /p"]);
        assert_eq!(
            fired(&mut watches, created("/p/q")),
            ["1 NodeCreated /p/q", "1 NodeChildrenChanged /p"]
        );
        assert_eq!(fired(&mut watches, deleted("/p")), ["1 NodeDeleted /p"]);
    }
    let left = [WatcherType::Data, WatcherType::Children, WatcherType::Persistent]
        .map(|watcher| watches.is_watching(A, "/p", watcher));
    assert_eq!(left, [false, false, true]);
}

/// Recursive watches on / and on what never matches: a path of the wrong form, an empty one.
#[test]
fn odd_paths_are_watched_in_vain() {
    let mut watches = WatchTable::new(7);
    for path in ["", "p", "/p/", "//p", "/../p"] {
        watches.register(A, WatchMode::Recursive, path.into());
        watches.register(A, WatchMode::Persistent, path.into());
    }
    for change in [created("/p"), deleted("/p"), changed("/p"), created("/p/q"), changed("/")] {
        assert_eq!(watches.fire(&change), []);
    }
    assert!(watches.remove(A, "", WatcherType::PersistentRecursive));
    assert!(watches.remove(A, "", WatcherType::Any));
    watches.forget(A);
    assert!(watches.table.is_bare());
}

#[test]
fn removal_takes_what_it_names_and_nothing_else() {
    use WatcherType::*;
    let modes = [WatchMode::Data, WatchMode::Child, WatchMode::Persistent, WatchMode::Recursive];
    for (watcher, left) in [
        (Children, [false, true, true, true, true]),
        (Data, [true, false, true, true, true]),
        (Any, [false; 5]),
        (Persistent, [true, true, true, false, true]),
        (PersistentRecursive, [true, true, true, true, false]),
    ] {
        let mut watches = WatchTable::new(7);
        assert!(!watches.remove(A, "/p", watcher));
        for mode in modes {
            watches.register(A, mode, "/p".into());
            watches.register(B, mode, "/p".into());
        }
        assert!(!watches.remove(A, "/q", watcher));
        assert!(watches.remove(A, "/p", watcher), "{watcher:?}");
        assert!(!watches.remove(A, "/p", watcher), "{watcher:?}");
        let kinds = [Children, Data, Any, Persistent, PersistentRecursive];
        assert_eq!(kinds.map(|kind| watches.is_watching(A, "/p", kind)), left, "{watcher:?}");
        assert!(kinds.iter().all(|kind| watches.is_watching(B, "/p", *kind)));
    }
}

#[test]
fn a_crowd_is_notified_in_order_and_leaves_nothing_behind() {
    let mut watches = WatchTable::new(7);
    let conns: Vec<_> = (0..1000u64).map(|n| ConnId(n * 7919 % 1000)).collect();
    for conn in &conns {
        watches.register(*conn, WatchMode::Data, "/p".into());
        watches.register(*conn, WatchMode::Child, "/p".into());
    }
    watches.forget(ConnId(500));
    assert_eq!(watches.count(), 1998);
    let events = events_of(&mut watches, &deleted("/p"));
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
        persistent: paths(&["/new", "/gone"]),
        persistent_recursive: paths(&["/parent", "/gone"]),
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
    assert_eq!(watches.count(), 3 + 4 + 1, "/gone is watched in both ways");
    assert_eq!(fired(&mut watches, changed("/parent/child")), ["1 NodeDataChanged /parent/child"]);
    assert_eq!(fired(&mut watches, created("/new/x")), ["1 NodeChildrenChanged /new"]);
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
    let events = WatchTable::new(7).with_mutant(mutant).set_watches(A, &set, &database().tree);
    assert_eq!(events, []);
}

#[derive(Clone, Debug)]
enum Op {
    Register(ConnId, WatchMode, String),
    Remove(ConnId, WatcherType, String),
    Forget(ConnId),
    Fire(Change),
}

fn op() -> impl Strategy<Value = Op> {
    let conn = (0u64..5).prop_map(ConnId);
    let path =
        || prop::sample::select(vec!["/", "/a", "/a/b", "/a/b/c", "/b"]).prop_map(String::from);
    let kind = prop::sample::select(vec![
        WatchMode::Data,
        WatchMode::Child,
        WatchMode::Persistent,
        WatchMode::Recursive,
    ]);
    let watcher = prop::sample::select(vec![
        WatcherType::Children,
        WatcherType::Data,
        WatcherType::Any,
        WatcherType::Persistent,
        WatcherType::PersistentRecursive,
    ]);
    let change = (0..3, path()).prop_map(|(kind, path)| match kind {
        0 => created(&path),
        1 => deleted(&path),
        _ => changed(&path),
    });
    prop_oneof![
        6 => (conn.clone(), kind, path()).prop_map(|(conn, kind, path)| Op::Register(conn, kind, path)),
        2 => (conn.clone(), watcher, path())
            .prop_map(|(conn, watcher, path)| Op::Remove(conn, watcher, path)),
        1 => conn.prop_map(Op::Forget),
        4 => change.prop_map(Op::Fire),
    ]
}

type Model = BTreeSet<(String, WatchMode, ConnId)>;

fn is_or_is_above(base: &str, path: &str) -> bool {
    base == "/" || path == base || path.starts_with(&alloc::format!("{base}/"))
}

fn model_fire(model: &mut Model, change: &Change) -> Vec<(ConnId, WatcherEvent)> {
    // Who hears, each once; one-time watches go.
    let mut take = |table: WatchMode, path: &str| -> BTreeSet<ConnId> {
        let heard = model.iter().filter(|(at, mode, _)| match mode {
            WatchMode::Persistent => at == path,
            WatchMode::Recursive => table == WatchMode::Data && is_or_is_above(at, path),
            once => at == path && *once == table,
        });
        let heard = heard.map(|watch| watch.2).collect();
        model.retain(|(at, mode, _)| at != path || *mode != table);
        heard
    };
    let (path, kind) = match change {
        Change::Created { path, .. } => (path, EventKind::NodeCreated),
        Change::Deleted { path, .. } => (path, EventKind::NodeDeleted),
        Change::DataChanged { path, .. } => (path, EventKind::NodeDataChanged),
    };
    let data = take(WatchMode::Data, path);
    let mut events: Vec<_> = data.iter().map(|conn| (*conn, event(kind, path))).collect();
    if kind == EventKind::NodeDeleted {
        let child = take(WatchMode::Child, path).into_iter().filter(|conn| !data.contains(conn));
        events.extend(child.map(|conn| (conn, event(kind, path))));
    }
    if kind != EventKind::NodeDataChanged {
        let parent = match path.rfind('/') {
            Some(0) | None => "/",
            Some(slash) => &path[..slash],
        };
        let above = take(WatchMode::Child, parent).into_iter();
        events.extend(above.map(|conn| (conn, event(EventKind::NodeChildrenChanged, parent))));
    }
    events
}

/// Does `watcher` mean watches of this mode?
fn means(watcher: WatcherType, mode: WatchMode) -> bool {
    match watcher {
        WatcherType::Children => mode == WatchMode::Child,
        WatcherType::Data => mode == WatchMode::Data,
        WatcherType::Any => true,
        WatcherType::Persistent => mode == WatchMode::Persistent,
        WatcherType::PersistentRecursive => mode == WatchMode::Recursive,
    }
}

/// Entries of upstream's two tables.
fn model_count(model: &Model) -> usize {
    let entries = |of: [WatchMode; 3]| {
        let those = model.iter().filter(|watch| of.contains(&watch.1));
        those.map(|(path, _, conn)| (path, conn)).collect::<BTreeSet<_>>().len()
    };
    entries([WatchMode::Data, WatchMode::Persistent, WatchMode::Recursive])
        + entries([WatchMode::Child, WatchMode::Child, WatchMode::Persistent])
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
                Op::Remove(conn, watcher, path) => {
                    let before = model.len();
                    model.retain(|watch| {
                        watch.0 != path || watch.2 != conn || !means(watcher, watch.1)
                    });
                    let had = before > model.len();
                    prop_assert_eq!(watches.is_watching(conn, &path, watcher), had);
                    prop_assert_eq!(watches.remove(conn, &path, watcher), had);
                }
                Op::Forget(conn) => {
                    watches.forget(conn);
                    model.retain(|watch| watch.2 != conn);
                }
                Op::Fire(change) => {
                    prop_assert_eq!(events_of(&mut watches, &change), model_fire(&mut model, &change));
                }
            }
            prop_assert_eq!(watches.count(), model_count(&model));
            prop_assert_eq!(watches.table.is_bare(), model.is_empty());
        }
    }
}
