//! What a case is: steps of several sessions, and which of them are drawn how often. To compare one
//! more operation, add its line to [`request`] or [`part`] and its path to [`placed`].
//!
//! Nothing is written outside the case's own directory, because the cases share their servers.

use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use zebu_core::ids::Zxid;
use zebu_core::proto::{
    Acl, AddWatchMode, CreateRequest, CreateTtlRequest, Id, Request, SetWatches, WatcherType,
    create_flags, perms,
};

use super::full;

/// Sessions of a case.
pub(super) const SESSIONS: usize = 3;
const STEPS_MAX: usize = 40;

/// Stands for the case's own directory at the start of a path.
pub(super) const HERE: &str = "~";
/// And this for the quotas on paths in that directory.
pub(super) const QUOTAS_HERE: &str = "?";
pub(super) const QUOTA: &str = "/zookeeper/quota";
/// And this for the case's own parent of [`full`].
pub(super) const FULL: &str = "!";

#[derive(Clone, Debug)]
pub(super) struct Step {
    pub(super) session: usize,
    pub(super) action: Action,
}

#[derive(Clone, Debug)]
pub(super) enum Action {
    /// Sent at once, one behind the other.
    Ask(Vec<Request>),
    /// A request whose body lacks its last bytes.
    Cut { request: Request, lost: usize },
    /// A request with one byte of its body changed.
    Spoilt { request: Request, at: usize, byte: u8 },
    /// A request with bytes behind its body.
    Longer { request: Request, more: usize },
    /// A body that no [`Request`] has, or an opcode that nobody knows.
    Raw { opcode: i32, body: Vec<u8> },
    /// A new connection for the session while the old one stands.
    Connect(Credentials),
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Credentials {
    Right,
    WrongPassword,
    /// Of this session's predecessor, which was closed.
    Closed,
    /// With a zxid that the server has not reached.
    Ahead,
    NoReadOnlyByte,
    Timeout(i32),
}

pub(super) fn steps() -> impl Strategy<Value = Vec<Step>> {
    prop_oneof![
        4 => steps_of(action().boxed(), &NODES_AT_FIRST),
        1 => steps_of(with_quotas(SOFT_LIMITS), &QUOTAS_AT_FIRST),
        1 => steps_of(with_quotas(HARD_LIMITS).prop_map(one_at_a_time).boxed(), &QUOTAS_AT_FIRST),
        1 => steps_of(prop_oneof![1 => action(), 3 => full::about_full()].boxed(), &NODES_AT_FIRST),
    ]
}

/// Steps with these actions, usually with something to find for them.
fn steps_of(
    action: BoxedStrategy<Action>,
    at_first: &'static [&'static str],
) -> impl Strategy<Value = Vec<Step>> {
    let step = (0..SESSIONS, action).prop_map(|(session, action)| Step { session, action });
    (prop::bool::weighted(0.8), vec(step, 1..=STEPS_MAX)).prop_map(|(furnished, drawn)| {
        let mut steps = if furnished { vec![furnish(at_first)] } else { vec![] };
        steps.extend(drawn);
        steps
    })
}

const NODES_AT_FIRST: [&str; 4] = ["~/a", "~/b", "~/a/a", "~/a/b"];
const QUOTAS_AT_FIRST: [&str; 7] =
    ["~/a", "?/a", "?/a/zookeeper_limits", "?/a/zookeeper_stats", "~/a/a", "?/b", "?/a/a"];

fn furnish(paths: &[&str]) -> Step {
    let create = |path: &str| {
        let (path, acl, flags) = (path.into(), Acl::open(), create_flags::PERSISTENT);
        Request::Create(CreateRequest { path, data: Some(Bytes::new()), acl, flags })
    };
    let creates = paths.iter().map(|path| create(path)).collect();
    Step { session: 0, action: Action::Ask(creates) }
}

fn action() -> impl Strategy<Value = Action> {
    prop_oneof![
        60 => request().prop_map(|request| Action::Ask(vec![request])),
        8 => vec(request().prop_filter("takes its turn", takes_its_turn), 2..6).prop_map(Action::Ask),
        2 => (request(), 1..30usize).prop_map(|(request, lost)| Action::Cut { request, lost }),
        3 => (request().prop_filter("spoils alike", spoils_alike), 0..60usize, odd_byte())
            .prop_map(|(request, at, byte)| Action::Spoilt { request, at, byte }),
        1 => (request(), 1..9usize).prop_map(|(request, more)| Action::Longer { request, more }),
        3 => raw().prop_map(|(opcode, body)| Action::Raw { opcode, body }),
        3 => credentials().prop_map(Action::Connect),
    ]
}

