//! The commands as they are typed, over files that upstream 3.9.3 wrote (core/testdata/samples), and
//! over such files damaged at random.

use std::fs;
use std::path::{Path, PathBuf};

use clap::Parser;
use proptest::prelude::*;
use serde_json::Value;

use super::{Outcome, log, snapshot};

#[derive(Parser)]
#[command(multicall = true)]
enum Tool {
    #[command(subcommand)]
    Log(log::Command),
    #[command(subcommand)]
    Snapshot(snapshot::Command),
}

/// The outcome, or the error, and what was printed.
fn run(line: &str, paths: &[&Path]) -> (Result<Outcome, String>, String) {
    let words = line.split(' ').map(std::ffi::OsString::from);
    let paths = paths.iter().map(|path| path.as_os_str().to_owned());
    let mut out = Vec::new();
    let done = match Tool::try_parse_from(words.chain(paths)) {
        Ok(Tool::Log(command)) => command.run(&mut out),
        Ok(Tool::Snapshot(command)) => command.run(&mut out),
        Err(error) => panic!("{line}: {error}"),
    };
    let printed = String::from_utf8(out).expect("it prints text");
    (done.map_err(|error| format!("{error:#}")), printed)
}

fn fine(line: &str, paths: &[&Path]) -> String {
    let (done, printed) = run(line, paths);
    assert_eq!(done, Ok(Outcome::Fine), "{line} {paths:?}\n{printed}");
    printed
}

fn found(line: &str, paths: &[&Path]) -> String {
    let (done, printed) = run(line, paths);
    assert_eq!(done, Ok(Outcome::Found), "{line} {paths:?}\n{printed}");
    printed
}

fn values(printed: &str) -> Vec<Value> {
    printed.lines().map(|line| serde_json::from_str(line).expect(line)).collect()
}

fn samples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../core/testdata/samples")
}

const SAMPLES: [&str; 9] = [
    "standalone-full",
    "standalone-nodigest",
    "standalone-snaps",
    "standalone-gzip",
    "standalone-snappy",
    "standalone-38style",
    "ensemble-s1",
    "ensemble-s3",
    "quorum-after-trunc",
];

fn data(sample: &str) -> PathBuf {
    samples().join(sample).join("data")
}

fn file(sample: &str, name: &str) -> PathBuf {
    data(sample).join("version-2").join(name)
}

/// The log that upstream's tool was asked to print.
fn first_log(sample: &str) -> PathBuf {
    let name = if sample.starts_with("standalone") { "log.1" } else { "log.100000001" };
    file(sample, name)
}

/// `8:04:05 PM` of `20:04:05`.
fn of_the_clock(time: &str) -> String {
    let (hour, rest) = time.split_once(':').expect("a time");
    let hour: u32 = hour.parse().expect("an hour");
    let noon = if hour < 12 { "AM" } else { "PM" };
    format!("{}:{rest} {noon}", (hour + 11) % 12 + 1)
}

#[test]
fn transactions_read_as_upstream_s_own_tool_reads_them() {
    let mut kinds = std::collections::BTreeSet::new();
    for sample in SAMPLES {
        let expected = fs::read_to_string(samples().join(sample).join("txnlog.txt"));
        let expected = expected.expect("it is there");
        let log = first_log(sample);
        let lines = fine("log print --data", &[&log]);
        let json = values(&fine("log print --json --data", &[&log]));
        // An access control list ends with a newline in upstream's output.
        let begins = |line: &&str| line.contains(" session 0x");
        let theirs: Vec<&str> = expected.lines().filter(begins).collect();
        assert!(expected.ends_with(&format!("EOF reached after {} txns.\n", theirs.len())));
        assert_eq!(lines.lines().count(), theirs.len() + 1, "{sample}: and a last line");
        assert_eq!(json.len(), theirs.len() + 1, "{sample}");
        for ((ours, json), theirs) in lines.lines().zip(&json).zip(theirs) {
            let (time, head) = ours.split_once(" session ").expect(ours);
            let (date, time) = time.split_once('T').expect(ours);
            let date: Vec<&str> = date.split('-').collect();
            let time = of_the_clock(time.split('.').next().expect(ours));
            let time = format!("{}/{}/{}, {time} UTC", date[1], date[2], &date[0][2..]);
            let (their_time, their_head) = theirs.split_once(" session ").expect(theirs);
            assert_eq!(time, their_time, "{ours}");
            let head: Vec<&str> = head.split(' ').collect();
            let their_words: Vec<&str> = their_head.split(' ').collect();
            assert_eq!(head[..6], their_words[..6], "{ours}\n{theirs}");
            let kind = json["type"].as_str().expect("it has a type");
            check_fields(kind, json, their_words.get(6).copied().unwrap_or(""), theirs);
            kinds.insert(kind.to_owned());
        }
    }
    let kinds = Vec::from_iter(kinds);
    assert!(kinds.len() >= 12, "{kinds:?}");
}

