//! Who a client is: the schemes of identities, how each is proved, and when an id in an access
//! control list means it. Pure functions of the configuration and of what was said.
//!
//! What a list allows is in [`crate::ops`]; whose connection has which ids is the server's.

pub mod digest;
mod directives;
pub(crate) mod ip;
pub mod sasl;
mod x500;

use alloc::string::String;
use alloc::vec::Vec;

use crate::config::AuthConfig;
use crate::proto::Id;

/// As whom something is asked, and the rules by which that is judged.
#[derive(Clone, Copy, Debug)]
pub struct Access<'a> {
    pub ids: &'a [Id],
    pub rules: &'a AuthConfig,
}

impl Access<'_> {
    /// Without an id, by upstream's defaults.
    pub const NOBODY: Access<'static> = Access { ids: &[], rules: &AuthConfig::new() };

    /// Is there no list that can deny anything?
    // ZK: ZooKeeperServer.checkACL (3.9)
    pub fn is_unlimited(self) -> bool {
        self.rules.skip_acl || self.ids.iter().any(|id| id.scheme == SUPER)
    }
    /// Does this entry of a list mean one of these ids?
    // ZK: ZooKeeperServer.checkACL (3.9)
    pub(crate) fn is_meant_by(self, entry: &Id) -> bool {
        if is_world(entry) {
            return true;
        }
        // A scheme that this server does not know means nobody.
        let Some(provider) = Provider::of(&entry.scheme, self.rules) else { return false };
        let mut like = self.ids.iter().filter(|id| id.scheme == entry.scheme);
        like.any(|id| provider.matches(&id.id, &entry.id, self.rules))
    }
}

const SUPER: &str = "super";

fn is_world(id: &Id) -> bool {
    id.scheme == "world" && id.id == "anyone"
}

/// What proves and knows the ids of one scheme.
// ZK: AuthenticationProvider (3.9)
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Provider {
    Ip,
    Digest,
    Sasl,
    X509,
    Ensemble,
}

impl Provider {
    // ZK: ProviderRegistry.getServerProvider (3.9)
    fn of(scheme: &str, rules: &AuthConfig) -> Option<Self> {
        let (provider, is_there) = match scheme {
            "ip" => (Self::Ip, true),
            "digest" => (Self::Digest, rules.digest.enabled),
            "sasl" => (Self::Sasl, rules.sasl.provider),
            "x509" => (Self::X509, rules.x509.provider),
            "ensemble" => (Self::Ensemble, rules.ensemble.provider),
            _ => return None,
        };
        is_there.then_some(provider)
    }
    fn is_valid(self, id: &str) -> bool {
        match self {
            Self::Ip => ip::is_valid(id),
            Self::Digest => digest::is_valid(id),
            Self::Sasl => is_principal(id),
            Self::X509 => x500::is_name(id),
            Self::Ensemble => false,
        }
    }
    fn matches(self, id: &str, entry: &str, rules: &AuthConfig) -> bool {
        match self {
            Self::Ip => ip::matches(id, entry),
            Self::Digest => id == entry,
            // ZK: SASLAuthenticationProvider.matches (3.9)
            Self::Sasl => {
                id == SUPER || id == entry || rules.sasl.everybody.as_deref() == Some(entry)
            }
            // ZK: X509AuthenticationProvider.matches (3.9)
            Self::X509 => id == entry || rules.x509.super_user.as_deref() == Some(id),
            Self::Ensemble => false,
        }
    }
    /// Does an id say who it is, not only whence it comes?
    // ZK: AuthenticationProvider.isAuthenticated (3.9)
    fn authenticates(self) -> bool {
        match self {
            Self::Digest | Self::Sasl | Self::X509 => true,
            Self::Ip | Self::Ensemble => false,
        }
    }
}

/// Can a connection prove ids of this scheme, as far as the configuration goes?
pub fn is_provided(scheme: &str, rules: &AuthConfig) -> bool {
    Provider::of(scheme, rules).is_some()
}

/// May an id stand in a list?
pub(crate) fn is_valid(id: &Id, rules: &AuthConfig) -> bool {
    is_world(id) || Provider::of(&id.scheme, rules).is_some_and(|of| of.is_valid(&id.id))
}

/// Does an id say who it is, not only whence it comes? `auth` in a list stands for those.
pub(crate) fn is_authenticated(id: &Id, rules: &AuthConfig) -> bool {
    Provider::of(&id.scheme, rules).is_some_and(Provider::authenticates)
}

/// An id without what only a password can make; empty for one that no provider answers for.
// ZK: AuthUtil.getUser, AuthenticationProvider.getUserName (3.9)
pub(crate) fn user_name<'a>(id: &'a Id, rules: &AuthConfig) -> &'a str {
    match Provider::of(&id.scheme, rules) {
        Some(Provider::Digest) => digest::user(&id.id),
        Some(Provider::Ip | Provider::Sasl | Provider::X509 | Provider::Ensemble) => &id.id,
        None => "",
    }
}

