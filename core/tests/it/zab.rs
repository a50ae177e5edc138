//! ZAB among servers whose links and disks are perfect.

use zebu_core::ids::{Epoch, ServerId, SessionId, Zxid};
use zebu_core::proto::{
    Acl, ClientMessage, CreateRequest, ErrorCode, QuorumPacket, Request, Response,
};
use zebu_core::server::{Note, SyncKind};
use zebu_core::txn::TxnBody;

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

/// A crash breaks connections, so nobody waits for a vote of the dead; and what crosses on the way is
/// said again.
#[test]
fn a_crashed_leader_is_succeeded_without_a_pause() {
    let mut c = Cluster::new(5);
    c.run_ms(300);
    for (dead, next) in [(5, 4), (4, 3)] {
        assert_eq!(c.leader(), Some(ServerId(dead)));
        c.crash(ServerId(dead));
        c.settle();
        assert_eq!(c.leader(), Some(ServerId(next)), "no time has passed");
        let serving = c.servers.values().filter(|s| s.is_serving()).count();
        assert_eq!(serving, c.servers.len(), "of those who are left");
    }
}

/// Server 1 did not reach the leader that was elected before it died. One of Java's may not listen yet,
/// and is tried for a while.
#[test]
fn a_leader_that_died_before_it_was_reached_is_not_waited_for() {
    for (java, patience) in [(false, 0), (true, 155)] {
        let mut c = Cluster::new(5);
        c.java.extend(java.then_some(ServerId(4)));
        c.run_ms(300);
        c.crash(ServerId(3));
        c.slow_dial = Some((ServerId(1), ServerId(4)));
        c.crash(ServerId(5));
        c.run_ms(300);
        c.crash(ServerId(4));
        c.start(ServerId(3));
        c.run_ms(300);
        assert_eq!(c.leader(), None, "server 1 still dials, and the others are no quorum");
        c.end_slow_dial();
        if java {
            c.run_ms(patience - 5);
            assert_eq!(c.servers[&ServerId(1)].mode(), "follower");
        }
        // Server 3 is new, and gives the others the time to be new as well.
        c.run_ms(5 + 200);
        assert_eq!(c.leader(), Some(ServerId(3)), "java: {java}");
    }
}

/// Server 1 dies before it reaches the leader that it voted for, and comes back. By then too few know who
/// leads to tell it, and without it there is no quorum.
#[test]
fn a_leader_whose_elector_died_does_not_wait_for_it() {
    let mut c = Cluster::new(5);
    c.run_ms(300);
    c.crash(ServerId(3));
    c.slow_dial = Some((ServerId(1), ServerId(4)));
    c.crash(ServerId(5));
    c.settle();
    assert_eq!(c.servers[&ServerId(4)].mode(), "leader");
    c.slow_dial = None;
    c.crash(ServerId(1));
    c.settle();
    assert_eq!(c.servers[&ServerId(4)].mode(), "looking");
    c.start(ServerId(1));
    // It is new, and gives the others the time to be new as well.
    c.run_ms(205);
    assert_eq!(c.leader(), Some(ServerId(4)));
}

/// Servers 1 and 2 are new and wait for more votes when server 4 is elected by theirs; and then they vote
/// for another one.
#[test]
fn a_leader_whose_electors_found_a_better_one_follows_it() {
    let mut c = Cluster::new(5);
    c.run_ms(300);
    for id in [5, 1, 2] {
        c.crash(ServerId(id));
    }
    c.start(ServerId(1));
    c.start(ServerId(2));
    c.settle();
    assert_eq!(c.servers[&ServerId(4)].mode(), "leader");
    assert_eq!(c.servers[&ServerId(1)].mode(), "looking");
    c.start(ServerId(5));
    c.run_ms(400);
    assert_eq!(c.leader(), Some(ServerId(5)));
    assert!(c.servers.values().all(|server| server.is_serving()));
}

/// Java's servers may need the time that their own elections take. A server counts as Java's until it
/// says otherwise.
#[test]
fn beside_java_no_election_is_quicker_than_its_own() {
    let mut c = Cluster::new(5);
    c.java = [ServerId(1)].into();
    c.run_ms(300);
    let mut succeed = |dead, next, pause: u64| {
        c.crash(ServerId(dead));
        c.settle();
        if pause > 0 {
            c.run_ms(pause - 5);
            assert_eq!(c.leader(), None, "{dead} was the leader");
            c.run_ms(10);
        }
        assert_eq!(c.leader(), Some(ServerId(next)));
        c.java.clear();
        c.crash(ServerId(1));
        c.start(ServerId(1));
        c.run_ms(300);
        assert_eq!(c.leader(), Some(ServerId(next)));
    };
    succeed(5, 4, 200);
    succeed(4, 3, 0);
}

