//! acceptedEpoch and currentEpoch (Zab paper: f.p and f.a): decimal text, replaced whole.
//! When they are written is [`crate::zab`]'s matter.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use bytes::Bytes;

use super::{Dir, Directory, DiskError, DiskOp, FileName, RecoverError, StorageConfig};
use crate::ids::{Epoch, Zxid};
use crate::mutant::Mutant;
use crate::server::Epochs;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum EpochFile {
    Accepted,
    Current,
}

/// Longer than any epoch with a line's end.
const READ_MAX: usize = 32;

impl EpochFile {
    fn name(self) -> FileName {
        let name = match self {
            Self::Accepted => "acceptedEpoch",
            Self::Current => "currentEpoch",
        };
        FileName { dir: Dir::Data, name: name.into() }
    }
    /// Upstream's name for the file in the making (`AtomicFileOutputStream`).
    pub(crate) fn temporary(self) -> FileName {
        let mut name = self.name();
        name.name.push_str(".tmp");
        name
    }

    /// The operations after which the file says `epoch`, whatever happens between two of them.
    pub(crate) fn save(self, epoch: Epoch, config: &StorageConfig) -> Vec<DiskOp> {
        let bytes = Bytes::from(format!("{epoch}"));
        if config.planted(Mutant::EpochWriteInPlace) {
            let file = self.name();
            return [
                DiskOp::Create(file.clone()),
                DiskOp::Write { file: file.clone(), offset: 0, bytes },
                DiskOp::Sync(file),
                DiskOp::SyncDir(Dir::Data),
            ]
            .into();
        }
        let file = self.temporary();
        // Departs: upstream does not sync the directory and may find the old epoch after power loss.
        [
            DiskOp::Create(file.clone()),
            DiskOp::Write { file: file.clone(), offset: 0, bytes },
            DiskOp::Sync(file.clone()),
            DiskOp::Rename { from: file, to: self.name() },
            DiskOp::SyncDir(Dir::Data),
        ]
        .into()
    }
}

/// What the files say, and the operations that complete them.
// ZK: QuorumPeer.loadDataBase (3.9)
pub(crate) fn read(
    disk: &dyn Directory,
    last_processed: Zxid,
    config: &StorageConfig,
) -> Result<(Epochs, Vec<DiskOp>), RecoverError> {
    let files = disk.list(Dir::Data)?;
    let exists = |file: &FileName| files.iter().any(|(name, _)| *name == file.name);
    let mut missing = Vec::new();
    let newest = last_processed.epoch();

    let mut read_or_write = |which: EpochFile| {
        let file = which.name();
        if exists(&file) {
            return read_one(disk, &file);
        }
        missing.extend(which.save(newest, config));
        Ok(newest)
    };
    let accepted = read_or_write(EpochFile::Accepted)?;
    let mut current = read_or_write(EpochFile::Current)?;

    if newest > current {
        current = later_epoch(disk, last_processed, accepted, exists)?;
        missing.extend(EpochFile::Current.save(current, config));
    }
    if accepted < current {
        let what = format!("expected {current} at least, as in currentEpoch, found {accepted}");
        return Err(RecoverError::corrupt(&EpochFile::Accepted.name(), what));
    }
    Ok((Epochs { accepted, current }, missing))
}

/// The history is newer than currentEpoch: power was lost before the file followed.
// JIRA: ZOOKEEPER-2307, ZOOKEEPER-4269: between the sync of the new file and its rename.
// Departs: upstream refuses to start after a crash between synchronization and currentEpoch. But who
// has a transaction of an epoch, or its leader's snapshot, has all of its initial history, as if it
// had acknowledged NEWLEADER; and it had promised the epoch before.
fn later_epoch(
    disk: &dyn Directory,
    last_processed: Zxid,
    accepted: Epoch,
    exists: impl Fn(&FileName) -> bool,
) -> Result<Epoch, RecoverError> {
    let newest = last_processed.epoch();
    if accepted >= newest {
        return Ok(newest);
    }
    let temporary = EpochFile::Current.temporary();
    if exists(&temporary)
        && let Ok(epoch) = read_one(disk, &temporary)
        && epoch >= newest
    {
        return Ok(epoch);
    }
    let what = format!("expected {newest} at least, as in {last_processed}");
    Err(RecoverError::corrupt(&EpochFile::Current.name(), what))
}

fn read_one(disk: &dyn Directory, file: &FileName) -> Result<Epoch, RecoverError> {
    let mut bytes = [0; READ_MAX];
    let len = read_start(disk, file, &mut bytes)?;
    let text = String::from_utf8_lossy(&bytes[..len]);
    let line = text.lines().next().unwrap_or("");
    line.parse().map(Epoch).map_err(|_| {
        RecoverError::corrupt(file, format!("expected an epoch in decimal, found {line:?}"))
    })
}

fn read_start(disk: &dyn Directory, file: &FileName, buf: &mut [u8]) -> Result<usize, DiskError> {
    let mut filled = 0;
    while filled < buf.len() {
        match disk.read(file, filled as u64, &mut buf[filled..])? {
            0 => break,
            n => filled += n,
        }
    }
    Ok(filled)
}
