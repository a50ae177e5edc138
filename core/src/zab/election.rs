//! Phase 0, fast leader election: every server proposes the best vote it knows, best by
//! (epoch, zxid, id), until a quorum proposes the same one. Whoever comes later learns from those
//! who are settled whom they follow. A vote carries what would survive a power loss: the election
//! of a term begins when everything logged in the last one is durable.
//!
//! Connections are [`crate::server::links`]' business; leading and following are not in here.
//!
// ZK: FastLeaderElection, Vote, SyncedLearnerTracker (3.9)

use alloc::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use crate::config::{Config, Ensemble, MemberRole};
use crate::ids::{ServerId, Zxid};
use crate::membership::Membership;
use crate::mutant::Mutant;
use crate::proto::{Notification, PeerState};
use crate::server::cx::Cx;
use crate::server::links::Links;
use crate::time::{Duration, Instant};

/// Whoever is told our vote is remembered, strangers among them, or they would answer each other as fast
/// as the network carries it; so many at most.
const TOLD_MAX: usize = 256;

/// Who should lead, and why.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Vote {
    pub leader: ServerId,
    pub zxid: Zxid,
    /// The leader's currentEpoch.
    pub epoch: i64,
}

impl Vote {
    /// What an observer asks with: beaten by any other.
    // ZK: FastLeaderElection.getInitId, getInitLastLoggedZxid, getPeerEpoch (3.9)
    const NONE: Self =
        Self { leader: ServerId(i64::MIN), zxid: Zxid::from_wire(i64::MIN), epoch: i64::MIN };

    fn of(n: &Notification) -> Self {
        Self { leader: n.leader, zxid: n.zxid, epoch: n.peer_epoch }
    }
}

/// The order that decides an election. Whose word weighs nothing is never voted for, but by itself. Of
/// equal histories that one is the better whose owner everybody knows: while a reconfiguration is only
/// proposed, not everybody has heard of those whom it adds.
// ZK: FastLeaderElection.totalOrderPredicate (3.9)
// Departs: upstream compares the ids alone, and so must who elects with it. Then who knows of a proposed
// server and who does not wait for each other, one election after the other.
fn beats(vote: &Vote, other: &Vote, cx: &Cx, links: &Links) -> bool {
    let by_id_alone = links.is_beside_upstream(cx);
    let order = |vote: &Vote| {
        let is_known = by_id_alone || cx.membership.committed().has_say(vote.leader);
        (vote.epoch, vote.zxid, is_known, vote.leader)
    };
    cx.membership.may_lead(vote.leader) && order(vote) > order(other)
}

/// A vote as it was received.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Received {
    vote: Vote,
    round: i64,
    state: PeerState,
}

impl Received {
    /// Do two settled servers mean the same leader? Round and zxid legitimately differ between
    /// those who elected it and those who joined later.
    // JIRA: ZOOKEEPER-1732, ZOOKEEPER-1805
    fn same_leader(&self, other: &Self, config: &Config) -> bool {
        if config.planted(Mutant::FleRejoinFullVoteEq) {
            return self.vote == other.vote && self.round == other.round;
        }
        self.vote.leader == other.vote.leader && self.vote.epoch == other.vote.epoch
    }
}

/// What a server that is not looking answers to those who are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Settled {
    pub vote: Vote,
    pub round: i64,
    pub state: PeerState,
}

/// Phase 0 of one server.
#[derive(Clone, Debug)]
pub struct Election {
    round: i64,
    initial: Vote,
    proposal: Vote,
    /// Votes of this round, by sender.
    received: BTreeMap<ServerId, Received>,
    /// What settled servers said, whatever their round.
    settled: BTreeMap<ServerId, Received>,
    /// The first since this process began: who starts an ensemble starts all its servers, and one that
    /// cannot be reached yet is worth a wait.
    first: bool,
    /// A quorum agrees; better votes may come until then.
    decide_at: Option<Instant>,
    /// What those without a vote were told, and when.
    told: BTreeMap<ServerId, (Vote, i64, Instant)>,
    resend_at: Instant,
    resend_after: Duration,
}

