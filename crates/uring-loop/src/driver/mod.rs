//! L1: the ring as owned operations.

pub(crate) mod ring;
