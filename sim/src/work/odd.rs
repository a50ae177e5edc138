//! Requests at the edge of what is legal: paths that are none, data that is none or nearly too much,
//! quotas of nothing, names as long as they come.

use bytes::Bytes;
use zebu_core::proto::{AddWatchMode, Request, create_flags};

use super::{BASE, Work, base, create};
use crate::decide::Draw;

/// Paths that name nothing, or something of the server's own.
const PATHS: [&str; 14] = [
    "",
    "/",
    "//",
    "/w/",
    "/w//x",
    "/w/.",
    "/w/../x",
    "/w/\u{1}",
    "/w/\u{fffd}",
    "w",
    "/no/such/parent",
    "/zookeeper",
    "/zookeeper/quota",
    "/zookeeper/quota/nowhere/zookeeper_limits",
];

/// Bytes of data in one request; with what is around it, it fits in a frame of twice as many.
const DATA_MAX: u64 = 2000;

/// Different long names.
const LONG_NAMES: u64 = 60;
/// What they are longer than the first at most.
const LONG_BYTES: u64 = 6000;

impl Work {
    pub(super) fn odd(&mut self, draw: &mut Draw) -> Request {
        let plain = |path, data| create(path, data, create_flags::PERSISTENT);
        let path = PATHS[draw.index(PATHS.len())].to_owned();
        let near = format!("{}/o{}", base(draw.below(self.paths)), draw.below(3));
        let part = match draw.below(9) {
            0 => plain(path, None),
            1 => create(path, self.data(), create_flags::PERSISTENT_SEQUENTIAL),
            2 => Request::SetData { path, data: None, version: -1 },
            3 => Request::Delete { path, version: -1 },
            // No part of a multi.
            4 => return Request::SetAcl { path: near, acl: Vec::new(), version: -1 },
            5 => plain(near, None),
            6 => Request::SetData { path: near, data: None, version: -1 },
            7 => {
                let data = Some(Bytes::from(vec![b'.'; draw.magnitude(1, DATA_MAX) as usize]));
                Request::SetData { path: near, data, version: -1 }
            }
            _ => return self.quota(&format!("{BASE}/nothing"), draw),
        };
        if draw.one_in(3) {
            let path = base(draw.below(self.paths));
            let before = Request::SetData { path, data: self.data(), version: -1 };
            return Request::Multi(vec![before, part]);
        }
        part
    }

    /// An ephemeral whose name is a good part of what one session may own.
    pub(super) fn long_ephemeral(&mut self, draw: &mut Draw) -> Request {
        let name = long(draw, LONG_BYTES / 8);
        let path = format!("{}/{name}", base(draw.below(self.paths)));
        create(path, None, create_flags::EPHEMERAL)
    }

    /// A watch whose path is a good part of what one setWatches brings along.
    pub(super) fn long_watch(&mut self, draw: &mut Draw) -> Request {
        let path = format!("{}/{}", base(draw.below(self.paths)), long(draw, LONG_BYTES));
        match draw.below(4) {
            0 => Request::AddWatch { path, mode: AddWatchMode::Persistent },
            1 => Request::GetData { path, watch: true },
            _ => Request::Exists { path, watch: true },
        }
    }

    /// What such watches wait for.
    pub(super) fn long_node(&mut self, draw: &mut Draw) -> Request {
        let path = format!("{}/{}", base(draw.below(self.paths)), long(draw, LONG_BYTES));
        if draw.one_in(2) {
            return Request::Delete { path, version: -1 };
        }
        create(path, self.data(), create_flags::PERSISTENT)
    }
}

/// One of a few names, each with a length of its own.
fn long(draw: &mut Draw, bytes: u64) -> String {
    let n = draw.below(LONG_NAMES);
    format!("l{n}{}", ".".repeat((n * bytes / LONG_NAMES) as usize))
}
