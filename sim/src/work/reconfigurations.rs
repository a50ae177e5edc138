//! Operators who change the ensemble: they read who is in it, and ask for another one. Mostly for one
//! that can be had, now and then for one that cannot, or from a version that has passed.

use zebu_core::ids::ServerId;
use zebu_core::proto::{ErrorCode, ReconfigRequest, Request, Response};

use super::Work;
use crate::decide::Draw;
use crate::model::CONFIG;
use crate::model::membership::Configuration;

/// Nobody has this number.
const STRANGER: ServerId = ServerId(99);
/// An ensemble of fewer can get stuck with a reconfiguration that one of them has not heard of and
/// does not know the others' new leader by; upstream's can too.
const VOTERS_MIN: usize = 3;

impl Work {
    pub(super) fn next_of_ensemble(&mut self, draw: &mut Draw) -> Request {
        match self.ensemble.take().filter(|_| !self.settled) {
            Some(known) => self.change(&known, draw),
            None => Request::GetData { path: CONFIG.into(), watch: draw.one_in(3) },
        }
    }

    pub(super) fn reconfigured(&mut self, result: &Result<Response, ErrorCode>) {
        if let Ok(Response::Data { data: Some(text), .. }) = result {
            self.ensemble = Configuration::parse(text);
        }
    }

    fn change(&mut self, known: &Configuration, draw: &mut Draw) -> Request {
        // Often the version that was read, or any; seldom one that is not there.
        let config_version = match draw.below(8) {
            0..=2 => -1,
            3 => known.version as i64 - 1,
            _ => known.version as i64,
        };
        let mut asked = match known.is_hierarchical() {
            true => regrouped(known, draw),
            false => self.proposal(known, draw),
        };
        asked.config_version = config_version;
        let joins = asked.joining_servers.as_deref().unwrap_or_default();
        let strangers = joins.starts_with(&format!("server.{STRANGER}="));
        let unversioned = ReconfigRequest { config_version: -1, ..asked.clone() };
        if let Ok(next) = known.changed(&unversioned, 0) {
            let (voters, before) = (next.voters().count(), known.voters().count());
            if voters < VOTERS_MIN && !strangers {
                return Request::GetData { path: CONFIG.into(), watch: false };
            }
            if voters < before {
                asked.config_version = known.version as i64;
            }
        }
        if strangers {
            asked.config_version = known.version as i64;
        }
        Request::Reconfig(asked)
    }

    fn proposal(&self, known: &Configuration, draw: &mut Draw) -> ReconfigRequest {
        let all = (1..=self.servers as i64).map(ServerId);
        let (members, others): (Vec<_>, Vec<_>) =
            all.partition(|id| known.members.contains_key(id));
        let (member, other) = (draw.pick(&members).copied(), draw.pick(&others).copied());
        let Some(member) = member else { return incremental(&[], &[]) };
        let role = if draw.one_in(4) { "observer" } else { "participant" };
        let but_one: Vec<_> = members.iter().copied().filter(|id| *id != member).collect();
        match (draw.below(16), other) {
            // Somebody who does not exist, and one other alone: there is no such quorum.
            (0, _) => incremental(&[line(STRANGER, "participant")], &but_one),
            (1, _) => incremental(&[], &but_one),
            (2, Some(other)) => incremental(&[line(other, role).replace(";2181", "")], &[]),
            // Where another one is.
            (3, Some(other)) => {
                let (at, id) = (format!("10.1.0.{other}"), format!("10.1.0.{member}"));
                incremental(&[line(other, role).replace(&at, &id)], &[])
            }
            (4..=6, Some(other)) => incremental(&[line(other, role)], &[member]),
            (7..=10, Some(other)) => incremental(&[line(other, role)], &[]),
            (11, _) => incremental(&[line(member, role)], &[]),
            // All of them anew.
            (12, _) => {
                let stays = |draw: &mut Draw, id: &ServerId| match members.contains(id) {
                    true => !draw.one_in(5),
                    false => draw.one_in(3),
                };
                let all = (1..=self.servers as i64).map(ServerId);
                let chosen = all.filter(|id| stays(draw, id));
                anew(chosen.map(|id| line(id, "participant")).collect())
            }
            _ => incremental(&[], &[member]),
        }
    }
}

/// The same servers in other groups, or weighed otherwise.
fn regrouped(known: &Configuration, draw: &mut Draw) -> ReconfigRequest {
    let voters: Vec<ServerId> = known.voters().collect();
    let members = known.members.iter();
    let mut lines: Vec<String> = members
        .map(|(id, member)| line(*id, if member.votes { "participant" } else { "observer" }))
        .collect();
    let groups = draw.between(1, 3) as usize;
    let mut grouped = vec![Vec::new(); groups];
    for (n, id) in voters.iter().enumerate() {
        let group = if n < groups { n } else { draw.index(groups) };
        grouped[group].push(id.to_string());
    }
    for (n, group) in grouped.iter().enumerate() {
        lines.push(format!("group.{}={}", n + 1, group.join(":")));
    }
    lines.extend(voters.iter().map(|id| format!("weight.{id}={}", draw.between(1, 3))));
    anew(lines)
}

fn line(id: ServerId, role: &str) -> String {
    format!("server.{id}=10.1.0.{id}:2888:3888:{role};2181")
}
fn anew(lines: Vec<String>) -> ReconfigRequest {
    let (joining_servers, leaving_servers) = (None, None);
    let new_members = Some(lines.join(","));
    ReconfigRequest { joining_servers, leaving_servers, new_members, config_version: -1 }
}
fn incremental(joining: &[String], leaving: &[ServerId]) -> ReconfigRequest {
    let list = |parts: Vec<String>| (!parts.is_empty()).then(|| parts.join(","));
    ReconfigRequest {
        joining_servers: list(joining.to_vec()),
        leaving_servers: list(leaving.iter().map(ToString::to_string).collect()),
        new_members: None,
        config_version: -1,
    }
}
