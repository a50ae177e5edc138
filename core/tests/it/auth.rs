//! Who a connection is and what that lets it ask, through the boundary: auth packets, SASL logins,
//! identities on their way to the leader, and connections that must have one.

use md5::{Digest, Md5};
use zebu_core::auth::sasl::UserKey;
use zebu_core::config::{Config, Secret};
use zebu_core::ids::{ConnId, ServerId};
use zebu_core::proto::{
    Acl, ClientMessage, CreateRequest, Credentials, ErrorCode, Id, OpCode, Request, Response, perms,
};

use crate::cluster::Cluster;

const SUPER_ID: &str = "super:D/InIHSb7yEEbrWz8b9l71RjZJU=";

fn with_users(config: &mut Config) {
    config.auth.sasl.provider = true;
    let users = [("bob", "sesame"), ("root", "toor")];
    let keys = users.map(|(user, password)| (user.to_owned(), UserKey::new(user, password)));
    config.auth.sasl.users = Some(keys.into());
    config.auth.sasl.super_users = ["root".into()].into();
    config.auth.digest.super_id = Some(Secret::new(SUPER_ID));
}

fn cluster(voters: i64, configure: fn(&mut Config)) -> Cluster {
    let mut c = Cluster::tuned(voters, configure);
    c.settle();
    if voters > 1 {
        c.run_ms(5000);
    }
    assert!(c.leader().is_some());
    c
}

fn a_follower(c: &Cluster) -> i64 {
    let leader = c.leader().expect("somebody leads");
    c.servers.keys().find(|id| **id != leader).expect("there are three").0
}

fn auth(scheme: &str, credentials: &str) -> Request {
    let auth = credentials.to_owned().into();
    Request::Auth { scheme: scheme.into(), auth }
}

fn sasl(token: &[u8]) -> Request {
    Request::Sasl { token: token.to_vec().into() }
}

fn acl(perms: i32, scheme: &str, id: &str) -> Acl {
    Acl { perms, id: Id { scheme: scheme.into(), id: id.into() } }
}

fn create(path: &str, acl: Acl) -> Request {
    Request::Create(CreateRequest { path: path.into(), data: None, acl: vec![acl], flags: 0 })
}

fn get(path: &str) -> Request {
    Request::GetData { path: path.into(), watch: false }
}

/// Code and zxid 0 or not, of each answer in turn.
fn codes(c: &mut Cluster, server: i64, conn: u64) -> Vec<(i32, ErrorCode, bool)> {
    let answers = c.replies(server, conn).into_iter().map(|message| match message {
        ClientMessage::Reply { xid, zxid, result } => {
            (xid.0, result.err().unwrap_or(ErrorCode::OK), zxid != 0)
        }
        ClientMessage::LoginRefused { xid, code } => (xid.0, code, false),
        other => panic!("expected a reply, got {other:?}"),
    });
    answers.collect()
}

fn is_closed(c: &Cluster, server: i64, conn: u64) -> bool {
    c.closed.contains(&(ServerId(server), ConnId(conn)))
}

fn token(c: &mut Cluster, server: i64, conn: u64) -> Option<Vec<u8>> {
    match &c.replies(server, conn)[..] {
        [ClientMessage::Reply { zxid: 0, result: Ok(Response::Sasl { token }), .. }] => {
            token.as_ref().map(|token| token.to_vec())
        }
        other => panic!("expected a token, got {other:?}"),
    }
}

