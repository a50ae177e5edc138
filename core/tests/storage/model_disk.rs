//! A disk that knows what a power loss may leave, small enough to be tried in every way. The
//! simulator has the one that draws at random.

use std::collections::BTreeMap;

use bytes::Bytes;
use zebu_core::storage::{Dir, Directory, DiskError, DiskOp, FileName};

const SECTOR: usize = 512;

/// What of a start's operations puts something right. Syncs are due at every start: what was read
/// may be in a cache only.
pub(crate) fn changes(repairs: Vec<DiskOp>) -> Vec<DiskOp> {
    let is_sync = |op: &DiskOp| matches!(op, DiskOp::Sync(_) | DiskOp::SyncDir(_));
    repairs.into_iter().filter(|op| !is_sync(op)).collect()
}

#[derive(Clone, Debug, Default)]
pub(crate) struct ModelDisk {
    files: Vec<File>,
    names: BTreeMap<FileName, usize>,
    safe_names: BTreeMap<FileName, usize>,
    /// Names as they were after each unsynced change.
    name_steps: Vec<BTreeMap<FileName, usize>>,
}

#[derive(Clone, Debug, Default)]
struct File {
    now: Vec<u8>,
    safe: Vec<u8>,
    unsynced: Vec<Change>,
}

#[derive(Clone, Debug)]
enum Change {
    Write(usize, Bytes),
    SetLen(usize),
}

/// What becomes of that which was not synced.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Fate {
    Lost,
    Kept,
    /// Of the last change only the first half is there.
    TornInHalf,
    /// Of each write the first sector is missing.
    FirstSectorLost,
    /// Of each write every other sector is missing.
    OddSectorsLost,
    /// Lengths changed, contents did not come.
    OnlyLengths,
}

impl Fate {
    pub(crate) const ALL: [Self; 6] = [
        Self::Lost,
        Self::Kept,
        Self::TornInHalf,
        Self::FirstSectorLost,
        Self::OddSectorsLost,
        Self::OnlyLengths,
    ];
}

impl ModelDisk {
    pub(crate) fn perform(&mut self, op: &DiskOp) {
        match op {
            DiskOp::Create(name) => match self.names.get(name) {
                Some(id) => self.files[*id].change(Change::SetLen(0)),
                None => {
                    self.files.push(File::default());
                    self.names.insert(name.clone(), self.files.len() - 1);
                    self.name_steps.push(self.names.clone());
                }
            },
            DiskOp::Write { file, offset, bytes } => {
                self.file(file).change(Change::Write(*offset as usize, bytes.clone()));
            }
            DiskOp::SetLen { file, len } => self.file(file).change(Change::SetLen(*len as usize)),
            DiskOp::Sync(file) => {
                let file = self.file(file);
                file.safe = file.now.clone();
                file.unsynced.clear();
            }
            DiskOp::Rename { from, to } => {
                let id = self.names.remove(from).unwrap();
                self.names.insert(to.clone(), id);
                self.name_steps.push(self.names.clone());
            }
            DiskOp::Remove(name) => {
                self.names.remove(name).unwrap_or_else(|| panic!("no {name:?}"));
                self.name_steps.push(self.names.clone());
            }
            DiskOp::SyncDir(dir) => self.sync_dir(*dir),
        }
    }

    pub(crate) fn perform_all(&mut self, ops: &[DiskOp]) {
        ops.iter().for_each(|op| self.perform(op));
    }

    /// All the disks that a power loss now may leave, as far as it makes a difference.
    pub(crate) fn crashes(&self) -> Vec<(String, Self)> {
        let mut left = Vec::new();
        let mut names = vec![self.safe_names.clone()];
        names.extend(self.name_steps.iter().cloned());
        names.dedup();
        let dirty = self.files.iter().any(|file| !file.unsynced.is_empty());
        let fates = if dirty { &Fate::ALL[..] } else { &Fate::ALL[..1] };
        for (step, names) in names.iter().enumerate() {
            for fate in fates {
                let mut disk = self.clone();
                disk.names = names.clone();
                for file in &mut disk.files {
                    file.settle(*fate);
                }
                disk.safe_names = disk.names.clone();
                disk.name_steps.clear();
                left.push((format!("{fate:?}, {step} changes of names kept"), disk));
            }
        }
        left
    }

