//! Which server to try next, and how long to wait before.

use alloc::vec::Vec;

use crate::rng::Rng;
use crate::time::Duration;

/// The wait after the first failure is drawn from so much, doubled for each further one.
const WAIT_FIRST: Duration = Duration::from_millis(50);
const WAIT_MAX: Duration = Duration::from_secs(1);

/// All servers in an order of this client's own, gone through again and again, so that many clients
/// spread.
// ZK: StaticHostProvider (3.9)
#[derive(Clone, Debug)]
pub(super) struct Servers {
    order: Vec<usize>,
    at: usize,
    /// Since a session last stood.
    failures: u32,
    rng: Rng,
}

impl Servers {
    pub(super) fn new(count: usize, seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        let mut order: Vec<usize> = (0..count.max(1)).collect();
        // Fisher and Yates.
        for end in (1..order.len()).rev() {
            order.swap(end, rng.below(end as u64 + 1) as usize);
        }
        Self { order, at: 0, failures: 0, rng }
    }
    pub(super) fn count(&self) -> usize {
        self.order.len()
    }
    pub(super) fn current(&self) -> usize {
        self.order[self.at]
    }
    pub(super) fn advance(&mut self) {
        self.at = (self.at + 1) % self.order.len();
    }
    /// A session stands at the current server.
    pub(super) fn succeeded(&mut self) {
        self.failures = 0;
    }
    /// How long to wait before the next try. Drawn even for one client alone: in step with the
    /// server's own time-outs it could miss for ever.
    pub(super) fn failed(&mut self) -> Duration {
        let bound = WAIT_FIRST * (1 << self.failures.min(8));
        self.failures = self.failures.saturating_add(1);
        Duration::from_nanos(self.rng.below(bound.min(WAIT_MAX).as_nanos() as u64))
    }
}

#[cfg(test)]
mod tests {
    use alloc::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_server_comes_once_in_a_round() {
        let mut servers = Servers::new(5, 7);
        let mut round = || -> Vec<usize> {
            (0..5)
                .map(|_| {
                    servers.advance();
                    servers.current()
                })
                .collect()
        };
        let first = round();
        assert_eq!(first.iter().collect::<BTreeSet<_>>().len(), 5);
        assert_eq!(round(), first);
        let orders: BTreeSet<Vec<usize>> =
            (0..20).map(|seed| Servers::new(5, seed).order).collect();
        assert!(orders.len() > 10, "{orders:?}");
    }

    #[test]
    fn waits_grow_to_a_limit_and_fall_back() {
        let mut servers = Servers::new(1, 7);
        let longest = |servers: &mut Servers| (0..50).map(|_| servers.failed()).max();
        let worn = longest(&mut servers).unwrap();
        assert!(worn > WAIT_MAX / 2 && worn < WAIT_MAX, "{worn:?}");
        servers.succeeded();
        assert!(servers.failed() < WAIT_FIRST);
    }
}
