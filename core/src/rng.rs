//! A seeded generator for what needs spreading, not secrecy (snapshot points, back-off), and a
//! seeded hash for tables that outsiders can fill.

use core::hash::{BuildHasher, Hasher};

use serde::{Deserialize, Serialize};

/// SplitMix64 (Steele, Lea, Flood 2014).
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Rng(u64);

impl Rng {
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        mix(self.0)
    }
    /// Uniform in `0..bound`; 0 for bound 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        if bound == 0 {
            0
        } else {
            ((u128::from(self.next_u64()) * u128::from(bound)) >> 64) as u64
        }
    }
}

/// The finalizer of SplitMix64: a good 64-bit mixing function.
pub const fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// Keys a hash table from the configuration's seed, so that nobody outside knows which keys collide.
/// Not a cryptographic hash: it makes floods of collisions hard to aim, as hashbrown's own does.
#[derive(Clone, Copy, Debug, Default)]
pub struct SeededState {
    key: u64,
}

impl SeededState {
    pub const fn new(seed: u64) -> Self {
        Self { key: mix(seed ^ 0x7EB0_5EED) }
    }
}

impl BuildHasher for SeededState {
    type Hasher = SeededHasher;
    fn build_hasher(&self) -> SeededHasher {
        SeededHasher { key: self.key, state: mix(!self.key) }
    }
}

#[derive(Clone, Debug)]
pub struct SeededHasher {
    key: u64,
    state: u64,
}

impl Hasher for SeededHasher {
    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.write_u64(u64::from_le_bytes(word));
        }
        // Zeros at the end count.
        self.write_u64(bytes.len() as u64);
    }
    fn write_u64(&mut self, word: u64) {
        self.state = mix(self.state ^ word).wrapping_add(self.key);
    }
    fn finish(&self) -> u64 {
        mix(self.state)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_depend_on_seed_and_every_byte() {
        let hash = |seed, text: &str| SeededState::new(seed).hash_one(text);
        assert_eq!(hash(1, "/a/b"), hash(1, "/a/b"));
        assert_ne!(hash(1, "/a/b"), hash(2, "/a/b"));
        let texts = ["", "\0", "\0\0", "/a", "/a\0", "/b", "/aaaaaaaa", "/aaaaaaab", "/aaaaaaaa/"];
        let hashes: alloc::collections::BTreeSet<_> = texts.map(|text| hash(1, text)).into();
        assert_eq!(hashes.len(), texts.len());
    }
}
