//! Reply bodies and watch events, both ways. Reading a reply needs the opcode of its request.

use alloc::vec::Vec;

use bytes::Bytes;

use super::request::MultiHeader;
use super::{EventKind, MultiResult, OpCode, Response, WatcherEvent};
use crate::jute::{DecodeError, Reader, Write};
use crate::proto::data::{Acl, Id, Stat, put_strings, required, strings};
use crate::proto::err::ErrorCode;

impl Response {
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Empty => {}
            Self::WatchAdded => out.put_i32(ErrorCode::OK.0),
            Self::Path(path) => out.put_string(path),
            Self::PathStat { path, stat } => {
                out.put_string(path);
                stat.encode(out);
            }
            Self::Stat(stat) => stat.encode(out),
            Self::Data { data, stat } => {
                out.put_buffer(data.as_deref());
                stat.encode(out);
            }
            Self::Acl { acl, stat } => {
                Acl::encode_list(acl, out);
                stat.encode(out);
            }
            Self::Children(children) => put_strings(children, out),
            Self::Children2 { children, stat } => {
                put_strings(children, out);
                stat.encode(out);
            }
            Self::Multi(results) => encode_results(results, out),
            Self::Ephemerals(paths) => put_strings(paths, out),
            Self::Count(count) => out.put_i32(*count),
            Self::Sasl { token } => out.put_buffer(token.as_deref()),
            Self::Identities(ids) => {
                out.put_count(ids.len());
                for id in ids {
                    id.encode(out);
                }
            }
        }
    }

    /// Reads the body of a successful reply to `opcode`.
    pub fn decode(opcode: i32, body: Bytes, record_max: usize) -> Result<Self, DecodeError> {
        let from = &mut Reader::new(body, record_max);
        // What we never ask has no body that we would look at.
        let Some(opcode) = OpCode::from_number(opcode) else { return Ok(Self::Empty) };
        Ok(match opcode {
            OpCode::Create | OpCode::Sync => Self::Path(required(from, "path")?),
            OpCode::Create2 | OpCode::CreateContainer | OpCode::CreateTtl => {
                Self::PathStat { path: required(from, "path")?, stat: Stat::decode(from)? }
            }
            OpCode::Exists | OpCode::SetData | OpCode::SetAcl => Self::Stat(Stat::decode(from)?),
            OpCode::GetData | OpCode::Reconfig => {
                Self::Data { data: from.buffer()?, stat: Stat::decode(from)? }
            }
            OpCode::GetAcl => Self::Acl { acl: Acl::decode_list(from)?, stat: Stat::decode(from)? },
            OpCode::GetChildren => Self::Children(strings(from, "child")?),
            OpCode::GetChildren2 => {
                Self::Children2 { children: strings(from, "child")?, stat: Stat::decode(from)? }
            }
            OpCode::Multi | OpCode::MultiRead => Self::Multi(decode_results(from)?),
            OpCode::GetEphemerals => Self::Ephemerals(strings(from, "path")?),
            OpCode::GetAllChildrenNumber => Self::Count(from.i32()?),
            OpCode::WhoAmI => {
                let count = from.count(Id::BYTES_MIN)?;
                Self::Identities((0..count).map(|_| Id::decode(from)).collect::<Result<_, _>>()?)
            }
            OpCode::Sasl => Self::Sasl { token: from.buffer()? },
            OpCode::AddWatch => {
                from.i32()?;
                Self::WatchAdded
            }
            OpCode::CloseSession
            | OpCode::CreateSession
            | OpCode::Delete
            | OpCode::Ping
            | OpCode::Check
            | OpCode::CheckWatches
            | OpCode::RemoveWatches
            | OpCode::DeleteContainer
            | OpCode::Auth
            | OpCode::SetWatches
            | OpCode::SetWatches2 => Self::Empty,
        })
    }
}

// ZK: MultiResponse.serialize (3.9)
fn encode_results(results: &[MultiResult], out: &mut Vec<u8>) {
    let succeeded =
        |opcode: OpCode| MultiHeader { kind: opcode.number(), done: false, err: ErrorCode::OK.0 };
    for result in results {
        match result {
            MultiResult::Create { path } => {
                succeeded(OpCode::Create).encode(out);
                out.put_string(path);
            }
            MultiResult::Create2 { path, stat } => {
                succeeded(OpCode::Create2).encode(out);
                out.put_string(path);
                stat.encode(out);
            }
            MultiResult::Delete => succeeded(OpCode::Delete).encode(out),
            MultiResult::SetData { stat } => {
                succeeded(OpCode::SetData).encode(out);
                stat.encode(out);
            }
            MultiResult::Check => succeeded(OpCode::Check).encode(out),
            MultiResult::Data { data, stat } => {
                succeeded(OpCode::GetData).encode(out);
                out.put_buffer(data.as_deref());
                stat.encode(out);
            }
            MultiResult::Children(children) => {
                succeeded(OpCode::GetChildren).encode(out);
                put_strings(children, out);
            }
            MultiResult::Error(code) => {
                MultiHeader { kind: -1, done: false, err: code.0 }.encode(out);
                out.put_i32(code.0);
            }
        }
    }
    MultiHeader::END.encode(out);
}

// ZK: MultiResponse.deserialize (3.9)
fn decode_results(from: &mut Reader) -> Result<Vec<MultiResult>, DecodeError> {
    let mut results = Vec::new();
    loop {
        let MultiHeader { kind, done, .. } = MultiHeader::decode(from)?;
        if done {
            return Ok(results);
        }
        results.push(match (kind, OpCode::from_number(kind)) {
            (-1, _) => MultiResult::Error(ErrorCode(from.i32()?)),
            (_, Some(OpCode::Create)) => MultiResult::Create { path: required(from, "path")? },
            (_, Some(OpCode::Create2)) => {
                MultiResult::Create2 { path: required(from, "path")?, stat: Stat::decode(from)? }
            }
            (_, Some(OpCode::Delete)) => MultiResult::Delete,
            (_, Some(OpCode::SetData)) => MultiResult::SetData { stat: Stat::decode(from)? },
            (_, Some(OpCode::Check)) => MultiResult::Check,
            (_, Some(OpCode::GetData)) => {
                MultiResult::Data { data: from.buffer()?, stat: Stat::decode(from)? }
            }
            (_, Some(OpCode::GetChildren)) => MultiResult::Children(strings(from, "child")?),
            _ => {
                let value = kind.into();
                return Err(DecodeError::Undefined { what: "result of a multi", value });
            }
        });
    }
}

/// Upstream's `KeeperState.SyncConnected`, the only state that a server ever sends.
const SYNC_CONNECTED: i32 = 3;

impl WatcherEvent {
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.put_i32(self.kind as i32);
        out.put_i32(SYNC_CONNECTED);
        out.put_string(&self.path);
    }
    pub fn decode(body: Bytes, record_max: usize) -> Result<Self, DecodeError> {
        let from = &mut Reader::new(body, record_max);
        let kind = match from.i32()? {
            1 => EventKind::NodeCreated,
            2 => EventKind::NodeDeleted,
            3 => EventKind::NodeDataChanged,
            4 => EventKind::NodeChildrenChanged,
            other => {
                return Err(DecodeError::Undefined { what: "event type", value: other.into() });
            }
        };
        from.i32()?;
        Ok(Self { kind, path: required(from, "path")? })
    }
}
