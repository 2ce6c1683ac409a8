//! The words that cross the waist: [`Sqe`] going in, [`Cqe`] coming out.
//!
//! `Sqe` has the kernel's own layout (`struct io_uring_sqe`, `include/uapi/linux/io_uring.h`), so
//! that the kernel ring copies it as it is, while the simulated ring reads its fields. The
//! `io-uring` crate's entries are opaque, and a completion of theirs cannot be made by hand.

use std::fmt;

use crate::sys::opcode;

/// One submission queue entry, 64 bytes, laid out as `struct io_uring_sqe`.
///
/// The fields have the names of their main use; the kernel's unions give some of them another
/// meaning per opcode (io_uring_enter(2) lists them).
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub struct Sqe {
    /// `IORING_OP_*`, see [`opcode`].
    pub opcode: u8,
    /// `IOSQE_*`, see [`sqe_flags`].
    pub flags: u8,
    /// I/O priority; for sockets the `IORING_RECV_*`, `IORING_ACCEPT_*` flags.
    pub ioprio: u16,
    /// The descriptor worked on.
    pub fd: i32,
    /// Offset in a file; address of the sockaddr length for accept.
    pub off: u64,
    /// Address of the buffer, of the msghdr, of the sockaddr; or the user data to cancel.
    pub addr: u64,
    /// Length of the buffer, or number of iovecs.
    pub len: u32,
    /// Flags of the opcode (`MSG_*`, `POLL*`, `IORING_ASYNC_CANCEL_*` …).
    pub op_flags: u32,
    /// Handed back in the completion; the driver writes it.
    pub user_data: u64,
    /// Index of a registered buffer, or group of provided buffers.
    pub buf_index: u16,
    /// Registered credentials.
    pub personality: u16,
    /// A second descriptor, or a registered file's index.
    pub file_index: i32,
    /// Second address.
    pub addr3: u64,
    /// Reserved, zero.
    pub reserved: u64,
}

const _: () = assert!(size_of::<Sqe>() == 64 && align_of::<Sqe>() == 8);

/// One completion queue entry: `struct io_uring_cqe`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Cqe {
    /// What the submission carried.
    pub user_data: u64,
    /// The result: not negative, or minus an errno.
    pub result: i32,
    /// `IORING_CQE_F_*`, see [`cqe_flags`].
    pub flags: u32,
}

impl Cqe {
    /// More completions of the same submission will follow (`IORING_CQE_F_MORE`).
    pub fn more(&self) -> bool {
        self.flags & cqe_flags::MORE != 0
    }

    /// The kernel is done with a zero-copy send's buffer (`IORING_CQE_F_NOTIF`).
    pub fn notification(&self) -> bool {
        self.flags & cqe_flags::NOTIF != 0
    }

    /// The provided buffer that was used, if one was (`IORING_CQE_F_BUFFER`).
    pub fn buffer_id(&self) -> Option<u16> {
        (self.flags & cqe_flags::BUFFER != 0).then_some((self.flags >> 16) as u16)
    }

    /// The result in Rust's terms.
    ///
    /// # Errors
    ///
    /// A negative result is the errno it stands for.
    pub fn into_result(self) -> std::io::Result<u32> {
        if self.result < 0 {
            Err(std::io::Error::from_raw_os_error(-self.result))
        } else {
            Ok(self.result as u32)
        }
    }
}

/// `IOSQE_*`: how a submission is treated.
pub mod sqe_flags {
    /// `fd` is a place in the table of registered files (`IOSQE_FIXED_FILE`, 5.1).
    pub const FIXED_FILE: u8 = 1 << 0;
    /// The next submission starts when this one has succeeded (`IOSQE_IO_LINK`, 5.3).
    pub const IO_LINK: u8 = 1 << 2;
    /// The next submission starts when this one is done, whatever came of it
    /// (`IOSQE_IO_HARDLINK`, 5.5).
    pub const IO_HARDLINK: u8 = 1 << 3;
    /// Don't try first, hand it to a worker thread at once (`IOSQE_ASYNC`, 5.6).
    pub const ASYNC: u8 = 1 << 4;
    /// Take a buffer from the group `buf_index` (`IOSQE_BUFFER_SELECT`, 5.7).
    pub const BUFFER_SELECT: u8 = 1 << 5;
    /// Post no completion on success (`IOSQE_CQE_SKIP_SUCCESS`, 5.17).
    pub const CQE_SKIP_SUCCESS: u8 = 1 << 6;
}

/// `IORING_CQE_F_*`: what a completion says beside its result.
pub mod cqe_flags {
    /// The upper 16 bits are a provided buffer's id.
    pub const BUFFER: u32 = 1;
    /// This submission will complete again.
    pub const MORE: u32 = 1 << 1;
    /// There was more to read in the socket.
    pub const SOCK_NONEMPTY: u32 = 1 << 2;
    /// A zero-copy send gives its buffer back.
    pub const NOTIF: u32 = 1 << 3;
    /// Position of the buffer id.
    pub const BUFFER_SHIFT: u32 = 16;
}

/// `IORING_ASYNC_CANCEL_*` (5.19).
pub mod cancel_flags {
    /// All that match, not only the first.
    pub const ALL: u32 = 1 << 0;
    /// Match the descriptor instead of the user data.
    pub const FD: u32 = 1 << 1;
    /// Match every request of the ring.
    pub const ANY: u32 = 1 << 2;
}

/// Flags in [`Sqe::ioprio`] of socket operations.
pub mod socket_flags {
    /// Wait for readiness before the first attempt (`IORING_RECVSEND_POLL_FIRST`, 5.19).
    pub const POLL_FIRST: u16 = 1 << 0;
    /// Receive again and again (`IORING_RECV_MULTISHOT`, 6.0).
    pub const RECV_MULTISHOT: u16 = 1 << 1;
    /// The notification of a zero-copy send says whether the kernel had to copy
    /// (`IORING_SEND_ZC_REPORT_USAGE`, 6.2).
    pub const ZERO_COPY_REPORT_USAGE: u16 = 1 << 3;
    /// Accept again and again (`IORING_ACCEPT_MULTISHOT`, 5.19).
    pub const ACCEPT_MULTISHOT: u16 = 1 << 0;
}

impl fmt::Debug for Sqe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct(opcode::name(self.opcode));
        out.field("user_data", &format_args!("{:#x}", self.user_data)).field("fd", &self.fd);
        for (name, value) in [
            ("flags", u64::from(self.flags)),
            ("ioprio", u64::from(self.ioprio)),
            ("off", self.off),
            ("addr", self.addr),
            ("len", u64::from(self.len)),
            ("op_flags", u64::from(self.op_flags)),
            ("buf_index", u64::from(self.buf_index)),
        ] {
            if value != 0 {
                out.field(name, &format_args!("{value:#x}"));
            }
        }
        out.finish_non_exhaustive()
    }
}

impl fmt::Debug for Cqe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("Cqe");
        out.field("user_data", &format_args!("{:#x}", self.user_data));
        match self.into_result() {
            Ok(value) => out.field("result", &value),
            Err(error) => out.field("error", &format_args!("{error}")),
        };
        if let Some(id) = self.buffer_id() {
            out.field("buffer", &id);
        }
        out.field("more", &self.more()).field("notification", &self.notification()).finish()
    }
}
