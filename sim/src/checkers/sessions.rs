//! Sessions (C-SESS, C-EXP, C-EPH): an id is given out once. A closed session stays closed: the
//! server that knows it refuses it, and a client that comes back is never given another session in
//! its place, nor one with a wrong password. A living session is not refused. None expires whose
//! client was heard from within its timeout, as far as the leader was told, and a new leader gives
//! every session a full timeout. Ephemerals stand only while their session does.
//!
//! "As far as the leader was told": what a learner heard counts from the moment when the leader gets
//! an answer to a ping that the learner sent after it heard it. Before that nobody can know.
//!
//! Permitted: an ephemeral, and a session, still there on a server that lags; a refusal while the
//! close is under way; expiry of a client whose server was cut off from the leader, also when it
//! came back in time: what a learner heard in one term it does not report in the next.

use std::collections::{BTreeMap, VecDeque};

use zebu_core::ids::{ConnId, LinkId, ServerId};
use zebu_core::proto::{
    ClientMessage, ClientRequest, ConnectRequest, ConnectResponse, QuorumPacket,
};
use zebu_core::server::{Action, Event, PeerMessage};
use zebu_core::txn::TxnBody;

use super::facts::Facts;
use super::facts::ledger::{Proposed, show};
use super::{Check, ensure};
use crate::history::{Observation, SimTime, View, Violation};
use crate::model::Lookup;

/// Which session was heard from, and when.
type Touches = Vec<(u64, SimTime)>;

#[derive(Debug, Default)]
pub struct Sessions {
    known: Lookup<u64, Known>,
    conns: Lookup<(ServerId, ConnId), Conn>,
    /// What each learner heard since its last answer to a ping.
    heard: Lookup<ServerId, Touches>,
    /// The same, on its way to a leader: in the order of the answers.
    reported: Lookup<(ServerId, ServerId), VecDeque<Touches>>,
}

#[derive(Debug, Default)]
struct Known {
    /// The first connection that was granted it.
    password: [u8; 16],
    granted: bool,
    /// The shortest that was ever negotiated.
    timeout: SimTime,
    /// When which leader last knew that its client was heard.
    touched: BTreeMap<ServerId, SimTime>,
    /// Somebody proposed to close it.
    closing: bool,
}

/// A client's connection, seen from its server.
#[derive(Debug)]
struct Conn {
    asked: ConnectRequest,
    session: u64,
}

impl Check for Sessions {
    fn observe(
        &mut self,
        facts: &Facts,
        view: &View<'_>,
        what: &Observation<'_>,
    ) -> Result<(), Violation> {
        for proposed in &facts.news.proposed {
            let header = &proposed.txn.header;
            let session = header.session.0;
            match proposed.txn.body {
                TxnBody::CloseSession { .. } => {
                    self.on_close_proposed(facts, proposed)?;
                }
                TxnBody::CreateSession { timeout_ms } => {
                    let known = self.known.entry(session).or_default();
                    known.timeout = ms(timeout_ms);
                    known.touched.insert(proposed.by, facts.now);
                }
                _ => {}
            }
        }
        for committed in &facts.news.committed {
            let header = &committed.proposed.txn.header;
            let session = header.session.0;
            match committed.proposed.txn.body {
                TxnBody::CreateSession { .. } => {
                    let opened = facts.model.sessions.get(&session).map(|s| s.opened);
                    ensure(
                        opened == Some(header.zxid.0) && !committed.session_was_open,
                        "C-SESS",
                        || format!("session {session:x} is opened again at {}", header.zxid),
                    )?;
                }
                TxnBody::CloseSession { .. } => {
                    let left = facts.model.ephemerals.get(&session);
                    let left = left.filter(|left| !left.is_empty());
                    ensure(left.is_none(), "C-EPH", || {
                        format!("session {session:x} closed at {}, left is {left:?}", header.zxid)
                    })?;
                }
                _ => {}
            }
        }
        match what {
            Observation::Started { server } => self.forget(*server),
            Observation::Event { server, event } => self.on_event(facts, *server, event),
            Observation::Action { server, action } => {
                self.on_action(facts, view, *server, action)?;
            }
            _ => {}
        }
        Ok(())
    }

    fn finish(&mut self, facts: &Facts, _view: &View<'_>) -> Result<(), Violation> {
        for (session, paths) in &facts.model.ephemerals {
            let stands = paths.is_empty() || facts.model.session_open(*session);
            ensure(stands, "C-EPH", || format!("{paths:?} stand without session {session:x}"))?;
        }
        Ok(())
    }
}

