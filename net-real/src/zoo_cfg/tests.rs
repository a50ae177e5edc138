//! Tables of good and bad files.

use super::*;
use std::time::Duration;

use crate::settings::{AutoPurge, Birth, Syncing};
use zebu_core::auth::digest::Algorithm;
use zebu_core::auth::sasl::UserKey;
use zebu_core::config::{
    AuthConfig, Containers, DigestConfig, EnsembleNameConfig, Hierarchy, MemberRole, SaslConfig,
    Secret, SyncsMax, X509Config,
};
use zebu_core::storage::Layout;

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
    assert_eq!(cfg.warnings, []);
}

#[test]
fn an_observer() {
    let lines = "peerType=observer\nobserver.election.DelayMs=0\nobserver.reconnectDelayMs=30\n\
                 leader.maxConcurrentSnapSyncs=2\nleader.maxConcurrentDiffSyncs=20\n";
    let text = format!("{ENSEMBLE}{lines}");
    let cfg = good(&text, &[("/var/zk/myid", "3\n")]);
    let config = &cfg.settings.config;
    assert_eq!(config.ensemble.role_of(config.my_id), MemberRole::Observer);
    assert_eq!(config.observers.election_delay_max, Duration::ZERO);
    assert_eq!(config.observers.reconnect_delay_max, Duration::from_millis(30));
    assert_eq!(cfg.settings.election, Some(Address::new("2001:db8::3", 3888)));
    assert_eq!(cfg.settings.quorum, None);
    assert_eq!(cfg.warnings, []);
    assert_eq!((config.observers.master_port, config.observers.keep_log), (None, true));
    assert_eq!(config.observers.syncs_max, SyncsMax { snaps: 2, diffs: 20 });
    for (lines, keep_log) in [
        ("syncEnabled=false\n", false),
        ("observer.syncEnabled=false\n", false),
        ("syncEnabled=false\nobserver.syncEnabled=true\n", true),
    ] {
        let cfg = good(&format!("{text}{lines}"), &[("/var/zk/myid", "3\n")]);
        assert_eq!(cfg.settings.config.observers.keep_log, keep_log, "{lines}");
    }
    // Told so for itself, but not in the list: the list is what the others go by.
    let cfg = good(&text, &[("/var/zk/myid", "2\n")]);
    let warnings: Vec<String> = cfg.warnings.iter().map(ToString::to_string).collect();
    let overruled =
        "/etc/zoo.cfg:10: peerType=observer is overruled by server.2, which is a participant";
    assert_eq!(warnings, [overruled]);
}

#[test]
fn observer_masters() {
    let text = format!("{ENSEMBLE}observerMasterPort=2191\n");
    for (my_id, listens_at) in [("2", Some(Address::new("zoo2", 2191))), ("3", None)] {
        let cfg = good(&text, &[("/var/zk/myid", my_id)]);
        assert_eq!(cfg.settings.config.observers.master_port, Some(2191));
        assert_eq!(cfg.settings.observer_master, listens_at, "server {my_id}");
        assert_eq!(cfg.warnings, []);
    }
    let everywhere = format!("{text}quorumListenOnAllIPs=true\n");
    let cfg = good(&everywhere, &[("/var/zk/myid", "2")]);
    assert_eq!(cfg.settings.observer_master, Some(Address::new("0.0.0.0", 2191)));
    let none = good(&format!("{ENSEMBLE}observerMasterPort=0\n"), &[("/var/zk/myid", "2")]);
    assert_eq!(none.settings.observer_master, None);
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
enforceQuota=true
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
    assert!(config.enforce_quota);
}

