//! What outsiders can feed us, as plain functions from bytes: libFuzzer calls them from
//! `fuzz_targets`, the tests replay inputs through the same ones.
//!
//! None may panic, and beyond that each asserts what must hold for any bytes: cutting a stream
//! elsewhere changes nothing, and what was read and written again reads the same.

mod disk;
mod server;

use bytes::Bytes;
use zebu_core::config::Limits;
use zebu_core::conn::client::ClientConn;
use zebu_core::conn::client_side::ClientSideConn;
use zebu_core::conn::election::ElectionConn;
use zebu_core::conn::learner::QuorumConn;
use zebu_core::proto::Request;
use zebu_core::txn;

pub use disk::{log_file, snapshot};
pub use server::{client_session, server_events};

/// Small, so that a few bytes reach them.
pub(crate) fn limits() -> Limits {
    Limits { frame_max: 4096, record_max: 4096, election_frame_max: 4096, ..Limits::default() }
}

/// A request body: its first byte chooses the opcode.
pub fn jute_record(data: &[u8]) {
    let Some((first, body)) = data.split_first() else { return };
    let opcode = if *first < 128 { i32::from(*first) } else { i32::from(*first) - 256 };
    let request = Request::decode(opcode, Bytes::copy_from_slice(body), limits().record_max);
    if matches!(request, Request::Malformed(_) | Request::Unknown(_)) {
        return;
    }
    let mut written = Vec::new();
    request.encode_body(&mut written);
    let again = Request::decode(request.opcode(), written.into(), usize::MAX);
    assert_eq!(again, request, "a request that was read, written and read again");
}

/// A client's stream at a server.
pub fn client_frame(data: &[u8]) {
    same_however_cut(
        data,
        || ClientConn::new(&limits()),
        ClientConn::receive,
        |conn| conn.next().map_err(|fault| fault.to_string()),
    );
}

/// A server's stream at a client.
pub fn client_answer(data: &[u8]) {
    same_however_cut(
        data,
        || ClientSideConn::new(&limits()),
        ClientSideConn::receive,
        |conn| conn.next().map_err(|fault| fault.to_string()),
    );
}

/// A peer's stream at the quorum port.
pub fn quorum_frame(data: &[u8]) {
    same_however_cut(
        data,
        || QuorumConn::new(&limits()),
        QuorumConn::receive,
        |conn| {
            let message = conn.next().map_err(|fault| fault.to_string())?;
            Ok(message.map(|message| format!("{message:?}")))
        },
    );
}

/// A peer's stream at the election port.
pub fn election_frame(data: &[u8]) {
    same_however_cut(
        data,
        || ElectionConn::accepted(&limits()),
        ElectionConn::receive,
        |conn| conn.next().map_err(|fault| fault.to_string()),
    );
}

/// A log record's payload, or a proposal's.
pub fn txn_entry(data: &[u8]) {
    if let Ok(entry) = txn::codec::decode(Bytes::copy_from_slice(data), limits().record_max) {
        let again = txn::codec::decode(entry.payload.clone(), limits().record_max);
        assert_eq!(again, Ok(entry), "an entry read again from its own payload");
    }
}

/// Reads the stream whole, and again in pieces of sizes that depend on it; the messages, and the
/// fault that ends them, must be the same.
fn same_however_cut<Conn, Message: PartialEq + std::fmt::Debug>(
    data: &[u8],
    new: impl Fn() -> Conn,
    receive: impl Fn(&mut Conn, &[u8]),
    next: impl Fn(&mut Conn) -> Result<Option<Message>, String>,
) {
    let read = |pieces: &mut dyn Iterator<Item = &[u8]>| {
        let (mut conn, mut messages) = (new(), Vec::new());
        for piece in pieces {
            receive(&mut conn, piece);
            loop {
                match next(&mut conn) {
                    Ok(Some(message)) => messages.push(message),
                    Ok(None) => break,
                    Err(fault) => return (messages, Some(fault)),
                }
            }
        }
        (messages, None)
    };
    let size = 1 + data.first().map_or(0, |first| usize::from(first % 17));
    let whole = read(&mut std::iter::once(data));
    let cut = read(&mut data.chunks(size));
    assert_eq!(whole, cut, "the same stream in pieces of {size}");
}
