//! Quorum packets as bytes: `type, zxid, data, authinfo`, without an outer length. Null and empty
//! data differ, and each packet has the one that upstream expects.

use alloc::vec::Vec;

use bytes::Bytes;

use super::{Forwarded, LearnerInfo, QuorumPacket};
use crate::ids::{Epoch, ServerId, SessionId, Xid, Zxid};
use crate::jute::{DecodeError, Reader, Write};
use crate::proto::{Id, Request};
use crate::txn::{Entry, codec};

/// Numbers of packets (upstream: constants of `Leader`).
mod kind {
    pub(super) const REQUEST: i32 = 1;
    pub(super) const PROPOSAL: i32 = 2;
    pub(super) const ACK: i32 = 3;
    pub(super) const COMMIT: i32 = 4;
    pub(super) const PING: i32 = 5;
    pub(super) const REVALIDATE: i32 = 6;
    pub(super) const SYNC: i32 = 7;
    pub(super) const INFORM: i32 = 8;
    pub(super) const COMMIT_AND_ACTIVATE: i32 = 9;
    pub(super) const NEW_LEADER: i32 = 10;
    pub(super) const FOLLOWER_INFO: i32 = 11;
    pub(super) const UP_TO_DATE: i32 = 12;
    pub(super) const DIFF: i32 = 13;
    pub(super) const TRUNC: i32 = 14;
    pub(super) const SNAP: i32 = 15;
    pub(super) const OBSERVER_INFO: i32 = 16;
    pub(super) const LEADER_INFO: i32 = 17;
    pub(super) const ACK_EPOCH: i32 = 18;
    pub(super) const INFORM_AND_ACTIVATE: i32 = 19;
}

/// The zxid of packets that have none to tell.
const NO_ZXID: Zxid = Zxid(u64::MAX);

/// Why a packet cannot be understood.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum PacketError {
    #[error("quorum packet type {0} is not defined")]
    Type(i32),
    #[error("unreadable {what}: {why}")]
    Unreadable { what: &'static str, why: DecodeError },
}

impl QuorumPacket {
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Request(forwarded) => {
                begin(kind::REQUEST, NO_ZXID, out);
                put_data(out, |out| forwarded.encode(out));
                put_auth(&forwarded.auth, out);
            }
            Self::Proposal(entry) => {
                whole(kind::PROPOSAL, entry.zxid(), Some(&entry.payload), out);
            }
            Self::Ack { zxid } => whole(kind::ACK, *zxid, None, out),
            Self::Commit { zxid } => whole(kind::COMMIT, *zxid, None, out),
            Self::Ping { zxid } => whole(kind::PING, *zxid, None, out),
            Self::PingReply { zxid, touched } => {
                begin(kind::PING, *zxid, out);
                // Never null, not even with nothing to tell: a Java leader drops a learner for it.
                put_data(out, |out| {
                    for (session, timeout_ms) in touched {
                        out.put_i64(session.0 as i64);
                        out.put_i32(*timeout_ms);
                    }
                });
                put_auth(&[], out);
            }
            Self::Revalidate { session, timeout_ms } => {
                begin(kind::REVALIDATE, NO_ZXID, out);
                put_data(out, |out| {
                    out.put_i64(session.0 as i64);
                    out.put_i32(*timeout_ms);
                });
                put_auth(&[], out);
            }
            Self::Revalidated { session, valid } => {
                begin(kind::REVALIDATE, NO_ZXID, out);
                put_data(out, |out| {
                    out.put_i64(session.0 as i64);
                    out.put_bool(*valid);
                });
                put_auth(&[], out);
            }
            Self::Sync => whole(kind::SYNC, Zxid::ZERO, None, out),
            Self::Inform(entry) => whole(kind::INFORM, entry.zxid(), Some(&entry.payload), out),
            Self::CommitAndActivate { zxid, leader } => {
                whole(kind::COMMIT_AND_ACTIVATE, *zxid, Some(&leader.0.to_be_bytes()), out);
            }
            Self::NewLeader { zxid, config } => whole(kind::NEW_LEADER, *zxid, Some(config), out),
            Self::FollowerInfo { accepted, info } => {
                begin(kind::FOLLOWER_INFO, Zxid::start_of(*accepted), out);
                put_data(out, |out| info.encode(out));
                put_auth(&[], out);
            }
            Self::UpToDate => whole(kind::UP_TO_DATE, NO_ZXID, None, out),
            Self::Diff { zxid } => whole(kind::DIFF, *zxid, None, out),
            Self::Trunc { zxid } => whole(kind::TRUNC, *zxid, None, out),
            Self::Snap { zxid } => whole(kind::SNAP, *zxid, None, out),
            Self::ObserverInfo { accepted, info } => {
                begin(kind::OBSERVER_INFO, Zxid::start_of(*accepted), out);
                put_data(out, |out| info.encode(out));
                put_auth(&[], out);
            }
            Self::LeaderInfo { epoch, protocol_version } => {
                let data = protocol_version.to_be_bytes();
                whole(kind::LEADER_INFO, Zxid::start_of(*epoch), Some(&data), out);
            }
            Self::AckEpoch { last, current } => {
                let current = current.map_or(-1, |epoch| epoch.0 as i32);
                whole(kind::ACK_EPOCH, *last, Some(&current.to_be_bytes()), out);
            }
            Self::InformAndActivate { leader, entry } => {
                begin(kind::INFORM_AND_ACTIVATE, entry.zxid(), out);
                put_data(out, |out| {
                    out.put_i64(leader.0);
                    out.extend_from_slice(&entry.payload);
                });
                put_auth(&[], out);
            }
        }
    }

    /// Reads one whole packet; nothing may follow it.
    pub fn decode(packet: Bytes, record_max: usize) -> Result<Self, PacketError> {
        let envelope = |why| PacketError::Unreadable { what: "quorum packet", why };
        let mut from = Reader::new(packet, record_max);
        let kind = from.i32().map_err(envelope)?;
        let raw = Raw::decode(&mut from).map_err(envelope)?;
        raw.open(kind, record_max)
    }
}

