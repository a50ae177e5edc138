//! `name=value,name="value"`: the text of DIGEST-MD5's tokens (RFC 2831, 7.1). What the values mean
//! is in [`super::sasl`].

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

/// By their names in lower case; names do not regard it.
#[derive(Debug)]
pub(super) struct Directives(BTreeMap<String, Vec<u8>>);

#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Unreadable {
    #[error("expected a name before byte {0}")]
    NoName(usize),
    #[error("expected '=' at byte {0}")]
    NoEquals(usize),
    #[error("expected a closing quote")]
    Open,
    #[error("expected a comma at byte {0}")]
    NoComma(usize),
    #[error("{0:?} stands there twice")]
    Twice(String),
}

impl Directives {
    /// Blanks part values as commas do, as Java has it.
    // JDK: DigestMD5Base.parseDirectives
    pub(super) fn read(text: &[u8]) -> Result<Self, Unreadable> {
        let mut read = BTreeMap::new();
        let mut from = Cursor { text, at: 0 };
        loop {
            from.skip(|byte| is_blank(byte) || byte == b',');
            if from.peek().is_none() {
                return Ok(Self(read));
            }
            let name = from.take_until(|byte| is_blank(byte) || matches!(byte, b',' | b'='));
            if name.is_empty() {
                return Err(Unreadable::NoName(from.at));
            }
            from.skip(is_blank);
            if from.peek() != Some(b'=') {
                return Err(Unreadable::NoEquals(from.at));
            }
            from.at += 1;
            from.skip(is_blank);
            let value = from.value()?;
            let name = String::from_utf8_lossy(name).to_ascii_lowercase();
            if read.contains_key(&name) {
                return Err(Unreadable::Twice(name));
            }
            read.insert(name, value);
        }
    }

    pub(super) fn get(&self, name: &str) -> Option<&[u8]> {
        self.0.get(name).map(Vec::as_slice)
    }
}

struct Cursor<'a> {
    text: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }
    fn skip(&mut self, wanted: impl Fn(u8) -> bool) {
        while self.peek().is_some_and(&wanted) {
            self.at += 1;
        }
    }
    fn take_until(&mut self, end: impl Fn(u8) -> bool) -> &'a [u8] {
        let start = self.at;
        self.skip(|byte| !end(byte));
        &self.text[start..self.at]
    }
    fn value(&mut self) -> Result<Vec<u8>, Unreadable> {
        if self.peek() != Some(b'"') {
            return Ok(self.take_until(|byte| is_blank(byte) || byte == b',').to_vec());
        }
        self.at += 1;
        let mut value = Vec::new();
        loop {
            let byte = self.peek().ok_or(Unreadable::Open)?;
            self.at += 1;
            match byte {
                b'"' => break,
                b'\\' => {
                    value.push(self.peek().ok_or(Unreadable::Open)?);
                    self.at += 1;
                }
                byte => value.push(byte),
            }
        }
        match self.peek() {
            Some(byte) if !is_blank(byte) && byte != b',' => Err(Unreadable::NoComma(self.at)),
            _ => Ok(value),
        }
    }
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_values() {
        let read = |text: &str| Directives::read(text.as_bytes());
        let good = read(" a = b ,, Cc=\"x, \\\"y\\\"=\\\\\"\td=\"\",e=f=g").unwrap();
        for (name, value) in [("a", "b"), ("cc", "x, \"y\"=\\"), ("d", ""), ("e", "f=g")] {
            assert_eq!(good.get(name), Some(value.as_bytes()), "{name}");
        }
        assert_eq!(good.get("b"), None);
        assert!(read("").unwrap().0.is_empty());
        // Unknown ones are there too, and nobody asks for them.
        assert_eq!(read("a=\u{e9}").unwrap().get("a"), Some("\u{e9}".as_bytes()));
        for (text, why) in [
            ("=a", Unreadable::NoName(0)),
            ("a", Unreadable::NoEquals(1)),
            ("a,b=c", Unreadable::NoEquals(1)),
            ("a b=c", Unreadable::NoEquals(2)),
            ("a=\"b", Unreadable::Open),
            ("a=\"b\\", Unreadable::Open),
            ("a=\"b\"c", Unreadable::NoComma(5)),
            ("a=b,A=c", Unreadable::Twice("a".into())),
        ] {
            assert_eq!(read(text).unwrap_err(), why, "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn nothing_read_panics(text: Vec<u8>) {
            let _ = Directives::read(&text);
        }
        #[test]
        fn what_is_quoted_is_read(value: Vec<u8>) {
            let mut text = b"k=\"".to_vec();
            for byte in &value {
                if matches!(byte, b'"' | b'\\') {
                    text.push(b'\\');
                }
                text.push(*byte);
            }
            text.push(b'"');
            let read = Directives::read(&text).unwrap();
            proptest::prop_assert_eq!(read.get("k"), Some(&value[..]));
        }
    }
}
