//! Limits of a server as its clients meet them: who is let in, what has to wait, what is dropped, who
//! is cut off; and that everybody else is served meanwhile. Disk and sockets are as slow as a test
//! wants them.

use std::collections::BTreeMap;

use bytes::Bytes;
use zebu_core::config::{Config, ConnectionThrottle, Ensemble, Member, MemberRole};
use zebu_core::ids::{ConnId, ServerId, SessionId, Xid, Zxid};
use zebu_core::ops::MULTI_READ_MAX;
use zebu_core::proto::{
    Acl, ClientMessage, ClientRequest, ConnectRequest, CreateRequest, ErrorCode, Request, Response,
};
use zebu_core::server::{Action, CloseReason, Event, Recovered, Server, Ticket};
use zebu_core::time::{Duration, Instant, Now, WallTime};

fn ensemble(voters: i64) -> Ensemble {
    let member = |id| {
        let host = "127.0.0.1".into();
        let role = MemberRole::Participant;
        (ServerId(id), Member { host, quorum_port: 1, election_port: 2, role, client: None })
    };
    Ensemble { members: (1..=voters).map(member).collect(), hierarchy: None, version: 0 }
}

/// A server alone, its disk and its sockets.
struct Desk {
    server: Server,
    now_ms: u64,
    /// Nothing becomes durable meanwhile.
    disk_hangs: bool,
    written: Option<Ticket>,
    replies: BTreeMap<u64, Vec<ClientMessage>>,
    closed: Vec<(u64, CloseReason)>,
    /// Core waits for them to drain.
    awaited: Vec<u64>,
}

impl Desk {
    fn new(change: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config::new(ServerId(1), ensemble(1));
        change(&mut config);
        let nothing = Recovered::default();
        let now_ms = 1000;
        let mut desk = Self {
            server: Server::new(config, nothing, now(now_ms)),
            now_ms,
            disk_hangs: false,
            written: None,
            replies: BTreeMap::new(),
            closed: Vec::new(),
            awaited: Vec::new(),
        };
        desk.act();
        desk
    }

    fn handle(&mut self, event: Event) {
        self.server.handle(now(self.now_ms), event);
        self.act();
    }

    fn act(&mut self) {
        loop {
            while let Some(action) = self.server.poll() {
                match action {
                    Action::Reply { conn, message } => {
                        self.replies.entry(conn.0).or_default().push(message);
                    }
                    Action::AwaitDrained { conn } => self.awaited.push(conn.0),
                    Action::CloseConn { conn, why } => self.closed.push((conn.0, why)),
                    Action::Store { ticket, .. } => self.written = Some(ticket),
                    Action::Halt { why } => panic!("halts: {why}"),
                    _ => {}
                }
            }
            if self.disk_hangs {
                return;
            }
            let Some(upto) = self.written.take() else { return };
            self.server.handle(now(self.now_ms), Event::Durable { upto });
        }
    }

    fn disk_goes_on(&mut self) {
        self.disk_hangs = false;
        self.act();
    }

    fn pass(&mut self, ms: u64) {
        self.now_ms += ms;
        if self.server.deadline().is_some_and(|at| at <= now(self.now_ms).mono) {
            self.handle(Event::Wake);
        }
    }

    fn open_from(&mut self, conn: u64, ip: &str) {
        self.handle(Event::ConnOpen { conn: ConnId(conn), ip: ip.into(), port: 9 });
    }
    fn greet(&mut self, conn: u64, session: SessionId) {
        self.open_from(conn, "10.0.0.1");
        let connect = ConnectRequest {
            protocol_version: 0,
            last_zxid_seen: Zxid::ZERO,
            timeout_ms: 6000,
            session,
            password: Bytes::copy_from_slice(&zebu_core::session::password(session)),
            read_only: Some(false),
        };
        let request = ClientRequest::Connect(connect);
        self.handle(Event::Client { conn: ConnId(conn), request });
    }
    fn connect(&mut self, conn: u64) -> SessionId {
        self.greet(conn, SessionId(0));
        match self.replies(conn).as_slice() {
            [ClientMessage::Connected(response)] => response.session,
            other => panic!("expected a session, got {other:?}"),
        }
    }
    fn gone(&mut self, conn: u64) {
        self.handle(Event::ConnGone { conn: ConnId(conn) });
    }
    fn drained(&mut self, conn: u64) {
        self.awaited.retain(|awaited| *awaited != conn);
        self.handle(Event::ConnDrained { conn: ConnId(conn) });
    }
    fn send(&mut self, conn: u64, xid: i32, request: Request) {
        let request = ClientRequest::Request { xid: Xid(xid), request };
        self.handle(Event::Client { conn: ConnId(conn), request });
    }
    fn replies(&mut self, conn: u64) -> Vec<ClientMessage> {
        self.replies.remove(&conn).unwrap_or_default()
    }
    /// What a connection was sent: `xid`, `xid error`, or `event`.
    fn told(&mut self, conn: u64) -> Vec<String> {
        let line = |message: &ClientMessage| match message {
            ClientMessage::Reply { xid, result: Ok(_), .. } => format!("{}", xid.0),
            ClientMessage::Reply { xid, result: Err(code), .. } => format!("{} {code}", xid.0),
            ClientMessage::Event { .. } => "event".into(),
            other => format!("{other:?}"),
        };
        self.replies(conn).iter().map(line).collect()
    }
}

