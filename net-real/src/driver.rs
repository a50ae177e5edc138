//! The task that owns core: takes what gathered, tells core, does what core answers, sleeps until
//! the next input or deadline. It knows no rule of the protocol.
//!
//! A turn is a batch: all inputs that gathered are handled before any connection's task is woken,
//! and the disk gets all store operations of the turn at once.

use std::collections::{BTreeMap, HashMap};
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::{Instant as TokioInstant, sleep_until, timeout};
use tracing::{debug, error, info, trace, warn};

use zebu_core::ids::{ConnId, LinkId, ServerId};
use zebu_core::proto::ClientMessage;
use zebu_core::server::{
    Action, CloseReason, Event, Note, PeerMessage, Port, QuotaOf, RoleName, Server, StoreOp, Ticket,
};
use zebu_core::storage::RecoverError;
use zebu_core::time::{Instant, Now, WallTime};

use crate::disk::{Disk, Reports, RunningDisk};
use crate::inbox::{Input, LinkUp};
use crate::listeners::Listeners;
use crate::machine::Meter;
use crate::outbox::Outbox;
use crate::peer_link;
use crate::ports::BindError;
use crate::reconfigure::{Strangers, reconfigure};
use crate::settings::{Address, ServerSettings};
use crate::shared::Shared;

/// Why a server could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("cannot start from the data directory: {0}")]
    Recover(#[from] RecoverError),
    #[error(transparent)]
    Bind(#[from] BindError),
}

/// How a server ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Ended {
    /// As it was asked to.
    Shutdown,
    /// Core said that going on could lose or fork data.
    Halted(String),
}

/// Sees all that passes between the driver and core, in order, and changes nothing: a simulation's
/// checkers. A server in production has none, and pays nothing for that.
pub trait Observer: Send + 'static {
    /// Just before core is told.
    fn event(&mut self, server: &Server, event: &Event);
    /// As core hands it out. Core may have been told more since it decided this: a turn is a batch.
    fn action(&mut self, server: &Server, action: &Action);
}

/// Nobody watches.
#[derive(Clone, Copy, Debug)]
pub struct Unobserved;

impl Observer for Unobserved {
    fn event(&mut self, _: &Server, _: &Event) {}
    fn action(&mut self, _: &Server, _: &Action) {}
}

/// Starts a server, and runs it until `shutdown` or until it halts.
pub async fn run(
    settings: ServerSettings,
    disk: impl Disk,
    shutdown: impl Future<Output = ()>,
) -> Result<Ended, StartError> {
    Ok(Driver::start(settings, disk).await?.run(shutdown).await)
}

/// A server on its sockets and its disk.
#[derive(Debug)]
pub struct Driver<D: RunningDisk, O: Observer = Unobserved> {
    server: Server,
    observer: O,
    clock: Clock,
    disk: D,
    syncs: Arc<Meter>,
    shared: Arc<Shared>,
    listeners: Listeners,
    strangers: Strangers,
    conns: HashMap<ConnId, Sender<ClientMessage>>,
    links: HashMap<LinkId, Sender<PeerMessage>>,
    /// Connections that this turn sent to, in the order of the first message.
    conns_to_flush: Vec<ConnId>,
    links_to_flush: Vec<LinkId>,
    store: Vec<(Ticket, StoreOp)>,
    /// Dials that failed and were logged; the next failure is no news.
    unreachable: BTreeMap<(ServerId, Port), u32>,
    halted: Option<String>,
}

/// A connection's outbox, and what this turn adds to it.
#[derive(Debug)]
struct Sender<M> {
    /// For logs.
    name: String,
    outbox: Arc<Outbox<M>>,
    staged: Vec<M>,
    /// Core waits until it has taken most of what is staged and before that.
    await_drained: bool,
}

impl<D: RunningDisk> Driver<D> {
    /// Recovers from the disk, then opens the ports.
    pub async fn start(
        settings: ServerSettings,
        disk: impl Disk<Running = D>,
    ) -> Result<Self, StartError> {
        Self::start_observed(settings, disk, Unobserved).await
    }
}

