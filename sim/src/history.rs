//! What the simulator saw: the one stream that checkers, counters and trace hashes are made of.
//!
//! It is taken at the edges (calls and replies at the clients, messages handed to the network,
//! operations on the simulated disks), never from inside a server.

use zebu_core::client::{CallId, Outcome, SessionEvent};
use zebu_core::ids::ServerId;
use zebu_core::proto::{ClientMessage, ClientRequest, Request, WatcherEvent};
use zebu_core::server::{Action, Event};
use zebu_core::storage::DiskOp;
use zebu_core::tree::Database;

use crate::disk::SimDisk;

/// True time: nanoseconds since the run began. No server knows it.
pub type SimTime = u64;

/// One of the scenario's clients.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ClientId(pub usize);

/// One thing that happened.
#[derive(Debug)]
pub enum Observation<'a> {
    /// A server process began, recovered from its disk.
    Started {
        server: ServerId,
    },
    /// A server process ended: power loss or kill, or by its own `Halt`.
    Stopped {
        server: ServerId,
        why: StopReason,
    },
    /// A server's disk could not be started from.
    NotStarted {
        server: ServerId,
        why: &'a str,
    },
    /// A server's disk was replaced by an empty one.
    Wiped {
        server: ServerId,
    },
    /// What a server is told, just before it is told.
    Event {
        server: ServerId,
        event: &'a Event,
    },
    /// What a server hands out, as it hands it out.
    Action {
        server: ServerId,
        action: &'a Action,
    },
    /// A file operation, after it was performed (or refused by the simulated disk).
    Disk {
        server: ServerId,
        op: &'a DiskOp,
        done: bool,
    },
    Call {
        client: ClientId,
        call: CallId,
        request: &'a Request,
    },
    Completed {
        client: ClientId,
        call: CallId,
        outcome: &'a Outcome,
    },
    Watch {
        client: ClientId,
        zxid: i64,
        event: &'a WatcherEvent,
    },
    Session {
        client: ClientId,
        event: SessionEvent,
    },
    /// A client put this on its connection to `server`.
    Sent {
        client: ClientId,
        server: ServerId,
        request: &'a ClientRequest,
    },
    /// A client took this from its connection to `server`.
    Received {
        client: ClientId,
        server: ServerId,
        message: &'a ClientMessage,
    },
    /// A client's connection to `server` ended, seen from the client.
    Disconnected {
        client: ClientId,
    },
    /// The network between these two changed (both ways are told one by one).
    Link {
        from: ServerId,
        to: ServerId,
        open: bool,
    },
    /// Faults stop here; from now on progress is due.
    LivenessPhase,
    /// Clients stop; replicas must become equal.
    Quiet,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StopReason {
    PowerLoss,
    Kill,
    Halt,
    Shutdown,
}

/// The state of the world beside an observation.
#[derive(Debug)]
pub struct View<'a> {
    pub now: SimTime,
    pub servers: &'a [ServerView<'a>],
}

#[derive(Debug)]
pub struct ServerView<'a> {
    pub id: ServerId,
    /// The applied state of a running server, for comparing replicas only.
    pub database: Option<&'a Database>,
    pub disk: &'a SimDisk,
    /// How many connections have watches there, where that is known.
    pub watching: Option<usize>,
}

/// A promise that was broken: which, and by what.
#[derive(Clone, Debug)]
pub struct Violation {
    /// Its name in the property table, `Z-AGR` say.
    pub property: &'static str,
    pub what: String,
}

/// One promise, watched. Verdicts come from observations and the disks alone.
pub trait Checker {
    fn observe(&mut self, view: &View<'_>, what: &Observation<'_>) -> Result<(), Violation>;
    /// The run is over and everything that should come back has come back.
    fn finish(&mut self, view: &View<'_>) -> Result<(), Violation> {
        let _ = view;
        Ok(())
    }
}
