//! One server: typed events in, typed actions out.

mod api;

pub use api::*;

use crate::config::Config;
use crate::time::{Instant, Now};

#[derive(Clone, Debug)]
pub struct Server {
    config: Config,
}

impl Server {
    /// A server that starts on what its disk held.
    pub fn new(config: Config, recovered: Recovered, now: Now) -> Self {
        let _ = (recovered, now);
        Self { config }
    }
    /// Total: a liar's message is an event too.
    pub fn handle(&mut self, now: Now, event: Event) {
        let _ = (now, event, &self.config);
        todo!()
    }
    /// What to do next; first in, first out. Drain whenever you like.
    pub fn poll(&mut self) -> Option<Action> {
        todo!()
    }
    /// When to call again even if nothing happens.
    pub fn deadline(&self) -> Option<Instant> {
        todo!()
    }
    /// The applied state, for checkers that compare replicas and for tools.
    pub fn database(&self) -> &crate::tree::Database {
        todo!()
    }
}
