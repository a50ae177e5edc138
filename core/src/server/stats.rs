//! What operators ask about: counts and latencies of requests.

use crate::time::Duration;

/// Since the start of this server (upstream: `ServerStats`).
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Stats {
    pub(crate) received: u64,
    pub(crate) sent: u64,
    answered: u64,
    total: Duration,
    least: Option<Duration>,
    most: Duration,
}

impl Stats {
    pub(crate) fn answered(&mut self, took: Duration) {
        self.answered += 1;
        self.total += took;
        self.least = Some(self.least.map_or(took, |l| l.min(took)));
        self.most = self.most.max(took);
    }
    /// Milliseconds: least, average (4 decimals), most.
    pub(crate) fn latency_ms(&self) -> (u128, f64, u128) {
        let micros = self.total.as_micros().checked_div(u128::from(self.answered)).unwrap_or(0);
        // Rounded half up to 0.1 microseconds, as upstream rounds to four places.
        let average = micros as f64 / 1000.0;
        (self.least.unwrap_or_default().as_millis(), average, self.most.as_millis())
    }
}
