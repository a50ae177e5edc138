//! Transactions to bytes and back (upstream: `SerializeUtils`): the payload of a log record, which
//! is also the data of a PROPOSAL. The frame of a log record is storage's; what a transaction does
//! is the tree's.
//!
//! A payload is the header (32 bytes, the type last), the record, and a digest if the leader
//! computes one. Nothing says whether the digest is there but the number of bytes that are left.

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use bytes::Bytes;

use super::{
    CreateContainerTxn, CreateTtlTxn, CreateTxn, Entry, Txn, TxnBody, TxnDigest, TxnHeader, digest,
};
use crate::ids::{SessionId, Xid, Zxid};
use crate::jute::{DecodeError, Reader, Write};
use crate::proto::data::{put_strings, required, strings};
use crate::proto::{Acl, ErrorCode, OpCode};
use crate::time::WallTime;

/// The type of an error transaction: a number that no opcode has.
const ERROR: i32 = -1;
/// Where the type stands, last in the header.
const TYPE_AT: usize = 28;
const DIGEST_BYTES: usize = 12;
/// type, and a buffer of no bytes.
const SUB_TXN_MIN_BYTES: usize = 8;

/// Encodes a transaction for log and PROPOSAL.
pub fn encode(txn: Txn) -> Entry {
    // JIRA: ZOOKEEPER-2623: a check on the top level makes the log unreadable for every server.
    assert!(!matches!(txn.body, TxnBody::Check { .. }), "a check stands only inside a multi");
    let mut out = Vec::new();
    out.put_i64(txn.header.session.0 as i64);
    out.put_i32(txn.header.cxid.0);
    out.put_i64(txn.header.zxid.to_wire());
    out.put_i64(txn.header.time.0);
    out.put_i32(type_of(&txn.body));
    put_body(&mut out, &txn.body);
    if let Some(digest) = txn.digest {
        out.put_i32(digest.version);
        out.put_i64(digest.tree as i64);
    }
    Entry { txn: Arc::new(txn), payload: out.into() }
}

/// Reads a log record's payload or a PROPOSAL's data.
pub fn decode(payload: Bytes, record_max: usize) -> Result<Entry, DecodeError> {
    let mut reader = Reader::new(payload.clone(), record_max);
    let session = SessionId(reader.i64()? as u64);
    let cxid = Xid(reader.i32()?);
    let zxid = Zxid::from_wire(reader.i64()?);
    let time = WallTime(reader.i64()?);
    let kind = reader.i32()?;
    let body = if kind == OpCode::Multi.number() {
        read_multi(&mut reader, record_max)?
    } else {
        // Also a check on its own, which changes nothing: upstream's leaders made them up to 3.8.4 and
        // 3.9.2, and then could not read their own logs (JIRA: ZOOKEEPER-2623).
        read_body(kind, &mut reader)?
    };
    let digest = read_digest(&mut reader)?;
    let header = TxnHeader { session, cxid, zxid, time };
    Ok(Entry { txn: Arc::new(Txn { header, body, digest }), payload })
}

/// Is this the payload of an error transaction? Only its type is looked at.
pub(crate) fn is_error(payload: &[u8]) -> bool {
    payload.get(TYPE_AT..).and_then(|rest| rest.first_chunk()) == Some(&ERROR.to_be_bytes())
}

fn type_of(body: &TxnBody) -> i32 {
    match body {
        TxnBody::CreateSession { .. } => OpCode::CreateSession.number(),
        TxnBody::CloseSession { .. } => OpCode::CloseSession.number(),
        TxnBody::Error(_) => ERROR,
        TxnBody::Create(_) => OpCode::Create.number(),
        TxnBody::Delete { .. } => OpCode::Delete.number(),
        TxnBody::SetData { .. } => OpCode::SetData.number(),
        TxnBody::SetAcl { .. } => OpCode::SetAcl.number(),
        TxnBody::Check { .. } => OpCode::Check.number(),
        TxnBody::Multi(_) => OpCode::Multi.number(),
        TxnBody::Create2(_) => OpCode::Create2.number(),
        TxnBody::Reconfig { .. } => OpCode::Reconfig.number(),
        TxnBody::CreateContainer(_) => OpCode::CreateContainer.number(),
        TxnBody::DeleteContainer { .. } => OpCode::DeleteContainer.number(),
        TxnBody::CreateTtl(_) => OpCode::CreateTtl.number(),
    }
}

