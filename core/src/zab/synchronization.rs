//! Phase 2, synchronization. The leader brings each learner to its own history (DIFF, TRUNC or
//! SNAP, see [`super::catch_up`]) and says NEWLEADER; the learner acknowledges when that history
//! and then its currentEpoch are durable (ACK-LD); when a quorum has, the leader's history is
//! committed and it says UPTODATE (COMMIT-LD).
//!
//! This file is the learner's half and the leader's count; the leader's state for one learner is in
//! [`super::learner_link`].

use alloc::collections::{BTreeSet, VecDeque};
use alloc::sync::Arc;

use crate::config::Config;
use crate::ids::{Epoch, ServerId, Zxid};
use crate::mutant::Mutant;
use crate::server::cx::Cx;
use crate::server::{Note, SyncKind, Ticket};
use crate::tree::Database;
use crate::txn::{Entry, TxnBody};

use super::PeerMisbehaved;

/// Leader: who acknowledged NEWLEADER.
#[derive(Clone, Debug)]
pub struct CollectingNewLeaderAcks {
    pub epoch: Epoch,
    /// The leader's own acknowledgement: its currentEpoch, behind its whole history.
    own: Ticket,
    acked: BTreeSet<ServerId>,
}

impl CollectingNewLeaderAcks {
    // Zab: phase 2, step l.2.1 · ZK: Leader.lead, waitForNewLeaderAck (3.9)
    pub(crate) fn enter(epoch: Epoch, cx: &mut Cx) -> Self {
        cx.membership.name(epoch);
        let own = cx.save_current(epoch);
        Self { epoch, own, acked: BTreeSet::new() }
    }
    pub(crate) fn on_ack(&mut self, from: ServerId) {
        self.acked.insert(from);
    }
    /// Is the leader established?
    pub(crate) fn complete(&self, cx: &Cx) -> bool {
        let config: &Config = &cx.config;
        cx.is_durable(self.own)
            && cx.membership.is_quorum(|id| id == config.my_id || self.acked.contains(&id))
    }
}

/// Learner: between ACKEPOCH and UPTODATE.
///
/// ```text
///   Waiting --DIFF, TRUNC--> Receiving --NEWLEADER--> Acknowledging --durable--> Acknowledged
///      \--SNAP--> Loading --stream--/                                                |
///                                                                             UPTODATE v broadcast
/// ```
#[derive(Clone, Debug)]
pub struct LearnerSync {
    pub epoch: Epoch,
    step: Step,
    /// Proposals held back by a planted mistake only.
    held: VecDeque<Entry>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Step {
    /// For DIFF, TRUNC or SNAP.
    Waiting,
    /// A snapshot stream comes behind SNAP.
    Loading {
        zxid: Zxid,
    },
    Receiving,
    /// NEWLEADER came; everything before it is on its way to disk.
    Acknowledging {
        ticket: Ticket,
    },
    Acknowledged,
}

impl LearnerSync {
    pub fn enter(epoch: Epoch) -> Self {
        Self { epoch, step: Step::Waiting, held: VecDeque::new() }
    }

    // ZK: Learner.syncWithLeader (3.9)
    pub(crate) fn on_diff(&mut self, zxid: Zxid, cx: &mut Cx) -> Result<(), PeerMisbehaved> {
        self.expect(Step::Waiting, "DIFF")?;
        if cx.wants_snapshot {
            let phase = "synchronization by a snapshot";
            return Err(PeerMisbehaved::Unexpected { what: "DIFF", phase });
        }
        self.step = Step::Receiving;
        self.note(SyncKind::Diff, zxid, cx);
        Ok(())
    }

    pub(crate) fn on_trunc(&mut self, zxid: Zxid, cx: &mut Cx) -> Result<(), PeerMisbehaved> {
        self.expect(Step::Waiting, "TRUNC")?;
        if zxid > cx.history.logged() {
            return Err(PeerMisbehaved::TruncBeyondLog { to: zxid, logged: cx.history.logged() });
        }
        // A snapshot came from a leader that was never established, and took the log below it along.
        // Departs: upstream's learner exits, and again at each start.
        let base = if cx.keeps_nothing() { cx.history.logged() } else { cx.history.base() };
        if zxid < base {
            cx.wants_snapshot = true;
            return Err(PeerMisbehaved::TruncBelowSnapshot { to: zxid, base });
        }
        self.step = Step::Receiving;
        self.note(SyncKind::Trunc, zxid, cx);
        if zxid < cx.history.logged() {
            cx.truncate(zxid);
        }
        Ok(())
    }

    pub(crate) fn on_snap(&mut self, zxid: Zxid, cx: &mut Cx) -> Result<(), PeerMisbehaved> {
        self.expect(Step::Waiting, "SNAP")?;
        self.step = Step::Loading { zxid };
        self.note(SyncKind::Snap, zxid, cx);
        Ok(())
    }

    /// The stream is complete: only now does anything change here.
    // JIRA: ZOOKEEPER-3642
    pub(crate) fn on_snapshot(
        &mut self,
        database: Arc<Database>,
        cx: &mut Cx,
    ) -> Result<(), PeerMisbehaved> {
        let Step::Loading { zxid } = self.step else {
            return Err(PeerMisbehaved::Unexpected {
                what: "a snapshot",
                phase: "synchronization",
            });
        };
        let mut database = Arc::unwrap_or_clone(database);
        database.last_processed = zxid;
        cx.install(database);
        self.step = Step::Receiving;
        Ok(())
    }

