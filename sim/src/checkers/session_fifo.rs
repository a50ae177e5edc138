//! Order within a session (C-FIFO, C-MONO, C-RYW, C-SYNC): replies come in the order of requests,
//! and the state that they show never goes back, over connections and servers too. A read shows the
//! session's own earlier writes; behind a completed sync it shows every write that anybody had a
//! success reply for before the sync was sent. (Upstream promises the last only while the answering
//! leader still leads; Zebu's asks a quorum first.)
//!
//! Permitted: stale reads without sync. Replies to auth may overtake. The zxids of pings, auth
//! replies and watch events say nothing of a client's position. What a server without a quorum showed
//! may be gone for good; the zxid under which it was shown is not gone back behind all the same.

use zebu_core::ids::{ConnId, ServerId, Xid};
use zebu_core::proto::{ClientMessage, ClientRequest, ErrorCode, Request, Response};
use zebu_core::server::{Action, Event};

use super::facts::Facts;
use super::facts::clients::is_write;
use super::facts::ledger::show;
use super::{Check, ensure};
use crate::history::{Observation, View, Violation};
use crate::model::Lookup;

#[derive(Debug, Default)]
pub struct SessionFifo {
    sessions: Lookup<u64, Position>,
    /// The zxid that a connecting client said it has seen.
    greeted: Lookup<(ServerId, ConnId), u64>,
}

/// What a session has been shown.
#[derive(Clone, Copy, Debug, Default)]
struct Position {
    seen: u64,
    /// Its own newest write.
    wrote: u64,
    /// What its completed syncs promise.
    synced: u64,
}

impl Check for SessionFifo {
    fn observe(
        &mut self,
        facts: &Facts,
        view: &View<'_>,
        what: &Observation<'_>,
    ) -> Result<(), Violation> {
        match what {
            Observation::Received {
                message: ClientMessage::Reply { xid, zxid, result }, ..
            } => self.on_reply(facts, *xid, *zxid, result),
            Observation::Event { server, event: Event::Client { conn, request } } => {
                if let ClientRequest::Connect(connect) = request {
                    self.greeted.insert((*server, *conn), connect.last_zxid_seen.0);
                }
                Ok(())
            }
            Observation::Event { server, event: Event::ConnGone { conn } }
            | Observation::Action { server, action: Action::CloseConn { conn, .. } } => {
                self.greeted.remove(&(*server, *conn));
                Ok(())
            }
            Observation::Action { server, action: Action::Reply { conn, message } } => {
                let ClientMessage::Connected(granted) = message else { return Ok(()) };
                let seen = self.greeted.remove(&(*server, *conn)).unwrap_or(0);
                if granted.timeout_ms <= 0 {
                    return Ok(());
                }
                accepts(facts, view, *server, seen)
            }
            _ => Ok(()),
        }
    }
}

/// A server lets a client in only when it has all that the client has seen.
fn accepts(facts: &Facts, view: &View<'_>, server: ServerId, seen: u64) -> Result<(), Violation> {
    let Some(place) = facts.ledger.resolve(seen) else { return Ok(()) };
    // Shown by a server without a quorum, and gone since.
    if facts.info.local_sessions && place > 0 && !facts.ledger.is_committed(place) {
        return Ok(());
    }
    let here = view.servers.iter().find(|s| s.id == server);
    let Some(database) = here.and_then(|here| here.database) else { return Ok(()) };
    ensure(database.last_processed.0 >= place, "C-MONO", || {
        let (seen, last) = (show(seen), database.last_processed);
        format!("{server:?} at {last} takes a client that has seen {seen}")
    })
}

