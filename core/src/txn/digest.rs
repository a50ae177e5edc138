//! The tree's digest (upstream: `DigestCalculator`, version 2).
