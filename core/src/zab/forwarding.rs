//! What a leader sends of its history: to each learner once what it lacks, then every later
//! transaction. A follower gets each proposal, and then its commit; an observer gets it when it is
//! committed, both in one (INFORM). That is the whole difference between them on the way down.
//!
//! How much a learner lacks is chosen in [`super::catch_up`]; when something is committed is decided
//! in [`super::broadcast`].

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::config::MemberRole;
use crate::ids::{Epoch, LinkId, ServerId, Zxid};
use crate::mutant::Mutant;
use crate::proto::QuorumPacket;
use crate::server::cx::Cx;
use crate::server::{Action, Note, PeerMessage, SyncKind};
use crate::txn::{Entry, TxnBody};

use super::catch_up;
use super::learner_link::{LearnerLink, LearnerState};

/// Sends one learner what it lacks, then NEWLEADER, and takes it into the forwarding set, all in one
/// step: no commit can fall between. `files` is what the log's files had for it.
// Zab: phase 2, step l.2.1 · ZK: LearnerHandler.syncFollower, Leader.startForwarding (3.9)
pub(crate) fn synchronize(
    link: LinkId,
    learner: &mut LearnerLink,
    last: Zxid,
    files: &[Entry],
    epoch: Epoch,
    cx: &mut Cx,
) {
    let from_files = catch_up::plan_with(files, &cx.history, &cx.config);
    let files = if from_files.is_some() { files } else { &[] };
    let plan = from_files.unwrap_or_else(|| catch_up::plan(last, &cx.history, &cx.config));
    learner.sync = plan.kind;
    if let Some(id) = learner.id {
        let (how, from, upto) = (plan.kind, last, cx.history.delivered());
        cx.note(Note::Sync { learner: id, how, from, upto });
    }
    match plan.kind {
        SyncKind::Diff => cx.send(link, QuorumPacket::Diff { zxid: plan.zxid }),
        SyncKind::Trunc => cx.send(link, QuorumPacket::Trunc { zxid: plan.zxid }),
        SyncKind::Snap => {
            cx.send(link, QuorumPacket::Snap { zxid: plan.zxid });
            let message = PeerMessage::Snapshot(Arc::new(cx.database.clone()));
            cx.push(Action::Send { link, message });
        }
    }
    let gap = usize::from(cx.config.planted(Mutant::SyncForwardGap) && cx.serving.is_some());
    let window = cx.history.window().iter().filter(|e| e.zxid() > plan.from).skip(gap);
    let missing: Vec<_> = files.iter().chain(window).cloned().collect();
    for entry in missing {
        let zxid = entry.zxid();
        cx.send(link, QuorumPacket::Proposal(entry));
        cx.send(link, QuorumPacket::Commit { zxid });
    }
    learner.forwarded = cx.history.delivered();
    learner.acked = Zxid::ZERO;
    learner.state = LearnerState::Syncing;
    let outstanding: Vec<_> = cx.history.outstanding().cloned().collect();
    for entry in outstanding {
        propose_to(link, learner, &entry, cx);
    }
    let config = cx.membership.newest().text().into_bytes().into();
    cx.send(link, QuorumPacket::NewLeader { zxid: Zxid::start_of(epoch), config });
}

/// A new transaction, to everyone who will be asked for it.
// ZK: Leader.propose (3.9)
pub(crate) fn propose(entry: &Entry, learners: &mut BTreeMap<LinkId, LearnerLink>, cx: &mut Cx) {
    for (&link, learner) in learners {
        propose_to(link, learner, entry, cx);
    }
}

fn propose_to(link: LinkId, learner: &mut LearnerLink, entry: &Entry, cx: &mut Cx) {
    if learner.is_forwarded_to() && learner.role == MemberRole::Participant {
        learner.sent_proposal(entry.zxid(), cx.now.mono);
        cx.send(link, QuorumPacket::Proposal(entry.clone()));
    }
}

/// These are committed now. Behind the last of them, if it is a reconfiguration, `successor` leads.
// ZK: Leader.commit, inform, commitAndActivate, informAndActivate (3.9)
pub(crate) fn commit(
    newly: &[Entry],
    successor: Option<ServerId>,
    learners: &mut BTreeMap<LinkId, LearnerLink>,
    cx: &mut Cx,
) {
    for (&link, learner) in learners.iter_mut().filter(|(_, l)| l.is_forwarded_to()) {
        for entry in newly {
            let (zxid, has_it) = (entry.zxid(), entry.zxid() <= learner.forwarded);
            match learner.role {
                MemberRole::Participant if has_it => {
                    let packet = match (&entry.txn.body, successor) {
                        (TxnBody::Reconfig { .. }, Some(leader)) => {
                            QuorumPacket::CommitAndActivate { zxid, leader }
                        }
                        _ => QuorumPacket::Commit { zxid },
                    };
                    cx.send(link, packet);
                }
                MemberRole::Observer if !has_it => {
                    learner.forwarded = zxid;
                    let entry = entry.clone();
                    let packet = match (&entry.txn.body, successor) {
                        (TxnBody::Reconfig { .. }, Some(leader)) => {
                            QuorumPacket::InformAndActivate { leader, entry }
                        }
                        _ => QuorumPacket::Inform(entry),
                    };
                    cx.send(link, packet);
                }
                MemberRole::Participant | MemberRole::Observer => {}
            }
        }
    }
}