/// A peer that only fell silent is given the time that the limits allow, and no more after that.
#[test]
fn a_silent_leader_costs_the_limit_and_no_more() {
    let mut c = Cluster::new(3);
    c.run_ms(300);
    for other in [1, 2] {
        c.cut.insert((ServerId(3), ServerId(other)));
        c.cut.insert((ServerId(other), ServerId(3)));
    }
    let limit = 5 * 200;
    c.run_ms(limit - 110);
    assert!(c.servers[&ServerId(2)].is_serving(), "half a tick before the limit at the earliest");
    c.run_ms(115);
    assert!(c.servers[&ServerId(1)].is_serving() && c.servers[&ServerId(2)].is_serving());
    assert_eq!(c.servers[&ServerId(2)].mode(), "leader");
}

/// Who gave up one leader for another one may still be connected to the first. (It would follow one
/// and name the other, and then nobody can tell from its vote who leads.)
#[test]
fn a_link_to_another_than_the_leader_is_closed() {
    let mut c = Cluster::new(3);
    c.run_ms(300);
    c.slow_dial = Some((ServerId(1), ServerId(2)));
    c.crash(ServerId(3));
    c.settle();
    assert_eq!(c.servers[&ServerId(2)].mode(), "leader");
    c.late_link(1, 3);
    c.settle();
    c.end_slow_dial();
    c.settle();
    assert!(c.servers[&ServerId(1)].is_serving(), "{:?}", c.notes);
}

/// A snapshot of a leader that was never established is no history that can be cut back.
#[test]
fn what_cannot_be_cut_is_replaced_by_a_snapshot() {
    let mut c = Cluster::new(3);
    c.run_ms(300);
    c.connect(2, 1);
    c.send(2, 1, 1, create("/a"));
    assert_eq!(c.replies(2, 1).len(), 1);
    c.crash(ServerId(1));
    let mut disk = c.disks[&ServerId(1)].clone();
    let mut orphan = (*disk.log.last().expect("/a was written").txn).clone();
    let committed = orphan.header.zxid;
    orphan.header.zxid = Zxid(committed.0 + 1);
    orphan.body = TxnBody::Error(ErrorCode::NO_NODE);
    let mut orphaned = disk.recover().database;
    orphaned.apply(&orphan);
    disk.become_snapshot(orphaned);
    c.disks.insert(ServerId(1), disk);
    c.start(ServerId(1));
    c.run_ms(2000);
    let one = &c.servers[&ServerId(1)];
    assert!(one.is_serving(), "{:?}", c.notes);
    assert_eq!(one.database().last_processed, committed);
    let asked =
        c.notes.iter().any(|(_, n)| matches!(n, Note::Refused(why) if why.contains("TRUNC")));
    assert!(asked, "{:?}", c.notes);
}

/// An old leader has a proposal that nobody else has.
fn with_orphan(c: &mut Cluster) {
    c.run_ms(300);
    c.connect(3, 1);
    c.send(3, 1, 1, create("/kept"));
    assert_eq!(c.replies(3, 1).len(), 1);
    for follower in [1, 2] {
        c.cut.insert((ServerId(3), ServerId(follower)));
        c.cut.insert((ServerId(follower), ServerId(3)));
    }
    c.send(3, 1, 2, create("/orphan"));
    assert_eq!(c.replies(3, 1), []);
    c.crash(ServerId(3));
    c.cut.clear();
}

#[test]
fn what_only_the_old_leader_logged_is_truncated() {
    let mut c = Cluster::new(3);
    with_orphan(&mut c);
    c.run_ms(1000);
    assert_eq!(c.leader(), Some(ServerId(2)));
    c.packets.clear();
    c.start(ServerId(3));
    c.run_ms(1000);
    let trunc = Zxid::new(Epoch(1), 2);
    assert!(
        c.packets
            .iter()
            .any(|(_, to, p)| to.0 == 3
                && *p == zebu_core::proto::QuorumPacket::Trunc { zxid: trunc })
    );
    let old = c.servers[&ServerId(3)].database();
    assert!(old.tree.get("/orphan").is_none());
    assert!(old.tree.get("/kept").is_some());
    assert_eq!(c.disks[&ServerId(3)].log.last().map(|e| e.zxid()), Some(trunc));
}

#[test]
fn across_epochs_the_old_leader_gets_a_snapshot_or_a_cut_and_the_rest() {
    let mut c = Cluster::new(3);
    with_orphan(&mut c);
    c.run_ms(1000);
    c.connect(2, 2);
    c.send(2, 2, 1, create("/new"));
    assert_eq!(c.replies(2, 2).len(), 1);
    c.start(ServerId(3));
    c.run_ms(1000);
    let digests: Vec<_> = c.servers.values().map(|s| s.database().tree.digest()).collect();
    assert!(digests.iter().all(|d| *d == digests[0]), "{digests:?}");
    assert!(c.servers[&ServerId(3)].database().tree.get("/orphan").is_none());
}

