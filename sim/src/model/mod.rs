//! The reference model: what ZooKeeper's tree is, in the plainest terms, with all of its past.
//!
//! It takes transactions in zxid order ([`Model::apply`]) and keeps every version of every znode,
//! so that an answer given from any point of the history can be checked long after. What a request
//! *should* come to is in [`judge`]; what reads should answer is in [`read`]. It shares no code with
//! the core's tree: slow and obvious is the point.
//!
//! Not here: `/zookeeper/config` until the first reconfiguration, which each server writes for itself.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::{BuildHasherDefault, DefaultHasher};
use std::rc::Rc;

use bytes::Bytes;
use zebu_core::ids::Zxid;
use zebu_core::proto::{Acl, EventKind, Stat, StatPersisted, perms};
use zebu_core::txn::{CreateTxn, Txn, TxnBody, TxnHeader};

use membership::Configuration;

pub mod digest;
pub mod judge;
pub mod membership;
pub mod payload;
pub mod quota;
pub mod read;
pub mod users;

pub const CONFIG: &str = "/zookeeper/config";

/// `ephemeral_owner` of containers.
pub const CONTAINER: i64 = i64::MIN;
const TTL_MARK: i64 = 0xff00_0000_0000_0000_u64 as i64;

#[derive(Clone, PartialEq, Debug)]
pub struct Node {
    pub data: Option<Bytes>,
    pub acl: Rc<Vec<Acl>>,
    pub stat: StatPersisted,
    pub num_children: i32,
    /// Its share of the tree's digest.
    digest: u64,
}

impl Node {
    fn new(data: Option<Bytes>, acl: Vec<Acl>, stat: StatPersisted) -> Self {
        Self { data, acl: Rc::new(acl), stat, num_children: 0, digest: 0 }
    }
    /// The session that it dies with.
    pub fn owner(&self) -> Option<u64> {
        let owner = self.stat.ephemeral_owner;
        let marked = owner == 0 || owner == CONTAINER || owner & TTL_MARK == TTL_MARK;
        (!marked).then_some(owner as u64)
    }
    /// What clients see: cversion counts deletions too, and only sessions own.
    pub fn client_stat(&self) -> Stat {
        let s = &self.stat;
        Stat {
            czxid: s.czxid,
            mzxid: s.mzxid,
            ctime: s.ctime,
            mtime: s.mtime,
            version: s.version,
            cversion: s.cversion.wrapping_mul(2).wrapping_sub(self.num_children),
            aversion: s.aversion,
            ephemeral_owner: self.owner().unwrap_or(0) as i64,
            data_length: self.data.as_ref().map_or(0, |d| d.len() as i32),
            num_children: self.num_children,
            pzxid: s.pzxid,
        }
    }
}

/// A change, as watches are told of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fired {
    pub kind: EventKind,
    pub path: String,
}

/// Everything that ever stood at one path.
#[derive(Clone, Debug, Default)]
struct Lineage {
    /// The state from a zxid on; absent nodes are `None`.
    versions: Vec<(u64, Option<Rc<Node>>)>,
    children: BTreeSet<String>,
    /// Each child that came (`true`) or went.
    child_log: Vec<(u64, String, bool)>,
}

