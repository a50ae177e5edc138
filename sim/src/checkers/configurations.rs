//! Configurations (Z-CONF): a server has in force what was committed, in the order of the versions,
//! and in the end all members have the same one, which is what `/zookeeper/config` says. A leader
//! that a reconfiguration leaves without a say, or in whose place it names another, commits nothing
//! behind it.
//!
//! Permitted: a server that is behind, or that skips some; before the first reconfiguration, versions
//! that each first leader gives to the first configuration, which says the same under all of them.
//! Who counts at which transaction is judged in [`quorums`](super::quorums) and
//! [`election`](super::election).

use std::collections::BTreeMap;

use zebu_core::config::Ensemble;
use zebu_core::ids::ServerId;
use zebu_core::proto::QuorumPacket;
use zebu_core::server::{Action, PeerMessage};

use super::facts::Facts;
use super::facts::ledger::{counter, epoch, show};
use super::{Check, ensure};
use crate::history::{Observation, View, Violation};
use crate::model::membership::{Configuration, has_say};

#[derive(Debug, Default)]
pub struct Configurations {
    /// What each server's file says.
    files: BTreeMap<ServerId, u64>,
    /// Leaders that named another one, and at which transaction they did last.
    handed_over: BTreeMap<ServerId, u64>,
}

impl Check for Configurations {
    fn observe(
        &mut self,
        facts: &Facts,
        _view: &View<'_>,
        what: &Observation<'_>,
    ) -> Result<(), Violation> {
        if let Observation::Started { server } = what {
            let file = self.files.get(server).and_then(|file| facts.configurations.get(*file));
            if file.is_some_and(|file| !file.configuration.members.contains_key(server)) {
                // Written anew, by hand, for one that is to come back.
                self.files.remove(server);
            }
            return Ok(());
        }
        let Observation::Action { server, action } = what else { return Ok(()) };
        match action {
            Action::Reconfigure { committed, .. } => self.on_file(facts, *server, committed),
            Action::Send { message: PeerMessage::Quorum(packet), .. } => {
                self.on_sent(facts, *server, packet)
            }
            _ => Ok(()),
        }
    }

    fn finish(&mut self, facts: &Facts, _view: &View<'_>) -> Result<(), Violation> {
        if facts.info.first.is_none() {
            return Ok(());
        }
        let members = facts.servers().iter().map(|server| ServerId(server.id));
        let members: Vec<_> = members.filter(|id| facts.is_member(*id)).collect();
        let known: Vec<_> = members.iter().map(|id| self.files.get(id).copied()).collect();
        let newest = facts.configurations.newest().map(|newest| newest.configuration.version);
        let due = newest.or_else(|| known.first().copied().flatten());
        ensure(known.iter().all(|version| *version == due), "Z-CONF", || {
            let known: Vec<_> = members.iter().zip(known.iter().map(|v| v.map(show))).collect();
            format!("committed last is {:?}, the members have {known:?}", newest.map(show))
        })
    }
}

impl Configurations {
    fn on_file(
        &mut self,
        facts: &Facts,
        server: ServerId,
        committed: &Ensemble,
    ) -> Result<(), Violation> {
        let version = committed.version;
        let before = self.files.insert(server, version).unwrap_or(0);
        ensure(version >= before, "Z-CONF", || {
            let (version, before) = (show(version), show(before));
            format!("{server:?} goes back from configuration {before} to {version}")
        })?;
        let text = committed.text();
        let says = Configuration::parse(text.as_bytes());
        let good = match facts.configurations.get(version) {
            Some(change) => {
                facts.configurations.is_committed(version)
                    && says.as_ref() == Some(&change.configuration)
            }
            // What it was started with, before it heard of anything.
            None if version == 0 => true,
            // One that has no transaction is the first one.
            None => {
                let first = facts.info.first.as_ref();
                let as_first = first.zip(says.as_ref());
                counter(version) == 0 && as_first.is_some_and(|(a, b)| a.same_members(b))
            }
        };
        ensure(good, "Z-CONF", || {
            let (version, tip) = (show(version), show(facts.ledger.tip()));
            format!("{server:?} has configuration {version} in force, committed is {tip}: {text}")
        })
    }

