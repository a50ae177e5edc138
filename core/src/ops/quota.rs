//! May this much more lie below a path that has a quota? Asked by the leader, and only if it is told
//! to enforce quotas. What lies there is counted by every server, in [`crate::tree`]; here it is also
//! counted ahead, for the stats nodes as they will be behind what is in flight.
//!
//! Only hard limits refuse, and only the deepest quota is asked.
//!
// Departs: upstream compares with what is applied, so writes that come at once, or stand in one multi,
// exceed a limit together. The leader is the only one to decide, so it can know better.

use bytes::Bytes;

use super::draft::Draft;
use crate::mutant::Mutant;
use crate::proto::ErrorCode;
use crate::tree::quota::{self, StatsTrack, Usage};
use crate::tree::{Node, path};

// ---- judging ----

/// A znode at `path` with this data.
// ZK: ZooKeeperServer.checkQuota (3.9)
pub(super) fn admit_node(
    draft: &Draft<'_>,
    path: &str,
    data: Option<&Bytes>,
) -> Result<(), ErrorCode> {
    admit(draft, path, Usage { count: 1, bytes: len(data) })
}

/// Other data in the znode at `path`.
// ZK: ZooKeeperServer.checkQuota (3.9)
pub(super) fn admit_data(
    draft: &Draft<'_>,
    path: &str,
    before: Option<&Bytes>,
    data: Option<&Bytes>,
) -> Result<(), ErrorCode> {
    admit(draft, path, Usage { count: 0, bytes: len(data) - len(before) })
}

/// What does not change is not looked at; what shrinks is, and stays refused above the limit.
fn admit(draft: &Draft<'_>, path: &str, difference: Usage) -> Result<(), ErrorCode> {
    if !draft.config.enforce_quota {
        return Ok(());
    }
    let Some(limited) = above(draft, path) else { return Ok(()) };
    let Some(limits) = draft.get(&quota::limits_path(limited)) else { return Ok(()) };
    // Departs: upstream refuses whatever is written below limits that it cannot read, with -5.
    let Some(limits) = StatsTrack::of(limits.data) else { return Ok(()) };
    let stats = quota::stats_path(limited);
    let stats = match draft.config.planted(Mutant::QuotaOfAppliedOnly) {
        true => draft.applied().get(&stats),
        false => draft.get(&stats),
    };
    let Some(stats) = stats else { return Ok(()) };
    let mut track = StatsTrack::of(stats.data).unwrap_or_else(|| counted(draft, limited));
    track.add(difference);
    let exceeds = |difference: i64, then: i64, limit: Option<i64>| {
        difference != 0 && limit.is_some_and(|limit| then > limit)
    };
    if exceeds(difference.count, track.count, limits.count_hard_limit())
        || exceeds(difference.bytes, track.bytes, limits.byte_hard_limit())
    {
        return Err(ErrorCode::QUOTA_EXCEEDED);
    }
    Ok(())
}

// ---- counting ahead ----

pub(super) fn created(draft: &mut Draft<'_>, path: &str, data: Option<&Bytes>) {
    if let Some(limited) = quota::limited_by_stats(path)
        && draft.config.enforce_quota
    {
        let text = counted(draft, limited).text();
        draft.set_stats(path, text.into());
    }
    used(draft, path, Usage { count: 1, bytes: len(data) });
}

pub(super) fn deleted(draft: &mut Draft<'_>, path: &str, data: Option<&Bytes>) {
    used(draft, path, Usage { count: -1, bytes: -len(data) });
}

pub(super) fn data_set(
    draft: &mut Draft<'_>,
    path: &str,
    before: Option<&Bytes>,
    data: Option<&Bytes>,
) {
    used(draft, path, Usage { count: 0, bytes: len(data) - len(before) });
}

fn used(draft: &mut Draft<'_>, path: &str, difference: Usage) {
    if !draft.config.enforce_quota {
        return;
    }
    let Some(limited) = above(draft, path) else { return };
    let stats = quota::stats_path(limited);
    let Some(node) = draft.get(&stats) else { return };
    let track = match StatsTrack::of(node.data) {
        Some(mut track) => {
            track.add(difference);
            track
        }
        None => counted(draft, limited),
    };
    draft.set_stats(&stats, track.text().into());
}

/// The deepest path at or above `path` that has a quota, or will have one.
fn above<'a>(draft: &Draft<'_>, path: &'a str) -> Option<&'a str> {
    if !draft.has_drawn_limits() {
        return draft.applied().quota_above(path);
    }
    let mut above = Some(path);
    while let Some(at) = above {
        if draft.get(&quota::limits_path(at)).is_some() {
            return Some(at);
        }
        above = path::split(at).map(|(parent, _)| parent);
    }
    None
}

/// What is to lie below `limited`, counted anew.
fn counted(draft: &Draft<'_>, limited: &str) -> StatsTrack {
    let of = |node: Option<Node<'_>>| {
        node.map_or(Usage::default(), |node| Usage { count: 1, bytes: len(node.data) })
    };
    let mut usage = draft.applied().used_below(limited);
    for path in draft.drawn_below(limited) {
        let (was, will_be) = (of(draft.applied().get(path)), of(draft.get(path)));
        usage.count += will_be.count - was.count;
        usage.bytes += will_be.bytes - was.bytes;
    }
    StatsTrack::new(usage)
}

fn len(data: Option<&Bytes>) -> i64 {
    data.map_or(0, Bytes::len) as i64
}
