//! Where a quorum packet ends. It has no outer length, so its inner lengths are followed as the
//! bytes come; what was followed once is not followed again.

use crate::jute::DecodeError;

/// Type and zxid.
const HEAD: usize = 12;
/// Strings of one packet's authinfo: a scheme and an id for each identity of a client. All together
/// they may be as long as one record.
const AUTH_STRINGS_MAX: usize = 2 * 1024;

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct PacketScan {
    /// How far the lengths were followed; 0 before the data's length was seen.
    at: usize,
    strings_left: Option<usize>,
    /// Where the strings end at the latest.
    end_max: usize,
}

impl PacketScan {
    /// The length of the packet that `bytes` begins with, `None` until it is all there. To be asked
    /// with the same packet, of which more may have come since.
    pub(super) fn length(
        &mut self,
        bytes: &[u8],
        record_max: usize,
    ) -> Result<Option<usize>, DecodeError> {
        if self.at == 0 {
            let Some(data) = length_at(bytes, HEAD, record_max)? else { return Ok(None) };
            self.at = HEAD + 4 + data;
        }
        let mut left = match self.strings_left {
            Some(left) => left,
            None => {
                let Some(count) = i32_at(bytes, self.at) else { return Ok(None) };
                self.at += 4;
                self.end_max = self.at + record_max;
                auth_strings(count)?
            }
        };
        while left > 0 {
            let Some(string) = length_at(bytes, self.at, record_max)? else { break };
            if self.at + 4 + string > self.end_max {
                return Err(DecodeError::Length { length: string as i32, max: record_max });
            }
            self.at += 4 + string;
            left -= 1;
        }
        self.strings_left = Some(left);
        Ok((left == 0 && bytes.len() >= self.at).then_some(self.at))
    }
}

fn auth_strings(count: i32) -> Result<usize, DecodeError> {
    match usize::try_from(count) {
        // Null, or as upstream reads what is less: empty.
        Err(_) => Ok(0),
        Ok(ids) if ids <= AUTH_STRINGS_MAX / 2 => Ok(2 * ids),
        Ok(_) => Err(DecodeError::Length { length: count, max: AUTH_STRINGS_MAX / 2 }),
    }
}

/// The length at `at` of a string or buffer, 0 for null.
fn length_at(bytes: &[u8], at: usize, max: usize) -> Result<Option<usize>, DecodeError> {
    let Some(length) = i32_at(bytes, at) else { return Ok(None) };
    match usize::try_from(length) {
        Ok(length) if length <= max => Ok(Some(length)),
        Err(_) if length == -1 => Ok(Some(0)),
        _ => Err(DecodeError::Length { length, max }),
    }
}

fn i32_at(bytes: &[u8], at: usize) -> Option<i32> {
    bytes.get(at..)?.first_chunk().map(|bytes| i32::from_be_bytes(*bytes))
}
