//! Records of jute module `org.apache.zookeeper.data`.

use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::ids::Zxid;
use crate::jute::{DecodeError, Reader, Write};
use crate::time::WallTime;

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

impl StatPersisted {
    /// Of a znode that `zxid` creates.
    // ZK: DataTree.createStat (3.9)
    pub fn created(zxid: Zxid, time: WallTime, ephemeral_owner: i64) -> Self {
        Self {
            czxid: zxid,
            mzxid: zxid,
            pzxid: zxid,
            ctime: time.0,
            mtime: time.0,
            ephemeral_owner,
            ..Self::default()
        }
    }
}

impl Id {
    /// Bytes that an id takes at least.
    pub const BYTES_MIN: usize = 8;

    pub fn encode(&self, out: &mut Vec<u8>) {
        out.put_string(&self.scheme);
        out.put_string(&self.id);
    }
    /// Null is read as empty: kazoo writes the id of scheme `auth`, which says nothing, so; and
    /// neither a null scheme nor an empty one is a scheme.
    // Departs: of other schemes than `auth`, upstream trips over a null id, MARSHALLINGERROR, where
    // we refuse an empty one.
    pub fn decode(from: &mut Reader) -> Result<Self, DecodeError> {
        let scheme = from.string()?.unwrap_or_default();
        Ok(Self { scheme, id: from.string()?.unwrap_or_default() })
    }
}

impl Acl {
    /// Bytes that an entry takes at least.
    pub const BYTES_MIN: usize = 4 + Id::BYTES_MIN;

    pub fn encode(&self, out: &mut Vec<u8>) {
        out.put_i32(self.perms);
        self.id.encode(out);
    }
    pub fn decode(from: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Self { perms: from.i32()?, id: Id::decode(from)? })
    }
    pub fn encode_list(list: &[Self], out: &mut Vec<u8>) {
        out.put_count(list.len());
        for acl in list {
            acl.encode(out);
        }
    }
    /// As [`Self::decode_list`], but there must be a list.
    pub fn decode_list_not_null(from: &mut Reader) -> Result<Vec<Self>, DecodeError> {
        if from.clone().i32()? == -1 {
            return Err(DecodeError::Null { what: "access control list" });
        }
        Self::decode_list(from)
    }
    /// A null list is read as empty.
    pub fn decode_list(from: &mut Reader) -> Result<Vec<Self>, DecodeError> {
        let count = from.count(Self::BYTES_MIN)?;
        (0..count).map(|_| Self::decode(from)).collect()
    }
}

/// Jute's way with a record of plain fields: one behind the other, in this order.
macro_rules! fields_in_order {
    ($record:ident: $($field:ident),*) => {
        impl $record {
            pub fn encode(&self, out: &mut Vec<u8>) {
                $(self.$field.put(out);)*
            }
            pub fn decode(from: &mut Reader) -> Result<Self, DecodeError> {
                Ok(Self { $($field: Field::take(from)?),* })
            }
        }
    };
}

fields_in_order!(Stat: czxid, mzxid, ctime, mtime, version, cversion, aversion, ephemeral_owner,
    data_length, num_children, pzxid);
fields_in_order!(StatPersisted: czxid, mzxid, ctime, mtime, version, cversion, aversion,
    ephemeral_owner, pzxid);

trait Field: Sized {
    fn put(self, out: &mut Vec<u8>);
    fn take(from: &mut Reader) -> Result<Self, DecodeError>;
}

impl Field for i32 {
    fn put(self, out: &mut Vec<u8>) {
        out.put_i32(self);
    }
    fn take(from: &mut Reader) -> Result<Self, DecodeError> {
        from.i32()
    }
}

impl Field for i64 {
    fn put(self, out: &mut Vec<u8>) {
        out.put_i64(self);
    }
    fn take(from: &mut Reader) -> Result<Self, DecodeError> {
        from.i64()
    }
}

impl Field for Zxid {
    fn put(self, out: &mut Vec<u8>) {
        out.put_i64(self.to_wire());
    }
    fn take(from: &mut Reader) -> Result<Self, DecodeError> {
        from.i64().map(Self::from_wire)
    }
}

/// A string that may not be null.
pub(crate) fn required(from: &mut Reader, what: &'static str) -> Result<String, DecodeError> {
    from.string()?.ok_or(DecodeError::Null { what })
}

/// A vector of strings; a null vector is read as empty, a null string is an error.
pub(crate) fn strings(from: &mut Reader, what: &'static str) -> Result<Vec<String>, DecodeError> {
    const STRING_MIN_BYTES: usize = 4;
    let count = from.count(STRING_MIN_BYTES)?;
    (0..count).map(|_| required(from, what)).collect()
}

pub(crate) fn put_strings(list: &[String], out: &mut Vec<u8>) {
    out.put_count(list.len());
    for text in list {
        out.put_string(text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_null_scheme_and_a_null_id_are_empty() {
        let read = |bytes: Vec<u8>| Id::decode(&mut Reader::new(bytes.into(), 100));
        let null = [0xFF; 4];
        let auth = Id { scheme: "auth".into(), id: String::new() };
        assert_eq!(read([&[0, 0, 0, 4][..], b"auth", &null].concat()), Ok(auth));
        let nothing = Id { scheme: String::new(), id: String::new() };
        assert_eq!(read([null, null].concat()), Ok(nothing));
    }
}
