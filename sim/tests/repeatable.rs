//! The same code, scenario and seed give the same run: in two processes, hash for hash.

use std::path::Path;
use std::process::Command;

/// The last word of what a run prints is its hash, whether it passed or failed.
fn hash_of(scenario: &str, seed: u64) -> String {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios").join(scenario);
    let output = Command::new(env!("CARGO_BIN_EXE_zebu-sim"))
        .arg("run")
        .arg(file)
        .args(["--seed", &seed.to_string()])
        .output()
        .expect("the simulator starts");
    let text = String::from_utf8(output.stdout).expect("it prints text");
    let hash = text.split_whitespace().last().unwrap_or_default().to_owned();
    assert!(hash.len() == 16 && hash.chars().all(|c| c.is_ascii_hexdigit()), "no hash in: {text}");
    hash
}

#[test]
fn two_processes_agree_on_every_hash() {
    let mut hashes = std::collections::BTreeSet::new();
    let runs = [("calm.toml", 1), ("swarm-3.toml", 5), ("power-loss.toml", 2), ("swarm-2.toml", 2)];
    for (scenario, seed) in runs {
        let first = hash_of(scenario, seed);
        assert_eq!(first, hash_of(scenario, seed), "{scenario} seed {seed}");
        hashes.insert(first);
    }
    assert_eq!(hashes.len(), runs.len(), "different runs have different hashes");
    assert_ne!(hash_of("calm.toml", 1), hash_of("calm.toml", 2));
}
