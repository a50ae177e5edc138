//! Against logs that upstream wrote, and forms that only old versions wrote.

use alloc::vec;

use super::*;
use crate::txn::sample_logs::{self, payloads};

const MAX: usize = 1 << 20;

#[test]
fn upstreams_records_encode_to_the_same_bytes() {
    let mut seen = std::collections::BTreeSet::new();
    for log in sample_logs::ALL {
        for payload in payloads(log) {
            let entry = decode(payload.clone(), MAX).unwrap();
            assert_eq!(encode((*entry.txn).clone()), entry, "{:?}", entry.txn);
            seen.insert(type_of(&entry.txn.body));
        }
    }
    assert_eq!(Vec::from_iter(seen), [-11, -10, -1, 1, 2, 5, 7, 14, 15, 16, 19, 21]);
    let delete = TxnBody::DeleteContainer { path: "/a".into() };
    let mut made = (*decode(payloads(sample_logs::ENSEMBLE)[0].clone(), MAX).unwrap().txn).clone();
    made.body = delete;
    let entry = encode(made);
    assert_eq!(decode(entry.payload.clone(), MAX), Ok(entry));
}

#[test]
fn every_prefix_of_a_record_is_refused_or_reads_as_a_shorter_form() {
    for payload in payloads(sample_logs::STANDALONE_FULL) {
        for len in 0..payload.len() {
            if let Ok(entry) = decode(payload.slice(..len), MAX) {
                if matches!(entry.txn.body, TxnBody::CloseSession { paths: None }) {
                    continue;
                }
                assert_eq!(entry.txn.digest, None, "{len} of {}", payload.len());
            }
        }
    }
}

fn header(kind: i32) -> Vec<u8> {
    let mut out = Vec::new();
    out.put_i64(0x1_0000);
    out.put_i32(7);
    out.put_i64(9);
    out.put_i64(1_700_000_000_000);
    out.put_i32(kind);
    out
}

fn body(bytes: Vec<u8>) -> Result<(TxnBody, Option<TxnDigest>), DecodeError> {
    decode(bytes.into(), MAX).map(|entry| (entry.txn.body.clone(), entry.txn.digest))
}

#[test]
fn create_without_parent_cversion() {
    let mut old = header(1);
    put_created(&mut old, "/a", None, &Acl::open());
    old.put_bool(true);
    let (TxnBody::Create(create), None) = body(old).unwrap() else { panic!() };
    assert_eq!(create.parent_cversion, -1);
    assert!(create.ephemeral);
}

#[test]
fn close_session_says_by_its_length_what_it_holds() {
    let digest = Some(TxnDigest { version: 2, tree: 5 });
    let tail = [&[0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 5][..]].concat();
    // One path of four bytes is as long as a digest.
    let listed = [&[0, 0, 0, 1, 0, 0, 0, 4][..], b"/abc"].concat();
    let paths = Some(vec![String::from("/abc")]);
    for (record, expected) in [
        (vec![], (None, None)),
        (tail.clone(), (None, digest)),
        (listed.clone(), (paths.clone(), None)),
        ([listed, tail.clone()].concat(), (paths, digest)),
        ([vec![0; 4], tail].concat(), (Some(vec![]), digest)),
    ] {
        let (paths, digest) = expected;
        let bytes = [header(-11), record].concat();
        assert_eq!(body(bytes), Ok((TxnBody::CloseSession { paths }, digest)));
    }
}

#[test]
fn a_failed_multi_may_keep_the_bytes_of_its_parts() {
    let mut part = Vec::new();
    put_created(&mut part, "/a", None, &Acl::open());
    let mut multi = header(14);
    multi.put_count(1);
    multi.put_i32(-1);
    multi.put_buffer(Some(&part));
    // The code is what happens to stand there: the length of the path.
    assert_eq!(body(multi), Ok((TxnBody::Multi(vec![TxnBody::Error(ErrorCode(2))]), None)));
}

#[test]
fn a_check_on_its_own_can_be_read() {
    let mut check = header(13);
    check.put_string("/a");
    check.put_i32(0);
    let record = TxnBody::Check { path: "/a".into(), version: 0 };
    assert_eq!(body(check), Ok((record, None)));
}

#[test]
fn refused_records() {
    let undefined = |value| DecodeError::Undefined { what: "transaction type", value };
    assert_eq!(body(header(3)), Err(undefined(3)));
    assert_eq!(body(header(99)), Err(undefined(99)));
    for part in [14, 16, -10, -11, 3] {
        let mut multi = header(14);
        multi.put_count(1);
        multi.put_i32(part);
        multi.put_buffer(Some(&[0, 0, 0, 1, b'/', 0, 0, 0, 0, 0, 0, 0, 0]));
        assert!(body(multi).is_err(), "{part} inside a multi");
    }
    let mut no_path = header(2);
    no_path.put_buffer(None);
    assert_eq!(body(no_path), Err(DecodeError::Null { what: "path" }));
    let mut long = header(2);
    long.put_string("/a");
    long.put_i32(0);
    let left = DecodeError::Undefined { what: "bytes behind a record", value: 4 };
    assert_eq!(body(long), Err(left));
}
