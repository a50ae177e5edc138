//! Connections, as `stat` and `cons` list them.

use alloc::format;
use alloc::string::String;
use core::fmt::Write;

use super::super::Server;
use super::super::order::{Conn, Order, Phase};

/// As Java prints a socket's address.
pub(super) fn address(conn: &Conn) -> String {
    if conn.ip.contains(':') {
        format!("/[{}]:{}", conn.ip, conn.port)
    } else {
        format!("/{}:{}", conn.ip, conn.port)
    }
}

fn head(conn: &Conn, out: &mut String) {
    let interest = u8::from(conn.phase != Phase::Greeting);
    let (queued, received, sent) = (conn.queued(), conn.stats.received, conn.stats.sent);
    let address = address(conn);
    let _ = write!(out, " {address}[{interest}](queued={queued},recved={received},sent={sent}");
}

// ZK: StatCommand (3.9)
pub(super) fn in_short(order: &Order, out: &mut String) {
    out.push_str("Clients:\n");
    for conn in order.conns() {
        head(conn, out);
        out.push_str(")\n");
    }
    out.push('\n');
}

// ZK: ConsCommand, ServerCnxn.dumpConnectionInfo (3.9)
pub(super) fn in_detail(server: &Server, out: &mut String) {
    for conn in server.order.conns() {
        head(conn, out);
        if let (Some(session), Some(timeout)) = (conn.session(), conn.timeout_ms()) {
            session_detail(conn, session.0, timeout, out);
        }
        out.push_str(")\n");
    }
    out.push('\n');
}

fn session_detail(conn: &Conn, session: u64, timeout: i32, out: &mut String) {
    let stats = &conn.stats;
    let op = stats.last.map_or("NA", |last| last.op);
    let _ = write!(out, ",sid=0x{session:x},lop={op},est={},to={timeout}", stats.established.0);
    if let Some(last) = stats.last.filter(|last| last.cxid.0 >= 0) {
        let _ = write!(out, ",lcxid=0x{:x}", last.cxid.0);
    }
    let last = |of: fn(&super::super::stats::LastOp) -> u64| stats.last.as_ref().map_or(0, of);
    let zxid = stats.last.map_or(-1, |last| last.zxid.to_wire());
    let (at, took) = (last(|last| last.at.as_millis()), last(|last| last.took_ms));
    let latency = &stats.latency_ms;
    let average = latency.sum.checked_div(latency.count).unwrap_or(0);
    let (least, most) = (latency.least(), latency.most);
    let _ = write!(
        out,
        ",lzxid=0x{zxid:x},lresp={at},llat={took},minlat={least},avglat={average},maxlat={most}"
    );
}
