//! Phase 3, broadcast, the leader's half: prepare, propose, count acknowledgements, commit in
//! order. With it what only an established leader knows: transactions in flight, owners and
//! deadlines of sessions, questions that wait for proof that it still leads.
//!
//! The follower's half is a log and two packets and stands in [`super::follower`].

mod reconfiguring;
mod sessions;

use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;

use crate::auth::Access;
use crate::config::Config;
use crate::ids::{ConnId, Epoch, LinkId, ServerId, SessionId, Xid, Zxid};
use crate::mutant::Mutant;
use crate::ops::{Caller, Pending};
use crate::proto::{ErrorCode, Forwarded, QuorumPacket, Request};
use crate::server::Note;
use crate::server::cx::Cx;
use crate::server::metrics::age_ms;
use crate::session::{Ended, Expiry};
use crate::time::{Duration, Instant};
use crate::txn::codec;
use crate::txn::{Txn, TxnBody, TxnDigest, TxnHeader};

use super::containers::Containers;
use super::forwarding;
use super::leader::StepDown;
use super::learner_link::{LearnerLink, LearnerState};
use super::quorum::is_quorum;

/// Where a request entered the ensemble.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Origin {
    Here,
    Learner(ServerId),
}

/// What is answered only with proof that we still lead.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Question {
    Sync {
        conn: ConnId,
    },
    /// A client came back here with a session of which this leader cannot be sure, and what it will
    /// be told.
    Session {
        session: SessionId,
        valid: bool,
    },
    /// A learner's, and what it will be told.
    Learner {
        link: LinkId,
        answer: QuorumPacket,
    },
}

/// Whether a leader may say something without asking a quorum first.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Certainty {
    Now,
    WithProof,
}

/// A question is answered when everything proposed before it is delivered and a quorum has
/// confirmed, after it came, that we still lead.
// Departs: upstream answers without asking anybody (JIRA: ZOOKEEPER-1675), so a leader that was
// deposed without knowing it lets its clients read old data behind a sync, and tells a client that
// its session has expired which the new leader opened.
#[derive(Clone, Debug)]
struct Unproven {
    question: Question,
    behind: Zxid,
    round: u64,
}

#[derive(Clone, Debug)]
pub(crate) struct Broadcast {
    epoch: Epoch,
    proposed: Zxid,
    pending: Pending,
    owners: BTreeMap<SessionId, Origin>,
    expiry: Expiry,
    /// Sessions whose time is up as far as this server knows; they are closed when the learners
    /// have answered this ping round and none has heard from them.
    doubtful: BTreeMap<SessionId, u64>,
    questions: VecDeque<Unproven>,
    containers: Containers,
    /// Whom the reconfiguration that was committed last made the leader.
    successor: Option<ServerId>,
    /// Sessions that are not to be taken for local ones of learners.
    ended: Ended,
    /// The newest ping round, and when it was sent.
    round: u64,
    round_at: Instant,
    next_ping: Instant,
}

impl Broadcast {
    pub(crate) fn enter(epoch: Epoch, cx: &mut Cx) -> Self {
        // JIRA: every session gets a full timeout: this server does not know when it was last heard.
        let mut expiry = Expiry::new(cx.config.tick);
        for (&session, &timeout_ms) in &cx.database.sessions {
            expiry.touch(session, millis(timeout_ms), cx.now.mono);
        }
        Self {
            epoch,
            proposed: Zxid::start_of(epoch),
            pending: Pending::new(&cx.database),
            owners: BTreeMap::new(),
            expiry,
            doubtful: BTreeMap::new(),
            questions: VecDeque::new(),
            containers: Containers::enter(&cx.config, cx.now),
            successor: None,
            // What a session asked while it lived is on its way no longer than this.
            ended: Ended::new(cx.config.max_session_timeout + cx.config.sync_timeout() * 2),
            round: 0,
            round_at: Instant(0),
            next_ping: cx.now.mono,
        }
    }

    pub(crate) fn session_deadlines(&self) -> impl Iterator<Item = (SessionId, Instant)> {
        self.expiry.iter()
    }
    /// Syncs and other questions that wait for proof.
    pub(crate) fn questions(&self) -> usize {
        self.questions.len()
    }
    pub(crate) fn epoch(&self) -> Epoch {
        self.epoch
    }

    // ---- propose ----

    /// Turns one write into a transaction and proposes it. Every request gets one, and so its reply,
    /// even when it is refused.
    // Zab: phase 3, step l.3.1 · ZK: PrepRequestProcessor.pRequest, Leader.propose (3.9)
    pub(crate) fn propose(
        &mut self,
        origin: Origin,
        request: &Forwarded,
        learners: &mut BTreeMap<LinkId, LearnerLink>,
        cx: &mut Cx,
    ) -> Result<usize, StepDown> {
        let zxid = self.next_zxid(&cx.config)?;
        let (body, digest) = match &request.request {
            Request::Reconfig(asked) if cx.membership.is_dynamic() => {
                self.prepare_reconfig(origin, request, asked, learners, zxid, cx)
            }
            _ => self.prepare(origin, request, zxid, cx),
        };
        let time = cx.now.wall;
        let header = TxnHeader { session: request.session, cxid: request.cxid, zxid, time };
        Ok(self.propose_txn(Txn { header, body, digest: Some(digest) }, learners, cx))
    }

