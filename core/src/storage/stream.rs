//! Stub: the storage branch has the real one.

use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::jute::DecodeError;
use crate::tree::Database;

#[derive(Clone, Debug)]
pub struct StreamEncoder {}

impl StreamEncoder {
    pub fn new(database: Arc<Database>) -> Self {
        let _ = database;
        todo!()
    }
    pub fn encode(&mut self, out: &mut Vec<u8>, target: usize) -> bool {
        let _ = (out, target);
        todo!()
    }
}

#[derive(Clone, Debug)]
pub struct StreamDecoder {}

impl StreamDecoder {
    pub fn new(record_max: usize) -> Self {
        let _ = record_max;
        todo!()
    }
    pub fn feed(&mut self, bytes: &[u8]) -> Result<Option<(Database, usize)>, DecodeError> {
        let _ = bytes;
        todo!()
    }
}