impl<D: RunningDisk, O: Observer> Driver<D, O> {
    /// As [`Driver::start`], with somebody who watches.
    pub async fn start_observed(
        settings: ServerSettings,
        disk: impl Disk<Running = D>,
        observer: O,
    ) -> Result<Self, StartError> {
        let clock = Clock::start();
        let shared = Arc::new(Shared::new(settings));
        let reports = {
            let shared = shared.clone();
            Reports::new(move |event| shared.inbox.push(Input::Disk(event)))
        };
        let syncs = reports.syncs();
        let settings = &shared.settings;
        let (recovered, disk) = disk.start(settings.storage.clone(), reports)?;
        info!(
            "recovered up to zxid 0x{:x}: {} sessions, epochs {} accepted, {} current",
            recovered.database.last_processed,
            recovered.database.sessions.len(),
            recovered.epochs.accepted,
            recovered.epochs.current,
        );
        let server = Server::new(settings.config.clone(), recovered, clock.now());

        let listeners = Listeners::open(&shared).await?;
        Ok(Self {
            server,
            observer,
            clock,
            disk,
            syncs,
            shared,
            listeners,
            strangers: Strangers::default(),
            conns: HashMap::new(),
            links: HashMap::new(),
            conns_to_flush: Vec::new(),
            links_to_flush: Vec::new(),
            store: Vec::new(),
            unreachable: BTreeMap::new(),
            halted: None,
        })
    }

    /// Where clients connect, with the port that the system chose if the settings said 0.
    pub fn client_address(&self) -> Option<SocketAddr> {
        self.listeners.client_address()
    }

    /// Serves until `shutdown` or until core halts.
    pub async fn run(mut self, shutdown: impl Future<Output = ()>) -> Ended {
        let mut shutdown = std::pin::pin!(shutdown);
        let mut armed = self.deadline();
        let mut alarm = std::pin::pin!(sleep_until(armed));
        let mut inputs = Vec::new();
        let ended = loop {
            // Core may have something to do before anything happens.
            self.act();
            self.shared.load.in_core(self.server.in_process());
            if let Some(why) = self.halted.take() {
                break Ended::Halted(why);
            }
            let deadline = self.deadline();
            if deadline != armed {
                armed = deadline;
                alarm.as_mut().reset(deadline);
            }
            tokio::select! {
                biased;
                () = &mut shutdown => break Ended::Shutdown,
                () = self.shared.inbox.filled() => {}
                () = &mut alarm => {}
            }
            self.shared.inbox.take(&mut inputs);
            let now = self.clock.now();
            for input in inputs.drain(..) {
                self.hear(now, input);
            }
            if self.server.deadline().is_some_and(|deadline| deadline <= now.mono) {
                self.tell(now, Event::Wake);
            }
        };
        self.close(&ended).await;
        ended
    }

    fn tell(&mut self, now: Now, event: Event) {
        self.observer.event(&self.server, &event);
        self.server.handle(now, event);
    }

    fn deadline(&self) -> TokioInstant {
        self.clock.at(self.server.deadline())
    }

    /// Tells core one input. What a connection says that core has closed is told nobody.
    fn hear(&mut self, now: Now, input: Input) {
        match input {
            Input::ConnOpen { conn, from, outbox } => {
                let name = format!("client {from}");
                self.conns.insert(conn, Sender::new(name, outbox));
                let (ip, port) = (from.ip().to_string(), from.port());
                self.tell(now, Event::ConnOpen { conn, ip, port });
            }
            Input::Requests { conn, requests } => {
                self.shared.load.told(requests.len());
                if self.conns.contains_key(&conn) {
                    for request in requests {
                        self.tell(now, Event::Client { conn, request });
                    }
                }
            }
            Input::ConnGone { conn } => {
                if self.conns.remove(&conn).is_some() {
                    self.tell(now, Event::ConnGone { conn });
                }
            }
            Input::Machine(mut machine) => {
                machine.client_port = self.client_address().map(|address| address.port());
                machine.syncs = self.syncs.measured();
                self.tell(now, Event::Machine(machine));
            }
            Input::ConnDrained { conn } => {
                if self.conns.contains_key(&conn) {
                    self.tell(now, Event::ConnDrained { conn });
                }
            }
            Input::LinkUp { link, up, outbox } => self.link_up(now, link, up, outbox),
            Input::Messages { link, messages } => {
                if let Some(sender) = self.links.get(&link) {
                    sender.outbox.settle(1);
                    for message in messages {
                        self.tell(now, Event::Peer { link, message });
                    }
                }
            }
            Input::LinkDown { link } => {
                if self.links.remove(&link).is_some() {
                    self.tell(now, Event::LinkDown { link });
                }
            }
            Input::DialFailed { to, port, why } => {
                let failures = self.unreachable.entry((to, port)).or_default();
                *failures += 1;
                if *failures == 1 {
                    warn!("cannot reach the {port:?} port of server {to}: {why}");
                } else {
                    debug!("cannot reach the {port:?} port of server {to}: {why}");
                }
                self.tell(now, Event::DialFailed { to, port });
            }
            Input::Disk(event) => self.tell(now, event),
        }
    }

