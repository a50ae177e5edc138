//! How much there may be: sizes of what clients send, containers and their removal, the log and what
//! is kept of it.

use std::time::Duration;

use zebu_core::config::Config;
use zebu_core::storage::{PURGE_KEEPS_MIN, StorageConfig};

use super::{Properties, Reader};
use crate::settings::{AutoPurge, ServerSettings};

impl Reader {
    pub(super) fn limits(&mut self, keys: &Properties, config: &mut Config) {
        let limits = &mut config.limits;
        // Departs: upstream takes jute.maxbuffer as a system property only, so that a line in
        // zoo.cfg silently does nothing there.
        if let Some(bytes) = self.number(keys, "jute.maxbuffer", 1024) {
            limits.frame_max = bytes as usize;
            limits.record_max = 2 * limits.frame_max;
        }
        if let Some(extra) = self.number(keys, "jute.maxbuffer.extrasize", 1024) {
            limits.record_max = limits.frame_max + extra as usize;
        }
        if let Some(connections) = self.number(keys, "maxClientCnxns", 0) {
            limits.conns_per_address_max = connections as usize;
        }
        if let Some(requests) = self.number(keys, "globalOutstandingLimit", 1) {
            limits.outstanding_max = requests as usize;
        }
        // ZK: ZooKeeperServer.getSnapCount (3.9): less than 2 counts as 2.
        if let Some(txns) = self.number(keys, "snapCount", 0) {
            config.snap_count = txns.max(2);
        }
        if let Some(txns) = self.number(keys, "commitLogCount", 1) {
            config.commit_log_count = txns as usize;
        }
    }

    // ZK: ContainerManager, EphemeralType (3.9)
    pub(super) fn containers(&mut self, keys: &Properties, config: &mut Config) {
        if let Some(extended) = self.flag(keys, "extendedTypesEnabled") {
            config.extended_types = extended;
        }
        let containers = &mut config.containers;
        if let Some(interval) = self.millis(keys, "znode.container.checkIntervalMs", 1) {
            containers.check_interval = interval;
        }
        if let Some(most) = self.number(keys, "znode.container.maxPerMinute", 1) {
            containers.per_minute_max = most;
        }
        if let Some(longest) = self.millis(keys, "znode.container.maxNeverUsedIntervalMs", 0) {
            containers.never_used_max = longest;
        }
    }

    pub(super) fn storage(&mut self, keys: &Properties, config: &Config) -> StorageConfig {
        let mut storage = ServerSettings::storage_of(config);
        if let Some(kilobytes) = self.number(keys, "preAllocSize", 0) {
            storage.prealloc_bytes = u64::from(kilobytes) * 1024;
        }
        storage
    }

    // ZK: QuorumPeerConfig.parseProperties, DatadirCleanupManager (3.9)
    pub(super) fn auto_purge(&mut self, keys: &Properties) -> Option<AutoPurge> {
        let keep = self.number(keys, "autopurge.snapRetainCount", 0).map_or(0, |n| n as usize);
        if let Some(property) =
            keys.get("autopurge.snapRetainCount").filter(|_| keep < PURGE_KEEPS_MIN)
        {
            let what = format!("autopurge.snapRetainCount: {PURGE_KEEPS_MIN} are kept at least");
            self.warn(&property.file, property.line, what);
        }
        let hours = self.number(keys, "autopurge.purgeInterval", 0).filter(|hours| *hours > 0)?;
        let every = Duration::from_secs(3600 * u64::from(hours));
        Some(AutoPurge { every, keep: keep.max(PURGE_KEEPS_MIN) })
    }
}
