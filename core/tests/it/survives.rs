//! What stops upstream, or harms it for good, and must not harm us: one test for each trigger, named
//! after it. Each comes from a client, and as a transaction that upstream's servers let through, which
//! then stands in a log and comes in a leader's proposals. Afterwards writes must still succeed on
//! every server.

use std::collections::BTreeMap;

use bytes::Bytes;
use zebu_core::config::Config;
use zebu_core::ids::{ConnId, Epoch, ServerId, SessionId, Xid, Zxid};
use zebu_core::proto::{
    Acl, ClientMessage, ConnectRequest, CreateRequest, CreateTtlRequest, ErrorCode, OpCode,
    QuorumPacket, Request,
};
use zebu_core::server::Epochs;
use zebu_core::storage::{
    Dir, Directory, DiskError, DiskOp, FileName, Layout, Storage, StorageConfig,
};
use zebu_core::time::WallTime;
use zebu_core::tree::{Database, Owner};
use zebu_core::txn::{
    CreateContainerTxn, CreateTtlTxn, CreateTxn, Entry, Txn, TxnBody, TxnHeader, codec,
};

use crate::cluster::Cluster;

const RECORD_MAX: usize = 2 << 20;
const SERVERS: [i64; 3] = [1, 2, 3];
const CLIENT: u64 = 1;

// ---- transactions as others log and propose them ----

fn txn(zxid: Zxid, body: TxnBody) -> Entry {
    let header = TxnHeader { session: SessionId(7), cxid: Xid(1), zxid, time: WallTime(500) };
    carried(codec::encode(Txn { header, body, digest: None }).payload)
}

/// As a server reads it that did not make it.
fn carried(payload: Bytes) -> Entry {
    codec::decode(payload, RECORD_MAX).expect("upstream logs and sends such a record")
}

/// One after the other behind a harmless one, from the first zxid of epoch 1 on.
fn history(bodies: impl IntoIterator<Item = TxnBody>) -> Vec<Entry> {
    let zxids = (1..).map(|counter| Zxid::new(Epoch(1), counter));
    zxids
        .zip([created("/first", "")].into_iter().chain(bodies))
        .map(|(zxid, body)| txn(zxid, body))
        .collect()
}

fn created(path: &str, data: &'static str) -> TxnBody {
    let (path, data) = (path.into(), Some(data.into()));
    let (acl, parent_cversion) = (Acl::open(), -1);
    TxnBody::Create(CreateTxn { path, data, acl, ephemeral: false, parent_cversion })
}
fn created_ttl(path: &str, ttl_ms: i64) -> TxnBody {
    let (path, acl, parent_cversion) = (path.into(), Acl::open(), -1);
    TxnBody::CreateTtl(CreateTtlTxn { path, data: None, acl, parent_cversion, ttl_ms })
}
fn data_set(path: &str, data: &'static str) -> TxnBody {
    TxnBody::SetData { path: path.into(), data: Some(data.into()), version: 1 }
}
fn deleted(path: &str) -> TxnBody {
    TxnBody::Delete { path: path.into() }
}

/// Has servers start from a log with `entries`, learn them from a leader that was ahead, and follow
/// a leader that proposes them; the state that they come to, which is the same in each case.
fn survived(entries: &[Entry], tune: fn(&mut Config)) -> Database {
    let payloads: Vec<_> = entries.iter().map(|entry| entry.payload.clone()).collect();
    let alone = recovered(&payloads);
    let digest = alone.tree.digest();

    let mut started = with_logs([entries; 3], tune);
    assert_eq!(started.servers[&ServerId(1)].database().tree.digest(), digest);
    goes_on(&mut started);

    let mut learned = with_logs([&entries[..1], entries, entries], tune);
    let proposed = |packet: &QuorumPacket| {
        entries.iter().any(|e| *packet == QuorumPacket::Proposal(e.clone()))
    };
    assert!(learned.packets.iter().any(|(_, to, packet)| to.0 == 1 && proposed(packet)));
    assert_eq!(learned.servers[&ServerId(1)].database().tree.digest(), digest);
    goes_on(&mut learned);

    let mut followed = Cluster::tuned(3, tune);
    followed.run_ms(300);
    assert_eq!(followed.leader(), Some(ServerId(3)));
    hush(&mut followed, true);
    for entry in entries {
        for follower in [1, 2] {
            let zxid = entry.zxid();
            followed.forge(3, follower, QuorumPacket::Proposal(entry.clone()));
            followed.forge(3, follower, QuorumPacket::Commit { zxid });
        }
    }
    followed.settle();
    for follower in [1, 2] {
        assert_eq!(followed.servers[&ServerId(follower)].database().tree.digest(), digest);
    }
    // They have what the leader has not, and one of them leads.
    followed.crash(ServerId(3));
    hush(&mut followed, false);
    followed.run_ms(1000);
    followed.start(ServerId(3));
    followed.run_ms(1000);
    assert_eq!(followed.servers[&ServerId(3)].database().tree.digest(), digest);
    goes_on(&mut followed);
    alone
}

