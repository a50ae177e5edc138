//! The loop: one thing after the other happens to servers, clients and the network, in the order of
//! virtual time. A world is a function of code, scenario and seed, and can be cloned at any moment.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use zebu_core::config::{Config, Limits};
use zebu_core::ids::{ConnId, LinkId, ServerId, Zxid};
use zebu_core::mutant::Mutant;
use zebu_core::server::{Event, Note, Port, RoleName};

use crate::agenda::{Agenda, What};
use crate::audience::Audience;
use crate::clients::SimClient;
use crate::clock::Clock;
use crate::decide::{About, Decide};
use crate::faults::{Fault, FaultPlan};
use crate::history::{Observation, SimTime, StopReason};
use crate::model::CONFIG;
use crate::model::membership::Configuration;
use crate::net::{ConnKey, Host, Net, Parcel, Service, Side};
use crate::process::{Node, State};
use crate::scenario::{Profile, Scenario};
use crate::wire::Wire;

/// A run that has so many has stopped moving forward.
const EVENTS_MAX: u64 = 20_000_000;

#[derive(Clone, Debug)]
pub struct World {
    pub now: SimTime,
    pub(crate) scenario: Arc<Scenario>,
    pub(crate) decide: Decide,
    pub(crate) profile: Profile,
    pub(crate) plan: Arc<FaultPlan>,
    /// Faults that something which happened brought about, numbered behind those of the plan.
    pub(crate) upon: Vec<Fault>,
    /// Faults to leave out, by name.
    pub(crate) skip: BTreeSet<String>,
    pub(crate) limits: Limits,
    pub(crate) mutant: Option<Mutant>,
    pub(crate) agenda: Agenda,
    pub nodes: Vec<Node>,
    pub(crate) net: Net,
    pub(crate) clients: Vec<SimClient>,
    /// By place among the scenario's clients: who sits there now.
    pub(crate) seats: Vec<usize>,
    dials: Vec<DialAttempt>,
    /// What came up for a host while it stood still, in order.
    paused: BTreeMap<Host, Pause>,
    pub(crate) phase: Phase,
    /// Crashes by boundary that are left.
    pub(crate) boundary_crashes: u32,
    /// Who said last that it leads: only to aim faults.
    pub(crate) leader: Option<usize>,
    /// Which hosts the fault of this index cut from which.
    pub(crate) cuts: BTreeMap<u32, Vec<(Host, Host)>>,
    pub(crate) events: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Phase {
    Faults,
    /// Faults are over since then; progress is due.
    Liveness {
        since: SimTime,
    },
    /// Clients are quiet since then.
    Quiet {
        since: SimTime,
    },
    Over,
}

/// Who holds an end of a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Owner {
    Server(usize),
    Client(usize),
}

#[derive(Clone, Debug)]
struct DialAttempt {
    from: Owner,
    /// Which life of the dialler asked: a server's incarnation, a client's n-th attempt.
    life: u64,
    to: usize,
    service: Service,
    began: SimTime,
}

#[derive(Clone, Debug)]
struct Pause {
    until: SimTime,
    missed: Vec<What>,
}

/// What a run is made of beside code.
#[derive(Clone, Debug)]
pub struct Setup {
    pub scenario: Arc<Scenario>,
    pub seed: u64,
    pub mutant: Option<Mutant>,
    /// Faults to leave out, by name.
    pub skip: BTreeSet<String>,
    /// Without checkers: what the world alone costs.
    pub bare: bool,
}

impl Setup {
    /// The seed's numbers and the faults it has, by name, for people.
    pub fn describe(&self) -> Vec<String> {
        let decide = Decide::new(self.seed);
        let plan = FaultPlan::draw(&self.scenario, decide, &self.skip);
        let mut lines = vec![format!("{:?}", Profile::draw(&self.scenario, decide))];
        lines.extend(plan.boundary.iter().map(|(at, p)| format!("crash at {at:?}: {p}")));
        lines.extend(plan.faults.iter().map(|fault| {
            let (at, long) = (fault.at as f64 / 1e9, fault.for_ns as f64 / 1e9);
            format!("{at:>10.6}  {} for {long:.3} s", fault.name())
        }));
        lines
    }
}

