//! Notifications of fast leader election (upstream: `FastLeaderElection`, `QuorumCnxManager`).

use alloc::vec::Vec;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::ids::{ServerId, Zxid};
use crate::jute::{Reader, Write};

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

/// Bytes up to and including `round`: all that 3.3 sends.
const BYTES_3_3: usize = 28;
/// Of 3.4.6 and later 3.4; longer ones name a version that is believed.
const BYTES_3_4: usize = 40;
/// Since 3.5: a configuration follows.
const VERSION_WITH_CONFIG: i32 = 2;

impl Notification {
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.put_i32(self.state as i32);
        out.put_i64(self.leader.0);
        out.put_i64(self.zxid.to_wire());
        out.put_i64(self.round);
        out.put_i64(self.peer_epoch);
        out.put_i32(self.version);
        out.put_buffer(Some(&self.config));
    }

    /// `None` for what upstream drops without closing the connection: undefined states, lengths
    /// that no version sends (36 was 3.4.0 to 3.4.5), a configuration that is cut short.
    // ZK: FastLeaderElection.Messenger.WorkerReceiver.run (3.9)
    pub fn decode(message: Bytes) -> Option<Self> {
        let length = message.len();
        if length < BYTES_3_3 {
            return None;
        }
        let mut from = Reader::new(message, length);
        let state = match from.i32().ok()? {
            0 => PeerState::Looking,
            1 => PeerState::Following,
            2 => PeerState::Leading,
            3 => PeerState::Observing,
            _ => return None,
        };
        let leader = ServerId(from.i64().ok()?);
        let zxid = Zxid::from_wire(from.i64().ok()?);
        let round = from.i64().ok()?;
        let peer_epoch = match length {
            BYTES_3_3 => zxid.to_wire() >> 32,
            _ => from.i64().ok()?,
        };
        let version = match length {
            BYTES_3_3 | BYTES_3_4 => 0,
            _ => from.i32().ok()?,
        };
        let config = match version {
            VERSION_WITH_CONFIG.. => from.buffer().ok()??,
            _ => Bytes::new(),
        };
        Some(Self { state, leader, zxid, round, peer_epoch, version, config })
    }
}
