//! Quotas through whole servers: what the stats nodes say right after each operation, and after the
//! state came back from a log, a snapshot, a leader; and what is refused where limits are enforced.

use std::sync::Arc;

use zebu_core::config::Config;
use zebu_core::ids::ServerId;
use zebu_core::proto::{
    Acl, ClientMessage, CreateRequest, CreateTtlRequest, ErrorCode, MultiResult, QuorumPacket,
    Request, Response,
};
use zebu_core::storage::{StreamDecoder, StreamEncoder};
use zebu_core::time::Duration;
use zebu_core::tree::Database;

use crate::cluster::Cluster;

const CLIENT: u64 = 1;
const PERSISTENT: i32 = 0;
const EPHEMERAL: i32 = 1;

fn create(path: &str, data: &'static str) -> Request {
    create_as(path, data, PERSISTENT)
}
fn create_as(path: &str, data: &'static str, flags: i32) -> Request {
    let (path, data) = (path.into(), Some(data.into()));
    Request::Create(CreateRequest { path, data, acl: Acl::open(), flags })
}
fn set_data(path: &str, data: &'static str) -> Request {
    Request::SetData { path: path.into(), data: Some(data.into()), version: -1 }
}
fn delete(path: &str) -> Request {
    Request::Delete { path: path.into(), version: -1 }
}
fn check(path: &str, version: i32) -> Request {
    Request::Check { path: path.into(), version }
}

/// A quota on `path`, which may have nodes already.
fn quota(path: &str, limits: &'static str) -> Vec<Request> {
    let names = path.split('/').skip(1);
    let mut at = String::from("/zookeeper/quota");
    let mut requests: Vec<_> = names
        .map(|name| {
            at = format!("{at}/{name}");
            create(&at, "")
        })
        .collect();
    requests.push(create(&format!("{at}/zookeeper_limits"), limits));
    requests.push(create(&format!("{at}/zookeeper_stats"), "whatever"));
    requests
}

struct Service {
    cluster: Cluster,
    /// Where the client is.
    server: i64,
}

impl Service {
    fn new(voters: i64, tune: fn(&mut Config)) -> Self {
        let mut cluster = Cluster::tuned(voters, tune);
        cluster.run_ms(300);
        cluster.connect(1, CLIENT);
        Self { cluster, server: 1 }
    }
    fn answers(&mut self, requests: impl IntoIterator<Item = Request>) -> Vec<Answer> {
        for request in requests {
            self.cluster.send(self.server, CLIENT, 1, request);
        }
        let answer = |message| match message {
            ClientMessage::Reply { result, .. } => result,
            other => panic!("expected replies, got {other:?}"),
        };
        self.cluster.replies(self.server, CLIENT).into_iter().map(answer).collect()
    }
    #[track_caller]
    fn done(&mut self, requests: impl IntoIterator<Item = Request>) {
        for request in requests {
            let what = format!("{request:?}");
            for answer in self.answers([request]) {
                assert!(answer.is_ok(), "{what}: {answer:?}");
            }
        }
    }
    #[track_caller]
    fn refused(&mut self, request: Request) {
        assert_eq!(self.answers([request]), [Err(ErrorCode::QUOTA_EXCEEDED)]);
    }
    /// The usage that every server has counted for `path`.
    #[track_caller]
    fn says(&self, path: &str, usage: &str) {
        for (id, server) in &self.cluster.servers {
            assert_eq!(stats(server.database(), path), usage, "server {id}");
        }
    }
}

type Answer = Result<Response, ErrorCode>;

fn stats(database: &Database, path: &str) -> String {
    let node = database.tree.get(&format!("/zookeeper/quota{path}/zookeeper_stats"));
    let data = node.and_then(|node| node.data).map(|data| data.to_vec()).unwrap_or_default();
    String::from_utf8(data).unwrap()
}

