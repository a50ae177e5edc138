//! One connection of any kind: a task that owns a stream, feeds what it reads to one of core's
//! connection machines and writes what waits in its [`Outbox`]. Which messages there are, and what
//! they mean, stands in core; what happens to a whole connection, in [`crate::client_port`] and
//! [`crate::peer_link`].

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::time::{sleep, timeout};

use crate::outbox::{Outbox, Outgoing};

/// Bytes of the read buffer while little comes, and while much does.
const BUFFER_IDLE: usize = 4 << 10;
const BUFFER_BUSY: usize = 64 << 10;
/// Bytes encoded before the socket is asked to take them.
const WRITE_TARGET: usize = 64 << 10;
/// How long a closed connection waits for the other side's end, so that a reset does not overtake
/// the last bytes sent.
const LINGER: Duration = Duration::from_secs(1);

/// One of core's connection machines.
pub(crate) trait Machine: Send {
    type In: Send;
    type Out: Outgoing + Send;
    type Fault: fmt::Display;

    fn receive(&mut self, bytes: &[u8]);
    fn next(&mut self) -> Result<Option<Self::In>, Self::Fault>;
    /// Takes over messages to send.
    fn queue(&mut self, messages: &mut Vec<Self::Out>);
    /// Appends to `out` until it holds `target` bytes or nothing is left; is more waiting?
    fn write(&mut self, out: &mut Vec<u8>, target: usize) -> bool;
}

/// What a connection is allowed.
#[derive(Clone, Debug)]
pub(crate) struct Terms {
    /// To say the first whole message.
    pub(crate) handshake_timeout: Duration,
    /// To take what waits after core closed it.
    pub(crate) drain_timeout: Duration,
    /// Reading pauses while so much is in flight, or while so much waits to be sent.
    pub(crate) in_flight_max: usize,
    pub(crate) unsent_max: usize,
    /// Is it messages that are in flight (a client's requests), or bytes?
    pub(crate) counts_messages: bool,
}

/// Should more be read?
pub(crate) enum Reading {
    On,
    /// The other side has said all that will be heard.
    Enough,
}

/// Why a connection ended.
#[derive(Debug)]
pub(crate) enum Ended {
    /// The other side closed it.
    Eof,
    Broken(std::io::Error),
    Misbehaved(String),
    /// It never said a whole message.
    Silent,
    /// We closed it, and everything was sent.
    Closed,
    /// We closed it, and it did not take everything in time; or it was cut.
    Cut,
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Eof => f.write_str("closed by the other side"),
            Self::Broken(error) => write!(f, "broken: {error}"),
            Self::Misbehaved(why) => f.write_str(why),
            Self::Silent => f.write_str("no whole first message in time"),
            Self::Closed => f.write_str("closed"),
            Self::Cut => f.write_str("cut with messages unsent"),
        }
    }
}

/// Serves one connection to its end. `deliver` gets the messages of each read with its length.
pub(crate) async fn serve<S, M>(
    stream: S,
    machine: M,
    greeting: Vec<u8>,
    outbox: &Outbox<M::Out>,
    terms: &Terms,
    deliver: impl FnMut(Vec<M::In>, usize) -> Reading,
) -> Ended
where
    S: AsyncRead + AsyncWrite,
    M: Machine,
{
    let (mut read, write) = tokio::io::split(stream);
    let machine = Mutex::new(machine);
    let ended = tokio::select! {
        biased;
        () = outbox.cut_off() => Ended::Cut,
        () = async { outbox.closing().await; sleep(terms.drain_timeout).await } => Ended::Cut,
        ended = write_all(write, &machine, greeting, outbox) => ended,
        ended = read_all(&mut read, &machine, outbox, terms, deliver) => ended,
    };
    if matches!(ended, Ended::Closed) {
        let mut rest = [0; 512];
        let _ = timeout(LINGER, async { while let Ok(1..) = read.read(&mut rest).await {} }).await;
    }
    ended
}

