//! Message legality between leader and learners (Z-MSG, with Z-LPO and Z-GPO in it), per link:
//! proposals follow each other without a gap from where the learner stood; COMMIT comes for exactly
//! the oldest proposal that waits for one; one NEWLEADER, and UPTODATE once, only after NEWLEADER was
//! acknowledged; an ACK only for a proposal received, in order. An observer is told INFORM once it is
//! synchronized, and acknowledges no proposal; a follower never is.
//!
//! Permitted: proposals and commits while the learner is still synchronizing; a second ACK of
//! NEWLEADER behind UPTODATE, as Java sends.

use std::collections::{BTreeMap, VecDeque};

use zebu_core::ids::{LinkId, ServerId, Zxid};
use zebu_core::proto::QuorumPacket;
use zebu_core::server::{Action, Event, PeerMessage};

use super::Check;
use super::facts::Facts;
use super::facts::ledger::{counter, epoch, show};
use crate::history::{Observation, View, Violation};

#[derive(Debug, Default)]
pub struct PeerMessages {
    leading: BTreeMap<(ServerId, LinkId), ToLearner>,
    learning: BTreeMap<(ServerId, LinkId), FromLeader>,
}

/// A leader's end of a link.
#[derive(Debug, Default)]
struct ToLearner {
    observes: bool,
    /// Where the learner's history ends, with what was sent.
    end: u64,
    uncommitted: VecDeque<u64>,
    new_leader: bool,
    acknowledged: bool,
    up_to_date: bool,
}

/// A learner's end of a link.
#[derive(Debug, Default)]
struct FromLeader {
    observes: bool,
    proposed: u64,
    acknowledged: u64,
    new_leader: bool,
}

impl Check for PeerMessages {
    fn observe(
        &mut self,
        facts: &Facts,
        _view: &View<'_>,
        what: &Observation<'_>,
    ) -> Result<(), Violation> {
        match what {
            Observation::Started { server } => {
                self.leading.retain(|(at, _), _| at != server);
                self.learning.retain(|(at, _), _| at != server);
            }
            Observation::Event { server, event: Event::LinkDown { link } }
            | Observation::Action { server, action: Action::CloseLink { link, .. } } => {
                self.leading.remove(&(*server, *link));
                self.learning.remove(&(*server, *link));
            }
            Observation::Event {
                server,
                event: Event::Peer { link, message: PeerMessage::Quorum(packet) },
            } => self.on_told((*server, *link), packet),
            Observation::Action {
                server,
                action: Action::Send { link, message: PeerMessage::Quorum(packet) },
            } => {
                let what = self.on_sent(facts, (*server, *link), packet);
                return what.map_or(Ok(()), |what| {
                    let what = format!("{server:?} on {link:?}: {what}");
                    Err(Violation { property: "Z-MSG", what })
                });
            }
            _ => {}
        }
        Ok(())
    }
}

impl PeerMessages {
    fn on_told(&mut self, at: (ServerId, LinkId), packet: &QuorumPacket) {
        match packet {
            QuorumPacket::FollowerInfo { .. } | QuorumPacket::ObserverInfo { .. } => {
                let observes = matches!(packet, QuorumPacket::ObserverInfo { .. });
                self.leading.insert(at, ToLearner { observes, ..ToLearner::default() });
            }
            QuorumPacket::AckEpoch { last, .. } => {
                let observes = self.leading.get(&at).is_some_and(|link| link.observes);
                let link = ToLearner { observes, end: last.0, ..ToLearner::default() };
                self.leading.insert(at, link);
            }
            QuorumPacket::Ack { zxid } if zxid.counter() == 0 => {
                if let Some(link) = self.leading.get_mut(&at) {
                    link.acknowledged |= link.new_leader;
                }
            }
            QuorumPacket::LeaderInfo { .. } => {
                let observes = self.learning.get(&at).is_some_and(|link| link.observes);
                self.learning.insert(at, FromLeader { observes, ..FromLeader::default() });
            }
            QuorumPacket::Proposal(entry) => {
                self.learning.entry(at).or_default().proposed = entry.zxid().0;
            }
            QuorumPacket::NewLeader { .. } => {
                self.learning.entry(at).or_default().new_leader = true;
            }
            _ => {}
        }
    }