impl World {
    pub fn new(setup: &Setup) -> Self {
        let scenario = Arc::clone(&setup.scenario);
        let decide = Decide::new(setup.seed);
        let profile = Profile::draw(&scenario, decide);
        let servers = scenario.file.ensemble.total();
        let seats: usize = scenario.file.clients.iter().map(|c| c.count).sum();
        let skew = scenario.file.machine.wall_skew_ms;
        let nodes = (0..servers).map(|s| {
            let mut draw = decide.draw(About::Clock, s as u64, 0);
            let offset = draw.between(0, 2 * skew) as i64 - skew as i64;
            let id = ServerId(s as i64 + 1);
            let mut draw = decide.draw(About::Profile, 1 << 16, s as u64);
            let ensemble = scenario.file.ensemble.first_of(id, &mut draw);
            Node::new(id, Clock::new(0, 0, 0, offset), ensemble)
        });
        let mut world = Self {
            now: 0,
            nodes: nodes.collect(),
            net: Net::new(decide, servers + seats, profile.latency_ns, profile.codec),
            plan: Arc::new(FaultPlan::draw(&scenario, decide, &setup.skip)),
            upon: Vec::new(),
            skip: setup.skip.clone(),
            limits: scenario.file.ensemble.limits(),
            mutant: setup.mutant,
            agenda: Agenda::default(),
            clients: Vec::new(),
            seats: Vec::new(),
            dials: Vec::new(),
            paused: BTreeMap::new(),
            phase: Phase::Faults,
            boundary_crashes: scenario.file.run.boundary_crashes_max,
            leader: None,
            cuts: BTreeMap::new(),
            events: 0,
            scenario,
            decide,
            profile,
        };
        let storage = world.storage_config();
        for node in &mut world.nodes {
            world.scenario.file.past.write(&mut node.disk, &storage);
        }
        for s in 0..servers {
            let mut draw = decide.draw(About::Downtime, s as u64, 0);
            let at = draw.below(world.tick_ns());
            world.agenda.push(at, What::Restart { server: s as u8, incarnation: 0 });
        }
        for (index, fault) in world.plan.faults.iter().enumerate() {
            world.agenda.push(fault.at, What::Fault { index: index as u32 });
        }
        for seat in 0..seats {
            world.seat_client(seat);
        }
        world.agenda.push(world.faults_end(), What::Phase);
        world
    }

    /// Everything that happens, until the run is over or a promise was broken.
    pub fn run(&mut self, aud: &mut Audience) {
        while self.phase != Phase::Over && aud.violation.is_none() {
            let Some((at, what)) = self.agenda.pop() else { break };
            self.now = self.now.max(at);
            self.events += 1;
            if self.events > EVENTS_MAX {
                aud.violated(self.now, "R-WORK", format!("{EVENTS_MAX} events and no end"));
            }
            self.step(what, aud);
        }
        if aud.violation.is_none() {
            aud.finish(self.now, &self.nodes);
        }
        aud.counters.events += self.events;
        aud.counters.simulated_ns += self.now;
    }

    fn step(&mut self, what: What, aud: &mut Audience) {
        if let Some(host) = self.concerns(what)
            && let Some(pause) = self.paused.get_mut(&host)
        {
            pause.missed.push(what);
            return;
        }
        match what {
            What::Deliver { conn, to } => self.deliver(conn, to, aud),
            What::Dial { attempt } => self.on_dial(attempt, aud),
            What::DialTimeout { attempt } => self.dial_failed(attempt, aud),
            What::Timer { server, incarnation } => {
                self.of_this_life(server, incarnation, aud, Self::on_timer);
            }
            What::LogOp { server, incarnation } => {
                self.of_this_life(server, incarnation, aud, Self::on_log_op);
            }
            What::SnapshotOp { server, incarnation } => {
                self.of_this_life(server, incarnation, aud, Self::on_snapshot_op);
            }
            What::RecoveryOp { server, incarnation } => {
                self.of_this_life(server, incarnation, aud, Self::on_recovery_op);
            }
            What::LogRead { server, incarnation, conn, above, upto } => {
                if self.nodes[server as usize].incarnation == incarnation {
                    self.on_log_read(server as usize, conn, [above, upto].map(Zxid), aud);
                }
            }
            What::PurgeOp { server, incarnation } => {
                self.of_this_life(server, incarnation, aud, Self::on_purge_op);
            }
            What::Restart { server, incarnation } => {
                self.of_this_life(server, incarnation, aud, Self::start);
            }
            What::Client { client } => self.wake_client(client as usize, aud),
            What::NewClient { slot } => self.seat_client(slot as usize),
            What::Resume { host } => {
                let host = host as usize;
                if self.paused.get(&host).is_some_and(|pause| pause.until <= self.now) {
                    self.resume(host);
                }
            }
            What::Fault { index } => self.strike(index, aud),
            What::FaultOver { index } => self.strike_over(index, aud),
            What::Phase => self.next_phase(aud),
        }
    }

