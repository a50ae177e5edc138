//! Observers: they learn and serve, and nobody counts them.

use zebu_core::config::{Config, MemberRole, SyncsMax};
use zebu_core::ids::{Epoch, ServerId, SessionId};
use zebu_core::proto::{ClientMessage, ErrorCode, FourLetterWord, QuorumPacket, Request, Response};
use zebu_core::server::Note;

use crate::asking::{a_session_lives_by_its_pings, create, results, word};
use crate::cluster::Cluster;

/// Of five servers 1 and 5 observe: one whose id is below every voter's, and one above.
const OBSERVERS: [i64; 2] = [1, 5];
const VOTERS: [i64; 3] = [2, 3, 4];

fn two_observe(config: &mut Config) {
    for id in OBSERVERS {
        if let Some(member) = config.ensemble.members.get_mut(&ServerId(id)) {
            member.role = MemberRole::Observer;
        }
    }
}
fn with_local_sessions(config: &mut Config) {
    two_observe(config);
    config.local_sessions.enabled = true;
    config.local_sessions.upgrading = true;
}
fn read_only(config: &mut Config) {
    two_observe(config);
    config.read_only_mode.enabled = true;
    config.read_only_mode.patience_min = config.tick;
}

fn get(path: &str) -> Request {
    Request::GetData { path: path.into(), watch: false }
}
fn started(tune: fn(&mut Config)) -> Cluster {
    let mut c = Cluster::tuned(5, tune);
    c.run_ms(500);
    c
}
fn modes(c: &Cluster) -> Vec<&'static str> {
    c.servers.values().map(|server| server.mode()).collect()
}
fn are_equal(c: &Cluster) {
    let digests: Vec<_> = c.servers.values().map(|s| s.database().tree.digest()).collect();
    assert!(digests.iter().all(|d| *d == digests[0]), "{digests:?}");
}

#[test]
fn observers_serve_reads_and_forward_writes() {
    let mut c = started(two_observe);
    assert_eq!(modes(&c), ["observer", "follower", "follower", "leader", "observer"]);
    assert!(c.servers.values().all(|server| server.is_serving()));
    c.packets.clear();
    for server in OBSERVERS {
        let path = format!("/from{server}");
        c.connect(server, 1);
        c.send(server, 1, 1, create(&path, 0));
        c.send(server, 1, 2, get(&path));
        c.send(server, 1, 3, Request::Sync { path: "/".into() });
        let [created, read, synced] = &results(&mut c, server, 1)[..] else {
            panic!("three answers were due")
        };
        assert_eq!(*created, Ok(Response::Path(path)));
        assert!(matches!(read, Ok(Response::Data { .. })), "{read:?}");
        assert!(synced.is_ok(), "{synced:?}");
    }
    are_equal(&c);
    for (from, to, packet) in &c.packets {
        let (leads, observes) = (from.0 == 4, OBSERVERS.contains(&to.0));
        match packet {
            QuorumPacket::Proposal(_) | QuorumPacket::Commit { .. } => {
                assert!(leads && !observes, "{from:?} to {to:?}: {packet:?}");
            }
            QuorumPacket::Inform(_) => assert!(leads && observes, "{from:?} to {to:?}"),
            QuorumPacket::Ack { .. } => {
                assert!(VOTERS.contains(&from.0), "{from:?} acknowledges {packet:?}");
            }
            _ => {}
        }
    }
}

#[test]
fn a_quorum_is_made_of_voters_only() {
    let mut c = started(two_observe);
    c.connect(1, 1);
    c.crash(ServerId(2));
    c.crash(ServerId(3));
    c.send(1, 1, 1, create("/alone", 0));
    c.run_ms(5_000);
    assert_eq!(c.leader(), None, "{:?}", modes(&c));
    assert!(c.servers.values().all(|server| !server.is_serving()));
    c.start(ServerId(2));
    c.run_ms(3_000);
    assert!(c.leader().is_some());
    assert!(c.servers.values().all(|server| server.is_serving()), "{:?}", modes(&c));
}

