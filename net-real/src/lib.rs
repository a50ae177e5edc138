//! Zebu's production driver: it moves bytes between sockets, disks and [`zebu_core`], and holds what
//! is operational. It decides nothing about the protocol.

pub mod settings;
pub mod zoo_cfg;