    /// What is wrong with a packet on its way out.
    fn on_sent(
        &mut self,
        facts: &Facts,
        at: (ServerId, LinkId),
        packet: &QuorumPacket,
    ) -> Option<String> {
        match packet {
            QuorumPacket::Ack { zxid } => return self.on_ack(at, zxid.0),
            QuorumPacket::AckEpoch { .. } => {
                self.learning.entry(at).or_default();
                return None;
            }
            QuorumPacket::ObserverInfo { .. } => {
                self.learning.entry(at).or_default().observes = true;
                return None;
            }
            _ => {}
        }
        let link = self.leading.get_mut(&at)?;
        match packet {
            QuorumPacket::Inform(_) | QuorumPacket::InformAndActivate { .. } if !link.observes => {
                return Some("INFORM to a follower".into());
            }
            QuorumPacket::Proposal(_)
            | QuorumPacket::Commit { .. }
            | QuorumPacket::CommitAndActivate { .. }
                if link.observes && link.up_to_date =>
            {
                return Some(format!("{} to an observer", packet.name()));
            }
            _ => {}
        }
        match packet {
            QuorumPacket::Snap { zxid } | QuorumPacket::Trunc { zxid } => {
                link.end = zxid.0;
                None
            }
            QuorumPacket::Proposal(entry)
            | QuorumPacket::Inform(entry)
            | QuorumPacket::InformAndActivate { entry, .. } => {
                let (zxid, end) = (entry.zxid().0, link.end);
                link.end = zxid;
                if matches!(packet, QuorumPacket::Proposal(_)) {
                    link.uncommitted.push_back(zxid);
                }
                // From one epoch to the next the ledger knows what lies between.
                let crosses = epoch(zxid) != epoch(end) && counter(zxid) == 1;
                let skips = crosses && facts.ledger.directly_follows(zxid, end) == Some(false);
                let gap = !Zxid(zxid).follows(Zxid(end)) || skips;
                gap.then(|| format!("PROPOSAL {} behind {}", show(zxid), show(end)))
            }
            QuorumPacket::Commit { zxid } | QuorumPacket::CommitAndActivate { zxid, .. } => {
                let due = link.uncommitted.pop_front();
                (due != Some(zxid.0)).then(|| format!("COMMIT {zxid}, due was {:?}", due.map(show)))
            }
            QuorumPacket::NewLeader { zxid, .. } => {
                let twice = std::mem::replace(&mut link.new_leader, true);
                twice.then(|| format!("a second NEWLEADER {zxid}"))
            }
            QuorumPacket::UpToDate => {
                let twice = std::mem::replace(&mut link.up_to_date, true);
                let early = !link.acknowledged;
                (twice || early)
                    .then(|| format!("UPTODATE: second {twice}, not acknowledged {early}"))
            }
            _ => None,
        }
    }

