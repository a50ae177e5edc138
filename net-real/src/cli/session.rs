//! Core's client machine on a socket. A task for each connection reads and writes; everything else
//! happens in [`Session::next`], which may be dropped and called again at any await.

use std::collections::VecDeque;
use std::time::Duration;

use anyhow::anyhow;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::{Instant as TokioInstant, sleep_until, timeout};

use zebu_core::client::{
    CallId, Client, ClientAction, ClientConfig, ClientEvent, Outcome, SessionEvent,
};
use zebu_core::config::Limits;
use zebu_core::conn::client_side::ClientSideConn;
use zebu_core::ids::SessionId;
use zebu_core::proto::{ErrorCode, Request, Response, WatcherEvent};
use zebu_core::time::Instant;

use crate::settings::Address;

/// How long to wait for the server's word when leaving.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(1);

/// What the caller hears of.
pub(super) enum Happened {
    Answered(CallId, anyhow::Result<Response>),
    Watch(WatcherEvent),
    Session(SessionEvent),
}

pub(super) struct Session {
    client: Client,
    servers: Vec<Address>,
    zero: TokioInstant,
    connection: Option<Connection>,
    /// Counts connections: what an earlier one still says is not heard.
    connections: u64,
    events: mpsc::UnboundedReceiver<(u64, Event)>,
    sender: mpsc::UnboundedSender<(u64, Event)>,
    happened: VecDeque<Happened>,
    last_error: Option<String>,
}

struct Connection {
    conn: ClientSideConn,
    out: mpsc::UnboundedSender<Vec<u8>>,
}

enum Event {
    Connected,
    Bytes(Vec<u8>),
    Gone(String),
}

impl Session {
    pub(super) fn start(servers: Vec<Address>, session_timeout: Duration) -> anyhow::Result<Self> {
        let seed = getrandom::u64().map_err(|error| anyhow!("no randomness: {error}"))?;
        let config = ClientConfig {
            servers: servers.len(),
            session_timeout,
            seed,
            pipeline_max: 64,
            read_only: false,
        };
        let (sender, events) = mpsc::unbounded_channel();
        let client = Client::new(config, Instant(0));
        Ok(Self {
            client,
            servers,
            zero: TokioInstant::now(),
            connection: None,
            connections: 0,
            events,
            sender,
            happened: VecDeque::new(),
            last_error: None,
        })
    }

    pub(super) fn session(&self) -> Option<SessionId> {
        self.client.session()
    }
    /// Why the last connection ended.
    pub(super) fn last_error(&self) -> Option<&str> {
        self.last_error.as_deref()
    }
    pub(super) fn submit(&mut self, request: Request) -> CallId {
        let now = self.now();
        let call = self.client.submit(now, request);
        self.act();
        call
    }

