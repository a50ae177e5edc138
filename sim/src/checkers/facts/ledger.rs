//! Every transaction that anybody was ever seen to have, and the one sequence of those that were
//! committed.
//!
//! A zxid says what comes before it only inside its epoch. What comes before the first transaction of
//! an epoch is learned from the leader that was established in it, and from logs where one record
//! stands behind the other; all of them must say the same.

use std::collections::BTreeMap;
use std::rc::Rc;

use bytes::Bytes;
use zebu_core::ids::ServerId;
use zebu_core::txn::Txn;

use crate::history::{SimTime, Violation};
use crate::model::{Lookup, payload};

pub fn epoch(zxid: u64) -> u32 {
    (zxid >> 32) as u32
}
pub fn counter(zxid: u64) -> u32 {
    zxid as u32
}
pub fn start_of(epoch: u32) -> u64 {
    u64::from(epoch) << 32
}
/// As people write it.
pub fn show(zxid: u64) -> String {
    format!("{}:{}", epoch(zxid), counter(zxid))
}

#[derive(Debug)]
pub struct Proposed {
    pub payload: Bytes,
    pub txn: Txn,
    /// Who had it first, and when.
    pub by: ServerId,
    pub at: SimTime,
}

#[derive(Debug, Default)]
pub struct Ledger {
    proposed: Lookup<u64, Rc<Proposed>>,
    /// The last transaction before each epoch's first one.
    before: BTreeMap<u32, u64>,
    /// All of them, in order.
    committed: Vec<u64>,
}

impl Ledger {
    pub fn get(&self, zxid: u64) -> Option<&Rc<Proposed>> {
        self.proposed.get(&zxid)
    }
    /// The last committed transaction, 0 for none.
    pub fn tip(&self) -> u64 {
        self.committed.last().copied().unwrap_or(0)
    }
    pub fn is_committed(&self, zxid: u64) -> bool {
        zxid <= self.tip() && self.committed.binary_search(&zxid).is_ok()
    }
    pub fn committed(&self) -> &[u64] {
        &self.committed
    }

    /// A transaction was seen. True when nobody had it before.
    pub fn learn(
        &mut self,
        zxid: u64,
        bytes: &Bytes,
        by: ServerId,
        at: SimTime,
    ) -> Result<bool, Violation> {
        if let Some(known) = self.proposed.get(&zxid) {
            if known.payload == *bytes {
                return Ok(false);
            }
            let what = format!(
                "{} has two contents: {by:?} has {:?}, {:?} had {:?}",
                show(zxid),
                payload::txn(bytes),
                known.by,
                known.txn,
            );
            return Err(Violation { property: "Z-UNIQ", what });
        }
        let Some(txn) = payload::txn(bytes).filter(|txn| txn.header.zxid.0 == zxid) else {
            let what = format!("{by:?} has an unreadable transaction {}", show(zxid));
            return Err(Violation { property: "R-INPUT", what });
        };
        let payload = bytes.clone();
        self.proposed.insert(zxid, Rc::new(Proposed { payload, txn, by, at }));
        Ok(true)
    }

    /// In a history seen at `by`, `zxid` directly follows `before`.
    pub fn follows(&mut self, before: u64, zxid: u64, by: ServerId) -> Result<(), Violation> {
        if counter(zxid) != 1 || epoch(before) == epoch(zxid) {
            return Ok(());
        }
        self.epoch_begins(epoch(zxid), before, by)
    }

    /// The history of `epoch` begins behind `before`, says `by`.
    pub fn epoch_begins(&mut self, e: u32, before: u64, by: ServerId) -> Result<(), Violation> {
        let Some(before) = self.resolve(before) else { return Ok(()) };
        let known = *self.before.entry(e).or_insert(before);
        if known == before {
            return Ok(());
        }
        let (one, other) = (show(known), show(before));
        let what = format!("the first txn of epoch {e} follows {other} at {by:?}, elsewhere {one}");
        Err(Violation { property: "Z-AGR", what })
    }

    /// A transaction for a zxid that may be the start of an epoch, which has none of its own.
    pub fn resolve(&self, zxid: u64) -> Option<u64> {
        let mut zxid = zxid;
        while counter(zxid) == 0 && zxid != 0 {
            zxid = *self.before.get(&epoch(zxid))?;
        }
        Some(zxid)
    }

