//! Everyone who watches a run: checkers, counters, the trace hash, the printed trace. Observers
//! change nothing; the world runs the same without them.

use zebu_core::client::{Outcome, SessionEvent};
use zebu_core::server::{Action, Event, PeerMessage, StoreOp};

use crate::counters::Counters;
use crate::ensemble::SERVERS_MAX;
use crate::hash::TraceHash;
use crate::history::{Checker, Observation, ServerView, SimTime, View, Violation};
use crate::process::Node;
use crate::trace;

#[derive(Default)]
pub struct Audience {
    pub checkers: Vec<Box<dyn Checker>>,
    pub counters: Counters,
    pub hash: TraceHash,
    /// Print each observation.
    pub trace: bool,
    /// The first broken promise ends the run.
    pub violation: Option<(SimTime, Violation)>,
}

impl std::fmt::Debug for Audience {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Audience").field("violation", &self.violation).finish_non_exhaustive()
    }
}

impl Audience {
    pub fn observe(&mut self, now: SimTime, nodes: &[Node], what: &Observation<'_>) {
        self.note(now, what);
        if self.violation.is_some() || self.checkers.is_empty() {
            return;
        }
        let servers: [ServerView<'_>; SERVERS_MAX] =
            std::array::from_fn(|i| nodes[i.min(nodes.len() - 1)].view());
        self.judge(&View { now, servers: &servers[..nodes.len()] }, what);
    }

    /// As [`Self::observe`], in a world that has no [`Node`]s.
    pub fn observe_with(&mut self, view: &View<'_>, what: &Observation<'_>) {
        self.note(view.now, what);
        if self.violation.is_none() {
            self.judge(view, what);
        }
    }

    fn note(&mut self, now: SimTime, what: &Observation<'_>) {
        self.hash.word(now);
        hash(&mut self.hash, what);
        self.counters.observe(what);
        if self.trace {
            trace::print(now, what);
        }
    }

    fn judge(&mut self, view: &View<'_>, what: &Observation<'_>) {
        for checker in &mut self.checkers {
            if let Err(violation) = checker.observe(view, what) {
                self.violation = Some((view.now, violation));
                return;
            }
        }
    }

    /// The world itself finds that a promise was broken (nothing moves any more, say).
    pub fn violated(&mut self, now: SimTime, property: &'static str, what: String) {
        if self.violation.is_none() {
            self.violation = Some((now, Violation { property, what }));
        }
    }

    pub fn finish(&mut self, now: SimTime, nodes: &[Node]) {
        let servers: Vec<ServerView<'_>> = nodes.iter().map(Node::view).collect();
        self.finish_with(&View { now, servers: &servers });
    }

    pub fn finish_with(&mut self, view: &View<'_>) {
        for checker in &mut self.checkers {
            if self.violation.is_none()
                && let Err(violation) = checker.finish(view)
            {
                self.violation = Some((view.now, violation));
            }
        }
    }
}

/// What goes in follows from what came out before, so of events and of what clients take from the
/// network only the kind is hashed. Whole states are told by their zxid.
fn hash(hash: &mut TraceHash, what: &Observation<'_>) {
    match what {
        Observation::Started { server } => tag(hash, 1, server.0),
        Observation::Stopped { server, why } => {
            tag(hash, 2, server.0);
            hash.word(*why as u64);
        }
        Observation::NotStarted { server, why } => {
            tag(hash, 3, server.0);
            hash.bytes(why.as_bytes());
        }
        Observation::Event { server, event } => {
            tag(hash, 4, server.0);
            hash.word(event_kind(event));
        }
        Observation::Action { server, action } => {
            tag(hash, 5, server.0);
            hash_action(hash, action);
        }
        Observation::Disk { server, op, done } => {
            tag(hash, 6, server.0);
            hash.value(op);
            hash.word(u64::from(*done));
        }
        Observation::Call { client, call, request } => {
            tag(hash, 7, client.0 as i64);
            hash.word(call.0);
            hash.value(request);
        }
        Observation::Completed { client, call, outcome } => {
            tag(hash, 8, client.0 as i64);
            hash.word(call.0);
            match outcome {
                Outcome::Replied { zxid, result } => {
                    hash.word(*zxid as u64);
                    hash.value(result);
                }
                Outcome::Unknown => hash.word(1),
                Outcome::NotSent => hash.word(2),
            }
        }
        Observation::Watch { client, zxid, event } => {
            tag(hash, 9, client.0 as i64);
            hash.word(*zxid as u64);
            hash.value(event);
        }
        Observation::Session { client, event } => {
            tag(hash, 10, client.0 as i64);
            match event {
                SessionEvent::Opened { session, timeout_ms } => {
                    hash.word(session.0);
                    hash.word(*timeout_ms as u64);
                }
                SessionEvent::Resumed { session } | SessionEvent::Expired { session } => {
                    hash.word(session.0);
                }
                SessionEvent::Disconnected => hash.word(1),
                SessionEvent::Closed => hash.word(2),
            }
        }
        Observation::Sent { client, server, request } => {
            tag(hash, 11, client.0 as i64);
            hash.word(server.0 as u64);
            hash.value(request);
        }
        Observation::Received { client, server, .. } => {
            tag(hash, 12, client.0 as i64);
            hash.word(server.0 as u64);
        }
        Observation::Disconnected { client } => tag(hash, 13, client.0 as i64),
        Observation::Link { from, to, open } => {
            tag(hash, 14, from.0);
            hash.word(to.0 as u64);
            hash.word(u64::from(*open));
        }
        Observation::LivenessPhase => tag(hash, 15, 0),
        Observation::Quiet => tag(hash, 16, 0),
        Observation::Wiped { server } => tag(hash, 17, server.0),
    }
}

fn tag(hash: &mut TraceHash, kind: u64, who: i64) {
    hash.word(kind << 56 | who as u64 & 0xffff);
}

fn event_kind(event: &Event) -> u64 {
    match event {
        Event::Wake => 1,
        Event::LinkUp { link, .. } => 2 << 32 | link.0,
        Event::Peer { link, .. } => 3 << 32 | link.0,
        Event::LinkDown { link } => 4 << 32 | link.0,
        Event::DialFailed { to, .. } => 5 << 32 | to.0 as u64,
        Event::ConnOpen { conn, .. } => 6 << 32 | conn.0,
        Event::Client { conn, .. } => 7 << 32 | conn.0,
        Event::ConnGone { conn } => 8 << 32 | conn.0,
        Event::Durable { upto } => 9 << 32 | upto.0,
        Event::Truncated { ticket, .. } => 10 << 32 | ticket.0,
        Event::SnapshotTaken { zxid } => 11 << 32 ^ zxid.0,
        Event::StoreFailed { .. } => 12 << 32,
        Event::Machine(_) => 13 << 32,
        Event::LogRead { link, .. } => 15 << 32 | link.0,
        Event::ConnDrained { conn } => 14 << 32 | conn.0,
    }
}

fn hash_action(hash: &mut TraceHash, action: &Action) {
    match action {
        Action::TakeSnapshot { database } => hash.word(database.last_processed.0),
        Action::Store { ticket, op: StoreOp::Install(database) } => {
            hash.word(ticket.0);
            hash.word(database.last_processed.0);
        }
        Action::Send { link, message: PeerMessage::Snapshot(database) } => {
            hash.word(link.0);
            hash.word(database.last_processed.0);
        }
        action => hash.value(action),
    }
}
