//! zoo.cfg: upstream's configuration file, read into what core and the driver need.
//!
//! Java properties as people write them here: `key=value` lines, blanks around both, `#` and `!`
//! comments. Line continuation and backslash escapes are refused, not guessed at. Which keys there
//! are stands in [`keys`]; what they mean to the service stands in [`zebu_core::config`]. Nothing
//! here opens a socket or resolves a name.

mod admission;
mod auth;
mod durability;
mod dynamic;
mod groups;
mod jaas;
mod jvm_flags;
mod keys;
mod limits;
mod observers;
mod properties;
mod reconfig;
mod sessions;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use zebu_core::config::{Config, Ensemble, Member};
use zebu_core::ids::ServerId;

use crate::settings::{Address, BindRetry, FourLetterWords, ServerSettings};
pub use dynamic::ConfigFiles;
use properties::{Properties, Property, Reader};

/// Something about one line (or, with line 0, about the whole file) that a person should know.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Remark {
    pub file: PathBuf,
    pub line: usize,
    pub what: String,
}

impl fmt::Display for Remark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.file.display())?;
        if self.line > 0 {
            write!(f, "{}:", self.line)?;
        }
        write!(f, " {}", self.what)
    }
}

/// Everything that is wrong with a configuration, in the order of its lines.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CfgErrors(pub Vec<Remark>);

impl fmt::Display for CfgErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, remark) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{remark}")?;
        }
        Ok(())
    }
}

impl std::error::Error for CfgErrors {}

/// What a zoo.cfg says, with the files it refers to.
#[derive(Clone, Debug)]
pub struct ZooCfg {
    pub settings: ServerSettings,
    pub data_dir: PathBuf,
    pub log_dir: PathBuf,
    /// What has no effect, or not the one that was probably meant.
    pub warnings: Vec<Remark>,
}

impl ZooCfg {
    /// Reads `path`, the dynamic file that it names, `myid` in its data directory, and the properties
    /// in the environment, which yield to the file's.
    pub fn load(path: &Path) -> Result<Self, CfgErrors> {
        let mut reader = Reader::default();
        let mut keys = jvm_flags::from_environment(&mut reader);
        match std::fs::read_to_string(path) {
            Ok(text) => keys.extend(reader.properties(path, &text)),
            Err(error) => return Err(CfgErrors(vec![unreadable(path, &error)])),
        }
        reader.finish(path, keys, &|path| std::fs::read_to_string(path))
    }

    /// One server on 127.0.0.1 that answers all four-letter words, with the properties in the
    /// environment.
    pub fn trial(port: u16, data_dir: &Path) -> Result<Self, CfgErrors> {
        let mut reader = Reader::default();
        let mut keys = jvm_flags::from_environment(&mut reader);
        let path = Path::new("command line");
        for (key, value) in
            [("4lw.commands.whitelist", "*".into()), ("dataDir", data_dir.display().to_string())]
        {
            keys.insert(key.into(), Property { value, file: path.into(), line: 0 });
        }
        let mut cfg = reader.finish(path, keys, &|path| std::fs::read_to_string(path))?;
        cfg.warnings.retain(|warning| warning.file != path);
        cfg.settings.client = Some(Address::new("127.0.0.1", port));
        // A key is text, a path need not be.
        Ok(Self { data_dir: data_dir.into(), log_dir: data_dir.into(), ..cfg })
    }

    /// Reads `text` as the file `path`, finding other files with `read`.
    pub fn parse(path: &Path, text: &str, read: &ReadFile<'_>) -> Result<Self, CfgErrors> {
        let mut reader = Reader::default();
        let keys = reader.properties(path, text);
        reader.finish(path, keys, read)
    }
}

/// How other files are read: `std::fs::read_to_string`, or a test's own.
pub type ReadFile<'a> = dyn Fn(&Path) -> std::io::Result<String> + 'a;

fn unreadable(path: &Path, error: &std::io::Error) -> Remark {
    Remark { file: path.into(), line: 0, what: format!("cannot be read: {error}") }
}

