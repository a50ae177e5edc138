//! `zebu log chop` and `zebu log recover`: copies of a log, shorter or with new checksums (upstream:
//! `LogChopper`, `TxnLogToolkit -r`). The log itself is left as it is.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use serde::Serialize;
use zebu_core::ids::{Epoch, Zxid};
use zebu_core::storage::{
    LOG_HEADER, LogFault, LogFaultKind, LogPart, LogRecords, LoggedTxn, log_record,
};

use super::files::{ReadOnly, write_new};
use super::txn::TxnLine;
use super::words::Hex;
use super::{Outcome, Reading, json_line};

#[derive(Debug, clap::Args)]
pub struct Chop {
    file: PathBuf,
    /// The last transaction to keep: 0x100000005, or 1:5
    #[arg(long, value_name = "ZXID", value_parser = parse_zxid)]
    after: Zxid,
    /// A new file
    #[arg(long, value_name = "FILE")]
    to: PathBuf,
    #[command(flatten)]
    reading: Reading,
}

/// `0x100000005`, or `1:5` as Zebu's own logs have it. A number without a mark could be either
/// decimal or the hexadecimal of file names.
fn parse_zxid(text: &str) -> Result<Zxid, String> {
    let parsed = match (text.strip_prefix("0x"), text.split_once(':')) {
        (Some(hex), _) => u64::from_str_radix(hex, 16).ok().map(Zxid),
        (None, Some((epoch, counter))) => {
            let epoch = epoch.parse().ok().map(Epoch);
            epoch.zip(counter.parse().ok()).map(|(epoch, counter)| Zxid::new(epoch, counter))
        }
        (None, None) => None,
    };
    parsed.ok_or_else(|| format!("expected a zxid as in 0x100000005 or 1:5, found {text:?}"))
}

impl Chop {
    pub(super) fn run(&self, out: &mut dyn Write) -> anyhow::Result<Outcome> {
        let (from, after) = (self.file.display(), self.after);
        let (disk, log) = ReadOnly::file(&self.file)?;
        let end = end_of(after, LogRecords::new(&disk, &log, self.reading.record_max()));
        let end = end.with_context(|| from.to_string())?;
        write_new(&self.to, |to| {
            let copied = io::copy(&mut File::open(&self.file)?.take(end), to)?;
            ensure!(copied == end, "expected {end} bytes of {from}, found {copied}");
            Ok(())
        })?;
        let to = self.to.display().to_string();
        if self.reading.json {
            #[derive(Serialize)]
            struct Line {
                file: String,
                last: Hex,
                end: u64,
            }
            json_line(out, &Line { file: to, last: after.into(), end })?;
        } else {
            writeln!(out, "# {to}: {from} up to {after:#x}, {end} bytes")?;
        }
        Ok(Outcome::Fine)
    }
}

/// Where the record of `zxid` ends.
// ZK: LogChopper.chop (3.9)
// Departs: upstream leaves a copy of all when the zxid is not there.
fn end_of(zxid: Zxid, records: LogRecords<'_>) -> anyhow::Result<u64> {
    let mut last = None;
    for part in records {
        match part? {
            LogPart::Txn(txn) if txn.entry.zxid() == zxid => return Ok(txn.end),
            LogPart::Txn(txn) => last = Some(txn.entry.zxid()),
            LogPart::Fault(LogFault { offset, what, .. }) => {
                bail!("offset {offset}: {what}; expected a record {zxid:#x} before it");
            }
        }
    }
    match last {
        Some(last) => bail!("expected a record {zxid:#x}, the last one is {last:#x}"),
        None => bail!("expected a record {zxid:#x}, found none at all"),
    }
}

#[derive(Debug, clap::Args)]
pub struct Recover {
    file: PathBuf,
    /// A new file [default: FILE.fixed]
    #[arg(long, value_name = "FILE")]
    to: Option<PathBuf>,
    /// Write it: without this, only what would be done is printed
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    reading: Reading,
}

