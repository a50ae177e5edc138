//! Requests that have to wait for others, and clients that have to wait for themselves: the queues
//! before the service while it is crowded, what a connection may have on its way to the leader, and
//! answers that stop while a client does not read. Which numbers decide is in
//! [`crate::config::Admission`] and [`crate::config::Limits`].

use alloc::collections::{BTreeMap, VecDeque};

use crate::config::{Config, Millionths};
use crate::ids::{ConnId, SessionId};
use crate::proto::Request;
use crate::server::admission::{Asks, TokenBucket};
use crate::server::cx::Cx;
use crate::server::{Action, CloseReason};
use crate::time::{Duration, Instant};

use super::{Conn, Order, Phase, Waiting};

/// Reads that may be unanswered before a write of the same connection leaves for the leader. They
/// must be answered before it is applied, whether their client reads or not, so there are few.
pub(crate) const READS_BEFORE_WRITE_MAX: usize = 32;

/// How one connection's requests and answers flow.
#[derive(Clone, Debug, Default)]
pub(super) struct Flow {
    /// Writes among those that wait which are with the leader.
    pub(super) writes_sent: usize,
    /// Writes and syncs among those that wait which are not.
    pub(super) held: usize,
    /// Bytes sent since the driver said last that this connection has drained.
    pub(super) unread: usize,
    /// It leaves too much unread: nothing is answered until it has drained.
    paused: bool,
    /// What of it is counted in [`Pressure::waiting`].
    counted: usize,
}

impl Conn {
    /// Waits here for its turn.
    pub(super) fn hold(&mut self, waiting: Waiting) {
        self.flow.held += usize::from(waiting.needs_leader());
        self.waiting.push_back(waiting);
    }

    /// May what comes now leave for the leader?
    pub(super) fn may_submit(&self) -> bool {
        let reads = self.waiting.len() - self.flow.writes_sent;
        self.flow.held == 0 && self.may_send() && reads <= READS_BEFORE_WRITE_MAX
    }

    /// The oldest write or sync that was held and may go now.
    pub(super) fn next_held(&mut self) -> Option<&mut Waiting> {
        if self.flow.held == 0 || !self.may_send() {
            return None;
        }
        let mut reads = 0;
        for waiting in &mut self.waiting {
            if !waiting.sent && waiting.needs_leader() {
                return (reads <= READS_BEFORE_WRITE_MAX).then_some(waiting);
            }
            reads += usize::from(!waiting.sent || waiting.synced);
        }
        None
    }

    fn may_send(&self) -> bool {
        !self.syncing && !self.flow.paused
    }

    /// While something of it is with the leader, what stands before that is answered: it must not see
    /// what comes back.
    pub(super) fn may_answer(&self) -> bool {
        !self.flow.paused || self.flow.writes_sent > 0 || self.syncing
    }
}

/// A request that waits for the service to be less crowded.
#[derive(Clone, Debug)]
struct Queued {
    waiting: Waiting,
    /// Whose it is, once its connection is gone and it is to be carried out all the same.
    orphan: Option<SessionId>,
}

/// A queue for each connection; one request of each in turn.
// Departs: upstream has one queue for all (RequestThrottler.submittedRequests), in which a client that
// asks a single thing waits behind everything that a flood has asked.
#[derive(Clone, Debug, Default)]
struct Queues {
    of: BTreeMap<ConnId, VecDeque<Queued>>,
    /// Those with a queue, in the order of their turns.
    turns: VecDeque<ConnId>,
}

