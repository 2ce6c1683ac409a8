//! Provided buffers: the memory that receiving streams share, so that an idle one holds none.
//!
//! # Protocol with the kernel
//!
//! A ring of `struct io_uring_buf` (address, length, id) in memory that both sides map
//! (io_uring_register(2), `IORING_REGISTER_PBUF_RING`, 5.19). We write an entry, then publish it by
//! a release store of the tail, which lies in the reserved field of entry 0. The kernel takes
//! entries from the head while it completes a receive and names the buffer in the completion.
//!
//! # Life story of a buffer
//!
//! *free*: in the ring, the kernel may write to it. *held*: a completion named it; it waits in its
//! stream's queue, chained by [`Link`]. *lent*: in a [`RecvBuf`], the user reads it. From both it
//! goes back to *free* by [`BufPool::give_back`]. The pool outlives the ring's use of it: it is
//! unmapped after the ring was closed with nothing in flight, or never.
//!
//! What one stream or one user may keep from the others is bounded: a stream nobody reads holds
//! [`HELD`] buffers and copies the rest out; once users hold half of the pool, they are given
//! copies.

use std::alloc::{self, Layout};
use std::cell::{Cell, RefCell};
use std::fmt;
use std::io;
use std::ops::Deref;
use std::ptr::NonNull;
use std::rc::Rc;
use std::sync::atomic::{AtomicU16, Ordering};

use super::ring::{Cqe, Sqe, sqe_flags};
use crate::sys::memory::Mapping;

/// The group the pool is registered as.
pub(crate) const GROUP: u16 = 0;

/// How many buffers a stream that nobody reads may hold.
pub(crate) const HELD: u16 = 4;

const NO_BUFFER: u16 = u16::MAX;
const PAGE: usize = 4096;
const CACHE_LINE: usize = 64;

/// How many buffers, and how large.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    /// A power of two, at most 32768.
    pub(crate) buffers: u16,
    /// Bytes of each.
    pub(crate) size: u32,
}

impl Shape {
    /// From one buffer to the next: a cache line more than the size. Were it 4096, the first lines
    /// of all buffers, the only ones that short messages touch, would fight over the same few sets
    /// of the cache.
    fn stride(self) -> usize {
        self.size as usize + CACHE_LINE
    }
}

/// `struct io_uring_buf`.
#[repr(C)]
struct Entry {
    address: u64,
    length: u32,
    id: u16,
    /// In entry 0 this is the ring's tail.
    tail: AtomicU16,
}

/// What the pool keeps for a held buffer: its place in the queue of its stream.
#[derive(Clone, Copy, Debug)]
struct Link {
    length: u32,
    next: u16,
}

/// The buffers of one loop.
pub(crate) struct BufPool {
    memory: Mapping,
    shape: Shape,
    tail: Cell<u16>,
    /// Not in the ring: held or lent.
    out: Cell<u16>,
    lent: Cell<u16>,
    links: Box<[Cell<Link>]>,
}

impl BufPool {
    fn new(shape: Shape) -> io::Result<Self> {
        let entries = usize::from(shape.buffers);
        let memory = Mapping::new(Self::buffers_offset(shape) + entries * shape.stride())?;
        let pool = BufPool {
            memory,
            shape,
            tail: Cell::new(0),
            out: Cell::new(shape.buffers),
            lent: Cell::new(0),
            links: vec![Cell::new(Link { length: 0, next: NO_BUFFER }); entries].into(),
        };
        Ok(pool)
    }

    /// The ring of entries comes first, the buffers start on the page behind it.
    fn buffers_offset(shape: Shape) -> usize {
        (usize::from(shape.buffers) * size_of::<Entry>()).next_multiple_of(PAGE)
    }

    fn entry(&self, index: u16) -> *mut Entry {
        // SAFETY: the index is below the number of entries, which the mapping has room for.
        unsafe { self.memory.start().as_ptr().cast::<Entry>().add(usize::from(index)) }
    }

    fn buffer(&self, id: u16) -> NonNull<u8> {
        let offset = Self::buffers_offset(self.shape) + usize::from(id) * self.shape.stride();
        // SAFETY: ids are below the number of buffers, which the mapping has room for.
        unsafe { self.memory.start().add(offset) }
    }

    /// Where the buffers start.
    fn first(&self) -> usize {
        self.memory.start().addr().get() + Self::buffers_offset(self.shape)
    }

    /// Whether this is the start of a buffer of the pool, and not of one on the heap.
    fn owns(&self, base: NonNull<u8>) -> bool {
        let bytes = usize::from(self.shape.buffers) * self.shape.stride();
        base.addr().get().wrapping_sub(self.first()) < bytes
    }

    /// The id of the buffer that starts here.
    fn id(&self, base: NonNull<u8>) -> u16 {
        ((base.addr().get() - self.first()) / self.shape.stride()) as u16
    }

    /// Bytes of each buffer.
    pub(crate) fn size(&self) -> u32 {
        self.shape.size
    }

