//! Tests of whole servers through the boundary, without a simulator's faults.

mod auth;
mod cluster;
mod quotas;
mod survives;
mod upstream;
mod watches;
mod zab;
