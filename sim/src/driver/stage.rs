//! What all tasks of a run share: the disks, the audience, how far everybody is. One lock, taken for
//! one observation or one operation on a file at a time, never over an await.

use std::cell::RefCell;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::time::Instant as TokioInstant;
use zebu_core::ids::ServerId;
use zebu_core::proto::ClientMessage;
use zebu_core::server::{Action, Event, Note, RoleName, Server};
use zebu_core::storage::{Dir, Directory, DiskError, DiskOp, FileName};
use zebu_core::tree::Database;
use zebu_net_real::disk::Files;
use zebu_net_real::driver::Observer;

use crate::audience::Audience;
use crate::disk::SimDisk;
use crate::history::{Observation, ServerView, SimTime, StopReason, View};
use crate::world::Phase;

/// What an operation says that was made to fail.
pub(super) const INJECTED: &str = "injected";

thread_local! {
    /// A run has its thread. Checkers keep to theirs, while whatever a task holds must be fit to
    /// move, as in production.
    static AUDIENCE: RefCell<Audience> = RefCell::default();
}

pub(super) fn audience<T>(then: impl FnOnce(&mut Audience) -> T) -> T {
    AUDIENCE.with_borrow_mut(then)
}

#[derive(Clone, Debug)]
pub(super) struct Shared(Arc<Mutex<Stage>>);

#[derive(Debug)]
pub(super) struct Stage {
    pub(super) machines: Vec<Machine>,
    pub(super) seats: Vec<SeatState>,
    pub(super) phase: Phase,
    /// The index of the last server that was established as the leader: only to aim faults.
    pub(super) leader: Option<usize>,
    /// Clients so far; those who begin in a seat have its number.
    pub(super) clients: usize,
    pub(super) calls: u64,
    pub(super) answered: u64,
    zero: TokioInstant,
}

/// One server's machine.
#[derive(Debug, Default)]
pub(super) struct Machine {
    pub(super) disk: SimDisk,
    /// Of a running server, when it was last observed.
    pub(super) database: Option<Database>,
    pub(super) state: MachineState,
    /// Counts starts.
    pub(super) incarnation: u32,
    /// The next sync, or the next operation, fails.
    pub(super) fail_sync: bool,
    pub(super) fail_next: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) enum MachineState {
    #[default]
    Down,
    /// Its node runs; it may still recover, or wait for its ports.
    Starting,
    Running,
    /// It ended by itself.
    Halted,
}

/// What the director must know of a client.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct SeatState {
    /// Who sits there, unless nobody does.
    pub(super) client: Option<usize>,
    pub(super) idle: bool,
    pub(super) connected: bool,
    /// A call made since faults ended was answered.
    pub(super) progressed: bool,
    pub(super) outstanding: usize,
    /// It has a connection, of which the end will be observed.
    pub(super) linked: bool,
}

impl Shared {
    pub(super) fn new(servers: usize, seats: usize) -> Self {
        Self(Arc::new(Mutex::new(Stage {
            machines: (0..servers).map(|_| Machine::default()).collect(),
            seats: vec![SeatState::default(); seats],
            phase: Phase::Faults,
            leader: None,
            clients: seats,
            calls: 0,
            answered: 0,
            zero: TokioInstant::now(),
        })))
    }
    pub(super) fn lock(&self) -> MutexGuard<'_, Stage> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
    pub(super) fn disk(&self, index: usize) -> StageDisk {
        StageDisk { stage: self.clone(), index }
    }
    pub(super) fn watcher(&self, index: usize) -> Watcher {
        Watcher { stage: self.clone(), index }
    }
}

pub(super) fn id_of(index: usize) -> ServerId {
    ServerId(index as i64 + 1)
}

impl Stage {
    pub(super) fn now(&self) -> SimTime {
        self.zero.elapsed().as_nanos() as SimTime
    }
    pub(super) fn zero(&self) -> TokioInstant {
        self.zero
    }

    pub(super) fn observe(&mut self, what: &Observation<'_>) {
        let now = self.now();
        let servers = views(&self.machines);
        audience(|aud| aud.observe_with(&View { now, servers: &servers }, what));
    }

