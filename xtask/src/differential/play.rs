//! Carries out the steps of a case on one server, strictly one after the other: behind each step a
//! ping on every connection makes sure that nothing is on its way.

use std::net::SocketAddr;

use anyhow::{Context, Result, bail};
use zebu_core::ids::{SessionId, Zxid};
use zebu_core::proto::{ClientMessage, ConnectRequest, ErrorCode, Request, Response, WatcherEvent};

use super::client::{Connection, Heard};
use super::sequence::{Action, Credentials, QUOTA, SESSIONS, Step, placed};
use super::words::Words;

/// Far beyond what any case reaches.
const AHEAD: i64 = 1 << 30;
const TIMEOUT_MS: i32 = 40_000;
const SESSION_LETTERS: [&str; SESSIONS] = ["A", "B", "C"];

/// What came after one step.
#[derive(Debug, Default)]
pub(super) struct Said {
    /// To the step's session, up to its last reply.
    pub(super) own: Vec<Heard>,
    /// To each session, up to the ping's reply.
    pub(super) behind: Vec<(usize, Heard)>,
}

impl Said {
    /// The replies to the step's own requests, in their order.
    pub(super) fn replies(&self) -> Vec<(i64, &Result<Response, ErrorCode>)> {
        let reply = |heard| match heard {
            &Heard::Message { message: ClientMessage::Reply { zxid, ref result, .. }, .. } => {
                Some((zxid, result))
            }
            _ => None,
        };
        self.own.iter().filter_map(reply).collect()
    }
    /// Events, and to which session, where the step's own is `own`.
    pub(super) fn events(&self, own: usize) -> Vec<(usize, &WatcherEvent)> {
        let own = self.own.iter().map(|heard| (own, heard));
        let behind = self.behind.iter().map(|(session, heard)| (*session, heard));
        own.chain(behind).filter_map(|(session, heard)| Some((session, heard.event()?))).collect()
    }
    /// Brings the events that each session was told in one go into an order of their own.
    pub(super) fn sort_events(&mut self) {
        let key = |heard: &Heard| heard.event().map(|event| (event.path.clone(), event.kind));
        for events in self.own.chunk_by_mut(|a, b| a.event().is_some() && b.event().is_some()) {
            events.sort_by_key(key);
        }
        let together = |a: &(usize, Heard), b: &(usize, Heard)| {
            a.0 == b.0 && a.1.event().is_some() && b.1.event().is_some()
        };
        for events in self.behind.chunk_by_mut(together) {
            events.sort_by_key(|(_, heard)| key(heard));
        }
    }
}

#[derive(Default)]
struct Session {
    connection: Option<Connection>,
    id: Option<SessionId>,
    closed: Option<SessionId>,
    /// How many it was so far; part of its name.
    generation: u32,
}

/// One server, as seen by the sessions of one case.
pub(super) struct Player {
    server: SocketAddr,
    sessions: [Session; SESSIONS],
    pub(super) words: Words,
}

impl Player {
    /// Opens the sessions and makes the case's own directory, and the one of its quotas. `full` is
    /// there already.
    pub(super) fn enter(server: SocketAddr, directory: &str, full: String) -> Result<Self> {
        let sessions = Default::default();
        let mut player = Self { server, sessions, words: Words::default() };
        for session in 0..SESSIONS {
            player.connect(session, player.renewal(session))?;
        }
        player.make_directory(&format!("{QUOTA}{directory}"))?;
        let start = player.make_directory(directory)?;
        player.words.start_at(directory, full, start);
        Ok(player)
    }

    fn make_directory(&mut self, directory: &str) -> Result<i64> {
        let create = zebu_core::proto::CreateRequest {
            path: directory.into(),
            data: None,
            acl: zebu_core::proto::Acl::open(),
            flags: zebu_core::proto::create_flags::PERSISTENT,
        };
        let connection = self.sessions[0].connection.as_mut().context("just connected")?;
        connection.send(&[Request::Create(create)]);
        match connection.hear() {
            Heard::Message {
                message: ClientMessage::Reply { zxid, result: Ok(_), .. }, ..
            } => Ok(zxid),
            other => bail!("cannot create {directory}: {other:?}"),
        }
    }