#[test]
fn usage_is_right_behind_every_operation() {
    let mut s = Service::new(3, |config| {
        config.extended_types = true;
        config.containers.check_interval = Duration::from_millis(200);
    });
    s.done([create("/q", "12"), create("/q/a", "345")]);
    s.done(quota("/q", "count=10,bytes=100"));
    s.says("/q", "count=2,bytes=5");
    s.done([create("/q/b", "6789")]);
    s.says("/q", "count=3,bytes=9");
    s.done([set_data("/q/a", "")]);
    s.says("/q", "count=3,bytes=6");
    s.done([delete("/q/a")]);
    s.says("/q", "count=2,bytes=6");
    s.done([create("/quiet", "not below it"), create("/q2", "nor this")]);
    s.says("/q", "count=2,bytes=6");

    let parts = [create("/q/m", "1"), set_data("/q/m", "123"), create("/q/n", ""), delete("/q/b")];
    s.done([Request::Multi(parts.into())]);
    s.says("/q", "count=3,bytes=5");
    s.done([Request::Multi(vec![create("/q/o", "1"), delete("/q/m"), check("/q", 77)])]);
    s.says("/q", "count=3,bytes=5");

    let ttl =
        CreateRequest { path: "/q/t".into(), data: Some("ttl".into()), acl: Acl::open(), flags: 5 };
    s.done([Request::CreateTtl(CreateTtlRequest { create: ttl, ttl_ms: 50 })]);
    let container = CreateRequest { path: "/q/c".into(), data: None, acl: Acl::open(), flags: 4 };
    s.done([Request::CreateContainer(container), create("/q/c/d", "x"), delete("/q/c/d")]);
    s.says("/q", "count=5,bytes=8");
    s.cluster.run_ms(1000);
    s.says("/q", "count=3,bytes=5");

    s.done([create_as("/q/e", "mine", EPHEMERAL), create_as("/q/f", "too", EPHEMERAL)]);
    s.says("/q", "count=5,bytes=12");
    s.done([Request::CloseSession]);
    s.says("/q", "count=3,bytes=5");

    let node =
        s.cluster.servers[&ServerId(1)].database().tree.get("/zookeeper/quota/q/zookeeper_stats");
    let stat = node.unwrap().client_stat();
    assert_eq!((stat.version, stat.mzxid), (0, stat.czxid), "as if it had not been changed");
}

#[test]
fn usage_counts_for_the_deepest_quota() {
    let mut s = Service::new(1, |_| {});
    s.done([create("/q", ""), create("/q/a", "1")]);
    s.done(quota("/q", "count=10"));
    s.done(quota("/q/a", "count=10").split_off(1));
    s.says("/q", "count=2,bytes=1");
    s.says("/q/a", "count=1,bytes=1");
    s.done([create("/q/a/b", "23"), create("/q/c", "456")]);
    s.says("/q", "count=3,bytes=4");
    s.says("/q/a", "count=2,bytes=3");
    s.done([delete("/zookeeper/quota/q/a/zookeeper_limits"), create("/q/a/d", "7")]);
    s.says("/q", "count=4,bytes=5");
    s.says("/q/a", "count=2,bytes=3");
}

#[test]
fn what_a_client_writes_into_the_stats_is_counted_on_from() {
    const STATS: &str = "/zookeeper/quota/q/zookeeper_stats";
    let mut s = Service::new(1, |_| {});
    s.done([create("/q", "1")]);
    s.done(quota("/q", ""));
    s.done([set_data(STATS, "bytes=7,count=20;other=3"), create("/q/a", "")]);
    s.says("/q", "count=21,bytes=7=;other=3");
    s.done([set_data(STATS, "what"), create("/q/b", "")]);
    s.says("/q", "count=3,bytes=1");
    s.done([delete(STATS), create("/q/c", ""), create(STATS, "")]);
    s.says("/q", "count=4,bytes=1");
}

#[test]
fn usage_comes_back_from_a_log_a_snapshot_and_a_leader() {
    let mut s = Service::new(3, |config| config.commit_log_count = 5);
    s.done([create("/q", "12"), create("/q/a", "345")]);
    s.done(quota("/q", "count=10,bytes=100"));
    s.cluster.crash(ServerId(2));
    let many: [String; 20] = std::array::from_fn(|i| format!("/q/{i:02}"));
    s.done(many.iter().map(|path| create(path, "x")));
    s.done([delete("/q/a"), set_data("/q", "")]);
    const USAGE: &str = "count=21,bytes=20";

    s.cluster.start(ServerId(2));
    s.cluster.run_ms(1000);
    let snap = |(_, to, packet): &(ServerId, ServerId, QuorumPacket)| {
        *to == ServerId(2) && matches!(packet, QuorumPacket::Snap { .. })
    };
    assert!(s.cluster.packets.iter().any(snap));
    s.says("/q", USAGE);
    for id in [1, 2, 3] {
        s.cluster.crash(ServerId(id));
        s.cluster.start(ServerId(id));
        s.cluster.run_ms(2000);
    }
    s.says("/q", USAGE);

    let database = s.cluster.servers[&ServerId(1)].database().clone();
    let mut bytes = Vec::new();
    while StreamEncoder::new(Arc::new(database.clone())).encode(&mut bytes, usize::MAX) {}
    let (loaded, _) = StreamDecoder::new(1 << 20).feed(&bytes).unwrap().unwrap();
    assert_eq!(stats(&loaded, "/q"), USAGE);
    assert_eq!(loaded.tree.quota_above("/q/x"), Some("/q"));
}