    /// A promise was broken that no checker watches.
    pub(super) fn violated(&self, property: &'static str, what: String) {
        audience(|aud| aud.violated(self.now(), property, what));
    }

    pub(super) fn finish(&mut self) {
        let now = self.now();
        let servers = views(&self.machines);
        audience(|aud| {
            aud.finish_with(&View { now, servers: &servers });
            aud.counters.simulated_ns += now;
        });
    }

    pub(super) fn started(&mut self, index: usize) {
        self.machines[index].state = MachineState::Running;
        self.observe(&Observation::Started { server: id_of(index) });
    }

    /// The process is gone; what is lost of the disk is lost already.
    pub(super) fn stopped(&mut self, index: usize, why: StopReason) {
        let machine = &mut self.machines[index];
        machine.database = None;
        let halted = why == StopReason::Halt;
        machine.state = if halted { MachineState::Halted } else { MachineState::Down };
        if self.leader == Some(index) {
            self.leader = None;
        }
        self.observe(&Observation::Stopped { server: id_of(index), why });
    }
}

fn views(machines: &[Machine]) -> Vec<ServerView<'_>> {
    machines
        .iter()
        .enumerate()
        .map(|(index, machine)| ServerView {
            id: id_of(index),
            database: machine.database.as_ref(),
            disk: &machine.disk,
            watching: None,
        })
        .collect()
}

/// Watches one server's driver.
#[derive(Debug)]
pub(super) struct Watcher {
    stage: Shared,
    index: usize,
}

impl Observer for Watcher {
    fn event(&mut self, server: &Server, event: &Event) {
        let mut stage = self.stage.lock();
        stage.machines[self.index].database = Some(server.database().clone());
        stage.observe(&Observation::Event { server: id_of(self.index), event });
    }

    fn action(&mut self, server: &Server, action: &Action) {
        let mut stage = self.stage.lock();
        match action {
            Action::Note(Note::Established { .. }) => stage.leader = Some(self.index),
            Action::Note(Note::Role(RoleName::Looking)) if stage.leader == Some(self.index) => {
                stage.leader = None;
            }
            _ => {}
        }
        // A session that was granted may have been closed within the same turn: what the server has
        // come to since then says nothing about the grant.
        let granted = matches!(action, Action::Reply { message: ClientMessage::Connected(_), .. });
        stage.machines[self.index].database = (!granted).then(|| server.database().clone());
        stage.observe(&Observation::Action { server: id_of(self.index), action });
        if granted {
            stage.machines[self.index].database = Some(server.database().clone());
        }
    }
}

/// The disk of one machine, as the driver's log writes it. It outlives the server.
#[derive(Clone, Debug)]
pub(super) struct StageDisk {
    stage: Shared,
    index: usize,
}

impl Files for StageDisk {
    fn perform(&mut self, op: &DiskOp) -> Result<(), DiskError> {
        let mut stage = self.stage.lock();
        let machine = &mut stage.machines[self.index];
        let is_sync = matches!(op, DiskOp::Sync(_) | DiskOp::SyncDir(_));
        let fails = std::mem::take(&mut machine.fail_next)
            || is_sync && std::mem::take(&mut machine.fail_sync);
        let result = if fails {
            let name = match op {
                DiskOp::Create(file)
                | DiskOp::Write { file, .. }
                | DiskOp::SetLen { file, .. }
                | DiskOp::Sync(file)
                | DiskOp::Rename { from: file, .. }
                | DiskOp::Remove(file) => file.name.clone(),
                DiskOp::SyncDir(dir) => format!("{dir:?}"),
            };
            Err(DiskError { operation: "any", name, message: INJECTED.into() })
        } else {
            machine.disk.perform(op)
        };
        let (server, done) = (id_of(self.index), result.is_ok());
        stage.observe(&Observation::Disk { server, op, done });
        result
    }
}

impl Directory for StageDisk {
    fn list(&self, dir: Dir) -> Result<Vec<(String, u64)>, DiskError> {
        self.stage.lock().machines[self.index].disk.list(dir)
    }
    fn read(&self, file: &FileName, offset: u64, buf: &mut [u8]) -> Result<usize, DiskError> {
        self.stage.lock().machines[self.index].disk.read(file, offset, buf)
    }
}