    /// Closes what the case left open: a session that expires later uses a zxid of another case.
    pub(super) fn leave(mut self) -> Result<()> {
        for session in 0..SESSIONS {
            if self.sessions[session].connection.is_none() && self.sessions[session].id.is_some() {
                self.connect(session, self.renewal(session))?;
            }
            if let Some(connection) = &mut self.sessions[session].connection {
                connection.send(&[Request::CloseSession]);
                while !matches!(connection.hear(), Heard::End | Heard::Silence) {}
            }
        }
        Ok(())
    }

    pub(super) fn step(&mut self, step: &Step) -> Result<Said> {
        let mut said = Said::default();
        let session = step.session;
        // The second time is for a session that is no more.
        for _ in 0..2 {
            if self.sessions[session].connection.is_none() {
                said.own.extend(self.connect(session, self.renewal(session))?);
            }
        }
        match &step.action {
            Action::Ask(requests) => {
                let requests: Vec<_> = requests.iter().map(|r| self.placed(r)).collect();
                let closes = matches!(requests.last(), Some(Request::CloseSession));
                self.exchange(session, requests.len(), closes, &mut said, |c| c.send(&requests));
            }
            Action::Cut { request, lost } => {
                self.exchange_changed(session, request, &mut said, |body| {
                    body.truncate(body.len().saturating_sub(*lost));
                });
            }
            Action::Spoilt { request, at, byte } => {
                self.exchange_changed(session, request, &mut said, |body| {
                    if let Some(there) = body.get_mut(*at) {
                        *there = *byte;
                    }
                });
            }
            Action::Longer { request, more } => {
                self.exchange_changed(session, request, &mut said, |body| {
                    body.resize(body.len() + *more, 0xFF);
                });
            }
            Action::Raw { opcode, body } => {
                self.exchange(session, 1, false, &mut said, |connection| {
                    connection.send_changed(&Request::Unknown(*opcode), |empty| {
                        empty.extend(body);
                    });
                });
            }
            Action::Connect(credentials) => self.reconnect(session, *credentials, &mut said)?,
        }
        self.ping_all(session, &mut said);
        Ok(said)
    }

    fn placed(&self, request: &Request) -> Request {
        let mut request = placed(request, &|path| self.words.path_on_server(path));
        if let Request::SetWatches(set) = &mut request {
            let since = set.relative_zxid.to_wire();
            set.relative_zxid = Zxid::from_wire(self.words.zxid_on_server(since));
        }
        request
    }

    fn exchange(
        &mut self,
        session: usize,
        replies: usize,
        closes: bool,
        said: &mut Said,
        send: impl FnOnce(&mut Connection),
    ) {
        // Its server would not let it in: that has been said.
        let Some(connection) = &mut self.sessions[session].connection else { return };
        send(connection);
        let mut heard = hear_replies(connection, replies);
        if closes || heard.last().is_some_and(announces_end) {
            heard.push(connection.hear());
        }
        self.notice(session, &heard);
        said.own.extend(heard);
    }

    fn exchange_changed(
        &mut self,
        session: usize,
        request: &Request,
        said: &mut Said,
        change: impl FnOnce(&mut Vec<u8>),
    ) {
        let request = self.placed(request);
        let closes = matches!(request, Request::CloseSession);
        self.exchange(session, 1, closes, said, |c| c.send_changed(&request, change));
    }

    fn ping_all(&mut self, first: usize, said: &mut Said) {
        let turns: Vec<_> = (0..SESSIONS).map(|turn| (first + turn) % SESSIONS).collect();
        for &session in &turns {
            if let Some(connection) = &mut self.sessions[session].connection {
                connection.send(&[Request::Ping]);
            }
        }
        for session in turns {
            let Some(connection) = &mut self.sessions[session].connection else { continue };
            let heard = hear_replies(connection, 1);
            self.notice(session, &heard);
            said.behind.extend(heard.into_iter().map(|heard| (session, heard)));
        }
    }

    fn notice(&mut self, session: usize, heard: &[Heard]) {
        for heard in heard {
            match heard {
                Heard::End | Heard::Silence | Heard::Unreadable(_) => {
                    self.sessions[session].connection = None;
                }
                Heard::Message { .. } => {}
            }
        }
    }

