//! A leader's term: from the election's decision through the three phases until it has no quorum
//! any more. It owns the links to learners; the steps of the phases are in their files.
//!
//! ```text
//!   ProposingEpoch --quorum reported--> SavingAccepted --durable--> CollectingEpochAcks
//!     --quorum acknowledged--> CollectingNewLeaderAcks --quorum acknowledged--> Broadcast
//! ```

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use crate::config::MemberRole;
use crate::ids::{Epoch, LinkId, ServerId, SessionId, Zxid};
use crate::mutant::Mutant;
use crate::proto::{Forwarded, LearnerInfo, QuorumPacket};
use crate::server::cx::Cx;
use crate::server::links::Parked;
use crate::server::{Action, CloseReason, Note, PeerMessage, Port, Ticket};
use crate::time::Instant;
use crate::txn::Entry;

use super::PeerMisbehaved;
use super::broadcast::{Broadcast, Certainty, Origin, Question};
use super::catch_up;
use super::discovery::{CollectingEpochAcks, ProposingEpoch};
use super::follower::LEARNER_PROTOCOL_VERSION;
use super::forwarding;
use super::learner_link::{self, LearnerLink, LearnerState};
use super::synchronization::CollectingNewLeaderAcks;

/// A leader's epoch is one above what its voters have accepted; upstream's is signed.
const EPOCH_MAX: Epoch = Epoch(i32::MAX as u32);

#[derive(Clone, Debug)]
pub struct Leading {
    learners: BTreeMap<LinkId, LearnerLink>,
    phase: Phase,
    /// Phases 1 and 2 must be through by then.
    establish_by: Instant,
    /// What this term's history begins with, for the comparison in ACKEPOCH.
    summary: (Epoch, Zxid),
}

#[derive(Clone, Debug)]
#[expect(clippy::large_enum_variant, reason = "one in a server, and the largest is the usual one")]
enum Phase {
    ProposingEpoch(ProposingEpoch),
    SavingAccepted { epoch: Epoch, ticket: Ticket },
    CollectingEpochAcks(CollectingEpochAcks),
    CollectingNewLeaderAcks(CollectingNewLeaderAcks),
    Broadcast(Broadcast),
}

/// Why a leader steps down.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum StepDown {
    #[error("not established within initLimit")]
    NotEstablished,
    #[error("no quorum heard from within syncLimit")]
    QuorumLost,
    #[error("a follower has a newer history")]
    FollowerAhead,
    #[error("a voter has accepted a later epoch and cannot follow this one")]
    LaterEpochAccepted,
    #[error("the counter of this epoch is used up")]
    ZxidRollover,
}

/// What a packet of a learner means to the server around.
#[derive(Clone, Debug)]
pub(crate) enum Asked {
    Nothing,
    Request { from: ServerId, forwarded: Forwarded },
}

impl Leading {
    pub(crate) fn enter(parked: BTreeMap<LinkId, Parked>, cx: &mut Cx) -> Result<Self, StepDown> {
        let mut leading = Self {
            learners: BTreeMap::new(),
            phase: Phase::ProposingEpoch(ProposingEpoch::enter(
                cx.config.my_id,
                cx.epochs.accepted,
                cx.epoch_floor,
            )),
            establish_by: cx.now.mono + cx.config.init_timeout(),
            summary: (cx.epochs.current, cx.history.logged()),
        };
        leading.propose_epoch(cx);
        for (link, Parked { packets, port }) in parked {
            if port != Port::Quorum {
                cx.close_link(link, CloseReason::NotServing);
                continue;
            }
            leading.on_link_up(link, cx);
            for packet in packets {
                let asked = leading.on_packet(link, packet, cx)?;
                debug_assert!(matches!(asked, Asked::Nothing), "nobody is synced yet");
            }
        }
        Ok(leading)
    }

    pub(crate) fn broadcast(&mut self) -> Option<&mut Broadcast> {
        match &mut self.phase {
            Phase::Broadcast(broadcast) => Some(broadcast),
            Phase::ProposingEpoch(_)
            | Phase::SavingAccepted { .. }
            | Phase::CollectingEpochAcks(_)
            | Phase::CollectingNewLeaderAcks(_) => None,
        }
    }
    /// The same, to look at.
    pub(crate) fn established(&self) -> Option<&Broadcast> {
        match &self.phase {
            Phase::Broadcast(broadcast) => Some(broadcast),
            Phase::ProposingEpoch(_)
            | Phase::SavingAccepted { .. }
            | Phase::CollectingEpochAcks(_)
            | Phase::CollectingNewLeaderAcks(_) => None,
        }
    }

