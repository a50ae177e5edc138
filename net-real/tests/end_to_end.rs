//! Whole servers on loopback sockets and a real directory, asked by core's own client connection.
//! Every port is one that the system chose. What a request means is tested in core.

#![cfg(not(madsim))]

mod common;

use std::path::Path;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use zebu_core::config::{Config, Ensemble, Member, MemberRole};
use zebu_core::ids::ServerId;
use zebu_core::proto::{ErrorCode, Request, Response};
use zebu_net_real::settings::{Address, AutoPurge, FourLetterWords, ServerSettings};

use common::running::{Running, alone, temporary};
use common::{Client, connect, create, data_of, get, soon};

#[tokio::test]
async fn a_write_outlives_a_restart() {
    let dir = temporary();
    let server = Running::start(alone(), dir.path()).await;
    let mut client = Client::open(&server.address).await;
    assert_eq!(client.ask(create("/a", b"one")).await, Ok(Response::Path("/a".into())));
    assert_eq!(client.ask(create("/a", b"two")).await, Err(ErrorCode::NODE_EXISTS));
    server.stop().await;
    assert!(client.next().await.is_none(), "the server's end is the connection's");

    let server = Running::start(alone(), dir.path()).await;
    let mut client = Client::open(&server.address).await;
    assert_eq!(data_of(client.ask(get("/a")).await), b"one");
    server.stop().await;
}

#[tokio::test]
async fn what_one_client_does_wrong_costs_only_itself() {
    let dir = temporary();
    let server = Running::start(alone(), dir.path()).await;
    let mut good = Client::open(&server.address).await;

    // A frame far over the limit, as a first word and in the middle.
    let mut bad = connect(&server.address).await;
    bad.write_all(&[0x7f; 4]).await.expect("the connection stands");
    assert_eq!(soon("the end", bad.read(&mut [0; 16])).await.unwrap_or(0), 0);
    let mut bad = Client::open(&server.address).await;
    bad.stream.write_all(&[0x7f; 4]).await.expect("the connection stands");
    assert!(bad.next().await.is_none());

    assert_eq!(good.ask(create("/a", b"one")).await, Ok(Response::Path("/a".into())));
    server.stop().await;
}

#[tokio::test]
async fn a_client_that_says_nothing_is_cut() {
    let dir = temporary();
    let mut settings = alone();
    settings.handshake_timeout = Duration::from_millis(50);
    let server = Running::start(settings, dir.path()).await;
    let mut good = Client::open(&server.address).await;
    let mut silent = connect(&server.address).await;
    // Half a frame is not a word.
    silent.write_all(&[0, 0]).await.expect("the connection stands");
    assert_eq!(soon("the end", silent.read(&mut [0; 16])).await.unwrap_or(0), 0);
    // Whoever has said its first word may be silent.
    assert!(good.ask(create("/a", b"one")).await.is_ok());
    server.stop().await;
}

#[tokio::test]
async fn a_four_letter_word_is_answered_to_who_closed_its_end() {
    let dir = temporary();
    for (words, expected) in [
        (FourLetterWords::All, "imok"),
        (FourLetterWords::default(), "ruok is not executed because it is not in the whitelist.\n"),
    ] {
        let server =
            Running::start(ServerSettings { four_letter_words: words, ..alone() }, dir.path())
                .await;
        let mut stream = connect(&server.address).await;
        stream.write_all(b"ruok").await.expect("the connection stands");
        stream.shutdown().await.expect("the connection stands");
        let mut answer = String::new();
        soon("an answer", stream.read_to_string(&mut answer)).await.expect("it is text");
        assert_eq!(answer, expected);
        server.stop().await;
    }
}

#[tokio::test]
async fn many_requests_at_once_are_answered_in_their_order() {
    const REQUESTS: usize = 5000;
    let dir = temporary();
    let mut settings = alone();
    // Reading stops many times.
    settings.config.limits.conn_queue_max = 64;
    let server = Running::start(settings, dir.path()).await;
    let mut client = Client::open(&server.address).await;
    let requests: Vec<_> =
        (0..REQUESTS).map(|n| client.request(create(&format!("/n{n}"), b"x"))).collect();
    client.send(&requests).await;
    for n in 0..REQUESTS {
        assert_eq!(client.answer().await, Ok(Response::Path(format!("/n{n}"))));
    }
    server.stop().await;
}

#[tokio::test]
async fn a_client_that_reads_late_holds_up_only_itself() {
    let dir = temporary();
    let mut settings = alone();
    settings.config.limits.conn_queue_max = 8;
    settings.config.limits.unread_pause = 64 << 10;
    let server = Running::start(settings, dir.path()).await;
    let mut good = Client::open(&server.address).await;
    let data: &'static [u8] = vec![7; 100_000].leak();
    assert!(good.ask(create("/big", data)).await.is_ok());

    // 40 MB of answers: more than sockets hold.
    let mut late = Client::open(&server.address).await;
    let requests: Vec<_> = (0..400).map(|_| late.request(get("/big"))).collect();
    late.send(&requests).await;
    assert_eq!(data_of(good.ask(get("/big")).await), data);
    for _ in &requests {
        assert_eq!(data_of(late.answer().await), data);
    }
    server.stop().await;
}

