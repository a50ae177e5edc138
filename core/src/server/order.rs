//! Clients of this server: each connection's requests in their order, each session's writes on
//! their way through the leader and back, watches and their events. Here is the way of a request;
//! how a connection gets its session is in [`handshake`], what comes back from the leader in
//! [`delivery`], sessions that the leader does not know in [`local_sessions`], too many requests and
//! clients that do not read in [`pressure`].
//!
//! A read waits for the writes before it on its connection, other sessions' requests do not. Events
//! of a change go out before any reply that shows it, because both go through one outbox in the
//! order in which things happen here. What a request means is in [`crate::ops`].
//!
// ZK: CommitProcessor, FinalRequestProcessor, NIOServerCnxn (3.9)

mod delivery;
mod eager;
mod handshake;
mod local_sessions;
mod pressure;
mod read_only;
mod silence;

use alloc::collections::{BTreeMap, VecDeque};
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::auth::Access;
use crate::config::Config;
use crate::ids::{ConnId, SessionId, Xid, Zxid};
use crate::mutant::Mutant;
use crate::ops;
use crate::proto::{
    ClientMessage, ErrorCode, Forwarded, Id, OpCode, Request, Response, WatcherEvent,
};
use crate::session::{LocalSessions, SessionIds};
use crate::time::Instant;
use crate::watch::WatchTable;

use super::cx::Cx;
use super::identity::{Identity, Verdict};
use super::stats::{ConnStats, LastOp, Stats, letters};
use super::{Action, CloseReason};

use pressure::{Flow, Pressure};

/// What the role (leader or follower) is to do for a client.
#[derive(Clone, Debug)]
pub(crate) enum Submission {
    Write(Forwarded),
    Sync { conn: ConnId, request: Forwarded },
    Revalidate { session: SessionId, timeout_ms: i32 },
    Touch { session: SessionId, timeout_ms: i32 },
}

#[derive(Clone, Debug)]
pub(crate) struct Conn {
    pub(crate) ip: String,
    pub(crate) port: u16,
    pub(crate) phase: Phase,
    identity: Identity,
    /// Requests not answered yet, oldest first. Writes among them are on their way already.
    waiting: VecDeque<Waiting>,
    /// A sync is with the leader. What is behind it stays here: it may be answered long after a
    /// write that left later, and the reads between must not see that write. Nothing that follows
    /// the close of a local session leaves either.
    syncing: bool,
    pub(crate) stats: ConnStats,
    flow: Flow,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Phase {
    Greeting,
    /// The session is being made or revalidated.
    Opening {
        session: SessionId,
        timeout_ms: i32,
        read_only: Option<bool>,
    },
    Open {
        session: SessionId,
        timeout_ms: i32,
    },
}

#[derive(Clone, Debug)]
struct Waiting {
    xid: Xid,
    request: Request,
    /// Whose it is: as the connection's identity was when it came.
    ids: Arc<[Id]>,
    /// The answer, if the request is the connection's own affair.
    verdict: Option<Verdict>,
    arrived: Instant,
    /// It is with the leader, or needs none.
    sent: bool,
    /// For a sync: the leader has answered it. Also what needs no leader now, as others of its kind
    /// do.
    synced: bool,
    /// It waited too long to be carried out, and is told so in its turn.
    throttled: bool,
}

impl Waiting {
    /// Does it wait for the leader?
    fn needs_leader(&self) -> bool {
        let is_sync = matches!(self.request, Request::Sync { .. });
        let is_judged = self.verdict.is_some() || self.throttled;
        !is_judged && (is_sync || ops::is_write(&self.request))
    }
    /// Can it be answered now, when its turn comes?
    fn is_ready(&self) -> bool {
        self.synced || !self.needs_leader()
    }
    fn forwarded(&self, session: SessionId) -> Forwarded {
        let (request, auth) = (self.request.clone(), self.ids.to_vec());
        Forwarded { session, cxid: self.xid, request, auth }
    }
}

impl Conn {
    pub(crate) fn queued(&self) -> usize {
        self.waiting.len()
    }
    pub(crate) fn session(&self) -> Option<SessionId> {
        match self.phase {
            Phase::Greeting => None,
            Phase::Opening { session, .. } | Phase::Open { session, .. } => Some(session),
        }
    }
    pub(crate) fn timeout_ms(&self) -> Option<i32> {
        match self.phase {
            Phase::Greeting => None,
            Phase::Opening { timeout_ms, .. } | Phase::Open { timeout_ms, .. } => Some(timeout_ms),
        }
    }
    /// Is its client on this machine?
    pub(crate) fn is_local(&self) -> bool {
        self.ip.parse().is_ok_and(|ip: core::net::IpAddr| ip.is_loopback())
    }
    fn heard(&mut self, now: Instant) {
        self.stats.received += 1;
        self.stats.heard = now;
    }
}

/// A write between here and its commit. It stays when its connection goes, so that a later request
/// with the same xid is not taken for it.
#[derive(Clone, Copy, Debug)]
struct InFlight {
    cxid: Xid,
    conn: ConnId,
    opens: bool,
    closes: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct Order {
    conns: BTreeMap<ConnId, Conn>,
    per_address: BTreeMap<String, usize>,
    /// The connection that holds a session here.
    holders: BTreeMap<SessionId, ConnId>,
    in_flight: BTreeMap<SessionId, VecDeque<InFlight>>,
    /// Connections that wait for the leader's word on their session, oldest first.
    revalidating: BTreeMap<SessionId, VecDeque<ConnId>>,
    watches: WatchTable,
    ids: SessionIds,
    local: LocalSessions,
    /// When silent connections are looked for next.
    look_at: Instant,
    submissions: VecDeque<Submission>,
    pressure: Pressure,
    /// Events held back by a planted mistake only.
    late_events: Vec<(ConnId, i64, WatcherEvent)>,
    pub(crate) stats: Stats,
}

impl Order {
    pub(crate) fn new(ids: SessionIds, config: &Config) -> Self {
        Self {
            conns: BTreeMap::new(),
            per_address: BTreeMap::new(),
            holders: BTreeMap::new(),
            in_flight: BTreeMap::new(),
            revalidating: BTreeMap::new(),
            watches: WatchTable::new(config.seed).with_mutant(config.mutant),
            ids,
            local: LocalSessions::new(config.tick),
            look_at: Instant(0),
            submissions: VecDeque::new(),
            pressure: Pressure::new(config),
            late_events: Vec::new(),
            stats: Stats::default(),
        }
    }

