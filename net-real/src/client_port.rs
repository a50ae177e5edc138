//! The client port: a task for each client, between its socket and the inbox. What a request means
//! stands in core; here is only who may ask a four-letter word.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use tokio::net::TcpStream;
use tracing::{debug, info, warn};

use zebu_core::conn::client::{ClientConn, ClientMisbehaved};
use zebu_core::ids::ConnId;
use zebu_core::proto::{ClientMessage, ClientRequest, FourLetterWord, MultiResult, Response};

use crate::connection::{self, Ended, Machine, Reading, Terms};
use crate::inbox::Input;
use crate::machine;
use crate::outbox::{Outbox, Outgoing};
use crate::shared::Shared;

/// Serves one client to its end. The driver hears of the end whatever it is: a panic too.
pub(crate) async fn serve(stream: TcpStream, from: SocketAddr, shared: Arc<Shared>) {
    let conn = shared.next_conn();
    let outbox = Arc::new(Outbox::default());
    let _gone = Gone { conn, shared: shared.clone() };
    shared.inbox.push(Input::ConnOpen { conn, from, outbox: outbox.clone() });

    let settings = &shared.settings;
    let terms = Terms {
        handshake_timeout: settings.handshake_timeout,
        drain_timeout: settings.bounds.drain_timeout,
        in_flight_max: settings.config.limits.conn_queue_max,
        unsent_max: settings.bounds.client_outbox_pause,
        counts_messages: true,
    };
    let machine = ClientMachine {
        conn: ClientConn::new(&settings.config.limits),
        queue: Vec::new(),
        shared: shared.clone(),
    };
    let deliver = |requests: Vec<ClientRequest>, bytes: usize| {
        shared.traffic.received.fetch_add(bytes as u64, Relaxed);
        outbox.admit(requests.len());
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
                    let seen = machine::seen_for(word, settings, &shared.traffic);
                    shared.inbox.push(Input::Machine(Box::new(seen)));
                }
                true
            }
            _ => false,
        };
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
        ended @ Ended::Cut => info!("client {from} closed: {ended}"),
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

struct ClientMachine {
    conn: ClientConn,
    /// Backwards: the next one to encode is the last.
    queue: Vec<ClientMessage>,
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
    fn queue(&mut self, messages: &mut Vec<ClientMessage>) {
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
        const HEADER: usize = 64;
        let body = match self {
            Self::Connected(_) => 0,
            Self::Text(text) => text.len(),
            Self::Event { event, .. } => event.path.len(),
            Self::Reply { result: Err(_), .. } | Self::LoginRefused { .. } => 0,
            Self::Reply { result: Ok(response), .. } => match response {
                Response::Empty | Response::WatchAdded | Response::Stat(_) | Response::Count(_) => {
                    0
                }
                Response::Path(path) | Response::PathStat { path, .. } => path.len(),
                Response::Data { data, .. } | Response::Sasl { token: data } => {
                    data.as_ref().map_or(0, |data| data.len())
                }
                Response::Acl { acl, .. } => {
                    acl.iter().map(|acl| 16 + acl.id.scheme.len() + acl.id.id.len()).sum()
                }
                Response::Children(names)
                | Response::Children2 { children: names, .. }
                | Response::Ephemerals(names) => names_weight(names),
                Response::Identities(ids) => {
                    ids.iter().map(|id| 48 + id.scheme.len() + id.id.len()).sum()
                }
                Response::Multi(results) => results.iter().map(multi_weight).sum(),
            },
        };
        HEADER + body
    }
    fn settles(&self) -> bool {
        !matches!(self, Self::Event { .. })
    }
}

fn names_weight(names: &[String]) -> usize {
    names.iter().map(|name| 24 + name.len()).sum()
}

fn multi_weight(result: &MultiResult) -> usize {
    const EACH: usize = 88;
    match result {
        MultiResult::Create { path } | MultiResult::Create2 { path, .. } => EACH + path.len(),
        MultiResult::Data { data, .. } => EACH + data.as_ref().map_or(0, |data| data.len()),
        MultiResult::Children(names) => EACH + names_weight(names),
        MultiResult::Delete
        | MultiResult::SetData { .. }
        | MultiResult::Check
        | MultiResult::Error(_) => EACH,
    }
}
