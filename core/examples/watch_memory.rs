//! What a million watches take, as counted by the allocator: `cargo run --release -p zebu-core
//! --example watch_memory`. What the allocator itself adds to each piece is not in it.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use zebu_core::ids::ConnId;
use zebu_core::watch::{WatchMode, WatchTable};

const WATCHES: u64 = 1_000_000;

static HELD: AtomicUsize = AtomicUsize::new(0);
static PIECES: AtomicUsize = AtomicUsize::new(0);

struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

// SAFETY: everything is the system's own doing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        HELD.fetch_add(layout.size(), Relaxed);
        PIECES.fetch_add(1, Relaxed);
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        HELD.fetch_sub(layout.size(), Relaxed);
        PIECES.fetch_sub(1, Relaxed);
        unsafe { System.dealloc(at, layout) }
    }
}

type Path = fn(u64) -> String;
type Conn = fn(u64) -> ConnId;

fn main() {
    let path = |n: u64| format!("/services/{n:06}");
    let shapes: [(&str, Path, Conn); 5] = [
        ("one connection, a million paths", |n| format!("/services/{n:06}"), |_| ConnId(1)),
        (
            "1,000 connections, 1,000 paths of their own each",
            |n| format!("/services/{n:06}"),
            |n| ConnId(n / 1000),
        ),
        (
            "1,000 connections, the same 1,000 paths",
            |n| format!("/services/{:06}", n % 1000),
            |n| ConnId(n / 1000),
        ),
        ("a million connections, one path", |_| "/services/000000".into(), ConnId),
        ("a million connections, a path each", |n| format!("/services/{n:06}"), ConnId),
    ];
    println!("paths have {} bytes", path(0).len());
    for (shape, path, conn) in shapes {
        let before = (HELD.load(Relaxed), PIECES.load(Relaxed));
        let mut watches = WatchTable::new(7);
        for n in 0..WATCHES {
            watches.register(conn(n), WatchMode::Data, path(n));
        }
        assert_eq!(watches.count() as u64, WATCHES);
        let held = HELD.load(Relaxed) - before.0;
        let pieces = PIECES.load(Relaxed) - before.1;
        let each = |all: usize| all as f64 / WATCHES as f64;
        println!("{shape}: {:.0} bytes each, in {:.2} pieces", each(held), each(pieces));
    }
}
