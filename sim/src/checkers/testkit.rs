//! Hand-made histories for the tests of checks.

use std::collections::BTreeMap;

use bytes::Bytes;
use zebu_core::client::CallId;
use zebu_core::config::{Ensemble, Member, MemberRole};
use zebu_core::ids::{ConnId, Epoch, LinkId, ServerId, SessionId, Xid, Zxid};
use zebu_core::proto::{
    ClientMessage, ClientRequest, ConnectRequest, ConnectResponse, ErrorCode, LearnerInfo,
    Notification, PeerState, QuorumPacket, Request, Response, WatcherEvent,
};
use zebu_core::server::{Action, Event, PeerMessage, Port};
use zebu_core::storage::{Dir, DiskOp};
use zebu_core::tree::Database;
use zebu_core::txn::{Entry, Txn, TxnBody};

use super::facts::Facts;
use super::facts::disk::tests::{data, log};
use super::{Check, Suite};
use crate::disk::SimDisk;
use crate::history::{
    Checker, ClientId, Observation, ServerView, SimTime, StopReason, View, Violation,
};
use crate::model::CONFIG;
use crate::model::membership::Configuration;
use crate::model::payload::write;
use crate::model::tests::{create, txn};
use crate::scenario::ScenarioInfo;

pub const ONE: ServerId = ServerId(1);
pub const TWO: ServerId = ServerId(2);
pub const THREE: ServerId = ServerId(3);

/// A session of the hand-made clients.
pub const SESSION: u64 = 5;
pub const MS: SimTime = 1_000_000;

pub fn z(epoch: u32, counter: u32) -> u64 {
    Zxid::new(Epoch(epoch), counter).0
}
pub fn entry(txn: Txn) -> Entry {
    let payload = write::txn(&txn);
    Entry { txn: txn.into(), payload }
}
/// Session 5 creates `path`.
pub fn propose(zxid: u64, path: &str) -> Entry {
    entry(txn(zxid, SESSION, zxid as i32, create(path, 1, false)))
}
pub fn vote(leader: ServerId, zxid: u64, peer_epoch: i64) -> Notification {
    Notification {
        state: PeerState::Looking,
        leader,
        zxid: Zxid(zxid),
        round: 1,
        peer_epoch,
        version: 2,
        config: Bytes::new(),
        is_ours: true,
        proposed: Bytes::new(),
    }
}

#[derive(Debug)]
pub struct Bench {
    suite: Suite,
    disks: Vec<SimDisk>,
    pub databases: Vec<Option<Database>>,
    /// Connections that watch, at each server.
    pub watching: Vec<usize>,
    pub now: SimTime,
    ends: BTreeMap<(ServerId, String), u64>,
}

impl Bench {
    pub fn new(servers: usize, checks: Vec<Box<dyn Check>>) -> Self {
        Self::with(info(servers), checks)
    }
    pub fn with(info: ScenarioInfo, checks: Vec<Box<dyn Check>>) -> Self {
        let servers = info.servers;
        let mut bench = Self {
            suite: Suite::new(&info, checks),
            disks: vec![SimDisk::new(); servers],
            databases: vec![None; servers],
            watching: vec![0; servers],
            now: 0,
            ends: BTreeMap::new(),
        };
        for id in 1..=servers as i64 {
            bench.see(&Observation::Started { server: ServerId(id) }).unwrap();
            for peer in 1..=servers as i64 {
                let event = Event::LinkUp {
                    link: LinkId(peer as u64),
                    port: Port::Quorum,
                    peer: Some(ServerId(peer)),
                    dialled: true,
                };
                bench.event(ServerId(id), &event).unwrap();
            }
        }
        bench
    }
    pub fn facts(&self) -> &Facts {
        &self.suite.facts
    }

    pub fn see(&mut self, what: &Observation<'_>) -> Result<(), Violation> {
        self.now += 1;
        let Self { suite, disks, databases, watching, now, .. } = self;
        with_view(disks, databases, watching, *now, |view| suite.observe(view, what))
    }
    pub fn finish(&mut self) -> Result<(), Violation> {
        let Self { suite, disks, databases, watching, now, .. } = self;
        with_view(disks, databases, watching, *now, |view| suite.finish(view))
    }

