//! The shape of a type, as serde sees it, as a number. Pure.
//!
//! Two programs that talk about a type by its name may mean different things: a field was added, a
//! number widened, two fields changed places. postcard would read the one as the other without a
//! word. So both sides send a hash of what the type's own `Deserialize` asks for: its primitives,
//! names and fields, all the way down. It asks a deserializer that has no data and makes things up.
//!
//! Of an enum all variants are looked at, one in each pass. Where made-up data is refused (a type
//! with rules of its own), and deep inside of types that contain themselves, looking stops: both
//! sides stop at the same place. So equal types always have equal shapes; unequal ones nearly
//! always have unequal ones.

use std::collections::HashSet;
use std::fmt;

use serde::de::value::U32Deserializer;
use serde::de::{
    self, DeserializeOwned, DeserializeSeed, Deserializer, EnumAccess, IntoDeserializer as _,
    MapAccess, SeqAccess, VariantAccess, Visitor,
};

/// Below this depth sequences, maps and options are empty, so that a type that contains itself
/// comes to an end.
const DEEP: u32 = 12;
/// Nothing is nested deeper; what is contains itself in some other way.
const DEEPEST: u32 = 64;
/// Most things looked at in one pass.
const MOST: u32 = 20_000;
/// Most passes: enums have fewer variants in all.
const PASSES: usize = 1_000;

/// The shape of `T`.
pub(crate) fn of<T: DeserializeOwned>() -> u64 {
    let mut look = Look::default();
    for _ in 0..PASSES {
        let known = look.seen.len();
        (look.depth, look.left) = (0, MOST);
        // An error only says that this pass stopped early.
        let _ = T::deserialize(Tracer(&mut look));
        look.note("pass");
        if look.seen.len() == known {
            break;
        }
    }
    look.hash.0
}

/// FNV-1a, of 64 bits.
struct Hash(u64);

impl Default for Hash {
    fn default() -> Self {
        Hash(0xcbf2_9ce4_8422_2325)
    }
}

