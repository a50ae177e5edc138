//! Replicas (T-EQ, T-INV): servers that have applied up to the same zxid have the same tree, and it
//! is the model's. At each step the digest of a tree is compared with the one that its leader put
//! behind the transaction (which [`linearizable_writes`](super::linearizable_writes) compares with the
//! model's); at the end every znode, its data, access list and Stat, and every session.
//!
//! Stats of quotas are no part of the digest, and each server counts for itself: at the end they must
//! be what the model counts (C-QUOTA).
//!
//! Permitted: an uncommitted transaction in the tree of a server between terms. Other nodes below
//! `/zookeeper` are each server's own.

use std::collections::{BTreeMap, BTreeSet};

use zebu_core::ids::ServerId;
use zebu_core::tree::Database;
use zebu_core::txn::TxnBody;

use super::facts::Facts;
use super::facts::ledger::show;
use super::{Check, ensure};
use crate::history::{Observation, View, Violation};
use crate::model::CONFIG;
use crate::model::quota::QUOTA;

#[derive(Debug, Default)]
pub struct Replicas {
    /// The last state of each server that was compared.
    compared: BTreeMap<ServerId, u64>,
}

impl Check for Replicas {
    fn observe(
        &mut self,
        facts: &Facts,
        view: &View<'_>,
        what: &Observation<'_>,
    ) -> Result<(), Violation> {
        let (Observation::Action { server, .. } | Observation::Event { server, .. }) = what else {
            return Ok(());
        };
        let here = view.servers.iter().find(|s| s.id == *server);
        let Some(database) = here.and_then(|here| here.database) else { return Ok(()) };
        let zxid = database.last_processed.0;
        let compared = self.compared.entry(*server).or_insert(0);
        if *compared == zxid {
            return Ok(());
        }
        *compared = zxid;
        let Some(proposed) = facts.ledger.get(zxid) else { return Ok(()) };
        let Some(digest) = proposed.txn.digest.filter(|digest| digest.version == 2) else {
            return Ok(());
        };
        let found = database.tree.digest();
        let property = match &proposed.txn.body {
            TxnBody::Multi(parts) if parts.iter().any(|p| matches!(p, TxnBody::Error(_))) => {
                "C-MULTI"
            }
            _ => "T-EQ",
        };
        ensure(found == digest.tree, property, || {
            let body = &proposed.txn.body;
            let (zxid, expected) = (show(zxid), digest.tree);
            format!("{server:?} at {zxid} {body:?} has digest {found}, expected is {expected}")
        })
    }

    fn finish(&mut self, facts: &Facts, view: &View<'_>) -> Result<(), Violation> {
        for server in view.servers {
            let Some(database) = server.database else { continue };
            if facts.ledger.resolve(database.last_processed.0) == Some(facts.model.tip) {
                equals_model(facts, server.id, database)?;
            }
        }
        Ok(())
    }
}

fn equals_model(facts: &Facts, server: ServerId, database: &Database) -> Result<(), Violation> {
    let model = &facts.model;
    let property = |path: &str| if path.starts_with(QUOTA) { "C-QUOTA" } else { "T-EQ" };
    let differs = |property: &'static str, what: String| {
        Err(Violation { property, what: format!("{server:?}: {what}") })
    };
    let changed = model.reconfigured_at(model.tip);
    let own = |path: &str| {
        path.starts_with("/zookeeper/") && !path.starts_with(QUOTA) && !(path == CONFIG && changed)
    };
    let mut here = BTreeSet::new();
    let mut walk = database.tree.walk();
    while let Some((path, node)) = walk.next(&database.tree) {
        if path.is_empty() || own(&path) {
            continue;
        }
        let Some(expected) = model.now(&path) else {
            return differs("T-EQ", format!("{path} is too much"));
        };
        let same = node.data == expected.data.as_ref()
            && node.acl == expected.acl.as_slice()
            && *node.stat == expected.stat
            && node.num_children as i32 == expected.num_children;
        if !same {
            let what = format!("{path} is {node:?}, the model has {expected:?}");
            return differs(property(&path), what);
        }
        here.insert(path);
    }
    for path in model.standing() {
        if path != "/" && !own(path) && !here.contains(path) {
            return differs("T-EQ", format!("{path} is missing"));
        }
    }
    let sessions = database.sessions.iter().map(|(id, timeout)| (id.0, *timeout));
    let open = model.sessions.iter().filter(|(_, s)| s.closed.is_none());
    let (sessions, open): (Vec<_>, Vec<_>) =
        (sessions.collect(), open.map(|(id, s)| (*id, s.timeout_ms)).collect());
    if sessions != open {
        return differs("T-EQ", format!("sessions {sessions:?}, the model has {open:?}"));
    }
    // Each ephemeral's session is open, here and not only in the model.
    for session in database.tree.sessions_with_ephemerals() {
        let open = database.sessions.contains_key(&session);
        ensure(open, "T-INV", || format!("{server:?}: ephemerals of {session}, which is closed"))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkers::testkit::{Bench, ONE, SESSION, TWO, entry, z};
    use crate::model::tests::{create, txn};
    use zebu_core::proto::QuorumPacket;
    use zebu_core::server::Event;
    use zebu_core::txn::{Txn, TxnDigest};

    fn bench() -> Bench {
        let mut bench = Bench::new(3, vec![Box::new(Replicas::default())]);
        bench.lead(ONE, 1);
        bench.establish(ONE, TWO, 1);
        bench
    }
    fn apply(database: &mut Database, txn: &Txn) {
        database.apply(txn);
        database.last_processed = txn.header.zxid;
    }

    #[test]
    fn a_replica_is_compared_when_it_moves_and_in_full_at_the_end() {
        let mut bench = bench();
        let open = txn(z(1, 1), SESSION, 0, TxnBody::CreateSession { timeout_ms: 4000 });
        let mut made = txn(z(1, 2), SESSION, 1, create("/a", 1, false));
        let mut database = Database::default();
        apply(&mut database, &open);
        apply(&mut database, &made);
        made.digest = Some(TxnDigest { version: 2, tree: database.tree.digest() });
        for one in [&open, &made] {
            bench.send(ONE, TWO, QuorumPacket::Proposal(entry(one.clone()))).unwrap();
            let commit = QuorumPacket::Commit { zxid: one.header.zxid };
            bench.send(ONE, TWO, commit).unwrap();
        }
        bench.databases[0] = Some(database.clone());
        bench.event(ONE, &Event::Wake).unwrap();
        bench.finish().unwrap();

        let mut other = Database::default();
        apply(&mut other, &open);
        apply(&mut other, &txn(z(1, 2), SESSION, 1, create("/b", 1, false)));
        bench.databases[1] = Some(other);
        assert_eq!(bench.event(TWO, &Event::Wake).unwrap_err().property, "T-EQ");
        assert_eq!(bench.finish().unwrap_err().property, "T-EQ");

        database.sessions.clear();
        bench.databases[1] = Some(database);
        assert_eq!(bench.finish().unwrap_err().property, "T-EQ");
    }

    #[test]
    fn an_ephemeral_without_its_session() {
        let mut bench = bench();
        let made = txn(z(1, 1), SESSION, 1, create("/e", 1, true));
        let mut database = Database::default();
        apply(&mut database, &made);
        bench.send(ONE, TWO, QuorumPacket::Proposal(entry(made.clone()))).unwrap();
        bench.send(ONE, TWO, QuorumPacket::Commit { zxid: made.header.zxid }).unwrap();
        bench.databases[0] = Some(database);
        assert_eq!(bench.finish().unwrap_err().property, "T-INV");
    }
}
