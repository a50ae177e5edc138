//! Requests that cannot be read, at an ensemble: each is answered, and what comes behind it, from the
//! same client and from others, is served.

use zebu_core::proto::{ClientMessage, ErrorCode, OpCode, Request};

use crate::cluster::Cluster;
use crate::one_of_each;

const RECORD_MAX: usize = 1 << 20;

/// An unreadable write must not take a place among the transactions that never comes through: upstream
/// hangs on it until the leader changes.
#[test]
fn a_write_that_is_cut_short_holds_up_nobody() {
    let mut c = Cluster::new(3);
    c.run_ms(3000);
    let leader = c.leader().expect("they elect one");
    let servers: Vec<i64> = c.servers.keys().map(|id| id.0).collect();
    for &server in &servers {
        c.greet(server, 1, zebu_core::ids::SessionId(0));
        c.greet(server, 2, zebu_core::ids::SessionId(0));
    }
    c.run_ms(100);
    for &server in &servers {
        assert_eq!(c.replies(server, 1).len(), 1, "a session at {server}, led by {leader}");
        c.replies(server, 2);
    }
    let mut xid = 0;
    for request in one_of_each::requests() {
        let mut body = Vec::new();
        request.encode_body(&mut body);
        for length in 0..body.len() {
            let cut = Request::decode(request.opcode(), body[..length].to_vec().into(), RECORD_MAX);
            let Request::Malformed(opcode) = cut else { continue };
            use OpCode::{Auth, Check, CreateSession, Sasl};
            if matches!(opcode, Auth | Check | CreateSession | Sasl) {
                // The connection is closed for it.
                continue;
            }
            let expected = ErrorCode::MARSHALLING_ERROR;
            let server = servers[xid as usize % servers.len()];
            xid += 1;
            c.send(server, 1, xid, cut);
            let write = one_of_each::set_data("/");
            c.send(server, 1, xid, write.clone());
            c.send(server, 2, xid, write);
            c.settle();
            let of = |message: &ClientMessage| match message {
                ClientMessage::Reply { result, .. } => result.as_ref().err().copied(),
                other => panic!("{other:?}"),
            };
            let replies: Vec<_> = c.replies(server, 1).iter().map(of).collect();
            assert_eq!(replies, [Some(expected), None], "{opcode:?} cut to {length} at {server}");
            let replies: Vec<_> = c.replies(server, 2).iter().map(of).collect();
            assert_eq!(replies, [None], "after {opcode:?} cut to {length} at {server}");
        }
    }
    assert!(xid > 500, "only {xid} were cut");
}
