//! What requests come to, by example: the order of checks, names, what a closing session takes with
//! it, and the limits. That preparing ahead is not visible is in [`super::model`].

use alloc::string::String;
use alloc::vec::Vec;
use alloc::{format, vec};

use bytes::Bytes;

use super::{Caller, Pending, is_unimplemented, is_write, read, reply};
use crate::auth::Access;
use crate::config::{Config, Ensemble};
use crate::ids::{ServerId, SessionId, Xid, Zxid};
use crate::proto::create_flags::{
    CONTAINER, EPHEMERAL, EPHEMERAL_SEQUENTIAL, PERSISTENT, PERSISTENT_SEQUENTIAL, TTL,
    TTL_SEQUENTIAL,
};
use crate::proto::{
    Acl, CreateRequest, CreateTtlRequest, ErrorCode, Id, MultiResult, OpCode, ReconfigRequest,
    Request, Response, perms,
};
use crate::time::WallTime;
use crate::tree::{Database, Owner};
use crate::txn::{Txn, TxnBody, TxnHeader};

const ME: SessionId = SessionId(0x0100_0000_0000_0001);
const OTHER: SessionId = SessionId(0xfe00_0000_0000_0001);
const NOBODY: Caller<'_> = Caller { session: SessionId(0), auth: Access::NOBODY, local: false };

/// A leader's preparation, and the tree behind it.
struct Leader {
    config: Config,
    database: Database,
    pending: Pending,
    in_flight: Vec<Txn>,
    auth: Vec<Id>,
    zxid: Zxid,
}

impl Leader {
    /// Two sessions are open, TTL nodes are allowed.
    fn new() -> Self {
        let mut config = Config::new(ServerId(1), Ensemble::default());
        config.extended_types = true;
        let database = Database::new();
        let pending = Pending::new(&database);
        let (in_flight, auth, zxid) = (Vec::new(), Vec::new(), Zxid::ZERO);
        let mut leader = Self { config, database, pending, in_flight, auth, zxid };
        for session in [ME, OTHER] {
            leader.done(session, Request::CreateSession { timeout_ms: 4000 }).unwrap();
        }
        leader
    }
    fn prepare(&mut self, session: SessionId, request: &Request) -> TxnBody {
        self.zxid = self.zxid.next().unwrap();
        let time = WallTime(1000 + self.zxid.0 as i64);
        let auth = Access { ids: &self.auth, rules: &self.config.auth };
        let caller = Caller { session, auth, local: false };
        let (body, digest) =
            self.pending.prepare(&self.database, &self.config, caller, request, self.zxid, time);
        let header = TxnHeader { session, cxid: Xid(0), zxid: self.zxid, time };
        self.in_flight.push(Txn { header, body: body.clone(), digest: Some(digest) });
        body
    }
    /// Prepared with everything before it in flight or not, applied with everything before it.
    fn done(&mut self, session: SessionId, request: Request) -> Result<Response, ErrorCode> {
        self.prepare(session, &request);
        let mut last = Err(ErrorCode::SYSTEM_ERROR);
        for txn in core::mem::take(&mut self.in_flight) {
            let applied = self.database.apply(&txn);
            self.pending.applied(txn.header.zxid);
            assert_eq!(self.database.tree.digest(), txn.digest.unwrap().tree, "{txn:?}");
            last = reply(&request, &txn, &applied, &self.database);
        }
        assert!(self.pending.is_empty());
        last
    }
    fn refuses(&mut self, request: &Request, code: ErrorCode) {
        let before = self.pending.digest();
        assert_eq!(self.prepare(ME, request), TxnBody::Error(code), "{request:?}");
        assert_eq!(self.pending.digest(), before);
    }
}

fn create(path: &str, flags: i32) -> Request {
    Request::Create(create_request(path, flags))
}
fn create2(path: &str, flags: i32) -> Request {
    Request::Create2(create_request(path, flags))
}
fn create_request(path: &str, flags: i32) -> CreateRequest {
    CreateRequest { path: path.into(), data: None, acl: Acl::open(), flags }
}
fn create_ttl(path: &str, flags: i32, ttl_ms: i64) -> Request {
    Request::CreateTtl(CreateTtlRequest { create: create_request(path, flags), ttl_ms })
}
fn with_acl(path: &str, acl: Vec<Acl>) -> Request {
    Request::Create(CreateRequest { acl, ..create_request(path, PERSISTENT) })
}
fn delete(path: &str, version: i32) -> Request {
    Request::Delete { path: path.into(), version }
}
fn set(path: &str, version: i32) -> Request {
    Request::SetData { path: path.into(), data: Some(Bytes::from_static(b"x")), version }
}
fn set_acl(path: &str, acl: Vec<Acl>, version: i32) -> Request {
    Request::SetAcl { path: path.into(), acl, version }
}
fn check(path: &str, version: i32) -> Request {
    Request::Check { path: path.into(), version }
}
fn path_of(response: Result<Response, ErrorCode>) -> String {
    match response {
        Ok(Response::Path(path) | Response::PathStat { path, .. }) => path,
        other => panic!("{other:?}"),
    }
}

