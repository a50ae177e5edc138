//! How one learner is brought to the leader's history: the pure choice of DIFF, TRUNC or SNAP.
//!
//! The leader's history up to `delivered` is committed, or becomes so when this term is established;
//! what is outstanding beyond it is forwarded afterwards like every later proposal.

use crate::config::Config;
use crate::ids::Zxid;
use crate::mutant::Mutant;
use crate::server::SyncKind;
use crate::txn::Entry;

use super::history::History;

/// The packet that begins a synchronization, and where in the window the proposals after it begin.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Plan {
    pub kind: SyncKind,
    /// The zxid of the packet: DIFF up to, TRUNC back to, SNAP at.
    pub zxid: Zxid,
    /// Delivered entries above this are sent as PROPOSAL and COMMIT.
    pub from: Zxid,
}

/// Chooses for a learner whose log ends at `theirs`.
// ZK: LearnerHandler.syncFollower, queueCommittedProposals (3.9)
pub fn plan(theirs: Zxid, history: &History, config: &Config) -> Plan {
    let ours = history.delivered();
    let diff = |from| Plan { kind: SyncKind::Diff, zxid: ours, from };
    let trunc = |to| Plan { kind: SyncKind::Trunc, zxid: to, from: to };
    let snap = Plan { kind: SyncKind::Snap, zxid: ours, from: ours };

    if theirs == ours || (config.planted(Mutant::SyncDiffOnNewerEpoch) && theirs < ours) {
        return diff(theirs);
    }
    // `epoch:0` is the end of the history that `epoch` began with. It is no transaction, so there is
    // nothing to cut, and nothing to cut back to.
    let at_start_of_epoch = theirs.counter() == 0;
    if theirs > ours {
        return match () {
            () if at_start_of_epoch => diff(ours),
            () if theirs.epoch() == ours.epoch() && ours.counter() != 0 => trunc(ours),
            // Departs: upstream cuts here too; a snapshot is right whatever the epochs between were.
            () => snap,
        };
    }
    let mut previous: Option<Zxid> = None;
    for entry in history.window() {
        let zxid = entry.zxid();
        if zxid == theirs {
            return diff(theirs);
        }
        if zxid > theirs {
            let touches = zxid.epoch() == theirs.epoch() && zxid.counter() == theirs.counter() + 1;
            return match previous {
                _ if touches => diff(theirs),
                Some(_) if at_start_of_epoch => diff(theirs),
                // They have something here that we never had. A learner cuts only within an epoch.
                Some(before) if before.epoch() == theirs.epoch() => trunc(before),
                // The window begins beyond them (what is between is not known), or the epochs differ.
                Some(_) | None => snap,
            };
        }
        previous = Some(zxid);
    }
    snap
}

/// Where the log's files may have what a learner lacks whose log ends at `theirs`, because the window
/// begins later: up to where they are needed.
// ZK: LearnerHandler.syncFollower: getProposalsFromTxnLog (3.9)
pub fn in_files(theirs: Zxid, history: &History, config: &Config) -> Option<Zxid> {
    let oldest = history.window().front().map_or(history.delivered(), Entry::zxid);
    let is_there = theirs >= history.base() && theirs < oldest;
    (is_there && plan(theirs, history, config).kind == SyncKind::Snap).then_some(oldest)
}

/// With what the files had. Nothing, when they had nothing or the window has moved on beyond it.
pub fn plan_with(files: &[Entry], history: &History, config: &Config) -> Option<Plan> {
    let (last, ours) = (files.last()?.zxid(), history.delivered());
    let mut window = history.window().iter().map(Entry::zxid);
    // What an epoch begins behind is not to be seen from its first transaction.
    let front = window.clone().next();
    let follows = front.is_some_and(|z| z.epoch() == last.epoch() && z.follows(last));
    let touches = last == ours || follows || window.any(|zxid| zxid == last);
    (touches || config.planted(Mutant::SyncGapUnchecked)).then_some(Plan {
        kind: SyncKind::Diff,
        zxid: ours,
        from: last,
    })
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;
    use crate::config::Ensemble;
    use crate::ids::{Epoch, ServerId, SessionId, Xid};
    use crate::proto::ErrorCode;
    use crate::time::WallTime;
    use crate::txn::{Txn, TxnBody, TxnHeader};

    fn z(epoch: u32, counter: u32) -> Zxid {
        Zxid::new(Epoch(epoch), counter)
    }

    fn entry(zxid: Zxid) -> Entry {
        let header = TxnHeader { session: SessionId(1), cxid: Xid(1), zxid, time: WallTime(0) };
        let body = TxnBody::Error(ErrorCode::NO_NODE);
        Entry { txn: Txn { header, body, digest: None }.into(), payload: Default::default() }
    }

    /// A leader whose window is 1:5 1:6 1:7 2:1 2:2, whose log goes back to 1:2.
    fn history() -> History {
        let window: Vec<_> =
            [z(1, 5), z(1, 6), z(1, 7), z(2, 1), z(2, 2)].into_iter().map(entry).collect();
        History::recovered(z(1, 2), z(2, 2), window, 500)
    }
    fn config() -> Config {
        Config::new(ServerId(1), Ensemble::default())
    }
    fn chosen(theirs: Zxid) -> Plan {
        plan(theirs, &history(), &config())
    }

    #[test]
    fn files_are_asked_for_what_the_window_lacks() {
        for (theirs, upto) in [
            (z(1, 1), None), // below what there is
            (z(1, 2), Some(z(1, 5))),
            (z(1, 3), Some(z(1, 5))),
            (z(1, 4), None), // the window touches them
            (z(2, 1), None),
            (z(2, 4), None),
        ] {
            assert_eq!(in_files(theirs, &history(), &config()), upto, "learner at {theirs}");
        }
        let files: Vec<_> = [z(1, 3), z(1, 4), z(1, 5)].into_iter().map(entry).collect();
        let whole = Plan { kind: SyncKind::Diff, zxid: z(2, 2), from: z(1, 5) };
        assert_eq!(plan_with(&files, &history(), &config()), Some(whole));
        assert_eq!(plan_with(&files[..2], &history(), &config()).map(|p| p.from), Some(z(1, 4)));
        assert_eq!(plan_with(&files[..1], &history(), &config()), None);
        assert_eq!(plan_with(&[], &history(), &config()), None);
    }

    #[test]
    fn choices() {
        use SyncKind::{Diff, Snap, Trunc};
        for (theirs, kind, zxid, from) in [
            (z(2, 2), Diff, z(2, 2), z(2, 2)),  // equal
            (z(2, 1), Diff, z(2, 2), z(2, 1)),  // inside
            (z(1, 4), Diff, z(2, 2), z(1, 4)),  // the window touches them
            (z(1, 3), Snap, z(2, 2), z(2, 2)),  // a gap before the window
            (z(0, 0), Snap, z(2, 2), z(2, 2)),  // empty
            (z(2, 4), Trunc, z(2, 2), z(2, 2)), // an uncommitted tail of our epoch
            (z(1, 9), Trunc, z(1, 7), z(1, 7)), // an uncommitted tail of an older epoch
            (z(2, 0), Diff, z(2, 2), z(2, 0)),  // the start of a known epoch
            (z(3, 0), Diff, z(2, 2), z(2, 2)),  // the start of ours
            (z(3, 1), Snap, z(2, 2), z(2, 2)),  // an epoch unknown to us
        ] {
            assert_eq!(chosen(theirs), Plan { kind, zxid, from }, "learner at {theirs}");
        }
    }
}