    pub(crate) fn take_submission(&mut self) -> Option<Submission> {
        self.submissions.pop_front()
    }
    pub(crate) fn conns(&self) -> impl Iterator<Item = &Conn> {
        self.conns.values()
    }
    pub(crate) fn session_of(&self, conn: ConnId) -> Option<SessionId> {
        self.conns.get(&conn)?.session()
    }
    pub(crate) fn reset_conn_stats(&mut self) {
        for conn in self.conns.values_mut() {
            conn.stats.reset();
        }
    }
    pub(crate) fn watches(&self) -> &WatchTable {
        &self.watches
    }
    pub(crate) fn watch_count(&self) -> usize {
        self.watches.count()
    }
    /// Requests not answered yet (upstream: outstanding requests).
    pub(crate) fn outstanding(&self) -> usize {
        self.conns.values().map(Conn::queued).sum()
    }

    // ---- connections ----

    // ZK: NIOServerCnxnFactory.AcceptThread.doAccept (3.9)
    pub(crate) fn on_open(&mut self, conn: ConnId, ip: String, port: u16, cx: &mut Cx) {
        let in_all = cx.config.limits.conns_max;
        if in_all != 0 && self.conns.len() >= in_all {
            cx.push(Action::CloseConn { conn, why: CloseReason::ServerFull });
            return;
        }
        let here = self.per_address.entry(ip.clone()).or_insert(0);
        let max = cx.config.limits.conns_per_address_max;
        if max != 0 && *here >= max {
            cx.push(Action::CloseConn { conn, why: CloseReason::TooManyConnections });
            return;
        }
        *here += 1;
        let identity = Identity::of(&ip);
        let phase = Phase::Greeting;
        let stats = ConnStats::open(cx.now.wall, cx.now.mono);
        let (waiting, flow) = (VecDeque::new(), Flow::default());
        let syncing = false;
        self.conns.insert(conn, Conn { ip, port, phase, identity, waiting, syncing, stats, flow });
    }

