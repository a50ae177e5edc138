//! What can be known from the edges, kept once for all checkers: servers and their files, links,
//! every transaction seen, the committed sequence with the model's state behind it, clients and
//! what they wait for.
//!
//! Nothing in here judges, with one exception that cannot be put off: a zxid with two contents and a
//! committed history that does not hold together leave nothing to reason about ([`News::broken`]).
//!
//! **Committed** is what a leader sent COMMIT or INFORM for in its own epoch, or showed to a client
//! of its own; and the history with which a leader was established, which shows when the first
//! UPTODATE leaves, or at once where a server is alone and answers clients.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use zebu_core::ids::{ConnId, LinkId, ServerId};
use zebu_core::proto::{ClientMessage, ClientRequest, PeerState, QuorumPacket};
use zebu_core::server::{Action, Event, PeerMessage, Port, StoreOp};
use zebu_core::storage::DiskOp;
use zebu_core::txn::TxnBody;

use crate::history::{ClientId, Observation, SimTime, View, Violation};
use crate::model::judge::{Caller, Verdict, judge};
use crate::model::membership::{Configuration, Groups, is_quorum};
use crate::model::{Fired, Lookup, Model};
use crate::scenario::ScenarioInfo;

pub mod clients;
pub mod configurations;
pub mod disk;
mod file;
pub mod ledger;
pub mod local;

use clients::{Answered, ClientFacts, Write};
use configurations::Configurations;
use disk::{DiskFacts, Logged};
use ledger::{Ledger, Proposed, counter, epoch, start_of};
use local::{Greeting, Local};

/// One server, from outside.
#[derive(Debug, Default)]
pub struct ServerFacts {
    pub id: i64,
    pub running: bool,
    /// Counts its starts.
    pub incarnation: u32,
    pub disk: DiskFacts,
    /// The election round of its newest vote.
    pub round: i64,
    /// The epoch that it proposed as a leader, while it does not look for another.
    pub leads: Option<u32>,
    /// It said UPTODATE in that epoch, or is alone and serves.
    pub established: bool,
    pub links: BTreeMap<LinkId, Link>,
    /// What was durable when its disk was lost.
    lost: u64,
}

#[derive(Clone, Debug)]
pub struct Link {
    pub port: Port,
    pub peer: Option<ServerId>,
}

/// A transaction that became committed.
#[derive(Debug)]
pub struct Committed {
    pub proposed: Rc<Proposed>,
    /// The client's request behind it, if there is one.
    pub write: Option<(u64, i32)>,
    /// What it should have come to.
    pub verdict: Option<Verdict>,
    /// It came again, for a request that had one already.
    pub repeated: bool,
    pub fired: Vec<Fired>,
    /// The tree's digest before it.
    pub digest_before: u64,
    /// Whether its session was open when its turn came.
    pub session_was_open: bool,
    /// For a removal by the leader: whether it was due.
    pub may_go: bool,
    /// Another reconfiguration was under way when it was proposed.
    pub reconfiguring: bool,
}

/// What the observation at hand added.
#[derive(Debug, Default)]
pub struct News {
    /// What was committed before: the last transaction of it.
    pub tip_before: u64,
    pub committed: Vec<Committed>,
    /// Transactions nobody had before.
    pub proposed: Vec<Rc<Proposed>>,
    /// Records that appeared in the observed server's log.
    pub logged: Vec<Logged>,
    /// A reply to a client, with the request that it answers.
    pub answered: Option<Answered>,
    /// The write that it answers, if that has its place in the order: nothing more is due for it.
    pub finished: Option<(u64, i32)>,
    /// A client's connection that ended, or gave way to another.
    pub closed: Option<ClientId>,
    /// A server's first vote in a round of election.
    pub new_round: bool,
    pub broken: Option<Violation>,
}

#[derive(Debug)]
pub struct Facts {
    pub info: ScenarioInfo,
    pub now: SimTime,
    servers: Vec<ServerFacts>,
    pub ledger: Ledger,
    pub configurations: Configurations,
    /// Transactions that were proposed while a reconfiguration was under way.
    reconfiguring: BTreeSet<u64>,
    pub model: Model,
    pub clients: BTreeMap<ClientId, ClientFacts>,
    /// Writes by session and xid.
    pub writes: Lookup<(u64, i32), Write>,
    /// The largest zxid of a write that any client has the answer to; of those that succeeded.
    pub answered_upto: u64,
    pub succeeded_upto: u64,
    /// When each epoch was first offered by a leader.
    pub epoch_began: BTreeMap<u32, SimTime>,
    /// Sessions granted before anybody committed them.
    pub local: BTreeMap<u64, Local>,
    read_only_conns: BTreeSet<(ServerId, ConnId)>,
    greetings: Lookup<(ServerId, ConnId), Greeting>,
    writes_sent: u64,
    pub news: News,
}

