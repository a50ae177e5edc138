//! Random operations on few contended paths, drawn by their weights.

use bytes::Bytes;
use zebu_core::proto::{
    Acl, AddWatchMode, CreateRequest, CreateTtlRequest, Id, Request, Response, Stat, WatcherType,
    create_flags, perms,
};

use super::{BASE, OpKind, Work, base, create};
use crate::decide::Draw;
use crate::model::{quota, users};

impl Work {
    pub(super) fn version(&self, path: &str, draw: &mut Draw) -> i32 {
        let known = self.versions.get(path).copied();
        match (known, draw.below(10)) {
            (Some(version), 0) => version.wrapping_sub(1),
            (Some(version), _) => version,
            (None, n) => (n % 3) as i32,
        }
    }

    /// Half of the operations meet on a few nodes, the others on their children.
    pub(super) fn path(&self, draw: &mut Draw) -> String {
        let base = base(draw.below(self.paths));
        match draw.below(8) {
            0..=3 => base,
            n => format!("{base}/c{}", n % 3),
        }
    }

    pub(super) fn mix(&mut self, draw: &mut Draw) {
        let total: u32 = self.ops.iter().map(|(_, weight)| weight).sum();
        let mut at = draw.below(u64::from(total)) as u32;
        let mut chosen = OpKind::Get;
        for (op, weight) in &self.ops {
            if at < *weight {
                chosen = *op;
                break;
            }
            at -= weight;
        }
        let path = self.path(draw);
        let request = self.request(chosen, path, draw);
        self.todo.push_back(request);
    }

