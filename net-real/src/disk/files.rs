//! The operating system's files: one [`DiskOp`] is one call, and nothing is believed to be durable
//! that was not synced.

use std::cell::RefCell;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::Instant;

use tracing::warn;

use zebu_core::storage::{Dir, Directory, DiskError, DiskOp, FileName};

use super::Files;
use crate::directory::{failed, list, read_at};
use crate::settings::Syncing;

/// Open files kept at hand: the log, the one before it, an epoch file.
const OPEN_MAX: usize = 4;

/// The `version-2` directories of a server.
#[derive(Debug)]
pub struct OsFiles {
    data: PathBuf,
    log: PathBuf,
    syncing: Syncing,
    open: RefCell<Vec<(FileName, File)>>,
}

impl OsFiles {
    /// Makes the directories if they are not there.
    // ZK: FileTxnSnapLog: zookeeper.datadir.autocreate is true (3.9)
    pub fn new(data_dir: &Path, log_dir: &Path) -> Result<Self, DiskError> {
        let (data, log) = (data_dir.join("version-2"), log_dir.join("version-2"));
        for path in [&data, &log] {
            fs::create_dir_all(path).map_err(|error| failed("create", path, &error))?;
        }
        // The new names are durable only with their directories.
        for path in [data_dir, log_dir] {
            sync_dir(path).map_err(|error| failed("sync", path, &error))?;
        }
        Ok(Self { data, log, syncing: Syncing::default(), open: RefCell::default() })
    }
    /// How surely, and how fast, the log is to be synced.
    #[must_use]
    pub fn with_syncing(self, syncing: Syncing) -> Self {
        Self { syncing, ..self }
    }

    fn dir(&self, dir: Dir) -> &Path {
        match dir {
            Dir::Data => &self.data,
            Dir::Log => &self.log,
        }
    }
    fn path(&self, name: &FileName) -> PathBuf {
        self.dir(name.dir).join(&name.name)
    }

    /// Calls `with` on the open file `name`, opening it if it is not at hand.
    fn with<T>(&self, name: &FileName, with: impl FnOnce(&File) -> io::Result<T>) -> io::Result<T> {
        let mut open = self.open.borrow_mut();
        match open.iter().position(|(opened, _)| opened == name) {
            // The last used is the last in the list.
            Some(index) => open[index..].rotate_left(1),
            None => {
                let path = self.path(name);
                let file = match OpenOptions::new().read(true).write(true).open(&path) {
                    // A directory restored from a backup may be read-only for us; say so on a write.
                    Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                        File::open(&path)
                    }
                    opened => opened,
                }?;
                keep(&mut open, name.clone(), file);
            }
        }
        let (_, file) = open.last().expect("it was just put there");
        with(file)
    }

    fn forget(&self, name: &FileName) {
        self.open.borrow_mut().retain(|(opened, _)| opened != name);
    }

    // ZK: FileTxnLog.commit (3.9)
    fn sync(&self, name: &FileName) -> io::Result<()> {
        let is_log = name.dir == Dir::Log;
        if is_log && !self.syncing.force {
            return Ok(());
        }
        let began = Instant::now();
        self.with(name, File::sync_data)?;
        let took = began.elapsed();
        if is_log && took > self.syncing.slow {
            // Upstream's words, which people look for.
            warn!(
                "fsync-ing the write ahead log in {} took {}ms which will adversely effect operation latency",
                name.name,
                took.as_millis()
            );
        }
        Ok(())
    }

    fn run(&self, op: &DiskOp) -> io::Result<()> {
        match op {
            DiskOp::Create(name) => {
                self.forget(name);
                let file = OpenOptions::new()
                    .read(true)
                    .write(true)
                    .create(true)
                    .truncate(true)
                    .open(self.path(name))?;
                keep(&mut self.open.borrow_mut(), name.clone(), file);
                Ok(())
            }
            DiskOp::Write { file, offset, bytes } => {
                self.with(file, |file| file.write_all_at(bytes, *offset))
            }
            DiskOp::SetLen { file, len } => self.with(file, |file| file.set_len(*len)),
            DiskOp::Sync(name) => self.sync(name),
            DiskOp::Rename { from, to } => {
                self.forget(from);
                self.forget(to);
                fs::rename(self.path(from), self.path(to))
            }
            DiskOp::Remove(name) => {
                self.forget(name);
                fs::remove_file(self.path(name))
            }
            DiskOp::SyncDir(dir) => sync_dir(self.dir(*dir)),
        }
    }
}

