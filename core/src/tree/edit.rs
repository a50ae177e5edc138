//! Single changes of the tree that keep the digest, the counts and the indexes right. Which changes
//! a transaction makes is [`super::apply`]'s.

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use bytes::Bytes;

use super::node::Znode;
use super::slab::{NodeId, Slab};
use super::{Owner, Tree, Walk, path};
use crate::proto::{Acl, StatPersisted, perms};
use crate::txn::digest;

impl Tree {
    /// `/`, `/zookeeper`, `/zookeeper/quota`, `/zookeeper/config`, as a fresh server has them.
    // ZK: DataTree.DataTree, DataTree.addConfigNode (3.9)
    pub fn new() -> Self {
        let mut acls = alloc::collections::BTreeMap::new();
        let open: Arc<[Acl]> = Acl::open().into();
        acls.insert(open.clone(), 1);
        let root = Znode {
            data: Some(Bytes::new()),
            acl: open,
            stat: StatPersisted::default(),
            children: super::Names::default(),
            content: digest::content("/", Some(b"")),
        };
        let digest = root.digest();
        let mut nodes = Slab::default();
        let root = nodes.insert(root);
        let mut tree = Self {
            nodes,
            root,
            acls: Arc::new(acls),
            ephemerals: Arc::default(),
            containers_and_ttl: super::Names::default(),
            quotas: super::Names::default(),
            digest,
            data_size: size("/", 0),
        };
        let stat = StatPersisted::default();
        let empty = || Some(Bytes::new());
        let zookeeper = tree.insert(root, "/zookeeper", empty(), &Acl::open(), stat);
        tree.insert(zookeeper, "/zookeeper/quota", empty(), &Acl::open(), stat);
        let config_stat = StatPersisted { aversion: -1, ..stat };
        let config_acl = [Acl::world(perms::READ)];
        tree.insert(zookeeper, "/zookeeper/config", empty(), &config_acl, config_stat);
        tree
    }

    /// A znode at `path`, whose parent is `parent` and has no child of that name. The parent's own
    /// stat is the caller's to change.
    pub(super) fn insert(
        &mut self,
        parent: NodeId,
        path: &str,
        data: Option<Bytes>,
        acl: &[Acl],
        stat: StatPersisted,
    ) -> NodeId {
        let content = digest::content(path, data.as_deref());
        let acl = self.intern(acl);
        let node = Znode { data: own(data), acl, stat, children: super::Names::default(), content };
        self.digest = self.digest.wrapping_add(node.digest());
        self.data_size += size(path, node.data_len());
        self.index(path, &node.stat);
        let id = self.nodes.insert(node);
        if let Some(parent) = self.nodes.get_mut(parent) {
            parent.children.insert(path::name(path).into(), id);
        }
        id
    }

    /// Takes a znode without children away. Its data, for quotas.
    pub(super) fn remove_leaf(&mut self, path: &str) -> Option<Option<Bytes>> {
        let (parent, name) = path::split(path)?;
        let parent = self.find(parent)?;
        let id = self.nodes.get_mut(parent)?.children.remove(name)?;
        let node = self.nodes.remove(id)?;
        debug_assert_eq!(node.children.len(), 0);
        self.digest = self.digest.wrapping_sub(node.digest());
        self.data_size -= size(path, node.data_len());
        self.unindex(path, &node.stat);
        self.release(&node.acl);
        Some(node.data)
    }

    /// The paths below `path`, children before their parents.
    pub(super) fn paths_below(&self, path: &str) -> Vec<String> {
        let mut paths = Vec::new();
        let Some(id) = self.find(path) else { return paths };
        let mut walk = Walk::from(id, path);
        walk.next(self);
        while let Some((below, _)) = walk.next(self) {
            paths.push(below);
        }
        paths.reverse();
        paths
    }

    pub(super) fn change_stat(&mut self, id: NodeId, change: impl FnOnce(&mut StatPersisted)) {
        let Some(node) = self.nodes.get_mut(id) else { return };
        self.digest = self.digest.wrapping_sub(node.digest());
        change(&mut node.stat);
        self.digest = self.digest.wrapping_add(node.digest());
    }

    /// By how many bytes the data grew.
    pub(super) fn set_data(&mut self, id: NodeId, path: &str, data: Option<Bytes>) -> i64 {
        let content = digest::content(path, data.as_deref());
        let Some(node) = self.nodes.get_mut(id) else { return 0 };
        self.digest = self.digest.wrapping_sub(node.digest());
        let old = node.data_len();
        node.data = own(data);
        node.content = content;
        self.digest = self.digest.wrapping_add(node.digest());
        let new = node.data_len();
        self.data_size = self.data_size - old as u64 + new as u64;
        new as i64 - old as i64
    }

    /// Upstream takes a list that is missing for one that lets everybody in.
    pub(super) fn acl(&self, id: NodeId) -> Arc<[Acl]> {
        self.nodes.get(id).map_or_else(|| [].into(), |node| node.acl.clone())
    }

    pub(super) fn set_acl(&mut self, id: NodeId, acl: &[Acl]) {
        let acl = self.intern(acl);
        let Some(node) = self.nodes.get_mut(id) else { return self.release(&acl) };
        let old = core::mem::replace(&mut node.acl, acl);
        self.release(&old);
    }

    pub(super) fn index(&mut self, path: &str, stat: &StatPersisted) {
        match Owner::from_stored(stat.ephemeral_owner) {
            Owner::Nobody => {}
            Owner::Container | Owner::Ttl { .. } => self.containers_and_ttl.insert(path.into(), ()),
            Owner::Session(session) => {
                let sessions = Arc::make_mut(&mut self.ephemerals);
                sessions.entry(session).or_default().insert(path.into(), ());
            }
        }
    }

    pub(super) fn unindex(&mut self, path: &str, stat: &StatPersisted) {
        match Owner::from_stored(stat.ephemeral_owner) {
            Owner::Nobody => {}
            Owner::Container | Owner::Ttl { .. } => {
                self.containers_and_ttl.remove(path);
            }
            Owner::Session(session) => {
                let sessions = Arc::make_mut(&mut self.ephemerals);
                let Some(paths) = sessions.get_mut(&session) else { return };
                paths.remove(path);
                if paths.len() == 0 {
                    sessions.remove(&session);
                }
            }
        }
    }

    /// One list in memory for all znodes that have it.
    fn intern(&mut self, acl: &[Acl]) -> Arc<[Acl]> {
        let acls = Arc::make_mut(&mut self.acls);
        let known = acls.get_key_value(acl).map(|(list, _)| list.clone());
        let list = known.unwrap_or_else(|| acl.into());
        *acls.entry(list.clone()).or_default() += 1;
        list
    }

    fn release(&mut self, acl: &Arc<[Acl]>) {
        let acls = Arc::make_mut(&mut self.acls);
        let Some(nodes) = acls.get_mut(acl) else { return };
        *nodes -= 1;
        if *nodes == 0 {
            acls.remove(acl);
        }
    }
}

impl Default for Tree {
    fn default() -> Self {
        Self::new()
    }
}

/// A slice would keep alive the whole buffer that a socket or a file was read into.
fn own(data: Option<Bytes>) -> Option<Bytes> {
    data.map(|data| Bytes::copy_from_slice(&data))
}

// ZK: DataTree.getNodeSize (3.9)
fn size(path: &str, data: usize) -> u64 {
    (path.len() + data) as u64
}
