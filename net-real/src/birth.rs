//! What may come into being by itself when a server starts: its directories, and an empty database.
//! Where it may not, a disk that was not mounted, or that was lost, is not taken for a new server's.
//! Whether there is a database is storage's to say.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::settings::Birth;

/// Upstream's `zkServer-initialize.sh` leaves it beside a new server's myid: this once, a database may
/// come into being.
const INITIALIZE: &str = "initialize";

#[derive(Debug, thiserror::Error)]
pub(crate) enum BirthError {
    #[error(
        "Missing data directory {}, and datadir.autocreate is false: mount it, or make it for a new server",
        .0.display()
    )]
    NoDirectory(PathBuf),
    #[error("cannot look into {}: {error}", path.display())]
    Io { path: PathBuf, error: std::io::Error },
}

/// May a server start on what is here, and begin with an empty database if there is none? Takes the
/// file away that says so.
// ZK: FileTxnSnapLog, FileTxnSnapLog.restore (3.9)
// Departs: without a database upstream starts all the same, with a vote that counts for nothing; and
// then it may follow, be restarted, and vote with what it has been sent by then.
pub(crate) fn permit(birth: &Birth, data_dir: &Path, log_dir: &Path) -> Result<bool, BirthError> {
    let stores = [data_dir.join("version-2"), log_dir.join("version-2")];
    if !birth.directories
        && let Some(missing) = stores.iter().find(|store| !store.is_dir())
    {
        return Err(BirthError::NoDirectory(missing.clone()));
    }
    let mut initialize = false;
    for dir in [data_dir, log_dir] {
        let path = dir.join(INITIALIZE);
        match fs::remove_file(&path) {
            Ok(()) => initialize = true,
            Err(error) if is_missing(&error) => {}
            Err(error) => return Err(BirthError::Io { path, error }),
        }
    }
    Ok(birth.database || initialize)
}

fn is_missing(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_comes_into_being_only_where_it_may() {
        let root = tempfile::tempdir().expect("a temporary directory");
        let (data, log) = (root.path().join("data"), root.path().join("log"));
        let anything = Birth { directories: true, database: true };
        let no_database = Birth { database: false, ..anything };
        let nothing = Birth { directories: false, database: false };
        let permitted = |birth| permit(birth, &data, &log).map_err(|error| error.to_string());
        assert_eq!(permitted(&anything), Ok(true));
        assert_eq!(permitted(&no_database), Ok(false));
        let why = permitted(&nothing).expect_err("there is nothing");
        assert!(why.starts_with("Missing data directory"), "{why}");
        for dir in [&data, &log] {
            fs::create_dir_all(dir.join("version-2")).expect("it is writable");
        }
        assert_eq!(permitted(&nothing), Ok(false));
        // Once.
        fs::write(data.join("initialize"), "").expect("it is writable");
        assert_eq!(permitted(&nothing), Ok(true));
        assert_eq!(permitted(&nothing), Ok(false));
        fs::remove_dir_all(log.join("version-2")).expect("it is writable");
        assert_eq!(permitted(&no_database), Ok(false));
        let why = permitted(&nothing).expect_err("the log's directory is gone");
        assert!(why.starts_with("Missing data directory"), "{why}");
    }
}
