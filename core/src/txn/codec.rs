//! Transactions to bytes and back (upstream: `SerializeUtils`).

use bytes::Bytes;

use super::{Entry, Txn};
use crate::jute::DecodeError;

/// Encodes a transaction for log and PROPOSAL.
pub fn encode(txn: Txn) -> Entry {
    let _ = txn;
    todo!()
}

/// Reads a log record's payload or a PROPOSAL's data.
pub fn decode(payload: Bytes, record_max: usize) -> Result<Entry, DecodeError> {
    let _ = (payload, record_max);
    todo!()
}
