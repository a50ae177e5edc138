//! Containers that ran empty and TTL nodes whose time is up: a server removes them by itself, in rounds.
//! When a round comes is each server's own affair, so it is compared what is left when nothing more
//! goes, and what watchers were told until then.
//!
//! For that to be the same at both, nothing that is asked here may depend on the moment: a znode and
//! what happens to it until it may go come in one multi; after that, each of the three subtrees of a
//! life sees one write between two comparisons.

use std::fmt::Write;
use std::net::SocketAddr;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::strategy::ValueTree;
use zebu_core::proto::{
    Acl, AddWatchMode, CreateRequest, CreateTtlRequest, ErrorCode, MultiResult, Request, Response,
    Stat, create_flags,
};

use super::full;
use super::play::{Player, Said};
use super::sequence::{Action, HERE, Step};

/// From one round of removals to the next, on both servers.
pub(super) const INTERVAL_MS: u64 = 300;
/// A znode goes one round after its last child, and the deepest are the third below a root.
const SETTLING: Duration = Duration::from_millis(6 * INTERVAL_MS);
/// More than enough for the slower of the two.
const PATIENCE: Duration = Duration::from_secs(20);
const ROOTS: [&str; 3] = ["/a", "/b", "/c"];
/// Writes to each root, after it was made.
const WRITES: usize = 2;
/// Who asks, and who watches.
const ASKS: usize = 0;
const WATCHES: usize = 1;

#[derive(Clone, Copy, Debug)]
enum Kind {
    Persistent,
    Ephemeral,
    Container,
    Ttl(i64),
}

/// What happens below one root: made at once with so many descendants in a line, the lowest of which
/// are deleted again; then written to, now and then.
#[derive(Clone, Debug)]
struct Branch {
    made: Vec<Kind>,
    deleted: usize,
    then: Vec<Option<Request>>,
}

fn kind() -> impl Strategy<Value = Kind> {
    prop_oneof![
        4 => Just(Kind::Container),
        3 => select(vec![1, 1, 700, 3_600_000]).prop_map(Kind::Ttl),
        2 => Just(Kind::Persistent),
    ]
}

fn branch(root: &'static str) -> impl Strategy<Value = Branch> {
    let line = (vec(kind(), 1..=3), prop::bool::weighted(0.15), 0..3usize);
    (line, vec(prop::option::weighted(0.8, write(root)), WRITES)).prop_map(
        |((mut made, ephemeral, deleted), then)| {
            if ephemeral {
                made.push(Kind::Ephemeral);
            }
            Branch { deleted: deleted.min(made.len()), made, then }
        },
    )
}

/// Many of these are refused, by what the rounds have left.
fn write(root: &'static str) -> impl Strategy<Value = Request> {
    let path = (0..3usize).prop_map(move |depth| below(root, depth));
    prop_oneof![
        3 => path.clone().prop_map(|path| Request::Delete { path, version: -1 }),
        2 => path.clone().prop_map(|path| {
            Request::SetData { path, data: Some(Bytes::from_static(b"new")), version: -1 }
        }),
        3 => (path, kind()).prop_map(|(path, kind)| create(path, kind)),
    ]
}

fn below(root: &str, depth: usize) -> String {
    format!("{HERE}{root}{}", "/x".repeat(depth))
}

fn create(path: String, kind: Kind) -> Request {
    let create = |flags| CreateRequest { path, data: Some(Bytes::new()), acl: Acl::open(), flags };
    match kind {
        Kind::Persistent => Request::Create(create(create_flags::PERSISTENT)),
        Kind::Ephemeral => Request::Create(create(create_flags::EPHEMERAL)),
        Kind::Container => Request::CreateContainer(create(create_flags::CONTAINER)),
        Kind::Ttl(ttl_ms) => {
            Request::CreateTtl(CreateTtlRequest { create: create(create_flags::TTL), ttl_ms })
        }
    }
}

impl Branch {
    fn birth(&self, root: &str) -> Request {
        let made = self.made.iter().enumerate();
        let made = made.map(|(depth, kind)| create(below(root, depth), *kind));
        let left = self.made.len() - self.deleted;
        let deleted = (left..self.made.len()).rev();
        let deleted =
            deleted.map(|depth| Request::Delete { path: below(root, depth), version: -1 });
        Request::Multi(made.chain(deleted).collect())
    }
}

/// One of many that are lived at the same time, each in a directory of its own.
struct Life {
    branches: Vec<Branch>,
    java: Player,
    zebu: Player,
    asked: Vec<Request>,
}

/// How many of so many lives differ.
pub(super) fn compare(java: SocketAddr, zebu: SocketAddr, lives: u64, seed: u64) -> Result<usize> {
    let mut all = (1..=lives)
        .map(|number| Life::begin(java, zebu, number, seed))
        .collect::<Result<Vec<_>>>()?;
    let (mut removed, mut differ) = (0, 0);
    for stage in 0..=WRITES {
        let begun = all.iter_mut().map(|life| life.ask(stage)).collect::<Result<Vec<_>>>()?;
        sleep(SETTLING);
        let settled = Instant::now();
        for (life, mut states) in all.iter_mut().zip(begun) {
            life.look(&mut states)?;
            while states[0].shown() != states[1].shown() && settled.elapsed() < PATIENCE {
                sleep(Duration::from_millis(INTERVAL_MS));
                life.look(&mut states)?;
            }
            removed += states[0].removed;
            if states[0].shown() != states[1].shown() {
                differ += 1;
                life.show(&states);
            }
        }
        if differ > 0 {
            break;
        }
    }
    for life in all {
        life.java.leave()?;
        life.zebu.leave()?;
    }
    println!("{lives} lives of containers and TTL nodes, {removed} removed by themselves");
    ensure!(differ > 0 || removed >= lives, "the rounds of removals did not come");
    Ok(differ)
}

