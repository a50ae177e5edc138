//! The sequential specification: what one write comes to, given the state that it meets.
//!
//! Checks stand in ZooKeeper's order, because the first that fails decides the answer. A verdict is
//! the whole transaction and the whole reply, so nothing about them is left to be believed. `None`
//! means that this model does not know (identities that the load does not have), never that anything
//! goes.

use std::collections::BTreeMap;
use std::rc::Rc;

use bytes::Bytes;
use zebu_core::ids::Zxid;
use zebu_core::proto::{
    Acl, CreateRequest, ErrorCode, MultiResult, ReconfigRequest, Request, Response, StatPersisted,
    create_flags, perms,
};
use zebu_core::txn::{CreateContainerTxn, CreateTtlTxn, CreateTxn, TxnBody};

use super::quota::{self, Usage};
use super::users::Users;
use super::{CONFIG, CONTAINER, Model, Node, TTL_MARK, split};

/// On whose behalf.
#[derive(Clone, Copy, Debug)]
pub struct Caller {
    pub session: u64,
    /// Whose passwords its connection has said.
    pub users: Users,
    /// A session that only its server knows: nothing can be its own.
    pub local: bool,
}

#[derive(Clone, PartialEq, Debug)]
pub struct Verdict {
    pub body: TxnBody,
    pub reply: Result<Response, ErrorCode>,
}

/// Why an operation stops.
enum Stop {
    Refused(ErrorCode),
    Unsure,
}

type Step = Result<(TxnBody, Response), Stop>;

/// Judges `request` as the transaction `zxid`, made at `time`, on top of all of `model`.
pub fn judge(
    model: &Model,
    caller: Caller,
    request: &Request,
    zxid: u64,
    time: i64,
    extended_types: bool,
) -> Option<Verdict> {
    let mut bench = Bench { model, changed: BTreeMap::new(), caller, zxid, time, extended_types };
    if let Request::Multi(parts) = request {
        return bench.multi(parts);
    }
    match bench.one(request, false) {
        Ok((body, response)) => Some(Verdict { body, reply: Ok(response) }),
        Err(Stop::Refused(code)) => Some(Verdict { body: TxnBody::Error(code), reply: Err(code) }),
        Err(Stop::Unsure) => None,
    }
}

/// The state with what earlier parts of the same multi did laid over it.
struct Bench<'a> {
    model: &'a Model,
    changed: BTreeMap<String, Option<Node>>,
    caller: Caller,
    zxid: u64,
    time: i64,
    extended_types: bool,
}

enum CreateKind {
    Plain,
    WithStat,
    Container,
    Ttl(i64),
}

