//! Watches: who waits for which change of which path. They belong to connections.

use alloc::string::String;
use alloc::vec::Vec;

use crate::ids::ConnId;
use crate::proto::{SetWatches, WatcherEvent};
use crate::tree::{Change, Tree};

/// What a watch waits for (upstream: the data and the child table).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum WatchKind {
    /// Set by getData and exists.
    Data,
    /// Set by getChildren.
    Child,
}

#[derive(Clone, Debug, Default)]
pub struct WatchTable {}

impl WatchTable {
    pub fn new(seed: u64) -> Self {
        let _ = seed;
        todo!()
    }
    pub fn register(&mut self, conn: ConnId, kind: WatchKind, path: String) {
        let _ = (conn, kind, path);
        todo!()
    }
    /// The connection is gone, and its watches with it.
    pub fn forget(&mut self, conn: ConnId) {
        let _ = conn;
        todo!()
    }
    /// The events of one change, in the order in which they are to be sent; one-time watches that
    /// fired are gone.
    pub fn fire(&mut self, change: &Change) -> Vec<(ConnId, WatcherEvent)> {
        let _ = change;
        todo!()
    }
    /// Catches up after a reconnect: events that are due now, the others armed again.
    pub fn set_watches(
        &mut self,
        conn: ConnId,
        set: &SetWatches,
        tree: &Tree,
    ) -> Vec<WatcherEvent> {
        let _ = (conn, set, tree);
        todo!()
    }
    /// Upstream's `watch_count`: registrations in both tables.
    pub fn count(&self) -> usize {
        todo!()
    }
}
