//! Request bodies by opcode, both ways. A body that cannot be read is a request too
//! ([`Request::Malformed`]): it is answered in its turn. Bytes behind a body are ignored, as
//! upstream ignores them.

use alloc::vec::Vec;

use bytes::Bytes;

use super::{
    AddWatchMode, CreateRequest, CreateTtlRequest, Credentials, OpCode, ReconfigRequest, Request,
    SetWatches, WatcherType, create_flags,
};
use crate::ids::Zxid;
use crate::jute::{DecodeError, Reader, Write};
use crate::proto::data::{Acl, put_strings, required, strings};

impl Request {
    /// Reads the body of `opcode`.
    pub fn decode(opcode: i32, body: Bytes, record_max: usize) -> Self {
        let Some(known) = OpCode::from_number(opcode) else { return Self::Unknown(opcode) };
        let mut from = Reader::new(body, record_max);
        decode_body(known, &mut from).unwrap_or(Self::Malformed(known))
    }

    /// The number under which it travels.
    pub fn opcode(&self) -> i32 {
        let known = match self {
            Self::Create(_) => OpCode::Create,
            Self::Create2(_) => OpCode::Create2,
            Self::CreateContainer(_) => OpCode::CreateContainer,
            Self::CreateTtl(_) => OpCode::CreateTtl,
            Self::Delete { .. } => OpCode::Delete,
            Self::Exists { .. } => OpCode::Exists,
            Self::GetData { .. } => OpCode::GetData,
            Self::SetData { .. } => OpCode::SetData,
            Self::GetAcl { .. } => OpCode::GetAcl,
            Self::SetAcl { .. } => OpCode::SetAcl,
            Self::GetChildren { .. } => OpCode::GetChildren,
            Self::GetChildren2 { .. } => OpCode::GetChildren2,
            Self::Sync { .. } => OpCode::Sync,
            Self::Ping => OpCode::Ping,
            Self::Check { .. } => OpCode::Check,
            Self::Multi(_) => OpCode::Multi,
            Self::Reconfig(_) => OpCode::Reconfig,
            Self::MultiRead(_) => OpCode::MultiRead,
            Self::GetEphemerals { .. } => OpCode::GetEphemerals,
            Self::GetAllChildrenNumber { .. } => OpCode::GetAllChildrenNumber,
            Self::WhoAmI => OpCode::WhoAmI,
            Self::CheckWatches { .. } => OpCode::CheckWatches,
            Self::RemoveWatches { .. } => OpCode::RemoveWatches,
            Self::SetWatches(set) if set.is_plain() => OpCode::SetWatches,
            Self::SetWatches(_) => OpCode::SetWatches2,
            Self::AddWatch { .. } => OpCode::AddWatch,
            Self::Auth { .. } => OpCode::Auth,
            Self::Sasl { .. } => OpCode::Sasl,
            Self::CloseSession => OpCode::CloseSession,
            Self::CreateSession { .. } => OpCode::CreateSession,
            Self::Malformed(opcode) => *opcode,
            Self::Unknown(number) => return *number,
        };
        known.number()
    }

