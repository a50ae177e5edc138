//! Epochs (Z-EPOCH, Z-LEAD): on each server acceptedEpoch and currentEpoch never decrease, over
//! crashes too, currentEpoch is never ahead of acceptedEpoch, and no log record is of an epoch that
//! was not accepted before. For each epoch at most one server, in one life, synchronizes others as
//! its leader, and nobody acknowledges one epoch to two leaders, ever.
//!
//! Permitted: two servers that *offer* the same epoch, as long as only one finds a quorum, and then
//! a follower that had accepted the other's offer; epochs that nobody ever led; an observer without a
//! log that has forgotten at its start what it acknowledged: nobody counts it.

use std::collections::BTreeMap;

use zebu_core::ids::{LinkId, ServerId};
use zebu_core::proto::QuorumPacket;
use zebu_core::server::{Action, Event, PeerMessage};

use super::facts::Facts;
use super::facts::ledger::{epoch, show};
use super::{Check, ensure};
use crate::history::{Observation, View, Violation};

#[derive(Debug, Default)]
pub struct Epochs {
    /// The largest durable (accepted, current) of each server.
    reached: BTreeMap<ServerId, (u32, u32)>,
    /// Who said NEWLEADER, in which of its lives.
    leaders: BTreeMap<u32, (ServerId, u32)>,
    acknowledged: BTreeMap<(ServerId, u32), ServerId>,
    /// The same of NEWLEADER. A server that accepted another's offer first may enter with the one
    /// that was elected in the end.
    entered: BTreeMap<(ServerId, u32), ServerId>,
    /// What a learner was offered on a link.
    offered: BTreeMap<(ServerId, LinkId), u32>,
}

impl Check for Epochs {
    fn observe(
        &mut self,
        facts: &Facts,
        _view: &View<'_>,
        what: &Observation<'_>,
    ) -> Result<(), Violation> {
        match what {
            Observation::Disk { server, .. } => self.on_disk(facts, *server),
            // It knows of nothing that it promised, and everybody else must do without.
            Observation::Wiped { server } => {
                self.reached.remove(server);
                Ok(())
            }
            Observation::Started { server } => {
                self.offered.retain(|(at, _), _| at != server);
                if facts.info.forgetful_observers && !facts.votes_at(*server, *server) {
                    self.acknowledged.retain(|(at, _), _| at != server);
                    self.entered.retain(|(at, _), _| at != server);
                }
                self.on_disk(facts, *server)
            }
            Observation::Event {
                server,
                event: Event::Peer { link, message: PeerMessage::Quorum(packet) },
            } => {
                if let QuorumPacket::LeaderInfo { epoch, .. } = packet {
                    self.offered.insert((*server, *link), epoch.0);
                }
                Ok(())
            }
            Observation::Action {
                server,
                action: Action::Send { link, message: PeerMessage::Quorum(packet) },
            } => self.on_sent(facts, *server, *link, packet),
            _ => Ok(()),
        }
    }
}

impl Epochs {
    fn on_disk(&mut self, facts: &Facts, server: ServerId) -> Result<(), Violation> {
        let disk = &facts.server(server).disk;
        let (accepted, current) = disk.epochs();
        let (safe_accepted, safe_current) = disk.safe_epochs();
        let reached = self.reached.entry(server).or_default();
        for (name, was, is) in
            [("acceptedEpoch", reached.0, accepted), ("currentEpoch", reached.1, current)]
        {
            ensure(is.is_none_or(|is| is >= was), "Z-EPOCH", || {
                format!("{name} of {server:?} goes back from {was} to {is:?}")
            })?;
        }
        reached.0 = reached.0.max(safe_accepted.unwrap_or(0));
        reached.1 = reached.1.max(safe_current.unwrap_or(0));
        let (ahead, vouched) = (current.unwrap_or(0), safe_accepted.unwrap_or(0));
        ensure(ahead <= vouched, "Z-EPOCH", || {
            format!(
                "currentEpoch {ahead} of {server:?} is ahead of the durable acceptedEpoch {vouched}"
            )
        })?;
        for record in &facts.news.logged {
            ensure(epoch(record.zxid) <= vouched, "Z-EPOCH", || {
                let zxid = show(record.zxid);
                format!("{server:?} logs {zxid}, its durable acceptedEpoch is {vouched}")
            })?;
        }
        Ok(())
    }

    fn on_sent(
        &mut self,
        facts: &Facts,
        server: ServerId,
        link: LinkId,
        packet: &QuorumPacket,
    ) -> Result<(), Violation> {
        // Who serves observers there need not lead.
        if facts.is_of_master(server, link) {
            return Ok(());
        }
        match packet {
            QuorumPacket::NewLeader { zxid, .. } => {
                let epoch = zxid.epoch().0;
                let me = (server, facts.server(server).incarnation);
                let leader = *self.leaders.entry(epoch).or_insert(me);
                ensure(leader == me, "Z-LEAD", || {
                    format!("{me:?} (id, start) leads epoch {epoch}, {leader:?} does or did")
                })
            }
            QuorumPacket::AckEpoch { current: Some(_), .. } => {
                let offered = self.offered.get(&(server, link)).copied();
                offered.map_or(Ok(()), |epoch| self.acknowledge(facts, server, link, epoch))
            }
            QuorumPacket::Ack { zxid } if zxid.counter() == 0 => {
                let links = &facts.server(server).links;
                let Some(leader) = links.get(&link).and_then(|link| link.peer) else {
                    return Ok(());
                };
                let epoch = zxid.epoch().0;
                let first = *self.entered.entry((server, epoch)).or_insert(leader);
                ensure(first == leader, "Z-LEAD", || {
                    format!(
                        "{server:?} enters epoch {epoch} with {leader:?}, and did with {first:?}"
                    )
                })
            }
            _ => Ok(()),
        }
    }

