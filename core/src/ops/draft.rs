//! One transaction in the making: what it does is drawn here, over the changes in flight and the
//! applied state, and laid over them only when the whole of it was accepted. A refused transaction
//! has no other trace to remove than its draft.
//!
//! The drawing follows [`crate::tree::apply`] to the bit, or the digests would differ. Judging
//! requests is done elsewhere.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::Bound::{Included, Unbounded};

use bytes::Bytes;

use super::Caller;
use super::create::parent_of;
use super::pending::Pending;
use super::quota;
use crate::config::Config;
use crate::ids::{SessionId, Zxid};
use crate::mutant::Mutant;
use crate::proto::{Acl, ErrorCode, StatPersisted};
use crate::time::WallTime;
use crate::tree::quota::{QUOTA, limited_by_limits};
use crate::tree::{Database, Node, Owner, Tree};
use crate::txn::digest;

/// A znode as it will be behind the changes in flight.
#[derive(Clone, Debug)]
pub(super) struct Image {
    data: Option<Bytes>,
    /// `None` as long as nothing in flight says otherwise than the tree.
    acl: Option<Arc<[Acl]>>,
    stat: StatPersisted,
    num_children: usize,
    /// See [`digest::content`].
    content: Option<u32>,
}

/// What a transaction does, ready to be laid over the state for those behind it.
#[derive(Clone, Debug)]
pub(super) struct Effect {
    /// `None`: the path will be free.
    pub(super) nodes: BTreeMap<Arc<str>, Option<Image>>,
    /// Whether the session will be open.
    pub(super) session: Option<(SessionId, bool)>,
    /// See [`Draft::close_size`].
    pub(super) close_sizes: BTreeMap<SessionId, usize>,
    /// Of the tree behind the transaction.
    pub(super) digest: u64,
}

#[derive(Debug)]
pub(super) struct Draft<'a> {
    pub(super) config: &'a Config,
    pub(super) caller: Caller<'a>,
    pending: &'a Pending,
    database: &'a Database,
    zxid: Zxid,
    time: WallTime,
    effect: Effect,
}

impl<'a> Draft<'a> {
    pub(super) fn over(
        pending: &'a Pending,
        database: &'a Database,
        config: &'a Config,
        caller: Caller<'a>,
        zxid: Zxid,
        time: WallTime,
    ) -> Self {
        let effect = Effect {
            nodes: BTreeMap::new(),
            session: None,
            close_sizes: BTreeMap::new(),
            digest: pending.digest(),
        };
        Self { config, caller, pending, database, zxid, time, effect }
    }
    pub(super) fn into_effect(self) -> Effect {
        self.effect
    }

    pub(super) fn time(&self) -> WallTime {
        self.time
    }

    /// Whoever asks must have a session behind everything in flight.
    // ZK: LeaderSessionTracker.checkSession (3.9)
    // Departs: a server alone answers UnknownSession upstream; here it is an ensemble of one.
    pub(super) fn check_session(&self) -> Result<(), ErrorCode> {
        match self.caller.local || self.session_open() {
            true => Ok(()),
            false => Err(ErrorCode::SESSION_EXPIRED),
        }
    }
    /// The session must be one that all servers know: it will own something.
    // ZK: LeaderSessionTracker.checkGlobalSession (3.9)
    pub(super) fn check_global_session(&self) -> Result<(), ErrorCode> {
        match self.session_open() {
            true => Ok(()),
            false if self.config.planted(Mutant::LocalUpgradeSkipped) => self.check_session(),
            // Departs: a session of another server counts as expired upstream, and that server says
            // what is true.
            false if self.caller.local => Err(ErrorCode::EPHEMERAL_ON_LOCAL_SESSION),
            false => Err(ErrorCode::SESSION_EXPIRED),
        }
    }
    fn session_open(&self) -> bool {
        self.pending.session_open(self.database, self.caller.session)
    }
    pub(super) fn set_session(&mut self, session: SessionId, open: bool) {
        self.effect.session = Some((session, open));
    }

