//! What a client that also goes to servers without a quorum knows of those with one.
//!
// ZK: ClientCnxn.SendThread.pingRwServer, seenRwServerBefore (3.9)

use crate::time::{Duration, Instant};

/// How long it stays with a server that takes no writes before it looks for one that does; twice as
/// long each time.
const SEARCH_FIRST: Duration = Duration::from_millis(100);
const SEARCH_MAX: Duration = Duration::from_secs(60);

#[derive(Clone, Debug)]
pub(super) struct Writable {
    /// Its session is one that a server with a quorum has agreed to.
    seen: bool,
    search_at: Option<Instant>,
    search_after: Duration,
}

impl Default for Writable {
    fn default() -> Self {
        Self { seen: false, search_at: None, search_after: SEARCH_FIRST }
    }
}

impl Writable {
    /// May a server with a quorum know the session? Otherwise the client asks for a new one.
    pub(super) fn was_seen(&self) -> bool {
        self.seen
    }
    /// When to leave for another server.
    // Departs: upstream's client asks the others with `isro` first, over a connection of its own.
    pub(super) fn search_at(&self) -> Option<Instant> {
        self.search_at
    }
    pub(super) fn served(&mut self, read_only: bool, now: Instant) {
        if read_only {
            self.search_at = Some(now + self.search_after);
            self.search_after = (self.search_after * 2).min(SEARCH_MAX);
        } else {
            *self = Self { seen: true, ..Self::default() };
        }
    }
}
