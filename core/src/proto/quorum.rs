//! Packets between learners and leader (upstream: `QuorumPacket`, `Leader`, `Learner`).

use alloc::vec::Vec;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::ids::{Epoch, ServerId, SessionId, Xid, Zxid};
use crate::txn::Entry;

use super::{Id, Request};

mod packet;
#[cfg(test)]
mod tests;

pub use packet::PacketError;

/// What FOLLOWERINFO and OBSERVERINFO carry.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct LearnerInfo {
    pub id: ServerId,
    /// 0x10000 for every learner since 3.4.
    pub protocol_version: i32,
    pub config_version: i64,
}

/// A client's write or sync on its way to the leader (REQUEST).
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Forwarded {
    pub session: SessionId,
    pub cxid: Xid,
    pub request: Request,
    /// The authenticated ids of the client's connection.
    pub auth: Vec<Id>,
}

/// One packet of the quorum port. Number, sender and phase are in ARCHITECTURE.md's packet table.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum QuorumPacket {
    /// 1, learner.
    Request(Forwarded),
    /// 2, leader.
    Proposal(Entry),
    /// 3, follower: `zxid` is durable here; or NEWLEADER's zxid.
    Ack { zxid: Zxid },
    /// 4, leader.
    Commit { zxid: Zxid },
    /// 5, leader: null data.
    Ping { zxid: Zxid },
    /// 5, learner: the sessions heard from since the last one, with their timeouts in ms.
    PingReply { zxid: Zxid, touched: Vec<(SessionId, i32)> },
    /// 6, learner.
    Revalidate { session: SessionId, timeout_ms: i32 },
    /// 6, leader.
    Revalidated { session: SessionId, valid: bool },
    /// 7, leader: the oldest unanswered sync of this learner is through.
    Sync,
    /// 8, leader to observers.
    Inform(Entry),
    /// 9, leader.
    CommitAndActivate { zxid: Zxid, leader: ServerId },
    /// 10, leader: `zxid` is `epoch:0`, data the text of the configuration.
    NewLeader { zxid: Zxid, config: Bytes },
    /// 11, follower: acceptedEpoch and who it is.
    FollowerInfo { accepted: Epoch, info: LearnerInfo },
    /// 12, leader.
    UpToDate,
    /// 13, leader.
    Diff { zxid: Zxid },
    /// 14, leader.
    Trunc { zxid: Zxid },
    /// 15, leader: a snapshot stream follows (see [`crate::server::PeerMessage::Snapshot`]).
    Snap { zxid: Zxid },
    /// 16, observer.
    ObserverInfo { accepted: Epoch, info: LearnerInfo },
    /// 17, leader: `epoch` proposed for acceptance.
    LeaderInfo { epoch: Epoch, protocol_version: i32 },
    /// 18, learner: its last logged zxid and currentEpoch, `None` (-1) when the epoch was accepted before.
    AckEpoch { last: Zxid, current: Option<Epoch> },
    /// 19, leader to observers.
    InformAndActivate { leader: ServerId, entry: Entry },
}
