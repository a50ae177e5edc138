//! Watches through a whole server: what each connection is sent, in its order. What fires which
//! watch is tested beside the table.

use zebu_core::ids::ServerId;
use zebu_core::proto::{
    Acl, AddWatchMode, ClientMessage, CreateRequest, ErrorCode, Id, Request, SetWatches,
    WatcherType, perms,
};

use crate::cluster::Cluster;

const WRITER: u64 = 1;
const WATCHER: u64 = 2;
const RECURSIVE: AddWatchMode = AddWatchMode::PersistentRecursive;

/// A server alone that both are connected to.
fn cluster() -> Cluster {
    let mut c = Cluster::new(1);
    c.settle();
    c.connect(1, WRITER);
    c.connect(1, WATCHER);
    c
}

fn create(path: &str, flags: i32) -> Request {
    create_for(path, flags, Acl::open())
}
fn create_for(path: &str, flags: i32, acl: Vec<Acl>) -> Request {
    Request::Create(CreateRequest { path: path.into(), data: None, acl, flags })
}
fn set_data(path: &str, version: i32) -> Request {
    Request::SetData { path: path.into(), data: None, version }
}
fn delete(path: &str) -> Request {
    Request::Delete { path: path.into(), version: -1 }
}
fn add_watch(path: &str, mode: AddWatchMode) -> Request {
    Request::AddWatch { path: path.into(), mode }
}
fn remove(path: &str, watcher: WatcherType) -> Request {
    Request::RemoveWatches { path: path.into(), watcher }
}

/// What a connection was sent: `xid`, `xid error`, or `kind path`.
fn told(c: &mut Cluster, conn: u64) -> Vec<String> {
    let line = |message: &ClientMessage| match message {
        ClientMessage::Reply { xid, result: Ok(_), .. } => format!("{}", xid.0),
        ClientMessage::Reply { xid, result: Err(code), .. } => format!("{} {}", xid.0, code.0),
        ClientMessage::Event { zxid: -1, event } => format!("late {:?} {}", event.kind, event.path),
        ClientMessage::Event { event, .. } => format!("{:?} {}", event.kind, event.path),
        other => format!("{other:?}"),
    };
    c.replies(1, conn).iter().map(line).collect()
}

#[test]
fn a_recursive_watch_hears_multis_and_the_end_of_a_session() {
    let mut c = cluster();
    c.send(1, WATCHER, 1, add_watch("/", RECURSIVE));
    assert_eq!(told(&mut c, WATCHER), ["1"]);
    let parts = vec![
        create("/a", 0),
        create("/a/b", 0),
        set_data("/a/b", 0),
        delete("/a/b"),
        create("/a/e", 1),
    ];
    c.send(1, WRITER, 1, Request::Multi(parts));
    let changes = [
        "NodeCreated /a",
        "NodeCreated /a/b",
        "NodeDataChanged /a/b",
        "NodeDeleted /a/b",
        "NodeCreated /a/e",
    ];
    assert_eq!(told(&mut c, WATCHER), changes);
    c.send(1, WRITER, 2, Request::Multi(vec![create("/no", 0), set_data("/a", 7)]));
    c.send(1, WRITER, 3, set_data("/missing", -1));
    assert_eq!(told(&mut c, WATCHER).len(), 0, "what fails fires nothing");
    c.send(1, WRITER, 4, Request::CloseSession);
    assert_eq!(told(&mut c, WATCHER), ["NodeDeleted /a/e"]);
    c.send(1, WATCHER, 2, remove("/", WatcherType::PersistentRecursive));
    c.send(1, WATCHER, 3, create("/unheard", 0));
    c.send(1, WATCHER, 4, remove("/", WatcherType::Any));
    let none = ErrorCode::NO_WATCHER.0;
    assert_eq!(told(&mut c, WATCHER), ["2".into(), "3".into(), format!("4 {none}")]);
}

#[test]
fn events_of_ones_own_writes_come_before_their_replies() {
    let mut c = cluster();
    c.send(1, WRITER, 1, add_watch("/a", AddWatchMode::Persistent));
    c.send(1, WRITER, 2, create("/a", 0));
    c.send(1, WRITER, 3, create("/a/e", 1));
    c.send(1, WRITER, 4, add_watch("/a", RECURSIVE));
    c.send(1, WRITER, 5, Request::CloseSession);
    let expected = [
        "1",
        "NodeCreated /a",
        "2",
        "NodeChildrenChanged /a",
        "3",
        "4",
        "NodeDeleted /a/e",
        "NodeChildrenChanged /a",
        "5",
    ];
    assert_eq!(told(&mut c, WRITER), expected);
}

