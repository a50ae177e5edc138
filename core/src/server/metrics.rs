//! What is counted and measured for `mntr`, under upstream's names.
//!
//! Most counts are taken where a [`Note`] or a closing passes anyway ([`Metrics::count`]); nothing
//! here decides anything.
//!
// ZK: ServerMetrics, SimpleCounter, AvgMinMaxCounter, AvgMinMaxPercentileCounter (3.9)

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

use bytes::Bytes;

use super::{Action, CloseReason, Note, RoleName, SyncKind};
use crate::proto::{EventKind, Request, Response};
use crate::time::{Duration, Instant, Now};
use crate::txn::{TxnBody, TxnHeader};

#[derive(Clone, Debug, Default)]
pub(crate) struct Metrics {
    pub(crate) connection_requests: u64,
    pub(crate) connections_rejected: u64,
    pub(crate) connections_dropped: u64,
    pub(crate) closed_while_not_serving: u64,
    pub(crate) sessions_renewed: u64,
    pub(crate) sessions_expired: u64,
    pub(crate) proposals: u64,
    pub(crate) proposals_received: u64,
    pub(crate) commits_received: u64,
    pub(crate) commits: u64,
    pub(crate) diffs: u64,
    pub(crate) snaps: u64,
    pub(crate) elections: u64,
    pub(crate) digest_mismatches: u64,
    /// Requests that waited for others, that were answered THROTTLEDOP, that were too old.
    pub(crate) queued_requests: u64,
    pub(crate) throttled_requests: u64,
    pub(crate) stale_requests: u64,
    pub(crate) auth_failures: u64,
    pub(crate) created_watches: Summary,
    pub(crate) deleted_watches: Summary,
    pub(crate) changed_watches: Summary,
    pub(crate) children_watches: Summary,
    pub(crate) election_ms: Summary,
    pub(crate) unavailable_ms: Summary,
    /// From the election to UPTODATE.
    pub(crate) follower_sync_ms: Summary,
    pub(crate) snapshot_ms: Summary,
    pub(crate) read_ms: Percentiles,
    pub(crate) update_ms: Percentiles,
    /// Of transactions, since the leader made them, by its wall clock: until they came here, were
    /// acknowledged by a quorum, were delivered here.
    pub(crate) proposal_ms: Percentiles,
    pub(crate) quorum_ack_ms: Percentiles,
    pub(crate) propagation_ms: Percentiles,
    /// Bytes read and written below each znode of the first level.
    pub(crate) namespaces: BTreeMap<String, Namespace>,
    pub(crate) looking_since: Option<Instant>,
    pub(crate) role_since: Instant,
}

impl Metrics {
    /// Takes in what goes out to the driver.
    pub(crate) fn count(&mut self, action: &Action, now: Instant) {
        match action {
            Action::CloseConn { why, .. } => {
                match why {
                    CloseReason::Done | CloseReason::SessionClosed(_) => return,
                    CloseReason::TooManyConnections
                    | CloseReason::ServerFull
                    | CloseReason::Throttled => self.connections_rejected += 1,
                    CloseReason::NotServing => self.closed_while_not_serving += 1,
                    CloseReason::Stale => self.stale_requests += 1,
                    _ => {}
                }
                self.connections_dropped += 1;
            }
            Action::Note(note) => self.count_note(note, now),
            _ => {}
        }
    }

    fn count_note(&mut self, note: &Note, now: Instant) {
        match note {
            Note::Role(RoleName::Looking) => {
                self.elections += 1;
                self.looking_since = Some(now);
            }
            Note::Role(RoleName::Leading | RoleName::Following | RoleName::Observing) => {
                if let Some(since) = self.looking_since {
                    self.election_ms.add(millis(now.since(since)));
                }
                self.role_since = now;
            }
            Note::Established { .. } | Note::UpToDate { .. } => {
                if let Note::UpToDate { .. } = note {
                    self.follower_sync_ms.add(millis(now.since(self.role_since)));
                }
                if let Some(since) = self.looking_since.take() {
                    self.unavailable_ms.add(millis(now.since(since)));
                }
            }
            Note::Sync { how: SyncKind::Diff, .. } => self.diffs += 1,
            Note::Sync { how: SyncKind::Snap, .. } => self.snaps += 1,
            Note::SessionExpired(_) => self.sessions_expired += 1,
            Note::DigestMismatch { .. } => self.digest_mismatches += 1,
            Note::Delivered { .. } => self.commits += 1,
            _ => {}
        }
    }

