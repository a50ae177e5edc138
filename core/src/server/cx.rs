//! What every step may touch, passed along and never stored: time, configuration, the replicated
//! state and its history, the outbox.

mod quota_alarm;

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::format;
use alloc::string::String;

use crate::config::{Config, Ensemble, MemberRole};
use crate::ids::{Epoch, LinkId, Zxid};
use crate::membership::{CONFIG_NODE, Membership};
use crate::mutant::Mutant;
use crate::proto::QuorumPacket;
use crate::rng::Rng;
use crate::time::{Duration, Instant, Now};
use crate::tree::{Applied, Database};
use crate::txn::{Entry, TxnBody};
use crate::zab::history::History;

use quota_alarm::QuotaAlarm;

use super::metrics::{Metrics, age_ms, millis};
use super::read_only::ReadOnly;
use super::{
    Action, CloseReason, Epochs, Event, Note, PeerMessage, Recovered, RoleName, StoreOp, Ticket,
};

#[derive(Clone, Debug)]
pub(crate) struct Cx {
    pub(crate) config: Config,
    pub(crate) membership: Membership,
    pub(crate) now: Now,
    pub(crate) database: Database,
    pub(crate) history: History,
    /// As handed to storage; who vouches for one waits for its ticket.
    pub(crate) epochs: Epochs,
    /// The largest acceptedEpoch that a voter reported when it was too late to respect it.
    pub(crate) epoch_floor: Epoch,
    /// As noted last.
    role: RoleName,
    /// The epoch this server serves clients in, while it does.
    pub(crate) serving: Option<Epoch>,
    quota_alarm: QuotaAlarm,
    pub(crate) metrics: Metrics,
    started: Instant,
    /// The tree's digest at the newest zxids that a fixed number divides.
    digests: VecDeque<(Zxid, u64)>,
    /// Whether it serves those who want no more than to read, without a quorum.
    pub(crate) read_only: ReadOnly,
    outbox: VecDeque<Action>,
    last_ticket: Ticket,
    durable: Ticket,
    /// A TRUNC that is not read back yet: nothing is delivered until then.
    truncating: Option<Ticket>,
    /// A leader wants history taken back that cannot be: the next one is to send a snapshot.
    pub(crate) wants_snapshot: bool,
    /// Something was not handed to storage, see [`Cx::keeps_nothing`].
    unwritten: bool,
    until_snapshot: Distance,
    /// When the snapshot was begun that is being written.
    snapshot_since: Option<Instant>,
    rng: Rng,
}

impl Cx {
    pub(crate) fn new(config: Config, recovered: Recovered, now: Now) -> Self {
        let config = misread(config);
        let Recovered { database, base, window, epochs } = recovered;
        assert!(epochs.current <= epochs.accepted, "recovered {epochs:?}");
        let mut rng = Rng::new(config.seed ^ config.my_id.0 as u64);
        let mut cx = Self {
            now,
            history: History::recovered(
                base,
                database.last_processed,
                window,
                config.commit_log_count,
            ),
            until_snapshot: Distance::draw(&config, &mut rng),
            membership: Membership::recovered(&config, &database),
            config,
            database,
            epochs,
            epoch_floor: Epoch(0),
            role: RoleName::Looking,
            serving: None,
            quota_alarm: QuotaAlarm::default(),
            metrics: Metrics::default(),
            started: now.mono,
            digests: VecDeque::new(),
            read_only: ReadOnly::Off,
            outbox: VecDeque::new(),
            last_ticket: Ticket(0),
            durable: Ticket(0),
            truncating: None,
            wants_snapshot: false,
            unwritten: false,
            snapshot_since: None,
            rng,
        };
        cx.name_ensemble();
        cx
    }

    /// What a client reads in `/zookeeper/config`, whatever state came from elsewhere; upstream has
    /// nothing there on a server alone. What is proposed is there by its transaction.
    // ZK: ZKDatabase.initConfigInZKDatabase (3.9)
    fn name_ensemble(&mut self) {
        let ensemble = self.membership.committed();
        let shown = self.database.tree.get(CONFIG_NODE).and_then(|node| node.data);
        let is_known = shown.is_some_and(|shown| **shown == *ensemble.text().as_bytes());
        if self.membership.is_alone() || self.membership.proposed().is_some() || is_known {
            return;
        }
        if self.config.planted(Mutant::ConfigNodeNotUpdated) && Zxid(ensemble.version).counter() > 0
        {
            return;
        }
        self.database.tree.set_ensemble(ensemble, self.now.wall);
        let (path, data) = (CONFIG_NODE.into(), Some(ensemble.text().into()));
        self.metrics.wrote(&TxnBody::Reconfig { path, data, version: -1 });
    }
    /// The state was replaced.
    fn look_around(&mut self) {
        self.membership.see(&self.database);
        self.name_ensemble();
    }

