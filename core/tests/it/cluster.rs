//! A few servers joined by perfect links and disks: the smallest driver there can be. What breaks
//! here needs no fault to break.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::Bytes;
use zebu_core::config::{Config, Ensemble, Member, MemberRole};
use zebu_core::ids::{ConnId, LinkId, ServerId, SessionId, Xid, Zxid};
use zebu_core::proto::{
    ClientMessage, ClientRequest, ConnectRequest, ErrorCode, QuorumPacket, Request,
};
use zebu_core::server::{
    Action, Epochs, Event, Note, PeerMessage, Port, Recovered, Server, StoreOp, Ticket,
};
use zebu_core::time::{Duration, Instant, Now, WallTime};
use zebu_core::tree::Database;
use zebu_core::txn::{Entry, Txn, TxnBody, codec};

/// What a server's disk holds. Everything is durable at once.
#[derive(Clone, Default)]
pub(crate) struct Disk {
    snapshot: Option<Box<Database>>,
    pub(crate) log: Vec<Entry>,
    pub(crate) epochs: Epochs,
}

impl Disk {
    /// As if a leader had sent this.
    pub(crate) fn become_snapshot(&mut self, database: Database) {
        self.snapshot = Some(Box::new(database));
        self.log.clear();
    }
    pub(crate) fn recover(&self) -> Recovered {
        let mut database = self.snapshot.as_deref().cloned().unwrap_or_default();
        for entry in &self.log {
            database.apply(&entry.txn);
        }
        let window: Vec<_> = self.log.iter().rev().take(500).rev().cloned().collect();
        let base = self.snapshot.as_deref().map_or(Zxid::ZERO, |s| s.last_processed);
        Recovered { database, base, window, epochs: self.epochs }
    }
}

/// More than are ever under way without time passing.
const EVENTS_MAX: usize = 1_000_000;

pub(crate) struct Cluster {
    pub(crate) servers: BTreeMap<ServerId, Server>,
    pub(crate) disks: BTreeMap<ServerId, Disk>,
    pub(crate) cut: BTreeSet<(ServerId, ServerId)>,
    /// Whose dials of whose quorum port get a link that breaks at once.
    pub(crate) refused: BTreeSet<(ServerId, ServerId)>,
    /// Leaders get what the log's files have for those who are far behind.
    pub(crate) reads_log: bool,
    /// Every dial of a quorum port, and when.
    pub(crate) dials: Vec<(ServerId, u64)>,
    pub(crate) now: u64,
    /// What clients ask for.
    pub(crate) timeout_ms: i32,
    /// Behind the proposal of each such zxid goes a refusal under the same zxid, as Java's leaders
    /// send it when their log has one.
    pub(crate) refused_again: BTreeSet<Zxid>,
    pub(crate) ensemble: Ensemble,
    /// What each server's configuration file says now, if not that.
    pub(crate) files: BTreeMap<ServerId, Ensemble>,
    tune: fn(&mut Config),
    events: VecDeque<(ServerId, Event)>,
    links: BTreeMap<(ServerId, LinkId), (ServerId, LinkId)>,
    /// At whose link each server's packets for another arrive.
    quorum_links: BTreeMap<(ServerId, ServerId), LinkId>,
    next_link: u64,
    /// Who dials whom on the quorum port for longer than a test takes, but for `end_slow_dial`.
    pub(crate) slow_dial: Option<(ServerId, ServerId)>,
    /// Whose acknowledgements to whom are lost.
    mute: Option<(ServerId, ServerId)>,
    pub(crate) replies: BTreeMap<(ServerId, ConnId), Vec<ClientMessage>>,
    pub(crate) closed: BTreeSet<(ServerId, ConnId)>,
    pub(crate) notes: Vec<(ServerId, Note)>,
    /// Who passes for one of upstream's servers in elections.
    pub(crate) java: BTreeSet<ServerId>,
    /// How many notifications each server sent.
    pub(crate) notifications: BTreeMap<ServerId, usize>,
    /// Every quorum packet sent, for transcripts.
    pub(crate) packets: Vec<(ServerId, ServerId, QuorumPacket)>,
}

impl Cluster {
    pub(crate) fn new(voters: i64) -> Self {
        Self::tuned(voters, |_| {})
    }

