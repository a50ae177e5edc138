//! Four-letter words as bytes.

use super::FourLetterWord;

/// What upstream knows and we do not answer yet. The last one is what a telnet client sends at ^C.
// ZK: FourLetterCommands (3.9)
const OTHERS: [&[u8; 4]; 14] = [
    b"conf",
    b"cons",
    b"crst",
    b"dirs",
    b"dump",
    b"envi",
    b"gtmk",
    b"hash",
    b"srst",
    b"stmk",
    b"wchc",
    b"wchp",
    b"wchs",
    b"\xff\xf4\xff\xfd",
];

impl FourLetterWord {
    /// `None` for bytes that upstream would take for a length.
    pub fn from_bytes(bytes: [u8; 4]) -> Option<Self> {
        match &bytes {
            b"ruok" => Some(Self::Ruok),
            b"srvr" => Some(Self::Srvr),
            b"stat" => Some(Self::Stat),
            b"mntr" => Some(Self::Mntr),
            b"isro" => Some(Self::Isro),
            other => OTHERS.contains(&other).then_some(Self::Other(bytes)),
        }
    }
    pub const fn bytes(self) -> [u8; 4] {
        match self {
            Self::Ruok => *b"ruok",
            Self::Srvr => *b"srvr",
            Self::Stat => *b"stat",
            Self::Mntr => *b"mntr",
            Self::Isro => *b"isro",
            Self::Other(bytes) => bytes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_their_bytes() {
        let answered = [b"ruok", b"srvr", b"stat", b"mntr", b"isro"];
        for word in answered.into_iter().chain(OTHERS) {
            let known = FourLetterWord::from_bytes(*word).expect("upstream knows it");
            assert_eq!(known.bytes(), *word);
            assert_eq!(matches!(known, FourLetterWord::Other(_)), OTHERS.contains(&word));
        }
        assert_eq!(FourLetterWord::from_bytes(*b"quit"), None);
        assert_eq!(FourLetterWord::from_bytes([0, 0, 0, 44]), None);
    }
}
