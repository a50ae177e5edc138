//! Who watches which path. Knows neither events nor the tree.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use hashbrown::HashMap;

use super::WatchKind;
use crate::ids::ConnId;
use crate::rng::SeededState;

/// Registrations by path and by connection; a path is kept once, while it is watched.
#[derive(Clone, Debug, Default)]
pub(super) struct Table {
    ids: HashMap<Arc<str>, PathId, SeededState>,
    paths: Vec<Option<Watched>>,
    free: Vec<PathId>,
    conns: BTreeMap<ConnId, BTreeSet<PathId>>,
    count: usize,
}

/// A place in [`Table::paths`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct PathId(u32);

#[derive(Clone, Debug)]
struct Watched {
    path: Arc<str>,
    by: Watchers,
}

/// Most paths are watched by one connection.
#[derive(Clone, Debug)]
enum Watchers {
    One(ConnId, Kinds),
    Many(BTreeMap<ConnId, Kinds>),
}

/// What a connection watches about a path: bits, with room for the persistent modes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct Kinds(u8);

impl Kinds {
    fn bit(kind: WatchKind) -> u8 {
        match kind {
            WatchKind::Data => 1,
            WatchKind::Child => 2,
        }
    }
    fn has(self, kind: WatchKind) -> bool {
        self.0 & Self::bit(kind) != 0
    }
    fn with(self, kind: WatchKind) -> Self {
        Self(self.0 | Self::bit(kind))
    }
    fn without(self, kind: WatchKind) -> Self {
        Self(self.0 & !Self::bit(kind))
    }
    fn is_empty(self) -> bool {
        self.0 == 0
    }
    fn len(self) -> usize {
        self.0.count_ones() as usize
    }
}

impl Watchers {
    fn kinds(&mut self, conn: ConnId) -> &mut Kinds {
        if let Self::One(other, kinds) = self
            && *other != conn
        {
            *self = Self::Many([(*other, *kinds)].into());
        }
        match self {
            Self::One(_, kinds) => kinds,
            Self::Many(all) => all.entry(conn).or_default(),
        }
    }
    /// The connections that watch for `kind`, in order.
    fn of(&self, kind: WatchKind) -> Vec<ConnId> {
        match self {
            Self::One(conn, kinds) if kinds.has(kind) => [*conn].into(),
            Self::One(..) => Vec::new(),
            Self::Many(all) => {
                all.iter().filter(|(_, kinds)| kinds.has(kind)).map(|(conn, _)| *conn).collect()
            }
        }
    }
    /// False when nobody is left.
    fn remove(&mut self, conn: ConnId) -> bool {
        match self {
            Self::One(only, _) => *only != conn,
            Self::Many(all) => {
                all.remove(&conn);
                !all.is_empty()
            }
        }
    }
}

impl Table {
    pub(super) fn new(seed: u64) -> Self {
        Self { ids: HashMap::with_hasher(SeededState::new(seed)), ..Self::default() }
    }

    /// Registrations, a connection that waits for both kinds at a path counting twice.
    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// Registering again changes nothing.
    pub(super) fn add(&mut self, conn: ConnId, kind: WatchKind, path: String) {
        let id = match self.ids.get(path.as_str()) {
            Some(id) => *id,
            None => self.intern(path.into(), conn),
        };
        let Some(watched) = self.paths[id.0 as usize].as_mut() else { return };
        let kinds = watched.by.kinds(conn);
        if !kinds.has(kind) {
            *kinds = kinds.with(kind);
            self.count += 1;
            self.conns.entry(conn).or_default().insert(id);
        }
    }

    /// Takes the registrations of `kind` at `path` away; the connections that had them, in order.
    pub(super) fn take(&mut self, kind: WatchKind, path: &str) -> Vec<ConnId> {
        let Some(&id) = self.ids.get(path) else { return Vec::new() };
        let Some(watched) = self.paths[id.0 as usize].as_mut() else { return Vec::new() };
        let conns = watched.by.of(kind);
        self.count -= conns.len();
        let mut done = Vec::new();
        for conn in &conns {
            let kinds = watched.by.kinds(*conn);
            *kinds = kinds.without(kind);
            if kinds.is_empty() {
                done.push(*conn);
            }
        }
        for conn in done {
            self.unlink(id, conn);
            if let Some(paths) = self.conns.get_mut(&conn) {
                paths.remove(&id);
                if paths.is_empty() {
                    self.conns.remove(&conn);
                }
            }
        }
        conns
    }

    pub(super) fn remove_conn(&mut self, conn: ConnId) {
        for id in self.conns.remove(&conn).unwrap_or_default() {
            if let Some(watched) = self.paths[id.0 as usize].as_mut() {
                self.count -= watched.by.kinds(conn).len();
            }
            self.unlink(id, conn);
        }
    }

    /// `conn` watches nothing at this path any more.
    fn unlink(&mut self, id: PathId, conn: ConnId) {
        let place = &mut self.paths[id.0 as usize];
        let Some(watched) = place else { return };
        if !watched.by.remove(conn) {
            self.ids.remove(&watched.path);
            *place = None;
            self.free.push(id);
        }
    }

    /// A place for a path that nobody watched; `conn` is about to.
    fn intern(&mut self, path: Arc<str>, conn: ConnId) -> PathId {
        let id = self.free.pop().unwrap_or_else(|| {
            self.paths.push(None);
            PathId((self.paths.len() - 1) as u32)
        });
        let by = Watchers::One(conn, Kinds::default());
        self.paths[id.0 as usize] = Some(Watched { path: path.clone(), by });
        self.ids.insert(path, id);
        id
    }

    /// Nothing is kept for anybody.
    #[cfg(test)]
    pub(super) fn is_bare(&self) -> bool {
        self.ids.is_empty() && self.conns.is_empty() && self.free.len() == self.paths.len()
    }
}
