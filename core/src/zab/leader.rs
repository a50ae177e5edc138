//! A leader's term: from the election's decision through the three phases until it has no quorum
//! any more. It owns the links to learners; the steps of the phases are in their files.
//!
//! ```text
//!   ProposingEpoch --quorum reported--> SavingAccepted --durable--> CollectingEpochAcks
//!     --quorum acknowledged--> CollectingNewLeaderAcks --quorum acknowledged--> Broadcast
//! ```

mod establishing;

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use crate::config::MemberRole;
use crate::ids::{Epoch, LinkId, ServerId, SessionId, Zxid};
use crate::mutant::Mutant;
use crate::proto::{Forwarded, QuorumPacket};
use crate::server::cx::Cx;
use crate::server::links::Parked;
use crate::server::{CloseReason, PeerMessage, Port, Ticket};
use crate::time::Instant;

use super::PeerMisbehaved;
use super::broadcast::{Broadcast, Certainty, Origin, Question};
use super::discovery::{CollectingEpochAcks, ProposingEpoch};
use super::learner_link::{self, LearnerLink, LearnerState};
use super::synchronization::CollectingNewLeaderAcks;

#[derive(Clone, Debug)]
pub struct Leading {
    learners: BTreeMap<LinkId, LearnerLink>,
    /// Who voted for us and may still be on the way, until we are established.
    electors: BTreeSet<ServerId>,
    phase: Phase,
    /// Observers, for room to be synchronized.
    some_wait: bool,
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
    #[error("those who elected it are gone")]
    Deserted,
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
    pub(crate) fn enter(
        electors: BTreeSet<ServerId>,
        parked: BTreeMap<LinkId, Parked>,
        cx: &mut Cx,
    ) -> Result<Self, StepDown> {
        let mut leading = Self {
            learners: BTreeMap::new(),
            electors,
            some_wait: false,
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