impl Sessions {
    fn forget(&mut self, server: ServerId) {
        self.conns.retain(|(at, _), _| *at != server);
        self.heard.remove(&server);
        self.reported.retain(|(from, to), _| *from != server && *to != server);
    }

    fn on_event(&mut self, facts: &Facts, server: ServerId, event: &Event) {
        match event {
            Event::Client { conn, request: ClientRequest::Connect(asked) } => {
                let conn_facts = Conn { asked: asked.clone(), session: 0 };
                self.conns.insert((server, *conn), conn_facts);
            }
            Event::Client { conn, .. } => {
                let session = self.conns.get(&(server, *conn)).map_or(0, |conn| conn.session);
                if session == 0 {
                    return;
                }
                if facts.server(server).leads.is_some() {
                    self.touch(server, session, facts.now);
                } else {
                    self.heard.entry(server).or_default().push((session, facts.now));
                }
            }
            Event::ConnGone { conn } => {
                self.conns.remove(&(server, *conn));
            }
            Event::LinkUp { peer: Some(peer), .. } => {
                self.reported.remove(&(server, *peer));
            }
            Event::Peer { link, message: PeerMessage::Quorum(packet) } => match packet {
                QuorumPacket::PingReply { .. } => {
                    let Some(from) = peer(facts, server, *link) else { return };
                    let sent = self.reported.get_mut(&(from, server));
                    let touches = sent.and_then(VecDeque::pop_front).unwrap_or_default();
                    if facts.server(server).leads.is_none() {
                        // An observer's, which its master is to report.
                        self.heard.entry(server).or_default().extend(touches);
                        return;
                    }
                    for (session, at) in touches {
                        self.touch(server, session, at);
                    }
                }
                QuorumPacket::Revalidate { session, .. }
                    if facts.server(server).leads.is_some() =>
                {
                    self.touch(server, session.0, facts.now);
                }
                _ => {}
            },
            _ => {}
        }
    }

    /// The leader knows that the session's client was heard then.
    fn touch(&mut self, leader: ServerId, session: u64, at: SimTime) {
        if let Some(known) = self.known.get_mut(&session) {
            let touched = known.touched.entry(leader).or_insert(at);
            *touched = at.max(*touched);
        }
    }

    fn on_action(
        &mut self,
        facts: &Facts,
        view: &View<'_>,
        server: ServerId,
        action: &Action,
    ) -> Result<(), Violation> {
        match action {
            Action::Send { link, message: PeerMessage::Quorum(QuorumPacket::PingReply { .. }) } => {
                let heard = self.heard.remove(&server).unwrap_or_default();
                if let Some(leader) = peer(facts, server, *link) {
                    self.reported.entry((server, leader)).or_default().push_back(heard);
                }
                Ok(())
            }
            Action::Send {
                message:
                    PeerMessage::Quorum(
                        QuorumPacket::FollowerInfo { .. } | QuorumPacket::ObserverInfo { .. },
                    ),
                ..
            } => {
                // A new term; its clients of the last one were sent away.
                self.heard.remove(&server);
                Ok(())
            }
            Action::CloseConn { conn, .. } => {
                self.conns.remove(&(server, *conn));
                Ok(())
            }
            Action::Reply { conn, message: ClientMessage::Connected(granted) } => {
                let Some(conn) = self.conns.get_mut(&(server, *conn)) else { return Ok(()) };
                conn.session = granted.session.0;
                let asked = conn.asked.clone();
                if granted.timeout_ms > 0 {
                    self.on_granted(facts, view, server, &asked, granted)
                } else {
                    self.on_refused(facts, server, &asked)
                }
            }
            _ => Ok(()),
        }
    }

    fn on_granted(
        &mut self,
        facts: &Facts,
        view: &View<'_>,
        server: ServerId,
        asked: &ConnectRequest,
        granted: &ConnectResponse,
    ) -> Result<(), Violation> {
        let session = granted.session.0;
        let broken = |what: String| Err(Violation { property: "C-SESS", what });
        if asked.session.0 != 0 && asked.session != granted.session {
            return broken(format!(
                "{server:?} answers a client of {} with {session:x}",
                asked.session
            ));
        }
        let known = self.known.entry(session).or_default();
        if asked.session.0 == 0 {
            if known.granted {
                return broken(format!("{server:?} gives session {session:x} to a second client"));
            }
            known.password = granted.password;
        } else if known.granted && asked.password != known.password[..] {
            return broken(format!("{server:?} takes a wrong password for session {session:x}"));
        }
        known.granted = true;
        let negotiated = ms(granted.timeout_ms);
        known.timeout = if known.timeout == 0 { negotiated } else { known.timeout.min(negotiated) };
        if facts.server(server).leads.is_some() {
            known.touched.insert(server, facts.now);
        } else {
            self.heard.entry(server).or_default().push((session, facts.now));
        }
        let closed = facts.model.sessions.get(&session).and_then(|s| s.closed);
        let here = view.servers.iter().find(|s| s.id == server).and_then(|s| s.database);
        if let (Some(closed), Some(database)) = (closed, here) {
            let last = database.last_processed;
            if last.0 >= closed {
                let closed = show(closed);
                return broken(format!(
                    "{server:?} at {last} takes session {session:x}, closed at {closed}"
                ));
            }
        }
        Ok(())
    }

