//! Tables of good and bad files.

use super::*;
use zebu_core::config::Containers;

const PATH: &str = "/etc/zoo.cfg";

/// Files that a test's zoo.cfg refers to.
fn read_of<'a>(files: &'a [(&'a str, &'a str)]) -> impl Fn(&Path) -> std::io::Result<String> + 'a {
    |path| {
        let file = files.iter().find(|(name, _)| Path::new(name) == path);
        file.map(|(_, text)| (*text).to_owned()).ok_or(std::io::ErrorKind::NotFound.into())
    }
}

fn parse(text: &str, files: &[(&str, &str)]) -> Result<ZooCfg, CfgErrors> {
    ZooCfg::parse(Path::new(PATH), text, &read_of(files))
}

fn good(text: &str, files: &[(&str, &str)]) -> ZooCfg {
    parse(text, files).unwrap_or_else(|errors| panic!("{errors}"))
}

const ENSEMBLE: &str = "\
# the usual three
tickTime=2000
initLimit = 10
syncLimit =5
dataDir=/var/zk
clientPort=2181
server.1=zoo1:2888:3888
server.2=zoo2:2888:3888
server.3=[2001:db8::3]:2888:3888:observer
";

#[test]
fn an_ensemble() {
    let cfg = good(ENSEMBLE, &[("/var/zk/myid", "2\n")]);
    let config = &cfg.settings.config;
    assert_eq!(config.my_id, ServerId(2));
    assert_eq!(
        (config.tick, config.init_limit, config.sync_limit),
        (Duration::from_secs(2), 10, 5)
    );
    assert_eq!(config.min_session_timeout, Duration::from_secs(4));
    assert_eq!(config.max_session_timeout, Duration::from_secs(40));
    assert_eq!(config.ensemble.voters().collect::<Vec<_>>(), [ServerId(1), ServerId(2)]);
    assert_eq!(cfg.settings.client, Some(Address::new("0.0.0.0", 2181)));
    assert_eq!(cfg.settings.election, Some(Address::new("zoo2", 3888)));
    assert_eq!(cfg.settings.quorum, Some(Address::new("zoo2", 2888)));
    assert_eq!(cfg.log_dir, Path::new("/var/zk"));
    let warnings: Vec<String> = cfg.warnings.iter().map(ToString::to_string).collect();
    assert_eq!(warnings, ["/etc/zoo.cfg:9: server.3 is an observer: it waits while Zebu leads"]);
}

#[test]
fn a_server_alone_needs_no_myid_and_opens_no_peer_port() {
    for text in
        ["dataDir=/d\nclientPort=2181\n", "dataDir=/d\nclientPort=2181\nserver.1=h:2888:3888\n"]
    {
        let cfg = good(text, &[]);
        assert_eq!(cfg.settings.config.my_id, ServerId(1));
        assert!(cfg.settings.config.ensemble.is_voter(ServerId(1)));
        assert_eq!((cfg.settings.election, cfg.settings.quorum), (None, None));
    }
}

