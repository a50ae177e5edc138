//! Many seeds of many scenarios, on all cores.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use indicatif::{ProgressBar, ProgressStyle};
use zebu_core::mutant::Mutant;

use crate::report::{self, Summary};
use crate::run;
use crate::scenario::Scenario;
use crate::world::Setup;

#[derive(Clone, Debug)]
pub struct Swarm {
    pub scenarios: Vec<Arc<Scenario>>,
    pub seeds: Range<u64>,
    pub mutant: Option<Mutant>,
    pub threads: usize,
    pub bare: bool,
    /// Stop after so many failures.
    pub failures_max: u64,
}

impl Swarm {
    /// Runs each seed of each scenario. Failures are printed as they come; without a terminal the
    /// progress is a line for each tenth.
    pub fn run(&self) -> Summary {
        let seeds = self.seeds.end.saturating_sub(self.seeds.start);
        let total = seeds * self.scenarios.len() as u64;
        let bar = ProgressBar::new(total).with_style(
            ProgressStyle::with_template(
                "{elapsed_precise} {bar:40} {pos}/{len} runs, {per_sec}, {msg}",
            )
            .unwrap_or_else(|_| ProgressStyle::default_bar()),
        );
        let next = AtomicU64::new(0);
        let summary = Mutex::new(Summary::default());
        thread::scope(|scope| {
            for _ in 0..self.threads.max(1) {
                scope.spawn(|| self.work(total, &next, &summary, &bar));
            }
        });
        bar.finish_and_clear();
        summary.into_inner().expect("no thread panics outside a run")
    }

    fn work(&self, total: u64, next: &AtomicU64, summary: &Mutex<Summary>, bar: &ProgressBar) {
        loop {
            let n = next.fetch_add(1, Ordering::Relaxed);
            if n >= total {
                return;
            }
            // Scenarios take turns, so that an early look at a swarm has seen them all.
            let count = self.scenarios.len() as u64;
            let scenario = &self.scenarios[(n % count) as usize];
            let seed = self.seeds.start + n / count;
            let setup = Setup {
                scenario: Arc::clone(scenario),
                seed,
                mutant: self.mutant,
                skip: BTreeSet::new(),
                bare: self.bare,
            };
            let verdict = run::run(&setup, false);
            let mut summary = summary.lock().expect("no thread panics outside a run");
            summary.add(scenario, &verdict);
            bar.inc(1);
            if bar.is_hidden() && bar.position().is_multiple_of(total.div_ceil(10)) {
                let (runs, elapsed) = (bar.position(), bar.elapsed().as_secs_f64());
                let failed = summary.failed;
                let rate = runs as f64 / elapsed;
                eprintln!("{runs} of {total} runs, {failed} failed, {rate:.1} runs per second");
            }
            if let Some(failure) = &verdict.failure {
                bar.set_message(format!("{} failed", summary.failed));
                let text = report::failure(scenario, seed, self.mutant, failure);
                bar.suspend(|| println!("{text}"));
                if summary.failed >= self.failures_max {
                    next.store(total, Ordering::Relaxed);
                }
            }
        }
    }
}
