//! The second executor: the production driver itself, on madsim's sockets, tasks and clock, judged
//! by the checkers of the simulated world. What that world cannot show shows here: framing over
//! reads, races of tasks, turns of many inputs, what a kill leaves of a connection.
//!
//! Compiled under `--cfg madsim` alone; `cargo sim driver` builds it so. madsim has one clock, no
//! half-close and no slow reader, so of a scenario's faults only those in [`Director::strike`] are
//! done; the others, and crashes between two operations on a disk, are counted as left out.

mod seat;
mod stage;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Arc;
use std::time::Duration;

use madsim::net::NetSim;
use madsim::runtime::{Handle, NodeHandle, Runtime};
use madsim::task::NodeId;
use tokio::time::{sleep, sleep_until};
use zebu_core::config::{Config, Ensemble};
use zebu_core::mutant::Mutant;
use zebu_core::storage::{Layout, StorageConfig};
use zebu_net_real::disk::log_task::TaskDisk;
use zebu_net_real::driver::{Driver, Ended, StartError};
use zebu_net_real::settings::{Address, BindRetry, ServerSettings};

use crate::audience::Audience;
use crate::checkers;
use crate::decide::{About, Decide, Draw};
use crate::faults::{Fault, FaultClass, FaultPlan, Target};
use crate::history::{Observation, SimTime, StopReason};
use crate::run::{self, Failure};
use crate::scenario::{Profile, Scenario};
use crate::world::Phase;
use seat::Terms;
use stage::{MachineState, Shared, audience, id_of};

const CLIENT_PORT: u16 = 2181;

/// What a run of the driver is made of beside code.
#[derive(Clone, Debug)]
pub struct DriverSetup {
    pub scenario: Arc<Scenario>,
    pub seed: u64,
    pub mutant: Option<Mutant>,
    /// Print each observation.
    pub trace: bool,
}

/// What came of it.
#[derive(Clone, Debug, Default)]
pub struct DriverVerdict {
    pub hash: u64,
    pub seconds: f64,
    pub servers: usize,
    /// Clients that there were, one after the other in the scenario's seats.
    pub clients: usize,
    pub calls: u64,
    pub answered: u64,
    /// Faults done, by class, and how many were left out.
    pub faults: BTreeMap<FaultClass, u64>,
    pub left_out: u64,
    pub failure: Option<Failure>,
}

/// Runs on a thread of its own: state that a thread keeps (the keys of hash tables) would make the
/// second run on it another one.
pub fn run(setup: &DriverSetup) -> DriverVerdict {
    let setup = setup.clone();
    let run = std::thread::Builder::new().name("driver".into()).spawn(move || {
        let mut verdict = DriverVerdict::default();
        let over = panic::catch_unwind(AssertUnwindSafe(|| {
            let mut config = madsim::Config::default();
            let latency = Profile::draw(&setup.scenario, Decide::new(setup.seed)).latency_ns;
            let latency = Duration::from_nanos(latency).max(Duration::from_millis(1));
            config.net.send_latency = latency / 2..latency * 2;
            let runtime = Runtime::with_seed_and_config(setup.seed, config);
            runtime.block_on(direct(setup.clone(), &mut verdict));
        }));
        if over.is_err() {
            let at = (verdict.seconds * 1e9) as SimTime;
            verdict.failure =
                Some(Failure { property: "PANIC".into(), what: run::last_panic(), at });
        }
        verdict
    });
    let ended = run.expect("a thread can be made").join();
    ended.unwrap_or_else(|_| DriverVerdict {
        failure: Some(Failure { property: "PANIC".into(), what: run::last_panic(), at: 0 }),
        ..DriverVerdict::default()
    })
}

