//! createSession and closeSession: prepare; and which requests need a session that all servers know.
//! Ids, passwords and expiry are in [`crate::session`].

use super::draft::{Draft, encoded_len};
use crate::mutant::Mutant;
use crate::proto::{ErrorCode, MultiResult, Request, Response, create_flags};
use crate::txn::TxnBody;

/// What a closeSession transaction takes beside its paths: header, count, digest.
const CLOSE_TXN_FIXED: usize = 32 + 4 + 12;

/// A server asks for it on behalf of a connection; there is nothing to check.
// ZK: PrepRequestProcessor.pRequest2Txn (3.9): case createSession
pub(super) fn prepare_create(draft: &mut Draft<'_>, timeout_ms: i32) -> TxnBody {
    draft.set_session(draft.caller.session, true);
    TxnBody::CreateSession { timeout_ms }
}

/// The transaction lists what goes with the session: the ephemerals that the tree has, and those in
/// flight, less what deletions in flight will have removed. A session that is closed already, or
/// never was, is closed once more and nothing comes of it.
// ZK: PrepRequestProcessor.pRequest2Txn (3.9): case closeSession
// Departs: upstream's parents keep counting these children until the close is applied, so that
// deleting a parent right behind it is refused; and the list has no order.
pub(super) fn prepare_close(draft: &mut Draft<'_>) -> TxnBody {
    let session = draft.caller.session;
    let paths = draft.ephemerals(session);
    for path in &paths {
        draft.delete(path);
    }
    if !draft.config.planted(Mutant::CloseNotMarkedPending) {
        draft.set_session(session, false);
    }
    // Whoever applies it finds the same ephemerals, for everything before it is applied by then.
    TxnBody::CloseSession { paths: draft.config.records.close_lists_ephemerals.then_some(paths) }
}

/// May the caller own one more ephemeral? Refused in time, because its closeSession cannot be: that
/// transaction must fit in what upstream's servers read, or they stop at it, at every start.
// JIRA: ZOOKEEPER-4306
// Departs: ZK lets the session grow until its close brings the ensemble down.
pub(super) fn admit_ephemeral(draft: &mut Draft<'_>, path: &str) -> Result<(), ErrorCode> {
    let session = draft.caller.session;
    let size = draft.close_size(session) + encoded_len(path);
    let unbounded = draft.config.planted(Mutant::CloseTxnUnbounded);
    if CLOSE_TXN_FIXED + size > draft.config.limits.frame_max && !unbounded {
        return Err(ErrorCode::QUOTA_EXCEEDED);
    }
    draft.set_close_size(session, size);
    Ok(())
}

/// Does this make an ephemeral, whose owner all servers must know?
// ZK: QuorumZooKeeperServer.checkUpgradeSession (3.9): by the flags, for the opcodes create and
// create2 only; what cannot be read needs nothing.
pub fn wants_global_session(request: &Request) -> bool {
    match request {
        Request::Create(create) | Request::Create2(create) => {
            matches!(create.flags, create_flags::EPHEMERAL | create_flags::EPHEMERAL_SEQUENTIAL)
        }
        Request::Multi(parts) => parts.iter().any(wants_global_session),
        _ => false,
    }
}

/// A leader that does not know a session takes it for expired. Its own server knows better, and why
/// an ephemeral was refused.
// ZK: FinalRequestProcessor.processRequest (3.9)
// Departs: there the parts of a multi stay expired.
pub fn explain_refusal(
    request: &Request,
    result: Result<Response, ErrorCode>,
) -> Result<Response, ErrorCode> {
    match (request, result) {
        (Request::Multi(parts), Ok(Response::Multi(mut results))) => {
            for (part, result) in parts.iter().zip(&mut results) {
                if *result == EXPIRED && wants_global_session(part) {
                    *result = MultiResult::Error(ErrorCode::EPHEMERAL_ON_LOCAL_SESSION);
                }
            }
            Ok(Response::Multi(results))
        }
        (request, Err(ErrorCode::SESSION_EXPIRED)) if wants_global_session(request) => {
            Err(ErrorCode::EPHEMERAL_ON_LOCAL_SESSION)
        }
        (_, result) => result,
    }
}

const EXPIRED: MultiResult = MultiResult::Error(ErrorCode::SESSION_EXPIRED);

/// Does this answer to a write say that the session is over?
pub fn says_expired(result: &Result<Response, ErrorCode>) -> bool {
    match result {
        Err(code) => *code == ErrorCode::SESSION_EXPIRED,
        Ok(Response::Multi(results)) => results.contains(&EXPIRED),
        Ok(_) => false,
    }
}
