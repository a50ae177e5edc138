//! What each request means: one file per family of opcodes. A write is prepared at the leader (a
//! request and the state it will meet become a transaction) and answered where its client is
//! connected; a read is answered from the tree.
//!
//! Here is only the dispatch. The tree changes elsewhere ([`crate::tree::apply`]), and watches fire
//! elsewhere ([`crate::watch`]).

mod acl;
mod auth;
mod check;
mod create;
mod delete;
mod draft;
mod eager;
#[cfg(test)]
mod model;
mod multi;
mod pending;
mod quota;
mod read;
pub mod reconfig;
mod session;
mod set_data;
mod sync;
#[cfg(test)]
mod tests;
mod watches;

pub use acl::may_read;
pub use delete::may_go;
pub use eager::denied;
pub use multi::MULTI_READ_MAX;
pub use pending::Pending;
pub use session::{explain_refusal, says_expired, wants_global_session};
pub use watches::watch_of;

use crate::auth::Access;
use crate::ids::SessionId;
use crate::membership::CONFIG_NODE;
use crate::proto::{ErrorCode, OpCode, Request, Response};
use crate::tree::{Applied, Database};
use crate::txn::{Txn, TxnBody};
use draft::Draft;

/// On whose behalf a request is carried out.
#[derive(Clone, Copy, Debug)]
pub struct Caller<'a> {
    pub session: SessionId,
    pub auth: Access<'a>,
    /// The session may be a local one of the server that the request came through: nobody else
    /// knows it.
    pub local: bool,
}

/// Which way a request takes through the ensemble.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Route {
    /// Answered by the server that the client is connected to, from its tree; also what is refused
    /// without looking at the tree.
    Read,
    /// Becomes a transaction at the leader.
    Write,
    /// Goes through the leader behind the writes in flight, and leaves no transaction.
    Sync,
}

pub fn route(request: &Request) -> Route {
    match request {
        Request::Create(_)
        | Request::Create2(_)
        | Request::CreateContainer(_)
        | Request::CreateTtl(_)
        | Request::Delete { .. }
        | Request::SetData { .. }
        | Request::SetAcl { .. }
        | Request::Multi(_)
        | Request::Reconfig(_)
        | Request::CloseSession
        | Request::CreateSession { .. } => Route::Write,
        Request::Sync { .. } => Route::Sync,
        Request::Exists { .. }
        | Request::GetData { .. }
        | Request::GetAcl { .. }
        | Request::GetChildren { .. }
        | Request::GetChildren2 { .. }
        | Request::MultiRead(_)
        | Request::GetEphemerals { .. }
        | Request::GetAllChildrenNumber { .. }
        | Request::WhoAmI
        | Request::Ping
        | Request::CheckWatches { .. }
        | Request::RemoveWatches { .. }
        | Request::SetWatches(_)
        | Request::AddWatch { .. }
        | Request::Auth { .. }
        | Request::Sasl { .. } => Route::Read,
        // Departs: ZK 3.9 turns an unreadable write into a transaction under a zxid that is used
        // already, and the ensemble hangs on it. It needs no transaction to be refused.
        Request::Check { .. } | Request::Malformed(_) | Request::Unknown(_) => Route::Read,
    }
}

/// Does this request become a transaction at the leader?
pub fn is_write(request: &Request) -> bool {
    route(request) == Route::Write
}

/// Is this one that no client may send? It is told so, at no place in the order, and its connection
/// is closed; the session lives on.
// ZK: Request.isValid, UnimplementedRequestProcessor (3.9)
pub fn is_unimplemented(request: &Request) -> bool {
    matches!(
        request,
        Request::Check { .. } | Request::Malformed(OpCode::Check) | Request::Unknown(_)
    )
}