/// `/open`, `/open/child`, `/closed` (no permission for anything) with `/closed/child`, `/ephemeral`.
fn furnished() -> Leader {
    let mut leader = Leader::new();
    for path in ["/open", "/open/child", "/closed", "/closed/child"] {
        leader.done(ME, create(path, PERSISTENT)).unwrap();
    }
    leader.done(ME, create("/ephemeral", EPHEMERAL)).unwrap();
    leader.done(ME, set_acl("/closed", vec![Acl::world(0)], -1)).unwrap();
    leader
}

// ZK: semantics of PrepRequestProcessor.pRequest2TxnCreate (3.9): each request fails two checks,
// and is answered for the earlier one.
#[test]
fn create_checks_in_upstreams_order() {
    use ErrorCode as E;
    let mut leader = furnished();
    let no_acl = |path: &str| with_acl(path, vec![]);
    for (request, code) in [
        (create("nonsense", 7), E::BAD_ARGUMENTS),
        (create("nonsense", -1), E::BAD_ARGUMENTS),
        (create("/x", TTL), E::BAD_ARGUMENTS),
        (create_ttl("/x", TTL, 0), E::BAD_ARGUMENTS),
        (create_ttl("/x", TTL, 1 << 40), E::BAD_ARGUMENTS),
        (create_ttl("/x", PERSISTENT, -1), E::BAD_ARGUMENTS),
        (create_ttl("/x", CONTAINER, 5), E::BAD_ARGUMENTS),
        (no_acl("nonsense"), E::BAD_ARGUMENTS),
        (no_acl("/a\0b"), E::BAD_ARGUMENTS),
        (no_acl("/nope/x"), E::INVALID_ACL),
        (create("/nope/", PERSISTENT), E::NO_NODE),
        (create("/open/../x", PERSISTENT), E::NO_NODE),
        (create("/closed/child", PERSISTENT), E::NO_AUTH),
        (create("/closed/", PERSISTENT), E::NO_AUTH),
        (create("/open/", PERSISTENT), E::BAD_ARGUMENTS),
        (create("//x", PERSISTENT), E::BAD_ARGUMENTS),
        (create("/open/child", PERSISTENT), E::NODE_EXISTS),
        (create("/", PERSISTENT), E::NODE_EXISTS),
        (create("/zookeeper", PERSISTENT), E::NODE_EXISTS),
        (create("/ephemeral/x", PERSISTENT), E::NO_CHILDREN_FOR_EPHEMERALS),
    ] {
        leader.refuses(&request, code);
    }
    leader.config.extended_types = false;
    leader.refuses(&create_ttl("nonsense", TTL, -1), E::UNIMPLEMENTED);
    leader.refuses(&create("nonsense", TTL_SEQUENTIAL), E::UNIMPLEMENTED);
}

#[test]
fn delete_checks_in_upstreams_order() {
    use ErrorCode as E;
    let mut leader = furnished();
    for (path, version, code) in [
        ("nonsense", 9, E::BAD_ARGUMENTS),
        ("/a\0b", 9, E::BAD_ARGUMENTS),
        ("", -1, E::BAD_ARGUMENTS),
        ("/", 9, E::BAD_ARGUMENTS),
        ("/zookeeper", -1, E::BAD_ARGUMENTS),
        ("/zookeeper/quota", -1, E::BAD_ARGUMENTS),
        ("/zookeeper/config", -1, E::BAD_ARGUMENTS),
        ("/nope/x", -1, E::NO_NODE),
        ("/closed/nope", -1, E::NO_AUTH),
        ("/open/nope", 9, E::NO_NODE),
        ("/open/", -1, E::NO_NODE),
        ("/open", 9, E::BAD_VERSION),
        ("/open", -2, E::BAD_VERSION),
        ("/open", 0, E::NOT_EMPTY),
        ("/open", -1, E::NOT_EMPTY),
    ] {
        leader.refuses(&delete(path, version), code);
    }
}

