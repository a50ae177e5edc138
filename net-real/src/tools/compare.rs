//! Two databases held against each other (upstream: `SnapshotComparer`, which knows sizes only).

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;
use zebu_core::tree::{Database, Node};

use super::sizes::{Size, sizes};
use super::words::{AclWord, Hex, Payload, Word};
use super::znode::{OwnerWord, shown};

/// One thing that is not the same on both sides.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct Difference {
    /// A path, `session 0x..` or `zxid`.
    pub(super) what: String,
    pub(super) is: Side,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) fields: BTreeMap<&'static str, [String; 2]>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Side {
    OnlyLeft,
    OnlyRight,
    Changed,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = match self.is {
            Side::OnlyLeft => '-',
            Side::OnlyRight => '+',
            Side::Changed => '~',
        };
        // A session's words are our own.
        let word = if self.what.starts_with('/') {
            Word(&self.what).to_string()
        } else {
            self.what.clone()
        };
        write!(f, "{sign} {word}")?;
        for (field, [left, right]) in &self.fields {
            write!(f, " {field}: {left} -> {right}")?;
        }
        Ok(())
    }
}

/// All differences, in the order of paths, then sessions, then the zxid. `data`: show it.
pub(super) fn differences(
    left: &Database,
    right: &Database,
    ignored: &[String],
    data: bool,
    found: &mut dyn FnMut(Difference) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    znodes(left, right, ignored, data, found)?;
    let mut sessions: BTreeMap<_, [Option<i32>; 2]> = BTreeMap::new();
    for (side, database) in [left, right].into_iter().enumerate() {
        for (session, timeout) in &database.sessions {
            sessions.entry(*session).or_default()[side] = Some(*timeout);
        }
    }
    for (session, timeouts) in sessions {
        let what = format!("session {session}");
        let (is, fields) = match timeouts {
            [Some(left), Some(right)] if left == right => continue,
            [Some(left), Some(right)] => {
                (Side::Changed, [("timeout", [left.to_string(), right.to_string()])].into())
            }
            [Some(_), None] => (Side::OnlyLeft, BTreeMap::new()),
            [None, _] => (Side::OnlyRight, BTreeMap::new()),
        };
        found(Difference { what, is, fields })?;
    }
    let zxids = [left, right].map(|database| Hex::from(database.last_processed).to_string());
    if zxids[0] != zxids[1] {
        let fields = [("last", zxids)].into();
        found(Difference { what: "zxid".into(), is: Side::Changed, fields })?;
    }
    Ok(())
}

fn znodes(
    left: &Database,
    right: &Database,
    ignored: &[String],
    data: bool,
    found: &mut dyn FnMut(Difference) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let (mut left_walk, mut right_walk) = (left.tree.walk(), right.tree.walk());
    let mut a = left_walk.next(&left.tree);
    let mut b = right_walk.next(&right.tree);
    loop {
        let order = match (&a, &b) {
            (None, None) => return Ok(()),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some((left, _)), Some((right, _))) => by_names(left, right),
        };
        // The side with the lesser path is the one that has it.
        let is_left = order != Ordering::Greater;
        let is_right = order != Ordering::Less;
        let left_node = a.take_if(|_| is_left);
        let right_node = b.take_if(|_| is_right);
        let (path, is, fields) = match (left_node, right_node) {
            (Some((path, left)), Some((_, right))) => {
                (path, Side::Changed, fields(left, right, data))
            }
            (Some((path, _)), None) => (path, Side::OnlyLeft, BTreeMap::new()),
            (None, Some((path, _))) => (path, Side::OnlyRight, BTreeMap::new()),
            (None, None) => return Ok(()),
        };
        let same = is == Side::Changed && fields.is_empty();
        if !same && !ignored.iter().any(|top| is_at_or_below(&path, top)) {
            found(Difference { what: shown(&path).into(), is, fields })?;
        }
        if is_left {
            a = left_walk.next(&left.tree);
        }
        if is_right {
            b = right_walk.next(&right.tree);
        }
    }
}

/// The order of a walk: a parent, then its children by name.
fn by_names(left: &str, right: &str) -> Ordering {
    left.split('/').cmp(right.split('/'))
}

fn is_at_or_below(path: &str, top: &str) -> bool {
    let top = top.strip_suffix('/').unwrap_or(top);
    path.strip_prefix(top).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// What differs in one znode.
fn fields(left: Node<'_>, right: Node<'_>, data: bool) -> BTreeMap<&'static str, [String; 2]> {
    let mut fields = BTreeMap::new();
    let both = [left, right];
    let mut differs = |name, values: [String; 2]| {
        if values[0] != values[1] {
            fields.insert(name, values);
        }
    };
    let stats = both.map(|node| *node.stat);
    differs("version", stats.map(|stat| stat.version.to_string()));
    differs("cversion", stats.map(|stat| stat.cversion.to_string()));
    differs("aversion", stats.map(|stat| stat.aversion.to_string()));
    differs("czxid", stats.map(|stat| Hex::from(stat.czxid).to_string()));
    differs("mzxid", stats.map(|stat| Hex::from(stat.mzxid).to_string()));
    differs("pzxid", stats.map(|stat| Hex::from(stat.pzxid).to_string()));
    differs("ctime", stats.map(|stat| stat.ctime.to_string()));
    differs("mtime", stats.map(|stat| stat.mtime.to_string()));
    let owner = |node: Node<'_>| match OwnerWord::of(node.owner()).to_string() {
        nobody if nobody.is_empty() => "nobody".to_owned(),
        somebody => somebody.trim_start().to_owned(),
    };
    differs("owner", both.map(owner));
    differs("acl", both.map(|node| AclWord(node.acl).to_string()));
    if left.data != right.data {
        let in_words = |node: Node<'_>| match node.data {
            None => "null".to_owned(),
            Some(bytes) if data => Payload(bytes).to_string(),
            Some(bytes) => format!("{} bytes", bytes.len()),
        };
        fields.insert("data", both.map(in_words));
    }
    fields
}

/// A path whose subtree became larger or smaller.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct Growth {
    path: String,
    descendants: [u64; 2],
    bytes: [u64; 2],
}

impl fmt::Display for Growth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ([left, right], [bytes, more]) = (self.descendants, self.bytes);
        let path = Word(&self.path);
        write!(f, "{path} descendants: {left} -> {right} bytes: {bytes} -> {more}")
    }
}

/// The subtrees that differ by more than so many znodes or bytes of data.
// ZK: SnapshotComparer.compareNodes (3.9)
pub(super) fn growth(
    left: &Database,
    right: &Database,
    ignored: &[String],
    nodes_over: u64,
    bytes_over: u64,
) -> Vec<Growth> {
    let mut paths: BTreeMap<String, [Size; 2]> = BTreeMap::new();
    for (side, database) in [left, right].into_iter().enumerate() {
        for znode in sizes(&database.tree, "/") {
            paths.entry(znode.path).or_default()[side] = znode.size;
        }
    }
    let grown = paths.into_iter().filter_map(|(path, [left, right])| {
        // One that is on one side only counts as upstream counts it: without itself.
        let descendants = [left, right].map(|size| size.nodes.saturating_sub(1));
        let bytes = [left, right].map(|size| size.bytes);
        let over = descendants[0].abs_diff(descendants[1]) > nodes_over
            || bytes[0].abs_diff(bytes[1]) > bytes_over;
        let seen = over && !ignored.iter().any(|top| is_at_or_below(&path, top));
        seen.then_some(Growth { path, descendants, bytes })
    });
    grown.collect()
}
