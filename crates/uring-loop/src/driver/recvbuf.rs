//! Received bytes as users hold them: one word that points to a [`Record`].
//!
//! # Life story of a [`Record`]
//!
//! It says where the bytes of a buffer are and whose they are. That of a *pool* buffer lies in the
//! pool's table as long as the pool does; while the buffer is held, the stream's chain uses `next`,
//! and while it is lent, one [`RecvBuf`] points to the record and owns a count of the pool. That
//! of a *heap* buffer is the head of its allocation: one [`RecvBuf`] owns both, and a count of the
//! pool. That of a *vector* lies in a box and points to the vector's memory: one [`RecvBuf`] owns
//! both, and no pool is concerned. The *end* of a stream is a record too, one per pool, with no
//! bytes: any number of [`RecvBuf`]s point to it, each with a count of the pool, and none changes
//! it.
//!
//! Everything here stays on one thread.

use std::alloc::{self, Layout};
use std::cell::Cell;
use std::fmt;
use std::mem::ManuallyDrop;
use std::ops::Deref;
use std::ptr::{self, NonNull};
use std::rc::Rc;

use super::bufpool::BufPool;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Pool,
    Heap,
    Vector,
    End,
}

/// Where received bytes are, and whose.
pub(super) struct Record {
    base: NonNull<u8>,
    /// From `Rc::into_raw`, once for each `RecvBuf` that points here; null of a vector.
    pool: Cell<*const BufPool>,
    /// What a user reads: from `start` to `end`.
    start: Cell<u32>,
    end: Cell<u32>,
    /// How many bytes the buffer has room for.
    capacity: u32,
    /// The next buffer in the chain that holds this one.
    pub(super) next: Cell<u16>,
    kind: Kind,
}

impl Record {
    const fn new(base: NonNull<u8>, capacity: u32, kind: Kind) -> Self {
        Record {
            base,
            pool: Cell::new(ptr::null()),
            start: Cell::new(0),
            end: Cell::new(0),
            capacity,
            next: Cell::new(0),
            kind,
        }
    }

    /// Of a buffer of the pool, which starts here and stays as long as the record.
    pub(super) const fn of_pool(base: NonNull<u8>, capacity: u32) -> Self {
        Self::new(base, capacity, Kind::Pool)
    }

    pub(super) const fn end_of_stream() -> Self {
        Self::new(NonNull::dangling(), 0, Kind::End)
    }

    pub(super) fn base(&self) -> NonNull<u8> {
        self.base
    }

    /// The kernel has written so many bytes.
    pub(super) fn fill(&self, length: u32) {
        debug_assert!(length <= self.capacity);
        self.start.set(0);
        self.end.set(length);
    }

    fn len(&self) -> usize {
        (self.end.get() - self.start.get()) as usize
    }

    /// The bytes there are.
    ///
    /// # Safety
    ///
    /// Up to `end` they are initialized, and as long as the slice lives nobody writes to them.
    pub(super) unsafe fn bytes(&self) -> &[u8] {
        // SAFETY: `start <= end <= capacity`, so this is within the buffer (or empty); the rest is
        // the caller's promise.
        unsafe {
            let start = self.base.as_ptr().add(self.start.get() as usize);
            std::slice::from_raw_parts(start, self.len())
        }
    }
}

/// Received bytes, in a buffer that belongs to the loop and goes back to it on drop.
///
/// It reads as a byte slice. Holding on to many of them costs the loop its buffers: when half of
/// the pool is lent out, further ones are copies on the heap.
///
/// # Examples
///
/// ```
/// use uring_loop::buf::RecvBuf;
/// use uring_loop::io::{ByteStreamExt, duplex};
///
/// uring_loop::run(async {
///     let (one, other) = duplex(4096);
///     one.send("GET /".into()).await?;
///     let mut bytes: RecvBuf = other.recv().await?;
///     assert!(bytes.starts_with(b"GET "));
///     bytes.advance(4); // what is done with
///     assert_eq!(&*bytes, b"/");
///     let kept = bytes.to_vec(); // what stays longer than a moment is copied
///     drop(bytes); // its buffer is the loop's again
///     assert_eq!(kept, b"/");
///     Ok::<(), std::io::Error>(())
/// })?
/// # ; Ok::<(), std::io::Error>(())
/// ```
pub struct RecvBuf {
    /// Owns a count of the record's pool, and of a record on the heap the allocation.
    record: NonNull<Record>,
}

impl RecvBuf {
    /// Lends a buffer of the pool.
    ///
    /// # Safety
    ///
    /// The record is one of this pool; it is that of the end, or its buffer is initialized up to
    /// `end`, not the kernel's, and in no other `RecvBuf`.
    pub(super) unsafe fn of_pool(pool: &Rc<BufPool>, record: &Record) -> Self {
        record.pool.set(Rc::into_raw(pool.clone()));
        RecvBuf { record: NonNull::from(record) }
    }

    /// A buffer on the heap of the pool's size, for the kernel to fill.
    pub(crate) fn private(pool: &Rc<BufPool>) -> Self {
        // Zeroed, so that all of it may be read.
        Self::heap(pool, pool.size(), alloc::alloc_zeroed)
    }

