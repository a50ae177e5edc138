//! Ensembles that change while they run.

use zebu_core::config::{Config, Ensemble, Member};
use zebu_core::ids::{Epoch, ServerId, Zxid};
use zebu_core::proto::{
    Acl, ClientMessage, CreateRequest, ErrorCode, QuorumPacket, ReconfigRequest, Request, Response,
};

use crate::cluster::Cluster;

fn dynamic(config: &mut Config) {
    config.reconfig.enabled = true;
    config.auth.skip_acl = true;
    for (id, member) in &mut config.ensemble.members {
        member.host = format!("h{id}");
    }
}

/// Three voters that serve.
fn three() -> Cluster {
    let mut c = Cluster::tuned(3, dynamic);
    c.run_ms(500);
    assert_eq!(c.leader(), Some(ServerId(3)));
    c.connect(1, 1);
    c
}

fn line(id: i64, role: &str) -> String {
    format!("server.{id}=h{id}:2888:3888:{role};2181")
}

fn change(joining: &[String], leaving: &[i64]) -> Request {
    let list = |parts: Vec<String>| (!parts.is_empty()).then(|| parts.join(","));
    Request::Reconfig(ReconfigRequest {
        joining_servers: list(joining.to_vec()),
        leaving_servers: list(leaving.iter().map(ToString::to_string).collect()),
        new_members: None,
        config_version: -1,
    })
}

fn create(path: &str) -> Request {
    let acl = Acl::open();
    Request::Create(CreateRequest { path: path.into(), data: Some("x".into()), acl, flags: 0 })
}

/// What is answered to the one request that is out.
fn result(c: &mut Cluster, server: i64) -> Result<Response, ErrorCode> {
    match &c.replies(server, 1)[..] {
        [ClientMessage::Reply { result, .. }] => result.clone(),
        other => panic!("{other:?}"),
    }
}
fn ask(c: &mut Cluster, server: i64, xid: i32, request: Request) -> Result<Response, ErrorCode> {
    c.send(server, 1, xid, request);
    result(c, server)
}

/// The configuration that a server shows to clients.
fn shown(c: &Cluster, server: i64) -> Ensemble {
    let tree = &c.servers[&ServerId(server)].database().tree;
    let data = tree.get("/zookeeper/config").and_then(|node| node.data).expect("there is one");
    let text = std::str::from_utf8(data).expect("UTF-8");
    Ensemble::parse(text).unwrap_or_else(|what| panic!("{what}: {text}"))
}
fn voters(c: &Cluster, server: i64) -> Vec<i64> {
    shown(c, server).voters().map(|id| id.0).collect()
}
fn mode(c: &Cluster, server: i64) -> &'static str {
    c.servers[&ServerId(server)].mode()
}

/// What the file of server 4 says, which nobody else knows.
fn with_4(c: &Cluster) -> Ensemble {
    let mut ensemble = shown(c, 1);
    ensemble.version = 0;
    let member = Member::parse("h4:2888:3888:participant;2181").expect("a member");
    ensemble.members.insert(ServerId(4), member);
    ensemble
}

/// Server 4, which nobody knows, starts, and learns.
fn with_joiner() -> Cluster {
    let mut c = three();
    let ensemble = with_4(&c);
    c.join(ServerId(4), ensemble);
    c.run_ms(500);
    assert_eq!(mode(&c, 4), "follower");
    assert_eq!(voters(&c, 4), [1, 2, 3], "it is none yet");
    c
}

#[test]
fn the_first_term_gives_the_configuration_a_version() {
    let c = three();
    for server in 1..=3 {
        let ensemble = shown(&c, server);
        assert_eq!(ensemble.version, Zxid::start_of(Epoch(1)).0);
        assert_eq!(c.files[&ServerId(server)], ensemble, "found again at the next start");
    }
}

#[test]
fn a_server_that_follows_becomes_a_voter() {
    let mut c = with_joiner();
    c.packets.clear();
    let answer = ask(&mut c, 1, 1, change(&[line(4, "participant")], &[]));
    let Ok(Response::Data { data: Some(text), .. }) = answer else { panic!("{answer:?}") };
    let zxid = c.servers[&ServerId(3)].database().last_processed;
    assert!(text.ends_with(format!("version={:x}", zxid.0).as_bytes()), "{text:?}");
    for server in 1..=4 {
        assert_eq!(voters(&c, server), [1, 2, 3, 4]);
        assert!(c.servers[&ServerId(server)].is_serving(), "nobody was disturbed");
    }
    let activates =
        |p: &QuorumPacket| *p == QuorumPacket::CommitAndActivate { zxid, leader: ServerId(3) };
    assert_eq!(c.packets.iter().filter(|(_, _, p)| activates(p)).count(), 3);
    // Its word is needed now: two of four are no quorum.
    c.crash(ServerId(1));
    c.crash(ServerId(2));
    c.run_ms(2000);
    assert_eq!(c.leader(), None);
    c.start(ServerId(2));
    c.run_ms(1000);
    assert!(c.leader().is_some());
}

