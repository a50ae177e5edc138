//! What happens to a server's files beside what it writes: they are read for learners, purged, they
//! rot, and a disk is lost. With the last comes the operator, who says when a server may begin with
//! nothing.

use std::collections::VecDeque;

use zebu_core::ids::{LinkId, Zxid};
use zebu_core::server::{Event, StoreOp};
use zebu_core::storage::{Dir, Directory, DiskOp, FileName, PURGE_KEEPS_MIN, purge_plan, read_log};

use crate::agenda::What;
use crate::audience::Audience;
use crate::counters::Counter;
use crate::decide::{About, Draw};
use crate::disk::SimDisk;
use crate::history::{Observation, SimTime, StopReason};
use crate::net::ConnKey;
use crate::process::{DiskDone, Node};
use crate::world::World;

/// What is known of a machine's files beside the files.
#[derive(Clone, Debug)]
pub struct Upkeep {
    /// The operator wants it to begin with nothing (upstream: the file `initialize`).
    pub(crate) is_new: bool,
    /// Its disk was lost, when somebody had applied so much, and it was not seen to serve since.
    lost_at: Option<Zxid>,
    /// Snapshots that the server took since its history was replaced, or since one rotted: any of them
    /// but one is not needed.
    snapshots: u32,
    /// The newest of them.
    newest: u64,
    /// What is left of a purge under way.
    purge: Option<VecDeque<DiskOp>>,
}

impl Default for Upkeep {
    fn default() -> Self {
        Self { is_new: true, lost_at: None, snapshots: 0, newest: 0, purge: None }
    }
}

impl Upkeep {
    pub(crate) fn stopped(&mut self) {
        self.purge = None;
    }
    pub(crate) fn snapshot_taken(&mut self, zxid: u64) {
        self.snapshots += 1;
        self.newest = zxid;
    }
    /// The log thread is about to plan `ops`. What replaces history must not find a purge beside it.
    pub(crate) fn storing(&mut self, ops: &[StoreOp]) {
        let replaces = |op: &StoreOp| matches!(op, StoreOp::Truncate { .. } | StoreOp::Install(_));
        if ops.iter().any(replaces) {
            self.purge = None;
            self.snapshots = 0;
        }
    }
}

/// Reading.
impl World {
    /// Beside everything else: it may take longer than anything that changes the files.
    pub(crate) fn read_log(&mut self, s: usize, link: LinkId, above: Zxid, upto: Zxid) {
        let node = &self.nodes[s];
        let (server, incarnation) = (s as u8, node.incarnation);
        let mut draw = self.decide.draw(About::DiskLatency, s as u64, link.0 << 20);
        let usual = draw.magnitude(self.profile.sync_ns, 100 * self.profile.sync_ns);
        let due = self.now + node.trouble.slow.stretch(self.now, usual);
        let (conn, above, upto) = (ConnKey(link.0 as u32), above.0, upto.0);
        self.agenda.push(due, What::LogRead { server, incarnation, conn, above, upto });
    }

    pub(crate) fn on_log_read(
        &mut self,
        s: usize,
        conn: ConnKey,
        [above, upto]: [Zxid; 2],
        aud: &mut Audience,
    ) {
        let entries = read_log(&self.nodes[s].disk, above, upto, &self.storage_config());
        let (link, entries) = (LinkId(conn.0.into()), entries.ok().flatten());
        aud.counters.add(Counter::LogsRead, u64::from(entries.is_some()));
        self.tell(s, Event::LogRead { link, above, entries }, aud);
    }
}

/// Purges.
impl World {
    pub(crate) fn purge_later(&mut self, s: usize) {
        let Some(ms) = self.scenario.file.ensemble.purge_ms else { return };
        let (server, incarnation) = (s as u8, self.nodes[s].incarnation);
        self.agenda.push(self.now + ms * 1_000_000, What::PurgeOp { server, incarnation });
    }

    pub(crate) fn on_purge_op(&mut self, s: usize, aud: &mut Audience) {
        let config = self.storage_config();
        let node = &mut self.nodes[s];
        let Some(ops) = &mut node.upkeep.purge else {
            let replacing = node.process().is_some_and(|process| process.replaces_history());
            if !replacing && node.is_running() {
                let ops = purge_plan(&node.disk, PURGE_KEEPS_MIN, &config).unwrap_or_default();
                node.upkeep.purge = Some(ops.into());
            }
            return self.next_purge_op(s);
        };
        let Some(op) = ops.pop_front() else { return self.next_purge_op(s) };
        match self.disk_op(s, &op, aud) {
            DiskDone::Yes => {
                aud.counters.add(Counter::Purged, u64::from(matches!(op, DiskOp::Remove(_))));
            }
            // It costs space.
            DiskDone::No(_) => self.nodes[s].upkeep.purge = None,
            DiskDone::Crashed => return,
        }
        self.next_purge_op(s);
    }

    fn next_purge_op(&mut self, s: usize) {
        let op = self.nodes[s].upkeep.purge.as_ref().and_then(|ops| ops.front().cloned());
        let Some(op) = op else {
            self.nodes[s].upkeep.purge = None;
            return self.purge_later(s);
        };
        let due = self.now + self.disk_latency(s, &op);
        let (server, incarnation) = (s as u8, self.nodes[s].incarnation);
        self.agenda.push(due, What::PurgeOp { server, incarnation });
    }
}