impl Facts {
    pub fn new(info: ScenarioInfo) -> Self {
        let mut model = Model::behind(&info.past);
        model.ensemble = info.first.clone();
        Self {
            now: 0,
            servers: Vec::new(),
            ledger: Ledger::default(),
            info,
            configurations: Configurations::default(),
            reconfiguring: BTreeSet::new(),
            model,
            clients: BTreeMap::new(),
            writes: Lookup::default(),
            answered_upto: 0,
            succeeded_upto: 0,
            epoch_began: BTreeMap::new(),
            local: BTreeMap::new(),
            read_only_conns: BTreeSet::new(),
            greetings: Lookup::default(),
            writes_sent: 0,
            news: News::default(),
        }
    }

    pub fn servers(&self) -> &[ServerFacts] {
        &self.servers
    }
    pub fn server(&self, id: ServerId) -> &ServerFacts {
        let at = self.servers.iter().position(|server| server.id == id.0);
        &self.servers[at.expect("every observed server has an entry")]
    }
    /// Is this a link to or from observers where a follower may stand in the leader's place?
    pub fn is_of_master(&self, server: ServerId, link: LinkId) -> bool {
        let link = self.server(server).links.get(&link);
        link.is_some_and(|link| link.port == Port::ObserverMaster)
    }
    pub fn is_alone(&self) -> bool {
        self.info.servers == 1
    }
    /// Are those voters a quorum of these?
    pub fn is_quorum(&self, groups: &Groups, mut has: impl FnMut(&ServerFacts) -> bool) -> bool {
        is_quorum(groups, |voter| {
            self.servers.iter().find(|server| server.id == voter.0).is_some_and(&mut has)
        })
    }
    /// Would `server` still have `zxid`, on the history it belongs to, after a power loss?
    pub fn has_durable(&self, server: &ServerFacts, zxid: u64) -> bool {
        let durable = server.disk.durable();
        durable >= zxid && self.ledger.contains(durable, zxid) != Some(false)
    }
    /// The same of one that may have said so before its disk was lost.
    pub fn has_had_durable(&self, server: &ServerFacts, zxid: u64) -> bool {
        let had = server.lost >= zxid && self.ledger.contains(server.lost, zxid) != Some(false);
        had || self.has_durable(server, zxid)
    }
    pub fn tick(&self) -> SimTime {
        self.info.tick_ms * 1_000_000
    }
    /// A span of a server's clock, in the least true time that it can be.
    pub fn at_least(&self, span: SimTime) -> SimTime {
        span - (u128::from(span) * u128::from(self.info.drift_ppm * 2) / 1_000_000) as SimTime
    }

    pub fn observe(&mut self, view: &View<'_>, what: &Observation<'_>) {
        if let Some(done) = self.news.finished.take() {
            self.writes.remove(&done);
        }
        self.news = News { tip_before: self.ledger.tip(), ..News::default() };
        self.now = view.now;
        if self.servers.len() != view.servers.len() {
            let entries = view.servers.iter();
            self.servers =
                entries.map(|s| ServerFacts { id: s.id.0, ..ServerFacts::default() }).collect();
        }
        if let Err(broken) = self.take_in(view, what) {
            self.news.broken = Some(broken);
        }
    }

    fn take_in(&mut self, view: &View<'_>, what: &Observation<'_>) -> Result<(), Violation> {
        match what {
            Observation::Started { server } => {
                self.rescan(view, *server);
                let known = self.at(*server);
                known.round = 0;
                known.running = true;
                known.incarnation += 1;
                known.leads = None;
                known.established = false;
                known.links.clear();
                self.conns_gone(*server);
                self.commit_alone(*server)?;
            }
            Observation::Stopped { server, .. } => {
                // The disk has lost by now what it had to lose.
                self.rescan(view, *server);
                let known = self.at(*server);
                known.running = false;
                known.leads = None;
            }
            Observation::Wiped { server } => {
                let known = self.at(*server);
                known.lost = known.disk.durable();
                self.rescan(view, *server);
            }
            Observation::Event { server, event } => self.on_event(*server, event),
            Observation::Action { server, action } => self.on_action(*server, action)?,
            Observation::Disk { server, op, done } => self.on_disk(*server, op, *done)?,
            Observation::Sent { client, server, request } => {
                if self.on_sent(*client, *server, request) {
                    self.news.closed = Some(*client);
                }
            }
            Observation::Received { client, message, .. } => self.on_received(*client, message),
            Observation::Disconnected { client } => {
                if let Some(known) = self.clients.get_mut(client) {
                    known.leave();
                }
                self.news.closed = Some(*client);
            }
            Observation::NotStarted { .. }
            | Observation::Call { .. }
            | Observation::Completed { .. }
            | Observation::Watch { .. }
            | Observation::Session { .. }
            | Observation::Link { .. }
            | Observation::LivenessPhase
            | Observation::Quiet => {}
        }
        Ok(())
    }

