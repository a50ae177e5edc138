//! Power lost between any two operations, with every kind of damage that it may do, and again while
//! the damage is put right: what was durable is there, what was under way is there or is not, and
//! nothing else is.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use zebu_core::ids::{Epoch, SessionId, Xid, Zxid};
use zebu_core::mutant::Mutant;
use zebu_core::proto::Acl;
use zebu_core::server::{Epochs, Recovered, StoreOp};
use zebu_core::storage::{
    Dir, DiskOp, SnapshotWriter, Storage, StorageConfig, StreamEncoder, purge_plan,
};
use zebu_core::time::WallTime;
use zebu_core::tree::Database;
use zebu_core::txn::{CreateTxn, Entry, Txn, TxnBody, TxnHeader, codec};

use crate::model_disk::{ModelDisk, changes};
use crate::samples;

/// A transaction whose record takes a few bytes, or a few sectors.
pub(crate) fn entry(zxid: Zxid) -> Entry {
    let data = vec![b'x'; if zxid.0.is_multiple_of(3) { 1700 } else { 10 }];
    let header =
        TxnHeader { session: SessionId(1), cxid: Xid(1), zxid, time: WallTime(zxid.0 as i64) };
    let body = TxnBody::Create(CreateTxn {
        path: format!("/n{zxid:x}"),
        data: Some(Bytes::from(data)),
        acl: if zxid.0.is_multiple_of(2) { Acl::open() } else { vec![Acl::world(1)] },
        ephemeral: false,
        parent_cversion: -1,
    });
    codec::encode(Txn { header, body, digest: None })
}

pub(crate) fn zxid(epoch: u32, counter: u32) -> Zxid {
    Zxid::new(Epoch(epoch), counter)
}

fn content(database: &Database) -> Vec<u8> {
    let mut bytes = Vec::new();
    while StreamEncoder::new(Arc::new(database.clone())).encode(&mut bytes, usize::MAX) {}
    bytes
}

/// A server's storage, the history that it was given, and what of that a power loss may leave.
#[derive(Clone)]
struct Run {
    disk: ModelDisk,
    storage: Storage,
    database: Database,
    epochs: Epochs,
    /// The state at each zxid of the present history that recovery may come back with.
    states: BTreeMap<Zxid, Vec<u8>>,
    config: StorageConfig,
    crashes: usize,
}

impl Run {
    fn begin(prealloc_bytes: u64) -> Self {
        Self::with(prealloc_bytes, None)
    }

    fn with(prealloc_bytes: u64, mutant: Option<Mutant>) -> Self {
        let config =
            StorageConfig { prealloc_bytes, commit_log_count: 3, mutant, ..samples::config() };
        let empty = ModelDisk::default();
        let (storage, recovered, repairs) = Storage::open(config.clone(), &empty).unwrap();
        let mut run = Self {
            disk: empty,
            storage,
            database: recovered.database,
            epochs: recovered.epochs,
            states: BTreeMap::new(),
            config,
            crashes: 0,
        };
        run.settled();
        run.perform(&repairs, &[Epochs::default()]);
        run
    }

    /// From now on only the present state may come back.
    fn settled(&mut self) {
        self.states = [(self.database.last_processed, content(&self.database))].into();
    }

    /// Performs the operations and loses power after each of them.
    fn perform(&mut self, ops: &[DiskOp], epochs: &[Epochs]) {
        self.check_crashes(epochs);
        for op in ops {
            self.disk.perform(op);
            self.check_crashes(epochs);
        }
    }

    fn check_crashes(&mut self, epochs: &[Epochs]) {
        for (how, disk) in self.disk.crashes() {
            self.crashes += 1;
            let (first, repairs) = self.recover(&disk, epochs, &how);
            // Power is lost again while the damage is put right.
            let mut repaired = disk.clone();
            for op in &repairs {
                repaired.perform(op);
                for (how_again, disk) in repaired.crashes() {
                    let how = format!("{how}, then after {op:?} {how_again}");
                    let (again, _) = self.recover(&disk, epochs, &how);
                    assert_eq!(again, first, "{how}");
                }
            }
            let (again, nothing) = self.recover(&repaired, epochs, &how);
            assert_eq!((again, changes(nothing)), (first, vec![]), "{how}");
            self.go_on(&repaired, &how);
        }
    }

