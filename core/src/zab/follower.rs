//! A learner's term, a follower's or an observer's: from the election's decision through the three
//! phases until the link to the leader is gone or silent. Dispatch only; the steps are in the phases'
//! files.
//!
//! An observer differs in three places: how it introduces itself, that an older epoch than one it
//! accepted will do, and that in broadcast it is told what is committed (INFORM) and asked nothing.
//!
//! ```text
//!   Connecting --LinkUp--> Greeted --LEADERINFO--> Accepting --durable--> Synchronizing --UPTODATE--> Broadcast
//! ```

mod failed_terms;
mod serving;

use alloc::collections::{BTreeMap, VecDeque};

use crate::config::MemberRole;
use crate::ids::{ConnId, Epoch, LinkId, ServerId, SessionId, Zxid};
use crate::mutant::Mutant;
use crate::proto::{Forwarded, LearnerInfo, QuorumPacket};
use crate::server::cx::Cx;
use crate::server::links::Parked;
use crate::server::metrics::age_ms;
use crate::server::{Action, CloseReason, Epochs, Note, PeerMessage, Port};
use crate::time::{Duration, Instant};

pub(crate) use failed_terms::FailedTerms;

use super::PeerMisbehaved;
use super::discovery::Accepting;
use super::learner_master::LearnerMasters;
use super::observer_master::{Asker, ObserverMaster};
use super::synchronization::{LearnerSync, check_follows, on_inform};

/// Upstream's learners since 3.4 all speak this.
pub const LEARNER_PROTOCOL_VERSION: i32 = 0x10000;

/// The first pause before a leader is dialled again that does not listen yet; twice as long each time,
/// up to `leader_connect_delay`.
// Departs: upstream pauses that long from the first time on.
const REDIAL_AFTER_MIN: Duration = Duration::from_millis(5);

#[derive(Clone, Debug)]
pub struct Following {
    pub leader: ServerId,
    /// The round of the election that made it leader.
    round: i64,
    role: MemberRole,
    /// Whose link it is, or will be: the leader's, or an observer master's.
    masters: LearnerMasters,
    link: Option<LinkId>,
    phase: Phase,
    /// The leader was heard from, or the term began.
    heard_at: Instant,
    /// The first try to connect, if it has to wait, or the next one.
    redial_at: Option<Instant>,
    redial_after: Duration,
    has_dialled: bool,
    /// Sessions heard from since the last PING, with their timeouts in ms.
    touched: BTreeMap<SessionId, i32>,
    /// The last proposal acknowledged.
    acked: Zxid,
    /// Who waits for a SYNC; the leader answers them in order.
    syncs: VecDeque<Asker<ConnId>>,
    observers: ObserverMaster,
    /// Whom the reconfiguration that was committed last made the leader.
    designated: Option<ServerId>,
}

#[derive(Clone, Debug)]
enum Phase {
    Connecting,
    Greeted,
    Accepting(Accepting),
    Synchronizing(LearnerSync),
    Broadcast,
}

/// What a packet means to the server around.
#[derive(Clone, Debug)]
pub(crate) enum Heard {
    Nothing,
    /// UPTODATE: clients may come.
    Serve(Epoch),
    Synced(ConnId),
    Revalidated {
        session: SessionId,
        valid: bool,
    },
}

impl Following {
    /// Votes are answered from now on; only the dial waits if this leader has failed us before.
    /// Observers that came before may be served, too; nobody else is.
    pub(crate) fn enter(
        leader: ServerId,
        round: i64,
        parked: BTreeMap<LinkId, Parked>,
        failed: Option<FailedTerms>,
        cx: &mut Cx,
    ) -> Self {
        let failed = failed.filter(|failed| failed.leader == leader);
        let role = cx.membership.role();
        let mut following = Self {
            leader,
            round,
            role,
            masters: LearnerMasters::of(leader, role, failed, cx),
            link: None,
            phase: Phase::Connecting,
            heard_at: cx.now.mono,
            redial_at: failed.map(|failed| cx.now.mono + failed.pause(round)),
            redial_after: REDIAL_AFTER_MIN.min(cx.config.leader_connect_delay),
            has_dialled: false,
            touched: BTreeMap::new(),
            acked: Zxid::ZERO,
            syncs: VecDeque::new(),
            observers: ObserverMaster::default(),
            designated: None,
        };
        following.take_in(parked, cx);
        if failed.is_none() {
            following.dial(cx);
        }
        following
    }

