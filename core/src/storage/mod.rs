//! What the server wants kept, turned into single file operations.
//!
//! The third sans-IO layer: [`Storage`] knows upstream's formats and which order of writes, syncs and
//! renames makes something durable; a driver performs one [`DiskOp`] after the other and knows
//! nothing. So the simulator can lose power between any two of them.
//!
//! [`log_file`], [`snapshot`] (with [`stream`] and [`packing`]) and [`epoch_file`] are the formats;
//! [`history`] and [`recover`] read a disk back; [`append`] and [`cut`] plan changes; [`inspect`] and
//! [`audit`] are for people who look at files.

use alloc::string::String;
use alloc::vec::Vec;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::ids::Zxid;
use crate::mutant::Mutant;
use crate::server::{Recovered, StoreOp};

mod append;
mod audit;
mod cut;
mod epoch_file;
mod history;
mod inspect;
mod layout;
mod listing;
mod log_file;
mod overlay;
mod packing;
mod purge;
mod range;
mod recover;
mod snapshot;
mod stream;
mod window;

pub use audit::{Audit, Finding, FindingKind, State, audit, audit_log};
pub use inspect::{
    DataFile, LOG_HEADER, LogFault, LogFaultKind, LogPart, LogRecords, LoggedTxn, data_files,
    load_snapshot, log_record, newest_state,
};
pub use layout::Layout;
pub use purge::{PURGE_KEEPS_MIN, purge_plan};
pub use range::read_log;
pub use snapshot::{Loaded, Sections, SnapshotError, SnapshotWriter};
pub use stream::{Dangling, StreamDecoder, StreamEncoder};

use append::{Batch, Tail};
use epoch_file::EpochFile;
use listing::Listing;
use overlay::Overlay;

/// The two `version-2` directories; they may be the same one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum Dir {
    /// `dataDir/version-2`: snapshots and epoch files.
    Data,
    /// `dataLogDir/version-2`: transaction logs.
    Log,
}

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct FileName {
    pub dir: Dir,
    pub name: String,
}

/// One operation on files, to be performed in order. Nothing is durable before a `Sync` of the file
/// and, for a new name, a `SyncDir` of its directory.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum DiskOp {
    /// Make an empty file, replacing one of that name.
    Create(FileName),
    Write {
        file: FileName,
        offset: u64,
        bytes: Bytes,
    },
    /// Cut, or extend with zeros.
    SetLen {
        file: FileName,
        len: u64,
    },
    /// fdatasync.
    Sync(FileName),
    Rename {
        from: FileName,
        to: FileName,
    },
    Remove(FileName),
    SyncDir(Dir),
}

/// Reading, for recovery. The driver's disk, or the simulator's.
pub trait Directory {
    /// Names and lengths of all files, in any order.
    fn list(&self, dir: Dir) -> Result<Vec<(String, u64)>, DiskError>;
    /// Reads at `offset`; 0 at the end of the file.
    fn read(&self, file: &FileName, offset: u64, buf: &mut [u8]) -> Result<usize, DiskError>;
}

/// What the operating system said.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{operation} {name}: {message}")]
pub struct DiskError {
    pub operation: &'static str,
    pub name: String,
    pub message: String,
}

/// Why a disk cannot be started from. The message says what was expected and where.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum RecoverError {
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// See [`StorageConfig::autocreate`].
    #[error(
        "there is no snapshot and no log, and db.autocreate is false: restore them, or make a file initialize beside myid for a new server"
    )]
    NoDatabase,
    #[error("{file}: {what}")]
    Corrupt { file: String, what: String },
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct StorageConfig {
    /// `zookeeper.preAllocSize`, bytes, 0 for none; default 64 MiB.
    pub prealloc_bytes: u64,
    pub record_max: usize,
    pub commit_log_count: usize,
    pub layout: Layout,
    /// `zookeeper.db.autocreate`: a disk that holds nothing is a new server's; default yes. Otherwise it
    /// is one that was lost, until somebody says that the server is new.
    pub autocreate: bool,
    /// `zookeeper.snapshotSizeFactor`, thousandths: a learner is sent so much of the log in place of a
    /// snapshot of the whole; 0 for none, default 330.
    pub log_permille_max: u32,
    pub mutant: Option<Mutant>,
}

