//! Scenario files: which servers and clients, which faults, what must hold. A number may be a range
//! `[low, high]`; then each seed draws its own, every order of magnitude equally likely.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use serde::Deserialize;
use serde::de::{self, Deserializer};
use zebu_core::config::{
    AuthConfig, Config, Containers, Edges, Ensemble, LocalSessions, Observers, ReadOnlyMode,
    Reconfig,
};
use zebu_core::ids::ServerId;
use zebu_core::time::Duration;
use zebu_core::txn::Txn;

use crate::clients::WorkKind;
use crate::decide::{About, Decide, Draw};
use crate::ensemble::EnsembleSpec;
use crate::faults::{Boundary, FaultClass, Occasion, Target};
use crate::model::membership::{Configuration, Groups};
use crate::past::PastSpec;

#[derive(Clone, Debug)]
pub struct Scenario {
    pub name: String,
    pub path: PathBuf,
    /// The comment on the first line: what the scenario guards.
    pub guards: String,
    pub file: ScenarioFile,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScenarioFile {
    pub ensemble: EnsembleSpec,
    #[serde(default)]
    pub run: RunSpec,
    #[serde(default)]
    pub machine: MachineSpec,
    #[serde(default)]
    pub clients: Vec<ClientSpec>,
    /// Faults by chance: how many a virtual second, about. Each seed draws its own rate, often none.
    #[serde(default)]
    pub chance: BTreeMap<FaultClass, f64>,
    /// Crashes by chance at one kind of boundary between two effects: how probable each time.
    #[serde(default)]
    pub boundary: BTreeMap<Boundary, f64>,
    /// Faults by time.
    #[serde(default)]
    pub at: Vec<TimedFault>,
    /// Faults by occasion.
    #[serde(default)]
    pub upon: Vec<Upon>,
    #[serde(default)]
    pub past: PastSpec,
    #[serde(default)]
    pub expect: Expect,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RunSpec {
    /// Length of the phase with faults.
    pub seconds: f64,
    /// Pass everything over the network as bytes, through core's connections. Drawn when absent.
    pub codec: Option<bool>,
    /// Crashes by boundary stop after so many.
    pub boundary_crashes_max: u32,
    /// Each fault class with a chance is on for every seed, at just this rate.
    pub fixed_rates: bool,
}

impl Default for RunSpec {
    fn default() -> Self {
        Self { seconds: 8.0, codec: None, boundary_crashes_max: 12, fixed_rates: false }
    }
}

/// What hardware is like, in microseconds.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MachineSpec {
    pub latency_us: Drawn,
    pub sync_us: Drawn,
    pub downtime_ms: [u64; 2],
    /// How far a server's monotonic clock may drift, parts per million either way.
    pub drift_ppm: u64,
    /// How far apart wall clocks begin, ms either way.
    pub wall_skew_ms: u64,
}

impl Default for MachineSpec {
    fn default() -> Self {
        Self {
            latency_us: Drawn::Range([50, 8_000]),
            sync_us: Drawn::Range([50, 10_000]),
            downtime_ms: [5, 2_500],
            drift_ppm: 200,
            wall_skew_ms: 500,
        }
    }
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClientSpec {
    pub count: usize,
    pub work: WorkKind,
    /// Calls in flight at once.
    #[serde(default = "one")]
    pub pipeline: Drawn,
    /// Pause before the next call, about.
    #[serde(default = "think_ms")]
    pub think_ms: Drawn,
    #[serde(default = "session_ms")]
    pub session_ms: Drawn,
    /// How many contended paths the work is spread over.
    #[serde(default = "paths")]
    pub paths: Drawn,
    /// Weights of operations (`work = "mix"`); those not named weigh nothing.
    #[serde(default)]
    pub ops: BTreeMap<crate::clients::OpKind, u32>,
    /// Chance before each call to go to another server.
    #[serde(default)]
    pub hop: f64,
    /// Chance before each call to close the session and come back as a new client.
    #[serde(default)]
    pub reopen: f64,
    /// A server without a quorum will do.
    #[serde(default)]
    pub read_only: bool,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TimedFault {
    /// When, in ms since the run began.
    pub ms: Drawn,
    pub what: FaultClass,
    #[serde(default)]
    pub who: Target,
    /// How long; drawn when absent.
    pub for_ms: Option<Drawn>,
    /// Again each so many ms.
    pub every_ms: Option<u64>,
}

/// A fault that comes, now and then, when something has happened at a server.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Upon {
    pub occasion: Occasion,
    /// How probable each time.
    pub p: f64,
    pub what: FaultClass,
    /// Where; the same server when absent.
    pub who: Option<Target>,
    /// So long after it.
    #[serde(default = "at_once")]
    pub after_us: Drawn,
    /// How long; drawn when absent.
    pub for_ms: Option<Drawn>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Expect {
    /// Nothing goes wrong, so nothing may move: no second election, no expiry (L-CALM).
    pub calm: bool,
    /// Counters that must not be zero after a swarm of at least 100 seeds.
    pub reached: Vec<String>,
}

/// A number, or a range of which each seed draws one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Drawn {
    Exactly(u64),
    Range([u64; 2]),
}

impl<'de> Deserialize<'de> for Drawn {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> de::Visitor<'de> for Visitor {
            type Value = Drawn;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number or a range [low, high]")
            }
            fn visit_i64<E: de::Error>(self, n: i64) -> Result<Drawn, E> {
                let n = u64::try_from(n);
                n.map(Drawn::Exactly).map_err(|_| E::custom("expected a number from 0 on"))
            }
            fn visit_u64<E: de::Error>(self, n: u64) -> Result<Drawn, E> {
                Ok(Drawn::Exactly(n))
            }
            fn visit_seq<A: de::SeqAccess<'de>>(self, mut seq: A) -> Result<Drawn, A::Error> {
                let low = seq.next_element()?.ok_or_else(|| de::Error::invalid_length(0, &self))?;
                let high =
                    seq.next_element()?.ok_or_else(|| de::Error::invalid_length(1, &self))?;
                if seq.next_element::<u64>()?.is_some() || low > high {
                    return Err(de::Error::custom("expected [low, high] with low <= high"));
                }
                Ok(Drawn::Range([low, high]))
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

impl Drawn {
    pub fn draw(self, draw: &mut Draw) -> u64 {
        match self {
            Self::Exactly(n) => n,
            Self::Range([0, high]) => {
                if draw.one_in(3) {
                    0
                } else {
                    draw.magnitude(1, high.max(1))
                }
            }
            Self::Range([low, high]) => draw.magnitude(low, high),
        }
    }
}

fn at_once() -> Drawn {
    Drawn::Exactly(0)
}
fn one() -> Drawn {
    Drawn::Exactly(1)
}
fn think_ms() -> Drawn {
    Drawn::Range([1, 50])
}
fn session_ms() -> Drawn {
    Drawn::Range([800, 4000])
}
fn paths() -> Drawn {
    Drawn::Range([1, 4])
}

/// What checkers may know of a run beside what they observe.
#[derive(Clone, Debug)]
pub struct ScenarioInfo {
    pub servers: usize,
    /// Those of them that take part from the beginning; their ids are the first ones.
    pub members: usize,
    /// The voters among these in their groups, with their weights.
    pub groups: Groups,
    /// Where the ensemble may be changed: how it begins.
    pub first: Option<Configuration>,
    pub tick_ms: u64,
    pub init_limit: u32,
    pub sync_limit: u32,
    /// How many clients the run begins with; replacements get the numbers after them.
    pub clients: usize,
    /// Is there any fault, by time or by chance?
    pub faults: bool,
    /// Nothing may move (`expect.calm`).
    pub calm: bool,
    /// The bound on the drift of monotonic clocks, parts per million either way.
    pub drift_ppm: u64,
    /// How long progress may take once faults have stopped, ns.
    pub liveness_bound: u64,
    /// There may be sessions that no transaction opened.
    pub local_sessions: bool,
    /// Observers have nothing on their disks.
    pub forgetful_observers: bool,
    /// The largest frame of a client, bytes.
    pub frame_max: usize,
    /// What all servers begin with.
    pub past: Vec<Txn>,
}

impl Scenario {
    pub fn load(path: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("scenario {}", path.display()))?;
        Self::parse(path, &text).with_context(|| format!("scenario {}", path.display()))
    }

