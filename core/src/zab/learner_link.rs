//! What a leader knows of one learner, follower or observer; and an observer master of its observers. Per link, because the ensemble
//! broadcasts while a late joiner is still in phase 1 or 2.
//!
//! ```text
//!   Greeting --FOLLOWERINFO--> AwaitingEpoch --LEADERINFO sent--> Accepting --ACKEPOCH--> AwaitingSync
//!   AwaitingSync --history and NEWLEADER sent--> Syncing --ACK--> Acked --UPTODATE sent--> Active
//!   AwaitingSync --far behind--> AwaitingLog --log read--> (history and NEWLEADER sent)
//! ```
//! From `Syncing` on a learner is in the forwarding set: every later packet goes to it. All go the
//! same way; but only a voter that follows is ever asked for its word, see [`LearnerLink::speaks_for`].

use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;

use crate::config::MemberRole;
use crate::ids::{LinkId, ServerId, Zxid};
use crate::membership::Membership;
use crate::server::SyncKind;
use crate::server::cx::Cx;
use crate::time::Instant;

#[derive(Clone, Debug)]
pub(crate) struct LearnerLink {
    pub(crate) id: Option<ServerId>,
    /// As what it came. That and its place in the configuration are two things: one that is about to
    /// join follows before it is a voter, and a voter may have been told to observe.
    pub(crate) role: MemberRole,
    /// Its word counts: it follows, and is a voter; or it is proposed as one, has not heard of that, and
    /// came as an observer before its leader was established.
    votes: bool,
    pub(crate) state: LearnerState,
    /// How it is being synchronized, or was.
    pub(crate) sync: SyncKind,
    pub(crate) heard_at: Instant,
    /// Proposals up to here are durable there.
    pub(crate) acked: Zxid,
    /// The last proposal sent.
    pub(crate) forwarded: Zxid,
    /// Since when a proposal is unacknowledged.
    // ZK: LearnerHandler.SyncLimitCheck (3.9)
    pub(crate) owes_ack_since: Option<Instant>,
    /// Ping rounds sent and not answered; answers come in order and carry no number.
    pub(crate) pings: VecDeque<u64>,
    /// The newest ping round answered.
    pub(crate) answered: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum LearnerState {
    Greeting,
    AwaitingEpoch,
    Accepting,
    AwaitingSync {
        last: Zxid,
    },
    /// What it lacks is being read from the log's files.
    AwaitingLog {
        last: Zxid,
    },
    Syncing,
    Acked,
    Active,
}

impl LearnerState {
    /// What is waited for, or goes on.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Greeting => "discovery, before FOLLOWERINFO",
            Self::AwaitingEpoch => "discovery, before LEADERINFO",
            Self::Accepting => "discovery, before ACKEPOCH",
            Self::AwaitingSync { .. } | Self::AwaitingLog { .. } => {
                "synchronization, before its begin"
            }
            Self::Syncing => "synchronization, before the ACK of NEWLEADER",
            Self::Acked => "synchronization, before UPTODATE",
            Self::Active => "broadcast",
        }
    }
}

impl LearnerLink {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            id: None,
            role: MemberRole::Participant,
            votes: false,
            state: LearnerState::Greeting,
            sync: SyncKind::Diff,
            heard_at: now,
            acked: Zxid::ZERO,
            forwarded: Zxid::ZERO,
            owes_ack_since: None,
            pings: VecDeque::new(),
            answered: 0,
        }
    }

    /// FOLLOWERINFO or OBSERVERINFO came.
    pub(crate) fn greeted(&mut self, id: ServerId, role: MemberRole, votes: bool) {
        (self.id, self.role, self.votes) = (Some(id), role, votes);
        self.state = LearnerState::AwaitingEpoch;
    }

    /// Somebody came to the voters, or is none of them any more.
    pub(crate) fn recount(&mut self, membership: &Membership) {
        let is_voter = self.id.is_some_and(|id| membership.is_voter(id));
        self.votes = self.role == MemberRole::Participant && is_voter;
    }

    /// Is what comes over this link `voter`'s word?
    pub(crate) fn speaks_for(&self, voter: ServerId) -> bool {
        self.votes && self.id == Some(voter)
    }
    /// Would its word count if it were a voter?
    pub(crate) fn follows_synced(&self) -> bool {
        self.role == MemberRole::Participant && self.is_synced()
    }
    pub(crate) fn votes(&self) -> bool {
        self.votes
    }

    pub(crate) fn is_forwarded_to(&self) -> bool {
        match self.state {
            LearnerState::Syncing | LearnerState::Acked | LearnerState::Active => true,
            LearnerState::Greeting
            | LearnerState::AwaitingEpoch
            | LearnerState::Accepting
            | LearnerState::AwaitingSync { .. }
            | LearnerState::AwaitingLog { .. } => false,
        }
    }

    /// Does it hold everything up to NEWLEADER, durably?
    pub(crate) fn is_synced(&self) -> bool {
        match self.state {
            LearnerState::Acked | LearnerState::Active => true,
            LearnerState::Greeting
            | LearnerState::AwaitingEpoch
            | LearnerState::Accepting
            | LearnerState::AwaitingSync { .. }
            | LearnerState::AwaitingLog { .. }
            | LearnerState::Syncing => false,
        }
    }

    pub(crate) fn sent_proposal(&mut self, zxid: Zxid, now: Instant) {
        self.forwarded = zxid;
        self.owes_ack_since.get_or_insert(now);
    }

    pub(crate) fn on_ack(&mut self, zxid: Zxid, now: Instant) {
        self.acked = self.acked.max(zxid);
        self.owes_ack_since = (self.acked < self.forwarded).then_some(now);
    }
}

/// Learners that say nothing, or acknowledge nothing, for too long.
// ZK: LearnerHandler.synced, SyncLimitCheck.check (3.9)
pub(crate) fn silent(learners: &BTreeMap<LinkId, LearnerLink>, cx: &Cx) -> Vec<LinkId> {
    let now = cx.now.mono;
    let is_silent = |learner: &LearnerLink| {
        let limit = if learner.state == LearnerState::Active {
            cx.config.sync_timeout()
        } else {
            cx.config.init_timeout()
        };
        let owes = learner.owes_ack_since.is_some_and(|since| now.since(since) >= limit);
        now.since(learner.heard_at) >= limit || owes
    };
    learners.iter().filter(|(_, learner)| is_silent(learner)).map(|(link, _)| *link).collect()
}
