//! A client against a server played by hand.

use alloc::vec;
use alloc::vec::Vec;

use proptest::prelude::*;

use super::*;
use crate::proto::{EventKind, SetWatches, Stat};

const SESSION: SessionId = SessionId(0x0100_0123_4567_0000);
const PASSWORD: [u8; 16] = [7; 16];
const TIMEOUT: Duration = Duration::from_secs(6);

struct Play {
    client: Client,
    now: Instant,
}

/// What of the client's actions a test looks at.
fn sent(actions: &[ClientAction]) -> Vec<(i32, Request)> {
    let sent = |action: &ClientAction| match action {
        ClientAction::Send(ClientRequest::Request { xid, request }) => {
            Some((xid.0, request.clone()))
        }
        _ => None,
    };
    actions.iter().filter_map(sent).collect()
}
fn completed(actions: &[ClientAction]) -> Vec<(u64, Outcome)> {
    let completed = |action: &ClientAction| match action {
        ClientAction::Completed { call, outcome } => Some((call.0, outcome.clone())),
        _ => None,
    };
    actions.iter().filter_map(completed).collect()
}
fn sessions(actions: &[ClientAction]) -> Vec<SessionEvent> {
    let session = |action: &ClientAction| match action {
        ClientAction::Session(event) => Some(*event),
        _ => None,
    };
    actions.iter().filter_map(session).collect()
}
fn dialled(actions: &[ClientAction]) -> Option<usize> {
    actions.iter().find_map(|action| match action {
        ClientAction::Connect { server } => Some(*server),
        _ => None,
    })
}
fn greeting(actions: &[ClientAction]) -> Option<ConnectRequest> {
    actions.iter().find_map(|action| match action {
        ClientAction::Send(ClientRequest::Connect(request)) => Some(request.clone()),
        _ => None,
    })
}

fn get(path: &str) -> Request {
    Request::GetData { path: path.into(), watch: false }
}
fn response(timeout_ms: i32, session: SessionId) -> ClientMessage {
    granted(timeout_ms, session, false)
}
fn granted(timeout_ms: i32, session: SessionId, read_only: bool) -> ClientMessage {
    ClientMessage::Connected(ConnectResponse {
        protocol_version: 0,
        timeout_ms,
        session,
        password: PASSWORD,
        read_only: Some(read_only),
    })
}
fn reply(xid: i32, zxid: i64, result: Result<Response, ErrorCode>) -> ClientMessage {
    ClientMessage::Reply { xid: Xid(xid), zxid, result }
}
fn ok(xid: i32, zxid: i64) -> ClientMessage {
    reply(xid, zxid, Ok(Response::Empty))
}
fn replied(zxid: i64) -> Outcome {
    Outcome::Replied { zxid, result: Ok(Response::Empty) }
}

impl Play {
    fn new(servers: usize, pipeline_max: usize) -> Self {
        let now = Instant::from_millis(1_000);
        let (session_timeout, read_only) = (TIMEOUT, false);
        let config = ClientConfig { servers, session_timeout, seed: 3, pipeline_max, read_only };
        Self { client: Client::new(config, now), now }
    }
    /// A client whose session stands.
    fn serving() -> Self {
        let mut play = Self::new(3, 100);
        play.greet(SESSION);
        play
    }
    fn drain(&mut self) -> Vec<ClientAction> {
        core::iter::from_fn(|| self.client.poll()).collect()
    }
    fn on(&mut self, event: ClientEvent) -> Vec<ClientAction> {
        self.client.handle(self.now, event);
        self.drain()
    }
    fn receive(&mut self, message: ClientMessage) -> Vec<ClientAction> {
        self.on(ClientEvent::Received(message))
    }
    fn submit(&mut self, request: Request) -> Vec<ClientAction> {
        self.client.submit(self.now, request);
        self.drain()
    }
    fn pass(&mut self, ms: u64) -> Vec<ClientAction> {
        self.now = self.now + Duration::from_millis(ms);
        self.on(ClientEvent::Wake)
    }
    /// To the next deadline.
    fn sleep(&mut self) -> Vec<ClientAction> {
        self.now = self.client.deadline().expect("it waits for something");
        self.on(ClientEvent::Wake)
    }
    /// The server takes the connection and grants `session`.
    fn greet(&mut self, session: SessionId) -> Vec<ClientAction> {
        let mut actions = self.on(ClientEvent::Connected);
        actions.extend(self.receive(response(6_000, session)));
        actions
    }
    /// The connection broke; the client waits, dials and is greeted.
    fn reconnect(&mut self, session: SessionId) -> Vec<ClientAction> {
        let mut actions = self.sleep();
        actions.extend(self.greet(session));
        actions
    }
}