    fn link_up(&mut self, now: Now, link: LinkId, up: LinkUp, outbox: Arc<Outbox<PeerMessage>>) {
        let LinkUp { port, peer, dialled, name, address } = up;
        if let (Some(peer), Some(address)) = (peer, address) {
            self.strangers.are_at(peer, address);
        }
        self.links.insert(link, Sender::new(name, outbox));
        if let Some(peer) = peer
            && self.unreachable.remove(&(peer, port)).is_some()
        {
            info!("reached the {port:?} port of server {peer}");
        }
        self.tell(now, Event::LinkUp { link, port, peer, dialled });
    }

    /// Does all that core wants done, then wakes the connections and the disk once.
    fn act(&mut self) {
        loop {
            while let Some(action) = self.server.poll() {
                self.observer.action(&self.server, &action);
                self.act_on(action);
                if self.halted.is_some() {
                    return;
                }
            }
            if !self.store.is_empty() {
                self.disk.store(std::mem::take(&mut self.store));
            }
            if self.conns_to_flush.is_empty() && self.links_to_flush.is_empty() {
                return;
            }
            // A connection that is cut here is an event, which may ask for more.
            self.flush();
        }
    }

    fn act_on(&mut self, action: Action) {
        match action {
            Action::Dial { to, port } => self.dial(to, port),
            Action::Send { link, message } => {
                if let Some(sender) = self.links.get_mut(&link) {
                    if sender.staged.is_empty() {
                        self.links_to_flush.push(link);
                    }
                    sender.staged.push(message);
                }
            }
            Action::CloseLink { link, why } => {
                if let Some(mut sender) = self.links.remove(&link) {
                    log_close(&sender.name, &why);
                    sender.close();
                }
            }
            Action::Reply { conn, message } => {
                if let Some(sender) = self.conns.get_mut(&conn) {
                    if sender.staged.is_empty() {
                        self.conns_to_flush.push(conn);
                    }
                    sender.staged.push(message);
                }
            }
            Action::AwaitDrained { conn } => {
                if let Some(sender) = self.conns.get_mut(&conn) {
                    if sender.staged.is_empty() {
                        self.conns_to_flush.push(conn);
                    }
                    sender.await_drained = true;
                }
            }
            Action::CloseConn { conn, why } => {
                if let Some(mut sender) = self.conns.remove(&conn) {
                    log_close(&sender.name, &why);
                    // Nobody reads what would have to be sent first.
                    let cut = matches!(why, CloseReason::Unread | CloseReason::Silent(_));
                    if cut { sender.outbox.cut() } else { sender.close() }
                }
            }
            Action::Store { ticket, op } => self.store.push((ticket, op)),
            Action::ReadLog { link, above, upto } => self.disk.read_log(link, above, upto),
            Action::TakeSnapshot { database } => {
                // After what was asked for before it.
                if !self.store.is_empty() {
                    self.disk.store(std::mem::take(&mut self.store));
                }
                self.disk.take_snapshot(database);
            }
            Action::Reconfigure { committed, proposed } => {
                let settings = &self.shared.settings;
                reconfigure(&committed, proposed.as_deref(), settings, &mut self.listeners);
            }
            Action::Note(note) => log_note(&note),
            Action::Halt { why } => self.halted = Some(why),
        }
    }

