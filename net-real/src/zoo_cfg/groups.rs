//! Hierarchical quorums: the lines `group.N=id:id` and `weight.id=N`.

use std::collections::BTreeMap;

use zebu_core::config::{Ensemble, Hierarchy, MemberRole};
use zebu_core::ids::ServerId;

use super::{Properties, Reader, parse_id};

impl Reader {
    /// Gives `ensemble` its groups, if there are any. `keys` is where its members come from.
    // ZK: QuorumHierarchical.parse (3.9)
    pub(super) fn groups(&mut self, keys: &Properties, ensemble: &mut Ensemble) {
        let family = |prefix: &'static str| {
            keys.iter().filter_map(move |(key, at)| Some((key.strip_prefix(prefix)?, key, at)))
        };
        let Some((_, _, first)) = family("group.").chain(family("weight.")).next() else { return };
        let mut hierarchy = Hierarchy::default();
        for (id, key, at) in family("weight.") {
            match (parse_id(id), at.value.parse::<u32>()) {
                (Ok(id), Ok(weight)) => {
                    if !ensemble.members.contains_key(&id) {
                        self.warn(&at.file, at.line, format!("{key}: there is no server.{id}"));
                    }
                    hierarchy.weights.insert(id, weight);
                }
                (Err(what), _) => self.error(&at.file, at.line, format!("{key}: {what}")),
                (_, Err(_)) => {
                    let what =
                        format!("{key}: expected a whole number from 0, found {:?}", at.value);
                    self.error(&at.file, at.line, what);
                }
            }
        }
        let mut group_of = BTreeMap::new();
        for (number, key, at) in family("group.") {
            let Ok(group) = number.parse::<i64>() else {
                let what = format!("{key}: expected a number behind \"group.\"");
                self.error(&at.file, at.line, what);
                continue;
            };
            for id in at.value.split(':') {
                match grouped(id, &mut group_of, group, &hierarchy, ensemble) {
                    Ok(id) => {
                        hierarchy.groups.entry(group).or_default().insert(id);
                    }
                    Err(what) => self.error(&at.file, at.line, format!("{key}: {what}")),
                }
            }
        }
        for id in ensemble.voters().filter(|id| !group_of.contains_key(id)) {
            let at = keys.get(&format!("server.{id}")).unwrap_or(first);
            let what = format!(
                "server.{id} is in no group: with group.N lines every participant must be in one"
            );
            self.error(&at.file, at.line, what);
        }
        ensemble.hierarchy = Some(hierarchy);
        if !ensemble.members.is_empty() && !ensemble.voters().any(|id| ensemble.has_say(id)) {
            let what = "no participant has a weight above 0: nobody could be elected";
            self.error(&first.file, first.line, what);
        }
    }
}

/// One server of a `group.N` line.
fn grouped(
    id: &str,
    group_of: &mut BTreeMap<ServerId, i64>,
    group: i64,
    hierarchy: &Hierarchy,
    ensemble: &Ensemble,
) -> Result<ServerId, String> {
    let id = parse_id(id.trim())?;
    // Upstream ends with a NullPointerException for the first two.
    let Some(member) = ensemble.members.get(&id) else {
        return Err(format!("there is no server.{id}"));
    };
    if member.role == MemberRole::Observer && !hierarchy.weights.contains_key(&id) {
        return Err(format!("server {id} is an observer, which weighs nothing: leave it out"));
    }
    match group_of.insert(id, group) {
        None => Ok(id),
        Some(before) => Err(format!("server {id} is in group.{before} already")),
    }
}