    /// With a configuration that is not the usual one.
    pub(crate) fn tuned(voters: i64, tune: fn(&mut Config)) -> Self {
        let members = (1..=voters).map(|id| {
            let member = Member {
                host: "127.0.0.1".into(),
                quorum_port: 2888,
                election_port: 3888,
                role: MemberRole::Participant,
                client: None,
            };
            (ServerId(id), member)
        });
        let ensemble = Ensemble { members: members.collect(), hierarchy: None, version: 0 };
        let mut cluster = Self {
            servers: BTreeMap::new(),
            disks: (1..=voters).map(|id| (ServerId(id), Disk::default())).collect(),
            cut: BTreeSet::new(),
            refused: BTreeSet::new(),
            reads_log: false,
            dials: Vec::new(),
            now: 1_000_000_000,
            timeout_ms: 4000,
            refused_again: BTreeSet::new(),
            ensemble,
            files: BTreeMap::new(),
            tune,
            events: VecDeque::new(),
            links: BTreeMap::new(),
            quorum_links: BTreeMap::new(),
            next_link: 0,
            slow_dial: None,
            mute: None,
            replies: BTreeMap::new(),
            closed: BTreeSet::new(),
            notes: Vec::new(),
            java: BTreeSet::new(),
            notifications: BTreeMap::new(),
            packets: Vec::new(),
        };
        for id in 1..=voters {
            cluster.start(ServerId(id));
        }
        cluster
    }

    fn config(&self, id: ServerId) -> Config {
        let ensemble = self.files.get(&id).unwrap_or(&self.ensemble);
        let mut config = Config::new(id, ensemble.clone());
        config.tick = Duration::from_millis(200);
        config.min_session_timeout = config.tick * 2;
        config.max_session_timeout = config.tick * 20;
        config.snap_count = 1_000_000;
        (self.tune)(&mut config);
        config
    }

    pub(crate) fn now(&self) -> Now {
        Now { mono: Instant(self.now), wall: WallTime((self.now / 1_000_000) as i64) }
    }

    pub(crate) fn start(&mut self, id: ServerId) {
        let recovered = self.disks[&id].recover();
        let server = Server::new(self.config(id), recovered, self.now());
        self.servers.insert(id, server);
        self.drain(id);
    }

    /// A server starts that has nothing but this configuration.
    pub(crate) fn join(&mut self, id: ServerId, ensemble: Ensemble) {
        self.files.insert(id, ensemble);
        self.disks.insert(id, Disk::default());
        self.start(id);
    }

    pub(crate) fn crash(&mut self, id: ServerId) {
        self.servers.remove(&id);
        self.events.retain(|(to, _)| *to != id);
        let gone: Vec<_> = self.links.keys().filter(|(s, _)| *s == id).copied().collect();
        for end in gone {
            if let Some(other) = self.links.remove(&end) {
                self.links.remove(&other);
                self.events.push_back((other.0, Event::LinkDown { link: other.1 }));
            }
        }
    }

    fn drain(&mut self, id: ServerId) {
        while let Some(action) = self.servers.get_mut(&id).and_then(Server::poll) {
            self.perform(id, action);
        }
    }

