//! `zebu snapshot`: the znodes of a snapshot, what is wrong with it, and how two of them differ
//! (upstream: `SnapshotFormatter`, `SnapshotComparer`, `SnapshotRecursiveSummary`).
//!
//! Where a snapshot is asked for, a data directory will do: then it is the state that a server would
//! start with. A snapshot is read into a tree, so that it comes out in the order of paths whatever
//! order it was written in, and two outputs can be held against each other.

use std::fmt;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use clap::Subcommand;
use serde::Serialize;
use zebu_core::storage::{
    DataFile, Finding, FindingKind, Loaded, SnapshotError, State, data_files, load_snapshot,
    newest_state,
};
use zebu_core::tree::Database;

use super::compare::{differences, growth};
use super::files::ReadOnly;
use super::log::{FindingLine, StateWord};
use super::sizes::sizes;
use super::words::{Hex, Word};
use super::znode::{SessionLine, ZnodeLine, shown};
use super::{Outcome, Reading, json_line};

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Print sessions and znodes, one a line
    Print(Print),
    /// Check every seal, and the digest against the tree
    Check(Check),
    /// Print what is not the same in two snapshots or data directories
    Compare(Compare),
    /// Print how many znodes, and how much data, are below each znode that has children
    Summary(Summary),
}

impl Command {
    pub fn run(self, out: &mut dyn Write) -> anyhow::Result<Outcome> {
        match self {
            Self::Print(print) => print.run(out),
            Self::Check(check) => check.run(out),
            Self::Compare(compare) => compare.run(out),
            Self::Summary(summary) => summary.run(out),
        }
    }
}

/// A database, and what it was read from.
struct Source {
    database: Database,
    about: About,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct About {
    file: String,
    #[serde(flatten)]
    state: StateWord,
    /// The newest change in it, if it was written beside ongoing changes.
    #[serde(skip_serializing_if = "Option::is_none")]
    newest_change: Option<Hex>,
    /// Znodes whose access control list only the log tells.
    #[serde(skip_serializing_if = "is_zero")]
    without_acl: usize,
}

fn is_zero(count: &usize) -> bool {
    *count == 0
}

impl About {
    fn of(path: &Path, loaded: &Loaded) -> Self {
        let Loaded { database, newest, dangling, .. } = loaded;
        let newer = *newest > database.last_processed;
        Self {
            file: path.display().to_string(),
            state: StateWord::of(State::of(database)),
            newest_change: newer.then(|| Hex::from(*newest)),
            without_acl: dangling.len(),
        }
    }
}

impl fmt::Display for About {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.file, self.state)?;
        if let Some(newest) = self.newest_change {
            write!(f, "; with some changes up to {newest}, for the log to complete")?;
        }
        if self.without_acl > 0 {
            write!(f, "; znodes whose ACL only the log tells {}", self.without_acl)?;
        }
        Ok(())
    }
}

impl Source {
    /// A snapshot, or what a server would start with from a directory.
    fn open(path: &Path, log_dir: Option<&Path>, reading: &Reading) -> anyhow::Result<Self> {
        let max = reading.record_max();
        if path.is_dir() {
            let disk = ReadOnly::directory(path, log_dir)?;
            let state = newest_state(&disk, max);
            let database = state.with_context(|| path.display().to_string())?;
            let about = About {
                file: path.display().to_string(),
                state: StateWord::of(State::of(&database)),
                newest_change: None,
                without_acl: 0,
            };
            return Ok(Self { database, about });
        }
        let (disk, file) = ReadOnly::file(path)?;
        let loaded = load_snapshot(&disk, &file.file, max);
        let loaded = loaded.with_context(|| path.display().to_string())?;
        let about = About::of(path, &loaded);
        Ok(Self { database: loaded.database, about })
    }
}

#[derive(Debug, clap::Args)]
pub struct Print {
    /// A snapshot, or a data directory
    #[arg(value_name = "FILE|DIR")]
    path: PathBuf,
    /// The log's directory, if it is not the data directory
    #[arg(long, value_name = "DIR")]
    log_dir: Option<PathBuf>,
    /// Print data, not only its length; in JSON as base64
    #[arg(long, conflicts_with = "ncdu")]
    data: bool,
    /// Print sizes as `ncdu -f` reads them
    #[arg(long, conflicts_with = "json")]
    ncdu: bool,
    #[command(flatten)]
    reading: Reading,
}