impl Bench<'_> {
    fn one(&mut self, request: &Request, in_multi: bool) -> Step {
        match request {
            Request::Create(c) if in_multi && c.flags == create_flags::CONTAINER => {
                self.create(c, &CreateKind::Container)
            }
            Request::Create2(c) if in_multi && c.flags == create_flags::CONTAINER => {
                self.create(c, &CreateKind::Container)
            }
            Request::Create(c) => self.create(c, &CreateKind::Plain),
            Request::Create2(c) => self.create(c, &CreateKind::WithStat),
            Request::CreateContainer(c) => self.create(c, &CreateKind::Container),
            Request::CreateTtl(c) if in_multi && c.create.flags == create_flags::CONTAINER => {
                self.create(&c.create, &CreateKind::Container)
            }
            Request::CreateTtl(c) if in_multi && c.create.flags < create_flags::CONTAINER => {
                self.create(&c.create, &CreateKind::Plain)
            }
            Request::CreateTtl(c) => self.create(&c.create, &CreateKind::Ttl(c.ttl_ms)),
            Request::Delete { path, version } => self.delete(path, *version),
            Request::SetData { path, data, version } => {
                self.open_session()?;
                valid_path(path)?;
                let mut node = self.node(path)?;
                self.permit(&node, perms::WRITE)?;
                self.admit(path, (0, len(data.as_ref()) - len(node.data.as_ref())))?;
                node.stat.version = next_version(*version, node.stat.version)?;
                node.stat.mzxid = Zxid(self.zxid);
                node.stat.mtime = self.time;
                node.data = data.clone();
                let (path, data, version) = (path.clone(), data.clone(), node.stat.version);
                let stat = node.client_stat();
                self.changed.insert(path.clone(), Some(node));
                Ok((TxnBody::SetData { path, data, version }, Response::Stat(stat)))
            }
            Request::SetAcl { path, acl, version } => {
                self.open_session()?;
                valid_path(path)?;
                let acl = fix_up(acl, self.caller.users)?;
                let mut node = self.node(path)?;
                self.permit(&node, perms::ADMIN)?;
                node.stat.aversion = next_version(*version, node.stat.aversion)?;
                node.acl = Rc::new(acl.clone());
                let version = node.stat.aversion;
                let stat = node.client_stat();
                self.changed.insert(path.clone(), Some(node));
                Ok((TxnBody::SetAcl { path: path.clone(), acl, version }, Response::Stat(stat)))
            }
            Request::Check { path, version } if in_multi => {
                self.open_session()?;
                valid_path(path)?;
                let node = self.node(path)?;
                self.permit(&node, perms::READ)?;
                let version = next_version(*version, node.stat.version)?;
                Ok((TxnBody::Check { path: path.clone(), version }, Response::Empty))
            }
            Request::Reconfig(_) if in_multi => Err(Stop::Unsure),
            Request::Reconfig(asked) => self.reconfigure(asked),
            Request::CloseSession => {
                let owned = self.model.ephemerals.get(&self.caller.session);
                let paths = owned.into_iter().flatten().cloned().collect();
                Ok((TxnBody::CloseSession { paths: Some(paths) }, Response::Empty))
            }
            _ => Err(Stop::Unsure),
        }
    }

    // ZK: PrepRequestProcessor.pRequest2TxnCreate (3.9); semantics.md section 3
    fn create(&mut self, c: &CreateRequest, kind: &CreateKind) -> Step {
        use create_flags as flag;
        refuse_if(!(0..=6).contains(&c.flags), ErrorCode::BAD_ARGUMENTS)?;
        let ttl_flag = matches!(c.flags, flag::TTL | flag::TTL_SEQUENTIAL);
        refuse_if(ttl_flag && !self.extended_types, ErrorCode::UNIMPLEMENTED)?;
        match kind {
            CreateKind::Ttl(ms) => {
                let legal = ttl_flag && (1..1 << 40).contains(ms);
                // Departs: upstream lets opcode 21 without a TTL flag kill the server.
                refuse_if(!legal, ErrorCode::BAD_ARGUMENTS)?;
            }
            CreateKind::Plain | CreateKind::WithStat | CreateKind::Container => {
                refuse_if(ttl_flag, ErrorCode::BAD_ARGUMENTS)?;
            }
        }
        let ephemeral = matches!(c.flags, flag::EPHEMERAL | flag::EPHEMERAL_SEQUENTIAL);
        if self.caller.local && ephemeral {
            return Err(Stop::Refused(ErrorCode::EPHEMERAL_ON_LOCAL_SESSION));
        }
        self.open_session()?;
        refuse_if(!c.path.contains('/') || c.path.contains('\0'), ErrorCode::BAD_ARGUMENTS)?;
        let acl = fix_up(&c.acl, self.caller.users)?;
        let (parent, _) = split(&c.path);
        let mut above = self.node(parent)?;
        self.permit(&above, perms::CREATE)?;
        let sequential = matches!(
            c.flags,
            flag::PERSISTENT_SEQUENTIAL | flag::EPHEMERAL_SEQUENTIAL | flag::TTL_SEQUENTIAL
        );
        let mut path = c.path.clone();
        if sequential {
            path.push_str(&format!("{:010}", above.stat.cversion));
        }
        valid_path(&path)?;
        refuse_if(self.get(&path).is_some(), ErrorCode::NODE_EXISTS)?;
        refuse_if(above.owner().is_some(), ErrorCode::NO_CHILDREN_FOR_EPHEMERALS)?;
        self.admit(&path, (1, len(c.data.as_ref())))?;

        let parent_cversion = above.stat.cversion.wrapping_add(1);
        if parent_cversion > above.stat.cversion {
            above.stat.cversion = parent_cversion;
            above.stat.pzxid = Zxid(self.zxid);
        }
        above.num_children += 1;
        let container = matches!(kind, CreateKind::Container);
        let stat = StatPersisted {
            czxid: Zxid(self.zxid),
            mzxid: Zxid(self.zxid),
            pzxid: Zxid(self.zxid),
            ctime: self.time,
            mtime: self.time,
            ephemeral_owner: match kind {
                CreateKind::Ttl(ms) => TTL_MARK | ms,
                CreateKind::Container => CONTAINER,
                CreateKind::Plain | CreateKind::WithStat if ephemeral => self.caller.session as i64,
                CreateKind::Plain | CreateKind::WithStat => 0,
            },
            ..StatPersisted::default()
        };
        let node = Node::new(c.data.clone(), acl.clone(), stat);
        let client_stat = node.client_stat();
        self.changed.insert(if parent.is_empty() { "/" } else { parent }.into(), Some(above));
        self.changed.insert(path.clone(), Some(node));

        let data = c.data.clone();
        let response = match kind {
            CreateKind::Plain => Response::Path(path.clone()),
            _ => Response::PathStat { path: path.clone(), stat: client_stat },
        };
        let plain = |path| CreateTxn {
            path,
            data: data.clone(),
            acl: acl.clone(),
            ephemeral,
            parent_cversion,
        };
        let body = match kind {
            CreateKind::Plain => TxnBody::Create(plain(path)),
            CreateKind::WithStat => TxnBody::Create2(plain(path)),
            CreateKind::Container => {
                TxnBody::CreateContainer(CreateContainerTxn { path, data, acl, parent_cversion })
            }
            CreateKind::Ttl(ttl_ms) => {
                let ttl_ms = *ttl_ms;
                TxnBody::CreateTtl(CreateTtlTxn { path, data, acl, parent_cversion, ttl_ms })
            }
        };
        debug_assert!(container == matches!(body, TxnBody::CreateContainer(_)));
        Ok((body, response))
    }

    fn delete(&mut self, path: &str, version: i32) -> Step {
        self.open_session()?;
        let special = matches!(path, "/" | "/zookeeper" | "/zookeeper/quota" | CONFIG);
        let bad = special || !path.contains('/') || path.contains('\0');
        refuse_if(bad, ErrorCode::BAD_ARGUMENTS)?;
        let (parent, _) = split(path);
        let mut above = self.node(parent)?;
        self.permit(&above, perms::DELETE)?;
        let node = self.node(path)?;
        next_version(version, node.stat.version)?;
        refuse_if(node.num_children > 0, ErrorCode::NOT_EMPTY)?;
        above.num_children -= 1;
        above.stat.pzxid = Zxid(self.zxid);
        self.changed.insert(if parent.is_empty() { "/" } else { parent }.into(), Some(above));
        self.changed.insert(path.into(), None);
        Ok((TxnBody::Delete { path: path.into() }, Response::Empty))
    }

    /// Whoever is there, and whether or not another one is under way.
    // ZK: PrepRequestProcessor.pRequest2Txn (3.9): case reconfig; who may is not asked (skipACL)
    fn reconfigure(&mut self, asked: &ReconfigRequest) -> Step {
        let Some(newest) = &self.model.ensemble else {
            return Err(Stop::Refused(ErrorCode::RECONFIG_DISABLED));
        };
        self.open_session()?;
        let next = newest.changed(asked, self.zxid).map_err(Stop::Refused)?;
        let missing = Stop::Refused(ErrorCode::NO_NODE);
        let mut node = self.get(CONFIG).cloned().ok_or(missing)?;
        node.data = Some(next.text().into());
        // It is not counted up.
        node.stat.version = -1;
        node.stat.mzxid = Zxid(self.zxid);
        node.stat.mtime = self.time;
        let (data, stat) = (node.data.clone(), node.client_stat());
        let body = TxnBody::Reconfig { path: CONFIG.into(), data: data.clone(), version: -1 };
        Ok((body, Response::Data { data, stat }))
    }

    fn multi(&mut self, parts: &[Request]) -> Option<Verdict> {
        let mut bodies = Vec::new();
        let mut results = Vec::new();
        for part in parts {
            match self.one(part, true) {
                Ok((body, response)) => {
                    bodies.push(body);
                    results.push(match (part, response) {
                        (_, Response::Path(path)) => MultiResult::Create { path },
                        (_, Response::PathStat { path, stat }) => {
                            MultiResult::Create2 { path, stat }
                        }
                        (_, Response::Stat(stat)) => MultiResult::SetData { stat },
                        (Request::Delete { .. }, _) => MultiResult::Delete,
                        _ => MultiResult::Check,
                    });
                }
                Err(Stop::Unsure) => return None,
                Err(Stop::Refused(code)) => {
                    // The first to fail is named; those before it are undone, those behind it are
                    // not looked at.
                    let first = bodies.len();
                    let errors = (0..parts.len()).map(|index| match index {
                        _ if index < first => ErrorCode::OK,
                        _ if index == first => code,
                        _ => ErrorCode::RUNTIME_INCONSISTENCY,
                    });
                    results = errors.clone().map(MultiResult::Error).collect();
                    bodies.extend(errors.skip(first).map(TxnBody::Error));
                    break;
                }
            }
        }
        Some(Verdict { body: TxnBody::Multi(bodies), reply: Ok(Response::Multi(results)) })
    }

    /// May so much more lie at `path`?
    // ZK: ZooKeeperServer.checkQuota (3.9)
    // Departs: upstream counts neither what is in flight nor earlier parts of the same multi.
    fn admit(&self, path: &str, difference: Usage) -> Result<(), Stop> {
        let Some(limited) = self.model.quota_above(path) else { return Ok(()) };
        let limits = self.get(&quota::limits_path(limited)).and_then(|node| node.data.as_ref());
        let (mut count, mut bytes) = self.model.usage(limited);
        let is_below = |path: &str| {
            path.strip_prefix(limited).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        for (path, node) in self.changed.iter().filter(|(path, _)| is_below(path)) {
            let before = self.model.now(path);
            count += i64::from(node.is_some()) - i64::from(before.is_some());
            let bytes_of = |node: Option<&Node>| node.map_or(0, |node| len(node.data.as_ref()));
            bytes += bytes_of(node.as_ref()) - bytes_of(before);
        }
        let exceeds = |difference: i64, used: i64, key: &str| {
            let limit = quota::hard_limit(limits, key);
            difference != 0 && limit.is_some_and(|limit| used + difference > limit)
        };
        let refused = exceeds(difference.0, count, "countHardLimit")
            || exceeds(difference.1, bytes, "byteHardLimit");
        refuse_if(refused, ErrorCode::QUOTA_EXCEEDED)
    }

    fn get(&self, path: &str) -> Option<&Node> {
        let path = if path.is_empty() { "/" } else { path };
        match self.changed.get(path) {
            Some(changed) => changed.as_ref(),
            None => self.model.now(path),
        }
    }
    fn node(&self, path: &str) -> Result<Node, Stop> {
        if path == CONFIG {
            return Err(Stop::Unsure);
        }
        self.get(path).cloned().ok_or(Stop::Refused(ErrorCode::NO_NODE))
    }
    fn open_session(&self) -> Result<(), Stop> {
        let open = self.caller.local || self.model.session_open(self.caller.session);
        refuse_if(!open, ErrorCode::SESSION_EXPIRED)
    }
    fn permit(&self, node: &Node, perm: i32) -> Result<(), Stop> {
        match permitted(&node.acl, perm, self.caller) {
            Some(yes) => refuse_if(!yes, ErrorCode::NO_AUTH),
            None => Err(Stop::Unsure),
        }
    }
}

