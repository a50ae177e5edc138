//! `cargo xtask check`: everything that a commit must pass, fastest first.

use anyhow::Result;

use crate::{driver, shell, tidy};

pub(crate) fn run() -> Result<()> {
    let workspace = ["--workspace", "--all-targets"];
    shell::run(shell::cargo().args(["fmt", "--all", "--check"]))?;
    tidy::run(&shell::root())?;
    shell::run(shell::cargo().arg("clippy").args(workspace).args(["--", "-D", "warnings"]))?;
    shell::run(shell::cargo().args(["test", "--workspace"]))?;
    shell::run(shell::cargo().args(["test", "--manifest-path", "fuzz/Cargo.toml"]))?;
    shell::run(shell::cargo().args(["sim", "swarm", "scenarios/", "--seeds", "0..4"]))?;
    driver::run()?;
    println!("check: all passed");
    Ok(())
}
