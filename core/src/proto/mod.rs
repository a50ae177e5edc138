//! The records of the wire, by the jute modules that upstream declares them in.
//!
//! Types and their codecs live side by side. Meaning does not live here: see [`crate::ops`].

#[cfg(test)]
pub(crate) mod arbitrary;
pub mod client;
pub mod data;
pub mod election;
pub mod err;
pub mod opcode;
pub mod quorum;

pub use client::*;
pub use data::*;
pub use election::*;
pub use err::*;
pub use opcode::*;
pub use quorum::*;
