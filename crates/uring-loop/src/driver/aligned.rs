//! Buffers for direct access to a disk (`O_DIRECT`), whose memory begins at a multiple of what the
//! disk asks for.

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;
use std::slice;

use super::buf::{IoBuf, IoBufMut};

/// What every disk is content with, as of 2026.
const USUAL: usize = 4096;
/// The least alignment: below it is where the capacity keeps the alignment's logarithm.
const LEAST: usize = 512;
const LOGARITHM: u32 = LEAST as u32 - 1;

/// A buffer in aligned memory, with a length like a `Vec`'s, but of a capacity that stays.
///
/// # Examples
///
/// ```
/// use uring_loop::buf::AlignedBuf;
///
/// let mut buffer = AlignedBuf::new(10_000); // capacities are whole blocks
/// assert_eq!((buffer.capacity(), buffer.len()), (12_288, 0));
/// buffer.extend_from_slice(b"abc");
/// assert_eq!(&buffer[..], b"abc");
/// assert!(buffer.as_ptr().addr().is_multiple_of(4096));
/// ```
// Sixteen bytes: with an offset and a descriptor it fits into the slot of an operation, so that a
// read allocates nothing. Hence the alignment's place.
pub struct AlignedBuf {
    start: NonNull<u8>,
    length: u32,
    /// A multiple of the alignment, and so of 512; below that the alignment's logarithm.
    capacity: u32,
}

const _: () = assert!(size_of::<AlignedBuf>() == 16);

// SAFETY: it owns its memory, as a `Vec<u8>` does.
unsafe impl Send for AlignedBuf {}
// SAFETY: as above; a shared reference only reads.
unsafe impl Sync for AlignedBuf {}

impl AlignedBuf {
    /// An empty buffer with room for at least so many bytes, aligned to 4096.
    ///
    /// # Panics
    ///
    /// If that is none, or 4 GiB or more.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        Self::with_alignment(capacity, USUAL)
    }

    /// The same with another alignment: a power of two. Both are rounded up, the alignment to 512
    /// and the capacity to a multiple of it.
    ///
    /// # Panics
    ///
    /// If the capacity is 0, or 4 GiB or more; or if the alignment is no power of two, or above 1
    /// GiB.
    #[must_use]
    pub fn with_alignment(capacity: usize, alignment: usize) -> Self {
        assert!(
            alignment.is_power_of_two() && alignment <= 1 << 30,
            "an alignment is a power of two of at most 1 GiB, not {alignment}"
        );
        assert!(capacity > 0, "a buffer needs room for a byte");
        let alignment = alignment.max(LEAST);
        let whole = capacity.checked_next_multiple_of(alignment);
        let capacity = whole.and_then(|whole| u32::try_from(whole).ok());
        let capacity = capacity.expect("a buffer of less than 4 GiB");
        let layout = layout(capacity, alignment.trailing_zeros());
        // SAFETY: the layout is not of size 0.
        let start = unsafe { alloc_zeroed(layout) };
        let Some(start) = NonNull::new(start) else { handle_alloc_error(layout) };
        AlignedBuf { start, length: 0, capacity: capacity | alignment.trailing_zeros() }
    }

    /// A buffer that is full of zeroes.
    ///
    /// # Panics
    ///
    /// As [`new`](Self::new).
    #[must_use]
    pub fn zeroed(length: usize) -> Self {
        let mut buffer = Self::new(length);
        buffer.length = length as u32;
        buffer
    }

    /// How many bytes there is room for.
    #[must_use]
    pub fn capacity(&self) -> usize {
        (self.capacity & !LOGARITHM) as usize
    }

    /// What its memory is aligned to.
    #[must_use]
    pub fn alignment(&self) -> usize {
        1 << (self.capacity & LOGARITHM)
    }

    /// Forgets what is in it.
    pub fn clear(&mut self) {
        self.length = 0;
    }

    /// Makes it so many bytes long. What comes to it is what was there before, or zero.
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

fn layout(capacity: u32, logarithm: u32) -> Layout {
    Layout::from_size_align(capacity as usize, 1 << logarithm)
        .expect("less than 4 GiB, a power of two")
}

impl Drop for AlignedBuf {
    fn drop(&mut self) {
        let layout = layout(self.capacity & !LOGARITHM, self.capacity & LOGARITHM);
        // SAFETY: allocated with this layout, by `with_alignment`.
        unsafe { dealloc(self.start.as_ptr(), layout) };
    }
}

impl Deref for AlignedBuf {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: ours, and initialized in all its capacity: zeroed at first.
        unsafe { slice::from_raw_parts(self.start.as_ptr(), self.length as usize) }
    }
}

impl DerefMut for AlignedBuf {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as above.
        unsafe { slice::from_raw_parts_mut(self.start.as_ptr(), self.length as usize) }
    }
}

// SAFETY: its memory stays where it is when the value is moved.
unsafe impl IoBuf for AlignedBuf {
    fn bytes(&self) -> &[u8] {
        self
    }
}

// SAFETY: as above; the capacity belongs to the value alone.
unsafe impl IoBufMut for AlignedBuf {
    fn spare(&mut self) -> (*mut u8, usize) {
        (self.start.as_ptr(), self.capacity())
    }

    unsafe fn set_filled(&mut self, len: usize) {
        self.length = len as u32;
    }
}

impl Clone for AlignedBuf {
    fn clone(&self) -> Self {
        let mut copy = AlignedBuf::with_alignment(self.capacity(), self.alignment());
        copy.extend_from_slice(self);
        copy
    }
}

impl fmt::Debug for AlignedBuf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AlignedBuf")
            .field("length", &self.length)
            .field("capacity", &self.capacity())
            .field("alignment", &self.alignment())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_and_capacity_are_aligned() {
        for alignment in [1, 2, 512, 4096, 1 << 16] {
            for capacity in [1, 511, 4096, 100_000] {
                let buffer = AlignedBuf::with_alignment(capacity, alignment);
                assert!(buffer.start.as_ptr().addr().is_multiple_of(alignment));
                assert!(buffer.capacity() >= capacity);
                assert!(buffer.capacity().is_multiple_of(buffer.alignment()));
                assert_eq!(buffer.alignment(), alignment.max(512));
            }
        }
    }

    #[test]
    fn it_is_filled_cut_and_copied() {
        let mut buffer = AlignedBuf::with_alignment(512, 512);
        buffer.extend_from_slice(&[7; 512]);
        buffer.set_len(2);
        buffer.extend_from_slice(&[9]);
        assert_eq!((&buffer[..], buffer.clone()[..].to_vec()), (&[7, 7, 9][..], vec![7, 7, 9]));
        buffer.clear();
        assert!(buffer.is_empty());
        assert_eq!(AlignedBuf::zeroed(5)[..], [0; 5]);
    }

    #[test]
    #[should_panic(expected = "room for 512 bytes")]
    fn more_than_fits_is_refused() {
        AlignedBuf::with_alignment(512, 512).extend_from_slice(&[0; 513]);
    }
}
