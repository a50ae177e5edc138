//! Integrity, agreement, total order (Z-INT, Z-UNIQ, Z-AGR, and "delivered" of Z-QUOR): every
//! transaction has one creator, the leader of its epoch, and one content; all histories are parts of
//! one sequence; clients are shown nothing that is not committed, and a learner's tree has nothing of
//! its leader's epoch that is not.
//!
//! Permitted: a proposal of a dead leader that is committed later by another, or vanishes. A server
//! between terms may have uncommitted transactions in its tree, and a learner in synchronization the
//! history of a leader that is not established yet: nobody is shown them.
//!
//! Two contents for one zxid, and histories that contradict each other, are found while the facts
//! are gathered.

use std::collections::BTreeMap;

use zebu_core::ids::{LinkId, ServerId};
use zebu_core::proto::{ClientMessage, QuorumPacket};
use zebu_core::server::{Action, Event, PeerMessage};

use super::facts::Facts;
use super::facts::ledger::{counter, epoch, show};
use super::{Check, ensure};
use crate::history::{Observation, View, Violation};

#[derive(Debug, Default)]
pub struct TotalOrder {
    /// The epoch in which a learner acknowledged NEWLEADER, and over which link.
    terms: BTreeMap<ServerId, (LinkId, u32)>,
}

impl Check for TotalOrder {
    fn observe(
        &mut self,
        facts: &Facts,
        view: &View<'_>,
        what: &Observation<'_>,
    ) -> Result<(), Violation> {
        self.on_term(facts, view, what)?;
        for proposed in &facts.news.proposed {
            let zxid = proposed.txn.header.zxid.0;
            let leads = facts.server(proposed.by).leads;
            ensure(leads == Some(epoch(zxid)), "Z-INT", || {
                let by = proposed.by;
                format!("{} was first seen at {by:?}, which leads {leads:?}", show(zxid))
            })?;
        }
        if let Observation::Action { server, action: Action::Reply { conn, message } } = what
            && !facts.is_read_only(*server, *conn)
        {
            let shown = match message {
                ClientMessage::Reply { zxid, .. } | ClientMessage::Event { zxid, .. } => *zxid,
                ClientMessage::Connected(_)
                | ClientMessage::LoginRefused { .. }
                | ClientMessage::Text(_) => 0,
            };
            let Ok(shown) = u64::try_from(shown) else { return Ok(()) };
            let Some(place) = facts.ledger.resolve(shown) else { return Ok(()) };
            ensure(place == 0 || facts.ledger.is_committed(place), "Z-QUOR", || {
                let (shown, tip) = (show(shown), show(facts.ledger.tip()));
                format!("{server:?} shows a client {shown}, committed is {tip}")
            })?;
        }
        Ok(())
    }
}

impl TotalOrder {
    fn on_term(
        &mut self,
        facts: &Facts,
        view: &View<'_>,
        what: &Observation<'_>,
    ) -> Result<(), Violation> {
        match what {
            // Just before it is told: the state that the last event left.
            Observation::Event { server, event } => {
                let Some(&(link, e)) = self.terms.get(server) else { return Ok(()) };
                let here = view.servers.iter().find(|s| s.id == *server);
                let last = here.and_then(|s| s.database).map_or(0, |d| d.last_processed.0);
                let early =
                    epoch(last) == e && counter(last) > 0 && !facts.ledger.is_committed(last);
                if matches!(event, Event::LinkDown { link: down } if *down == link) {
                    self.terms.remove(server);
                }
                ensure(!early, "Z-QUOR", || {
                    let (last, tip) = (show(last), show(facts.ledger.tip()));
                    format!("{server:?} has delivered {last}, committed is {tip}")
                })
            }
            Observation::Action { server, action: Action::CloseLink { link, .. } } => {
                if self.terms.get(server).is_some_and(|(of, _)| of == link) {
                    self.terms.remove(server);
                }
                Ok(())
            }
            Observation::Action {
                server,
                action:
                    Action::Send { link, message: PeerMessage::Quorum(QuorumPacket::Ack { zxid }) },
            } if zxid.counter() == 0 => {
                self.terms.insert(*server, (*link, zxid.epoch().0));
                Ok(())
            }
            Observation::Started { server } | Observation::Stopped { server, .. } => {
                self.terms.remove(server);
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkers::testkit::{Bench, ONE, TWO, propose, z};
    use zebu_core::ids::Zxid;
    use zebu_core::proto::Response;
    use zebu_core::tree::Database;

    #[test]
    fn only_the_leader_of_an_epoch_makes_its_transactions() {
        let mut bench = Bench::new(3, vec![Box::new(TotalOrder::default())]);
        bench.lead(ONE, 1);
        bench.send(ONE, TWO, QuorumPacket::Proposal(propose(z(1, 1), "/a"))).unwrap();
        let stranger = bench.send(TWO, ONE, QuorumPacket::Proposal(propose(z(1, 2), "/b")));
        assert_eq!(stranger.unwrap_err().property, "Z-INT");
    }

    #[test]
    fn a_learner_delivers_what_is_committed() {
        let mut bench = Bench::new(3, vec![Box::new(TotalOrder::default())]);
        bench.lead(ONE, 1);
        bench.establish(ONE, TWO, 1);
        bench.send(ONE, TWO, QuorumPacket::Proposal(propose(z(1, 1), "/a"))).unwrap();
        bench.send(TWO, ONE, QuorumPacket::Ack { zxid: Zxid(z(1, 0)) }).unwrap();
        let early = Database { last_processed: Zxid(z(1, 1)), ..Database::default() };
        bench.databases[1] = Some(early);
        assert_eq!(bench.event(TWO, &Event::Wake).unwrap_err().property, "Z-QUOR");
        let why = zebu_core::server::CloseReason::TermOver;
        let link = LinkId(ONE.0 as u64);
        bench.action(TWO, &Action::CloseLink { link, why }).unwrap();
        bench.event(TWO, &Event::Wake).unwrap();
    }

    #[test]
    fn clients_are_shown_what_is_committed() {
        let mut bench = Bench::new(3, vec![Box::new(TotalOrder::default())]);
        bench.lead(ONE, 1);
        bench.establish(ONE, TWO, 1);
        bench.send(ONE, TWO, QuorumPacket::Proposal(propose(z(1, 1), "/a"))).unwrap();
        bench.reply(TWO, 9, z(1, 0), Ok(Response::Empty)).unwrap();
        let early = bench.reply(TWO, 9, z(1, 1), Ok(Response::Empty));
        assert_eq!(early.unwrap_err().property, "Z-QUOR");
        bench.send(ONE, TWO, QuorumPacket::Commit { zxid: Zxid(z(1, 1)) }).unwrap();
        bench.reply(TWO, 9, z(1, 1), Ok(Response::Empty)).unwrap();
    }
}
