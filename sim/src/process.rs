//! A server's machine and the process on it: one core server, its log thread, its snapshot thread.
//! This is the driver of the simulated world, and as dull as the real one: it carries out actions in
//! order and tells what came of them.

use std::collections::VecDeque;

use zebu_core::config::{Config, Ensemble};
use zebu_core::ids::{ConnId, LinkId, ServerId, Zxid};
use zebu_core::server::{Action, Event, Recovered, Server, StoreOp, Ticket};
use zebu_core::storage::{DiskOp, Layout, RecoverError, SnapshotWriter, Storage, StorageConfig};

use crate::agenda::What;
use crate::audience::Audience;
use crate::clock::Clock;
use crate::counters::{Counter, is_log_write};
use crate::decide::About;
use crate::disk::SimDisk;
use crate::faults::{Boundary, Slowness};
use crate::history::{Observation, ServerView, SimTime, StopReason};
use crate::net::{ConnKey, Parcel, Service};
use crate::upkeep::Upkeep;
use crate::world::{Owner, World};

/// One machine.
#[derive(Clone, Debug)]
pub struct Node {
    pub id: ServerId,
    pub disk: SimDisk,
    pub clock: Clock,
    pub state: State,
    /// What its configuration file says: the ensemble that was in force when it was written last.
    pub ensemble: Ensemble,
    /// Counts starts; whatever was under way for an earlier one is void.
    pub incarnation: u32,
    pub trouble: DiskTrouble,
    pub(crate) upkeep: Upkeep,
    /// Operations asked of the disk so far, and boundaries passed, by kind.
    disk_ops: u64,
    /// Steps of reconfigurations here that a fault might have come upon.
    pub(crate) steps: u64,
    boundaries: [u64; Boundary::ALL.len()],
}

/// What is wrong with a disk at the moment.
#[derive(Clone, Debug, Default)]
pub struct DiskTrouble {
    pub fail_sync: bool,
    pub fail_next: bool,
    pub full_until: SimTime,
    pub slow: Slowness,
}

#[derive(Clone, Debug)]
pub enum State {
    Down {
        why: StopReason,
    },
    /// The disk was read; what recovery asks for is being done.
    Recovering {
        storage: Storage,
        recovered: Box<Recovered>,
        ops: VecDeque<DiskOp>,
    },
    Running(Box<Process>),
}

#[derive(Clone, Debug)]
pub struct Process {
    pub server: Server,
    storage: Storage,
    storage_config: StorageConfig,
    /// Handed out by the server, not taken up by the log thread yet.
    queue: VecDeque<(Ticket, StoreOp)>,
    batch: Option<Batch>,
    /// What was stored up to here is durable.
    durable: Ticket,
    snapshot: Option<SnapshotJob>,
    /// When the next `Timer` is due, if one is on the agenda.
    armed: Option<SimTime>,
}

/// What the log thread is busy with.
#[derive(Clone, Debug)]
struct Batch {
    upto: Ticket,
    truncate: bool,
    /// It was planned for the files that were there.
    replaces: bool,
    ops: VecDeque<DiskOp>,
}

#[derive(Clone, Debug)]
struct SnapshotJob {
    writer: SnapshotWriter,
    zxid: Zxid,
    next: Option<DiskOp>,
    /// What was stored before it: once that is durable, it may take its name.
    behind: Ticket,
    /// It has nothing else left to do.
    waits: bool,
}

/// How an operation on the disk went.
pub(crate) enum DiskDone {
    Yes,
    No(String),
    /// The machine lost power, or the process died, just there.
    Crashed,
}

impl Node {
    pub fn new(id: ServerId, clock: Clock, ensemble: Ensemble) -> Self {
        Self {
            id,
            disk: SimDisk::new(),
            clock,
            state: State::Down { why: StopReason::Shutdown },
            ensemble,
            incarnation: 0,
            trouble: DiskTrouble::default(),
            upkeep: Upkeep::default(),
            disk_ops: 0,
            steps: 0,
            boundaries: [0; Boundary::ALL.len()],
        }
    }
    pub fn view(&self) -> ServerView<'_> {
        let server = match &self.state {
            State::Running(process) => Some(&process.server),
            State::Down { .. } | State::Recovering { .. } => None,
        };
        ServerView {
            id: self.id,
            database: server.map(Server::database),
            disk: &self.disk,
            watching: server.map(Server::watching_conns),
        }
    }
    pub fn process(&mut self) -> Option<&mut Process> {
        match &mut self.state {
            State::Running(process) => Some(process),
            State::Down { .. } | State::Recovering { .. } => None,
        }
    }
    pub fn is_running(&self) -> bool {
        matches!(self.state, State::Running(_))
    }
    /// It runs and serves clients: it leads or has joined a leader.
    pub fn is_serving(&self) -> bool {
        matches!(&self.state, State::Running(process) if process.server.is_serving())
    }
    pub fn is_down(&self) -> bool {
        matches!(self.state, State::Down { .. })
    }
}

