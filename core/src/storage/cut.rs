//! Taking history back: truncation at a leader's word, and a received snapshot in place of all that
//! was there. Each step leaves a disk that can be recovered: a beginning of the old history, or the
//! new one.

use alloc::format;
use alloc::vec::Vec;

use super::history::History;
use super::listing::{Listing, LogFile};
use super::log_file::{HEADER_BYTES, LogReader, Next};
use super::snapshot::SnapshotWriter;
use super::{Dir, Directory, DiskOp, RecoverError, StorageConfig, recover};
use crate::ids::Zxid;
use crate::mutant::Mutant;
use crate::tree::Database;

/// Everything above `after` goes.
// ZK: FileTxnLog.truncate, ZKDatabase.truncateLog (3.9)
// Departs: upstream keeps one record too many when `after` is not in the log, and keeps snapshots
// that are newer.
pub(crate) fn truncate(
    after: Zxid,
    config: &StorageConfig,
    disk: &dyn Directory,
) -> Result<Vec<DiskOp>, RecoverError> {
    let listing = Listing::read(disk)?;
    // All that could be wrong is found before anything is touched.
    let base = recover::base_for(after, &listing, config, disk)?.ok_or_else(|| {
        let what = format!("expected an intact snapshot at {after:x} or before, found none");
        RecoverError::Corrupt { file: "snapshot".into(), what }
    })?;
    let cut = find_cut(after, base, &listing, config, disk)?;

    let mut ops = Vec::new();
    // The newer snapshots first: without the log below it, one would bring back what was cut.
    if !config.planted(Mutant::TruncKeepsNewerSnapshot) {
        remove_snapshots_above(after, &listing, &mut ops);
    }
    if let Some((file, len)) = cut {
        cut_logs(file, len, &listing, &mut ops);
    }
    Ok(ops)
}

/// The file and offset behind the record of `after`; `None` if no record is above it.
fn find_cut(
    after: Zxid,
    base: Zxid,
    listing: &Listing,
    config: &StorageConfig,
    disk: &dyn Directory,
) -> Result<Option<(LogFile, u64)>, RecoverError> {
    let mut history = History::above(base, listing, disk, config.record_max)?;
    let mut at = None;
    let mut last = base;
    while last < after {
        let Some((file, record)) = history.next()? else { break };
        (at, last) = (Some((file, record.end)), record.zxid);
    }
    if last != after {
        let what = format!("expected a record {after:x} to cut behind, found {last:x}");
        return Err(RecoverError::Corrupt { file: "log".into(), what });
    }
    if config.planted(Mutant::TruncOffByOne)
        && let Some((file, record)) = history.next()?
    {
        return Ok(Some((file, record.end)));
    }
    if at.is_some() {
        return Ok(at);
    }
    Ok(history.next()?.map(|(file, record)| (file, record.offset)))
}

/// Ends the log at `len` of `file`. The newest file goes first and each removal is made durable, or
/// power loss could leave a gap.
fn cut_logs(file: LogFile, len: u64, listing: &Listing, ops: &mut Vec<DiskOp>) {
    for newer in listing.logs.iter().rev().take_while(|log| log.first > file.first) {
        ops.push(DiskOp::Remove(newer.name()));
        ops.push(DiskOp::SyncDir(Dir::Log));
    }
    if len <= HEADER_BYTES as u64 {
        ops.push(DiskOp::Remove(file.name()));
        ops.push(DiskOp::SyncDir(Dir::Log));
    } else {
        ops.push(DiskOp::SetLen { file: file.name(), len });
        ops.push(DiskOp::Sync(file.name()));
    }
}

fn remove_snapshots_above(after: Zxid, listing: &Listing, ops: &mut Vec<DiskOp>) {
    let newer = listing.snapshots.iter().rev().filter(|file| file.zxid > after);
    let removals: Vec<_> = newer.map(|file| DiskOp::Remove(file.name())).collect();
    if !removals.is_empty() {
        ops.extend(removals);
        ops.push(DiskOp::SyncDir(Dir::Data));
    }
}

/// The received state replaces everything.
// Departs: upstream keeps the log of before, which may hold transactions that no quorum ever had.
pub(crate) fn install(
    database: Database,
    config: &StorageConfig,
    disk: &dyn Directory,
) -> Result<Vec<DiskOp>, RecoverError> {
    let at = database.last_processed;
    let keeps_suffix = config.planted(Mutant::SnapKeepsOldSuffix);
    let listing = Listing::read(disk)?;
    let mut ops = Vec::new();
    // What is above the snapshot would be replayed over it.
    if !keeps_suffix && let Some((file, len)) = first_above(at, &listing, config, disk)? {
        cut_logs(file, len, &listing, &mut ops);
    }
    ops.extend(SnapshotWriter::new(database, config));
    remove_snapshots_above(at, &listing, &mut ops);
    if !keeps_suffix && !listing.logs.is_empty() {
        // Below the snapshot there may be a branch that the ensemble left.
        let kept = |log: &&LogFile| log.first <= at;
        ops.extend(listing.logs.iter().rev().filter(kept).map(|log| DiskOp::Remove(log.name())));
        ops.push(DiskOp::SyncDir(Dir::Log));
    }
    Ok(ops)
}

/// Where the first record above `at` stands, whatever is below it.
fn first_above(
    at: Zxid,
    listing: &Listing,
    config: &StorageConfig,
    disk: &dyn Directory,
) -> Result<Option<(LogFile, u64)>, RecoverError> {
    let newer = listing.logs.iter().position(|log| log.first > at);
    if let Some(older) = newer.unwrap_or(listing.logs.len()).checked_sub(1) {
        let file = listing.logs[older];
        let mut reader = LogReader::new(disk, file.first, file.len, config.record_max);
        loop {
            match reader.next()? {
                Next::Record(record) if record.zxid > at => return Ok(Some((file, record.offset))),
                Next::Record(_) => {}
                Next::End => break,
                Next::Bad(bad) => {
                    return Err(RecoverError::corrupt(&file.name(), bad));
                }
            }
        }
    }
    Ok(newer.map(|index| (listing.logs[index], HEADER_BYTES as u64)))
}
