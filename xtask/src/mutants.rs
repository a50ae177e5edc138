//! `cargo xtask mutants`: the simulator's examination. Each mistake that can be planted must be
//! caught within so many seeds, and nothing may be caught where nothing is planted.
//!
//! Which mistakes there are stands in `zebu_core::mutant`; catching them is the checkers' work.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use zebu_core::mutant::Mutant;

use crate::shell;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Seeds to try with each mistake.
    #[arg(long, default_value_t = 2000)]
    seeds: u64,
    /// Seconds after which no more seeds are begun with one mistake.
    #[arg(long, default_value_t = 240)]
    seconds: u64,
    /// Seeds that must pass with no mistake planted.
    #[arg(long, default_value_t = 20)]
    plain: u64,
    /// Only mistakes whose name contains this.
    #[arg(long, default_value = "")]
    only: String,
    /// Scenarios: a folder, or one file.
    #[arg(long, default_value = "scenarios")]
    scenarios: PathBuf,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let target = shell::target().join("mutants");
    shell::run(
        shell::cargo()
            .args(["build", "--release", "--package", "zebu-sim", "--features", "mutants"])
            .arg("--target-dir")
            .arg(&target),
    )?;
    let sim = target.join("release/zebu-sim");

    // A checker that cries without a cause catches everything, which proves nothing.
    println!("no mistake planted, {} seeds ...", args.plain);
    if let Some(Failure { scenario, seed, property }) = swarm(&sim, args, 0..args.plain, None)? {
        bail!("{property} is broken with no mistake planted: {scenario}, seed {seed}");
    }

    println!("{}", header());
    let chosen = Mutant::ALL.iter().filter(|mutant| mutant.id().contains(&args.only));
    let (mut caught, mut planted, mut findings) = (0, 0, vec![]);
    for mutant in chosen {
        planted += 1;
        let start = Instant::now();
        let (failure, tried) = hunt(&sim, args, *mutant)?;
        let seconds = start.elapsed().as_secs_f64();
        if let Some(failure) = failure {
            caught += 1;
            let seeds = format!("{} ({seconds:.1} s)", failure.seed + 1);
            println!("{}", row(mutant.id(), &seeds, &failure, mutant.breaks()));
        } else {
            println!("{}", row(mutant.id(), "none", &Failure::default(), mutant.breaks()));
            findings.push(format!("{}: not caught in {tried} seeds", mutant.id()));
        }
    }
    println!("{caught} of {planted} mistakes caught");
    ensure!(findings.is_empty(), "{}", findings.join("\n"));
    Ok(())
}

/// A run that failed.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
struct Failure {
    scenario: String,
    seed: u64,
    property: String,
}

/// More and more seeds until the mistake is caught; also how many were tried.
fn hunt(sim: &Path, args: &Args, mutant: Mutant) -> Result<(Option<Failure>, u64)> {
    let start = Instant::now();
    let mut seeds = 0..args.seeds.min(20);
    loop {
        let failure = swarm(sim, args, seeds.clone(), Some(mutant))?;
        let ended = seeds.end == args.seeds || start.elapsed().as_secs() >= args.seconds;
        if failure.is_some() || ended {
            return Ok((failure, seeds.end));
        }
        seeds = seeds.end..args.seeds.min(seeds.end * 2);
    }
}

fn swarm(
    sim: &Path,
    args: &Args,
    seeds: Range<u64>,
    mutant: Option<Mutant>,
) -> Result<Option<Failure>> {
    let mut command = Command::new(sim);
    command.current_dir(shell::root()).arg("swarm").arg(&args.scenarios);
    command.args(["--seeds", &format!("{}..{}", seeds.start, seeds.end)]);
    // A few: a panic before the first verdict is no catch.
    command.args(["--max-failures", if mutant.is_some() { "6" } else { "1" }]);
    if let Some(mutant) = mutant {
        command.args(["--mutant", mutant.id()]);
    }
    let line = shell::shown(&command);
    let output = command.output().with_context(|| format!("cannot run `{line}`"))?;
    let said = String::from_utf8_lossy(&output.stdout);
    let failures = failures(&said);
    // A core that trips over its own assertion was not caught by a checker.
    let counts = |failure: &&Failure| mutant.is_none() || failure.property != "PANIC";
    // Runs end in any order; the first seed of those printed is what repeats fastest.
    if let Some(failure) = failures.iter().filter(counts).min_by_key(|failure| failure.seed) {
        return Ok(Some(failure.clone()));
    }
    // A summary line tells a swarm that went through from one that never began.
    let summary = |line: &str| line.contains(" runs, ") && line.contains(" failed;");
    if said.lines().any(summary) {
        return Ok(None);
    }
    bail!("`{line}` said neither: {said}{}", String::from_utf8_lossy(&output.stderr));
}

/// Reads each `FAILED scenario seed N after ...` and the `property:` below it.
fn failures(said: &str) -> Vec<Failure> {
    let mut failures: Vec<Failure> = vec![];
    for line in said.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            ["FAILED", scenario, "seed", seed, ..] => {
                let Ok(seed) = seed.parse() else { continue };
                let (scenario, property) = (scenario.into(), String::new());
                failures.push(Failure { scenario, seed, property });
            }
            ["property:", property] => {
                if let Some(failure) = failures.last_mut() {
                    failure.property = property.into();
                }
            }
            _ => {}
        }
    }
    failures
}

fn header() -> String {
    format!(
        "{:<36} {:>16}  {:<28} {:<12} {}",
        "mistake", "seeds to catch", "scenario", "fired", "expected"
    )
}

fn row(name: &str, seeds: &str, failure: &Failure, expected: &str) -> String {
    let remark = if failure.property.is_empty() {
        "   <-- survives"
    } else if expected.split(' ').any(|property| property == failure.property) {
        ""
    } else {
        "   (another one)"
    };
    format!(
        "{name:<36} {seeds:>16}  {:<28} {:<12} {expected}{remark}",
        failure.scenario, failure.property
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_read_as_the_simulator_prints_it() {
        let said = "FAILED power_loss seed 17 after 3.250000 virtual seconds\n  property: D-DUR\n  \
                    what:     /a is gone\n  repeat:   cargo sim run\npower_loss 18 runs 1 failed\n";
        let failure = Failure { scenario: "power_loss".into(), seed: 17, property: "D-DUR".into() };
        assert_eq!(failures(said), [failure]);
        assert_eq!(failures("18 runs, 0 failed; much\n"), []);
    }

    #[test]
    fn rows_say_what_is_odd() {
        let failure = Failure { property: "D-DUR".into(), ..Failure::default() };
        assert!(row("m", "1", &failure, "Z-AGR D-DUR").ends_with("Z-AGR D-DUR"));
        assert!(row("m", "1", &failure, "Z-AGR").ends_with("(another one)"));
        assert!(row("m", "none", &Failure::default(), "Z-AGR").ends_with("survives"));
    }
}
