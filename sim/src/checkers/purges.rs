//! A purge leaves what it takes to do without the newest snapshot (D-PURGE).
//!
//! Files that could rebuild the newest state without the newest snapshot (it may rot, or never have
//! been whole) can still do so after one of them is removed.
//!
//! Permitted: a server that never could, or whose history is being cut or replaced by a snapshot
//! from its leader, which leaves that snapshot alone.

use std::collections::BTreeMap;

use zebu_core::ids::ServerId;
use zebu_core::server::{Action, Event, StoreOp, Ticket};
use zebu_core::storage::DiskOp;

use super::facts::Facts;
use super::facts::ledger::show;
use super::{Check, ensure};
use crate::history::{Observation, View, Violation};

#[derive(Debug, Default)]
pub struct Purges {
    /// Whether a server's files would do without the newest snapshot, as of the last change to them in
    /// this life of it, its recovery included.
    would_do: BTreeMap<ServerId, bool>,
    /// Servers whose history is being cut or replaced.
    replaced: BTreeMap<ServerId, Ticket>,
}

impl Check for Purges {
    fn observe(
        &mut self,
        facts: &Facts,
        _view: &View<'_>,
        what: &Observation<'_>,
    ) -> Result<(), Violation> {
        match what {
            Observation::Started { server } => self.look(facts, *server),
            Observation::Stopped { server, .. } => {
                self.would_do.remove(server);
                self.replaced.remove(server);
            }
            Observation::Action {
                server,
                action: Action::Store { ticket, op: StoreOp::Truncate { .. } | StoreOp::Install(_) },
            } => {
                self.replaced.insert(*server, *ticket);
            }
            Observation::Event {
                server,
                event: Event::Durable { upto: ticket } | Event::Truncated { ticket, .. },
            } if self.replaced.get(server).is_some_and(|replaced| replaced <= ticket) => {
                self.replaced.remove(server);
                self.look(facts, *server);
            }
            // What is appended goes on where the files led before.
            Observation::Disk { op: DiskOp::Write { .. } | DiskOp::Sync(_), .. } => {}
            Observation::Disk { server, op, .. } => {
                let before = self.would_do.get(server) == Some(&true);
                self.look(facts, *server);
                let is_judged = matches!(op, DiskOp::Remove(_))
                    && before
                    && !self.replaced.contains_key(server);
                ensure(!is_judged || self.would_do[server], "D-PURGE", || {
                    let newest = show(facts.server(*server).disk.newest_snapshot());
                    format!(
                        "{server:?} removes what it needs when snapshot {newest} is lost: {op:?}"
                    )
                })?;
            }
            _ => {}
        }
        Ok(())
    }
}

impl Purges {
    fn look(&mut self, facts: &Facts, server: ServerId) {
        let would_do = facts.server(server).disk.would_do_without_newest_snapshot();
        self.would_do.insert(server, would_do);
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use zebu_core::ids::Zxid;
    use zebu_core::storage::Dir;

    use super::*;
    use crate::checkers::facts::disk::tests::{data, log, records};
    use crate::checkers::testkit::{Bench, ONE};

    /// A server with snapshots 2 and 4 and a log from 1 on, in files of two records.
    fn bench() -> Bench {
        let mut bench = Bench::new(3, vec![Box::new(Purges::default())]);
        bench.wipe(ONE);
        for (name, zxids) in [("log.1", [1, 2]), ("log.3", [3, 4]), ("log.5", [5, 6])] {
            let bytes = records(&zxids, true);
            bench.perform(ONE, &DiskOp::Create(log(name))).unwrap();
            bench.perform(ONE, &DiskOp::Write { file: log(name), offset: 0, bytes }).unwrap();
        }
        for name in ["snapshot.2", "snapshot.4"] {
            let bytes = Bytes::from_static(b"x");
            bench.perform(ONE, &DiskOp::Create(data(name))).unwrap();
            bench.perform(ONE, &DiskOp::Write { file: data(name), offset: 0, bytes }).unwrap();
        }
        bench.perform(ONE, &DiskOp::SyncDir(Dir::Data)).unwrap();
        bench
    }

    #[test]
    fn what_leads_from_the_snapshot_before_the_newest_stays() {
        let mut bench = bench();
        bench.perform(ONE, &DiskOp::Remove(log("log.1"))).unwrap();
        let removed = bench.perform(ONE, &DiskOp::Remove(log("log.3")));
        assert_eq!(removed.unwrap_err().property, "D-PURGE");
    }

    #[test]
    fn two_snapshots_stay() {
        let removed = bench().perform(ONE, &DiskOp::Remove(data("snapshot.2")));
        assert_eq!(removed.unwrap_err().property, "D-PURGE");
    }

    #[test]
    fn a_history_that_is_cut_may_end_with_one_snapshot() {
        let mut bench = bench();
        let op = StoreOp::Truncate { after: Zxid(3) };
        bench.action(ONE, &Action::Store { ticket: Ticket(7), op }).unwrap();
        bench.perform(ONE, &DiskOp::Remove(data("snapshot.4"))).unwrap();
        bench.event(ONE, &Event::Durable { upto: Ticket(7) }).unwrap();
        bench.perform(ONE, &DiskOp::Remove(log("log.5"))).unwrap();
    }
}
