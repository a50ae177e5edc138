//! Bytes that came and are not understood yet, and frames: a length, then so many bytes.

use alloc::vec::Vec;
use core::fmt;

use bytes::{Buf, Bytes, BytesMut};

use crate::jute::Write;

/// What is at least so long is shared with the receive buffer instead of copied. A znode may keep
/// its data for years, and the buffer with it: for small ones that would keep everybody else's
/// requests of the same read alive, so they get an allocation of their own.
const SHARED_MIN: usize = 32 * 1024;

/// An empty buffer keeps at most so much for the next read: most connections are idle.
const IDLE_MAX: usize = 4 * 1024;

/// Received bytes, taken from the front.
#[derive(Clone, Debug, Default)]
pub(super) struct Inbox {
    buffer: BytesMut,
}

impl Inbox {
    pub(super) fn receive(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }
    pub(super) fn bytes(&self) -> &[u8] {
        &self.buffer
    }
    pub(super) fn i32_at(&self, at: usize) -> Option<i32> {
        let bytes = self.buffer.get(at..)?.first_chunk()?;
        Some(i32::from_be_bytes(*bytes))
    }
    /// The first `length` bytes, which are there.
    pub(super) fn take(&mut self, length: usize) -> Bytes {
        let taken = if length < SHARED_MIN {
            let copy = Bytes::copy_from_slice(&self.buffer[..length]);
            self.buffer.advance(length);
            copy
        } else {
            self.buffer.split_to(length).freeze()
        };
        self.shrink();
        taken
    }
    pub(super) fn skip(&mut self, length: usize) {
        self.buffer.advance(length);
        self.shrink();
    }
    fn shrink(&mut self) {
        if self.buffer.is_empty() && self.buffer.capacity() > IDLE_MAX {
            self.buffer = BytesMut::new();
        }
    }

    /// The next whole frame, without its length. An error is the length that is not in
    /// `min..=max`; it stays where it is, so asking again gives it again.
    pub(super) fn frame(&mut self, min: usize, max: usize) -> Result<Option<Bytes>, i32> {
        let Some(length) = self.i32_at(0) else { return Ok(None) };
        let bytes = usize::try_from(length).map_err(|_| length)?;
        if bytes < min || bytes > max {
            return Err(length);
        }
        if self.buffer.len() < 4 + bytes {
            return Ok(None);
        }
        self.buffer.advance(4);
        Ok(Some(self.take(bytes)))
    }
}

/// What a length that no frame has may be instead, for the message that says so.
pub(super) struct Instead(pub(super) i32);

impl fmt::Display for Instead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = self.0.to_be_bytes();
        match core::str::from_utf8(&bytes) {
            _ if bytes.starts_with(&[0x16, 3]) => f.write_str(" (is that TLS?)"),
            Ok(text) if text.bytes().all(|b| b == b' ' || b.is_ascii_graphic()) => {
                write!(f, " (is that the text {text:?}?)")
            }
            Ok(_) | Err(_) => Ok(()),
        }
    }
}

/// Appends a frame whose content `fill` writes in place.
pub(super) fn put_frame(out: &mut Vec<u8>, fill: impl FnOnce(&mut Vec<u8>)) {
    let at = out.len();
    out.put_count(0);
    fill(out);
    let length = out.len() - at - 4;
    out[at..at + 4].copy_from_slice(&(length as i32).to_be_bytes());
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_length_that_is_something_else() {
        for (bytes, expected) in [
            (*b"GET ", " (is that the text \"GET \"?)"),
            ([0x16, 3, 1, 2], " (is that TLS?)"),
            ([0x7f; 4], ""),
            ([0xff; 4], ""),
        ] {
            assert_eq!(alloc::format!("{}", Instead(i32::from_be_bytes(bytes))), expected);
        }
    }

    fn framed(content: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        put_frame(&mut out, |out| out.extend_from_slice(content));
        out
    }

    #[test]
    fn a_length_out_of_bounds_is_an_error_before_its_bytes_come() {
        let mut inbox = Inbox::default();
        inbox.receive(&101i32.to_be_bytes());
        assert_eq!(inbox.frame(1, 100), Err(101));
        assert_eq!(inbox.frame(1, 100), Err(101));
        assert_eq!(inbox.frame(1, 101), Ok(None));
        let mut inbox = Inbox::default();
        inbox.receive(&(-1i32).to_be_bytes());
        assert_eq!(inbox.frame(0, 100), Err(-1));
    }

    #[test]
    fn an_announced_length_allocates_nothing() {
        let mut inbox = Inbox::default();
        inbox.receive(&1_000_000i32.to_be_bytes());
        assert_eq!(inbox.frame(0, 1_000_000), Ok(None));
        assert!(inbox.buffer.capacity() < 100);
    }

    #[test]
    fn an_idle_inbox_is_small() {
        let mut inbox = Inbox::default();
        inbox.receive(&framed(&vec![1; 20_000]));
        assert!(inbox.frame(0, 100_000).is_ok_and(|frame| frame.is_some()));
        assert!(inbox.buffer.capacity() <= IDLE_MAX);
    }

    #[test]
    fn small_frames_do_not_keep_the_buffer() {
        let mut inbox = Inbox::default();
        inbox.receive(&[framed(&[1; 10]), framed(&[2; 10])].concat());
        let first = inbox.frame(0, 100).unwrap().unwrap();
        assert!(first.is_unique());
    }

    proptest! {
        #[test]
        fn frames_come_out_however_the_bytes_are_cut(
            contents in prop::collection::vec(
                prop_oneof![0usize..50, SHARED_MIN - 1..SHARED_MIN + 2], 1..5),
            step in 1usize..70_000,
        ) {
            let contents: Vec<Vec<u8>> =
                contents.iter().enumerate().map(|(i, &length)| vec![i as u8; length]).collect();
            let stream: Vec<u8> = contents.iter().flat_map(|content| framed(content)).collect();
            let mut inbox = Inbox::default();
            let mut seen = Vec::new();
            for piece in stream.chunks(step) {
                inbox.receive(piece);
                while let Some(frame) = inbox.frame(0, 100_000).unwrap() {
                    seen.push(frame);
                }
            }
            prop_assert_eq!(seen, contents);
            prop_assert!(inbox.bytes().is_empty());
        }
    }
}
