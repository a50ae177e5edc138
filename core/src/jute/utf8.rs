//! Text from outside as upstream understands it.

use alloc::string::String;

/// Decodes UTF-8; what is malformed becomes U+FFFD, one for each maximal part as the WHATWG does it
/// and Java with it, except that a surrogate in three bytes is one part. Java writes characters
/// beyond U+FFFF as two such surrogates, and reads them back as two U+FFFD.
// ZK: BinaryInputArchive.readString, BinaryOutputArchive.stringToByteBuffer (3.9)
pub(super) fn decode(bytes: &[u8]) -> String {
    if let Ok(text) = core::str::from_utf8(bytes) {
        return text.into();
    }
    let mut text = String::with_capacity(bytes.len());
    let mut rest = bytes;
    while !rest.is_empty() {
        let Some(chunk) = rest.utf8_chunks().next() else { break };
        text.push_str(chunk.valid());
        let malformed = &rest[chunk.valid().len()..];
        if malformed.is_empty() {
            break;
        }
        text.push(char::REPLACEMENT_CHARACTER);
        let skipped = match malformed {
            [0xED, 0xA0..=0xBF, 0x80..=0xBF, ..] => 3,
            [0xED, 0xA0..=0xBF, ..] => 2,
            _ => chunk.invalid().len(),
        };
        rest = &malformed[skipped..];
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replaces_what_is_malformed() {
        // The expectations are what `new String(bytes, UTF_8)` of Java 17 gives.
        let table: [(&[u8], &str); 9] = [
            (b"plain", "plain"),
            ("h\u{e9}\u{1f600}".as_bytes(), "h\u{e9}\u{1f600}"),
            (b"a\xffb", "a\u{fffd}b"),
            (b"a\xe2\x82", "a\u{fffd}"),
            (b"\xe2\x82z", "\u{fffd}z"),
            (b"\xed\xa0\xbd\xed\xb8\x80!", "\u{fffd}\u{fffd}!"),
            (b"\xed\xa0", "\u{fffd}"),
            (b"\xed\xa0x", "\u{fffd}x"),
            (b"\xc0\x80", "\u{fffd}\u{fffd}"),
        ];
        for (bytes, expected) in table {
            assert_eq!(decode(bytes), expected, "{bytes:x?}");
        }
    }
}
