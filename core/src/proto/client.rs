//! Records of jute module `org.apache.zookeeper.proto`: what clients and servers say to each other.

use alloc::string::String;
use alloc::vec::Vec;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::ids::{SessionId, Xid, Zxid};

use super::{Acl, ErrorCode, Id, OpCode, Stat};

mod connect;
mod four_letter;
mod request;
mod response;
#[cfg(test)]
mod tests;
mod weight;

/// The first frame of a client.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ConnectRequest {
    pub protocol_version: i32,
    pub last_zxid_seen: Zxid,
    pub timeout_ms: i32,
    /// 0 asks for a new session.
    pub session: SessionId,
    /// Null is read as empty.
    pub password: Bytes,
    /// `None` when the client is too old to send the byte; it is then not answered either.
    pub read_only: Option<bool>,
}

/// The first frame of a server; `timeout_ms` 0 says that the session is refused.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ConnectResponse {
    pub protocol_version: i32,
    pub timeout_ms: i32,
    pub session: SessionId,
    pub password: [u8; 16],
    pub read_only: Option<bool>,
}

/// Whether a create makes an ephemeral, a sequential name, a container or a TTL node: the `flags`
/// field as it came; [`crate::ops`] judges it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct CreateRequest {
    pub path: String,
    /// Null and empty differ, and both are stored.
    pub data: Option<Bytes>,
    /// A null vector is read as empty; in a multi it makes the whole unreadable.
    pub acl: Vec<Acl>,
    pub flags: i32,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct CreateTtlRequest {
    pub create: CreateRequest,
    pub ttl_ms: i64,
}

/// Flags of a create (upstream: `CreateMode`).
pub mod create_flags {
    pub const PERSISTENT: i32 = 0;
    pub const EPHEMERAL: i32 = 1;
    pub const PERSISTENT_SEQUENTIAL: i32 = 2;
    pub const EPHEMERAL_SEQUENTIAL: i32 = 3;
    pub const CONTAINER: i32 = 4;
    pub const TTL: i32 = 5;
    pub const TTL_SEQUENTIAL: i32 = 6;
}

#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct SetWatches {
    pub relative_zxid: Zxid,
    pub data: Vec<String>,
    pub exist: Vec<String>,
    pub child: Vec<String>,
    /// Empty unless it came as setWatches2.
    pub persistent: Vec<String>,
    pub persistent_recursive: Vec<String>,
}

/// Asks for other members of the ensemble: some to come and some to go, or all of them anew.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ReconfigRequest {
    pub joining_servers: Option<String>,
    pub leaving_servers: Option<String>,
    pub new_members: Option<String>,
    /// The version that is to be replaced; -1 for any.
    pub config_version: i64,
}

/// How addWatch watches (upstream: `AddWatchMode`).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum AddWatchMode {
    Persistent = 0,
    PersistentRecursive = 1,
}

/// Which watches of a path checkWatches and removeWatches mean (upstream: `WatcherType`).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum WatcherType {
    Children = 1,
    Data = 2,
    Any = 3,
    Persistent = 4,
    PersistentRecursive = 5,
}

/// A request of a client after its handshake, by opcode. What is not carried out yet, and what
/// cannot be read, is here too: it must be answered in its place.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Request {
    Create(CreateRequest),
    Create2(CreateRequest),
    CreateContainer(CreateRequest),
    CreateTtl(CreateTtlRequest),
    Delete {
        path: String,
        version: i32,
    },
    Exists {
        path: String,
        watch: bool,
    },
    GetData {
        path: String,
        watch: bool,
    },
    SetData {
        path: String,
        data: Option<Bytes>,
        version: i32,
    },
    GetAcl {
        path: String,
    },
    SetAcl {
        path: String,
        acl: Vec<Acl>,
        version: i32,
    },
    GetChildren {
        path: String,
        watch: bool,
    },
    GetChildren2 {
        path: String,
        watch: bool,
    },
    Sync {
        path: String,
    },
    Ping,
    /// Only ever a part of `Multi`; alone it is answered Unimplemented, and the connection is closed.
    Check {
        path: String,
        version: i32,
    },
    /// Parts are Create, Create2, CreateContainer, CreateTtl, Delete, SetData or Check.
    Multi(Vec<Self>),
    Reconfig(ReconfigRequest),
    /// Parts are GetData or GetChildren, without watches.
    MultiRead(Vec<Self>),
    /// Of the asking session, below what the text begins with; null is read as empty, which is all.
    GetEphemerals {
        prefix: String,
    },
    /// All znodes below a path, at any depth.
    GetAllChildrenNumber {
        path: String,
    },
    WhoAmI,
    CheckWatches {
        path: String,
        watcher: WatcherType,
    },
    RemoveWatches {
        path: String,
        watcher: WatcherType,
    },
    SetWatches(SetWatches),
    AddWatch {
        path: String,
        mode: AddWatchMode,
    },
    Auth {
        scheme: String,
        auth: Credentials,
    },
    /// A step of a SASL login.
    Sasl {
        token: Bytes,
    },
    CloseSession,
    /// Made by servers for a client's ConnectRequest; from a client it is Unimplemented.
    CreateSession {
        timeout_ms: i32,
    },
    /// A known opcode whose body cannot be read: MarshallingError.
    Malformed(OpCode),
    /// An opcode that this server does not carry out for a client: Unimplemented, and the connection
    /// is closed.
    Unknown(i32),
}

