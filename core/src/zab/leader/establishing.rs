//! Phases 1 and 2 of a leader: it hears what each server accepted, proposes a new epoch, brings whoever
//! accepted it to its own history, and is established when a quorum has acknowledged that.

use crate::config::MemberRole;
use crate::ids::{Epoch, LinkId, ServerId, Zxid};
use crate::mutant::Mutant;
use crate::proto::{LearnerInfo, QuorumPacket};
use crate::server::cx::Cx;
use crate::server::{Action, CloseReason, Note, SyncKind};
use crate::txn::Entry;
use crate::zab::broadcast::Broadcast;
use crate::zab::discovery::CollectingEpochAcks;
use crate::zab::follower::LEARNER_PROTOCOL_VERSION;
use crate::zab::learner_link::LearnerState;
use crate::zab::sync_room::SyncRoom;
use crate::zab::synchronization::CollectingNewLeaderAcks;
use crate::zab::{catch_up, forwarding};

use super::{Asked, Leading, Phase, StepDown};

/// A leader's epoch is one above what its voters have accepted; upstream's is signed.
const EPOCH_MAX: Epoch = Epoch(i32::MAX as u32);

impl Leading {
    // ---- who is to come ----

    /// A server says something, and by that it follows us or it does not.
    pub(crate) fn on_word(&mut self, from: ServerId, follows: bool, cx: &Cx) {
        if !follows {
            self.electors.remove(&from);
        } else if cx.membership.is_voter(from) {
            self.electors.insert(from);
        }
    }

    /// Is there no quorum to come any more? Those who are gone cannot join us when they are back: we and
    /// who follows us are no quorum that could tell them who leads.
    // Departs: upstream's servers wait for each other until initLimit is over.
    pub(crate) fn is_deserted(&self, cx: &Cx) -> bool {
        let comes = |id| {
            id == cx.config.my_id
                || self.electors.contains(&id)
                || self.learners.values().any(|learner| learner.speaks_for(id))
        };
        let counts_others = cx.config.planted(Mutant::FleCountObservers);
        self.established().is_none() && !counts_others && !cx.membership.is_quorum(comes)
    }

    // ---- phase 1 ----

    /// FOLLOWERINFO or OBSERVERINFO. Whoever is no voter of this ensemble is served all the same: it
    /// may be about to become one.
    pub(super) fn on_greeting(
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
    pub(super) fn propose_epoch(&mut self, cx: &mut Cx) {
        let Phase::ProposingEpoch(step) = &self.phase else { return };
        let Some(epoch) = step.chosen(cx) else { return };
        let ticket =
            if epoch > cx.epochs.accepted { cx.save_accepted(epoch) } else { cx.last_ticket() };
        self.phase = Phase::SavingAccepted { epoch, ticket };
    }

    /// The epoch that this leader proposes, when it may be told.
    pub(super) fn epoch(&self) -> Option<Epoch> {
        match &self.phase {
            Phase::ProposingEpoch(_) | Phase::SavingAccepted { .. } => None,
            Phase::CollectingEpochAcks(step) => Some(step.epoch),
            Phase::CollectingNewLeaderAcks(step) => Some(step.epoch),
            Phase::Broadcast(broadcast) => Some(broadcast.epoch()),
        }
    }

    // Zab: phase 1, step l.1.1 (NEWEPOCH)
    pub(super) fn send_leader_infos(&mut self, cx: &mut Cx) {
        let Some(epoch) = self.epoch() else { return };
        for (&link, learner) in &mut self.learners {
            if learner.state == LearnerState::AwaitingEpoch {
                learner.state = LearnerState::Accepting;
                let protocol_version = LEARNER_PROTOCOL_VERSION;
                cx.send(link, QuorumPacket::LeaderInfo { epoch, protocol_version });
            }
        }
    }

    pub(super) fn on_ack_epoch(
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
    pub(super) fn begin_synchronization(&mut self, cx: &mut Cx) {
        let Phase::CollectingEpochAcks(step) = &self.phase else { return };
        if step.complete(cx) {
            let epoch = step.epoch;
            self.phase = Phase::CollectingNewLeaderAcks(CollectingNewLeaderAcks::enter(epoch, cx));
        }
    }

    // ---- phase 2 ----

    pub(super) fn synchronize_learners(&mut self, cx: &mut Cx) {
        match &self.phase {
            Phase::CollectingNewLeaderAcks(_) | Phase::Broadcast(_) => {}
            Phase::ProposingEpoch(_)
            | Phase::SavingAccepted { .. }
            | Phase::CollectingEpochAcks(_) => return,
        }
        let Some(epoch) = self.epoch() else { return };
        let mut room = SyncRoom::beside(cx.config.observers.syncs_max, self.learners.values());
        self.some_wait = false;
        for (&link, learner) in &mut self.learners {
            let LearnerState::AwaitingSync { last } = learner.state else { continue };
            let in_files = catch_up::in_files(last, &cx.history, &cx.config);
            // What the files have may not be enough.
            let at_most = match in_files {
                Some(_) => SyncKind::Snap,
                None => catch_up::plan(last, &cx.history, &cx.config).kind,
            };
            if !room.admits(learner, at_most) {
                self.some_wait = true;
                continue;
            }
            match in_files {
                Some(upto) => {
                    learner.sync = at_most;
                    learner.state = LearnerState::AwaitingLog { last };
                    cx.push(Action::ReadLog { link, above: last, upto });
                }
                None => forwarding::synchronize(link, learner, last, &[], epoch, cx),
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

    pub(super) fn on_ack(&mut self, link: LinkId, zxid: Zxid, cx: &mut Cx) {
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
        if self.some_wait {
            self.synchronize_learners(cx);
        }
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
    pub(super) fn send_up_to_dates(&mut self, cx: &mut Cx) {
        let Phase::Broadcast(_) = &self.phase else { return };
        for (&link, learner) in &mut self.learners {
            if learner.state == LearnerState::Acked {
                learner.state = LearnerState::Active;
                cx.send(link, QuorumPacket::UpToDate);
            }
        }
    }
}