    pub fn parse(path: &Path, text: &str) -> anyhow::Result<Self> {
        let first = text.lines().next().unwrap_or_default();
        let Some(guards) = first.strip_prefix('#') else {
            bail!("the first line must be a comment that says what the scenario guards");
        };
        let file: ScenarioFile = toml::from_str(text)?;
        file.ensemble.check()?;
        ensure!(file.run.seconds > 0.0, "run.seconds must be above 0");
        ensure!(file.machine.drift_ppm < 500_000, "drift_ppm must be below 500000");
        for (what, p) in &file.boundary {
            ensure!((0.0..=1.0).contains(p), "boundary.{what:?} must be a probability");
        }
        for client in &file.clients {
            let weights: u32 = client.ops.values().sum();
            ensure!(
                client.work != WorkKind::Mix || weights > 0,
                "clients with work = \"mix\" need ops with weights"
            );
        }
        let name = path.file_stem().map(|s| s.to_string_lossy().into_owned()).unwrap_or_default();
        Ok(Self { name, path: path.to_owned(), guards: guards.trim().to_owned(), file })
    }

    /// All scenario files of a directory, by name; or the one file that `path` is.
    pub fn load_all(path: &Path) -> anyhow::Result<Vec<Self>> {
        if path.is_file() {
            return Ok(vec![Self::load(path)?]);
        }
        let entries = std::fs::read_dir(path)
            .with_context(|| format!("directory of scenarios {}", path.display()))?;
        let mut paths: Vec<PathBuf> = entries
            .filter_map(|entry| entry.ok().map(|e| e.path()))
            .filter(|path| path.extension().is_some_and(|e| e == "toml"))
            .collect();
        paths.sort();
        ensure!(!paths.is_empty(), "no *.toml in {}", path.display());
        paths.iter().map(|path| Self::load(path)).collect()
    }

