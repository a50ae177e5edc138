//! A request of each kind that a client can send, with something in every field.

use zebu_core::ids::Zxid;
use zebu_core::proto::{
    Acl, AddWatchMode, CreateRequest, CreateTtlRequest, Id, ReconfigRequest, Request, SetWatches,
    WatcherType,
};

pub(crate) fn set_data(path: &str) -> Request {
    Request::SetData { path: path.into(), data: Some("some data".into()), version: -1 }
}

fn create(flags: i32) -> CreateRequest {
    let id = Id { scheme: "digest".into(), id: "a:b".into() };
    let acl = vec![
        Acl { perms: 31, id: Id { scheme: "world".into(), id: "anyone".into() } },
        Acl { perms: 1, id },
    ];
    CreateRequest { path: "/node".into(), data: Some("some data".into()), acl, flags }
}

pub(crate) fn requests() -> Vec<Request> {
    let path = || "/node".to_owned();
    let paths = || vec!["/".to_owned(), "/node".to_owned(), "/other".to_owned()];
    let set = |persistent: Vec<String>| SetWatches {
        relative_zxid: Zxid(1),
        data: paths(),
        exist: paths(),
        child: paths(),
        persistent_recursive: persistent.clone(),
        persistent,
    };
    vec![
        Request::Create(create(2)),
        Request::Create2(create(0)),
        Request::CreateContainer(create(4)),
        Request::CreateTtl(CreateTtlRequest { create: create(5), ttl_ms: 1000 }),
        Request::Delete { path: path(), version: -1 },
        Request::Exists { path: path(), watch: true },
        Request::GetData { path: path(), watch: true },
        set_data("/node"),
        Request::GetAcl { path: path() },
        Request::SetAcl { path: path(), acl: create(0).acl, version: -1 },
        Request::GetChildren { path: "/".into(), watch: true },
        Request::GetChildren2 { path: "/".into(), watch: true },
        Request::Sync { path: path() },
        Request::Ping,
        Request::Check { path: path(), version: 0 },
        Request::Multi(vec![
            Request::Create(create(0)),
            Request::Check { path: path(), version: 0 },
            set_data("/node"),
            Request::Delete { path: path(), version: -1 },
        ]),
        Request::MultiRead(vec![
            Request::GetData { path: path(), watch: false },
            Request::GetChildren { path: "/".into(), watch: false },
        ]),
        Request::Reconfig(ReconfigRequest {
            joining_servers: Some("server.9=a:1:2".into()),
            leaving_servers: Some("1".into()),
            new_members: None,
            config_version: -1,
        }),
        Request::GetEphemerals { prefix: "/".into() },
        Request::GetAllChildrenNumber { path: "/".into() },
        Request::WhoAmI,
        Request::CheckWatches { path: path(), watcher: WatcherType::Any },
        Request::RemoveWatches { path: path(), watcher: WatcherType::Data },
        Request::SetWatches(set(Vec::new())),
        Request::SetWatches(set(paths())),
        Request::AddWatch { path: path(), mode: AddWatchMode::PersistentRecursive },
        Request::Auth { scheme: "digest".into(), auth: "a:b".into() },
        Request::Sasl { token: "a token".into() },
        Request::CloseSession,
        Request::CreateSession { timeout_ms: 6000 },
    ]
}