/// One run, from the first node to the verdict.
async fn direct(setup: DriverSetup, verdict: &mut DriverVerdict) {
    let mut director = Director::new(&setup);
    director.act().await;
    let mut stage = director.stage.lock();
    if !director.is_broken() {
        stage.finish();
    }
    let (hash, violation) = audience(|aud| (aud.hash.finish(), aud.violation.take()));
    let failure = violation.map(|(at, violation)| Failure {
        property: violation.property.to_owned(),
        what: violation.what,
        at,
    });
    *verdict = DriverVerdict {
        hash,
        seconds: stage.now() as f64 / 1e9,
        servers: stage.machines.len(),
        clients: stage.clients,
        calls: stage.calls,
        answered: stage.answered,
        faults: std::mem::take(&mut director.faults),
        left_out: director.left_out,
        failure,
    };
}

/// What a server's process is started with, each time anew.
#[derive(Clone, Debug)]
struct ServerTerms {
    stage: Shared,
    decide: Decide,
    config: Config,
    storage: StorageConfig,
    sync: Duration,
}

/// The process: recovers, serves, and says how it ended.
async fn serve(terms: ServerTerms, index: usize) {
    let incarnation = {
        let mut stage = terms.stage.lock();
        let machine = &mut stage.machines[index];
        machine.incarnation += 1;
        u64::from(machine.incarnation)
    };
    let seed = terms.decide.draw(About::ServerSeed, index as u64, incarnation).bits();
    let tick = terms.config.tick;
    let settings = ServerSettings {
        client: Some(Address::new("0.0.0.0", CLIENT_PORT)),
        bind_retry: BindRetry::Forever,
        dial_timeout: tick * 3,
        storage: terms.storage,
        ..ServerSettings::new(Config { seed, ..terms.config })
    };
    let disk = TaskDisk { files: terms.stage.disk(index), latency: terms.sync };
    match Driver::start_observed(settings, disk, terms.stage.watcher(index)).await {
        Ok(driver) => {
            terms.stage.lock().started(index);
            match driver.run(std::future::pending()).await {
                Ended::Shutdown => unreachable!("nobody asked for it"),
                Ended::Halted(_) => terms.stage.lock().stopped(index, StopReason::Halt),
            }
        }
        // A disk that was told to fail did so while it was recovered from.
        Err(StartError::Recover(error)) if error.to_string().contains(stage::INJECTED) => {
            terms.stage.lock().machines[index].state = MachineState::Halted;
        }
        Err(error) => {
            let why = error.to_string();
            let what = Observation::NotStarted { server: id_of(index), why: &why };
            terms.stage.lock().observe(&what);
        }
    }
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Strike(usize),
    Over(usize),
    Restart(usize),
    RestartSeat(usize),
}

/// Starts, kills and cuts; it alone decides when, from the seed.
struct Director {
    stage: Shared,
    scenario: Arc<Scenario>,
    decide: Decide,
    handle: Handle,
    servers: Vec<NodeHandle>,
    seats: Vec<NodeHandle>,
    plan: FaultPlan,
    /// By time, then in the order in which they were planned.
    agenda: BTreeMap<(SimTime, u64), Step>,
    planned: u64,
    /// By fault: the ways that it cut. By way: how many faults cut it.
    cuts: BTreeMap<usize, Vec<(usize, usize)>>,
    cut: BTreeMap<(usize, usize), u32>,
    /// By host: the fault that stopped it.
    paused: BTreeMap<usize, usize>,
    faults: BTreeMap<FaultClass, u64>,
    left_out: u64,
}

