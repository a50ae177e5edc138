//! Who is at the other end of a client's connection, and may it ask anything at all: the ids that its
//! credentials add, a SASL login under way, and the schemes that the configuration demands. All this
//! is judged when a request comes in, so that what stands behind it has the new identity; the answer
//! keeps its place.
//!
//! What proves an id is in [`crate::auth`]; what ids allow is in [`crate::ops`].
//!
// ZK: ZooKeeperServer.processPacket, processSasl, AuthenticationHelper (3.9)
// Departs: upstream answers at once, before what was asked earlier; clients that count answers
// (kazoo) take that for the answer to something else.

use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::auth::sasl::{Login, Step, nonce};
use crate::auth::{self, Access, Proof, ip};
use crate::config::AuthConfig;
use crate::ids::ConnId;
use crate::proto::{ErrorCode, Id, OpCode, Request, Response};

use super::cx::Cx;

/// Bytes that a connection's ids may take. They travel with each of its writes.
// Departs: upstream lets a connection prove as many as it likes.
const IDS_BYTES_MAX: usize = 64 << 10;

#[derive(Clone, Debug)]
pub(super) struct Identity {
    /// First the address, without a doublet. Shared with the requests that were made under it.
    ids: Arc<[Id]>,
    login: Login,
    refused: bool,
}

/// The answer to a request that is the connection's own affair.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Verdict {
    Answered(Response),
    /// It is told the code, and closed. Nothing behind this request is heard.
    Refused {
        code: ErrorCode,
        why: String,
    },
    /// Likewise, in the words of a SASL login.
    LoginRefused {
        code: ErrorCode,
        why: String,
    },
    /// It is closed without a word.
    Dropped {
        why: String,
    },
}

impl Identity {
    pub(super) fn of(ip: &str) -> Self {
        let address = Id { scheme: "ip".into(), id: ip::id_of(ip) };
        Self { ids: [address].into(), login: Login::Fresh, refused: false }
    }

    /// As they are now; the next request may have others.
    pub(super) fn ids(&self) -> Arc<[Id]> {
        self.ids.clone()
    }
    pub(super) fn access<'a>(&'a self, rules: &'a AuthConfig) -> Access<'a> {
        Access { ids: &self.ids, rules }
    }
    /// What was refused says nothing any more that anybody hears.
    pub(super) fn is_refused(&self) -> bool {
        self.refused
    }

    /// `None`: the request goes its way.
    pub(super) fn judge(&mut self, request: &Request, conn: ConnId, cx: &Cx) -> Option<Verdict> {
        let rules = &cx.config.auth;
        let verdict = match request {
            Request::Auth { scheme, auth } => self.prove(scheme, auth.0.as_deref(), rules),
            Request::Sasl { token } => self.log_in(token, conn, cx),
            // These bodies upstream's connection reads itself.
            Request::Malformed(opcode @ (OpCode::Auth | OpCode::Sasl)) => {
                Verdict::Dropped { why: format!("unreadable {} packet", opcode.name()) }
            }
            _ if self.lacks(rules) => Verdict::Refused {
                code: ErrorCode::SESSION_CLOSED_REQUIRE_SASL_AUTH,
                why: format!("no identity of scheme {:?}", rules.required_schemes),
            },
            _ => return None,
        };
        self.refused = !matches!(verdict, Verdict::Answered(_));
        Some(verdict)
    }

    /// Is an identity demanded that it does not have?
    // ZK: AuthenticationHelper.enforceAuthentication (3.9)
    fn lacks(&self, rules: &AuthConfig) -> bool {
        let required = &rules.required_schemes;
        !required.is_empty() && !self.ids.iter().any(|id| required.contains(&id.scheme))
    }

    fn prove(&mut self, scheme: &str, auth: Option<&[u8]>, rules: &AuthConfig) -> Verdict {
        let [address, ..] = &*self.ids else { unreachable!("the address is never taken away") };
        let refused = |why| Verdict::Refused { code: ErrorCode::AUTH_FAILED, why };
        match auth::prove(scheme, auth, &address.id, rules) {
            Proof::Ids(ids) => match self.add(ids) {
                Ok(()) => Verdict::Answered(Response::Empty),
                Err(TooMany) => refused(format!("{TooMany}")),
            },
            Proof::Refused => refused(format!("authentication by scheme {scheme:?} failed")),
            Proof::WrongEnsemble => {
                Verdict::Dropped { why: "the client looks for another ensemble".into() }
            }
        }
    }

    // ZK: ZooKeeperServer.processSasl (3.9)
    fn log_in(&mut self, token: &[u8], conn: ConnId, cx: &Cx) -> Verdict {
        let rules = &cx.config.auth;
        let answered = |token: Option<Vec<u8>>| {
            Verdict::Answered(Response::Sasl { token: token.map(Into::into) })
        };
        let Some(users) = &rules.sasl.users else { return answered(None) };
        let new_nonce = || nonce(cx.config.seed, cx.config.my_id, conn, cx.now.wall);
        let why = match self.login.step(token, users, new_nonce) {
            Ok(Step::Challenge(challenge)) => return answered(Some(challenge)),
            Ok(Step::Done { user, proof }) => match self.add(auth::logged_in(user, rules)) {
                Ok(()) => return answered(Some(proof)),
                Err(TooMany) => format!("{TooMany}"),
            },
            Err(why) => format!("{why}"),
        };
        let why = format!("SASL login failed: {why}");
        let code = match rules.requires_sasl() {
            true => ErrorCode::SESSION_CLOSED_REQUIRE_SASL_AUTH,
            false if rules.sasl.allow_failed => return answered(None),
            false => ErrorCode::AUTH_FAILED,
        };
        Verdict::LoginRefused { code, why }
    }

    fn add(&mut self, ids: impl IntoIterator<Item = Id>) -> Result<(), TooMany> {
        let mut all = self.ids.to_vec();
        for id in ids {
            if !all.contains(&id) {
                all.push(id);
            }
        }
        let bytes: usize = all.iter().map(|id| Id::BYTES_MIN + id.scheme.len() + id.id.len()).sum();
        if bytes > IDS_BYTES_MAX {
            return Err(TooMany);
        }
        if all.len() > self.ids.len() {
            self.ids = all.into();
        }
        Ok(())
    }
}

#[derive(Debug, thiserror::Error)]
#[error("more identities than a connection may have")]
struct TooMany;
