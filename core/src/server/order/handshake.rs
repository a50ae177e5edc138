//! From a ConnectRequest to its answer: a new session, one that comes back, or a refusal.
//!
// ZK: ZooKeeperServer.processConnectRequest, finishSessionInit (3.9)

use alloc::vec::Vec;

use crate::ids::{ConnId, SessionId, Xid};
use crate::mutant::Mutant;
use crate::proto::{ClientMessage, ConnectRequest, ConnectResponse, Forwarded, Request};
use crate::session::password;

use super::super::CloseReason;
use super::super::admission::Asks;
use super::super::cx::Cx;
use super::{InFlight, Order, Phase, Submission};

impl Order {
    // ZK: ZooKeeperServer.processConnectRequest (3.9)
    pub(crate) fn on_connect(&mut self, conn: ConnId, request: ConnectRequest, cx: &mut Cx) {
        let Some(c) = self.conns.get_mut(&conn) else { return };
        if c.phase != Phase::Greeting {
            let why = "a second ConnectRequest".into();
            return self.close(conn, CloseReason::Misbehaved(why), cx);
        }
        c.heard(cx.now.mono);
        self.stats.received += 1;
        cx.metrics.connection_requests += 1;
        let (seen, ours) = (request.last_zxid_seen, cx.visible_zxid());
        if let Some(why) = Self::turned_away(&request, cx) {
            return self.close(conn, why, cx);
        }
        let asks = match request.session {
            SessionId(0) if Self::opens_locally(cx) => Asks::LocalSession,
            SessionId(0) => Asks::NewSession,
            _ => Asks::Renewal,
        };
        if !self.pressure.lets_in(asks, cx) {
            return self.close(conn, CloseReason::Throttled, cx);
        }
        if seen > ours && !cx.config.planted(Mutant::AcceptClientAhead) {
            return self.close(conn, CloseReason::ClientAhead { seen, ours }, cx);
        }
        let limits = (cx.config.min_session_timeout, cx.config.max_session_timeout);
        let (least, most) = (limits.0.as_millis() as i32, limits.1.as_millis() as i32);
        let timeout_ms = request.timeout_ms.max(least).min(most);
        // Clients of before 3.4 know nothing of this byte.
        let read_only = request.read_only.map(|_| cx.read_only.is_on());
        if request.session == SessionId(0) {
            if Self::opens_locally(cx) {
                return self.open_locally(conn, timeout_ms, read_only, cx);
            }
            return self.begin_session(conn, timeout_ms, read_only);
        }
        let session = request.session;
        c.phase = Phase::Opening { session, timeout_ms, read_only };
        // Departs: upstream closes the session's living connection before it looks at the password.
        if request.password[..] != password(session)[..] {
            return self.refuse(conn, cx);
        }
        // Whatever the old connection still brings was issued before anything of the new one, and
        // would reach the leader when the session is here again.
        if let Some(&before) = self.holders.get(&session) {
            self.close(before, CloseReason::Replaced(session), cx);
        }
        self.renew(conn, session, timeout_ms, read_only, cx);
    }

    pub(super) fn begin_session(&mut self, conn: ConnId, timeout_ms: i32, read_only: Option<bool>) {
        let session = self.ids.next();
        if let Some(c) = self.conns.get_mut(&conn) {
            c.phase = Phase::Opening { session, timeout_ms, read_only };
        }
        let request = Request::CreateSession { timeout_ms };
        let cxid = Xid(0);
        self.launch(session, InFlight { cxid, conn, opens: true, closes: false });
        let auth = Vec::new();
        self.submissions.push_back(Submission::Write(Forwarded { session, cxid, request, auth }));
    }

    /// The leader's word on a session that came back.
    pub(crate) fn on_revalidated(&mut self, session: SessionId, valid: bool, cx: &mut Cx) {
        let Some(queue) = self.revalidating.get_mut(&session) else { return };
        let conn = queue.pop_front();
        if queue.is_empty() {
            self.revalidating.remove(&session);
        }
        let Some(conn) = conn.filter(|c| self.conns.contains_key(c)) else { return };
        if valid {
            cx.metrics.sessions_renewed += 1;
            self.opened(conn, cx);
        } else if cx.config.planted(Mutant::ReconnectGetsNewSession) {
            if let Some(Phase::Opening { timeout_ms, read_only, .. }) =
                self.conns.get(&conn).map(|c| c.phase)
            {
                self.begin_session(conn, timeout_ms, read_only);
            }
        } else {
            self.refuse(conn, cx);
        }
    }

    pub(super) fn refuse(&mut self, conn: ConnId, cx: &mut Cx) {
        let Some(Phase::Opening { read_only, .. }) = self.conns.get(&conn).map(|c| c.phase) else {
            return;
        };
        let response = ConnectResponse {
            protocol_version: 0,
            timeout_ms: 0,
            session: SessionId(0),
            password: [0; 16],
            read_only,
        };
        self.reply(conn, ClientMessage::Connected(response), cx);
        self.close(conn, CloseReason::SessionRefused, cx);
    }

    /// The session stands: say so, and turn to what was sent meanwhile.
    pub(super) fn opened(&mut self, conn: ConnId, cx: &mut Cx) {
        let Some(c) = self.conns.get_mut(&conn) else { return };
        let Phase::Opening { session, timeout_ms, read_only } = c.phase else { return };
        c.phase = Phase::Open { session, timeout_ms };
        if let Some(before) = self.holders.insert(session, conn).filter(|b| *b != conn) {
            self.close(before, CloseReason::Replaced(session), cx);
            self.holders.insert(session, conn);
        }
        // The client counts from this answer, however long the session's transaction took.
        // Departs: upstream counts a new session's first timeout from the proposal.
        self.touch(session, timeout_ms, cx);
        let response = ConnectResponse {
            protocol_version: 0,
            timeout_ms,
            session,
            password: password(session),
            read_only,
        };
        self.reply(conn, ClientMessage::Connected(response), cx);
        self.answer_waiting(conn, cx);
    }
}
