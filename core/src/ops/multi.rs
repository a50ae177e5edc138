//! multi: all of its parts or none, in one transaction. multiRead: each of its parts for itself, at
//! one moment.

use alloc::vec::Vec;

use super::create::created;
use super::draft::Draft;
use super::{Caller, UNEXPECTED_TXN, prepare_single};
use crate::proto::{
    CreateRequest, CreateTtlRequest, ErrorCode, MultiResult, Request, Response, create_flags,
};
use crate::tree::{Applied, Database};
use crate::txn::{Txn, TxnBody};

/// Each part is judged over what the earlier ones drew into `draft`. After the first refusal nothing
/// is judged any more, and the caller drops the draft: that is the whole rollback.
// ZK: PrepRequestProcessor.pRequestHelper (3.9): case multi
pub(super) fn prepare(draft: &mut Draft<'_>, parts: &[Request]) -> Result<TxnBody, TxnBody> {
    if !parts.iter().all(may_be_part) {
        return Err(TxnBody::Error(ErrorCode::MARSHALLING_ERROR));
    }
    let mut bodies = Vec::with_capacity(parts.len());
    for part in parts {
        match prepare_part(draft, part) {
            Ok(body) => bodies.push(body),
            Err(code) => {
                bodies.push(TxnBody::Error(code));
                bodies.resize(parts.len(), TxnBody::Error(ErrorCode::RUNTIME_INCONSISTENCY));
                return Err(TxnBody::Multi(bodies));
            }
        }
    }
    Ok(TxnBody::Multi(bodies))
}

/// In a multi, and only there, flags say more than the opcode.
// ZK: Op.create, Op.Create.getOpcode (3.9)
fn prepare_part(draft: &mut Draft<'_>, part: &Request) -> Result<TxnBody, ErrorCode> {
    let by_flags = match part {
        Request::Create(create) | Request::Create2(create)
            if create.flags == create_flags::CONTAINER =>
        {
            Some(Request::CreateContainer(create.clone()))
        }
        Request::CreateTtl(CreateTtlRequest { create, .. }) => without_ttl(create),
        _ => None,
    };
    prepare_single(draft, by_flags.as_ref().unwrap_or(part))
}

/// What a createTTL is whose flags are not those of a TTL node.
fn without_ttl(create: &CreateRequest) -> Option<Request> {
    match create.flags {
        create_flags::TTL | create_flags::TTL_SEQUENTIAL => None,
        create_flags::CONTAINER => Some(Request::CreateContainer(create.clone())),
        _ => Some(Request::Create(create.clone())),
    }
}

// ZK: MultiOperationRecord.deserialize (3.9)
fn may_be_part(request: &Request) -> bool {
    matches!(
        request,
        Request::Create(_)
            | Request::Create2(_)
            | Request::CreateContainer(_)
            | Request::CreateTtl(_)
            | Request::Delete { .. }
            | Request::SetData { .. }
            | Request::Check { .. }
    )
}

/// One result for each part. The reply's header says OK also for a multi that failed: there the
/// parts before the one that was refused have the error 0, those behind it RuntimeInconsistency.
// ZK: DataTree.processTxn (3.9): case multi; FinalRequestProcessor.processRequest
pub(super) fn reply(txn: &Txn, parts: &[TxnBody], applied: &Applied) -> Response {
    let refused = parts.iter().any(|part| matches!(part, TxnBody::Error(_)));
    let results = parts.iter().enumerate().map(|(i, part)| match (part, applied.results.get(i)) {
        (TxnBody::Error(code), _) => MultiResult::Error(*code),
        _ if refused => MultiResult::Error(ErrorCode::OK),
        (_, Some(Err(code))) => MultiResult::Error(*code),
        (_, Some(Ok(()))) => done(txn, part, applied, i),
        (_, None) => MultiResult::Error(UNEXPECTED_TXN),
    });
    Response::Multi(results.collect())
}

fn done(txn: &Txn, part: &TxnBody, applied: &Applied, index: usize) -> MultiResult {
    match part {
        TxnBody::Create(create) => MultiResult::Create { path: create.path.clone() },
        TxnBody::Create2(_) | TxnBody::CreateContainer(_) | TxnBody::CreateTtl(_) => {
            match created(&txn.header, part) {
                Some((path, stat)) => MultiResult::Create2 { path, stat },
                None => MultiResult::Error(UNEXPECTED_TXN),
            }
        }
        TxnBody::Delete { .. } => MultiResult::Delete,
        TxnBody::SetData { .. } => match applied.stats.get(index) {
            Some(Some(stat)) => MultiResult::SetData { stat: *stat },
            Some(None) | None => MultiResult::Error(UNEXPECTED_TXN),
        },
        TxnBody::Check { .. } => MultiResult::Check,
        TxnBody::Error(code) => MultiResult::Error(*code),
        TxnBody::CreateSession { .. }
        | TxnBody::CloseSession { .. }
        | TxnBody::SetAcl { .. }
        | TxnBody::Multi(_)
        | TxnBody::Reconfig { .. }
        | TxnBody::DeleteContainer { .. } => MultiResult::Error(UNEXPECTED_TXN),
    }
}

/// Bytes of one multiRead's answer. A request of a megabyte can ask for a large znode a hundred
/// thousand times.
// Departs: upstream has no bound, and no memory left.
pub const MULTI_READ_MAX: usize = 64 << 20;

/// One answer for each part.
// ZK: FinalRequestProcessor.processRequest (3.9): case multiRead
pub(super) fn read(
    database: &Database,
    caller: Caller<'_>,
    parts: &[Request],
) -> Result<Response, ErrorCode> {
    let mut left = MULTI_READ_MAX;
    let results = parts.iter().map(|part| {
        let read = match part {
            Request::GetData { .. } | Request::GetChildren { .. } => {
                super::read(database, caller, part)
            }
            // The codec lets nothing else in.
            _ => Err(ErrorCode::MARSHALLING_ERROR),
        };
        let result = match read {
            Ok(Response::Data { data, stat }) => MultiResult::Data { data, stat },
            Ok(Response::Children(children)) => MultiResult::Children(children),
            Ok(_) => MultiResult::Error(ErrorCode::MARSHALLING_ERROR),
            Err(code) => MultiResult::Error(code),
        };
        left = left.checked_sub(result.weight()).ok_or(ErrorCode::MARSHALLING_ERROR)?;
        Ok(result)
    });
    Ok(Response::Multi(results.collect::<Result<_, _>>()?))
}
