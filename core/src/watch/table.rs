//! Who watches which path, and in which modes. Knows neither events nor the tree.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::vec::Vec;
use core::hash::BuildHasher;

use hashbrown::HashTable;

use super::modes::Modes;
use crate::ids::ConnId;
use crate::rng::SeededState;

/// Registrations by path and by connection; a path is kept once, while it is watched.
#[derive(Clone, Debug, Default)]
pub(super) struct Table {
    hasher: SeededState,
    ids: HashTable<PathId>,
    paths: Vec<Option<Watched>>,
    free: Vec<PathId>,
    conns: BTreeMap<ConnId, Paths>,
    count: usize,
    /// Recursive registrations: without any, nobody above a path need be asked.
    recursive: usize,
}

/// A place in [`Table::paths`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct PathId(u32);

#[derive(Clone, Debug)]
struct Watched {
    path: Box<str>,
    by: Watchers,
}

/// Most paths are watched by one connection, and should take no more room than that.
#[derive(Clone, Debug)]
enum Watchers {
    One(ConnId, Modes),
    #[expect(clippy::box_collection, reason = "half of the size of every `One`")]
    Many(Box<BTreeMap<ConnId, Modes>>),
}

impl Watchers {
    fn of(&self, conn: ConnId) -> Modes {
        match self {
            Self::One(only, modes) if *only == conn => *modes,
            Self::One(..) => Modes::NONE,
            Self::Many(all) => all.get(&conn).copied().unwrap_or(Modes::NONE),
        }
    }
    fn of_mut(&mut self, conn: ConnId) -> &mut Modes {
        if let Self::One(other, modes) = self
            && *other != conn
        {
            *self = Self::Many(Box::new([(*other, *modes)].into()));
        }
        match self {
            Self::One(_, modes) => modes,
            Self::Many(all) => all.entry(conn).or_insert(Modes::NONE),
        }
    }
    /// The connections that watch in one of `modes`, in order.
    fn in_any(&self, modes: Modes) -> Vec<ConnId> {
        match self {
            Self::One(conn, has) if has.intersects(modes) => [*conn].into(),
            Self::One(..) => Vec::new(),
            Self::Many(all) => {
                let those = all.iter().filter(|(_, has)| has.intersects(modes));
                those.map(|(conn, _)| *conn).collect()
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

/// What a connection watches: never nothing. A million connections often watch one path each.
#[derive(Clone, Debug)]
enum Paths {
    One(PathId),
    #[expect(clippy::box_collection, reason = "half of the size of every `One`")]
    Many(Box<BTreeSet<PathId>>),
}

impl Paths {
    fn insert(&mut self, id: PathId) {
        match self {
            Self::One(only) if *only == id => {}
            Self::One(only) => *self = Self::Many(Box::new([*only, id].into())),
            Self::Many(all) => {
                all.insert(id);
            }
        }
    }
    /// False when nothing is left.
    fn remove(&mut self, id: PathId) -> bool {
        match self {
            Self::One(only) => *only != id,
            Self::Many(all) => {
                all.remove(&id);
                !all.is_empty()
            }
        }
    }
    fn to_vec(&self) -> Vec<PathId> {
        match self {
            Self::One(only) => [*only].into(),
            Self::Many(all) => all.iter().copied().collect(),
        }
    }
}

impl Table {
    pub(super) fn new(seed: u64) -> Self {
        Self { hasher: SeededState::new(seed), ..Self::default() }
    }

    /// Registrations as upstream counts them, see [`Modes::count`].
    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// How many connections have any.
    pub(super) fn conns(&self) -> usize {
        self.conns.len()
    }

    pub(super) fn has_recursive(&self) -> bool {
        self.recursive > 0
    }

    /// Each path with the connections that watch it in one of `modes`, in no useful order.
    pub(super) fn watched_in(&self, modes: Modes) -> impl Iterator<Item = (&str, Vec<ConnId>)> {
        let all = self.paths.iter().flatten();
        let those = all.map(move |watched| (&*watched.path, watched.by.in_any(modes)));
        those.filter(|(_, conns)| !conns.is_empty())
    }

    /// In which modes `conn` watches `path`.
    pub(super) fn modes(&self, conn: ConnId, path: &str) -> Modes {
        self.watched(path).map_or(Modes::NONE, |watched| watched.by.of(conn))
    }

    /// The connections that watch `path` in one of `modes`, in order.
    pub(super) fn watching(&self, path: &str, modes: Modes) -> Vec<ConnId> {
        self.watched(path).map_or_else(Vec::new, |watched| watched.by.in_any(modes))
    }

    /// Registering again changes nothing.
    pub(super) fn add(&mut self, conn: ConnId, modes: Modes, path: String) {
        let id = self.find(&path).unwrap_or_else(|| self.intern(path.into(), conn));
        let before = self.paths[id.0 as usize].as_ref().map_or(Modes::NONE, |w| w.by.of(conn));
        self.replace(id, conn, before.with(modes));
    }

    /// Takes `modes` from what `conn` has at `path`; whether it had any of them.
    pub(super) fn remove(&mut self, conn: ConnId, modes: Modes, path: &str) -> bool {
        let Some(id) = self.find(path) else { return false };
        let has = self.modes(conn, path);
        if has.intersects(modes) {
            self.replace(id, conn, has.without(modes));
        }
        has.intersects(modes)
    }

    pub(super) fn remove_conn(&mut self, conn: ConnId) {
        for id in self.conns.get(&conn).map(Paths::to_vec).unwrap_or_default() {
            self.replace(id, conn, Modes::NONE);
        }
    }

    /// The one place where a registration changes. `conn` watches from now on in these modes.
    fn replace(&mut self, id: PathId, conn: ConnId, modes: Modes) {
        let place = &mut self.paths[id.0 as usize];
        let Some(watched) = place else { return };
        let before = core::mem::replace(watched.by.of_mut(conn), modes);
        self.count = self.count + modes.count() - before.count();
        let recursive = |modes: Modes| usize::from(modes.intersects(Modes::RECURSIVE));
        self.recursive = self.recursive + recursive(modes) - recursive(before);
        if modes != Modes::NONE {
            if before == Modes::NONE {
                let paths = self.conns.entry(conn).or_insert(Paths::One(id));
                paths.insert(id);
            }
            return;
        }
        if self.conns.get_mut(&conn).is_some_and(|paths| !paths.remove(id)) {
            self.conns.remove(&conn);
        }
        if !watched.by.remove(conn) {
            let hash = self.hasher.hash_one(&*watched.path);
            if let Ok(entry) = self.ids.find_entry(hash, |other| *other == id) {
                entry.remove();
            }
            *place = None;
            self.free.push(id);
        }
    }

    fn find(&self, path: &str) -> Option<PathId> {
        let is_this = |id: &PathId| self.path(*id) == Some(path);
        self.ids.find(self.hasher.hash_one(path), is_this).copied()
    }
    fn watched(&self, path: &str) -> Option<&Watched> {
        self.paths[self.find(path)?.0 as usize].as_ref()
    }
    fn path(&self, id: PathId) -> Option<&str> {
        self.paths[id.0 as usize].as_ref().map(|watched| &*watched.path)
    }

    /// A place for a path that nobody watched; `conn` is about to.
    fn intern(&mut self, path: Box<str>, conn: ConnId) -> PathId {
        let id = self.free.pop().unwrap_or_else(|| {
            self.paths.push(None);
            PathId((self.paths.len() - 1) as u32)
        });
        let hash = self.hasher.hash_one(&*path);
        self.paths[id.0 as usize] = Some(Watched { path, by: Watchers::One(conn, Modes::NONE) });
        let (paths, hasher) = (&self.paths, &self.hasher);
        self.ids.insert_unique(hash, id, |other| {
            let path = paths[other.0 as usize].as_ref().map_or("", |watched| &*watched.path);
            hasher.hash_one(path)
        });
        id
    }

    /// Nothing is kept for anybody.
    #[cfg(test)]
    pub(super) fn is_bare(&self) -> bool {
        self.ids.is_empty()
            && self.conns.is_empty()
            && self.free.len() == self.paths.len()
            && self.recursive == 0
    }
}

#[cfg(test)]
mod tests {
    /// Each watched path costs this much besides its name; a million of them are common.
    #[test]
    fn a_watched_path_is_small() {
        assert_eq!(size_of::<Option<super::Watched>>(), 32);
        assert_eq!(size_of::<super::Paths>(), 16);
    }
}