    fn on_sent(
        &mut self,
        facts: &Facts,
        server: ServerId,
        packet: &QuorumPacket,
    ) -> Result<(), Violation> {
        let (zxid, leader) = match packet {
            QuorumPacket::Commit { zxid } => (zxid.0, server),
            QuorumPacket::Inform(entry) => (entry.zxid().0, server),
            QuorumPacket::CommitAndActivate { zxid, leader } => (zxid.0, *leader),
            QuorumPacket::InformAndActivate { leader, entry } => (entry.zxid().0, *leader),
            _ => return Ok(()),
        };
        // Of its own epoch: what it tells a learner of older ones is history.
        if facts.server(server).leads != Some(epoch(zxid)) {
            return Ok(());
        }
        if leader != server {
            self.handed_over.insert(server, zxid);
        }
        let handed_over = self.handed_over.get(&server).copied();
        let handed_over = handed_over.filter(|at| epoch(*at) == epoch(zxid) && *at < zxid);
        let governing = facts.configurations.before(zxid);
        let change = governing.and_then(|version| facts.configurations.get(version));
        let groups = change.map_or(&facts.info.groups, |change| &change.groups);
        ensure(handed_over.is_none() && has_say(groups, server), "Z-CONF", || {
            let (zxid, governing) = (show(zxid), governing.map(show));
            let to = handed_over.map(show);
            format!(
                "{server:?} commits {zxid}; in force since {governing:?} is {groups:?}, and it handed over at {to:?}"
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkers::testkit::{
        Bench, ONE, SESSION, TWO, change, dynamic, ensemble, propose, z,
    };
    use zebu_core::ids::Zxid;

    fn bench() -> Bench {
        let mut bench = Bench::with(dynamic(3, 3), vec![Box::new(Configurations::default())]);
        bench.lead(ONE, 1);
        bench.establish(ONE, TWO, 1);
        bench
    }
    fn file(bench: &mut Bench, server: ServerId, ids: &[i64], version: u64) -> bool {
        let committed = Box::new(ensemble(ids, version));
        let action = Action::Reconfigure { committed, proposed: None };
        match bench.action(server, &action) {
            Ok(()) => true,
            Err(broken) => {
                assert_eq!(broken.property, "Z-CONF", "{}", broken.what);
                false
            }
        }
    }

    #[test]
    fn a_server_has_what_is_committed_and_never_less() {
        let mut bench = bench();
        assert!(file(&mut bench, ONE, &[1, 2, 3], z(1, 0)));
        assert!(!file(&mut bench, ONE, &[1, 2], z(1, 0)), "not how it began");
        assert!(!file(&mut bench, TWO, &[1, 2], z(1, 1)), "nobody proposed it");
        bench.commit(z(1, 1), SESSION, 0, change(&[1, 2], z(1, 1))).unwrap();
        assert!(file(&mut bench, ONE, &[1, 2], z(1, 1)));
        assert!(!file(&mut bench, ONE, &[1, 2, 3], z(1, 0)), "back");
        assert_eq!(bench.finish().unwrap_err().property, "Z-CONF", "server 2 does not know");
        assert!(file(&mut bench, ONE, &[1, 2], z(1, 1)) && file(&mut bench, TWO, &[1, 2], z(1, 1)));
        bench.finish().unwrap();
    }

    #[test]
    fn who_hands_over_commits_nothing_behind() {
        for (ids, leader) in [(&[2, 3], ONE), (&[1, 2], TWO)] {
            let mut bench = bench();
            let body = change(ids, z(1, 1));
            let entry = crate::checkers::testkit::entry(crate::model::tests::txn(
                z(1, 1),
                SESSION,
                0,
                body,
            ));
            bench.send(ONE, TWO, QuorumPacket::Proposal(entry)).unwrap();
            bench.send(ONE, TWO, QuorumPacket::Proposal(propose(z(1, 2), "/a"))).unwrap();
            let zxid = Zxid(z(1, 1));
            bench.send(ONE, TWO, QuorumPacket::CommitAndActivate { zxid, leader }).unwrap();
            let more = bench.send(ONE, TWO, QuorumPacket::Commit { zxid: Zxid(z(1, 2)) });
            assert_eq!(more.unwrap_err().property, "Z-CONF");
        }
    }
}