/// Rot and loss.
impl World {
    /// The newest snapshot, where there is another one and the log from there on. Of `s`, or of the
    /// next server that is like that.
    pub(crate) fn rot_snapshot(
        &mut self,
        s: usize,
        downtime: SimTime,
        draw: &mut Draw,
        aud: &mut Audience,
    ) {
        let servers = self.nodes.len();
        let mut each = (s..s + servers).map(|s| s % servers);
        let Some(s) = each.find(|s| self.can_do_without_newest(*s)) else { return };
        let newest = self.nodes[s].upkeep.newest;
        self.stop_for(s, StopReason::Kill, Some(downtime), aud);
        let node = &mut self.nodes[s];
        node.upkeep.snapshots = 0;
        let file = FileName { dir: Dir::Data, name: format!("snapshot.{newest:x}") };
        if node.disk.flip(&file, draw) {
            aud.counters.add(Counter::RottenSnapshots, 1);
        }
    }

    fn can_do_without_newest(&mut self, s: usize) -> bool {
        let node = &mut self.nodes[s];
        let (snapshots, newest) = (node.upkeep.snapshots, node.upkeep.newest);
        // When its log is at rest, it has there what it has applied, and so what is in the snapshot.
        let is_logged = node.process().is_some_and(|process| {
            process.is_logged() && process.server.database().last_processed.0 > newest
        });
        snapshots >= 2 && is_logged
    }

    /// Of `s`, or of the next one that runs.
    pub(crate) fn wipe(&mut self, s: usize, downtime: SimTime, aud: &mut Audience) {
        for node in &mut self.nodes {
            if node.is_serving() {
                node.upkeep.lost_at = None;
            }
        }
        // More than one at a time is more than any ensemble promises to survive.
        if self.nodes.iter().any(|node| node.upkeep.lost_at.is_some()) {
            return;
        }
        let servers = self.nodes.len();
        let mut each = (s..s + servers).map(|s| s % servers);
        let Some(s) = each.find(|s| !self.nodes[*s].is_down()) else { return };
        let lost_at = self.applied().max();
        self.stop_for(s, StopReason::PowerLoss, Some(downtime), aud);
        let node = &mut self.nodes[s];
        node.disk = SimDisk::new();
        node.upkeep = Upkeep { is_new: false, lost_at, ..Upkeep::default() };
        let server = node.id;
        aud.counters.add(Counter::Wipes, 1);
        aud.observe(self.now, &self.nodes, &Observation::Wiped { server });
    }

    /// A server finds nothing, and must not begin so. Its operator makes it a new one when all the
    /// others serve, with what there was when the disk was lost: a quorum without it has everything
    /// that it may ever have acknowledged.
    pub(crate) fn without_database(&mut self, s: usize, aud: &mut Audience) {
        aud.counters.add(Counter::NoDatabase, 1);
        let lost_at = self.nodes[s].upkeep.lost_at;
        let others = self.nodes.iter().enumerate().filter(|(other, _)| *other != s);
        let serve = others.map(|(_, node)| node).all(Node::is_serving);
        self.nodes[s].upkeep.is_new = serve && self.applied().min() >= lost_at;
        let (server, incarnation) = (s as u8, self.nodes[s].incarnation);
        self.agenda.push(self.now + self.tick_ns(), What::Restart { server, incarnation });
    }
}

impl World {
    /// What each running server has applied.
    fn applied(&self) -> impl Iterator<Item = Zxid> {
        self.nodes.iter().filter_map(|node| Some(node.view().database?.last_processed))
    }
}

impl SimDisk {
    /// Whether there is such a file with anything in it.
    fn flip(&mut self, file: &FileName, draw: &mut Draw) -> bool {
        let mut byte = [0];
        let len = self.len_of(file).unwrap_or(0);
        let at = draw.below(len.max(1));
        if self.read(file, at, &mut byte).ok() != Some(1) {
            return false;
        }
        let bytes = vec![byte[0] ^ (1 << draw.below(8))].into();
        let ops =
            [DiskOp::Write { file: file.clone(), offset: at, bytes }, DiskOp::Sync(file.clone())];
        ops.iter().all(|op| self.perform(op).is_ok())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decide::Decide;

    #[test]
    fn one_bit_of_a_file_flips() {
        let file = FileName { dir: Dir::Data, name: "snapshot.5".into() };
        let mut disk = SimDisk::new();
        let mut draw = Decide::new(1).draw(About::FaultShape, 0, 0);
        assert!(!disk.flip(&file, &mut draw));
        disk.perform(&DiskOp::Create(file.clone())).unwrap();
        let bytes = bytes::Bytes::from_static(&[0; 40]);
        disk.perform(&DiskOp::Write { file: file.clone(), offset: 0, bytes }).unwrap();
        assert!(disk.flip(&file, &mut draw));
        let mut found = [0; 40];
        assert_eq!(disk.read(&file, 0, &mut found), Ok(40));
        assert_eq!(found.iter().map(|byte| byte.count_ones()).sum::<u32>(), 1);
    }
}