    fn of_this_life(
        &mut self,
        server: u8,
        incarnation: u32,
        aud: &mut Audience,
        act: fn(&mut Self, usize, &mut Audience),
    ) {
        if self.nodes[server as usize].incarnation == incarnation {
            act(self, server as usize, aud);
        }
    }

    /// The host that must be awake for this.
    fn concerns(&self, what: What) -> Option<Host> {
        if self.paused.is_empty() {
            return None;
        }
        match what {
            What::Deliver { conn, to } => self.net.get(conn).map(|conn| conn.host(to)),
            What::Dial { attempt } => Some(self.dials[attempt as usize].to),
            What::DialTimeout { attempt } => Some(self.host(self.dials[attempt as usize].from)),
            What::Timer { server, .. }
            | What::LogOp { server, .. }
            | What::SnapshotOp { server, .. }
            | What::RecoveryOp { server, .. }
            | What::LogRead { server, .. }
            | What::PurgeOp { server, .. } => Some(server as usize),
            What::Client { client } => Some(self.clients[client as usize].host),
            What::NewClient { .. }
            | What::Restart { .. }
            | What::Resume { .. }
            | What::Fault { .. }
            | What::FaultOver { .. }
            | What::Phase => None,
        }
    }

    /// A host stands still: what comes up for it waits.
    pub(crate) fn pause(&mut self, host: Host, until: SimTime) {
        let pause = self.paused.entry(host).or_insert(Pause { until, missed: Vec::new() });
        pause.until = pause.until.max(until);
        self.agenda.push(pause.until, What::Resume { host: host as u32 });
    }
    pub(crate) fn resume(&mut self, host: Host) {
        if let Some(pause) = self.paused.remove(&host) {
            for what in pause.missed {
                self.agenda.push(self.now, what);
            }
        }
    }

    pub(crate) fn host(&self, owner: Owner) -> Host {
        match owner {
            Owner::Server(s) => s,
            Owner::Client(c) => self.clients[c].host,
        }
    }
    pub(crate) fn tick_ns(&self) -> u64 {
        self.scenario.file.ensemble.tick_ms * 1_000_000
    }
    pub(crate) fn faults_on(&self) -> bool {
        self.phase == Phase::Faults
    }
    fn faults_end(&self) -> SimTime {
        (self.scenario.file.run.seconds * 1e9) as SimTime
    }

    pub(crate) fn config_of(&self, s: usize) -> Config {
        let node = &self.nodes[s];
        Config {
            limits: self.limits.clone(),
            mutant: self.mutant,
            ..self.scenario.config(node.id, node.ensemble.clone(), &self.profile)
        }
    }

    pub(crate) fn noted(&mut self, s: usize, note: &Note) {
        match note {
            Note::Established { .. } => self.leader = Some(s),
            Note::Role(RoleName::Looking) if self.leader == Some(s) => self.leader = None,
            _ => {}
        }
    }
}

/// Connections.
impl World {
    pub(crate) fn dial(&mut self, from: Owner, to: usize, service: Service) {
        let life = match from {
            Owner::Server(s) => u64::from(self.nodes[s].incarnation),
            Owner::Client(c) => self.clients[c].attempts,
        };
        let attempt = self.dials.len() as u32;
        self.dials.push(DialAttempt { from, life, to, service, began: self.now });
        let delay = self.net.delay(self.now, self.host(from), to);
        self.agenda.push(self.now + delay, What::Dial { attempt });
    }

    fn on_dial(&mut self, attempt: u32, aud: &mut Audience) {
        let dial = self.dials[attempt as usize].clone();
        let hosts = [self.host(dial.from), dial.to];
        let (out, back) =
            (self.net.is_cut(hosts[0], hosts[1]), self.net.is_cut(hosts[1], hosts[0]));
        let silent = match &self.nodes[dial.to].state {
            State::Down { why: StopReason::PowerLoss } => {
                self.decide.draw(About::Dial, u64::from(attempt), 0).one_in(2)
            }
            _ => out || back,
        };
        if silent {
            // Nobody answers; the dialler gives up by itself.
            let timeout = dial.began + 3 * self.tick_ns();
            self.agenda.push(timeout.max(self.now), What::DialTimeout { attempt });
            return;
        }
        if !self.nodes[dial.to].is_running() {
            let delay = self.net.delay(self.now, hosts[1], hosts[0]);
            self.agenda.push(self.now + delay, What::DialTimeout { attempt });
            return;
        }
        if !self.dialler_lives(&dial) {
            return;
        }
        let wire = self.net.codec().then(|| {
            let id = ServerId(hosts[0] as i64 + 1);
            let address = self.scenario.file.ensemble.election_address(id);
            Wire::new(dial.service, id, &address, &self.limits)
        });
        let key = self.net.connect(self.now, dial.service, hosts, wire, &mut self.agenda);
        let event = match dial.service {
            Service::Client => {
                let ip = format!("10.0.{}.{}", hosts[0] / 250, hosts[0] % 250 + 1);
                let port = 1024 + (key.0 % 60_000) as u16;
                Event::ConnOpen { conn: ConnId(key.0.into()), ip, port }
            }
            Service::Peer(port @ (Port::Quorum | Port::ObserverMaster)) => {
                Event::LinkUp { link: LinkId(key.0.into()), port, peer: None, dialled: false }
            }
            // The handshake must come first: it names the dialler.
            Service::Peer(Port::Election) => return,
        };
        self.tell(dial.to, event, aud);
    }

