//! Bytes of a log record or PROPOSAL to a transaction, written apart from the core's codec on
//! purpose: a core that writes what it cannot read, or reads what it did not write, must not be
//! believed. Also the few file formats that durability is judged by.
//!
//! Only the *types* are the core's: they are plain data.

use bytes::Bytes;
use zebu_core::ids::{SessionId, Xid, Zxid};
use zebu_core::proto::{Acl, ErrorCode, Id};
use zebu_core::time::WallTime;
use zebu_core::txn::{
    CreateContainerTxn, CreateTtlTxn, CreateTxn, Txn, TxnBody, TxnDigest, TxnHeader,
};

/// Header of a log file: magic `ZKLG`, version, database id.
pub const LOG_HEADER: usize = 16;

/// One whole record of a log file.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    pub payload: &'a [u8],
    /// Bytes from the record's first to its last.
    pub len: usize,
}

/// The record at the beginning of `bytes`; `None` at padding, at a torn record and at the end.
pub fn record(bytes: &[u8]) -> Option<Record<'_>> {
    let sum = i64::from_be_bytes(bytes.get(0..8)?.try_into().ok()?);
    let len = i32::from_be_bytes(bytes.get(8..12)?.try_into().ok()?);
    if len <= 0 {
        return None;
    }
    let len = len as usize;
    let payload = bytes.get(12..12 + len)?;
    let whole = *bytes.get(12 + len)? == b'B' && adler32(payload) as i64 == sum;
    whole.then_some(Record { payload, len: 12 + len + 1 })
}

/// The zxid in the header of a payload.
pub fn zxid_of(payload: &[u8]) -> Option<u64> {
    Some(u64::from_be_bytes(payload.get(12..20)?.try_into().ok()?))
}

pub fn adler32(bytes: &[u8]) -> u32 {
    let (mut a, mut b) = (1u32, 0u32);
    // 3800 steps fit into 32 bits before the remainder is due.
    for part in bytes.chunks(3800) {
        for byte in part {
            a += u32::from(*byte);
            b += a;
        }
        a %= 65521;
        b %= 65521;
    }
    (b << 16) | a
}

/// The zxid in a name like `log.1a` or `snapshot.1a`.
pub fn zxid_in_name(name: &str, kind: &str) -> Option<u64> {
    let digits = name.strip_prefix(kind)?.strip_prefix('.')?;
    u64::from_str_radix(digits, 16).ok()
}

/// Reads a whole transaction; `None` if a byte is missing or left over.
pub fn txn(payload: &[u8]) -> Option<Txn> {
    let mut r = Cursor(payload);
    let header = TxnHeader {
        session: SessionId(r.i64()? as u64),
        cxid: Xid(r.i32()?),
        zxid: Zxid(r.i64()? as u64),
        time: WallTime(r.i64()?),
    };
    let kind = r.i32()?;
    let body = if kind == -11 && matches!(r.0.len(), 0 | 12) && r.0.get(..4) != Some(&[0; 4]) {
        TxnBody::CloseSession { paths: None }
    } else {
        r.body(kind)?
    };
    let digest = match r.0.len() {
        0 => None,
        12 => Some(TxnDigest { version: r.i32()?, tree: r.i64()? as u64 }),
        _ => return None,
    };
    Some(Txn { header, body, digest })
}

struct Cursor<'a>(&'a [u8]);

