//! Files on the ring: OPENAT, READ, WRITE and CLOSE (all 5.6) as operations of the workload's own,
//! through the loop's public `Op`; copying a file with them; waiting for the end of a pipe.
//!
//! A descriptor is held by every operation on it (`Rc`), so that it is open when the entry is
//! prepared and until it completes; `Close` is made of the last one.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::rc::Rc;

use anyhow::{Context, ensure};
use uring_loop::op::{Cqe, Driver, Op, Sqe, opcode};

use super::files::PIECE;

/// `IORING_OP_OPENAT`.
struct Open {
    path: CString,
    flags: i32,
}

// SAFETY: the entry points into the heap block of the path, which `self` owns and doesn't change.
unsafe impl Op for Open {
    type Output = io::Result<OwnedFd>;

    fn prepare(&mut self, sqe: &mut Sqe) {
        sqe.opcode = opcode::OPENAT;
        sqe.fd = libc::AT_FDCWD;
        sqe.addr = self.path.as_ptr() as u64;
        sqe.len = 0o644;
        sqe.op_flags = (self.flags | libc::O_CLOEXEC) as u32;
    }

    fn complete(self, cqe: Cqe) -> Self::Output {
        let raw = cqe.into_result()? as RawFd;
        // SAFETY: the kernel has just made it, for us.
        Ok(unsafe { OwnedFd::from_raw_fd(raw) })
    }
}

/// `IORING_OP_READ` into the whole capacity of a buffer.
struct Read {
    file: Rc<OwnedFd>,
    /// In the file; `u64::MAX` means the file's own position, as for pipes.
    offset: u64,
    buffer: Vec<u8>,
}

// SAFETY: the entry points into the heap block of the buffer, which `self` owns and doesn't touch;
// the descriptor is held open by `self`.
unsafe impl Op for Read {
    type Output = (io::Result<usize>, Vec<u8>);
    const HOLDS_CLOCK: bool = false;

    fn prepare(&mut self, sqe: &mut Sqe) {
        self.buffer.clear();
        sqe.opcode = opcode::READ;
        sqe.fd = self.file.as_raw_fd();
        sqe.off = self.offset;
        sqe.addr = self.buffer.as_mut_ptr() as u64;
        sqe.len = self.buffer.capacity() as u32;
    }

    fn complete(mut self, cqe: Cqe) -> Self::Output {
        let result = cqe.into_result().map(|count| count as usize);
        if let Ok(count) = result {
            // SAFETY: the kernel has written so many bytes, at most the capacity.
            unsafe { self.buffer.set_len(count) };
        }
        (result, self.buffer)
    }
}

/// `IORING_OP_WRITE` of what is left of a buffer.
struct Write {
    file: Rc<OwnedFd>,
    offset: u64,
    done: usize,
    buffer: Vec<u8>,
}

// SAFETY: as for `Read`; the kernel only reads from the buffer.
unsafe impl Op for Write {
    type Output = (io::Result<usize>, Vec<u8>);

    fn prepare(&mut self, sqe: &mut Sqe) {
        let bytes = &self.buffer[self.done..];
        sqe.opcode = opcode::WRITE;
        sqe.fd = self.file.as_raw_fd();
        sqe.off = self.offset;
        sqe.addr = bytes.as_ptr() as u64;
        sqe.len = bytes.len() as u32;
    }

    fn complete(self, cqe: Cqe) -> Self::Output {
        (cqe.into_result().map(|count| count as usize), self.buffer)
    }
}

/// `IORING_OP_CLOSE`.
struct Close(Option<OwnedFd>);

// SAFETY: the entry has no pointer. The descriptor is owned here and given up to the kernel in
// `prepare`; nothing else refers to it.
unsafe impl Op for Close {
    type Output = io::Result<()>;

    fn prepare(&mut self, sqe: &mut Sqe) {
        let file = self.0.take().expect("an entry is prepared once");
        sqe.opcode = opcode::CLOSE;
        sqe.fd = file.into_raw_fd();
    }

    fn complete(self, cqe: Cqe) -> Self::Output {
        cqe.into_result().map(drop)
    }
}

async fn open(path: &Path, flags: i32) -> io::Result<Rc<OwnedFd>> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    Driver::current().submit(Open { path, flags }).await.map(Rc::new)
}

async fn close(file: Rc<OwnedFd>) -> io::Result<()> {
    let file = Rc::into_inner(file);
    Driver::current().submit(Close(Some(file.expect("no operation is under way")))).await
}

/// Copies a file in pieces on this thread's loop; returns its length.
///
/// # Errors
///
/// When it can't be read, or `to` can't be written.
///
/// # Cancel safety
///
/// None: part of the file is written. Run it in a task.
pub async fn copy(from: &Path, to: &Path) -> anyhow::Result<u64> {
    let create = libc::O_WRONLY | libc::O_CREAT | libc::O_TRUNC;
    let source = open(from, libc::O_RDONLY).await.with_context(|| format!("opening {from:?}"))?;
    let target = open(to, create).await.with_context(|| format!("making {to:?}"))?;
    let mut buffer = Vec::with_capacity(PIECE);
    let mut offset = 0;
    loop {
        let read = Read { file: source.clone(), offset, buffer };
        let (result, filled) = Driver::current().submit(read).await;
        buffer = filled;
        if result.with_context(|| format!("reading {from:?}"))? == 0 {
            break;
        }
        let mut done = 0;
        while done < buffer.len() {
            let at = offset + done as u64;
            let write = Write { file: target.clone(), offset: at, done, buffer };
            let (result, back) = Driver::current().submit(write).await;
            buffer = back;
            let count = result.with_context(|| format!("writing {to:?}"))?;
            ensure!(count > 0, "writing {to:?}: the kernel takes no more");
            done += count;
        }
        offset += done as u64;
    }
    close(source).await.with_context(|| format!("closing {from:?}"))?;
    close(target).await.with_context(|| format!("closing {to:?}"))?;
    Ok(offset)
}

/// Waits until the other end of a pipe is closed; what is written to it is thrown away.
///
/// # Errors
///
/// Those of read(2).
///
/// # Cancel safety
///
/// Strict.
pub async fn closed(pipe: OwnedFd) -> io::Result<()> {
    let pipe = Rc::new(pipe);
    let mut buffer = Vec::with_capacity(64);
    loop {
        let read = Read { file: pipe.clone(), offset: u64::MAX, buffer };
        let (result, back) = Driver::current().submit(read).await;
        buffer = back;
        if result? == 0 {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workloads::files::Folder;

    #[test]
    fn a_file_copied_on_the_ring_is_the_same() {
        let folder = Folder::make(4).unwrap();
        uring_loop::run(async {
            for number in 0..4 {
                let name = format!("{number:06}");
                copy(&folder.from().join(&name), &folder.to().join(&name)).await.unwrap();
            }
        })
        .unwrap();
        folder.verify(4).unwrap();
    }

    #[test]
    fn the_end_of_a_pipe_is_noticed() {
        let (reader, mut writer) = io::pipe().unwrap();
        io::Write::write_all(&mut writer, b"ignored").unwrap();
        drop(writer);
        uring_loop::run(closed(reader.into())).unwrap().unwrap();
    }

    #[test]
    fn a_missing_file_is_named() {
        let error = uring_loop::run(copy(Path::new("/no/such"), Path::new("/tmp/x"))).unwrap();
        assert!(format!("{:#}", error.unwrap_err()).contains("/no/such"));
    }
}