#[test]
fn set_data_and_set_acl_check_in_upstreams_order() {
    use ErrorCode as E;
    let mut leader = furnished();
    for (request, code) in [
        (set("/open/", 9), E::BAD_ARGUMENTS),
        (set("", -1), E::BAD_ARGUMENTS),
        (set("/nope", 9), E::NO_NODE),
        (set("/closed", 9), E::NO_AUTH),
        (set("/open", 9), E::BAD_VERSION),
        (set("/zookeeper/config", -1), E::NO_AUTH),
        (set_acl("/open/", vec![], 9), E::BAD_ARGUMENTS),
        (set_acl("/nope", vec![], 9), E::INVALID_ACL),
        (set_acl("/nope", Acl::open(), 9), E::NO_NODE),
        (set_acl("/closed", Acl::open(), 9), E::NO_AUTH),
        (set_acl("/open", Acl::open(), 9), E::BAD_VERSION),
    ] {
        leader.refuses(&request, code);
    }
    // The version of setACL is that of the list.
    leader.done(ME, set("/open", 0)).unwrap();
    leader.done(ME, set_acl("/open", Acl::open(), 0)).unwrap();
    leader.refuses(&set_acl("/open", Acl::open(), 0), ErrorCode::BAD_VERSION);
    leader.done(ME, set("/", -1)).unwrap();
}

#[test]
fn an_administrator_of_the_ensemble_may_everything() {
    let mut leader = furnished();
    leader.auth = vec![Id { scheme: "super".into(), id: String::new() }];
    leader.done(ME, set("/closed", 0)).unwrap();
    leader.done(ME, delete("/closed/child", -1)).unwrap();
}

#[test]
fn a_pending_acl_is_the_one_that_counts() {
    let mut leader = furnished();
    let read_only = vec![Acl::world(perms::READ | perms::ADMIN)];
    leader.prepare(ME, &set_acl("/open", read_only, -1));
    leader.refuses(&set("/open", -1), ErrorCode::NO_AUTH);
    leader.prepare(ME, &set_acl("/open", Acl::open(), -1));
    leader.done(ME, set("/open", -1)).unwrap();
}

/// The opcode says what is created, the flags how it is named and whether it is an ephemeral.
#[test]
fn opcode_and_flags_decide_what_is_created() {
    let mine = Owner::Session(ME);
    let container = |path: &str, flags| Request::CreateContainer(create_request(path, flags));
    let mut leader = Leader::new();
    for (request, path, owner) in [
        (create("/a", PERSISTENT), "/a", Owner::Nobody),
        (create2("/b", EPHEMERAL), "/b", mine),
        (create("/c", PERSISTENT_SEQUENTIAL), "/c0000000002", Owner::Nobody),
        (create2("/d", EPHEMERAL_SEQUENTIAL), "/d0000000003", mine),
        (create("/e", CONTAINER), "/e", Owner::Nobody),
        (container("/f", PERSISTENT), "/f", Owner::Container),
        (container("/g", EPHEMERAL), "/g", Owner::Container),
        (container("/h", PERSISTENT_SEQUENTIAL), "/h0000000007", Owner::Container),
        (create_ttl("/i", TTL, 7), "/i", Owner::Ttl { ms: 7 }),
        (create_ttl("/j", TTL_SEQUENTIAL, 8), "/j0000000009", Owner::Ttl { ms: 8 }),
        (create_ttl("/k", TTL, (1 << 40) - 1), "/k", Owner::Ttl { ms: (1 << 40) - 1 }),
        // Only the final name must be a path.
        (create("/", PERSISTENT_SEQUENTIAL), "/0000000011", Owner::Nobody),
        (create("/e/", PERSISTENT_SEQUENTIAL), "/e/0000000000", Owner::Nobody),
        (create("/f/x", PERSISTENT), "/f/x", Owner::Nobody),
        (create("/i/x", PERSISTENT), "/i/x", Owner::Nobody),
    ] {
        let response = leader.done(ME, request.clone());
        let plain = matches!(request, Request::Create(_));
        assert_eq!(matches!(response, Ok(Response::Path(_))), plain, "{request:?}");
        if let Ok(Response::PathStat { stat, .. }) = &response {
            assert_eq!(*stat, leader.database.tree.get(path).unwrap().client_stat());
        }
        assert_eq!(path_of(response), path);
        assert_eq!(leader.database.tree.get(path).unwrap().owner(), owner, "{path}");
    }
}

