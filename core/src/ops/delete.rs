//! delete, and deleteContainer, which is the leader's own and never a client's. When the leader looks
//! for what it may delete stands in [`crate::zab::containers`].

use alloc::string::String;

use super::acl;
use super::check::next_version;
use super::create::parent_of;
use super::draft::Draft;
use crate::config::Config;
use crate::mutant::Mutant;
use crate::proto::{ErrorCode, perms};
use crate::time::WallTime;
use crate::tree::{Node, Owner};
use crate::txn::TxnBody;

/// Znodes that are always there.
// ZK: DataTree.isSpecialPath (3.9)
const SPECIAL: [&str; 4] = ["/", "/zookeeper", "/zookeeper/quota", "/zookeeper/config"];

// ZK: PrepRequestProcessor.pRequest2Txn (3.9): case delete
pub(super) fn prepare(
    draft: &mut Draft<'_>,
    path: &str,
    version: i32,
) -> Result<TxnBody, ErrorCode> {
    draft.check_session()?;
    let parent = draft.get(deletable(path)?).ok_or(ErrorCode::NO_NODE)?;
    // Who may not delete here is not told whether there is something.
    acl::check(parent.acl, perms::DELETE, draft.caller.auth)?;
    let node = draft.get(path).ok_or(ErrorCode::NO_NODE)?;
    next_version(node.stat.version, version, draft.config)?;
    if node.num_children > 0 {
        return Err(ErrorCode::NOT_EMPTY);
    }
    draft.delete(path);
    Ok(TxnBody::Delete { path: String::from(path) })
}

/// May this znode go by itself? A container when its last child has gone, or when none ever came for
/// too long; a TTL node when it has no child and was not changed for longer than its time. Only
/// setData counts as a change.
// ZK: ContainerManager.getCandidates (3.9)
pub fn may_go(node: &Node<'_>, now: WallTime, config: &Config) -> bool {
    if node.num_children > 0 {
        return false;
    }
    let unchanged_ms = now.0.saturating_sub(node.stat.mtime);
    match node.owner() {
        Owner::Container if node.stat.cversion > 0 => true,
        Owner::Container => {
            let limit = config.containers.never_used_max.as_millis() as i64;
            limit != 0 && unchanged_ms > limit
        }
        // Upstream keeps what would have no time at all.
        Owner::Ttl { ms } => ms != 0 && unchanged_ms > ms,
        Owner::Nobody | Owner::Session(_) => false,
    }
}

/// A container that ran empty or a TTL node whose time is up, judged anew at its place in the order.
// ZK: PrepRequestProcessor.pRequest2Txn (3.9): case deleteContainer
// Departs: ZK deletes any childless node here that is no ephemeral, also one that was changed, or was
// created as a persistent node, after the leader looked.
pub(super) fn prepare_reap(draft: &mut Draft<'_>, path: &str) -> Result<TxnBody, ErrorCode> {
    deletable(path)?;
    let node = draft.get(path).ok_or(ErrorCode::NO_NODE)?;
    if draft.config.planted(Mutant::ReaperNoRecheck) {
        draft.delete(path);
        return Ok(TxnBody::DeleteContainer { path: String::from(path) });
    }
    if node.num_children > 0 {
        return Err(ErrorCode::NOT_EMPTY);
    }
    match node.owner() {
        Owner::Container | Owner::Ttl { .. } if may_go(&node, draft.time(), draft.config) => {}
        Owner::Container | Owner::Ttl { .. } | Owner::Nobody | Owner::Session(_) => {
            return Err(ErrorCode::BAD_VERSION);
        }
    }
    draft.delete(path);
    Ok(TxnBody::DeleteContainer { path: String::from(path) })
}

/// The parent of a path that may be deleted if it is there.
// ZK: PrepRequestProcessor.getParentPathAndValidate (3.9)
fn deletable(path: &str) -> Result<&str, ErrorCode> {
    if SPECIAL.contains(&path) {
        return Err(ErrorCode::BAD_ARGUMENTS);
    }
    parent_of(path)
}
