//! Histories that must pass, and ones that must not.

use super::*;
use crate::checkers::testkit::{Bench, ONE, SESSION, TWO, z};
use crate::model::tests::create;
use crate::model::users::{USERS, login};
use zebu_core::ids::Zxid;
use zebu_core::proto::Id;
use zebu_core::txn::TxnBody;

/// /a stands since 1:1, the client is connected.
fn bench() -> Bench {
    let mut bench = Bench::new(3, vec![Box::new(Watches::default())]);
    bench.lead(ONE, 1);
    bench.establish(ONE, TWO, 1);
    bench.commit(z(1, 1), SESSION, 1, create("/a", 1, false)).unwrap();
    bench.connect(0, ONE, SESSION);
    bench
}
fn set_data(zxid: u64, bench: &mut Bench) {
    let body = TxnBody::SetData { path: "/a".into(), data: None, version: zxid as i32 };
    bench.commit(zxid, SESSION, zxid as i32, body).unwrap();
}
fn event(kind: EventKind, path: &str) -> WatcherEvent {
    WatcherEvent { kind, path: path.into() }
}
const CHANGED: EventKind = EventKind::NodeDataChanged;
fn watch(bench: &mut Bench, xid: i32, path: &str, at: u64) -> Result<(), Violation> {
    bench.ask(0, xid, Request::Exists { path: path.into(), watch: true });
    bench.answer(0, xid, at, Err(ErrorCode::NO_NODE))
}
fn broken(result: Result<(), Violation>) -> &'static str {
    result.unwrap_err().property
}

#[test]
fn one_event_for_one_watch_before_what_shows_it() {
    let mut bench = bench();
    watch(&mut bench, 1, "/a", z(1, 1)).unwrap();
    assert_eq!(broken(bench.notify(0, z(1, 2) as i64, event(CHANGED, "/a"))), "C-WSET");
    set_data(z(1, 2), &mut bench);
    set_data(z(1, 3), &mut bench);
    watch(&mut bench, 2, "/b", z(1, 1)).unwrap();
    assert_eq!(broken(watch(&mut bench, 3, "/b", z(1, 2))), "C-WORD");
    bench.notify(0, z(1, 2) as i64, event(CHANGED, "/a")).unwrap();
    watch(&mut bench, 4, "/b", z(1, 3)).unwrap();
    assert_eq!(broken(bench.notify(0, z(1, 3) as i64, event(CHANGED, "/a"))), "C-WSET");
}

#[test]
fn a_reply_that_arrives_late_still_owes_its_event() {
    let mut bench = bench();
    set_data(z(1, 2), &mut bench);
    bench.commit(z(1, 3), SESSION, 3, TxnBody::Delete { path: "/a".into() }).unwrap();
    watch(&mut bench, 1, "/a", z(1, 1)).unwrap();
    bench.ask(0, 2, Request::GetChildren { path: "/a".into(), watch: true });
    bench.answer(0, 2, z(1, 1), Ok(Response::Children(vec![]))).unwrap();
    bench.notify(0, z(1, 2) as i64, event(CHANGED, "/a")).unwrap();
    bench.notify(0, z(1, 3) as i64, event(EventKind::NodeDeleted, "/a")).unwrap();
    watch(&mut bench, 3, "/b", z(1, 3)).unwrap();
}

fn add(bench: &mut Bench, xid: i32, path: &str, mode: AddWatchMode, at: u64) {
    bench.ask(0, xid, Request::AddWatch { path: path.into(), mode });
    bench.answer(0, xid, at, Ok(Response::WatchAdded)).unwrap();
}
fn take(
    bench: &mut Bench,
    xid: i32,
    watcher: WatcherType,
    at: u64,
    result: Result<Response, ErrorCode>,
) -> Result<(), Violation> {
    bench.ask(0, xid, Request::RemoveWatches { path: "/a".into(), watcher });
    bench.answer(0, xid, at, result)
}
const DONE: Result<Response, ErrorCode> = Ok(Response::Empty);
const NONE: Result<Response, ErrorCode> = Err(ErrorCode::NO_WATCHER);

