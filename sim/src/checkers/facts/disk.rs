//! One server's files, followed operation by operation: which log records it holds, which of them
//! would survive a power loss, and the same of its epoch files and snapshots.
//!
//! "Would survive" is the worst case: a file's bytes count from its sync on, a name from the sync of
//! its directory on, and what was cut, removed or emptied counts as gone at once.

use std::collections::{BTreeMap, BTreeSet};

use zebu_core::ids::Zxid;
use zebu_core::storage::{Dir, Directory, DiskOp, FileName};

use crate::disk::SimDisk;
use crate::model::payload;

pub use super::file::Logged;
use super::file::{File, Name, SMALL};

#[derive(Clone, Debug, Default)]
pub struct DiskFacts {
    files: BTreeMap<u32, File>,
    names: BTreeMap<Name, u32>,
    safe_names: BTreeMap<Name, u32>,
    next_file: u32,
    last: u64,
    /// The same of the log alone.
    last_logged: u64,
    newest_snapshot: u64,
    durable: u64,
    accepted: Option<u32>,
    current: Option<u32>,
    safe_accepted: Option<u32>,
    safe_current: Option<u32>,
    /// Logs or snapshots were removed, and a power loss may bring them back.
    removed_unsynced: [bool; 2],
    /// Names that were made, changed or removed since their directory was synced.
    renamed: [BTreeSet<Name>; 2],
    /// The newest record that was written where a recovery would not look for it.
    stray: Option<u64>,
    /// A snapshot that can be seen and is not whole, or not certainly.
    unfinished: Option<u64>,
}

impl DiskFacts {
    /// The last zxid that a restart without power loss would find.
    pub fn last(&self) -> u64 {
        self.last
    }
    /// The last zxid that a restart after a power loss would find.
    pub fn durable(&self) -> u64 {
        self.durable
    }
    /// acceptedEpoch and currentEpoch as the files say now.
    pub fn epochs(&self) -> (Option<u32>, Option<u32>) {
        (self.accepted, self.current)
    }
    /// What a power loss would leave of them.
    pub fn safe_epochs(&self) -> (Option<u32>, Option<u32>) {
        (self.safe_accepted, self.safe_current)
    }
    /// Whether a power loss could bring back something that was cut off or removed.
    pub fn may_come_back(&self) -> bool {
        let names = || self.logs(&self.names);
        self.removed_unsynced.contains(&true) || names().any(|(_, file)| file.cut_unsynced)
    }
    /// A record that the last operation wrote behind a gap, where no recovery would look for it.
    pub fn stray(&self) -> Option<u64> {
        self.stray
    }
    /// A snapshot that the last operation made visible, or changed, and that a power loss could leave
    /// incomplete.
    pub fn unfinished_snapshot(&self) -> Option<u64> {
        self.unfinished
    }
    /// The last zxid of the history here that is smaller than `bound`.
    pub fn last_below(&self, bound: u64) -> u64 {
        let logs = self.logs(&self.names).map(|(_, file)| file);
        let logged = logs
            .filter_map(|file| {
                let below = file.chain.partition_point(|place| place.zxid < bound);
                Some(file.chain.get(below.checked_sub(1)?)?.zxid)
            })
            .max();
        let snapshot = self.snapshots(&self.names).filter(|z| *z < bound).max();
        logged.max(snapshot).unwrap_or(0)
    }
    /// All zxids in the log, in the order of the files.
    pub fn zxids(&self) -> impl Iterator<Item = u64> {
        self.logs(&self.names).flat_map(|(_, file)| file.chain.iter().map(|place| place.zxid))
    }
    /// The newest snapshot that is there at all.
    pub fn newest_snapshot(&self) -> u64 {
        self.newest_snapshot
    }