/// What has been looked at.
#[derive(Default)]
struct Look {
    hash: Hash,
    depth: u32,
    left: u32,
    /// Variants of enums that a pass has gone through, by name, variants and number.
    seen: HashSet<(&'static str, &'static [&'static str], u32)>,
}

impl Look {
    fn note(&mut self, what: &str) {
        // A zero byte ends each, for "ab" and "c" is not "a" and "bc".
        for byte in what.bytes().chain([0]) {
            self.hash.0 = (self.hash.0 ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }

    fn names(&mut self, what: &str, name: &str, parts: &[&str]) {
        self.note(what);
        self.note(name);
        parts.iter().for_each(|part| self.note(part));
        self.note("");
    }

    /// The variant this pass goes through: one that none has, else the first.
    fn pick(&mut self, name: &'static str, variants: &'static [&'static str]) -> u32 {
        let new = (0..variants.len() as u32).find(|n| self.seen.insert((name, variants, *n)));
        new.unwrap_or(0)
    }
}

/// Made-up data was refused, or there is too much to look at.
#[derive(Debug)]
struct Stop;

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("looking at the type's shape stopped here")
    }
}

impl std::error::Error for Stop {}

impl de::Error for Stop {
    fn custom<T: fmt::Display>(_: T) -> Self {
        Stop
    }
}

/// A deserializer without data.
struct Tracer<'a>(&'a mut Look);

impl Tracer<'_> {
    fn look_at(&mut self, what: &str) -> Result<(), Stop> {
        self.0.left = self.0.left.checked_sub(1).ok_or(Stop)?;
        self.0.note(what);
        Ok(())
    }

    /// How many elements that are optional are made up here.
    fn some(&self) -> usize {
        usize::from(self.0.depth < DEEP)
    }

    /// Visits what this holds: `count` things.
    fn inside<T>(
        self,
        count: usize,
        visit: impl FnOnce(Inside<'_>) -> Result<T, Stop>,
    ) -> Result<T, Stop> {
        if self.0.depth == DEEPEST {
            return Err(Stop);
        }
        self.0.depth += 1;
        let visited = visit(Inside { look: self.0, left: count });
        self.0.depth -= 1;
        self.0.note(")");
        visited
    }
}

macro_rules! primitives {
    ($($method:ident: $visit:ident($value:expr), $name:literal;)*) => {
        $(fn $method<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, Stop> {
            self.look_at($name)?;
            visitor.$visit($value)
        })*
    };
}

impl<'de> Deserializer<'de> for Tracer<'_> {
    type Error = Stop;

    // 1 is what most types with rules of their own accept.
    primitives! {
        deserialize_bool: visit_bool(true), "bool";
        deserialize_i8: visit_i8(1), "i8";
        deserialize_i16: visit_i16(1), "i16";
        deserialize_i32: visit_i32(1), "i32";
        deserialize_i64: visit_i64(1), "i64";
        deserialize_i128: visit_i128(1), "i128";
        deserialize_u8: visit_u8(1), "u8";
        deserialize_u16: visit_u16(1), "u16";
        deserialize_u32: visit_u32(1), "u32";
        deserialize_u64: visit_u64(1), "u64";
        deserialize_u128: visit_u128(1), "u128";
        deserialize_f32: visit_f32(1.0), "f32";
        deserialize_f64: visit_f64(1.0), "f64";
        deserialize_char: visit_char('1'), "char";
        deserialize_str: visit_str("1"), "str";
        deserialize_string: visit_str("1"), "str";
        deserialize_bytes: visit_bytes(b"1"), "bytes";
        deserialize_byte_buf: visit_bytes(b"1"), "bytes";
        deserialize_identifier: visit_str("1"), "identifier";
    }

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Stop> {
        // Only formats that describe themselves can, and ours is not one of them.
        Err(Stop)
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Stop> {
        Err(Stop)
    }

    fn deserialize_option<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, Stop> {
        self.look_at("option")?;
        match self.some() {
            0 => visitor.visit_none(),
            _ => self.inside(1, |inside| visitor.visit_some(Tracer(inside.look))),
        }
    }

    fn deserialize_unit<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, Stop> {
        self.look_at("unit")?;
        visitor.visit_unit()
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Stop> {
        self.0.names("unit struct", name, &[]);
        visitor.visit_unit()
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Stop> {
        self.0.names("newtype struct", name, &[]);
        self.inside(1, |inside| visitor.visit_newtype_struct(Tracer(inside.look)))
    }

    fn deserialize_seq<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, Stop> {
        self.look_at("seq")?;
        let count = self.some();
        self.inside(count, |inside| visitor.visit_seq(inside))
    }

    fn deserialize_tuple<V: Visitor<'de>>(
        mut self,
        length: usize,
        visitor: V,
    ) -> Result<V::Value, Stop> {
        self.look_at(&format!("tuple of {length}"))?;
        self.inside(length, |inside| visitor.visit_seq(inside))
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        length: usize,
        visitor: V,
    ) -> Result<V::Value, Stop> {
        self.0.names("tuple struct", name, &[]);
        self.deserialize_tuple(length, visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, Stop> {
        self.look_at("map")?;
        let count = self.some();
        self.inside(count, |inside| visitor.visit_map(inside))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        mut self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Stop> {
        self.look_at("struct")?;
        self.0.names("with", name, fields);
        self.inside(fields.len(), |inside| visitor.visit_seq(inside))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        mut self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Stop> {
        self.look_at("enum")?;
        self.0.names("with", name, variants);
        let variant = self.0.pick(name, variants);
        self.inside(1, |inside| visitor.visit_enum(Variant { look: inside.look, variant }))
    }

    fn is_human_readable(&self) -> bool {
        false
    }
}

/// The elements of something.
struct Inside<'a> {
    look: &'a mut Look,
    left: usize,
}

impl Inside<'_> {
    fn is_over(&mut self) -> bool {
        let over = self.left == 0;
        self.left = self.left.saturating_sub(1);
        over
    }
}

impl<'de> SeqAccess<'de> for Inside<'_> {
    type Error = Stop;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Stop> {
        if self.is_over() {
            return Ok(None);
        }
        seed.deserialize(Tracer(self.look)).map(Some)
    }
}

impl<'de> MapAccess<'de> for Inside<'_> {
    type Error = Stop;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Stop> {
        if self.is_over() {
            return Ok(None);
        }
        seed.deserialize(Tracer(self.look)).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Stop> {
        seed.deserialize(Tracer(self.look))
    }
}

/// One variant of an enum.
struct Variant<'a> {
    look: &'a mut Look,
    variant: u32,
}

impl<'de> EnumAccess<'de> for Variant<'_> {
    type Error = Stop;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self), Stop> {
        self.look.note(&format!("variant {}", self.variant));
        let number: U32Deserializer<Stop> = self.variant.into_deserializer();
        Ok((seed.deserialize(number)?, self))
    }
}

impl<'de> VariantAccess<'de> for Variant<'_> {
    type Error = Stop;

    fn unit_variant(self) -> Result<(), Stop> {
        Tracer(self.look).look_at("unit variant")
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Stop> {
        seed.deserialize(Tracer(self.look))
    }

    fn tuple_variant<V: Visitor<'de>>(self, length: usize, visitor: V) -> Result<V::Value, Stop> {
        Tracer(self.look).deserialize_tuple(length, visitor)
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Stop> {
        Tracer(self.look).deserialize_struct("variant", fields, visitor)
    }
}

#[cfg(test)]
mod tests;
