//! What a server said, in words that are the same for two servers that behave the same: zxids count
//! from the start of the case, sessions have names, times are there or not.

use std::collections::BTreeMap;
use std::fmt::Write;

use zebu_core::proto::{Acl, ClientMessage, ConnectResponse, MultiResult, Response, Stat};

use super::client::Heard;
use super::sequence::{FULL, HERE, QUOTA, QUOTAS_HERE};

#[derive(Default)]
pub(super) struct Words {
    /// The case's own directory.
    directory: String,
    /// Its own parent of [`super::full`].
    full: String,
    /// The zxid that counts as 0.
    start: i64,
    /// Zxids since then that only this server has used, see [`super::known`].
    extra: Vec<i64>,
    sessions: BTreeMap<i64, String>,
}

impl Words {
    pub(super) fn start_at(&mut self, directory: &str, full: String, zxid: i64) {
        self.directory = directory.into();
        self.full = full;
        self.start = zxid;
    }
    /// The other server has no counterpart of this zxid.
    pub(super) fn discount(&mut self, zxid: i64) {
        self.extra.push(zxid);
        self.extra.sort_unstable();
    }
    pub(super) fn name_session(&mut self, id: i64, name: String) {
        self.sessions.insert(id, name);
    }

    pub(super) fn path_on_server(&self, path: &str) -> String {
        if let Some(rest) = path.strip_prefix(HERE) {
            format!("{}{rest}", self.directory)
        } else if let Some(rest) = path.strip_prefix(QUOTAS_HERE) {
            format!("{QUOTA}{}{rest}", self.directory)
        } else if let Some(rest) = path.strip_prefix(FULL) {
            format!("{}{rest}", self.full)
        } else {
            path.into()
        }
    }
    /// The zxid that is `since` behind the start of the case.
    pub(super) fn zxid_on_server(&self, since: i64) -> i64 {
        let mut zxid = self.start + since;
        for extra in &self.extra {
            zxid += i64::from(*extra <= zxid);
        }
        zxid
    }

    pub(super) fn path(&self, path: &str) -> String {
        let quotas = path.strip_prefix(QUOTA);
        if let Some(rest) = path.strip_prefix(&self.directory) {
            format!("{HERE}{rest}")
        } else if let Some(rest) = quotas.and_then(|path| path.strip_prefix(&self.directory)) {
            format!("{QUOTAS_HERE}{rest}")
        } else if let Some(rest) = path.strip_prefix(&self.full) {
            format!("{FULL}{rest}")
        } else {
            path.into()
        }
    }
    fn zxid(&self, zxid: i64) -> String {
        // Neither is a transaction's.
        if zxid == 0 || zxid == -1 {
            return format!("={zxid}");
        }
        // Of the directories above the case's own: other cases have been there, and differed.
        if zxid < self.start {
            return "-early".into();
        }
        format!("{:+}", self.since_start(zxid))
    }
    /// Transactions from the start of the case to `zxid`, but for those of this server only.
    pub(super) fn since_start(&self, zxid: i64) -> i64 {
        let extra = self.extra.iter().filter(|extra| **extra <= zxid).count() as i64;
        zxid - self.start - extra
    }
    fn session(&self, id: i64) -> String {
        match self.sessions.get(&id) {
            Some(name) => name.clone(),
            None if id == 0 => "-".into(),
            None => format!("{id:#x}"),
        }
    }

    pub(super) fn heard(&self, heard: &Heard) -> String {
        match heard {
            Heard::Message { message, exact: true } => self.message(message),
            Heard::Message { message, exact: false } => {
                format!("{}, and not in these bytes only", self.message(message))
            }
            Heard::Unreadable(why) => format!("unreadable: {why}"),
            Heard::End => "connection closed".into(),
            Heard::Silence => "silence".into(),
        }
    }