impl Reader {
    fn finish(
        mut self,
        path: &Path,
        keys: Properties,
        read: &ReadFile<'_>,
    ) -> Result<ZooCfg, CfgErrors> {
        self.judge_keys(&keys);
        let ensemble = self.ensemble(&keys, read);
        let cfg = self.settings(path, &keys, ensemble, read);
        self.errors.sort_by_key(|remark| remark.line);
        match cfg {
            Some(mut cfg) if self.errors.is_empty() => {
                self.warnings.sort_by_key(|remark| remark.line);
                cfg.warnings = self.warnings;
                Ok(cfg)
            }
            _ => Err(CfgErrors(self.errors)),
        }
    }

    /// The `server.N`, `group.N` and `weight.N` lines, from this file or from the dynamic one.
    // ZK: QuorumPeerConfig.parse, parseDynamicConfig (3.9)
    fn ensemble(&mut self, keys: &Properties, read: &ReadFile<'_>) -> Ensemble {
        let Some(dynamic) = keys.get("dynamicConfigFile") else {
            return self.ensemble_of(keys, 0);
        };
        for (key, property) in keys.iter().filter(|(key, _)| is_of_ensemble(key)) {
            let what = format!(
                "{key} must stand in the file that dynamicConfigFile (line {}) names",
                dynamic.line
            );
            self.error(&property.file, property.line, what);
        }
        let path = PathBuf::from(&dynamic.value);
        let text = match read(&path) {
            Ok(text) => text,
            Err(error) => {
                let what = format!("dynamicConfigFile: {} cannot be read: {error}", path.display());
                self.error(&dynamic.file, dynamic.line, what);
                return Ensemble::default();
            }
        };
        let properties = self.properties(&path, &text);
        for (key, property) in &properties {
            if !is_of_ensemble(key) {
                let what = format!(
                    "expected server.N=…, group.N=… and weight.N=… only in a dynamic file, found {key}"
                );
                self.error(&property.file, property.line, what);
            }
        }
        self.ensemble_of(&properties, version_of(&path))
    }

    fn ensemble_of(&mut self, keys: &Properties, version: u64) -> Ensemble {
        let mut ensemble = Ensemble { members: self.members(keys), hierarchy: None, version };
        self.groups(keys, &mut ensemble);
        ensemble
    }

    fn members(&mut self, keys: &Properties) -> BTreeMap<ServerId, Member> {
        let mut members = BTreeMap::new();
        for (key, property) in keys {
            let Some(id) = key.strip_prefix("server.") else { continue };
            let id = parse_id(id).map_err(|what| format!("{key}: {what}"));
            let member = Member::parse(&property.value).map_err(|what| format!("{key}: {what}"));
            match (id, member) {
                (Ok(id), Ok(member)) => {
                    members.insert(id, member);
                }
                (Err(what), _) | (_, Err(what)) => self.error(&property.file, property.line, what),
            }
        }
        members
    }

