//! `[past]` of a scenario file: what all disks hold when the run begins, as after years of use. It has
//! no place in the history that is checked: it is in the snapshot of zxid 0, and the model begins with
//! it too.

use serde::Deserialize;
use zebu_core::ids::{SessionId, Xid, Zxid};
use zebu_core::proto::Acl;
use zebu_core::storage::{SnapshotWriter, StorageConfig};
use zebu_core::time::WallTime;
use zebu_core::tree::Database;
use zebu_core::txn::{CreateTxn, Txn, TxnBody, TxnHeader};

use crate::disk::SimDisk;

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PastSpec {
    /// Parents before their children.
    pub nodes: Vec<PastNode>,
}

/// A znode, and how often it has been changed.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PastNode {
    pub path: String,
    #[serde(default)]
    pub version: i32,
    #[serde(default)]
    pub aversion: i32,
    /// As it is stored: the children ever created.
    #[serde(default)]
    pub cversion: i32,
}

impl PastSpec {
    /// What led to it.
    pub fn txns(&self) -> Vec<Txn> {
        self.nodes.iter().flat_map(PastNode::bodies).map(txn).collect()
    }

    /// Leaves it on a disk that nobody has started from.
    pub(crate) fn write(&self, disk: &mut SimDisk, config: &StorageConfig) {
        if self.nodes.is_empty() {
            return;
        }
        let mut database = Database::new();
        for txn in self.txns() {
            database.apply(&txn);
        }
        for op in SnapshotWriter::new(database, config) {
            disk.perform(&op).expect("an empty disk takes a snapshot");
        }
    }
}

impl PastNode {
    fn bodies(&self) -> Vec<TxnBody> {
        let made = |path: String, parent_cversion| {
            let (data, acl, ephemeral) = (None, Acl::open(), false);
            TxnBody::Create(CreateTxn { path, data, acl, ephemeral, parent_cversion })
        };
        let path = || self.path.clone();
        let mut bodies = vec![
            made(path(), -1),
            TxnBody::SetData { path: path(), data: None, version: self.version },
            TxnBody::SetAcl { path: path(), acl: Acl::open(), version: self.aversion },
        ];
        if self.cversion > 0 {
            let last = format!("{}/last", self.path);
            bodies.extend([made(last.clone(), self.cversion), TxnBody::Delete { path: last }]);
        }
        bodies
    }
}

fn txn(body: TxnBody) -> Txn {
    let (session, cxid, zxid) = (SessionId(0), Xid(0), Zxid::ZERO);
    let header = TxnHeader { session, cxid, zxid, time: WallTime(0) };
    Txn { header, body, digest: None }
}

#[cfg(test)]
mod tests {
    use zebu_core::storage::{Layout, Storage};

    use super::*;
    use crate::model::Model;

    #[test]
    fn disks_and_the_model_begin_alike() {
        let node = |path: &str, version, cversion| PastNode {
            path: path.into(),
            version,
            aversion: 3,
            cversion,
        };
        let past = PastSpec { nodes: vec![node("/w", -5, 0), node("/w/p0", 7, i32::MAX)] };
        let config = StorageConfig {
            prealloc_bytes: 0,
            record_max: 1 << 20,
            commit_log_count: 10,
            layout: Layout::DEFAULT,
            autocreate: true,
            log_permille_max: 330,
            mutant: None,
        };
        let mut disk = SimDisk::new();
        past.write(&mut disk, &config);
        let (_, recovered, _) = Storage::open(config, &disk.durable()).unwrap();
        let model = Model::behind(&past.txns());
        assert_eq!(recovered.database.tree.digest(), model.digest);
        assert_eq!(recovered.database.last_processed, Zxid::ZERO);
        let stat = model.now("/w/p0").unwrap().client_stat();
        assert_eq!((stat.version, stat.aversion, stat.cversion), (7, 3, -2));
        assert_eq!(recovered.database.tree.get("/w/p0").unwrap().client_stat(), stat);
    }
}
