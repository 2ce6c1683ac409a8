//! What the kernel checks of an entry before it does anything (`io_init_req` and the `prep`
//! functions in its `io_uring/`): fields an opcode doesn't know must be zero, so an entry with
//! left-overs of another is found here. For the rings that have no kernel to check.

use super::{Sqe, cancel_flags, opcode, socket_flags, sqe_flags};

/// A number of errno(3), positive.
type Errno = i32;

/// `IORING_POLL_ADD_MULTI`, in the length of POLL_ADD.
pub(crate) const POLL_MULTI: u32 = 1;
/// `IORING_ASYNC_CANCEL_USERDATA` and `_OP` (6.6).
pub(crate) const CANCEL_USERDATA: u32 = 1 << 4;
pub(crate) const CANCEL_OP: u32 = 1 << 5;
/// `IORING_TIMEOUT_ABS`, and `_ETIME_SUCCESS` (5.16); the clocks are all one here.
pub(crate) const TIMEOUT_ABS: u32 = 1;
pub(crate) const TIMEOUT_ETIME_SUCCESS: u32 = 1 << 5;
const TIMEOUT_CLOCKS: u32 = (1 << 2) | (1 << 3);
/// `IORING_SEND_ZC_REPORT_USAGE` (6.2).
pub(crate) const ZC_REPORT_USAGE: u16 = 1 << 3;
/// `IORING_NOP_INJECT_RESULT` (6.10).
pub(crate) const NOP_INJECT: u32 = 1;
/// `IORING_MSG_RING_FLAGS_PASS` (6.3).
pub(crate) const MSG_FLAGS_PASS: u32 = 1 << 1;
const FSYNC_DATASYNC: u32 = 1;
const UIO_MAXIOV: u32 = 1024;

const KNOWN_FLAGS: u8 = sqe_flags::FIXED_FILE
    | sqe_flags::IO_LINK
    | sqe_flags::IO_HARDLINK
    | sqe_flags::ASYNC
    | sqe_flags::BUFFER_SELECT
    | sqe_flags::CQE_SKIP_SUCCESS;

/// Whether an opcode works on the descriptor in its entry.
pub(crate) fn needs_file(opcode: u8) -> bool {
    !matches!(
        opcode,
        opcode::NOP
            | opcode::TIMEOUT
            | opcode::LINK_TIMEOUT
            | opcode::ASYNC_CANCEL
            | opcode::CLOSE
            | opcode::SOCKET
            | opcode::FILES_UPDATE
            // It names a process.
            | opcode::WAITID
    ) && !names(opcode)
}

/// Whether an operation is on a name, and so a worker's.
pub(crate) fn names(opcode: u8) -> bool {
    matches!(
        opcode,
        opcode::OPENAT
            | opcode::STATX
            | opcode::RENAMEAT
            | opcode::LINKAT
            | opcode::SYMLINKAT
            | opcode::UNLINKAT
            | opcode::MKDIRAT
    )
}

/// Whether the next entry belongs to the same chain.
pub(crate) fn is_linked(sqe: &Sqe) -> bool {
    sqe.flags & (sqe_flags::IO_LINK | sqe_flags::IO_HARDLINK) != 0
}

/// A LINK_TIMEOUT must follow what it watches.
pub(crate) fn check_place(sqe: &Sqe, before: Option<&Sqe>) -> Result<(), Errno> {
    let watches = before.is_some_and(|before| before.opcode != opcode::LINK_TIMEOUT);
    if sqe.opcode == opcode::LINK_TIMEOUT && !watches { Err(libc::EINVAL) } else { Ok(()) }
}

/// Whether a completion can be followed by more of the same entry.
pub(crate) fn is_multishot(sqe: &Sqe) -> bool {
    match sqe.opcode {
        opcode::ACCEPT => sqe.ioprio & socket_flags::ACCEPT_MULTISHOT != 0,
        opcode::RECV | opcode::RECVMSG => sqe.ioprio & socket_flags::RECV_MULTISHOT != 0,
        opcode::POLL_ADD => sqe.len & POLL_MULTI != 0,
        opcode::READ_MULTISHOT => true,
        _ => false,
    }
}

