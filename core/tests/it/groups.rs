//! Hierarchical quorums.

use zebu_core::config::{Config, Hierarchy};
use zebu_core::ids::{ServerId, SessionId, Xid, Zxid};
use zebu_core::proto::{Acl, CreateRequest, Request};
use zebu_core::time::WallTime;
use zebu_core::txn::{CreateTxn, Txn, TxnBody, TxnHeader, codec};

use crate::cluster::Cluster;

fn create(path: &str) -> Request {
    let acl = Acl::open();
    Request::Create(CreateRequest { path: path.into(), data: None, acl, flags: 0 })
}

fn grouped(config: &mut Config, groups: &[&[i64]], weights: &[(i64, u32)]) {
    let ids = |ids: &[i64]| ids.iter().map(|id| ServerId(*id)).collect();
    config.ensemble.hierarchy = Some(Hierarchy {
        groups: (1..).zip(groups).map(|(group, members)| (group, ids(members))).collect(),
        weights: weights.iter().map(|(id, weight)| (ServerId(*id), *weight)).collect(),
    });
}
/// Three groups; server 1 outweighs 2 and 3.
fn three_groups(config: &mut Config) {
    grouped(config, &[&[1, 2, 3], &[4, 5], &[6, 7]], &[(1, 3)]);
}
/// Server 3 has a vote that weighs nothing.
fn weightless(config: &mut Config) {
    grouped(config, &[&[1, 2, 3]], &[(3, 0)]);
}

#[test]
fn most_of_most_groups_serve() {
    for (alive, serve) in [
        (&[1, 4, 5][..], true),
        (&[4, 5, 6, 7], true),
        (&[2, 3, 4, 5], false),
        (&[1, 2, 3, 4, 6], false),
        (&[1, 2, 3, 4], false),
    ] {
        let mut c = Cluster::tuned(7, three_groups);
        c.run_ms(500);
        assert_eq!(c.leader(), Some(ServerId(7)));
        for id in (1..=7).filter(|id| !alive.contains(id)) {
            c.crash(ServerId(id));
        }
        c.run_ms(5_000);
        assert_eq!(c.leader().is_some(), serve, "{alive:?}");
        if serve {
            let all = c.servers.values().all(|server| server.is_serving());
            assert!(all, "{alive:?}");
        }
    }
}

#[test]
fn a_commit_needs_the_groups() {
    let mut c = Cluster::tuned(7, three_groups);
    c.run_ms(500);
    c.connect(7, 1);
    // A majority of servers is left, of one group and the leader's.
    for id in [1, 5] {
        c.crash(ServerId(id));
    }
    c.cut.insert((ServerId(6), ServerId(7)));
    c.send(7, 1, 1, create("/a"));
    assert_eq!(c.replies(7, 1), []);
    assert!(c.servers[&ServerId(7)].is_serving(), "it has not noticed yet");
    c.start(ServerId(5));
    c.cut.clear();
    c.run_ms(5_000);
    assert!(c.leader().is_some());
}

/// Its log is the newest of all, and no reason for anybody to wait.
#[test]
fn who_weighs_nothing_never_leads() {
    let mut c = Cluster::tuned(3, weightless);
    c.run_ms(500);
    assert_eq!(c.leader(), Some(ServerId(2)));
    c.connect(3, 1);
    c.send(3, 1, 1, create("/a"));
    assert_eq!(c.replies(3, 1).len(), 1);
    for id in 1..=3 {
        c.crash(ServerId(id));
    }
    let disk = c.disks.get_mut(&ServerId(3)).unwrap();
    let last = disk.log.last().unwrap().zxid();
    let header = TxnHeader {
        session: SessionId(1),
        cxid: Xid(1),
        zxid: Zxid(last.0 + 1),
        time: WallTime(1),
    };
    let body = TxnBody::Create(CreateTxn {
        path: "/orphan".into(),
        data: None,
        acl: Acl::open(),
        ephemeral: false,
        parent_cversion: 9,
    });
    disk.log.push(codec::encode(Txn { header, body, digest: None }));
    for id in 1..=3 {
        c.start(ServerId(id));
    }
    c.run_ms(3_000);
    assert_eq!(c.leader(), Some(ServerId(2)));
    assert_eq!(c.servers[&ServerId(3)].mode(), "follower");
    assert!(c.servers[&ServerId(3)].is_serving());
    assert!(c.servers[&ServerId(3)].database().tree.get("/orphan").is_none());
    // And it is not needed; the other two are.
    c.crash(ServerId(3));
    c.run_ms(2_000);
    assert_eq!(c.leader(), Some(ServerId(2)));
    c.crash(ServerId(1));
    c.start(ServerId(3));
    c.run_ms(3_000);
    assert_eq!(c.leader(), None);
}
