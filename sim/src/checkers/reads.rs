//! What reads show (T-EQ towards clients, C-STAT, C-ACL, C-QUOTA): the reply to a read names a zxid, and its
//! content is just what the model had at that zxid, data, children, access list and every field of
//! the Stat.
//!
//! Permitted: that zxid may be any that [`session_fifo`](super::session_fifo) allows, and with a server
//! without a quorum one that was never committed, of which nothing is known here. What each
//! server writes for itself below `/zookeeper` is not looked at.

use zebu_core::ids::Xid;
use zebu_core::proto::{ClientMessage, ErrorCode, Request, Response};

use super::facts::Facts;
use super::facts::clients::is_write;
use super::facts::ledger::show;
use super::{Check, ensure};
use crate::history::{Observation, View, Violation};
use crate::model::quota::QUOTA;
use crate::model::read;

#[derive(Debug, Default)]
pub struct Reads;

impl Check for Reads {
    fn observe(
        &mut self,
        facts: &Facts,
        _view: &View<'_>,
        what: &Observation<'_>,
    ) -> Result<(), Violation> {
        let Observation::Received { message: ClientMessage::Reply { xid, zxid, result }, .. } =
            what
        else {
            return Ok(());
        };
        let Some(answered) = &facts.news.answered else { return Ok(()) };
        let Some(pending) = answered.pending.as_ref().filter(|_| answered.in_turn) else {
            return Ok(());
        };
        if is_write(&pending.request) || *xid == Xid::PING || *zxid < 0 {
            return Ok(());
        }
        let zxid = *zxid as u64;
        if facts.reads_only(answered.client) && !facts.ledger.is_committed(zxid) {
            return Ok(());
        }
        let caller = facts.caller_of(answered.client, pending);
        let Some(expected) = read::read(&facts.model, &pending.request, zxid, caller) else {
            return Ok(());
        };
        if expected == *result {
            return Ok(());
        }
        let found = result.clone().map(read::sorted);
        let property = match &*pending.request {
            Request::GetData { path, .. } if path.starts_with(QUOTA) => "C-QUOTA",
            _ => property(&expected, &found),
        };
        ensure(expected == found, property, || {
            let (request, client) = (&pending.request, answered.client);
            let at = show(zxid);
            format!("{client:?}: {request:?} at {at} shows {found:?}, the model has {expected:?}")
        })
    }
}

type Answer = Result<Response, ErrorCode>;

