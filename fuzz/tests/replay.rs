//! Every target over inputs that once mattered, and over some thousands that are drawn: a smoke
//! test without libFuzzer. A crash that libFuzzer finds becomes a line here or a test in core.

macro_rules! targets {
    ($($name:ident)*) => {
        const TARGETS: &[(&str, fn(&[u8]))] = &[$((stringify!($name), zebu_fuzz::$name)),*];
        mod drawn_inputs {
            $(#[test]
            fn $name() {
                super::replay_drawn(stringify!($name), zebu_fuzz::$name);
            })*
        }
    };
}

targets! {
    jute_record client_frame client_answer quorum_frame election_frame txn_entry log_file snapshot
    server_events client_session
}

/// xorshift64; any fixed sequence would do.
fn drawn() -> impl FnMut() -> u64 {
    let mut state = 0x5EED_u64;
    move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    }
}

fn replay_drawn(name: &str, target: fn(&[u8])) {
    let mut draw = drawn();
    for round in 0..2000 {
        let length = draw() as usize % 300;
        let mut input: Vec<u8> = (0..length).map(|_| draw() as u8).collect();
        // Small numbers pass for lengths and opcodes, so that half the inputs get further.
        if round % 2 == 0 {
            for byte in &mut input {
                if draw() % 4 != 0 {
                    *byte = [0, 0, 0, 1, 2, 4, 11, 16, 0xFF][draw() as usize % 9];
                }
            }
        }
        let ended = std::panic::catch_unwind(|| target(&input));
        assert!(ended.is_ok(), "{name}, input {input:02x?}");
    }
}

/// Logs and snapshots that Java wrote, as they are and with damage: checksums and lengths are right
/// up to it, so that it is met deep inside.
#[test]
fn damaged_files_of_java() {
    let samples = concat!(env!("CARGO_MANIFEST_DIR"), "/../core/testdata/samples");
    let (mut draw, mut replayed) = (drawn(), 0);
    for (prefix, target) in
        [("log.", zebu_fuzz::log_file as fn(&[u8])), ("snapshot.", zebu_fuzz::snapshot)]
    {
        for sample in std::fs::read_dir(samples).expect("the samples are there") {
            let folder = sample.expect("a readable folder").path().join("data/version-2");
            for file in std::fs::read_dir(folder).into_iter().flatten() {
                let path = file.expect("a readable folder").path();
                let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
                if !name.starts_with(prefix) {
                    continue;
                }
                let mut bytes = std::fs::read(&path).expect("a readable file");
                // Behind the records a log is zeros.
                let end = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 9);
                bytes.truncate(end);
                target(&bytes);
                for _ in 0..20 {
                    let mut damaged = bytes.clone();
                    let at = draw() as usize % damaged.len();
                    match draw() % 3 {
                        0 => damaged.truncate(at),
                        1 => damaged[at] ^= 1 << (draw() % 8),
                        _ => damaged[at..].fill(0),
                    }
                    target(&damaged);
                }
                replayed += 1;
            }
        }
    }
    assert!(replayed > 10, "{replayed} files");
}

#[test]
fn kept_inputs() {
    let mut replayed = 0;
    for (name, target) in TARGETS {
        let folder = format!("{}/kept/{name}", env!("CARGO_MANIFEST_DIR"));
        for entry in std::fs::read_dir(folder).into_iter().flatten() {
            let path = entry.expect("a readable folder").path();
            target(&std::fs::read(&path).expect("a readable file"));
            replayed += 1;
        }
    }
    assert!(replayed > 0, "the kept inputs are gone");
}

#[test]
fn every_target_has_its_binary() {
    for (name, _) in TARGETS {
        let path = format!("{}/fuzz_targets/{name}.rs", env!("CARGO_MANIFEST_DIR"));
        assert!(std::path::Path::new(&path).exists(), "{path}");
    }
}
