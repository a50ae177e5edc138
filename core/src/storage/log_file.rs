//! Transaction log files: header, records, and how the end of one is told from damage.
//!
//! ```text
//! 0   "ZKLG", int version 2, long dbid 0
//! 16  records: long Adler-32 of the payload, int length, payload, byte 'B'
//! ..  zeros to the end of the file
//! ```
//!
//! What a whole directory of logs amounts to is [`super::recover`]'s matter.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use bytes::Bytes;

use super::window::Window;
use super::{Dir, Directory, DiskError, FileName};
use crate::ids::Zxid;
use crate::jute::Write;

pub(crate) const HEADER: [u8; HEADER_BYTES] = *b"ZKLG\0\0\0\x02\0\0\0\0\0\0\0\0";
pub(crate) const HEADER_BYTES: usize = 16;
/// Checksum and length before the payload.
const PREFIX_BYTES: usize = 12;
/// What a record adds to its payload.
const FRAME_BYTES: usize = PREFIX_BYTES + 1;
const END_OF_RECORD: u8 = b'B';
/// The header of a transaction: session, cxid, zxid, time, type.
const PAYLOAD_MIN: usize = 32;

/// What a disk writes whole or not at all.
const SECTOR: u64 = 512;
/// The writer syncs at least this often, so a torn batch is never longer than this and one record.
pub(crate) const BATCH_BYTES_MAX: usize = 1 << 20;

/// The log whose first record is `first`.
pub(crate) fn name(first: Zxid) -> FileName {
    FileName { dir: Dir::Log, name: format!("log.{first:x}") }
}

pub(crate) fn put_record(out: &mut Vec<u8>, payload: &[u8]) {
    out.put_i64(i64::from(adler2::adler32_slice(payload)));
    out.put_buffer(Some(payload));
    out.push(END_OF_RECORD);
}

pub(crate) const fn record_bytes(payload: usize) -> usize {
    payload + FRAME_BYTES
}

/// One intact record.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    pub(crate) offset: u64,
    /// Where the next one begins.
    pub(crate) end: u64,
    pub(crate) zxid: Zxid,
    pub(crate) payload: Bytes,
}

/// Bytes where a record (or the header) should be, and is not.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("offset {offset}: {fault}")]
pub(crate) struct Bad {
    pub(crate) offset: u64,
    pub(crate) fault: Fault,
}

/// What was expected.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub(crate) enum Fault {
    #[error("expected a header of 16 bytes")]
    HeaderShort,
    #[error("expected the magic ZKLG")]
    Magic,
    #[error("expected format version 2")]
    Version,
    #[error("expected checksum and length, the file ends")]
    PrefixShort,
    #[error("expected a length in 32..={max}, found {found}")]
    Length { found: i32, max: usize },
    #[error("expected {length} bytes of payload and 'B', the file ends")]
    PayloadShort { length: usize },
    #[error("expected 'B' behind {length} bytes of payload, found {found:#04x}")]
    EndOfRecord { length: usize, found: u8 },
    /// All of the record is there and only its content is wrong.
    #[error("expected {length} bytes of payload with checksum {expected:#x}, found {found:#x}")]
    Checksum { length: usize, expected: u64, found: u64 },
}

impl Fault {
    /// How long the payload is, where all of the record is there and only that is wrong.
    pub(crate) fn payload(self) -> Option<usize> {
        match self {
            Self::Checksum { length, .. } => Some(length),
            Self::HeaderShort
            | Self::Magic
            | Self::Version
            | Self::PrefixShort
            | Self::Length { .. }
            | Self::PayloadShort { .. }
            | Self::EndOfRecord { .. } => None,
        }
    }
}

#[derive(Clone, Debug)]
pub(crate) enum Next {
    Record(Record),
    /// Nothing but zeros follows.
    End,
    Bad(Bad),
}

/// What bad bytes come from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Verdict {
    /// The last write, which power loss cut short. Nobody was told that it is durable.
    Torn,
    /// Something that was whole once; how it shows.
    Corrupt(String),
}

/// Reads one log file from the front.
pub(crate) struct LogReader<'a> {
    bytes: Window<'a>,
    record_max: usize,
    offset: u64,
    /// The newest intact record so far.
    last: Option<Zxid>,
    data_end: Option<u64>,
}

impl<'a> LogReader<'a> {
    pub(crate) fn new(disk: &'a dyn Directory, first: Zxid, len: u64, record_max: usize) -> Self {
        Self::named(disk, name(first), len, record_max)
    }

    /// Whatever its name.
    pub(crate) fn named(
        disk: &'a dyn Directory,
        file: FileName,
        len: u64,
        record_max: usize,
    ) -> Self {
        let bytes = Window::new(disk, file, len);
        Self { bytes, record_max, offset: 0, last: None, data_end: None }
    }

