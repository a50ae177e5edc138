//! Connections that bring nothing any more although nobody has closed them. Their clients are gone, or
//! have long been elsewhere, and the network has told nobody. A session that ends takes its connection
//! with it; one that has moved would leave it here, with its watches, for as long as the server runs.

use alloc::vec::Vec;

use crate::ids::ConnId;
use crate::server::CloseReason;
use crate::server::cx::Cx;
use crate::time::{Duration, Instant};

use super::{Order, Phase};

impl Order {
    /// Once a tick: closes what has been silent for the time-out of its session.
    // ZK: NIOServerCnxnFactory.ConnectionExpirerThread (3.9), which looks every 10 s.
    pub(crate) fn close_silent(&mut self, cx: &mut Cx) {
        let (now, due) = (cx.now.mono, self.look_at);
        if now < due {
            return;
        }
        self.look_at = now + cx.config.tick;
        // So late that it is this server that has heard nobody.
        if now > due + cx.config.tick {
            return;
        }
        let silent = |heard: Instant, timeout_ms: i32| {
            now.since(heard) > Duration::from_millis(timeout_ms.max(0).unsigned_abs().into())
        };
        let gone: Vec<(ConnId, CloseReason)> = (self.conns.iter())
            .filter_map(|(&id, conn)| match conn.phase {
                Phase::Open { session, timeout_ms } if silent(conn.stats.heard, timeout_ms) => {
                    Some((id, CloseReason::Silent(session)))
                }
                Phase::Greeting | Phase::Opening { .. } | Phase::Open { .. } => None,
            })
            .collect();
        for (conn, why) in gone {
            self.close(conn, why, cx);
        }
    }

    pub(crate) fn silence_deadline(&self) -> Option<Instant> {
        (!self.conns.is_empty()).then_some(self.look_at)
    }
}
