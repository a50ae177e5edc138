//! Clients whose session only this server knows: opened and closed here at once, without a
//! transaction, and made global when they first want an ephemeral.
//!
//! ```text
//!   (new) --ConnectRequest--> local --first ephemeral--> upgrading --createSession--> global
//!                               |                            |
//!                               v closeSession, time is up   v refused: it is over
//! ```
//!
//! From the moment of its upgrade a session is the leader's, here too: the createSession goes to it
//! right before the request that asked for it, by the one way that all of a session's writes go. If
//! the term ends before it is committed, the log decides, as about any write: the client comes back
//! and finds its session global, or over.
//!
// ZK: UpgradeableSessionTracker, QuorumZooKeeperServer (3.9)
// Departs: upstream forgets its local sessions whenever a term ends or a read-only time does; here
// they live on for a client that comes back to this server in time.

use alloc::vec::Vec;

use crate::ids::{ConnId, SessionId, Xid};
use crate::mutant::Mutant;
use crate::ops;
use crate::proto::{ErrorCode, Forwarded, Request, Response};
use crate::session::LocalSessions;
use crate::time::Instant;

use super::super::cx::Cx;
use super::super::{CloseReason, Note};
use super::{InFlight, Order, Phase, Submission, Waiting};

impl Order {
    /// With their deadlines.
    pub(crate) fn local_sessions(&self) -> impl Iterator<Item = (SessionId, Instant)> {
        self.local.deadlines()
    }
    pub(crate) fn local_deadline(&self) -> Option<Instant> {
        self.local.deadline()
    }

    /// Are sessions that are opened now local?
    pub(super) fn opens_locally(cx: &Cx) -> bool {
        cx.config.local_sessions.enabled || cx.read_only.is_on()
    }

    /// A new session that stands at once.
    pub(super) fn open_locally(
        &mut self,
        conn: ConnId,
        timeout_ms: i32,
        read_only: Option<bool>,
        cx: &mut Cx,
    ) {
        let session = self.ids.next();
        self.local.open(session, timeout_ms, cx.now.mono);
        if let Some(c) = self.conns.get_mut(&conn) {
            c.phase = Phase::Opening { session, timeout_ms, read_only };
        }
        cx.note(Note::SessionOpened(session));
        self.opened(conn, cx);
    }

    /// A client came with a session. Whose word counts: ours if it is a local one of this server.
    /// Without a quorum nobody else's can be had.
    pub(super) fn renew(
        &mut self,
        conn: ConnId,
        session: SessionId,
        timeout_ms: i32,
        read_only: Option<bool>,
        cx: &mut Cx,
    ) {
        if self.local.contains(session) {
            return self.opened(conn, cx);
        }
        if cx.config.planted(Mutant::LocalSessionGrantedAnywhere)
            && !cx.database.sessions.contains_key(&session)
        {
            self.local.open(session, timeout_ms, cx.now.mono);
            return self.opened(conn, cx);
        }
        if read_only == Some(true) {
            if cx.config.planted(Mutant::ReadOnlyExpiresGlobal) {
                return self.refuse(conn, cx);
            }
            // Departs: of a session that it does not know upstream says that it is over. It may live
            // where there is a quorum, so the client is sent on without an answer.
            return self.close(conn, CloseReason::ReadOnly, cx);
        }
        self.revalidating.entry(session).or_default().push_back(conn);
        self.submissions.push_back(Submission::Revalidate { session, timeout_ms });
    }

    /// The session's client was heard from.
    pub(super) fn touch(&mut self, session: SessionId, timeout_ms: i32, cx: &Cx) {
        if !self.local.touch(session, timeout_ms, cx.now.mono) {
            self.submissions.push_back(Submission::Touch { session, timeout_ms });
        }
    }

    /// Does the leader have no part in this request, of a kind that is otherwise its business?
    pub(super) fn stays_here(
        local: &LocalSessions,
        session: SessionId,
        request: &Request,
        cx: &Cx,
    ) -> bool {
        let closes_local = *request == Request::CloseSession && local.contains(session);
        closes_local || cx.read_only.is_on()
    }

    /// Makes the session global if this request needs that. It is so for every request behind.
    // ZK: QuorumZooKeeperServer.makeUpgradeRequest (3.9)
    pub(super) fn upgrade_for(&mut self, conn: ConnId, request: &Forwarded, cx: &mut Cx) {
        let may = cx.config.local_sessions.upgrading;
        if !may || !ops::wants_global_session(&request.request) {
            return;
        }
        if cx.config.planted(Mutant::LocalUpgradeSkipped) {
            return;
        }
        let session = request.session;
        let Some(timeout_ms) = self.local.remove(session) else { return };
        cx.note(Note::SessionUpgrading(session));
        let cxid = Xid(0);
        self.launch(session, InFlight { cxid, conn, opens: true, closes: false });
        let request = Request::CreateSession { timeout_ms };
        let auth = Vec::new();
        self.submissions.push_back(Submission::Write(Forwarded { session, cxid, request, auth }));
    }

    /// What the client is told of a write of a local session. An ephemeral it may not have; any
    /// other refusal of the session means that the ensemble holds it for over: then it is.
    pub(super) fn judge_local(
        &mut self,
        session: SessionId,
        request: &Request,
        result: Result<Response, ErrorCode>,
    ) -> Result<Response, ErrorCode> {
        if !self.local.contains(session) {
            return result;
        }
        let result = ops::explain_refusal(request, result);
        if ops::says_expired(&result) {
            self.local.remove(session);
        }
        result
    }

    /// closeSession of a local session, in its turn.
    pub(super) fn close_locally(&mut self, conn: ConnId, waiting: &Waiting, cx: &mut Cx) {
        let session = self.conns.get(&conn).and_then(super::Conn::session).unwrap_or_default();
        self.local.remove(session);
        self.answer(conn, waiting, Ok(Response::Empty), cx.visible_zxid(), cx);
        self.close(conn, CloseReason::SessionClosed(session), cx);
    }

    /// Ends the local sessions that nobody has heard from.
    pub(crate) fn expire_locally(&mut self, cx: &mut Cx) {
        for session in self.local.expired(cx.now.mono) {
            cx.note(Note::SessionExpired(session));
            if let Some(&holder) = self.holders.get(&session) {
                self.close(holder, CloseReason::SessionClosed(session), cx);
            }
        }
    }
}