/// Also requests about quotas, with limits like these.
fn with_quotas(limits: &'static [&'static str]) -> BoxedStrategy<Action> {
    let about_quotas = about_quotas(limits).prop_map(|request| Action::Ask(vec![request]));
    prop_oneof![3 => action(), 1 => about_quotas].boxed()
}

/// Nothing that Java judges before something else is applied: see [`super::known`].
fn one_at_a_time(action: Action) -> Action {
    match action {
        Action::Ask(mut requests) => {
            requests.truncate(1);
            Action::Ask(requests.into_iter().map(with_one_write).collect())
        }
        Action::Cut { request, lost } => Action::Cut { request: with_one_write(request), lost },
        Action::Spoilt { request, at, byte } => {
            Action::Spoilt { request: with_one_write(request), at, byte }
        }
        Action::Longer { request, more } => {
            Action::Longer { request: with_one_write(request), more }
        }
        Action::Raw { .. } | Action::Connect(_) => action,
    }
}

fn with_one_write(mut request: Request) -> Request {
    if let Request::Multi(parts) = &mut request {
        let mut writes = 0;
        parts.retain(|part| {
            writes += u32::from(!matches!(part, Request::Check { .. }));
            writes <= 1 || matches!(part, Request::Check { .. })
        });
    }
    request
}

/// Java may answer auth before what was asked earlier; what stands behind the end of a session may
/// be read or not; and what stands behind a setACL or a container with odd flags, see [`super::known`].
fn takes_its_turn(request: &Request) -> bool {
    use create_flags::{EPHEMERAL, EPHEMERAL_SEQUENTIAL};
    match request {
        Request::CreateContainer(create) => {
            ![EPHEMERAL, EPHEMERAL_SEQUENTIAL].contains(&create.flags)
        }
        request => !matches!(
            request,
            Request::Auth { .. }
                | Request::Sasl { .. }
                | Request::CloseSession
                | Request::SetAcl { .. }
        ),
    }
}

/// Java's sync can say a null path again, and ours cannot; the zxid in setWatches is not the same at
/// both; and createTTL could become one that stops Java.
fn spoils_alike(request: &Request) -> bool {
    !matches!(request, Request::Sync { .. } | Request::SetWatches(_) | Request::CreateTtl(_))
}

fn request() -> impl Strategy<Value = Request> {
    let mode = select(vec![AddWatchMode::Persistent, AddWatchMode::PersistentRecursive]);
    prop_oneof![
        16 => create().prop_map(Request::Create),
        6 => create().prop_map(Request::Create2),
        2 => create().prop_map(Request::CreateContainer),
        3 => create_ttl().prop_map(Request::CreateTtl),
        9 => (any_path(), version()).prop_map(|(path, version)| Request::Delete { path, version }),
        8 => (any_path(), watch()).prop_map(|(path, watch)| Request::Exists { path, watch }),
        8 => (any_path(), watch()).prop_map(|(path, watch)| Request::GetData { path, watch }),
        8 => (inner_path(), data(), version())
            .prop_map(|(path, data, version)| Request::SetData { path, data, version }),
        3 => any_path().prop_map(|path| Request::GetAcl { path }),
        4 => (inner_path(), acl(), version())
            .prop_map(|(path, acl, version)| Request::SetAcl { path, acl, version }),
        4 => (any_path(), watch())
            .prop_map(|(path, watch)| Request::GetChildren { path, watch }),
        4 => (any_path(), watch())
            .prop_map(|(path, watch)| Request::GetChildren2 { path, watch }),
        2 => any_path().prop_map(|path| Request::Sync { path }),
        1 => Just(Request::Ping),
        10 => vec(part(), 0..5).prop_map(Request::Multi),
        3 => set_watches().prop_map(Request::SetWatches),
        3 => (any_path(), mode).prop_map(|(path, mode)| Request::AddWatch { path, mode }),
        2 => (any_path(), watcher()).prop_map(|(path, watcher)| Request::RemoveWatches { path, watcher }),
        1 => (any_path(), watcher()).prop_map(|(path, watcher)| Request::CheckWatches { path, watcher }),
        1 => any_path().prop_map(|path| Request::GetAllChildrenNumber { path }),
        1 => any_path().prop_map(|prefix| Request::GetEphemerals { prefix }),
        2 => vec(read_part(), 0..4).prop_map(Request::MultiRead),
        1 => Just(Request::WhoAmI),
        3 => auth(),
        1 => Just(Request::Sasl { token: Default::default() }),
        2 => Just(Request::CloseSession),
    ]
}

