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
    /// The sender is a Zebu.
    // Departs: upstream ends at `config`, and reads no further than its length.
    pub is_ours: bool,
    /// Of ours: the text of the configuration that is proposed to the sender, or empty.
    pub proposed: Bytes,
}

/// Bytes up to and including `round`: all that 3.3 sends.
const BYTES_3_3: usize = 28;
/// Of 3.4.6 and later 3.4; longer ones name a version that is believed.
const BYTES_3_4: usize = 40;
/// Since 3.5: a configuration follows.
const VERSION_WITH_CONFIG: i32 = 2;
/// Behind the configuration, where upstream reads no more: the sender is one of ours.
const OURS: &[u8] = b"zebu";

impl Notification {
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.put_i32(self.state as i32);
        out.put_i64(self.leader.0);
        out.put_i64(self.zxid.to_wire());
        out.put_i64(self.round);
        out.put_i64(self.peer_epoch);
        out.put_i32(self.version);
        out.put_buffer(Some(&self.config));
        if self.is_ours {
            out.extend_from_slice(OURS);
            if !self.proposed.is_empty() {
                out.put_buffer(Some(&self.proposed));
            }
        }
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
        let rest = from.rest();
        let is_ours = version >= VERSION_WITH_CONFIG && rest.starts_with(OURS);
        let proposed = if is_ours && rest.len() > OURS.len() {
            Reader::new(rest.slice(OURS.len()..), length).buffer().ok()??
        } else {
            Bytes::new()
        };
        Some(Self { state, leader, zxid, round, peer_epoch, version, config, is_ours, proposed })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::proto::arbitrary::hex;

    // Java 3.9.3's answer to a hand-made peer (a configuration of three servers follows).
    const HEAD: &str = "00000002 0000000000000003 0000000000000000 0000000000000001 \
                        0000000000000001 00000002";

    fn decode(text: &str) -> Option<Notification> {
        Notification::decode(hex(text).into())
    }

    #[test]
    fn reads_what_java_writes() {
        let config =
            b"server.1=127.0.0.1:24211:24311:participant;127.0.0.1:24111\nversion=100000000";
        let mut message = hex(HEAD);
        message.put_buffer(Some(config));
        let notification = Notification::decode(message.clone().into()).unwrap();
        let expected = Notification {
            state: PeerState::Leading,
            leader: ServerId(3),
            zxid: Zxid::ZERO,
            round: 1,
            peer_epoch: 1,
            version: 2,
            config: Bytes::from_static(config),
            is_ours: false,
            proposed: Bytes::new(),
        };
        assert_eq!(notification, expected);
        let mut again = Vec::new();
        notification.encode(&mut again);
        assert_eq!(again, message);

        for proposed in [&b""[..], b"server.4=h4:2888:3888:participant;2181\nversion=10000000a"] {
            let proposed = Bytes::from_static(proposed);
            let ours = Notification { is_ours: true, proposed, ..expected.clone() };
            let mut with_mark = Vec::new();
            ours.encode(&mut with_mark);
            assert!(with_mark.starts_with(&message), "Java reads no further");
            let cut = Bytes::copy_from_slice(&with_mark[..with_mark.len() - 1]);
            assert_ne!(Notification::decode(cut), Some(ours.clone()));
            assert_eq!(Notification::decode(with_mark.into()), Some(ours));
        }
    }

    #[test]
    fn older_forms_are_read_as_upstream_reads_them() {
        let oldest = "00000000 0000000000000003 0000000500000007 0000000000000009";
        let read = |text: &str| {
            decode(text).map(|message| (message.peer_epoch, message.version, message.config.len()))
        };
        assert_eq!(read(oldest), Some((5, 0, 0)));
        assert_eq!(read(&oldest[..oldest.len() - 2]), None);
        let with_epoch = alloc::format!("{oldest} 0000000000000004");
        assert_eq!(read(&with_epoch), None, "36 bytes: Java reads past their end");
        assert_eq!(read(&alloc::format!("{with_epoch} 00000001")), Some((4, 0, 0)));
        assert_eq!(read(&alloc::format!("{with_epoch} 00000001 00")), Some((4, 1, 0)));
    }

    #[test]
    fn what_upstream_drops_is_dropped() {
        assert_eq!(decode(&HEAD.replacen("00000002", "00000004", 1)), None);
        for config in ["00", "ffffffff", "00000002 61", "7fffffff"] {
            assert_eq!(decode(&alloc::format!("{HEAD} {config} ")), None, "{config}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_are_too_strange(bytes: Vec<u8>) {
            let _ = Notification::decode(bytes.into());
        }
    }
}
