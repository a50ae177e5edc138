//! Sessions: their ids and passwords, and when they expire. Which sessions exist is replicated
//! state and stands in [`crate::tree::Database`].

use alloc::vec::Vec;

use crate::ids::{ServerId, SessionId};
use crate::time::{Duration, Instant, WallTime};

/// The password of a session (upstream: `ZooKeeperServer.generatePasswd`): computed, never stored,
/// the same on every server.
pub fn password(session: SessionId) -> [u8; 16] {
    let _ = session;
    todo!()
}

/// Makes session ids (upstream: `SessionTrackerImpl.initializeNextSessionId`).
#[derive(Clone, Debug)]
pub struct SessionIds {}

impl SessionIds {
    pub fn new(server: ServerId, wall: WallTime) -> Self {
        let _ = (server, wall);
        todo!()
    }
    pub fn next(&mut self) -> SessionId {
        todo!()
    }
}

/// Deadlines of sessions in buckets of one tick (upstream: `ExpiryQueue`).
#[derive(Clone, Debug)]
pub struct Expiry {}

impl Expiry {
    pub fn new(tick: Duration) -> Self {
        let _ = tick;
        todo!()
    }
    /// The session was heard from: it lives for `timeout` more, rounded up to the next tick.
    pub fn touch(&mut self, session: SessionId, timeout: Duration, now: Instant) {
        let _ = (session, timeout, now);
        todo!()
    }
    pub fn remove(&mut self, session: SessionId) {
        let _ = session;
        todo!()
    }
    pub fn deadline(&self) -> Option<Instant> {
        todo!()
    }
    /// Takes the sessions whose time is up, in order of deadline, then id.
    pub fn expired(&mut self, now: Instant) -> Vec<SessionId> {
        let _ = now;
        todo!()
    }
}