/// What an auth packet proves its sender's identity with: a password, mostly, so it is never shown.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Credentials(pub Option<Bytes>);

impl<T: Into<Bytes>> From<T> for Credentials {
    fn from(credentials: T) -> Self {
        Self(Some(credentials.into()))
    }
}

impl core::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Credentials(..)")
    }
}

/// The body of a successful reply.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Response {
    /// delete, ping, setWatches, checkWatches, removeWatches, auth, closeSession, check: a header
    /// only.
    Empty,
    /// addWatch: upstream's `ErrorResponse`, which never tells of an error here.
    WatchAdded,
    /// create, sync.
    Path(String),
    /// create2, createContainer, createTTL.
    PathStat {
        path: String,
        stat: Stat,
    },
    /// exists, setData, setACL.
    Stat(Stat),
    Data {
        data: Option<Bytes>,
        stat: Stat,
    },
    Acl {
        acl: Vec<Acl>,
        stat: Stat,
    },
    Children(Vec<String>),
    Children2 {
        children: Vec<String>,
        stat: Stat,
    },
    /// multi, multiRead.
    Multi(Vec<MultiResult>),
    /// getEphemerals: whole paths.
    Ephemerals(Vec<String>),
    /// getAllChildrenNumber.
    Count(i32),
    /// whoAmI: schemes, and names without secrets (upstream: `ClientInfo`).
    Identities(Vec<Id>),
    /// sasl; null where the server takes no logins, or the login failed and does not matter.
    Sasl {
        token: Option<Bytes>,
    },
}

/// One operation's result inside the reply to a multi or a multiRead.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum MultiResult {
    Create {
        path: String,
    },
    /// create2, createContainer, createTTL: type 15 on the wire.
    Create2 {
        path: String,
        stat: Stat,
    },
    Delete,
    SetData {
        stat: Stat,
    },
    Check,
    /// Of a multiRead, as the next one.
    Data {
        data: Option<Bytes>,
        stat: Stat,
    },
    Children(Vec<String>),
    Error(ErrorCode),
}

/// What happened to a watched path.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum EventKind {
    NodeCreated = 1,
    NodeDeleted = 2,
    NodeDataChanged = 3,
    NodeChildrenChanged = 4,
}

/// A watch notification; its keeper state is always SyncConnected (3).
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct WatcherEvent {
    pub kind: EventKind,
    pub path: String,
}

/// Everything a client sends on its connection.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum ClientRequest {
    Connect(ConnectRequest),
    Request { xid: Xid, request: Request },
    FourLetterWord(FourLetterWord),
}

/// Everything a server sends on a client's connection.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum ClientMessage {
    Connected(ConnectResponse),
    Reply {
        xid: Xid,
        zxid: i64,
        result: Result<Response, ErrorCode>,
    },
    /// A SASL login failed. The one error with a body: a token that is null.
    LoginRefused {
        xid: Xid,
        code: ErrorCode,
    },
    /// `zxid` is the transaction's, or -1 for one made by setWatches.
    Event {
        zxid: i64,
        event: WatcherEvent,
    },
    /// The answer to a four-letter word; the connection is closed behind it.
    Text(String),
}

/// The commands of operators (upstream: `FourLetterCommands`).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub enum FourLetterWord {
    /// The configuration.
    Conf,
    /// The connections, in detail.
    Cons,
    /// Forget what was counted of the connections.
    Crst,
    /// Bytes in the data directories.
    Dirs,
    /// Sessions, their ephemerals, and when they and connections expire.
    Dump,
    /// The process's environment.
    Envi,
    /// The trace mask, which means nothing here.
    Gtmk,
    /// Digests of the tree at some zxids.
    Hash,
    /// Does this server take writes?
    Isro,
    /// Everything that is measured.
    Mntr,
    /// Are you alive?
    Ruok,
    /// Forget what was counted of the server.
    Srst,
    /// The server in a few lines.
    Srvr,
    /// The same with its connections.
    Stat,
    /// Sets the trace mask. The one word with an argument, 8 bytes.
    Stmk { mask: i64 },
    /// Who watches what, by session.
    Wchc,
    /// The same by path.
    Wchp,
    /// How many watches there are.
    Wchs,
    /// What a telnet client sends at ^C. Nobody answers it.
    Interrupt,
}
