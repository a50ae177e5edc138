//! Going through the tree in pieces, for whoever writes it down beside other work.

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::slab::NodeId;
use super::{Node, Tree};

/// A place in a walk over one tree; ask it with that tree, or a clone, and it goes on. With another
/// tree it ends early or goes astray, and harms nothing.
#[derive(Clone, Debug)]
pub struct Walk {
    /// The znode last returned, and those above it, each with the length of its path.
    stack: Vec<(NodeId, usize)>,
    path: String,
    begun: bool,
}

impl Walk {
    pub(super) fn from(id: NodeId, path: &str) -> Self {
        let path = if path == "/" { "" } else { path };
        Self { stack: [(id, path.len())].into(), path: path.into(), begun: false }
    }

    /// The next znode and its path, a parent before its children.
    pub fn next<'t>(&mut self, tree: &'t Tree) -> Option<(String, Node<'t>)> {
        if !self.begun {
            self.begun = true;
            let (id, _) = *self.stack.last()?;
            return Some((self.path.clone(), tree.node(id)?.view()));
        }
        let mut behind: Option<String> = None;
        loop {
            let (parent, len) = *self.stack.last()?;
            let children = &tree.node(parent)?.children;
            if let Some((name, id)) = children.first_after(behind.as_deref()) {
                return Some((self.descend(name, *id), tree.node(*id)?.view()));
            }
            self.stack.pop();
            let above = self.stack.last().map_or(0, |(_, len)| *len);
            behind = self.path.get(above + 1..len).map(String::from);
            self.path.truncate(above);
        }
    }

    fn descend(&mut self, name: &Arc<str>, id: NodeId) -> String {
        self.path.push('/');
        self.path.push_str(name);
        self.stack.push((id, self.path.len()));
        self.path.clone()
    }
}