    /// Appends the body: what stands behind the opcode. What could not be read has none.
    pub fn encode_body(&self, out: &mut Vec<u8>) {
        match self {
            Self::Create(create) | Self::Create2(create) | Self::CreateContainer(create) => {
                create.encode(out);
            }
            Self::CreateTtl(CreateTtlRequest { create, ttl_ms }) => {
                create.encode(out);
                out.put_i64(*ttl_ms);
            }
            Self::Delete { path, version } | Self::Check { path, version } => {
                out.put_string(path);
                out.put_i32(*version);
            }
            Self::Exists { path, watch }
            | Self::GetData { path, watch }
            | Self::GetChildren { path, watch }
            | Self::GetChildren2 { path, watch } => {
                out.put_string(path);
                out.put_bool(*watch);
            }
            Self::SetData { path, data, version } => {
                out.put_string(path);
                out.put_buffer(data.as_deref());
                out.put_i32(*version);
            }
            Self::GetAcl { path } | Self::Sync { path } | Self::GetAllChildrenNumber { path } => {
                out.put_string(path);
            }
            Self::GetEphemerals { prefix } => out.put_string(prefix),
            Self::SetAcl { path, acl, version } => {
                out.put_string(path);
                Acl::encode_list(acl, out);
                out.put_i32(*version);
            }
            Self::Multi(parts) | Self::MultiRead(parts) => encode_multi(parts, out),
            Self::Reconfig(reconfig) => reconfig.encode(out),
            Self::CheckWatches { path, watcher } | Self::RemoveWatches { path, watcher } => {
                out.put_string(path);
                out.put_i32(*watcher as i32);
            }
            Self::SetWatches(set) => set.encode(out),
            Self::AddWatch { path, mode } => {
                out.put_string(path);
                out.put_i32(*mode as i32);
            }
            Self::Auth { scheme, auth } => {
                out.put_i32(0);
                out.put_string(scheme);
                out.put_buffer(auth.0.as_deref());
            }
            Self::Sasl { token } => out.put_buffer(Some(token)),
            Self::CreateSession { timeout_ms } => out.put_i32(*timeout_ms),
            Self::Ping
            | Self::CloseSession
            | Self::WhoAmI
            | Self::Malformed(_)
            | Self::Unknown(_) => {}
        }
    }
}

fn decode_body(opcode: OpCode, from: &mut Reader) -> Result<Request, DecodeError> {
    Ok(match opcode {
        OpCode::Create => Request::Create(CreateRequest::decode(from)?),
        OpCode::Create2 => Request::Create2(CreateRequest::decode(from)?),
        OpCode::CreateContainer => Request::CreateContainer(CreateRequest::decode(from)?),
        OpCode::CreateTtl => Request::CreateTtl(CreateTtlRequest {
            create: CreateRequest::decode(from)?,
            ttl_ms: from.i64()?,
        }),
        OpCode::Delete => Request::Delete { path: path(from)?, version: from.i32()? },
        OpCode::Exists => Request::Exists { path: path(from)?, watch: from.bool()? },
        OpCode::GetData => Request::GetData { path: path(from)?, watch: from.bool()? },
        OpCode::SetData => {
            Request::SetData { path: path(from)?, data: from.buffer()?, version: from.i32()? }
        }
        OpCode::GetAcl => Request::GetAcl { path: path(from)? },
        OpCode::SetAcl => Request::SetAcl {
            path: path(from)?,
            acl: Acl::decode_list(from)?,
            version: from.i32()?,
        },
        OpCode::GetChildren => Request::GetChildren { path: path(from)?, watch: from.bool()? },
        OpCode::GetChildren2 => Request::GetChildren2 { path: path(from)?, watch: from.bool()? },
        OpCode::Sync => Request::Sync { path: path(from)? },
        OpCode::Ping => Request::Ping,
        OpCode::Check => Request::Check { path: path(from)?, version: from.i32()? },
        OpCode::Multi => Request::Multi(decode_multi(from, decode_part)?),
        OpCode::MultiRead => Request::MultiRead(decode_multi(from, decode_read_part)?),
        OpCode::Reconfig => Request::Reconfig(ReconfigRequest::decode(from)?),
        OpCode::GetEphemerals => {
            Request::GetEphemerals { prefix: from.string()?.unwrap_or_default() }
        }
        OpCode::GetAllChildrenNumber => Request::GetAllChildrenNumber { path: path(from)? },
        OpCode::WhoAmI => Request::WhoAmI,
        OpCode::CheckWatches => {
            Request::CheckWatches { path: path(from)?, watcher: WatcherType::decode(from)? }
        }
        OpCode::RemoveWatches => {
            Request::RemoveWatches { path: path(from)?, watcher: WatcherType::decode(from)? }
        }
        OpCode::SetWatches => Request::SetWatches(SetWatches::decode_plain(from)?),
        OpCode::SetWatches2 => Request::SetWatches(SetWatches::decode(from)?),
        OpCode::AddWatch => {
            Request::AddWatch { path: path(from)?, mode: AddWatchMode::decode(from)? }
        }
        OpCode::Auth => {
            // The type in front is ignored. A null scheme is one that nobody provides.
            from.i32()?;
            Request::Auth {
                scheme: from.string()?.unwrap_or_default(),
                auth: Credentials(from.buffer()?),
            }
        }
        OpCode::CloseSession => Request::CloseSession,
        OpCode::CreateSession => Request::CreateSession { timeout_ms: from.i32()? },
        // Departs: upstream carries it out for anybody, without asking a list.
        OpCode::DeleteContainer => Request::Unknown(opcode.number()),
        OpCode::Sasl => {
            Request::Sasl { token: from.buffer()?.ok_or(DecodeError::Null { what: "token" })? }
        }
    })
}

