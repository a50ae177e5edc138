//! The other end: a client of the service as a machine without IO. Simulated clients, the tests and
//! `zebu cli` are made of it. Recipes, retries of calls and bytes are not here.
//!
//! ```text
//!             Connect         Connected          ConnectResponse
//!   Waiting ----------> Dialling ------> Greeting ---------> Serving
//!      ^                   |                |  (0: expired)     |
//!      +-------------------+----------------+-------------------+---> Closed
//!              broken, silent for too long, xid out of order       closeSession
//! ```

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::ids::{SessionId, Xid, Zxid};
use crate::proto::{
    ClientMessage, ClientRequest, ConnectRequest, ConnectResponse, ErrorCode, Request, Response,
    WatcherEvent,
};
use crate::time::{Duration, Instant};

mod servers;
#[cfg(test)]
mod tests;
mod watches;
mod writable;

use servers::Servers;
use watches::Watches;
use writable::Writable;

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ClientConfig {
    /// How many servers there are to choose from; which one is next is drawn from `seed`.
    pub servers: usize,
    pub session_timeout: Duration,
    pub seed: u64,
    /// Requests in flight at once; further ones wait in the client.
    pub pipeline_max: usize,
    /// A server without a quorum will do, as long as there is none with one.
    pub read_only: bool,
}

/// Numbers the calls of one client in the order of [`Client::submit`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct CallId(pub u64);

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ClientEvent {
    /// The connection asked for stands.
    Connected,
    Received(ClientMessage),
    /// The connection broke, or could not be made. Needs not answer a [`ClientAction::Disconnect`],
    /// and must not come for an older connection than the last one asked for.
    Disconnected,
    /// Time passed.
    Wake,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ClientAction {
    Connect {
        server: usize,
    },
    Send(ClientRequest),
    /// Drop the connection, or the attempt to make one.
    Disconnect,
    Completed {
        call: CallId,
        outcome: Outcome,
    },
    Watch {
        zxid: i64,
        event: WatcherEvent,
    },
    Session(SessionEvent),
}

/// How a call ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// Answered: `zxid` is the reply header's.
    Replied { zxid: i64, result: Result<Response, ErrorCode> },
    /// Sent, and the connection broke before an answer: it may or may not have happened.
    Unknown,
    /// Never sent; the session is over.
    NotSent,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SessionEvent {
    Opened {
        session: SessionId,
        timeout_ms: i32,
    },
    Resumed {
        session: SessionId,
    },
    Disconnected,
    /// The server said that the session is gone; the next connection opens a new one.
    Expired {
        session: SessionId,
    },
    Closed,
}

#[derive(Clone, Debug)]
pub struct Client {
    config: ClientConfig,
    link: Link,
    servers: Servers,
    session: Option<Session>,
    last_zxid_seen: Zxid,
    writable: Writable,
    watches: Watches,
    /// Identities to present to every server, in the order in which they were given.
    identities: Vec<Request>,
    next_call: u64,
    next_xid: i32,
    /// Not sent yet.
    queue: VecDeque<(CallId, Request)>,
    /// Sent and not answered. Replies come in this order.
    in_flight: VecDeque<InFlight>,
    /// Likewise, for pings and auth packets, whose replies may overtake the others.
    aside: VecDeque<InFlight>,
    actions: VecDeque<ClientAction>,
}

#[derive(Clone, Debug)]
struct Session {
    id: SessionId,
    password: [u8; 16],
    /// As negotiated with the last server.
    timeout: Duration,
}

/// The connection, or what is done about having none.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Link {
    Waiting {
        until: Instant,
    },
    Dialling {
        deadline: Instant,
    },
    /// ConnectRequest is sent.
    Greeting {
        deadline: Instant,
    },
    Serving {
        last_sent: Instant,
        last_heard: Instant,
    },
    /// closeSession was answered, or can no longer be.
    Closed,
}

#[derive(Clone, Debug)]
struct InFlight {
    /// `None` for what the client sends on its own.
    call: Option<CallId>,
    xid: Xid,
    request: Request,
}

impl Client {
    pub fn new(config: ClientConfig, now: Instant) -> Self {
        let mut client = Self {
            link: Link::Waiting { until: now },
            servers: Servers::new(config.servers, config.seed),
            session: None,
            last_zxid_seen: Zxid::ZERO,
            writable: Writable::default(),
            watches: Watches::default(),
            identities: Vec::new(),
            next_call: 0,
            next_xid: 1,
            queue: VecDeque::new(),
            in_flight: VecDeque::new(),
            aside: VecDeque::new(),
            actions: VecDeque::new(),
            config,
        };
        client.dial(now);
        client
    }

