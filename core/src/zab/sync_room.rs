//! How many observers may be synchronized at once: each snapshot on its way takes memory and the
//! network, and there may be a thousand observers. Voters are what everybody waits for; they never wait.

use crate::config::{MemberRole, SyncsMax};
use crate::server::SyncKind;

use super::learner_link::{LearnerLink, LearnerState};

/// What is left for more.
// ZK: LearnerSyncThrottler (3.9)
#[derive(Clone, Copy, Debug)]
pub(crate) struct SyncRoom(SyncsMax);

impl SyncRoom {
    pub(crate) fn beside<'a>(
        max: SyncsMax,
        learners: impl Iterator<Item = &'a LearnerLink>,
    ) -> Self {
        let mut room = Self(max);
        for learner in learners.filter(|learner| waits_its_turn(learner)) {
            match learner.state {
                LearnerState::AwaitingLog { .. } | LearnerState::Syncing => {
                    let left = room.of(learner.sync);
                    *left = left.saturating_sub(1);
                }
                LearnerState::Greeting
                | LearnerState::AwaitingEpoch
                | LearnerState::Accepting
                | LearnerState::AwaitingSync { .. }
                | LearnerState::Acked
                | LearnerState::Active => {}
            }
        }
        room
    }

    /// Is there room for this one? Then it is taken.
    pub(crate) fn admits(&mut self, learner: &LearnerLink, sync: SyncKind) -> bool {
        if !waits_its_turn(learner) {
            return true;
        }
        let left = self.of(sync);
        let admits = *left > 0;
        *left = left.saturating_sub(1);
        admits
    }

    fn of(&mut self, sync: SyncKind) -> &mut u32 {
        match sync {
            SyncKind::Snap => &mut self.0.snaps,
            SyncKind::Diff | SyncKind::Trunc => &mut self.0.diffs,
        }
    }
}

fn waits_its_turn(learner: &LearnerLink) -> bool {
    learner.role == MemberRole::Observer && !learner.votes()
}
