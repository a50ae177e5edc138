//! `cargo xtask driver`: the production driver on simulated sockets, tasks and time. Both parts are
//! built with `--cfg madsim`; a plain build finds no test in their place and calls that a success,
//! so the number of tests is asserted.

use std::env;
use std::ffi::OsString;

use anyhow::{Context, Result, ensure};

use crate::shell;

/// The tests of `net-real/tests/simulated.rs`. Whoever adds one counts here.
const TESTS: &str = "test result: ok. 2 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out";

/// What both the scenario and the seed reach: kills with restarts, failing syncs, pauses.
const RUN: [&str; 6] = ["sim", "driver", "scenarios/swarm-3.toml", "--seed", "7", "--check"];
/// And what they do not: partitions.
const CUT: [&str; 6] = ["sim", "driver", "scenarios/partitions.toml", "--seed", "3", "--check"];

pub(crate) fn run() -> Result<()> {
    let mut tests = shell::cargo();
    tests.args(["test", "--package", "zebu-net-real", "--test", "simulated", "--target-dir"]);
    tests.arg(shell::target().join("madsim")).env("RUSTFLAGS", flags());
    println!("$ {}", shell::shown(&tests));
    let output = tests.output().context("cannot run cargo")?;
    let told = String::from_utf8_lossy(&output.stdout);
    print!("{told}");
    if !output.status.success() {
        eprint!("{}", String::from_utf8_lossy(&output.stderr));
    }
    ensure!(output.status.success(), "the simulated tests ended with {}", output.status);
    ensure!(told.contains(TESTS), "expected `{TESTS}`: tests were lost or added");
    shell::run(shell::cargo().args(RUN))?;
    shell::run(shell::cargo().args(CUT))
}

/// The caller's flags stay: those of the environment replace all others.
fn flags() -> OsString {
    let mut flags = env::var_os("RUSTFLAGS").unwrap_or_default();
    flags.push(" --cfg madsim");
    flags
}
