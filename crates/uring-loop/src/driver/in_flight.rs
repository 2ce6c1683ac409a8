//! The table of what is in flight: for eyes, dumps and tests.

use std::fmt;

use super::Driver;
use super::slab::{Head, State};
use crate::sys::opcode;

/// An operation the kernel has not finished with.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct InFlight {
    /// The kernel's name of the opcode.
    pub operation: &'static str,
    /// What its completion will carry, as traces of the kernel show it.
    pub user_data: u64,
    /// For how many turns of the loop it has been in flight.
    pub turns: u32,
    /// Whether its future is gone; then a cancel is under way.
    pub orphan: bool,
}

impl fmt::Display for InFlight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:#x} for {} turns", self.operation, self.user_data, self.turns)?;
        if self.orphan { f.write_str(" (orphan)") } else { Ok(()) }
    }
}

impl Driver {
    /// Which tasks wait for which operations: numbers of tasks, the kernel's names of opcodes.
    pub(crate) fn waiting(&self) -> Vec<(u32, &'static str)> {
        let inner = self.inner();
        let waiting = |(_, head): (_, &Head)| Some((head.waits()?, opcode::name(head.opcode())));
        inner.arena.iter_active().filter_map(waiting).collect()
    }

    /// What is in flight, youngest first; what was submitted in the same turn, in no order.
    pub fn in_flight_table(&self) -> Vec<InFlight> {
        let turn = self.turn.get() & ((1 << 24) - 1);
        let inner = self.inner();
        let mut table = Vec::with_capacity(inner.arena.active() as usize);
        table.extend(inner.arena.iter_active().map(|(key, head)| InFlight {
            operation: opcode::name(head.opcode()),
            user_data: key.user_data(),
            turns: turn.wrapping_sub(head.since()) & ((1 << 24) - 1),
            orphan: head.state() == State::Orphan,
        }));
        drop(inner);
        table.sort_by_key(|operation| operation.turns);
        table
    }
}