    /// The broadcast phase and the learners, for steps that need both.
    pub(crate) fn broadcasting(
        &mut self,
    ) -> Option<(&mut Broadcast, &mut BTreeMap<LinkId, LearnerLink>)> {
        match &mut self.phase {
            Phase::Broadcast(broadcast) => Some((broadcast, &mut self.learners)),
            Phase::ProposingEpoch(_)
            | Phase::SavingAccepted { .. }
            | Phase::CollectingEpochAcks(_)
            | Phase::CollectingNewLeaderAcks(_) => None,
        }
    }
    /// Who votes changed.
    pub(crate) fn recount(&mut self, cx: &Cx) {
        super::broadcast::recount(&mut self.learners, cx);
    }
    pub(crate) fn learner_links(&self) -> Vec<LinkId> {
        self.learners.keys().copied().collect()
    }
    pub(crate) fn learners(&self) -> impl Iterator<Item = &LearnerLink> {
        self.learners.values()
    }

    // ---- links ----

    pub(crate) fn on_link_up(&mut self, link: LinkId, cx: &Cx) {
        self.learners.insert(link, LearnerLink::new(cx.now.mono));
    }
    pub(crate) fn on_link_down(&mut self, link: LinkId) {
        self.learners.remove(&link);
    }
    pub(crate) fn has_link(&self, link: LinkId) -> bool {
        self.learners.contains_key(&link)
    }
    fn drop_learner(&mut self, link: LinkId, why: CloseReason, cx: &mut Cx) {
        if self.learners.remove(&link).is_some() {
            cx.close_link(link, why);
        }
    }

    pub(crate) fn on_message(
        &mut self,
        link: LinkId,
        message: PeerMessage,
        cx: &mut Cx,
    ) -> Result<Asked, StepDown> {
        match message {
            PeerMessage::Quorum(packet) => self.on_packet(link, packet, cx),
            PeerMessage::Election(_) | PeerMessage::Snapshot(_) => {
                let why = "only quorum packets are expected from a learner";
                self.drop_learner(link, CloseReason::Misbehaved(why.into()), cx);
                Ok(Asked::Nothing)
            }
        }
    }

    /// One packet of a learner. What a learner does wrong ends its link, not our term.
    // ZK: LearnerHandler.run (3.9)
    fn on_packet(
        &mut self,
        link: LinkId,
        packet: QuorumPacket,
        cx: &mut Cx,
    ) -> Result<Asked, StepDown> {
        let Some(learner) = self.learners.get_mut(&link) else { return Ok(Asked::Nothing) };
        learner.heard_at = cx.now.mono;
        let (state, id) = (learner.state, learner.id);
        let fault = match (state, packet) {
            (LearnerState::Greeting, QuorumPacket::FollowerInfo { accepted, info }) => {
                return self.on_greeting(link, MemberRole::Participant, accepted, &info, cx);
            }
            (LearnerState::Greeting, QuorumPacket::ObserverInfo { accepted, info }) => {
                return self.on_greeting(link, MemberRole::Observer, accepted, &info, cx);
            }
            (LearnerState::Accepting, QuorumPacket::AckEpoch { last, current }) => {
                return self.on_ack_epoch(link, last, current, cx);
            }
            (
                LearnerState::Syncing | LearnerState::Acked | LearnerState::Active,
                QuorumPacket::Ack { zxid },
            ) => {
                self.on_ack(link, zxid, cx);
                return Ok(Asked::Nothing);
            }
            (LearnerState::Active, QuorumPacket::PingReply { touched, .. }) => {
                self.on_ping_reply(link, &touched, cx);
                return Ok(Asked::Nothing);
            }
            (LearnerState::Active, QuorumPacket::Request(forwarded)) => {
                let Some(from) = id else { return Ok(Asked::Nothing) };
                return Ok(Asked::Request { from, forwarded });
            }
            (LearnerState::Active, QuorumPacket::Revalidate { session, timeout_ms }) => {
                self.on_revalidate(link, session, timeout_ms, cx);
                return Ok(Asked::Nothing);
            }
            // A learner whose ping crossed NEWLEADER.
            (LearnerState::Syncing | LearnerState::Acked, QuorumPacket::PingReply { .. }) => {
                return Ok(Asked::Nothing);
            }
            (_, other) => {
                let what = other.name();
                let why = PeerMisbehaved::Unexpected { what, phase: state.name() };
                CloseReason::Misbehaved(alloc::format!("{why}"))
            }
        };
        self.drop_learner(link, fault, cx);
        Ok(Asked::Nothing)
    }

