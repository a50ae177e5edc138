//! A server's disk: files as the running process sees them, and what of them a power loss leaves.
//!
//! Data is safe after `Sync` of its file, a name after `SyncDir` of its directory. Everything else
//! may survive, vanish, or survive in part and out of order; a decision says which. Nothing here
//! knows what the files mean.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use zebu_core::storage::{Dir, Directory, DiskError, DiskOp, FileName};

use crate::decide::Draw;

/// What a disk writes whole or not at all.
const SECTOR: usize = 512;

/// Cheap to clone: the bytes that are safe are shared until one side syncs more.
#[derive(Clone, Debug, Default)]
pub struct SimDisk {
    inodes: BTreeMap<u64, Inode>,
    /// Names as the process sees them.
    names: BTreeMap<FileName, u64>,
    /// Names that a power loss keeps.
    safe_names: BTreeMap<FileName, u64>,
    /// Changes of names since, oldest first.
    unsynced_names: Vec<NameChange>,
    next_inode: u64,
    /// No space: nothing grows.
    pub full: bool,
}

#[derive(Clone, Debug, Default)]
struct Inode {
    safe: Arc<Vec<u8>>,
    unsynced: Vec<Change>,
    /// As the process sees it.
    len: u64,
}

#[derive(Clone, Debug)]
enum Change {
    Write { offset: u64, bytes: Bytes },
    SetLen(u64),
}

#[derive(Clone, Debug)]
enum NameChange {
    Link { name: FileName, inode: u64 },
    Rename { from: FileName, to: FileName, inode: u64 },
    Unlink { name: FileName },
}

impl NameChange {
    fn dir(&self) -> Dir {
        match self {
            Self::Link { name, .. } | Self::Unlink { name } => name.dir,
            Self::Rename { to, .. } => to.dir,
        }
    }
    /// Gives the inode that lost this name.
    fn apply(&self, names: &mut BTreeMap<FileName, u64>) -> Option<u64> {
        match self {
            Self::Link { name, inode } => names.insert(name.clone(), *inode),
            Self::Rename { from, to, inode } => {
                // A skipped `Link` before it leaves nothing under the old name.
                if names.get(from) == Some(inode) {
                    names.remove(from);
                }
                names.insert(to.clone(), *inode)
            }
            Self::Unlink { name } => names.remove(name),
        }
    }
}

/// What a power loss did, for counting.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct CrashDamage {
    /// Unsynced changes of content there were, and how many did not survive whole.
    pub unsynced: usize,
    pub lost: usize,
    pub torn: usize,
    pub names_undone: usize,
}

/// How much of what was not synced comes back.
#[derive(Clone, Copy)]
enum Survival {
    Nothing,
    Everything,
    /// The oldest so many, and a part of the next.
    Prefix(usize),
    /// Each for itself: later ones may survive earlier ones.
    AnySubset,
}

