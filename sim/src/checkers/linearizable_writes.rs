//! Writes (C-LINW, C-ERR, C-MULTI, C-SEQ, C-STAT, C-QUOTA, and of C-EPH what writes do): the committed order
//! is a linearization of all writes of all clients.
//!
//! Every write that reached a leader has a place in it, refused ones too. At its place the model says
//! what it comes to: the transaction and the reply must be just that. A write has at most one place;
//! its reply names it; writes of one session stand in the order in which they were sent; a write sent
//! after another's reply stands behind it. A refusal without a place must be one that needs none, and
//! then the write never gets one with an effect.
//!
//! Permitted: a write without a reply may stand anywhere behind its sending, or nowhere. A write that
//! comes late through a server that its client has left is refused, behind later ones. SessionMoved is
//! also accepted when another server, which the client left before it answered, may have asked for the
//! session since: the leader cannot know which of two came first (upstream's limit too). QuotaExceeded
//! also limits a session's ephemerals. A local session that its client took to another server may be
//! refused as expired.

use zebu_core::ids::Xid;
use zebu_core::proto::{ClientMessage, ErrorCode, Request, Response, create_flags};
use zebu_core::txn::{Txn, TxnBody};

use super::facts::clients::{Write, is_write};
use super::facts::ledger::show;
use super::facts::{Committed, Facts};
use super::{Check, ensure};
use crate::history::{Observation, View, Violation};
use crate::model::Lookup;

#[derive(Debug, Default)]
pub struct LinearizableWrites {
    /// The last write of each session that got its place, by order of sending.
    placed: Lookup<u64, u64>,
}

impl Check for LinearizableWrites {
    fn observe(
        &mut self,
        facts: &Facts,
        _view: &View<'_>,
        what: &Observation<'_>,
    ) -> Result<(), Violation> {
        for committed in &facts.news.committed {
            self.on_committed(facts, committed)?;
        }
        match what {
            Observation::Received {
                message: ClientMessage::Reply { xid, zxid, result }, ..
            } => on_reply(facts, *xid, *zxid, result),
            _ => Ok(()),
        }
    }
}

impl LinearizableWrites {
    fn on_committed(&mut self, facts: &Facts, committed: &Committed) -> Result<(), Violation> {
        let txn = &committed.proposed.txn;
        let (header, body) = (&txn.header, &txn.body);
        let zxid = header.zxid.0;
        digest_fits(facts, committed)?;
        let Some(key) = committed.write else { return own_transaction(committed) };
        let write = &facts.writes[&key];
        ensure(!committed.repeated, "C-LINW", || {
            format!(
                "{:?} of session {:x} took effect again at {}",
                write.request,
                key.0,
                show(zxid)
            )
        })?;
        if is_expired(body) && !committed.session_was_open && was_left(facts, write) {
            // So late that the session is closed: refused, wherever it stands.
            return Ok(());
        }
        if *body == TxnBody::Error(ErrorCode::SESSION_MOVED) {
            // It came late through a server that the client had left.
            ensure(was_left(facts, write) || was_asked_for(facts, write), "C-ERR", || {
                format!("{:?} is refused as moved, its client never did", write.request)
            })?;
            return Ok(());
        }
        let placed = self.placed.entry(key.0).or_insert(0);
        ensure(write.order > *placed, "C-FIFO", || {
            let (request, session) = (&write.request, key.0);
            format!("{request:?} of session {session:x} at {} is behind a later one", show(zxid))
        })?;
        *placed = write.order;
        if let Some(code) = write.refused {
            ensure(matches!(body, TxnBody::Error(_)), "C-ERR", || {
                format!("{:?} was refused with {code}, then became {body:?}", write.request)
            })?;
        }
        if let (Request::Reconfig(_), true) = (&*write.request, committed.session_was_open) {
            // Only a leader knows who is there; everybody sees that one is under way already.
            let code = |code| *body == TxnBody::Error(code);
            let told = code(ErrorCode::RECONFIG_IN_PROGRESS);
            ensure(told == committed.reconfiguring, "C-ERR", || {
                let (zxid, under_way) = (show(zxid), committed.reconfiguring);
                format!("{zxid} {body:?}, another reconfiguration under way: {under_way}")
            })?;
            let verdict = committed.verdict.as_ref().map(|verdict| &verdict.body);
            let good = matches!(verdict, Some(TxnBody::Reconfig { .. }));
            if told || good && code(ErrorCode::NEW_CONFIG_NO_QUORUM) {
                return Ok(());
            }
        }
        let Some(verdict) = &committed.verdict else { return Ok(()) };
        if same(&verdict.body, body) || tolerated(facts, txn, &write.request) {
            return Ok(());
        }
        let property = names(&write.request, &verdict.body, body, committed.session_was_open);
        let what = format!(
            "at {} {:?} of session {:x} became {body:?}, the model says {:?}",
            show(zxid),
            write.request,
            key.0,
            verdict.body,
        );
        Err(Violation { property, what })
    }
}

