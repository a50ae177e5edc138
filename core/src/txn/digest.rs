//! The tree's digest (upstream: `DigestCalculator`, version 2).

/// The only version there is today.
pub const VERSION: i32 = 2;
