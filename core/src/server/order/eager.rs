//! Writes that a server refuses by itself for what a list denies, when it is told to: they take no
//! zxid, and cost the leader nothing.
//!
// ZK: LeaderRequestProcessor, FollowerRequestProcessor, ZooKeeperServer.authWriteRequest (3.9)

use crate::auth::Access;
use crate::ids::ConnId;
use crate::ops;
use crate::proto::ErrorCode;

use super::super::cx::Cx;
use super::{Order, Waiting};

impl Order {
    /// Why this request goes no further.
    // Departs: upstream judges by what is applied whatever its client has on its way, and may refuse
    // what an own setACL was to allow.
    pub(super) fn denied_eagerly(
        &self,
        conn: ConnId,
        waiting: &Waiting,
        cx: &Cx,
    ) -> Option<ErrorCode> {
        let rules = &cx.config.auth;
        let c = self.conns.get(&conn)?;
        // Upstream's standalone server never looks, and its clients may count on the zxids.
        let looks = rules.eager && !cx.config.ensemble.is_alone() && !cx.read_only.is_on();
        if !looks || !waiting.needs_leader() || c.queued() > 0 {
            return None;
        }
        let auth = Access { ids: &waiting.ids, rules };
        ops::denied(&cx.database, &cx.config, auth, &waiting.request)
    }
}
