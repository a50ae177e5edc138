//! Which keys zoo.cfg may have: the names that upstream 3.8 to 3.10 knows, and what Zebu does about
//! each. How a value is read stands in [`super`].

/// What Zebu does about a key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Effect {
    /// Carried out.
    Used,
    /// Known to upstream, without an effect here: a warning.
    Ignored,
    /// About something that is not here yet: a warning, unless the value asks for nothing.
    Later(&'static str),
    /// About something that nobody who uses or runs a service can tell from outside: a warning.
    Moot(&'static str),
    /// Known to upstream, but ignoring it would make the ensemble less safe than its operator
    /// believes: an error, unless the value is one that asks for nothing.
    Refused,
}

const TLS: Effect = Effect::Later("TLS");
const ADMIN: Effect = Effect::Later("AdminServer");
const AUDIT: Effect = Effect::Later("audit log");
const KERBEROS: Effect = Effect::Later("Kerberos");
const QUORUM_SASL: Effect = Effect::Later("SASL between servers");
const METRICS: Effect = Effect::Later("provider of metrics");
const PATH_STATS: Effect = Effect::Later("statistics of paths");
const ADDRESSES: Effect = Effect::Later("servers with several addresses");
const ORACLE: Effect = Effect::Later("oracle for ensembles of two");
const PACKED: Effect = Effect::Later("compression of its own snapshots");

const THREADS: Effect = Effect::Moot("it is about upstream's threads and buffers");
const JAVA: Effect = Effect::Moot("it is about Java");
const LOGS: Effect = Effect::Moot("it is about upstream's own log lines");
const WATCHES: Effect = Effect::Moot("there is one table of watches, which needs no cleaning");
const CACHES: Effect = Effect::Moot("answers are not cached");
const BATCHES: Effect = Effect::Moot("what comes while the disk syncs is synced next, together");
const INIT_LIMIT: Effect = Effect::Moot("initLimit bounds that too");
const SILENCE: Effect = Effect::Moot("a connection of the election may be silent for ever");
const CATCH_UP: Effect = Effect::Moot("a learner gets a snapshot when the log is too short for it");
const HISTORY: Effect = Effect::Moot("a log is never replayed without the snapshot below it");

/// Keys by their full name, as they stand in zoo.cfg.
const KEYS: &[(&str, Effect)] = {
    use Effect::{Ignored, Refused, Used};
    &[
        ("4lw.commands.whitelist", Used),
        ("autopurge.purgeInterval", Used),
        ("autopurge.snapRetainCount", Used),
        ("clientPort", Used),
        ("clientPortAddress", Used),
        ("cnxTimeout", Used),
        ("commitLogCount", Used),
        ("dataDir", Used),
        ("dataLogDir", Used),
        ("dynamicConfigFile", Used),
        ("electionAlg", Used),
        ("electionPortBindRetry", Used),
        ("extendedTypesEnabled", Used),
        ("fastleader.maxNotificationInterval", Used),
        ("fastleader.minNotificationInterval", Used),
        ("globalOutstandingLimit", Used),
        ("initLimit", Used),
        ("jute.maxbuffer", Used),
        ("jute.maxbuffer.extrasize", Used),
        ("leaderConnectDelayDuringRetryMs", Used),
        ("localSessionsEnabled", Used),
        ("localSessionsUpgradingEnabled", Used),
        ("maxClientCnxns", Used),
        ("maxSessionTimeout", Used),
        ("minSessionTimeout", Used),
        ("nio.sessionlessCnxnTimeout", Used),
        ("peerType", Used),
        ("preAllocSize", Used),
        ("quorumListenOnAllIPs", Used),
        ("readonlymode.enabled", Used),
        ("snapCount", Used),
        // A server alone is an ensemble of one here; but whether it may have local sessions hangs on
        // this.
        ("standaloneEnabled", Used),
        ("syncLimit", Used),
        ("tickTime", Used),
        // See `auth`.
        ("DigestAuthenticationProvider.digestAlg", Used),
        ("DigestAuthenticationProvider.enabled", Used),
        ("DigestAuthenticationProvider.superDigest", Used),
        ("SASLAuthenticationProvider.superPassword", Used),
        ("X509AuthenticationProvider.superUser", Used),
        ("allowSaslFailedClients", Used),
        ("enforce.auth.enabled", Used),
        ("enforce.auth.schemes", Used),
        ("ensembleAuthName", Used),
        ("java.security.auth.login.config", Used),
        ("letAnySaslUserDoX", Used),
        ("sasl.serverconfig", Used),
        ("sessionRequireClientSASLAuth", Used),
        ("skipACL", Used),
        ("superUser", Used),
        ("znode.container.checkIntervalMs", Used),
        ("znode.container.maxNeverUsedIntervalMs", Used),
        ("znode.container.maxPerMinute", Used),
        // As upstream documents these; see [`super::admission`].
        ("connectionDecreaseRatio", Used),
        ("connectionDropDecrease", Used),
        ("connectionDropIncrease", Used),
        ("connectionFreezeTime", Used),
        ("connectionMaxTokens", Used),
        ("connectionTokenFillCount", Used),
        ("connectionTokenFillTime", Used),
        ("requestStaleConnectionCheck", Used),
        ("requestStaleLatencyCheck", Used),
        ("requestThrottleDropStale", Used),
        ("requestThrottleLimit", Used),
        ("requestThrottleStallTime", Used),
        // Refused rather than ignored: each asks that somebody be kept out, or that something be
        // hidden from the network.
        ("quorum.auth.enableSasl", Refused),
        ("quorum.auth.learnerRequireSasl", Refused),
        ("quorum.auth.serverRequireSasl", Refused),
        ("sslQuorum", Refused),
        ("IPAuthenticationProvider.usexforwardedfor", ADMIN),
        ("admin.commandURL", ADMIN),
        ("admin.enableServer", ADMIN),
        ("admin.forceHttps", ADMIN),
        ("admin.httpVersion", ADMIN),
        ("admin.idleTimeout", ADMIN),
        ("admin.needClientAuth", ADMIN),
        ("admin.portUnification", ADMIN),
        ("admin.rateLimiterIntervalInMS", ADMIN),
        ("admin.restore.enabled", ADMIN),
        ("admin.serverAddress", ADMIN),
        ("admin.serverPort", ADMIN),
        ("admin.snapshot.enabled", ADMIN),
        ("audit.enable", AUDIT),
        ("audit.impl.class", AUDIT),
        ("bitHashCacheSize", WATCHES),
        ("client.certReload", TLS),
        ("client.portUnification", TLS),
        ("clientPortListenBacklog", Used),
        ("clientTcpKeepAlive", Used),
        ("closeSessionTxn.enabled", Used),
        ("commitProcessor.maxCommitBatchSize", THREADS),
        ("commitProcessor.maxReadBatchSize", THREADS),
        ("commitProcessor.numWorkerThreads", THREADS),
        ("commitProcessor.shutdownTimeout", THREADS),
        ("connectToLearnerMasterLimit", INIT_LIMIT),
        ("connection_throttle_decrease_ratio", Used),
        ("connection_throttle_drop_decrease", Used),
        ("connection_throttle_drop_increase", Used),
        ("connection_throttle_fill_count", Used),
        ("connection_throttle_fill_time", Used),
        ("connection_throttle_freeze_time", Used),
        ("connection_throttle_global_session_weight", Used),
        ("connection_throttle_local_session_weight", Used),
        ("connection_throttle_renew_session_weight", Used),
        ("connection_throttle_tokens", Used),
        ("connection_throttle_weight_enabled", Used),
        ("datadir.autocreate", Used),
        ("db.autocreate", Used),
        ("digest.enabled", Used),
        ("emulate353TTLNodes", Used),
        ("enableEagerACLCheck", Used),
        ("enforceQuota", Used),
        ("flushDelay", BATCHES),
        ("follower.skipLearnerRequestToNextProcessor", THREADS),
        ("forceSync", Used),
        ("forceSnapshotSync", CATCH_UP),
        ("forward_learner_requests_to_commit_processor_disabled", THREADS),
        ("fsync.warningthresholdms", Used),
        ("intBufferStartingSizeBytes", THREADS),
        ("jmx.log4j.disable", JAVA),
        ("jvm.pause.info-threshold.ms", JAVA),
        ("jvm.pause.monitor", JAVA),
        ("jvm.pause.sleep.time.ms", JAVA),
        ("jvm.pause.warn-threshold.ms", JAVA),
        ("kerberos.canonicalizeHostNames", KERBEROS),
        ("kerberos.removeHostFromPrincipal", KERBEROS),
        ("kerberos.removeRealmFromPrincipal", KERBEROS),
        ("largeRequestMaxBytes", Used),
        ("largeRequestThreshold", Used),
        ("leader.ackLoggingFrequency", LOGS),
        ("leader.closeSocketAsync", THREADS),
        ("leader.maxConcurrentDiffSyncs", Used),
        ("leader.maxConcurrentSnapSyncs", Used),
        ("leader.maxTimeToWaitForEpoch", INIT_LIMIT),
        ("leaderServes", Used),
        ("learner.asyncSending", THREADS),
        ("learner.closeSocketAsync", THREADS),
        ("maxBatchSize", BATCHES),
        ("maxCnxns", Used),
        ("maxGetChildrenResponseCacheSize", CACHES),
        ("maxInProcessingDeadWatchers", WATCHES),
        ("maxResponseCacheSize", CACHES),
        ("maxWriteQueuePollTime", BATCHES),
        ("messageTracker.BufferSize", LOGS),
        ("messageTracker.Enabled", LOGS),
        ("metricsProvider.className", METRICS),
        ("multiAddress.enabled", ADDRESSES),
        ("multiAddress.reachabilityCheckEnabled", ADDRESSES),
        ("multiAddress.reachabilityCheckTimeoutMs", ADDRESSES),
        ("netty.advancedFlowControl.enabled", THREADS),
        ("netty.server.earlyDropSecureConnectionHandshakes", TLS),
        ("netty.server.outstandingHandshake.limit", TLS),
        ("nio.directBufferBytes", THREADS),
        ("nio.numSelectorThreads", THREADS),
        ("nio.numWorkerThreads", THREADS),
        ("nio.shutdownTimeout", THREADS),
        ("observer.election.DelayMs", Used),
        ("observer.reconnectDelayMs", Used),
        ("observer.syncEnabled", Used),
        ("observerMaster.sizeLimit", Ignored),
        ("observerMasterPort", Used),
        ("oraclePath", ORACLE),
        ("pathStats.delay", PATH_STATS),
        ("pathStats.enabled", PATH_STATS),
        ("pathStats.initialDelay", PATH_STATS),
        ("pathStats.maxDepth", PATH_STATS),
        ("pathStats.sampleRate", PATH_STATS),
        ("pathStats.slotCapacity", PATH_STATS),
        ("pathStats.slotDuration", PATH_STATS),
        ("pathStats.topPathMax", PATH_STATS),
        ("portUnification", TLS),
        ("quorum.auth.kerberos.servicePrincipal", KERBEROS),
        ("quorum.auth.learner.saslLoginContext", QUORUM_SASL),
        ("quorum.auth.server.saslLoginContext", QUORUM_SASL),
        ("quorum.cnxn.threads.size", THREADS),
        ("quorumCnxnTimeoutMs", SILENCE),
        ("reconfigEnabled", Used),
        ("request_stale_connection_check", Used),
        ("request_stale_latency_check", Used),
        ("request_throttle_drop_stale", Used),
        ("request_throttle_max_requests", Used),
        ("request_throttle_stall_time", Used),
        ("request_throttler.shutdownTimeout", THREADS),
        ("secureClientPort", TLS),
        ("secureClientPortAddress", TLS),
        ("security.auth_to_local", KERBEROS),
        ("serializeLastProcessedZxid.enabled", Used),
        ("serverCnxnFactory", THREADS),
        ("snapSizeLimitInKb", Used),
        ("snapshot.compression.method", PACKED),
        ("snapshot.trust.empty", HISTORY),
        ("snapshotSizeFactor", Used),
        ("sslQuorumReloadCertFiles", TLS),
        ("syncEnabled", Used),
        ("tcpKeepAlive", Used),
        ("throttled_op_wait_time", Used),
        ("txnLogSizeLimitInKb", Used),
        ("watchManagerName", WATCHES),
        ("watcherCleanIntervalInSeconds", WATCHES),
        ("watcherCleanThreadsNum", WATCHES),
        ("watcherCleanThreshold", WATCHES),
    ]
};

/// Families of keys, each with any suffix.
const FAMILIES: &[(&str, Effect)] = &[
    ("authProvider.", Effect::Used),
    ("metricsProvider.", METRICS),
    // Our own: users without a JAAS file.
    ("sasl.users.", Effect::Used),
    ("server.", Effect::Used),
    ("ssl.", TLS),
    ("superUser.", Effect::Used),
    ("group.", Effect::Used),
    ("weight.", Effect::Used),
];

/// The key that `name` stands for: it may be the full name of the system property, `zookeeper.` in
/// front, as people copy it from a command line or from upstream's documentation.
// Departs: upstream reads a key of zoo.cfg that it has no name for as the system property
// `zookeeper.` + key, so that a full name there silently does nothing.
pub(super) fn canonical(name: &str) -> &str {
    name.strip_prefix("zookeeper.").filter(|short| effect(short).is_some()).unwrap_or(name)
}

pub(super) fn effect(key: &str) -> Option<Effect> {
    KEYS.iter()
        .find(|(name, _)| *name == key)
        .or_else(|| FAMILIES.iter().find(|(prefix, _)| key.starts_with(prefix)))
        .map(|(_, effect)| *effect)
}

/// The known key that somebody who wrote `key` may have meant.
pub(super) fn nearest(key: &str) -> Option<&'static str> {
    let wanted = key.strip_prefix("zookeeper.").unwrap_or(key).to_lowercase();
    let (distance, name) = KEYS
        .iter()
        .map(|(name, _)| (strsim::damerau_levenshtein(&wanted, &name.to_lowercase()), *name))
        .min()?;
    (distance <= 1 + wanted.len() / 4).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nearest_key_of_a_slip() {
        let cases = [
            ("tickTme", Some("tickTime")),
            ("clientport", Some("clientPort")),
            ("dataDri", Some("dataDir")),
            ("zookeeper.snapCnt", Some("snapCount")),
            ("maxSessionTimeOut", Some("maxSessionTimeout")),
            ("frobnicate", None),
        ];
        for (key, expected) in cases {
            assert_eq!(nearest(key), expected, "{key}");
        }
    }

    #[test]
    fn a_property_is_known_by_its_full_name() {
        for (name, key) in [
            ("zookeeper.snapCount", "snapCount"),
            ("zookeeper.authProvider.1", "authProvider.1"),
            ("znode.container.maxPerMinute", "znode.container.maxPerMinute"),
            ("zookeeper.frobnicate", "zookeeper.frobnicate"),
        ] {
            assert_eq!(canonical(name), key);
        }
    }

    #[test]
    fn every_key_is_listed_once() {
        for (index, (name, _)) in KEYS.iter().enumerate() {
            assert!(!KEYS[index + 1..].iter().any(|(other, _)| other == name), "{name}");
        }
    }
}
