//! The opcodes that this crate submits (`enum io_uring_op`), with the kernel that brought each.
#![allow(missing_docs, reason = "the kernel's own names")]

pub const NOP: u8 = 0; // 5.1
pub const READV: u8 = 1; // 5.1
pub const WRITEV: u8 = 2; // 5.1
pub const FSYNC: u8 = 3; // 5.1
pub const READ_FIXED: u8 = 4; // 5.1
pub const WRITE_FIXED: u8 = 5; // 5.1
pub const POLL_ADD: u8 = 6; // 5.1
pub const SENDMSG: u8 = 9; // 5.3
pub const RECVMSG: u8 = 10; // 5.3
pub const TIMEOUT: u8 = 11; // 5.4
pub const ACCEPT: u8 = 13; // 5.5
pub const ASYNC_CANCEL: u8 = 14; // 5.5
pub const LINK_TIMEOUT: u8 = 15; // 5.5
pub const CONNECT: u8 = 16; // 5.5
pub const FALLOCATE: u8 = 17; // 5.6
pub const OPENAT: u8 = 18; // 5.6
pub const CLOSE: u8 = 19; // 5.6
pub const FILES_UPDATE: u8 = 20; // 5.6
pub const STATX: u8 = 21; // 5.6
pub const READ: u8 = 22; // 5.6
pub const WRITE: u8 = 23; // 5.6
pub const SEND: u8 = 26; // 5.6
pub const RECV: u8 = 27; // 5.6
pub const SHUTDOWN: u8 = 34; // 5.11
pub const RENAMEAT: u8 = 35; // 5.11
pub const UNLINKAT: u8 = 36; // 5.11
pub const MKDIRAT: u8 = 37; // 5.15
pub const SYMLINKAT: u8 = 38; // 5.15
pub const LINKAT: u8 = 39; // 5.15
pub const MSG_RING: u8 = 40; // 5.18
pub const SOCKET: u8 = 45; // 5.19
pub const SEND_ZC: u8 = 47; // 6.0
pub const READ_MULTISHOT: u8 = 49; // 6.7
pub const WAITID: u8 = 50; // 6.7
pub const FTRUNCATE: u8 = 55; // 6.9

/// The name of what is not listed here.
pub(crate) const UNKNOWN: &str = "OP";

/// The kernel's name of an opcode, for eyes.
pub fn name(opcode: u8) -> &'static str {
    match opcode {
        NOP => "NOP",
        READV => "READV",
        WRITEV => "WRITEV",
        FSYNC => "FSYNC",
        READ_FIXED => "READ_FIXED",
        WRITE_FIXED => "WRITE_FIXED",
        POLL_ADD => "POLL_ADD",
        SENDMSG => "SENDMSG",
        RECVMSG => "RECVMSG",
        TIMEOUT => "TIMEOUT",
        ACCEPT => "ACCEPT",
        ASYNC_CANCEL => "ASYNC_CANCEL",
        LINK_TIMEOUT => "LINK_TIMEOUT",
        CONNECT => "CONNECT",
        FALLOCATE => "FALLOCATE",
        OPENAT => "OPENAT",
        CLOSE => "CLOSE",
        FILES_UPDATE => "FILES_UPDATE",
        STATX => "STATX",
        READ => "READ",
        WRITE => "WRITE",
        SEND => "SEND",
        RECV => "RECV",
        SHUTDOWN => "SHUTDOWN",
        RENAMEAT => "RENAMEAT",
        UNLINKAT => "UNLINKAT",
        MKDIRAT => "MKDIRAT",
        SYMLINKAT => "SYMLINKAT",
        LINKAT => "LINKAT",
        MSG_RING => "MSG_RING",
        SOCKET => "SOCKET",
        SEND_ZC => "SEND_ZC",
        READ_MULTISHOT => "READ_MULTISHOT",
        WAITID => "WAITID",
        FTRUNCATE => "FTRUNCATE",
        _ => UNKNOWN,
    }
}

/// What a loop, its sockets, its pipes and its files cannot do without: nothing newer than 5.15.
/// (FTRUNCATE is not among them: where it is missing, a helper thread truncates; nor are
/// READ_MULTISHOT and WAITID, where a poll comes before a read, and before waitid(2).)
pub(crate) const USED: &[u8] = &[
    NOP,
    READV,
    WRITEV,
    FSYNC,
    READ_FIXED,
    WRITE_FIXED,
    POLL_ADD,
    SENDMSG,
    ACCEPT,
    ASYNC_CANCEL,
    CONNECT,
    FALLOCATE,
    OPENAT,
    CLOSE,
    FILES_UPDATE,
    STATX,
    READ,
    WRITE,
    SEND,
    RECV,
    SHUTDOWN,
    RENAMEAT,
    UNLINKAT,
    MKDIRAT,
    SYMLINKAT,
    LINKAT,
];
