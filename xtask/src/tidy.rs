//! `cargo xtask tidy`: rules that no compiler checks. Each rule is a function from what it looks at
//! to what is wrong, so that each is tested on a wrong case here.

mod report;
mod rules;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use crate::shell;

pub(crate) use report::report;

/// A file of the tree, by its path from the root.
struct File {
    path: String,
    text: String,
}

impl File {
    fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }
}

pub(crate) fn run(root: &Path) -> Result<()> {
    let files = files(root)?;
    let mut wrong = vec![];
    for file in &files {
        wrong.extend(rules::module_header(file));
        wrong.extend(rules::leftovers(file));
        wrong.extend(rules::named_workplaces(file));
    }
    wrong.extend(rules::dependencies(&core_tree(root)?));
    for file in &files {
        wrong.extend(rules::opcode_table(file));
    }
    for line in &wrong {
        println!("tidy: {line}");
    }
    ensure!(wrong.is_empty(), "{} findings", wrong.len());
    println!("tidy: {} files, nothing to mend", files.len());
    Ok(())
}

/// Every text file of the tree, in order.
fn files(root: &Path) -> Result<Vec<File>> {
    let mut files = vec![];
    let mut folders = vec![root.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).with_context(|| folder.display().to_string())? {
            let path = entry?.path();
            if !ours(&path) {
                continue;
            }
            if path.is_dir() {
                folders.push(path);
            } else if let Ok(text) = fs::read_to_string(&path) {
                // What is no text is test data.
                files.push(File { path: relative(root, &path), text });
            }
        }
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(files)
}

fn ours(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default();
    !["target", ".git", "zebu-data", "corpus", "artifacts"].iter().any(|other| name == *other)
}

fn relative(root: &Path, path: &Path) -> String {
    let relative: PathBuf = path.strip_prefix(root).unwrap_or(path).to_path_buf();
    relative.to_string_lossy().replace('\\', "/")
}

/// What core links on this platform, a package a line.
fn core_tree(root: &Path) -> Result<String> {
    let output = shell::cargo()
        .current_dir(root)
        .args([
            "tree",
            "--package",
            "zebu-core",
            "--edges",
            "normal",
            "--prefix",
            "none",
            "--locked",
        ])
        .output()
        .context("cannot run cargo tree")?;
    ensure!(output.status.success(), "cargo tree: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tree_is_tidy() {
        if let Err(error) = run(&shell::root()) {
            panic!("{error:#}");
        }
    }
}
