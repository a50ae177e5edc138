//! The grammar of paths (upstream: `PathUtils.validatePath`), and taking them apart. The tree takes
//! any path apart, valid or not: it also applies what other servers logged.

/// Why a path cannot name a znode.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum PathError {
    #[error("a path must not be empty")]
    Empty,
    #[error("a path must begin with a slash")]
    NotAbsolute,
    #[error("a path must not end with a slash")]
    TrailingSlash,
    #[error("a path must not have an empty component")]
    EmptyComponent,
    #[error("a path must not have the component . or ..")]
    Relative,
    #[error("a path must not have the character U+{0:04X}")]
    Character(u32),
}

/// May `path` name a znode?
// ZK: PathUtils.validatePath (3.9)
pub fn validate(path: &str) -> Result<(), PathError> {
    if path.is_empty() {
        return Err(PathError::Empty);
    }
    let names = path.strip_prefix('/').ok_or(PathError::NotAbsolute)?;
    if names.is_empty() {
        return Ok(());
    }
    if names.ends_with('/') {
        return Err(PathError::TrailingSlash);
    }
    names.split('/').try_for_each(validate_name)
}

fn validate_name(name: &str) -> Result<(), PathError> {
    match name {
        "" => return Err(PathError::EmptyComponent),
        "." | ".." => return Err(PathError::Relative),
        _ => {}
    }
    match name.chars().find(|c| is_refused(*c)) {
        Some(c) => Err(PathError::Character(c.into())),
        None => Ok(()),
    }
}

/// Upstream looks at UTF-16 units and refuses surrogates, so every supplementary character too.
fn is_refused(c: char) -> bool {
    matches!(
        c,
        '\0'..='\u{1F}' | '\u{7F}'..='\u{9F}' | '\u{E000}'..='\u{F8FF}' | '\u{FFF0}'..=char::MAX
    )
}

/// Where a path's last slash divides it: the path of the parent and the name in it. The parent of
/// `/a` is `/`. `None` for the root and for what has no slash.
pub fn split(path: &str) -> Option<(&str, &str)> {
    if path == "/" {
        return None;
    }
    let (parent, name) = path.rsplit_once('/')?;
    Some((if parent.is_empty() { "/" } else { parent }, name))
}

/// The path of the parent; the root's parent, and that of a path without a slash, is the root.
pub fn parent(path: &str) -> &str {
    split(path).map_or("/", |(parent, _)| parent)
}

/// What a path is called in its parent; empty for the root.
pub fn name(path: &str) -> &str {
    split(path).map_or("", |(_, name)| name)
}

/// The path of `parent`'s child `name`.
pub fn join(parent: &str, name: &str) -> alloc::string::String {
    let parent = if parent == "/" { "" } else { parent };
    [parent, "/", name].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grammar_of_upstream() {
        use PathError::*;
        let table = [
            ("/", Ok(())),
            ("/a", Ok(())),
            ("/a/b-c.d", Ok(())),
            ("/...", Ok(())),
            ("/.a/a..", Ok(())),
            ("/\u{20AC}\u{7E}\u{A0}\u{FFEF}", Ok(())),
            ("", Err(Empty)),
            ("a", Err(NotAbsolute)),
            ("/a/", Err(TrailingSlash)),
            ("//", Err(TrailingSlash)),
            ("//a", Err(EmptyComponent)),
            ("/a//b", Err(EmptyComponent)),
            ("/.", Err(Relative)),
            ("/a/..", Err(Relative)),
            ("/a/../b", Err(Relative)),
            ("/a\0", Err(Character(0))),
            ("/\u{1F}", Err(Character(0x1F))),
            ("/\u{7F}", Err(Character(0x7F))),
            ("/\u{9F}", Err(Character(0x9F))),
            ("/\u{E000}", Err(Character(0xE000))),
            ("/\u{F8FF}", Err(Character(0xF8FF))),
            ("/\u{FFFD}", Err(Character(0xFFFD))),
            ("/\u{1F600}", Err(Character(0x1F600))),
        ];
        for (path, expected) in table {
            assert_eq!(validate(path), expected, "{path:?}");
        }
    }

    #[test]
    fn taking_apart() {
        for (path, expected) in [
            ("/", None),
            ("", None),
            ("a", None),
            ("/a", Some(("/", "a"))),
            ("/a/b", Some(("/a", "b"))),
            ("/a/", Some(("/a", ""))),
            ("a/b", Some(("a", "b"))),
        ] {
            assert_eq!(split(path), expected, "{path:?}");
            if let Some((parent, name)) = expected {
                assert_eq!(join(parent, name), path);
            }
        }
        assert_eq!((parent("/"), name("/")), ("/", ""));
    }
}
