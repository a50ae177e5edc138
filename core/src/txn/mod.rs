//! Transactions: what is replicated, logged and applied. A request says what a client wants; a
//! transaction says the whole effect, so applying it needs no judgement.

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::ids::{SessionId, Xid, Zxid};
use crate::proto::{Acl, ErrorCode};
use crate::time::WallTime;

pub mod codec;
pub mod digest;
#[cfg(test)]
pub(crate) mod sample_logs;

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct TxnHeader {
    pub session: SessionId,
    pub cxid: Xid,
    pub zxid: Zxid,
    /// The leader's wall clock when it prepared the transaction.
    pub time: WallTime,
}

/// The tree's digest after the transaction (upstream: `TxnDigest`, version 2).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct TxnDigest {
    pub version: i32,
    pub tree: u64,
}

impl TxnDigest {
    /// Can it be compared? Not one of another version, nor that of a server that had none yet.
    pub fn is_known(&self) -> bool {
        self.version == digest::VERSION && self.tree != 0
    }
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Txn {
    pub header: TxnHeader,
    pub body: TxnBody,
    pub digest: Option<TxnDigest>,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct CreateTxn {
    pub path: String,
    pub data: Option<Bytes>,
    pub acl: Vec<Acl>,
    pub ephemeral: bool,
    /// The parent's stored cversion after this create; -1 in very old logs means one more than now.
    pub parent_cversion: i32,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct CreateContainerTxn {
    pub path: String,
    pub data: Option<Bytes>,
    pub acl: Vec<Acl>,
    pub parent_cversion: i32,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct CreateTtlTxn {
    pub path: String,
    pub data: Option<Bytes>,
    pub acl: Vec<Acl>,
    pub parent_cversion: i32,
    pub ttl_ms: i64,
}

/// One variant for each transaction type of upstream.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum TxnBody {
    CreateSession {
        timeout_ms: i32,
    },
    /// `paths`: the ephemerals that go with it; `None` in old logs, then those the tree knows.
    CloseSession {
        paths: Option<Vec<String>>,
    },
    /// A refused write still takes a zxid.
    Error(ErrorCode),
    Create(CreateTxn),
    Delete {
        path: String,
    },
    SetData {
        path: String,
        data: Option<Bytes>,
        version: i32,
    },
    SetAcl {
        path: String,
        acl: Vec<Acl>,
        version: i32,
    },
    /// Inside [`TxnBody::Multi`]; on its own only in logs of old upstream servers.
    Check {
        path: String,
        version: i32,
    },
    Multi(Vec<Self>),
    Create2(CreateTxn),
    Reconfig {
        path: String,
        data: Option<Bytes>,
        version: i32,
    },
    CreateContainer(CreateContainerTxn),
    DeleteContainer {
        path: String,
    },
    CreateTtl(CreateTtlTxn),
}

/// A transaction as it stands in the log: decoded once, and its bytes, which are the payload of a
/// log record and the data of a PROPOSAL. Cheap to clone. Made by [`codec`] only.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Entry {
    pub txn: Arc<Txn>,
    pub payload: Bytes,
}

impl Entry {
    pub fn zxid(&self) -> Zxid {
        self.txn.header.zxid
    }
}
