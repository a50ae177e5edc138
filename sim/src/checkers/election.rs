//! The right server leads (Z-ELEC): a server that asks for an epoch gives up when an epoch
//! acknowledgement shows a newer history, by (currentEpoch, last zxid), than its own; what a server
//! says for itself in an election is what its disk holds; and nobody votes for less than that, so
//! that whoever has a quorum's votes is behind none of them.
//!
//! Permitted: an election that decides by votes which were true a moment ago; the acknowledgements
//! of discovery are there for that. Whether a vote is *durable* is judged in
//! [`durability`](super::durability).

use std::collections::BTreeSet;

use zebu_core::ids::ServerId;
use zebu_core::proto::{Notification, PeerState, QuorumPacket};
use zebu_core::server::{Action, Event, PeerMessage};

use super::facts::Facts;
use super::facts::ledger::{epoch, show};
use super::{Check, ensure};
use crate::history::{Observation, View, Violation};

#[derive(Debug, Default)]
pub struct Election {
    /// Leaders that must not synchronize anybody in this epoch of theirs.
    must_resign: BTreeSet<(ServerId, u32)>,
    /// Leaders past discovery in this epoch.
    past_discovery: BTreeSet<(ServerId, u32)>,
    /// Servers that took part in an epoch, in this life: they may report its start as a zxid.
    entered: BTreeSet<(ServerId, u32)>,
}

impl Check for Election {
    fn observe(
        &mut self,
        facts: &Facts,
        _view: &View<'_>,
        what: &Observation<'_>,
    ) -> Result<(), Violation> {
        match what {
            Observation::Started { server } => self.entered.retain(|(at, _)| at != server),
            Observation::Event {
                server,
                event: Event::Peer { link, message: PeerMessage::Quorum(packet) },
            } => {
                let peer = facts.server(*server).links.get(link).and_then(|link| link.peer);
                let is_voter = peer.is_some_and(|peer| facts.is_voter(peer.0));
                if let (QuorumPacket::AckEpoch { last, current: Some(current) }, true) =
                    (packet, is_voter)
                {
                    self.on_ack_epoch(facts, *server, (current.0, last.0));
                }
            }
            Observation::Action { server, action: Action::Send { message, .. } } => match message {
                PeerMessage::Quorum(QuorumPacket::NewLeader { zxid, .. }) => {
                    let term = (*server, zxid.epoch().0);
                    self.past_discovery.insert(term);
                    ensure(!self.must_resign.contains(&term), "Z-ELEC", || {
                        let epoch = term.1;
                        format!(
                            "{server:?} leads epoch {epoch} though a follower has a newer history"
                        )
                    })?;
                }
                PeerMessage::Quorum(QuorumPacket::Ack { zxid }) if zxid.counter() == 0 => {
                    self.entered.insert((*server, zxid.epoch().0));
                }
                PeerMessage::Quorum(QuorumPacket::UpToDate) => {
                    let leads = facts.server(*server).leads;
                    self.entered.extend(leads.map(|epoch| (*server, epoch)));
                }
                PeerMessage::Election(vote) => self.on_vote(facts, *server, vote)?,
                PeerMessage::Quorum(_) | PeerMessage::Snapshot(_) => {}
            },
            _ => {}
        }
        Ok(())
    }
}

impl Election {
    fn on_ack_epoch(&mut self, facts: &Facts, leader: ServerId, theirs: (u32, u64)) {
        let known = facts.server(leader);
        let Some(epoch) = known.leads else { return };
        let ours = (known.disk.epochs().1.unwrap_or(0), known.disk.last());
        if theirs > ours && !self.past_discovery.contains(&(leader, epoch)) {
            self.must_resign.insert((leader, epoch));
        }
    }

    fn on_vote(
        &mut self,
        facts: &Facts,
        server: ServerId,
        vote: &Notification,
    ) -> Result<(), Violation> {
        let known = facts.server(server);
        let last = known.disk.last();
        // A vote of an older round is one that was still on its way, sent again.
        if vote.state == PeerState::Looking && vote.round == known.round && vote.leader != server {
            let own = (i64::from(known.disk.epochs().1.unwrap_or(0)), last, server);
            let for_whom = (vote.peer_epoch, vote.zxid.0, vote.leader);
            ensure(for_whom > own, "Z-ELEC", || {
                format!(
                    "{server:?} votes for {for_whom:?} (epoch, zxid, id), it has {own:?} itself"
                )
            })?;
        }
        if !facts.news.new_round || vote.leader != server {
            return Ok(());
        }
        let (zxid, started) = (vote.zxid.0, vote.zxid.counter() == 0 && vote.zxid.0 != 0);
        let entered = self.entered.contains(&(server, epoch(zxid)));
        ensure(zxid == last || !started || entered, "Z-ELEC", || {
            let (says, has) = (show(zxid), show(last));
            format!(
                "{server:?} votes for itself with {says}, never entered; its disk ends at {has}"
            )
        })?;
        ensure(zxid >= last || started, "D-MEM", || {
            let (says, has) = (show(zxid), show(last));
            format!("{server:?} votes for itself with {says}, its disk ends at {has}")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkers::testkit::{Bench, ONE, THREE, TWO, vote, z};
    use zebu_core::ids::{Epoch, Zxid};

    fn bench() -> Bench {
        let mut bench = Bench::new(3, vec![Box::new(Election::default())]);
        bench.save_epoch(ONE, "acceptedEpoch", 2).unwrap();
        bench.save_epoch(ONE, "currentEpoch", 2).unwrap();
        bench.log(ONE, &[z(2, 1)]).unwrap();
        bench.lead(ONE, 4);
        bench
    }
    fn acknowledged(bench: &mut Bench, current: u32, last: u64) -> Result<(), Violation> {
        let ack = QuorumPacket::AckEpoch { last: Zxid(last), current: Some(Epoch(current)) };
        bench.told(ONE, TWO, ack).unwrap();
        let zxid = Zxid::start_of(Epoch(4));
        bench.send(ONE, THREE, QuorumPacket::NewLeader { zxid, config: bytes::Bytes::new() })
    }

    #[test]
    fn a_leader_behind_a_follower_resigns() {
        acknowledged(&mut bench(), 2, z(2, 1)).unwrap();
        acknowledged(&mut bench(), 1, z(1, 9)).unwrap();
        assert_eq!(acknowledged(&mut bench(), 2, z(2, 2)).unwrap_err().property, "Z-ELEC");
        assert_eq!(acknowledged(&mut bench(), 3, z(2, 1)).unwrap_err().property, "Z-ELEC");
    }

    #[test]
    fn a_vote_says_what_the_disk_holds() {
        let mut bench = bench();
        bench.elect(ONE, vote(ONE, z(2, 1), 2)).unwrap();
        assert_eq!(bench.elect(ONE, vote(ONE, z(4, 0), 4)).unwrap_err().property, "Z-ELEC");
        assert_eq!(bench.elect(ONE, vote(ONE, z(1, 9), 2)).unwrap_err().property, "D-MEM");
        bench.elect(ONE, vote(TWO, z(9, 9), 9)).unwrap();
        bench.elect(ONE, vote(TWO, z(2, 1), 2)).unwrap();
        assert_eq!(bench.elect(ONE, vote(TWO, z(1, 9), 2)).unwrap_err().property, "Z-ELEC");
        assert_eq!(bench.elect(ONE, vote(TWO, z(2, 9), 1)).unwrap_err().property, "Z-ELEC");
    }
}
