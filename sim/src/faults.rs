//! What goes wrong and when: the plan of one seed. Each fault is drawn by its class and number, so
//! leaving one out moves no other. How it is done to the world stands in [`crate::strike`].

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use zebu_core::server::Action;
use zebu_core::storage::DiskOp;

use crate::decide::{About, Decide};
use crate::history::SimTime;
use crate::scenario::Scenario;

/// Kinds of faults. The order is part of every seed's meaning: append only.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultClass {
    /// One server loses power: what it did not sync meets its fate.
    PowerLoss,
    /// All servers at once.
    ClusterPowerLoss,
    /// The process dies; what the kernel holds is kept.
    Kill,
    /// The process stands still (SIGSTOP).
    Pause,
    /// Some hosts cannot talk with the others.
    Partition,
    /// One direction between two hosts, or out of or into one host, is cut.
    OneWay,
    /// One connection passes nothing for a while.
    Stall,
    /// One connection breaks.
    Break,
    SlowLink,
    SlowDisk,
    /// The next sync fails.
    SyncError,
    /// The next operation on a file or a directory fails.
    WriteError,
    DiskFull,
    /// The wall clock jumps.
    ClockJump,
    /// The monotonic clock changes its speed, within the declared bound.
    ClockDrift,
    ClientPause,
    /// A client is gone for good; its session is left to expire.
    ClientCrash,
    /// A server dies, and its newest snapshot cannot be read any more.
    RottenSnapshot,
    /// A server's disk is gone, and it gets an empty one.
    Wipe,
}

/// Whom a fault by time hits.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    #[default]
    Any,
    /// The server that was last seen to lead.
    Leader,
    /// Another one.
    Follower,
    Observer,
    /// Server 1 and so on.
    #[serde(untagged)]
    Server(usize),
}

/// What may bring a fault about.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Occasion {
    /// A server learns of a reconfiguration, as its leader or from it.
    Proposed,
    /// One is in force at a server.
    Activated,
}

/// Between which effects a server may crash.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Boundary {
    /// A message to a peer is about to go out, or just did.
    Send,
    /// A reply or event to a client.
    Reply,
    /// Something to keep is handed to the log.
    Store,
    /// Anything else that a server does.
    Other,
    Create,
    Write,
    SetLen,
    Sync,
    Rename,
    Remove,
    SyncDir,
}

impl Boundary {
    pub const ALL: [Self; 11] = [
        Self::Send,
        Self::Reply,
        Self::Store,
        Self::Other,
        Self::Create,
        Self::Write,
        Self::SetLen,
        Self::Sync,
        Self::Rename,
        Self::Remove,
        Self::SyncDir,
    ];
    pub fn of_action(action: &Action) -> Self {
        match action {
            Action::Send { .. } => Self::Send,
            Action::Reply { .. } => Self::Reply,
            Action::Store { .. } => Self::Store,
            Action::Dial { .. }
            | Action::CloseLink { .. }
            | Action::CloseConn { .. }
            | Action::AwaitDrained { .. }
            | Action::ReadLog { .. }
            | Action::TakeSnapshot { .. }
            | Action::Reconfigure { .. }
            | Action::Note(_)
            | Action::Halt { .. } => Self::Other,
        }
    }
    pub fn of_disk(op: &DiskOp) -> Self {
        match op {
            DiskOp::Create(_) => Self::Create,
            DiskOp::Write { .. } => Self::Write,
            DiskOp::SetLen { .. } => Self::SetLen,
            DiskOp::Sync(_) => Self::Sync,
            DiskOp::Rename { .. } => Self::Rename,
            DiskOp::Remove(_) => Self::Remove,
            DiskOp::SyncDir(_) => Self::SyncDir,
        }
    }
}

/// One fault of the plan.
#[derive(Clone, Debug)]
pub struct Fault {
    pub class: FaultClass,
    /// Its number within the class; faults by time count from [`TIMED`] on.
    pub n: u64,
    pub at: SimTime,
    pub who: Target,
    pub for_ns: SimTime,
}

/// Numbers of faults upon something begin here.
pub(crate) const UPON: u64 = 1 << 48;
/// Numbers of faults by time begin here, so that adding one moves none by chance.
const TIMED: u64 = 1 << 32;

impl Fault {
    /// `partition:3`, to name it on a command line.
    pub fn name(&self) -> String {
        let class = format!("{:?}", self.class);
        if self.n >= UPON {
            format!("{class}:upon{:x}", self.n - UPON)
        } else if self.n >= TIMED {
            format!("{class}:at{}", self.n - TIMED)
        } else {
            format!("{class}:{}", self.n)
        }
    }
}

#[derive(Clone, Debug)]
pub struct FaultPlan {
    pub faults: Vec<Fault>,
    /// Probability of a crash, by boundary.
    pub boundary: BTreeMap<Boundary, f64>,
}