/// The fields that all packets have, behind the type.
struct Raw {
    zxid: Zxid,
    data: Option<Bytes>,
    auth: Vec<Id>,
}

impl Raw {
    fn decode(from: &mut Reader) -> Result<Self, DecodeError> {
        let zxid = Zxid::from_wire(from.i64()?);
        let data = from.buffer()?;
        let ids = from.count(Id::BYTES_MIN)?;
        let auth = (0..ids).map(|_| Id::decode(from)).collect::<Result<_, _>>()?;
        Ok(Self { zxid, data, auth })
    }

    fn open(self, kind: i32, record_max: usize) -> Result<QuorumPacket, PacketError> {
        let zxid = self.zxid;
        let named = |what| move |why| PacketError::Unreadable { what, why };
        Ok(match kind {
            kind::REQUEST => {
                let request = Forwarded::decode(self, record_max).map_err(named("REQUEST"))?;
                QuorumPacket::Request(request)
            }
            kind::PROPOSAL => {
                QuorumPacket::Proposal(self.entry(record_max).map_err(named("PROPOSAL"))?)
            }
            kind::ACK => QuorumPacket::Ack { zxid },
            kind::COMMIT => QuorumPacket::Commit { zxid },
            // The direction tells the two apart, and so does the data.
            kind::PING => match self.data {
                None => QuorumPacket::Ping { zxid },
                Some(data) => {
                    let touched = touched(data).map_err(named("PING"))?;
                    QuorumPacket::PingReply { zxid, touched }
                }
            },
            kind::REVALIDATE => self.revalidation().map_err(named("REVALIDATE"))?,
            kind::SYNC => QuorumPacket::Sync,
            kind::INFORM => QuorumPacket::Inform(self.entry(record_max).map_err(named("INFORM"))?),
            kind::COMMIT_AND_ACTIVATE => {
                let leader = self.reader().and_then(|mut from| from.i64());
                let leader = ServerId(leader.map_err(named("COMMITANDACTIVATE"))?);
                QuorumPacket::CommitAndActivate { zxid, leader }
            }
            kind::NEW_LEADER => {
                QuorumPacket::NewLeader { zxid, config: self.data.unwrap_or_default() }
            }
            kind::FOLLOWER_INFO => {
                let info = self.learner_info().map_err(named("FOLLOWERINFO"))?;
                QuorumPacket::FollowerInfo { accepted: zxid.epoch(), info }
            }
            kind::UP_TO_DATE => QuorumPacket::UpToDate,
            kind::DIFF => QuorumPacket::Diff { zxid },
            kind::TRUNC => QuorumPacket::Trunc { zxid },
            kind::SNAP => QuorumPacket::Snap { zxid },
            kind::OBSERVER_INFO => {
                let info = self.learner_info().map_err(named("OBSERVERINFO"))?;
                QuorumPacket::ObserverInfo { accepted: zxid.epoch(), info }
            }
            kind::LEADER_INFO => {
                let version = self.reader().and_then(|mut from| from.i32());
                let protocol_version = version.map_err(named("LEADERINFO"))?;
                QuorumPacket::LeaderInfo { epoch: zxid.epoch(), protocol_version }
            }
            kind::ACK_EPOCH => {
                let current = self.reader().and_then(|mut from| from.i32());
                let current = current.map_err(named("ACKEPOCH"))?;
                let current = (current != -1).then_some(Epoch(current as u32));
                QuorumPacket::AckEpoch { last: zxid, current }
            }
            kind::INFORM_AND_ACTIVATE => {
                let named = named("INFORMANDACTIVATE");
                let mut from = self.reader().map_err(named)?;
                let leader = ServerId(from.i64().map_err(named)?);
                let entry = entry(zxid, from.rest(), record_max).map_err(named)?;
                QuorumPacket::InformAndActivate { leader, entry }
            }
            _ => return Err(PacketError::Type(kind)),
        })
    }

