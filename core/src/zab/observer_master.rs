//! A follower that serves observers in its leader's place, so that the leader need not: it brings each
//! to its own history, then passes on what is committed, and asks the leader what they ask.
//!
//! To an observer it is a leader that is established: the same packets in the same order, over links
//! of the same states ([`super::learner_link`]), but for one thing. An observer may have been told more
//! by another server than has come here yet; then it waits.
//!
//! To the leader its observers' clients are this server's. So it is here that a session's way is
//! watched when it moves among them: what comes late over its old one must not be passed on.
//!
// ZK: ObserverMaster, LearnerHandler (3.9)

use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;

use crate::config::MemberRole;
use crate::ids::{Epoch, LinkId, ServerId, SessionId, Zxid};
use crate::proto::{Forwarded, LearnerInfo, QuorumPacket, Request};
use crate::server::cx::Cx;
use crate::server::{CloseReason, PeerMessage};
use crate::txn::{Entry, TxnBody};

use super::PeerMisbehaved;
use super::catch_up;
use super::follower::LEARNER_PROTOCOL_VERSION;
use super::forwarding;
use super::learner_link::{LearnerLink, LearnerState, silent};
use super::sync_room::SyncRoom;

/// Where something came from that the leader is asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Asker<Here> {
    Here(Here),
    Observer(LinkId),
}

#[derive(Clone, Debug, Default)]
pub(crate) struct ObserverMaster {
    observers: BTreeMap<LinkId, LearnerLink>,
    /// Over which way each session came last, if it ever came over an observer or was renewed here.
    owners: BTreeMap<SessionId, Asker<()>>,
    /// Who waits for the leader's word on a session. It answers about one session in order.
    revalidating: BTreeMap<SessionId, VecDeque<Asker<()>>>,
}

/// What an observer wants of the leader.
#[derive(Clone, Debug)]
pub(crate) enum Wanted {
    Nothing,
    Write(Forwarded),
    Sync(Forwarded),
    Revalidate { session: SessionId, timeout_ms: i32 },
    Touch(Vec<(SessionId, i32)>),
}

impl ObserverMaster {
    pub(crate) fn has_link(&self, link: LinkId) -> bool {
        self.observers.contains_key(&link)
    }
    pub(crate) fn observers(&self) -> impl Iterator<Item = &LearnerLink> {
        self.observers.values()
    }

    // ---- links ----

    pub(crate) fn on_link_up(&mut self, link: LinkId, cx: &Cx) {
        self.observers.insert(link, LearnerLink::new(cx.now.mono));
    }
    pub(crate) fn on_link_down(&mut self, link: LinkId) {
        self.observers.remove(&link);
        // Its clients come anew, by whatever way.
        self.owners.retain(|_, owner| *owner != Asker::Observer(link));
    }
    fn drop_observer(&mut self, link: LinkId, why: CloseReason, cx: &mut Cx) {
        self.on_link_down(link);
        cx.close_link(link, why);
    }
    /// They end with the term.
    pub(crate) fn close(&mut self, cx: &mut Cx) {
        for (link, _) in core::mem::take(self).observers {
            cx.close_link(link, CloseReason::TermOver);
        }
    }

    /// One message of an observer. What it does wrong ends its link only.
    pub(crate) fn on_message(&mut self, link: LinkId, message: PeerMessage, cx: &mut Cx) -> Wanted {
        match message {
            PeerMessage::Quorum(packet) => self.on_packet(link, packet, cx),
            PeerMessage::Election(_) | PeerMessage::Snapshot(_) => {
                let why = "only quorum packets are expected from an observer";
                self.drop_observer(link, CloseReason::Misbehaved(why.into()), cx);
                Wanted::Nothing
            }
        }
    }

