//! Rules of applying one by one: what a transaction comes to, whom it tells, and records that only
//! another implementation can have logged.

use alloc::format;
use std::vec;

use super::*;
use crate::config::Ensemble;
use crate::ids::Xid;
use crate::mutant::Mutant;
use crate::proto::perms;
use crate::time::WallTime;
use crate::txn::{CreateContainerTxn, CreateTtlTxn, CreateTxn, Txn, TxnBody, TxnHeader};

const OK: Result<(), ErrorCode> = Ok(());
const NO_NODE: Result<(), ErrorCode> = Err(ErrorCode::NO_NODE);
const BAD_ARGUMENTS: Result<(), ErrorCode> = Err(ErrorCode::BAD_ARGUMENTS);

fn txn(zxid: u64, body: TxnBody) -> Txn {
    let session = SessionId(7);
    let header = TxnHeader { session, cxid: Xid(1), zxid: Zxid(zxid), time: WallTime(99) };
    Txn { header, body, digest: None }
}

fn create(path: &str) -> TxnBody {
    create_with(path, "", false)
}

fn create_with(path: &str, data: &'static str, ephemeral: bool) -> TxnBody {
    let (path, data) = (path.into(), Some(data.into()));
    TxnBody::Create(CreateTxn { path, data, acl: Acl::open(), ephemeral, parent_cversion: -1 })
}

fn delete(path: &str) -> TxnBody {
    TxnBody::Delete { path: path.into() }
}

fn set_data(path: &str, data: &'static str) -> TxnBody {
    TxnBody::SetData { path: path.into(), data: Some(data.into()), version: 1 }
}

fn open() -> Arc<[Acl]> {
    Acl::open().into()
}

fn deleted(path: &str) -> Change {
    Change::Deleted { path: path.into(), acl: open(), parent_acl: open() }
}

/// Applies in order, from zxid 1.
fn after(bodies: impl IntoIterator<Item = TxnBody>) -> (Database, Applied) {
    let mut database = Database::new();
    let mut last = Applied { changes: vec![], results: vec![], stats: vec![] };
    for body in bodies {
        last = database.apply(&txn(database.last_processed.0 + 1, body));
    }
    (database, last)
}

fn data(database: &Database, path: &str) -> String {
    let data = database.tree.get(path).unwrap().data.unwrap();
    String::from_utf8(data.to_vec()).unwrap()
}

#[test]
fn fresh_tree_as_upstream() {
    let tree = Tree::new();
    assert_eq!((tree.node_count(), tree.digest()), (5, 1_371_985_504));
    assert_eq!(tree.approximate_data_size(), 44);
    let cversion = |path| tree.get(path).unwrap().client_stat().cversion;
    assert_eq!(
        ["/", "/zookeeper", "/zookeeper/quota", "/zookeeper/config"].map(cversion),
        [-1, -2, 0, 0]
    );
    assert!(tree.children("/").unwrap().eq(["zookeeper"]));
    assert!(tree.get("").is_some());
    for path in ["/zookeeper/", "zookeeper", "//zookeeper", "/zookeeper//quota", "/nope"] {
        assert!(tree.get(path).is_none(), "{path}");
    }
}