/// Why a message or a wake-up ends an election.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Decision {
    pub settled: Settled,
    /// Whose votes those were.
    pub electors: BTreeSet<ServerId>,
}

impl Election {
    /// Begins a round with a vote for oneself, told to all.
    pub(crate) fn enter(previous_round: i64, cx: &mut Cx, links: &mut Links) -> Self {
        let epochs = cx.epochs;
        let zxid = if cx.config.planted(Mutant::LeaderZxidPremature) {
            cx.history.logged().max(Zxid::start_of(epochs.accepted))
        } else {
            cx.history.logged()
        };
        let initial = if cx.membership.is_voter(cx.config.my_id) {
            Vote { leader: cx.config.my_id, zxid, epoch: i64::from(epochs.current.0) }
        } else {
            Vote::NONE
        };
        let mut election = Self {
            round: previous_round + 1,
            initial,
            proposal: initial,
            received: BTreeMap::new(),
            settled: BTreeMap::new(),
            first: previous_round == 0,
            decide_at: None,
            told: BTreeMap::new(),
            resend_at: cx.now.mono + cx.config.min_notification_interval,
            resend_after: cx.config.min_notification_interval,
        };
        election.propose(cx, links);
        election
    }

    pub fn round(&self) -> i64 {
        self.round
    }

    pub fn deadline(&self) -> Instant {
        self.decide_at.map_or(self.resend_at, |at| at.min(self.resend_at))
    }

    /// One message from `from`.
    // ZK: FastLeaderElection.lookForLeader (3.9)
    pub(crate) fn on_notification(
        &mut self,
        from: ServerId,
        n: &Notification,
        cx: &mut Cx,
        links: &mut Links,
    ) -> Option<Decision> {
        let membership = &cx.membership;
        // Whoever is only heard of is listened to, and is in no quorum.
        let counts = membership.is_candidate(from)
            || cx.config.planted(Mutant::FleCountObservers) && membership.is_member(from);
        if !counts || !membership.is_candidate(n.leader) {
            if n.state == PeerState::Looking {
                self.answer(from, cx, links);
            }
            return None;
        }
        let theirs = Received { vote: Vote::of(n), round: n.round, state: n.state };
        match n.state {
            PeerState::Looking => self.on_looking(from, theirs, cx, links),
            PeerState::Following | PeerState::Leading => self.on_settled(from, theirs, cx),
            PeerState::Observing => None,
        }
    }

    /// Somebody asks, or does not know what we know: it is told our vote.
    // Departs: upstream answers every message, and its observers answer in turn when their round is
    // the later one, as fast as the network carries it.
    fn answer(&mut self, from: ServerId, cx: &mut Cx, links: &mut Links) {
        let now = cx.now.mono;
        let answer = (self.proposal, self.round, now);
        let is_news = self.told.get(&from).is_none_or(|(vote, round, at)| {
            (*vote, *round) != (self.proposal, self.round)
                || now.since(*at) >= cx.config.min_notification_interval
        });
        if is_news {
            if self.told.len() >= TOLD_MAX {
                self.told.clear();
            }
            self.told.insert(from, answer);
            links.notify(from, self.notification(cx), cx);
        }
    }

    /// Somebody is in a later round: what was heard in ours counts no more.
    fn begin_round(&mut self, round: i64) {
        self.round = round;
        self.received.clear();
        self.decide_at = None;
    }

    fn on_looking(
        &mut self,
        from: ServerId,
        theirs: Received,
        cx: &mut Cx,
        links: &mut Links,
    ) -> Option<Decision> {
        // A server that does not trust its empty database votes with zxid -1: no vote at all.
        if theirs.vote.zxid == Zxid::from_wire(-1) {
            return None;
        }
        if theirs.round < self.round {
            // Nobody goes by an observer's round.
            if self.initial == Vote::NONE {
                return None;
            }
            links.notify(from, self.notification(cx), cx);
            return None;
        }
        let mut unaware = false;
        if theirs.round > self.round {
            self.begin_round(theirs.round);
            let better = beats(&theirs.vote, &self.initial, cx, links);
            self.proposal = if better { theirs.vote } else { self.initial };
            self.propose(cx, links);
        } else if beats(&theirs.vote, &self.proposal, cx, links) {
            self.proposal = theirs.vote;
            self.decide_at = None;
            self.propose(cx, links);
        } else {
            unaware = theirs.vote != self.proposal;
        }
        self.received.insert(from, theirs);
        self.settled.remove(&from);
        if unaware {
            // Departs: upstream lets it wait for what it missed, until somebody's next repetition.
            self.answer(from, cx, links);
        }
        self.count(cx, links)
    }

