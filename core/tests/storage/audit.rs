//! What is found in directories that are damaged on purpose, and that nothing is found in others.

use zebu_core::ids::Zxid;
use zebu_core::storage::{
    Audit, DataFile, Dir, FileName, FindingKind, LOG_HEADER, LogFaultKind, LogPart, LogRecords,
    SnapshotWriter, audit, log_record, newest_state,
};
use zebu_core::txn::{Txn, codec};

use crate::model_disk::ModelDisk;
use crate::samples::{self, config};

const MAX: usize = 1 << 20;

/// Kind, file and words of each finding.
fn findings(disk: &ModelDisk) -> (Vec<(FindingKind, String, String)>, Audit) {
    let mut found = Vec::new();
    let mut report = |finding: zebu_core::storage::Finding| {
        found.push((finding.kind, finding.file, finding.what));
    };
    let done = audit(disk, MAX, &mut report).unwrap();
    (found, done)
}

fn check(disk: &ModelDisk, expected: &[(FindingKind, &str, &str)]) -> Audit {
    let (found, done) = findings(disk);
    let kinds = |(kind, file, _): &(FindingKind, String, String)| (*kind, file.clone());
    let wanted: Vec<_> =
        expected.iter().map(|(kind, file, what)| (*kind, (*file).into(), (*what).into())).collect();
    assert_eq!(
        found.iter().map(kinds).collect::<Vec<_>>(),
        wanted.iter().map(kinds).collect::<Vec<_>>(),
        "{found:#?}"
    );
    for ((_, _, what), (_, _, wanted)) in found.iter().zip(&wanted) {
        assert!(what.contains(wanted.as_str()), "{wanted:?} in {what:?}");
    }
    done
}

fn log_file(disk: &mut ModelDisk, name: &str) -> DataFile {
    let len = disk.content(Dir::Log, name).len() as u64;
    DataFile { file: FileName { dir: Dir::Log, name: name.into() }, len }
}

/// The log with each transaction as `change` leaves it, under right checksums.
fn rewrite(disk: &mut ModelDisk, name: &str, change: impl Fn(&mut Txn)) {
    let file = log_file(disk, name);
    let mut content = LOG_HEADER.to_vec();
    for part in LogRecords::new(&*disk, &file, MAX) {
        let LogPart::Txn(logged) = part.unwrap() else { panic!("it is intact") };
        let mut txn = (*logged.entry.txn).clone();
        change(&mut txn);
        content.extend(log_record(&codec::encode(txn).payload));
    }
    *disk.content(Dir::Log, name) = content;
}

#[test]
fn a_sound_directory_has_no_findings() {
    let disk = samples::disk("standalone-snaps");
    let done = check(&disk, &[]);
    assert_eq!((done.snapshots, done.logs, done.txns, done.digests), (6, 6, 258, 258));
    assert_eq!((done.first, done.last), (Some(Zxid(1)), Some(Zxid(0x102))));
    let state = done.state.unwrap();
    assert_eq!(state.zxid, Zxid(0x102));
    let database = newest_state(&disk, MAX).unwrap();
    assert_eq!(state.digest, database.tree.digest());
    assert_eq!(state.znodes, database.tree.count_below("/") + 1);
}

#[test]
fn rewriting_changes_nothing_by_itself() {
    let mut disk = samples::disk("standalone-snaps");
    rewrite(&mut disk, "log.38", |_| {});
    check(&disk, &[]);
}

#[test]
fn a_missing_log_is_a_hole_unless_a_snapshot_has_what_was_in_it() {
    let mut disk = samples::disk("standalone-snaps");
    disk.remove(Dir::Log, "log.89");
    // snapshot.b6 holds changes up to the log's next file and more.
    check(&disk, &[(FindingKind::Hole, "log.b8", "expected what follows 0x88, found 0xb8")]);
    for later in ["snapshot.b6", "snapshot.f1"] {
        disk.remove(Dir::Data, later);
    }
    check(
        &disk,
        &[
            (FindingKind::Hole, "log.b8", "expected what follows 0x88, found 0xb8"),
            (FindingKind::Start, "log.b8", "expected what follows 88, found b8"),
        ],
    );

    let mut disk = samples::disk("standalone-snaps");
    disk.remove(Dir::Data, "snapshot.0");
    disk.remove(Dir::Log, "log.1");
    // What snapshot.36 lacks of log.1 is not there; it is older than snapshot.66.
    let (found, _) = findings(&disk);
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0].0, FindingKind::Hole);
}

