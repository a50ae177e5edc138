//! Whether the ensemble may be changed while it runs.

use serde::{Deserialize, Serialize};

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Reconfig {
    /// `reconfigEnabled`; default false. The same at all servers of an ensemble.
    pub enabled: bool,
    /// `standaloneEnabled`: an ensemble of one is none, and cannot be made or grown by
    /// reconfiguration; default true.
    pub standalone: bool,
}

impl Default for Reconfig {
    fn default() -> Self {
        Self { enabled: false, standalone: true }
    }
}