    fn acknowledge(
        &mut self,
        facts: &Facts,
        server: ServerId,
        link: LinkId,
        epoch: u32,
    ) -> Result<(), Violation> {
        let links = &facts.server(server).links;
        let Some(leader) = links.get(&link).and_then(|link| link.peer) else { return Ok(()) };
        let first = *self.acknowledged.entry((server, epoch)).or_insert(leader);
        ensure(first == leader, "Z-LEAD", || {
            format!("{server:?} acknowledges epoch {epoch} to {leader:?}, and did to {first:?}")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkers::testkit::{Bench, ONE, THREE, TWO, info};
    use crate::scenario::ScenarioInfo;
    use zebu_core::ids::{Epoch, Zxid};
    use zebu_core::server::Port;

    fn bench() -> Bench {
        Bench::new(3, vec![Box::new(Epochs::default())])
    }
    fn new_leader(epoch: u32) -> QuorumPacket {
        let config = bytes::Bytes::new();
        QuorumPacket::NewLeader { zxid: Zxid::start_of(Epoch(epoch)), config }
    }

    #[test]
    fn one_leader_for_an_epoch() {
        let mut bench = bench();
        bench.lead(ONE, 1);
        bench.lead(TWO, 1);
        bench.send(ONE, TWO, new_leader(1)).unwrap();
        bench.send(ONE, THREE, new_leader(1)).unwrap();
        assert_eq!(bench.send(TWO, THREE, new_leader(1)).unwrap_err().property, "Z-LEAD");
        bench.send(TWO, THREE, new_leader(2)).unwrap();
    }

    #[test]
    fn one_acknowledgement_for_an_epoch() {
        let mut bench = bench();
        let ack = || QuorumPacket::AckEpoch { last: Zxid(0), current: Some(Epoch(0)) };
        let info = || QuorumPacket::LeaderInfo { epoch: Epoch(3), protocol_version: 0 };
        bench.told(TWO, ONE, info()).unwrap();
        bench.send(TWO, ONE, ack()).unwrap();
        bench.told(TWO, THREE, info()).unwrap();
        assert_eq!(bench.send(TWO, THREE, ack()).unwrap_err().property, "Z-LEAD");

        let enter = || QuorumPacket::Ack { zxid: Zxid::start_of(Epoch(3)) };
        bench.send(TWO, THREE, enter()).unwrap();
        bench.send(TWO, THREE, enter()).unwrap();
        assert_eq!(bench.send(TWO, ONE, enter()).unwrap_err().property, "Z-LEAD");
    }

    #[test]
    fn an_observer_without_a_log_may_forget_what_it_acknowledged() {
        let voters = vec![[(TWO, 1), (THREE, 1)].into()];
        let info = ScenarioInfo { forgetful_observers: true, groups: voters, ..info(3) };
        let mut bench = Bench::with(info, vec![Box::new(Epochs::default())]);
        let ack = || QuorumPacket::AckEpoch { last: Zxid(0), current: Some(Epoch(0)) };
        let offer = || QuorumPacket::LeaderInfo { epoch: Epoch(3), protocol_version: 0 };
        for who in [ONE, TWO] {
            let (first, second) = (ServerId(3 - who.0), THREE);
            bench.told(who, first, offer()).unwrap();
            bench.send(who, first, ack()).unwrap();
            bench.see(&Observation::Started { server: who }).unwrap();
            let (link, port) = (LinkId(3), Port::Quorum);
            let event = Event::LinkUp { link, port, peer: Some(second), dialled: true };
            bench.see(&Observation::Event { server: who, event: &event }).unwrap();
            bench.told(who, second, offer()).unwrap();
            assert_eq!(bench.send(who, second, ack()).is_ok(), who == ONE);
        }
    }

    #[test]
    fn epoch_files_go_forward_and_in_order() {
        let mut bench = bench();
        bench.save_epoch(ONE, "acceptedEpoch", 2).unwrap();
        bench.save_epoch(ONE, "currentEpoch", 2).unwrap();
        bench.save_epoch(ONE, "acceptedEpoch", 3).unwrap();
        let early = bench.save_epoch(ONE, "currentEpoch", 4);
        assert_eq!(early.unwrap_err().property, "Z-EPOCH");
        let back = bench.save_epoch(ONE, "acceptedEpoch", 2);
        assert_eq!(back.unwrap_err().property, "Z-EPOCH");
    }
}
