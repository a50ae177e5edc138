//! Watches (C-WSET, C-WORD, C-ACL): for each watch exactly the events that the model derives from
//! where it was registered, on the connection it was registered on: one for a one-time watch, one for
//! each change for the others until they are removed. None lost, none twice however many watches of a
//! connection hear the same change, none that nothing caused, none of a node that the client may not
//! read, in the order of changes, and before any reply that shows the change or a later one. After a
//! reconnect, SetWatches gives one catch-up event for each one-time watch whose time has passed,
//! before its reply, and arms the others. Removing and checking find what is there.
//!
//! Permitted: events lost with the connection; several changes folded into one event of a one-time
//! watch; an exists watch that sees nothing of a node that came and went during a disconnect.
//!
//! At a server without a quorum nothing happens, so no event is due there, and none may come. What a
//! SetWatches finds there is compared only where its zxid was committed: otherwise nothing is known of
//! the state that it met.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use zebu_core::ids::Xid;
use zebu_core::proto::{
    Acl, AddWatchMode, ClientMessage, ErrorCode, EventKind, Request, Response, SetWatches,
    WatcherEvent, WatcherType, perms,
};

use super::facts::Facts;
use super::facts::ledger::show;
use super::{Check, ensure};
use crate::history::{ClientId, Observation, View, Violation};
use crate::model::judge::permitted;
use crate::model::{Fired, Lookup, split};

#[derive(Debug, Default)]
pub struct Watches {
    clients: BTreeMap<ClientId, Watching>,
    /// Who waits for changes of a path, by mode.
    armed: Lookup<String, [BTreeSet<ClientId>; 4]>,
}

/// Upstream's modes; the first two are for one time, and each has a table of its own.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Mode {
    Data,
    Child,
    Persistent,
    Recursive,
}

const MODES: [Mode; 4] = [Mode::Data, Mode::Child, Mode::Persistent, Mode::Recursive];

impl Mode {
    fn is_once(self) -> bool {
        matches!(self, Self::Data | Self::Child)
    }
    /// Of a change at the watched path itself, or below it.
    fn hears(self, kind: EventKind, below: bool) -> bool {
        let of_children = kind == EventKind::NodeChildrenChanged;
        match self {
            Self::Data => !below && !of_children,
            Self::Child => !below && (of_children || kind == EventKind::NodeDeleted),
            Self::Persistent => !below,
            Self::Recursive => !of_children,
        }
    }
    /// Is it one of those that a removal or a check names?
    fn is_meant(self, watcher: WatcherType) -> bool {
        match watcher {
            WatcherType::Children => self == Self::Child,
            WatcherType::Data => self == Self::Data,
            WatcherType::Any => true,
            WatcherType::Persistent => self == Self::Persistent,
            WatcherType::PersistentRecursive => self == Self::Recursive,
        }
    }
}

/// One watch of a client: how, and which path.
type Watch = (Mode, String);

/// Which change: of which transaction, the how-manieth of it.
type Place = (u64, usize);

/// The watches of one client's connection.
#[derive(Debug, Default)]
struct Watching {
    armed: BTreeSet<Watch>,
    /// What happened after the watches below were left, and was not told yet.
    due: BTreeMap<Place, Due>,
    /// Events made by a SetWatches that is not answered yet.
    catching_up: Vec<WatcherEvent>,
    /// The change of the last event.
    last: Option<Place>,
    /// Which watches a SetWatches left is not known.
    blurred: bool,
}

#[derive(Debug)]
struct Due {
    kind: EventKind,
    path: String,
    /// The watches that heard it.
    by: BTreeSet<Watch>,
    /// The node's list, where the model knows it: who may not read is not told.
    acl: Option<Rc<Vec<Acl>>>,
    /// The client may read the node whatever its server has heard of it since.
    must: bool,
}