impl Process {
    /// Nothing on its way to the disk.
    pub fn is_idle(&self) -> bool {
        self.queue.is_empty() && self.batch.is_none() && self.snapshot.is_none()
    }
    /// Has the log thread nothing to do?
    pub(crate) fn is_logged(&self) -> bool {
        self.queue.is_empty() && self.batch.is_none()
    }
    /// Is it about to cut or replace what is there?
    pub(crate) fn replaces_history(&self) -> bool {
        self.batch.as_ref().is_some_and(|batch| batch.replaces)
    }
}

/// Starting and stopping.
impl World {
    pub(crate) fn start(&mut self, s: usize, aud: &mut Audience) {
        if !self.nodes[s].is_down() {
            return;
        }
        let node = &mut self.nodes[s];
        node.incarnation += 1;
        let mut draw = self.decide.draw(About::Clock, s as u64, u64::from(node.incarnation));
        let drift = self.scenario.file.machine.drift_ppm;
        let ppm = draw.between(0, 2 * drift) as i64 - drift as i64;
        // A machine that was off counts its time from anywhere.
        let local = draw.magnitude(1, 1 << 50);
        node.clock = Clock::new(self.now, local, ppm, node.clock.wall_offset_ms());
        if !node.ensemble.members.contains_key(&node.id) {
            // It was removed. Who starts it all the same wants it back.
            let mut draw = self.decide.draw(About::Profile, 1 << 17 | s as u64, local);
            let known = node.ensemble.clone();
            node.ensemble = self.scenario.file.ensemble.joining(known, node.id, &mut draw);
        }
        let mut config = self.storage_config();
        let node = &mut self.nodes[s];
        config.autocreate |= node.upkeep.is_new;
        match Storage::open(config, &node.disk) {
            Ok((storage, recovered, ops)) => {
                let (recovered, ops) = (Box::new(recovered), VecDeque::from(ops));
                node.state = State::Recovering { storage, recovered, ops };
                self.next_recovery_op(s, aud);
            }
            Err(RecoverError::NoDatabase) => self.without_database(s, aud),
            Err(error) => {
                let (server, why) = (node.id, error.to_string());
                let what = Observation::NotStarted { server, why: &why };
                aud.observe(self.now, &self.nodes, &what);
                // As an operator would: once more, later.
                let (server, incarnation) = (s as u8, self.nodes[s].incarnation);
                let later = self.now + 2 * self.tick_ns();
                self.agenda.push(later, What::Restart { server, incarnation });
            }
        }
    }

    fn next_recovery_op(&mut self, s: usize, aud: &mut Audience) {
        let State::Recovering { ops, .. } = &self.nodes[s].state else { return };
        let Some(op) = ops.front() else { return self.run_server(s, aud) };
        let due = self.now + self.disk_latency(s, &op.clone());
        let (server, incarnation) = (s as u8, self.nodes[s].incarnation);
        self.agenda.push(due, What::RecoveryOp { server, incarnation });
    }

    pub(crate) fn on_recovery_op(&mut self, s: usize, aud: &mut Audience) {
        let State::Recovering { ops, .. } = &mut self.nodes[s].state else { return };
        let Some(op) = ops.pop_front() else { return };
        match self.disk_op(s, &op, aud) {
            DiskDone::Yes => self.next_recovery_op(s, aud),
            DiskDone::No(_) => self.stop(s, StopReason::Halt, aud),
            DiskDone::Crashed => aud.counters.add(Counter::CrashInRecovery, 1),
        }
    }