    fn dial(&mut self, cx: &mut Cx) {
        self.has_dialled = true;
        let (to, port) = self.masters.current();
        cx.push(Action::Dial { to, port });
    }

    pub(crate) fn link(&self) -> Option<LinkId> {
        self.link
    }
    pub(crate) fn role(&self) -> MemberRole {
        self.role
    }
    /// Whom this server learns from.
    pub(crate) fn master(&self) -> ServerId {
        self.masters.current().0
    }
    pub(crate) fn designated(&self) -> Option<ServerId> {
        self.designated
    }

    /// This term is over: what the next one is to know about it.
    pub(crate) fn failure(&self, before: Option<FailedTerms>) -> Option<FailedTerms> {
        match self.phase {
            Phase::Broadcast => None,
            // It ended while its first dial had to wait: nobody failed.
            Phase::Connecting if !self.has_dialled => before,
            Phase::Connecting | Phase::Greeted | Phase::Accepting(_) | Phase::Synchronizing(_) => {
                Some(FailedTerms::one_more(before, self))
            }
        }
    }

    /// Is a link on this port of this server what was asked for last?
    pub(crate) fn dials(&self, to: ServerId, port: Port) -> bool {
        self.masters.current() == (to, port)
    }

    pub(crate) fn on_link_up(&mut self, link: LinkId, cx: &mut Cx) {
        let Phase::Connecting = self.phase else {
            cx.close_link(link, CloseReason::Superseded);
            return;
        };
        self.link = Some(link);
        self.phase = Phase::Greeted;
        // Zab: phase 1, step f.1.1 (CEPOCH)
        let info = LearnerInfo {
            id: cx.config.my_id,
            protocol_version: LEARNER_PROTOCOL_VERSION,
            config_version: cx.membership.committed().version as i64,
        };
        let accepted = cx.epochs.accepted;
        let greeting = match self.role {
            MemberRole::Participant => QuorumPacket::FollowerInfo { accepted, info },
            MemberRole::Observer => QuorumPacket::ObserverInfo { accepted, info },
        };
        cx.send(link, greeting);
    }

    /// Has the leader itself refused us, who should listen by now? A Zebu does for as long as it runs,
    /// others from some time after they were elected.
    // ZK: Learner.connectToLeader (3.9)
    // Departs: upstream tries five times, whatever else it knows, and begins anew.
    pub(crate) fn on_dial_failed(
        &mut self,
        to: ServerId,
        port: Port,
        is_upstream: bool,
        cx: &Cx,
    ) -> bool {
        if !self.dials(to, port) {
            return false;
        }
        let was_patient = self.redial_after >= cx.config.leader_connect_delay;
        self.masters.next();
        self.redial_at = Some(cx.now.mono + self.redial_after);
        self.redial_after = (self.redial_after * 2).min(cx.config.leader_connect_delay);
        to == self.leader && (was_patient || !is_upstream)
    }

    pub(crate) fn is_connecting(&self) -> bool {
        matches!(self.phase, Phase::Connecting)
    }

    pub(crate) fn leader_is_silent(&self, cx: &Cx) -> bool {
        self.silent_at(cx) <= cx.now.mono
    }

    /// When the leader counts as gone.
    fn silent_at(&self, cx: &Cx) -> Instant {
        let settled = match &self.phase {
            Phase::Broadcast => true,
            Phase::Synchronizing(sync) => sync.is_acknowledged(),
            Phase::Connecting | Phase::Greeted | Phase::Accepting(_) => false,
        };
        self.heard_at + if settled { cx.config.sync_timeout() } else { cx.config.init_timeout() }
    }

