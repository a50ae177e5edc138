//! The scenario's clients: core's own client machine, a connection, and work to do.

use std::collections::BTreeMap;

use zebu_core::client::{CallId, Client, ClientAction, ClientConfig, ClientEvent, SessionEvent};
use zebu_core::ids::ServerId;
use zebu_core::proto::Request;
use zebu_core::time::{Duration, Instant};

use crate::agenda::What;
use crate::audience::Audience;
use crate::counters::Counter;
use crate::decide::{About, Draw};
use crate::history::{ClientId, Observation, SimTime};
use crate::net::{ConnKey, Host, Parcel, Service};
use crate::work::Work;
pub use crate::work::{OpKind, WorkKind};
use crate::world::{Owner, Phase, World};

#[derive(Clone, Debug)]
pub struct SimClient {
    pub id: ClientId,
    pub(crate) host: Host,
    seat: usize,
    client: Client,
    work: Work,
    link: Link,
    /// Dials so far; each has its number.
    pub(crate) attempts: u64,
    outstanding: BTreeMap<CallId, Request>,
    pipeline: usize,
    think_ns: u64,
    hop: f64,
    reopen: f64,
    next_call: SimTime,
    /// Decisions so far.
    decisions: u64,
    armed: Option<SimTime>,
    life: Life,
    connected: bool,
    /// The first call that counts as progress, and whether one was answered.
    progress_from: Option<CallId>,
    progressed: bool,
    calls: u64,
    /// No further calls.
    pub(crate) quiet: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Link {
    None,
    Dialling { attempt: u64, server: usize },
    Up { key: ConnKey, server: usize },
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Life {
    Working,
    /// closeSession is on its way.
    Closing,
    /// It closed its session; another client sits in its seat.
    Left,
    /// It crashed; its session is left to expire.
    Abandoned,
}

impl SimClient {
    pub(crate) fn waits_for(&self, attempt: u64) -> bool {
        matches!(self.link, Link::Dialling { attempt: ours, .. } if ours == attempt)
    }
    pub(crate) fn is_abandoned(&self) -> bool {
        self.life == Life::Abandoned
    }
    fn is_here(&self) -> bool {
        matches!(self.life, Life::Working | Life::Closing)
    }
    pub(crate) fn expect_progress(&mut self) {
        self.progress_from = Some(CallId(self.calls));
        self.progressed = false;
        self.work.settle();
    }
    /// Since faults ended: was a fresh call answered, or is an idle client's session alive?
    pub(crate) fn has_progressed(&self) -> bool {
        !self.is_here() || if self.work.is_idle() { self.connected } else { self.progressed }
    }
    /// Nothing it still waits for.
    pub(crate) fn is_settled(&self) -> bool {
        !self.is_here() || self.outstanding.is_empty()
    }
}

impl World {
    /// A fresh client takes the seat: another process, with no memory of the one before it.
    pub(crate) fn seat_client(&mut self, seat: usize) {
        let index = self.clients.len();
        let scenario = std::sync::Arc::clone(&self.scenario);
        let mut first = 0;
        let spec = scenario.file.clients.iter().find(|spec| {
            let here = seat < first + spec.count;
            first += spec.count;
            here
        });
        let Some(spec) = spec else { return };
        let mut draw = self.decide.draw(About::ClientSeed, index as u64, 0);
        let pipeline = spec.pipeline.draw(&mut draw).max(1) as usize;
        let config = ClientConfig {
            servers: self.nodes.len(),
            session_timeout: Duration::from_millis(spec.session_ms.draw(&mut draw)),
            seed: draw.bits(),
            pipeline_max: pipeline,
            read_only: spec.read_only,
        };
        let begin = self.now + draw.below(self.tick_ns());
        let paths = spec.paths.draw(&mut draw);
        let mut work = Work::new(spec.work, &spec.ops, paths, index).among(self.nodes.len());
        if self.phase != Phase::Faults {
            work.settle();
        }
        self.clients.push(SimClient {
            id: ClientId(index),
            host: self.nodes.len() + seat,
            seat,
            client: Client::new(config, Instant(self.now)),
            work,
            link: Link::None,
            attempts: 0,
            outstanding: BTreeMap::new(),
            pipeline,
            think_ns: spec.think_ms.draw(&mut draw) * 1_000_000,
            hop: spec.hop,
            reopen: spec.reopen,
            next_call: begin,
            decisions: 0,
            armed: Some(begin),
            life: Life::Working,
            connected: false,
            progress_from: (self.phase != Phase::Faults).then_some(CallId(0)),
            progressed: false,
            calls: 0,
            quiet: matches!(self.phase, Phase::Quiet { .. } | Phase::Over),
        });
        if seat < self.seats.len() {
            self.seats[seat] = index;
        } else {
            self.seats.push(index);
        }
        self.agenda.push(begin, What::Client { client: index as u32 });
    }

    pub(crate) fn wake_client(&mut self, c: usize, aud: &mut Audience) {
        let client = &mut self.clients[c];
        if client.armed.is_some_and(|armed| armed > self.now) || !client.is_here() {
            return;
        }
        client.armed = None;
        let now = Instant(self.now);
        if client.attempts == 0 || client.client.deadline().is_some_and(|d| d <= now) {
            client.client.handle(now, ClientEvent::Wake);
            self.drain_client(c, aud);
        }
        self.call(c, aud);
        self.arm_client(c);
    }

    fn arm_client(&mut self, c: usize) {
        let client = &mut self.clients[c];
        if !client.is_here() {
            return;
        }
        let deadline = client.client.deadline().map(|deadline| deadline.0);
        let idle = client.quiet || client.work.is_idle();
        let room = client.outstanding.len() < client.pipeline;
        let call = (!idle && room && client.life == Life::Working).then_some(client.next_call);
        let Some(due) = deadline.into_iter().chain(call).min() else { return };
        let due = due.max(self.now + 1);
        if client.armed.is_none_or(|armed| due < armed) {
            client.armed = Some(due);
            self.agenda.push(due, What::Client { client: c as u32 });
        }
    }

    fn decision(&mut self, c: usize) -> Draw {
        let client = &mut self.clients[c];
        client.decisions += 1;
        self.decide.draw(About::Work, c as u64, client.decisions)
    }

    /// As many new calls as fit, when it is time for one.
    fn call(&mut self, c: usize, aud: &mut Audience) {
        let client = &self.clients[c];
        if client.quiet || client.life != Life::Working || self.now < client.next_call {
            return;
        }
        let mut draw = self.decision(c);
        let now = Instant(self.now);
        let client = &mut self.clients[c];
        if draw.chance(client.hop) {
            aud.counters.add(Counter::Hops, 1);
            client.client.hop(now);
            self.drain_client(c, aud);
        } else if draw.chance(client.reopen) && self.phase == Phase::Faults {
            client.life = Life::Closing;
            self.submit(c, Request::CloseSession, aud);
            return;
        }
        // Sometimes one call, sometimes all that the pipeline takes.
        let burst = draw.between(1, self.clients[c].pipeline as u64);
        for _ in 0..burst {
            let client = &mut self.clients[c];
            let outstanding = client.outstanding.len();
            if outstanding >= client.pipeline {
                break;
            }
            let Some(request) = client.work.next(outstanding, &mut draw) else { break };
            self.submit(c, request, aud);
        }
        let client = &mut self.clients[c];
        client.next_call = self.now + 1_000 + draw.around(client.think_ns);
    }

    fn submit(&mut self, c: usize, request: Request, aud: &mut Audience) {
        let client = &mut self.clients[c];
        let call = client.client.submit(Instant(self.now), request.clone());
        client.calls = call.0 + 1;
        client.outstanding.insert(call, request.clone());
        aud.counters.raise(Counter::PipelinedMax, client.outstanding.len() as u64);
        let what = Observation::Call { client: client.id, call, request: &request };
        aud.observe(self.now, &self.nodes, &what);
        self.drain_client(c, aud);
    }

    fn client_event(&mut self, c: usize, event: ClientEvent, aud: &mut Audience) {
        self.clients[c].client.handle(Instant(self.now), event);
        self.drain_client(c, aud);
        self.call(c, aud);
        self.arm_client(c);
    }

    fn drain_client(&mut self, c: usize, aud: &mut Audience) {
        while self.clients[c].is_here() {
            let Some(action) = self.clients[c].client.poll() else { break };
            match action {
                ClientAction::Connect { server } => {
                    self.client_hangs_up(c, aud);
                    self.client_dials(c, server);
                }
                ClientAction::Send(request) => {
                    let client = &self.clients[c];
                    let Link::Up { key, server } = client.link else { continue };
                    let (id, host) = (client.id, client.host);
                    let server = ServerId(server as i64 + 1);
                    let what = Observation::Sent { client: id, server, request: &request };
                    aud.observe(self.now, &self.nodes, &what);
                    let parcel = Parcel::Request(request);
                    self.net.send(self.now, key, host, parcel, &mut self.agenda);
                }
                ClientAction::Disconnect => self.client_hangs_up(c, aud),
                ClientAction::Completed { call, outcome } => {
                    let id = self.clients[c].id;
                    let what = Observation::Completed { client: id, call, outcome: &outcome };
                    aud.observe(self.now, &self.nodes, &what);
                    let mut draw = self.decision(c);
                    let client = &mut self.clients[c];
                    let replied = matches!(outcome, zebu_core::client::Outcome::Replied { .. });
                    client.progressed |= replied && client.progress_from.is_some_and(|f| f <= call);
                    if let Some(request) = client.outstanding.remove(&call) {
                        if replied && matches!(request, Request::Sync { .. }) {
                            aud.counters.add(Counter::Syncs, 1);
                        }
                        client.work.completed(&request, &outcome, &mut draw);
                        if request == Request::CloseSession && !replied && client.is_here() {
                            client.life = Life::Working;
                        }
                    }
                }
                ClientAction::Watch { zxid, event } => {
                    let client = &mut self.clients[c];
                    client.work.on_watch(&event);
                    let what = Observation::Watch { client: client.id, zxid, event: &event };
                    aud.observe(self.now, &self.nodes, &what);
                }
                ClientAction::Session(event) => self.session_event(c, event, aud),
            }
        }
    }

    fn session_event(&mut self, c: usize, event: SessionEvent, aud: &mut Audience) {
        let client = &mut self.clients[c];
        let what = Observation::Session { client: client.id, event };
        match event {
            SessionEvent::Opened { .. } => {
                client.connected = true;
                client.work.on_new_session();
            }
            SessionEvent::Resumed { .. } => client.connected = true,
            SessionEvent::Disconnected | SessionEvent::Expired { .. } => client.connected = false,
            SessionEvent::Closed => {
                client.connected = false;
                client.life = Life::Left;
            }
        }
        let (left, seat) = (client.life == Life::Left, client.seat);
        aud.observe(self.now, &self.nodes, &what);
        if left {
            self.client_hangs_up(c, aud);
            let mut draw = self.decision(c);
            let again = self.now + draw.around(self.tick_ns() / 2);
            self.agenda.push(again, What::NewClient { slot: seat as u32 });
        }
    }

    fn client_dials(&mut self, c: usize, server: usize) {
        let client = &mut self.clients[c];
        client.attempts += 1;
        client.link = Link::Dialling { attempt: client.attempts, server };
        self.dial(Owner::Client(c), server, Service::Client);
    }

    fn client_hangs_up(&mut self, c: usize, aud: &mut Audience) {
        let client = &mut self.clients[c];
        let (id, host) = (client.id, client.host);
        if let Link::Up { key, .. } = std::mem::replace(&mut client.link, Link::None) {
            self.net.close(self.now, key, host, &mut self.agenda);
            aud.observe(self.now, &self.nodes, &Observation::Disconnected { client: id });
        }
    }

    /// The dial failed.
    pub(crate) fn client_disconnected(&mut self, c: usize, aud: &mut Audience) {
        self.clients[c].link = Link::None;
        self.client_event(c, ClientEvent::Disconnected, aud);
    }

    pub(crate) fn client_receives(
        &mut self,
        key: ConnKey,
        host: Host,
        peer: Host,
        parcel: Parcel,
        aud: &mut Audience,
    ) {
        let c = self.seats[host - self.nodes.len()];
        let client = &mut self.clients[c];
        match (parcel, client.link) {
            (Parcel::Established, Link::Dialling { server, .. }) if server == peer => {
                client.link = Link::Up { key, server };
                self.client_event(c, ClientEvent::Connected, aud);
            }
            // A connection that nobody waits for any more.
            (Parcel::Established, _) => self.net.close(self.now, key, host, &mut self.agenda),
            (Parcel::Reply(message), Link::Up { key: ours, server }) if ours == key => {
                let server = ServerId(server as i64 + 1);
                let what = Observation::Received { client: client.id, server, message: &message };
                aud.observe(self.now, &self.nodes, &what);
                self.client_event(c, ClientEvent::Received(message), aud);
            }
            (Parcel::Closed, Link::Up { key: ours, .. }) if ours == key => {
                client.link = Link::None;
                let what = Observation::Disconnected { client: client.id };
                aud.observe(self.now, &self.nodes, &what);
                self.client_event(c, ClientEvent::Disconnected, aud);
            }
            _ => {}
        }
    }

    /// The client's process dies; another one comes after a while.
    pub(crate) fn abandon_client(&mut self, seat: usize, downtime: SimTime, aud: &mut Audience) {
        let c = self.seats[seat];
        let client = &mut self.clients[c];
        if !client.is_here() {
            return;
        }
        client.life = Life::Abandoned;
        let was_up = matches!(std::mem::replace(&mut client.link, Link::None), Link::Up { .. });
        let (id, host) = (client.id, client.host);
        if was_up {
            aud.observe(self.now, &self.nodes, &Observation::Disconnected { client: id });
        }
        let mut draw = self.decide.draw(About::Downtime, host as u64, c as u64);
        // The kernel says good-bye, or the machine is gone and nobody does.
        let notice = if draw.one_in(2) { 0 } else { draw.magnitude(1, 20 * self.tick_ns()) };
        self.net.cut_off(self.now, host, notice, &mut self.agenda);
        self.resume(host);
        self.agenda.push(self.now + downtime, What::NewClient { slot: seat as u32 });
    }
}
