//! A server alone under an arbitrary schedule: connections, requests, completions and time, each
//! chosen by the next byte. It must not panic, and must answer the same both times. And one beside
//! whose clients somebody says arbitrary bytes.

use std::collections::BTreeMap;

use bytes::Bytes;
use zebu_core::config::{Config, Ensemble, Member, MemberRole};
use zebu_core::conn::client::ClientConn;
use zebu_core::conn::client_side::ClientSideConn;
use zebu_core::ids::{ConnId, LinkId, ServerId, SessionId, Xid, Zxid};
use zebu_core::proto::{Acl, ClientMessage, ClientRequest, ConnectRequest, CreateRequest, Request};
use zebu_core::server::{Action, Event, Port, Recovered, Server, StoreOp, Ticket};
use zebu_core::time::{Instant, Now, WallTime};

pub fn server_events(data: &[u8]) {
    assert_eq!(run(data), run(data), "the same events gave other actions");
}

/// All actions, printed: equal runs print equally.
fn run(mut data: &[u8]) -> String {
    let (mut now, mut printed) = (Now::default(), String::new());
    let mut server = Server::new(config(), nothing(), now);
    let mut undurable: Vec<Ticket> = vec![];
    loop {
        while let Some(action) = server.poll() {
            printed.push_str(&format!("{action:?}\n"));
            if let Action::Halt { .. } = action {
                return printed;
            }
            if let Action::Store { ticket, op } = action {
                if let StoreOp::Truncate { .. } = op {
                    return printed;
                }
                undurable.push(ticket);
            }
        }
        let Some((choice, rest)) = data.split_first() else { return printed };
        data = rest;
        let conn = ConnId(u64::from(choice >> 4));
        let event = match choice & 0x0F {
            0 | 1 => {
                now = later(now, 100);
                Event::Wake
            }
            2..=4 => match undurable.pop() {
                Some(upto) => {
                    undurable.clear();
                    Event::Durable { upto }
                }
                None => Event::Wake,
            },
            5 => Event::ConnOpen { conn, ip: "127.0.0.1".into(), port: 1 },
            6 => Event::ConnGone { conn },
            7 => Event::Client { conn, request: connect() },
            8 => {
                let link = LinkId(u64::from(choice >> 4));
                Event::LinkUp { link, port: Port::Quorum, peer: None, dialled: false }
            }
            9 => Event::LinkDown { link: LinkId(u64::from(choice >> 4)) },
            10 => {
                now = later(now, 5_000);
                Event::Wake
            }
            _ => {
                let (body, rest) = data.split_at(data.len().min(24));
                data = rest;
                let Some((opcode, body)) = body.split_first() else { return printed };
                let request = Request::decode(
                    i32::from(*opcode) % 128,
                    Bytes::copy_from_slice(body),
                    crate::limits().record_max,
                );
                Event::Client { conn, request: ClientRequest::Request { xid: Xid(7), request } }
            }
        };
        server.handle(now, event);
    }
}

/// A client's bytes behind a proper ConnectRequest, through its connection into a server: another
/// client is served as if nothing were.
pub fn client_session(data: &[u8]) {
    const STRANGER: ConnId = ConnId(1);
    const NEIGHBOUR: ConnId = ConnId(2);
    let mut server = Server::new(config(), nothing(), Now::default());
    let mut told = vec![];
    let mut tell = |server: &mut Server, event: Option<Event>| {
        if let Some(event) = event {
            server.handle(Now::default(), event);
        }
        while let Some(action) = server.poll() {
            match action {
                Action::Store { ticket, .. } => {
                    server.handle(Now::default(), Event::Durable { upto: ticket });
                }
                Action::Reply { conn: NEIGHBOUR, message } => told.push(message),
                Action::CloseConn { conn: NEIGHBOUR, why } => panic!("closed: {why:?}"),
                Action::Halt { why } => panic!("halts: {why}"),
                _ => {}
            }
        }
    };
    tell(&mut server, None);
    for conn in [STRANGER, NEIGHBOUR] {
        tell(&mut server, Some(Event::ConnOpen { conn, ip: "127.0.0.1".into(), port: 1 }));
        tell(&mut server, Some(Event::Client { conn, request: connect() }));
    }

    let mut stranger = ClientConn::new(&crate::limits());
    // Its own hello is behind it.
    stranger.receive(&hello());
    stranger.receive(data);
    let _ = stranger.next();
    while let Ok(Some(request)) = stranger.next() {
        tell(&mut server, Some(Event::Client { conn: STRANGER, request }));
    }
    tell(&mut server, Some(Event::ConnGone { conn: STRANGER }));

    let acl = Acl::open();
    let create = CreateRequest { path: "/neighbour".into(), data: None, acl, flags: 0 };
    let request = ClientRequest::Request { xid: Xid(1), request: Request::Create(create) };
    tell(&mut server, Some(Event::Client { conn: NEIGHBOUR, request }));
    let served = matches!(told.last(), Some(ClientMessage::Reply { xid: Xid(1), .. }));
    assert!(served, "the neighbour was told {told:?}");
}

fn hello() -> Vec<u8> {
    let mut bytes = vec![];
    ClientSideConn::new(&crate::limits()).encode(&connect(), &mut bytes);
    bytes
}

fn later(now: Now, ms: u64) -> Now {
    let mono = Instant(now.mono.0 + Instant::from_millis(ms).0);
    Now { mono, wall: WallTime(now.wall.0 + ms as i64) }
}

fn connect() -> ClientRequest {
    ClientRequest::Connect(ConnectRequest {
        protocol_version: 0,
        last_zxid_seen: Zxid(0),
        timeout_ms: 6000,
        session: SessionId(0),
        password: Bytes::new(),
        read_only: None,
    })
}

fn config() -> Config {
    let alone = Member {
        host: "127.0.0.1".into(),
        quorum_port: 1,
        election_port: 2,
        role: MemberRole::Participant,
        client: None,
    };
    let members = BTreeMap::from([(ServerId(1), alone)]);
    Config { limits: crate::limits(), ..Config::new(ServerId(1), Ensemble { members, hierarchy: None, version: 0 }) }
}

fn nothing() -> Recovered {
    Recovered::default()
}