    fn reader(&self) -> Result<Reader, DecodeError> {
        let data = self.data.clone().ok_or(DecodeError::Null { what: "data" })?;
        // Data has fixed fields only, or the rest is taken whole.
        Ok(Reader::new(data, 0))
    }

    fn entry(self, record_max: usize) -> Result<Entry, DecodeError> {
        let data = self.data.ok_or(DecodeError::Null { what: "transaction" })?;
        entry(self.zxid, data, record_max)
    }

    /// A request has 12 bytes, its answer 9.
    fn revalidation(&self) -> Result<QuorumPacket, DecodeError> {
        let mut from = self.reader()?;
        let session = SessionId(from.i64()? as u64);
        match from.remaining() {
            1 => Ok(QuorumPacket::Revalidated { session, valid: from.bool()? }),
            _ => Ok(QuorumPacket::Revalidate { session, timeout_ms: from.i32()? }),
        }
    }

    /// Older learners stop after the id, or after the version.
    // ZK: LearnerHandler.run (3.9)
    fn learner_info(&self) -> Result<LearnerInfo, DecodeError> {
        let mut from = self.reader()?;
        Ok(LearnerInfo {
            id: ServerId(from.i64()?),
            protocol_version: if from.remaining() >= 4 { from.i32()? } else { 1 },
            config_version: if from.remaining() >= 8 { from.i64()? } else { 0 },
        })
    }
}

/// A transaction that says the same zxid as the packet around it.
fn entry(zxid: Zxid, payload: Bytes, record_max: usize) -> Result<Entry, DecodeError> {
    let entry = codec::decode(payload, record_max)?;
    if entry.zxid() == zxid {
        return Ok(entry);
    }
    let value = entry.zxid().to_wire();
    Err(DecodeError::Undefined { what: "zxid other than its packet's in a transaction", value })
}

fn touched(data: Bytes) -> Result<Vec<(SessionId, i32)>, DecodeError> {
    let mut from = Reader::new(data, 0);
    let mut touched = Vec::with_capacity(from.remaining() / 12);
    while from.remaining() > 0 {
        touched.push((SessionId(from.i64()? as u64), from.i32()?));
    }
    Ok(touched)
}

impl LearnerInfo {
    fn encode(&self, out: &mut Vec<u8>) {
        out.put_i64(self.id.0);
        out.put_i32(self.protocol_version);
        out.put_i64(self.config_version);
    }
}

impl Forwarded {
    fn encode(&self, out: &mut Vec<u8>) {
        out.put_i64(self.session.0 as i64);
        out.put_i32(self.cxid.0);
        out.put_i32(self.request.opcode());
        self.request.encode_body(out);
    }
    // ZK: LearnerHandler.run, case Leader.REQUEST (3.9)
    fn decode(raw: Raw, record_max: usize) -> Result<Self, DecodeError> {
        let mut from = raw.reader()?;
        let session = SessionId(from.i64()? as u64);
        let cxid = Xid(from.i32()?);
        let opcode = from.i32()?;
        let request = Request::decode(opcode, from.rest(), record_max);
        Ok(Self { session, cxid, request, auth: raw.auth })
    }
}

fn whole(kind: i32, zxid: Zxid, data: Option<&[u8]>, out: &mut Vec<u8>) {
    begin(kind, zxid, out);
    out.put_buffer(data);
    put_auth(&[], out);
}

fn begin(kind: i32, zxid: Zxid, out: &mut Vec<u8>) {
    out.put_i32(kind);
    out.put_i64(zxid.to_wire());
}

/// Data that `fill` writes in place; its length is put in front afterwards.
fn put_data(out: &mut Vec<u8>, fill: impl FnOnce(&mut Vec<u8>)) {
    let at = out.len();
    out.put_count(0);
    fill(out);
    let length = out.len() - at - 4;
    out[at..at + 4].copy_from_slice(&(length as i32).to_be_bytes());
}

/// Nobody is null, as upstream has it.
fn put_auth(auth: &[Id], out: &mut Vec<u8>) {
    if auth.is_empty() {
        out.put_i32(-1);
        return;
    }
    out.put_count(auth.len());
    for id in auth {
        id.encode(out);
    }
}
