//! Tables of buffers and files that a ring has registered: the kernel looks into them in the place
//! of pinning memory and counting an open file for each operation.
//!
//! Both are made empty when they are first asked for (`IORING_RSRC_REGISTER_SPARSE`, 5.19). A place
//! of a buffer is filled and emptied by a call at once: operations that use it own the buffer. A
//! place of a file is filled and emptied by entries in the ring (FILES_UPDATE, CLOSE), which the
//! kernel carries out where it takes them in: so operations pushed before mean the file from
//! before, and those behind the next one.

use std::cell::RefCell;
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::rc::Rc;

use super::fd::Fd;
use super::op::Op;
use super::ring::{Cqe, Ring, Sqe, opcode};
use super::{Driver, Inner};

/// Places in the tables. They cost the kernel a few words each; that of the files must not be
/// larger than the limit of open files.
const BUFFERS: u16 = 1024;
const FILES: u16 = 256;

/// The free places, once there is a table.
#[derive(Debug, Default)]
pub(super) struct Tables {
    buffers: RefCell<Option<Vec<u16>>>,
    files: RefCell<Option<Vec<u16>>>,
}

fn take_free(
    free: &RefCell<Option<Vec<u16>>>,
    places: u16,
    register: impl FnOnce(u16) -> io::Result<()>,
    what: &str,
) -> io::Result<u16> {
    let mut free = free.borrow_mut();
    let free = match &mut *free {
        Some(free) => free,
        none => {
            register(places).map_err(|error| {
                io::Error::new(
                    error.kind(),
                    format!("making a table of registered {what}: {error}"),
                )
            })?;
            none.insert((0..places).rev().collect())
        }
    };
    free.pop().ok_or_else(|| {
        let text = format!("all {places} places for registered {what} of this loop are taken");
        io::Error::new(io::ErrorKind::QuotaExceeded, text)
    })
}

fn give_back(free: &RefCell<Option<Vec<u16>>>, place: u16) {
    if let Some(free) = &mut *free.borrow_mut() {
        free.push(place);
    }
}

impl Inner {
    fn refuse_when_closing(&self) -> io::Result<()> {
        if self.closing { Err(io::Error::from_raw_os_error(libc::ECANCELED)) } else { Ok(()) }
    }
}

impl Driver {
    /// Registers memory, and answers its place.
    ///
    /// # Safety
    ///
    /// It stays mapped, and is used for these operations only, until
    /// [`unregister_buffer`](Self::unregister_buffer).
    pub(super) unsafe fn register_buffer(&self, address: u64, length: u32) -> io::Result<u16> {
        let mut inner = self.inner();
        inner.refuse_when_closing()?;
        let register = |places| inner.ring.register_buffer_table(places);
        let place = take_free(&self.tables.buffers, BUFFERS, register, "buffers")?;
        // SAFETY: handed on.
        let set = unsafe { inner.ring.set_buffer(place, address, length) };
        if set.is_err() {
            give_back(&self.tables.buffers, place);
        }
        set.map(|()| place)
    }

    /// Nothing in flight uses it any more.
    pub(super) fn unregister_buffer(&self, place: u16) {
        let mut inner = self.inner();
        if matches!(inner.ring, Ring::Closed) {
            return;
        }
        // SAFETY: no memory at all. If the kernel refuses, the place is not used again: it keeps
        // the pages, which nobody else gets.
        if unsafe { inner.ring.set_buffer(place, 0, 0) }.is_ok() {
            give_back(&self.tables.buffers, place);
        }
    }

    /// A place for a file; nothing is in it yet.
    pub(crate) fn file_place(self: &Rc<Self>) -> io::Result<FilePlace> {
        let mut inner = self.inner();
        inner.refuse_when_closing()?;
        let register = |places| inner.ring.register_file_table(places);
        let index = take_free(&self.tables.files, FILES, register, "files")?;
        Ok(FilePlace { driver: self.clone(), index })
    }

    fn empty_file_place(&self, index: u16) {
        let mut inner = self.inner();
        if matches!(inner.ring, Ring::Closed) {
            return;
        }
        let sqe = Sqe { opcode: opcode::CLOSE, file_index: i32::from(index) + 1, ..Sqe::default() };
        self.push_silent(&mut inner, sqe);
        give_back(&self.tables.files, index);
    }
}

/// A place for a registered file. Dropped, it is emptied behind everything that was pushed.
pub(crate) struct FilePlace {
    driver: Rc<Driver>,
    index: u16,
}

impl FilePlace {
    pub(crate) fn index(&self) -> u16 {
        self.index
    }
}

impl Drop for FilePlace {
    fn drop(&mut self) {
        self.driver.empty_file_place(self.index);
    }
}

impl std::fmt::Debug for FilePlace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "FilePlace({})", self.index)
    }
}

/// `IORING_OP_FILES_UPDATE` (5.6) of one place.
pub(crate) struct FillPlace {
    place: FilePlace,
    descriptor: RawFd,
}

impl FillPlace {
    pub(crate) fn new(place: FilePlace, file: &Fd) -> Self {
        FillPlace { place, descriptor: file.as_raw_fd() }
    }
}

// SAFETY: the entry points to the descriptor in `self`, which does not move. That is open when the
// entry is taken in, for its close is pushed behind.
unsafe impl Op for FillPlace {
    type Output = io::Result<FilePlace>;

    fn prepare(&mut self, sqe: &mut Sqe) {
        sqe.opcode = opcode::FILES_UPDATE;
        sqe.fd = -1;
        sqe.off = u64::from(self.place.index);
        sqe.addr = (&raw const self.descriptor).expose_provenance() as u64;
        sqe.len = 1;
    }

    fn complete(self, cqe: Cqe) -> io::Result<FilePlace> {
        cqe.into_result().map(|_| self.place)
    }
}
