//! sync: the client opcode. What makes the following read fresh is its way through the leader
//! ([`super::Route::Sync`]); here is only its answer.

use crate::proto::Response;

/// The path is echoed, whatever it is.
// ZK: FinalRequestProcessor.processRequest (3.9): case sync
pub(super) fn answer(path: &str) -> Response {
    Response::Path(path.into())
}
