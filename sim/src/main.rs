//! `cargo sim`: run one seed, run a swarm, list scenarios.

#[cfg(not(madsim))]
mod rebuild;

use std::collections::BTreeSet;
use std::ops::Range;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, bail, ensure};
use clap::{Parser, Subcommand};
use zebu_core::mutant::Mutant;
#[cfg(madsim)]
use zebu_sim::driver::{self, DriverSetup};
use zebu_sim::report;
use zebu_sim::run;
#[cfg(madsim)]
use zebu_sim::run::Failure;
use zebu_sim::scenario::Scenario;
use zebu_sim::swarm::Swarm;
use zebu_sim::world::Setup;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Breaks Zebu on virtual time: a run is a function of code, scenario and seed.
#[derive(Parser)]
#[command(name = "sim")]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// One scenario with one seed.
    Run {
        file: PathBuf,
        #[arg(long)]
        seed: u64,
        /// Print everything that happens.
        #[arg(long)]
        trace: bool,
        /// Plant a mistake (needs the feature `mutants`).
        #[arg(long, value_parser = mutant)]
        mutant: Option<Mutant>,
        /// Leave out faults by name (`PowerLoss:3`), or all crashes by `Boundary`.
        #[arg(long, value_delimiter = ',')]
        skip: Vec<String>,
        /// Print what the run reached, and its faults with their names.
        #[arg(long)]
        verbose: bool,
    },
    /// Every scenario of a directory, or one file, with many seeds on all cores.
    Swarm {
        path: PathBuf,
        /// `A..B`, B not included.
        #[arg(long, value_parser = seeds)]
        seeds: Range<u64>,
        #[arg(long, value_parser = mutant)]
        mutant: Option<Mutant>,
        /// Default: one for each core.
        #[arg(long)]
        threads: Option<usize>,
        /// Stop after so many failures.
        #[arg(long, default_value_t = 20)]
        max_failures: u64,
        /// Without checkers, to see what the world alone costs.
        #[arg(long)]
        bare: bool,
    },
    /// The production driver itself on simulated sockets, tasks and time, with one seed. Builds
    /// itself anew with `--cfg madsim` first.
    Driver {
        file: PathBuf,
        #[arg(long)]
        seed: u64,
        /// Run twice, and compare the traces.
        #[arg(long)]
        check: bool,
        /// Print everything that happens.
        #[arg(long)]
        trace: bool,
        #[arg(long, value_parser = mutant)]
        mutant: Option<Mutant>,
    },
    /// The scenarios and what each guards.
    List {
        #[arg(default_value = "scenarios")]
        path: PathBuf,
        /// The mistakes that can be planted instead.
        #[arg(long)]
        mutants: bool,
    },
}

fn main() -> ExitCode {
    match execute(Args::parse().command) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(2)
        }
    }
}

/// Did everything hold?
fn execute(command: Command) -> anyhow::Result<bool> {
    match command {
        Command::Run { file, seed, trace, mutant, skip, verbose } => {
            let scenario = Arc::new(Scenario::load(&file)?);
            run::catch_panics(trace || verbose);
            let skip: BTreeSet<String> = skip.into_iter().collect();
            let setup = Setup { scenario: Arc::clone(&scenario), seed, mutant, skip, bare: false };
            if verbose {
                for line in setup.describe() {
                    println!("{line}");
                }
            }
            let verdict = run::run(&setup, trace);
            if verbose {
                for (name, value) in verdict.counters.rows() {
                    println!("{value:>12}  {name}");
                }
            }
            match &verdict.failure {
                None => println!("{}", report::passed(&scenario, seed, &verdict)),
                Some(failure) => {
                    println!("{}", report::failure(&scenario, seed, mutant, failure));
                    println!("  hash:     {:016x}", verdict.hash);
                }
            }
            Ok(verdict.failure.is_none())
        }
        Command::Swarm { path, seeds, mutant, threads, max_failures, bare } => {
            let scenarios = Scenario::load_all(&path)?;
            run::catch_panics(false);
            let cores = std::thread::available_parallelism().map_or(1, usize::from);
            let swarm = Swarm {
                scenarios: scenarios.iter().cloned().map(Arc::new).collect(),
                seeds,
                mutant,
                threads: threads.unwrap_or(cores),
                failures_max: max_failures,
                bare,
            };
            let summary = swarm.run();
            print!("{}", summary.text());
            let unreached = summary.unreached(&scenarios);
            for missing in &unreached {
                println!("UNREACHED {missing}");
            }
            Ok(summary.failed == 0 && unreached.is_empty())
        }
        #[cfg(not(madsim))]
        Command::Driver { .. } => rebuild::for_madsim(),
        #[cfg(madsim)]
        Command::Driver { file, seed, check, trace, mutant } => {
            let scenario = Arc::new(Scenario::load(&file)?);
            let changes = scenario.file.ensemble.is_dynamic();
            ensure!(!changes, "the driver's world has no files for an ensemble that changes");
            run::catch_panics(trace);
            let setup = DriverSetup { scenario: Arc::clone(&scenario), seed, mutant, trace };
            let mut verdict = driver::run(&setup);
            if check && verdict.failure.is_none() {
                let again = driver::run(&DriverSetup { trace: false, ..setup });
                if again.hash != verdict.hash {
                    let what = format!("a second run has the hash {:016x}", again.hash);
                    verdict.failure = Some(Failure { property: "R-DET".into(), what, at: 0 });
                }
            }
            println!("{}", report::driver(&scenario, seed, mutant, &verdict));
            ensure!(verdict.answered > 0 || verdict.failure.is_some(), "no call was answered");
            Ok(verdict.failure.is_none())
        }
        Command::List { path, mutants } => {
            if mutants {
                for mutant in Mutant::ALL {
                    println!("{:<32} breaks {}", mutant.id(), mutant.breaks());
                }
                return Ok(true);
            }
            for scenario in Scenario::load_all(&path)? {
                println!("{:<32} {}", scenario.name, scenario.guards);
            }
            Ok(true)
        }
    }
}

fn mutant(id: &str) -> anyhow::Result<Mutant> {
    let Some(mutant) = Mutant::from_id(id) else {
        bail!("no mutant is named {id:?}; `list --mutants` names them");
    };
    ensure!(
        cfg!(feature = "mutants"),
        "mistakes can be planted only with `cargo run --release -p zebu-sim --features mutants --`"
    );
    Ok(mutant)
}

fn seeds(text: &str) -> anyhow::Result<Range<u64>> {
    let (from, to) = text.split_once("..").context("expected A..B")?;
    let range = from.parse()?..to.parse()?;
    ensure!(!range.is_empty(), "expected A..B with A below B");
    Ok(range)
}
