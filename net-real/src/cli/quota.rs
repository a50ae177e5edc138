//! Quotas as people set them: a node of limits and one of usage for each, below `/zookeeper/quota`.
//! What they do is the server's; here is only upstream's way of writing them, so that its own command
//! line and this one can be used by turns.
//!
// ZK: SetQuotaCommand, ListQuotaCommand, DelQuotaCommand (3.9)

use anyhow::{Context, bail};
use bytes::Bytes;
use clap::Args;

use zebu_core::proto::{Acl, CreateRequest, ErrorCode, Request, Response, create_flags};
use zebu_core::tree::{Limit, StatsTrack};

use super::session::{Refused, Session};

const QUOTA: &str = "/zookeeper/quota";
const LIMITS: &str = "zookeeper_limits";
const STATS: &str = "zookeeper_stats";

/// One of them, with a number.
#[derive(Clone, Debug, Args)]
#[group(required = true, multiple = false)]
pub(super) struct NewLimit {
    /// How many nodes should be there at most; more are only remarked on
    #[arg(short = 'n', value_parser = clap::value_parser!(i64).range(1..=i64::from(i32::MAX)))]
    count: Option<i64>,
    /// How many bytes of data should be there at most; more are only remarked on
    #[arg(short = 'b', value_parser = clap::value_parser!(i64).range(0..))]
    bytes: Option<i64>,
    /// How many nodes may be there, if the servers enforce quotas
    #[arg(short = 'N', value_parser = clap::value_parser!(i64).range(1..=i64::from(i32::MAX)))]
    count_hard: Option<i64>,
    /// How many bytes of data may be there, if the servers enforce quotas
    #[arg(short = 'B', value_parser = clap::value_parser!(i64).range(0..))]
    bytes_hard: Option<i64>,
}

impl NewLimit {
    fn limits(&self) -> impl Iterator<Item = (Limit, i64)> {
        let all = [
            (Limit::Count, self.count),
            (Limit::Bytes, self.bytes),
            (Limit::CountHard, self.count_hard),
            (Limit::BytesHard, self.bytes_hard),
        ];
        all.into_iter().filter_map(|(limit, most)| Some((limit, most?)))
    }
}

/// One of them, or all.
#[derive(Clone, Debug, Args)]
#[group(required = false, multiple = false)]
pub(super) struct OldLimit {
    /// Only the number of nodes
    #[arg(short = 'n')]
    count: bool,
    /// Only the number of bytes
    #[arg(short = 'b')]
    bytes: bool,
    /// Only the hard number of nodes
    #[arg(short = 'N')]
    count_hard: bool,
    /// Only the hard number of bytes
    #[arg(short = 'B')]
    bytes_hard: bool,
}

impl OldLimit {
    fn limit(&self) -> Option<Limit> {
        let all = [
            (Limit::Count, self.count),
            (Limit::Bytes, self.bytes),
            (Limit::CountHard, self.count_hard),
            (Limit::BytesHard, self.bytes_hard),
        ];
        all.into_iter().find(|(_, given)| *given).map(|(limit, _)| limit)
    }
}

pub(super) async fn set(session: &mut Session, new: &NewLimit, path: &str) -> anyhow::Result<()> {
    if path.starts_with(QUOTA) {
        bail!("cannot set a quota under the path: {QUOTA}");
    }
    if path == "/" {
        bail!("/ cannot have a quota");
    }
    if exists(session, path).await?.is_none() {
        bail!("{path} does not exist");
    }
    only_quota_in_its_line(session, path).await?;
    let mut node = String::from(QUOTA);
    for name in path.split('/').skip(1) {
        node = format!("{node}/{name}");
        create_if_missing(session, &node, None).await?;
    }
    let (limits_path, stats_path) = (format!("{node}/{LIMITS}"), format!("{node}/{STATS}"));
    let before = data(session, &limits_path).await?;
    let mut limits = match &before {
        Some(text) => track(text, &limits_path)?,
        None => StatsTrack::unlimited(),
    };
    for (limit, most) in new.limits() {
        limits.set_limit(limit, most);
    }
    let text = Some(Bytes::from(limits.text()));
    if before.is_some() {
        let path = limits_path;
        session.answered(Request::SetData { path, data: text, version: -1 }).await?;
    } else {
        create_if_missing(session, &limits_path, text).await?;
        // The servers count what there is.
        create_if_missing(session, &stats_path, Some("count=0,bytes=0".into())).await?;
    }
    let stats = data(session, &stats_path).await?.unwrap_or_default();
    warn(&limits, &track(&stats, &stats_path)?);
    Ok(())
}

