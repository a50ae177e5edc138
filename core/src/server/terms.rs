//! From one term to the next: the end of a role, an election or a named successor, the next role; and
//! what a reconfiguration means to the term that it is committed in.

use alloc::collections::BTreeSet;
use alloc::format;

use crate::config::MemberRole;
use crate::ids::{Epoch, ServerId};
use crate::mutant::Mutant;
use crate::proto::PeerState;
use crate::time::Duration;
use crate::zab::broadcast::Broadcast;
use crate::zab::election::{Decision, Election, Settled};
use crate::zab::follower::Following;
use crate::zab::leader::Leading;

use super::read_only::ReadOnly;
use super::{CloseReason, Note, Role, RoleName, Server};

impl Server {
    pub(super) fn serve(&mut self, epoch: Epoch) {
        if let Role::Following(_, settled) | Role::Leading(_, settled) = &mut self.role {
            // Peers that restart now must find all of us in the same epoch.
            // ZK: QuorumPeer.updateElectionVote (3.9)
            settled.vote.epoch = i64::from(epoch.0);
        }
        self.cx.serving = Some(epoch);
    }

    /// Out of any role: nobody is served, what is logged becomes the state, and when it is durable
    /// the next election begins.
    pub(super) fn end_term(&mut self, why: &str) {
        self.end_term_for(why, None);
    }

    /// The same, with somebody who is to lead next.
    pub(super) fn end_term_for(&mut self, why: &str, successor: Option<ServerId>) {
        self.order.stop_serving(&mut self.cx);
        match &mut self.role {
            Role::Following(following, _) => {
                self.failed_terms = following.failure(self.failed_terms);
                if following.leader_is_silent(&self.cx) {
                    self.links.is_gone(following.master(), &self.cx);
                }
                following.close_observers(&mut self.cx);
                if let Some(link) = following.link() {
                    self.cx.close_link(link, CloseReason::TermOver);
                }
            }
            Role::Leading(leading, _) => leading.close(&mut self.cx),
            Role::Looking(_) | Role::Settling { .. } => {}
        }
        self.cx.note(Note::Refused(format!("{}: {why}", self.mode())));
        self.cx.note(Note::Role(RoleName::Looking));
        self.cx.deliver_logged();
        let observes = match &self.role {
            Role::Following(following, _) => following.role() == MemberRole::Observer,
            Role::Leading(..) | Role::Looking(_) | Role::Settling { .. } => false,
        };
        let pause = if observes { self.cx.observers_pause() } else { Duration::ZERO };
        let not_before = self.cx.now.mono + pause;
        self.role = Role::Settling { until: self.cx.last_ticket(), not_before, successor };
        self.begin_term();
    }

    /// Enters the election as soon as everything logged is durable.
    pub(super) fn begin_term(&mut self) {
        let Role::Settling { until, not_before, successor } = self.role else { return };
        if let Some(until) = self.cx.write_down() {
            self.role = Role::Settling { until, not_before, successor };
            return;
        }
        if self.cx.now.mono < not_before {
            return;
        }
        if !self.cx.is_durable(until) && !self.cx.config.planted(Mutant::VoteBeforeDurable) {
            return;
        }
        if self.cx.is_truncating() {
            return;
        }
        self.cx.deliver_logged();
        if let Some(leader) = successor.filter(|id| self.cx.membership.has_say(*id)) {
            let electors = self.cx.membership.voters().collect();
            return self.settle(Settled::designated(leader, self.round, &self.cx), electors);
        }
        self.cx.read_only = ReadOnly::looking(&self.cx);
        let mut election = Election::enter(self.round, &mut self.cx, &mut self.links);
        let decision = election.recount(&self.cx, &self.links);
        self.round = election.round();
        self.role = Role::Looking(election);
        self.decide(decision);
    }

    pub(super) fn decide(&mut self, decision: Option<Decision>) {
        let Role::Looking(election) = &self.role else { return };
        self.round = election.round();
        if let Some(Decision { settled, mut electors }) = decision {
            // Who voted and died since will not come.
            electors.retain(|id| !self.links.is_absent(*id));
            self.end_read_only();
            self.settle(settled, electors);
        }
    }

    /// It is known who leads.
    pub(super) fn settle(&mut self, settled: Settled, electors: BTreeSet<ServerId>) {
        self.round = settled.round;
        let leader = settled.vote.leader;
        if settled.state == PeerState::Leading {
            self.cx.note(Note::Role(RoleName::Leading));
            let parked = self.links.take_parked();
            match Leading::enter(electors, parked, &mut self.cx) {
                Ok(leading) => {
                    self.role = Role::Leading(leading, settled);
                    if let Err(why) = self.advance() {
                        self.end_term(&format!("{why}"));
                    }
                    self.step_down_if_deserted();
                }
                Err(why) => self.end_term(&format!("{why}")),
            }
        } else {
            let role = match settled.state {
                PeerState::Observing => RoleName::Observing,
                PeerState::Looking | PeerState::Following | PeerState::Leading => {
                    RoleName::Following
                }
            };
            self.cx.note(Note::Role(role));
            let parked = self.links.take_parked();
            let (round, failed) = (settled.round, self.failed_terms);
            let following = Following::enter(leader, round, parked, failed, &mut self.cx);
            self.role = Role::Following(following, settled);
        }
    }

    /// All configurations up to `version` are committed. A server that takes part otherwise from now on,
    /// or has another leader, begins a term anew.
    // ZK: QuorumPeer.processReconfig (3.9)
    pub(super) fn activate(&mut self, version: u64) {
        if self.cx.commit_membership(version).is_none() {
            return;
        }
        let cx = &self.cx;
        let (over, successor) = match &mut self.role {
            Role::Leading(leading, _) => {
                leading.recount(cx);
                let successor = leading.established().and_then(Broadcast::designated);
                (!cx.membership.has_say(cx.config.my_id), successor)
            }
            Role::Following(following, _) => {
                let leader = following.leader;
                let over =
                    following.role() != cx.membership.role() || !cx.membership.is_voter(leader);
                (over, following.designated().or_else(|| (!over).then_some(leader)))
            }
            Role::Looking(_) | Role::Settling { .. } => (false, None),
        };
        let leader = match &self.role {
            Role::Leading(..) => Some(cx.config.my_id),
            Role::Following(following, _) => Some(following.leader),
            Role::Looking(_) | Role::Settling { .. } => None,
        };
        let moved = successor.is_some() && successor != leader;
        if leader == Some(cx.config.my_id) && cx.config.planted(Mutant::RemovedLeaderCommits) {
            return;
        }
        if leader.is_some() && (over || moved) {
            self.end_term_for("the ensemble was reconfigured", successor);
        }
    }
}