impl Recover {
    // ZK: TxnLogToolkit.dump (3.9), with -r and -y
    // Departs: a record is mended only if it is a transaction, and the one that is missing between
    // its neighbours; bytes that are damaged otherwise are not passed over.
    pub(super) fn run(&self, out: &mut dyn Write) -> anyhow::Result<Outcome> {
        let from = self.file.display();
        let (disk, log) = ReadOnly::file(&self.file)?;
        let records = || LogRecords::new(&disk, &log, self.reading.record_max());
        let mended = self.look(records(), out).with_context(|| from.to_string())?;
        if mended == 0 {
            self.say(out, 0, None)?;
            return Ok(Outcome::Fine);
        }
        if !self.yes {
            self.say(out, mended, None)?;
            return Ok(Outcome::Found);
        }
        let mut default = self.file.clone().into_os_string();
        default.push(".fixed");
        let to = self.to.clone().unwrap_or_else(|| default.into());
        write_new(&to, |file| {
            file.write_all(&LOG_HEADER)?;
            for part in records() {
                if let Some(txn) = readable(part?) {
                    file.write_all(&log_record(&txn.entry.payload))?;
                }
            }
            Ok(())
        })?;
        self.say(out, mended, Some(to.as_path()))?;
        Ok(Outcome::Fine)
    }

    /// How many records can be mended; an error if that is not all there is to it.
    fn look(&self, records: LogRecords<'_>, out: &mut dyn Write) -> anyhow::Result<usize> {
        let mut mended = 0;
        let mut last: Option<Zxid> = None;
        for part in records {
            let part = part?;
            if let LogPart::Fault(LogFault { offset, kind, what }) = &part {
                match kind {
                    LogFaultKind::Torn => continue,
                    LogFaultKind::Checksum(Some(txn)) => {
                        mended += 1;
                        let line = TxnLine::of(txn, true);
                        if self.reading.json {
                            json_line(out, &line)?;
                        } else {
                            writeln!(out, "! offset {offset}: {what}\n! {line}")?;
                        }
                    }
                    LogFaultKind::Checksum(None) | LogFaultKind::Damaged => bail!(
                        "offset {offset}: {what}; a new checksum does not mend that, see `log chop`"
                    ),
                }
            }
            let Some(zxid) = part.zxid() else { continue };
            if let Some(last) = last.filter(|last| mended > 0 && !zxid.follows(*last)) {
                bail!(
                    "expected what follows {last:#x}, found {zxid:#x}: a new checksum does not mend that"
                );
            }
            last = Some(zxid);
        }
        Ok(mended)
    }

    fn say(&self, out: &mut dyn Write, mended: usize, to: Option<&Path>) -> anyhow::Result<()> {
        #[derive(Serialize)]
        struct Line {
            file: String,
            checksums: usize,
            #[serde(skip_serializing_if = "Option::is_none")]
            to: Option<String>,
        }
        let file = self.file.display().to_string();
        let to = to.map(|to| to.display().to_string());
        if self.reading.json {
            return json_line(out, &Line { file, checksums: mended, to });
        }
        let text = match (mended, to) {
            (0, _) => format!("{file}: every checksum is right, nothing to recover"),
            (n, None) => format!(
                "{file}: wrong checksums {n}. The records read as above, but nobody can say whether \
                 that is what was written. If it is, `--yes` writes a copy with new checksums"
            ),
            (n, Some(to)) => format!("{to}: {file} with new checksums {n}"),
        };
        Ok(writeln!(out, "# {text}")?)
    }
}

/// The transaction, whatever its checksum.
fn readable(part: LogPart) -> Option<LoggedTxn> {
    match part {
        LogPart::Txn(txn) => Some(txn),
        LogPart::Fault(LogFault { kind: LogFaultKind::Checksum(txn), .. }) => txn,
        LogPart::Fault(_) => None,
    }
}
