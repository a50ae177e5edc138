//! The right server leads (Z-ELEC): a server that asks for an epoch gives up when an epoch
//! acknowledgement shows a newer history, by (currentEpoch, last zxid), than its own; what a server
//! says for itself in an election is what its disk holds; and nobody votes for less than that, so
//! that whoever has a quorum's votes is behind none of them. Who says that it leads has the votes of
//! a quorum, or was named by a reconfiguration, and who offers an epoch has the reports of one; by every
//! configuration that its history leaves in force.
//!
//! Permitted: an election that decides by votes which were true a moment ago; the acknowledgements
//! of discovery are there for that. Whether a vote is *durable* is judged in
//! [`durability`](super::durability).

use std::collections::{BTreeMap, BTreeSet};

use zebu_core::ids::{LinkId, ServerId};
use zebu_core::proto::{Notification, PeerState, QuorumPacket};
use zebu_core::server::{Action, Event, PeerMessage};

use super::facts::Facts;
use super::facts::ledger::{epoch, show};
use super::{Check, ensure};
use crate::history::{Observation, View, Violation};
use crate::model::membership::votes;

/// No vote at all.
const NOBODY: ServerId = ServerId(i64::MIN);

#[derive(Debug, Default)]
pub struct Election {
    /// Leaders that must not synchronize anybody in this epoch of theirs.
    must_resign: BTreeSet<(ServerId, u32)>,
    /// Leaders past discovery in this epoch.
    past_discovery: BTreeSet<(ServerId, u32)>,
    /// Servers that took part in an epoch, in this life: they may report its start as a zxid.
    entered: BTreeSet<(ServerId, u32)>,
    /// Who ever gave which vote: leader, zxid, epoch, round; and who said to follow whom in which
    /// epoch. A leader that comes back while it is still followed leads again: followers of one leader
    /// can be so since different rounds.
    votes: BTreeMap<(ServerId, u64, i64, i64), BTreeSet<ServerId>>,
    followers: BTreeMap<(ServerId, i64), BTreeSet<ServerId>>,
    /// Who came to a server on which link, in its present term or before it; and whether it is gone.
    reports: BTreeMap<ServerId, BTreeMap<LinkId, Report>>,
    /// Whom a reconfiguration made the leader, until they look for another.
    designated: BTreeSet<ServerId>,
    /// Epochs that a server offered, in which life.
    offered: BTreeSet<(ServerId, u32, u32)>,
}

#[derive(Debug)]
struct Report {
    follower: ServerId,
    gone: bool,
}

impl Check for Election {
    fn observe(
        &mut self,
        facts: &Facts,
        _view: &View<'_>,
        what: &Observation<'_>,
    ) -> Result<(), Violation> {
        match what {
            Observation::Started { server } => {
                self.entered.retain(|(at, _)| at != server);
                self.reports.remove(server);
                self.designated.remove(server);
            }
            Observation::Event { server, event: Event::LinkDown { link } }
            | Observation::Action { server, action: Action::CloseLink { link, .. } } => {
                let report = self.reports.get_mut(server).and_then(|links| links.get_mut(link));
                if let Some(report) = report {
                    report.gone = true;
                }
            }
            Observation::Event {
                server,
                event:
                    Event::Peer {
                        link,
                        message:
                            PeerMessage::Quorum(
                                QuorumPacket::FollowerInfo { info, .. }
                                | QuorumPacket::ObserverInfo { info, .. },
                            ),
                    },
            } => {
                let report = Report { follower: info.id, gone: false };
                self.reports.entry(*server).or_default().insert(*link, report);
            }
            Observation::Event {
                server,
                event:
                    Event::Peer {
                        message: PeerMessage::Quorum(QuorumPacket::CommitAndActivate { leader, .. }),
                        ..
                    },
            } if leader == server => {
                self.designated.insert(*server);
            }
            Observation::Event {
                server,
                event: Event::Peer { link, message: PeerMessage::Quorum(packet) },
            } => {
                // Who comes as an observer has a say if it is proposed as a voter.
                let report = self.reports.get(server).and_then(|links| links.get(link));
                let has_say =
                    report.is_some_and(|report| facts.has_say_at(*server, report.follower));
                if let (QuorumPacket::AckEpoch { last, current: Some(current) }, true) =
                    (packet, has_say)
                {
                    self.on_ack_epoch(facts, *server, (current.0, last.0));
                }
            }
            Observation::Action { server, action: Action::Send { link, message } } => match message
            {
                PeerMessage::Quorum(QuorumPacket::NewLeader { zxid, .. }) => {
                    self.on_synchronization(*server, zxid.epoch().0)?;
                }
                PeerMessage::Quorum(QuorumPacket::Ack { zxid }) if zxid.counter() == 0 => {
                    self.entered.insert((*server, zxid.epoch().0));
                }
                PeerMessage::Quorum(QuorumPacket::UpToDate) => {
                    let leads = facts.server(*server).leads;
                    self.entered.extend(leads.map(|epoch| (*server, epoch)));
                }
                PeerMessage::Quorum(QuorumPacket::LeaderInfo { epoch, .. })
                    if !facts.is_of_master(*server, *link) =>
                {
                    self.on_offer(facts, *server, epoch.0)?;
                }
                PeerMessage::Election(vote) => {
                    self.has_votes(facts, *server, vote)?;
                    // Who has no vote names nobody at first, and then anybody. It may have been told of any
                    // reconfiguration that its history lacks.
                    let last = facts.server(*server).disk.last();
                    let has_vote = facts.votes_at(*server, *server)
                        && facts
                            .configurations
                            .behind(last)
                            .all(|told| votes(&told.groups, *server));
                    if has_vote && vote.leader != NOBODY {
                        self.on_vote(facts, *server, vote)?;
                    }
                }
                PeerMessage::Quorum(_) | PeerMessage::Snapshot(_) => {}
            },
            // What somebody lacks is looked for.
            Observation::Action { server, action: Action::ReadLog { .. } } => {
                if let Some(epoch) = facts.server(*server).leads {
                    self.on_synchronization(*server, epoch)?;
                }
            }
            _ => {}
        }
        Ok(())
    }
}

