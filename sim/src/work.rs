//! What clients do: random operations on few contended paths, and the recipes that people run. All
//! data written is unique, so that a value read names its write.

mod mix;
mod odd;
mod recipes;
mod reconfigurations;

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use serde::Deserialize;
use zebu_core::client::Outcome;
use zebu_core::proto::{Acl, CreateRequest, Request, WatcherEvent, create_flags};

use crate::decide::Draw;
use crate::model::membership::Configuration;
use recipes::Recipe;

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
    /// Read who is in the ensemble, and ask for another one: servers come and go and change roles.
    Reconfigure,
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
    /// Says the password of a user, from then on on every connection.
    Login,
    /// A list that is not for everybody: set, undone, or of a new node.
    Restrict,
    /// Requests at the edge of what is legal.
    Odd,
    /// Ephemerals, watches and nodes with names of up to some thousand characters.
    LongEphemeral,
    LongWatch,
    LongNode,
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
    /// How many servers there are, in the ensemble or not.
    servers: usize,
    /// Who is in it, as read last.
    ensemble: Option<Configuration>,
    /// Nothing is to be changed any more.
    settled: bool,
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
            servers: 0,
            ensemble: None,
            settled: false,
        };
        work.set_up();
        work
    }

    /// In a world of so many servers.
    #[must_use]
    pub fn among(self, servers: usize) -> Self {
        Self { servers, ..self }
    }
    /// Faults are over: from now on the ensemble stays as it is.
    pub fn settle(&mut self) {
        self.settled = true;
    }

    /// The nodes that all work needs; whoever comes first makes them.
    fn set_up(&mut self) {
        match self.kind {
            WorkKind::Idle | WorkKind::Reconfigure => {}
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
            WorkKind::Reconfigure => Some(self.next_of_ensemble(draw)),
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
            WorkKind::Reconfigure => self.reconfigured(result),
            WorkKind::Counter => self.counted(request, result),
            WorkKind::Config => self.configured(request, result, draw),
            WorkKind::Lock => self.locked(request, result),
        }
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
    use zebu_core::proto::{ErrorCode, Response, Stat};

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
            quota read_quota add_watch remove_watches check_watches login restrict odd \
            long_ephemeral long_watch long_node";
        let text: String = all.split_whitespace().map(|op| format!("{op} = 1\n")).collect();
        let ops: BTreeMap<OpKind, u32> = toml::from_str(&text).unwrap();
        assert_eq!(ops.len(), 39);
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
            "Auth",
        ] {
            assert!(requests.iter().any(|r| r.starts_with(kind)), "{kind}");
        }
    }
}
