//! What a helper does for an entry: the call, which may block.

use std::os::fd::RawFd;

use super::super::{Sqe, opcode};
use super::helpers::Lane;
use crate::sys::calls::{self, Direction};

/// Which helpers an operation is for.
pub(super) fn lane(opcode: u8) -> Lane {
    match opcode {
        opcode::READ
        | opcode::READV
        | opcode::READ_FIXED
        | opcode::WRITE
        | opcode::WRITEV
        | opcode::WRITE_FIXED
        | opcode::FSYNC
        | opcode::FALLOCATE
        | opcode::FTRUNCATE => Lane::Files,
        _ => Lane::Others,
    }
}

/// Carries an entry out, and answers as its completion does. `done` bytes were moved before.
///
/// # Safety
///
/// What the entry points to is valid, and nobody else uses it in a way that its operation forbids,
/// until this returns (`Op`).
pub(super) unsafe fn carry_out(sqe: &Sqe, fd: RawFd, done: usize) -> i32 {
    let &Sqe { addr, off, len, op_flags, .. } = sqe;
    let folder = len as RawFd;
    // SAFETY: each call reads and writes what the operation of the same name does; the caller's
    // promise.
    unsafe {
        match sqe.opcode {
            opcode::FSYNC => calls::sync(fd, op_flags != 0),
            opcode::FALLOCATE => calls::allocate(fd, len as i32, off, addr),
            opcode::FTRUNCATE => calls::truncate(fd, off),
            opcode::OPENAT => calls::open(fd, addr, op_flags as i32, len),
            opcode::STATX => calls::statx(fd, addr, op_flags as i32, len, off),
            opcode::RENAMEAT => calls::rename((fd, addr), (folder, off), op_flags),
            opcode::LINKAT => calls::link((fd, addr), (folder, off), op_flags as i32),
            opcode::SYMLINKAT => calls::symlink(addr, fd, off),
            opcode::UNLINKAT => calls::unlink(fd, addr, op_flags as i32),
            opcode::MKDIRAT => calls::make_folder(fd, addr, len),
            _ => transfer(sqe, fd, done),
        }
    }
}

/// Whether an entry brings bytes in or takes them out.
pub(super) fn direction(opcode: u8) -> Direction {
    match opcode {
        opcode::WRITE | opcode::WRITEV | opcode::WRITE_FIXED => Direction::Write,
        _ => Direction::Read,
    }
}

/// The memory of a transfer behind the first `skip` bytes, and where it goes on in the file.
///
/// # Safety
///
/// As [`carry_out`].
pub(super) unsafe fn memory(sqe: &Sqe, skip: usize) -> (Vec<libc::iovec>, u64) {
    let whole = match sqe.opcode {
        // SAFETY: the caller's promise.
        opcode::READV | opcode::WRITEV => unsafe { calls::pieces(sqe.addr, sqe.len as usize) },
        _ => &[calls::piece(sqe.addr, sqe.len as usize)],
    };
    let offset = if sqe.off == u64::MAX { sqe.off } else { sqe.off.wrapping_add(skip as u64) };
    (behind(whole, skip), offset)
}

/// What is behind the first `skip` bytes of pieces.
pub(super) fn behind(pieces: &[libc::iovec], mut skip: usize) -> Vec<libc::iovec> {
    let mut rest = Vec::with_capacity(pieces.len());
    for piece in pieces {
        let skipped = skip.min(piece.iov_len);
        skip -= skipped;
        if skipped < piece.iov_len {
            let address = piece.iov_base.expose_provenance() + skipped;
            rest.push(calls::piece(address as u64, piece.iov_len - skipped));
        }
    }
    rest
}

unsafe fn transfer(sqe: &Sqe, fd: RawFd, mut done: usize) -> i32 {
    loop {
        // SAFETY: the caller's promise.
        let (pieces, offset) = unsafe { memory(sqe, done) };
        let left: usize = pieces.iter().map(|piece| piece.iov_len).sum();
        let direction = direction(sqe.opcode);
        // SAFETY: the pieces lie in the entry's memory.
        let moved = unsafe { calls::transfer(direction, fd, &pieces, offset, sqe.op_flags) };
        match moved {
            _ if moved == -libc::EINTR => {}
            ..0 if done > 0 => return done as i32,
            ..0 => return moved,
            0 => return done as i32,
            _ => {
                done += moved as usize;
                // What a file gives less than asked for is its end, or a signal's doing.
                if moved as usize == left || sqe.off == u64::MAX {
                    return done as i32;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_go_on_where_the_last_attempt_ended() {
        let pieces = [calls::piece(0x1000, 3), calls::piece(0x2000, 0), calls::piece(0x3000, 5)];
        let rest = |skip| -> Vec<(usize, usize)> {
            let rest = behind(&pieces, skip);
            rest.iter().map(|piece| (piece.iov_base.addr(), piece.iov_len)).collect()
        };
        assert_eq!(rest(0), [(0x1000, 3), (0x3000, 5)]);
        assert_eq!(rest(2), [(0x1002, 1), (0x3000, 5)]);
        assert_eq!(rest(3), [(0x3000, 5)]);
        assert_eq!(rest(7), [(0x3004, 1)]);
        assert!(rest(8).is_empty());
    }
}
