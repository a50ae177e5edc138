//! One server: typed events in, typed actions out. Routes to the role, holds no rules. What peers say
//! is in [`peers`], how one term follows another in [`terms`].
//!
//! ```text
//!   Settling --log durable--> Looking --elected--> Following, Observing --UPTODATE--> (serves)
//!      ^                         \------------> Leading --established--> (serves)
//!      \------------------- term over ---------------/
//! ```

mod admission;
mod api;
pub(crate) mod cx;
mod four_letter;
mod identity;
pub(crate) mod links;
mod machine;
pub(crate) mod metrics;
mod order;
mod peers;
mod read_only;
mod stats;
mod terms;

pub use admission::may_read_on;
pub use api::*;
pub use machine::{Directory, Machine, Measured, Traffic};

use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::String;

use crate::config::{Config, Member, MemberRole};
use crate::ids::{ConnId, ServerId};
use crate::proto::{ClientMessage, ClientRequest};
use crate::session::SessionIds;
use crate::time::{Instant, Now};
use crate::tree::Database;
use crate::txn::TxnBody;
use crate::zab::broadcast::{Certainty, Origin, Question};
use crate::zab::election::{Election, Settled};
use crate::zab::follower::{FailedTerms, Following};
use crate::zab::leader::{Leading, StepDown};

use cx::Cx;
use links::Links;
use order::{Order, Submission};

#[derive(Clone, Debug)]
pub struct Server {
    cx: Cx,
    links: Links,
    order: Order,
    role: Role,
    /// Election's logical clock; grows over the life of the process.
    round: i64,
    failed_terms: Option<FailedTerms>,
    /// Sizes in bytes of proposals made here: last, least, most.
    proposals: Option<(usize, usize, usize)>,
    machine: Machine,
    /// Means something to upstream's logging only; kept for those who set it.
    trace_mask: i64,
}

#[derive(Clone, Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "one in a server, and whoever leads has the most to do"
)]
enum Role {
    /// Between terms: everything logged must be durable before a vote may mention it.
    Settling {
        until: Ticket,
        not_before: Instant,
        /// A reconfiguration said who leads now: nobody needs to be elected.
        successor: Option<ServerId>,
    },
    Looking(Election),
    /// An observer too: see [`Following::role`].
    Following(Following, Settled),
    Leading(Leading, Settled),
}

/// Upstream's default.
// ZK: ZooTrace.CLIENT_REQUEST_TRACE_MASK and others (3.9)
const TRACE_MASK: i64 = 306;

impl Server {
    /// A server that starts on what its disk held. The seed is in `config`.
    pub fn new(config: Config, recovered: Recovered, now: Now) -> Self {
        let mut ids = SessionIds::start(&config, now.wall);
        let logged = recovered.window.iter().map(|entry| entry.txn.header.session);
        let known = recovered.database.sessions.keys().copied().chain(logged);
        for session in known.collect::<BTreeSet<_>>() {
            ids.observe(session);
        }
        let order = Order::new(ids, &config);
        let role = Role::Settling { until: Ticket(0), not_before: now.mono, successor: None };
        let cx = Cx::new(config, recovered, now);
        let links = Links::default();
        let mut server = Self {
            cx,
            links,
            order,
            role,
            round: 0,
            failed_terms: None,
            proposals: None,
            machine: Machine::default(),
            trace_mask: TRACE_MASK,
        };
        server.carry_on();
        server
    }

    /// Total: a liar's message is an event too.
    pub fn handle(&mut self, now: Now, event: Event) {
        self.cx.now = now;
        match event {
            Event::Wake => {}
            Event::LinkUp { link, port: Port::Election, peer, dialled } => {
                if let Some(peer) = peer {
                    self.on_election_up(link, peer, dialled);
                }
            }
            Event::LinkUp { link, port, peer, dialled } => {
                self.on_quorum_up(link, port, peer.filter(|_| dialled));
            }
            Event::Peer { link, message } => self.on_peer(link, message),
            Event::LinkDown { link } => self.on_link_down(link),
            Event::DialFailed { to, port: Port::Election } => {
                self.links.on_election_dial_failed(to, &self.cx);
                self.on_peer_gone(to);
            }
            Event::DialFailed { to, port } => self.on_quorum_dial_failed(to, port),
            Event::ConnOpen { conn, ip, port } => self.order.on_open(conn, ip, port, &mut self.cx),
            Event::Client { conn, request } => self.on_client(conn, request),
            Event::ConnGone { conn } => self.order.forget(conn),
            Event::LogRead { link, above, entries } => {
                if let Role::Leading(leading, _) = &mut self.role {
                    leading.on_log_read(link, above, entries.as_deref(), &mut self.cx);
                }
            }
            Event::Machine(machine) => self.machine = *machine,
            Event::ConnDrained { conn } => self.order.on_drained(conn, &mut self.cx),
            event @ (Event::Durable { .. }
            | Event::Truncated { .. }
            | Event::SnapshotTaken { .. }
            | Event::StoreFailed { .. }) => self.cx.on_storage(event),
        }
        self.carry_on();
    }

