//! How a developer runs everything. Each command is a module; what they share stands in [`shell`].
//!
//! Nothing that a server needs lives here.

mod check;
mod differential;
mod driver;
mod failover;
mod interop;
mod lints_fire;
mod mutants;
mod shell;
mod tidy;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "How a developer runs everything")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Format, lints, tests, tidy and a short swarm: what every commit passes.
    Check,
    /// The rules that no compiler checks: module headers, core's dependencies, leftovers, tables.
    Tidy {
        /// Only list the longest files and functions, for information.
        #[arg(long)]
        report: bool,
    },
    /// Stock ZooKeeper clients and servers against ours.
    Interop(interop::Args),
    /// Random operations on Apache ZooKeeper and on our server: every answer must be the same.
    Differential(differential::Args),
    /// How long an ensemble is without a leader: from its death to the next acknowledged write.
    Failover(failover::Args),
    /// The production driver on simulated sockets, tasks and time: its tests, and whole runs.
    Driver,
    /// Plant each known mistake and count the seeds until a checker sees it.
    Mutants(mutants::Args),
    /// Show that core's bans fire: std does not compile, iterating a hash table is a lint error.
    LintsFire,
}

fn main() -> ExitCode {
    match run(Cli::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        // What ran has printed its findings; a backtrace through xtask would bury them.
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> Result<()> {
    match command {
        Command::Check => check::run(),
        Command::Tidy { report: true } => tidy::report(&shell::root()),
        Command::Tidy { report: false } => tidy::run(&shell::root()),
        Command::Driver => driver::run(),
        Command::Differential(args) => differential::run(&args),
        Command::Failover(args) => failover::run(&args),
        Command::Interop(args) => interop::run(&args),
        Command::Mutants(args) => mutants::run(&args),
        Command::LintsFire => lints_fire::run(),
    }
}