/// Voters who lose their quorum while all observers look: who asks whom how often.
#[test]
fn who_looks_in_vain_asks_seldom() {
    let mut c = started(two_observe);
    c.crash(ServerId(2));
    c.crash(ServerId(3));
    c.run_ms(3_000);
    let sent = c.notifications.clone();
    c.run_ms(10_000);
    for (from, count) in &c.notifications {
        let during = count - sent.get(from).copied().unwrap_or(0);
        assert!(during < 200, "{from:?} sent {during} notifications in 10 s");
    }
}

#[test]
fn an_observer_catches_up_in_each_way() {
    let mut c = started(two_observe);
    c.connect(4, 1);
    for (writes, how) in [(0, "DIFF"), (3, "DIFF"), (600, "SNAP")] {
        c.crash(ServerId(5));
        for i in 0..writes {
            c.send(4, 1, i + 1, create(&format!("/{how}{writes}-{i}"), 0));
        }
        assert_eq!(c.replies(4, 1).len(), writes as usize);
        c.packets.clear();
        c.start(ServerId(5));
        c.run_ms(1_000);
        let found = c.packets.iter().find_map(|(_, to, packet)| match packet {
            QuorumPacket::Diff { .. } | QuorumPacket::Trunc { .. } | QuorumPacket::Snap { .. } => {
                (to.0 == 5).then(|| packet.name())
            }
            _ => None,
        });
        assert_eq!(found, Some(how));
        assert_eq!(c.servers[&ServerId(5)].mode(), "observer");
        are_equal(&c);
        if how == "DIFF" {
            assert_eq!(c.disks[&ServerId(5)].log.last(), c.disks[&ServerId(4)].log.last());
        }
    }
}

/// Nobody waits but observers, and they for each other only.
#[test]
fn observers_are_synchronized_in_turn() {
    fn in_turn(config: &mut Config) {
        two_observe(config);
        config.observers.syncs_max = SyncsMax { snaps: 1, diffs: 1 };
    }
    // To whom DIFF was sent, and who acknowledged NEWLEADER.
    fn synchronized(tune: fn(&mut Config)) -> Vec<(&'static str, ServerId)> {
        let mut c = started(tune);
        c.connect(4, 1);
        for observer in OBSERVERS {
            c.crash(ServerId(observer));
        }
        c.send(4, 1, 1, create("/a", 0));
        c.packets.clear();
        for observer in OBSERVERS {
            c.start(ServerId(observer));
        }
        c.run_ms(1_000);
        are_equal(&c);
        assert_eq!(c.servers[&ServerId(1)].mode(), c.servers[&ServerId(5)].mode());
        let seen = c.packets.iter().filter_map(|(from, to, packet)| match packet {
            QuorumPacket::Diff { .. } => Some(("DIFF", *to)),
            QuorumPacket::Ack { zxid } if zxid.counter() == 0 => Some(("ACK", *from)),
            _ => None,
        });
        seen.collect()
    }
    let words = |seen: Vec<_>| seen.into_iter().map(|(word, _)| word).collect::<Vec<_>>();
    assert_eq!(words(synchronized(in_turn))[..4], ["DIFF", "ACK", "DIFF", "ACK"]);
    assert_eq!(words(synchronized(two_observe))[..2], ["DIFF", "DIFF"]);
}

