//! A blocking client connection that speaks through core's codecs. It sends what it is told, however
//! wrong, and says what came; what that means is judged elsewhere.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result};
use zebu_core::config::Limits;
use zebu_core::conn::client::ClientConn;
use zebu_core::conn::client_side::ClientSideConn;
use zebu_core::ids::Xid;
use zebu_core::proto::{ClientMessage, ClientRequest, ConnectRequest, Request, WatcherEvent};

/// Longer than any server needs for an answer: what comes later counts as nothing.
const PATIENCE: Duration = Duration::from_secs(5);
/// Bytes in front of a request's body: the frame's length and RequestHeader.
const HEADER_BYTES: usize = 12;

#[derive(Debug)]
pub(super) enum Heard {
    /// `exact`: it stood on the wire as our own server would have written it.
    Message {
        message: ClientMessage,
        exact: bool,
    },
    Unreadable(String),
    /// The server closed the connection.
    End,
    Silence,
}

impl Heard {
    pub(super) fn event(&self) -> Option<&WatcherEvent> {
        match self {
            Self::Message { message: ClientMessage::Event { event, .. }, .. } => Some(event),
            _ => None,
        }
    }
}

pub(super) struct Connection {
    stream: TcpStream,
    conn: ClientSideConn,
    codec: ClientConn,
    xid: i32,
}

impl Connection {
    pub(super) fn dial(server: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(server).context("cannot connect to a server")?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let limits = Limits::default();
        let (conn, codec) = (ClientSideConn::new(&limits), ClientConn::new(&limits));
        Ok(Self { stream, conn, codec, xid: 0 })
    }

    pub(super) fn send_connect(&mut self, connect: ConnectRequest) {
        let mut out = Vec::new();
        self.conn.encode(&ClientRequest::Connect(connect), &mut out);
        self.write(&out);
    }

    pub(super) fn send(&mut self, requests: &[Request]) {
        let mut out = Vec::new();
        for request in requests {
            out.extend(self.frame(request));
        }
        self.write(&out);
    }

    /// `request` with its body as `change` makes it.
    pub(super) fn send_changed(&mut self, request: &Request, change: impl FnOnce(&mut Vec<u8>)) {
        let mut frame = self.frame(request);
        let mut body = frame.split_off(HEADER_BYTES);
        change(&mut body);
        frame.extend(body);
        let length = i32::try_from(frame.len() - 4).expect("a frame of a few bytes");
        frame[..4].copy_from_slice(&length.to_be_bytes());
        self.write(&frame);
    }

    fn frame(&mut self, request: &Request) -> Vec<u8> {
        let xid = match request {
            Request::Ping => Xid::PING,
            Request::Auth { .. } => Xid::AUTH,
            Request::SetWatches(_) => Xid::SET_WATCHES,
            _ => {
                self.xid += 1;
                Xid(self.xid)
            }
        };
        let mut frame = Vec::new();
        self.conn.encode(&ClientRequest::Request { xid, request: request.clone() }, &mut frame);
        frame
    }

    /// A connection that is gone shows when it is listened to.
    fn write(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes);
    }

    pub(super) fn hear(&mut self) -> Heard {
        let frame = match self.read_frame() {
            Ok(frame) => frame,
            Err(error) => {
                return match error.kind() {
                    ErrorKind::WouldBlock | ErrorKind::TimedOut => Heard::Silence,
                    _ => Heard::End,
                };
            }
        };
        self.conn.receive(&frame);
        match self.conn.next() {
            Ok(Some(message)) => {
                let mut ours = Vec::new();
                self.codec.encode(&message, &mut ours);
                Heard::Message { message, exact: ours == frame }
            }
            Ok(None) => Heard::Unreadable("no whole frame".into()),
            Err(why) => Heard::Unreadable(why.to_string()),
        }
    }

    fn read_frame(&mut self) -> std::io::Result<Vec<u8>> {
        let mut frame = vec![0; 4];
        self.stream.read_exact(&mut frame)?;
        let length = u32::from_be_bytes([frame[0], frame[1], frame[2], frame[3]]);
        // Whatever this is, it is not the length of an answer.
        if length as usize > Limits::default().record_max {
            return Err(ErrorKind::InvalidData.into());
        }
        frame.resize(4 + length as usize, 0);
        self.stream.read_exact(&mut frame[4..])?;
        Ok(frame)
    }
}
