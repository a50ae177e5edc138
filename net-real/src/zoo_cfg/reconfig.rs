//! Whether the ensemble may be changed while it runs, and where that is written down.

use std::path::Path;

use zebu_core::config::Reconfig;

use super::{ConfigFiles, Properties, Reader};
use crate::settings::ServerSettings;

impl Reader {
    // ZK: QuorumPeerConfig.parseProperties (3.9): reconfigEnabled, standaloneEnabled
    pub(super) fn reconfig(
        &mut self,
        path: &Path,
        keys: &Properties,
        settings: &mut ServerSettings,
    ) {
        let defaults = Reconfig::default();
        let enabled = self.flag(keys, "reconfigEnabled").unwrap_or(defaults.enabled);
        let standalone = self.flag(keys, "standaloneEnabled").unwrap_or(defaults.standalone);
        settings.config.reconfig = Reconfig { enabled, standalone };
        settings.config_files = enabled.then(|| ConfigFiles::beside(path.to_owned()));
    }
}
