//! Whom a server lets in, and when more of what a client asks is read: rules and their state, told the
//! time. What happens to a request that has to wait is in [`super::order`]; bytes and sockets are the
//! driver's.
//!
//! What a client can make a server hold, each bound with the key that sets it:
//!
//! | what | bound |
//! |---|---|
//! | connections | `maxClientCnxns` for an address, `maxCnxns` in all, and file descriptors |
//! | a connection before its ConnectRequest | one frame, for `nio.sessionlessCnxnTimeout` |
//! | an unfinished frame | the bytes that came, at most `jute.maxbuffer` |
//! | requests of a connection | `conn_queue_max`, and so many bytes as the driver's bounds say |
//! | a request, carried out | a hundred times its bytes: setWatches of short paths that all fire |
//! | requests carried out | `globalOutstandingLimit`, and one for each connection over it |
//! | large requests | `largeRequestMaxBytes`, when `largeRequestThreshold` is set |
//! | replies unread | `unread_pause` bytes and [`READS_BEFORE_WRITE_MAX`](super::order) replies |
//! | replies and events unread | `unread_max` bytes, then the connection is cut |
//! | one reply | what the tree holds at one path; of a multiRead [`crate::ops::MULTI_READ_MAX`] |
//! | znodes, sessions, watches | nothing, as upstream: what they ask for is kept |

use crate::config::{ConnectionThrottle, Millionths};
use crate::rng::Rng;
use crate::time::Instant;

/// May a connection be read that has `own` requests unanswered, on a server that carries out
/// `in_process` of them? Who has nothing outstanding always may: nobody starves, and whoever waits is
/// woken by an answer of its own.
// ZK: ZooKeeperServer.shouldThrottle (3.9)
pub fn may_read_on(outstanding_limit: usize, in_process: usize, own: usize) -> bool {
    own == 0 || in_process <= outstanding_limit
}

/// What a ConnectRequest asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Asks {
    NewSession,
    LocalSession,
    Renewal,
}

/// Lets ConnectRequests in at a certain rate. Tokens trickle into a bucket; each session takes some
/// out, and is refused when there are too few. With a freeze time, sessions are refused at random
/// too, the more often the longer the bucket has been found empty.
// ZK: BlueThrottle (3.9)
#[derive(Clone, Debug)]
pub(crate) struct TokenBucket {
    tokens: u64,
    filled: Instant,
    /// The chance of a refusal, and when it was looked at last.
    drop: Millionths,
    frozen: Instant,
    rng: Rng,
}

impl TokenBucket {
    pub(crate) fn new(config: &ConnectionThrottle, seed: u64) -> Self {
        Self {
            tokens: capacity(config),
            filled: Instant::default(),
            drop: Millionths::default(),
            frozen: Instant::default(),
            rng: Rng::new(seed ^ 0x0B10_C0DE),
        }
    }

    pub(crate) fn drop_probability(&self) -> Millionths {
        self.drop
    }

    // ZK: BlueThrottle.checkLimit, ZooKeeperServer.processConnectRequest (3.9)
    pub(crate) fn admit(&mut self, config: &ConnectionThrottle, asks: Asks, now: Instant) -> bool {
        if config.tokens_max == 0 {
            return true;
        }
        self.fill(config, now);
        if !self.spared(config, now) {
            return false;
        }
        let need = config.weights.map_or(1, |weights| match asks {
            Asks::NewSession => weights.global,
            Asks::LocalSession => weights.local,
            Asks::Renewal => weights.renew,
        });
        match self.tokens.checked_sub(need.into()) {
            Some(left) => self.tokens = left,
            None => return false,
        }
        true
    }

    fn fill(&mut self, config: &ConnectionThrottle, now: Instant) {
        let (passed, every) = (now.since(self.filled).as_millis(), config.fill_time.as_millis());
        if passed > every {
            let count = u128::from(weighted(config, config.fill_count));
            let more = passed.saturating_mul(count) / every.max(1);
            let more = u64::try_from(more).unwrap_or(u64::MAX);
            self.tokens = self.tokens.saturating_add(more).min(capacity(config));
            self.filled = now;
        }
    }

    // ZK: BlueThrottle.checkBlue (3.9)
    fn spared(&mut self, config: &ConnectionThrottle, now: Instant) -> bool {
        let Some(freeze) = config.freeze_time else { return true };
        if now.since(self.frozen).as_millis() > freeze.as_millis() {
            let missing = capacity(config) - self.tokens;
            let (ratio, one) = (u64::from(config.decrease_ratio.0), u64::from(Millionths::ONE.0));
            let few = (capacity(config).saturating_mul(ratio) + one / 2) / one;
            if self.tokens == 0 {
                self.drop.0 = (self.drop.0 + config.drop_increase.0).min(Millionths::ONE.0);
            } else if missing <= few {
                self.drop.0 = self.drop.0.saturating_sub(config.drop_decrease.0);
            }
            self.frozen = now;
        }
        self.rng.below(Millionths::ONE.0.into()) >= u64::from(self.drop.0)
    }
}