    pub(crate) fn on_packet(&mut self, link: LinkId, packet: QuorumPacket, cx: &mut Cx) -> Wanted {
        let Some(observer) = self.observers.get_mut(&link) else { return Wanted::Nothing };
        observer.heard_at = cx.now.mono;
        match (observer.state, packet) {
            (LearnerState::Greeting, QuorumPacket::ObserverInfo { accepted: _, info }) => {
                self.on_greeting(link, &info, cx);
            }
            (LearnerState::Accepting, QuorumPacket::AckEpoch { last, current: _ }) => {
                observer.state = LearnerState::AwaitingSync { last };
            }
            (LearnerState::Syncing, QuorumPacket::Ack { zxid }) => {
                if cx.serving.map(Zxid::start_of) == Some(zxid) {
                    observer.state = LearnerState::Acked;
                }
            }
            // Of UPTODATE; nobody asked it for another.
            (LearnerState::Acked | LearnerState::Active, QuorumPacket::Ack { .. }) => {}
            (LearnerState::Active, QuorumPacket::PingReply { touched, .. }) => {
                return Wanted::Touch(touched);
            }
            (LearnerState::Active, QuorumPacket::Request(forwarded)) => {
                return self.on_request(link, forwarded, cx);
            }
            (LearnerState::Active, QuorumPacket::Revalidate { session, timeout_ms }) => {
                self.asks_for(session, Asker::Observer(link));
                return Wanted::Revalidate { session, timeout_ms };
            }
            // Its ping crossed NEWLEADER.
            (LearnerState::Syncing | LearnerState::Acked, QuorumPacket::PingReply { .. }) => {}
            (state, other) => {
                let (what, phase) = (other.name(), state.name());
                let why = PeerMisbehaved::Unexpected { what, phase };
                self.drop_observer(link, CloseReason::Misbehaved(alloc::format!("{why}")), cx);
            }
        }
        Wanted::Nothing
    }

    fn on_greeting(&mut self, link: LinkId, info: &LearnerInfo, cx: &mut Cx) {
        let id = info.id;
        let refused = if id == cx.config.my_id {
            Some(alloc::format!("server {id} is this one"))
        } else if cx.membership.is_behind(info.config_version) {
            Some(alloc::format!("it has configuration {:x}, which is later", info.config_version))
        } else {
            None
        };
        if let Some(why) = refused {
            return self.drop_observer(link, CloseReason::Misbehaved(why), cx);
        }
        // One link for each: the newer one is the living one.
        let older = self.observers.iter().find(|(l, x)| **l != link && x.id == Some(id));
        if let Some((&older, _)) = older {
            self.drop_observer(older, CloseReason::Superseded, cx);
        }
        if let Some(observer) = self.observers.get_mut(&link) {
            observer.greeted(id, MemberRole::Observer, false);
        }
    }

    // ---- what it tells them ----

    /// As far as each can be brought now. Nobody gets anywhere before this follower serves.
    pub(crate) fn advance(&mut self, cx: &mut Cx) {
        let Some(epoch) = cx.serving else { return };
        let mut later = Vec::new();
        let mut room = SyncRoom::beside(cx.config.observers.syncs_max, self.observers.values());
        for (&link, observer) in &mut self.observers {
            match observer.state {
                LearnerState::AwaitingEpoch => {
                    observer.state = LearnerState::Accepting;
                    let protocol_version = LEARNER_PROTOCOL_VERSION;
                    cx.send(link, QuorumPacket::LeaderInfo { epoch, protocol_version });
                }
                LearnerState::AwaitingSync { last } => match place(last, epoch, cx) {
                    Place::Known => {
                        let sync = catch_up::plan(last, &cx.history, &cx.config).kind;
                        if room.admits(observer, sync) {
                            forwarding::synchronize(link, observer, last, &[], epoch, cx);
                        }
                    }
                    Place::Ahead => {}
                    Place::Later => later.push(link),
                },
                LearnerState::Acked => {
                    observer.state = LearnerState::Active;
                    cx.send(link, QuorumPacket::UpToDate);
                }
                LearnerState::Greeting
                | LearnerState::Accepting
                | LearnerState::AwaitingLog { .. }
                | LearnerState::Syncing
                | LearnerState::Active => {}
            }
        }
        for link in later {
            self.drop_observer(link, CloseReason::NotServing, cx);
        }
    }

