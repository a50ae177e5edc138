//! Resource bounds (R-INPUT, R-WATCH): no transaction is larger than what every server reads back, and
//! a closeSession no larger than a frame, for upstream's servers read no more. When everything is
//! quiet, connections that are gone have left no watches behind.
//!
//! Permitted: a transaction that is larger than its request by what preparing adds to it; watches of a
//! client that went elsewhere while its server has not been told, and has not waited long enough.

use std::collections::BTreeSet;

use zebu_core::ids::{ConnId, ServerId};
use zebu_core::server::{Action, Event};
use zebu_core::txn::TxnBody;

use super::facts::Facts;
use super::facts::ledger::show;
use super::{Check, ensure};
use crate::history::{Observation, View, Violation};

#[derive(Debug, Default)]
pub struct Bounds {
    /// The connections that each server was told of, and not yet that they are gone.
    open: BTreeSet<(ServerId, ConnId)>,
}

impl Check for Bounds {
    fn observe(
        &mut self,
        facts: &Facts,
        _view: &View<'_>,
        what: &Observation<'_>,
    ) -> Result<(), Violation> {
        match *what {
            Observation::Event { server, event: &Event::ConnOpen { conn, .. } } => {
                self.open.insert((server, conn));
            }
            Observation::Event { server, event: &Event::ConnGone { conn } }
            | Observation::Action { server, action: &Action::CloseConn { conn, .. } } => {
                self.open.remove(&(server, conn));
            }
            Observation::Started { server } => self.open.retain(|(there, _)| *there != server),
            _ => {}
        }
        let frame_max = facts.info.frame_max;
        for proposed in &facts.news.proposed {
            let max = match &proposed.txn.body {
                TxnBody::CloseSession { .. } => frame_max,
                _ => 2 * frame_max,
            };
            let bytes = proposed.payload.len();
            ensure(bytes <= max, "R-INPUT", || {
                let zxid = show(proposed.txn.header.zxid.0);
                format!("{zxid} takes {bytes} bytes, servers read up to {max}")
            })?;
        }
        Ok(())
    }

    fn finish(&mut self, _facts: &Facts, view: &View<'_>) -> Result<(), Violation> {
        for server in view.servers {
            let Some(watching) = server.watching else { continue };
            let here = self.open.iter().filter(|(there, _)| *there == server.id).count();
            ensure(watching <= here, "R-WATCH", || {
                format!("{:?} has watches of {watching} connections, {here} are there", server.id)
            })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkers::testkit::{Bench, ONE, SESSION, TWO, info, z};
    use crate::scenario::ScenarioInfo;

    fn bench() -> Bench {
        let info = ScenarioInfo { frame_max: 200, ..info(3) };
        let mut bench = Bench::with(info, vec![Box::new(Bounds::default())]);
        bench.lead(ONE, 1);
        bench.establish(ONE, TWO, 1);
        bench
    }

    #[test]
    fn a_close_fits_in_a_frame_and_everything_in_a_record() {
        let close = |many| TxnBody::CloseSession { paths: Some(vec!["/0123456789".into(); many]) };
        let mut bench = bench();
        bench.commit(z(1, 1), SESSION, 0, close(8)).unwrap();
        let long = bench.commit(z(1, 2), SESSION, 0, close(12));
        assert_eq!(long.unwrap_err().property, "R-INPUT");
        let delete = |len| TxnBody::Delete { path: "/".repeat(len) };
        bench.commit(z(1, 3), SESSION, 0, delete(300)).unwrap();
        let long = bench.commit(z(1, 4), SESSION, 0, delete(400));
        assert_eq!(long.unwrap_err().property, "R-INPUT");
    }

    #[test]
    fn watches_go_with_their_connections() {
        let mut bench = bench();
        let open = Event::ConnOpen { conn: ConnId(1), ip: "10.0.0.4".into(), port: 9 };
        bench.see(&Observation::Event { server: ONE, event: &open }).unwrap();
        bench.watching = vec![1, 0, 0];
        bench.finish().unwrap();
        bench.watching = vec![1, 1, 0];
        assert_eq!(bench.finish().unwrap_err().property, "R-WATCH");
        bench.watching = vec![1, 0, 0];
        let gone = Event::ConnGone { conn: ConnId(1) };
        bench.see(&Observation::Event { server: ONE, event: &gone }).unwrap();
        assert_eq!(bench.finish().unwrap_err().property, "R-WATCH");
    }
}
