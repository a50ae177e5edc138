//! What is in the files where upstream leaves a choice. Its readers decide by their own settings what
//! to expect at the end of a snapshot, so the files must follow what all servers are told.

use serde::{Deserialize, Serialize};

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Layout {
    /// `digest.enabled`: a snapshot ends with its tree's digest; default true.
    pub digest: bool,
    /// `serializeLastProcessedZxid.enabled`: and with its zxid; default true.
    pub last_processed: bool,
    /// `txnLogSizeLimitInKb`, bytes here: a log that is longer is not gone on with. `None` (-1 there),
    /// the default: only a snapshot ends one.
    pub log_bytes: Option<u64>,
}

impl Layout {
    /// Upstream's defaults.
    pub const DEFAULT: Self = Self { digest: true, last_processed: true, log_bytes: None };
}

impl Default for Layout {
    fn default() -> Self {
        Self::DEFAULT
    }
}
