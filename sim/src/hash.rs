//! A hash of everything that was observed: two runs of one seed must agree in it, in every process
//! and build. Values are fed in through serde, so no field is forgotten when a type grows.

use std::fmt;

use serde::ser::{self, Serialize};

/// Words mixed one after the other, as in FxHash; not for outsiders' keys.
#[derive(Clone, Debug)]
pub struct TraceHash(u64);

impl Default for TraceHash {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl TraceHash {
    #[inline]
    pub fn word(&mut self, word: u64) {
        self.0 = (self.0.rotate_left(5) ^ word).wrapping_mul(0x517c_c1b7_2722_0a95);
    }
    pub fn bytes(&mut self, bytes: &[u8]) {
        self.word(bytes.len() as u64);
        let mut chunks = bytes.chunks_exact(8);
        for chunk in &mut chunks {
            self.word(u64::from_le_bytes(chunk.try_into().expect("chunks of eight")));
        }
        let rest = chunks.remainder();
        if !rest.is_empty() {
            let mut word = [0; 8];
            word[..rest.len()].copy_from_slice(rest);
            self.word(u64::from_le_bytes(word));
        }
    }
    pub fn value<T: Serialize + ?Sized>(&mut self, value: &T) {
        value.serialize(&mut *self).expect("every type of the boundary can be hashed");
    }
    pub fn finish(&self) -> u64 {
        zebu_core::rng::mix(self.0)
    }
}

#[derive(Debug)]
pub struct Unhashable;
impl fmt::Display for Unhashable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("this kind of value cannot be hashed")
    }
}
impl std::error::Error for Unhashable {}
impl ser::Error for Unhashable {
    fn custom<T: fmt::Display>(_: T) -> Self {
        Self
    }
}

macro_rules! words {
    ($($name:ident $type:ty;)*) => {
        $(fn $name(self, v: $type) -> Result<(), Unhashable> {
            self.word(v as u64);
            Ok(())
        })*
    };
}

impl ser::Serializer for &mut TraceHash {
    type Ok = ();
    type Error = Unhashable;
    type SerializeSeq = Self;
    type SerializeTuple = Self;
    type SerializeTupleStruct = Self;
    type SerializeTupleVariant = Self;
    type SerializeMap = Self;
    type SerializeStruct = Self;
    type SerializeStructVariant = Self;

    words! {
        serialize_bool bool;
        serialize_i8 i8;
        serialize_i16 i16;
        serialize_i32 i32;
        serialize_i64 i64;
        serialize_u8 u8;
        serialize_u16 u16;
        serialize_u32 u32;
        serialize_u64 u64;
        serialize_char char;
    }
    fn serialize_f32(self, v: f32) -> Result<(), Unhashable> {
        self.word(u64::from(v.to_bits()));
        Ok(())
    }
    fn serialize_f64(self, v: f64) -> Result<(), Unhashable> {
        self.word(v.to_bits());
        Ok(())
    }
    fn serialize_str(self, v: &str) -> Result<(), Unhashable> {
        self.bytes(v.as_bytes());
        Ok(())
    }
    fn serialize_bytes(self, v: &[u8]) -> Result<(), Unhashable> {
        self.bytes(v);
        Ok(())
    }
    fn serialize_none(self) -> Result<(), Unhashable> {
        self.word(0);
        Ok(())
    }
    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), Unhashable> {
        self.word(1);
        value.serialize(self)
    }
    fn serialize_unit(self) -> Result<(), Unhashable> {
        Ok(())
    }
    fn serialize_unit_struct(self, _: &'static str) -> Result<(), Unhashable> {
        Ok(())
    }
    fn serialize_unit_variant(
        self,
        _: &'static str,
        index: u32,
        _: &'static str,
    ) -> Result<(), Unhashable> {
        self.word(u64::from(index));
        Ok(())
    }
    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        value: &T,
    ) -> Result<(), Unhashable> {
        value.serialize(self)
    }
    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        index: u32,
        _: &'static str,
        value: &T,
    ) -> Result<(), Unhashable> {
        self.word(u64::from(index));
        value.serialize(self)
    }
    fn serialize_seq(self, len: Option<usize>) -> Result<Self, Unhashable> {
        self.word(len.unwrap_or(usize::MAX) as u64);
        Ok(self)
    }
    fn serialize_tuple(self, _: usize) -> Result<Self, Unhashable> {
        Ok(self)
    }
    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Self, Unhashable> {
        Ok(self)
    }
    fn serialize_tuple_variant(
        self,
        _: &'static str,
        index: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self, Unhashable> {
        self.word(u64::from(index));
        Ok(self)
    }
    fn serialize_map(self, len: Option<usize>) -> Result<Self, Unhashable> {
        self.word(len.unwrap_or(usize::MAX) as u64);
        Ok(self)
    }
    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Self, Unhashable> {
        Ok(self)
    }
    fn serialize_struct_variant(
        self,
        _: &'static str,
        index: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self, Unhashable> {
        self.word(u64::from(index));
        Ok(self)
    }
}

macro_rules! compound {
    ($($trait:ident: $method:ident;)*) => {
        $(impl ser::$trait for &mut TraceHash {
            type Ok = ();
            type Error = Unhashable;
            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Unhashable> {
                value.serialize(&mut **self)
            }
            fn end(self) -> Result<(), Unhashable> {
                Ok(())
            }
        })*
    };
}
compound! {
    SerializeSeq: serialize_element;
    SerializeTuple: serialize_element;
    SerializeTupleStruct: serialize_field;
    SerializeTupleVariant: serialize_field;
}
macro_rules! named {
    ($($trait:ident;)*) => {
        $(impl ser::$trait for &mut TraceHash {
            type Ok = ();
            type Error = Unhashable;
            fn serialize_field<T: Serialize + ?Sized>(
                &mut self,
                _: &'static str,
                value: &T,
            ) -> Result<(), Unhashable> {
                value.serialize(&mut **self)
            }
            fn end(self) -> Result<(), Unhashable> {
                Ok(())
            }
        })*
    };
}
named! { SerializeStruct; SerializeStructVariant; }

impl ser::SerializeMap for &mut TraceHash {
    type Ok = ();
    type Error = Unhashable;
    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Unhashable> {
        key.serialize(&mut **self)
    }
    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Unhashable> {
        value.serialize(&mut **self)
    }
    fn end(self) -> Result<(), Unhashable> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use zebu_core::ids::{LinkId, Zxid};
    use zebu_core::proto::QuorumPacket;
    use zebu_core::server::{Action, PeerMessage};

    fn hash(action: &Action) -> u64 {
        let mut hash = TraceHash::default();
        hash.value(action);
        hash.finish()
    }

    #[test]
    fn every_field_counts_and_the_number_never_changes() {
        let send = |link, zxid| {
            let packet = QuorumPacket::Commit { zxid: Zxid(zxid) };
            Action::Send { link: LinkId(link), message: PeerMessage::Quorum(packet) }
        };
        assert_ne!(hash(&send(1, 1)), hash(&send(1, 2)));
        assert_ne!(hash(&send(1, 1)), hash(&send(2, 1)));
        let mut fixed = TraceHash::default();
        fixed.bytes(b"zebu is a striped horse");
        fixed.word(7);
        assert_eq!(fixed.finish(), FIXED);
    }
    const FIXED: u64 = 7_432_293_958_267_080_484;
}
