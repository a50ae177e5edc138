//! The other end: a client of the service as a machine without IO. Simulated clients, the tests and
//! `zebu cli` are made of it.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::ids::{SessionId, Zxid};
use crate::proto::{ClientMessage, ClientRequest, ErrorCode, Request, Response, WatcherEvent};
use crate::time::{Duration, Instant};

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ClientConfig {
    /// How many servers there are to choose from; which one is next is drawn from `seed`.
    pub servers: usize,
    pub session_timeout: Duration,
    pub seed: u64,
    /// Requests in flight at once; further ones wait in the client.
    pub pipeline_max: usize,
}

/// Numbers the calls of one client in the order of [`Client::submit`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct CallId(pub u64);

#[derive(Clone, Debug)]
pub enum ClientEvent {
    /// The connection asked for stands.
    Connected,
    Received(ClientMessage),
    /// The connection broke, or could not be made.
    Disconnected,
    /// Time passed.
    Wake,
}

#[derive(Clone, Debug)]
pub enum ClientAction {
    Connect { server: usize },
    Send(ClientRequest),
    Disconnect,
    Completed { call: CallId, outcome: Outcome },
    Watch { zxid: i64, event: WatcherEvent },
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
    actions: VecDeque<ClientAction>,
}

impl Client {
    pub fn new(config: ClientConfig, now: Instant) -> Self {
        let _ = now;
        Self { config, actions: VecDeque::new() }
    }
    pub fn submit(&mut self, now: Instant, request: Request) -> CallId {
        let _ = (now, request, &self.config);
        todo!()
    }
    pub fn handle(&mut self, now: Instant, event: ClientEvent) {
        let _ = (now, event);
        todo!()
    }
    pub fn poll(&mut self) -> Option<ClientAction> {
        self.actions.pop_front()
    }
    pub fn deadline(&self) -> Option<Instant> {
        todo!()
    }
    /// Leave this server for another one, session and watches kept.
    pub fn hop(&mut self, now: Instant) {
        let _ = now;
        todo!()
    }
    pub fn session(&self) -> Option<SessionId> {
        todo!()
    }
    pub fn last_zxid_seen(&self) -> Zxid {
        todo!()
    }
    /// Calls not completed yet, oldest first.
    pub fn pending(&self) -> Vec<CallId> {
        todo!()
    }
}
