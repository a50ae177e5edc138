//! A follower that serves observers: who is let in, and what they ask goes over its own link to the
//! leader. What they are told is [`ObserverMaster`]'s.

use alloc::collections::BTreeMap;

use crate::config::MemberRole;
use crate::ids::{LinkId, SessionId};
use crate::server::cx::Cx;
use crate::server::links::Parked;
use crate::server::{CloseReason, PeerMessage, Port};
use crate::txn::Entry;

use super::super::observer_master::{Asker, ObserverMaster, Wanted};
use super::Following;

impl Following {
    /// Is somebody who comes in on this port served?
    pub(crate) fn serves_on(&self, port: Port, cx: &Cx) -> bool {
        port == Port::ObserverMaster
            && self.role == MemberRole::Participant
            && cx.config.observers.master_port.is_some()
    }
    pub(crate) fn observers(&self) -> &ObserverMaster {
        &self.observers
    }
    pub(super) fn take_in(&mut self, parked: BTreeMap<LinkId, Parked>, cx: &mut Cx) {
        for (link, Parked { port, packets }) in parked {
            if !self.serves_on(port, cx) {
                cx.close_link(link, CloseReason::NotServing);
                continue;
            }
            self.on_observer_up(link, cx);
            for packet in packets {
                let wanted = self.observers.on_packet(link, packet, cx);
                debug_assert!(matches!(wanted, Wanted::Nothing), "nobody is synced yet");
            }
        }
    }
    pub(crate) fn on_observer_up(&mut self, link: LinkId, cx: &Cx) {
        self.observers.on_link_up(link, cx);
    }
    pub(crate) fn on_observer_down(&mut self, link: LinkId) {
        self.observers.on_link_down(link);
    }
    /// One message of an observer. Returns a session that it has taken over.
    pub(crate) fn on_observer_message(
        &mut self,
        link: LinkId,
        message: PeerMessage,
        cx: &mut Cx,
    ) -> Option<SessionId> {
        if !self.observers.has_link(link) {
            return None;
        }
        match self.observers.on_message(link, message, cx) {
            Wanted::Nothing => {}
            Wanted::Write(forwarded) => self.forward(forwarded, cx),
            Wanted::Sync(forwarded) => {
                self.syncs.push_back(Asker::Observer(link));
                self.forward(forwarded, cx);
            }
            Wanted::Revalidate { session, timeout_ms } => {
                self.ask_for(session, timeout_ms, cx);
                return Some(session);
            }
            Wanted::Touch(sessions) => self.touched.extend(sessions),
        }
        None
    }
    /// Has an observer taken over what this server renewed?
    pub(crate) fn has_given_up(&self, session: SessionId) -> bool {
        self.observers.has_taken(session)
    }
    /// Something was delivered here.
    pub(crate) fn pass_on(&mut self, entry: &Entry, cx: &mut Cx) {
        self.observers.on_delivered(entry, self.designated, cx);
    }
    pub(crate) fn serve_observers(&mut self, cx: &mut Cx) {
        self.observers.advance(cx);
    }
    pub(crate) fn close_observers(&mut self, cx: &mut Cx) {
        self.observers.close(cx);
    }
}
