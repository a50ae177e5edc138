//! Observations as lines for people.

use std::fmt::Write;

use zebu_core::server::{Action, Event, PeerMessage, StoreOp};
use zebu_core::storage::DiskOp;

use crate::history::{Observation, SimTime};

pub fn print(now: SimTime, what: &Observation<'_>) {
    println!("{}", line(now, what));
}

/// `  1.234567  server 2  <- Commit { zxid: 1:4 }`
pub fn line(now: SimTime, what: &Observation<'_>) -> String {
    let mut out = format!("{:>3}.{:06}  ", now / 1_000_000_000, now / 1000 % 1_000_000);
    let _ = match what {
        Observation::Started { server } => write!(out, "{server:?}  STARTED"),
        Observation::Stopped { server, why } => write!(out, "{server:?}  STOPPED {why:?}"),
        Observation::NotStarted { server, why } => {
            write!(out, "{server:?}  CANNOT START: {why}")
        }
        Observation::Event { server, event } => write!(out, "{server:?}  <- {}", event_text(event)),
        Observation::Action { server, action } => {
            write!(out, "{server:?}  -> {}", action_text(action))
        }
        Observation::Disk { server, op, done } => {
            let failed = if *done { "" } else { "  FAILED" };
            write!(out, "{server:?}     disk {}{failed}", disk_text(op))
        }
        Observation::Call { client, call, request } => {
            write!(out, "client {}  call {} {request:?}", client.0, call.0)
        }
        Observation::Completed { client, call, outcome } => {
            write!(out, "client {}  done {} {outcome:?}", client.0, call.0)
        }
        Observation::Watch { client, zxid, event } => {
            write!(out, "client {}  WATCH {zxid:x} {event:?}", client.0)
        }
        Observation::Session { client, event } => write!(out, "client {}  {event:?}", client.0),
        Observation::Sent { client, server, request } => {
            write!(out, "client {}  to {server:?}: {request:?}", client.0)
        }
        Observation::Received { client, server, message } => {
            write!(out, "client {}  from {server:?}: {message:?}", client.0)
        }
        Observation::Disconnected { client } => write!(out, "client {}  disconnected", client.0),
        Observation::Link { from, to, open } => {
            let state = if *open { "open" } else { "CUT" };
            write!(out, "network   {} to {} {state}", from.0, to.0)
        }
        Observation::Wiped { server } => write!(out, "{server:?} disk WIPED"),
        Observation::LivenessPhase => write!(out, "FAULTS STOP: progress is due"),
        Observation::Quiet => write!(out, "CLIENTS STOP: replicas must become equal"),
    };
    out
}

fn event_text(event: &Event) -> String {
    match event {
        Event::Truncated { ticket, recovered } => {
            format!("Truncated {{ {ticket:?}, at {} }}", recovered.database.last_processed)
        }
        Event::Peer { link, message } => format!("link {}: {}", link.0, peer_text(message)),
        Event::LogRead { link, above, entries } => {
            format!("link {}: LogRead above {above}: {:?}", link.0, entries.as_ref().map(Vec::len))
        }
        event => format!("{event:?}"),
    }
}

fn action_text(action: &Action) -> String {
    match action {
        Action::Send { link, message } => format!("link {}: {}", link.0, peer_text(message)),
        Action::TakeSnapshot { database } => format!("TakeSnapshot at {}", database.last_processed),
        Action::Store { ticket, op } => format!("store {}: {}", ticket.0, store_text(op)),
        action => format!("{action:?}"),
    }
}

fn store_text(op: &StoreOp) -> String {
    match op {
        StoreOp::Append(entries) => {
            let zxids: Vec<String> = entries.iter().map(|e| e.zxid().to_string()).collect();
            format!("Append {}", zxids.join(" "))
        }
        StoreOp::Install(database) => format!("Install at {}", database.last_processed),
        op => format!("{op:?}"),
    }
}

fn peer_text(message: &PeerMessage) -> String {
    match message {
        PeerMessage::Election(n) => format!(
            "{:?} votes {} zxid {} epoch {} round {}",
            n.state, n.leader, n.zxid, n.peer_epoch, n.round
        ),
        PeerMessage::Quorum(packet) => {
            use zebu_core::proto::QuorumPacket;
            match packet {
                QuorumPacket::Proposal(entry) => {
                    format!("Proposal {} {:?}", entry.zxid(), entry.txn.body)
                }
                QuorumPacket::Inform(entry) => format!("Inform {}", entry.zxid()),
                packet => format!("{packet:?}"),
            }
        }
        PeerMessage::Snapshot(database) => format!("snapshot at {}", database.last_processed),
    }
}

fn disk_text(op: &DiskOp) -> String {
    match op {
        DiskOp::Create(file) => format!("create {}", file.name),
        DiskOp::Write { file, offset, bytes } => {
            format!("write {} at {offset}: {} bytes", file.name, bytes.len())
        }
        DiskOp::SetLen { file, len } => format!("set length {} to {len}", file.name),
        DiskOp::Sync(file) => format!("sync {}", file.name),
        DiskOp::Rename { from, to } => format!("rename {} to {}", from.name, to.name),
        DiskOp::Remove(file) => format!("remove {}", file.name),
        DiskOp::SyncDir(dir) => format!("sync directory {dir:?}"),
    }
}