    /// The connection is gone, or goes now. Its session lives on.
    pub(crate) fn forget(&mut self, conn: ConnId) {
        let Some(gone) = self.conns.remove(&conn) else { return };
        self.pressure.forget(&gone.flow);
        self.forget_queued(conn, &gone);
        self.watches.forget(conn);
        if let Some(session) = gone.session()
            && self.holders.get(&session) == Some(&conn)
        {
            self.holders.remove(&session);
        }
        if let Some(here) = self.per_address.get_mut(&gone.ip) {
            *here -= 1;
            if *here == 0 {
                self.per_address.remove(&gone.ip);
            }
        }
    }

    /// A four-letter word came. It counts as a request, and its answer as a reply.
    pub(crate) fn on_word(&mut self, conn: ConnId, now: Instant) {
        self.stats.received += 1;
        if let Some(c) = self.conns.get_mut(&conn) {
            c.heard(now);
        }
    }

    fn close(&mut self, conn: ConnId, why: CloseReason, cx: &mut Cx) {
        if self.conns.contains_key(&conn) {
            self.forget(conn);
            cx.push(Action::CloseConn { conn, why });
        }
    }

    /// The client of this session came to an observer that this server serves: whatever its connection
    /// here still brings would reach the leader as if it came from there.
    pub(crate) fn give_up(&mut self, session: SessionId, cx: &mut Cx) {
        if let Some(&conn) = self.holders.get(&session) {
            self.close(conn, CloseReason::SessionMoved(session), cx);
        }
    }

    /// This server leads or follows no more: nobody may be told anything.
    pub(crate) fn stop_serving(&mut self, cx: &mut Cx) {
        let conns: Vec<_> = self.conns.keys().copied().collect();
        for conn in conns {
            self.close(conn, CloseReason::NotServing, cx);
        }
        self.in_flight.clear();
        self.revalidating.clear();
        self.submissions.clear();
        self.pressure.clear();
        self.late_events.clear();
    }

    fn reply(&mut self, conn: ConnId, message: ClientMessage, cx: &mut Cx) {
        if let Some(c) = self.conns.get_mut(&conn) {
            c.stats.sent += 1;
            self.stats.sent += 1;
            c.flow.unread += message.weight();
            cx.push(Action::Reply { conn, message });
            self.bound_unread(conn, cx);
        }
    }

    // ---- requests ----

    /// A request was read: it is carried out now, or queues while too many are.
    pub(crate) fn on_request(&mut self, conn: ConnId, xid: Xid, request: Request, cx: &mut Cx) {
        let Some(c) = self.conns.get_mut(&conn).filter(|c| !c.identity.is_refused()) else {
            return;
        };
        c.heard(cx.now.mono);
        self.stats.received += 1;
        // Only servers make sessions and delete containers.
        let request = match request {
            Request::CreateSession { .. } | Request::Malformed(OpCode::CreateSession) => {
                Request::Unknown(OpCode::CreateSession.number())
            }
            other => other,
        };
        let verdict = c.identity.judge(&request, conn, cx);
        let (ids, arrived) = (c.identity.ids(), cx.now.mono);
        let (sent, synced, throttled) = (false, false, false);
        let waiting = Waiting { xid, request, ids, verdict, arrived, sent, synced, throttled };
        if let Some(waiting) = self.queue_if_crowded(conn, waiting, cx) {
            self.carry_out(conn, waiting, cx);
        }
    }

    fn carry_out(&mut self, conn: ConnId, mut waiting: Waiting, cx: &mut Cx) {
        let Some(c) = self.conns.get_mut(&conn) else { return };
        let Phase::Open { session, timeout_ms } = c.phase else {
            if c.phase == Phase::Greeting {
                let why = "a request before ConnectRequest".into();
                return self.close(conn, CloseReason::Misbehaved(why), cx);
            }
            c.hold(waiting);
            return self.recount(conn);
        };
        self.touch(session, timeout_ms, cx);
        if let Some(code) = self.denied_eagerly(conn, &waiting, cx) {
            return self.answer(conn, &waiting, Err(code), Zxid::ZERO, cx);
        }
        let Some(c) = self.conns.get_mut(&conn) else { return };
        if waiting.needs_leader() && c.may_submit() {
            let goes = Self::send_off(&self.local, session, &mut waiting, cx);
            c.syncing |= goes.is_none() && waiting.request == Request::CloseSession;
            c.waiting.push_back(waiting);
            if let Some(forwarded) = goes {
                self.submit(conn, forwarded, cx);
            }
        } else {
            c.hold(waiting);
        }
        self.answer_waiting(conn, cx);
    }

