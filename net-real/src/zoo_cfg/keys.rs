//! Which keys zoo.cfg may have: the names that upstream 3.8 to 3.10 knows, and what Zebu does about
//! each. How a value is read stands in [`super`].

/// What Zebu does about a key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Effect {
    /// Carried out.
    Used,
    /// Known to upstream, without an effect here: a warning.
    Ignored,
    /// Known to upstream, but ignoring it would make the ensemble less safe than its operator
    /// believes: an error, unless the value is one that asks for nothing.
    Refused,
}

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
        ("IPAuthenticationProvider.usexforwardedfor", Ignored),
        ("admin.commandURL", Ignored),
        ("admin.enableServer", Ignored),
        ("admin.forceHttps", Ignored),
        ("admin.httpVersion", Ignored),
        ("admin.idleTimeout", Ignored),
        ("admin.needClientAuth", Ignored),
        ("admin.portUnification", Ignored),
        ("admin.rateLimiterIntervalInMS", Ignored),
        ("admin.restore.enabled", Ignored),
        ("admin.serverAddress", Ignored),
        ("admin.serverPort", Ignored),
        ("admin.snapshot.enabled", Ignored),
        ("audit.enable", Ignored),
        ("audit.impl.class", Ignored),
        ("bitHashCacheSize", Ignored),
        ("client.certReload", Ignored),
        ("client.portUnification", Ignored),
        ("clientPortListenBacklog", Used),
        ("clientTcpKeepAlive", Used),
        ("closeSessionTxn.enabled", Ignored),
        ("commitProcessor.maxCommitBatchSize", Ignored),
        ("commitProcessor.maxReadBatchSize", Ignored),
        ("commitProcessor.numWorkerThreads", Ignored),
        ("commitProcessor.shutdownTimeout", Ignored),
        ("connectToLearnerMasterLimit", Ignored),
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
        ("datadir.autocreate", Ignored),
        ("db.autocreate", Ignored),
        ("digest.enabled", Ignored),
        ("emulate353TTLNodes", Ignored),
        ("enableEagerACLCheck", Ignored),
        ("enforceQuota", Used),
        ("flushDelay", Ignored),
        ("follower.skipLearnerRequestToNextProcessor", Ignored),
        ("forceSync", Ignored),
        ("forceSnapshotSync", Ignored),
        ("forward_learner_requests_to_commit_processor_disabled", Ignored),
        ("fsync.warningthresholdms", Ignored),
        ("intBufferStartingSizeBytes", Ignored),
        ("jmx.log4j.disable", Ignored),
        ("jvm.pause.info-threshold.ms", Ignored),
        ("jvm.pause.monitor", Ignored),
        ("jvm.pause.sleep.time.ms", Ignored),
        ("jvm.pause.warn-threshold.ms", Ignored),
        ("kerberos.canonicalizeHostNames", Ignored),
        ("kerberos.removeHostFromPrincipal", Ignored),
        ("kerberos.removeRealmFromPrincipal", Ignored),
        ("largeRequestMaxBytes", Used),
        ("largeRequestThreshold", Used),
        ("leader.ackLoggingFrequency", Ignored),
        ("leader.closeSocketAsync", Ignored),
        ("leader.maxConcurrentDiffSyncs", Ignored),
        ("leader.maxConcurrentSnapSyncs", Ignored),
        ("leader.maxTimeToWaitForEpoch", Ignored),
        ("leaderServes", Ignored),
        ("learner.asyncSending", Ignored),
        ("learner.closeSocketAsync", Ignored),
        ("maxBatchSize", Ignored),
        ("maxCnxns", Used),
        ("maxGetChildrenResponseCacheSize", Ignored),
        ("maxInProcessingDeadWatchers", Ignored),
        ("maxResponseCacheSize", Ignored),
        ("maxWriteQueuePollTime", Ignored),
        ("messageTracker.BufferSize", Ignored),
        ("messageTracker.Enabled", Ignored),
        ("metricsProvider.className", Ignored),
        ("multiAddress.enabled", Ignored),
        ("multiAddress.reachabilityCheckEnabled", Ignored),
        ("multiAddress.reachabilityCheckTimeoutMs", Ignored),
        ("netty.advancedFlowControl.enabled", Ignored),
        ("netty.server.earlyDropSecureConnectionHandshakes", Ignored),
        ("netty.server.outstandingHandshake.limit", Ignored),
        ("nio.directBufferBytes", Ignored),
        ("nio.numSelectorThreads", Ignored),
        ("nio.numWorkerThreads", Ignored),
        ("nio.shutdownTimeout", Ignored),
        ("observer.election.DelayMs", Ignored),
        ("observer.reconnectDelayMs", Ignored),
        ("observer.syncEnabled", Ignored),
        ("observerMaster.sizeLimit", Ignored),
        ("observerMasterPort", Ignored),
        ("oraclePath", Ignored),
        ("pathStats.delay", Ignored),
        ("pathStats.enabled", Ignored),
        ("pathStats.initialDelay", Ignored),
        ("pathStats.maxDepth", Ignored),
        ("pathStats.sampleRate", Ignored),
        ("pathStats.slotCapacity", Ignored),
        ("pathStats.slotDuration", Ignored),
        ("pathStats.topPathMax", Ignored),
        ("portUnification", Ignored),
        ("quorum.auth.kerberos.servicePrincipal", Ignored),
        ("quorum.auth.learner.saslLoginContext", Ignored),
        ("quorum.auth.server.saslLoginContext", Ignored),
        ("quorum.cnxn.threads.size", Ignored),
        ("quorumCnxnTimeoutMs", Ignored),
        ("reconfigEnabled", Ignored),
        ("request_stale_connection_check", Used),
        ("request_stale_latency_check", Used),
        ("request_throttle_drop_stale", Used),
        ("request_throttle_max_requests", Used),
        ("request_throttle_stall_time", Used),
        ("request_throttler.shutdownTimeout", Ignored),
        ("secureClientPort", Ignored),
        ("secureClientPortAddress", Ignored),
        ("security.auth_to_local", Ignored),
        ("serializeLastProcessedZxid.enabled", Ignored),
        ("serverCnxnFactory", Ignored),
        ("snapSizeLimitInKb", Ignored),
        ("snapshot.compression.method", Ignored),
        ("snapshot.trust.empty", Ignored),
        ("snapshotSizeFactor", Ignored),
        ("sslQuorumReloadCertFiles", Ignored),
        ("syncEnabled", Ignored),
        ("tcpKeepAlive", Used),
        ("throttled_op_wait_time", Used),
        ("txnLogSizeLimitInKb", Ignored),
        ("watchManagerName", Ignored),
        ("watcherCleanIntervalInSeconds", Ignored),
        ("watcherCleanThreadsNum", Ignored),
        ("watcherCleanThreshold", Ignored),
    ]
};

/// Families of keys, each with any suffix.
const FAMILIES: &[(&str, Effect)] = &[
    ("authProvider.", Effect::Used),
    ("metricsProvider.", Effect::Ignored),
    // Our own: users without a JAAS file.
    ("sasl.users.", Effect::Used),
    ("server.", Effect::Used),
    ("ssl.", Effect::Ignored),
    ("superUser.", Effect::Used),
    // Hierarchical quorums: a majority instead would be a different, unsafe, ensemble.
    ("group.", Effect::Refused),
    ("weight.", Effect::Refused),
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