    pub(super) fn request(&mut self, op: OpKind, path: String, draw: &mut Draw) -> Request {
        let beside = format!("{}/", base(draw.below(self.paths)));
        match op {
            OpKind::Set => Request::SetData { path, data: self.data(), version: -1 },
            OpKind::Cas => {
                let version = self.version(&path, draw);
                Request::SetData { path, data: self.data(), version }
            }
            OpKind::Create => create(path, self.data(), create_flags::PERSISTENT),
            OpKind::Create2 => {
                let Request::Create(create) = create(path, self.data(), create_flags::PERSISTENT)
                else {
                    unreachable!("create makes a Create")
                };
                Request::Create2(create)
            }
            OpKind::CreateSequential => {
                create(beside + "s-", self.data(), create_flags::PERSISTENT_SEQUENTIAL)
            }
            OpKind::CreateEphemeral => {
                let name = format!("{beside}e{}", draw.below(3));
                create(name, self.data(), create_flags::EPHEMERAL)
            }
            OpKind::CreateEphemeralSequential => {
                create(beside + "es-", self.data(), create_flags::EPHEMERAL_SEQUENTIAL)
            }
            OpKind::CreateContainer => {
                let name = format!("{beside}k{}", draw.below(2));
                let data = self.data();
                let flags = create_flags::CONTAINER;
                Request::CreateContainer(CreateRequest {
                    path: name,
                    data,
                    acl: Acl::open(),
                    flags,
                })
            }
            OpKind::CreateTtl => {
                let path = format!("{beside}t{}", draw.below(2));
                let (data, flags) = (self.data(), create_flags::TTL);
                let create = CreateRequest { path, data, acl: Acl::open(), flags };
                Request::CreateTtl(CreateTtlRequest {
                    create,
                    ttl_ms: draw.between(1, 1500) as i64,
                })
            }
            OpKind::Delete => match self.ours.pop_front() {
                Some(path) if draw.one_in(2) => Request::Delete { path, version: -1 },
                _ => Request::Delete { path, version: -1 },
            },
            OpKind::DeleteCas => {
                let version = self.version(&path, draw);
                Request::Delete { path, version }
            }
            OpKind::Get => Request::GetData { path, watch: false },
            OpKind::GetWatch => Request::GetData { path, watch: true },
            OpKind::Exists => Request::Exists { path, watch: false },
            OpKind::ExistsWatch => Request::Exists { path, watch: true },
            OpKind::Children => Request::GetChildren { path, watch: false },
            OpKind::ChildrenWatch => Request::GetChildren { path, watch: true },
            OpKind::Children2 => Request::GetChildren2 { path, watch: draw.one_in(3) },
            OpKind::GetAcl => Request::GetAcl { path },
            OpKind::SetAcl => {
                // Administration stays open, or nobody could ever undo it.
                let all = draw.one_in(2);
                let perms = if all { perms::ALL } else { perms::ALL & !(draw.below(4) as i32) };
                let known = self.acl_versions.get(&path).copied().unwrap_or(0);
                let version = if draw.one_in(3) { known } else { -1 };
                Request::SetAcl { path, acl: vec![Acl::world(perms)], version }
            }
            OpKind::Multi => Request::Multi(self.parts(draw, false)),
            OpKind::MultiFailing => Request::Multi(self.parts(draw, true)),
            OpKind::SyncGet => {
                self.todo.push_back(Request::Sync { path: path.clone() });
                Request::GetData { path, watch: draw.one_in(4) }
            }
            OpKind::InContainer => {
                let kind = if draw.one_in(2) { 'k' } else { 't' };
                let above = format!("{beside}{kind}{}", draw.below(2));
                match draw.below(4) {
                    0 => Request::SetData { path: above, data: self.data(), version: -1 },
                    1 => Request::Delete { path: above + "/x", version: -1 },
                    _ => create(above + "/x", self.data(), create_flags::EPHEMERAL),
                }
            }
            OpKind::GetEphemerals => {
                let prefix = if draw.one_in(3) { "/".into() } else { path };
                Request::GetEphemerals { prefix }
            }
            OpKind::CountChildren => {
                let path = if draw.one_in(8) { "/".into() } else { path };
                Request::GetAllChildrenNumber { path }
            }
            OpKind::MultiRead => {
                let base = base(draw.below(self.paths));
                Request::MultiRead(vec![
                    Request::GetData { path: path.clone(), watch: false },
                    Request::GetChildren { path: base, watch: false },
                    Request::GetChildren { path, watch: false },
                ])
            }
            OpKind::Quota => {
                let limited = base(draw.below(self.paths));
                self.quota(&limited, draw)
            }
            OpKind::ReadQuota => {
                let path = quota::stats_path(&base(draw.below(self.paths)));
                Request::GetData { path, watch: false }
            }
            OpKind::AddWatch => {
                let mode = match draw.below(2) {
                    0 => AddWatchMode::Persistent,
                    _ => AddWatchMode::PersistentRecursive,
                };
                Request::AddWatch { path: watched(path, draw), mode }
            }
            OpKind::RemoveWatches => {
                Request::RemoveWatches { path: watched(path, draw), watcher: watcher(draw) }
            }
            OpKind::CheckWatches => {
                Request::CheckWatches { path: watched(path, draw), watcher: watcher(draw) }
            }
            OpKind::Login => users::login(draw.below(users::USERS.len() as u64) as usize),
            OpKind::Restrict => {
                let acl = list_of_users(draw);
                if draw.one_in(3) {
                    let (data, flags) = (self.data(), create_flags::PERSISTENT);
                    return Request::Create(CreateRequest { path, data, acl, flags });
                }
                Request::SetAcl { path, acl, version: -1 }
            }
            OpKind::Odd => self.odd(draw),
            OpKind::LongEphemeral => self.long_ephemeral(draw),
            OpKind::LongWatch => self.long_watch(draw),
            OpKind::LongNode => self.long_node(draw),
            OpKind::Strange => match draw.below(3) {
                0 => Request::Check { path, version: -1 },
                1 => Request::Unknown(4711),
                _ => create("no/slash/first".into(), None, create_flags::PERSISTENT),
            },
        }
    }

    /// Limits and stats come and go together, as the command line does it.
    pub(super) fn quota(&mut self, limited: &str, draw: &mut Draw) -> Request {
        let (limits, stats) = (quota::limits_path(limited), quota::stats_path(limited));
        let text = match draw.below(4) {
            0 => "count=5,bytes=100".into(),
            1 => format!("count=-1,bytes=-1=;byteHardLimit={}", draw.between(20, 600)),
            _ => format!("count=-1,bytes=-1=;countHardLimit={}", draw.between(1, 15)),
        };
        let text = Some(Bytes::from(text));
        match draw.below(8) {
            0 => {
                let delete = |path| Request::Delete { path, version: -1 };
                Request::Multi(vec![delete(limits), delete(stats)])
            }
            1..=3 => Request::SetData { path: limits, data: text, version: -1 },
            _ => {
                for above in [BASE, limited] {
                    let path = format!("{}{above}", quota::QUOTA);
                    self.todo.push_back(create(path, None, create_flags::PERSISTENT));
                }
                let create = |path, data| create(path, data, create_flags::PERSISTENT);
                Request::Multi(vec![create(limits, text), create(stats, None)])
            }
        }
    }

