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
    pub fn bool(&mut self) -> Result<bool, DecodeError> {
        todo!()
    }
    pub fn i32(&mut self) -> Result<i32, DecodeError> {
        todo!()
    }
    pub fn i64(&mut self) -> Result<i64, DecodeError> {
        todo!()
    }
    /// `None` for null.
    pub fn buffer(&mut self) -> Result<Option<Bytes>, DecodeError> {
        let _ = self.max;
        todo!()
    }
    /// `None` for null. Malformed UTF-8 is replaced by U+FFFD, as upstream does.
    pub fn string(&mut self) -> Result<Option<String>, DecodeError> {
        todo!()
    }
    /// A vector's count; null and negative counts are 0. Never more than the remaining bytes could
    /// hold at `element_min` bytes each.
    pub fn count(&mut self, element_min: usize) -> Result<usize, DecodeError> {
        let _ = element_min;
        todo!()
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
