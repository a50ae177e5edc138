//! The one place where the tree changes.