impl Check for Watches {
    fn observe(
        &mut self,
        facts: &Facts,
        _view: &View<'_>,
        what: &Observation<'_>,
    ) -> Result<(), Violation> {
        for committed in &facts.news.committed {
            let zxid = committed.proposed.txn.header.zxid.0;
            for (index, fired) in committed.fired.iter().enumerate() {
                self.fire(facts, (zxid, index), fired);
            }
        }
        if let Some(client) = facts.news.closed {
            self.forget(client);
        }
        let Observation::Received { client, message, .. } = what else { return Ok(()) };
        match message {
            ClientMessage::Event { zxid, event } => self.on_event(facts, *client, *zxid, event),
            ClientMessage::Reply { xid, zxid, result } => {
                self.on_reply(facts, *client, *xid, *zxid, result)
            }
            ClientMessage::Connected(_)
            | ClientMessage::LoginRefused { .. }
            | ClientMessage::Text(_) => Ok(()),
        }
    }
}

impl Watches {
    fn fire(&mut self, facts: &Facts, place: Place, fired: &Fired) {
        let mut base = fired.path.as_str();
        loop {
            let below = base != fired.path;
            for mode in MODES {
                if mode.hears(fired.kind, below) {
                    self.tell(facts, place, fired, (mode, base));
                }
            }
            if base == "/" {
                return;
            }
            base = split(base).0;
        }
    }

    /// Everybody who watches so has this to come.
    fn tell(&mut self, facts: &Facts, place: Place, fired: &Fired, (mode, base): (Mode, &str)) {
        let Some(modes) = self.armed.get_mut(base) else { return };
        let here = &mut modes[mode as usize];
        let clients = if mode.is_once() { std::mem::take(here) } else { here.clone() };
        for client in clients {
            let watching = self.clients.entry(client).or_default();
            let watch = (mode, base.to_owned());
            if mode.is_once() {
                watching.armed.remove(&watch);
            }
            watching.owe(facts, client, place, fired, watch);
        }
    }

    /// `client` watches from `zxid` on, which the model may have passed already.
    fn register(&mut self, facts: &Facts, client: ClientId, mode: Mode, path: &str, zxid: u64) {
        let watching = self.clients.entry(client).or_default();
        let watch = (mode, path.to_owned());
        if watching.armed.contains(&watch) {
            return;
        }
        if facts.reads_only(client) {
            watching.armed.insert(watch);
            return;
        }
        for (at, index, fired) in facts.model.fired_after(zxid) {
            let below = fired.path != path;
            if (below && !is_below(&fired.path, path)) || !mode.hears(fired.kind, below) {
                continue;
            }
            watching.owe(facts, client, (at, index), fired, watch.clone());
            if mode.is_once() {
                return;
            }
        }
        watching.armed.insert(watch);
        if !self.armed.contains_key(path) {
            self.armed.insert(path.into(), Default::default());
        }
        self.armed.get_mut(path).expect("just made sure of")[mode as usize].insert(client);
    }

    fn disarm(&mut self, client: ClientId, (mode, path): &Watch) {
        if let Some(modes) = self.armed.get_mut(path) {
            modes[*mode as usize].remove(&client);
        }
    }

    fn forget(&mut self, client: ClientId) {
        let Some(watching) = self.clients.remove(&client) else { return };
        for watch in &watching.armed {
            self.disarm(client, watch);
        }
    }

    /// What a removal or a check names at `zxid`, and `client` has.
    fn held(&self, client: ClientId, watcher: WatcherType, path: &str, zxid: u64) -> Vec<Watch> {
        let Some(watching) = self.clients.get(&client) else { return Vec::new() };
        let is_held = |watch: &Watch| {
            let mut later = watching.due.range((zxid + 1, 0)..);
            watching.armed.contains(watch) || later.any(|(_, due)| due.by.contains(watch))
        };
        let named = MODES.into_iter().filter(|mode| mode.is_meant(watcher));
        named.map(|mode| (mode, path.to_owned())).filter(is_held).collect()
    }

    /// It hears nothing of what came after `zxid`.
    fn remove(&mut self, client: ClientId, watch: &Watch, zxid: u64) {
        self.disarm(client, watch);
        let Some(watching) = self.clients.get_mut(&client) else { return };
        watching.armed.remove(watch);
        for (_, due) in watching.due.range_mut((zxid + 1, 0)..) {
            due.by.remove(watch);
        }
        watching.due.retain(|_, due| !due.by.is_empty());
    }