#[tokio::test]
async fn a_client_is_cut_when_too_many_events_pile_up() {
    let dir = temporary();
    let mut settings = alone();
    settings.config.limits.unread_pause = 300;
    settings.config.limits.unread_max = 1000;
    let server = Running::start(settings, dir.path()).await;
    let mut good = Client::open(&server.address).await;
    let mut watcher = Client::open(&server.address).await;
    let paths: Vec<_> = (0..50).map(|n| format!("/n{n}")).collect();
    let exists = |path: &String| Request::Exists { path: path.clone(), watch: true };
    for path in &paths {
        assert_eq!(watcher.ask(exists(path)).await, Err(ErrorCode::NO_NODE));
    }
    // One transaction, so that all events are there at once.
    let creates = paths.iter().map(|path| create(path, b"x")).collect();
    assert!(good.ask(Request::Multi(creates)).await.is_ok());
    assert!(watcher.next().await.is_none());
    assert_eq!(data_of(good.ask(get("/n0")).await), b"x");
    server.stop().await;
}

fn names(dir: &Path, beginning: &str) -> Vec<String> {
    let entries = std::fs::read_dir(dir).expect("it is there").map(|entry| {
        let name = entry.expect("it can be read").file_name();
        name.into_string().expect("it is text")
    });
    let mut names: Vec<_> = entries.filter(|name| name.starts_with(beginning)).collect();
    // Hexadecimal without leading zeros: by length first.
    names.sort_by_key(|name| (name.len(), name.clone()));
    names
}

#[tokio::test]
async fn what_is_not_needed_is_purged_beside_the_service() {
    let sample = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../core/testdata/samples/standalone-snaps/data/version-2"
    );
    let dir = temporary();
    let version_2 = dir.path().join("version-2");
    std::fs::create_dir(&version_2).expect("it is writable");
    for name in names(sample.as_ref(), "") {
        std::fs::copy(Path::new(sample).join(&name), version_2.join(&name)).expect("a copy");
    }
    assert_eq!(names(&version_2, "snapshot.").len(), 6);

    let hour = Duration::from_secs(3600);
    for (auto_purge, kept) in [(None, 6), (Some(AutoPurge { every: hour, keep: 3 }), 3)] {
        let server = Running::start(ServerSettings { auto_purge, ..alone() }, dir.path()).await;
        let mut client = Client::open(&server.address).await;
        let before = client.ask(Request::GetChildren { path: "/".into(), watch: false }).await;
        assert!(before.is_ok());
        // The end waits for a purge that has begun, and the log takes its orders in turn.
        server.stop().await;
        assert_eq!(names(&version_2, "snapshot.").len(), kept);
    }
    assert_eq!(names(&version_2, "snapshot."), ["snapshot.87", "snapshot.b6", "snapshot.f1"]);
    let logs = names(&version_2, "log.");
    // The oldest snapshot that is kept needs 0x88, which stands in the first of them.
    assert_eq!(logs[..4], ["log.68", "log.89", "log.b8", "log.f3"]);

    let server = Running::start(alone(), dir.path()).await;
    let mut client = Client::open(&server.address).await;
    assert!(client.ask(create("/a", b"one")).await.is_ok());
    server.stop().await;
}

/// Ports that were free a moment ago.
fn free_ports(count: usize) -> Vec<u16> {
    let listeners: Vec<_> = (0..count)
        .map(|_| std::net::TcpListener::bind("127.0.0.1:0").expect("a port is free"))
        .collect();
    listeners.iter().map(|l| l.local_addr().expect("it is bound").port()).collect()
}

#[tokio::test]
async fn three_servers_elect_write_and_survive_the_leader() {
    let ports = free_ports(6);
    let member = |index: usize| Member {
        host: "127.0.0.1".into(),
        quorum_port: ports[2 * index],
        election_port: ports[2 * index + 1],
        role: MemberRole::Participant,
        client: None,
    };
    let members = (0..3).map(|index| (ServerId(index as i64 + 1), member(index))).collect();
    let ensemble = Ensemble { members, hierarchy: None, version: 0 };
    let settings = |id| {
        let mut settings = ServerSettings::new(Config::new(ServerId(id), ensemble.clone()));
        settings.config.tick = Duration::from_millis(200);
        settings.client = Some(Address::new("127.0.0.1", 0));
        settings.storage.prealloc_bytes = 1 << 16;
        settings
    };
    let dirs = [temporary(), temporary(), temporary()];
    let mut servers = Vec::new();
    for (id, dir) in (1..).zip(&dirs) {
        servers.push(Running::start(settings(id), dir.path()).await);
    }
    let mut client = Client::open(&servers[0].address).await;
    assert_eq!(client.ask(create("/a", b"one")).await, Ok(Response::Path("/a".into())));
    let mut other = Client::open(&servers[1].address).await;
    assert!(other.ask(Request::Sync { path: "/".into() }).await.is_ok());
    assert_eq!(data_of(other.ask(get("/a")).await), b"one");

    // The highest id leads among equals; the two others go on without it.
    servers.pop().expect("there are three").stop().await;
    let mut client = Client::open(&servers[0].address).await;
    assert_eq!(data_of(client.ask(get("/a")).await), b"one");
    assert_eq!(client.ask(create("/b", b"two")).await, Ok(Response::Path("/b".into())));

    // Back again, it catches up.
    servers.push(Running::start(settings(3), dirs[2].path()).await);
    let mut late = Client::open(&servers[2].address).await;
    assert!(late.ask(Request::Sync { path: "/".into() }).await.is_ok());
    assert_eq!(data_of(late.ask(get("/b")).await), b"two");
    for server in servers {
        server.stop().await;
    }
}