/// Judges one request. `Ok` is what it does, already drawn into `draft`; `Err` is what is logged in
/// its stead.
// ZK: PrepRequestProcessor.pRequestHelper (3.9)
fn prepare(draft: &mut Draft<'_>, request: &Request) -> Result<TxnBody, TxnBody> {
    if let Request::Multi(parts) = request {
        return multi::prepare(draft, parts);
    }
    // ZOOKEEPER-2623: alone it would be a transaction that upstream's log cannot hold.
    if let Request::Check { .. } = request {
        return Err(TxnBody::Error(ErrorCode::UNIMPLEMENTED));
    }
    prepare_single(draft, request).map_err(TxnBody::Error)
}

/// One request that is no multi: on its own or, as far as [`multi`] lets it through, a part of one.
// ZK: PrepRequestProcessor.pRequest2Txn (3.9)
fn prepare_single(draft: &mut Draft<'_>, request: &Request) -> Result<TxnBody, ErrorCode> {
    use create::Opcode;
    match request {
        Request::Create(create) => create::prepare(draft, Opcode::Create, create),
        Request::Create2(create) => create::prepare(draft, Opcode::Create2, create),
        Request::CreateContainer(create) => create::prepare(draft, Opcode::Container, create),
        Request::CreateTtl(ttl) => {
            create::prepare(draft, Opcode::Ttl { ttl_ms: ttl.ttl_ms }, &ttl.create)
        }
        Request::Delete { path, version } => delete::prepare(draft, path, *version),
        Request::SetData { path, data, version } => {
            set_data::prepare(draft, path, data.as_ref(), *version)
        }
        Request::SetAcl { path, acl, version } => acl::prepare_set(draft, path, acl, *version),
        Request::Check { path, version } => check::prepare(draft, path, *version),
        // Where it is enabled the leader judges it by more than the tree.
        Request::Reconfig(_) => Err(ErrorCode::RECONFIG_DISABLED),
        Request::CreateSession { timeout_ms } => Ok(session::prepare_create(draft, *timeout_ms)),
        Request::CloseSession => Ok(session::prepare_close(draft)),
        Request::Malformed(_) => Err(ErrorCode::MARSHALLING_ERROR),
        // Only a learner that misbehaves sends these to the leader as writes.
        Request::Exists { .. }
        | Request::GetData { .. }
        | Request::GetAcl { .. }
        | Request::GetChildren { .. }
        | Request::GetChildren2 { .. }
        | Request::Sync { .. }
        | Request::MultiRead(_)
        | Request::GetEphemerals { .. }
        | Request::GetAllChildrenNumber { .. }
        | Request::WhoAmI
        | Request::Ping
        | Request::Multi(_)
        | Request::CheckWatches { .. }
        | Request::RemoveWatches { .. }
        | Request::SetWatches(_)
        | Request::AddWatch { .. }
        | Request::Auth { .. }
        | Request::Sasl { .. }
        | Request::Unknown(_) => Err(ErrorCode::UNIMPLEMENTED),
    }
}