    /// Calls are sent in the order in which they are submitted.
    pub fn submit(&mut self, now: Instant, request: Request) -> CallId {
        let call = CallId(self.next_call);
        self.next_call += 1;
        if self.link == Link::Closed {
            self.complete(call, Outcome::NotSent);
            return call;
        }
        self.queue.push_back((call, request));
        self.send_queued(now);
        call
    }

    pub fn handle(&mut self, now: Instant, event: ClientEvent) {
        match event {
            ClientEvent::Connected => self.on_connected(now),
            ClientEvent::Received(message) => self.on_message(now, message),
            ClientEvent::Disconnected => match self.link {
                Link::Waiting { .. } | Link::Closed => {}
                Link::Dialling { .. } | Link::Greeting { .. } | Link::Serving { .. } => {
                    self.on_broken(now);
                }
            },
            ClientEvent::Wake => self.on_time(now),
        }
    }

    pub fn poll(&mut self) -> Option<ClientAction> {
        self.actions.pop_front()
    }

    pub fn deadline(&self) -> Option<Instant> {
        match self.link {
            Link::Waiting { until: deadline }
            | Link::Dialling { deadline }
            | Link::Greeting { deadline } => Some(deadline),
            Link::Serving { last_sent, last_heard } => {
                let timeouts = (last_sent + self.ping_after()).min(last_heard + self.silence_max());
                Some(self.writable.search_at().map_or(timeouts, |at| at.min(timeouts)))
            }
            Link::Closed => None,
        }
    }

    /// Leave this server for another one, session and watches kept.
    pub fn hop(&mut self, now: Instant) {
        match self.link {
            Link::Waiting { .. } | Link::Closed => {}
            Link::Dialling { .. } | Link::Greeting { .. } | Link::Serving { .. } => {
                self.actions.push_back(ClientAction::Disconnect);
                self.lose_in_flight();
                self.wait(now, Duration::ZERO);
                self.on_time(now);
            }
        }
    }

    pub fn session(&self) -> Option<SessionId> {
        self.session.as_ref().map(|session| session.id)
    }

    /// Of reply headers only: an event may tell of a state that this client has not seen yet.
    pub fn last_zxid_seen(&self) -> Zxid {
        self.last_zxid_seen
    }

    /// Calls not completed yet, oldest first.
    pub fn pending(&self) -> Vec<CallId> {
        let sent = self.in_flight.iter().chain(&self.aside).filter_map(|sent| sent.call);
        let queued = self.queue.iter().map(|(call, _)| *call);
        let mut calls: Vec<CallId> = sent.chain(queued).collect();
        calls.sort_unstable();
        calls
    }

    // ------------------------------------------------------------------------- time and the link

    fn on_time(&mut self, now: Instant) {
        match self.link {
            Link::Waiting { until } if now >= until => self.dial(now),
            Link::Dialling { deadline } | Link::Greeting { deadline } if now >= deadline => {
                self.leave(now);
            }
            Link::Serving { last_heard, .. } if now >= last_heard + self.silence_max() => {
                self.leave(now);
            }
            Link::Serving { .. } if self.writable.search_at().is_some_and(|at| now >= at) => {
                self.leave(now);
            }
            Link::Serving { last_sent, .. } if now >= last_sent + self.ping_after() => {
                self.send(now, None, Xid::PING, Request::Ping);
            }
            _ => {}
        }
    }

    fn dial(&mut self, now: Instant) {
        self.actions.push_back(ClientAction::Connect { server: self.servers.current() });
        self.link = Link::Dialling { deadline: now + self.dial_max() };
    }

    fn on_connected(&mut self, now: Instant) {
        let Link::Dialling { .. } = self.link else { return };
        let (session, password) = match &self.session {
            Some(session) if self.writable.was_seen() => (session.id, session.password),
            Some(_) | None => (SessionId(0), [0; 16]),
        };
        let request = ConnectRequest {
            protocol_version: 0,
            last_zxid_seen: self.last_zxid_seen,
            timeout_ms: i32::try_from(self.config.session_timeout.as_millis()).unwrap_or(i32::MAX),
            session,
            password: Bytes::copy_from_slice(&password),
            read_only: Some(self.config.read_only),
        };
        self.actions.push_back(ClientAction::Send(ClientRequest::Connect(request)));
        self.link = Link::Greeting { deadline: now + self.dial_max() };
    }

