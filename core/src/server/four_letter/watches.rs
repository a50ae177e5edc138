//! Who watches what: `wchs`, `wchc`, `wchp`. Watches of data and existence alone, as upstream.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use core::fmt::Write;

use super::super::Server;

// ZK: WatchManager.toString (3.9)
pub(super) fn counted(server: &Server, out: &mut String) {
    let (mut paths, mut total, mut conns) = (0, 0, BTreeSet::new());
    for (_, watching) in server.order.watches().data_watches() {
        paths += 1;
        total += watching.len();
        conns.extend(watching);
    }
    let conns = conns.len();
    let _ = write!(out, "{conns} connections watching {paths} paths\nTotal watches:{total}\n");
}

// ZK: WatchManager.dumpWatches (3.9)
pub(super) fn by_session(server: &Server, out: &mut String) {
    let mut sessions: BTreeMap<u64, BTreeSet<&str>> = BTreeMap::new();
    for (path, watching) in server.order.watches().data_watches() {
        for session in watching.into_iter().filter_map(|conn| server.order.session_of(conn)) {
            sessions.entry(session.0).or_default().insert(path);
        }
    }
    for (session, paths) in sessions {
        let _ = writeln!(out, "0x{session:x}");
        for path in paths {
            let _ = writeln!(out, "\t{path}");
        }
    }
    out.push('\n');
}

pub(super) fn by_path(server: &Server, out: &mut String) {
    let paths: BTreeMap<_, _> = server.order.watches().data_watches().collect();
    for (path, watching) in paths {
        let _ = writeln!(out, "{path}");
        for session in watching.into_iter().filter_map(|conn| server.order.session_of(conn)) {
            let _ = writeln!(out, "\t0x{:x}", session.0);
        }
    }
    out.push('\n');
}
