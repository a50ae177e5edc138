//! Which watch a request leaves behind. The table and what fires them are in [`crate::watch`].

use crate::proto::{AddWatchMode, ErrorCode, Request, Response};
use crate::watch::WatchMode;

/// The watch that a request asks for, given how it was answered: exists also watches a missing node.
// ZK: FinalRequestProcessor.processRequest (3.9), ZooKeeper.ExistsWatchRegistration
pub fn watch_of<'a>(
    request: &'a Request,
    result: &Result<Response, ErrorCode>,
) -> Option<(WatchMode, &'a str)> {
    let (mode, path, watch) = match request {
        Request::Exists { path, watch } => {
            let answered = result.is_ok() || *result == Err(ErrorCode::NO_NODE);
            (WatchMode::Data, path, *watch && answered)
        }
        Request::GetData { path, watch } => (WatchMode::Data, path, *watch && result.is_ok()),
        Request::GetChildren { path, watch } | Request::GetChildren2 { path, watch } => {
            (WatchMode::Child, path, *watch && result.is_ok())
        }
        Request::AddWatch { path, mode } => {
            let mode = match mode {
                AddWatchMode::Persistent => WatchMode::Persistent,
                AddWatchMode::PersistentRecursive => WatchMode::Recursive,
            };
            (mode, path, result.is_ok())
        }
        _ => return None,
    };
    watch.then_some((mode, path))
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
        let data = Some((WatchMode::Data, path));
        let child = Some((WatchMode::Child, path));
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
        for (asked, mode) in [
            (AddWatchMode::Persistent, WatchMode::Persistent),
            (AddWatchMode::PersistentRecursive, WatchMode::Recursive),
        ] {
            let add = Request::AddWatch { path: path.into(), mode: asked };
            assert_eq!(watch_of(&add, &Ok(Response::WatchAdded)), Some((mode, path)));
        }
    }
}