    pub(crate) fn deadline(&self, cx: &Cx) -> Instant {
        let silent = self.silent_at(cx);
        self.redial_at.map_or(silent, |at| at.min(silent))
    }

    pub(crate) fn on_wake(&mut self, cx: &mut Cx) -> Result<(), PeerMisbehaved> {
        if self.leader_is_silent(cx) {
            return Err(PeerMisbehaved::Silent);
        }
        if self.redial_at.is_some_and(|at| at <= cx.now.mono) {
            self.redial_at = None;
            self.dial(cx);
        }
        Ok(())
    }

    /// One message of the leader. An error ends the term.
    pub(crate) fn on_message(
        &mut self,
        message: PeerMessage,
        cx: &mut Cx,
    ) -> Result<Heard, PeerMisbehaved> {
        self.heard_at = cx.now.mono;
        let packet = match message {
            PeerMessage::Quorum(packet) => packet,
            PeerMessage::Snapshot(database) => {
                let Phase::Synchronizing(sync) = &mut self.phase else {
                    let what = "a snapshot";
                    return Err(PeerMisbehaved::Unexpected { what, phase: self.phase.name() });
                };
                sync.on_snapshot(database, cx)?;
                return Ok(Heard::Nothing);
            }
            PeerMessage::Election(_) => {
                let what = "a notification";
                return Err(PeerMisbehaved::Unexpected { what, phase: self.phase.name() });
            }
        };
        let packet = self.plain(packet);
        match (&mut self.phase, packet) {
            (Phase::Greeted, QuorumPacket::LeaderInfo { epoch, .. }) => {
                self.on_leader_info(epoch, cx)?;
            }
            (Phase::Synchronizing(sync), packet) => match packet {
                QuorumPacket::Diff { zxid } => sync.on_diff(zxid, cx)?,
                QuorumPacket::Trunc { zxid } => sync.on_trunc(zxid, cx)?,
                QuorumPacket::Snap { zxid } => sync.on_snap(zxid, cx)?,
                QuorumPacket::Proposal(entry) => sync.on_proposal(entry, cx)?,
                QuorumPacket::Commit { zxid } => sync.on_commit(zxid, cx)?,
                QuorumPacket::Inform(entry) if self.role == MemberRole::Observer => {
                    sync.on_inform(entry, cx)?;
                }
                QuorumPacket::NewLeader { zxid, config } => {
                    sync.on_new_leader(zxid, &config, cx)?;
                }
                QuorumPacket::UpToDate => {
                    sync.on_up_to_date(cx)?;
                    let epoch = sync.epoch;
                    self.phase = Phase::Broadcast;
                    if let Some(link) = self.link {
                        // ZK: Learner.syncWithLeader acknowledges UPTODATE too; Java leaders expect
                        // it, the paper has no such step.
                        cx.send(link, QuorumPacket::Ack { zxid: Zxid::start_of(epoch) });
                    }
                    let leader = self.leader;
                    cx.note(Note::UpToDate { epoch, leader });
                    return Ok(Heard::Serve(epoch));
                }
                // A learner in synchronization does not answer pings.
                QuorumPacket::Ping { .. } => {}
                other => return Err(unexpected(&other, "synchronization")),
            },
            (Phase::Broadcast, packet) => return self.on_broadcast(packet, cx),
            (Phase::Accepting(_) | Phase::Connecting | Phase::Greeted, other) => {
                return Err(unexpected(&other, self.phase.name()));
            }
        }
        Ok(Heard::Nothing)
    }

    /// A commit that says who leads behind it is a commit.
    // ZK: Follower.processPacket: COMMITANDACTIVATE, Observer.processPacket: INFORMANDACTIVATE (3.9)
    fn plain(&mut self, packet: QuorumPacket) -> QuorumPacket {
        match packet {
            QuorumPacket::CommitAndActivate { zxid, leader } => {
                self.designated = Some(leader);
                QuorumPacket::Commit { zxid }
            }
            QuorumPacket::InformAndActivate { leader, entry } => {
                self.designated = Some(leader);
                QuorumPacket::Inform(entry)
            }
            other => other,
        }
    }

