//! Bytes that no client should send, through a connection's machine into a server: each request of
//! every kind, cut short, changed, with lengths and counts that lie, filled up with as many elements as
//! a frame holds. Whatever comes out is a clear error or a closed connection; no memory is taken that
//! the bytes did not pay for; and the session beside it is served.
//!
//! Allocations are counted, for each thread apart: tests run side by side.

mod counting;
#[path = "../common/one_of_each.rs"]
mod one_of_each;

use std::collections::BTreeSet;

use proptest::prelude::*;
use zebu_core::config::{Config, Ensemble, Limits, Member, MemberRole};
use zebu_core::conn::client::ClientConn;
use zebu_core::conn::client_side::ClientSideConn;
use zebu_core::ids::{ConnId, ServerId, SessionId, Xid, Zxid};
use zebu_core::proto::{
    ClientMessage, ClientRequest, ConnectRequest, CreateRequest, OpCode, Request, Response,
};
use zebu_core::server::{Action, Event, Recovered, Server};
use zebu_core::time::Now;

/// How much memory a byte may take while it is dealt with, and what everybody may take.
const BYTES_PER_BYTE: usize = 100;
const BYTES_AT_LEAST: usize = 64 << 10;

const STRANGER: ConnId = ConnId(1);
const NEIGHBOUR: ConnId = ConnId(2);

/// A server alone on a perfect disk, with two clients on it.
struct Table {
    server: Server,
    stranger: ClientConn,
    /// What the stranger was sent, until it was cut off.
    sent: Vec<ClientMessage>,
    closed: bool,
    neighbour: Vec<ClientMessage>,
    xid: i32,
}

impl Table {
    fn new() -> Self {
        let alone = Member {
            host: "127.0.0.1".into(),
            quorum_port: 1,
            election_port: 2,
            role: MemberRole::Participant,
            client: None,
        };
        let ensemble = Ensemble { members: [(ServerId(1), alone)].into(), ..Ensemble::default() };
        let nothing = Recovered::default();
        let config = Config::new(ServerId(1), ensemble);
        let mut table = Self {
            stranger: ClientConn::new(&config.limits),
            server: Server::new(config, nothing, Now::default()),
            sent: Vec::new(),
            closed: false,
            neighbour: Vec::new(),
            xid: 0,
        };
        table.act();
        for conn in [STRANGER, NEIGHBOUR] {
            table.tell(Event::ConnOpen { conn, ip: "10.0.0.1".into(), port: 9 });
        }
        table.tell(Event::Client { conn: NEIGHBOUR, request: connect() });
        table
    }

    fn tell(&mut self, event: Event) {
        self.server.handle(Now::default(), event);
        self.act();
    }

    fn act(&mut self) {
        while let Some(action) = self.server.poll() {
            match action {
                Action::Reply { conn: STRANGER, message } => self.sent.push(message),
                Action::Reply { conn: _, message } => self.neighbour.push(message),
                Action::CloseConn { conn, why } => {
                    assert_eq!(conn, STRANGER, "the neighbour is closed: {why:?}");
                    self.closed = true;
                }
                Action::AwaitDrained { conn } => {
                    self.server.handle(Now::default(), Event::ConnDrained { conn });
                }
                Action::Store { ticket, .. } => {
                    self.server.handle(Now::default(), Event::Durable { upto: ticket });
                }
                Action::Halt { why } => panic!("halts: {why}"),
                _ => {}
            }
        }
    }

    /// What the stranger says, as the driver reads it: in pieces.
    fn hear(&mut self, bytes: &[u8]) {
        for piece in bytes.chunks(64 << 10) {
            if self.closed {
                return;
            }
            self.stranger.receive(piece);
            loop {
                match self.stranger.next() {
                    Ok(Some(request)) => self.tell(Event::Client { conn: STRANGER, request }),
                    Ok(None) => break,
                    Err(_) => {
                        self.closed = true;
                        return self.tell(Event::ConnGone { conn: STRANGER });
                    }
                }
            }
        }
    }

    /// The neighbour writes and reads what it wrote.
    fn serves(&mut self) {
        self.xid += 1;
        let path = format!("/neighbour{}", self.xid);
        let acl = zebu_core::proto::Acl::open();
        let create = CreateRequest { path: path.clone(), data: None, acl, flags: 0 };
        for request in [Request::Create(create), Request::GetData { path, watch: false }] {
            let request = ClientRequest::Request { xid: Xid(self.xid), request };
            self.tell(Event::Client { conn: NEIGHBOUR, request });
        }
        let answers: Vec<_> = self.neighbour.drain(..).collect();
        let is_good = matches!(
            answers[answers.len().saturating_sub(2)..],
            [
                ClientMessage::Reply { result: Ok(Response::Path(_)), .. },
                ClientMessage::Reply { result: Ok(Response::Data { .. }), .. },
            ]
        );
        assert!(is_good, "the neighbour got {answers:?}");
    }
}

