//! The handshake's two records.

use alloc::vec::Vec;

use bytes::Bytes;

use super::{ConnectRequest, ConnectResponse};
use crate::ids::{SessionId, Zxid};
use crate::jute::{DecodeError, Reader, Write};

impl ConnectRequest {
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.put_i32(self.protocol_version);
        out.put_i64(self.last_zxid_seen.to_wire());
        out.put_i32(self.timeout_ms);
        out.put_i64(self.session.0 as i64);
        out.put_buffer(Some(&self.password));
        put_read_only(self.read_only, out);
    }
    pub fn decode(body: Bytes, record_max: usize) -> Result<Self, DecodeError> {
        let mut from = Reader::new(body, record_max);
        Ok(Self {
            protocol_version: from.i32()?,
            last_zxid_seen: Zxid::from_wire(from.i64()?),
            timeout_ms: from.i32()?,
            session: SessionId(from.i64()? as u64),
            password: from.buffer()?.unwrap_or_default(),
            read_only: read_only(&mut from)?,
        })
    }
}

impl ConnectResponse {
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.put_i32(self.protocol_version);
        out.put_i32(self.timeout_ms);
        out.put_i64(self.session.0 as i64);
        out.put_buffer(Some(&self.password));
        put_read_only(self.read_only, out);
    }
    pub fn decode(body: Bytes, record_max: usize) -> Result<Self, DecodeError> {
        let mut from = Reader::new(body, record_max);
        Ok(Self {
            protocol_version: from.i32()?,
            timeout_ms: from.i32()?,
            session: SessionId(from.i64()? as u64),
            password: password(from.buffer()?)?,
            read_only: read_only(&mut from)?,
        })
    }
}

fn password(bytes: Option<Bytes>) -> Result<[u8; 16], DecodeError> {
    let bytes = bytes.ok_or(DecodeError::Null { what: "password" })?;
    let length = bytes.len();
    <[u8; 16]>::try_from(&bytes[..]).map_err(|_| DecodeError::Undefined {
        what: "length of the password",
        value: length as i64,
    })
}

/// The last byte is missing in clients before 3.4, and then in what they are answered.
// ZK: ProtocolManager.deserializeConnectRequest (3.9)
fn read_only(from: &mut Reader) -> Result<Option<bool>, DecodeError> {
    if from.remaining() == 0 { Ok(None) } else { from.bool().map(Some) }
}

fn put_read_only(read_only: Option<bool>, out: &mut Vec<u8>) {
    if let Some(read_only) = read_only {
        out.put_bool(read_only);
    }
}