    fn on_ack(&mut self, at: (ServerId, LinkId), zxid: u64) -> Option<String> {
        let link = self.learning.get_mut(&at)?;
        if counter(zxid) == 0 {
            return (!link.new_leader).then(|| format!("ACK of {} before NEWLEADER", show(zxid)));
        }
        let legal = zxid <= link.proposed && zxid > link.acknowledged && !link.observes;
        let (proposed, before) = (link.proposed, link.acknowledged);
        link.acknowledged = zxid;
        (!legal).then(|| {
            let (zxid, proposed, before) = (show(zxid), show(proposed), show(before));
            format!("ACK {zxid}, received was up to {proposed}, acknowledged up to {before}")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkers::testkit::{Bench, ONE, THREE, TWO, propose, z};
    use zebu_core::ids::Epoch;

    fn proposal(zxid: u64) -> QuorumPacket {
        QuorumPacket::Proposal(propose(zxid, "/a"))
    }
    fn commit(zxid: u64) -> QuorumPacket {
        QuorumPacket::Commit { zxid: Zxid(zxid) }
    }
    fn ack(zxid: u64) -> QuorumPacket {
        QuorumPacket::Ack { zxid: Zxid(zxid) }
    }
    fn bench() -> Bench {
        let mut bench = Bench::new(3, vec![Box::new(PeerMessages::default())]);
        bench.lead(ONE, 2);
        let accept = QuorumPacket::AckEpoch { last: Zxid(z(1, 3)), current: Some(Epoch(1)) };
        bench.told(ONE, TWO, accept).unwrap();
        bench
    }
    fn refused(result: Result<(), Violation>) {
        assert_eq!(result.unwrap_err().property, "Z-MSG");
    }

    #[test]
    fn proposals_and_commits_are_in_order() {
        let mut bench = bench();
        bench.log(ONE, &[z(1, 1), z(1, 2), z(1, 3)]).unwrap();
        bench.establish(ONE, THREE, 2);
        for packet in [proposal(z(2, 1)), proposal(z(2, 2)), commit(z(2, 1))] {
            bench.send(ONE, TWO, packet).unwrap();
        }
        refused(bench.send(ONE, TWO, proposal(z(2, 4))));
        refused(bench.send(ONE, TWO, commit(z(2, 4))));
        refused(self::bench().send(ONE, TWO, commit(z(2, 1))));
        refused(self::bench().send(ONE, TWO, proposal(z(1, 5))));
        // 1:5 is between 1:3 and 2:1.
        let mut bench = self::bench();
        bench.log(TWO, &[z(1, 1), z(1, 2), z(1, 3), z(1, 4), z(1, 5), z(2, 1)]).unwrap();
        refused(bench.send(ONE, TWO, proposal(z(2, 1))));
    }

    #[test]
    fn synchronization_is_in_order() {
        let mut bench = bench();
        let config = bytes::Bytes::new();
        let new_leader = || QuorumPacket::NewLeader { zxid: Zxid(z(2, 0)), config: config.clone() };
        bench.send(ONE, TWO, new_leader()).unwrap();
        refused(bench.send(ONE, TWO, new_leader()));
        refused(bench.send(ONE, TWO, QuorumPacket::UpToDate));
        let mut bench = self::bench();
        bench.establish(ONE, TWO, 2);
        refused(bench.send(ONE, TWO, QuorumPacket::UpToDate));
    }

    #[test]
    fn observers_are_informed() {
        let inform = |zxid| QuorumPacket::Inform(propose(zxid, "/b"));
        let info = || zebu_core::proto::LearnerInfo {
            id: TWO,
            protocol_version: 0x10000,
            config_version: 0,
        };
        refused(bench().send(ONE, TWO, inform(z(2, 1))));
        let mut bench = Bench::new(3, vec![Box::new(PeerMessages::default())]);
        bench.lead(ONE, 2);
        bench.establish(ONE, THREE, 2);
        let greeting = || QuorumPacket::ObserverInfo { accepted: Epoch(2), info: info() };
        bench.told(ONE, TWO, greeting()).unwrap();
        let accept = QuorumPacket::AckEpoch { last: Zxid(z(2, 0)), current: None };
        bench.told(ONE, TWO, accept).unwrap();
        bench.send(ONE, TWO, proposal(z(2, 1))).unwrap();
        bench.send(ONE, TWO, commit(z(2, 1))).unwrap();
        bench.establish(ONE, TWO, 2);
        bench.send(ONE, TWO, inform(z(2, 2))).unwrap();
        refused(bench.send(ONE, TWO, inform(z(2, 4))));
        refused(bench.send(ONE, TWO, proposal(z(2, 5))));
        // The other end.
        bench.send(TWO, ONE, greeting()).unwrap();
        let offer = QuorumPacket::LeaderInfo { epoch: Epoch(2), protocol_version: 0 };
        bench.told(TWO, ONE, offer).unwrap();
        bench.told(TWO, ONE, proposal(z(2, 1))).unwrap();
        refused(bench.send(TWO, ONE, ack(z(2, 1))));
    }

    #[test]
    fn acknowledgements_are_for_what_came() {
        let mut bench = bench();
        let offer = QuorumPacket::LeaderInfo { epoch: Epoch(2), protocol_version: 0 };
        bench.told(TWO, ONE, offer).unwrap();
        refused(bench.send(TWO, ONE, ack(z(2, 0))));
        bench.told(TWO, ONE, proposal(z(2, 1))).unwrap();
        bench.send(TWO, ONE, ack(z(2, 1))).unwrap();
        refused(bench.send(TWO, ONE, ack(z(2, 1))));
        refused(bench.send(TWO, ONE, ack(z(2, 2))));
    }
}