    /// What to do next; first in, first out. Drain whenever you like.
    pub fn poll(&mut self) -> Option<Action> {
        self.cx.pop()
    }

    /// When to call again even if nothing happens.
    pub fn deadline(&self) -> Option<Instant> {
        let of_role = match &self.role {
            Role::Settling { not_before, .. } => {
                Some(*not_before).filter(|at| *at > self.cx.now.mono)
            }
            Role::Looking(election) => Some(election.deadline()),
            Role::Following(following, _) => Some(following.deadline(&self.cx)),
            Role::Leading(leading, _) => Some(leading.deadline(&self.cx)),
        };
        let others = [
            self.order.deadline(&self.cx),
            self.cx.read_only.deadline(),
            self.order.local_deadline(),
            self.order.silence_deadline(),
        ];
        of_role.into_iter().chain(others.into_iter().flatten()).min()
    }

    /// Where a server of the ensemble is, as this one knows it now.
    pub fn member(&self, id: ServerId) -> Option<&Member> {
        self.cx.membership.find(id)
    }

    /// The applied state, for checkers that compare replicas and for tools.
    pub fn database(&self) -> &Database {
        &self.cx.database
    }

    /// Upstream's word for `Mode:`.
    pub fn mode(&self) -> &'static str {
        match &self.role {
            Role::Leading(..) if self.cx.membership.is_alone() => "standalone",
            Role::Leading(..) => "leader",
            Role::Following(following, _) => match following.role() {
                MemberRole::Participant => "follower",
                MemberRole::Observer => "observer",
            },
            Role::Looking(_) if self.cx.read_only.is_on() => "read-only",
            Role::Looking(_) | Role::Settling { .. } => "looking",
        }
    }
    /// Requests that are being carried out here: what `globalOutstandingLimit` is about.
    pub fn in_process(&self) -> usize {
        self.order.in_process()
    }
    /// How many connections have watches.
    pub fn watching_conns(&self) -> usize {
        self.order.watches().conns()
    }
    /// Are clients served?
    pub fn is_serving(&self) -> bool {
        self.cx.serving.is_some()
    }

    // ---- clients ----

    fn on_client(&mut self, conn: ConnId, request: ClientRequest) {
        match request {
            ClientRequest::Connect(connect) => self.order.on_connect(conn, connect, &mut self.cx),
            ClientRequest::Request { xid, request } => {
                self.order.on_request(conn, xid, request, &mut self.cx);
            }
            ClientRequest::FourLetterWord(word) => {
                self.order.on_word(conn, self.cx.now.mono);
                let text = four_letter::answer(self, word);
                self.order.stats.sent += 1;
                self.order.forget(conn);
                self.cx.push(Action::Reply { conn, message: ClientMessage::Text(text) });
                self.cx.push(Action::CloseConn { conn, why: CloseReason::Done });
            }
        }
    }

    fn submit(&mut self, submission: Submission) -> Result<(), StepDown> {
        let cx = &mut self.cx;
        match &mut self.role {
            Role::Following(following, _) => match submission {
                Submission::Write(forwarded) => following.forward(forwarded, cx),
                Submission::Sync { conn, request } => following.forward_sync(conn, request, cx),
                Submission::Revalidate { session, timeout_ms } => {
                    following.revalidate(session, timeout_ms, cx);
                }
                Submission::Touch { session, timeout_ms } => following.touch(session, timeout_ms),
            },
            Role::Leading(leading, _) => {
                let Some((broadcast, learners)) = leading.broadcasting() else { return Ok(()) };
                match submission {
                    Submission::Write(forwarded) => {
                        let size = broadcast.propose(Origin::Here, &forwarded, learners, cx)?;
                        self.proposed(size);
                    }
                    Submission::Sync { conn, .. } => {
                        broadcast.ask(Question::Sync { conn }, learners, cx);
                    }
                    Submission::Revalidate { session, timeout_ms } => {
                        let (valid, certain) =
                            broadcast.revalidate(session, timeout_ms, Origin::Here, cx);
                        match certain {
                            Certainty::Now => self.order.on_revalidated(session, valid, cx),
                            Certainty::WithProof => {
                                let question = Question::Session { session, valid };
                                broadcast.ask(question, learners, cx);
                            }
                        }
                    }
                    Submission::Touch { session, timeout_ms } => {
                        broadcast.touch(session, timeout_ms, cx);
                    }
                }
            }
            Role::Looking(_) | Role::Settling { .. } => {}
        }
        Ok(())
    }

    fn proposed(&mut self, size: usize) {
        let (least, most) = self.proposals.map_or((size, size), |(_, l, m)| (l, m));
        self.proposals = Some((size, least.min(size), most.max(size)));
        self.cx.metrics.proposals += 1;
    }

    // ---- after every event ----

    /// Whatever the event made possible: time that is up, acknowledgements, phases that are
    /// complete, deliveries, requests on their way.
    fn carry_on(&mut self) {
        if let Err(why) = self.wake() {
            self.end_term(&why);
        }
        if let Err(why) = self.advance() {
            self.end_term(&format!("{why}"));
        }
        // A term that ended may settle, and a lone server is elected, at once.
        self.begin_term();
        self.cx.snapshot_if_due();
    }

    fn wake(&mut self) -> Result<(), String> {
        self.order.expire_locally(&mut self.cx);
        self.order.close_silent(&mut self.cx);
        self.lose_patience();
        match &mut self.role {
            Role::Settling { .. } => {}
            Role::Looking(election) => {
                if election.deadline() <= self.cx.now.mono {
                    let decision = election.on_wake(&mut self.cx, &mut self.links);
                    self.decide(decision);
                }
            }
            Role::Following(following, _) => {
                following.on_wake(&mut self.cx).map_err(|why| format!("{why}"))?;
            }
            Role::Leading(leading, _) => {
                leading.on_wake(&mut self.cx).map_err(|why| format!("{why}"))?;
                if let Some((broadcast, learners)) = leading.broadcasting() {
                    broadcast.expire(learners, &mut self.cx).map_err(|why| format!("{why}"))?;
                    let removed = broadcast.remove_containers(learners, &mut self.cx);
                    removed.map_err(|why| format!("{why}"))?;
                }
            }
        }
        Ok(())
    }

    fn advance(&mut self) -> Result<(), StepDown> {
        loop {
            match &mut self.role {
                Role::Following(following, _) => following.acknowledge(&mut self.cx),
                Role::Leading(leading, settled) => {
                    if leading.advance(&mut self.cx) {
                        let epoch = leading.broadcast().map(|b| b.epoch());
                        if let Some(epoch) = epoch {
                            settled.vote.epoch = i64::from(epoch.0);
                            self.serve(epoch);
                            self.activate(u64::MAX);
                        }
                    }
                }
                Role::Looking(_) | Role::Settling { .. } => {}
            }
            if self.deliver() {
                // What is behind a reconfiguration may be committed by other servers, or not by us.
                continue;
            }
            if let Role::Following(following, _) = &mut self.role {
                following.serve_observers(&mut self.cx);
            }
            self.answer_proven();
            self.order.release(&mut self.cx);
            let Some(submission) = self.order.take_submission() else { return Ok(()) };
            self.submit(submission)?;
            while let Some(submission) = self.order.take_submission() {
                self.submit(submission)?;
            }
        }
    }

    /// Applies what is committed. Was a reconfiguration among it?
    fn deliver(&mut self) -> bool {
        while let Some((entry, applied)) = self.cx.deliver_next() {
            if let Role::Leading(leading, _) = &mut self.role
                && let Some(broadcast) = leading.broadcast()
            {
                let header = &entry.txn.header;
                broadcast.on_delivered(header.zxid, &entry.txn.body, header.session, &self.cx);
            }
            if let Role::Following(following, _) = &mut self.role {
                following.pass_on(&entry, &mut self.cx);
            }
            if self.cx.serving.is_some() {
                self.cx.note(Note::Delivered { zxid: entry.zxid() });
                self.order.on_delivered(&entry, &applied, &mut self.cx);
            }
            if let TxnBody::Reconfig { .. } = entry.txn.body {
                // Until UPTODATE it is the leader's history, which may be lost with the leader.
                // ZK: Learner.syncWithLeader: case COMMIT (3.9)
                if self.cx.serving.is_some() {
                    self.activate(entry.zxid().0);
                }
                return true;
            }
        }
        false
    }

    fn answer_proven(&mut self) {
        loop {
            let Role::Leading(leading, _) = &mut self.role else { return };
            let Some((broadcast, learners)) = leading.broadcasting() else { return };
            match broadcast.next_proven(learners, &self.cx) {
                None => return,
                Some(Question::Sync { conn }) => self.order.on_synced(conn, &mut self.cx),
                Some(Question::Session { session, valid }) => {
                    self.order.on_revalidated(session, valid, &mut self.cx);
                }
                Some(Question::Learner { link, answer }) => {
                    if learners.contains_key(&link) {
                        self.cx.send(link, answer);
                    }
                }
            }
        }
    }
}
