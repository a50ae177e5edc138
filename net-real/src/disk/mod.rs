//! The disk as the driver sees it: it takes store operations and snapshots, and reports what became
//! durable. Behind two traits, so that a simulation brings its own: [`Disk`] is the whole of it,
//! [`Files`] only the single operations, with the rest done by [`LogWorker`].
//!
//! Which operations make something durable is decided by [`zebu_core::storage`].

pub mod files;
pub mod lock;
pub mod log_task;
pub mod log_thread;
pub mod memory;
pub mod running;

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Instant;

use tracing::{info, warn};

use zebu_core::ids::{LinkId, Zxid};
use zebu_core::server::{Event, Recovered, StoreOp, Ticket};
use zebu_core::storage::{
    Directory, DiskError, DiskOp, RecoverError, SnapshotWriter, Storage, StorageConfig, purge_plan,
    read_log,
};
use zebu_core::tree::Database;

use crate::machine::Meter;

/// A disk that nobody uses yet.
pub trait Disk: Send + 'static {
    type Running: RunningDisk;
    /// Reads what it holds, and goes to work; reports go to `reports`.
    fn start(
        self,
        config: StorageConfig,
        reports: Reports,
    ) -> Result<(Recovered, Self::Running), RecoverError>;
}

/// A disk at work. Neither call waits.
pub trait RunningDisk: Send + 'static {
    /// Makes `ops` durable, after all that came before. Answered by `Durable`, `Truncated` or
    /// `StoreFailed`.
    fn store(&mut self, ops: Vec<(Ticket, StoreOp)>);
    /// Writes a snapshot beside everything else. Answered by `SnapshotTaken` or `StoreFailed`.
    fn take_snapshot(&mut self, database: Box<Database>);
    /// Reads a part of the log beside everything else. Answered by `LogRead`.
    fn read_log(&mut self, link: LinkId, above: Zxid, upto: Zxid);
    /// Finishes what was asked for, and lets go of the files.
    fn close(self) -> impl Future<Output = ()> + Send;
}

/// Where a disk reports to; the events are core's own.
#[derive(Clone)]
pub struct Reports {
    to: Arc<dyn Fn(Event) + Send + Sync>,
    /// Syncs of the log and the epochs, in milliseconds.
    syncs: Arc<Meter>,
}

impl Reports {
    pub fn new(to: impl Fn(Event) + Send + Sync + 'static) -> Self {
        Self { to: Arc::new(to), syncs: Arc::default() }
    }
    pub fn send(&self, event: Event) {
        (self.to)(event);
    }
    pub(crate) fn syncs(&self) -> Arc<Meter> {
        self.syncs.clone()
    }
}

impl std::fmt::Debug for Reports {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Reports")
    }
}

/// Files, and single operations on them. A clone works on the same files.
pub trait Files: Directory + Clone + Send + 'static {
    fn perform(&mut self, op: &DiskOp) -> Result<(), DiskError>;
}

/// The writer of the log and the epochs, one batch at a time, wherever it runs.
#[derive(Debug)]
pub struct LogWorker<F> {
    storage: Storage,
    files: F,
    reports: Reports,
    failed: bool,
}

impl<F: Files> LogWorker<F> {
    pub fn open(
        config: StorageConfig,
        mut files: F,
        reports: Reports,
    ) -> Result<(Recovered, Self), RecoverError> {
        let (storage, recovered, leftovers) = Storage::open(config, &files)?;
        for op in &leftovers {
            files.perform(op)?;
        }
        Ok((recovered, Self { storage, files, reports, failed: false }))
    }

    /// Makes a batch durable and reports it: once, but for truncations, which answer for themselves.
    pub fn store(&mut self, batch: Vec<(Ticket, StoreOp)>) {
        // After a failure nothing may be believed, so nothing is done.
        if self.failed {
            return;
        }
        if let Err(error) = self.try_store(batch) {
            self.fail(error.to_string());
        }
    }

    fn try_store(&mut self, batch: Vec<(Ticket, StoreOp)>) -> Result<(), RecoverError> {
        let mut pending = Vec::new();
        let mut upto = None;
        for (ticket, op) in batch {
            if let StoreOp::Truncate { .. } = op {
                self.flush(&mut pending, upto.take())?;
                self.flush(&mut vec![op], None)?;
                let recovered = Box::new(self.storage.recover(&self.files)?);
                self.reports.send(Event::Truncated { ticket, recovered });
            } else {
                pending.push(op);
                upto = Some(ticket);
            }
        }
        self.flush(&mut pending, upto)
    }

