//! What a transaction that was applied here means to clients: its events, its own reply, and the
//! turn of what waited behind it.
//!
// ZK: FinalRequestProcessor, CommitProcessor (3.9)

use crate::ids::{ConnId, Zxid};
use crate::mutant::Mutant;
use crate::ops;
use crate::proto::{Acl, ClientMessage, ErrorCode, WatcherEvent};
use crate::tree::Applied;
use crate::txn::{Entry, TxnBody};
use crate::watch::Notice;

use super::super::cx::Cx;
use super::super::{CloseReason, Note};
use super::{Conn, InFlight, Order, Phase};

impl Order {
    /// A transaction was applied here: its events, then its reply, then what waited behind it.
    pub(crate) fn on_delivered(&mut self, entry: &Entry, applied: &Applied, cx: &mut Cx) {
        let zxid = entry.zxid();
        for (conn, zxid, event) in core::mem::take(&mut self.late_events) {
            self.reply(conn, ClientMessage::Event { zxid, event }, cx);
        }
        for change in &applied.changes {
            for Notice { event, acl, conns } in self.watches.fire(change) {
                cx.metrics.fired(event.kind, conns.len());
                for conn in conns {
                    self.notify(conn, acl, zxid, &event, cx);
                }
            }
        }
        let session = entry.txn.header.session;
        if let Some(flight) = self.take_flight(entry, cx) {
            self.finish_write(flight, entry, applied, cx);
        }
        if let TxnBody::CloseSession { .. } = entry.txn.body
            && let Some(&holder) = self.holders.get(&session)
        {
            self.close(holder, CloseReason::SessionClosed(session), cx);
        }
    }

    // ZK: NIOServerCnxn.process (3.9)
    pub(super) fn notify(
        &mut self,
        conn: ConnId,
        acl: &[Acl],
        zxid: Zxid,
        event: &WatcherEvent,
        cx: &mut Cx,
    ) {
        let rules = &cx.config.auth;
        let may_read = |c: &Conn| ops::may_read(acl, c.identity.access(rules));
        let may_read = self.conns.get(&conn).is_some_and(may_read);
        if !may_read && !cx.config.planted(Mutant::WatchEventNoAcl) {
            return;
        }
        let (zxid, event) = (zxid.to_wire(), event.clone());
        if cx.config.planted(Mutant::EventAfterReplies) {
            self.late_events.push((conn, zxid, event));
        } else {
            self.reply(conn, ClientMessage::Event { zxid, event }, cx);
        }
    }

    /// Is this transaction the oldest write of its session that came through this server?
    // Writes of one server reach the leader, and come back, in their order.
    pub(super) fn take_flight(&mut self, entry: &Entry, cx: &Cx) -> Option<InFlight> {
        let header = &entry.txn.header;
        let queue = self.in_flight.get_mut(&header.session)?;
        let opens = matches!(entry.txn.body, TxnBody::CreateSession { .. });
        let closes = matches!(entry.txn.body, TxnBody::CloseSession { .. });
        let matches = |f: &InFlight| {
            (f.cxid == header.cxid || cx.config.planted(Mutant::CommitQueueMatchesBySessionOnly))
                && ((f.opens, f.closes) == (opens, closes)
                    || matches!(entry.txn.body, TxnBody::Error(_)))
        };
        let flight = queue.front().copied().filter(matches)?;
        queue.pop_front();
        self.pressure.landed();
        if queue.is_empty() {
            self.in_flight.remove(&header.session);
        }
        Some(flight)
    }

    pub(super) fn finish_write(
        &mut self,
        flight: InFlight,
        entry: &Entry,
        applied: &Applied,
        cx: &mut Cx,
    ) {
        let conn = flight.conn;
        let Some(c) = self.conns.get_mut(&conn) else { return };
        let session = entry.txn.header.session;
        match c.phase {
            Phase::Opening { .. } => {
                if let TxnBody::CreateSession { .. } = entry.txn.body {
                    cx.note(Note::SessionOpened(session));
                    self.opened(conn, cx);
                } else {
                    self.refuse(conn, cx);
                }
                return;
            }
            Phase::Open { .. } | Phase::Greeting => {}
        }
        if flight.opens {
            // A local session was to become global. Nobody waits for more than its session.
            if let TxnBody::Error(_) = entry.txn.body {
                self.close(conn, CloseReason::SessionClosed(session), cx);
            }
            return;
        }
        let Some(waiting) = c.waiting.pop_front() else { return };
        c.flow.writes_sent -= 1;
        let result = ops::reply(&waiting.request, &entry.txn, applied, &cx.database);
        if result == Err(ErrorCode::SESSION_MOVED) {
            return self.close(conn, CloseReason::SessionMoved(session), cx);
        }
        let was_local = self.local.contains(session);
        let result = self.judge_local(session, &waiting.request, result);
        self.answer(conn, &waiting, result, entry.zxid(), cx);
        if was_local && !self.local.contains(session) {
            return self.close(conn, CloseReason::SessionClosed(session), cx);
        }
        self.answer_waiting(conn, cx);
    }
}
