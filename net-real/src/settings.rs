//! What one server process is told beyond core's own configuration: where it listens, how long it
//! waits for strangers, which four-letter words it answers. Read from zoo.cfg by
//! [`crate::zoo_cfg`], or made by a simulation.

use std::collections::BTreeSet;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use zebu_core::config::{Config, Ensemble, Member, MemberRole};
use zebu_core::ids::ServerId;
use zebu_core::storage::{Layout, StorageConfig};

use crate::zoo_cfg::ConfigFiles;

#[derive(Clone, Debug)]
pub struct ServerSettings {
    pub config: Config,
    pub storage: StorageConfig,
    /// Where clients connect; `None` takes no clients.
    pub client: Option<Address>,
    pub election: Option<Address>,
    pub quorum: Option<Address>,
    /// Where observers come that are to be served by this server while it follows.
    pub observer_master: Option<Address>,
    /// `electionPortBindRetry`, for every port of ours.
    pub bind_retry: BindRetry,
    /// `cnxTimeout`: to connect to a peer; default 5 s.
    pub dial_timeout: Duration,
    /// `nio.sessionlessCnxnTimeout`: to say the whole first message on an accepted connection, however
    /// its bytes come; default 10 s.
    pub handshake_timeout: Duration,
    pub sockets: SocketSettings,
    pub four_letter_words: FourLetterWords,
    /// `dataDir` and `dataLogDir`, to be shown; the disk has its own.
    pub data_dir: PathBuf,
    pub log_dir: PathBuf,
    /// `None`: nothing is ever deleted, upstream's default.
    pub auto_purge: Option<AutoPurge>,
    /// `quorumListenOnAllIPs`.
    pub listens_everywhere: bool,
    /// Where reconfigurations are written down; `None` for nowhere.
    pub config_files: Option<ConfigFiles>,
    pub syncing: Syncing,
    pub birth: Birth,
    pub bounds: Bounds,
}

/// When to delete snapshots and logs that are not needed any more.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AutoPurge {
    /// `autopurge.purgeInterval`, hours there.
    pub every: Duration,
    /// `autopurge.snapRetainCount`; see [`zebu_core::storage::purge_plan`].
    pub keep: usize,
}

/// How the log becomes durable.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Syncing {
    /// `forceSync`, default yes: what is acknowledged is on the disk. Otherwise the system writes it
    /// when it likes, and a crash of the machine loses some of it.
    pub force: bool,
    /// `fsync.warningthresholdms`, default 1 s: a sync that takes longer is remarked on.
    pub slow: Duration,
}

impl Default for Syncing {
    fn default() -> Self {
        Self { force: true, slow: Duration::from_secs(1) }
    }
}

/// What a server may start without; see `birth`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Birth {
    /// `datadir.autocreate`, default true.
    pub directories: bool,
    /// `db.autocreate`, default true.
    pub database: bool,
}

impl Default for Birth {
    fn default() -> Self {
        Self { directories: true, database: true }
    }
}

/// Bounds of the driver's own queues. What is over them costs the connection, nobody else.
#[derive(Clone, Debug)]
pub struct Bounds {
    /// Bytes of a client's requests that are not answered before it is read no further; a frame more
    /// may have come by then. What it leaves unread is core's to bound.
    pub client_inflight_max: usize,
    /// File descriptors that client connections leave alone: the log, peers and operators need some.
    pub spare_files: usize,
    /// Bytes of messages that wait for a peer before it is cut.
    pub link_outbox_max: usize,
    /// How long a connection that core closed may take to drain.
    pub drain_timeout: Duration,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            client_inflight_max: 4 << 20,
            spare_files: 100,
            link_outbox_max: 512 << 20,
            drain_timeout: Duration::from_secs(5),
        }
    }
}

/// How sockets are opened.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct SocketSettings {
    /// `clientPortListenBacklog`: connections that the system keeps until they are accepted; `None`
    /// (-1 there), the default, is 1024 here.
    // Departs: upstream's default is Java's, 50.
    pub backlog: Option<u32>,
    /// `clientTcpKeepAlive`, on what clients open; default false.
    pub client_keepalive: bool,
    /// `tcpKeepAlive`, on what peers open and are opened; default false.
    pub peer_keepalive: bool,
}

