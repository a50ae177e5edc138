//! Reading compressed snapshots: gzip, and snappy in snappy-java's framing. We write neither.
//!
//! Damage needs no check of its own here: the seals inside cover every byte of the content.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use miniz_oxide::inflate::stream::{InflateState, inflate};
use miniz_oxide::{DataFormat, MZFlush, MZStatus};

use super::listing::Packing;

/// Turns the bytes of a file, piece by piece, into the content.
pub(crate) enum Unpacker {
    Plain,
    Gzip(Gzip),
    Snappy(Snappy),
}

impl Unpacker {
    pub(crate) fn new(packing: Packing) -> Self {
        match packing {
            Packing::Plain => Self::Plain,
            Packing::Gzip => Self::Gzip(Gzip::Header(Vec::new())),
            Packing::Snappy => Self::Snappy(Snappy::default()),
        }
    }

    /// Appends to `out` what `input` adds.
    pub(crate) fn push(&mut self, input: &[u8], out: &mut Vec<u8>) -> Result<(), String> {
        match self {
            Self::Plain => out.extend_from_slice(input),
            Self::Gzip(gzip) => gzip.push(input, out)?,
            Self::Snappy(snappy) => snappy.push(input, out)?,
        }
        Ok(())
    }
}

/// One gzip member (RFC 1952).
pub(crate) enum Gzip {
    Header(Vec<u8>),
    Deflated(Box<InflateState>),
    /// Only checksum and length follow.
    Done,
}

const GZIP_HEADER_BYTES: usize = 10;

impl Gzip {
    fn push(&mut self, input: &[u8], out: &mut Vec<u8>) -> Result<(), String> {
        match self {
            Self::Header(start) => {
                start.extend_from_slice(input);
                if start.len() < GZIP_HEADER_BYTES {
                    return Ok(());
                }
                // Upstream's writer sets no flags, so no name and no comment follow.
                if start[..4] != [0x1f, 0x8b, 8, 0] {
                    return Err(format!(
                        "expected a gzip header without flags, found {:x?}",
                        &start[..4]
                    ));
                }
                let rest = start.split_off(GZIP_HEADER_BYTES);
                *self = Self::Deflated(InflateState::new_boxed(DataFormat::Raw));
                self.push(&rest, out)
            }
            Self::Deflated(state) => {
                let done = inflate_all(state, input, out)?;
                if done {
                    *self = Self::Done;
                }
                Ok(())
            }
            Self::Done => Ok(()),
        }
    }
}

/// True at the end of the deflated stream.
fn inflate_all(
    state: &mut InflateState,
    mut input: &[u8],
    out: &mut Vec<u8>,
) -> Result<bool, String> {
    const STEP: usize = 32 * 1024;
    loop {
        let filled = out.len();
        out.resize(filled + STEP, 0);
        let step = inflate(state, input, &mut out[filled..], MZFlush::None);
        out.truncate(filled + step.bytes_written);
        input = &input[step.bytes_consumed..];
        match step.status {
            Ok(MZStatus::StreamEnd) => return Ok(true),
            Ok(_) if step.bytes_written == STEP || !input.is_empty() => {}
            // All read, and all written: more input is needed.
            Ok(_) | Err(miniz_oxide::MZError::Buf) if input.is_empty() => return Ok(false),
            Ok(status) => return Err(format!("expected deflated bytes, stopped with {status:?}")),
            Err(error) => return Err(format!("expected deflated bytes, found {error:?}")),
        }
    }
}

/// snappy-java's `SnappyOutputStream`: a header, then length-prefixed raw snappy blocks. It is not
/// the standard snappy frame format.
#[derive(Default)]
pub(crate) struct Snappy {
    header_read: bool,
    pending: Vec<u8>,
}

const SNAPPY_MAGIC: [u8; 8] = [0x82, b'S', b'N', b'A', b'P', b'P', b'Y', 0];
/// Magic, version, oldest compatible version.
const SNAPPY_HEADER_BYTES: usize = 16;
/// Upstream's blocks hold 32 KiB.
const SNAPPY_BLOCK_MAX: usize = 1 << 20;

impl Snappy {
    fn push(&mut self, input: &[u8], out: &mut Vec<u8>) -> Result<(), String> {
        self.pending.extend_from_slice(input);
        let mut rest = &self.pending[..];
        if !self.header_read {
            let Some((header, blocks)) = rest.split_at_checked(SNAPPY_HEADER_BYTES) else {
                return Ok(());
            };
            if header[..8] != SNAPPY_MAGIC {
                return Err("expected the magic of a snappy-java stream".into());
            }
            self.header_read = true;
            rest = blocks;
        }
        while let Some((length, blocks)) = rest.split_first_chunk::<4>() {
            let length = u32::from_be_bytes(*length) as usize;
            if length > SNAPPY_BLOCK_MAX {
                return Err(format!(
                    "expected a block of at most {SNAPPY_BLOCK_MAX}, found {length}"
                ));
            }
            let Some((block, blocks)) = blocks.split_at_checked(length) else { break };
            unpack_block(block, out).ok_or("expected a snappy block, found something else")?;
            rest = blocks;
        }
        let used = self.pending.len() - rest.len();
        self.pending.drain(..used);
        Ok(())
    }
}

/// Raw snappy (format_description.txt of the reference implementation): a length, then literals and
/// copies of what came before. Sixty lines of our own, for no crate does it without std, and we only
/// read.
fn unpack_block(block: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let mut input = block;
    let length = read_varint(&mut input).filter(|n| *n <= SNAPPY_BLOCK_MAX)?;
    let start = out.len();
    out.reserve(length);
    while let Some(tag) = take(&mut input, 1).map(|b| b[0]) {
        if tag & 3 == 0 {
            let mut n = usize::from(tag >> 2);
            if n >= 60 {
                n = little_endian(take(&mut input, n - 59)?);
            }
            out.extend_from_slice(take(&mut input, n + 1)?);
        } else {
            let (n, offset) = match tag & 3 {
                1 => {
                    let low = take(&mut input, 1)?[0];
                    (4 + usize::from(tag >> 2 & 7), usize::from(tag >> 5) << 8 | usize::from(low))
                }
                2 => (1 + usize::from(tag >> 2), little_endian(take(&mut input, 2)?)),
                _ => (1 + usize::from(tag >> 2), little_endian(take(&mut input, 4)?)),
            };
            if offset == 0 || offset > out.len() - start {
                return None;
            }
            // Byte by byte: a copy may reach into what it writes.
            for _ in 0..n {
                out.push(out[out.len() - offset]);
            }
        }
        if out.len() - start > length {
            return None;
        }
    }
    (out.len() - start == length).then_some(())
}

fn take<'a>(input: &mut &'a [u8], n: usize) -> Option<&'a [u8]> {
    let (head, tail) = input.split_at_checked(n)?;
    *input = tail;
    Some(head)
}

fn little_endian(bytes: &[u8]) -> usize {
    bytes.iter().rev().fold(0, |n, byte| n << 8 | usize::from(*byte))
}

fn read_varint(input: &mut &[u8]) -> Option<usize> {
    let mut value = 0;
    for shift in [0, 7, 14, 21, 28] {
        let byte = take(input, 1)?[0];
        value |= usize::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}
