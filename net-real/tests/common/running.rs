//! Whole servers on loopback sockets and a real directory.

use std::path::Path;
use std::time::Duration;

use tempfile::TempDir;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use zebu_core::config::Config;
use zebu_net_real::disk::lock::DirLock;
use zebu_net_real::disk::log_thread::OsDisk;
use zebu_net_real::driver::{Driver, Ended};
use zebu_net_real::settings::{Address, FourLetterWords, ServerSettings};

use super::soon;

/// A server in this process.
pub(crate) struct Running {
    pub(crate) address: Address,
    stop: oneshot::Sender<()>,
    ended: JoinHandle<Ended>,
}

impl Running {
    pub(crate) async fn start(settings: ServerSettings, dir: &Path) -> Self {
        let lock = DirLock::acquire(dir, dir).expect("the last server let go of it");
        let auto_purge = settings.auto_purge;
        let (data_dir, log_dir) = (dir.into(), dir.into());
        let disk = OsDisk { data_dir, log_dir, lock, auto_purge, syncing: settings.syncing };
        let driver = Driver::start(settings, disk).await.expect("the server starts");
        let port = driver.client_address().expect("it takes clients").port();
        let (stop, stopped) = oneshot::channel();
        let ended = tokio::spawn(driver.run(async move { drop(stopped.await) }));
        Self { address: Address::new("127.0.0.1", port), stop, ended }
    }
    pub(crate) async fn stop(self) {
        self.stop.send(()).expect("it runs");
        let ended = soon("the server's end", self.ended).await.expect("it did not panic");
        assert_eq!(ended, Ended::Shutdown);
    }
}

pub(crate) fn alone() -> ServerSettings {
    let id = ServerSettings::ID_ALONE;
    let mut settings = ServerSettings::new(Config::new(id, ServerSettings::alone(id)));
    settings.config.tick = Duration::from_millis(200);
    settings.client = Some(Address::new("127.0.0.1", 0));
    settings.election = None;
    settings.quorum = None;
    settings.storage.prealloc_bytes = 1 << 16;
    settings.four_letter_words = FourLetterWords::All;
    settings
}

pub(crate) fn temporary() -> TempDir {
    tempfile::tempdir().expect("a temporary directory")
}
