//! SASL's mechanism DIGEST-MD5 (RFC 2831), the server's half as Java's clients, kazoo and the C
//! client speak with it: one challenge, one answer, and the proof that the server knows the password
//! too. No layer of integrity or secrecy, no second login with the same nonce.
//!
//! ```text
//!   client                                      server
//!      (nothing)                   ->
//!                                  <-  realm, nonce, charset, algorithm        Fresh -> Challenged
//!      username, response, ...     ->
//!                                  <-  rspauth                                 Challenged -> Over
//! ```
//!
//! How tokens travel is in [`crate::server`]; who may be whom is decided by [`UserKey`]s alone.
//!
// JDK: com.sun.security.sasl.digest.DigestMD5Server · ZK: SaslServerCallbackHandler (3.9)

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use base64ct::{Base64, Encoding};
use md5::{Digest, Md5};
use serde::{Deserialize, Serialize};
use sha3::Sha3_256;

use super::directives::{self, Directives};
use crate::ids::{ConnId, ServerId};
use crate::time::WallTime;

/// The server's name in a login, whatever its host is called, and so the realm of its users.
// ZK: ZooKeeperSaslServer.createSaslServer (3.9)
const REALM: &str = "zk-sasl-md5";
/// Of service `zookeeper`.
const DIGEST_URI: &str = "zookeeper/zk-sasl-md5";
/// The only quality of protection: authentication, and nothing after it.
const QOP: &str = "auth";
/// An answer is never longer (RFC 2831, 2.1.2).
const ANSWER_MAX: usize = 4096;

/// What a server must know to recognize a user: a hash of name, realm and password. Nobody can read
/// the password from it, but who has it can pass for the user here: it is as secret.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserKey([u8; 16]);

impl UserKey {
    pub fn new(user: &str, password: &str) -> Self {
        Self::in_realm(REALM, user, password)
    }
    fn in_realm(realm: &str, user: &str, password: &str) -> Self {
        let [user, password] = [user, password].map(latin1_or_utf8);
        Self(md5(&[&user[..], realm.as_bytes(), &password].join(&b':')))
    }
}

impl fmt::Debug for UserKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("UserKey(..)")
    }
}

/// One login. A connection has one, and it succeeds or fails once.
#[derive(Clone, Debug, Default)]
pub enum Login {
    #[default]
    Fresh,
    Challenged {
        nonce: String,
    },
    Over,
}

/// What the server says next.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Step {
    Challenge(Vec<u8>),
    /// `user` is who it says it is; `proof` shows that the server knows the password too.
    Done {
        user: String,
        proof: Vec<u8>,
    },
}

