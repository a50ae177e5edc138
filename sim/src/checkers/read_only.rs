//! Servers without a quorum (C-RO): one that serves clients as read-only writes nothing and promises
//! nothing. It logs and proposes no transaction, carries out no write and no sync for anybody, and
//! lets nobody in who did not ask for so little. What it shows stands still: one zxid, from the first
//! client that it lets in to the last that it sends away, and one that its own disk holds.
//!
//! Permitted: that this zxid is never committed. What is read at it, the checker of reads compares if
//! it is.

use zebu_core::ids::{ServerId, Xid};
use zebu_core::proto::{
    ClientMessage, ConnectRequest, ConnectResponse, ErrorCode, QuorumPacket, Request,
};
use zebu_core::server::{Action, Event, PeerMessage, StoreOp};

use super::facts::Facts;
use super::facts::clients::is_write;
use super::facts::ledger::{show, start_of};
use super::{Check, ensure};
use crate::history::{Observation, View, Violation};
use crate::model::Lookup;

#[derive(Debug, Default)]
pub struct ReadOnly {
    /// The zxid that a server shows while it is read-only.
    shown: Lookup<ServerId, u64>,
}

impl Check for ReadOnly {
    fn observe(
        &mut self,
        facts: &Facts,
        _view: &View<'_>,
        what: &Observation<'_>,
    ) -> Result<(), Violation> {
        match what {
            Observation::Event { server, event: Event::ConnGone { .. } } => {
                self.forget_shown(facts, *server);
                Ok(())
            }
            Observation::Started { server } => {
                self.shown.remove(server);
                Ok(())
            }
            Observation::Action { server, action } => self.on_action(facts, *server, action),
            Observation::Received {
                client,
                message: ClientMessage::Reply { xid, zxid, result },
                ..
            } if facts.reads_only(*client) && *xid != Xid::AUTH => {
                let Some(answered) = &facts.news.answered else { return Ok(()) };
                let Some(pending) = &answered.pending else { return Ok(()) };
                let writes = is_write(&pending.request)
                    && *pending.request != Request::CloseSession
                    || matches!(*pending.request, Request::Sync { .. });
                let refused = *result == Err(ErrorCode::NOT_READ_ONLY);
                ensure(writes == refused, "C-RO", || {
                    let (request, at) = (&pending.request, show(*zxid as u64));
                    format!(
                        "{client:?} without a quorum: {request:?} is answered {result:?} at {at}"
                    )
                })
            }
            _ => Ok(()),
        }
    }
}

impl ReadOnly {
    fn on_action(
        &mut self,
        facts: &Facts,
        server: ServerId,
        action: &Action,
    ) -> Result<(), Violation> {
        match action {
            Action::Reply { conn, message: ClientMessage::Connected(granted) } => {
                let asked = facts.greeting(server, *conn).map(|greeting| &greeting.asked);
                on_granted(server, asked, granted)
            }
            Action::Reply {
                conn,
                message: ClientMessage::Reply { zxid, .. } | ClientMessage::Event { zxid, .. },
            } if facts.is_read_only(server, *conn) => self.on_shown(facts, server, *zxid),
            Action::CloseConn { .. } => {
                self.forget_shown(facts, server);
                Ok(())
            }
            Action::Store { op: StoreOp::Append(_), .. }
            | Action::Send {
                message:
                    PeerMessage::Quorum(
                        QuorumPacket::Proposal(_)
                        | QuorumPacket::Inform(_)
                        | QuorumPacket::InformAndActivate { .. }
                        | QuorumPacket::Commit { .. }
                        | QuorumPacket::CommitAndActivate { .. }
                        | QuorumPacket::Ack { .. },
                    ),
                ..
            } => ensure(!facts.serves_read_only(server), "C-RO", || {
                format!("{server:?} serves without a quorum, and does {action:?}")
            }),
            _ => Ok(()),
        }
    }

    /// With the last client goes what holds for all of them: the next one may come in another time
    /// without a quorum.
    fn forget_shown(&mut self, facts: &Facts, server: ServerId) {
        if !facts.serves_read_only(server) {
            self.shown.remove(&server);
        }
    }

    fn on_shown(&mut self, facts: &Facts, server: ServerId, zxid: i64) -> Result<(), Violation> {
        // Watches that come again and auth say nothing of the state.
        let Ok(zxid @ 1..) = u64::try_from(zxid) else { return Ok(()) };
        let known = facts.server(server);
        let shown = *self.shown.entry(server).or_insert(zxid);
        ensure(shown == zxid, "C-RO", || {
            let (shown, zxid) = (show(shown), show(zxid));
            format!("{server:?} without a quorum moves from {shown} to {zxid}")
        })?;
        let began = known.disk.safe_epochs().1.map_or(0, start_of);
        let holds = known.disk.durable().max(began);
        ensure(zxid <= holds, "C-RO", || {
            let (zxid, holds) = (show(zxid), show(holds));
            format!("{server:?} without a quorum shows {zxid}, its disk ends at {holds}")
        })
    }
}

