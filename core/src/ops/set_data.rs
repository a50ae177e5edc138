//! setData: prepare. Its answer is the Stat, see [`super::reply`].

use alloc::string::String;

use bytes::Bytes;

use super::check::next_version;
use super::draft::Draft;
use super::{acl, quota};
use crate::proto::{ErrorCode, perms};
use crate::tree::path;
use crate::txn::TxnBody;

// ZK: PrepRequestProcessor.pRequest2Txn (3.9): case setData
pub(super) fn prepare(
    draft: &mut Draft<'_>,
    path: &str,
    data: Option<&Bytes>,
    version: i32,
) -> Result<TxnBody, ErrorCode> {
    draft.check_session()?;
    path::validate(path).map_err(|_| ErrorCode::BAD_ARGUMENTS)?;
    let node = draft.get(path).ok_or(ErrorCode::NO_NODE)?;
    acl::check(node.acl, perms::WRITE, draft.caller.auth)?;
    quota::admit_data(draft, path, node.data, data)?;
    let version = next_version(node.stat.version, version, draft.config)?;
    draft.set_data(path, data, version);
    Ok(TxnBody::SetData { path: String::from(path), data: data.cloned(), version })
}