impl Election {
    /// A leader brings somebody to its history: discovery is over.
    fn on_synchronization(&mut self, server: ServerId, epoch: u32) -> Result<(), Violation> {
        self.past_discovery.insert((server, epoch));
        ensure(!self.must_resign.contains(&(server, epoch)), "Z-ELEC", || {
            format!("{server:?} leads epoch {epoch} though a follower has a newer history")
        })
    }

    fn on_ack_epoch(&mut self, facts: &Facts, leader: ServerId, theirs: (u32, u64)) {
        let known = facts.server(leader);
        let Some(epoch) = known.leads else { return };
        let ours = (known.disk.epochs().1.unwrap_or(0), known.disk.last());
        if theirs > ours && !self.past_discovery.contains(&(leader, epoch)) {
            self.must_resign.insert((leader, epoch));
        }
    }

    /// Whoever leads was elected by a quorum of those who have a vote.
    fn has_votes(
        &mut self,
        facts: &Facts,
        server: ServerId,
        vote: &Notification,
    ) -> Result<(), Violation> {
        let key = (vote.leader, vote.zxid.0, vote.peer_epoch, vote.round);
        match vote.state {
            PeerState::Looking => {
                self.designated.remove(&server);
                if facts.news.new_round
                    && let Some(reports) = self.reports.get_mut(&server)
                {
                    reports.retain(|_, report| !report.gone);
                }
                self.votes.entry(key).or_default().insert(server);
            }
            PeerState::Following => {
                let followers = self.followers.entry((vote.leader, vote.peer_epoch));
                followers.or_default().insert(server);
            }
            // Without an election.
            PeerState::Leading if self.designated.contains(&server) => {}
            // Once it offers an epoch, that is looked at instead.
            PeerState::Leading if facts.server(server).leads.is_none() => {
                let none = BTreeSet::new();
                let voted = self.votes.get(&key).unwrap_or(&none);
                let followed = self.followers.get(&(server, vote.peer_epoch)).unwrap_or(&none);
                let agree = |id| id == server || voted.contains(&id) || followed.contains(&id);
                return ensure(facts.decide_at(server, agree), "Z-ELEC", || {
                    format!("{server:?} leads in round {}; for it were {voted:?}", vote.round)
                });
            }
            PeerState::Leading | PeerState::Observing => {}
        }
        Ok(())
    }