#[test]
fn every_value_lands_where_it_belongs() {
    let text = "\
dataDir=/d
dataLogDir=/l
clientPort=2181
clientPortAddress=::1
minSessionTimeout=500
maxSessionTimeout=-1
maxClientCnxns=0
snapCount=1
commitLogCount=7
preAllocSize=64
jute.maxbuffer=4194304
jute.maxbuffer.extrasize=2048
globalOutstandingLimit=9
4lw.commands.whitelist=ruok, mntr
electionPortBindRetry=0
cnxTimeout=100
nio.sessionlessCnxnTimeout=200
fastleader.minNotificationInterval=20
fastleader.maxNotificationInterval=600
leaderConnectDelayDuringRetryMs=10
extendedTypesEnabled=true
znode.container.checkIntervalMs=7000
znode.container.maxPerMinute=60
zookeeper.znode.container.maxNeverUsedIntervalMs=300000
";
    let cfg = good(text, &[]);
    let (settings, config) = (&cfg.settings, &cfg.settings.config);
    let ms = Duration::from_millis;
    assert_eq!(cfg.log_dir, Path::new("/l"));
    assert_eq!(settings.client, Some(Address::new("::1", 2181)));
    assert_eq!(config.min_session_timeout, ms(500));
    assert_eq!(config.max_session_timeout, ms(60_000));
    assert_eq!(config.limits.conns_per_address_max, 0);
    assert_eq!((config.snap_count, config.commit_log_count), (2, 7));
    assert_eq!(settings.storage.prealloc_bytes, 65536);
    assert_eq!(config.limits.frame_max, 4_194_304);
    assert_eq!(config.limits.record_max, 4_194_304 + 2048);
    assert_eq!(settings.storage.record_max, config.limits.record_max);
    assert_eq!(settings.storage.commit_log_count, 7);
    assert_eq!(config.limits.outstanding_max, 9);
    let containers =
        Containers { check_interval: ms(7000), per_minute_max: 60, never_used_max: ms(300_000) };
    assert_eq!((&config.containers, config.extended_types), (&containers, true));
    assert!(settings.four_letter_words.allows("mntr"));
    assert!(!settings.four_letter_words.allows("srvr"));
    assert_eq!(settings.bind_retry, BindRetry::Forever);
    assert_eq!((settings.dial_timeout, settings.handshake_timeout), (ms(100), ms(200)));
    assert_eq!(config.min_notification_interval, ms(20));
    assert_eq!(config.max_notification_interval, ms(600));
    assert_eq!(config.leader_connect_delay, ms(10));
    assert!(config.extended_types);
}

#[test]
fn members_of_a_dynamic_file() {
    let files = [
        ("/etc/zoo.cfg.dynamic.1a", "server.1=a:1:2:participant;2181\nserver.2=b:1:2\n"),
        ("/d/myid", "1"),
    ];
    let cfg = good("dataDir=/d\ndynamicConfigFile=/etc/zoo.cfg.dynamic.1a\n", &files);
    assert_eq!(cfg.settings.config.ensemble.version, 0x1a);
    assert_eq!(cfg.settings.client, Some(Address::new("0.0.0.0", 2181)));
}

#[test]
fn keys_without_effect_are_warned_about_by_name() {
    let text = "dataDir=/d\nclientPort=2181\nadmin.serverPort=1\nclientPort=2182\nssl.ciphers=x\nsslQuorum=false\n";
    let cfg = good(text, &[]);
    let warnings: Vec<String> = cfg.warnings.iter().map(ToString::to_string).collect();
    assert_eq!(
        warnings,
        [
            "/etc/zoo.cfg:3: admin.serverPort has no effect in Zebu yet",
            "/etc/zoo.cfg:4: clientPort replaces its value of line 2",
            "/etc/zoo.cfg:5: ssl.ciphers has no effect in Zebu yet",
        ]
    );
    assert_eq!(cfg.settings.client, Some(Address::new("0.0.0.0", 2182)));
}

#[test]
fn autopurge_is_off_by_default_and_keeps_three_at_least() {
    let hour = Duration::from_secs(3600);
    for (lines, expected, warned) in [
        ("", None, false),
        ("autopurge.snapRetainCount=5\n", None, false),
        ("autopurge.purgeInterval=0\n", None, false),
        ("autopurge.purgeInterval=1\n", Some(AutoPurge { every: hour, keep: 3 }), false),
        (
            "autopurge.purgeInterval=24\nautopurge.snapRetainCount=5\n",
            Some(AutoPurge { every: hour * 24, keep: 5 }),
            false,
        ),
        (
            "autopurge.purgeInterval=1\nautopurge.snapRetainCount=2\n",
            Some(AutoPurge { every: hour, keep: 3 }),
            true,
        ),
    ] {
        let cfg = good(&format!("dataDir=/d\nclientPort=2181\n{lines}"), &[]);
        assert_eq!(cfg.settings.auto_purge, expected, "{lines}");
        assert_eq!(!cfg.warnings.is_empty(), warned, "{lines}");
    }
}

