//! Snapshot files: [`super::stream`]'s bytes between a header and seals.
//!
//! ```text
//! "ZKSN", int version 2, long dbid -1
//! the database, see stream.rs
//! seal: long Adler-32 of all bytes before it, ustring "/"
//! optional: long zxid, int digest version 2, long tree digest; seal
//! optional: long last processed zxid; seal
//! ```
//!
//! Nothing says which sections follow but the number of bytes that are left. Which snapshot to
//! start from is [`super::recover`]'s matter.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;

use adler2::Adler32;
use bytes::Bytes;

use super::listing::{Packing, SnapshotFile, snapshot_name, temporary_snapshot_name};
use super::packing::Unpacker;
use super::stream::{BodyDecoder, BodyEncoder, Dangling};
use super::{Dir, Directory, DiskError, DiskOp, FileName, Layout, StorageConfig};
use crate::ids::Zxid;
use crate::jute::{DecodeError, Write};
use crate::mutant::Mutant;
use crate::tree::Database;
use crate::txn::{TxnDigest, digest};

const HEADER: [u8; 16] = *b"ZKSN\0\0\0\x02\xff\xff\xff\xff\xff\xff\xff\xff";
/// dbid is written as -1 and checked by nobody.
const HEADER_CHECKED: usize = 8;
const SEAL_BYTES: usize = 13;
const DIGEST_BYTES: usize = 20;
const ZXID_BYTES: usize = 8;

/// How much is read, and unpacked, at a time.
const READ_BYTES: usize = 16 * 1024;
/// How much is written at a time.
const WRITE_BYTES: usize = 256 * 1024;

/// A snapshot file in the making: yields its operations one by one, encoding as it goes.
///
/// It is made beside everything else, but not across a [`StoreOp::Truncate`] or
/// [`StoreOp::Install`]: whoever is told to do one of these drops the writer first, or the history
/// that was cut away comes back with the rename.
///
/// [`StoreOp::Truncate`]: crate::server::StoreOp::Truncate
/// [`StoreOp::Install`]: crate::server::StoreOp::Install
#[derive(Clone, Debug)]
pub struct SnapshotWriter {
    database: Arc<Database>,
    file: FileName,
    /// Where the next piece goes.
    offset: u64,
    sum: Adler32,
    step: Step,
    layout: Layout,
    rename_before_sync: bool,
}

#[derive(Clone, Debug)]
enum Step {
    Create,
    Header(BodyEncoder),
    Body(BodyEncoder),
    Sync,
    Rename,
    SyncDir,
    Done,
}

impl SnapshotWriter {
    pub fn new(database: Database, config: &StorageConfig) -> Self {
        let file = temporary_snapshot_name(database.last_processed);
        Self {
            database: Arc::new(database),
            file,
            offset: 0,
            sum: Adler32::new(),
            step: Step::Create,
            layout: config.layout,
            rename_before_sync: config.planted(Mutant::SnapRenameBeforeSync),
        }
    }

    fn write(&mut self, bytes: Vec<u8>) -> DiskOp {
        let offset = self.offset;
        self.offset += bytes.len() as u64;
        DiskOp::Write { file: self.file.clone(), offset, bytes: bytes.into() }
    }

    fn seal(&mut self, out: &mut Vec<u8>, sealed: &mut usize) {
        self.sum.write_slice(&out[*sealed..]);
        let sum = self.sum.checksum();
        *sealed = out.len();
        out.put_i64(i64::from(sum));
        out.put_string("/");
    }

    fn sections(&mut self, out: &mut Vec<u8>) {
        let zxid = self.database.last_processed.to_wire();
        let mut sealed = 0;
        self.seal(out, &mut sealed);
        // Not the zxid without a digest, unless it was asked for: upstream's readers that expect both
        // would take the one for the other.
        if self.layout.digest {
            out.put_i64(zxid);
            out.put_i32(digest::VERSION);
            out.put_i64(self.database.tree.digest() as i64);
            self.seal(out, &mut sealed);
        }
        if self.layout.last_processed {
            out.put_i64(zxid);
            self.seal(out, &mut sealed);
        }
    }
}

impl Iterator for SnapshotWriter {
    type Item = DiskOp;

