//! Which watch a read leaves behind. The tables and what fires them are in [`crate::watch`].

use crate::proto::{ErrorCode, Request, Response};
use crate::watch::WatchKind;

/// The watch that a read asks for, given how it was answered: exists also watches a missing node.
// ZK: FinalRequestProcessor.processRequest (3.9), ZooKeeper.ExistsWatchRegistration
pub fn watch_of<'a>(
    request: &'a Request,
    result: &Result<Response, ErrorCode>,
) -> Option<(WatchKind, &'a str)> {
    let (kind, path, watch) = match request {
        Request::Exists { path, watch } => {
            let answered = result.is_ok() || *result == Err(ErrorCode::NO_NODE);
            (WatchKind::Data, path, *watch && answered)
        }
        Request::GetData { path, watch } => (WatchKind::Data, path, *watch && result.is_ok()),
        Request::GetChildren { path, watch } | Request::GetChildren2 { path, watch } => {
            (WatchKind::Child, path, *watch && result.is_ok())
        }
        _ => return None,
    };
    watch.then_some((kind, path))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::Stat;

    #[test]
    fn only_exists_watches_what_is_missing() {
        let path = "/a";
        let ok = Ok(Response::Stat(Stat::default()));
        let missing = Err(ErrorCode::NO_NODE);
        let denied = Err(ErrorCode::NO_AUTH);
        let data = Some((WatchKind::Data, path));
        let child = Some((WatchKind::Child, path));
        for watch in [true, false] {
            let exists = Request::Exists { path: path.into(), watch };
            let get_data = Request::GetData { path: path.into(), watch };
            let get_children = Request::GetChildren { path: path.into(), watch };
            let get_children2 = Request::GetChildren2 { path: path.into(), watch };
            for (request, result, expected) in [
                (&exists, &ok, data),
                (&exists, &missing, data),
                (&exists, &denied, None),
                (&get_data, &ok, data),
                (&get_data, &missing, None),
                (&get_children, &ok, child),
                (&get_children, &missing, None),
                (&get_children2, &ok, child),
                (&get_children2, &denied, None),
            ] {
                assert_eq!(watch_of(request, result), expected.filter(|_| watch), "{request:?}");
            }
        }
    }
}
