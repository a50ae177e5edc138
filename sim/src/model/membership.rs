//! Who is in the ensemble, as the text in `/zookeeper/config` says it, and what a reconfiguration makes
//! of it. Read, written and judged apart from the core's own code, on purpose.
//!
//! Not here: whether enough of the servers that are asked for are there, which only a leader knows.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use zebu_core::ids::ServerId;
use zebu_core::proto::{ErrorCode, ReconfigRequest};

/// Voters in their groups, with their weights; a majority of all is one group in which all weigh the
/// same.
pub type Groups = Vec<BTreeMap<ServerId, u32>>;

/// More than half of the weight, in more than half of the groups that have any? Checkers go by
/// this, and not by what core thinks.
pub fn is_quorum(groups: &Groups, mut has: impl FnMut(ServerId) -> bool) -> bool {
    let groups = groups.iter().filter(|group| group.values().any(|weight| *weight > 0));
    let groups: Vec<_> = groups.collect();
    let won = groups.iter().filter(|group| {
        let for_it = group.iter().filter(|(id, _)| has(**id)).map(|(_, w)| *w).sum::<u32>();
        2 * for_it > group.values().sum::<u32>()
    });
    2 * won.count() > groups.len()
}
/// Is it a voter?
pub fn votes(groups: &Groups, id: ServerId) -> bool {
    groups.iter().any(|group| group.contains_key(&id))
}
/// A voter that could be elected, or tip the balance?
pub fn has_say(groups: &Groups, id: ServerId) -> bool {
    groups.iter().any(|group| group.get(&id).is_some_and(|weight| *weight > 0))
}

/// One version of the ensemble.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Configuration {
    pub members: BTreeMap<ServerId, Member>,
    groups: BTreeMap<i64, BTreeSet<ServerId>>,
    weights: BTreeMap<ServerId, u32>,
    pub version: u64,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Member {
    host: String,
    /// For learners, and for elections.
    ports: [u16; 2],
    pub votes: bool,
    client: Option<(String, u16)>,
}

impl Member {
    fn parse(text: &str) -> Option<Self> {
        let (server, client) = match text.split_once(';') {
            Some((server, client)) => (server, Some(client)),
            None => (text, None),
        };
        let mut parts = server.split(':');
        let host = parts.next()?.to_owned();
        let ports = [parts.next()?.parse().ok()?, parts.next()?.parse().ok()?];
        let votes = match parts.next() {
            None | Some("participant") => true,
            Some("observer") => false,
            Some(_) => return None,
        };
        let client =
            match client.map(|client| client.rsplit_once(':').unwrap_or(("0.0.0.0", client))) {
                None => None,
                Some((host, port)) => Some((host.to_owned(), port.parse().ok()?)),
            };
        (parts.next().is_none() && ports[0] != ports[1]).then_some(Self {
            host,
            ports,
            votes,
            client,
        })
    }
    /// Ports with the addresses that they are at.
    fn addresses(&self) -> Vec<(&str, u16)> {
        let own = self.ports.iter().map(|port| (self.host.as_str(), *port));
        let client = self.client.iter().map(|(host, port)| (host.as_str(), *port));
        own.chain(client).filter(|(host, _)| *host != "0.0.0.0").collect()
    }
}

impl Configuration {
    pub fn parse(text: &[u8]) -> Option<Self> {
        let mut read = Self::default();
        for line in std::str::from_utf8(text).ok()?.lines() {
            let (key, value) = line.split_once('=')?;
            match key.split_once('.') {
                Some(("server", id)) => {
                    let id = ServerId(id.parse().ok()?);
                    if read.members.insert(id, Member::parse(value)?).is_some() {
                        return None;
                    }
                }
                Some(("group", number)) => {
                    let ids = value.split(':').map(|id| Some(ServerId(id.parse().ok()?)));
                    read.groups.insert(number.parse().ok()?, ids.collect::<Option<_>>()?);
                }
                Some(("weight", id)) => {
                    read.weights.insert(ServerId(id.parse().ok()?), value.parse().ok()?);
                }
                None if key == "version" => read.version = u64::from_str_radix(value, 16).ok()?,
                _ => return None,
            }
        }
        let grouped = |id: &ServerId| read.groups.values().filter(|g| g.contains(id)).count();
        let whole = read.groups.is_empty() || read.voters().all(|id| grouped(&id) == 1);
        let known = read.groups.values().flatten().all(|id| read.members.contains_key(id));
        let able = read.voters().any(|id| has_say(&read.electorate(), id));
        (whole && known && able).then_some(read)
    }

    /// As it stands in the node.
    pub fn text(&self) -> String {
        let mut text = String::new();
        for (ServerId(id), member) in &self.members {
            let Member { host, ports: [quorum, election], votes, client } = member;
            let role = if *votes { "participant" } else { "observer" };
            let _ = write!(text, "server.{id}={host}:{quorum}:{election}:{role}");
            if let Some((host, port)) = client {
                let _ = write!(text, ";{host}:{port}");
            }
            text.push('\n');
        }
        for (number, group) in &self.groups {
            let ids: Vec<String> = group.iter().map(|ServerId(id)| id.to_string()).collect();
            let _ = writeln!(text, "group.{number}={}", ids.join(":"));
        }
        let weighed: BTreeSet<ServerId> = match self.groups.is_empty() {
            true => BTreeSet::new(),
            false => self.voters().chain(self.weights.keys().copied()).collect(),
        };
        for id in weighed {
            let _ = writeln!(text, "weight.{id}={}", self.weight(id));
        }
        let _ = write!(text, "version={:x}", self.version);
        text
    }

