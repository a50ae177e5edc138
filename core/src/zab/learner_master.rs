//! Whom a learner connects to. A follower: its leader. An observer that knows of observer masters: one
//! of the leader's followers, drawn anew for each term; and the leader when none of them takes it.
//!
// ZK: QuorumPeer.findLearnerMaster, updateObserverMasterList, nextObserverMaster (3.9)
// Departs: upstream's observers never go to the leader then, and try one master in each election.

use alloc::collections::{BTreeSet, VecDeque};

use crate::config::MemberRole;
use crate::ids::ServerId;
use crate::server::Port;
use crate::server::cx::Cx;

use super::follower::FailedTerms;

/// The way to try next, and those behind it; round and round.
#[derive(Clone, Debug)]
pub(crate) struct LearnerMasters(VecDeque<(ServerId, Port)>);

impl LearnerMasters {
    pub(crate) fn of(
        leader: ServerId,
        role: MemberRole,
        failed: Option<FailedTerms>,
        cx: &mut Cx,
    ) -> Self {
        let mut ways = VecDeque::new();
        if role == MemberRole::Observer && cx.config.observers.master_port.is_some() {
            let voters: BTreeSet<_> = cx.membership.voters().filter(|id| *id != leader).collect();
            ways.extend(voters.into_iter().map(|id| (id, Port::ObserverMaster)));
            for at in (1..ways.len()).rev() {
                ways.swap(at, cx.draw_below(at as u64 + 1) as usize);
            }
            let has_failed = |id| failed.is_some_and(|failed| failed.master == id);
            ways.make_contiguous().sort_by_key(|(id, _)| has_failed(*id));
        }
        let tried = failed.map_or(0, |failed| failed.count);
        let masters = ways.len();
        ways.push_back((leader, Port::Quorum));
        if tried % (masters + 1) == masters {
            ways.rotate_right(1);
        }
        Self(ways)
    }

    pub(crate) fn current(&self) -> (ServerId, Port) {
        *self.0.front().expect("the leader is always among them")
    }
    /// It could not be reached.
    pub(crate) fn next(&mut self) {
        self.0.rotate_left(1);
    }
}
