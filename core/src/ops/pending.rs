//! What transactions in flight will have done: prepared, not applied yet. Validation sees the applied
//! state with these laid over it. How a request is judged is not here, and [`Draft`] knows what a
//! single transaction does.

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::Bound::{Included, Unbounded};

use super::draft::{Draft, Effect, Image};
use super::{Caller, delete, prepare, reconfig};
use crate::auth::Access;
use crate::config::{Config, Ensemble};
use crate::ids::{SessionId, Zxid};
use crate::mutant::Mutant;
use crate::proto::{ErrorCode, Request};
use crate::time::WallTime;
use crate::tree::{Database, Owner, quota};
use crate::txn::{TxnBody, TxnDigest, digest};

/// What transactions in flight will have done (upstream: `outstandingChanges`): validation sees the
/// applied state with these laid over it.
///
/// Belongs to one term of one leader: made when all earlier history is applied, dropped with the term.
#[derive(Clone, Debug, Default)]
pub struct Pending {
    nodes: BTreeMap<Arc<str>, InFlight<Option<Image>>>,
    sessions: BTreeMap<SessionId, InFlight<bool>>,
    /// The ephemerals among `nodes`, by their sessions.
    ephemerals: BTreeMap<SessionId, BTreeSet<Arc<str>>>,
    /// See [`Draft::close_size`]. Of sessions that own ephemerals; not only those in flight.
    close_sizes: BTreeMap<SessionId, usize>,
    /// How many of `nodes` make, change or end a quota.
    limits: usize,
    /// Which transactions touched what, oldest first, to find what [`Self::applied`] makes stale.
    touched: VecDeque<Touched>,
    /// The tree's digest behind everything in flight.
    digest: u64,
}

/// A state, and the last transaction in flight that made it.
#[derive(Clone, Debug)]
struct InFlight<T> {
    since: Zxid,
    state: T,
}

#[derive(Clone, Debug)]
struct Touched {
    zxid: Zxid,
    paths: Vec<Arc<str>>,
    session: Option<SessionId>,
}

impl Pending {
    /// Nothing in flight over `database`.
    pub fn new(database: &Database) -> Self {
        Self { digest: database.tree.digest(), ..Self::default() }
    }
    /// Judges a write against what it will meet at `zxid`. A refusal is a transaction too
    /// ([`TxnBody::Error`]). Its effect is laid over the state for those behind it.
    pub fn prepare(
        &mut self,
        database: &Database,
        config: &Config,
        caller: Caller<'_>,
        request: &Request,
        zxid: Zxid,
        time: WallTime,
    ) -> (TxnBody, TxnDigest) {
        let mut draft = Draft::over(self, database, config, caller, zxid, time);
        let judged = prepare(&mut draft, request);
        let effect = draft.into_effect();
        if config.planted(Mutant::MultiRollbackDropsOlder) && judged.is_err() {
            for path in effect.nodes.keys() {
                self.forget_node(path);
            }
        }
        self.conclude(zxid, judged, effect)
    }
    /// Judges the removal of a container that ran empty or of a TTL node whose time is up, which the
    /// leader asks for itself and no client can.
    // ZK: ContainerManager.checkContainers (3.9)
    pub fn prepare_reap(
        &mut self,
        database: &Database,
        config: &Config,
        path: &str,
        zxid: Zxid,
        time: WallTime,
    ) -> (TxnBody, TxnDigest) {
        let auth = Access { ids: &[], rules: &config.auth };
        let nobody = Caller { session: SessionId(0), auth, local: false };
        let mut draft = Draft::over(self, database, config, nobody, zxid, time);
        let judged = delete::prepare_reap(&mut draft, path).map_err(TxnBody::Error);
        let effect = draft.into_effect();
        self.conclude(zxid, judged, effect)
    }
    /// Judges a reconfiguration of which the leader has said whether the ensemble would bear it.
    // ZK: PrepRequestProcessor.pRequest2Txn (3.9): case reconfig
    pub fn prepare_reconfig(
        &mut self,
        database: &Database,
        config: &Config,
        caller: Caller<'_>,
        next: &Ensemble,
        zxid: Zxid,
        time: WallTime,
    ) -> (TxnBody, TxnDigest) {
        let mut draft = Draft::over(self, database, config, caller, zxid, time);
        let judged = reconfig::prepare(&mut draft, next).map_err(TxnBody::Error);
        let effect = draft.into_effect();
        self.conclude(zxid, judged, effect)
    }
    /// Will `session` still be open behind everything in flight?
    pub fn session_open(&self, database: &Database, session: SessionId) -> bool {
        match self.sessions.get(&session) {
            Some(in_flight) => in_flight.state,
            None => database.sessions.contains_key(&session),
        }
    }
    /// Does anything applied or in flight say that `session` is, or was a moment ago, a global one?
    pub fn knows_session(&self, database: &Database, session: SessionId) -> bool {
        self.sessions.contains_key(&session) || database.sessions.contains_key(&session)
    }
    /// `zxid` is applied: what it did is in the tree now.
    pub fn applied(&mut self, zxid: Zxid) {
        while let Some(oldest) = self.touched.pop_front_if(|oldest| oldest.zxid <= zxid) {
            for path in &oldest.paths {
                if self.nodes.get(path).is_some_and(|node| node.since <= zxid) {
                    self.forget_node(path);
                }
            }
            if let Some(session) = oldest.session
                && self.sessions.get(&session).is_some_and(|session| session.since <= zxid)
            {
                self.sessions.remove(&session);
            }
        }
    }
    /// The tree's digest behind everything in flight.
    pub fn digest(&self) -> u64 {
        self.digest
    }

