//! Disks that are damaged otherwise than by a power loss, or as upstream leaves them: which are
//! started from, and why not.

use zebu_core::ids::Zxid;
use zebu_core::server::{Epochs, StoreOp};
use zebu_core::storage::{
    Dir, DiskOp, RecoverError, SnapshotWriter, Storage, StorageConfig, read_log,
};
use zebu_core::tree::Database;

use crate::crash::{entry, zxid};
use crate::model_disk::{ModelDisk, changes};
use crate::samples::{self, config};

/// Snapshots at 0 and at each zxid of `snapshots`, logs that begin at each of `logs`, all of epoch 1
/// up to `last`.
fn disk(last: u32, logs: &[u32], snapshots: &[u32]) -> ModelDisk {
    let mut disk = ModelDisk::default();
    let (mut storage, recovered, repairs) = Storage::open(config(), &disk).unwrap();
    disk.perform_all(&repairs);
    let mut database = recovered.database;
    for counter in 1..=last {
        if logs.contains(&counter) {
            storage.roll();
        }
        let entry = entry(zxid(1, counter));
        database.apply(&entry.txn);
        let ops = storage.plan(vec![StoreOp::Append(vec![entry])], &disk).unwrap();
        disk.perform_all(&ops);
        if snapshots.contains(&counter) {
            let ops: Vec<_> = SnapshotWriter::new(database.clone(), &config()).collect();
            disk.perform_all(&ops);
        }
    }
    save_epochs(&mut disk, b"1", b"1");
    disk
}

fn save_epochs(disk: &mut ModelDisk, accepted: &[u8], current: &[u8]) {
    *disk.content(Dir::Data, "acceptedEpoch") = accepted.to_vec();
    *disk.content(Dir::Data, "currentEpoch") = current.to_vec();
}

fn log(first: u32) -> String {
    format!("log.{:x}", zxid(1, first))
}
fn snapshot(at: u32) -> String {
    format!("snapshot.{:x}", zxid(1, at))
}

/// The last zxid, or why not.
fn open(disk: &ModelDisk) -> Result<Zxid, String> {
    let (_, recovered, _) = Storage::open(config(), disk).map_err(|error| error.to_string())?;
    Ok(recovered.database.last_processed)
}

fn refuses(disk: &ModelDisk, wanted: &[&str]) {
    let why = open(disk).unwrap_err();
    for wanted in wanted {
        assert!(why.contains(wanted), "{wanted:?} in {why:?}");
    }
}

/// Where the records of a log begin, and where the last ends.
fn offsets(log: &[u8]) -> Vec<usize> {
    let mut offsets = vec![16];
    while let Some(prefix) = log.get(offsets[offsets.len() - 1] + 8..) {
        let Some(length) = prefix.first_chunk::<4>().map(|length| u32::from_be_bytes(*length))
        else {
            break;
        };
        if length == 0 {
            break;
        }
        offsets.push(offsets[offsets.len() - 1] + 13 + length as usize);
    }
    offsets
}

#[test]
fn one_wrong_bit_in_any_byte_of_the_log_is_never_taken_for_shorter_history() {
    let whole = disk(4, &[1], &[]);
    let name = log(1);
    let content = whole.clone().content(Dir::Log, &name).clone();
    let ends = offsets(&content);
    let last_record = ends[ends.len() - 2];
    for at in (0..last_record).filter(|at| !(8..16).contains(at)) {
        for bit in [0, 7] {
            let mut damaged = whole.clone();
            damaged.content(Dir::Log, &name)[at] ^= 1 << bit;
            let why = open(&damaged).expect_err("a wrong bit");
            assert!(why.starts_with(&format!("{name}: offset ")), "{why}");
        }
    }
}

#[test]
fn a_wrong_bit_in_the_last_payload_is_no_torn_write() {
    let mut disk = disk(4, &[1], &[]);
    let content = disk.content(Dir::Log, &log(1));
    let at = content.len() - 20;
    content[at] ^= 1;
    refuses(&disk, &["with checksum", "no torn write leaves that"]);
}