impl FaultPlan {
    /// What `seed` makes of the scenario, without the faults named in `skip`.
    pub fn draw(scenario: &Scenario, decide: Decide, skip: &BTreeSet<String>) -> Self {
        let file = &scenario.file;
        let end = (file.run.seconds * 1e9) as SimTime;
        let tick = file.ensemble.tick_ms * 1_000_000;
        // Swarm testing: whole classes are off for a seed, others far more frequent than usual.
        let swarm = |key: u64, rate: f64| {
            let mut draw = decide.draw(About::Profile, 100 + key, 0);
            match (file.run.fixed_rates, draw.one_in(3)) {
                (true, _) => rate,
                (false, true) => 0.0,
                (false, false) => rate * draw.magnitude(1, 15) as f64 / 4.0,
            }
        };
        let mut faults = Vec::new();
        for (&class, &mean) in &file.chance {
            let rate = swarm(class as u64, mean);
            if rate <= 0.0 {
                continue;
            }
            let gap = (1e9 / rate) as u64;
            let mut at = 0;
            for n in 0.. {
                at += 1 + decide.draw(About::FaultTime, class as u64, n).around(gap);
                if at >= end {
                    break;
                }
                let for_ns = duration(class, n, tick, decide);
                faults.push(Fault { class, n, at, who: Target::Any, for_ns });
            }
        }
        for (index, timed) in file.at.iter().enumerate() {
            let mut draw = decide.draw(About::FaultTime, 1000 + index as u64, 0);
            let mut at = timed.ms.draw(&mut draw) * 1_000_000;
            for again in 0.. {
                let n = TIMED + index as u64 + (again << 16);
                let drawn = duration(timed.what, n, tick, decide);
                let for_ns = timed.for_ms.map_or(drawn, |ms| ms.draw(&mut draw) * 1_000_000);
                faults.push(Fault { class: timed.what, n, at, who: timed.who, for_ns });
                let Some(every) = timed.every_ms else { break };
                at += every.max(1) * 1_000_000;
                if at >= end {
                    break;
                }
            }
        }
        faults.retain(|fault| !skip.contains(&fault.name()));
        faults.sort_by_key(|fault| (fault.at, fault.class, fault.n));
        let boundary = if skip.contains("Boundary") {
            BTreeMap::new()
        } else {
            let drawn = file.boundary.iter().map(|(&b, &p)| (b, swarm(1000 + b as u64, p)));
            drawn.filter(|(_, p)| *p > 0.0).collect()
        };
        Self { faults, boundary }
    }
}

/// How long the `n`-th fault of a class lasts, in proportion to the ensemble's patience.
pub(crate) fn duration(class: FaultClass, n: u64, tick: u64, decide: Decide) -> u64 {
    let mut draw = decide.draw(About::FaultTime, 2000 + class as u64, n);
    let (low, high) = match class {
        FaultClass::PowerLoss
        | FaultClass::ClusterPowerLoss
        | FaultClass::Kill
        | FaultClass::RottenSnapshot
        | FaultClass::Wipe => (tick / 40, 12 * tick),
        FaultClass::Pause | FaultClass::ClientPause => (tick / 8, 12 * tick),
        FaultClass::Partition | FaultClass::OneWay => (tick / 4, 15 * tick),
        FaultClass::Stall => (tick / 20, 8 * tick),
        FaultClass::SlowLink | FaultClass::SlowDisk => (tick, 15 * tick),
        FaultClass::DiskFull => (tick / 2, 8 * tick),
        FaultClass::Break
        | FaultClass::SyncError
        | FaultClass::WriteError
        | FaultClass::ClockJump
        | FaultClass::ClockDrift
        | FaultClass::ClientCrash => (tick / 20, 4 * tick),
    };
    draw.magnitude(low, high)
}

/// A disk or a link that takes `factor` times as long as usual, for a while.
#[derive(Clone, Copy, Debug, Default)]
pub struct Slowness {
    pub factor: u64,
    pub until: SimTime,
}

impl Slowness {
    /// How long that takes now which `usual`ly takes so long. What is not done when the slowness
    /// ends is done as fast as ever.
    pub fn stretch(self, now: SimTime, usual: u64) -> u64 {
        let factor = self.factor.max(1);
        let slow = self.until.saturating_sub(now).min(usual * factor);
        slow + usual - slow / factor
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slowness_ends_with_its_fault() {
        let slow = Slowness { factor: 10, until: 1000 };
        for (now, usual, takes) in
            [(0, 50, 500), (0, 100, 1000), (0, 200, 1100), (900, 50, 140), (1000, 50, 50)]
        {
            assert_eq!(slow.stretch(now, usual), takes, "{usual} at {now}");
        }
        assert_eq!(Slowness::default().stretch(5, 7), 7);
    }
    use std::path::Path;

    fn scenario() -> Scenario {
        let text = "# For tests: a bit of everything.
[ensemble]
servers = 3
[chance]
power_loss = 1.0
partition = 1.0
[boundary]
sync = 0.01
[[at]]
ms = 1000
what = \"pause\"
who = \"leader\"
every_ms = 2000
";
        Scenario::parse(Path::new("t.toml"), text).unwrap()
    }

    #[test]
    fn leaving_a_fault_out_moves_no_other() {
        let scenario = scenario();
        let plan = |seed, skip: &[&str]| {
            let skip = skip.iter().map(|s| (*s).to_owned()).collect();
            let plan = FaultPlan::draw(&scenario, Decide::new(seed), &skip);
            plan.faults.iter().map(|f| (f.name(), f.at, f.for_ns)).collect::<Vec<_>>()
        };
        let mut left_out = 0;
        for seed in 0..20 {
            let mut whole = plan(seed, &[]);
            let without = plan(seed, &["PowerLoss:1", "Pause:at0"]);
            let before = whole.len();
            whole.retain(|(name, ..)| name != "PowerLoss:1" && name != "Pause:at0");
            left_out += before - whole.len();
            assert_eq!(whole, without);
        }
        assert!(left_out >= 20);
    }

    #[test]
    fn seeds_differ_in_which_classes_they_have() {
        let scenario = scenario();
        let kinds: BTreeSet<Vec<bool>> = (0..60)
            .map(|seed| {
                let plan = FaultPlan::draw(&scenario, Decide::new(seed), &BTreeSet::new());
                let has = |class| plan.faults.iter().any(|f| f.class == class);
                vec![
                    has(FaultClass::PowerLoss),
                    has(FaultClass::Partition),
                    plan.boundary.is_empty(),
                ]
            })
            .collect();
        assert_eq!(kinds.len(), 8, "{kinds:?}");
    }
}
