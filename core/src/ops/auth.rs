//! auth: which id a client's credentials add to its connection; whoAmI: which it has. What ids allow is in [`super::acl`];
//! whose connection has which is the server's.

use alloc::format;
use alloc::string::String;

use base64ct::{Base64, Encoding};
use sha1::{Digest, Sha1};

use crate::proto::{ErrorCode, Id, Response};

/// The id that an auth packet proves, for a connection from `address` (an ip, as text). Behind a
/// failure the connection is closed.
// ZK: ZooKeeperServer.processPacket, AuthenticationProvider.handleAuthentication (3.9)
pub fn authenticate(scheme: &str, auth: &[u8], address: &str) -> Result<Id, ErrorCode> {
    let id = match scheme {
        "digest" => user_and_hash(&String::from_utf8_lossy(auth)),
        // Every connection has it already.
        "ip" => address.into(),
        _ => return Err(ErrorCode::AUTH_FAILED),
    };
    Ok(Id { scheme: scheme.into(), id })
}

/// Who the connection is, without what only its passwords can make.
// ZK: AuthUtil.getClientInfos, AuthenticationProvider.getUserName (3.9)
pub(super) fn who_am_i(auth: &[Id]) -> Response {
    let user = |id: &Id| match id.scheme.as_str() {
        "digest" => id.id.split(':').next().unwrap_or_default().into(),
        "ip" => id.id.clone(),
        // No provider answers for it.
        _ => String::new(),
    };
    let named = auth.iter().map(|id| Id { scheme: id.scheme.clone(), id: user(id) });
    Response::Identities(named.collect())
}

/// The user and the hash of user and password together; without a colon all of it is the user.
// ZK: DigestAuthenticationProvider.generateDigest (3.9)
fn user_and_hash(credentials: &str) -> String {
    let user = credentials.split(':').next().unwrap_or_default();
    let hash = Base64::encode_string(&Sha1::digest(credentials.as_bytes()));
    format!("{user}:{hash}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(scheme: &str, auth: &str, id: Option<&str>) {
        let expected = match id {
            Some(id) => Ok(Id { scheme: scheme.into(), id: id.into() }),
            None => Err(ErrorCode::AUTH_FAILED),
        };
        assert_eq!(authenticate(scheme, auth.as_bytes(), "10.1.2.3"), expected);
    }

    #[test]
    fn ids_are_those_of_java() {
        // From upstream's documentation of superDigest.
        check("digest", "super:test", Some("super:D/InIHSb7yEEbrWz8b9l71RjZJU="));
        // SHA-1 of "abc" and of nothing, as FIPS 180 has them.
        check("digest", "abc", Some("abc:qZk+NkcGgWq6PiVxeFDCbJzQ2J0="));
        check("digest", "", Some(":2jmj7l5rSw0yVb/vlWAYkK/YBwk="));
        check("ip", "whatever", Some("10.1.2.3"));
        check("sasl", "u", None);
        check("super", "u", None);
        check("world", "anyone", None);
    }
}