#[test]
fn sequence_numbers_count_creations_in_flight_and_never_go_back() {
    let mut leader = Leader::new();
    leader.prepare(ME, &create("/q", PERSISTENT));
    for expected in ["/q/n0000000000", "/q/n0000000001"] {
        let TxnBody::Create(txn) = leader.prepare(ME, &create("/q/n", PERSISTENT_SEQUENTIAL))
        else {
            panic!("refused");
        };
        assert_eq!(txn.path, expected);
    }
    leader.prepare(ME, &delete("/q/n0000000000", -1));
    leader.prepare(ME, &delete("/q/n0000000001", -1));
    let third = leader.done(ME, create("/q/n", PERSISTENT_SEQUENTIAL));
    assert_eq!(path_of(third), "/q/n0000000002");
    leader.prepare(ME, &delete("/q/n0000000002", -1));
    leader.done(ME, delete("/q", -1)).unwrap();
    // Another incarnation counts anew.
    leader.done(ME, create("/q", PERSISTENT)).unwrap();
    let first = leader.done(ME, create("/q/n", PERSISTENT_SEQUENTIAL));
    assert_eq!(path_of(first), "/q/n0000000000");
}

// JIRA: ZOOKEEPER-1208, ZOOKEEPER-1496
#[test]
fn a_closing_session_takes_what_it_will_own_and_gets_nothing_more() {
    let mut leader = Leader::new();
    for path in ["/b", "/a", "/gone", "/lost"] {
        leader.done(ME, create(path, EPHEMERAL)).unwrap();
    }
    leader.done(OTHER, create("/other", EPHEMERAL)).unwrap();
    // In flight: one more, one less, one deleted and made again by somebody else.
    leader.prepare(ME, &create("/c", EPHEMERAL));
    leader.prepare(OTHER, &delete("/gone", -1));
    leader.prepare(OTHER, &delete("/lost", -1));
    leader.prepare(OTHER, &create("/lost", EPHEMERAL));
    let closed = leader.prepare(ME, &Request::CloseSession);
    let paths = ["/a", "/b", "/c"].map(String::from).into();
    assert_eq!(closed, TxnBody::CloseSession { paths: Some(paths) });
    assert!(!leader.pending.session_open(&leader.database, ME));

    for late in [create("/late", EPHEMERAL), create("/late", PERSISTENT), set("/", -1)] {
        leader.refuses(&late, ErrorCode::SESSION_EXPIRED);
    }
    let again = leader.prepare(ME, &Request::CloseSession);
    assert_eq!(again, TxnBody::CloseSession { paths: Some(vec![]) });
    assert_eq!(
        leader.prepare(ME, &Request::Multi(vec![set("/", -1)])),
        TxnBody::Multi(vec![TxnBody::Error(ErrorCode::SESSION_EXPIRED)]),
    );
    // What went with the session is gone for those behind it.
    leader.refuses(&create("/late", PERSISTENT), ErrorCode::SESSION_EXPIRED);
    leader.done(OTHER, create("/a", PERSISTENT)).unwrap();
    leader.refuses(&create("/late", PERSISTENT), ErrorCode::SESSION_EXPIRED);
    assert!(leader.database.tree.get("/c").is_none());
    assert!(leader.database.tree.get("/lost").is_some());
}

#[test]
fn the_parent_of_a_closing_sessions_ephemeral_may_be_deleted_behind_it() {
    let mut leader = Leader::new();
    leader.done(ME, create("/p", PERSISTENT)).unwrap();
    leader.done(ME, create("/p/e", EPHEMERAL)).unwrap();
    leader.prepare(ME, &Request::CloseSession);
    leader.done(OTHER, delete("/p", -1)).unwrap();
}

// JIRA: ZOOKEEPER-4306
#[test]
fn a_session_owns_no_more_ephemerals_than_its_close_can_name() {
    // Header, count and digest take 48 bytes, each path 4 and its length.
    let path = |i: usize| format!("/e{i:04}");
    let mut leader = Leader::new();
    leader.config.limits.frame_max = 48 + 10 * (4 + path(0).len()) + 3;
    for i in 0..10 {
        // Applied or in flight, it counts.
        match i % 2 {
            0 => drop(leader.prepare(ME, &create(&path(i), EPHEMERAL))),
            _ => drop(leader.done(ME, create(&path(i), EPHEMERAL))),
        }
    }
    leader.refuses(&create(&path(10), EPHEMERAL), ErrorCode::QUOTA_EXCEEDED);
    let both = Request::Multi(vec![delete(&path(3), -1), create(&path(11), EPHEMERAL)]);
    leader.done(ME, both).unwrap();
    leader.refuses(&create(&path(10), EPHEMERAL), ErrorCode::QUOTA_EXCEEDED);
    // A multi that fails gives back what it took.
    leader.prepare(OTHER, &delete(&path(4), -1));
    let failing = Request::Multi(vec![create(&path(12), EPHEMERAL), check("/nope", -1)]);
    leader.prepare(ME, &failing);
    // Others are not concerned, nor what is no ephemeral.
    leader.done(OTHER, create("/other", EPHEMERAL)).unwrap();
    leader.done(ME, create("/persistent", PERSISTENT)).unwrap();
    leader.done(ME, create(&path(13), EPHEMERAL)).unwrap();
    leader.refuses(&create(&path(10), EPHEMERAL), ErrorCode::QUOTA_EXCEEDED);
    // Another leader counts what it finds.
    leader.pending = Pending::new(&leader.database);
    leader.refuses(&create(&path(10), EPHEMERAL), ErrorCode::QUOTA_EXCEEDED);

    let TxnBody::CloseSession { paths: Some(paths) } = leader.prepare(ME, &Request::CloseSession)
    else {
        panic!("a close cannot be refused");
    };
    assert_eq!(paths.len(), 10);
}