    pub fn has_faults(&self) -> bool {
        let file = &self.file;
        !file.at.is_empty()
            || !file.upon.is_empty()
            || file.chance.values().any(|rate| *rate > 0.0)
            || file.boundary.values().any(|p| *p > 0.0)
    }

    pub fn info(&self) -> ScenarioInfo {
        let ensemble = &self.file.ensemble;
        ScenarioInfo {
            servers: ensemble.total(),
            members: ensemble.members(),
            groups: ensemble.weighted(),
            first: ensemble.is_dynamic().then(|| {
                let text = ensemble.ensemble().text();
                Configuration::parse(text.as_bytes()).expect("a first ensemble can be read")
            }),
            tick_ms: ensemble.tick_ms,
            init_limit: ensemble.init_limit,
            sync_limit: ensemble.sync_limit,
            clients: self.file.clients.iter().map(|c| c.count).sum(),
            faults: self.has_faults(),
            calm: self.file.expect.calm,
            drift_ppm: self.file.machine.drift_ppm,
            liveness_bound: self.liveness_bound_ms() * 1_000_000,
            local_sessions: ensemble.read_only || ensemble.local_sessions != Drawn::Exactly(0),
            forgetful_observers: ensemble.forgetful_observers,
            frame_max: ensemble.limits().frame_max,
            past: self.file.past.txns(),
        }
    }