    /// A living session with the right password is not refused, unless its end is under way.
    fn on_refused(
        &self,
        facts: &Facts,
        server: ServerId,
        asked: &ConnectRequest,
    ) -> Result<(), Violation> {
        let session = asked.session.0;
        let Some(known) = self.known.get(&session).filter(|known| known.granted) else {
            return Ok(());
        };
        let right = asked.password == known.password[..];
        let dead = known.closing || !facts.model.session_open(session);
        ensure(!right || dead, "C-SESS", || {
            format!("{server:?} refuses session {session:x}, which nobody has closed")
        })
    }

    fn on_close_proposed(&mut self, facts: &Facts, proposed: &Proposed) -> Result<(), Violation> {
        let header = &proposed.txn.header;
        let session = header.session.0;
        let Some(known) = self.known.get_mut(&session) else { return Ok(()) };
        known.closing = true;
        if header.cxid.0 != 0 {
            return Ok(());
        }
        let timeout = facts.at_least(known.timeout);
        let touched = known.touched.get(&proposed.by).copied().unwrap_or(0);
        let began = facts.epoch_began.get(&header.zxid.epoch().0).copied().unwrap_or(0);
        let since = touched.max(began);
        ensure(facts.now.saturating_sub(since) >= timeout, "C-EXP", || {
            let (zxid, silent) = (header.zxid, (facts.now - since) / 1_000_000);
            let timeout = timeout / 1_000_000;
            format!("session {session:x} expires at {zxid} after {silent} ms of {timeout}")
        })
    }
}

fn ms(timeout_ms: i32) -> SimTime {
    timeout_ms.max(0) as SimTime * 1_000_000
}