    /// The next record. After `End` there is no other, and after `Bad` only behind [`Self::skip`].
    pub(crate) fn next(&mut self) -> Result<Next, DiskError> {
        if self.offset == 0 {
            if let Some(bad) = self.check_header()? {
                return Ok(Next::Bad(bad));
            }
            self.offset = HEADER_BYTES as u64;
        }
        match self.record_at(self.offset)? {
            Ok(record) => {
                self.offset = record.end;
                self.last = Some(record.zxid);
                Ok(Next::Record(record))
            }
            // Pre-allocated zeros, or nothing at all.
            Err(_) if self.offset >= self.data_end()? => Ok(Next::End),
            Err(fault) => Ok(Next::Bad(Bad { offset: self.offset, fault })),
        }
    }

    fn check_header(&mut self) -> Result<Option<Bad>, DiskError> {
        let bad = |fault| Some(Bad { offset: 0, fault });
        let Some(header) = self.bytes.at(0, HEADER_BYTES)? else {
            return Ok(bad(Fault::HeaderShort));
        };
        // The last field, dbid, is 0 in every log but checked by nobody.
        Ok(if header[..4] != HEADER[..4] {
            bad(Fault::Magic)
        } else if header[4..8] != HEADER[4..8] {
            bad(Fault::Version)
        } else {
            None
        })
    }

    // ZK: FileTxnLog.FileTxnIterator.next, Util.readTxnBytes (3.9)
    fn record_at(&mut self, offset: u64) -> Result<Result<Record, Fault>, DiskError> {
        let max = self.record_max;
        let Some(prefix) = self.bytes.at(offset, PREFIX_BYTES)? else {
            return Ok(Err(Fault::PrefixShort));
        };
        let (expected, found) = split_prefix(prefix);
        let length = usize::try_from(found).ok().filter(|n| (PAYLOAD_MIN..=max).contains(n));
        let Some(length) = length else { return Ok(Err(Fault::Length { found, max })) };
        let Some(record) = self.bytes.at(offset, record_bytes(length))? else {
            return Ok(Err(Fault::PayloadShort { length }));
        };
        let (payload, found) = (&record[PREFIX_BYTES..record.len() - 1], record[record.len() - 1]);
        if found != END_OF_RECORD {
            return Ok(Err(Fault::EndOfRecord { length, found }));
        }
        let found = u64::from(adler2::adler32_slice(payload));
        if found != expected {
            return Ok(Err(Fault::Checksum { length, expected, found }));
        }
        let end = offset + record.len() as u64;
        let zxid = payload[12..20].try_into().expect("a payload is 32 bytes at least");
        let zxid = Zxid(u64::from_be_bytes(zxid));
        let payload = Bytes::copy_from_slice(payload);
        Ok(Ok(Record { offset, end, zxid, payload }))
    }

    /// Judges the bad bytes that `next` found.
    ///
    /// A torn write leaves a beginning, or any of its sectors, and zeros for the rest. Damage to
    /// something that was once whole looks different: intact records follow that a torn write
    /// cannot explain, or all of a record is there and wrong.
    // Departs: upstream takes what ends early or has a wrong end byte for the end of the file, whatever follows.
    pub(crate) fn judge(&mut self, bad: Bad) -> Result<Verdict, DiskError> {
        // Most damage is of this kind, and needs no search through the rest of the file.
        if let Fault::Checksum { length, .. } = bad.fault {
            let end = bad.offset + record_bytes(length) as u64;
            if self.intact_newer(end)?.is_some() && !self.has_hole(bad.offset, end)? {
                return Ok(Verdict::Corrupt(format!("an intact record follows at offset {end}")));
            }
        }
        if let Some((found, last_end)) = self.intact_behind(bad)? {
            let longest = HEADER_BYTES + BATCH_BYTES_MAX + record_bytes(self.record_max);
            if last_end - bad.offset <= longest as u64 && self.has_hole(bad.offset, found)? {
                return Ok(Verdict::Torn);
            }
            return Ok(Verdict::Corrupt(format!("an intact record follows at offset {found}")));
        }
        let torn = match bad.fault {
            Fault::HeaderShort | Fault::Magic | Fault::Version => self.is_torn_header()?,
            Fault::Checksum { length, .. } => {
                self.has_hole(bad.offset, bad.offset + record_bytes(length) as u64)?
            }
            Fault::PrefixShort
            | Fault::Length { .. }
            | Fault::PayloadShort { .. }
            | Fault::EndOfRecord { .. } => true,
        };
        let corrupt = || Verdict::Corrupt("no torn write leaves that".into());
        Ok(if torn { Verdict::Torn } else { corrupt() })
    }

