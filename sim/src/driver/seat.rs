//! A client on a socket: core's client machine, a task for its connection, and the same work as in
//! the simulated world.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{sleep, sleep_until};
use zebu_core::client::{
    CallId, Client, ClientAction, ClientConfig, ClientEvent, Outcome, SessionEvent,
};
use zebu_core::config::Limits;
use zebu_core::conn::client_side::ClientSideConn;
use zebu_core::proto::{ClientRequest, Request};
use zebu_core::time::Instant;

use super::stage::{SeatState, Shared, audience, id_of};
use crate::counters::Counter;
use crate::decide::{About, Decide, Draw};
use crate::history::{ClientId, Observation};
use crate::scenario::{ClientSpec, Scenario};
use crate::work::Work;
use crate::world::Phase;

/// What clients are made of.
#[derive(Clone, Debug)]
pub(super) struct Terms {
    pub(super) stage: Shared,
    pub(super) scenario: Arc<Scenario>,
    pub(super) decide: Decide,
    /// Where the servers take clients.
    pub(super) addresses: Arc<Vec<(String, u16)>>,
}

/// One client after the other, each another process with no memory of the one before it.
pub(super) async fn sit(terms: Terms, seat: usize, mut first: bool) {
    let Some(spec) = spec_of(&terms.scenario, seat).cloned() else { return };
    loop {
        let index = {
            let mut stage = terms.stage.lock();
            let index = if first { seat } else { stage.clients };
            stage.clients += usize::from(!first);
            index
        };
        first = false;
        let mut draw = terms.decide.draw(About::ClientSeed, index as u64, 0);
        let caller = Caller::new(&terms, &spec, seat, index, &mut draw);
        let tick = terms.scenario.file.ensemble.tick_ms;
        sleep(Duration::from_millis(1 + draw.below(tick))).await;
        caller.live().await;
        sleep(Duration::from_millis(1 + draw.around(tick / 2))).await;
    }
}

fn spec_of(scenario: &Scenario, seat: usize) -> Option<&ClientSpec> {
    let mut first = 0;
    scenario.file.clients.iter().find(|spec| {
        let here = seat < first + spec.count;
        first += spec.count;
        here
    })
}

struct Caller {
    stage: Shared,
    decide: Decide,
    addresses: Arc<Vec<(String, u16)>>,
    id: ClientId,
    seat: usize,
    client: Client,
    work: Work,
    link: Option<Link>,
    /// Counts connections: what an earlier one still says is not heard.
    dials: u64,
    events: mpsc::UnboundedReceiver<(u64, Heard)>,
    sender: mpsc::UnboundedSender<(u64, Heard)>,
    /// Calls, and whether they count as progress.
    outstanding: BTreeMap<CallId, (Request, bool)>,
    pipeline: usize,
    think_ns: u64,
    hop: f64,
    reopen: f64,
    next_call: u64,
    decisions: u64,
    life: Life,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Life {
    Working,
    /// closeSession is on its way.
    Closing,
    Left,
}

struct Link {
    server: usize,
    up: bool,
    conn: ClientSideConn,
    out: mpsc::UnboundedSender<Vec<u8>>,
    task: JoinHandle<()>,
}

impl Drop for Link {
    fn drop(&mut self) {
        self.task.abort();
    }
}

enum Heard {
    Connected,
    Bytes(Vec<u8>),
    Gone,
}

impl Caller {
    fn new(terms: &Terms, spec: &ClientSpec, seat: usize, index: usize, draw: &mut Draw) -> Self {
        let now = terms.stage.lock().now();
        let pipeline = spec.pipeline.draw(draw).max(1) as usize;
        let config = ClientConfig {
            servers: terms.addresses.len(),
            session_timeout: Duration::from_millis(spec.session_ms.draw(draw)),
            seed: draw.bits(),
            pipeline_max: pipeline,
            read_only: spec.read_only,
        };
        let work = Work::new(spec.work, &spec.ops, spec.paths.draw(draw), index)
            .among(terms.addresses.len());
        let (sender, events) = mpsc::unbounded_channel();
        let idle = work.is_idle();
        let state = SeatState { client: Some(index), idle, ..SeatState::default() };
        terms.stage.lock().seats[seat] = state;
        Self {
            stage: terms.stage.clone(),
            decide: terms.decide,
            addresses: terms.addresses.clone(),
            id: ClientId(index),
            seat,
            client: Client::new(config, Instant(now)),
            work,
            link: None,
            dials: 0,
            events,
            sender,
            outstanding: BTreeMap::new(),
            pipeline,
            think_ns: spec.think_ms.draw(draw) * 1_000_000,
            hop: spec.hop,
            reopen: spec.reopen,
            next_call: now,
            decisions: 0,
            life: Life::Working,
        }
    }