#[test]
fn a_removed_leader_hands_over() {
    let mut c = three();
    let answer = ask(&mut c, 1, 1, change(&[], &[3]));
    assert!(answer.is_ok(), "{answer:?}");
    c.settle();
    let leader = c.leader().expect("at once, without an election");
    assert!([1, 2].contains(&leader.0), "{leader}");
    assert_eq!(voters(&c, 1), [1, 2]);
    assert_eq!(voters(&c, 2), [1, 2]);
    c.connect(2, 1);
    assert!(ask(&mut c, 2, 1, create("/after")).is_ok());
    // The one that is gone may go on learning, and counts for nothing.
    c.crash(ServerId(1));
    c.run_ms(2000);
    assert_eq!(c.leader(), None);
}

#[test]
fn a_voter_becomes_an_observer_and_a_voter_again() {
    let mut c = three();
    assert!(ask(&mut c, 1, 1, change(&[line(2, "observer")], &[])).is_ok());
    c.run_ms(500);
    assert_eq!((mode(&c, 2), voters(&c, 1)), ("observer", vec![1, 3]));
    // An observer's connection does not make it a voter that is synchronized.
    assert_eq!(
        ask(&mut c, 1, 2, change(&[line(2, "participant")], &[])).map(drop),
        Ok(()),
        "the other two are enough"
    );
    c.run_ms(500);
    assert_eq!((mode(&c, 2), voters(&c, 3)), ("follower", vec![1, 2, 3]));
}

/// Server 3 asks the voters that it knows, and they have no vote any more.
#[test]
fn who_missed_everything_hears_of_it_from_observers() {
    let mut c = with_joiner();
    let mut ensemble = with_4(&c);
    let fifth = Member::parse("h5:2888:3888:participant;2181").expect("a member");
    ensemble.members.insert(ServerId(5), fifth);
    c.join(ServerId(5), ensemble);
    c.crash(ServerId(3));
    c.run_ms(1000);
    c.connect(1, 1);
    let joining = [line(4, "participant"), line(5, "participant")];
    assert!(ask(&mut c, 1, 1, change(&joining, &[])).is_ok());
    let observing = [line(1, "observer"), line(2, "observer")];
    c.send(1, 1, 2, change(&observing, &[]));
    c.run_ms(1000);
    assert_eq!((mode(&c, 2), voters(&c, 1)), ("observer", vec![3, 4, 5]));
    c.start(ServerId(3));
    c.run_ms(1000);
    assert_eq!((mode(&c, 3), voters(&c, 3)), ("follower", vec![3, 4, 5]));
}

/// What it knew in memory only must be durable before it votes.
#[test]
fn an_observer_without_a_log_becomes_a_voter() {
    fn forgetful(config: &mut Config) {
        dynamic(config);
        config.observers.keep_log = false;
    }
    let mut c = Cluster::tuned(3, forgetful);
    c.run_ms(500);
    c.connect(1, 1);
    assert!(ask(&mut c, 1, 1, change(&[line(2, "observer")], &[])).is_ok());
    c.run_ms(500);
    let before = c.disks[&ServerId(2)].recover().database.last_processed;
    assert!(ask(&mut c, 1, 2, create("/unwritten")).is_ok());
    assert_eq!(c.disks[&ServerId(2)].recover().database.last_processed, before);
    assert!(ask(&mut c, 1, 3, change(&[line(2, "participant")], &[])).is_ok());
    c.run_ms(500);
    assert_eq!(mode(&c, 2), "follower");
    assert!(ask(&mut c, 1, 4, create("/written")).is_ok());
    let disk = &c.disks[&ServerId(2)];
    assert_eq!(
        disk.recover().database.last_processed,
        c.disks[&ServerId(3)].recover().database.last_processed
    );
    assert_eq!(disk.epochs, c.disks[&ServerId(3)].epochs);
    c.crash(ServerId(2));
    c.start(ServerId(2));
    c.run_ms(500);
    let read = |c: &Cluster, id| c.servers[&ServerId(id)].database().tree.digest();
    assert_eq!((mode(&c, 2), read(&c, 2)), ("follower", read(&c, 3)));
}

