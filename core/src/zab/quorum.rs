//! What a quorum is: a question asked of the configuration, never a count in the code.

use crate::config::{Ensemble, Hierarchy};
use crate::ids::ServerId;

/// Do the voters for which `agrees` holds form a quorum of `ensemble`? Each is asked at most once.
pub fn is_quorum(ensemble: &Ensemble, agrees: impl FnMut(ServerId) -> bool) -> bool {
    match &ensemble.hierarchy {
        None => is_majority(ensemble, agrees),
        Some(hierarchy) => is_majority_of_groups(ensemble, hierarchy, agrees),
    }
}

// ZK: QuorumMaj.containsQuorum (3.9)
fn is_majority(ensemble: &Ensemble, mut agrees: impl FnMut(ServerId) -> bool) -> bool {
    let mut voters = 0;
    let mut agreed = 0;
    for voter in ensemble.voters() {
        voters += 1;
        agreed += usize::from(agrees(voter));
    }
    agreed > voters / 2
}

/// More than half of the weight in each of more than half of the groups that have any.
// ZK: QuorumHierarchical.containsQuorum (3.9)
fn is_majority_of_groups(
    ensemble: &Ensemble,
    hierarchy: &Hierarchy,
    mut agrees: impl FnMut(ServerId) -> bool,
) -> bool {
    let (mut groups, mut won) = (0, 0);
    for members in hierarchy.groups.values() {
        let (mut whole, mut agreed) = (0, 0);
        for &member in members {
            let weight = u64::from(ensemble.weight(member));
            whole += weight;
            if ensemble.is_voter(member) && agrees(member) {
                agreed += weight;
            }
        }
        if whole > 0 {
            groups += 1;
            won += usize::from(agreed > whole / 2);
        }
    }
    won > groups / 2
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

    /// Voters 1 to 9 in groups of three, and what some of them weigh.
    fn in_threes(weights: &[(i64, u32)]) -> Ensemble {
        let ids = |from: i64| (from..from + 3).map(ServerId).collect();
        let hierarchy = Hierarchy {
            groups: [(1, ids(1)), (2, ids(4)), (3, ids(7))].into(),
            weights: weights.iter().map(|(id, weight)| (ServerId(*id), *weight)).collect(),
        };
        Ensemble { hierarchy: Some(hierarchy), ..ensemble(9, 1) }
    }
    fn agree(e: &Ensemble, ids: &[i64]) -> bool {
        is_quorum(e, |s| ids.contains(&s.0))
    }

    #[test]
    fn most_of_most_groups() {
        let e = in_threes(&[]);
        for (ids, enough) in [
            (&[1, 2, 4, 5][..], true),
            (&[1, 3, 8, 9], true),
            // A majority of the servers, and of one group only.
            (&[1, 2, 3, 4, 7], false),
            (&[1, 2, 3], false),
            (&[1, 4, 7], false),
            (&[], false),
        ] {
            assert_eq!(agree(&e, ids), enough, "{ids:?}");
        }
    }

    #[test]
    fn weights_decide_within_a_group_and_groups_without_weight_do_not_exist() {
        let e = in_threes(&[(1, 3), (7, 0), (8, 0), (9, 0)]);
        for (ids, enough) in [
            // Server 1 outweighs 2 and 3; of two groups it takes both.
            (&[1, 4, 5][..], true),
            (&[2, 3, 4, 5], false),
            (&[1, 7, 8, 9], false),
        ] {
            assert_eq!(agree(&e, ids), enough, "{ids:?}");
        }
        // Half of the weight is not more than half.
        let e = in_threes(&[(1, 2)]);
        assert!(!agree(&e, &[1, 4]));
        assert!(!agree(&e, &[2, 3, 4, 5]));
        assert!(agree(&e, &[1, 2, 4, 5]));
    }

    /// Two quorums share a server, whatever the weights: all pairs of a small hierarchy.
    #[test]
    fn quorums_intersect() {
        let e = in_threes(&[(1, 3), (2, 0), (6, 2), (9, 0)]);
        let quorum = |set: u32| is_quorum(&e, |s| s.0 <= 9 && set >> (s.0 - 1) & 1 == 1);
        let quorums = (0..1 << 9).filter(|set| quorum(*set)).count();
        assert!(quorums > 0);
        for set in 0..1 << 9 {
            assert!(!(quorum(set) && quorum(!set)), "{set:b} and the others are quorums both");
        }
    }
}
