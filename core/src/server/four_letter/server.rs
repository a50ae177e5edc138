//! What the words ask of the server itself.

use crate::config::MemberRole;
use crate::ids::{ServerId, SessionId};
use crate::proto::PeerState;
use crate::time::Instant;
use crate::zab::broadcast::Broadcast;
use crate::zab::learner_link::LearnerLink;

use super::super::{Port, Role, Server};

impl Server {
    pub(in crate::server) fn peer_state(&self) -> &'static str {
        match &self.role {
            Role::Leading(..) => "leading",
            Role::Following(_, settled) if settled.state == PeerState::Observing => "observing",
            Role::Following(..) => "following",
            Role::Looking(_) | Role::Settling { .. } => "looking",
        }
    }
    pub(in crate::server) fn learners(&self) -> Option<impl Iterator<Item = &LearnerLink>> {
        match &self.role {
            Role::Leading(leading, _) if !self.cx.membership.is_alone() => Some(leading.learners()),
            Role::Leading(..) | Role::Following(..) | Role::Looking(_) | Role::Settling { .. } => {
                None
            }
        }
    }
    /// Those that this follower serves, if it is an observer master.
    pub(in crate::server) fn served_observers(&self) -> Option<impl Iterator<Item = &LearnerLink>> {
        match &self.role {
            Role::Following(following, _)
                if following.serves_on(Port::ObserverMaster, &self.cx) =>
            {
                Some(following.observers().observers())
            }
            Role::Following(..) | Role::Leading(..) | Role::Looking(_) | Role::Settling { .. } => {
                None
            }
        }
    }
    /// In bytes: last, least, most; -1 before the first.
    pub(in crate::server) fn proposal_sizes(&self) -> [i64; 3] {
        self.proposals
            .map_or([-1; 3], |(last, least, most)| [last as i64, least as i64, most as i64])
    }
    /// Whom an observer learns from.
    pub(in crate::server) fn observed(&self) -> Option<ServerId> {
        match &self.role {
            Role::Following(following, _) if following.role() == MemberRole::Observer => {
                Some(following.master())
            }
            Role::Following(..) | Role::Leading(..) | Role::Looking(_) | Role::Settling { .. } => {
                None
            }
        }
    }
    pub(in crate::server) fn pending_syncs(&self) -> usize {
        match &self.role {
            Role::Leading(leading, _) => leading.established().map_or(0, Broadcast::questions),
            Role::Following(..) | Role::Looking(_) | Role::Settling { .. } => 0,
        }
    }
    /// When sessions expire, as far as this server decides that.
    pub(in crate::server) fn session_deadlines(
        &self,
    ) -> Option<impl Iterator<Item = (SessionId, Instant)>> {
        match &self.role {
            Role::Leading(leading, _) => Some(leading.established()?.session_deadlines()),
            Role::Following(..) | Role::Looking(_) | Role::Settling { .. } => None,
        }
    }
}
