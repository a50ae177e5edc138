//! Tests of whole servers through the boundary, without a simulator's faults.

mod auth;
mod bad_input;
mod cluster;
mod limits;
#[path = "../common/one_of_each.rs"]
mod one_of_each;
mod quotas;
mod survives;
mod upstream;
mod watches;
mod zab;