/// `rest` is what stands behind the type, up to a blank or the end of the line.
fn check_fields(kind: &str, json: &Value, rest: &str, line: &str) {
    let mut fields = rest.split(',');
    match kind {
        "createSession" => assert_eq!(rest, json["timeout"].to_string(), "{line}"),
        "error" => assert_eq!(rest, json["err"].to_string(), "{line}"),
        "closeSession" => {
            let paths = json["paths"].as_array().cloned().unwrap_or_default();
            let paths: Vec<_> =
                paths.iter().filter_map(|path| Some(format!("'{}", path.as_str()?))).collect();
            let expected = format!("v{{{}}}", paths.join(","));
            assert!(rest.is_empty() || rest == expected, "{line}: {expected}");
        }
        "create" | "create2" | "createContainer" | "createTTL" => {
            assert_eq!(fields.next(), json["path"].as_str(), "{line}");
            let list = &rest[rest.find(",[").expect(line)..];
            let first = &json["acl"][0];
            let id = |key: &str| first[key].as_str().expect(line).to_owned();
            let acl = format!("[{},s{{'{},'{}}}", first["perms"], id("scheme"), id("id"));
            assert!(list[1..].starts_with(&acl), "{line}: {acl}");
        }
        "setData" => {
            assert_eq!(fields.next(), json["path"].as_str(), "{line}");
            assert_eq!(fields.next_back(), Some(&*json["version"].to_string()), "{line}");
        }
        "setACL" => {
            assert_eq!(fields.next().map(|path| &path[1..]), json["path"].as_str(), "{line}");
            assert_eq!(fields.next_back(), Some(&*json["version"].to_string()), "{line}");
        }
        "delete" | "deleteContainer" => {
            assert_eq!(rest.trim_matches(['\'', '\n']), json["path"], "{line}");
        }
        "multi" => {
            let parts = json["txns"].as_array().expect(line);
            let first = rest.split(':').next().expect(line);
            assert_eq!(first, parts[0]["type"], "{line}");
            assert_eq!(line.matches(';').count().max(1), parts.len().max(2) - 1, "{line}");
        }
        "reconfig" => assert_eq!(json["path"], "/zookeeper/config"),
        other => panic!("{other} in {line}"),
    }
}

#[test]
fn one_line_says_all_of_a_transaction() {
    let printed = fine("log print --data", &[&file("standalone-full", "log.1")]);
    for wanted in [
        "cxid 0x0 zxid 0x1 createSession timeout=40000 digest=0x51c6d660",
        "zxid 0x2 create /a data=\"va\" acl=world:anyone:cdrwa ephemeral=false parentCVersion=1 ",
        "zxid 0x7 create /nulldata data=null ",
        "zxid 0x14 createTTL /ttl data=\"t\" acl=world:anyone:cdrwa parentCVersion=6 ttl=3600000 ",
        "setACL /acl/set acl=world:anyone:r,digest:bob:fyVmFCwVbTJYrznoSu1koqYEYF0=:cdrwa version=1",
        " multi [create /m data=\"m\" acl=world:anyone:cdrwa ephemeral=false parentCVersion=",
        "; check /a version=",
        "; delete /m/1] digest=",
        "error -110 NODE_EXISTS",
        "closeSession /eph/b1 /eph/b2 digest=",
        "transactions 48 (0x1 to 0x30), the records end at offset ",
    ] {
        assert!(printed.contains(wanted), "{wanted}\n{printed}");
    }
}

