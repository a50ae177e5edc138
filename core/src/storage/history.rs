//! The log as one sequence over all its files: every record above a snapshot, in order, none missing.
//! What the records mean is the tree's matter; which snapshot, [`super::recover`]'s.

use alloc::format;
use alloc::string::ToString;
use alloc::vec::Vec;

use super::listing::{Listing, LogFile};
use super::log_file::{Bad, HEADER_BYTES, LogReader, Next, Record, Verdict};
use super::{Dir, Directory, DiskError, DiskOp, RecoverError};
use crate::ids::Zxid;
use crate::txn::codec;

/// Reads on from a snapshot's zxid.
pub(crate) struct History<'a> {
    disk: &'a dyn Directory,
    record_max: usize,
    base: Zxid,
    /// The newest record so far, or the snapshot.
    last: Zxid,
    /// Those above `base`, oldest first.
    snapshots: Vec<Zxid>,
    /// Something may be missing that a snapshot has: see [`History::passed_over`].
    has_doubt: bool,
    /// Files still to be read, oldest first, and the one that is being read.
    files: Vec<LogFile>,
    next_file: usize,
    open: Option<Open<'a>>,
    leftovers: Vec<Leftover>,
}

struct Open<'a> {
    file: LogFile,
    reader: LogReader<'a>,
    /// Its newest record so far.
    last: Option<Zxid>,
}

/// The end of a file that holds no record: torn, or a file that was just begun.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Leftover {
    file: LogFile,
    bad: Option<Bad>,
    /// The record before it.
    last: Option<Zxid>,
}

impl<'a> History<'a> {
    // ZK: FileTxnLog.getLogFiles, FileTxnIterator.init (3.9)
    pub(crate) fn above(
        base: Zxid,
        listing: &Listing,
        disk: &'a dyn Directory,
        record_max: usize,
    ) -> Result<Self, DiskError> {
        let files = listing.logs.as_slice();
        let at_most_next = |file: &LogFile| file.first.0 <= base.0.saturating_add(1);
        let mut start = files.partition_point(at_most_next).saturating_sub(1);
        // A file that was only begun says nothing about where the records before it are.
        while start > 0 {
            let file = files[start];
            let first = LogReader::new(disk, file.first, file.len, record_max).next()?;
            if matches!(first, Next::Record(_)) {
                break;
            }
            start -= 1;
        }
        Ok(Self {
            disk,
            record_max,
            base,
            last: base,
            snapshots: (listing.snapshots.iter().map(|file| file.zxid))
                .filter(|at| *at > base)
                .collect(),
            has_doubt: false,
            files: files.get(start..).unwrap_or_default().to_vec(),
            next_file: 0,
            open: None,
            leftovers: Vec::new(),
        })
    }

    /// The next record above the snapshot, and the file it is in.
    pub(crate) fn next(&mut self) -> Result<Option<(LogFile, Record)>, RecoverError> {
        loop {
            let Some(open) = &mut self.open else {
                let Some(file) = self.files.get(self.next_file).copied() else { return Ok(None) };
                self.next_file += 1;
                let reader = LogReader::new(self.disk, file.first, file.len, self.record_max);
                self.open = Some(Open { file, reader, last: None });
                continue;
            };
            let file = open.file;
            match open.reader.next()? {
                Next::Record(record) => {
                    if open.last.is_none() && record.zxid != file.first {
                        let what =
                            format!("expected {:x} first, found {:x}", file.first, record.zxid);
                        return Err(RecoverError::corrupt(&file.name(), what));
                    }
                    open.last = Some(record.zxid);
                    if record.zxid > self.base && !self.repeats_a_zxid(&record) {
                        self.check_succession(file, &record)?;
                        self.last = record.zxid;
                        return Ok(Some((file, record)));
                    }
                }
                Next::End => {
                    if open.last.is_none() {
                        self.leftovers.push(Leftover { file, bad: None, last: None });
                    }
                    self.open = None;
                }
                Next::Bad(bad) => {
                    if let Verdict::Corrupt(why) = open.reader.judge(bad)? {
                        let what = format!("{bad}; {why}");
                        return Err(RecoverError::corrupt(&file.name(), what));
                    }
                    self.leftovers.push(Leftover { file, bad: Some(bad), last: open.last });
                    self.open = None;
                }
            }
        }
    }