#[test]
fn any_beginning_of_the_last_record_is_torn() {
    let whole = disk(4, &[1], &[]);
    let content = whole.clone().content(Dir::Log, &log(1)).clone();
    let ends = offsets(&content);
    for len in ends[3]..ends[4] {
        for padding in [0, 5, 3000] {
            let mut torn = whole.clone();
            let content = torn.content(Dir::Log, &log(1));
            content.truncate(len);
            content.resize(len + padding, 0);
            assert_eq!(open(&torn), Ok(zxid(1, 3)), "{len}");
            let (_, _, repairs) = Storage::open(config(), &torn).unwrap();
            torn.perform_all(&repairs);
            // A checksum begins with four zeros.
            if len > ends[3] + 4 {
                assert_eq!(torn.content(Dir::Log, &log(1)).len(), ends[3], "{len}");
            }
        }
    }
}

#[test]
fn data_that_looks_like_records_does_not_make_a_torn_record_damage() {
    let mut disk = disk(3, &[1], &[]);
    let next = disk.clone();
    let forged = {
        let mut forged = self::disk(6, &[1], &[]);
        let content = forged.content(Dir::Log, &log(1)).clone();
        let ends = offsets(&content);
        content[ends[4]..ends[5]].to_vec()
    };
    let mut torn = 0x1234_i64.to_be_bytes().to_vec();
    torn.extend((forged.len() as u32 + 200).to_be_bytes());
    torn.extend([7; 100]);
    torn.extend(&forged);
    torn.extend([7; 50]);
    disk.content(Dir::Log, &log(1)).extend(&torn);
    assert_eq!(open(&disk), Ok(zxid(1, 3)));
    // But behind its end they count.
    let mut damaged = next;
    let content = damaged.content(Dir::Log, &log(1));
    content.extend(&torn[..12]);
    content.extend(vec![7; forged.len() + 200]);
    content.push(b'B');
    content.extend(&forged);
    refuses(&damaged, &["an intact record follows"]);
}

/// Of one write any sectors may be missing, but no write is longer than the writer makes it.
#[test]
fn missing_sectors_are_a_torn_write_only_near_the_end() {
    let config = StorageConfig { record_max: 4096, ..config() };
    let mut disk = ModelDisk::default();
    let (mut storage, _, repairs) = Storage::open(config.clone(), &disk).unwrap();
    disk.perform_all(&repairs);
    let entries = (1..=2000).map(|counter| entry(zxid(0, counter))).collect();
    let ops = storage.plan(vec![StoreOp::Append(entries)], &disk).unwrap();
    let syncs = ops.iter().filter(|op| matches!(op, DiskOp::Sync(_))).count();
    assert_eq!(syncs, 2, "a long write is cut");
    disk.perform_all(&ops);
    let ends = offsets(disk.content(Dir::Log, "log.1"));
    let len = ends[2000];
    assert!(len > (1 << 20) + 4096 + 100_000);
    let open_without = |sector: usize| {
        let mut disk = disk.clone();
        disk.content(Dir::Log, "log.1")[sector * 512..sector * 512 + 512].fill(0);
        let opened = Storage::open(config.clone(), &disk).map(|opened| opened.1);
        opened.map(|recovered| recovered.database.last_processed).map_err(|e| e.to_string())
    };
    let intact_before = |sector: usize| ends.iter().filter(|end| **end <= sector * 512).count() - 1;
    // Of the record behind the hole, the hole may have taken zeros that belong there.
    let begins_in_last_bytes = |sector: &usize| {
        ends.iter().any(|end| (1..=4).contains(&((sector + 1) * 512).saturating_sub(*end)))
    };
    let near_end = len / 512 - 500..len / 512;
    let straddled: Vec<_> = near_end.filter(begins_in_last_bytes).collect();
    assert_eq!(straddled.len(), 3);
    for sector in [&[len / 512 - 1, len / 512 - 500], &straddled[..]].concat() {
        assert_eq!(open_without(sector), Ok(Zxid(intact_before(sector) as u64)));
    }
    let why = open_without(100).unwrap_err();
    assert!(why.contains("an intact record follows"), "{why}");
}