impl Print {
    fn run(&self, out: &mut dyn Write) -> anyhow::Result<Outcome> {
        let Source { database, about } =
            Source::open(&self.path, self.log_dir.as_deref(), &self.reading)?;
        if self.ncdu {
            ncdu(&database, out)?;
            return Ok(Outcome::Fine);
        }
        let json = self.reading.json;
        for (session, timeout) in &database.sessions {
            let ephemerals = database.tree.ephemerals(*session).count();
            let line = SessionLine::of(*session, *timeout, ephemerals);
            if json {
                json_line(out, &line)?;
            } else {
                writeln!(out, "{line}")?;
            }
        }
        let mut walk = database.tree.walk();
        while let Some((path, node)) = walk.next(&database.tree) {
            let line = ZnodeLine::of(&path, node, self.data);
            if json {
                json_line(out, &line)?;
            } else {
                writeln!(out, "{line}")?;
            }
        }
        if json {
            json_line(out, &about)?;
        } else {
            writeln!(out, "# {about}")?;
        }
        Ok(Outcome::Fine)
    }
}

/// The tree as ncdu exports directories: an array begins with the directory itself. Depths come
/// from arbitrary bytes, so nothing here recurs.
// ZK: SnapshotFormatter.printSnapshotJson (3.9)
fn ncdu(database: &Database, out: &mut dyn Write) -> anyhow::Result<()> {
    #[derive(Serialize)]
    struct Entry<'a> {
        name: &'a str,
        asize: usize,
        dsize: usize,
    }
    write!(out, r#"[1,0,{{"progname":"zebu","progver":"{}"}}"#, env!("CARGO_PKG_VERSION"))?;
    let mut open = 0;
    let mut walk = database.tree.walk();
    while let Some((path, node)) = walk.next(&database.tree) {
        let depth = path.matches('/').count();
        for _ in depth..open {
            out.write_all(b"]")?;
        }
        open = open.min(depth);
        let opens = node.num_children > 0;
        out.write_all(if opens { &b",\n["[..] } else { &b",\n"[..] })?;
        open += usize::from(opens);
        let name = path.rsplit('/').next().filter(|name| !name.is_empty()).unwrap_or("/");
        let size = node.data.map_or(0, |data| data.len());
        let entry = Entry { name, asize: size, dsize: size };
        serde_json::to_writer(&mut *out, &entry).map_err(io::Error::from)?;
    }
    for _ in 0..open {
        out.write_all(b"]")?;
    }
    Ok(writeln!(out, "]")?)
}

#[derive(Debug, clap::Args)]
pub struct Check {
    /// Snapshots, or directories of them
    #[arg(required = true, value_name = "FILE|DIR")]
    paths: Vec<PathBuf>,
    #[command(flatten)]
    reading: Reading,
}

impl Check {
    fn run(&self, out: &mut dyn Write) -> anyhow::Result<Outcome> {
        let mut sound = true;
        for path in &self.paths {
            let (disk, files) = if path.is_dir() {
                let disk = ReadOnly::directory(path, None)?;
                let (snapshots, _) = data_files(&disk)?;
                ensure!(
                    !snapshots.is_empty(),
                    "{}: expected snapshots, found none",
                    path.display()
                );
                (disk, snapshots)
            } else {
                let (disk, file) = ReadOnly::file(path)?;
                (disk, vec![file])
            };
            for file in &files {
                sound &= self.one(&disk, file, out)?;
            }
        }
        Ok(Outcome::fine_if(sound))
    }

    /// Is all well?
    fn one(&self, disk: &ReadOnly, file: &DataFile, out: &mut dyn Write) -> anyhow::Result<bool> {
        let path = disk.path(&file.file);
        let fault = match load_snapshot(disk, &file.file, self.reading.record_max()) {
            Err(SnapshotError::Disk(error)) => return Err(error.into()),
            Err(error @ SnapshotError::Invalid { .. }) => {
                (FindingKind::Snapshot, error.to_string())
            }
            Ok(loaded) => match loaded.digest_fault() {
                Some(what) => (FindingKind::Digest, what),
                None => {
                    let about = About::of(&path, &loaded);
                    if self.reading.json {
                        json_line(out, &about)?;
                    } else {
                        writeln!(out, "# {about}; ok")?;
                    }
                    return Ok(true);
                }
            },
        };
        let (kind, what) = fault;
        let file = path.display().to_string();
        let line = FindingLine::of(Finding { file, offset: None, kind, what });
        if self.reading.json {
            json_line(out, &line)?;
        } else {
            writeln!(out, "{}", line.text())?;
        }
        Ok(false)
    }
}