    // ---- connections ----

    fn renewal(&self, session: usize) -> ConnectRequest {
        connect_request(self.sessions[session].id.unwrap_or_default())
    }

    /// Connects and makes that the session's connection, if the server lets it in.
    fn connect(&mut self, session: usize, request: ConnectRequest) -> Result<Vec<Heard>> {
        let mut connection = Connection::dial(self.server)?;
        connection.send_connect(request);
        let mut heard = vec![connection.hear()];
        let slot = &mut self.sessions[session];
        match &heard[0] {
            Heard::Message { message: ClientMessage::Connected(response), .. } => {
                if response.timeout_ms > 0 {
                    if slot.id != Some(response.session) {
                        slot.generation += 1;
                        let name = format!("{}{}", SESSION_LETTERS[session], slot.generation);
                        self.words.name_session(response.session.0 as i64, name);
                    }
                    slot.id = Some(response.session);
                    slot.connection = Some(connection);
                } else {
                    heard.push(connection.hear());
                    slot.closed = slot.id.take();
                }
            }
            _ => slot.connection = None,
        }
        Ok(heard)
    }

    fn reconnect(
        &mut self,
        session: usize,
        credentials: Credentials,
        said: &mut Said,
    ) -> Result<()> {
        let mut request = self.renewal(session);
        let slot = &mut self.sessions[session];
        match credentials {
            Credentials::Right => {}
            Credentials::NoReadOnlyByte => request.read_only = None,
            Credentials::Timeout(timeout_ms) => request.timeout_ms = timeout_ms,
            Credentials::Ahead => {
                let ahead = self.words.zxid_on_server(AHEAD);
                request.last_zxid_seen = Zxid::from_wire(ahead);
                said.own.extend(self.try_in_vain(request)?);
                return Ok(());
            }
            Credentials::Closed => {
                if let Some(closed) = slot.closed {
                    said.own.extend(self.try_in_vain(connect_request(closed))?);
                }
                return Ok(());
            }
            Credentials::WrongPassword => {
                request.password = vec![1; 16].into();
                said.own.extend(self.try_in_vain(request)?);
                // Upstream has closed the living connection before it looked at the password; we
                // have not. From here on there is a new one at both.
                request = self.renewal(session);
                self.sessions[session].connection = None;
            }
        }
        let old = self.sessions[session].connection.take();
        said.own.extend(self.connect(session, request)?);
        said.own.extend(old.map(|mut old| old.hear()));
        Ok(())
    }

    /// A connection that must not come into being.
    fn try_in_vain(&self, request: ConnectRequest) -> Result<[Heard; 2]> {
        let mut connection = Connection::dial(self.server)?;
        connection.send_connect(request);
        Ok([connection.hear(), connection.hear()])
    }
}

fn connect_request(session: SessionId) -> ConnectRequest {
    let password = match session {
        SessionId(0) => [0; 16],
        session => zebu_core::session::password(session),
    };
    ConnectRequest {
        protocol_version: 0,
        last_zxid_seen: Zxid::ZERO,
        timeout_ms: TIMEOUT_MS,
        session,
        password: password.to_vec().into(),
        read_only: Some(false),
    }
}

/// Does a server close the connection behind this?
fn announces_end(heard: &Heard) -> bool {
    let Heard::Message { message: ClientMessage::Reply { zxid, result, .. }, .. } = heard else {
        return false;
    };
    match result {
        Err(ErrorCode::AUTH_FAILED) => true,
        Err(ErrorCode::UNIMPLEMENTED) => *zxid == -1,
        _ => false,
    }
}

/// Up to the given number of replies, with the events between them.
fn hear_replies(connection: &mut Connection, mut replies: usize) -> Vec<Heard> {
    let mut all = Vec::new();
    while replies > 0 {
        let heard = connection.hear();
        match &heard {
            Heard::Message { message: ClientMessage::Event { .. }, .. } => {}
            Heard::Message { .. } => replies -= 1,
            Heard::End | Heard::Silence | Heard::Unreadable(_) => replies = 0,
        }
        all.push(heard);
    }
    all
}