    // ---- phase 1 ----

    /// FOLLOWERINFO or OBSERVERINFO. Whoever is no voter of this ensemble is served all the same: it
    /// may be about to become one.
    fn on_greeting(
        &mut self,
        link: LinkId,
        role: MemberRole,
        accepted: Epoch,
        info: &LearnerInfo,
        cx: &mut Cx,
    ) -> Result<Asked, StepDown> {
        let id = info.id;
        let refused = if id == cx.config.my_id {
            Some(alloc::format!("server {id} is this one"))
        } else if accepted >= EPOCH_MAX {
            Some(alloc::format!("no epoch comes after {accepted}"))
        } else if cx.membership.is_behind(info.config_version) {
            // ZK: Learner handler: it knows of a reconfiguration that we do not (3.9)
            Some(alloc::format!("it has configuration {:x}, which is later", info.config_version))
        } else {
            None
        };
        if let Some(why) = refused {
            self.drop_learner(link, CloseReason::Misbehaved(why), cx);
            return Ok(Asked::Nothing);
        }
        // A server that a reconfiguration makes a voter, and that has not heard of it, comes as the
        // observer that it was. Without it there may be no quorum of the new ensemble, and nobody to
        // tell it.
        let takes_part = role == MemberRole::Participant || self.broadcast().is_none();
        let votes = takes_part && cx.membership.is_voter(id);
        // Departs: upstream goes on without this voter, which refuses our epoch for as long as it
        // lasts. It accepted a later one from a leader that was never established.
        if votes && self.epoch().is_some_and(|epoch| accepted > epoch) {
            cx.epoch_floor = cx.epoch_floor.max(accepted);
            return Err(StepDown::LaterEpochAccepted);
        }
        // One link for each learner: the newer one is the living one.
        let older = self.learners.iter().find(|(l, x)| **l != link && x.id == Some(id));
        if let Some((&older, _)) = older {
            self.drop_learner(older, CloseReason::Superseded, cx);
        }
        if let Some(learner) = self.learners.get_mut(&link) {
            learner.greeted(id, role, votes);
        }
        if let Phase::ProposingEpoch(step) = &mut self.phase {
            if votes || cx.config.planted(Mutant::DiscObserverEpoch) {
                step.on_report(id, accepted, cx);
            } else if cx.membership.is_member(id) {
                step.on_observed(accepted);
            }
        }
        self.propose_epoch(cx);
        self.send_leader_infos(cx);
        Ok(Asked::Nothing)
    }

    /// A quorum has reported: make the new epoch durable, then propose it.
    fn propose_epoch(&mut self, cx: &mut Cx) {
        let Phase::ProposingEpoch(step) = &self.phase else { return };
        let Some(epoch) = step.chosen(cx) else { return };
        let ticket =
            if epoch > cx.epochs.accepted { cx.save_accepted(epoch) } else { cx.last_ticket() };
        self.phase = Phase::SavingAccepted { epoch, ticket };
    }

    /// The epoch that this leader proposes, when it may be told.
    fn epoch(&self) -> Option<Epoch> {
        match &self.phase {
            Phase::ProposingEpoch(_) | Phase::SavingAccepted { .. } => None,
            Phase::CollectingEpochAcks(step) => Some(step.epoch),
            Phase::CollectingNewLeaderAcks(step) => Some(step.epoch),
            Phase::Broadcast(broadcast) => Some(broadcast.epoch()),
        }
    }

    // Zab: phase 1, step l.1.1 (NEWEPOCH)
    fn send_leader_infos(&mut self, cx: &mut Cx) {
        let Some(epoch) = self.epoch() else { return };
        for (&link, learner) in &mut self.learners {
            if learner.state == LearnerState::AwaitingEpoch {
                learner.state = LearnerState::Accepting;
                let protocol_version = LEARNER_PROTOCOL_VERSION;
                cx.send(link, QuorumPacket::LeaderInfo { epoch, protocol_version });
            }
        }
    }