    fn perform(&mut self, id: ServerId, action: Action) {
        match action {
            Action::Dial { to, port } => self.dial(id, to, port),
            Action::Send { link, mut message } => {
                let Some(&(to, other)) = self.links.get(&(id, link)) else { return };
                let again = self.refusal_again(&message);
                if let PeerMessage::Election(notification) = &mut message {
                    notification.is_ours &= !self.java.contains(&id);
                    if !notification.is_ours {
                        notification.proposed.clear();
                    }
                    *self.notifications.entry(id).or_default() += 1;
                }
                if let PeerMessage::Quorum(packet) = &message {
                    self.packets.push((id, to, packet.clone()));
                    self.quorum_links.insert((id, to), other);
                    if self.mute == Some((id, to)) && matches!(packet, QuorumPacket::Ack { .. }) {
                        return;
                    }
                }
                if !self.cut.contains(&(id, to)) {
                    let messages = [message].into_iter().chain(again);
                    let arrive = |message| (to, Event::Peer { link: other, message });
                    self.events.extend(messages.map(arrive));
                }
            }
            Action::CloseLink { link, .. } => {
                if let Some(other) = self.links.remove(&(id, link)) {
                    self.links.remove(&other);
                    self.events.push_back((other.0, Event::LinkDown { link: other.1 }));
                }
            }
            Action::Reply { conn, message } => {
                self.replies.entry((id, conn)).or_default().push(message);
            }
            Action::AwaitDrained { conn } => {
                self.events.push_back((id, Event::ConnDrained { conn }));
            }
            Action::CloseConn { conn, .. } => {
                self.closed.insert((id, conn));
            }
            Action::Store { ticket, op } => self.store(id, ticket, op),
            Action::ReadLog { link, above, upto } => {
                let log = &self.disks[&id].log;
                let behind = log.iter().position(|e| e.zxid() == above).map(|at| &log[at + 1..]);
                let behind = behind.filter(|_| self.reads_log);
                let needed = behind.map(|log| log.iter().filter(|e| e.zxid() <= upto).cloned());
                let entries = needed.map(Iterator::collect);
                self.events.push_back((id, Event::LogRead { link, above, entries }));
            }
            Action::TakeSnapshot { database } => {
                let zxid = database.last_processed;
                self.events.push_back((id, Event::SnapshotTaken { zxid }));
            }
            Action::Reconfigure { committed, .. } => {
                self.files.insert(id, *committed);
            }
            Action::Note(note) => self.notes.push((id, note)),
            Action::Halt { why } => panic!("{id:?} halts: {why}"),
        }
    }

    fn refusal_again(&self, message: &PeerMessage) -> Option<PeerMessage> {
        let PeerMessage::Quorum(QuorumPacket::Proposal(entry)) = message else { return None };
        if !self.refused_again.contains(&entry.zxid()) {
            return None;
        }
        let body = TxnBody::Error(ErrorCode::MARSHALLING_ERROR);
        let refusal = codec::encode(Txn { body, ..(*entry.txn).clone() });
        Some(PeerMessage::Quorum(QuorumPacket::Proposal(refusal)))
    }

    /// A packet that `from` did not send arrives as if it had.
    pub(crate) fn forge(&mut self, from: i64, to: i64, packet: QuorumPacket) {
        let link = self.quorum_links[&(ServerId(from), ServerId(to))];
        let message = PeerMessage::Quorum(packet);
        self.events.push_back((ServerId(to), Event::Peer { link, message }));
    }

    fn dial(&mut self, from: ServerId, to: ServerId, port: Port) {
        if port == Port::Quorum && self.slow_dial == Some((from, to)) {
            return;
        }
        let unreachable = !self.servers.contains_key(&to)
            || self.cut.contains(&(from, to))
            || self.cut.contains(&(to, from));
        if unreachable {
            self.events.push_back((from, Event::DialFailed { to, port }));
            return;
        }
        let (a, b) = (LinkId(self.next_link), LinkId(self.next_link + 1));
        self.next_link += 2;
        if port == Port::Quorum {
            self.dials.push((from, self.now));
            if self.refused.contains(&(from, to)) {
                let up = Event::LinkUp { link: a, port, peer: Some(to), dialled: true };
                self.events.extend([(from, up), (from, Event::LinkDown { link: a })]);
                return;
            }
        }
        self.links.insert((from, a), (to, b));
        self.links.insert((to, b), (from, a));
        let peer = Some(to);
        self.events.push_back((from, Event::LinkUp { link: a, port, peer, dialled: true }));
        let peer = (port == Port::Election).then_some(from);
        self.events.push_back((to, Event::LinkUp { link: b, port, peer, dialled: false }));
    }

    pub(crate) fn end_slow_dial(&mut self) {
        if let Some((from, to)) = self.slow_dial.take() {
            self.dial(from, to, Port::Quorum);
        }
    }

    /// A link that `at` dialled to `to` stands, long after that was asked for.
    pub(crate) fn late_link(&mut self, at: i64, to: i64) {
        let link = LinkId(self.next_link);
        self.next_link += 1;
        let peer = Some(ServerId(to));
        let up = Event::LinkUp { link, port: Port::Quorum, peer, dialled: true };
        self.events.push_back((ServerId(at), up));
    }

