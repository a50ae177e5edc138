//! What a disk holds: the newest usable snapshot, the log replayed over it, the epochs; and what has
//! to be put right before anything is written.

use alloc::collections::VecDeque;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::epoch_file;
use super::history::History;
use super::listing::{Listing, LogFile, SnapshotFile};
use super::snapshot::{self, Loaded, SnapshotError, SnapshotWriter};
use super::stream::dangling_acl;
use super::{Directory, DiskOp, RecoverError, StorageConfig};
use crate::ids::Zxid;
use crate::mutant::Mutant;
use crate::server::Recovered;
use crate::tree::Database;
use crate::txn::{Entry, codec};

pub(crate) struct Findings {
    pub(crate) recovered: Recovered,
    /// To be performed before anything else.
    pub(crate) repairs: Vec<DiskOp>,
    /// With [`Mutant::TailGarbageKept`]: the file that goes on behind its garbage.
    pub(crate) garbage: Option<LogFile>,
}

// ZK: FileTxnSnapLog.restore (3.9)
pub(crate) fn recover(
    config: &StorageConfig,
    disk: &dyn Directory,
) -> Result<Findings, RecoverError> {
    let listing = Listing::read(disk)?;
    let mut repairs = Vec::new();
    let (state, garbage) = if listing.snapshots.is_empty() {
        // Departs: `snapshot.trust.empty` is not offered. A log without the snapshot below it is
        // not a history unless it begins with the first transaction, and then there is a snapshot.
        if let Some(log) = listing.logs.first() {
            let what = "expected a snapshot to replay it over, found none";
            return Err(RecoverError::corrupt(&log.name(), what));
        }
        // A server that forgot what it acknowledged must not vote, or it and one that never knew are a
        // quorum (JIRA: ZOOKEEPER-261).
        if !config.autocreate && !config.planted(Mutant::BootEmptyVotes) {
            return Err(RecoverError::NoDatabase);
        }
        repairs.extend(SnapshotWriter::new(Database::new(), config));
        (State { database: Database::new(), base: Zxid::ZERO, window: Vec::new() }, None)
    } else {
        let (state, history) = newest_state(&listing, config, disk)?;
        if config.planted(Mutant::TailGarbageKept) && history.torn().is_some() {
            (state, history.torn())
        } else {
            repairs.extend(history.repairs());
            (state, None)
        }
    };
    let State { database, base, window } = state;
    let (epochs, missing) = epoch_file::read(disk, database.last_processed, config)?;
    repairs.extend(missing);
    Ok(Findings { recovered: Recovered { database, base, window, epochs }, repairs, garbage })
}

pub(crate) struct State {
    pub(crate) database: Database,
    pub(crate) base: Zxid,
    window: Vec<Entry>,
}

/// From the newest snapshot that is intact. An older one will do only if the log leads from it to
/// where the damaged one was, or acknowledged transactions would be forgotten.
// Departs: upstream takes an older snapshot and as much of the log as there is.
pub(crate) fn newest_state<'a>(
    listing: &Listing,
    config: &StorageConfig,
    disk: &'a dyn Directory,
) -> Result<(State, History<'a>), RecoverError> {
    let mut rejected: Option<(&SnapshotFile, String)> = None;
    for file in listing.snapshots.iter().rev() {
        let why = match snapshot::read(disk, file, config.record_max) {
            Err(SnapshotError::Disk(error)) => return Err(error.into()),
            Err(error @ SnapshotError::Invalid { .. }) => error.to_string(),
            Ok(loaded) => {
                let mut history = History::above(file.zxid, listing, disk, config.record_max)?;
                match replay(loaded, &mut history, config)? {
                    Err(why) => why,
                    Ok(mut state) => {
                        state.base = oldest_base(listing, file.zxid);
                        let reached = state.database.last_processed;
                        if let Some((newest, why)) = rejected.filter(|(f, _)| f.zxid > reached) {
                            let what =
                                format!("{why}; older snapshots and the log end at {reached:x}");
                            return Err(RecoverError::corrupt(&newest.name(), what));
                        }
                        return Ok((state, history));
                    }
                }
            }
        };
        rejected.get_or_insert((file, why));
    }
    let (newest, why) = rejected.expect("there is a snapshot, and none was taken");
    Err(RecoverError::corrupt(&newest.name(), format!("{why}; no older snapshot is intact")))
}

/// The oldest snapshot from which the log leads to `newest` and on. One that was received from a leader
/// has no log below it.
fn oldest_base(listing: &Listing, newest: Zxid) -> Zxid {
    let Some(log) = listing.logs.first() else { return newest };
    let leads_on = |snapshot: Zxid| log.first <= snapshot || log.first.follows(snapshot);
    listing.snapshots.iter().map(|file| file.zxid).find(|at| leads_on(*at)).unwrap_or(newest)
}

/// Applies the log. The inner error says why this snapshot is of no use.
fn replay(
    loaded: Loaded,
    history: &mut History<'_>,
    config: &StorageConfig,
) -> Result<Result<State, String>, RecoverError> {
    let Loaded { mut database, newest, dangling, .. } = loaded;
    let mut window = VecDeque::new();
    let mut complete = newest == database.last_processed;
    while let Some((file, record)) = history.next()? {
        let entry = codec::decode(record.payload, config.record_max).map_err(|error| {
            let what = format!("offset {}: expected a transaction: {error}", record.offset);
            RecoverError::corrupt(&file.name(), what)
        })?;
        database.apply(&entry.txn);
        complete |= newest == entry.zxid();
        if window.len() == config.commit_log_count {
            window.pop_front();
        }
        if config.commit_log_count > 0 {
            window.push_back(entry);
        }
    }
    let last = database.last_processed;
    // A snapshot that upstream wrote beside ongoing changes holds some that are newer than its name.
    // Without their part of the log it is no state that ever was.
    if !complete {
        return Ok(Err(format!(
            "it has changes up to {newest:x}, which the log, ending at {last:x}, lacks"
        )));
    }
    let placeholder = dangling_acl();
    let still = dangling.into_iter().find(|dangling| {
        database.tree.get(&dangling.path).is_some_and(|node| *node.acl == *placeholder)
    });
    if let Some(dangling) = still {
        return Ok(Err(format!("{} has an unknown ACL, {}", dangling.path, dangling.acl_id)));
    }
    Ok(Ok(State { base: database.last_processed, database, window: window.into() }))
}

/// The newest snapshot from which the state as of `after` can be rebuilt.
pub(crate) fn base_for(
    after: Zxid,
    listing: &Listing,
    config: &StorageConfig,
    disk: &dyn Directory,
) -> Result<Option<Zxid>, RecoverError> {
    for file in listing.snapshots.iter().rev().filter(|file| file.zxid <= after) {
        match snapshot::read(disk, file, config.record_max) {
            Err(SnapshotError::Disk(error)) => return Err(error.into()),
            Ok(loaded) if loaded.newest <= after => return Ok(Some(file.zxid)),
            Ok(_) | Err(SnapshotError::Invalid { .. }) => {}
        }
    }
    Ok(None)
}
