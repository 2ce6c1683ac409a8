//! Entries as an older kernel would take them (`sys/older.rs`).
//!
//! What it would refuse is refused: an entry that it does not know is made one that no kernel
//! knows, so that the failure comes on the kernel's own way.

use super::{Sqe, opcode, socket_flags};
use crate::sys::older::Older;

/// `RWF_NOSIGNAL` (6.18).
const NO_SIGNAL: u32 = 0x100;
/// A flag of a write that no kernel knows: EOPNOTSUPP.
const NO_SUCH_FLAG: u32 = 1 << 30;
/// EINVAL.
const NO_SUCH_OPCODE: u8 = u8::MAX;

impl Older {
    /// The entry, or one that fails as it would there.
    pub(super) fn entry(self, mut sqe: Sqe) -> Sqe {
        let flags = match sqe.opcode {
            opcode::RECV | opcode::RECVMSG if has(sqe.ioprio, socket_flags::RECV_MULTISHOT) => {
                Older(6, 0)
            }
            opcode::SEND_ZC if has(sqe.ioprio, socket_flags::ZERO_COPY_REPORT_USAGE) => Older(6, 2),
            _ => Older(0, 0),
        };
        let writes = matches!(sqe.opcode, opcode::WRITE | opcode::WRITEV | opcode::WRITE_FIXED);
        if writes && sqe.op_flags & NO_SIGNAL != 0 && self < Older(6, 18) {
            sqe.op_flags |= NO_SUCH_FLAG;
        }
        if self < flags || !self.knows(sqe.opcode) {
            sqe.opcode = NO_SUCH_OPCODE;
        }
        sqe
    }
}

fn has(flags: u16, flag: u16) -> bool {
    flags & flag != 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(opcode: u8, ioprio: u16, op_flags: u32) -> Sqe {
        Sqe { opcode, ioprio, op_flags, ..Sqe::default() }
    }

    #[test]
    fn an_entry_that_was_not_known_fails_and_others_are_left_alone() {
        let fails = |version: Older, sqe| version.entry(sqe).opcode == NO_SUCH_OPCODE;
        let repeated = entry(opcode::RECV, socket_flags::RECV_MULTISHOT, 0);
        assert!(fails(Older(5, 19), repeated) && !fails(Older(6, 0), repeated));
        assert!(!fails(Older(5, 19), entry(opcode::RECV, 0, 0)));
        let reports = entry(opcode::SEND_ZC, socket_flags::ZERO_COPY_REPORT_USAGE, 0);
        assert!(fails(Older(6, 1), reports) && !fails(Older(6, 2), reports));
        assert!(!fails(Older(6, 1), entry(opcode::SEND_ZC, 0, 0)));
        assert!(fails(Older(6, 6), entry(opcode::WAITID, 0, 0)));
    }

    #[test]
    fn a_write_with_a_flag_that_was_not_known_has_one_that_never_is() {
        let flags = |version: Older| version.entry(entry(opcode::WRITE, 0, NO_SIGNAL)).op_flags;
        assert_eq!(flags(Older(6, 17)), NO_SIGNAL | NO_SUCH_FLAG);
        assert_eq!(flags(Older(6, 18)), NO_SIGNAL);
        assert_eq!(Older(6, 17).entry(entry(opcode::SEND, 0, NO_SIGNAL)).op_flags, NO_SIGNAL);
    }
}