#[test]
fn a_torn_end_before_another_file_is_harmless_only_if_nothing_can_be_missing() {
    let mut disk = disk(6, &[1, 4], &[]);
    disk.content(Dir::Log, &log(1)).extend([1, 2, 3, 4]);
    assert_eq!(open(&disk), Ok(zxid(1, 6)), "upstream leaves that behind");
    // Now with a new epoch behind it.
    disk.remove(Dir::Log, &log(4));
    let mut other = ModelDisk::default();
    let (mut storage, ..) = Storage::open(config(), &other).unwrap();
    let ops = storage.plan(vec![StoreOp::Append(vec![entry(zxid(2, 1))])], &other).unwrap();
    other.perform_all(&ops);
    let content = other.content(Dir::Log, "log.200000001").clone();
    disk.put(Dir::Log, "log.200000001", content);
    save_epochs(&mut disk, b"2", b"2");
    refuses(&disk, &["log.100000001: offset", "the log goes on with 200000001"]);
}

#[test]
fn a_gap_is_refused() {
    let mut in_the_middle = disk(9, &[1, 4, 7], &[]);
    in_the_middle.remove(Dir::Log, &log(4));
    refuses(&in_the_middle, &["log.100000007: offset 16: expected what follows 100000003"]);
    let mut above_the_snapshot = disk(9, &[1, 4], &[]);
    above_the_snapshot.remove(Dir::Log, &log(1));
    refuses(&above_the_snapshot, &["expected what follows 0, found 100000004"]);
    let mut below_the_snapshot = disk(9, &[1, 4], &[5]);
    below_the_snapshot.remove(Dir::Log, &log(1));
    assert_eq!(open(&below_the_snapshot), Ok(zxid(1, 9)));
}

/// A snapshot came from a leader, and a crash before the log below it was removed.
fn received_snapshot(at: Zxid, goes_on: Zxid) -> ModelDisk {
    let mut disk = disk(4, &[1], &[]);
    let mut ahead = Database::new();
    ahead.apply(&entry(at).txn);
    let ops = SnapshotWriter::new(ahead, &config());
    disk.perform_all(&ops.collect::<Vec<_>>());
    save_epochs(&mut disk, b"3", b"3");
    let (mut storage, _, repairs) = Storage::open(config(), &disk).unwrap();
    disk.perform_all(&repairs);
    let ops = storage.plan(vec![StoreOp::Append(vec![entry(goes_on)])], &disk).unwrap();
    disk.perform_all(&ops);
    disk
}

#[test]
fn a_gap_that_only_a_snapshot_fills_is_none_to_replay_over() {
    let mut disk = received_snapshot(zxid(1, 9), zxid(3, 1));
    assert_eq!(open(&disk), Ok(zxid(3, 1)));
    disk.content(Dir::Data, &snapshot(9))[40] ^= 1;
    refuses(&disk, &["log.300000001: offset 16: expected what leads to snapshot.100000009"]);
}

#[test]
fn nobody_is_sent_a_log_with_a_gap() {
    let config = StorageConfig { log_permille_max: 1_000_000, ..config() };
    let read = |disk: &ModelDisk| read_log(disk, zxid(1, 4), zxid(3, 1), &config);
    assert!(read(&received_snapshot(zxid(1, 9), zxid(3, 1))).is_err());
    assert_eq!(read(&received_snapshot(zxid(2, 0), zxid(3, 1))), Ok(None));
    assert!(read(&received_snapshot(zxid(1, 4), zxid(3, 1))).unwrap().is_some());
}

#[test]
fn a_file_is_what_its_name_says() {
    let mut disk = disk(3, &[1], &[]);
    let content = disk.content(Dir::Log, &log(1)).clone();
    disk.remove(Dir::Log, &log(1));
    disk.put(Dir::Log, "log.0", content);
    refuses(&disk, &["log.0: expected 0 first, found 100000001"]);
}