#[test]
fn set_watches_brings_persistent_ones_along_without_catching_up() {
    let mut c = cluster();
    c.send(1, WRITER, 1, create("/a", 0));
    assert_eq!(told(&mut c, WRITER), ["1"]);
    let list = |path: &str| vec![path.to_owned()];
    let set = SetWatches {
        relative_zxid: zebu_core::ids::Zxid::ZERO,
        data: list("/a"),
        exist: vec![],
        child: vec![],
        persistent: list("/a"),
        persistent_recursive: list("/"),
    };
    c.send(1, WATCHER, -8, Request::SetWatches(set));
    c.send(1, WRITER, 2, create("/a/b", 0));
    c.send(1, WRITER, 3, set_data("/a", -1));
    let expected = [
        "late NodeDataChanged /a",
        "-8",
        "NodeCreated /a/b",
        "NodeChildrenChanged /a",
        "NodeDataChanged /a",
    ];
    assert_eq!(told(&mut c, WATCHER), expected);
    let check = |path: &str, watcher| Request::CheckWatches { path: path.into(), watcher };
    c.send(1, WATCHER, 1, check("/a", WatcherType::Persistent));
    c.send(1, WATCHER, 2, check("/a", WatcherType::Data));
    assert_eq!(told(&mut c, WATCHER), ["1", "2 -121"]);
}

/// CVE-2024-23944: whoever watches `/` would learn of every path.
#[test]
fn who_may_not_read_a_node_is_not_told_of_it() {
    let mut c = cluster();
    let auth = Request::Auth { scheme: "digest".into(), auth: "ann:secret".into() };
    c.send(1, WRITER, -4, auth);
    c.send(1, WRITER, 1, add_watch("/", RECURSIVE));
    c.send(1, WATCHER, 1, add_watch("/", RECURSIVE));
    c.send(1, WATCHER, 2, add_watch("/secret", AddWatchMode::Persistent));
    let exists = |path: &str| Request::Exists { path: path.into(), watch: true };
    c.send(1, WATCHER, 3, exists("/secret"));
    assert_eq!(told(&mut c, WATCHER), ["1", "2", "3 -101"]);
    told(&mut c, WRITER);

    let own = Acl { perms: perms::ALL, id: Id { scheme: "auth".into(), id: String::new() } };
    c.send(1, WRITER, 2, create_for("/secret", 0, vec![own]));
    c.send(1, WRITER, 3, set_data("/secret", -1));
    c.send(1, WRITER, 4, create("/secret/open", 0));
    c.send(1, WRITER, 5, delete("/secret/open"));
    c.send(1, WRITER, 6, delete("/secret"));
    let all = [
        "NodeCreated /secret",
        "2",
        "NodeDataChanged /secret",
        "3",
        "NodeCreated /secret/open",
        "4",
        "NodeDeleted /secret/open",
        "5",
        "NodeDeleted /secret",
        "6",
    ];
    assert_eq!(told(&mut c, WRITER), all);
    // A child with a list of its own is its own affair; its parent's children are the parent's.
    let open = ["NodeCreated /secret/open", "NodeDeleted /secret/open"];
    assert_eq!(told(&mut c, WATCHER), open);
    let data = Request::CheckWatches { path: "/secret".into(), watcher: WatcherType::Data };
    c.send(1, WATCHER, 4, data);
    assert_eq!(told(&mut c, WATCHER), ["4 -121"], "used up without a word");
}

/// Nobody tells the server that it has left: a cable was pulled, or a firewall forgot.
#[test]
fn a_client_that_went_elsewhere_leaves_no_connection_behind() {
    let mut c = Cluster::new(3);
    c.run_ms(300);
    let session = c.connect(1, WATCHER);
    c.send(1, WATCHER, 1, Request::Exists { path: "/a".into(), watch: true });
    let other = c.connect(1, WRITER);
    c.greet(2, WATCHER, session);
    let watching = |c: &Cluster| c.servers[&ServerId(1)].watching_conns();
    for second in 0..4 {
        c.run_ms(1_000);
        assert_eq!(watching(&c), 1, "after {second} s");
        c.send(2, WATCHER, -2, Request::Ping);
        c.send(1, WRITER, -2, Request::Ping);
    }
    c.run_ms(500);
    assert_eq!(watching(&c), 0);
    // Neither the session, nor who pings, is the worse for it.
    c.run_ms(2_000);
    for (server, conn) in [(2, WATCHER), (1, WRITER)] {
        c.replies(server, conn);
        c.send(server, conn, 7, create(&format!("/by{server}"), 0));
        assert!(matches!(
            &c.replies(server, conn)[..],
            [ClientMessage::Reply { result: Ok(_), .. }]
        ));
    }
    let sessions = &c.servers[&ServerId(3)].database().sessions;
    assert!(sessions.contains_key(&session) && sessions.contains_key(&other));
}