    fn recover(&self, disk: &ModelDisk, epochs: &[Epochs], how: &str) -> (Zxid, Vec<DiskOp>) {
        let (_, recovered, repairs) = Storage::open(self.config.clone(), disk)
            .unwrap_or_else(|error| panic!("{how}: {error} {:?}", disk.names()));
        let last = recovered.database.last_processed;
        let state = self.states.get(&last).unwrap_or_else(|| panic!("{how}: came back at {last}"));
        assert!(*state == content(&recovered.database), "{how}: another state at {last}");
        let raised = |e: &Epochs| Epochs { current: e.current.max(last.epoch()), ..*e };
        let expected = epochs.iter().map(raised).any(|epochs| epochs == recovered.epochs);
        assert!(expected, "{how}: {:?}", recovered.epochs);
        check_window(&recovered);
        (last, repairs)
    }

    /// What is appended after the start is there after the next.
    fn go_on(&self, disk: &ModelDisk, how: &str) {
        let mut disk = disk.clone();
        let (mut storage, recovered, _) = Storage::open(self.config.clone(), &disk).unwrap();
        let next = zxid(recovered.epochs.current.0 + 7, 1);
        let append = vec![StoreOp::Append(vec![entry(next)])];
        let epoch = Epoch(recovered.epochs.current.0 + 7);
        let mut ops = vec![StoreOp::SaveAcceptedEpoch(epoch), StoreOp::SaveCurrentEpoch(epoch)];
        ops.extend(append);
        let ops = storage.plan(ops, &disk).unwrap();
        disk.perform_all(&ops);
        let (_, again, repairs) = Storage::open(self.config.clone(), &disk)
            .unwrap_or_else(|error| panic!("{how}, gone on: {error}"));
        assert_eq!((again.database.last_processed, changes(repairs)), (next, vec![]), "{how}");
        let mut expected = recovered.database;
        expected.apply(&entry(next).txn);
        assert!(content(&expected) == content(&again.database), "{how}, gone on");
    }

    fn append(&mut self, zxids: &[Zxid]) {
        self.settled();
        let entries: Vec<_> = zxids.iter().copied().map(entry).collect();
        for entry in &entries {
            self.database.apply(&entry.txn);
            self.states.insert(entry.zxid(), content(&self.database));
        }
        // One by one, as a driver gathers them.
        let ops = entries.into_iter().map(|entry| StoreOp::Append(vec![entry])).collect();
        let ops = self.storage.plan(ops, &self.disk).unwrap();
        assert_eq!(ops.iter().filter(|op| matches!(op, DiskOp::Sync(_))).count(), 1);
        self.perform(&ops, &[self.epochs]);
        self.settled();
        assert_eq!(self.disk.crashes().len(), 1, "all of it is durable");
        self.perform(&[], &[self.epochs]);
    }

    fn snapshot(&mut self) {
        self.storage.roll();
        let ops: Vec<_> = SnapshotWriter::new(self.database.clone(), &self.config).collect();
        self.perform(&ops, &[self.epochs]);
    }

    fn accept_epoch(&mut self, epoch: u32) {
        let ops = vec![StoreOp::SaveAcceptedEpoch(Epoch(epoch))];
        let ops = self.storage.plan(ops, &self.disk).unwrap();
        let old = self.epochs;
        self.epochs.accepted = Epoch(epoch);
        self.perform(&ops, &[old, self.epochs]);
        self.perform(&[], &[self.epochs]);
    }

