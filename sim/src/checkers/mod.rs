//! What must hold, whatever goes wrong: one file for each promise or small family of them.
//!
//! Verdicts come from what the simulator itself saw and from the plain [`model`](crate::model),
//! never from what a server believes about itself. [`facts`] gathers, once for all, what can be
//! known from the edges; a check adds what only it needs, and judges.
//!
//! To add one: a file named after the promise, beginning with what it promises in plain words and
//! what is permitted although it looks wrong; a struct with [`Check`]; a line in [`checks`]; tests
//! of a history that must pass and of one that must not.

use std::fmt::Debug;

use crate::history::{Checker, Observation, View, Violation};
use crate::scenario::ScenarioInfo;

pub mod bounds;
pub mod configurations;
pub mod durability;
pub mod election;
pub mod epochs;
pub mod facts;
pub mod linearizable_writes;
pub mod liveness;
pub mod local_sessions;
pub mod peer_messages;
pub mod purges;
pub mod quorums;
pub mod read_only;
pub mod reads;
pub mod replicas;
pub mod session_fifo;
pub mod sessions;
#[cfg(test)]
pub mod testkit;
pub mod total_order;
pub mod watches;

use facts::Facts;

/// One promise, watched, with the common facts at hand.
pub trait Check: Debug {
    fn observe(
        &mut self,
        facts: &Facts,
        view: &View<'_>,
        what: &Observation<'_>,
    ) -> Result<(), Violation>;
    /// The run is over and everything that should come back has come back.
    fn finish(&mut self, facts: &Facts, view: &View<'_>) -> Result<(), Violation> {
        let _ = (facts, view);
        Ok(())
    }
}

/// All checks over one set of facts.
#[derive(Debug)]
pub struct Suite {
    facts: Facts,
    checks: Vec<Box<dyn Check>>,
}

impl Suite {
    pub fn new(info: &ScenarioInfo, checks: Vec<Box<dyn Check>>) -> Self {
        Self { facts: Facts::new(info.clone()), checks }
    }
}

impl Checker for Suite {
    fn observe(&mut self, view: &View<'_>, what: &Observation<'_>) -> Result<(), Violation> {
        self.facts.observe(view, what);
        for check in &mut self.checks {
            check.observe(&self.facts, view, what)?;
        }
        // Last: a check may know better what it means.
        self.facts.news.broken.take().map_or(Ok(()), Err)
    }
    fn finish(&mut self, view: &View<'_>) -> Result<(), Violation> {
        self.facts.now = view.now;
        self.checks.iter_mut().try_for_each(|check| check.finish(&self.facts, view))
    }
}

/// Every checker of a run.
pub fn all(info: &ScenarioInfo) -> Vec<Box<dyn Checker>> {
    vec![Box::new(Suite::new(info, checks()))]
}

/// Where one fault breaks several promises, the one that is nearer to the cause comes first.
fn checks() -> Vec<Box<dyn Check>> {
    vec![
        Box::new(epochs::Epochs::default()),
        Box::new(election::Election::default()),
        Box::new(durability::Durability::default()),
        Box::new(purges::Purges::default()),
        Box::new(quorums::Quorums::default()),
        Box::new(configurations::Configurations::default()),
        Box::new(peer_messages::PeerMessages::default()),
        Box::new(read_only::ReadOnly::default()),
        Box::new(total_order::TotalOrder::default()),
        Box::new(local_sessions::LocalSessions::default()),
        Box::new(sessions::Sessions::default()),
        Box::new(linearizable_writes::LinearizableWrites::default()),
        Box::new(session_fifo::SessionFifo::default()),
        Box::new(watches::Watches::default()),
        Box::new(reads::Reads),
        Box::new(replicas::Replicas::default()),
        Box::new(bounds::Bounds::default()),
        Box::new(liveness::Liveness::default()),
    ]
}

/// `Err` with a violation of `property` unless `holds`; the text is made only then.
pub(crate) fn ensure(
    holds: bool,
    property: &'static str,
    what: impl FnOnce() -> String,
) -> Result<(), Violation> {
    if holds { Ok(()) } else { Err(Violation { property, what: what() }) }
}