impl Life {
    fn begin(java: SocketAddr, zebu: SocketAddr, number: u64, seed: u64) -> Result<Self> {
        let directory = format!("{}/{number:06}", super::compare::ROOT);
        let enter = |server| Player::enter(server, &directory, full::parent_of(number));
        let strategy = ROOTS.map(branch);
        let branches = super::draw(&strategy, seed.wrapping_add(number))?.current().into();
        let (mut java, mut zebu) = (enter(java)?, enter(zebu)?);
        let mode = AddWatchMode::PersistentRecursive;
        let watch = Request::AddWatch { path: HERE.into(), mode };
        let watch = Step { session: WATCHES, action: Action::Ask(vec![watch]) };
        java.step(&watch)?;
        zebu.step(&watch)?;
        Ok(Self { branches, java, zebu, asked: Vec::new() })
    }

    /// One request for each root.
    fn ask(&mut self, stage: usize) -> Result<[State; 2]> {
        let roots = ROOTS.iter().zip(&self.branches);
        let requests = roots.filter_map(|(root, branch)| match stage.checked_sub(1) {
            None => Some(branch.birth(root)),
            Some(at) => branch.then[at].clone(),
        });
        let requests: Vec<_> = requests.collect();
        self.asked.extend(requests.iter().cloned());
        let step = Step { session: ASKS, action: Action::Ask(requests) };
        let ask = |player: &mut Player| -> Result<State> {
            let said = player.step(&step)?;
            let mut state = State { outcomes: outcomes(&said), ..State::default() };
            state.hear(player, &said);
            Ok(state)
        };
        Ok([ask(&mut self.java)?, ask(&mut self.zebu)?])
    }

    fn look(&mut self, [java, zebu]: &mut [State; 2]) -> Result<()> {
        java.look(&mut self.java)?;
        zebu.look(&mut self.zebu)
    }

    fn show(&self, states: &[State; 2]) {
        println!("the rounds of removals leave other things:");
        for request in &self.asked {
            println!("  {request:?}");
        }
        for (server, state) in ["java", "zebu"].iter().zip(states) {
            println!("  {server}:");
            for line in state.shown() {
                println!("    {line}");
            }
        }
    }
}

fn outcomes(said: &Said) -> Vec<String> {
    let outcome = |result: &Result<Response, ErrorCode>| match result {
        Ok(Response::Multi(parts)) => {
            let parts = parts.iter().map(|part| match part {
                MultiResult::Error(code) => code.to_string(),
                _ => "ok".into(),
            });
            parts.collect::<Vec<_>>().join(", ")
        }
        Ok(_) => "ok".into(),
        Err(code) => code.to_string(),
    };
    said.replies().into_iter().map(|(_, result)| outcome(result)).collect()
}

/// What one server has come to since the stage began.
#[derive(Default)]
struct State {
    outcomes: Vec<String>,
    tree: Vec<String>,
    events: Vec<String>,
    removed: u64,
}

impl State {
    fn hear(&mut self, player: &Player, said: &Said) {
        for (_, event) in said.events(ASKS) {
            self.events.push(format!("{:?} {}", event.kind, player.words.path(&event.path)));
        }
    }

    /// What the tree is now, and what was told until then.
    fn look(&mut self, player: &mut Player) -> Result<()> {
        let told = self.events.len();
        self.tree.clear();
        self.read(player, HERE)?;
        let deleted = |event: &&String| event.starts_with("NodeDeleted");
        self.removed += self.events[told..].iter().filter(deleted).count() as u64;
        Ok(())
    }

    fn read(&mut self, player: &mut Player, path: &str) -> Result<()> {
        let of = || path.to_owned();
        let get_data = Request::GetData { path: of(), watch: false };
        let get_children = Request::GetChildren { path: of(), watch: false };
        let step = Step { session: ASKS, action: Action::Ask(vec![get_data, get_children]) };
        let said = player.step(&step)?;
        self.hear(player, &said);
        let mut names = Vec::new();
        let mut line = path.to_owned();
        for (_, result) in said.replies() {
            match result {
                Ok(Response::Data { data, stat }) => {
                    let data = data.as_deref().map(String::from_utf8_lossy);
                    write!(line, " {data:?} {}", lasting(stat))?;
                }
                Ok(Response::Children(children)) => names.clone_from(children),
                Ok(other) => write!(line, " {other:?}")?,
                Err(code) => write!(line, " {code}")?,
            }
        }
        self.tree.push(line);
        names.sort();
        for name in names {
            self.read(player, &format!("{path}/{name}"))?;
        }
        Ok(())
    }

    /// The events in no order of time, which is each server's own.
    fn shown(&self) -> Vec<String> {
        let mut events = self.events.clone();
        events.sort();
        [self.outcomes.clone(), self.tree.clone(), events].concat()
    }
}

/// Without zxids and times.
fn lasting(stat: &Stat) -> String {
    let Stat { version, cversion, aversion, ephemeral_owner, data_length, num_children, .. } =
        *stat;
    let owned = ephemeral_owner != 0;
    format!(
        "v{version} cv{cversion} av{aversion} owned {owned} length {data_length} \
         children {num_children}"
    )
}
