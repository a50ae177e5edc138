//! A disk that works in tasks of the runtime instead of threads of its own: for simulations, where
//! threads do not exist and time is virtual.

use std::time::Duration;

use tokio::task::yield_now;
use tokio::time::sleep;

use zebu_core::server::Recovered;
use zebu_core::storage::{RecoverError, StorageConfig};

use super::running::{Command, Commands, RunningLog};
use super::{Disk, Files, LogWorker, Reports};

/// Files, and how long a batch takes to become durable.
#[derive(Debug)]
pub struct TaskDisk<F> {
    pub files: F,
    pub latency: Duration,
}

impl<F: Files + Sync> Disk for TaskDisk<F> {
    type Running = RunningLog;

    fn start(
        self,
        config: StorageConfig,
        reports: Reports,
    ) -> Result<(Recovered, RunningLog), RecoverError> {
        let (recovered, worker) = LogWorker::open(config.clone(), self.files, reports)?;
        let (running, inbox, ended) = RunningLog::new();
        tokio::spawn(async move {
            serve(worker, inbox, config, self.latency).await;
            drop(ended);
        });
        Ok((recovered, running))
    }
}

async fn serve<F: Files>(
    mut log: LogWorker<F>,
    mut inbox: Commands,
    config: StorageConfig,
    latency: Duration,
) {
    while let Some(first) = inbox.recv().await {
        sleep(latency).await;
        let mut batch = Vec::new();
        let mut next = Some(first);
        while let Some(command) = next {
            match command {
                Command::Store(ops) => batch.extend(ops),
                Command::TakeSnapshot(database) => {
                    log.store(std::mem::take(&mut batch));
                    // At once: nothing can then come between a snapshot and a cut.
                    log.begin_snapshot(*database, &config).write();
                    yield_now().await;
                }
                Command::ReadLog { link, above, upto } => {
                    log.begin_read(link, [above, upto], &config).run();
                }
                Command::Purge { keep } => {
                    log.store(std::mem::take(&mut batch));
                    log.begin_purge(keep, &config).run();
                }
            }
            next = inbox.try_recv().ok();
        }
        log.store(batch);
    }
}