    pub fn voters(&self) -> impl Iterator<Item = ServerId> + '_ {
        self.members.iter().filter(|(_, member)| member.votes).map(|(id, _)| *id)
    }
    fn weight(&self, id: ServerId) -> u32 {
        let votes = self.members.get(&id).is_some_and(|member| member.votes);
        self.weights.get(&id).copied().unwrap_or(u32::from(votes))
    }
    pub fn electorate(&self) -> Groups {
        if self.groups.is_empty() {
            return vec![self.voters().map(|id| (id, 1)).collect()];
        }
        let voters: BTreeSet<ServerId> = self.voters().collect();
        let weighed = |group: &BTreeSet<ServerId>| {
            group.intersection(&voters).map(|id| (*id, self.weight(*id))).collect()
        };
        self.groups.values().map(weighed).collect()
    }
    pub fn is_hierarchical(&self) -> bool {
        !self.groups.is_empty()
    }

    /// The same servers in the same roles, whatever the version?
    pub fn same_members(&self, other: &Self) -> bool {
        let version = self.version;
        *self == Self { version, ..other.clone() }
    }

    /// What `asked` makes of this one, at `zxid`; or why it is refused, whoever is there.
    // ZK: PrepRequestProcessor.pRequest2Txn (3.9): case reconfig
    pub fn changed(&self, asked: &ReconfigRequest, zxid: u64) -> Result<Self, ErrorCode> {
        if asked.config_version != -1 && asked.config_version != self.version as i64 {
            return Err(ErrorCode::BAD_VERSION);
        }
        let next = match &asked.new_members {
            Some(members) => Self::parse(members.replace(',', "\n").as_bytes()),
            None => self.incremental(asked),
        };
        let next = next.filter(|next| next.voters().count() >= 2);
        let next = next.ok_or(ErrorCode::BAD_ARGUMENTS)?;
        Ok(Self { version: zxid, ..next })
    }

    fn incremental(&self, asked: &ReconfigRequest) -> Option<Self> {
        if self.is_hierarchical() {
            return None;
        }
        let list = |text: &Option<String>| -> Vec<String> {
            let parts = text.iter().flat_map(|text| text.split(','));
            parts.filter(|part| !part.is_empty()).map(str::to_owned).collect()
        };
        let mut next = self.clone();
        for leaving in list(&asked.leaving_servers) {
            next.members.remove(&ServerId(leaving.parse().ok()?));
        }
        for joining in list(&asked.joining_servers) {
            let (key, value) = joining.split_once('=')?;
            let id = ServerId(key.strip_prefix("server.")?.parse().ok()?);
            let member = Member::parse(value).filter(|member| member.client.is_some())?;
            next.members.remove(&id);
            let taken: Vec<_> = next.members.values().flat_map(Member::addresses).collect();
            if member.addresses().iter().any(|address| taken.contains(address)) {
                return None;
            }
            next.members.insert(id, member);
        }
        Some(next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const THREE: &str = "server.1=a:1:2:participant;0.0.0.0:3\nserver.2=b:1:2:participant\n\
                         server.3=c:1:2:observer\nversion=1f";

    fn asked(joining: &str, leaving: &str, version: i64) -> ReconfigRequest {
        ReconfigRequest {
            joining_servers: Some(joining.into()),
            leaving_servers: Some(leaving.into()),
            new_members: None,
            config_version: version,
        }
    }

    /// Two readers that know nothing of each other.
    #[test]
    fn it_reads_and_writes_as_core_does() {
        let grouped = "server.1=a:1:2:participant\nserver.2=b:1:2:participant\n\
                       server.3=c:1:2:participant;d:3\ngroup.1=1:2\ngroup.2=3\n\
                       weight.1=2\nweight.2=1\nweight.3=1\nversion=100000004";
        for text in [THREE, grouped] {
            let read = Configuration::parse(text.as_bytes()).unwrap();
            let cores = zebu_core::config::Ensemble::parse(text).unwrap();
            assert_eq!(read.text(), text);
            assert_eq!(cores.text(), text);
            for set in 0..1_u32 << 4 {
                let has = |id: ServerId| set >> id.0 & 1 == 1;
                let cores = zebu_core::zab::quorum::is_quorum(&cores, has);
                assert_eq!(is_quorum(&read.electorate(), has), cores, "{text}: {set:b}");
            }
        }
        for text in ["", "server.1=a:1:2:observer", "server.1=a:1:1", "server.1=a:1:2\nx"] {
            assert_eq!(Configuration::parse(text.as_bytes()), None, "{text}");
            assert!(zebu_core::config::Ensemble::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_asked_is_done_or_refused() {
        let now = Configuration::parse(THREE.as_bytes()).unwrap();
        let next = now.changed(&asked("server.3=c:1:2;0.0.0.0:3", "1", 0x1f), 0x20).unwrap();
        assert_eq!(next.voters().collect::<Vec<_>>(), [ServerId(2), ServerId(3)]);
        assert_eq!(next.version, 0x20);
        assert!(!next.same_members(&now));
        for (asked, code) in [
            (asked("", "", 7), ErrorCode::BAD_VERSION),
            (asked("", "1", -1), ErrorCode::BAD_ARGUMENTS),
            (asked("server.4=d:1:2", "", -1), ErrorCode::BAD_ARGUMENTS),
            (asked("server.4=a:1:9;3", "", -1), ErrorCode::BAD_ARGUMENTS),
            (asked("nonsense", "", -1), ErrorCode::BAD_ARGUMENTS),
        ] {
            assert_eq!(now.changed(&asked, 0x20), Err(code), "{asked:?}");
        }
    }
}
