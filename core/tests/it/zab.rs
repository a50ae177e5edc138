//! ZAB among servers whose links and disks are perfect.

use zebu_core::ids::{Epoch, ServerId, Zxid};
use zebu_core::proto::{Acl, ClientMessage, CreateRequest, ErrorCode, Request, Response};

use crate::cluster::Cluster;

fn create(path: &str) -> Request {
    let acl = Acl::open();
    Request::Create(CreateRequest { path: path.into(), data: Some("x".into()), acl, flags: 0 })
}

fn created(zxid: Zxid, xid: i32, path: &str) -> ClientMessage {
    ClientMessage::Reply {
        xid: zebu_core::ids::Xid(xid),
        zxid: zxid.to_wire(),
        result: Ok(Response::Path(path.into())),
    }
}

#[test]
fn a_server_alone_serves() {
    let mut c = Cluster::new(1);
    c.settle();
    assert_eq!(c.leader(), Some(ServerId(1)));
    c.connect(1, 1);
    c.send(1, 1, 1, create("/a"));
    c.send(1, 1, 2, Request::GetData { path: "/a".into(), watch: false });
    let replies = c.replies(1, 1);
    assert_eq!(replies[0], created(Zxid::new(Epoch(1), 2), 1, "/a"));
    assert!(
        matches!(&replies[1], ClientMessage::Reply { result: Ok(Response::Data { .. }), .. }),
        "{replies:?}"
    );
}

#[test]
fn three_elect_the_largest_id_and_every_server_takes_writes() {
    let mut c = Cluster::new(3);
    c.run_ms(300);
    assert_eq!(c.leader(), Some(ServerId(3)));
    for server in 1..=3 {
        c.connect(server, server as u64);
        c.send(server, server as u64, 1, create(&format!("/from{server}")));
        let replies = c.replies(server, server as u64);
        assert_eq!(replies.len(), 1, "{replies:?}");
    }
    let digests: Vec<_> = c.servers.values().map(|s| s.database().tree.digest()).collect();
    assert!(digests.iter().all(|d| *d == digests[0]), "{digests:?}");
    c.send(1, 1, 2, create("/from2"));
    match &c.replies(1, 1)[..] {
        [ClientMessage::Reply { result, .. }] => assert_eq!(*result, Err(ErrorCode::NODE_EXISTS)),
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_leader_crashes_and_comes_back() {
    let mut c = Cluster::new(3);
    c.run_ms(300);
    c.connect(1, 1);
    c.send(1, 1, 1, create("/a"));
    assert_eq!(c.replies(1, 1).len(), 1);
    c.crash(ServerId(3));
    c.run_ms(1000);
    assert_eq!(c.leader(), Some(ServerId(2)));
    c.connect(1, 2);
    c.send(1, 2, 1, create("/b"));
    assert_eq!(c.replies(1, 2).len(), 1);
    c.start(ServerId(3));
    c.run_ms(1000);
    assert_eq!(c.leader(), Some(ServerId(2)));
    assert_eq!(c.servers[&ServerId(3)].mode(), "follower");
    assert!(c.servers[&ServerId(3)].database().tree.get("/b").is_some());
}
