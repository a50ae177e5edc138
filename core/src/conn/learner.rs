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
use crate::storage::{StreamDecoder, StreamEncoder};

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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::ids::{SessionId, Xid};
    use crate::proto::Acl;
    use crate::proto::arbitrary::{hex, packet};
    use crate::time::WallTime;
    use crate::tree::Database;
    use crate::txn::{CreateTxn, Txn, TxnBody, TxnHeader};

    fn conn() -> QuorumConn {
        QuorumConn::new(&Limits::default())
    }
    /// Everything that `bytes`, cut into pieces of `step`, say.
    fn read(bytes: &[u8], step: usize) -> Result<Vec<PeerMessage>, PeerMisbehaved> {
        let mut conn = conn();
        let mut read = Vec::new();
        for piece in bytes.chunks(step) {
            conn.receive(piece);
            while let Some(message) = conn.next()? {
                read.push(message);
            }
        }
        Ok(read)
    }
    fn packets(messages: Vec<PeerMessage>) -> Vec<QuorumPacket> {
        let packet = |message| match message {
            PeerMessage::Quorum(packet) => packet,
            other => panic!("{other:?}"),
        };
        messages.into_iter().map(packet).collect()
    }

    #[test]
    fn writes_up_to_the_target_and_says_what_waits() {
        let mut conn = conn();
        for counter in 1..=3 {
            conn.queue(PeerMessage::Quorum(QuorumPacket::Ack { zxid: Zxid(counter) }));
        }
        let mut out = Vec::new();
        assert!(conn.write(&mut out, 21), "a packet has 20 bytes, so two are written");
        assert_eq!((out.len(), conn.queued()), (40, 1));
        assert!(conn.write(&mut out, 40));
        assert_eq!((out.len(), conn.queued()), (40, 1));
        assert!(!conn.write(&mut out, 100));
        assert_eq!((out.len(), conn.queued()), (60, 0));
    }

    /// A session and some hundred znodes, the last one created at `zxid`.
    fn database(zxid: Zxid) -> Database {
        let mut database = Database::new();
        database.sessions.insert(SessionId(7), 4_000);
        for number in 0..300 {
            let create = CreateTxn {
                path: alloc::format!("/{number}"),
                data: Some(alloc::vec![number as u8; 100].into()),
                acl: Acl::open(),
                ephemeral: number == 0,
                parent_cversion: number,
            };
            let (session, cxid, time) = (SessionId(7), Xid(1), WallTime(5));
            let header = TxnHeader { session, cxid, zxid, time };
            database.apply(&Txn { header, body: TxnBody::Create(create), digest: None });
        }
        database
    }

    #[test]
    fn a_snapshot_comes_through_among_packets() {
        let snap = QuorumPacket::Snap { zxid: Zxid(9) };
        let sent = Arc::new(database(Zxid(9)));
        for step in [1, 1000, usize::MAX] {
            let mut conn = conn();
            conn.queue(PeerMessage::Quorum(snap.clone()));
            conn.queue(PeerMessage::Snapshot(sent.clone()));
            conn.queue(PeerMessage::Quorum(QuorumPacket::UpToDate));
            let mut bytes = Vec::new();
            let mut pieces = 0;
            while conn.queued() > 0 {
                let mut piece = Vec::new();
                conn.write(&mut piece, 4096);
                assert!(piece.len() < 8192, "a piece at a time");
                bytes.extend(piece);
                pieces += 1;
            }
            assert!(pieces > 10);
            let read = read(&bytes, step).unwrap();
            let [
                PeerMessage::Quorum(first),
                PeerMessage::Snapshot(database),
                PeerMessage::Quorum(last),
            ] = &read[..]
            else {
                panic!("{} messages", read.len())
            };
            assert_eq!((first, last), (&snap, &QuorumPacket::UpToDate));
            assert_eq!(database.last_processed, Zxid(9));
            assert_eq!(database.sessions, sent.sessions);
            assert_eq!(database.tree.node_count(), sent.tree.node_count());
            assert_eq!(database.tree.digest(), sent.tree.digest());
        }
    }

    #[test]
    fn a_snapshot_without_its_mark_is_not_one() {
        let mut conn = conn();
        conn.queue(PeerMessage::Quorum(QuorumPacket::Snap { zxid: Zxid(9) }));
        conn.queue(PeerMessage::Snapshot(Arc::new(database(Zxid(9)))));
        let mut bytes = Vec::new();
        conn.write(&mut bytes, usize::MAX);
        let at = bytes.len() - 1;
        bytes[at] ^= 1;
        let why = read(&bytes, 1000).unwrap_err();
        assert!(matches!(why, PeerMisbehaved::Unreadable { what: "snapshot", .. }), "{why}");
    }

    #[test]
    fn lengths_are_judged_before_their_bytes_come() {
        let too_long = [
            "00000002 0000000000000001 00200000",
            "00000002 0000000000000001 fffffffe",
            "00000001 0000000000000001 ffffffff 7fffffff",
            "00000001 0000000000000001 ffffffff 00000001 00200000",
            "00000001 0000000000000001 ffffffff 00000001 fffffffe",
        ];
        for packet in too_long {
            let why = read(&hex(packet), usize::MAX).unwrap_err();
            assert!(
                matches!(
                    why,
                    PeerMisbehaved::Unreadable {
                        what: "quorum packet",
                        why: DecodeError::Length { .. }
                    }
                ),
                "{packet}"
            );
        }
    }

    #[test]
    fn ids_of_one_packet_are_bounded_together() {
        let limits = Limits { record_max: 100, ..Limits::default() };
        let mut conn = QuorumConn::new(&limits);
        conn.receive(&hex("00000001 0000000000000001 ffffffff 00000003"));
        for _ in 0..2 {
            conn.receive(&50i32.to_be_bytes());
            conn.receive(&[b'x'; 50]);
        }
        let why = DecodeError::Length { length: 50, max: 100 };
        let expected = PeerMisbehaved::Unreadable { what: "quorum packet", why };
        assert_eq!(conn.next().unwrap_err(), expected);
    }

    proptest! {
        #[test]
        fn packets_come_through_however_they_are_cut(
            sent in prop::collection::vec(packet(), 0..8), step in 1usize..100, target in 1usize..200,
        ) {
            let mut conn = conn();
            for packet in &sent {
                conn.queue(PeerMessage::Quorum(packet.clone()));
            }
            let mut bytes = Vec::new();
            while conn.queued() > 0 {
                let mut piece = Vec::new();
                conn.write(&mut piece, target);
                bytes.extend(piece);
            }
            prop_assert_eq!(packets(read(&bytes, step).unwrap()), sent);
        }

        #[test]
        fn no_bytes_are_too_strange(
            sent in prop::collection::vec(packet(), 1..4),
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
            step in 1usize..100,
        ) {
            let mut bytes = Vec::new();
            for packet in &sent {
                packet.encode(&mut bytes);
            }
            for (at, to) in changes {
                let at = at.index(bytes.len());
                bytes[at] = to;
            }
            let _ = read(&bytes, step);
        }
    }
}
