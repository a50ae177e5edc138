//! A znode and a session in words, as a snapshot keeps them. `cversion` is the stored one, which
//! counts creations of children; clients see it otherwise.

use std::fmt;

use serde::Serialize;
use zebu_core::ids::SessionId;
use zebu_core::tree::{Node, Owner};

use super::words::{AclWord, Hex, OrNull, Payload, Word};
use crate::utc::time_text;

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ZnodeLine<'a> {
    path: &'a str,
    data_length: Option<usize>,
    /// The inner one is `None` for null data.
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<Option<Payload<'a>>>,
    num_children: usize,
    version: i32,
    cversion: i32,
    aversion: i32,
    czxid: Hex,
    mzxid: Hex,
    pzxid: Hex,
    /// Milliseconds since 1970.
    ctime: i64,
    mtime: i64,
    #[serde(flatten)]
    owner: OwnerWord,
    acl: AclWord<'a>,
}

impl<'a> ZnodeLine<'a> {
    /// `path` as the walk gives it, empty for the root.
    pub(super) fn of(path: &'a str, node: Node<'a>, data: bool) -> Self {
        let stat = node.stat;
        Self {
            path: shown(path),
            data_length: node.data.map(|data| data.len()),
            data: data.then(|| node.data.map(|data| Payload(data))),
            num_children: node.num_children,
            version: stat.version,
            cversion: stat.cversion,
            aversion: stat.aversion,
            czxid: stat.czxid.into(),
            mzxid: stat.mzxid.into(),
            pzxid: stat.pzxid.into(),
            ctime: stat.ctime,
            mtime: stat.mtime,
            owner: OwnerWord::of(node.owner()),
            acl: AclWord(node.acl),
        }
    }
}

/// The root has a name.
pub(super) fn shown(path: &str) -> &str {
    if path.is_empty() { "/" } else { path }
}

impl fmt::Display for ZnodeLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", Word(self.path))?;
        match self.data {
            Some(data) => write!(f, " data={}", OrNull(data))?,
            None => write!(f, " dataLength={}", OrNull(self.data_length))?,
        }
        let Self { num_children, version, cversion, aversion, czxid, mzxid, pzxid, .. } = self;
        write!(f, " numChildren={num_children}")?;
        write!(f, " version={version} cversion={cversion} aversion={aversion}")?;
        write!(f, " czxid={czxid} mzxid={mzxid} pzxid={pzxid}")?;
        write!(f, " ctime={} mtime={}", time_text(self.ctime), time_text(self.mtime))?;
        write!(f, "{} acl={}", self.owner, self.acl)
    }
}

/// What keeps a znode alive, if anything does.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct OwnerWord {
    #[serde(skip_serializing_if = "Option::is_none")]
    ephemeral_owner: Option<Hex>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    container: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    ttl: Option<i64>,
}

impl OwnerWord {
    pub(super) fn of(owner: Owner) -> Self {
        match owner {
            Owner::Nobody => Self::default(),
            Owner::Container => Self { container: true, ..Self::default() },
            Owner::Ttl { ms } => Self { ttl: Some(ms), ..Self::default() },
            Owner::Session(session) => {
                Self { ephemeral_owner: Some(session.into()), ..Self::default() }
            }
        }
    }
}

impl fmt::Display for OwnerWord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(session) = self.ephemeral_owner {
            write!(f, " ephemeralOwner={session}")?;
        }
        if self.container {
            f.write_str(" container")?;
        }
        self.ttl.map_or(Ok(()), |ttl| write!(f, " ttl={ttl}"))
    }
}

#[derive(Debug, Serialize)]
pub(super) struct SessionLine {
    session: Hex,
    timeout: i32,
    ephemerals: usize,
}

impl SessionLine {
    pub(super) fn of(session: SessionId, timeout: i32, ephemerals: usize) -> Self {
        Self { session: session.into(), timeout, ephemerals }
    }
}

impl fmt::Display for SessionLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { session, timeout, ephemerals } = self;
        write!(f, "session {session} timeout={timeout} ephemerals={ephemerals}")
    }
}
