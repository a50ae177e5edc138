//! `cargo xtask interop`: brings what the tests in `xtask/interop` need, once, and runs them.
//!
//! The tests are Python because kazoo is; what they check stands there.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::shell;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Which server to test; `java` shows that the tests ask nothing that ZooKeeper does not do.
    #[arg(long, default_value = "zebu", value_parser = ["zebu", "java"])]
    server: String,
    /// Run only the tests whose name contains this.
    #[arg(long, default_value = "")]
    only: String,
}

/// What starts servers: a python with its packages, and where downloads are kept. Java is on the path.
pub(crate) struct Tools {
    pub(crate) python: PathBuf,
    pub(crate) cache: PathBuf,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let Tools { python, cache } = bring_tools()?;
    bring_older_java(&cache)?;
    bring_clients()?;
    if args.server == "zebu" {
        build_server()?;
    }
    let root = shell::root();
    shell::run(
        Command::new(python)
            .arg(root.join("xtask/interop/run.py"))
            .args(["--server", &args.server, "--only", &args.only])
            .arg("--zebu")
            .arg(built_server())
            .arg("--cache")
            .arg(&cache)
            .arg("--samples")
            .arg(root.join("core/testdata/samples"))
            .env("PYTHONDONTWRITEBYTECODE", "1"),
    )
}

pub(crate) fn bring_tools() -> Result<Tools> {
    let cache = shell::target().join("interop");
    std::fs::create_dir_all(&cache)?;
    let python = bring_python(&cache)?;
    bring_java()?;
    Ok(Tools { python, cache })
}

pub(crate) fn build_server() -> Result<PathBuf> {
    shell::run(shell::cargo().args(["build", "--release", "--bin", "zebu"]))?;
    Ok(built_server())
}

fn built_server() -> PathBuf {
    shell::target().join("release/zebu")
}

/// A virtual environment with what `requirements.txt` names; its python.
fn bring_python(cache: &Path) -> Result<PathBuf> {
    let wanted = shell::root().join("xtask/interop/requirements.txt");
    let venv = cache.join("venv");
    let (python, installed) = (venv.join("bin/python"), venv.join("requirements.txt"));
    let read = |path: &Path| std::fs::read(path).ok();
    if python.exists() && read(&installed) == read(&wanted) {
        return Ok(python);
    }
    let made = || shell::run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&venv));
    if !found("python3") || made().is_err() {
        apt_get(&["python3-venv"]).context("python3 with venv is needed")?;
        made()?;
    }
    let install = || {
        shell::run(
            Command::new(&python).args(["-m", "pip", "install", "--quiet", "-r"]).arg(&wanted),
        )
    };
    if install().is_err() {
        // One of the packages is compiled.
        apt_get(&["build-essential", "python3-dev"])?;
        install()?;
    }
    std::fs::copy(&wanted, &installed)?;
    Ok(python)
}

fn bring_java() -> Result<()> {
    if found("java") && found("javac") {
        return Ok(());
    }
    apt_get(&["default-jdk-headless"]).context("java and javac are needed")
}

/// A server of 3.8, which no Python package carries. It is taken out of its package and not installed:
/// the rest of what it needs comes with the newest one.
fn bring_older_java(cache: &Path) -> Result<()> {
    let older = cache.join("older");
    if older.join("usr/share/java/zookeeper.jar").exists() {
        return Ok(());
    }
    std::fs::create_dir_all(&older)?;
    let mut download = Command::new("apt-get");
    download.args(["-qq", "download", "libzookeeper-java"]).current_dir(&older);
    if shell::run(&mut download).is_err() {
        privileged_apt_get(&["update"])?;
        shell::run(&mut download).context("a server of 3.8 is needed")?;
    }
    for entry in std::fs::read_dir(&older)? {
        let package = entry?.path();
        if package.extension().is_some_and(|extension| extension == "deb") {
            shell::run(Command::new("dpkg-deb").arg("-x").arg(&package).arg(&older))?;
        }
    }
    Ok(())
}

/// The clients that are no package of Python's, crates.io's or npm's, and what those need.
fn bring_clients() -> Result<()> {
    let is_there = |path: &str| Path::new(path).exists();
    let mut packages = vec![];
    if !found("cc") {
        packages.push("build-essential");
    }
    if !is_there("/usr/include/zookeeper/zookeeper.h") {
        packages.push("libzookeeper-mt-dev");
    }
    if !is_there("/usr/lib/zookeeper/bin/cli_mt") {
        packages.push("zookeeper-bin");
    }
    if !found("node") {
        packages.push("nodejs");
    }
    if !found("npm") {
        packages.push("npm");
    }
    if packages.is_empty() {
        return Ok(());
    }
    apt_get(&packages).context("ZooKeeper's C client, node and npm are needed")
}

fn found(program: &str) -> bool {
    let directories = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&directories).any(|directory| directory.join(program).is_file())
}

fn apt_get(packages: &[&str]) -> Result<()> {
    let names = packages.join(" ");
    ensure!(found("apt-get"), "install {names} in the way of this system, then try again");
    privileged_apt_get(&["update"])?;
    privileged_apt_get(&[&["install", "-y", "--no-install-recommends"], packages].concat())
}

fn privileged_apt_get(arguments: &[&str]) -> Result<()> {
    let mut command = Command::new(if found("sudo") { "sudo" } else { "env" });
    command.args(["DEBIAN_FRONTEND=noninteractive", "apt-get", "-qq"]).args(arguments);
    shell::run(&mut command)
}
