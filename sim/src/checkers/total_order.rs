//! Integrity, agreement, total order (Z-INT, Z-UNIQ, Z-AGR, and "delivered" of Z-QUOR): every
//! transaction has one creator, the leader of its epoch, and one content; all histories are parts of
//! one sequence; clients are shown nothing that is not committed.
//!
//! Permitted: a proposal of a dead leader that is committed later by another, or vanishes. A server
//! between terms may have uncommitted transactions in its tree: nobody is shown them.
//!
//! Two contents for one zxid, and histories that contradict each other, are found while the facts
//! are gathered.

use zebu_core::proto::ClientMessage;
use zebu_core::server::Action;

use super::facts::Facts;
use super::facts::ledger::{epoch, show};
use super::{Check, ensure};
use crate::history::{Observation, View, Violation};

#[derive(Debug, Default)]
pub struct TotalOrder;

impl Check for TotalOrder {
    fn observe(
        &mut self,
        facts: &Facts,
        _view: &View<'_>,
        what: &Observation<'_>,
    ) -> Result<(), Violation> {
        for proposed in &facts.news.proposed {
            let zxid = proposed.txn.header.zxid.0;
            let leads = facts.server(proposed.by).leads;
            ensure(leads == Some(epoch(zxid)), "Z-INT", || {
                let by = proposed.by;
                format!("{} was first seen at {by:?}, which leads {leads:?}", show(zxid))
            })?;
        }
        if let Observation::Action { server, action: Action::Reply { message, .. } } = what {
            let shown = match message {
                ClientMessage::Reply { zxid, .. } | ClientMessage::Event { zxid, .. } => *zxid,
                ClientMessage::Connected(_) | ClientMessage::Text(_) => 0,
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkers::testkit::{Bench, ONE, TWO, propose, z};
    use zebu_core::proto::{QuorumPacket, Response};

    #[test]
    fn only_the_leader_of_an_epoch_makes_its_transactions() {
        let mut bench = Bench::new(3, vec![Box::new(TotalOrder)]);
        bench.lead(ONE, 1);
        bench.send(ONE, TWO, QuorumPacket::Proposal(propose(z(1, 1), "/a"))).unwrap();
        let stranger = bench.send(TWO, ONE, QuorumPacket::Proposal(propose(z(1, 2), "/b")));
        assert_eq!(stranger.unwrap_err().property, "Z-INT");
    }

    #[test]
    fn clients_are_shown_what_is_committed() {
        let mut bench = Bench::new(3, vec![Box::new(TotalOrder)]);
        bench.lead(ONE, 1);
        bench.establish(ONE, TWO, 1);
        bench.send(ONE, TWO, QuorumPacket::Proposal(propose(z(1, 1), "/a"))).unwrap();
        bench.reply(TWO, 9, z(1, 0), Ok(Response::Empty)).unwrap();
        let early = bench.reply(TWO, 9, z(1, 1), Ok(Response::Empty));
        assert_eq!(early.unwrap_err().property, "Z-QUOR");
        bench.send(ONE, TWO, QuorumPacket::Commit { zxid: zebu_core::ids::Zxid(z(1, 1)) }).unwrap();
        bench.reply(TWO, 9, z(1, 1), Ok(Response::Empty)).unwrap();
    }
}