    fn on_event(
        &mut self,
        facts: &Facts,
        client: ClientId,
        zxid: i64,
        event: &WatcherEvent,
    ) -> Result<(), Violation> {
        let watching = self.clients.entry(client).or_default();
        if zxid <= 0 {
            watching.catching_up.push(event.clone());
            return Ok(());
        }
        let zxid = zxid as u64;
        let told = |due: &Due| due.kind == event.kind && due.path == event.path;
        let mut of_txn = watching.due.range((zxid, 0)..(zxid + 1, 0));
        let place = of_txn.find(|(_, due)| told(due)).map(|(place, _)| *place);
        let due = place.and_then(|place| watching.due.remove(&place));
        let (Some(place), Some(due)) = (place, due) else {
            return ensure(false, "C-WSET", || {
                format!("{client:?} got {event:?} of {}, for which no watch is left", show(zxid))
            });
        };
        let [_, most] = facts.callers(client);
        let may = due.acl.as_ref().and_then(|acl| permitted(acl, perms::READ, most));
        ensure(may != Some(false), "C-ACL", || {
            format!("{client:?} got {event:?} of {}, which it may not read", show(zxid))
        })?;
        let last = watching.last.replace(place);
        ensure(last < Some(place), "C-WSET", || {
            format!("{client:?} got {event:?} of {place:x?} behind one of {last:x?}")
        })
    }

    fn on_reply(
        &mut self,
        facts: &Facts,
        client: ClientId,
        xid: Xid,
        zxid: i64,
        result: &Result<Response, ErrorCode>,
    ) -> Result<(), Violation> {
        let Some(answered) = &facts.news.answered else { return Ok(()) };
        let Some(pending) = answered.pending.as_ref().filter(|_| answered.in_turn) else {
            return Ok(());
        };
        let Ok(zxid) = u64::try_from(zxid) else { return Ok(()) };
        let late = self.clients.get(&client).and_then(|watching| watching.late(zxid));
        match xid {
            Xid::AUTH => return Ok(()),
            // Its server has been there, so what was due until then was sent before.
            Xid::PING => {
                return ensure(late.is_none(), "C-WSET", || {
                    format!("{client:?} never got {late:?}, its server is at {}", show(zxid))
                });
            }
            _ => ensure(late.is_none(), "C-WORD", || {
                let request = &pending.request;
                format!("{client:?} got the reply to {request:?} of {} before {late:?}", show(zxid))
            })?,
        }
        if let Some(watching) = self.clients.get_mut(&client) {
            // Only what an access list holds back.
            watching.due = watching.due.split_off(&(zxid + 1, 0));
        }
        let watch = match (&*pending.request, result) {
            (Request::Exists { path, watch: true }, Ok(_) | Err(ErrorCode::NO_NODE))
            | (Request::GetData { path, watch: true }, Ok(_)) => Some((Mode::Data, path)),
            (
                Request::GetChildren { path, watch: true }
                | Request::GetChildren2 { path, watch: true },
                Ok(_),
            ) => Some((Mode::Child, path)),
            (Request::AddWatch { path, mode: AddWatchMode::Persistent }, Ok(_)) => {
                Some((Mode::Persistent, path))
            }
            (Request::AddWatch { path, mode: AddWatchMode::PersistentRecursive }, Ok(_)) => {
                Some((Mode::Recursive, path))
            }
            (Request::SetWatches(set), Ok(_)) => {
                return self.on_set_watches(facts, client, set, zxid);
            }
            (Request::CheckWatches { .. } | Request::RemoveWatches { .. }, _)
                if self.clients.get(&client).is_some_and(|watching| watching.blurred) =>
            {
                None
            }
            (Request::CheckWatches { path, watcher }, result) => {
                let held = self.held(client, *watcher, path, zxid);
                return found(client, &pending.request, &held, result);
            }
            (Request::RemoveWatches { path, watcher }, result) => {
                let held = self.held(client, *watcher, path, zxid);
                for watch in &held {
                    self.remove(client, watch, zxid);
                }
                return found(client, &pending.request, &held, result);
            }
            _ => None,
        };
        // The root under its empty name is never told of.
        if let Some((mode, path)) = watch.filter(|(_, path)| !path.is_empty()) {
            self.register(facts, client, mode, path, zxid);
        }
        Ok(())
    }

