//! What a server is told about itself and its ensemble, with upstream's names and defaults.

mod auth;

pub use auth::{AuthConfig, DigestConfig, EnsembleNameConfig, SaslConfig, Secret, X509Config};

use alloc::string::String;

use serde::{Deserialize, Serialize};

use crate::ids::ServerId;
use crate::mutant::Mutant;
use crate::time::Duration;

mod admission;
mod edges;
mod ensemble;
mod ensemble_text;
mod observers;
mod reconfig;
mod records;
mod sessions;

pub use admission::{
    Admission, ConnectionThrottle, LargeRequests, Millionths, RequestThrottle, SessionWeights,
};
pub use edges::Edges;
pub use ensemble::{Ensemble, Hierarchy, Member, MemberRole};
pub use ensemble_text::parse_port;
pub use observers::{Observers, SyncsMax};
pub use reconfig::Reconfig;
pub use records::Records;
pub use sessions::{LocalSessions, ReadOnlyMode};

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Config {
    pub my_id: ServerId,
    /// As the configuration file says; who counts now is [`crate::membership`]'s answer.
    pub ensemble: Ensemble,
    /// `tickTime`, ms; default 3000.
    pub tick: Duration,
    /// `initLimit`, ticks: to connect, agree on an epoch and synchronize.
    pub init_limit: u32,
    /// `syncLimit`, ticks: to hear from each other afterwards.
    pub sync_limit: u32,
    /// `minSessionTimeout`, default 2 ticks.
    pub min_session_timeout: Duration,
    /// `maxSessionTimeout`, default 20 ticks.
    pub max_session_timeout: Duration,
    /// `zookeeper.fastleader.minNotificationInterval`, default 200 ms; also the wait for better votes.
    pub min_notification_interval: Duration,
    /// `zookeeper.fastleader.maxNotificationInterval`, default 60 s.
    pub max_notification_interval: Duration,
    /// Pause between two tries to reach the leader's quorum port, default 100 ms.
    pub leader_connect_delay: Duration,
    /// `snapCount`: a snapshot after half to all of so many transactions; default 100,000.
    pub snap_count: u32,
    /// `zookeeper.commitLogCount`: committed transactions kept for DIFF; default 500.
    pub commit_log_count: usize,
    pub records: Records,
    pub limits: Limits,
    pub admission: Admission,
    pub containers: Containers,
    /// `zookeeper.extendedTypesEnabled`: TTL nodes may be created.
    pub extended_types: bool,
    pub local_sessions: LocalSessions,
    pub read_only_mode: ReadOnlyMode,
    pub observers: Observers,
    pub reconfig: Reconfig,
    pub edges: Edges,
    pub auth: AuthConfig,
    /// `zookeeper.enforceQuota`: writes that would exceed a hard limit are refused; default no.
    pub enforce_quota: bool,
    /// Keys hash tables and nonces, and spreads snapshot points: random in production, the seed in a
    /// simulation.
    pub seed: u64,
    /// Shown by `srvr` and others.
    pub version: String,
    pub mutant: Option<Mutant>,
}

/// Every length, count and depth that comes from outside is checked against one of these.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Limits {
    /// `jute.maxbuffer`: bytes of one client frame, default 0xfffff.
    pub frame_max: usize,
    /// Bytes of one string or buffer inside a quorum packet or a log record: twice `frame_max`.
    pub record_max: usize,
    /// Bytes of one election message, default 524,288.
    pub election_frame_max: usize,
    /// Requests of one connection that wait for their turn before it is read no further.
    pub conn_queue_max: usize,
    /// Client connections of one address (`maxClientCnxns`), 0 for no limit; default 60.
    pub conns_per_address_max: usize,
    /// Client connections in all (`maxCnxns`), 0, the default, for no limit.
    pub conns_max: usize,
    /// Requests that are carried out in the whole ensemble before clients are read more slowly
    /// (`globalOutstandingLimit`), see [`Config::outstanding_limit`]; default 1000.
    pub outstanding_max: usize,
    /// Bytes that a client leaves unread before no more of its requests are answered: at least so much
    /// may be on its way at any time.
    pub unread_pause: usize,
    /// Bytes that a client leaves unread, replies and events, before it is cut off.
    pub unread_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        let frame_max = 0xfffff;
        Self {
            frame_max,
            record_max: 2 * frame_max,
            election_frame_max: 512 * 1024,
            conn_queue_max: 1000,
            conns_per_address_max: 60,
            conns_max: 0,
            outstanding_max: 1000,
            unread_pause: 4 << 20,
            unread_max: 64 << 20,
        }
    }
}

/// How the leader removes containers that ran empty and TTL nodes whose time is up.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Containers {
    /// `znode.container.checkIntervalMs`: from one round to the next, default 60 s.
    pub check_interval: Duration,
    /// `znode.container.maxPerMinute`: removals, default 10,000.
    pub per_minute_max: u32,
    /// `znode.container.maxNeverUsedIntervalMs`: how long a container that never had a child stays; 0,
    /// the default, for ever.
    pub never_used_max: Duration,
}

impl Default for Containers {
    fn default() -> Self {
        Self {
            check_interval: Duration::from_secs(60),
            per_minute_max: 10_000,
            never_used_max: Duration::ZERO,
        }
    }
}

impl Config {
    /// Upstream's defaults for `my_id` in `ensemble`.
    pub fn new(my_id: ServerId, ensemble: Ensemble) -> Self {
        let tick = Duration::from_millis(3000);
        Self {
            my_id,
            ensemble,
            tick,
            init_limit: 10,
            sync_limit: 5,
            min_session_timeout: tick * 2,
            max_session_timeout: tick * 20,
            min_notification_interval: Duration::from_millis(200),
            max_notification_interval: Duration::from_secs(60),
            leader_connect_delay: Duration::from_millis(100),
            snap_count: 100_000,
            commit_log_count: 500,
            records: Records::default(),
            limits: Limits::default(),
            admission: Admission::default(),
            containers: Containers::default(),
            extended_types: false,
            auth: AuthConfig::new(),
            enforce_quota: false,
            local_sessions: LocalSessions::default(),
            read_only_mode: ReadOnlyMode::default(),
            observers: Observers::default(),
            reconfig: Reconfig::default(),
            edges: Edges::default(),
            seed: 0,
            version: alloc::format!("3.9.5-zebu-{}", env!("CARGO_PKG_VERSION")),
            mutant: None,
        }
    }
    pub fn init_timeout(&self) -> Duration {
        self.tick * self.init_limit
    }
    pub fn sync_timeout(&self) -> Duration {
        self.tick * self.sync_limit
    }
    /// Is this mistake planted? Constant `false` outside tests of the simulator.
    pub fn planted(&self, mutant: Mutant) -> bool {
        cfg!(feature = "mutants") && self.mutant == Some(mutant)
    }
}
