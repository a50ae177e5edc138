//! One file as it was written: its name, the log records in it, and what of it a power loss would
//! leave.

use bytes::Bytes;
use zebu_core::storage::{Dir, FileName};

use crate::model::payload::{self, LOG_HEADER};

/// What a file is, by its name.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Name {
    Log(u64),
    Snapshot(u64),
    AcceptedEpoch,
    CurrentEpoch,
    Other(FileName),
}

impl Name {
    pub(super) fn of(file: &FileName) -> Self {
        let name = file.name.as_str();
        let known = match file.dir {
            Dir::Log => payload::zxid_in_name(name, "log").map(Self::Log),
            Dir::Data if name == "acceptedEpoch" => Some(Self::AcceptedEpoch),
            Dir::Data if name == "currentEpoch" => Some(Self::CurrentEpoch),
            Dir::Data => payload::zxid_in_name(name, "snapshot").map(Self::Snapshot),
        };
        known.unwrap_or_else(|| Self::Other(file.clone()))
    }
    pub(super) fn dir(&self) -> Dir {
        match self {
            Self::Log(_) => Dir::Log,
            Self::Snapshot(_) | Self::AcceptedEpoch | Self::CurrentEpoch => Dir::Data,
            Self::Other(file) => file.dir,
        }
    }
}

/// A record: where it ends in its file, and what it is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) end: usize,
    pub(super) zxid: u64,
}

#[derive(Clone, Debug, Default)]
pub(super) struct File {
    /// Nothing is kept of snapshots: they are large, and their bytes are not judged here.
    pub(super) content: Vec<u8>,
    pub(super) is_snapshot: bool,
    /// Whole records, one right behind the other from the header on.
    pub(super) chain: Vec<Place>,
    /// How many of them a power loss would leave.
    pub(super) safe: usize,
    /// All of the content as of the last sync, of small files.
    pub(super) safe_small: Vec<u8>,
    /// Everything written is synced.
    pub(super) clean: bool,
    /// A write or sync of it failed: no later sync makes up for that.
    pub(super) failed: bool,
    /// Records were cut off, and a power loss may bring them back.
    pub(super) cut_unsynced: bool,
}

pub(super) const SMALL: usize = 64;

impl File {
    pub(super) fn write(&mut self, offset: usize, bytes: &[u8]) {
        self.clean = false;
        if self.is_snapshot {
            return;
        }
        let end = offset + bytes.len();
        if self.content.len() < end {
            self.content.resize(end, 0);
        }
        self.content[offset..end].copy_from_slice(bytes);
        self.cut(offset);
    }
    /// Records that reach beyond `len` are no longer what they were.
    pub(super) fn cut(&mut self, len: usize) {
        while self.chain.last().is_some_and(|place| place.end > len) {
            self.chain.pop();
        }
        self.safe = self.safe.min(self.chain.len());
    }
    pub(super) fn parse(&mut self, found: &mut Vec<Logged>) {
        let mut at = self.chain.last().map_or(LOG_HEADER, |place| place.end);
        while let Some(record) = self.content.get(at..).and_then(payload::record) {
            at += record.len;
            let Some(zxid) = payload::zxid_of(record.payload) else { break };
            self.chain.push(Place { end: at, zxid });
            let payload = Bytes::copy_from_slice(record.payload);
            found.push(Logged { zxid, before: 0, payload });
        }
    }
    pub(super) fn sync(&mut self) {
        if self.failed {
            return;
        }
        self.clean = true;
        self.cut_unsynced = false;
        self.safe = self.chain.len();
        if self.content.len() <= SMALL {
            self.safe_small.clone_from(&self.content);
        }
    }
    pub(super) fn number(bytes: &[u8]) -> Option<u32> {
        std::str::from_utf8(bytes).ok()?.lines().next()?.trim().parse().ok()
    }
}

/// A record that appeared in a log.
#[derive(Clone, Debug)]
pub struct Logged {
    pub zxid: u64,
    /// What the history on this disk ended with before.
    pub before: u64,
    pub payload: Bytes,
}
