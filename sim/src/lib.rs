//! The simulator.

pub mod checkers;
pub mod disk;
pub mod history;
pub mod model;
pub mod scenario;
