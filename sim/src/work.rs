//! What clients do: random operations on few contended paths, and the recipes that people run. All
//! data written is unique, so that a value read names its write.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use serde::Deserialize;
use zebu_core::client::Outcome;
use zebu_core::proto::{
    Acl, AddWatchMode, CreateRequest, CreateTtlRequest, ErrorCode, Request, Response, Stat,
    WatcherEvent, WatcherType, create_flags, perms,
};

use crate::decide::Draw;
use crate::model::quota;

#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WorkKind {
    /// Random operations with weights.
    Mix,
    /// Read a number, write the next one if nobody was faster.
    Counter,
    /// The lowest ephemeral sequential node holds the lock; each waits for the one before it.
    Lock,
    /// Read, watch, and read again when it changed; now and then change it.
    Config,
    /// Nothing: keeps a session.
    Idle,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OpKind {
    Set,
    /// setData with the version last seen, now and then a stale one.
    Cas,
    Create,
    Create2,
    CreateSequential,
    CreateEphemeral,
    CreateEphemeralSequential,
    CreateContainer,
    CreateTtl,
    Delete,
    DeleteCas,
    Get,
    GetWatch,
    Exists,
    ExistsWatch,
    Children,
    ChildrenWatch,
    Children2,
    GetAcl,
    SetAcl,
    Multi,
    /// A multi that fails at its last or a middle operation.
    MultiFailing,
    /// sync, and a read behind it.
    SyncGet,
    /// Children of containers and TTL nodes, and changes of the latter.
    InContainer,
    GetEphemerals,
    CountChildren,
    MultiRead,
    /// A quota set, changed or removed.
    Quota,
    /// What a quota has counted.
    ReadQuota,
    /// Requests that are to be refused in their place: a check alone, an unknown opcode.
    Strange,
    /// A persistent watch or a recursive one, there or above it.
    AddWatch,
    RemoveWatches,
    CheckWatches,
}

#[derive(Clone, Debug)]
pub struct Work {
    kind: WorkKind,
    ops: Vec<(OpKind, u32)>,
    paths: u64,
    /// Who: in names and data.
    client: usize,
    written: u64,
    /// Requests that belong together and come next.
    todo: VecDeque<Request>,
    versions: BTreeMap<String, i32>,
    acl_versions: BTreeMap<String, i32>,
    /// Sequential nodes of ours, for deleting.
    ours: VecDeque<String>,
    recipe: Recipe,
}

/// Where a recipe stands: what is to be asked next once nothing is outstanding.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Recipe {
    Read,
    Write {
        version: i32,
        value: u64,
    },
    Enqueue,
    Look {
        mine: String,
    },
    WaitFor {
        mine: String,
        before: String,
    },
    /// Until an event comes, or the session is new.
    Waiting {
        mine: String,
        patience: u32,
    },
    Hold {
        mine: String,
    },
    Release {
        mine: String,
    },
}

const BASE: &str = "/w";

impl Work {
    pub fn new(kind: WorkKind, ops: &BTreeMap<OpKind, u32>, paths: u64, client: usize) -> Self {
        let mut work = Self {
            kind,
            ops: ops.iter().map(|(op, weight)| (*op, *weight)).collect(),
            paths: paths.max(1),
            client,
            written: 0,
            todo: VecDeque::new(),
            versions: BTreeMap::new(),
            acl_versions: BTreeMap::new(),
            ours: VecDeque::new(),
            recipe: if kind == WorkKind::Lock { Recipe::Enqueue } else { Recipe::Read },
        };
        work.set_up();
        work
    }

    /// The nodes that all work needs; whoever comes first makes them.
    fn set_up(&mut self) {
        match self.kind {
            WorkKind::Idle => {}
            WorkKind::Mix => {
                self.todo.push_back(create(BASE.into(), None, create_flags::PERSISTENT));
                for path in 0..self.paths {
                    let data = self.data();
                    self.todo.push_back(create(base(path), data, create_flags::PERSISTENT));
                }
            }
            WorkKind::Counter | WorkKind::Config => {
                let data = Some(Bytes::from_static(b"0"));
                self.todo.push_back(create(self.recipe_path(), data, create_flags::PERSISTENT));
            }
            WorkKind::Lock => {
                self.todo.push_back(create("/lock".into(), None, create_flags::PERSISTENT));
            }
        }
    }