fn lock<M>(machine: &Mutex<M>) -> MutexGuard<'_, M> {
    machine.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn write_all<S, M>(
    mut stream: WriteHalf<S>,
    machine: &Mutex<M>,
    greeting: Vec<u8>,
    outbox: &Outbox<M::Out>,
) -> Ended
where
    S: AsyncWrite,
    M: Machine,
{
    let mut bytes = greeting;
    let mut messages = Vec::new();
    if !bytes.is_empty()
        && let Err(error) = send(&mut stream, &mut bytes).await
    {
        return Ended::Broken(error);
    }
    loop {
        let taken = outbox.take(&mut messages).await;
        lock(machine).queue(&mut messages);
        loop {
            let more = lock(machine).write(&mut bytes, WRITE_TARGET);
            if let Err(error) = send(&mut stream, &mut bytes).await {
                return Ended::Broken(error);
            }
            if !more {
                break;
            }
        }
        outbox.written(taken);
        if taken.last {
            return match stream.shutdown().await {
                Ok(()) => Ended::Closed,
                Err(error) => Ended::Broken(error),
            };
        }
    }
}

/// Flushes always: madsim's sockets send nothing before.
async fn send<S: AsyncWrite>(
    stream: &mut WriteHalf<S>,
    bytes: &mut Vec<u8>,
) -> std::io::Result<()> {
    stream.write_all(bytes).await?;
    stream.flush().await?;
    bytes.clear();
    // A long answer's buffer is not kept for an idle connection.
    bytes.shrink_to(BUFFER_IDLE);
    Ok(())
}

async fn read_all<S, M>(
    stream: &mut ReadHalf<S>,
    machine: &Mutex<M>,
    outbox: &Outbox<M::Out>,
    terms: &Terms,
    mut deliver: impl FnMut(Vec<M::In>, usize) -> Reading,
) -> Ended
where
    S: AsyncRead,
    M: Machine,
{
    let first = read_batch(stream, machine, outbox, terms, &mut deliver, Until::FirstMessage);
    match timeout(terms.handshake_timeout, first).await {
        Ok(Ok(Reading::On)) => {}
        Ok(Ok(Reading::Enough)) => return silence(terms).await,
        Ok(Err(ended)) => return ended,
        Err(_) => return Ended::Silent,
    }
    match read_batch(stream, machine, outbox, terms, &mut deliver, Until::End).await {
        Ok(_) => silence(terms).await,
        Err(ended) => ended,
    }
}

/// Reads no more: what waits for the other side goes out, and then core closes.
async fn silence(terms: &Terms) -> Ended {
    sleep(terms.handshake_timeout).await;
    Ended::Cut
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Until {
    FirstMessage,
    End,
}

async fn read_batch<S, M>(
    stream: &mut ReadHalf<S>,
    machine: &Mutex<M>,
    outbox: &Outbox<M::Out>,
    terms: &Terms,
    deliver: &mut impl FnMut(Vec<M::In>, usize) -> Reading,
    until: Until,
) -> Result<Reading, Ended>
where
    S: AsyncRead,
    M: Machine,
{
    let mut buffer = vec![0; BUFFER_IDLE];
    let mut unreported = 0;
    loop {
        let length = match stream.read(&mut buffer).await {
            Ok(0) => return Err(Ended::Eof),
            Ok(length) => length,
            Err(error) => return Err(Ended::Broken(error)),
        };
        unreported += length;
        lock(machine).receive(&buffer[..length]);
        let mut some = false;
        loop {
            let room = outbox.room(terms.in_flight_max, terms.unsent_max).await;
            let batch_max = if terms.counts_messages { room } else { usize::MAX };
            let (messages, fault) = decode(machine, batch_max);
            let full = messages.len() == batch_max;
            if !messages.is_empty() {
                some = true;
                let reading = deliver(messages, std::mem::take(&mut unreported));
                if matches!(reading, Reading::Enough) {
                    return Ok(reading);
                }
            }
            if let Some(fault) = fault {
                return Err(Ended::Misbehaved(fault));
            }
            if !full {
                break;
            }
        }
        if some && until == Until::FirstMessage {
            return Ok(Reading::On);
        }
        // Much comes: read more at once. Little comes: keep little.
        if length == buffer.len() {
            buffer.resize((4 * length).min(BUFFER_BUSY), 0);
        } else if length < BUFFER_IDLE && buffer.len() > BUFFER_IDLE {
            buffer.truncate(BUFFER_IDLE);
            buffer.shrink_to_fit();
        }
    }
}

/// Whole messages of what came, and why there will be no more if there will not.
fn decode<M: Machine>(machine: &Mutex<M>, batch_max: usize) -> (Vec<M::In>, Option<String>) {
    let mut machine = lock(machine);
    let mut messages = Vec::new();
    while messages.len() < batch_max {
        match machine.next() {
            Ok(Some(message)) => messages.push(message),
            Ok(None) => break,
            Err(fault) => return (messages, Some(fault.to_string())),
        }
    }
    (messages, None)
}
