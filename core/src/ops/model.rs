//! Preparing ahead of applying must not be visible: every request is judged, every reply and every
//! digest is what a server would give that carries out one request after the other. Here is that
//! server, naive enough to be obviously right, and random requests that compare the two.

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use alloc::{format, vec};

use bytes::Bytes;
use proptest::prelude::*;
use proptest::sample::select;

use super::{Caller, Pending, reply};
use crate::auth::Access;
use crate::config::{Config, Ensemble};
use crate::ids::{ServerId, SessionId, Xid, Zxid};
use crate::proto::{
    Acl, CreateRequest, CreateTtlRequest, ErrorCode, MultiResult, Request, Response, Stat,
    StatPersisted, perms,
};
use crate::time::WallTime;
use crate::tree::Database;
use crate::tree::quota::{self, StatsTrack, Usage};
use crate::txn::{Txn, TxnBody, TxnHeader};

fn len(data: Option<&Bytes>) -> i64 {
    data.map_or(0, Bytes::len) as i64
}

type Answer = Result<Response, ErrorCode>;

#[derive(Clone, Debug)]
struct ModelNode {
    data: Option<Bytes>,
    acl: Vec<Acl>,
    stat: StatPersisted,
}

#[derive(Clone, Debug)]
struct Model {
    nodes: BTreeMap<String, ModelNode>,
    sessions: BTreeSet<SessionId>,
    zxid: Zxid,
    time: i64,
}

impl Model {
    fn new() -> Self {
        let node = |acl, aversion| ModelNode {
            data: Some(Bytes::new()),
            acl: vec![Acl::world(acl)],
            stat: StatPersisted { aversion, ..StatPersisted::default() },
        };
        let nodes = ["/", "/zookeeper", "/zookeeper/quota"].map(|p| (p.into(), node(31, 0)));
        let mut nodes = BTreeMap::from(nodes);
        nodes.insert("/zookeeper/config".into(), node(perms::READ, -1));
        Self { nodes, sessions: BTreeSet::new(), zxid: Zxid::ZERO, time: 0 }
    }
    fn parent(path: &str) -> String {
        let parent = &path[..path.rfind('/').unwrap()];
        if parent.is_empty() { "/".into() } else { parent.into() }
    }
    fn num_children(&self, path: &str) -> i32 {
        self.nodes.keys().filter(|p| *p != "/" && Self::parent(p) == path).count() as i32
    }
    fn stat(&self, path: &str) -> Stat {
        let node = &self.nodes[path];
        let stat = node.stat;
        let num_children = self.num_children(path);
        let is_session = (1..100).contains(&stat.ephemeral_owner);
        Stat {
            czxid: stat.czxid,
            mzxid: stat.mzxid,
            ctime: stat.ctime,
            mtime: stat.mtime,
            version: stat.version,
            cversion: 2 * stat.cversion - num_children,
            aversion: stat.aversion,
            ephemeral_owner: if is_session { stat.ephemeral_owner } else { 0 },
            data_length: node.data.as_ref().map_or(0, Bytes::len) as i32,
            num_children,
            pzxid: stat.pzxid,
        }
    }
    /// Before the server had anything to write into it.
    fn new_stat(&self, path: &str, request: &CreateRequest) -> Stat {
        Stat { data_length: len(request.data.as_ref()) as i32, ..self.stat(path) }
    }
    fn allow(&self, path: &str, perm: i32) -> Result<(), ErrorCode> {
        let allowed = self.nodes[path].acl.iter().any(|acl| acl.perms & perm != 0);
        if allowed { Ok(()) } else { Err(ErrorCode::NO_AUTH) }
    }
    fn present(&self, path: &str) -> Result<(), ErrorCode> {
        if self.nodes.contains_key(path) { Ok(()) } else { Err(ErrorCode::NO_NODE) }
    }

