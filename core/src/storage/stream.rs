//! The database as bytes: sessions, access control lists, znodes. The same in a snapshot file
//! ([`super::snapshot`]) and behind a SNAP packet, where it ends with a mark of its own.
//!
//! ```text
//! int count, (long session, int timeout)*
//! int count, (long id, vector<ACL>)*
//! (ustring path, buffer data, long ACL id, 60 bytes of stat)*    parents first, the root's path is ""
//! ustring "/"
//! ```
//!
//! Both ways it goes piece by piece, so that nobody waits for a large tree.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::Bound;

use bytes::Bytes;

use crate::ids::SessionId;
use crate::jute::{DecodeError, Reader, Write};
use crate::proto::{Acl, Id, StatPersisted, perms};
use crate::tree::{Database, Walk};

/// The ACL id of world:anyone with all permissions, which no table lists.
const OPEN_ACL_ID: i64 = -1;
const END_OF_NODES: &str = "/";
// ZK: LearnerHandler.syncFollower, Learner.syncWithLeader (3.9)
const STREAM_MARK: &str = "BenWasHere";

/// Writes what stands behind a SNAP packet.
#[derive(Clone, Debug)]
pub struct StreamEncoder {
    /// `None` when all is written.
    body: Option<BodyEncoder>,
}

impl StreamEncoder {
    pub fn new(database: Arc<Database>) -> Self {
        Self { body: Some(BodyEncoder::new(database)) }
    }

    /// Appends until `out` holds `target` bytes or all is written. True if there is more.
    pub fn encode(&mut self, out: &mut Vec<u8>, target: usize) -> bool {
        let Some(body) = &mut self.body else { return false };
        if body.encode(out, target) {
            return true;
        }
        out.put_string(STREAM_MARK);
        self.body = None;
        false
    }
}

/// Reads what stands behind a SNAP packet.
#[derive(Clone, Debug)]
pub struct StreamDecoder {
    body: BodyDecoder,
    /// What came behind the znodes so far.
    mark: Option<Vec<u8>>,
}

impl StreamDecoder {
    pub fn new(record_max: usize) -> Self {
        Self { body: BodyDecoder::new(record_max), mark: None }
    }

    /// Takes the next bytes. When the stream ends in them: the database, and how many of `bytes`
    /// belong to it. Its `last_processed` is the SNAP packet's to say.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<Option<(Database, usize)>, DecodeError> {
        let mut used = 0;
        if self.mark.is_none() {
            let Some(consumed) = self.body.feed(bytes)? else { return Ok(None) };
            used = consumed;
            self.mark = Some(Vec::new());
        }
        let mark = self.mark.get_or_insert_default();
        let mut expected = Vec::new();
        expected.put_string(STREAM_MARK);
        let missing = expected.len() - mark.len();
        let rest = &bytes[used..];
        let part = &rest[..rest.len().min(missing)];
        mark.extend_from_slice(part);
        if !expected.starts_with(mark) {
            let at = mark.iter().zip(&expected).take_while(|(found, wanted)| found == wanted);
            let what = "first byte of the mark behind a snapshot that differs";
            return Err(DecodeError::Undefined { what, value: at.count() as i64 });
        }
        if mark.len() < expected.len() {
            return Ok(None);
        }
        let (database, _) = self.body.take();
        Ok(Some((database, used + part.len())))
    }
}

/// Writes everything up to the "/" behind the znodes.
#[derive(Clone, Debug)]
pub(crate) struct BodyEncoder {
    database: Arc<Database>,
    acl_ids: BTreeMap<Arc<[Acl]>, i64>,
    next: Section,
}

#[derive(Clone, Debug)]
enum Section {
    SessionCount,
    /// Those behind this one.
    Sessions(Option<SessionId>),
    Acls,
    Nodes(Walk),
    Done,
}

impl BodyEncoder {
    pub(crate) fn new(database: Arc<Database>) -> Self {
        let lists = database.tree.acl_lists().filter(|list| !is_open(list));
        let acl_ids = lists.cloned().zip(1..).collect();
        Self { database, acl_ids, next: Section::SessionCount }
    }

    /// Appends until `out` holds `target` bytes or all is written. True if there is more.
    pub(crate) fn encode(&mut self, out: &mut Vec<u8>, target: usize) -> bool {
        while out.len() < target {
            match &mut self.next {
                Section::SessionCount => {
                    out.put_count(self.database.sessions.len());
                    self.next = Section::Sessions(None);
                }
                Section::Sessions(behind) => {
                    let range =
                        (behind.map_or(Bound::Unbounded, Bound::Excluded), Bound::Unbounded);
                    match self.database.sessions.range(range).next() {
                        Some((session, timeout_ms)) => {
                            out.put_i64(session.0 as i64);
                            out.put_i32(*timeout_ms);
                            *behind = Some(*session);
                        }
                        None => self.next = Section::Acls,
                    }
                }
                Section::Acls => {
                    out.put_count(self.acl_ids.len());
                    for (list, id) in &self.acl_ids {
                        out.put_i64(*id);
                        Acl::encode_list(list, out);
                    }
                    self.next = Section::Nodes(self.database.tree.walk());
                }
                Section::Nodes(walk) => match walk.next(&self.database.tree) {
                    Some((path, node)) => {
                        out.put_string(if path == "/" { "" } else { &path });
                        out.put_buffer(node.data.map(|data| &data[..]));
                        out.put_i64(self.acl_ids.get(node.acl).copied().unwrap_or(OPEN_ACL_ID));
                        node.stat.encode(out);
                    }
                    None => {
                        out.put_string(END_OF_NODES);
                        self.next = Section::Done;
                    }
                },
                Section::Done => return false,
            }
        }
        !matches!(self.next, Section::Done)
    }
}

