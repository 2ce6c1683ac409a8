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
//! Beside the claim words it holds a *diary* of the call that runs: marks (`diary.rs`) that say
//! when it was started and, of a chunk, how far it has come; the results of the items that are done
//! (on the *shelf*); and the panic under way (the *last words*). The parent reads the start at any
//! time, all else only when the worker is gone: so nobody writes meanwhile. What it reads there is
//! bytes of another process, and checked like those.

use std::io;
use std::num::NonZeroUsize;
use std::os::fd::{AsFd, OwnedFd};
use std::ptr::NonNull;
use std::time::Duration;

use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::mman::{MapFlags, ProtFlags, mmap, munmap};

use super::claim::Claim;
use super::diary::{Marks, Progress};
use super::ring::{self, Ring};
use super::sys;
use super::wire::{INLINE, ROOMY};

/// How many calls may be under way at one worker: the one it runs and those that wait in its
/// queue, so that it need not wait for the parent between two. As each can be taken back until the
/// worker has it, a long queue ties no job to its worker; and of short jobs so many are handed over
/// at a time.
pub(crate) const DEPTH: usize = 64;
/// Words of a ring.
const LINE: usize = 16 * 1024;
/// Words of a ring that only small frames may take. What is under way always has room: a call (and
/// its name) or an answer each, and the word to stop.
pub(super) const RESERVED: usize =
    DEPTH * (ring::words_of(INLINE) + ring::words_of(8 * NAME_WORDS)) + ring::words_of(0);
/// Words of payload of a call's name.
pub(super) const NAME_WORDS: usize = 2;
/// Calls to a worker, or answers from it.
pub(super) type Frames = Ring<LINE>;

/// Room for the results of a chunk, before they must be sent.
const SHELF: usize = 64 * 1024;
/// What is left of whole pages.
const SPARE: usize = (260 * 1024usize).saturating_sub(2 * size_of::<Frames>());
/// Room for last words.
const WORDS: usize = 16 * 1024 - size_of::<Layout>();

const SIZE: NonZeroUsize = NonZeroUsize::new(size_of::<Whole>()).expect("it is not empty");

/// All there is in the memory.
#[repr(C)]
struct Whole {
    layout: Layout,
    words: [u8; WORDS],
    shelf: [u8; SHELF],
    calls: Frames,
    answers: Frames,
    spare: [u8; SPARE],
}

#[repr(C)]
#[derive(Debug)]
struct Layout {
    claims: [Claim; DEPTH],
    marks: Marks,
}

/// What a worker left on its page about the chunk it ran.
#[derive(Debug)]
pub(crate) struct Diary {
    pub(crate) begun: u64,
    pub(crate) sent_off: u64,
    /// Records of results.
    pub(crate) shelf: Vec<u8>,
}