    fn settings(
        &mut self,
        path: &Path,
        keys: &Properties,
        ensemble: Ensemble,
        read: &ReadFile<'_>,
    ) -> Option<ZooCfg> {
        let Some(data_dir) = keys.get("dataDir").filter(|property| !property.value.is_empty())
        else {
            self.error(path, 0, "dataDir is missing: say where snapshots are kept");
            return None;
        };
        let data_dir = PathBuf::from(&data_dir.value);
        let log_dir = keys.get("dataLogDir").map_or(data_dir.clone(), |p| PathBuf::from(&p.value));

        let my_id = self.my_id(path, &data_dir, &ensemble, read)?;
        self.check_participants(path, keys, &ensemble);
        let standalone = self.flag(keys, "standaloneEnabled") != Some(false);
        let alone = ensemble.members.is_empty() || standalone && ensemble.is_alone();
        let ensemble =
            if ensemble.members.is_empty() { ServerSettings::alone(my_id) } else { ensemble };
        self.check_peer_type(keys, &ensemble, my_id);

        let mut config = Config::new(my_id, ensemble);
        self.timing(keys, &mut config);
        self.limits(keys, &mut config);
        self.containers(keys, &mut config);
        self.auth(keys, &mut config.auth, read);
        config.enforce_quota = self.flag(keys, "enforceQuota").unwrap_or(false);
        self.sessions(keys, &mut config);
        self.observers(keys, &mut config);

        let mut settings = ServerSettings::new(config);
        settings.client = self.client_address(path, keys, &settings.config, my_id);
        if alone {
            settings.election = None;
            settings.quorum = None;
            settings.observer_master = None;
        } else if self.flag(keys, "quorumListenOnAllIPs") == Some(true) {
            let peers =
                [&mut settings.election, &mut settings.quorum, &mut settings.observer_master];
            for address in peers.into_iter().flatten() {
                "0.0.0.0".clone_into(&mut address.host);
            }
        }
        settings.listens_everywhere = self.flag(keys, "quorumListenOnAllIPs") == Some(true);
        self.reconfig(path, keys, &mut settings);
        self.admission(keys, &mut settings);
        settings.storage = self.storage(keys, &settings.config);
        self.durability(keys, &mut settings);
        settings.auto_purge = self.auto_purge(keys);
        if let Some(tries) = self.number(keys, "electionPortBindRetry", 0) {
            settings.bind_retry =
                if tries == 0 { BindRetry::Forever } else { BindRetry::Times(tries) };
        }
        if let Some(timeout) = self.millis(keys, "cnxTimeout", 1) {
            settings.dial_timeout = timeout;
        }
        if let Some(timeout) = self.millis(keys, "nio.sessionlessCnxnTimeout", 1) {
            settings.handshake_timeout = timeout;
        }
        if let Some(list) = keys.get("4lw.commands.whitelist") {
            settings.four_letter_words = FourLetterWords::parse(&list.value);
        }
        if settings.config.read_only_mode.enabled {
            // Clients ask by it for a server that takes writes.
            settings.four_letter_words.add("isro");
        }
        Some(ZooCfg { settings, data_dir, log_dir, warnings: Vec::new() })
    }

    fn timing(&mut self, keys: &Properties, config: &mut Config) {
        if let Some(tick) = self.millis(keys, "tickTime", 1) {
            config.tick = tick;
        }
        // The defaults hang on the tick that was just read.
        config.min_session_timeout = config.tick * 2;
        config.max_session_timeout = config.tick * 20;
        let durations = [
            ("minSessionTimeout", &mut config.min_session_timeout),
            ("maxSessionTimeout", &mut config.max_session_timeout),
            ("fastleader.minNotificationInterval", &mut config.min_notification_interval),
            ("fastleader.maxNotificationInterval", &mut config.max_notification_interval),
            ("leaderConnectDelayDuringRetryMs", &mut config.leader_connect_delay),
        ];
        for (key, field) in durations {
            // ZK: -1 stands for the default of the two session timeouts.
            if keys.get(key).is_some_and(|p| p.value == "-1" && key.ends_with("SessionTimeout")) {
                continue;
            }
            if let Some(value) = self.millis(keys, key, 1) {
                *field = value;
            }
        }
        if let Some(limit) = self.number(keys, "initLimit", 1) {
            config.init_limit = limit;
        }
        if let Some(limit) = self.number(keys, "syncLimit", 1) {
            config.sync_limit = limit;
        }
        if config.min_session_timeout > config.max_session_timeout {
            let at = keys.get("minSessionTimeout").or_else(|| keys.get("maxSessionTimeout"));
            if let Some(property) = at {
                let what = format!(
                    "minSessionTimeout ({} ms) is larger than maxSessionTimeout ({} ms)",
                    config.min_session_timeout.as_millis(),
                    config.max_session_timeout.as_millis()
                );
                self.error(&property.file, property.line, what);
            }
        }
        if let Some(property) = keys.get("electionAlg").filter(|property| property.value != "3") {
            let what = format!("electionAlg: only 3 is supported, found {:?}", property.value);
            self.error(&property.file, property.line, what);
        }
    }

