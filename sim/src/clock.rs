//! A server's clocks: what true time looks like on its machine. Monotonic and wall clock lie apart:
//! the first drifts and never jumps, the second does what it likes.

use zebu_core::time::{Instant, Now, WallTime};

use crate::history::SimTime;

const MILLION: i128 = 1_000_000;
/// Wall time at the start of every run (2026-01-01T00:00:00Z), in ms.
const START_WALL_MS: i64 = 1_767_225_600_000;

#[derive(Clone, Debug)]
pub struct Clock {
    /// Where the present slope began: true time, and local time then.
    since: SimTime,
    local: u64,
    /// Parts per million by which the monotonic clock is fast; negative when slow.
    ppm: i64,
    wall_offset_ms: i64,
}

impl Clock {
    pub fn new(now: SimTime, local: u64, ppm: i64, wall_offset_ms: i64) -> Self {
        Self { since: now, local, ppm, wall_offset_ms }
    }
    pub fn read(&self, now: SimTime) -> Now {
        let wall = START_WALL_MS + (now / 1_000_000) as i64 + self.wall_offset_ms;
        Now { mono: self.mono(now), wall: WallTime(wall) }
    }
    pub fn mono(&self, now: SimTime) -> Instant {
        let passed = i128::from(now.saturating_sub(self.since));
        Instant(
            (i128::from(self.local) + passed * (MILLION + i128::from(self.ppm)) / MILLION) as u64,
        )
    }
    /// The first true time at which the monotonic clock shows at least `at`.
    pub fn true_time(&self, at: Instant) -> SimTime {
        let ahead = i128::from(at.0) - i128::from(self.local);
        if ahead <= 0 {
            return self.since;
        }
        let rate = MILLION + i128::from(self.ppm);
        let passed = (ahead * MILLION + rate - 1) / rate;
        self.since.saturating_add(u64::try_from(passed).unwrap_or(u64::MAX))
    }
    /// The monotonic clock runs at another speed from now on, without a jump.
    pub fn set_drift(&mut self, now: SimTime, ppm: i64) {
        self.local = self.mono(now).0;
        self.since = now;
        self.ppm = ppm;
    }
    pub fn jump_wall(&mut self, ms: i64) {
        self.wall_offset_ms += ms;
    }
    pub fn wall_offset_ms(&self) -> i64 {
        self.wall_offset_ms
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_is_never_early_and_at_most_a_tick_of_the_clock_late() {
        for ppm in [-200_000, -50_000, -37, 0, 1, 50_000, 333_333] {
            let clock = Clock::new(1_000, 5_000_000, ppm, 0);
            for at in [0u64, 4_999_999, 5_000_000, 5_000_001, 5_123_457, 9_999_999_999] {
                let when = clock.true_time(Instant(at));
                assert!(clock.mono(when) >= Instant(at), "ppm {ppm} at {at}");
                if when > 1_000 {
                    assert!(clock.mono(when - 1) < Instant(at), "ppm {ppm} at {at}");
                }
            }
        }
    }

    #[test]
    fn drift_changes_do_not_jump_and_wall_jumps_leave_monotonic_alone() {
        let mut clock = Clock::new(0, 10, 1000, 0);
        let before = clock.mono(1_000_000_000);
        clock.set_drift(1_000_000_000, -1000);
        assert_eq!(clock.mono(1_000_000_000), before);
        let wall = clock.read(1_000_000_000).wall;
        clock.jump_wall(-3_600_000);
        assert_eq!(clock.read(1_000_000_000).wall.0, wall.0 - 3_600_000);
        assert_eq!(clock.mono(1_000_000_000), before);
    }
}
