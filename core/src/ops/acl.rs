//! Access control lists: the check that every request makes, getACL and setACL. A pure function of
//! the list, the permission and who asks; which ids an entry means is in [`crate::auth`].

use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::check::next_version;
use super::draft::Draft;
use crate::auth::{Access, is_authenticated, is_valid};
use crate::proto::{Acl, ErrorCode, Id, Response, perms};
use crate::tree::{Database, path};
use crate::txn::TxnBody;

/// May this client do one of `perms`? Entries are alternatives; none denies.
// ZK: ZooKeeperServer.checkACL (3.9)
pub(super) fn check(acl: &[Acl], perms: i32, auth: Access<'_>) -> Result<(), ErrorCode> {
    // Only very old data has an empty list.
    let allowed = acl.is_empty()
        || acl.iter().any(|entry| entry.perms & perms != 0 && auth.is_meant_by(&entry.id))
        || auth.is_unlimited();
    if allowed { Ok(()) } else { Err(ErrorCode::NO_AUTH) }
}

/// May this client be told of what happens to a znode with this list?
pub fn may_read(acl: &[Acl], auth: Access<'_>) -> bool {
    check(acl, perms::READ, auth).is_ok()
}

/// The list as it is stored: duplicates dropped, `auth` replaced by who asks. Refused if an entry
/// could never match, or if all of it takes more than `size_max` bytes, which only repeated
/// expansion reaches.
// ZK: PrepRequestProcessor.fixupACL (3.9)
pub(super) fn fix_up(
    acl: &[Acl],
    auth: Access<'_>,
    size_max: usize,
) -> Result<Vec<Acl>, ErrorCode> {
    let mut seen = BTreeSet::new();
    let mut fixed = Vec::with_capacity(acl.len());
    let mut size = 0;
    for entry in acl.iter().filter(|entry| seen.insert(*entry)) {
        let ids = match entry.id.scheme.as_str() {
            "auth" => auth.ids.iter().filter(|id| is_authenticated(id, auth.rules)).collect(),
            _ if is_valid(&entry.id, auth.rules) => Vec::from([&entry.id]),
            _ => Vec::new(),
        };
        if ids.is_empty() {
            return Err(ErrorCode::INVALID_ACL);
        }
        for id in ids {
            size += 12 + id.scheme.len() + id.id.len();
            if size > size_max {
                return Err(ErrorCode::INVALID_ACL);
            }
            fixed.push(Acl { perms: entry.perms, id: id.clone() });
        }
    }
    if fixed.is_empty() { Err(ErrorCode::INVALID_ACL) } else { Ok(fixed) }
}

// ZK: PrepRequestProcessor.pRequest2Txn (3.9): case setACL
pub(super) fn prepare_set(
    draft: &mut Draft<'_>,
    path: &str,
    acl: &[Acl],
    version: i32,
) -> Result<TxnBody, ErrorCode> {
    draft.check_session()?;
    path::validate(path).map_err(|_| ErrorCode::BAD_ARGUMENTS)?;
    let acl = fix_up(acl, draft.caller.auth, draft.config.limits.frame_max)?;
    let node = draft.get(path).ok_or(ErrorCode::NO_NODE)?;
    check(node.acl, perms::ADMIN, draft.caller.auth)?;
    let version = next_version(node.stat.aversion, version, draft.config)?;
    draft.set_acl(path, &acl, version);
    Ok(TxnBody::SetAcl { path: String::from(path), acl, version })
}

/// getACL: for who may read the node or its list. Only an administrator sees the hashes.
// ZK: FinalRequestProcessor.handleGetACLRequest (3.9)
pub(super) fn get(
    database: &Database,
    auth: Access<'_>,
    path: &str,
) -> Result<Response, ErrorCode> {
    let node = database.tree.get(path).ok_or(ErrorCode::NO_NODE)?;
    check(node.acl, perms::READ | perms::ADMIN, auth)?;
    let administers = check(node.acl, perms::ADMIN, auth).is_ok();
    let acl = node.acl.iter().map(|entry| if administers { entry.clone() } else { masked(entry) });
    Ok(Response::Acl { acl: acl.collect(), stat: node.client_stat() })
}

