//! What each request means: one file per family of opcodes. A write is prepared at the leader (a
//! request and the state it will meet become a transaction) and answered where its client is
//! connected; a read is answered from the tree.

use crate::config::Config;
use crate::ids::{SessionId, Zxid};
use crate::proto::{ErrorCode, Id, Request, Response};
use crate::time::WallTime;
use crate::tree::{Applied, Database};
use crate::txn::{Txn, TxnBody, TxnDigest};

/// On whose behalf a request is carried out.
#[derive(Clone, Copy, Debug)]
pub struct Caller<'a> {
    pub session: SessionId,
    pub auth: &'a [Id],
}

/// What transactions in flight will have done (upstream: `outstandingChanges`): validation sees the
/// applied state with these laid over it.
#[derive(Clone, Debug, Default)]
pub struct Pending {}

impl Pending {
    /// Nothing in flight over `database`.
    pub fn new(database: &Database) -> Self {
        let _ = database;
        todo!()
    }
    /// Judges a write against what it will meet at `zxid`. A refusal is a transaction too
    /// ([`TxnBody::Error`]). Its effect is laid over the state for those behind it.
    pub fn prepare(
        &mut self,
        database: &Database,
        config: &Config,
        caller: Caller<'_>,
        request: &Request,
        zxid: Zxid,
        time: WallTime,
    ) -> (TxnBody, TxnDigest) {
        let _ = (database, config, caller, request, zxid, time);
        todo!()
    }
    /// A refusal decided elsewhere; nothing changes.
    pub fn refuse(&self, code: ErrorCode) -> (TxnBody, TxnDigest) {
        let _ = code;
        todo!()
    }
    /// Will `session` still be open behind everything in flight?
    pub fn session_open(&self, database: &Database, session: SessionId) -> bool {
        let _ = (database, session);
        todo!()
    }
    /// `zxid` is applied: what it did is in the tree now.
    pub fn applied(&mut self, zxid: Zxid) {
        let _ = zxid;
        todo!()
    }
}

/// Does this request go through the leader?
pub fn is_write(request: &Request) -> bool {
    let _ = request;
    todo!()
}

/// The answer to the write that became `txn`, from the tree right after it was applied.
pub fn reply(
    request: &Request,
    txn: &Txn,
    applied: &Applied,
    database: &Database,
) -> Result<Response, ErrorCode> {
    let _ = (request, txn, applied, database);
    todo!()
}

/// The answer to a read. Watches are the server's to register, see [`watch_of`].
pub fn read(database: &Database, auth: &[Id], request: &Request) -> Result<Response, ErrorCode> {
    let _ = (database, auth, request);
    todo!()
}

/// The watch that a read asks for, given how it was answered: exists also watches a missing node.
pub fn watch_of<'a>(
    request: &'a Request,
    result: &Result<Response, ErrorCode>,
) -> Option<(crate::watch::WatchKind, &'a str)> {
    let _ = (request, result);
    todo!()
}
