//! Which files are not needed any more.

use alloc::vec::Vec;

use super::listing::Listing;
use super::snapshot::is_intact;
use super::{Dir, Directory, DiskError, DiskOp, StorageConfig};
use crate::mutant::Mutant;

/// `autopurge.snapRetainCount` is never less.
pub const PURGE_KEEPS_MIN: usize = 3;

/// May run beside the log and a snapshot in the making; not beside what replaces history.
///
/// Removes the snapshots older than the newest `keep` intact ones, and the log below them. Whatever
/// single snapshot is lost afterwards, the newest state can be rebuilt.
// ZK: PurgeTxnLog.purge, retainNRecentSnapshots (3.9)
// Departs: upstream looks only at a snapshot's last five bytes before it counts on it.
pub fn purge_plan(
    disk: &dyn Directory,
    keep: usize,
    config: &StorageConfig,
) -> Result<Vec<DiskOp>, DiskError> {
    let listing = Listing::read(disk)?;
    let mut least = None;
    let mut intact = 0;
    for file in listing.snapshots.iter().rev() {
        if intact == keep.max(PURGE_KEEPS_MIN) {
            break;
        }
        if is_intact(disk, file)? {
            intact += 1;
            least = Some(file.zxid);
        }
    }
    let Some(least) = least else { return Ok(Vec::new()) };
    let newest = listing.snapshots.last().filter(|_| config.planted(Mutant::PurgeByNewestSnapshot));

    let mut ops = Vec::new();
    let snapshots = listing.snapshots.iter().filter(|file| file.zxid < least);
    ops.extend(snapshots.map(|file| DiskOp::Remove(file.name())));
    if !ops.is_empty() {
        ops.push(DiskOp::SyncDir(Dir::Data));
    }
    // The newest log that begins at `least` or before may go on above it.
    let replayed = newest.map_or(least, |newest| newest.zxid);
    let below = listing.logs.partition_point(|log| log.first <= replayed).saturating_sub(1);
    let logs = &listing.logs[..below];
    ops.extend(logs.iter().map(|log| DiskOp::Remove(log.name())));
    if !logs.is_empty() {
        ops.push(DiskOp::SyncDir(Dir::Log));
    }
    Ok(ops)
}