impl Director {
    fn new(setup: &DriverSetup) -> Self {
        let scenario = Arc::clone(&setup.scenario);
        let decide = Decide::new(setup.seed);
        let profile = Profile::draw(&scenario, decide);
        let count = scenario.file.ensemble.total();
        let seat_count: usize = scenario.file.clients.iter().map(|c| c.count).sum();
        let checkers = checkers::all(&scenario.info());
        audience(|aud| *aud = Audience { checkers, trace: setup.trace, ..Audience::default() });
        let stage = Shared::new(count, seat_count);
        let ensemble = scenario.file.ensemble.ensemble();
        let handle = Handle::current();
        let limits = scenario.file.ensemble.limits();

        let servers = (0..count).map(|index| {
            let config = scenario.config(id_of(index), ensemble.clone(), &profile);
            let storage = StorageConfig {
                prealloc_bytes: profile.prealloc_bytes,
                record_max: limits.record_max,
                commit_log_count: profile.commit_log_count,
                layout: Layout::DEFAULT,
                autocreate: true,
                log_permille_max: profile.log_permille_max,
                mutant: setup.mutant,
            };
            let config = Config { mutant: setup.mutant, limits: limits.clone(), ..config };
            let sync = Duration::from_nanos(profile.sync_ns);
            scenario.file.past.write(&mut stage.lock().machines[index].disk, &storage);
            let terms = ServerTerms { stage: stage.clone(), decide, config, storage, sync };
            stage.lock().machines[index].state = MachineState::Starting;
            let node = handle.create_node().name(format!("server {}", index + 1));
            node.ip(ip_of(&ensemble, index)).init(move || serve(terms.clone(), index)).build()
        });
        let servers: Vec<NodeHandle> = servers.collect();
        let addresses = (0..count).map(|i| (ip_of(&ensemble, i).to_string(), CLIENT_PORT));
        let terms = Terms {
            stage: stage.clone(),
            scenario: Arc::clone(&scenario),
            decide,
            addresses: Arc::new(addresses.collect()),
        };
        let seats = (0..seat_count).map(|seat| {
            let terms = terms.clone();
            let begun = std::sync::atomic::AtomicBool::new(false);
            let sit = move || {
                let first = !begun.swap(true, std::sync::atomic::Ordering::Relaxed);
                seat::sit(terms.clone(), seat, first)
            };
            let ip = format!("10.2.{}.{}", seat / 250, seat % 250 + 1);
            let node = handle.create_node().name(format!("seat {seat}"));
            node.ip(ip.parse().expect("it is an address")).init(sit).build()
        });
        let seats = seats.collect();
        let plan = FaultPlan::draw(&scenario, decide, &BTreeSet::new());
        let mut director = Self {
            stage,
            scenario,
            decide,
            handle,
            servers,
            seats,
            agenda: BTreeMap::new(),
            planned: 0,
            cuts: BTreeMap::new(),
            cut: BTreeMap::new(),
            paused: BTreeMap::new(),
            faults: BTreeMap::new(),
            left_out: 0,
            plan,
        };
        for index in 0..director.plan.faults.len() {
            director.plan(director.plan.faults[index].at, Step::Strike(index));
        }
        director
    }

    fn plan(&mut self, at: SimTime, step: Step) {
        self.agenda.insert((at, self.planned), step);
        self.planned += 1;
    }
    fn now(&self) -> SimTime {
        self.stage.lock().now()
    }
    fn tick(&self) -> SimTime {
        self.scenario.file.ensemble.tick_ms * 1_000_000
    }
    fn is_broken(&self) -> bool {
        audience(|aud| aud.violation.is_some())
    }

    async fn act(&mut self) {
        let end = (self.scenario.file.run.seconds * 1e9) as SimTime;
        self.pass(end).await;
        self.end_faults();
        let bound = self.scenario.info().liveness_bound;
        let quarter = self.tick() / 4;

        let since = self.now();
        self.stage.lock().phase = Phase::Liveness { since };
        self.observe(&Observation::LivenessPhase);
        while !self.is_broken() {
            self.pass(self.now() + quarter).await;
            let stuck = self.without_progress();
            if stuck.is_empty() {
                break;
            }
            if self.now() > since + bound {
                let stuck = stuck.join(", ");
                let what =
                    format!("no progress within {} ms of the last fault: {stuck}", ms(bound));
                self.violated("L-CLI", what);
            }
        }

        let since = self.now();
        self.stage.lock().phase = Phase::Quiet { since };
        self.observe(&Observation::Quiet);
        // Sessions of clients that are gone run out meanwhile.
        self.pass(since + 24 * self.tick()).await;
        while !self.is_broken() {
            let different = self.differences();
            if different.is_empty() {
                break;
            }
            if self.now() > since + 24 * self.tick() + bound {
                let (after, different) = (ms(self.now() - since), different.join(", "));
                self.violated("L-EQ", format!("not equal {after} ms after the end: {different}"));
            }
            self.pass(self.now() + quarter).await;
        }
        self.stage.lock().phase = Phase::Over;
    }

