//! Logins word for word. The responses were made by a few lines of Python with hashlib's md5, along
//! the formulas of RFC 2831, 2.1.2.1; those of the RFC's own example came out of it, too.

use alloc::string::ToString;
use alloc::vec;

use super::*;

const NONCE: &str = "bm9uY2Ugb2YgYSB0ZXN0LCB0aGlydHkgYnl0ZXM=";
const RESPONSE: &str = "cfd301f747021bb59e3d204c74963730";
const PROOF: &str = "71b7297dce831ac60c5aea8aa8289c19";

fn users() -> BTreeMap<String, UserKey> {
    let users = [("bob", "sesame"), ("j\u{fc}rgen", "pa\u{df}wort"), ("carol@REALM", "x")];
    users.map(|(user, password)| (user.into(), UserKey::new(user, password))).into()
}

/// What Java's client says, bar the words in `change`.
fn answer(change: &[(&str, Option<&str>)]) -> String {
    let usual = [
        ("charset", "utf-8"),
        ("username", "\"bob\""),
        ("realm", "\"zk-sasl-md5\""),
        ("nonce", "\"bm9uY2Ugb2YgYSB0ZXN0LCB0aGlydHkgYnl0ZXM=\""),
        ("nc", "00000001"),
        ("cnonce", "\"OA6MHXh6VqTrRk\""),
        ("digest-uri", "\"zookeeper/zk-sasl-md5\""),
        ("maxbuf", "65536"),
        ("response", RESPONSE),
        ("qop", "auth"),
        ("authzid", ""),
    ];
    let words = usual.iter().filter_map(|(name, value)| {
        let changed = change.iter().find(|(changed, _)| changed == name);
        let value = changed.map_or(Some(*value), |(_, value)| *value)?;
        (!value.is_empty()).then(|| format!("{name}={value}"))
    });
    words.collect::<Vec<_>>().join(",")
}

fn challenged() -> Login {
    let mut login = Login::Fresh;
    let challenge = login.step(b"", &users(), || NONCE.into()).unwrap();
    let expected =
        format!("realm=\"zk-sasl-md5\",nonce=\"{NONCE}\",charset=utf-8,algorithm=md5-sess");
    assert_eq!(challenge, Step::Challenge(expected.into_bytes()));
    login
}

fn log_in(answer: &str) -> Result<Step, LoginFailed> {
    let mut login = challenged();
    let result = login.step(answer.as_bytes(), &users(), || panic!("it has a nonce"));
    let more = login.step(b"", &users(), || panic!("it is over"));
    assert_eq!(more, Err(LoginFailed::Over), "behind {result:?}");
    result
}

#[track_caller]
fn succeeds(answer: &str, user: &str, proof: &str) {
    let proof = format!("rspauth={proof}").into_bytes();
    assert_eq!(log_in(answer), Ok(Step::Done { user: user.into(), proof }));
}

#[test]
fn the_example_of_the_rfc() {
    let transcript = Transcript {
        key: &UserKey::in_realm("elwood.innosoft.com", "chris", "secret"),
        nonce: b"OA6MG9tEQGm2hh",
        cnonce: b"OA6MHXh6VqTrRk",
        authzid: None,
        uri: b"imap/elwood.innosoft.com",
    };
    assert_eq!(&transcript.response(b"AUTHENTICATE"), b"d388dad90d4bbd760a152321f2143af7");
    assert_eq!(&transcript.response(b""), b"ea40f60335c427b5527b84dbabcdfffd");
}

#[test]
fn who_knows_the_password_is_the_user() {
    succeeds(&answer(&[]), "bob", PROOF);
    // kazoo (pure-sasl) leaves words out; the order is free.
    let kazoo = format!(
        "qop=auth,realm=\"zk-sasl-md5\",username=\"bob\",nonce=\"{NONCE}\",\
         cnonce=\"OA6MHXh6VqTrRk\",nc=00000001,digest-uri=\"zookeeper/zk-sasl-md5\",\
         response={RESPONSE}"
    );
    succeeds(&kazoo, "bob", PROOF);
    succeeds(&answer(&[("qop", None), ("nc", Some("1"))]), "bob", PROOF);
    let shouted = [
        ("digest-uri", Some("ZOOKEEPER/ZK-SASL-MD5")),
        ("response", Some("df357ea75686484440b611f5889d632f")),
    ];
    succeeds(&answer(&shouted), "bob", "20d8264041915dba72374b78ab9b3657");
}