fn len(data: Option<&Bytes>) -> i64 {
    data.map_or(0, |data| data.len() as i64)
}

/// May the caller? `None` when it depends on an identity that is not known here.
// ZK: ZooKeeperServer.checkACL (3.9)
pub fn permitted(acl: &[Acl], perm: i32, caller: Caller) -> Option<bool> {
    if acl.is_empty() {
        return Some(true);
    }
    let matches = |entry: &Acl| match entry.id.scheme.as_str() {
        "world" => Some(true),
        "digest" => caller.users.have(&entry.id.id),
        // Addresses, and what nobody in the load is.
        _ => None,
    };
    let mut sure = Some(false);
    for entry in acl.iter().filter(|entry| entry.perms & perm != 0) {
        match matches(entry) {
            Some(true) => return Some(true),
            Some(false) => {}
            None => sure = None,
        }
    }
    sure
}

// ZK: PrepRequestProcessor.fixupACL (3.9)
fn fix_up(acl: &[Acl], users: Users) -> Result<Vec<Acl>, Stop> {
    let mut fixed: Vec<Acl> = Vec::new();
    for (index, entry) in acl.iter().enumerate() {
        if acl[..index].contains(entry) {
            continue;
        }
        match (entry.id.scheme.as_str(), entry.id.id.as_str()) {
            ("world", "anyone") => {}
            ("world", _) => return Err(Stop::Refused(ErrorCode::INVALID_ACL)),
            ("digest", id) => {
                let parts: Vec<&str> = id.split(':').collect();
                let valid = parts.len() == 2 && !parts[1].is_empty();
                refuse_if(!valid, ErrorCode::INVALID_ACL)?;
            }
            ("auth", _) => {
                let ids = users.ids().ok_or(Stop::Unsure)?;
                refuse_if(ids.is_empty(), ErrorCode::INVALID_ACL)?;
                fixed.extend(ids.into_iter().map(|id| Acl { perms: entry.perms, id }));
                continue;
            }
            _ => return Err(Stop::Unsure),
        }
        fixed.push(entry.clone());
    }
    refuse_if(fixed.is_empty(), ErrorCode::INVALID_ACL)?;
    Ok(fixed)
}

