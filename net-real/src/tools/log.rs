//! `zebu log`: the transactions of a log, and what is wrong with it (upstream: `TxnLogToolkit`). The
//! commands that write are in `copy`.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::{bail, ensure};
use clap::Subcommand;
use serde::Serialize;
use zebu_core::storage::{
    Audit, DataFile, Finding, FindingKind, LogFault, LogFaultKind, LogPart, LogRecords, LoggedTxn,
    State, audit, audit_log, data_files,
};

use super::copy::{Chop, Recover};
use super::files::ReadOnly;
use super::txn::TxnLine;
use super::words::Hex;
use super::{Outcome, Reading, json_line};

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Print transactions, one a line; what is damaged begins with `!`
    Print(Print),
    /// Check every record, the order of zxids, and with a data directory also snapshots and digests
    Check(Check),
    /// Copy a log up to a transaction
    Chop(Chop),
    /// Copy a log with new checksums for records whose checksum is wrong
    Recover(Recover),
}

impl Command {
    pub fn run(self, out: &mut dyn Write) -> anyhow::Result<Outcome> {
        match self {
            Self::Print(print) => print.run(out),
            Self::Check(check) => check.run(out),
            Self::Chop(chop) => chop.run(out),
            Self::Recover(recover) => recover.run(out),
        }
    }
}

#[derive(Debug, clap::Args)]
pub struct Print {
    /// Logs, or directories of them
    #[arg(required = true, value_name = "FILE|DIR")]
    paths: Vec<PathBuf>,
    /// Print data, not only its length; in JSON as base64
    #[arg(long)]
    data: bool,
    #[command(flatten)]
    reading: Reading,
}

impl Print {
    fn run(&self, out: &mut dyn Write) -> anyhow::Result<Outcome> {
        let mut outcome = Outcome::Fine;
        for path in &self.paths {
            let (disk, logs) = if path.is_dir() {
                let disk = ReadOnly::directory(path, None)?;
                let (_, logs) = data_files(&disk)?;
                ensure!(!logs.is_empty(), "{}: expected logs, found none", path.display());
                (disk, logs)
            } else {
                let (disk, log) = ReadOnly::file(path)?;
                (disk, vec![log])
            };
            for log in &logs {
                if self.one(&disk, log, out)? == Outcome::Found {
                    outcome = Outcome::Found;
                }
            }
        }
        Ok(outcome)
    }

    fn one(&self, disk: &ReadOnly, log: &DataFile, out: &mut dyn Write) -> anyhow::Result<Outcome> {
        let mut end = EndLine::of(disk, log);
        let mut records = LogRecords::new(disk, log, self.reading.record_max());
        let mut outcome = Outcome::Fine;
        while let Some(part) = records.next().transpose()? {
            match &part {
                LogPart::Txn(txn) => {
                    end.count(txn);
                    let line = TxnLine::of(txn, self.data);
                    if self.reading.json {
                        json_line(out, &line)?;
                    } else {
                        writeln!(out, "{line}")?;
                    }
                }
                LogPart::Fault(fault) => {
                    if fault.kind != LogFaultKind::Torn {
                        outcome = Outcome::Found;
                    }
                    self.fault(disk, log, fault, out)?;
                }
            }
        }
        end.end = records.end();
        if self.reading.json {
            json_line(out, &end)?;
        } else {
            end.write(out)?;
        }
        Ok(outcome)
    }

    fn fault(
        &self,
        disk: &ReadOnly,
        log: &DataFile,
        fault: &LogFault,
        out: &mut dyn Write,
    ) -> anyhow::Result<()> {
        #[derive(Serialize)]
        struct Line<'a> {
            #[serde(flatten)]
            finding: FindingLine,
            #[serde(skip_serializing_if = "Option::is_none")]
            txn: Option<TxnLine<'a>>,
        }
        let LogFault { offset, kind, what } = fault;
        let (kind, txn) = match kind {
            LogFaultKind::Torn => (FindingKind::Torn, None),
            LogFaultKind::Damaged => (FindingKind::Damaged, None),
            LogFaultKind::Checksum(txn) => (FindingKind::Checksum, txn.as_ref()),
        };
        let finding = FindingLine {
            finding: kind.name(),
            file: disk.path(&log.file).display().to_string(),
            offset: Some(*offset),
            what: what.clone(),
        };
        let txn = txn.map(|txn| TxnLine::of(txn, self.data));
        if self.reading.json {
            return json_line(out, &Line { finding, txn });
        }
        writeln!(out, "! {}", finding.text())?;
        if let Some(txn) = txn {
            writeln!(out, "! {txn}")?;
        }
        Ok(())
    }
}

/// What a file came to.
#[derive(Debug, Serialize)]
struct EndLine {
    file: String,
    transactions: u64,
    first: Option<Hex>,
    last: Option<Hex>,
    /// Where the records end.
    end: u64,
    length: u64,
}

impl EndLine {
    fn of(disk: &ReadOnly, log: &DataFile) -> Self {
        Self {
            file: disk.path(&log.file).display().to_string(),
            transactions: 0,
            first: None,
            last: None,
            end: 0,
            length: log.len,
        }
    }