fn now(ms: u64) -> Now {
    Now { mono: Instant::from_millis(ms), wall: WallTime(ms as i64) }
}

fn create(path: &str, bytes: usize) -> Request {
    let data = Some(vec![7; bytes].into());
    Request::Create(CreateRequest { path: path.into(), data, acl: Acl::open(), flags: 0 })
}
fn get(path: &str) -> Request {
    Request::GetData { path: path.into(), watch: false }
}
fn exists(path: &str) -> Request {
    Request::Exists { path: path.into(), watch: true }
}

// ---- connections ----

#[test]
fn as_many_connections_of_one_address_as_may_be() {
    let mut desk = Desk::new(|config| config.limits.conns_per_address_max = 2);
    for conn in 1..=3 {
        desk.open_from(conn, "10.0.0.1");
    }
    assert_eq!(desk.closed, [(3, CloseReason::TooManyConnections)]);
    desk.open_from(4, "10.0.0.2");
    desk.gone(3);
    desk.gone(1);
    for conn in 5..=6 {
        desk.open_from(conn, "10.0.0.1");
    }
    assert_eq!(desk.closed[1..], [(6, CloseReason::TooManyConnections)]);
}

#[test]
fn as_many_connections_in_all_as_may_be() {
    let mut desk = Desk::new(|config| config.limits.conns_max = 2);
    for (conn, ip) in [(1, "10.0.0.1"), (2, "10.0.0.2"), (3, "10.0.0.3")] {
        desk.open_from(conn, ip);
    }
    assert_eq!(desk.closed, [(3, CloseReason::ServerFull)]);
    desk.gone(2);
    desk.connect(4);
    assert_eq!(desk.closed.len(), 1);
}

#[test]
fn sessions_come_no_faster_than_tokens() {
    let mut desk = Desk::new(|config| {
        config.admission.connections = ConnectionThrottle {
            tokens_max: 2,
            fill_time: Duration::from_millis(100),
            ..ConnectionThrottle::default()
        };
    });
    let session = desk.connect(1);
    desk.connect(2);
    desk.greet(3, SessionId(0));
    // A renewal costs a token too.
    desk.greet(4, session);
    assert_eq!(desk.closed, [(3, CloseReason::Throttled), (4, CloseReason::Throttled)]);
    // Who has a session is not held up by that.
    desk.send(1, 1, create("/a", 0));
    assert_eq!(desk.told(1), ["1"]);
    desk.pass(101);
    desk.connect(5);
}

// ---- requests ----

#[test]
fn the_limit_of_an_ensemble_is_shared_by_its_servers() {
    let share = |voters| Config::new(ServerId(1), ensemble(voters)).outstanding_limit();
    assert_eq!([1, 2, 3, 5].map(share), [1000, 1000, 500, 250]);
}

/// At most two requests are carried out at once.
fn crowded(change: impl FnOnce(&mut Config)) -> Desk {
    let mut desk = Desk::new(|config| {
        config.admission.requests.requests_max = 2;
        change(config);
    });
    desk.connect(1);
    desk.connect(2);
    desk.send(2, 1, create("/there", 0));
    assert_eq!(desk.told(2), ["1"]);
    desk.disk_hangs = true;
    desk
}

#[test]
fn what_is_too_much_waits_in_its_order() {
    let mut desk = crowded(|_| {});
    for xid in 1..=6 {
        desk.send(1, xid, create(&format!("/n{xid}"), 0));
    }
    assert_eq!(desk.server.in_process(), 2);
    desk.send(2, 2, get("/there"));
    desk.send(2, 3, exists("/n6"));
    assert_eq!(desk.told(2), [""; 0]);
    desk.disk_goes_on();
    assert_eq!(desk.told(1), ["1", "2", "3", "4", "5", "6"]);
    // It was not behind all that: each has its turn.
    assert_eq!(desk.told(2), ["2", "3 NO_NODE", "event"]);
    assert_eq!(desk.server.in_process(), 0);
}