impl Lineage {
    fn at(&self, zxid: u64) -> Option<&Rc<Node>> {
        let next = match self.versions.last() {
            Some((from, _)) if *from <= zxid => self.versions.len(),
            _ => self.versions.partition_point(|(from, _)| *from <= zxid),
        };
        self.versions.get(next.checked_sub(1)?)?.1.as_ref()
    }
    fn now(&self) -> Option<&Rc<Node>> {
        self.versions.last()?.1.as_ref()
    }
    fn put(&mut self, zxid: u64, node: Option<Rc<Node>>) {
        match self.versions.last_mut() {
            Some((from, last)) if *from == zxid => *last = node,
            _ => self.versions.push((zxid, node)),
        }
    }
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Session {
    pub timeout_ms: i32,
    pub opened: u64,
    pub closed: Option<u64>,
}

type FixedHasher = BuildHasherDefault<DefaultHasher>;

/// Looked up only; what is listed is sorted first.
pub type Lookup<K, V> = HashMap<K, V, FixedHasher>;

#[derive(Clone, Debug)]
pub struct Model {
    paths: Lookup<String, Lineage>,
    pub sessions: BTreeMap<u64, Session>,
    pub ephemerals: BTreeMap<u64, BTreeSet<String>>,
    /// Who is in the ensemble, where that may change.
    pub ensemble: Option<Configuration>,
    /// Paths that have a quota.
    quotas: BTreeSet<String>,
    /// The last transaction taken.
    pub tip: u64,
    /// Sum of the nodes' digests.
    pub digest: u64,
    digests: Vec<(u64, u64)>,
    /// What each transaction told watches, if anything.
    fired: Vec<(u64, Vec<Fired>)>,
}

impl Default for Model {
    fn default() -> Self {
        Self::new()
    }
}

impl Model {
    pub fn new() -> Self {
        let mut model = Self {
            paths: Lookup::default(),
            sessions: BTreeMap::new(),
            ephemerals: BTreeMap::new(),
            ensemble: None,
            quotas: BTreeSet::new(),
            tip: 0,
            digest: 0,
            digests: Vec::new(),
            fired: Vec::new(),
        };
        for path in ["/", "/zookeeper", "/zookeeper/quota", CONFIG] {
            let mut node = Node::new(Some(Bytes::new()), Acl::open(), StatPersisted::default());
            if path == CONFIG {
                node.acl = Rc::new(vec![Acl::world(perms::READ)]);
                node.stat.aversion = -1;
            }
            model.set(0, path, node);
            if path != "/" {
                let (parent, name) = split(path);
                model.link(0, parent, name, true);
                let mut above = model.now(parent).expect("made before its child").clone();
                above.num_children += 1;
                model.set(0, parent, above);
            }
        }
        model.digests.push((0, model.digest));
        model
    }

    /// Begins with what `past` did, before all history.
    pub fn behind(past: &[Txn]) -> Self {
        let mut model = Self::new();
        for txn in past {
            model.carry_out(&txn.header, &txn.body, &mut Vec::new());
        }
        model.digests = vec![(0, model.digest)];
        model
    }

    pub fn at(&self, path: &str, zxid: u64) -> Option<&Node> {
        self.paths.get(canonical(path))?.at(zxid).map(|node| &**node)
    }
    pub fn now(&self, path: &str) -> Option<&Node> {
        self.paths.get(canonical(path))?.now().map(|node| &**node)
    }
    /// Names of the children at `zxid`: those of now, with what came later undone.
    pub fn children(&self, path: &str, zxid: u64) -> BTreeSet<&str> {
        let Some(lineage) = self.paths.get(canonical(path)) else { return BTreeSet::new() };
        let mut names: BTreeSet<&str> = lineage.children.iter().map(String::as_str).collect();
        for (_, name, came) in lineage.child_log.iter().rev().take_while(|(at, ..)| *at > zxid) {
            if *came {
                names.remove(name.as_str());
            } else {
                names.insert(name);
            }
        }
        names
    }
    /// Paths of the session's ephemerals at `zxid`, in no order.
    pub fn ephemerals_at(&self, session: u64, zxid: u64) -> impl Iterator<Item = &str> {
        self.all_at(zxid)
            .filter(move |(_, node)| node.owner() == Some(session))
            .map(|(path, _)| path)
    }
    /// How many znodes stand below `path` at `zxid`.
    pub fn count_below(&self, path: &str, zxid: u64) -> i32 {
        let path = if path == "/" { "" } else { path };
        let is_below = |other: &str| {
            other.strip_prefix(path).is_some_and(|rest| rest.len() > 1 && rest.starts_with('/'))
        };
        self.all_at(zxid).filter(|(other, _)| is_below(other)).count() as i32
    }
    fn all_at(&self, zxid: u64) -> impl Iterator<Item = (&str, &Node)> {
        self.paths
            .iter()
            .filter_map(move |(path, lineage)| Some((path.as_str(), &**lineage.at(zxid)?)))
    }
    /// May the znode go by itself at `time`, the wall clock of who removes it?
    // ZK: ContainerManager.getCandidates (3.9)
    pub fn may_go(&self, path: &str, time: i64) -> bool {
        let Some(node) = self.now(path) else { return false };
        let unchanged = time - node.stat.mtime;
        let owner = node.stat.ephemeral_owner;
        node.num_children == 0
            && match owner {
                // How long one that was never used may stay is the configuration's.
                CONTAINER => node.stat.cversion > 0 || unchanged > 0,
                _ => owner & TTL_MARK == TTL_MARK && unchanged > owner & !TTL_MARK,
            }
    }
    /// What happened after `zxid`, in order: of which transaction, the how-manieth change of it.
    pub fn fired_after(&self, zxid: u64) -> impl Iterator<Item = (u64, usize, &Fired)> {
        let from = self.fired.partition_point(|(at, _)| *at <= zxid);
        self.fired[from..].iter().flat_map(|(at, fired)| {
            fired.iter().enumerate().map(|(index, fired)| (*at, index, fired))
        })
    }
    /// The tree's digest at `zxid`.
    pub fn digest_at(&self, zxid: u64) -> u64 {
        let next = self.digests.partition_point(|(from, _)| *from <= zxid);
        self.digests[next.saturating_sub(1)].1
    }
    /// Was the ensemble ever changed by then? Before that each server writes the node for itself.
    pub fn reconfigured_at(&self, zxid: u64) -> bool {
        self.at(CONFIG, zxid).is_some_and(|node| node.stat.mzxid > Zxid(0))
    }
    pub fn session_open(&self, session: u64) -> bool {
        self.sessions.get(&session).is_some_and(|s| s.closed.is_none())
    }
    /// Every path that stands now, sorted.
    pub fn standing(&self) -> Vec<&str> {
        let here = self.paths.iter().filter(|(_, lineage)| lineage.now().is_some());
        let mut paths: Vec<&str> = here.map(|(path, _)| path.as_str()).collect();
        paths.sort_unstable();
        paths
    }