    /// The next thing that happens.
    pub(super) async fn next(&mut self) -> Happened {
        loop {
            self.act();
            if let Some(happened) = self.happened.pop_front() {
                return happened;
            }
            let deadline = self.client.deadline().map(|at| self.zero + Duration::from_nanos(at.0));
            let alarm = async {
                match deadline {
                    Some(deadline) => sleep_until(deadline).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                event = self.events.recv() => {
                    if let Some((connection, event)) = event && connection == self.connections {
                        self.hear(event);
                    }
                }
                () = alarm => {
                    let now = self.now();
                    self.client.handle(now, ClientEvent::Wake);
                }
            }
        }
    }

    /// Ends the session, so that its ephemerals need not wait for its timeout.
    pub(super) async fn close(&mut self) {
        if self.session().is_none() {
            return;
        }
        let close = self.submit(Request::CloseSession);
        let closed = async {
            loop {
                match self.next().await {
                    Happened::Answered(call, _) if call == close => break,
                    Happened::Session(SessionEvent::Closed) => break,
                    Happened::Answered(..) | Happened::Session(_) | Happened::Watch(_) => {}
                }
            }
        };
        let _ = timeout(LEAVE_TIMEOUT, closed).await;
    }

    fn now(&self) -> Instant {
        Instant(self.zero.elapsed().as_nanos() as u64)
    }

    fn hear(&mut self, event: Event) {
        let now = self.now();
        match event {
            Event::Connected => self.client.handle(now, ClientEvent::Connected),
            Event::Gone(why) => self.gone(why),
            Event::Bytes(bytes) => {
                let Some(connection) = &mut self.connection else { return };
                connection.conn.receive(&bytes);
                loop {
                    // Dropped by what the last message made the client do.
                    let Some(connection) = &mut self.connection else { return };
                    match connection.conn.next() {
                        Ok(Some(message)) => {
                            self.client.handle(now, ClientEvent::Received(message));
                            self.act();
                        }
                        Ok(None) => return,
                        Err(fault) => return self.gone(fault.to_string()),
                    }
                }
            }
        }
    }

    fn gone(&mut self, why: String) {
        self.connection = None;
        self.last_error = Some(why);
        let now = self.now();
        self.client.handle(now, ClientEvent::Disconnected);
    }

    /// Does what the machine wants done.
    fn act(&mut self) {
        while let Some(action) = self.client.poll() {
            match action {
                ClientAction::Connect { server } => self.connect(server),
                ClientAction::Disconnect => self.connection = None,
                ClientAction::Send(request) => {
                    if let Some(connection) = &mut self.connection {
                        let mut bytes = Vec::new();
                        connection.conn.encode(&request, &mut bytes);
                        // A task that is gone has said so.
                        let _ = connection.out.send(bytes);
                    }
                }
                ClientAction::Completed { call, outcome } => {
                    self.happened.push_back(Happened::Answered(call, answer(outcome)));
                }
                ClientAction::Watch { event, .. } => {
                    self.happened.push_back(Happened::Watch(event));
                }
                ClientAction::Session(event) => self.happened.push_back(Happened::Session(event)),
            }
        }
    }

    fn connect(&mut self, server: usize) {
        self.connections += 1;
        let (out, outgoing) = mpsc::unbounded_channel();
        self.connection = Some(Connection { conn: ClientSideConn::new(&Limits::default()), out });
        let (number, sender) = (self.connections, self.sender.clone());
        let address = self.servers[server].clone();
        tokio::spawn(async move {
            let why = match serve(&address, outgoing, |event| {
                // Nobody listens any more when the program ends.
                let _ = sender.send((number, event));
            })
            .await
            {
                Ok(()) => format!("{address} closed the connection"),
                Err(error) => format!("{address}: {error}"),
            };
            let _ = sender.send((number, Event::Gone(why)));
        });
    }
}

/// The server's own word.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct Refused(pub(super) ErrorCode);

fn answer(outcome: Outcome) -> anyhow::Result<Response> {
    match outcome {
        Outcome::Replied { result, .. } => Ok(result.map_err(Refused)?),
        Outcome::Unknown => {
            Err(anyhow!("the connection broke: it may have been carried out, or not"))
        }
        Outcome::NotSent => Err(anyhow!("not sent: the session is over")),
    }
}

/// One connection, until either side ends it: ours by dropping the sender of `outgoing`.
async fn serve(
    address: &Address,
    mut outgoing: mpsc::UnboundedReceiver<Vec<u8>>,
    tell: impl Fn(Event),
) -> std::io::Result<()> {
    let mut stream = TcpStream::connect(address.as_pair()).await?;
    stream.set_nodelay(true)?;
    tell(Event::Connected);
    let mut buffer = vec![0; 16 << 10];
    loop {
        tokio::select! {
            bytes = outgoing.recv() => match bytes {
                Some(bytes) => stream.write_all(&bytes).await?,
                None => return Ok(()),
            },
            length = stream.read(&mut buffer) => match length? {
                0 => return Ok(()),
                length => tell(Event::Bytes(buffer[..length].to_vec())),
            },
        }
    }
}
