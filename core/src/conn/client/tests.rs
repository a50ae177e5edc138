//! Both ends of a client connection, against frames of a Java server and its clients.

use alloc::vec;
use alloc::vec::Vec;

use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::conn::client_side::ClientSideConn;
use crate::ids::{SessionId, Zxid};
use crate::proto::arbitrary::{event, hex, request, response};
use crate::proto::{
    Acl, ConnectResponse, CreateRequest, EventKind, MultiResult, OpCode, Response, WatcherEvent,
};

fn server(bytes: &[u8]) -> ClientConn {
    let mut conn = ClientConn::new(&Limits::default());
    conn.receive(bytes);
    conn
}
/// A server's end behind its handshake.
fn connected(bytes: &[u8]) -> ClientConn {
    let mut conn = server(&hex(CONNECT));
    conn.next().unwrap().unwrap();
    conn.receive(bytes);
    conn
}
fn ask(xid: i32, request: Request) -> ClientRequest {
    ClientRequest::Request { xid: Xid(xid), request }
}
fn reply(xid: i32, result: Result<Response, ErrorCode>) -> ClientMessage {
    ClientMessage::Reply { xid: Xid(xid), zxid: 0x100000005, result }
}

// The frames are upstream's: a new session of 30 s and how it is answered, and so on. They were
// seen between a Java server (3.8.0, 3.10-SNAPSHOT) and a client of plain sockets.
const CONNECT: &str = "0000002d 00000000 0000000000000000 00007530 0000000000000000 00000010 \
                       00000000000000000000000000000000 00";
const CONNECTED: &str = "00000025 00000000 00007530 0100012345670000 00000010 \
                         4be494d27cc739baa123244a251a7415 00";
const REFUSED: &str = "00000025 00000000 00000000 0000000000000000 00000010 \
                       00000000000000000000000000000000 00";

fn connect() -> ClientRequest {
    ClientRequest::Connect(ConnectRequest {
        protocol_version: 0,
        last_zxid_seen: Zxid::ZERO,
        timeout_ms: 30_000,
        session: SessionId(0),
        password: Bytes::from_static(&[0; 16]),
        read_only: Some(false),
    })
}
fn connected_response(timeout_ms: i32, session: u64, password: &str) -> ClientMessage {
    ClientMessage::Connected(ConnectResponse {
        protocol_version: 0,
        timeout_ms,
        session: SessionId(session),
        password: hex(password).try_into().unwrap(),
        read_only: Some(false),
    })
}

#[test]
fn requests_are_the_frames_that_java_understands() {
    let create = CreateRequest {
        path: "/a".into(),
        data: Some(Bytes::from_static(b"hi")),
        acl: Acl::open(),
        flags: 0,
    };
    let table = [
        (connect(), CONNECT),
        (
            ask(1, Request::Create(create)),
            "00000033 00000001 00000001 00000002 2f61 00000002 6869 00000001 0000001f 00000005 \
             776f726c64 00000006 616e796f6e65 00000000",
        ),
        (
            ask(2, Request::Exists { path: "/nope".into(), watch: false }),
            "00000012 00000002 00000003 00000005 2f6e6f7065 00",
        ),
        (ask(-2, Request::Ping), "00000008 fffffffe 0000000b"),
        (ask(3, Request::CloseSession), "00000008 00000003 fffffff5"),
    ];
    let mut client = ClientSideConn::new(&Limits::default());
    let mut conn = server(&[]);
    for (request, frame) in table {
        let mut bytes = Vec::new();
        client.encode(&request, &mut bytes);
        assert_eq!(bytes, hex(frame));
        conn.receive(&bytes);
        assert_eq!(conn.next(), Ok(Some(request)));
    }
    assert_eq!(conn.next(), Ok(None));
}

