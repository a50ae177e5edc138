//! Watches (C-WSET, C-WORD, C-ACL): for each watch exactly the events that the model derives from
//! where it was registered, on the connection it was registered on: one for a one-time watch, one for
//! each change for the others until they are removed. None lost, none twice however many watches of a
//! connection hear the same change, none that nothing caused, none of a node that the client may not
//! read, in the order of changes, and before any reply that shows the change or a later one. After a
//! reconnect, SetWatches gives one catch-up event for each one-time watch whose time has passed,
//! before its reply, and arms the others. Removing and checking find what is there.
//!
//! Permitted: events lost with the connection; several changes folded into one event of a one-time
//! watch; an exists watch that sees nothing of a node that came and went during a disconnect. Watches
//! at a server without a quorum are not looked at: nothing happens there, and they end with it.

use std::collections::{BTreeMap, BTreeSet};

use zebu_core::ids::Xid;
use zebu_core::proto::{
    AddWatchMode, ClientMessage, ErrorCode, EventKind, Request, Response, SetWatches, WatcherEvent,
    WatcherType, perms,
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
}

#[derive(Debug)]
struct Due {
    kind: EventKind,
    path: String,
    /// The watches that heard it.
    by: BTreeSet<Watch>,
    /// Whether the client may read the node; `None` where the model cannot tell.
    readable: Option<bool>,
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
        if facts.reads_only(*client) {
            return Ok(());
        }
        match message {
            ClientMessage::Event { zxid, event } => self.on_event(*client, *zxid, event),
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
        ensure(due.readable != Some(false), "C-ACL", || {
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
            let readable =
                node.and_then(|node| permitted(&node.acl, perms::READ, facts.caller(client)));
            let (kind, path) = (fired.kind, fired.path.clone());
            Due { kind, path, by: BTreeSet::new(), readable }
        });
        due.by.insert(by);
    }

