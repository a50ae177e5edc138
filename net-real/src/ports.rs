//! Listening: binding a port that may still be taken, and accepting until told to stop, whatever runs
//! out meanwhile.

use std::fmt;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};
use tracing::warn;

use crate::settings::{Address, BindRetry};

/// Between two tries to bind.
const PAUSE: Duration = Duration::from_secs(1);
/// After an accept that failed: no file descriptors are left, say. Who waits to be accepted keeps the
/// port ready, so without it the loop would spin.
// ZK: NIOServerCnxnFactory.AcceptThread.pauseAccept (3.9)
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// Between two lines in the log about that.
const REMINDER: Duration = Duration::from_secs(10);

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
    options: SocketOptions,
) -> Result<TcpListener, BindError> {
    let mut tries: u32 = 0;
    loop {
        let error = match bind_once(address, options).await {
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

/// What a listening socket hands on to the connections that it accepts.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(madsim, expect(dead_code, reason = "its sockets have no options"))]
pub(crate) struct SocketOptions {
    pub(crate) backlog: Option<u32>,
    pub(crate) keepalive: bool,
}

#[cfg(not(madsim))]
const BACKLOG: u32 = 1024;

/// Every address means those of IPv6 too, as in Java, where the system has them. madsim has one
/// address for each node.
async fn bind_once(address: &Address, options: SocketOptions) -> io::Result<TcpListener> {
    if address.is_wildcard() && !cfg!(madsim) {
        let everywhere = Address::new("::", address.port);
        match listen(&everywhere, options).await {
            Err(error) if error.kind() != io::ErrorKind::AddrInUse => {}
            bound => return bound,
        }
    }
    listen(address, options).await
}

/// Listens on the first address of `address` that can be had.
#[cfg(not(madsim))]
async fn listen(address: &Address, options: SocketOptions) -> io::Result<TcpListener> {
    let mut last = None;
    for at in tokio::net::lookup_host(address.as_pair()).await? {
        let open = || {
            let socket = if at.is_ipv4() {
                tokio::net::TcpSocket::new_v4()
            } else {
                tokio::net::TcpSocket::new_v6()
            }?;
            // A port whose last connections still linger can be had again.
            socket.set_reuseaddr(true)?;
            // What it accepts inherits this.
            socket.set_keepalive(options.keepalive)?;
            socket.bind(at)?;
            socket.listen(options.backlog.unwrap_or(BACKLOG))
        };
        match open() {
            Ok(listener) => return Ok(listener),
            Err(error) => last = Some(error),
        }
    }
    Err(last.unwrap_or_else(|| io::ErrorKind::AddrNotAvailable.into()))
}

#[cfg(madsim)]
async fn listen(address: &Address, _: SocketOptions) -> io::Result<TcpListener> {
    TcpListener::bind(address.as_pair()).await
}

/// Spawns a task that accepts connections and spawns `serve` for each, at most `at_once` at a time,
/// until it is aborted. Who comes then waits in the backlog.
pub(crate) fn accept<F>(
    what: &'static str,
    listener: TcpListener,
    at_once: usize,
    serve: impl Fn(TcpStream, SocketAddr) -> F + Send + 'static,
) -> JoinHandle<()>
where
    F: Future<Output = ()> + Send + 'static,
{
    tokio::spawn(async move {
        let places = Arc::new(Semaphore::new(at_once.min(Semaphore::MAX_PERMITS)));
        let mut reminder = Reminder::default();
        loop {
            if places.available_permits() == 0 {
                reminder.warn(format_args!(
                    "{what} port: no file descriptors for more than {at_once} connections"
                ));
            }
            let Ok(place) = places.clone().acquire_owned().await else { return };
            match listener.accept().await {
                Ok((stream, from)) => {
                    let _ = stream.set_nodelay(true);
                    // An IPv4 address as people write it, on a socket of IPv6 too.
                    let from = SocketAddr::new(from.ip().to_canonical(), from.port());
                    let served = serve(stream, from);
                    tokio::spawn(async move {
                        served.await;
                        drop(place);
                    });
                }
                // One connection's trouble is not the port's.
                Err(error) if is_of_one(&error) => {}
                Err(error) => {
                    reminder.warn(format_args!("{what} port: cannot accept: {error}"));
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    })
}

fn is_of_one(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionReset | Interrupted)
}

/// Logs what would be logged with every connection, but not that often.
#[derive(Default)]
struct Reminder {
    last: Option<Instant>,
}

impl Reminder {
    fn warn(&mut self, what: fmt::Arguments<'_>) {
        if self.last.is_none_or(|last| last.elapsed() >= REMINDER) {
            self.last = Some(Instant::now());
            warn!("{what}");
        }
    }
}
