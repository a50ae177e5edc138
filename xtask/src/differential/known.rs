//! Where we differ on purpose. Each entry says why, and excuses only what it describes; whatever
//! else differs is a finding.
//!
//! Not asked, because what follows could not be made alike again:
//! - ids of scheme `ip` that are IPv6 addresses: ZooKeeper takes them from 3.10 on;
//! - names with characters beyond the basic plane: Java writes each as two surrogates. No znode can
//!   have one, but setWatches and sync say again what they were told;
//! - deleteContainer and createSession, which Java carries out for any client, without a check;
//! - anything below `/zookeeper/quota`, where a client's writing can stop Java for good.

use zebu_core::proto::{ErrorCode, OpCode, Request};

use super::play::Said;
use super::sequence::{Action, Step};

pub(super) struct Known {
    pub(super) what: &'static str,
    /// What Java and we said to this step: does it show here, and what makes the two alike again?
    pub(super) remedies: fn(&Step, &Said, &Said) -> Vec<Remedy>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Remedy {
    /// Java used this zxid, and we none.
    Discount(i64),
    /// What the step's session was told is not compared, and it connects anew at both servers.
    Reconnect,
}

pub(super) const KNOWN: &[Known] = &[
    // Ours keeps the connection: a client that asks for something new has done nothing wrong, and
    // its watches have not deserved to go.
    Known {
        what: "an unknown opcode is answered with zxid -1, and closes the connection",
        remedies: |step, java, zebu| {
            let (java_replies, zebu_replies) = (java.replies(), zebu.replies());
            let refused = matches!(java_replies[..], [(-1, Err(ErrorCode::UNIMPLEMENTED))])
                && matches!(zebu_replies[..], [(_, Err(ErrorCode::UNIMPLEMENTED))]);
            let ended = (java.ended(), zebu.ended());
            let raw = matches!(step.action, Action::Raw { .. });
            if raw && refused && ended == (true, false) { vec![Remedy::Reconnect] } else { vec![] }
        },
    },
    // A request that cannot be read needs no transaction to be refused. Java does without one too,
    // except for multi: it has drawn the zxid before it reads the body.
    Known {
        what: "a multi that cannot be read uses a zxid",
        remedies: |step, java, zebu| {
            let unreadable = Err(ErrorCode::MARSHALLING_ERROR);
            let pairs = java.replies().into_iter().zip(zebu.replies());
            pairs
                .enumerate()
                .filter(|(at, ((_, java), (_, zebu)))| {
                    is_multi(step, *at) && **java == unreadable && **zebu == unreadable
                })
                .map(|(_, ((zxid, _), _))| Remedy::Discount(zxid))
                .collect()
        },
    },
];

/// Was the `at`th request of the step a multi?
fn is_multi(step: &Step, at: usize) -> bool {
    match &step.action {
        Action::Ask(requests) => matches!(requests.get(at), Some(Request::Multi(_))),
        Action::Cut { request, .. } => matches!(request, Request::Multi(_)),
        Action::Raw { opcode, .. } => *opcode == OpCode::Multi.number(),
        Action::Connect(_) => false,
    }
}