    /// An election with the longest back-off, a try to synchronize that fails, one that does not,
    /// and the longest session on top: what may stand between the last fault and progress.
    fn liveness_bound_ms(&self) -> u64 {
        let e = &self.file.ensemble;
        let limits = u64::from(3 * e.init_limit + 3 * e.sync_limit) * e.tick_ms;
        limits + 2 * self.max_notification_ms() + 20 * e.tick_ms
    }
    /// What each server is configured with, but for limits and mutants.
    pub fn config(&self, id: ServerId, ensemble: Ensemble, profile: &Profile) -> Config {
        let spec = &self.file.ensemble;
        let tick = Duration::from_millis(spec.tick_ms);
        Config {
            tick,
            init_limit: spec.init_limit,
            sync_limit: spec.sync_limit,
            min_session_timeout: tick * 2,
            max_session_timeout: tick * 20,
            min_notification_interval: tick / 8,
            max_notification_interval: Duration::from_millis(self.max_notification_ms()),
            leader_connect_delay: tick / 10,
            snap_count: profile.snap_count,
            commit_log_count: profile.commit_log_count,
            containers: Containers {
                check_interval: Duration::from_millis(spec.container_check_ms),
                never_used_max: Duration::from_millis(spec.container_never_used_ms),
                ..Containers::default()
            },
            extended_types: true,
            enforce_quota: true,
            local_sessions: LocalSessions {
                enabled: profile.local_sessions > 0,
                upgrading: profile.local_sessions > 1,
            },
            observers: Observers {
                election_delay_max: tick,
                master_port: spec.observer_master.then_some(2191),
                keep_log: !spec.forgetful_observers,
                ..Observers::default()
            },
            edges: Edges { counter_max: profile.counter_max },
            reconfig: Reconfig { enabled: spec.is_dynamic(), ..Reconfig::default() },
            // Who may change the ensemble is no matter here.
            auth: AuthConfig { skip_acl: spec.is_dynamic(), ..AuthConfig::default() },
            read_only_mode: ReadOnlyMode { enabled: spec.read_only, patience_min: tick },
            ..Config::new(id, ensemble)
        }
    }
    pub fn max_notification_ms(&self) -> u64 {
        10 * self.file.ensemble.tick_ms
    }
}

/// A scenario with the numbers of one seed.
#[derive(Clone, Debug)]
pub struct Profile {
    pub latency_ns: u64,
    pub sync_ns: u64,
    pub snap_count: u32,
    pub commit_log_count: usize,
    pub prealloc_bytes: u64,
    pub codec: bool,
    pub local_sessions: u64,
    pub counter_max: u32,
    pub log_permille_max: u32,
}

impl Profile {
    pub fn draw(scenario: &Scenario, decide: Decide) -> Self {
        let file = &scenario.file;
        let of = |parameter| decide.draw(About::Profile, parameter, 0);
        Self {
            latency_ns: file.machine.latency_us.draw(&mut of(1)) * 1000,
            sync_ns: file.machine.sync_us.draw(&mut of(2)) * 1000,
            snap_count: file.ensemble.snap_count.draw(&mut of(3)).max(2) as u32,
            commit_log_count: file.ensemble.commit_log_count.draw(&mut of(4)) as usize,
            prealloc_bytes: file.ensemble.prealloc_bytes.draw(&mut of(5)),
            codec: file.run.codec.unwrap_or_else(|| of(6).one_in(4)),
            local_sessions: file.ensemble.local_sessions.draw(&mut of(7)),
            log_permille_max: file.ensemble.log_permille_max.draw(&mut of(9)) as u32,
            counter_max: file
                .ensemble
                .counter_max
                .map_or(u32::MAX, |at| at.draw(&mut of(8)) as u32),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: &str = r#"# Guards: nothing.
[ensemble]
servers = 3
snap_count = [10, 100]
[[clients]]
count = 2
work = "mix"
pipeline = 4
[clients.ops]
set = 3
get = 1
[chance]
power_loss = 0.5
[boundary]
sync = 0.01
[[at]]
ms = [100, 200]
what = "partition"
who = "leader"
"#;

    #[test]
    fn a_file_is_read_and_draws_differ_between_seeds() {
        let scenario = Scenario::parse(Path::new("x/small.toml"), SMALL).unwrap();
        assert_eq!(scenario.name, "small");
        assert_eq!(scenario.guards, "Guards: nothing.");
        let info = scenario.info();
        assert_eq!((info.servers, info.clients, info.faults), (3, 2, true));
        let counts: std::collections::BTreeSet<u32> =
            (0..50).map(|s| Profile::draw(&scenario, Decide::new(s)).snap_count).collect();
        assert!(counts.len() > 10 && counts.iter().all(|n| (10..=100).contains(n)), "{counts:?}");
    }

    #[test]
    fn mistakes_are_named() {
        let error =
            |text: &str| format!("{:#}", Scenario::parse(Path::new("x.toml"), text).unwrap_err());
        assert!(error("[ensemble]\nservers = 3").contains("first line"));
        assert!(error("# x\n[ensemble]\nservers = 0").contains("1 to 7"));
        assert!(error("# x\n[ensemble]\nservers = 3\nsnapcount = 1").contains("snapcount"));
        assert!(error("# x\n[ensemble]\nservers = 7\nobservers = 2").contains("at most 8"));
        let groups = |lines: &str| error(&format!("# x\n[ensemble]\nservers = 3\n{lines}"));
        assert!(groups("groups = [[1, 2], [2, 3]]").contains("in one group"));
        assert!(groups("groups = [[1, 2]]").contains("in one group"));
        assert!(groups("weights = [1]").contains("need groups"));
        assert!(groups("groups = [[1, 2, 3]]\nweights = [0, 0, 0]").contains("no weight"));
        assert!(error(&SMALL.replace("power_loss", "power_lost")).contains("power_lost"));
        assert!(error(&SMALL.replace("[100, 200]", "[200, 100]")).contains("low <= high"));
    }

    #[test]
    fn every_scenario_in_the_tree_parses() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios");
        let all = Scenario::load_all(&folder).unwrap();
        assert!(all.len() >= 14, "{} scenarios", all.len());
        for scenario in all {
            assert!(scenario.guards.len() > 20, "{}: says too little", scenario.name);
        }
    }
}
