//! Clients: their connections, what each waits for, and which reply answers what.

use std::collections::{BTreeSet, VecDeque};
use std::rc::Rc;

use zebu_core::ids::{ServerId, Xid};
use zebu_core::proto::{
    ClientMessage, ClientRequest, ConnectRequest, ConnectResponse, ErrorCode, Request, Response,
};

use super::Facts;
use crate::history::{ClientId, SimTime};
use crate::model::judge::Caller;
use crate::model::users::Users;

#[derive(Debug, Default)]
pub struct ClientFacts {
    pub conn: Option<Conn>,
    /// Counts its connections.
    pub connects: u64,
    /// Servers that it asked for its session and left before they answered: they may still ask the
    /// leader for it, behind the one that it went to.
    pub unanswered: BTreeSet<ServerId>,
}

/// The connection that a client has now.
#[derive(Debug)]
pub struct Conn {
    pub server: ServerId,
    pub number: u64,
    pub asked: ConnectRequest,
    pub granted: Option<ConnectResponse>,
    /// Requests that wait for a reply, oldest first.
    pub pending: VecDeque<Pending>,
    /// Whose passwords it has said, and those that its server is known to have heard.
    users: Users,
    heard: Users,
}

impl Conn {
    /// The session, once the server has agreed to it.
    pub fn session(&self) -> Option<u64> {
        self.granted.as_ref().map(|granted| granted.session.0)
    }
}

#[derive(Clone, Debug)]
pub struct Pending {
    pub xid: Xid,
    pub request: Rc<Request>,
    pub sent_at: SimTime,
    /// On whose behalf.
    pub users: Users,
    /// When it was sent: the newest write that anybody had the answer to; the newest that succeeded.
    pub answered_upto: u64,
    pub succeeded_upto: u64,
}

/// A write of a client, from sending to its transaction and its reply.
#[derive(Debug)]
pub struct Write {
    pub client: ClientId,
    pub request: Rc<Request>,
    pub caller: Caller,
    /// The connection that it was sent on.
    pub conn: u64,
    pub server: Option<ServerId>,
    /// Its place among the writes of its session.
    pub order: u64,
    pub answered_upto: u64,
    pub txn: Option<u64>,
    /// The reply that is due, once its place in the order is known.
    pub expected: Option<Result<Response, ErrorCode>>,
    pub judged: bool,
    /// The refusal that the client got.
    pub refused: Option<ErrorCode>,
}

/// A reply and what it answers.
#[derive(Debug)]
pub struct Answered {
    pub client: ClientId,
    /// `None` when nothing was waiting.
    pub pending: Option<Pending>,
    /// Whether it carries the xid that was due.
    pub in_turn: bool,
}

pub fn is_write(request: &Request) -> bool {
    matches!(
        request,
        Request::Create(_)
            | Request::Create2(_)
            | Request::CreateContainer(_)
            | Request::CreateTtl(_)
            | Request::Delete { .. }
            | Request::SetData { .. }
            | Request::SetAcl { .. }
            | Request::Multi(_)
            | Request::Reconfig(_)
            | Request::CloseSession
    )
}

impl ClientFacts {
    /// Its connection ends; was there one?
    pub fn leave(&mut self) -> bool {
        let Some(conn) = self.conn.take() else { return false };
        if conn.granted.is_none() {
            self.unanswered.insert(conn.server);
        }
        true
    }
}

impl Facts {
    pub fn conn(&self, client: ClientId) -> Option<&Conn> {
        self.clients.get(&client)?.conn.as_ref()
    }

    /// On whose behalf a client asked `pending`.
    pub fn caller_of(&self, client: ClientId, pending: &Pending) -> Caller {
        self.caller(client, pending.users)
    }
    /// Who a client is to its server at the least, and at the most: what it has said since may be on
    /// its way, or the answer may.
    pub fn callers(&self, client: ClientId) -> [Caller; 2] {
        let conn = self.conn(client);
        let users = conn.map_or([Users::NOBODY; 2], |conn| [conn.heard, conn.users]);
        users.map(|users| self.caller(client, users))
    }
    fn caller(&self, client: ClientId, users: Users) -> Caller {
        let session = self.conn(client).and_then(Conn::session);
        Caller { session: session.unwrap_or(0), users, local: false }
    }