#[test]
fn an_empty_follower_behind_the_window_gets_a_snapshot() {
    let mut c = Cluster::new(3);
    c.run_ms(300);
    c.crash(ServerId(1));
    c.connect(3, 1);
    for i in 0..600 {
        c.send(3, 1, i + 1, create(&format!("/n{i}")));
    }
    assert_eq!(c.replies(3, 1).len(), 600);
    c.start(ServerId(1));
    c.run_ms(1000);
    assert_eq!(c.servers[&ServerId(1)].mode(), "follower");
    let digests: Vec<_> = c.servers.values().map(|s| s.database().tree.digest()).collect();
    assert!(digests.iter().all(|d| *d == digests[0]), "{digests:?}");
}

#[test]
fn a_follower_that_fails_to_synchronize_tries_again_after_growing_pauses() {
    let mut c = Cluster::new(3);
    c.run_ms(300);
    let (follower, leader) = (ServerId(1), ServerId(3));
    c.crash(follower);
    c.refused.insert((follower, leader));
    c.dials.clear();
    c.start(follower);
    c.run_ms(4000);
    let at: Vec<u64> = c.dials.iter().map(|(_, at)| at / 1_000_000).collect();
    let pauses: Vec<u64> = at.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert_eq!(pauses, [50, 100, 200, 400, 800, 1000, 1000]);
    // The longest pause is the longest delay once it works, and then all is forgotten.
    c.refused.clear();
    c.run_ms(1000);
    assert!(c.servers[&follower].is_serving());
    c.dials.clear();
    c.crash(leader);
    c.run_ms(300);
    assert_eq!(c.leader(), Some(ServerId(2)));
    assert!(c.servers[&follower].is_serving());
    assert_eq!(c.dials.len(), 1);
}

#[test]
fn a_leader_that_is_elected_anew_is_tried_anew() {
    let mut c = Cluster::new(3);
    c.run_ms(300);
    let (follower, leader) = (ServerId(1), ServerId(3));
    c.crash(follower);
    c.refused.insert((follower, leader));
    c.start(follower);
    c.run_ms(4000);
    // The next try would come in half a second, the one after it a second later.
    c.refused.clear();
    c.crash(ServerId(2));
    c.run_ms(200);
    assert_eq!(c.leader(), Some(leader));
    assert!(c.servers[&follower].is_serving());
}

#[test]
fn a_leader_without_its_quorum_stops_serving() {
    let mut c = Cluster::new(3);
    c.run_ms(300);
    for follower in [1, 2] {
        c.cut.insert((ServerId(3), ServerId(follower)));
        c.cut.insert((ServerId(follower), ServerId(3)));
    }
    // syncLimit is 5 ticks of 200 ms; it stops within one tick more.
    c.run_ms(1300);
    assert!(!c.servers[&ServerId(3)].is_serving());
    c.run_ms(2000);
    assert_eq!(c.leader(), Some(ServerId(2)));
}

/// Another leader may have opened it: swarm-3 seed 551.
#[test]
fn a_leader_cut_off_refuses_no_session_it_does_not_know() {
    let unknown = SessionId(7);
    let mut c = Cluster::new(3);
    c.run_ms(300);
    c.greet(3, 1, unknown);
    c.greet(1, 2, unknown);
    for (server, conn) in [(3, 1), (1, 2)] {
        match c.replies(server, conn).as_slice() {
            [ClientMessage::Connected(refused)] => assert_eq!(refused.timeout_ms, 0),
            other => panic!("expected a refusal, got {other:?}"),
        }
    }
    for follower in [1, 2] {
        c.cut.insert((ServerId(follower), ServerId(3)));
    }
    c.greet(3, 3, unknown);
    c.run_ms(1300);
    assert!(!c.servers[&ServerId(3)].is_serving());
    assert_eq!(c.replies(3, 3), []);
}

#[test]
fn a_session_nobody_hears_from_expires_and_its_ephemerals_with_it() {
    let mut c = Cluster::new(3);
    c.run_ms(300);
    c.connect(1, 1);
    let acl = Acl::open();
    let ephemeral = CreateRequest { path: "/e".into(), data: None, acl, flags: 1 };
    c.send(1, 1, 1, Request::Create(ephemeral));
    assert_eq!(c.replies(1, 1).len(), 1);
    for _ in 0..20 {
        c.send(1, 1, -2, Request::Ping);
        c.run_ms(1000);
    }
    assert!(c.servers[&ServerId(2)].database().tree.get("/e").is_some());
    c.run_ms(5000);
    for server in c.servers.values() {
        assert!(server.database().tree.get("/e").is_none());
        assert!(server.database().sessions.is_empty());
    }
}