/// What a multi is made of; now and then something that it must not have.
fn part() -> impl Strategy<Value = Request> {
    prop_oneof![
        12 => create().prop_map(Request::Create),
        6 => create().prop_map(Request::Create2),
        2 => create().prop_map(Request::CreateContainer),
        3 => create_ttl().prop_map(Request::CreateTtl),
        8 => (inner_path(), version()).prop_map(|(path, version)| Request::Delete { path, version }),
        8 => (inner_path(), data(), version())
            .prop_map(|(path, data, version)| Request::SetData { path, data, version }),
        8 => (any_path(), version()).prop_map(|(path, version)| Request::Check { path, version }),
        1 => request_of_no_multi(),
    ]
}

fn request_of_no_multi() -> impl Strategy<Value = Request> {
    prop_oneof![
        inner_path().prop_map(|path| Request::GetData { path, watch: false }),
        (inner_path(), acl(), version()).prop_map(|(path, acl, version)| Request::SetAcl {
            path,
            acl,
            version
        }),
    ]
}

fn read_part() -> impl Strategy<Value = Request> {
    prop_oneof![
        any_path().prop_map(|path| Request::GetData { path, watch: false }),
        any_path().prop_map(|path| Request::GetChildren { path, watch: false }),
    ]
}

fn watcher() -> impl Strategy<Value = WatcherType> {
    select(vec![
        WatcherType::Children,
        WatcherType::Data,
        WatcherType::Any,
        WatcherType::Persistent,
        WatcherType::PersistentRecursive,
    ])
}

fn create() -> impl Strategy<Value = CreateRequest> {
    let flags = prop_oneof![
        12 => Just(create_flags::PERSISTENT),
        6 => Just(create_flags::EPHEMERAL),
        5 => Just(create_flags::PERSISTENT_SEQUENTIAL),
        4 => Just(create_flags::EPHEMERAL_SEQUENTIAL),
        1 => Just(create_flags::CONTAINER),
        1 => select(vec![create_flags::TTL, create_flags::TTL_SEQUENTIAL, 7, -1, i32::MIN]),
    ];
    (inner_path(), data(), acl(), flags).prop_map(|(path, data, acl, flags)| CreateRequest {
        path,
        data,
        acl,
        flags,
    })
}

/// With flags of another kind only times that Java refuses.
fn create_ttl() -> impl Strategy<Value = CreateTtlRequest> {
    let flags = select(vec![create_flags::TTL, create_flags::TTL, create_flags::TTL_SEQUENTIAL]);
    let times = vec![1, 60_000, (1 << 40) - 1, 1 << 40, 0, -1, i64::MIN, i64::MAX];
    let of_ttl = (create(), flags, select(times)).prop_map(|(create, flags, ttl_ms)| {
        CreateTtlRequest { create: CreateRequest { flags, ..create }, ttl_ms }
    });
    let of_others = (create(), select(vec![0, 1, 60_000]))
        .prop_map(|(create, ttl_ms)| CreateTtlRequest { create, ttl_ms });
    prop_oneof![6 => of_ttl, 1 => of_others]
}

/// As well-formed as Java needs it.
fn about_quotas(limits: &'static [&'static str]) -> impl Strategy<Value = Request> {
    let text = |text: &str| Some(Bytes::copy_from_slice(text.as_bytes()));
    let limits_path = || quota_path("zookeeper_limits");
    let stats_path = || quota_path("zookeeper_stats");
    let limits = move || select(limits).prop_map(text);
    let create = |(path, data): (String, Option<Bytes>)| {
        let (acl, flags) = (Acl::open(), create_flags::PERSISTENT);
        Request::Create(CreateRequest { path, data, acl, flags })
    };
    let set_data =
        |(path, data): (String, Option<Bytes>)| Request::SetData { path, data, version: -1 };
    let either = || prop_oneof![limits_path(), stats_path()];
    prop_oneof![
        3 => (limits_path(), limits()).prop_map(create),
        3 => (stats_path(), data()).prop_map(create),
        2 => (limits_path(), limits()).prop_map(set_data),
        1 => (stats_path(), select(USAGES).prop_map(text)).prop_map(set_data),
        2 => either().prop_map(|path| Request::Delete { path, version: -1 }),
        8 => (stats_path(), watch()).prop_map(|(path, watch)| Request::GetData { path, watch }),
        1 => (either(), watch()).prop_map(|(path, watch)| Request::Exists { path, watch }),
        1 => (quota_path(""), watch()).prop_map(|(path, watch)| Request::GetChildren2 { path, watch }),
    ]
}

