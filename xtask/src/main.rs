//! How a developer runs everything. Each command is a module; what they share stands in [`shell`].
//!
//! Nothing that a server needs lives here.

mod check;
mod interop;
mod lints_fire;
mod mutants;
mod shell;
mod tidy;

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
    /// Plant each known mistake and count the seeds until a checker sees it.
    Mutants(mutants::Args),
    /// Show that core's bans fire: std does not compile, iterating a hash table is a lint error.
    LintsFire,
}

fn main() -> Result<()> {
    match Cli::parse().command {
        Command::Check => check::run(),
        Command::Tidy { report: true } => tidy::report(&shell::root()),
        Command::Tidy { report: false } => tidy::run(&shell::root()),
        Command::Interop(args) => interop::run(&args),
        Command::Mutants(args) => mutants::run(&args),
        Command::LintsFire => lints_fire::run(),
    }
}