    fn rescan(&mut self, view: &View<'_>, server: ServerId) {
        if let Some(here) = view.servers.iter().find(|s| s.id == server) {
            self.at(server).disk.rescan(here.disk);
        }
    }

    fn at(&mut self, id: ServerId) -> &mut ServerFacts {
        let at = self.servers.iter().position(|server| server.id == id.0);
        let at = at.unwrap_or_else(|| {
            self.servers.push(ServerFacts { id: id.0, ..ServerFacts::default() });
            self.servers.len() - 1
        });
        &mut self.servers[at]
    }

    fn on_event(&mut self, server: ServerId, event: &Event) {
        let known = self.at(server);
        match event {
            Event::LinkUp { link, port, peer, .. } => {
                known.links.insert(*link, Link { port: *port, peer: *peer });
            }
            Event::LinkDown { link } => {
                known.links.remove(link);
            }
            Event::Client { conn, request: ClientRequest::Connect(asked) } => {
                self.on_greeted(server, *conn, asked);
            }
            Event::ConnGone { conn } => self.conn_gone(server, *conn),
            Event::Peer {
                link,
                message:
                    PeerMessage::Quorum(
                        QuorumPacket::FollowerInfo { info, .. }
                        | QuorumPacket::ObserverInfo { info, .. },
                    ),
            } => {
                if let Some(link) = known.links.get_mut(link) {
                    link.peer = Some(info.id);
                }
            }
            _ => {}
        }
    }

    fn on_action(&mut self, server: ServerId, action: &Action) -> Result<(), Violation> {
        match action {
            Action::Send { link, message: PeerMessage::Quorum(packet) } => {
                self.on_packet_sent(server, *link, packet)?;
            }
            Action::Send { message: PeerMessage::Election(vote), .. } => {
                let known = self.at(server);
                // A vote of an older round is one that was still on its way, sent again.
                if vote.state == PeerState::Looking && vote.round > known.round {
                    known.round = vote.round;
                    known.leads = None;
                    self.news.new_round = true;
                }
            }
            Action::CloseLink { link, .. } => {
                self.at(server).links.remove(link);
            }
            Action::Store { op: StoreOp::Append(entries), .. } => {
                for entry in entries {
                    self.learn(entry.zxid().0, &entry.payload, server)?;
                    if self.is_alone() {
                        self.at(server).leads = Some(entry.zxid().epoch().0);
                    }
                }
            }
            Action::Reply { conn, message: ClientMessage::Connected(granted) } => {
                self.on_granted(server, *conn, granted);
                self.on_shown(server, &ClientMessage::Connected(granted.clone()))?;
            }
            Action::Reply { conn, message } if !self.is_read_only(server, *conn) => {
                self.on_shown(server, message)?;
            }
            Action::CloseConn { conn, .. } => self.conn_gone(server, *conn),
            _ => {}
        }
        Ok(())
    }