/// What a leader says does not arrive, nor what it is told.
fn hush(c: &mut Cluster, hushed: bool) {
    for follower in [1, 2] {
        for pair in [(ServerId(3), ServerId(follower)), (ServerId(follower), ServerId(3))] {
            if hushed {
                c.cut.insert(pair)
            } else {
                c.cut.remove(&pair)
            };
        }
    }
}

/// Three servers, each with this log when it starts.
fn with_logs(logs: [&[Entry]; 3], tune: fn(&mut Config)) -> Cluster {
    let mut c = Cluster::tuned(3, tune);
    for id in SERVERS {
        c.crash(ServerId(id));
    }
    for (id, log) in SERVERS.into_iter().zip(logs) {
        let disk = c.disks.get_mut(&ServerId(id)).expect("one of the three");
        disk.log = log.to_vec();
        disk.epochs = Epochs { accepted: Epoch(1), current: Epoch(1) };
    }
    for id in SERVERS {
        c.start(ServerId(id));
    }
    c.run_ms(1000);
    c
}

/// Every server takes a write, and all have all of them.
fn goes_on(c: &mut Cluster) {
    for id in SERVERS {
        let conn = 100 + id as u64;
        c.connect(id, conn);
        c.send(id, conn, 1, create(&format!("/after{id}")));
        match c.replies(id, conn).as_slice() {
            [ClientMessage::Reply { result: Ok(_), .. }] => {}
            other => panic!("server {id} goes on with {other:?}"),
        }
    }
    let digests: Vec<_> = c.servers.values().map(|s| s.database().tree.digest()).collect();
    assert_eq!(digests, [digests[0]; 3]);
}

// ---- a log as upstream writes it ----

#[derive(Default)]
struct Files(BTreeMap<FileName, Vec<u8>>);

impl Directory for Files {
    fn list(&self, dir: Dir) -> Result<Vec<(String, u64)>, DiskError> {
        let here = self.0.iter().filter(|(file, _)| file.dir == dir);
        Ok(here.map(|(file, bytes)| (file.name.clone(), bytes.len() as u64)).collect())
    }
    fn read(&self, file: &FileName, offset: u64, buf: &mut [u8]) -> Result<usize, DiskError> {
        let rest = self.0[file].get(offset as usize..).unwrap_or_default();
        let len = rest.len().min(buf.len());
        buf[..len].copy_from_slice(&rest[..len]);
        Ok(len)
    }
}

impl Files {
    fn perform(&mut self, op: DiskOp) {
        match op {
            DiskOp::Create(file) => drop(self.0.insert(file, Vec::new())),
            DiskOp::Write { file, offset, bytes } => {
                let content = self.0.get_mut(&file).expect("a file that was created");
                content.resize(content.len().max(offset as usize + bytes.len()), 0);
                content[offset as usize..][..bytes.len()].copy_from_slice(&bytes);
            }
            DiskOp::Rename { from, to } => {
                let content = self.0.remove(&from).expect("a file that was created");
                self.0.insert(to, content);
            }
            DiskOp::SetLen { file, len } => {
                let content = self.0.get_mut(&file).expect("a file that was created");
                content.resize(len as usize, 0);
            }
            DiskOp::Remove(file) => drop(self.0.remove(&file)),
            DiskOp::Sync(_) | DiskOp::SyncDir(_) => {}
        }
    }
}

