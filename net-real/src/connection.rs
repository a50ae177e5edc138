//! One connection of any kind: a task that owns a stream, feeds what it reads to one of core's
//! connection machines and writes what waits in its [`Outbox`]. Which messages there are, and what
//! they mean, stands in core; what happens to a whole connection, in [`crate::client_port`] and
//! [`crate::peer_link`].

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
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
    /// Bytes of the message that `next` gave last.
    fn length(&self) -> usize {
        0
    }
    /// Bytes that the message says it has which is still coming.
    fn announced(&self) -> Option<usize> {
        None
    }
    /// How long the other side may neither say nor take anything.
    fn idle_max(&self) -> Option<Duration> {
        None
    }
    /// The other side has taken most of what it was sent, and somebody waits for that.
    fn drained(&mut self) {}
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
    /// Reading pauses while so many messages, or so many bytes, are in flight.
    pub(crate) in_flight_max: usize,
    pub(crate) in_flight_bytes_max: usize,
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
    /// Nothing came and nothing went for as long as its session lives.
    Idle,
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
            Self::Idle => f.write_str("nothing came and nothing went"),
            Self::Closed => f.write_str("closed"),
            Self::Cut => f.write_str("cut with messages unsent"),
        }
    }
}

/// Serves one connection to its end. `deliver` gets the messages of each read, with the bytes of each
/// and of all that was read.
pub(crate) async fn serve<S, M>(
    stream: S,
    machine: M,
    greeting: Vec<u8>,
    outbox: &Outbox<M::Out>,
    terms: &Terms,
    deliver: impl FnMut(Batch<M::In>) -> Reading,
) -> Ended
where
    S: AsyncRead + AsyncWrite,
    M: Machine,
{
    let (mut read, write) = tokio::io::split(stream);
    let machine = Mutex::new(machine);
    let moved = AtomicU64::new(0);
    let ended = tokio::select! {
        biased;
        () = outbox.cut_off() => Ended::Cut,
        () = async { outbox.closing().await; sleep(terms.drain_timeout).await } => Ended::Cut,
        ended = write_all(write, &machine, greeting, outbox, &moved) => ended,
        ended = read_all(&mut read, &machine, outbox, terms, &moved, deliver) => ended,
        ended = idle(&machine, terms, &moved) => ended,
    };
    if matches!(ended, Ended::Closed) {
        let mut rest = [0; 512];
        let _ = timeout(LINGER, async { while let Ok(1..) = read.read(&mut rest).await {} }).await;
    }
    ended
}

/// What one read brought.
pub(crate) struct Batch<In> {
    pub(crate) messages: Vec<In>,
    /// Of each message, as its machine counts them.
    pub(crate) lengths: Vec<usize>,
    /// Of everything that was read.
    pub(crate) bytes: usize,
}

/// Ends when nothing moves for as long as the machine allows, or up to twice as long: a look at the
/// clock for each read would cost more than it tells.
// ZK: NIOServerCnxnFactory.ConnectionExpirerThread (3.9)
async fn idle<M: Machine>(machine: &Mutex<M>, terms: &Terms, moved: &AtomicU64) -> Ended {
    loop {
        let before = moved.load(Relaxed);
        let max = lock(machine).idle_max();
        sleep(max.unwrap_or(terms.handshake_timeout)).await;
        if max.is_some() && moved.load(Relaxed) == before {
            return Ended::Idle;
        }
    }
}