/// The verdict on an entry by itself; the place in a chain is looked at elsewhere.
pub(crate) fn check(sqe: &Sqe) -> Result<(), Errno> {
    if sqe.flags & !KNOWN_FLAGS != 0 || sqe.personality != 0 {
        return Err(libc::EINVAL);
    }
    let selects = sqe.flags & sqe_flags::BUFFER_SELECT != 0;
    let may_select = matches!(
        sqe.opcode,
        opcode::READ | opcode::RECV | opcode::RECVMSG | opcode::READ_MULTISHOT
    );
    if selects && !may_select {
        return Err(libc::EOPNOTSUPP);
    }
    if sqe.flags & sqe_flags::FIXED_FILE != 0 && !needs_file(sqe.opcode) {
        return Err(libc::EBADF);
    }
    if fields_fit(sqe) { Ok(()) } else { Err(libc::EINVAL) }
}

fn fields_fit(sqe: &Sqe) -> bool {
    let no_buffer = sqe.buf_index == 0;
    let no_address = sqe.addr == 0;
    let no_offset = sqe.off == 0;
    let no_length = sqe.len == 0;
    let no_flags = sqe.op_flags == 0;
    let no_file = sqe.file_index == 0;
    let skips = sqe.flags & sqe_flags::CQE_SKIP_SUCCESS != 0;
    match sqe.opcode {
        opcode::NOP => sqe.op_flags & !NOP_INJECT == 0,
        opcode::READ | opcode::WRITE | opcode::READ_FIXED | opcode::WRITE_FIXED => sqe.ioprio == 0,
        opcode::FILES_UPDATE => no_flags && no_file && !no_length,
        opcode::READ_MULTISHOT => {
            let selects = sqe.flags & sqe_flags::BUFFER_SELECT != 0;
            sqe.ioprio == 0 && selects && no_address && no_length
        }
        // By descriptor alone: a number says nothing here.
        opcode::WAITID => {
            let by_descriptor = sqe.len == libc::P_PIDFD && sqe.file_index == libc::WEXITED;
            by_descriptor && no_address && no_buffer && no_flags && sqe.addr3 == 0
        }
        opcode::READV | opcode::WRITEV => sqe.ioprio == 0 && sqe.len <= UIO_MAXIOV,
        opcode::FSYNC => no_address && no_buffer && no_file && sqe.op_flags & !FSYNC_DATASYNC == 0,
        opcode::POLL_ADD => {
            let multi = sqe.len & POLL_MULTI != 0;
            no_buffer && no_offset && no_address && sqe.len & !POLL_MULTI == 0 && !(multi && skips)
        }
        opcode::SEND | opcode::SENDMSG => {
            no_offset && no_file && sqe.ioprio & !socket_flags::POLL_FIRST == 0
        }
        opcode::RECV => no_offset && no_file && receive_fits(sqe),
        opcode::RECVMSG => no_offset && no_file && receive_fits(sqe),
        opcode::TIMEOUT => timeout_fits(sqe),
        opcode::LINK_TIMEOUT => timeout_fits(sqe) && no_offset,
        // DONTWAIT and POLL_FIRST beside MULTISHOT (6.10).
        opcode::ACCEPT => no_length && no_buffer && no_file && sqe.ioprio & !0b111 == 0,
        opcode::ASYNC_CANCEL => no_offset && no_file && cancel_fits(sqe),
        opcode::CONNECT => no_length && no_buffer && no_flags && no_file,
        opcode::OPENAT | opcode::STATX | opcode::RENAMEAT | opcode::LINKAT => no_buffer && no_file,
        opcode::SYMLINKAT => no_length && no_flags && no_buffer && no_file,
        opcode::UNLINKAT => {
            let known = libc::AT_REMOVEDIR as u32;
            no_offset && no_length && no_buffer && no_file && sqe.op_flags & !known == 0
        }
        opcode::MKDIRAT => no_offset && no_flags && no_buffer && no_file,
        opcode::FALLOCATE => no_flags && no_buffer && no_file,
        opcode::FTRUNCATE => {
            no_flags && no_address && no_length && no_buffer && no_file && sqe.addr3 == 0
        }
        opcode::CLOSE => {
            let one = sqe.fd == 0 || no_file;
            no_offset && no_address && no_length && no_flags && no_buffer && one
        }
        opcode::SHUTDOWN => no_offset && no_address && no_flags && no_buffer && no_file,
        opcode::MSG_RING => {
            let pass = sqe.op_flags & MSG_FLAGS_PASS != 0;
            no_buffer && no_address && sqe.op_flags & !MSG_FLAGS_PASS == 0 && (pass || no_file)
        }
        opcode::SOCKET => no_address && no_flags && no_buffer && no_file,
        opcode::SEND_ZC => {
            let known = socket_flags::POLL_FIRST | ZC_REPORT_USAGE;
            no_offset && no_buffer && no_file && !skips && sqe.ioprio & !known == 0
        }
        _ => false,
    }
}

