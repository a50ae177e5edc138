//! What other servers say, and what their links do: to whom it goes depends on the role.

use alloc::format;

use crate::ids::{LinkId, ServerId, Zxid};
use crate::proto::{Forwarded, Notification, PeerState, QuorumPacket, Request};
use crate::zab::broadcast::{Origin, Question};
use crate::zab::follower::Heard;
use crate::zab::leader::{Asked, StepDown};

use super::{CloseReason, PeerMessage, Port, Role, Server};

impl Server {
    /// Says what is true now.
    // Departs: upstream repeats the last message, which may be of an election long over.
    pub(super) fn on_election_up(&mut self, link: LinkId, peer: ServerId, dialled: bool) {
        if !self.links.on_election_up(link, peer, dialled, &mut self.cx) {
            return;
        }
        let vote = match &self.role {
            Role::Settling { .. } => return,
            // It has none, and who asks would answer.
            Role::Following(_, settled) if settled.state == PeerState::Observing => return,
            Role::Looking(election) => election.notification(&self.cx),
            Role::Following(_, settled) | Role::Leading(_, settled) => {
                settled.notification(&self.cx)
            }
        };
        self.links.notify(peer, vote, &mut self.cx);
    }

    /// A link on another port: to `dialled`, or from somebody who will say who it is.
    pub(super) fn on_quorum_up(&mut self, link: LinkId, port: Port, dialled: Option<ServerId>) {
        let cx = &mut self.cx;
        let why = match (&mut self.role, dialled) {
            (Role::Following(following, _), Some(to)) if following.dials(to, port) => {
                return following.on_link_up(link, cx);
            }
            (Role::Following(following, _), None) if following.serves_on(port, cx) => {
                return following.on_observer_up(link, cx);
            }
            // Observers that come for a master are to spare a leader, not to find it there.
            (Role::Leading(leading, _), None) if port == Port::Quorum => {
                return leading.on_link_up(link, cx);
            }
            (Role::Looking(_) | Role::Settling { .. }, None) => {
                return self.links.park(link, port, cx);
            }
            // Whom it was dialled for is not the leader any more.
            (_, Some(_)) => CloseReason::Superseded,
            (Role::Following(..) | Role::Leading(..), None) => CloseReason::NotServing,
        };
        cx.close_link(link, why);
    }

    /// Nobody waits for a leader whose election link broke too: it died before we reached it.
    pub(super) fn on_quorum_dial_failed(&mut self, to: ServerId, port: Port) {
        let Role::Following(following, _) = &mut self.role else { return };
        let refused = following.on_dial_failed(to, port, self.links.is_upstream(to), &self.cx);
        if refused && self.links.is_absent(to) {
            self.end_term("the leader is gone");
        }
    }

    pub(super) fn on_link_down(&mut self, link: LinkId) {
        let peer = self.links.election_peer(link);
        if self.links.on_down(link, &self.cx) {
            if let Some(peer) = peer {
                self.on_peer_gone(peer);
            }
            return;
        }
        match &mut self.role {
            Role::Following(following, _) if following.link() == Some(link) => {
                self.end_term("the link to the leader broke");
            }
            Role::Leading(leading, _) => {
                leading.on_link_down(link);
                self.step_down_if_deserted();
            }
            Role::Following(following, _) => following.on_observer_down(link),
            Role::Looking(_) | Role::Settling { .. } => {}
        }
    }

    pub(super) fn on_peer(&mut self, link: LinkId, message: PeerMessage) {
        if let PeerMessage::Election(notification) = &message {
            if let Some(from) = self.links.election_peer(link) {
                self.on_notification(from, notification);
            }
            return;
        }
        let outcome = match &mut self.role {
            Role::Following(following, _) if following.link() == Some(link) => {
                match &message {
                    PeerMessage::Quorum(QuorumPacket::Proposal(_)) => {
                        self.cx.metrics.proposals_received += 1;
                    }
                    PeerMessage::Quorum(QuorumPacket::Commit { .. } | QuorumPacket::Inform(_)) => {
                        self.cx.metrics.commits_received += 1;
                    }
                    _ => {}
                }
                match following.on_message(message, &mut self.cx) {
                    Ok(heard) => {
                        self.on_heard(heard);
                        Ok(())
                    }
                    Err(why) => Err(format!("{why}")),
                }
            }
            Role::Following(following, _) => {
                if let Some(session) = following.on_observer_message(link, message, &mut self.cx) {
                    self.order.give_up(session, &mut self.cx);
                }
                Ok(())
            }
            Role::Leading(leading, _) if leading.has_link(link) => {
                match leading.on_message(link, message, &mut self.cx) {
                    Ok(Asked::Nothing) => Ok(()),
                    Ok(Asked::Request { from, forwarded }) => {
                        self.on_forwarded(link, from, forwarded).map_err(|why| format!("{why}"))
                    }
                    Err(why) => Err(format!("{why}")),
                }
            }
            Role::Looking(_) | Role::Settling { .. } => {
                if let PeerMessage::Quorum(packet) = message {
                    self.links.park_packet(link, packet, &mut self.cx);
                }
                Ok(())
            }
            Role::Leading(..) => Ok(()),
        };
        if let Err(why) = outcome {
            self.end_term(&why);
        }
    }

