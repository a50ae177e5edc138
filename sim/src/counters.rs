//! What a run reached, counted from observations and from what the world did. A zero in the summary
//! of a swarm is a finding: something was not tested.

use std::collections::{BTreeMap, BTreeSet};

use zebu_core::client::{CallId, Outcome};
use zebu_core::config::MemberRole;
use zebu_core::ids::{ServerId, Zxid};
use zebu_core::proto::{
    ClientMessage, ClientRequest, ErrorCode, MultiResult, QuorumPacket, Request, Response,
};
use zebu_core::server::{Action, Event, Note, PeerMessage, RoleName, SyncKind};
use zebu_core::storage::DiskOp;

use crate::faults::{Boundary, FaultClass};
use crate::history::{ClientId, Observation, StopReason};

macro_rules! counters {
    ($($name:ident = $text:literal;)*) => {
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub enum Counter { $($name),* }
        impl Counter {
            pub const ALL: &'static [Self] = &[$(Self::$name),*];
            pub const fn text(self) -> &'static str {
                match self { $(Self::$name => $text),* }
            }
        }
    };
}

counters! {
    Elections = "leaders established";
    Looking = "servers back in election";
    Observing = "terms of observers";
    Informs = "transactions sent by INFORM";
    InformsInSync = "INFORMs before UPTODATE";
    InformsByFollowers = "INFORMs by followers";
    ObserverGrants = "sessions at observers";
    SyncDiff = "synced by DIFF";
    SyncTrunc = "synced by TRUNC";
    SyncSnap = "synced by SNAP";
    Truncations = "logs truncated";
    PowerLosses = "power losses";
    ClusterPowerLosses = "power losses of all servers";
    Kills = "kills";
    Halts = "halts";
    Starts = "starts";
    CrashInRecovery = "crashes during recovery";
    CrashSend = "crashes at a message";
    CrashReply = "crashes at a reply";
    CrashStore = "crashes at a store";
    CrashOther = "crashes at another action";
    CrashCreate = "crashes at create";
    CrashWrite = "crashes at write";
    CrashSetLen = "crashes at set length";
    CrashSync = "crashes at sync";
    CrashRename = "crashes at rename";
    CrashRemove = "crashes at remove";
    CrashSyncDir = "crashes at directory sync";
    UnsyncedTail = "power losses with unsynced data";
    LostWrites = "unsynced writes lost";
    TornWrites = "unsynced writes torn";
    NamesUndone = "unsynced names undone";
    DirtyKill = "kills with unsynced data";
    SyncErrors = "sync errors";
    WriteErrors = "write errors";
    NoSpace = "refused by a full disk";
    Snapshots = "snapshots taken";
    SnapshotOverlap = "appends during a snapshot";
    GroupCommitMax = "most appends in one batch";
    Partitions = "partitions";
    OneWay = "one-way cuts";
    Stalls = "stalled connections";
    Breaks = "broken connections";
    SlowLinks = "slow links";
    SlowDisks = "slow disks";
    Pauses = "pauses";
    ClockJumps = "wall clock jumps";
    ClockDrifts = "clock drift changes";
    DialsFailed = "dials failed";
    SessionsOpened = "sessions opened";
    SessionsExpired = "sessions expired";
    ContainersRemoved = "containers and TTL nodes removed";
    SessionsMoved = "sessions moved";
    SessionsUpgraded = "local sessions upgraded";
    ReadOnlyServers = "servers read-only";
    ReadOnlyGrants = "sessions at read-only servers";
    NotReadOnly = "requests refused by read-only servers";
    SessionsResumed = "sessions resumed";
    ClientExpired = "clients told of expiry";
    ClientCrashes = "clients crashed";
    ClientPauses = "clients paused";
    Hops = "client hops";
    Reopened = "sessions closed and reopened";
    WatchesFired = "watches fired";
    WatchesRearmed = "watches re-armed";
    PersistentRearmed = "persistent watches re-armed";
    WatchesRemoved = "removals of watches asked for";
    CatchUpEvents = "events by setWatches";
    Calls = "calls";
    CallsOk = "calls that succeeded";
    CallsRefused = "calls refused";
    CallsUnknown = "calls with unknown outcome";
    CallsNotSent = "calls never sent";
    MultisOk = "multis done";
    MultisFailed = "multis failed";
    QuotasExceeded = "calls refused for a quota";
    AccessDenied = "calls refused for an access list";
    Logins = "logins";
    Syncs = "client syncs done";
    PipelinedMax = "most calls in flight";
    CodecRuns = "runs through the codecs";
    Refused = "refusals noted";
    Rollovers = "epochs used up";
    LogsRead = "DIFFs from files";
    RottenSnapshots = "snapshots rotten";
    Purged = "files purged";
    Wipes = "disks wiped";
    NoDatabase = "starts refused without a database";
    NegativeVersions = "replies with a negative version";
    FullSetWatches = "setWatches that need another";
    CheckedAlone = "checks alone";
    Reconfigurations = "reconfigurations committed";
    Joined = "servers joined";
    Left = "servers left";
    RolesChanged = "servers in another role";
    HandedOver = "leaders that handed over";
    NoSuchQuorum = "reconfigurations without a quorum";
    InProgress = "reconfigurations while one was under way";
    NotThisVersion = "reconfigurations of another version";
    NotAnEnsemble = "reconfigurations to no ensemble";
    UponReconfiguration = "faults upon a reconfiguration";
}