    /// This connection is of no use any more.
    fn leave(&mut self, now: Instant) {
        self.actions.push_back(ClientAction::Disconnect);
        self.on_broken(now);
    }

    fn on_broken(&mut self, now: Instant) {
        self.lose_in_flight();
        let pause = self.servers.failed();
        self.wait(now, pause);
    }

    /// Go to the next server after `pause`. Nothing if a closeSession ended it all.
    fn wait(&mut self, now: Instant, pause: Duration) {
        if self.link != Link::Closed {
            self.servers.advance();
            self.link = Link::Waiting { until: now + pause };
        }
    }

    /// Whatever was sent over the connection may or may not have happened.
    // ZK: ClientCnxn.SendThread.cleanup (3.9). Departs: what was not sent stays queued.
    fn lose_in_flight(&mut self) {
        let was_serving = matches!(self.link, Link::Serving { .. });
        let mut sent = core::mem::take(&mut self.in_flight);
        sent.append(&mut self.aside);
        let closing = sent.iter().any(|sent| sent.request == Request::CloseSession);
        let mut lost: Vec<CallId> = sent.iter().filter_map(|sent| sent.call).collect();
        lost.sort_unstable();
        for call in lost {
            self.complete(call, Outcome::Unknown);
        }
        if was_serving {
            self.actions.push_back(ClientAction::Session(SessionEvent::Disconnected));
        }
        if closing {
            // ZK: ClientCnxn.SendThread.run (3.9): does not reconnect to close again.
            self.close();
        }
    }

    // ---------------------------------------------------------------------------------- messages

    fn on_message(&mut self, now: Instant, message: ClientMessage) {
        if let Link::Serving { last_heard, .. } = &mut self.link {
            *last_heard = now;
        }
        match (self.link, message) {
            // Still under way when the connection was given up.
            (Link::Waiting { .. } | Link::Dialling { .. } | Link::Closed, _) => {}
            (Link::Greeting { .. }, ClientMessage::Connected(response)) => {
                self.on_session(now, &response);
            }
            (Link::Serving { .. }, ClientMessage::Event { zxid, event }) => {
                self.watches.fired(&event);
                self.actions.push_back(ClientAction::Watch { zxid, event });
            }
            (
                Link::Serving { .. },
                ClientMessage::Reply { xid: xid @ (Xid::PING | Xid::AUTH), zxid, result },
            ) => self.on_reply_aside(xid, zxid, result),
            (Link::Serving { .. }, ClientMessage::Reply { xid, zxid, result }) => {
                self.on_reply(now, xid, zxid, result);
            }
            (Link::Greeting { .. } | Link::Serving { .. }, _) => self.leave(now),
        }
    }

    // ZK: ClientCnxn.SendThread.onConnected (3.9)
    fn on_session(&mut self, now: Instant, response: &ConnectResponse) {
        let timeout_ms = response.timeout_ms;
        let Ok(timeout @ 1..) = u64::try_from(timeout_ms) else { return self.on_refused(now) };
        let read_only = response.read_only == Some(true);
        if read_only && !self.config.read_only {
            return self.leave(now);
        }
        self.writable.served(read_only, now);
        let id = response.session;
        let resumed = self.session() == Some(id);
        self.session = Some(Session {
            id,
            password: response.password,
            timeout: Duration::from_millis(timeout),
        });
        self.servers.succeeded();
        self.link = Link::Serving { last_sent: now, last_heard: now };
        self.actions.push_back(ClientAction::Session(if resumed {
            SessionEvent::Resumed { session: id }
        } else {
            SessionEvent::Opened { session: id, timeout_ms }
        }));
        self.prime(now);
        self.send_queued(now);
    }

    /// Makes the server know what the last one knew of this client: identities, then watches,
    /// before any call.
    // ZK: ClientCnxn.SendThread.primeConnection (3.9)
    fn prime(&mut self, now: Instant) {
        for identity in self.identities.clone() {
            self.send(now, None, Xid::AUTH, identity);
        }
        for set in self.watches.set_again(self.last_zxid_seen) {
            self.send(now, None, Xid::SET_WATCHES, Request::SetWatches(set));
        }
    }

