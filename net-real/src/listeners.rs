//! The ports of one server: opened at its start, and at another address when a reconfiguration says
//! so.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tracing::{error, info};

use zebu_core::server::Port;

use crate::ports::{self, BindError, SocketOptions};
use crate::settings::{Address, ServerSettings, SocketSettings};
use crate::shared::Shared;
use crate::{client_port, peer_link};

/// Who is expected on a port.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Expected {
    Clients,
    Peers(Port),
}

impl Expected {
    fn name(self) -> &'static str {
        match self {
            Self::Clients => "client",
            Self::Peers(Port::Election) => "election",
            Self::Peers(Port::Quorum) => "quorum",
            Self::Peers(Port::ObserverMaster) => "observer master",
        }
    }

    async fn open(
        self,
        address: &Address,
        settings: &ServerSettings,
    ) -> Result<TcpListener, BindError> {
        let SocketSettings { backlog, client_keepalive, peer_keepalive } = settings.sockets;
        let options = match self {
            Self::Clients => SocketOptions { backlog, keepalive: client_keepalive },
            Self::Peers(_) => SocketOptions { backlog: None, keepalive: peer_keepalive },
        };
        ports::bind(self.name(), address, settings.bind_retry, options).await
    }

    fn accept(self, listener: TcpListener, shared: Arc<Shared>) -> JoinHandle<()> {
        match self {
            Self::Clients => {
                let at_once = conns_at_once(shared.settings.bounds.spare_files);
                ports::accept(self.name(), listener, at_once, move |stream, from| {
                    client_port::serve(stream, from, shared.clone())
                })
            }
            Self::Peers(port) => {
                ports::accept(self.name(), listener, usize::MAX, move |stream, from| {
                    peer_link::accepted(stream, from, port, shared.clone())
                })
            }
        }
    }
}

/// One port, if it is open or about to be.
#[derive(Debug)]
struct Listening {
    expected: Expected,
    address: Option<Address>,
    task: Option<JoinHandle<()>>,
}

impl Listening {
    fn stop(&mut self) {
        if let Some(task) = self.task.take() {
            task.abort();
        }
        self.address = None;
    }
}

#[derive(Debug)]
pub(crate) struct Listeners {
    ports: [Listening; 4],
    shared: Arc<Shared>,
    /// With the port that the system chose if the settings said 0.
    client: Option<SocketAddr>,
}

impl Listeners {
    /// The peers' ports first: who can reach the client port can be served.
    pub(crate) async fn open(shared: &Arc<Shared>) -> Result<Self, BindError> {
        let settings = &shared.settings;
        let wanted = [
            (Expected::Peers(Port::Election), &settings.election),
            (Expected::Peers(Port::Quorum), &settings.quorum),
            (Expected::Peers(Port::ObserverMaster), &settings.observer_master),
            (Expected::Clients, &settings.client),
        ];
        let mut bound = Vec::with_capacity(wanted.len());
        for (expected, address) in wanted {
            let listener = match address {
                Some(address) => Some(expected.open(address, settings).await?),
                None => None,
            };
            bound.push((expected, address.clone(), listener));
        }
        let of_clients = bound.last().and_then(|(_, _, listener)| listener.as_ref());
        let client = of_clients.and_then(|listener| listener.local_addr().ok());
        // Nobody is accepted before all can be.
        let mut ports = bound.into_iter().map(|(expected, address, listener)| Listening {
            expected,
            address,
            task: listener.map(|listener| expected.accept(listener, shared.clone())),
        });
        let mut next = || ports.next().expect("as many as were wanted");
        let ports = [next(), next(), next(), next()];
        Ok(Self { ports, shared: shared.clone(), client })
    }

    pub(crate) fn client_address(&self) -> Option<SocketAddr> {
        self.client
    }

    /// Listens at `address` from now on, and nowhere else; whoever is connected stays so.
    // ZK: NIOServerCnxnFactory.reconfigure (3.9)
    pub(crate) fn listen_at(&mut self, expected: Expected, address: Option<Address>) {
        let Some(port) = self.ports.iter_mut().find(|port| port.expected == expected) else {
            return;
        };
        if port.address == address {
            return;
        }
        port.stop();
        let Some(address) = address else { return };
        info!("{} port: listening on {address} from now on", expected.name());
        if expected == Expected::Clients {
            self.client = address.host.parse().ok().map(|ip| SocketAddr::new(ip, address.port));
        }
        port.address = Some(address.clone());
        let shared = self.shared.clone();
        port.task = Some(tokio::spawn(async move {
            match expected.open(&address, &shared.settings).await {
                Ok(listener) => {
                    let _ended = Aborting(expected.accept(listener, shared)).await_end().await;
                }
                Err(error) => error!("{error}"),
            }
        }));
    }

    /// Takes nobody any more.
    pub(crate) fn stop(&mut self) {
        self.ports.iter_mut().for_each(Listening::stop);
    }
}

/// A task that ends with whoever waits for it.
struct Aborting(JoinHandle<()>);

impl Aborting {
    async fn await_end(mut self) {
        let _ = (&mut self.0).await;
    }
}

impl Drop for Aborting {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Clients that can be connected and leave `spare` files to be opened: a server that cannot open its
/// next log must stop.
fn conns_at_once(spare: usize) -> usize {
    #[cfg(not(madsim))]
    let files = crate::files::limit();
    #[cfg(madsim)]
    let files = usize::MAX;
    files.saturating_sub(spare).max(1)
}
