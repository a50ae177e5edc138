//! Observers that followers serve in the leader's place.

use zebu_core::config::{Config, MemberRole};
use zebu_core::ids::ServerId;
use zebu_core::proto::{ClientMessage, FourLetterWord, QuorumPacket, Request, Response};

use crate::asking::{a_session_lives_by_its_pings, create, results, word};
use crate::cluster::Cluster;

/// Servers 1 to 3 vote; 3 leads, 4 and 5 observe.
const LEADER: i64 = 3;
const OBSERVERS: [i64; 2] = [4, 5];

fn with_masters(config: &mut Config) {
    for id in OBSERVERS {
        if let Some(member) = config.ensemble.members.get_mut(&ServerId(id)) {
            member.role = MemberRole::Observer;
        }
    }
    config.observers.master_port = Some(2191);
}
/// Server 2 alone serves observers, and both go there.
fn with_one_master(config: &mut Config) {
    with_masters(config);
    if [1, 3].contains(&config.my_id.0) {
        config.observers.master_port = None;
    }
}
fn with_none(config: &mut Config) {
    with_masters(config);
    if !OBSERVERS.contains(&config.my_id.0) {
        config.observers.master_port = None;
    }
}
fn with_local_sessions(config: &mut Config) {
    with_masters(config);
    config.local_sessions.enabled = true;
    config.local_sessions.upgrading = true;
}

fn started(tune: fn(&mut Config)) -> Cluster {
    let mut c = Cluster::tuned(5, tune);
    c.run_ms(1_500);
    assert!(c.servers.values().all(|server| server.is_serving()));
    c
}
fn get(path: &str) -> Request {
    Request::GetData { path: path.into(), watch: false }
}
fn written(c: &mut Cluster, server: i64, conn: u64, xid: i32, path: &str) {
    c.send(server, conn, xid, create(path, 0));
    assert_eq!(results(c, server, conn), [Ok(Response::Path(path.into()))], "at {server}");
}
/// Who tells this observer what is committed.
fn master_of(c: &Cluster, observer: i64) -> Option<i64> {
    let informs = |packet: &QuorumPacket| matches!(packet, QuorumPacket::Inform(_));
    let mut sent = c.packets.iter().rev();
    sent.find(|(_, to, packet)| to.0 == observer && informs(packet)).map(|(from, _, _)| from.0)
}
fn are_equal(c: &Cluster) {
    let digests: Vec<_> = c.servers.values().map(|s| s.database().tree.digest()).collect();
    assert!(digests.iter().all(|d| *d == digests[0]), "{digests:?}");
}

#[test]
fn a_follower_serves_observers() {
    let mut c = started(with_masters);
    c.packets.clear();
    for observer in OBSERVERS {
        let path = format!("/from{observer}");
        c.connect(observer, 1);
        c.send(observer, 1, 1, create(&path, 0));
        c.send(observer, 1, 2, get(&path));
        c.send(observer, 1, 3, Request::Sync { path: "/".into() });
        let [created, read, synced] = &results(&mut c, observer, 1)[..] else {
            panic!("three answers were due")
        };
        assert_eq!(*created, Ok(Response::Path(path)));
        assert!(matches!(read, Ok(Response::Data { .. })), "{read:?}");
        assert!(synced.is_ok(), "{synced:?}");
    }
    are_equal(&c);
    for (from, to, packet) in &c.packets {
        let with_observer = [from, to].iter().any(|id| OBSERVERS.contains(&id.0));
        let with_leader = [from, to].iter().any(|id| id.0 == LEADER);
        assert!(!(with_observer && with_leader), "{from:?} to {to:?}: {packet:?}");
        if OBSERVERS.contains(&to.0) {
            let kind = matches!(packet, QuorumPacket::Proposal(_) | QuorumPacket::Commit { .. });
            assert!(!kind, "{from:?} to {to:?}: {packet:?}");
        }
    }
}

