//! The whole boundary between a server and whoever drives it, on one screen.
//!
//! Rules for a driver, all there are:
//! * feed every event to [`Server::handle`](super::Server::handle), drain
//!   [`Server::poll`](super::Server::poll), sleep until `deadline` or the next event;
//! * keep the order of messages on a link, of messages on a connection, and of [`StoreOp`]s;
//! * report [`Event::Durable`] only for what would survive a power loss now.
//!
//! Anything may come early, late or twice otherwise; there is no call order to get wrong.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use super::machine::Machine;
use crate::config::Ensemble;
use crate::ids::{ConnId, Epoch, LinkId, ServerId, SessionId, Zxid};
use crate::proto::{ClientMessage, ClientRequest, Notification, QuorumPacket};
use crate::tree::Database;
use crate::txn::Entry;

/// What happened.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Event {
    /// Time passed. Early is harmless.
    Wake,
    /// A connection to a peer stands. `peer` is known after the election handshake and for dialled
    /// links; it is `None` for other accepted links, whose first packet tells.
    LinkUp {
        link: LinkId,
        port: Port,
        peer: Option<ServerId>,
        dialled: bool,
    },
    Peer {
        link: LinkId,
        message: PeerMessage,
    },
    LinkDown {
        link: LinkId,
    },
    DialFailed {
        to: ServerId,
        port: Port,
    },
    /// A client connected from `address` (textual, `/ip:port` parts: ip and port).
    ConnOpen {
        conn: ConnId,
        ip: String,
        port: u16,
    },
    Client {
        conn: ConnId,
        request: ClientRequest,
    },
    ConnGone {
        conn: ConnId,
    },
    /// What the process and its files are like, before a four-letter word that shows it.
    Machine(Box<Machine>),
    /// The answer to [`Action::AwaitDrained`]: little of what was sent before it is left.
    ConnDrained {
        conn: ConnId,
    },
    /// This store operation and all before it would survive a power loss.
    Durable {
        upto: Ticket,
    },
    /// The answer to [`StoreOp::Truncate`]: cut, durable, and read back from disk.
    Truncated {
        ticket: Ticket,
        recovered: Box<Recovered>,
    },
    /// The answer to [`Action::ReadLog`]: the transactions in order, or nothing, where the log has them
    /// not, or too many.
    LogRead {
        link: LinkId,
        above: Zxid,
        entries: Option<Vec<Entry>>,
    },
    /// A background snapshot is durable and visible.
    SnapshotTaken {
        zxid: Zxid,
    },
    /// Storage failed; nothing after the last `Durable` may be believed.
    StoreFailed {
        what: String,
    },
}

/// What to do.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Action {
    /// Connect to a port of a peer; answered by `LinkUp` or `DialFailed`.
    Dial {
        to: ServerId,
        port: Port,
    },
    Send {
        link: LinkId,
        message: PeerMessage,
    },
    /// Flush what was sent, then close.
    CloseLink {
        link: LinkId,
        why: CloseReason,
    },
    Reply {
        conn: ConnId,
        message: ClientMessage,
    },
    /// Say `ConnDrained` when most of what was replied so far is on its way: no more is answered
    /// before.
    AwaitDrained {
        conn: ConnId,
    },
    /// Flush what was replied, then close; at once if `why` says that it is not read. No `ConnGone`
    /// need follow.
    CloseConn {
        conn: ConnId,
        why: CloseReason,
    },
    /// In the order of tickets, which count up by one.
    Store {
        ticket: Ticket,
        op: StoreOp,
    },
    /// Read the log above one transaction up to another, for the learner at `link`; beside everything
    /// else. See [`crate::storage::read_log`].
    ReadLog {
        link: LinkId,
        above: Zxid,
        upto: Zxid,
    },
    /// Write this state as a snapshot, beside everything else; at most one is under way. What was stored
    /// before is durable before the snapshot takes its name: it may have what the log has not yet, and
    /// when that is lost the log goes on behind a gap.
    TakeSnapshot {
        database: Box<Database>,
    },
    /// Who is in the ensemble, to be found again at the next start: what is committed, and what is
    /// proposed. Addresses of this server that changed are to be listened on from now on.
    Reconfigure {
        committed: Box<Ensemble>,
        proposed: Option<Box<Ensemble>>,
    },
    /// For logs, metrics and traces; nothing depends on it.
    Note(Note),
    /// Stop this server: going on could lose or fork data.
    Halt {
        why: String,
    },
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum Port {
    Election,
    Quorum,
    /// Where a follower serves observers.
    ObserverMaster,
}