/// The version after this one, if `expected` is this one or -1.
// ZK: PrepRequestProcessor.checkAndIncVersion (3.10): -1 is never a version
fn next_version(expected: i32, current: i32) -> Result<i32, Stop> {
    refuse_if(expected != -1 && expected != current, ErrorCode::BAD_VERSION)?;
    let next = current.wrapping_add(1);
    Ok(if next == -1 { 0 } else { next })
}

fn refuse_if(refuse: bool, code: ErrorCode) -> Result<(), Stop> {
    if refuse { Err(Stop::Refused(code)) } else { Ok(()) }
}

fn valid_path(path: &str) -> Result<(), Stop> {
    refuse_if(!is_valid_path(path), ErrorCode::BAD_ARGUMENTS)
}

// ZK: PathUtils.validatePath (3.9)
pub fn is_valid_path(path: &str) -> bool {
    if path == "/" {
        return true;
    }
    let Some(rest) = path.strip_prefix('/') else { return false };
    rest.split('/').all(|name| !matches!(name, "" | "." | ".."))
        && path
            .encode_utf16()
            .all(|unit| !matches!(unit, 0..=0x1f | 0x7f..=0x9f | 0xd800..=0xf8ff | 0xfff0..=0xffff))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::tests::{create, txn};
    use crate::model::users::{USERS, login};
    use bytes::Bytes;
    use zebu_core::proto::Id;

    const CALLER: Caller = Caller { session: 5, users: Users::NOBODY, local: false };

    fn model() -> Model {
        let mut model = Model::new();
        model.apply(&txn(1, 5, 0, TxnBody::CreateSession { timeout_ms: 4000 }));
        model.apply(&txn(2, 5, 1, create("/a", 1, false)));
        model.apply(&txn(3, 5, 2, create("/e", 2, true)));
        model
    }
    fn request(path: &str, flags: i32) -> Request {
        let data = Some(Bytes::from_static(b"x"));
        Request::Create2(CreateRequest { path: path.into(), data, acl: Acl::open(), flags })
    }
    fn verdict(request: &Request) -> Verdict {
        judge(&model(), CALLER, request, 4, 1004, false).unwrap()
    }
    fn delete(path: &str, version: i32) -> Request {
        Request::Delete { path: path.into(), version }
    }

    #[test]
    fn the_first_failing_check_answers() {
        let table = [
            (request("/a", 7), ErrorCode::BAD_ARGUMENTS),
            (request("/a", 5), ErrorCode::UNIMPLEMENTED),
            (request("/nope/", 0), ErrorCode::NO_NODE),
            (request("/a/../b", 0), ErrorCode::NO_NODE),
            (request("/a", 0), ErrorCode::NODE_EXISTS),
            (request("/e/c", 0), ErrorCode::NO_CHILDREN_FOR_EPHEMERALS),
            (delete("/", -1), ErrorCode::BAD_ARGUMENTS),
            (delete("/b/c", -1), ErrorCode::NO_NODE),
            (delete("/b", -1), ErrorCode::NO_NODE),
            (delete("/a", 3), ErrorCode::BAD_VERSION),
        ];
        for (request, code) in table {
            assert_eq!(verdict(&request).reply, Err(code), "{request:?}");
            assert_eq!(verdict(&request).body, TxnBody::Error(code));
        }
        let late = Caller { session: 6, ..CALLER };
        let told = judge(&model(), late, &request("/b", 0), 4, 0, false).unwrap();
        assert_eq!(told.reply, Err(ErrorCode::SESSION_EXPIRED));
    }

    #[test]
    fn a_multi_sees_its_own_earlier_parts_and_fails_as_a_whole() {
        let parts = vec![request("/b", 0), request("/b/s", 2), delete("/b/s0000000000", 0)];
        let Ok(Response::Multi(results)) = verdict(&Request::Multi(parts.clone())).reply else {
            panic!("a multi is answered with results");
        };
        let MultiResult::Create2 { path, .. } = &results[1] else { panic!("{results:?}") };
        assert_eq!(path, "/b/s0000000000");
        let mut failing = parts;
        failing.insert(1, delete("/b", 9));
        let told = verdict(&Request::Multi(failing));
        let codes = [0, -103, -2, -2].map(|n| MultiResult::Error(ErrorCode(n)));
        assert_eq!(told.reply, Ok(Response::Multi(codes.into())));
        let TxnBody::Multi(bodies) = told.body else { panic!("logged as a multi") };
        assert!(matches!(bodies[0], TxnBody::Create2(_)));
        assert_eq!(bodies[1], TxnBody::Error(ErrorCode::BAD_VERSION));
    }

    #[test]
    fn lists_name_users() {
        let ids = USERS.map(|(_, id)| Id { scheme: "digest".into(), id: id.into() });
        let list = |user: usize| vec![Acl { perms: perms::READ, id: ids[user].clone() }];
        let mut ann = CALLER;
        ann.users.hear(&login(0));
        let may = |user, caller| permitted(&list(user), perms::READ, caller);
        assert_eq!(
            [may(0, CALLER), may(0, ann), may(1, ann)],
            [Some(false), Some(true), Some(false)]
        );
        assert_eq!(permitted(&list(0), perms::WRITE, ann), Some(false));

        let auth = Acl { perms: perms::ALL, id: Id { scheme: "auth".into(), id: String::new() } };
        let set = Request::SetAcl { path: "/a".into(), acl: vec![auth], version: -1 };
        let told = |caller| judge(&model(), caller, &set, 4, 0, false).map(|verdict| verdict.body);
        assert_eq!(told(CALLER), Some(TxnBody::Error(ErrorCode::INVALID_ACL)));
        let acl = vec![Acl { perms: perms::ALL, id: ids[0].clone() }];
        assert_eq!(told(ann), Some(TxnBody::SetAcl { path: "/a".into(), acl, version: 1 }));
        ann.users.hear(&login(1));
        assert_eq!(told(ann), None);
    }

    #[test]
    fn paths() {
        for good in ["/", "/a", "/a/...", "/.a", "/a..", "/\u{a0}"] {
            assert!(is_valid_path(good), "{good}");
        }
        for bad in ["", "a", "/a/", "//a", "/a//b", "/./a", "/a/..", "/\u{1f}", "/\u{fffd}", "/😀"]
        {
            assert!(!is_valid_path(bad), "{bad}");
        }
    }
}
