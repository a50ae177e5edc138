//! The one place where the tree changes: a transaction and its effect.
//!
//! Applying is total, because what a quorum has logged cannot be refused any more: validation is
//! preparation's, and a record that makes no sense, which only another implementation can have
//! logged, does as much as it can. It is deterministic, because all replicas do it. And it is
//! idempotent over a fuzzy snapshot: upstream writes snapshots while the tree changes, so a record
//! that is replayed may find its own effect, or that of later ones, already there.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

use bytes::Bytes;

use super::quota::Usage;
use super::{Applied, Change, Database, Owner, Tree, path};
use crate::ids::{SessionId, Zxid};
use crate::mutant::Mutant;
use crate::proto::{Acl, ErrorCode, Stat, StatPersisted};
use crate::time::WallTime;
use crate::txn::{CreateTxn, Txn, TxnBody};

impl Database {
    /// Applies one transaction; total, deterministic and idempotent over a fuzzy snapshot.
    pub fn apply(&mut self, txn: &Txn) -> Applied {
        self.apply_with(txn, None)
    }

    /// The same with a mistake planted, for tests of the simulator (`Config::mutant`).
    // ZK: DataTree.processTxn (3.9)
    pub fn apply_with(&mut self, txn: &Txn, mutant: Option<Mutant>) -> Applied {
        let header = &txn.header;
        let mut step = Step {
            tree: &mut self.tree,
            sessions: &mut self.sessions,
            session: header.session,
            zxid: header.zxid,
            time: header.time,
            mutant,
            in_multi: matches!(txn.body, TxnBody::Multi(_)),
            changes: Vec::new(),
            stats: Vec::new(),
        };
        let results = match &txn.body {
            TxnBody::Multi(subs) => step.multi(subs),
            body => [step.single(body)].into(),
        };
        let (changes, stats) = (step.changes, step.stats);
        // Only now, so that a snapshot never claims a part of a transaction.
        self.last_processed = self.last_processed.max(header.zxid);
        Applied { changes, results, stats }
    }
}

/// One transaction being applied.
struct Step<'a> {
    tree: &'a mut Tree,
    sessions: &'a mut BTreeMap<SessionId, i32>,
    session: SessionId,
    zxid: Zxid,
    time: WallTime,
    mutant: Option<Mutant>,
    in_multi: bool,
    changes: Vec<Change>,
    stats: Vec<Option<Stat>>,
}

/// What the four kinds of creation have in common.
struct Creation<'a> {
    path: &'a str,
    data: &'a Option<Bytes>,
    acl: &'a [Acl],
    owner: Owner,
    parent_cversion: i32,
}

type Result<T = (), E = ErrorCode> = core::result::Result<T, E>;