/// Number of a store operation.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default, Serialize, Deserialize)]
pub struct Ticket(pub u64);

/// What must become durable.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum StoreOp {
    Append(Vec<Entry>),
    /// Cut the log behind `after`, drop newer snapshots, recover from what is left, and answer
    /// `Truncated`.
    Truncate {
        after: Zxid,
    },
    SaveAcceptedEpoch(Epoch),
    SaveCurrentEpoch(Epoch),
    /// A snapshot received from the leader replaces everything: drop log records above its zxid,
    /// make it durable, then drop the older log.
    Install(Box<Database>),
}

/// acceptedEpoch and currentEpoch (Zab paper: f.p and f.a), as the files say.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Epochs {
    pub accepted: Epoch,
    pub current: Epoch,
}

/// What a disk held: the newest usable snapshot with the log replayed over it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Recovered {
    pub database: Database,
    /// The oldest zxid to which the log could be cut back: that of a snapshot from which it leads here.
    pub base: Zxid,
    /// The newest entries of the log, at most `commit_log_count`, contiguous, ending at
    /// `database.last_processed`.
    pub window: Vec<Entry>,
    pub epochs: Epochs,
}

/// Between servers.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum PeerMessage {
    Election(Notification),
    Quorum(QuorumPacket),
    /// The stream behind a SNAP packet: encoded piece by piece as the link drains, decoded piece by
    /// piece as it fills. Its `last_processed` is the SNAP packet's zxid.
    Snapshot(Arc<Database>),
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum CloseReason {
    /// The other side asked for it.
    Done,
    SessionClosed(SessionId),
    SessionMoved(SessionId),
    SessionRefused,
    /// The session was renewed over another connection of this server.
    Replaced(SessionId),
    ClientAhead {
        seen: Zxid,
        ours: Zxid,
    },
    NotServing,
    /// Its address has as many as `maxClientCnxns` allows.
    TooManyConnections,
    /// This server has as many as `maxCnxns` allows.
    ServerFull,
    /// Sessions are asked for faster than the connection throttle allows.
    Throttled,
    /// A request waited so long that its client will not have waited for it.
    Stale,
    /// It leaves unread what it is sent.
    Unread,
    /// Nothing came for as long as a session lives, and the session lives elsewhere, or ends.
    Silent(SessionId),
    ReadOnly,
    /// A smaller id's dial is only a request to be called back.
    SmallerId,
    Superseded,
    PeerTimeout,
    TermOver,
    Misbehaved(String),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum RoleName {
    Looking,
    Following,
    Leading,
    Observing,
}

/// Remarks, for people and for counting.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Note {
    Role(RoleName),
    /// This server leads `epoch`: a quorum acknowledged NEWLEADER.
    Established {
        epoch: Epoch,
    },
    /// This server follows and serves.
    UpToDate {
        epoch: Epoch,
        leader: ServerId,
    },
    /// How a learner was synchronized.
    Sync {
        learner: ServerId,
        how: SyncKind,
        from: Zxid,
        upto: Zxid,
    },
    Delivered {
        zxid: Zxid,
    },
    SessionOpened(SessionId),
    SessionExpired(SessionId),
    /// The leader proposed to remove a container that ran empty or a TTL node whose time is up.
    ContainerRemoved(String),
    SessionMoved(SessionId),
    /// A local session is on its way to become a global one.
    SessionUpgrading(SessionId),
    /// Clients that ask for it are served without a quorum, or are not any more.
    ReadOnly(bool),
    /// This server leads, and below a path that has a quota lies more than the limit that only warns.
    QuotaExceeded {
        path: String,
        of: QuotaOf,
        current: i64,
        limit: i64,
    },
    DigestMismatch {
        zxid: Zxid,
        expected: u64,
        found: u64,
    },
    Refused(String),
}

/// What a quota counts.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub enum QuotaOf {
    Znodes,
    Bytes,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub enum SyncKind {
    Diff,
    Trunc,
    Snap,
}