    /// Does a quorum propose what we propose? Then wait a little for a better vote, unless everyone
    /// has spoken who can.
    // ZK: FastLeaderElection.finalizeWait (3.9)
    // Departs: upstream waits even then, and its servers need it: one that is elected again before it is
    // done with its last term may log what came twice (ZOOKEEPER-4712). Beside them nobody is quicker.
    fn count(&mut self, cx: &Cx, links: &Links) -> Option<Decision> {
        let agrees = |id| {
            self.received.get(&id).is_some_and(|r| r.round == self.round && r.vote == self.proposal)
        };
        let ensemble = cx.membership.committed();
        let with_observers = cx.config.planted(Mutant::FleCountObservers)
            && 2 * ensemble.members.keys().filter(|id| agrees(**id)).count()
                > ensemble.voters().count();
        if !cx.membership.is_quorum(agrees) && !with_observers {
            self.decide_at = None;
            return None;
        }
        let gone = |id| !self.first && links.is_absent(id) && !self.received.contains_key(&id);
        let mut heard_of = cx.membership.heard_of();
        let have_spoken = cx.membership.voters().all(|id| agrees(id) || gone(id))
            && heard_of.all(|id| agrees(id) || !links.is_connected(id));
        if have_spoken && !links.is_beside_upstream(cx) {
            return Some(self.decide(cx));
        }
        let wait = cx.config.min_notification_interval;
        self.decide_at.get_or_insert(cx.now.mono + wait);
        None
    }

    /// An election of one needs no message, and a peer that is gone has none to send.
    pub(crate) fn recount(&mut self, cx: &Cx, links: &Links) -> Option<Decision> {
        self.count(cx, links)
    }

    fn decide(&self, cx: &Cx) -> Decision {
        Self::settle(self.proposal, self.round, &self.received, cx)
    }

    /// `votes` are those that decided it.
    fn settle(vote: Vote, round: i64, votes: &BTreeMap<ServerId, Received>, cx: &Cx) -> Decision {
        let electors = votes.iter().filter(|(_, r)| r.vote.leader == vote.leader);
        let electors = electors.map(|(id, _)| *id).collect();
        Decision { settled: Settled::of(vote, round, cx), electors }
    }

    /// Somebody leads or follows already.
    fn on_settled(&mut self, from: ServerId, theirs: Received, cx: &Cx) -> Option<Decision> {
        if theirs.round == self.round {
            self.received.insert(from, theirs);
            if self.follows_quorum(&self.received, &theirs, cx) {
                return Some(Self::settle(theirs.vote, self.round, &self.received, cx));
            }
        }
        self.settled.insert(from, theirs);
        if self.follows_quorum(&self.settled, &theirs, cx) {
            self.round = theirs.round;
            return Some(Self::settle(theirs.vote, theirs.round, &self.settled, cx));
        }
        None
    }

    /// Do the votes equal to `theirs` come from a quorum, and does the leader itself say so?
    // ZK: FastLeaderElection.checkLeader (3.9)
    fn follows_quorum(
        &self,
        votes: &BTreeMap<ServerId, Received>,
        theirs: &Received,
        cx: &Cx,
    ) -> bool {
        let agrees = |id: ServerId| {
            votes.get(&id).is_some_and(|r| match r.state {
                PeerState::Looking => r.vote == theirs.vote && r.round == theirs.round,
                PeerState::Following | PeerState::Leading => r.same_leader(theirs, &cx.config),
                PeerState::Observing => false,
            })
        };
        let leader = theirs.vote.leader;
        let leader_says_so = if leader == cx.config.my_id {
            theirs.round == self.round
        } else {
            votes.get(&leader).is_some_and(|r| r.state == PeerState::Leading)
        };
        if leader == cx.config.my_id {
            return leader_says_so && cx.membership.is_quorum(agrees);
        }
        // What was proposed to us may be lost since: a leader that is established without it is found
        // by those who need not have heard of it.
        // Departs: upstream's server looks on for as long as its log has what was lost.
        leader_says_so && cx.membership.is_quorum_for(Zxid::ZERO, agrees)
    }

