//! What can be asked on the command line and at the prompt, and the requests that it becomes.

use std::fmt;

use bytes::Bytes;
use clap::{Parser, Subcommand};

use zebu_core::proto::{Acl, AddWatchMode, CreateRequest, Request, WatcherType, create_flags};

use super::ensemble::{CONFIG, RECONFIG_USAGE};
use super::quota::{NewLimit, OldLimit};
use super::show::Show;

/// One line of the prompt.
#[derive(Debug, Parser)]
#[command(multicall = true, disable_version_flag = true)]
pub(super) struct Line {
    #[command(subcommand)]
    pub(super) command: Command,
}

#[derive(Clone, Debug, Subcommand)]
pub(super) enum Command {
    /// List the children of a node
    Ls {
        /// Show the node's stat too
        #[arg(short)]
        stat: bool,
        #[arg(default_value = "/")]
        path: String,
    },
    /// Show the data of a node
    Get {
        /// Show the node's stat too
        #[arg(short)]
        stat: bool,
        /// Say when it changes (at the prompt)
        #[arg(short)]
        watch: bool,
        path: String,
    },
    /// Replace the data of a node
    Set {
        /// Only if the node has this version
        #[arg(short, default_value_t = -1, allow_hyphen_values = true)]
        version: i32,
        path: String,
        data: String,
    },
    /// Make a node
    Create {
        /// It goes with this session
        #[arg(short)]
        ephemeral: bool,
        /// Ten digits that count up are added to its name
        #[arg(short)]
        sequential: bool,
        path: String,
        data: Option<String>,
    },
    /// Remove a node without children
    Delete {
        /// Only if the node has this version
        #[arg(short, default_value_t = -1, allow_hyphen_values = true)]
        version: i32,
        path: String,
    },
    /// Show the stat of a node
    Stat {
        /// Say when it changes (at the prompt)
        #[arg(short)]
        watch: bool,
        path: String,
    },
    /// Bring this server up to date with the leader
    Sync {
        #[arg(default_value = "/")]
        path: String,
    },
    /// Show who may do what with a node
    #[command(name = "getAcl")]
    GetAcl {
        /// Show the node's stat too
        #[arg(short)]
        stat: bool,
        path: String,
    },
    /// Show how many nodes are below one
    #[command(name = "getAllChildrenNumber")]
    GetAllChildrenNumber { path: String },
    /// List this session's ephemerals
    #[command(name = "getEphemerals")]
    GetEphemerals {
        /// Only those whose path begins with this
        #[arg(default_value = "/")]
        path: String,
    },
    /// Be somebody more, as in: addauth digest user:password
    Addauth { scheme: String, auth: String },
    /// Show who this session is to the server
    Whoami,
    /// Say whenever something changes (at the prompt)
    #[command(name = "addWatch")]
    AddWatch {
        /// PERSISTENT: this node and its children; PERSISTENT_RECURSIVE: all below it
        #[arg(short, default_value = "PERSISTENT_RECURSIVE", value_parser = parse_mode)]
        mode: AddWatchMode,
        path: String,
    },
    /// Say no more when something changes (at the prompt)
    Removewatches {
        path: String,
        #[command(flatten)]
        kind: WatchKind,
    },
    /// Limit what may lie at a node and below it
    Setquota {
        #[command(flatten)]
        limit: NewLimit,
        path: String,
    },
    /// Show a node's limits, and what lies there
    Listquota { path: String },
    /// Remove a node's limits
    Delquota {
        #[command(flatten)]
        limit: OldLimit,
        path: String,
    },
    /// Show who is in the ensemble
    Config {
        /// Only the version, and where clients can connect
        #[arg(short)]
        clients: bool,
        /// Say when it changes (at the prompt)
        #[arg(short)]
        watch: bool,
        /// Show the stat of the configuration too
        #[arg(short)]
        stat: bool,
    },
    /// Change who is in the ensemble
    #[command(override_usage = RECONFIG_USAGE)]
    Reconfig {
        /// As zkCli takes them
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        words: Vec<String>,
    },
}

/// Which watches; any, if none is named.
#[derive(Clone, Copy, Debug, clap::Args)]
#[group(required = false, multiple = false)]
pub(super) struct WatchKind {
    /// Of children
    #[arg(short)]
    children: bool,
    /// Of data
    #[arg(short)]
    data: bool,
    /// Persistent ones
    #[arg(short)]
    persistent: bool,
    /// Persistent and recursive ones
    #[arg(short)]
    recursive: bool,
    /// Any
    #[arg(short)]
    any: bool,
}

