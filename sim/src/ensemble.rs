//! `[ensemble]` of a scenario file: how many servers take part as what, and who of them is a quorum.

use std::collections::BTreeSet;
use std::collections::btree_map::Entry;

use anyhow::ensure;
use serde::Deserialize;
use zebu_core::config::{Ensemble, Hierarchy, Limits, Member, MemberRole};
use zebu_core::ids::ServerId;

use crate::decide::Draw;
use crate::model::membership::Groups;
use crate::scenario::Drawn;

/// Servers of one run.
pub(crate) const SERVERS_MAX: usize = 8;

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EnsembleSpec {
    /// Voters; their ids are 1 and so on.
    pub servers: usize,
    /// Observers; their ids follow.
    #[serde(default)]
    pub observers: usize,
    /// Machines that are in nobody's first configuration; their ids follow. The ensemble may be
    /// changed while it runs.
    #[serde(default)]
    pub spare: usize,
    /// The same without spare machines.
    #[serde(default)]
    pub reconfig: bool,
    /// Which voters are in which group; without groups a majority of them is a quorum.
    #[serde(default)]
    pub groups: Vec<Vec<i64>>,
    /// What voter 1 and so on weigh in their groups; 1 where nothing is said.
    #[serde(default)]
    pub weights: Vec<u32>,
    #[serde(default = "tick_ms")]
    pub tick_ms: u64,
    #[serde(default = "init_limit")]
    pub init_limit: u32,
    #[serde(default = "sync_limit")]
    pub sync_limit: u32,
    #[serde(default = "snap_count")]
    pub snap_count: Drawn,
    #[serde(default = "commit_log_count")]
    pub commit_log_count: Drawn,
    #[serde(default = "prealloc_bytes")]
    pub prealloc_bytes: Drawn,
    /// Between two rounds in which the leader removes containers and TTL nodes.
    #[serde(default = "container_check_ms")]
    pub container_check_ms: u64,
    /// How long a container that never had a child stays; 0 for ever.
    #[serde(default)]
    pub container_never_used_ms: u64,
    /// New sessions are local: 0 no, 1 yes, 2 yes and they become global for an ephemeral.
    #[serde(default = "none")]
    pub local_sessions: Drawn,
    /// Servers serve readers without a quorum.
    #[serde(default)]
    pub read_only: bool,
    /// Followers serve observers in the leader's place.
    #[serde(default)]
    pub observer_master: bool,
    /// Observers keep neither log nor snapshots.
    #[serde(default)]
    pub forgetful_observers: bool,
    /// An epoch has so many transactions at most.
    pub counter_max: Option<Drawn>,
    /// `jute.maxbuffer`, bytes.
    pub frame_max: Option<usize>,
    /// Between two purges of a server, ms; never when absent.
    pub purge_ms: Option<u64>,
    /// `snapshotSizeFactor`, thousandths.
    #[serde(default = "log_permille_max")]
    pub log_permille_max: Drawn,
    /// `db.autocreate`.
    #[serde(default = "yes")]
    pub autocreate: bool,
}

impl EnsembleSpec {
    pub fn total(&self) -> usize {
        self.members() + self.spare
    }
    /// Those that take part from the beginning.
    pub fn members(&self) -> usize {
        self.servers + self.observers
    }
    /// `reconfigEnabled`.
    pub fn is_dynamic(&self) -> bool {
        self.reconfig || self.spare > 0
    }

    pub(crate) fn limits(&self) -> Limits {
        let limits = Limits::default();
        let frame_max = self.frame_max.unwrap_or(limits.frame_max);
        Limits { frame_max, record_max: 2 * frame_max, ..limits }
    }

    pub(crate) fn check(&self) -> anyhow::Result<()> {
        ensure!((1..=7).contains(&self.servers), "expected 1 to 7 servers");
        ensure!(self.total() <= SERVERS_MAX, "expected at most {SERVERS_MAX} servers in all");
        ensure!(self.spare == 0 || self.groups.is_empty(), "spare servers are in no group");
        let grouped: Vec<i64> = self.groups.iter().flatten().copied().collect();
        if self.groups.is_empty() {
            ensure!(self.weights.is_empty(), "weights need groups");
            return Ok(());
        }
        let each: BTreeSet<i64> = grouped.iter().copied().collect();
        let voters: BTreeSet<i64> = (1..=self.servers as i64).collect();
        ensure!(grouped.len() == each.len() && each == voters, "each voter must be in one group");
        ensure!(self.weights.len() <= self.servers, "there are more weights than voters");
        ensure!(self.weighted().iter().any(|group| group.values().any(|w| *w > 0)), "no weight");
        Ok(())
    }