// JIRA: ZOOKEEPER-1624
#[test]
fn a_failed_multi_leaves_what_was_in_flight_before_it() {
    let mut leader = Leader::new();
    leader.done(ME, create("/a", PERSISTENT)).unwrap();
    leader.prepare(ME, &set("/a", 0));
    leader.prepare(ME, &create("/a/n", PERSISTENT_SEQUENTIAL));
    let parts = vec![
        create("/b", PERSISTENT),
        set("/a", 1),
        create("/a/n", PERSISTENT_SEQUENTIAL),
        delete("/missing", -1),
        create("/c", PERSISTENT),
    ];
    let TxnBody::Multi(bodies) = leader.prepare(ME, &Request::Multi(parts)) else {
        panic!("a failed multi is logged as one");
    };
    assert!(matches!(bodies[..3], [TxnBody::Create(_), TxnBody::SetData { .. }, _]));
    assert_eq!(bodies[3], TxnBody::Error(ErrorCode::NO_NODE));
    assert_eq!(bodies[4], TxnBody::Error(ErrorCode::RUNTIME_INCONSISTENCY));
    leader.prepare(ME, &set("/a", 1));
    let next = leader.done(ME, create("/a/n", PERSISTENT_SEQUENTIAL));
    assert_eq!(path_of(next), "/a/n0000000001");

    let answer = leader.done(
        ME,
        Request::Multi(vec![
            create("/b", PERSISTENT),
            set("/a", 2),
            set("/a", 2),
            delete("/a", -1),
        ]),
    );
    let errors = [0, 0, -103, -2].map(|code| MultiResult::Error(ErrorCode(code)));
    assert_eq!(answer, Ok(Response::Multi(errors.into())));
}

#[test]
fn parts_of_a_multi_see_the_earlier_ones_and_answer_as_of_their_turn() {
    let mut leader = Leader::new();
    let parts = vec![
        create("/p", PERSISTENT),
        create2("/p/a", PERSISTENT),
        set("/p/a", 0),
        check("/p/a", 1),
        set("/p", 0),
        delete("/p/a", 1),
        create("/p/c", CONTAINER),
        delete("/p/c", -1),
        delete("/p", 1),
    ];
    let Ok(Response::Multi(results)) = leader.done(ME, Request::Multi(parts)) else {
        panic!("refused");
    };
    let zxid = leader.zxid;
    assert_eq!(results[0], MultiResult::Create { path: "/p".into() });
    let MultiResult::Create2 { path, stat } = &results[1] else { panic!("{results:?}") };
    assert_eq!((path.as_str(), stat.version, stat.data_length), ("/p/a", 0, 0));
    let MultiResult::SetData { stat } = &results[2] else { panic!("{results:?}") };
    assert_eq!((stat.version, stat.data_length, stat.mzxid), (1, 1, zxid));
    assert_eq!(results[3], MultiResult::Check);
    let MultiResult::SetData { stat } = &results[4] else { panic!("{results:?}") };
    assert_eq!((stat.version, stat.num_children, stat.cversion), (1, 1, 1));
    // Inside a multi the flag of a container makes a plain create one.
    assert!(matches!(&results[6], MultiResult::Create2 { .. }), "{results:?}");
    for i in [5, 7, 8] {
        assert_eq!(results[i], MultiResult::Delete);
    }
    assert!(leader.database.tree.get("/p").is_none());
}