fn put_body(out: &mut Vec<u8>, body: &TxnBody) {
    match body {
        TxnBody::CreateSession { timeout_ms } => out.put_i32(*timeout_ms),
        TxnBody::CloseSession { paths: None } => {}
        TxnBody::CloseSession { paths: Some(paths) } => {
            put_strings(paths, out);
        }
        TxnBody::Error(code) => out.put_i32(code.0),
        TxnBody::Create(create) | TxnBody::Create2(create) => {
            put_created(out, &create.path, create.data.as_ref(), &create.acl);
            out.put_bool(create.ephemeral);
            out.put_i32(create.parent_cversion);
        }
        TxnBody::Delete { path } | TxnBody::DeleteContainer { path } => out.put_string(path),
        TxnBody::SetData { path, data, version } | TxnBody::Reconfig { path, data, version } => {
            out.put_string(path);
            out.put_buffer(data.as_deref());
            out.put_i32(*version);
        }
        TxnBody::SetAcl { path, acl, version } => {
            out.put_string(path);
            Acl::encode_list(acl, out);
            out.put_i32(*version);
        }
        TxnBody::Check { path, version } => {
            out.put_string(path);
            out.put_i32(*version);
        }
        TxnBody::Multi(subs) => {
            out.put_count(subs.len());
            for sub in subs {
                assert!(!matches!(sub, TxnBody::Multi(_)), "a multi holds no multi");
                let mut record = Vec::new();
                put_body(&mut record, sub);
                out.put_i32(type_of(sub));
                out.put_buffer(Some(&record));
            }
        }
        TxnBody::CreateContainer(create) => {
            put_created(out, &create.path, create.data.as_ref(), &create.acl);
            out.put_i32(create.parent_cversion);
        }
        TxnBody::CreateTtl(create) => {
            put_created(out, &create.path, create.data.as_ref(), &create.acl);
            out.put_i32(create.parent_cversion);
            out.put_i64(create.ttl_ms);
        }
    }
}

/// What the four records of a creation begin with.
fn put_created(out: &mut Vec<u8>, path: &str, data: Option<&Bytes>, acl: &[Acl]) {
    out.put_string(path);
    out.put_buffer(data.map(|data| &data[..]));
    Acl::encode_list(acl, out);
}

// ZK: SerializeUtils.deserializeTxn (3.9)
fn read_body(kind: i32, reader: &mut Reader) -> Result<TxnBody, DecodeError> {
    if kind == ERROR {
        return Ok(TxnBody::Error(ErrorCode(reader.i32()?)));
    }
    let opcode = OpCode::from_number(kind).ok_or(undefined_type(kind))?;
    Ok(match opcode {
        OpCode::CreateSession => TxnBody::CreateSession { timeout_ms: reader.i32()? },
        OpCode::CloseSession => TxnBody::CloseSession { paths: read_close_session(reader)? },
        OpCode::Create => TxnBody::Create(read_create(reader)?),
        OpCode::Create2 => TxnBody::Create2(read_create(reader)?),
        OpCode::Delete => TxnBody::Delete { path: read_path(reader)? },
        OpCode::DeleteContainer => TxnBody::DeleteContainer { path: read_path(reader)? },
        OpCode::SetData => TxnBody::SetData {
            path: read_path(reader)?,
            data: reader.buffer()?,
            version: reader.i32()?,
        },
        OpCode::Reconfig => TxnBody::Reconfig {
            path: read_path(reader)?,
            data: reader.buffer()?,
            version: reader.i32()?,
        },
        OpCode::SetAcl => TxnBody::SetAcl {
            path: read_path(reader)?,
            acl: Acl::decode_list(reader)?,
            version: reader.i32()?,
        },
        OpCode::Check => TxnBody::Check { path: read_path(reader)?, version: reader.i32()? },
        OpCode::CreateContainer => TxnBody::CreateContainer(CreateContainerTxn {
            path: read_path(reader)?,
            data: reader.buffer()?,
            acl: Acl::decode_list(reader)?,
            parent_cversion: reader.i32()?,
        }),
        OpCode::CreateTtl => TxnBody::CreateTtl(CreateTtlTxn {
            path: read_path(reader)?,
            data: reader.buffer()?,
            acl: Acl::decode_list(reader)?,
            parent_cversion: reader.i32()?,
            ttl_ms: reader.i64()?,
        }),
        OpCode::Multi
        | OpCode::Exists
        | OpCode::GetData
        | OpCode::GetAcl
        | OpCode::GetChildren
        | OpCode::Sync
        | OpCode::Ping
        | OpCode::GetChildren2
        | OpCode::CheckWatches
        | OpCode::RemoveWatches
        | OpCode::MultiRead
        | OpCode::Auth
        | OpCode::SetWatches
        | OpCode::Sasl
        | OpCode::GetEphemerals
        | OpCode::GetAllChildrenNumber
        | OpCode::SetWatches2
        | OpCode::AddWatch
        | OpCode::WhoAmI => return Err(undefined_type(kind)),
    })
}