    /// The first time: a quorum has said what it accepted before.
    fn on_offer(&mut self, facts: &Facts, server: ServerId, epoch: u32) -> Result<(), Violation> {
        let life = facts.server(server).incarnation;
        if !self.offered.insert((server, life, epoch)) {
            return Ok(());
        }
        let reports = self.reports.get(&server).into_iter().flat_map(|links| links.values());
        let reported: BTreeSet<ServerId> = reports.map(|report| report.follower).collect();
        let agree = |id| id == server || reported.contains(&id);
        ensure(facts.decide_at(server, agree), "Z-ELEC", || {
            format!("{server:?} offers epoch {epoch}; it heard of {reported:?} only")
        })
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
            // Among equals, one that can lead is to be preferred to oneself, and one whom all know while
            // others are only proposed; and when they no longer are is not known to all at once.
            let is_equal = facts.info.first.is_none() && facts.has_say_at(server, server);
            let id = if is_equal { server } else { NOBODY };
            let own = (i64::from(known.disk.epochs().1.unwrap_or(0)), last, id);
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
    use crate::checkers::testkit::{
        Bench, ONE, SESSION, THREE, TWO, change, dynamic, info, vote, z,
    };
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

    fn leading(server: ServerId) -> Notification {
        Notification { state: PeerState::Leading, ..vote(server, z(1, 1), 1) }
    }
    fn says(bench: &mut Bench, server: ServerId, vote: Notification) -> Result<(), Violation> {
        let message = PeerMessage::Election(vote);
        bench.action(server, &Action::Send { link: LinkId(99), message })
    }

    #[test]
    fn who_leads_was_elected() {
        let mut bench = Bench::new(3, vec![Box::new(Election::default())]);
        bench.log(ONE, &[z(1, 1)]).unwrap();
        says(&mut bench, ONE, vote(ONE, z(1, 1), 1)).unwrap();
        assert_eq!(says(&mut bench, ONE, leading(ONE)).unwrap_err().property, "Z-ELEC");
        says(&mut bench, TWO, vote(ONE, z(1, 1), 1)).unwrap();
        says(&mut bench, ONE, leading(ONE)).unwrap();
        // It comes back to who follows it still, since whatever round.
        let mut bench = Bench::new(3, vec![Box::new(Election::default())]);
        bench.log(ONE, &[z(1, 1)]).unwrap();
        let following = |round, epoch| Notification {
            state: PeerState::Following,
            round,
            ..vote(ONE, z(1, 1), epoch)
        };
        says(&mut bench, TWO, following(6, 2)).unwrap();
        assert_eq!(says(&mut bench, ONE, leading(ONE)).unwrap_err().property, "Z-ELEC");
        says(&mut bench, TWO, following(6, 1)).unwrap();
        says(&mut bench, ONE, leading(ONE)).unwrap();
        // Two of one group are a quorum of three servers, and of no two groups.
        let groups = [&[ONE, TWO][..], &[THREE]];
        let weighted = |ids: &&[ServerId]| ids.iter().map(|id| (*id, 1)).collect();
        let groups = groups.iter().map(weighted).collect();
        let info = crate::scenario::ScenarioInfo { groups, ..info(3) };
        let mut bench = Bench::with(info, vec![Box::new(Election::default())]);
        bench.log(ONE, &[z(1, 1)]).unwrap();
        for server in [ONE, TWO] {
            says(&mut bench, server, vote(ONE, z(1, 1), 1)).unwrap();
        }
        assert_eq!(says(&mut bench, ONE, leading(ONE)).unwrap_err().property, "Z-ELEC");
        says(&mut bench, THREE, vote(ONE, z(1, 1), 1)).unwrap();
        says(&mut bench, ONE, leading(ONE)).unwrap();
    }

    #[test]
    fn who_is_named_by_a_reconfiguration_needs_no_votes() {
        let mut bench = Bench::new(3, vec![Box::new(Election::default())]);
        bench.log(TWO, &[z(1, 1)]).unwrap();
        let named = |leader| QuorumPacket::CommitAndActivate { zxid: Zxid(z(1, 1)), leader };
        bench.told(TWO, ONE, named(THREE)).unwrap();
        assert_eq!(says(&mut bench, TWO, leading(TWO)).unwrap_err().property, "Z-ELEC");
        bench.told(TWO, ONE, named(TWO)).unwrap();
        says(&mut bench, TWO, leading(TWO)).unwrap();
    }

    #[test]
    fn who_offers_an_epoch_has_heard_of_a_quorum() {
        let mut bench = Bench::new(3, vec![Box::new(Election::default())]);
        let offer = || QuorumPacket::LeaderInfo { epoch: Epoch(3), protocol_version: 0 };
        assert_eq!(bench.send(ONE, TWO, offer()).unwrap_err().property, "Z-ELEC");
        let mut bench = Bench::new(3, vec![Box::new(Election::default())]);
        let info =
            zebu_core::proto::LearnerInfo { id: TWO, protocol_version: 0, config_version: 0 };
        let report = QuorumPacket::FollowerInfo { accepted: Epoch(2), info };
        bench.told(ONE, TWO, report).unwrap();
        bench.event(ONE, &Event::LinkDown { link: LinkId(2) }).unwrap();
        bench.send(ONE, THREE, offer()).unwrap();
    }

    #[test]
    fn whose_vote_was_taken_votes_for_anybody() {
        let mut bench = Bench::with(dynamic(3, 3), vec![Box::new(Election::default())]);
        bench.save_epoch(THREE, "currentEpoch", 1).unwrap();
        bench.log(THREE, &[z(1, 1)]).unwrap();
        bench.lead(ONE, 1);
        bench.establish(ONE, TWO, 1);
        let less = || vote(TWO, z(1, 0), 1);
        assert_eq!(bench.elect(THREE, less()).unwrap_err().property, "Z-ELEC");
        bench.commit(z(1, 2), SESSION, 0, change(&[1, 2], z(1, 2))).unwrap();
        bench.elect(THREE, less()).unwrap();
        // It may have heard of the first one only.
        bench.commit(z(1, 3), SESSION, 1, change(&[1, 2, 3], z(1, 3))).unwrap();
        bench.elect(THREE, less()).unwrap();
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
