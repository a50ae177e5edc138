//! What a read should answer, at any point of the history.

use zebu_core::proto::{ErrorCode, MultiResult, Request, Response, perms};

use super::judge::{Caller, permitted};
use super::quota::QUOTA;
use super::{CONFIG, Model, Node};

/// The answer at `zxid`, children sorted; `None` where each server has its own truth or where an
/// identity is not known.
pub fn read(
    model: &Model,
    request: &Request,
    zxid: u64,
    caller: Caller,
) -> Option<Result<Response, ErrorCode>> {
    let path = match request {
        Request::MultiRead(parts) => {
            let results = parts.iter().map(|part| part_of_multi(model, part, zxid, caller));
            return Some(Ok(Response::Multi(results.collect::<Option<_>>()?)));
        }
        Request::GetEphemerals { prefix } => {
            let prefix = if prefix == "/" { "" } else { prefix };
            let owned = model.ephemerals_at(caller.session, zxid);
            let mut paths: Vec<String> = owned.map(String::from).collect();
            paths.retain(|path| path.starts_with(prefix));
            return Some(Ok(sorted(Response::Ephemerals(paths))));
        }
        Request::GetAllChildrenNumber { path }
        | Request::Exists { path, .. }
        | Request::GetData { path, .. }
        | Request::GetAcl { path }
        | Request::GetChildren { path, .. }
        | Request::GetChildren2 { path, .. } => path.as_str(),
        _ => return None,
    };
    let changes = path == CONFIG && model.reconfigured_at(zxid);
    if path.starts_with("/zookeeper") && !path.starts_with(QUOTA) && !changes {
        return None;
    }
    if matches!(request, Request::Exists { .. }) && path.contains('\0') {
        return Some(Err(ErrorCode::BAD_ARGUMENTS));
    }
    let Some(node) = model.at(path, zxid) else { return Some(Err(ErrorCode::NO_NODE)) };
    let needed = match request {
        Request::GetAcl { .. } => perms::READ | perms::ADMIN,
        _ => perms::READ,
    };
    if !permitted(&node.acl, needed, caller)? {
        return Some(Err(ErrorCode::NO_AUTH));
    }
    Some(Ok(answer(model, request, path, zxid, node, caller)?))
}

fn answer(
    model: &Model,
    request: &Request,
    path: &str,
    zxid: u64,
    node: &Node,
    caller: Caller,
) -> Option<Response> {
    let stat = node.client_stat();
    let children = || model.children(path, zxid).into_iter().map(String::from).collect();
    Some(match request {
        Request::Exists { .. } => Response::Stat(stat),
        Request::GetData { .. } => Response::Data { data: node.data.clone(), stat },
        Request::GetChildren { .. } => Response::Children(children()),
        Request::GetChildren2 { .. } => Response::Children2 { children: children(), stat },
        Request::GetAllChildrenNumber { path } => Response::Count(model.count_below(path, zxid)),
        Request::GetAcl { .. } => {
            let mut acl = node.acl.to_vec();
            let hashes = acl.iter_mut().filter(|entry| entry.id.scheme == "digest");
            let mut hashes = hashes.peekable();
            if hashes.peek().is_some() && !permitted(&node.acl, perms::ADMIN, caller)? {
                // ZK: FinalRequestProcessor.handleGetACLRequest (3.9)
                hashes.for_each(|entry| entry.id.id = masked(&entry.id.id));
            }
            Response::Acl { acl, stat }
        }
        _ => return None,
    })
}

fn masked(id: &str) -> String {
    id.split_once(':').map_or(id.into(), |(user, _)| format!("{user}:x"))
}

fn part_of_multi(model: &Model, part: &Request, zxid: u64, caller: Caller) -> Option<MultiResult> {
    Some(match read(model, part, zxid, caller)? {
        Ok(Response::Data { data, stat }) => MultiResult::Data { data, stat },
        Ok(Response::Children(children)) => MultiResult::Children(children),
        Ok(_) => return None,
        Err(code) => MultiResult::Error(code),
    })
}

/// The order of children, and of ephemerals, is the server's choice.
pub fn sorted(mut response: Response) -> Response {
    match &mut response {
        Response::Children(names)
        | Response::Children2 { children: names, .. }
        | Response::Ephemerals(names) => names.sort_unstable(),
        Response::Multi(results) => {
            for result in results {
                if let MultiResult::Children(children) = result {
                    children.sort_unstable();
                }
            }
        }
        _ => {}
    }
    response
}
