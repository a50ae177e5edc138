//! Access control lists: the check that every request makes, getACL and setACL. A pure function of
//! the list, the permission and the ids of the connection; how a connection gets its ids is not here.

use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::net::IpAddr;

use super::check::next_version;
use super::draft::Draft;
use crate::proto::{Acl, ErrorCode, Id, Response, perms};
use crate::tree::{Database, path};
use crate::txn::TxnBody;

/// May a connection with these ids do one of `perms`? Entries are alternatives; none denies.
// ZK: ZooKeeperServer.checkACL (3.9)
pub(super) fn check(acl: &[Acl], perms: i32, auth: &[Id]) -> Result<(), ErrorCode> {
    // Only very old data has an empty list.
    let allowed = acl.is_empty()
        || auth.iter().any(|id| id.scheme == "super")
        || acl.iter().any(|entry| entry.perms & perms != 0 && matches_any(&entry.id, auth));
    if allowed { Ok(()) } else { Err(ErrorCode::NO_AUTH) }
}

/// May a connection with these ids be told of what happens to a znode with this list?
pub fn may_read(acl: &[Acl], auth: &[Id]) -> bool {
    check(acl, perms::READ, auth).is_ok()
}

fn matches_any(entry: &Id, auth: &[Id]) -> bool {
    match entry.scheme.as_str() {
        "world" => entry.id == "anyone",
        "digest" => auth.contains(entry),
        "ip" => auth.iter().any(|id| id.scheme == "ip" && in_network(&id.id, &entry.id)),
        // A scheme that this server does not know matches nobody.
        _ => false,
    }
}