    /// Buffers the kernel can use now.
    pub(crate) fn free(&self) -> u16 {
        self.shape.buffers - self.out.get()
    }

    /// Whether so many are free that a stream which met an empty pool may use it again.
    pub(crate) fn plenty(&self) -> bool {
        self.free() >= self.shape.buffers.div_ceil(4)
    }

    /// Whether users hold so many that they should be given copies.
    fn scarce(&self) -> bool {
        self.lent.get() >= self.shape.buffers / 2
    }

    /// Puts a buffer back into the ring: held or lent before, free now.
    fn give_back(&self, id: u16) {
        let buffer = self.buffer(id);
        #[cfg(any(test, feature = "testing"))]
        // SAFETY: nobody's any more until it is published below.
        unsafe {
            buffer.as_ptr().write_bytes(0xdd, self.shape.size as usize);
        }
        let tail = self.tail.get();
        let entry = self.entry(tail & (self.shape.buffers - 1));
        // SAFETY: the entry behind the tail belongs to us until the tail is published. Field by
        // field, since entry 0's last field is the tail itself.
        unsafe {
            (*entry).address = buffer.as_ptr() as u64;
            (*entry).length = self.shape.size;
            (*entry).id = id;
        }
        self.tail.set(tail.wrapping_add(1));
        // SAFETY: entry 0 exists, and the field is an atomic that both sides use.
        // Release: the entry is visible before the tail is.
        unsafe { &(*self.entry(0)).tail }.store(self.tail.get(), Ordering::Release);
        self.out.set(self.out.get() - 1);
    }

    /// A completion named this buffer: it is held now.
    fn hold(&self, id: u16, length: u32) {
        self.out.set(self.out.get() + 1);
        self.links[usize::from(id)].set(Link { length, next: NO_BUFFER });
    }

    /// Turns a held buffer into a lent one, or into a copy if buffers are scarce.
    fn lend(self: &Rc<Self>, id: u16) -> RecvBuf {
        let length = self.links[usize::from(id)].get().length;
        let base = self.buffer(id);
        if self.scarce() {
            // SAFETY: held: the kernel has written `length` bytes and is done with the buffer.
            let bytes = unsafe { std::slice::from_raw_parts(base.as_ptr(), length as usize) };
            let copy = RecvBuf::copied(self, bytes);
            self.give_back(id);
            return copy;
        }
        self.lent.set(self.lent.get() + 1);
        RecvBuf { pool: self.clone(), base, start: 0, end: length }
    }
}

impl fmt::Debug for BufPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BufPool")
            .field("shape", &self.shape)
            .field("free", &self.free())
            .field("lent", &self.lent.get())
            .finish()
    }
}

/// Buffers held by a stream: first in, first out.
#[derive(Debug)]
pub(crate) struct Chain {
    first: u16,
    last: u16,
    count: u16,
}

impl Chain {
    pub(crate) const EMPTY: Chain = Chain { first: NO_BUFFER, last: NO_BUFFER, count: 0 };

    pub(crate) fn count(&self) -> u16 {
        self.count
    }

    /// Appends the buffer that a completion named.
    pub(crate) fn push(&mut self, pool: &BufPool, id: u16, length: u32) {
        pool.hold(id, length);
        if self.count == 0 {
            self.first = id;
        } else {
            let last = &pool.links[usize::from(self.last)];
            last.set(Link { next: id, ..last.get() });
        }
        self.last = id;
        self.count += 1;
    }

    /// Takes the oldest.
    pub(crate) fn pop(&mut self, pool: &Rc<BufPool>) -> Option<RecvBuf> {
        if self.count == 0 {
            return None;
        }
        let id = self.first;
        self.first = pool.links[usize::from(id)].get().next;
        self.count -= 1;
        Some(pool.lend(id))
    }
}

/// Takes the buffer that a completion named, without a queue.
pub(crate) fn lend_completed(pool: &Rc<BufPool>, cqe: Cqe) -> Option<RecvBuf> {
    let id = cqe.buffer_id()?;
    pool.hold(id, cqe.result.max(0) as u32);
    Some(pool.lend(id))
}

/// Copies the buffer that a completion named to the end of `to` and gives it back.
pub(crate) fn copy_completed(pool: &Rc<BufPool>, cqe: Cqe, to: &mut Vec<u8>) {
    if let Some(buffer) = lend_completed(pool, cqe) {
        to.extend_from_slice(&buffer);
    }
}

/// Makes an entry take its buffer from the pool.
pub(crate) fn select(sqe: &mut Sqe) {
    sqe.flags |= sqe_flags::BUFFER_SELECT;
    sqe.buf_index = GROUP;
}

/// Received bytes, in a buffer that belongs to the loop and goes back to it on drop.
///
/// It reads as a byte slice. Holding on to many of them costs the loop its buffers: when half of
/// the pool is lent out, further ones are copies on the heap.
pub struct RecvBuf {
    pool: Rc<BufPool>,
    /// The start of a buffer of the pool (lent), or of one on the heap (private), of the pool's
    /// buffer size or of `end` if that is larger; dangling if it is empty for good.
    base: NonNull<u8>,
    start: u32,
    end: u32,
}

