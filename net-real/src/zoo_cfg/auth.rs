//! Who clients may be: the keys of authentication, and the section of a JAAS file that a server
//! finds its users in. What the values do is in [`zebu_core::auth`].

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use zebu_core::auth::digest::{Algorithm, user_and_hash};
use zebu_core::auth::is_provided;
use zebu_core::auth::sasl::UserKey;
use zebu_core::config::{AuthConfig, Secret};

use super::jaas::{self, Module};
use super::{Properties, Property, ReadFile, Reader};

/// The property that names a JAAS file.
const JAAS_FILE: &str = "java.security.auth.login.config";
/// The package of upstream's providers.
const PROVIDERS: &str = "org.apache.zookeeper.server.auth.";
const DIGEST_MODULE: &str = "org.apache.zookeeper.server.auth.DigestLoginModule";

type Users = BTreeMap<String, UserKey>;

impl Reader {
    pub(super) fn auth(&mut self, keys: &Properties, auth: &mut AuthConfig, read: &ReadFile<'_>) {
        auth.eager = self.flag(keys, "enableEagerACLCheck").unwrap_or(false);
        if let Some(property) = keys.get("skipACL") {
            // ZK: ZooKeeperServer (3.9): no other word skips them.
            match property.value.as_str() {
                "yes" => auth.skip_acl = true,
                "no" | "false" => {}
                other => {
                    self.fault(property, format!("skipACL: expected yes or no, found {other:?}"));
                }
            }
        }
        self.digest(keys, auth);
        self.providers(keys, auth);
        self.sasl(keys, auth, read);
        auth.x509.super_user = keys.get("X509AuthenticationProvider.superUser").map(value);
        if let Some(names) = keys.get("ensembleAuthName") {
            auth.ensemble.names = list(names).collect();
        }
        self.required_schemes(keys, auth);
    }

    fn fault(&mut self, property: &Property, what: String) {
        self.error(&property.file, property.line, what);
    }

    // ZK: DigestAuthenticationProvider (3.9)
    fn digest(&mut self, keys: &Properties, auth: &mut AuthConfig) {
        let digest = &mut auth.digest;
        if let Some(enabled) = self.flag(keys, "DigestAuthenticationProvider.enabled") {
            digest.enabled = enabled;
        }
        if let Some(property) = keys.get("DigestAuthenticationProvider.digestAlg") {
            match Algorithm::by_name(&property.value) {
                Some(algorithm) => digest.algorithm = algorithm,
                None => {
                    let names: Vec<_> = Algorithm::names().collect();
                    let what = format!(
                        "DigestAuthenticationProvider.digestAlg: expected one of {}, found {:?}",
                        names.join(", "),
                        property.value
                    );
                    self.fault(property, what);
                }
            }
        }
        if let Some(property) = keys.get("DigestAuthenticationProvider.superDigest") {
            // A hash of the configured kind is as long as any other.
            let like = user_and_hash("", digest.algorithm).len();
            if property.value.rfind(':').is_none_or(|at| property.value.len() - at != like) {
                let what = "DigestAuthenticationProvider.superDigest: expected user:hash, with the \
                            hash of user:password in base64; as it is, nobody is super";
                self.warn(&property.file, property.line, what);
            }
            digest.super_id = Some(Secret::new(value(property)));
        }
    }

    // ZK: ProviderRegistry.initialize (3.9)
    fn providers(&mut self, keys: &Properties, auth: &mut AuthConfig) {
        for (key, property) in keys.iter().filter(|(key, _)| key.starts_with("authProvider.")) {
            match property.value.strip_prefix(PROVIDERS) {
                Some("SASLAuthenticationProvider") => auth.sasl.provider = true,
                Some("X509AuthenticationProvider") => auth.x509.provider = true,
                Some("EnsembleAuthenticationProvider") => auth.ensemble.provider = true,
                Some("DigestAuthenticationProvider") => auth.digest.enabled = true,
                // Always there.
                Some("IPAuthenticationProvider") => {}
                // Departs: upstream goes on without a class that it cannot load.
                _ => {
                    let what = format!(
                        "{key}: Zebu cannot load Java's classes. Of {PROVIDERS} it has \
                         SASLAuthenticationProvider, X509AuthenticationProvider, \
                         EnsembleAuthenticationProvider, DigestAuthenticationProvider and \
                         IPAuthenticationProvider, found {:?}",
                        property.value
                    );
                    self.fault(property, what);
                }
            }
        }
    }

