//! Where numbers end. The formats say so, and upstream has no settings for it: no simulation would ever
//! come as far, so it brings the ends nearer.

use serde::{Deserialize, Serialize};

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Edges {
    /// The last counter of a zxid that an epoch may have; the default leaves it to the format.
    pub counter_max: u32,
}

impl Default for Edges {
    fn default() -> Self {
        Self { counter_max: u32::MAX }
    }
}
