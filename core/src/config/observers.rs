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
    /// So many observers are synchronized at once by one server; the others wait for their turn. Voters
    /// never do.
    pub syncs_max: SyncsMax,
}

/// How many at once, by a snapshot and otherwise.
// ZK: LearnerMaster, LearnerSyncThrottler (3.9)
// Departs: upstream closes the connection of one more, and it comes again.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SyncsMax {
    /// `zookeeper.leader.maxConcurrentSnapSyncs`, from 1; default 10.
    pub snaps: u32,
    /// `zookeeper.leader.maxConcurrentDiffSyncs`, from 1; default 100.
    pub diffs: u32,
}

impl Default for SyncsMax {
    fn default() -> Self {
        Self { snaps: 10, diffs: 100 }
    }
}

impl Default for Observers {
    fn default() -> Self {
        Self {
            election_delay_max: Duration::from_millis(200),
            reconnect_delay_max: Duration::ZERO,
            master_port: None,
            keep_log: true,
            syncs_max: SyncsMax::default(),
        }
    }
}
