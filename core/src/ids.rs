//! The names of things: newtypes, so that an epoch is never taken for a zxid.

use core::fmt;

use serde::{Deserialize, Serialize};

/// `myid` of a server (upstream: `sid`), 1..=254 for members of an ensemble.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ServerId(pub i64);

/// A session outlives its connections. Compared as unsigned: ids with the top bit set are ordinary.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct SessionId(pub u64);

/// A client's connection, numbered by the driver, never used twice in one process.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct ConnId(pub u64);

/// A peer's connection (election or quorum port), numbered by the driver, never used twice.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct LinkId(pub u64);

/// The number a client gives to a request; special values are in [`Xid`]'s constants.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize,
)]
pub struct Xid(pub i32);

impl Xid {
    pub const NOTIFICATION: Self = Self(-1);
    pub const PING: Self = Self(-2);
    pub const AUTH: Self = Self(-4);
    pub const SET_WATCHES: Self = Self(-8);
}

/// One reign of a leader (Zab paper: epoch).
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize,
)]
pub struct Epoch(pub u32);

/// A transaction's place in the one global order: epoch in the high half, counter in the low.
/// Prints as `5:17`; `{:x}` gives the hexadecimal form of file names and upstream's logs.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Zxid(pub u64);

impl Zxid {
    pub const ZERO: Self = Self(0);

    pub const fn new(epoch: Epoch, counter: u32) -> Self {
        Self(((epoch.0 as u64) << 32) | counter as u64)
    }
    /// `epoch:0`, the zxid of NEWLEADER; no transaction ever has it.
    pub const fn start_of(epoch: Epoch) -> Self {
        Self::new(epoch, 0)
    }
    pub const fn epoch(self) -> Epoch {
        Epoch((self.0 >> 32) as u32)
    }
    pub const fn counter(self) -> u32 {
        self.0 as u32
    }
    /// The next zxid of the same epoch; `None` when the counter is used up and a new epoch is due.
    pub fn next(self) -> Option<Self> {
        // ZK: Leader.propose (3.9): counter 0xffffffff is never proposed.
        (self.counter() < u32::MAX - 1).then(|| Self(self.0 + 1))
    }
    /// May `self` directly follow `previous` in a log: the next counter, or the first of a later epoch?
    pub fn follows(self, previous: Self) -> bool {
        if self.epoch() == previous.epoch() {
            self.counter() == previous.counter().wrapping_add(1)
        } else {
            self.epoch() > previous.epoch() && self.counter() == 1
        }
    }
    /// As the wire and the disk have it.
    pub const fn to_wire(self) -> i64 {
        self.0 as i64
    }
    pub const fn from_wire(raw: i64) -> Self {
        Self(raw as u64)
    }
}

impl fmt::Display for Zxid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.epoch().0, self.counter())
    }
}
impl fmt::Debug for Zxid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
impl fmt::LowerHex for Zxid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::LowerHex::fmt(&self.0, f)
    }
}
impl fmt::Display for ServerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}
impl fmt::Debug for ServerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "server {}", self.0)
    }
}
impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "0x{:x}", self.0)
    }
}
impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}