    fn dial(&mut self, to: ServerId, port: Port) {
        match self.server_address(to, port) {
            Some(address) => {
                tokio::spawn(peer_link::dial(to, port, address, self.shared.clone()));
            }
            None => {
                let why = format!("there is no server.{to}");
                self.shared.inbox.push(Input::DialFailed { to, port, why });
            }
        }
    }

    fn server_address(&self, to: ServerId, port: Port) -> Option<Address> {
        let Some(member) = self.server.member(to) else {
            return self.strangers.election_port(to).filter(|_| port == Port::Election);
        };
        let port = match port {
            Port::Election => member.election_port,
            Port::Quorum => member.quorum_port,
            Port::ObserverMaster => self.shared.settings.config.observers.master_port?,
        };
        Some(Address::new(member.host.clone(), port))
    }

    /// Hands what was staged to the connections' tasks. A peer that lets too much wait is cut: it
    /// costs nobody else. Of a client core judges that.
    fn flush(&mut self) {
        let link_max = self.shared.settings.bounds.link_outbox_max;
        let now = self.clock.now();
        for conn in std::mem::take(&mut self.conns_to_flush) {
            let Some(sender) = self.conns.get_mut(&conn) else { continue };
            sender.outbox.push(&mut sender.staged);
            if std::mem::take(&mut sender.await_drained) && sender.outbox.await_drained() {
                self.tell(now, Event::ConnDrained { conn });
            }
        }
        for link in std::mem::take(&mut self.links_to_flush) {
            let Some(sender) = self.links.get_mut(&link) else { continue };
            let weight = sender.outbox.push(&mut sender.staged);
            if weight > link_max {
                warn!("{} is cut: it leaves {weight} bytes unread", sender.name);
                sender.outbox.cut();
                self.links.remove(&link);
                self.tell(now, Event::LinkDown { link });
            }
        }
    }

    /// Takes no more, sends what is decided, finishes the log.
    async fn close(mut self, ended: &Ended) {
        self.listeners.stop();
        match ended {
            Ended::Shutdown => info!("shutting down"),
            Ended::Halted(why) => error!("halted: {why}"),
        }
        let halted = matches!(ended, Ended::Halted(_));
        for sender in self.conns.values_mut() {
            if halted { sender.outbox.cut() } else { sender.close() }
        }
        for sender in self.links.values_mut() {
            if halted { sender.outbox.cut() } else { sender.close() }
        }
        self.disk.close().await;
        // Their tasks report their ends.
        let all_gone = async {
            let mut inputs = Vec::new();
            while !self.conns.is_empty() || !self.links.is_empty() {
                self.shared.inbox.filled().await;
                self.shared.inbox.take(&mut inputs);
                for input in inputs.drain(..) {
                    match input {
                        Input::ConnGone { conn } => drop(self.conns.remove(&conn)),
                        Input::LinkDown { link } => drop(self.links.remove(&link)),
                        Input::ConnOpen { outbox, .. } => outbox.cut(),
                        Input::LinkUp { outbox, .. } => outbox.cut(),
                        Input::Requests { .. }
                        | Input::Machine(_)
                        | Input::ConnDrained { .. }
                        | Input::Messages { .. }
                        | Input::DialFailed { .. }
                        | Input::Disk(_) => {}
                    }
                }
            }
        };
        let _ = timeout(CLOSE_TIMEOUT, all_gone).await;
    }
}

/// How long a server that ends waits for its connections.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

impl<M: crate::outbox::Outgoing> Sender<M> {
    fn new(name: String, outbox: Arc<Outbox<M>>) -> Self {
        Self { name, outbox, staged: Vec::new(), await_drained: false }
    }
    /// Lets what is staged and what waits go out, then closes.
    fn close(&mut self) {
        if !self.staged.is_empty() {
            self.outbox.push(&mut self.staged);
        }
        self.outbox.close();
    }
}

/// Both of core's clocks.
#[derive(Clone, Copy, Debug)]
struct Clock {
    zero: TokioInstant,
}