    // Zab: phase 1, step f.1.2 · ZK: Learner.registerWithLeader (3.9)
    fn on_leader_info(&mut self, epoch: Epoch, cx: &mut Cx) -> Result<(), PeerMisbehaved> {
        let Epochs { accepted, current } = cx.epochs;
        let accepting = if epoch > accepted {
            let durable_at = Some(cx.save_accepted(epoch));
            // What is not kept is no promise, should anybody count on it.
            let current = Some(current).filter(|_| !cx.keeps_nothing());
            Accepting { epoch, durable_at, current }
        } else if epoch == accepted || (self.role == MemberRole::Observer && epoch >= current) {
            // Departs: upstream's observers refuse an epoch older than the one they accepted, for as
            // long as it lasts. Nobody counted on their promise.
            Accepting { epoch, durable_at: None, current: None }
        } else {
            return Err(PeerMisbehaved::EpochWentBack { sent: epoch, accepted });
        };
        self.phase = Phase::Accepting(accepting);
        Ok(())
    }

    // Zab: phase 3 · ZK: Follower.processPacket, Observer.processPacket (3.9)
    fn on_broadcast(&mut self, packet: QuorumPacket, cx: &mut Cx) -> Result<Heard, PeerMisbehaved> {
        match (self.role, packet) {
            (MemberRole::Participant, QuorumPacket::Proposal(entry)) => {
                check_follows(&entry, cx)?;
                cx.metrics.proposal_ms.add(age_ms(&entry.txn.header, cx.now));
                if cx.config.planted(Mutant::ObserverMasterPassesUncommitted) {
                    self.pass_on(&entry, cx);
                }
                cx.append(entry);
            }
            (MemberRole::Participant, QuorumPacket::Commit { zxid }) => {
                if zxid > cx.history.logged() {
                    let logged = cx.history.logged();
                    return Err(PeerMisbehaved::CommitBeyondLog { zxid, logged });
                }
                cx.history.commit(zxid);
            }
            (MemberRole::Observer, QuorumPacket::Inform(entry)) => on_inform(entry, cx)?,
            // INFORM says both.
            (MemberRole::Observer, QuorumPacket::Proposal(_) | QuorumPacket::Commit { .. }) => {}
            (_, QuorumPacket::Ping { zxid }) => {
                let touched = core::mem::take(&mut self.touched);
                let touched = if cx.config.planted(Mutant::TouchNotForwarded) {
                    alloc::vec::Vec::new()
                } else {
                    touched.into_iter().collect()
                };
                if let Some(link) = self.link {
                    cx.send(link, QuorumPacket::PingReply { zxid, touched });
                }
                self.observers.ping(cx);
            }
            (_, QuorumPacket::Sync) => match self.syncs.pop_front() {
                Some(Asker::Here(conn)) => return Ok(Heard::Synced(conn)),
                Some(Asker::Observer(link)) => self.observers.synced(link, cx),
                None => {}
            },
            (_, QuorumPacket::Revalidated { session, valid }) => {
                if self.observers.on_revalidated(session, valid, cx) {
                    return Ok(Heard::Revalidated { session, valid });
                }
            }
            (_, other) => return Err(unexpected(&other, "broadcast")),
        }
        Ok(Heard::Nothing)
    }

    /// Sends the acknowledgements that have become true: something may be durable now.
    pub(crate) fn acknowledge(&mut self, cx: &mut Cx) {
        let Some(link) = self.link else { return };
        match &mut self.phase {
            Phase::Accepting(accepting) => {
                if accepting.durable_at.is_none_or(|ticket| cx.is_durable(ticket)) {
                    // Who says that it has nothing is sent a snapshot.
                    let last = if cx.wants_snapshot { Zxid::ZERO } else { cx.history.logged() };
                    let current = accepting.current;
                    cx.send(link, QuorumPacket::AckEpoch { last, current });
                    self.phase = Phase::Synchronizing(LearnerSync::enter(accepting.epoch));
                }
            }
            Phase::Synchronizing(sync) => {
                if sync.may_acknowledge(cx) {
                    let zxid = Zxid::start_of(sync.epoch);
                    self.acked = cx.history.committed().max(zxid);
                    cx.send(link, QuorumPacket::Ack { zxid });
                }
                if sync.is_acknowledged() {
                    self.acknowledge_proposals(link, cx);
                }
            }
            Phase::Broadcast => self.acknowledge_proposals(link, cx),
            Phase::Connecting | Phase::Greeted => {}
        }
    }

