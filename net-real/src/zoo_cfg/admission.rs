//! Keys about whom a server lets in and how much of what they ask at once. Upstream reads most of them
//! as system properties whose names differ from those that it documents for zoo.cfg, where it silently
//! ignores the documented ones; here both names work.

use zebu_core::config::{ConnectionThrottle, Millionths, RequestThrottle, SessionWeights};

use super::{Properties, Reader};
use crate::settings::ServerSettings;

/// The documented name of a key, and the one that upstream's code asks for.
const ALIASES: &[(&str, &str)] = &[
    ("connectionMaxTokens", "connection_throttle_tokens"),
    ("connectionTokenFillTime", "connection_throttle_fill_time"),
    ("connectionTokenFillCount", "connection_throttle_fill_count"),
    ("connectionFreezeTime", "connection_throttle_freeze_time"),
    ("connectionDropIncrease", "connection_throttle_drop_increase"),
    ("connectionDropDecrease", "connection_throttle_drop_decrease"),
    ("connectionDecreaseRatio", "connection_throttle_decrease_ratio"),
    ("requestThrottleLimit", "request_throttle_max_requests"),
    ("requestThrottleStallTime", "request_throttle_stall_time"),
    ("requestThrottleDropStale", "request_throttle_drop_stale"),
    ("requestStaleLatencyCheck", "request_stale_latency_check"),
    ("requestStaleConnectionCheck", "request_stale_connection_check"),
];

impl Reader {
    pub(super) fn admission(&mut self, keys: &Properties, settings: &mut ServerSettings) {
        let keys = &self.under_one_name(keys);
        let config = &mut settings.config;
        if let Some(connections) = self.number_or_none(keys, "maxCnxns", 0) {
            config.limits.conns_max = connections.map_or(0, |n| n as usize);
        }
        let admission = &mut config.admission;
        self.connection_throttle(keys, &mut admission.connections);
        self.request_throttle(keys, &mut admission.requests);
        if let Some(bytes) = self.number_or_none(keys, "largeRequestThreshold", 1) {
            admission.large.threshold = bytes.map(|bytes| bytes as usize);
        }
        if let Some(bytes) = self.number(keys, "largeRequestMaxBytes", 1) {
            admission.large.bytes_max = bytes as usize;
        }

        if let Some(serves) = self.yes_or_no(keys, "leaderServes") {
            admission.leader_serves_nobody = !serves;
        }

        let sockets = &mut settings.sockets;
        if let Some(backlog) = self.number_or_none(keys, "clientPortListenBacklog", 1) {
            sockets.backlog = backlog;
        }
        if let Some(on) = self.flag(keys, "clientTcpKeepAlive") {
            sockets.client_keepalive = on;
        }
        if let Some(on) = self.flag(keys, "tcpKeepAlive") {
            sockets.peer_keepalive = on;
        }
    }

    // ZK: BlueThrottle (3.9), static block
    fn connection_throttle(&mut self, keys: &Properties, throttle: &mut ConnectionThrottle) {
        if let Some(tokens) = self.number(keys, "connection_throttle_tokens", 0) {
            throttle.tokens_max = tokens;
        }
        if let Some(time) = self.millis(keys, "connection_throttle_fill_time", 1) {
            throttle.fill_time = time;
        }
        if let Some(count) = self.number(keys, "connection_throttle_fill_count", 0) {
            throttle.fill_count = count;
        }
        if let Some(ms) = self.number_or_none(keys, "connection_throttle_freeze_time", 0) {
            throttle.freeze_time = ms.map(|ms| std::time::Duration::from_millis(ms.into()));
        }
        let parts = [
            ("connection_throttle_drop_increase", &mut throttle.drop_increase),
            ("connection_throttle_drop_decrease", &mut throttle.drop_decrease),
            ("connection_throttle_decrease_ratio", &mut throttle.decrease_ratio),
        ];
        for (key, field) in parts {
            if let Some(part) = self.part(keys, key) {
                *field = part;
            }
        }
        let weights = SessionWeights::new(
            self.number(keys, "connection_throttle_global_session_weight", 0),
            self.number(keys, "connection_throttle_local_session_weight", 0),
            self.number(keys, "connection_throttle_renew_session_weight", 0),
        );
        if self.flag(keys, "connection_throttle_weight_enabled") == Some(true) {
            throttle.weights = Some(weights);
        }
    }

    // ZK: RequestThrottler, Request, ZooKeeperServer.throttledOpWaitTime (3.9)
    fn request_throttle(&mut self, keys: &Properties, throttle: &mut RequestThrottle) {
        if let Some(requests) = self.number(keys, "request_throttle_max_requests", 0) {
            throttle.requests_max = requests as usize;
        }
        if let Some(time) = self.millis(keys, "request_throttle_stall_time", 1) {
            throttle.stall_time = time;
        }
        let flags = [
            ("request_throttle_drop_stale", &mut throttle.drop_stale),
            ("request_stale_latency_check", &mut throttle.stale_latency),
            ("request_stale_connection_check", &mut throttle.stale_connection),
        ];
        for (key, field) in flags {
            if let Some(on) = self.flag(keys, key) {
                *field = on;
            }
        }
        if let Some(time) = self.millis(keys, "throttled_op_wait_time", 0) {
            throttle.throttled_op_wait = time;
        }
    }

