//! Running this program again as built with `--cfg madsim`, which replaces sockets, tasks and time
//! in whole crates and so cannot be switched on at run time.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context;

/// Runs the same command line in the other build. Did everything hold?
pub(crate) fn for_madsim() -> anyhow::Result<bool> {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let target = env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| package.join("../target"), PathBuf::from)
        .join("madsim");
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["run", "--quiet", "--package", "zebu-sim", "--manifest-path"]);
    cargo.arg(package.join("Cargo.toml")).arg("--target-dir").arg(target);
    if cfg!(feature = "mutants") {
        cargo.args(["--features", "mutants"]);
    }
    cargo.arg("--").args(env::args_os().skip(1));
    // The environment's flags replace those of configuration files: what is there must stay.
    match env::var_os("CARGO_ENCODED_RUSTFLAGS") {
        Some(mut flags) => {
            flags.push("\u{1f}--cfg\u{1f}madsim");
            cargo.env("CARGO_ENCODED_RUSTFLAGS", flags);
        }
        None => {
            let mut flags = env::var_os("RUSTFLAGS").unwrap_or_default();
            flags.push(" --cfg madsim");
            cargo.env("RUSTFLAGS", flags);
        }
    }
    let status = cargo.status().context("cannot run cargo")?;
    match status.code() {
        Some(0) => Ok(true),
        Some(1) => Ok(false),
        _ => anyhow::bail!("the build for madsim, or its run, ended with {status}"),
    }
}
