//! Quorums and what they keep (Z-QUOR, Z-KEEP): when a leader commits, a quorum of voters would
//! still have the transaction after a power loss of all; when it says UPTODATE the first time, the
//! same holds of its whole history and of its epoch. A reconfiguration needs a quorum of those before
//! it and one of those behind it; so does a leader whose history ends with one that is not committed.
//! Nobody tells an observer of anything that is not committed. What was committed is in the history of
//! every later leader, and no TRUNC takes it from anybody.
//!
//! Permitted: unacknowledged writes that surface later or never; a COMMIT, in a learner's
//! synchronization, for history that is not committed yet; an epoch that is established late, with
//! acknowledgements of servers that have gone on to the next; a leader deposed without knowing it that
//! cuts off what it proposed and a later leader committed. It sends that anew, and who still takes its
//! epoch is none of those whose word made the commit.

use std::collections::{BTreeMap, BTreeSet};

use zebu_core::ids::{LinkId, ServerId};
use zebu_core::proto::QuorumPacket;
use zebu_core::server::{Action, Event, PeerMessage};

use super::facts::ledger::{epoch, show, start_of};
use super::facts::{Committed, Facts};
use super::{Check, ensure};
use crate::history::{Observation, View, Violation};

#[derive(Debug, Default)]
pub struct Quorums {
    /// What the learner on a leader's link said its history ends with.
    learners: BTreeMap<(ServerId, LinkId), u64>,
    /// The newest epoch of which UPTODATE was seen.
    established: u32,
    /// Who acknowledged NEWLEADER of which epoch, which was its durable currentEpoch then.
    entered: BTreeSet<(i64, u32)>,
}

