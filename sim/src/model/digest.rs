//! The tree's digest, computed once more: the sum of the nodes' CRC-32s (semantics.md, section 13).

use super::Node;

/// A node's share; nodes below `/zookeeper` have none.
// ZK: DigestCalculator.calculateDigest (3.9)
pub fn of(path: &str, node: &Node) -> u64 {
    if path.starts_with("/zookeeper/") {
        return 0;
    }
    let mut crc = Crc32(!0);
    crc.update(if path == "/" { b"" } else { path.as_bytes() });
    if let Some(data) = &node.data {
        crc.update(data);
    }
    let s = &node.stat;
    for long in [s.czxid.to_wire(), s.mzxid.to_wire(), s.pzxid.to_wire(), s.ctime, s.mtime] {
        crc.update(&long.to_be_bytes());
    }
    for int in [s.version, s.cversion, s.aversion] {
        crc.update(&int.to_be_bytes());
    }
    crc.update(&s.ephemeral_owner.to_be_bytes());
    u64::from(!crc.0)
}

/// CRC-32 of zlib, a byte at a time.
struct Crc32(u32);

impl Crc32 {
    fn update(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = TABLE[usize::from(self.0 as u8 ^ byte)] ^ (self.0 >> 8);
        }
    }
}

const TABLE: [u32; 256] = {
    let mut table = [0; 256];
    let mut n = 0;
    while n < 256 {
        let mut crc = n as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 1 { 0xEDB8_8320 ^ (crc >> 1) } else { crc >> 1 };
            bit += 1;
        }
        table[n] = crc;
        n += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crc_of_the_check_string() {
        let mut crc = Crc32(!0);
        crc.update(b"123456789");
        assert_eq!(!crc.0, 0xCBF4_3926);
    }
}
