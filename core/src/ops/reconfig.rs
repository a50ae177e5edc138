//! reconfig. The ensemble is what the configuration file says, as upstream's is unless
//! `reconfigEnabled` is on.

use crate::proto::ErrorCode;

/// Before anything else of the request is looked at.
// ZK: PrepRequestProcessor.pRequest2Txn (3.9): case reconfig
pub(super) fn refuse() -> ErrorCode {
    ErrorCode::RECONFIG_DISABLED
}