    /// Each documented name as the one that upstream's code knows, which wins where both stand.
    fn under_one_name(&mut self, keys: &Properties) -> Properties {
        let mut keys = keys.clone();
        for (documented, name) in ALIASES {
            let Some(property) = keys.remove(*documented) else { continue };
            if let Some(other) = keys.get(*name) {
                let what = format!("{documented} is overruled by {name} in line {}", other.line);
                self.warn(&property.file, property.line, what);
            } else {
                keys.insert((*name).to_owned(), property);
            }
        }
        keys
    }

    /// A whole number, or -1 for none.
    fn number_or_none(&mut self, keys: &Properties, key: &str, least: i64) -> Option<Option<u32>> {
        if keys.get(key)?.value == "-1" {
            return Some(None);
        }
        self.number(keys, key, least).map(Some)
    }

    /// A part of one, as a decimal.
    fn part(&mut self, keys: &Properties, key: &str) -> Option<Millionths> {
        let part: f64 = self.value(keys, key, "a number from 0 to 1")?;
        if (0.0..=1.0).contains(&part) {
            return Some(Millionths((part * f64::from(Millionths::ONE.0)).round() as u32));
        }
        let property = &keys[key];
        let what = format!("{key}: expected a number from 0 to 1, found {part}");
        self.error(&property.file, property.line, what);
        None
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::time::Duration;

    use super::*;
    use crate::zoo_cfg::{CfgErrors, ZooCfg};

    fn parse(more: &str) -> Result<ZooCfg, CfgErrors> {
        let text = format!("dataDir=/d\nclientPort=2181\n{more}");
        ZooCfg::parse(Path::new("/zoo.cfg"), &text, &|_| Err(std::io::ErrorKind::NotFound.into()))
    }

    #[test]
    fn both_names_of_a_key_set_the_same() {
        let values = |name: &str| match name {
            "connectionDropIncrease" => "0.5",
            "connectionDropDecrease" => "0.0625",
            "connectionDecreaseRatio" => "1",
            "requestThrottleDropStale" | "requestStaleConnectionCheck" => "false",
            "requestStaleLatencyCheck" => "true",
            _ => "77",
        };
        let defaults = parse("").expect("good").settings.config.admission;
        for (documented, name) in ALIASES {
            let admission = |key: &str| {
                let cfg = parse(&format!("{key}={}\n", values(documented))).expect("good");
                assert_eq!(cfg.warnings, [], "{key}");
                cfg.settings.config.admission
            };
            assert_eq!(admission(documented), admission(name), "{documented}");
            assert_ne!(admission(documented), defaults, "{documented}");
        }
        let cfg = parse("requestThrottleLimit=5\nrequest_throttle_max_requests=6\n").expect("good");
        assert_eq!(cfg.settings.config.admission.requests.requests_max, 6);
        assert_eq!(cfg.warnings.len(), 1);
    }

    #[test]
    fn every_value_lands_where_it_belongs() {
        let text = "\
maxCnxns=500
connectionMaxTokens=20
connectionTokenFillTime=1000
connectionTokenFillCount=10
connectionFreezeTime=-1
connectionDropIncrease=0.02
connection_throttle_weight_enabled=true
connection_throttle_global_session_weight=6
throttled_op_wait_time=250
largeRequestThreshold=1000
largeRequestMaxBytes=100000
clientPortListenBacklog=10
clientTcpKeepAlive=true
tcpKeepAlive=true
";
        let settings = parse(text).expect("good").settings;
        let admission = &settings.config.admission;
        assert_eq!(settings.config.limits.conns_max, 500);
        let connections = ConnectionThrottle {
            tokens_max: 20,
            fill_time: Duration::from_secs(1),
            fill_count: 10,
            weights: Some(SessionWeights { global: 6, local: 1, renew: 2 }),
            ..ConnectionThrottle::default()
        };
        assert_eq!(admission.connections, connections);
        assert_eq!(admission.requests.throttled_op_wait, Duration::from_millis(250));
        assert_eq!((admission.large.threshold, admission.large.bytes_max), (Some(1000), 100_000));
        assert_eq!(settings.sockets.backlog, Some(10));
        assert!(settings.sockets.client_keepalive && settings.sockets.peer_keepalive);

        let settings = parse("largeRequestThreshold=-1\nclientPortListenBacklog=-1\n");
        let settings = settings.expect("good").settings;
        assert_eq!(settings.config.admission.large.threshold, None);
        assert_eq!(settings.sockets.backlog, None);
    }

    #[test]
    fn what_cannot_be_meant_is_an_error() {
        for (line, expected) in [
            ("connection_throttle_fill_time=0", "expected a whole number from 1"),
            ("connectionDropIncrease=2", "expected a number from 0 to 1, found 2"),
            ("connectionDecreaseRatio=few", "expected a number from 0 to 1, found \"few\""),
            ("largeRequestThreshold=-2", "expected a whole number from 1"),
            ("requestThrottleDropStale=maybe", "expected true or false"),
        ] {
            let errors = parse(line).expect_err(line).to_string();
            assert!(errors.contains(expected), "{line}: {errors}");
        }
    }
}