    /// A refusal under a zxid that has been used, or that nothing can have: upstream logs one when it
    /// cannot read a write. It says nothing, and upstream replays over it.
    // ZK: PrepRequestProcessor.pRequestHelper, FileTxnLog.append (3.9)
    fn repeats_a_zxid(&self, record: &Record) -> bool {
        let used = record.zxid == self.last || record.zxid.counter() == 0;
        used && codec::is_error(&record.payload)
    }

    /// A snapshot of what is between the newest record and `zxid`. It was received from a leader, and a
    /// crash has kept the log below it. One for the beginning of an epoch may be upstream's own, and
    /// nothing missing.
    fn passed_over(&self, zxid: Zxid) -> Option<Zxid> {
        let at = self.snapshots.partition_point(|at| *at <= self.last);
        self.snapshots.get(at).copied().filter(|at| *at < zxid)
    }

    /// Nothing is missing between the last record and this one, nor was anything lost with a torn
    /// end before it.
    // Departs: upstream replays over a gap (JIRA: ZOOKEEPER-4925) and over whatever was unreadable.
    fn check_succession(&mut self, file: LogFile, record: &Record) -> Result<(), RecoverError> {
        let last = self.last;
        if !record.zxid.follows(last) {
            let (offset, zxid) = (record.offset, record.zxid);
            let what = format!("offset {offset}: expected what follows {last:x}, found {zxid:x}");
            return Err(RecoverError::corrupt(&file.name(), what));
        }
        let passed_over = self.passed_over(record.zxid);
        self.has_doubt |= passed_over.is_some();
        if let Some(snapshot) = passed_over.filter(|at| at.counter() > 0) {
            let (offset, zxid) = (record.offset, record.zxid);
            let what = format!(
                "offset {offset}: expected what leads to snapshot.{snapshot:x}, found {zxid:x}"
            );
            return Err(RecoverError::corrupt(&file.name(), what));
        }
        // Upstream leaves a torn end where it is and begins a new file. If the epoch goes on, the
        // numbers prove that nothing is missing. If not, the end of the old epoch may be lost.
        let proven = record.zxid.epoch() == last.epoch();
        let lost = self.leftovers.iter().find(|leftover| {
            let in_snapshot = leftover.last.is_some_and(|last| last < self.base);
            leftover.bad.is_some() && leftover.last.is_some() && !proven && !in_snapshot
        });
        if let Some(Leftover { file, bad: Some(bad), .. }) = lost {
            let what = format!("{bad}; the log goes on with {:x}", record.zxid);
            return Err(RecoverError::corrupt(&file.name(), what));
        }
        self.leftovers.retain(|leftover| leftover.bad.is_none());
        Ok(())
    }

    /// Is it not certain that none is missing among the records so far?
    pub(crate) fn has_doubt(&self) -> bool {
        self.has_doubt
    }

    /// The operations that make what was read all there is, so that the next record goes directly
    /// behind the last. Repeating them after a crash does no harm.
    pub(crate) fn repairs(&self) -> Vec<DiskOp> {
        let mut repairs = Vec::new();
        for Leftover { file, bad, last } in self.leftovers.iter().rev() {
            let file = file.name();
            match bad {
                Some(bad) if last.is_some() && bad.offset > HEADER_BYTES as u64 => {
                    repairs.push(DiskOp::SetLen { file: file.clone(), len: bad.offset });
                    repairs.push(DiskOp::Sync(file));
                }
                _ => {
                    repairs.push(DiskOp::Remove(file));
                    repairs.push(DiskOp::SyncDir(Dir::Log));
                }
            }
        }
        repairs
    }

    /// The file with a torn end that would be cut, if there is one.
    pub(crate) fn torn(&self) -> Option<LogFile> {
        let torn = self.leftovers.iter().rev().find(|l| l.bad.is_some() && l.last.is_some());
        torn.map(|leftover| leftover.file)
    }
}

impl RecoverError {
    pub(crate) fn corrupt(file: &super::FileName, what: impl ToString) -> Self {
        Self::Corrupt { file: file.name.clone(), what: what.to_string() }
    }
}
