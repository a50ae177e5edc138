//! What the codecs promise: everything written is read again, nothing read panics, and what cannot
//! be read is named.

use alloc::vec;
use alloc::vec::Vec;

use bytes::Bytes;
use proptest::prelude::*;

use crate::jute::DecodeError;
use crate::proto::arbitrary::{event, hex, request, response};
use crate::proto::*;

const RECORD_MAX: usize = 1 << 20;

fn encoded(request: &Request) -> Vec<u8> {
    let mut body = Vec::new();
    request.encode_body(&mut body);
    body
}

fn decode(opcode: OpCode, body: &str) -> Request {
    Request::decode(opcode.number(), hex(body).into(), RECORD_MAX)
}

#[test]
fn a_null_path_is_malformed() {
    for opcode in [OpCode::GetAcl, OpCode::Exists, OpCode::Sync, OpCode::Delete] {
        assert_eq!(decode(opcode, "ffffffff 00000000"), Request::Malformed(opcode));
    }
}

#[test]
fn null_data_and_null_acl_are_what_they_are() {
    let request = decode(OpCode::Create, "00000002 2f61 ffffffff ffffffff 00000000");
    let create = CreateRequest { path: "/a".into(), data: None, acl: vec![], flags: 0 };
    assert_eq!(request, Request::Create(create));
}

/// Java reads a list that is not there into nothing, and trips over it only where it checks the
/// options of a create.
// ZK: MultiOperationRecord.deserialize, CreateOptions.newBuilder (3.9)
#[test]
fn a_null_acl_spoils_a_multi_where_no_time_to_live_stands_behind_it() {
    let multi = |kind: i32, acl: &str, more: &str| {
        let create = alloc::format!("00000002 2f61 00000000 {acl} 00000000 {more}");
        let part = alloc::format!("{kind:08x} 00 ffffffff {create}");
        decode(OpCode::Multi, &alloc::format!("{part} ffffffff 01 ffffffff"))
    };
    for kind in [1, 15, 19] {
        assert_eq!(multi(kind, "ffffffff", ""), Request::Malformed(OpCode::Multi), "{kind}");
        for empty in ["00000000", "fffffffe"] {
            assert!(matches!(multi(kind, empty, ""), Request::Multi(_)), "{kind} {empty}");
        }
    }
    assert!(matches!(multi(21, "ffffffff", "0000000000000001"), Request::Multi(_)));
}

#[test]
fn null_credentials_are_some_but_a_login_needs_a_token() {
    let auth = |auth| Request::Auth { scheme: "ip".into(), auth: Credentials(auth) };
    assert_eq!(decode(OpCode::Auth, "00000000 00000002 6970 ffffffff"), auth(None));
    let empty = decode(OpCode::Auth, "00000000 00000002 6970 00000000");
    assert_eq!(empty, auth(Some(Bytes::new())));
    assert_eq!(decode(OpCode::Sasl, "00000000"), Request::Sasl { token: Bytes::new() });
    assert_eq!(decode(OpCode::Sasl, "ffffffff"), Request::Malformed(OpCode::Sasl));
    assert_eq!(decode(OpCode::Sasl, "00000001"), Request::Malformed(OpCode::Sasl));
    assert_eq!(alloc::format!("{empty:?}"), "Auth { scheme: \"ip\", auth: Credentials(..) }");
}

#[test]
fn bytes_behind_a_body_are_ignored() {
    assert_eq!(
        decode(OpCode::GetData, "00000002 2f61 01 dead"),
        Request::GetData { path: "/a".into(), watch: true }
    );
}

#[test]
fn an_opcode_that_we_do_not_know_has_no_body() {
    assert_eq!(Request::decode(10, Bytes::new(), 0), Request::Unknown(10));
    // Only servers delete containers.
    assert_eq!(decode(OpCode::DeleteContainer, "00000002 2f61"), Request::Unknown(20));
}

#[test]
fn a_multi_takes_only_its_own_kinds_of_parts() {
    let end = "ffffffff 01 ffffffff";
    let multi = |parts: &str| decode(OpCode::Multi, &alloc::format!("{parts}{end}"));
    assert_eq!(multi(""), Request::Multi(vec![]));
    let check = "0000000d 00 ffffffff 00000002 2f61 00000007";
    assert_eq!(
        multi(check),
        Request::Multi(vec![Request::Check { path: "/a".into(), version: 7 }])
    );
    // setACL, getData (a part of multiRead), a multi, and the end without its mark.
    for stranger in [7, 4, 14, -1] {
        let header = alloc::format!("{stranger:08x} 00 ffffffff 00000002 2f61 00000000");
        assert_eq!(multi(&header), Request::Malformed(OpCode::Multi), "{stranger}");
    }
    assert_eq!(decode(OpCode::Multi, check), Request::Malformed(OpCode::Multi));
}

