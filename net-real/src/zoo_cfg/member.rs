//! The value of a `server.N=` line (upstream: `QuorumPeer.QuorumServer`).

use zebu_core::config::{Member, MemberRole};

const FORM: &str = "host:quorumPort:electionPort[:participant|observer][;[clientHost:]clientPort]";

/// Reads `host:port:port[:role][;[clientHost:]clientPort]`; IPv6 hosts stand in brackets.
// ZK: QuorumPeer.QuorumServer.initializeWithAddressString (3.9)
pub(super) fn parse(value: &str) -> Result<Member, String> {
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
        [host, quorum, election, role] => (host, quorum, election, parse_role(role)?),
        _ => return Err(format!("expected {FORM}")),
    };
    let (quorum_port, election_port) =
        (parse_port("a quorum port", quorum)?, parse_port("an election port", election)?);
    if quorum_port == election_port {
        return Err(format!("quorum and election port are both {quorum_port}, they must differ"));
    }
    let client = if client.is_empty() { None } else { Some(parse_client(client)?) };
    Ok(Member { host: host.clone(), quorum_port, election_port, role, client })
}

pub(super) fn parse_role(role: &str) -> Result<MemberRole, String> {
    match role.trim().to_lowercase().as_str() {
        "participant" => Ok(MemberRole::Participant),
        "observer" => Ok(MemberRole::Observer),
        _ => Err(format!("expected the role participant or observer, found {role:?}")),
    }
}

pub(super) fn parse_port(what: &str, text: &str) -> Result<u16, String> {
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
    if host.parse::<std::net::Ipv6Addr>().is_err() {
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

#[cfg(test)]
mod tests {
    use super::*;

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
            assert_eq!(parse(line), Ok(expected), "{line}");
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
            let error = parse(line).expect_err(line);
            assert!(error.contains(expected), "{line}: {error}");
        }
    }
}
