//! What operators ask about: counts and latencies of requests, of a connection and of the server.

use crate::ids::{Xid, Zxid};
use crate::proto::{OpCode, Request};
use crate::time::{Duration, Instant, WallTime};

use super::metrics::Summary;

/// Since the start of this server, or since `srst` (upstream: `ServerStats`).
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Stats {
    pub(crate) received: u64,
    pub(crate) sent: u64,
    /// Microseconds: the average is worth more than milliseconds.
    micros: Summary,
}

impl Stats {
    pub(crate) fn answered(&mut self, took: Duration) {
        self.micros.add(took.as_micros() as u64);
    }
    /// Milliseconds: least, average (4 decimals), most.
    pub(crate) fn latency_ms(&self) -> (u64, f64, u64) {
        // Rounded half up to 0.1 microseconds, as upstream rounds to four places.
        let average = self.micros.sum.checked_div(self.micros.count).unwrap_or(0) as f64 / 1000.0;
        (self.micros.least() / 1000, average, self.micros.most / 1000)
    }
}

/// Of one connection, since it opened or since `crst` (upstream: `ServerCnxn`).
#[derive(Clone, Copy, Debug)]
pub(crate) struct ConnStats {
    pub(crate) established: WallTime,
    /// When its client was last heard.
    pub(crate) heard: Instant,
    pub(crate) received: u64,
    pub(crate) sent: u64,
    pub(crate) last: Option<LastOp>,
    pub(crate) latency_ms: Summary,
}

/// The request that was answered last.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LastOp {
    /// Upstream's four letters for it.
    pub(crate) op: &'static str,
    pub(crate) cxid: Xid,
    pub(crate) zxid: Zxid,
    pub(crate) at: Instant,
    pub(crate) took_ms: u64,
}

impl ConnStats {
    pub(crate) fn open(established: WallTime, heard: Instant) -> Self {
        let (received, sent, last) = (0, 0, None);
        Self { established, heard, received, sent, last, latency_ms: Summary::default() }
    }
    pub(crate) fn reset(&mut self) {
        *self = Self::open(self.established, self.heard);
    }
    pub(crate) fn answered(&mut self, last: LastOp) {
        self.latency_ms.add(last.took_ms);
        self.last = Some(last);
    }
}

/// Upstream's four letters for a request (`lop` of `cons`).
// ZK: FinalRequestProcessor.processRequest (3.9)
pub(crate) fn letters(request: &Request) -> &'static str {
    match OpCode::from_number(request.opcode()) {
        Some(OpCode::Create | OpCode::Create2 | OpCode::CreateContainer | OpCode::CreateTtl) => {
            "CREA"
        }
        Some(OpCode::Delete | OpCode::DeleteContainer) => "DELE",
        Some(OpCode::Exists) => "EXIS",
        Some(OpCode::GetData) => "GETD",
        Some(OpCode::SetData) => "SETD",
        Some(OpCode::GetAcl) => "GETA",
        Some(OpCode::SetAcl) => "SETA",
        Some(OpCode::GetChildren | OpCode::GetChildren2) => "GETC",
        Some(OpCode::GetAllChildrenNumber) => "GETACN",
        Some(OpCode::GetEphemerals) => "GETE",
        Some(OpCode::Sync) => "SYNC",
        Some(OpCode::Ping) => "PING",
        Some(OpCode::Check) => "CHEC",
        Some(OpCode::Multi) => "MULT",
        Some(OpCode::MultiRead) => "MLTR",
        Some(OpCode::Reconfig) => "RECO",
        Some(OpCode::SetWatches) => "SETW",
        Some(OpCode::SetWatches2) => "STW2",
        Some(OpCode::AddWatch) => "ADDW",
        Some(OpCode::CheckWatches) => "CHKW",
        Some(OpCode::RemoveWatches) => "REMW",
        Some(OpCode::WhoAmI) => "HOMI",
        Some(OpCode::CreateSession) => "SESS",
        Some(OpCode::CloseSession) => "CLOS",
        Some(OpCode::Auth | OpCode::Sasl) | None => "NA",
    }
}
