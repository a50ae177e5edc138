//! Any record, for round trips. Tests only.

use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::ids::{ServerId, SessionId, Xid, Zxid};

/// The bytes that a test writes as hexadecimal text; blanks are for the reader.
pub(crate) fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> =
        text.chars().filter_map(|c| c.to_digit(16)).map(|digit| digit as u8).collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof!["/[a-z]{0,6}", ".{0,8}"]
}
fn texts() -> impl Strategy<Value = Vec<String>> {
    prop::collection::vec(text(), 0..4)
}
fn bytes() -> impl Strategy<Value = Bytes> {
    prop::collection::vec(any::<u8>(), 0..40).prop_map(Bytes::from)
}
fn id() -> impl Strategy<Value = Id> {
    (text(), text()).prop_map(|(scheme, id)| Id { scheme, id })
}
fn acl() -> impl Strategy<Value = Vec<Acl>> {
    prop::collection::vec((any::<i32>(), id()).prop_map(|(perms, id)| Acl { perms, id }), 0..3)
}
fn zxid() -> impl Strategy<Value = Zxid> {
    any::<u64>().prop_map(Zxid)
}
fn stat() -> impl Strategy<Value = Stat> {
    (any::<[i64; 6]>(), any::<[i32; 5]>()).prop_map(|(long, int)| Stat {
        czxid: Zxid::from_wire(long[0]),
        mzxid: Zxid::from_wire(long[1]),
        ctime: long[2],
        mtime: long[3],
        version: int[0],
        cversion: int[1],
        aversion: int[2],
        ephemeral_owner: long[4],
        data_length: int[3],
        num_children: int[4],
        pzxid: Zxid::from_wire(long[5]),
    })
}
fn create(flags: impl Strategy<Value = i32>) -> impl Strategy<Value = CreateRequest> {
    (text(), prop::option::of(bytes()), acl(), flags)
        .prop_map(|(path, data, acl, flags)| CreateRequest { path, data, acl, flags })
}

/// Requests that may be parts of a multi.
fn part() -> impl Strategy<Value = Request> {
    prop_oneof![
        create(0..5).prop_map(Request::Create),
        create(0..5).prop_map(Request::Create2),
        create(0..5).prop_map(Request::CreateContainer),
        (create(0..7), any::<i64>())
            .prop_map(|(create, ttl_ms)| Request::CreateTtl(CreateTtlRequest { create, ttl_ms })),
        (text(), any::<i32>()).prop_map(|(path, version)| Request::Delete { path, version }),
        (text(), prop::option::of(bytes()), any::<i32>())
            .prop_map(|(path, data, version)| Request::SetData { path, data, version }),
        (text(), any::<i32>()).prop_map(|(path, version)| Request::Check { path, version }),
    ]
}

/// Requests that may be parts of a multiRead.
fn read_part() -> impl Strategy<Value = Request> {
    prop_oneof![
        text().prop_map(|path| Request::GetData { path, watch: false }),
        text().prop_map(|path| Request::GetChildren { path, watch: false }),
    ]
}

/// Requests that travel; not the two that stand for unreadable ones.
pub(crate) fn request() -> impl Strategy<Value = Request> {
    let set_watches = (zxid(), prop::array::uniform5(texts())).prop_map(
        |(relative_zxid, [data, exist, child, persistent, persistent_recursive])| SetWatches {
            relative_zxid,
            data,
            exist,
            child,
            persistent,
            persistent_recursive,
        },
    );
    let watcher = || {
        prop_oneof![
            Just(WatcherType::Children),
            Just(WatcherType::Data),
            Just(WatcherType::Any),
            Just(WatcherType::Persistent),
            Just(WatcherType::PersistentRecursive),
        ]
    };
    let mode = prop_oneof![Just(AddWatchMode::Persistent), Just(AddWatchMode::PersistentRecursive)];
    prop_oneof![
        4 => part(),
        1 => create(any::<i32>()).prop_map(Request::Create),
        1 => (text(), any::<bool>()).prop_map(|(path, watch)| Request::Exists { path, watch }),
        1 => (text(), any::<bool>()).prop_map(|(path, watch)| Request::GetData { path, watch }),
        1 => text().prop_map(|path| Request::GetAcl { path }),
        1 => (text(), acl(), any::<i32>())
            .prop_map(|(path, acl, version)| Request::SetAcl { path, acl, version }),
        1 => (text(), any::<bool>())
            .prop_map(|(path, watch)| Request::GetChildren { path, watch }),
        1 => (text(), any::<bool>())
            .prop_map(|(path, watch)| Request::GetChildren2 { path, watch }),
        1 => text().prop_map(|path| Request::Sync { path }),
        1 => Just(Request::Ping),
        2 => prop::collection::vec(part(), 0..4).prop_map(Request::Multi),
        1 => prop::collection::vec(read_part(), 0..4).prop_map(Request::MultiRead),
        1 => (prop::array::uniform3(prop::option::of(text())), any::<i64>()).prop_map(
            |([joining_servers, leaving_servers, new_members], config_version)| {
                Request::Reconfig(ReconfigRequest {
                    joining_servers,
                    leaving_servers,
                    new_members,
                    config_version,
                })
            }
        ),
        1 => text().prop_map(|prefix| Request::GetEphemerals { prefix }),
        1 => text().prop_map(|path| Request::GetAllChildrenNumber { path }),
        1 => Just(Request::WhoAmI),
        1 => (text(), watcher()).prop_map(|(path, watcher)| Request::CheckWatches { path, watcher }),
        1 => (text(), watcher()).prop_map(|(path, watcher)| Request::RemoveWatches { path, watcher }),
        1 => (text(), mode).prop_map(|(path, mode)| Request::AddWatch { path, mode }),
        1 => set_watches.prop_map(Request::SetWatches),
        1 => (text(), prop::option::of(bytes())).prop_map(|(scheme, auth)| Request::Auth {
            scheme,
            auth: Credentials(auth),
        }),
        1 => bytes().prop_map(|token| Request::Sasl { token }),
        1 => Just(Request::CloseSession),
        1 => any::<i32>().prop_map(|timeout_ms| Request::CreateSession { timeout_ms }),
    ]
}

