//! whoAmI: what the client's own ids are. How it got them is in [`crate::auth`].

use crate::auth::{self, Access};
use crate::proto::{Id, Response};

/// Who the connection is, without what only its passwords can make.
// ZK: AuthUtil.getClientInfos (3.9)
pub(super) fn who_am_i(auth: Access<'_>) -> Response {
    let user = |id| auth::user_name(id, auth.rules).into();
    let named = auth.ids.iter().map(|id| Id { scheme: id.scheme.clone(), id: user(id) });
    Response::Identities(named.collect())
}
