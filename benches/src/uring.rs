//! A ring and its provided buffers with nothing on top: what the floor and the load maker stand on.
//!
//! Not a runtime: the caller writes entries and reads completions itself.
//!
//! Facts: io_uring_setup(2), io_uring_register_buf_ring(3), io_uring_provided_buffers(7).

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::io;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU16, Ordering};

use io_uring::types::BufRingEntry;
use io_uring::{CompletionQueue, IoUring, SubmissionQueue, Submitter, squeue};

const PAGE: usize = 4096;
const HUGE: usize = 2 << 20;

/// A ring with every flag a single-threaded loop gains from.
///
/// # Errors
///
/// When the kernel refuses the set-up (before 6.6, seccomp, `kernel.io_uring_disabled`).
pub fn build(entries: u32, completions: u32) -> io::Result<IoUring> {
    let ring = IoUring::builder()
        .setup_r_disabled()
        .setup_single_issuer()
        .setup_defer_taskrun()
        .setup_taskrun_flag()
        .setup_no_sqarray()
        .setup_submit_all()
        .setup_clamp()
        .setup_cqsize(completions)
        .build(entries)
        .map_err(|e| {
            io::Error::new(
                e.kind(),
                format!(
                    "setting up io_uring: {e} (needs Linux 6.6 and kernel.io_uring_disabled=0)"
                ),
            )
        })?;
    ring.submitter().register_enable_rings()?;
    Ok(ring)
}

/// The three parts of one ring, with its descriptor registered: one `enter` costs no `fdget`.
#[allow(missing_debug_implementations, reason = "its parts have none")]
pub struct Parts<'ring> {
    /// Calls the kernel. The registered descriptor is known to this value only.
    pub submitter: Submitter<'ring>,
    queue: SubmissionQueue<'ring>,
    /// What is done. `sync` it before reading.
    pub done: CompletionQueue<'ring>,
}

impl<'ring> Parts<'ring> {
    /// Splits a ring that the calling thread will drive from now on.
    ///
    /// # Errors
    ///
    /// When the ring's descriptor cannot be registered.
    pub fn new(ring: &'ring mut IoUring) -> io::Result<Self> {
        let (mut submitter, queue, done) = ring.split();
        submitter.register_ring_fd()?;
        Ok(Self { submitter, queue, done })
    }

    /// Queues one entry, submitting first when the queue is full.
    ///
    /// # Safety
    ///
    /// What the entry points at must stay valid and unmoved until its last completion.
    ///
    /// # Errors
    ///
    /// When making room fails.
    #[inline]
    pub unsafe fn push(&mut self, entry: &squeue::Entry) -> io::Result<()> {
        loop {
            // SAFETY: the caller's promise is the one `push` asks for.
            if unsafe { self.queue.push(entry) }.is_ok() {
                return Ok(());
            }
            self.queue.sync();
            self.submitter.submit()?;
            self.queue.sync();
        }
    }

    /// Submits what is queued, waits until `want` completions are there, and shows them in `done`.
    ///
    /// # Errors
    ///
    /// Only what a retry cannot mend: EINTR, EAGAIN and EBUSY count as an empty turn.
    #[inline]
    pub fn enter(&mut self, want: usize) -> io::Result<()> {
        self.queue.sync();
        match self.submitter.submit_and_wait(want) {
            Ok(_) => {}
            Err(e)
                if matches!(e.raw_os_error(), Some(libc::EINTR | libc::EAGAIN | libc::EBUSY)) => {}
            Err(e) => return Err(e),
        }
        self.queue.sync();
        self.done.sync();
        Ok(())
    }

    /// As [`Parts::enter`], but never sleeps: spins on the shared flag that says the kernel has
    /// deferred work for us, and gives up after `limit` looks.
    ///
    /// Looking at the completion queue would not do: with DEFER_TASKRUN nothing is written there
    /// until we enter.
    ///
    /// # Errors
    ///
    /// As [`Parts::enter`].
    #[inline]
    pub fn spin(&mut self, limit: u32) -> io::Result<()> {
        self.queue.sync();
        let mut left = limit;
        while self.queue.is_empty() && !self.queue.taskrun() && left > 0 {
            std::hint::spin_loop();
            left -= 1;
        }
        self.enter(0)
    }
}

impl Drop for Parts<'_> {
    /// A thread has room for 16 registered rings, and one that stays registered is not closed.
    fn drop(&mut self) {
        // Nothing can be done about a failure, and nothing depends on it.
        let _ = self.submitter.unregister_ring_fd();
    }
}

/// Buffers the kernel picks from, and the ring that tells it which are free.
///
/// Life story of one buffer: *published* (the kernel owns it) from [`Buffers::give`] until a
/// completion names it; then *lent* (we own it) until it is given again. Dropping `Buffers` frees
/// the memory, which is why [`Buffers::register`] makes its caller promise to close the ring first.
#[derive(Debug)]
pub struct Buffers {
    entries: NonNull<BufRingEntry>,
    memory: NonNull<u8>,
    tail: u16,
    count: u16,
    size: usize,
    stride: usize,
}