/// The digest that the leader put behind the transaction against the model's.
fn digest_fits(facts: &Facts, committed: &Committed) -> Result<(), Violation> {
    let txn = &committed.proposed.txn;
    let Some(digest) = txn.digest.filter(|digest| digest.version == 2) else { return Ok(()) };
    let zxid = txn.header.zxid.0;
    let property = if matches!(txn.body, TxnBody::Multi(_)) { "C-MULTI" } else { "C-STAT" };
    let expected = facts.model.digest_at(zxid);
    ensure(digest.tree == expected, property, || {
        let found = digest.tree;
        format!("{} {:?} leaves digest {found}, the model {expected}", show(zxid), txn.body)
    })
}

/// A transaction without a client's request: servers open and close sessions, and reap containers.
fn own_transaction(committed: &Committed) -> Result<(), Violation> {
    let txn = &committed.proposed.txn;
    let zxid = txn.header.zxid.0;
    let legal = match &txn.body {
        TxnBody::CreateSession { .. } | TxnBody::CloseSession { .. } => txn.header.cxid == Xid(0),
        TxnBody::DeleteContainer { .. } => txn.header.session.0 == 0 && committed.may_go,
        // A session request that the leader refused.
        TxnBody::Error(_) => true,
        _ => false,
    };
    ensure(legal, "C-LINW", || {
        format!("{} {txn:?} comes from no request that is still unanswered", show(zxid))
    })
}

fn same(expected: &TxnBody, found: &TxnBody) -> bool {
    match (expected, found) {
        (TxnBody::CloseSession { paths: Some(a) }, TxnBody::CloseSession { paths: Some(b) }) => {
            // In any order.
            let mut b = b.clone();
            b.sort_unstable();
            *a == b
        }
        (TxnBody::Check { path: a, .. }, TxnBody::Check { path: b, .. }) => a == b,
        (TxnBody::Multi(a), TxnBody::Multi(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b))
        }
        _ => expected == found,
    }
}

/// May another server have asked for the session behind the one that it came through?
fn was_asked_for(facts: &Facts, write: &Write) -> bool {
    let client = facts.clients.get(&write.client);
    client.is_some_and(|client| client.unanswered.iter().any(|at| Some(*at) != write.server))
}

/// Has its client connected anew since it was sent?
fn was_left(facts: &Facts, write: &Write) -> bool {
    facts.clients.get(&write.client).is_some_and(|client| client.connects > write.conn)
}

/// Was it refused because its session is no more? A multi is, with its first operation.
fn is_expired(body: &TxnBody) -> bool {
    match body {
        TxnBody::Error(code) => *code == ErrorCode::SESSION_EXPIRED,
        TxnBody::Multi(parts) => parts.first().is_some_and(is_expired),
        _ => false,
    }
}