impl Clock {
    /// A deadline that never comes, as far as a server's life goes.
    const NEVER: Duration = Duration::from_secs(30 * 365 * 24 * 3600);

    fn start() -> Self {
        Self { zero: TokioInstant::now() }
    }
    fn now(&self) -> Now {
        let mono = Instant(self.zero.elapsed().as_nanos() as u64);
        // Before 1970 is a clock that is wrong, and core does not care how wrong.
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Now { mono, wall: WallTime(wall.as_millis() as i64) }
    }
    fn at(&self, instant: Option<Instant>) -> TokioInstant {
        let since_zero = instant.map_or(Self::NEVER, |at| Duration::from_nanos(at.0));
        self.zero + since_zero.min(Self::NEVER)
    }
}

fn log_close(name: &str, why: &CloseReason) {
    match why {
        CloseReason::Misbehaved(fault) => warn!("{name} closed: {fault}"),
        CloseReason::TooManyConnections => {
            warn!("{name} closed: its address has as many as maxClientCnxns allows");
        }
        CloseReason::ServerFull => warn!("{name} closed: there are as many as maxCnxns allows"),
        CloseReason::Throttled => info!("{name} closed: connections come too fast"),
        CloseReason::Stale => info!("{name} closed: a request waited longer than its session"),
        CloseReason::Unread => warn!("{name} is cut: it leaves too much unread"),
        CloseReason::Silent(session) => {
            info!("{name} is cut: silent for the time-out of its session {session:?}");
        }
        CloseReason::ClientAhead { seen, ours } => {
            info!("{name} closed: it has seen zxid 0x{seen:x}, we are at 0x{ours:x} only");
        }
        CloseReason::PeerTimeout => info!("{name} closed: nothing heard in time"),
        CloseReason::Done
        | CloseReason::SessionClosed(_)
        | CloseReason::SessionMoved(_)
        | CloseReason::SessionRefused
        | CloseReason::Replaced(_)
        | CloseReason::NotServing
        | CloseReason::ReadOnly
        | CloseReason::SmallerId
        | CloseReason::Superseded
        | CloseReason::TermOver => debug!("{name} closed: {why:?}"),
    }
}

fn log_note(note: &Note) {
    match note {
        Note::Role(RoleName::Looking) => info!("looking for a leader"),
        Note::Role(RoleName::Leading) => info!("leading"),
        Note::Role(RoleName::Following) => info!("following"),
        Note::Role(RoleName::Observing) => info!("observing"),
        Note::Established { epoch } => info!("established as the leader of epoch {epoch}"),
        Note::UpToDate { epoch, leader } => {
            info!("up to date with server {leader}, the leader of epoch {epoch}");
        }
        Note::Sync { learner, how, from, upto } => {
            info!("synchronizing server {learner} from 0x{from:x} to 0x{upto:x} by {how:?}");
        }
        Note::Delivered { zxid } => trace!("delivered 0x{zxid:x}"),
        Note::SessionOpened(session) => debug!("session {session} opened"),
        Note::ContainerRemoved(path) => info!("container or TTL node {path} is removed"),
        Note::SessionExpired(session) => info!("session {session} expired"),
        Note::SessionUpgrading(session) => info!("local session {session} becomes a global one"),
        Note::ReadOnly(true) => {
            // Upstream's words, which tests of clients wait for.
            warn!("Read-only server started: there is no quorum, only readers are served");
        }
        Note::ReadOnly(false) => info!("read-only mode is over"),
        Note::SessionMoved(session) => info!("session {session} moved to another server"),
        // In upstream's words, which people look for.
        Note::QuotaExceeded { path, of, current, limit } => {
            let (what, soft) = match of {
                QuotaOf::Znodes => ("count", "softCountLimit"),
                QuotaOf::Bytes => ("bytes", "softByteLimit"),
            };
            warn!("Quota exceeded: {path} [current {what}={current}, {soft}={limit}]");
        }
        Note::DigestMismatch { zxid, expected, found } => error!(
            "the tree differs from the leader's at 0x{zxid:x}: digest 0x{expected:x} expected, 0x{found:x} found"
        ),
        Note::Refused(what) => warn!("{what}"),
    }
}