#[test]
fn undefined_flags_and_those_of_ttl_nodes_spoil_a_multi_but_not_a_create() {
    for flags in [-1, 5, 6, 7] {
        let create = alloc::format!("00000002 2f61 00000000 00000000 {flags:08x}");
        assert!(matches!(decode(OpCode::Create, &create), Request::Create(_)), "{flags}");
        for kind in [1, 15, 19] {
            let multi = alloc::format!("{kind:08x} 00 ffffffff {create} ffffffff 01 ffffffff");
            assert_eq!(decode(OpCode::Multi, &multi), Request::Malformed(OpCode::Multi), "{flags}");
        }
    }
    let ttl = "00000015 00 ffffffff 00000002 2f61 00000000 00000000 00000005 0000000000000001";
    let multi = alloc::format!("{ttl} ffffffff 01 ffffffff");
    assert!(matches!(decode(OpCode::Multi, &multi), Request::Multi(_)));
}

/// Of the flags of a TTL node without a time to live, too; a createTTL alone may have any flags.
// ZK: CreateOptions.build (3.9)
#[test]
fn flags_of_a_ttl_node_spoil_a_multi_where_no_time_stands_behind_them() {
    let end = "ffffffff 01 ffffffff";
    for flags in [0, 4, 5, 6, 7] {
        let create = alloc::format!("00000002 2f61 00000000 00000000 {flags:08x}");
        for kind in [1, 15, 19] {
            let multi = alloc::format!("{kind:08x} 00 ffffffff {create} {end}");
            let readable = matches!(decode(OpCode::Multi, &multi), Request::Multi(_));
            assert_eq!(readable, flags < 5, "{kind} with {flags}");
        }
        let multi = alloc::format!("00000015 00 ffffffff {create} 0000000000000001 {end}");
        assert!(matches!(decode(OpCode::Multi, &multi), Request::Multi(_)));
    }
}

#[test]
fn a_multi_read_takes_only_its_own_kinds_of_parts_and_no_watches() {
    let end = "ffffffff 01 ffffffff";
    let multi = |parts: &str| decode(OpCode::MultiRead, &alloc::format!("{parts}{end}"));
    assert_eq!(multi(""), Request::MultiRead(vec![]));
    let part = |kind: i32| alloc::format!("{kind:08x} 00 ffffffff 00000002 2f61 01");
    assert_eq!(
        multi(&(part(4) + &part(8))),
        Request::MultiRead(vec![
            Request::GetData { path: "/a".into(), watch: false },
            Request::GetChildren { path: "/a".into(), watch: false },
        ])
    );
    // exists, getChildren2, a check (a part of multi).
    for stranger in [3, 12, 13] {
        let parts = part(4) + &part(stranger);
        assert_eq!(multi(&parts), Request::Malformed(OpCode::MultiRead), "{stranger}");
    }
}

#[test]
fn null_means_all_ephemerals_but_no_path() {
    let all = Request::GetEphemerals { prefix: "".into() };
    assert_eq!(decode(OpCode::GetEphemerals, "ffffffff"), all);
    let malformed = Request::Malformed(OpCode::GetAllChildrenNumber);
    assert_eq!(decode(OpCode::GetAllChildrenNumber, "ffffffff"), malformed);
}

#[test]
fn set_watches_travels_under_the_older_number_when_it_can() {
    let mut set = SetWatches {
        relative_zxid: crate::ids::Zxid(5),
        data: vec!["/a".into()],
        exist: vec![],
        child: vec![],
        persistent: vec![],
        persistent_recursive: vec![],
    };
    assert_eq!(Request::SetWatches(set.clone()).opcode(), 101);
    set.persistent.push("/b".into());
    assert_eq!(Request::SetWatches(set).opcode(), 105);
}

/// Differential, seed 10209.
#[test]
fn set_watches_has_a_list_for_every_kind() {
    let zxid = "0000000000000005";
    let empty = SetWatches { relative_zxid: crate::ids::Zxid(5), ..SetWatches::default() };
    let lists = alloc::format!("{zxid} 00000000 ff000000 00000000");
    assert_eq!(decode(OpCode::SetWatches, &lists), Request::SetWatches(empty));
    for null in 0..5 {
        let opcode = if null < 3 { OpCode::SetWatches } else { OpCode::SetWatches2 };
        let lists = (0..5).map(|list| if list == null { "ffffffff" } else { "00000000" });
        let body = alloc::format!("{zxid} {}", lists.collect::<Vec<_>>().join(" "));
        assert_eq!(decode(opcode, &body), Request::Malformed(opcode), "{null}");
    }
}