    pub(crate) fn on_wake(&mut self, cx: &mut Cx, links: &mut Links) -> Option<Decision> {
        let now = cx.now.mono;
        if self.decide_at.is_some_and(|at| at <= now) {
            return Some(self.decide(cx));
        }
        if self.resend_at <= now {
            self.resend_after = (self.resend_after * 2).min(cx.config.max_notification_interval);
            self.resend_at = now + self.resend_after;
            return self.propose(cx, links);
        }
        None
    }

    /// Tells everybody what we propose, ourselves included.
    fn propose(&mut self, cx: &mut Cx, links: &mut Links) -> Option<Decision> {
        let own = Received { vote: self.proposal, round: self.round, state: PeerState::Looking };
        self.received.insert(cx.config.my_id, own);
        links.notify_all(&self.notification(cx), cx);
        self.count(cx, links)
    }

    pub(crate) fn notification(&self, cx: &Cx) -> Notification {
        notification(&cx.membership, self.proposal, self.round, PeerState::Looking)
    }
}

impl Settled {
    /// Without an election: a reconfiguration said who leads.
    // ZK: QuorumPeer.updateVote (3.9)
    pub(crate) fn designated(leader: ServerId, round: i64, cx: &Cx) -> Self {
        let (zxid, epoch) = (cx.history.logged(), i64::from(cx.epochs.current.0));
        Self::of(Vote { leader, zxid, epoch }, round, cx)
    }

    fn of(vote: Vote, round: i64, cx: &Cx) -> Self {
        let state = match cx.membership.role() {
            _ if vote.leader == cx.config.my_id => PeerState::Leading,
            MemberRole::Participant => PeerState::Following,
            MemberRole::Observer => PeerState::Observing,
        };
        Self { vote, round, state }
    }

    /// Does somebody who still looks for a leader, in this round or a later one, know of a better one?
    /// Or is it the leader itself that looks for another one?
    pub(crate) fn is_outvoted(
        &self,
        from: ServerId,
        by: &Notification,
        cx: &Cx,
        links: &Links,
    ) -> bool {
        let resigned = from == self.vote.leader && by.round > self.round;
        by.state == PeerState::Looking
            && by.round >= self.round
            && by.zxid != Zxid::from_wire(-1)
            && (resigned || beats(&Vote::of(by), &self.vote, cx, links))
    }

    /// Does this voter follow the leader, or will it? `None`: it has not heard of all votes yet.
    pub(crate) fn is_followed_by(&self, n: &Notification, cx: &Cx, links: &Links) -> Option<bool> {
        match n.state {
            PeerState::Following | PeerState::Leading => Some(n.leader == self.vote.leader),
            PeerState::Looking if n.round != self.round => Some(false),
            PeerState::Looking if n.leader == self.vote.leader => Some(true),
            PeerState::Looking => beats(&Vote::of(n), &self.vote, cx, links).then_some(false),
            PeerState::Observing => None,
        }
    }

    pub(crate) fn notification(&self, cx: &Cx) -> Notification {
        notification(&cx.membership, self.vote, self.round, self.state)
    }
}

fn notification(membership: &Membership, vote: Vote, round: i64, state: PeerState) -> Notification {
    let text = |ensemble: &Ensemble| Bytes::from(ensemble.text());
    Notification {
        state,
        leader: vote.leader,
        zxid: vote.zxid,
        round,
        peer_epoch: vote.epoch,
        version: 2,
        config: text(membership.committed()),
        is_ours: true,
        proposed: membership.proposed().map(text).unwrap_or_default(),
    }
}