const _: () = assert!(cfg!(loom) || size_of::<Whole>() == 340 * 1024);
// As many of the larger ones as a map has under way at a worker, unless they are the largest.
const _: () = assert!(RESERVED + 2 * ring::words_of(ROOMY) <= LINE);

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
        // SAFETY: the mapping is page-aligned, larger than `Layout` and lives as long as `self`.
        // `Layout` is made of atomics, for which every bit pattern is valid and which the other
        // process, too, only changes atomically.
        unsafe { self.at.as_ref() }
    }

    /// The ring of the calls: the parent writes, the worker reads.
    pub(super) fn calls(&self) -> &Frames {
        self.frames(std::mem::offset_of!(Whole, calls))
    }

    /// The ring of the answers: the worker writes, the parent reads.
    pub(super) fn answers(&self) -> &Frames {
        self.frames(std::mem::offset_of!(Whole, answers))
    }

    fn frames(&self, at: usize) -> &Frames {
        // SAFETY: `at` is the offset of a `Frames` in `Whole`, which the mapping holds, aligned to
        // a page. It lives as long as `self`, and a ring is made of atomics only, as `Layout` is.
        unsafe { self.at.cast::<u8>().add(at).cast().as_ref() }
    }

    /// The word of the call `ticket`.
    pub(crate) fn claim(&self, ticket: u64) -> &Claim {
        &self.layout().claims[(ticket % DEPTH as u64) as usize]
    }

    /// Worker: takes a call to run it, and begins its diary. `false`: it was taken back.
    pub(crate) fn begin_call(&self, ticket: u64) -> bool {
        self.layout().marks.begin(self.claim(ticket), ticket, sys::monotonic())
    }

    /// Worker: an item whose time counts starts now.
    pub(crate) fn note_start(&self) {
        self.layout().marks.note_start(sys::monotonic());
    }

    /// Worker: so many items of the chunk have been begun.
    pub(crate) fn note_begun(&self, items: u64) {
        self.layout().marks.note_begun(items);
    }

    /// Worker: keeps the result of an item. `false`: there is no room for it.
    pub(crate) fn shelve(&self, record: &[u8]) -> bool {
        let shelf = std::mem::offset_of!(Whole, shelf);
        let write = |from| self.write(shelf + from, record);
        self.layout().marks.shelve(record.len(), SHELF, write)
    }

    /// Worker: all results so far, those of `items` items, have been sent.
    pub(crate) fn clear_shelf(&self, items: u64) {
        self.layout().marks.clear_shelf(items);
    }

    /// Worker: notes what may be its last words, as far as there is room.
    pub(crate) fn keep_words(&self, words: &[u8]) {
        if words.len() <= WORDS {
            self.write(std::mem::offset_of!(Whole, words), words);
            self.layout().marks.keep_words(words.len() as u64);
        }
    }

    /// Worker: it has survived them.
    pub(crate) fn forget_words(&self) {
        self.layout().marks.keep_words(0);
    }

    /// Parent, when the worker is gone: what became of the chunk it ran.
    pub(crate) fn diary(&self) -> Diary {
        let Progress { begun, sent_off, shelved } = self.layout().marks.progress();
        let shelf = self.read(std::mem::offset_of!(Whole, shelf), (shelved as usize).min(SHELF));
        Diary { begun, sent_off, shelf }
    }

    /// Parent, when the worker is gone: its last words.
    pub(crate) fn last_words(&self) -> Vec<u8> {
        let length = (self.layout().marks.words() as usize).min(WORDS);
        self.read(std::mem::offset_of!(Whole, words), length)
    }

    fn write(&self, at: usize, bytes: &[u8]) {
        assert!(bytes.len() <= SIZE.get() - at, "what is written was measured");
        // SAFETY: the range lies within the mapping (checked above), behind the words that others
        // look at. Only this thread of this process writes there; the parent reads when this
        // process is gone. `bytes` is memory of our own, so the two do not overlap.
        unsafe {
            let to = self.at.cast::<u8>().add(at);
            to.as_ptr().copy_from_nonoverlapping(bytes.as_ptr(), bytes.len());
        }
    }

    fn read(&self, at: usize, length: usize) -> Vec<u8> {
        assert!(length <= SIZE.get() - at, "what is read was measured");
        let mut bytes = vec![0; length];
        // SAFETY: the range lies within the mapping (checked above). The worker, the only other
        // process that has the page, has ended, and this process never writes there. `bytes` is
        // memory of our own.
        unsafe {
            let from = self.at.cast::<u8>().add(at);
            bytes.as_mut_ptr().copy_from_nonoverlapping(from.as_ptr(), length);
        }
        bytes
    }

    /// Parent: for how long the call that was claimed has been running.
    pub(crate) fn running_for(&self) -> Duration {
        self.layout().marks.running_for(sys::monotonic())
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
    fn results_wait_on_the_shelf_until_it_is_full() {
        let (parent, memory) = Page::create().unwrap();
        let worker = Page::map(&memory).unwrap();
        parent.claim(4).offer(4);
        assert!(worker.begin_call(4));
        assert!(worker.shelve(&[7; 60_000]));
        worker.note_begun(2);
        assert!(!worker.shelve(&[8; 10_000]));
        assert!(worker.shelve(&[9; 3]));
        let diary = parent.diary();
        assert_eq!((diary.begun, diary.sent_off, diary.shelf.len()), (2, 0, 60_003));
        assert_eq!((diary.shelf[59_999], diary.shelf[60_000]), (7, 9));
        worker.clear_shelf(2);
        assert_eq!((parent.diary().sent_off, parent.diary().shelf.len()), (2, 0));
        worker.keep_words(b"alas");
        assert_eq!(parent.last_words(), b"alas");
        worker.keep_words(&[0; WORDS + 1]);
        assert!(!worker.begin_call(5), "nobody offered it");
        assert_eq!(parent.last_words(), b"");
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
