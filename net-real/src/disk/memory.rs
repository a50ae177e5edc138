//! Files in memory, for simulations and tests of the driver. They outlive the server that wrote them,
//! and nothing written is ever lost: power losses are the business of the simulator's own disks.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use zebu_core::storage::{Dir, Directory, DiskError, DiskOp, FileName};

use super::Files;

/// One disk; a clone is the same disk.
#[derive(Clone, Debug, Default)]
pub struct MemoryFiles {
    files: Arc<Mutex<BTreeMap<FileName, Vec<u8>>>>,
}

impl MemoryFiles {
    fn files(&self) -> MutexGuard<'_, BTreeMap<FileName, Vec<u8>>> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Files for MemoryFiles {
    fn perform(&mut self, op: &DiskOp) -> Result<(), DiskError> {
        let mut files = self.files();
        match op {
            DiskOp::Create(name) => drop(files.insert(name.clone(), Vec::new())),
            DiskOp::Write { file, offset, bytes } => {
                let content = files.get_mut(file).ok_or_else(|| missing("write", file))?;
                let (start, end) = (*offset as usize, *offset as usize + bytes.len());
                content.resize(content.len().max(end), 0);
                content[start..end].copy_from_slice(bytes);
            }
            DiskOp::SetLen { file, len } => {
                let content =
                    files.get_mut(file).ok_or_else(|| missing("set the length of", file))?;
                content.resize(*len as usize, 0);
            }
            DiskOp::Sync(name) => drop(files.get(name).ok_or_else(|| missing("sync", name))?),
            DiskOp::Rename { from, to } => {
                let content = files.remove(from).ok_or_else(|| missing("rename", from))?;
                files.insert(to.clone(), content);
            }
            DiskOp::Remove(name) => {
                files.remove(name).ok_or_else(|| missing("remove", name))?;
            }
            DiskOp::SyncDir(Dir::Data | Dir::Log) => {}
        }
        Ok(())
    }
}

impl Directory for MemoryFiles {
    fn list(&self, dir: Dir) -> Result<Vec<(String, u64)>, DiskError> {
        let files = self.files();
        let listed = files.iter().filter(|(name, _)| name.dir == dir);
        Ok(listed.map(|(name, content)| (name.name.clone(), content.len() as u64)).collect())
    }
    fn read(&self, file: &FileName, offset: u64, buf: &mut [u8]) -> Result<usize, DiskError> {
        let files = self.files();
        let content = files.get(file).ok_or_else(|| missing("read", file))?;
        let rest = content.get(offset as usize..).unwrap_or_default();
        let length = rest.len().min(buf.len());
        buf[..length].copy_from_slice(&rest[..length]);
        Ok(length)
    }
}

fn missing(operation: &'static str, file: &FileName) -> DiskError {
    DiskError { operation, name: file.name.clone(), message: "no such file".into() }
}