#[test]
fn what_the_disk_holds_and_how_surely() {
    let with = |lines: &str| good(&format!("dataDir=/d\nclientPort=2181\n{lines}"), &[]);
    let by_default = with("").settings;
    let cfg = with(
        "\
closeSessionTxn.enabled=false
snapSizeLimitInKb=64
txnLogSizeLimitInKb=32
digest.enabled=false
serializeLastProcessedZxid.enabled=false
forceSync=no
fsync.warningthresholdms=20
datadir.autocreate=false
db.autocreate=false
",
    );
    let (settings, records) = (&cfg.settings, &cfg.settings.config.records);
    assert_eq!((records.close_lists_ephemerals, records.snap_bytes), (false, 65536));
    let expected = Layout { digest: false, last_processed: false, log_bytes: Some(32768) };
    assert_eq!(settings.storage.layout, expected);
    let syncing = Syncing { force: false, slow: Duration::from_millis(20) };
    assert_eq!(settings.syncing, syncing);
    assert_eq!(settings.birth, Birth { directories: false, database: false });
    let warnings: Vec<_> = cfg.warnings.iter().map(|warning| warning.line).collect();
    assert_eq!(warnings, [6, 8], "{:?}", cfg.warnings);

    let off = with("snapSizeLimitInKb=-1\ntxnLogSizeLimitInKb=-1\nforceSync=yes\n").settings;
    assert_eq!(off.config.records.snap_bytes, 0);
    assert_eq!((off.storage.layout, off.syncing), (by_default.storage.layout, by_default.syncing));
    assert_eq!(by_default.storage.layout, Layout::DEFAULT);

    assert_eq!(by_default.storage.log_permille_max, 330);
    for (share, permille) in [("0.5", 500), ("2", 2000), ("-1", 0)] {
        let settings = with(&format!("snapshotSizeFactor={share}\n")).settings;
        assert_eq!(settings.storage.log_permille_max, permille, "{share}");
    }
}

