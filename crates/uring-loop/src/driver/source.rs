//! What a [`Receiver`](super::recv::Receiver) takes its bytes from: a socket, which is received
//! from, or any other descriptor, which is read.

use super::Driver;
use super::ring::{Sqe, opcode, socket_flags};

/// A kind of descriptor that bytes come from.
pub(crate) trait Source: 'static {
    /// Whether some descriptors of this kind cannot be polled, and are always ready.
    const MAY_NOT_POLL: bool;

    /// Makes an entry take what is there, once; it names the descriptor and the memory.
    fn once(sqe: &mut Sqe);

    /// Makes an entry take what is there again and again, into provided buffers.
    fn repeatedly(sqe: &mut Sqe);

    /// Whether this kernel can do the latter.
    fn repeats(driver: &Driver) -> bool;
}

/// A connected socket: `IORING_OP_RECV`, multishot (6.0).
#[derive(Debug)]
pub(crate) struct Socket;

impl Source for Socket {
    const MAY_NOT_POLL: bool = false;

    fn once(sqe: &mut Sqe) {
        sqe.opcode = opcode::RECV;
    }

    fn repeatedly(sqe: &mut Sqe) {
        sqe.opcode = opcode::RECV;
        sqe.ioprio = socket_flags::RECV_MULTISHOT;
    }

    fn repeats(driver: &Driver) -> bool {
        driver.receives_repeatedly()
    }
}

/// The offset that stands for the file's own position, or for none at all (io_uring_enter(2)).
pub(crate) const OWN_POSITION: u64 = u64::MAX;

/// A pipe, a terminal, a file: `IORING_OP_READ`, or `IORING_OP_READ_MULTISHOT` (6.7).
#[derive(Debug)]
pub(crate) struct File;

impl Source for File {
    const MAY_NOT_POLL: bool = true;

    fn once(sqe: &mut Sqe) {
        sqe.opcode = opcode::READ;
        sqe.off = OWN_POSITION;
    }

    fn repeatedly(sqe: &mut Sqe) {
        sqe.opcode = opcode::READ_MULTISHOT;
        sqe.off = OWN_POSITION;
    }

    fn repeats(driver: &Driver) -> bool {
        driver.supports(opcode::READ_MULTISHOT)
    }
}