#[test]
fn a_directory_prints_as_the_tree_that_upstream_served() {
    for sample in SAMPLES {
        let expected = fs::read_to_string(samples().join(sample).join("expected.json"));
        let expected: Vec<Value> =
            serde_json::from_str(&expected.expect("it is there")).expect("it is JSON");
        let printed = values(&fine("snapshot print --json --data", &[&data(sample)]));
        let nodes: Vec<&Value> =
            printed.iter().filter(|value| value.get("path").is_some()).collect();
        assert_eq!(nodes.len(), expected.len(), "{sample}");
        for wanted in &expected {
            let path = &wanted["path"];
            let node = nodes.iter().find(|node| node["path"] == *path).expect("it is there");
            let stat = &wanted["stat"];
            let hex = |key: &str| format!("{:#x}", stat[key].as_i64().expect("a number"));
            let number = |key: &str| node[key].as_i64().expect("a number");
            for key in ["czxid", "pzxid"] {
                assert_eq!(node[key], hex(key), "{sample} {path} {key}");
            }
            let cversion = 2 * number("cversion") - number("numChildren");
            assert_eq!(Some(cversion), stat["cversion"].as_i64(), "{sample} {path}");
            for key in ["ctime", "aversion", "numChildren"] {
                assert_eq!(node[key], stat[key], "{sample} {path} {key}");
            }
            if stat["ephemeralOwner"] != 0 {
                assert_eq!(node["ephemeralOwner"], hex("ephemeralOwner"), "{sample} {path}");
            }
            let acl: Vec<Value> = node["acl"].as_array().expect("a list").clone();
            let acl = acl.iter().map(|e| serde_json::json!([e["perms"], e["scheme"], e["id"]]));
            assert_eq!(acl.collect::<Value>(), wanted["acl"], "{sample} {path}");
            // The server that was asked had no ensemble and wrote that node anew.
            if path != "/zookeeper/config" || !sample.starts_with("ensemble") {
                assert_eq!(node["data"], wanted["data_b64"], "{sample} {path}");
                assert_eq!(node["mzxid"], hex("mzxid"), "{sample} {path}");
                assert_eq!(node["version"], stat["version"], "{sample} {path}");
            }
        }
    }
}

#[test]
fn a_line_for_each_session_and_each_znode() {
    let printed = fine("snapshot print --data", &[&data("standalone-full")]);
    for wanted in [
        "session 0x100000fde730000 timeout=40000 ephemerals=",
        "/ data=\"\" numChildren=14 version=0 cversion=13 aversion=0 czxid=0x0 mzxid=0x0 pzxid=0x2a ",
        "/nulldata data=null ",
        " container acl=world:anyone:cdrwa",
        " ttl=3600000 acl=",
        " ephemeralOwner=0x100000fde730000 acl=",
        " acl=digest:bob:fyVmFCwVbTJYrznoSu1koqYEYF0=:cdrwa,world:anyone:r",
        "zxid 0x30, ",
    ] {
        assert!(printed.contains(wanted), "{wanted}\n{printed}");
    }
}

#[test]
fn every_sample_is_sound_and_its_digests_are_the_tree_s() {
    for (sample, digests) in [
        ("standalone-full", 47),
        ("standalone-nodigest", 0),
        ("standalone-snaps", 258),
        ("standalone-gzip", 258),
        ("standalone-snappy", 258),
        ("standalone-38style", 258),
        ("ensemble-s1", 28),
        ("ensemble-s3", 28),
    ] {
        let printed = values(&fine("log check --json", &[&data(sample)]));
        assert_eq!(printed.len(), 1, "{sample}: {printed:?}");
        assert_eq!(printed[0]["digests"], digests, "{sample}");
        fine("snapshot check", &[&data(sample)]);
    }
    let printed = fine("log check", &[&data("quorum-after-trunc")]);
    assert!(printed.contains(": ok; snapshots 2, logs 2, digests as the tree's 7, "), "{printed}");
    assert!(printed.contains("a server starts with zxid 0x200000003, "), "{printed}");
}

#[test]
fn a_torn_tail_is_told_from_damage() {
    let torn = |variant: &str| samples().join(format!("derived-torn/log.1.{variant}"));
    for (variant, txns) in [
        ("cut-in-last-payload", 47),
        ("last-half-zeroed", 47),
        ("last-eor-zeroed", 47),
        ("cut-in-header", 0),
        ("empty", 0),
    ] {
        let printed = values(&fine("log check --json", &[&torn(variant)]));
        assert_eq!(printed[0]["finding"], "torn", "{variant}");
        assert_eq!(printed[1]["transactions"], txns, "{variant}");
    }
    fine("log check", &[&torn("header-only")]);
    for (variant, kind) in
        [("crc-error-in-record-21", "checksum"), ("length-too-large-in-record-21", "damaged")]
    {
        let printed = values(&found("log check --json", &[&torn(variant)]));
        assert_eq!(printed[0]["finding"], kind, "{variant}");
        let what = printed[0]["what"].as_str().expect("it says what");
        assert!(what.contains("expected ") && what.contains("intact record follows"), "{what}");
        // What stands behind it is read.
        let printed = found("log print", &[&torn(variant)]);
        assert!(printed.contains(" zxid 0x30 create /eph/c1 "), "{printed}");
    }
}