#[test]
fn what_each_record_comes_to() {
    let ttl = |ttl_ms| {
        let (path, acl) = (String::from("/t"), Acl::open());
        TxnBody::CreateTtl(CreateTtlTxn { path, data: None, acl, parent_cversion: 1, ttl_ms })
    };
    let set_acl = |path: &str| TxnBody::SetAcl { path: path.into(), acl: vec![], version: 1 };
    let exists = Err(ErrorCode::NODE_EXISTS);
    let table = [
        (create("/b"), OK),
        (create("/a"), exists),
        (create("/no/b"), NO_NODE),
        (create("/"), BAD_ARGUMENTS),
        (create("/a/"), BAD_ARGUMENTS),
        (create("//"), BAD_ARGUMENTS),
        (create("a"), BAD_ARGUMENTS),
        (create("a/b"), NO_NODE),
        (delete("/a"), OK),
        (delete("/b"), NO_NODE),
        (delete("/no/b"), NO_NODE),
        (delete("/"), BAD_ARGUMENTS),
        (delete(""), BAD_ARGUMENTS),
        (TxnBody::DeleteContainer { path: "/a".into() }, OK),
        (set_data("/a", "x"), OK),
        (set_data("/", "x"), OK),
        (set_data("/b", "x"), NO_NODE),
        (set_acl("/a"), OK),
        (set_acl("/b"), NO_NODE),
        (ttl(1), OK),
        (ttl(0), BAD_ARGUMENTS),
        (ttl(-1), BAD_ARGUMENTS),
        (ttl(1 << 40), BAD_ARGUMENTS),
        (TxnBody::Error(ErrorCode::NO_AUTH), Err(ErrorCode::NO_AUTH)),
        (TxnBody::Check { path: "/nope".into(), version: 3 }, OK),
        (TxnBody::CreateSession { timeout_ms: 5 }, OK),
        (TxnBody::CloseSession { paths: None }, OK),
        (TxnBody::Multi(vec![]), OK),
    ];
    for (body, expected) in table {
        let (database, applied) = after([create("/a"), body.clone()]);
        let expected = if body == TxnBody::Multi(vec![]) { vec![] } else { vec![expected] };
        assert_eq!(applied.results, expected, "{body:?}");
        assert_eq!(database.last_processed, Zxid(2));
    }
}

#[test]
fn zxid_only_rises() {
    let mut database = Database::new();
    database.apply(&txn(5, create("/a")));
    database.apply(&txn(3, create("/b")));
    assert_eq!(database.last_processed, Zxid(5));
}

#[test]
fn failed_multi_does_nothing() {
    let failed = TxnBody::Multi(vec![
        create("/x"),
        TxnBody::Error(ErrorCode::BAD_VERSION),
        TxnBody::Error(ErrorCode::RUNTIME_INCONSISTENCY),
        create("/y"),
    ]);
    let (mut database, applied) = after([failed.clone()]);
    let codes = [ErrorCode::OK, ErrorCode::BAD_VERSION].map(Err);
    let behind = [ErrorCode::RUNTIME_INCONSISTENCY; 2].map(Err);
    let results = [codes, behind].concat();
    assert_eq!(applied, Applied { changes: vec![], results, stats: vec![] });
    assert_eq!(database.tree.digest(), Tree::new().digest());
    assert_eq!(database.last_processed, Zxid(1));

    database.apply_with(&txn(2, failed), Some(Mutant::MultiKeepsPrefix));
    assert_eq!(database.tree.get("/x").is_some(), cfg!(feature = "mutants"));
    assert!(database.tree.get("/y").is_none());
}

#[test]
fn the_parents_cversion_comes_with_the_transaction() {
    for (mutant, expected) in [(None, 5), (Some(Mutant::CversionNotInTxn), 2)] {
        let mut database = Database::new();
        let TxnBody::Create(create) = create("/a") else { panic!() };
        let body = TxnBody::Create2(CreateTxn { parent_cversion: 5, ..create });
        database.apply_with(&txn(1, body), mutant);
        let expected = if cfg!(feature = "mutants") { expected } else { 5 };
        assert_eq!(database.tree.get("/").unwrap().stat.cversion, expected);
    }
}

#[test]
fn closing_takes_the_listed_paths_in_their_order_and_then_the_others() {
    let paths = Some(["/z", "/gone", "/b"].map(String::from).into());
    let (database, applied) = after([
        TxnBody::CreateSession { timeout_ms: 5000 },
        create_with("/a", "", true),
        create_with("/b", "", true),
        create("/keep"),
        create_with("/z", "", true),
        TxnBody::CloseSession { paths },
    ]);
    let deleted = ["/z", "/b", "/a"].map(deleted);
    assert_eq!(applied, Applied { changes: deleted.into(), results: vec![OK], stats: vec![] });
    assert!(database.sessions.is_empty());
    assert_eq!(database.tree.ephemeral_count(), 0);
    assert_eq!(database.tree.sessions_with_ephemerals().count(), 0);
    assert_eq!(database.tree.node_count(), 6);
}