    /// What must have been told by a server that was at `zxid`.
    fn late(&self, zxid: u64) -> Option<(&Place, &Due)> {
        self.due.range(..(zxid + 1, 0)).find(|(_, due)| due.readable == Some(true))
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
mod tests {
    use super::*;
    use crate::checkers::testkit::{Bench, ONE, SESSION, TWO, z};
    use crate::model::tests::create;
    use zebu_core::ids::Zxid;
    use zebu_core::txn::TxnBody;

    /// /a stands since 1:1, the client is connected.
    fn bench() -> Bench {
        let mut bench = Bench::new(3, vec![Box::new(Watches::default())]);
        bench.lead(ONE, 1);
        bench.establish(ONE, TWO, 1);
        bench.commit(z(1, 1), SESSION, 1, create("/a", 1, false)).unwrap();
        bench.connect(0, ONE, SESSION);
        bench
    }
    fn set_data(zxid: u64, bench: &mut Bench) {
        let body = TxnBody::SetData { path: "/a".into(), data: None, version: zxid as i32 };
        bench.commit(zxid, SESSION, zxid as i32, body).unwrap();
    }
    fn event(kind: EventKind, path: &str) -> WatcherEvent {
        WatcherEvent { kind, path: path.into() }
    }
    const CHANGED: EventKind = EventKind::NodeDataChanged;
    fn watch(bench: &mut Bench, xid: i32, path: &str, at: u64) -> Result<(), Violation> {
        bench.ask(0, xid, Request::Exists { path: path.into(), watch: true });
        bench.answer(0, xid, at, Err(ErrorCode::NO_NODE))
    }
    fn broken(result: Result<(), Violation>) -> &'static str {
        result.unwrap_err().property
    }

    #[test]
    fn one_event_for_one_watch_before_what_shows_it() {
        let mut bench = bench();
        watch(&mut bench, 1, "/a", z(1, 1)).unwrap();
        assert_eq!(broken(bench.notify(0, z(1, 2) as i64, event(CHANGED, "/a"))), "C-WSET");
        set_data(z(1, 2), &mut bench);
        set_data(z(1, 3), &mut bench);
        watch(&mut bench, 2, "/b", z(1, 1)).unwrap();
        assert_eq!(broken(watch(&mut bench, 3, "/b", z(1, 2))), "C-WORD");
        bench.notify(0, z(1, 2) as i64, event(CHANGED, "/a")).unwrap();
        watch(&mut bench, 4, "/b", z(1, 3)).unwrap();
        assert_eq!(broken(bench.notify(0, z(1, 3) as i64, event(CHANGED, "/a"))), "C-WSET");
    }

    #[test]
    fn a_reply_that_arrives_late_still_owes_its_event() {
        let mut bench = bench();
        set_data(z(1, 2), &mut bench);
        bench.commit(z(1, 3), SESSION, 3, TxnBody::Delete { path: "/a".into() }).unwrap();
        watch(&mut bench, 1, "/a", z(1, 1)).unwrap();
        bench.ask(0, 2, Request::GetChildren { path: "/a".into(), watch: true });
        bench.answer(0, 2, z(1, 1), Ok(Response::Children(vec![]))).unwrap();
        bench.notify(0, z(1, 2) as i64, event(CHANGED, "/a")).unwrap();
        bench.notify(0, z(1, 3) as i64, event(EventKind::NodeDeleted, "/a")).unwrap();
        watch(&mut bench, 3, "/b", z(1, 3)).unwrap();
    }

    fn add(bench: &mut Bench, xid: i32, path: &str, mode: AddWatchMode, at: u64) {
        bench.ask(0, xid, Request::AddWatch { path: path.into(), mode });
        bench.answer(0, xid, at, Ok(Response::WatchAdded)).unwrap();
    }
    fn take(
        bench: &mut Bench,
        xid: i32,
        watcher: WatcherType,
        at: u64,
        result: Result<Response, ErrorCode>,
    ) -> Result<(), Violation> {
        bench.ask(0, xid, Request::RemoveWatches { path: "/a".into(), watcher });
        bench.answer(0, xid, at, result)
    }
    const DONE: Result<Response, ErrorCode> = Ok(Response::Empty);
    const NONE: Result<Response, ErrorCode> = Err(ErrorCode::NO_WATCHER);

    #[test]
    fn persistent_watches_owe_an_event_for_every_change() {
        let mut bench = bench();
        add(&mut bench, 1, "/a", AddWatchMode::Persistent, z(1, 1));
        add(&mut bench, 2, "/", AddWatchMode::PersistentRecursive, z(1, 1));
        watch(&mut bench, 3, "/a", z(1, 1)).unwrap();
        set_data(z(1, 2), &mut bench);
        set_data(z(1, 3), &mut bench);
        let both = vec![create("/a/x", 1, false), create("/a/y", 2, false)];
        bench.commit(z(1, 4), SESSION, 4, TxnBody::Multi(both)).unwrap();
        let (made, children) = (EventKind::NodeCreated, EventKind::NodeChildrenChanged);
        bench.notify(0, z(1, 2) as i64, event(CHANGED, "/a")).unwrap();
        // Three watches heard it, and it is told once.
        assert_eq!(broken(bench.notify(0, z(1, 2) as i64, event(CHANGED, "/a"))), "C-WSET");
        bench.notify(0, z(1, 3) as i64, event(CHANGED, "/a")).unwrap();
        for path in ["/a/x", "/a/y"] {
            bench.notify(0, z(1, 4) as i64, event(made, path)).unwrap();
            bench.notify(0, z(1, 4) as i64, event(children, "/a")).unwrap();
        }
        assert_eq!(broken(bench.notify(0, z(1, 4) as i64, event(children, "/a"))), "C-WSET");
        // The root's children are not the recursive watch's.
        bench.commit(z(1, 5), SESSION, 5, create("/b", 2, false)).unwrap();
        assert_eq!(broken(bench.notify(0, z(1, 5) as i64, event(children, "/"))), "C-WSET");
        assert_eq!(broken(watch(&mut bench, 6, "/c", z(1, 5))), "C-WORD");
    }

    #[test]
    fn changes_of_one_transaction_come_in_their_order() {
        let mut bench = bench();
        add(&mut bench, 1, "/a", AddWatchMode::PersistentRecursive, z(1, 1));
        let both = vec![create("/a/x", 1, false), create("/a/y", 2, false)];
        bench.commit(z(1, 2), SESSION, 2, TxnBody::Multi(both)).unwrap();
        bench.notify(0, z(1, 2) as i64, event(EventKind::NodeCreated, "/a/y")).unwrap();
        let x = bench.notify(0, z(1, 2) as i64, event(EventKind::NodeCreated, "/a/x"));
        assert_eq!(broken(x), "C-WSET");
    }

    #[test]
    fn removal_ends_what_it_names_where_it_was_answered() {
        use WatcherType::*;
        let mut bench = bench();
        assert_eq!(broken(take(&mut bench, 1, Any, z(1, 1), DONE)), "C-WSET");
        add(&mut bench, 2, "/a", AddWatchMode::Persistent, z(1, 1));
        watch(&mut bench, 3, "/a", z(1, 1)).unwrap();
        set_data(z(1, 2), &mut bench);
        // Answered by a server that is behind the change.
        take(&mut bench, 4, Children, z(1, 1), NONE).unwrap();
        take(&mut bench, 5, Persistent, z(1, 1), DONE).unwrap();
        assert_eq!(broken(take(&mut bench, 6, Persistent, z(1, 1), DONE)), "C-WSET");
        // The exists watch is left, once.
        bench.notify(0, z(1, 2) as i64, event(CHANGED, "/a")).unwrap();
        take(&mut bench, 7, Data, z(1, 2), NONE).unwrap();
        set_data(z(1, 3), &mut bench);
        assert_eq!(broken(bench.notify(0, z(1, 3) as i64, event(CHANGED, "/a"))), "C-WSET");
        // One that a later change used up is removed before it.
        watch(&mut bench, 8, "/a", z(1, 3)).unwrap();
        set_data(z(1, 4), &mut bench);
        take(&mut bench, 9, Data, z(1, 3), DONE).unwrap();
        assert_eq!(broken(bench.notify(0, z(1, 4) as i64, event(CHANGED, "/a"))), "C-WSET");
    }

    #[test]
    fn who_may_not_read_is_told_nothing() {
        let mut bench = bench();
        add(&mut bench, 1, "/a", AddWatchMode::Persistent, z(1, 1));
        let acl = vec![zebu_core::proto::Acl::world(perms::ALL & !perms::READ)];
        let body = TxnBody::SetAcl { path: "/a".into(), acl, version: 1 };
        bench.commit(z(1, 2), SESSION, 2, body).unwrap();
        set_data(z(1, 3), &mut bench);
        assert_eq!(broken(bench.notify(0, z(1, 3) as i64, event(CHANGED, "/a"))), "C-ACL");
        watch(&mut bench, 3, "/c", z(1, 3)).unwrap();
    }

    #[test]
    fn watches_end_with_their_connection() {
        let mut bench = bench();
        watch(&mut bench, 1, "/a", z(1, 1)).unwrap();
        bench.disconnect(0);
        bench.connect(0, ONE, SESSION);
        set_data(z(1, 2), &mut bench);
        watch(&mut bench, 2, "/b", z(1, 2)).unwrap();
        assert_eq!(broken(bench.notify(0, z(1, 2) as i64, event(CHANGED, "/a"))), "C-WSET");
    }

    #[test]
    fn an_event_that_never_comes() {
        let mut bench = bench();
        watch(&mut bench, 1, "/a", z(1, 1)).unwrap();
        set_data(z(1, 2), &mut bench);
        bench.ask(0, -2, Request::Ping);
        bench.answer(0, -2, z(1, 1), Ok(Response::Empty)).unwrap();
        bench.ask(0, -2, Request::Ping);
        assert_eq!(broken(bench.answer(0, -2, z(1, 2), Ok(Response::Empty))), "C-WSET");
    }

    #[test]
    fn catching_up() {
        let mut bench = bench();
        set_data(z(1, 2), &mut bench);
        bench.commit(z(1, 3), SESSION, 3, create("/b", 2, false)).unwrap();
        let names = |names: &[&str]| names.iter().map(|n| (*n).into()).collect::<Vec<String>>();
        let set = |seen| {
            Request::SetWatches(SetWatches {
                relative_zxid: Zxid(seen),
                data: names(&["/a", "/gone"]),
                exist: names(&["/b", "/c"]),
                child: names(&["/a"]),
                persistent: vec![],
                persistent_recursive: vec![],
            })
        };
        bench.ask(0, -8, set(z(1, 1)));
        bench.notify(0, -1, event(CHANGED, "/a")).unwrap();
        bench.notify(0, -1, event(EventKind::NodeDeleted, "/gone")).unwrap();
        bench.notify(0, -1, event(EventKind::NodeCreated, "/b")).unwrap();
        bench.answer(0, -8, z(1, 3), Ok(Response::Empty)).unwrap();
        // The exists watch of /c was armed; without its event no later reply.
        bench.commit(z(1, 4), SESSION, 4, create("/c", 3, false)).unwrap();
        assert_eq!(broken(watch(&mut bench, 1, "/d", z(1, 4))), "C-WORD");

        bench.disconnect(0);
        bench.connect(0, ONE, SESSION);
        bench.ask(0, -8, set(z(1, 2)));
        let lacking = bench.answer(0, -8, z(1, 3), Ok(Response::Empty));
        assert_eq!(broken(lacking), "C-WSET");
    }
}
