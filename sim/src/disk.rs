//! Provisional: the simulated disk, as far as checkers need it. Replaced by the world's.

use std::collections::BTreeMap;

use zebu_core::storage::{Dir, Directory, DiskError, DiskOp, FileName};

#[derive(Clone, Debug, Default)]
pub struct SimDisk {
    files: BTreeMap<FileName, Vec<u8>>,
}

impl SimDisk {
    pub fn new() -> Self {
        Self::default()
    }
    pub fn perform(&mut self, op: &DiskOp) -> Result<(), DiskError> {
        match op {
            DiskOp::Create(file) => {
                self.files.insert(file.clone(), Vec::new());
            }
            DiskOp::Write { file, offset, bytes } => {
                let content = self.files.entry(file.clone()).or_default();
                let end = *offset as usize + bytes.len();
                content.resize(content.len().max(end), 0);
                content[*offset as usize..end].copy_from_slice(bytes);
            }
            DiskOp::SetLen { file, len } => {
                self.files.entry(file.clone()).or_default().resize(*len as usize, 0);
            }
            DiskOp::Rename { from, to } => {
                let content = self.files.remove(from).unwrap_or_default();
                self.files.insert(to.clone(), content);
            }
            DiskOp::Remove(file) => {
                self.files.remove(file);
            }
            DiskOp::Sync(_) | DiskOp::SyncDir(_) => {}
        }
        Ok(())
    }
}

impl Directory for SimDisk {
    fn list(&self, dir: Dir) -> Result<Vec<(String, u64)>, DiskError> {
        let here = self.files.iter().filter(|(file, _)| file.dir == dir);
        Ok(here.map(|(file, bytes)| (file.name.clone(), bytes.len() as u64)).collect())
    }
    fn read(&self, file: &FileName, offset: u64, buf: &mut [u8]) -> Result<usize, DiskError> {
        let Some(rest) = self.files.get(file).and_then(|f| f.get(offset as usize..)) else {
            return Ok(0);
        };
        let n = rest.len().min(buf.len());
        buf[..n].copy_from_slice(&rest[..n]);
        Ok(n)
    }
}