    /// Takes the next transaction; says what watches are told, in order.
    pub fn apply(&mut self, txn: &Txn) -> Vec<Fired> {
        debug_assert!(txn.header.zxid.0 > self.tip);
        let mut fired = Vec::new();
        self.carry_out(&txn.header, &txn.body, &mut fired);
        self.note_quotas(&txn.body);
        self.count_quotas(txn.header.zxid.0);
        self.tip = txn.header.zxid.0;
        self.digests.push((self.tip, self.digest));
        if !fired.is_empty() {
            self.fired.push((self.tip, fired.clone()));
        }
        fired
    }

    fn carry_out(&mut self, header: &TxnHeader, body: &TxnBody, fired: &mut Vec<Fired>) {
        let (zxid, session) = (header.zxid.0, header.session.0);
        match body {
            TxnBody::Error(_) | TxnBody::Check { .. } => {}
            TxnBody::CreateSession { timeout_ms } => {
                let new = Session { timeout_ms: *timeout_ms, opened: zxid, closed: None };
                self.sessions.insert(session, new);
            }
            TxnBody::CloseSession { paths } => {
                for path in paths.iter().flatten() {
                    self.delete(zxid, path, fired);
                }
                for path in self.ephemerals.remove(&session).unwrap_or_default() {
                    self.delete(zxid, &path, fired);
                }
                if let Some(session) = self.sessions.get_mut(&session) {
                    session.closed = session.closed.or(Some(zxid));
                }
            }
            TxnBody::Create(c) | TxnBody::Create2(c) => {
                let owner = if c.ephemeral { session as i64 } else { 0 };
                self.create(header, c, owner, fired);
            }
            TxnBody::CreateContainer(c) => {
                let create = CreateTxn {
                    path: c.path.clone(),
                    data: c.data.clone(),
                    acl: c.acl.clone(),
                    ephemeral: false,
                    parent_cversion: c.parent_cversion,
                };
                self.create(header, &create, CONTAINER, fired);
            }
            TxnBody::CreateTtl(c) => {
                let create = CreateTxn {
                    path: c.path.clone(),
                    data: c.data.clone(),
                    acl: c.acl.clone(),
                    ephemeral: false,
                    parent_cversion: c.parent_cversion,
                };
                self.create(header, &create, TTL_MARK | c.ttl_ms, fired);
            }
            TxnBody::Delete { path } | TxnBody::DeleteContainer { path } => {
                self.delete(zxid, path, fired);
            }
            TxnBody::SetData { path, data, version }
            | TxnBody::Reconfig { path, data, version } => {
                let Some(mut node) = self.now(path).cloned() else { return };
                node.data = data.clone();
                node.stat.version = *version;
                node.stat.mzxid = Zxid(zxid);
                node.stat.mtime = header.time.0;
                self.set(zxid, path, node);
                if let TxnBody::Reconfig { data: Some(text), .. } = body {
                    self.ensemble = Configuration::parse(text);
                }
                told(EventKind::NodeDataChanged, path, fired);
            }
            TxnBody::SetAcl { path, acl, version } => {
                let Some(mut node) = self.now(path).cloned() else { return };
                node.acl = Rc::new(acl.clone());
                node.stat.aversion = *version;
                self.set(zxid, path, node);
            }
            TxnBody::Multi(parts) => {
                let failed = parts.iter().any(|part| matches!(part, TxnBody::Error(_)));
                for part in parts.iter().filter(|_| !failed) {
                    self.carry_out(header, part, fired);
                }
            }
        }
    }

