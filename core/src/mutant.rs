//! Planted mistakes, for testing the tester. One line at each site asks [`Config::planted`]; without
//! the feature `mutants` the answer is a constant `false` and the site compiles to nothing.
//!
//! The recipes are known upstream mistakes; each names the property that a checker must see broken.
//!
//! [`Config::planted`]: crate::config::Config::planted

use serde::{Deserialize, Serialize};

macro_rules! mutants {
    ($($(#[$doc:meta])* $name:ident = $id:literal => $property:literal;)*) => {
        /// A mistake that can be planted, at most one at a time.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
        pub enum Mutant { $($(#[$doc])* $name),* }

        impl Mutant {
            pub const ALL: &'static [Self] = &[$(Self::$name),*];
            /// The recipe's name.
            pub const fn id(self) -> &'static str {
                match self { $(Self::$name => $id),* }
            }
            /// The properties, first one expected first, that the mistake breaks.
            pub const fn breaks(self) -> &'static str {
                match self { $(Self::$name => $property),* }
            }
            pub fn from_id(id: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|m| m.id() == id)
            }
        }
    };
}

mutants! {
    /// New epoch is the largest accepted one, not one more.
    DiscEpochMaxNotPlusOne = "disc_epoch_max_not_plus_one" => "L-CLI L-LEAD Z-LEAD Z-UNIQ";
    /// The leader does not resign when an epoch acknowledgement shows newer history than its own.
    DiscSkipNewerCheck = "disc_skip_newer_check" => "Z-ELEC Z-KEEP";
    /// An epoch file is overwritten in place.
    EpochWriteInPlace = "epoch_write_in_place" => "Z-EPOCH L-BOOT";
    /// Votes compare round and zxid for servers that already lead or follow.
    FleRejoinFullVoteEq = "fle_rejoin_full_vote_eq" => "L-JOIN";
    /// Observers' votes count in an election.
    FleCountObservers = "fle_count_observers" => "Z-ELEC L-CLI Z-QUOR";
    /// Observers count among those who report and acknowledge an epoch.
    DiscObserverEpoch = "disc_observer_epoch" => "Z-ELEC Z-LEAD Z-EPOCH";
    /// INFORMs that come before UPTODATE are thrown away.
    ObsDropInformsInSync = "obs_drop_informs_in_sync" => "L-EQ C-SYNC T-EQ C-MONO";
    /// Synchronized observers count among those who hold a proposal.
    ObserverAckCounts = "observer_ack_counts" => "Z-QUOR Z-KEEP";
    /// A follower passes proposals on to the observers that it serves, committed or not.
    ObserverMasterPassesUncommitted = "observer_master_passes_uncommitted" => "Z-QUOR Z-MSG";
    /// Every voter weighs the same.
    WeightsIgnored = "weights_ignored" => "Z-ELEC Z-QUOR";
    /// A majority of all voters is a quorum, in whatever groups they are.
    GroupsIgnored = "groups_ignored" => "Z-ELEC Z-QUOR";
    /// Proposals of a DIFF are logged only when UPTODATE comes.
    SyncLogAtUptodate = "sync_log_at_uptodate" => "D-ACK Z-QUOR Z-KEEP";
    /// At NEWLEADER all received proposals are applied, committed or not.
    SyncApplyUncommitted = "sync_apply_uncommitted" => "Z-QUOR T-EQ";
    /// Between the computed DIFF and the forwarding set a commit falls through.
    SyncForwardGap = "sync_forward_gap" => "Z-MSG D-HOLE Z-AGR";
    /// The leader only sees that its own zxid is larger and sends DIFF.
    SyncDiffOnNewerEpoch = "sync_diff_on_newer_epoch" => "Z-MSG Z-AGR T-EQ";
    /// What the log's files have is sent with what is in memory, whether or not they touch.
    SyncGapUnchecked = "sync_gap_unchecked" => "Z-MSG D-HOLE Z-AGR";
    /// TRUNC keeps one record too many.
    TruncOffByOne = "trunc_off_by_one" => "D-MEM Z-INT";
    /// A proposal is acknowledged before it is durable.
    AckBeforeSync = "ack_before_sync" => "D-ACK D-DUR";
    /// NEWLEADER is acknowledged before the synchronized history is durable.
    AckNewLeaderBeforeSync = "ack_new_leader_before_sync" => "D-ACK Z-QUOR";
    /// A vote carries a zxid that is not durable yet.
    VoteBeforeDurable = "vote_before_durable" => "D-ACK D-MEM";
    /// The vote of a leader that was never established names its new epoch.
    LeaderZxidPremature = "leader_zxid_premature" => "Z-ELEC Z-KEEP";
    /// The leader commits on its own ack alone.
    CommitWithoutQuorum = "commit_without_quorum" => "Z-QUOR Z-KEEP";
    /// A sync is answered without the commits before it.
    SyncReplyBypassesApply = "sync_reply_bypasses_apply" => "C-FIFO C-SYNC";
    /// A leader answers a sync without asking a quorum whether it still leads.
    SyncWithoutQuorum = "sync_without_quorum" => "C-SYNC C-SESS";
    /// The directory is not synced before the first acknowledgement from a new log file.
    NoDirSync = "no_dir_sync" => "D-ACK Z-QUOR Z-KEEP";
    /// Recovery stops at a torn record but the next append goes behind it.
    TailGarbageKept = "tail_garbage_kept" => "D-HOLE";
    /// A snapshot becomes visible before its content is synced.
    SnapRenameBeforeSync = "snap_rename_before_sync" => "D-SNAP L-BOOT";
    /// Log records from before a received snapshot stay valid.
    SnapKeepsOldSuffix = "snap_keeps_old_suffix" => "Z-AGR Z-INT T-EQ";
    /// After TRUNC recovery may pick a newer snapshot. As upstream's, snapshots then hold what is
    /// logged, committed or not; ours are taken while serving, of nothing that TRUNC could cut.
    TruncKeepsNewerSnapshot = "trunc_keeps_newer_snapshot" => "D-MEM D-HOLE Z-AGR";
    /// A failed sync is retried and believed.
    FsyncErrorIgnored = "fsync_error_ignored" => "D-ACK Z-QUOR";
    /// A session's create is accepted although its close is in flight.
    CloseNotMarkedPending = "close_not_marked_pending" => "C-EPH T-INV";
    /// Followers do not report the activity of their clients.
    TouchNotForwarded = "touch_not_forwarded" => "C-EXP";
    /// Session ids restart from the same seed.
    SidReseedSame = "sid_reseed_same" => "C-SESS";
    /// A reconnect to a dead session gets a new one.
    ReconnectGetsNewSession = "reconnect_gets_new_session" => "C-SESS";
    /// exists watches are re-armed as data watches.
    ExistsWatchAsData = "exists_watch_as_data" => "C-WSET";
    /// Recursive watches hear of children as persistent ones do.
    RecursiveGetsChildrenEvent = "recursive_gets_children_event" => "C-WSET";
    /// addWatch in one mode takes the other one's place.
    ModeOverwrites = "mode_overwrites" => "C-WSET C-WORD";
    /// Events are sent to those who may not read the node.
    WatchEventNoAcl = "watch_event_no_acl" => "C-ACL";
    /// A write is carried out as nobody's, whoever its client has logged in as.
    WriteWithoutIdentity = "write_without_identity" => "C-ACL C-ERR C-LINW";
    /// Events are sent after the replies of the same batch.
    EventAfterReplies = "event_after_replies" => "C-WORD";
    /// Aborting a multi loses earlier pending changes of the same paths.
    MultiRollbackDropsOlder = "multi_rollback_drops_older" => "C-MULTI C-STAT C-ERR";
    /// A multi stops at the first failing operation but keeps the ones before it.
    MultiKeepsPrefix = "multi_keeps_prefix" => "C-MULTI";
    /// Replicas recompute the parent's cversion, from the children it has, instead of taking it from
    /// the transaction. (To add one to their own would be the same here: snapshots are exact.)
    CversionNotInTxn = "cversion_not_in_txn" => "T-EQ C-STAT C-SEQ";
    /// What a multi does is not counted for quotas.
    QuotaStatsSkipMulti = "quota_stats_skip_multi" => "C-QUOTA";
    /// Limits are compared with what is applied, whatever is in flight (upstream's rule).
    QuotaOfAppliedOnly = "quota_of_applied_only" => "C-QUOTA";
    /// A container or TTL node is removed as the leader saw it, whatever is in flight by then.
    ReaperNoRecheck = "reaper_no_recheck" => "C-LINW T-EQ C-STAT";
    /// The commit finishes the session's first pending request, whatever its xid.
    CommitQueueMatchesBySessionOnly = "commit_queue_matches_by_session_only" => "C-FIFO C-LINW C-RYW";
    /// Reads overtake earlier writes of their own session.
    ReadsOvertakeWrites = "reads_overtake_writes" => "C-FIFO R-INPUT C-RYW";
    /// A client that has seen more than this server is let in.
    AcceptClientAhead = "accept_client_ahead" => "C-MONO";
    /// A local session makes an ephemeral without becoming global.
    LocalUpgradeSkipped = "local_upgrade_skipped" => "C-EPH C-ERR";
    /// A local session is granted to whoever comes with its password, wherever.
    LocalSessionGrantedAnywhere = "local_session_granted_anywhere" => "C-SESS";
    /// A server without a quorum acknowledges a create.
    ReadOnlyAcceptsWrite = "read_only_accepts_write" => "C-RO";
    /// A server without a quorum tells a client that its global session is over.
    ReadOnlyExpiresGlobal = "read_only_expires_global" => "C-SESS";
    /// The counter of zxids carries into the epoch.
    ZxidWrapCarry = "zxid_wrap_carry" => "Z-INT Z-UNIQ Z-EPOCH";
    /// Versions step onto -1, at which every condition holds.
    VersionLandsOnMinusOne = "version_lands_on_minus_one" => "C-STAT C-MULTI C-LINW";
    /// The check of a multi looks at what is applied, whatever is in flight.
    CheckOfAppliedOnly = "check_of_applied_only" => "C-MULTI";
    /// Paths are not looked at before they are created.
    ValidateWeakerThanApply = "validate_weaker_than_apply" => "C-LINW C-MULTI R-INPUT T-EQ";
    /// A session may own more than its closeSession can name.
    CloseTxnUnbounded = "close_txn_unbounded" => "R-INPUT L-BOOT";
    /// A purge keeps the log from the newest snapshot on, without looking whether that can be read.
    PurgeByNewestSnapshot = "purge_by_newest_snapshot" => "D-PURGE";
    /// A server whose disk was lost takes part as a new one.
    BootEmptyVotes = "boot_empty_votes" => "Z-KEEP Z-ELEC";
    /// The watches of a connection that is gone stay.
    WatchLeftAfterClose = "watch_left_after_close" => "R-WATCH";
    /// A leader that lost its quorum goes on.
    LeaderIgnoresLostQuorum = "leader_ignores_lost_quorum" => "L-STEP";
    /// The same where it only lost the quorum of a configuration that is proposed.
    ReconfigPendingQuorumIgnored = "reconfig_pending_quorum_ignored" => "L-STEP L-CLI";
    /// A reconfiguration is committed by the quorum of those who were there before.
    ReconfigNewQuorumIgnored = "reconfig_new_quorum_ignored" => "Z-QUOR Z-KEEP";
    /// A server that looks for a leader takes over any configuration, be it older than its own.
    ConfigOlderWins = "config_older_wins" => "Z-CONF Z-QUOR Z-ELEC";
    /// A reconfiguration does not change the node that shows the ensemble.
    ConfigNodeNotUpdated = "config_node_not_updated" => "T-EQ C-STAT Z-CONF";
    /// A leader that is no voter any more goes on committing.
    RemovedLeaderCommits = "removed_leader_commits" => "Z-CONF Z-QUOR Z-AGR";
}