    // ZK: DataTree.setWatches (3.9); semantics.md section 8.4
    fn on_set_watches(
        &mut self,
        facts: &Facts,
        client: ClientId,
        set: &SetWatches,
        zxid: u64,
    ) -> Result<(), Violation> {
        if facts.reads_only(client) && !facts.ledger.is_committed(zxid) {
            let watching = self.clients.entry(client).or_default();
            watching.catching_up.clear();
            watching.blurred = true;
            return Ok(());
        }
        let seen = set.relative_zxid;
        let mut events = Vec::new();
        let mut arm = Vec::new();
        let node = |path: &str| facts.model.at(path, zxid);
        for path in &set.data {
            match node(path) {
                None => events.push((EventKind::NodeDeleted, path)),
                Some(n) if n.stat.mzxid > seen => events.push((EventKind::NodeDataChanged, path)),
                Some(_) => arm.push((Mode::Data, path)),
            }
        }
        for path in &set.exist {
            match node(path) {
                None => arm.push((Mode::Data, path)),
                Some(_) => events.push((EventKind::NodeCreated, path)),
            }
        }
        for path in &set.child {
            match node(path) {
                None => events.push((EventKind::NodeDeleted, path)),
                Some(n) if n.stat.pzxid > seen => {
                    events.push((EventKind::NodeChildrenChanged, path));
                }
                Some(_) => arm.push((Mode::Child, path)),
            }
        }
        let watching = self.clients.entry(client).or_default();
        let got = std::mem::take(&mut watching.catching_up);
        let same = got.len() == events.len()
            && got.iter().zip(&events).all(|(got, due)| (got.kind, &got.path) == *due);
        ensure(same, "C-WSET", || {
            format!(
                "{client:?} caught up from {seen} at {} with {got:?}, due were {events:?}",
                show(zxid)
            )
        })?;
        arm.extend(set.persistent.iter().map(|path| (Mode::Persistent, path)));
        arm.extend(set.persistent_recursive.iter().map(|path| (Mode::Recursive, path)));
        for (mode, path) in arm {
            self.register(facts, client, mode, path, zxid);
        }
        Ok(())
    }
}

impl Watching {
    fn owe(&mut self, facts: &Facts, client: ClientId, place: Place, fired: &Fired, by: Watch) {
        let due = self.due.entry(place).or_insert_with(|| {
            let gone = fired.kind == EventKind::NodeDeleted;
            let at = if gone { place.0 - 1 } else { place.0 };
            // What one transaction makes and deletes is not seen here.
            let node = facts.model.at(&fired.path, at);
            let acl = node.map(|node| Rc::clone(&node.acl));
            let [least, _] = facts.callers(client);
            let must =
                acl.as_ref().and_then(|acl| permitted(acl, perms::READ, least)) == Some(true);
            let (kind, path) = (fired.kind, fired.path.clone());
            Due { kind, path, by: BTreeSet::new(), acl, must }
        });
        due.by.insert(by);
    }

    /// What must have been told by a server that was at `zxid`.
    fn late(&self, zxid: u64) -> Option<(&Place, &Due)> {
        self.due.range(..(zxid + 1, 0)).find(|(_, due)| due.must)
    }
}

fn found(
    client: ClientId,
    request: &Request,
    held: &[Watch],
    result: &Result<Response, ErrorCode>,
) -> Result<(), Violation> {
    let expected = if held.is_empty() { Err(ErrorCode::NO_WATCHER) } else { Ok(Response::Empty) };
    ensure(*result == expected, "C-WSET", || {
        format!("{client:?} asked {request:?} and was told {result:?}; it has {held:?}")
    })
}

fn is_below(path: &str, base: &str) -> bool {
    base == "/" || path.strip_prefix(base).is_some_and(|rest| rest.starts_with('/'))
}

#[cfg(test)]
mod tests;