    fn create(&mut self, header: &TxnHeader, c: &CreateTxn, owner: i64, fired: &mut Vec<Fired>) {
        let (parent, name) = split(&c.path);
        if self.now(&c.path).is_some() {
            return;
        }
        let Some(mut above) = self.now(parent).cloned() else { return };
        let zxid = header.zxid.0;
        above.num_children += 1;
        let cversion = match c.parent_cversion {
            -1 => above.stat.cversion.wrapping_add(1),
            given => given,
        };
        if cversion > above.stat.cversion {
            above.stat.cversion = cversion;
            above.stat.pzxid = header.zxid;
        }
        self.set(zxid, parent, above);
        self.link(zxid, parent, name, true);
        let stat = StatPersisted {
            czxid: header.zxid,
            mzxid: header.zxid,
            pzxid: header.zxid,
            ctime: header.time.0,
            mtime: header.time.0,
            ephemeral_owner: owner,
            ..StatPersisted::default()
        };
        let node = Node::new(c.data.clone(), c.acl.clone(), stat);
        if let Some(session) = node.owner() {
            self.ephemerals.entry(session).or_default().insert(c.path.clone());
        }
        self.set(zxid, &c.path, node);
        told(EventKind::NodeCreated, &c.path, fired);
        told(EventKind::NodeChildrenChanged, parent, fired);
    }

    fn delete(&mut self, zxid: u64, path: &str, fired: &mut Vec<Fired>) {
        let (parent, name) = split(path);
        let gone = self.now(path).cloned();
        if let Some(mut above) = self.now(parent).cloned() {
            above.num_children -= i32::from(gone.is_some());
            above.stat.pzxid = above.stat.pzxid.max(Zxid(zxid));
            self.set(zxid, parent, above);
        }
        let Some(gone) = gone else { return };
        self.link(zxid, parent, name, false);
        self.digest = self.digest.wrapping_sub(gone.digest);
        if let Some(owned) = gone.owner().and_then(|owner| self.ephemerals.get_mut(&owner)) {
            owned.remove(path);
        }
        self.lineage(path).put(zxid, None);
        told(EventKind::NodeDeleted, path, fired);
        told(EventKind::NodeChildrenChanged, parent, fired);
    }