#[test]
fn watches_by_mode_and_kind() {
    let path = || alloc::string::String::from("/a");
    let (add, remove) = (OpCode::AddWatch, OpCode::RemoveWatches);
    let recursive = AddWatchMode::PersistentRecursive;
    let expected = Request::AddWatch { path: path(), mode: recursive };
    assert_eq!(decode(add, "00000002 2f61 00000001"), expected);
    let expected = Request::RemoveWatches { path: path(), watcher: WatcherType::Any };
    assert_eq!(decode(remove, "00000002 2f61 00000003"), expected);
    let expected = Request::CheckWatches { path: path(), watcher: WatcherType::Children };
    assert_eq!(decode(OpCode::CheckWatches, "00000002 2f61 00000001"), expected);
    for (opcode, undefined) in [(add, 2), (add, -1), (remove, 0), (remove, 6)] {
        let body = alloc::format!("00000002 2f61 {undefined:08x}");
        assert_eq!(decode(opcode, &body), Request::Malformed(opcode), "{undefined}");
    }
    let mut body = Vec::new();
    Response::WatchAdded.encode(&mut body);
    assert_eq!(body, hex("00000000"));
}

#[test]
fn connect_request_without_the_last_byte_comes_from_an_old_client() {
    let body = "00000000 0000000000000007 00007530 0100012345670000 00000002 abcd";
    let old = ConnectRequest::decode(hex(body).into(), RECORD_MAX).unwrap();
    assert_eq!(old.read_only, None);
    assert_eq!(old.password[..], [0xab, 0xcd]);
    let mut again = Vec::new();
    old.encode(&mut again);
    assert_eq!(again, hex(body));
    let new = ConnectRequest::decode(hex(&alloc::format!("{body} 01")).into(), RECORD_MAX);
    assert_eq!(new.unwrap().read_only, Some(true));
}

#[test]
fn a_password_has_16_bytes_in_a_response() {
    let body = "00000000 00007530 0100012345670000 00000002 abcd 00";
    assert_eq!(
        ConnectResponse::decode(hex(body).into(), RECORD_MAX),
        Err(DecodeError::Undefined { what: "length of the password", value: 2 })
    );
}

proptest! {
    #[test]
    fn requests_come_back(request in request()) {
        let body = encoded(&request);
        prop_assert_eq!(Request::decode(request.opcode(), body.into(), RECORD_MAX), request);
    }

    #[test]
    fn a_shorter_body_is_malformed(request in request(), cut in any::<prop::sample::Index>()) {
        let mut body = encoded(&request);
        prop_assume!(!body.is_empty());
        body.truncate(cut.index(body.len()));
        let shorter = Request::decode(request.opcode(), body.into(), RECORD_MAX);
        let opcode = OpCode::from_number(request.opcode()).expect("it travels");
        prop_assert_eq!(shorter, Request::Malformed(opcode));
    }

    #[test]
    fn responses_come_back((opcode, response) in response()) {
        let mut body = Vec::new();
        response.encode(&mut body);
        let decoded = Response::decode(opcode.number(), body.into(), RECORD_MAX);
        prop_assert_eq!(decoded, Ok(response));
    }

    #[test]
    fn events_come_back(event in event()) {
        let mut body = Vec::new();
        event.encode(&mut body);
        prop_assert_eq!(WatcherEvent::decode(body.into(), RECORD_MAX), Ok(event));
    }

    #[test]
    fn no_bytes_are_too_strange(
        opcode in prop_oneof![prop::sample::select(OpCode::ALL), Just(OpCode::Multi)],
        bytes: Vec<u8>,
    ) {
        let bytes = Bytes::from(bytes);
        let _ = Request::decode(opcode.number(), bytes.clone(), RECORD_MAX);
        let _ = Response::decode(opcode.number(), bytes.clone(), RECORD_MAX);
        let _ = WatcherEvent::decode(bytes.clone(), RECORD_MAX);
        let _ = ConnectRequest::decode(bytes.clone(), RECORD_MAX);
        let _ = ConnectResponse::decode(bytes, RECORD_MAX);
    }

    #[test]
    fn one_changed_byte_is_not_too_strange(
        request in request(), at in any::<prop::sample::Index>(), to: u8,
    ) {
        let mut body = encoded(&request);
        prop_assume!(!body.is_empty());
        let at = at.index(body.len());
        body[at] = to;
        // Whatever it is now, it can be passed on.
        let changed = Request::decode(request.opcode(), body.into(), RECORD_MAX);
        let passed_on = encoded(&changed);
        if !matches!(changed, Request::Malformed(_)) {
            let received = Request::decode(changed.opcode(), passed_on.into(), RECORD_MAX);
            prop_assert_eq!(received, changed);
        }
    }
}
