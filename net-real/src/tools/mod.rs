//! `zebu log` and `zebu snapshot`: what is in the files of a data directory, whoever wrote them, ours
//! or ZooKeeper's. They read and compare, and write nothing but copies that they are asked for.
//!
//! Decoding and judging is core's ([`zebu_core::storage`]): [`log`] and [`snapshot`] are the commands,
//! `copy` those that write; `txn`, `znode` and `words` are the words for what was read, `files` where
//! it is read from, `compare` and `sizes` what two trees, or one, come to.
//!
//! Exit codes, as of `diff`: 0 all is well, 1 something was found, 2 it could not be done.

mod compare;
mod copy;
mod files;
pub mod log;
mod sizes;
pub mod snapshot;
#[cfg(test)]
mod tests;
mod txn;
mod words;
mod znode;

use std::io::{self, BufWriter, Write};
use std::process::ExitCode;

/// What a command has to say at the end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    Fine,
    /// There is damage, or a difference.
    Found,
}

impl Outcome {
    fn fine_if(fine: bool) -> Self {
        if fine { Self::Fine } else { Self::Found }
    }
}

/// Runs a command with standard output.
pub fn run(command: impl FnOnce(&mut dyn Write) -> anyhow::Result<Outcome>) -> ExitCode {
    let mut out = BufWriter::new(io::stdout().lock());
    let done = command(&mut out);
    // What was found before an error is worth seeing.
    let flushed = out.flush().map_err(anyhow::Error::from);
    match done.and_then(|outcome| flushed.map(|()| outcome)) {
        Ok(Outcome::Fine) => ExitCode::SUCCESS,
        Ok(Outcome::Found) => ExitCode::from(1),
        // `| head` has seen enough.
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("zebu: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let mut causes = error.chain().filter_map(|cause| cause.downcast_ref::<io::Error>());
    causes.any(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

/// One JSON value, one line.
fn json_line(out: &mut dyn Write, value: &impl serde::Serialize) -> anyhow::Result<()> {
    serde_json::to_writer(&mut *out, value).map_err(io::Error::from)?;
    Ok(writeln!(out)?)
}

/// What all commands are told about the files.
#[derive(Clone, Debug, clap::Args)]
struct Reading {
    /// Print JSON, a value a line
    #[arg(long)]
    json: bool,
    /// The `jute.maxbuffer` that the files were written with
    #[arg(long, value_name = "BYTES", default_value_t = 0xfffff)]
    jute_maxbuffer: u32,
}

impl Reading {
    /// As a server's: what it takes from a client, and as much again for what it adds.
    fn record_max(&self) -> usize {
        2 * self.jute_maxbuffer as usize
    }
}
