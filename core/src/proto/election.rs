//! Notifications of fast leader election (upstream: `FastLeaderElection`, `QuorumCnxManager`).

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::ids::{ServerId, Zxid};

/// What a server says that it is doing.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub enum PeerState {
    Looking = 0,
    Following = 1,
    Leading = 2,
    Observing = 3,
}

/// One election message, as it stands on the wire. The sender is the link's peer.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Notification {
    pub state: PeerState,
    pub leader: ServerId,
    pub zxid: Zxid,
    /// The sender's logical clock (upstream: `electionEpoch`).
    pub round: i64,
    /// The proposed leader's currentEpoch.
    pub peer_epoch: i64,
    /// 2 for every server since 3.5; 0 for older ones.
    pub version: i32,
    /// The text of the sender's committed quorum configuration; empty below version 2.
    pub config: Bytes,
}