    pub fn event(&mut self, server: ServerId, event: &Event) -> Result<(), Violation> {
        self.see(&Observation::Event { server, event })
    }
    pub fn action(&mut self, server: ServerId, action: &Action) -> Result<(), Violation> {
        self.see(&Observation::Action { server, action })
    }
    /// `server` sends a packet to `to`; the link to a server has its number.
    pub fn send(
        &mut self,
        server: ServerId,
        to: ServerId,
        packet: QuorumPacket,
    ) -> Result<(), Violation> {
        let message = PeerMessage::Quorum(packet);
        self.action(server, &Action::Send { link: LinkId(to.0 as u64), message })
    }
    /// `server` gets a packet from `from`.
    pub fn told(
        &mut self,
        server: ServerId,
        from: ServerId,
        packet: QuorumPacket,
    ) -> Result<(), Violation> {
        let message = PeerMessage::Quorum(packet);
        self.event(server, &Event::Peer { link: LinkId(from.0 as u64), message })
    }
    /// `server` votes, in a new round.
    pub fn elect(&mut self, server: ServerId, mut vote: Notification) -> Result<(), Violation> {
        vote.round = self.now as i64;
        let message = PeerMessage::Election(vote);
        self.action(server, &Action::Send { link: LinkId(99), message })
    }
    /// `server` offers `epoch` to its learners.
    pub fn lead(&mut self, server: ServerId, epoch: u32) {
        for peer in (1..=self.disks.len() as i64).map(ServerId).filter(|peer| *peer != server) {
            let info = LearnerInfo { id: peer, protocol_version: 0, config_version: 0 };
            self.told(server, peer, QuorumPacket::FollowerInfo { accepted: Epoch(0), info })
                .unwrap();
        }
        let offer = QuorumPacket::LeaderInfo { epoch: Epoch(epoch), protocol_version: 0 };
        self.send(server, server, offer).unwrap();
    }
    /// `server` tells `to` that it is established in `epoch`.
    pub fn establish(&mut self, server: ServerId, to: ServerId, epoch: u32) {
        let zxid = Zxid::start_of(Epoch(epoch));
        self.send(server, to, QuorumPacket::NewLeader { zxid, config: Bytes::new() }).unwrap();
        self.told(server, to, QuorumPacket::Ack { zxid }).unwrap();
        self.send(server, to, QuorumPacket::UpToDate).unwrap();
    }

    pub fn perform(&mut self, server: ServerId, op: &DiskOp) -> Result<(), Violation> {
        self.disks[server.0 as usize - 1].perform(op).unwrap();
        self.see(&Observation::Disk { server, op, done: true })
    }
    pub fn save_epoch(
        &mut self,
        server: ServerId,
        name: &str,
        epoch: u32,
    ) -> Result<(), Violation> {
        let tmp = data("tmp");
        let bytes = Bytes::from(epoch.to_string());
        for op in [
            DiskOp::Create(tmp.clone()),
            DiskOp::Write { file: tmp.clone(), offset: 0, bytes },
            DiskOp::Sync(tmp.clone()),
            DiskOp::Rename { from: tmp.clone(), to: data(name) },
            DiskOp::SyncDir(Dir::Data),
        ] {
            self.perform(server, &op)?;
        }
        Ok(())
    }
    /// Appends the records that the bench proposed under these zxids, durably.
    pub fn log(&mut self, server: ServerId, zxids: &[u64]) -> Result<(), Violation> {
        self.append(server, zxids)?;
        self.perform(server, &DiskOp::Sync(log("log.1")))?;
        self.perform(server, &DiskOp::SyncDir(Dir::Log))
    }
    /// The same without a sync.
    pub fn append(&mut self, server: ServerId, zxids: &[u64]) -> Result<(), Violation> {
        let entries: Vec<Entry> = zxids
            .iter()
            .map(|zxid| match self.facts().ledger.get(*zxid) {
                Some(known) => {
                    Entry { txn: known.txn.clone().into(), payload: known.payload.clone() }
                }
                None => propose(*zxid, "/a"),
            })
            .collect();
        let file = log("log.1");
        let key = (server, file.name.clone());
        let mut bytes = Vec::new();
        if !self.ends.contains_key(&key) {
            self.perform(server, &DiskOp::Create(file.clone()))?;
            bytes.resize(16, 0);
        }
        let offset = *self.ends.entry(key.clone()).or_insert(0);
        for entry in &entries {
            bytes.extend(write::record(&entry.payload));
        }
        self.ends.insert(key, offset + bytes.len() as u64);
        self.perform(server, &DiskOp::Write { file, offset, bytes: bytes.into() })
    }
    /// Everything on the disk is lost, and the server starts again.
    pub fn wipe(&mut self, server: ServerId) {
        self.see(&Observation::Stopped { server, why: StopReason::PowerLoss }).unwrap();
        self.disks[server.0 as usize - 1] = SimDisk::new();
        self.see(&Observation::Started { server }).unwrap();
    }

    // ---- clients ----