fn connect() -> ClientRequest {
    ClientRequest::Connect(ConnectRequest {
        protocol_version: 0,
        last_zxid_seen: Zxid(0),
        timeout_ms: 6000,
        session: SessionId(0),
        password: vec![0; 16].into(),
        read_only: Some(false),
    })
}

/// The frames of `requests`, behind a ConnectRequest.
fn frames(requests: &[ClientRequest]) -> Vec<Vec<u8>> {
    let mut conn = ClientSideConn::new(&Limits::default());
    let encode = |request| {
        let mut bytes = Vec::new();
        conn.encode(request, &mut bytes);
        bytes
    };
    requests.iter().map(encode).collect()
}

fn requests() -> Vec<Vec<u8>> {
    let each = one_of_each::requests().into_iter();
    let all: Vec<_> = each.map(|request| ClientRequest::Request { xid: Xid(7), request }).collect();
    frames(&all)
}

fn hello() -> Vec<u8> {
    frames(&[connect()]).remove(0)
}

/// Says `bytes` to a server after a proper ConnectRequest, and sees that they cost only what they may.
/// Tells how many bytes of memory each took.
fn say(bytes: &[u8]) -> usize {
    let mut table = Table::new();
    table.hear(&hello());
    let (taken, ()) = counting::peak(|| table.hear(bytes));
    let allowed = BYTES_PER_BYTE * bytes.len() + BYTES_AT_LEAST;
    assert!(taken <= allowed, "{} bytes took {taken} of memory", bytes.len());
    table.serves();
    taken / bytes.len().max(1)
}

#[test]
fn there_is_one_of_each() {
    let mut known: BTreeSet<_> = (-20..200).filter_map(OpCode::from_number).collect();
    for request in one_of_each::requests() {
        known.remove(&OpCode::from_number(request.opcode()).expect("a known one"));
    }
    // This one no client can send.
    assert_eq!(known, [OpCode::DeleteContainer].into());
}

#[test]
fn each_request_cut_short_anywhere() {
    for frame in requests() {
        for length in 4..frame.len() {
            let mut cut = frame[..length].to_vec();
            let announced = (length - 4) as i32;
            cut[..4].copy_from_slice(&announced.to_be_bytes());
            say(&cut);
        }
    }
}

/// Four bytes anywhere that are no length, no count, no opcode and no flag that is meant.
#[test]
fn each_request_with_numbers_that_lie() {
    for frame in requests() {
        for at in 4..frame.len().saturating_sub(3) {
            for lie in [-1, -2, i32::MIN, i32::MAX, 0, 0xffff, 0xf_ffff, 0x7fff_fff0] {
                let mut frame = frame.clone();
                frame[at..at + 4].copy_from_slice(&i32::to_be_bytes(lie));
                say(&frame);
            }
        }
    }
}

#[test]
fn a_hello_with_numbers_that_lie() {
    for at in 0..hello().len() - 3 {
        for lie in [-1, -2, i32::MIN, i32::MAX, 0, 17] {
            let mut frame = hello();
            frame[at..at + 4].copy_from_slice(&i32::to_be_bytes(lie));
            let mut table = Table::new();
            let (taken, ()) = counting::peak(|| table.hear(&frame));
            assert!(taken <= BYTES_AT_LEAST, "{taken} bytes of memory");
            table.serves();
        }
    }
}