    /// True when this ended an older connection of the client.
    pub(super) fn on_sent(
        &mut self,
        client: ClientId,
        server: ServerId,
        request: &ClientRequest,
    ) -> bool {
        if let ClientRequest::Connect(asked) = request {
            self.on_asked_for(asked.session.0, server);
        }
        let known = self.clients.entry(client).or_default();
        match request {
            ClientRequest::Connect(asked) => {
                known.connects += 1;
                let conn = Conn {
                    server,
                    number: known.connects,
                    asked: asked.clone(),
                    granted: None,
                    pending: VecDeque::new(),
                    users: Users::NOBODY,
                    heard: Users::NOBODY,
                };
                let left = known.leave();
                known.conn = Some(conn);
                left
            }
            ClientRequest::Request { xid, request } => {
                let Some(conn) = &mut known.conn else { return false };
                conn.users.hear(request);
                let pending = Pending {
                    xid: *xid,
                    request: Rc::new(request.clone()),
                    sent_at: self.now,
                    users: conn.users,
                    answered_upto: self.answered_upto,
                    succeeded_upto: self.succeeded_upto,
                };
                conn.pending.push_back(pending);
                if let Some(session) = conn.session() {
                    self.enter_write(client, session);
                }
                false
            }
            ClientRequest::FourLetterWord(_) => false,
        }
    }

    /// The newest request of `client` is, if it is a write, one of `session`.
    fn enter_write(&mut self, client: ClientId, session: u64) {
        let Some(known) = self.clients.get(&client) else { return };
        let Some(pending) = known.conn.as_ref().and_then(|conn| conn.pending.back()) else {
            return;
        };
        let pending = pending.clone();
        self.write_sent(client, session, &pending);
    }

    fn write_sent(&mut self, client: ClientId, session: u64, of: &Pending) {
        if !is_write(&of.request) {
            return;
        }
        self.writes_sent += 1;
        self.on_wanted(session, &of.request);
        let conn = self.conn(client);
        let write = Write {
            client,
            conn: conn.map_or(0, |conn| conn.number),
            server: conn.map(|conn| conn.server),
            request: Rc::clone(&of.request),
            caller: Caller { session, users: of.users, local: false },
            order: self.writes_sent,
            answered_upto: of.answered_upto,
            txn: None,
            expected: None,
            judged: false,
            refused: None,
        };
        self.writes.insert((session, of.xid.0), write);
    }

    pub(super) fn on_received(&mut self, client: ClientId, message: &ClientMessage) {
        match message {
            ClientMessage::Connected(granted) => {
                let Some(known) = self.clients.get_mut(&client) else { return };
                let Some(conn) = &mut known.conn else { return };
                conn.granted = Some(granted.clone());
                // Sent before the session was known.
                let early: Vec<Pending> = conn.pending.iter().cloned().collect();
                for pending in early {
                    self.write_sent(client, granted.session.0, &pending);
                }
            }
            ClientMessage::Reply { xid, zxid, result } => {
                let answered = self.pair(client, *xid);
                if let Some(pending) = answered.pending.as_ref().filter(|p| is_write(&p.request)) {
                    let zxid = u64::try_from(*zxid).unwrap_or(0);
                    let session = self.conn(client).and_then(Conn::session).unwrap_or(0);
                    let key = (session, pending.xid.0);
                    if let Some(write) = self.writes.get_mut(&key) {
                        write.refused = result.as_ref().err().copied();
                        self.news.finished = write.txn.map(|_| key);
                    }
                    // A server alone with it names where it stands, which may be, without a quorum,
                    // where nobody ever gets to.
                    let here_only = *result == Err(ErrorCode::NOT_READ_ONLY)
                        || self.closes_locally(session, &pending.request);
                    if !here_only {
                        self.answered_upto = self.answered_upto.max(zxid);
                        if result.is_ok() {
                            self.succeeded_upto = self.succeeded_upto.max(zxid);
                        }
                    }
                }
                self.news.answered = Some(answered);
            }
            ClientMessage::Event { .. }
            | ClientMessage::LoginRefused { .. }
            | ClientMessage::Text(_) => {}
        }
    }

    /// Takes the request that a reply with `xid` answers. Auth may overtake, nothing else.
    fn pair(&mut self, client: ClientId, xid: Xid) -> Answered {
        let conn = self.clients.get_mut(&client).and_then(|known| known.conn.as_mut());
        let Some(conn) = conn else { return Answered { client, pending: None, in_turn: true } };
        if xid == Xid::AUTH {
            let at = conn.pending.iter().position(|pending| pending.xid == xid);
            let pending = at.and_then(|at| conn.pending.remove(at));
            // One that is refused ends the connection.
            if let Some(pending) = &pending {
                conn.heard.hear(&pending.request);
            }
            return Answered { client, pending, in_turn: true };
        }
        let pending = conn.pending.pop_front();
        let in_turn = pending.as_ref().is_some_and(|pending| pending.xid == xid);
        Answered { client, pending, in_turn }
    }
}