    /// `server` puts a reply on connection 1.
    pub fn reply(
        &mut self,
        server: ServerId,
        xid: i32,
        zxid: u64,
        result: Result<Response, ErrorCode>,
    ) -> Result<(), Violation> {
        let message = ClientMessage::Reply { xid: Xid(xid), zxid: zxid as i64, result };
        self.action(server, &Action::Reply { conn: ConnId(1), message })
    }
    /// `client` connects to `server` and gets `session`.
    pub fn connect(&mut self, client: usize, server: ServerId, session: u64) {
        self.connect_as(client, server, session, None);
    }
    /// The same with a server that has no quorum.
    pub fn connect_to_read(&mut self, client: usize, server: ServerId, session: u64) {
        self.connect_as(client, server, session, Some(true));
    }
    fn connect_as(
        &mut self,
        client: usize,
        server: ServerId,
        session: u64,
        read_only: Option<bool>,
    ) {
        let asked = ConnectRequest {
            protocol_version: 0,
            last_zxid_seen: Zxid(0),
            timeout_ms: 4000,
            session: SessionId(0),
            password: Bytes::new(),
            read_only,
        };
        self.put(client, server, ClientRequest::Connect(asked)).unwrap();
        let granted = ConnectResponse {
            protocol_version: 0,
            timeout_ms: 4000,
            session: SessionId(session),
            password: [7; 16],
            read_only,
        };
        self.take(client, server, ClientMessage::Connected(granted)).unwrap();
    }
    pub fn put(
        &mut self,
        client: usize,
        server: ServerId,
        request: ClientRequest,
    ) -> Result<(), Violation> {
        self.see(&Observation::Sent { client: ClientId(client), server, request: &request })
    }
    pub fn take(
        &mut self,
        client: usize,
        server: ServerId,
        message: ClientMessage,
    ) -> Result<(), Violation> {
        self.see(&Observation::Received { client: ClientId(client), server, message: &message })
    }
    /// `client`, connected to server 1, asks.
    pub fn ask(&mut self, client: usize, xid: i32, request: Request) {
        self.put(client, ONE, ClientRequest::Request { xid: Xid(xid), request }).unwrap();
    }
    pub fn answer(
        &mut self,
        client: usize,
        xid: i32,
        zxid: u64,
        result: Result<Response, ErrorCode>,
    ) -> Result<(), Violation> {
        let message = ClientMessage::Reply { xid: Xid(xid), zxid: zxid as i64, result };
        self.take(client, ONE, message)
    }
    pub fn notify(
        &mut self,
        client: usize,
        zxid: i64,
        event: WatcherEvent,
    ) -> Result<(), Violation> {
        self.take(client, ONE, ClientMessage::Event { zxid, event })
    }
    pub fn disconnect(&mut self, client: usize) {
        self.see(&Observation::Disconnected { client: ClientId(client) }).unwrap();
    }
    /// A client writes through `server` and gets the answer that it is `zxid`.
    pub fn written(&mut self, server: ServerId, client: usize, zxid: u64) {
        self.connect(client, server, SESSION);
        let request = Request::Delete { path: "/a".into(), version: -1 };
        self.ask(client, zxid as i32, request);
        self.answer(client, zxid as i32, zxid, Ok(Response::Empty)).unwrap();
    }
    /// Server 1, which leads epoch 1, commits a transaction.
    pub fn commit(
        &mut self,
        zxid: u64,
        session: u64,
        cxid: i32,
        body: TxnBody,
    ) -> Result<(), Violation> {
        self.send(ONE, TWO, QuorumPacket::Proposal(entry(txn(zxid, session, cxid, body))))?;
        self.send(ONE, TWO, QuorumPacket::Commit { zxid: Zxid(zxid) })
    }
    pub fn call(&mut self, client: usize, call: u64, request: &Request) -> Result<(), Violation> {
        self.see(&Observation::Call { client: ClientId(client), call: CallId(call), request })
    }
}

pub fn info(servers: usize) -> ScenarioInfo {
    ScenarioInfo {
        servers,
        members: servers,
        first: None,
        groups: vec![(1..=servers as i64).map(|id| (ServerId(id), 1)).collect()],
        tick_ms: 200,
        init_limit: 10,
        sync_limit: 5,
        clients: 1,
        faults: true,
        calm: false,
        drift_ppm: 200,
        liveness_bound: 10_000 * MS,
        local_sessions: false,
        forgetful_observers: false,
        frame_max: 0xfffff,
        past: Vec::new(),
    }
}

/// So many servers, of which the first ones are an ensemble that may be changed.
pub fn dynamic(members: usize, servers: usize) -> ScenarioInfo {
    let ids: Vec<i64> = (1..=members as i64).collect();
    let first = Configuration::parse(ensemble(&ids, 0).text().as_bytes());
    ScenarioInfo { members, groups: info(members).groups, first, ..info(servers) }
}
/// Voters at their own hosts.
pub fn ensemble(ids: &[i64], version: u64) -> Ensemble {
    let member = |id: &i64| Member {
        host: format!("h{id}"),
        quorum_port: 1,
        election_port: 2,
        role: MemberRole::Participant,
        client: None,
    };
    let members = ids.iter().map(|id| (ServerId(*id), member(id))).collect();
    Ensemble { members, hierarchy: None, version }
}
/// The reconfiguration that leaves these voters.
pub fn change(ids: &[i64], zxid: u64) -> TxnBody {
    let data = Some(ensemble(ids, zxid).text().into());
    TxnBody::Reconfig { path: CONFIG.into(), data, version: -1 }
}

fn with_view<T>(
    disks: &[SimDisk],
    databases: &[Option<Database>],
    watching: &[usize],
    now: SimTime,
    then: impl FnOnce(&View<'_>) -> T,
) -> T {
    let servers: Vec<ServerView<'_>> = disks
        .iter()
        .zip(databases)
        .enumerate()
        .map(|(at, (disk, database))| ServerView {
            id: ServerId(at as i64 + 1),
            database: database.as_ref(),
            disk,
            watching: watching.get(at).copied(),
        })
        .collect();
    then(&View { now, servers: &servers })
}
