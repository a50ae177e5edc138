//! The simulator: Zebu's servers and clients on virtual time, over a network, disks and clocks that
//! lie, fail and drift as a scenario and a seed say.
//!
//! Reading order: [`history`] (what is observed), [`world`] (the loop), then what the loop drives:
//! [`process`] and [`disk`], [`net`], [`clients`], [`faults`]. Every random decision comes from
//! [`decide`]. Nothing here knows a rule of the protocol; what must hold is in [`checkers`].

pub mod agenda;
pub mod audience;
pub mod checkers;
pub mod clients;
pub mod clock;
pub mod counters;
pub mod decide;
pub mod disk;
#[cfg(madsim)]
pub mod driver;
pub mod ensemble;
pub mod faults;
pub mod hash;
pub mod history;
pub mod model;
pub mod net;
pub mod past;
pub mod process;
pub mod report;
pub mod run;
pub mod scenario;
pub mod strike;
pub mod swarm;
pub mod trace;
pub mod upkeep;
pub mod wire;
pub mod work;
pub mod world;
