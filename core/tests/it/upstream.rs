//! What `cargo xtask differential` found to differ from upstream, in its smallest form, where it
//! takes a whole server to show.

use zebu_core::ids::{ConnId, ServerId};
use zebu_core::proto::{OpCode, Request};

use crate::cluster::Cluster;

#[test]
fn an_auth_packet_that_cannot_be_read_closes_the_connection() {
    let mut c = Cluster::new(1);
    c.settle();
    c.connect(1, 1);
    c.send(1, 1, -4, Request::Malformed(OpCode::Auth));
    assert_eq!(c.replies(1, 1), []);
    assert!(c.closed.contains(&(ServerId(1), ConnId(1))));
}