    /// What goes to the leader for this request; it stays here if the leader has no part in it.
    fn send_off(
        local: &LocalSessions,
        session: SessionId,
        waiting: &mut Waiting,
        cx: &Cx,
    ) -> Option<Forwarded> {
        waiting.sent = true;
        waiting.synced = Self::stays_here(local, session, &waiting.request, cx);
        let mut forwarded = (!waiting.synced).then(|| waiting.forwarded(session));
        if let Some(forwarded) = &mut forwarded
            && cx.config.planted(Mutant::WriteWithoutIdentity)
        {
            forwarded.auth.clear();
        }
        forwarded
    }

    /// Sends on its way what waited for the session, for a sync, or for reads before it, in the order
    /// of arrival.
    fn submit_waiting(&mut self, conn: ConnId, cx: &mut Cx) {
        while let Some(c) = self.conns.get_mut(&conn) {
            let Phase::Open { session, .. } = c.phase else { return };
            let Some(waiting) = c.next_held() else { return };
            let goes = Self::send_off(&self.local, session, waiting, cx);
            let closes = waiting.request == Request::CloseSession;
            c.flow.held -= 1;
            match goes {
                Some(forwarded) => self.submit(conn, forwarded, cx),
                None => c.syncing |= closes,
            }
        }
    }

    fn submit(&mut self, conn: ConnId, request: Forwarded, cx: &mut Cx) {
        let c = self.conns.get_mut(&conn);
        if let Request::Sync { .. } = request.request {
            if let Some(c) = c {
                c.syncing = true;
            }
            self.submissions.push_back(Submission::Sync { conn, request });
            return;
        }
        if let Some(c) = c {
            c.flow.writes_sent += 1;
        }
        self.upgrade_for(conn, &request, cx);
        let closes = matches!(request.request, Request::CloseSession);
        let flight = InFlight { cxid: request.cxid, conn, opens: false, closes };
        self.launch(request.session, flight);
        self.submissions.push_back(Submission::Write(request));
    }

    /// A write leaves for the leader.
    fn launch(&mut self, session: SessionId, flight: InFlight) {
        self.pressure.launched();
        self.in_flight.entry(session).or_default().push_back(flight);
    }

    /// Answers reads from the front of a connection's queue, up to its next write.
    fn answer_waiting(&mut self, conn: ConnId, cx: &mut Cx) {
        while let Some(c) = self.conns.get_mut(&conn) {
            let overtakes = cx.config.planted(Mutant::ReadsOvertakeWrites);
            let next = if !c.may_answer() {
                None
            } else if overtakes {
                c.waiting.iter().position(Waiting::is_ready)
            } else {
                c.waiting.front().filter(|w| w.is_ready()).map(|_| 0)
            };
            let Some(waiting) = next.and_then(|at| c.waiting.remove(at)) else { break };
            self.answer_read(conn, &waiting, cx);
        }
        self.submit_waiting(conn, cx);
        self.recount(conn);
    }