    pub(crate) fn put(&mut self, dir: Dir, name: &str, content: Vec<u8>) {
        self.files.push(File { now: content.clone(), safe: content, unsynced: Vec::new() });
        let name = FileName { dir, name: name.into() };
        self.names.insert(name, self.files.len() - 1);
        self.safe_names = self.names.clone();
    }

    pub(crate) fn remove(&mut self, dir: Dir, name: &str) {
        self.names.remove(&FileName { dir, name: name.into() }).unwrap();
        self.safe_names = self.names.clone();
    }

    pub(crate) fn content(&mut self, dir: Dir, name: &str) -> &mut Vec<u8> {
        &mut self.file(&FileName { dir, name: name.into() }).now
    }

    pub(crate) fn names(&self) -> Vec<String> {
        self.names.keys().map(|file| file.name.clone()).collect()
    }

    fn file(&mut self, name: &FileName) -> &mut File {
        let id = self.names.get(name).unwrap_or_else(|| panic!("no {name:?}"));
        &mut self.files[*id]
    }

    fn sync_dir(&mut self, dir: Dir) {
        self.safe_names.retain(|name, _| name.dir != dir);
        let here = self.names.iter().filter(|(name, _)| name.dir == dir);
        self.safe_names.extend(here.map(|(name, id)| (name.clone(), *id)));
        self.name_steps.clear();
        if self.safe_names != self.names {
            self.name_steps.push(self.names.clone());
        }
    }
}

impl File {
    fn change(&mut self, change: Change) {
        change.apply(&mut self.now);
        self.unsynced.push(change);
    }

    fn settle(&mut self, fate: Fate) {
        let last = self.unsynced.len().saturating_sub(1);
        for (index, change) in std::mem::take(&mut self.unsynced).into_iter().enumerate() {
            match (fate, change) {
                (Fate::Lost, _) => {}
                (Fate::Kept, change) => change.apply(&mut self.safe),
                (Fate::TornInHalf, Change::Write(at, bytes)) if index == last => {
                    Change::Write(at, bytes.slice(..bytes.len() / 2)).apply(&mut self.safe);
                }
                (Fate::TornInHalf, change) => change.apply(&mut self.safe),
                (Fate::FirstSectorLost, Change::Write(at, bytes)) => {
                    write_sectors(&mut self.safe, at, &bytes, |n| n > 0);
                }
                (Fate::OddSectorsLost, Change::Write(at, bytes)) => {
                    write_sectors(&mut self.safe, at, &bytes, |n| n % 2 == 0);
                }
                (Fate::OnlyLengths, Change::Write(at, bytes)) => {
                    write_sectors(&mut self.safe, at, &bytes, |_| false);
                }
                (_, change @ Change::SetLen(_)) => change.apply(&mut self.safe),
            }
        }
        self.now = self.safe.clone();
    }
}

fn write_sectors(content: &mut Vec<u8>, at: usize, bytes: &[u8], keep: impl Fn(usize) -> bool) {
    content.resize(content.len().max(at + bytes.len()), 0);
    let mut from = at;
    let mut n = 0;
    while from < at + bytes.len() {
        let end = ((from / SECTOR + 1) * SECTOR).min(at + bytes.len());
        if keep(n) {
            content[from..end].copy_from_slice(&bytes[from - at..end - at]);
        }
        (from, n) = (end, n + 1);
    }
}

impl Change {
    fn apply(&self, content: &mut Vec<u8>) {
        match self {
            Self::Write(at, bytes) => write_sectors(content, *at, bytes, |_| true),
            Self::SetLen(len) => content.resize(*len, 0),
        }
    }
}

impl Directory for ModelDisk {
    fn list(&self, dir: Dir) -> Result<Vec<(String, u64)>, DiskError> {
        let here = self.names.iter().filter(|(name, _)| name.dir == dir);
        Ok(here.map(|(name, id)| (name.name.clone(), self.files[*id].now.len() as u64)).collect())
    }
    fn read(&self, file: &FileName, offset: u64, buf: &mut [u8]) -> Result<usize, DiskError> {
        let id = self.names.get(file).ok_or_else(|| DiskError {
            operation: "read",
            name: file.name.clone(),
            message: "no such file".into(),
        })?;
        let content = &self.files[*id].now;
        let start = (offset as usize).min(content.len());
        let len = buf.len().min(content.len() - start);
        buf[..len].copy_from_slice(&content[start..start + len]);
        Ok(len)
    }
}
