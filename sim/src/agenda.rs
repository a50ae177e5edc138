//! What is going to happen when: a heap ordered by time, then by the order in which it was put in.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::history::SimTime;
use crate::net::{ConnKey, Side};

/// Something due. What it refers to may be gone by then; each handler looks.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum What {
    /// The head of the queue towards this side of a connection may have arrived.
    Deliver {
        conn: ConnKey,
        to: Side,
    },
    /// A dial reaches its target, or gives up.
    Dial {
        attempt: u32,
    },
    DialTimeout {
        attempt: u32,
    },
    /// A server's own deadline.
    Timer {
        server: u8,
        incarnation: u32,
    },
    /// The operation of the server's log, snapshot or recovery thread is through.
    LogOp {
        server: u8,
        incarnation: u32,
    },
    SnapshotOp {
        server: u8,
        incarnation: u32,
    },
    RecoveryOp {
        server: u8,
        incarnation: u32,
    },
    /// The log was read for a learner.
    LogRead {
        server: u8,
        incarnation: u32,
        conn: ConnKey,
        above: u64,
        upto: u64,
    },
    /// A purge begins, or its operation is through.
    PurgeOp {
        server: u8,
        incarnation: u32,
    },
    Client {
        client: u32,
    },
    NewClient {
        slot: u32,
    },
    Restart {
        server: u8,
        incarnation: u32,
    },
    Resume {
        host: u32,
    },
    /// The n-th fault of the plan begins, or ends.
    Fault {
        index: u32,
    },
    FaultOver {
        index: u32,
    },
    /// Look whether the phase of the run is over.
    Phase,
}

#[derive(Clone, Debug, Default)]
pub struct Agenda {
    heap: BinaryHeap<Reverse<(SimTime, u64, What)>>,
    sequence: u64,
}

impl Agenda {
    pub fn push(&mut self, at: SimTime, what: What) {
        self.sequence += 1;
        self.heap.push(Reverse((at, self.sequence, what)));
    }
    pub fn pop(&mut self) -> Option<(SimTime, What)> {
        self.heap.pop().map(|Reverse((at, _, what))| (at, what))
    }
    pub fn len(&self) -> usize {
        self.heap.len()
    }
    pub fn is_empty(&self) -> bool {
        self.heap.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ties_are_taken_in_the_order_they_came() {
        let mut agenda = Agenda::default();
        agenda.push(5, What::Phase);
        agenda.push(3, What::Resume { host: 9 });
        agenda.push(3, What::Resume { host: 1 });
        let order: Vec<_> = std::iter::from_fn(|| agenda.pop()).collect();
        assert_eq!(
            order,
            [(3, What::Resume { host: 9 }), (3, What::Resume { host: 1 }), (5, What::Phase)]
        );
    }
}
