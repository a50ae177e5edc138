//! Connections to peers: who dials whom on the election port, and which quorum links wait for this
//! server to know its role. What is said over them is [`crate::zab`]'s.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use crate::ids::{LinkId, ServerId};
use crate::proto::{Notification, QuorumPacket};

use super::cx::Cx;
use super::{Action, CloseReason, PeerMessage, Port};

/// The one election link that a pair of servers keeps.
#[derive(Clone, Debug, Default)]
struct ElectionLink {
    link: Option<LinkId>,
    dialling: bool,
}

/// A learner's link that came in before this server knew whether it leads.
#[derive(Clone, Debug)]
pub(crate) struct Parked {
    pub(crate) port: Port,
    pub(crate) packets: Vec<QuorumPacket>,
}

/// Learners that dial while this server still looks are kept for a moment, not refused: they have
/// seen the outcome of the election first.
const PARKED_MAX: usize = 64;
/// FOLLOWERINFO is all that a learner says before it is answered.
const PARKED_PACKETS_MAX: usize = 4;

#[derive(Clone, Debug, Default)]
pub(crate) struct Links {
    election: BTreeMap<ServerId, ElectionLink>,
    /// Members whose link broke, who could not be dialled, or who led us and fell silent; until they
    /// are heard from again. Nobody waits for their vote.
    absent: BTreeSet<ServerId>,
    /// Members who are no Zebu, as they last said.
    upstream: BTreeSet<ServerId>,
    peer_of: BTreeMap<LinkId, ServerId>,
    parked: BTreeMap<LinkId, Parked>,
}

impl Links {
    // ---- election port ----

    pub(crate) fn notify_all(&mut self, message: &Notification, cx: &mut Cx) {
        let me = cx.config.my_id;
        let voters = cx.membership.voters().chain(cx.membership.heard_of());
        let peers: BTreeSet<_> = voters.filter(|id| *id != me).collect();
        for peer in peers {
            self.notify(peer, message.clone(), cx);
        }
    }

    pub(crate) fn notify(&mut self, to: ServerId, message: Notification, cx: &mut Cx) {
        if to == cx.config.my_id {
            return;
        }
        let peer = self.election.entry(to).or_default();
        if let Some(link) = peer.link {
            cx.push(Action::Send { link, message: PeerMessage::Election(message) });
        } else if !peer.dialling && cx.membership.is_member(to) {
            peer.dialling = true;
            cx.push(Action::Dial { to, port: Port::Election });
        }
        self.forget_idle(to);
    }

    /// The larger id keeps the link it dialled; a smaller id's dial only asks to be called back.
    /// Returns whether the link is kept; then it is to be told our vote.
    // ZK: QuorumCnxManager.handleConnection, startConnection (3.9)
    pub(crate) fn on_election_up(
        &mut self,
        link: LinkId,
        from: ServerId,
        dialled: bool,
        cx: &mut Cx,
    ) -> bool {
        let me = cx.config.my_id;
        self.absent.remove(&from);
        let peer = self.election.entry(from).or_default();
        if dialled {
            peer.dialling = false;
        }
        let keep = if dialled { from < me } else { from > me };
        if !keep {
            cx.push(Action::CloseLink { link, why: CloseReason::SmallerId });
            if !dialled
                && from != me
                && !peer.dialling
                && (cx.membership.is_member(from) || cx.membership.is_dynamic())
            {
                if let Some(old) = peer.link.take() {
                    self.peer_of.remove(&old);
                    cx.push(Action::CloseLink { link: old, why: CloseReason::Superseded });
                }
                peer.dialling = true;
                cx.push(Action::Dial { to: from, port: Port::Election });
            }
            self.forget_idle(from);
            return false;
        }
        if let Some(old) = peer.link.replace(link) {
            self.peer_of.remove(&old);
            cx.push(Action::CloseLink { link: old, why: CloseReason::Superseded });
        }
        self.peer_of.insert(link, from);
        true
    }

    pub(crate) fn election_peer(&self, link: LinkId) -> Option<ServerId> {
        self.peer_of.get(&link).copied()
    }

