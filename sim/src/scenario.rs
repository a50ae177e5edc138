//! Provisional: what checkers need to know of a scenario. Replaced by the world's.

use zebu_core::ids::ServerId;

/// What checkers may know of a run beside what they observe.
#[derive(Clone, Debug)]
pub struct ScenarioInfo {
    pub servers: usize,
    pub voters: Vec<ServerId>,
    pub tick_ms: u64,
    pub init_limit: u32,
    pub sync_limit: u32,
    /// How many clients the run begins with; replacements get the numbers after them.
    pub clients: usize,
    /// Is there any fault, by time or by chance?
    pub faults: bool,
    /// Nothing may move (`expect.calm`).
    pub calm: bool,
    /// The bound on the drift of monotonic clocks, parts per million either way.
    pub drift_ppm: u64,
    /// How long progress may take once faults have stopped, ns.
    pub liveness_bound: u64,
}
