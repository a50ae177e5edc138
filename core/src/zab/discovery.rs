//! Phase 1, discovery. A follower tells its acceptedEpoch (CEPOCH: FOLLOWERINFO); the leader waits
//! for a quorum, picks an epoch above all of them (NEWEPOCH: LEADERINFO); a follower accepts it
//! durably and answers with its history's position (ACK-E: ACKEPOCH). When a quorum has, nobody
//! else can lead an older epoch, and the leader knows that its own history is the newest.
//!
//! What follows, phase 2, is in [`super::synchronization`].

use alloc::collections::{BTreeMap, BTreeSet};

use crate::ids::{Epoch, ServerId, Zxid};
use crate::mutant::Mutant;
use crate::server::Ticket;
use crate::server::cx::Cx;

/// Leader, step l.1.1: who reported which acceptedEpoch.
#[derive(Clone, Debug)]
pub struct ProposingEpoch {
    accepted: BTreeMap<ServerId, Epoch>,
    floor: Epoch,
}

impl ProposingEpoch {
    /// `floor` is the largest acceptedEpoch that anybody ever reported to this server: a voter that
    /// is at it can only follow a later epoch.
    pub fn enter(my_id: ServerId, accepted: Epoch, floor: Epoch) -> Self {
        Self { accepted: [(my_id, accepted)].into(), floor }
    }

    /// One whose promise binds nobody has accepted this epoch. A later one spares it from having to
    /// break its promise.
    pub fn on_observed(&mut self, accepted: Epoch) {
        self.floor = self.floor.max(accepted);
    }

    /// A voter reported. When a quorum has: the new epoch.
    // Zab: phase 1, step l.1.1 · ZK: Leader.getEpochToPropose (3.9) · JIRA: ZOOKEEPER-1343
    pub(crate) fn on_report(&mut self, from: ServerId, accepted: Epoch, cx: &Cx) -> Option<Epoch> {
        self.accepted.insert(from, accepted);
        self.chosen(cx)
    }

    pub(crate) fn chosen(&self, cx: &Cx) -> Option<Epoch> {
        let with_observers = cx.config.planted(Mutant::DiscObserverEpoch)
            && is_majority_of_any(self.accepted.len(), cx);
        if !cx.membership.is_quorum(|id| self.accepted.contains_key(&id)) && !with_observers {
            return None;
        }
        let highest = self.accepted.values().copied().fold(self.floor, Epoch::max);
        if cx.config.planted(Mutant::DiscEpochMaxNotPlusOne) && highest > Epoch(0) {
            return Some(highest);
        }
        Some(Epoch(highest.0 + 1))
    }
}

/// Leader, step l.1.2: who acknowledged the new epoch.
#[derive(Clone, Debug)]
pub struct CollectingEpochAcks {
    pub epoch: Epoch,
    acked: BTreeSet<ServerId>,
}

/// A follower's history is newer than that of the server it elected.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FollowerAhead {
    pub theirs: (Epoch, Zxid),
    pub ours: (Epoch, Zxid),
}

impl CollectingEpochAcks {
    /// The leader's own acceptedEpoch is durable.
    pub fn enter(epoch: Epoch, my_id: ServerId) -> Self {
        Self { epoch, acked: [my_id].into() }
    }

    /// One ACKEPOCH. `current` is `None` when the follower had accepted this epoch before: it
    /// counts for nothing, since it may have accepted it from another leader. A history that is
    /// newer than ours matters where its owner could be elected instead; what a server without any
    /// say has beyond ours was never committed.
    // Zab: phase 1, step l.1.2 · ZK: Leader.waitForEpochAck (3.9) · JIRA: ZOOKEEPER-1191
    pub(crate) fn on_ack(
        &mut self,
        from: ServerId,
        last: Zxid,
        current: Option<Epoch>,
        ours: (Epoch, Zxid),
        cx: &Cx,
    ) -> Result<bool, FollowerAhead> {
        let Some(current) = current else { return Ok(self.complete(cx)) };
        let matters = cx.membership.has_say(from);
        if matters && (current, last) > ours && !cx.config.planted(Mutant::DiscSkipNewerCheck) {
            return Err(FollowerAhead { theirs: (current, last), ours });
        }
        self.acked.insert(from);
        Ok(self.complete(cx))
    }

    pub(crate) fn complete(&self, cx: &Cx) -> bool {
        cx.membership.is_quorum(|id| self.acked.contains(&id))
            || cx.config.planted(Mutant::DiscObserverEpoch)
                && is_majority_of_any(self.acked.len(), cx)
    }
}

/// A planted mistake's quorum: so many of the ensemble, whoever they are.
fn is_majority_of_any(agreed: usize, cx: &Cx) -> bool {
    agreed > cx.membership.committed().voters().count() / 2
}

/// Follower, step f.1.2: LEADERINFO came; its epoch is on its way to disk.
#[derive(Clone, Copy, Debug)]
pub struct Accepting {
    pub epoch: Epoch,
    /// `None`: accepted before, nothing to wait for.
    pub durable_at: Option<Ticket>,
    /// What ACKEPOCH will say.
    pub current: Option<Epoch>,
}
