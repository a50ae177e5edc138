//! The watches that this client left at servers, remembered so that they can be left again at the
//! next one. What they report is not judged here.

use alloc::collections::BTreeSet;
use alloc::string::String;
use alloc::vec::Vec;

use crate::ids::Zxid;
use crate::proto::{
    AddWatchMode, ErrorCode, EventKind, Request, Response, SetWatches, WatcherEvent, WatcherType,
};

/// Bytes of paths in one setWatches; the last path may go beyond.
// ZK: ClientCnxn.SET_WATCHES_MAX_LENGTH (3.9)
const BATCH_BYTES: usize = 128 * 1024;

#[derive(Clone, Debug, Default)]
pub(super) struct Watches {
    data: BTreeSet<String>,
    /// Set by an exists that found nothing. Told apart because what to report after a reconnect
    /// differs: there the creation, here the deletion and changes.
    exist: BTreeSet<String>,
    child: BTreeSet<String>,
    persistent: BTreeSet<String>,
    persistent_recursive: BTreeSet<String>,
}

impl Watches {
    /// Remembers the watch that `request` left, or forgets those it took away, given how it was
    /// answered.
    // ZK: ZooKeeper.ExistsWatchRegistration, DataWatchRegistration, ChildWatchRegistration,
    // AddWatchRegistration (3.9)
    pub(super) fn answered(&mut self, request: &Request, result: &Result<Response, ErrorCode>) {
        let (set, path) = match (request, result) {
            (Request::Exists { path, watch: true }, Ok(_)) => (&mut self.data, path),
            (Request::Exists { path, watch: true }, Err(ErrorCode::NO_NODE)) => {
                (&mut self.exist, path)
            }
            (Request::GetData { path, watch: true }, Ok(_)) => (&mut self.data, path),
            (
                Request::GetChildren { path, watch: true }
                | Request::GetChildren2 { path, watch: true },
                Ok(_),
            ) => (&mut self.child, path),
            (Request::AddWatch { path, mode: AddWatchMode::Persistent }, Ok(_)) => {
                (&mut self.persistent, path)
            }
            (Request::AddWatch { path, mode: AddWatchMode::PersistentRecursive }, Ok(_)) => {
                (&mut self.persistent_recursive, path)
            }
            (Request::RemoveWatches { path, watcher }, Ok(_)) => {
                return self.removed(path, *watcher);
            }
            _ => return,
        };
        set.insert(path.clone());
    }

    // ZK: ZKWatchManager.removeWatcher (3.9)
    fn removed(&mut self, path: &str, watcher: WatcherType) {
        let forget = |sets: &mut [&mut BTreeSet<String>]| {
            for set in sets {
                set.remove(path);
            }
        };
        match watcher {
            WatcherType::Children => forget(&mut [&mut self.child]),
            WatcherType::Data => forget(&mut [&mut self.data, &mut self.exist]),
            WatcherType::Persistent => forget(&mut [&mut self.persistent]),
            WatcherType::PersistentRecursive => forget(&mut [&mut self.persistent_recursive]),
            WatcherType::Any => forget(&mut [
                &mut self.child,
                &mut self.data,
                &mut self.exist,
                &mut self.persistent,
                &mut self.persistent_recursive,
            ]),
        }
    }

    /// Forgets the watches that the server used up for this event.
    // ZK: ZKWatchManager.materialize (3.9)
    pub(super) fn fired(&mut self, WatcherEvent { kind, path }: &WatcherEvent) {
        match kind {
            EventKind::NodeCreated | EventKind::NodeDataChanged => {
                self.data.remove(path);
                self.exist.remove(path);
            }
            EventKind::NodeChildrenChanged => {
                self.child.remove(path);
            }
            EventKind::NodeDeleted => {
                self.data.remove(path);
                self.exist.remove(path);
                self.child.remove(path);
            }
        }
    }

    /// What to send so that a server has these watches, and reports what happened since `seen`.
    /// Without persistent ones a batch travels as setWatches, which older servers know too.
    // ZK: ClientCnxn.SendThread.primeConnection (3.9)
    pub(super) fn set_again(&self, seen: Zxid) -> Vec<SetWatches> {
        let mut batches: Vec<SetWatches> = Vec::new();
        let mut bytes = BATCH_BYTES;
        let mut add = |paths: &BTreeSet<String>, list: fn(&mut SetWatches) -> &mut Vec<String>| {
            for path in paths {
                if bytes >= BATCH_BYTES {
                    batches.push(empty(seen));
                    bytes = 0;
                }
                bytes += path.len();
                list(batches.last_mut().expect("one was begun")).push(path.clone());
            }
        };
        add(&self.data, |set| &mut set.data);
        add(&self.exist, |set| &mut set.exist);
        add(&self.child, |set| &mut set.child);
        add(&self.persistent, |set| &mut set.persistent);
        add(&self.persistent_recursive, |set| &mut set.persistent_recursive);
        batches
    }
}