#[test]
fn messages_are_the_frames_of_java() {
    let event = WatcherEvent { kind: EventKind::NodeDataChanged, path: "/a".into() };
    let failed_multi =
        vec![MultiResult::Error(ErrorCode::OK), MultiResult::Error(ErrorCode::NO_NODE)];
    let table = [
        (
            connected_response(30_000, 0x0100012345670000, "4be494d27cc739baa123244a251a7415"),
            CONNECTED,
        ),
        (connected_response(0, 0, "00000000000000000000000000000000"), REFUSED),
        (
            reply(1, Ok(Response::Path("/a".into()))),
            "00000016 00000001 0000000100000005 00000000 00000002 2f61",
        ),
        (reply(2, Err(ErrorCode::NO_NODE)), "00000010 00000002 0000000100000005 ffffff9b"),
        (reply(-2, Ok(Response::Empty)), "00000010 fffffffe 0000000100000005 00000000"),
        (
            ClientMessage::Event { zxid: 0x100000005, event },
            "0000001e ffffffff 0000000100000005 00000000 00000003 00000003 00000002 2f61",
        ),
        (
            reply(3, Ok(Response::Multi(failed_multi))),
            "00000033 00000003 0000000100000005 00000000 ffffffff 00 00000000 00000000 \
             ffffffff 00 ffffff9b ffffff9b ffffffff 01 ffffffff",
        ),
        (ClientMessage::Text("imok".into()), "696d6f6b"),
    ];
    for (message, frame) in table {
        let mut bytes = Vec::new();
        server(&[]).encode(&message, &mut bytes);
        assert_eq!(bytes, hex(frame));
    }
}

#[test]
fn a_four_letter_word_is_only_one_before_the_handshake() {
    let mut conn = server(b"ruok\n and more");
    assert_eq!(conn.next(), Ok(Some(ClientRequest::FourLetterWord(FourLetterWord::Ruok))));
    conn.receive(&hex(CONNECT));
    assert_eq!(conn.next(), Ok(None));

    let mut conn = server(b"stmk\xff\xff\xff\xff\x80");
    assert_eq!(conn.next(), Ok(None));
    conn.receive(&[0, 0, 1]);
    let stmk = FourLetterWord::Stmk { mask: -0x7fff_ffff };
    assert_eq!(conn.next(), Ok(Some(ClientRequest::FourLetterWord(stmk))));

    let as_length = |word: &[u8; 4]| ClientMisbehaved::FrameLength {
        length: i32::from_be_bytes(*word),
        max: 0xfffff,
    };
    assert_eq!(server(b"quit").next(), Err(as_length(b"quit")));
    assert_eq!(connected(b"ruok").next(), Err(as_length(b"ruok")));
}

#[test]
fn the_longest_frame_is_as_long_as_upstreams() {
    let max = Limits::default().frame_max;
    let mut frame = (max as i32).to_be_bytes().to_vec();
    frame.extend(hex("00000001 00000064"));
    frame.resize(4 + max, 0);
    assert!(matches!(connected(&frame).next(), Ok(Some(ClientRequest::Request { .. }))));
    let longer = (max as i32 + 1).to_be_bytes();
    assert!(matches!(connected(&longer).next(), Err(ClientMisbehaved::FrameLength { .. })));
    let negative = (-1i32).to_be_bytes();
    assert!(matches!(server(&negative).next(), Err(ClientMisbehaved::FrameLength { .. })));
}

#[test]
fn what_cannot_be_read_closes_or_is_answered_by_where_it_is() {
    let header = connected(&hex("00000007 00000001 000000")).next();
    assert!(matches!(header, Err(ClientMisbehaved::Unreadable { what: "RequestHeader", .. })));
    let handshake = server(&hex("00000004 00000000")).next();
    assert!(matches!(handshake, Err(ClientMisbehaved::Unreadable { what: "ConnectRequest", .. })));
    // A body is a request's own matter, and the connection goes on.
    let mut conn = connected(&hex("00000008 00000001 00000004 00000008 fffffffe 0000000b"));
    assert_eq!(conn.next(), Ok(Some(ask(1, Request::Malformed(OpCode::GetData)))));
    assert_eq!(conn.next(), Ok(Some(ask(-2, Request::Ping))));
}