    pub(super) fn on_notification(&mut self, from: ServerId, notification: &Notification) {
        self.links.on_notification(from, notification, &self.cx);
        if self.cx.membership.is_member(from) {
            self.cx.membership.hear(&notification.proposed);
        }
        self.reconsider(from, notification);
        self.learn_membership(notification);
        let (cx, links) = (&mut self.cx, &mut self.links);
        match &mut self.role {
            Role::Looking(election) => {
                let decision = election.on_notification(from, notification, cx, links);
                self.decide(decision);
            }
            Role::Following(_, settled) | Role::Leading(_, settled) => {
                // Nobody asks an observer, not even one whose question it answers; but for who missed
                // that it became one.
                let is_asked = settled.state != PeerState::Observing
                    || cx.membership.is_later_than(&notification.config);
                if is_asked && notification.state == PeerState::Looking {
                    let answer = settled.notification(cx);
                    links.notify(from, answer, cx);
                }
            }
            Role::Settling { .. } => {}
        }
        if let Role::Leading(leading, settled) = &mut self.role
            && let Some(follows) = settled.is_followed_by(notification, &self.cx, &self.links)
        {
            leading.on_word(from, follows, &self.cx);
            self.step_down_if_deserted();
        }
    }

    /// Who looks for a leader hears of a reconfiguration that it missed, and looks anew: those whom it
    /// asks may be gone.
    pub(super) fn learn_membership(&mut self, notification: &Notification) {
        if let Role::Looking(_) = self.role
            && self.cx.adopt_membership(&notification.config)
        {
            let (until, not_before) = (self.cx.last_ticket(), self.cx.now.mono);
            self.role = Role::Settling { until, not_before, successor: None };
            self.begin_term();
        }
    }

    /// An election that nobody was waited for may have been too quick: a better vote that comes before
    /// the leader was reached opens it again. So does a leader that could not wait to be reached.
    pub(super) fn reconsider(&mut self, from: ServerId, notification: &Notification) {
        let Role::Following(following, settled) = &self.role else { return };
        let membership = &self.cx.membership;
        if following.is_connecting()
            && settled.is_outvoted(from, notification, &self.cx, &self.links)
            && membership.is_voter(from)
            && membership.is_candidate(notification.leader)
        {
            self.end_term("a better vote came");
        }
    }

    /// An election may wait for this peer's vote, and a leader that is not established for the peer.
    pub(super) fn on_peer_gone(&mut self, peer: ServerId) {
        match &mut self.role {
            Role::Looking(election) => {
                let decision = election.recount(&self.cx, &self.links);
                self.decide(decision);
            }
            Role::Leading(leading, _) => {
                leading.on_word(peer, false, &self.cx);
                self.step_down_if_deserted();
            }
            Role::Following(..) | Role::Settling { .. } => {}
        }
    }

    pub(super) fn step_down_if_deserted(&mut self) {
        if let Role::Leading(leading, _) = &self.role
            && leading.is_deserted(&self.cx)
        {
            self.end_term(&format!("{}", StepDown::Deserted));
        }
    }

    pub(super) fn on_heard(&mut self, heard: Heard) {
        match heard {
            Heard::Nothing => {}
            Heard::Serve(epoch) => {
                self.serve(epoch);
                // What the leader named in NEWLEADER, unless it was still proposed then: the history that
                // the term began with is committed, and so is the name that the term gave.
                // Departs: upstream's learners take it for committed all the same, and others theirs.
                let committed = self.cx.history.committed().max(Zxid::start_of(epoch));
                self.activate(committed.0);
            }
            Heard::Synced(conn) => self.order.on_synced(conn, &mut self.cx),
            Heard::Revalidated { session, valid } => {
                self.order.on_revalidated(session, valid, &mut self.cx);
                if let Role::Following(following, _) = &self.role
                    && following.has_given_up(session)
                {
                    self.order.give_up(session, &mut self.cx);
                }
            }
        }
    }

    pub(super) fn on_forwarded(
        &mut self,
        link: LinkId,
        from: ServerId,
        forwarded: Forwarded,
    ) -> Result<(), StepDown> {
        let Role::Leading(leading, _) = &mut self.role else { return Ok(()) };
        let Some((broadcast, learners)) = leading.broadcasting() else { return Ok(()) };
        if let Request::Sync { .. } = forwarded.request {
            let question = Question::Learner { link, answer: QuorumPacket::Sync };
            broadcast.ask(question, learners, &mut self.cx);
            return Ok(());
        }
        let origin = Origin::Learner(from);
        let size = broadcast.propose(origin, &forwarded, learners, &mut self.cx)?;
        self.proposed(size);
        Ok(())
    }
}
