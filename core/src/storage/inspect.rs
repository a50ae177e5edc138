//! Files by themselves, for people who ask what is in them (`zebu log`, `zebu snapshot`). They are
//! read by what recovery reads them with; but where a server would stop, reading goes on. Whether a
//! directory is right as a whole is [`super::audit`]'s matter.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;

use super::listing::{Listing, read_snapshot_name};
use super::log_file::{Bad, LogReader, Next, Record, Verdict};
use super::snapshot::{self, Loaded, SnapshotError};
use super::{
    Directory, DiskError, FileName, Layout, RecoverError, StorageConfig, log_file, recover,
};
use crate::ids::Zxid;
use crate::tree::Database;
use crate::txn::{Entry, codec};

/// After so many faults in one file it is not worth reading on.
const FAULTS_MAX: usize = 64;

/// A file that a server would look at.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DataFile {
    pub file: FileName,
    pub len: u64,
}

/// The snapshots and the logs of a directory, oldest first.
pub fn data_files(disk: &dyn Directory) -> Result<(Vec<DataFile>, Vec<DataFile>), DiskError> {
    let listing = Listing::read(disk)?;
    let snapshots = listing.snapshots.iter();
    let snapshots = snapshots.map(|found| DataFile { file: found.name(), len: found.len });
    let logs = listing.logs.iter().map(|found| DataFile { file: found.name(), len: found.len });
    Ok((snapshots.collect(), logs.collect()))
}

/// Reads a snapshot and checks every seal. Its last suffix tells how it is packed.
pub fn load_snapshot(
    disk: &dyn Directory,
    file: &FileName,
    record_max: usize,
) -> Result<Loaded, SnapshotError> {
    let (zxid, packing) = read_snapshot_name(&file.name);
    snapshot::read_named(disk, file.clone(), packing, zxid, record_max)
}

/// What a server would start from: the newest usable snapshot with the log over it.
pub fn newest_state(disk: &dyn Directory, record_max: usize) -> Result<Database, RecoverError> {
    let listing = Listing::read(disk)?;
    if listing.snapshots.is_empty() {
        let what = "expected one to start from, found none".into();
        return Err(RecoverError::Corrupt { file: "snapshot".into(), what });
    }
    let (state, _) = recover::newest_state(&listing, &reading(record_max), disk)?;
    Ok(state.database)
}

/// Nothing is written, so only one limit matters.
pub(crate) fn reading(record_max: usize) -> StorageConfig {
    StorageConfig {
        prealloc_bytes: 0,
        record_max,
        commit_log_count: 0,
        layout: Layout::DEFAULT,
        autocreate: true,
        log_permille_max: 330,
        mutant: None,
    }
}

/// What a log file begins with.
pub const LOG_HEADER: [u8; log_file::HEADER_BYTES] = log_file::HEADER;

/// One transaction, framed as a log keeps it.
pub fn log_record(payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    log_file::put_record(&mut out, payload);
    out
}

/// The records of one log file, whatever its name, and what stands where a record should be.
pub struct LogRecords<'a> {
    reader: LogReader<'a>,
    record_max: usize,
    faults: usize,
    done: bool,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum LogPart {
    Txn(LoggedTxn),
    Fault(LogFault),
}

/// A transaction and where it stands.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LoggedTxn {
    pub offset: u64,
    /// Where the next one begins.
    pub end: u64,
    pub entry: Entry,
}

/// Bytes that are no intact record.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LogFault {
    pub offset: u64,
    pub kind: LogFaultKind,
    /// What was expected and what was found.
    pub what: String,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum LogFaultKind {
    /// The end of what power loss cut short: a server cuts it off and starts.
    Torn,
    /// All of a record is there, and only its checksum is wrong. What it says, if it says anything.
    Checksum(Option<LoggedTxn>),
    Damaged,
}

impl<'a> LogRecords<'a> {
    pub fn new(disk: &'a dyn Directory, file: &DataFile, record_max: usize) -> Self {
        let reader = LogReader::named(disk, file.file.clone(), file.len, record_max);
        Self { reader, record_max, faults: 0, done: false }
    }

    /// Where the last record ends that was read.
    pub fn end(&self) -> u64 {
        self.reader.offset()
    }

    fn step(&mut self) -> Result<Option<LogPart>, DiskError> {
        let fault = match self.reader.next()? {
            Next::End => return Ok(None),
            Next::Record(Record { offset, end, payload, .. }) => {
                match codec::decode(payload, self.record_max) {
                    Ok(entry) => return Ok(Some(LogPart::Txn(LoggedTxn { offset, end, entry }))),
                    Err(error) => {
                        let what = format!("expected a transaction: {error}");
                        LogFault { offset, kind: LogFaultKind::Damaged, what }
                    }
                }
            }
            Next::Bad(bad) => self.fault(bad)?,
        };
        self.faults += 1;
        self.done |= self.faults == FAULTS_MAX;
        Ok(Some(LogPart::Fault(fault)))
    }

    fn fault(&mut self, bad: Bad) -> Result<LogFault, DiskError> {
        let offset = bad.offset;
        let why = match self.reader.judge(bad)? {
            Verdict::Torn => {
                self.done = true;
                let what = bad.fault.to_string();
                return Ok(LogFault { offset, kind: LogFaultKind::Torn, what });
            }
            Verdict::Corrupt(why) => why,
        };
        let kind = match bad.fault.payload() {
            Some(length) => {
                let payload = self.reader.payload_at(offset, length)?;
                let entry = payload.and_then(|bytes| codec::decode(bytes, self.record_max).ok());
                let end = offset + log_file::record_bytes(length) as u64;
                LogFaultKind::Checksum(entry.map(|entry| LoggedTxn { offset, end, entry }))
            }
            None => LogFaultKind::Damaged,
        };
        self.done = !self.reader.skip(bad)?;
        let mut what = format!("{}; {why}", bad.fault);
        if self.faults + 1 == FAULTS_MAX {
            what.push_str("; the rest of the file is not looked at");
        }
        Ok(LogFault { offset, kind, what })
    }
}

impl Iterator for LogRecords<'_> {
    type Item = Result<LogPart, DiskError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let step = self.step();
        self.done |= !matches!(step, Ok(Some(_)));
        step.transpose()
    }
}

impl fmt::Debug for LogRecords<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogRecords").field("end", &self.end()).finish_non_exhaustive()
    }
}

impl LogPart {
    /// The zxid, of a damaged record too, if it has one.
    pub fn zxid(&self) -> Option<Zxid> {
        match self {
            Self::Txn(txn) => Some(txn.entry.zxid()),
            Self::Fault(LogFault { kind: LogFaultKind::Checksum(Some(txn)), .. }) => {
                Some(txn.entry.zxid())
            }
            Self::Fault(_) => None,
        }
    }
}