    fn dialler_lives(&self, dial: &DialAttempt) -> bool {
        match dial.from {
            Owner::Server(s) => {
                self.nodes[s].is_running() && u64::from(self.nodes[s].incarnation) == dial.life
            }
            Owner::Client(c) => self.clients[c].waits_for(dial.life),
        }
    }

    fn dial_failed(&mut self, attempt: u32, aud: &mut Audience) {
        let dial = self.dials[attempt as usize].clone();
        if !self.dialler_lives(&dial) {
            return;
        }
        match (dial.from, dial.service) {
            (Owner::Server(s), Service::Peer(port)) => {
                self.tell(s, Event::DialFailed { to: ServerId(dial.to as i64 + 1), port }, aud);
            }
            (Owner::Client(c), _) => self.client_disconnected(c, aud),
            (Owner::Server(_), Service::Client) => {}
        }
    }

    fn deliver(&mut self, key: ConnKey, to: Side, aud: &mut Audience) {
        let Some(conn) = self.net.get(key) else { return };
        let (service, host, peer) = (conn.service, conn.host(to), conn.host(to.other()));
        let Some(parcel) = self.net.arrive(self.now, key, to, &mut self.agenda) else { return };
        let Parcel::Bytes(bytes) = parcel else {
            return self.hand_over(key, service, to, host, peer, parcel, aud);
        };
        match self.net.decode(key, to, &bytes) {
            Ok(parcels) => {
                for parcel in parcels {
                    if self.net.get(key).is_some_and(|conn| conn.is_open(to)) {
                        self.hand_over(key, service, to, host, peer, parcel, aud);
                    }
                }
            }
            Err(why) => {
                let what = format!("{service:?} bytes that core wrote cannot be read: {why}");
                aud.violated(self.now, "R-INPUT", what);
            }
        }
    }

    #[expect(clippy::too_many_arguments, reason = "one connection, looked up once")]
    fn hand_over(
        &mut self,
        key: ConnKey,
        service: Service,
        to: Side,
        host: Host,
        peer: Host,
        parcel: Parcel,
        aud: &mut Audience,
    ) {
        if host >= self.nodes.len() {
            return self.client_receives(key, host, peer, parcel, aud);
        }
        let (link, conn) = (LinkId(key.0.into()), ConnId(key.0.into()));
        let peer_id = Some(ServerId(peer as i64 + 1));
        let event = match (parcel, service) {
            (Parcel::Established, Service::Peer(port)) => {
                if port == Port::Election {
                    let hello = Parcel::Hello(ServerId(host as i64 + 1));
                    self.net.send(self.now, key, host, hello, &mut self.agenda);
                }
                Event::LinkUp { link, port, peer: peer_id, dialled: true }
            }
            (Parcel::Hello(id), Service::Peer(port)) => {
                debug_assert_eq!(to, Side::Acceptor);
                Event::LinkUp { link, port, peer: Some(id), dialled: false }
            }
            (Parcel::Peer(message), _) => Event::Peer { link, message },
            (Parcel::Request(request), _) => Event::Client { conn, request },
            (Parcel::Closed, Service::Client) => Event::ConnGone { conn },
            (Parcel::Closed, Service::Peer(_)) => Event::LinkDown { link },
            (parcel, service) => unreachable!("{parcel:?} on {service:?}"),
        };
        self.tell(host, event, aud);
    }
}

