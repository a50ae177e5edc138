//! The production disk: an OS thread of its own for the log, others for each snapshot and purge.
//!
//! The log's thread takes all that gathered while it was syncing, makes it durable together and
//! reports once (group commit).

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::{self, JoinHandle};

use tracing::warn;

use zebu_core::server::{Event, Recovered, StoreOp, Ticket};
use zebu_core::storage::{DiskError, RecoverError, StorageConfig};

use super::files::OsFiles;
use super::lock::DirLock;
use super::running::{Command, Commands, RunningLog};
use super::{Disk, Files, LogWorker, Reports, replaces_history};
use crate::settings::{AutoPurge, Syncing};

/// The directories of zoo.cfg, locked.
#[derive(Debug)]
pub struct OsDisk {
    pub data_dir: PathBuf,
    pub log_dir: PathBuf,
    pub lock: DirLock,
    pub auto_purge: Option<AutoPurge>,
    pub syncing: Syncing,
}

impl Disk for OsDisk {
    type Running = RunningLog;

    fn start(
        self,
        config: StorageConfig,
        reports: Reports,
    ) -> Result<(Recovered, RunningLog), RecoverError> {
        let files = OsFiles::new(&self.data_dir, &self.log_dir)?.with_syncing(self.syncing);
        let (recovered, running) = start(files, config, reports, Some(self.lock))?;
        if let Some(purge) = self.auto_purge {
            running.purge_every(purge);
        }
        Ok((recovered, running))
    }
}

/// Opens `files` and starts the log's thread on them.
fn start<F: Files>(
    files: F,
    config: StorageConfig,
    reports: Reports,
    lock: Option<DirLock>,
) -> Result<(Recovered, RunningLog), RecoverError> {
    let (recovered, worker) = LogWorker::open(config.clone(), files, reports.clone())?;
    let (running, inbox, ended) = RunningLog::new();
    let thread = move || {
        // The order of dropping: the report of a panic, then the lock, then the word of the end.
        let _ended = ended;
        let _lock = lock;
        let panicked = Panicked(reports);
        serve(worker, inbox, &config, &panicked.0);
    };
    thread::Builder::new().name("zebu-log".into()).spawn(thread).map_err(|error| DiskError {
        operation: "start",
        name: "the log's thread".into(),
        message: error.to_string(),
    })?;
    Ok((recovered, running))
}

fn serve<F: Files>(
    mut log: LogWorker<F>,
    mut inbox: Commands,
    config: &StorageConfig,
    reports: &Reports,
) {
    let mut snapshot = Background::default();
    let mut purge = Background::default();
    let mut batch = Vec::new();
    while let Some(first) = inbox.blocking_recv() {
        let mut next = Some(first);
        while let Some(command) = next {
            match command {
                Command::Store(ops) => {
                    if replaces_history(&ops) {
                        snapshot.wait();
                        purge.wait();
                    }
                    batch.extend(ops);
                }
                Command::TakeSnapshot(database) => {
                    // Or the snapshot could outlive what it was made of.
                    store(&mut log, &mut batch);
                    snapshot.wait();
                    let writing = log.begin_snapshot(*database, config);
                    snapshot.cancel = Some(writing.cancel_flag());
                    if let Err(error) =
                        snapshot.start("zebu-snapshot", reports, move || writing.write())
                    {
                        log.fail(format!("cannot start the snapshot's thread: {error}"));
                    }
                }
                Command::ReadLog { link, above, upto } => {
                    // Several learners may come at once. What cuts the log meanwhile ends their term.
                    let reading = log.begin_read(link, [above, upto], config);
                    let mut read = Background::default();
                    if let Err(error) = read.start("zebu-read", reports, move || reading.run()) {
                        warn!("cannot start a thread to read the log: {error}");
                        reports.send(Event::LogRead { link, above, entries: None });
                    }
                }
                Command::Purge { keep } => {
                    purge.wait();
                    let purging = log.begin_purge(keep, config);
                    if let Err(error) = purge.start("zebu-purge", reports, move || purging.run()) {
                        warn!("cannot start the thread of a purge: {error}");
                    }
                }
            }
            next = inbox.try_recv().ok();
        }
        store(&mut log, &mut batch);
    }
    snapshot.cancel();
    purge.wait();
}