impl Queues {
    fn is_empty(&self) -> bool {
        self.turns.is_empty()
    }
    fn push(&mut self, conn: ConnId, queued: Queued) {
        let queue = self.of.entry(conn).or_default();
        if queue.is_empty() {
            self.turns.push_back(conn);
        }
        queue.push_back(queued);
    }
    /// Whose turn it is, and what it asks.
    fn front(&self) -> Option<(ConnId, &Queued)> {
        let conn = *self.turns.front()?;
        Some((conn, self.of.get(&conn)?.front()?))
    }
    fn pop(&mut self) -> Option<(ConnId, Queued)> {
        let conn = self.turns.pop_front()?;
        let queue = self.of.get_mut(&conn)?;
        let queued = queue.pop_front()?;
        if queue.is_empty() {
            self.of.remove(&conn);
        } else {
            self.turns.push_back(conn);
        }
        Some((conn, queued))
    }
    /// Of what `conn` has queued only that stays for which `stays` says so.
    fn retain(&mut self, conn: ConnId, stays: impl FnMut(&mut Queued) -> bool) {
        let Some(queue) = self.of.get_mut(&conn) else { return };
        queue.retain_mut(stays);
        if queue.is_empty() {
            self.of.remove(&conn);
            self.turns.retain(|other| *other != conn);
        }
    }
}

#[derive(Clone, Debug)]
pub(super) struct Pressure {
    bucket: TokenBucket,
    queues: Queues,
    /// Writes between here and their commit.
    in_flight: usize,
    /// Other requests that wait in their connections, without those that wait for their own client.
    waiting: usize,
    keeps_orphans: bool,
}

impl Pressure {
    pub(super) fn new(config: &Config) -> Self {
        let throttle = &config.admission.requests;
        let drops = throttle.drop_stale && throttle.stale_connection;
        Self {
            bucket: TokenBucket::new(&config.admission.connections, config.seed),
            queues: Queues::default(),
            in_flight: 0,
            waiting: 0,
            keeps_orphans: throttle.requests_max > 0 && !drops,
        }
    }
    pub(super) fn lets_in(&mut self, asks: Asks, cx: &Cx) -> bool {
        self.bucket.admit(&cx.config.admission.connections, asks, cx.now.mono)
    }
    pub(super) fn launched(&mut self) {
        self.in_flight += 1;
    }
    pub(super) fn landed(&mut self) {
        self.in_flight -= 1;
    }
    pub(super) fn forget(&mut self, flow: &Flow) {
        self.waiting -= flow.counted;
    }
    pub(super) fn clear(&mut self) {
        self.queues = Queues::default();
        self.in_flight = 0;
    }
}

impl Order {
    /// Upstream's outstanding requests: carried out, and not answered yet.
    // ZK: ZooKeeperServer.getInProcess (3.9)
    pub(crate) fn in_process(&self) -> usize {
        self.pressure.in_flight + self.pressure.waiting
    }

    /// The chance that a connection is refused at random (mntr: `zk_connection_drop_probability`).
    pub(crate) fn connection_drop_probability(&self) -> Millionths {
        self.pressure.bucket.drop_probability()
    }

    pub(super) fn recount(&mut self, conn: ConnId) {
        let Some(c) = self.conns.get_mut(&conn) else { return };
        let counts = if c.flow.paused {
            usize::from(c.syncing)
        } else {
            c.waiting.len() - c.flow.writes_sent
        };
        self.pressure.waiting = self.pressure.waiting - c.flow.counted + counts;
        c.flow.counted = counts;
    }

    // ---- a client that does not read ----

    /// Stops answering, or cuts, a client that leaves too much unread.
    pub(super) fn bound_unread(&mut self, conn: ConnId, cx: &mut Cx) {
        let Some(c) = self.conns.get_mut(&conn) else { return };
        let limits = &cx.config.limits;
        // One answer alone cuts nobody, however long it is: there would be no way to get it.
        if c.flow.paused && c.flow.unread > limits.unread_max {
            self.close(conn, CloseReason::Unread, cx);
        } else if c.flow.unread > limits.unread_pause && !c.flow.paused {
            c.flow.paused = true;
            cx.push(Action::AwaitDrained { conn });
            self.recount(conn);
        }
    }

    pub(crate) fn on_drained(&mut self, conn: ConnId, cx: &mut Cx) {
        let Some(c) = self.conns.get_mut(&conn) else { return };
        c.flow.paused = false;
        c.flow.unread = 0;
        self.answer_waiting(conn, cx);
    }

    // ---- a crowded service ----

