//! Sessions that a leader knows to be over. Where local sessions exist, a session that it does not
//! know may be alive on another server; for these it is certain that none is.

use alloc::collections::{BTreeSet, VecDeque};

use crate::ids::SessionId;
use crate::time::{Duration, Instant};

/// Beyond so many the oldest are forgotten.
const ENDED_MAX: usize = 100_000;

/// Remembers an end until nothing of the session can be on its way any more.
// Departs: upstream takes what comes late from a session that it has closed, or told its client to
// be over, for a local session's write, and carries it out.
#[derive(Clone, Debug)]
pub struct Ended {
    keep: Duration,
    sessions: BTreeSet<SessionId>,
    by_age: VecDeque<(Instant, SessionId)>,
}

impl Ended {
    pub fn new(keep: Duration) -> Self {
        Self { keep, sessions: BTreeSet::new(), by_age: VecDeque::new() }
    }
    pub fn insert(&mut self, session: SessionId, now: Instant) {
        while let Some(&(at, oldest)) = self.by_age.front()
            && (at + self.keep <= now || self.by_age.len() >= ENDED_MAX)
        {
            self.by_age.pop_front();
            self.sessions.remove(&oldest);
        }
        if self.sessions.insert(session) {
            self.by_age.push_back((now, session));
        }
    }
    pub fn contains(&self, session: SessionId) -> bool {
        self.sessions.contains(&session)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_is_remembered_for_a_while() {
        let at = Instant::from_millis;
        let mut ended = Ended::new(Duration::from_secs(10));
        ended.insert(SessionId(1), at(0));
        ended.insert(SessionId(1), at(9_000));
        ended.insert(SessionId(2), at(9_999));
        assert!(ended.contains(SessionId(1)) && ended.contains(SessionId(2)));
        ended.insert(SessionId(3), at(10_000));
        assert!(!ended.contains(SessionId(1)) && ended.contains(SessionId(2)));
    }

    #[test]
    fn there_are_never_too_many() {
        let mut ended = Ended::new(Duration::from_secs(10));
        for n in 0..ENDED_MAX as u64 + 10 {
            ended.insert(SessionId(n), Instant(0));
        }
        assert_eq!(ended.sessions.len(), ENDED_MAX);
        assert!(!ended.contains(SessionId(9)) && ended.contains(SessionId(10)));
    }
}
