//! Building a tree from the znodes of a snapshot, in the order in which they come.

use alloc::string::String;
use alloc::sync::Arc;

use bytes::Bytes;

use super::{Tree, path};
use crate::config::Ensemble;
use crate::ids::Zxid;
use crate::proto::{Acl, StatPersisted};
use crate::time::WallTime;

/// Why a snapshot's znode has no place in the tree.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum LoadError {
    #[error("the parent of {0} must come before it")]
    NoParent(String),
    #[error("{0:?} is not the path of a znode")]
    NotAPath(String),
}

impl Tree {
    /// A znode of a snapshot. Takes the place of one that is there, as the four of a fresh tree
    /// are: snapshots of 3.4 lack `/zookeeper/config`.
    // ZK: DataTree.deserialize (3.9)
    pub fn load(
        &mut self,
        path: &str,
        data: Option<Bytes>,
        acl: Arc<[Acl]>,
        stat: StatPersisted,
    ) -> Result<(), LoadError> {
        let path = if path.is_empty() { "/" } else { path };
        if let Some(id) = self.find(path) {
            self.set_data(id, path, data);
            self.set_acl(id, &acl);
            if let Some(old) = self.node(id).map(|node| node.stat) {
                self.unindex(path, &old);
            }
            self.change_stat(id, |old| *old = stat);
            self.index(path, &stat);
            return Ok(());
        }
        let (parent, name) = path::split(path).ok_or_else(|| LoadError::NotAPath(path.into()))?;
        if name.is_empty() {
            return Err(LoadError::NotAPath(path.into()));
        }
        let parent = self.find(parent).ok_or_else(|| LoadError::NoParent(path.into()))?;
        self.insert(parent, path, data, &acl, stat);
        Ok(())
    }

    /// The server's own word on who is in its ensemble: no transaction, and so outside the digest.
    // ZK: ZKDatabase.initConfigInZKDatabase (3.9)
    pub(crate) fn set_ensemble(&mut self, ensemble: &Ensemble, now: WallTime) {
        let path = "/zookeeper/config";
        let Some(id) = self.find(path) else { return };
        self.set_data(id, path, Some(ensemble.text().into()));
        self.change_stat(id, |stat| {
            stat.mzxid = Zxid(ensemble.version);
            stat.mtime = now.0;
            stat.version = -1;
        });
    }

    /// The snapshot is complete.
    pub fn loaded(&mut self) {
        self.recount_quotas();
    }
}