    /// With its last counter an epoch ends, and so does the term.
    // ZK: Leader.propose (3.9) · JIRA: ZOOKEEPER-1277
    fn next_zxid(&self, config: &Config) -> Result<Zxid, StepDown> {
        let next = self.proposed.next().filter(|zxid| zxid.counter() <= config.edges.counter_max);
        if next.is_none() && config.planted(Mutant::ZxidWrapCarry) {
            return Ok(Zxid::new(Epoch(self.epoch.0 + 1), 1));
        }
        next.ok_or(StepDown::ZxidRollover)
    }

    fn propose_txn(
        &mut self,
        txn: Txn,
        learners: &mut BTreeMap<LinkId, LearnerLink>,
        cx: &mut Cx,
    ) -> usize {
        let zxid = txn.header.zxid;
        let entry = codec::encode(txn);
        self.proposed = zxid;
        forwarding::propose(&entry, learners, cx);
        let size = entry.payload.len();
        let reconfigures = matches!(entry.txn.body, TxnBody::Reconfig { .. });
        cx.append(entry);
        if reconfigures {
            recount(learners, cx);
        }
        size
    }

    fn prepare(
        &mut self,
        origin: Origin,
        request: &Forwarded,
        zxid: Zxid,
        cx: &Cx,
    ) -> (TxnBody, TxnDigest) {
        let session = request.session;
        let local = self.may_be_local(origin, session, cx);
        match &request.request {
            // A local session that would become global now, and whose client went elsewhere and was
            // told that it is over.
            Request::CreateSession { .. } if self.ended.contains(session) => {
                return self.pending.refuse(ErrorCode::SESSION_EXPIRED);
            }
            Request::CreateSession { timeout_ms } => {
                self.owners.insert(session, origin);
                self.expiry.touch(session, millis(*timeout_ms), cx.now.mono);
            }
            Request::CloseSession => {}
            _ => {
                if let Some(refusal) = self.own(origin, session, cx) {
                    return refusal;
                }
            }
        }
        let (database, config) = (&cx.database, &cx.config);
        let auth = Access { ids: &request.auth, rules: &config.auth };
        let caller = Caller { session, auth, local };
        self.pending.prepare(database, config, caller, &request.request, zxid, cx.now.wall)
    }

    // ---- commit ----

    /// Commits what a quorum holds, in order: acknowledgements are cumulative, so each server is at
    /// one mark, and everything up to the highest mark that a quorum has reached is committed. Who
    /// is at or above a mark changes at marks only, whatever a quorum is.
    // Zab: phase 3, step l.3.2 · ZK: Leader.tryToCommit (3.9)
    pub(crate) fn commit(&mut self, learners: &mut BTreeMap<LinkId, LearnerLink>, cx: &mut Cx) {
        let before = cx.history.committed();
        if before == cx.history.logged() {
            return;
        }
        let me = cx.config.my_id;
        let durable_here = cx.history.durable();
        let mark = |id: ServerId| {
            if id == me {
                return durable_here;
            }
            let synced = learners.values().filter(|l| l.speaks_for(id) && l.is_synced());
            synced.map(|l| l.acked).max().unwrap_or(Zxid::ZERO)
        };
        let (membership, ensemble) = (&cx.membership, cx.membership.committed());
        let before_only = cx.config.planted(Mutant::ReconfigNewQuorumIgnored);
        let reached = |zxid: Zxid| {
            let holds = |id| mark(id) >= zxid;
            membership.is_quorum_for(zxid, holds) || before_only && is_quorum(ensemble, holds)
        };
        // What a reconfiguration needs, nothing before it does; and what is behind it waits until it is
        // known who counts then.
        let pending = membership.proposed().map(|next| Zxid(next.version));
        let before_it = pending.map(|zxid| Zxid(zxid.0 - 1));
        let marks = membership.voters().map(|id| pending.map_or(mark(id), |z| z.min(mark(id))));
        let mut committed = None;
        for zxid in marks.chain(before_it) {
            if zxid > committed.unwrap_or(before) && reached(zxid) {
                committed = Some(zxid);
            }
        }
        if cx.config.planted(Mutant::CommitWithoutQuorum) {
            committed = Some(durable_here);
        }
        if cx.config.planted(Mutant::ObserverAckCounts) {
            let observers = learners.values().filter(|l| !l.votes() && l.is_synced()).count();
            let holders = |z: &Zxid| ensemble.voters().filter(|id| mark(*id) >= *z).count();
            let enough = |z: &Zxid| 2 * (observers + holders(z)) > ensemble.voters().count();
            committed = ensemble.voters().map(mark).filter(enough).max();
        }
        let Some(committed) = committed.filter(|z| *z > before) else { return };
        cx.history.commit(committed);
        let mut newly = Vec::new();
        let outstanding = cx.history.outstanding().skip_while(|e| e.zxid() <= before);
        for entry in outstanding.take_while(|e| e.zxid() <= committed) {
            cx.metrics.quorum_ack_ms.add(age_ms(&entry.txn.header, cx.now));
            newly.push(entry.clone());
        }
        let holds = |id: ServerId, zxid: Zxid| mark(id) >= zxid;
        let successor = newly.last().and_then(|last| self.successor(last, &holds, cx));
        self.successor = successor;
        forwarding::commit(&newly, successor, learners, cx);
    }