#[derive(Debug, clap::Args)]
pub struct Compare {
    /// A snapshot, or a data directory
    left: PathBuf,
    /// The other one
    right: PathBuf,
    /// The left log's directory, if it is not the data directory
    #[arg(long, value_name = "DIR")]
    left_log_dir: Option<PathBuf>,
    /// The right log's directory
    #[arg(long, value_name = "DIR")]
    right_log_dir: Option<PathBuf>,
    /// Leave out this znode and those below it; may be given several times
    #[arg(long, value_name = "PATH")]
    ignore: Vec<String>,
    /// Print what data was and is, not only its length
    #[arg(long)]
    data: bool,
    /// Only sizes: the subtrees that differ by more than so much data
    #[arg(long, value_name = "COUNT")]
    bytes: Option<u64>,
    /// Only sizes: the subtrees that differ by more than so many znodes
    #[arg(long, value_name = "COUNT")]
    nodes: Option<u64>,
    #[command(flatten)]
    reading: Reading,
}

impl Compare {
    fn run(&self, out: &mut dyn Write) -> anyhow::Result<Outcome> {
        let left = Source::open(&self.left, self.left_log_dir.as_deref(), &self.reading)?;
        let right = Source::open(&self.right, self.right_log_dir.as_deref(), &self.reading)?;
        let json = self.reading.json;
        let mut count = 0_usize;
        if self.bytes.is_some() || self.nodes.is_some() {
            let (nodes, bytes) = (self.nodes.unwrap_or(u64::MAX), self.bytes.unwrap_or(u64::MAX));
            for grown in growth(&left.database, &right.database, &self.ignore, nodes, bytes) {
                count += 1;
                if json {
                    json_line(out, &grown)?;
                } else {
                    writeln!(out, "~ {grown}")?;
                }
            }
        } else {
            differences(&left.database, &right.database, &self.ignore, self.data, &mut |found| {
                count += 1;
                if json { json_line(out, &found) } else { Ok(writeln!(out, "{found}")?) }
            })?;
        }
        self.say(&left.about, &right.about, count, out)?;
        Ok(Outcome::fine_if(count == 0))
    }

    fn say(
        &self,
        left: &About,
        right: &About,
        count: usize,
        out: &mut dyn Write,
    ) -> anyhow::Result<()> {
        #[derive(Serialize)]
        struct Line<'a> {
            left: &'a About,
            right: &'a About,
            differences: usize,
        }
        if self.reading.json {
            return json_line(out, &Line { left, right, differences: count });
        }
        writeln!(out, "# left {left}\n# right {right}")?;
        Ok(writeln!(out, "# differences {count}")?)
    }
}

#[derive(Debug, clap::Args)]
pub struct Summary {
    /// A snapshot, or a data directory
    #[arg(value_name = "FILE|DIR")]
    file: PathBuf,
    /// Where to begin
    #[arg(default_value = "/")]
    path: String,
    /// How many levels below it to print; 0 for all
    #[arg(default_value_t = 1)]
    depth: usize,
    /// The log's directory, if it is not the data directory
    #[arg(long, value_name = "DIR")]
    log_dir: Option<PathBuf>,
    #[command(flatten)]
    reading: Reading,
}

impl Summary {
    fn run(&self, out: &mut dyn Write) -> anyhow::Result<Outcome> {
        #[derive(Serialize)]
        struct Line<'a> {
            path: &'a str,
            descendants: u64,
            bytes: u64,
        }
        let source = Source::open(&self.file, self.log_dir.as_deref(), &self.reading)?;
        let all = sizes(&source.database.tree, shown(&self.path));
        ensure!(!all.is_empty(), "{}: no znode {}", self.file.display(), Word(&self.path));
        for znode in all {
            let deep = self.depth > 0 && znode.depth > self.depth;
            // Where it begins is shown whatever it is.
            if deep || znode.is_leaf && znode.depth > 0 {
                continue;
            }
            let line = Line {
                path: &znode.path,
                descendants: znode.size.nodes - 1,
                bytes: znode.size.bytes,
            };
            if self.reading.json {
                json_line(out, &line)?;
            } else {
                let Line { path, descendants, bytes } = line;
                writeln!(out, "{} descendants={descendants} bytes={bytes}", Word(path))?;
            }
        }
        Ok(Outcome::Fine)
    }
}
