//! How clients prove who they are, and what that is worth: upstream's keys of authentication. What
//! the values do is in [`crate::auth`].

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use core::fmt;

use serde::{Deserialize, Serialize};

use crate::auth::digest::Algorithm;
use crate::auth::sasl::UserKey;

#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct AuthConfig {
    /// `skipACL`: no list denies anything to anybody; default no.
    pub skip_acl: bool,
    /// `enableEagerACLCheck`: what a list denies is refused by the client's own server, and takes no
    /// zxid; default no.
    pub eager: bool,
    pub digest: DigestConfig,
    pub sasl: SaslConfig,
    pub x509: X509Config,
    pub ensemble: EnsembleNameConfig,
    /// `enforce.auth.schemes` when `enforce.auth.enabled`, or `sasl` when
    /// `sessionRequireClientSASLAuth`: a connection with an id of none of these is told so and closed
    /// at its first request. Empty, the default, demands nothing.
    pub required_schemes: BTreeSet<String>,
}

/// Scheme `digest`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct DigestConfig {
    /// `DigestAuthenticationProvider.enabled`; default true.
    pub enabled: bool,
    /// `DigestAuthenticationProvider.digestAlg`; default SHA1.
    pub algorithm: Algorithm,
    /// `DigestAuthenticationProvider.superDigest`: the id, `user:hash`, that is super.
    pub super_id: Option<Secret>,
}

/// Scheme `sasl`, mechanism DIGEST-MD5.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct SaslConfig {
    /// `authProvider.*` names upstream's `SASLAuthenticationProvider`: lists may name ids of this
    /// scheme. Without it clients may still log in, and it avails them nothing.
    pub provider: bool,
    /// The `user_*` options of the section `Server` of `java.security.auth.login.config`, or
    /// `sasl.users.*`. `None`: there is no such section, and nobody can log in.
    pub users: Option<BTreeMap<String, UserKey>>,
    /// `allowSaslFailedClients`: who fails to log in goes on without; default false.
    pub allow_failed: bool,
    /// `superUser`, `superUser.*`: users who are super.
    pub super_users: BTreeSet<String>,
    /// `letAnySaslUserDoX`: the id in a list that every user matches.
    pub everybody: Option<String>,
}

/// Scheme `x509`. No connection has an id of it until there is TLS.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct X509Config {
    /// `authProvider.*` names upstream's `X509AuthenticationProvider`.
    pub provider: bool,
    /// `X509AuthenticationProvider.superUser`: the name that matches every id.
    pub super_user: Option<String>,
}

/// Scheme `ensemble`, which proves nothing about a client, but the client's belief whose it is.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct EnsembleNameConfig {
    /// `authProvider.*` names upstream's `EnsembleAuthenticationProvider`.
    pub provider: bool,
    /// `ensembleAuthName`, names with commas; empty: any name is right.
    pub names: BTreeSet<String>,
}

impl AuthConfig {
    /// Upstream's defaults.
    pub const fn new() -> Self {
        Self {
            skip_acl: false,
            eager: false,
            digest: DigestConfig::new(),
            sasl: SaslConfig::new(),
            x509: X509Config { provider: false, super_user: None },
            ensemble: EnsembleNameConfig { provider: false, names: BTreeSet::new() },
            required_schemes: BTreeSet::new(),
        }
    }
    /// Is a SASL login one of the ways in, and no other does?
    // ZK: AuthenticationHelper.isSaslAuthRequired (3.9)
    pub fn requires_sasl(&self) -> bool {
        self.required_schemes.contains("sasl")
    }
}

impl DigestConfig {
    const fn new() -> Self {
        Self { enabled: true, algorithm: Algorithm::Sha1, super_id: None }
    }
}

impl Default for DigestConfig {
    fn default() -> Self {
        Self::new()
    }
}

impl SaslConfig {
    const fn new() -> Self {
        Self {
            provider: false,
            users: None,
            allow_failed: false,
            super_users: BTreeSet::new(),
            everybody: None,
        }
    }
}

/// Text that nobody is shown.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Secret(String);

impl Secret {
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

#[cfg(test)]
mod tests {
    use alloc::format;

    use super::*;

    #[test]
    fn no_secret_is_shown() {
        let mut config = AuthConfig::new();
        assert_eq!(config, AuthConfig::default());
        config.digest.super_id = Some(Secret::new("super:hash"));
        let key = UserKey::new("bob", "sesame");
        config.sasl.users = Some([("bob".into(), key)].into());
        let shown = format!("{config:?}");
        assert!(shown.contains("bob") && shown.contains("Secret(..)"), "{shown}");
        assert!(!shown.contains("hash") && !shown.contains("sesame"), "{shown}");
        assert!(shown.contains("UserKey(..)"), "{shown}");
    }
}