/// Why a login fails. The client is not told.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum LoginFailed {
    #[error("a token after the login was over")]
    Over,
    #[error("an answer of {0} bytes, at most {ANSWER_MAX} are allowed")]
    Length(usize),
    #[error("an answer that cannot be read: {0}")]
    Unreadable(#[from] directives::Unreadable),
    #[error("no {0} in the answer")]
    Missing(&'static str),
    #[error("{what} {found:?} in the answer, expected {expected:?}")]
    Unexpected { what: &'static str, found: String, expected: &'static str },
    #[error("another nonce than the challenge's in the answer")]
    Nonce,
    #[error("no user {0:?}")]
    NoUser(String),
    #[error("wrong password of user {0:?}")]
    Password(String),
}

impl Login {
    /// Takes the client's next token. `nonce` is asked for when one is needed.
    pub fn step(
        &mut self,
        token: &[u8],
        users: &BTreeMap<String, UserKey>,
        nonce: impl FnOnce() -> String,
    ) -> Result<Step, LoginFailed> {
        if token.len() > ANSWER_MAX {
            return Err(LoginFailed::Length(token.len()));
        }
        match core::mem::replace(self, Self::Over) {
            // What a client says first is the answer to a challenge of long ago, if anything.
            Self::Fresh => {
                let nonce = nonce();
                let challenge =
                    format!("realm=\"{REALM}\",nonce=\"{nonce}\",charset=utf-8,algorithm=md5-sess");
                *self = Self::Challenged { nonce };
                Ok(Step::Challenge(challenge.into_bytes()))
            }
            Self::Challenged { nonce } => judge(&Directives::read(token)?, &nonce, users),
            Self::Over => Err(LoginFailed::Over),
        }
    }
}

// JDK: DigestMD5Server.validateClientResponse
fn judge(
    answer: &Directives,
    nonce: &str,
    users: &BTreeMap<String, UserKey>,
) -> Result<Step, LoginFailed> {
    let required = |name| answer.get(name).ok_or(LoginFailed::Missing(name));
    expect("charset", answer.get("charset"), "utf-8", |found| found == b"utf-8")?;
    let user = String::from_utf8_lossy(required("username")?).into_owned();
    expect("realm", Some(required("realm")?), REALM, |found| found == REALM.as_bytes())?;
    if required("nonce")? != nonce.as_bytes() {
        return Err(LoginFailed::Nonce);
    }
    let cnonce = required("cnonce")?;
    expect("nc", answer.get("nc"), NONCE_COUNT, is_one)?;
    expect("qop", answer.get("qop"), QOP, |found| found == QOP.as_bytes())?;
    let uri = required("digest-uri")?;
    let is_ours = |found: &[u8]| found.eq_ignore_ascii_case(DIGEST_URI.as_bytes());
    expect("digest-uri", Some(uri), DIGEST_URI, is_ours)?;
    let response = required("response")?;
    let Some(key) = users.get(&user) else { return Err(LoginFailed::NoUser(user)) };

    let authzid = answer.get("authzid");
    let transcript = Transcript { key, nonce: nonce.as_bytes(), cnonce, authzid, uri };
    // It is compared once under this nonce, so how long that takes tells nothing of use.
    if transcript.response(b"AUTHENTICATE") != response {
        return Err(LoginFailed::Password(user));
    }
    let proof = [b"rspauth=", &transcript.response(b"")[..]].concat();
    // Departs: upstream falls back on `authzid` for a user whose name no Kerberos rule fits, so that
    // such a user can be anybody. Here a user is who knows the user's password.
    Ok(Step::Done { user, proof })
}

fn expect(
    what: &'static str,
    found: Option<&[u8]>,
    expected: &'static str,
    fits: impl FnOnce(&[u8]) -> bool,
) -> Result<(), LoginFailed> {
    match found {
        Some(found) if !fits(found) => {
            let found = String::from_utf8_lossy(found).into_owned();
            Err(LoginFailed::Unexpected { what, found, expected })
        }
        Some(_) | None => Ok(()),
    }
}

/// How often the nonce was used, this time included.
const NONCE_COUNT: &str = "00000001";

fn is_one(count: &[u8]) -> bool {
    core::str::from_utf8(count).is_ok_and(|count| u32::from_str_radix(count, 16) == Ok(1))
}

/// What both sides hash.
struct Transcript<'a> {
    key: &'a UserKey,
    nonce: &'a [u8],
    cnonce: &'a [u8],
    authzid: Option<&'a [u8]>,
    uri: &'a [u8],
}

impl Transcript<'_> {
    /// RFC 2831, 2.1.2.1: `response-value`; `method` is empty for the server's proof.
    fn response(&self, method: &[u8]) -> [u8; 32] {
        let mut a1 = [&self.key.0[..], self.nonce, self.cnonce].join(&b':');
        if let Some(authzid) = self.authzid {
            a1.push(b':');
            a1.extend_from_slice(authzid);
        }
        let a2 = [method, self.uri].join(&b':');
        let (a1, a2) = (hex(md5(&a1)), hex(md5(&a2)));
        let parts = [&a1[..], self.nonce, NONCE_COUNT.as_bytes(), self.cnonce, QOP.as_bytes(), &a2];
        hex(md5(&parts.join(&b':')))
    }
}

/// A nonce for a connection: 240 bits that depend on the process's seed and that no other connection
/// has. Core draws no random numbers, and a nonce needs none: it must not come twice, or an answer
/// overheard could be given again, and nobody should foresee it. The connection's number sees to the
/// first within a process; between processes the seed does, 64 random bits in production, with the
/// clock beside it, and to the second SHA-3, which keeps its key to itself (a keyed prefix is enough
/// with it).
pub fn nonce(seed: u64, server: ServerId, conn: ConnId, now: WallTime) -> String {
    let mut hash = Sha3_256::new_with_prefix(b"zebu: nonce of a SASL login");
    hash.update(seed.to_be_bytes());
    hash.update(server.0.to_be_bytes());
    hash.update(conn.0.to_be_bytes());
    hash.update(now.0.to_be_bytes());
    // 30 bytes become 40 letters, as many as Java's have.
    Base64::encode_string(&hash.finalize()[..30])
}

/// RFC 2831, 2.1.2.1: text that ISO 8859-1 can write is hashed so.
fn latin1_or_utf8(text: &str) -> Vec<u8> {
    let latin1: Result<Vec<u8>, _> = text.chars().map(u8::try_from).collect();
    latin1.unwrap_or_else(|_| text.as_bytes().to_vec())
}

fn md5(bytes: &[u8]) -> [u8; 16] {
    Md5::digest(bytes).into()
}

fn hex(bytes: [u8; 16]) -> [u8; 32] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    core::array::from_fn(|at| {
        let byte = bytes[at / 2];
        DIGITS[usize::from(if at % 2 == 0 { byte >> 4 } else { byte & 15 })]
    })
}

#[cfg(test)]
#[path = "sasl_tests.rs"]
mod tests;
