//! The four-letter words, in upstream's layouts: tools parse them. Who may ask which is the driver's
//! matter, and so is what only it knows ([`super::Machine`]).
//!
// ZK: server.command.* (3.9)

mod clients;
mod mntr;
mod server;
mod sessions;
mod watches;

use alloc::format;
use alloc::string::String;
use core::fmt::Write;

use crate::config::MemberRole;
use crate::proto::FourLetterWord;

use super::Server;

const NOT_SERVING: &str = "This ZooKeeper instance is not currently serving requests\n";

/// The whole answer to `word`.
pub(super) fn answer(server: &mut Server, word: FourLetterWord) -> String {
    let read_only = server.cx.read_only.is_on();
    let serving = server.cx.serving.is_some() || read_only;
    let mut out = String::new();
    match word {
        FourLetterWord::Ruok => out.push_str("imok"),
        // Java's clients ask all servers by it for one that takes writes.
        FourLetterWord::Isro if read_only => out.push_str("ro"),
        FourLetterWord::Isro => out.push_str(if serving { "rw" } else { "null" }),
        FourLetterWord::Envi => environment(server, &mut out),
        FourLetterWord::Gtmk => {
            let _ = write!(out, "{}", server.trace_mask);
        }
        FourLetterWord::Stmk { mask } => {
            server.trace_mask = mask;
            let _ = write!(out, "{mask}");
        }
        FourLetterWord::Interrupt => {}
        _ if !serving => out.push_str(NOT_SERVING),
        FourLetterWord::Conf => configuration(server, &mut out),
        FourLetterWord::Cons => clients::in_detail(server, &mut out),
        FourLetterWord::Crst => {
            server.order.reset_conn_stats();
            out.push_str("Connection stats reset.\n");
        }
        FourLetterWord::Dirs => {
            let (data, log) = (server.machine.data.bytes, server.machine.log.bytes);
            let _ = write!(out, "datadir_size: {data}\nlogdir_size: {log}\n");
        }
        FourLetterWord::Dump => sessions::dump(server, &mut out),
        FourLetterWord::Hash => {
            for (zxid, digest) in server.cx.digests() {
                let _ = writeln!(out, "{zxid:x}: {}", digest as i64);
            }
        }
        FourLetterWord::Mntr => mntr::answer(server, &mut out),
        FourLetterWord::Srst => {
            server.order.stats = Default::default();
            server.cx.metrics.reset();
            out.push_str("Server stats reset.\n");
        }
        FourLetterWord::Srvr => in_short(server, false, &mut out),
        FourLetterWord::Stat => in_short(server, true, &mut out),
        FourLetterWord::Wchc => watches::by_session(server, &mut out),
        FourLetterWord::Wchp => watches::by_path(server, &mut out),
        FourLetterWord::Wchs => watches::counted(server, &mut out),
    }
    out
}

fn version(server: &Server) -> String {
    format!("{}, built on 2026-11-21 00:00 UTC", server.cx.config.version)
}

fn in_short(server: &Server, with_clients: bool, out: &mut String) {
    let (cx, order) = (&server.cx, &server.order);
    let _ = writeln!(out, "Zookeeper version: {}", version(server));
    if cx.read_only.is_on() {
        out.push_str("READ-ONLY mode; serving only read-only clients\n");
    }
    if with_clients {
        clients::in_short(order, out);
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
        let [last, least, most] = server.proposal_sizes();
        let _ = writeln!(out, "Proposal sizes last/min/max: {last}/{least}/{most}");
    }
}

// ZK: ZooKeeperServer.dumpConf, QuorumZooKeeperServer.dumpConf (3.9)
fn configuration(server: &Server, out: &mut String) {
    let (config, machine) = (&server.cx.config, &server.machine);
    let alone = server.cx.membership.is_alone();
    let port = machine.client_port.map_or(-1, i32::from);
    let backlog = machine.backlog.map_or(-1, i64::from);
    let id = if alone { 0 } else { config.my_id.0 };
    let mut put = |key: &str, value: &dyn core::fmt::Display| {
        let _ = writeln!(out, "{key}={value}");
    };
    put("clientPort", &port);
    put("secureClientPort", &-1);
    put("dataDir", &machine.data.path);
    put("dataDirSize", &machine.data.bytes);
    put("dataLogDir", &machine.log.path);
    put("dataLogSize", &machine.log.bytes);
    put("tickTime", &config.tick.as_millis());
    put("maxClientCnxns", &config.limits.conns_per_address_max);
    put("minSessionTimeout", &config.min_session_timeout.as_millis());
    put("maxSessionTimeout", &config.max_session_timeout.as_millis());
    put("clientPortListenBacklog", &backlog);
    put("serverId", &id);
    if alone {
        return;
    }
    put("initLimit", &config.init_limit);
    put("syncLimit", &config.sync_limit);
    put("electionAlg", &3);
    if let Some(me) = server.cx.membership.member(config.my_id) {
        put("electionPort", &me.election_port);
        put("quorumPort", &me.quorum_port);
        put("peerType", &u8::from(me.role == MemberRole::Observer));
    }
    let _ = write!(out, "membership: \n{}", server.cx.membership.committed().text());
}

// ZK: EnvCommand, Environment.list (3.9)
fn environment(server: &Server, out: &mut String) {
    let _ = writeln!(out, "Environment:\nzookeeper.version={}", version(server));
    for (name, value) in &server.machine.environment {
        let _ = writeln!(out, "{name}={value}");
    }
}
