//! Where the znodes are: chunks that clones share and a writer copies only while somebody else
//! holds them. Knows nothing of names.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::iter;

use serde::{Deserialize, Serialize};

use super::node::Znode;

/// Znodes in a chunk: what a change after a clone copies, against what a clone counts.
const CHUNK: usize = 64;

/// A znode's place; used again after the znode is gone, and never shown to anybody.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) struct NodeId(u32);

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Slab {
    chunks: Vec<Arc<[Slot]>>,
    /// The free slot to use next; each one names the one behind it.
    free: Option<NodeId>,
    len: usize,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
enum Slot {
    Used(Znode),
    Free { next: Option<NodeId> },
}

impl NodeId {
    fn place(self) -> (usize, usize) {
        let index = self.0 as usize;
        (index / CHUNK, index % CHUNK)
    }
}

impl Slab {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn get(&self, id: NodeId) -> Option<&Znode> {
        let (chunk, at) = id.place();
        match self.chunks.get(chunk)?.get(at)? {
            Slot::Used(node) => Some(node),
            Slot::Free { .. } => None,
        }
    }

    pub(super) fn get_mut(&mut self, id: NodeId) -> Option<&mut Znode> {
        match self.slot_mut(id)? {
            Slot::Used(node) => Some(node),
            Slot::Free { .. } => None,
        }
    }

    pub(super) fn insert(&mut self, node: Znode) -> NodeId {
        let id = self.free.unwrap_or_else(|| self.grow());
        let slot = self.slot_mut(id).expect("the free list holds slots of this slab");
        let next = match core::mem::replace(slot, Slot::Used(node)) {
            Slot::Free { next } => next,
            Slot::Used(_) => unreachable!("the free list holds free slots"),
        };
        self.free = next;
        self.len += 1;
        id
    }

    pub(super) fn remove(&mut self, id: NodeId) -> Option<Znode> {
        let free = Slot::Free { next: self.free };
        let slot = self.slot_mut(id)?;
        if let Slot::Free { .. } = slot {
            return None;
        }
        let Slot::Used(node) = core::mem::replace(slot, free) else { return None };
        self.free = Some(id);
        self.len -= 1;
        Some(node)
    }

    fn slot_mut(&mut self, id: NodeId) -> Option<&mut Slot> {
        let (chunk, at) = id.place();
        Arc::make_mut(self.chunks.get_mut(chunk)?).get_mut(at)
    }

    /// A new chunk of free slots; the first one.
    fn grow(&mut self) -> NodeId {
        let first = (self.chunks.len() * CHUNK) as u32;
        let next = (1..CHUNK as u32).map(|at| Some(NodeId(first + at))).chain(iter::once(None));
        self.chunks.push(next.map(|next| Slot::Free { next }).collect());
        NodeId(first)
    }

    /// Chunks that no clone holds.
    #[cfg(test)]
    pub(super) fn own_chunks(&self) -> usize {
        self.chunks.iter().filter(|chunk| Arc::strong_count(chunk) == 1).count()
    }
}