    fn on_ack_epoch(
        &mut self,
        link: LinkId,
        last: Zxid,
        current: Option<Epoch>,
        cx: &mut Cx,
    ) -> Result<Asked, StepDown> {
        let Some(learner) = self.learners.get_mut(&link) else { return Ok(Asked::Nothing) };
        learner.state = LearnerState::AwaitingSync { last };
        let counts = learner.votes() || cx.config.planted(Mutant::DiscObserverEpoch);
        let id = learner.id.filter(|_| counts);
        if let (Phase::CollectingEpochAcks(step), Some(id)) = (&mut self.phase, id) {
            step.on_ack(id, last, current, self.summary, cx)
                .map_err(|_| StepDown::FollowerAhead)?;
        }
        self.begin_synchronization(cx);
        self.synchronize_learners(cx);
        Ok(Asked::Nothing)
    }

    /// A quorum acknowledged the epoch: nobody can be elected for an older one.
    fn begin_synchronization(&mut self, cx: &mut Cx) {
        let Phase::CollectingEpochAcks(step) = &self.phase else { return };
        if step.complete(cx) {
            let epoch = step.epoch;
            self.phase = Phase::CollectingNewLeaderAcks(CollectingNewLeaderAcks::enter(epoch, cx));
        }
    }

    // ---- phase 2 ----

    fn synchronize_learners(&mut self, cx: &mut Cx) {
        match &self.phase {
            Phase::CollectingNewLeaderAcks(_) | Phase::Broadcast(_) => {}
            Phase::ProposingEpoch(_)
            | Phase::SavingAccepted { .. }
            | Phase::CollectingEpochAcks(_) => return,
        }
        let Some(epoch) = self.epoch() else { return };
        for (&link, learner) in &mut self.learners {
            if let LearnerState::AwaitingSync { last } = learner.state {
                match catch_up::in_files(last, &cx.history, &cx.config) {
                    Some(upto) => {
                        learner.state = LearnerState::AwaitingLog { last };
                        cx.push(Action::ReadLog { link, above: last, upto });
                    }
                    None => forwarding::synchronize(link, learner, last, &[], epoch, cx),
                }
            }
        }
    }

    /// What the log's files have for a learner that is far behind.
    pub(crate) fn on_log_read(
        &mut self,
        link: LinkId,
        above: Zxid,
        entries: Option<&[Entry]>,
        cx: &mut Cx,
    ) {
        let Some(epoch) = self.epoch() else { return };
        let Some(learner) = self.learners.get_mut(&link) else { return };
        if learner.state == (LearnerState::AwaitingLog { last: above }) {
            forwarding::synchronize(link, learner, above, entries.unwrap_or_default(), epoch, cx);
        }
    }

    fn on_ack(&mut self, link: LinkId, zxid: Zxid, cx: &mut Cx) {
        let Some(epoch) = self.epoch() else { return };
        let Some(learner) = self.learners.get_mut(&link) else { return };
        if zxid == Zxid::start_of(epoch) {
            if learner.state == LearnerState::Syncing {
                learner.state = LearnerState::Acked;
                let voter = learner.id.filter(|_| learner.votes());
                if let (Phase::CollectingNewLeaderAcks(step), Some(id)) = (&mut self.phase, voter) {
                    step.on_ack(id);
                }
            }
        } else if learner.role == MemberRole::Observer {
            // Nobody asked it.
        } else if zxid > learner.forwarded {
            let why = alloc::format!("ACK of {zxid}, sent up to {}", learner.forwarded);
            self.drop_learner(link, CloseReason::Misbehaved(why), cx);
        } else {
            // JIRA: ZOOKEEPER-4685: may come before the ACK of NEWLEADER from Java 3.8.
            learner.on_ack(zxid, cx.now.mono);
        }
    }

    /// Whatever became durable or acknowledged may carry the term one phase on. Returns true once,
    /// when this leader is established.
    pub(crate) fn advance(&mut self, cx: &mut Cx) -> bool {
        if let Phase::SavingAccepted { epoch, ticket } = self.phase {
            if !cx.is_durable(ticket) {
                return false;
            }
            let step = CollectingEpochAcks::enter(epoch, cx.config.my_id);
            self.phase = Phase::CollectingEpochAcks(step);
            self.send_leader_infos(cx);
            self.begin_synchronization(cx);
        }
        let established = match &self.phase {
            Phase::CollectingNewLeaderAcks(step) if step.complete(cx) => Some(step.epoch),
            Phase::CollectingNewLeaderAcks(_)
            | Phase::ProposingEpoch(_)
            | Phase::SavingAccepted { .. }
            | Phase::CollectingEpochAcks(_)
            | Phase::Broadcast(_) => None,
        };
        if let Some(epoch) = established {
            cx.note(Note::Established { epoch });
            self.phase = Phase::Broadcast(Broadcast::enter(epoch, cx));
        }
        self.send_up_to_dates(cx);
        if let Phase::Broadcast(broadcast) = &mut self.phase {
            broadcast.commit(&mut self.learners, cx);
        }
        established.is_some()
    }