/// A reply body with the opcode of a request that it answers.
pub(crate) fn response() -> impl Strategy<Value = (OpCode, Response)> {
    let result = prop_oneof![
        text().prop_map(|path| MultiResult::Create { path }),
        (text(), stat()).prop_map(|(path, stat)| MultiResult::Create2 { path, stat }),
        Just(MultiResult::Delete),
        stat().prop_map(|stat| MultiResult::SetData { stat }),
        Just(MultiResult::Check),
        (prop::option::of(bytes()), stat())
            .prop_map(|(data, stat)| MultiResult::Data { data, stat }),
        texts().prop_map(MultiResult::Children),
        any::<i32>().prop_map(|code| MultiResult::Error(ErrorCode(code))),
    ];
    prop_oneof![
        Just((OpCode::Delete, Response::Empty)),
        Just((OpCode::AddWatch, Response::WatchAdded)),
        text().prop_map(|path| (OpCode::Create, Response::Path(path))),
        (text(), stat())
            .prop_map(|(path, stat)| { (OpCode::CreateTtl, Response::PathStat { path, stat }) }),
        stat().prop_map(|stat| (OpCode::Exists, Response::Stat(stat))),
        (prop::option::of(bytes()), stat())
            .prop_map(|(data, stat)| (OpCode::GetData, Response::Data { data, stat })),
        (acl(), stat()).prop_map(|(acl, stat)| (OpCode::GetAcl, Response::Acl { acl, stat })),
        texts().prop_map(|children| (OpCode::GetChildren, Response::Children(children))),
        (texts(), stat()).prop_map(|(children, stat)| {
            (OpCode::GetChildren2, Response::Children2 { children, stat })
        }),
        prop::collection::vec(result, 0..4)
            .prop_map(|results| (OpCode::Multi, Response::Multi(results))),
        texts().prop_map(|paths| (OpCode::GetEphemerals, Response::Ephemerals(paths))),
        any::<i32>().prop_map(|count| (OpCode::GetAllChildrenNumber, Response::Count(count))),
        prop::collection::vec(id(), 0..3)
            .prop_map(|ids| (OpCode::WhoAmI, Response::Identities(ids))),
        prop::option::of(bytes()).prop_map(|token| (OpCode::Sasl, Response::Sasl { token })),
    ]
}

pub(crate) fn event() -> impl Strategy<Value = WatcherEvent> {
    let kind = prop_oneof![
        Just(EventKind::NodeCreated),
        Just(EventKind::NodeDeleted),
        Just(EventKind::NodeDataChanged),
        Just(EventKind::NodeChildrenChanged),
    ];
    (kind, text()).prop_map(|(kind, path)| WatcherEvent { kind, path })
}

/// Packets without a transaction.
pub(crate) fn packet() -> impl Strategy<Value = QuorumPacket> {
    let info = || {
        (any::<i64>(), any::<i32>(), any::<i64>()).prop_map(|(id, protocol_version, version)| {
            LearnerInfo { id: ServerId(id), protocol_version, config_version: version }
        })
    };
    let epoch = || any::<u32>().prop_map(crate::ids::Epoch);
    let session = || any::<u64>().prop_map(SessionId);
    prop_oneof![
        (session(), any::<i32>(), request(), prop::collection::vec(id(), 0..3)).prop_map(
            |(session, cxid, request, auth)| {
                QuorumPacket::Request(Forwarded { session, cxid: Xid(cxid), request, auth })
            }
        ),
        zxid().prop_map(|zxid| QuorumPacket::Ack { zxid }),
        zxid().prop_map(|zxid| QuorumPacket::Commit { zxid }),
        zxid().prop_map(|zxid| QuorumPacket::Ping { zxid }),
        (zxid(), prop::collection::vec((session(), any::<i32>()), 0..4))
            .prop_map(|(zxid, touched)| QuorumPacket::PingReply { zxid, touched }),
        (session(), any::<i32>())
            .prop_map(|(session, timeout_ms)| QuorumPacket::Revalidate { session, timeout_ms }),
        (session(), any::<bool>())
            .prop_map(|(session, valid)| QuorumPacket::Revalidated { session, valid }),
        Just(QuorumPacket::Sync),
        (zxid(), any::<i64>()).prop_map(|(zxid, leader)| QuorumPacket::CommitAndActivate {
            zxid,
            leader: ServerId(leader)
        }),
        (zxid(), bytes()).prop_map(|(zxid, config)| QuorumPacket::NewLeader { zxid, config }),
        (epoch(), info())
            .prop_map(|(accepted, info)| QuorumPacket::FollowerInfo { accepted, info }),
        Just(QuorumPacket::UpToDate),
        zxid().prop_map(|zxid| QuorumPacket::Diff { zxid }),
        zxid().prop_map(|zxid| QuorumPacket::Trunc { zxid }),
        (epoch(), info())
            .prop_map(|(accepted, info)| QuorumPacket::ObserverInfo { accepted, info }),
        (epoch(), any::<i32>()).prop_map(|(epoch, protocol_version)| QuorumPacket::LeaderInfo {
            epoch,
            protocol_version
        }),
        (zxid(), prop::option::of(0..u32::MAX)).prop_map(|(last, current)| {
            QuorumPacket::AckEpoch { last, current: current.map(crate::ids::Epoch) }
        }),
    ]
}
