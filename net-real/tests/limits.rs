//! Limits on real sockets: what a stranger runs into, while others are served. The rules are tested in
//! core.

#![cfg(not(madsim))]

mod common;

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::sleep;

use zebu_core::config::LargeRequests;
use zebu_core::proto::{Request, Response};
use zebu_net_real::settings::Address;

use common::running::{Running, alone, temporary};
use common::{Client, connect, create, data_of, get, soon};

/// The other end closes, and says nothing before.
async fn closes(what: &str, stream: &mut TcpStream) {
    let mut answer = Vec::new();
    // A reset is an end too: it closed over bytes that it did not read.
    let _ = soon(what, stream.read_to_end(&mut answer)).await;
    assert!(answer.is_empty(), "{what}: {answer:?}");
}

/// A request frame of `length` bytes: exists of `/`, and bytes that nobody looks at.
fn exists(length: usize) -> Vec<u8> {
    let mut frame = (length as i32).to_be_bytes().to_vec();
    frame.extend_from_slice(&[0, 0, 0, 9, 0, 0, 0, 3, 0, 0, 0, 1, b'/', 0]);
    frame.resize(4 + length, 0);
    frame
}

#[tokio::test]
async fn a_frame_may_be_as_long_as_jute_maxbuffer_and_no_longer() {
    const MAX: usize = 2000;
    let dir = temporary();
    let mut settings = alone();
    settings.config.limits.frame_max = MAX;
    let server = Running::start(settings, dir.path()).await;
    let mut good = Client::open(&server.address).await;
    let mut client = Client::open(&server.address).await;
    client.stream.write_all(&exists(MAX)).await.expect("it is open");
    let mut answer = [0; 4 + 16 + 68];
    let read = soon("an answer", client.stream.read_exact(&mut answer)).await;
    assert!(read.is_ok() && answer[16..20] == [0; 4], "{answer:?}");
    // It need not wait for the rest.
    client.stream.write_all(&exists(MAX + 1)[..4]).await.expect("it is open");
    closes("one byte too many", &mut client.stream).await;

    let mut stranger = connect(&server.address).await;
    stranger.write_all(&(MAX as i32 + 1).to_be_bytes()).await.expect("it is open");
    closes("a hello too long", &mut stranger).await;
    assert!(good.ask(create("/a", b"x")).await.is_ok());
    server.stop().await;
}

#[tokio::test]
async fn a_hello_that_dribbles_in_is_waited_for_no_longer_than_silence() {
    let dir = temporary();
    let mut settings = alone();
    settings.handshake_timeout = Duration::from_millis(300);
    let server = Running::start(settings, dir.path()).await;
    let mut stranger = connect(&server.address).await;
    let (mut read, mut write) = stranger.split();
    let dribble = async {
        write.write_all(&45i32.to_be_bytes()).await.expect("it is open");
        // For as long as anybody listens.
        while write.write_all(&[0]).await.is_ok() {
            sleep(Duration::from_millis(150)).await;
        }
    };
    let mut answer = Vec::new();
    let end = async { drop(read.read_to_end(&mut answer).await) };
    // 45 bytes would take 7 seconds, and then be answered.
    soon("an end", async { tokio::join!(dribble, end) }).await;
    assert!(answer.is_empty(), "{answer:?}");
    let mut good = Client::open(&server.address).await;
    assert!(good.ask(create("/a", b"x")).await.is_ok());
    server.stop().await;
}

#[tokio::test]
async fn an_ipv4_address_is_the_same_on_a_socket_of_ipv6() {
    let dir = temporary();
    let mut settings = alone();
    settings.client = Some(Address::new("0.0.0.0", 0));
    settings.config.limits.conns_per_address_max = 2;
    let server = Running::start(settings, dir.path()).await;
    let mapped = Address::new("::ffff:127.0.0.1", server.address.port);
    let mut one = Client::open(&server.address).await;
    let Some(mut two) = Client::try_open(&mapped).await else {
        // This machine has no IPv6.
        return server.stop().await;
    };
    for address in [&server.address, &mapped] {
        closes("a third connection", &mut connect(address).await).await;
    }
    for client in [&mut one, &mut two] {
        assert!(client.ask(Request::WhoAmI).await.is_ok());
    }
    server.stop().await;
}