    // Departs: upstream writes under the final name, unsynced, and a crash leaves half a snapshot.
    fn next(&mut self) -> Option<DiskOp> {
        match core::mem::replace(&mut self.step, Step::Done) {
            Step::Create => {
                self.step = Step::Header(BodyEncoder::new(self.database.clone()));
                Some(DiskOp::Create(self.file.clone()))
            }
            Step::Header(mut body) | Step::Body(mut body) => {
                let mut out = Vec::new();
                if self.offset == 0 {
                    out.extend_from_slice(&HEADER);
                }
                if body.encode(&mut out, WRITE_BYTES) {
                    self.sum.write_slice(&out);
                    self.step = Step::Body(body);
                } else {
                    self.sections(&mut out);
                    self.step = if self.rename_before_sync { Step::Rename } else { Step::Sync };
                }
                Some(self.write(out))
            }
            Step::Sync => {
                let op = DiskOp::Sync(self.file.clone());
                self.step = if self.rename_before_sync { Step::SyncDir } else { Step::Rename };
                Some(op)
            }
            Step::Rename => {
                let to = snapshot_name(self.database.last_processed);
                let from = core::mem::replace(&mut self.file, to.clone());
                self.step = if self.rename_before_sync { Step::Sync } else { Step::SyncDir };
                Some(DiskOp::Rename { from, to })
            }
            Step::SyncDir => Some(DiskOp::SyncDir(Dir::Data)),
            Step::Done => None,
        }
    }
}

/// What a snapshot file held.
#[derive(Debug)]
pub struct Loaded {
    /// As of the zxid in the file's name, and newer in parts.
    pub database: Database,
    /// The newest change in it.
    pub newest: Zxid,
    pub dangling: Vec<Dangling>,
    pub sections: Sections,
    /// Its length, unpacked.
    pub content_bytes: u64,
}

impl Loaded {
    /// What is wrong with the digest in the file. One that cannot be held against the tree, because
    /// it is of another zxid or of a version that we do not compute, is not.
    pub fn digest_fault(&self) -> Option<String> {
        let (zxid, digest) = self.sections.digest?;
        let found = self.database.tree.digest();
        let is_of_this = zxid == self.newest && zxid == self.database.last_processed;
        (is_of_this && digest.is_known() && digest.tree != found).then(|| {
            format!("expected znodes with the digest {:#x}, found {found:#x}", digest.tree)
        })
    }
}

/// What newer servers write behind the database.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Sections {
    /// The tree's digest, as of a zxid. All zero from a server that has computed none yet.
    pub digest: Option<(Zxid, TxnDigest)>,
    pub last_processed: Option<Zxid>,
}

impl Sections {
    /// The newest change in the snapshot, if a section names one that is newer than `name`.
    fn newest(&self, name: Zxid) -> Zxid {
        let digest = self.digest.map(|(zxid, _)| zxid);
        // A new leader is at epoch:0, which is no transaction: the log cannot lack it.
        let last_processed = self.last_processed.filter(|zxid| zxid.counter() != 0);
        digest.max(last_processed).map_or(name, |zxid| zxid.max(name))
    }
}

#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum SnapshotError {
    #[error(transparent)]
    Disk(#[from] DiskError),
    #[error("offset {offset} of the content: {what}")]
    Invalid { offset: u64, what: String },
}

/// Reads a snapshot and checks every seal.
pub(crate) fn read(
    disk: &dyn Directory,
    file: &SnapshotFile,
    record_max: usize,
) -> Result<Loaded, SnapshotError> {
    read_named(disk, file.name(), file.packing, Some(file.zxid), record_max)
}

/// As [`read`], whatever the file's name; `zxid` is that of the name.
// ZK: FileSnap.deserialize (3.9)
pub(crate) fn read_named(
    disk: &dyn Directory,
    file: FileName,
    packing: Packing,
    zxid: Option<Zxid>,
    record_max: usize,
) -> Result<Loaded, SnapshotError> {
    let mut content = Content::new(disk, file, packing);
    let header = content.take(HEADER.len())?;
    if header[..HEADER_CHECKED] != HEADER[..HEADER_CHECKED] {
        return Err(content.invalid("expected the magic ZKSN and format version 2"));
    }
    let mut body = BodyDecoder::new(record_max);
    loop {
        if content.pending.is_empty() && !content.fill()? {
            return Err(content.invalid("expected more of the database, the file ends"));
        }
        let fed = core::mem::take(&mut content.pending);
        let used =
            body.feed(&fed).map_err(|error: DecodeError| content.invalid(&error.to_string()))?;
        content.consume(&fed[..used.unwrap_or(fed.len())]);
        if let Some(used) = used {
            content.pending = fed[used..].to_vec();
            break;
        }
    }
    content.seal()?;
    let sections = read_sections(&mut content)?;
    let (mut database, dangling) = body.take();
    let zxid = zxid.or(sections.last_processed).unwrap_or_default();
    database.last_processed = zxid;
    let newest = sections.newest(zxid);
    Ok(Loaded { database, newest, dangling, sections, content_bytes: content.offset })
}