impl WatchKind {
    fn watcher(self) -> WatcherType {
        let all = [
            (self.children, WatcherType::Children),
            (self.data, WatcherType::Data),
            (self.persistent, WatcherType::Persistent),
            (self.recursive, WatcherType::PersistentRecursive),
        ];
        all.into_iter().find(|(given, _)| *given).map_or(WatcherType::Any, |(_, watcher)| watcher)
    }
}

fn parse_mode(text: &str) -> Result<AddWatchMode, String> {
    match text.to_uppercase().as_str() {
        "PERSISTENT" => Ok(AddWatchMode::Persistent),
        "PERSISTENT_RECURSIVE" => Ok(AddWatchMode::PersistentRecursive),
        _ => Err("expected PERSISTENT or PERSISTENT_RECURSIVE".into()),
    }
}

/// What carries a command out.
pub(super) enum Plan {
    /// One request, and what of its answer is shown.
    Ask(Request, Show),
    SetQuota(NewLimit, String),
    ListQuota(String),
    DelQuota(OldLimit, String),
    ShowClients {
        watch: bool,
        stat: bool,
    },
    Reconfig(Vec<String>),
}

impl Command {
    pub(super) fn plan(self) -> Plan {
        let all = |data| Show { stat: false, data };
        let (request, show) = match self {
            Self::Ls { stat, path } => {
                (Request::GetChildren2 { path, watch: false }, Show { stat, data: true })
            }
            Self::Get { stat, watch, path } => {
                (Request::GetData { path, watch }, Show { stat, data: true })
            }
            Self::Set { version, path, data } => {
                let data = Some(Bytes::from(data));
                (Request::SetData { path, data, version }, all(false))
            }
            Self::Create { ephemeral, sequential, path, data } => {
                let flags = match (ephemeral, sequential) {
                    (false, false) => create_flags::PERSISTENT,
                    (true, false) => create_flags::EPHEMERAL,
                    (false, true) => create_flags::PERSISTENT_SEQUENTIAL,
                    (true, true) => create_flags::EPHEMERAL_SEQUENTIAL,
                };
                let data = data.map(Bytes::from);
                let create = CreateRequest { path, data, acl: Acl::open(), flags };
                (Request::Create(create), all(true))
            }
            Self::Delete { version, path } => (Request::Delete { path, version }, all(false)),
            Self::Stat { watch, path } => {
                (Request::Exists { path, watch }, Show { stat: true, data: false })
            }
            Self::Sync { path } => (Request::Sync { path }, all(false)),
            Self::GetAcl { stat, path } => (Request::GetAcl { path }, Show { stat, data: true }),
            Self::GetAllChildrenNumber { path } => {
                (Request::GetAllChildrenNumber { path }, all(true))
            }
            Self::GetEphemerals { path } => (Request::GetEphemerals { prefix: path }, all(true)),
            Self::Addauth { scheme, auth } => {
                (Request::Auth { scheme, auth: auth.into() }, all(false))
            }
            Self::Whoami => (Request::WhoAmI, all(true)),
            Self::AddWatch { mode, path } => (Request::AddWatch { path, mode }, all(false)),
            Self::Removewatches { path, kind } => {
                (Request::RemoveWatches { path, watcher: kind.watcher() }, all(false))
            }
            Self::Setquota { limit, path } => return Plan::SetQuota(limit, path),
            Self::Listquota { path } => return Plan::ListQuota(path),
            Self::Delquota { limit, path } => return Plan::DelQuota(limit, path),
            Self::Config { clients: true, watch, stat } => {
                return Plan::ShowClients { watch, stat };
            }
            Self::Config { clients: false, watch, stat } => {
                (Request::GetData { path: CONFIG.into(), watch }, Show { stat, data: true })
            }
            Self::Reconfig { words } => return Plan::Reconfig(words),
        };
        Plan::Ask(request, show)
    }
}

impl fmt::Display for Command {
    /// Enough to say what failed.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, path) = match self {
            Self::Ls { path, .. } => ("ls", path),
            Self::Get { path, .. } => ("get", path),
            Self::Set { path, .. } => ("set", path),
            Self::Create { path, .. } => ("create", path),
            Self::Delete { path, .. } => ("delete", path),
            Self::Stat { path, .. } => ("stat", path),
            Self::Sync { path } => ("sync", path),
            Self::GetAcl { path, .. } => ("getAcl", path),
            Self::GetAllChildrenNumber { path } => ("getAllChildrenNumber", path),
            Self::GetEphemerals { path } => ("getEphemerals", path),
            // What is proved with may be a password.
            Self::Addauth { scheme, .. } => ("addauth", scheme),
            Self::Whoami => return f.write_str("whoami"),
            Self::AddWatch { path, .. } => ("addWatch", path),
            Self::Removewatches { path, .. } => ("removewatches", path),
            Self::Setquota { path, .. } => ("setquota", path),
            Self::Listquota { path } => ("listquota", path),
            Self::Delquota { path, .. } => ("delquota", path),
            Self::Config { .. } => return f.write_str("config"),
            Self::Reconfig { .. } => return f.write_str("reconfig"),
        };
        write!(f, "{name} {path}")
    }
}