#[test]
fn what_cannot_be_is_refused() {
    let mut c = three();
    let version = |config_version, joining: &[String]| match change(joining, &[]) {
        Request::Reconfig(asked) => Request::Reconfig(ReconfigRequest { config_version, ..asked }),
        other => other,
    };
    let anew = |members: &str| {
        Request::Reconfig(ReconfigRequest {
            joining_servers: None,
            leaving_servers: None,
            new_members: Some(members.into()),
            config_version: -1,
        })
    };
    let here = shown(&c, 1).version as i64;
    let all = [
        (version(7, &[]), ErrorCode::BAD_VERSION),
        (version(here, &["nonsense".into()]), ErrorCode::BAD_ARGUMENTS),
        (change(&["server.4=h4:1:2".into()], &[]), ErrorCode::BAD_ARGUMENTS),
        (change(&["server.4=h1:2888:3888;1".into()], &[]), ErrorCode::BAD_ARGUMENTS),
        (change(&[], &[1, 2]), ErrorCode::BAD_ARGUMENTS),
        (anew("server.1=h1:1:2;3"), ErrorCode::BAD_ARGUMENTS),
        (
            change(&[line(4, "participant"), line(5, "participant")], &[1]),
            ErrorCode::NEW_CONFIG_NO_QUORUM,
        ),
    ];
    for (xid, (request, code)) in (1..).zip(all) {
        assert_eq!(ask(&mut c, 1, xid, request.clone()).unwrap_err(), code, "{request:?}");
    }
    assert_eq!(shown(&c, 2).version as i64, here);
}

/// All members anew, with groups that there were not before.
#[test]
fn a_whole_configuration_is_taken_over() {
    let mut c = three();
    let members: Vec<_> = (1..=3).map(|id| line(id, "participant")).collect();
    let text = format!("{},group.1=1:2,group.2=3", members.join(","));
    let config_version = shown(&c, 1).version as i64;
    let answer = ask(
        &mut c,
        1,
        1,
        Request::Reconfig(ReconfigRequest {
            joining_servers: None,
            leaving_servers: None,
            new_members: Some(text),
            config_version,
        }),
    );
    assert!(answer.is_ok(), "{answer:?}");
    for server in 1..=3 {
        assert!(shown(&c, server).hierarchy.is_some(), "server {server}");
    }
    // Each of the two groups is needed, and in the first one both.
    c.crash(ServerId(1));
    c.run_ms(2000);
    assert_eq!(c.leader(), None);
}

#[test]
fn one_at_a_time_and_both_quorums_while_it_is_under_way() {
    let mut c = with_joiner();
    c.connect(3, 2);
    // Acknowledgements do not come back, so it cannot be committed.
    for other in [1, 2, 4] {
        c.cut.insert((ServerId(other), ServerId(3)));
    }
    c.send(3, 2, 1, change(&[line(4, "participant")], &[]));
    c.send(3, 2, 2, change(&[], &[1]));
    c.send(3, 2, 3, create("/behind"));
    assert_eq!(c.replies(3, 2), []);
    c.cut.clear();
    c.crash(ServerId(1));
    // Two of three and of four: enough for the old configuration, and not for both.
    c.cut.insert((ServerId(4), ServerId(3)));
    c.run_ms(50);
    assert_eq!(c.replies(3, 2), []);
    c.cut.clear();
}

/// Leader 3 proposes that server 4 becomes a voter; acknowledgements do not come back.
fn proposes_and_dies(c: &mut Cluster) {
    c.connect(3, 2);
    for other in [1, 2, 4] {
        c.cut.insert((ServerId(other), ServerId(3)));
    }
    c.send(3, 2, 1, change(&[line(4, "participant")], &[]));
    assert_eq!(c.replies(3, 2), []);
    c.crash(ServerId(3));
    c.cut.clear();
}

/// Those who are left elect a leader, and server 4 is a voter.
fn completes_it(c: &mut Cluster) {
    c.run_ms(2000);
    assert!(c.leader().is_some(), "{:?}", c.notes);
    for server in [1, 2, 4] {
        assert_eq!(voters(c, server), [1, 2, 3, 4], "server {server}");
    }
}

/// The new leader knows the reconfiguration as the last entry of its log, and completes it.
#[test]
fn a_leader_completes_what_its_predecessor_proposed() {
    let mut c = with_joiner();
    proposes_and_dies(&mut c);
    completes_it(&mut c);
}