    /// Carries out one request, now.
    fn execute(&mut self, session: SessionId, request: &Request) -> Answer {
        self.zxid = Zxid(self.zxid.0 + 1);
        self.time += 10;
        match request {
            Request::CreateSession { .. } => {
                self.sessions.insert(session);
                Ok(Response::Empty)
            }
            Request::CloseSession => {
                let mine = |node: &ModelNode| node.stat.ephemeral_owner == session.0 as i64;
                let gone = self.nodes.iter().filter(|(_, n)| mine(n)).map(|(p, _)| p.clone());
                for path in gone.collect::<Vec<_>>() {
                    self.remove(&path);
                }
                self.sessions.remove(&session);
                Ok(Response::Empty)
            }
            Request::Multi(parts) => Ok(self.multi(session, parts)),
            change => self.change(session, change),
        }
    }
    fn multi(&mut self, session: SessionId, parts: &[Request]) -> Response {
        let before = self.clone();
        let mut results = Vec::new();
        for (i, part) in parts.iter().enumerate() {
            let upgraded = match part {
                Request::Create(c) | Request::Create2(c) if c.flags == 4 => {
                    Request::CreateContainer(c.clone())
                }
                Request::CreateTtl(ttl) if ttl.create.flags == 4 => {
                    Request::CreateContainer(ttl.create.clone())
                }
                Request::CreateTtl(ttl) if ttl.create.flags < 4 => {
                    Request::Create(ttl.create.clone())
                }
                other => other.clone(),
            };
            match (self.change(session, &upgraded), &upgraded) {
                (Ok(Response::Path(path)), _) => results.push(MultiResult::Create { path }),
                (Ok(Response::PathStat { path, stat }), _) => {
                    results.push(MultiResult::Create2 { path, stat });
                }
                (Ok(Response::Stat(stat)), _) => results.push(MultiResult::SetData { stat }),
                (Ok(_), Request::Check { .. }) => results.push(MultiResult::Check),
                (Ok(_), _) => results.push(MultiResult::Delete),
                (Err(code), _) => {
                    *self = before;
                    let mut errors = vec![MultiResult::Error(ErrorCode::OK); i];
                    errors.push(MultiResult::Error(code));
                    let rest = MultiResult::Error(ErrorCode::RUNTIME_INCONSISTENCY);
                    errors.resize(parts.len(), rest);
                    return Response::Multi(errors);
                }
            }
        }
        Response::Multi(results)
    }
    fn change(&mut self, session: SessionId, request: &Request) -> Answer {
        let create = |c: &CreateRequest| (c.clone(), -1);
        match request {
            Request::Create(c) => {
                let path = self.create(session, create(c), Some(()))?;
                Ok(Response::Path(path))
            }
            Request::Create2(c) => {
                let path = self.create(session, create(c), Some(()))?;
                Ok(Response::PathStat { stat: self.new_stat(&path, c), path })
            }
            Request::CreateContainer(c) => {
                let path = self.create(session, create(c), None)?;
                Ok(Response::PathStat { stat: self.new_stat(&path, c), path })
            }
            Request::CreateTtl(CreateTtlRequest { create: c, ttl_ms }) => {
                let path = self.create(session, (c.clone(), *ttl_ms), None)?;
                Ok(Response::PathStat { stat: self.new_stat(&path, c), path })
            }
            Request::Delete { path, version } => {
                self.alive(session)?;
                let special = ["/", "/zookeeper", "/zookeeper/quota"];
                if special.contains(&path.as_str()) || !path.contains('/') {
                    return Err(ErrorCode::BAD_ARGUMENTS);
                }
                let parent = Self::parent(path);
                self.present(&parent)?;
                self.allow(&parent, perms::DELETE)?;
                self.present(path)?;
                self.expect(self.nodes[path].stat.version, *version)?;
                if self.num_children(path) > 0 {
                    return Err(ErrorCode::NOT_EMPTY);
                }
                self.remove(path);
                Ok(Response::Empty)
            }
            Request::SetData { path, data, version } => {
                self.alive(session)?;
                self.valid(path)?;
                self.present(path)?;
                self.allow(path, perms::WRITE)?;
                let grown = len(data.as_ref()) - len(self.nodes[path].data.as_ref());
                self.admit(path, Usage { count: 0, bytes: grown })?;
                self.expect(self.nodes[path].stat.version, *version)?;
                let (zxid, time) = (self.zxid, self.time);
                let node = self.nodes.get_mut(path).unwrap();
                node.data = data.clone();
                node.stat.version += 1;
                node.stat.mzxid = zxid;
                node.stat.mtime = time;
                self.used(path, Usage { count: 0, bytes: grown });
                Ok(Response::Stat(self.stat(path)))
            }
            Request::SetAcl { path, acl, version } => {
                self.alive(session)?;
                self.valid(path)?;
                if acl.is_empty() {
                    return Err(ErrorCode::INVALID_ACL);
                }
                self.present(path)?;
                self.allow(path, perms::ADMIN)?;
                self.expect(self.nodes[path].stat.aversion, *version)?;
                let node = self.nodes.get_mut(path).unwrap();
                node.acl = acl.clone();
                node.stat.aversion += 1;
                Ok(Response::Stat(self.stat(path)))
            }
            Request::Check { path, version } => {
                self.alive(session)?;
                self.valid(path)?;
                self.present(path)?;
                self.allow(path, perms::READ)?;
                self.expect(self.nodes[path].stat.version, *version)?;
                Ok(Response::Empty)
            }
            other => panic!("not generated: {other:?}"),
        }
    }
    /// `flagged`: the flags decide who owns the node.
    fn create(
        &mut self,
        session: SessionId,
        (request, ttl): (CreateRequest, i64),
        flagged: Option<()>,
    ) -> Result<String, ErrorCode> {
        let is_ttl = request.flags == 5 || request.flags == 6;
        if !(0..=6).contains(&request.flags) || is_ttl != (ttl > 0) {
            return Err(ErrorCode::BAD_ARGUMENTS);
        }
        self.alive(session)?;
        if !request.path.contains('/') {
            return Err(ErrorCode::BAD_ARGUMENTS);
        }
        if request.acl.is_empty() {
            return Err(ErrorCode::INVALID_ACL);
        }
        let parent = Self::parent(&request.path);
        self.present(&parent)?;
        self.allow(&parent, perms::CREATE)?;
        let mut path = request.path.clone();
        if [2, 3, 6].contains(&request.flags) {
            path += &format!("{:010}", self.nodes[&parent].stat.cversion);
        }
        self.valid(&path)?;
        if self.nodes.contains_key(&path) {
            return Err(ErrorCode::NODE_EXISTS);
        }
        if (1..100).contains(&self.nodes[&parent].stat.ephemeral_owner) {
            return Err(ErrorCode::NO_CHILDREN_FOR_EPHEMERALS);
        }
        let usage = Usage { count: 1, bytes: len(request.data.as_ref()) };
        self.admit(&path, usage)?;
        let ephemeral = request.flags == 1 || request.flags == 3;
        let ephemeral_owner = match flagged {
            Some(()) if ephemeral => session.0 as i64,
            Some(()) => 0,
            None if is_ttl => (0xff << 56) | ttl,
            None => i64::MIN,
        };
        let stat = StatPersisted {
            czxid: self.zxid,
            mzxid: self.zxid,
            pzxid: self.zxid,
            ctime: self.time,
            mtime: self.time,
            ephemeral_owner,
            ..StatPersisted::default()
        };
        let node = ModelNode { data: request.data, acl: request.acl, stat };
        self.nodes.insert(path.clone(), node);
        let parent = self.nodes.get_mut(&parent).unwrap();
        parent.stat.cversion += 1;
        parent.stat.pzxid = self.zxid;
        if let Some(limited) = quota::limited_by_stats(&path) {
            let text = self.counted(limited).text();
            self.nodes.get_mut(&path).unwrap().data = Some(text.into());
        }
        self.used(&path, usage);
        Ok(path)
    }
    fn remove(&mut self, path: &str) {
        let gone = self.nodes.remove(path).unwrap();
        self.nodes.get_mut(&Self::parent(path)).unwrap().stat.pzxid = self.zxid;
        self.used(path, Usage { count: -1, bytes: -len(gone.data.as_ref()) });
    }
    /// The deepest quota's path.
    fn limited(&self, path: &str) -> Option<String> {
        let ends = path.match_indices('/').map(|(at, _)| at).chain([path.len()]);
        let above = ends.map(|end| &path[..end]).filter(|above| !above.is_empty());
        let limited = |above: &&str| self.nodes.contains_key(&quota::limits_path(above));
        above.rev().find(limited).map(String::from)
    }
    fn counted(&self, limited: &str) -> StatsTrack {
        let mut usage = Usage::default();
        for (path, node) in &self.nodes {
            if path == limited || path.starts_with(&format!("{limited}/")) {
                usage.count += 1;
                usage.bytes += len(node.data.as_ref());
            }
        }
        StatsTrack::new(usage)
    }
    fn usage(&self, limited: &str) -> Option<StatsTrack> {
        let stats = self.nodes.get(&quota::stats_path(limited))?;
        StatsTrack::of(stats.data.as_ref()).or_else(|| Some(self.counted(limited)))
    }
    fn used(&mut self, path: &str, difference: Usage) {
        let Some(limited) = self.limited(path) else { return };
        let stats = quota::stats_path(&limited);
        let Some(node) = self.nodes.get(&stats) else { return };
        let track = match StatsTrack::of(node.data.as_ref()) {
            Some(mut track) => {
                track.add(difference);
                track
            }
            None => self.counted(&limited),
        };
        self.nodes.get_mut(&stats).unwrap().data = Some(track.text().into());
    }
    fn admit(&self, path: &str, difference: Usage) -> Result<(), ErrorCode> {
        let Some(limited) = self.limited(path) else { return Ok(()) };
        let limits = &self.nodes[&quota::limits_path(&limited)];
        let (Some(limits), Some(mut then)) =
            (StatsTrack::of(limits.data.as_ref()), self.usage(&limited))
        else {
            return Ok(());
        };
        then.add(difference);
        let too_many = limits.count_hard_limit().is_some_and(|limit| then.count > limit);
        let too_large = limits.byte_hard_limit().is_some_and(|limit| then.bytes > limit);
        if difference.count != 0 && too_many || difference.bytes != 0 && too_large {
            return Err(ErrorCode::QUOTA_EXCEEDED);
        }
        Ok(())
    }
    fn alive(&self, session: SessionId) -> Result<(), ErrorCode> {
        if self.sessions.contains(&session) { Ok(()) } else { Err(ErrorCode::SESSION_EXPIRED) }
    }
    fn valid(&self, path: &str) -> Result<(), ErrorCode> {
        let valid = path == "/" || path.starts_with('/') && !path.ends_with('/');
        if valid { Ok(()) } else { Err(ErrorCode::BAD_ARGUMENTS) }
    }
    fn expect(&self, current: i32, expected: i32) -> Result<(), ErrorCode> {
        let fits = expected == -1 || expected == current;
        if fits { Ok(()) } else { Err(ErrorCode::BAD_VERSION) }
    }
}

