//! Settings that upstream takes as system properties: what clients, logs and operators see of them.

use zebu_core::config::Config;
use zebu_core::ids::{ConnId, ServerId, SessionId};
use zebu_core::proto::{Acl, ClientMessage, CreateRequest, ErrorCode, Request, Response, perms};
use zebu_core::server::{Note, QuotaOf};
use zebu_core::txn::TxnBody;

use crate::cluster::Cluster;

fn three(tune: fn(&mut Config)) -> Cluster {
    let mut c = Cluster::tuned(3, tune);
    c.run_ms(300);
    assert_eq!(c.leader(), Some(ServerId(3)));
    c
}

fn create_as(path: &str, data: &'static str, perms: i32, flags: i32) -> Request {
    let (path, data, acl) = (path.into(), Some(data.into()), vec![Acl::world(perms)]);
    Request::Create(CreateRequest { path, data, acl, flags })
}
fn create(path: &str, data: &'static str) -> Request {
    create_as(path, data, perms::ALL, 0)
}
fn set_data(path: &str) -> Request {
    Request::SetData { path: path.into(), data: None, version: -1 }
}

/// Counter of the zxid and result of each reply.
fn results(c: &mut Cluster, server: i64) -> Vec<(u32, Result<Response, ErrorCode>)> {
    let reply = |message| match message {
        ClientMessage::Reply { zxid, result, .. } => (zxid as u32, result.map(|_| Response::Empty)),
        other => panic!("{other:?}"),
    };
    c.replies(server, 1).into_iter().map(reply).collect()
}
const OK: Result<Response, ErrorCode> = Ok(Response::Empty);
const NO_AUTH: Result<Response, ErrorCode> = Err(ErrorCode::NO_AUTH);

#[test]
fn what_a_list_denies_takes_no_zxid_where_that_is_asked_for() {
    for at in [1, 3] {
        let mut c = three(|config| config.auth.eager = true);
        c.connect(at, 1);
        let mut ask = |xid, request| {
            c.send(at, 1, xid, request);
            results(&mut c, at).remove(0)
        };
        assert_eq!(ask(1, create_as("/closed", "", perms::READ, 0)), (2, OK));
        assert_eq!(ask(2, create("/closed/a", "")), (0, NO_AUTH));
        assert_eq!(ask(3, set_data("/closed")), (0, NO_AUTH));
        assert_eq!(ask(4, set_data("/nope")), (3, Err(ErrorCode::NO_NODE)));

        let mut c = three(|_| {});
        c.connect(at, 1);
        c.send(at, 1, 1, create_as("/closed", "", perms::READ, 0));
        c.send(at, 1, 2, create("/closed/a", ""));
        assert_eq!(results(&mut c, at), [(2, OK), (3, NO_AUTH)]);
    }
}

#[test]
fn nobody_is_refused_for_a_list_that_he_is_about_to_change() {
    let mut c = three(|config| config.auth.eager = true);
    c.connect(1, 1);
    let acl = |perms| vec![Acl::world(perms)];
    let set_acl = |perms| Request::SetAcl { path: "/a".into(), acl: acl(perms), version: -1 };
    c.send(1, 1, 1, create_as("/a", "", perms::ADMIN, 0));
    assert_eq!(results(&mut c, 1), [(2, OK)]);
    c.send(1, 1, 2, set_acl(perms::ALL));
    c.send(1, 1, 3, create("/a/b", ""));
    assert_eq!(results(&mut c, 1), [(3, OK), (4, OK)]);
}

#[test]
fn a_leader_that_is_told_so_takes_no_clients() {
    fn nobody(config: &mut Config) {
        config.admission.leader_serves_nobody = true;
    }
    let mut c = three(nobody);
    c.greet(3, 1, SessionId(0));
    assert_eq!(c.replies(3, 1), []);
    assert!(c.closed.contains(&(ServerId(3), ConnId(1))));
    for follower in [1, 2] {
        c.connect(follower, 1);
        c.send(follower, 1, 1, create(&format!("/{follower}"), ""));
        assert_eq!(results(&mut c, follower)[0].1, OK);
    }
    // One alone has nobody else to serve them.
    let mut c = Cluster::tuned(1, nobody);
    c.run_ms(300);
    c.connect(1, 1);
}

#[test]
fn the_end_of_a_session_names_its_ephemerals_unless_told_otherwise() {
    for (tune, named) in [
        ((|_| {}) as fn(&mut Config), Some(vec!["/e".into()])),
        (|config| config.records.close_lists_ephemerals = false, None),
    ] {
        let mut c = three(tune);
        c.connect(1, 1);
        c.send(1, 1, 1, create_as("/e", "", perms::ALL, 1));
        c.send(1, 1, 2, Request::CloseSession);
        assert_eq!(results(&mut c, 1), [(2, OK), (3, OK)]);
        c.run_ms(50);
        for (id, disk) in &c.disks {
            let last = disk.log.last().map(|entry| entry.txn.body.clone());
            assert_eq!(last, Some(TxnBody::CloseSession { paths: named.clone() }));
            assert!(c.servers[id].database().tree.get("/e").is_none());
        }
    }
}

#[test]
fn the_leader_says_when_a_soft_limit_is_exceeded() {
    let mut c = three(|_| {});
    c.connect(1, 1);
    let limits = "/zookeeper/quota/a/zookeeper_limits";
    let requests = [
        create("/a", ""),
        create("/zookeeper/quota/a", ""),
        create(limits, "count=2,bytes=-1"),
        create("/zookeeper/quota/a/zookeeper_stats", ""),
        create("/a/b", ""),
        create("/a/c", ""),
        create("/a/d", ""),
    ];
    for (xid, request) in (1..).zip(requests) {
        c.send(1, 1, xid, request);
    }
    assert!(results(&mut c, 1).iter().all(|(_, result)| *result == OK));
    let alarms: Vec<_> =
        c.notes.iter().filter(|(_, note)| matches!(note, Note::QuotaExceeded { .. })).collect();
    let (path, of) = ("/a".into(), QuotaOf::Znodes);
    let expected = Note::QuotaExceeded { path, of, current: 3, limit: 2 };
    assert_eq!(alarms, [&(ServerId(3), expected)]);
}
