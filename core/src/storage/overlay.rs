//! A directory as it will be after operations that are planned but not yet performed. Only rare
//! plans look at it: those that cut what they have just appended.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

use super::{Dir, Directory, DiskError, DiskOp, FileName};

pub(crate) struct Overlay<'a> {
    disk: &'a dyn Directory,
    /// The files that the operations touch, whole; `None` for one that is gone.
    touched: BTreeMap<FileName, Option<Vec<u8>>>,
}

impl<'a> Overlay<'a> {
    pub(crate) fn after(disk: &'a dyn Directory, ops: &[DiskOp]) -> Result<Self, DiskError> {
        let mut overlay = Self { disk, touched: BTreeMap::new() };
        ops.iter().try_for_each(|op| overlay.perform(op))?;
        Ok(overlay)
    }

    fn perform(&mut self, op: &DiskOp) -> Result<(), DiskError> {
        match op {
            DiskOp::Create(file) => {
                self.touched.insert(file.clone(), Some(Vec::new()));
            }
            DiskOp::Write { file, offset, bytes } => {
                let content = self.content(file)?;
                let start = *offset as usize;
                let end = start + bytes.len();
                content.resize(content.len().max(end), 0);
                content[start..end].copy_from_slice(bytes);
            }
            DiskOp::SetLen { file, len } => self.content(file)?.resize(*len as usize, 0),
            DiskOp::Rename { from, to } => {
                let content = core::mem::take(self.content(from)?);
                self.touched.insert(from.clone(), None);
                self.touched.insert(to.clone(), Some(content));
            }
            DiskOp::Remove(file) => {
                self.touched.insert(file.clone(), None);
            }
            DiskOp::Sync(_) | DiskOp::SyncDir(_) => {}
        }
        Ok(())
    }

    fn content(&mut self, file: &FileName) -> Result<&mut Vec<u8>, DiskError> {
        if !self.touched.contains_key(file) {
            let mut content = Vec::new();
            let mut buf = [0; 16 * 1024];
            loop {
                match self.disk.read(file, content.len() as u64, &mut buf)? {
                    0 => break,
                    n => content.extend_from_slice(&buf[..n]),
                }
            }
            self.touched.insert(file.clone(), Some(content));
        }
        Ok(self.touched.entry(file.clone()).or_default().get_or_insert_default())
    }
}

impl Directory for Overlay<'_> {
    fn list(&self, dir: Dir) -> Result<Vec<(String, u64)>, DiskError> {
        let mut files: BTreeMap<String, u64> = self.disk.list(dir)?.into_iter().collect();
        for (file, content) in self.touched.iter().filter(|(file, _)| file.dir == dir) {
            match content {
                Some(content) => files.insert(file.name.clone(), content.len() as u64),
                None => files.remove(&file.name),
            };
        }
        Ok(files.into_iter().collect())
    }

    fn read(&self, file: &FileName, offset: u64, buf: &mut [u8]) -> Result<usize, DiskError> {
        match self.touched.get(file) {
            None => self.disk.read(file, offset, buf),
            Some(None) => Err(DiskError {
                operation: "read",
                name: file.name.clone(),
                message: "it is removed by a planned operation".into(),
            }),
            Some(Some(content)) => {
                let start = usize::try_from(offset).unwrap_or(usize::MAX).min(content.len());
                let len = buf.len().min(content.len() - start);
                buf[..len].copy_from_slice(&content[start..start + len]);
                Ok(len)
            }
        }
    }
}
