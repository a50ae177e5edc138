//! Jute's binary encoding (upstream: `BinaryInputArchive`, `BinaryOutputArchive`): big-endian
//! numbers, length-prefixed bytes, -1 for null. Knows nothing of ZooKeeper.

use alloc::string::String;
use alloc::vec::Vec;

use bytes::{Buf, Bytes};

mod utf8;

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
    /// Any byte but 0 is true, as upstream reads it.
    pub fn bool(&mut self) -> Result<bool, DecodeError> {
        self.expect(1)?;
        Ok(self.bytes.get_u8() != 0)
    }
    pub fn i32(&mut self) -> Result<i32, DecodeError> {
        self.expect(4)?;
        Ok(self.bytes.get_i32())
    }
    pub fn i64(&mut self) -> Result<i64, DecodeError> {
        self.expect(8)?;
        Ok(self.bytes.get_i64())
    }
    /// `None` for null.
    pub fn buffer(&mut self) -> Result<Option<Bytes>, DecodeError> {
        Ok(self.length()?.map(|length| self.bytes.split_to(length)))
    }
    /// `None` for null. Malformed UTF-8 is replaced by U+FFFD, as upstream does.
    pub fn string(&mut self) -> Result<Option<String>, DecodeError> {
        let Some(length) = self.length()? else { return Ok(None) };
        let text = utf8::decode(&self.bytes[..length]);
        self.bytes.advance(length);
        Ok(Some(text))
    }
    /// A vector's count; null and negative counts are 0. Never more than the remaining bytes could
    /// hold at `element_min` bytes each.
    pub fn count(&mut self, element_min: usize) -> Result<usize, DecodeError> {
        let Ok(count) = usize::try_from(self.i32()?) else { return Ok(0) };
        self.expect(count.saturating_mul(element_min))?;
        Ok(count)
    }
    /// The rest, whole.
    pub fn rest(&mut self) -> Bytes {
        core::mem::take(&mut self.bytes)
    }

    fn expect(&self, wanted: usize) -> Result<(), DecodeError> {
        let left = self.bytes.len();
        if wanted > left { Err(DecodeError::Short { wanted, left }) } else { Ok(()) }
    }
    /// The length of a string or buffer whose bytes are all there; `None` for null.
    // ZK: BinaryInputArchive.readBuffer, checkLength (3.9)
    fn length(&mut self) -> Result<Option<usize>, DecodeError> {
        let length = self.i32()?;
        if length == -1 {
            return Ok(None);
        }
        match usize::try_from(length) {
            Ok(bytes) if bytes <= self.max => self.expect(bytes).map(|()| Some(bytes)),
            _ => Err(DecodeError::Length { length, max: self.max }),
        }
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

#[cfg(test)]
mod tests {
    use alloc::vec;

    use proptest::prelude::*;

    use super::*;

    fn reader(bytes: &[u8]) -> Reader {
        Reader::new(Bytes::copy_from_slice(bytes), 16)
    }

    #[test]
    fn null_and_empty_differ() {
        assert_eq!(reader(&[255; 4]).buffer(), Ok(None));
        assert_eq!(reader(&[0; 4]).buffer(), Ok(Some(Bytes::new())));
        assert_eq!(reader(&[255; 4]).string(), Ok(None));
        assert_eq!(reader(&[0; 4]).string(), Ok(Some(String::new())));
    }

    #[test]
    fn lengths_are_judged_before_the_bytes_are_looked_for() {
        let length = |n: i32| reader(&n.to_be_bytes()).buffer();
        assert_eq!(length(-2), Err(DecodeError::Length { length: -2, max: 16 }));
        assert_eq!(length(17), Err(DecodeError::Length { length: 17, max: 16 }));
        assert_eq!(length(16), Err(DecodeError::Short { wanted: 16, left: 0 }));
    }

    #[test]
    fn a_count_is_bounded_by_what_could_follow() {
        let mut bytes = vec![0, 0, 0, 2];
        bytes.extend([0; 8]);
        assert_eq!(reader(&bytes).count(4), Ok(2));
        assert_eq!(reader(&bytes).count(5), Err(DecodeError::Short { wanted: 10, left: 8 }));
        assert_eq!(reader(&[255; 4]).count(4), Ok(0));
        assert_eq!(reader(&i32::MIN.to_be_bytes()).count(4), Ok(0));
        let huge = reader(&i32::MAX.to_be_bytes()).count(usize::MAX);
        assert_eq!(huge, Err(DecodeError::Short { wanted: usize::MAX, left: 0 }));
    }

    #[test]
    fn buffers_are_slices_of_what_was_read() {
        let whole = Bytes::from_static(&[0, 0, 0, 2, 7, 8, 9]);
        let mut reader = Reader::new(whole.clone(), 16);
        let buffer = reader.buffer().unwrap().unwrap();
        assert_eq!(buffer.as_ptr(), whole[4..].as_ptr());
        assert_eq!(reader.remaining(), 1);
        assert_eq!(reader.bool(), Ok(true));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            flag: bool, int: i32, long: i64, text: String, data: Option<Vec<u8>>,
        ) {
            let mut bytes = Vec::new();
            bytes.put_bool(flag);
            bytes.put_i32(int);
            bytes.put_i64(long);
            bytes.put_string(&text);
            bytes.put_buffer(data.as_deref());
            let mut reader = Reader::new(bytes.into(), 1 << 20);
            prop_assert_eq!(reader.bool(), Ok(flag));
            prop_assert_eq!(reader.i32(), Ok(int));
            prop_assert_eq!(reader.i64(), Ok(long));
            prop_assert_eq!(reader.string(), Ok(Some(text)));
            prop_assert_eq!(reader.buffer(), Ok(data.map(Bytes::from)));
            prop_assert_eq!(reader.remaining(), 0);
        }
    }
}