#[test]
fn files_that_were_only_begun_are_removed() {
    let mut disk = disk(6, &[1, 4], &[]);
    disk.put(Dir::Log, &log(7), vec![]);
    disk.put(Dir::Log, &log(8), b"ZKLG\0\0\0\x02\0".to_vec());
    disk.put(Dir::Log, &log(9), vec![0; 65552]);
    let (_, recovered, repairs) = Storage::open(config(), &disk).unwrap();
    assert_eq!(recovered.database.last_processed, zxid(1, 6));
    disk.perform_all(&repairs);
    let logs: Vec<_> = disk.names().into_iter().filter(|name| name.starts_with("log.")).collect();
    assert_eq!(logs, [log(1), log(4)]);
}

#[test]
fn an_empty_file_above_the_snapshot_does_not_hide_the_records_below_its_name() {
    let mut disk = disk(6, &[1], &[4]);
    disk.put(Dir::Log, &log(5), b"ZKLG\0\0\0\x02\0\0\0\0\0\0\0\0".to_vec());
    assert_eq!(open(&disk), Ok(zxid(1, 6)));
}

#[test]
fn a_log_without_snapshots_is_refused() {
    let mut disk = disk(3, &[1], &[]);
    disk.remove(Dir::Data, "snapshot.0");
    refuses(&disk, &["log.100000001: expected a snapshot"]);
}

#[test]
fn a_damaged_snapshot_is_passed_over_if_the_log_makes_up_for_it() {
    let whole = disk(9, &[1, 4, 7], &[3, 6]);
    let size = whole.clone().content(Dir::Data, &snapshot(6)).len();
    for at in (0..size).step_by(7) {
        if (8..16).contains(&at) {
            continue;
        }
        let mut damaged = whole.clone();
        damaged.content(Dir::Data, &snapshot(6))[at] ^= 1;
        assert_eq!(open(&damaged), Ok(zxid(1, 9)), "{at}");
    }
    for len in (0..size).step_by(11) {
        let mut cut = whole.clone();
        cut.content(Dir::Data, &snapshot(6)).truncate(len);
        assert_eq!(open(&cut), Ok(zxid(1, 9)), "{len}");
    }
}

#[test]
fn a_damaged_snapshot_is_not_passed_over_for_less() {
    let mut no_log = disk(9, &[1, 4, 7], &[3, 6]);
    no_log.content(Dir::Data, &snapshot(6))[40] ^= 1;
    no_log.remove(Dir::Log, &log(7));
    no_log.remove(Dir::Log, &log(4));
    refuses(&no_log, &[&snapshot(6), "older snapshots and the log end at 100000003"]);
    let mut none_intact = disk(3, &[1], &[]);
    none_intact.content(Dir::Data, "snapshot.0")[40] ^= 1;
    refuses(&none_intact, &["snapshot.0: ", "no older snapshot is intact"]);
}

/// A snapshot that upstream wrote beside changes, and a log that ends before the last of these.
#[test]
fn a_snapshot_with_changes_that_the_log_lacks_is_passed_over() {
    let mut disk = samples::disk("standalone-snaps");
    for name in disk.names() {
        let zxid = name.strip_prefix("log.").or(name.strip_prefix("snapshot."));
        let zxid = zxid.and_then(|zxid| u64::from_str_radix(zxid, 16).ok()).unwrap_or(0);
        let dir = if name.starts_with("log.") { Dir::Log } else { Dir::Data };
        if zxid > 0x66 {
            disk.remove(dir, &name);
        }
    }
    // snapshot.66 has all up to 0x68, log.38 ends at 0x67.
    let (_, recovered, _) = Storage::open(config(), &disk).unwrap();
    assert_eq!(format!("{:x}", recovered.database.last_processed), "67");
    assert_eq!(recovered.window[0].zxid(), Zxid(0x37), "replayed over snapshot.36");
    let digest = recovered.window.last().unwrap().txn.digest.unwrap();
    assert_eq!(digest.tree, recovered.database.tree.digest());
}

