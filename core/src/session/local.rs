//! Sessions that exist on this server only: no transaction opened them, and none will close them.
//! They outlive a term and a read-only time, as connections do not; never the process.
//!
//! Who becomes a local session, and what it may ask, is not decided here.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use crate::ids::{ServerId, SessionId};
use crate::time::{Duration, Instant};

use super::Expiry;

// ZK: LocalSessionTracker (3.9)
#[derive(Clone, Debug)]
pub struct LocalSessions {
    /// Timeouts in ms.
    open: BTreeMap<SessionId, i32>,
    expiry: Expiry,
}

impl LocalSessions {
    pub fn new(tick: Duration) -> Self {
        Self { open: BTreeMap::new(), expiry: Expiry::new(tick) }
    }
    pub fn open(&mut self, session: SessionId, timeout_ms: i32, now: Instant) {
        self.open.insert(session, timeout_ms);
        self.touch(session, timeout_ms, now);
    }
    /// Heard from; false if it is no local session of this server.
    pub fn touch(&mut self, session: SessionId, timeout_ms: i32, now: Instant) -> bool {
        let Some(timeout) = self.open.get_mut(&session) else { return false };
        *timeout = timeout_ms;
        self.expiry.touch(session, Duration::from_millis(timeout_ms.max(0) as u64), now);
        true
    }
    pub fn contains(&self, session: SessionId) -> bool {
        self.open.contains_key(&session)
    }
    /// When each expires.
    pub fn deadlines(&self) -> impl Iterator<Item = (SessionId, Instant)> {
        self.expiry.iter()
    }
    /// Closed, or global from now on; with the timeout that it had.
    pub fn remove(&mut self, session: SessionId) -> Option<i32> {
        self.expiry.remove(session);
        self.open.remove(&session)
    }
    pub fn clear(&mut self) {
        for session in core::mem::take(&mut self.open).into_keys() {
            self.expiry.remove(session);
        }
    }
    pub fn deadline(&self) -> Option<Instant> {
        self.expiry.deadline()
    }
    /// Takes the sessions whose time is up.
    pub fn expired(&mut self, now: Instant) -> Vec<SessionId> {
        let expired = self.expiry.expired(now);
        for session in &expired {
            self.open.remove(session);
        }
        expired
    }
}

/// Is this the server that opened `session`? Its id says so, in Java's servers as in ours.
// ZK: LeaderSessionTracker.getServerIdFromSessionId (3.9)
// Departs: upstream's shift keeps the sign, so that it takes no session for its own where ids are
// above 127.
pub fn is_home(server: ServerId, session: SessionId) -> bool {
    (session.0 >> 56) as u8 == server.0 as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: SessionId = SessionId(0x0100_0000_0000_0001);
    const B: SessionId = SessionId(0x0100_0000_0000_0002);

    fn ms(ms: u64) -> Instant {
        Instant::from_millis(ms)
    }

    #[test]
    fn they_live_as_long_as_they_are_heard_from() {
        let mut local = LocalSessions::new(Duration::from_secs(1));
        local.open(A, 2000, ms(0));
        local.open(B, 2000, ms(0));
        assert!(local.touch(A, 2000, ms(1500)));
        assert_eq!(local.deadline(), Some(ms(3000)));
        assert_eq!(local.expired(ms(3000)), [B]);
        assert!(!local.touch(B, 2000, ms(3000)), "an expired session is not revived");
        assert!(local.contains(A) && !local.contains(B));
        assert_eq!(local.remove(A), Some(2000));
        assert_eq!(local.remove(A), None);
        assert_eq!(local.deadline(), None);
    }

    #[test]
    fn nothing_expires_that_was_cleared() {
        let mut local = LocalSessions::new(Duration::from_secs(1));
        local.open(A, 2000, ms(0));
        local.clear();
        assert!(!local.contains(A) && !local.touch(A, 2000, ms(1)));
        assert_eq!(local.expired(ms(60_000)), []);
    }

    #[test]
    fn the_top_byte_is_the_home() {
        for (server, session, home) in [
            (1, A, true),
            (2, A, false),
            (257, A, true),
            (200, SessionId(0xc8ff_0000_0000_0000), true),
            (-56, SessionId(0xc8ff_0000_0000_0000), true),
        ] {
            assert_eq!(is_home(ServerId(server), session), home, "{server} {session}");
        }
    }
}