    fn message(&self, message: &ClientMessage) -> String {
        match message {
            ClientMessage::Connected(ConnectResponse {
                protocol_version,
                timeout_ms,
                session,
                password,
                read_only,
            }) => {
                let password = match *password {
                    p if p == [0; 16] => "no",
                    p if p == zebu_core::session::password(*session) => "right",
                    _ => "wrong",
                };
                let session = self.session(session.0 as i64);
                format!(
                    "connected to {session}, timeout {timeout_ms}, {password} password, \
                     read only {read_only:?}, version {protocol_version}"
                )
            }
            ClientMessage::Reply { xid, zxid, result } => {
                let said = match result {
                    Ok(response) => self.response(response),
                    Err(code) => format!("{code}"),
                };
                format!("reply {} {}: {said}", xid.0, self.zxid(*zxid))
            }
            ClientMessage::LoginRefused { xid, code } => format!("login {} refused: {code}", xid.0),
            ClientMessage::Event { zxid, event } => {
                format!("event {}: {:?} {}", self.zxid(*zxid), event.kind, self.path(&event.path))
            }
            ClientMessage::Text(text) => format!("text {text:?}"),
        }
    }

    fn response(&self, response: &Response) -> String {
        match response {
            Response::Empty => "ok".into(),
            Response::WatchAdded => "watched".into(),
            Response::Path(path) => self.path(path),
            Response::PathStat { path, stat } => {
                format!("{} {}", self.path(path), self.stat(stat))
            }
            Response::Stat(stat) => self.stat(stat),
            Response::Data { data, stat } => {
                let data = data.as_deref().map(String::from_utf8_lossy);
                format!("{data:?} {}", self.stat(stat))
            }
            Response::Acl { acl, stat } => format!("{} {}", acl_text(acl), self.stat(stat)),
            Response::Children(children) => names(children),
            Response::Children2 { children, stat } => {
                format!("{} {}", names(children), self.stat(stat))
            }
            Response::Multi(results) => {
                let results: Vec<_> = results.iter().map(|result| self.part(result)).collect();
                format!("[{}]", results.join("; "))
            }
            Response::Ephemerals(paths) => {
                let paths: Vec<_> = paths.iter().map(|path| self.path(path)).collect();
                names(&paths)
            }
            Response::Sasl { token } => {
                format!("token of {:?} bytes", token.as_ref().map(|t| t.len()))
            }
            Response::Count(count) => format!("{count}"),
            Response::Identities(ids) => {
                let ids: Vec<_> = ids.iter().map(|id| format!("{}:{}", id.scheme, id.id)).collect();
                names(&ids)
            }
        }
    }

    fn part(&self, result: &MultiResult) -> String {
        match result {
            MultiResult::Create { path } => format!("created {}", self.path(path)),
            MultiResult::Create2 { path, stat } => {
                format!("created {} {}", self.path(path), self.stat(stat))
            }
            MultiResult::Delete => "deleted".into(),
            MultiResult::SetData { stat } => self.stat(stat),
            MultiResult::Check => "checked".into(),
            MultiResult::Data { data, stat } => {
                let data = data.as_deref().map(String::from_utf8_lossy);
                format!("{data:?} {}", self.stat(stat))
            }
            MultiResult::Children(children) => names(children),
            MultiResult::Error(code) => format!("{code}"),
        }
    }

    fn stat(&self, stat: &Stat) -> String {
        let Stat {
            czxid,
            mzxid,
            ctime,
            mtime,
            version,
            cversion,
            aversion,
            ephemeral_owner,
            data_length,
            num_children,
            pzxid,
        } = *stat;
        let [c, m, p] = [czxid, mzxid, pzxid].map(|zxid| self.zxid(zxid.to_wire()));
        let mut text = format!(
            "{{c{c} m{m} p{p} v{version} cv{cversion} av{aversion} owner {} \
             length {data_length} children {num_children}",
            self.session(ephemeral_owner)
        );
        for (name, time) in [("ctime", ctime), ("mtime", mtime)] {
            if time == 0 {
                let _ = write!(text, " no {name}");
            }
        }
        text.push('}');
        text
    }
}

/// Their order is nobody's promise.
fn names(children: &[String]) -> String {
    let mut children = children.to_vec();
    children.sort();
    format!("{children:?}")
}

fn acl_text(acl: &[Acl]) -> String {
    let entries: Vec<_> = acl
        .iter()
        .map(|entry| format!("{}:{}:{}", entry.id.scheme, entry.id.id, entry.perms))
        .collect();
    format!("[{}]", entries.join(", "))
}