    fn recipe_path(&self) -> String {
        if self.kind == WorkKind::Counter { "/counter".into() } else { "/config".into() }
    }

    /// The next call; `None` when there is nothing to do before something comes back.
    pub fn next(&mut self, outstanding: usize, draw: &mut Draw) -> Option<Request> {
        if let Some(request) = self.todo.pop_front() {
            return Some(request);
        }
        match self.kind {
            WorkKind::Idle => None,
            WorkKind::Mix => {
                self.mix(draw);
                self.todo.pop_front()
            }
            WorkKind::Counter | WorkKind::Lock | WorkKind::Config if outstanding > 0 => None,
            WorkKind::Counter | WorkKind::Config => self.next_of_value(draw),
            WorkKind::Lock => self.next_of_lock(),
        }
    }

    /// Does this client ever call?
    pub fn is_idle(&self) -> bool {
        self.kind == WorkKind::Idle
    }

    fn data(&mut self) -> Option<Bytes> {
        self.written += 1;
        let pad = ".".repeat((self.written % 7) as usize * 9);
        Some(Bytes::from(format!("c{}-{}{pad}", self.client, self.written)))
    }

    fn version(&self, path: &str, draw: &mut Draw) -> i32 {
        let known = self.versions.get(path).copied();
        match (known, draw.below(10)) {
            (Some(version), 0) => version - 1,
            (Some(version), _) => version,
            (None, n) => (n % 3) as i32,
        }
    }

    /// Half of the operations meet on a few nodes, the others on their children.
    fn path(&self, draw: &mut Draw) -> String {
        let base = base(draw.below(self.paths));
        match draw.below(8) {
            0..=3 => base,
            n => format!("{base}/c{}", n % 3),
        }
    }

    fn mix(&mut self, draw: &mut Draw) {
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

    fn request(&mut self, op: OpKind, path: String, draw: &mut Draw) -> Request {
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
            OpKind::Strange => match draw.below(3) {
                0 => Request::Check { path, version: -1 },
                1 => Request::Unknown(4711),
                _ => create("no/slash/first".into(), None, create_flags::PERSISTENT),
            },
        }
    }