/// The words of a line: separated by blanks, kept together by either kind of quotes.
pub(super) fn words(line: &str) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut letters = line.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '"' | '\'' => {
                let word = word.get_or_insert_default();
                loop {
                    match letters.next() {
                        Some(end) if end == letter => break,
                        Some(inside) => word.push(inside),
                        None => return Err(format!("expected a closing {letter}")),
                    }
                }
            }
            blank if blank.is_whitespace() => words.extend(word.take()),
            letter => word.get_or_insert_default().push(letter),
        }
    }
    words.extend(word);
    Ok(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_a_line() {
        let cases: [(&str, Result<&[&str], &str>); 5] = [
            ("  ls   /a ", Ok(&["ls", "/a"])),
            ("set /a 'two words'", Ok(&["set", "/a", "two words"])),
            ("set /a \"\"", Ok(&["set", "/a", ""])),
            ("set /a it\"'\"s", Ok(&["set", "/a", "it's"])),
            ("get 'x", Err("expected a closing '")),
        ];
        for (line, expected) in cases {
            let expected = expected
                .map(|words| words.iter().map(ToString::to_string).collect())
                .map_err(ToString::to_string);
            assert_eq!(words(line), expected, "{line}");
        }
    }

    #[test]
    fn lines_become_requests() {
        let request = |line: &str| {
            let words = words(line).expect("quotes are closed");
            Line::try_parse_from(words).map(|parsed| match parsed.command.plan() {
                Plan::Ask(request, _) => request,
                _ => panic!("{line} takes more than a request"),
            })
        };
        assert_eq!(
            request("ls").ok(),
            Some(Request::GetChildren2 { path: "/".into(), watch: false })
        );
        assert_eq!(
            request("set -v 3 /a x").ok(),
            Some(Request::SetData { path: "/a".into(), data: Some("x".into()), version: 3 })
        );
        assert_eq!(
            request("create -e -s /a").ok(),
            Some(Request::Create(CreateRequest {
                path: "/a".into(),
                data: None,
                acl: Acl::open(),
                flags: create_flags::EPHEMERAL_SEQUENTIAL,
            }))
        );
        assert_eq!(
            request("delete /a").ok(),
            Some(Request::Delete { path: "/a".into(), version: -1 })
        );
        let watch = |mode| Request::AddWatch { path: "/a".into(), mode };
        assert_eq!(request("addWatch /a").ok(), Some(watch(AddWatchMode::PersistentRecursive)));
        assert_eq!(
            request("addWatch -m persistent /a").ok(),
            Some(watch(AddWatchMode::Persistent))
        );
        for (line, watcher) in [
            ("removewatches /a", WatcherType::Any),
            ("removewatches /a -d", WatcherType::Data),
            ("removewatches -r /a", WatcherType::PersistentRecursive),
        ] {
            let expected = Request::RemoveWatches { path: "/a".into(), watcher };
            assert_eq!(request(line).ok(), Some(expected), "{line}");
        }
        assert_eq!(
            request("getEphemerals").ok(),
            Some(Request::GetEphemerals { prefix: "/".into() })
        );
        assert_eq!(
            request("addauth digest ann:x").ok(),
            Some(Request::Auth { scheme: "digest".into(), auth: "ann:x".into() })
        );
        assert_eq!(
            request("config -w -s").ok(),
            Some(Request::GetData { path: "/zookeeper/config".into(), watch: true })
        );
        let reconfig = words("reconfig -s -add 4=h:1:2;3").expect("quotes are closed");
        let parsed = Line::try_parse_from(reconfig).expect("clap leaves the words alone");
        match parsed.command.plan() {
            Plan::Reconfig(words) => assert_eq!(words, ["-s", "-add", "4=h:1:2;3"]),
            _ => panic!("reconfig is a change"),
        }
        for wrong in [
            "setquota /a",
            "setquota -n 0 /a",
            "setquota -n 1 -b 1 /a",
            "setquota -b -1 /a",
            "delquota -n -b /a",
            "addWatch -m once /a",
            "removewatches -c -d /a",
            "listquota",
        ] {
            let words = words(wrong).expect("quotes are closed");
            assert!(Line::try_parse_from(words).is_err(), "{wrong}");
        }
        assert!(request("get").is_err());
        assert!(request("frobnicate /a").is_err());
    }
}
