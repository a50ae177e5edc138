//! Properties as Java reads them, and the values of keys: what is wrong with one is remarked on with
//! its file and line. What the keys mean stands in the files beside this one.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use super::keys::{self, Effect};
use zebu_core::config::parse_port;

use super::Remark;

/// One `key=value`, and where it stands.
#[derive(Clone, Debug)]
pub(super) struct Property {
    pub(super) value: String,
    pub(super) file: PathBuf,
    pub(super) line: usize,
}

pub(super) type Properties = BTreeMap<String, Property>;

#[derive(Default)]
pub(super) struct Reader {
    pub(super) errors: Vec<Remark>,
    pub(super) warnings: Vec<Remark>,
}

impl Reader {
    pub(super) fn error(&mut self, file: &Path, line: usize, what: impl Into<String>) {
        self.errors.push(Remark { file: file.into(), line, what: what.into() });
    }
    pub(super) fn warn(&mut self, file: &Path, line: usize, what: impl Into<String>) {
        self.warnings.push(Remark { file: file.into(), line, what: what.into() });
    }

    pub(super) fn properties(&mut self, file: &Path, text: &str) -> Properties {
        let mut properties = Properties::new();
        for (line, content) in (1..).zip(text.lines()) {
            let content = content.trim();
            if content.is_empty() || content.starts_with(['#', '!']) {
                continue;
            }
            if content.ends_with('\\') {
                self.error(
                    file,
                    line,
                    "line continuation with '\\' is not supported: join the lines",
                );
                continue;
            }
            if content.contains('\\') {
                self.error(
                    file,
                    line,
                    "escapes with '\\' are not supported: write the character itself",
                );
                continue;
            }
            let Some((key, value)) = content.split_once('=') else {
                self.error(file, line, format!("expected key=value, found {content:?}"));
                continue;
            };
            let (key, value) = (key.trim(), value.trim());
            let key = keys::canonical(key);
            if key.is_empty() {
                self.error(file, line, "expected a key before '='");
                continue;
            }
            let property = Property { value: value.into(), file: file.into(), line };
            if let Some(earlier) = properties.insert(key.to_owned(), property) {
                let earlier = earlier.line;
                self.warn(file, line, format!("{key} replaces its value of line {earlier}"));
            }
        }
        properties
    }

    /// A warning for each key without effect, an error for each unknown or unsafe one.
    pub(super) fn judge_keys(&mut self, keys: &Properties) {
        for (key, property) in keys {
            let (file, line) = (&property.file, property.line);
            match keys::effect(key) {
                Some(Effect::Used) => {}
                Some(Effect::Ignored) => {
                    self.warn(file, line, format!("{key} has no effect in Zebu yet"));
                }
                Some(Effect::Later(_)) if property.value.eq_ignore_ascii_case("false") => {}
                Some(Effect::Later(what)) => {
                    self.warn(file, line, format!("{key} has no effect: Zebu has no {what} yet"));
                }
                Some(Effect::Moot(why)) => {
                    self.warn(file, line, format!("{key} has no effect in Zebu: {why}"));
                }
                Some(Effect::Refused) if property.value.eq_ignore_ascii_case("false") => {}
                Some(Effect::Refused) => self.error(
                    file,
                    line,
                    format!("{key} is not carried out by Zebu yet, and going on without it would be less safe than this line asks for"),
                ),
                None => {
                    let hint = match keys::nearest(key) {
                        Some(nearest) => format!(": did you mean {nearest}?"),
                        None => ", and no known key is near it".into(),
                    };
                    self.error(file, line, format!("unknown key {key}{hint}"));
                }
            }
        }
    }

    /// The value of `key` as a `T`, or an error that says what was expected.
    pub(super) fn value<T: FromStr>(
        &mut self,
        keys: &Properties,
        key: &str,
        expected: &str,
    ) -> Option<T> {
        let property = keys.get(key)?;
        let parsed = property.value.parse().ok();
        if parsed.is_none() {
            let what = format!("{key}: expected {expected}, found {:?}", property.value);
            self.error(&property.file, property.line, what);
        }
        parsed
    }
    pub(super) fn number(&mut self, keys: &Properties, key: &str, least: i64) -> Option<u32> {
        let expected = format!("a whole number from {least}");
        let number: i64 = self.value(keys, key, &expected)?;
        match u32::try_from(number) {
            // ZK: upstream's numbers are Java's int.
            Ok(value) if number >= least && value <= i32::MAX as u32 => Some(value),
            _ => {
                let property = &keys[key];
                let what = format!("{key}: expected {expected} to {}, found {number}", i32::MAX);
                self.error(&property.file, property.line, what);
                None
            }
        }
    }
    pub(super) fn millis(&mut self, keys: &Properties, key: &str, least: i64) -> Option<Duration> {
        self.number(keys, key, least).map(|ms| Duration::from_millis(ms.into()))
    }
    pub(super) fn flag(&mut self, keys: &Properties, key: &str) -> Option<bool> {
        match keys.get(key)?.value.to_lowercase().as_str() {
            "true" | "yes" => Some(true),
            "false" | "no" => Some(false),
            _ => self.value(keys, key, "true or false"),
        }
    }
    pub(super) fn port(&mut self, keys: &Properties, key: &str) -> Option<u16> {
        let property = keys.get(key)?;
        match parse_port("a port", &property.value) {
            Ok(port) => Some(port),
            Err(what) => {
                self.error(&property.file, property.line, format!("{key}: {what}"));
                None
            }
        }
    }
}
