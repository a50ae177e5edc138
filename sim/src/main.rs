//! `cargo sim`: run, swarm, list.
fn main() {}