    pub(crate) fn on_election_dial_failed(&mut self, to: ServerId, cx: &Cx) {
        if let Some(peer) = self.election.get_mut(&to) {
            peer.dialling = false;
            if peer.link.is_none() {
                self.is_gone(to, cx);
            }
            self.forget_idle(to);
        }
    }

    /// It was heard from.
    pub(crate) fn on_notification(&mut self, from: ServerId, message: &Notification, cx: &Cx) {
        self.absent.remove(&from);
        if message.is_ours {
            self.upstream.remove(&from);
        } else if cx.membership.is_member(from) {
            self.upstream.insert(from);
        }
    }
    /// Are there members that are upstream's servers?
    pub(crate) fn is_beside_upstream(&self, cx: &Cx) -> bool {
        self.upstream.iter().any(|id| cx.membership.is_member(*id))
    }
    pub(crate) fn is_upstream(&self, peer: ServerId) -> bool {
        self.upstream.contains(&peer)
    }
    /// There is reason to believe that this member cannot vote now.
    pub(crate) fn is_gone(&mut self, peer: ServerId, cx: &Cx) {
        if cx.membership.is_member(peer) {
            self.absent.insert(peer);
        }
    }
    pub(crate) fn is_absent(&self, peer: ServerId) -> bool {
        self.absent.contains(&peer)
    }
    /// Is it on the other end of an election link?
    pub(crate) fn is_connected(&self, peer: ServerId) -> bool {
        self.election.get(&peer).is_some_and(|peer| peer.link.is_some())
    }

    /// Anybody can call itself any server: nobody is remembered who is not connected.
    fn forget_idle(&mut self, id: ServerId) {
        if self.election.get(&id).is_some_and(|peer| peer.link.is_none() && !peer.dialling) {
            self.election.remove(&id);
        }
    }

    /// A link went down. Was it one of ours?
    pub(crate) fn on_down(&mut self, link: LinkId, cx: &Cx) -> bool {
        if let Some(from) = self.peer_of.remove(&link) {
            if let Some(peer) = self.election.get_mut(&from) {
                peer.link = None;
                self.forget_idle(from);
            }
            self.is_gone(from, cx);
            return true;
        }
        self.parked.remove(&link).is_some()
    }

    // ---- quorum and observer master port, before the role is known ----

    pub(crate) fn park(&mut self, link: LinkId, port: Port, cx: &mut Cx) {
        if self.parked.len() >= PARKED_MAX {
            cx.close_link(link, CloseReason::NotServing);
        } else {
            self.parked.insert(link, Parked { port, packets: Vec::new() });
        }
    }

    pub(crate) fn park_packet(&mut self, link: LinkId, packet: QuorumPacket, cx: &mut Cx) {
        let Some(parked) = self.parked.get_mut(&link) else { return };
        if parked.packets.len() < PARKED_PACKETS_MAX {
            parked.packets.push(packet);
        } else {
            self.parked.remove(&link);
            cx.close_link(link, CloseReason::Misbehaved("did not wait for LEADERINFO".into()));
        }
    }

    pub(crate) fn take_parked(&mut self) -> BTreeMap<LinkId, Parked> {
        core::mem::take(&mut self.parked)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Ensemble};
    use crate::server::Recovered;
    use crate::time::Now;

    #[test]
    fn strangers_leave_nothing_behind() {
        let config = Config::new(ServerId(2), Ensemble::default());
        let mut cx = Cx::new(config, Recovered::default(), Now::default());
        let mut links = Links::default();
        for (id, kept) in [(1, false), (3, true), (i64::MAX, true), (-7, false)] {
            let link = LinkId(id as u64);
            assert_eq!(links.on_election_up(link, ServerId(id), false, &mut cx), kept);
            assert_eq!(links.on_down(link, &cx), kept);
            assert!(links.election.is_empty() && links.peer_of.is_empty(), "server {id}");
            assert!(links.absent.is_empty(), "server {id}");
        }
    }
}