fn masked(entry: &Acl) -> Acl {
    let id = match (entry.id.scheme.as_str(), entry.id.id.split_once(':')) {
        ("digest", Some((user, _))) => format!("{user}:x"),
        _ => entry.id.id.clone(),
    };
    Acl { perms: entry.perms, id: Id { scheme: entry.id.scheme.clone(), id } }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::AuthConfig;

    fn id(text: &str) -> Id {
        let (scheme, id) = text.split_once('=').unwrap();
        Id { scheme: scheme.into(), id: id.into() }
    }
    fn acl(perms: i32, text: &str) -> Acl {
        Acl { perms, id: id(text) }
    }

    fn ids(texts: &[&str]) -> Vec<Id> {
        texts.iter().map(|text| id(text)).collect()
    }
    fn access(ids: &[Id]) -> Access<'_> {
        Access { ids, ..Access::NOBODY }
    }

    #[test]
    fn entries_are_alternatives() {
        for (entry, own, allowed) in [
            ("world=anyone", "ip=10.0.0.1", true),
            ("digest=u:h", "digest=u:h", true),
            ("digest=u:h", "digest=u:g", false),
            ("digest=u:h", "super=", true),
            ("sasl=u", "sasl=u", false),
        ] {
            let (ids, list) = (ids(&[own]), [acl(perms::READ, entry)]);
            let may = |list: &[Acl]| check(list, perms::READ, access(&ids)).is_ok();
            assert_eq!(may(&list), allowed, "{own} at {entry}");
            assert_eq!(may(&[acl(perms::ALL & !perms::READ, entry)]), own == "super=");
        }
        let list = [acl(perms::READ, "digest=u:h"), acl(perms::WRITE, "world=anyone")];
        assert_eq!(check(&list, perms::WRITE, Access::NOBODY), Ok(()));
        assert_eq!(check(&list, perms::READ, Access::NOBODY), Err(ErrorCode::NO_AUTH));
        assert_eq!(check(&list, perms::READ | perms::WRITE, Access::NOBODY), Ok(()));
        assert_eq!(check(&[], perms::READ, Access::NOBODY), Ok(()));
    }

    #[test]
    fn no_list_denies_when_lists_are_skipped() {
        let mut rules = AuthConfig::new();
        rules.skip_acl = true;
        let anybody = Access { ids: &[], rules: &rules };
        let list = [acl(0, "world=anyone")];
        assert_eq!(check(&list, perms::ADMIN, anybody), Ok(()));
        assert_eq!(check(&list, perms::ADMIN, Access::NOBODY), Err(ErrorCode::NO_AUTH));
        // They must be good ones all the same.
        assert_eq!(fix_up(&[], anybody, 1000), Err(ErrorCode::INVALID_ACL));
        assert_eq!(fix_up(&[acl(1, "world=x")], anybody, 1000), Err(ErrorCode::INVALID_ACL));
    }

    #[test]
    fn one_bad_entry_spoils_a_list() {
        let good = acl(1, "digest=u:h");
        let fixed = |list: &[Acl]| fix_up(list, Access::NOBODY, 1000);
        assert_eq!(fixed(core::slice::from_ref(&good)), Ok([good.clone()].into()));
        for bad in
            ["world=", "digest=u", "ip=1.2.3.4/33", "sasl=u", "x509=CN=u", "super=", "=", "auth="]
        {
            let list = [good.clone(), acl(1, bad)];
            assert_eq!(fixed(&list), Err(ErrorCode::INVALID_ACL), "{bad}");
        }
        assert_eq!(fixed(&[]), Err(ErrorCode::INVALID_ACL));
        // Whatever its permissions.
        let odd = [acl(0, "world=anyone"), acl(-1, "ip=::/0"), acl(64, "digest=u:h")];
        assert_eq!(fixed(&odd), Ok(odd.to_vec()));
    }

    #[test]
    fn auth_becomes_who_asks() {
        let auth = ids(&["ip=1.2.3.4", "digest=u:h", "super=", "digest=v:i", "sasl=w"]);
        let (all, ip) = (access(&auth), access(&auth[..1]));
        assert_eq!(
            fix_up(&[acl(3, "auth=x"), acl(31, "world=anyone"), acl(3, "auth=x")], all, 1000),
            Ok([acl(3, "digest=u:h"), acl(3, "digest=v:i"), acl(31, "world=anyone")].into()),
        );
        let mut rules = AuthConfig::new();
        rules.sasl.provider = true;
        assert_eq!(
            fix_up(&[acl(3, "auth=")], Access { rules: &rules, ..all }, 1000),
            Ok([acl(3, "digest=u:h"), acl(3, "digest=v:i"), acl(3, "sasl=w")].into()),
        );
        // Another entry that says the same is kept, as upstream keeps it.
        let twice = fix_up(&[acl(3, "auth="), acl(3, "digest=u:h")], access(&auth[..2]), 1000);
        assert_eq!(twice, Ok([acl(3, "digest=u:h"), acl(3, "digest=u:h")].into()));
        assert_eq!(fix_up(&[acl(3, "auth=")], ip, 1000), Err(ErrorCode::INVALID_ACL));
        let repeated: Vec<Acl> = (0..100).map(|perms| acl(perms, "auth=")).collect();
        assert_eq!(fix_up(&repeated, all, 1000), Err(ErrorCode::INVALID_ACL));
        assert!(fix_up(&repeated, all, 10_000).is_ok());
    }

    #[test]
    fn hashes_are_masked_from_the_first_colon() {
        assert_eq!(masked(&acl(1, "digest=u:h")), acl(1, "digest=u:x"));
        assert_eq!(masked(&acl(1, "digest=u")), acl(1, "digest=u"));
        for shown in ["ip=::1", "sasl=u:h", "x509=CN=u:h"] {
            assert_eq!(masked(&acl(1, shown)), acl(1, shown));
        }
    }
}
