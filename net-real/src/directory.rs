//! Reading what lies in a directory: for servers and tools alike.

use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::os::unix::fs::FileExt;
use std::path::Path;

use zebu_core::storage::DiskError;

/// The files in `path` with their lengths, in any order. A link counts as what it leads to.
pub(crate) fn list(path: &Path) -> Result<Vec<(String, u64)>, DiskError> {
    try_list(path).map_err(|error| failed("list", path, &error))
}

fn try_list(path: &Path) -> io::Result<Vec<(String, u64)>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        let metadata = match fs::metadata(entry.path()) {
            // Renamed or removed meanwhile, by a snapshot or a purge; or a link to nowhere.
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            metadata => metadata?,
        };
        // A name that is not text is nobody's file here.
        if let (true, Ok(name)) = (metadata.is_file(), entry.file_name().into_string()) {
            files.push((name, metadata.len()));
        }
    }
    Ok(files)
}

/// Reads at `offset`, whoever sends signals meanwhile; 0 at the end of the file.
pub(crate) fn read_at(file: &File, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
    loop {
        match file.read_at(buf, offset) {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            done => return done,
        }
    }
}

pub(crate) fn failed(operation: &'static str, path: &Path, error: &io::Error) -> DiskError {
    DiskError { operation, name: path.display().to_string(), message: error.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_what_they_lead_to() {
        let root = tempfile::tempdir().expect("a temporary directory");
        let at = |name: &str| root.path().join(name);
        fs::write(at("elsewhere"), "12345").expect("it is writable");
        fs::create_dir(at("directory")).expect("it is writable");
        for (to, link) in [("elsewhere", "link"), ("nowhere", "dangling"), ("directory", "inner")] {
            std::os::unix::fs::symlink(at(to), at(link)).expect("it is writable");
        }
        let mut listed = list(root.path()).expect("it can be listed");
        listed.sort();
        assert_eq!(listed, [("elsewhere".into(), 5), ("link".into(), 5)]);
        let error = list(&at("nowhere")).expect_err("it is not there");
        assert!(error.to_string().starts_with("list "), "{error}");
    }
}
