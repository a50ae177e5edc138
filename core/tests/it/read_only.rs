//! Servers without a quorum, for clients that only read.

use zebu_core::config::Config;
use zebu_core::ids::{ConnId, ServerId, SessionId};
use zebu_core::proto::{
    Acl, ClientMessage, ErrorCode, FourLetterWord, MultiResult, Request, Response,
};
use zebu_core::time::Duration;

use crate::asking::{create, results, word};
use crate::cluster::Cluster;

fn read_only(config: &mut Config) {
    config.read_only_mode.enabled = true;
    config.read_only_mode.patience_min = Duration::from_millis(500);
}
fn with_local_sessions(config: &mut Config) {
    read_only(config);
    config.local_sessions.enabled = true;
    config.local_sessions.upgrading = true;
}

fn get(path: &str) -> Request {
    Request::GetData { path: path.into(), watch: true }
}
/// The answer to a client that is content to read: its session if it is granted, 0 if it is over,
/// nothing if the connection is closed without a word.
fn greeted(c: &mut Cluster, server: i64, conn: u64, session: SessionId) -> Option<SessionId> {
    c.greet_as(server, conn, session, true);
    match c.replies(server, conn).as_slice() {
        [] => {
            assert!(c.closed.contains(&(ServerId(server), ConnId(conn))));
            None
        }
        [ClientMessage::Connected(granted)] => Some(granted.session),
        other => panic!("{other:?}"),
    }
}

/// Server 1 of three, with /n, lost the others a second ago. A session of its client is global.
fn lonely(configure: fn(&mut Config)) -> (Cluster, SessionId) {
    let mut c = Cluster::tuned(3, configure);
    c.run_ms(300);
    let session = c.connect(1, 1);
    c.send(1, 1, 1, create("/n", 0));
    c.send(1, 1, 2, create("/e", 1));
    assert_eq!(results(&mut c, 1, 1).len(), 2);
    c.crash(ServerId(2));
    c.crash(ServerId(3));
    c.run_ms(400);
    assert_eq!(c.servers[&ServerId(1)].mode(), "looking");
    assert_eq!(greeted(&mut c, 1, 90, SessionId(0)), None, "patience comes first");
    c.run_ms(1000);
    assert_eq!(c.servers[&ServerId(1)].mode(), "read-only");
    (c, session)
}

#[test]
fn readers_are_served_and_writers_are_not() {
    for configure in [read_only as fn(&mut Config), with_local_sessions] {
        let (mut c, _) = lonely(configure);
        c.greet(1, 2, SessionId(0));
        assert_eq!(c.replies(1, 2), []);
        assert!(c.closed.contains(&(ServerId(1), ConnId(2))));

        c.greet_as(1, 3, SessionId(0), true);
        match c.replies(1, 3).as_slice() {
            [ClientMessage::Connected(granted)] => {
                assert_eq!((granted.read_only, granted.timeout_ms), (Some(true), 4000));
            }
            other => panic!("{other:?}"),
        }
        let refused = [
            create("/x", 0),
            Request::Delete { path: "/n".into(), version: -1 },
            Request::SetData { path: "/n".into(), data: None, version: -1 },
            Request::SetAcl { path: "/n".into(), acl: Acl::open(), version: -1 },
            Request::Multi(vec![]),
            Request::Sync { path: "/n".into() },
        ];
        for (xid, request) in (1..).zip(refused.clone()) {
            c.send(1, 3, xid, request);
        }
        assert_eq!(results(&mut c, 1, 3), vec![Err(ErrorCode::NOT_READ_ONLY); refused.len()]);
        c.send(1, 3, 10, get("/n"));
        c.send(1, 3, 11, Request::MultiRead(vec![get("/n"), get("/x")]));
        c.send(1, 3, 12, Request::WhoAmI);
        c.send(1, 3, 13, Request::Ping);
        let answers = results(&mut c, 1, 3);
        assert!(matches!(&answers[0], Ok(Response::Data { .. })), "{answers:?}");
        assert!(
            matches!(&answers[1], Ok(Response::Multi(parts))
                if parts[1] == MultiResult::Error(ErrorCode::NO_NODE)),
            "{answers:?}"
        );
        assert_eq!(answers.len(), 4);
        let log = c.disks[&ServerId(1)].log.len();
        c.send(1, 3, 14, Request::CloseSession);
        assert_eq!(results(&mut c, 1, 3), [Ok(Response::Empty)]);
        assert_eq!(c.disks[&ServerId(1)].log.len(), log);
    }
}