fn keep(open: &mut Vec<(FileName, File)>, name: FileName, file: File) {
    if open.len() == OPEN_MAX {
        open.remove(0);
    }
    open.push((name, file));
}

fn sync_dir(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

impl Clone for OsFiles {
    /// The same directories; open files are each one's own.
    fn clone(&self) -> Self {
        let (data, log) = (self.data.clone(), self.log.clone());
        Self { data, log, syncing: self.syncing, open: RefCell::default() }
    }
}

impl Files for OsFiles {
    fn perform(&mut self, op: &DiskOp) -> Result<(), DiskError> {
        self.run(op).map_err(|error| match op {
            DiskOp::Create(name) => failed("create", &self.path(name), &error),
            DiskOp::Write { file, .. } => failed("write", &self.path(file), &error),
            DiskOp::SetLen { file, .. } => failed("set the length of", &self.path(file), &error),
            DiskOp::Sync(name) => failed("fdatasync", &self.path(name), &error),
            DiskOp::Rename { from, .. } => failed("rename", &self.path(from), &error),
            DiskOp::Remove(name) => failed("remove", &self.path(name), &error),
            DiskOp::SyncDir(dir) => failed("sync", self.dir(*dir), &error),
        })
    }
}

impl Directory for OsFiles {
    fn list(&self, dir: Dir) -> Result<Vec<(String, u64)>, DiskError> {
        list(self.dir(dir))
    }

    fn read(&self, name: &FileName, offset: u64, buf: &mut [u8]) -> Result<usize, DiskError> {
        self.with(name, |file| read_at(file, offset, buf))
            .map_err(|error| failed("read", &self.path(name), &error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(name: &str) -> FileName {
        FileName { dir: Dir::Data, name: name.into() }
    }

    #[test]
    fn operations_do_what_they_say() {
        let root = tempfile::tempdir().expect("a temporary directory");
        let mut files = OsFiles::new(root.path(), root.path()).expect("it is writable");
        let write = |file: &str, offset, bytes: &'static [u8]| DiskOp::Write {
            file: name(file),
            offset,
            bytes: bytes.into(),
        };
        let ops = [
            DiskOp::Create(name("a")),
            write("a", 0, b"hello"),
            write("a", 5, b" world"),
            DiskOp::SetLen { file: name("a"), len: 16 },
            DiskOp::Sync(name("a")),
            DiskOp::Create(name("tmp")),
            write("tmp", 0, b"x"),
            DiskOp::Rename { from: name("tmp"), to: name("b") },
            DiskOp::SyncDir(Dir::Data),
            DiskOp::Create(name("c")),
            DiskOp::Remove(name("c")),
        ];
        for op in &ops {
            files.perform(op).expect("the disk has room");
        }
        // What was renamed is written under its new name.
        files.perform(&write("b", 1, b"y")).expect("it exists");

        let mut listed = files.list(Dir::Data).expect("it can be listed");
        listed.sort();
        assert_eq!(listed, [("a".into(), 16), ("b".into(), 2)]);
        let mut buf = [0; 32];
        assert_eq!(files.read(&name("a"), 6, &mut buf), Ok(10));
        assert_eq!(&buf[..10], b"world\0\0\0\0\0");
        assert_eq!(files.read(&name("a"), 16, &mut buf), Ok(0));
        assert_eq!(files.read(&name("b"), 0, &mut buf), Ok(2));
        assert_eq!(&buf[..2], b"xy");
    }

    #[test]
    fn only_the_log_goes_unsynced_where_that_is_asked_for() {
        let root = tempfile::tempdir().expect("a temporary directory");
        let open = || OsFiles::new(root.path(), root.path()).expect("it is writable");
        let mut lax = open().with_syncing(Syncing { force: false, ..Syncing::default() });
        // Whoever tries finds no file.
        let sync = |dir| DiskOp::Sync(FileName { dir, name: "nope".into() });
        assert!(open().perform(&sync(Dir::Log)).is_err());
        assert!(lax.perform(&sync(Dir::Log)).is_ok());
        assert!(lax.perform(&sync(Dir::Data)).is_err());
        assert!(lax.clone().perform(&sync(Dir::Log)).is_ok());
    }

    #[test]
    fn errors_name_the_operation_and_the_file() {
        let root = tempfile::tempdir().expect("a temporary directory");
        let mut files = OsFiles::new(root.path(), root.path()).expect("it is writable");
        let error = files.perform(&DiskOp::Sync(name("missing"))).expect_err("it is missing");
        assert!(error.to_string().starts_with("fdatasync "), "{error}");
        assert!(error.to_string().contains("version-2/missing: "), "{error}");
    }
}
