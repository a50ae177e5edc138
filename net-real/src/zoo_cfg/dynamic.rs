//! The files that a reconfiguration writes: the dynamic file of each configuration that was committed,
//! the one that is proposed, and the line of the static file that names the newest.
//!
//! | file | what |
//! |---|---|
//! | `zoo.cfg.dynamic.<version>` | the members as of that version, which is in hexadecimal |
//! | `zoo.cfg.dynamic.next` | what is proposed, with its version in it |
//! | `zoo.cfg.bak` | the static file as the operator wrote it |
//!
// ZK: QuorumPeerConfig.writeDynamicConfig, editStaticConfig (3.9)

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use zebu_core::config::Ensemble;
use zebu_core::ids::ServerId;

/// The static configuration file of a server, and those that stand beside it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ConfigFiles {
    path: PathBuf,
}

impl ConfigFiles {
    pub fn beside(path: PathBuf) -> Self {
        Self { path }
    }

    /// Keeps what is proposed, for the operator to see.
    pub fn propose(&self, next: &Ensemble) -> io::Result<()> {
        replace(&self.with_suffix("dynamic.next"), &next.text())
    }

    /// Makes `ensemble` what the next start finds.
    pub fn commit(&self, ensemble: &Ensemble, me: ServerId) -> io::Result<()> {
        let dynamic = self.with_suffix(&format!("dynamic.{:x}", ensemble.version));
        replace(&dynamic, &members(ensemble))?;
        let before = fs::read_to_string(&self.path)?;
        let backup = self.with_suffix("bak");
        if !backup.exists() {
            replace(&backup, &before)?;
        }
        let has_client = ensemble.members.get(&me).is_some_and(|member| member.client.is_some());
        let dynamic = fs::canonicalize(&dynamic)?;
        replace(&self.path, &edited(&before, &dynamic, has_client))?;
        match fs::remove_file(self.with_suffix("dynamic.next")) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    fn with_suffix(&self, suffix: &str) -> PathBuf {
        let mut name = self.path.clone().into_os_string();
        name.push(".");
        name.push(suffix);
        name.into()
    }
}

/// The lines of a dynamic file: no version, in upstream's order, no newline at the end.
fn members(ensemble: &Ensemble) -> String {
    let text = ensemble.text();
    let mut lines: Vec<_> = text.lines().filter(|line| !line.starts_with("version=")).collect();
    lines.sort_unstable();
    lines.join("\n")
}

/// The static file without what the dynamic one says now, and with its name.
fn edited(text: &str, dynamic: &Path, has_client: bool) -> String {
    let is_gone = |line: &str| {
        let key = line.split(['=', ':']).next().unwrap_or_default().trim();
        let key = key.strip_prefix("zookeeper.").unwrap_or(key);
        ["server.", "group.", "weight."].iter().any(|family| key.starts_with(family))
            || matches!(key, "dynamicConfigFile" | "peerType")
            || has_client && matches!(key, "clientPort" | "clientPortAddress")
    };
    let mut out = String::new();
    for line in text.lines().filter(|line| !is_gone(line)) {
        out.push_str(line);
        out.push('\n');
    }
    let path = dynamic.display().to_string().replace('\\', "/");
    out.push_str(&format!("dynamicConfigFile={path}\n"));
    out
}

/// A crash leaves the old file or the new one.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    let mut tmp = path.to_owned().into_os_string();
    tmp.push(".tmp");
    let tmp = PathBuf::from(tmp);
    let mut file = File::create(&tmp)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&tmp, path)?;
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty());
    File::open(dir.unwrap_or(Path::new(".")))?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ensemble(text: &str) -> Ensemble {
        Ensemble::parse(text).expect(text)
    }

    #[test]
    fn a_committed_configuration_is_what_the_next_start_finds() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = dir.path().join("zoo.cfg");
        let before = "tickTime=2000\n# kept\nclientPort=2181\nserver.1=a:1:2\nserver.2=b:1:2\n";
        fs::write(&path, before).expect("written");
        let files = ConfigFiles::beside(path.clone());
        let next = ensemble("server.10=c:1:2;2181\nserver.1=a:1:2;2181\nversion=100000004");
        files.propose(&next).expect("proposed");
        let shown = dir.path().join("zoo.cfg.dynamic.next");
        assert_eq!(fs::read_to_string(&shown).expect("there"), next.text());
        files.commit(&next, ServerId(1)).expect("committed");
        assert!(!shown.exists());
        let dynamic = dir.path().join("zoo.cfg.dynamic.100000004");
        assert_eq!(
            fs::read_to_string(&dynamic).expect("there"),
            "server.10=c:1:2:participant;0.0.0.0:2181\nserver.1=a:1:2:participant;0.0.0.0:2181"
        );
        let named = fs::canonicalize(&dynamic).expect("there");
        let expected = format!("tickTime=2000\n# kept\ndynamicConfigFile={}\n", named.display());
        assert_eq!(fs::read_to_string(&path).expect("there"), expected);
        assert_eq!(fs::read_to_string(dir.path().join("zoo.cfg.bak")).expect("there"), before);

        let next = ensemble("server.1=a:1:2\nversion=100000009");
        files.commit(&next, ServerId(1)).expect("committed");
        let text = fs::read_to_string(&path).expect("there");
        assert_eq!(text.matches("dynamicConfigFile").count(), 1);
        assert!(text.contains("zoo.cfg.dynamic.100000009"), "{text}");
        assert_eq!(fs::read_to_string(dir.path().join("zoo.cfg.bak")).expect("there"), before);
    }

    #[test]
    fn the_client_port_stays_where_only_the_static_file_says_it() {
        let text = "clientPort=2181\nclientPortAddress=h\npeerType=observer\nserver.1=a:1:2\n";
        assert_eq!(
            edited(text, Path::new("/d/dyn"), false),
            "clientPort=2181\nclientPortAddress=h\ndynamicConfigFile=/d/dyn\n"
        );
        assert_eq!(edited(text, Path::new("/d/dyn"), true), "dynamicConfigFile=/d/dyn\n");
    }
}