#[test]
fn a_client_pairs_replies_in_the_order_of_its_requests() {
    let mut client = ClientSideConn::new(&Limits::default());
    let mut sent = Vec::new();
    client.encode(&connect(), &mut sent);
    client.encode(&ask(1, Request::GetAcl { path: "/a".into() }), &mut sent);
    client.encode(&ask(-2, Request::Ping), &mut sent);
    client.encode(&ask(2, Request::Sync { path: "/a".into() }), &mut sent);
    let mut answer = |message: &ClientMessage| {
        let mut bytes = Vec::new();
        server(&[]).encode(message, &mut bytes);
        client.receive(&bytes);
        client.next()
    };
    let session = connected_response(30_000, 7, "00000000000000000000000000000007");
    assert_eq!(answer(&session), Ok(Some(session.clone())));
    let first = reply(1, Err(ErrorCode::NO_NODE));
    assert_eq!(answer(&first), Ok(Some(first.clone())));
    let ping = reply(-2, Ok(Response::Empty));
    assert_eq!(answer(&ping), Ok(Some(ping.clone())));
    assert_eq!(
        answer(&reply(3, Ok(Response::Empty))),
        Err(ClientMisbehaved::XidOutOfOrder { expected: Some(2), got: 3 })
    );
    assert_eq!(
        answer(&reply(2, Ok(Response::Empty))),
        Err(ClientMisbehaved::XidOutOfOrder { expected: None, got: 2 })
    );
}

#[test]
fn the_answer_to_a_word_is_text() {
    let mut client = ClientSideConn::new(&Limits::default());
    let mut sent = Vec::new();
    client.encode(&ClientRequest::FourLetterWord(FourLetterWord::Ruok), &mut sent);
    assert_eq!(sent, b"ruok");
    assert_eq!(client.next(), Ok(None));
    client.receive(b"imok");
    assert_eq!(client.next(), Ok(Some(ClientMessage::Text("imok".into()))));
}

proptest! {
    #[test]
    fn a_conversation_comes_through(
        calls in prop::collection::vec((request(), response(), prop::option::of(event())), 0..6),
        step in 1usize..200,
    ) {
        let limits = Limits::default();
        let (mut client, mut conn) = (ClientSideConn::new(&limits), ClientConn::new(&limits));
        let mut sent = Vec::new();
        client.encode(&connect(), &mut sent);
        let mut requests = vec![connect()];
        let mut answers = vec![connected_response(1, 2, "00000000000000000000000000000000")];
        for (xid, (request, (opcode, response), event)) in (1..).zip(calls) {
            // Each is answered with what answers some opcode; the pairing must go by what was asked.
            let asked = ask(xid, request);
            client.encode(&asked, &mut sent);
            requests.push(asked);
            let ClientRequest::Request { request, .. } = requests.last().unwrap() else { panic!() };
            let fits = request.opcode() == opcode.number();
            answers.push(reply(xid, if fits { Ok(response) } else { Err(ErrorCode::NO_AUTH) }));
            answers.extend(event.map(|event| ClientMessage::Event { zxid: 7, event }));
        }
        let mut received = Vec::new();
        for piece in sent.chunks(step) {
            conn.receive(piece);
            while let Some(request) = conn.next().unwrap() {
                received.push(request);
            }
        }
        prop_assert_eq!(received, requests);
        let mut sent = Vec::new();
        for answer in &answers {
            conn.encode(answer, &mut sent);
        }
        let mut received = Vec::new();
        for piece in sent.chunks(step) {
            client.receive(piece);
            while let Some(message) = client.next().unwrap() {
                received.push(message);
            }
        }
        prop_assert_eq!(received, answers);
    }

    #[test]
    fn no_bytes_are_too_strange(bytes: Vec<u8>, frames in prop::collection::vec(
        prop::collection::vec(any::<u8>(), 0..40), 0..6)) {
        let mut framed = Vec::new();
        for frame in &frames {
            put_frame(&mut framed, |out| out.extend_from_slice(frame));
        }
        for bytes in [bytes, framed] {
            let mut conn = connected(&bytes);
            while let Ok(Some(_)) = conn.next() {}
            let mut client = ClientSideConn::new(&Limits::default());
            client.receive(&hex(CONNECTED));
            client.receive(&bytes);
            while let Ok(Some(_)) = client.next() {}
        }
    }
}
