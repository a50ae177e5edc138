//! What is vouched for survives a power loss (D-ACK), a history has no holes (D-HOLE), where it was cut
//! it ends, for a recovery too (D-MEM), and a snapshot is not seen before it is whole (D-SNAP).
//!
//! Before a server sends ACK of a proposal, an acknowledgement of an epoch or of NEWLEADER, or a
//! vote for itself, what that message vouches for would survive a power loss of that server, in the
//! worst case of files and names that are not synced. A log never skips a zxid inside an epoch, and
//! nothing is written where recovery would not find it.
//!
//! Permitted: a leader proposes before its own log is synced; a server whose sync failed says
//! nothing any more; a torn tail is cut off at recovery.

use std::collections::{BTreeMap, BTreeSet};

use zebu_core::ids::{LinkId, ServerId, Zxid};
use zebu_core::proto::{Notification, QuorumPacket};
use zebu_core::server::{Action, Event, PeerMessage, StoreOp};

use super::facts::Facts;
use super::facts::ledger::{counter, epoch, show};
use super::{Check, ensure};
use crate::history::{Observation, View, Violation};

#[derive(Debug, Default)]
pub struct Durability {
    links: BTreeMap<(ServerId, LinkId), Learning>,
    /// Servers whose recovered history was not looked at yet.
    recovered: BTreeSet<ServerId>,
    /// Where each server is having its history cut, and what it appends behind that meanwhile.
    cuts: BTreeMap<ServerId, (u64, BTreeSet<u64>)>,
}

/// What a learner was told on a link.
#[derive(Debug, Default)]
struct Learning {
    /// The epoch offered.
    epoch: u32,
    /// What the leader has said to be committed; up to NEWLEADER, the acknowledgement of that
    /// vouches for it.
    committed: u64,
    new_leader: bool,
}

impl Check for Durability {
    fn observe(
        &mut self,
        facts: &Facts,
        _view: &View<'_>,
        what: &Observation<'_>,
    ) -> Result<(), Violation> {
        match what {
            Observation::Started { server } => {
                self.links.retain(|(at, _), _| at != server);
                self.recovered.insert(*server);
                self.cuts.remove(server);
                Ok(())
            }
            Observation::Action {
                server,
                action: Action::Store { op: StoreOp::Truncate { after }, .. },
            } => {
                self.cuts.insert(*server, (after.0, BTreeSet::new()));
                Ok(())
            }
            Observation::Action {
                server,
                action: Action::Store { op: StoreOp::Append(entries), .. },
            } => {
                if let Some((_, appended)) = self.cuts.get_mut(server) {
                    appended.extend(entries.iter().map(|entry| entry.zxid().0));
                }
                Ok(())
            }
            Observation::Event { server, event: Event::Truncated { .. } } => {
                let Some((after, appended)) = self.cuts.remove(server) else { return Ok(()) };
                ends_behind(facts, *server, after, &appended)
            }
            Observation::Disk { server, .. } => {
                let unfinished = facts.server(*server).disk.unfinished_snapshot();
                ensure(unfinished.is_none(), "D-SNAP", || {
                    let zxid = unfinished.map(show);
                    format!("{server:?} shows snapshot {zxid:?} before its content is synced")
                })?;
                no_holes(facts, *server)
            }
            Observation::Event {
                server,
                event: Event::Peer { link, message: PeerMessage::Quorum(packet) },
            } => {
                self.on_told(*server, *link, packet);
                Ok(())
            }
            Observation::Action { server, action: Action::Send { link, message } } => {
                if self.recovered.remove(server) {
                    recovered_whole(facts, *server)?;
                }
                match message {
                    PeerMessage::Quorum(packet) => self.on_sent(facts, *server, *link, packet),
                    PeerMessage::Election(vote) => on_vote(facts, *server, vote),
                    PeerMessage::Snapshot(_) => Ok(()),
                }
            }
            _ => Ok(()),
        }
    }
}