#[test]
fn an_observer_whose_master_dies_finds_another() {
    let mut c = started(with_masters);
    c.connect(3, 1);
    written(&mut c, 3, 1, 1, "/a");
    let master = master_of(&c, 4).expect("it was told of /a");
    let path = |n: i64| format!("/b{n}");
    c.crash(ServerId(master));
    written(&mut c, 3, 1, 2, &path(1));
    c.run_ms(2_000);
    assert!(c.servers[&ServerId(4)].is_serving());
    written(&mut c, 3, 1, 3, &path(2));
    let next = master_of(&c, 4).expect("it was told");
    assert_ne!((next, next), (master, LEADER));
    are_equal(&c);
    // Without a quorum nobody is served; with another leader all are.
    c.crash(ServerId(LEADER));
    c.run_ms(3_000);
    assert!(c.servers.values().all(|server| !server.is_serving()));
    c.start(ServerId(master));
    c.run_ms(3_000);
    assert!(c.servers.values().all(|server| server.is_serving()));
    are_equal(&c);
}

#[test]
fn where_nobody_serves_observers_they_go_to_the_leader() {
    let mut c = started(with_none);
    c.packets.clear();
    c.connect(4, 1);
    written(&mut c, 4, 1, 1, "/a");
    assert_eq!(master_of(&c, 4), Some(LEADER));
}

#[test]
fn an_observer_that_knows_more_than_its_master_waits_for_it() {
    let mut c = started(with_one_master);
    c.connect(3, 1);
    written(&mut c, 3, 1, 1, "/a");
    // Server 2 hears no more of the leader; observer 5 was told of /b by the leader.
    c.crash(ServerId(5));
    c.cut.insert((ServerId(3), ServerId(2)));
    written(&mut c, 3, 1, 2, "/b");
    let ahead = c.disks[&ServerId(1)].clone();
    *c.disks.get_mut(&ServerId(5)).expect("it has one") = ahead;
    c.packets.clear();
    c.start(ServerId(5));
    c.run_ms(300);
    let told = |c: &Cluster, name: &str| {
        c.packets.iter().any(|(from, to, p)| (from.0, to.0) == (2, 5) && p.name() == name)
    };
    assert!(told(&c, "LEADERINFO") && !told(&c, "TRUNC") && !told(&c, "DIFF"), "{:?}", c.packets);
    c.cut.clear();
    c.run_ms(3_000);
    assert!(c.servers.values().all(|server| server.is_serving()));
    assert!(!c.packets.iter().any(|(_, to, p)| to.0 == 5 && p.name() == "TRUNC"));
    are_equal(&c);
}

#[test]
fn a_session_moves_among_those_that_one_server_speaks_for() {
    let mut c = started(with_one_master);
    let session = c.connect(4, 1);
    written(&mut c, 4, 1, 1, "/a");
    // To the other observer, to their master itself, to the first again: none of the old ones is
    // let through.
    let mut before = 4;
    for (next, conn) in [(5, 2), (2, 3), (4, 4)] {
        c.greet(next, conn, session);
        assert!(matches!(&c.replies(next, conn)[..], [ClientMessage::Connected(_)]), "at {next}");
        written(&mut c, next, conn, 2, &format!("/at{next}"));
        c.send(before, conn - 1, 9, create("/late", 0));
        let late = results(&mut c, before, conn - 1);
        assert!(late.iter().all(Result::is_err), "{late:?} at {before}");
        c.run_ms(1_000);
        assert!(c.servers[&ServerId(2)].database().tree.get("/late").is_none(), "from {before}");
        // Where the late one came from has begun a new term.
        assert!(c.servers.values().all(|server| server.is_serving()));
        before = next;
    }
}

#[test]
fn a_session_lives_by_what_an_observer_hears() {
    let mut c = started(with_masters);
    a_session_lives_by_its_pings(&mut c, 5);
}

#[test]
fn local_sessions_of_observers() {
    let mut c = started(with_local_sessions);
    c.connect(4, 1);
    written(&mut c, 4, 1, 1, "/a");
    c.send(4, 1, 2, create("/e", 1));
    assert_eq!(results(&mut c, 4, 1), [Ok(Response::Path("/e".into()))]);
    are_equal(&c);
}

#[test]
fn what_operators_are_told() {
    let mut c = started(with_one_master);
    let said = word(&mut c, 4, 9, FourLetterWord::Mntr);
    assert!(said.contains("zk_observer_master_id\t2\n"), "{said}");
    let said = word(&mut c, 2, 9, FourLetterWord::Mntr);
    assert!(said.contains("zk_synced_observers\t2\n"), "{said}");
    let said = word(&mut c, 3, 9, FourLetterWord::Mntr);
    assert!(said.contains("zk_synced_observers\t0\n"), "{said}");
}