    /// So many connections watched what changed.
    pub(crate) fn fired(&mut self, kind: EventKind, watching: usize) {
        let summary = match kind {
            EventKind::NodeCreated => &mut self.created_watches,
            EventKind::NodeDeleted => &mut self.deleted_watches,
            EventKind::NodeDataChanged => &mut self.changed_watches,
            EventKind::NodeChildrenChanged => &mut self.children_watches,
        };
        summary.add(watching as u64);
    }

    // ZK: DataTree.updateReadStat (3.9)
    pub(crate) fn read(&mut self, request: &Request, response: &Response) {
        let (path, bytes) = match (request, response) {
            (Request::GetData { path, .. }, Response::Data { data, .. }) => (path, length(data)),
            (Request::Exists { path, .. }, Response::Stat(_)) => (path, 0),
            (
                Request::GetChildren { path, .. } | Request::GetChildren2 { path, .. },
                Response::Children(names) | Response::Children2 { children: names, .. },
            ) => (path, names.iter().map(String::len).sum()),
            _ => return,
        };
        self.in_namespace(path, |namespace| {
            namespace.read.get_or_insert_default().add((path.len() + bytes) as u64);
        });
    }

    // ZK: DataTree.updateWriteStat (3.9)
    pub(crate) fn wrote(&mut self, body: &TxnBody) {
        let (path, bytes) = match body {
            TxnBody::Create(create) | TxnBody::Create2(create) => {
                (&create.path, length(&create.data))
            }
            TxnBody::CreateContainer(create) => (&create.path, length(&create.data)),
            TxnBody::CreateTtl(create) => (&create.path, length(&create.data)),
            TxnBody::Delete { path } | TxnBody::DeleteContainer { path } => (path, 0),
            TxnBody::SetData { path, data, .. } | TxnBody::Reconfig { path, data, .. } => {
                (path, length(data))
            }
            TxnBody::Multi(parts) => {
                if !parts.iter().any(|part| matches!(part, TxnBody::Error(_))) {
                    parts.iter().for_each(|part| self.wrote(part));
                }
                return;
            }
            _ => return,
        };
        self.in_namespace(path, |namespace| {
            namespace.written.get_or_insert_default().add((path.len() + bytes) as u64);
        });
    }

    fn in_namespace(&mut self, path: &str, count: impl FnOnce(&mut Namespace)) {
        let name = path.strip_prefix('/').and_then(|rest| rest.split('/').next());
        let Some(name) = name.filter(|name| !name.is_empty()) else { return };
        if let Some(namespace) = self.namespaces.get_mut(name) {
            count(namespace);
        } else if self.namespaces.len() < NAMESPACES_MAX {
            count(self.namespaces.entry(name.into()).or_default());
        }
    }

    /// `srst` forgets what was counted, not what is, nor which namespaces there were.
    // ZK: AvgMinMaxCounterSet.reset (3.9)
    pub(crate) fn reset(&mut self) {
        let Self { looking_since, role_since, .. } = *self;
        let mut namespaces = core::mem::take(&mut self.namespaces);
        namespaces.values_mut().for_each(Namespace::reset);
        *self = Self { looking_since, role_since, namespaces, ..Self::default() };
    }
}

/// More are not told apart: a tree may be as wide as it likes.
const NAMESPACES_MAX: usize = 1000;

/// A kind that never was is not shown.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Namespace {
    pub(crate) read: Option<Summary>,
    pub(crate) written: Option<Summary>,
}

impl Namespace {
    fn reset(&mut self) {
        for summary in [&mut self.read, &mut self.written].into_iter().flatten() {
            *summary = Summary::default();
        }
    }
}

fn length(data: &Option<Bytes>) -> usize {
    data.as_ref().map_or(0, Bytes::len)
}

