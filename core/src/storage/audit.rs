//! A directory held against itself (`zebu log check`): every record and every seal, the order of
//! zxids over all files, the digest that the leader computed with each transaction against the tree
//! that the log leads to, and at last what a server would say to it. Nothing is changed.
//!
//! What a single file holds is [`super::inspect`]'s matter.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::inspect::{DataFile, LogFault, LogFaultKind, LogPart, LogRecords, LoggedTxn, reading};
use super::listing::{Listing, SnapshotFile, read_log_name};
use super::snapshot::{self, SnapshotError};
use super::{Directory, DiskError, RecoverError, recover};
use crate::ids::Zxid;
use crate::tree::Database;
use crate::txn::{TxnDigest, codec};

/// What was looked at, and what it comes to.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Audit {
    pub snapshots: usize,
    pub logs: usize,
    pub txns: u64,
    pub first: Option<Zxid>,
    pub last: Option<Zxid>,
    /// Transactions whose digest is that of the tree.
    pub digests: u64,
    /// What a server would start with.
    pub state: Option<State>,
}

/// A database in few numbers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct State {
    pub zxid: Zxid,
    pub znodes: usize,
    pub sessions: usize,
    pub digest: u64,
}

impl State {
    pub fn of(database: &Database) -> Self {
        Self {
            zxid: database.last_processed,
            znodes: database.tree.count_below("/") + 1,
            sessions: database.sessions.len(),
            digest: database.tree.digest(),
        }
    }
}

/// Something that is not as it should be.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Finding {
    pub file: String,
    /// Where in the file; in a packed one, where in its content `what` says.
    pub offset: Option<u64>,
    pub kind: FindingKind,
    /// What was expected and what was found.
    pub what: String,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum FindingKind {
    /// A write that power loss cut short. The one finding that is in order.
    Torn,
    Checksum,
    Damaged,
    /// A zxid that is not above the one before it, or not the one in the file's name.
    Order,
    /// Transactions are missing, and no snapshot has them.
    Hole,
    /// The tree is not what it was for the leader.
    Digest,
    Snapshot,
    /// A server does not start from this.
    Start,
}

impl FindingKind {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Torn => "torn",
            Self::Checksum => "checksum",
            Self::Damaged => "damaged",
            Self::Order => "order",
            Self::Hole => "hole",
            Self::Digest => "digest",
            Self::Snapshot => "snapshot",
            Self::Start => "start",
        }
    }
}

/// All of a directory. Findings are reported as they come.
pub fn audit(
    disk: &dyn Directory,
    record_max: usize,
    report: &mut dyn FnMut(Finding),
) -> Result<Audit, DiskError> {
    let listing = Listing::read(disk)?;
    let mut auditor = Auditor::new(disk, record_max, report);
    for file in &listing.snapshots {
        auditor.snapshot(file)?;
    }
    for log in &listing.logs {
        auditor.log(&DataFile { file: log.name(), len: log.len })?;
    }
    // A directory of logs alone is no server's.
    if !listing.snapshots.is_empty() {
        auditor.start()?;
    }
    Ok(auditor.audit)
}

/// One log file by itself.
pub fn audit_log(
    disk: &dyn Directory,
    file: &DataFile,
    record_max: usize,
    report: &mut dyn FnMut(Finding),
) -> Result<Audit, DiskError> {
    let mut auditor = Auditor::new(disk, record_max, report);
    auditor.log(file)?;
    Ok(auditor.audit)
}

struct Auditor<'a> {
    disk: &'a dyn Directory,
    record_max: usize,
    report: &'a mut dyn FnMut(Finding),
    audit: Audit,
    /// Those that are intact, oldest first.
    snapshots: Vec<SnapshotFile>,
    /// What they say of the tree at which zxid.
    digests: BTreeMap<Zxid, (String, TxnDigest)>,
    replayed: Option<Replayed>,
}

struct Replayed {
    database: Database,
    /// Until here there are changes in it before their turn.
    whole_from: Zxid,
}

impl<'a> Auditor<'a> {
    fn new(disk: &'a dyn Directory, record_max: usize, report: &'a mut dyn FnMut(Finding)) -> Self {
        Self {
            disk,
            record_max,
            report,
            audit: Audit::default(),
            snapshots: Vec::new(),
            digests: BTreeMap::new(),
            replayed: None,
        }
    }

    fn found(&mut self, file: &str, offset: Option<u64>, kind: FindingKind, what: String) {
        (self.report)(Finding { file: file.into(), offset, kind, what });
    }

    fn snapshot(&mut self, file: &SnapshotFile) -> Result<(), DiskError> {
        self.audit.snapshots += 1;
        let name = file.name().name;
        match snapshot::read(self.disk, file, self.record_max) {
            Err(SnapshotError::Disk(error)) => return Err(error),
            Err(error @ SnapshotError::Invalid { .. }) => {
                self.found(&name, None, FindingKind::Snapshot, error.to_string());
            }
            Ok(loaded) => {
                if let Some(what) = loaded.digest_fault() {
                    self.found(&name, None, FindingKind::Digest, what);
                }
                if let Some((zxid, digest)) = loaded.sections.digest {
                    self.digests.insert(zxid, (name, digest));
                }
                self.snapshots.push(file.clone());
            }
        }
        Ok(())
    }