/// Parts that upstream's leader can make; its servers refuse others when they apply.
// ZK: DataTree.processTxn (3.9)
fn read_multi(reader: &mut Reader, record_max: usize) -> Result<TxnBody, DecodeError> {
    let count = reader.count(SUB_TXN_MIN_BYTES)?;
    let mut subs = Vec::with_capacity(count);
    for _ in 0..count {
        let kind = reader.i32()?;
        let record = reader.buffer()?.ok_or(DecodeError::Null { what: "part of a multi" })?;
        let mut record = Reader::new(record, record_max);
        let sub = read_body(kind, &mut record)?;
        if matches!(
            sub,
            TxnBody::CreateSession { .. } | TxnBody::CloseSession { .. } | TxnBody::Reconfig { .. }
        ) {
            return Err(undefined_type(kind));
        }
        // When upstream applies a failed multi it marks each part as an error but leaves the part's
        // bytes, and it may send that very object to a learner later, in a DIFF (seen with 3.9.3).
        // What stands behind the marked part's first four bytes is no record of ours to judge.
        // ZK: DataTree.processTxn (3.9)
        if kind != ERROR {
            no_more(&record)?;
        }
        subs.push(sub);
    }
    Ok(TxnBody::Multi(subs))
}

/// Records from before 3.4 end behind `ephemeral` (upstream: `CreateTxnV0`).
fn read_create(reader: &mut Reader) -> Result<CreateTxn, DecodeError> {
    Ok(CreateTxn {
        path: read_path(reader)?,
        data: reader.buffer()?,
        acl: Acl::decode_list(reader)?,
        ephemeral: reader.bool()?,
        parent_cversion: if reader.remaining() == 0 { -1 } else { reader.i32()? },
    })
}

// Departs: upstream reads no body when its own `closeSessionTxn.enabled` is off, whatever the
// writer's setting was, and takes the paths for a digest. The bytes tell: no list of paths is
// twelve bytes long and begins with the digest's version, because no path is empty.
fn read_close_session(reader: &mut Reader) -> Result<Option<Vec<String>>, DecodeError> {
    match reader.remaining() {
        0 => return Ok(None),
        DIGEST_BYTES if reader.clone().i32()? == digest::VERSION => return Ok(None),
        _ => {}
    }
    strings(reader, "path").map(Some)
}

fn read_digest(reader: &mut Reader) -> Result<Option<TxnDigest>, DecodeError> {
    if reader.remaining() != DIGEST_BYTES {
        no_more(reader)?;
        return Ok(None);
    }
    Ok(Some(TxnDigest { version: reader.i32()?, tree: reader.i64()? as u64 }))
}

fn no_more(reader: &Reader) -> Result<(), DecodeError> {
    match reader.remaining() {
        0 => Ok(()),
        left => Err(DecodeError::Undefined { what: "bytes behind a record", value: left as i64 }),
    }
}

fn undefined_type(kind: i32) -> DecodeError {
    DecodeError::Undefined { what: "transaction type", value: i64::from(kind) }
}

fn read_path(reader: &mut Reader) -> Result<String, DecodeError> {
    required(reader, "path")
}

#[cfg(test)]
#[path = "codec_tests.rs"]
mod tests;
