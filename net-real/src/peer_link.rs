//! Connections between servers: a task for each election link and each quorum link, accepted or
//! dialled. Who keeps which connection is core's decision; here a link comes up once the other side
//! is known (election) or at once (quorum), and ends.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::timeout;
use tracing::{debug, info, warn};

use zebu_core::conn::election::{ElectionConn, ElectionInput, ElectionMisbehaved};
use zebu_core::conn::learner::{PeerMisbehaved, QuorumConn};
use zebu_core::ids::{LinkId, ServerId};
use zebu_core::proto::{Notification, QuorumPacket};
use zebu_core::server::{PeerMessage, Port};

use crate::connection::{self, Batch, Ended, Machine, Reading, Terms};
use crate::inbox::{Input, LinkUp};
use crate::outbox::{Outbox, Outgoing};
use crate::settings::Address;
use crate::shared::Shared;

/// Bytes of one link that may wait for core's turn before the link is read no further.
const IN_FLIGHT_MAX: usize = 8 << 20;

/// Serves a link that a peer dialled.
pub(crate) async fn accepted(stream: TcpStream, from: SocketAddr, port: Port, shared: Arc<Shared>) {
    let limits = &shared.settings.config.limits;
    let link = Link::new(port, None, &from.to_string(), &shared);
    let ended = match port {
        Port::Election => {
            let machine = ElectionConn::accepted(limits);
            link.serve(stream, ElectionMachine::new(machine), Vec::new()).await
        }
        Port::Quorum | Port::ObserverMaster => {
            link.up(None, None);
            link.serve(stream, QuorumConn::new(limits), Vec::new()).await
        }
    };
    log_end(&link.name, &ended);
}

/// Connects to a peer, and serves the link if that works.
pub(crate) async fn dial(to: ServerId, port: Port, address: Address, shared: Arc<Shared>) {
    let connecting = TcpStream::connect(address.as_pair());
    let failed = |why| shared.inbox.push(Input::DialFailed { to, port, why });
    let stream = match timeout(shared.settings.dial_timeout, connecting).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return failed(format!("{address}: {error}")),
        Err(_) => return failed(format!("{address}: no answer in time")),
    };
    let _ = stream.set_nodelay(true);
    #[cfg(not(madsim))]
    if shared.settings.sockets.peer_keepalive {
        let _ = rustix::net::sockopt::set_socket_keepalive(&stream, true);
    }

    let config = &shared.settings.config;
    let link = Link::new(port, Some(to), &format!("server {to} at {address}"), &shared);
    link.up(Some(to), None);
    let ended = match port {
        Port::Election => {
            let ours = config.ensemble.election_address(config.my_id).unwrap_or_default();
            let (machine, hello) = ElectionConn::dialled(config.my_id, &ours, &config.limits);
            link.serve(stream, ElectionMachine::new(machine), hello).await
        }
        Port::Quorum | Port::ObserverMaster => {
            link.serve(stream, QuorumConn::new(&config.limits), Vec::new()).await
        }
    };
    log_end(&link.name, &ended);
}

fn log_end(name: &str, ended: &Ended) {
    match ended {
        Ended::Misbehaved(why) => warn!("{name} closed: {why}"),
        Ended::Silent | Ended::Idle => info!("{name} closed: {ended}"),
        Ended::Eof | Ended::Broken(_) | Ended::Closed | Ended::Cut => debug!("{name}: {ended}"),
    }
}

/// A link from its coming up to its end, whatever ends its task.
struct Link {
    id: LinkId,
    port: Port,
    dialled: Option<ServerId>,
    /// For logs.
    name: String,
    is_up: AtomicBool,
    outbox: Arc<Outbox<PeerMessage>>,
    shared: Arc<Shared>,
}

impl Link {
    fn new(port: Port, dialled: Option<ServerId>, with: &str, shared: &Arc<Shared>) -> Self {
        let kind = match port {
            Port::Election => "election",
            Port::Quorum => "quorum",
            Port::ObserverMaster => "observer",
        };
        Self {
            name: format!("{kind} link with {with}"),
            id: shared.next_link(),
            port,
            dialled,
            is_up: AtomicBool::new(false),
            outbox: Arc::default(),
            shared: shared.clone(),
        }
    }

    fn up(&self, peer: Option<ServerId>, address: Option<Address>) {
        self.is_up.store(true, Relaxed);
        let dialled = self.dialled.is_some();
        let up = LinkUp { port: self.port, peer, dialled, name: self.name.clone(), address };
        self.shared.inbox.push(Input::LinkUp { link: self.id, up, outbox: self.outbox.clone() });
    }