    /// `zxid` was delivered here.
    pub(crate) fn on_delivered(&mut self, zxid: Zxid, body: &TxnBody, session: SessionId, cx: &Cx) {
        self.pending.applied(zxid);
        if let TxnBody::CloseSession { .. } = body {
            self.remember_end(session, cx);
            self.owners.remove(&session);
            self.expiry.remove(session);
            self.doubtful.remove(&session);
        }
    }

    // ---- proof ----

    pub(crate) fn ask(
        &mut self,
        question: Question,
        learners: &mut BTreeMap<LinkId, LearnerLink>,
        cx: &mut Cx,
    ) {
        // One ping round serves all questions of one moment, unless its answers are older.
        let answered = learners.values().any(|l| l.answered >= self.round);
        if self.round_at != cx.now.mono || answered {
            self.ping(learners, cx);
        }
        let (behind, round) = (self.proposed, self.round);
        self.questions.push_back(Unproven { question, behind, round });
    }

    /// Does a question of this learner wait for proof? They are answered in order.
    pub(crate) fn owes_answer(&self, to: LinkId) -> bool {
        let of =
            |question: &Question| matches!(question, Question::Learner { link, .. } if *link == to);
        self.questions.iter().any(|unproven| of(&unproven.question))
    }

    /// The oldest question, if it may be answered.
    pub(crate) fn next_proven(
        &mut self,
        learners: &BTreeMap<LinkId, LearnerLink>,
        cx: &Cx,
    ) -> Option<Question> {
        let oldest = self.questions.front()?;
        let (me, round) = (cx.config.my_id, oldest.round);
        let confirmed = cx.config.planted(Mutant::SyncWithoutQuorum)
            || cx.membership.is_quorum(|id| {
                id == me || learners.values().any(|l| l.speaks_for(id) && l.answered >= round)
            });
        let delivered =
            cx.visible_zxid() >= oldest.behind || cx.config.planted(Mutant::SyncReplyBypassesApply);
        if !confirmed || !delivered {
            return None;
        }
        self.questions.pop_front().map(|oldest| oldest.question)
    }

    // ---- containers and TTL nodes ----

    /// Removes what may go by now.
    // Departs: upstream proposes a refused removal as an error; nobody waits for its answer.
    pub(crate) fn remove_containers(
        &mut self,
        learners: &mut BTreeMap<LinkId, LearnerLink>,
        cx: &mut Cx,
    ) -> Result<(), StepDown> {
        let (config, tree) = (&cx.config, &cx.database.tree);
        let Some(path) = self.containers.next(tree, config, cx.now) else { return Ok(()) };
        let zxid = self.next_zxid(config)?;
        let (session, cxid, time) = (SessionId(0), Xid(0), cx.now.wall);
        let (body, digest) = self.pending.prepare_reap(&cx.database, config, &path, zxid, time);
        if !matches!(body, TxnBody::Error(_)) {
            let header = TxnHeader { session, cxid, zxid, time };
            self.propose_txn(Txn { header, body, digest: Some(digest) }, learners, cx);
            cx.note(Note::ContainerRemoved(path));
        }
        Ok(())
    }

    // ---- time ----

    pub(crate) fn deadline(&self) -> Instant {
        let regular = self.next_ping.min(self.containers.deadline());
        self.expiry.deadline().map_or(regular, |at| at.min(regular))
    }
    pub(crate) fn ping_due(&self, now: Instant) -> bool {
        self.next_ping <= now
    }

    /// One round of pings, every half tick and when a sync asks for proof.
    // ZK: Leader.lead, LearnerHandler.ping (3.9)
    pub(crate) fn ping(&mut self, learners: &mut BTreeMap<LinkId, LearnerLink>, cx: &mut Cx) {
        self.round += 1;
        self.round_at = cx.now.mono;
        if self.next_ping <= cx.now.mono {
            self.next_ping = cx.now.mono + cx.config.tick / 2;
        }
        for (&link, learner) in learners {
            if learner.state == LearnerState::Active {
                learner.pings.push_back(self.round);
                cx.send(link, QuorumPacket::Ping { zxid: self.proposed });
            }
        }
    }
}

/// Who votes changed.
pub(crate) fn recount(learners: &mut BTreeMap<LinkId, LearnerLink>, cx: &Cx) {
    learners.values_mut().for_each(|learner| learner.recount(&cx.membership));
}

fn millis(ms: i32) -> Duration {
    Duration::from_millis(ms.max(0) as u64)
}