/// A refusal that depends on what the model does not have.
fn tolerated(facts: &Facts, txn: &Txn, request: &Request) -> bool {
    let of_session = match request {
        Request::Create(create) | Request::Create2(create) => {
            [create_flags::EPHEMERAL, create_flags::EPHEMERAL_SEQUENTIAL].contains(&create.flags)
        }
        _ => false,
    };
    of_session && txn.body == TxnBody::Error(ErrorCode::QUOTA_EXCEEDED)
        || refuses_contested(facts, txn)
}

/// A local session is refused whose client asked for it elsewhere, and may have been told there that
/// it is over.
fn refuses_contested(facts: &Facts, txn: &Txn) -> bool {
    let session = txn.header.session.0;
    let refusal = |body: &TxnBody| match body {
        TxnBody::Error(code) => Some(*code),
        _ => None,
    };
    let code = match &txn.body {
        TxnBody::Multi(parts) => parts.iter().find_map(refusal),
        body => refusal(body),
    };
    let contested = facts.local.get(&session).is_some_and(|local| local.contested);
    code == Some(ErrorCode::SESSION_EXPIRED) && contested && facts.is_local(session)
}

/// Which promise a wrong transaction breaks.
fn names(request: &Request, expected: &TxnBody, found: &TxnBody, open: bool) -> &'static str {
    let path = |body: &TxnBody| match body {
        TxnBody::Create(c) | TxnBody::Create2(c) => Some(c.path.clone()),
        TxnBody::CreateContainer(c) => Some(c.path.clone()),
        _ => None,
    };
    let says = |body: &TxnBody, code: ErrorCode| match body {
        TxnBody::Multi(parts) => parts.contains(&TxnBody::Error(code)),
        body => *body == TxnBody::Error(code),
    };
    match (request, expected, found) {
        _ if says(expected, ErrorCode::QUOTA_EXCEEDED)
            != says(found, ErrorCode::QUOTA_EXCEEDED) =>
        {
            "C-QUOTA"
        }
        _ if says(expected, ErrorCode::NO_AUTH) != says(found, ErrorCode::NO_AUTH) => "C-ACL",
        (Request::Multi(_), ..) => "C-MULTI",
        (Request::CloseSession, ..) => "C-EPH",
        (
            _,
            TxnBody::Error(ErrorCode::SESSION_EXPIRED | ErrorCode::EPHEMERAL_ON_LOCAL_SESSION),
            TxnBody::Create(c) | TxnBody::Create2(c),
        ) if c.ephemeral && !open => "C-EPH",
        (_, TxnBody::Error(_), TxnBody::Error(_)) | (_, _, TxnBody::Error(_)) => "C-ERR",
        (_, TxnBody::Error(_), _) => "C-LINW",
        _ if path(expected) != path(found) => "C-SEQ",
        _ => "C-STAT",
    }
}

fn on_reply(
    facts: &Facts,
    xid: Xid,
    zxid: i64,
    result: &Result<Response, ErrorCode>,
) -> Result<(), Violation> {
    let Some(answered) = &facts.news.answered else { return Ok(()) };
    let Some(pending) = answered.pending.as_ref().filter(|p| is_write(&p.request)) else {
        return Ok(());
    };
    if pending.xid != xid {
        return Ok(());
    }
    let session = facts.conn(answered.client).and_then(|conn| conn.session()).unwrap_or(0);
    let Some(write) = facts.writes.get(&(session, xid.0)) else { return Ok(()) };
    let request = &write.request;
    if facts.closes_locally(session, request) {
        return Ok(());
    }
    let Some(place) = write.txn else {
        let needs_place = match result {
            Ok(_) => Some("C-LINW"),
            Err(code) => depends_on_state(*code).then_some("C-ERR"),
        };
        return needs_place.map_or(Ok(()), |property| {
            let what = format!("{request:?} was answered {result:?} and was never committed");
            Err(Violation { property, what })
        });
    };
    if zxid as u64 != place {
        let other = facts.ledger.get(zxid as u64).is_some_and(|proposed| {
            proposed.txn.header.session.0 == session && proposed.txn.header.cxid != xid
        });
        let property = if other { "C-FIFO" } else { "C-LINW" };
        let (says, is) = (show(zxid as u64), show(place));
        let what = format!("the reply to {request:?} names {says}, it stands at {is}");
        return Err(Violation { property, what });
    }
    ensure(place > write.answered_upto, "C-LINW", || {
        let (place, after) = (show(place), show(write.answered_upto));
        format!("{request:?} stands at {place}, it was sent when {after} was answered")
    })?;
    let txn = &facts.ledger.get(place).expect("committed").txn;
    if refuses_contested(facts, txn) {
        return Ok(());
    }
    let body = &txn.body;
    let expected = match body {
        TxnBody::Error(code) => Some(Err(*code)),
        _ => write.expected.clone(),
    };
    let Some(expected) = expected else { return Ok(()) };
    ensure(expected == *result, reply_property(request, &expected, result), || {
        format!(
            "{request:?} at {} was answered {result:?}, the model says {expected:?}",
            show(place)
        )
    })
}