    /// Whether the newest state could be rebuilt if the newest snapshot were lost.
    pub fn would_do_without_newest_snapshot(&self) -> bool {
        let before = self.snapshots(&self.names).rev().nth(1);
        let reach = |snapshot| self.reach(&self.names, snapshot, |file| file.chain.len());
        before.is_some_and(|snapshot| reach(snapshot) >= self.last)
    }

    /// An operation was performed, or refused; the records it added.
    pub fn observe(&mut self, op: &DiskOp, done: bool) -> Vec<Logged> {
        let mut found = Vec::new();
        self.stray = None;
        self.unfinished = None;
        if !done {
            if let DiskOp::Write { file, .. } | DiskOp::Sync(file) = op
                && let Some(file) = self.file(file)
            {
                file.failed = true;
            }
            return found;
        }
        // The marks are counted anew only where they may have changed: there are many files, and
        // nearly every operation is an append or its sync.
        let recount = match op {
            DiskOp::Create(name) => {
                let new = !self.names.contains_key(&Name::of(name));
                self.create(name);
                !(new && matches!(Name::of(name), Name::Log(_) | Name::Other(_)))
            }
            DiskOp::Write { file, offset, bytes } => {
                self.write(file, *offset as usize, bytes, &mut found)
            }
            DiskOp::SetLen { file: name, len } => {
                let Some(file) = self.file(name) else { return found };
                file.clean = false;
                let records = file.chain.len();
                file.cut(*len as usize);
                file.content.truncate(*len as usize);
                let cut = file.chain.len() < records;
                file.cut_unsynced |= cut;
                cut || !matches!(Name::of(name), Name::Log(_))
            }
            DiskOp::Sync(name) => {
                let Some(file) = self.file(name) else { return found };
                file.sync();
                match Name::of(name) {
                    Name::Log(zxid) => !self.extends_durable(zxid),
                    Name::Other(_) => false,
                    Name::Snapshot(_) | Name::AcceptedEpoch | Name::CurrentEpoch => true,
                }
            }
            DiskOp::Rename { from, to } => {
                if let Some(id) = self.names.remove(&Name::of(from)) {
                    self.names.insert(Name::of(to), id);
                }
                self.renames(Name::of(from));
                self.renames(Name::of(to));
                true
            }
            DiskOp::Remove(name) => {
                let name = Name::of(name);
                let id = self.names.remove(&name);
                self.renames(name.clone());
                let was_safe = self.safe_names.remove(&name).is_some();
                let kept = matches!(name, Name::Log(_) | Name::Snapshot(_));
                self.removed_unsynced[name.dir() as usize] |= was_safe && self.matters(&name, id);
                kept
            }
            DiskOp::SyncDir(dir) => {
                self.sync_dir(*dir);
                true
            }
        };
        if let DiskOp::Create(name)
        | DiskOp::Write { file: name, .. }
        | DiskOp::SetLen { file: name, .. }
        | DiskOp::Rename { to: name, .. } = op
            && let Name::Snapshot(zxid) = Name::of(name)
        {
            let whole = self.file(name).is_some_and(|file| file.clean);
            self.unfinished = (!whole).then_some(zxid);
        }
        if recount {
            self.recount();
        }
        found
    }

    /// True when marks may have gone back.
    fn write(
        &mut self,
        name: &FileName,
        offset: usize,
        bytes: &[u8],
        found: &mut Vec<Logged>,
    ) -> bool {
        let before = self.last_logged;
        let is_newest = self.names.range(Name::Log(0)..=Name::Log(u64::MAX)).next_back();
        let is_newest = is_newest.is_some_and(|(newest, _)| *newest == Name::of(name));
        let Some(file) = self.file(name) else { return false };
        let records = file.chain.len();
        file.write(offset, bytes);
        match Name::of(name) {
            Name::Other(_) => return false,
            Name::Snapshot(_) | Name::AcceptedEpoch | Name::CurrentEpoch => return true,
            Name::Log(_) => {}
        }
        let cut = file.chain.len() < records;
        file.parse(found);
        if let (true, Some(record)) = (found.is_empty(), payload::record(bytes)) {
            self.stray = payload::zxid_of(record.payload);
        }
        let first = found.first().map_or(0, |record| record.zxid);
        let snapshot = self.snapshots(&self.names).take_while(|zxid| *zxid < first).last();
        link(found, before, snapshot.unwrap_or(0));
        if let Some(newest) = found.last() {
            self.last_logged = newest.zxid;
            self.last = self.last.max(newest.zxid);
        }
        cut || !is_newest
    }