#[test]
fn persistent_watches_owe_an_event_for_every_change() {
    let mut bench = bench();
    add(&mut bench, 1, "/a", AddWatchMode::Persistent, z(1, 1));
    add(&mut bench, 2, "/", AddWatchMode::PersistentRecursive, z(1, 1));
    watch(&mut bench, 3, "/a", z(1, 1)).unwrap();
    set_data(z(1, 2), &mut bench);
    set_data(z(1, 3), &mut bench);
    let both = vec![create("/a/x", 1, false), create("/a/y", 2, false)];
    bench.commit(z(1, 4), SESSION, 4, TxnBody::Multi(both)).unwrap();
    let (made, children) = (EventKind::NodeCreated, EventKind::NodeChildrenChanged);
    bench.notify(0, z(1, 2) as i64, event(CHANGED, "/a")).unwrap();
    // Three watches heard it, and it is told once.
    assert_eq!(broken(bench.notify(0, z(1, 2) as i64, event(CHANGED, "/a"))), "C-WSET");
    bench.notify(0, z(1, 3) as i64, event(CHANGED, "/a")).unwrap();
    for path in ["/a/x", "/a/y"] {
        bench.notify(0, z(1, 4) as i64, event(made, path)).unwrap();
        bench.notify(0, z(1, 4) as i64, event(children, "/a")).unwrap();
    }
    assert_eq!(broken(bench.notify(0, z(1, 4) as i64, event(children, "/a"))), "C-WSET");
    // The root's children are not the recursive watch's.
    bench.commit(z(1, 5), SESSION, 5, create("/b", 2, false)).unwrap();
    assert_eq!(broken(bench.notify(0, z(1, 5) as i64, event(children, "/"))), "C-WSET");
    assert_eq!(broken(watch(&mut bench, 6, "/c", z(1, 5))), "C-WORD");
}

#[test]
fn changes_of_one_transaction_come_in_their_order() {
    let mut bench = bench();
    add(&mut bench, 1, "/a", AddWatchMode::PersistentRecursive, z(1, 1));
    let both = vec![create("/a/x", 1, false), create("/a/y", 2, false)];
    bench.commit(z(1, 2), SESSION, 2, TxnBody::Multi(both)).unwrap();
    bench.notify(0, z(1, 2) as i64, event(EventKind::NodeCreated, "/a/y")).unwrap();
    let x = bench.notify(0, z(1, 2) as i64, event(EventKind::NodeCreated, "/a/x"));
    assert_eq!(broken(x), "C-WSET");
}

#[test]
fn removal_ends_what_it_names_where_it_was_answered() {
    use WatcherType::*;
    let mut bench = bench();
    assert_eq!(broken(take(&mut bench, 1, Any, z(1, 1), DONE)), "C-WSET");
    add(&mut bench, 2, "/a", AddWatchMode::Persistent, z(1, 1));
    watch(&mut bench, 3, "/a", z(1, 1)).unwrap();
    set_data(z(1, 2), &mut bench);
    // Answered by a server that is behind the change.
    take(&mut bench, 4, Children, z(1, 1), NONE).unwrap();
    take(&mut bench, 5, Persistent, z(1, 1), DONE).unwrap();
    assert_eq!(broken(take(&mut bench, 6, Persistent, z(1, 1), DONE)), "C-WSET");
    // The exists watch is left, once.
    bench.notify(0, z(1, 2) as i64, event(CHANGED, "/a")).unwrap();
    take(&mut bench, 7, Data, z(1, 2), NONE).unwrap();
    set_data(z(1, 3), &mut bench);
    assert_eq!(broken(bench.notify(0, z(1, 3) as i64, event(CHANGED, "/a"))), "C-WSET");
    // One that a later change used up is removed before it.
    watch(&mut bench, 8, "/a", z(1, 3)).unwrap();
    set_data(z(1, 4), &mut bench);
    take(&mut bench, 9, Data, z(1, 3), DONE).unwrap();
    assert_eq!(broken(bench.notify(0, z(1, 4) as i64, event(CHANGED, "/a"))), "C-WSET");
}

#[test]
fn who_may_not_read_is_told_nothing() {
    let mut bench = bench();
    add(&mut bench, 1, "/a", AddWatchMode::Persistent, z(1, 1));
    let acl = vec![zebu_core::proto::Acl::world(perms::ALL & !perms::READ)];
    let body = TxnBody::SetAcl { path: "/a".into(), acl, version: 1 };
    bench.commit(z(1, 2), SESSION, 2, body).unwrap();
    set_data(z(1, 3), &mut bench);
    assert_eq!(broken(bench.notify(0, z(1, 3) as i64, event(CHANGED, "/a"))), "C-ACL");
    watch(&mut bench, 3, "/c", z(1, 3)).unwrap();
}

#[test]
fn who_may_read_by_a_login_is_told_from_its_answer_on() {
    let mut bench = bench();
    add(&mut bench, 1, "/a", AddWatchMode::Persistent, z(1, 1));
    let id = Id { scheme: "digest".into(), id: USERS[0].1.into() };
    let acl = vec![Acl { perms: perms::READ, id }];
    let body = TxnBody::SetAcl { path: "/a".into(), acl, version: 1 };
    bench.commit(z(1, 2), SESSION, 2, body).unwrap();
    bench.ask(0, -4, login(0));
    // Its server may have heard of it by then, or not.
    set_data(z(1, 3), &mut bench);
    bench.notify(0, z(1, 3) as i64, event(CHANGED, "/a")).unwrap();
    set_data(z(1, 4), &mut bench);
    bench.answer(0, -4, 0, Ok(Response::Empty)).unwrap();
    watch(&mut bench, 2, "/c", z(1, 4)).unwrap();
    set_data(z(1, 5), &mut bench);
    assert_eq!(broken(watch(&mut bench, 3, "/c", z(1, 5))), "C-WORD");
    // Another connection is nobody's again.
    bench.disconnect(0);
    bench.connect(0, ONE, SESSION);
    add(&mut bench, 4, "/a", AddWatchMode::Persistent, z(1, 5));
    set_data(z(1, 6), &mut bench);
    assert_eq!(broken(bench.notify(0, z(1, 6) as i64, event(CHANGED, "/a"))), "C-ACL");
}

