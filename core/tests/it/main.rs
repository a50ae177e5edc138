//! Tests of whole servers through the boundary, without a simulator's faults.

mod asking;
mod auth;
mod bad_input;
mod cluster;
mod groups;
mod limits;
mod local_sessions;
mod observer_masters;
mod observers;
#[path = "../common/one_of_each.rs"]
mod one_of_each;
mod quotas;
mod read_only;
mod reconfig;
mod settings;
mod survives;
mod upstream;
mod watches;
mod zab;