    /// One ACK for each proposal, in order: Java leaders count them one by one.
    fn acknowledge_proposals(&mut self, link: LinkId, cx: &mut Cx) {
        if self.role == MemberRole::Observer {
            return;
        }
        let durable = if cx.config.planted(Mutant::AckBeforeSync) {
            cx.history.logged()
        } else {
            cx.history.durable()
        };
        while self.acked < durable {
            // Acknowledged zxids are of this epoch, and contiguous.
            self.acked = Zxid(self.acked.0 + 1);
            cx.send(link, QuorumPacket::Ack { zxid: self.acked });
        }
    }

    pub(crate) fn forward(&self, forwarded: Forwarded, cx: &mut Cx) {
        if let Some(link) = self.link {
            cx.send(link, QuorumPacket::Request(forwarded));
        }
    }
    pub(crate) fn forward_sync(&mut self, conn: ConnId, forwarded: Forwarded, cx: &mut Cx) {
        self.syncs.push_back(Asker::Here(conn));
        self.forward(forwarded, cx);
    }
    pub(crate) fn revalidate(&mut self, session: SessionId, timeout_ms: i32, cx: &mut Cx) {
        if self.serves_on(Port::ObserverMaster, cx) {
            self.observers.asks_for(session, Asker::Here(()));
        }
        self.ask_for(session, timeout_ms, cx);
    }
    fn ask_for(&self, session: SessionId, timeout_ms: i32, cx: &mut Cx) {
        if let Some(link) = self.link {
            cx.send(link, QuorumPacket::Revalidate { session, timeout_ms });
        }
    }
    pub(crate) fn touch(&mut self, session: SessionId, timeout_ms: i32) {
        self.touched.insert(session, timeout_ms);
    }
}

fn unexpected(packet: &QuorumPacket, phase: &'static str) -> PeerMisbehaved {
    PeerMisbehaved::Unexpected { what: packet.name(), phase }
}

impl Phase {
    fn name(&self) -> &'static str {
        match self {
            Self::Connecting => "connecting",
            Self::Greeted => "discovery, before LEADERINFO",
            Self::Accepting(_) => "discovery, before ACKEPOCH",
            Self::Synchronizing(_) => "synchronization",
            Self::Broadcast => "broadcast",
        }
    }
}

impl QuorumPacket {
    /// Upstream's name of the packet type.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Request(_) => "REQUEST",
            Self::Proposal(_) => "PROPOSAL",
            Self::Ack { .. } => "ACK",
            Self::Commit { .. } => "COMMIT",
            Self::Ping { .. } | Self::PingReply { .. } => "PING",
            Self::Revalidate { .. } | Self::Revalidated { .. } => "REVALIDATE",
            Self::Sync => "SYNC",
            Self::Inform(_) => "INFORM",
            Self::CommitAndActivate { .. } => "COMMITANDACTIVATE",
            Self::NewLeader { .. } => "NEWLEADER",
            Self::FollowerInfo { .. } => "FOLLOWERINFO",
            Self::UpToDate => "UPTODATE",
            Self::Diff { .. } => "DIFF",
            Self::Trunc { .. } => "TRUNC",
            Self::Snap { .. } => "SNAP",
            Self::ObserverInfo { .. } => "OBSERVERINFO",
            Self::LeaderInfo { .. } => "LEADERINFO",
            Self::AckEpoch { .. } => "ACKEPOCH",
            Self::InformAndActivate { .. } => "INFORMANDACTIVATE",
        }
    }
}
