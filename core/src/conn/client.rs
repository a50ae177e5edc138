//! A server's end of a client connection: framing, handshake, four-letter words. Whether a request
//! makes sense, and whether it may be answered, is not judged here.

use alloc::vec::Vec;

use super::frame::{Inbox, Instead, put_frame};
use crate::config::Limits;
use crate::ids::Xid;
use crate::jute::{DecodeError, Reader, Write};
use crate::proto::{
    ClientMessage, ClientRequest, ConnectRequest, ErrorCode, FourLetterWord, Request,
};

/// Why a client's connection is closed. At a client's own end: why it leaves the server.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ClientMisbehaved {
    #[error("frame of {length} bytes, expected 0..={max}{}", Instead(*length))]
    FrameLength { length: i32, max: usize },
    #[error("unreadable {what}: {why}")]
    Unreadable { what: &'static str, why: DecodeError },
    #[error("reply to xid {got}, expected {expected:?}")]
    XidOutOfOrder { expected: Option<i32>, got: i32 },
}

#[derive(Clone, Debug)]
pub struct ClientConn {
    inbox: Inbox,
    phase: Phase,
    frame_max: usize,
    record_max: usize,
    /// Bytes of the frame that was taken last.
    taken: usize,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    /// Nothing understood yet: a four-letter word or a ConnectRequest comes.
    Fresh,
    /// Requests come.
    Connected,
    /// A four-letter word came; nothing behind it is looked at.
    Deaf,
}

impl ClientConn {
    pub fn new(limits: &Limits) -> Self {
        Self {
            inbox: Inbox::default(),
            phase: Phase::Fresh,
            frame_max: limits.frame_max,
            record_max: limits.record_max,
            taken: 0,
        }
    }
    pub fn receive(&mut self, bytes: &[u8]) {
        if self.phase != Phase::Deaf {
            self.inbox.receive(bytes);
        }
    }

    /// The next whole message; `None` until more bytes come. After a four-letter word nothing
    /// further is read.
    // ZK: NIOServerCnxn.readLength, readPayload (3.9)
    #[expect(clippy::should_implement_trait, reason = "fallible, and more may come after None")]
    pub fn next(&mut self) -> Result<Option<ClientRequest>, ClientMisbehaved> {
        match self.phase {
            Phase::Fresh => self.first(),
            Phase::Connected => self.request(),
            Phase::Deaf => Ok(None),
        }
    }

    /// Bytes of the frame of the message that came last, without its length.
    pub fn frame_length(&self) -> usize {
        self.taken
    }

    /// How long the frame says it is whose bytes are still coming.
    pub fn announced(&self) -> Option<usize> {
        self.inbox.i32_at(0).and_then(|length| usize::try_from(length).ok())
    }

    fn first(&mut self) -> Result<Option<ClientRequest>, ClientMisbehaved> {
        if let Some(word) = self.inbox.i32_at(0)
            && let Some(word) = FourLetterWord::from_bytes(word.to_be_bytes())
        {
            let word = match (word, self.inbox.i32_at(4), self.inbox.i32_at(8)) {
                (FourLetterWord::Stmk { .. }, Some(high), Some(low)) => {
                    let mask = i64::from(high) << 32 | i64::from(low as u32);
                    FourLetterWord::Stmk { mask }
                }
                (FourLetterWord::Stmk { .. }, ..) => return Ok(None),
                (word, ..) => word,
            };
            self.phase = Phase::Deaf;
            self.taken = 4;
            self.inbox = Inbox::default();
            return Ok(Some(ClientRequest::FourLetterWord(word)));
        }
        let Some(body) = next_frame(&mut self.inbox, self.frame_max)? else { return Ok(None) };
        self.taken = body.len();
        let request = ConnectRequest::decode(body, self.record_max)
            .map_err(|why| ClientMisbehaved::Unreadable { what: "ConnectRequest", why })?;
        self.phase = Phase::Connected;
        Ok(Some(ClientRequest::Connect(request)))
    }

    fn request(&mut self) -> Result<Option<ClientRequest>, ClientMisbehaved> {
        let Some(frame) = next_frame(&mut self.inbox, self.frame_max)? else { return Ok(None) };
        self.taken = frame.len();
        let mut from = Reader::new(frame, self.record_max);
        let header = |why| ClientMisbehaved::Unreadable { what: "RequestHeader", why };
        let xid = Xid(from.i32().map_err(header)?);
        let opcode = from.i32().map_err(header)?;
        let request = Request::decode(opcode, from.rest(), self.record_max);
        Ok(Some(ClientRequest::Request { xid, request }))
    }

    /// Appends the frame of `message` to `out`.
    pub fn encode(&self, message: &ClientMessage, out: &mut Vec<u8>) {
        match message {
            ClientMessage::Connected(response) => put_frame(out, |out| response.encode(out)),
            ClientMessage::Reply { xid, zxid, result: Ok(response) } => put_frame(out, |out| {
                put_header(*xid, *zxid, ErrorCode::OK, out);
                response.encode(out);
            }),
            // An error has no body.
            ClientMessage::Reply { xid, zxid, result: Err(code) } => {
                put_frame(out, |out| put_header(*xid, *zxid, *code, out));
            }
            ClientMessage::LoginRefused { xid, code } => put_frame(out, |out| {
                put_header(*xid, 0, *code, out);
                out.put_buffer(None);
            }),
            ClientMessage::Event { zxid, event } => put_frame(out, |out| {
                put_header(Xid::NOTIFICATION, *zxid, ErrorCode::OK, out);
                event.encode(out);
            }),
            ClientMessage::Text(text) => out.extend_from_slice(text.as_bytes()),
        }
    }
}

/// `ReplyHeader`.
fn put_header(xid: Xid, zxid: i64, err: ErrorCode, out: &mut Vec<u8>) {
    out.put_i32(xid.0);
    out.put_i64(zxid);
    out.put_i32(err.0);
}

/// A frame of at most `max` bytes; an empty one is too short for anything but not a broken frame.
pub(super) fn next_frame(
    inbox: &mut Inbox,
    max: usize,
) -> Result<Option<bytes::Bytes>, ClientMisbehaved> {
    inbox.frame(0, max).map_err(|length| ClientMisbehaved::FrameLength { length, max })
}

#[cfg(test)]
mod tests;
