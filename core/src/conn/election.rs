//! An election connection: the handshake that names the dialler, then framed notifications.

use alloc::string::String;
use alloc::vec::Vec;

use crate::config::Limits;
use crate::ids::ServerId;
use crate::jute::DecodeError;
use crate::proto::Notification;

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ElectionInput {
    /// The dialler's handshake: who it is and its election address as `host:port`.
    Hello {
        peer: ServerId,
        address: String,
    },
    Notification(Notification),
}

#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ElectionMisbehaved {
    #[error("election handshake of version {0}, expected -65536 or -65535")]
    Version(i64),
    #[error("election frame of {length} bytes, expected 1..={max}")]
    FrameLength { length: i32, max: usize },
    #[error("unreadable election message: {0}")]
    Unreadable(#[from] DecodeError),
}

#[derive(Clone, Debug)]
pub struct ElectionConn {}

impl ElectionConn {
    /// We dialled: the bytes are the handshake to send first.
    pub fn dialled(my_id: ServerId, address: &str, limits: &Limits) -> (Self, Vec<u8>) {
        let _ = (my_id, address, limits);
        todo!()
    }
    /// We were dialled: a `Hello` comes first.
    pub fn accepted(limits: &Limits) -> Self {
        let _ = limits;
        todo!()
    }
    pub fn receive(&mut self, bytes: &[u8]) {
        let _ = bytes;
        todo!()
    }
    /// The next message. One that is too old or too strange to use is skipped (upstream answers
    /// 28 and 40 bytes, and drops others below 40); a broken frame closes the connection.
    pub fn next(&mut self) -> Result<Option<ElectionInput>, ElectionMisbehaved> {
        todo!()
    }
    pub fn encode(&self, message: &Notification, out: &mut Vec<u8>) {
        let _ = (message, out);
        todo!()
    }
}
