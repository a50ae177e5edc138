//! What a server writes beyond the least, and how often it takes a snapshot: upstream's settings, their
//! units and defaults. What is in the files themselves is [`crate::storage::Layout`]'s.

use serde::{Deserialize, Serialize};

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Records {
    /// `closeSessionTxn.enabled`: the end of a session names the ephemerals that go with it. Default
    /// true; servers of before 3.6 cannot read that.
    pub close_lists_ephemerals: bool,
    /// `snapSizeLimitInKb`, bytes here: a snapshot also after half to all of so many bytes of
    /// transactions, however few there were. 0 for never; default 4 GiB.
    pub snap_bytes: u64,
}

impl Default for Records {
    fn default() -> Self {
        Self { close_lists_ephemerals: true, snap_bytes: 4 << 30 }
    }
}