/// The list as it is stored: duplicates dropped, `auth` replaced by who asks. Refused if an entry
/// could never match, or if all of it takes more than `size_max` bytes, which only repeated
/// expansion reaches.
// ZK: PrepRequestProcessor.fixupACL (3.9)
pub(super) fn fix_up(acl: &[Acl], auth: &[Id], size_max: usize) -> Result<Vec<Acl>, ErrorCode> {
    let mut seen = BTreeSet::new();
    let mut fixed = Vec::with_capacity(acl.len());
    let mut size = 0;
    for entry in acl.iter().filter(|entry| seen.insert(*entry)) {
        let ids = match entry.id.scheme.as_str() {
            "auth" => auth.iter().filter(|id| names_somebody(id)).collect(),
            _ if is_valid(&entry.id) => Vec::from([&entry.id]),
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

/// Of the ids that a connection has, those that say who it is, not only whence it comes.
// ZK: AuthenticationProvider.isAuthenticated (3.9)
fn names_somebody(id: &Id) -> bool {
    id.scheme == "digest"
}

// ZK: AuthenticationProvider.isValid (3.9), of each scheme
fn is_valid(id: &Id) -> bool {
    match id.scheme.as_str() {
        "world" => id.id == "anyone",
        "digest" => is_user_and_hash(&id.id),
        "ip" => Network::parse(&id.id).is_some(),
        _ => false,
    }
}

/// Exactly two parts as Java splits them: without the empty ones at the end.
// ZK: DigestAuthenticationProvider.isValid (3.9)
fn is_user_and_hash(id: &str) -> bool {
    id.trim_end_matches(':').split(':').count() == 2
}

/// An address and how many of its bits count.
// ZK: IPAuthenticationProvider (3.9)
struct Network {
    address: IpAddr,
    bits: u32,
}

impl Network {
    fn parse(text: &str) -> Option<Self> {
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().ok()?;
        let width = width(address);
        let bits = bits.map_or(Some(width), |bits| bits.parse().ok())?;
        (bits <= width).then_some(Self { address, bits })
    }
    fn contains(&self, address: IpAddr) -> bool {
        let unlike = value(self.address) ^ value(address);
        width(self.address) == width(address)
            && unlike.checked_shr(width(address) - self.bits).unwrap_or(0) == 0
    }
}

fn in_network(address: &str, network: &str) -> bool {
    match (address.parse(), Network::parse(network)) {
        (Ok(address), Some(network)) => network.contains(address),
        _ => false,
    }
}

fn width(address: IpAddr) -> u32 {
    if address.is_ipv4() { 32 } else { 128 }
}

fn value(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u128::from(address.to_bits()),
        IpAddr::V6(address) => address.to_bits(),
    }
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
    let version = next_version(node.stat.aversion, version)?;
    draft.set_acl(path, &acl, version);
    Ok(TxnBody::SetAcl { path: String::from(path), acl, version })
}

/// getACL: for who may read the node or its list. Only an administrator sees the hashes.
// ZK: FinalRequestProcessor.handleGetACLRequest (3.9)
pub(super) fn get(database: &Database, auth: &[Id], path: &str) -> Result<Response, ErrorCode> {
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

    fn id(text: &str) -> Id {
        let (scheme, id) = text.split_once('=').unwrap();
        Id { scheme: scheme.into(), id: id.into() }
    }
    fn acl(perms: i32, text: &str) -> Acl {
        Acl { perms, id: id(text) }
    }

    #[test]
    fn entries_are_alternatives_by_scheme() {
        for (entry, auth, allowed) in [
            ("world=anyone", "ip=10.0.0.1", true),
            ("world=other", "ip=10.0.0.1", false),
            ("digest=u:h", "digest=u:h", true),
            ("digest=u:h", "digest=u:g", false),
            ("digest=u:h", "sasl=u:h", false),
            ("digest=u:h", "super=", true),
            ("ip=10.0.0.1", "ip=10.0.0.1", true),
            ("ip=10.0.0.1", "ip=10.0.0.2", false),
            ("ip=10.1.0.0/15", "ip=10.0.255.255", true),
            ("ip=10.1.0.0/16", "ip=10.0.255.255", false),
            ("ip=0.0.0.0/0", "ip=9.9.9.9", true),
            ("ip=0.0.0.0/0", "ip=::1", false),
            ("ip=::/0", "ip=9.9.9.9", false),
            ("ip=::/0", "ip=fe80::1", true),
            ("ip=fe80::/64", "ip=fe80::1:2:3:4", true),
            ("ip=fe80::/64", "ip=fe80:0:0:1::1", false),
            ("sasl=u", "sasl=u", false),
        ] {
            let result = check(&[acl(perms::READ, entry)], perms::READ, &[id(auth)]);
            assert_eq!(result.is_ok(), allowed, "{auth} at {entry}");
            assert_eq!(
                check(&[acl(perms::ALL & !perms::READ, entry)], perms::READ, &[id(auth)]).is_ok(),
                auth == "super=",
            );
        }
        let list = [acl(perms::READ, "digest=u:h"), acl(perms::WRITE, "world=anyone")];
        assert_eq!(check(&list, perms::WRITE, &[]), Ok(()));
        assert_eq!(check(&list, perms::READ, &[]), Err(ErrorCode::NO_AUTH));
        assert_eq!(check(&[], perms::READ, &[]), Ok(()));
    }

    #[test]
    fn ids_that_never_match_are_refused() {
        for (entry, valid) in [
            ("world=anyone", true),
            ("world=", false),
            ("digest=u:h", true),
            ("digest=:h", true),
            ("digest=u:", false),
            ("digest=u", false),
            ("digest=:", false),
            ("digest=a:b:c", false),
            ("digest=a:b:", true),
            ("ip=1.2.3.4", true),
            ("ip=1.2.3.4/32", true),
            ("ip=1.2.3.4/33", false),
            ("ip=1.2.3.4/-1", false),
            ("ip=1.2.3.4/", false),
            ("ip=1.2.3", false),
            ("ip=::1/128", true),
            ("ip=::1/129", false),
            ("super=", false),
            ("sasl=u", false),
            ("nonsense=u", false),
        ] {
            let fixed = fix_up(&[acl(1, entry)], &[], 1000);
            let expected =
                if valid { Ok([acl(1, entry)].into()) } else { Err(ErrorCode::INVALID_ACL) };
            assert_eq!(fixed, expected, "{entry}");
        }
    }

    #[test]
    fn auth_becomes_who_asks() {
        let auth = [id("ip=1.2.3.4"), id("digest=u:h"), id("digest=v:i")];
        assert_eq!(
            fix_up(&[acl(3, "auth=x"), acl(31, "world=anyone"), acl(3, "auth=x")], &auth, 1000),
            Ok([acl(3, "digest=u:h"), acl(3, "digest=v:i"), acl(31, "world=anyone")].into()),
        );
        assert_eq!(fix_up(&[acl(3, "auth=")], &auth[..1], 1000), Err(ErrorCode::INVALID_ACL));
        assert_eq!(fix_up(&[], &auth, 1000), Err(ErrorCode::INVALID_ACL));
        let repeated: Vec<Acl> = (0..100).map(|perms| acl(perms, "auth=")).collect();
        assert_eq!(fix_up(&repeated, &auth, 1000), Err(ErrorCode::INVALID_ACL));
        assert!(fix_up(&repeated, &auth, 10_000).is_ok());
    }

    #[test]
    fn hashes_are_masked_from_the_first_colon() {
        assert_eq!(masked(&acl(1, "digest=u:h")), acl(1, "digest=u:x"));
        assert_eq!(masked(&acl(1, "digest=u")), acl(1, "digest=u"));
        assert_eq!(masked(&acl(1, "ip=::1")), acl(1, "ip=::1"));
    }
}