fn enforced(limits: &'static str) -> Service {
    let mut s = Service::new(3, |config| config.enforce_quota = true);
    s.done([create("/q", "")]);
    s.done(quota("/q", limits));
    s
}

#[test]
fn a_hard_limit_of_count() {
    let mut s = enforced("count=1,bytes=1=;countHardLimit=3");
    s.done([create("/q/a", "more than one byte"), create("/q/a/b", "")]);
    s.refused(create("/q/c", ""));
    s.refused(create_as("/q/c", "", EPHEMERAL));
    s.done([set_data("/q/a", "any"), create("/elsewhere", "")]);
    s.done([delete("/q/a/b"), create("/q/c", "")]);
    s.refused(create("/q/d", ""));
    s.done([
        set_data("/zookeeper/quota/q/zookeeper_limits", "countHardLimit=4"),
        create("/q/d", ""),
    ]);
    s.refused(create("/q/e", ""));
    s.done([delete("/zookeeper/quota/q/zookeeper_limits"), create("/q/e", "")]);
}

#[test]
fn a_hard_limit_of_bytes() {
    let mut s = enforced("byteHardLimit=4,count=0");
    s.done([create("/q/a", "1234"), create("/q/b", ""), set_data("/q/b", "")]);
    s.refused(create("/q/c", "1"));
    s.refused(set_data("/q/b", "1"));
    s.refused(set_data("/q/a", "12345"));
    s.done([set_data("/q/a", "123"), set_data("/q/b", "1")]);
    // What shrinks and is still too much is refused as well, as upstream has it.
    s.done([set_data("/zookeeper/quota/q/zookeeper_limits", "byteHardLimit=1")]);
    s.refused(set_data("/q/a", "12"));
    s.done([set_data("/q/a", "")]);
    let stale = Request::SetData { path: "/q/a".into(), data: Some("12".into()), version: 77 };
    s.refused(stale);
}

#[test]
fn soft_limits_and_limits_not_enforced_refuse_nothing() {
    let mut s = enforced("count=1,bytes=1");
    s.done([create("/q/a", "12"), set_data("/q/a", "123")]);
    let mut s = Service::new(1, |_| {});
    s.done([create("/q", "")]);
    s.done(quota("/q", "countHardLimit=1;byteHardLimit=0"));
    s.done([create("/q/a", "12"), set_data("/q/a", "123")]);
}

/// Upstream looks at what is applied, and lets all of these pass.
#[test]
fn a_hard_limit_holds_for_what_is_in_flight() {
    let mut s = enforced("countHardLimit=3");
    let answers = s.answers(["/q/a", "/q/b", "/q/c", "/q/d"].map(|path| create(path, "")));
    let codes: Vec<_> = answers.iter().map(|answer| answer.as_ref().err().copied()).collect();
    let exceeded = Some(ErrorCode::QUOTA_EXCEEDED);
    assert_eq!(codes, [None, None, exceeded, exceeded]);
    s.says("/q", "count=3,bytes=0");

    let parts = vec![delete("/q/a"), create("/q/e", ""), create("/q/f", ""), delete("/q/b")];
    let results = match &s.answers([Request::Multi(parts)])[..] {
        [Ok(Response::Multi(results))] => results.clone(),
        other => panic!("{other:?}"),
    };
    let errors = [ErrorCode::OK, ErrorCode::OK, ErrorCode::QUOTA_EXCEEDED];
    let errors = errors.into_iter().chain([ErrorCode::RUNTIME_INCONSISTENCY]);
    assert!(results.into_iter().eq(errors.map(MultiResult::Error)));
    s.says("/q", "count=3,bytes=0");

    // What a refused multi would have used is free.
    s.done([Request::Multi(vec![delete("/q/a"), create("/q/e", "")]), delete("/q/b")]);
    s.done([create("/q/f", "")]);
    s.refused(create("/q/g", ""));
    s.done([Request::CloseSession]);
    s.says("/q", "count=3,bytes=0");
}