    /// Up to `version` every configuration is committed. Returns what was in force before, if that is
    /// another one.
    pub(crate) fn commit_membership(&mut self, version: u64) -> Option<Ensemble> {
        let before = self.membership.commit(version)?;
        self.name_ensemble();
        self.tell_membership();
        Some(before)
    }
    /// Another server's word for what is committed. Is it news?
    pub(crate) fn adopt_membership(&mut self, text: &[u8]) -> bool {
        let adopted = self.membership.adopt(text, &self.config);
        if adopted {
            self.name_ensemble();
            self.tell_membership();
        }
        adopted
    }
    fn tell_membership(&mut self) {
        let committed = Box::new(self.membership.committed().clone());
        let proposed = self.membership.proposed().cloned().map(Box::new);
        self.push(Action::Reconfigure { committed, proposed });
    }

    // ---- out ----

    pub(crate) fn push(&mut self, action: Action) {
        self.metrics.count(&action, self.now.mono);
        self.outbox.push_back(action);
    }
    pub(crate) fn uptime(&self) -> Duration {
        self.now.mono.since(self.started)
    }
    pub(crate) fn pop(&mut self) -> Option<Action> {
        self.outbox.pop_front()
    }
    pub(crate) fn note(&mut self, note: Note) {
        if let Note::Role(role) = note {
            self.role = role;
        }
        self.push(Action::Note(note));
    }
    pub(crate) fn send(&mut self, link: LinkId, packet: QuorumPacket) {
        self.push(Action::Send { link, message: PeerMessage::Quorum(packet) });
    }
    pub(crate) fn close_link(&mut self, link: LinkId, why: CloseReason) {
        self.push(Action::CloseLink { link, why });
    }
    pub(crate) fn halt(&mut self, why: String) {
        self.push(Action::Halt { why });
    }

    /// How long an observer that lost its leader waits before it asks for another.
    pub(crate) fn observers_pause(&mut self) -> Duration {
        let spec = &self.config.observers;
        let most = spec.election_delay_max + spec.reconnect_delay_max;
        Duration::from_nanos(self.rng.below((most.as_nanos() as u64).max(1)))
    }
    pub(crate) fn draw_below(&mut self, bound: u64) -> u64 {
        self.rng.below(bound)
    }

    pub(crate) fn leads_others(&self) -> bool {
        self.role == RoleName::Leading && !self.membership.is_alone()
    }

    // ---- storage ----

    pub(crate) fn store(&mut self, op: StoreOp) -> Ticket {
        if self.keeps_nothing() {
            self.unwritten = true;
            return self.last_ticket;
        }
        self.last_ticket.0 += 1;
        self.push(Action::Store { ticket: self.last_ticket, op });
        self.last_ticket
    }
    /// An observer without a log: its disk stays as it is, epochs and all. What it says it vouches for
    /// to nobody.
    // Departs: upstream's saves its epochs, and a snapshot that it was sent.
    pub(crate) fn keeps_nothing(&self) -> bool {
        !self.config.observers.keep_log && self.membership.role() == MemberRole::Observer
    }
    /// Who kept nothing and is to vote now must have what its vote will tell of. Returns what to wait for.
    pub(crate) fn write_down(&mut self) -> Option<Ticket> {
        if !self.unwritten || self.keeps_nothing() {
            return None;
        }
        self.unwritten = false;
        let Epochs { accepted, current } = self.epochs;
        self.store(StoreOp::SaveAcceptedEpoch(accepted));
        let database = self.database.clone();
        self.install(database);
        Some(self.store(StoreOp::SaveCurrentEpoch(current)))
    }
    /// The newest operation handed to storage: when it is durable, everything is.
    pub(crate) fn last_ticket(&self) -> Ticket {
        self.last_ticket
    }
    pub(crate) fn is_durable(&self, ticket: Ticket) -> bool {
        ticket <= self.durable
    }
    /// Logs an entry; its acknowledgement waits for [`History::durable`].
    pub(crate) fn append(&mut self, entry: Entry) {
        // Before the log says it: what it is proposed behind is committed, and may be news here.
        if self.membership.propose(&entry.txn.body) {
            self.tell_membership();
        }
        let ticket = self.store(StoreOp::Append([entry.clone()].into()));
        self.history.log(entry, ticket);
    }
    pub(crate) fn save_accepted(&mut self, epoch: Epoch) -> Ticket {
        assert!(epoch > self.epochs.accepted, "accepting {epoch} over {:?}", self.epochs);
        self.epochs.accepted = epoch;
        self.store(StoreOp::SaveAcceptedEpoch(epoch))
    }
    pub(crate) fn save_current(&mut self, epoch: Epoch) -> Ticket {
        assert!(epoch <= self.epochs.accepted, "entering {epoch} over {:?}", self.epochs);
        assert!(epoch >= self.epochs.current, "entering {epoch} over {:?}", self.epochs);
        self.epochs.current = epoch;
        self.store(StoreOp::SaveCurrentEpoch(epoch))
    }
    /// TRUNC: cut the log behind `after`; the state comes back from disk.
    pub(crate) fn truncate(&mut self, after: Zxid) {
        self.membership.cut(after);
        let ticket = self.store(StoreOp::Truncate { after });
        self.history.cut(after);
        self.truncating = Some(ticket);
    }
    /// SNAP: `database` replaces everything.
    pub(crate) fn install(&mut self, database: Database) {
        let ticket = self.store(StoreOp::Install(Box::new(database.clone())));
        self.history.replace(database.last_processed, ticket);
        self.wants_snapshot = false;
        self.database = database;
        self.membership.cut(Zxid::ZERO);
        self.look_around();
    }
    pub(crate) fn is_truncating(&self) -> bool {
        self.truncating.is_some()
    }

