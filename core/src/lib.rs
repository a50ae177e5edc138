//! ZooKeeper without IO.
//!
//! The service is three layers of state machines, each fed with what happened and asked what to do:
//!
//! * [`conn`]: one machine per socket, bytes to typed messages and back;
//! * [`server`]: one per process, [`server::Event`] in, [`server::Action`] out. It owns the
//!   [`tree`], the [`watch`]es, the [`session`]s and [`zab`];
//! * [`storage`]: what the server wants kept, turned into single file operations whose order makes
//!   it durable.
//!
//! [`client`] is the other end of a client connection. [`jute`] encodes, [`proto`] and [`txn`] are
//! the records, [`ops`] is what each request means, [`auth`] who asks.
//!
//! Nothing here reads a clock, draws a random number, opens a file or a socket, starts a thread or
//! looks at the environment; `no_std` makes that a compile error. The same inputs give the same
//! outputs, byte for byte.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod auth;
pub mod client;
pub mod config;
pub mod conn;
pub mod ids;
pub mod jute;
pub(crate) mod membership;
pub mod mutant;
pub mod ops;
pub mod proto;
pub mod rng;
pub mod server;
pub mod session;
pub mod storage;
pub mod time;
pub mod tree;
pub mod txn;
pub mod watch;
pub mod zab;
