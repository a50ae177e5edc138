//! Serving without a quorum: a server that has looked for a leader long enough shows what it has to
//! clients that ask for no more. When and for how long; who is let in and what he may ask stands in
//! `order/read_only.rs`.
//!
//! What it shows is the state with its whole log applied, durable, as every election finds it: no
//! more than a restart would show, and no less. A transaction at its end may never have been
//! committed, and may be cut off later. Its zxid stays with the client all the same: a quorum that
//! lacks the transaction is one of a later epoch, whose zxids are larger, so nobody is turned away for
//! having seen it and nobody is shown an older epoch behind it. That the state was a lonely server's
//! the client learns from `readOnly` in its ConnectResponse, as with upstream.
//!
// ZK: QuorumPeer.run, ReadOnlyZooKeeperServer (3.9)

use crate::time::Instant;

use super::cx::Cx;
use super::{Note, Role, Server};

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum ReadOnly {
    #[default]
    Off,
    /// No leader is known; patience ends then.
    Due(Instant),
    On,
}

impl ReadOnly {
    /// An election begins.
    pub(super) fn looking(cx: &Cx) -> Self {
        let mode = &cx.config.read_only_mode;
        if !mode.enabled {
            return Self::Off;
        }
        Self::Due(cx.now.mono + mode.patience_min.max(cx.config.tick))
    }
    pub(crate) fn is_on(self) -> bool {
        self == Self::On
    }
    pub(super) fn deadline(self) -> Option<Instant> {
        match self {
            Self::Due(at) => Some(at),
            Self::Off | Self::On => None,
        }
    }
}

impl Server {
    /// Begins to serve what there is when the election has taken too long.
    pub(super) fn lose_patience(&mut self) {
        if let Role::Looking(_) = self.role
            && let ReadOnly::Due(at) = self.cx.read_only
            && at <= self.cx.now.mono
        {
            self.cx.read_only = ReadOnly::On;
            self.cx.note(Note::ReadOnly(true));
        }
    }

    /// There is a leader, or a new election: whoever was served reads connects anew.
    pub(super) fn end_read_only(&mut self) {
        if core::mem::take(&mut self.cx.read_only).is_on() {
            self.order.stop_serving(&mut self.cx);
            self.order.forget_read_only_sessions(&self.cx);
            self.cx.note(Note::ReadOnly(false));
        }
    }
}
