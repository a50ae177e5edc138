//! A connection between learner and leader: quorum packets, and snapshot streams among them.

use alloc::vec::Vec;

use crate::config::Limits;
use crate::jute::DecodeError;
use crate::server::PeerMessage;

#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum PeerMisbehaved {
    #[error("quorum packet type {0} is not defined")]
    Type(i32),
    #[error("unreadable {what}: {why}")]
    Unreadable { what: &'static str, why: DecodeError },
}

#[derive(Clone, Debug)]
pub struct QuorumConn {}

impl QuorumConn {
    pub fn new(limits: &Limits) -> Self {
        let _ = limits;
        todo!()
    }
    pub fn receive(&mut self, bytes: &[u8]) {
        let _ = bytes;
        todo!()
    }
    pub fn next(&mut self) -> Result<Option<PeerMessage>, PeerMisbehaved> {
        todo!()
    }
    pub fn queue(&mut self, message: PeerMessage) {
        let _ = message;
        todo!()
    }
    /// Appends queued messages to `out` until it holds `target` bytes or nothing is left; a
    /// snapshot is encoded piece by piece. Says whether more is waiting.
    pub fn write(&mut self, out: &mut Vec<u8>, target: usize) -> bool {
        let _ = (out, target);
        todo!()
    }
    /// Messages waiting to be written.
    pub fn queued(&self) -> usize {
        todo!()
    }
}
