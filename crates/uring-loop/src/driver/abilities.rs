//! What this kernel has beyond the oldest one that the crate runs on: asked when it is first of
//! use, and never read off a version.

use std::cell::Cell;
use std::io;

use super::Driver;
use super::ring::opcode;

/// `RWF_NOSIGNAL` (6.18): a write to a pipe without readers fails, and raises no SIGPIPE.
const RWF_NOSIGNAL: u32 = 0x100;

/// The answers so far.
#[derive(Debug)]
pub(super) struct Abilities {
    /// One bit per opcode: whether the kernel was asked, and what it said.
    asked: Cell<u64>,
    has: Cell<u64>,
    /// Flags that keep a write from raising a signal; none once the kernel has refused them.
    write_flags: Cell<u32>,
}

impl Abilities {
    pub(super) const fn unknown() -> Self {
        Abilities { asked: Cell::new(0), has: Cell::new(0), write_flags: Cell::new(RWF_NOSIGNAL) }
    }
}

impl Driver {
    /// Whether the kernel has an opcode that is not among [`opcode::USED`](super::ring::opcode).
    pub(crate) fn supports(&self, opcode: u8) -> bool {
        let Abilities { asked, has, .. } = &self.abilities;
        let bit = 1 << opcode;
        if asked.get() & bit == 0 {
            asked.set(asked.get() | bit);
            if self.inner().ring.supports(opcode) {
                has.set(has.get() | bit);
            }
        }
        has.get() & bit != 0
    }

    /// Whether it has the multishot receive: a flag, which no probe tells of. Both came with 6.0.
    pub(crate) fn receives_repeatedly(&self) -> bool {
        self.supports(opcode::SEND_ZC) || mutant!("repeated-receives-of-an-old-kernel")
    }

    /// Does without these opcodes from now on, as on a kernel that lacks them. (A simulated one
    /// lacks them from now on, and refuses those that nobody asked about.)
    pub(crate) fn do_without(&self, opcodes: &[u8]) {
        #[cfg(any(test, feature = "testing"))]
        if let Some(sim) = self.simulated() {
            sim.do_without(opcodes);
        }
        let bits = opcodes.iter().fold(0, |bits, opcode| bits | 1 << opcode);
        let Abilities { asked, has, .. } = &self.abilities;
        asked.set(asked.get() | bits);
        has.set(has.get() & !bits);
    }

    /// The flags (`RWF_*`) of a write whose failure is told by its result alone.
    pub(crate) fn write_flags(&self) -> u32 {
        self.abilities.write_flags.get()
    }

    /// Whether a write has failed only because the kernel does not know its flags. Then none are
    /// given any more.
    pub(crate) fn refused_flags(&self, flags: u32, error: &io::Error) -> bool {
        let refused = flags != 0 && error.raw_os_error() == Some(libc::EOPNOTSUPP);
        if refused {
            self.abilities.write_flags.set(0);
        }
        refused
    }
}