    fn sasl(&mut self, keys: &Properties, auth: &mut AuthConfig, read: &ReadFile<'_>) {
        let sasl = &mut auth.sasl;
        if let Some(allowed) = self.flag(keys, "allowSaslFailedClients") {
            sasl.allow_failed = allowed;
        }
        sasl.everybody = keys.get("letAnySaslUserDoX").map(value);
        let supers =
            keys.iter().filter(|(key, _)| *key == "superUser" || key.starts_with("superUser."));
        sasl.super_users = supers.map(|(_, property)| value(property)).collect();

        let mut users = self.jaas_users(keys, read);
        if let (Some(_), Some(file), false) = (&users, keys.get(JAAS_FILE), sasl.provider) {
            let what = format!(
                "{JAAS_FILE}: clients can log in, but without \
                 authProvider.sasl={PROVIDERS}SASLAuthenticationProvider no list can name them"
            );
            self.warn(&file.file, file.line, what);
        }
        for (key, property) in keys {
            let Some(user) = key.strip_prefix("sasl.users.") else { continue };
            // A key of our own needs no class of Java's to be of use.
            sasl.provider = true;
            let key = UserKey::new(user, &property.value);
            if users.get_or_insert_default().insert(user.into(), key).is_some() {
                let what = format!("sasl.users.{user} replaces this user of the JAAS file");
                self.warn(&property.file, property.line, what);
            }
        }
        // ZK: SaslServerCallbackHandler.handlePasswordCallback (3.9): if there is such a user.
        if let Some(property) = keys.get("SASLAuthenticationProvider.superPassword")
            && let Some(key) = users.as_mut().and_then(|users| users.get_mut("super"))
        {
            *key = UserKey::new("super", &property.value);
        }
        sasl.users = users;
    }

    /// The users of the section for servers; `None` if there is no such section.
    // ZK: ServerCnxnFactory.configureSaslLogin (3.9)
    fn jaas_users(&mut self, keys: &Properties, read: &ReadFile<'_>) -> Option<Users> {
        let named = keys.get("sasl.serverconfig");
        let name = named.map_or("Server", |property| &property.value);
        let Some(property) = keys.get(JAAS_FILE) else {
            if let Some(named) = named {
                let what = format!("sasl.serverconfig: {JAAS_FILE}, its file, is missing");
                self.fault(named, what);
            }
            return None;
        };
        // Java takes a URL too, and `-Dname==file` for a file that replaces others.
        let path = property.value.trim_start_matches('=');
        let path =
            path.strip_prefix("file:").map_or(path, |url| url.strip_prefix("//").unwrap_or(url));
        let path = Path::new(path);
        let text = match read(path) {
            Ok(text) => text,
            Err(error) => {
                let what = format!("{JAAS_FILE}: {} cannot be read: {error}", path.display());
                self.fault(property, what);
                return None;
            }
        };
        let sections = match jaas::parse(&text) {
            Ok(sections) => sections,
            Err(fault) => {
                self.error(path, fault.line, fault.what);
                return None;
            }
        };
        let Some(section) = sections.into_iter().find(|section| section.name == name) else {
            let what = format!("has no section {name}: no client can log in");
            match named {
                Some(_) => self.error(path, 0, what),
                None => self.warn(path, 0, what),
            }
            return None;
        };
        let mut users = Users::new();
        for module in &section.modules {
            self.module_users(path, module, &mut users);
        }
        if users.is_empty() && self.errors.is_empty() {
            let what =
                format!("section {name} has no user_NAME=\"password\": no client can log in");
            self.warn(path, section.line, what);
        }
        Some(users)
    }

    // ZK: ServerCnxnFactory.getDigestMd5Credentials (3.9)
    fn module_users(&mut self, path: &Path, module: &Module, users: &mut Users) {
        if module.class.ends_with("Krb5LoginModule") {
            let what = "Kerberos (GSSAPI) is not carried out by Zebu: clients can log in by \
                        DIGEST-MD5, with DigestLoginModule and user_NAME=\"password\" here";
            return self.error(path, module.line, what);
        }
        if module.class != DIGEST_MODULE {
            let what = format!("expected {DIGEST_MODULE}, found {}", module.class);
            return self.error(path, module.line, what);
        }
        for option in &module.options {
            let Some(user) = option.name.strip_prefix("user_") else { continue };
            if option.value.replace("${{", "").contains("${") {
                let what = format!("{}: Zebu expands no ${{property}}", option.name);
                self.error(path, option.line, what);
            }
            users.insert(user.into(), UserKey::new(user, &option.value));
        }
    }

    // ZK: AuthenticationHelper.initConfigurations (3.9)
    fn required_schemes(&mut self, keys: &Properties, auth: &mut AuthConfig) {
        let enforced = "enforce.auth.enabled";
        let schemes: BTreeSet<String> =
            if self.flag(keys, "sessionRequireClientSASLAuth") == Some(true) {
                ["sasl".to_owned()].into()
            } else if self.flag(keys, enforced) == Some(true) {
                keys.get("enforce.auth.schemes").into_iter().flat_map(list).collect()
            } else {
                return;
            };
        if schemes.is_empty() {
            let what = "enforce.auth.enabled: enforce.auth.schemes is missing or empty";
            self.fault(&keys[enforced], what.into());
        }
        for scheme in &schemes {
            if !is_provided(scheme, auth) {
                let at = ["sessionRequireClientSASLAuth", "enforce.auth.schemes", enforced];
                let at = at.iter().find_map(|key| keys.get(*key)).expect("one of them demands it");
                let what = format!(
                    "authentication by scheme {scheme:?} is demanded, but no authProvider provides it"
                );
                self.fault(at, what);
            }
        }
        auth.required_schemes = schemes;
    }
}

fn value(property: &Property) -> String {
    property.value.clone()
}

fn list(property: &Property) -> impl Iterator<Item = String> {
    let names = property.value.split(',').map(str::trim).filter(|name| !name.is_empty());
    names.map(ToOwned::to_owned)
}
