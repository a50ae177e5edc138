//! `mntr`: everything that is measured, under upstream's names.
//!
//! Upstream measures its queues and threads too. Zebu has no such stages; their names are listed all
//! the same, because monitors ask for them: what does not exist was never busy, and what is not
//! measured has no samples.
//!
// ZK: MonitorCommand, ServerMetrics (3.9)

use alloc::format;
use alloc::string::String;
use core::fmt::{Display, Write};

use crate::config::MemberRole;
use crate::zab::learner_link::LearnerState;

use super::super::Server;
use super::super::machine::Measured;
use super::super::metrics::{Metrics, Percentiles, Summary};

pub(super) fn answer(server: &Server, out: &mut String) {
    let mut lines = Lines(out);
    gauges(server, &mut lines);
    counters(server, &mut lines);
    summaries(server, &mut lines);
    percentiles(&server.cx.metrics, &mut lines);
    learners(server, &mut lines);
}

struct Lines<'a>(&'a mut String);

impl Lines<'_> {
    fn put(&mut self, key: &str, value: impl Display) {
        let _ = writeln!(self.0, "zk_{key}\t{value}");
    }
    fn summary(&mut self, name: &str, summary: &Summary) {
        self.put(&format!("avg_{name}"), format!("{:?}", summary.average()));
        self.put(&format!("min_{name}"), summary.least());
        self.put(&format!("max_{name}"), summary.most);
        self.put(&format!("cnt_{name}"), summary.count);
        self.put(&format!("sum_{name}"), summary.sum);
    }
    fn percentiles(&mut self, name: &str, measured: &Percentiles) {
        self.summary(name, &measured.summary);
        for (part, per_mille) in [("p50", 500), ("p95", 950), ("p99", 990), ("p999", 999)] {
            self.put(&format!("{part}_{name}"), measured.quantile(per_mille));
        }
    }
}

fn gauges(server: &Server, lines: &mut Lines<'_>) {
    let (cx, order, machine) = (&server.cx, &server.order, &server.machine);
    let (tree, ensemble) = (&cx.database.tree, cx.membership.committed());
    lines.put("version", super::version(server));
    lines.put("server_state", server.mode());
    // ZK: QuorumZooKeeperServer.dumpMonitorValues (3.9): a read-only server is none.
    if !cx.membership.is_alone() && !cx.read_only.is_on() {
        lines.put("peer_state", format!("{} - broadcast", server.peer_state()));
        lines.put("quorum_size", ensemble.voters().count());
    }
    let (least, average, most) = order.stats.latency_ms();
    lines.put("avg_latency", format!("{average:?}"));
    lines.put("max_latency", most);
    lines.put("min_latency", least);
    lines.put("packets_received", order.stats.received);
    lines.put("packets_sent", order.stats.sent);
    lines.put("num_alive_connections", order.conns().count());
    lines.put("outstanding_requests", order.outstanding());
    lines.put("uptime", cx.uptime().as_millis());
    lines.put("znode_count", tree.node_count());
    lines.put("watch_count", order.watch_count());
    lines.put("ephemerals_count", tree.ephemeral_count());
    lines.put("approximate_data_size", tree.approximate_data_size());
    lines.put("global_sessions", cx.database.sessions.len());
    lines.put("local_sessions", order.local_sessions().count());
    for (key, files) in [
        ("open_file_descriptor_count", machine.open_files),
        ("max_file_descriptor_count", machine.open_files_max),
    ] {
        if let Some(files) = files {
            lines.put(key, files);
        }
    }
    let dropped = order.connection_drop_probability().as_f64();
    lines.put("connection_drop_probability", format!("{dropped:?}"));
    let reply = machine
        .traffic
        .reply
        .map_or([-1; 3], |(last, least, most)| [last as i64, least as i64, most as i64]);
    for (key, bytes) in ["last", "min", "max"].into_iter().zip(reply) {
        lines.put(&format!("{key}_client_response_size"), bytes);
    }
    lines.put("outstanding_tls_handshake", 0);
    lines.put("auth_failed_count", cx.metrics.auth_failures);
    // Without TLS nobody shows a certificate.
    let (here, elsewhere): (usize, usize) =
        order.conns().fold((0, 0), |(here, elsewhere), conn| {
            if conn.is_local() { (here + 1, elsewhere) } else { (here, elsewhere + 1) }
        });
    lines.put("non_mtls_local_conn_count", here);
    lines.put("non_mtls_remote_conn_count", elsewhere);
    if let Some(leader) = server.observed() {
        lines.put("observer_master_id", leader);
    }
    if let Some(observers) = server.served_observers() {
        let synced = observers.filter(|observer| observer.state == LearnerState::Active);
        lines.put("synced_observers", synced.count());
    }
    if let Some(learners) = server.learners() {
        let (mut all, mut followers, mut observers, mut voters) = (0, 0, 0, 0);
        for learner in learners {
            all += 1;
            match learner.role {
                _ if learner.state != LearnerState::Active => {}
                MemberRole::Participant => {
                    followers += 1;
                    voters += usize::from(learner.votes());
                }
                MemberRole::Observer => observers += 1,
            }
        }
        lines.put("learners", all);
        lines.put("synced_followers", followers);
        lines.put("synced_observers", observers);
        lines.put("synced_non_voting_followers", followers - voters);
        lines.put("pending_syncs", server.pending_syncs());
        lines.put("leader_uptime", cx.now.mono.since(cx.metrics.role_since).as_millis());
        for (key, bytes) in ["last", "min", "max"].into_iter().zip(server.proposal_sizes()) {
            lines.put(&format!("{key}_proposal_size"), bytes);
        }
    }
}

