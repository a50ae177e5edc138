//! The chain of configurations: each reconfiguration that anybody ever proposed, and so who counted
//! when, and for whom. What servers say of themselves plays no part.
//!
//! A configuration is in force for a history from its transaction on: beside the one before it until
//! it is committed, and instead of it from then on.

use std::collections::BTreeMap;
use std::rc::Rc;

use zebu_core::ids::ServerId;
use zebu_core::txn::TxnBody;

use super::Facts;
use super::ledger::{Proposed, show};
use crate::history::Violation;
use crate::model::membership::{Configuration, Groups, has_say, is_quorum, votes};

#[derive(Debug)]
pub struct Change {
    pub configuration: Configuration,
    pub groups: Groups,
}

#[derive(Debug, Default)]
pub struct Configurations {
    /// By the zxid of the transaction, which is the version.
    changes: BTreeMap<u64, Change>,
    /// Of those, which are committed.
    committed: Vec<u64>,
    /// The version that a leader named first in its epoch, in NEWLEADER: until the first
    /// reconfiguration, that of a configuration without a transaction.
    pub(super) named: BTreeMap<u32, u64>,
}

impl Configurations {
    pub fn get(&self, version: u64) -> Option<&Change> {
        self.changes.get(&version)
    }
    pub fn is_committed(&self, version: u64) -> bool {
        self.committed.contains(&version)
    }
    /// The last reconfiguration that is committed.
    pub fn newest(&self) -> Option<&Change> {
        self.changes.get(self.committed.last()?)
    }
    /// Those that were committed behind `zxid`.
    pub fn behind(&self, zxid: u64) -> impl Iterator<Item = &Change> {
        let at = self.committed.partition_point(|version| *version <= zxid);
        self.committed[at..].iter().filter_map(|version| self.changes.get(version))
    }
    /// The last one that was committed below `zxid`.
    pub fn before(&self, zxid: u64) -> Option<u64> {
        let below = self.committed.partition_point(|version| *version < zxid);
        Some(self.committed[below.checked_sub(1)?])
    }

    pub(super) fn learn(&mut self, proposed: &Rc<Proposed>) -> Result<(), Violation> {
        let TxnBody::Reconfig { data, .. } = &proposed.txn.body else { return Ok(()) };
        let zxid = proposed.txn.header.zxid.0;
        let text = data.as_deref().unwrap_or_default();
        match Configuration::parse(text).filter(|read| read.version == zxid) {
            Some(configuration) => {
                let groups = configuration.electorate();
                self.changes.insert(zxid, Change { configuration, groups });
                Ok(())
            }
            None => {
                let text = String::from_utf8_lossy(text);
                let what = format!("{} is no configuration of its version: {text}", show(zxid));
                Err(Violation { property: "R-INPUT", what })
            }
        }
    }
    pub(super) fn commit(&mut self, zxid: u64) {
        if self.changes.contains_key(&zxid) {
            self.committed.push(zxid);
        }
    }
}

impl Facts {
    /// Who counts for a history that ends with `end`: by the last configuration in it that was
    /// committed when `tip` was, and by each that was proposed since.
    pub fn in_force(&self, end: u64, tip: u64) -> Vec<&Groups> {
        let mut found = Vec::new();
        let end = self.ledger.resolve(end).unwrap_or(end);
        for (&zxid, change) in self.configurations.changes.range(..=end).rev() {
            if self.ledger.contains(end, zxid) == Some(false) {
                continue;
            }
            found.push(&change.groups);
            if zxid <= tip && self.configurations.is_committed(zxid) {
                return found;
            }
        }
        found.push(&self.info.groups);
        found
    }
    /// The same for what is on the disk of a server.
    pub fn in_force_at(&self, server: ServerId) -> Vec<&Groups> {
        self.in_force(self.server(server).disk.last(), self.ledger.tip())
    }
    /// Do those that `has` holds for decide, in everything that is in force at `server`?
    pub fn decide_at(&self, server: ServerId, mut has: impl FnMut(ServerId) -> bool) -> bool {
        self.in_force_at(server).into_iter().all(|groups| is_quorum(groups, &mut has))
    }
    pub fn votes_at(&self, server: ServerId, id: ServerId) -> bool {
        self.in_force_at(server).into_iter().any(|groups| votes(groups, id))
    }
    pub fn has_say_at(&self, server: ServerId, id: ServerId) -> bool {
        self.in_force_at(server).into_iter().any(|groups| has_say(groups, id))
    }

    /// Does a server take part, by the configuration that was committed last?
    pub fn is_member(&self, id: ServerId) -> bool {
        match self.configurations.newest() {
            Some(newest) => newest.configuration.members.contains_key(&id),
            None => id.0 <= self.info.members as i64,
        }
    }

    /// Was a reconfiguration under way in the history that ends with `zxid`, before that?
    pub(super) fn is_reconfiguring(&self, zxid: u64) -> bool {
        let earlier = self.configurations.changes.range(..zxid).rev();
        let here = |at: u64| self.ledger.contains(zxid, at) != Some(false);
        let mut earlier = earlier.map(|(at, _)| *at).filter(|at| here(*at));
        earlier.next().is_some_and(|at| !self.ledger.is_committed(at))
    }
}