fn is_open(list: &[Acl]) -> bool {
    matches!(list, [one] if one.perms == perms::ALL && one.id.scheme == "world" && one.id.id == "anyone")
}

/// A znode whose ACL id is in no table: its list changed while the snapshot was written, and the
/// log says to what.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Dangling {
    pub path: String,
    pub acl_id: i64,
}

/// What such a znode has until then: nobody may do anything.
// Departs: upstream fails on the first use of it, and lets everybody in where a list is empty.
pub(crate) fn dangling_acl() -> Arc<[Acl]> {
    [Acl { perms: 0, id: Id { scheme: "world".into(), id: "anyone".into() } }].into()
}

/// Reads everything up to the "/" behind the znodes.
#[derive(Clone, Debug)]
pub(crate) struct BodyDecoder {
    record_max: usize,
    /// The beginning of a record whose end has not come.
    pending: Vec<u8>,
    expect: Expect,
    database: Database,
    acls: BTreeMap<i64, Arc<[Acl]>>,
    dangling: Vec<Dangling>,
}

#[derive(Clone, Copy, Debug)]
enum Expect {
    SessionCount,
    Sessions { left: usize },
    AclCount,
    Acls { left: usize },
    Nodes,
    Nothing,
}

impl BodyDecoder {
    pub(crate) fn new(record_max: usize) -> Self {
        let acls = [(OPEN_ACL_ID, Acl::open().into())].into();
        Self {
            record_max,
            pending: Vec::new(),
            expect: Expect::SessionCount,
            database: Database::new(),
            acls,
            dangling: Vec::new(),
        }
    }

    /// Takes the next bytes. At the end of the body: how many of them belong to it.
    pub(crate) fn feed(&mut self, bytes: &[u8]) -> Result<Option<usize>, DecodeError> {
        let held = self.pending.len();
        self.pending.extend_from_slice(bytes);
        let all = Bytes::from(core::mem::take(&mut self.pending));
        let mut reader = Reader::new(all.clone(), self.record_max);
        loop {
            let before = reader.clone();
            match self.step(&mut reader) {
                Ok(()) if matches!(self.expect, Expect::Nothing) => {
                    self.database.tree.loaded();
                    return Ok(Some(all.len() - reader.remaining() - held));
                }
                Ok(()) => {}
                Err(DecodeError::Short { wanted, .. }) if self.may_come(wanted, &before) => {
                    self.pending = all[all.len() - before.remaining()..].to_vec();
                    return Ok(None);
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// The database, and what it lacks. Once, at the end.
    pub(crate) fn take(&mut self) -> (Database, Vec<Dangling>) {
        (core::mem::take(&mut self.database), core::mem::take(&mut self.dangling))
    }

    /// Is a record that needs `wanted` more bytes worth waiting for? Only a list of access control
    /// entries can be longer than a path, data and a stat.
    fn may_come(&self, wanted: usize, record: &Reader) -> bool {
        let record_max = self.record_max.saturating_mul(2).saturating_add(1024);
        wanted <= record_max && record.remaining() <= record_max
    }

    // ZK: SerializeUtils.deserializeSnapshot, DataTree.deserialize (3.9)
    fn step(&mut self, reader: &mut Reader) -> Result<(), DecodeError> {
        match self.expect {
            Expect::SessionCount => {
                self.expect = Expect::Sessions { left: read_count(reader, "count of sessions")? };
            }
            Expect::Sessions { left: 0 } => self.expect = Expect::AclCount,
            Expect::Sessions { left } => {
                let session = SessionId(reader.i64()? as u64);
                self.database.sessions.insert(session, reader.i32()?);
                self.expect = Expect::Sessions { left: left - 1 };
            }
            Expect::AclCount => {
                self.expect = Expect::Acls { left: read_count(reader, "count of ACLs")? };
            }
            Expect::Acls { left: 0 } => self.expect = Expect::Nodes,
            Expect::Acls { left } => {
                let id = reader.i64()?;
                let list = Acl::decode_list(reader)?;
                self.acls.insert(id, list.into());
                self.expect = Expect::Acls { left: left - 1 };
            }
            Expect::Nodes => {
                let path = reader.string()?.ok_or(DecodeError::Null { what: "path" })?;
                if path == END_OF_NODES {
                    self.expect = Expect::Nothing;
                } else {
                    self.read_node(path, reader)?;
                }
            }
            Expect::Nothing => {}
        }
        Ok(())
    }

    fn read_node(&mut self, path: String, reader: &mut Reader) -> Result<(), DecodeError> {
        // A copy, or a few bytes of data would keep the whole piece alive that they came in.
        let data = reader.buffer()?.map(|data| Bytes::copy_from_slice(&data));
        let acl_id = reader.i64()?;
        let stat = StatPersisted::decode(reader)?;
        let acl = self.acls.get(&acl_id).cloned();
        let dangles = acl.is_none();
        let acl = acl.unwrap_or_else(dangling_acl);
        self.database.tree.load(&path, data, acl, stat).map_err(|_| DecodeError::Undefined {
            what: "path length of a znode that has no parent here",
            value: path.len() as i64,
        })?;
        if dangles {
            self.dangling.push(Dangling { path, acl_id });
        }
        Ok(())
    }
}

fn read_count(reader: &mut Reader, what: &'static str) -> Result<usize, DecodeError> {
    let count = reader.i32()?;
    usize::try_from(count).map_err(|_| DecodeError::Undefined { what, value: i64::from(count) })
}
