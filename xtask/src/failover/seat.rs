//! A client's place at one server: a session that it takes up again whenever the server lets it, and
//! one write after the other, without a back-off that would be measured too.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use zebu_core::config::Limits;
use zebu_core::conn::client_side::ClientSideConn;
use zebu_core::ids::{Epoch, SessionId, Xid, Zxid};
use zebu_core::proto::{
    Acl, ClientMessage, ClientRequest, ConnectRequest, CreateRequest, ErrorCode, Request,
    create_flags,
};

const PATH: &str = "/failover";
/// It has to outlive an election by the slowest configuration.
const SESSION_MS: i32 = 40_000;
/// Between two looks at whether it is over.
const LOOK: Duration = Duration::from_millis(20);

pub(super) struct Seat {
    server: SocketAddr,
    session: SessionId,
    password: Bytes,
    /// Of the last reply.
    seen: Zxid,
    wire: Option<Wire>,
}

struct Wire {
    stream: TcpStream,
    conn: ClientSideConn,
    xid: i32,
}

impl Seat {
    /// At a server that serves; the node to write to is there afterwards.
    pub(super) fn take(server: SocketAddr) -> Result<Self> {
        let (session, password) = (SessionId(0), Bytes::from_static(&[0; 16]));
        let mut seat = Self { server, session, password, seen: Zxid::ZERO, wire: None };
        let create = CreateRequest {
            path: PATH.into(),
            data: None,
            acl: Acl::open(),
            flags: create_flags::PERSISTENT,
        };
        let on = AtomicBool::new(false);
        match seat.ask(Request::Create(create), &on)? {
            Ok(()) | Err(ErrorCode::NODE_EXISTS) => {}
            Err(code) => bail!("{server} answered {code:?} to a create"),
        }
        seat.write(&on)?;
        Ok(seat)
    }

    /// Of the last write.
    pub(super) fn epoch(&self) -> Epoch {
        self.seen.epoch()
    }

    /// Waits until the write is acknowledged, the connection ends, or it is `over`.
    pub(super) fn write(&mut self, over: &AtomicBool) -> Result<()> {
        let request = Request::SetData { path: PATH.into(), data: None, version: -1 };
        match self.ask(request, over)? {
            Ok(()) => Ok(()),
            Err(code) => bail!("{} answered {code:?} to a write", self.server),
        }
    }

    /// The answer, connected or not; without one the connection is given up.
    fn ask(&mut self, request: Request, over: &AtomicBool) -> Result<Result<(), ErrorCode>> {
        let mut wire = match self.wire.take() {
            Some(wire) => wire,
            None => self.connect(over)?,
        };
        wire.xid += 1;
        wire.send(&ClientRequest::Request { xid: Xid(wire.xid), request })?;
        let ClientMessage::Reply { zxid, result, .. } = wire.receive(over)? else {
            bail!("{} answered with something else", self.server);
        };
        self.seen = self.seen.max(Zxid::from_wire(zxid));
        self.wire = Some(wire);
        Ok(result.map(|_| ()))
    }

    fn connect(&mut self, over: &AtomicBool) -> Result<Wire> {
        let stream = TcpStream::connect_timeout(&self.server, Duration::from_secs(1))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(LOOK))?;
        let mut wire = Wire { stream, conn: ClientSideConn::new(&Limits::default()), xid: 0 };
        wire.send(&ClientRequest::Connect(ConnectRequest {
            protocol_version: 0,
            last_zxid_seen: self.seen,
            timeout_ms: SESSION_MS,
            session: self.session,
            password: self.password.clone(),
            read_only: Some(false),
        }))?;
        let ClientMessage::Connected(granted) = wire.receive(over)? else {
            bail!("{} answered a handshake with something else", self.server);
        };
        ensure!(granted.timeout_ms > 0, "{} says that the session is over", self.server);
        self.session = granted.session;
        self.password = Bytes::copy_from_slice(&granted.password);
        Ok(wire)
    }
}

impl Wire {
    fn send(&mut self, request: &ClientRequest) -> Result<()> {
        let mut out = Vec::new();
        self.conn.encode(request, &mut out);
        Ok(self.stream.write_all(&out)?)
    }

    fn receive(&mut self, over: &AtomicBool) -> Result<ClientMessage> {
        let mut piece = [0; 4096];
        loop {
            if let Some(message) = self.conn.next()? {
                return Ok(message);
            }
            match self.stream.read(&mut piece) {
                Ok(0) => bail!("the server closed the connection"),
                Ok(length) => self.conn.receive(&piece[..length]),
                Err(error)
                    if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) =>
                {
                    ensure!(!over.load(Ordering::Relaxed), "it is over");
                }
                Err(error) => return Err(error).context("the connection broke"),
            }
        }
    }
}