#[test]
fn whom_a_leader_serves_and_who_judges_lists() {
    let with = |lines: &str| good(&format!("dataDir=/d\nclientPort=2181\n{lines}"), &[]);
    for (lines, serves_nobody, eager) in [
        ("", false, false),
        ("leaderServes=yes\nenableEagerACLCheck=false\n", false, false),
        ("leaderServes=no\nzookeeper.enableEagerACLCheck=true\n", true, true),
    ] {
        let config = with(lines).settings.config;
        let found = (config.admission.leader_serves_nobody, config.auth.eager);
        assert_eq!(found, (serves_nobody, eager), "{lines}");
    }
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
fn groups_and_weights() {
    let hierarchy = Hierarchy {
        groups: [(1, [ServerId(1)].into()), (2, [ServerId(2)].into())].into(),
        weights: [(ServerId(1), 3)].into(),
    };
    let lines = "group.1=1\ngroup.2=2\nweight.1=3\n";
    let cfg = good(&format!("{ENSEMBLE}{lines}"), &[("/var/zk/myid", "2\n")]);
    assert_eq!(cfg.settings.config.ensemble.hierarchy.as_ref(), Some(&hierarchy));
    let dynamic = format!("server.1=a:1:2;5\nserver.2=b:1:2\n{lines}");
    let files = [("/etc/dynamic", dynamic.as_str()), ("/d/myid", "1")];
    let cfg = good("dataDir=/d\ndynamicConfigFile=/etc/dynamic\n", &files);
    assert_eq!(cfg.settings.config.ensemble.hierarchy, Some(hierarchy));
}

#[test]
fn keys_without_effect_are_warned_about_by_name() {
    let text = "dataDir=/d\nclientPort=2181\nadmin.serverPort=1\nclientPort=2182\nssl.ciphers=x\nsslQuorum=false\nadmin.enableServer=false\nnio.numWorkerThreads=4\n";
    let cfg = good(text, &[]);
    let warnings: Vec<String> = cfg.warnings.iter().map(ToString::to_string).collect();
    assert_eq!(
        warnings,
        [
            "/etc/zoo.cfg:3: admin.serverPort has no effect: Zebu has no AdminServer yet",
            "/etc/zoo.cfg:4: clientPort replaces its value of line 2",
            "/etc/zoo.cfg:5: ssl.ciphers has no effect: Zebu has no TLS yet",
            "/etc/zoo.cfg:8: nio.numWorkerThreads has no effect in Zebu: it is about upstream's threads and buffers",
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
        (three("forceSync=false"), "/etc/zoo.cfg:10: forceSync: expected yes or no"),
        (three("leaderServes=false"), "/etc/zoo.cfg:10: leaderServes: expected yes or no"),
        (three("emulate353TTLNodes=true"), "/etc/zoo.cfg:10: emulate353TTLNodes: Zebu cannot"),
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
        (three("group.1=1"), "/etc/zoo.cfg:8: server.2 is in no group"),
        (three("weight.1=2"), "/etc/zoo.cfg:7: server.1 is in no group"),
        (three("group.1=1:2:4"), "/etc/zoo.cfg:10: group.1: there is no server.4"),
        (three("group.1=1:2:3"), "/etc/zoo.cfg:10: group.1: server 3 is an observer"),
        (three("group.1=1:2:1"), "/etc/zoo.cfg:10: group.1: server 1 is in group.1 already"),
        (three("group.1=1,2"), "/etc/zoo.cfg:10: group.1: expected a server id from 1 to 254"),
        (three("group.a=1:2"), "/etc/zoo.cfg:10: group.a: expected a number behind"),
        (
            three("group.1=1\ngroup.2=2:1"),
            "/etc/zoo.cfg:11: group.2: server 1 is in group.1 already",
        ),
        (
            three("group.1=1:2\nweight.1=-1"),
            "/etc/zoo.cfg:11: weight.1: expected a whole number from 0, found \"-1\"",
        ),
        (
            three("group.1=1:2\nweight.1=0\nweight.2=0"),
            "/etc/zoo.cfg:10: no participant has a weight above 0",
        ),
        (three("sslQuorum=true"), "/etc/zoo.cfg:10: sslQuorum is not carried out by Zebu yet"),
        (
            three("minSessionTimeout=90000"),
            "/etc/zoo.cfg:10: minSessionTimeout (90000 ms) is larger than maxSessionTimeout (40000 ms)",
        ),
        (
            three("observerMasterPort=70000"),
            "/etc/zoo.cfg:10: observerMasterPort: expected a port from 1 to 65535",
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
            "/etc/zoo.cfg: observers of one participant need standaloneEnabled=false",
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
        let errors = match parse(text, &[("/var/zk/myid", "2"), ("/d3/myid", "3")]) {
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

// ---- authentication ----

const JAAS: &str = "\
Server {
    org.apache.zookeeper.server.auth.DigestLoginModule required
    user_super=\"adminsecret\"
    user_bob=\"bobsecret\";
};
Kerberos { com.sun.security.auth.module.Krb5LoginModule required; };
Strange { com.example.Module required; };
Nobody { org.apache.zookeeper.server.auth.DigestLoginModule required; };
";
const FILES: &[(&str, &str)] = &[("/etc/jaas.conf", JAAS), ("/etc/bad.conf", "Server {\n oops }")];

fn with(lines: &str) -> String {
    format!("dataDir=/d\nclientPort=2181\n{lines}")
}

#[test]
fn nothing_said_about_authentication_is_upstreams_default() {
    let cfg = good(&with(""), &[]);
    assert_eq!(cfg.settings.config.auth, AuthConfig::new());
}

#[test]
fn users_come_from_the_servers_section() {
    let text = with(
        "java.security.auth.login.config=/etc/jaas.conf
authProvider.1=org.apache.zookeeper.server.auth.SASLAuthenticationProvider
superUser=root
superUser.2=admin
allowSaslFailedClients=true
letAnySaslUserDoX=anybody
sessionRequireClientSASLAuth=true
",
    );
    let cfg = good(&text, FILES);
    assert_eq!(cfg.warnings, []);
    let auth = &cfg.settings.config.auth;
    let users = [("super", "adminsecret"), ("bob", "bobsecret")]
        .map(|(u, p)| (u.into(), UserKey::new(u, p)));
    let expected = SaslConfig {
        provider: true,
        users: Some(users.into()),
        allow_failed: true,
        super_users: ["root".into(), "admin".into()].into(),
        everybody: Some("anybody".into()),
    };
    assert_eq!(auth.sasl, expected);
    assert!(auth.requires_sasl());
    let shown = format!("{:?}", cfg.settings);
    assert!(shown.contains("bob") && !shown.contains("bobsecret"), "{shown}");
}

#[test]
fn users_of_our_own_keys_need_no_class_of_javas() {
    let text = with(
        "sasl.users.bob=x y\nsasl.users.super=s\nSASLAuthenticationProvider.superPassword=t\n",
    );
    let sasl = good(&text, &[]).settings.config.auth.sasl;
    let users = [("bob", "x y"), ("super", "t")].map(|(u, p)| (u.into(), UserKey::new(u, p)));
    assert_eq!((sasl.provider, sasl.users), (true, Some(users.into())));
    // They are added to those of a JAAS file; there must be a super for its password to be of use.
    let text = with(
        "java.security.auth.login.config=file:/etc/jaas.conf\nsasl.users.bob=mine\nsasl.users.eve=e\n",
    );
    let cfg = good(&text, FILES);
    let warnings: Vec<String> = cfg.warnings.iter().map(ToString::to_string).collect();
    assert_eq!(
        warnings,
        [
            "/etc/zoo.cfg:3: java.security.auth.login.config: clients can log in, but without authProvider.sasl=org.apache.zookeeper.server.auth.SASLAuthenticationProvider no list can name them",
            "/etc/zoo.cfg:4: sasl.users.bob replaces this user of the JAAS file",
        ]
    );
    let users = cfg.settings.config.auth.sasl.users.unwrap();
    assert_eq!(users.keys().collect::<Vec<_>>(), ["bob", "eve", "super"]);
    assert_eq!(users["bob"], UserKey::new("bob", "mine"));
    let alone = good(&with("SASLAuthenticationProvider.superPassword=t\n"), &[]);
    assert_eq!(alone.settings.config.auth.sasl.users, None);
}

#[test]
fn every_key_of_authentication_lands_where_it_belongs() {
    let text = with(
        "skipACL=yes
DigestAuthenticationProvider.enabled=false
DigestAuthenticationProvider.digestAlg=SHA-256
DigestAuthenticationProvider.superDigest=super:wjySwxg860UATFtciuZ1lpzrCHrPeov6SPu/ZD56uig=
X509AuthenticationProvider.superUser=CN=root,O=x
authProvider.x509=org.apache.zookeeper.server.auth.X509AuthenticationProvider
authProvider.e=org.apache.zookeeper.server.auth.EnsembleAuthenticationProvider
authProvider.ip=org.apache.zookeeper.server.auth.IPAuthenticationProvider
ensembleAuthName=one, two,
enforce.auth.enabled=true
enforce.auth.schemes=ip , x509
",
    );
    let cfg = good(&text, &[]);
    assert_eq!(cfg.warnings, []);
    let super_id = "super:wjySwxg860UATFtciuZ1lpzrCHrPeov6SPu/ZD56uig=";
    let expected = AuthConfig {
        skip_acl: true,
        digest: DigestConfig {
            enabled: false,
            algorithm: Algorithm::Sha256,
            super_id: Some(Secret::new(super_id)),
        },
        x509: X509Config { provider: true, super_user: Some("CN=root,O=x".into()) },
        ensemble: EnsembleNameConfig { provider: true, names: ["one".into(), "two".into()].into() },
        required_schemes: ["ip".into(), "x509".into()].into(),
        ..AuthConfig::new()
    };
    assert_eq!(cfg.settings.config.auth, expected);
    // Naming the class of digests brings them back, as upstream's registry does.
    let text = with(
        "DigestAuthenticationProvider.enabled=false\nauthProvider.d=org.apache.zookeeper.server.auth.DigestAuthenticationProvider\n",
    );
    assert!(good(&text, &[]).settings.config.auth.digest.enabled);
}

#[test]
fn authentication_that_cannot_work_is_an_error() {
    for (lines, expected) in [
        ("skipACL=true", "/etc/zoo.cfg:3: skipACL: expected yes or no, found \"true\""),
        (
            "authProvider.1=com.example.Mine",
            "/etc/zoo.cfg:3: authProvider.1: Zebu cannot load Java's classes",
        ),
        (
            "authProvider.1=org.apache.zookeeper.server.auth.KeyAuthenticationProvider",
            "found \"org.apache.zookeeper.server.auth.KeyAuthenticationProvider\"",
        ),
        (
            "DigestAuthenticationProvider.digestAlg=MD2",
            "digestAlg: expected one of MD5, SHA1, SHA-224",
        ),
        (
            "enforce.auth.enabled=true",
            "/etc/zoo.cfg:3: enforce.auth.enabled: enforce.auth.schemes is missing",
        ),
        (
            "enforce.auth.enabled=true\nenforce.auth.schemes=digest,sasl",
            "/etc/zoo.cfg:4: authentication by scheme \"sasl\" is demanded, but no authProvider",
        ),
        (
            "sessionRequireClientSASLAuth=true",
            "/etc/zoo.cfg:3: authentication by scheme \"sasl\" is demanded",
        ),
        (
            "java.security.auth.login.config=/no",
            "/etc/zoo.cfg:3: java.security.auth.login.config: /no cannot be read",
        ),
        (
            "java.security.auth.login.config=/etc/bad.conf",
            "/etc/bad.conf:2: expected one of required",
        ),
        (
            "sasl.serverconfig=X",
            "/etc/zoo.cfg:3: sasl.serverconfig: java.security.auth.login.config, its file, is missing",
        ),
        (
            "java.security.auth.login.config=/etc/jaas.conf\nsasl.serverconfig=X",
            "/etc/jaas.conf: has no section X",
        ),
        (
            "java.security.auth.login.config=/etc/jaas.conf\nsasl.serverconfig=Kerberos",
            "/etc/jaas.conf:6: Kerberos (GSSAPI) is not carried out by Zebu",
        ),
        (
            "java.security.auth.login.config=/etc/jaas.conf\nsasl.serverconfig=Strange",
            "/etc/jaas.conf:7: expected org.apache.zookeeper.server.auth.DigestLoginModule, found com.example.Module",
        ),
    ] {
        let errors = match parse(&with(lines), FILES) {
            Ok(_) => panic!("expected {expected:?} for {lines}"),
            Err(errors) => errors.to_string(),
        };
        assert!(errors.contains(expected), "{lines}: {errors}");
    }
}

#[test]
fn authentication_that_admits_nobody_is_warned_about() {
    for (lines, expected) in [
        (
            "DigestAuthenticationProvider.superDigest=super:secret",
            "/etc/zoo.cfg:3: DigestAuthenticationProvider.superDigest: expected user:hash",
        ),
        (
            "authProvider.1=org.apache.zookeeper.server.auth.SASLAuthenticationProvider
java.security.auth.login.config=/etc/jaas.conf\nsasl.serverconfig=Nobody",
            "/etc/jaas.conf:8: section Nobody has no user_NAME",
        ),
        (
            "java.security.auth.login.config=/etc/other.conf",
            "/etc/other.conf: has no section Server",
        ),
    ] {
        let cfg = good(&with(lines), &[FILES[0], ("/etc/other.conf", "")]);
        let warnings: Vec<String> = cfg.warnings.iter().map(ToString::to_string).collect();
        let [warning] = &warnings[..] else { panic!("{lines}: {warnings:?}") };
        assert!(warning.contains(expected) && !warning.contains("secret"), "{warning}");
    }
}

#[test]
fn local_sessions_are_for_ensembles() {
    let lines = "localSessionsEnabled=true\nlocalSessionsUpgradingEnabled=true\n\
                 readonlymode.enabled=true\n";
    let both = zebu_core::config::LocalSessions { enabled: true, upgrading: true };
    let cfg = good(&format!("{ENSEMBLE}{lines}"), &[("/var/zk/myid", "2\n")]);
    assert_eq!(cfg.settings.config.local_sessions, both);
    assert!(cfg.settings.config.read_only_mode.enabled);
    let words = "4lw.commands.whitelist=ruok\n";
    let cfg = good(&format!("{ENSEMBLE}{lines}{words}"), &[("/var/zk/myid", "2\n")]);
    assert!(cfg.settings.four_letter_words.allows("isro"));
    let alone = "dataDir=/d\nclientPort=2181\n";
    let cfg = good(&format!("{alone}{lines}"), &[]);
    assert_eq!(cfg.settings.config.local_sessions, Default::default());
    assert_eq!(cfg.warnings.len(), 2, "{:?}", cfg.warnings);
    let cfg = good(&format!("{alone}standaloneEnabled=false\n{lines}"), &[]);
    assert_eq!(cfg.settings.config.local_sessions, both);
    assert_eq!(cfg.warnings, []);
}
