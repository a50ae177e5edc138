//! Sessions that only one server knows, and serving without a quorum.

use serde::{Deserialize, Serialize};

use crate::time::Duration;

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct LocalSessions {
    /// `localSessionsEnabled`: new sessions exist on the server that opened them only; default false.
    pub enabled: bool,
    /// `localSessionsUpgradingEnabled`: they become global with their first ephemeral; default false.
    pub upgrading: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ReadOnlyMode {
    /// `readonlymode.enabled`: clients that ask for it are served reads without a quorum; default
    /// false.
    pub enabled: bool,
    /// A server looks for a leader for so long before it serves without one, or for a tick if that
    /// is longer; 2 s.
    // ZK: QuorumPeer.run (3.9)
    pub patience_min: Duration,
}

impl Default for ReadOnlyMode {
    fn default() -> Self {
        Self { enabled: false, patience_min: Duration::from_secs(2) }
    }
}
