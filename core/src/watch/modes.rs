//! The modes in which one connection watches one path: a set, because they do not exclude each
//! other (upstream: `WatchStats`, one for each table).

use crate::proto::WatcherType;

/// How a path is watched (upstream: `WatcherMode`, and the table that it stands in).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum WatchMode {
    /// Once, set by getData and exists.
    Data,
    /// Once, set by getChildren.
    Child,
    /// For good, what both of the above tell.
    Persistent,
    /// For good, what `Data` tells, of the path and of all below it.
    Recursive,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Modes(u8);

impl Modes {
    pub(super) const NONE: Self = Self(0);
    pub(super) const DATA: Self = Self(1);
    pub(super) const CHILD: Self = Self(2);
    /// Upstream has it in both tables, and never in one alone.
    pub(super) const PERSISTENT: Self = Self(4);
    pub(super) const RECURSIVE: Self = Self(8);

    /// Who is told of a node's creation, its deletion and its data (upstream: the data table).
    pub(super) const OF_DATA: Self = Self(1 | 4 | 8);
    /// Who is told of its children and its deletion (upstream: the child table).
    pub(super) const OF_CHILDREN: Self = Self(2 | 4);

    pub(super) const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
    pub(super) const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }
    pub(super) const fn intersects(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
    /// In how many of upstream's two tables this is an entry.
    pub(super) fn count(self) -> usize {
        usize::from(self.intersects(Self::OF_DATA))
            + usize::from(self.intersects(Self::OF_CHILDREN))
    }
}

impl From<WatchMode> for Modes {
    fn from(mode: WatchMode) -> Self {
        match mode {
            WatchMode::Data => Self::DATA,
            WatchMode::Child => Self::CHILD,
            WatchMode::Persistent => Self::PERSISTENT,
            WatchMode::Recursive => Self::RECURSIVE,
        }
    }
}

// ZK: DataTree.containsWatcher, removeWatch (3.9)
impl From<WatcherType> for Modes {
    fn from(watcher: WatcherType) -> Self {
        match watcher {
            WatcherType::Children => Self::CHILD,
            WatcherType::Data => Self::DATA,
            WatcherType::Any => Self::OF_DATA.with(Self::OF_CHILDREN),
            WatcherType::Persistent => Self::PERSISTENT,
            WatcherType::PersistentRecursive => Self::RECURSIVE,
        }
    }
}