fn quota_path(name: &'static str) -> impl Strategy<Value = String> {
    let limited = select(vec!["/a", "/a", "/a", "/a/a", "/b", ""]);
    limited.prop_map(move |limited| match name {
        "" => format!("{QUOTAS_HERE}{limited}"),
        name => format!("{QUOTAS_HERE}{limited}/{name}"),
    })
}

const SOFT_LIMITS: &[&str] = &["count=3,bytes=8", "count=-1,bytes=-1", "bytes=0", ""];
const HARD_LIMITS: &[&str] = &[
    "count=1,bytes=1=;countHardLimit=3",
    "count=-1,bytes=-1=;byteHardLimit=4",
    "byteHardLimit=9;countHardLimit=5",
    "countHardLimit=-1,bytes=2",
];
/// What Java can read, in the stats of a quota.
const USAGES: &[&str] = &[
    "count=1,bytes=1",
    "bytes=7",
    "count==5,,bytes=2=;",
    "other=3,count=2=;countHardLimit=7;=1",
    "count=-9223372036854775808,bytes=9223372036854775807",
    "",
];

fn set_watches() -> impl Strategy<Value = SetWatches> {
    let paths = || vec(any_path(), 0..3);
    let persistent = || prop_oneof![2 => Just(vec![]), 1 => vec(any_path(), 0..3)];
    (-2..12i64, paths(), paths(), paths(), persistent(), persistent()).prop_map(
        |(since, data, exist, child, persistent, persistent_recursive)| SetWatches {
            relative_zxid: Zxid::from_wire(since),
            data,
            exist,
            child,
            persistent,
            persistent_recursive,
        },
    )
}

fn auth() -> impl Strategy<Value = Request> {
    let pairs = [
        ("digest", "ann:secret"),
        ("digest", "bob:secret"),
        ("digest", "nocolon"),
        ("digest", ""),
        ("digest", "a:b:c"),
        ("ip", "whatever"),
        ("world", "anyone"),
        ("nobody", "x"),
    ];
    select(pairs.to_vec())
        .prop_map(|(scheme, auth)| Request::Auth { scheme: scheme.into(), auth: auth.into() })
}

/// The paths that most steps meet on, parents more often than children.
const NODES: &[&str] = &["~/a", "~/a", "~/a", "~/b", "~/b", "~/a/a", "~/a/a", "~/a/b", "~/a/a/a"];

/// Within the case's directory, or refused whatever it is asked for.
fn inner_path() -> impl Strategy<Value = String> {
    let rare = [
        "~",
        "~/a0000000000",
        "~/a0000000001",
        "~/b0000000002",
        "~/a/0000000000",
        "~/a/",
        "~/",
        "~//a",
        "~/.",
        "~/a/..",
        "~/...",
        "~/a/./b",
        "~/a\u{0}",
        "~/\u{1f}",
        "~/\u{7f}",
        "~/é",
        "~/\u{fffd}",
        "~/\u{e000}",
        "~/nope/a",
        "a",
    ];
    prop_oneof![
        12 => select(NODES.to_vec()).prop_map(String::from),
        2 => select(rare.to_vec()).prop_map(String::from),
    ]
}

/// Anything that may be read, or deleted in vain.
fn any_path() -> impl Strategy<Value = String> {
    let outside =
        ["/", "", "/zookeeper", "/zookeeper/quota", "/zookeeper/nope", "/zookeeper/", "//"];
    prop_oneof![
        12 => inner_path(),
        1 => select(outside.to_vec()).prop_map(String::from),
    ]
}

fn watch() -> impl Strategy<Value = bool> {
    prop::bool::weighted(0.7)
}

fn version() -> impl Strategy<Value = i32> {
    prop_oneof![
        12 => Just(-1),
        6 => 0..3i32,
        1 => select(vec![-2, i32::MIN, i32::MAX]),
    ]
}

fn data() -> impl Strategy<Value = Option<Bytes>> {
    let some = ["", "x", "some more"].map(|text| Some(Bytes::from_static(text.as_bytes())));
    prop_oneof![1 => Just(None), 4 => select(some.to_vec())]
}

/// Mostly open, so that most steps find something they may do.
fn acl() -> impl Strategy<Value = Vec<Acl>> {
    prop_oneof![
        12 => Just(Acl::open()),
        2 => Just(vec![Acl::world(perms::ALL & !perms::READ)]),
        3 => vec(acl_entry(), 0..4),
    ]
}

