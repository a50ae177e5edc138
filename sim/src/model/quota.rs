//! Quotas: how much lies below a path, counted from nothing behind each transaction, and what a hard
//! limit refuses.
//!
//! As far as scenarios use them: quotas that do not lie in each other, and stats that only servers
//! write and that come and go with their limits.

use bytes::Bytes;
use zebu_core::txn::TxnBody;

use super::{Model, split};

pub const QUOTA: &str = "/zookeeper/quota";
const LIMITS: &str = "zookeeper_limits";
const STATS: &str = "zookeeper_stats";

/// Znodes and bytes of data.
pub type Usage = (i64, i64);

/// Where the limits and the stats of the quota on `path` stand.
pub fn limits_path(path: &str) -> String {
    format!("{QUOTA}{path}/{LIMITS}")
}
pub fn stats_path(path: &str) -> String {
    format!("{QUOTA}{path}/{STATS}")
}

/// The path that has its limits at `limits`.
fn limited(limits: &str) -> Option<&str> {
    let (above, name) = split(limits);
    above.strip_prefix(QUOTA).filter(|path| name == LIMITS && !path.is_empty())
}

/// The hard limit that a limits node names.
pub fn hard_limit(data: Option<&Bytes>, key: &str) -> Option<i64> {
    let text = std::str::from_utf8(data?).ok()?;
    let value =
        text.split([',', ';']).find_map(|pair| pair.strip_prefix(key)?.strip_prefix('='))?;
    value.parse().ok().filter(|limit| *limit >= 0)
}

impl Model {
    /// The transaction may have made or removed a quota.
    pub(super) fn note_quotas(&mut self, body: &TxnBody) {
        match body {
            TxnBody::Create(create) | TxnBody::Create2(create) => {
                let known = limited(&create.path).filter(|_| self.now(&create.path).is_some());
                self.quotas.extend(known.map(String::from));
            }
            TxnBody::Delete { path } => {
                if let Some(limited) = limited(path).filter(|_| self.now(path).is_none()) {
                    self.quotas.remove(limited);
                }
            }
            TxnBody::Multi(parts) => parts.iter().for_each(|part| self.note_quotas(part)),
            _ => {}
        }
    }

    /// Writes into each stats node what lies below its path now.
    pub(super) fn count_quotas(&mut self, zxid: u64) {
        for path in self.quotas.clone() {
            let stats = stats_path(&path);
            let Some(mut node) = self.now(&stats).cloned() else { continue };
            let (count, bytes) = self.usage(&path);
            let text = Bytes::from(format!("count={count},bytes={bytes}"));
            if node.data.as_ref() != Some(&text) {
                node.data = Some(text);
                self.set(zxid, &stats, node);
            }
        }
    }

    /// What lies at `path` and below it.
    pub fn usage(&self, path: &str) -> Usage {
        let (mut count, mut bytes) = (0, 0);
        let mut todo = vec![path.to_owned()];
        while let Some(path) = todo.pop() {
            let Some(node) = self.now(&path) else { continue };
            count += 1;
            bytes += node.data.as_ref().map_or(0, |data| data.len() as i64);
            todo.extend(self.paths[&path].children.iter().map(|name| format!("{path}/{name}")));
        }
        (count, bytes)
    }

    /// The path at or above `path` that has a quota.
    pub fn quota_above<'a>(&self, path: &'a str) -> Option<&'a str> {
        let mut at = path;
        while at.len() > 1 {
            if self.quotas.contains(at) {
                return Some(at);
            }
            at = split(at).0;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::judge::{Caller, judge};
    use crate::model::tests::{create, txn};
    use crate::model::users::Users;
    use zebu_core::proto::{Acl, CreateRequest, ErrorCode, Request};

    fn limits(text: &'static str) -> TxnBody {
        let path = limits_path("/q");
        TxnBody::SetData { path, data: Some(Bytes::from_static(text.as_bytes())), version: 1 }
    }
    /// `/q` and what its quota takes.
    fn with_quota() -> Model {
        let mut model = Model::new();
        let quota = ["/zookeeper/quota/q".into(), limits_path("/q"), stats_path("/q")];
        model.apply(&txn(1, 5, 0, TxnBody::CreateSession { timeout_ms: 4000 }));
        model.apply(&txn(2, 5, 1, create("/q", 1, false)));
        let parts = quota.iter().map(|path| create(path, 1, false)).collect();
        model.apply(&txn(3, 5, 2, TxnBody::Multi(parts)));
        model.apply(&txn(4, 5, 3, limits("countHardLimit=2,byteHardLimit=3")));
        model
    }
    fn stats(model: &Model, zxid: u64) -> &[u8] {
        model.at(&stats_path("/q"), zxid).and_then(|node| node.data.as_deref()).unwrap()
    }

    #[test]
    fn stats_follow_what_lies_below() {
        let mut model = with_quota();
        model.apply(&txn(5, 5, 4, create("/q/a", 1, false)));
        model.apply(&txn(6, 5, 5, TxnBody::Delete { path: "/q/a".into() }));
        model.apply(&txn(7, 5, 6, create("/elsewhere", 1, false)));
        assert_eq!(stats(&model, 4), b"count=1,bytes=1");
        assert_eq!(stats(&model, 5), b"count=2,bytes=2");
        assert_eq!(stats(&model, 7), b"count=1,bytes=1");
    }

    #[test]
    fn hard_limits_refuse_and_count_the_earlier_parts_of_a_multi() {
        let model = with_quota();
        let caller = Caller { session: 5, users: Users::NOBODY, local: false };
        let body = |request: &Request| judge(&model, caller, request, 5, 0, true).unwrap().body;
        let new = |path: &str, data: &'static str| {
            let (path, data, acl) = (path.into(), Some(data.into()), Acl::open());
            Request::Create(CreateRequest { path, data, acl, flags: 0 })
        };
        let exceeded = TxnBody::Error(ErrorCode::QUOTA_EXCEEDED);
        assert!(matches!(body(&new("/q/a", "12")), TxnBody::Create(_)));
        assert_eq!(body(&new("/q/a", "123")), exceeded);
        let set = |data: &'static str| Request::SetData {
            path: "/q".into(),
            data: Some(data.into()),
            version: -1,
        };
        assert!(matches!(body(&set("123")), TxnBody::SetData { .. }));
        assert_eq!(body(&set("1234")), exceeded);
        let TxnBody::Multi(parts) = body(&Request::Multi(vec![new("/q/a", ""), new("/q/b", "")]))
        else {
            panic!("a multi stays one")
        };
        assert_eq!(parts[1], exceeded);
    }
}
