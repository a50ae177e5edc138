//! exists, getData, getChildren, getChildren2, getAllChildrenNumber, getEphemerals. Watches are not
//! registered here.

use alloc::string::String;
use alloc::vec::Vec;

use super::acl;
use crate::auth::Access;
use crate::ids::SessionId;
use crate::proto::{ErrorCode, Response, perms};
use crate::tree::{Database, Node};

pub(super) fn exists(
    database: &Database,
    auth: Access<'_>,
    path: &str,
) -> Result<Response, ErrorCode> {
    // Upstream asks this of exists alone; the other reads just find nothing.
    // ZK: FinalRequestProcessor.processRequest (3.9): case exists
    if path.contains('\0') {
        return Err(ErrorCode::BAD_ARGUMENTS);
    }
    let node = readable(database, auth, path)?;
    Ok(Response::Stat(node.client_stat()))
}

pub(super) fn get_data(
    database: &Database,
    auth: Access<'_>,
    path: &str,
) -> Result<Response, ErrorCode> {
    let node = readable(database, auth, path)?;
    Ok(Response::Data { data: node.data.cloned(), stat: node.client_stat() })
}

pub(super) fn get_children(
    database: &Database,
    auth: Access<'_>,
    path: &str,
) -> Result<Response, ErrorCode> {
    readable(database, auth, path)?;
    Ok(Response::Children(children(database, path)))
}

pub(super) fn get_children2(
    database: &Database,
    auth: Access<'_>,
    path: &str,
) -> Result<Response, ErrorCode> {
    let stat = readable(database, auth, path)?.client_stat();
    Ok(Response::Children2 { children: children(database, path), stat })
}

/// All znodes below `path`. By its empty name the root counts itself too.
// ZK: DataTree.getAllChildrenNumber (3.9)
pub(super) fn get_all_children_number(
    database: &Database,
    auth: Access<'_>,
    path: &str,
) -> Result<Response, ErrorCode> {
    readable(database, auth, path)?;
    let root_too = usize::from(path.is_empty());
    Ok(Response::Count((database.tree.count_below(path) + root_too) as i32))
}

/// The session's own, whoever may read them. The prefix is text: `/a` is one of `/ab`. Blank or `/`,
/// it is one of all.
// ZK: FinalRequestProcessor.processRequest (3.9): case getEphemerals
pub(super) fn get_ephemerals(database: &Database, session: SessionId, prefix: &str) -> Response {
    let all = matches!(prefix.trim_matches(|c| c <= ' '), "" | "/");
    let paths = database.tree.ephemerals(session).filter(|path| all || path.starts_with(prefix));
    Response::Ephemerals(paths.map(String::from).collect())
}

/// A missing node is told to everybody, a present one only to who may read it. The empty path is the
/// root's, too.
fn readable<'a>(
    database: &'a Database,
    auth: Access<'_>,
    path: &str,
) -> Result<Node<'a>, ErrorCode> {
    let node = database.tree.get(path).ok_or(ErrorCode::NO_NODE)?;
    acl::check(node.acl, perms::READ, auth)?;
    Ok(node)
}

fn children(database: &Database, path: &str) -> Vec<String> {
    let names = database.tree.children(path);
    names.into_iter().flatten().map(String::from).collect()
}