    /// Does a log file that was synced now simply go on where what is durable ended?
    fn extends_durable(&mut self, name: u64) -> bool {
        let name = Name::Log(name);
        let id = self.names.get(&name);
        let safe_name = id.is_some() && self.safe_names.get(&name) == id;
        let Some(file) = id.and_then(|id| self.files.get(id)).filter(|_| safe_name) else {
            return false;
        };
        let (Some(first), Some(last)) = (file.chain.first(), file.chain.last()) else {
            return false;
        };
        let same_epoch = first.zxid >> 32 == self.durable >> 32;
        let goes_on = first.zxid <= self.durable + 1 && last.zxid >= self.durable;
        if same_epoch && goes_on && file.safe == file.chain.len() {
            self.durable = last.zxid;
        }
        same_epoch && goes_on && file.safe == file.chain.len()
    }

    /// Would this file, were it back, be a part of the history? What is below the newest snapshot is
    /// none.
    fn matters(&self, name: &Name, id: Option<u32>) -> bool {
        let newest = self.snapshots(&self.names).next_back().unwrap_or(0);
        match name {
            Name::Snapshot(zxid) => *zxid > newest,
            Name::Log(_) => {
                let file = id.and_then(|id| self.files.get(&id));
                let last = file.and_then(|file| file.chain.last());
                last.is_some_and(|last| last.zxid > newest)
            }
            Name::AcceptedEpoch | Name::CurrentEpoch | Name::Other(_) => false,
        }
    }

    fn sync_dir(&mut self, dir: Dir) {
        self.removed_unsynced[dir as usize] = false;
        for name in std::mem::take(&mut self.renamed[dir as usize]) {
            let before = match self.names.get(&name) {
                Some(id) => self.safe_names.insert(name, *id),
                None => self.safe_names.remove(&name),
            };
            let mut named = self.names.values().chain(self.safe_names.values());
            if let Some(gone) = before.filter(|before| !named.any(|id| id == before)) {
                self.files.remove(&gone);
            }
        }
    }
    /// A name means something else until its directory is synced.
    fn renames(&mut self, name: Name) {
        self.renamed[name.dir() as usize].insert(name);
    }

    /// Everything anew: what a process sees, and what of it a power loss would leave.
    pub fn rescan(&mut self, disk: &SimDisk) {
        *self = Self::default();
        let certain = disk.durable();
        for dir in [Dir::Data, Dir::Log] {
            for (name, len) in disk.list(dir).unwrap_or_default() {
                self.rescan_file(disk, &certain, &FileName { dir, name }, len);
            }
            for (name, _) in certain.list(dir).unwrap_or_default() {
                let name = Name::of(&FileName { dir, name });
                let kept = matches!(name, Name::Log(_) | Name::Snapshot(_));
                self.removed_unsynced[dir as usize] |= kept && !self.names.contains_key(&name);
            }
        }
        self.recount();
    }

