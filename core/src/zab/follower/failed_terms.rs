//! A leader that cannot be synchronized with is not tried again at once: each try would be an election,
//! every few milliseconds.

use crate::ids::ServerId;
use crate::time::Duration;

use super::Following;

/// Before a leader is tried again that could not be synchronized with: twice as long each time, until
/// it is elected anew.
// Departs: upstream begins anew at once, and is slowed down by FastLeaderElection.finalizeWait
// (200 ms) and by Learner.connectToLeader (a second between its tries).
const RETRY_AFTER_MIN: Duration = Duration::from_millis(50);
const RETRY_AFTER_MAX: Duration = Duration::from_secs(1);

/// The terms in a row that ended before the same leader had said UPTODATE.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct FailedTerms {
    pub(super) leader: ServerId,
    round: i64,
    /// How many, and by whom the last of them came to nothing.
    pub(in crate::zab) count: usize,
    pub(in crate::zab) master: ServerId,
    retry_after: Duration,
}

impl FailedTerms {
    pub(super) fn one_more(before: Option<Self>, term: &Following) -> Self {
        let Following { leader, round, .. } = *term;
        let before = before.filter(|before| before.leader == leader);
        let retry_after = before
            .filter(|before| before.round == round)
            .map_or(RETRY_AFTER_MIN, |before| (before.retry_after * 2).min(RETRY_AFTER_MAX));
        let count = before.map_or(0, |before| before.count) + 1;
        Self { leader, round, count, master: term.master(), retry_after }
    }

    /// How long to wait before the leader of this round is tried.
    pub(super) fn pause(&self, round: i64) -> Duration {
        if self.round == round { self.retry_after } else { RETRY_AFTER_MIN }
    }
}
