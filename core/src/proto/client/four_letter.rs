//! Four-letter words as bytes.

use super::FourLetterWord;

/// Each word and its bytes, in the order of upstream's list. The last one is what a telnet client
/// sends at ^C.
// ZK: FourLetterCommands (3.9)
const WORDS: [(FourLetterWord, &[u8; 4]); 19] = {
    use FourLetterWord::*;
    [
        (Conf, b"conf"),
        (Cons, b"cons"),
        (Crst, b"crst"),
        (Dirs, b"dirs"),
        (Dump, b"dump"),
        (Envi, b"envi"),
        (Gtmk, b"gtmk"),
        (Hash, b"hash"),
        (Isro, b"isro"),
        (Mntr, b"mntr"),
        (Ruok, b"ruok"),
        (Srst, b"srst"),
        (Srvr, b"srvr"),
        (Stat, b"stat"),
        (Stmk { mask: 0 }, b"stmk"),
        (Wchc, b"wchc"),
        (Wchp, b"wchp"),
        (Wchs, b"wchs"),
        (Interrupt, b"\xff\xf4\xff\xfd"),
    ]
};

impl FourLetterWord {
    /// `None` for bytes that upstream would take for a length. The mask of `stmk` follows the word.
    pub fn from_bytes(bytes: [u8; 4]) -> Option<Self> {
        WORDS.iter().find(|(_, word)| **word == bytes).map(|(word, _)| *word)
    }
    pub fn bytes(self) -> [u8; 4] {
        let named = |word: Self| core::mem::discriminant(&word) == core::mem::discriminant(&self);
        let found = WORDS.iter().find(|(word, _)| named(*word));
        *found.expect("every word is in the list").1
    }
    /// Does its answer show what only the driver knows ([`crate::server::Machine`])?
    pub fn shows_machine(self) -> bool {
        matches!(self, Self::Conf | Self::Dirs | Self::Dump | Self::Envi | Self::Mntr)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_their_bytes() {
        for (word, bytes) in WORDS {
            assert_eq!(FourLetterWord::from_bytes(*bytes), Some(word));
            assert_eq!(word.bytes(), *bytes);
        }
        assert_eq!(FourLetterWord::Stmk { mask: 7 }.bytes(), *b"stmk");
        assert_eq!(FourLetterWord::from_bytes(*b"quit"), None);
        assert_eq!(FourLetterWord::from_bytes([0, 0, 0, 44]), None);
    }
}
