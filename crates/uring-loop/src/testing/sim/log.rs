//! What happened, in order, for asserts and for eyes. It holds no addresses, so that the logs of
//! two runs with one seed are equal.

use std::fmt;

use crate::driver::ring::{Cqe, Sqe, opcode};

/// One line of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// An entry was consumed.
    Submitted {
        /// `IORING_OP_*`.
        opcode: u8,
        /// The entry's user data.
        user_data: u64,
        /// The descriptor.
        fd: i32,
        /// `IOSQE_*`.
        flags: u8,
        /// Length of the buffer.
        len: u32,
        /// What a cancel aims at.
        target: Option<u64>,
    },
    /// A completion was posted.
    Completed {
        /// The completion.
        cqe: Cqe,
        /// The queue was full and it went to the backlog.
        overflowed: bool,
    },
    /// An enter came back.
    Entered {
        /// Entries consumed.
        consumed: u32,
        /// The error, 0 if none.
        errno: i32,
    },
}

impl Event {
    pub(super) fn submitted(sqe: &Sqe) -> Self {
        Event::Submitted {
            opcode: sqe.opcode,
            user_data: sqe.user_data,
            fd: sqe.fd,
            flags: sqe.flags,
            len: sqe.len,
            target: (sqe.opcode == opcode::ASYNC_CANCEL).then_some(sqe.addr),
        }
    }

    /// The completion, if this is one.
    pub fn cqe(&self) -> Option<Cqe> {
        if let Event::Completed { cqe, .. } = self { Some(*cqe) } else { None }
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Event::Submitted { opcode, user_data, fd, flags, len, target } => {
                write!(f, "> {} {user_data:#x} fd={fd} len={len}", opcode::name(*opcode))?;
                if *flags != 0 {
                    write!(f, " flags={flags:#x}")?;
                }
                target.map_or(Ok(()), |target| write!(f, " target={target:#x}"))
            }
            Event::Completed { cqe, overflowed } => {
                write!(f, "< {:#x} {} flags={:#x}", cqe.user_data, cqe.result, cqe.flags)?;
                f.write_str(if *overflowed { " overflow" } else { "" })
            }
            Event::Entered { consumed, errno } => write!(f, "= {consumed} consumed errno={errno}"),
        }
    }
}