    /// Lets `next` go on behind bad bytes: behind the record if only its checksum is wrong, else
    /// with the next intact one. False if there is none. For whoever looks at a damaged file; a
    /// server never goes on.
    pub(crate) fn skip(&mut self, bad: Bad) -> Result<bool, DiskError> {
        let behind = match bad.fault.payload() {
            Some(length) => Some(bad.offset + record_bytes(length) as u64),
            None => self.intact_behind(bad)?.map(|(first, _)| first),
        };
        self.offset = behind.unwrap_or(self.offset);
        Ok(behind.is_some())
    }

    /// The payload of a record of which all is there.
    pub(crate) fn payload_at(
        &mut self,
        offset: u64,
        length: usize,
    ) -> Result<Option<Bytes>, DiskError> {
        let payload = self.bytes.at(offset + PREFIX_BYTES as u64, length)?;
        Ok(payload.map(Bytes::copy_from_slice))
    }

    /// Where the next record begins, or would.
    pub(crate) fn offset(&self) -> u64 {
        self.offset
    }

    /// The first intact record behind `bad`, and the end of the last.
    fn intact_behind(&mut self, bad: Bad) -> Result<Option<(u64, u64)>, DiskError> {
        let data_end = self.data_end()?;
        let claimed_end = self.claimed_end(bad.offset)?;
        let mut found = None;
        let mut offset = bad.offset + 1;
        while offset + FRAME_BYTES as u64 <= data_end {
            let Some(end) = self.intact_newer(offset)? else {
                offset += 1;
                continue;
            };
            // A client may have put bytes that look like a record into the data of this one. Then
            // what looks like records stops short of this record's end.
            let chain_end = self.chain_end(end)?;
            if chain_end > claimed_end || chain_end >= data_end {
                let first = found.map_or(offset, |(first, _)| first);
                found = Some((first, chain_end));
                offset = chain_end;
            } else {
                offset += 1;
            }
        }
        Ok(found)
    }

    /// Where the record at `offset` would end if its length is to be believed.
    fn claimed_end(&mut self, offset: u64) -> Result<u64, DiskError> {
        let max = self.record_max;
        let length = self.bytes.at(offset, PREFIX_BYTES)?.map(|prefix| split_prefix(prefix).1);
        let length = length.and_then(|n| usize::try_from(n).ok()).filter(|n| *n <= max);
        Ok(offset + length.map_or(0, |n| record_bytes(n) as u64))
    }

    fn chain_end(&mut self, mut end: u64) -> Result<u64, DiskError> {
        while let Some(next) = self.intact_newer(end)? {
            end = next;
        }
        Ok(end)
    }

    /// The end of the intact record at `offset`, if there is one that is newer than what was read.
    fn intact_newer(&mut self, offset: u64) -> Result<Option<u64>, DiskError> {
        let last = self.last;
        let record = self.record_at(offset)?.ok();
        let newer = record.filter(|record| last.is_none_or(|last| record.zxid > last));
        Ok(newer.map(|record| record.end))
    }

    /// Is one of the sectors under `from..upto` all zero from there on, as one is that was never
    /// written? What stands at `upto` may begin in it: with zeros, as checksums do.
    fn has_hole(&mut self, from: u64, upto: u64) -> Result<bool, DiskError> {
        let mut start = from;
        while start < upto {
            let end = ((start / SECTOR + 1) * SECTOR).min(self.bytes.len());
            // The high half of a checksum is zero in intact records as well.
            if end - start > 4 {
                let sector = self.bytes.at(start, (end - start) as usize)?;
                if sector.is_none_or(|sector| sector.iter().all(|byte| *byte == 0)) {
                    return Ok(true);
                }
            }
            start = end;
        }
        Ok(false)
    }

    /// Is the header a beginning of the right one with zeros behind it, or its sector never written?
    fn is_torn_header(&mut self) -> Result<bool, DiskError> {
        let there = self.data_end()?.min(HEADER_BYTES as u64) as usize;
        let header = self.bytes.at(0, there)?;
        let begins = header.is_some_and(|header| header == &HEADER[..there]);
        Ok(begins || self.has_hole(0, SECTOR.min(self.bytes.len()))?)
    }

    /// Where the zeros begin that fill the file to its end.
    fn data_end(&mut self) -> Result<u64, DiskError> {
        if self.data_end.is_none() {
            self.data_end = Some(self.bytes.without_trailing_zeros()?);
        }
        Ok(self.data_end.expect("just set"))
    }
}

/// Checksum and length.
fn split_prefix(prefix: &[u8]) -> (u64, i32) {
    let (checksum, length) = prefix.split_at(8);
    let checksum = checksum.try_into().expect("a prefix is 12 bytes");
    let length = length.try_into().expect("a prefix is 12 bytes");
    (u64::from_be_bytes(checksum), i32::from_be_bytes(length))
}