    /// `alloc` is what gives the memory: zeroed, unless all of it is written first.
    fn heap(pool: &Rc<BufPool>, capacity: u32, alloc: unsafe fn(Layout) -> *mut u8) -> Self {
        let (layout, offset) = Self::heap_layout(capacity);
        // SAFETY: the layout is not empty.
        let head = unsafe { alloc(layout) };
        let Some(head) = NonNull::new(head) else { alloc::handle_alloc_error(layout) };
        // SAFETY: the bytes begin `offset` behind the head, in the same allocation.
        let base = unsafe { head.add(offset) };
        let record = Record::new(base, capacity, Kind::Heap);
        record.pool.set(Rc::into_raw(pool.clone()));
        let head = head.cast::<Record>();
        // SAFETY: fresh memory with room and alignment for a record at its start.
        unsafe { head.write(record) };
        RecvBuf { record: head }
    }

    /// A record and the bytes behind it; and where those begin.
    fn heap_layout(capacity: u32) -> (Layout, usize) {
        let bytes = Layout::array::<u8>(capacity as usize);
        let whole = bytes.and_then(|bytes| Layout::new::<Record>().extend(bytes));
        whole.expect("a u32 of bytes fits")
    }

    pub(crate) fn copied(pool: &Rc<BufPool>, bytes: &[u8]) -> Self {
        let length = u32::try_from(bytes.len()).expect("less than 4 GiB");
        let mut buffer = Self::heap(pool, length, alloc::alloc);
        // SAFETY: fresh heap memory of this length, all of which is written.
        unsafe { buffer.base().copy_from_nonoverlapping(bytes.as_ptr(), bytes.len()) };
        buffer.set_end(length);
        buffer
    }

    /// The end of the stream.
    pub(crate) fn empty(pool: &Rc<BufPool>) -> Self {
        // SAFETY: the record of the end.
        unsafe { Self::of_pool(pool, pool.end_of_stream()) }
    }

    fn record(&self) -> &Record {
        // SAFETY: in the table of a pool of which we own a count, or on the heap and ours; never
        // referred to mutably.
        unsafe { self.record.as_ref() }
    }

    pub(crate) fn base(&mut self) -> *mut u8 {
        self.record().base.as_ptr()
    }

    pub(crate) fn capacity(&self) -> u32 {
        self.record().capacity
    }

    /// So many bytes are there: of a private buffer, after the kernel or we have filled it.
    pub(crate) fn set_end(&mut self, end: u32) {
        self.record().fill(end);
    }

    /// Gives up the first `count` bytes.
    ///
    /// # Panics
    ///
    /// If there are fewer.
    pub fn advance(&mut self, count: usize) {
        assert!(count <= self.len(), "advance past the end of a RecvBuf");
        let start = &self.record().start;
        start.set(start.get() + count as u32);
    }

    /// Whether the bytes lie in a buffer of the loop, which others wait for.
    pub fn is_lent(&self) -> bool {
        self.record().kind == Kind::Pool
    }
}

impl Deref for RecvBuf {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: lent (written by the kernel up to `end`, and not touched by it until given
        // back) or on the heap, where all of it is initialized and ours, or the first `end` bytes
        // of a vector, which are too, or empty. Whoever changes them has a `&mut self`.
        unsafe { self.record().bytes() }
    }
}

impl AsRef<[u8]> for RecvBuf {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl Drop for RecvBuf {
    fn drop(&mut self) {
        let record = self.record();
        let (kind, capacity) = (record.kind, record.capacity);
        if kind == Kind::Vector {
            // SAFETY: from `Box::into_raw` in `from`, ours alone, and not looked at again.
            let record = unsafe { Box::from_raw(self.record.as_ptr()) };
            // SAFETY: the parts of the vector that `from` took apart, as they were.
            drop(unsafe { Vec::from_raw_parts(record.base.as_ptr(), 0, capacity as usize) });
            return;
        }
        // SAFETY: from `Rc::into_raw`, and this gives up the count that is ours. The table, and
        // with it `record`, stands at least until `pool` is dropped.
        let pool = unsafe { Rc::from_raw(record.pool.get()) };
        match kind {
            Kind::Pool if mutant!("lent-buffer-kept") => {}
            Kind::Pool => pool.take_back(record),
            Kind::Heap => {
                // SAFETY: allocated by `heap` with this layout, ours alone, and not looked at
                // again. A record has no drop of its own.
                unsafe {
                    alloc::dealloc(self.record.as_ptr().cast(), Self::heap_layout(capacity).0)
                };
            }
            Kind::End | Kind::Vector => {}
        }
    }
}

impl From<Vec<u8>> for RecvBuf {
    /// For streams that have their bytes from elsewhere than a socket. Nothing is copied, unless
    /// the vector has 4 GiB or more of memory to spare.
    ///
    /// # Panics
    ///
    /// If there are 4 GiB or more of bytes.
    fn from(mut vector: Vec<u8>) -> Self {
        let Ok(length) = u32::try_from(vector.len()) else {
            panic!("a RecvBuf of 4 GiB or more: make it in parts");
        };
        if u32::try_from(vector.capacity()).is_err() {
            vector = vector.as_slice().to_vec();
        }
        let mut vector = ManuallyDrop::new(vector);
        // SAFETY: the pointer of a vector is never null.
        let base = unsafe { NonNull::new_unchecked(vector.as_mut_ptr()) };
        let record = Record::new(base, vector.capacity() as u32, Kind::Vector);
        record.fill(length);
        RecvBuf { record: NonNull::from(Box::leak(Box::new(record))) }
    }
}

impl fmt::Debug for RecvBuf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.is_lent() { "lent" } else { "private" };
        write!(f, "RecvBuf({kind}, {} bytes)", self.len())
    }
}

const _: () = assert!(size_of::<Option<RecvBuf>>() == size_of::<usize>());