impl Durability {
    fn on_told(&mut self, server: ServerId, link: LinkId, packet: &QuorumPacket) {
        let learning = self.links.entry((server, link)).or_default();
        match packet {
            QuorumPacket::LeaderInfo { epoch, .. } => learning.epoch = epoch.0,
            QuorumPacket::NewLeader { .. } => learning.new_leader = true,
            QuorumPacket::Snap { zxid }
            | QuorumPacket::Trunc { zxid }
            | QuorumPacket::Commit { zxid }
            | QuorumPacket::CommitAndActivate { zxid, .. }
                if !learning.new_leader =>
            {
                learning.committed = learning.committed.max(zxid.0);
            }
            QuorumPacket::Inform(entry) | QuorumPacket::InformAndActivate { entry, .. }
                if !learning.new_leader =>
            {
                learning.committed = learning.committed.max(entry.zxid().0);
            }
            _ => {}
        }
    }

    fn on_sent(
        &self,
        facts: &Facts,
        server: ServerId,
        link: LinkId,
        packet: &QuorumPacket,
    ) -> Result<(), Violation> {
        // Nobody counts on an observer.
        if facts.info.forgetful_observers && !facts.votes_at(server, server) {
            return Ok(());
        }
        let disk = &facts.server(server).disk;
        match packet {
            QuorumPacket::Ack { zxid } if zxid.counter() > 0 => {
                vouches(facts, server, zxid.0, "ACK")
            }
            QuorumPacket::Ack { zxid } => {
                let current = disk.safe_epochs().1;
                ensure(current == Some(zxid.epoch().0), "D-ACK", || {
                    format!(
                        "{server:?} acknowledges NEWLEADER {zxid}, its durable currentEpoch is {current:?}"
                    )
                })?;
                ensure(!disk.may_come_back(), "D-ACK", || {
                    format!(
                        "{server:?} acknowledges NEWLEADER {zxid} before its truncation is durable"
                    )
                })?;
                let committed = self.links.get(&(server, link)).map_or(0, |told| told.committed);
                vouches(facts, server, committed, "ACK of NEWLEADER")
            }
            QuorumPacket::AckEpoch { last, current } => {
                let offered = self.links.get(&(server, link)).map_or(0, |told| told.epoch);
                let accepted = disk.safe_epochs().0.unwrap_or(0);
                ensure(accepted >= offered || current.is_none(), "D-ACK", || {
                    format!(
                        "{server:?} acknowledges epoch {offered}, its durable acceptedEpoch is {accepted}"
                    )
                })?;
                vouches(facts, server, last.0, "ACKEPOCH")
            }
            _ => Ok(()),
        }
    }
}

fn on_vote(facts: &Facts, server: ServerId, vote: &Notification) -> Result<(), Violation> {
    if !facts.news.new_round || vote.leader != server {
        return Ok(());
    }
    let current = facts.server(server).disk.safe_epochs().1.unwrap_or(0);
    ensure(vote.peer_epoch <= i64::from(current), "D-ACK", || {
        let epoch = vote.peer_epoch;
        format!("{server:?} votes with epoch {epoch}, its durable currentEpoch is {current}")
    })?;
    // The start of an epoch has no transaction; see `election` for who may name it.
    if vote.zxid.counter() == 0 { Ok(()) } else { vouches(facts, server, vote.zxid.0, "vote") }
}

fn vouches(facts: &Facts, server: ServerId, zxid: u64, how: &str) -> Result<(), Violation> {
    let known = facts.server(server);
    let place = facts.ledger.resolve(zxid).unwrap_or(zxid);
    ensure(place == 0 || facts.has_durable(known, place), "D-ACK", || {
        let (zxid, durable) = (show(zxid), show(known.disk.durable()));
        format!("{how} of {server:?} vouches for {zxid}, durable is {durable}")
    })
}