/// A frame as large as it may be, all of one kind of element: what is read of it may have many times
/// its bytes, but not any number of times.
#[test]
fn each_list_as_long_as_it_can_be() {
    let max = Limits::default().frame_max;
    let long = |element: &[u8], before: &[u8], after: &[u8], opcode: i32| {
        let room = max - 8 - before.len() - 4 - after.len();
        let count = room / element.len();
        let mut body = [&7i32.to_be_bytes()[..], &opcode.to_be_bytes(), before].concat();
        body.extend_from_slice(&(count as i32).to_be_bytes());
        body.extend(element.iter().copied().cycle().take(count * element.len()));
        body.extend_from_slice(after);
        [&(body.len() as i32).to_be_bytes()[..], &body].concat()
    };
    let path = [&2i32.to_be_bytes()[..], b"/a"].concat();
    let data = 0i32.to_be_bytes();
    let number = |number: OpCode| number.number();
    let empty_acl = [0; 12];
    let create = [&path[..], &data].concat();
    let multi_part = |opcode: i32, body: &[u8]| {
        [&opcode.to_be_bytes()[..], &[0], &(-1i32).to_be_bytes(), body].concat()
    };
    let end = [&(-1i32).to_be_bytes()[..], &[1], &(-1i32).to_be_bytes()].concat();
    // Multis have no count: their first part stands in its place.
    let multi = |opcode: OpCode, part: &[u8]| {
        let mut frame = long(part, &[], &end, opcode.number());
        frame.drain(12..16);
        let length = (frame.len() - 4) as i32;
        frame[..4].copy_from_slice(&length.to_be_bytes());
        frame
    };
    let zxid = 0i64.to_be_bytes();
    let none = 0i32.to_be_bytes();
    let frames = [
        ("ACLs of a create", long(&empty_acl, &create, &none, number(OpCode::Create))),
        ("ACLs of a setACL", long(&empty_acl, &path, &none, number(OpCode::SetAcl))),
        ("empty watched paths", long(&none, &zxid, &[0; 8], number(OpCode::SetWatches))),
        ("watched paths", long(&path, &zxid, &[0; 8], number(OpCode::SetWatches))),
        ("checks", multi(OpCode::Multi, &multi_part(13, &[&path[..], &none].concat()))),
        ("deletes", multi(OpCode::Multi, &multi_part(2, &[&none[..], &none].concat()))),
        ("creates", multi(OpCode::Multi, &multi_part(1, &[&create[..], &[0; 8]].concat()))),
        ("getDatas", multi(OpCode::MultiRead, &multi_part(4, &[&none[..], &[0]].concat()))),
        ("getChildrens", multi(OpCode::MultiRead, &multi_part(8, &[0, 0, 0, 1, b'/', 0]))),
    ];
    for (what, frame) in frames {
        assert!(frame.len() - 4 <= max && frame.len() > max - 100, "{what}: {}", frame.len());
        println!("{what}: {} bytes of memory for each byte", say(&frame));
    }
}

/// Ways to spoil a stream of frames.
#[derive(Clone, Debug)]
enum Spoil {
    Cut(prop::sample::Index),
    Flip(prop::sample::Index, u8),
    Number(prop::sample::Index, i32),
    /// A piece of the stream once more, somewhere else.
    Splice(prop::sample::Index, prop::sample::Index, usize),
    Noise(prop::sample::Index, Vec<u8>),
}

fn spoil() -> impl Strategy<Value = Spoil> {
    let index = any::<prop::sample::Index>;
    let number = prop_oneof![-3..60i32, any::<i32>(), Just(i32::MAX), Just(0xf_ffff)];
    prop_oneof![
        1 => index().prop_map(Spoil::Cut),
        4 => (index(), any::<u8>()).prop_map(|(at, mask)| Spoil::Flip(at, mask)),
        4 => (index(), number).prop_map(|(at, number)| Spoil::Number(at, number)),
        2 => (index(), index(), 1..40usize)
            .prop_map(|(from, to, length)| Spoil::Splice(from, to, length)),
        1 => (index(), prop::collection::vec(any::<u8>(), 1..30))
            .prop_map(|(at, noise)| Spoil::Noise(at, noise)),
    ]
}

impl Spoil {
    fn on(&self, bytes: &mut Vec<u8>) {
        let length = bytes.len();
        if length < 5 {
            return;
        }
        match self {
            Self::Cut(at) => bytes.truncate(at.index(length)),
            Self::Flip(at, mask) => bytes[at.index(length)] ^= mask,
            Self::Number(at, number) => {
                let at = at.index(length - 4);
                bytes[at..at + 4].copy_from_slice(&number.to_be_bytes());
            }
            Self::Splice(from, to, piece) => {
                let from = from.index(length);
                let piece = bytes[from..(from + piece).min(length)].to_vec();
                let to = to.index(length);
                bytes.splice(to..to, piece);
            }
            Self::Noise(at, noise) => {
                let at = at.index(length);
                bytes.splice(at..at, noise.iter().copied());
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    /// Lengths stay true in half of the cases, so that what is spoilt is the inside of a frame.
    #[test]
    fn spoilt_streams(
        chosen in prop::collection::vec(any::<prop::sample::Index>(), 1..6),
        spoils in prop::collection::vec(spoil(), 1..6),
        reframed in any::<bool>(),
    ) {
        let all = requests();
        let mut stream = Vec::new();
        if reframed {
            for (index, spoil) in chosen.iter().zip(&spoils) {
                let mut body = all[index.index(all.len())][4..].to_vec();
                spoil.on(&mut body);
                stream.extend_from_slice(&(body.len() as i32).to_be_bytes());
                stream.extend_from_slice(&body);
            }
        } else {
            stream = chosen.iter().flat_map(|index| all[index.index(all.len())].clone()).collect();
            for spoil in &spoils {
                spoil.on(&mut stream);
            }
        }
        say(&stream);
    }
}