    fn run_server(&mut self, s: usize, aud: &mut Audience) {
        let config = self.server_config(s);
        let storage_config = self.storage_config();
        let node = &mut self.nodes[s];
        let down = State::Down { why: StopReason::Shutdown };
        let State::Recovering { storage, recovered, .. } = std::mem::replace(&mut node.state, down)
        else {
            return;
        };
        let now = node.clock.read(self.now);
        node.upkeep.is_new = false;
        node.state = State::Running(Box::new(Process {
            server: Server::new(config, *recovered, now),
            storage,
            storage_config,
            queue: VecDeque::new(),
            batch: None,
            durable: Ticket::default(),
            snapshot: None,
            armed: None,
        }));
        let server = node.id;
        aud.observe(self.now, &self.nodes, &Observation::Started { server });
        self.purge_later(s);
        self.drain(s, aud);
    }

    /// The process ends here and now. With the power gone, the disk keeps what it must, and of the
    /// rest what a decision says.
    pub(crate) fn stop(&mut self, s: usize, why: StopReason, aud: &mut Audience) {
        self.stop_for(s, why, None, aud);
    }

    /// As [`Self::stop`], to be started again after so long.
    pub(crate) fn stop_for(
        &mut self,
        s: usize,
        why: StopReason,
        downtime: Option<SimTime>,
        aud: &mut Audience,
    ) {
        if self.nodes[s].is_down() {
            return;
        }
        let tick = self.tick_ns();
        let node = &mut self.nodes[s];
        let host = s;
        let n = u64::from(node.incarnation);
        node.state = State::Down { why };
        node.upkeep.stopped();
        let mut draw = self.decide.draw(About::Downtime, s as u64, n);
        let mut notice = draw.below(1_000_000);
        if why == StopReason::PowerLoss {
            let damage = node.disk.crash(&mut self.decide.draw(About::Crash, s as u64, n));
            aud.counters.add(Counter::UnsyncedTail, u64::from(damage.unsynced > 0));
            aud.counters.add(Counter::LostWrites, damage.lost as u64);
            aud.counters.add(Counter::TornWrites, damage.torn as u64);
            aud.counters.add(Counter::NamesUndone, damage.names_undone as u64);
            // Nobody says good-bye: peers find out when the machine is back, or by themselves.
            if draw.one_in(2) {
                notice = draw.magnitude(tick / 10, 15 * tick);
            }
        } else if !node.disk.is_clean() {
            aud.counters.add(Counter::DirtyKill, 1);
        }
        let [low, high] = self.scenario.file.machine.downtime_ms;
        let drawn = draw.magnitude(low * 1_000_000, high * 1_000_000);
        let downtime = downtime.unwrap_or(drawn);
        let (server, id, incarnation) = (s as u8, node.id, node.incarnation);
        self.agenda.push(self.now + downtime, What::Restart { server, incarnation });
        self.net.cut_off(self.now, host, notice, &mut self.agenda);
        self.resume(host);
        aud.observe(self.now, &self.nodes, &Observation::Stopped { server: id, why });
    }

    pub(crate) fn storage_config(&self) -> StorageConfig {
        StorageConfig {
            prealloc_bytes: self.profile.prealloc_bytes,
            record_max: self.limits.record_max,
            commit_log_count: self.profile.commit_log_count,
            layout: Layout::DEFAULT,
            autocreate: self.scenario.file.ensemble.autocreate,
            log_permille_max: self.profile.log_permille_max,
            mutant: self.mutant,
        }
    }

    fn server_config(&self, s: usize) -> Config {
        let node = &self.nodes[s];
        let incarnation = u64::from(node.incarnation);
        Config {
            seed: self.decide.draw(About::ServerSeed, s as u64, incarnation).bits(),
            ..self.config_of(s)
        }
    }
}

/// Telling the server, and doing what it says.
impl World {
    pub(crate) fn tell(&mut self, s: usize, event: Event, aud: &mut Audience) {
        let node = &self.nodes[s];
        if !node.is_running() {
            return;
        }
        let (server, now) = (node.id, node.clock.read(self.now));
        aud.observe(self.now, &self.nodes, &Observation::Event { server, event: &event });
        let process = self.nodes[s].process().expect("seen running above");
        process.server.handle(now, event);
        self.drain(s, aud);
    }

