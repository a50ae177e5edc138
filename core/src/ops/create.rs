//! create, create2, createContainer and createTTL: prepare, and the Stat of their answers.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use bytes::Bytes;

use super::draft::Draft;
use super::{acl, quota, session};
use crate::mutant::Mutant;
use crate::proto::{Acl, CreateRequest, ErrorCode, Stat, create_flags, perms};
use crate::tree::{Owner, path};
use crate::txn::{CreateContainerTxn, CreateTtlTxn, CreateTxn, TxnBody, TxnHeader};

/// Which of the four opcodes. It decides the kind of transaction; the flags decide whether the name
/// is sequential and the node ephemeral.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Opcode {
    Create,
    Create2,
    Container,
    Ttl { ttl_ms: i64 },
}

// ZK: PrepRequestProcessor.pRequest2TxnCreate (3.9)
pub(super) fn prepare(
    draft: &mut Draft<'_>,
    opcode: Opcode,
    request: &CreateRequest,
) -> Result<TxnBody, ErrorCode> {
    let mode = Mode::judge(opcode, request.flags, draft.config.extended_types)?;
    match opcode {
        Opcode::Create | Opcode::Create2 if mode.ephemeral => draft.check_global_session()?,
        Opcode::Create | Opcode::Create2 | Opcode::Container | Opcode::Ttl { .. } => {
            draft.check_session()?;
        }
    }
    let parent_path = parent_of(&request.path)?;
    let acl = acl::fix_up(&request.acl, draft.caller.auth, draft.config.limits.frame_max)?;
    let parent = draft.get(parent_path).ok_or(ErrorCode::NO_NODE)?;
    acl::check(parent.acl, perms::CREATE, draft.caller.auth)?;
    let path = match mode.sequential {
        true => format!("{}{:010}", request.path, parent.stat.cversion),
        false => request.path.clone(),
    };
    let valid =
        path::validate(&path).is_ok() || draft.config.planted(Mutant::ValidateWeakerThanApply);
    if !valid {
        return Err(ErrorCode::BAD_ARGUMENTS);
    }
    if draft.get(&path).is_some() {
        return Err(ErrorCode::NODE_EXISTS);
    }
    if let Owner::Session(_) = parent.owner() {
        return Err(ErrorCode::NO_CHILDREN_FOR_EPHEMERALS);
    }
    let parent_cversion = parent.stat.cversion.wrapping_add(1);
    quota::admit_node(draft, &path, request.data.as_ref())?;
    let owner = match opcode {
        Opcode::Create | Opcode::Create2 if mode.ephemeral => Owner::Session(draft.caller.session),
        Opcode::Create | Opcode::Create2 => Owner::Nobody,
        Opcode::Container => Owner::Container,
        Opcode::Ttl { ttl_ms } => Owner::Ttl { ms: ttl_ms },
    };
    let ephemeral = matches!(owner, Owner::Session(_));
    if ephemeral {
        session::admit_ephemeral(draft, &path)?;
    }
    let stored_owner = owner.to_stored().ok_or(ErrorCode::BAD_ARGUMENTS)?;
    let data = request.data.clone();
    draft.create(&path, data.as_ref(), &acl, stored_owner, parent_cversion);
    Ok(transaction(opcode, path, data, acl, ephemeral, parent_cversion))
}

fn transaction(
    opcode: Opcode,
    path: String,
    data: Option<Bytes>,
    acl: Vec<Acl>,
    ephemeral: bool,
    parent_cversion: i32,
) -> TxnBody {
    match opcode {
        Opcode::Create => {
            TxnBody::Create(CreateTxn { path, data, acl, ephemeral, parent_cversion })
        }
        Opcode::Create2 => {
            TxnBody::Create2(CreateTxn { path, data, acl, ephemeral, parent_cversion })
        }
        Opcode::Container => {
            TxnBody::CreateContainer(CreateContainerTxn { path, data, acl, parent_cversion })
        }
        Opcode::Ttl { ttl_ms } => {
            TxnBody::CreateTtl(CreateTtlTxn { path, data, acl, parent_cversion, ttl_ms })
        }
    }
}