fn store<F: Files>(log: &mut LogWorker<F>, batch: &mut Vec<(Ticket, StoreOp)>) {
    if !batch.is_empty() {
        log.store(std::mem::take(batch));
    }
}

/// What is done beside the log, at most one of a kind.
#[derive(Default)]
struct Background {
    running: Option<JoinHandle<()>>,
    cancel: Option<Arc<AtomicBool>>,
}

impl Background {
    fn start(
        &mut self,
        name: &str,
        reports: &Reports,
        work: impl FnOnce() + Send + 'static,
    ) -> io::Result<()> {
        let reports = reports.clone();
        let work = move || {
            let _panicked = Panicked(reports);
            work();
        };
        self.running = Some(thread::Builder::new().name(name.into()).spawn(work)?);
        Ok(())
    }
    fn wait(&mut self) {
        if let Some(thread) = self.running.take() {
            // Its panic was reported by itself.
            let _ = thread.join();
        }
    }
    fn cancel(&mut self) {
        if let Some(cancel) = &self.cancel {
            cancel.store(true, Relaxed);
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

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{self, Receiver};

    use zebu_core::ids::{Epoch, SessionId, Xid, Zxid};
    use zebu_core::storage::{Dir, Directory, DiskOp, FileName, Layout};
    use zebu_core::time::WallTime;
    use zebu_core::txn::{Entry, Txn, TxnBody, TxnHeader, codec};

    use super::super::RunningDisk;
    use super::*;

    const CONFIG: StorageConfig = StorageConfig {
        prealloc_bytes: 1 << 16,
        record_max: 1 << 20,
        commit_log_count: 100,
        layout: Layout::DEFAULT,
        autocreate: true,
        log_permille_max: 330,
        mutant: None,
    };

    fn zxid(counter: u32) -> Zxid {
        Zxid::new(Epoch(1), counter)
    }

    fn entry(counter: u32) -> Entry {
        let header = TxnHeader {
            session: SessionId(7),
            cxid: Xid(1),
            zxid: zxid(counter),
            time: WallTime(1),
        };
        let body = TxnBody::CreateSession { timeout_ms: 4000 };
        codec::encode(Txn { header, body, digest: None })
    }

    fn append(ticket: u64, counter: u32) -> (Ticket, StoreOp) {
        (Ticket(ticket), StoreOp::Append(vec![entry(counter)]))
    }

    /// What stands before the first record of an epoch.
    fn epochs() -> impl Iterator<Item = (Ticket, StoreOp)> {
        let save = [StoreOp::SaveAcceptedEpoch(Epoch(1)), StoreOp::SaveCurrentEpoch(Epoch(1))];
        save.into_iter().map(|op| (Ticket(0), op))
    }

    /// Reports, and where they arrive.
    fn reports() -> (Reports, Receiver<Event>) {
        let (sender, events) = mpsc::channel();
        (Reports::new(move |event| drop(sender.send(event))), events)
    }

    fn open(root: &std::path::Path, reports: Reports) -> (Recovered, RunningLog) {
        let files = OsFiles::new(root, root).expect("it is writable");
        start(files, CONFIG, reports, None).expect("nothing is broken")
    }

    /// Runs what a runtime would.
    fn close(log: RunningLog) {
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        runtime.expect("a runtime").block_on(log.close());
    }

    #[test]
    fn a_batch_is_reported_once_and_found_again() {
        let root = tempfile::tempdir().expect("a temporary directory");
        let (to, events) = reports();
        let (_, mut log) = open(root.path(), to);
        log.store(epochs().chain([append(1, 1), append(2, 2)]).collect());
        close(log);
        let events: Vec<Event> = events.iter().collect();
        assert!(matches!(*events, [Event::Durable { upto: Ticket(2) }]), "{events:?}");

        let (recovered, log) = open(root.path(), reports().0);
        assert_eq!(recovered.database.last_processed, zxid(2));
        assert_eq!(recovered.window, [entry(1), entry(2)]);
        assert_eq!(recovered.epochs.current, Epoch(1));
        close(log);
    }

    #[test]
    fn a_truncation_answers_between_what_is_before_and_behind_it() {
        let root = tempfile::tempdir().expect("a temporary directory");
        let (to, events) = reports();
        let (_, mut log) = open(root.path(), to);
        let cut = (Ticket(4), StoreOp::Truncate { after: zxid(1) });
        let ops = [append(1, 1), append(2, 2), append(3, 3), cut, append(5, 2)];
        log.store(epochs().chain(ops).collect());
        close(log);
        let events: Vec<Event> = events.iter().collect();
        match &*events {
            [
                Event::Durable { upto: Ticket(3) },
                Event::Truncated { ticket: Ticket(4), recovered },
                Event::Durable { upto: Ticket(5) },
            ] => assert_eq!(recovered.database.last_processed, zxid(1)),
            other => panic!("{other:?}"),
        }
        let (recovered, log) = open(root.path(), reports().0);
        assert_eq!(recovered.database.last_processed, zxid(2));
        close(log);
    }

    #[test]
    fn a_snapshot_is_taken_beside_the_log() {
        let root = tempfile::tempdir().expect("a temporary directory");
        let (to, events) = reports();
        let (recovered, mut log) = open(root.path(), to);
        let mut database = recovered.database;
        database.apply(&entry(1).txn);
        log.store(epochs().chain([append(1, 1)]).collect());
        log.take_snapshot(Box::new(database));
        log.store(vec![append(2, 2)]);
        // Three reports, the snapshot's whenever it is done.
        let mut taken = None;
        let mut durable = Vec::new();
        for event in events.iter().take(3) {
            match event {
                Event::SnapshotTaken { zxid } => taken = Some(zxid),
                Event::Durable { upto } => durable.push(upto),
                other => panic!("{other:?}"),
            }
        }
        assert_eq!((taken, durable), (Some(zxid(1)), vec![Ticket(1), Ticket(2)]));
        close(log);
        let (recovered, log) = open(root.path(), reports().0);
        assert_eq!(recovered.database.last_processed, zxid(2));
        close(log);
    }

    /// A disk whose syncs fail from some moment on.
    #[derive(Clone)]
    struct Failing {
        files: OsFiles,
        broken: Arc<AtomicBool>,
    }

    impl Files for Failing {
        fn perform(&mut self, op: &DiskOp) -> Result<(), DiskError> {
            match op {
                DiskOp::Sync(name) if self.broken.load(Relaxed) => Err(DiskError {
                    operation: "fdatasync",
                    name: name.name.clone(),
                    message: "no".into(),
                }),
                op => self.files.perform(op),
            }
        }
    }

    impl Directory for Failing {
        fn list(&self, dir: Dir) -> Result<Vec<(String, u64)>, DiskError> {
            self.files.list(dir)
        }
        fn read(&self, file: &FileName, at: u64, buf: &mut [u8]) -> Result<usize, DiskError> {
            self.files.read(file, at, buf)
        }
    }

    #[test]
    fn a_failed_sync_is_reported_and_never_tried_again() {
        let root = tempfile::tempdir().expect("a temporary directory");
        let broken = Arc::new(AtomicBool::new(false));
        let files = OsFiles::new(root.path(), root.path()).expect("it is writable");
        let files = Failing { files, broken: broken.clone() };
        let (to, events) = reports();
        let (_, mut log) = start(files, CONFIG, to, None).expect("nothing is broken yet");
        broken.store(true, Relaxed);
        log.store(vec![append(1, 1)]);
        match events.recv() {
            Ok(Event::StoreFailed { what }) => {
                assert!(what.starts_with("fdatasync log."), "{what}");
            }
            other => panic!("{other:?}"),
        }
        broken.store(false, Relaxed);
        log.store(vec![append(2, 2)]);
        close(log);
        assert!(events.iter().next().is_none(), "nothing after a failure is believed");
    }
}
