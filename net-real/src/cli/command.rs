//! What can be asked on the command line and at the prompt, and the requests that it becomes.

use std::fmt;

use bytes::Bytes;
use clap::{Parser, Subcommand};

use zebu_core::proto::{Acl, CreateRequest, Request, create_flags};

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
}

impl Command {
    /// The request, and what of its answer is shown.
    pub(super) fn request(self) -> (Request, Show) {
        let all = |data| Show { stat: false, data };
        match self {
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
        }
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
            Line::try_parse_from(words).map(|line| line.command.request().0)
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
        assert!(request("get").is_err());
        assert!(request("frobnicate /a").is_err());
    }
}