/// Three of the four are needed; it comes as the observer that it was.
#[test]
fn who_is_proposed_and_has_not_heard_of_it_counts() {
    let mut c = with_joiner();
    assert!(ask(&mut c, 1, 1, change(&[line(4, "observer")], &[])).is_ok());
    c.run_ms(500);
    c.cut.insert((ServerId(3), ServerId(4)));
    proposes_and_dies(&mut c);
    completes_it(&mut c);
}

/// Server 4 has as long a history and the larger id, but server 1 has not heard of it.
#[test]
fn whom_everybody_knows_is_elected_before_whom_is_only_proposed() {
    let mut c = with_joiner();
    c.cut.insert((ServerId(3), ServerId(1)));
    proposes_and_dies(&mut c);
    c.run_ms(100);
    assert_eq!(c.leader(), Some(ServerId(2)));
    assert_eq!(voters(&c, 1), [1, 2, 3, 4]);
}

/// Server 4 alone has the newest transaction, and server 1, which is needed, has not heard that it is
/// anybody. Server 2 tells it.
#[test]
fn whom_few_have_heard_of_is_elected_when_nobody_else_may_lead() {
    let mut c = with_joiner();
    c.connect(3, 2);
    for other in [1, 2, 4] {
        c.cut.insert((ServerId(other), ServerId(3)));
    }
    c.cut.insert((ServerId(3), ServerId(1)));
    c.send(3, 2, 1, change(&[line(4, "participant")], &[]));
    assert_eq!(c.replies(3, 2), []);
    c.cut.insert((ServerId(3), ServerId(2)));
    c.send(3, 2, 2, create("/last"));
    assert_eq!(c.replies(3, 2), []);
    c.crash(ServerId(3));
    c.cut.clear();
    completes_it(&mut c);
    assert!(c.servers[&ServerId(1)].database().tree.get("/last").is_some());
}

/// Java's servers go by the ids, and do not yield.
#[test]
fn beside_java_a_proposed_server_is_elected_for_its_id() {
    let mut c = with_joiner();
    c.java = [1, 2, 4].map(ServerId).into();
    proposes_and_dies(&mut c);
    c.run_ms(500);
    assert_eq!(c.leader(), Some(ServerId(4)));
    assert_eq!(voters(&c, 1), [1, 2, 3, 4]);
}

/// The leader tells a new learner of it, and that does not make it so: it may be lost with its leader.
#[test]
fn what_is_proposed_is_not_in_force_at_who_comes_meanwhile() {
    let mut c = three();
    c.connect(3, 2);
    // Acknowledgements do not come back.
    for other in [1, 2] {
        c.cut.insert((ServerId(other), ServerId(3)));
    }
    let ensemble = with_4(&c);
    c.send(3, 2, 1, change(&[], &[1]));
    c.join(ServerId(4), ensemble);
    c.run_ms(500);
    assert_eq!((mode(&c, 3), c.replies(3, 2)), ("leader", vec![]));
    assert_eq!((mode(&c, 4), voters(&c, 4)), ("follower", vec![1, 2, 3]));
    assert_eq!(c.files[&ServerId(4)].version, Zxid::start_of(Epoch(1)).0);
}

/// Nobody else has heard of it, and its own quorum would be two, of whom one is itself.
#[test]
fn what_is_lost_with_its_leader_does_not_keep_it_out() {
    let mut c = three();
    c.connect(3, 2);
    for other in [1, 2] {
        c.cut.insert((ServerId(3), ServerId(other)));
    }
    c.send(3, 2, 1, change(&[], &[1]));
    assert_eq!(c.replies(3, 2), []);
    c.crash(ServerId(3));
    c.cut.clear();
    c.run_ms(2000);
    assert_eq!(c.leader(), Some(ServerId(2)));
    c.start(ServerId(3));
    c.run_ms(1000);
    assert_eq!((mode(&c, 3), voters(&c, 3)), ("follower", vec![1, 2, 3]));
}

/// A server that slept through a reconfiguration asks where it always did, and is told.
#[test]
fn who_missed_it_is_told_by_those_who_look_for_a_leader_or_have_one() {
    let mut c = with_joiner();
    c.crash(ServerId(1));
    c.connect(2, 1);
    assert!(ask(&mut c, 2, 1, change(&[line(4, "participant")], &[])).is_ok());
    c.start(ServerId(1));
    c.run_ms(1000);
    assert_eq!((mode(&c, 1), voters(&c, 1)), ("follower", vec![1, 2, 3, 4]));
}
