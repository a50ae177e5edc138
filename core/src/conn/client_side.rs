//! A client's end of its connection: pairs replies with the requests they answer, because a reply
//! does not say what kind it is.

use alloc::collections::VecDeque;
use alloc::string::String;
use alloc::vec::Vec;

use bytes::Bytes;

use super::client::{ClientMisbehaved, next_frame};
use super::frame::{Inbox, put_frame};
use crate::config::Limits;
use crate::ids::Xid;
use crate::jute::{DecodeError, Reader, Write};
use crate::proto::{
    ClientMessage, ClientRequest, ConnectResponse, ErrorCode, FourLetterWord, Response,
    WatcherEvent,
};

#[derive(Clone, Debug)]
pub struct ClientSideConn {
    inbox: Inbox,
    expected: Expected,
    /// Xid and opcode of what was asked and not answered. Replies come in this order, but for
    /// pings and auth, which may overtake.
    asked: VecDeque<(Xid, i32)>,
    frame_max: usize,
    record_max: usize,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Expected {
    ConnectResponse,
    Replies,
    /// A four-letter word was sent: its answer is text up to the end of the connection.
    Text,
}

impl ClientSideConn {
    pub fn new(limits: &Limits) -> Self {
        Self {
            inbox: Inbox::default(),
            expected: Expected::ConnectResponse,
            asked: VecDeque::new(),
            frame_max: limits.frame_max,
            record_max: limits.record_max,
        }
    }

    /// Appends the frame of `request` to `out` and remembers what its reply will look like.
    pub fn encode(&mut self, request: &ClientRequest, out: &mut Vec<u8>) {
        match request {
            ClientRequest::Connect(connect) => put_frame(out, |out| connect.encode(out)),
            ClientRequest::Request { xid, request } => {
                let opcode = request.opcode();
                if !matches!(*xid, Xid::PING | Xid::AUTH) {
                    self.asked.push_back((*xid, opcode));
                }
                put_frame(out, |out| {
                    out.put_i32(xid.0);
                    out.put_i32(opcode);
                    request.encode_body(out);
                });
            }
            ClientRequest::FourLetterWord(word) => {
                self.expected = Expected::Text;
                out.extend_from_slice(&word.bytes());
                if let FourLetterWord::Stmk { mask } = word {
                    out.put_i64(*mask);
                }
            }
        }
    }

    pub fn receive(&mut self, bytes: &[u8]) {
        self.inbox.receive(bytes);
    }

    /// The next whole message; `None` until more bytes come. The answer to a four-letter word has
    /// no end but the connection's, and comes in the pieces in which it was received.
    #[expect(clippy::should_implement_trait, reason = "fallible, and more may come after None")]
    pub fn next(&mut self) -> Result<Option<ClientMessage>, ClientMisbehaved> {
        if self.expected == Expected::Text {
            return Ok(self.text().map(ClientMessage::Text));
        }
        let Some(frame) = next_frame(&mut self.inbox, self.frame_max)? else { return Ok(None) };
        if self.expected == Expected::ConnectResponse {
            let response = ConnectResponse::decode(frame, self.record_max)
                .map_err(unreadable("ConnectResponse"))?;
            self.expected = Expected::Replies;
            return Ok(Some(ClientMessage::Connected(response)));
        }
        self.reply(frame).map(Some)
    }

    // ZK: ClientCnxn.SendThread.readResponse (3.9)
    fn reply(&mut self, frame: Bytes) -> Result<ClientMessage, ClientMisbehaved> {
        let mut from = Reader::new(frame, self.record_max);
        let header = unreadable("ReplyHeader");
        let xid = Xid(from.i32().map_err(header)?);
        let zxid = from.i64().map_err(header)?;
        let err = ErrorCode(from.i32().map_err(header)?);
        let opcode = match xid {
            Xid::NOTIFICATION => {
                let event = WatcherEvent::decode(from.rest(), self.record_max)
                    .map_err(unreadable("WatcherEvent"))?;
                return Ok(ClientMessage::Event { zxid, event });
            }
            Xid::PING | Xid::AUTH => None,
            _ => Some(self.answered(xid)?),
        };
        let result = match opcode {
            _ if err != ErrorCode::OK => Err(err),
            None => Ok(Response::Empty),
            Some(opcode) => Ok(Response::decode(opcode, from.rest(), self.record_max)
                .map_err(unreadable("reply"))?),
        };
        Ok(ClientMessage::Reply { xid, zxid, result })
    }

    /// The opcode of the oldest request, which is the one that must be answered now.
    fn answered(&mut self, got: Xid) -> Result<i32, ClientMisbehaved> {
        match self.asked.pop_front() {
            Some((xid, opcode)) if xid == got => Ok(opcode),
            other => Err(ClientMisbehaved::XidOutOfOrder {
                expected: other.map(|(xid, _)| xid.0),
                got: got.0,
            }),
        }
    }

    fn text(&mut self) -> Option<String> {
        let length = self.inbox.bytes().len();
        (length > 0).then(|| String::from_utf8_lossy(&self.inbox.take(length)).into_owned())
    }
}

fn unreadable(what: &'static str) -> impl Fn(DecodeError) -> ClientMisbehaved + Copy {
    move |why| ClientMisbehaved::Unreadable { what, why }
}
