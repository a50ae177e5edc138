//! An election connection: the handshake that names the dialler, then framed notifications. Which
//! of two connections between a pair survives is not decided here.

use alloc::string::String;
use alloc::vec::Vec;

use super::frame::{Inbox, put_frame};
use crate::config::Limits;
use crate::ids::ServerId;
use crate::jute::{DecodeError, Reader, Write};
use crate::proto::Notification;

/// The handshake names one address. Sent always: every server since 3.5 understands it.
// JIRA: ZOOKEEPER-3720
const PROTOCOL_ONE_ADDRESS: i64 = -65536;
/// The handshake names several addresses, joined with `|`.
const PROTOCOL_ADDRESSES: i64 = -65535;
/// Bytes of the addresses.
const ADDRESS_MAX: usize = 2048;

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
pub struct ElectionConn {
    inbox: Inbox,
    greeted: bool,
    frame_max: usize,
}

impl ElectionConn {
    /// We dialled: the bytes are the handshake to send first. Nothing is answered to it.
    pub fn dialled(my_id: ServerId, address: &str, limits: &Limits) -> (Self, Vec<u8>) {
        let mut hello = Vec::new();
        hello.put_i64(PROTOCOL_ONE_ADDRESS);
        hello.put_i64(my_id.0);
        hello.put_string(address);
        (Self { greeted: true, ..Self::accepted(limits) }, hello)
    }
    /// We were dialled: a `Hello` comes first.
    pub fn accepted(limits: &Limits) -> Self {
        Self { inbox: Inbox::default(), greeted: false, frame_max: limits.election_frame_max }
    }
    pub fn receive(&mut self, bytes: &[u8]) {
        self.inbox.receive(bytes);
    }

    /// The next message. One that is too old or too strange to use is skipped (upstream answers
    /// 28 and 40 bytes, and drops others below 40); a broken frame closes the connection.
    #[expect(clippy::should_implement_trait, reason = "fallible, and more may come after None")]
    pub fn next(&mut self) -> Result<Option<ElectionInput>, ElectionMisbehaved> {
        if !self.greeted {
            return self.hello();
        }
        let max = self.frame_max;
        loop {
            let frame = self
                .inbox
                .frame(1, max)
                .map_err(|length| ElectionMisbehaved::FrameLength { length, max })?;
            let Some(frame) = frame else { return Ok(None) };
            if let Some(message) = Notification::decode(frame) {
                return Ok(Some(ElectionInput::Notification(message)));
            }
        }
    }

    // ZK: QuorumCnxManager.InitialMessage.parse, handleConnection (3.9)
    fn hello(&mut self) -> Result<Option<ElectionInput>, ElectionMisbehaved> {
        let Some(first) = self.inbox.bytes().first_chunk() else { return Ok(None) };
        let version = i64::from_be_bytes(*first);
        if version >= 0 {
            // Before 3.5 the first number is the id, and no address follows.
            self.greeted = true;
            self.inbox.skip(8);
            let peer = ServerId(version);
            return Ok(Some(ElectionInput::Hello { peer, address: String::new() }));
        }
        if !matches!(version, PROTOCOL_ONE_ADDRESS | PROTOCOL_ADDRESSES) {
            return Err(ElectionMisbehaved::Version(version));
        }
        let Some(length) = self.inbox.i32_at(16) else { return Ok(None) };
        let bytes = match usize::try_from(length) {
            Ok(bytes @ 1..=ADDRESS_MAX) => bytes,
            _ => return Err(DecodeError::Length { length, max: ADDRESS_MAX }.into()),
        };
        if self.inbox.bytes().len() < 20 + bytes {
            return Ok(None);
        }
        self.greeted = true;
        let mut from = Reader::new(self.inbox.take(20 + bytes), ADDRESS_MAX);
        from.i64()?;
        let peer = ServerId(from.i64()?);
        let addresses = from.string()?.unwrap_or_default();
        let address = addresses.split('|').next().unwrap_or_default().into();
        Ok(Some(ElectionInput::Hello { peer, address }))
    }

    pub fn encode(&self, message: &Notification, out: &mut Vec<u8>) {
        put_frame(out, |out| message.encode(out));
    }
}