fn property(expected: &Answer, found: &Answer) -> &'static str {
    let denied = |answer: &Answer| *answer == Err(ErrorCode::NO_AUTH);
    if denied(expected) || denied(found) {
        return "C-ACL";
    }
    // Only the Stat differs?
    let content = |answer: &Answer| match answer {
        Ok(Response::Data { data, .. }) => Some(format!("{data:?}")),
        Ok(Response::Children2 { children, .. }) => Some(format!("{children:?}")),
        Ok(Response::Acl { acl, .. }) => Some(format!("{acl:?}")),
        Ok(Response::Stat(_)) => Some(String::new()),
        _ => None,
    };
    let (expected, found) = (content(expected), content(found));
    if expected.is_some() && expected == found { "C-STAT" } else { "T-EQ" }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkers::testkit::{Bench, ONE, SESSION, TWO, z};
    use crate::model::tests::create;
    use zebu_core::proto::{Acl, Id, MultiResult, Stat, perms};
    use zebu_core::txn::{CreateTxn, TxnBody};

    fn bench() -> Bench {
        let mut bench = Bench::new(3, vec![Box::new(Reads)]);
        bench.lead(ONE, 1);
        bench.establish(ONE, TWO, 1);
        bench.commit(z(1, 1), SESSION, 1, create("/a", 1, false)).unwrap();
        bench.commit(z(1, 2), SESSION, 2, create("/a/c", 1, false)).unwrap();
        bench.commit(z(1, 3), SESSION, 3, create("/a/b", 2, false)).unwrap();
        bench.commit(z(1, 4), SESSION, 4, TxnBody::Delete { path: "/a/c".into() }).unwrap();
        bench.connect(0, ONE, SESSION);
        bench
    }
    fn children(bench: &mut Bench, at: u64, names: &[&str]) -> Result<(), Violation> {
        bench.ask(0, 1, Request::GetChildren { path: "/a".into(), watch: false });
        let names = names.iter().map(|name| (*name).into()).collect();
        bench.answer(0, 1, at, Ok(Response::Children(names)))
    }

    #[test]
    fn a_read_shows_the_state_that_it_names() {
        let mut bench = bench();
        children(&mut bench, z(1, 1), &[]).unwrap();
        children(&mut bench, z(1, 3), &["c", "b"]).unwrap();
        children(&mut bench, z(1, 4), &["b"]).unwrap();
        assert_eq!(children(&mut bench, z(1, 4), &["b", "c"]).unwrap_err().property, "T-EQ");
        bench.ask(0, 2, Request::GetData { path: "/n".into(), watch: false });
        bench.answer(0, 2, z(1, 4), Err(ErrorCode::NO_NODE)).unwrap();
    }

    #[test]
    fn counts_ephemerals_and_reads_of_several_nodes() {
        let mut bench = bench();
        bench.commit(z(1, 5), SESSION, 5, create("/a/e", 3, true)).unwrap();
        bench.commit(z(1, 6), SESSION, 6, TxnBody::Delete { path: "/a/e".into() }).unwrap();
        let mut ask = |request: Request, at: u32, answer: Response| {
            bench.ask(0, 1, request);
            bench.answer(0, 1, z(1, at), Ok(answer)).map_err(|violation| violation.property)
        };
        let below = |path: &str| Request::GetAllChildrenNumber { path: path.into() };
        let mine = |prefix: &str| Request::GetEphemerals { prefix: prefix.into() };
        let paths = |paths: &[&str]| {
            Response::Ephemerals(paths.iter().map(|path| (*path).into()).collect())
        };
        ask(below("/a"), 3, Response::Count(2)).unwrap();
        ask(below("/a"), 4, Response::Count(1)).unwrap();
        // With what is below /zookeeper.
        ask(below("/"), 4, Response::Count(5)).unwrap();
        assert_eq!(ask(below("/a"), 4, Response::Count(2)), Err("T-EQ"));
        ask(mine("/"), 4, paths(&[])).unwrap();
        ask(mine("/a/"), 5, paths(&["/a/e"])).unwrap();
        ask(mine("/b"), 5, paths(&[])).unwrap();
        assert_eq!(ask(mine("/"), 5, paths(&[])), Err("T-EQ"));
        assert_eq!(ask(mine("/"), 6, paths(&["/a/e"])), Err("T-EQ"));
        let both = || {
            Request::MultiRead(vec![
                Request::GetChildren { path: "/a".into(), watch: false },
                Request::GetData { path: "/n".into(), watch: false },
            ])
        };
        let answer = |names: &[&str], code| {
            let children = names.iter().map(|name| (*name).into()).collect();
            Response::Multi(vec![MultiResult::Children(children), MultiResult::Error(code)])
        };
        ask(both(), 3, answer(&["c", "b"], ErrorCode::NO_NODE)).unwrap();
        assert_eq!(ask(both(), 4, answer(&["c", "b"], ErrorCode::NO_NODE)), Err("T-EQ"));
        assert_eq!(ask(both(), 3, answer(&["b", "c"], ErrorCode::NO_AUTH)), Err("T-EQ"));
    }

    #[test]
    fn what_may_be_read() {
        let mut bench = bench();
        let TxnBody::Create(made) = create("/p", 3, false) else { panic!() };
        let acl = vec![Acl {
            perms: perms::WRITE,
            id: Id { scheme: "world".into(), id: "anyone".into() },
        }];
        bench.commit(z(1, 5), SESSION, 5, TxnBody::Create(CreateTxn { acl, ..made })).unwrap();
        let read = |bench: &mut Bench, path: &str, answer| {
            bench.ask(0, 2, Request::GetChildren { path: path.into(), watch: false });
            bench.answer(0, 2, z(1, 5), answer)
        };
        read(&mut bench, "/p", Err(ErrorCode::NO_AUTH)).unwrap();
        let shown = read(&mut bench, "/p", Ok(Response::Children(vec![])));
        assert_eq!(shown.unwrap_err().property, "C-ACL");
        let refused = read(&mut bench, "/a", Err(ErrorCode::NO_AUTH));
        assert_eq!(refused.unwrap_err().property, "C-ACL");
    }

    #[test]
    fn a_stat_that_differs() {
        let mut bench = bench();
        let stat = bench.facts().model.at("/a", z(1, 3)).unwrap().client_stat();
        let exists = |bench: &mut Bench, stat: Stat| {
            bench.ask(0, 3, Request::Exists { path: "/a".into(), watch: false });
            bench.answer(0, 3, z(1, 3), Ok(Response::Stat(stat)))
        };
        exists(&mut bench, stat).unwrap();
        let wrong = Stat { cversion: stat.cversion + 1, ..stat };
        assert_eq!(exists(&mut bench, wrong).unwrap_err().property, "C-STAT");
    }
}
