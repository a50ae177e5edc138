//! A server's end of a client connection: framing, handshake, four-letter words.

use alloc::vec::Vec;

use crate::config::Limits;
use crate::proto::{ClientMessage, ClientRequest};

/// Why a client's connection is closed.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ClientMisbehaved {
    #[error("frame of {length} bytes, at most {max} are allowed")]
    FrameLength { length: i32, max: usize },
    #[error("unreadable {what}: {why}")]
    Unreadable { what: &'static str, why: crate::jute::DecodeError },
}

#[derive(Clone, Debug)]
pub struct ClientConn {}

impl ClientConn {
    pub fn new(limits: &Limits) -> Self {
        let _ = limits;
        todo!()
    }
    pub fn receive(&mut self, bytes: &[u8]) {
        let _ = bytes;
        todo!()
    }
    /// The next whole message; `None` until more bytes come. After a four-letter word nothing
    /// further is read.
    pub fn next(&mut self) -> Result<Option<ClientRequest>, ClientMisbehaved> {
        todo!()
    }
    /// Appends the frame of `message` to `out`.
    pub fn encode(&self, message: &ClientMessage, out: &mut Vec<u8>) {
        let _ = (message, out);
        todo!()
    }
}
