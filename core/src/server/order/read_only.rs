//! Clients of a server without a quorum: who is let in, and what they are refused.
//!
// ZK: ReadOnlyZooKeeperServer, ReadOnlyRequestProcessor (3.9)

use alloc::string::String;

use crate::mutant::Mutant;
use crate::ops::{self, Route};
use crate::proto::{ConnectRequest, ErrorCode, OpCode, Request, Response};

use super::super::CloseReason;
use super::super::cx::Cx;
use super::Order;

impl Order {
    /// Why a ConnectRequest is not even looked at.
    pub(super) fn turned_away(request: &ConnectRequest, cx: &Cx) -> Option<CloseReason> {
        if cx.read_only.is_on() {
            return (request.read_only != Some(true)).then_some(CloseReason::ReadOnly);
        }
        // ZK: Leader.lead: zookeeper.leaderServes (3.9)
        let keeps_out = cx.config.admission.leader_serves_nobody && cx.leads_others();
        (cx.serving.is_none() || keeps_out).then_some(CloseReason::NotServing)
    }

    /// Sessions of a read-only time are local ones, whatever the configuration says of other times.
    /// They go with it if they could not exist then.
    // Departs: without localSessionsEnabled upstream answers a new client with a reply header where
    // it expects a ConnectResponse, so that it connects again and again.
    pub(crate) fn forget_read_only_sessions(&mut self, cx: &Cx) {
        if !cx.config.local_sessions.enabled {
            self.local.clear();
        }
    }
}

/// What is answered in the place of anything that would need a quorum.
pub(super) fn refusal(request: &Request, cx: &Cx) -> Option<Result<Response, ErrorCode>> {
    if !cx.read_only.is_on() {
        return None;
    }
    let refused = match request {
        // Of a local session: there are no others.
        Request::CloseSession => false,
        Request::Malformed(opcode) => writes(*opcode),
        request => ops::route(request) != Route::Read,
    };
    if refused
        && cx.config.planted(Mutant::ReadOnlyAcceptsWrite)
        && let Request::Create(create) = request
    {
        return Some(Ok(Response::Path(String::from(&create.path))));
    }
    refused.then_some(Err(ErrorCode::NOT_READ_ONLY))
}

/// Nobody looks into the body of what is refused anyway.
fn writes(opcode: OpCode) -> bool {
    matches!(
        opcode,
        OpCode::Create
            | OpCode::Create2
            | OpCode::CreateContainer
            | OpCode::CreateTtl
            | OpCode::Delete
            | OpCode::SetData
            | OpCode::SetAcl
            | OpCode::Multi
            | OpCode::Reconfig
            | OpCode::Sync
    )
}
