//! The text of limits and stats nodes (upstream: `StatsTrack`): numbers by key. Anybody may write
//! anything there, so reading it may fail; what that comes to is for [`super::quota`] to say.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use core::fmt::Write;

use bytes::Bytes;

use super::quota::Usage;

const COUNT: &str = "count";
const BYTES: &str = "bytes";
const COUNT_HARD_LIMIT: &str = "countHardLimit";
const BYTE_HARD_LIMIT: &str = "byteHardLimit";
/// What a key counts as that is missing, or has no value.
const MISSING: i64 = -1;

/// What a limits node limits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Limit {
    Count,
    Bytes,
    CountHard,
    BytesHard,
}

/// In a limits node -1 is no limit.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StatsTrack {
    pub(crate) count: i64,
    pub(crate) bytes: i64,
    /// Everything else, hard limits among it; usually nothing.
    others: BTreeMap<String, i64>,
}

impl StatsTrack {
    pub(crate) fn new(usage: Usage) -> Self {
        Self { count: usage.count, bytes: usage.bytes, others: BTreeMap::new() }
    }

    pub const NO_LIMIT: i64 = MISSING;

    /// Limits that limit nothing, as upstream's clients write them.
    pub fn unlimited() -> Self {
        let mut track = Self::new(Usage { count: MISSING, bytes: MISSING });
        track.set_limit(Limit::CountHard, MISSING);
        track.set_limit(Limit::BytesHard, MISSING);
        track
    }

    pub fn limit(&self, of: Limit) -> Option<i64> {
        match of {
            Limit::Count => Some(self.count).filter(|limit| *limit > MISSING),
            Limit::Bytes => Some(self.bytes).filter(|limit| *limit > MISSING),
            Limit::CountHard => self.count_hard_limit(),
            Limit::BytesHard => self.byte_hard_limit(),
        }
    }
    pub fn set_limit(&mut self, of: Limit, limit: i64) {
        match of {
            Limit::Count => self.count = limit,
            Limit::Bytes => self.bytes = limit,
            Limit::CountHard => drop(self.others.insert(COUNT_HARD_LIMIT.into(), limit)),
            Limit::BytesHard => drop(self.others.insert(BYTE_HARD_LIMIT.into(), limit)),
        }
    }

    /// From the data of a node.
    pub fn of(data: Option<&Bytes>) -> Option<Self> {
        Self::parse(data.map_or(b"", |data| data))
    }

    /// `None` for what upstream cannot read: it splits at separators and `=`, drops empty pieces at
    /// the end, and takes the second piece of each pair for a number.
    fn parse(text: &[u8]) -> Option<Self> {
        let text = String::from_utf8_lossy(text);
        let text = text.trim_end_matches(SEPARATORS);
        let mut track = Self::new(Usage { count: MISSING, bytes: MISSING });
        if text.is_empty() {
            return Some(track);
        }
        if text.starts_with(SEPARATORS) {
            return None;
        }
        for pair in text.split(SEPARATORS).filter(|pair| !pair.is_empty()) {
            let mut pieces = pair.trim_end_matches('=').split('=');
            let (key, value) = (pieces.next()?, pieces.next()?);
            let value = if value.is_empty() { MISSING } else { value.parse().ok()? };
            match key {
                COUNT => track.count = value,
                BYTES => track.bytes = value,
                other => drop(track.others.insert(other.into(), value)),
            }
        }
        Some(track)
    }

    /// Around, at the ends, as upstream does.
    pub(crate) fn add(&mut self, difference: Usage) {
        self.count = self.count.wrapping_add(difference.count);
        self.bytes = self.bytes.wrapping_add(difference.bytes);
    }

    pub(crate) fn count_hard_limit(&self) -> Option<i64> {
        self.hard_limit(COUNT_HARD_LIMIT)
    }
    pub(crate) fn byte_hard_limit(&self) -> Option<i64> {
        self.hard_limit(BYTE_HARD_LIMIT)
    }
    fn hard_limit(&self, key: &str) -> Option<i64> {
        self.others.get(key).copied().filter(|limit| *limit > MISSING)
    }

    /// The order, and the odd `=` in front of the first other key, are for the parser of 3.4.
    // ZK: StatsTrack.toString (3.9)
    pub fn text(&self) -> String {
        let mut text = format!("{COUNT}={},{BYTES}={}", self.count, self.bytes);
        let mut odd = "=";
        for (key, value) in &self.others {
            let _ = write!(text, "{odd};{key}={value}");
            odd = "";
        }
        text
    }
}

const SEPARATORS: [char; 2] = [',', ';'];

#[cfg(test)]
mod tests {
    use super::*;

    fn again(text: &str) -> Option<String> {
        StatsTrack::parse(text.as_bytes()).map(|track| track.text())
    }

    #[test]
    fn what_upstream_reads_is_written_as_upstream_does() {
        for (text, expected) in [
            ("count=3,bytes=8", "count=3,bytes=8"),
            ("bytes=8,count=3", "count=3,bytes=8"),
            (
                "count=1,bytes=2=;countHardLimit=4;byteHardLimit=3",
                "count=1,bytes=2=;byteHardLimit=3;countHardLimit=4",
            ),
            ("", "count=-1,bytes=-1"),
            (",;,", "count=-1,bytes=-1"),
            ("count==0,;bytes=+5,;", "count=-1,bytes=5"),
            ("count==7,bytes=5=6=x", "count=-1,bytes=5"),
            ("count=1,count=2", "count=2,bytes=-1"),
            ("other=1,=2", "count=-1,bytes=-1=;=2;other=1"),
            ("\u{FFFD}=1=2", "count=-1,bytes=-1=;\u{FFFD}=1"),
            ("count=-9223372036854775808", "count=-9223372036854775808,bytes=-1"),
        ] {
            assert_eq!(again(text).as_deref(), Some(expected), "{text}");
        }
    }

    #[test]
    fn what_upstream_cannot_read() {
        for text in [
            "garbage",
            "count",
            "count=",
            "count==",
            "=",
            ",count=1",
            "count=x",
            "count= 1",
            "count=1e9",
            "count=9223372036854775808",
            "count=1;;garbage",
        ] {
            assert_eq!(again(text), None, "{text}");
        }
    }

    #[test]
    fn limits_are_set_as_upstreams_clients_do() {
        let mut track = StatsTrack::unlimited();
        assert_eq!(track.limit(Limit::Count), None);
        track.set_limit(Limit::Count, 3);
        track.set_limit(Limit::BytesHard, 0);
        assert_eq!(track.text(), "count=3,bytes=-1=;byteHardLimit=0;countHardLimit=-1");
        let limits = [Limit::Count, Limit::Bytes, Limit::CountHard, Limit::BytesHard];
        assert_eq!(limits.map(|limit| track.limit(limit)), [Some(3), None, None, Some(0)]);
    }

    #[test]
    fn hard_limits() {
        let limits = |text: &str| {
            let track = StatsTrack::parse(text.as_bytes()).unwrap();
            (track.count_hard_limit(), track.byte_hard_limit())
        };
        assert_eq!(limits("count=1,bytes=1"), (None, None));
        assert_eq!(limits("count=1,bytes=1=;countHardLimit=0"), (Some(0), None));
        assert_eq!(limits("countHardLimit=-1;byteHardLimit=7"), (None, Some(7)));
    }
}
