//! A sorted map from names, for children and for indexes of paths. It is cut into leaves that
//! clones share: a clone costs a reference count for each leaf, a change copies one leaf at most.

use alloc::sync::Arc;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

/// Entries of a full leaf. It bounds what a change after a clone copies, and how many leaves a
/// clone of a znode with very many children counts.
const LEAF_MAX: usize = 64;

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Names<V> {
    /// In order, none of them empty.
    leaves: Vec<Arc<Leaf<V>>>,
    len: usize,
}

type Leaf<V> = Vec<(Arc<str>, V)>;

/// Where an entry is, or would be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Place {
    leaf: usize,
    at: usize,
}

impl<V> Default for Names<V> {
    fn default() -> Self {
        Self { leaves: Vec::new(), len: 0 }
    }
}

impl<V: Clone> Names<V> {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn get(&self, name: &str) -> Option<&V> {
        let place = self.find(name).ok()?;
        Some(&self.leaves[place.leaf][place.at].1)
    }

    /// Puts `value` under `name`, in place of what was there.
    pub(super) fn insert(&mut self, name: Arc<str>, value: V) {
        match self.find(&name) {
            Ok(place) => Arc::make_mut(&mut self.leaves[place.leaf])[place.at].1 = value,
            Err(place) => {
                self.len += 1;
                if self.leaves.is_empty() {
                    // Room for one: most znodes have few children, and most of them one.
                    self.leaves.push(Arc::new([(name, value)].into()));
                    return;
                }
                let leaf = Arc::make_mut(&mut self.leaves[place.leaf]);
                leaf.insert(place.at, (name, value));
                if leaf.len() > LEAF_MAX {
                    // Sequential names arrive in order: do not leave half-empty leaves behind them.
                    let cut = if place.at == LEAF_MAX { LEAF_MAX } else { LEAF_MAX / 2 };
                    let upper = leaf.split_off(cut);
                    self.leaves.insert(place.leaf + 1, Arc::new(upper));
                }
            }
        }
    }

    pub(super) fn remove(&mut self, name: &str) -> Option<V> {
        let place = self.find(name).ok()?;
        let leaf = Arc::make_mut(&mut self.leaves[place.leaf]);
        let (_, value) = leaf.remove(place.at);
        let left = leaf.len();
        self.len -= 1;
        if left == 0 {
            self.leaves.remove(place.leaf);
        } else if left < LEAF_MAX / 4 {
            self.join_with_next(place.leaf);
            self.join_with_next(place.leaf.wrapping_sub(1));
        }
        Some(value)
    }

    /// Keeps the number of leaves in proportion to the entries.
    fn join_with_next(&mut self, leaf: usize) {
        let behind = leaf.wrapping_add(1);
        let (Some(this), Some(next)) = (self.leaves.get(leaf), self.leaves.get(behind)) else {
            return;
        };
        if this.len() + next.len() <= LEAF_MAX / 2 {
            let next = self.leaves.remove(behind);
            Arc::make_mut(&mut self.leaves[leaf]).extend(next.iter().cloned());
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&Arc<str>, &V)> {
        self.leaves.iter().flat_map(|leaf| leaf.iter()).map(|(name, value)| (name, value))
    }

    /// The first entry, or the first one behind `name`, which need not be in the map.
    pub(super) fn first_after(&self, name: Option<&str>) -> Option<(&Arc<str>, &V)> {
        let place = match name.map(|name| self.find(name)) {
            None => Place { leaf: 0, at: 0 },
            Some(Ok(place)) => Place { at: place.at + 1, ..place },
            Some(Err(place)) => place,
        };
        let leaf = self.leaves.get(place.leaf)?;
        let (name, value) =
            leaf.get(place.at).or_else(|| self.leaves.get(place.leaf + 1)?.first())?;
        Some((name, value))
    }

    fn find(&self, name: &str) -> Result<Place, Place> {
        let leaf = self.leaves.partition_point(|leaf| &*leaf[0].0 <= name).saturating_sub(1);
        let Some(entries) = self.leaves.get(leaf) else { return Err(Place { leaf, at: 0 }) };
        match entries.binary_search_by(|(other, _)| (**other).cmp(name)) {
            Ok(at) => Ok(Place { leaf, at }),
            Err(at) => Err(Place { leaf, at }),
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::collections::BTreeMap;
    use alloc::format;
    use alloc::string::String;

    use proptest::prelude::*;

    use super::*;

    fn agree(names: &Names<u32>, model: &BTreeMap<String, u32>) {
        let ours = names.iter().map(|(name, value)| (&**name, *value));
        assert!(ours.eq(model.iter().map(|(name, value)| (name.as_str(), *value))));
        assert_eq!(names.len(), model.len());
        assert!(names.leaves.iter().all(|leaf| !leaf.is_empty()));
        assert!(names.leaves.iter().all(|leaf| leaf.len() <= LEAF_MAX));
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, cases: 64, ..ProptestConfig::default() })]
        #[test]
        fn like_a_btree_map(ops in prop::collection::vec((any::<bool>(), 0u32..400), 0..1200)) {
            let (mut names, mut model) = (Names::default(), BTreeMap::new());
            let mut earlier = None;
            for (index, (insert, key)) in ops.into_iter().enumerate() {
                let name = format!("{key:03}");
                if insert {
                    names.insert(name.as_str().into(), index as u32);
                    model.insert(name.clone(), index as u32);
                } else {
                    prop_assert_eq!(names.remove(&name), model.remove(&name));
                }
                let after = model.range::<str, _>((
                    core::ops::Bound::Excluded(name.as_str()),
                    core::ops::Bound::Unbounded,
                ));
                let next = names.first_after(Some(&name)).map(|(name, value)| (&**name, *value));
                prop_assert_eq!(next, after.map(|(name, value)| (name.as_str(), *value)).next());
                prop_assert_eq!(names.get(&name), model.get(&name));
                if index == 600 {
                    earlier = Some((names.clone(), model.clone()));
                }
            }
            agree(&names, &model);
            if let Some((names, model)) = earlier {
                agree(&names, &model);
            }
        }
    }

    #[test]
    fn leaves_stay_in_proportion() {
        let mut names = Names::default();
        for key in 0..10_000u32 {
            names.insert(format!("{key:05}").into(), key);
        }
        assert_eq!(names.leaves.len(), 10_000usize.div_ceil(LEAF_MAX));
        for key in (0..10_000u32).filter(|key| key % 100 != 0) {
            names.remove(&format!("{key:05}"));
        }
        assert_eq!(names.len(), 100);
        assert!(names.leaves.len() <= 20, "{}", names.leaves.len());
    }
}