    fn answer_read(&mut self, conn: ConnId, waiting: &Waiting, cx: &mut Cx) {
        let Some(c) = self.conns.get(&conn) else { return };
        if waiting.throttled {
            let result = Err(ErrorCode::THROTTLED_OP);
            return self.answer(conn, waiting, result, cx.visible_zxid(), cx);
        }
        if let Some(verdict) = waiting.verdict.clone() {
            return self.pronounce(conn, waiting, verdict, cx);
        }
        if let Some(refusal) = read_only::refusal(&waiting.request, cx) {
            return self.answer(conn, waiting, refusal, cx.visible_zxid(), cx);
        }
        if waiting.request == Request::CloseSession {
            return self.close_locally(conn, waiting, cx);
        }
        if let Request::SetWatches(set) = &waiting.request {
            for event in self.watches.set_watches(conn, set, &cx.database.tree) {
                self.reply(conn, ClientMessage::Event { zxid: -1, event }, cx);
            }
            return self.answer(conn, waiting, Ok(Response::Empty), cx.visible_zxid(), cx);
        }
        let result = match &waiting.request {
            Request::Sync { path } => Ok(Response::Path(path.clone())),
            Request::CheckWatches { path, watcher } => {
                watcher_found(self.watches.is_watching(conn, path, *watcher))
            }
            Request::RemoveWatches { path, watcher } => {
                watcher_found(self.watches.remove(conn, path, *watcher))
            }
            request => {
                let session = c.session().unwrap_or_default();
                let auth = Access { ids: &waiting.ids, rules: &cx.config.auth };
                let caller = ops::Caller { session, auth, local: false };
                ops::read(&cx.database, caller, request)
            }
        };
        if ops::is_unimplemented(&waiting.request) {
            let (xid, zxid) = (waiting.xid, -1);
            self.measure(conn, waiting, Zxid::from_wire(zxid), cx);
            self.reply(conn, ClientMessage::Reply { xid, zxid, result }, cx);
            let why = "asked for what no client may ask".into();
            return self.close(conn, CloseReason::Misbehaved(why), cx);
        }
        if let Ok(response) = &result {
            cx.metrics.read(&waiting.request, response);
        }
        if let Some((mode, path)) = ops::watch_of(&waiting.request, &result) {
            self.watches.register(conn, mode, path.into());
        }
        self.answer(conn, waiting, result, cx.visible_zxid(), cx);
    }

    /// What was decided about the connection when the request came.
    fn pronounce(&mut self, conn: ConnId, waiting: &Waiting, verdict: Verdict, cx: &mut Cx) {
        let why = match verdict {
            Verdict::Answered(response) => {
                return self.answer(conn, waiting, Ok(response), Zxid::ZERO, cx);
            }
            Verdict::Refused { code, why } => {
                self.answer(conn, waiting, Err(code), Zxid::ZERO, cx);
                why
            }
            Verdict::LoginRefused { code, why } => {
                self.measure(conn, waiting, Zxid::ZERO, cx);
                let xid = waiting.xid;
                self.reply(conn, ClientMessage::LoginRefused { xid, code }, cx);
                why
            }
            Verdict::Dropped { why } => why,
        };
        cx.metrics.auth_failures += 1;
        self.close(conn, CloseReason::Misbehaved(why), cx);
    }

    fn answer(
        &mut self,
        conn: ConnId,
        waiting: &Waiting,
        result: Result<Response, ErrorCode>,
        zxid: Zxid,
        cx: &mut Cx,
    ) {
        self.measure(conn, waiting, zxid, cx);
        // A ping is answered as a ping whatever number it came with.
        let is_ping = matches!(waiting.request, Request::Ping);
        let xid = if is_ping { Xid::PING } else { waiting.xid };
        self.reply(conn, ClientMessage::Reply { xid, zxid: zxid.to_wire(), result }, cx);
    }

    fn measure(&mut self, conn: ConnId, waiting: &Waiting, zxid: Zxid, cx: &mut Cx) {
        let (at, took) = (cx.now.mono, cx.now.mono.since(waiting.arrived));
        let took_ms = took.as_millis() as u64;
        self.stats.answered(took);
        let is_write = ops::is_write(&waiting.request);
        let metrics = &mut cx.metrics;
        let of_kind = if is_write { &mut metrics.update_ms } else { &mut metrics.read_ms };
        of_kind.add(took_ms);
        if let Some(c) = self.conns.get_mut(&conn) {
            let (op, cxid) = (letters(&waiting.request), waiting.xid);
            c.stats.answered(LastOp { op, cxid, zxid, at, took_ms });
        }
    }

    /// The oldest sync of this connection is through. It is answered in its turn.
    pub(crate) fn on_synced(&mut self, conn: ConnId, cx: &mut Cx) {
        let Some(c) = self.conns.get_mut(&conn) else { return };
        let is_this =
            |w: &&mut Waiting| w.sent && !w.synced && matches!(w.request, Request::Sync { .. });
        if let Some(sync) = c.waiting.iter_mut().find(is_this) {
            sync.synced = true;
            c.syncing = false;
            self.answer_waiting(conn, cx);
        }
    }
}

fn watcher_found(found: bool) -> Result<Response, ErrorCode> {
    if found { Ok(Response::Empty) } else { Err(ErrorCode::NO_WATCHER) }
}
