//! Codec runs: what the network carries as typed messages, passed through core's connections as
//! bytes, so that these stay honest under every cut of the stream.

use zebu_core::config::Limits;
use zebu_core::conn::client::ClientConn;
use zebu_core::conn::client_side::ClientSideConn;
use zebu_core::conn::election::{ElectionConn, ElectionInput};
use zebu_core::conn::learner::QuorumConn;
use zebu_core::ids::ServerId;
use zebu_core::server::{PeerMessage, Port};

use crate::net::{Parcel, Service, Side};

/// Both ends' machines of one connection.
#[derive(Clone, Debug)]
pub enum Wire {
    Client { client: ClientSideConn, server: ClientConn },
    Election { ends: [ElectionConn; 2], hello: Vec<u8> },
    Quorum { ends: [QuorumConn; 2] },
}

impl Wire {
    /// `dialler` is the server that dials; no matter for a client.
    pub fn new(service: Service, dialler: ServerId, address: &str, limits: &Limits) -> Self {
        match service {
            Service::Client => Self::Client {
                client: ClientSideConn::new(limits),
                server: ClientConn::new(limits),
            },
            Service::Peer(Port::Election) => {
                let (ours, hello) = ElectionConn::dialled(dialler, address, limits);
                Self::Election { ends: [ours, ElectionConn::accepted(limits)], hello }
            }
            Service::Peer(Port::Quorum | Port::ObserverMaster) => {
                Self::Quorum { ends: [QuorumConn::new(limits), QuorumConn::new(limits)] }
            }
        }
    }

    /// The bytes by which side `from` sends `parcel`.
    pub fn encode(&mut self, from: Side, parcel: Parcel) -> Vec<u8> {
        let mut out = Vec::new();
        match (self, parcel) {
            (Self::Client { client, .. }, Parcel::Request(request)) => {
                client.encode(&request, &mut out);
            }
            (Self::Client { server, .. }, Parcel::Reply(message)) => {
                server.encode(&message, &mut out);
            }
            (Self::Election { hello, .. }, Parcel::Hello(_)) => out = std::mem::take(hello),
            (Self::Election { ends, .. }, Parcel::Peer(PeerMessage::Election(message))) => {
                ends[from as usize].encode(&message, &mut out);
            }
            (Self::Quorum { ends }, Parcel::Peer(message)) => {
                let end = &mut ends[from as usize];
                end.queue(message);
                while end.write(&mut out, usize::MAX) {}
            }
            (wire, parcel) => unreachable!("{parcel:?} over {wire:?}"),
        }
        out
    }

    /// What side `to` makes of bytes that were honestly sent: anything unreadable is a mistake of
    /// the codecs.
    pub fn decode(&mut self, to: Side, bytes: &[u8]) -> Result<Vec<Parcel>, String> {
        let mut parcels = Vec::new();
        match self {
            Self::Client { client, .. } if to == Side::Dialler => {
                client.receive(bytes);
                while let Some(message) = client.next().map_err(|e| e.to_string())? {
                    parcels.push(Parcel::Reply(message));
                }
            }
            Self::Client { server, .. } => {
                server.receive(bytes);
                while let Some(request) = server.next().map_err(|e| e.to_string())? {
                    parcels.push(Parcel::Request(request));
                }
            }
            Self::Election { ends, .. } => {
                let end = &mut ends[to as usize];
                end.receive(bytes);
                while let Some(input) = end.next().map_err(|e| e.to_string())? {
                    parcels.push(match input {
                        ElectionInput::Hello { peer, .. } => Parcel::Hello(peer),
                        ElectionInput::Notification(n) => Parcel::Peer(PeerMessage::Election(n)),
                    });
                }
            }
            Self::Quorum { ends } => {
                let end = &mut ends[to as usize];
                end.receive(bytes);
                while let Some(message) = end.next().map_err(|e| e.to_string())? {
                    parcels.push(Parcel::Peer(message));
                }
            }
        }
        Ok(parcels)
    }
}
