//! The history of one server: which transactions are logged here, how far they are durable, how far
//! they are committed, how far they are delivered (applied to the tree).
//!
//! `delivered <= committed <= logged` and `durable <= logged`. Only [`History::cut`] (TRUNC) and
//! [`History::replace`] (SNAP) lower a mark. Between terms everything logged is delivered, so that
//! the tree, the log and the vote say the same (upstream: `fastForwardDataBase`).

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use crate::ids::Zxid;
use crate::server::Ticket;
use crate::txn::Entry;

#[derive(Clone, Debug)]
pub struct History {
    /// Delivered entries, newest last, contiguous: what a DIFF can be made of.
    window: VecDeque<Entry>,
    window_max: usize,
    /// Logged and not delivered.
    outstanding: VecDeque<Entry>,
    /// Nothing can be cut below this.
    base: Zxid,
    /// Appends whose durability is not reported yet.
    appending: VecDeque<(Ticket, Zxid)>,
    logged: Zxid,
    durable: Zxid,
    committed: Zxid,
    delivered: Zxid,
}

/// TRUNC was carried out, and the log does not end where it should.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("expected a log that TRUNC cut behind {expected}, found one that ends at {found}")]
pub struct CutElsewhere {
    expected: Zxid,
    found: Zxid,
}

impl History {
    /// What recovery found: all of it logged, durable and delivered.
    pub fn recovered(base: Zxid, last: Zxid, window: Vec<Entry>, window_max: usize) -> Self {
        if let Some(newest) = window.last() {
            assert_eq!(newest.zxid(), last, "the window must end at the last recovered zxid");
        }
        Self {
            window: window.into(),
            window_max,
            outstanding: VecDeque::new(),
            base,
            appending: VecDeque::new(),
            logged: last,
            durable: last,
            committed: last,
            delivered: last,
        }
    }

    pub fn base(&self) -> Zxid {
        self.base
    }
    pub fn logged(&self) -> Zxid {
        self.logged
    }
    pub fn durable(&self) -> Zxid {
        self.durable
    }
    pub fn committed(&self) -> Zxid {
        self.committed
    }
    pub fn delivered(&self) -> Zxid {
        self.delivered
    }
    pub fn outstanding(&self) -> impl Iterator<Item = &Entry> {
        self.outstanding.iter()
    }
    pub fn window(&self) -> &VecDeque<Entry> {
        &self.window
    }

    /// An entry was handed to storage with `ticket`.
    pub fn log(&mut self, entry: Entry, ticket: Ticket) {
        let zxid = entry.zxid();
        assert!(zxid.follows(self.logged), "{zxid} logged behind {}", self.logged);
        self.logged = zxid;
        self.appending.push_back((ticket, zxid));
        self.outstanding.push_back(entry);
    }

    /// Storage reported everything up to `ticket` durable.
    pub fn on_durable(&mut self, ticket: Ticket) {
        while let Some(&(append, zxid)) = self.appending.front() {
            if append > ticket {
                break;
            }
            self.durable = zxid;
            self.appending.pop_front();
        }
    }

    /// Everything up to `zxid` is committed.
    pub fn commit(&mut self, zxid: Zxid) {
        assert!(zxid <= self.logged, "commit of {zxid} beyond the log's {}", self.logged);
        self.committed = self.committed.max(zxid);
    }

    /// Takes the next entry to deliver. The caller applies it and gives it back to
    /// [`History::delivered_now`].
    pub fn next_committed(&mut self) -> Option<Entry> {
        if self.outstanding.front()?.zxid() > self.committed {
            return None;
        }
        self.outstanding.pop_front()
    }

    pub fn delivered_now(&mut self, entry: Entry) {
        assert!(entry.zxid() > self.delivered, "{} after {}", entry.zxid(), self.delivered);
        self.delivered = entry.zxid();
        self.committed = self.committed.max(self.delivered);
        self.window.push_back(entry);
        if self.window.len() > self.window_max {
            self.window.pop_front();
        }
    }

    /// TRUNC: storage was told to cut the log behind `after`. What is left is delivered when it has
    /// been read back, see [`History::read_back`].
    pub fn cut(&mut self, after: Zxid) {
        assert!(self.outstanding.is_empty(), "entries are in flight at the start of a term");
        while self.window.back().is_some_and(|e| e.zxid() > after) {
            self.window.pop_back();
        }
        self.logged = after;
        self.durable = after;
        self.committed = after;
        self.delivered = after;
    }

    /// After TRUNC: what the disk holds now. A disk that disobeys is not built upon.
    pub fn read_back(&mut self, last: Zxid, window: Vec<Entry>) -> Result<(), CutElsewhere> {
        if last != self.delivered {
            return Err(CutElsewhere { expected: self.delivered, found: last });
        }
        self.window = window.into();
        Ok(())
    }

    /// SNAP: a received state up to `zxid` replaces everything. Its `ticket` makes it durable.
    pub fn replace(&mut self, zxid: Zxid, ticket: Ticket) {
        self.window.clear();
        self.outstanding.clear();
        self.appending.clear();
        self.appending.push_back((ticket, zxid));
        self.base = zxid;
        self.logged = zxid;
        self.durable = Zxid::ZERO;
        self.committed = zxid;
        self.delivered = zxid;
    }
}
