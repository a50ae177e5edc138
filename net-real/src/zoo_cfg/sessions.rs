//! Local sessions and read-only mode.

use zebu_core::config::{Config, LocalSessions};

use super::{Properties, Reader};

impl Reader {
    // ZK: QuorumPeerConfig.parseProperties, QuorumPeer.run (3.9)
    pub(super) fn sessions(&mut self, keys: &Properties, config: &mut Config) {
        let alone = config.ensemble.is_alone();
        let standalone = alone && self.flag(keys, "standaloneEnabled") != Some(false);
        let enabled = self.flag(keys, "localSessionsEnabled").unwrap_or(false);
        let upgrading = self.flag(keys, "localSessionsUpgradingEnabled").unwrap_or(false);
        if standalone {
            // Upstream's standalone server has global sessions whatever these say, and applications
            // may count on that.
            for (key, asked) in
                [("localSessionsEnabled", enabled), ("localSessionsUpgradingEnabled", upgrading)]
            {
                if let Some(property) = keys.get(key).filter(|_| asked) {
                    let what = format!(
                        "{key} has no effect on a server alone, unless standaloneEnabled=false"
                    );
                    self.warn(&property.file, property.line, what);
                }
            }
        } else {
            config.local_sessions = LocalSessions { enabled, upgrading };
        }
        // Departs: upstream takes this one as a system property only.
        if let Some(enabled) = self.flag(keys, "readonlymode.enabled") {
            config.read_only_mode.enabled = enabled;
        }
    }
}
