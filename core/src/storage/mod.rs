//! What the server wants kept, turned into single file operations.
//!
//! The third sans-IO layer: [`Storage`] knows upstream's formats and which order of writes, syncs and
//! renames makes something durable; a driver performs one [`DiskOp`] after the other and knows
//! nothing. So the simulator can lose power between any two of them.

use alloc::string::String;
use alloc::vec::Vec;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::mutant::Mutant;
use crate::server::{Recovered, StoreOp};
use crate::tree::Database;

pub mod stream;

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
    #[error("{file}: {what}")]
    Corrupt { file: String, what: String },
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct StorageConfig {
    /// `zookeeper.preAllocSize`, bytes, 0 for none; default 64 MiB.
    pub prealloc_bytes: u64,
    pub record_max: usize,
    pub commit_log_count: usize,
    pub mutant: Option<Mutant>,
}

/// The writer's knowledge of the files.
#[derive(Clone, Debug)]
pub struct Storage {
    config: StorageConfig,
}

impl Storage {
    /// Reads what a disk holds. The operations, possibly none, are to be performed before anything
    /// else (leftovers removed, missing epoch files written).
    pub fn open(
        config: StorageConfig,
        disk: &dyn Directory,
    ) -> Result<(Self, Recovered, Vec<DiskOp>), RecoverError> {
        let _ = disk;
        let _ = Self { config };
        todo!()
    }

    /// The file operations after which all of `ops`, in their order, are durable: appends of a
    /// batch share one sync.
    pub fn plan(
        &mut self,
        ops: Vec<StoreOp>,
        disk: &dyn Directory,
    ) -> Result<Vec<DiskOp>, RecoverError> {
        let _ = (ops, disk, &self.config);
        todo!()
    }

    /// Reads the disk back, after a `Truncate` was performed.
    pub fn recover(&mut self, disk: &dyn Directory) -> Result<Recovered, RecoverError> {
        let _ = disk;
        todo!()
    }

    /// The next append begins a new file; called when a snapshot is begun.
    pub fn roll(&mut self) {
        todo!()
    }
}

/// A snapshot file in the making: yields its operations one by one, encoding as it goes.
#[derive(Clone, Debug)]
pub struct SnapshotWriter {}

impl SnapshotWriter {
    pub fn new(database: Database, config: &StorageConfig) -> Self {
        let _ = (database, config);
        todo!()
    }
}

impl Iterator for SnapshotWriter {
    type Item = DiskOp;
    fn next(&mut self) -> Option<DiskOp> {
        todo!()
    }
}
