//! The znodes. Knows transactions, never requests. Only [`apply`] changes them.

use alloc::collections::BTreeMap;
use alloc::string::String;

use serde::{Deserialize, Serialize};

use crate::ids::{SessionId, Zxid};
use crate::proto::{Acl, ErrorCode, Stat, StatPersisted};
use crate::txn::Txn;

pub mod apply;
pub mod path;

use alloc::vec::Vec;
use bytes::Bytes;

/// Everything that is replicated (upstream: `ZKDatabase`): the tree and the sessions, up to a zxid.
/// Cloning costs a reference count for each chunk of znodes.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Database {
    pub tree: Tree,
    /// Timeouts in ms by session.
    pub sessions: BTreeMap<SessionId, i32>,
    pub last_processed: Zxid,
}

/// The znodes by path.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Tree {}

/// One znode, borrowed.
#[derive(Clone, Copy, Debug)]
pub struct Node<'a> {
    pub data: Option<&'a Bytes>,
    pub acl: &'a [Acl],
    pub stat: &'a StatPersisted,
    pub num_children: usize,
}

/// What applying did, for replies, watches and counters.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Applied {
    /// One change for each znode touched, in order; feeds [`crate::watch`].
    pub changes: Vec<Change>,
    /// For each operation of a multi (or for the one transaction): what it came to.
    pub results: Vec<Result<(), ErrorCode>>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Change {
    Created { path: String },
    Deleted { path: String },
    DataChanged { path: String },
}

impl Tree {
    pub fn get(&self, path: &str) -> Option<Node<'_>> {
        let _ = path;
        todo!()
    }
}
impl Node<'_> {
    /// The Stat that clients see.
    pub fn client_stat(&self) -> Stat {
        todo!()
    }
}
impl Database {
    /// Applies one transaction; total, deterministic and idempotent over a fuzzy snapshot.
    pub fn apply(&mut self, txn: &Txn) -> Applied {
        let _ = txn;
        todo!()
    }
}