impl StorageConfig {
    /// Is this mistake planted? Constant `false` outside tests of the simulator.
    pub(crate) fn planted(&self, mutant: Mutant) -> bool {
        cfg!(feature = "mutants") && self.mutant == Some(mutant)
    }
}

/// The writer's knowledge of the files.
#[derive(Clone, Debug)]
pub struct Storage {
    config: StorageConfig,
    /// The newest record, or the snapshot below the first one to come.
    last: Zxid,
    /// `None`: the next append begins a file. Upstream's habit, kept: no file that was there at the
    /// start is written again, so nothing is ever written over what a crash left.
    tail: Option<Tail>,
    /// What [`Self::recover`] found to put right.
    repairs: Vec<DiskOp>,
}

impl Storage {
    /// Reads what a disk holds. The operations are to be performed before anything else: a torn end
    /// cut off, leftovers removed, missing epoch files written, and all that was read made durable.
    pub fn open(
        config: StorageConfig,
        disk: &dyn Directory,
    ) -> Result<(Self, Recovered, Vec<DiskOp>), RecoverError> {
        let mut storage = Self { config, last: Zxid::ZERO, tail: None, repairs: Vec::new() };
        let recovered = storage.recover(disk)?;
        // Only now: later on, a snapshot in the making is somebody's work.
        let listing = Listing::read(disk)?;
        let mut repairs: Vec<_> = listing.temporary.into_iter().map(DiskOp::Remove).collect();
        repairs.append(&mut storage.repairs);
        // What a killed process wrote last may be in the cache only, and is about to be voted for.
        let kept = listing.logs.iter().rev().map(|log| log.name());
        let newest = kept.into_iter().find(|log| !repairs.contains(&DiskOp::Remove(log.clone())));
        repairs.extend(newest.map(DiskOp::Sync));
        repairs.extend([DiskOp::SyncDir(Dir::Log), DiskOp::SyncDir(Dir::Data)]);
        Ok((storage, recovered, repairs))
    }

    /// The file operations after which all of `ops`, in their order, are durable: appends of a
    /// batch share one sync. `disk` is as all earlier plans leave it.
    pub fn plan(
        &mut self,
        ops: Vec<StoreOp>,
        disk: &dyn Directory,
    ) -> Result<Vec<DiskOp>, RecoverError> {
        let mut planned = core::mem::take(&mut self.repairs);
        let mut batch = Batch::default();
        for op in ops {
            if !matches!(op, StoreOp::Append(_)) {
                batch.flush(&mut self.tail, &self.config, &mut planned);
            }
            match op {
                StoreOp::Append(entries) => {
                    for entry in &entries {
                        let tail = &mut self.tail;
                        batch.append(entry, self.last, tail, &self.config, &mut planned)?;
                        self.last = entry.zxid();
                    }
                }
                StoreOp::Truncate { after } => {
                    let disk = Overlay::after(disk, &planned)?;
                    planned.extend(cut::truncate(after, &self.config, &disk)?);
                    self.begin_behind(after);
                }
                StoreOp::SaveAcceptedEpoch(epoch) => {
                    planned.extend(EpochFile::Accepted.save(epoch, &self.config));
                }
                StoreOp::SaveCurrentEpoch(epoch) => {
                    planned.extend(EpochFile::Current.save(epoch, &self.config));
                }
                StoreOp::Install(database) => {
                    let at = database.last_processed;
                    let disk = Overlay::after(disk, &planned)?;
                    planned.extend(cut::install(*database, &self.config, &disk)?);
                    self.begin_behind(at);
                }
            }
        }
        batch.flush(&mut self.tail, &self.config, &mut planned);
        Ok(planned)
    }

    /// Reads the disk back, after a `Truncate` was performed.
    pub fn recover(&mut self, disk: &dyn Directory) -> Result<Recovered, RecoverError> {
        let found = recover::recover(&self.config, disk)?;
        self.begin_behind(found.recovered.database.last_processed);
        self.tail = found.garbage.map(|log| Tail {
            file: log.name(),
            end: log.len,
            len: log.len,
            is_new: false,
        });
        self.repairs = found.repairs;
        Ok(found.recovered)
    }

    /// The next append begins a new file; called when a snapshot is begun.
    pub fn roll(&mut self) {
        self.tail = None;
    }

    fn begin_behind(&mut self, last: Zxid) {
        self.last = last;
        self.tail = None;
    }
}