    /// Limits and stats come and go together, as the command line does it.
    fn quota(&mut self, limited: &str, draw: &mut Draw) -> Request {
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
    fn parts(&mut self, draw: &mut Draw, failing: bool) -> Vec<Request> {
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

    fn next_of_value(&mut self, draw: &mut Draw) -> Option<Request> {
        let path = self.recipe_path();
        match std::mem::replace(&mut self.recipe, Recipe::Read) {
            Recipe::Write { version, value } => {
                let data = Some(Bytes::from(value.to_string()));
                Some(Request::SetData { path, data, version })
            }
            Recipe::Waiting { patience, .. } if patience > 0 && !draw.one_in(8) => {
                self.recipe = Recipe::Waiting { mine: String::new(), patience: patience - 1 };
                None
            }
            _ => Some(Request::GetData { path, watch: self.kind == WorkKind::Config }),
        }
    }

    fn next_of_lock(&mut self) -> Option<Request> {
        match self.recipe.clone() {
            Recipe::Look { .. } => {
                Some(Request::GetChildren { path: "/lock".into(), watch: false })
            }
            Recipe::WaitFor { before, .. } => {
                Some(Request::Exists { path: format!("/lock/{before}"), watch: true })
            }
            Recipe::Waiting { mine, patience } => {
                // An event may have been folded into a reconnect: look again after a while.
                self.recipe = match patience {
                    0 => Recipe::Look { mine },
                    _ => Recipe::Waiting { mine, patience: patience - 1 },
                };
                None
            }
            Recipe::Hold { mine } => Some(Request::SetData {
                path: "/lock".into(),
                data: Some(mine.into()),
                version: -1,
            }),
            Recipe::Release { mine } => {
                Some(Request::Delete { path: format!("/lock/{mine}"), version: -1 })
            }
            Recipe::Enqueue | Recipe::Read | Recipe::Write { .. } => {
                let data = self.data();
                Some(create("/lock/n-".into(), data, create_flags::EPHEMERAL_SEQUENTIAL))
            }
        }
    }

    pub fn completed(&mut self, request: &Request, outcome: &Outcome, draw: &mut Draw) {
        let Outcome::Replied { result, .. } = outcome else {
            if self.kind == WorkKind::Lock {
                // Ours may or may not be there; it goes with the session.
                self.recipe = Recipe::Enqueue;
            }
            return;
        };
        if let Ok(response) = result {
            self.learn(request, response);
        }
        match self.kind {
            WorkKind::Mix | WorkKind::Idle => {}
            WorkKind::Counter => self.counted(request, result),
            WorkKind::Config => self.configured(request, result, draw),
            WorkKind::Lock => self.locked(request, result),
        }
    }

    fn learn(&mut self, request: &Request, response: &Response) {
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

    fn counted(&mut self, request: &Request, result: &Result<Response, ErrorCode>) {
        if let (Request::GetData { .. }, Ok(Response::Data { data, stat })) = (request, result) {
            let value = number(data.as_ref()) + 1;
            self.recipe = Recipe::Write { version: stat.version, value };
        }
    }

    fn configured(
        &mut self,
        request: &Request,
        result: &Result<Response, ErrorCode>,
        draw: &mut Draw,
    ) {
        if let (Request::GetData { .. }, Ok(Response::Data { data, stat })) = (request, result) {
            self.recipe = if draw.one_in(4) {
                Recipe::Write { version: stat.version, value: number(data.as_ref()) + 1 }
            } else {
                Recipe::Waiting { mine: String::new(), patience: 20 }
            };
        }
    }

    fn locked(&mut self, request: &Request, result: &Result<Response, ErrorCode>) {
        let recipe = self.recipe.clone();
        self.recipe = match (recipe, request, result) {
            (Recipe::Enqueue, Request::Create(create), Ok(Response::Path(path)))
                if create.path == "/lock/n-" =>
            {
                Recipe::Look { mine: path.trim_start_matches("/lock/").to_owned() }
            }
            (Recipe::Look { mine }, _, Ok(Response::Children(children))) => {
                let mut queue: Vec<&String> = children.iter().collect();
                queue.sort();
                match queue.iter().position(|name| **name == mine) {
                    None => Recipe::Enqueue,
                    Some(0) => Recipe::Hold { mine },
                    Some(n) => Recipe::WaitFor { mine, before: queue[n - 1].clone() },
                }
            }
            (Recipe::WaitFor { mine, .. }, _, Ok(_)) => Recipe::Waiting { mine, patience: 40 },
            (Recipe::WaitFor { mine, .. }, _, Err(_)) => Recipe::Look { mine },
            (Recipe::Hold { mine }, _, Ok(_)) => Recipe::Release { mine },
            (Recipe::Release { .. }, ..) | (_, _, Err(_)) => Recipe::Enqueue,
            (recipe, _, Ok(_)) => recipe,
        };
    }

    pub fn on_watch(&mut self, _event: &WatcherEvent) {
        self.recipe = match std::mem::replace(&mut self.recipe, Recipe::Read) {
            Recipe::Waiting { mine, .. } if self.kind == WorkKind::Lock => Recipe::Look { mine },
            Recipe::Waiting { .. } => Recipe::Read,
            recipe => recipe,
        };
    }

    /// The session is a new one: what belonged to the old one is gone.
    pub fn on_new_session(&mut self) {
        if self.kind == WorkKind::Lock {
            self.recipe = Recipe::Enqueue;
        } else {
            self.recipe = Recipe::Read;
        }
        self.todo.clear();
        self.set_up();
    }
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
fn base(path: u64) -> String {
    format!("{BASE}/p{path}")
}
fn number(data: Option<&Bytes>) -> u64 {
    data.and_then(|d| std::str::from_utf8(d).ok()).and_then(|s| s.parse().ok()).unwrap_or(0)
}
fn create(path: String, data: Option<Bytes>, flags: i32) -> Request {
    Request::Create(CreateRequest { path, data, acl: Acl::open(), flags })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decide::{About, Decide};

    fn draw(n: u64) -> Draw {
        Decide::new(5).draw(About::Work, 0, n)
    }
    fn replied(result: Result<Response, ErrorCode>) -> Outcome {
        Outcome::Replied { zxid: 1, result }
    }

    #[test]
    fn a_counter_reads_writes_and_reads_again() {
        let mut work = Work::new(WorkKind::Counter, &BTreeMap::new(), 1, 0);
        let setup = work.next(0, &mut draw(0)).unwrap();
        work.completed(&setup, &replied(Err(ErrorCode::NODE_EXISTS)), &mut draw(0));
        let read = work.next(0, &mut draw(1)).unwrap();
        assert!(matches!(read, Request::GetData { .. }));
        assert_eq!(work.next(1, &mut draw(2)), None);
        let stat = Stat { version: 7, ..Stat::default() };
        let data = Some(Bytes::from_static(b"41"));
        work.completed(&read, &replied(Ok(Response::Data { data, stat })), &mut draw(3));
        let Some(Request::SetData { data: Some(data), version: 7, .. }) =
            work.next(0, &mut draw(4))
        else {
            panic!("expected a conditional write")
        };
        assert_eq!(&data[..], b"42");
        assert!(matches!(work.next(0, &mut draw(5)), Some(Request::GetData { .. })));
    }

    #[test]
    fn a_lock_waits_for_the_one_before_it() {
        let mut work = Work::new(WorkKind::Lock, &BTreeMap::new(), 1, 0);
        let next = |work: &mut Work| work.next(0, &mut draw(0)).unwrap();
        let setup = next(&mut work);
        work.completed(&setup, &replied(Ok(Response::Path("/lock".into()))), &mut draw(0));
        let enqueue = next(&mut work);
        work.completed(&enqueue, &replied(Ok(Response::Path("/lock/n-5".into()))), &mut draw(0));
        let look = next(&mut work);
        let children = |names: &[&str]| {
            replied(Ok(Response::Children(names.iter().map(|n| (*n).to_owned()).collect())))
        };
        work.completed(&look, &children(&["n-7", "n-5", "n-3", "n-4"]), &mut draw(0));
        let wait = next(&mut work);
        assert_eq!(wait, Request::Exists { path: "/lock/n-4".into(), watch: true });
        work.completed(&wait, &replied(Ok(Response::Stat(Stat::default()))), &mut draw(0));
        assert_eq!(work.next(0, &mut draw(0)), None);
        let kind = zebu_core::proto::EventKind::NodeDeleted;
        work.on_watch(&WatcherEvent { kind, path: "/lock/n-4".into() });
        let look = next(&mut work);
        work.completed(&look, &children(&["n-5", "n-7"]), &mut draw(0));
        assert!(matches!(next(&mut work), Request::SetData { .. }));
    }

    #[test]
    fn every_kind_of_operation_can_be_drawn_and_data_is_unique() {
        let all = "set cas create create2 create_sequential create_ephemeral \
            create_ephemeral_sequential create_container create_ttl delete delete_cas get get_watch \
            exists exists_watch children children_watch children2 get_acl set_acl multi \
            multi_failing sync_get in_container get_ephemerals count_children multi_read strange \
            quota read_quota add_watch remove_watches check_watches";
        let text: String = all.split_whitespace().map(|op| format!("{op} = 1\n")).collect();
        let ops: BTreeMap<OpKind, u32> = toml::from_str(&text).unwrap();
        assert_eq!(ops.len(), 33);
        let mut work = Work::new(WorkKind::Mix, &ops, 2, 3);
        let requests: Vec<String> = (0..2000)
            .filter_map(|n| work.next(0, &mut draw(n)))
            .map(|r| format!("{r:?}"))
            .collect();
        for kind in [
            "Create(",
            "Create2",
            "CreateContainer",
            "CreateTtl",
            "Delete",
            "Exists",
            "GetData",
            "SetData",
            "GetAcl",
            "SetAcl",
            "GetChildren ",
            "GetChildren2",
            "Sync",
            "GetEphemerals",
            "GetAllChildrenNumber",
            "MultiRead",
            "Check",
            "Multi",
            "Unknown",
            "AddWatch",
            "RemoveWatches",
            "CheckWatches",
        ] {
            assert!(requests.iter().any(|r| r.starts_with(kind)), "{kind}");
        }
    }
}