fn peer(facts: &Facts, server: ServerId, link: LinkId) -> Option<ServerId> {
    facts.server(server).links.get(&link).and_then(|link| link.peer)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkers::testkit::{Bench, MS, ONE, SESSION, THREE, TWO, z};
    use crate::model::tests::create;
    use bytes::Bytes;
    use zebu_core::ids::{Epoch, SessionId, Xid, Zxid};
    use zebu_core::proto::{LearnerInfo, Request};
    use zebu_core::tree::Database;

    fn bench() -> Bench {
        let mut bench = Bench::new(3, vec![Box::new(Sessions::default())]);
        bench.lead(ONE, 1);
        bench.establish(ONE, TWO, 1);
        open(&mut bench, z(1, 1)).unwrap();
        bench
    }
    fn open(bench: &mut Bench, zxid: u64) -> Result<(), Violation> {
        bench.commit(zxid, SESSION, 0, TxnBody::CreateSession { timeout_ms: 4000 })
    }
    fn expire(bench: &mut Bench, zxid: u64) -> Result<(), Violation> {
        bench.commit(zxid, SESSION, 0, TxnBody::CloseSession { paths: Some(vec![]) })
    }
    fn greet(
        bench: &mut Bench,
        conn: u64,
        session: u64,
        password: &[u8],
        granted: u64,
    ) -> Result<(), Violation> {
        let asked = ConnectRequest {
            protocol_version: 0,
            last_zxid_seen: Zxid(0),
            timeout_ms: 4000,
            session: SessionId(session),
            password: Bytes::copy_from_slice(password),
            read_only: None,
        };
        let conn = ConnId(conn);
        let request = ClientRequest::Connect(asked);
        bench.event(TWO, &Event::Client { conn, request })?;
        let granted = ConnectResponse {
            protocol_version: 0,
            timeout_ms: if granted == 0 { 0 } else { 4000 },
            session: SessionId(granted),
            password: [7; 16],
            read_only: None,
        };
        bench.action(TWO, &Action::Reply { conn, message: ClientMessage::Connected(granted) })
    }
    fn ping(bench: &mut Bench, server: ServerId, conn: u64) {
        let request = ClientRequest::Request { xid: Xid::PING, request: Request::Ping };
        bench.event(server, &Event::Client { conn: ConnId(conn), request }).unwrap();
    }
    fn broken(result: Result<(), Violation>) -> &'static str {
        result.unwrap_err().property
    }

    #[test]
    fn ids_and_passwords() {
        let mut bench = bench();
        assert_eq!(broken(open(&mut bench, z(1, 2))), "C-SESS");
        greet(&mut bench, 1, 0, &[], SESSION).unwrap();
        greet(&mut bench, 2, SESSION, &[7; 16], SESSION).unwrap();
        assert_eq!(broken(greet(&mut bench, 3, 0, &[], SESSION)), "C-SESS");
        assert_eq!(broken(greet(&mut bench, 4, SESSION, &[8; 16], SESSION)), "C-SESS");
        assert_eq!(broken(greet(&mut bench, 5, SESSION, &[7; 16], SESSION + 1)), "C-SESS");
        assert_eq!(broken(greet(&mut bench, 6, SESSION, &[7; 16], 0)), "C-SESS");
        greet(&mut bench, 7, SESSION, &[8; 16], 0).unwrap();
    }

    #[test]
    fn closed_is_closed_where_it_is_known() {
        let mut bench = bench();
        greet(&mut bench, 1, 0, &[], SESSION).unwrap();
        bench.now += 9000 * MS;
        expire(&mut bench, z(1, 2)).unwrap();
        let at = |zxid| Some(Database { last_processed: Zxid(zxid), ..Database::default() });
        bench.databases[1] = at(z(1, 1));
        greet(&mut bench, 2, SESSION, &[7; 16], SESSION).unwrap();
        bench.databases[1] = at(z(1, 2));
        assert_eq!(broken(greet(&mut bench, 3, SESSION, &[7; 16], SESSION)), "C-SESS");
        greet(&mut bench, 4, SESSION, &[7; 16], 0).unwrap();
    }

    #[test]
    fn who_was_heard_does_not_expire() {
        // At the leader.
        let mut bench = self::bench();
        greet(&mut bench, 1, 0, &[], SESSION).unwrap();
        bench.now += 3000 * MS;
        assert_eq!(broken(expire(&mut bench, z(1, 2))), "C-EXP");
        // At a learner, and the leader was told.
        for told in [false, true] {
            let mut bench = self::bench();
            greet(&mut bench, 1, 0, &[], SESSION).unwrap();
            bench.now += 3000 * MS;
            ping(&mut bench, TWO, 1);
            let reply = || QuorumPacket::PingReply { zxid: Zxid(0), touched: vec![] };
            bench.send(TWO, ONE, reply()).unwrap();
            if told {
                bench.told(ONE, TWO, reply()).unwrap();
            }
            bench.now += 2000 * MS;
            assert_eq!(expire(&mut bench, z(1, 2)).is_err(), told);
        }
        // What a learner heard before it came to this term, the leader is not told.
        let info = || LearnerInfo { id: TWO, protocol_version: 0, config_version: 0 };
        let accepted = Epoch(1);
        for packet in [
            QuorumPacket::FollowerInfo { accepted, info: info() },
            QuorumPacket::ObserverInfo { accepted, info: info() },
        ] {
            let mut bench = self::bench();
            greet(&mut bench, 1, 0, &[], SESSION).unwrap();
            bench.now += 3000 * MS;
            ping(&mut bench, TWO, 1);
            bench.send(TWO, ONE, packet).unwrap();
            let reply = || QuorumPacket::PingReply { zxid: Zxid(0), touched: vec![] };
            bench.send(TWO, ONE, reply()).unwrap();
            bench.told(ONE, TWO, reply()).unwrap();
            bench.now += 2000 * MS;
            expire(&mut bench, z(1, 2)).unwrap();
        }
        // A new leader cannot know.
        let mut bench = self::bench();
        bench.now += 9000 * MS;
        bench.log(THREE, &[z(1, 1)]).unwrap();
        bench.lead(THREE, 2);
        bench.establish(THREE, TWO, 2);
        let close = TxnBody::CloseSession { paths: Some(vec![]) };
        let entry =
            crate::checkers::testkit::entry(crate::model::tests::txn(z(2, 1), SESSION, 0, close));
        let early = bench.send(THREE, TWO, QuorumPacket::Proposal(entry));
        assert_eq!(broken(early), "C-EXP");
    }

    #[test]
    fn ephemerals_go_with_their_session() {
        let mut bench = bench();
        bench.commit(z(1, 2), SESSION, 1, create("/e", 1, true)).unwrap();
        bench.finish().unwrap();
        bench.now += 9000 * MS;
        expire(&mut bench, z(1, 3)).unwrap();
        bench.commit(z(1, 4), SESSION, 2, create("/f", 2, true)).unwrap();
        assert_eq!(broken(bench.finish()), "C-EPH");
    }
}
