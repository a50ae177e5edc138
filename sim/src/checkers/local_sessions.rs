//! Sessions that only their server knows (C-SESS, C-EXP, C-EPH): such a session lives on the server
//! that granted it, in the same life of that server, and nowhere else. There it is not refused while
//! its client is heard from within its timeout. It becomes a global one only for a client that asked
//! for an ephemeral, and an ephemeral is made only for a session that is global at that moment.
//!
//! Permitted: its end when its client took it to another server and came back: there it may have been
//! told that the session is over; and when it was becoming a global one as the term ended.

use zebu_core::ids::{ConnId, ServerId};
use zebu_core::proto::{ClientMessage, ClientRequest, ConnectResponse, Request};
use zebu_core::server::{Action, Event};
use zebu_core::txn::TxnBody;

use super::facts::local::Greeting;
use super::facts::{Committed, Facts};
use super::{Check, ensure};
use crate::history::{Observation, SimTime, View, Violation};
use crate::model::Lookup;

#[derive(Debug, Default)]
pub struct LocalSessions {
    lives: Lookup<u64, Life>,
}

#[derive(Debug, Default)]
struct Life {
    heard: SimTime,
    timeout: SimTime,
    closed: bool,
}

impl Check for LocalSessions {
    fn observe(
        &mut self,
        facts: &Facts,
        _view: &View<'_>,
        what: &Observation<'_>,
    ) -> Result<(), Violation> {
        if !facts.info.local_sessions {
            return Ok(());
        }
        facts.news.committed.iter().try_for_each(|committed| is_due(facts, committed))?;
        match what {
            Observation::Event { server, event: Event::Client { conn, request } } => {
                self.on_request(facts, *server, *conn, request);
            }
            Observation::Action {
                server,
                action: Action::Reply { conn, message: ClientMessage::Connected(granted) },
            } => return self.on_answer(facts, *server, *conn, granted),
            _ => {}
        }
        Ok(())
    }
}

/// A transaction about a session that was local, or about what none may own.
fn is_due(facts: &Facts, committed: &Committed) -> Result<(), Violation> {
    let txn = &committed.proposed.txn;
    let session = txn.header.session.0;
    if let TxnBody::CreateSession { .. } = txn.body
        && let Some(local) = facts.local.get(&session)
    {
        ensure(local.wants_more, "C-SESS", || {
            let zxid = txn.header.zxid;
            format!("session {session:x} is global at {zxid}, its client never asked for it")
        })?;
    }
    let ephemeral = match &txn.body {
        TxnBody::Multi(parts) => parts.iter().any(makes_ephemeral),
        body => makes_ephemeral(body),
    };
    ensure(!ephemeral || committed.session_was_open, "C-EPH", || {
        let zxid = txn.header.zxid;
        format!("{zxid} makes an ephemeral for {session:x}, which is no open global session")
    })
}

fn makes_ephemeral(body: &TxnBody) -> bool {
    matches!(body, TxnBody::Create(create) | TxnBody::Create2(create) if create.ephemeral)
}

impl LocalSessions {
    fn on_request(
        &mut self,
        facts: &Facts,
        server: ServerId,
        conn: ConnId,
        request: &ClientRequest,
    ) {
        if let ClientRequest::Connect(_) = request {
            return;
        }
        let session = facts.greeting(server, conn).map_or(0, Greeting::session);
        if let Some(life) = self.lives.get_mut(&session) {
            life.heard = facts.now;
            let closes =
                matches!(request, ClientRequest::Request { request: Request::CloseSession, .. });
            life.closed |= closes;
        }
    }