impl SessionFifo {
    fn on_reply(
        &mut self,
        facts: &Facts,
        xid: Xid,
        zxid: i64,
        result: &Result<Response, ErrorCode>,
    ) -> Result<(), Violation> {
        let Some(answered) = &facts.news.answered else { return Ok(()) };
        let Some(pending) = &answered.pending else {
            let what =
                format!("{:?} got a reply {xid:?} that it did not wait for", answered.client);
            return Err(Violation { property: "C-FIFO", what });
        };
        ensure(answered.in_turn, "C-FIFO", || {
            let (client, due) = (answered.client, pending.xid);
            format!("{client:?} got the reply {xid:?}, due was {due:?} {:?}", pending.request)
        })?;
        let Ok(zxid) = u64::try_from(zxid) else { return Ok(()) };
        let session = facts.conn(answered.client).and_then(|conn| conn.session());
        let (Some(session), false) = (session, matches!(xid, Xid::PING | Xid::AUTH)) else {
            return Ok(());
        };
        let position = self.sessions.entry(session).or_default();
        let was = *position;
        position.seen = was.seen.max(zxid);
        if is_write(&pending.request) {
            position.wrote = was.wrote.max(zxid);
        }
        if let (Request::Sync { .. }, Ok(_)) = (&*pending.request, result) {
            position.synced = was.synced.max(pending.succeeded_upto);
            return Ok(());
        }
        let request = &pending.request;
        let older = |floor: u64, property, why| {
            ensure(zxid >= floor, property, || {
                let (zxid, floor) = (show(zxid), show(floor));
                format!("session {session:x} was answered {request:?} from {zxid}, {why} {floor}")
            })
        };
        older(was.synced, "C-SYNC", "a sync before it promised")?;
        older(was.wrote, "C-RYW", "its own write before it was")?;
        older(was.seen, "C-MONO", "it had seen")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkers::testkit::{Bench, ONE, SESSION, TWO, z};
    use bytes::Bytes;
    use zebu_core::ids::{SessionId, Zxid};
    use zebu_core::proto::{ConnectRequest, ConnectResponse};
    use zebu_core::tree::Database;

    fn bench() -> Bench {
        let mut bench = Bench::new(3, vec![Box::new(SessionFifo::default())]);
        bench.connect(0, ONE, SESSION);
        bench.connect(1, ONE, 6);
        bench
    }
    fn read() -> Request {
        Request::GetData { path: "/a".into(), watch: false }
    }
    fn write() -> Request {
        Request::Delete { path: "/a".into(), version: -1 }
    }
    fn sync() -> Request {
        Request::Sync { path: "/".into() }
    }
    const NONE: Result<Response, ErrorCode> = Err(ErrorCode::NO_NODE);
    fn broken(result: Result<(), Violation>) -> &'static str {
        result.unwrap_err().property
    }

    #[test]
    fn replies_are_in_order() {
        let mut bench = bench();
        bench.ask(0, 1, read());
        bench.ask(0, 2, read());
        assert_eq!(broken(bench.answer(0, 2, 3, NONE)), "C-FIFO");
        bench.answer(0, 2, 3, NONE).unwrap();
        assert_eq!(broken(bench.answer(0, 3, 3, NONE)), "C-FIFO");
    }

    #[test]
    fn the_state_never_goes_back() {
        let mut bench = bench();
        for (xid, request) in [(1, read()), (2, read()), (-2, Request::Ping), (3, write())] {
            bench.ask(0, xid, request);
        }
        bench.answer(0, 1, 7, NONE).unwrap();
        assert_eq!(broken(bench.answer(0, 2, 6, NONE)), "C-MONO");
        bench.answer(0, -2, 2, Ok(Response::Empty)).unwrap();
        bench.answer(0, 3, 9, Ok(Response::Empty)).unwrap();
        bench.disconnect(0);
        bench.connect(0, ONE, SESSION);
        bench.ask(0, 4, read());
        assert_eq!(broken(bench.answer(0, 4, 8, NONE)), "C-RYW");
        bench.ask(1, 1, read());
        bench.answer(1, 1, 2, NONE).unwrap();
    }

    #[test]
    fn behind_a_sync_reads_are_fresh() {
        let mut bench = bench();
        bench.ask(1, 1, write());
        bench.ask(0, 1, sync());
        bench.answer(1, 1, 5, Ok(Response::Empty)).unwrap();
        bench.ask(0, 2, read());
        bench.ask(0, 3, sync());
        bench.ask(0, 4, read());
        bench.answer(0, 1, 2, Ok(Response::Path("/".into()))).unwrap();
        bench.answer(0, 2, 3, NONE).unwrap();
        bench.answer(0, 3, 4, Ok(Response::Path("/".into()))).unwrap();
        assert_eq!(broken(bench.answer(0, 4, 4, NONE)), "C-SYNC");
    }

    #[test]
    fn a_server_that_is_behind_takes_no_client() {
        let mut bench = bench();
        bench.databases[1] =
            Some(Database { last_processed: Zxid(z(1, 4)), ..Database::default() });
        let mut greet = |seen: u64| {
            let asked = ConnectRequest {
                protocol_version: 0,
                last_zxid_seen: Zxid(seen),
                timeout_ms: 1,
                session: SessionId(1),
                password: Bytes::new(),
                read_only: None,
            };
            let request = ClientRequest::Connect(asked);
            bench.event(TWO, &Event::Client { conn: ConnId(1), request }).unwrap();
            let granted = ConnectResponse {
                protocol_version: 0,
                timeout_ms: 4000,
                session: SessionId(1),
                password: [0; 16],
                read_only: None,
            };
            let message = ClientMessage::Connected(granted);
            bench.action(TWO, &Action::Reply { conn: ConnId(1), message })
        };
        greet(z(1, 4)).unwrap();
        assert_eq!(broken(greet(z(1, 5))), "C-MONO");
    }
}
