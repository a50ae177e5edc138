//! What observers are told, and those who serve them.

use serde::{Deserialize, Serialize};

use crate::time::Duration;

/// An observer that lost its leader waits before it asks who leads now, so that many of them do not
/// come while the voters elect: a random part of both spans together.
// ZK: Observer.waitForObserverElectionDelay, waitForReconnectDelay, ObserverMaster (3.9)
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Observers {
    /// `zookeeper.observer.election.DelayMs`, default 200 ms.
    pub election_delay_max: Duration,
    /// `zookeeper.observer.reconnectDelayMs`, default 0.
    pub reconnect_delay_max: Duration,
    /// `observerMasterPort`: where followers serve observers, which go there instead of to the leader;
    /// none by default. The same at all servers of an ensemble.
    pub master_port: Option<u16>,
    /// `syncEnabled`, `zookeeper.observer.syncEnabled`: an observer keeps a log and snapshots; default
    /// yes. One that does not has whatever was on its disk before, and asks for the rest.
    pub keep_log: bool,
}

impl Default for Observers {
    fn default() -> Self {
        Self {
            election_delay_max: Duration::from_millis(200),
            reconnect_delay_max: Duration::ZERO,
            master_port: None,
            keep_log: true,
        }
    }
}