/// It begins with what its disk had before it was told to keep nothing, each time.
#[test]
fn an_observer_without_a_log() {
    fn forgetful(config: &mut Config) {
        two_observe(config);
        config.observers.keep_log = false;
        config.snap_count = 2;
    }
    let mut c = started(forgetful);
    c.connect(4, 1);
    for xid in 1..=3 {
        c.send(4, 1, xid, create(&format!("/n{xid}"), 0));
        assert_eq!(c.replies(4, 1).len(), 1);
        are_equal(&c);
        assert_eq!(c.disks[&ServerId(5)].log, []);
        assert_eq!(c.disks[&ServerId(5)].epochs.accepted, Epoch(0));
        c.crash(ServerId(5));
        c.packets.clear();
        c.start(ServerId(5));
        c.run_ms(1_000);
        assert_eq!(c.servers[&ServerId(5)].mode(), "observer");
        assert!(c.packets.iter().any(|(_, to, packet)| to.0 == 5 && packet.name() == "SNAP"));
        are_equal(&c);
    }
    assert!(c.disks[&ServerId(4)].log.len() >= 4);
}

/// S04: its promise binds nobody, so it may follow an older epoch than the one it accepted; and when
/// it comes before the epoch is chosen, a later one is chosen.
#[test]
fn an_observer_that_accepted_a_later_epoch() {
    let mut c = started(two_observe);
    let epoch = |c: &Cluster, id| c.disks[&ServerId(id)].epochs.current;
    c.crash(ServerId(5));
    c.disks.get_mut(&ServerId(5)).unwrap().epochs.accepted = Epoch(9);
    c.start(ServerId(5));
    c.run_ms(1_000);
    assert!(c.servers[&ServerId(5)].is_serving());
    assert_eq!((epoch(&c, 4), epoch(&c, 5)), (Epoch(1), Epoch(1)));
    assert_eq!(c.disks[&ServerId(5)].epochs.accepted, Epoch(9));
    // One that it entered is another matter: no leader that is older can be a leader now.
    c.crash(ServerId(5));
    c.disks.get_mut(&ServerId(5)).unwrap().epochs.current = Epoch(9);
    c.start(ServerId(5));
    c.run_ms(1_000);
    assert!(!c.servers[&ServerId(5)].is_serving());
    assert_eq!(c.leader(), Some(ServerId(4)), "and the leader does not care");
}