fn open(files: &Files) -> (Database, Vec<DiskOp>) {
    let config = StorageConfig {
        prealloc_bytes: 0,
        record_max: RECORD_MAX,
        commit_log_count: 500,
        layout: Layout::DEFAULT,
        autocreate: true,
        log_permille_max: 330,
        mutant: None,
    };
    let (_, recovered, repairs) = Storage::open(config, files).expect("a disk to start from");
    (recovered.database, repairs)
}

/// The state that a server starts with on a log of these records.
fn recovered(payloads: &[Bytes]) -> Database {
    let mut files = Files::default();
    for op in open(&files).1 {
        files.perform(op);
    }
    let mut log = b"ZKLG\0\0\0\x02\0\0\0\0\0\0\0\0".to_vec();
    for payload in payloads {
        log.extend(u64::from(adler2::adler32_slice(payload)).to_be_bytes());
        log.extend((payload.len() as u32).to_be_bytes());
        log.extend(payload);
        log.push(b'B');
    }
    files.0.insert(FileName { dir: Dir::Log, name: "log.100000001".into() }, log);
    // As a server alone leaves its directory.
    files.0.retain(|file, _| !file.name.ends_with("Epoch"));
    open(&files).0
}

// ---- clients ----

fn create(path: &str) -> Request {
    create_with(path, "", 0)
}
fn create_with(path: &str, data: &'static str, flags: i32) -> Request {
    let (path, data) = (path.into(), Some(data.into()));
    Request::Create(CreateRequest { path, data, acl: Acl::open(), flags })
}
fn create_ttl(path: &str, flags: i32, ttl_ms: i64) -> Request {
    let Request::Create(create) = create_with(path, "", flags) else { unreachable!("a create") };
    Request::CreateTtl(CreateTtlRequest { create, ttl_ms })
}
fn set_data(path: &str, data: &'static str) -> Request {
    Request::SetData { path: path.into(), data: Some(data.into()), version: -1 }
}
fn delete(path: &str) -> Request {
    Request::Delete { path: path.into(), version: -1 }
}

/// Three servers that serve, and a client of a follower.
fn served(tune: fn(&mut Config)) -> (Cluster, SessionId) {
    let mut c = Cluster::tuned(3, tune);
    c.run_ms(300);
    let session = c.connect(1, CLIENT);
    (c, session)
}

/// The client asks; what it comes to, and the zxid in the answer.
fn ask(c: &mut Cluster, request: Request) -> (Result<(), ErrorCode>, i64) {
    c.send(1, CLIENT, 1, request);
    match c.replies(1, CLIENT).as_slice() {
        [ClientMessage::Reply { zxid, result, .. }] => (result.clone().map(drop), *zxid),
        other => panic!("expected one answer, got {other:?}"),
    }
}

#[track_caller]
fn all_succeed(c: &mut Cluster, requests: impl IntoIterator<Item = Request>) {
    for request in requests {
        let what = format!("{request:?}");
        assert_eq!(ask(c, request).0, Ok(()), "{what}");
    }
}

/// Refused as what nobody carries out, on a connection that ends there; the session goes on.
#[track_caller]
fn is_unimplemented(opcode: OpCode, body: &[u8]) -> Cluster {
    let (mut c, session) = served(|_| {});
    all_succeed(&mut c, [create("/kept")]);
    let request = Request::decode(opcode.number(), Bytes::copy_from_slice(body), RECORD_MAX);
    assert_eq!(ask(&mut c, request), (Err(ErrorCode::UNIMPLEMENTED), -1));
    assert!(c.closed.contains(&(ServerId(1), ConnId(CLIENT))));
    c.greet(1, CLIENT + 1, session);
    match c.replies(1, CLIENT + 1).as_slice() {
        [ClientMessage::Connected(renewed)] => assert_eq!(renewed.session, session),
        other => panic!("expected the session to live on, got {other:?}"),
    }
    goes_on(&mut c);
    c
}

// ---- the triggers ----