    fn store(&mut self, id: ServerId, ticket: Ticket, op: StoreOp) {
        let disk = self.disks.get_mut(&id).expect("every server has a disk");
        let event = match op {
            StoreOp::Append(entries) => {
                disk.log.extend(entries);
                Event::Durable { upto: ticket }
            }
            StoreOp::SaveAcceptedEpoch(epoch) => {
                disk.epochs.accepted = epoch;
                Event::Durable { upto: ticket }
            }
            StoreOp::SaveCurrentEpoch(epoch) => {
                disk.epochs.current = epoch;
                Event::Durable { upto: ticket }
            }
            StoreOp::Truncate { after } => {
                disk.log.retain(|e| e.zxid() <= after);
                Event::Truncated { ticket, recovered: Box::new(disk.recover()) }
            }
            StoreOp::Install(database) => {
                disk.snapshot = Some(database);
                disk.log.clear();
                Event::Durable { upto: ticket }
            }
        };
        self.events.push_back((id, event));
    }

    /// Handles everything that is under way.
    pub(crate) fn settle(&mut self) {
        let mut handled = 0;
        while let Some((id, event)) = self.events.pop_front() {
            handled += 1;
            assert!(handled < EVENTS_MAX, "no end to it: {event:?} at {id}");
            let now = self.now();
            if let Some(server) = self.servers.get_mut(&id) {
                server.handle(now, event);
                self.drain(id);
            }
        }
    }

    /// Lets so much time pass.
    pub(crate) fn run_ms(&mut self, ms: u64) {
        for _ in 0..ms {
            self.settle();
            self.now += 1_000_000;
            let now = self.now();
            let due: Vec<_> = self
                .servers
                .iter()
                .filter(|(_, s)| s.deadline().is_some_and(|at| at <= now.mono))
                .map(|(id, _)| *id)
                .collect();
            for id in due {
                self.events.push_back((id, Event::Wake));
            }
        }
        self.settle();
    }

    pub(crate) fn leader(&self) -> Option<ServerId> {
        let mut leaders = self
            .servers
            .iter()
            .filter(|(_, s)| s.is_serving() && (s.mode() == "leader" || s.mode() == "standalone"));
        leaders.next().map(|(id, _)| *id)
    }

    /// A client connects and opens a session.
    pub(crate) fn connect(&mut self, server: i64, conn: u64) -> SessionId {
        self.greet(server, conn, SessionId(0));
        match self.replies(server, conn).as_slice() {
            [ClientMessage::Connected(response)] => response.session,
            other => panic!("expected a session at server {server}, got {other:?}"),
        }
    }

    /// A client connects, with a session that it has or with none.
    pub(crate) fn greet(&mut self, server: i64, conn: u64, session: SessionId) {
        self.greet_as(server, conn, session, false);
    }

    /// Likewise; and perhaps it is content to read.
    pub(crate) fn greet_as(&mut self, server: i64, conn: u64, session: SessionId, read_only: bool) {
        let connect = ConnectRequest {
            protocol_version: 0,
            last_zxid_seen: Zxid::ZERO,
            timeout_ms: self.timeout_ms,
            session,
            password: Bytes::copy_from_slice(&zebu_core::session::password(session)),
            read_only: Some(read_only),
        };
        self.greet_with(server, conn, connect);
    }

    pub(crate) fn greet_with(&mut self, server: i64, conn: u64, connect: ConnectRequest) {
        let (at, conn) = (ServerId(server), ConnId(conn));
        let open = Event::ConnOpen { conn, ip: "10.0.0.1".into(), port: 9 };
        let request = ClientRequest::Connect(connect);
        self.events.extend([(at, open), (at, Event::Client { conn, request })]);
    }

    pub(crate) fn send(&mut self, server: i64, conn: u64, xid: i32, request: Request) {
        let request = ClientRequest::Request { xid: Xid(xid), request };
        let event = Event::Client { conn: ConnId(conn), request };
        self.events.push_back((ServerId(server), event));
    }

    pub(crate) fn replies(&mut self, server: i64, conn: u64) -> Vec<ClientMessage> {
        self.settle();
        self.replies.remove(&(ServerId(server), ConnId(conn))).unwrap_or_default()
    }

    /// Handles everything that is under way but for the acknowledgements from one to the other.
    pub(crate) fn settle_without_acks(&mut self, from: i64, to: i64) {
        self.mute = Some((ServerId(from), ServerId(to)));
        self.settle();
        self.mute = None;
    }

    /// What a server that was spoken to directly has to say.
    pub(crate) fn wake(&mut self, id: ServerId) {
        self.drain(id);
        self.settle();
    }
}
