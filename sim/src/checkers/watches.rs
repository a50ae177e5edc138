//! Watches (C-WSET, C-WORD): for each one-time watch exactly the event that the model derives from
//! where it was registered, on the connection it was registered on: none lost, none twice, none that
//! nothing caused, in the order of changes, and before any reply that shows the change or a later
//! one. After a reconnect, SetWatches gives one catch-up event for each watch whose time has passed,
//! before its reply, and arms the others.
//!
//! Permitted: events lost with the connection; several changes folded into one event; an exists
//! watch that sees nothing of a node that came and went during a disconnect; an event held back from
//! a client that may not read the node.

use std::collections::{BTreeMap, BTreeSet};

use zebu_core::ids::Xid;
use zebu_core::proto::{
    ClientMessage, ErrorCode, EventKind, Request, Response, SetWatches, WatcherEvent, perms,
};

use super::facts::Facts;
use super::facts::ledger::show;
use super::{Check, ensure};
use crate::history::{ClientId, Observation, View, Violation};
use crate::model::judge::permitted;
use crate::model::{Lookup, Table};

/// An event that is due: of which change, what, where.
type Due = (u64, EventKind, String);

#[derive(Debug, Default)]
pub struct Watches {
    clients: BTreeMap<ClientId, Watching>,
    /// Who waits for changes of a path, by table.
    armed: Lookup<String, [BTreeSet<ClientId>; 2]>,
}

/// The watches of one client's connection.
#[derive(Debug, Default)]
struct Watching {
    armed: BTreeSet<(Table, String)>,
    due: BTreeSet<Due>,
    /// Due, but an access list may hold it back.
    may_come: BTreeSet<Due>,
    /// Events made by a SetWatches that is not answered yet.
    catching_up: Vec<WatcherEvent>,
    /// The change of the last event.
    last: u64,
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
            for fired in &committed.fired {
                self.fire(facts, zxid, fired.kind, &fired.path);
            }
        }
        if let Some(client) = facts.news.closed {
            self.forget(client);
        }
        let Observation::Received { client, message, .. } = what else { return Ok(()) };
        match message {
            ClientMessage::Event { zxid, event } => self.on_event(*client, *zxid, event),
            ClientMessage::Reply { xid, zxid, result } => {
                self.on_reply(facts, *client, *xid, *zxid, result)
            }
            ClientMessage::Connected(_) | ClientMessage::Text(_) => Ok(()),
        }
    }
}

impl Watches {
    fn fire(&mut self, facts: &Facts, zxid: u64, kind: EventKind, path: &str) {
        let Some(tables) = self.armed.get_mut(path) else { return };
        for table in [Table::Data, Table::Child] {
            if !table.hears(kind) {
                continue;
            }
            for client in std::mem::take(&mut tables[table as usize]) {
                let watching = self.clients.entry(client).or_default();
                watching.armed.remove(&(table, path.into()));
                watching.owe(facts, client, (zxid, kind, path.into()));
            }
        }
    }

    fn register(&mut self, facts: &Facts, client: ClientId, table: Table, path: &str, zxid: u64) {
        let watching = self.clients.entry(client).or_default();
        if let Some((at, kind)) = facts.model.next_event(path, table, zxid) {
            watching.owe(facts, client, (at, kind, path.into()));
        } else if watching.armed.insert((table, path.into())) {
            if !self.armed.contains_key(path) {
                self.armed.insert(path.into(), Default::default());
            }
            self.armed.get_mut(path).expect("just made sure of")[table as usize].insert(client);
        }
    }

    fn forget(&mut self, client: ClientId) {
        let Some(watching) = self.clients.remove(&client) else { return };
        for (table, path) in watching.armed {
            if let Some(tables) = self.armed.get_mut(&path) {
                tables[table as usize].remove(&client);
            }
        }
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
        let due = (zxid, event.kind, event.path.clone());
        let expected = watching.due.remove(&due) || watching.may_come.remove(&due);
        ensure(expected, "C-WSET", || {
            format!("{client:?} got {event:?} of {}, for which no watch is left", show(zxid))
        })?;
        let last = std::mem::replace(&mut watching.last, zxid);
        ensure(zxid >= last, "C-WSET", || {
            format!("{client:?} got {event:?} of {} behind one of {}", show(zxid), show(last))
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
        if matches!(xid, Xid::PING | Xid::AUTH) {
            if let (Xid::PING, Some(watching)) = (xid, self.clients.get(&client)) {
                // Its server has been there, so what was due until then was sent before.
                let lost = watching.due.first().filter(|due| due.0 <= zxid);
                return ensure(lost.is_none(), "C-WSET", || {
                    format!("{client:?} never got {lost:?}, its server is at {}", show(zxid))
                });
            }
            return Ok(());
        }
        if let Some(watching) = self.clients.get(&client) {
            let late = watching.due.first().filter(|due| due.0 <= zxid);
            ensure(late.is_none(), "C-WORD", || {
                let request = &pending.request;
                format!("{client:?} got the reply to {request:?} of {} before {late:?}", show(zxid))
            })?;
        }
        let watch = match (&*pending.request, result) {
            (Request::Exists { path, watch: true }, Ok(_) | Err(ErrorCode::NO_NODE))
            | (Request::GetData { path, watch: true }, Ok(_)) => Some((Table::Data, path)),
            (
                Request::GetChildren { path, watch: true }
                | Request::GetChildren2 { path, watch: true },
                Ok(_),
            ) => Some((Table::Child, path)),
            (Request::SetWatches(set), Ok(_)) => {
                return self.on_set_watches(facts, client, set, zxid);
            }
            _ => None,
        };
        // The root under its empty name is never told of.
        if let Some((table, path)) = watch.filter(|(_, path)| !path.is_empty()) {
            self.register(facts, client, table, path, zxid);
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
                Some(_) => arm.push((Table::Data, path)),
            }
        }
        for path in &set.exist {
            match node(path) {
                None => arm.push((Table::Data, path)),
                Some(_) => events.push((EventKind::NodeCreated, path)),
            }
        }
        for path in &set.child {
            match node(path) {
                None => events.push((EventKind::NodeDeleted, path)),
                Some(n) if n.stat.pzxid > seen => {
                    events.push((EventKind::NodeChildrenChanged, path));
                }
                Some(_) => arm.push((Table::Child, path)),
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
        for (table, path) in arm {
            self.register(facts, client, table, path, zxid);
        }
        Ok(())
    }
}

impl Watching {
    fn owe(&mut self, facts: &Facts, client: ClientId, due: Due) {
        let (zxid, kind, path) = &due;
        let at = if *kind == EventKind::NodeDeleted { zxid - 1 } else { *zxid };
        let readable = facts.model.at(path, at).is_some_and(|node| {
            permitted(&node.acl, perms::READ, facts.caller(client)) == Some(true)
        });
        if readable {
            self.due.insert(due);
        } else {
            self.may_come.insert(due);
        }
    }
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