/// The course of a run.
impl World {
    fn next_phase(&mut self, aud: &mut Audience) {
        let bound = self.scenario.info().liveness_bound;
        let again = self.tick_ns() / 4;
        match self.phase {
            Phase::Faults => {
                self.end_faults(aud);
                self.phase = Phase::Liveness { since: self.now };
                aud.observe(self.now, &self.nodes, &Observation::LivenessPhase);
                for client in &mut self.clients {
                    client.expect_progress();
                }
            }
            Phase::Liveness { since } => {
                let stuck = self.without_progress();
                if stuck.is_empty() {
                    self.phase = Phase::Quiet { since: self.now };
                    for client in &mut self.clients {
                        client.quiet = true;
                    }
                    aud.observe(self.now, &self.nodes, &Observation::Quiet);
                } else if self.now > since + bound {
                    let what = format!(
                        "no progress within {} ms of the last fault: {}",
                        bound / 1_000_000,
                        stuck.join(", ")
                    );
                    aud.violated(self.now, "L-CLI", what);
                }
            }
            Phase::Quiet { since } => {
                // Sessions of clients that are gone run out meanwhile.
                let least = if self.clients.iter().any(SimClient::is_abandoned) {
                    24 * self.tick_ns()
                } else {
                    2 * self.tick_ns()
                };
                let different = self.differences();
                if self.now >= since + least && different.is_empty() {
                    self.phase = Phase::Over;
                } else if self.now > since + least + bound {
                    let what = format!(
                        "not equal {} ms after clients stopped: {}",
                        (self.now - since) / 1_000_000,
                        different.join(", ")
                    );
                    aud.violated(self.now, "L-EQ", what);
                }
            }
            Phase::Over => return,
        }
        self.agenda.push(self.now + again, What::Phase);
    }

    /// Everything that was done to the world is undone, and whoever is down is started.
    fn end_faults(&mut self, aud: &mut Audience) {
        self.net.heal_all(self.now, &mut self.agenda);
        for (_, cuts) in std::mem::take(&mut self.cuts) {
            self.tell_links(&cuts, true, aud);
        }
        let hosts: Vec<Host> = self.paused.keys().copied().collect();
        for host in hosts {
            self.resume(host);
        }
        for s in 0..self.nodes.len() {
            self.nodes[s].trouble = Default::default();
            self.nodes[s].disk.full = false;
            let incarnation = self.nodes[s].incarnation;
            if self.nodes[s].is_down() {
                let mut draw = self.decide.draw(About::Downtime, s as u64, u64::from(incarnation));
                let at = self.now + draw.below(self.tick_ns());
                self.agenda.push(at, What::Restart { server: s as u8, incarnation });
            }
        }
    }

    fn without_progress(&self) -> Vec<String> {
        let due = self.nodes.iter().filter(|n| self.is_member(n.id));
        let down = due.filter(|n| !n.is_serving()).map(|n| format!("{:?}", n.id));
        let clients = self.clients.iter().filter(|c| !c.has_progressed());
        down.chain(clients.map(|c| format!("client {}", c.id.0))).collect()
    }

    /// Must it serve in the end? Where the ensemble was changed, those who have applied most know who is
    /// in it; checkers know it better.
    fn is_member(&self, id: ServerId) -> bool {
        let spec = &self.scenario.file.ensemble;
        if !spec.is_dynamic() {
            return true;
        }
        let databases = self.nodes.iter().filter_map(|node| node.view().database);
        let newest = databases.max_by_key(|database| database.last_processed);
        let text = newest.and_then(|newest| newest.tree.get(CONFIG)?.data.cloned());
        match text.and_then(|text| Configuration::parse(&text)) {
            Some(known) if known.version > 0 => known.members.contains_key(&id),
            _ => id.0 as usize <= spec.members(),
        }
    }

    /// Who has not reached the newest state that a running server applied.
    fn differences(&mut self) -> Vec<String> {
        let applied: Vec<_> = self
            .nodes
            .iter()
            .map(|n| n.view().database.map(|database| database.last_processed))
            .collect();
        let newest = applied.iter().flatten().max().copied();
        let mut different = Vec::new();
        let due: Vec<bool> = self.nodes.iter().map(|n| self.is_member(n.id)).collect();
        for ((node, zxid), due) in self.nodes.iter_mut().zip(&applied).zip(due) {
            if !due {
                continue;
            }
            let at_rest = node.process().is_some_and(|process| process.is_idle());
            if *zxid != newest || !at_rest || !node.is_serving() {
                let at = zxid.map_or("down".into(), |zxid| zxid.to_string());
                different.push(format!("{:?} {at}", node.id));
            }
        }
        let waiting = self.clients.iter().filter(|c| !c.is_settled());
        different.extend(waiting.map(|c| format!("client {} waits", c.id.0)));
        different
    }
}