    pub(crate) fn drain(&mut self, s: usize, aud: &mut Audience) {
        while let Some(process) = self.nodes[s].process() {
            let Some(action) = process.server.poll() else { break };
            if self.crashes_at(s, Boundary::of_action(&action), aud) {
                return;
            }
            let server = self.nodes[s].id;
            aud.observe(self.now, &self.nodes, &Observation::Action { server, action: &action });
            self.perform(s, action, aud);
        }
        self.next_batch(s, aud);
        self.arm_timer(s);
    }

    fn perform(&mut self, s: usize, action: Action, aud: &mut Audience) {
        match action {
            Action::Dial { to, port } => {
                let to = (to.0 - 1) as usize;
                self.dial(Owner::Server(s), to, Service::Peer(port));
            }
            Action::Send { link, message } => {
                let key = ConnKey(link.0 as u32);
                self.net.send(self.now, key, s, Parcel::Peer(message), &mut self.agenda);
            }
            Action::Reply { conn, message } => {
                let key = ConnKey(conn.0 as u32);
                self.net.send(self.now, key, s, Parcel::Reply(message), &mut self.agenda);
            }
            // A network here takes whatever it is given.
            Action::AwaitDrained { conn } => self.tell(s, Event::ConnDrained { conn }, aud),
            Action::CloseLink { link: LinkId(key), .. }
            | Action::CloseConn { conn: ConnId(key), .. } => {
                self.net.close(self.now, ConnKey(key as u32), s, &mut self.agenda);
            }
            Action::Store { ticket, op } => {
                if let Some(process) = self.nodes[s].process() {
                    process.queue.push_back((ticket, op));
                }
            }
            Action::ReadLog { link, above, upto } => self.read_log(s, link, above, upto),
            Action::TakeSnapshot { database } => self.begin_snapshot(s, *database),
            // One step: a file beside the old one that takes its name.
            Action::Reconfigure { committed, proposed } => {
                self.upon_reconfiguration(s, proposed.is_some(), aud);
                self.nodes[s].ensemble = *committed;
            }
            Action::Note(note) => self.noted(s, &note),
            Action::Halt { .. } => self.stop(s, StopReason::Halt, aud),
        }
    }

    /// The clock of `s` was changed: its deadline is at another true time.
    pub(crate) fn rearm_timer(&mut self, s: usize) {
        if let Some(process) = self.nodes[s].process() {
            process.armed = None;
            self.arm_timer(s);
        }
    }

    fn arm_timer(&mut self, s: usize) {
        let node = &mut self.nodes[s];
        let State::Running(process) = &mut node.state else { return };
        let Some(deadline) = process.server.deadline() else { return };
        let due = node.clock.true_time(deadline).max(self.now + 1);
        if process.armed.is_none_or(|armed| due < armed) {
            process.armed = Some(due);
            let (server, incarnation) = (s as u8, node.incarnation);
            self.agenda.push(due, What::Timer { server, incarnation });
        }
    }

    pub(crate) fn on_timer(&mut self, s: usize, aud: &mut Audience) {
        let node = &mut self.nodes[s];
        let mono = node.clock.mono(self.now);
        let State::Running(process) = &mut node.state else { return };
        if process.armed.is_some_and(|armed| armed > self.now) {
            // A later timer that was overtaken by an earlier one.
            return;
        }
        process.armed = None;
        if process.server.deadline().is_some_and(|deadline| deadline <= mono) {
            self.tell(s, Event::Wake, aud);
        } else {
            self.arm_timer(s);
        }
    }
}

/// The log thread and the snapshot thread.
impl World {
    /// Everything that has gathered becomes one batch; a truncation is one by itself.
    fn next_batch(&mut self, s: usize, aud: &mut Audience) {
        let node = &mut self.nodes[s];
        let State::Running(process) = &mut node.state else { return };
        if process.batch.is_some() || process.queue.is_empty() {
            return;
        }
        let is_truncate = |(_, op): &(Ticket, StoreOp)| matches!(op, StoreOp::Truncate { .. });
        let count = match process.queue.iter().position(is_truncate) {
            Some(0) => 1,
            Some(before) => before,
            None => process.queue.len(),
        };
        let truncate = is_truncate(&process.queue[0]);
        let installs = |(_, op): &(Ticket, StoreOp)| matches!(op, StoreOp::Install(_));
        let replaces = truncate || process.queue.iter().take(count).any(installs);
        let upto = process.queue[count - 1].0;
        let ops: Vec<StoreOp> = process.queue.drain(..count).map(|(_, op)| op).collect();
        aud.counters.raise(Counter::GroupCommitMax, appends(&ops));
        node.upkeep.storing(&ops);
        match process.storage.plan(ops, &node.disk) {
            Ok(ops) => {
                process.batch = Some(Batch { upto, truncate, replaces, ops: ops.into() });
                self.next_log_op(s);
            }
            Err(error) => self.tell(s, Event::StoreFailed { what: error.to_string() }, aud),
        }
    }