/// Tokens are configured for global sessions.
fn weighted(config: &ConnectionThrottle, tokens: u32) -> u64 {
    u64::from(tokens) * config.weights.map_or(1, |weights| u64::from(weights.global))
}

fn capacity(config: &ConnectionThrottle) -> u64 {
    weighted(config, config.tokens_max)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::SessionWeights;
    use crate::time::Duration;

    fn at(ms: u64) -> Instant {
        Instant::from_millis(ms)
    }

    /// How many of `tries` sessions at `ms` get in.
    fn let_in(bucket: &mut TokenBucket, config: &ConnectionThrottle, tries: u32, ms: u64) -> u32 {
        (0..tries).map(|_| u32::from(bucket.admit(config, Asks::NewSession, at(ms)))).sum()
    }

    #[test]
    fn nobody_is_counted_without_a_bucket() {
        let config = ConnectionThrottle::default();
        let mut bucket = TokenBucket::new(&config, 1);
        assert_eq!(let_in(&mut bucket, &config, 10_000, 0), 10_000);
    }

    #[test]
    fn a_bucket_empties_and_fills() {
        let config = ConnectionThrottle {
            tokens_max: 5,
            fill_time: Duration::from_millis(100),
            fill_count: 2,
            ..ConnectionThrottle::default()
        };
        let mut bucket = TokenBucket::new(&config, 1);
        assert_eq!(let_in(&mut bucket, &config, 9, 0), 5);
        // Not before more than the fill time has passed.
        assert_eq!(let_in(&mut bucket, &config, 9, 100), 0);
        assert_eq!(let_in(&mut bucket, &config, 9, 101), 2);
        assert_eq!(let_in(&mut bucket, &config, 9, 301), 4);
        // It never holds more than it can, however long nobody comes.
        assert_eq!(let_in(&mut bucket, &config, 9, u64::MAX / 2_000_000), 5);
    }

    #[test]
    fn sessions_have_weights() {
        let weights = SessionWeights::new(None, None, None);
        let config = ConnectionThrottle {
            tokens_max: 2,
            weights: Some(weights),
            fill_time: Duration::from_secs(1),
            ..ConnectionThrottle::default()
        };
        let mut bucket = TokenBucket::new(&config, 1);
        let mut admit = |asks| bucket.admit(&config, asks, at(0));
        // Of six tokens: three, two, and then one is left.
        assert!(admit(Asks::NewSession));
        assert!(admit(Asks::Renewal));
        assert!(!admit(Asks::NewSession));
        assert!(!admit(Asks::Renewal));
        assert!(admit(Asks::LocalSession));
        assert!(!admit(Asks::LocalSession));
    }

    #[test]
    fn refusals_at_random_come_and_go_with_the_load() {
        let config = ConnectionThrottle {
            tokens_max: 10,
            fill_time: Duration::from_millis(1000),
            fill_count: 10,
            freeze_time: Some(Duration::from_millis(10)),
            drop_increase: Millionths(250_000),
            drop_decrease: Millionths(100_000),
            decrease_ratio: Millionths(500_000),
            ..ConnectionThrottle::default()
        };
        let mut bucket = TokenBucket::new(&config, 1);
        assert_eq!(let_in(&mut bucket, &config, 10, 0), 10);
        for (ms, drop) in [(11, 250_000), (15, 250_000), (22, 500_000), (33, 750_000)] {
            assert_eq!(let_in(&mut bucket, &config, 1, ms), 0);
            assert_eq!(bucket.drop_probability(), Millionths(drop), "after {ms} ms");
        }
        assert_eq!(let_in(&mut bucket, &config, 1, 44), 0);
        assert_eq!(bucket.drop_probability(), Millionths::ONE);
        // Full again: it falls a little each time, and the first ones get in long before it is 0.
        let mut ms = 3000;
        let mut admitted = 0;
        while bucket.drop_probability() != Millionths(0) {
            admitted += let_in(&mut bucket, &config, 1, ms);
            ms += 300;
        }
        assert_eq!(ms, 3000 + 10 * 300);
        assert!((1..10).contains(&admitted), "{admitted}");
        assert_eq!(let_in(&mut bucket, &config, 5, ms), 5);
    }

    #[test]
    fn the_same_seed_refuses_the_same() {
        let config = ConnectionThrottle {
            tokens_max: 1,
            freeze_time: Some(Duration::ZERO),
            drop_increase: Millionths(5000),
            drop_decrease: Millionths(0),
            ..ConnectionThrottle::default()
        };
        let run = |seed| {
            let mut bucket = TokenBucket::new(&config, seed);
            let at = (0..400).filter(|ms| let_in(&mut bucket, &config, 1, *ms) > 0);
            at.collect::<alloc::vec::Vec<_>>()
        };
        assert_eq!(run(7), run(7));
        assert!(run(7) != run(8), "one seed refuses as the other does");
    }

    #[test]
    fn who_has_nothing_outstanding_is_always_read() {
        let cases = [(1000, 1000, 5, true), (1000, 1001, 5, false), (1000, 5000, 0, true)];
        for (limit, in_process, own, expected) in cases {
            assert_eq!(may_read_on(limit, in_process, own), expected);
        }
    }
}
