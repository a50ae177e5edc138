//! Reading an ensemble: the value of a `server.N=` line, and the whole text that servers tell each
//! other and keep in `/zookeeper/config`. Writing it is [`Ensemble::text`].
//!
// ZK: QuorumPeer.QuorumServer, QuorumPeer.configFromString, QuorumPeerConfig.parseDynamicConfig (3.9)

use alloc::borrow::ToOwned;
use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use core::net::Ipv6Addr;

use super::{Ensemble, Hierarchy, Member, MemberRole};
use crate::ids::ServerId;

const FORM: &str = "host:quorumPort:electionPort[:participant|observer][;[clientHost:]clientPort]";

/// More lines than any ensemble has members.
const LINES_MAX: usize = 4096;

impl Member {
    /// Reads `host:port:port[:role][;[clientHost:]clientPort]`; IPv6 hosts stand in brackets.
    // ZK: QuorumPeer.QuorumServer.initializeWithAddressString (3.9)
    pub fn parse(value: &str) -> Result<Self, String> {
        let mut clients = value.split(';');
        let server = clients.next().unwrap_or_default();
        let client = clients.next().unwrap_or_default().trim();
        let secure = clients.next().unwrap_or_default().trim();
        if !secure.is_empty() {
            return Err(format!("a secure client port (;;{secure}) is not carried out by Zebu"));
        }
        if clients.next().is_some() {
            return Err(format!("expected {FORM}, found a third ';'"));
        }
        if server.contains('|') {
            return Err("several addresses of one server (a|b) are not carried out by Zebu".into());
        }

        let parts = split_host(server.trim())?;
        let (host, quorum, election, role) = match parts.as_slice() {
            [host, quorum, election] => (host, quorum, election, MemberRole::Participant),
            [host, quorum, election, role] => (host, quorum, election, MemberRole::parse(role)?),
            _ => return Err(format!("expected {FORM}")),
        };
        let (quorum_port, election_port) =
            (parse_port("a quorum port", quorum)?, parse_port("an election port", election)?);
        if quorum_port == election_port {
            let what = "quorum and election port are both";
            return Err(format!("{what} {quorum_port}, they must differ"));
        }
        let client = if client.is_empty() { None } else { Some(parse_client(client)?) };
        Ok(Self { host: host.clone(), quorum_port, election_port, role, client })
    }
}

impl MemberRole {
    pub fn parse(role: &str) -> Result<Self, String> {
        match role.trim().to_lowercase().as_str() {
            "participant" => Ok(Self::Participant),
            "observer" => Ok(Self::Observer),
            _ => Err(format!("expected the role participant or observer, found {role:?}")),
        }
    }
}

impl ServerId {
    /// The number behind `server.`.
    pub fn parse(text: &str) -> Result<Self, String> {
        match text.trim().parse::<i64>() {
            Ok(id) => Ok(Self(id)),
            Err(_) => Err(format!("expected a server's number, found {text:?}")),
        }
    }
}

pub fn parse_port(what: &str, text: &str) -> Result<u16, String> {
    match text.trim().parse::<u16>() {
        Ok(port) if port != 0 => Ok(port),
        _ => Err(format!("expected {what} from 1 to 65535, found {text:?}")),
    }
}

/// `port` or `host:port`; a port alone means every address, as upstream writes it.
fn parse_client(text: &str) -> Result<(String, u16), String> {
    match split_host(text)?.as_slice() {
        [port] => Ok(("0.0.0.0".into(), parse_port("a client port", port)?)),
        [host, port] => Ok((host.clone(), parse_port("a client port", port)?)),
        _ => Err(format!("expected a client address [host:]port behind ';', found {text:?}")),
    }
}

