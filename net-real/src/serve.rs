//! `zebu server`: from a configuration file, or none, to a running server and an exit code.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use tracing::{info, warn};

use crate::birth;
use crate::disk::lock::DirLock;
use crate::disk::log_thread::OsDisk;
use crate::driver::{Driver, Ended};
use crate::signals;
use crate::zoo_cfg::ZooCfg;

/// What a server is started from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Source {
    ZooCfg(PathBuf),
    /// No file: one server on the loopback, to try things out with.
    Trial {
        port: u16,
        data_dir: PathBuf,
    },
}

impl Source {
    /// What a trial is unless it is told otherwise.
    pub const TRIAL_PORT: u16 = 2181;
    pub const TRIAL_DIR: &str = "./zebu-data";
}

/// Runs a server until it is told to stop.
pub async fn server(source: Source) -> anyhow::Result<ExitCode> {
    let cfg = match &source {
        Source::ZooCfg(file) => ZooCfg::load(file)?,
        Source::Trial { port, data_dir } => ZooCfg::trial(*port, data_dir)?,
    };
    for warning in &cfg.warnings {
        warn!("{warning}");
    }
    let ZooCfg { mut settings, data_dir, log_dir, .. } = cfg;
    settings.storage.autocreate = birth::permit(&settings.birth, &data_dir, &log_dir)?;
    let lock = DirLock::acquire(&data_dir, &log_dir)?;
    settings.config.seed = seed()?;
    (settings.data_dir, settings.log_dir) = (data_dir.clone(), log_dir.clone());
    let my_id = settings.config.my_id;
    let members = settings.config.ensemble.members.len();
    crate::files::raise_limit();
    let shutdown = signals::shutdown().context("cannot catch signals")?;

    let auto_purge = settings.auto_purge;
    let syncing = settings.syncing;
    let disk = OsDisk { data_dir: data_dir.clone(), log_dir, lock, auto_purge, syncing };
    let driver = Driver::start(settings, disk).await?;
    match (driver.client_address(), &source) {
        (Some(address), Source::Trial { .. }) => println!(
            "Zebu {} serves ZooKeeper clients on {address}, with its data in {}. Ctrl-C stops it.",
            env!("CARGO_PKG_VERSION"),
            data_dir.display()
        ),
        (Some(address), Source::ZooCfg(_)) => {
            info!("server {my_id} of {members} takes clients on {address}");
        }
        (None, _) => info!("server {my_id} of {members} takes no clients"),
    }
    Ok(match driver.run(shutdown).await {
        Ended::Shutdown => ExitCode::SUCCESS,
        // The driver has logged why.
        Ended::Halted(_) => ExitCode::FAILURE,
    })
}

/// Keys hash tables that outsiders can fill.
fn seed() -> anyhow::Result<u64> {
    getrandom::u64().map_err(|error| anyhow::anyhow!("no randomness from the system: {error}"))
}