#[test]
fn a_purged_directory_is_sound() {
    let mut disk = samples::disk("standalone-snaps");
    let purge = zebu_core::storage::purge_plan(&disk, 3, &config()).unwrap();
    disk.perform_all(&purge);
    assert!(!disk.names().contains(&"log.1".into()));
    let done = check(&disk, &[]);
    assert!(done.digests > 100);
}

#[test]
fn a_wrong_digest_is_found_once() {
    let mut disk = samples::disk("standalone-snaps");
    rewrite(&mut disk, "log.38", |txn| {
        if let (Zxid(0x50), Some(digest)) = (txn.header.zxid, &mut txn.digest) {
            digest.tree ^= 1;
        }
    });
    let done = check(&disk, &[(FindingKind::Digest, "log.38", "expected a tree with the digest")]);
    // From the next snapshot on they are right again.
    assert!(done.digests > 150, "{done:?}");
}

#[test]
fn a_snapshot_of_another_history_is_found() {
    let mut disk = samples::disk("standalone-snaps");
    let mut foreign = newest_state(&samples::disk("standalone-full"), MAX).unwrap();
    foreign.last_processed = Zxid(0x66);
    let writing: Vec<_> = SnapshotWriter::new(foreign, &config()).collect();
    disk.remove(Dir::Data, "snapshot.66");
    disk.perform_all(&writing);
    check(&disk, &[(FindingKind::Digest, "snapshot.66", "at 0x66, found 0x")]);
}

#[test]
fn damage_is_named_with_its_place_and_the_log_is_read_on() {
    let mut disk = samples::disk("standalone-snaps");
    disk.content(Dir::Log, "log.f3")[20] ^= 1;
    let byte = disk.content(Dir::Data, "snapshot.66").len() / 2;
    disk.content(Dir::Data, "snapshot.66")[byte] ^= 1;
    let done = check(
        &disk,
        &[
            (FindingKind::Snapshot, "snapshot.66", "offset "),
            (FindingKind::Checksum, "log.f3", "an intact record follows at offset "),
            (FindingKind::Start, "log.f3", "with checksum"),
        ],
    );
    assert_eq!((done.txns, done.last, done.state), (258, Some(Zxid(0x102)), None));
}

#[test]
fn a_log_under_a_wrong_name_is_found() {
    let mut disk = samples::disk("standalone-full");
    let content = disk.content(Dir::Log, "log.1").clone();
    disk.remove(Dir::Log, "log.1");
    disk.put(Dir::Log, "log.2", content);
    check(
        &disk,
        &[
            (FindingKind::Order, "log.2", "expected 0x2 first, as in the name, found 0x1"),
            (FindingKind::Start, "log.2", "expected 2 first, found 1"),
        ],
    );
}

#[test]
fn logs_without_snapshots_are_held_against_each_other() {
    let mut disk = samples::disk("standalone-snaps");
    for name in disk.names().into_iter().filter(|name| name.starts_with("snapshot.")) {
        disk.remove(Dir::Data, &name);
    }
    let done = check(&disk, &[]);
    assert_eq!((done.txns, done.digests, done.state), (258, 0, None));
    disk.remove(Dir::Log, "log.68");
    check(&disk, &[(FindingKind::Hole, "log.89", "found 0x89")]);
}

#[test]
fn a_file_of_nothing_but_wrong_checksums_is_not_read_for_ever() {
    let mut disk = samples::disk("standalone-snaps");
    let file = log_file(&mut disk, "log.38");
    let parts: Vec<_> = LogRecords::new(&disk, &file, MAX).map(Result::unwrap).collect();
    // The low byte of each checksum.
    for part in &parts {
        let LogPart::Txn(txn) = part else { panic!("it is intact") };
        disk.content(Dir::Log, "log.38")[txn.offset as usize + 7] ^= 1;
    }
    let again: Vec<_> = LogRecords::new(&disk, &file, MAX).map(Result::unwrap).collect();
    assert_eq!(again.len(), parts.len().min(64));
    for (before, after) in parts.iter().zip(&again) {
        let LogPart::Fault(fault) = after else { panic!("its checksum is wrong") };
        let LogFaultKind::Checksum(Some(says)) = &fault.kind else { panic!("{fault:?}") };
        assert_eq!(LogPart::Txn(says.clone()), *before);
    }
}