#[tokio::test]
async fn large_requests_share_a_number_of_bytes() {
    let dir = temporary();
    let mut settings = alone();
    settings.config.admission.large = LargeRequests { threshold: Some(1000), bytes_max: 5000 };
    let server = Running::start(settings, dir.path()).await;
    let mut good = Client::open(&server.address).await;
    let data: &'static [u8] = vec![7; 4000].leak();
    // Each is dealt with before the next one comes.
    for n in 0..3 {
        assert!(good.ask(create(&format!("/n{n}"), data)).await.is_ok());
    }
    // Together they are too many, and the connection is closed somewhere among them.
    let mut greedy = Client::open(&server.address).await;
    let requests: Vec<_> =
        (0..50).map(|n| greedy.request(create(&format!("/m{n}"), data))).collect();
    greedy.send(&requests).await;
    while greedy.next().await.is_some() {}
    // One that says it is too large is not waited for.
    let mut larger = Client::open(&server.address).await;
    larger.stream.write_all(&5001i32.to_be_bytes()).await.expect("it is open");
    closes("a request too large for all", &mut larger.stream).await;
    // Nothing of that is held against the others.
    assert!(good.ask(create("/again", data)).await.is_ok());
    server.stop().await;
}

#[tokio::test]
async fn over_the_outstanding_limit_everybody_is_served_in_turn() {
    const REQUESTS: usize = 60;
    let dir = temporary();
    let mut settings = alone();
    settings.config.limits.outstanding_max = 2;
    let server = Running::start(settings, dir.path()).await;
    let mut clients = Vec::new();
    for _ in 0..20 {
        clients.push(Client::open(&server.address).await);
    }
    for (c, client) in clients.iter_mut().enumerate() {
        let requests: Vec<_> =
            (0..REQUESTS).map(|n| client.request(create(&format!("/c{c}n{n}"), b"x"))).collect();
        client.send(&requests).await;
    }
    for (c, client) in clients.iter_mut().enumerate() {
        for n in 0..REQUESTS {
            assert_eq!(client.answer().await, Ok(Response::Path(format!("/c{c}n{n}"))));
        }
    }
    server.stop().await;
}

#[tokio::test]
async fn a_client_that_never_reads_holds_up_only_itself() {
    let dir = temporary();
    let mut settings = alone();
    settings.config.limits.unread_pause = 1 << 20;
    settings.config.limits.conn_queue_max = 50;
    let server = Running::start(settings, dir.path()).await;
    let mut good = Client::open(&server.address).await;
    let data: &'static [u8] = vec![7; 500_000].leak();
    assert!(good.ask(create("/big", data)).await.is_ok());
    let mut deaf = Client::open(&server.address).await;
    let requests: Vec<_> = (0..4000).map(|_| deaf.request(get("/big"))).collect();
    deaf.send(&requests).await;
    for n in 0..20 {
        assert_eq!(data_of(good.ask(get("/big")).await), data);
        assert!(good.ask(create(&format!("/n{n}"), b"x")).await.is_ok());
    }
    assert!(good.ask(create("/still", b"x")).await.is_ok());
    server.stop().await;
}

#[tokio::test]
async fn connections_wait_while_there_are_no_files_for_them() {
    const PLACES: usize = 5;
    let dir = temporary();
    let mut settings = alone();
    let files = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    let files = usize::try_from(files.current.expect("there is a limit")).expect("it fits");
    settings.bounds.spare_files = files - PLACES;
    let server = Running::start(settings, dir.path()).await;
    let mut good = Client::open(&server.address).await;
    let mut others = Vec::new();
    for _ in 1..PLACES {
        others.push(Client::open(&server.address).await);
    }
    // The system takes it, the server does not.
    let address = server.address.clone();
    let late = tokio::spawn(async move { Client::open(&address).await });
    assert!(good.ask(create("/a", b"x")).await.is_ok());
    assert!(!late.is_finished());
    others.pop();
    let mut late = soon("a place", late).await.expect("it did not panic");
    assert_eq!(data_of(late.ask(get("/a")).await), b"x");
    server.stop().await;
}
