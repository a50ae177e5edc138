//! Whom a server lets in, and how much of what they ask at once: upstream's settings, their units and
//! defaults. The rules stand in `server/admission`.

use serde::{Deserialize, Serialize};

use super::Config;
use crate::time::Duration;

/// Everything that is off by default upstream is off by default here.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Admission {
    pub connections: ConnectionThrottle,
    pub requests: RequestThrottle,
    pub large: LargeRequests,
    /// `leaderServes=no`: while a server leads others it takes no clients.
    pub leader_serves_nobody: bool,
}

/// How fast clients may connect: a bucket of tokens, and connections that are refused at random
/// while it is found empty (upstream: `BlueThrottle`).
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ConnectionThrottle {
    /// `connection_throttle_tokens`: what the bucket holds; 0, the default, lets everybody in.
    pub tokens_max: u32,
    /// `connection_throttle_fill_time`, default 1 ms: in so much time ...
    pub fill_time: Duration,
    /// `connection_throttle_fill_count`, default 1: ... so many tokens come.
    pub fill_count: u32,
    /// `connection_throttle_freeze_time`: how often the chance of a refusal is looked at. `None` (-1
    /// there), the default: nobody is refused at random.
    pub freeze_time: Option<Duration>,
    /// `connection_throttle_drop_increase`, default 0.02: how much it grows when the bucket is empty.
    pub drop_increase: Millionths,
    /// `connection_throttle_drop_decrease`, default 0.002: how much it falls when few are missing.
    pub drop_decrease: Millionths,
    /// `connection_throttle_decrease_ratio`, default 0: what part of the bucket is few.
    pub decrease_ratio: Millionths,
    /// `connection_throttle_weight_enabled`: sessions cost what follows, else one token each.
    pub weights: Option<SessionWeights>,
}

impl Default for ConnectionThrottle {
    fn default() -> Self {
        Self {
            tokens_max: 0,
            fill_time: Duration::from_millis(1),
            fill_count: 1,
            freeze_time: None,
            drop_increase: Millionths(20_000),
            drop_decrease: Millionths(2000),
            decrease_ratio: Millionths(0),
            weights: None,
        }
    }
}

/// What a ConnectRequest costs: `connection_throttle_{global,local,renew}_session_weight`. Tokens of
/// the configuration are then worth one global session each.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SessionWeights {
    pub global: u32,
    pub local: u32,
    pub renew: u32,
}

impl SessionWeights {
    /// What is left out, or 0, has upstream's default; no session costs less than a local one.
    // ZK: BlueThrottle (3.9), static block
    pub fn new(global: Option<u32>, local: Option<u32>, renew: Option<u32>) -> Self {
        let or = |weight: Option<u32>, default| weight.filter(|w| *w > 0).unwrap_or(default);
        let local = or(local, 1);
        Self { global: or(global, 3).max(local), local, renew: or(renew, 2).max(local) }
    }
}

/// A probability or a ratio, 1,000,000 of which are 1: an integer, because it decides.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default, Serialize, Deserialize)]
pub struct Millionths(pub u32);

impl Millionths {
    pub const ONE: Self = Self(1_000_000);

    pub fn as_f64(self) -> f64 {
        f64::from(self.0) / f64::from(Self::ONE.0)
    }
}

/// How many requests are carried out at once (upstream: `RequestThrottler`).
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct RequestThrottle {
    /// `request_throttle_max_requests`: the rest waits, and each connection has its turn. 0, the
    /// default, leaves that to [`Config::requests_max`].
    pub requests_max: usize,
    /// `request_throttle_stall_time`, default 100 ms: how often the oldest of the queue is looked at
    /// when nothing else happens.
    pub stall_time: Duration,
    /// `request_throttle_drop_stale`, default true: what is stale when its turn comes is dropped, and
    /// its connection closed.
    pub drop_stale: bool,
    /// `request_stale_latency_check`: stale is what waited longer than its session's timeout.
    pub stale_latency: bool,
    /// `request_stale_connection_check`, default true: stale is what came by a closed connection.
    pub stale_connection: bool,
    /// `throttled_op_wait_time`: what waited longer is answered THROTTLEDOP; 0, the default, never.
    pub throttled_op_wait: Duration,
}

impl Default for RequestThrottle {
    fn default() -> Self {
        Self {
            requests_max: 0,
            stall_time: Duration::from_millis(100),
            drop_stale: true,
            stale_latency: false,
            stale_connection: true,
            throttled_op_wait: Duration::ZERO,
        }
    }
}

/// How many bytes the large ones among the requests may have together. Only who frames them knows
/// their sizes, so drivers keep the sum.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct LargeRequests {
    /// `largeRequestThreshold`: what has more bytes is large. `None` (-1 there), the default: nothing.
    pub threshold: Option<usize>,
    /// `largeRequestMaxBytes`, default 100 MiB.
    pub bytes_max: usize,
}

impl Default for LargeRequests {
    fn default() -> Self {
        Self { threshold: None, bytes_max: 100 << 20 }
    }
}

impl LargeRequests {
    pub fn is_large(&self, bytes: usize) -> bool {
        self.threshold.is_some_and(|threshold| bytes > threshold)
    }
}

impl Config {
    /// `globalOutstandingLimit` is for the whole ensemble: this is the share of one server.
    // ZK: QuorumZooKeeperServer.getGlobalOutstandingLimit, LeaderZooKeeperServer (3.9)
    pub fn outstanding_limit(&self) -> usize {
        let voters = self.ensemble.voters().count();
        self.limits.outstanding_max / if voters > 2 { voters - 1 } else { 1 }
    }

    /// How many requests are carried out at once, the rest waiting in core.
    // Departs: by default upstream carries out whatever was read. Whoever reconnects is always read
    // once, so that writes of connections long gone could pile up without end.
    pub fn requests_max(&self) -> usize {
        match self.admission.requests.requests_max {
            0 => self.limits.outstanding_max.saturating_mul(4).max(4000),
            set => set,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_are_put_right_as_upstream_does() {
        let weights = |global, local, renew| {
            let of = SessionWeights::new(global, local, renew);
            (of.global, of.local, of.renew)
        };
        assert_eq!(weights(None, None, None), (3, 1, 2));
        assert_eq!(weights(Some(0), Some(0), Some(0)), (3, 1, 2));
        assert_eq!(weights(Some(4), Some(5), Some(1)), (5, 5, 5));
    }
}