#[test]
fn words_say_so() {
    let (mut c, _) = lonely(read_only);
    assert_eq!(word(&mut c, 1, 5, FourLetterWord::Isro), "ro");
    let srvr = word(&mut c, 1, 6, FourLetterWord::Srvr);
    let second = srvr.lines().nth(1);
    assert_eq!(second, Some("READ-ONLY mode; serving only read-only clients"));
    assert!(srvr.contains("Mode: read-only\n"), "{srvr}");
    let mntr = word(&mut c, 1, 7, FourLetterWord::Mntr);
    assert!(mntr.contains("zk_server_state\tread-only\n"), "{mntr}");
}

#[test]
fn the_mode_ends_when_there_is_a_leader() {
    let (mut c, _) = lonely(read_only);
    let session = greeted(&mut c, 1, 3, SessionId(0)).unwrap();
    c.start(ServerId(2));
    c.run_ms(1500);
    assert!(c.closed.contains(&(ServerId(1), ConnId(3))));
    assert_eq!(word(&mut c, 1, 5, FourLetterWord::Isro), "rw");
    // Nobody with a quorum knows what was a session without one.
    assert_eq!(greeted(&mut c, 1, 6, session), Some(SessionId(0)));
    c.connect(1, 7);
}

#[test]
fn a_local_session_lives_on_through_it() {
    let (mut c, _) = lonely(with_local_sessions);
    let session = greeted(&mut c, 1, 3, SessionId(0)).unwrap();
    c.start(ServerId(2));
    c.run_ms(1500);
    assert_eq!(greeted(&mut c, 1, 4, session), Some(session));
    c.send(1, 4, 1, create("/mine", 1));
    assert_eq!(results(&mut c, 1, 4), [Ok(Response::Path("/mine".into()))]);
}

/// The others may have a quorum and the session may live there: only they can say that it is over.
#[test]
fn a_global_session_is_neither_served_nor_ended() {
    for configure in [read_only as fn(&mut Config), with_local_sessions] {
        let (mut c, session) = lonely(configure);
        assert_eq!(greeted(&mut c, 1, 3, session), None);
        let elsewhere = SessionId(0x0200_0000_0000_0007);
        assert_eq!(greeted(&mut c, 1, 4, elsewhere), None);
        c.start(ServerId(2));
        c.run_ms(1500);
        assert_eq!(greeted(&mut c, 1, 5, session), Some(session));
        assert!(c.servers[&ServerId(1)].database().tree.get("/e").is_some());
    }
}

#[test]
fn sessions_expire_there_too() {
    let (mut c, _) = lonely(read_only);
    let session = greeted(&mut c, 1, 3, SessionId(0)).unwrap();
    c.run_ms(4400);
    assert!(c.closed.contains(&(ServerId(1), ConnId(3))));
    assert_eq!(greeted(&mut c, 1, 4, session), None);
}

#[test]
fn it_is_off_unless_asked_for() {
    let mut c = Cluster::new(3);
    c.run_ms(300);
    c.crash(ServerId(2));
    c.crash(ServerId(3));
    c.run_ms(10_000);
    assert_eq!(c.servers[&ServerId(1)].mode(), "looking");
    assert_eq!(greeted(&mut c, 1, 1, SessionId(0)), None);
    assert_eq!(word(&mut c, 1, 5, FourLetterWord::Isro), "null");
}

/// A transaction that only this server logged is shown; when it is cut off later, the client that
/// saw it is let in all the same, by zxids of a later epoch.
#[test]
fn what_is_shown_may_go_and_zxids_do_not() {
    let mut c = Cluster::tuned(3, read_only);
    c.run_ms(300);
    c.connect(3, 1);
    c.send(3, 1, 1, create("/kept", 0));
    assert_eq!(results(&mut c, 3, 1).len(), 1);
    for follower in [1, 2] {
        c.cut.insert((ServerId(3), ServerId(follower)));
        c.cut.insert((ServerId(follower), ServerId(3)));
    }
    c.send(3, 1, 2, create("/orphan", 0));
    c.run_ms(3000);
    assert_eq!(c.servers[&ServerId(3)].mode(), "read-only");
    greeted(&mut c, 3, 2, SessionId(0)).unwrap();
    c.send(3, 2, 1, get("/orphan"));
    let (seen, result) = match &c.replies(3, 2)[..] {
        [ClientMessage::Reply { zxid, result, .. }] => (*zxid, result.clone()),
        other => panic!("{other:?}"),
    };
    assert!(result.is_ok(), "{result:?}");
    let session = c.connect(2, 3);
    c.send(2, 3, 1, get("/orphan"));
    let (shown, result) = match &c.replies(2, 3)[..] {
        [ClientMessage::Reply { zxid, result, .. }] => (*zxid, result.clone()),
        other => panic!("{other:?}"),
    };
    assert_eq!(result, Err(ErrorCode::NO_NODE));
    assert!(shown > seen, "{session}: {shown:x} after {seen:x}");
}
