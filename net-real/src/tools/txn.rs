//! A transaction in words: one list of fields, from which both the line and the JSON are made. Types
//! and fields have upstream's names.

use std::fmt;

use bytes::Bytes;
use serde::Serialize;
use zebu_core::proto::{Acl, OpCode};
use zebu_core::storage::LoggedTxn;
use zebu_core::txn::{CreateTxn, TxnBody};

use super::words::{AclWord, Hex, OrNull, Payload, Word};
use crate::utc::time_text;

/// One transaction of a log, with its header.
#[derive(Debug, Serialize)]
pub(super) struct TxnLine<'a> {
    offset: u64,
    /// Milliseconds since 1970.
    time: i64,
    session: Hex,
    cxid: i32,
    zxid: Hex,
    #[serde(flatten)]
    op: Op<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    digest: Option<Hex>,
}

impl<'a> TxnLine<'a> {
    pub(super) fn of(logged: &'a LoggedTxn, data: bool) -> Self {
        let txn = &logged.entry.txn;
        Self {
            offset: logged.offset,
            time: txn.header.time.0,
            session: txn.header.session.into(),
            cxid: txn.header.cxid.0,
            zxid: txn.header.zxid.into(),
            op: Op::of(&txn.body, data),
            digest: txn.digest.map(|digest| Hex(digest.tree)),
        }
    }
}

// ZK: TxnLogToolkit.printTxn (3.9): up to the type, the words are upstream's.
impl fmt::Display for TxnLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = time_text(self.time);
        let Self { session, cxid, zxid, op, .. } = self;
        write!(f, "{time} session {session} cxid {cxid:#x} zxid {zxid} {op}")?;
        self.digest.map_or(Ok(()), |digest| write!(f, " digest={digest}"))
    }
}

/// What a transaction, or a part of a multi, does.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Op<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<&'a str>,
    /// The inner one is `None` for null data.
    #[serde(skip_serializing_if = "Option::is_none")]
    data_length: Option<Option<usize>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<Option<Payload<'a>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    acl: Option<AclWord<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ephemeral: Option<bool>,
    #[serde(rename = "parentCVersion", skip_serializing_if = "Option::is_none")]
    parent_cversion: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ttl: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    timeout: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    err: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    err_name: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    paths: Option<&'a [String]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    txns: Option<Vec<Self>>,
}

impl<'a> Op<'a> {
    fn of(body: &'a TxnBody, data: bool) -> Self {
        match body {
            TxnBody::CreateSession { timeout_ms } => {
                Self { timeout: Some(*timeout_ms), ..Self::named(OpCode::CreateSession) }
            }
            TxnBody::CloseSession { paths } => {
                Self { paths: paths.as_deref(), ..Self::named(OpCode::CloseSession) }
            }
            TxnBody::Error(code) => {
                Self { kind: "error", err: Some(code.0), err_name: code.name(), ..Self::default() }
            }
            TxnBody::Create(create) => Self::named(OpCode::Create).creating(create, data),
            TxnBody::Create2(create) => Self::named(OpCode::Create2).creating(create, data),
            TxnBody::CreateContainer(create) => Self {
                parent_cversion: Some(create.parent_cversion),
                ..Self::named(OpCode::CreateContainer)
                    .at(&create.path)
                    .with_data(create.data.as_ref(), data)
                    .with_acl(&create.acl)
            },
            TxnBody::CreateTtl(create) => Self {
                parent_cversion: Some(create.parent_cversion),
                ttl: Some(create.ttl_ms),
                ..Self::named(OpCode::CreateTtl)
                    .at(&create.path)
                    .with_data(create.data.as_ref(), data)
                    .with_acl(&create.acl)
            },
            TxnBody::Delete { path } => Self::named(OpCode::Delete).at(path),
            TxnBody::DeleteContainer { path } => Self::named(OpCode::DeleteContainer).at(path),
            TxnBody::SetData { path, data: new, version } => Self {
                version: Some(*version),
                ..Self::named(OpCode::SetData).at(path).with_data(new.as_ref(), data)
            },
            TxnBody::Reconfig { path, data: new, version } => Self {
                version: Some(*version),
                ..Self::named(OpCode::Reconfig).at(path).with_data(new.as_ref(), data)
            },
            TxnBody::SetAcl { path, acl, version } => Self {
                version: Some(*version),
                ..Self::named(OpCode::SetAcl).at(path).with_acl(acl)
            },
            TxnBody::Check { path, version } => {
                Self { version: Some(*version), ..Self::named(OpCode::Check).at(path) }
            }
            TxnBody::Multi(parts) => {
                let txns = parts.iter().map(|part| Self::of(part, data)).collect();
                Self { txns: Some(txns), ..Self::named(OpCode::Multi) }
            }
        }
    }

    fn named(opcode: OpCode) -> Self {
        Self { kind: opcode.name(), ..Self::default() }
    }
    fn at(self, path: &'a str) -> Self {
        Self { path: Some(path), ..self }
    }
    fn with_data(self, data: Option<&'a Bytes>, whole: bool) -> Self {
        Self {
            data_length: Some(data.map(Bytes::len)),
            data: whole.then(|| data.map(|data| Payload(data))),
            ..self
        }
    }
    fn with_acl(self, acl: &'a [Acl]) -> Self {
        Self { acl: Some(AclWord(acl)), ..self }
    }
    fn creating(self, create: &'a CreateTxn, data: bool) -> Self {
        let CreateTxn { path, acl, ephemeral, parent_cversion, .. } = create;
        Self {
            ephemeral: Some(*ephemeral),
            parent_cversion: Some(*parent_cversion),
            ..self.at(path).with_data(create.data.as_ref(), data).with_acl(acl)
        }
    }
}

impl fmt::Display for Op<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind)?;
        if let Some(path) = self.path {
            write!(f, " {}", Word(path))?;
        }
        // Data shows its length.
        match (self.data, self.data_length) {
            (Some(data), _) => write!(f, " data={}", OrNull(data))?,
            (None, Some(length)) => write!(f, " dataLength={}", OrNull(length))?,
            (None, None) => {}
        }
        field(f, "acl", self.acl)?;
        field(f, "ephemeral", self.ephemeral)?;
        field(f, "parentCVersion", self.parent_cversion)?;
        field(f, "ttl", self.ttl)?;
        field(f, "version", self.version)?;
        field(f, "timeout", self.timeout)?;
        if let Some(err) = self.err {
            write!(f, " {err}")?;
        }
        if let Some(name) = self.err_name {
            write!(f, " {name}")?;
        }
        for path in self.paths.unwrap_or_default() {
            write!(f, " {}", Word(path))?;
        }
        let Some(parts) = &self.txns else { return Ok(()) };
        f.write_str(" [")?;
        for (n, part) in parts.iter().enumerate() {
            write!(f, "{}{part}", if n == 0 { "" } else { "; " })?;
        }
        f.write_str("]")
    }
}

fn field(f: &mut fmt::Formatter<'_>, name: &str, value: Option<impl fmt::Display>) -> fmt::Result {
    value.map_or(Ok(()), |value| write!(f, " {name}={value}"))
}
