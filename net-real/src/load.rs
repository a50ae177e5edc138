//! What all clients of a server ask of it together, as far as each connection's reader must know
//! before it reads on: how many requests there are, and how many bytes the large ones have. The rules
//! are core's.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};

use zebu_core::config::{Config, LargeRequests};
use zebu_core::server::may_read_on;

#[derive(Debug)]
pub(crate) struct Load {
    outstanding_limit: usize,
    /// Requests that core carries out, as of its last turn, and those that it has not been told yet.
    in_core: AtomicUsize,
    on_their_way: AtomicUsize,
    large: LargeRequests,
    large_bytes: AtomicUsize,
    large_refused: AtomicU64,
}

impl Default for Load {
    /// Bounds nothing: for connections between servers.
    fn default() -> Self {
        Self {
            outstanding_limit: usize::MAX,
            in_core: AtomicUsize::new(0),
            on_their_way: AtomicUsize::new(0),
            large: LargeRequests::default(),
            large_bytes: AtomicUsize::new(0),
            large_refused: AtomicU64::new(0),
        }
    }
}

impl Load {
    pub(crate) fn new(config: &Config) -> Self {
        Self {
            outstanding_limit: config.outstanding_limit(),
            large: config.admission.large.clone(),
            ..Self::default()
        }
    }

    // ---- how many requests ----

    /// How many more requests a connection may bring that has `own` of them unanswered.
    pub(crate) fn room(&self, own: usize) -> usize {
        let all = self.in_core.load(Relaxed).saturating_add(self.on_their_way.load(Relaxed));
        if !may_read_on(self.outstanding_limit, all, own) {
            return 0;
        }
        // Not many at once past the limit, either.
        self.outstanding_limit.saturating_sub(all).saturating_add(1)
    }
    /// Requests were read.
    pub(crate) fn read(&self, requests: usize) {
        self.on_their_way.fetch_add(requests, Relaxed);
    }
    /// Core was told of them.
    pub(crate) fn told(&self, requests: usize) {
        self.on_their_way.fetch_sub(requests, Relaxed);
    }
    /// Core carries out so many.
    pub(crate) fn in_core(&self, requests: usize) {
        self.in_core.store(requests, Relaxed);
    }

    // ---- how large ----

    /// Would a request fit that says it has so many bytes?
    // ZK: ZooKeeperServer.checkRequestSizeWhenReceivingMessage (3.9)
    pub(crate) fn would_fit(&self, bytes: usize) -> bool {
        !self.large.is_large(bytes)
            || self.large_bytes.load(Relaxed).saturating_add(bytes) <= self.large.bytes_max
    }
    pub(crate) fn refused_large(&self) {
        self.large_refused.fetch_add(1, Relaxed);
    }
    pub(crate) fn large_refused(&self) -> u64 {
        self.large_refused.load(Relaxed)
    }
    /// Takes a request in, or refuses it.
    // ZK: ZooKeeperServer.checkRequestSizeWhenMessageReceived (3.9)
    pub(crate) fn take(&self, bytes: usize) -> bool {
        if !self.large.is_large(bytes) {
            return true;
        }
        let fits = self.large_bytes.fetch_add(bytes, Relaxed) + bytes <= self.large.bytes_max;
        if !fits {
            self.large_bytes.fetch_sub(bytes, Relaxed);
        }
        fits
    }
    /// It is answered, or nobody waits for it any more.
    pub(crate) fn give_back(&self, bytes: usize) {
        if self.large.is_large(bytes) {
            self.large_bytes.fetch_sub(bytes, Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_requests_share_their_bytes() {
        let large = LargeRequests { threshold: Some(100), bytes_max: 300 };
        let load = Load { large, ..Load::default() };
        assert!(load.take(100) && load.take(150) && load.take(150));
        assert!(load.would_fit(100) && !load.would_fit(101));
        assert!(!load.take(101));
        load.give_back(100);
        assert!(!load.would_fit(150));
        load.give_back(150);
        assert!(load.would_fit(150) && !load.would_fit(151));
        assert!(load.take(150));
    }

    #[test]
    fn over_the_limit_each_connection_has_one_request_at_a_time() {
        let load = Load { outstanding_limit: 10, ..Load::default() };
        load.read(4);
        assert_eq!(load.room(4), 7);
        load.told(4);
        load.in_core(10);
        assert_eq!(load.room(4), 1);
        load.read(1);
        assert_eq!((load.room(4), load.room(0)), (0, 1));
        load.in_core(3);
        assert_eq!(load.room(4), 7);
    }
}
