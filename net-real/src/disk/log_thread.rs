//! The production disk: an OS thread of its own for the log, another one for each snapshot.
//!
//! The log's thread takes all that gathered while it was syncing, makes it durable together and
//! reports once (group commit).

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::{self, JoinHandle};

use tokio::sync::oneshot;

use zebu_core::server::{Event, Recovered, StoreOp, Ticket};
use zebu_core::storage::{DiskError, RecoverError, StorageConfig};
use zebu_core::tree::Database;

use super::files::OsFiles;
use super::lock::DirLock;
use super::{Disk, Files, LogWorker, Reports, RunningDisk, Snapshot, replaces_history};

/// The directories of zoo.cfg, locked.
#[derive(Debug)]
pub struct OsDisk {
    pub data_dir: PathBuf,
    pub log_dir: PathBuf,
    pub lock: DirLock,
}

impl Disk for OsDisk {
    type Running = LogThread;

    fn start(
        self,
        config: StorageConfig,
        reports: Reports,
    ) -> Result<(Recovered, LogThread), RecoverError> {
        let files = OsFiles::new(&self.data_dir, &self.log_dir)?;
        start(files, config, reports, Some(self.lock))
    }
}

/// Opens `files` and starts the log's thread on them.
fn start<F: Files>(
    files: F,
    config: StorageConfig,
    reports: Reports,
    lock: Option<DirLock>,
) -> Result<(Recovered, LogThread), RecoverError> {
    let (recovered, worker) = LogWorker::open(config.clone(), files, reports.clone())?;
    let (commands, inbox) = mpsc::channel();
    let (ended, end) = oneshot::channel();
    let thread = move || {
        // The order of dropping: the report of a panic, then the lock, then the word of the end.
        let _ended = ended;
        let _lock = lock;
        let panicked = Panicked(reports);
        serve(worker, &inbox, &config, &panicked.0);
    };
    thread::Builder::new().name("zebu-log".into()).spawn(thread).map_err(|error| DiskError {
        operation: "start",
        name: "the log's thread".into(),
        message: error.to_string(),
    })?;
    Ok((recovered, LogThread { commands, end }))
}

#[derive(Debug)]
enum Command {
    Store(Vec<(Ticket, StoreOp)>),
    TakeSnapshot(Box<Database>),
}

/// The log's thread, from outside.
#[derive(Debug)]
pub struct LogThread {
    commands: Sender<Command>,
    end: oneshot::Receiver<()>,
}

impl RunningDisk for LogThread {
    fn store(&mut self, ops: Vec<(Ticket, StoreOp)>) {
        // A thread that is gone has reported it.
        let _ = self.commands.send(Command::Store(ops));
    }
    fn take_snapshot(&mut self, database: Box<Database>) {
        let _ = self.commands.send(Command::TakeSnapshot(database));
    }
    async fn close(self) {
        drop(self.commands);
        let _ = self.end.await;
    }
}

fn serve<F: Files>(
    mut log: LogWorker<F>,
    inbox: &Receiver<Command>,
    config: &StorageConfig,
    reports: &Reports,
) {
    let mut snapshot = SnapshotThread::default();
    let mut batch = Vec::new();
    while let Ok(first) = inbox.recv() {
        for command in std::iter::once(first).chain(inbox.try_iter()) {
            match command {
                Command::Store(ops) => {
                    if replaces_history(&ops) {
                        snapshot.wait();
                    }
                    batch.extend(ops);
                }
                Command::TakeSnapshot(database) => {
                    store(&mut log, &mut batch);
                    snapshot.wait();
                    let writing = log.begin_snapshot(*database, config);
                    if let Err(error) = snapshot.start(writing, reports.clone()) {
                        log.fail(format!("cannot start the snapshot's thread: {error}"));
                    }
                }
            }
        }
        store(&mut log, &mut batch);
    }
    snapshot.cancel();
}

fn store<F: Files>(log: &mut LogWorker<F>, batch: &mut Vec<(Ticket, StoreOp)>) {
    if !batch.is_empty() {
        log.store(std::mem::take(batch));
    }
}

/// The snapshot that is under way, if there is one.
#[derive(Default)]
struct SnapshotThread {
    running: Option<(JoinHandle<()>, Arc<AtomicBool>)>,
}

impl SnapshotThread {
    fn start<F: Files>(&mut self, snapshot: Snapshot<F>, reports: Reports) -> io::Result<()> {
        let cancelled = snapshot.cancel_flag();
        let write = move || {
            let _panicked = Panicked(reports);
            snapshot.write();
        };
        let thread = thread::Builder::new().name("zebu-snapshot".into()).spawn(write)?;
        self.running = Some((thread, cancelled));
        Ok(())
    }
    fn wait(&mut self) {
        if let Some((thread, _)) = self.running.take() {
            // Its panic was reported by itself.
            let _ = thread.join();
        }
    }
    fn cancel(&mut self) {
        if let Some((_, cancelled)) = &self.running {
            cancelled.store(true, Relaxed);
        }
        self.wait();
    }
}

/// A panic of a disk's thread is a failure of storage like any other.
struct Panicked(Reports);

impl Drop for Panicked {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.send(Event::StoreFailed { what: "a thread of the disk panicked".into() });
        }
    }
}
