//! One machine per socket: bytes to typed messages and back, and nothing else.
//!
//! All have the same face: `receive` takes bytes as they came, `next` gives the next whole message
//! or says why the connection must close, `encode`/`queue` and `write` give bytes to send.

pub mod client;
pub mod client_side;
pub mod election;
mod frame;
pub mod learner;
mod packet_scan;
