//! The client port: a task for each client, between its socket and the inbox. What a request means
//! stands in core; here is only who may ask a four-letter word.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use tokio::net::TcpStream;
use tracing::{debug, info, warn};

use zebu_core::conn::client::{ClientConn, ClientMisbehaved};
use zebu_core::ids::ConnId;
use zebu_core::proto::{ClientMessage, ClientRequest, FourLetterWord};

use crate::connection::{self, Batch, Ended, Machine, Reading, Terms};
use crate::inbox::Input;
use crate::machine;
use crate::outbox::{Outbox, Outgoing};
use crate::shared::Shared;

/// Serves one client to its end. The driver hears of the end whatever it is: a panic too.
pub(crate) async fn serve(stream: TcpStream, from: SocketAddr, shared: Arc<Shared>) {
    let conn = shared.next_conn();
    let settings = &shared.settings;
    let limits = &settings.config.limits;
    let outbox = Arc::new(Outbox::new(shared.load.clone(), limits.unread_pause / 2));
    let _gone = Gone { conn, shared: shared.clone() };
    shared.inbox.push(Input::ConnOpen { conn, from, outbox: outbox.clone() });

    let terms = Terms {
        handshake_timeout: settings.handshake_timeout,
        drain_timeout: settings.bounds.drain_timeout,
        in_flight_max: limits.conn_queue_max,
        in_flight_bytes_max: settings.bounds.client_inflight_max,
    };
    let machine = ClientMachine {
        conn: ClientConn::new(limits),
        id: conn,
        queue: Vec::new(),
        session_timeout: None,
        shared: shared.clone(),
    };
    let deliver = |batch: Batch<ClientRequest>| {
        let Batch { messages: requests, lengths, bytes } = batch;
        shared.traffic.received.fetch_add(bytes as u64, Relaxed);
        outbox.admit(lengths);
        if let [ClientRequest::FourLetterWord(word)] = *requests
            && let Some(refusal) = refusal(word, &shared)
        {
            outbox.push(&mut vec![ClientMessage::Text(refusal)]);
            outbox.close();
            return Reading::Enough;
        }
        let word = match *requests {
            [ClientRequest::FourLetterWord(word)] => {
                if word.shows_machine() {
                    let seen = machine::seen_for(word, &shared);
                    shared.inbox.push(Input::Machine(Box::new(seen)));
                }
                true
            }
            _ => false,
        };
        shared.load.read(requests.len());
        shared.inbox.push(Input::Requests { conn, requests });
        // People close their end behind a word and still wait for the answer (`echo ruok | nc`).
        if word { Reading::Enough } else { Reading::On }
    };
    match connection::serve(stream, machine, Vec::new(), &outbox, &terms, deliver).await {
        Ended::Misbehaved(why) => warn!("client {from} closed: {why}"),
        Ended::Silent => {
            shared.traffic.silent.fetch_add(1, Relaxed);
            info!("client {from} closed: {}", Ended::Silent);
        }
        ended @ (Ended::Idle | Ended::Cut) => info!("client {from} closed: {ended}"),
        ended @ (Ended::Eof | Ended::Broken(_) | Ended::Closed) => debug!("client {from}: {ended}"),
    }
}

// ZK: FourLetterCommands.isEnabled, NopCommand (3.9)
fn refusal(word: FourLetterWord, shared: &Shared) -> Option<String> {
    let bytes = word.bytes();
    let word = String::from_utf8_lossy(&bytes);
    let allowed = shared.settings.four_letter_words.allows(&word);
    (!allowed).then(|| format!("{word} is not executed because it is not in the whitelist.\n"))
}

/// Reports the end of a connection when its task ends.
struct Gone {
    conn: ConnId,
    shared: Arc<Shared>,
}

impl Drop for Gone {
    fn drop(&mut self) {
        self.shared.inbox.push(Input::ConnGone { conn: self.conn });
    }
}

/// `RequestHeader`: what a frame has besides the request itself.
const HEADER: usize = 8;

struct ClientMachine {
    conn: ClientConn,
    id: ConnId,
    /// Backwards: the next one to encode is the last.
    queue: Vec<ClientMessage>,
    /// As it was negotiated.
    session_timeout: Option<Duration>,
    shared: Arc<Shared>,
}

impl Machine for ClientMachine {
    type In = ClientRequest;
    type Out = ClientMessage;
    type Fault = ClientMisbehaved;

    fn receive(&mut self, bytes: &[u8]) {
        self.conn.receive(bytes);
    }
    fn next(&mut self) -> Result<Option<ClientRequest>, ClientMisbehaved> {
        self.conn.next()
    }
    fn length(&self) -> usize {
        self.conn.frame_length().saturating_sub(HEADER)
    }
    fn announced(&self) -> Option<usize> {
        self.conn.announced()
    }
    fn idle_max(&self) -> Option<Duration> {
        self.session_timeout
    }
    fn drained(&mut self) {
        let conn = self.id;
        self.shared.inbox.push(Input::ConnDrained { conn });
    }
    fn queue(&mut self, messages: &mut Vec<ClientMessage>) {
        if let Some(ClientMessage::Connected(response)) = messages.first() {
            let ms = u64::try_from(response.timeout_ms).unwrap_or(0);
            // 0: the session is refused, and the connection ends anyway.
            self.session_timeout = (ms > 0).then(|| Duration::from_millis(ms));
        }
        debug_assert!(self.queue.is_empty(), "a writer takes more only when it has nothing left");
        self.queue.extend(messages.drain(..).rev());
    }
    fn write(&mut self, out: &mut Vec<u8>, target: usize) -> bool {
        while out.len() < target {
            let Some(message) = self.queue.pop() else { break };
            let before = out.len();
            self.conn.encode(&message, out);
            if let ClientMessage::Reply { .. } = message {
                self.shared.traffic.replied((out.len() - before) as u64);
            }
        }
        !self.queue.is_empty()
    }
}

impl Outgoing for ClientMessage {
    fn weight(&self) -> usize {
        Self::weight(self)
    }
    fn settles(&self) -> bool {
        !matches!(self, Self::Event { .. })
    }
}