#[test]
fn a_session_is_opened_and_renewed() {
    let mut play = Play::new(3, 100);
    let first = dialled(&play.drain()).unwrap();
    let asked = greeting(&play.on(ClientEvent::Connected)).unwrap();
    assert_eq!((asked.session, &asked.password[..]), (SessionId(0), &[0; 16][..]));
    assert_eq!((asked.timeout_ms, asked.last_zxid_seen), (6_000, Zxid::ZERO));
    let opened = sessions(&play.receive(response(5_000, SESSION)));
    assert_eq!(opened, [SessionEvent::Opened { session: SESSION, timeout_ms: 5_000 }]);

    play.submit(get("/a"));
    play.receive(ok(1, 77));
    assert_eq!(sessions(&play.on(ClientEvent::Disconnected)), [SessionEvent::Disconnected]);
    let second = dialled(&play.sleep()).unwrap();
    assert_ne!(second, first, "another server is tried");
    let asked = greeting(&play.on(ClientEvent::Connected)).unwrap();
    assert_eq!((asked.session, &asked.password[..]), (SESSION, &PASSWORD[..]));
    assert_eq!((asked.timeout_ms, asked.last_zxid_seen), (6_000, Zxid(77)));
    let resumed = sessions(&play.receive(response(6_000, SESSION)));
    assert_eq!(resumed, [SessionEvent::Resumed { session: SESSION }]);
}

#[test]
fn calls_wait_for_the_session_and_go_in_order() {
    let mut play = Play::new(1, 2);
    for path in ["/a", "/b", "/c"] {
        assert_eq!(sent(&play.submit(get(path))), []);
    }
    let first = sent(&play.greet(SESSION));
    assert_eq!(first, [(1, get("/a")), (2, get("/b"))], "two in flight");
    let actions = play.receive(ok(1, 5));
    assert_eq!(completed(&actions), [(0, replied(5))]);
    assert_eq!(sent(&actions), [(3, get("/c"))]);
    assert_eq!(play.client.pending(), [CallId(1), CallId(2)]);
}

#[test]
fn a_broken_connection_leaves_sent_calls_unknown_and_keeps_the_others() {
    let mut play = Play::new(3, 2);
    play.greet(SESSION);
    for path in ["/a", "/b", "/c"] {
        play.submit(get(path));
    }
    let broken = play.on(ClientEvent::Disconnected);
    assert_eq!(completed(&broken), [(0, Outcome::Unknown), (1, Outcome::Unknown)]);
    assert_eq!(sent(&play.reconnect(SESSION)), [(3, get("/c"))]);
    assert_eq!(completed(&play.receive(ok(3, 9))), [(2, replied(9))]);
    assert_eq!(play.client.pending(), []);
}

#[test]
fn a_reply_out_of_order_ends_the_connection() {
    for wrong in [2, 3] {
        let mut play = Play::serving();
        play.submit(get("/a"));
        play.submit(get("/b"));
        let actions = play.receive(ok(wrong, 9));
        assert_eq!(completed(&actions), [(0, Outcome::Unknown), (1, Outcome::Unknown)]);
        assert_eq!(actions[0], ClientAction::Disconnect);
        assert_eq!(play.client.last_zxid_seen(), Zxid::ZERO);
        assert_eq!(play.receive(ok(1, 9)), [], "what was under way counts for nothing");
    }
}

#[test]
fn zxids_are_learnt_from_replies_only() {
    let mut play = Play::serving();
    play.submit(get("/a"));
    play.submit(Request::Ping);
    play.submit(Request::Auth { scheme: "digest".into(), auth: Bytes::new().into() });
    let event = WatcherEvent { kind: EventKind::NodeCreated, path: "/a".into() };
    play.receive(ClientMessage::Event { zxid: 50, event });
    play.receive(ok(-2, 51));
    play.receive(ok(-4, 52));
    assert_eq!(play.client.last_zxid_seen(), Zxid::ZERO);
    play.receive(reply(1, 9, Err(ErrorCode::NO_NODE)));
    assert_eq!(play.client.last_zxid_seen(), Zxid(9), "a refusal tells it too");
    play.submit(get("/a"));
    play.receive(reply(2, -1, Err(ErrorCode::UNIMPLEMENTED)));
    assert_eq!(play.client.last_zxid_seen(), Zxid(9));
}