fn on_granted(
    server: ServerId,
    asked: Option<&ConnectRequest>,
    granted: &ConnectResponse,
) -> Result<(), Violation> {
    let wanted = asked.is_some_and(|asked| asked.read_only == Some(true));
    ensure(wanted || granted.read_only != Some(true), "C-RO", || {
        format!("{server:?} without a quorum lets a client in that did not ask for it")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkers::testkit::{Bench, ONE, SESSION, TWO, info, propose, z};
    use crate::scenario::ScenarioInfo;
    use bytes::Bytes;
    use zebu_core::ids::{ConnId, SessionId, Zxid};
    use zebu_core::proto::{ClientRequest, Response};
    use zebu_core::server::{CloseReason, Ticket};

    fn broken(result: Result<(), Violation>) -> &'static str {
        result.unwrap_err().property
    }
    /// Client 0 is served by server 1, which has 1:1 on its disk and no quorum.
    fn bench() -> Bench {
        let info = ScenarioInfo { local_sessions: true, ..info(3) };
        let mut bench = Bench::with(info, vec![Box::new(ReadOnly::default())]);
        bench.log(ONE, &[z(1, 1)]).unwrap();
        greet(&mut bench, Some(true)).unwrap();
        bench
    }
    fn greet(bench: &mut Bench, wanted: Option<bool>) -> Result<(), Violation> {
        let asked = ConnectRequest {
            protocol_version: 0,
            last_zxid_seen: Zxid(0),
            timeout_ms: 4000,
            session: SessionId(0),
            password: Bytes::new(),
            read_only: wanted,
        };
        let granted = ConnectResponse {
            protocol_version: 0,
            timeout_ms: 4000,
            session: SessionId(SESSION),
            password: [7; 16],
            read_only: Some(true),
        };
        let (conn, request) = (ConnId(1), ClientRequest::Connect(asked));
        bench.put(0, ONE, request.clone())?;
        bench.event(ONE, &Event::Client { conn, request })?;
        let message = ClientMessage::Connected(granted);
        bench.action(ONE, &Action::Reply { conn, message: message.clone() })?;
        bench.take(0, ONE, message)
    }
    fn get() -> Request {
        Request::GetData { path: "/a".into(), watch: false }
    }
    fn delete() -> Request {
        Request::Delete { path: "/a".into(), version: -1 }
    }

    #[test]
    fn reads_are_answered_and_writes_are_not() {
        let table: [(Request, Result<Response, ErrorCode>, bool); 6] = [
            (get(), Err(ErrorCode::NO_NODE), true),
            (get(), Err(ErrorCode::NOT_READ_ONLY), false),
            (delete(), Err(ErrorCode::NOT_READ_ONLY), true),
            (delete(), Ok(Response::Empty), false),
            (Request::Sync { path: "/".into() }, Ok(Response::Path("/".into())), false),
            (Request::CloseSession, Ok(Response::Empty), true),
        ];
        for (request, answer, fine) in table {
            let mut bench = bench();
            bench.ask(0, 1, request.clone());
            let result = bench.answer(0, 1, z(1, 1), answer.clone());
            let property = result.err().map(|broken| broken.property);
            assert_eq!(property, (!fine).then_some("C-RO"), "{request:?} {answer:?}");
        }
    }

    #[test]
    fn nothing_moves() {
        let mut bench = bench();
        bench.reply(ONE, 1, z(1, 1), Ok(Response::Empty)).unwrap();
        assert_eq!(broken(bench.reply(ONE, 2, z(1, 0), Ok(Response::Empty))), "C-RO");
        let append =
            Action::Store { ticket: Ticket(1), op: StoreOp::Append(vec![propose(z(1, 2), "/a")]) };
        assert_eq!(broken(bench.action(ONE, &append)), "C-RO");
        bench.action(TWO, &append).unwrap();
        // The read-only time is over.
        bench
            .action(ONE, &Action::CloseConn { conn: ConnId(1), why: CloseReason::NotServing })
            .unwrap();
        bench.action(ONE, &append).unwrap();
    }

    #[test]
    fn another_time_may_show_more() {
        let mut bench = bench();
        bench.reply(ONE, 1, z(1, 1), Ok(Response::Empty)).unwrap();
        bench.event(ONE, &Event::ConnGone { conn: ConnId(1) }).unwrap();
        bench.log(ONE, &[z(1, 2)]).unwrap();
        greet(&mut bench, Some(true)).unwrap();
        bench.reply(ONE, 1, z(1, 2), Ok(Response::Empty)).unwrap();
    }

    #[test]
    fn nothing_is_shown_that_could_be_lost_by_a_crash() {
        let mut bench = bench();
        assert_eq!(broken(bench.reply(ONE, 1, z(1, 2), Ok(Response::Empty))), "C-RO");
    }

    #[test]
    fn who_wants_to_write_is_not_let_in() {
        let info = ScenarioInfo { local_sessions: true, ..info(3) };
        let mut bench = Bench::with(info, vec![Box::new(ReadOnly::default())]);
        assert_eq!(broken(greet(&mut bench, Some(false))), "C-RO");
    }
}