/// A host, as text, and a port. Resolved when it is used, each time anew.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Address {
    pub host: String,
    pub port: u16,
}

impl Address {
    pub fn new(host: impl Into<String>, port: u16) -> Self {
        Self { host: host.into(), port }
    }
    /// `host:port`, where IPv6 hosts stand in brackets. One that could be anywhere is none.
    pub fn parse(text: &str) -> Option<Self> {
        let (host, port) = text.rsplit_once(':')?;
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let address = Self::new(host, port.parse().ok().filter(|port| *port != 0)?);
        (!host.is_empty() && !address.is_wildcard()).then_some(address)
    }
    /// Does it stand for every address of this machine?
    pub fn is_wildcard(&self) -> bool {
        self.host.parse().is_ok_and(|ip: std::net::IpAddr| ip.is_unspecified())
    }
    pub(crate) fn as_pair(&self) -> (&str, u16) {
        (&self.host, self.port)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// How often to try again when a port is taken, with a second between.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BindRetry {
    Times(u32),
    Forever,
}

/// `4lw.commands.whitelist`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum FourLetterWords {
    All,
    Only(BTreeSet<String>),
}

impl FourLetterWords {
    /// A list with commas, or `*`.
    // ZK: FourLetterCommands.isEnabled (3.9)
    pub fn parse(list: &str) -> Self {
        let words: BTreeSet<String> = list.split(',').map(|word| word.trim().to_owned()).collect();
        if words.contains("*") { Self::All } else { Self::Only(words) }
    }
    pub fn add(&mut self, word: &str) {
        if let Self::Only(words) = self {
            words.insert(word.to_owned());
        }
    }
    pub fn allows(&self, word: &str) -> bool {
        match self {
            Self::All => true,
            Self::Only(words) => words.contains(word),
        }
    }
}

impl Default for FourLetterWords {
    /// Upstream's default: `srvr` alone.
    fn default() -> Self {
        Self::parse("srvr")
    }
}

impl ServerSettings {
    /// The id of a server that is not part of an ensemble.
    pub const ID_ALONE: ServerId = ServerId(1);

    /// Defaults for `config`: the peers' ports at this member's address, no clients.
    pub fn new(config: Config) -> Self {
        let member = config.ensemble.members.get(&config.my_id);
        // An observer never leads, nor does it serve others.
        let leads = config.ensemble.role_of(config.my_id) == MemberRole::Participant;
        let at = |port: fn(&Member) -> u16| {
            member.map(|member| Address::new(member.host.clone(), port(member)))
        };
        Self {
            storage: Self::storage_of(&config),
            client: None,
            election: at(|member| member.election_port),
            quorum: at(|member| member.quorum_port).filter(|_| leads),
            observer_master: member
                .zip(config.observers.master_port)
                .map(|(member, port)| Address::new(member.host.clone(), port))
                .filter(|_| leads),
            bind_retry: BindRetry::Times(3),
            dial_timeout: Duration::from_secs(5),
            handshake_timeout: Duration::from_secs(10),
            sockets: SocketSettings::default(),
            four_letter_words: FourLetterWords::default(),
            data_dir: PathBuf::new(),
            log_dir: PathBuf::new(),
            auto_purge: None,
            listens_everywhere: false,
            config_files: None,
            syncing: Syncing::default(),
            birth: Birth::default(),
            bounds: Bounds::default(),
            config,
        }
    }

    /// Storage's share of `config`, with upstream's default preallocation of 64 MiB.
    pub fn storage_of(config: &Config) -> StorageConfig {
        StorageConfig {
            prealloc_bytes: 64 << 20,
            record_max: config.limits.record_max,
            commit_log_count: config.commit_log_count,
            layout: Layout::DEFAULT,
            autocreate: true,
            log_permille_max: 330,
            mutant: config.mutant,
        }
    }

    /// An ensemble of one that nobody can join: its ports are 0 and never opened.
    pub fn alone(my_id: ServerId) -> Ensemble {
        let member = Member {
            host: "localhost".into(),
            quorum_port: 0,
            election_port: 0,
            role: MemberRole::Participant,
            client: None,
        };
        Ensemble { members: [(my_id, member)].into(), hierarchy: None, version: 0 }
    }
}