    // ZK: QuorumPeerConfig.setupMyId, checkValidity (3.9)
    fn my_id(
        &mut self,
        path: &Path,
        data_dir: &Path,
        ensemble: &Ensemble,
        read: &ReadFile<'_>,
    ) -> Option<ServerId> {
        let file = data_dir.join("myid");
        let text = match read(&file) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                if let (Some(only), true) = (ensemble.members.keys().next(), ensemble.is_alone()) {
                    return Some(*only);
                }
                if ensemble.members.is_empty() {
                    return Some(ServerSettings::ID_ALONE);
                }
                let ids: Vec<_> = ensemble.members.keys().map(ToString::to_string).collect();
                let what = format!(
                    "is missing: write the number of this server into it, one of {} as in {}",
                    ids.join(", "),
                    path.display()
                );
                self.error(&file, 0, what);
                return None;
            }
            Err(error) => {
                self.errors.push(unreadable(&file, &error));
                return None;
            }
        };
        let id = match parse_id(text.lines().next().unwrap_or_default().trim()) {
            Ok(id) => id,
            Err(what) => {
                self.error(&file, 1, what);
                return None;
            }
        };
        if !ensemble.members.is_empty() && !ensemble.members.contains_key(&id) {
            let what = format!("says {id}, but {} has no server.{id}", path.display());
            self.error(&file, 1, what);
            return None;
        }
        Some(id)
    }

    // ZK: QuorumPeerConfig.setupClientPort (3.9)
    fn client_address(
        &mut self,
        path: &Path,
        keys: &Properties,
        config: &Config,
        my_id: ServerId,
    ) -> Option<Address> {
        let port = self.port(keys, "clientPort");
        let host = keys.get("clientPortAddress");
        let listed = config.ensemble.members.get(&my_id).and_then(|member| member.client.clone());
        let Some(port) = port else {
            if let Some(host) = host.filter(|_| !keys.contains_key("clientPort")) {
                let what = "clientPortAddress is set but clientPort is not";
                self.error(&host.file, host.line, what);
            }
            if listed.is_none() && !keys.contains_key("clientPort") {
                self.warn(path, 0, "clientPort is missing: this server takes no clients");
            }
            return listed.map(|(host, port)| Address { host, port });
        };
        let host_text = host.map_or("0.0.0.0", |property| &property.value);
        let fixed = Address { host: host_text.trim_matches(['[', ']']).into(), port };
        let Some((host, port)) = listed else { return Some(fixed) };
        if port != fixed.port || (!fixed.is_wildcard() && host != fixed.host) {
            let property = &keys["clientPort"];
            let what = format!(
                "client address {}:{} differs from {host}:{port} of server.{my_id}",
                fixed.host, fixed.port
            );
            self.error(&property.file, property.line, what);
        }
        Some(Address { host, port })
    }
}

fn parse_id(text: &str) -> Result<ServerId, String> {
    match text.parse::<i64>() {
        Ok(id @ 1..=254) => Ok(ServerId(id)),
        _ => Err(format!("expected a server id from 1 to 254, found {text:?}")),
    }
}

/// Does the key stand in a dynamic file, where there is one?
fn is_of_ensemble(key: &str) -> bool {
    ["server.", "group.", "weight."].iter().any(|family| key.starts_with(family))
}

/// `zoo.cfg.dynamic.1a` has version 0x1a, `zoo.cfg.dynamic` has 0.
// ZK: QuorumPeerConfig.getVersionFromFilename (3.9)
fn version_of(path: &Path) -> u64 {
    let suffix = path.extension().and_then(|suffix| suffix.to_str()).unwrap_or_default();
    u64::from_str_radix(suffix, 16).unwrap_or(0)
}

#[cfg(test)]
mod tests;
