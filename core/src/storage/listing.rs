//! Which files there are: names told apart, in order. Contents are not looked at.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::{Dir, Directory, DiskError, FileName, log_file};
use crate::ids::Zxid;

/// How a snapshot file is packed, as its last suffix tells.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Packing {
    Snappy,
    Gzip,
    /// Ours; preferred among snapshots of one zxid.
    Plain,
}

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct SnapshotFile {
    pub(crate) zxid: Zxid,
    pub(crate) packing: Packing,
    pub(crate) len: u64,
}

impl SnapshotFile {
    pub(crate) fn name(&self) -> FileName {
        let mut name = snapshot_name(self.zxid);
        name.name.push_str(match self.packing {
            Packing::Plain => "",
            Packing::Gzip => ".gz",
            Packing::Snappy => ".snappy",
        });
        name
    }
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct LogFile {
    /// The zxid of the first record, says the name.
    pub(crate) first: Zxid,
    pub(crate) len: u64,
}

impl LogFile {
    pub(crate) fn name(&self) -> FileName {
        log_file::name(self.first)
    }
}

/// Both oldest first.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Listing {
    pub(crate) snapshots: Vec<SnapshotFile>,
    pub(crate) logs: Vec<LogFile>,
    /// Snapshots in the making when the power went.
    pub(crate) temporary: Vec<FileName>,
}

impl Listing {
    pub(crate) fn read(disk: &dyn Directory) -> Result<Self, DiskError> {
        let mut listing = Self::default();
        for (name, len) in disk.list(Dir::Data)? {
            if let Some(rest) = name.strip_prefix("snapshot.") {
                listing.snapshots.extend(parse_snapshot(rest, len));
            } else if name.starts_with(TEMPORARY_PREFIX) {
                listing.temporary.push(FileName { dir: Dir::Data, name });
            }
        }
        for (name, len) in disk.list(Dir::Log)? {
            listing.logs.extend(read_log_name(&name).map(|first| LogFile { first, len }));
        }
        listing.snapshots.sort();
        listing.logs.sort();
        listing.temporary.sort();
        Ok(listing)
    }
}

pub(crate) fn snapshot_name(zxid: Zxid) -> FileName {
    FileName { dir: Dir::Data, name: format!("snapshot.{zxid:x}") }
}

/// Upstream takes `snapshot.5.tmp` for a snapshot, so ours has its mark in front.
const TEMPORARY_PREFIX: &str = "tmp.snapshot.";

pub(crate) fn temporary_snapshot_name(zxid: Zxid) -> FileName {
    FileName { dir: Dir::Data, name: format!("{TEMPORARY_PREFIX}{zxid:x}") }
}

/// What a snapshot's name tells of it, however it goes on: readers go by the last suffix.
// ZK: Util.getZxidFromName, SnapStream.getStreamMode (3.9)
pub(crate) fn read_snapshot_name(name: &str) -> (Option<Zxid>, Packing) {
    let mut parts = name.split('.');
    let zxid = parts.next().filter(|part| *part == "snapshot").and(parts.next());
    let packing = match name.rsplit('.').next() {
        Some("gz") => Packing::Gzip,
        Some("snappy") => Packing::Snappy,
        _ => Packing::Plain,
    };
    (zxid.and_then(parse_zxid), packing)
}

/// The zxid of the first record, as a log's name tells.
pub(crate) fn read_log_name(name: &str) -> Option<Zxid> {
    name.strip_prefix("log.").and_then(parse_zxid)
}

fn parse_snapshot(rest: &str, len: u64) -> Option<SnapshotFile> {
    let (zxid, packing) = match rest.split_once('.') {
        None => (rest, Packing::Plain),
        Some((zxid, "gz")) => (zxid, Packing::Gzip),
        Some((zxid, "snappy")) => (zxid, Packing::Snappy),
        Some(_) => return None,
    };
    Some(SnapshotFile { zxid: parse_zxid(zxid)?, packing, len })
}

/// Lower-case hexadecimal without leading zeros: what upstream writes and we can name again.
fn parse_zxid(text: &str) -> Option<Zxid> {
    let zxid = Zxid(u64::from_str_radix(text, 16).ok()?);
    let canonical: String = format!("{zxid:x}");
    (canonical == text).then_some(zxid)
}