/// How long ago `header` was made; nothing if the clocks disagree.
pub(crate) fn age_ms(header: &TxnHeader, now: Now) -> u64 {
    now.wall.0.saturating_sub(header.time.0).try_into().unwrap_or(0)
}

pub(crate) fn millis(span: Duration) -> u64 {
    span.as_millis() as u64
}

/// Least, most, average.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Summary {
    pub(crate) count: u64,
    pub(crate) sum: u64,
    least: u64,
    pub(crate) most: u64,
}

impl Summary {
    pub(crate) fn add(&mut self, value: u64) {
        self.least = if self.count == 0 { value } else { self.least.min(value) };
        self.most = self.most.max(value);
        self.count += 1;
        self.sum = self.sum.saturating_add(value);
    }
    pub(crate) fn of(count: u64, sum: u64, least: u64, most: u64) -> Self {
        Self { count, sum, least, most }
    }
    pub(crate) fn least(&self) -> u64 {
        self.least
    }
    /// Four decimals, halves up.
    pub(crate) fn average(&self) -> f64 {
        let tenths = self.sum.saturating_mul(10_000);
        let rounded = (tenths + self.count / 2).checked_div(self.count).unwrap_or(0);
        rounded as f64 / 10_000.0
    }
}

/// A summary with quantiles, exact below 16 and within an eighth above.
#[derive(Clone, Debug, Default)]
pub(crate) struct Percentiles {
    pub(crate) summary: Summary,
    buckets: Vec<u64>,
}

impl Percentiles {
    pub(crate) fn add(&mut self, value: u64) {
        self.summary.add(value);
        let bucket = bucket_of(value);
        if self.buckets.len() <= bucket {
            self.buckets.resize(bucket + 1, 0);
        }
        self.buckets[bucket] += 1;
    }
    /// The least value of the bucket that holds the `per_mille`-th part of all.
    pub(crate) fn quantile(&self, per_mille: u64) -> u64 {
        let mut wanted = (self.summary.count * per_mille).div_ceil(1000);
        for (bucket, count) in self.buckets.iter().enumerate() {
            if *count >= wanted {
                return if wanted == 0 { 0 } else { least_of(bucket) };
            }
            wanted -= count;
        }
        self.summary.most
    }
}

/// Eight buckets for each power of two.
fn bucket_of(value: u64) -> usize {
    if value < 16 {
        return value as usize;
    }
    let power = value.ilog2();
    let eighth = (value >> (power - 3)) & 7;
    (u64::from(power - 2) * 8 + eighth) as usize
}

fn least_of(bucket: usize) -> u64 {
    if bucket < 16 {
        return bucket as u64;
    }
    let (power, eighth) = (bucket as u64 / 8 + 2, bucket as u64 % 8);
    (8 + eighth) << (power - 3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_rounds_as_upstream_does() {
        let mut summary = Summary::default();
        assert_eq!((summary.average(), summary.least(), summary.most), (0.0, 0, 0));
        for value in [3, 1, 1] {
            summary.add(value);
        }
        assert_eq!((summary.average(), summary.least(), summary.most), (1.6667, 1, 3));
    }

    #[test]
    fn a_reset_keeps_the_names() {
        let mut metrics = Metrics::default();
        metrics.wrote(&TxnBody::Delete { path: "/a/b".into() });
        metrics.reset();
        let left = metrics.namespaces["a"];
        assert_eq!(left.written.map(|summary| summary.count), Some(0));
        assert!(left.read.is_none());
    }

    #[test]
    fn buckets_hold_their_values() {
        for value in (0..5000).chain([u64::from(u32::MAX), u64::MAX]) {
            let bucket = bucket_of(value);
            assert!(least_of(bucket) <= value, "{value}");
            assert!(value - least_of(bucket) <= value / 8, "{value}");
            assert!(bucket == bucket_of(least_of(bucket)), "{value}");
        }
    }

    #[test]
    fn quantiles_of_a_known_crowd() {
        let mut crowd = Percentiles::default();
        assert_eq!(crowd.quantile(500), 0);
        for value in 1..=10 {
            crowd.add(value);
        }
        crowd.add(1000);
        let found: Vec<_> = [500, 950, 999].map(|part| crowd.quantile(part)).into();
        assert_eq!(found, [6, 960, 960]);
    }
}