    fn count(&mut self, txn: &LoggedTxn) {
        let zxid = txn.entry.zxid().into();
        self.transactions += 1;
        self.first.get_or_insert(zxid);
        self.last = Some(zxid);
    }

    fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        let Self { file, transactions, end, length, .. } = self;
        write!(out, "# {file}: transactions {transactions}")?;
        if let (Some(first), Some(last)) = (self.first, self.last) {
            write!(out, " ({first} to {last})")?;
        }
        writeln!(out, ", the records end at offset {end} of {length}")
    }
}

#[derive(Debug, clap::Args)]
pub struct Check {
    /// Logs, or data directories
    #[arg(required = true, value_name = "FILE|DIR")]
    paths: Vec<PathBuf>,
    /// The log's directory, if it is not the data directory
    #[arg(long, value_name = "DIR")]
    log_dir: Option<PathBuf>,
    #[command(flatten)]
    reading: Reading,
}

impl Check {
    fn run(&self, out: &mut dyn Write) -> anyhow::Result<Outcome> {
        let mut sound = true;
        for path in &self.paths {
            sound &= self.one(path, out)?;
        }
        Ok(Outcome::fine_if(sound))
    }

    /// Is all well?
    fn one(&self, path: &Path, out: &mut dyn Write) -> anyhow::Result<bool> {
        let mut findings = 0_usize;
        let mut failed = Ok(());
        let is_dir = path.is_dir();
        let mut report = |mut finding: Finding| {
            if !is_dir {
                finding.file = path.display().to_string();
            }
            findings += usize::from(finding.kind != FindingKind::Torn);
            let line = FindingLine::of(finding);
            let written = if self.reading.json {
                json_line(out, &line)
            } else {
                writeln!(out, "{}", line.text()).map_err(anyhow::Error::from)
            };
            if written.is_err() && failed.is_ok() {
                failed = written;
            }
        };
        let max = self.reading.record_max();
        let done = if is_dir {
            let disk = ReadOnly::directory(path, self.log_dir.as_deref())?;
            audit(&disk, max, &mut report)?
        } else {
            let (disk, log) = ReadOnly::file(path)?;
            audit_log(&disk, &log, max, &mut report)?
        };
        failed?;
        if done.snapshots == 0 && done.logs == 0 {
            bail!("{}: expected logs or snapshots, found none", path.display());
        }
        let line = AuditLine::of(path, findings, &done);
        if self.reading.json {
            json_line(out, &line)?;
        } else {
            line.write(out)?;
        }
        Ok(findings == 0)
    }
}

#[derive(Debug, Serialize)]
pub(super) struct FindingLine {
    finding: &'static str,
    file: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    offset: Option<u64>,
    what: String,
}

impl FindingLine {
    pub(super) fn of(finding: Finding) -> Self {
        let Finding { file, offset, kind, what } = finding;
        Self { finding: kind.name(), file, offset, what }
    }

    pub(super) fn text(&self) -> String {
        let Self { finding, file, what, .. } = self;
        let at = self.offset.map_or(String::new(), |offset| format!(" offset {offset}"));
        format!("{finding} {file}{at}: {what}")
    }
}

#[derive(Debug, Serialize)]
struct AuditLine {
    path: String,
    findings: usize,
    snapshots: usize,
    logs: usize,
    transactions: u64,
    first: Option<Hex>,
    last: Option<Hex>,
    /// Transactions whose digest is that of the tree.
    digests: u64,
    /// What a server would start with.
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<StateWord>,
}

#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct StateWord {
    pub(super) zxid: Hex,
    pub(super) znodes: usize,
    pub(super) sessions: usize,
    pub(super) digest: Hex,
}

impl StateWord {
    pub(super) fn of(state: State) -> Self {
        Self {
            zxid: state.zxid.into(),
            znodes: state.znodes,
            sessions: state.sessions,
            digest: Hex(state.digest),
        }
    }
}

impl std::fmt::Display for StateWord {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { zxid, znodes, sessions, digest } = self;
        write!(f, "zxid {zxid}, znodes {znodes}, sessions {sessions}, digest {digest}")
    }
}

impl AuditLine {
    fn of(path: &Path, findings: usize, audit: &Audit) -> Self {
        Self {
            path: path.display().to_string(),
            findings,
            snapshots: audit.snapshots,
            logs: audit.logs,
            transactions: audit.txns,
            first: audit.first.map(Hex::from),
            last: audit.last.map(Hex::from),
            digests: audit.digests,
            state: audit.state.map(StateWord::of),
        }
    }

    fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        let Self { path, snapshots, logs, transactions, digests, .. } = self;
        write!(out, "# {path}: ")?;
        match self.findings {
            0 => write!(out, "ok; ")?,
            n => write!(out, "findings {n}; ")?,
        }
        if *snapshots > 0 {
            write!(out, "snapshots {snapshots}, logs {logs}, digests as the tree's {digests}, ")?;
        }
        write!(out, "transactions {transactions}")?;
        if let (Some(first), Some(last)) = (self.first, self.last) {
            write!(out, " ({first} to {last})")?;
        }
        if let Some(state) = self.state {
            write!(out, "; a server starts with {state}")?;
        }
        writeln!(out)
    }
}