fn no_holes(facts: &Facts, server: ServerId) -> Result<(), Violation> {
    for record in &facts.news.logged {
        let (zxid, before) = (record.zxid, record.before);
        ensure(Zxid(zxid).follows(Zxid(before)), "D-HOLE", || {
            format!("{server:?} logs {} behind {}", show(zxid), show(before))
        })?;
    }
    let stray = facts.server(server).disk.stray();
    ensure(stray.is_none(), "D-HOLE", || {
        let zxid = stray.map(show);
        format!("{server:?} writes {zxid:?} behind a gap in its log file")
    })
}

/// What was cut is gone from the log, and no snapshot brings it back.
fn ends_behind(
    facts: &Facts,
    server: ServerId,
    after: u64,
    appended: &BTreeSet<u64>,
) -> Result<(), Violation> {
    let last = facts.server(server).disk.last();
    ensure(last <= after || appended.contains(&last), "D-MEM", || {
        let (last, after) = (show(last), show(after));
        format!("{server:?} cut its history behind {after}, its disk goes on to {last}")
    })
}

/// What a server found on its disk, and acts on now: contiguous from its newest snapshot on, and
/// nothing that nobody ever proposed.
fn recovered_whole(facts: &Facts, server: ServerId) -> Result<(), Violation> {
    let disk = &facts.server(server).disk;
    let mut end = disk.newest_snapshot();
    for zxid in disk.zxids() {
        ensure(facts.ledger.get(zxid).is_some(), "Z-INT", || {
            format!("{server:?} recovered {}, which nobody proposed", show(zxid))
        })?;
        if zxid <= end {
            continue;
        }
        let next_epoch = epoch(zxid) > epoch(end) && counter(zxid) == 1;
        let follows = Zxid(zxid).follows(Zxid(end))
            && (!next_epoch || facts.ledger.contains(zxid, end) != Some(false));
        ensure(follows, "D-HOLE", || {
            format!("{server:?} recovered {} behind {}", show(zxid), show(end))
        })?;
        end = zxid;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkers::facts::disk::tests::log;
    use crate::checkers::testkit::{Bench, ONE, TWO, vote, z};
    use zebu_core::ids::Epoch;
    use zebu_core::server::{Epochs, Recovered, Ticket};
    use zebu_core::storage::{Dir, DiskOp};
    use zebu_core::tree::Database;

    fn bench() -> Bench {
        let mut bench = Bench::new(3, vec![Box::new(Durability::default())]);
        bench.lead(ONE, 1);
        bench.save_epoch(TWO, "acceptedEpoch", 1).unwrap();
        bench
    }
    fn ack(zxid: u64) -> QuorumPacket {
        QuorumPacket::Ack { zxid: Zxid(zxid) }
    }

    #[test]
    fn a_proposal_is_acknowledged_when_its_file_and_name_are_safe() {
        let mut bench = bench();
        bench.append(TWO, &[z(1, 1)]).unwrap();
        assert_eq!(bench.send(TWO, ONE, ack(z(1, 1))).unwrap_err().property, "D-ACK");
        bench.perform(TWO, &DiskOp::Sync(log("log.1"))).unwrap();
        assert_eq!(bench.send(TWO, ONE, ack(z(1, 1))).unwrap_err().property, "D-ACK");
        bench.perform(TWO, &DiskOp::SyncDir(Dir::Log)).unwrap();
        bench.send(TWO, ONE, ack(z(1, 1))).unwrap();
        assert_eq!(bench.send(TWO, ONE, ack(z(1, 2))).unwrap_err().property, "D-ACK");
    }

    #[test]
    fn an_epoch_and_what_was_committed_in_it() {
        let mut bench = bench();
        let offer = |epoch| QuorumPacket::LeaderInfo { epoch: Epoch(epoch), protocol_version: 0 };
        let accept = || QuorumPacket::AckEpoch { last: Zxid(0), current: Some(Epoch(0)) };
        bench.told(TWO, ONE, offer(1)).unwrap();
        bench.send(TWO, ONE, accept()).unwrap();
        bench.told(TWO, ONE, QuorumPacket::Commit { zxid: Zxid(z(1, 1)) }).unwrap();
        assert_eq!(bench.send(TWO, ONE, ack(z(1, 0))).unwrap_err().property, "D-ACK");
        bench.save_epoch(TWO, "currentEpoch", 1).unwrap();
        assert_eq!(bench.send(TWO, ONE, ack(z(1, 0))).unwrap_err().property, "D-ACK");
        bench.log(TWO, &[z(1, 1)]).unwrap();
        bench.send(TWO, ONE, ack(z(1, 0))).unwrap();
        bench.perform(TWO, &DiskOp::SetLen { file: log("log.1"), len: 16 }).unwrap();
        bench.log(TWO, &[]).unwrap_or(());
        bench.told(TWO, ONE, offer(2)).unwrap();
        assert_eq!(bench.send(TWO, ONE, accept()).unwrap_err().property, "D-ACK");
    }

    #[test]
    fn a_cut_is_durable_before_it_is_vouched_for() {
        let mut bench = bench();
        bench.save_epoch(TWO, "currentEpoch", 1).unwrap();
        bench.log(TWO, &[z(1, 1)]).unwrap();
        bench.perform(TWO, &DiskOp::SetLen { file: log("log.1"), len: 16 }).unwrap();
        assert_eq!(bench.send(TWO, ONE, ack(z(1, 0))).unwrap_err().property, "D-ACK");
        bench.perform(TWO, &DiskOp::Sync(log("log.1"))).unwrap();
        bench.send(TWO, ONE, ack(z(1, 0))).unwrap();
    }

    #[test]
    fn a_cut_history_ends_there() {
        let cut = |bench: &mut Bench, after| {
            let op = StoreOp::Truncate { after: Zxid(after) };
            bench.action(TWO, &Action::Store { ticket: Ticket(1), op }).unwrap();
            let recovered = Box::new(Recovered {
                database: Database::new(),
                epochs: Epochs { accepted: Epoch(1), current: Epoch(1) },
                ..Recovered::default()
            });
            bench.event(TWO, &Event::Truncated { ticket: Ticket(1), recovered })
        };
        let mut bench = bench();
        bench.log(TWO, &[z(1, 1), z(1, 2)]).unwrap();
        cut(&mut bench, z(1, 2)).unwrap();
        assert_eq!(cut(&mut bench, z(1, 1)).unwrap_err().property, "D-MEM");
    }

    #[test]
    fn a_vote_is_durable() {
        let mut bench = bench();
        bench.append(TWO, &[z(1, 1)]).unwrap();
        bench.elect(TWO, vote(TWO, 0, 0)).unwrap();
        assert_eq!(bench.elect(TWO, vote(TWO, z(1, 1), 0)).unwrap_err().property, "D-ACK");
        assert_eq!(bench.elect(TWO, vote(TWO, 0, 1)).unwrap_err().property, "D-ACK");
        bench.elect(TWO, vote(ONE, z(9, 1), 9)).unwrap();
    }

    #[test]
    fn no_record_is_skipped_or_written_behind_a_gap() {
        let mut bench = bench();
        bench.log(TWO, &[z(1, 1), z(1, 2)]).unwrap();
        assert_eq!(bench.append(TWO, &[z(1, 4)]).unwrap_err().property, "D-HOLE");
        let mut bench = self::bench();
        bench.log(TWO, &[z(1, 1)]).unwrap();
        let bytes = crate::checkers::facts::disk::tests::records(&[z(1, 2)], false);
        let op = DiskOp::Write { file: log("log.1"), offset: 4000, bytes };
        assert_eq!(bench.perform(TWO, &op).unwrap_err().property, "D-HOLE");
    }
}
