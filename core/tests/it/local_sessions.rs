//! Sessions that one server knows, and how they become global ones.

use zebu_core::config::{Config, LocalSessions};
use zebu_core::ids::{ConnId, ServerId, SessionId, Xid};
use zebu_core::proto::{
    Acl, ClientMessage, CreateRequest, ErrorCode, MultiResult, QuorumPacket, Request, Response,
};

use crate::cluster::Cluster;

fn upgrading(config: &mut Config) {
    config.local_sessions = LocalSessions { enabled: true, upgrading: true };
}
fn plain(config: &mut Config) {
    config.local_sessions = LocalSessions { enabled: true, upgrading: false };
}
/// Three servers, of which 3 leads.
fn three(configure: fn(&mut Config)) -> Cluster {
    let mut c = Cluster::tuned(3, configure);
    c.run_ms(300);
    assert_eq!(c.leader(), Some(ServerId(3)));
    c
}

fn create(path: &str, flags: i32) -> Request {
    Request::Create(CreateRequest { path: path.into(), data: None, acl: Acl::open(), flags })
}
fn delete(path: &str) -> Request {
    Request::Delete { path: path.into(), version: -1 }
}

/// Counter of the zxid and result of each reply.
fn results(c: &mut Cluster, server: i64, conn: u64) -> Vec<(u32, Result<Response, ErrorCode>)> {
    let reply = |message| match message {
        ClientMessage::Reply { zxid, result, .. } => (zxid as u32, result),
        other => panic!("{other:?}"),
    };
    c.replies(server, conn).into_iter().map(reply).collect()
}
fn path(path: &str) -> Result<Response, ErrorCode> {
    Ok(Response::Path(path.into()))
}
/// Is the session granted, as a client that comes with it is told?
fn is_granted(c: &mut Cluster, server: i64, conn: u64, session: SessionId) -> bool {
    c.greet(server, conn, session);
    match c.replies(server, conn).as_slice() {
        [ClientMessage::Connected(granted)] if granted.timeout_ms > 0 => {
            assert_eq!(granted.session, session);
            true
        }
        [ClientMessage::Connected(_)] => false,
        other => panic!("{other:?}"),
    }
}
fn is_global(c: &Cluster, session: SessionId) -> bool {
    c.servers.values().all(|server| server.database().sessions.contains_key(&session))
}

#[test]
fn a_local_session_comes_and_goes_without_a_transaction() {
    for at in [2, 3] {
        let mut c = three(upgrading);
        let session = c.connect(at, 1);
        assert_eq!(session.0 >> 56, at as u64, "the id names its server");
        c.send(at, 1, 1, create("/n", 0));
        c.send(at, 1, 2, Request::CloseSession);
        c.send(at, 1, 3, delete("/n"));
        // The close names the state that it leaves; nothing behind it is answered.
        assert_eq!(results(&mut c, at, 1), [(1, path("/n")), (1, Ok(Response::Empty))]);
        assert!(c.closed.contains(&(ServerId(at), ConnId(1))));
        assert!(!is_granted(&mut c, at, 2, session));
        assert_eq!(c.disks[&ServerId(3)].log.len(), 1);
    }
}

#[test]
fn it_is_known_at_home_and_nowhere_else() {
    let mut c = three(upgrading);
    let session = c.connect(1, 1);
    assert!(is_granted(&mut c, 1, 2, session));
    assert!(c.closed.contains(&(ServerId(1), ConnId(1))), "the older connection gives way");
    assert!(!is_granted(&mut c, 2, 3, session));
    assert!(!is_granted(&mut c, 3, 4, session));
}

#[test]
fn it_expires_where_it_lives() {
    let mut c = three(upgrading);
    let session = c.connect(1, 1);
    c.run_ms(3900);
    c.send(1, 1, 1, Request::Ping);
    c.run_ms(3900);
    assert!(!c.closed.contains(&(ServerId(1), ConnId(1))));
    c.run_ms(400);
    assert!(c.closed.contains(&(ServerId(1), ConnId(1))));
    assert!(!is_granted(&mut c, 1, 2, session));
    assert!(c.disks[&ServerId(3)].log.is_empty());
}