fn hex(bytes: impl AsRef<[u8]>) -> String {
    Md5::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The client's half of RFC 2831.
fn answer(challenge: &[u8], user: &str, password: &str) -> Vec<u8> {
    let challenge = String::from_utf8(challenge.to_vec()).unwrap();
    let nonce = challenge.split('"').nth(3).expect("realm, nonce");
    let secret = Md5::digest(format!("{user}:zk-sasl-md5:{password}"));
    let a1 = hex([&secret[..], format!(":{nonce}:c").as_bytes()].concat());
    let a2 = hex("AUTHENTICATE:zookeeper/zk-sasl-md5");
    let response = hex(format!("{a1}:{nonce}:00000001:c:auth:{a2}"));
    format!(
        "username=\"{user}\",realm=\"zk-sasl-md5\",nonce=\"{nonce}\",cnonce=\"c\",nc=00000001,\
         digest-uri=\"zookeeper/zk-sasl-md5\",qop=auth,response={response}"
    )
    .into_bytes()
}

/// Up to the last word of the login.
fn log_in(c: &mut Cluster, server: i64, conn: u64, user: &str, password: &str) {
    c.send(server, conn, 1, sasl(b""));
    let challenge = token(c, server, conn).expect("a challenge");
    c.send(server, conn, 2, sasl(&answer(&challenge, user, password)));
}

#[test]
fn who_logs_in_is_the_user_at_every_server() {
    let mut c = cluster(3, with_users);
    let (at, leader) = (a_follower(&c), c.leader().unwrap().0);
    c.connect(at, 1);
    log_in(&mut c, at, 1, "bob", "sesame");
    let proof = token(&mut c, at, 1).expect("the server's proof");
    assert!(proof.starts_with(b"rspauth="), "{proof:?}");
    c.send(at, 1, 3, Request::WhoAmI);
    let ids = [("ip", "10.0.0.1"), ("sasl", "bob")];
    let ids = ids.map(|(scheme, id)| Id { scheme: scheme.into(), id: id.into() });
    let answers = c.replies(at, 1);
    assert!(
        matches!(&answers[..], [ClientMessage::Reply { result: Ok(Response::Identities(i)), .. }] if *i == ids),
        "{answers:?}"
    );
    // The leader judges by the identity that came with the request.
    c.send(at, 1, 4, create("/bobs", acl(perms::ALL, "auth", "")));
    c.send(at, 1, 5, create("/bobs/own", acl(perms::ALL, "sasl", "bob")));
    assert_eq!(codes(&mut c, at, 1), [(4, ErrorCode::OK, true), (5, ErrorCode::OK, true)]);
    c.connect(leader, 2);
    c.send(leader, 2, 1, create("/bobs/others", acl(perms::ALL, "world", "anyone")));
    c.send(leader, 2, 2, get("/bobs"));
    let denied = [(1, ErrorCode::NO_AUTH, true), (2, ErrorCode::NO_AUTH, true)];
    assert_eq!(codes(&mut c, leader, 2), denied);
}

#[test]
fn a_login_that_fails_ends_the_connection() {
    let mut c = cluster(1, with_users);
    for (conn, (user, password)) in [(1, ("bob", "Sesame")), (2, ("eve", "sesame"))] {
        c.connect(1, conn);
        log_in(&mut c, 1, conn, user, password);
        c.send(1, conn, 3, create("/behind", acl(perms::ALL, "world", "anyone")));
        assert_eq!(codes(&mut c, 1, conn), [(2, ErrorCode::AUTH_FAILED, false)]);
        assert!(is_closed(&c, 1, conn));
    }
    c.connect(1, 3);
    c.send(1, 3, 1, get("/behind"));
    assert_eq!(codes(&mut c, 1, 3), [(1, ErrorCode::NO_NODE, true)]);
    // A second login on one connection is a failure of its own.
    log_in(&mut c, 1, 3, "bob", "sesame");
    assert!(token(&mut c, 1, 3).is_some());
    c.send(1, 3, 4, sasl(b""));
    assert_eq!(codes(&mut c, 1, 3), [(4, ErrorCode::AUTH_FAILED, false)]);
    assert!(is_closed(&c, 1, 3));
}

#[test]
fn a_login_that_fails_need_not_end_the_connection() {
    let mut c = cluster(1, |config| {
        with_users(config);
        config.auth.sasl.allow_failed = true;
    });
    c.connect(1, 1);
    log_in(&mut c, 1, 1, "bob", "wrong");
    assert_eq!(token(&mut c, 1, 1), None);
    c.send(1, 1, 3, create("/a", acl(perms::ALL, "auth", "")));
    assert_eq!(codes(&mut c, 1, 1), [(3, ErrorCode::INVALID_ACL, true)], "it is nobody");
    assert!(!is_closed(&c, 1, 1));
}

#[test]
fn where_nobody_can_log_in_everybody_is_told_nothing() {
    let mut c = cluster(1, |_| {});
    c.connect(1, 1);
    for _ in 0..3 {
        c.send(1, 1, 1, sasl(b"whatever"));
        assert_eq!(token(&mut c, 1, 1), None);
    }
    c.send(1, 1, 2, create("/a", acl(perms::ALL, "sasl", "bob")));
    assert_eq!(codes(&mut c, 1, 1), [(2, ErrorCode::INVALID_ACL, true)], "there is no such scheme");
    c.send(1, 1, 3, Request::Malformed(OpCode::Sasl));
    assert_eq!(codes(&mut c, 1, 1), []);
    assert!(is_closed(&c, 1, 1));
}

#[test]
fn who_must_log_in_and_does_not_is_told_so() {
    let mut c = cluster(1, |config| {
        with_users(config);
        config.auth.sasl.allow_failed = true;
        config.auth.required_schemes = ["sasl".into()].into();
    });
    let required = ErrorCode::SESSION_CLOSED_REQUIRE_SASL_AUTH;
    let requests = [Request::Ping, Request::CloseSession, get("/"), Request::Unknown(77)];
    for (conn, request) in (1..).zip(requests) {
        c.connect(1, conn);
        c.send(1, conn, 9, auth("digest", "u:p"));
        c.send(1, conn, 10, request.clone());
        let expected = [(9, ErrorCode::OK, false), (10, required, false)];
        let expected = match request {
            Request::Ping => [expected[0], (-2, required, false)],
            _ => expected,
        };
        assert_eq!(codes(&mut c, 1, conn), expected, "{request:?}");
        assert!(is_closed(&c, 1, conn));
    }
    // A login that fails is not let through either, whatever else is allowed.
    c.connect(1, 8);
    log_in(&mut c, 1, 8, "bob", "wrong");
    assert_eq!(codes(&mut c, 1, 8), [(2, required, false)]);
    assert!(is_closed(&c, 1, 8));
    c.connect(1, 9);
    log_in(&mut c, 1, 9, "bob", "sesame");
    assert!(token(&mut c, 1, 9).is_some());
    c.send(1, 9, 3, get("/"));
    assert_eq!(codes(&mut c, 1, 9), [(3, ErrorCode::OK, true)]);
}

#[test]
fn one_of_several_demanded_schemes_will_do() {
    let mut c = cluster(1, |config| {
        config.auth.required_schemes = ["digest".into(), "x509".into()].into();
    });
    c.connect(1, 1);
    c.send(1, 1, -4, auth("digest", "u:p"));
    c.send(1, 1, 1, get("/"));
    assert_eq!(codes(&mut c, 1, 1), [(-4, ErrorCode::OK, false), (1, ErrorCode::OK, true)]);
    c.connect(1, 2);
    c.send(1, 2, -4, auth("ip", ""));
    c.send(1, 2, 1, get("/"));
    let refused = (1, ErrorCode::SESSION_CLOSED_REQUIRE_SASL_AUTH, false);
    assert_eq!(codes(&mut c, 1, 2), [(-4, ErrorCode::OK, false), refused]);
}

/// What is asked before a proof of identity has come in is asked without it, also when it has to wait
/// for the answer to something earlier.
#[test]
fn a_request_has_the_identity_of_the_moment_when_it_came() {
    let mut c = cluster(3, with_users);
    let at = a_follower(&c);
    c.connect(at, 1);
    c.send(at, 1, 1, create("/s", acl(perms::ALL, "digest", SUPER_ID)));
    c.send(at, 1, 2, get("/s"));
    c.send(at, 1, 3, Request::Sync { path: "/".into() });
    c.send(at, 1, 4, create("/s/a", acl(perms::ALL, "world", "anyone")));
    c.send(at, 1, -4, auth("digest", "super:test"));
    c.send(at, 1, 5, get("/s"));
    c.send(at, 1, 6, create("/s/b", acl(perms::ALL, "auth", "")));
    let expected = [
        (1, ErrorCode::OK, true),
        (2, ErrorCode::NO_AUTH, true),
        (3, ErrorCode::OK, true),
        (4, ErrorCode::NO_AUTH, true),
        (-4, ErrorCode::OK, false),
        (5, ErrorCode::OK, true),
        (6, ErrorCode::OK, true),
    ];
    assert_eq!(codes(&mut c, at, 1), expected);
}

#[test]
fn nothing_behind_a_refusal_is_carried_out() {
    let mut c = cluster(1, |_| {});
    let behind = || create("/behind", acl(perms::ALL, "world", "anyone"));
    let null = Request::Auth { scheme: "digest".into(), auth: Credentials(None) };
    for (conn, refused) in [(1, auth("nobody", "x")), (2, auth("sasl", "bob")), (3, null)] {
        c.connect(1, conn);
        c.send(1, conn, -4, refused);
        c.send(1, conn, 1, behind());
        assert_eq!(codes(&mut c, 1, conn), [(-4, ErrorCode::AUTH_FAILED, false)]);
        assert!(is_closed(&c, 1, conn));
    }
    c.connect(1, 9);
    c.send(1, 9, 1, behind());
    assert_eq!(codes(&mut c, 1, 9), [(1, ErrorCode::OK, true)]);
}

#[test]
fn identities_are_limited() {
    let mut c = cluster(1, |_| {});
    c.connect(1, 1);
    let long = |letter: &str| auth("digest", &format!("{}:x", letter.repeat(30_000)));
    for again in 0..3 {
        c.send(1, 1, again, long("a"));
        c.send(1, 1, again, long("b"));
    }
    assert!(codes(&mut c, 1, 1).iter().all(|(_, code, _)| *code == ErrorCode::OK));
    c.send(1, 1, 9, long("c"));
    assert_eq!(codes(&mut c, 1, 1), [(9, ErrorCode::AUTH_FAILED, false)]);
    assert!(is_closed(&c, 1, 1));
}

#[test]
fn a_client_of_another_ensemble_goes_elsewhere() {
    let mut c = cluster(1, |config| {
        config.auth.ensemble.provider = true;
        config.auth.ensemble.names = ["ours".into()].into();
    });
    c.connect(1, 1);
    c.send(1, 1, -4, auth("ensemble", "ours"));
    assert_eq!(codes(&mut c, 1, 1), [(-4, ErrorCode::OK, false)]);
    c.send(1, 1, -4, auth("ensemble", "theirs"));
    assert_eq!(codes(&mut c, 1, 1), []);
    assert!(is_closed(&c, 1, 1));
}

/// By a digest and by a SASL login; and what that is good for.
#[test]
fn whoever_is_super_may_do_everything() {
    let mut c = cluster(3, with_users);
    let at = a_follower(&c);
    let closed = acl(0, "digest", "u:secret");
    c.connect(at, 1);
    c.send(at, 1, 1, create("/closed", closed.clone()));
    let set_data = |path: &str| Request::SetData { path: path.into(), data: None, version: -1 };
    let set_acl = |path: &str, acl: &Acl| Request::SetAcl {
        path: path.into(),
        acl: vec![acl.clone()],
        version: -1,
    };
    let all = [
        get("/closed"),
        create("/closed/child", acl(perms::ALL, "world", "anyone")),
        set_data("/closed"),
        set_acl("/closed", &closed),
        // Everybody may read it, and nobody do more.
        set_data("/zookeeper/config"),
        set_acl("/zookeeper/config", &acl(perms::READ, "world", "anyone")),
        Request::Delete { path: "/closed/child".into(), version: -1 },
        Request::GetAcl { path: "/closed".into() },
    ];
    assert_eq!(codes(&mut c, at, 1).len(), 1);
    for (xid, request) in (10..).zip(all.clone()) {
        c.send(at, 1, xid, request.clone());
        let denied = [(xid, ErrorCode::NO_AUTH, true)];
        assert_eq!(codes(&mut c, at, 1), denied, "{request:?}");
    }
    c.connect(at, 2);
    c.send(at, 2, -4, auth("digest", "super:test"));
    c.connect(at, 3);
    log_in(&mut c, at, 3, "root", "toor");
    for conn in [2, 3] {
        assert_eq!(c.replies(at, conn).len(), 1);
        for (xid, request) in (10..).zip(all.clone()) {
            c.send(at, conn, xid, request.clone());
            match &c.replies(at, conn)[..] {
                // Nothing is masked.
                [ClientMessage::Reply { result: Ok(Response::Acl { acl, .. }), .. }] => {
                    assert_eq!(acl, std::slice::from_ref(&closed));
                }
                [ClientMessage::Reply { result: Ok(_), .. }] => {}
                other => panic!("{request:?} of {conn}: {other:?}"),
            }
        }
    }
}
