//! Sessions that no transaction opened, connections to servers without a quorum, and how each
//! connection of a server was greeted.

use zebu_core::ids::{ConnId, ServerId};
use zebu_core::proto::{ConnectRequest, ConnectResponse, CreateRequest, Request, create_flags};

use super::Facts;
use crate::history::ClientId;

/// A session that a server granted before anybody committed it.
#[derive(Debug)]
pub struct Local {
    /// Who granted it first, in which of its lives.
    pub home: ServerId,
    pub incarnation: u32,
    /// Its client took it to another server, whose leader may have said that it is over.
    pub contested: bool,
    /// Its client asked for something that only a global session can have.
    pub wants_more: bool,
}

/// What a server heard first on a connection, and what it said to that.
#[derive(Debug)]
pub struct Greeting {
    pub asked: ConnectRequest,
    granted: Option<u64>,
}

impl Greeting {
    /// The session that is asked for, then the one that is granted; 0 for none.
    pub fn session(&self) -> u64 {
        self.granted.unwrap_or(self.asked.session.0)
    }
}

impl Facts {
    pub fn greeting(&self, server: ServerId, conn: ConnId) -> Option<&Greeting> {
        self.greetings.get(&(server, conn))
    }
    pub(super) fn on_greeted(&mut self, server: ServerId, conn: ConnId, asked: &ConnectRequest) {
        let greeting = Greeting { asked: asked.clone(), granted: None };
        self.greetings.insert((server, conn), greeting);
    }
    pub(super) fn conn_gone(&mut self, server: ServerId, conn: ConnId) {
        self.greetings.remove(&(server, conn));
        self.read_only_conns.remove(&(server, conn));
    }

    /// Is it a session that only its server knows?
    pub fn is_local(&self, session: u64) -> bool {
        self.local.contains_key(&session) && !self.model.sessions.contains_key(&session)
    }
    /// A close that needs no transaction.
    pub fn closes_locally(&self, session: u64, request: &Request) -> bool {
        *request == Request::CloseSession && self.is_local(session)
    }
    /// Did this server say that it serves this connection without a quorum?
    pub fn is_read_only(&self, server: ServerId, conn: ConnId) -> bool {
        self.read_only_conns.contains(&(server, conn))
    }
    pub fn serves_read_only(&self, server: ServerId) -> bool {
        let mut conns = self.read_only_conns.range((server, ConnId(0))..);
        conns.next().is_some_and(|(at, _)| *at == server)
    }
    /// Is the client served without a quorum, as far as it knows?
    pub fn reads_only(&self, client: ClientId) -> bool {
        let granted = self.conn(client).and_then(|conn| conn.granted.as_ref());
        granted.is_some_and(|granted| granted.read_only == Some(true))
    }

    pub(super) fn on_granted(&mut self, server: ServerId, conn: ConnId, granted: &ConnectResponse) {
        if let Some(greeting) = self.greetings.get_mut(&(server, conn)) {
            greeting.granted = Some(granted.session.0);
        }
        if granted.timeout_ms <= 0 || !self.info.local_sessions {
            return;
        }
        if granted.read_only == Some(true) {
            self.read_only_conns.insert((server, conn));
            // It says so itself.
            self.at(server).leads = None;
        }
        let session = granted.session.0;
        if self.model.sessions.contains_key(&session) {
            return;
        }
        let incarnation = self.at(server).incarnation;
        let local = Local { home: server, incarnation, contested: false, wants_more: false };
        self.local.entry(session).or_insert(local);
    }
    pub(super) fn on_asked_for(&mut self, session: u64, server: ServerId) {
        if let Some(local) = self.local.get_mut(&session) {
            local.contested |= local.home != server;
        }
    }
    pub(super) fn on_wanted(&mut self, session: u64, request: &Request) {
        if let Some(local) = self.local.get_mut(&session) {
            local.wants_more |= wants_ephemeral(request);
        }
    }
    pub(super) fn conns_gone(&mut self, server: ServerId) {
        self.read_only_conns.retain(|(at, _)| *at != server);
        self.greetings.retain(|(at, _), _| *at != server);
    }
}

fn wants_ephemeral(request: &Request) -> bool {
    let by_flags = |create: &CreateRequest| {
        create.flags == create_flags::EPHEMERAL
            || create.flags == create_flags::EPHEMERAL_SEQUENTIAL
    };
    match request {
        Request::Create(create) | Request::Create2(create) => by_flags(create),
        Request::Multi(parts) => parts.iter().any(wants_ephemeral),
        _ => false,
    }
}
