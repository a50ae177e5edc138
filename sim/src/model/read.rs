//! What a read should answer, at any point of the history.

use zebu_core::proto::{ErrorCode, Request, Response, perms};

use super::judge::{Caller, permitted};
use super::{Model, Node};

/// The answer at `zxid`, children sorted; `None` where each server has its own truth or where an
/// identity is not known.
pub fn read(
    model: &Model,
    request: &Request,
    zxid: u64,
    caller: Caller,
) -> Option<Result<Response, ErrorCode>> {
    let path = match request {
        Request::Exists { path, .. }
        | Request::GetData { path, .. }
        | Request::GetAcl { path }
        | Request::GetChildren { path, .. }
        | Request::GetChildren2 { path, .. } => path.as_str(),
        _ => return None,
    };
    if path.starts_with("/zookeeper") {
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
        Request::GetAcl { .. } => {
            // Without ADMIN digests are shown masked.
            let masked = node.acl.iter().any(|entry| entry.id.scheme == "digest");
            if masked && !permitted(&node.acl, perms::ADMIN, caller)? {
                return None;
            }
            Response::Acl { acl: node.acl.to_vec(), stat }
        }
        _ => return None,
    })
}

/// The order of children is the server's choice.
pub fn sorted(mut response: Response) -> Response {
    if let Response::Children(children) | Response::Children2 { children, .. } = &mut response {
        children.sort_unstable();
    }
    response
}