    fn observe(&self, what: &Observation<'_>) {
        self.stage.lock().observe(what);
    }
    fn violated(&self, property: &'static str, what: String) {
        self.stage.lock().violated(property, what);
    }

    /// Everything on the agenda up to a time, which passes.
    async fn pass(&mut self, until: SimTime) {
        while !self.is_broken() {
            self.restart_halted();
            let now = self.now();
            let due = self.agenda.first_key_value().map(|((at, _), _)| *at);
            match due {
                Some(due) if due <= now => {
                    let (_, step) = self.agenda.pop_first().expect("just seen");
                    self.take(step);
                }
                _ if now >= until => return,
                _ => {
                    let soon = now + self.tick() / 4;
                    let next = due.unwrap_or(until).min(until).min(soon);
                    let zero = self.stage.lock().zero();
                    sleep_until(zero + Duration::from_nanos(next)).await;
                }
            }
        }
        // Whoever is in the middle of something may finish it: the trace ends at one place.
        sleep(Duration::from_millis(1)).await;
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Strike(index) => self.strike(index),
            Step::Over(index) => self.strike_over(index),
            Step::Restart(s) => self.restart(s),
            Step::RestartSeat(seat) => self.handle.restart(self.seats[seat].id()),
        }
    }

    /// What stopped by itself is started again, as an operator would.
    fn restart_halted(&mut self) {
        for s in 0..self.servers.len() {
            let mut stage = self.stage.lock();
            let now = stage.now();
            let machine = &mut stage.machines[s];
            if machine.state != MachineState::Halted {
                continue;
            }
            machine.state = MachineState::Down;
            let n = u64::from(machine.incarnation);
            drop(stage);
            self.wake(s);
            self.handle.kill(self.servers[s].id());
            let [low, high] = self.scenario.file.machine.downtime_ms;
            let mut draw = self.decide.draw(About::Downtime, s as u64, n);
            let downtime = draw.magnitude(low * 1_000_000, high * 1_000_000);
            self.plan(now + downtime, Step::Restart(s));
        }
    }

    fn restart(&mut self, s: usize) {
        let mut stage = self.stage.lock();
        let machine = &mut stage.machines[s];
        if machine.state == MachineState::Down {
            machine.state = MachineState::Starting;
            drop(stage);
            self.handle.restart(self.servers[s].id());
        }
    }

    /// madsim forgets a node's sockets at a kill alone, so a restart without one finds its ports
    /// taken.
    fn kill(&mut self, s: usize, why: StopReason, downtime: SimTime) {
        let state = self.stage.lock().machines[s].state;
        if !matches!(state, MachineState::Running | MachineState::Starting) {
            return;
        }
        self.wake(s);
        self.handle.kill(self.servers[s].id());
        let mut stage = self.stage.lock();
        let n = u64::from(stage.machines[s].incarnation);
        if why == StopReason::PowerLoss {
            let mut draw = self.decide.draw(About::Crash, s as u64, n);
            stage.machines[s].disk.crash(&mut draw);
        }
        stage.stopped(s, why);
        let at = stage.now() + downtime;
        drop(stage);
        self.plan(at, Step::Restart(s));
    }

    fn strike(&mut self, index: usize) {
        let fault = self.plan.faults[index].clone();
        let mut draw = self.decide.draw(About::FaultShape, fault.class as u64, fault.n);
        let s = self.aim(&fault, &mut draw);
        let seat = draw.index(self.seats.len());
        match fault.class {
            FaultClass::PowerLoss => self.kill(s, StopReason::PowerLoss, fault.for_ns),
            FaultClass::Kill => self.kill(s, StopReason::Kill, fault.for_ns),
            FaultClass::ClusterPowerLoss => {
                for s in 0..self.servers.len() {
                    let downtime = draw.below(fault.for_ns.max(1));
                    self.kill(s, StopReason::PowerLoss, downtime);
                }
            }
            FaultClass::Pause => self.pause(index, s),
            FaultClass::Partition => {
                // The server, and about half of the others' clients, on one side.
                let hosts = self.servers.len() + self.seats.len();
                let side: Vec<bool> = (0..hosts)
                    .map(|host| host == s || host >= self.servers.len() && draw.one_in(2))
                    .collect();
                let ways = (0..hosts).flat_map(|a| (0..hosts).map(move |b| (a, b)));
                self.cut(index, ways.filter(|&(a, b)| side[a] != side[b]).collect());
            }
            FaultClass::OneWay => {
                let other =
                    (s + 1 + draw.index(self.servers.len().max(2) - 1)) % self.servers.len();
                let way = if draw.one_in(2) { (s, other) } else { (other, s) };
                self.cut(index, if s == other { Vec::new() } else { vec![way] });
            }
            FaultClass::SyncError => self.stage.lock().machines[s].fail_sync = true,
            FaultClass::WriteError => self.stage.lock().machines[s].fail_next = true,
            FaultClass::ClientPause if !self.seats.is_empty() => {
                self.pause(index, self.servers.len() + seat);
            }
            FaultClass::ClientCrash if !self.seats.is_empty() => {
                self.crash_client(seat, fault.for_ns);
            }
            FaultClass::DiskFull
            | FaultClass::Stall
            | FaultClass::Break
            | FaultClass::SlowLink
            | FaultClass::SlowDisk
            | FaultClass::ClockJump
            | FaultClass::ClockDrift
            | FaultClass::ClientPause
            | FaultClass::ClientCrash
            | FaultClass::RottenSnapshot
            | FaultClass::Wipe => {
                self.left_out += 1;
                return;
            }
        }
        *self.faults.entry(fault.class).or_default() += 1;
        audience(|aud| aud.counters.fault(fault.class));
        self.plan(self.now() + fault.for_ns, Step::Over(index));
    }

    fn strike_over(&mut self, index: usize) {
        for way in self.cuts.remove(&index).unwrap_or_default() {
            self.heal(way);
        }
        let host = self.paused.iter().find(|(_, by)| **by == index).map(|(host, _)| *host);
        if let Some(host) = host {
            self.wake(host);
        }
    }

    fn aim(&self, fault: &Fault, draw: &mut Draw) -> usize {
        let servers = self.servers.len();
        let any = draw.index(servers);
        let favour_leader = draw.one_in(3);
        let leader = self.stage.lock().leader;
        match (fault.who, leader) {
            (Target::Server(number), _) => number.saturating_sub(1).min(servers - 1),
            (Target::Leader, Some(leader)) => leader,
            (Target::Follower, Some(leader)) if any == leader => (any + 1) % servers,
            (Target::Observer, _) => {
                let voters = self.scenario.file.ensemble.servers;
                if servers == voters { any } else { voters + any % (servers - voters) }
            }
            (Target::Any, Some(leader)) if favour_leader => leader,
            _ => any,
        }
    }

    fn node(&self, host: usize) -> NodeId {
        let servers = self.servers.len();
        if host < servers { self.servers[host].id() } else { self.seats[host - servers].id() }
    }

    fn pause(&mut self, by: usize, host: usize) {
        let up = self.stage.lock().machines.get(host).is_none_or(|machine| {
            matches!(machine.state, MachineState::Running | MachineState::Starting)
        });
        if up && !self.paused.contains_key(&host) {
            self.paused.insert(host, by);
            self.handle.pause(self.node(host));
        }
    }
    fn wake(&mut self, host: usize) {
        if self.paused.remove(&host).is_some() {
            self.handle.resume(self.node(host));
        }
    }

    /// The client's process dies; another one comes after a while.
    fn crash_client(&mut self, seat: usize, downtime: SimTime) {
        let Some(client) = self.stage.lock().seats[seat].client.take() else { return };
        self.wake(self.servers.len() + seat);
        self.handle.kill(self.seats[seat].id());
        let was_linked = std::mem::take(&mut self.stage.lock().seats[seat].linked);
        if was_linked {
            let client = crate::history::ClientId(client);
            self.observe(&Observation::Disconnected { client });
        }
        self.plan(self.now() + downtime, Step::RestartSeat(seat));
    }

    fn cut(&mut self, index: usize, ways: Vec<(usize, usize)>) {
        for &(from, to) in &ways {
            let faults = self.cut.entry((from, to)).or_default();
            *faults += 1;
            if *faults == 1 {
                NetSim::current().clog_link(self.node(from), self.node(to));
                self.tell_link(from, to, false);
            }
        }
        self.cuts.insert(index, ways);
    }

    fn heal(&mut self, (from, to): (usize, usize)) {
        let Some(faults) = self.cut.get_mut(&(from, to)) else { return };
        *faults -= 1;
        if *faults == 0 {
            self.cut.remove(&(from, to));
            NetSim::current().unclog_link(self.node(from), self.node(to));
            self.tell_link(from, to, true);
        }
    }

    fn tell_link(&self, from: usize, to: usize, open: bool) {
        if from.max(to) < self.servers.len() {
            self.observe(&Observation::Link { from: id_of(from), to: id_of(to), open });
        }
    }

    /// Everything is undone, and whoever is down is started.
    fn end_faults(&mut self) {
        for index in self.cuts.keys().copied().collect::<Vec<_>>() {
            for way in self.cuts.remove(&index).unwrap_or_default() {
                self.heal(way);
            }
        }
        for host in self.paused.keys().copied().collect::<Vec<_>>() {
            self.wake(host);
        }
        for machine in &mut self.stage.lock().machines {
            (machine.fail_sync, machine.fail_next) = (false, false);
        }
        // What was planned to come back comes back now.
        for (_, step) in std::mem::take(&mut self.agenda) {
            if matches!(step, Step::Restart(_) | Step::RestartSeat(_)) {
                self.take(step);
            }
        }
    }

    fn without_progress(&self) -> Vec<String> {
        let stage = self.stage.lock();
        let machines = stage.machines.iter().enumerate();
        let down = machines.filter(|(_, machine)| machine.state != MachineState::Running);
        let seats = stage.seats.iter().filter(|seat| {
            seat.client.is_some() && !if seat.idle { seat.connected } else { seat.progressed }
        });
        let down = down.map(|(s, _)| format!("{:?}", id_of(s)));
        down.chain(seats.map(|seat| format!("client {:?}", seat.client))).collect()
    }

    /// Who has not reached the newest state that a running server applied.
    fn differences(&self) -> Vec<String> {
        let stage = self.stage.lock();
        let applied =
            |machine: &stage::Machine| machine.database.as_ref().map(|d| d.last_processed);
        let newest = stage.machines.iter().filter_map(applied).max();
        let mut different = Vec::new();
        for (s, machine) in stage.machines.iter().enumerate() {
            if applied(machine) != newest || newest.is_none() {
                different.push(format!("{:?} at {:?}", id_of(s), applied(machine)));
            }
        }
        let waiting = stage.seats.iter().filter(|seat| seat.client.is_some());
        let waiting = waiting.filter(|seat| seat.outstanding > 0);
        different.extend(waiting.map(|seat| format!("client {:?} waits", seat.client)));
        different
    }
}

fn ms(ns: SimTime) -> SimTime {
    ns / 1_000_000
}

fn ip_of(ensemble: &Ensemble, index: usize) -> IpAddr {
    ensemble.members[&id_of(index)].host.parse().expect("the world's members have addresses")
}
