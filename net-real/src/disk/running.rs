//! A log at work, seen from outside: what it is told, and its end. Who works, a thread or a task,
//! stands in [`super::log_thread`] and [`super::log_task`].

use tokio::sync::{mpsc, oneshot};

use zebu_core::ids::{LinkId, Zxid};
use zebu_core::server::{StoreOp, Ticket};
use zebu_core::tree::Database;

use super::RunningDisk;
use crate::settings::AutoPurge;

#[derive(Debug)]
pub(super) enum Command {
    Store(Vec<(Ticket, StoreOp)>),
    TakeSnapshot(Box<Database>),
    ReadLog { link: LinkId, above: Zxid, upto: Zxid },
    Purge { keep: usize },
}

/// Ends when the driver has let go of its [`RunningLog`].
pub(super) type Commands = mpsc::UnboundedReceiver<Command>;

#[derive(Debug)]
pub struct RunningLog {
    commands: mpsc::UnboundedSender<Command>,
    end: oneshot::Receiver<()>,
}

impl RunningLog {
    /// With the worker's ends: what it is told, and what it drops when it has let go of the files.
    pub(super) fn new() -> (Self, Commands, oneshot::Sender<()>) {
        let (commands, inbox) = mpsc::unbounded_channel();
        let (ended, end) = oneshot::channel();
        (Self { commands, end }, inbox, ended)
    }
    /// Asks for a purge now, and again after each interval for as long as the log is at work.
    // ZK: DatadirCleanupManager.start (3.9)
    pub(super) fn purge_every(&self, purge: AutoPurge) {
        let commands = self.commands.downgrade();
        tokio::spawn(async move {
            let mut interval = tokio::time::interval(purge.every);
            loop {
                interval.tick().await;
                let Some(commands) = commands.upgrade() else { return };
                let _ = commands.send(Command::Purge { keep: purge.keep });
            }
        });
    }
    fn tell(&self, command: Command) {
        // A worker that is gone has reported it.
        let _ = self.commands.send(command);
    }
}

impl RunningDisk for RunningLog {
    fn store(&mut self, ops: Vec<(Ticket, StoreOp)>) {
        self.tell(Command::Store(ops));
    }
    fn take_snapshot(&mut self, database: Box<Database>) {
        self.tell(Command::TakeSnapshot(database));
    }
    fn read_log(&mut self, link: LinkId, above: Zxid, upto: Zxid) {
        self.tell(Command::ReadLog { link, above, upto });
    }
    async fn close(self) {
        drop(self.commands);
        let _ = self.end.await;
    }
}
