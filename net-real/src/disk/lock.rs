//! Keeps two servers from writing to one directory. Upstream has no such lock; the file is not among
//! those that it reads.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

const NAME: &str = "zebu.lock";

/// Directories that are ours until this is dropped, or the process ends in whatever way.
#[derive(Debug)]
pub struct DirLock {
    _files: Vec<File>,
}

#[derive(Debug, thiserror::Error)]
pub enum LockError {
    #[error("{} is in use by another server{by}: two on one directory would destroy it", dir.display())]
    Taken { dir: PathBuf, by: String },
    #[error("cannot lock {}: {error}", path.display())]
    Io { path: PathBuf, error: std::io::Error },
}

impl DirLock {
    /// Locks the data directory, and that of the log if it is another one; makes what is missing.
    pub fn acquire(data_dir: &Path, log_dir: &Path) -> Result<Self, LockError> {
        let io = |path: &Path| {
            let path = path.to_owned();
            move |error| LockError::Io { path, error }
        };
        let mut dirs: Vec<PathBuf> = Vec::new();
        for dir in [data_dir, log_dir] {
            fs::create_dir_all(dir).map_err(io(dir))?;
            let dir = dir.canonicalize().map_err(io(dir))?;
            if !dirs.contains(&dir) {
                dirs.push(dir);
            }
        }
        let files = dirs.iter().map(|dir| lock(dir)).collect::<Result<_, _>>()?;
        Ok(Self { _files: files })
    }
}

fn lock(dir: &Path) -> Result<File, LockError> {
    let path = dir.join(NAME);
    let io = |error| LockError::Io { path: path.clone(), error };
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(&path)
        .map_err(io)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut holder = String::new();
            let _ = file.read_to_string(&mut holder);
            let holder = holder.trim();
            let by = if holder.is_empty() { String::new() } else { format!(" (process {holder})") };
            return Err(LockError::Taken { dir: dir.into(), by });
        }
        Err(TryLockError::Error(error)) => return Err(io(error)),
    }
    // For people; the lock itself is the operating system's.
    file.set_len(0).map_err(io)?;
    writeln!(file, "{}", std::process::id()).map_err(io)?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_server_is_told_who_holds_the_directory() {
        let root = tempfile::tempdir().expect("a temporary directory");
        let (data, log) = (root.path().join("data"), root.path().join("log"));
        let first = DirLock::acquire(&data, &data).expect("nobody holds it");
        let error = DirLock::acquire(&log, &data).expect_err("it is held");
        let expected = format!("in use by another server (process {})", std::process::id());
        assert!(error.to_string().contains(&expected), "{error}");
        drop(first);
        DirLock::acquire(&log, &data).expect("nobody holds it any more");
    }
}
