//! A disk with one file of arbitrary bytes: starting from it gives a state or an error, and looking
//! at it findings.

use zebu_core::storage::{
    Dir, Directory, DiskError, FileName, Layout, Storage, StorageConfig, audit,
};

/// A transaction log.
pub fn log_file(data: &[u8]) {
    start(Dir::Log, "log.1", data);
}

/// A snapshot.
pub fn snapshot(data: &[u8]) {
    start(Dir::Data, "snapshot.0", data);
}

fn start(dir: Dir, name: &str, data: &[u8]) {
    let config = StorageConfig {
        prealloc_bytes: 0,
        // Real files have real records.
        record_max: 1 << 20,
        commit_log_count: 10,
        layout: Layout::DEFAULT,
        autocreate: true,
        log_permille_max: 330,
        mutant: None,
    };
    let disk = OneFile { file: FileName { dir, name: name.into() }, data };
    let first = Storage::open(config.clone(), &disk);
    let second = Storage::open(config, &disk);
    // Reading twice gives the same: nothing of it depends on what is not on the disk.
    let recovered = |opened: Result<(Storage, _, _), _>| {
        opened.map(|(_, recovered, operations)| format!("{recovered:?} {operations:?}"))
    };
    let starts = first.is_ok();
    assert_eq!(recovered(first), recovered(second));

    let mut findings = Vec::new();
    let done = audit(&disk, 1 << 20, &mut |finding| findings.push(finding));
    let done = done.expect("the disk itself is well");
    if starts && dir == Dir::Data {
        assert!(done.state.is_some(), "{findings:?}");
    }
}

struct OneFile<'a> {
    file: FileName,
    data: &'a [u8],
}

impl Directory for OneFile<'_> {
    fn list(&self, dir: Dir) -> Result<Vec<(String, u64)>, DiskError> {
        let here = (dir == self.file.dir).then(|| (self.file.name.clone(), self.data.len() as u64));
        Ok(here.into_iter().collect())
    }

    fn read(&self, file: &FileName, offset: u64, buf: &mut [u8]) -> Result<usize, DiskError> {
        if *file != self.file {
            let message = "no such file".into();
            return Err(DiskError { operation: "read", name: file.name.clone(), message });
        }
        let from = self.data.len().min(usize::try_from(offset).unwrap_or(usize::MAX));
        let piece = &self.data[from..];
        let length = piece.len().min(buf.len());
        buf[..length].copy_from_slice(&piece[..length]);
        Ok(length)
    }
}
