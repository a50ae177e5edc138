//! Scheme `digest`: a user, and a hash of user and password together. The hash is one of Java's, by
//! Java's name for it.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use base64ct::{Base64, Encoding};
use serde::{Deserialize, Serialize};
use sha1::Digest;

/// What `digestAlg` may name.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Algorithm {
    Md5,
    Sha1,
    Sha224,
    Sha256,
    Sha384,
    Sha512,
    Sha512To224,
    Sha512To256,
    Sha3To224,
    Sha3To256,
    Sha3To384,
    Sha3To512,
}

impl Algorithm {
    /// Java's names, first the one that its documentation uses, without regard to case. MD2 is not
    /// among them: nothing should start to use it now.
    // JDK: MessageDigest.getInstance, sun.security.util.KnownOIDs
    const NAMES: &'static [(Self, &'static [&'static str])] = &[
        (Self::Md5, &["MD5"]),
        (Self::Sha1, &["SHA1", "SHA-1", "SHA"]),
        (Self::Sha224, &["SHA-224", "SHA224"]),
        (Self::Sha256, &["SHA-256", "SHA256"]),
        (Self::Sha384, &["SHA-384", "SHA384"]),
        (Self::Sha512, &["SHA-512", "SHA512"]),
        (Self::Sha512To224, &["SHA-512/224", "SHA512/224"]),
        (Self::Sha512To256, &["SHA-512/256", "SHA512/256"]),
        (Self::Sha3To224, &["SHA3-224"]),
        (Self::Sha3To256, &["SHA3-256"]),
        (Self::Sha3To384, &["SHA3-384"]),
        (Self::Sha3To512, &["SHA3-512"]),
    ];

    pub fn by_name(name: &str) -> Option<Self> {
        let named = |names: &[&str]| names.iter().any(|known| known.eq_ignore_ascii_case(name));
        Self::NAMES.iter().find(|(_, names)| named(names)).map(|(algorithm, _)| *algorithm)
    }
    /// The first name of each.
    pub fn names() -> impl Iterator<Item = &'static str> {
        Self::NAMES.iter().map(|(_, names)| names[0])
    }

    fn hash(self, bytes: &[u8]) -> Vec<u8> {
        match self {
            Self::Md5 => md5::Md5::digest(bytes).to_vec(),
            Self::Sha1 => sha1::Sha1::digest(bytes).to_vec(),
            Self::Sha224 => sha2::Sha224::digest(bytes).to_vec(),
            Self::Sha256 => sha2::Sha256::digest(bytes).to_vec(),
            Self::Sha384 => sha2::Sha384::digest(bytes).to_vec(),
            Self::Sha512 => sha2::Sha512::digest(bytes).to_vec(),
            Self::Sha512To224 => sha2::Sha512_224::digest(bytes).to_vec(),
            Self::Sha512To256 => sha2::Sha512_256::digest(bytes).to_vec(),
            Self::Sha3To224 => sha3::Sha3_224::digest(bytes).to_vec(),
            Self::Sha3To256 => sha3::Sha3_256::digest(bytes).to_vec(),
            Self::Sha3To384 => sha3::Sha3_384::digest(bytes).to_vec(),
            Self::Sha3To512 => sha3::Sha3_512::digest(bytes).to_vec(),
        }
    }
}

/// The id of `user:password`. Without a colon all of it is the user.
// ZK: DigestAuthenticationProvider.generateDigest (3.9)
pub fn user_and_hash(credentials: &str, algorithm: Algorithm) -> String {
    let hash = algorithm.hash(credentials.as_bytes());
    format!("{}:{}", user(credentials), Base64::encode_string(&hash))
}

/// What stands before the first colon.
// ZK: DigestAuthenticationProvider.getUserName (3.9)
pub(super) fn user(id: &str) -> &str {
    id.split(':').next().unwrap_or_default()
}

/// Exactly two parts as Java splits them: without the empty ones at the end.
// ZK: DigestAuthenticationProvider.isValid (3.9)
pub(super) fn is_valid(id: &str) -> bool {
    id.trim_end_matches(':').split(':').count() == 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_those_of_java() {
        let check = |credentials: &str, id: &str| {
            assert_eq!(user_and_hash(credentials, Algorithm::Sha1), id);
        };
        // From upstream's documentation of superDigest.
        check("super:test", "super:D/InIHSb7yEEbrWz8b9l71RjZJU=");
        // SHA-1 of "abc" and of nothing, as FIPS 180 has them.
        check("abc", "abc:qZk+NkcGgWq6PiVxeFDCbJzQ2J0=");
        check("", ":2jmj7l5rSw0yVb/vlWAYkK/YBwk=");
    }

    /// Made with Python's hashlib and base64 from "super:test".
    #[test]
    fn every_algorithm_by_its_names() {
        for (names, hash) in [
            (&["MD5", "md5"][..], "yzhcGieXAe2NBWh0Znxa3g=="),
            (&["SHA1", "sha-1", "SHA"], "D/InIHSb7yEEbrWz8b9l71RjZJU="),
            (&["SHA-224", "SHA224"], "opwh3FU/0WUpM+8JAOS98bsQFC+823kv438mIg=="),
            (&["SHA-256", "sha256"], "wjySwxg860UATFtciuZ1lpzrCHrPeov6SPu/ZD56uig="),
            (
                &["SHA-384", "SHA384"],
                "FA/2SgoedA21NnGcUl5C1HBsMwuibAPXlAq/FqXTuUQPExUJgxpf8gWeD4eOupjP",
            ),
            (
                &["SHA-512", "SHA512"],
                "cMAGk13FCMtJkaVQImGEKhjqoGELCiVjYdIhiD8stB1FnIpdGeFvKwAHh5mf4tUYmBR2ZY9181dZTXEHMlkVhg==",
            ),
            (&["SHA-512/224", "SHA512/224"], "Jbob8j2c9tikAuLuqxcIJr3TG4aS6fcELZsiHw=="),
            (&["SHA-512/256", "SHA512/256"], "GV6U44a5U7SXgFZS9GkWgmwq2+im64wGlYXjCHia3mo="),
            (&["SHA3-224"], "774X6Nz1d3BUO6raVFndfjoMF6e1LHrnHVv5IA=="),
            (&["SHA3-256", "sha3-256"], "cRy/KPYuDpW/dtsepniTMpuiuupnWgdU9txltIfv3hA="),
            (&["SHA3-384"], "a3efqz9Fj+qRHgJMpOPAzqpMP86/aPKowwZfSsm/gM+qBf87ZmeQYtueLs53P8Rw"),
            (
                &["SHA3-512"],
                "AdTSPtJYC1bEo1Z0UG5z1VXkw2AEUReEjF0RV0jap6VKcDva8ZPEO/WxrOy888alfiJyM5cm5BKhrI4X/YFcTg==",
            ),
        ] {
            for name in names {
                let algorithm = Algorithm::by_name(name).unwrap();
                assert_eq!(user_and_hash("super:test", algorithm), format!("super:{hash}"));
            }
        }
        assert_eq!(Algorithm::by_name("MD2"), None);
        assert_eq!(Algorithm::by_name(""), None);
        assert_eq!(Algorithm::names().count(), 12);
    }
}
