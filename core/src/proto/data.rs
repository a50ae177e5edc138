//! Records of jute module `org.apache.zookeeper.data`.

use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::ids::Zxid;

/// Who: a scheme and an identity in it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct Id {
    pub scheme: String,
    pub id: String,
}

/// One entry of an access control list.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct Acl {
    /// Bits of [`perms`]; others are stored as they came.
    pub perms: i32,
    pub id: Id,
}

/// Permission bits (upstream: `ZooDefs.Perms`).
pub mod perms {
    pub const READ: i32 = 1;
    pub const WRITE: i32 = 2;
    pub const CREATE: i32 = 4;
    pub const DELETE: i32 = 8;
    pub const ADMIN: i32 = 16;
    pub const ALL: i32 = 31;
}

impl Acl {
    /// `world:anyone` with `perms`.
    pub fn world(perms: i32) -> Self {
        Self { perms, id: Id { scheme: "world".into(), id: "anyone".into() } }
    }
    /// Upstream's `OPEN_ACL_UNSAFE`.
    pub fn open() -> Vec<Self> {
        [Self::world(perms::ALL)].into()
    }
}

/// A znode's Stat as a client sees it (68 bytes).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Stat {
    pub czxid: Zxid,
    pub mzxid: Zxid,
    /// Milliseconds since 1970.
    pub ctime: i64,
    pub mtime: i64,
    pub version: i32,
    /// Creations and deletions of children: `2 * stored - num_children`.
    pub cversion: i32,
    pub aversion: i32,
    /// The owning session, 0 for anything but an ephemeral.
    pub ephemeral_owner: i64,
    pub data_length: i32,
    pub num_children: i32,
    pub pzxid: Zxid,
}

/// A znode's Stat as log and snapshot keep it (60 bytes). `cversion` counts creations of children;
/// `ephemeral_owner` also marks containers and TTL nodes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct StatPersisted {
    pub czxid: Zxid,
    pub mzxid: Zxid,
    pub ctime: i64,
    pub mtime: i64,
    pub version: i32,
    pub cversion: i32,
    pub aversion: i32,
    pub ephemeral_owner: i64,
    pub pzxid: Zxid,
}
