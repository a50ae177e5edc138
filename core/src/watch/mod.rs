//! Watches: who waits for which change of which path. They belong to connections; a session that
//! moves brings its own along (`setWatches`, `setWatches2`).
//!
//! What a change fires, in this order (upstream: `DataTree`, `WatchManager`):
//!
//! | change at P with parent Q | who hears of P's data | of P's children | of Q's children |
//! |---|---|---|---|
//! | created | NodeCreated | | NodeChildrenChanged |
//! | deleted | NodeDeleted | NodeDeleted, unless told already | NodeChildrenChanged |
//! | data changed | NodeDataChanged | | |
//!
//! Of P's data hear its data, persistent and recursive watches, and the recursive ones above it; of
//! its children the child and persistent watches. A connection is told once however many of its
//! watches hear a thing, and those among them that are for one time are used up by it.
//!
//! A million watches, with paths of 16 characters, take 72 bytes each when one connection has them
//! all, 70 when a million connections watch one path, 109 when they watch a path each, and 33 when a
//! thousand watch the same thousand paths. `examples/watch_memory` measures it.
//!
//! Whether a connection may read what it watches is asked when there is something to tell, by who
//! tells it; each notice has the access list to ask.

use alloc::string::String;
use alloc::vec::Vec;

use crate::ids::{ConnId, Zxid};
use crate::mutant::Mutant;
use crate::proto::{Acl, EventKind, SetWatches, WatcherEvent, WatcherType};
use crate::tree::{Change, Tree, path};

mod modes;
mod table;

use modes::Modes;
use table::Table;

pub use modes::WatchMode;

/// One event, and whom to send it to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Notice<'a> {
    pub event: WatcherEvent,
    /// Only to those who may read by this list. The others hear nothing, and their one-time watches
    /// are used up nevertheless.
    pub acl: &'a [Acl],
    pub conns: Vec<ConnId>,
}

/// Watches by path and connection.
#[derive(Clone, Debug, Default)]
pub struct WatchTable {
    table: Table,
    mutant: Option<Mutant>,
}

impl WatchTable {
    pub fn new(seed: u64) -> Self {
        Self { table: Table::new(seed), mutant: None }
    }

    /// The same with a mistake planted, for tests of the simulator (`Config::mutant`).
    pub fn with_mutant(self, mutant: Option<Mutant>) -> Self {
        Self { mutant, ..self }
    }
    fn planted(&self, mutant: Mutant) -> bool {
        cfg!(feature = "mutants") && self.mutant == Some(mutant)
    }

    pub fn register(&mut self, conn: ConnId, mode: WatchMode, path: String) {
        let lasts = matches!(mode, WatchMode::Persistent | WatchMode::Recursive);
        if lasts && self.planted(Mutant::ModeOverwrites) {
            self.table.remove(conn, Modes::PERSISTENT.with(Modes::RECURSIVE), &path);
        }
        self.table.add(conn, mode.into(), path);
    }

    /// Does the connection watch this path so?
    // ZK: DataTree.containsWatcher (3.9)
    pub fn is_watching(&self, conn: ConnId, path: &str, watcher: WatcherType) -> bool {
        self.table.modes(conn, path).intersects(watcher.into())
    }

    /// False when there was nothing to remove.
    // ZK: DataTree.removeWatch (3.9)
    pub fn remove(&mut self, conn: ConnId, path: &str, watcher: WatcherType) -> bool {
        self.table.remove(conn, watcher.into(), path)
    }

    /// The connection is gone, and its watches with it.
    pub fn forget(&mut self, conn: ConnId) {
        if !self.planted(Mutant::WatchLeftAfterClose) {
            self.table.remove_conn(conn);
        }
    }
    /// How many connections have any.
    pub fn conns(&self) -> usize {
        self.table.conns()
    }