#[test]
fn pings_when_idle_and_leaves_a_silent_server() {
    let mut play = Play::serving();
    assert_eq!(sent(&play.pass(1_999)), []);
    assert_eq!(sent(&play.pass(1)), [(-2, Request::Ping)]);
    play.receive(ok(-2, 0));
    assert_eq!(sent(&play.pass(1_000)), []);
    play.submit(get("/a"));
    assert_eq!(sent(&play.pass(1_999)), [], "what is sent is as good as a ping");
    assert_eq!(sent(&play.pass(1)), [(-2, Request::Ping)]);
    // Heard last 3 seconds ago; 4 of 6 are the limit.
    assert_eq!(play.pass(999), []);
    let actions = play.pass(1);
    assert_eq!(actions[0], ClientAction::Disconnect);
    assert_eq!(sessions(&actions), [SessionEvent::Disconnected]);
}

#[test]
fn gives_every_server_its_share_of_the_time() {
    let mut play = Play::new(3, 1);
    let mut tried = vec![dialled(&play.drain()).unwrap()];
    for _ in 0..2 {
        assert_eq!(play.pass(1_999), [], "a third of the timeout for each");
        assert_eq!(play.pass(1), [ClientAction::Disconnect]);
        tried.push(dialled(&play.sleep()).unwrap());
    }
    tried.sort_unstable();
    assert_eq!(tried, [0, 1, 2]);
    play.on(ClientEvent::Connected);
    assert_eq!(play.pass(2_000), [ClientAction::Disconnect], "nor does a greeting take longer");
}

#[test]
fn an_expired_session_takes_its_calls_and_watches_with_it() {
    let mut play = Play::serving();
    play.submit(Request::GetData { path: "/a".into(), watch: true });
    play.receive(ok(1, 9));
    play.on(ClientEvent::Disconnected);
    play.submit(get("/b"));
    play.sleep();
    play.on(ClientEvent::Connected);
    let actions = play.receive(response(0, SessionId(0)));
    assert_eq!(sessions(&actions), [SessionEvent::Expired { session: SESSION }]);
    assert_eq!(completed(&actions), [(1, Outcome::NotSent)]);
    assert_eq!(play.client.session(), None);

    play.sleep();
    let asked = greeting(&play.on(ClientEvent::Connected)).unwrap();
    assert_eq!((asked.session, asked.last_zxid_seen), (SessionId(0), Zxid::ZERO));
    let next = SessionId(8);
    let actions = play.receive(response(6_000, next));
    let opened = SessionEvent::Opened { session: next, timeout_ms: 6_000 };
    assert_eq!(actions, [ClientAction::Session(opened)], "and no watches are set again");
}

#[test]
fn another_session_than_asked_for_is_reported() {
    let mut play = Play::serving();
    play.on(ClientEvent::Disconnected);
    let opened = SessionEvent::Opened { session: SessionId(8), timeout_ms: 6_000 };
    assert_eq!(sessions(&play.reconnect(SessionId(8))), [opened]);
}

#[test]
fn watches_are_set_again_before_any_call() {
    let mut play = Play::serving();
    let watched = |path: &str| Request::Exists { path: path.into(), watch: true };
    play.submit(watched("/here"));
    play.submit(watched("/gone"));
    play.submit(watched("/seen"));
    play.receive(reply(1, 7, Ok(Response::Stat(Stat::default()))));
    play.receive(reply(2, 8, Err(ErrorCode::NO_NODE)));
    play.receive(reply(3, 9, Err(ErrorCode::NO_NODE)));
    let event = WatcherEvent { kind: EventKind::NodeCreated, path: "/seen".into() };
    let watch = ClientMessage::Event { zxid: 10, event: event.clone() };
    assert_eq!(play.receive(watch), [ClientAction::Watch { zxid: 10, event }]);
    play.on(ClientEvent::Disconnected);
    play.submit(get("/a"));
    let set = SetWatches {
        relative_zxid: Zxid(9),
        data: vec!["/here".into()],
        exist: vec!["/gone".into()],
        child: vec![],
        persistent: vec![],
        persistent_recursive: vec![],
    };
    let expected = [(-8, Request::SetWatches(set)), (4, get("/a"))];
    assert_eq!(sent(&play.reconnect(SESSION)), expected);
    assert_eq!(completed(&play.receive(ok(-8, 11))), [], "not a call");
    assert_eq!(completed(&play.receive(ok(4, 12))), [(3, replied(12))]);
}