impl Buffers {
    /// `count` buffers (a power of two) of `size` bytes, not yet registered.
    ///
    /// # Panics
    ///
    /// When `count` is not a power of two up to 32768.
    #[must_use]
    pub fn new(count: u16, size: usize) -> Self {
        assert!(count.is_power_of_two() && count <= 32768, "the kernel wants a power of two");
        // One cache line more than the size: equal offsets in neighbours then fall into different
        // cache sets, or a few hot lines of each would fight over the same ones.
        let stride = size + 64;
        let entries = allocate::<BufRingEntry>(Self::ring_layout(count));
        let memory = allocate::<u8>(Self::memory_layout(count, stride));
        // SAFETY: the range is ours; the advice is a hint and its failure changes nothing.
        unsafe {
            libc::madvise(memory.as_ptr().cast(), count as usize * stride, libc::MADV_HUGEPAGE);
        }
        Self { entries, memory, tail: 0, count, size, stride }
    }

    /// Registers the buffers as group `group` and publishes them all.
    ///
    /// # Safety
    ///
    /// `self` must be dropped after the ring is: the kernel writes to published buffers until then.
    /// Declaring it before the ring is enough.
    ///
    /// # Errors
    ///
    /// When the kernel refuses the registration.
    pub unsafe fn register(&mut self, submitter: &Submitter<'_>, group: u16) -> io::Result<()> {
        let address = self.entries.as_ptr() as u64;
        // SAFETY: the caller promises that the entries outlive the ring.
        unsafe { submitter.register_buf_ring_with_flags(address, self.count, group, 0)? };
        (0..self.count).for_each(|id| self.give(id));
        self.publish();
        Ok(())
    }

    fn ring_layout(count: u16) -> Layout {
        let bytes = count as usize * size_of::<BufRingEntry>();
        Layout::from_size_align(bytes, PAGE).expect("a ring of at most 512 KiB")
    }

    fn memory_layout(count: u16, stride: usize) -> Layout {
        let bytes = count as usize * stride;
        let align = if bytes >= HUGE { HUGE } else { PAGE };
        Layout::from_size_align(bytes, align).expect("a size the address space can hold")
    }

    /// Where buffer `id` begins.
    #[inline]
    #[must_use]
    pub fn address(&self, id: u16) -> *mut u8 {
        debug_assert!(id < self.count);
        // SAFETY: `id` is below `count`, so the offset stays inside the allocation.
        unsafe { self.memory.as_ptr().add(id as usize * self.stride) }
    }

    /// The first `length` bytes of a lent buffer.
    #[inline]
    #[must_use]
    pub fn lent(&self, id: u16, length: usize) -> &[u8] {
        assert!(length <= self.size);
        // SAFETY: inside the allocation, zeroed at start or written by the kernel, and the kernel
        // does not touch a lent buffer.
        unsafe { std::slice::from_raw_parts(self.address(id), length) }
    }

    /// Queues a lent buffer for the kernel; it sees it at the next [`Buffers::publish`].
    #[inline]
    pub fn give(&mut self, id: u16) {
        let slot = (self.tail & (self.count - 1)) as usize;
        let address = self.address(id) as u64;
        // SAFETY: `slot` is below `count`, and the slots from the published tail on are ours. The
        // setters leave the tail word, which overlays the first entry's last two bytes, alone.
        let entry = unsafe { &mut *self.entries.as_ptr().add(slot) };
        entry.set_addr(address);
        entry.set_len(self.size as u32);
        entry.set_bid(id);
        self.tail = self.tail.wrapping_add(1);
    }

    /// Shows the kernel every buffer given so far.
    #[inline]
    pub fn publish(&mut self) {
        // SAFETY: the base of a live ring; the tail is a u16 that only we write.
        let tail =
            unsafe { AtomicU16::from_ptr(BufRingEntry::tail(self.entries.as_ptr()).cast_mut()) };
        tail.store(self.tail, Ordering::Release);
    }

    /// How many buffers there are.
    #[must_use]
    pub fn count(&self) -> u16 {
        self.count
    }
}

impl Drop for Buffers {
    fn drop(&mut self) {
        // SAFETY: both came from `allocate` with the same layouts; the ring is closed by now.
        unsafe {
            dealloc(self.entries.as_ptr().cast(), Self::ring_layout(self.count));
            dealloc(self.memory.as_ptr(), Self::memory_layout(self.count, self.stride));
        }
    }
}

fn allocate<T>(layout: Layout) -> NonNull<T> {
    // SAFETY: every layout made above has a size above zero.
    let start = unsafe { alloc_zeroed(layout) };
    NonNull::new(start.cast()).unwrap_or_else(|| handle_alloc_error(layout))
}