    /// Until it closes its session.
    async fn live(mut self) {
        let zero = self.stage.lock().zero();
        loop {
            self.drain();
            self.call();
            if self.life == Life::Left {
                self.stage.lock().seats[self.seat].client = None;
                return;
            }
            let due = self.due().map(|due| zero + Duration::from_nanos(due));
            let alarm = async {
                match due {
                    Some(due) => sleep_until(due).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                heard = self.events.recv() => {
                    if let Some((dial, heard)) = heard && dial == self.dials {
                        self.hear(heard);
                    }
                }
                () = alarm => {}
            }
            let now = self.now();
            if self.client.deadline().is_some_and(|deadline| deadline <= now) {
                self.client.handle(now, ClientEvent::Wake);
            }
        }
    }

    fn now(&self) -> Instant {
        Instant(self.stage.lock().now())
    }
    fn observe(&self, what: &Observation<'_>) {
        self.stage.lock().observe(what);
    }
    fn with_seat(&self, change: impl FnOnce(&mut SeatState)) {
        change(&mut self.stage.lock().seats[self.seat]);
    }
    fn is_quiet(&self) -> bool {
        matches!(self.stage.lock().phase, Phase::Quiet { .. } | Phase::Over)
    }
    fn decision(&mut self) -> Draw {
        self.decisions += 1;
        self.decide.draw(About::Work, self.id.0 as u64, self.decisions)
    }

    fn due(&self) -> Option<u64> {
        let room = self.outstanding.len() < self.pipeline && self.life == Life::Working;
        let calls = room && !self.work.is_idle() && !self.is_quiet();
        let deadline = self.client.deadline().map(|deadline| deadline.0);
        deadline.into_iter().chain(calls.then_some(self.next_call)).min()
    }

    fn hear(&mut self, heard: Heard) {
        let now = self.now();
        let Some(link) = &mut self.link else { return };
        match heard {
            Heard::Connected => {
                link.up = true;
                self.with_seat(|seat| seat.linked = true);
                self.client.handle(now, ClientEvent::Connected);
            }
            Heard::Bytes(bytes) => {
                link.conn.receive(&bytes);
                // What a message leads to may end the connection.
                while let Some(link) = &mut self.link {
                    let server = id_of(link.server);
                    match link.conn.next() {
                        Ok(Some(message)) => {
                            let client = self.id;
                            let what = Observation::Received { client, server, message: &message };
                            self.observe(&what);
                            self.client.handle(now, ClientEvent::Received(message));
                            self.drain();
                        }
                        Ok(None) => break,
                        Err(why) => {
                            let what = format!("{server:?} wrote what cannot be read: {why}");
                            self.stage.lock().violated("R-INPUT", what);
                            break;
                        }
                    }
                }
            }
            Heard::Gone => {
                self.hang_up();
                self.client.handle(now, ClientEvent::Disconnected);
            }
        }
        self.drain();
    }

    fn drain(&mut self) {
        while let Some(action) = self.client.poll() {
            match action {
                ClientAction::Connect { server } => {
                    self.hang_up();
                    self.dial(server);
                }
                ClientAction::Send(request) => self.send(&request),
                ClientAction::Disconnect => self.hang_up(),
                ClientAction::Completed { call, outcome } => self.completed(call, &outcome),
                ClientAction::Watch { zxid, event } => {
                    self.work.on_watch(&event);
                    self.observe(&Observation::Watch { client: self.id, zxid, event: &event });
                }
                ClientAction::Session(event) => self.session(event),
            }
        }
    }

    fn send(&mut self, request: &ClientRequest) {
        let Some(link) = self.link.as_mut().filter(|link| link.up) else { return };
        let mut bytes = Vec::new();
        link.conn.encode(request, &mut bytes);
        let (client, server) = (self.id, id_of(link.server));
        self.stage.lock().observe(&Observation::Sent { client, server, request });
        let _ = link.out.send(bytes);
    }

    fn completed(&mut self, call: CallId, outcome: &Outcome) {
        self.observe(&Observation::Completed { client: self.id, call, outcome });
        let mut draw = self.decision();
        let replied = matches!(outcome, Outcome::Replied { .. });
        let Some((request, counts)) = self.outstanding.remove(&call) else { return };
        {
            let mut stage = self.stage.lock();
            stage.answered += u64::from(replied);
            let outstanding = self.outstanding.len();
            let seat = &mut stage.seats[self.seat];
            seat.outstanding = outstanding;
            seat.progressed |= replied && counts;
            if replied && matches!(request, Request::Sync { .. }) {
                audience(|aud| aud.counters.add(Counter::Syncs, 1));
            }
        }
        self.work.completed(&request, outcome, &mut draw);
        if request == Request::CloseSession && !replied && self.life == Life::Closing {
            self.life = Life::Working;
        }
    }

    fn session(&mut self, event: SessionEvent) {
        let connected = matches!(event, SessionEvent::Opened { .. } | SessionEvent::Resumed { .. });
        self.with_seat(|seat| seat.connected = connected);
        match event {
            SessionEvent::Opened { .. } => self.work.on_new_session(),
            SessionEvent::Closed => self.life = Life::Left,
            SessionEvent::Resumed { .. }
            | SessionEvent::Disconnected
            | SessionEvent::Expired { .. } => {}
        }
        self.observe(&Observation::Session { client: self.id, event });
        if self.life == Life::Left {
            self.hang_up();
        }
    }

    /// As many new calls as fit, when it is time for one.
    fn call(&mut self) {
        let now = self.now();
        let idle = self.work.is_idle() || self.life != Life::Working;
        if idle || now.0 < self.next_call || self.is_quiet() {
            return;
        }
        let mut draw = self.decision();
        let faults = self.stage.lock().phase == Phase::Faults;
        if draw.chance(self.hop) {
            audience(|aud| aud.counters.add(Counter::Hops, 1));
            self.client.hop(now);
            self.drain();
        } else if draw.chance(self.reopen) && faults {
            self.life = Life::Closing;
            return self.submit(Request::CloseSession);
        }
        // Sometimes one call, sometimes all that the pipeline takes.
        for _ in 0..draw.between(1, self.pipeline as u64) {
            let outstanding = self.outstanding.len();
            if outstanding >= self.pipeline {
                break;
            }
            let Some(request) = self.work.next(outstanding, &mut draw) else { break };
            self.submit(request);
        }
        self.next_call = now.0 + 1_000_000 + draw.around(self.think_ns);
    }

    fn submit(&mut self, request: Request) {
        let now = self.now();
        let call = self.client.submit(now, request.clone());
        {
            let mut stage = self.stage.lock();
            let counts = stage.phase != Phase::Faults;
            stage.calls += 1;
            stage.observe(&Observation::Call { client: self.id, call, request: &request });
            self.outstanding.insert(call, (request, counts));
            let outstanding = self.outstanding.len();
            stage.seats[self.seat].outstanding = outstanding;
            audience(|aud| aud.counters.raise(Counter::PipelinedMax, outstanding as u64));
        }
        self.drain();
    }

    fn dial(&mut self, server: usize) {
        self.dials += 1;
        let (out, outbox) = mpsc::unbounded_channel();
        let tell = Tell { dial: self.dials, to: self.sender.clone() };
        let task = tokio::spawn(carry(self.addresses[server].clone(), outbox, tell));
        let conn = ClientSideConn::new(&Limits::default());
        self.link = Some(Link { server, up: false, conn, out, task });
    }

    fn hang_up(&mut self) {
        if self.link.take().is_some_and(|link| link.up) {
            self.with_seat(|seat| seat.linked = false);
            self.observe(&Observation::Disconnected { client: self.id });
        }
    }
}

struct Tell {
    dial: u64,
    to: mpsc::UnboundedSender<(u64, Heard)>,
}

impl Tell {
    fn tell(&self, heard: Heard) {
        let _ = self.to.send((self.dial, heard));
    }
}

/// One connection: bytes out, bytes in.
async fn carry(address: (String, u16), mut out: mpsc::UnboundedReceiver<Vec<u8>>, tell: Tell) {
    let Ok(stream) = TcpStream::connect((address.0.as_str(), address.1)).await else {
        return tell.tell(Heard::Gone);
    };
    tell.tell(Heard::Connected);
    let (mut read, mut write) = tokio::io::split(stream);
    let mut buffer = vec![0; 4096];
    loop {
        tokio::select! {
            biased;
            bytes = out.recv() => {
                let Some(bytes) = bytes else { return };
                // madsim's sockets send nothing before a flush.
                if write.write_all(&bytes).await.is_err() || write.flush().await.is_err() {
                    return tell.tell(Heard::Gone);
                }
            }
            read = read.read(&mut buffer) => match read {
                Ok(0) | Err(_) => return tell.tell(Heard::Gone),
                Ok(n) => tell.tell(Heard::Bytes(buffer[..n].to_vec())),
            },
        }
    }
}