    fn save_epochs(&mut self, epoch: u32) {
        let epoch = Epoch(epoch);
        let ops = vec![StoreOp::SaveAcceptedEpoch(epoch), StoreOp::SaveCurrentEpoch(epoch)];
        let ops = self.storage.plan(ops, &self.disk).unwrap();
        let old = self.epochs;
        self.epochs = Epochs { accepted: epoch, current: epoch };
        self.perform(&ops, &[old, Epochs { current: old.current, ..self.epochs }, self.epochs]);
        self.perform(&[], &[self.epochs]);
    }

    /// `kept`: the history up to `after`, `above`: what follows now.
    fn truncate(&mut self, after: Zxid, mut states: BTreeMap<Zxid, (Database, Vec<u8>)>) {
        let ops = vec![StoreOp::Truncate { after }];
        let ops = self.storage.plan(ops, &self.disk).unwrap();
        self.database = states[&after].0.clone();
        let all = states.split_off(&after);
        self.states = all.into_iter().map(|(zxid, (_, content))| (zxid, content)).collect();
        self.perform(&ops, &[self.epochs]);
        self.settled();
        let recovered = self.storage.recover(&self.disk).unwrap();
        assert_eq!(recovered.database.last_processed, after);
        self.perform(&[], &[self.epochs]);
    }

    fn install(&mut self, database: Database, may_lose: BTreeMap<Zxid, Vec<u8>>) {
        let ops = vec![StoreOp::Install(Box::new(database.clone()))];
        let ops = self.storage.plan(ops, &self.disk).unwrap();
        self.settled();
        self.states.extend(may_lose);
        self.states.insert(database.last_processed, content(&database));
        self.database = database;
        self.perform(&ops, &[self.epochs]);
        self.settled();
        self.perform(&[], &[self.epochs]);
    }
}

fn check_window(recovered: &Recovered) {
    let window = &recovered.window;
    assert!(window.len() <= 3);
    for pair in window.windows(2) {
        assert!(pair[1].zxid().follows(pair[0].zxid()));
    }
    if let Some(newest) = window.last() {
        assert_eq!(newest.zxid(), recovered.database.last_processed);
    }
}

/// The states of a history, and the database at its end.
fn history(zxids: &[Zxid]) -> BTreeMap<Zxid, (Database, Vec<u8>)> {
    let mut database = Database::new();
    let mut states: BTreeMap<_, _> = [(Zxid::ZERO, (database.clone(), content(&database)))].into();
    for zxid in zxids {
        database.apply(&entry(*zxid).txn);
        states.insert(*zxid, (database.clone(), content(&database)));
    }
    states
}

fn range(epoch: u32, counters: std::ops::RangeInclusive<u32>) -> Vec<Zxid> {
    counters.map(|counter| zxid(epoch, counter)).collect()
}

const PREALLOC: [u64; 2] = [0, 8192];

#[test]
fn the_first_start_of_all() {
    assert!(Run::begin(0).crashes > 10);
}

#[test]
fn appends_over_several_files_and_epochs() {
    for prealloc in PREALLOC {
        let mut run = Run::begin(prealloc);
        run.save_epochs(1);
        run.append(&range(1, 1..=1));
        run.append(&range(1, 2..=6));
        run.snapshot();
        run.append(&range(1, 7..=9));
        run.append(&range(1, 10..=14));
        run.save_epochs(3);
        run.append(&range(3, 1..=2));
        run.snapshot();
        run.append(&range(3, 3..=3));
    }
}