/// Upstream logs it, and exits when it applies it, and at each start after that.
#[test]
fn create_ttl_with_the_flags_of_another_kind_and_no_time() {
    let (mut c, _) = served(|config| config.extended_types = true);
    for flags in 0..=4 {
        for ttl_ms in [-1, i64::MIN, 0, 5] {
            let (result, _) = ask(&mut c, create_ttl("/t", flags, ttl_ms));
            assert_eq!(result, Err(ErrorCode::BAD_ARGUMENTS), "{flags} {ttl_ms}");
        }
    }
    goes_on(&mut c);

    let part = TxnBody::Multi(vec![created("/m", ""), created_ttl("/m/t", -1)]);
    let impossible = [-1, 0, i64::MIN, i64::MAX, Owner::TTL_MAX_MS + 1];
    let bodies = impossible.map(|ttl_ms| created_ttl("/t", ttl_ms)).into_iter().chain([part]);
    let database = survived(&history(bodies), |config| config.extended_types = true);
    assert!(database.tree.get("/t").is_none());
    assert!(database.tree.get("/m").is_some(), "only the impossible part is left out");
    assert!(database.tree.get("/m/t").is_none());
}

/// Upstream takes them for a quota on the empty path, and exits.
#[test]
fn limits_and_stats_directly_below_quota() {
    const LIMITS: &str = "/zookeeper/quota/zookeeper_limits";
    const STATS: &str = "/zookeeper/quota/zookeeper_stats";
    let (mut c, _) = served(|config| config.enforce_quota = true);
    for path in [LIMITS, STATS] {
        all_succeed(
            &mut c,
            [create_with(path, "count=1,bytes=1", 0), create(&format!("{path}/a"))],
        );
    }
    all_succeed(&mut c, [create("/a"), set_data("/a", "data"), delete("/a")]);
    for path in [LIMITS, STATS] {
        all_succeed(&mut c, [delete(&format!("{path}/a")), delete(path)]);
    }
    goes_on(&mut c);

    let made = [LIMITS, STATS].map(|path| created(path, "count=1,bytes=1"));
    let below = [created("/a", ""), data_set("/a", "data"), deleted("/a")];
    let bodies = made.into_iter().chain(below).chain([LIMITS, STATS].map(deleted));
    let database = survived(&history(bodies), |_| {});
    assert!(database.tree.get(LIMITS).is_none());
}

/// Upstream looks for the path of the quota in the parent's, beyond its end, and exits.
#[test]
fn a_node_called_limits_deleted_above_quota() {
    let paths = ["/zookeeper/zookeeper_limits", "/zookeeper/q/zookeeper_limits"];
    let (mut c, _) = served(|_| {});
    all_succeed(&mut c, [create("/zookeeper/q")]);
    for path in paths {
        all_succeed(&mut c, [create(path), delete(path)]);
    }
    goes_on(&mut c);

    let bodies = paths.into_iter().flat_map(|path| [created(path, ""), deleted(path)]);
    survived(&history([created("/zookeeper/q", "")].into_iter().chain(bodies)), |_| {});
}

const LIMITS: &str = "/zookeeper/quota/q/zookeeper_limits";
const STATS: &str = "/zookeeper/quota/q/zookeeper_stats";

/// Upstream cannot count on from what it cannot read, and exits.
#[test]
fn garbage_in_the_stats_of_a_quota_in_use() {
    for garbage in ["garbage", "count=x,bytes=1", "count", "=,;=;", "count=1e9", "\u{1}\u{fffd}"] {
        let (mut c, _) = served(|config| config.enforce_quota = true);
        let quota = [create("/q"), create("/zookeeper/quota/q"), create(LIMITS), create(STATS)];
        all_succeed(&mut c, quota);
        for request in [create("/q/a"), set_data("/q/a", "x"), delete("/q/a")] {
            all_succeed(&mut c, [set_data(STATS, garbage), request]);
        }
        goes_on(&mut c);
    }

    let quota = [created("/q", ""), created("/zookeeper/quota/q", "")];
    let quota = quota.into_iter().chain([created(LIMITS, "count=9"), created(STATS, "")]);
    let below = [created("/q/a", "abc"), data_set("/q/a", "x"), deleted("/q/a")];
    let below = below.into_iter().flat_map(|body| [data_set(STATS, "count=x;y"), body]);
    let database = survived(&history(quota.chain(below)), |_| {});
    assert_eq!(text(&database, STATS), "count=1,bytes=0", "counted anew");
}