#[test]
fn what_waited_too_long_is_not_carried_out() {
    let mut desk =
        crowded(|config| config.admission.requests.throttled_op_wait = Duration::from_millis(50));
    for xid in 1..=3 {
        desk.send(1, xid, create(&format!("/n{xid}"), 0));
    }
    desk.pass(50);
    desk.send(1, 4, create("/n4", 0));
    desk.send(1, -2, Request::Ping);
    desk.send(2, 2, get("/there"));
    desk.pass(50);
    desk.disk_goes_on();
    // 3 waited 100 ms, the others 50: not longer than they may.
    assert_eq!(desk.told(1), ["1", "2", "3 THROTTLED_OP", "4", "-2"]);
    assert_eq!(desk.told(2), ["2"]);
    desk.disk_hangs = true;
    for xid in 5..=6 {
        desk.send(1, xid, create(&format!("/n{xid}"), 0));
    }
    desk.send(1, -2, Request::Ping);
    desk.send(1, 7, Request::Sync { path: "/".into() });
    desk.send(1, 8, Request::CloseSession);
    desk.pass(51);
    desk.disk_goes_on();
    assert_eq!(desk.told(1), ["5", "6", "-2", "7 THROTTLED_OP", "8"]);
    desk.send(2, 3, get("/n3"));
    assert_eq!(desk.told(2), ["3 NO_NODE"]);
}

#[test]
fn what_a_closed_connection_left_behind_is_dropped_unless_it_is_to_be_kept() {
    for (checked, expected) in [(true, "3 NO_NODE"), (false, "3")] {
        let mut desk = crowded(|config| config.admission.requests.stale_connection = checked);
        for xid in 1..=3 {
            desk.send(1, xid, create(&format!("/n{xid}"), 0));
        }
        desk.send(1, 4, get("/there"));
        desk.gone(1);
        // What was carried out already is counted until it is through.
        assert_eq!(desk.server.in_process(), 2);
        desk.disk_goes_on();
        assert_eq!(desk.server.in_process(), 0);
        for (xid, path) in [(2, "/n2"), (3, "/n3")] {
            desk.send(2, xid, get(path));
        }
        assert_eq!(desk.told(2), ["2", expected]);
    }
}

#[test]
fn a_session_that_was_to_be_closed_is_though_its_connection_went_first() {
    let mut desk = crowded(|_| {});
    let ephemeral = CreateRequest { path: "/e".into(), data: None, acl: Acl::open(), flags: 1 };
    desk.disk_goes_on();
    desk.send(1, 1, Request::Create(ephemeral));
    desk.disk_hangs = true;
    desk.send(2, 2, create("/a", 0));
    desk.send(2, 3, create("/b", 0));
    desk.send(1, 2, Request::CloseSession);
    desk.gone(1);
    desk.disk_goes_on();
    desk.send(2, 4, get("/e"));
    assert_eq!(desk.told(2), ["2", "3", "4 NO_NODE"]);
}

#[test]
fn a_request_older_than_its_session_is_dropped_with_its_connection() {
    let mut desk = crowded(|config| {
        // The sessions live on, so that the request is what is too old.
        config.admission.requests.stale_latency = true;
    });
    desk.send(2, 2, create("/a", 0));
    desk.send(2, 3, create("/b", 0));
    desk.send(1, 1, create("/c", 0));
    desk.send(1, 2, create("/d", 0));
    desk.now_ms += 6000;
    desk.handle(Event::Wake);
    assert!(!desk.closed.contains(&(1, CloseReason::Stale)), "not older yet: {:?}", desk.closed);
    desk.now_ms += 1;
    desk.handle(Event::Wake);
    assert_eq!(desk.closed, [(1, CloseReason::Stale)]);
    desk.disk_goes_on();
    let session = desk.server.database().tree.get("/c").is_none();
    assert!(session && desk.server.database().tree.get("/d").is_none());
    assert!(desk.server.database().tree.get("/b").is_some());
}

#[test]
fn without_a_limit_of_its_own_the_service_still_has_one() {
    let mut desk = Desk::new(|config| config.limits.outstanding_max = 10);
    let session = desk.connect(1);
    desk.disk_hangs = true;
    let mut conn = 1;
    for xid in 0..5000 {
        desk.send(conn, xid, create(&format!("/n{xid}"), 0));
        // A new connection may always bring one request.
        if xid % 10 == 9 {
            desk.gone(conn);
            conn += 1;
            desk.greet(conn, session);
        }
    }
    assert_eq!(desk.server.in_process(), 4000);
    desk.disk_goes_on();
    assert_eq!(desk.server.in_process(), 0);
}

// ---- clients that do not read ----

/// Three replies of `/big` are more than may be on their way.
fn unread(change: impl FnOnce(&mut Config)) -> Desk {
    let mut desk = Desk::new(|config| {
        config.limits.unread_pause = 25_000;
        change(config);
    });
    desk.connect(1);
    desk.connect(2);
    desk.send(2, 1, create("/big", 10_000));
    assert_eq!(desk.told(2), ["1"]);
    desk
}

