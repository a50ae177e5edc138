//! `cargo xtask lints-fire`: a ban that cannot fire is no ban. Each one is shown to reject a
//! snippet, added to a copy of core.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};

use crate::shell;

struct Ban {
    what: &'static str,
    snippet: &'static str,
    cargo: &'static [&'static str],
    /// Part of the message that must be given.
    message: &'static str,
}

const BANS: &[Ban] = &[
    Ban {
        what: "no std (clock)",
        snippet: "pub fn now() -> std::time::Instant { std::time::Instant::now() }",
        cargo: &["check"],
        message: "`std`",
    },
    Ban {
        what: "no std (hash tables with random keys)",
        snippet: "pub type Table = std::collections::HashMap<u8, u8>;",
        cargo: &["check"],
        message: "`std`",
    },
    Ban {
        what: "no unsafe code",
        snippet: "pub fn first(b: &[u8]) -> u8 { unsafe { *b.get_unchecked(0) } }",
        cargo: &["check"],
        message: "unsafe",
    },
    Ban {
        what: "no iterating of hash tables",
        snippet: "pub fn sum(t: &hashbrown::HashMap<u8, u8>) -> u32 { \
                  t.values().map(|v| u32::from(*v)).sum() }",
        cargo: &["clippy"],
        message: "disallowed method `hashbrown::HashMap::values`",
    },
];

pub(crate) fn run() -> Result<()> {
    let root = shell::root();
    let copy = shell::target().join("lints-fire");
    if copy.exists() {
        fs::remove_dir_all(&copy)?;
    }
    fs::create_dir_all(&copy)?;
    fs::copy(root.join("Cargo.lock"), copy.join("Cargo.lock"))?;
    copy_tree(&root.join("core/src"), &copy.join("core/src"))?;
    for file in ["core/Cargo.toml", "core/clippy.toml"] {
        fs::copy(root.join(file), copy.join(file))?;
    }
    let manifest = fs::read_to_string(root.join("Cargo.toml"))?;
    fs::write(copy.join("Cargo.toml"), only_core(&manifest))?;

    let lib = copy.join("core/src/lib.rs");
    let good = fs::read_to_string(&lib)?;
    let mut quiet = vec![];
    for ban in BANS {
        fs::write(&lib, format!("{good}\n{}\n", ban.snippet))?;
        let output = shell::cargo()
            .args(ban.cargo)
            .args(["--quiet", "--package", "zebu-core", "--lib", "--manifest-path"])
            .arg(copy.join("Cargo.toml"))
            .env("CARGO_TARGET_DIR", copy.join("target"))
            .args(if ban.cargo == ["clippy"] { &["--", "-D", "warnings"][..] } else { &[] })
            .output()
            .context("cannot run cargo")?;
        let said = String::from_utf8_lossy(&output.stderr);
        // The snippet is the file's last line, so nothing else can be what was complained about.
        let line = format!("lib.rs:{}", good.lines().count() + 2);
        let fired = !output.status.success() && said.contains(ban.message) && said.contains(&line);
        println!("{} {}", if fired { "fires" } else { "QUIET" }, ban.what);
        if !fired {
            println!("{said}");
            quiet.push(ban.what);
        }
    }
    fs::remove_dir_all(&copy)?;
    ensure!(quiet.is_empty(), "bans that let their snippet pass: {}", quiet.join(", "));
    Ok(())
}

/// The workspace's manifest, with core as its only member.
fn only_core(manifest: &str) -> String {
    let keep =
        |line: &&str| !["default-members", "exclude"].iter().any(|key| line.starts_with(key));
    let line = |line: &str| {
        if line.starts_with("members") {
            "members = [\"core\"]\n".into()
        } else {
            format!("{line}\n")
        }
    };
    manifest.lines().filter(keep).map(line).collect()
}

fn copy_tree(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        if from.is_dir() {
            copy_tree(&from, &to)?;
        } else {
            fs::copy(from, to)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_copy_has_one_member() {
        let manifest = "[workspace]\nmembers = [\"core\", \"sim\"]\ndefault-members = [\"sim\"]\n";
        assert_eq!(only_core(manifest), "[workspace]\nmembers = [\"core\"]\n");
    }
}