fn text<'a>(database: &'a Database, path: &str) -> &'a str {
    let data = database.tree.get(path).and_then(|node| node.data).expect("a node with data");
    std::str::from_utf8(data).expect("text")
}

/// Upstream refuses all writes below with -5.
#[test]
fn garbage_in_the_limits_of_a_quota_that_is_enforced() {
    for garbage in ["garbage", "count=x", "countHardLimit", ";", "byteHardLimit=1=2=x,"] {
        let (mut c, _) = served(|config| config.enforce_quota = true);
        let quota = [create("/q"), create("/zookeeper/quota/q"), create(LIMITS), create(STATS)];
        all_succeed(&mut c, quota);
        let below = [create("/q/a"), set_data("/q/a", ""), delete("/q/a")];
        all_succeed(&mut c, [set_data(LIMITS, garbage)].into_iter().chain(below));
        goes_on(&mut c);
    }
}

/// Upstream's leader proposes the refusal under a zxid that is used already; it never commits, and
/// all writes hang behind it.
#[test]
fn a_write_that_lacks_the_end_of_its_body() {
    let (mut c, _) = served(|_| {});
    let (_, before) = ask(&mut c, create("/a"));
    let writes = [OpCode::Create, OpCode::SetData, OpCode::Delete, OpCode::SetAcl, OpCode::Multi];
    for opcode in writes {
        let cut = Bytes::from_static(&[0, 0, 0, 2, b'/']);
        let request = Request::decode(opcode.number(), cut, RECORD_MAX);
        assert_eq!(ask(&mut c, request), (Err(ErrorCode::MARSHALLING_ERROR), before), "{opcode:?}");
    }
    let (_, after) = ask(&mut c, create("/b"));
    assert_eq!(after, before + 1, "they took no zxid");
    goes_on(&mut c);
}

/// The same as upstream's servers left it in their logs. They replay over it.
#[test]
fn a_refusal_under_a_used_zxid_in_a_log() {
    let refusal = |zxid| txn(zxid, TxnBody::Error(ErrorCode::MARSHALLING_ERROR)).payload;
    let [first, second, third] = [1, 2, 3].map(|counter| Zxid::new(Epoch(1), counter));
    let payloads = [
        txn(first, created("/a", "")).payload,
        txn(second, created("/b", "")).payload,
        refusal(second),
        refusal(second),
        txn(third, created("/c", "")).payload,
        refusal(third),
        // The first write to a leader that has proposed nothing yet.
        refusal(Zxid::start_of(Epoch(2))),
        txn(Zxid::new(Epoch(3), 1), created("/d", "")).payload,
    ];
    let database = recovered(&payloads);
    assert_eq!(database.last_processed, Zxid::new(Epoch(3), 1));
    assert!(["/a", "/b", "/c", "/d"].iter().all(|path| database.tree.get(path).is_some()));
}

/// And as an upstream leader with such a log brings its learners up to date.
#[test]
fn a_refusal_under_a_used_zxid_among_what_a_learner_missed() {
    let mut c = Cluster::new(3);
    c.run_ms(300);
    c.crash(ServerId(1));
    c.connect(3, CLIENT);
    c.send(3, CLIENT, 1, create("/a"));
    assert_eq!(c.replies(3, CLIENT).len(), 1);
    c.refused_again.insert(c.servers[&ServerId(3)].database().last_processed);
    c.start(ServerId(1));
    c.run_ms(1000);
    assert!(c.servers[&ServerId(1)].is_serving());
    goes_on(&mut c);
}

/// A leader that does it while it leads is one to leave: its followers elect another, and writes go
/// on, where upstream's followers wait with it.
#[test]
fn a_refusal_proposed_under_a_used_zxid() {
    let (mut c, _) = served(|_| {});
    let (_, zxid) = ask(&mut c, create("/a"));
    let refusal = txn(Zxid::from_wire(zxid), TxnBody::Error(ErrorCode::MARSHALLING_ERROR));
    for follower in [1, 2] {
        c.forge(3, follower, QuorumPacket::Proposal(refusal.clone()));
    }
    c.run_ms(3000);
    goes_on(&mut c);
}

