//! Where every random decision of a run comes from: drawn by what it is about, never by its place
//! in one stream. So taking one fault away, or one client, leaves all other decisions as they were.
//!
//! Integers only: libm may differ between machines, and a seed must not.

use zebu_core::rng::{Rng, mix};

/// What kind of thing is decided. The number is part of every recorded seed's meaning: append only.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[repr(u64)]
pub enum About {
    /// Once for the run: sizes, speeds, which faults exist at all. `who` is the parameter.
    Profile = 1,
    /// The n-th message over a link.
    Latency,
    /// Where the n-th message is cut in two (codec runs).
    Fragment,
    /// What of a connection's queue survives when it breaks.
    Sever,
    /// When the n-th dial of a host gives up.
    Dial,
    /// How long the n-th disk operation of a server takes.
    DiskLatency,
    /// Whether the n-th sync, or write, of a server fails.
    DiskError,
    /// What of unsynced data survives the n-th power loss of a server.
    Crash,
    /// How long a server stays down the n-th time.
    Downtime,
    /// Whether a server crashes at the n-th boundary of a kind.
    Boundary,
    /// Clock of the n-th incarnation of a server.
    Clock,
    /// Configuration of the n-th incarnation of a server.
    ServerSeed,
    /// A client's own choices.
    ClientSeed,
    /// The n-th decision of a client's workload.
    Work,
    /// When the n-th fault of a class comes, and what it is.
    FaultTime,
    FaultShape,
    /// Whether the n-th thing of a kind at a server brings a fault about, and which.
    Upon,
}

/// The seed of a run, asked what it says about something.
#[derive(Clone, Copy, Debug)]
pub struct Decide {
    seed: u64,
}

impl Decide {
    pub fn new(seed: u64) -> Self {
        Self { seed: mix(seed.wrapping_add(0x9E37_79B9_7F4A_7C15)) }
    }
    /// The decision about the `n`-th event of `who`.
    pub fn draw(self, about: About, who: u64, n: u64) -> Draw {
        let a = mix(self.seed ^ (about as u64).wrapping_mul(0xA24B_AED4_963E_E407));
        let b = mix(a ^ who.wrapping_mul(0x9FB2_1C65_1E98_DF25));
        Draw(Rng::new(mix(b ^ n.wrapping_mul(0xD6E8_FEB8_6659_FD93))))
    }
}

/// One decision: as many numbers as it needs.
#[derive(Clone, Debug)]
pub struct Draw(Rng);

impl Draw {
    pub fn bits(&mut self) -> u64 {
        self.0.next_u64()
    }
    /// Uniform in `0..bound`; 0 for bound 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0.below(bound)
    }
    pub fn index(&mut self, len: usize) -> usize {
        self.below(len as u64) as usize
    }
    /// Uniform in `low..=high`.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high.saturating_sub(low) + 1)
    }
    pub fn chance(&mut self, probability: f64) -> bool {
        probability > 0.0 && ((self.bits() >> 11) as f64) < probability * (1u64 << 53) as f64
    }
    /// One in `n`.
    pub fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
    /// Every order of magnitude between `low` and `high` equally likely.
    pub fn magnitude(&mut self, low: u64, high: u64) -> u64 {
        let low = low.max(1);
        let doublings = (high / low).max(1).ilog2();
        let base = low << self.between(0, u64::from(doublings));
        self.between(base, (base * 2 - 1).min(high.max(base)))
    }
    /// Around `mean`, seldom far more: a latency, or the gap between two events.
    pub fn around(&mut self, mean: u64) -> u64 {
        let usual = self.below(2 * mean.max(1));
        if self.one_in(16) { usual * self.between(1, 6) } else { usual }
    }
    pub fn pick<'a, T>(&mut self, of: &'a [T]) -> Option<&'a T> {
        if of.is_empty() { None } else { Some(&of[self.index(of.len())]) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decisions_do_not_depend_on_each_other() {
        let decide = Decide::new(7);
        let alone = decide.draw(About::Latency, 3, 9).bits();
        for n in 0..100 {
            decide.draw(About::Boundary, 3, n).bits();
        }
        assert_eq!(decide.draw(About::Latency, 3, 9).bits(), alone);
        assert_ne!(decide.draw(About::Latency, 3, 10).bits(), alone);
        assert_ne!(decide.draw(About::Latency, 4, 9).bits(), alone);
        assert_ne!(decide.draw(About::Fragment, 3, 9).bits(), alone);
        assert_ne!(Decide::new(8).draw(About::Latency, 3, 9).bits(), alone);
    }

    #[test]
    fn ranges_hold_and_are_reached() {
        let mut draw = Decide::new(1).draw(About::Profile, 0, 0);
        let (mut low, mut high) = (u64::MAX, 0);
        for _ in 0..2000 {
            let value = draw.magnitude(10, 1000);
            assert!((10..=1000).contains(&value), "{value}");
            (low, high) = (low.min(value), high.max(value));
            assert!((3..=5).contains(&draw.between(3, 5)));
        }
        assert!(low < 20 && high > 600, "{low} {high}");
        let hits = (0..10_000).filter(|_| draw.chance(0.25)).count();
        assert!((2200..2800).contains(&hits), "{hits}");
        assert!(!draw.chance(0.0));
    }
}