/// The answer to the write that became `txn`, from the tree right after it was applied. Another
/// server may have prepared it, so nothing that preparing knew is used.
// ZK: FinalRequestProcessor.processRequest (3.9)
pub fn reply(
    request: &Request,
    txn: &Txn,
    applied: &Applied,
    database: &Database,
) -> Result<Response, ErrorCode> {
    if let TxnBody::Error(code) = txn.body {
        return Err(code);
    }
    if let TxnBody::Multi(parts) = &txn.body {
        return Ok(multi::reply(txn, parts, applied));
    }
    if let Some(Err(code)) = applied.results.first() {
        return Err(*code);
    }
    match request {
        Request::Create(_) => {
            let (path, _) = create::created(&txn.header, &txn.body).ok_or(UNEXPECTED_TXN)?;
            Ok(Response::Path(path))
        }
        Request::Create2(_) | Request::CreateContainer(_) | Request::CreateTtl(_) => {
            let (path, stat) = create::created(&txn.header, &txn.body).ok_or(UNEXPECTED_TXN)?;
            Ok(Response::PathStat { path, stat })
        }
        Request::SetData { path, .. } | Request::SetAcl { path, .. } => {
            let node = database.tree.get(path).ok_or(UNEXPECTED_TXN)?;
            Ok(Response::Stat(node.client_stat()))
        }
        Request::Reconfig(_) => {
            let node = database.tree.get(CONFIG_NODE).ok_or(UNEXPECTED_TXN)?;
            Ok(Response::Data { data: node.data.cloned(), stat: node.client_stat() })
        }
        Request::Delete { .. } | Request::CloseSession | Request::CreateSession { .. } => {
            Ok(Response::Empty)
        }
        Request::Exists { .. }
        | Request::GetData { .. }
        | Request::GetAcl { .. }
        | Request::GetChildren { .. }
        | Request::GetChildren2 { .. }
        | Request::Sync { .. }
        | Request::MultiRead(_)
        | Request::GetEphemerals { .. }
        | Request::GetAllChildrenNumber { .. }
        | Request::WhoAmI
        | Request::Ping
        | Request::Check { .. }
        | Request::Multi(_)
        | Request::CheckWatches { .. }
        | Request::RemoveWatches { .. }
        | Request::SetWatches(_)
        | Request::AddWatch { .. }
        | Request::Auth { .. }
        | Request::Sasl { .. }
        | Request::Malformed(_)
        | Request::Unknown(_) => Err(UNEXPECTED_TXN),
    }
}

/// The leader made a transaction that does not fit the request: upstream's "any internal exception".
const UNEXPECTED_TXN: ErrorCode = ErrorCode::MARSHALLING_ERROR;

/// The answer to a read. Watches are the server's to register, see [`watch_of`]; it also answers
/// what is asked about them.
// ZK: FinalRequestProcessor.processRequest (3.9)
pub fn read(
    database: &Database,
    caller: Caller<'_>,
    request: &Request,
) -> Result<Response, ErrorCode> {
    let auth = caller.auth;
    match request {
        Request::Exists { path, .. } => read::exists(database, auth, path),
        Request::GetData { path, .. } => read::get_data(database, auth, path),
        Request::GetChildren { path, .. } => read::get_children(database, auth, path),
        Request::GetChildren2 { path, .. } => read::get_children2(database, auth, path),
        Request::GetAcl { path } => acl::get(database, auth, path),
        Request::MultiRead(parts) => multi::read(database, caller, parts),
        Request::GetEphemerals { prefix } => {
            Ok(read::get_ephemerals(database, caller.session, prefix))
        }
        Request::GetAllChildrenNumber { path } => {
            read::get_all_children_number(database, auth, path)
        }
        Request::WhoAmI => Ok(auth::who_am_i(auth)),
        Request::Sync { path } => Ok(sync::answer(path)),
        // Whatever the path, and whoever asks: what may be told is decided when there is an event.
        Request::AddWatch { .. } => Ok(Response::WatchAdded),
        Request::Ping
        | Request::CheckWatches { .. }
        | Request::RemoveWatches { .. }
        | Request::SetWatches(_) => Ok(Response::Empty),
        // Whether what nobody carries out could be read is not looked at.
        Request::Check { .. } | Request::Malformed(OpCode::Check) | Request::Unknown(_) => {
            Err(ErrorCode::UNIMPLEMENTED)
        }
        // The connection's own affairs, which have nothing to do with the tree.
        Request::Auth { .. } | Request::Sasl { .. } => Err(ErrorCode::UNIMPLEMENTED),
        Request::Malformed(_) => Err(ErrorCode::MARSHALLING_ERROR),
        Request::Create(_)
        | Request::Create2(_)
        | Request::CreateContainer(_)
        | Request::CreateTtl(_)
        | Request::Delete { .. }
        | Request::SetData { .. }
        | Request::SetAcl { .. }
        | Request::Multi(_)
        | Request::Reconfig(_)
        | Request::CloseSession
        | Request::CreateSession { .. } => Err(ErrorCode::UNIMPLEMENTED),
    }
}