    // Zab: phase 2, step l.2.2 (COMMIT-LD)
    fn send_up_to_dates(&mut self, cx: &mut Cx) {
        let Phase::Broadcast(_) = &self.phase else { return };
        for (&link, learner) in &mut self.learners {
            if learner.state == LearnerState::Acked {
                learner.state = LearnerState::Active;
                cx.send(link, QuorumPacket::UpToDate);
            }
        }
    }

    // ---- phase 3, what concerns learners ----

    fn on_ping_reply(&mut self, link: LinkId, touched: &[(SessionId, i32)], cx: &mut Cx) {
        if let Some(learner) = self.learners.get_mut(&link)
            && let Some(round) = learner.pings.pop_front()
        {
            learner.answered = round;
        }
        if let Phase::Broadcast(broadcast) = &mut self.phase {
            for &(session, timeout_ms) in touched {
                broadcast.touch(session, timeout_ms, cx);
            }
        }
    }

    // ZK: LearnerHandler: REVALIDATE (3.9)
    fn on_revalidate(&mut self, link: LinkId, session: SessionId, timeout_ms: i32, cx: &mut Cx) {
        let id = self.learners.get(&link).and_then(|l| l.id);
        let (Phase::Broadcast(broadcast), Some(id)) = (&mut self.phase, id) else { return };
        let (valid, certain) = broadcast.revalidate(session, timeout_ms, Origin::Learner(id), cx);
        let answer = QuorumPacket::Revalidated { session, valid };
        match certain {
            // An observer master of upstream's knows by the order which of its observers asked.
            // ZK: ObserverMaster.revalidateLearnerSession (3.9)
            Certainty::Now if !broadcast.owes_answer(link) => cx.send(link, answer),
            Certainty::Now | Certainty::WithProof => {
                broadcast.ask(Question::Learner { link, answer }, &mut self.learners, cx);
            }
        }
    }

    // ---- time ----

    pub(crate) fn deadline(&self, cx: &Cx) -> Instant {
        match &self.phase {
            Phase::Broadcast(broadcast) => broadcast.deadline(),
            Phase::ProposingEpoch(_)
            | Phase::SavingAccepted { .. }
            | Phase::CollectingEpochAcks(_)
            | Phase::CollectingNewLeaderAcks(_) => {
                let oldest = self.learners.values().map(|l| l.heard_at).min();
                oldest.map_or(self.establish_by, |at| {
                    self.establish_by.min(at + cx.config.init_timeout())
                })
            }
        }
    }

    pub(crate) fn on_wake(&mut self, cx: &mut Cx) -> Result<(), StepDown> {
        let now = cx.now.mono;
        let Phase::Broadcast(broadcast) = &mut self.phase else {
            self.drop_silent(cx);
            return if self.establish_by <= now { Err(StepDown::NotEstablished) } else { Ok(()) };
        };
        if !broadcast.ping_due(now) {
            return Ok(());
        }
        self.drop_silent(cx);
        let Phase::Broadcast(broadcast) = &mut self.phase else { return Ok(()) };
        let synced = |id| self.learners.values().any(|l| l.speaks_for(id) && l.is_synced());
        let me = cx.config.my_id;
        let follows = |id| id == me || synced(id);
        let without_proposed = cx.config.planted(Mutant::ReconfigPendingQuorumIgnored)
            && cx.membership.is_quorum_for(Zxid::ZERO, follows);
        if !cx.membership.is_quorum(follows)
            && !without_proposed
            && !cx.config.planted(Mutant::LeaderIgnoresLostQuorum)
        {
            return Err(StepDown::QuorumLost);
        }
        broadcast.ping(&mut self.learners, cx);
        Ok(())
    }

    /// Those who say nothing are let go.
    fn drop_silent(&mut self, cx: &mut Cx) {
        for link in learner_link::silent(&self.learners, cx) {
            self.drop_learner(link, CloseReason::PeerTimeout, cx);
        }
    }

    /// The links of a term end with it.
    pub(crate) fn close(&mut self, cx: &mut Cx) {
        for link in self.learner_links() {
            self.drop_learner(link, CloseReason::TermOver, cx);
        }
    }
}