/// What stands in flight, and what was applied of it, beside the model that carried out all of it.
struct Ahead {
    config: Config,
    database: Database,
    pending: Pending,
    /// Prepared, not applied: with the model's answer.
    queue: VecDeque<(Request, Txn, Answer)>,
    model: Model,
}

impl Ahead {
    fn new() -> Self {
        let mut config = Config::new(ServerId(1), Ensemble::default());
        config.extended_types = true;
        config.enforce_quota = true;
        let database = Database::new();
        let pending = Pending::new(&database);
        Self { config, database, pending, queue: VecDeque::new(), model: Model::new() }
    }
    fn request(&mut self, session: SessionId, request: Request) {
        let answer = self.model.execute(session, &request);
        let (zxid, time) = (self.model.zxid, WallTime(self.model.time));
        let caller = Caller { session, auth: Access::NOBODY, local: false };
        let (body, digest) =
            self.pending.prepare(&self.database, &self.config, caller, &request, zxid, time);
        let refused = match &body {
            TxnBody::Error(code) => Some(*code),
            _ => None,
        };
        assert_eq!(refused, answer.as_ref().err().copied(), "{request:?}");
        let header = TxnHeader { session, cxid: Xid(0), zxid, time };
        self.queue.push_back((request, Txn { header, body, digest: Some(digest) }, answer));
    }
    fn apply(&mut self, count: usize) {
        for _ in 0..count.min(self.queue.len()) {
            let (request, txn, answer) = self.queue.pop_front().unwrap();
            let applied = self.database.apply(&txn);
            self.pending.applied(txn.header.zxid);
            assert_eq!(self.database.tree.digest(), txn.digest.unwrap().tree, "{txn:?}");
            assert_eq!(reply(&request, &txn, &applied, &self.database), answer, "{txn:?}");
        }
    }
    fn finish(mut self) {
        self.apply(usize::MAX);
        for (path, node) in &self.model.nodes {
            let found = self.database.tree.get(path).expect(path);
            assert_eq!(found.client_stat(), self.model.stat(path), "{path}");
            assert_eq!((found.data, found.acl), (node.data.as_ref(), &node.acl[..]), "{path}");
        }
        assert_eq!(self.database.tree.node_count(), self.model.nodes.len() + 1);
        assert!(self.database.sessions.keys().eq(self.model.sessions.iter()));
        assert!(self.pending.is_empty(), "{:?}", self.pending);
    }
}

