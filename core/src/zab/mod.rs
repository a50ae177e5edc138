//! ZAB, ZooKeeper's atomic broadcast, in its four phases:
//!
//! | phase | file | leader | follower | observer |
//! |---|---|---|---|---|
//! | 0 election | [`election`] | votes | votes | asks |
//! | 1 discovery | [`discovery`] | LEADERINFO | FOLLOWERINFO, ACKEPOCH | OBSERVERINFO, ACKEPOCH |
//! | 2 synchronization | [`synchronization`], [`catch_up`] | DIFF, TRUNC, SNAP, NEWLEADER, UPTODATE | ACK | ACK |
//! | 3 broadcast | [`broadcast`] | PROPOSAL, COMMIT; INFORM | ACK | |
//!
//! [`leader`] and [`follower`] carry a server through a term and call the steps, the latter for
//! observers too; [`learner_link`] is what a leader knows of one learner, [`forwarding`] what it sends
//! to it; [`observer_master`] a follower that does so in its place, and [`learner_master`] who asks which
//! of them; [`containers`] when it removes what goes by itself; [`history`] is the log with its four
//! marks; [`quorum`] answers who is enough. Nothing in here knows what a transaction means, but for a
//! reconfiguration, which changes who that is ([`crate::membership`]).

pub(crate) mod broadcast;
pub mod catch_up;
pub(crate) mod containers;
pub mod discovery;
pub mod election;
pub mod follower;
pub(crate) mod forwarding;
pub mod history;
pub mod leader;
pub(crate) mod learner_link;
pub(crate) mod learner_master;
pub(crate) mod observer_master;
pub mod quorum;
mod sync_room;
pub mod synchronization;

use crate::ids::{Epoch, Zxid};

/// What a peer did wrong. It costs the peer its link (and a follower its term), never the process.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum PeerMisbehaved {
    #[error("{what} is not expected in {phase}")]
    Unexpected { what: &'static str, phase: &'static str },
    #[error("epoch {sent} offered, {accepted} is accepted already")]
    EpochWentBack { sent: Epoch, accepted: Epoch },
    #[error("epoch {sent}, agreed was {agreed}")]
    WrongEpoch { sent: Epoch, agreed: Epoch },
    #[error("proposal {zxid} does not follow {last}")]
    Gap { zxid: Zxid, last: Zxid },
    #[error("commit of {zxid}, the log ends at {logged}")]
    CommitBeyondLog { zxid: Zxid, logged: Zxid },
    #[error("TRUNC to {to}, the log ends at {logged}")]
    TruncBeyondLog { to: Zxid, logged: Zxid },
    #[error("TRUNC to {to}, the log begins with a snapshot at {base}; asking for another one")]
    TruncBelowSnapshot { to: Zxid, base: Zxid },
    #[error("nothing heard within the limit")]
    Silent,
}