    fn rescan_file(&mut self, disk: &SimDisk, certain: &SimDisk, file_name: &FileName, len: u64) {
        self.create(file_name);
        let name = Name::of(file_name);
        let id = self.names[&name];
        let file = self.files.get_mut(&id).expect("just made");
        let Some(content) = read(disk, file_name, len) else { return };
        let safe = certain.len_of(file_name).and_then(|len| read(certain, file_name, len));
        let safe_bytes = safe.as_deref().unwrap_or_default();
        file.clean = content == safe_bytes;
        let same = if file.clean { content.len() } else { common_start(&content, safe_bytes) };
        let is_log = matches!(name, Name::Log(_));
        if !file.is_snapshot {
            file.content = content;
        }
        if is_log {
            file.parse(&mut Vec::new());
            file.safe = file.chain.partition_point(|place| place.end <= same);
            if !file.clean {
                let mut before = File { content: safe_bytes.to_vec(), ..File::default() };
                before.parse(&mut Vec::new());
                file.cut_unsynced = before.chain.len() > file.chain.len();
            }
        }
        if safe_bytes.len() <= SMALL {
            file.safe_small = safe_bytes.to_vec();
        }
        if safe.is_some() {
            self.safe_names.insert(name, id);
        }
    }

    fn create(&mut self, file_name: &FileName) {
        let name = Name::of(file_name);
        let is_snapshot = file_name.name.contains("snapshot");
        if let Some(file) = self.names.get(&name).and_then(|id| self.files.get_mut(id)) {
            // Emptied in place: what was safe in it may be gone, too.
            *file = File { is_snapshot, ..File::default() };
            return;
        }
        let id = self.next_file;
        self.next_file += 1;
        self.files.insert(id, File { is_snapshot, ..File::default() });
        self.names.insert(name.clone(), id);
        self.renames(name);
    }

    fn file(&mut self, name: &FileName) -> Option<&mut File> {
        self.files.get_mut(self.names.get(&Name::of(name))?)
    }
    fn logs<'a>(
        &'a self,
        names: &'a BTreeMap<Name, u32>,
    ) -> impl DoubleEndedIterator<Item = (u64, &'a File)> {
        names.range(Name::Log(0)..=Name::Log(u64::MAX)).filter_map(|(name, id)| match name {
            Name::Log(zxid) => Some((*zxid, self.files.get(id)?)),
            _ => None,
        })
    }
    fn snapshots<'a>(
        &self,
        names: &'a BTreeMap<Name, u32>,
    ) -> impl DoubleEndedIterator<Item = u64> + 'a {
        names.range(Name::Snapshot(0)..=Name::Snapshot(u64::MAX)).map(|(name, _)| match name {
            Name::Snapshot(zxid) => *zxid,
            _ => 0,
        })
    }

    fn recount(&mut self) {
        let newest = self.logs(&self.names).rev().find_map(|(_, file)| file.chain.last().copied());
        self.last_logged = newest.map_or(0, |place| place.zxid);
        self.newest_snapshot = self.snapshots(&self.names).next_back().unwrap_or(0);
        self.last = self.last_logged.max(self.newest_snapshot);
        self.durable = self.count_durable();
        let small = |names: &BTreeMap<Name, u32>, name: Name, safe: bool| {
            let file = self.files.get(names.get(&name)?)?;
            File::number(if safe { &file.safe_small } else { &file.content })
        };
        self.accepted = small(&self.names, Name::AcceptedEpoch, false);
        self.current = small(&self.names, Name::CurrentEpoch, false);
        self.safe_accepted = small(&self.safe_names, Name::AcceptedEpoch, true);
        self.safe_current = small(&self.safe_names, Name::CurrentEpoch, true);
    }

    /// From the newest safe snapshot on, as far as safe records follow each other.
    fn count_durable(&self) -> u64 {
        let snapshots = Name::Snapshot(0)..=Name::Snapshot(u64::MAX);
        let safe = self.safe_names.range(snapshots).rev().find_map(|(name, id)| match name {
            Name::Snapshot(zxid) if self.files.get(id)?.clean => Some(*zxid),
            _ => None,
        });
        self.reach(&self.safe_names, safe.unwrap_or(0), |file| file.safe)
    }

    /// How far the records lead from `upto` on, one behind the other, where each file has so many as
    /// `kept` says.
    fn reach(
        &self,
        names: &BTreeMap<Name, u32>,
        mut upto: u64,
        kept: impl Fn(&File) -> usize,
    ) -> u64 {
        // Files before the one that may hold what follows have nothing that counts any more.
        let first = names.range(Name::Log(0)..=Name::Log(upto)).next_back();
        let first = first.map_or(Name::Log(0), |(name, _)| name.clone());
        for (_, id) in names.range(first..=Name::Log(u64::MAX)) {
            let Some(file) = self.files.get(id) else { break };
            let records = &file.chain[..kept(file)];
            let behind = records.partition_point(|place| place.zxid <= upto);
            if let Some(first) = records.get(behind) {
                if !Zxid(first.zxid).follows(Zxid(upto)) {
                    break;
                }
                upto = records.last().map_or(upto, |place| place.zxid);
            }
            if records.len() < file.chain.len() {
                break;
            }
        }
        upto
    }
}