#[test]
fn clients_move_between_observers_and_voters() {
    let mut c = started(with_local_sessions);
    let session = c.connect(5, 1);
    // Local: another server knows nothing of it.
    c.greet(4, 2, session);
    match &c.replies(4, 2)[..] {
        [ClientMessage::Connected(refused)] => assert_eq!(refused.timeout_ms, 0),
        other => panic!("{other:?}"),
    }
    let session = c.connect(1, 3);
    c.send(1, 3, 1, create("/e", 1));
    assert_eq!(results(&mut c, 1, 3), [Ok(Response::Path("/e".into()))]);
    c.greet(5, 4, session);
    match &c.replies(5, 4)[..] {
        [ClientMessage::Connected(granted)] => assert_eq!(granted.session, session),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_session_lives_by_what_an_observer_hears() {
    let mut c = started(two_observe);
    a_session_lives_by_its_pings(&mut c, 5);
}

#[test]
fn an_observer_cut_off_serves_readers() {
    let mut c = started(read_only);
    c.connect(5, 1);
    c.send(5, 1, 1, create("/n", 0));
    assert_eq!(c.replies(5, 1).len(), 1);
    for voter in VOTERS {
        c.cut.insert((ServerId(5), ServerId(voter)));
        c.cut.insert((ServerId(voter), ServerId(5)));
    }
    c.run_ms(4_000);
    assert_eq!(c.servers[&ServerId(5)].mode(), "read-only");
    c.greet_as(5, 2, SessionId(0), true);
    assert!(matches!(&c.replies(5, 2)[..], [ClientMessage::Connected(_)]));
    c.send(5, 2, 1, get("/n"));
    c.send(5, 2, 2, create("/no", 0));
    let found = results(&mut c, 5, 2);
    assert!(matches!(found[0], Ok(Response::Data { .. })), "{found:?}");
    assert_eq!(found[1], Err(ErrorCode::NOT_READ_ONLY));
    c.cut.clear();
    c.run_ms(4_000);
    assert_eq!(c.servers[&ServerId(5)].mode(), "observer");
}

/// S20: what is committed while an observer synchronizes.
#[test]
fn an_inform_may_come_before_uptodate_and_for_what_was_proposed() {
    let mut c = started(two_observe);
    c.connect(4, 1);
    c.send(4, 1, 1, create("/a", 0));
    assert_eq!(c.replies(4, 1).len(), 1);
    let last = c.disks[&ServerId(4)].log.last().cloned().unwrap();
    // Again, as a leader does that had sent it as a proposal before.
    c.forge(4, 5, QuorumPacket::Inform(last.clone()));
    c.settle();
    assert!(c.servers[&ServerId(5)].is_serving());
    are_equal(&c);
    // Not for followers.
    c.notes.clear();
    c.forge(4, 3, QuorumPacket::Inform(last));
    c.settle();
    let refused = |(id, note): &(ServerId, Note)| id.0 == 3 && matches!(note, Note::Refused(_));
    assert!(c.notes.iter().any(refused), "{:?}", c.notes);
}

#[test]
fn a_follower_that_is_no_voter_gets_proposals_and_counts_for_nothing() {
    // Server 3 believes that it votes; the others know it as an observer.
    fn disagree(config: &mut Config) {
        if config.my_id != ServerId(3)
            && let Some(member) = config.ensemble.members.get_mut(&ServerId(3))
        {
            member.role = MemberRole::Observer;
        }
    }
    let mut c = Cluster::tuned(3, disagree);
    c.run_ms(1_000);
    assert_eq!(c.leader(), Some(ServerId(2)), "{:?}", modes(&c));
    assert_eq!(c.servers[&ServerId(3)].mode(), "follower");
    c.packets.clear();
    c.connect(3, 1);
    c.send(3, 1, 1, create("/a", 0));
    assert_eq!(c.replies(3, 1).len(), 1);
    let gets = |name: &str| c.packets.iter().any(|(_, to, p)| to.0 == 3 && p.name() == name);
    assert!(gets("PROPOSAL") && gets("COMMIT") && !gets("INFORM"));
    // Without server 1 there is no quorum, whatever server 3 acknowledges.
    c.connect(2, 2);
    c.crash(ServerId(1));
    c.send(2, 2, 1, create("/b", 0));
    c.settle();
    assert_eq!(c.replies(2, 2), []);
    assert!(c.packets.iter().any(|(from, _, p)| from.0 == 3 && p.name() == "ACK"));
}

#[test]
fn what_operators_are_told() {
    let mut c = started(two_observe);
    assert!(word(&mut c, 1, 9, FourLetterWord::Srvr).contains("Mode: observer\n"));
    assert!(word(&mut c, 1, 9, FourLetterWord::Conf).contains("peerType=1\n"));
    let said = word(&mut c, 5, 9, FourLetterWord::Mntr);
    for line in [
        "zk_server_state\tobserver\n",
        "zk_peer_state\tobserving - broadcast\n",
        "zk_observer_master_id\t4\n",
        "zk_quorum_size\t3\n",
    ] {
        assert!(said.contains(line), "{line:?} in {said}");
    }
    let said = word(&mut c, 4, 9, FourLetterWord::Mntr);
    for line in [
        "zk_learners\t4\n",
        "zk_synced_followers\t2\n",
        "zk_synced_observers\t2\n",
        "zk_synced_non_voting_followers\t0\n",
    ] {
        assert!(said.contains(line), "{line:?} in {said}");
    }
}

#[test]
fn a_leader_that_greets_nonsense_goes_on() {
    let mut c = started(two_observe);
    c.crash(ServerId(5));
    c.disks.get_mut(&ServerId(5)).unwrap().epochs.accepted = Epoch(i32::MAX as u32);
    c.start(ServerId(5));
    c.run_ms(1_000);
    assert!(!c.servers[&ServerId(5)].is_serving());
    assert_eq!(c.leader(), Some(ServerId(4)));
}
