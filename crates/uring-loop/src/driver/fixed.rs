//! Registered buffers: memory that the kernel has pinned once, in the place of once per operation.
//!
//! # Life story of a buffer
//!
//! *free*: its number is in the pool's list. *taken*: in a [`FixedBuf`], which the user has, or an
//! operation in flight. It goes back to *free* when that is dropped. The pool goes with the last
//! of its buffers and handles: it takes its memory out of the ring's table, and unmaps it.

use std::cell::RefCell;
use std::fmt;
use std::io;
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;
use std::rc::Rc;
use std::slice;

use super::Driver;
use super::buf::{IoBuf, IoBufMut};
use crate::sys::memory::Mapping;

const PAGE: usize = 4096;

/// A set of buffers that are registered with the ring of a loop: see
/// [`FixedBuffers::new`](crate::buf::FixedBuffers::new).
///
/// A clone is another handle of the same set.
#[derive(Clone)]
pub struct FixedBuffers(Rc<Pool>);

struct Pool {
    driver: Rc<Driver>,
    memory: Mapping,
    size: u32,
    count: u16,
    /// In the table of the ring: one for all of the memory.
    place: u16,
    free: RefCell<Vec<u16>>,
}

impl FixedBuffers {
    /// Maps and registers memory for so many buffers of so many bytes, rounded up to pages.
    pub(crate) fn on(driver: Rc<Driver>, count: u16, size: usize) -> io::Result<Self> {
        let text = "registered buffers: at least one, of at least a byte, and 1 GiB at most";
        let invalid = || io::Error::new(io::ErrorKind::InvalidInput, text);
        let size = size.checked_next_multiple_of(PAGE).ok_or_else(invalid)?;
        let whole = size.checked_mul(count.into()).filter(|whole| (1..=1 << 30).contains(whole));
        let whole = whole.ok_or_else(invalid)?;
        let memory = Mapping::new(whole)?;
        // SAFETY: mapped until the pool goes, which takes it out of the table before.
        let place = unsafe {
            driver.register_buffer(memory.start().as_ptr().expose_provenance() as u64, whole as u32)
        };
        let place = place.map_err(|error| {
            let text = format!(
                "registering {whole} bytes of buffers: {error} (they count against \
                 RLIMIT_MEMLOCK: ulimit -l)"
            );
            io::Error::new(error.kind(), text)
        })?;
        let free = RefCell::new((0..count).rev().collect());
        Ok(FixedBuffers(Rc::new(Pool { driver, memory, size: size as u32, count, place, free })))
    }

    /// A free buffer, empty; `None` if all are taken. It comes back when it is dropped.
    #[must_use]
    pub fn take(&self) -> Option<FixedBuf> {
        let number = self.0.free.borrow_mut().pop()?;
        Some(FixedBuf { pool: self.0.clone(), number, length: 0 })
    }

    /// How many are free.
    #[must_use]
    pub fn free(&self) -> usize {
        self.0.free.borrow().len()
    }

    /// How many bytes each of them has room for.
    #[must_use]
    pub fn size(&self) -> usize {
        self.0.size as usize
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.driver.unregister_buffer(self.place);
    }
}

/// A registered buffer; from [`FixedBuffers::take`]. It is aligned to a page.
///
/// With files of its loop the kernel uses the memory as it was registered (`IORING_OP_READ_FIXED`
/// and `_WRITE_FIXED`, 5.1). Anywhere else it is a buffer like any other.
// Sixteen bytes, as `AlignedBuf` and for its reason.
pub struct FixedBuf {
    pool: Rc<Pool>,
    number: u16,
    length: u32,
}

const _: () = assert!(size_of::<FixedBuf>() == 16);

impl FixedBuf {
    fn start(&self) -> NonNull<u8> {
        let offset = usize::from(self.number) * self.pool.size as usize;
        // SAFETY: numbers are below the count, for which there is room in the mapping.
        unsafe { self.pool.memory.start().add(offset) }
    }

    /// How many bytes there is room for.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.pool.size as usize
    }

    /// Forgets what is in it.
    pub fn clear(&mut self) {
        self.length = 0;
    }

    /// Makes it so many bytes long. What comes to it is what was there before, perhaps by somebody
    /// else.
    ///
    /// # Panics
    ///
    /// If there is no room.
    pub fn set_len(&mut self, length: usize) {
        assert!(length <= self.capacity(), "there is room for {} bytes", self.capacity());
        self.length = length as u32;
    }

    /// Puts bytes behind those that are there.
    ///
    /// # Panics
    ///
    /// If there is no room for them.
    pub fn extend_from_slice(&mut self, bytes: &[u8]) {
        let start = self.len();
        self.set_len(start + bytes.len());
        self[start..].copy_from_slice(bytes);
    }
}

impl Deref for FixedBuf {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: mapped, zeroed at first, and of this buffer alone as long as it is taken.
        unsafe { slice::from_raw_parts(self.start().as_ptr(), self.length as usize) }
    }
}

impl DerefMut for FixedBuf {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as above.
        unsafe { slice::from_raw_parts_mut(self.start().as_ptr(), self.length as usize) }
    }
}

// SAFETY: its memory stays where it is, and mapped, as long as the value lives.
unsafe impl IoBuf for FixedBuf {
    fn bytes(&self) -> &[u8] {
        self
    }

    fn place(&self, driver: &Driver) -> Option<u16> {
        std::ptr::eq(&*self.pool.driver, driver).then_some(self.pool.place)
    }
}

// SAFETY: as above; the room belongs to the value alone.
unsafe impl IoBufMut for FixedBuf {
    fn spare(&mut self) -> (*mut u8, usize) {
        (self.start().as_ptr(), self.capacity())
    }

    unsafe fn set_filled(&mut self, len: usize) {
        self.length = len as u32;
    }
}

impl Drop for FixedBuf {
    fn drop(&mut self) {
        let mut free = self.pool.free.borrow_mut();
        free.push(self.number);
        if mutant!("registered-buffer-given-back-twice") {
            free.push(self.number);
        }
    }
}

impl fmt::Debug for FixedBuf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FixedBuf")
            .field("number", &self.number)
            .field("length", &self.length)
            .field("capacity", &self.capacity())
            .finish()
    }
}

impl fmt::Debug for FixedBuffers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FixedBuffers")
            .field("free", &self.free())
            .field("count", &self.0.count)
            .field("size", &self.0.size)
            .finish()
    }
}
