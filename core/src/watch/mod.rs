//! Watches: who waits for which change of which path. They belong to connections; a session that
//! moves brings its own along (`setWatches`).
//!
//! What a change fires, in this order (upstream: `DataTree`, `WatchManager`):
//!
//! | change at P with parent Q | data watches at P | child watches at P | child watches at Q |
//! |---|---|---|---|
//! | created | NodeCreated | | NodeChildrenChanged |
//! | deleted | NodeDeleted | NodeDeleted, unless notified already | NodeChildrenChanged |
//! | data changed | NodeDataChanged | | |
//!
//! Whether a connection may still read what it watches is not asked here.

use alloc::string::String;
use alloc::vec::Vec;

use crate::ids::{ConnId, Zxid};
use crate::mutant::Mutant;
use crate::proto::{EventKind, SetWatches, WatcherEvent};
use crate::tree::{Change, Tree, path};

mod table;

use table::Table;

/// What a watch waits for (upstream: the data and the child table).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum WatchKind {
    /// Set by getData and exists.
    Data,
    /// Set by getChildren.
    Child,
}

/// One-time watches by path and connection.
#[derive(Clone, Debug, Default)]
pub struct WatchTable {
    table: Table,
}

impl WatchTable {
    pub fn new(seed: u64) -> Self {
        Self { table: Table::new(seed) }
    }

    pub fn register(&mut self, conn: ConnId, kind: WatchKind, path: String) {
        self.table.add(conn, kind, path);
    }

    /// The connection is gone, and its watches with it.
    pub fn forget(&mut self, conn: ConnId) {
        self.table.remove_conn(conn);
    }

    /// The events of one change, in the order in which they are to be sent; one-time watches that
    /// fired are gone.
    // ZK: DataTree.createNode, deleteNode, setData (3.9)
    pub fn fire(&mut self, change: &Change) -> Vec<(ConnId, WatcherEvent)> {
        let mut events = Vec::new();
        match change {
            Change::Created { path } => {
                self.trigger(&mut events, WatchKind::Data, EventKind::NodeCreated, path);
                self.trigger_parent(&mut events, path);
            }
            Change::Deleted { path } => {
                self.trigger(&mut events, WatchKind::Data, EventKind::NodeDeleted, path);
                // Both lists are in order of connections.
                let notified = events.len();
                for conn in self.table.take(WatchKind::Child, path) {
                    if events[..notified].binary_search_by_key(&conn, |(conn, _)| *conn).is_err() {
                        events.push((conn, event(EventKind::NodeDeleted, path)));
                    }
                }
                self.trigger_parent(&mut events, path);
            }
            Change::DataChanged { path } => {
                self.trigger(&mut events, WatchKind::Data, EventKind::NodeDataChanged, path);
            }
        }
        events
    }

    /// Catches up after a reconnect: events that are due now, the others armed again.
    pub fn set_watches(
        &mut self,
        conn: ConnId,
        set: &SetWatches,
        tree: &Tree,
    ) -> Vec<WatcherEvent> {
        self.set_watches_with(conn, set, tree, None)
    }

    /// The same with a mistake planted, for tests of the simulator (`Config::mutant`).
    // ZK: DataTree.setWatches (3.9)
    pub fn set_watches_with(
        &mut self,
        conn: ConnId,
        set: &SetWatches,
        tree: &Tree,
        mutant: Option<Mutant>,
    ) -> Vec<WatcherEvent> {
        let exist_as_data = cfg!(feature = "mutants") && mutant == Some(Mutant::ExistsWatchAsData);
        let stat = |path: &str| tree.get(path).map(|node| *node.stat);
        // Signed, as upstream compares: nothing is after a client's largest zxid.
        let is_new = |zxid: Zxid| zxid.to_wire() > set.relative_zxid.to_wire();
        let mut events = Vec::new();
        for path in &set.data {
            match stat(path) {
                None => events.push(event(EventKind::NodeDeleted, path)),
                Some(stat) if is_new(stat.mzxid) => {
                    events.push(event(EventKind::NodeDataChanged, path));
                }
                Some(_) => self.register(conn, WatchKind::Data, path.clone()),
            }
        }
        for path in &set.exist {
            if stat(path).is_some() && !exist_as_data {
                events.push(event(EventKind::NodeCreated, path));
            } else {
                self.register(conn, WatchKind::Data, path.clone());
            }
        }
        for path in &set.child {
            match stat(path) {
                None => events.push(event(EventKind::NodeDeleted, path)),
                Some(stat) if is_new(stat.pzxid) => {
                    events.push(event(EventKind::NodeChildrenChanged, path));
                }
                Some(_) => self.register(conn, WatchKind::Child, path.clone()),
            }
        }
        events
    }

    /// Upstream's `watch_count`: registrations in both tables.
    pub fn count(&self) -> usize {
        self.table.count()
    }

    fn trigger(
        &mut self,
        events: &mut Vec<(ConnId, WatcherEvent)>,
        watched: WatchKind,
        kind: EventKind,
        path: &str,
    ) {
        let conns = self.table.take(watched, path);
        events.extend(conns.into_iter().map(|conn| (conn, event(kind, path))));
    }

    fn trigger_parent(&mut self, events: &mut Vec<(ConnId, WatcherEvent)>, path: &str) {
        let parent = path::parent(path);
        self.trigger(events, WatchKind::Child, EventKind::NodeChildrenChanged, parent);
    }
}

fn event(kind: EventKind, path: &str) -> WatcherEvent {
    WatcherEvent { kind, path: path.into() }
}

#[cfg(test)]
mod tests;