    fn predecessor(&self, zxid: u64) -> Option<u64> {
        if counter(zxid) > 1 { Some(zxid - 1) } else { self.before.get(&epoch(zxid)).copied() }
    }

    /// Is `before` the last transaction before `zxid`? `None` when nobody has shown it yet.
    pub fn directly_follows(&self, zxid: u64, before: u64) -> Option<bool> {
        Some(self.predecessor(zxid)? == self.resolve(before)?)
    }

    /// Does the history that ends with `end` contain `zxid`? `None` when nobody has shown it yet.
    pub fn contains(&self, end: u64, zxid: u64) -> Option<bool> {
        let (mut end, zxid) = (self.resolve(end)?, self.resolve(zxid)?);
        while epoch(end) > epoch(zxid) {
            end = *self.before.get(&epoch(end))?;
        }
        Some(epoch(end) == epoch(zxid) && counter(end) >= counter(zxid) || zxid == 0)
    }

    /// What becomes committed when `zxid` does, oldest first; nothing is changed.
    pub fn path_to(&self, zxid: u64) -> Result<Vec<u64>, Violation> {
        let tip = self.tip();
        let mut path = Vec::new();
        let Some(mut at) = self.resolve(zxid) else { return Ok(path) };
        while at > tip {
            path.push(at);
            let Some(before) = self.predecessor(at) else {
                let what = format!("{} was committed, nobody has what it follows", show(at));
                return Err(Violation { property: "Z-INT", what });
            };
            at = before;
        }
        if at != tip && !(path.is_empty() && (at == 0 || self.is_committed(at))) {
            let (zxid, tip, at) = (show(zxid), show(tip), show(at));
            let what = format!("the history of {zxid} branches off at {at}, {tip} is committed");
            return Err(Violation { property: "Z-KEEP", what });
        }
        path.reverse();
        Ok(path)
    }

    pub fn commit(&mut self, zxid: u64) {
        debug_assert!(zxid > self.tip());
        self.committed.push(zxid);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::payload::write;
    use crate::model::tests::{create, txn};

    const A: ServerId = ServerId(1);

    fn learn(ledger: &mut Ledger, zxid: u64, path: &str) -> Result<bool, Violation> {
        let bytes = write::txn(&txn(zxid, 5, 1, create(path, 1, false)));
        ledger.learn(zxid, &bytes, A, 0)
    }
    fn z(epoch: u32, counter: u32) -> u64 {
        start_of(epoch) + u64::from(counter)
    }

    #[test]
    fn two_contents_for_one_zxid() {
        let mut ledger = Ledger::default();
        assert!(learn(&mut ledger, z(1, 1), "/a").unwrap());
        assert!(!learn(&mut ledger, z(1, 1), "/a").unwrap());
        assert_eq!(learn(&mut ledger, z(1, 1), "/b").unwrap_err().property, "Z-UNIQ");
    }

    #[test]
    fn a_history_must_hold_what_is_committed() {
        let mut ledger = Ledger::default();
        ledger.follows(0, z(1, 1), A).unwrap();
        for zxid in ledger.path_to(z(1, 3)).unwrap() {
            ledger.commit(zxid);
        }
        assert_eq!(ledger.tip(), z(1, 3));
        // A dead leader's 1:4 is not in the history of epoch 2, which is legal.
        ledger.epoch_begins(2, z(1, 3), A).unwrap();
        assert_eq!(ledger.path_to(z(2, 2)).unwrap(), [z(2, 1), z(2, 2)]);
        assert_eq!(ledger.contains(z(2, 2), z(1, 4)), Some(false));
        assert_eq!(ledger.contains(z(2, 2), z(1, 3)), Some(true));
        assert_eq!(ledger.epoch_begins(2, z(1, 4), A).unwrap_err().property, "Z-AGR");
        // An epoch established late may have no more than a part of it, or nothing.
        for older in [z(1, 3), z(1, 1), 0] {
            assert_eq!(ledger.path_to(older).unwrap(), []);
        }
        // Without 1:3 it is not.
        ledger.epoch_begins(3, z(1, 2), A).unwrap();
        assert_eq!(ledger.path_to(z(3, 1)).unwrap_err().property, "Z-KEEP");
        // The start of an epoch is what stands before it.
        ledger.epoch_begins(4, z(2, 0), A).unwrap();
        assert_eq!(ledger.contains(z(4, 0), z(1, 3)), Some(true));
    }
}
