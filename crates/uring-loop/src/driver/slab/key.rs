//! What the user data of an entry says: of which kind it is, and which slot, in which generation.

/// How many bits of the user data a generation has.
pub(super) const GENERATION_BITS: u32 = 24;

/// The number of no slot.
pub(super) const NONE: u32 = u32::MAX;

/// What a completion's user data is about; its upper 8 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    /// A slot.
    Op = 0,
    /// Nobody waits: a cancel, a close.
    Ignore = 1,
    /// The bell of the door.
    Bell = 2,
}

/// A slot and its generation: what a future holds of its op.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Key {
    pub(super) index: u32,
    pub(super) generation: u32,
}

impl Key {
    /// No slot.
    pub(crate) const NONE: Key = Key { index: NONE, generation: 0 };

    pub(crate) fn is_none(self) -> bool {
        self.index == NONE
    }

    pub(in crate::driver) fn user_data(self) -> u64 {
        (Kind::Op as u64) << 56 | u64::from(self.generation) << 32 | u64::from(self.index)
    }

    /// The kind, and the key if the kind is `Op`.
    pub(in crate::driver) fn decode(user_data: u64) -> (Option<Kind>, Key) {
        let kind = match user_data >> 56 {
            0 => Some(Kind::Op),
            1 => Some(Kind::Ignore),
            2 => Some(Kind::Bell),
            _ => None,
        };
        let generation = (user_data >> 32) as u32 & ((1 << GENERATION_BITS) - 1);
        (kind, Key { index: user_data as u32, generation })
    }
}
