//! A client's end of its connection: pairs replies with the requests they answer.

use alloc::vec::Vec;

use crate::config::Limits;
use crate::proto::{ClientMessage, ClientRequest};

use super::client::ClientMisbehaved;

#[derive(Clone, Debug)]
pub struct ClientSideConn {}

impl ClientSideConn {
    pub fn new(limits: &Limits) -> Self {
        let _ = limits;
        todo!()
    }
    /// Appends the frame of `request` to `out` and remembers what its reply will look like.
    pub fn encode(&mut self, request: &ClientRequest, out: &mut Vec<u8>) {
        let _ = (request, out);
        todo!()
    }
    pub fn receive(&mut self, bytes: &[u8]) {
        let _ = bytes;
        todo!()
    }
    pub fn next(&mut self) -> Result<Option<ClientMessage>, ClientMisbehaved> {
        todo!()
    }
}
