//! One server: typed events in, typed actions out. Routes to the role, holds no rules.
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
mod metrics;
mod order;
mod read_only;
mod stats;

pub use admission::may_read_on;
pub use api::*;
pub use machine::{Directory, Machine, Measured, Traffic};

use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::String;

use crate::config::{Config, MemberRole};
use crate::ids::{ConnId, Epoch, LinkId, ServerId, SessionId};
use crate::mutant::Mutant;
use crate::proto::{
    ClientMessage, ClientRequest, Forwarded, Notification, PeerState, QuorumPacket, Request,
};
use crate::session::SessionIds;
use crate::time::{Duration, Instant, Now};
use crate::tree::Database;
use crate::zab::broadcast::{Broadcast, Certainty, Origin, Question};
use crate::zab::election::{Decision, Election, Settled};
use crate::zab::follower::{FailedTerms, Following, Heard};
use crate::zab::leader::{Asked, Leading, StepDown};
use crate::zab::learner_link::LearnerLink;

use cx::Cx;
use links::Links;
use order::{Order, Submission};
use read_only::ReadOnly;

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
#[expect(clippy::large_enum_variant, reason = "one in a server, and the largest is the usual one")]
enum Role {
    /// Between terms: everything logged must be durable before a vote may mention it.
    Settling {
        until: Ticket,
        not_before: Instant,
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
        let role = Role::Settling { until: Ticket(0), not_before: now.mono };
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
            Event::LinkUp { link, port: Port::Quorum, peer: _, dialled } => {
                self.on_quorum_up(link, dialled);
            }
            Event::Peer { link, message } => self.on_peer(link, message),
            Event::LinkDown { link } => self.on_link_down(link),
            Event::DialFailed { to, port: Port::Election } => {
                self.links.on_election_dial_failed(to);
            }
            Event::DialFailed { to, port: Port::Quorum } => {
                if let Role::Following(following, _) = &mut self.role
                    && following.leader == to
                {
                    following.on_dial_failed(&self.cx);
                }
            }
            Event::ConnOpen { conn, ip, port } => self.order.on_open(conn, ip, port, &mut self.cx),
            Event::Client { conn, request } => self.on_client(conn, request),
            Event::ConnGone { conn } => self.order.forget(conn),
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
        ];
        of_role.into_iter().chain(others.into_iter().flatten()).min()
    }

    /// The applied state, for checkers that compare replicas and for tools.
    pub fn database(&self) -> &Database {
        &self.cx.database
    }

    /// Upstream's word for `Mode:`.
    pub fn mode(&self) -> &'static str {
        match &self.role {
            Role::Leading(..) if self.cx.config.ensemble.is_alone() => "standalone",
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
    /// Are clients served?
    pub fn is_serving(&self) -> bool {
        self.cx.serving.is_some()
    }

    // ---- peers ----

    /// Says what is true now.
    // Departs: upstream repeats the last message, which may be of an election long over.
    fn on_election_up(&mut self, link: LinkId, peer: ServerId, dialled: bool) {
        if !self.links.on_election_up(link, peer, dialled, &mut self.cx) {
            return;
        }
        let vote = match &self.role {
            Role::Settling { .. } => return,
            // It has none, and who asks would answer.
            Role::Following(_, settled) if settled.state == PeerState::Observing => return,
            Role::Looking(election) => election.notification(&self.cx),
            Role::Following(_, settled) | Role::Leading(_, settled) => {
                settled.notification(&self.cx)
            }
        };
        self.links.notify(peer, vote, &mut self.cx);
    }

    fn on_quorum_up(&mut self, link: LinkId, dialled: bool) {
        let cx = &mut self.cx;
        match &mut self.role {
            Role::Following(following, _) if dialled => following.on_link_up(link, cx),
            Role::Leading(leading, _) if !dialled => leading.on_link_up(link, cx),
            Role::Looking(_) | Role::Settling { .. } if !dialled => self.links.park(link, cx),
            Role::Looking(_) | Role::Settling { .. } | Role::Following(..) | Role::Leading(..) => {
                cx.close_link(link, CloseReason::NotServing);
            }
        }
    }

    fn on_link_down(&mut self, link: LinkId) {
        if self.links.on_down(link) {
            return;
        }
        match &mut self.role {
            Role::Following(following, _) if following.link() == Some(link) => {
                self.end_term("the link to the leader broke");
            }
            Role::Leading(leading, _) => leading.on_link_down(link),
            Role::Following(..) | Role::Looking(_) | Role::Settling { .. } => {}
        }
    }

    fn on_peer(&mut self, link: LinkId, message: PeerMessage) {
        if let PeerMessage::Election(notification) = &message {
            if let Some(from) = self.links.election_peer(link) {
                self.on_notification(from, notification);
            }
            return;
        }
        let outcome = match &mut self.role {
            Role::Following(following, _) if following.link() == Some(link) => {
                match &message {
                    PeerMessage::Quorum(QuorumPacket::Proposal(_)) => {
                        self.cx.metrics.proposals_received += 1;
                    }
                    PeerMessage::Quorum(QuorumPacket::Commit { .. } | QuorumPacket::Inform(_)) => {
                        self.cx.metrics.commits_received += 1;
                    }
                    _ => {}
                }
                match following.on_message(message, &mut self.cx) {
                    Ok(heard) => {
                        self.on_heard(heard);
                        Ok(())
                    }
                    Err(why) => Err(format!("{why}")),
                }
            }
            Role::Leading(leading, _) if leading.has_link(link) => {
                match leading.on_message(link, message, &mut self.cx) {
                    Ok(Asked::Nothing) => Ok(()),
                    Ok(Asked::Request { from, forwarded }) => {
                        self.on_forwarded(link, from, forwarded).map_err(|why| format!("{why}"))
                    }
                    Err(why) => Err(format!("{why}")),
                }
            }
            Role::Looking(_) | Role::Settling { .. } => {
                if let PeerMessage::Quorum(packet) = message {
                    self.links.park_packet(link, packet, &mut self.cx);
                }
                Ok(())
            }
            Role::Following(..) | Role::Leading(..) => Ok(()),
        };
        if let Err(why) = outcome {
            self.end_term(&why);
        }
    }

    fn on_notification(&mut self, from: ServerId, notification: &Notification) {
        let (cx, links) = (&mut self.cx, &mut self.links);
        match &mut self.role {
            Role::Looking(election) => {
                let decision = election.on_notification(from, notification, cx, links);
                self.decide(decision);
            }
            Role::Following(_, settled) | Role::Leading(_, settled) => {
                // Nobody asks an observer, not even one whose question it answers.
                let has_vote = settled.state != PeerState::Observing;
                if has_vote && notification.state == PeerState::Looking {
                    let answer = settled.notification(cx);
                    links.notify(from, answer, cx);
                }
            }
            Role::Settling { .. } => {}
        }
    }

    fn on_heard(&mut self, heard: Heard) {
        match heard {
            Heard::Nothing => {}
            Heard::Serve(epoch) => self.serve(epoch),
            Heard::Synced(conn) => self.order.on_synced(conn, &mut self.cx),
            Heard::Revalidated { session, valid } => {
                self.order.on_revalidated(session, valid, &mut self.cx);
            }
        }
    }

    fn on_forwarded(
        &mut self,
        link: LinkId,
        from: ServerId,
        forwarded: Forwarded,
    ) -> Result<(), StepDown> {
        let Role::Leading(leading, _) = &mut self.role else { return Ok(()) };
        let Some((broadcast, learners)) = leading.broadcasting() else { return Ok(()) };
        if let Request::Sync { .. } = forwarded.request {
            let question = Question::Learner { link, answer: QuorumPacket::Sync };
            broadcast.ask(question, learners, &mut self.cx);
            return Ok(());
        }
        let origin = Origin::Learner(from);
        let size = broadcast.propose(origin, &forwarded, learners, &mut self.cx)?;
        self.proposed(size);
        Ok(())
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
                        }
                    }
                }
                Role::Looking(_) | Role::Settling { .. } => {}
            }
            self.deliver();
            self.answer_proven();
            self.order.release(&mut self.cx);
            let Some(submission) = self.order.take_submission() else { return Ok(()) };
            self.submit(submission)?;
            while let Some(submission) = self.order.take_submission() {
                self.submit(submission)?;
            }
        }
    }

    fn deliver(&mut self) {
        while let Some((entry, applied)) = self.cx.deliver_next() {
            if let Role::Leading(leading, _) = &mut self.role
                && let Some(broadcast) = leading.broadcast()
            {
                let header = &entry.txn.header;
                broadcast.on_delivered(header.zxid, &entry.txn.body, header.session, &self.cx);
            }
            if self.cx.serving.is_some() {
                self.cx.note(Note::Delivered { zxid: entry.zxid() });
                self.order.on_delivered(&entry, &applied, &mut self.cx);
            }
        }
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

    // ---- terms ----

    fn serve(&mut self, epoch: Epoch) {
        if let Role::Following(_, settled) | Role::Leading(_, settled) = &mut self.role {
            // Peers that restart now must find all of us in the same epoch.
            // ZK: QuorumPeer.updateElectionVote (3.9)
            settled.vote.epoch = i64::from(epoch.0);
        }
        self.cx.serving = Some(epoch);
    }

    /// Out of any role: nobody is served, what is logged becomes the state, and when it is durable
    /// the next election begins.
    fn end_term(&mut self, why: &str) {
        self.order.stop_serving(&mut self.cx);
        match &mut self.role {
            Role::Following(following, _) => {
                self.failed_terms = following.failure(self.failed_terms);
                if let Some(link) = following.link() {
                    self.cx.close_link(link, CloseReason::TermOver);
                }
            }
            Role::Leading(leading, _) => leading.close(&mut self.cx),
            Role::Looking(_) | Role::Settling { .. } => {}
        }
        self.cx.note(Note::Refused(format!("{}: {why}", self.mode())));
        self.cx.note(Note::Role(RoleName::Looking));
        self.cx.deliver_logged();
        let observes = match &self.role {
            Role::Following(following, _) => following.role() == MemberRole::Observer,
            Role::Leading(..) | Role::Looking(_) | Role::Settling { .. } => false,
        };
        let pause = if observes { self.cx.observers_pause() } else { Duration::ZERO };
        let not_before = self.cx.now.mono + pause;
        self.role = Role::Settling { until: self.cx.last_ticket(), not_before };
        self.begin_term();
    }

    /// Enters the election as soon as everything logged is durable.
    fn begin_term(&mut self) {
        let Role::Settling { until, not_before } = self.role else { return };
        if self.cx.now.mono < not_before {
            return;
        }
        if !self.cx.is_durable(until) && !self.cx.config.planted(Mutant::VoteBeforeDurable) {
            return;
        }
        if self.cx.is_truncating() {
            return;
        }
        self.cx.deliver_logged();
        self.cx.read_only = ReadOnly::looking(&self.cx);
        let mut election = Election::enter(self.round, &mut self.cx, &mut self.links);
        let decision = election.decided_at_once(&self.cx);
        self.round = election.round();
        self.role = Role::Looking(election);
        self.decide(decision);
    }

    fn decide(&mut self, decision: Option<Decision>) {
        let Role::Looking(election) = &self.role else { return };
        self.round = election.round();
        let Some(Decision { settled }) = decision else { return };
        self.end_read_only();
        self.round = settled.round;
        let leader = settled.vote.leader;
        if settled.state == PeerState::Leading {
            self.cx.note(Note::Role(RoleName::Leading));
            let parked = self.links.take_parked();
            match Leading::enter(parked, &mut self.cx) {
                Ok(leading) => {
                    self.role = Role::Leading(leading, settled);
                    if let Err(why) = self.advance() {
                        self.end_term(&format!("{why}"));
                    }
                }
                Err(why) => self.end_term(&format!("{why}")),
            }
        } else {
            let role = match settled.state {
                PeerState::Observing => RoleName::Observing,
                PeerState::Looking | PeerState::Following | PeerState::Leading => {
                    RoleName::Following
                }
            };
            self.cx.note(Note::Role(role));
            self.links.refuse_parked(&mut self.cx);
            let following = Following::enter(leader, self.failed_terms, &mut self.cx);
            self.role = Role::Following(following, settled);
        }
    }

    // ---- for four-letter words ----

    fn peer_state(&self) -> &'static str {
        match &self.role {
            Role::Leading(..) => "leading",
            Role::Following(_, settled) if settled.state == PeerState::Observing => "observing",
            Role::Following(..) => "following",
            Role::Looking(_) | Role::Settling { .. } => "looking",
        }
    }
    fn learners(&self) -> Option<impl Iterator<Item = &LearnerLink>> {
        match &self.role {
            Role::Leading(leading, _) if !self.cx.config.ensemble.is_alone() => {
                Some(leading.learners())
            }
            Role::Leading(..) | Role::Following(..) | Role::Looking(_) | Role::Settling { .. } => {
                None
            }
        }
    }
    /// In bytes: last, least, most; -1 before the first.
    fn proposal_sizes(&self) -> [i64; 3] {
        self.proposals
            .map_or([-1; 3], |(last, least, most)| [last as i64, least as i64, most as i64])
    }
    /// Whom an observer has for its leader.
    fn observed(&self) -> Option<ServerId> {
        match &self.role {
            Role::Following(following, _) if following.role() == MemberRole::Observer => {
                Some(following.leader)
            }
            Role::Following(..) | Role::Leading(..) | Role::Looking(_) | Role::Settling { .. } => {
                None
            }
        }
    }
    fn pending_syncs(&self) -> usize {
        match &self.role {
            Role::Leading(leading, _) => leading.established().map_or(0, Broadcast::questions),
            Role::Following(..) | Role::Looking(_) | Role::Settling { .. } => 0,
        }
    }
    /// When sessions expire, as far as this server decides that.
    fn session_deadlines(&self) -> Option<impl Iterator<Item = (SessionId, Instant)>> {
        match &self.role {
            Role::Leading(leading, _) => Some(leading.established()?.session_deadlines()),
            Role::Following(..) | Role::Looking(_) | Role::Settling { .. } => None,
        }
    }
}