/// The checks above can fail.
#[cfg(feature = "mutants")]
#[test]
fn each_planted_mistake_is_found() {
    fn story(mutant: Option<Mutant>) {
        let zxids = range(1, 1..=6);
        let mut run = Run::with(0, mutant);
        run.save_epochs(1);
        run.append(&zxids[..2]);
        run.snapshot();
        run.append(&zxids[2..]);
        run.snapshot();
        run.truncate(zxid(1, 4), history(&zxids));
        run.accept_epoch(2);
        let database = history(&range(1, 1..=3)).pop_last().unwrap().1.0;
        let may_lose = [(zxid(1, 4), history(&zxids)[&zxid(1, 4)].1.clone())];
        run.install(database, may_lose.into());
    }
    story(None);
    for mutant in [
        Mutant::EpochWriteInPlace,
        Mutant::NoDirSync,
        Mutant::TailGarbageKept,
        Mutant::SnapRenameBeforeSync,
        Mutant::SnapKeepsOldSuffix,
        Mutant::TruncKeepsNewerSnapshot,
        Mutant::TruncOffByOne,
    ] {
        let found = std::panic::catch_unwind(|| story(Some(mutant)));
        assert!(found.is_err(), "{mutant:?} was not found");
    }
}

#[test]
fn truncation_to_each_record() {
    let zxids = range(1, 1..=9);
    for after in [2, 4, 5, 6, 9] {
        let mut run = Run::begin(8192);
        run.save_epochs(1);
        run.append(&zxids[..1]);
        run.append(&zxids[1..4]);
        run.storage.roll();
        run.append(&zxids[4..6]);
        run.storage.roll();
        run.append(&zxids[6..]);
        run.truncate(zxid(1, after), history(&zxids));
        run.save_epochs(2);
        run.append(&range(2, 1..=2));
    }
}

#[test]
fn truncation_below_newer_snapshots() {
    let zxids = range(1, 1..=6);
    for after in [2, 3, 5] {
        let mut run = Run::begin(0);
        run.save_epochs(1);
        run.append(&zxids[..2]);
        run.snapshot();
        run.append(&zxids[2..4]);
        run.snapshot();
        run.append(&zxids[4..]);
        run.snapshot();
        run.truncate(zxid(1, after), history(&zxids));
        run.save_epochs(2);
        run.append(&range(2, 1..=2));
        run.append(&range(2, 3..=3));
    }
}

#[test]
fn truncation_of_everything_and_of_nothing() {
    let zxids = range(1, 1..=3);
    for after in [Zxid::ZERO, zxid(1, 3)] {
        let mut run = Run::begin(0);
        run.save_epochs(1);
        run.append(&zxids);
        run.truncate(after, history(&zxids));
        run.save_epochs(2);
        run.append(&range(2, 1..=2));
    }
}

#[test]
fn what_is_not_in_the_log_cannot_be_cut_behind() {
    let mut run = Run::begin(0);
    run.save_epochs(1);
    run.append(&range(1, 1..=3));
    for after in [zxid(1, 4), zxid(2, 0), zxid(0, 1)] {
        let plan = run.storage.clone().plan(vec![StoreOp::Truncate { after }], &run.disk);
        let error = plan.unwrap_err().to_string();
        assert!(error.contains("expected a record"), "{error}");
    }
}

#[test]
fn truncation_in_the_same_plan_as_the_append() {
    let mut run = Run::begin(8192);
    run.save_epochs(1);
    run.append(&range(1, 1..=2));
    let ops = vec![
        StoreOp::Append(vec![entry(zxid(1, 3)), entry(zxid(1, 4))]),
        StoreOp::Truncate { after: zxid(1, 3) },
    ];
    let ops = run.storage.plan(ops, &run.disk).unwrap();
    run.disk.perform_all(&ops);
    let recovered = run.storage.recover(&run.disk).unwrap();
    assert_eq!(recovered.database.last_processed, zxid(1, 3));
}