impl Check for Quorums {
    fn observe(
        &mut self,
        facts: &Facts,
        _view: &View<'_>,
        what: &Observation<'_>,
    ) -> Result<(), Violation> {
        match what {
            Observation::Action { server, action } => {
                if let Action::Send { link, message: PeerMessage::Quorum(packet) } = action {
                    self.on_sent(facts, *server, *link, packet)?;
                }
                newly_committed(facts, *server)
            }
            Observation::Event {
                server,
                event: Event::Peer { link, message: PeerMessage::Quorum(packet) },
            } => {
                if let QuorumPacket::AckEpoch { last, .. } = packet {
                    self.learners.insert((*server, *link), last.0);
                }
                Ok(())
            }
            Observation::Started { server } => {
                self.learners.retain(|(at, _), _| at != server);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn finish(&mut self, facts: &Facts, _view: &View<'_>) -> Result<(), Violation> {
        // D-DUR: an answer was a promise.
        let answered = facts.ledger.resolve(facts.answered_upto).unwrap_or(0);
        let has = |end: u64| end >= answered && facts.ledger.contains(end, answered) != Some(false);
        let in_force = facts.in_force(facts.ledger.tip(), facts.ledger.tip());
        let kept = in_force.iter().all(|groups| facts.is_quorum(groups, |s| has(s.disk.last())));
        ensure(kept, "D-DUR", || {
            let ends: Vec<_> =
                facts.servers().iter().map(|s| (s.id, show(s.disk.last()))).collect();
            format!("{} was answered; the histories end at {ends:?}", show(answered))
        })
    }
}

fn newly_committed(facts: &Facts, by: ServerId) -> Result<(), Violation> {
    let Some(newest) = facts.news.committed.last() else { return Ok(()) };
    let zxid_of = |committed: &Committed| committed.proposed.txn.header.zxid.0;
    let changes = facts.news.committed.iter().map(zxid_of);
    let changes = changes.filter(|zxid| facts.configurations.get(*zxid).is_some());
    for zxid in changes.chain([zxid_of(newest)]) {
        let before = facts.configurations.before(zxid).and_then(|z| facts.configurations.get(z));
        let before = before.map_or(&facts.info.groups, |change| &change.groups);
        let own = facts.configurations.get(zxid).map(|change| &change.groups);
        for groups in [before].into_iter().chain(own) {
            let kept = facts.is_quorum(groups, |server| facts.has_had_durable(server, zxid));
            ensure(kept, "Z-QUOR", || {
                let disks = facts.servers().iter().map(|s| (s.id, show(s.disk.durable())));
                let (disks, zxid): (Vec<_>, _) = (disks.collect(), show(zxid));
                format!("{by:?} commits {zxid}, durable are (id, zxid) {disks:?} of {groups:?}")
            })?;
        }
    }
    Ok(())
}

impl Quorums {
    fn on_sent(
        &mut self,
        facts: &Facts,
        server: ServerId,
        link: LinkId,
        packet: &QuorumPacket,
    ) -> Result<(), Violation> {
        match packet {
            // Whoever says so, leader or observer master. A leader that commits has just been believed.
            QuorumPacket::Inform(entry) | QuorumPacket::InformAndActivate { entry, .. } => {
                let zxid = entry.zxid().0;
                ensure(facts.ledger.is_committed(zxid), "Z-QUOR", || {
                    format!(
                        "{server:?} tells an observer of {}, which nobody committed",
                        show(zxid)
                    )
                })
            }
            QuorumPacket::NewLeader { zxid, .. } => holds_committed(facts, server, zxid.epoch().0),
            QuorumPacket::Ack { zxid } if zxid.counter() == 0 => {
                let epoch = zxid.epoch().0;
                if facts.server(server).disk.safe_epochs().1 == Some(epoch) {
                    self.entered.insert((server.0, epoch));
                }
                Ok(())
            }
            QuorumPacket::UpToDate => {
                let Some(epoch) = facts.server(server).leads else { return Ok(()) };
                if epoch <= self.established {
                    return Ok(());
                }
                self.established = epoch;
                holds_committed(facts, server, epoch)?;
                let history = facts.server(server).disk.last_below(start_of(epoch));
                let ready = |server: &super::facts::ServerFacts| {
                    let entered = server.disk.safe_epochs().1 == Some(epoch)
                        || self.entered.contains(&(server.id, epoch));
                    entered && facts.has_had_durable(server, history)
                };
                let in_force = facts.in_force(history, facts.news.tip_before);
                let enough = in_force.iter().all(|groups| facts.is_quorum(groups, ready));
                ensure(enough, "Z-QUOR", || {
                    let state = facts.servers().iter();
                    let state =
                        state.map(|s| (s.id, show(s.disk.durable()), s.disk.safe_epochs().1));
                    let state: Vec<_> = state.collect();
                    let history = show(history);
                    format!(
                        "{server:?} says UPTODATE in epoch {epoch} with {history}; durable (id, zxid, currentEpoch): {state:?}"
                    )
                })
            }
            QuorumPacket::Trunc { zxid } => {
                let Some(&end) = self.learners.get(&(server, link)) else { return Ok(()) };
                let leads = facts.server(server).leads.filter(|epoch| *epoch < self.established);
                let lost = committed_in(facts, end)
                    .filter(|kept| *kept > zxid.0 && leads != Some(epoch(*kept)));
                ensure(lost.is_none(), "Z-KEEP", || {
                    let lost = lost.map(show);
                    format!("{server:?} sends TRUNC to {zxid}, committed is {lost:?}")
                })
            }
            _ => Ok(()),
        }
    }
}

/// The last committed transaction in the history that ends with `end`.
fn committed_in(facts: &Facts, end: u64) -> Option<u64> {
    let committed = facts.ledger.committed();
    let upto = committed.partition_point(|zxid| *zxid <= end);
    let mut candidates = committed[..upto].iter().rev().copied();
    candidates.find(|zxid| facts.ledger.contains(end, *zxid) == Some(true))
}

fn holds_committed(facts: &Facts, server: ServerId, epoch: u32) -> Result<(), Violation> {
    let history = facts.server(server).disk.last_below(start_of(epoch));
    let tip = facts.ledger.tip();
    if tip >= start_of(epoch) {
        // This epoch has committed already: a later learner is told NEWLEADER.
        return Ok(());
    }
    let kept = history >= tip && facts.ledger.contains(history, tip) != Some(false);
    ensure(kept, "Z-KEEP", || {
        let (history, tip) = (show(history), show(tip));
        format!("{server:?} leads epoch {epoch} with a history up to {history}; committed is {tip}")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkers::testkit::{
        Bench, ONE, SESSION, THREE, TWO, change, dynamic, entry, propose, z,
    };
    use crate::model::tests::txn;
    use zebu_core::ids::{Epoch, Zxid};

    fn commit(zxid: u64) -> QuorumPacket {
        QuorumPacket::Commit { zxid: Zxid(zxid) }
    }
    fn new_leader(epoch: u32) -> QuorumPacket {
        let config = bytes::Bytes::new();
        QuorumPacket::NewLeader { zxid: Zxid::start_of(Epoch(epoch)), config }
    }
    fn bench() -> Bench {
        let mut bench = Bench::new(3, vec![Box::new(Quorums::default())]);
        for server in [ONE, TWO] {
            bench.save_epoch(server, "acceptedEpoch", 1).unwrap();
            bench.save_epoch(server, "currentEpoch", 1).unwrap();
        }
        bench.lead(ONE, 1);
        bench.establish(ONE, TWO, 1);
        bench.send(ONE, TWO, QuorumPacket::Proposal(propose(z(1, 1), "/a"))).unwrap();
        bench.log(ONE, &[z(1, 1)]).unwrap();
        bench
    }

    #[test]
    fn a_commit_needs_a_durable_quorum() {
        assert_eq!(bench().send(ONE, TWO, commit(z(1, 1))).unwrap_err().property, "Z-QUOR");
        let mut bench = bench();
        bench.log(THREE, &[z(1, 1)]).unwrap();
        bench.send(ONE, TWO, commit(z(1, 1))).unwrap();
    }

    /// From servers 1 to 3 to servers 1, 4 and 5.
    #[test]
    fn a_reconfiguration_needs_a_quorum_of_either() {
        let (four, five) = (ServerId(4), ServerId(5));
        let changed = |holders: &[ServerId]| {
            let mut bench = Bench::with(dynamic(3, 5), vec![Box::new(Quorums::default())]);
            for server in [ONE, TWO, THREE, four, five] {
                bench.save_epoch(server, "acceptedEpoch", 1).unwrap();
                bench.save_epoch(server, "currentEpoch", 1).unwrap();
            }
            bench.lead(ONE, 1);
            bench.establish(ONE, TWO, 1);
            let change = entry(txn(z(1, 1), SESSION, 0, change(&[1, 4, 5], z(1, 1))));
            bench.send(ONE, TWO, QuorumPacket::Proposal(change)).unwrap();
            for server in holders {
                bench.log(*server, &[z(1, 1)]).unwrap();
            }
            let zxid = Zxid(z(1, 1));
            let committed =
                bench.send(ONE, TWO, QuorumPacket::CommitAndActivate { zxid, leader: ONE });
            (bench, committed.map_err(|broken| broken.property))
        };
        assert_eq!(changed(&[ONE, TWO, THREE]).1, Err("Z-QUOR"));
        assert_eq!(changed(&[ONE, four, five]).1, Err("Z-QUOR"));
        // From then on those who came in count, and those who went do not.
        for (holders, enough) in [([four, five], true), ([TWO, THREE], false)] {
            let (mut bench, committed) = changed(&[ONE, TWO, four]);
            committed.unwrap();
            bench.log(five, &[z(1, 1)]).unwrap();
            bench.log(THREE, &[z(1, 1)]).unwrap();
            bench.send(ONE, TWO, QuorumPacket::Proposal(propose(z(1, 2), "/a"))).unwrap();
            for server in holders {
                bench.log(server, &[z(1, 2)]).unwrap();
            }
            assert_eq!(bench.send(ONE, TWO, commit(z(1, 2))).is_ok(), enough, "{holders:?}");
        }
    }

    #[test]
    fn an_epoch_needs_a_durable_quorum() {
        let mut bench = Bench::new(3, vec![Box::new(Quorums::default())]);
        bench.lead(ONE, 1);
        assert_eq!(bench.send(ONE, TWO, QuorumPacket::UpToDate).unwrap_err().property, "Z-QUOR");
    }

    /// swarm-5, seed 830.
    #[test]
    fn who_acknowledged_an_epoch_may_have_gone_on() {
        for acknowledged in [true, false] {
            let mut bench = Bench::new(3, vec![Box::new(Quorums::default())]);
            bench.lead(ONE, 1);
            for (server, epoch) in [(ONE, 1), (TWO, 1), (TWO, 2)] {
                bench.save_epoch(server, "acceptedEpoch", epoch).unwrap();
                bench.save_epoch(server, "currentEpoch", epoch).unwrap();
                if (server, epoch) == (TWO, 1) && acknowledged {
                    bench.send(TWO, ONE, QuorumPacket::Ack { zxid: Zxid(z(1, 0)) }).unwrap();
                }
            }
            let established = bench.send(ONE, TWO, QuorumPacket::UpToDate);
            assert_eq!(established.is_ok(), acknowledged);
        }
    }

    #[test]
    fn later_leaders_hold_what_was_committed() {
        let mut bench = bench();
        bench.log(THREE, &[z(1, 1)]).unwrap();
        bench.send(ONE, TWO, commit(z(1, 1))).unwrap();
        bench.lead(THREE, 2);
        bench.send(THREE, TWO, new_leader(2)).unwrap();
        bench.lead(TWO, 3);
        assert_eq!(bench.send(TWO, ONE, new_leader(3)).unwrap_err().property, "Z-KEEP");
        let ack = QuorumPacket::AckEpoch { last: Zxid(z(1, 1)), current: None };
        bench.told(THREE, ONE, ack).unwrap();
        bench.send(THREE, ONE, QuorumPacket::Trunc { zxid: Zxid(z(1, 1)) }).unwrap();
        let cut = bench.send(THREE, ONE, QuorumPacket::Trunc { zxid: Zxid(0) });
        assert_eq!(cut.unwrap_err().property, "Z-KEEP");
    }

    /// weightless-voter, seed 228.
    #[test]
    fn who_is_deposed_may_cut_what_it_sends_anew() {
        let (four, five) = (ServerId(4), ServerId(5));
        for deposed in [true, false] {
            let mut bench = Bench::new(5, vec![Box::new(Quorums::default())]);
            let enter = |bench: &mut Bench, server, epoch| {
                bench.save_epoch(server, "acceptedEpoch", epoch).unwrap();
                bench.save_epoch(server, "currentEpoch", epoch).unwrap();
            };
            for server in [ONE, TWO, THREE, four, five] {
                enter(&mut bench, server, 1);
            }
            bench.lead(ONE, 1);
            bench.establish(ONE, TWO, 1);
            bench.send(ONE, TWO, QuorumPacket::Proposal(propose(z(1, 1), "/a"))).unwrap();
            for server in [ONE, TWO, THREE, four, five] {
                bench.log(server, &[z(1, 1)]).unwrap();
            }
            if deposed {
                for server in [TWO, THREE, four] {
                    enter(&mut bench, server, 2);
                }
                bench.lead(TWO, 2);
                bench.establish(TWO, THREE, 2);
            } else {
                bench.send(ONE, TWO, commit(z(1, 1))).unwrap();
            }
            let ack = QuorumPacket::AckEpoch { last: Zxid(z(1, 1)), current: None };
            bench.told(ONE, five, ack).unwrap();
            let cut = bench.send(ONE, five, QuorumPacket::Trunc { zxid: Zxid(0) });
            assert_eq!(cut.is_ok(), deposed);
        }
    }

    #[test]
    fn an_answer_is_kept() {
        let mut bench = bench();
        bench.log(THREE, &[z(1, 1)]).unwrap();
        bench.send(ONE, TWO, commit(z(1, 1))).unwrap();
        bench.finish().unwrap();
        bench.written(ONE, 4, z(1, 1));
        bench.finish().unwrap();
        bench.wipe(THREE);
        assert_eq!(bench.finish().unwrap_err().property, "D-DUR");
    }
}
