//! reconfig: who is to be in the ensemble. The leader judges it by what it knows of the servers, then
//! as a write to [`CONFIG_NODE`]; what it does to the ensemble stands in [`crate::membership`].
//!
// ZK: PrepRequestProcessor.pRequest2Txn (3.9): case reconfig

use alloc::string::String;

use super::acl;
use super::draft::Draft;
use crate::config::{Config, Ensemble, Member};
use crate::ids::{ServerId, Zxid};
use crate::membership::CONFIG_NODE;
use crate::proto::{ErrorCode, ReconfigRequest, perms};
use crate::txn::TxnBody;

/// What a leader knows of its ensemble when it is asked to change it.
#[allow(missing_debug_implementations, reason = "holds a question")]
pub struct Electorate<'a> {
    /// What is committed, or proposed.
    pub newest: &'a Ensemble,
    /// A reconfiguration is proposed and not committed.
    pub in_progress: bool,
    /// Is a quorum of this ensemble connected and synchronized?
    pub has_quorum: &'a dyn Fn(&Ensemble) -> bool,
}

/// The ensemble that is asked for, if it can be had.
pub fn judge(
    request: &ReconfigRequest,
    now: &Electorate<'_>,
    config: &Config,
    zxid: Zxid,
) -> Result<Ensemble, ErrorCode> {
    // A server by itself is no ensemble, unless standaloneEnabled=false.
    if now.newest.is_alone() && config.reconfig.standalone {
        return Err(ErrorCode::UNIMPLEMENTED);
    }
    if now.in_progress {
        return Err(ErrorCode::RECONFIG_IN_PROGRESS);
    }
    if request.config_version != -1 && request.config_version != now.newest.version as i64 {
        return Err(ErrorCode::BAD_VERSION);
    }
    let asked = match &request.new_members {
        Some(members) => Ensemble::parse(&members.replace(',', "\n")),
        None => changed(request, now.newest),
    };
    let mut next = asked.map_err(|_| ErrorCode::BAD_ARGUMENTS)?;
    next.version = zxid.0;
    let least = if config.reconfig.standalone { 2 } else { 1 };
    if next.voters().count() < least || next.text().len() > config.limits.frame_max {
        return Err(ErrorCode::BAD_ARGUMENTS);
    }
    if (now.has_quorum)(&next) { Ok(next) } else { Err(ErrorCode::NEW_CONFIG_NO_QUORUM) }
}

/// Some go, some come, or come with another address or role.
fn changed(request: &ReconfigRequest, newest: &Ensemble) -> Result<Ensemble, String> {
    if newest.hierarchy.is_some() {
        return Err("groups and weights can only be given anew".into());
    }
    let mut next = newest.clone();
    for leaving in parts(request.leaving_servers.as_deref()) {
        next.members.remove(&ServerId::parse(leaving)?);
    }
    for joining in parts(request.joining_servers.as_deref()) {
        let (key, value) = joining.split_once('=').ok_or("expected server.N=…")?;
        let number = key.rsplit_once('.').map_or(key, |(_, number)| number);
        let (id, member) = (ServerId::parse(number)?, Member::parse(value.trim())?);
        if member.client.is_none() {
            return Err("expected a client port behind ';'".into());
        }
        next.members.remove(&id);
        if next.members.values().any(|other| other.collides_with(&member)) {
            return Err("another server has one of its addresses".into());
        }
        next.members.insert(id, member);
    }
    if next.voters().next().is_none() {
        return Err("expected at least one participant".into());
    }
    Ok(next)
}

fn parts(list: Option<&str>) -> impl Iterator<Item = &str> {
    let parts = list.into_iter().flat_map(|list| list.split(','));
    parts.map(str::trim).filter(|part| !part.is_empty())
}

/// Writes down what was judged good.
pub(super) fn prepare(draft: &mut Draft<'_>, next: &Ensemble) -> Result<TxnBody, ErrorCode> {
    draft.check_session()?;
    let node = draft.get(CONFIG_NODE).ok_or(ErrorCode::NO_NODE)?;
    acl::check(node.acl, perms::WRITE, draft.caller.auth)?;
    let data = Some(next.text().into());
    draft.set_data(CONFIG_NODE, data.as_ref(), -1);
    Ok(TxnBody::Reconfig { path: CONFIG_NODE.into(), data, version: -1 })
}
