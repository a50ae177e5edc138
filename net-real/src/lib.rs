//! Zebu's production driver: it moves bytes between sockets, disks and [`zebu_core`], and holds what
//! is operational. It decides nothing about the protocol.
//!
//! * [`driver`]: the task that owns core, a turn at a time;
//! * `connection`: the task that owns a stream; `client_port` and `peer_link` are its three kinds;
//! * `inbox` and `outbox`: what lies between; `load`: what all clients together ask;
//! * [`disk`]: the log's thread and the files, behind traits;
//! * [`zoo_cfg`] and [`settings`]: what an operator says;
//! * [`cli`]: `zebu cli`; [`tools`]: `zebu log` and `zebu snapshot`, which look into files.
//!
//! All but the command line also compiles under `--cfg madsim`, where tokio's name stands for a
//! simulation of it: no signals, no socket options, no `tokio::fs`, a flush after every write.

mod client_port;
mod connection;
mod directory;
pub mod disk;
pub mod driver;
mod inbox;
mod listeners;
mod load;
mod machine;
mod outbox;
mod peer_link;
mod ports;
mod reconfigure;
pub mod settings;
mod shared;
pub mod zoo_cfg;

#[cfg(not(madsim))]
mod birth;
#[cfg(not(madsim))]
pub mod cli;
#[cfg(not(madsim))]
mod files;
#[cfg(not(madsim))]
mod letters;
#[cfg(not(madsim))]
pub mod serve;
#[cfg(not(madsim))]
mod signals;
#[cfg(not(madsim))]
pub mod tools;
#[cfg(not(madsim))]
mod utc;
