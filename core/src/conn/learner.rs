//! A connection between learner and leader: quorum packets, and snapshot streams among them. Both
//! ends are alike. Which packet may come when is the phases' matter.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::frame::Inbox;
use super::packet_scan::PacketScan;
use crate::config::Limits;
use crate::ids::Zxid;
use crate::jute::DecodeError;
use crate::proto::{PacketError, QuorumPacket};
use crate::server::PeerMessage;
use crate::storage::stream::{StreamDecoder, StreamEncoder};

#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum PeerMisbehaved {
    #[error("quorum packet type {0} is not defined")]
    Type(i32),
    #[error("unreadable {what}: {why}")]
    Unreadable { what: &'static str, why: DecodeError },
}

impl From<PacketError> for PeerMisbehaved {
    fn from(error: PacketError) -> Self {
        match error {
            PacketError::Type(kind) => Self::Type(kind),
            PacketError::Unreadable { what, why } => Self::Unreadable { what, why },
        }
    }
}

#[derive(Clone, Debug)]
pub struct QuorumConn {
    inbox: Inbox,
    reading: Reading,
    queue: VecDeque<PeerMessage>,
    /// The snapshot that is being written, ahead of everything queued.
    writing: Option<Box<StreamEncoder>>,
    record_max: usize,
}

#[derive(Clone, Debug)]
enum Reading {
    Packet(PacketScan),
    /// Behind SNAP.
    Snapshot {
        zxid: Zxid,
        decoder: Box<StreamDecoder>,
    },
}

impl QuorumConn {
    pub fn new(limits: &Limits) -> Self {
        Self {
            inbox: Inbox::default(),
            reading: Reading::Packet(PacketScan::default()),
            queue: VecDeque::new(),
            writing: None,
            record_max: limits.record_max,
        }
    }
    pub fn receive(&mut self, bytes: &[u8]) {
        self.inbox.receive(bytes);
    }

    #[expect(clippy::should_implement_trait, reason = "fallible, and more may come after None")]
    pub fn next(&mut self) -> Result<Option<PeerMessage>, PeerMisbehaved> {
        match &mut self.reading {
            Reading::Packet(scan) => {
                let length = scan
                    .length(self.inbox.bytes(), self.record_max)
                    .map_err(|why| PeerMisbehaved::Unreadable { what: "quorum packet", why })?;
                let Some(length) = length else { return Ok(None) };
                *scan = PacketScan::default();
                let packet = QuorumPacket::decode(self.inbox.take(length), self.record_max)?;
                if let QuorumPacket::Snap { zxid } = packet {
                    let decoder = Box::new(StreamDecoder::new(self.record_max));
                    self.reading = Reading::Snapshot { zxid, decoder };
                }
                Ok(Some(PeerMessage::Quorum(packet)))
            }
            Reading::Snapshot { .. } if self.inbox.bytes().is_empty() => Ok(None),
            Reading::Snapshot { zxid, decoder } => {
                let decoded = decoder
                    .feed(self.inbox.bytes())
                    .map_err(|why| PeerMisbehaved::Unreadable { what: "snapshot", why })?;
                let Some((mut database, consumed)) = decoded else {
                    self.inbox.skip(self.inbox.bytes().len());
                    return Ok(None);
                };
                // The stream does not say up to where it goes; SNAP in front of it does.
                database.last_processed = *zxid;
                self.inbox.skip(consumed);
                self.reading = Reading::Packet(PacketScan::default());
                Ok(Some(PeerMessage::Snapshot(Arc::new(database))))
            }
        }
    }

    pub fn queue(&mut self, message: PeerMessage) {
        self.queue.push_back(message);
    }

    /// Appends queued messages to `out` until it holds `target` bytes or nothing is left; a
    /// snapshot is encoded piece by piece. Says whether more is waiting.
    pub fn write(&mut self, out: &mut Vec<u8>, target: usize) -> bool {
        while out.len() < target {
            if let Some(snapshot) = &mut self.writing {
                if !snapshot.encode(out, target) {
                    self.writing = None;
                }
                continue;
            }
            match self.queue.pop_front() {
                None => break,
                Some(PeerMessage::Quorum(packet)) => packet.encode(out),
                Some(PeerMessage::Snapshot(database)) => {
                    self.writing = Some(Box::new(StreamEncoder::new(database)));
                }
                Some(PeerMessage::Election(_)) => {
                    unreachable!("the server sends notifications on election links only")
                }
            }
        }
        self.queued() > 0
    }

    /// Messages waiting to be written.
    pub fn queued(&self) -> usize {
        self.queue.len() + usize::from(self.writing.is_some())
    }
}