impl Survival {
    fn draw(draw: &mut Draw, changes: usize) -> Self {
        match draw.below(8) {
            0 => Self::Everything,
            1 | 2 => Self::Nothing,
            3..=5 => Self::Prefix(draw.index(changes + 1)),
            _ => Self::AnySubset,
        }
    }
    fn keeps(self, index: usize, draw: &mut Draw) -> Fate {
        match self {
            Self::Nothing => Fate::Lost,
            Self::Everything => Fate::Kept,
            Self::Prefix(n) if index < n => Fate::Kept,
            Self::Prefix(n) if index == n && draw.one_in(2) => Fate::Torn,
            Self::Prefix(_) => Fate::Lost,
            Self::AnySubset => match draw.below(4) {
                0 | 1 => Fate::Kept,
                2 => Fate::Lost,
                _ => Fate::Torn,
            },
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Kept,
    Lost,
    Torn,
}

impl SimDisk {
    pub fn new() -> Self {
        Self::default()
    }

    /// Carries out one operation in the process's view of the disk.
    pub fn perform(&mut self, op: &DiskOp) -> Result<(), DiskError> {
        match op {
            DiskOp::Create(name) => self.create(name),
            DiskOp::Write { file, offset, bytes } => self.write(file, *offset, bytes),
            DiskOp::SetLen { file, len } => self.set_len(file, *len),
            DiskOp::Sync(file) => {
                self.inode_mut("sync", file)?.sync();
                Ok(())
            }
            DiskOp::Rename { from, to } => self.rename(from, to),
            DiskOp::Remove(name) => {
                self.names.remove(name).ok_or_else(|| missing("remove", name))?;
                self.unsynced_names.push(NameChange::Unlink { name: name.clone() });
                Ok(())
            }
            DiskOp::SyncDir(dir) => {
                self.sync_dir(*dir);
                Ok(())
            }
        }
    }

    /// A sync that failed: some of what was written is on the disk, the rest is nowhere any more
    /// (the kernel drops the pages and calls them clean).
    pub fn fail_sync(&mut self, op: &DiskOp, draw: &mut Draw) {
        if let DiskOp::Sync(file) = op
            && let Ok(inode) = self.inode_mut("sync", file)
        {
            inode.settle(draw, &mut CrashDamage::default());
        }
    }

    /// The power goes: what was not synced meets its fate.
    pub fn crash(&mut self, draw: &mut Draw) -> CrashDamage {
        let mut damage = CrashDamage::default();
        let changes = std::mem::take(&mut self.unsynced_names);
        let survival = Survival::draw(draw, changes.len());
        for (index, change) in changes.iter().enumerate() {
            // A directory entry is one sector: it is never torn.
            if survival.keeps(index, draw) == Fate::Kept {
                change.apply(&mut self.safe_names);
            } else {
                damage.names_undone += 1;
            }
        }
        self.names = self.safe_names.clone();
        for inode in self.inodes.values_mut() {
            inode.settle(draw, &mut damage);
        }
        self.forget_unnamed();
        damage
    }

    /// What a power loss is certain to leave: nothing that was not synced.
    pub fn durable(&self) -> Self {
        let inodes = self.inodes.iter().map(|(id, inode)| {
            let len = inode.safe.len() as u64;
            (*id, Inode { safe: Arc::clone(&inode.safe), unsynced: Vec::new(), len })
        });
        let mut disk = Self {
            inodes: inodes.collect(),
            names: self.safe_names.clone(),
            safe_names: self.safe_names.clone(),
            unsynced_names: Vec::new(),
            next_inode: self.next_inode,
            full: false,
        };
        disk.forget_unnamed();
        disk
    }

    /// Would a power loss now leave everything as the process sees it?
    pub fn is_clean(&self) -> bool {
        self.unsynced_names.is_empty() && self.inodes.values().all(|i| i.unsynced.is_empty())
    }

    /// How long a file is, as the process sees it.
    pub fn len_of(&self, file: &FileName) -> Option<u64> {
        Some(self.inodes[self.names.get(file)?].len)
    }
    /// Bytes of all files, as the process sees them.
    pub fn used(&self) -> u64 {
        self.names.values().map(|id| self.inodes[id].len).sum()
    }

    fn inode(&self, operation: &'static str, name: &FileName) -> Result<&Inode, DiskError> {
        let id = self.names.get(name).ok_or_else(|| missing(operation, name))?;
        Ok(&self.inodes[id])
    }
    fn inode_mut(
        &mut self,
        operation: &'static str,
        name: &FileName,
    ) -> Result<&mut Inode, DiskError> {
        let id = self.names.get(name).ok_or_else(|| missing(operation, name))?;
        Ok(self.inodes.get_mut(id).expect("a name points at an inode"))
    }

    /// As `open(O_CREAT | O_TRUNC)`: an existing file is emptied in place, which a power loss may
    /// keep without what is written to it afterwards.
    fn create(&mut self, name: &FileName) -> Result<(), DiskError> {
        if self.names.contains_key(name) {
            return self.set_len(name, 0);
        }
        if self.full {
            return Err(no_space("create", name));
        }
        let id = self.next_inode;
        self.next_inode += 1;
        self.inodes.insert(id, Inode::default());
        self.names.insert(name.clone(), id);
        self.unsynced_names.push(NameChange::Link { name: name.clone(), inode: id });
        Ok(())
    }

    fn write(&mut self, file: &FileName, offset: u64, bytes: &Bytes) -> Result<(), DiskError> {
        let full = self.full;
        let inode = self.inode_mut("write", file)?;
        let end = offset + bytes.len() as u64;
        if full && end > inode.len {
            // A short write: what still fits is there.
            let fits = (bytes.len() / 2).min(end.saturating_sub(inode.len) as usize);
            inode.change(Change::Write { offset, bytes: bytes.slice(..fits) });
            return Err(no_space("write", file));
        }
        inode.change(Change::Write { offset, bytes: bytes.clone() });
        Ok(())
    }

    fn set_len(&mut self, file: &FileName, len: u64) -> Result<(), DiskError> {
        let full = self.full;
        let inode = self.inode_mut("set length of", file)?;
        if full && len > inode.len {
            return Err(no_space("set length of", file));
        }
        inode.change(Change::SetLen(len));
        Ok(())
    }

    fn rename(&mut self, from: &FileName, to: &FileName) -> Result<(), DiskError> {
        let inode = self.names.remove(from).ok_or_else(|| missing("rename", from))?;
        self.names.insert(to.clone(), inode);
        self.unsynced_names.push(NameChange::Rename { from: from.clone(), to: to.clone(), inode });
        Ok(())
    }

    fn sync_dir(&mut self, dir: Dir) {
        let safe = &mut self.safe_names;
        let mut unnamed = false;
        self.unsynced_names.retain(|change| {
            let here = change.dir() == dir;
            if here {
                unnamed |= change.apply(safe).is_some();
            }
            !here
        });
        if unnamed {
            self.forget_unnamed();
        }
    }

    fn forget_unnamed(&mut self) {
        let mut named: BTreeSet<u64> = self.names.values().copied().collect();
        named.extend(self.safe_names.values());
        for change in &self.unsynced_names {
            if let NameChange::Link { inode, .. } | NameChange::Rename { inode, .. } = change {
                named.insert(*inode);
            }
        }
        self.inodes.retain(|id, _| named.contains(id));
    }
}

impl Inode {
    fn change(&mut self, change: Change) {
        match &change {
            Change::Write { offset, bytes } => {
                self.len = self.len.max(offset + bytes.len() as u64);
            }
            Change::SetLen(len) => self.len = *len,
        }
        self.unsynced.push(change);
    }

    fn sync(&mut self) {
        if self.unsynced.is_empty() {
            return;
        }
        let safe = Arc::make_mut(&mut self.safe);
        for change in self.unsynced.drain(..) {
            change.apply(safe);
        }
    }

    /// Decides what of the unsynced changes stays; afterwards the process sees just that.
    fn settle(&mut self, draw: &mut Draw, damage: &mut CrashDamage) {
        if !self.unsynced.is_empty() {
            let survival = Survival::draw(draw, self.unsynced.len());
            let safe = Arc::make_mut(&mut self.safe);
            for (index, change) in self.unsynced.drain(..).enumerate() {
                damage.unsynced += 1;
                match survival.keeps(index, draw) {
                    Fate::Kept => change.apply(safe),
                    Fate::Lost => damage.lost += 1,
                    Fate::Torn => {
                        damage.torn += 1;
                        change.apply_torn(safe, draw);
                    }
                }
            }
        }
        self.len = self.safe.len() as u64;
    }

    fn read(&self, offset: u64, buf: &mut [u8]) -> usize {
        let wanted = self.len.saturating_sub(offset).min(buf.len() as u64) as usize;
        let buf = &mut buf[..wanted];
        overlay(buf, offset, 0, &self.safe);
        for change in &self.unsynced {
            match change {
                Change::Write { offset: at, bytes } => overlay(buf, offset, *at, bytes),
                Change::SetLen(len) => {
                    let keep = len.saturating_sub(offset).min(wanted as u64) as usize;
                    buf[keep..].fill(0);
                }
            }
        }
        wanted
    }
}

/// Lays `bytes`, which begin at `at` of a file, over the window `buf`, which begins at `offset`.
fn overlay(buf: &mut [u8], offset: u64, at: u64, bytes: &[u8]) {
    let start = at.max(offset);
    let end = (at + bytes.len() as u64).min(offset + buf.len() as u64);
    if start < end {
        let from = &bytes[(start - at) as usize..(end - at) as usize];
        buf[(start - offset) as usize..(end - offset) as usize].copy_from_slice(from);
    }
}

impl Change {
    fn apply(&self, content: &mut Vec<u8>) {
        match self {
            Self::Write { offset, bytes } => put(content, *offset as usize, bytes),
            Self::SetLen(len) => content.resize(*len as usize, 0),
        }
    }

    /// A part of a write reaches the disk: its beginning, to the byte or to the sector, or any of
    /// its sectors. A length is changed or not.
    fn apply_torn(&self, content: &mut Vec<u8>, draw: &mut Draw) {
        let Self::Write { offset, bytes } = self else {
            if draw.one_in(2) {
                self.apply(content);
            }
            return;
        };
        let offset = *offset as usize;
        match draw.below(3) {
            0 => put(content, offset, &bytes[..draw.index(bytes.len() + 1)]),
            1 => {
                let end = (offset + draw.index(bytes.len() + 1)) / SECTOR * SECTOR;
                put(content, offset, &bytes[..end.saturating_sub(offset)]);
            }
            _ => {
                let mut at = 0;
                while at < bytes.len() {
                    let end = bytes.len().min((offset + at) / SECTOR * SECTOR + SECTOR - offset);
                    if draw.one_in(2) {
                        put(content, offset + at, &bytes[at..end]);
                    }
                    at = end;
                }
                // The length may be there before the data is.
                if draw.one_in(2) && content.len() < offset + bytes.len() {
                    content.resize(offset + bytes.len(), 0);
                }
            }
        }
    }
}

fn put(content: &mut Vec<u8>, offset: usize, bytes: &[u8]) {
    if bytes.is_empty() {
        return;
    }
    if offset == content.len() {
        content.extend_from_slice(bytes);
        return;
    }
    if content.len() < offset + bytes.len() {
        content.resize(offset + bytes.len(), 0);
    }
    content[offset..offset + bytes.len()].copy_from_slice(bytes);
}

impl Directory for SimDisk {
    fn list(&self, dir: Dir) -> Result<Vec<(String, u64)>, DiskError> {
        let here = self.names.iter().filter(|(name, _)| name.dir == dir);
        Ok(here.map(|(name, id)| (name.name.clone(), self.inodes[id].len)).collect())
    }
    fn read(&self, file: &FileName, offset: u64, buf: &mut [u8]) -> Result<usize, DiskError> {
        Ok(self.inode("read", file)?.read(offset, buf))
    }
}

fn missing(operation: &'static str, name: &FileName) -> DiskError {
    DiskError { operation, name: name.name.clone(), message: "no such file".into() }
}
fn no_space(operation: &'static str, name: &FileName) -> DiskError {
    DiskError { operation, name: name.name.clone(), message: "no space left on device".into() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decide::{About, Decide};

    fn name(text: &str) -> FileName {
        FileName { dir: Dir::Log, name: text.into() }
    }
    fn write(disk: &mut SimDisk, file: &str, offset: u64, text: &str) {
        let bytes = Bytes::copy_from_slice(text.as_bytes());
        disk.perform(&DiskOp::Write { file: name(file), offset, bytes }).unwrap();
    }
    fn read(disk: &SimDisk, file: &str) -> Option<String> {
        let mut buf = [0; 4096];
        let n = disk.read(&name(file), 0, &mut buf).ok()?;
        Some(String::from_utf8_lossy(&buf[..n]).replace('\0', "."))
    }
    fn synced(file: &str, text: &str) -> SimDisk {
        let mut disk = SimDisk::new();
        disk.perform(&DiskOp::Create(name(file))).unwrap();
        write(&mut disk, file, 0, text);
        disk.perform(&DiskOp::Sync(name(file))).unwrap();
        disk.perform(&DiskOp::SyncDir(Dir::Log)).unwrap();
        disk
    }

    #[test]
    fn the_process_sees_what_it_wrote_and_power_loss_keeps_what_was_synced() {
        let mut disk = synced("a", "one");
        write(&mut disk, "a", 3, "two");
        disk.perform(&DiskOp::SetLen { file: name("a"), len: 8 }).unwrap();
        assert_eq!(read(&disk, "a").unwrap(), "onetwo..");
        assert_eq!(read(&disk.durable(), "a").unwrap(), "one");
        disk.perform(&DiskOp::SetLen { file: name("a"), len: 2 }).unwrap();
        write(&mut disk, "a", 4, "x");
        assert_eq!(read(&disk, "a").unwrap(), "on..x");
        disk.perform(&DiskOp::Sync(name("a"))).unwrap();
        assert_eq!(read(&disk.durable(), "a").unwrap(), "on..x");
        assert!(disk.is_clean());
    }

    #[test]
    fn a_name_is_safe_only_after_its_directory_was_synced() {
        let mut disk = synced("a", "old");
        disk.perform(&DiskOp::Create(name("tmp"))).unwrap();
        write(&mut disk, "tmp", 0, "new");
        disk.perform(&DiskOp::Sync(name("tmp"))).unwrap();
        disk.perform(&DiskOp::Rename { from: name("tmp"), to: name("a") }).unwrap();
        assert_eq!(read(&disk, "a").unwrap(), "new");
        assert_eq!(read(&disk.durable(), "a").unwrap(), "old");
        disk.perform(&DiskOp::SyncDir(Dir::Data)).unwrap();
        assert_eq!(read(&disk.durable(), "a").unwrap(), "old");
        disk.perform(&DiskOp::SyncDir(Dir::Log)).unwrap();
        assert_eq!(read(&disk.durable(), "a").unwrap(), "new");
        assert_eq!(read(&disk, "tmp"), None);
        disk.perform(&DiskOp::Remove(name("a"))).unwrap();
        assert_eq!(read(&disk.durable(), "a").unwrap(), "new");
    }

    /// Every outcome that the model promises to try is tried, and none that it must not.
    #[test]
    fn unsynced_data_is_kept_lost_torn_or_out_of_order() {
        let mut seen = BTreeSet::new();
        for n in 0..400 {
            let mut disk = synced("a", "base");
            write(&mut disk, "a", 4, "11");
            write(&mut disk, "a", 6, "22");
            disk.perform(&DiskOp::Create(name("b"))).unwrap();
            let damage = disk.crash(&mut Decide::new(n).draw(About::Crash, 0, 0));
            assert_eq!(damage.unsynced, 2);
            assert!(disk.is_clean());
            let a = read(&disk, "a").unwrap();
            assert!(a.starts_with("base"), "{a}");
            assert_eq!(read(&disk.durable(), "a").unwrap(), a);
            seen.insert(a);
            seen.insert(format!("b: {}", read(&disk, "b").is_some()));
        }
        for outcome in ["base", "base11", "base1122", "base112", "base..22", "b: true", "b: false"]
        {
            assert!(seen.contains(outcome), "{outcome} in {seen:?}");
        }
    }

    #[test]
    fn emptying_a_file_in_place_can_lose_it() {
        let lost = (0..200).any(|n| {
            let mut disk = synced("epoch", "7");
            disk.perform(&DiskOp::Create(name("epoch"))).unwrap();
            write(&mut disk, "epoch", 0, "8");
            disk.crash(&mut Decide::new(n).draw(About::Crash, 0, 0));
            read(&disk, "epoch").unwrap().is_empty()
        });
        assert!(lost);
    }

    #[test]
    fn a_failed_sync_leaves_nothing_that_a_later_one_could_save() {
        let mut outcomes = BTreeSet::new();
        for n in 0..100 {
            let mut disk = synced("a", "base");
            write(&mut disk, "a", 4, "more");
            let op = DiskOp::Sync(name("a"));
            disk.fail_sync(&op, &mut Decide::new(n).draw(About::DiskError, 0, 0));
            let after = read(&disk, "a").unwrap();
            disk.perform(&op).unwrap();
            assert_eq!(read(&disk.durable(), "a").unwrap(), after);
            outcomes.insert(after);
        }
        assert!(outcomes.contains("base") && outcomes.contains("basemore"), "{outcomes:?}");
    }

    #[test]
    fn a_full_disk_takes_overwrites_and_refuses_growth() {
        let mut disk = synced("a", "base");
        disk.full = true;
        write(&mut disk, "a", 0, "BA");
        let bytes = Bytes::from_static(b"growing");
        let error = disk.perform(&DiskOp::Write { file: name("a"), offset: 4, bytes });
        assert!(error.unwrap_err().message.contains("no space"));
        assert!(disk.perform(&DiskOp::Create(name("b"))).is_err());
        assert_eq!(&read(&disk, "a").unwrap()[..4], "BAse");
    }

    #[test]
    fn clones_do_not_share_what_changes() {
        let mut disk = synced("a", "base");
        let copy = disk.clone();
        write(&mut disk, "a", 4, "more");
        disk.perform(&DiskOp::Sync(name("a"))).unwrap();
        assert_eq!(read(&copy, "a").unwrap(), "base");
        assert_eq!(disk.used(), 8);
    }
}