fn receive_fits(sqe: &Sqe) -> bool {
    let multishot = sqe.ioprio & socket_flags::RECV_MULTISHOT != 0;
    let selects = sqe.flags & sqe_flags::BUFFER_SELECT != 0;
    let waits_for_all = sqe.op_flags & libc::MSG_WAITALL as u32 != 0;
    let known = socket_flags::POLL_FIRST | socket_flags::RECV_MULTISHOT;
    // A length for every shot is new in 6.17: what must run on older kernels says none.
    let no_length = sqe.opcode == opcode::RECVMSG || sqe.len == 0;
    let multishot_fits = selects && !waits_for_all && no_length;
    sqe.ioprio & !known == 0 && (!multishot || multishot_fits)
}

fn timeout_fits(sqe: &Sqe) -> bool {
    let known = TIMEOUT_ABS | TIMEOUT_ETIME_SUCCESS | TIMEOUT_CLOCKS;
    let clocks = sqe.op_flags & TIMEOUT_CLOCKS;
    sqe.buf_index == 0
        && sqe.len == 1
        && sqe.file_index == 0
        && sqe.addr3 == 0
        && sqe.op_flags & !known == 0
        && clocks.count_ones() <= 1
}

fn cancel_fits(sqe: &Sqe) -> bool {
    let flags = sqe.op_flags;
    let by_descriptor = flags & cancel_flags::FD != 0;
    let by_opcode = flags & CANCEL_OP != 0;
    let any = flags & cancel_flags::ANY != 0;
    let known =
        cancel_flags::ALL | cancel_flags::FD | cancel_flags::ANY | CANCEL_USERDATA | CANCEL_OP;
    flags & !known == 0 && !(any && (by_descriptor || by_opcode))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(change: impl FnOnce(&mut Sqe)) -> Result<(), Errno> {
        let mut sqe = Sqe::default();
        change(&mut sqe);
        check(&sqe)
    }

    #[test]
    fn an_unknown_opcode_is_invalid() {
        assert_eq!(verdict(|sqe| sqe.opcode = 250), Err(libc::EINVAL));
    }

    #[test]
    fn leftovers_of_another_operation_are_found() {
        assert_eq!(verdict(|sqe| sqe.opcode = opcode::CLOSE), Ok(()));
        let with_offset = |sqe: &mut Sqe| (sqe.opcode, sqe.off) = (opcode::CLOSE, 8);
        assert_eq!(verdict(with_offset), Err(libc::EINVAL));
        let with_length = |sqe: &mut Sqe| (sqe.opcode, sqe.len) = (opcode::ACCEPT, 16);
        assert_eq!(verdict(with_length), Err(libc::EINVAL));
    }

    #[test]
    fn multishot_receive_wants_provided_buffers() {
        let bare = |sqe: &mut Sqe| {
            sqe.opcode = opcode::RECV;
            sqe.ioprio = socket_flags::RECV_MULTISHOT;
        };
        assert_eq!(verdict(bare), Err(libc::EINVAL));
        let selecting = |sqe: &mut Sqe| {
            bare(sqe);
            sqe.flags = sqe_flags::BUFFER_SELECT;
        };
        assert_eq!(verdict(selecting), Ok(()));
        let waiting = |sqe: &mut Sqe| {
            selecting(sqe);
            sqe.op_flags = libc::MSG_WAITALL as u32;
        };
        assert_eq!(verdict(waiting), Err(libc::EINVAL));
    }

    #[test]
    fn only_some_operations_select_buffers() {
        let send = |sqe: &mut Sqe| {
            (sqe.opcode, sqe.flags) = (opcode::ACCEPT, sqe_flags::BUFFER_SELECT);
        };
        assert_eq!(verdict(send), Err(libc::EOPNOTSUPP));
    }
}
