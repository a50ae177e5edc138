//! Jute's binary encoding (upstream: `BinaryInputArchive`, `BinaryOutputArchive`): big-endian
//! numbers, length-prefixed bytes, -1 for null. Knows nothing of ZooKeeper.

use alloc::string::String;
use alloc::vec::Vec;

use bytes::Bytes;

/// What was expected and not found.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum DecodeError {
    #[error("expected {wanted} more bytes, {left} are left")]
    Short { wanted: usize, left: usize },
    #[error("length {length} is not in -1..={max}")]
    Length { length: i32, max: usize },
    #[error("{what} must not be null")]
    Null { what: &'static str },
    #[error("{what}: {value} is not defined")]
    Undefined { what: &'static str, value: i64 },
}

/// Reads one record after the other from shared bytes; buffers are slices of them, not copies.
#[derive(Clone, Debug)]
pub struct Reader {
    bytes: Bytes,
    /// The longest string or buffer that is believed.
    max: usize,
}

impl Reader {
    pub fn new(bytes: Bytes, max: usize) -> Self {
        Self { bytes, max }
    }
    pub fn remaining(&self) -> usize {
        self.bytes.len()
    }
    fn take(&mut self, wanted: usize) -> Result<Bytes, DecodeError> {
        let left = self.bytes.len();
        if wanted > left {
            Err(DecodeError::Short { wanted, left })
        } else {
            Ok(self.bytes.split_to(wanted))
        }
    }
    pub fn bool(&mut self) -> Result<bool, DecodeError> {
        Ok(self.take(1)?[0] != 0)
    }
    pub fn i32(&mut self) -> Result<i32, DecodeError> {
        let b = self.take(4)?;
        Ok(i32::from_be_bytes([b[0], b[1], b[2], b[3]]))
    }
    pub fn i64(&mut self) -> Result<i64, DecodeError> {
        let b = self.take(8)?;
        Ok(i64::from_be_bytes([b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7]]))
    }
    /// `None` for null.
    pub fn buffer(&mut self) -> Result<Option<Bytes>, DecodeError> {
        let length = self.i32()?;
        if length == -1 {
            return Ok(None);
        }
        let max = self.max;
        match usize::try_from(length) {
            Ok(n) if n <= max => self.take(n).map(Some),
            _ => Err(DecodeError::Length { length, max }),
        }
    }
    /// `None` for null. Malformed UTF-8 is replaced by U+FFFD, as upstream does.
    pub fn string(&mut self) -> Result<Option<String>, DecodeError> {
        Ok(self.buffer()?.map(|b| String::from_utf8_lossy(&b).into_owned()))
    }
    /// A vector's count; null and negative counts are 0. Never more than the remaining bytes could
    /// hold at `element_min` bytes each.
    pub fn count(&mut self, element_min: usize) -> Result<usize, DecodeError> {
        let length = self.i32()?;
        let count = usize::try_from(length).unwrap_or(0);
        let wanted = count.saturating_mul(element_min);
        let left = self.bytes.len();
        if wanted > left { Err(DecodeError::Short { wanted, left }) } else { Ok(count) }
    }
    /// The rest, whole.
    pub fn rest(&mut self) -> Bytes {
        core::mem::take(&mut self.bytes)
    }
}

/// Appends to a vector of bytes.
pub trait Write {
    fn put_bool(&mut self, value: bool);
    fn put_i32(&mut self, value: i32);
    fn put_i64(&mut self, value: i64);
    fn put_buffer(&mut self, value: Option<&[u8]>);
    fn put_string(&mut self, value: &str);
    fn put_count(&mut self, count: usize);
}

impl Write for Vec<u8> {
    fn put_bool(&mut self, value: bool) {
        self.push(u8::from(value));
    }
    fn put_i32(&mut self, value: i32) {
        self.extend_from_slice(&value.to_be_bytes());
    }
    fn put_i64(&mut self, value: i64) {
        self.extend_from_slice(&value.to_be_bytes());
    }
    fn put_buffer(&mut self, value: Option<&[u8]>) {
        match value {
            None => self.put_i32(-1),
            Some(bytes) => {
                self.put_count(bytes.len());
                self.extend_from_slice(bytes);
            }
        }
    }
    fn put_string(&mut self, value: &str) {
        self.put_buffer(Some(value.as_bytes()));
    }
    /// Lengths are checked against limits far below 2^31 before anything is encoded.
    fn put_count(&mut self, count: usize) {
        self.put_i32(count as i32);
    }
}