impl RecvBuf {
    /// A buffer on the heap of the pool's size, for the kernel to fill.
    pub(crate) fn private(pool: &Rc<BufPool>) -> Self {
        Self::heap(pool, 0)
    }

    fn heap(pool: &Rc<BufPool>, end: u32) -> Self {
        let layout = Self::heap_layout(pool, end);
        // SAFETY: the layout is not empty. Zeroed, so that all of it may be read.
        let base = unsafe { alloc::alloc_zeroed(layout) };
        let Some(base) = NonNull::new(base) else { alloc::handle_alloc_error(layout) };
        RecvBuf { pool: pool.clone(), base, start: 0, end }
    }

    fn heap_layout(pool: &BufPool, end: u32) -> Layout {
        Layout::from_size_align(end.max(pool.size()) as usize, 1).expect("a u32 of bytes fits")
    }

    pub(crate) fn copied(pool: &Rc<BufPool>, bytes: &[u8]) -> Self {
        let buffer = Self::heap(pool, u32::try_from(bytes.len()).expect("less than 4 GiB"));
        // SAFETY: fresh heap memory of at least this length.
        unsafe { buffer.base.as_ptr().copy_from_nonoverlapping(bytes.as_ptr(), bytes.len()) };
        buffer
    }

    /// The end of the stream.
    pub(crate) fn empty(pool: &Rc<BufPool>) -> Self {
        RecvBuf { pool: pool.clone(), base: NonNull::dangling(), start: 0, end: 0 }
    }

    pub(crate) fn base(&self) -> *mut u8 {
        self.base.as_ptr()
    }

    pub(crate) fn capacity(&self) -> u32 {
        self.pool.size()
    }

    pub(crate) fn set_end(&mut self, end: u32) {
        debug_assert!(end <= self.capacity());
        self.end = end;
    }

    /// Gives up the first `count` bytes.
    ///
    /// # Panics
    ///
    /// If there are fewer.
    pub fn advance(&mut self, count: usize) {
        assert!(count <= self.len(), "advance past the end of a RecvBuf");
        self.start += count as u32;
    }

    /// Whether the bytes lie in a buffer of the loop, which others wait for.
    pub fn is_lent(&self) -> bool {
        self.pool.owns(self.base)
    }
}

impl Deref for RecvBuf {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: lent (written by the kernel up to `end`, and not touched by it until given
        // back) or on the heap and initialized; `start <= end <=` the size.
        unsafe {
            let start = self.base.as_ptr().add(self.start as usize);
            std::slice::from_raw_parts(start, (self.end - self.start) as usize)
        }
    }
}

impl AsRef<[u8]> for RecvBuf {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl Drop for RecvBuf {
    fn drop(&mut self) {
        if self.is_lent() {
            self.pool.lent.set(self.pool.lent.get() - 1);
            self.pool.give_back(self.pool.id(self.base));
        } else if self.base != NonNull::dangling() {
            // SAFETY: allocated by `heap` with this layout: `end` only shrinks below the pool's
            // size, where it doesn't matter.
            unsafe { alloc::dealloc(self.base(), Self::heap_layout(&self.pool, self.end)) };
        }
    }
}

impl fmt::Debug for RecvBuf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.is_lent() { "lent" } else { "private" };
        write!(f, "RecvBuf({kind}, {} bytes)", self.len())
    }
}

/// The pool of a driver, made when first asked for.
#[derive(Debug)]
pub(crate) struct Lazy {
    shape: Shape,
    pool: RefCell<Option<Rc<BufPool>>>,
}

impl Lazy {
    pub(crate) fn new(shape: Shape) -> Self {
        Lazy { shape, pool: RefCell::new(None) }
    }

    /// The pool; `register` hands its ring to the kernel when it is made.
    pub(crate) fn get(
        &self,
        register: impl FnOnce(u64, u16, u16) -> io::Result<()>,
    ) -> io::Result<Rc<BufPool>> {
        if let Some(pool) = &*self.pool.borrow() {
            return Ok(pool.clone());
        }
        let pool = Rc::new(BufPool::new(self.shape)?);
        register(pool.memory.start().as_ptr() as u64, self.shape.buffers, GROUP)?;
        (0..self.shape.buffers).for_each(|id| pool.give_back(id));
        *self.pool.borrow_mut() = Some(pool.clone());
        Ok(pool)
    }

    /// Buffers free and in all, if the pool was made.
    pub(crate) fn usage(&self) -> Option<(u16, u16)> {
        self.pool.borrow().as_ref().map(|pool| (pool.free(), pool.shape.buffers))
    }

    /// The ring is closed: the memory may go when the last `RecvBuf` does.
    pub(crate) fn release(&self) {
        self.pool.borrow_mut().take();
    }

    /// The kernel may still write: the memory stays for good.
    pub(crate) fn leak(&self) {
        std::mem::forget(self.pool.borrow_mut().take());
    }
}
