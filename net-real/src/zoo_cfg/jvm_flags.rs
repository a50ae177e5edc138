//! `-Dname=value` in the environment variables that upstream's start scripts hand to Java, so that
//! these scripts go on working.

use std::path::PathBuf;

use super::{Properties, Property, Reader, keys};

/// In the order in which upstream's script puts them on the command line; the last one wins.
// ZK: bin/zkServer.sh (3.9)
const VARIABLES: [&str; 2] = ["SERVER_JVMFLAGS", "JVMFLAGS"];

/// What the environment says.
pub(super) fn from_environment(reader: &mut Reader) -> Properties {
    let mut properties = Properties::new();
    for variable in VARIABLES {
        if let Ok(flags) = std::env::var(variable) {
            properties.extend(parse(variable, &flags, reader));
        }
    }
    properties
}

/// Words as a shell splits them. What is no property of ours is Java's own business.
pub(super) fn parse(variable: &str, flags: &str, reader: &mut Reader) -> Properties {
    let mut properties = Properties::new();
    for flag in flags.split_whitespace() {
        let Some(flag) = flag.strip_prefix("-D") else { continue };
        let (name, value) = flag.split_once('=').unwrap_or((flag, ""));
        let key = keys::canonical(name);
        let file = PathBuf::from(variable);
        match keys::effect(key) {
            Some(_) => {
                let property = Property { value: value.into(), file, line: 0 };
                properties.insert(key.to_owned(), property);
            }
            None if name.starts_with("zookeeper.") => {
                reader.warn(&file, 0, format!("unknown property {name} has no effect"));
            }
            None => {}
        }
    }
    properties
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_properties_of_ours_count() {
        let mut reader = Reader::default();
        let flags = "-Xmx1000m -Dzookeeper.snapCount=5 -Djute.maxbuffer=4096 -Dlog4j.debug \
                     -Dzookeeper.snapCount=7 -Dzookeeper.frobnicate=1 -Dreadonlymode.enabled=true";
        let found = parse("SERVER_JVMFLAGS", flags, &mut reader);
        let found: Vec<_> = found.iter().map(|(key, p)| (&**key, &*p.value)).collect();
        assert_eq!(
            found,
            [("jute.maxbuffer", "4096"), ("readonlymode.enabled", "true"), ("snapCount", "7")]
        );
        let warnings: Vec<_> = reader.warnings.iter().map(ToString::to_string).collect();
        assert_eq!(
            warnings,
            ["SERVER_JVMFLAGS: unknown property zookeeper.frobnicate has no effect"]
        );
    }
}