    /// Takes in what storage reported. Everyone else looks at the marks afterwards.
    pub(crate) fn on_storage(&mut self, event: Event) {
        match event {
            Event::Durable { upto } => {
                self.durable = self.durable.max(upto);
                self.history.on_durable(upto);
            }
            Event::Truncated { ticket, recovered } => {
                self.durable = self.durable.max(ticket);
                if self.truncating == Some(ticket) {
                    self.truncating = None;
                    let Recovered { database, base: _, window, epochs: _ } = *recovered;
                    match self.history.read_back(database.last_processed, window) {
                        Ok(()) => {
                            self.database = database;
                            self.look_around();
                        }
                        Err(why) => self.halt(format!("{why}")),
                    }
                }
            }
            Event::SnapshotTaken { .. } => {
                if let Some(since) = self.snapshot_since.take() {
                    self.metrics.snapshot_ms.add(millis(self.now.mono.since(since)));
                }
            }
            Event::StoreFailed { what } => {
                if !self.config.planted(Mutant::FsyncErrorIgnored) {
                    self.halt(what);
                }
            }
            Event::Wake
            | Event::LinkUp { .. }
            | Event::Peer { .. }
            | Event::LinkDown { .. }
            | Event::DialFailed { .. }
            | Event::LogRead { .. }
            | Event::ConnOpen { .. }
            | Event::Machine(_)
            | Event::Client { .. }
            | Event::ConnGone { .. }
            | Event::ConnDrained { .. } => unreachable!("only storage's events are routed here"),
        }
    }

    // ---- delivery ----

    /// Applies the next committed entry, if there is one.
    pub(crate) fn deliver_next(&mut self) -> Option<(Entry, Applied)> {
        if self.truncating.is_some() {
            return None;
        }
        let entry = self.history.next_committed()?;
        let applied = self.apply(&entry);
        Some((entry, applied))
    }

    fn apply(&mut self, entry: &Entry) -> Applied {
        let applied = self.database.apply_with(&entry.txn, self.config.mutant);
        self.history.delivered_now(entry.clone());
        let zxid = entry.zxid();
        if let Some(digest) = entry.txn.digest {
            let found = self.database.tree.digest();
            if digest.version == crate::txn::digest::VERSION && digest.tree != found {
                self.note(Note::DigestMismatch { zxid, expected: digest.tree, found });
            }
        }
        self.metrics.wrote(&entry.txn.body);
        if self.serving.is_some() {
            self.metrics.propagation_ms.add(age_ms(&entry.txn.header, self.now));
        }
        if self.role == RoleName::Leading {
            let tree = &self.database.tree;
            for alarm in self.quota_alarm.look(&applied.changes, tree, self.now.mono) {
                self.note(alarm);
            }
        }
        self.remember_digest(zxid);
        self.until_snapshot.go(entry.payload.len());
        applied
    }

    /// For comparing servers by hand (`hash`).
    // ZK: DataTree.logZxidDigest (3.9)
    fn remember_digest(&mut self, zxid: Zxid) {
        const EVERY: u64 = 128;
        const KEPT: usize = 1024;
        if !zxid.0.is_multiple_of(EVERY) {
            return;
        }
        if self.digests.len() == KEPT {
            self.digests.pop_front();
        }
        self.digests.push_back((zxid, self.database.tree.digest()));
    }
    pub(crate) fn digests(&self) -> impl Iterator<Item = (Zxid, u64)> {
        self.digests.iter().copied()
    }