#[test]
fn a_log_is_chopped_behind_a_transaction() {
    let home = tempfile::tempdir().expect("a temporary directory");
    let to = home.path().join("log.1");
    let from = file("standalone-full", "log.1");
    fine(&format!("log chop --after 0x20 --to {}", to.display()), &[&from]);
    let whole = fs::read(&from).expect("it is there");
    let part = fs::read(&to).expect("it was written");
    assert!(whole.starts_with(&part));
    let printed = values(&fine("log check --json", &[&to]));
    assert_eq!((&printed[0]["transactions"], &printed[0]["last"]), (&32.into(), &"0x20".into()));
    let again = run(&format!("log chop --after 0x20 --to {}", to.display()), &[&from]).0;
    assert!(again.is_err_and(|error| error.contains("File exists")));
    let to = home.path().join("other");
    let missing = run(&format!("log chop --after 1:1 --to {}", to.display()), &[&from]).0;
    let error = missing.expect_err("it is not there");
    assert!(error.contains("expected a record 0x100000001, the last one is 0x30"), "{error}");
    assert!(!to.exists());
}

#[test]
fn wrong_checksums_are_mended_only_when_told() {
    let home = tempfile::tempdir().expect("a temporary directory");
    let from = home.path().join("log.1");
    let mut bytes = fs::read(file("standalone-full", "log.1")).expect("it is there");
    // In the checksum of the first record.
    bytes[16 + 5] ^= 1;
    fs::write(&from, &bytes).expect("there is room");
    let printed = found("log recover", &[&from]);
    assert!(printed.contains("zxid 0x1 createSession timeout=40000"), "{printed}");
    assert!(printed.contains("`--yes`"), "{printed}");
    let to = home.path().join("log.1.fixed");
    assert!(!to.exists());
    fine("log recover --yes", &[&from]);
    let fixed = fs::read(&to).expect("it was written");
    let right = fs::read(file("standalone-full", "log.1")).expect("it is there");
    assert!(right.starts_with(&fixed));
    fine("log check", &[&to]);
    assert!(fine("log recover", &[&to]).contains("nothing to recover"));

    let damaged = samples().join("derived-torn/log.1.length-too-large-in-record-21");
    let error = run("log recover --yes", &[&damaged]).0.expect_err("a checksum is not all");
    assert!(error.contains("log.1.length-too-large-in-record-21: offset "), "{error}");
}

#[test]
fn differences_are_named() {
    let sample = data("standalone-snaps");
    assert!(fine("snapshot compare", &[&sample, &sample]).contains("# differences 0\n"));
    let (old, new) =
        (file("standalone-snaps", "snapshot.36"), file("standalone-snaps", "snapshot.f1"));
    let there = found("snapshot compare", &[&old, &new]);
    let back = found("snapshot compare", &[&new, &old]);
    let count = |printed: &str, sign| printed.lines().filter(|l| l.starts_with(sign)).count();
    assert!(count(&there, "+ /") > 50, "{there}");
    assert_eq!(count(&there, "+ /"), count(&back, "- /"));
    assert!(there.contains("~ / cversion: "), "{there}");
    assert!(there.contains("~ zxid last: 0x36 -> 0xf1"), "{there}");
    assert!(there.contains("with some changes up to 0x"), "{there}");
    let sizes = found("snapshot compare --nodes 10", &[&old, &new]);
    assert!(sizes.starts_with("~ / descendants: "), "{sizes}");
    assert!(
        found("snapshot compare --ignore /", &[&old, &new]).starts_with("~ session")
            || found("snapshot compare --ignore /", &[&old, &new]).starts_with("~ zxid")
    );
    for value in values(&found("snapshot compare --json --data", &[&old, &new])) {
        assert!(value.get("what").is_some() || value.get("differences").is_some(), "{value}");
    }
}

