//! Who is in the ensemble, in which role, and what each one's word weighs. The answer to "is that a
//! quorum?" stands in [`crate::zab::quorum`].

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt::{self, Write};

use serde::{Deserialize, Serialize};

use crate::ids::ServerId;

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum MemberRole {
    Participant,
    Observer,
}

/// One `server.N=` line. Hosts are text: only the driver resolves them.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Member {
    pub host: String,
    pub quorum_port: u16,
    pub election_port: u16,
    pub role: MemberRole,
    /// `;host:port` of the line, if it was there.
    pub client: Option<(String, u16)>,
}

impl Member {
    /// Do two servers have an address in common? One that means every address says nothing.
    // ZK: QuorumPeer.QuorumServer.checkAddressDuplicate (3.9)
    pub fn collides_with(&self, other: &Self) -> bool {
        let theirs: Vec<_> = other.addresses().collect();
        self.addresses().any(|address| theirs.contains(&address))
    }
    fn addresses(&self) -> impl Iterator<Item = (&str, u16)> {
        let client = self.client.as_ref().map(|(host, port)| (host.as_str(), *port));
        let own =
            [(self.host.as_str(), self.quorum_port), (self.host.as_str(), self.election_port)];
        own.into_iter().chain(client).filter(|(host, _)| !matches!(*host, "0.0.0.0" | "::"))
    }
}

/// `group.N=` and `weight.N=` lines (upstream: `QuorumHierarchical`).
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Hierarchy {
    /// Every participant is in exactly one.
    pub groups: BTreeMap<i64, BTreeSet<ServerId>>,
    /// A participant that is not named weighs 1.
    pub weights: BTreeMap<ServerId, u32>,
}

/// Who is in the ensemble (upstream: `QuorumVerifier`). Its text form is part of election messages.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Ensemble {
    pub members: BTreeMap<ServerId, Member>,
    /// Without one a quorum is a majority of the participants.
    pub hierarchy: Option<Hierarchy>,
    /// 0 unless reconfiguration gave it one.
    pub version: u64,
}

impl Ensemble {
    pub fn voters(&self) -> impl Iterator<Item = ServerId> + '_ {
        self.members.iter().filter(|(_, m)| m.role == MemberRole::Participant).map(|(id, _)| *id)
    }
    pub fn is_voter(&self, id: ServerId) -> bool {
        self.members.get(&id).is_some_and(|m| m.role == MemberRole::Participant)
    }
    /// A voter whose word weighs something: only such a one can be elected, or outvote anybody.
    // ZK: FastLeaderElection.totalOrderPredicate (3.9)
    pub fn has_say(&self, id: ServerId) -> bool {
        self.is_voter(id) && self.weight(id) > 0
    }
    // ZK: QuorumHierarchical.parse (3.9)
    pub fn weight(&self, id: ServerId) -> u32 {
        let named = self.hierarchy.as_ref().and_then(|h| h.weights.get(&id));
        named.copied().unwrap_or(u32::from(self.is_voter(id)))
    }
    /// As what a server takes part. One that is not listed is about to join as a participant.
    pub fn role_of(&self, id: ServerId) -> MemberRole {
        self.members.get(&id).map_or(MemberRole::Participant, |member| member.role)
    }
    /// A server alone: an ensemble of one.
    pub fn is_alone(&self) -> bool {
        self.members.len() <= 1
    }
    /// Upstream's text: a line for each member, then groups and weights if there are any, then
    /// `version=` in hexadecimal, no newline at the end.
    // ZK: QuorumMaj.toString, QuorumHierarchical.toString (3.9)
    pub fn text(&self) -> String {
        let mut text = String::new();
        for (id, member) in &self.members {
            let role = match member.role {
                MemberRole::Participant => "participant",
                MemberRole::Observer => "observer",
            };
            let host = BracketedHost(&member.host);
            let (quorum, election) = (member.quorum_port, member.election_port);
            let _ = write!(text, "server.{id}={host}:{quorum}:{election}:{role}");
            if let Some((client, port)) = &member.client {
                let _ = write!(text, ";{}:{port}", BracketedHost(client));
            }
            text.push('\n');
        }
        if let Some(hierarchy) = &self.hierarchy {
            self.put_hierarchy(hierarchy, &mut text);
        }
        let _ = write!(text, "version={:x}", self.version);
        text
    }

    fn put_hierarchy(&self, hierarchy: &Hierarchy, text: &mut String) {
        for (group, members) in &hierarchy.groups {
            let members: Vec<_> = members.iter().map(ToString::to_string).collect();
            let _ = writeln!(text, "group.{group}={}", members.join(":"));
        }
        let named = hierarchy.weights.keys().copied();
        for id in self.voters().chain(named).collect::<BTreeSet<_>>() {
            let _ = writeln!(text, "weight.{id}={}", self.weight(id));
        }
    }

    /// `host:electionPort` of a member, as the election handshake carries it.
    pub fn election_address(&self, id: ServerId) -> Option<String> {
        let member = self.members.get(&id)?;
        Some(alloc::format!("{}:{}", BracketedHost(&member.host), member.election_port))
    }
}

/// A host as it stands before a colon: IPv6 literals in brackets.
struct BracketedHost<'a>(&'a str);

impl fmt::Display for BracketedHost<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.contains(':') && !self.0.starts_with('[') {
            write!(f, "[{}]", self.0)
        } else {
            f.write_str(self.0)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_names_groups_and_every_voters_weight() {
        let member = |role| Member {
            host: "h".into(),
            quorum_port: 1,
            election_port: 2,
            role,
            client: None,
        };
        let mut ensemble = Ensemble { version: 0x1f, ..Ensemble::default() };
        for id in 1..=3 {
            ensemble.members.insert(ServerId(id), member(MemberRole::Participant));
        }
        ensemble.members.insert(ServerId(4), member(MemberRole::Observer));
        let servers = "server.1=h:1:2:participant\nserver.2=h:1:2:participant\n\
                       server.3=h:1:2:participant\nserver.4=h:1:2:observer\n";
        assert_eq!(ensemble.text(), alloc::format!("{servers}version=1f"));
        ensemble.hierarchy = Some(Hierarchy {
            groups: [(1, [ServerId(1), ServerId(3)].into()), (2, [ServerId(2)].into())].into(),
            weights: [(ServerId(3), 0)].into(),
        });
        let hierarchy = "group.1=1:3\ngroup.2=2\nweight.1=1\nweight.2=1\nweight.3=0\n";
        assert_eq!(ensemble.text(), alloc::format!("{servers}{hierarchy}version=1f"));
        let say: Vec<_> = (1..=5).map(|id| ensemble.has_say(ServerId(id))).collect();
        assert_eq!(say, [true, true, false, false, false]);
    }
}