#[test]
fn answers_wait_for_a_client_that_does_not_read() {
    let mut desk = unread(|_| {});
    for xid in 1..=8 {
        desk.send(1, xid, get("/big"));
    }
    assert_eq!(desk.told(1), ["1", "2", "3"]);
    assert_eq!(desk.awaited, [1]);
    // It waits for itself: nobody else has to.
    assert_eq!(desk.server.in_process(), 0);
    desk.send(2, 2, get("/big"));
    assert_eq!(desk.told(2), ["2"]);
    desk.drained(1);
    assert_eq!(desk.told(1), ["4", "5", "6"]);
    desk.drained(1);
    assert_eq!(desk.told(1), ["7", "8"]);
    assert!(desk.awaited.is_empty());
}

#[test]
fn a_read_that_waits_for_its_client_does_not_see_that_client_s_later_write() {
    let mut desk = unread(|_| {});
    for xid in 1..=4 {
        desk.send(1, xid, get("/big"));
    }
    let write = Request::SetData { path: "/big".into(), data: None, version: -1 };
    desk.send(1, 5, write);
    desk.send(1, 6, get("/big"));
    assert_eq!(desk.told(1), ["1", "2", "3"]);
    desk.drained(1);
    let lengths: Vec<_> = desk
        .replies(1)
        .into_iter()
        .map(|message| match message {
            ClientMessage::Reply { xid, result: Ok(Response::Data { data, .. }), .. } => {
                (xid.0, data.map_or(0, |data| data.len()))
            }
            ClientMessage::Reply { xid, .. } => (xid.0, 0),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(lengths, [(4, 10_000), (5, 0), (6, 0)]);
}

#[test]
fn few_reads_stand_before_a_write_that_is_on_its_way() {
    let mut desk = unread(|_| {});
    desk.disk_hangs = true;
    desk.send(1, 1, create("/a", 0));
    for xid in 2..=101 {
        desk.send(1, xid, get("/big"));
    }
    // It has to stay: all the reads before it would have to be answered at once.
    desk.send(1, 102, create("/b", 0));
    desk.send(1, 103, get("/b"));
    desk.disk_goes_on();
    let mut told = desk.told(1);
    assert!(told.len() < 10, "{told:?}");
    while !desk.awaited.is_empty() {
        desk.drained(1);
        told.extend(desk.told(1));
    }
    let expected: Vec<_> = (1..=103).map(|xid| format!("{xid}")).collect();
    assert_eq!(told, expected);

    // With few reads it does not have to, and they are answered though nobody takes the answers.
    desk.disk_hangs = true;
    desk.send(1, 1, create("/c", 0));
    for xid in 2..=10 {
        desk.send(1, xid, get("/big"));
    }
    desk.send(1, 11, create("/d", 0));
    desk.send(1, 12, get("/big"));
    desk.disk_goes_on();
    let expected: Vec<_> = (1..=11).map(|xid| format!("{xid}")).collect();
    assert_eq!(desk.told(1), expected);
    desk.drained(1);
    assert_eq!(desk.told(1), ["12"]);
}

#[test]
fn a_client_that_leaves_events_unread_is_cut() {
    let mut desk = unread(|config| config.limits.unread_max = 50_000);
    for n in 0..1000 {
        desk.send(1, n, exists(&format!("/n{n}")));
        if desk.awaited.contains(&1) {
            desk.drained(1);
        }
    }
    desk.drained(1);
    desk.replies(1);
    for n in 0..1000 {
        desk.send(2, n, create(&format!("/n{n}"), 0));
        if desk.awaited.contains(&2) {
            desk.drained(2);
        }
    }
    assert_eq!(desk.closed, [(1, CloseReason::Unread)]);
    let events = desk.told(1).len();
    assert!((300..600).contains(&events), "{events}");
    assert_eq!(desk.told(2).len(), 1000);
}

#[test]
fn one_request_cannot_ask_for_more_than_there_is_memory() {
    let mut desk = Desk::new(|_| {});
    desk.connect(1);
    desk.send(1, 1, create("/big", 1 << 20));
    let parts = |count| Request::MultiRead(vec![get("/big"); count]);
    desk.send(1, 2, parts(MULTI_READ_MAX >> 20));
    desk.send(1, 3, parts(10));
    desk.send(1, 4, get("/big"));
    desk.drained(1);
    let answers: Vec<_> = desk.replies(1);
    let results: Vec<_> = answers
        .iter()
        .map(|message| match message {
            ClientMessage::Reply { result: Err(code), .. } => Err(*code),
            _ => Ok(()),
        })
        .collect();
    assert_eq!(results, [Ok(()), Err(ErrorCode::MARSHALLING_ERROR), Ok(()), Ok(())]);
}