    fn next_log_op(&mut self, s: usize) {
        let State::Running(process) = &self.nodes[s].state else { return };
        let Some(batch) = &process.batch else { return };
        let due = match batch.ops.front() {
            Some(op) => self.now + self.disk_latency(s, &op.clone()),
            None => self.now,
        };
        let (server, incarnation) = (s as u8, self.nodes[s].incarnation);
        self.agenda.push(due, What::LogOp { server, incarnation });
    }

    pub(crate) fn on_log_op(&mut self, s: usize, aud: &mut Audience) {
        let Some(process) = self.nodes[s].process() else { return };
        let Some(batch) = &mut process.batch else { return };
        let Some(op) = batch.ops.pop_front() else { return self.batch_done(s, aud) };
        if process.snapshot.is_some() && is_log_write(&op) {
            aud.counters.add(Counter::SnapshotOverlap, 1);
        }
        match self.disk_op(s, &op, aud) {
            DiskDone::Crashed => {}
            DiskDone::Yes => {
                let batch = self.nodes[s].process().and_then(|process| process.batch.as_ref());
                if batch.is_some_and(|batch| batch.ops.is_empty()) {
                    self.batch_done(s, aud);
                } else {
                    self.next_log_op(s);
                }
            }
            DiskDone::No(what) => {
                // A server that goes on after this gets what it asks for: the thread tries again.
                if let Some(batch) = self.nodes[s].process().and_then(|p| p.batch.as_mut()) {
                    batch.ops.push_front(op);
                }
                self.next_log_op(s);
                self.tell(s, Event::StoreFailed { what }, aud);
            }
        }
    }

    fn batch_done(&mut self, s: usize, aud: &mut Audience) {
        let node = &mut self.nodes[s];
        let State::Running(process) = &mut node.state else { return };
        let Some(Batch { upto, truncate, .. }) = process.batch.take() else { return };
        process.durable = upto;
        let released = process.snapshot.as_mut().filter(|job| job.waits && job.behind <= upto);
        if let Some(job) = released {
            job.waits = false;
            let (server, incarnation) = (s as u8, node.incarnation);
            self.agenda.push(self.now, What::SnapshotOp { server, incarnation });
        }
        let event = if truncate {
            match process.storage.recover(&node.disk) {
                Ok(recovered) => Event::Truncated { ticket: upto, recovered: Box::new(recovered) },
                Err(error) => Event::StoreFailed { what: error.to_string() },
            }
        } else {
            Event::Durable { upto }
        };
        self.tell(s, event, aud);
    }

    fn begin_snapshot(&mut self, s: usize, database: zebu_core::tree::Database) {
        let Some(process) = self.nodes[s].process() else { return };
        process.storage.roll();
        let zxid = database.last_processed;
        let writer = SnapshotWriter::new(database, &process.storage_config);
        let last = process.queue.back().map(|(ticket, _)| *ticket);
        let behind = last.or(process.batch.as_ref().map(|batch| batch.upto));
        let behind = behind.unwrap_or(process.durable);
        process.snapshot = Some(SnapshotJob { writer, zxid, next: None, behind, waits: false });
        self.next_snapshot_op(s);
    }

    fn next_snapshot_op(&mut self, s: usize) {
        let Some(process) = self.nodes[s].process() else { return };
        let Some(job) = &mut process.snapshot else { return };
        if job.next.is_none() {
            job.next = job.writer.next();
        }
        let op = job.next.clone();
        let latency = op.map_or(0, |op| self.disk_latency(s, &op));
        let (server, incarnation) = (s as u8, self.nodes[s].incarnation);
        self.agenda.push(self.now + latency, What::SnapshotOp { server, incarnation });
    }

