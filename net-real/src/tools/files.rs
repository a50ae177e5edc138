//! Where the tools read: a data directory, or the directory that a file lies in. Nothing is opened
//! for writing, so a running server is not disturbed; what it changes meanwhile may be seen as damage.

use std::cell::RefCell;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use zebu_core::storage::{DataFile, Dir, Directory, DiskError, FileName};

use crate::directory::{failed, list, read_at};

#[derive(Debug)]
pub(super) struct ReadOnly {
    data: PathBuf,
    log: PathBuf,
    /// The file last read.
    open: RefCell<Option<(FileName, File)>>,
}

impl ReadOnly {
    /// A data directory, or the `version-2` in it; and the log's, if it has one of its own.
    pub(super) fn directory(data: &Path, log: Option<&Path>) -> anyhow::Result<Self> {
        let data = version_2(data)?;
        let log = log.map(version_2).transpose()?.unwrap_or_else(|| data.clone());
        Ok(Self { data, log, open: RefCell::default() })
    }

    /// One file, as if it were a directory of its own.
    pub(super) fn file(path: &Path) -> anyhow::Result<(Self, DataFile)> {
        let metadata = fs::metadata(path).with_context(|| path.display().to_string())?;
        ensure!(metadata.is_file(), "{}: expected a file", path.display());
        let name = path.file_name().and_then(|name| name.to_str());
        let name = name.with_context(|| format!("{}: its name is no text", path.display()))?;
        let dir = path.parent().unwrap_or(Path::new("")).to_owned();
        let file = FileName { dir: Dir::Log, name: name.to_owned() };
        let here = Self { data: dir.clone(), log: dir, open: RefCell::default() };
        Ok((here, DataFile { file, len: metadata.len() }))
    }

    pub(super) fn path(&self, file: &FileName) -> PathBuf {
        self.dir(file.dir).join(&file.name)
    }

    fn dir(&self, dir: Dir) -> &Path {
        match dir {
            Dir::Data => &self.data,
            Dir::Log => &self.log,
        }
    }

    fn read_at(&self, name: &FileName, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        let mut open = self.open.borrow_mut();
        let file = match open.take() {
            Some((opened, file)) if opened == *name => file,
            _ => File::open(self.path(name))?,
        };
        let (_, file) = open.insert((name.clone(), file));
        read_at(file, offset, buf)
    }
}

fn version_2(dir: &Path) -> anyhow::Result<PathBuf> {
    ensure!(dir.is_dir(), "{}: expected a directory", dir.display());
    let inner = dir.join("version-2");
    Ok(if inner.is_dir() { inner } else { dir.to_owned() })
}

impl Directory for ReadOnly {
    fn list(&self, dir: Dir) -> Result<Vec<(String, u64)>, DiskError> {
        list(self.dir(dir))
    }

    fn read(&self, file: &FileName, offset: u64, buf: &mut [u8]) -> Result<usize, DiskError> {
        let read = self.read_at(file, offset, buf);
        read.map_err(|error| failed("read", &self.path(file), &error))
    }
}

/// Makes a file that is not there yet. It stays only if all of it was written and is durable.
pub(super) fn write_new(
    path: &Path,
    write: impl FnOnce(&mut BufWriter<File>) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let named = || path.display().to_string();
    let file = OpenOptions::new().write(true).create_new(true).open(path).with_context(named)?;
    let mut file = BufWriter::new(file);
    let written = write(&mut file).and_then(|()| {
        file.flush()?;
        Ok(file.get_ref().sync_all()?)
    });
    if written.is_err() {
        let _ = fs::remove_file(path);
    }
    written.with_context(named)
}
