//! What a list denies anyway, judged by the client's own server from what is applied there: the leader
//! never hears of it. What else may be wrong with a request, and multis, remain the leader's.

use super::acl;
use super::create::parent_of;
use crate::auth::Access;
use crate::config::Config;
use crate::proto::{Acl, ErrorCode, Request, perms};
use crate::tree::Database;

/// Why `request` is refused, if its access lists are reason enough.
// ZK: ZooKeeperServer.authWriteRequest, effectiveACLPath (3.9): it looks at no other opcodes.
pub fn denied(
    database: &Database,
    config: &Config,
    auth: Access<'_>,
    request: &Request,
) -> Option<ErrorCode> {
    let (path, perms, list): (&str, i32, Option<&[Acl]>) = match request {
        Request::Create(create) | Request::Create2(create) => {
            (parent_of(&create.path).ok()?, perms::CREATE, Some(&create.acl))
        }
        Request::Delete { path, .. } => (parent_of(path).ok()?, perms::DELETE, None),
        Request::SetData { path, .. } => (path, perms::WRITE, None),
        Request::SetAcl { path, acl, .. } => (path, perms::ADMIN, Some(acl)),
        _ => return None,
    };
    if let Some(list) = list
        && let Err(code) = acl::fix_up(list, auth, config.limits.frame_max)
    {
        return Some(code);
    }
    let node = database.tree.get(path)?;
    acl::check(node.acl, perms, auth).err()
}

#[cfg(test)]
mod tests {
    use alloc::sync::Arc;
    use alloc::vec::Vec;

    use super::*;
    use crate::config::Ensemble;
    use crate::ids::ServerId;
    use crate::proto::{CreateRequest, Id, StatPersisted, create_flags};

    #[test]
    fn lists_are_judged_and_nothing_else() {
        let mut database = Database::new();
        let mut node = |path: &str, perms| {
            let acl: Arc<[Acl]> = [Acl::world(perms)].into();
            database.tree.load(path, None, acl, StatPersisted::default()).unwrap();
        };
        node("/open", perms::ALL);
        node("/read", perms::READ);
        node("/read/open", perms::ALL);
        let config = Config::new(ServerId(1), Ensemble::default());
        let create = |path: &str, acl: Vec<Acl>| CreateRequest {
            path: path.into(),
            data: None,
            acl,
            flags: create_flags::PERSISTENT,
        };
        let unknown = Acl { perms: perms::ALL, id: Id { scheme: "no".into(), id: "".into() } };
        let delete = |path: &str| Request::Delete { path: path.into(), version: -1 };
        let set_data = |path: &str| Request::SetData { path: path.into(), data: None, version: 99 };
        let set_acl = |path: &str, acl| Request::SetAcl { path: path.into(), acl, version: -1 };
        let denied_create = Request::Create(create("/read/a", Acl::open()));
        let (no_auth, invalid) = (Some(ErrorCode::NO_AUTH), Some(ErrorCode::INVALID_ACL));
        for (request, expected) in [
            (denied_create.clone(), no_auth),
            (Request::Create2(create("/read/a", Acl::open())), no_auth),
            (Request::Create2(create("/read/a", [unknown.clone()].into())), invalid),
            (Request::Create(create("/open/a", [].into())), invalid),
            // It exists, but that is the leader's to say; and so is what its flags are worth.
            (Request::Create(create("/open", Acl::open())), None),
            (Request::CreateContainer(create("/read/a", Acl::open())), None),
            (Request::Create(create("/nope/a", Acl::open())), None),
            (Request::Create(create("nonsense", Acl::open())), None),
            (delete("/read/open"), no_auth),
            (delete("/read/nope"), no_auth),
            (delete("/open"), None),
            (set_data("/read"), no_auth),
            (set_data("/read/open"), None),
            (set_data("/nope"), None),
            (set_acl("/read", Acl::open()), no_auth),
            (set_acl("/open", [unknown].into()), invalid),
            (set_acl("/open", Acl::open()), None),
            (Request::Multi([denied_create].into()), None),
        ] {
            assert_eq!(
                denied(&database, &config, Access::NOBODY, &request),
                expected,
                "{request:?}"
            );
        }
    }
}
