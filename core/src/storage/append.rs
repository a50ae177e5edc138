//! The end of the log, where records are added: when a file begins, how it grows ahead of the
//! records, and what shares a sync.

use alloc::format;
use alloc::vec::Vec;

use super::{Dir, DiskOp, FileName, RecoverError, StorageConfig, log_file};
use crate::ids::Zxid;
use crate::mutant::Mutant;
use crate::txn::Entry;

/// A file grows when less than this is left of it.
// ZK: FilePadding.calculateFileSizeWithPadding (3.9)
const GROW_BELOW: u64 = 4096;

/// The file that appends go to.
#[derive(Clone, Debug)]
pub(crate) struct Tail {
    pub(crate) file: FileName,
    /// Where the next record goes.
    pub(crate) end: u64,
    /// Length of the file, with the zeros behind the records.
    pub(crate) len: u64,
    /// Not yet created.
    pub(crate) is_new: bool,
}

/// Records that are written with one write and made durable with one sync.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    bytes: Vec<u8>,
}

impl Batch {
    /// Adds one record; the operations are those of a batch that became full with it.
    pub(crate) fn append(
        &mut self,
        entry: &Entry,
        last: Zxid,
        tail: &mut Option<Tail>,
        config: &StorageConfig,
        ops: &mut Vec<DiskOp>,
    ) -> Result<(), RecoverError> {
        // Recovery would refuse the one as a gap and the other as damage.
        let zxid = entry.zxid();
        let (len, max) = (entry.payload.len(), config.record_max);
        if !zxid.follows(last) {
            let what = format!("expected to append what follows {last:x}, was given {zxid:x}");
            return Err(RecoverError::corrupt(&log_file::name(zxid), what));
        }
        if len > max {
            let what = format!("expected to append {max} bytes at most as {zxid:x}, not {len}");
            return Err(RecoverError::corrupt(&log_file::name(zxid), what));
        }
        if tail.is_none() {
            self.bytes.extend_from_slice(&log_file::HEADER);
        }
        tail.get_or_insert_with(|| Tail {
            file: log_file::name(zxid),
            end: 0,
            len: 0,
            is_new: true,
        });
        log_file::put_record(&mut self.bytes, &entry.payload);
        // A torn batch is told from damage by its length as well.
        if self.bytes.len() >= log_file::BATCH_BYTES_MAX {
            self.flush(tail, config, ops);
        }
        Ok(())
    }

    pub(crate) fn flush(
        &mut self,
        to: &mut Option<Tail>,
        config: &StorageConfig,
        ops: &mut Vec<DiskOp>,
    ) {
        let Some(tail) = to.as_mut().filter(|_| !self.bytes.is_empty()) else { return };
        let bytes = core::mem::take(&mut self.bytes);
        let file = &tail.file;
        if tail.is_new {
            ops.push(DiskOp::Create(file.clone()));
        }
        let end = tail.end + bytes.len() as u64;
        if let Some(len) = grown(end, tail.len, config.prealloc_bytes) {
            ops.push(DiskOp::SetLen { file: file.clone(), len });
            tail.len = len;
        }
        ops.push(DiskOp::Write { file: file.clone(), offset: tail.end, bytes: bytes.into() });
        ops.push(DiskOp::Sync(file.clone()));
        // Departs: upstream never syncs the directory, and a power loss may take the whole file.
        if tail.is_new && !config.planted(Mutant::NoDirSync) {
            ops.push(DiskOp::SyncDir(Dir::Log));
        }
        tail.is_new = false;
        tail.end = end;
        tail.len = tail.len.max(end);
        // ZK: FileTxnLog.commit (3.9)
        if config.layout.log_bytes.is_some_and(|most| end > most) {
            *to = None;
        }
    }
}

/// Growing costs one operation for each `step` of records, and safety nothing: the batch's own sync
/// makes the length durable with the records, recovery reads zeros as the end of the log, and a
/// power loss that forgets the length leaves the file at most too short for records that nobody was
/// told of. The zeros take no space; a disk that is full says so at the write or the sync, and the
/// server halts.
///
/// The new length of a file of `len` whose records will end at `end`; `None` if it is long enough.
fn grown(end: u64, len: u64, step: u64) -> Option<u64> {
    let least = end.saturating_add(GROW_BELOW);
    (step > 0 && least >= len).then(|| (least / step).saturating_add(1).saturating_mul(step))
}