#[test]
fn a_multi_takes_only_its_own_kinds() {
    let mut leader = Leader::new();
    assert_eq!(leader.done(ME, Request::Multi(vec![])), Ok(Response::Multi(vec![])));
    for part in [
        Request::Multi(vec![]),
        Request::GetData { path: "/".into(), watch: false },
        set_acl("/", Acl::open(), -1),
        Request::CloseSession,
        Request::Malformed(OpCode::Create),
    ] {
        let multi = Request::Multi(vec![set("/", -1), part]);
        leader.refuses(&multi, ErrorCode::MARSHALLING_ERROR);
    }
    let ttl = Request::Multi(vec![create("/x", TTL)]);
    assert_eq!(
        leader.prepare(ME, &ttl),
        TxnBody::Multi(vec![TxnBody::Error(ErrorCode::BAD_ARGUMENTS)])
    );
}

#[test]
fn what_is_no_write_is_refused_as_one() {
    let mut leader = Leader::new();
    for (request, code) in [
        (check("/", -1), ErrorCode::UNIMPLEMENTED),
        (Request::Unknown(20), ErrorCode::UNIMPLEMENTED),
        (Request::Ping, ErrorCode::UNIMPLEMENTED),
        (Request::Malformed(OpCode::SetData), ErrorCode::MARSHALLING_ERROR),
    ] {
        assert!(!is_write(&request), "{request:?}");
        leader.refuses(&request, code);
        if request != Request::Ping {
            assert_eq!(read(&leader.database, NOBODY, &request), Err(code));
            let unreadable = matches!(request, Request::Malformed(_));
            assert_eq!(is_unimplemented(&request), !unreadable);
        }
    }
}

#[test]
fn a_check_alone_is_unimplemented_even_when_it_cannot_be_read() {
    let leader = Leader::new();
    for request in [check("/", -1), Request::Malformed(OpCode::Check), Request::Unknown(10)] {
        assert!(!is_write(&request));
        assert!(is_unimplemented(&request));
        assert_eq!(read(&leader.database, NOBODY, &request), Err(ErrorCode::UNIMPLEMENTED));
    }
    let unreadable = read(&leader.database, NOBODY, &Request::Malformed(OpCode::Sync));
    assert_eq!(unreadable, Err(ErrorCode::MARSHALLING_ERROR));
}

/// What the leader looked at may be another by the time its removal is judged.
#[test]
fn a_removal_is_judged_anew_at_its_place() {
    use ErrorCode as E;
    let container = |path: &str| Request::CreateContainer(create_request(path, PERSISTENT));
    let mut leader = Leader::new();
    for path in ["/c", "/full", "/unused", "/again"] {
        leader.done(ME, container(path)).unwrap();
    }
    for path in ["/c/x", "/full/x", "/again/x"] {
        leader.done(ME, create(path, PERSISTENT)).unwrap();
        leader.done(ME, delete(path, -1)).unwrap();
    }
    for path in ["/old", "/changed", "/parent"] {
        leader.done(ME, create_ttl(path, TTL, 100)).unwrap();
    }
    leader.done(ME, create("/p", PERSISTENT)).unwrap();
    leader.done(ME, create("/e", EPHEMERAL)).unwrap();
    // In flight when the removals come: a child, a change, a new life.
    leader.zxid = Zxid(leader.zxid.0 + 200);
    leader.prepare(ME, &create("/full/x", PERSISTENT));
    leader.prepare(ME, &create("/parent/x", PERSISTENT));
    leader.prepare(ME, &set("/changed", -1));
    leader.prepare(ME, &delete("/again", -1));
    leader.prepare(ME, &container("/again"));
    let mut remove = |path: &str| {
        leader.zxid = leader.zxid.next().unwrap();
        let (zxid, time) = (leader.zxid, WallTime(1000 + leader.zxid.0 as i64));
        let (body, digest) =
            leader.pending.prepare_reap(&leader.database, &leader.config, path, zxid, time);
        let header = TxnHeader { session: SessionId(0), cxid: Xid(0), zxid, time };
        leader.in_flight.push(Txn { header, body: body.clone(), digest: Some(digest) });
        body
    };
    for (path, code) in [
        ("/full", Some(E::NOT_EMPTY)),
        ("/parent", Some(E::NOT_EMPTY)),
        ("/changed", Some(E::BAD_VERSION)),
        ("/again", Some(E::BAD_VERSION)),
        ("/unused", Some(E::BAD_VERSION)),
        ("/p", Some(E::BAD_VERSION)),
        ("/e", Some(E::BAD_VERSION)),
        ("/nope", Some(E::NO_NODE)),
        ("/zookeeper", Some(E::BAD_ARGUMENTS)),
        ("/c", None),
        ("/c", Some(E::NO_NODE)),
        ("/old", None),
    ] {
        let expected = match code {
            Some(code) => TxnBody::Error(code),
            None => TxnBody::DeleteContainer { path: path.into() },
        };
        assert_eq!(remove(path), expected, "{path}");
    }
    // Digests and parents agree with what applying makes of it.
    leader.done(ME, set("/", -1)).unwrap();
    assert!(leader.database.tree.get("/c").is_none());
    let root = leader.database.tree.get("/").unwrap().client_stat();
    assert_eq!((root.pzxid.0, root.num_children), (leader.zxid.0 - 1, 8));
}

