//! What a person, or the next program in a pipe, gets to see.

use std::io::Write;

use zebu_core::client::SessionEvent;
use zebu_core::proto::{Acl, EventKind, Id, Response, Stat};

use super::session::Happened;
use crate::letters;
use crate::utc::time_text;

/// What of an answer is wanted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Show {
    pub(super) stat: bool,
    pub(super) data: bool,
}

pub(super) fn response(response: &Response, show: Show) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    let mut stat_of = None;
    match response {
        Response::Path(path) | Response::PathStat { path, .. } if show.data => {
            writeln!(out, "{path}")?;
        }
        Response::Data { data, stat } => {
            // Bytes as they are: they need not be text.
            if let (Some(data), true) = (data, show.data) {
                out.write_all(data)?;
                out.write_all(b"\n")?;
            }
            stat_of = Some(stat);
        }
        Response::Children2 { children, stat } => {
            let mut children = children.clone();
            children.sort();
            for child in &children {
                writeln!(out, "{child}")?;
            }
            stat_of = Some(stat);
        }
        Response::Stat(stat) => stat_of = Some(stat),
        Response::Acl { acl, stat } => {
            // ZK: GetAclCommand (3.9)
            for Acl { perms, id: Id { scheme, id } } in acl {
                writeln!(out, "'{scheme},'{id}\n: {}", letters::of(*perms))?;
            }
            stat_of = Some(stat);
        }
        Response::Ephemerals(paths) => {
            for path in paths {
                writeln!(out, "{path}")?;
            }
        }
        Response::Count(count) => writeln!(out, "{count}")?,
        Response::Identities(ids) => {
            // ZK: WhoAmICommand (3.9)
            writeln!(out, "Auth scheme: User")?;
            for Id { scheme, id } in ids {
                writeln!(out, "{scheme}: {id}")?;
            }
        }
        Response::Empty
        | Response::WatchAdded
        | Response::Path(_)
        | Response::PathStat { .. }
        | Response::Children(_)
        | Response::Multi(_)
        | Response::Sasl { .. } => {}
    }
    if let (Some(stat), true) = (stat_of, show.stat) {
        out.write_all(stat_text(stat).as_bytes())?;
    }
    Ok(out.flush()?)
}

/// What happened without being asked for: to stderr, beside the answers.
pub(super) fn happened(happened: &Happened) {
    match happened {
        Happened::Watch(event) => {
            let what = match event.kind {
                EventKind::NodeCreated => "was created",
                EventKind::NodeDeleted => "was deleted",
                EventKind::NodeDataChanged => "has new data",
                EventKind::NodeChildrenChanged => "has other children",
            };
            eprintln!("{} {what}", event.path);
        }
        Happened::Session(SessionEvent::Disconnected) => eprintln!("disconnected, trying again"),
        Happened::Session(SessionEvent::Resumed { session }) => {
            eprintln!("connected again, session {session} goes on");
        }
        Happened::Session(SessionEvent::Expired { session }) => {
            eprintln!("session {session} has expired, its ephemerals are gone");
        }
        Happened::Session(SessionEvent::Opened { .. } | SessionEvent::Closed)
        | Happened::Answered(..) => {}
    }
}

/// Upstream's names, one field a line.
// ZK: StatPrinter.print (3.9)
fn stat_text(stat: &Stat) -> String {
    format!(
        "cZxid = 0x{:x}\nctime = {}\nmZxid = 0x{:x}\nmtime = {}\npZxid = 0x{:x}\ncversion = {}\n\
         dataVersion = {}\naclVersion = {}\nephemeralOwner = 0x{:x}\ndataLength = {}\n\
         numChildren = {}\n",
        stat.czxid,
        time_text(stat.ctime),
        stat.mzxid,
        time_text(stat.mtime),
        stat.pzxid,
        stat.cversion,
        stat.version,
        stat.aversion,
        stat.ephemeral_owner,
        stat.data_length,
        stat.num_children,
    )
}
