//! The driver on madsim's sockets, tasks and clock: framing over reads, races of tasks, kills in the
//! middle. Runs with `--cfg madsim` only; in a plain build these tests do not exist, so whoever runs
//! them asserts their number.

#![cfg(madsim)]

mod common;

use std::time::Duration;

use madsim::runtime::{Handle, NodeHandle};

use zebu_core::config::{Config, Ensemble, Member, MemberRole};
use zebu_core::ids::ServerId;
use zebu_core::proto::{Request, Response};
use zebu_net_real::disk::log_task::TaskDisk;
use zebu_net_real::disk::memory::MemoryFiles;
use zebu_net_real::driver;
use zebu_net_real::settings::{Address, ServerSettings};

use common::{Client, create, data_of, get};

fn host(id: i64) -> String {
    format!("10.0.0.{id}")
}
fn client_address(id: i64) -> Address {
    Address::new(host(id), 2181)
}

fn settings(id: i64, count: i64) -> ServerSettings {
    let member = |id| Member {
        host: host(id),
        quorum_port: 2888,
        election_port: 3888,
        role: MemberRole::Participant,
        client: None,
    };
    let members = (1..=count).map(|id| (ServerId(id), member(id))).collect();
    let ensemble = Ensemble { members, hierarchy: None, version: 0 };
    let mut settings = ServerSettings::new(Config::new(ServerId(id), ensemble));
    settings.config.tick = Duration::from_millis(500);
    settings.client = Some(Address::new("0.0.0.0", 2181));
    settings.storage.prealloc_bytes = 1 << 16;
    settings
}

/// A node that runs a server on a disk that outlives it.
fn node(id: i64, count: i64) -> NodeHandle {
    let files = MemoryFiles::default();
    let server = move || {
        let disk = TaskDisk { files: files.clone(), latency: Duration::from_millis(1) };
        async move {
            let run = driver::run(settings(id, count), disk, std::future::pending());
            panic!("server {id} ended: {:?}", run.await);
        }
    };
    Handle::current()
        .create_node()
        .name(format!("server {id}"))
        .ip(host(id).parse().expect("it is an address"))
        .init(server)
        .build()
}

/// Runs `test` on a node of its own.
async fn as_client<F>(test: F)
where
    F: Future<Output = ()> + Send + 'static,
{
    let ip = "10.0.1.1".parse().expect("it is an address");
    let node = Handle::current().create_node().name("client").ip(ip).build();
    node.spawn(test).await.expect("the test passes");
}

#[madsim::test]
async fn a_server_alone_serves() {
    let _server = node(1, 1);
    as_client(async {
        let mut client = Client::open(&client_address(1)).await;
        assert_eq!(client.ask(create("/a", b"one")).await, Ok(Response::Path("/a".into())));
        assert_eq!(data_of(client.ask(get("/a")).await), b"one");
    })
    .await;
}

#[madsim::test]
async fn three_servers_go_on_when_each_in_turn_is_killed() {
    let servers: Vec<NodeHandle> = (1..=3).map(|id| node(id, 3)).collect();
    let handle = Handle::current();
    as_client(async move {
        let path = |round: usize| format!("/n{round}");
        for round in 0..6 {
            let killed = round % 3;
            let other = client_address((killed as i64 + 1) % 3 + 1);
            // Before the kill, by whoever is asked; after it, by who is left.
            let mut client = Client::open(&other).await;
            assert!(client.ask(create(&path(2 * round), b"x")).await.is_ok());
            handle.kill(servers[killed].id());
            let mut client = Client::open(&other).await;
            assert!(client.ask(create(&path(2 * round + 1), b"x")).await.is_ok());
            handle.restart(servers[killed].id());
            let mut client = Client::open(&client_address(killed as i64 + 1)).await;
            assert!(client.ask(Request::Sync { path: "/".into() }).await.is_ok());
            for earlier in 0..2 * round + 2 {
                assert_eq!(data_of(client.ask(get(&path(earlier))).await), b"x");
            }
        }
    })
    .await;
}
