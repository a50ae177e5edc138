//! Reconfigurations under way: which are refused, and who leads behind one.

use alloc::collections::BTreeMap;

use crate::auth::Access;
use crate::config::Ensemble;
use crate::ids::{LinkId, ServerId, Zxid};
use crate::ops::Caller;
use crate::ops::reconfig::{self, Electorate};
use crate::proto::{ErrorCode, Forwarded, ReconfigRequest};
use crate::server::cx::Cx;
use crate::txn::{Entry, TxnBody, TxnDigest};
use crate::zab::learner_link::LearnerLink;
use crate::zab::quorum::is_quorum;

use super::{Broadcast, Origin};

impl Broadcast {
    /// Who is to lead behind this transaction, if it is a reconfiguration: we, if we are a voter still
    /// and at the same place, or the one of the new voters whose history is the longest.
    // ZK: Leader.getDesignatedLeader (3.9)
    pub(super) fn successor(
        &self,
        last: &Entry,
        holds: &dyn Fn(ServerId, Zxid) -> bool,
        cx: &Cx,
    ) -> Option<ServerId> {
        let TxnBody::Reconfig { .. } = last.txn.body else { return None };
        let next = cx.membership.proposed()?;
        let me = cx.config.my_id;
        let place = |ensemble: &Ensemble| {
            let member = ensemble.members.get(&me)?;
            Some((member.host.clone(), member.quorum_port))
        };
        if next.has_say(me) && place(next) == place(cx.membership.committed()) {
            return Some(me);
        }
        let able = || next.voters().filter(|id| *id != me && next.has_say(*id));
        let logged = cx.history.logged();
        let first = able().find(|id| holds(*id, logged));
        first.or_else(|| able().find(|id| holds(*id, last.zxid())))
    }

    /// Who leads behind the reconfiguration that was committed last.
    pub(crate) fn designated(&self) -> Option<ServerId> {
        self.successor
    }

    /// Judges a reconfiguration: by who is there, and as a write.
    pub(super) fn prepare_reconfig(
        &mut self,
        origin: Origin,
        request: &Forwarded,
        asked: &ReconfigRequest,
        learners: &BTreeMap<LinkId, LearnerLink>,
        zxid: Zxid,
        cx: &Cx,
    ) -> (TxnBody, TxnDigest) {
        let me = cx.config.my_id;
        // One that is about to be a voter follows already, and its word does not count yet.
        let follows = |id| learners.values().any(|l| l.id == Some(id) && l.follows_synced());
        let electorate = Electorate {
            newest: cx.membership.newest(),
            in_progress: cx.membership.proposed().is_some(),
            has_quorum: &|next| is_quorum(next, |id| id == me || follows(id)),
        };
        // The session comes first, or a request that is late would be answered behind later ones.
        let (session, local) = (request.session, self.may_be_local(origin, request.session, cx));
        if let Some(refusal) = self.own(origin, session, cx) {
            return refusal;
        }
        if !local && !self.pending.session_open(&cx.database, session) {
            return self.pending.refuse(ErrorCode::SESSION_EXPIRED);
        }
        let next = match reconfig::judge(asked, &electorate, &cx.config, zxid) {
            Ok(next) => next,
            Err(code) => return self.pending.refuse(code),
        };
        let auth = Access { ids: &request.auth, rules: &cx.config.auth };
        let caller = Caller { session, auth, local };
        let (database, config) = (&cx.database, &cx.config);
        self.pending.prepare_reconfig(database, config, caller, &next, zxid, cx.now.wall)
    }
}