fn reply_property(
    request: &Request,
    expected: &Result<Response, ErrorCode>,
    found: &Result<Response, ErrorCode>,
) -> &'static str {
    match (request, expected, found) {
        (Request::Multi(_), ..) => "C-MULTI",
        (_, Ok(_), Ok(_)) => "C-STAT",
        (_, Ok(_), Err(_)) => "C-ERR",
        (_, Err(_), _) => "C-LINW",
    }
}

/// A refusal that says something about the tree has a place in the order.
fn depends_on_state(code: ErrorCode) -> bool {
    matches!(
        code,
        ErrorCode::NO_NODE
            | ErrorCode::NODE_EXISTS
            | ErrorCode::BAD_VERSION
            | ErrorCode::NOT_EMPTY
            | ErrorCode::NO_AUTH
            | ErrorCode::NO_CHILDREN_FOR_EPHEMERALS
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkers::testkit::{Bench, ONE, SESSION, TWO, z};
    use crate::history::ClientId;
    use crate::model::tests::create;
    use bytes::Bytes;
    use zebu_core::proto::{Acl, ClientRequest, CreateRequest, CreateTtlRequest, MultiResult};
    use zebu_core::txn::CreateTtlTxn;

    fn bench() -> Bench {
        let mut bench = Bench::new(3, vec![Box::new(LinearizableWrites::default())]);
        bench.lead(ONE, 1);
        bench.establish(ONE, TWO, 1);
        bench.commit(z(1, 1), SESSION, 0, TxnBody::CreateSession { timeout_ms: 4000 }).unwrap();
        bench.connect(0, ONE, SESSION);
        bench
    }
    fn make(path: &str, flags: i32) -> Request {
        let data = Some(Bytes::from_static(b"x"));
        Request::Create(CreateRequest { path: path.into(), data, acl: Acl::open(), flags })
    }
    fn path(path: &str) -> Result<Response, ErrorCode> {
        Ok(Response::Path(path.into()))
    }
    fn broken(result: Result<(), Violation>) -> &'static str {
        result.unwrap_err().property
    }

    #[test]
    fn a_write_is_what_the_model_says_and_so_is_its_reply() {
        let mut bench = bench();
        bench.ask(0, 1, make("/a", 0));
        bench.ask(0, 2, make("/a/s", 2));
        bench.ask(0, 3, make("/a", 0));
        bench.ask(0, 4, Request::Delete { path: "/a".into(), version: -1 });
        bench.commit(z(1, 2), SESSION, 1, create("/a", 1, false)).unwrap();
        bench.commit(z(1, 3), SESSION, 2, create("/a/s0000000000", 1, false)).unwrap();
        bench.commit(z(1, 4), SESSION, 3, TxnBody::Error(ErrorCode::NODE_EXISTS)).unwrap();
        bench.answer(0, 1, z(1, 2), path("/a")).unwrap();
        bench.answer(0, 2, z(1, 3), path("/a/s0000000000")).unwrap();
        bench.answer(0, 3, z(1, 4), Err(ErrorCode::NODE_EXISTS)).unwrap();
        let late = bench.commit(z(1, 5), SESSION, 4, TxnBody::Error(ErrorCode::NO_NODE));
        assert_eq!(broken(late), "C-ERR");
        assert_eq!(broken(bench.answer(0, 4, z(1, 5), Ok(Response::Empty))), "C-LINW");
    }

    #[test]
    fn wrong_transactions_are_named() {
        let table = [
            (make("/a", 0), TxnBody::Error(ErrorCode::NODE_EXISTS), "C-ERR"),
            (make("/zookeeper", 0), create("/zookeeper", 2, false), "C-LINW"),
            (make("/s", 2), create("/s0000000001", 1, false), "C-SEQ"),
            (make("/a", 0), create("/a", 2, false), "C-STAT"),
            (Request::Multi(vec![make("/zookeeper", 0)]), TxnBody::Multi(vec![]), "C-MULTI"),
            (
                Request::CloseSession,
                TxnBody::CloseSession { paths: Some(vec!["/zookeeper".into()]) },
                "C-EPH",
            ),
        ];
        for (request, body, property) in table {
            let mut bench = bench();
            bench.ask(0, 1, request.clone());
            let result = bench.commit(z(1, 2), SESSION, 1, body);
            assert_eq!(broken(result), property, "{request:?}");
        }
    }

    #[test]
    fn a_closed_session_creates_nothing() {
        let mut bench = bench();
        bench.ask(0, 1, make("/e", 1));
        bench.commit(z(1, 2), SESSION, 0, TxnBody::CloseSession { paths: Some(vec![]) }).unwrap();
        assert_eq!(broken(bench.commit(z(1, 3), SESSION, 1, create("/e", 1, true))), "C-EPH");
    }

    #[test]
    fn once_in_order_and_not_after_a_refusal() {
        let mut bench = self::bench();
        bench.ask(0, 1, make("/a", 0));
        bench.ask(0, 2, make("/b", 0));
        bench.commit(z(1, 2), SESSION, 2, create("/b", 1, false)).unwrap();
        assert_eq!(broken(bench.commit(z(1, 3), SESSION, 1, create("/a", 2, false))), "C-FIFO");
        assert_eq!(broken(bench.commit(z(1, 4), SESSION, 2, create("/b", 3, false))), "C-LINW");
        assert_eq!(broken(bench.commit(z(1, 5), SESSION, 7, create("/c", 3, false))), "C-LINW");

        let mut bench = self::bench();
        bench.ask(0, 1, make("/a", 0));
        bench.answer(0, 1, z(1, 1), Err(ErrorCode::MARSHALLING_ERROR)).unwrap();
        assert_eq!(broken(bench.commit(z(1, 2), SESSION, 1, create("/a", 1, false))), "C-ERR");
    }

    #[test]
    fn a_reconfiguration_is_what_the_model_makes_of_it_and_one_at_a_time() {
        use crate::checkers::testkit::{change, dynamic, entry};
        use zebu_core::proto::{QuorumPacket, ReconfigRequest};
        let leave = |server: &str, config_version| {
            let (joining_servers, new_members) = (None, None);
            let leaving_servers = Some(server.into());
            let asked =
                ReconfigRequest { joining_servers, leaving_servers, new_members, config_version };
            Request::Reconfig(asked)
        };
        let bench = || {
            let checks: Vec<Box<dyn Check>> = vec![Box::new(LinearizableWrites::default())];
            let mut bench = Bench::with(dynamic(4, 4), checks);
            bench.lead(ONE, 1);
            bench.establish(ONE, TWO, 1);
            bench.commit(z(1, 1), SESSION, 0, TxnBody::CreateSession { timeout_ms: 4000 }).unwrap();
            bench.connect(0, ONE, SESSION);
            bench.ask(0, 1, leave("4", -1));
            bench
        };
        let error = TxnBody::Error;
        for (body, property) in [
            (change(&[1, 2, 3], z(1, 2)), None),
            (error(ErrorCode::NEW_CONFIG_NO_QUORUM), None),
            (error(ErrorCode::RECONFIG_IN_PROGRESS), Some("C-ERR")),
            (error(ErrorCode::BAD_VERSION), Some("C-ERR")),
            (change(&[1, 2, 3, 4], z(1, 2)), Some("C-STAT")),
        ] {
            let found = bench().commit(z(1, 2), SESSION, 1, body.clone());
            assert_eq!(found.err().map(|broken| broken.property), property, "{body:?}");
        }
        for (second, property) in [
            (error(ErrorCode::RECONFIG_IN_PROGRESS), None),
            (error(ErrorCode::BAD_VERSION), Some("C-ERR")),
            (change(&[1, 2], z(1, 3)), Some("C-ERR")),
        ] {
            let mut bench = bench();
            bench.ask(0, 2, leave("3", -1));
            let first = crate::model::tests::txn(z(1, 2), SESSION, 1, change(&[1, 2, 3], z(1, 2)));
            bench.send(ONE, TWO, QuorumPacket::Proposal(entry(first))).unwrap();
            let found = bench.commit(z(1, 3), SESSION, 2, second.clone());
            assert_eq!(found.err().map(|broken| broken.property), property, "{second:?}");
        }
    }

    #[test]
    fn what_comes_when_its_session_is_closed_is_refused_wherever_it_stands() {
        let expired = || TxnBody::Error(ErrorCode::SESSION_EXPIRED);
        for (late, refused) in [
            (make("/a", 0), expired()),
            (Request::Multi(vec![make("/a", 0)]), TxnBody::Multi(vec![expired()])),
        ] {
            let mut bench = self::bench();
            bench.ask(0, 1, late);
            bench.connect(0, ONE, SESSION);
            bench.ask(0, 2, make("/b", 0));
            bench.commit(z(1, 2), SESSION, 2, create("/b", 1, false)).unwrap();
            let closed = TxnBody::CloseSession { paths: Some(vec![]) };
            bench.commit(z(1, 3), SESSION, 0, closed).unwrap();
            bench.commit(z(1, 4), SESSION, 1, refused).unwrap();
        }
    }

    #[test]
    fn what_comes_through_a_server_that_was_left_is_refused() {
        let moved = || TxnBody::Error(ErrorCode::SESSION_MOVED);
        let mut bench = self::bench();
        bench.ask(0, 1, make("/a", 0));
        bench.ask(0, 2, make("/b", 0));
        assert_eq!(broken(bench.commit(z(1, 2), SESSION, 1, moved())), "C-ERR");
        let mut bench = self::bench();
        bench.ask(0, 1, make("/a", 0));
        bench.connect(0, ONE, SESSION);
        bench.ask(0, 2, make("/b", 0));
        bench.commit(z(1, 2), SESSION, 2, create("/b", 1, false)).unwrap();
        bench.commit(z(1, 3), SESSION, 1, moved()).unwrap();
        bench.ask(0, 3, make("/c", 0));
        assert_eq!(broken(bench.commit(z(1, 4), SESSION, 3, moved())), "C-ERR");
        // Server 2 was asked too and has not answered.
        let asked = bench.facts().conn(ClientId(0)).unwrap().asked.clone();
        bench.put(0, TWO, ClientRequest::Connect(asked)).unwrap();
        bench.connect(0, ONE, SESSION);
        bench.ask(0, 4, make("/d", 0));
        bench.commit(z(1, 5), SESSION, 4, moved()).unwrap();
    }

    #[test]
    fn replies_without_a_place() {
        let mut bench = bench();
        bench.ask(0, 1, make("/a", 0));
        assert_eq!(broken(bench.answer(0, 1, z(1, 2), path("/a"))), "C-LINW");
        bench.ask(0, 2, make("/a", 0));
        let refused = bench.answer(0, 2, z(1, 2), Err(ErrorCode::NODE_EXISTS));
        assert_eq!(broken(refused), "C-ERR");
        bench.ask(0, 3, make("/a", 0));
        bench.answer(0, 3, z(1, 2), Err(ErrorCode::MARSHALLING_ERROR)).unwrap();
    }

    #[test]
    fn replies_of_others_and_of_the_past() {
        let mut bench = bench();
        bench.ask(0, 1, make("/a", 0));
        bench.ask(0, 2, make("/b", 0));
        bench.commit(z(1, 2), SESSION, 1, create("/a", 1, false)).unwrap();
        bench.commit(z(1, 3), SESSION, 2, create("/b", 2, false)).unwrap();
        assert_eq!(broken(bench.answer(0, 1, z(1, 3), path("/a"))), "C-FIFO");
        // /c was sent when 1:3 was answered, so it cannot stand before it.
        bench.answer(0, 2, z(1, 3), path("/b")).unwrap();
        let parts = vec![make("/c", 0)];
        bench.ask(0, 3, Request::Multi(parts));
        let body = TxnBody::Multi(vec![create("/c", 3, false)]);
        bench.commit(z(1, 4), SESSION, 3, body).unwrap();
        let wrong = Ok(Response::Multi(vec![MultiResult::Delete]));
        assert_eq!(broken(bench.answer(0, 3, z(1, 4), wrong)), "C-MULTI");
    }

    #[test]
    fn a_leader_removes_what_is_due_and_nothing_else() {
        let ttl = |path: &str, cversion: i32, ttl_ms: i64| {
            TxnBody::CreateTtl(CreateTtlTxn {
                path: path.into(),
                data: None,
                acl: Acl::open(),
                parent_cversion: cversion,
                ttl_ms,
            })
        };
        let removed = |path: &str| TxnBody::DeleteContainer { path: path.into() };
        let table: [(&str, u32, Option<&str>); 4] = [
            // Times of the bench are 1000 and the counter of the zxid.
            ("/t", 13, None),
            ("/t", 12, Some("C-LINW")),
            ("/full", 13, Some("C-LINW")),
            ("/plain", 13, Some("C-LINW")),
        ];
        for (path, at, expected) in table {
            let mut bench = bench();
            for (xid, request) in
                [(1, ttl_request("/t", 10)), (2, ttl_request("/full", 1)), (3, make("/plain", 0))]
            {
                bench.ask(0, xid, request);
            }
            bench.ask(0, 4, make("/full/x", 0));
            bench.commit(z(1, 2), SESSION, 1, ttl("/t", 1, 10)).unwrap();
            bench.commit(z(1, 3), SESSION, 2, ttl("/full", 2, 1)).unwrap();
            bench.commit(z(1, 4), SESSION, 3, create("/plain", 3, false)).unwrap();
            bench.commit(z(1, 5), SESSION, 4, create("/full/x", 1, false)).unwrap();
            for counter in 6..at {
                bench
                    .commit(
                        z(1, counter),
                        SESSION,
                        0,
                        TxnBody::CloseSession { paths: Some(vec![]) },
                    )
                    .unwrap();
            }
            let property = bench.commit(z(1, at), 0, 0, removed(path)).err().map(|v| v.property);
            assert_eq!(property, expected, "{path} at {at}");
        }
    }

    fn ttl_request(path: &str, ttl_ms: i64) -> Request {
        let (path, data, flags) = (path.into(), None, 5);
        let create = CreateRequest { path, data, acl: Acl::open(), flags };
        Request::CreateTtl(CreateTtlRequest { create, ttl_ms })
    }

    #[test]
    fn a_digest_that_differs() {
        let mut txn =
            crate::model::tests::txn(z(1, 2), SESSION, 0, TxnBody::CloseSession { paths: None });
        txn.digest = Some(zebu_core::txn::TxnDigest { version: 2, tree: 7 });
        let mut bench = bench();
        let entry = crate::checkers::testkit::entry(txn);
        bench.send(ONE, TWO, zebu_core::proto::QuorumPacket::Proposal(entry)).unwrap();
        let zxid = zebu_core::ids::Zxid(z(1, 2));
        let commit = zebu_core::proto::QuorumPacket::Commit { zxid };
        assert_eq!(broken(bench.send(ONE, TWO, commit)), "C-STAT");
    }
}
