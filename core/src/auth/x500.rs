//! Scheme `x509`: is a text a distinguished name, as RFC 1779 and RFC 2253 write them and Java reads
//! them? Names are compared as text, so nothing more is asked of them.

/// What a name may call its parts, besides object identifiers.
// JDK: sun.security.x509.AVAKeyword
const KEYWORDS: &[&str] = &[
    "CN",
    "C",
    "L",
    "S",
    "ST",
    "O",
    "OU",
    "T",
    "IP",
    "STREET",
    "DC",
    "DNQUALIFIER",
    "DNQ",
    "SURNAME",
    "GIVENNAME",
    "INITIALS",
    "GENERATION",
    "EMAIL",
    "EMAILADDRESS",
    "UID",
    "SERIALNUMBER",
];

/// The empty name is one too.
// ZK: X509AuthenticationProvider.isValid (3.9) · JDK: X500Principal, sun.security.x509.AVA
// Departs: whether the bytes behind a `#` are DER is not looked at.
pub(super) fn is_name(text: &str) -> bool {
    if text.is_empty() {
        return true;
    }
    let mut rest = text;
    loop {
        let Some((keyword, value)) = rest.split_once('=') else { return false };
        if !is_keyword(keyword.trim_matches(|c| c <= ' ')) {
            return false;
        }
        match behind_value(value.trim_start_matches([' ', '\n'])) {
            None => return false,
            Some(None) => return true,
            Some(Some(more)) => rest = more,
        }
    }
}

fn is_keyword(text: &str) -> bool {
    KEYWORDS.iter().any(|keyword| keyword.eq_ignore_ascii_case(text)) || is_object_identifier(text)
}

/// `2.5.4.3`, with or without `OID.` before it.
fn is_object_identifier(text: &str) -> bool {
    let numbers = match text.get(..4) {
        Some(prefix) if prefix.eq_ignore_ascii_case("OID.") => &text[4..],
        _ => text,
    };
    let is_number = |number: &str| !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit());
    let mut parts = numbers.split('.');
    let root: Option<u32> =
        parts.next().filter(|part| is_number(part)).and_then(|n| n.parse().ok());
    let arc: Option<u32> = parts.next().filter(|part| is_number(part)).and_then(|n| n.parse().ok());
    match (root, arc) {
        (Some(0 | 1), Some(0..40)) | (Some(2), Some(_)) => parts.all(is_number),
        _ => false,
    }
}

/// What stands behind a value and its separator: `Some(None)` at the end, `None` if it is no value.
fn behind_value(text: &str) -> Option<Option<&str>> {
    if let Some(hex) = text.strip_prefix('#') {
        let end = hex.find(is_separator).unwrap_or(hex.len());
        let digits = &hex[..end];
        let whole = !digits.is_empty() && digits.len() % 2 == 0;
        return (whole && digits.bytes().all(|b| b.is_ascii_hexdigit()))
            .then(|| behind_separator(&hex[end..]));
    }
    if let Some(quoted) = text.strip_prefix('"') {
        let end = end_of(quoted, |c| c == '"', "")?;
        let rest = quoted.get(end + 1..)?.trim_start_matches([' ', '\n']);
        return (rest.is_empty() || rest.starts_with(is_separator)).then(|| behind_separator(rest));
    }
    let end = end_of(text, is_separator, "<>\"")?;
    Some(behind_separator(&text[end..]))
}

/// Where `stop` is met, or the end, escapes left aside; `None` if an escape is none, or something
/// stands there that must be escaped.
fn end_of(text: &str, stop: impl Fn(char) -> bool, to_escape: &str) -> Option<usize> {
    let mut letters = text.char_indices();
    while let Some((at, letter)) = letters.next() {
        if stop(letter) {
            return Some(at);
        }
        if to_escape.contains(letter) {
            return None;
        }
        if letter == '\\' {
            let (_, escaped) = letters.next()?;
            if escaped.is_ascii_hexdigit() {
                letters.next().filter(|(_, second)| second.is_ascii_hexdigit())?;
            } else if !",=\n+<>#;\\\" ".contains(escaped) {
                return None;
            }
        }
    }
    Some(text.len())
}

fn is_separator(letter: char) -> bool {
    matches!(letter, ',' | ';' | '+')
}

fn behind_separator(text: &str) -> Option<&str> {
    text.get(1..)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for (text, is) in [
            ("", true),
            ("CN=ann", true),
            ("cn=ann,OU=x+O=y; C=de", true),
            ("CN = Ann Example , O=\"Big, Inc.\" ,C=US", true),
            ("CN=", true),
            ("2.5.4.3=ann", true),
            ("OID.2.5.4.3=ann", true),
            ("oid.1.39=ann", true),
            ("CN=#0c03616e6e,C=de", true),
            ("CN=a\\,b\\2C\\c3\\bc=", true),
            ("CN=a=b", true),
            ("EMAILADDRESS=ann@example.com", true),
            ("ann", false),
            ("CN=ann,", false),
            (",CN=ann", false),
            ("CN=ann,,C=de", false),
            ("XY=ann", false),
            ("=ann", false),
            ("1.40=ann", false),
            ("3.1=ann", false),
            ("2=ann", false),
            ("2.5.=ann", false),
            ("CN=#", false),
            ("CN=#0", false),
            ("CN=#0g", false),
            ("CN=a<b", false),
            ("CN=a\"b\"", false),
            ("CN=\"a\"b", false),
            ("CN=\"a", false),
            ("CN=a\\", false),
            ("CN=a\\z", false),
            ("CN=a\\0", false),
        ] {
            assert_eq!(is_name(text), is, "{text:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn nothing_read_panics(text in "[A-Za-z=,+;#\"\\\\ 0-9.\u{fc}]{0,30}") {
            is_name(&text);
        }
    }
}