fn lock<M>(machine: &Mutex<M>) -> MutexGuard<'_, M> {
    machine.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn write_all<S, M>(
    mut stream: WriteHalf<S>,
    machine: &Mutex<M>,
    greeting: Vec<u8>,
    outbox: &Outbox<M::Out>,
    moved: &AtomicU64,
) -> Ended
where
    S: AsyncWrite,
    M: Machine,
{
    let mut bytes = greeting;
    let mut messages = Vec::new();
    if !bytes.is_empty()
        && let Err(error) = send(&mut stream, &mut bytes, moved).await
    {
        return Ended::Broken(error);
    }
    loop {
        let taken = outbox.take(&mut messages).await;
        lock(machine).queue(&mut messages);
        loop {
            let more = lock(machine).write(&mut bytes, WRITE_TARGET);
            if let Err(error) = send(&mut stream, &mut bytes, moved).await {
                return Ended::Broken(error);
            }
            if !more {
                break;
            }
        }
        if outbox.written(taken) {
            lock(machine).drained();
        }
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
    moved: &AtomicU64,
) -> std::io::Result<()> {
    let mut left = &bytes[..];
    while !left.is_empty() {
        match stream.write(left).await? {
            0 => return Err(std::io::ErrorKind::WriteZero.into()),
            length => left = &left[length..],
        }
        moved.fetch_add(1, Relaxed);
    }
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
    moved: &AtomicU64,
    mut deliver: impl FnMut(Batch<M::In>) -> Reading,
) -> Ended
where
    S: AsyncRead,
    M: Machine,
{
    let reader = Reader { machine, outbox, terms, moved };
    let first = reader.read(stream, &mut deliver, Until::FirstMessage);
    match timeout(terms.handshake_timeout, first).await {
        Ok(Ok(Reading::On)) => {}
        Ok(Ok(Reading::Enough)) => return silence(terms).await,
        Ok(Err(ended)) => return ended,
        Err(_) => return Ended::Silent,
    }
    match reader.read(stream, &mut deliver, Until::End).await {
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

/// What the reading half needs of the rest.
struct Reader<'a, M: Machine> {
    machine: &'a Mutex<M>,
    outbox: &'a Outbox<M::Out>,
    terms: &'a Terms,
    moved: &'a AtomicU64,
}

impl<M: Machine> Reader<'_, M> {
    async fn read<S: AsyncRead>(
        &self,
        stream: &mut ReadHalf<S>,
        deliver: &mut impl FnMut(Batch<M::In>) -> Reading,
        until: Until,
    ) -> Result<Reading, Ended> {
        let mut buffer = vec![0; BUFFER_IDLE];
        let mut unreported = 0;
        loop {
            let length = match stream.read(&mut buffer).await {
                Ok(0) => return Err(Ended::Eof),
                Ok(length) => length,
                Err(error) => return Err(Ended::Broken(error)),
            };
            self.moved.fetch_add(1, Relaxed);
            unreported += length;
            lock(self.machine).receive(&buffer[..length]);
            let mut some = false;
            loop {
                let (count_max, bytes_max) =
                    (self.terms.in_flight_max, self.terms.in_flight_bytes_max);
                let room = self.outbox.room(count_max, bytes_max).await;
                let (batch, end) = self.decode(room, &mut unreported);
                if !batch.messages.is_empty() {
                    some = true;
                    let reading = deliver(batch);
                    if matches!(reading, Reading::Enough) {
                        return Ok(reading);
                    }
                }
                match end {
                    End::Full => {}
                    End::Empty => break,
                    End::Fault(fault) => return Err(Ended::Misbehaved(fault)),
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

    /// Whole messages of what came, at most so many, and why there are no more.
    fn decode(&self, count_max: usize, unreported: &mut usize) -> (Batch<M::In>, End) {
        let load = self.outbox.load();
        let refused = |bytes| {
            load.refused_large();
            let why = format!("a request of {bytes} bytes: the large ones have as many as may be");
            End::Fault(why)
        };
        let mut machine = lock(self.machine);
        let mut batch = Batch { messages: Vec::new(), lengths: Vec::new(), bytes: 0 };
        let end = loop {
            if batch.messages.len() == count_max {
                break End::Full;
            }
            match machine.next() {
                Ok(Some(message)) => {
                    let length = machine.length();
                    if !load.take(length) {
                        break refused(length);
                    }
                    batch.messages.push(message);
                    batch.lengths.push(length);
                }
                Ok(None) => match machine.announced().filter(|bytes| !load.would_fit(*bytes)) {
                    None => break End::Empty,
                    Some(bytes) => break refused(bytes),
                },
                Err(fault) => break End::Fault(fault.to_string()),
            }
        };
        if !batch.messages.is_empty() {
            batch.bytes = std::mem::take(unreported);
        }
        (batch, end)
    }
}

/// Why a batch has no more messages.
enum End {
    /// There may be more.
    Full,
    /// More bytes must come first.
    Empty,
    Fault(String),
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    /// Each byte is a message, and so it is sent.
    struct Bytes {
        came: Vec<u8>,
        waits: Vec<u8>,
        idle_max: Option<Duration>,
    }

    impl Machine for Bytes {
        type In = u8;
        type Out = u8;
        type Fault = &'static str;

        fn receive(&mut self, bytes: &[u8]) {
            self.came.extend(bytes.iter().rev());
        }
        fn next(&mut self) -> Result<Option<u8>, &'static str> {
            Ok(self.came.pop())
        }
        fn idle_max(&self) -> Option<Duration> {
            self.idle_max
        }
        fn queue(&mut self, messages: &mut Vec<u8>) {
            self.waits.append(messages);
        }
        fn write(&mut self, out: &mut Vec<u8>, _: usize) -> bool {
            out.append(&mut self.waits);
            false
        }
    }

    #[tokio::test]
    async fn a_connection_ends_when_nothing_moves_on_it() {
        let (mut far, near) = tokio::io::duplex(100);
        let terms = Terms {
            handshake_timeout: Duration::from_millis(10),
            drain_timeout: Duration::from_secs(60),
            in_flight_max: 10,
            in_flight_bytes_max: 10,
        };
        let outbox = Arc::new(Outbox::default());
        let machine = Bytes {
            came: Vec::new(),
            waits: Vec::new(),
            idle_max: Some(Duration::from_millis(50)),
        };
        let mut came = Vec::new();
        let deliver = |batch: Batch<u8>| {
            came.extend(batch.messages);
            Reading::On
        };
        far.write_all(b"hello").await.expect("it is open");
        // It ends although the far end stays open.
        let ended = serve(near, machine, Vec::new(), &outbox, &terms, deliver).await;
        assert!(matches!(ended, Ended::Idle), "{ended}");
        assert_eq!(came, b"hello");
        drop(far);
    }
}
