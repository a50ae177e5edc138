//! What clients ask in several of these tests, and what they are answered.

use zebu_core::ids::{ConnId, ServerId};
use zebu_core::proto::{
    Acl, ClientMessage, ClientRequest, CreateRequest, ErrorCode, FourLetterWord, Request, Response,
};
use zebu_core::server::Event;

use crate::cluster::Cluster;

pub(crate) fn create(path: &str, flags: i32) -> Request {
    let (data, acl) = (Some("x".into()), Acl::open());
    Request::Create(CreateRequest { path: path.into(), data, acl, flags })
}

/// What the client was answered since, and nothing else.
pub(crate) fn results(c: &mut Cluster, server: i64, conn: u64) -> Vec<Result<Response, ErrorCode>> {
    let result = |message| match message {
        ClientMessage::Reply { result, .. } => result,
        other => panic!("{other:?}"),
    };
    c.replies(server, conn).into_iter().map(result).collect()
}

/// What an operator is told, over a new connection.
pub(crate) fn word(c: &mut Cluster, server: i64, conn: u64, word: FourLetterWord) -> String {
    let (at, conn, now) = (ServerId(server), ConnId(conn), c.now());
    let server = c.servers.get_mut(&at).unwrap();
    server.handle(now, Event::ConnOpen { conn, ip: "10.0.0.1".into(), port: 9 });
    server.handle(now, Event::Client { conn, request: ClientRequest::FourLetterWord(word) });
    c.wake(at);
    match c.replies(at.0, conn.0).as_slice() {
        [ClientMessage::Text(text)] => text.clone(),
        other => panic!("{other:?}"),
    }
}

/// A client of `server` pings and keeps its session for longer than that lasts by itself, then it is silent.
pub(crate) fn a_session_lives_by_its_pings(c: &mut Cluster, server: i64) {
    let session = c.connect(server, 1);
    for _ in 0..8 {
        c.send(server, 1, -2, Request::Ping);
        c.run_ms(1_000);
    }
    let known =
        |c: &Cluster| c.servers.values().all(|s| s.database().sessions.contains_key(&session));
    assert!(known(c));
    c.run_ms(6_000);
    assert!(!known(c));
}
