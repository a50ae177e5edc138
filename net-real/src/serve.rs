//! `zebu server`: from a configuration file, or none, to a running server and an exit code.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use tracing::{info, warn};

use zebu_core::config::Config;

use crate::disk::lock::DirLock;
use crate::disk::log_thread::OsDisk;
use crate::driver::{Driver, Ended};
use crate::settings::{Address, FourLetterWords, ServerSettings};
use crate::signals;
use crate::zoo_cfg::ZooCfg;

/// Where a server without a configuration file keeps its data.
const TRIAL_DIR: &str = "./zebu-data";
const TRIAL_PORT: u16 = 2181;

/// Runs a server on `file`, or one to try things out with.
pub async fn server(file: Option<PathBuf>) -> anyhow::Result<ExitCode> {
    let cfg = match &file {
        Some(file) => ZooCfg::load(file)?,
        None => trial(),
    };
    for warning in &cfg.warnings {
        warn!("{warning}");
    }
    let ZooCfg { mut settings, data_dir, log_dir, .. } = cfg;
    let lock = DirLock::acquire(&data_dir, &log_dir)?;
    settings.config.seed = seed()?;
    let my_id = settings.config.my_id;
    let members = settings.config.ensemble.members.len();
    let shutdown = signals::shutdown().context("cannot catch signals")?;

    let auto_purge = settings.auto_purge;
    let disk = OsDisk { data_dir: data_dir.clone(), log_dir, lock, auto_purge };
    let driver = Driver::start(settings, disk).await?;
    match (driver.client_address(), &file) {
        (Some(address), None) => println!(
            "Zebu {} serves ZooKeeper clients on {address}, with its data in {}. Ctrl-C stops it.",
            env!("CARGO_PKG_VERSION"),
            data_dir.display()
        ),
        (Some(address), Some(_)) => info!("server {my_id} of {members} takes clients on {address}"),
        (None, _) => info!("server {my_id} of {members} takes no clients"),
    }
    Ok(match driver.run(shutdown).await {
        Ended::Shutdown => ExitCode::SUCCESS,
        // The driver has logged why.
        Ended::Halted(_) => ExitCode::FAILURE,
    })
}

/// One server on the loopback, open to all four-letter words.
fn trial() -> ZooCfg {
    let id = ServerSettings::ID_ALONE;
    let mut settings = ServerSettings::new(Config::new(id, ServerSettings::alone(id)));
    settings.client = Some(Address::new("127.0.0.1", TRIAL_PORT));
    settings.election = None;
    settings.quorum = None;
    settings.four_letter_words = FourLetterWords::All;
    let dir = Path::new(TRIAL_DIR).to_owned();
    ZooCfg { settings, data_dir: dir.clone(), log_dir: dir, warnings: Vec::new() }
}

/// Keys hash tables that outsiders can fill.
fn seed() -> anyhow::Result<u64> {
    getrandom::u64().map_err(|error| anyhow::anyhow!("no randomness from the system: {error}"))
}
