//! The rules, one function each: what it looks at in, what is wrong with it out.

use std::collections::BTreeSet;

use zebu_core::proto::OpCode;

use super::File;

/// What core may be made of, and what that brings along. A line more needs an argument in its
/// commit: whatever core links decides whether it can reach a clock.
const CORE_MAY_USE: &[&str] = &[
    "bytes",
    "hashbrown",
    "serde",
    "serde_core",
    "thiserror",
    // Procedural macros: nothing of them is linked.
    "proc-macro2",
    "quote",
    "serde_derive",
    "syn",
    "thiserror-impl",
    "unicode-ident",
    // Checksums of the tree.
    "cfg-if",
    "crc32fast",
    // Passwords in ACLs, as upstream hashes them.
    "base64ct",
    "block-buffer",
    "cpufeatures",
    "crypto-common",
    "digest",
    "hybrid-array",
    "keccak",
    "md-5",
    "sha1",
    "sha2",
    "sha3",
    "sponge-cursor",
    "typenum",
    // Snapshots that upstream compressed.
    "adler2",
    "miniz_oxide",
];

/// Never in a tree that others are to read.
const LEFTOVERS: &[&str] = &[
    concat!("db", "g!("),
    concat!("FIX", "ME"),
    concat!("to", "do!("),
    concat!("unimple", "mented!("),
];

/// Places that only one workplace has.
const WORKPLACES: &[&str] = &[
    concat!("/wo", "rk/"),
    concat!(".mir", "ror/"),
    concat!("py", "pi.org"),
    concat!("python", "hosted.org"),
    concat!("index.cra", "tes.io"),
    concat!("maven.apa", "che.org"),
    concat!("proxy.go", "lang.org"),
    concat!("registry.npm", "js.org"),
];

/// Every module says what lives there.
pub(super) fn module_header(file: &File) -> Option<String> {
    let headed = !file.is_rust() || file.text.starts_with("//!");
    (!headed).then(|| format!("{}: the first line must begin with `//!`", file.path))
}

pub(super) fn leftovers(file: &File) -> Vec<String> {
    if !file.is_rust() {
        return vec![];
    }
    occurrences(file, LEFTOVERS)
}

pub(super) fn named_workplaces(file: &File) -> Vec<String> {
    // The lock file is cargo's.
    if file.path.ends_with("Cargo.lock") {
        return vec![];
    }
    occurrences(file, WORKPLACES)
}

fn occurrences(file: &File, words: &[&str]) -> Vec<String> {
    let mut found = vec![];
    for (number, line) in file.text.lines().enumerate() {
        for word in words.iter().filter(|word| line.contains(**word)) {
            found.push(format!("{}:{}: `{word}`", file.path, number + 1));
        }
    }
    found
}

/// Core links nothing but what is listed, transitively; from `cargo tree`, a package a line.
pub(super) fn dependencies(tree: &str) -> Vec<String> {
    let names: BTreeSet<&str> =
        tree.lines().filter_map(|line| line.split_whitespace().next()).collect();
    if !names.contains("zebu-core") {
        return vec!["cargo tree names no zebu-core".into()];
    }
    let foreign =
        names.into_iter().filter(|name| *name != "zebu-core" && !CORE_MAY_USE.contains(name));
    foreign.map(|name| format!("core/Cargo.toml: core may not use {name}")).collect()
}

/// A Markdown table whose heading is `| opcode | number |` names every opcode of the enum, rightly.
pub(super) fn opcode_table(file: &File) -> Vec<String> {
    if !file.path.ends_with(".md") {
        return vec![];
    }
    let cells = |line: &str| -> Vec<String> {
        line.trim_matches(['|', ' ']).split('|').map(|cell| cell.trim().to_owned()).collect()
    };
    let mut lines = file.text.lines();
    if !lines.any(|line| cells(line).starts_with(&["opcode".into(), "number".into()])) {
        return vec![];
    }
    let mut listed = BTreeSet::new();
    for row in lines.skip(1).take_while(|line| line.starts_with('|')).map(cells) {
        listed
            .insert((row[0].trim_matches('`').to_owned(), row.get(1).cloned().unwrap_or_default()));
    }
    let expected: BTreeSet<_> =
        OpCode::ALL.iter().map(|op| (op.name().to_owned(), op.number().to_string())).collect();
    let missing = expected.difference(&listed).map(|(name, _)| format!("lacks {name}"));
    let wrong =
        listed.difference(&expected).map(|(name, number)| format!("has {name} as {number}"));
    missing.chain(wrong).map(|what| format!("{}: the table of opcodes {what}", file.path)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, text: &str) -> File {
        File { path: path.into(), text: text.into() }
    }

    #[test]
    fn a_module_without_a_header() {
        assert_eq!(module_header(&file("a.rs", "//! What lives here.\n")), None);
        assert!(module_header(&file("a.rs", "use x;\n//! late")).is_some());
        assert_eq!(module_header(&file("a.md", "# Title")), None);
    }

    #[test]
    fn leftovers_are_found_with_their_line() {
        let text = format!("//! A\nfn f() {{ {}x); }}\n", LEFTOVERS[0]);
        assert_eq!(leftovers(&file("a.rs", &text)), [format!("a.rs:2: `{}`", LEFTOVERS[0])]);
        assert!(leftovers(&file("a.md", &text)).is_empty());
    }

    #[test]
    fn workplaces_are_found_in_any_file() {
        let text = format!("see {}shared\n", WORKPLACES[0]);
        assert_eq!(named_workplaces(&file("a.toml", &text)).len(), 1);
        assert!(named_workplaces(&file("a.toml", "path = \"core\"")).is_empty());
    }

    #[test]
    fn a_dependency_too_many() {
        let tree = "zebu-core v0.1.0 (/a/core)\nbytes v1.0.0\nserde v1.0.0\nserde v1.0.0 (*)\n";
        assert_eq!(dependencies(tree), Vec::<String>::new());
        let wrong = dependencies(&format!("{tree}libc v0.2.0\n"));
        assert_eq!(wrong, ["core/Cargo.toml: core may not use libc"]);
        assert_eq!(dependencies("").len(), 1);
    }

    #[test]
    fn a_table_of_opcodes_that_is_not_the_enum() {
        let head = "| opcode | number | |\n|---|---|---|\n";
        let rows: Vec<String> = OpCode::ALL
            .iter()
            .map(|op| format!("| `{}` | {} | yes |\n", op.name(), op.number()))
            .collect();
        let table =
            |rows: &[String]| file("A.md", &format!("text\n\n{head}{}\nmore", rows.concat()));
        assert_eq!(opcode_table(&table(&rows)), Vec::<String>::new());
        assert_eq!(opcode_table(&table(&rows[1..])).len(), 1);
        let wrong = [&rows[1..], &["| `closeSession` | 7 | |\n".to_owned()]].concat();
        assert_eq!(opcode_table(&table(&wrong)).len(), 2);
        assert!(opcode_table(&file("A.md", "no table")).is_empty());
    }
}