/// Upstream's servers count for the deepest quota only, so its command line lets no two stand above
/// each other.
async fn only_quota_in_its_line(session: &mut Session, path: &str) -> anyhow::Result<()> {
    let own = format!("{QUOTA}{path}");
    let mut below = vec![own.clone()];
    while let Some(node) = below.pop() {
        let names = children(session, &node).await?.unwrap_or_default();
        if node != own && names.iter().any(|name| name == LIMITS) {
            bail!("{path} has a child {} which has a quota", &node[QUOTA.len()..]);
        }
        below.extend(names.iter().map(|name| format!("{node}/{name}")));
    }
    let mut above = String::from(QUOTA);
    let names: Vec<_> = path.split('/').skip(1).collect();
    for name in names.iter().take(names.len().saturating_sub(1)) {
        above = format!("{above}/{name}");
        let names = children(session, &above).await?.unwrap_or_default();
        if names.iter().any(|name| name == LIMITS) {
            bail!("{path} has a parent {} which has a quota", &above[QUOTA.len()..]);
        }
    }
    Ok(())
}

fn warn(limits: &StatsTrack, stats: &StatsTrack) {
    for (what, soft, hard) in
        [("count", Limit::Count, Limit::CountHard), ("bytes", Limit::Bytes, Limit::BytesHard)]
    {
        let there = stats.limit(soft).unwrap_or(0);
        if [soft, hard]
            .into_iter()
            .any(|limit| limits.limit(limit).is_some_and(|most| most < there))
        {
            eprintln!(
                "[Warning]: the {what} quota you create is less than the existing {what}:{there}"
            );
        }
    }
}

pub(super) async fn list(session: &mut Session, path: &str) -> anyhow::Result<()> {
    let limits_path = format!("{QUOTA}{path}/{LIMITS}");
    eprintln!("absolute path is {limits_path}");
    for (what, node) in [("quota", limits_path), ("stat", format!("{QUOTA}{path}/{STATS}"))] {
        let Some(text) = data(session, &node).await? else {
            bail!("quota for {path} does not exist");
        };
        println!("Output {what} for {path} {}", track(&text, &node)?.text());
    }
    Ok(())
}

pub(super) async fn delete(
    session: &mut Session,
    old: &OldLimit,
    path: &str,
) -> anyhow::Result<()> {
    let mut node = format!("{QUOTA}{path}");
    let limits_path = format!("{node}/{LIMITS}");
    let Some(text) = data(session, &limits_path).await? else {
        bail!("quota for {path} does not exist");
    };
    if let Some(limit) = old.limit() {
        let mut limits = track(&text, &limits_path)?;
        limits.set_limit(limit, StatsTrack::NO_LIMIT);
        let data = Some(Bytes::from(limits.text()));
        session.answered(Request::SetData { path: limits_path, data, version: -1 }).await?;
        return Ok(());
    }
    for name in [LIMITS, STATS] {
        let gone = Request::Delete { path: format!("{node}/{name}"), version: -1 };
        optional(session.answered(gone).await)?;
    }
    // What was there for this quota alone.
    while node != QUOTA && children(session, &node).await?.is_some_and(|names| names.is_empty()) {
        optional(session.answered(Request::Delete { path: node.clone(), version: -1 }).await)?;
        node.truncate(node.rfind('/').unwrap_or(0));
    }
    Ok(())
}

fn track(text: &Bytes, node: &str) -> anyhow::Result<StatsTrack> {
    StatsTrack::of(Some(text)).with_context(|| format!("{node} is no list of key=number"))
}

// ---- requests ----

/// `None` if it is about a node that is not there.
fn optional(answer: anyhow::Result<Response>) -> anyhow::Result<Option<Response>> {
    match answer {
        Err(error) if is(&error, ErrorCode::NO_NODE) => Ok(None),
        answer => answer.map(Some),
    }
}

fn is(error: &anyhow::Error, code: ErrorCode) -> bool {
    error.downcast_ref::<Refused>().is_some_and(|refused| refused.0 == code)
}

async fn exists(session: &mut Session, path: &str) -> anyhow::Result<Option<Response>> {
    optional(session.answered(Request::Exists { path: path.into(), watch: false }).await)
}

async fn data(session: &mut Session, path: &str) -> anyhow::Result<Option<Bytes>> {
    let request = Request::GetData { path: path.into(), watch: false };
    Ok(match optional(session.answered(request).await)? {
        Some(Response::Data { data, .. }) => Some(data.unwrap_or_default()),
        _ => None,
    })
}

async fn children(session: &mut Session, path: &str) -> anyhow::Result<Option<Vec<String>>> {
    let request = Request::GetChildren { path: path.into(), watch: false };
    Ok(match optional(session.answered(request).await)? {
        Some(Response::Children(names)) => Some(names),
        _ => None,
    })
}

async fn create_if_missing(
    session: &mut Session,
    path: &str,
    data: Option<Bytes>,
) -> anyhow::Result<()> {
    let flags = create_flags::PERSISTENT;
    let create = CreateRequest { path: path.into(), data, acl: Acl::open(), flags };
    match session.answered(Request::Create(create)).await {
        Err(error) if !is(&error, ErrorCode::NODE_EXISTS) => Err(error),
        _ => Ok(()),
    }
}
