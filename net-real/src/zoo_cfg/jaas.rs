//! A JAAS login configuration, the file in which Java's programs find their users:
//!
//! ```text
//! Server {
//!     org.apache.zookeeper.server.auth.DigestLoginModule required
//!     user_bob="bobsecret";
//! };
//! ```
//!
//! What its words mean to a server is in [`super::auth`].

// JDK: sun.security.provider.ConfigFile, java.io.StreamTokenizer

/// `name { modules };`
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Section {
    pub(super) name: String,
    pub(super) line: usize,
    pub(super) modules: Vec<Module>,
}

/// `class flag option=value ...;`
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Module {
    pub(super) class: String,
    pub(super) line: usize,
    pub(super) options: Vec<Setting>,
}

/// One `option=value`. The value may be a password, so it is not for anybody's eyes.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Setting {
    pub(super) name: String,
    pub(super) value: String,
    pub(super) line: usize,
}

impl std::fmt::Debug for Setting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}=.. in line {}", self.name, self.line)
    }
}

/// What is wrong, and in which line.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Fault {
    pub(super) line: usize,
    pub(super) what: String,
}

const FLAGS: [&str; 4] = ["required", "requisite", "sufficient", "optional"];

pub(super) fn parse(text: &str) -> Result<Vec<Section>, Fault> {
    let mut from = Tokens { rest: text, line: 1 };
    let mut sections: Vec<Section> = Vec::new();
    while let (line, Some(token)) = from.next()? {
        let name = word("the name of a section", line, Some(token))?;
        if let Some(earlier) = sections.iter().find(|section| section.name == name) {
            let what = format!("section {name} stands in line {} already", earlier.line);
            return Err(Fault { line, what });
        }
        from.sign('{')?;
        let mut modules = Vec::new();
        loop {
            match from.next()? {
                (_, Some(Token::Sign('}'))) => break,
                (line, token) => modules.push(module(&mut from, line, token)?),
            }
        }
        from.sign(';')?;
        sections.push(Section { name, line, modules });
    }
    Ok(sections)
}

fn module(from: &mut Tokens<'_>, line: usize, first: Option<Token>) -> Result<Module, Fault> {
    let class = word("a login module or '}'", line, first)?;
    let flag = from.word("one of required, requisite, sufficient, optional")?;
    if !FLAGS.iter().any(|known| known.eq_ignore_ascii_case(&flag)) {
        let what = format!("expected one of {} behind {class}, found {flag:?}", FLAGS.join(", "));
        return Err(Fault { line: from.line, what });
    }
    let mut options = Vec::new();
    loop {
        let (line, token) = from.next()?;
        if token == Some(Token::Sign(';')) {
            return Ok(Module { class, line, options });
        }
        let name = word("an option or ';'", line, token)?;
        from.sign('=')?;
        let value = from.word(&format!("the value of {name}"))?;
        options.push(Setting { name, value, line });
    }
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum Token {
    /// Bare or in quotes.
    Word(String),
    Sign(char),
}

fn word(wanted: &str, line: usize, token: Option<Token>) -> Result<String, Fault> {
    let found = match token {
        Some(Token::Word(word)) => return Ok(word),
        Some(Token::Sign(sign)) => format!("{sign:?}"),
        None => "the end of the file".into(),
    };
    Err(Fault { line, what: format!("expected {wanted}, found {found}") })
}

struct Tokens<'a> {
    rest: &'a str,
    line: usize,
}

