//! What core cannot see and four-letter words show: files, descriptors, bytes on sockets, the
//! environment. Counted with relaxed atomics, read when somebody asks.

use std::env;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use zebu_core::proto::FourLetterWord;
use zebu_core::server::{Directory, Machine, Measured, Traffic};

use crate::shared::Shared;

/// Least, most, sum: what [`Measured`] is made of.
#[derive(Debug)]
pub(crate) struct Meter {
    count: AtomicU64,
    sum: AtomicU64,
    least: AtomicU64,
    most: AtomicU64,
}

impl Default for Meter {
    fn default() -> Self {
        let least = AtomicU64::new(u64::MAX);
        Self { count: AtomicU64::new(0), sum: AtomicU64::new(0), least, most: AtomicU64::new(0) }
    }
}

impl Meter {
    pub(crate) fn add(&self, value: u64) {
        self.count.fetch_add(1, Relaxed);
        self.sum.fetch_add(value, Relaxed);
        self.least.fetch_min(value, Relaxed);
        self.most.fetch_max(value, Relaxed);
    }
    pub(crate) fn add_millis(&self, span: Duration) {
        self.add(span.as_millis() as u64);
    }
    pub(crate) fn measured(&self) -> Measured {
        let count = self.count.load(Relaxed);
        let least = if count == 0 { 0 } else { self.least.load(Relaxed) };
        Measured { count, sum: self.sum.load(Relaxed), least, most: self.most.load(Relaxed) }
    }
}

/// What passes the client port.
#[derive(Debug, Default)]
pub(crate) struct ClientTraffic {
    pub(crate) received: AtomicU64,
    /// Connections that said nothing in time.
    pub(crate) silent: AtomicU64,
    replies: Meter,
    last_reply: AtomicU64,
}

impl ClientTraffic {
    pub(crate) fn replied(&self, bytes: u64) {
        self.replies.add(bytes);
        self.last_reply.store(bytes, Relaxed);
    }
    fn read(&self) -> Traffic {
        let Measured { count, sum, least, most } = self.replies.measured();
        Traffic {
            bytes_received: self.received.load(Relaxed),
            bytes_sent: sum,
            silent: self.silent.load(Relaxed),
            reply: (count > 0).then_some((self.last_reply.load(Relaxed), least, most)),
            ..Traffic::default()
        }
    }
}

/// What the answer to `word` shows of the machine; the rest is left out, for it costs system calls.
pub(crate) fn seen_for(word: FourLetterWord, shared: &Shared) -> Machine {
    let settings = &shared.settings;
    let handshake_timeout = settings.handshake_timeout;
    let mut machine = Machine { handshake_timeout, ..Machine::default() };
    match word {
        FourLetterWord::Conf | FourLetterWord::Dirs => {
            machine.data = directory(&settings.data_dir);
            machine.log = directory(&settings.log_dir);
        }
        FourLetterWord::Mntr => {
            let large_refused = shared.load.large_refused();
            machine.traffic = Traffic { large_refused, ..shared.traffic.read() };
            machine.open_files = fs::read_dir("/proc/self/fd").ok().map(|fds| fds.count() as u64);
            machine.open_files_max = open_files_max();
        }
        FourLetterWord::Envi => machine.environment = environment(),
        _ => {}
    }
    machine
}

/// The `version-2` directory, where the files are.
fn directory(dir: &Path) -> Directory {
    let path = dir.join("version-2");
    let entries = fs::read_dir(&path).into_iter().flatten().flatten();
    let bytes = entries.filter_map(|entry| entry.metadata().ok()).map(|file| file.len()).sum();
    let path = std::path::absolute(&path).unwrap_or(path).display().to_string();
    Directory { path, bytes }
}

fn open_files_max() -> Option<u64> {
    let limits = fs::read_to_string("/proc/self/limits").ok()?;
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

/// Java's names for what there is of them, `<NA>` for the rest.
// ZK: Environment.list (3.9)
fn environment() -> Vec<(String, String)> {
    let missing = || "<NA>".to_owned();
    let kernel = |file: &str| {
        let text = fs::read_to_string(format!("/proc/sys/kernel/{file}")).ok();
        text.map_or_else(missing, |text| text.trim().to_owned())
    };
    let variable = |name: &str| env::var(name).unwrap_or_else(|_| missing());
    let os = match env::consts::OS {
        "linux" => "Linux",
        "macos" => "Mac OS X",
        other => other,
    };
    let arch = match env::consts::ARCH {
        "x86_64" => "amd64",
        other => other,
    };
    let here = env::current_dir().map_or_else(|_| missing(), |dir| dir.display().to_string());
    let list = [
        ("host.name", kernel("hostname")),
        ("java.version", missing()),
        ("java.vendor", missing()),
        ("java.home", missing()),
        ("java.class.path", missing()),
        ("java.library.path", missing()),
        ("java.io.tmpdir", env::temp_dir().display().to_string()),
        ("java.compiler", missing()),
        ("os.name", os.to_owned()),
        ("os.arch", arch.to_owned()),
        ("os.version", kernel("osrelease")),
        ("user.name", variable("USER")),
        ("user.home", variable("HOME")),
        ("user.dir", here),
        ("os.memory.free", missing()),
        ("os.memory.max", missing()),
        ("os.memory.total", missing()),
    ];
    list.map(|(name, value)| (name.to_owned(), value)).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_meter_that_measured_nothing_shows_zeros() {
        let meter = Meter::default();
        assert_eq!(meter.measured(), Measured::default());
        meter.add(7);
        meter.add(3);
        assert_eq!(meter.measured(), Measured { count: 2, sum: 10, least: 3, most: 7 });
    }

    #[test]
    fn a_directory_is_as_large_as_its_files() {
        let dir = tempfile::tempdir().unwrap();
        let files = dir.path().join("version-2");
        fs::create_dir(&files).unwrap();
        fs::write(files.join("log.1"), [0; 100]).unwrap();
        fs::write(files.join("snapshot.0"), [0; 20]).unwrap();
        let found = directory(dir.path());
        assert_eq!((found.bytes, found.path), (120, files.display().to_string()));
    }
}
