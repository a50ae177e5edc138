//! An election connection: the handshake that names the dialler, then framed notifications. Which
//! of two connections between a pair survives is not decided here.

use alloc::string::String;
use alloc::vec::Vec;

use super::frame::{Inbox, Instead, put_frame};
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
    /// The dialler's handshake: who it is and its election address as `host:port`, the first if it
    /// has several, empty if it comes from before 3.5.
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
    #[error("election frame of {length} bytes, expected 1..={max}{}", Instead(*length))]
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
        let Ok(bytes @ 1..=ADDRESS_MAX) = usize::try_from(length) else {
            return Err(DecodeError::Length { length, max: ADDRESS_MAX }.into());
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::arbitrary::hex;

    /// Server 3's handshake, as Java 3.9.3 sent it when it dialled back.
    const HELLO: &str = "ffffffffffff0000 0000000000000003 0000000f 3132372e302e302e313a3234333133";
    /// A message of 28 bytes, the shortest that is understood.
    const OLD: &str = "0000001c 00000000 0000000000000001 0000000000000000 0000000000000001";

    fn accepted(bytes: &[u8]) -> ElectionConn {
        let mut conn = ElectionConn::accepted(&Limits::default());
        conn.receive(bytes);
        conn
    }
    fn hello(peer: i64, address: &str) -> Result<Option<ElectionInput>, ElectionMisbehaved> {
        Ok(Some(ElectionInput::Hello { peer: ServerId(peer), address: address.into() }))
    }

    #[test]
    fn the_handshake_is_javas() {
        let address = "127.0.0.1:24313";
        let (_, sent) = ElectionConn::dialled(ServerId(3), address, &Limits::default());
        assert_eq!(sent, hex(HELLO));
        let mut conn = accepted(&[sent, hex(OLD)].concat());
        assert_eq!(conn.next(), hello(3, address));
        assert!(matches!(conn.next(), Ok(Some(ElectionInput::Notification(_)))));
        assert_eq!(conn.next(), Ok(None));
    }

    #[test]
    fn a_handshake_may_come_byte_by_byte() {
        let mut conn = accepted(&[]);
        let bytes = hex(HELLO);
        for byte in &bytes[..bytes.len() - 1] {
            conn.receive(&[*byte]);
            assert_eq!(conn.next(), Ok(None));
        }
        conn.receive(&bytes[bytes.len() - 1..]);
        assert_eq!(conn.next(), hello(3, "127.0.0.1:24313"));
    }

    #[test]
    fn other_handshakes() {
        let several = hex("ffffffffffff0001 0000000000000003 00000007 613a317c623a32");
        assert_eq!(accepted(&several).next(), hello(3, "a:1"));
        assert_eq!(accepted(&hex("0000000000000002")).next(), hello(2, ""));
        let unknown = hex("fffffffffffeffff");
        assert_eq!(accepted(&unknown).next(), Err(ElectionMisbehaved::Version(-65537)));
        for length in ["00000000", "ffffffff", "00000801"] {
            let hello = hex(&alloc::format!("ffffffffffff0000 0000000000000003 {length}"));
            assert!(matches!(accepted(&hello).next(), Err(ElectionMisbehaved::Unreadable(_))));
        }
    }

    #[test]
    fn what_is_no_notification_is_skipped_and_what_is_no_frame_is_not() {
        let (mut conn, _) = ElectionConn::dialled(ServerId(1), "a:1", &Limits::default());
        conn.receive(&hex(&alloc::format!("00000003 616263 {OLD}")));
        assert!(matches!(conn.next(), Ok(Some(ElectionInput::Notification(_)))));
        conn.receive(&[0; 4]);
        let max = Limits::default().election_frame_max;
        assert_eq!(conn.next(), Err(ElectionMisbehaved::FrameLength { length: 0, max }));
    }
}
