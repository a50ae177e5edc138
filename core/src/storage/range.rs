//! A part of the log for a learner that lacks it. Which part is a leader's matter.

use alloc::vec::Vec;

use super::history::History;
use super::listing::Listing;
use super::{Directory, RecoverError, StorageConfig};
use crate::ids::Zxid;
use crate::txn::{Entry, codec};

/// The transactions above `above` up to `upto`, none missing; or nothing, where the log does not hold
/// `above` itself, or where they are more than the share of the newest snapshot that may be sent in its
/// stead, or where it may lack some that a snapshot has. Files may be written and removed meanwhile.
// ZK: ZKDatabase.getProposalsFromTxnLog, calculateTxnLogSizeLimit (3.9)
pub fn read_log(
    disk: &dyn Directory,
    above: Zxid,
    upto: Zxid,
    config: &StorageConfig,
) -> Result<Option<Vec<Entry>>, RecoverError> {
    // It is read too, to see that their history is a part of this one. `epoch:0` is no record.
    let Some(before) = above.0.checked_sub(1).filter(|_| above.counter() > 0) else {
        return Ok(None);
    };
    let listing = Listing::read(disk)?;
    let snapshot = listing.snapshots.last().map_or(0, |newest| newest.len);
    let mut room = snapshot.saturating_mul(u64::from(config.log_permille_max)) / 1000;
    if listing.logs.first().is_none_or(|oldest| oldest.first > above) {
        return Ok(None);
    }
    let mut history = History::above(Zxid(before), &listing, disk, config.record_max)?;
    if history.next()?.is_none_or(|(_, record)| record.zxid != above) {
        return Ok(None);
    }
    let mut entries = Vec::new();
    while let Some((file, record)) = history.next()? {
        if history.has_doubt() {
            return Ok(None);
        }
        let Some(left) = room.checked_sub(record.end - record.offset) else { return Ok(None) };
        room = left;
        let zxid = record.zxid;
        let entry = codec::decode(record.payload, config.record_max).map_err(|error| {
            let what = alloc::format!("offset {}: expected a transaction: {error}", record.offset);
            RecoverError::corrupt(&file.name(), what)
        })?;
        entries.push(entry);
        if zxid >= upto {
            return Ok((zxid == upto).then_some(entries));
        }
    }
    Ok(None)
}
