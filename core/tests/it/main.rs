//! Tests of whole servers through the boundary, without a simulator's faults.

mod cluster;
mod watches;
mod zab;