fn path(from: &mut Reader) -> Result<alloc::string::String, DecodeError> {
    required(from, "path")
}

impl CreateRequest {
    fn encode(&self, out: &mut Vec<u8>) {
        out.put_string(&self.path);
        out.put_buffer(self.data.as_deref());
        Acl::encode_list(&self.acl, out);
        out.put_i32(self.flags);
    }
    fn decode(from: &mut Reader) -> Result<Self, DecodeError> {
        Self::decode_with(from, Acl::decode_list)
    }
    fn decode_with(from: &mut Reader, list: AclList) -> Result<Self, DecodeError> {
        Ok(Self { path: path(from)?, data: from.buffer()?, acl: list(from)?, flags: from.i32()? })
    }
}

/// What becomes of a list that is null.
type AclList = fn(&mut Reader) -> Result<Vec<Acl>, DecodeError>;

impl ReconfigRequest {
    fn encode(&self, out: &mut Vec<u8>) {
        for servers in [&self.joining_servers, &self.leaving_servers, &self.new_members] {
            out.put_buffer(servers.as_deref().map(str::as_bytes));
        }
        out.put_i64(self.config_version);
    }
    fn decode(from: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Self {
            joining_servers: from.string()?,
            leaving_servers: from.string()?,
            new_members: from.string()?,
            config_version: from.i64()?,
        })
    }
}

impl WatcherType {
    // ZK: Watcher.WatcherType.fromInt (3.9)
    fn decode(from: &mut Reader) -> Result<Self, DecodeError> {
        Ok(match from.i32()? {
            1 => Self::Children,
            2 => Self::Data,
            3 => Self::Any,
            4 => Self::Persistent,
            5 => Self::PersistentRecursive,
            other => {
                return Err(DecodeError::Undefined { what: "watcher type", value: other.into() });
            }
        })
    }
}

impl AddWatchMode {
    // ZK: WatcherMode.fromZooDef (3.9)
    fn decode(from: &mut Reader) -> Result<Self, DecodeError> {
        Ok(match from.i32()? {
            0 => Self::Persistent,
            1 => Self::PersistentRecursive,
            other => {
                return Err(DecodeError::Undefined { what: "watch mode", value: other.into() });
            }
        })
    }
}

impl SetWatches {
    /// Can it travel as setWatches, which every server knows?
    fn is_plain(&self) -> bool {
        self.persistent.is_empty() && self.persistent_recursive.is_empty()
    }
    fn encode(&self, out: &mut Vec<u8>) {
        out.put_i64(self.relative_zxid.to_wire());
        put_strings(&self.data, out);
        put_strings(&self.exist, out);
        put_strings(&self.child, out);
        if !self.is_plain() {
            put_strings(&self.persistent, out);
            put_strings(&self.persistent_recursive, out);
        }
    }
    fn decode_plain(from: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Self {
            relative_zxid: Zxid::from_wire(from.i64()?),
            data: watched(from)?,
            exist: watched(from)?,
            child: watched(from)?,
            persistent: Vec::new(),
            persistent_recursive: Vec::new(),
        })
    }
    fn decode(from: &mut Reader) -> Result<Self, DecodeError> {
        let mut set = Self::decode_plain(from)?;
        set.persistent = watched(from)?;
        set.persistent_recursive = watched(from)?;
        Ok(set)
    }
}