fn acl_entry() -> impl Strategy<Value = Acl> {
    let ids = [
        ("world", "anyone"),
        ("world", "other"),
        ("auth", ""),
        ("auth", "ignored"),
        // What auth makes of ann:secret and bob:secret.
        ("digest", "ann:7RJfAeIvrl4zdj6sS2fXrQHDvHM="),
        ("digest", "bob:fyVmFCwVbTJYrznoSu1koqYEYF0="),
        ("digest", "u"),
        ("digest", "u:"),
        ("digest", ":h"),
        ("digest", "a:b:c"),
        ("ip", "127.0.0.1"),
        ("ip", "127.0.0.0/8"),
        ("ip", "127.0.0.1/32"),
        ("ip", "127.0.0.2/31"),
        ("ip", "126.0.0.0/7"),
        ("ip", "0.0.0.0/0"),
        ("ip", "127.0.0.1/"),
        ("ip", "127.0.0.1/8/8"),
        ("ip", "127.0.0.1/-1"),
        ("ip", "127.0.0.256"),
        ("ip", ""),
        ("ip", "127.0.0.0/33"),
        ("ip", "10.0.0.0/8"),
        ("ip", "1.2.3"),
        ("super", ""),
        ("sasl", "bob"),
        ("x509", "CN=bob"),
        ("key", "x"),
        ("nobody", "x"),
        ("", ""),
    ];
    let perms = prop_oneof![
        3 => Just(perms::ALL),
        3 => 0..32i32,
        1 => select(vec![-1, 64, i32::MIN]),
    ];
    (perms, select(ids.to_vec())).prop_map(|(perms, (scheme, id))| Acl {
        perms,
        id: Id { scheme: scheme.into(), id: id.into() },
    })
}

fn odd_byte() -> impl Strategy<Value = u8> {
    prop_oneof![2 => select(vec![0, 1, 0x2F, 0x7F, 0x80, 0xFF]), 1 => any::<u8>()]
}

fn raw() -> impl Strategy<Value = (i32, Vec<u8>)> {
    prop_oneof![
        3 => (select(vec![0, -1, 10, 13, 23, 99, 108, 500, i32::MIN, i32::MAX]), vec(any::<u8>(), 0..9)),
        2 => (select(vec![1, 2, 3, 4, 5, 6, 7, 8, 12, 14, 15, 101]), vec(select(vec![0, 1, 0xFF]), 0..40)),
    ]
}

fn credentials() -> impl Strategy<Value = Credentials> {
    prop_oneof![
        6 => Just(Credentials::Right),
        1 => Just(Credentials::WrongPassword),
        1 => Just(Credentials::Closed),
        1 => Just(Credentials::Ahead),
        1 => Just(Credentials::NoReadOnlyByte),
        1 => select(vec![0, -1, 45_000, i32::MAX]).prop_map(Credentials::Timeout),
    ]
}

/// `request` with each of its paths as `place` has it.
pub(super) fn placed(request: &Request, place: &dyn Fn(&str) -> String) -> Request {
    let mut request = request.clone();
    match &mut request {
        Request::Create(create) | Request::Create2(create) | Request::CreateContainer(create) => {
            create.path = place(&create.path);
        }
        Request::CreateTtl(ttl) => ttl.create.path = place(&ttl.create.path),
        Request::Delete { path, .. }
        | Request::Exists { path, .. }
        | Request::GetData { path, .. }
        | Request::SetData { path, .. }
        | Request::GetAcl { path }
        | Request::SetAcl { path, .. }
        | Request::GetChildren { path, .. }
        | Request::GetChildren2 { path, .. }
        | Request::GetAllChildrenNumber { path }
        | Request::CheckWatches { path, .. }
        | Request::RemoveWatches { path, .. }
        | Request::AddWatch { path, .. }
        | Request::Sync { path }
        | Request::Check { path, .. } => *path = place(path),
        Request::GetEphemerals { prefix } => *prefix = place(prefix),
        Request::Multi(parts) | Request::MultiRead(parts) => {
            for part in parts {
                *part = placed(part, place);
            }
        }
        Request::SetWatches(SetWatches {
            relative_zxid: _,
            data,
            exist,
            child,
            persistent,
            persistent_recursive,
        }) => {
            for path in [data, exist, child, persistent, persistent_recursive].into_iter().flatten()
            {
                *path = place(path);
            }
        }
        Request::Ping
        | Request::Auth { .. }
        | Request::Sasl { .. }
        | Request::WhoAmI
        | Request::Reconfig(_)
        | Request::CloseSession
        | Request::CreateSession { .. }
        | Request::Malformed(_)
        | Request::Unknown(_) => {}
    }
    request
}