    async fn serve<M>(&self, stream: TcpStream, machine: M, greeting: Vec<u8>) -> Ended
    where
        M: Machine<In = Heard, Out = PeerMessage>,
    {
        let settings = &self.shared.settings;
        // A silent dialler is cut; an acceptor owes no first word (an election peer may have
        // nothing to say), and core has its own timeouts for it.
        let handshake_timeout = match self.dialled {
            None => settings.handshake_timeout,
            Some(_) => Duration::from_secs(365 * 24 * 3600),
        };
        let terms = Terms {
            handshake_timeout,
            drain_timeout: settings.bounds.drain_timeout,
            in_flight_max: usize::MAX,
            in_flight_bytes_max: IN_FLIGHT_MAX,
        };
        let deliver = |batch: Batch<Heard>| {
            let mut messages = Vec::with_capacity(batch.messages.len());
            for heard in batch.messages {
                match heard {
                    Heard::Hello { peer, address } => self.up(Some(peer), address),
                    Heard::Message(message) => messages.push(message),
                }
            }
            if !messages.is_empty() {
                // Settled together, when core has been told of them.
                self.outbox.admit([batch.bytes]);
                self.shared.inbox.push(Input::Messages { link: self.id, messages });
            }
            Reading::On
        };
        connection::serve(stream, machine, greeting, &self.outbox, &terms, deliver).await
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        if *self.is_up.get_mut() {
            self.shared.inbox.push(Input::LinkDown { link: self.id });
        }
    }
}

/// What comes over a link.
pub(crate) enum Heard {
    Hello { peer: ServerId, address: Option<Address> },
    Message(PeerMessage),
}

struct ElectionMachine {
    conn: ElectionConn,
    /// The last message alone is worth sending: each one tells a server's whole vote.
    // ZK: QuorumCnxManager.SEND_CAPACITY (3.9)
    latest: Option<Notification>,
}

impl ElectionMachine {
    fn new(conn: ElectionConn) -> Self {
        Self { conn, latest: None }
    }
}

impl Machine for ElectionMachine {
    type In = Heard;
    type Out = PeerMessage;
    type Fault = ElectionMisbehaved;

    fn receive(&mut self, bytes: &[u8]) {
        self.conn.receive(bytes);
    }
    fn next(&mut self) -> Result<Option<Heard>, ElectionMisbehaved> {
        Ok(self.conn.next()?.map(|input| match input {
            ElectionInput::Hello { peer, address } => {
                Heard::Hello { peer, address: Address::parse(&address) }
            }
            ElectionInput::Notification(message) => Heard::Message(PeerMessage::Election(message)),
        }))
    }
    fn queue(&mut self, messages: &mut Vec<PeerMessage>) {
        for message in messages.drain(..) {
            match message {
                PeerMessage::Election(notification) => self.latest = Some(notification),
                PeerMessage::Quorum(_) | PeerMessage::Snapshot(_) => {
                    unreachable!("core sends quorum packets on quorum links only")
                }
            }
        }
    }
    fn write(&mut self, out: &mut Vec<u8>, _target: usize) -> bool {
        if let Some(notification) = self.latest.take() {
            self.conn.encode(&notification, out);
        }
        false
    }
}

impl Machine for QuorumConn {
    type In = Heard;
    type Out = PeerMessage;
    type Fault = PeerMisbehaved;

    fn receive(&mut self, bytes: &[u8]) {
        Self::receive(self, bytes);
    }
    fn next(&mut self) -> Result<Option<Heard>, PeerMisbehaved> {
        Ok(Self::next(self)?.map(Heard::Message))
    }
    fn queue(&mut self, messages: &mut Vec<PeerMessage>) {
        for message in messages.drain(..) {
            Self::queue(self, message);
        }
    }
    fn write(&mut self, out: &mut Vec<u8>, target: usize) -> bool {
        Self::write(self, out, target)
    }
}

impl Outgoing for PeerMessage {
    fn weight(&self) -> usize {
        const PACKET: usize = 64;
        match self {
            Self::Election(notification) => PACKET + notification.config.len(),
            // Encoded piece by piece from chunks that the tree shares.
            Self::Snapshot(_) => PACKET,
            Self::Quorum(packet) => PACKET + packet_weight(packet),
        }
    }
    fn settles(&self) -> bool {
        false
    }
}

/// About the payload of the packets that have a large one.
fn packet_weight(packet: &QuorumPacket) -> usize {
    match packet {
        QuorumPacket::Proposal(entry)
        | QuorumPacket::Inform(entry)
        | QuorumPacket::InformAndActivate { entry, .. } => entry.payload.len(),
        QuorumPacket::Request(_) => 1024,
        QuorumPacket::PingReply { touched, .. } => 16 * touched.len(),
        QuorumPacket::NewLeader { config, .. } => config.len(),
        QuorumPacket::Ack { .. }
        | QuorumPacket::Commit { .. }
        | QuorumPacket::Ping { .. }
        | QuorumPacket::Revalidate { .. }
        | QuorumPacket::Revalidated { .. }
        | QuorumPacket::Sync
        | QuorumPacket::CommitAndActivate { .. }
        | QuorumPacket::FollowerInfo { .. }
        | QuorumPacket::UpToDate
        | QuorumPacket::Diff { .. }
        | QuorumPacket::Trunc { .. }
        | QuorumPacket::Snap { .. }
        | QuorumPacket::ObserverInfo { .. }
        | QuorumPacket::LeaderInfo { .. }
        | QuorumPacket::AckEpoch { .. } => 0,
    }
}