    /// The session is gone. The next one begins as a new client's would.
    fn on_refused(&mut self, now: Instant) {
        let Some(session) = self.session.take() else { return self.leave(now) };
        let expired = SessionEvent::Expired { session: session.id };
        self.actions.push_back(ClientAction::Session(expired));
        self.last_zxid_seen = Zxid::ZERO;
        self.writable = Writable::default();
        self.watches = Watches::default();
        let closing = self.queue.iter().any(|(_, request)| *request == Request::CloseSession);
        self.give_up_queued();
        if closing {
            self.actions.push_back(ClientAction::Disconnect);
            self.close();
        } else {
            self.leave(now);
        }
    }

    fn on_reply_aside(&mut self, xid: Xid, zxid: i64, result: Result<Response, ErrorCode>) {
        let oldest = self.aside.iter().position(|sent| sent.xid == xid);
        let Some(sent) = oldest.and_then(|at| self.aside.remove(at)) else { return };
        if result.is_err() {
            // Presented again it would cost every later connection.
            self.identities.retain(|identity| *identity != sent.request);
        }
        if let Some(call) = sent.call {
            self.complete(call, Outcome::Replied { zxid, result });
        }
    }

    // ZK: ClientCnxn.SendThread.readResponse (3.9)
    fn on_reply(&mut self, now: Instant, xid: Xid, zxid: i64, result: Result<Response, ErrorCode>) {
        if self.in_flight.front().is_none_or(|oldest| oldest.xid != xid) {
            return self.leave(now);
        }
        let Some(InFlight { call, request, .. }) = self.in_flight.pop_front() else { return };
        if zxid > 0 {
            self.last_zxid_seen = self.last_zxid_seen.max(Zxid::from_wire(zxid));
        }
        self.watches.answered(&request, &result);
        let closed = request == Request::CloseSession;
        if let Some(call) = call {
            self.complete(call, Outcome::Replied { zxid, result });
        }
        if closed {
            self.actions.push_back(ClientAction::Disconnect);
            self.close();
        } else {
            self.send_queued(now);
        }
    }

    // ------------------------------------------------------------------------------------- calls

    /// Sends what may be sent now. Nothing follows a closeSession.
    fn send_queued(&mut self, now: Instant) {
        while let Link::Serving { .. } = self.link
            && self.in_flight.len() < self.config.pipeline_max.max(1)
            && self.in_flight.back().is_none_or(|last| last.request != Request::CloseSession)
            && let Some((call, request)) = self.queue.pop_front()
        {
            let xid = match request {
                Request::Ping => Xid::PING,
                Request::Auth { .. } => Xid::AUTH,
                _ => self.take_xid(),
            };
            if xid == Xid::AUTH && !self.identities.contains(&request) {
                self.identities.push(request.clone());
            }
            self.send(now, Some(call), xid, request);
        }
    }

    fn send(&mut self, now: Instant, call: Option<CallId>, xid: Xid, request: Request) {
        if let Link::Serving { last_sent, .. } = &mut self.link {
            *last_sent = now;
        }
        let sent = InFlight { call, xid, request: request.clone() };
        match xid {
            Xid::PING | Xid::AUTH => self.aside.push_back(sent),
            _ => self.in_flight.push_back(sent),
        }
        self.actions.push_back(ClientAction::Send(ClientRequest::Request { xid, request }));
    }

    /// Positive ones in turn; the others have meanings.
    fn take_xid(&mut self) -> Xid {
        let xid = self.next_xid;
        self.next_xid = xid.checked_add(1).unwrap_or(1);
        Xid(xid)
    }

    fn complete(&mut self, call: CallId, outcome: Outcome) {
        self.actions.push_back(ClientAction::Completed { call, outcome });
    }

    fn give_up_queued(&mut self) {
        for (call, _) in core::mem::take(&mut self.queue) {
            self.complete(call, Outcome::NotSent);
        }
    }

    fn close(&mut self) {
        self.session = None;
        self.give_up_queued();
        self.link = Link::Closed;
        self.actions.push_back(ClientAction::Session(SessionEvent::Closed));
    }

    // ------------------------------------------------------------------------------------- spans

    fn timeout(&self) -> Duration {
        self.session.as_ref().map_or(self.config.session_timeout, |session| session.timeout)
    }
    /// Nothing sent for so long: ping.
    fn ping_after(&self) -> Duration {
        self.timeout() / 3
    }
    /// Nothing heard for so long: try another server while the session still lives.
    fn silence_max(&self) -> Duration {
        self.timeout() * 2 / 3
    }
    /// To connect, and to be greeted: all servers can be tried before the session is over.
    fn dial_max(&self) -> Duration {
        self.timeout() / self.servers.count() as u32
    }
}
