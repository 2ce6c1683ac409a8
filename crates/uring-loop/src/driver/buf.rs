//! Owned buffers: what an operation takes, keeps until its completion, and gives back.
//!
//! The driver asks for the pointer only after the buffer lies in its slot, where it does not
//! move. So even an array may be a buffer.

use super::Driver;
use super::recvbuf::RecvBuf;

/// Bytes that an operation may read from.
///
/// # Safety
///
/// As long as the value is neither moved nor mutated, every call of [`bytes`](IoBuf::bytes) returns
/// the same memory, and that memory stays valid and unchanged, also when the value is moved out of
/// reach of the caller (into a slot of the loop).
pub unsafe trait IoBuf: 'static {
    /// The bytes.
    fn bytes(&self) -> &[u8];

    /// Where the memory is in the table of buffers that this driver's ring has registered.
    #[doc(hidden)]
    fn place(&self, _driver: &Driver) -> Option<u16> {
        None
    }
}

/// Bytes that an operation may write to.
///
/// # Safety
///
/// As for [`IoBuf`], for the memory that [`spare`](IoBufMut::spare) describes; nobody else may
/// look at it meanwhile.
pub unsafe trait IoBufMut: IoBuf {
    /// Where to write, and how many bytes fit. It need not be initialized.
    fn spare(&mut self) -> (*mut u8, usize);

    /// Tells the buffer that its first `len` bytes were written.
    ///
    /// # Safety
    ///
    /// They were, and `len` is at most what `spare` said.
    unsafe fn set_filled(&mut self, len: usize);
}

/// Copies as many of `bytes` as fit to the start of `buffer`, and answers how many those were.
pub(crate) fn fill(buffer: &mut impl IoBufMut, bytes: &[u8]) -> usize {
    let (to, room) = buffer.spare();
    let count = bytes.len().min(room);
    // SAFETY: `spare` gave at least `count` writable bytes, which are not those of `bytes`; they
    // are written before they are called filled.
    unsafe {
        to.copy_from_nonoverlapping(bytes.as_ptr(), count);
        buffer.set_filled(count);
    }
    count
}

// SAFETY: the heap block of a vector stays where it is when the vector is moved.
unsafe impl IoBuf for Vec<u8> {
    fn bytes(&self) -> &[u8] {
        self
    }
}

// SAFETY: as above; the capacity belongs to the vector alone.
unsafe impl IoBufMut for Vec<u8> {
    fn spare(&mut self) -> (*mut u8, usize) {
        (self.as_mut_ptr(), self.capacity())
    }

    unsafe fn set_filled(&mut self, len: usize) {
        // SAFETY: the caller's promise.
        unsafe { self.set_len(len) };
    }
}

// SAFETY: the heap block of a box stays where it is.
unsafe impl IoBuf for Box<[u8]> {
    fn bytes(&self) -> &[u8] {
        self
    }
}

// SAFETY: as above.
unsafe impl IoBufMut for Box<[u8]> {
    fn spare(&mut self) -> (*mut u8, usize) {
        (self.as_mut_ptr(), self.len())
    }

    unsafe fn set_filled(&mut self, _: usize) {}
}

// SAFETY: the array lies in the value, which is not moved while it is in use.
unsafe impl<const N: usize> IoBuf for [u8; N] {
    fn bytes(&self) -> &[u8] {
        self
    }
}

// SAFETY: as above.
unsafe impl<const N: usize> IoBufMut for [u8; N] {
    fn spare(&mut self) -> (*mut u8, usize) {
        (self.as_mut_ptr(), N)
    }

    unsafe fn set_filled(&mut self, _: usize) {}
}

// SAFETY: static memory.
unsafe impl IoBuf for &'static [u8] {
    fn bytes(&self) -> &[u8] {
        self
    }
}

// SAFETY: static memory.
unsafe impl IoBuf for &'static str {
    fn bytes(&self) -> &[u8] {
        self.as_bytes()
    }
}

// SAFETY: the heap block of a string stays where it is.
unsafe impl IoBuf for String {
    fn bytes(&self) -> &[u8] {
        self.as_bytes()
    }
}

// SAFETY: pool or heap memory that stays where it is, and that nobody writes to while the buffer
// is lent.
unsafe impl IoBuf for RecvBuf {
    fn bytes(&self) -> &[u8] {
        self
    }
}

// SAFETY: shared and immutable.
unsafe impl IoBuf for std::rc::Rc<[u8]> {
    fn bytes(&self) -> &[u8] {
        self
    }
}

// SAFETY: shared and immutable.
unsafe impl IoBuf for std::sync::Arc<[u8]> {
    fn bytes(&self) -> &[u8] {
        self
    }
}