    fn set(&mut self, zxid: u64, path: &str, mut node: Node) {
        let before = self.now(path).map_or(0, |node| node.digest);
        node.digest = digest::of(path, &node);
        self.digest = self.digest.wrapping_sub(before).wrapping_add(node.digest);
        self.lineage(path).put(zxid, Some(Rc::new(node)));
    }
    fn link(&mut self, zxid: u64, parent: &str, name: &str, came: bool) {
        let lineage = self.lineage(parent);
        if came {
            lineage.children.insert(name.into());
        } else {
            lineage.children.remove(name);
        }
        lineage.child_log.push((zxid, name.into(), came));
    }
    fn lineage(&mut self, path: &str) -> &mut Lineage {
        let path = canonical(path);
        // Not `entry`: that would allocate the key each time.
        if !self.paths.contains_key(path) {
            self.paths.insert(path.into(), Lineage::default());
        }
        self.paths.get_mut(path).expect("just made sure of")
    }
}

fn told(kind: EventKind, path: &str, fired: &mut Vec<Fired>) {
    fired.push(Fired { kind, path: path.into() });
}

/// Reads may name the root by the empty path.
fn canonical(path: &str) -> &str {
    if path.is_empty() { "/" } else { path }
}

/// Parent and last component.
pub fn split(path: &str) -> (&str, &str) {
    match path.rsplit_once('/') {
        Some(("", name)) => ("/", name),
        Some((parent, name)) => (parent, name),
        None => ("", path),
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use zebu_core::ids::{SessionId, Xid};
    use zebu_core::time::WallTime;

    pub fn txn(zxid: u64, session: u64, cxid: i32, body: TxnBody) -> Txn {
        let header = TxnHeader {
            session: SessionId(session),
            cxid: Xid(cxid),
            zxid: Zxid(zxid),
            time: WallTime(1000 + zxid as i64),
        };
        Txn { header, body, digest: None }
    }
    pub fn create(path: &str, parent_cversion: i32, ephemeral: bool) -> TxnBody {
        TxnBody::Create(CreateTxn {
            path: path.into(),
            data: Some(Bytes::from_static(b"x")),
            acl: Acl::open(),
            ephemeral,
            parent_cversion,
        })
    }

    #[test]
    fn a_fresh_tree_looks_like_upstreams() {
        let model = Model::new();
        assert_eq!(model.digest, 1371985504, "semantics.md section 13");
        assert_eq!(model.now("/").unwrap().client_stat().cversion, -1);
        assert_eq!(model.now("/zookeeper").unwrap().client_stat().cversion, -2);
        assert_eq!(model.now("").unwrap().client_stat().num_children, 1);
    }

    #[test]
    fn the_past_can_be_read_after_it_changed() {
        let mut model = Model::new();
        model.apply(&txn(1, 5, 0, TxnBody::CreateSession { timeout_ms: 4000 }));
        model.apply(&txn(2, 5, 1, create("/a", 1, false)));
        model.apply(&txn(3, 5, 2, create("/a/e", 1, true)));
        let fired = model.apply(&txn(4, 5, 0, TxnBody::CloseSession { paths: None }));
        let kinds: Vec<_> = fired.iter().map(|f| (f.kind, f.path.as_str())).collect();
        let expected = [(EventKind::NodeDeleted, "/a/e"), (EventKind::NodeChildrenChanged, "/a")];
        assert_eq!(kinds, expected);
        assert!(model.at("/a", 1).is_none());
        assert_eq!(model.at("/a", 2).unwrap().client_stat().cversion, 0);
        assert_eq!(model.at("/a", 3).unwrap().client_stat().cversion, 1);
        assert_eq!(model.at("/a", 9).unwrap().client_stat().cversion, 2, "one came, one went");
        assert_eq!(model.at("/a", 9).unwrap().stat.pzxid, Zxid(4));
        assert!(model.children("/a", 3).contains("e"));
        assert!(model.children("/a", 4).is_empty());
        let after: Vec<_> = model.fired_after(3).map(|(at, nth, f)| (at, nth, f.kind)).collect();
        let kinds = [EventKind::NodeDeleted, EventKind::NodeChildrenChanged];
        assert_eq!(after, [(4, 0, kinds[0]), (4, 1, kinds[1])]);
        assert_eq!(model.fired_after(4).count(), 0);
        assert!(!model.session_open(5));
        assert_eq!(model.digest_at(2), {
            let mut short = Model::new();
            short.apply(&txn(2, 5, 1, create("/a", 1, false)));
            short.digest
        });
    }

    #[test]
    fn a_failed_multi_changes_nothing() {
        let mut model = Model::new();
        let digest = model.digest;
        let parts =
            vec![create("/a", 1, false), TxnBody::Error(zebu_core::proto::ErrorCode::NO_NODE)];
        assert!(model.apply(&txn(1, 5, 1, TxnBody::Multi(parts))).is_empty());
        assert_eq!(model.digest, digest);
        assert!(model.now("/a").is_none());
    }
}