fn counters(server: &Server, lines: &mut Lines<'_>) {
    let (metrics, traffic) = (&server.cx.metrics, &server.machine.traffic);
    for (key, count) in [
        ("connection_request_count", metrics.connection_requests),
        ("connection_rejected", metrics.connections_rejected),
        ("connection_drop_count", metrics.connections_dropped),
        ("connection_revalidate_count", metrics.sessions_renewed),
        ("revalidate_count", metrics.sessions_renewed),
        ("cnxn_closed_without_zk_server_running", metrics.closed_while_not_serving),
        ("sessionless_connections_expired", traffic.silent),
        ("bytes_received_count", traffic.bytes_received),
        ("response_bytes", traffic.bytes_sent),
        ("stale_sessions_expired", metrics.sessions_expired),
        ("proposal_count", metrics.proposals),
        ("learner_proposal_received_count", metrics.proposals_received),
        ("learner_commit_received_count", metrics.commits_received),
        ("commit_count", metrics.commits),
        ("diff_count", metrics.diffs),
        ("snap_count", metrics.snaps),
        ("large_requests_rejected", traffic.large_refused),
        ("request_throttle_wait_count", metrics.queued_requests),
        ("throttled_ops", metrics.throttled_requests),
        ("stale_requests", metrics.stale_requests),
        ("stale_requests_dropped", metrics.stale_requests),
        ("looking_count", metrics.elections),
        ("digest_mismatches_count", metrics.digest_mismatches),
    ] {
        lines.put(key, count);
    }
    for key in NEVER {
        lines.put(key, 0);
    }
}

fn summaries(server: &Server, lines: &mut Lines<'_>) {
    let metrics = &server.cx.metrics;
    for (key, summary) in [
        ("node_created_watch_count", &metrics.created_watches),
        ("node_deleted_watch_count", &metrics.deleted_watches),
        ("node_changed_watch_count", &metrics.changed_watches),
        ("node_children_watch_count", &metrics.children_watches),
        ("election_time", &metrics.election_ms),
        ("leader_unavailable_time", &metrics.unavailable_ms),
        ("unavailable_time", &metrics.unavailable_ms),
        ("follower_sync_time", &metrics.follower_sync_ms),
        ("snapshottime", &metrics.snapshot_ms),
        ("fsynctime", &Summary::from(server.machine.syncs)),
    ] {
        lines.summary(key, summary);
    }
    for (name, namespace) in &metrics.namespaces {
        for (kind, summary) in [("read", &namespace.read), ("write", &namespace.written)] {
            if let Some(summary) = summary {
                lines.summary(&format!("{name}_{kind}_per_namespace"), summary);
            }
        }
    }
    for key in NO_SUMMARY {
        lines.summary(key, &Summary::default());
    }
}