/// Upstream deletes any childless node for whoever asks, whatever its ACL.
#[test]
fn delete_container_from_a_client() {
    let c = is_unimplemented(OpCode::DeleteContainer, b"\0\0\0\x05/kept");
    assert!(c.servers[&ServerId(1)].database().tree.get("/kept").is_some());

    // What upstream let through is history.
    let gone = TxnBody::DeleteContainer { path: "/a".into() };
    let never = TxnBody::DeleteContainer { path: "/nope".into() };
    let database = survived(&history([created("/a", ""), gone, never]), |_| {});
    assert!(database.tree.get("/a").is_none());
}

/// Upstream answers with a second ConnectResponse, and the caller chooses the session's timeout.
#[test]
fn create_session_from_a_client() {
    is_unimplemented(OpCode::CreateSession, &[0x7f, 0xff, 0xff, 0xff]);
    is_unimplemented(OpCode::CreateSession, &[]);

    let timeouts = [i32::MAX, -1, 0, i32::MIN];
    let bodies = timeouts.map(|timeout_ms| TxnBody::CreateSession { timeout_ms });
    survived(&history(bodies), |_| {});
}

/// Upstream up to 3.8.4 and 3.9.2 never answered, and logged what none of its servers can read.
#[test]
fn check_outside_of_a_multi() {
    is_unimplemented(OpCode::Check, b"\0\0\0\x01/\xff\xff\xff\xff");
    is_unimplemented(OpCode::Check, b"");

    let mut entries = history([created("/a", ""), deleted("/a"), created("/b", "")]);
    let mut check = entries[2].payload.to_vec();
    check[28..32].copy_from_slice(&OpCode::Check.number().to_be_bytes());
    check.extend([0, 0, 0, 1]);
    entries[2] = carried(check.into());
    let database = survived(&entries, |_| {});
    assert!(database.tree.get("/a").is_some());
    assert!(database.tree.get("/b").is_some());
}

/// Upstream takes them for ephemerals of a session that is gone, and deletes them at its start.
#[test]
fn ttl_nodes_where_extended_types_are_off() {
    let ms = Owner::TTL_MAX_MS;
    let container =
        CreateContainerTxn { path: "/c".into(), data: None, acl: Acl::open(), parent_cversion: -1 };
    let bodies =
        [created_ttl("/t", ms), created_ttl("/t/u", 1000), TxnBody::CreateContainer(container)];
    let entries = history(bodies);
    let database = survived(&entries, |config| config.extended_types = false);
    assert_eq!(database.tree.get("/t").map(|node| node.owner()), Some(Owner::Ttl { ms }));
    assert_eq!(database.tree.ephemeral_count(), 0);

    let mut c = with_logs([&entries; 3], |_| {});
    c.run_ms(20_000);
    let kept = |path: &str| c.servers.values().all(|s| s.database().tree.get(path).is_some());
    assert!(kept("/t"));
    assert!(kept("/c"));
}

/// Upstream closes the session's living connection before it looks at the password.
#[test]
fn a_reconnect_with_a_wrong_password() {
    let (mut c, session) = served(|_| {});
    let connect = |session| ConnectRequest {
        protocol_version: 0,
        last_zxid_seen: Zxid::ZERO,
        timeout_ms: 4000,
        session,
        password: Bytes::from_static(&[1; 16]),
        read_only: Some(false),
    };
    for (server, conn) in [(1, 2), (2, 3), (3, 4)] {
        c.greet_with(server, conn, connect(session));
        match c.replies(server, conn).as_slice() {
            [ClientMessage::Connected(refused)] => {
                assert_eq!((refused.timeout_ms, refused.session), (0, SessionId(0)));
            }
            other => panic!("expected a refusal, got {other:?}"),
        }
        assert!(c.closed.contains(&(ServerId(server), ConnId(conn))));
        all_succeed(&mut c, [create(&format!("/{server}"))]);
    }
    assert!(!c.closed.contains(&(ServerId(1), ConnId(CLIENT))));
    goes_on(&mut c);
}