/// A client that brings more watches along sends another setWatches.
const SET_WATCHES_BYTES: usize = 128 * 1024;

/// The two that are maxima, not sums.
const MAXIMA: [Counter; 2] = [Counter::GroupCommitMax, Counter::PipelinedMax];

#[derive(Clone, Debug)]
pub struct Counters {
    values: Vec<u64>,
    /// Observers of the run at hand, and whether they have heard UPTODATE.
    observers: BTreeMap<ServerId, bool>,
    followers: BTreeSet<ServerId>,
    /// As what servers take part in the run at hand, once they know.
    roles: BTreeMap<ServerId, Option<MemberRole>>,
    /// The reconfiguration that was committed last in it.
    activated: Zxid,
    /// Calls for reconfigurations in it that are not answered.
    asked: BTreeSet<(ClientId, CallId)>,
    pub runs: u64,
    pub events: u64,
    pub simulated_ns: u64,
}

impl Default for Counters {
    fn default() -> Self {
        Self {
            values: vec![0; Counter::ALL.len()],
            observers: BTreeMap::new(),
            followers: BTreeSet::new(),
            roles: BTreeMap::new(),
            activated: Zxid::ZERO,
            asked: BTreeSet::new(),
            runs: 0,
            events: 0,
            simulated_ns: 0,
        }
    }
}

impl Counters {
    #[inline]
    pub fn add(&mut self, counter: Counter, n: u64) {
        self.values[counter as usize] += n;
    }
    pub fn raise(&mut self, counter: Counter, n: u64) {
        let value = &mut self.values[counter as usize];
        *value = (*value).max(n);
    }
    pub fn get(&self, counter: Counter) -> u64 {
        self.values[counter as usize]
    }
    pub fn merge(&mut self, other: &Self) {
        for (index, counter) in Counter::ALL.iter().enumerate() {
            if MAXIMA.contains(counter) {
                self.values[index] = self.values[index].max(other.values[index]);
            } else {
                self.values[index] += other.values[index];
            }
        }
        self.runs += other.runs;
        self.events += other.events;
        self.simulated_ns += other.simulated_ns;
    }

    pub fn crash_at(&mut self, boundary: Boundary) {
        self.add(
            match boundary {
                Boundary::Send => Counter::CrashSend,
                Boundary::Reply => Counter::CrashReply,
                Boundary::Store => Counter::CrashStore,
                Boundary::Other => Counter::CrashOther,
                Boundary::Create => Counter::CrashCreate,
                Boundary::Write => Counter::CrashWrite,
                Boundary::SetLen => Counter::CrashSetLen,
                Boundary::Sync => Counter::CrashSync,
                Boundary::Rename => Counter::CrashRename,
                Boundary::Remove => Counter::CrashRemove,
                Boundary::SyncDir => Counter::CrashSyncDir,
            },
            1,
        );
    }

    /// A fault of this class was done to the world.
    pub fn fault(&mut self, class: FaultClass) {
        let counter = match class {
            FaultClass::ClusterPowerLoss => Counter::ClusterPowerLosses,
            FaultClass::Pause => Counter::Pauses,
            FaultClass::Partition => Counter::Partitions,
            FaultClass::OneWay => Counter::OneWay,
            FaultClass::Stall => Counter::Stalls,
            FaultClass::Break => Counter::Breaks,
            FaultClass::SlowLink => Counter::SlowLinks,
            FaultClass::SlowDisk => Counter::SlowDisks,
            FaultClass::ClockJump => Counter::ClockJumps,
            FaultClass::ClockDrift => Counter::ClockDrifts,
            FaultClass::ClientPause => Counter::ClientPauses,
            FaultClass::ClientCrash => Counter::ClientCrashes,
            // Counted when they take effect.
            FaultClass::PowerLoss
            | FaultClass::Kill
            | FaultClass::SyncError
            | FaultClass::WriteError
            | FaultClass::DiskFull
            | FaultClass::RottenSnapshot
            | FaultClass::Wipe => return,
        };
        self.add(counter, 1);
    }