/// What upstream measures of its queue to each learner.
// ZK: LearnerHandler.run, ServerMetrics.LEARNER_HANDLER_QP_SIZE (3.9)
fn learners(server: &Server, lines: &mut Lines<'_>) {
    let config = &server.cx.config;
    if server.mode() != "leader" {
        return;
    }
    for id in server.cx.membership.committed().members.keys().filter(|id| **id != config.my_id) {
        lines.summary(&format!("{id}_learner_handler_qp_size"), &Summary::default());
        lines.percentiles(&format!("{id}_learner_handler_qp_time_ms"), &Percentiles::default());
    }
}

fn percentiles(metrics: &Metrics, lines: &mut Lines<'_>) {
    lines.percentiles("readlatency", &metrics.read_ms);
    lines.percentiles("updatelatency", &metrics.update_ms);
    lines.percentiles("proposal_latency", &metrics.proposal_ms);
    lines.percentiles("quorum_ack_latency", &metrics.quorum_ack_ms);
    lines.percentiles("propagation_latency", &metrics.propagation_ms);
    for key in NO_PERCENTILES {
        lines.percentiles(key, &Percentiles::default());
    }
}

impl From<Measured> for Summary {
    fn from(measured: Measured) -> Self {
        let Measured { count, sum, least, most } = measured;
        Self::of(count, sum, least, most)
    }
}

/// What cannot happen here, or happens in a stage that Zebu does not have.
const NEVER: &[&str] = &[
    "add_dead_watcher_stall_time",
    "dead_watchers_cleared",
    "dead_watchers_queued",
    "ensemble_auth_fail",
    "ensemble_auth_skip",
    "ensemble_auth_success",
    "insecure_admin_count",
    "outstanding_changes_queued",
    "outstanding_changes_removed",
    "prep_processor_request_queued",
    "quit_leading_due_to_disloyal_voter",
    "request_commit_queued",
    "requests_not_forwarded_to_commit_processor",
    "response_packet_cache_hits",
    "response_packet_cache_misses",
    "response_packet_get_children_cache_hits",
    "response_packet_get_children_cache_misses",
    "restore_error_count",
    "restore_rate_limited_count",
    "skip_learner_request_to_next_processor_count",
    "snapshot_error_count",
    "snapshot_rate_limited_count",
    "stale_replies",
    "sync_processor_request_queued",
    "tls_handshake_exceeded",
    "unrecoverable_error_count",
    "unsuccessful_handshake",
    "watch_bytes",
];

const NO_SUMMARY: &[&str] = &[
    "commit_commit_proc_req_queued",
    "commit_process_time",
    "concurrent_request_processing_in_commit_processor",
    "connection_token_deficit",
    "dbinittime",
    "inflight_diff_count",
    "inflight_snap_count",
    "learner_request_processor_queue_size",
    "netty_queued_buffer_capacity",
    "observer_sync_time",
    "pending_session_queue_size",
    "prep_process_time",
    "prep_processor_queue_size",
    "proposal_process_time",
    "read_commit_proc_issued",
    "read_commit_proc_req_queued",
    "reads_after_write_in_session_queue",
    "reads_issued_from_session_queue",
    "requests_in_session_queue",
    "restore_time",
    "session_queues_drained",
    "socket_closing_time",
    "startup_snap_load_time",
    "startup_txns_load_time",
    "startup_txns_loaded",
    "sync_process_time",
    "sync_processor_batch_size",
    "sync_processor_queue_size",
    "time_waiting_empty_pool_in_commit_processor_read_ms",
    "write_batch_time_in_commit_processor",
    "write_commit_proc_issued",
    "write_commit_proc_req_queued",
];

const NO_PERCENTILES: &[&str] = &[
    "close_session_prep_time",
    "commit_propagation_latency",
    "dead_watchers_cleaner_latency",
    "jvm_pause_time_ms",
    "local_write_committed_time_ms",
    "om_commit_process_time_ms",
    "om_proposal_process_time_ms",
    "prep_processor_queue_time_ms",
    "proposal_ack_creation_latency",
    "read_commitproc_time_ms",
    "read_final_proc_time_ms",
    "request_throttle_queue_time_ms",
    "server_write_committed_time_ms",
    "sync_processor_queue_and_flush_time_ms",
    "sync_processor_queue_flush_time_ms",
    "sync_processor_queue_time_ms",
    "write_commitproc_time_ms",
    "write_final_proc_time_ms",
];