    /// Proposals are logged as they come. Uncommitted ones are logged like in broadcast; they are
    /// applied when their COMMIT comes and acknowledged behind NEWLEADER.
    // JIRA: ZOOKEEPER-3911, ZOOKEEPER-4394, ZOOKEEPER-4925
    pub(crate) fn on_proposal(&mut self, entry: Entry, cx: &mut Cx) -> Result<(), PeerMisbehaved> {
        match self.step {
            Step::Receiving | Step::Acknowledging { .. } | Step::Acknowledged => {}
            Step::Waiting | Step::Loading { .. } => {
                let phase = "synchronization, before its history";
                return Err(PeerMisbehaved::Unexpected { what: "PROPOSAL", phase });
            }
        }
        if cx.config.planted(Mutant::SyncLogAtUptodate) {
            self.held.push_back(entry);
            return Ok(());
        }
        // A leader whose log has a write that upstream could not read sends it as it stands there: a
        // refusal that says nothing, under a zxid that has been used.
        // ZK: PrepRequestProcessor.pRequestHelper (3.9)
        if matches!(entry.txn.body, TxnBody::Error(_)) && entry.zxid() == cx.history.logged() {
            return Ok(());
        }
        check_follows(&entry, cx)?;
        cx.append(entry);
        Ok(())
    }

    pub(crate) fn on_commit(&mut self, zxid: Zxid, cx: &mut Cx) -> Result<(), PeerMisbehaved> {
        if cx.config.planted(Mutant::SyncLogAtUptodate) {
            return Ok(());
        }
        if zxid > cx.history.logged() {
            return Err(PeerMisbehaved::CommitBeyondLog { zxid, logged: cx.history.logged() });
        }
        cx.history.commit(zxid);
        Ok(())
    }

    /// Something was committed after this synchronization began.
    // JIRA: ZOOKEEPER-1551, ZOOKEEPER-1552
    pub(crate) fn on_inform(&mut self, entry: Entry, cx: &mut Cx) -> Result<(), PeerMisbehaved> {
        if cx.config.planted(Mutant::ObsDropInformsInSync) {
            return Ok(());
        }
        match self.step {
            Step::Receiving | Step::Acknowledging { .. } | Step::Acknowledged => {
                on_inform(entry, cx)
            }
            Step::Waiting | Step::Loading { .. } => {
                let phase = "synchronization, before its history";
                Err(PeerMisbehaved::Unexpected { what: "INFORM", phase })
            }
        }
    }

    // Zab: phase 2, step f.2.1
    pub(crate) fn on_new_leader(
        &mut self,
        zxid: Zxid,
        config: &[u8],
        cx: &mut Cx,
    ) -> Result<(), PeerMisbehaved> {
        self.expect(Step::Receiving, "NEWLEADER")?;
        if zxid != Zxid::start_of(self.epoch) {
            return Err(PeerMisbehaved::WrongEpoch { sent: zxid.epoch(), agreed: self.epoch });
        }
        if cx.config.planted(Mutant::SyncApplyUncommitted) {
            cx.history.commit(cx.history.logged());
        }
        cx.membership.told(config);
        // In order behind the history, so one completion vouches for both.
        // JIRA: ZOOKEEPER-4643, ZOOKEEPER-4646
        let ticket = cx.save_current(self.epoch);
        self.step = Step::Acknowledging { ticket };
        Ok(())
    }

    /// True once, when NEWLEADER may be acknowledged.
    pub(crate) fn may_acknowledge(&mut self, cx: &Cx) -> bool {
        let Step::Acknowledging { ticket } = self.step else { return false };
        if !cx.is_durable(ticket) && !cx.config.planted(Mutant::AckNewLeaderBeforeSync) {
            return false;
        }
        self.step = Step::Acknowledged;
        true
    }

    pub(crate) fn is_acknowledged(&self) -> bool {
        self.step == Step::Acknowledged
    }

    // Zab: phase 2, step f.2.2
    pub(crate) fn on_up_to_date(&mut self, cx: &mut Cx) -> Result<(), PeerMisbehaved> {
        self.expect(Step::Acknowledged, "UPTODATE")?;
        for entry in core::mem::take(&mut self.held) {
            check_follows(&entry, cx)?;
            cx.append(entry);
            cx.history.commit(cx.history.logged());
        }
        Ok(())
    }

    fn expect(&self, step: Step, what: &'static str) -> Result<(), PeerMisbehaved> {
        if self.step == step {
            Ok(())
        } else {
            Err(PeerMisbehaved::Unexpected { what, phase: "synchronization" })
        }
    }

    fn note(&self, how: SyncKind, upto: Zxid, cx: &mut Cx) {
        let (learner, from) = (cx.config.my_id, cx.history.logged());
        cx.note(Note::Sync { learner, how, from, upto });
    }
}

/// Observer: a transaction that is committed. Older leaders have sent it as a proposal before.
pub(crate) fn on_inform(entry: Entry, cx: &mut Cx) -> Result<(), PeerMisbehaved> {
    let zxid = entry.zxid();
    if zxid > cx.history.logged() {
        check_follows(&entry, cx)?;
        cx.append(entry);
    }
    cx.history.commit(zxid);
    Ok(())
}

/// A gap must never enter the log, whoever leads.
// JIRA: ZOOKEEPER-4925
pub(crate) fn check_follows(entry: &Entry, cx: &Cx) -> Result<(), PeerMisbehaved> {
    let (zxid, last) = (entry.zxid(), cx.history.logged());
    if zxid.follows(last) { Ok(()) } else { Err(PeerMisbehaved::Gap { zxid, last }) }
}