    /// Is everything that was prepared applied?
    pub fn is_empty(&self) -> bool {
        self.touched.is_empty()
            && self.nodes.is_empty()
            && self.sessions.is_empty()
            && self.ephemerals.is_empty()
            && self.limits == 0
    }

    /// What `path` will hold, `Some(None)` for nothing; `None` if nothing in flight touches it.
    pub(super) fn image(&self, path: &str) -> Option<&Option<Image>> {
        self.nodes.get(path).map(|in_flight| &in_flight.state)
    }
    /// Paths in flight that begin with `prefix`.
    pub(super) fn paths_from<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = &'a str> {
        let from = self.nodes.range::<str, _>((Included(prefix), Unbounded));
        from.map(|(path, _)| &**path).take_while(move |path| path.starts_with(prefix))
    }
    pub(super) fn has_limits(&self) -> bool {
        self.limits > 0
    }
    /// Paths in flight that the session will own.
    pub(super) fn ephemerals(&self, session: SessionId) -> impl Iterator<Item = &str> {
        self.ephemerals.get(&session).into_iter().flatten().map(|path| &**path)
    }
    pub(super) fn close_size(&self, session: SessionId) -> Option<usize> {
        self.close_sizes.get(&session).copied()
    }

    /// A refusal decided elsewhere: nothing changes.
    pub fn refuse(&self, code: ErrorCode) -> (TxnBody, TxnDigest) {
        (TxnBody::Error(code), TxnDigest { version: digest::VERSION, tree: self.digest })
    }
    fn conclude(
        &mut self,
        zxid: Zxid,
        judged: Result<TxnBody, TxnBody>,
        effect: Effect,
    ) -> (TxnBody, TxnDigest) {
        let body = match judged {
            Ok(body) => {
                self.lay_over(zxid, effect);
                body
            }
            Err(refusal) => refusal,
        };
        (body, TxnDigest { version: digest::VERSION, tree: self.digest })
    }
    fn lay_over(&mut self, since: Zxid, effect: Effect) {
        self.digest = effect.digest;
        let session = effect.session.map(|(session, open)| {
            self.sessions.insert(session, InFlight { since, state: open });
            session
        });
        for (session, size) in effect.close_sizes {
            match size {
                0 => self.close_sizes.remove(&session),
                size => self.close_sizes.insert(session, size),
            };
        }
        let mut paths = Vec::with_capacity(effect.nodes.len());
        for (path, image) in effect.nodes {
            self.forget_node(&path);
            if let Some(Owner::Session(owner)) = image.as_ref().map(Image::owner) {
                self.ephemerals.entry(owner).or_default().insert(path.clone());
            }
            self.limits += usize::from(quota::limited_by_limits(&path).is_some());
            paths.push(path.clone());
            self.nodes.insert(path, InFlight { since, state: image });
        }
        if !paths.is_empty() || session.is_some() {
            self.touched.push_back(Touched { zxid: since, paths, session });
        }
    }
    fn forget_node(&mut self, path: &Arc<str>) {
        let Some(InFlight { state: image, .. }) = self.nodes.remove(path) else { return };
        self.limits -= usize::from(quota::limited_by_limits(path).is_some());
        if let Some(Owner::Session(owner)) = image.as_ref().map(Image::owner)
            && let Some(paths) = self.ephemerals.get_mut(&owner)
        {
            paths.remove(path);
            if paths.is_empty() {
                self.ephemerals.remove(&owner);
            }
        }
    }
}