    /// The znode as this transaction's next part will meet it.
    // ZK: PrepRequestProcessor.getRecordForPath (3.9)
    pub(super) fn get(&self, path: &str) -> Option<Node<'_>> {
        let Some(drawn) = self.drawn(path) else {
            return self.database.tree.get(path);
        };
        let image = drawn.as_ref()?;
        let acl = match &image.acl {
            Some(acl) => acl,
            None => self.database.tree.get(path).map_or(&[][..], |node| node.acl),
        };
        Some(Node {
            data: image.data.as_ref(),
            acl,
            stat: &image.stat,
            num_children: image.num_children,
        })
    }
    /// The tree, without what is in flight.
    pub(super) fn applied(&self) -> &Tree {
        &self.database.tree
    }
    /// Paths at `path` and below it that this transaction or one in flight did something to.
    pub(super) fn drawn_below<'p>(&'p self, path: &'p str) -> BTreeSet<&'p str> {
        let drawn = self.effect.nodes.range::<str, _>((Included(path), Unbounded));
        let here = drawn.map(|(drawn, _)| &**drawn).take_while(|drawn| drawn.starts_with(path));
        let below =
            |drawn: &&str| drawn[path.len()..].is_empty() || drawn[path.len()..].starts_with('/');
        here.chain(self.pending.paths_from(path)).filter(below).collect()
    }
    /// Does this transaction, or one in flight, make, change or end a quota?
    pub(super) fn has_drawn_limits(&self) -> bool {
        let drawn = self.effect.nodes.range::<str, _>((Included(QUOTA), Unbounded));
        let mut drawn = drawn.map(|(path, _)| &**path).take_while(|path| path.starts_with(QUOTA));
        self.pending.has_limits() || drawn.any(|path| limited_by_limits(path).is_some())
    }
    /// What this transaction, or else one in flight, did to `path`.
    fn drawn(&self, path: &str) -> Option<&Option<Image>> {
        self.effect.nodes.get(path).or_else(|| self.pending.image(path))
    }

    pub(super) fn create(
        &mut self,
        path: &str,
        data: Option<&Bytes>,
        acl: &[Acl],
        ephemeral_owner: i64,
        parent_cversion: i32,
    ) {
        let zxid = self.zxid;
        self.edit_parent(path, |parent| {
            parent.num_children += 1;
            // A count that wrapped is not larger, and stays where it is.
            // ZK: DataTree.createNode (3.9)
            if parent_cversion > parent.stat.cversion {
                parent.stat.cversion = parent_cversion;
                parent.stat.pzxid = zxid;
            }
        });
        let stat = StatPersisted::created(zxid, self.time, ephemeral_owner);
        let content = digest::content(path, data.map(|data| &data[..]));
        let image =
            Image { data: data.cloned(), acl: Some(acl.into()), stat, num_children: 0, content };
        self.put(path, Some(image));
        quota::created(self, path, data);
    }
    pub(super) fn delete(&mut self, path: &str) {
        if let Some(Owner::Session(owner)) = self.get(path).map(|node| node.owner()) {
            self.discharge(owner, path);
        }
        let data = self.get(path).and_then(|node| node.data.cloned());
        let zxid = self.zxid;
        self.edit_parent(path, |parent| {
            parent.num_children = parent.num_children.saturating_sub(1);
            parent.stat.pzxid = parent.stat.pzxid.max(zxid);
        });
        self.put(path, None);
        quota::deleted(self, path, data.as_ref());
    }
    pub(super) fn set_data(&mut self, path: &str, data: Option<&Bytes>, version: i32) {
        let (zxid, time) = (self.zxid, self.time);
        let before = self.get(path).and_then(|node| node.data.cloned());
        self.edit(path, |image| {
            image.data = data.cloned();
            image.content = digest::content(path, data.map(|data| &data[..]));
            image.stat.version = version;
            image.stat.mzxid = zxid;
            image.stat.mtime = time.0;
        });
        quota::data_set(self, path, before.as_ref(), data);
    }
    /// As servers change the data of a stats node: nothing else shows it.
    pub(super) fn set_stats(&mut self, path: &str, data: Bytes) {
        self.edit(path, |image| image.data = Some(data));
    }
    pub(super) fn set_acl(&mut self, path: &str, acl: &[Acl], aversion: i32) {
        self.edit(path, |image| {
            image.acl = Some(acl.into());
            image.stat.aversion = aversion;
        });
    }

    fn edit_parent(&mut self, path: &str, change: impl FnOnce(&mut Image)) {
        if let Ok(parent) = parent_of(path) {
            self.edit(parent, change);
        }
    }
    /// The callers have looked: the znode is there.
    fn edit(&mut self, path: &str, change: impl FnOnce(&mut Image)) {
        let image = match self.drawn(path) {
            Some(drawn) => drawn.clone(),
            None => self.database.tree.get(path).map(|node| Image {
                data: node.data.cloned(),
                acl: None,
                stat: *node.stat,
                num_children: node.num_children,
                content: digest::content(path, node.data.map(|data| &data[..])),
            }),
        };
        if let Some(mut image) = image {
            let before = image.digest();
            change(&mut image);
            self.replace(path, before, Some(image));
        }
    }
    fn put(&mut self, path: &str, image: Option<Image>) {
        let before = match self.drawn(path) {
            Some(drawn) => drawn.as_ref().map_or(0, Image::digest),
            None => self.database.tree.get(path).map_or(0, |node| {
                digest::node_digest(path, node.data.map(|data| &data[..]), node.stat)
            }),
        };
        self.replace(path, before, image);
    }
    fn replace(&mut self, path: &str, before: u64, image: Option<Image>) {
        let after = image.as_ref().map_or(0, Image::digest);
        self.effect.digest = self.effect.digest.wrapping_sub(before).wrapping_add(after);
        match self.effect.nodes.get_mut(path) {
            Some(place) => *place = image,
            None => {
                self.effect.nodes.insert(path.into(), image);
            }
        }
    }

    /// The ephemerals of a session behind everything drawn so far, in the order of their paths.
    pub(super) fn ephemerals(&self, session: SessionId) -> Vec<String> {
        let owned_here = |path: &&str| {
            self.get(path).is_some_and(|node| node.owner() == Owner::Session(session))
        };
        let applied = self.database.tree.ephemerals(session);
        let in_flight = self.pending.ephemerals(session);
        let drawn = self.effect.nodes.keys().map(|path| &**path);
        let paths: BTreeSet<&str> =
            applied.chain(in_flight).chain(drawn).filter(owned_here).collect();
        paths.into_iter().map(String::from).collect()
    }
    /// How many bytes the paths of a session's ephemerals take in its closeSession transaction.
    /// Counted once for each session, then kept as its ephemerals come and go.
    pub(super) fn close_size(&self, session: SessionId) -> usize {
        match self.known_close_size(session) {
            Some(size) => size,
            None => self.ephemerals(session).iter().map(|path| encoded_len(path)).sum(),
        }
    }
    fn known_close_size(&self, session: SessionId) -> Option<usize> {
        let drawn = self.effect.close_sizes.get(&session).copied();
        drawn.or_else(|| self.pending.close_size(session))
    }
    pub(super) fn set_close_size(&mut self, session: SessionId, size: usize) {
        self.effect.close_sizes.insert(session, size);
    }
    fn discharge(&mut self, owner: SessionId, path: &str) {
        if let Some(size) = self.known_close_size(owner) {
            let left = size.saturating_sub(encoded_len(path));
            self.set_close_size(owner, left);
        }
    }
}

impl Image {
    pub(super) fn owner(&self) -> Owner {
        Owner::from_stored(self.stat.ephemeral_owner)
    }
    fn digest(&self) -> u64 {
        self.content.map_or(0, |content| digest::with_stat(content, &self.stat))
    }
}

/// A path as an element of a jute vector.
pub(super) fn encoded_len(path: &str) -> usize {
    4 + path.len()
}