fn read(disk: &SimDisk, file: &FileName, len: u64) -> Option<Vec<u8>> {
    let mut content = vec![0; len as usize];
    let read = disk.read(file, 0, &mut content).ok()?;
    content.truncate(read);
    Some(content)
}

/// How many bytes both begin with.
fn common_start(a: &[u8], b: &[u8]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}

/// Each record follows the one found before it, the first one what was there: the end of the log or,
/// when the log begins anew behind an installed snapshot, that: the newest one below it. (A server's
/// own snapshots may be ahead of its log: it applies what a quorum has, also before its own disk has
/// it.)
fn link(found: &mut [Logged], logged: u64, snapshot: u64) {
    let mut ends = [logged, snapshot];
    for record in found {
        let before = ends.iter().copied().filter(|end| *end < record.zxid).max();
        record.before = before.unwrap_or(logged);
        ends[0] = record.zxid;
    }
}

#[cfg(test)]
pub mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::model::payload::{LOG_HEADER, write};
    use crate::model::tests::{create, txn};

    pub fn log(name: &str) -> FileName {
        FileName { dir: Dir::Log, name: name.into() }
    }
    pub fn data(name: &str) -> FileName {
        FileName { dir: Dir::Data, name: name.into() }
    }
    /// A log file's header and the records of `zxids`.
    pub fn records(zxids: &[u64], with_header: bool) -> Bytes {
        let mut bytes = if with_header { vec![0; LOG_HEADER] } else { vec![] };
        for zxid in zxids {
            bytes.extend(write::record(&write::txn(&txn(*zxid, 5, 1, create("/a", 1, false)))));
        }
        bytes.into()
    }
    fn run(disk: &mut DiskFacts, ops: &[DiskOp]) -> Vec<u64> {
        ops.iter().flat_map(|op| disk.observe(op, true)).map(|logged| logged.zxid).collect()
    }

    #[test]
    fn a_record_counts_when_file_and_name_are_synced() {
        let mut disk = DiskFacts::default();
        let found = run(
            &mut disk,
            &[
                DiskOp::Create(log("log.1")),
                DiskOp::Write { file: log("log.1"), offset: 0, bytes: records(&[1, 2], true) },
            ],
        );
        assert_eq!(found, [1, 2]);
        assert_eq!((disk.last(), disk.durable()), (2, 0));
        run(&mut disk, &[DiskOp::Sync(log("log.1"))]);
        assert_eq!(disk.durable(), 0, "the name may be lost");
        run(&mut disk, &[DiskOp::SyncDir(Dir::Log)]);
        assert_eq!(disk.durable(), 2);

        let offset = records(&[1, 2], true).len() as u64;
        let write =
            |zxid| DiskOp::Write { file: log("log.1"), offset, bytes: records(&[zxid], false) };
        run(&mut disk, &[write(3)]);
        assert_eq!((disk.last(), disk.durable()), (3, 2));
        assert!(disk.observe(&DiskOp::Sync(log("log.1")), false).is_empty());
        run(&mut disk, &[DiskOp::Sync(log("log.1"))]);
        assert_eq!(disk.durable(), 2, "a sync after a failed one saves nothing");
        run(&mut disk, &[DiskOp::SetLen { file: log("log.1"), len: offset / 2 + 8 }]);
        assert_eq!((disk.last(), disk.durable()), (1, 1), "cut is gone at once");
    }

    /// What was installed is what the log goes on from, also when the server's own snapshots are ahead.
    #[test]
    fn a_log_goes_on_from_the_newest_snapshot_below_it() {
        let mut disk = DiskFacts::default();
        run(
            &mut disk,
            &[
                DiskOp::Create(data("snapshot.5")),
                DiskOp::Create(data("snapshot.9")),
                DiskOp::Create(log("log.6")),
            ],
        );
        let bytes = records(&[6, 7], true);
        let found = disk.observe(&DiskOp::Write { file: log("log.6"), offset: 0, bytes }, true);
        let follow: Vec<_> = found.iter().map(|logged| (logged.zxid, logged.before)).collect();
        assert_eq!(follow, [(6, 5), (7, 6)]);
    }

    #[test]
    fn a_hole_between_files_ends_what_is_durable() {
        let mut disk = DiskFacts::default();
        for (name, zxid) in [("log.1", 1), ("log.3", 3)] {
            run(
                &mut disk,
                &[
                    DiskOp::Create(log(name)),
                    DiskOp::Write { file: log(name), offset: 0, bytes: records(&[zxid], true) },
                    DiskOp::Sync(log(name)),
                    DiskOp::SyncDir(Dir::Log),
                ],
            );
        }
        assert_eq!((disk.last(), disk.durable()), (3, 1));
        let snapshot = data("snapshot.2");
        run(
            &mut disk,
            &[DiskOp::Create(snapshot.clone()), DiskOp::Sync(snapshot), DiskOp::SyncDir(Dir::Data)],
        );
        assert_eq!(disk.durable(), 3, "from the snapshot on there is no hole");
        assert_eq!(disk.last_below(3), 2);
    }

    #[test]
    fn an_epoch_file_changes_with_the_directory() {
        let mut disk = DiskFacts::default();
        let (tmp, file) = (data("acceptedEpoch.tmp"), data("acceptedEpoch"));
        let ops = |text: &'static [u8]| {
            [
                DiskOp::Create(tmp.clone()),
                DiskOp::Write { file: tmp.clone(), offset: 0, bytes: Bytes::from_static(text) },
                DiskOp::Sync(tmp.clone()),
                DiskOp::Rename { from: tmp.clone(), to: file.clone() },
                DiskOp::SyncDir(Dir::Data),
            ]
        };
        run(&mut disk, &ops(b"3"));
        assert_eq!(disk.safe_epochs().0, Some(3));
        run(&mut disk, &ops(b"4")[..4]);
        assert_eq!((disk.epochs().0, disk.safe_epochs().0), (Some(4), Some(3)));
        run(&mut disk, &[DiskOp::Create(file.clone())]);
        assert_eq!(disk.epochs().0, None, "emptied in place");
    }

    #[test]
    fn a_snapshot_is_shown_when_it_is_whole() {
        let mut disk = DiskFacts::default();
        let (tmp, file) = (data("snapshot.2.tmp"), data("snapshot.2"));
        let write = DiskOp::Write { file: tmp.clone(), offset: 0, bytes: Bytes::from_static(b"x") };
        let show = DiskOp::Rename { from: tmp.clone(), to: file };
        run(&mut disk, &[DiskOp::Create(tmp.clone()), write.clone(), show.clone()]);
        assert_eq!(disk.unfinished_snapshot(), Some(2));
        run(&mut disk, &[DiskOp::Create(tmp.clone()), write, DiskOp::Sync(tmp), show]);
        assert_eq!(disk.unfinished_snapshot(), None);
    }
}