    fn on_packet_sent(
        &mut self,
        server: ServerId,
        link: LinkId,
        packet: &QuorumPacket,
    ) -> Result<(), Violation> {
        let now = self.now;
        match packet {
            QuorumPacket::FollowerInfo { .. } | QuorumPacket::ObserverInfo { .. } => {
                self.at(server).leads = None;
            }
            QuorumPacket::LeaderInfo { .. } if self.is_of_master(server, link) => {}
            QuorumPacket::LeaderInfo { epoch, .. } => {
                self.epoch_began.entry(epoch.0).or_insert(now);
                let known = self.at(server);
                if known.leads != Some(epoch.0) {
                    known.leads = Some(epoch.0);
                    known.established = false;
                }
            }
            QuorumPacket::NewLeader { zxid, config } => {
                if let Some(named) = Configuration::parse(config) {
                    self.configurations.named.entry(zxid.epoch().0).or_insert(named.version);
                }
            }
            QuorumPacket::Proposal(entry) => {
                self.learn(entry.zxid().0, &entry.payload, server)?;
            }
            QuorumPacket::Inform(entry) | QuorumPacket::InformAndActivate { entry, .. } => {
                self.learn(entry.zxid().0, &entry.payload, server)?;
                self.commit_by(server, entry.zxid().0)?;
            }
            QuorumPacket::Commit { zxid } | QuorumPacket::CommitAndActivate { zxid, .. } => {
                self.commit_by(server, zxid.0)?;
            }
            QuorumPacket::UpToDate => {
                let known = self.at(server);
                if let (Some(epoch), false) = (known.leads, known.established) {
                    known.established = true;
                    let history = known.disk.last_below(start_of(epoch));
                    self.ledger.epoch_begins(epoch, history, server)?;
                    self.commit(history)?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// A leader says that `zxid` is committed. While it synchronizes a learner it says so of its
    /// whole history, before anybody agreed: only its own epoch counts.
    fn commit_by(&mut self, server: ServerId, zxid: u64) -> Result<(), Violation> {
        if self.at(server).leads == Some(epoch(zxid)) { self.commit(zxid) } else { Ok(()) }
    }

    /// A client is shown something.
    fn on_shown(&mut self, server: ServerId, message: &ClientMessage) -> Result<(), Violation> {
        if self.is_alone() {
            self.at(server).established = true;
            return Ok(());
        }
        let shown = match message {
            ClientMessage::Reply { zxid, .. } | ClientMessage::Event { zxid, .. } => *zxid,
            ClientMessage::Connected(_)
            | ClientMessage::LoginRefused { .. }
            | ClientMessage::Text(_) => 0,
        };
        if shown > 0 && counter(shown as u64) > 0 {
            self.commit_by(server, shown as u64)?;
        }
        Ok(())
    }

    fn on_disk(&mut self, server: ServerId, op: &DiskOp, done: bool) -> Result<(), Violation> {
        let logged = self.at(server).disk.observe(op, done);
        for record in &logged {
            self.learn(record.zxid, &record.payload, server)?;
            self.ledger.follows(record.before, record.zxid, server)?;
        }
        self.news.logged = logged;
        self.commit_alone(server)
    }

    /// A server alone has nobody to ask: what is on its disk for good is committed.
    fn commit_alone(&mut self, server: ServerId) -> Result<(), Violation> {
        if !self.is_alone() {
            return Ok(());
        }
        let durable = self.at(server).disk.durable();
        self.commit(durable)
    }

    fn learn(
        &mut self,
        zxid: u64,
        payload: &bytes::Bytes,
        server: ServerId,
    ) -> Result<(), Violation> {
        if self.ledger.learn(zxid, payload, server, self.now)? {
            let proposed = self.ledger.get(zxid).expect("just learned").clone();
            if self.info.first.is_some() {
                if self.is_reconfiguring(zxid) {
                    self.reconfiguring.insert(zxid);
                }
                self.configurations.learn(&proposed)?;
            }
            self.news.proposed.push(proposed);
        }
        Ok(())
    }

    fn commit(&mut self, zxid: u64) -> Result<(), Violation> {
        if self.ledger.is_committed(zxid) {
            return Ok(());
        }
        for zxid in self.ledger.path_to(zxid)? {
            self.commit_one(zxid)?;
        }
        Ok(())
    }

    fn commit_one(&mut self, zxid: u64) -> Result<(), Violation> {
        let Some(proposed) = self.ledger.get(zxid).cloned() else {
            let what = format!("{} was committed, nobody ever had it", ledger::show(zxid));
            return Err(Violation { property: "Z-INT", what });
        };
        self.ledger.commit(zxid);
        self.configurations.commit(zxid);
        if self.model.ensemble.is_some()
            && !self.model.reconfigured_at(zxid)
            && let Some(first) = &mut self.model.ensemble
            && let Some(named) = self.configurations.named.get(&epoch(zxid))
        {
            // Its leader gave it a version, or told the one that it has.
            first.version = *named;
        }
        let header = &proposed.txn.header;
        let key = (header.session.0, header.cxid.0);
        let local = self.is_local(key.0);
        let mut committed = Committed {
            write: None,
            verdict: None,
            repeated: false,
            fired: Vec::new(),
            digest_before: self.model.digest,
            session_was_open: self.model.session_open(key.0),
            may_go: match &proposed.txn.body {
                TxnBody::DeleteContainer { path } => self.model.may_go(path, header.time.0),
                _ => false,
            },
            reconfiguring: self.reconfiguring.contains(&zxid),
            proposed: Rc::clone(&proposed),
        };
        // Servers number their own transactions 0; clients never do.
        if let Some(write) = self.writes.get_mut(&key).filter(|_| key.1 != 0) {
            committed.write = Some(key);
            committed.repeated = write.txn.is_some();
            write.txn = Some(zxid);
            let time = header.time.0;
            let caller = Caller { local, ..write.caller };
            let verdict = judge(&self.model, caller, &write.request, zxid, time, true);
            write.expected = verdict.as_ref().map(|verdict| verdict.reply.clone());
            write.judged = verdict.is_some();
            committed.verdict = verdict;
        }
        committed.fired = self.model.apply(&proposed.txn);
        self.news.committed.push(committed);
        Ok(())
    }
}
