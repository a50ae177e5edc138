//! How much is below each znode.

use zebu_core::tree::Tree;

use super::znode::shown;

/// A znode with all that is below it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Size {
    pub(super) nodes: u64,
    /// Of data.
    pub(super) bytes: u64,
}

/// One znode of [`sizes`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Subtree {
    pub(super) path: String,
    /// Below where it was begun.
    pub(super) depth: usize,
    pub(super) is_leaf: bool,
    pub(super) size: Size,
}

/// `top` and every znode below it, a parent before its children; empty if `top` is not there.
pub(super) fn sizes(tree: &Tree, top: &str) -> Vec<Subtree> {
    let prefix = if top == "/" { "" } else { top };
    let mut found: Vec<Subtree> = Vec::new();
    // Where in `found` those stand that are not complete, each a child of the one before it.
    let mut open: Vec<usize> = Vec::new();
    let mut walk = tree.walk();
    while let Some((path, node)) = walk.next(tree) {
        let below = path.strip_prefix(prefix);
        let Some(below) = below.filter(|rest| rest.is_empty() || rest.starts_with('/')) else {
            continue;
        };
        let depth = below.matches('/').count();
        close(&mut found, &mut open, depth);
        open.push(found.len());
        let bytes = node.data.map_or(0, |data| data.len() as u64);
        found.push(Subtree {
            path: shown(&path).to_owned(),
            depth,
            is_leaf: node.num_children == 0,
            size: Size { nodes: 1, bytes },
        });
    }
    close(&mut found, &mut open, 0);
    found
}

/// Adds those at `depth` and deeper to their parents.
fn close(found: &mut [Subtree], open: &mut Vec<usize>, depth: usize) {
    while open.len() > depth {
        let Some(done) = open.pop() else { return };
        let Some(parent) = open.last() else { return };
        let Size { nodes, bytes } = found[done].size;
        let size = &mut found[*parent].size;
        size.nodes += nodes;
        size.bytes += bytes;
    }
}
