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
//! stream's queue, chained by its [`Record`]. *lent*: in a [`RecvBuf`], the user reads it. From
//! both it goes back to *free* by [`BufPool::give_back`]. The pool outlives the ring's use of it:
//! it is unmapped after the ring was closed with nothing in flight, or never.
//!
//! What one stream or one user may keep from the others is bounded: a stream nobody reads holds an
//! eighth of what is free, or [`HELD`] buffers, and copies the rest out; once users hold half of
//! the pool, they are given copies.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::io;
use std::rc::Rc;
use std::sync::atomic::{AtomicU16, Ordering};

use super::recvbuf::{Record, RecvBuf};
use super::ring::{Cqe, Sqe, sqe_flags};
use crate::sys::memory::Mapping;

/// The group the pool is registered as.
pub(crate) const GROUP: u16 = 0;

/// How many buffers a stream that nobody reads may hold in any case.
const HELD: u16 = 4;

/// It may hold this part of those that are free. The kernel completes a multishot receive up to 32
/// times before it looks at anything else (`MULTISHOT_MAX_RETRY` in io_uring/net.c), so a reader
/// that is quick finds so many. With 256 buffers, 28 are held.
const PART: u16 = 8;

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

/// The buffers of one loop.
pub(crate) struct BufPool {
    memory: Mapping,
    shape: Shape,
    tail: Cell<u16>,
    /// Not in the ring: held or lent.
    out: Cell<u16>,
    lent: Cell<u16>,
    /// One per buffer, and one for the end of a stream.
    records: Box<[Record]>,
}

impl BufPool {
    fn new(shape: Shape) -> io::Result<Self> {
        let entries = usize::from(shape.buffers);
        let memory = Mapping::new(Self::buffers_offset(shape) + entries * shape.stride())?;
        let start = memory.start();
        let buffer = |id| {
            let offset = Self::buffers_offset(shape) + id * shape.stride();
            // SAFETY: ids are below the number of buffers, which the mapping has room for.
            Record::of_pool(unsafe { start.add(offset) }, shape.size)
        };
        let records = (0..entries).map(buffer).chain([Record::end_of_stream()]).collect();
        let (tail, out, lent) = (Cell::new(0), Cell::new(shape.buffers), Cell::new(0));
        Ok(BufPool { memory, shape, tail, out, lent, records })
    }

    /// The ring of entries comes first, the buffers start on the page behind it.
    fn buffers_offset(shape: Shape) -> usize {
        (usize::from(shape.buffers) * size_of::<Entry>()).next_multiple_of(PAGE)
    }

    fn entry(&self, index: u16) -> *mut Entry {
        // SAFETY: the index is below the number of entries, which the mapping has room for.
        unsafe { self.memory.start().as_ptr().cast::<Entry>().add(usize::from(index)) }
    }

    fn record(&self, id: u16) -> &Record {
        &self.records[usize::from(id)]
    }

    /// What an empty buffer points to.
    pub(super) fn end_of_stream(&self) -> &Record {
        self.record(self.shape.buffers)
    }

    /// The id of a buffer by its record, which is one of this pool's.
    fn id(&self, record: &Record) -> u16 {
        let offset = (&raw const *record).addr() - self.records.as_ptr().addr();
        (offset / size_of::<Record>()) as u16
    }

    /// Bytes of each buffer.
    pub(crate) fn size(&self) -> u32 {
        self.shape.size
    }

    /// Buffers the kernel can use now.
    pub(crate) fn free(&self) -> u16 {
        self.shape.buffers - self.out.get()
    }

    /// How many a stream that nobody reads may hold.
    pub(crate) fn may_be_held(&self) -> u16 {
        (self.free() / PART).max(HELD)
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
        let buffer = self.record(id).base();
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
        self.record(id).fill(length);
    }

    /// Turns a held buffer into a lent one, or into a copy if buffers are scarce.
    fn lend(self: &Rc<Self>, id: u16) -> RecvBuf {
        let record = self.record(id);
        if self.scarce() {
            // SAFETY: held: the kernel has written the bytes and is done with the buffer.
            let copy = RecvBuf::copied(self, unsafe { record.bytes() });
            self.give_back(id);
            return copy;
        }
        self.lent.set(self.lent.get() + 1);
        // SAFETY: a record of this pool, whose buffer was held and is in no other `RecvBuf`.
        unsafe { RecvBuf::of_pool(self, record) }
    }

    /// A lent buffer comes back.
    pub(super) fn take_back(&self, record: &Record) {
        self.lent.set(self.lent.get() - 1);
        self.give_back(self.id(record));
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
            pool.record(self.last).next.set(id);
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
        self.first = pool.record(id).next.get();
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