    fn flush(&mut self, ops: &mut Vec<StoreOp>, upto: Option<Ticket>) -> Result<(), RecoverError> {
        if !ops.is_empty() {
            for op in self.storage.plan(std::mem::take(ops), &self.files)? {
                let began = Instant::now();
                self.files.perform(&op)?;
                if let DiskOp::Sync(_) = op {
                    self.reports.syncs.add_millis(began.elapsed());
                }
            }
        }
        if let Some(upto) = upto {
            self.reports.send(Event::Durable { upto });
        }
        Ok(())
    }

    /// Begins a snapshot: the log goes on in a new file, and the snapshot's own writer is handed out,
    /// to be run anywhere.
    pub fn begin_snapshot(&mut self, database: Database, config: &StorageConfig) -> Snapshot<F> {
        self.storage.roll();
        Snapshot {
            zxid: database.last_processed,
            writer: SnapshotWriter::new(database, config),
            files: self.files.clone(),
            reports: self.reports.clone(),
            cancelled: Arc::default(),
        }
    }

    /// Begins a purge, to be run anywhere: it touches nothing that is still written.
    pub fn begin_purge(&self, keep: usize, config: &StorageConfig) -> Purge<F> {
        Purge { files: self.files.clone(), keep, config: config.clone() }
    }

    /// Begins to read a part of the log, to be run anywhere.
    pub fn begin_read(
        &self,
        link: LinkId,
        [above, upto]: [Zxid; 2],
        config: &StorageConfig,
    ) -> ReadLog<F> {
        let (files, reports, config) = (self.files.clone(), self.reports.clone(), config.clone());
        ReadLog { files, reports, config, link, above, upto }
    }

    /// Reports that storage failed, once.
    pub fn fail(&mut self, what: String) {
        self.failed = true;
        self.reports.send(Event::StoreFailed { what });
    }
}

/// Must these operations wait for a snapshot or a purge that is under way? What cuts the log back
/// must find all snapshots, to remove the newer ones, and itself removes what a purge counts on.
pub fn replaces_history(ops: &[(Ticket, StoreOp)]) -> bool {
    ops.iter().any(|(_, op)| matches!(op, StoreOp::Truncate { .. } | StoreOp::Install(_)))
}

/// A snapshot that is being written.
#[derive(Debug)]
pub struct Snapshot<F> {
    zxid: Zxid,
    writer: SnapshotWriter,
    files: F,
    reports: Reports,
    cancelled: Arc<AtomicBool>,
}

impl<F: Files> Snapshot<F> {
    /// Stops the writing when it is set; what was begun is a leftover for the next start.
    pub fn cancel_flag(&self) -> Arc<AtomicBool> {
        self.cancelled.clone()
    }

    /// Writes all of it, and reports.
    pub fn write(mut self) {
        for op in self.writer {
            if self.cancelled.load(Relaxed) {
                return;
            }
            if let Err(error) = self.files.perform(&op) {
                let what = format!("snapshot {:x}: {error}", self.zxid);
                return self.reports.send(Event::StoreFailed { what });
            }
        }
        self.reports.send(Event::SnapshotTaken { zxid: self.zxid });
    }
}

/// A part of the log that is about to be read.
#[derive(Debug)]
pub struct ReadLog<F> {
    files: F,
    reports: Reports,
    config: StorageConfig,
    link: LinkId,
    above: Zxid,
    upto: Zxid,
}

impl<F: Files> ReadLog<F> {
    /// A failure costs a snapshot, so it is only logged.
    pub fn run(self) {
        let Self { files, reports, config, link, above, upto } = self;
        let entries = read_log(&files, above, upto, &config).unwrap_or_else(|error| {
            warn!("cannot read the log above {above:x} for a learner: {error}");
            None
        });
        reports.send(Event::LogRead { link, above, entries });
    }
}

/// A purge that is about to be carried out.
#[derive(Debug)]
pub struct Purge<F> {
    files: F,
    keep: usize,
    config: StorageConfig,
}

impl<F: Files> Purge<F> {
    /// Deletes what core says is not needed. A failure costs space, so it is only logged.
    pub fn run(mut self) {
        match self.try_run() {
            Ok(0) => {}
            Ok(removed) => info!("purged {removed} old snapshots and logs"),
            Err(error) => warn!("cannot purge old snapshots and logs: {error}"),
        }
    }

    fn try_run(&mut self) -> Result<usize, DiskError> {
        let ops = purge_plan(&self.files, self.keep, &self.config)?;
        for op in &ops {
            self.files.perform(op)?;
        }
        Ok(ops.iter().filter(|op| matches!(op, DiskOp::Remove(_))).count())
    }
}