    pub fn observe(&mut self, what: &Observation<'_>) {
        use zebu_core::client::SessionEvent;
        match what {
            Observation::Started { .. } => self.add(Counter::Starts, 1),
            Observation::Stopped { why, .. } => match why {
                StopReason::PowerLoss => self.add(Counter::PowerLosses, 1),
                StopReason::Kill => self.add(Counter::Kills, 1),
                StopReason::Halt => self.add(Counter::Halts, 1),
                StopReason::Shutdown => {}
            },
            Observation::Event { server, event } => match event {
                Event::Peer { message: PeerMessage::Quorum(QuorumPacket::Inform(_)), .. }
                    if self.observers.get(server) == Some(&false) =>
                {
                    self.add(Counter::InformsInSync, 1);
                }
                Event::Truncated { .. } => self.add(Counter::Truncations, 1),
                Event::SnapshotTaken { .. } => self.add(Counter::Snapshots, 1),
                Event::DialFailed { .. } => self.add(Counter::DialsFailed, 1),
                _ => {}
            },
            Observation::Action { server, action } => self.action(*server, action),
            Observation::Completed { client, call, outcome }
                if self.asked.remove(&(*client, *call)) =>
            {
                self.reconfigured(outcome);
            }
            Observation::Completed { outcome, .. } => match outcome {
                Outcome::Replied { result: Ok(response), .. } => {
                    self.add(Counter::CallsOk, 1);
                    if let Response::Stat(stat) | Response::Data { stat, .. } = response {
                        self.add(Counter::NegativeVersions, u64::from(stat.version < 0));
                    }
                    let reads =
                        |r: &_| matches!(r, MultiResult::Data { .. } | MultiResult::Children(_));
                    if let Response::Multi(results) = response
                        && !results.iter().any(reads)
                    {
                        let failed = results.iter().any(|r| matches!(r, MultiResult::Error(_)));
                        let which = if failed { Counter::MultisFailed } else { Counter::MultisOk };
                        self.add(which, 1);
                    }
                }
                Outcome::Replied { result: Err(code), .. } => {
                    self.add(Counter::CallsRefused, 1);
                    match *code {
                        ErrorCode::QUOTA_EXCEEDED => self.add(Counter::QuotasExceeded, 1),
                        ErrorCode::NO_AUTH => self.add(Counter::AccessDenied, 1),
                        ErrorCode::NOT_READ_ONLY => self.add(Counter::NotReadOnly, 1),
                        _ => {}
                    }
                }
                Outcome::Unknown => self.add(Counter::CallsUnknown, 1),
                Outcome::NotSent => self.add(Counter::CallsNotSent, 1),
            },
            Observation::Call { client, call, request } => {
                self.add(Counter::Calls, 1);
                match request {
                    Request::Reconfig(_) => {
                        self.asked.insert((*client, *call));
                    }
                    Request::RemoveWatches { .. } => self.add(Counter::WatchesRemoved, 1),
                    Request::Auth { .. } => self.add(Counter::Logins, 1),
                    Request::Check { .. } => self.add(Counter::CheckedAlone, 1),
                    _ => {}
                }
            }
            Observation::Watch { zxid, .. } => {
                self.add(Counter::WatchesFired, 1);
                if *zxid == -1 {
                    self.add(Counter::CatchUpEvents, 1);
                }
            }
            Observation::Session { event, .. } => match event {
                SessionEvent::Resumed { .. } => self.add(Counter::SessionsResumed, 1),
                SessionEvent::Expired { .. } => self.add(Counter::ClientExpired, 1),
                SessionEvent::Closed => self.add(Counter::Reopened, 1),
                SessionEvent::Opened { .. } | SessionEvent::Disconnected => {}
            },
            Observation::Sent {
                request: ClientRequest::Request { request: Request::SetWatches(set), .. },
                ..
            } => {
                let many = set.data.len() + set.exist.len() + set.child.len();
                self.add(Counter::WatchesRearmed, many as u64);
                let lists = [&set.data, &set.exist, &set.child, &set.persistent];
                let bytes: usize = lists.into_iter().flatten().map(String::len).sum();
                self.add(Counter::FullSetWatches, u64::from(bytes >= SET_WATCHES_BYTES));
                let persistent = set.persistent.len() + set.persistent_recursive.len();
                self.add(Counter::PersistentRearmed, persistent as u64);
            }
            _ => {}
        }
    }