    /// The end of a term: what is logged is delivered, nobody is served. The tree, the log and the
    /// coming vote agree.
    // ZK: ZKDatabase.fastForwardDataBase (3.9)
    pub(crate) fn deliver_logged(&mut self) {
        self.serving = None;
        if self.truncating.is_some() {
            // The state is on its way from disk; what was appended behind the cut follows then.
            return;
        }
        self.history.commit(self.history.logged());
        while self.deliver_next().is_some() {}
    }

    /// What replies report: at least the start of the epoch that is served, so that a client is
    /// never sent back to a server that does not know of the epoch yet.
    // ZK: Leader.startZkServer sets lastProcessedZxid to epoch:0 (3.9); here learners do so too.
    pub(crate) fn visible_zxid(&self) -> Zxid {
        let epoch = match self.read_only {
            // Whatever its leader began with has been synchronized.
            ReadOnly::On => Some(self.epochs.current),
            ReadOnly::Off | ReadOnly::Due(_) => self.serving,
        };
        let start = epoch.map_or(Zxid::ZERO, Zxid::start_of);
        self.database.last_processed.max(start)
    }

    /// A snapshot after half to all of `snapCount` transactions, so that the servers of an ensemble
    /// do not take theirs together.
    // ZK: SyncRequestProcessor.shouldSnapshot (3.9)
    pub(crate) fn snapshot_if_due(&mut self) {
        let takes_uncommitted = self.config.planted(Mutant::TruncKeepsNewerSnapshot);
        let may = self.serving.is_some() || (takes_uncommitted && !self.is_truncating());
        let may = may && !self.keeps_nothing();
        if !self.until_snapshot.is_gone() || self.snapshot_since.is_some() || !may {
            return;
        }
        self.until_snapshot = Distance::draw(&self.config, &mut self.rng);
        self.snapshot_since = Some(self.now.mono);
        let database = Box::new(self.database.clone());
        self.push(Action::TakeSnapshot { database });
    }
}

/// Planted mistakes about who is a quorum: a configuration that says something else.
fn misread(mut config: Config) -> Config {
    if config.planted(Mutant::GroupsIgnored) {
        config.ensemble.hierarchy = None;
    }
    if config.planted(Mutant::WeightsIgnored)
        && let Some(hierarchy) = &mut config.ensemble.hierarchy
    {
        hierarchy.weights.clear();
    }
    config
}

/// How much is applied until the next snapshot: some transactions, or some bytes of them.
#[derive(Clone, Copy, Debug)]
struct Distance {
    txns: u64,
    /// `None`: they do not count.
    bytes: Option<u64>,
}

impl Distance {
    // ZK: SyncRequestProcessor.resetSnapshotStats (3.9)
    fn draw(config: &Config, rng: &mut Rng) -> Self {
        let half = u64::from(config.snap_count / 2).max(1);
        let drawn = rng.below(half);
        // As far beyond its half as the other.
        let of_bytes = |most: u64| {
            let beyond = u128::from(most / 2) * u128::from(drawn) / u128::from(half);
            most / 2 + beyond as u64
        };
        let most = config.records.snap_bytes;
        Self { txns: half + drawn, bytes: (most > 0).then(|| of_bytes(most)) }
    }
    fn go(&mut self, bytes: usize) {
        self.txns = self.txns.saturating_sub(1);
        self.bytes = self.bytes.map(|left| left.saturating_sub(bytes as u64));
    }
    fn is_gone(&self) -> bool {
        self.txns == 0 || self.bytes == Some(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Ensemble;
    use crate::ids::ServerId;

    #[test]
    fn a_snapshot_is_due_after_some_transactions_or_some_bytes() {
        let mut config = Config::new(ServerId(1), Ensemble::default());
        config.snap_count = 1000;
        config.records.snap_bytes = 100_000;
        let mut rng = Rng::new(1);
        let steps = |distance: &mut Distance, bytes| {
            (1..).find(|_| {
                distance.go(bytes);
                distance.is_gone()
            })
        };
        for _ in 0..50 {
            let drawn = Distance::draw(&config, &mut rng);
            assert!((500..1000).contains(&steps(&mut drawn.clone(), 1).unwrap_or(0)));
            assert!((50..=100).contains(&steps(&mut drawn.clone(), 1000).unwrap_or(0)));
        }
        config.records.snap_bytes = 0;
        let mut drawn = Distance::draw(&config, &mut rng);
        assert!(steps(&mut drawn, usize::MAX).unwrap_or(0) >= 500);
    }
}