impl Cursor<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, tail) = self.0.split_first_chunk::<N>()?;
        self.0 = tail;
        Some(*head)
    }
    fn i32(&mut self) -> Option<i32> {
        self.take().map(i32::from_be_bytes)
    }
    fn i64(&mut self) -> Option<i64> {
        self.take().map(i64::from_be_bytes)
    }
    fn bool(&mut self) -> Option<bool> {
        self.take::<1>().map(|[b]| b != 0)
    }
    fn buffer(&mut self) -> Option<Option<Bytes>> {
        let len = self.i32()?;
        if len == -1 {
            return Some(None);
        }
        let len = usize::try_from(len).ok()?;
        let head = self.0.get(..len)?;
        self.0 = &self.0[len..];
        Some(Some(Bytes::copy_from_slice(head)))
    }
    fn string(&mut self) -> Option<String> {
        String::from_utf8(self.buffer()??.to_vec()).ok()
    }
    fn many<T>(&mut self, one: impl Fn(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        let count = self.i32()?.max(0);
        (0..count).map(|_| one(self)).collect()
    }
    fn acl(&mut self) -> Option<Vec<Acl>> {
        self.many(|r| {
            let perms = r.i32()?;
            Some(Acl { perms, id: Id { scheme: r.string()?, id: r.string()? } })
        })
    }
    fn body(&mut self, kind: i32) -> Option<TxnBody> {
        Some(match kind {
            -10 => TxnBody::CreateSession { timeout_ms: self.i32()? },
            -11 => TxnBody::CloseSession { paths: Some(self.many(Self::string)?) },
            -1 => TxnBody::Error(ErrorCode(self.i32()?)),
            1 => TxnBody::Create(self.create()?),
            15 => TxnBody::Create2(self.create()?),
            2 => TxnBody::Delete { path: self.string()? },
            20 => TxnBody::DeleteContainer { path: self.string()? },
            5 | 16 => {
                let (path, data, version) = (self.string()?, self.buffer()?, self.i32()?);
                match kind {
                    5 => TxnBody::SetData { path, data, version },
                    _ => TxnBody::Reconfig { path, data, version },
                }
            }
            7 => TxnBody::SetAcl { path: self.string()?, acl: self.acl()?, version: self.i32()? },
            13 => TxnBody::Check { path: self.string()?, version: self.i32()? },
            14 => TxnBody::Multi(self.many(|r| {
                let kind = r.i32()?;
                let data = r.buffer()??;
                let mut part = Cursor(&data);
                let body = part.body(kind)?;
                part.0.is_empty().then_some(body)
            })?),
            19 => TxnBody::CreateContainer(CreateContainerTxn {
                path: self.string()?,
                data: self.buffer()?,
                acl: self.acl()?,
                parent_cversion: self.i32()?,
            }),
            21 => TxnBody::CreateTtl(CreateTtlTxn {
                path: self.string()?,
                data: self.buffer()?,
                acl: self.acl()?,
                parent_cversion: self.i32()?,
                ttl_ms: self.i64()?,
            }),
            _ => return None,
        })
    }
    fn create(&mut self) -> Option<CreateTxn> {
        Some(CreateTxn {
            path: self.string()?,
            data: self.buffer()?,
            acl: self.acl()?,
            ephemeral: self.bool()?,
            parent_cversion: self.i32()?,
        })
    }
}

/// Encoding, for the tests of checkers.
#[cfg(test)]
pub mod write {
    use super::*;