    fn reconfigured(&mut self, outcome: &Outcome) {
        let counter = match outcome {
            Outcome::Replied { result: Ok(_), .. } => Counter::CallsOk,
            Outcome::Replied { result: Err(code), .. } => match *code {
                ErrorCode::NEW_CONFIG_NO_QUORUM => Counter::NoSuchQuorum,
                ErrorCode::RECONFIG_IN_PROGRESS => Counter::InProgress,
                ErrorCode::BAD_VERSION => Counter::NotThisVersion,
                ErrorCode::BAD_ARGUMENTS => Counter::NotAnEnsemble,
                _ => Counter::CallsRefused,
            },
            Outcome::Unknown => Counter::CallsUnknown,
            Outcome::NotSent => Counter::CallsNotSent,
        };
        self.add(counter, 1);
    }

    fn action(&mut self, server: ServerId, action: &Action) {
        if let Action::Reconfigure { committed, .. } = action {
            let role = committed.members.get(&server).map(|member| member.role);
            match (self.roles.insert(server, role), role) {
                (Some(None), Some(_)) => self.add(Counter::Joined, 1),
                (Some(Some(_)), None) => self.add(Counter::Left, 1),
                (Some(Some(was)), Some(is)) if was != is => self.add(Counter::RolesChanged, 1),
                _ => {}
            }
        }
        let activates = match action {
            Action::Send { message: PeerMessage::Quorum(packet), .. } => match packet {
                QuorumPacket::CommitAndActivate { zxid, leader } => Some((*zxid, *leader)),
                QuorumPacket::InformAndActivate { entry, leader } => Some((entry.zxid(), *leader)),
                _ => None,
            },
            _ => None,
        };
        if let Some((zxid, leader)) = activates.filter(|(zxid, _)| *zxid > self.activated) {
            self.activated = zxid;
            self.add(Counter::Reconfigurations, 1);
            self.add(Counter::HandedOver, u64::from(leader != server));
        }
        if let Action::Reply { message: ClientMessage::Connected(granted), .. } = action {
            if granted.read_only == Some(true) {
                self.add(Counter::ReadOnlyGrants, 1);
            } else if granted.timeout_ms > 0 && self.observers.get(&server) == Some(&true) {
                self.add(Counter::ObserverGrants, 1);
            }
        }
        if let Action::Send { message: PeerMessage::Quorum(QuorumPacket::Inform(_)), .. } = action {
            self.add(Counter::Informs, 1);
            self.add(Counter::InformsByFollowers, u64::from(self.followers.contains(&server)));
        }
        let Action::Note(note) = action else { return };
        match note {
            Note::Role(RoleName::Following) => {
                self.followers.insert(server);
            }
            Note::Role(_) => {
                self.followers.remove(&server);
            }
            _ => {}
        }
        match note {
            // Told by the learner too; counted where the leader chose.
            Note::Sync { learner, .. } if *learner == server => {}
            Note::Role(RoleName::Looking) => self.add(Counter::Looking, 1),
            Note::Role(RoleName::Observing) => {
                self.observers.insert(server, false);
                self.add(Counter::Observing, 1);
            }
            Note::UpToDate { .. } => {
                if let Some(up_to_date) = self.observers.get_mut(&server) {
                    *up_to_date = true;
                }
            }
            Note::Established { .. } => self.add(Counter::Elections, 1),
            Note::Sync { how: SyncKind::Diff, .. } => self.add(Counter::SyncDiff, 1),
            Note::Sync { how: SyncKind::Trunc, .. } => self.add(Counter::SyncTrunc, 1),
            Note::Sync { how: SyncKind::Snap, .. } => self.add(Counter::SyncSnap, 1),
            Note::SessionOpened(_) => self.add(Counter::SessionsOpened, 1),
            Note::SessionExpired(_) => self.add(Counter::SessionsExpired, 1),
            Note::ContainerRemoved(_) => self.add(Counter::ContainersRemoved, 1),
            Note::SessionMoved(_) => self.add(Counter::SessionsMoved, 1),
            Note::SessionUpgrading(_) => self.add(Counter::SessionsUpgraded, 1),
            Note::ReadOnly(on) => self.add(Counter::ReadOnlyServers, u64::from(*on)),
            Note::Refused(why) => {
                self.add(Counter::Refused, 1);
                let rollover = why.ends_with("the counter of this epoch is used up");
                self.add(Counter::Rollovers, u64::from(rollover));
            }
            // A digest that differs is T-EQ's to find.
            Note::DigestMismatch { .. }
            | Note::Role(RoleName::Leading | RoleName::Following)
            | Note::QuotaExceeded { .. }
            | Note::Delivered { .. } => {}
        }
    }

    /// `name: value` for each, in order of declaration.
    pub fn rows(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        Counter::ALL.iter().map(|counter| (counter.text(), self.get(*counter)))
    }
}

/// Does this write append to a log while a snapshot is under way? Only the file's kind counts.
pub fn is_log_write(op: &DiskOp) -> bool {
    matches!(op, DiskOp::Write { file, .. } if file.name.starts_with("log."))
}
