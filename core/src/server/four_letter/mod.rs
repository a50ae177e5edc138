//! The four-letter words, in upstream's layouts: tools parse them.
//!
//! `srvr` and `ruok` are always answered here, `stat`, `mntr` and `isro` too: they show nothing that
//! a client could not ask. Words that are not answered yet say so as disabled ones do.
//!
// ZK: server.command.* (3.9)

use alloc::format;
use alloc::string::String;
use core::fmt::Write;

use crate::proto::FourLetterWord;

use super::Server;
use super::order::{Order, Phase};

const NOT_SERVING: &str = "This ZooKeeper instance is not currently serving requests\n";

/// The whole answer to `word`.
pub(super) fn answer(server: &Server, word: FourLetterWord) -> String {
    let serving = server.cx.serving.is_some();
    match word {
        FourLetterWord::Ruok => "imok".into(),
        FourLetterWord::Isro => if serving { "rw" } else { "null" }.into(),
        FourLetterWord::Srvr if serving => srvr(server, false),
        FourLetterWord::Stat if serving => srvr(server, true),
        FourLetterWord::Mntr if serving => mntr(server),
        FourLetterWord::Srvr | FourLetterWord::Stat | FourLetterWord::Mntr => NOT_SERVING.into(),
        FourLetterWord::Other(word) => {
            let word = String::from_utf8_lossy(&word).into_owned();
            format!("{word} is not executed because it is not in the whitelist.\n")
        }
    }
}

fn srvr(server: &Server, with_clients: bool) -> String {
    let (cx, order) = (&server.cx, &server.order);
    let mut out = String::new();
    let version = &cx.config.version;
    let _ = writeln!(out, "Zookeeper version: {version}, built on 2026-11-21 00:00 UTC");
    if with_clients {
        clients(order, &mut out);
    }
    let (least, average, most) = order.stats.latency_ms();
    let _ = writeln!(out, "Latency min/avg/max: {least}/{average:?}/{most}");
    let _ = writeln!(out, "Received: {}", order.stats.received);
    let _ = writeln!(out, "Sent: {}", order.stats.sent);
    let _ = writeln!(out, "Connections: {}", order.conns().count());
    let _ = writeln!(out, "Outstanding: {}", order.outstanding());
    let _ = writeln!(out, "Zxid: 0x{:x}", cx.visible_zxid());
    let _ = writeln!(out, "Mode: {}", server.mode());
    let _ = writeln!(out, "Node count: {}", cx.database.tree.node_count());
    if server.mode() == "leader" {
        let _ = writeln!(out, "Proposal sizes last/min/max: {}", server.proposal_sizes());
    }
    out
}

fn clients(order: &Order, out: &mut String) {
    out.push_str("Clients:\n");
    for conn in order.conns() {
        let address = if conn.ip.contains(':') {
            format!("/[{}]:{}", conn.ip, conn.port)
        } else {
            format!("/{}:{}", conn.ip, conn.port)
        };
        let interest = u8::from(conn.phase != Phase::Greeting);
        let (queued, received, sent) = (conn.queued(), conn.received, conn.sent);
        let _ =
            writeln!(out, " {address}[{interest}](queued={queued},recved={received},sent={sent})");
    }
    out.push('\n');
}

fn mntr(server: &Server) -> String {
    let (cx, order) = (&server.cx, &server.order);
    let mut out = String::new();
    let mut put = |key: &str, value: &dyn core::fmt::Display| {
        let _ = writeln!(out, "zk_{key}\t{value}");
    };
    let version = format!("{}, built on 2026-11-21 00:00 UTC", cx.config.version);
    put("version", &version);
    put("server_state", &server.mode());
    if !cx.config.ensemble.is_alone() {
        put("peer_state", &format!("{} - broadcast", server.peer_state()));
    }
    let (least, average, most) = order.stats.latency_ms();
    put("avg_latency", &format!("{average:?}"));
    put("max_latency", &most);
    put("min_latency", &least);
    put("packets_received", &order.stats.received);
    put("packets_sent", &order.stats.sent);
    put("num_alive_connections", &order.conns().count());
    put("outstanding_requests", &order.outstanding());
    put("znode_count", &cx.database.tree.node_count());
    put("watch_count", &order.watch_count());
    put("ephemerals_count", &cx.database.tree.ephemeral_count());
    put("approximate_data_size", &cx.database.tree.approximate_data_size());
    put("global_sessions", &cx.database.sessions.len());
    put("local_sessions", &0);
    if !cx.config.ensemble.is_alone() {
        put("quorum_size", &cx.config.ensemble.voters().count());
    }
    if let Some((learners, synced)) = server.learners() {
        put("learners", &learners);
        put("synced_followers", &synced);
        put("synced_observers", &0);
        put("synced_non_voting_followers", &0);
    }
    out
}