#[test]
fn who_a_user_wants_to_be_changes_nothing_but_the_hashes() {
    let as_eve = |response| answer(&[("authzid", Some("\"eve\"")), ("response", Some(response))]);
    succeeds(
        &as_eve("8a00d70c836ce2f9f406f96a4e66f3f7"),
        "bob",
        "cd2a98d15d26ac8afdf3211d59c143b1",
    );
    assert_eq!(log_in(&as_eve(RESPONSE)), Err(LoginFailed::Password("bob".into())));
}

#[test]
fn letters_beyond_ascii_are_hashed_as_latin_1_where_it_has_them() {
    let juergen = [
        ("username", Some("\"j\u{fc}rgen\"")),
        ("response", Some("6ba7fbe5affd62088b27f2695914ca49")),
    ];
    succeeds(&answer(&juergen), "j\u{fc}rgen", "01e729e3335dd4cf454a98d9425810a7");
    let key = UserKey::new("j\u{fc}rgen", "\u{43f}\u{430}\u{440}\u{43e}\u{43b}\u{44c}");
    let transcript = Transcript {
        key: &key,
        nonce: NONCE.as_bytes(),
        cnonce: b"OA6MHXh6VqTrRk",
        authzid: None,
        uri: DIGEST_URI.as_bytes(),
    };
    assert_eq!(&transcript.response(b"AUTHENTICATE"), b"93ee1e75737dca66371389bc56ac8134");
}

#[test]
fn everybody_else_is_not() {
    let unexpected = |what, found: &str, expected| LoginFailed::Unexpected {
        what,
        found: found.into(),
        expected,
    };
    let zeros = "00000000000000000000000000000000";
    let nobody = LoginFailed::NoUser("eve".into());
    for (name, value, why) in [
        ("response", Some(zeros), LoginFailed::Password("bob".into())),
        ("cnonce", Some("\"OA6MHXh6VqTrRl\""), LoginFailed::Password("bob".into())),
        ("username", Some("\"eve\""), nobody),
        ("nonce", Some("\"OA6MG9tEQGm2hh\""), LoginFailed::Nonce),
        ("realm", Some("zk"), unexpected("realm", "zk", REALM)),
        ("charset", Some("utf-16"), unexpected("charset", "utf-16", "utf-8")),
        ("qop", Some("auth-int"), unexpected("qop", "auth-int", "auth")),
        ("nc", Some("00000002"), unexpected("nc", "00000002", "00000001")),
        ("nc", Some("one"), unexpected("nc", "one", "00000001")),
        ("digest-uri", Some("zookeeper/x"), unexpected("digest-uri", "zookeeper/x", DIGEST_URI)),
        ("username", None, LoginFailed::Missing("username")),
        ("realm", None, LoginFailed::Missing("realm")),
        ("nonce", None, LoginFailed::Missing("nonce")),
        ("cnonce", None, LoginFailed::Missing("cnonce")),
        ("digest-uri", None, LoginFailed::Missing("digest-uri")),
        ("response", None, LoginFailed::Missing("response")),
    ] {
        assert_eq!(log_in(&answer(&[(name, value)])), Err(why), "{name}={value:?}");
    }
    assert_eq!(log_in(""), Err(LoginFailed::Missing("username")));
    assert!(matches!(log_in("username"), Err(LoginFailed::Unreadable(_))));
    let long = vec![b','; 4097];
    let refused = challenged().step(&long, &users(), || NONCE.into());
    assert_eq!(refused, Err(LoginFailed::Length(4097)));
}

#[test]
fn what_is_said_before_the_challenge_is_not_an_answer() {
    let step = Login::Fresh.step(answer(&[]).as_bytes(), &users(), || NONCE.into());
    assert!(matches!(step, Ok(Step::Challenge(_))), "{step:?}");
}

#[test]
fn no_two_connections_have_the_same_nonce() {
    let usual = (7, ServerId(1), ConnId(3), WallTime(1000));
    let of = |(seed, server, conn, now)| nonce(seed, server, conn, now);
    assert_eq!(of(usual), of(usual));
    assert_eq!(of(usual).len(), 40);
    assert!(of(usual).bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/')));
    for other in [
        (8, ServerId(1), ConnId(3), WallTime(1000)),
        (7, ServerId(2), ConnId(3), WallTime(1000)),
        (7, ServerId(1), ConnId(4), WallTime(1000)),
        (7, ServerId(1), ConnId(3), WallTime(1001)),
    ] {
        assert_ne!(of(usual), of(other), "{other:?}");
    }
}

#[test]
fn a_failure_says_which_user_it_was_but_no_password() {
    let failed = log_in(&answer(&[("username", Some("\"e\\\"\nve\""))])).unwrap_err();
    assert_eq!(failed.to_string(), "no user \"e\\\"\\nve\"");
}
