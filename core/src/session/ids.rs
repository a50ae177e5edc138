//! How a server names the sessions that it opens, so that no two servers, and no two lives of one
//! server, give the same name.

use crate::config::Config;
use crate::ids::{ServerId, SessionId};
use crate::mutant::Mutant;
use crate::time::WallTime;

/// Makes session ids: the server in the top byte, then 40 bits of the wall clock at the start in
/// milliseconds, then a count of 16 bits that runs over into them.
// ZK: SessionTrackerImpl.initializeNextSessionId (3.9)
// Departs: ZK takes the time since the machine started, which repeats after a reboot.
#[derive(Clone, Debug)]
pub struct SessionIds {
    next: SessionId,
    /// Mutant SidReseedSame, which would be no mistake if it still learnt from [`Self::observe`].
    reseeds_same: bool,
}

impl SessionIds {
    const COUNT: u64 = (1 << 56) - 1;
    /// Marks containers in `ephemeral_owner`.
    // ZK: EphemeralType.CONTAINER_EPHEMERAL_OWNER (3.9)
    const RESERVED: SessionId = SessionId(0x8000_0000_0000_0000);

    pub fn new(server: ServerId, wall: WallTime) -> Self {
        // As unsigned: a negative server id or a clock before 1970 must not reach the other fields.
        let clock = ((wall.0 as u64) << 24) >> 8;
        let next = SessionId(((server.0 as u64) << 56) | clock);
        Self { next: skip_reserved(next), reseeds_same: false }
    }
    /// The generator of a server that starts now.
    pub fn start(config: &Config, wall: WallTime) -> Self {
        if config.planted(Mutant::SidReseedSame) {
            return Self { reseeds_same: true, ..Self::new(config.my_id, WallTime(0)) };
        }
        Self::new(config.my_id, wall)
    }
    #[expect(clippy::should_implement_trait, reason = "it never ends")]
    pub fn next(&mut self) -> SessionId {
        let id = self.next;
        self.next = successor(id);
        id
    }
    /// `session` was opened once, by whomever. If this server did, in a life that began in the very
    /// millisecond that the clock shows again, another one is taken: sessions that nobody remembers
    /// may have been opened with it. To be told in ascending order.
    pub fn observe(&mut self, session: SessionId) {
        let same_clock = session.0 >> 16 == self.next.0 >> 16;
        if same_clock && !self.reseeds_same {
            let server = self.next.0 & !Self::COUNT;
            let clock = ((self.next.0 >> 16) + 1) << 16;
            self.next = skip_reserved(SessionId(server | (clock & Self::COUNT)));
        }
    }
}

/// The count wraps inside its 56 bits: the top byte goes on naming the server.
fn successor(id: SessionId) -> SessionId {
    let server = id.0 & !SessionIds::COUNT;
    skip_reserved(SessionId(server | (id.0.wrapping_add(1) & SessionIds::COUNT)))
}

fn skip_reserved(id: SessionId) -> SessionId {
    if id == SessionIds::RESERVED || id == SessionId(0) { SessionId(id.0 + 1) } else { id }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(server: i64, wall: i64, first: u64, second: u64) {
        let mut ids = SessionIds::new(ServerId(server), WallTime(wall));
        assert_eq!([ids.next(), ids.next()], [SessionId(first), SessionId(second)]);
    }

    #[test]
    fn server_clock_and_count_have_their_places() {
        check(1, 0x1_bc00d, 0x0100_001b_c00d_0000, 0x0100_001b_c00d_0001);
        check(3, 0x0199_8877_6655, 0x0399_8877_6655_0000, 0x0399_8877_6655_0001);
        check(254, 1, 0xfe00_0000_0001_0000, 0xfe00_0000_0001_0001);
    }

    #[test]
    fn the_owner_of_containers_and_zero_are_no_sessions() {
        check(128, 0, 0x8000_0000_0000_0001, 0x8000_0000_0000_0002);
        check(0, 0, 1, 2);
    }

    #[test]
    fn a_full_count_does_not_reach_the_servers_byte() {
        let mut ids = SessionIds::new(ServerId(5), WallTime((1 << 40) - 1));
        assert_eq!(ids.next(), SessionId(0x05ff_ffff_ffff_0000));
        ids.observe(SessionId(0x05ff_ffff_ffff_0000));
        assert_eq!(ids.next(), SessionId(0x0500_0000_0000_0000));
    }

    #[test]
    fn a_clock_that_shows_the_same_again_repeats_nothing() {
        let mut earlier = SessionIds::new(ServerId(200), WallTime(5000));
        let (first, forgotten) = (earlier.next(), earlier.next());
        let mut later = SessionIds::new(ServerId(200), WallTime(5000));
        later.observe(SessionId(0x0100_0000_ffff_0000));
        later.observe(first);
        let next = later.next();
        assert!(next != first && next != forgotten, "{next}");
    }
}
