//! What is written to the disk and how surely, and what may be missing there: snapshots, logs, their
//! directories.

use std::time::Duration;

use zebu_core::storage::Layout;

use super::{Properties, Reader};
use crate::settings::ServerSettings;

const KILOBYTE: u64 = 1024;

impl Reader {
    pub(super) fn durability(&mut self, keys: &Properties, settings: &mut ServerSettings) {
        self.records(keys, settings);
        self.layout(keys, &mut settings.storage.layout);
        self.syncing(keys, settings);
        self.catch_up(keys, settings);
        for (key, may) in [
            ("datadir.autocreate", &mut settings.birth.directories),
            ("db.autocreate", &mut settings.birth.database),
        ] {
            *may = self.flag(keys, key).unwrap_or(true);
        }
        // Such nodes would be taken for ephemerals of sessions long gone, and go at once.
        if self.flag(keys, "emulate353TTLNodes") == Some(true) {
            let property = &keys["emulate353TTLNodes"];
            let what = "emulate353TTLNodes: Zebu cannot read TTL nodes of ZooKeeper 3.5.3; make them anew with a later one";
            self.error(&property.file, property.line, what);
        }
    }

    fn records(&mut self, keys: &Properties, settings: &mut ServerSettings) {
        let records = &mut settings.config.records;
        if let Some(lists) = self.flag(keys, "closeSessionTxn.enabled") {
            records.close_lists_ephemerals = lists;
        }
        // ZK: ZooKeeperServer.getSnapSizeInBytes (3.9)
        if let Some(kilobytes) = self.value::<i64>(keys, "snapSizeLimitInKb", "a whole number") {
            records.snap_bytes = u64::try_from(kilobytes).unwrap_or(0).saturating_mul(KILOBYTE);
        }
    }

    // ZK: DataTree.serializeZxidDigest, serializeLastProcessedZxid; FileTxnLog.setTxnLogSizeLimit (3.9)
    fn layout(&mut self, keys: &Properties, layout: &mut Layout) {
        if let Some(digest) = self.flag(keys, "digest.enabled") {
            layout.digest = digest;
            if !digest {
                let property = &keys["digest.enabled"];
                let what =
                    "digest.enabled: snapshots have no digest, transactions have one all the same";
                self.warn(&property.file, property.line, what);
            }
        }
        if let Some(zxid) = self.flag(keys, "serializeLastProcessedZxid.enabled") {
            layout.last_processed = zxid;
        }
        if let Some(kilobytes) = self.value::<i64>(keys, "txnLogSizeLimitInKb", "a whole number") {
            let most = u64::try_from(kilobytes).ok().filter(|most| *most > 0);
            layout.log_bytes = most.map(|most| most.saturating_mul(KILOBYTE));
        }
    }

    // ZK: ZKDatabase: zookeeper.snapshotSizeFactor (3.9): negative for none
    fn catch_up(&mut self, keys: &Properties, settings: &mut ServerSettings) {
        if let Some(share) = self.value::<f64>(keys, "snapshotSizeFactor", "a number") {
            settings.storage.log_permille_max = (share * 1000.0).round() as u32;
        }
    }

    fn syncing(&mut self, keys: &Properties, settings: &mut ServerSettings) {
        // ZK: FileTxnLog.forceSync (3.9): no other word turns it off.
        match self.yes_or_no(keys, "forceSync") {
            Some(true) | None => {}
            Some(false) => {
                settings.syncing.force = false;
                let property = &keys["forceSync"];
                let what =
                    "forceSync=no: a crash of this machine may lose what clients were told is safe";
                self.warn(&property.file, property.line, what);
            }
        }
        if let Some(millis) = self.value::<i64>(keys, "fsync.warningthresholdms", "a whole number")
        {
            settings.syncing.slow = Duration::from_millis(u64::try_from(millis).unwrap_or(0));
        }
    }

    /// Of keys that upstream compares with these words only.
    pub(super) fn yes_or_no(&mut self, keys: &Properties, key: &str) -> Option<bool> {
        let property = keys.get(key)?;
        match property.value.as_str() {
            "yes" => Some(true),
            "no" => Some(false),
            other => {
                let what = format!("{key}: expected yes or no, found {other:?}");
                self.error(&property.file, property.line, what);
                None
            }
        }
    }
}