    pub(crate) fn on_snapshot_op(&mut self, s: usize, aud: &mut Audience) {
        let Some(process) = self.nodes[s].process() else { return };
        let Some(job) = &mut process.snapshot else { return };
        if process.durable < job.behind && matches!(job.next, Some(DiskOp::Rename { .. })) {
            job.waits = true;
            return;
        }
        let Some(op) = job.next.take() else {
            let zxid = job.zxid;
            process.snapshot = None;
            self.nodes[s].upkeep.snapshot_taken(zxid.0);
            return self.tell(s, Event::SnapshotTaken { zxid }, aud);
        };
        match self.disk_op(s, &op, aud) {
            DiskDone::Yes => self.next_snapshot_op(s),
            DiskDone::No(what) => {
                if let Some(job) = self.nodes[s].process().and_then(|p| p.snapshot.as_mut()) {
                    job.next = Some(op);
                }
                self.next_snapshot_op(s);
                self.tell(s, Event::StoreFailed { what }, aud);
            }
            DiskDone::Crashed => {}
        }
    }

    /// One operation on the disk of `s`, and what the disk and the plan of faults make of it.
    pub(crate) fn disk_op(&mut self, s: usize, op: &DiskOp, aud: &mut Audience) -> DiskDone {
        let boundary = Boundary::of_disk(op);
        if self.crashes_at(s, boundary, aud) {
            return DiskDone::Crashed;
        }
        let node = &mut self.nodes[s];
        let (server, n) = (node.id, node.disk_ops);
        node.disk.full = node.trouble.full_until > self.now;
        let is_sync = matches!(op, DiskOp::Sync(_) | DiskOp::SyncDir(_));
        let injected = if is_sync {
            std::mem::take(&mut node.trouble.fail_sync).then_some(Counter::SyncErrors)
        } else {
            std::mem::take(&mut node.trouble.fail_next).then_some(Counter::WriteErrors)
        };
        let result = match injected {
            Some(counter) => {
                aud.counters.add(counter, 1);
                let mut draw = self.decide.draw(About::DiskError, s as u64, n);
                node.disk.fail_sync(op, &mut draw);
                Err(format!("{boundary:?}: input/output error"))
            }
            None => node.disk.perform(op).map_err(|error| {
                aud.counters.add(Counter::NoSpace, u64::from(node.disk.full));
                error.to_string()
            }),
        };
        let done = result.is_ok();
        aud.observe(self.now, &self.nodes, &Observation::Disk { server, op, done });
        if self.crashes_at(s, boundary, aud) {
            return DiskDone::Crashed;
        }
        match result {
            Ok(()) => DiskDone::Yes,
            Err(what) => DiskDone::No(what),
        }
    }

    pub(crate) fn disk_latency(&mut self, s: usize, op: &DiskOp) -> u64 {
        let sync = self.profile.sync_ns;
        let node = &mut self.nodes[s];
        node.disk_ops += 1;
        let mut draw = self.decide.draw(About::DiskLatency, s as u64, node.disk_ops);
        let usual = match op {
            DiskOp::Sync(_) | DiskOp::SyncDir(_) => draw.around(sync),
            DiskOp::Write { bytes, .. } => draw.around(5_000) + bytes.len() as u64 / 2,
            DiskOp::Create(_)
            | DiskOp::SetLen { .. }
            | DiskOp::Rename { .. }
            | DiskOp::Remove(_) => draw.around(20_000),
        };
        node.trouble.slow.stretch(self.now, usual).max(1_000)
    }

    /// Does the machine lose power, or the process die, at this very place?
    fn crashes_at(&mut self, s: usize, boundary: Boundary, aud: &mut Audience) -> bool {
        let Some(&probability) = self.plan.boundary.get(&boundary) else { return false };
        let count = &mut self.nodes[s].boundaries[boundary as usize];
        *count += 1;
        let who = (s as u64) << 8 | boundary as u64;
        let mut draw = self.decide.draw(About::Boundary, who, *count);
        if !self.faults_on() || self.boundary_crashes == 0 || !draw.chance(probability) {
            return false;
        }
        self.boundary_crashes -= 1;
        aud.counters.crash_at(boundary);
        let why = if draw.one_in(4) { StopReason::Kill } else { StopReason::PowerLoss };
        self.stop(s, why, aud);
        true
    }
}

fn appends(ops: &[StoreOp]) -> u64 {
    let entries = |op: &StoreOp| if let StoreOp::Append(entries) = op { entries.len() } else { 0 };
    ops.iter().map(entries).sum::<usize>() as u64
}