    /// The events of one change, in the order in which they are to be sent; one-time watches that
    /// fired are gone.
    // ZK: DataTree.createNode, deleteNode, setData (3.9)
    pub fn fire<'a>(&mut self, change: &'a Change) -> Vec<Notice<'a>> {
        let mut notices = Vec::new();
        let mut push = |kind, path, acl, conns: Vec<ConnId>| {
            if !conns.is_empty() {
                notices.push(Notice { event: event(kind, path), acl, conns });
            }
        };
        match change {
            Change::Created { path, acl, parent_acl } => {
                let parent = path::parent(path);
                push(EventKind::NodeCreated, path, acl, self.hear_of_data(path));
                let above = self.hear_of_children(parent);
                push(EventKind::NodeChildrenChanged, parent, parent_acl, above);
            }
            Change::Deleted { path, acl, parent_acl } => {
                let parent = path::parent(path);
                let told = self.hear_of_data(path);
                let mut others = self.hear_of_children(path);
                others.retain(|conn| told.binary_search(conn).is_err());
                push(EventKind::NodeDeleted, path, acl, told);
                push(EventKind::NodeDeleted, path, acl, others);
                let above = self.hear_of_children(parent);
                push(EventKind::NodeChildrenChanged, parent, parent_acl, above);
            }
            Change::DataChanged { path, acl } => {
                push(EventKind::NodeDataChanged, path, acl, self.hear_of_data(path));
            }
        }
        notices
    }

    /// Catches up after a reconnect: events that are due now, the others armed again.
    // ZK: DataTree.setWatches (3.9)
    pub fn set_watches(
        &mut self,
        conn: ConnId,
        set: &SetWatches,
        tree: &Tree,
    ) -> Vec<WatcherEvent> {
        let exist_as_data = self.planted(Mutant::ExistsWatchAsData);
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
                Some(_) => self.register(conn, WatchMode::Data, path.clone()),
            }
        }
        for path in &set.exist {
            if stat(path).is_some() && !exist_as_data {
                events.push(event(EventKind::NodeCreated, path));
            } else {
                self.register(conn, WatchMode::Data, path.clone());
            }
        }
        for path in &set.child {
            match stat(path) {
                None => events.push(event(EventKind::NodeDeleted, path)),
                Some(stat) if is_new(stat.pzxid) => {
                    events.push(event(EventKind::NodeChildrenChanged, path));
                }
                Some(_) => self.register(conn, WatchMode::Child, path.clone()),
            }
        }
        // These tell of every change while they stand, and of none that was before: upstream's rule.
        for path in &set.persistent {
            self.register(conn, WatchMode::Persistent, path.clone());
        }
        for path in &set.persistent_recursive {
            self.register(conn, WatchMode::Recursive, path.clone());
        }
        events
    }

    /// Paths whose data or existence is watched, once or for good, and by which connections.
    // ZK: DataTree.dumpWatches: the child table never shows (3.9)
    pub fn data_watches(&self) -> impl Iterator<Item = (&str, Vec<ConnId>)> {
        self.table.watched_in(Modes::OF_DATA)
    }

    /// Upstream's `watch_count`: registrations in both tables.
    pub fn count(&self) -> usize {
        self.table.count()
    }

    /// The connections to be told of a change at `path` itself, in order.
    // ZK: WatchManager.triggerWatch (3.9) of the data table, PathParentIterator
    fn hear_of_data(&mut self, path: &str) -> Vec<ConnId> {
        let mut conns = self.take(path, Modes::OF_DATA, Modes::DATA);
        if self.table.has_recursive() {
            let mut above = path;
            while let Some((parent, _)) = path::split(above) {
                conns.extend(self.table.watching(parent, Modes::RECURSIVE));
                above = parent;
            }
            conns.sort_unstable();
            conns.dedup();
        }
        conns
    }

    // ZK: WatchManager.triggerWatch (3.9) of the child table
    fn hear_of_children(&mut self, path: &str) -> Vec<ConnId> {
        let heard = match self.planted(Mutant::RecursiveGetsChildrenEvent) {
            true => Modes::OF_CHILDREN.with(Modes::RECURSIVE),
            false => Modes::OF_CHILDREN,
        };
        self.take(path, heard, Modes::CHILD)
    }

    /// Those that watch `path` in one of `heard`, in order; their watches of `once` are used up.
    fn take(&mut self, path: &str, heard: Modes, once: Modes) -> Vec<ConnId> {
        let conns = self.table.watching(path, heard);
        for conn in &conns {
            self.table.remove(*conn, once, path);
        }
        conns
    }
}

fn event(kind: EventKind, path: &str) -> WatcherEvent {
    WatcherEvent { kind, path: path.into() }
}

#[cfg(test)]
mod tests;