    fn log(&mut self, file: &DataFile) -> Result<(), DiskError> {
        self.audit.logs += 1;
        let name = &file.file.name;
        let mut first = read_log_name(name);
        let mut goes_back = false;
        for part in LogRecords::new(self.disk, file, self.record_max) {
            let part = part?;
            if let (Some(named), Some(zxid)) = (first, part.zxid()) {
                first = None;
                if zxid != named {
                    let what =
                        format!("expected {named:#x} first, as in the name, found {zxid:#x}");
                    self.found(name, None, FindingKind::Order, what);
                }
            }
            let txn = match part {
                LogPart::Txn(txn) => Some(txn),
                LogPart::Fault(LogFault { offset, kind, what }) => {
                    let (kind, txn) = match kind {
                        LogFaultKind::Torn => (FindingKind::Torn, None),
                        LogFaultKind::Damaged => (FindingKind::Damaged, None),
                        // It counts as what it says: the digests tell whether it says the truth.
                        LogFaultKind::Checksum(txn) => (FindingKind::Checksum, txn),
                    };
                    self.found(name, Some(offset), kind, what);
                    txn
                }
            };
            if let Some(txn) = txn {
                self.txn(name, &txn, &mut goes_back)?;
            }
        }
        Ok(())
    }

    /// `goes_back`: it was said of this file that it does.
    fn txn(&mut self, file: &str, txn: &LoggedTxn, goes_back: &mut bool) -> Result<(), DiskError> {
        let zxid = txn.entry.zxid();
        let before = self.audit.last;
        self.audit.txns += 1;
        self.audit.first.get_or_insert(zxid);
        // Upstream's refusals of what it cannot read: see History::repeats_a_zxid.
        let used = before == Some(zxid) || zxid.counter() == 0;
        if used && codec::is_error(&txn.entry.payload) {
            return Ok(());
        }
        if let Some(last) = before.filter(|last| zxid <= *last) {
            if !core::mem::replace(goes_back, true) {
                let what = format!("expected what follows {last:#x}, found {zxid:#x}");
                self.found(file, Some(txn.offset), FindingKind::Order, what);
            }
            return Ok(());
        }
        let base = self.leading_to(before, zxid).cloned();
        if base.is_none() && !self.follows(before, zxid) {
            let what = match before {
                Some(last) => format!("expected what follows {last:#x}, found {zxid:#x}"),
                None => format!("expected a snapshot below {zxid:#x}, found none"),
            };
            self.found(file, Some(txn.offset), FindingKind::Hole, what);
        }
        self.audit.last = Some(zxid);
        self.replay(file, txn, base)
    }

    fn follows(&self, before: Option<Zxid>, zxid: Zxid) -> bool {
        match before {
            Some(last) => zxid.follows(last),
            // Older than the oldest snapshot, or there is nothing to hold it against.
            None => self.snapshots.first().is_none_or(|oldest| zxid <= oldest.zxid),
        }
    }

    /// The newest snapshot at or above `before` that `zxid` may directly follow.
    fn leading_to(&self, before: Option<Zxid>, zxid: Zxid) -> Option<&SnapshotFile> {
        let at_or_above = |file: &&SnapshotFile| before.is_none_or(|last| file.zxid >= last);
        let all = self.snapshots.iter().rev();
        all.take_while(at_or_above).find(|file| zxid.follows(file.zxid))
    }

    fn replay(
        &mut self,
        file: &str,
        txn: &LoggedTxn,
        base: Option<SnapshotFile>,
    ) -> Result<(), DiskError> {
        let zxid = txn.entry.zxid();
        let goes_on = |replayed: &Replayed| zxid.follows(replayed.database.last_processed);
        if !self.replayed.as_ref().is_some_and(goes_on) {
            self.replayed = match base {
                Some(base) => self.load(&base)?,
                None => None,
            };
        }
        let Some(replayed) = &mut self.replayed else { return Ok(()) };
        replayed.database.apply(&txn.entry.txn);
        if zxid < replayed.whole_from {
            return Ok(());
        }
        let found = replayed.database.tree.digest();
        let wrong = |digest: &TxnDigest| digest.is_known() && digest.tree != found;
        let digest = txn.entry.txn.digest.filter(TxnDigest::is_known);
        self.audit.digests += u64::from(digest.is_some_and(|digest| digest.tree == found));
        let snapshot = self.digests.get(&zxid).cloned();
        if let Some(TxnDigest { tree, .. }) = digest.filter(wrong) {
            let what = format!("expected a tree with the digest {tree:#x}, found {found:#x}");
            self.found(file, Some(txn.offset), FindingKind::Digest, what);
            // Each one behind it would be wrong as well; the next snapshot is a new beginning.
            self.replayed = None;
        }
        if let Some((name, TxnDigest { tree, .. })) = snapshot.filter(|(_, digest)| wrong(digest)) {
            let what = format!("expected the digest {found:#x} at {zxid:#x}, found {tree:#x}");
            self.found(&name, None, FindingKind::Digest, what);
        }
        Ok(())
    }

    fn load(&self, base: &SnapshotFile) -> Result<Option<Replayed>, DiskError> {
        match snapshot::read(self.disk, base, self.record_max) {
            Ok(loaded) => {
                Ok(Some(Replayed { whole_from: loaded.newest, database: loaded.database }))
            }
            Err(SnapshotError::Disk(error)) => Err(error),
            // It was intact a moment ago: somebody is at work here.
            Err(SnapshotError::Invalid { .. }) => Ok(None),
        }
    }

    fn start(&mut self) -> Result<(), DiskError> {
        match recover::recover(&reading(self.record_max), self.disk) {
            Ok(found) => self.audit.state = Some(State::of(&found.recovered.database)),
            Err(RecoverError::Disk(error)) => return Err(error),
            // `reading` takes an empty disk for a new one.
            Err(RecoverError::NoDatabase) => {}
            Err(RecoverError::Corrupt { file, what }) => {
                self.found(&file, None, FindingKind::Start, what);
            }
        }
        Ok(())
    }
}