    /// `entry` was delivered here, and `successor` leads behind it if it is a reconfiguration.
    pub(crate) fn on_delivered(&mut self, entry: &Entry, successor: Option<ServerId>, cx: &mut Cx) {
        let newly = core::slice::from_ref(entry);
        forwarding::commit(newly, successor, &mut self.observers, cx);
        if let TxnBody::CloseSession { .. } = entry.txn.body {
            self.owners.remove(&entry.txn.header.session);
        }
    }

    /// The leader has pinged: its clock is this one's. So it hears of the observers' sessions one ping
    /// later than of this server's own.
    pub(crate) fn ping(&mut self, cx: &mut Cx) {
        for link in silent(&self.observers, cx) {
            self.drop_observer(link, CloseReason::PeerTimeout, cx);
        }
        let zxid = cx.history.delivered();
        for (&link, observer) in &self.observers {
            if observer.state == LearnerState::Active {
                cx.send(link, QuorumPacket::Ping { zxid });
            }
        }
    }

    pub(crate) fn synced(&self, link: LinkId, cx: &mut Cx) {
        if self.has_link(link) {
            cx.send(link, QuorumPacket::Sync);
        }
    }

    // ---- sessions, and what they ask ----

    /// Departs: upstream passes on whatever comes, however late.
    fn on_request(&mut self, link: LinkId, forwarded: Forwarded, cx: &mut Cx) -> Wanted {
        let (session, here) = (forwarded.session, Asker::Observer(link));
        match forwarded.request {
            Request::Sync { .. } => return Wanted::Sync(forwarded),
            Request::CreateSession { .. } => {
                self.owners.insert(session, here);
            }
            Request::CloseSession => {}
            _ => {
                if *self.owners.entry(session).or_insert(here) != here {
                    self.drop_observer(link, CloseReason::SessionMoved(session), cx);
                    return Wanted::Nothing;
                }
            }
        }
        Wanted::Write(forwarded)
    }

    /// A client came back with `session` over this way, which owns it from now on.
    pub(crate) fn asks_for(&mut self, session: SessionId, asker: Asker<()>) {
        self.owners.insert(session, asker);
        self.revalidating.entry(session).or_default().push_back(asker);
    }

    /// The leader's word on a session. Was it asked for here?
    pub(crate) fn on_revalidated(&mut self, session: SessionId, valid: bool, cx: &mut Cx) -> bool {
        let Some(queue) = self.revalidating.get_mut(&session) else { return true };
        let asker = queue.pop_front();
        if queue.is_empty() {
            self.revalidating.remove(&session);
        }
        match asker {
            Some(Asker::Observer(link)) => {
                if self.has_link(link) {
                    cx.send(link, QuorumPacket::Revalidated { session, valid });
                }
                false
            }
            Some(Asker::Here(())) | None => true,
        }
    }

    /// Has an observer taken this session over?
    pub(crate) fn has_taken(&self, session: SessionId) -> bool {
        matches!(self.owners.get(&session), Some(Asker::Observer(_)))
    }
}

/// Where an observer's history ends, beside this server's.
enum Place {
    Known,
    /// Behind what has come here so far. Of this epoch an observer was told what is committed only, and
    /// a follower that became one what will be: it comes.
    // Departs: upstream has it cut its log, and take back what its clients have seen.
    Ahead,
    /// In an epoch that began since.
    Later,
}

fn place(last: Zxid, epoch: Epoch, cx: &Cx) -> Place {
    let ahead = last > cx.history.delivered() && last.counter() != 0;
    match last.epoch().cmp(&epoch) {
        core::cmp::Ordering::Greater => Place::Later,
        core::cmp::Ordering::Equal if ahead => Place::Ahead,
        core::cmp::Ordering::Equal | core::cmp::Ordering::Less => Place::Known,
    }
}
