//! A disk that works in tasks of the runtime instead of threads of its own: for simulations, where
//! threads do not exist and time is virtual.

use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::task::yield_now;
use tokio::time::sleep;

use zebu_core::server::{Recovered, StoreOp, Ticket};
use zebu_core::storage::{RecoverError, StorageConfig};
use zebu_core::tree::Database;

use super::{Disk, Files, LogWorker, Reports, RunningDisk};

/// Files, and how long a batch takes to become durable.
#[derive(Debug)]
pub struct TaskDisk<F> {
    pub files: F,
    pub latency: Duration,
}

impl<F: Files + Sync> Disk for TaskDisk<F> {
    type Running = LogTask;

    fn start(
        self,
        config: StorageConfig,
        reports: Reports,
    ) -> Result<(Recovered, LogTask), RecoverError> {
        let (recovered, worker) = LogWorker::open(config.clone(), self.files, reports)?;
        let (commands, inbox) = mpsc::unbounded_channel();
        let (ended, end) = oneshot::channel();
        tokio::spawn(async move {
            serve(worker, inbox, config, self.latency).await;
            drop(ended);
        });
        Ok((recovered, LogTask { commands, end }))
    }
}

#[derive(Debug)]
enum Command {
    Store(Vec<(Ticket, StoreOp)>),
    TakeSnapshot(Box<Database>),
}

/// The log's task, from outside.
#[derive(Debug)]
pub struct LogTask {
    commands: mpsc::UnboundedSender<Command>,
    end: oneshot::Receiver<()>,
}

impl RunningDisk for LogTask {
    fn store(&mut self, ops: Vec<(Ticket, StoreOp)>) {
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

async fn serve<F: Files>(
    mut log: LogWorker<F>,
    mut inbox: mpsc::UnboundedReceiver<Command>,
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
            }
            next = inbox.try_recv().ok();
        }
        log.store(batch);
    }
}
