//! What a quorum is: a question asked of the configuration, never a count in the code.

use crate::config::Ensemble;
use crate::ids::ServerId;

/// Do the voters for which `agrees` holds form a quorum of `ensemble`?
// ZK: QuorumMaj.containsQuorum (3.9)
pub fn is_quorum(ensemble: &Ensemble, mut agrees: impl FnMut(ServerId) -> bool) -> bool {
    let mut voters = 0;
    let mut agreed = 0;
    for voter in ensemble.voters() {
        voters += 1;
        agreed += usize::from(agrees(voter));
    }
    agreed > voters / 2
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Member, MemberRole};

    fn ensemble(voters: i64, observers: i64) -> Ensemble {
        let member = |role| Member {
            host: "h".into(),
            quorum_port: 1,
            election_port: 2,
            role,
            client: None,
        };
        let mut e = Ensemble::default();
        for id in 1..=voters {
            e.members.insert(ServerId(id), member(MemberRole::Participant));
        }
        for id in voters + 1..=voters + observers {
            e.members.insert(ServerId(id), member(MemberRole::Observer));
        }
        e
    }

    #[test]
    fn majorities() {
        for (voters, needed) in [(1, 1), (2, 2), (3, 2), (4, 3), (5, 3)] {
            let e = ensemble(voters, 0);
            assert!(is_quorum(&e, |s| s.0 <= needed), "{needed} of {voters}");
            assert!(!is_quorum(&e, |s| s.0 < needed), "{} of {voters}", needed - 1);
        }
    }

    #[test]
    fn observers_count_for_nothing() {
        let e = ensemble(3, 2);
        assert!(!is_quorum(&e, |s| s.0 == 1 || s.0 > 3));
    }
}
