//! The words of a line: so that a line stays a line, and a word a word, whatever bytes a client once
//! sent; and the same values for JSON.

use std::fmt;

use base64ct::{Base64, Encoding};
use serde::{Serialize, Serializer};
use zebu_core::ids::{SessionId, Zxid};
use zebu_core::proto::{Acl, perms};

use crate::letters;

/// A number as upstream's tools print it; a string in JSON, where numbers have 53 bits.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Hex(pub(super) u64);

impl fmt::Display for Hex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

impl Serialize for Hex {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl From<Zxid> for Hex {
    fn from(zxid: Zxid) -> Self {
        Self(zxid.0)
    }
}

impl From<SessionId> for Hex {
    fn from(session: SessionId) -> Self {
        Self(session.0)
    }
}

/// Text as it is, or in quotes when it would not be one visible word.
#[derive(Clone, Copy, Debug)]
pub(super) struct Word<'a>(pub(super) &'a str);

impl fmt::Display for Word<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let quoted = format!("{:?}", self.0);
        // Every escape makes it longer.
        let plain = quoted.len() == self.0.len() + 2;
        let one_word = !self.0.is_empty() && !self.0.contains(char::is_whitespace);
        f.write_str(if plain && one_word { self.0 } else { &quoted })
    }
}

/// Data of a znode: text in quotes, other bytes in hexadecimal; base64 in JSON.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Payload<'a>(pub(super) &'a [u8]);

impl fmt::Display for Payload<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Ok(text) = std::str::from_utf8(self.0) {
            return write!(f, "{text:?}");
        }
        f.write_str("0x")?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl Serialize for Payload<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&Base64::encode_string(self.0))
    }
}

/// What may be nothing.
#[derive(Clone, Copy, Debug)]
pub(super) struct OrNull<T>(pub(super) Option<T>);

impl<T: fmt::Display> fmt::Display for OrNull<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some(value) => value.fmt(f),
            None => f.write_str("null"),
        }
    }
}

/// An access control list, `scheme:id:cdrwa` separated by commas.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct AclWord<'a>(pub(super) &'a [Acl]);

impl fmt::Display for AclWord<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("none");
        }
        for (n, Acl { perms, id }) in self.0.iter().enumerate() {
            let comma = if n == 0 { "" } else { "," };
            write!(f, "{comma}{}:{}:{}", Word(&id.scheme), Word(&id.id), Permissions(*perms))?;
        }
        Ok(())
    }
}

impl Serialize for AclWord<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Entry<'a> {
            scheme: &'a str,
            id: &'a str,
            perms: i32,
        }
        serializer.collect_seq(self.0.iter().map(|acl| Entry {
            scheme: &acl.id.scheme,
            id: &acl.id.id,
            perms: acl.perms,
        }))
    }
}

/// In letters, unless there are any that have none.
struct Permissions(i32);

impl fmt::Display for Permissions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 & !perms::ALL != 0 {
            return write!(f, "{:#x}", self.0);
        }
        f.write_str(&letters::of(self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use zebu_core::proto::Id;

    #[test]
    fn a_word_stays_one_word() {
        for (text, expected) in [
            ("/a/b", "/a/b"),
            ("/caf\u{e9}/\u{8def}", "/caf\u{e9}/\u{8def}"),
            ("/it's", "/it's"),
            ("", "\"\""),
            ("/two words", "\"/two words\""),
            ("/a\nzxid", "\"/a\\nzxid\""),
            ("/\"", "\"/\\\"\""),
            ("/\u{9b}31m", "\"/\\u{9b}31m\""),
            ("/\u{202e}x", "\"/\\u{202e}x\""),
        ] {
            assert_eq!(Word(text).to_string(), expected);
        }
    }

    #[test]
    fn data_is_text_where_it_is_text() {
        assert_eq!(Payload(b"va").to_string(), "\"va\"");
        assert_eq!(Payload(b"a\0").to_string(), "\"a\\0\"");
        assert_eq!(Payload(&[0xff, 0]).to_string(), "0xff00");
        assert_eq!(OrNull(None::<Payload>).to_string(), "null");
        assert_eq!(serde_json::to_string(&Payload(&[0xff, 0])).ok(), Some("\"/wA=\"".into()));
    }

    #[test]
    fn access_control_lists() {
        let entry = |scheme: &str, id: &str, perms| Acl {
            perms,
            id: Id { scheme: scheme.into(), id: id.into() },
        };
        let list =
            [entry("world", "anyone", 31), entry("digest", "bob:x=", 1), entry("ip", "", 33)];
        assert_eq!(AclWord(&list).to_string(), "world:anyone:cdrwa,digest:bob:x=:r,ip:\"\":0x21");
        assert_eq!(AclWord(&[]).to_string(), "none");
        assert_eq!(
            serde_json::to_string(&AclWord(&list[1..2])).ok(),
            Some(r#"[{"scheme":"digest","id":"bob:x=","perms":1}]"#.into())
        );
    }
}