    /// Groups of voters with what each weighs. A majority of all is one group in which all weigh the
    /// same.
    pub(crate) fn weighted(&self) -> Groups {
        let weight = |id: i64| self.weights.get(id as usize - 1).copied().unwrap_or(1);
        if self.groups.is_empty() {
            return vec![(1..=self.servers as i64).map(|id| (ServerId(id), 1)).collect()];
        }
        let group = |ids: &Vec<i64>| ids.iter().map(|id| (ServerId(*id), weight(*id))).collect();
        self.groups.iter().map(group).collect()
    }

    fn member(&self, id: i64, role: MemberRole) -> Member {
        // Where the ensemble may change, its text says all that there is to say.
        let client = self.is_dynamic().then(|| ("0.0.0.0".into(), 2181));
        let host = format!("10.1.0.{id}");
        Member { host, quorum_port: 2888, election_port: 3888, role, client }
    }

    /// As servers are told it.
    pub fn ensemble(&self) -> Ensemble {
        let member = |id: i64| match id as usize <= self.servers {
            true => self.member(id, MemberRole::Participant),
            false => self.member(id, MemberRole::Observer),
        };
        let members = (1..=self.members() as i64).map(|id| (ServerId(id), member(id))).collect();
        let hierarchy = (!self.groups.is_empty()).then(|| {
            let groups = (1..).zip(self.weighted());
            Hierarchy {
                groups: groups.map(|(n, group)| (n, group.into_keys().collect())).collect(),
                weights: self.weighted().into_iter().flatten().collect(),
            }
        });
        Ensemble { members, hierarchy, version: 0 }
    }

    /// What the configuration file of `id` says at first: a spare server names the ensemble that it
    /// may join, and itself as a member of it, a voter or not.
    pub fn first_of(&self, id: ServerId, draw: &mut Draw) -> Ensemble {
        self.joining(self.ensemble(), id, draw)
    }
    /// The same of any ensemble. What was written by hand has no version.
    pub(crate) fn joining(&self, mut known: Ensemble, id: ServerId, draw: &mut Draw) -> Ensemble {
        if let Entry::Vacant(place) = known.members.entry(id) {
            let observes = draw.one_in(2);
            let role = if observes { MemberRole::Observer } else { MemberRole::Participant };
            place.insert(self.member(id.0, role));
            known.version = 0;
        }
        known
    }
    /// Where a server is found in elections, whatever it knows of the ensemble.
    pub(crate) fn election_address(&self, id: ServerId) -> String {
        let Member { host, election_port, .. } = self.member(id.0, MemberRole::Participant);
        format!("{host}:{election_port}")
    }
}

fn tick_ms() -> u64 {
    200
}
fn init_limit() -> u32 {
    10
}
fn sync_limit() -> u32 {
    5
}
fn snap_count() -> Drawn {
    Drawn::Range([20, 2000])
}
fn commit_log_count() -> Drawn {
    Drawn::Range([5, 500])
}
fn prealloc_bytes() -> Drawn {
    Drawn::Range([0, 16384])
}
fn container_check_ms() -> u64 {
    60_000
}
fn log_permille_max() -> Drawn {
    Drawn::Range([0, 100_000])
}
fn yes() -> bool {
    true
}
fn none() -> Drawn {
    Drawn::Exactly(0)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::model::membership::is_quorum;
    use crate::scenario::Scenario;

    /// The rule of checkers and the rule of core, which know nothing of each other, say the same.
    #[test]
    fn quorums_are_cores() {
        for lines in [
            "servers = 4\nobservers = 2",
            "servers = 7\ngroups = [[1, 2, 3], [4, 5], [6, 7]]\nweights = [3, 1, 1, 1, 1, 1, 1]",
            "servers = 6\ngroups = [[1, 5, 6], [2, 3], [4]]\nweights = [2, 1, 1, 0, 1, 0]",
        ] {
            let text = format!("# x\n[ensemble]\n{lines}");
            let scenario = Scenario::parse(Path::new("x.toml"), &text).unwrap();
            let (info, ensemble) = (scenario.info(), scenario.file.ensemble.ensemble());
            for set in 0..1_u32 << info.servers {
                let has = |id: ServerId| set >> (id.0 - 1) & 1 == 1;
                let cores = zebu_core::zab::quorum::is_quorum(&ensemble, has);
                assert_eq!(is_quorum(&info.groups, has), cores, "{lines}: {set:b}");
            }
        }
    }
}
