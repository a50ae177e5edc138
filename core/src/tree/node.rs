//! One znode: what is stored, and how a client sees it.

use alloc::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::names::Names;
use super::slab::NodeId;
use crate::ids::SessionId;
use crate::proto::{Acl, Stat, StatPersisted};
use crate::txn::digest;

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Znode {
    pub(super) data: Option<Bytes>,
    pub(super) acl: Arc<[Acl]>,
    pub(super) stat: StatPersisted,
    pub(super) children: Names<NodeId>,
    /// See [`digest::content`].
    pub(super) content: Option<u32>,
}

impl Znode {
    pub(super) fn digest(&self) -> u64 {
        self.content.map_or(0, |content| digest::with_stat(content, &self.stat))
    }

    pub(super) fn data_len(&self) -> usize {
        self.data.as_ref().map_or(0, Bytes::len)
    }

    pub(super) fn view(&self) -> Node<'_> {
        Node {
            data: self.data.as_ref(),
            acl: &self.acl,
            stat: &self.stat,
            num_children: self.children.len(),
        }
    }
}

/// One znode, borrowed.
#[derive(Clone, Copy, Debug)]
pub struct Node<'a> {
    pub data: Option<&'a Bytes>,
    pub acl: &'a [Acl],
    pub stat: &'a StatPersisted,
    pub num_children: usize,
}

impl Node<'_> {
    /// The Stat that clients see.
    // ZK: DataNode.copyStat (3.9)
    pub fn client_stat(&self) -> Stat {
        let stat = self.stat;
        let num_children = self.num_children as i32;
        Stat {
            czxid: stat.czxid,
            mzxid: stat.mzxid,
            ctime: stat.ctime,
            mtime: stat.mtime,
            version: stat.version,
            cversion: stat.cversion.wrapping_mul(2).wrapping_sub(num_children),
            aversion: stat.aversion,
            ephemeral_owner: match self.owner() {
                Owner::Session(session) => session.0 as i64,
                Owner::Nobody | Owner::Container | Owner::Ttl { .. } => 0,
            },
            data_length: self.data.map_or(0, Bytes::len) as i32,
            num_children,
            pzxid: stat.pzxid,
        }
    }

    /// What keeps the znode alive.
    pub fn owner(&self) -> Owner {
        Owner::from_stored(self.stat.ephemeral_owner)
    }
}

/// What a stored `ephemeral_owner` says (upstream: `EphemeralType`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Owner {
    /// Persistent.
    Nobody,
    /// Goes when its last child has gone.
    Container,
    /// Goes when it has no children and was not changed for so long.
    Ttl { ms: i64 },
    /// Ephemeral.
    Session(SessionId),
}

impl Owner {
    const CONTAINER: i64 = i64::MIN;
    const TTL: u64 = 0xff00_0000_0000_0000;
    /// The largest time to live.
    pub const TTL_MAX_MS: i64 = (1 << 40) - 1;

    // Departs: upstream knows TTL nodes only while `extendedTypesEnabled` is on; else it takes them
    // for ephemerals of a dead session and deletes them at its start.
    pub const fn from_stored(stored: i64) -> Self {
        let bits = stored as u64;
        if stored == 0 {
            Self::Nobody
        } else if stored == Self::CONTAINER {
            Self::Container
        } else if bits & !(Self::TTL_MAX_MS as u64) == Self::TTL {
            Self::Ttl { ms: stored & Self::TTL_MAX_MS }
        } else {
            Self::Session(SessionId(bits))
        }
    }

    /// `None` for a time to live that cannot be stored.
    pub const fn to_stored(self) -> Option<i64> {
        match self {
            Self::Nobody => Some(0),
            Self::Container => Some(Self::CONTAINER),
            Self::Ttl { ms } if ms < 1 || ms > Self::TTL_MAX_MS => None,
            Self::Ttl { ms } => Some(Self::TTL as i64 | ms),
            Self::Session(session) => Some(session.0 as i64),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn owners_as_upstream_stores_them() {
        for (owner, stored) in [
            (Owner::Nobody, Some(0)),
            (Owner::Container, Some(0x8000_0000_0000_0000u64)),
            (Owner::Ttl { ms: 1 }, Some(0xff00_0000_0000_0001)),
            (Owner::Ttl { ms: Owner::TTL_MAX_MS }, Some(0xff00_00ff_ffff_ffff)),
            (Owner::Ttl { ms: 0 }, None),
            (Owner::Ttl { ms: -1 }, None),
            (Owner::Ttl { ms: Owner::TTL_MAX_MS + 1 }, None),
            (Owner::Session(SessionId(0x1_0000)), Some(0x1_0000)),
            (Owner::Session(SessionId(0xfe00_0000_0000_0001)), Some(0xfe00_0000_0000_0001)),
        ] {
            assert_eq!(owner.to_stored(), stored.map(|stored| stored as i64));
            if let Some(stored) = stored {
                assert_eq!(Owner::from_stored(stored as i64), owner);
            }
        }
    }
}
