//! Who is in the ensemble, shown and changed as zkCli does: `config` and `reconfig`. What may be asked
//! for, and what becomes of it, is the servers' matter.
//!
// ZK: GetConfigCommand, ReconfigCommand, ConfigUtils.getClientConfigStr (3.9)

use std::io::Write;

use anyhow::{Context, anyhow, bail};

use zebu_core::config::Ensemble;
use zebu_core::proto::{ErrorCode, ReconfigRequest, Request, Response};

use super::session::{Refused, Session};
use super::show::{self, Show};

pub(super) const CONFIG: &str = "/zookeeper/config";

/// zkCli's, whose options have one dash each.
pub(super) const RECONFIG_USAGE: &str = "reconfig [-s] [-v version] [[-file path] | \
    [-members serverID=host:port1:port2;port3[,...]*]] | \
    [-add serverId=host:port1:port2;port3[,...]]* [-remove serverId[,...]*]";

/// Prints what clients of the ensemble need: its version, and where they can connect.
pub(super) async fn show_clients(
    session: &mut Session,
    watch: bool,
    stat: bool,
) -> anyhow::Result<()> {
    let response = session.answered(Request::GetData { path: CONFIG.into(), watch }).await?;
    if let Response::Data { data, .. } = &response {
        let text = String::from_utf8_lossy(data.as_deref().unwrap_or_default());
        writeln!(std::io::stdout(), "{}", clients(&text)?)?;
    }
    show::response(&response, Show { stat, data: false })
}

// Departs: upstream lists servers in the order of a hash table, and one that names no client port as
// nothing between commas.
fn clients(text: &str) -> anyhow::Result<String> {
    let ensemble = Ensemble::parse(text).map_err(|why| anyhow!("{CONFIG}: {why}"))?;
    let clients = ensemble.members.values().filter_map(|member| member.client.as_ref());
    let clients: Vec<_> = clients.map(|(host, port)| format!("{host}:{port}")).collect();
    Ok(format!("{:x} {}", ensemble.version, clients.join(",")))
}

/// Changes the ensemble as `words` say, behind `reconfig`.
pub(super) async fn reconfigure(session: &mut Session, words: &[String]) -> anyhow::Result<()> {
    let Change { request, stat } = Change::parse(words)?;
    let response = session.answered(Request::Reconfig(request)).await.map_err(explained)?;
    writeln!(std::io::stdout(), "Committed new configuration:")?;
    show::response(&response, Show { stat, data: true })
}

/// What is asked for, and whether the configuration's stat is wanted too.
#[derive(PartialEq, Eq, Debug)]
struct Change {
    request: ReconfigRequest,
    stat: bool,
}

impl Change {
    fn parse(words: &[String]) -> anyhow::Result<Self> {
        let (mut stat, mut version) = (false, None);
        let (mut file, mut members) = (None, None);
        let (mut joining, mut leaving) = (Vec::new(), Vec::new());
        let mut words = words.iter().map(String::as_str);
        while let Some(word) = words.next() {
            let name = word.strip_prefix("--").or_else(|| word.strip_prefix('-'));
            let name = name.ok_or_else(|| anyhow!(RECONFIG_USAGE))?;
            let mut value =
                || words.next().ok_or_else(|| anyhow!("Missing argument for option: {name}"));
            match name {
                "s" => stat = true,
                "v" => version = Some(value()?),
                "file" => file = Some(value()?),
                "members" => members = Some(value()?.to_lowercase()),
                // Departs: upstream's usage lets -add be repeated, and takes the first one only.
                "add" => joining.push(value()?.to_lowercase()),
                "remove" => leaving.push(value()?.to_lowercase()),
                _ => bail!("Unrecognized option: {word}"),
            }
        }
        let (anew, changed) =
            (file.is_some() || members.is_some(), !joining.is_empty() || !leaving.is_empty());
        match (anew, changed) {
            (false, false) => bail!(RECONFIG_USAGE),
            (true, true) => bail!(
                "Can't use -file or -members together with -add or -remove (mixing incremental \
                 and non-incremental modes is not allowed)"
            ),
            (true, false) | (false, true) => {}
        }
        if let Some(path) = file {
            if members.is_some() {
                bail!("Can't use -file and -members together (conflicting non-incremental modes)");
            }
            members = Some(read_members(path).with_context(|| format!("Error processing {path}"))?);
        }
        let config_version = version.map_or(Ok(-1), |hex| i64::from_str_radix(hex, 16));
        let config_version = config_version
            .map_err(|_| anyhow!("-v must be followed by a long (configuration version)"))?;
        let joined = |list: Vec<String>| (!list.is_empty()).then(|| list.join(","));
        let (joining_servers, leaving_servers) = (joined(joining), joined(leaving));
        let request = ReconfigRequest {
            joining_servers,
            leaving_servers,
            new_members: members,
            config_version,
        };
        Ok(Self { request, stat })
    }
}

