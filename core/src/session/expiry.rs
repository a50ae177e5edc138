//! When sessions expire: deadlines in buckets of one tick. What is done about it is the leader's.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use crate::ids::SessionId;
use crate::time::{Duration, Instant};

/// Deadlines of sessions in buckets of one tick. Rounding up to the tick makes most touches free:
/// they land in the bucket that the session is in.
// ZK: ExpiryQueue (3.9)
#[derive(Clone, Debug)]
pub struct Expiry {
    tick_nanos: u64,
    deadlines: BTreeMap<SessionId, Instant>,
    buckets: BTreeMap<Instant, BTreeSet<SessionId>>,
}

impl Expiry {
    pub fn new(tick: Duration) -> Self {
        Self {
            tick_nanos: (tick.as_nanos() as u64).max(1),
            deadlines: BTreeMap::new(),
            buckets: BTreeMap::new(),
        }
    }
    /// The session was heard from: it lives for `timeout` more, rounded up to the next tick.
    pub fn touch(&mut self, session: SessionId, timeout: Duration, now: Instant) {
        let deadline = self.round_up(now + timeout);
        match self.deadlines.insert(session, deadline) {
            Some(earlier) if earlier == deadline => return,
            Some(earlier) => self.leave_bucket(session, earlier),
            None => {}
        }
        self.buckets.entry(deadline).or_default().insert(session);
    }
    pub fn remove(&mut self, session: SessionId) {
        if let Some(deadline) = self.deadlines.remove(&session) {
            self.leave_bucket(session, deadline);
        }
    }
    /// Each session and when it expires.
    pub fn iter(&self) -> impl Iterator<Item = (SessionId, Instant)> {
        self.deadlines.iter().map(|(session, at)| (*session, *at))
    }
    pub fn deadline(&self) -> Option<Instant> {
        self.buckets.keys().next().copied()
    }
    /// Takes the sessions whose time is up, in order of deadline, then id.
    pub fn expired(&mut self, now: Instant) -> Vec<SessionId> {
        let mut expired = Vec::new();
        while let Some(bucket) = self.buckets.first_entry().filter(|b| *b.key() <= now) {
            for session in bucket.remove() {
                self.deadlines.remove(&session);
                expired.push(session);
            }
        }
        expired
    }

    /// Always later than `at`, by at most one tick.
    fn round_up(&self, at: Instant) -> Instant {
        Instant((at.0 / self.tick_nanos).saturating_add(1).saturating_mul(self.tick_nanos))
    }
    fn leave_bucket(&mut self, session: SessionId, deadline: Instant) {
        if let Some(bucket) = self.buckets.get_mut(&deadline) {
            bucket.remove(&session);
            if bucket.is_empty() {
                self.buckets.remove(&deadline);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: SessionId = SessionId(1);
    const B: SessionId = SessionId(0xff00_0000_0000_0000);

    fn ms(ms: u64) -> Instant {
        Instant::from_millis(ms)
    }
    fn seconds() -> Expiry {
        Expiry::new(Duration::from_secs(1))
    }

    #[test]
    fn a_session_lives_for_its_timeout_and_at_most_a_tick_more() {
        for (touched, timeout, deadline) in
            [(0, 4000, 5000), (1, 4000, 5000), (999, 4000, 5000), (1000, 4000, 6000), (0, 0, 1000)]
        {
            let mut expiry = seconds();
            expiry.touch(A, Duration::from_millis(timeout), ms(touched));
            assert_eq!(expiry.deadline(), Some(ms(deadline)), "touched at {touched}");
            assert_eq!(expiry.expired(ms(deadline - 1)), []);
            assert_eq!(expiry.expired(ms(deadline)), [A]);
            assert_eq!(expiry.deadline(), None);
        }
    }

    #[test]
    fn a_touch_moves_the_deadline_also_to_an_earlier_one() {
        let mut expiry = seconds();
        expiry.touch(A, Duration::from_secs(9), ms(0));
        expiry.touch(A, Duration::from_secs(2), ms(500));
        assert_eq!(expiry.deadline(), Some(ms(3000)));
        expiry.touch(A, Duration::from_secs(2), ms(2500));
        assert_eq!(expiry.expired(ms(3000)), []);
        expiry.remove(A);
        expiry.remove(B);
        assert_eq!(expiry.deadline(), None);
    }

    #[test]
    fn sessions_expire_by_deadline_then_by_id_as_unsigned() {
        let mut expiry = seconds();
        expiry.touch(B, Duration::from_secs(2), ms(0));
        expiry.touch(SessionId(7), Duration::from_secs(2), ms(0));
        expiry.touch(A, Duration::from_secs(4), ms(0));
        assert_eq!(expiry.expired(ms(60_000)), [SessionId(7), B, A]);
        assert_eq!(expiry.expired(ms(60_000)), []);
    }

    #[test]
    fn the_end_of_time_is_no_overflow() {
        let mut expiry = seconds();
        expiry.touch(A, Duration::from_secs(1), Instant(u64::MAX - 5));
        assert_eq!(expiry.expired(Instant(u64::MAX)), [A]);
    }
}
