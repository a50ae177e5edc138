//! Packets as Java 3.9.3 wrote them.

use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::proto::arbitrary::{hex, packet};
use crate::proto::{Acl, CreateRequest};

const RECORD_MAX: usize = 1 << 20;
const CAPTURED: &str = include_str!("../../../testdata/wire/quorum_packets.hex");

fn encoded(packet: &QuorumPacket) -> Vec<u8> {
    let mut out = Vec::new();
    packet.encode(&mut out);
    out
}

fn decode(text: &str) -> QuorumPacket {
    QuorumPacket::decode(hex(text).into(), RECORD_MAX).unwrap()
}

/// The name that upstream gives to it, and the zxid of its envelope.
fn envelope(packet: &QuorumPacket) -> (&'static str, Zxid) {
    let none = Zxid(u64::MAX);
    match packet {
        QuorumPacket::Request(_) => ("REQUEST", none),
        QuorumPacket::Proposal(entry) => ("PROPOSAL", entry.zxid()),
        QuorumPacket::Ack { zxid } => ("ACK", *zxid),
        QuorumPacket::Commit { zxid } => ("COMMIT", *zxid),
        QuorumPacket::Ping { zxid } | QuorumPacket::PingReply { zxid, .. } => ("PING", *zxid),
        QuorumPacket::Revalidate { .. } | QuorumPacket::Revalidated { .. } => ("REVALIDATE", none),
        QuorumPacket::Sync => ("SYNC", Zxid::ZERO),
        QuorumPacket::Inform(entry) => ("INFORM", entry.zxid()),
        QuorumPacket::CommitAndActivate { zxid, .. } => ("COMMITANDACTIVATE", *zxid),
        QuorumPacket::NewLeader { zxid, .. } => ("NEWLEADER", *zxid),
        QuorumPacket::FollowerInfo { accepted, .. } => ("FOLLOWERINFO", Zxid::start_of(*accepted)),
        QuorumPacket::UpToDate => ("UPTODATE", none),
        QuorumPacket::Diff { zxid } => ("DIFF", *zxid),
        QuorumPacket::Trunc { zxid } => ("TRUNC", *zxid),
        QuorumPacket::Snap { zxid } => ("SNAP", *zxid),
        QuorumPacket::ObserverInfo { accepted, .. } => ("OBSERVERINFO", Zxid::start_of(*accepted)),
        QuorumPacket::LeaderInfo { epoch, .. } => ("LEADERINFO", Zxid::start_of(*epoch)),
        QuorumPacket::AckEpoch { last, .. } => ("ACKEPOCH", *last),
        QuorumPacket::InformAndActivate { entry, .. } => ("INFORMANDACTIVATE", entry.zxid()),
    }
}

#[test]
fn what_java_wrote_is_read_and_written_the_same() {
    let mut names = alloc::collections::BTreeSet::new();
    for line in CAPTURED.lines().filter(|line| !line.starts_with('#')) {
        let fields: Vec<&str> = line.split(' ').collect();
        let [name, zxid, bytes] = fields[..] else { panic!("{line}") };
        let packet = decode(bytes);
        let zxid = Zxid(u64::from_str_radix(zxid, 16).unwrap());
        assert_eq!(envelope(&packet), (name, zxid), "{line}");
        assert_eq!(encoded(&packet), hex(bytes), "{line}");
        names.insert(String::from(name));
    }
    assert_eq!(names.len(), 19, "every packet type is among the captured ones: {names:?}");
}

#[test]
fn a_forwarded_create_carries_who_asks() {
    // A learner's REQUEST for a client with one id, as Java 3.9.3 took it.
    let packet = decode(
        "00000001ffffffffffffffff00000045770000000000000100000001000000010000000d2f66726f6d6f627339\
         33393834000000017a000000010000001f00000005776f726c6400000006616e796f6e65000000000000000100\
         000002697000000007392e392e392e39",
    );
    let create = CreateRequest {
        path: "/fromobs93984".into(),
        data: Some(Bytes::from_static(b"z")),
        acl: Acl::open(),
        flags: 0,
    };
    let forwarded = Forwarded {
        session: SessionId(0x7700000000000001),
        cxid: Xid(1),
        request: Request::Create(create),
        auth: vec![Id { scheme: "ip".into(), id: "9.9.9.9".into() }],
    };
    assert_eq!(packet, QuorumPacket::Request(forwarded));
}

#[test]
fn layouts_that_share_a_number_are_told_apart() {
    let session = SessionId(0x7700000000000001);
    assert_eq!(
        decode("00000006 ffffffffffffffff 0000000c 7700000000000001 00004e20 ffffffff"),
        QuorumPacket::Revalidate { session, timeout_ms: 20_000 }
    );
    assert_eq!(
        decode("00000006 ffffffffffffffff 00000009 7700000000000001 01 ffffffff"),
        QuorumPacket::Revalidated { session, valid: true }
    );
    let zxid = Zxid(0x10000000d);
    assert_eq!(decode("00000005 000000010000000d ffffffff ffffffff"), QuorumPacket::Ping { zxid });
    assert_eq!(
        decode("00000005 000000010000000d 00000000 ffffffff"),
        QuorumPacket::PingReply { zxid, touched: vec![] }
    );
    assert_eq!(
        decode("00000012 000000010000000d 00000004 ffffffff ffffffff"),
        QuorumPacket::AckEpoch { last: zxid, current: None }
    );
}

#[test]
fn a_short_learner_info_is_filled_up() {
    let info = |id, protocol_version| LearnerInfo { id, protocol_version, config_version: 0 };
    let accepted = Epoch(1);
    assert_eq!(
        decode("0000000b 0000000100000000 00000008 0000000000000002 ffffffff"),
        QuorumPacket::FollowerInfo { accepted, info: info(ServerId(2), 1) }
    );
    assert_eq!(
        decode("0000000b 0000000100000000 0000000c 0000000000000002 00010000 ffffffff"),
        QuorumPacket::FollowerInfo { accepted, info: info(ServerId(2), 0x10000) }
    );
}

#[test]
fn what_is_wrong_is_named() {
    let refused = |text: &str| QuorumPacket::decode(hex(text).into(), RECORD_MAX).unwrap_err();
    assert_eq!(refused("00000014 0000000000000000 ffffffff ffffffff"), PacketError::Type(20));
    let null = crate::jute::DecodeError::Null { what: "data" };
    assert_eq!(
        refused("00000011 0000000100000000 ffffffff ffffffff"),
        PacketError::Unreadable { what: "LEADERINFO", why: null }
    );
    // A transaction 0x100000001 in a PROPOSAL of 0x100000002.
    let other_zxid = refused(
        "00000002 0000000100000002 00000024 0300000000000001 00000000 0000000100000001 \
         0000018bcfe56800 fffffff6 00004e20 ffffffff",
    );
    assert!(matches!(
        other_zxid,
        PacketError::Unreadable {
            what: "PROPOSAL",
            why: crate::jute::DecodeError::Undefined { value: 0x100000001, .. }
        }
    ));
}

proptest! {
    #[test]
    fn packets_come_back(packet in packet()) {
        prop_assert_eq!(QuorumPacket::decode(encoded(&packet).into(), RECORD_MAX), Ok(packet));
    }

    #[test]
    fn one_changed_byte_is_not_too_strange(
        packet in packet(), at in any::<prop::sample::Index>(), to: u8,
    ) {
        let mut bytes = encoded(&packet);
        let at = at.index(bytes.len());
        bytes[at] = to;
        let _ = QuorumPacket::decode(bytes.into(), RECORD_MAX);
    }
}