/// What an auth packet comes to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Proof {
    /// The connection has these ids, too.
    Ids(Vec<Id>),
    /// It is told so, and closed.
    Refused,
    /// It is closed without a word, so that its client tries another server.
    WrongEnsemble,
}

/// Judges an auth packet from `address`, the id that the connection has of scheme `ip`.
// ZK: ZooKeeperServer.processPacket, AuthenticationProvider.handleAuthentication (3.9)
pub(crate) fn prove(
    scheme: &str,
    credentials: Option<&[u8]>,
    address: &str,
    rules: &AuthConfig,
) -> Proof {
    match (Provider::of(scheme, rules), credentials) {
        // Every connection has it already.
        (Some(Provider::Ip), _) => Proof::Ids([id(scheme, address)].into()),
        (Some(Provider::Digest), Some(credentials)) => {
            let credentials = String::from_utf8_lossy(credentials);
            let own = digest::user_and_hash(&credentials, rules.digest.algorithm);
            let is_super = rules.digest.super_id.as_ref().is_some_and(|id| id.reveal() == own);
            let of_super = is_super.then(|| id(SUPER, ""));
            Proof::Ids(of_super.into_iter().chain([id(scheme, own)]).collect())
        }
        // ZK: EnsembleAuthenticationProvider.handleAuthentication (3.9)
        (Some(Provider::Ensemble), None | Some([])) => Proof::Ids(Vec::new()),
        (Some(Provider::Ensemble), Some(name)) => {
            let (name, names) = (String::from_utf8_lossy(name), &rules.ensemble.names);
            match names.is_empty() || names.contains(&*name) {
                true => Proof::Ids(Vec::new()),
                false => Proof::WrongEnsemble,
            }
        }
        (Some(Provider::Digest), None) => Proof::Refused,
        // A SASL login has an opcode of its own, and a certificate comes with TLS.
        (Some(Provider::Sasl | Provider::X509) | None, _) => Proof::Refused,
    }
}

/// The ids of who has logged in as `user`.
// ZK: ZooKeeperServer.processSasl, isSaslSuperUser (3.9)
pub(crate) fn logged_in(user: String, rules: &AuthConfig) -> impl Iterator<Item = Id> {
    let is_super = !user.is_empty() && rules.sasl.super_users.contains(&user);
    let of_super = is_super.then(|| id(SUPER, ""));
    [id("sasl", user)].into_iter().chain(of_super)
}

fn id(scheme: &str, id: impl Into<String>) -> Id {
    Id { scheme: scheme.into(), id: id.into() }
}