// ZK: Op.create (3.9): in a multi the flags are asked first.
#[test]
fn in_a_multi_flags_say_more_than_the_opcode() {
    let mut leader = Leader::new();
    let parts = vec![
        create("/container", CONTAINER),
        create2("/container2", CONTAINER),
        create_ttl("/ttl", TTL, 5),
        create_ttl("/container3", CONTAINER, 5),
        create_ttl("/plain", PERSISTENT, 5),
        create_ttl("/ephemeral", EPHEMERAL, -1),
        Request::CreateContainer(create_request("/container4", PERSISTENT)),
    ];
    let Ok(Response::Multi(results)) = leader.done(ME, Request::Multi(parts)) else {
        panic!("refused");
    };
    let with_stat: Vec<_> =
        results.iter().map(|result| matches!(result, MultiResult::Create2 { .. })).collect();
    assert_eq!(with_stat, [true, true, true, true, false, false, true]);
    for (path, owner) in [
        ("/container", Owner::Container),
        ("/container2", Owner::Container),
        ("/ttl", Owner::Ttl { ms: 5 }),
        ("/container3", Owner::Container),
        ("/plain", Owner::Nobody),
        ("/ephemeral", Owner::Session(ME)),
        ("/container4", Owner::Container),
    ] {
        let node = leader.database.tree.get(path).unwrap();
        assert_eq!(node.owner(), owner, "{path}");
        let shown = if path == "/ephemeral" { ME.0 as i64 } else { 0 };
        assert_eq!(node.client_stat().ephemeral_owner, shown, "{path}");
    }
    let refused = |code: ErrorCode| TxnBody::Multi(vec![TxnBody::Error(code)]);
    for (part, code) in [
        (create_ttl("/x", 7, 5), ErrorCode::BAD_ARGUMENTS),
        (create_ttl("/x", TTL, 0), ErrorCode::BAD_ARGUMENTS),
        (create_ttl("/x", TTL, 1 << 40), ErrorCode::BAD_ARGUMENTS),
    ] {
        assert_eq!(leader.prepare(ME, &Request::Multi(vec![part])), refused(code));
    }
    leader.config.extended_types = false;
    let ttl = Request::Multi(vec![create_ttl("/x", TTL, 5)]);
    assert_eq!(leader.prepare(ME, &ttl), refused(ErrorCode::UNIMPLEMENTED));
}

#[test]
fn reconfiguration_is_off() {
    let mut leader = Leader::new();
    let reconfig = Request::Reconfig(ReconfigRequest {
        joining_servers: None,
        leaving_servers: Some("1".into()),
        new_members: None,
        config_version: -1,
    });
    assert!(is_write(&reconfig));
    leader.refuses(&reconfig, ErrorCode::RECONFIG_DISABLED);
    // Upstream looks at the switch before it looks at the session.
    leader.done(ME, Request::CloseSession).unwrap();
    leader.refuses(&reconfig, ErrorCode::RECONFIG_DISABLED);
}

#[test]
fn a_multi_read_answers_each_part() {
    let leader = furnished();
    let get = |path: &str| Request::GetData { path: path.into(), watch: false };
    let children = |path: &str| Request::GetChildren { path: path.into(), watch: false };
    let answer = |parts| read(&leader.database, NOBODY, &Request::MultiRead(parts));
    assert_eq!(answer(vec![]), Ok(Response::Multi(vec![])));
    let stat = leader.database.tree.get("/open").unwrap().client_stat();
    assert_eq!(
        answer(vec![get("/nope"), get("/open"), children("/closed"), children("/open")]),
        Ok(Response::Multi(vec![
            MultiResult::Error(ErrorCode::NO_NODE),
            MultiResult::Data { data: None, stat },
            MultiResult::Error(ErrorCode::NO_AUTH),
            MultiResult::Children(vec!["child".into()]),
        ]))
    );
}

