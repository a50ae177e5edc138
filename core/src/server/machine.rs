//! What a server cannot know of itself: its process and its files. Only four-letter words show it.

use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::time::Duration;

/// The machine as the driver sees it just now; told before a word that shows it.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Machine {
    /// Where clients connect; `None` if they cannot.
    pub client_port: Option<u16>,
    /// `clientPortListenBacklog`; `None` leaves it to the system.
    pub backlog: Option<u32>,
    /// `nio.sessionlessCnxnTimeout`.
    pub handshake_timeout: Duration,
    /// Where snapshots are, and how many bytes there.
    pub data: Directory,
    /// Where logs are.
    pub log: Directory,
    pub open_files: Option<u64>,
    pub open_files_max: Option<u64>,
    pub traffic: Traffic,
    /// Syncs of the log, in milliseconds.
    pub syncs: Measured,
    /// Properties of the process under Java's names, in the order of `envi`.
    pub environment: Vec<(String, String)>,
}

#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Directory {
    pub path: String,
    pub bytes: u64,
}

/// What passed the client port.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Traffic {
    pub bytes_received: u64,
    /// Bytes of all replies.
    pub bytes_sent: u64,
    /// Connections that said nothing in time.
    pub silent: u64,
    /// Requests that were too large for the bytes that large ones may have.
    pub large_refused: u64,
    /// Bytes of a reply: last, least, most.
    pub reply: Option<(u64, u64, u64)>,
}

/// How often something was measured, and what that came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Measured {
    pub count: u64,
    pub sum: u64,
    pub least: u64,
    pub most: u64,
}
