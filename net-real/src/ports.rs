//! Listening: binding a port that may still be taken, and accepting until told to stop.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::sleep;
use tracing::warn;

use crate::settings::{Address, BindRetry};

/// Between two tries to bind, and after an accept that failed (no file descriptors left, say).
const PAUSE: Duration = Duration::from_secs(1);

/// A port could not be opened.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address} ({what}): {error}{}", hint(.error))]
pub struct BindError {
    pub what: &'static str,
    pub address: Address,
    pub error: io::Error,
}

fn hint(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse => "; is another server running?",
        io::ErrorKind::AddrNotAvailable => {
            "; it is not an address of this machine (behind NAT, set quorumListenOnAllIPs=true)"
        }
        io::ErrorKind::PermissionDenied => "; ports below 1024 need privileges",
        _ => "",
    }
}

/// Binds `address`, trying again while the port is taken.
// ZK: QuorumCnxManager.Listener.ListenerHandler.createNewServerSocket (3.9)
pub(crate) async fn bind(
    what: &'static str,
    address: &Address,
    retry: BindRetry,
) -> Result<TcpListener, BindError> {
    let mut tries: u32 = 0;
    loop {
        let error = match bind_once(address).await {
            Ok(listener) => return Ok(listener),
            Err(error) => error,
        };
        tries = tries.saturating_add(1);
        let again = match retry {
            BindRetry::Forever => true,
            BindRetry::Times(times) => tries <= times,
        };
        if error.kind() != io::ErrorKind::AddrInUse || !again {
            return Err(BindError { what, address: address.clone(), error });
        }
        warn!("{what} port {address} is taken, trying again in {} s", PAUSE.as_secs());
        sleep(PAUSE).await;
    }
}

/// Every address means those of IPv6 too, as in Java, where the system has them. madsim has one
/// address for each node.
async fn bind_once(address: &Address) -> io::Result<TcpListener> {
    if address.is_wildcard() && !cfg!(madsim) {
        match TcpListener::bind(("::", address.port)).await {
            Err(error) if error.kind() != io::ErrorKind::AddrInUse => {}
            bound => return bound,
        }
    }
    TcpListener::bind(address.as_pair()).await
}

/// Spawns a task that accepts connections and spawns `serve` for each, until it is aborted.
pub(crate) fn accept<F>(
    what: &'static str,
    listener: TcpListener,
    serve: impl Fn(TcpStream, SocketAddr) -> F + Send + 'static,
) -> JoinHandle<()>
where
    F: Future<Output = ()> + Send + 'static,
{
    tokio::spawn(async move {
        loop {
            match listener.accept().await {
                Ok((stream, from)) => {
                    let _ = stream.set_nodelay(true);
                    // An IPv4 address as people write it, on a socket of IPv6 too.
                    let from = SocketAddr::new(from.ip().to_canonical(), from.port());
                    tokio::spawn(serve(stream, from));
                }
                Err(error) => {
                    warn!("{what} port: cannot accept: {error}");
                    sleep(PAUSE).await;
                }
            }
        }
    })
}