impl Tokens<'_> {
    /// The next token and its line.
    fn next(&mut self) -> Result<(usize, Option<Token>), Fault> {
        self.skip_blanks_and_comments()?;
        let line = self.line;
        let Some(first) = self.rest.chars().next() else { return Ok((line, None)) };
        let token = if first == '"' {
            self.rest = &self.rest[1..];
            Token::Word(self.quoted()?)
        } else if is_of_word(first) {
            let end = self.rest.find(|c| !is_of_word(c)).unwrap_or(self.rest.len());
            let (word, rest) = self.rest.split_at(end);
            self.rest = rest;
            Token::Word(word.into())
        } else {
            self.rest = &self.rest[first.len_utf8()..];
            Token::Sign(first)
        };
        Ok((line, Some(token)))
    }
    fn word(&mut self, wanted: &str) -> Result<String, Fault> {
        let (line, token) = self.next()?;
        word(wanted, line, token)
    }
    fn sign(&mut self, sign: char) -> Result<(), Fault> {
        let (line, token) = self.next()?;
        let found = match token {
            Some(Token::Sign(found)) if found == sign => return Ok(()),
            Some(Token::Sign(found)) => format!("{found:?}"),
            // It may be part of a password that lacks its quotes.
            Some(Token::Word(_)) => "a word".into(),
            None => "the end of the file".into(),
        };
        Err(Fault { line, what: format!("expected {sign:?}, found {found}") })
    }

    fn skip_blanks_and_comments(&mut self) -> Result<(), Fault> {
        loop {
            let more = self.rest.trim_start_matches(|c: char| c <= ' ');
            self.advance(self.rest.len() - more.len());
            if let Some(comment) = self.rest.strip_prefix("/*") {
                let Some(end) = comment.find("*/") else {
                    let what = "expected */ behind this".into();
                    return Err(Fault { line: self.line, what });
                };
                self.advance(end + 4);
            } else if self.rest.starts_with('/') {
                self.advance(self.rest.find('\n').unwrap_or(self.rest.len()));
            } else {
                return Ok(());
            }
        }
    }
    fn advance(&mut self, bytes: usize) {
        let (over, rest) = self.rest.split_at(bytes);
        self.line += over.matches('\n').count();
        self.rest = rest;
    }

    /// Up to the closing quote, in the same line.
    fn quoted(&mut self) -> Result<String, Fault> {
        let open = Fault { line: self.line, what: "expected a closing '\"' in this line".into() };
        let mut value = String::new();
        let mut letters = self.rest.char_indices().peekable();
        loop {
            let letter = match letters.next() {
                None | Some((_, '\n' | '\r')) => return Err(open),
                Some((at, '"')) => {
                    self.rest = &self.rest[at + 1..];
                    return Ok(value);
                }
                Some((_, '\\')) => match letters.next() {
                    None | Some((_, '\n' | '\r')) => return Err(open),
                    Some((_, digit @ '0'..='7')) => {
                        // Up to three octal digits, at most \377.
                        let most = if digit <= '3' { 2 } else { 1 };
                        let mut code = digit as u8 - b'0';
                        for _ in 0..most {
                            let Some((_, more)) = letters.next_if(|(_, c)| ('0'..='7').contains(c))
                            else {
                                break;
                            };
                            code = code * 8 + (more as u8 - b'0');
                        }
                        char::from(code)
                    }
                    Some((_, letter)) => match letter {
                        'a' => '\x07',
                        'b' => '\x08',
                        'f' => '\x0c',
                        'n' => '\n',
                        'r' => '\r',
                        't' => '\t',
                        'v' => '\x0b',
                        itself => itself,
                    },
                },
                Some((_, letter)) => letter,
            };
            value.push(letter);
        }
    }
}

/// What stands in a word without quotes.
fn is_of_word(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || "._-$*".contains(letter) || letter >= '\u{a0}'
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "\
/* users of
   the service */
Client { com.sun.security.auth.module.Krb5LoginModule required useKeyTab=true
  keyTab=\"/etc/zk.keytab\"; };
Server {
    org.apache.zookeeper.server.auth.DigestLoginModule required // ours
    user_super=\"adminsecret\"
    user_bob=\"with \\\"quotes\\\", \\101 and \\\\ \\0\" user_carol=plain;
    other.Module OPTIONAL;
};
";

    #[test]
    fn sections_modules_options() {
        let sections = parse(FILE).unwrap();
        let names: Vec<_> = sections.iter().map(|s| (s.name.as_str(), s.line)).collect();
        assert_eq!(names, [("Client", 3), ("Server", 5)]);
        let [digest, other] = &sections[1].modules[..] else { panic!("{sections:?}") };
        assert_eq!(digest.class, "org.apache.zookeeper.server.auth.DigestLoginModule");
        let options: Vec<_> =
            digest.options.iter().map(|o| (o.name.as_str(), o.value.as_str(), o.line)).collect();
        let expected = [
            ("user_super", "adminsecret", 7),
            ("user_bob", "with \"quotes\", A and \\ \0", 8),
            ("user_carol", "plain", 8),
        ];
        assert_eq!(options, expected);
        assert_eq!((other.class.as_str(), other.options.len()), ("other.Module", 0));
        assert_eq!(sections[0].modules[0].options[1].value, "/etc/zk.keytab");
        assert_eq!(parse("").unwrap(), []);
        assert!(!format!("{sections:?}").contains("adminsecret"));
    }

    #[test]
    fn faults_name_their_lines() {
        for (text, line, what) in [
            ("Server", 1, "expected '{', found the end of the file"),
            ("Server {\n};\n}", 3, "expected the name of a section, found '}'"),
            ("Server {\n}\nClient {};", 3, "expected ';', found a word"),
            ("Server {};\nServer {};", 2, "section Server stands in line 1 already"),
            (
                "Server {\nx.Y\n;",
                3,
                "expected one of required, requisite, sufficient, optional, found ';'",
            ),
            ("Server {\nx.Y always;", 2, "behind x.Y, found \"always\""),
            ("Server {\nx.Y required\na;", 3, "expected '=', found ';'"),
            ("Server {\nx.Y required\na=;", 3, "expected the value of a, found ';'"),
            ("Server {\nx.Y required\na=/etc;\n", 4, "expected the value of a, found the end"),
            ("Server {\nx.Y required\na=\"b\n\";", 3, "expected a closing '\"' in this line"),
            ("Server {\nx.Y required\na=\"b\\\n\";", 3, "expected a closing '\"' in this line"),
            ("Server {\nx.Y required\na=b};", 3, "expected an option or ';', found '}'"),
            ("\n/* never\nends", 2, "expected */"),
        ] {
            let fault = parse(text).unwrap_err();
            assert_eq!(fault.line, line, "{text}: {fault:?}");
            assert!(fault.what.contains(what), "{text}: {fault:?}");
        }
    }
}
