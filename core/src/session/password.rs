//! The password of a session. It keeps nobody out; it tells one session's holder from another's by
//! mistake. Which sessions exist is not known here.

use crate::ids::SessionId;

/// The password of a session: computed, never stored, the same on every server.
// ZK: ZooKeeperServer.generatePasswd (3.9)
pub fn password(session: SessionId) -> [u8; 16] {
    let mut random = JavaRandom::new(session.0 ^ 0xB341_5C00);
    let mut bytes = [0; 16];
    for four in bytes.chunks_exact_mut(4) {
        four.copy_from_slice(&random.next_u32().to_le_bytes());
    }
    bytes
}

/// `java.util.Random`, whose sequence its documentation fixes: a linear congruence of 48 bits.
struct JavaRandom(u64);

impl JavaRandom {
    const MULTIPLIER: u64 = 0x5_DEEC_E66D;
    const INCREMENT: u64 = 0xB;
    const MASK: u64 = (1 << 48) - 1;

    fn new(seed: u64) -> Self {
        Self((seed ^ Self::MULTIPLIER) & Self::MASK)
    }
    fn next_u32(&mut self) -> u32 {
        self.0 = self.0.wrapping_mul(Self::MULTIPLIER).wrapping_add(Self::INCREMENT) & Self::MASK;
        (self.0 >> 16) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(session: u64, hex: &str) {
        let found: std::string::String =
            password(SessionId(session)).iter().map(|b| std::format!("{b:02x}")).collect();
        assert_eq!(found, hex);
    }

    #[test]
    fn passwords_are_those_of_java() {
        check(0x0000_0000_0000_0001, "054cc74a37327db215e702e20c73f005");
        check(0x0100_0000_0000_0000, "f22acd4a97e69d6d20a49bb638eadb38");
        check(0x0100_0123_4567_0000, "4be494d27cc739baa123244a251a7415");
        // Seen in a session of a Java 3.9 server.
        check(0x0100_001b_c00d_0000, "69b705b3429f984befe6e9035b56088c");
    }
}