#[test]
fn the_first_ephemeral_makes_it_global_right_before() {
    for at in [2, 3] {
        let mut c = three(upgrading);
        let session = c.connect(at, 1);
        c.send(at, 1, 1, create("/n", 0));
        c.send(at, 1, 2, create("/e", 1));
        c.send(at, 1, 3, create("/s", 3));
        c.send(at, 1, 4, delete("/n"));
        let replies = results(&mut c, at, 1);
        assert_eq!(
            replies,
            [(1, path("/n")), (3, path("/e")), (4, path("/s0000000002")), (5, Ok(Response::Empty))]
        );
        assert!(is_global(&c, session));
        // Another server may take it over now, and its end is a transaction.
        assert!(is_granted(&mut c, 1, 2, session));
        c.send(1, 2, 5, Request::CloseSession);
        assert_eq!(results(&mut c, 1, 2), [(6, Ok(Response::Empty))]);
        assert!(c.servers[&ServerId(1)].database().tree.get("/e").is_none());
    }
}

#[test]
fn what_makes_no_ephemeral_makes_nothing_global() {
    let mut c = three(upgrading);
    let session = c.connect(2, 1);
    let multi = |parts| Request::Multi(parts);
    c.send(2, 1, 1, multi(vec![create("/a", 0), create("/b", 2)]));
    let Request::Create(container) = create("/c", 4) else { unreachable!() };
    c.send(2, 1, 2, Request::CreateContainer(container));
    let replies = results(&mut c, 2, 1);
    assert!(replies.iter().all(|(_, result)| result.is_ok()), "{replies:?}");
    assert!(!is_global(&c, session));
    c.send(2, 1, 3, multi(vec![create("/d", 0), create("/e", 1)]));
    assert_eq!(results(&mut c, 2, 1)[0].0, 4, "the session's transaction came before it");
    assert!(is_global(&c, session));
}

#[test]
fn an_ephemeral_of_a_session_that_stays_local_is_refused() {
    for at in [2, 3] {
        let mut c = three(plain);
        let session = c.connect(at, 1);
        c.send(at, 1, 1, create("/e", 1));
        c.send(at, 1, 2, Request::Multi(vec![create("/n", 0), create("/e", 1)]));
        c.send(at, 1, 3, create("/n", 0));
        let refused = ErrorCode::EPHEMERAL_ON_LOCAL_SESSION;
        let parts = [ErrorCode::OK, refused].map(MultiResult::Error);
        assert_eq!(
            results(&mut c, at, 1),
            [(1, Err(refused)), (2, Ok(Response::Multi(parts.into()))), (3, path("/n"))]
        );
        assert!(is_granted(&mut c, at, 2, session));
        assert!(!is_global(&c, session));
    }
}

#[test]
fn a_close_behind_an_ephemeral_is_global() {
    let mut c = three(upgrading);
    c.connect(1, 1);
    c.send(1, 1, 1, Request::Sync { path: "/".into() });
    c.send(1, 1, 2, create("/e", 1));
    c.send(1, 1, 3, Request::CloseSession);
    let replies = results(&mut c, 1, 1);
    assert_eq!(replies[1..], [(2, path("/e")), (3, Ok(Response::Empty))]);
    assert!(c.servers[&ServerId(2)].database().tree.get("/e").is_none());
}

#[test]
fn a_leader_takes_writes_of_sessions_that_it_does_not_know_from_their_home_only() {
    let mut c = three(upgrading);
    let session = c.connect(1, 1);
    // Server 2 speaks for it: a liar, or a bug.
    let forwarded = zebu_core::proto::Forwarded {
        session,
        cxid: Xid(9),
        request: create("/n", 0),
        auth: Vec::new(),
    };
    c.forge(2, 3, QuorumPacket::Request(forwarded));
    c.run_ms(1);
    assert!(c.servers[&ServerId(3)].database().tree.get("/n").is_none());
    c.send(1, 1, 1, create("/n", 0));
    assert_eq!(results(&mut c, 1, 1), [(2, path("/n"))]);
}