/// Upstream stops at a list that is null, and takes a negative count for none.
// ZK: DataTree.setWatches (3.9)
fn watched(from: &mut Reader) -> Result<Vec<alloc::string::String>, DecodeError> {
    match from.clone().i32()? {
        -1 => Err(DecodeError::Null { what: "list of watched paths" }),
        _ => strings(from, "watched path"),
    }
}

// ------------------------------------------------------------------------------------- multi

/// What stands before each part of a multi, of its reply and of its transaction, and behind the last.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct MultiHeader {
    pub(super) kind: i32,
    pub(super) done: bool,
    pub(super) err: i32,
}

impl MultiHeader {
    pub(super) const END: Self = Self { kind: -1, done: true, err: -1 };

    pub(super) fn encode(self, out: &mut Vec<u8>) {
        out.put_i32(self.kind);
        out.put_bool(self.done);
        out.put_i32(self.err);
    }
    pub(super) fn decode(from: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Self { kind: from.i32()?, done: from.bool()?, err: from.i32()? })
    }
}

fn encode_multi(parts: &[Request], out: &mut Vec<u8>) {
    for part in parts {
        MultiHeader { kind: part.opcode(), done: false, err: -1 }.encode(out);
        part.encode_body(out);
    }
    MultiHeader::END.encode(out);
}

// ZK: MultiOperationRecord.deserialize (3.9)
fn decode_multi(
    from: &mut Reader,
    decode_part: fn(i32, &mut Reader) -> Result<Request, DecodeError>,
) -> Result<Vec<Request>, DecodeError> {
    let mut parts = Vec::new();
    loop {
        let MultiHeader { kind, done, .. } = MultiHeader::decode(from)?;
        if done {
            return Ok(parts);
        }
        parts.push(decode_part(kind, from)?);
    }
}

fn decode_part(kind: i32, from: &mut Reader) -> Result<Request, DecodeError> {
    // ZK: CreateOptions.newBuilder (3.9): a create without time to live must have a list.
    let create: fn(CreateRequest) -> Request = match OpCode::from_number(kind) {
        Some(OpCode::Create) => Request::Create,
        Some(OpCode::Create2) => Request::Create2,
        Some(OpCode::CreateContainer) => Request::CreateContainer,
        Some(opcode @ (OpCode::CreateTtl | OpCode::Delete | OpCode::SetData | OpCode::Check)) => {
            return decode_body(opcode, from);
        }
        _ => {
            let value = kind.into();
            return Err(DecodeError::Undefined { what: "operation of a multi", value });
        }
    };
    let request = CreateRequest::decode_with(from, Acl::decode_list_not_null)?;
    check_flags(request.flags)?;
    Ok(create(request))
}

/// The flag of a watch is read, and forgotten.
// ZK: Op.GetData.toRequestRecord, Op.GetChildren.toRequestRecord (3.9)
fn decode_read_part(kind: i32, from: &mut Reader) -> Result<Request, DecodeError> {
    let request: fn(alloc::string::String) -> Request = match OpCode::from_number(kind) {
        Some(OpCode::GetData) => |path| Request::GetData { path, watch: false },
        Some(OpCode::GetChildren) => |path| Request::GetChildren { path, watch: false },
        _ => {
            let value = kind.into();
            return Err(DecodeError::Undefined { what: "operation of a multiRead", value });
        }
    };
    let path = path(from)?;
    from.bool()?;
    Ok(request(path))
}

/// Flags that do not fit make the whole multi unreadable, where a create alone is told BADARGUMENTS.
/// Those of a TTL node do not fit where no time to live stands behind them.
// ZK: CreateOptions.build (3.9)
fn check_flags(flags: i32) -> Result<(), DecodeError> {
    if (create_flags::PERSISTENT..=create_flags::CONTAINER).contains(&flags) {
        return Ok(());
    }
    Err(DecodeError::Undefined { what: "flags of a create", value: flags.into() })
}