/// The parts between colons, where a first part in brackets may hold colons itself.
fn split_host(text: &str) -> Result<Vec<String>, String> {
    let Some(rest) = text.strip_prefix('[') else {
        return Ok(text.split(':').map(|part| part.trim().to_owned()).collect());
    };
    let Some((host, rest)) = rest.split_once(']') else {
        return Err(format!("expected ']' behind the IPv6 address in {text:?}"));
    };
    if host.parse::<Ipv6Addr>().is_err() {
        return Err(format!("expected an IPv6 address in brackets, found {host:?}"));
    }
    let mut parts = vec![host.to_owned()];
    match rest.strip_prefix(':') {
        Some(rest) => parts.extend(rest.split(':').map(|part| part.trim().to_owned())),
        None if rest.is_empty() => {}
        None => return Err(format!("expected ':' behind ']' in {text:?}")),
    }
    Ok(parts)
}

impl Ensemble {
    /// Reads what [`Ensemble::text`] writes, upstream's servers write, and operators ask for.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut ensemble = Self::default();
        let mut hierarchy = Hierarchy::default();
        let lines = text.lines().map(str::trim);
        for (n, line) in lines.filter(|line| !line.is_empty() && !line.starts_with('#')).enumerate()
        {
            if n == LINES_MAX {
                return Err(format!("expected at most {LINES_MAX} lines"));
            }
            let Some((key, value)) = line.split_once('=') else {
                return Err(format!("expected server.N=…, found {line:?}"));
            };
            let (key, value) = (key.trim(), value.trim());
            ensemble
                .take_in(key, value, &mut hierarchy)
                .map_err(|what| format!("{key}: {what}"))?;
        }
        if hierarchy != Hierarchy::default() {
            ensemble.hierarchy = Some(hierarchy);
        }
        ensemble.check()?;
        Ok(ensemble)
    }

    fn take_in(&mut self, key: &str, value: &str, tree: &mut Hierarchy) -> Result<(), String> {
        match key.split_once('.') {
            Some(("server", id)) => {
                let id = ServerId::parse(id)?;
                match self.members.insert(id, Member::parse(value)?) {
                    None => Ok(()),
                    Some(_) => Err("it is there twice".into()),
                }
            }
            Some(("group", number)) => {
                let number = number.parse().map_err(|_| "expected group.N".to_owned())?;
                let members: Result<BTreeSet<_>, _> =
                    value.split(':').map(ServerId::parse).collect();
                tree.groups.entry(number).or_default().extend(members?);
                Ok(())
            }
            Some(("weight", id)) => {
                let weight = value.parse().map_err(|_| "expected a whole number from 0".to_owned());
                tree.weights.insert(ServerId::parse(id)?, weight?);
                Ok(())
            }
            None if key == "version" => {
                self.version = u64::from_str_radix(value, 16)
                    .map_err(|_| format!("expected a hexadecimal number, found {value:?}"))?;
                Ok(())
            }
            _ => Err("expected server.N, group.N, weight.N or version".into()),
        }
    }

    /// Could this ensemble do anything?
    fn check(&self) -> Result<(), String> {
        if !self.voters().any(|id| self.has_say(id)) {
            return Err("expected at least one participant that can be elected".into());
        }
        let Some(hierarchy) = &self.hierarchy else { return Ok(()) };
        let mut grouped = BTreeSet::new();
        for (group, members) in &hierarchy.groups {
            for id in members {
                if !self.members.contains_key(id) {
                    return Err(format!("group.{group}: there is no server.{id}"));
                }
                if !grouped.insert(*id) {
                    return Err(format!("group.{group}: server {id} is in another group already"));
                }
            }
        }
        match self.voters().find(|id| !grouped.contains(id)) {
            None => Ok(()),
            Some(id) => Err(format!("server.{id} is in no group")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    fn member(
        host: &str,
        ports: (u16, u16),
        role: MemberRole,
        client: Option<(&str, u16)>,
    ) -> Member {
        Member {
            host: host.into(),
            quorum_port: ports.0,
            election_port: ports.1,
            role,
            client: client.map(|(host, port)| (host.into(), port)),
        }
    }

    #[test]
    fn good_lines() {
        use MemberRole::{Observer, Participant};
        let cases = [
            ("zoo1:2888:3888", member("zoo1", (2888, 3888), Participant, None)),
            ("zoo1:2888:3888:observer", member("zoo1", (2888, 3888), Observer, None)),
            (" zoo1 : 2888 : 3888 ", member("zoo1", (2888, 3888), Participant, None)),
            (
                "10.0.0.1:2888:3888:participant;2181",
                member("10.0.0.1", (2888, 3888), Participant, Some(("0.0.0.0", 2181))),
            ),
            (
                "[2001:db8::1]:2888:3888;[::1]:2181",
                member("2001:db8::1", (2888, 3888), Participant, Some(("::1", 2181))),
            ),
            ("z:1:2:PARTICIPANT;h:3;", member("z", (1, 2), Participant, Some(("h", 3)))),
        ];
        for (line, expected) in cases {
            assert_eq!(Member::parse(line), Ok(expected), "{line}");
        }
    }

    #[test]
    fn bad_lines_say_what_was_expected() {
        let cases = [
            ("zoo1:2888", "expected host:quorumPort:electionPort"),
            ("zoo1", "expected host:quorumPort:electionPort"),
            ("zoo1:x:3888", "expected a quorum port from 1 to 65535, found \"x\""),
            ("zoo1:2888:70000", "expected an election port from 1 to 65535"),
            ("zoo1:2888:2888", "must differ"),
            ("zoo1:2888:3888:witness", "participant or observer, found \"witness\""),
            ("a:1:2|b:1:2", "several addresses"),
            ("a:1:2;;2281", "secure client port"),
            ("a:1:2;h:x", "expected a client port"),
            ("[2001:db8::1:2888:3888", "expected ']'"),
            ("[nonsense]:2888:3888", "expected an IPv6 address"),
        ];
        for (line, expected) in cases {
            let error = Member::parse(line).expect_err(line);
            assert!(error.contains(expected), "{line}: {error}");
        }
    }

    #[test]
    fn a_text_is_read_as_it_was_written() {
        let plain = "server.1=h:1:2:participant;0.0.0.0:2181\nserver.2=h:3:4:observer\nversion=1f";
        let groups = "server.1=h:1:2:participant\nserver.2=h:3:4:participant\n\
                      server.3=h:5:6:participant\ngroup.1=1:2\ngroup.2=3\n\
                      weight.1=1\nweight.2=2\nweight.3=0\nversion=100000004";
        for text in [plain, groups] {
            let ensemble = Ensemble::parse(text).unwrap_or_else(|what| panic!("{what}: {text}"));
            assert_eq!(ensemble.text(), text);
        }
        assert_eq!(Ensemble::parse(plain).map(|ensemble| ensemble.version), Ok(0x1f));
    }

    #[test]
    fn bad_texts_say_what_was_expected() {
        let cases = [
            ("", "at least one participant"),
            ("server.1=h:1:2:observer", "at least one participant"),
            ("server.x=h:1:2", "server.x: expected a server's number"),
            ("server.1=h:1:2\nserver.1=h:3:4", "twice"),
            ("server.1=h:1:2\nversion=xyz", "version: expected a hexadecimal number"),
            ("server.1=h:1:2\ntickTime=3", "expected server.N, group.N"),
            ("server.1=h:1:2\nnonsense", "found \"nonsense\""),
            ("server.1=h:1:2\ngroup.1=1:2", "there is no server.2"),
            ("server.1=h:1:2\ngroup.1=1\ngroup.2=1", "another group"),
            ("server.1=h:1:2\nserver.2=h:3:4\ngroup.1=1", "server.2 is in no group"),
            ("server.1=h:1:2\ngroup.1=1\nweight.1=0", "at least one participant"),
        ];
        for (text, expected) in cases {
            let error = Ensemble::parse(text).expect_err(text).to_string();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }
}