/// What the flags ask for.
struct Mode {
    sequential: bool,
    ephemeral: bool,
}

impl Mode {
    // ZK: CreateMode.fromFlag, PrepRequestProcessor.validateCreateRequest, EphemeralType.validateTTL (3.9)
    fn judge(opcode: Opcode, flags: i32, extended_types: bool) -> Result<Self, ErrorCode> {
        use create_flags::{
            CONTAINER, EPHEMERAL, EPHEMERAL_SEQUENTIAL, PERSISTENT, PERSISTENT_SEQUENTIAL, TTL,
            TTL_SEQUENTIAL,
        };
        let ttl_flags = match flags {
            PERSISTENT | EPHEMERAL | PERSISTENT_SEQUENTIAL | EPHEMERAL_SEQUENTIAL | CONTAINER => {
                false
            }
            TTL | TTL_SEQUENTIAL => true,
            _ => return Err(ErrorCode::BAD_ARGUMENTS),
        };
        if ttl_flags && !extended_types {
            return Err(ErrorCode::UNIMPLEMENTED);
        }
        match opcode {
            Opcode::Ttl { ttl_ms } if ttl_flags && (1..=Owner::TTL_MAX_MS).contains(&ttl_ms) => {}
            // Departs: ZK lets createTTL with other flags and a negative time pass, and every server
            // that applies the transaction stops, again at each start.
            Opcode::Ttl { .. } => return Err(ErrorCode::BAD_ARGUMENTS),
            Opcode::Create | Opcode::Create2 | Opcode::Container if ttl_flags => {
                return Err(ErrorCode::BAD_ARGUMENTS);
            }
            Opcode::Create | Opcode::Create2 | Opcode::Container => {}
        }
        Ok(Self {
            sequential: matches!(
                flags,
                PERSISTENT_SEQUENTIAL | EPHEMERAL_SEQUENTIAL | TTL_SEQUENTIAL
            ),
            ephemeral: matches!(flags, EPHEMERAL | EPHEMERAL_SEQUENTIAL),
        })
    }
}

/// The text before the last slash, which need not be a valid path: it is looked up and missed.
// ZK: PrepRequestProcessor.validatePathForCreate (3.9)
pub(super) fn parent_of(path: &str) -> Result<&str, ErrorCode> {
    match path.rfind('/') {
        Some(_) if path.contains('\0') => Err(ErrorCode::BAD_ARGUMENTS),
        Some(0) => Ok("/"),
        Some(slash) => Ok(&path[..slash]),
        None => Err(ErrorCode::BAD_ARGUMENTS),
    }
}

/// The final path and the Stat right after `body` created it; `None` if it creates nothing. In a
/// multi later parts may have changed the znode since, so the tree is not asked.
pub(super) fn created(header: &TxnHeader, body: &TxnBody) -> Option<(String, Stat)> {
    let (path, data, ephemeral) = match body {
        TxnBody::Create(txn) | TxnBody::Create2(txn) => (&txn.path, &txn.data, txn.ephemeral),
        TxnBody::CreateContainer(txn) => (&txn.path, &txn.data, false),
        TxnBody::CreateTtl(txn) => (&txn.path, &txn.data, false),
        TxnBody::CreateSession { .. }
        | TxnBody::CloseSession { .. }
        | TxnBody::Error(_)
        | TxnBody::Delete { .. }
        | TxnBody::SetData { .. }
        | TxnBody::SetAcl { .. }
        | TxnBody::Check { .. }
        | TxnBody::Multi(_)
        | TxnBody::Reconfig { .. }
        | TxnBody::DeleteContainer { .. } => return None,
    };
    let stat = Stat {
        czxid: header.zxid,
        mzxid: header.zxid,
        pzxid: header.zxid,
        ctime: header.time.0,
        mtime: header.time.0,
        ephemeral_owner: if ephemeral { header.session.0 as i64 } else { 0 },
        data_length: data.as_ref().map_or(0, Bytes::len) as i32,
        ..Stat::default()
    };
    Some((path.clone(), stat))
}