    fn on_answer(
        &mut self,
        facts: &Facts,
        server: ServerId,
        conn: ConnId,
        granted: &ConnectResponse,
    ) -> Result<(), Violation> {
        let asked = facts.greeting(server, conn).map_or(0, |greeting| greeting.asked.session.0);
        let session = if granted.timeout_ms > 0 { granted.session.0 } else { asked };
        if !facts.is_local(session) {
            return Ok(());
        }
        let local = &facts.local[&session];
        let incarnation = facts.server(server).incarnation;
        let at_home = (server, incarnation) == (local.home, local.incarnation);
        if granted.timeout_ms > 0 {
            let timeout = granted.timeout_ms as SimTime * 1_000_000;
            let life = self.lives.entry(session).or_default();
            (life.heard, life.timeout) = (facts.now, timeout);
            return ensure(at_home, "C-SESS", || {
                let home = local.home;
                format!("{server:?} grants session {session:x}, a local one of {home:?}")
            });
        }
        let Some(life) = self.lives.get(&session) else { return Ok(()) };
        let silent = facts.now - life.heard;
        // With its term goes an upgrade that was on its way, and the session with it.
        let may = !at_home || life.closed || local.contested || local.wants_more;
        ensure(may || silent >= facts.at_least(life.timeout), "C-EXP", || {
            let silent = silent / 1_000_000;
            format!("{server:?} refuses its own session {session:x} after {silent} ms of silence")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkers::testkit::{Bench, MS, ONE, TWO, info, z};
    use crate::model::tests::create;
    use crate::scenario::ScenarioInfo;
    use bytes::Bytes;
    use zebu_core::ids::{SessionId, Xid, Zxid};
    use zebu_core::proto::{Acl, ConnectRequest, CreateRequest};

    const HERE: u64 = 0x0100_0000_0000_0001;

    fn bench() -> Bench {
        let info = ScenarioInfo { local_sessions: true, ..info(3) };
        let mut bench = Bench::with(info, vec![Box::new(LocalSessions::default())]);
        bench.lead(ONE, 1);
        bench.establish(ONE, TWO, 1);
        greet(&mut bench, ONE, 0, 4000).unwrap();
        bench
    }
    fn greet(
        bench: &mut Bench,
        server: ServerId,
        session: u64,
        timeout_ms: i32,
    ) -> Result<(), Violation> {
        let asked = ConnectRequest {
            protocol_version: 0,
            last_zxid_seen: Zxid(0),
            timeout_ms: 4000,
            session: SessionId(session),
            password: Bytes::new(),
            read_only: None,
        };
        let granted = ConnectResponse {
            protocol_version: 0,
            timeout_ms,
            session: SessionId(if timeout_ms > 0 { HERE } else { 0 }),
            password: [7; 16],
            read_only: None,
        };
        let (conn, request) = (ConnId(1), ClientRequest::Connect(asked));
        bench.put(0, server, request.clone())?;
        bench.event(server, &Event::Client { conn, request })?;
        let message = ClientMessage::Connected(granted);
        bench.action(server, &Action::Reply { conn, message: message.clone() })?;
        bench.take(0, server, message)
    }
    fn opens() -> TxnBody {
        TxnBody::CreateSession { timeout_ms: 4000 }
    }
    fn ask_ephemeral(bench: &mut Bench) {
        let (data, acl) = (None, Acl::open());
        let create = CreateRequest { path: "/e".into(), data, acl, flags: 1 };
        bench.ask(0, 1, Request::Create(create));
    }
    fn broken(result: Result<(), Violation>) -> &'static str {
        result.unwrap_err().property
    }

    #[test]
    fn it_lives_at_home_and_nowhere_else() {
        let mut bench = bench();
        assert!(bench.facts().is_local(HERE));
        greet(&mut bench, ONE, HERE, 4000).unwrap();
        assert_eq!(broken(greet(&mut bench, TWO, HERE, 4000)), "C-SESS");
        let mut bench = self::bench();
        bench.wipe(ONE);
        assert_eq!(broken(greet(&mut bench, ONE, HERE, 4000)), "C-SESS");
    }

    #[test]
    fn it_is_not_refused_in_its_time() {
        let mut bench = bench();
        assert_eq!(broken(greet(&mut bench, ONE, HERE, 0)), "C-EXP");
        let mut bench = self::bench();
        ask_ephemeral(&mut bench);
        greet(&mut bench, ONE, HERE, 0).unwrap();
        let mut bench = self::bench();
        bench.now += 4000 * MS;
        greet(&mut bench, ONE, HERE, 0).unwrap();
        let mut bench = self::bench();
        greet(&mut bench, TWO, HERE, 0).unwrap();
        greet(&mut bench, ONE, HERE, 0).unwrap();
        let mut bench = self::bench();
        let request = ClientRequest::Request { xid: Xid(1), request: Request::CloseSession };
        bench.event(ONE, &Event::Client { conn: ConnId(1), request }).unwrap();
        greet(&mut bench, ONE, HERE, 0).unwrap();
    }

    #[test]
    fn only_an_ephemeral_makes_it_global() {
        let mut bench = bench();
        assert_eq!(broken(bench.commit(z(1, 1), HERE, 0, opens())), "C-SESS");
        let mut bench = self::bench();
        ask_ephemeral(&mut bench);
        bench.commit(z(1, 1), HERE, 0, opens()).unwrap();
        assert!(!bench.facts().is_local(HERE));
        bench.commit(z(1, 2), HERE, 1, create("/e", 1, true)).unwrap();
        greet(&mut bench, TWO, HERE, 4000).unwrap();
    }

    #[test]
    fn no_ephemeral_without_a_global_session() {
        let mut bench = bench();
        ask_ephemeral(&mut bench);
        bench.commit(z(1, 1), HERE, 2, create("/n", 1, false)).unwrap();
        assert_eq!(broken(bench.commit(z(1, 2), HERE, 1, create("/e", 2, true))), "C-EPH");
        let mut bench = self::bench();
        let parts = vec![create("/n", 1, false), create("/e", 2, true)];
        assert_eq!(broken(bench.commit(z(1, 1), HERE, 1, TxnBody::Multi(parts))), "C-EPH");
    }
}