#[test]
fn errors_name_file_line_and_what_was_expected() {
    let three = |line: &str| format!("{ENSEMBLE}{line}\n");
    let cases: &[(String, &str)] = &[
        ("clientPort=2181\n".into(), "/etc/zoo.cfg: dataDir is missing"),
        (three("tickTme=1"), "/etc/zoo.cfg:10: unknown key tickTme: did you mean tickTime?"),
        (three("frobnicate=1"), "/etc/zoo.cfg:10: unknown key frobnicate, and no known key"),
        (three("just words"), "/etc/zoo.cfg:10: expected key=value, found \"just words\""),
        (three("=x"), "/etc/zoo.cfg:10: expected a key before '='"),
        (three("dataDir=C:\\zk"), "/etc/zoo.cfg:10: escapes with '\\' are not supported"),
        (three("a=b\\"), "/etc/zoo.cfg:10: line continuation"),
        (
            three("tickTime=two"),
            "/etc/zoo.cfg:10: tickTime: expected a whole number from 1, found \"two\"",
        ),
        (three("tickTime=0"), "/etc/zoo.cfg:10: tickTime: expected a whole number from 1 to"),
        (
            three("clientPort=70000"),
            "/etc/zoo.cfg:10: clientPort: expected a port from 1 to 65535, found \"70000\"",
        ),
        (
            three("server.4=zoo4:2888"),
            "/etc/zoo.cfg:10: server.4: expected host:quorumPort:electionPort",
        ),
        (
            three("server.x=zoo4:1:2"),
            "/etc/zoo.cfg:10: server.x: expected a server id from 1 to 254, found \"x\"",
        ),
        (three("group.1=1:2"), "/etc/zoo.cfg:10: group.1 is not carried out by Zebu yet"),
        (three("sslQuorum=true"), "/etc/zoo.cfg:10: sslQuorum is not carried out by Zebu yet"),
        (
            three("minSessionTimeout=90000"),
            "/etc/zoo.cfg:10: minSessionTimeout (90000 ms) is larger than maxSessionTimeout (40000 ms)",
        ),
        (three("electionAlg=1"), "/etc/zoo.cfg:10: electionAlg: only 3 is supported"),
        (three("extendedTypesEnabled=maybe"), "expected true or false, found \"maybe\""),
        (three("zookeeper.extendedTypesEnabled=maybe"), "expected true or false, found \"maybe\""),
        (three("znode.container.maxPerMinute=0"), "expected a whole number from 1 to"),
        (three("znode.container.check=1"), "/etc/zoo.cfg:10: unknown key znode.container.check"),
        (three("dynamicConfigFile=/no"), "/etc/zoo.cfg:7: server.1 must stand in the file"),
        (
            "dataDir=/e\nserver.1=a:1:2\nserver.2=b:1:2\n".into(),
            "/e/myid: is missing: write the number of this server into it, one of 1, 2 as in /etc/zoo.cfg",
        ),
        (
            "dataDir=/e\nserver.1=a:1:2:observer\n".into(),
            "/etc/zoo.cfg: expected at least one server.N that is a participant",
        ),
        (
            "dataDir=/var/zk\nserver.1=a:1:2\nserver.2=b:1:2:observer\n".into(),
            "/etc/zoo.cfg:3: server.2, this server, is an observer",
        ),
        ("dataDir=/d\nclientPortAddress=::1\n".into(), "/etc/zoo.cfg:2: clientPortAddress is set"),
        (
            "dataDir=/var/zk\nserver.1=a:1:2\nserver.3=b:1:2\n".into(),
            "/var/zk/myid:1: says 2, but /etc/zoo.cfg has no server.2",
        ),
        (
            "dataDir=/var/zk\nclientPort=1\nserver.2=a:1:2;5\nserver.3=b:1:2\n".into(),
            "/etc/zoo.cfg:2: client address 0.0.0.0:1 differs from 0.0.0.0:5 of server.2",
        ),
    ];
    for (text, expected) in cases {
        let errors = match parse(text, &[("/var/zk/myid", "2")]) {
            Ok(_) => panic!("expected {expected:?} for\n{text}"),
            Err(errors) => errors.to_string(),
        };
        assert!(errors.contains(expected), "expected {expected:?}, found\n{errors}");
    }
}

#[test]
fn all_errors_are_told_at_once() {
    let errors = parse("dataDir=/d\ntickTme=1\nclientPort=x\nnonsense\n", &[]).unwrap_err();
    let lines: Vec<usize> = errors.0.iter().map(|remark| remark.line).collect();
    assert_eq!(lines, [2, 3, 4]);
}