#[test]
fn sizes_add_up() {
    let sample = data("standalone-full");
    let expected = fs::read_to_string(samples().join("standalone-full/expected.json"));
    let expected: Vec<Value> =
        serde_json::from_str(&expected.expect("it is there")).expect("it is JSON");
    let all = |top: &str| {
        let is_below = |path: &str| path == top || path.starts_with(&format!("{top}/"));
        let below = expected.iter().filter(|n| is_below(n["path"].as_str().unwrap_or("")));
        let bytes = below.clone().filter_map(|n| n["stat"]["dataLength"].as_u64()).sum::<u64>();
        (below.count() as u64 - 1, bytes)
    };
    let (descendants, bytes) = all("/a");
    let line = |path: &str, n: u64, bytes: u64| format!("{path} descendants={n} bytes={bytes}\n");
    let words = |line: &str, more: &[&str]| {
        let paths: Vec<&Path> = [&*sample].into_iter().chain(more.iter().map(Path::new)).collect();
        fine(line, &paths)
    };
    let (below_b, bytes_b) = all("/a/b");
    assert_eq!(
        words("snapshot summary", &["/a"]),
        line("/a", descendants, bytes) + &line("/a/b", below_b, bytes_b)
    );
    assert!(words("snapshot summary", &["/", "0"]).contains("/a/b/c descendants="));
    assert_eq!(words("snapshot summary", &["/nulldata"]), line("/nulldata", 0, 0));
    let root = format!("/ descendants={} bytes=", expected.len() - 1);
    assert!(words("snapshot summary", &[]).starts_with(&root));
    assert!(run("snapshot summary", &[&sample, Path::new("/b")]).0.is_err());

    let exported: Value =
        serde_json::from_str(&words("snapshot print --ncdu", &[])).expect("it is JSON");
    fn names(value: &Value) -> usize {
        match value {
            Value::Array(values) => values.iter().map(names).sum(),
            other => usize::from(other.get("name").is_some()),
        }
    }
    assert_eq!(names(&exported), expected.len());
}

#[test]
fn what_is_not_there_is_an_error() {
    let nowhere = Path::new("/no/such/file");
    for line in ["log print", "log check", "snapshot print", "snapshot check"] {
        let error = run(line, &[nowhere]).0.expect_err("nothing is there");
        assert!(error.starts_with("/no/such/file: "), "{line}: {error}");
    }
    let home = tempfile::tempdir().expect("a temporary directory");
    for line in ["log print", "log check", "snapshot print", "snapshot check"] {
        let error = run(line, &[home.path()]).0.expect_err("nothing is in it");
        assert!(error.contains("expected "), "{line}: {error}");
    }
}

/// Some bytes changed, and perhaps the end missing.
fn damaged(name: &'static str, whole: Vec<u8>) -> impl Strategy<Value = (&'static str, Vec<u8>)> {
    let len = whole.len();
    let changes = proptest::collection::vec((0..len, any::<u8>()), 1..6);
    (changes, proptest::option::weighted(0.3, 0..len)).prop_map(move |(changes, cut)| {
        let mut bytes = whole.clone();
        for (at, byte) in changes {
            bytes[at] = byte;
        }
        bytes.truncate(cut.unwrap_or(len));
        (name, bytes)
    })
}

fn any_damaged_file() -> impl Strategy<Value = (&'static str, Vec<u8>)> {
    let read = |sample, name| fs::read(file(sample, name)).expect("it is there");
    // Without most of the zeros, so that damage hits.
    let mut log = read("standalone-full", "log.1");
    log.truncate(6000);
    prop_oneof![
        damaged("log.1", log),
        damaged("snapshot.36", read("standalone-snaps", "snapshot.36")),
        damaged("snapshot.35.gz", read("standalone-gzip", "snapshot.35.gz")),
        damaged("snapshot.27.snappy", read("standalone-snappy", "snapshot.27.snappy")),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    /// Neither panics nor goes on for ever, and says the same twice.
    #[test]
    fn any_bytes_are_an_outcome_or_an_error((name, bytes) in any_damaged_file()) {
        let home = tempfile::tempdir().expect("a temporary directory");
        let path = home.path().join(name);
        fs::write(&path, bytes).expect("there is room");
        let (to, whole) = (home.path().join("to"), data("standalone-full"));
        let lines = if name.starts_with("log") {
            vec![
                "log print --data".to_owned(),
                "log print --json".to_owned(),
                "log check --json".to_owned(),
                format!("log chop --after 0x10 --to {}", to.display()),
                format!("log recover --yes --to {}", home.path().join("fixed").display()),
            ]
        } else {
            vec![
                "snapshot print --data".to_owned(),
                "snapshot print --ncdu".to_owned(),
                "snapshot check --json".to_owned(),
                "snapshot summary".to_owned(),
                format!("snapshot compare {}", whole.display()),
            ]
        };
        for line in lines {
            let first = run(&line, &[&path]);
            if !line.contains("--to") {
                prop_assert_eq!(first, run(&line, &[&path]));
            }
        }
        // Beside a sound snapshot, or a log without its snapshot.
        if name.starts_with("log") {
            fs::copy(file("standalone-full", "snapshot.0"), home.path().join("snapshot.0"))
                .expect("there is room");
        }
        for line in ["log check", "snapshot print", "snapshot check"] {
            let _ = run(line, &[home.path()]);
        }
        // What was written of it is sound.
        for written in [to, home.path().join("fixed")] {
            if written.exists() {
                fine("log check", &[&written]);
            }
        }
    }
}