    /// Queues the request behind others, or gives it back to be carried out now.
    pub(super) fn queue_if_crowded(
        &mut self,
        conn: ConnId,
        waiting: Waiting,
        cx: &mut Cx,
    ) -> Option<Waiting> {
        if self.pressure.queues.is_empty() && self.in_process() < cx.config.requests_max() {
            return Some(waiting);
        }
        cx.metrics.queued_requests += 1;
        self.pressure.queues.push(conn, Queued { waiting, orphan: None });
        None
    }

    /// Carries out what was queued, as far as there is room.
    // ZK: RequestThrottler.run (3.9)
    pub(crate) fn release(&mut self, cx: &mut Cx) {
        while let Some((conn, head)) = self.pressure.queues.front() {
            let waited = cx.now.mono.since(head.waiting.arrived);
            if self.is_too_old(conn, head, waited, cx) {
                // Nothing behind it may be carried out without it.
                self.pressure.queues.retain(conn, |_| false);
                self.close(conn, CloseReason::Stale, cx);
                continue;
            }
            if self.in_process() >= cx.config.requests_max() {
                return;
            }
            let Some((conn, Queued { mut waiting, orphan })) = self.pressure.queues.pop() else {
                return;
            };
            let patience = cx.config.admission.requests.throttled_op_wait;
            waiting.throttled =
                !patience.is_zero() && waited > patience && is_throttlable(&waiting);
            cx.metrics.throttled_requests += u64::from(waiting.throttled);
            match orphan {
                None => self.carry_out(conn, waiting, cx),
                Some(session) if waiting.needs_leader() => {
                    match Self::send_off(&self.local, session, &mut waiting, cx) {
                        Some(forwarded) => self.submit(conn, forwarded, cx),
                        None if waiting.request == Request::CloseSession => {
                            self.local.remove(session);
                        }
                        None => {}
                    }
                }
                // There is nobody to be answered.
                Some(_) => {}
            }
        }
    }

    /// When whose turn it is is to be looked at even if nothing happens.
    pub(crate) fn deadline(&self, cx: &Cx) -> Option<Instant> {
        let throttle = &cx.config.admission.requests;
        let looks = throttle.drop_stale && throttle.stale_latency && throttle.requests_max > 0;
        (looks && !self.pressure.queues.is_empty()).then(|| cx.now.mono + throttle.stall_time)
    }

    // ZK: Request.isStale (3.9)
    fn is_too_old(&self, conn: ConnId, queued: &Queued, waited: Duration, cx: &Cx) -> bool {
        let throttle = &cx.config.admission.requests;
        if throttle.requests_max == 0 || !throttle.drop_stale || !throttle.stale_latency {
            return false;
        }
        let Some(c) = self.conns.get(&conn) else { return false };
        match c.phase {
            Phase::Open { timeout_ms, .. } => {
                waited.as_millis() > timeout_ms.max(0) as u128
                    && !matches!(queued.waiting.request, Request::CloseSession)
            }
            Phase::Opening { .. } | Phase::Greeting => false,
        }
    }

    /// A connection goes: of what it has queued the writes stay that are carried out nevertheless.
    pub(super) fn forget_queued(&mut self, conn: ConnId, gone: &Conn) {
        let keeps = self.pressure.keeps_orphans;
        let session = match gone.phase {
            Phase::Open { session, .. } => Some(session),
            Phase::Opening { .. } | Phase::Greeting => None,
        };
        self.pressure.queues.retain(conn, |queued| {
            // A session that was to be closed is, or it would keep its ephemerals.
            let stays = keeps || matches!(queued.waiting.request, Request::CloseSession);
            queued.orphan = session.filter(|_| stays);
            queued.orphan.is_some()
        });
    }
}

/// What is the connection's own affair, logins among it, never goes through upstream's throttle.
// ZK: Request.isThrottlable (3.9)
fn is_throttlable(waiting: &Waiting) -> bool {
    waiting.verdict.is_none() && !matches!(waiting.request, Request::Ping | Request::CloseSession)
}
