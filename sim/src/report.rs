//! What a person is told: how to repeat a failure, and what a swarm reached.

use std::collections::BTreeMap;

use zebu_core::mutant::Mutant;

use crate::counters::Counters;
use crate::run::{Failure, Verdict};
use crate::scenario::Scenario;

/// The one command that repeats a run.
pub fn repeat(scenario: &Scenario, seed: u64, mutant: Option<Mutant>) -> String {
    let what = format!("run {} --seed {seed}", scenario.path.display());
    match mutant {
        None => format!("cargo sim {what}"),
        Some(mutant) => format!(
            "cargo run --release -p zebu-sim --features mutants -- {what} --mutant {}",
            mutant.id()
        ),
    }
}

pub fn failure(
    scenario: &Scenario,
    seed: u64,
    mutant: Option<Mutant>,
    failure: &Failure,
) -> String {
    let seconds = failure.at as f64 / 1e9;
    format!(
        "FAILED {} seed {seed} after {seconds:.6} virtual seconds\n  property: {}\n  what:     {}\n  \
         repeat:   {}",
        scenario.name,
        failure.property,
        failure.what,
        repeat(scenario, seed, mutant)
    )
}

/// One run, in one line.
pub fn passed(scenario: &Scenario, seed: u64, verdict: &Verdict) -> String {
    let counters = &verdict.counters;
    format!(
        "ok {} seed {seed}: {:.1} virtual seconds, {} events, hash {:016x}",
        scenario.name,
        counters.simulated_ns as f64 / 1e9,
        counters.events,
        verdict.hash
    )
}

/// One run of the driver, in a few lines.
#[cfg(madsim)]
pub fn driver(
    scenario: &Scenario,
    seed: u64,
    mutant: Option<Mutant>,
    verdict: &crate::driver::DriverVerdict,
) -> String {
    let faults: Vec<String> =
        verdict.faults.iter().map(|(class, n)| format!("{n} {class:?}")).collect();
    let reached = format!(
        "{} servers, {} clients, {} calls, {} answered; {} faults ({}), {} left out",
        verdict.servers,
        verdict.clients,
        verdict.calls,
        verdict.answered,
        verdict.faults.values().sum::<u64>(),
        faults.join(", "),
        verdict.left_out
    );
    let (name, hash) = (&scenario.name, verdict.hash);
    match &verdict.failure {
        None => format!(
            "ok driver {name} seed {seed}: {:.1} virtual seconds, hash {hash:016x}\n  {reached}",
            verdict.seconds
        ),
        Some(failure) => {
            let seconds = failure.at as f64 / 1e9;
            let what = format!("driver {} --seed {seed}", scenario.path.display());
            let repeat = match mutant {
                None => format!("cargo sim {what}"),
                Some(mutant) => format!(
                    "cargo run --release -p zebu-sim --features mutants -- {what} --mutant {}",
                    mutant.id()
                ),
            };
            format!(
                "FAILED driver {name} seed {seed} after {seconds:.6} virtual seconds\n  {reached}\n  \
                 property: {}\n  what:     {}\n  repeat:   {repeat}\n  hash:     {hash:016x}",
                failure.property, failure.what
            )
        }
    }
}

#[derive(Clone, Debug, Default)]
pub struct Summary {
    pub counters: Counters,
    pub failed: u64,
    /// Seconds spent in runs, over all threads.
    pub core_seconds: f64,
    /// By scenario: runs, failures, and the counters.
    pub scenarios: BTreeMap<String, (u64, u64, Counters)>,
    /// By property: how often, and the first time.
    pub properties: BTreeMap<String, u64>,
}

impl Summary {
    pub fn add(&mut self, scenario: &Scenario, verdict: &Verdict) {
        self.counters.merge(&verdict.counters);
        self.core_seconds += verdict.seconds;
        let (runs, failed, counters) = self.scenarios.entry(scenario.name.clone()).or_default();
        *runs += 1;
        counters.merge(&verdict.counters);
        if let Some(failure) = &verdict.failure {
            *failed += 1;
            self.failed += 1;
            *self.properties.entry(failure.property.clone()).or_default() += 1;
        }
    }

    /// Counters that a scenario promised to reach and did not.
    pub fn unreached<'a>(&'a self, scenarios: &'a [Scenario]) -> Vec<String> {
        let mut missing = Vec::new();
        for scenario in scenarios {
            let Some((runs, _, counters)) = self.scenarios.get(&scenario.name) else { continue };
            for wanted in &scenario.file.expect.reached {
                let value = counters.rows().find(|(name, _)| name == wanted).map(|(_, n)| n);
                match value {
                    None => {
                        missing.push(format!("{}: no counter is named {wanted:?}", scenario.name));
                    }
                    Some(0) if *runs >= 100 => {
                        missing.push(format!("{}: {wanted} is 0 in {runs} runs", scenario.name));
                    }
                    Some(_) => {}
                }
            }
        }
        missing
    }

    pub fn text(&self) -> String {
        let mut out = String::new();
        for (name, (runs, failed, counters)) in &self.scenarios {
            let seconds = counters.simulated_ns as f64 / 1e9 / (*runs).max(1) as f64;
            let events = counters.events / (*runs).max(1);
            out += &format!(
                "{name:<32} {runs:>7} runs {failed:>5} failed {seconds:>6.1} virtual s {events:>9} events each\n"
            );
        }
        out += "\n";
        for (name, value) in self.counters.rows() {
            let finding = if value == 0 { "   <-- never reached" } else { "" };
            out += &format!("{value:>12}  {name}{finding}\n");
        }
        let seconds = self.core_seconds.max(1e-9);
        out += &format!(
            "\n{} runs, {} failed; {:.0} events per second and core; {:.0} simulated seconds per \
             second and core\n",
            self.counters.runs,
            self.failed,
            self.counters.events as f64 / seconds,
            self.counters.simulated_ns as f64 / 1e9 / seconds
        );
        for (property, times) in &self.properties {
            out += &format!("broken: {property} in {times} runs\n");
        }
        out
    }
}