#[test]
fn changes_of_a_multi_in_order() {
    let (_, applied) = after([TxnBody::Multi(vec![
        create("/a"),
        create("/a/b"),
        TxnBody::Check { path: "/a".into(), version: 1 },
        set_data("/a", "x"),
        delete("/a/b"),
    ])]);
    let expected = [
        Change::Created { path: "/a".into(), acl: open(), parent_acl: open() },
        Change::Created { path: "/a/b".into(), acl: open(), parent_acl: open() },
        Change::DataChanged { path: "/a".into(), acl: open() },
        deleted("/a/b"),
    ];
    assert_eq!(applied.changes, expected);
    assert_eq!(applied.results, [OK; 5]);
    // What the reply says about the setData, although the delete behind it changed the Stat.
    let set = applied.stats.iter().flatten().map(|stat| (stat.num_children, stat.version));
    assert!(set.eq([(1, 1)]));
    assert_eq!(applied.stats.len(), 5);
}

/// Not those that stand when all is applied: who is told of what is gone by then?
#[test]
fn a_change_has_the_access_lists_of_its_moment() {
    let list = |perms| -> Vec<Acl> { [Acl::world(perms)].into() };
    let (path, acl) = ("/a".into(), list(perms::READ));
    let (_, applied) = after([
        create("/a"),
        TxnBody::SetAcl { path, acl, version: 1 },
        TxnBody::Multi(vec![
            TxnBody::Create(CreateTxn {
                path: "/a/b".into(),
                data: None,
                acl: list(perms::WRITE),
                ephemeral: false,
                parent_cversion: -1,
            }),
            set_data("/a/b", "x"),
            delete("/a/b"),
            delete("/a"),
        ]),
    ]);
    let (b, a): (Arc<[Acl]>, Arc<[Acl]>) = (list(perms::WRITE).into(), list(perms::READ).into());
    let below = || "/a/b".into();
    let expected = [
        Change::Created { path: below(), acl: b.clone(), parent_acl: a.clone() },
        Change::DataChanged { path: below(), acl: b.clone() },
        Change::Deleted { path: below(), acl: b, parent_acl: a.clone() },
        Change::Deleted { path: "/a".into(), acl: a, parent_acl: open() },
    ];
    assert_eq!(applied.changes, expected);
}

#[test]
fn reconfiguration_is_outside_the_digest() {
    let config = "server.1=a:2888:3888:participant\nversion=100000002";
    let (path, data) = ("/zookeeper/config".into(), Some(config.into()));
    let (database, applied) = after([TxnBody::Reconfig { path, data, version: -1 }]);
    let acl = [Acl::world(perms::READ)].into();
    assert_eq!(applied.changes, [Change::DataChanged { path: "/zookeeper/config".into(), acl }]);
    assert_eq!(data_of_config(&database), config);
    let stat = database.tree.get("/zookeeper/config").unwrap().stat;
    assert_eq!((stat.version, stat.mzxid), (-1, Zxid(1)));
    assert_eq!(database.tree.digest(), Tree::new().digest());
}

#[test]
fn who_is_in_the_ensemble_is_no_transaction() {
    let mut database = Database::default();
    let ensemble = Ensemble { version: 0x1_0000_0002, ..Ensemble::default() };
    database.tree.set_ensemble(&ensemble, WallTime(7));
    assert_eq!(data_of_config(&database), "version=100000002");
    let stat = database.tree.get("/zookeeper/config").unwrap().stat;
    assert_eq!((stat.version, stat.mzxid, stat.mtime), (-1, Zxid(0x1_0000_0002), 7));
    assert_eq!(database.tree.digest(), Tree::new().digest());
}

fn data_of_config(database: &Database) -> String {
    data(database, "/zookeeper/config")
}

#[test]
fn owners_are_hidden_or_shown() {
    let container =
        CreateContainerTxn { path: "/c".into(), data: None, acl: Acl::open(), parent_cversion: 1 };
    let (database, _) =
        after([TxnBody::CreateContainer(container), create_with("/e", "", true), create("/p")]);
    let shown = |path| database.tree.get(path).unwrap().client_stat().ephemeral_owner;
    assert_eq!(["/c", "/e", "/p"].map(shown), [0, 7, 0]);
    assert!(database.tree.containers_and_ttl().eq(["/c"]));
    assert!(database.tree.ephemerals(SessionId(7)).eq(["/e"]));
}