#[test]
fn identities_are_presented_to_every_server_unless_refused() {
    let mut play = Play::serving();
    let auth = |scheme: &str| Request::Auth { scheme: scheme.into(), auth: Bytes::new().into() };
    assert_eq!(sent(&play.submit(auth("digest"))), [(-4, auth("digest"))]);
    assert_eq!(completed(&play.receive(ok(-4, 0))), [(0, replied(0))]);
    play.submit(auth("nonsense"));
    let refused = play.receive(reply(-4, 0, Err(ErrorCode::AUTH_FAILED)));
    let outcome = Outcome::Replied { zxid: 0, result: Err(ErrorCode::AUTH_FAILED) };
    assert_eq!(completed(&refused), [(1, outcome)]);
    play.on(ClientEvent::Disconnected);
    assert_eq!(sent(&play.reconnect(SESSION)), [(-4, auth("digest"))]);
    assert_eq!(play.receive(ok(-4, 0)), [], "not a call");
}

#[test]
fn close_session_is_the_last_word() {
    let mut play = Play::serving();
    play.submit(Request::CloseSession);
    assert_eq!(sent(&play.submit(get("/a"))), [], "nothing follows a closeSession");
    let actions = play.receive(ok(1, 9));
    assert_eq!(completed(&actions), [(0, replied(9)), (1, Outcome::NotSent)]);
    assert_eq!(sessions(&actions), [SessionEvent::Closed]);
    assert!(actions.contains(&ClientAction::Disconnect));
    assert_eq!(completed(&play.submit(get("/b"))), [(2, Outcome::NotSent)]);
    assert_eq!(play.client.deadline(), None);
    assert_eq!(play.on(ClientEvent::Disconnected), []);
}

#[test]
fn a_close_that_was_not_answered_is_not_tried_again() {
    let mut play = Play::serving();
    play.submit(Request::CloseSession);
    let actions = play.on(ClientEvent::Disconnected);
    assert_eq!(completed(&actions), [(0, Outcome::Unknown)]);
    assert_eq!(sessions(&actions), [SessionEvent::Disconnected, SessionEvent::Closed]);
    assert_eq!(play.client.deadline(), None);
}

#[test]
fn a_close_that_was_not_sent_waits_for_the_session() {
    let mut play = Play::serving();
    play.on(ClientEvent::Disconnected);
    play.submit(Request::CloseSession);
    play.sleep();
    play.on(ClientEvent::Connected);
    let mut expired = Play { client: play.client.clone(), now: play.now };
    assert_eq!(sent(&play.receive(response(6_000, SESSION))), [(1, Request::CloseSession)]);
    let actions = expired.receive(response(0, SessionId(0)));
    assert_eq!(completed(&actions), [(0, Outcome::NotSent)]);
    let gone = SessionEvent::Expired { session: SESSION };
    assert_eq!(sessions(&actions), [gone, SessionEvent::Closed]);
    assert_eq!(expired.client.deadline(), None);
}

#[test]
fn a_hop_goes_to_the_next_server_at_once() {
    let mut play = Play::new(3, 100);
    let first = dialled(&play.drain()).unwrap();
    play.greet(SESSION);
    play.submit(get("/a"));
    play.client.hop(play.now);
    let actions = play.drain();
    assert_eq!(actions[0], ClientAction::Disconnect);
    assert_eq!(completed(&actions), [(0, Outcome::Unknown)]);
    assert_eq!(sessions(&actions), [SessionEvent::Disconnected]);
    assert_ne!(dialled(&actions).unwrap(), first);
    assert_eq!(sessions(&play.greet(SESSION)), [SessionEvent::Resumed { session: SESSION }]);
}