    pub fn txn(txn: &Txn) -> Bytes {
        let mut out = Vec::new();
        put(&mut out, &(txn.header.session.0 as i64).to_be_bytes());
        put(&mut out, &txn.header.cxid.0.to_be_bytes());
        put(&mut out, &txn.header.zxid.0.to_be_bytes());
        put(&mut out, &txn.header.time.0.to_be_bytes());
        let (kind, body) = self::body(&txn.body);
        put(&mut out, &kind.to_be_bytes());
        put(&mut out, &body);
        if let Some(digest) = txn.digest {
            put(&mut out, &digest.version.to_be_bytes());
            put(&mut out, &digest.tree.to_be_bytes());
        }
        out.into()
    }
    /// A record of a log file.
    pub fn record(payload: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        put(&mut out, &i64::from(adler32(payload)).to_be_bytes());
        put(&mut out, &(payload.len() as i32).to_be_bytes());
        put(&mut out, payload);
        put(&mut out, b"B");
        out
    }
    fn put(out: &mut Vec<u8>, bytes: &[u8]) {
        out.extend_from_slice(bytes);
    }
    fn buffer(out: &mut Vec<u8>, bytes: Option<&[u8]>) {
        match bytes {
            None => put(out, &(-1i32).to_be_bytes()),
            Some(bytes) => {
                put(out, &(bytes.len() as i32).to_be_bytes());
                put(out, bytes);
            }
        }
    }
    fn acl(out: &mut Vec<u8>, acl: &[Acl]) {
        put(out, &(acl.len() as i32).to_be_bytes());
        for one in acl {
            put(out, &one.perms.to_be_bytes());
            buffer(out, Some(one.id.scheme.as_bytes()));
            buffer(out, Some(one.id.id.as_bytes()));
        }
    }
    fn create(out: &mut Vec<u8>, c: &CreateTxn) {
        buffer(out, Some(c.path.as_bytes()));
        buffer(out, c.data.as_deref());
        acl(out, &c.acl);
        put(out, &[u8::from(c.ephemeral)]);
        put(out, &c.parent_cversion.to_be_bytes());
    }
    fn body(txn: &TxnBody) -> (i32, Vec<u8>) {
        let mut out = Vec::new();
        let kind = match txn {
            TxnBody::CreateSession { timeout_ms } => {
                put(&mut out, &timeout_ms.to_be_bytes());
                -10
            }
            TxnBody::CloseSession { paths } => {
                if let Some(paths) = paths {
                    put(&mut out, &(paths.len() as i32).to_be_bytes());
                    for path in paths {
                        buffer(&mut out, Some(path.as_bytes()));
                    }
                }
                -11
            }
            TxnBody::Error(code) => {
                put(&mut out, &code.0.to_be_bytes());
                -1
            }
            TxnBody::Create(c) => {
                create(&mut out, c);
                1
            }
            TxnBody::Create2(c) => {
                create(&mut out, c);
                15
            }
            TxnBody::Delete { path } => {
                buffer(&mut out, Some(path.as_bytes()));
                2
            }
            TxnBody::DeleteContainer { path } => {
                buffer(&mut out, Some(path.as_bytes()));
                20
            }
            TxnBody::SetData { path, data, version }
            | TxnBody::Reconfig { path, data, version } => {
                buffer(&mut out, Some(path.as_bytes()));
                buffer(&mut out, data.as_deref());
                put(&mut out, &version.to_be_bytes());
                if matches!(txn, TxnBody::SetData { .. }) { 5 } else { 16 }
            }
            TxnBody::SetAcl { path, acl: list, version } => {
                buffer(&mut out, Some(path.as_bytes()));
                acl(&mut out, list);
                put(&mut out, &version.to_be_bytes());
                7
            }
            TxnBody::Check { path, version } => {
                buffer(&mut out, Some(path.as_bytes()));
                put(&mut out, &version.to_be_bytes());
                13
            }
            TxnBody::Multi(parts) => {
                put(&mut out, &(parts.len() as i32).to_be_bytes());
                for part in parts {
                    let (kind, bytes) = body(part);
                    put(&mut out, &kind.to_be_bytes());
                    buffer(&mut out, Some(&bytes));
                }
                14
            }
            TxnBody::CreateContainer(c) => {
                buffer(&mut out, Some(c.path.as_bytes()));
                buffer(&mut out, c.data.as_deref());
                acl(&mut out, &c.acl);
                put(&mut out, &c.parent_cversion.to_be_bytes());
                19
            }
            TxnBody::CreateTtl(c) => {
                buffer(&mut out, Some(c.path.as_bytes()));
                buffer(&mut out, c.data.as_deref());
                acl(&mut out, &c.acl);
                put(&mut out, &c.parent_cversion.to_be_bytes());
                put(&mut out, &c.ttl_ms.to_be_bytes());
                21
            }
        };
        (kind, out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_back_what_it_writes() {
        let create = CreateTxn {
            path: "/a".into(),
            data: Some(Bytes::from_static(b"x")),
            acl: Acl::open(),
            ephemeral: true,
            parent_cversion: 3,
        };
        let bodies = [
            TxnBody::CreateSession { timeout_ms: 9 },
            TxnBody::CloseSession { paths: Some(vec![]) },
            TxnBody::CloseSession { paths: Some(vec!["/a".into()]) },
            TxnBody::CloseSession { paths: None },
            TxnBody::Error(ErrorCode::NO_NODE),
            TxnBody::Multi(vec![
                TxnBody::Create(create.clone()),
                TxnBody::Check { path: "/b".into(), version: 2 },
            ]),
            TxnBody::Create2(create),
            TxnBody::SetData { path: "/a".into(), data: None, version: 7 },
        ];
        for body in bodies {
            for digest in [None, Some(TxnDigest { version: 2, tree: 77 })] {
                let header = TxnHeader {
                    session: SessionId(5),
                    cxid: Xid(6),
                    zxid: Zxid(0x1_0000_0001),
                    time: WallTime(8),
                };
                let one = Txn { header, body: body.clone(), digest };
                let bytes = write::txn(&one);
                assert_eq!(txn(&bytes), Some(one));
                assert_eq!(zxid_of(&bytes), Some(0x1_0000_0001));
                let framed = write::record(&bytes);
                assert_eq!(record(&framed).unwrap().payload, &bytes[..]);
                assert!(record(&framed[..framed.len() - 1]).is_none(), "torn");
            }
        }
    }

    #[test]
    fn adler_of_a_known_word() {
        assert_eq!(adler32(b"Wikipedia"), 0x11E6_0398);
    }
}