const LIMITS: &str = "/zookeeper/quota/q/zookeeper_limits";
const STATS: &str = "/zookeeper/quota/q/zookeeper_stats";

fn with_quota() -> Vec<TxnBody> {
    let limits = create_with(LIMITS, "count=10,bytes=100", false);
    let nodes = [create_with("/q", "12", false), create_with("/q/a", "345", false)];
    [&nodes[..], &[create("/zookeeper/quota/q"), limits, create_with(STATS, "?", false)]].concat()
}

#[test]
fn usage_is_counted_and_counted_anew_alike() {
    let mut bodies = with_quota();
    assert_eq!(data(&after(bodies.clone()).0, STATS), "count=2,bytes=5");
    bodies.extend([create_with("/q/b", "6789", false), set_data("/q", ""), delete("/q/a")]);
    bodies.extend([create_with("/quiet", "data", false)]);
    let (mut database, _) = after(bodies.clone());
    assert_eq!(data(&database, STATS), "count=2,bytes=4");
    assert_eq!(database.tree.get(STATS).unwrap().stat.version, 0);
    database.tree.loaded();
    assert_eq!(data(&database, STATS), "count=2,bytes=4");
    bodies.extend([delete(LIMITS), create("/q/c")]);
    assert_eq!(data(&after(bodies).0, STATS), "count=2,bytes=4");
}

/// Each of these stops upstream for good.
#[test]
fn odd_quota_records_are_survived() {
    let mut bodies = with_quota();
    bodies.extend([
        create("/zookeeper/quota/zookeeper_limits"),
        create("/zookeeper/quota/zookeeper_stats"),
        delete("/zookeeper/quota/zookeeper_limits"),
        set_data(STATS, "garbage=,=;count"),
        create_with("/q/b", "6789", false),
    ]);
    let (database, applied) = after(bodies.clone());
    assert_eq!(applied.results, [OK]);
    assert_eq!(data(&database, STATS), "count=3,bytes=9", "what cannot be read is counted anew");
    bodies.extend([delete(STATS), create("/q/c")]);
    assert_eq!(after(bodies).1.results, [OK]);
}

#[test]
fn a_clone_shares_all_but_what_changes() {
    let (mut database, _) = after((0..1000).map(|index| create(&format!("/{index}"))));
    let clone = database.clone();
    assert_eq!(database.tree.nodes.own_chunks(), 0);
    database.apply(&txn(2000, set_data("/500", "x")));
    assert_eq!(database.tree.nodes.own_chunks(), 1);
    assert_eq!(data(&clone, "/500"), "");
    drop(clone);
    assert_eq!(database.tree.nodes.own_chunks(), 16);
}

#[test]
fn places_are_used_again() {
    let mut database = Database::new();
    for round in 0..1000 {
        database.apply(&txn(2 * round + 1, create("/a")));
        database.apply(&txn(2 * round + 2, delete("/a")));
    }
    assert_eq!(database.tree.nodes.own_chunks(), 1);
    assert_eq!(database.tree.acl_lists().count(), 2);
}

#[test]
fn loading_needs_parents_first() {
    let mut tree = Tree::new();
    let stat = Default::default();
    let mut load = |path: &str| tree.load(path, None, Acl::open().into(), stat);
    assert_eq!(load(""), Ok(()));
    assert_eq!(load("/a"), Ok(()));
    assert_eq!(load("/b/c"), Err(LoadError::NoParent("/b/c".into())));
    for path in ["a", "/a/"] {
        assert_eq!(load(path), Err(LoadError::NotAPath(path.into())));
    }
}

#[test]
fn recorded_and_read_back() {
    let (database, _) = after(with_quota());
    let bytes = bincode::serialize(&database).unwrap();
    let read: Database = bincode::deserialize(&bytes).unwrap();
    assert_eq!(bincode::serialize(&read).unwrap(), bytes);
    assert_eq!(read.tree.digest(), database.tree.digest());
    assert_eq!(data(&read, STATS), "count=2,bytes=5");
}