/// A name of Kerberos, `service/host@REALM`, or any text that does not look like one.
// ZK: KerberosName, SASLAuthenticationProvider.isValid (3.9)
fn is_principal(id: &str) -> bool {
    match id.split_once('@') {
        None => true,
        Some((name, realm)) => name.matches('/').count() <= 1 && !realm.contains(['/', '@']),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Secret;

    fn rules() -> AuthConfig {
        let mut rules = AuthConfig::new();
        rules.sasl.provider = true;
        rules.x509.provider = true;
        rules
    }

    #[test]
    fn ids_that_may_stand_in_a_list() {
        for (scheme, text, valid) in [
            ("world", "anyone", true),
            ("world", "", false),
            ("world", "other", false),
            ("digest", "u:h", true),
            ("digest", ":h", true),
            ("digest", "u:", false),
            ("digest", "u", false),
            ("digest", ":", false),
            ("digest", "", false),
            ("digest", "a:b:c", false),
            ("digest", "a:b:", true),
            ("ip", "1.2.3.4/24", true),
            ("ip", "1.2.3", false),
            ("sasl", "bob", true),
            ("sasl", "", true),
            ("sasl", "a/b/c", true),
            ("sasl", "zookeeper/host@REALM", true),
            ("sasl", "bob@", true),
            ("sasl", "a/b/c@REALM", false),
            ("sasl", "a@b@c", false),
            ("sasl", "a@b/c", false),
            ("x509", "CN=ann,O=x", true),
            ("x509", "", true),
            ("x509", "ann", false),
            ("super", "", false),
            ("auth", "", false),
            ("ensemble", "x", false),
            ("", "", false),
        ] {
            assert_eq!(is_valid(&id(scheme, text), &rules()), valid, "{scheme}:{text}");
        }
    }

    #[test]
    fn a_scheme_without_its_provider_is_unknown() {
        let mut without = AuthConfig::new();
        without.digest.enabled = false;
        for (scheme, text) in [("digest", "u:h"), ("sasl", "u"), ("x509", "CN=u")] {
            let id = id(scheme, text);
            let with = Access { ids: core::slice::from_ref(&id), rules: &rules() };
            assert!(is_valid(&id, with.rules) && with.is_meant_by(&id), "{id:?}");
            assert!(is_authenticated(&id, with.rules) && !user_name(&id, with.rules).is_empty());
            let without = Access { rules: &without, ..with };
            assert!(!is_valid(&id, without.rules) && !without.is_meant_by(&id), "{id:?}");
            assert!(!is_authenticated(&id, without.rules));
            assert_eq!(user_name(&id, without.rules), "");
        }
        assert_eq!(prove("digest", Some(b"u:p"), "::1", &without), Proof::Refused);
    }

    #[test]
    fn an_entry_means_who_matches_it() {
        let mut special = rules();
        special.sasl.everybody = Some("anybody".into());
        special.x509.super_user = Some("CN=root".into());
        for (own, entry, usually, specially) in [
            (("ip", "10.0.0.1"), ("world", "anyone"), true, true),
            (("ip", "10.0.0.1"), ("world", "other"), false, false),
            (("ip", "10.0.0.1"), ("ip", "10.0.0.0/8"), true, true),
            (("digest", "u:h"), ("digest", "u:h"), true, true),
            (("digest", "u:h"), ("digest", "u:g"), false, false),
            (("digest", "u:h"), ("sasl", "u:h"), false, false),
            (("sasl", "u"), ("sasl", "u"), true, true),
            (("sasl", "u"), ("sasl", "v"), false, false),
            (("sasl", "u"), ("sasl", "anybody"), false, true),
            (("digest", "u:h"), ("sasl", "anybody"), false, false),
            (("sasl", "super"), ("sasl", "v"), true, true),
            (("sasl", "super"), ("digest", "u:h"), false, false),
            (("x509", "CN=u"), ("x509", "CN=u"), true, true),
            (("x509", "CN=root"), ("x509", "CN=u"), false, true),
            (("ensemble", "x"), ("ensemble", "x"), false, false),
        ] {
            let (own, entry) = (id(own.0, own.1), id(entry.0, entry.1));
            for (rules, expected) in [(&rules(), usually), (&special, specially)] {
                let access = Access { ids: core::slice::from_ref(&own), rules };
                assert_eq!(access.is_meant_by(&entry), expected, "{own:?} at {entry:?}");
            }
        }
    }

    #[test]
    fn who_is_unlimited() {
        let mut skipping = AuthConfig::new();
        skipping.skip_acl = true;
        let usual = AuthConfig::new();
        for (ids, rules, unlimited) in [
            (&[][..], &usual, false),
            (&[id("digest", "super:h")], &usual, false),
            (&[id("sasl", "super")], &usual, false),
            (&[id("ip", "::1"), id("super", "")], &usual, true),
            (&[id("super", "CN=root")], &usual, true),
            (&[], &skipping, true),
        ] {
            assert_eq!(Access { ids, rules }.is_unlimited(), unlimited, "{ids:?}");
        }
    }

    #[test]
    fn what_auth_packets_prove() {
        let mut rules = rules();
        let address = "10.1.2.3";
        let check =
            |scheme: &str, credentials: Option<&str>, rules: &AuthConfig, ids: &[(&str, &str)]| {
                let ids = ids.iter().map(|(scheme, text)| id(scheme, *text)).collect();
                let proof = prove(scheme, credentials.map(str::as_bytes), address, rules);
                assert_eq!(proof, Proof::Ids(ids), "{scheme} {credentials:?}");
            };
        let own = ("digest", "super:D/InIHSb7yEEbrWz8b9l71RjZJU=");
        check("digest", Some("super:test"), &rules, &[own]);
        check("ip", Some("whatever"), &rules, &[("ip", address)]);
        check("ip", None, &rules, &[("ip", address)]);
        rules.digest.super_id = Some(Secret::new(own.1));
        check("digest", Some("super:test"), &rules, &[("super", ""), own]);
        let wrong = ("digest", "super:b4GPpSdAwvCqJKsxsCCZ222ZDNA=");
        check("digest", Some("super:tset"), &rules, &[wrong]);
        for (scheme, credentials) in [
            ("digest", None),
            ("sasl", Some("u")),
            ("x509", Some("CN=u")),
            ("super", Some("u")),
            ("world", Some("anyone")),
            ("ensemble", Some("x")),
            ("", Some("")),
        ] {
            let proof = prove(scheme, credentials.map(str::as_bytes), address, &rules);
            assert_eq!(proof, Proof::Refused, "{scheme}");
        }
        rules.ensemble.provider = true;
        check("ensemble", Some("x"), &rules, &[]);
        rules.ensemble.names = ["a".into(), "b".into()].into();
        check("ensemble", Some("b"), &rules, &[]);
        check("ensemble", Some(""), &rules, &[]);
        check("ensemble", None, &rules, &[]);
        assert_eq!(prove("ensemble", Some(b"x"), address, &rules), Proof::WrongEnsemble);
    }

    #[test]
    fn super_users_of_sasl_have_a_second_id() {
        let mut rules = rules();
        rules.sasl.super_users = ["root".into(), "".into()].into();
        let ids = |user: &str| logged_in(user.into(), &rules).collect::<Vec<_>>();
        assert_eq!(ids("bob"), [id("sasl", "bob")]);
        assert_eq!(ids("root"), [id("sasl", "root"), id("super", "")]);
        assert_eq!(ids(""), [id("sasl", "")]);
    }
}
