//! Whose sessions are whose, who was heard from, and whose time is up.

use alloc::collections::{BTreeMap, BTreeSet};

use crate::ids::{LinkId, SessionId, Xid};
use crate::proto::{ErrorCode, Forwarded, Request};
use crate::server::Note;
use crate::server::cx::Cx;
use crate::session::is_home;
use crate::txn::{TxnBody, TxnDigest};
use crate::zab::leader::StepDown;
use crate::zab::learner_link::{LearnerLink, LearnerState};

use super::{Broadcast, Certainty, Origin, millis};

impl Broadcast {
    pub(crate) fn touch(&mut self, session: SessionId, timeout_ms: i32, cx: &Cx) {
        if self.pending.session_open(&cx.database, session) {
            self.expiry.touch(session, millis(timeout_ms), cx.now.mono);
            self.doubtful.remove(&session);
        }
    }

    /// A client came back with this session over `origin`, which owns it from now on; unless it is
    /// over. Says whether it stands, and whether that is certain: that nobody knows it takes proof,
    /// and so does one that becomes global just now (see [`Question::Session`]).
    // Departs: upstream grants a session whose createSession may yet be lost with its leader.
    pub(crate) fn revalidate(
        &mut self,
        session: SessionId,
        timeout_ms: i32,
        origin: Origin,
        cx: &mut Cx,
    ) -> (bool, Certainty) {
        if !self.pending.session_open(&cx.database, session) {
            // Its client will be told so, and nothing may come of it afterwards.
            self.remember_end(session, cx);
            return (false, Certainty::WithProof);
        }
        self.touch(session, timeout_ms, cx);
        if self.owners.insert(session, origin).is_some_and(|before| before != origin) {
            cx.note(Note::SessionMoved(session));
        }
        let committed = cx.database.sessions.contains_key(&session);
        (true, if committed { Certainty::Now } else { Certainty::WithProof })
    }

    /// Closes the sessions that nobody has heard from.
    // ZK: SessionTrackerImpl.run (3.9)
    pub(crate) fn expire(
        &mut self,
        learners: &mut BTreeMap<LinkId, LearnerLink>,
        cx: &mut Cx,
    ) -> Result<(), StepDown> {
        // Departs: a learner reports its clients' activity with the next ping only, so upstream may
        // close a session that was active within its timeout. We ask the learners once more.
        let mut up = self.expiry.expired(cx.now.mono);
        // A close that is on its way needs no other.
        up.retain(|session| self.pending.session_open(&cx.database, *session));
        if !up.is_empty() {
            self.ping(learners, cx);
            self.doubtful.extend(up.into_iter().map(|session| (session, self.round)));
        }
        if self.doubtful.is_empty() {
            return Ok(());
        }
        let active = learners.values().filter(|l| l.state == LearnerState::Active);
        let answered = active.map(|l| l.pings.front().map_or(u64::MAX, |oldest| oldest - 1)).min();
        let answered = answered.unwrap_or(u64::MAX);
        let silent: BTreeSet<_> =
            self.doubtful.iter().filter(|(_, r)| **r <= answered).map(|(s, _)| *s).collect();
        for session in silent {
            self.doubtful.remove(&session);
            if !self.pending.session_open(&cx.database, session) {
                continue;
            }
            cx.note(Note::SessionExpired(session));
            let request = Forwarded {
                session,
                cxid: Xid(0),
                request: Request::CloseSession,
                auth: Default::default(),
            };
            self.propose(Origin::Here, &request, learners, cx)?;
        }
        Ok(())
    }

    /// A session belongs to the server over which it came last. Only a living one has an owner.
    // ZK: SessionTrackerImpl.checkSession (3.9)
    pub(super) fn own(
        &mut self,
        origin: Origin,
        session: SessionId,
        cx: &Cx,
    ) -> Option<(TxnBody, TxnDigest)> {
        if !self.pending.session_open(&cx.database, session) {
            return None;
        }
        let owner = *self.owners.entry(session).or_insert(origin);
        (owner != origin).then(|| self.pending.refuse(ErrorCode::SESSION_MOVED))
    }

    /// May this be a session that only the server knows over which it came?
    // ZK: LeaderSessionTracker.checkSession (3.9)
    // Departs: upstream lets any server speak for any session that the leader does not know; here
    // only for those that it opened itself and that are not over.
    pub(super) fn may_be_local(&self, origin: Origin, session: SessionId, cx: &Cx) -> bool {
        let is_its = match origin {
            Origin::Here => is_home(cx.config.my_id, session),
            Origin::Learner(id) => is_home(id, session) || comes_from_observer(session, cx),
        };
        cx.config.local_sessions.enabled
            && is_its
            && !self.pending.knows_session(&cx.database, session)
            && !self.ended.contains(session)
    }

    pub(super) fn remember_end(&mut self, session: SessionId, cx: &Cx) {
        if cx.config.local_sessions.enabled {
            self.ended.insert(session, cx.now.mono);
        }
    }
}

/// May this session be an observer's, which a follower speaks for?
fn comes_from_observer(session: SessionId, cx: &Cx) -> bool {
    cx.config.observers.master_port.is_some()
        && cx.membership.observers().any(|id| is_home(id, session))
}