#[derive(Clone, Debug)]
enum Step {
    Request(SessionId, Request),
    Apply(usize),
}

/// Few paths, so that requests meet.
fn path() -> impl Strategy<Value = String> {
    prop_oneof![
        20 => "(/[ab]){1,3}",
        2 => Just("/a/".to_string()),
        1 => Just("/".to_string()),
        1 => Just("/zookeeper".to_string()),
        1 => Just("/zookeeper/q".to_string()),
        1 => Just("a".to_string()),
        6 => "/zookeeper/quota(/a){0,2}(/zookeeper_(limits|stats)|)",
    ]
}
fn acl() -> impl Strategy<Value = Vec<Acl>> {
    prop_oneof![
        12 => Just(Acl::open()),
        1 => Just(vec![Acl::world(perms::READ)]),
        1 => Just(vec![Acl::world(perms::ALL & !perms::CREATE)]),
        1 => Just(vec![]),
    ]
}
/// Boxed: all the strategies in one value are too much for a test's stack.
fn data() -> BoxedStrategy<Option<Bytes>> {
    prop_oneof![
        1 => Just(None),
        4 => "[xyz]{0,3}".prop_map(|text| Some(Bytes::from(text))),
        1 => limits().prop_map(|text| Some(Bytes::from(text))),
    ]
    .boxed()
}
fn limits() -> impl Strategy<Value = &'static str> {
    select(vec![
        "count=9,bytes=9=;countHardLimit=2",
        "countHardLimit=3",
        "byteHardLimit=3",
        "byteHardLimit=6;countHardLimit=4",
        "count=1,bytes=2",
    ])
}
/// Paths and data of what it takes.
fn a_quota(limits: &'static str) -> [(&'static str, Option<Bytes>); 5] {
    [
        ("/a", None),
        ("/a/a", Some("xy".into())),
        ("/zookeeper/quota/a", None),
        ("/zookeeper/quota/a/zookeeper_limits", Some(limits.into())),
        ("/zookeeper/quota/a/zookeeper_stats", None),
    ]
}
fn version() -> impl Strategy<Value = i32> {
    prop_oneof![3 => Just(-1), 4 => 0..3, 1 => Just(-2)]
}
fn create() -> impl Strategy<Value = CreateRequest> {
    (path(), data(), acl(), 0..5).prop_map(|(path, data, acl, flags)| CreateRequest {
        path,
        data,
        acl,
        flags,
    })
}
fn create_ttl() -> impl Strategy<Value = CreateTtlRequest> {
    (create(), 3..7, 1..9i64).prop_map(|(create, flags, ttl_ms)| CreateTtlRequest {
        create: CreateRequest { flags, ..create },
        ttl_ms,
    })
}
fn part() -> impl Strategy<Value = Request> {
    let set_data = |(path, data, version)| Request::SetData { path, data, version };
    prop_oneof![
        6 => create().prop_map(Request::Create),
        3 => create().prop_map(Request::Create2),
        1 => create().prop_map(Request::CreateContainer),
        1 => create_ttl().prop_map(Request::CreateTtl),
        5 => (path(), version()).prop_map(|(path, version)| Request::Delete { path, version }),
        4 => (path(), data(), version()).prop_map(set_data),
        1 => (path(), version()).prop_map(|(path, version)| Request::Check { path, version }),
    ]
}
fn request() -> impl Strategy<Value = Request> {
    let set_acl = |(path, acl, version)| Request::SetAcl { path, acl, version };
    let alone = part().prop_filter("a part only", |r| !matches!(r, Request::Check { .. }));
    prop_oneof![
        12 => alone,
        2 => (path(), acl(), version()).prop_map(set_acl),
        6 => proptest::collection::vec(part(), 0..5).prop_map(Request::Multi),
        1 => Just(Request::CloseSession),
        2 => Just(Request::CreateSession { timeout_ms: 4000 }),
    ]
}
fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => ((1..4u64).prop_map(SessionId), request()).prop_map(|(s, r)| Step::Request(s, r)),
        1 => (0..8usize).prop_map(Step::Apply),
    ]
}

proptest! {
    #[test]
    fn preparing_ahead_is_not_visible(
        limits in proptest::option::weighted(0.7, limits()),
        steps in proptest::collection::vec(step(), 1..120),
    ) {
        let mut ahead = Ahead::new();
        for session in 1..4 {
            ahead.request(SessionId(session), Request::CreateSession { timeout_ms: 4000 });
        }
        for (path, data) in limits.into_iter().flat_map(a_quota) {
            let create = CreateRequest { path: path.into(), data, acl: Acl::open(), flags: 0 };
            ahead.request(SessionId(1), Request::Create(create));
        }
        for step in steps {
            match step {
                Step::Request(session, request) => ahead.request(session, request),
                Step::Apply(count) => ahead.apply(count),
            }
        }
        ahead.finish();
    }
}