    /// Parts of a multi, later ones on what earlier ones made.
    pub(super) fn parts(&mut self, draw: &mut Draw, failing: bool) -> Vec<Request> {
        let mut parts = Vec::new();
        let path = base(draw.below(self.paths));
        let inner = format!("{path}/m{}", draw.below(3));
        parts.push(Request::Check { path: path.clone(), version: -1 });
        match draw.below(4) {
            0 => {
                parts.push(create(inner.clone(), self.data(), create_flags::PERSISTENT));
                parts.push(Request::SetData { path: inner, data: self.data(), version: 0 });
            }
            1 => {
                parts.push(Request::SetData { path: path.clone(), data: self.data(), version: -1 });
                let flags = create_flags::PERSISTENT_SEQUENTIAL;
                parts.push(create(format!("{path}/ms-"), self.data(), flags));
            }
            2 => {
                parts.push(create(inner.clone(), self.data(), create_flags::PERSISTENT));
                parts.push(Request::Delete { path: inner, version: -1 });
                let version = self.version(&path, draw);
                parts.push(Request::SetData { path: path.clone(), data: self.data(), version });
            }
            _ => {
                let version = self.version(&path, draw);
                parts.push(Request::Check { path: path.clone(), version });
                parts.push(create(inner, self.data(), create_flags::EPHEMERAL));
            }
        }
        if failing {
            let at = draw.between(1, parts.len() as u64) as usize;
            let missing = format!("{path}/missing");
            parts.insert(at, Request::Delete { path: missing, version: -1 });
        }
        parts
    }

    pub(super) fn learn(&mut self, request: &Request, response: &Response) {
        let stat: Option<(&str, Stat)> = match (request, response) {
            (Request::GetData { path, .. }, Response::Data { stat, .. })
            | (Request::Exists { path, .. }, Response::Stat(stat))
            | (Request::SetData { path, .. }, Response::Stat(stat))
            | (Request::GetChildren2 { path, .. }, Response::Children2 { stat, .. })
            | (Request::SetAcl { path, .. }, Response::Stat(stat))
            | (Request::GetAcl { path }, Response::Acl { stat, .. }) => Some((path, *stat)),
            (Request::Create(create), Response::Path(path)) if create.path.ends_with('-') => {
                self.ours.push_back(path.clone());
                self.ours.truncate(64);
                None
            }
            _ => None,
        };
        if let Some((path, stat)) = stat {
            self.versions.insert(path.to_owned(), stat.version);
            self.acl_versions.insert(path.to_owned(), stat.aversion);
        }
    }
}

/// For one user or both, or whoever asks; the others may administer it, or read, or nothing. Some
/// users' logins undo what would otherwise be closed for ever.
fn list_of_users(draw: &mut Draw) -> Vec<Acl> {
    let of = |scheme: &str, id: &str, perms| {
        let id = Id { scheme: scheme.into(), id: id.into() };
        Acl { perms, id }
    };
    let user = |draw: &mut Draw| users::USERS[draw.below(users::USERS.len() as u64) as usize].1;
    let mut acl = match draw.below(5) {
        0 => return Acl::open(),
        1 => vec![of("auth", "", perms::ALL)],
        2 => {
            let some = draw.below(32) as i32;
            vec![of("digest", user(draw), perms::ALL), of("digest", user(draw), some)]
        }
        _ => vec![of("digest", user(draw), perms::ALL)],
    };
    match draw.below(3) {
        0 => acl.push(Acl::world(perms::ADMIN)),
        1 => acl.push(Acl::world(perms::READ)),
        _ => {}
    }
    acl
}
/// Mostly `path`, or what is above it.
fn watched(path: String, draw: &mut Draw) -> String {
    match draw.below(4) {
        0 => BASE.into(),
        1 if draw.one_in(4) => "/".into(),
        _ => path,
    }
}
fn watcher(draw: &mut Draw) -> WatcherType {
    match draw.below(8) {
        0 => WatcherType::Children,
        1 => WatcherType::Data,
        2 | 3 => WatcherType::Persistent,
        4 | 5 => WatcherType::PersistentRecursive,
        _ => WatcherType::Any,
    }
}