#[test]
fn a_received_snapshot_replaces_everything() {
    // From far ahead; from another branch whose history ends where an epoch begins; from behind.
    let mut ahead = history(&range(2, 1..=3)).pop_last().unwrap().1.0;
    let mut branch = ahead.clone();
    branch.last_processed = zxid(2, 0);
    ahead.last_processed = zxid(2, 40);
    let behind = history(&range(1, 1..=3)).pop_last().unwrap().1.0;
    for database in [ahead, branch, behind] {
        for snapshot in [false, true] {
            let mut run = Run::begin(8192);
            run.save_epochs(1);
            run.append(&range(1, 1..=2));
            run.storage.roll();
            run.append(&range(1, 3..=5));
            if snapshot {
                run.snapshot();
            }
            run.append(&range(1, 6..=7));
            let at = database.last_processed;
            let mut may_lose = history(&range(1, 1..=7)).split_off(&at);
            may_lose.remove(&at);
            let may_lose = may_lose.into_iter().map(|(zxid, (_, content))| (zxid, content));
            run.accept_epoch(2);
            run.install(database.clone(), may_lose.collect());
            run.save_epochs(2);
            run.append(&[at.next().unwrap()]);
        }
    }
}

#[test]
fn a_purge_leaves_enough_for_the_loss_of_any_snapshot() {
    let mut run = Run::begin(0);
    run.save_epochs(1);
    for n in 0..6 {
        run.append(&range(1, n * 2 + 1..=n * 2 + 2));
        run.snapshot();
    }
    run.append(&range(1, 13..=13));
    // One that is not intact does not count.
    run.disk.content(Dir::Data, "snapshot.10000000a")[30] ^= 1;
    let ops = purge_plan(&run.disk, 1, &samples::config()).unwrap();
    let snapshots = |disk: &ModelDisk| {
        disk.names().into_iter().filter(|n| n.starts_with("snapshot.1")).collect::<Vec<_>>()
    };
    run.disk.perform_all(&ops);
    let names = ["6", "8", "a", "c"].map(|n| format!("snapshot.10000000{n}"));
    let mut kept = snapshots(&run.disk);
    kept.sort();
    // 6 is the oldest that is kept: 8 and c are the other two intact ones.
    assert_eq!(kept, names);
    for name in names {
        let mut disk = run.disk.clone();
        disk.remove(Dir::Data, &name);
        let (_, recovered, _) = Storage::open(run.config.clone(), &disk).unwrap();
        assert!(content(&recovered.database) == content(&run.database), "without {name}");
    }
    assert_eq!(purge_plan(&run.disk, 1, &samples::config()).unwrap(), [], "once is enough");
}

/// A killed process loses nothing, for the system keeps its cache; what is recovered from the cache
/// is voted for, so it must be durable first.
#[test]
fn what_a_killed_process_left_in_a_cache_is_durable_after_the_start() {
    let mut run = Run::begin(1 << 16);
    let (accepted, current) =
        (StoreOp::SaveAcceptedEpoch(Epoch(1)), StoreOp::SaveCurrentEpoch(Epoch(1)));
    let begun = run.storage.plan(vec![accepted, current, append(1, 1)], &run.disk).unwrap();
    run.disk.perform_all(&begun);
    let ops = run.storage.plan(vec![append(1, 2)], &run.disk).unwrap();
    let unsynced: Vec<_> = ops.into_iter().filter(|op| !matches!(op, DiskOp::Sync(_))).collect();
    run.disk.perform_all(&unsynced);

    let (_, recovered, repairs) = Storage::open(run.config.clone(), &run.disk).unwrap();
    assert_eq!(recovered.database.last_processed, zxid(1, 2));
    let last = |disk: &ModelDisk| {
        Storage::open(run.config.clone(), disk).map(|opened| opened.1.database.last_processed)
    };
    let lost = run.disk.crashes().into_iter().any(|(_, disk)| last(&disk) != Ok(zxid(1, 2)));
    assert!(lost, "before the start a power loss can take it");
    run.disk.perform_all(&repairs);
    for (how, disk) in run.disk.crashes() {
        assert_eq!(last(&disk), Ok(zxid(1, 2)), "{how}");
    }
}

fn append(epoch: u32, counter: u32) -> StoreOp {
    StoreOp::Append(vec![entry(zxid(epoch, counter))])
}