#[test]
fn ephemerals_are_those_of_the_session_by_the_text_of_their_paths() {
    let mut leader = Leader::new();
    leader.done(ME, create("/a", PERSISTENT)).unwrap();
    for path in ["/a/x", "/ab", "/b"] {
        leader.done(ME, create(path, EPHEMERAL)).unwrap();
    }
    leader.done(OTHER, create("/c", EPHEMERAL)).unwrap();
    // What is in flight is not there yet.
    leader.prepare(ME, &create("/later", EPHEMERAL));
    for (session, prefix, expected) in [
        (ME, "", &["/a/x", "/ab", "/b"][..]),
        (ME, " \t/ ", &["/a/x", "/ab", "/b"]),
        (ME, "/a", &["/a/x", "/ab"]),
        (ME, "/a/", &["/a/x"]),
        (ME, " /a", &[]),
        (OTHER, "/", &["/c"]),
        (SessionId(7), "/", &[]),
    ] {
        let caller = Caller { session, ..NOBODY };
        let request = Request::GetEphemerals { prefix: prefix.into() };
        let expected = expected.iter().map(|path| String::from(*path)).collect();
        let answer = read(&leader.database, caller, &request);
        assert_eq!(answer, Ok(Response::Ephemerals(expected)), "{prefix:?}");
    }
}

#[test]
fn all_children_are_counted_at_any_depth() {
    let mut leader = furnished();
    leader.done(ME, create("/open/child/x", PERSISTENT)).unwrap();
    for (path, count) in [
        ("/zookeeper", Ok(2)),
        ("/open", Ok(2)),
        ("/open/child/x", Ok(0)),
        ("/open/", Err(ErrorCode::NO_NODE)),
        ("/nope", Err(ErrorCode::NO_NODE)),
        ("/closed", Err(ErrorCode::NO_AUTH)),
        // The three that are always there, and six more.
        ("/", Ok(9)),
        ("", Ok(10)),
    ] {
        let request = Request::GetAllChildrenNumber { path: path.into() };
        let answer = read(&leader.database, NOBODY, &request);
        assert_eq!(answer, count.map(Response::Count), "{path}");
    }
}

#[test]
fn who_am_i_tells_no_hashes() {
    let id = |scheme: &str, id: &str| Id { scheme: scheme.into(), id: id.into() };
    let auth = [id("ip", "::1"), id("digest", "user:hash"), id("super", "secret")];
    let caller =
        Caller { session: ME, auth: Access { ids: &auth, ..Access::NOBODY }, local: false };
    let shown = vec![id("ip", "::1"), id("digest", "user"), id("super", "")];
    let answer = read(&Database::new(), caller, &Request::WhoAmI);
    assert_eq!(answer, Ok(Response::Identities(shown)));
}

#[test]
fn reads_answer_from_the_tree() {
    let mut leader = furnished();
    leader.done(ME, set("/open/child", -1)).unwrap();
    let stat = |path: &str| leader.database.tree.get(path).unwrap().client_stat();
    let get = |request: Request| read(&leader.database, NOBODY, &request);
    let (open, child) = (String::from("/open"), String::from("/open/child"));
    let data = Some(Bytes::from_static(b"x"));
    assert_eq!(
        get(Request::GetData { path: child.clone(), watch: true }),
        Ok(Response::Data { data, stat: stat(&child) })
    );
    assert_eq!(
        get(Request::Exists { path: open.clone(), watch: true }),
        Ok(Response::Stat(stat(&open)))
    );
    assert_eq!(
        get(Request::GetChildren { path: open.clone(), watch: true }),
        Ok(Response::Children(vec!["child".into()]))
    );
    assert_eq!(
        get(Request::GetChildren2 { path: open.clone(), watch: true }),
        Ok(Response::Children2 { children: vec!["child".into()], stat: stat(&open) })
    );
    assert_eq!(
        get(Request::GetAcl { path: open.clone() }),
        Ok(Response::Acl { acl: Acl::open(), stat: stat(&open) })
    );
    assert_eq!(
        get(Request::Exists { path: "".into(), watch: false }),
        Ok(Response::Stat(stat("/")))
    );
    assert_eq!(get(Request::Sync { path: "x".into() }), Ok(Response::Path("x".into())));
    let nul = String::from("/a\0b");
    assert_eq!(
        get(Request::Exists { path: nul.clone(), watch: false }),
        Err(ErrorCode::BAD_ARGUMENTS)
    );
    assert_eq!(get(Request::GetData { path: nul, watch: false }), Err(ErrorCode::NO_NODE));
    let closed = String::from("/closed");
    for denied in [
        Request::Exists { path: closed.clone(), watch: false },
        Request::GetData { path: closed.clone(), watch: false },
        Request::GetChildren { path: closed.clone(), watch: false },
        Request::GetAcl { path: closed },
    ] {
        assert_eq!(get(denied), Err(ErrorCode::NO_AUTH));
    }
}