#[test]
fn epoch_files() {
    let with = |accepted: &[u8], current: &[u8]| {
        let mut disk = disk(2, &[1], &[]);
        save_epochs(&mut disk, accepted, current);
        disk
    };
    let epochs = |disk: &ModelDisk| {
        let Epochs { accepted, current } = Storage::open(config(), disk).unwrap().1.epochs;
        (accepted.0, current.0)
    };
    assert_eq!(epochs(&with(b"5", b"3")), (5, 3));
    assert_eq!(epochs(&with(b"5\n", b"3\r\nmore")), (5, 3));
    assert_eq!(epochs(&with(b"1", b"0")), (1, 1), "power was lost during synchronization");
    refuses(&with(b"2", b"3"), &["acceptedEpoch: expected 3 at least"]);
    refuses(&with(b"0", b"0"), &["currentEpoch: expected 1 at least, as in 1:2"]);
    refuses(&with(b"", b"1"), &["acceptedEpoch: expected an epoch in decimal"]);
    refuses(&with(b"1", b"-1"), &["currentEpoch: expected an epoch in decimal"]);
    refuses(&with(b"99999999999", b"1"), &["acceptedEpoch: expected an epoch in decimal"]);

    let mut renamed_too_late = with(b"0", b"0");
    renamed_too_late.put(Dir::Data, "currentEpoch.tmp", b"1".to_vec());
    refuses(&renamed_too_late, &["acceptedEpoch: expected 1 at least"]);
    renamed_too_late.remove(Dir::Data, "acceptedEpoch");
    assert_eq!(epochs(&renamed_too_late), (1, 1));

    let mut none = with(b"", b"");
    none.remove(Dir::Data, "acceptedEpoch");
    none.remove(Dir::Data, "currentEpoch");
    let (_, recovered, repairs) = Storage::open(config(), &none).unwrap();
    assert_eq!(recovered.epochs.current.0, 1);
    none.perform_all(&repairs);
    assert_eq!(changes(Storage::open(config(), &none).unwrap().2), []);
}

#[test]
fn only_what_follows_can_be_appended() {
    let disk = disk(3, &[1], &[]);
    let (storage, ..) = Storage::open(config(), &disk).unwrap();
    for wrong in [zxid(1, 3), zxid(1, 5), zxid(2, 2), zxid(0, 4)] {
        let plan = storage.clone().plan(vec![StoreOp::Append(vec![entry(wrong)])], &disk);
        assert!(plan.unwrap_err().to_string().contains("expected to append"), "{wrong}");
    }
    let mut short = config();
    short.record_max = 30;
    let (mut storage, ..) = Storage::open(short, &ModelDisk::default()).unwrap();
    let plan = storage.plan(vec![StoreOp::Append(vec![entry(zxid(1, 1))])], &disk);
    assert!(plan.unwrap_err().to_string().contains("30 bytes at most"));
}

/// JIRA: ZOOKEEPER-261
#[test]
fn a_lost_disk_is_no_new_servers() {
    let config = StorageConfig { autocreate: false, ..config() };
    let open = |disk: &ModelDisk| Storage::open(config.clone(), disk).err();
    assert_eq!(open(&ModelDisk::default()), Some(RecoverError::NoDatabase));
    assert_eq!(open(&disk(3, &[1], &[])), None);
}

#[test]
fn a_part_of_the_log_is_read_for_who_lacks_it() {
    let disk = disk(9, &[4, 7], &[3, 8]);
    let with = |log_permille_max, above, upto| {
        let config = StorageConfig { log_permille_max, ..config() };
        let read = read_log(&disk, above, zxid(1, upto), &config).unwrap();
        read.map(|entries| entries.iter().map(|entry| entry.zxid().counter()).collect::<Vec<_>>())
    };
    let read = |above, upto| with(1_000_000, zxid(1, above), upto);
    assert_eq!(read(2, 8), Some(vec![3, 4, 5, 6, 7, 8]));
    assert_eq!(read(6, 7), Some(vec![7]));
    assert_eq!(read(9, 9), None, "there is nothing above");
    assert_eq!(read(2, 12), None, "it ends before");
    assert_eq!(with(1_000_000, zxid(2, 1), 9), None, "not ours");
    assert_eq!(with(1_000_000, zxid(0, 5), 9), None, "not ours either");
    assert_eq!(with(1, zxid(1, 2), 8), None, "a snapshot is less");
    assert_eq!(with(0, zxid(1, 6), 7), None, "not wanted");
}
