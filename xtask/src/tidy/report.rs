//! `cargo xtask tidy --report`: the longest files and functions. For information: nothing fails.

use std::path::Path;

use anyhow::Result;

use super::{File, files};

const SHOWN: usize = 10;

pub(crate) fn report(root: &Path) -> Result<()> {
    let files: Vec<File> = files(root)?.into_iter().filter(is_code).collect();
    let mut lengths: Vec<(usize, String)> = vec![];
    let mut functions: Vec<(usize, String)> = vec![];
    for file in &files {
        let code = without_tests(&file.text);
        lengths.push((code.lines().count(), file.path.clone()));
        functions.extend(
            functions_of(code)
                .into_iter()
                .map(|(lines, at)| (lines, format!("{}:{at}", file.path))),
        );
    }
    show("files, without their tests", lengths);
    show("functions", functions);
    Ok(())
}

fn is_code(file: &File) -> bool {
    let tests = ["tests.rs", "model.rs"].iter().any(|end| file.path.ends_with(end));
    file.is_rust() && !tests && !file.path.contains("/tests/")
}

fn show(what: &str, mut found: Vec<(usize, String)>) {
    found.sort_by(|a, b| b.cmp(a));
    println!("longest {what}, of {}:", found.len());
    for (lines, name) in found.iter().take(SHOWN) {
        println!("  {lines:5}  {name}");
    }
}

fn without_tests(text: &str) -> &str {
    text.find("\n#[cfg(test)]\nmod ").map_or(text, |end| &text[..end])
}

/// Lines and starting line of each function. The text is as rustfmt leaves it, so a function ends
/// at the brace that stands below its own first letter.
fn functions_of(text: &str) -> Vec<(usize, String)> {
    let lines: Vec<&str> = text.lines().collect();
    let mut found = vec![];
    for (start, line) in lines.iter().enumerate() {
        let body = line.trim_start();
        let Some(name) = function_name(body) else { continue };
        let end = format!("{}}}", &line[..line.len() - body.len()]);
        if body.ends_with(['}', ';']) {
            continue;
        }
        if let Some(length) = lines[start..].iter().position(|line| *line == end) {
            found.push((length + 1, format!("{} {name}", start + 1)));
        }
    }
    found
}

fn function_name(line: &str) -> Option<&str> {
    let (before, after) = line.split_once("fn ")?;
    let modifiers = ["pub", "pub(crate)", "pub(super)", "const", "async", "unsafe"];
    let is_head = before.split_whitespace().all(|word| modifiers.contains(&word));
    is_head.then(|| after.split(['(', '<']).next().unwrap_or(after))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_and_their_lengths() {
        let text = "impl A {\n    pub fn one(&self) {\n        if x {\n        }\n    }\n}\n\n\
                    fn short() {}\n\npub(crate) const fn two<T>(\n    a: T,\n) {\n    b\n}\n";
        assert_eq!(functions_of(text), [(4, "2 one".to_owned()), (5, "10 two".to_owned())]);
    }

    #[test]
    fn tests_do_not_count() {
        assert_eq!(without_tests("a\n#[cfg(test)]\nmod tests {\n}\n"), "a");
        assert_eq!(without_tests("a\n#[cfg(test)]\nuse x;\n"), "a\n#[cfg(test)]\nuse x;\n");
    }
}