impl Step<'_> {
    fn single(&mut self, body: &TxnBody) -> Result {
        match body {
            TxnBody::CreateSession { timeout_ms } => {
                self.sessions.insert(self.session, *timeout_ms);
                Ok(())
            }
            TxnBody::CloseSession { paths } => {
                self.sessions.remove(&self.session);
                self.close_session(paths.as_deref().unwrap_or_default());
                Ok(())
            }
            TxnBody::Error(code) => Err(*code),
            TxnBody::Create(create) | TxnBody::Create2(create) => {
                let CreateTxn { path, data, acl, ephemeral, parent_cversion } = create;
                let owner = if *ephemeral { Owner::Session(self.session) } else { Owner::Nobody };
                self.create(Creation { path, data, acl, owner, parent_cversion: *parent_cversion })
            }
            TxnBody::Delete { path } | TxnBody::DeleteContainer { path } => self.delete(path),
            TxnBody::Reconfig { .. } if self.planted(Mutant::ConfigNodeNotUpdated) => Ok(()),
            TxnBody::SetData { path, data, version }
            | TxnBody::Reconfig { path, data, version } => self.set_data(path, data, *version),
            TxnBody::SetAcl { path, acl, version } => self.set_acl(path, acl, *version),
            // Preparation has compared the versions.
            TxnBody::Check { .. } => Ok(()),
            // The codec lets none of these through.
            TxnBody::Multi(_) => Err(ErrorCode::BAD_ARGUMENTS),
            TxnBody::CreateContainer(create) => self.create(Creation {
                path: &create.path,
                data: &create.data,
                acl: &create.acl,
                owner: Owner::Container,
                parent_cversion: create.parent_cversion,
            }),
            TxnBody::CreateTtl(create) => self.create(Creation {
                path: &create.path,
                data: &create.data,
                acl: &create.acl,
                owner: Owner::Ttl { ms: create.ttl_ms },
                parent_cversion: create.parent_cversion,
            }),
        }
    }

    /// All of it, or nothing: preparation marks a multi that failed by an error among its parts.
    fn multi(&mut self, subs: &[TxnBody]) -> Vec<Result> {
        let Some(failed) = subs.iter().position(|sub| matches!(sub, TxnBody::Error(_))) else {
            return subs.iter().map(|sub| self.part(sub)).collect();
        };
        if self.planted(Mutant::MultiKeepsPrefix) {
            for sub in &subs[..failed] {
                let _ = self.single(sub);
            }
        }
        let came_to = |(index, sub): (usize, &TxnBody)| match sub {
            TxnBody::Error(code) => Err(*code),
            _ if index < failed => Err(ErrorCode::OK),
            _ => Err(ErrorCode::RUNTIME_INCONSISTENCY),
        };
        subs.iter().enumerate().map(came_to).collect()
    }

    /// One operation of a multi: the reply wants the Stat as it is now.
    fn part(&mut self, sub: &TxnBody) -> Result {
        let result = self.single(sub);
        self.stats.push(match sub {
            TxnBody::SetData { path, .. } => self.tree.get(path).map(|node| node.client_stat()),
            _ => None,
        });
        result
    }

    // ZK: DataTree.createNode (3.9)
    fn create(&mut self, creation: Creation<'_>) -> Result {
        let Creation { path, data, acl, owner, parent_cversion } = creation;
        let (parent_path, name) = split(path)?;
        // Departs: upstream cannot apply a time to live out of range, nor ever start again on a log
        // that has one.
        let ephemeral_owner = owner.to_stored().ok_or(ErrorCode::BAD_ARGUMENTS)?;
        let parent = self.tree.find(parent_path).ok_or(ErrorCode::NO_NODE)?;
        // Departs: where the node exists already, upstream raises the parent only for type 1. The
        // parent has lagged behind this creation in every other case too.
        // JIRA: ZOOKEEPER-1046
        let parent_cversion = if self.planted(Mutant::CversionNotInTxn) {
            self.tree.node(parent).map_or(0, |node| node.children.len() as i32) + 1
        } else {
            parent_cversion
        };
        let recompute = parent_cversion == -1;
        let zxid = self.zxid;
        self.tree.change_stat(parent, |stat| {
            let one_more = stat.cversion.wrapping_add(1);
            let cversion = if recompute { one_more } else { parent_cversion };
            // Never back: a node created and deleted while a fuzzy snapshot was taken is created
            // anew by the replay, under a parent that has seen more.
            if cversion > stat.cversion {
                stat.cversion = cversion;
                stat.pzxid = zxid;
            }
        });
        if let Some(existing) = self.tree.child(parent, name) {
            // JIRA: ZOOKEEPER-4846
            self.tree.set_acl(existing, acl);
            return Err(ErrorCode::NODE_EXISTS);
        }
        let stat = StatPersisted::created(zxid, self.time, ephemeral_owner);
        let node = self.tree.insert(parent, path, data.clone(), acl, stat);
        self.tree.quota_made(path);
        self.used(path, 1, data.as_ref().map_or(0, Bytes::len) as i64);
        let (acl, parent_acl) = (self.tree.acl(node), self.tree.acl(parent));
        self.changes.push(Change::Created { path: path.into(), acl, parent_acl });
        Ok(())
    }

    // ZK: DataTree.deleteNode (3.9)
    fn delete(&mut self, path: &str) -> Result {
        let (parent_path, name) = split(path)?;
        let parent = self.tree.find(parent_path).ok_or(ErrorCode::NO_NODE)?;
        // Also when the node is gone already: a fuzzy snapshot may have the parent without it.
        let zxid = self.zxid;
        self.tree.change_stat(parent, |stat| stat.pzxid = stat.pzxid.max(zxid));
        let node = self.tree.child(parent, name).ok_or(ErrorCode::NO_NODE)?;
        // Departs: children are here when a fuzzy snapshot has the node and them from a later life.
        // Upstream loses the node and keeps them out of reach, so that the creations to come find
        // them existing and never list them. They go too: the log will create them again.
        if self.tree.node(node).is_some_and(|node| node.children.len() > 0) {
            for below in self.tree.paths_below(path) {
                self.delete_leaf(below);
            }
        }
        self.delete_leaf(path.into());
        Ok(())
    }

    fn delete_leaf(&mut self, path: String) {
        let Some(node) = self.tree.find(&path) else { return };
        let Some(parent) = self.tree.find(path::parent(&path)) else { return };
        let (acl, parent_acl) = (self.tree.acl(node), self.tree.acl(parent));
        if let Some(data) = self.tree.remove_leaf(&path) {
            self.tree.quota_unmade(&path);
            self.used(&path, -1, -(data.map_or(0, |data| data.len()) as i64));
            self.changes.push(Change::Deleted { path, acl, parent_acl });
        }
    }

    // ZK: DataTree.setData (3.9)
    fn set_data(&mut self, path: &str, data: &Option<Bytes>, version: i32) -> Result {
        let node = self.tree.find(path).ok_or(ErrorCode::NO_NODE)?;
        let grown = self.tree.set_data(node, path, data.clone());
        let (zxid, time) = (self.zxid, self.time);
        self.tree.change_stat(node, |stat| {
            stat.mzxid = zxid;
            stat.mtime = time.0;
            stat.version = version;
        });
        self.used(path, 0, grown);
        let acl = self.tree.acl(node);
        self.changes.push(Change::DataChanged { path: path.into(), acl });
        Ok(())
    }

    fn set_acl(&mut self, path: &str, acl: &[Acl], version: i32) -> Result {
        let node = self.tree.find(path).ok_or(ErrorCode::NO_NODE)?;
        self.tree.set_acl(node, acl);
        self.tree.change_stat(node, |stat| stat.aversion = version);
        Ok(())
    }

    /// Counts for the quota above `path`.
    fn used(&mut self, path: &str, count: i64, bytes: i64) {
        if !(self.in_multi && self.planted(Mutant::QuotaStatsSkipMulti)) {
            self.tree.quota_used(path, Usage { count, bytes });
        }
    }

    /// The paths that preparation listed, then what else the session has here: old logs have no
    /// list.
    // ZK: DataTree.killSession (3.9)
    fn close_session(&mut self, listed: &[String]) {
        for path in listed {
            let _ = self.delete(path);
        }
        let others: Vec<_> = self.tree.ephemerals(self.session).map(String::from).collect();
        for path in others {
            let _ = self.delete(&path);
        }
    }

    fn planted(&self, mutant: Mutant) -> bool {
        cfg!(feature = "mutants") && self.mutant == Some(mutant)
    }
}

/// No server has a znode without a name to create or delete.
fn split(path: &str) -> Result<(&str, &str)> {
    path::split(path).filter(|(_, name)| !name.is_empty()).ok_or(ErrorCode::BAD_ARGUMENTS)
}
