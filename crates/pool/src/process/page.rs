//! The page of memory a parent shares with one worker.
//!
//! # Life
//!
//! The parent makes it as a memfd sealed against any change of size (a worker that shrank it could
//! make the parent fault), maps it, and sends the descriptor to the worker with the first frame;
//! then nobody needs the descriptor any more. Each worker has its own page and no other process
//! maps it, so a dying or confused worker can spoil nothing but its own calls. It holds atomics
//! only: both sides may look at any time, whatever state the other is in. Each side's mapping goes
//! with its last `Page`; the kernel frees the memory with the second mapping.
//!
//! Beside the claim words it holds a *diary* of the call that runs: when it was started, and in a
//! chunk which item was begun last. The worker writes it before it claims the call and before each
//! item, so whoever has seen the claim reads this call's diary or a later one's.

use std::io;
use std::num::NonZeroUsize;
use std::os::fd::{AsFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering};

use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::mman::{MapFlags, ProtFlags, mmap, munmap};
use std::time::Duration;

use super::claim::Claim;
use super::sys;

/// How many calls may be under way at one worker: the one it runs and those that wait in its
/// queue, so that it need not wait for the parent between two.
pub(crate) const DEPTH: usize = 16;

const SIZE: NonZeroUsize = NonZeroUsize::new(4096).expect("4096 is not 0");

#[repr(C)]
#[derive(Debug)]
struct Layout {
    claims: [Claim; DEPTH],
    /// When the call, or in a chunk the item, was started: nanoseconds of the monotonic clock.
    started: AtomicU64,
}

const _: () = assert!(size_of::<Layout>() <= SIZE.get());

#[derive(Debug)]
pub(crate) struct Page {
    at: NonNull<Layout>,
}

// SAFETY: the mapping belongs to no thread, stays in place until the last owner drops the `Page`,
// and is reached through shared references to atomics only.
unsafe impl Send for Page {}
// SAFETY: as above.
unsafe impl Sync for Page {}

impl Page {
    /// Parent: a new page, all zero, and the descriptor to send to the worker.
    pub(crate) fn create() -> io::Result<(Page, OwnedFd)> {
        let flags = MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING;
        let memory = memfd_create(c"pool-worker", flags)?;
        nix::unistd::ftruncate(&memory, SIZE.get() as i64)?;
        let seals = SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_GROW | SealFlag::F_SEAL_SEAL;
        fcntl(memory.as_fd(), FcntlArg::F_ADD_SEALS(seals))?;
        Ok((Page::map(&memory)?, memory))
    }

    /// Maps a page, after a check that it has the size and the seals of one.
    pub(crate) fn map(memory: &OwnedFd) -> io::Result<Page> {
        let seals = SealFlag::from_bits_retain(fcntl(memory.as_fd(), FcntlArg::F_GET_SEALS)?);
        let size = nix::sys::stat::fstat(memory)?.st_size;
        if !seals.contains(SealFlag::F_SEAL_SHRINK) || size != SIZE.get() as i64 {
            return Err(io::Error::other("mapping the shared page: it is not a sealed page"));
        }
        let access = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        // SAFETY: a new mapping at an address of the kernel's choice overlaps nothing. The file
        // has the mapped size and is sealed against shrinking, so access never faults.
        let at = unsafe { mmap(None, SIZE, access, MapFlags::MAP_SHARED, memory, 0) }?;
        Ok(Page { at: at.cast() })
    }

    fn layout(&self) -> &Layout {
        // SAFETY: the mapping is page-aligned, as large as `Layout` and lives as long as `self`.
        // `Layout` is made of atomics, for which every bit pattern is valid and which the other
        // process, too, only changes atomically.
        unsafe { self.at.as_ref() }
    }

    /// The word of the call `ticket`.
    pub(crate) fn claim(&self, ticket: u64) -> &Claim {
        &self.layout().claims[(ticket % DEPTH as u64) as usize]
    }

    /// Worker: notes that a call or an item is begun now. Before the claim, whose release makes it
    /// seen.
    pub(crate) fn note_start(&self) {
        self.layout().started.store(sys::monotonic(), Ordering::Release);
    }

    /// Parent: for how long the call that was claimed has been running.
    pub(crate) fn running_for(&self) -> Duration {
        let started = self.layout().started.load(Ordering::Acquire);
        Duration::from_nanos(sys::monotonic().saturating_sub(started))
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        // SAFETY: the mapping was made by `map` with this size, and no reference into it outlives
        // `self`.
        let unmapped = unsafe { munmap(self.at.cast(), SIZE.get()) };
        debug_assert!(unmapped.is_ok(), "unmapping a whole mapping of our own cannot fail");
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn two_mappings_see_the_same_words() {
        let (parent, memory) = Page::create().unwrap();
        let worker = Page::map(&memory).unwrap();
        drop(memory);
        parent.claim(3).offer(3);
        assert!(worker.claim(3).claim(3));
        assert!(!parent.claim(3).recall(3));
        assert!(parent.claim(3).is_claimed(3));
    }

    #[test]
    fn a_page_cannot_be_shrunk_and_an_unsealed_file_is_refused() {
        let (_page, memory) = Page::create().unwrap();
        assert!(nix::unistd::ftruncate(&memory, 0).is_err());
        let plain = memfd_create(c"plain", MFdFlags::MFD_CLOEXEC).unwrap();
        nix::unistd::ftruncate(&plain, SIZE.get() as i64).unwrap();
        assert!(Page::map(&plain).is_err());
    }
}
