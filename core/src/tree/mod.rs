//! The znodes. Knows transactions, never requests. Only [`apply`] changes them, and a snapshot that
//! is being loaded.
//!
//! Znodes lie in chunks that clones share ([`slab`]), children and indexes in leaves that clones
//! share ([`names`]); the first change after a clone copies one chunk or leaf. So a [`Database`] is
//! cheap to clone, and a clone is a snapshot of an exact zxid that stops nobody. A path is looked up
//! name by name: an index by whole paths would be one more thing to share.
//!
//! The digest, the counts and the indexes are kept up to date by each change ([`edit`]).

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::ids::{SessionId, Zxid};
use crate::proto::{Acl, ErrorCode, Stat};

pub mod apply;
mod edit;
mod load;
mod names;
mod node;
pub mod path;
pub(crate) mod quota;
mod slab;
mod stats_track;
mod walk;

pub use load::LoadError;
pub use node::{Node, Owner};
pub use stats_track::{Limit, StatsTrack};
pub use walk::Walk;

use names::Names;
use node::Znode;
use slab::{NodeId, Slab};

/// Everything that is replicated (upstream: `ZKDatabase`): the tree and the sessions, up to a zxid.
/// Cloning costs a reference count for each chunk of znodes.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Database {
    pub tree: Tree,
    /// Timeouts in ms by session.
    pub sessions: BTreeMap<SessionId, i32>,
    pub last_processed: Zxid,
}

impl Database {
    /// Before the first transaction.
    pub fn new() -> Self {
        Self::default()
    }
}

/// The znodes by path. The root is `/`, and also the empty path, as in snapshots.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Tree {
    nodes: Slab,
    root: NodeId,
    /// Each distinct list, and how many znodes have it.
    acls: Arc<BTreeMap<Arc<[Acl]>, usize>>,
    ephemerals: Arc<BTreeMap<SessionId, Names<()>>>,
    containers_and_ttl: Names<()>,
    /// Paths that have a quota.
    quotas: Names<()>,
    digest: u64,
    /// Bytes of all paths and data.
    data_size: u64,
}

/// What applying did, for replies, watches and counters.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Applied {
    /// One change for each znode touched, in order; feeds [`crate::watch`].
    pub changes: Vec<Change>,
    /// For each operation of a multi (or for the one transaction): what it came to. In a failed
    /// multi the operations before the one that failed came to `Err(ErrorCode::OK)`: they were fine
    /// and did nothing.
    pub results: Vec<Result<(), ErrorCode>>,
    /// The Stat behind each operation of a multi that set data, for its reply: later ones may have
    /// changed the znode again, or deleted it.
    pub stats: Vec<Option<Stat>>,
}

/// What happened to one znode. With it go the access lists that decide who is told, because they may
/// be gone when the transaction is applied: the znode's own, and its parent's for what happened to
/// the parent's children.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Change {
    Created { path: String, acl: Arc<[Acl]>, parent_acl: Arc<[Acl]> },
    Deleted { path: String, acl: Arc<[Acl]>, parent_acl: Arc<[Acl]> },
    DataChanged { path: String, acl: Arc<[Acl]> },
}

impl Tree {
    /// `path` must be exact: what a client may write with a slash too many is not here.
    pub fn get(&self, path: &str) -> Option<Node<'_>> {
        Some(self.node(self.find(path)?)?.view())
    }

    /// The names of the children, in order.
    pub fn children(&self, path: &str) -> Option<impl Iterator<Item = &str>> {
        let node = self.node(self.find(path)?)?;
        Some(node.children.iter().map(|(name, _)| &**name))
    }

    /// The znodes below `path`, at any depth; 0 if it is not there.
    pub fn count_below(&self, path: &str) -> usize {
        let Some(top) = self.find(path) else { return 0 };
        if top == self.root {
            return self.nodes.len() - 1;
        }
        let mut below = 0;
        let mut todo = Vec::from([top]);
        while let Some(node) = todo.pop().and_then(|id| self.node(id)) {
            below += node.children.len();
            todo.extend(node.children.iter().map(|(_, id)| *id));
        }
        below
    }

    /// The paths of a session's ephemerals, in order.
    pub fn ephemerals(&self, session: SessionId) -> impl Iterator<Item = &str> {
        self.ephemerals.get(&session).into_iter().flat_map(Names::iter).map(|(path, ())| &**path)
    }

    pub fn sessions_with_ephemerals(&self) -> impl Iterator<Item = SessionId> {
        self.ephemerals.keys().copied()
    }

    pub fn ephemeral_count(&self) -> usize {
        self.ephemerals.values().map(Names::len).sum()
    }

    /// The paths of containers and TTL nodes, in order: those that may go by themselves.
    pub fn containers_and_ttl(&self) -> impl Iterator<Item = &str> {
        self.containers_and_ttl.iter().map(|(path, ())| &**path)
    }

    /// The first of them, or the first one behind `path`, which need not be there any more.
    pub fn container_or_ttl_after(&self, path: Option<&str>) -> Option<&str> {
        self.containers_and_ttl.first_after(path).map(|(path, ())| &**path)
    }

    /// The distinct access control lists, in order: a snapshot has them before the znodes.
    pub fn acl_lists(&self) -> impl Iterator<Item = &Arc<[Acl]>> {
        self.acls.keys()
    }

    /// Upstream's count: it has the root twice, as `/` and as the empty path.
    pub fn node_count(&self) -> usize {
        self.nodes.len() + 1
    }

    /// The sum of the znodes' digests, see [`crate::txn::digest`].
    pub fn digest(&self) -> u64 {
        self.digest
    }

    /// Upstream's measure: the lengths of all paths and data.
    pub fn approximate_data_size(&self) -> u64 {
        self.data_size
    }

    /// All znodes, parent before child, children in order. The root comes as the empty path.
    pub fn walk(&self) -> Walk {
        Walk::from(self.root, "")
    }

    fn find(&self, path: &str) -> Option<NodeId> {
        if path.is_empty() || path == "/" {
            return Some(self.root);
        }
        let mut names = path.strip_prefix('/')?.split('/');
        names.try_fold(self.root, |id, name| self.child(id, name))
    }

    fn child(&self, parent: NodeId, name: &str) -> Option<NodeId> {
        self.node(parent)?.children.get(name).copied()
    }

    fn node(&self, id: NodeId) -> Option<&Znode> {
        self.nodes.get(id)
    }
}

#[cfg(test)]
mod apply_tests;
#[cfg(test)]
mod model_tests;
