//! A file seen through a window that moves: any few bytes of it, without holding all of it.
//! Knows no format.

use alloc::vec::Vec;

use super::{Directory, DiskError, FileName};

const CHUNK: usize = 64 * 1024;
static ZEROS: [u8; CHUNK] = [0; CHUNK];

pub(crate) struct Window<'a> {
    disk: &'a dyn Directory,
    file: FileName,
    len: u64,
    /// Where in the file `bytes` begin.
    base: u64,
    bytes: Vec<u8>,
}

impl<'a> Window<'a> {
    pub(crate) fn new(disk: &'a dyn Directory, file: FileName, len: u64) -> Self {
        Self { disk, file, len, base: 0, bytes: Vec::new() }
    }

    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// `len` bytes at `offset`, or `None` if the file ends before.
    pub(crate) fn at(&mut self, offset: u64, len: usize) -> Result<Option<&[u8]>, DiskError> {
        let Some(end) = offset.checked_add(len as u64).filter(|end| *end <= self.len) else {
            return Ok(None);
        };
        if offset < self.base || end > self.base + self.bytes.len() as u64 {
            let rest = usize::try_from(self.len - offset).unwrap_or(usize::MAX);
            // More than asked for, or going on byte by byte would read all of it again each time.
            self.load(offset, len.saturating_mul(2).max(CHUNK).min(rest))?;
        }
        let start = (offset - self.base) as usize;
        Ok(self.bytes.get(start..start + len))
    }

    /// The length of the file without the zeros at its end.
    pub(crate) fn without_trailing_zeros(&mut self) -> Result<u64, DiskError> {
        let mut end = self.len;
        while end > 0 {
            let start = end.saturating_sub(CHUNK as u64);
            self.load(start, (end - start) as usize)?;
            // Whole chunks at once: an empty log is 64 MB of this.
            if ZEROS.starts_with(&self.bytes) {
                end = start;
                continue;
            }
            if let Some(last) = self.bytes.iter().rposition(|byte| *byte != 0) {
                return Ok(start + last as u64 + 1);
            }
            end = start;
        }
        Ok(0)
    }

    fn load(&mut self, offset: u64, len: usize) -> Result<(), DiskError> {
        self.base = offset;
        self.bytes.resize(len, 0);
        let mut filled = 0;
        while filled < len {
            match self.disk.read(&self.file, offset + filled as u64, &mut self.bytes[filled..])? {
                0 => break,
                n => filled += n,
            }
        }
        self.bytes.truncate(filled);
        Ok(())
    }
}
