//! One run: a world and its audience, from the first event to the verdict.

use std::cell::RefCell;
use std::panic::{self, AssertUnwindSafe};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::audience::Audience;
use crate::checkers;
use crate::counters::{Counter, Counters};
use crate::history::SimTime;
use crate::world::{Setup, World};

/// What came of one run.
#[derive(Clone, Debug)]
pub struct Verdict {
    pub hash: u64,
    pub counters: Counters,
    pub failure: Option<Failure>,
    /// CPU time it took, about.
    pub seconds: f64,
}

#[derive(Clone, Debug)]
pub struct Failure {
    /// The broken promise's name in the property table, or `PANIC`.
    pub property: String,
    pub what: String,
    pub at: SimTime,
}

thread_local! {
    /// Where and why this thread panicked last.
    static PANICKED: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Panics are verdicts here: they are kept for the report instead of being printed.
pub fn catch_panics(backtraces: bool) {
    let default = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        PANICKED.with_borrow_mut(|last| *last = Some(info.to_string()));
        if backtraces {
            default(info);
        }
    }));
}

/// Where and why this thread panicked last, once.
pub fn last_panic() -> String {
    PANICKED.with_borrow_mut(Option::take).unwrap_or_default()
}

pub fn run(setup: &Setup, trace: bool) -> Verdict {
    let began = cpu_seconds();
    let mut aud = Audience { trace, ..Audience::default() };
    if !setup.bare {
        aud.checkers = checkers::all(&setup.scenario.info());
    }
    let mut now = 0;
    let panicked = panic::catch_unwind(AssertUnwindSafe(|| {
        let mut world = World::new(setup);
        aud.counters.add(Counter::CodecRuns, u64::from(world.profile.codec));
        let world = AtEnd(&mut world, &mut now);
        world.0.run(&mut aud);
    }))
    .is_err();
    let failure = if panicked {
        Some(Failure { property: "PANIC".into(), what: last_panic(), at: now })
    } else {
        aud.violation.take().map(|(at, violation)| Failure {
            property: violation.property.to_owned(),
            what: violation.what,
            at,
        })
    };
    aud.counters.runs = 1;
    let seconds = cpu_seconds() - began;
    Verdict { hash: aud.hash.finish(), counters: aud.counters, failure, seconds }
}

/// Time that this thread has had on a core; the wall clock where the system does not tell.
fn cpu_seconds() -> f64 {
    let told = std::fs::read_to_string("/proc/thread-self/schedstat").ok();
    let nanos = told.and_then(|text| text.split_whitespace().next()?.parse::<u64>().ok());
    nanos.map_or_else(
        || SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |d| d.as_secs_f64()),
        |nanos| nanos as f64 / 1e9,
    )
}

/// Notes how far the world came, also when it panics.
struct AtEnd<'a>(&'a mut World, &'a mut SimTime);
impl Drop for AtEnd<'_> {
    fn drop(&mut self) {
        *self.1 = self.0.now;
    }
}
