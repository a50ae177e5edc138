//! Where we differ on purpose. Each entry says why, and excuses only what it describes; whatever
//! else differs is a finding.
//!
//! Not asked, because what follows could not be made alike again:
//! - ids of scheme `ip` that are IPv6 addresses: ZooKeeper takes them from 3.10 on;
//! - names with characters beyond the basic plane: Java writes each as two surrogates. No znode can
//!   have one, but setWatches and sync say again what they were told;
//! - a sync of a null path, which Java answers with a null path;
//! - anything that is sent before a setACL is answered: Java judges it by the old list or the new
//!   one, depending on whether the setACL was applied by then; ours always by the new one;
//! - what stands behind a createContainer with the flags of an ephemeral: for Java that is one until it
//!   is applied, and a container from then on; for us always a container;
//! - deleteContainer and createSession, which Java carries out for any client, without a check;
//! - what stops Java for good: createTTL with the flags of another kind and a time below 0, and below
//!   `/zookeeper/quota` anything that is not `key=number`;
//! - writes that exceed a hard limit together, at once or in one multi: Java looks at what is applied;
//! - several sequential names at once, or in one multi, under a parent that has no more of them: what is
//!   in flight counts on in Java, to a name that is negative, and what is applied does not; ours never;
//! - at what moment containers and TTL nodes are removed: both are told to wait for longer than a case
//!   takes. What is left in the end is compared in [`super::rounds`].

use zebu_core::proto::{ErrorCode, MultiResult, OpCode, Request, Response};

use super::play::Said;
use super::sequence::{Action, Step};

pub(super) struct Known {
    pub(super) what: &'static str,
    /// What Java and we said to the last step: does it show here, and what makes the two alike?
    pub(super) remedies: fn(&Case<'_>, &Said, &Said) -> Vec<Remedy>,
}

/// A case as far as it has come.
pub(super) struct Case<'a> {
    pub(super) step: &'a Step,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Remedy {
    /// Java used this zxid, and we none.
    Discount(i64),
    /// Both refused the step's only request, in other words, and Java perhaps by a transaction.
    SetReplyAside { java: i64, zebu: i64 },
    /// The order of the events is not compared.
    SortEvents,
}

pub(super) const KNOWN: &[Known] = &[
    // A request that cannot be read needs no transaction to be refused. Java does without one too,
    // except for multi: it has drawn the zxid before it reads the body.
    Known {
        what: "a multi that cannot be read uses a zxid",
        remedies: |case, java, zebu| {
            let unreadable = Err(ErrorCode::MARSHALLING_ERROR);
            let pairs = java.replies().into_iter().zip(zebu.replies());
            pairs
                .enumerate()
                .filter(|(at, ((_, java), (_, zebu)))| {
                    is_multi(case.step, *at) && **java == unreadable && **zebu == unreadable
                })
                .map(|(_, ((zxid, _), _))| Remedy::Discount(zxid))
                .collect()
        },
    },
    // We call it unreadable as soon as it is read. In Java it goes on until something trips over it,
    // before or behind the zxid: setData says BADARGUMENTS, create and delete MARSHALLINGERROR.
    Known {
        what: "a null in the place of a path or a list is refused later",
        remedies: |case, java, zebu| {
            let negative_length = match &case.step.action {
                Action::Spoilt { byte, .. } => *byte >= 0x80,
                Action::Raw { body, .. } => body.contains(&0xFF),
                Action::Ask(_) | Action::Cut { .. } | Action::Longer { .. } => false,
                Action::Connect(_) => false,
            };
            match (&java.replies()[..], &zebu.replies()[..]) {
                ([(java, said)], [(zebu, Err(ErrorCode::MARSHALLING_ERROR))])
                    if negative_length && is_refusal(said) =>
                {
                    vec![Remedy::SetReplyAside { java: *java, zebu: *zebu }]
                }
                _ => vec![],
            }
        },
    },
    // A closing session's ephemerals go in the order of Java's hash table; ours go by name.
    Known {
        what: "the events of a session's end come in any order",
        remedies: |case, java, zebu| {
            let Action::Ask(requests) = &case.step.action else { return vec![] };
            let closes = requests.contains(&Request::CloseSession);
            let own = case.step.session;
            let differ = java.events(own) != zebu.events(own);
            if closes && differ { vec![Remedy::SortEvents] } else { vec![] }
        },
    },
];

/// Was the `at`th request of the step a multi?
fn is_multi(step: &Step, at: usize) -> bool {
    match &step.action {
        Action::Ask(requests) => matches!(requests.get(at), Some(Request::Multi(_))),
        Action::Cut { request, .. }
        | Action::Spoilt { request, .. }
        | Action::Longer { request, .. } => matches!(request, Request::Multi(_)),
        Action::Raw { opcode, .. } => *opcode == OpCode::Multi.number(),
        Action::Connect(_) => false,
    }
}

/// A multi that fails says so inside.
pub(super) fn is_refusal(result: &Result<Response, ErrorCode>) -> bool {
    match result {
        Ok(Response::Multi(parts)) => {
            parts.iter().any(|part| matches!(part, MultiResult::Error(_)))
        }
        result => result.is_err(),
    }
}