#[derive(Clone, Debug)]
enum Step {
    Submit,
    Close,
    Hop,
    Wake(u64),
    Connected,
    Greeted(bool),
    Answer,
    Wrong,
    Broken,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => Just(Step::Submit),
        1 => Just(Step::Close),
        1 => Just(Step::Hop),
        4 => (0u64..3_000).prop_map(Step::Wake),
        4 => Just(Step::Connected),
        4 => any::<bool>().prop_map(Step::Greeted),
        6 => Just(Step::Answer),
        1 => Just(Step::Wrong),
        2 => Just(Step::Broken),
    ]
}

proptest! {
    /// Whatever happens: a call is completed at most once, in the order of calls as long as all are
    /// in one queue, and what is pending and what is completed make up what was submitted.
    #[test]
    fn every_call_ends_once(steps in prop::collection::vec(step(), 0..80)) {
        let mut play = Play::new(3, 2);
        let mut calls = 0u64;
        let mut ended: Vec<u64> = Vec::new();
        let mut asked: VecDeque<i32> = VecDeque::new();
        for step in steps {
            let actions = match step {
                Step::Submit => {
                    calls += 1;
                    play.submit(get("/a"))
                }
                Step::Close => {
                    calls += 1;
                    play.submit(Request::CloseSession)
                }
                Step::Hop => {
                    play.client.hop(play.now);
                    play.drain()
                }
                Step::Wake(ms) => play.pass(ms),
                Step::Connected => play.on(ClientEvent::Connected),
                Step::Greeted(true) => play.receive(response(6_000, SESSION)),
                Step::Greeted(false) => play.receive(response(0, SessionId(0))),
                Step::Answer => match asked.pop_front() {
                    Some(xid) => play.receive(ok(xid, 1)),
                    None => vec![],
                },
                Step::Wrong => play.receive(ok(12_345, 1)),
                Step::Broken => play.on(ClientEvent::Disconnected),
            };
            asked.extend(sent(&actions).into_iter().map(|(xid, _)| xid).filter(|xid| *xid > 0));
            if actions.contains(&ClientAction::Disconnect) || !sessions(&actions).is_empty() {
                // Only what was sent behind it can be answered.
                let behind = actions.iter().rposition(|action| matches!(
                    action, ClientAction::Disconnect | ClientAction::Session(_))).unwrap();
                asked = sent(&actions[behind..]).into_iter().map(|(xid, _)| xid).collect();
                asked.retain(|xid| *xid > 0);
            }
            ended.extend(completed(&actions).into_iter().map(|(call, _)| call));
            let pending: Vec<u64> = play.client.pending().iter().map(|call| call.0).collect();
            let all: Vec<u64> = ended.iter().chain(&pending).copied().collect();
            let expected: Vec<u64> = (0..calls).collect();
            prop_assert_eq!(&all, &expected);
        }
    }
}

#[test]
fn a_read_only_session_is_left_for_one_with_a_quorum() {
    let mut play = Play::new(3, 100);
    play.client.config.read_only = true;
    let asked = greeting(&play.on(ClientEvent::Connected)).unwrap();
    assert_eq!((asked.session, asked.read_only), (SessionId(0), Some(true)));
    play.receive(granted(6000, SESSION, true));
    // Sooner than it would ping, it looks elsewhere; nobody there can know that session.
    assert_eq!(play.client.deadline(), Some(play.now + Duration::from_millis(100)));
    assert!(play.sleep().contains(&ClientAction::Disconnect));
    play.sleep();
    let asked = greeting(&play.on(ClientEvent::Connected)).unwrap();
    assert_eq!(asked.session, SessionId(0));
    let opened = play.receive(granted(6000, SessionId(9), false));
    assert_eq!(
        sessions(&opened),
        [SessionEvent::Opened { session: SessionId(9), timeout_ms: 6000 }]
    );
    // That one it keeps, also at a server without a quorum.
    play.on(ClientEvent::Disconnected);
    play.sleep();
    let asked = greeting(&play.on(ClientEvent::Connected)).unwrap();
    assert_eq!(asked.session, SessionId(9));
}

#[test]
fn a_client_that_writes_does_not_stay_where_it_cannot() {
    let mut play = Play::new(3, 100);
    play.on(ClientEvent::Connected);
    assert!(play.receive(granted(6000, SESSION, true)).contains(&ClientAction::Disconnect));
}
