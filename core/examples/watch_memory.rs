//! What a million watches take: resident memory, divided. `cargo run -p zebu-core --example
//! watch_memory`; Linux only, because it asks `/proc`.

use zebu_core::ids::ConnId;
use zebu_core::watch::{WatchMode, WatchTable};

const WATCHES: u64 = 1_000_000;

type Path = fn(u64) -> String;
type Conn = fn(u64) -> ConnId;

fn main() {
    let shapes: [(&str, Path, Conn); 3] = [
        (
            "each connection 1,000 paths of its own",
            |n| format!("/services/{:06}", n),
            |n| ConnId(n / 1000),
        ),
        (
            "1,000 connections, the same 1,000 paths",
            |n| format!("/services/{:06}", n % 1000),
            |n| ConnId(n / 1000),
        ),
        ("a million connections, one path", |_| "/services/000000".into(), ConnId),
    ];
    for (shape, path, conn) in shapes {
        let before = resident_bytes();
        let mut watches = WatchTable::new(7);
        for n in 0..WATCHES {
            watches.register(conn(n), WatchMode::Data, path(n));
        }
        assert_eq!(watches.count() as u64, WATCHES);
        let grown = resident_bytes().saturating_sub(before);
        println!("{shape}: {} bytes each", grown / WATCHES);
        // Kept, or the next shape would be built in the memory of this one.
        std::mem::forget(watches);
    }
}

fn resident_bytes() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").expect("Linux has it");
    let pages: u64 = statm.split(' ').nth(1).and_then(|n| n.parse().ok()).expect("a number");
    pages * 4096
}