/// A dynamic configuration file makes sense here before it is sent; the leader checks it again.
fn read_members(path: &str) -> anyhow::Result<String> {
    let text = std::fs::read_to_string(path)?;
    Ok(Ensemble::parse(&text).map_err(|why| anyhow!(why))?.text())
}

/// The server's word, and zkCli's explanation of it.
// ZK: CliWrapperException.getMessage (3.9)
fn explained(error: anyhow::Error) -> anyhow::Error {
    let why = match error.downcast_ref() {
        Some(Refused(ErrorCode::RECONFIG_IN_PROGRESS)) => {
            "another reconfiguration is in progress; only one at a time is carried out"
        }
        Some(Refused(ErrorCode::NEW_CONFIG_NO_QUORUM)) => {
            "no quorum of the new configuration is connected and up to date with the leader; try \
             again when the new servers are"
        }
        Some(Refused(ErrorCode::RECONFIG_DISABLED)) => "the servers need reconfigEnabled=true",
        _ => return error,
    };
    error.context(why)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> anyhow::Result<Change> {
        let words: Vec<_> = line.split_whitespace().map(ToOwned::to_owned).collect();
        Change::parse(&words)
    }

    fn request(
        joining: Option<&str>,
        leaving: Option<&str>,
        members: Option<&str>,
    ) -> ReconfigRequest {
        let owned = |text: Option<&str>| text.map(ToOwned::to_owned);
        ReconfigRequest {
            joining_servers: owned(joining),
            leaving_servers: owned(leaving),
            new_members: owned(members),
            config_version: -1,
        }
    }

    #[test]
    fn lines_become_changes() {
        let joins = "server.5=host:1:2;3";
        for (line, expected) in [
            ("-add Server.5=HOST:1:2;3", request(Some(joins), None, None)),
            ("--add server.5=host:1:2;3 -remove 2,3", request(Some(joins), Some("2,3"), None)),
            ("-remove 2 -remove 3", request(None, Some("2,3"), None)),
            ("-members server.5=host:1:2;3", request(None, None, Some(joins))),
        ] {
            let expected = Change { request: expected, stat: false };
            assert_eq!(parse(line).expect(line), expected, "{line}");
        }
        let change = parse("-s -v 100000004 -remove 2").expect("it is one");
        assert_eq!((change.stat, change.request.config_version), (true, 0x1_0000_0004));
    }

    #[test]
    fn lines_that_are_no_changes() {
        for (line, why) in [
            ("", "reconfig [-s]"),
            ("-s", "reconfig [-s]"),
            ("5", "reconfig [-s]"),
            ("-add", "Missing argument for option: add"),
            ("-join 5", "Unrecognized option: -join"),
            ("-v 10x -remove 2", "-v must be followed by a long"),
            ("-members x -remove 2", "Can't use -file or -members together with -add or -remove"),
            ("-members x -file y", "Can't use -file and -members together"),
        ] {
            let error = parse(line).expect_err(line).to_string();
            assert!(error.starts_with(why), "{line}: {error}");
        }
    }

    #[test]
    fn a_file_of_members() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = dir.path().join("members");
        std::fs::write(&path, "# all\nserver.1=a:1:2;3\nserver.2=b:1:2:observer;3")
            .expect("written");
        let change = parse(&format!("-file {}", path.display())).expect("it is one");
        let members = "server.1=a:1:2:participant;0.0.0.0:3\n\
                       server.2=b:1:2:observer;0.0.0.0:3\nversion=0";
        assert_eq!(change.request, request(None, None, Some(members)));
        std::fs::write(&path, "tickTime=2000").expect("written");
        let error = parse(&format!("-file {}", path.display())).expect_err("no member");
        assert!(error.to_string().starts_with("Error processing "), "{error}");
    }

    #[test]
    fn where_clients_can_connect() {
        let text = "server.2=b:1:2;h:7\nserver.1=a:1:2;5\nserver.3=c:1:2\nversion=10000000a";
        assert_eq!(clients(text).expect("an ensemble"), "10000000a 0.0.0.0:5,h:7");
        assert!(clients("nonsense").is_err());
    }
}