#[test]
fn a_session_whose_close_is_on_its_way_does_not_expire_as_well() {
    let mut c = Cluster::new(3);
    c.run_ms(2000);
    assert_eq!(c.leader(), Some(ServerId(3)));
    c.timeout_ms = 400;
    c.connect(3, 1);
    // The acknowledgements of this one transaction are lost.
    let lost = [1, 2].map(|follower| (ServerId(follower), ServerId(3)));
    c.cut.extend(lost);
    c.send(3, 1, 1, Request::CloseSession);
    c.settle();
    c.cut.clear();
    c.packets.clear();
    c.run_ms(900);
    let closes = |packet: &QuorumPacket| matches!(packet, QuorumPacket::Proposal { .. });
    assert_eq!(c.leader(), Some(ServerId(3)));
    assert!(!c.packets.iter().any(|(_, _, packet)| closes(packet)), "{:?}", c.packets);
}

#[test]
fn sync_answers_behind_the_writes_before_it() {
    let mut c = Cluster::new(3);
    c.run_ms(300);
    c.connect(1, 1);
    c.send(1, 1, 1, create("/a"));
    c.send(1, 1, 2, Request::Sync { path: "/".into() });
    c.send(1, 1, 3, Request::GetData { path: "/a".into(), watch: false });
    let xids: Vec<_> = c
        .replies(1, 1)
        .iter()
        .map(|m| match m {
            ClientMessage::Reply { xid, result: Ok(_), .. } => xid.0,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(xids, [1, 2, 3]);
}

/// A learner that lacks more than the window has is sent the log; a snapshot is for those whose history
/// the log does not hold.
#[test]
fn what_the_window_lacks_the_files_may_have() {
    let mut c = Cluster::tuned(3, |config| config.commit_log_count = 5);
    c.reads_log = true;
    c.run_ms(300);
    c.connect(2, 1);
    c.send(2, 1, 1, create("/before"));
    c.crash(ServerId(1));
    for n in 2..30 {
        c.send(2, 1, n, create(&format!("/n{n}")));
    }
    assert_eq!(c.replies(2, 1).len(), 29);
    c.notes.clear();
    c.start(ServerId(1));
    c.run_ms(1000);
    let how = c.notes.iter().find_map(|(at, note)| match note {
        Note::Sync { learner, how, .. } if *at == ServerId(3) && learner.0 == 1 => Some(*how),
        _ => None,
    });
    assert_eq!(how, Some(SyncKind::Diff));
    assert_eq!(c.servers[&ServerId(1)].mode(), "follower");
    assert!(c.servers[&ServerId(1)].database().tree.get("/n29").is_some());
}

/// JIRA: ZOOKEEPER-1277
#[test]
fn a_counter_that_is_used_up_ends_its_epoch() {
    let mut c = Cluster::tuned(3, |config| config.edges.counter_max = 4);
    c.run_ms(300);
    c.connect(1, 1);
    for n in 1..=3 {
        c.send(1, 1, n, create(&format!("/n{n}")));
    }
    assert_eq!(c.replies(1, 1).last(), Some(&created(Zxid::new(Epoch(1), 4), 3, "/n3")));
    c.send(1, 1, 4, create("/lost"));
    c.run_ms(1000);
    assert_eq!(c.replies(1, 1), []);
    c.connect(1, 2);
    c.send(1, 2, 1, create("/next"));
    assert_eq!(c.replies(1, 2), [created(Zxid::new(Epoch(2), 2), 1, "/next")]);
    let tree = &c.servers[&ServerId(2)].database().tree;
    assert!(tree.get("/n3").is_some() && tree.get("/lost").is_none());
}

/// Server 3 takes itself for the best voter, and server 1 does not know it. Neither has a quorum, and each
/// answers the other, which never ends: it is not to go as fast as the network carries it.
#[test]
fn a_stranger_is_answered_now_and_then() {
    let mut c = Cluster::new(3);
    c.run_ms(300);
    for id in 1..=3 {
        c.crash(ServerId(id));
    }
    let mut without_3 = c.ensemble.clone();
    without_3.members.remove(&ServerId(3));
    c.files.insert(ServerId(1), without_3);
    c.start(ServerId(1));
    c.start(ServerId(3));
    c.notifications.clear();
    c.run_ms(10_000);
    let sent = &c.notifications;
    assert!((1..200).contains(&sent[&ServerId(1)]), "{sent:?}");
}