/// The client went elsewhere and was told that the session is over. What it left behind at home,
/// under way all the time, must not come to life.
#[test]
fn what_was_told_to_be_over_makes_no_ephemeral() {
    let mut c = three(upgrading);
    let session = c.connect(1, 1);
    assert!(!is_granted(&mut c, 2, 2, session));
    c.send(1, 1, 1, create("/e", 1));
    assert!(results(&mut c, 1, 1).is_empty());
    assert!(c.closed.contains(&(ServerId(1), ConnId(1))));
    assert!(c.servers.values().all(|server| server.database().tree.get("/e").is_none()));
    assert!(!is_granted(&mut c, 1, 3, session));
}

#[test]
fn a_write_of_a_session_that_was_told_to_be_over_ends_it_at_home_too() {
    let mut c = three(upgrading);
    let session = c.connect(1, 1);
    assert!(!is_granted(&mut c, 2, 2, session));
    c.send(1, 1, 1, create("/n", 0));
    assert_eq!(results(&mut c, 1, 1), [(1, Err(ErrorCode::SESSION_EXPIRED))]);
    assert!(!is_granted(&mut c, 1, 3, session));
}

#[test]
fn it_outlives_a_leader() {
    let mut c = three(upgrading);
    let session = c.connect(1, 1);
    c.crash(ServerId(3));
    c.run_ms(1000);
    assert_eq!(c.leader(), Some(ServerId(2)));
    assert!(is_granted(&mut c, 1, 2, session));
    c.send(1, 2, 1, create("/e", 1));
    assert_eq!(results(&mut c, 1, 2), [(2, path("/e"))]);
}

/// The leader dies with the upgrade in its hands: nobody else has it, and the session is over. Had
/// the others logged it, it would stand.
#[test]
fn a_term_that_ends_in_the_midst_of_an_upgrade() {
    for logged in [false, true] {
        let mut c = three(upgrading);
        let session = c.connect(1, 1);
        if logged {
            // The acknowledgements are lost on their way.
            c.cut.insert((ServerId(2), ServerId(3)));
            c.send(1, 1, 1, create("/e", 1));
            c.settle_without_acks(1, 3);
        } else {
            c.cut.insert((ServerId(1), ServerId(3)));
            c.send(1, 1, 1, create("/e", 1));
        }
        assert_eq!(results(&mut c, 1, 1), []);
        c.crash(ServerId(3));
        c.cut.clear();
        c.run_ms(1000);
        assert_eq!(c.leader(), Some(ServerId(2)));
        assert_eq!(is_granted(&mut c, 1, 2, session), logged);
        assert_eq!(is_global(&c, session), logged);
        let made = c.servers[&ServerId(2)].database().tree.get("/e").is_some();
        assert_eq!(made, logged, "no ephemeral without its session");
    }
}

/// Until its transaction is committed it may yet be lost: nobody is granted it.
#[test]
fn nobody_is_granted_a_session_that_may_be_lost() {
    let mut c = three(upgrading);
    let session = c.connect(1, 1);
    c.cut.insert((ServerId(2), ServerId(3)));
    c.send(1, 1, 1, create("/e", 1));
    c.settle_without_acks(1, 3);
    c.greet(3, 2, session);
    assert_eq!(c.replies(3, 2), []);
    assert!(!c.closed.contains(&(ServerId(3), ConnId(2))));
}

#[test]
fn a_server_alone_may_have_them_too() {
    let mut c = Cluster::tuned(1, upgrading);
    c.settle();
    let session = c.connect(1, 1);
    c.send(1, 1, 1, create("/n", 0));
    c.send(1, 1, 2, create("/e", 1));
    assert_eq!(results(&mut c, 1, 1), [(1, path("/n")), (3, path("/e"))]);
    assert!(is_global(&c, session));
}

#[test]
fn without_local_sessions_nothing_unknown_may_write() {
    let mut c = three(|_| {});
    let session = c.connect(1, 1);
    assert!(is_global(&c, session));
    let unknown = zebu_core::proto::Forwarded {
        session: SessionId(session.0 + 77),
        cxid: Xid(9),
        request: create("/n", 0),
        auth: Vec::new(),
    };
    c.forge(1, 3, QuorumPacket::Request(unknown));
    c.run_ms(1);
    assert!(c.servers[&ServerId(3)].database().tree.get("/n").is_none());
}