/// The digest is not compared here: upstream only remarks on a difference, and has had bugs that
/// made one.
fn read_sections(content: &mut Content<'_>) -> Result<Sections, SnapshotError> {
    const NOTHING: usize = 0;
    const ZXID: usize = ZXID_BYTES + SEAL_BYTES;
    const DIGEST: usize = DIGEST_BYTES + SEAL_BYTES;
    const BOTH: usize = DIGEST + ZXID;
    // Departs: upstream decides by its own settings, and takes a zxid for a digest when they differ
    // from the writer's.
    let left = content.remaining_upto(BOTH)?;
    let mut sections = Sections::default();
    if !matches!(left, NOTHING | ZXID | DIGEST | BOTH) {
        return Err(content.invalid("expected 0, 21, 33 or 54 bytes behind the first seal"));
    }
    if matches!(left, DIGEST | BOTH) {
        let section = content.take(DIGEST_BYTES)?;
        let zxid = Zxid::from_wire(be_i64(&section[..8]));
        let version = section[8..12].try_into().expect("a section's fields are cut to length");
        let version = i32::from_be_bytes(version);
        let tree = be_i64(&section[12..]) as u64;
        content.seal()?;
        sections.digest = Some((zxid, TxnDigest { version, tree }));
    }
    if matches!(left, ZXID | BOTH) {
        let section = content.take(ZXID_BYTES)?;
        sections.last_processed = Some(Zxid::from_wire(be_i64(&section)));
        content.seal()?;
    }
    Ok(sections)
}

fn be_i64(bytes: &[u8]) -> i64 {
    i64::from_be_bytes(bytes.try_into().expect("a section's fields are cut to length"))
}

/// Is every byte of this snapshot as it was written? Cheaper than [`read`], for it builds nothing:
/// the last seal covers all before it.
pub(crate) fn is_intact(disk: &dyn Directory, file: &SnapshotFile) -> Result<bool, DiskError> {
    let mut content = Content::new(disk, file.name(), file.packing);
    let whole = loop {
        match content.fill() {
            Ok(true) => {}
            Ok(false) => break true,
            Err(SnapshotError::Disk(error)) => return Err(error),
            Err(SnapshotError::Invalid { .. }) => break false,
        }
        let sealed = content.pending.len().saturating_sub(SEAL_BYTES);
        let rest = content.pending.split_off(sealed);
        let covered = core::mem::replace(&mut content.pending, rest);
        content.consume(&covered);
    };
    Ok(whole && content.offset > 0 && content.seal().is_ok())
}

/// The content of a snapshot file, unpacked, with its checksum so far.
struct Content<'a> {
    disk: &'a dyn Directory,
    file: FileName,
    unpacker: Unpacker,
    read_offset: u64,
    /// Unpacked and not yet consumed.
    pending: Vec<u8>,
    /// Bytes consumed, and their checksum.
    offset: u64,
    sum: Adler32,
}

impl<'a> Content<'a> {
    fn new(disk: &'a dyn Directory, file: FileName, packing: Packing) -> Self {
        Self {
            disk,
            file,
            unpacker: Unpacker::new(packing),
            read_offset: 0,
            pending: Vec::new(),
            offset: 0,
            sum: Adler32::new(),
        }
    }

    fn invalid(&self, what: &str) -> SnapshotError {
        SnapshotError::Invalid { offset: self.offset, what: what.into() }
    }

    /// Reads on; false at the end of the file.
    fn fill(&mut self) -> Result<bool, SnapshotError> {
        let mut buf = [0; READ_BYTES];
        let had = self.pending.len();
        while self.pending.len() == had {
            let n = self.disk.read(&self.file, self.read_offset, &mut buf)?;
            if n == 0 {
                return Ok(false);
            }
            self.read_offset += n as u64;
            let unpacked = self.unpacker.push(&buf[..n], &mut self.pending);
            unpacked.map_err(|what| self.invalid(&what))?;
        }
        Ok(true)
    }

    fn consume(&mut self, bytes: &[u8]) {
        self.sum.write_slice(bytes);
        self.offset += bytes.len() as u64;
    }

    fn take(&mut self, len: usize) -> Result<Bytes, SnapshotError> {
        if self.remaining_upto(len)? < len {
            return Err(self.invalid(&format!("expected {len} more bytes, the file ends")));
        }
        let rest = self.pending.split_off(len);
        let taken = core::mem::replace(&mut self.pending, rest);
        self.consume(&taken);
        Ok(taken.into())
    }

    /// How many bytes are left; more than `max` count as one more.
    fn remaining_upto(&mut self, max: usize) -> Result<usize, SnapshotError> {
        while self.pending.len() <= max && self.fill()? {}
        Ok(self.pending.len().min(max + 1))
    }

    fn seal(&mut self) -> Result<(), SnapshotError> {
        let mut expected = Vec::new();
        expected.put_i64(i64::from(self.sum.checksum()));
        expected.put_string("/");
        let found = self.take(SEAL_BYTES)?;
        if found != expected {
            let what = format!("expected the seal {expected:02x?}, found {:02x?}", &found[..]);
            return Err(self.invalid(&what));
        }
        Ok(())
    }
}