#[test]
fn without_a_quorum_watches_are_kept_and_nothing_is_told() {
    let mut bench = bench();
    bench.connect_to_read(0, ONE, SESSION);
    watch(&mut bench, 1, "/a", z(1, 1)).unwrap();
    assert_eq!(broken(take(&mut bench, 2, WatcherType::Data, z(1, 1), NONE)), "C-WSET");
    assert_eq!(broken(take(&mut bench, 3, WatcherType::Children, z(1, 1), DONE)), "C-WSET");
    // The others have a quorum.
    set_data(z(1, 2), &mut bench);
    watch(&mut bench, 4, "/b", z(1, 1)).unwrap();
    assert_eq!(broken(bench.notify(0, z(1, 2) as i64, event(CHANGED, "/a"))), "C-WSET");
}

#[test]
fn without_a_quorum_catching_up_is_judged_where_the_state_is_known() {
    let set = || {
        Request::SetWatches(SetWatches {
            relative_zxid: Zxid(0),
            data: vec!["/a".into()],
            exist: vec![],
            child: vec![],
            persistent: vec![],
            persistent_recursive: vec![],
        })
    };
    for (at, told, fine) in [
        (z(1, 1), true, true),
        (z(1, 1), false, false),
        // Nobody else ever had that.
        (z(1, 9), true, true),
        (z(1, 9), false, true),
    ] {
        let mut bench = bench();
        bench.connect_to_read(0, ONE, SESSION);
        bench.ask(0, -8, set());
        if told {
            bench.notify(0, -1, event(CHANGED, "/a")).unwrap();
        }
        assert_eq!(bench.answer(0, -8, at, DONE).is_ok(), fine, "{told} at {at:x}");
    }
}

#[test]
fn watches_end_with_their_connection() {
    let mut bench = bench();
    watch(&mut bench, 1, "/a", z(1, 1)).unwrap();
    bench.disconnect(0);
    bench.connect(0, ONE, SESSION);
    set_data(z(1, 2), &mut bench);
    watch(&mut bench, 2, "/b", z(1, 2)).unwrap();
    assert_eq!(broken(bench.notify(0, z(1, 2) as i64, event(CHANGED, "/a"))), "C-WSET");
}

#[test]
fn an_event_that_never_comes() {
    let mut bench = bench();
    watch(&mut bench, 1, "/a", z(1, 1)).unwrap();
    set_data(z(1, 2), &mut bench);
    bench.ask(0, -2, Request::Ping);
    bench.answer(0, -2, z(1, 1), Ok(Response::Empty)).unwrap();
    bench.ask(0, -2, Request::Ping);
    assert_eq!(broken(bench.answer(0, -2, z(1, 2), Ok(Response::Empty))), "C-WSET");
}

#[test]
fn catching_up() {
    let mut bench = bench();
    set_data(z(1, 2), &mut bench);
    bench.commit(z(1, 3), SESSION, 3, create("/b", 2, false)).unwrap();
    let names = |names: &[&str]| names.iter().map(|n| (*n).into()).collect::<Vec<String>>();
    let set = |seen| {
        Request::SetWatches(SetWatches {
            relative_zxid: Zxid(seen),
            data: names(&["/a", "/gone"]),
            exist: names(&["/b", "/c"]),
            child: names(&["/a"]),
            persistent: vec![],
            persistent_recursive: vec![],
        })
    };
    bench.ask(0, -8, set(z(1, 1)));
    bench.notify(0, -1, event(CHANGED, "/a")).unwrap();
    bench.notify(0, -1, event(EventKind::NodeDeleted, "/gone")).unwrap();
    bench.notify(0, -1, event(EventKind::NodeCreated, "/b")).unwrap();
    bench.answer(0, -8, z(1, 3), Ok(Response::Empty)).unwrap();
    // The exists watch of /c was armed; without its event no later reply.
    bench.commit(z(1, 4), SESSION, 4, create("/c", 3, false)).unwrap();
    assert_eq!(broken(watch(&mut bench, 1, "/d", z(1, 4))), "C-WORD");

    bench.disconnect(0);
    bench.connect(0, ONE, SESSION);
    bench.ask(0, -8, set(z(1, 2)));
    let lacking = bench.answer(0, -8, z(1, 3), Ok(Response::Empty));
    assert_eq!(broken(lacking), "C-WSET");
}