fn empty(relative_zxid: Zxid) -> SetWatches {
    SetWatches {
        relative_zxid,
        data: Vec::new(),
        exist: Vec::new(),
        child: Vec::new(),
        persistent: Vec::new(),
        persistent_recursive: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;
    use alloc::vec;

    use super::*;
    use crate::proto::Stat;

    fn exists(path: &str) -> Request {
        Request::Exists { path: path.into(), watch: true }
    }
    fn found() -> Result<Response, ErrorCode> {
        Ok(Response::Stat(Stat::default()))
    }
    fn set(data: &[&str], exist: &[&str], child: &[&str]) -> Vec<SetWatches> {
        let list = |paths: &[&str]| paths.iter().map(ToString::to_string).collect();
        let (data, exist, child) = (list(data), list(exist), list(child));
        vec![SetWatches { data, exist, child, ..empty(Zxid(9)) }]
    }

    #[test]
    fn an_answer_decides_which_watch_was_left() {
        let mut watches = Watches::default();
        let children = Request::GetChildren { path: "/c".into(), watch: true };
        let data = |watch| Request::GetData { path: "/d".into(), watch };
        watches.answered(&exists("/there"), &found());
        watches.answered(&exists("/not"), &Err(ErrorCode::NO_NODE));
        watches.answered(&exists("/secret"), &Err(ErrorCode::NO_AUTH));
        watches.answered(&children, &Ok(Response::Children(vec![])));
        watches.answered(&children, &Err(ErrorCode::NO_NODE));
        watches.answered(&data(true), &Err(ErrorCode::NO_NODE));
        watches.answered(&data(false), &found());
        assert_eq!(watches.set_again(Zxid(9)), set(&["/there"], &["/not"], &["/c"]));
    }

    #[test]
    fn an_event_uses_up_what_upstream_uses_up() {
        let table: [(EventKind, Vec<SetWatches>); 4] = [
            (EventKind::NodeCreated, set(&[], &[], &["/a"])),
            (EventKind::NodeDataChanged, set(&[], &[], &["/a"])),
            (EventKind::NodeChildrenChanged, set(&["/a"], &["/a"], &[])),
            (EventKind::NodeDeleted, vec![]),
        ];
        for (kind, left) in table {
            let mut watches = Watches::default();
            watches.answered(&exists("/a"), &found());
            watches.answered(&exists("/a"), &Err(ErrorCode::NO_NODE));
            let children = Request::GetChildren2 { path: "/a".into(), watch: true };
            watches.answered(&children, &Ok(Response::Empty));
            watches.fired(&WatcherEvent { kind, path: "/b".into() });
            watches.fired(&WatcherEvent { kind, path: "/a".into() });
            assert_eq!(watches.set_again(Zxid(9)), left, "{kind:?}");
        }
    }

    #[test]
    fn persistent_watches_stay_until_they_are_removed() {
        let mut watches = Watches::default();
        let add = |mode| Request::AddWatch { path: "/a".into(), mode };
        watches.answered(&add(AddWatchMode::Persistent), &Err(ErrorCode::UNIMPLEMENTED));
        assert_eq!(watches.set_again(Zxid(9)), []);
        watches.answered(&add(AddWatchMode::Persistent), &Ok(Response::WatchAdded));
        watches.answered(&add(AddWatchMode::PersistentRecursive), &Ok(Response::WatchAdded));
        watches.answered(&exists("/a"), &found());
        for kind in [EventKind::NodeCreated, EventKind::NodeDeleted, EventKind::NodeDataChanged] {
            watches.fired(&WatcherEvent { kind, path: "/a".into() });
        }
        let all = SetWatches {
            persistent: vec!["/a".into()],
            persistent_recursive: vec!["/a".into()],
            ..empty(Zxid(9))
        };
        assert_eq!(watches.set_again(Zxid(9)), vec![all.clone()]);
        assert_eq!(Request::SetWatches(all.clone()).opcode(), 105, "setWatches2");

        let mut remove = |watcher, result: Result<Response, ErrorCode>| {
            watches.answered(&Request::RemoveWatches { path: "/a".into(), watcher }, &result);
            watches.set_again(Zxid(9))
        };
        let any = WatcherType::Any;
        assert_eq!(remove(any, Err(ErrorCode::NO_WATCHER)), vec![all.clone()]);
        assert_eq!(remove(WatcherType::Children, Ok(Response::Empty)), vec![all.clone()]);
        let recursive = SetWatches { persistent: vec![], ..all };
        assert_eq!(remove(WatcherType::Persistent, Ok(Response::Empty)), [recursive]);
        assert_eq!(remove(any, Ok(Response::Empty)), []);
    }

    #[test]
    fn many_watches_go_in_batches() {
        let mut watches = Watches::default();
        for number in 0..300 {
            watches.answered(&exists(&alloc::format!("/{number:0>999}")), &found());
        }
        let batches: Vec<usize> =
            watches.set_again(Zxid(9)).iter().map(|set| set.data.len()).collect();
        assert_eq!(batches, [132, 132, 36]);
    }
}
