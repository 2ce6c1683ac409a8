//! Sealed memory that processes share.
//!
//! # Life story
//!
//! The supervisor makes a file in memory (memfd_create(2)), sealed against any change of its size,
//! and sends its descriptor to both sides, which map it and close the descriptor. A side that
//! shrank it could make the other fault: hence the seals, which who maps looks at first. The
//! mapping goes with its [`Memory`]; the kernel frees the pages with the last one. What the pages
//! hold is of nobody's concern here: they are atomics, and every bit pattern is valid.

use std::fmt;
use std::io;
use std::num::NonZeroUsize;
use std::os::fd::{AsFd, OwnedFd};
use std::ptr::NonNull;
use std::rc::Rc;
use std::sync::atomic::AtomicU64;

use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::mman::{MapFlags, ProtFlags, mmap, munmap};

use crate::wire::Words;

/// Nobody makes more; who says so is not believed.
const MOST: i64 = 1 << 30;

/// Memory of so many words, all zero, for two processes.
pub(crate) fn sealed(words: usize) -> io::Result<OwnedFd> {
    let flags = MFdFlags::MFD_ALLOW_SEALING | MFdFlags::MFD_CLOEXEC;
    let file = memfd_create(c"shard-link", flags)?;
    nix::unistd::ftruncate(&file, (words * 8) as i64)?;
    let seals = SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_GROW | SealFlag::F_SEAL_SEAL;
    fcntl(file.as_fd(), FcntlArg::F_ADD_SEALS(seals))?;
    Ok(file)
}

/// Such memory, mapped.
pub(crate) struct Memory {
    at: NonNull<AtomicU64>,
    bytes: NonZeroUsize,
}

impl Memory {
    /// Maps it, after a check that it is sealed.
    pub(crate) fn map(file: &OwnedFd) -> io::Result<Rc<Memory>> {
        let bad = |text| io::Error::new(io::ErrorKind::InvalidData, text);
        // A file that knows no seals (EINVAL) is none of ours.
        let seals = fcntl(file.as_fd(), FcntlArg::F_GET_SEALS).unwrap_or(0);
        if !SealFlag::from_bits_retain(seals).contains(SealFlag::F_SEAL_SHRINK) {
            return Err(bad("mapping shared memory: it is not sealed against shrinking"));
        }
        let size = nix::sys::stat::fstat(file)?.st_size;
        let bytes = usize::try_from(size).ok().filter(|_| size <= MOST && size % 8 == 0);
        let bytes = bytes.and_then(NonZeroUsize::new);
        let bytes = bytes.ok_or_else(|| bad("mapping shared memory: it has an odd size"))?;
        let access = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        // SAFETY: a new mapping at an address of the kernel's choice overlaps nothing. The file has
        // this size and is sealed against shrinking, so an access never faults.
        let at = unsafe { mmap(None, bytes, access, MapFlags::MAP_SHARED, file, 0) }?;
        Ok(Rc::new(Memory { at: at.cast(), bytes }))
    }

    fn slice(&self) -> &[AtomicU64] {
        // SAFETY: the mapping is aligned to pages, as long as said, and lives as long as `self`.
        // Atomics may be changed by others at any time, which other processes too do atomically as
        // far as the processor is concerned; every bit pattern is valid.
        unsafe { std::slice::from_raw_parts(self.at.as_ptr(), self.bytes.get() / 8) }
    }

    /// The address of the lower half of a word, for futex(2).
    pub(super) fn futex(&self, word: usize) -> u64 {
        let half = if cfg!(target_endian = "big") { 4 } else { 0 };
        &raw const self.slice()[word] as u64 + half
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: the mapping was made by `map` with this size; references into it end with `self`,
        // and operations of the kernel on it keep an `Rc` of it.
        let unmapped = unsafe { munmap(self.at.cast(), self.bytes.get()) };
        debug_assert!(unmapped.is_ok(), "unmapping a whole mapping of our own cannot fail");
    }
}

impl Words for Rc<Memory> {
    fn words(&self) -> &[AtomicU64] {
        self.slice()
    }
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Memory({} bytes)", self.bytes)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use super::*;

    #[test]
    fn two_mappings_see_the_same_words() {
        let file = sealed(1024).expect("made");
        let (one, other) = (Memory::map(&file).expect("one"), Memory::map(&file).expect("other"));
        drop(file);
        one.words()[1023].store(7, Ordering::Relaxed);
        assert_eq!(other.words()[1023].load(Ordering::Relaxed), 7);
        assert_eq!(other.words().len(), 1024);
    }

    #[test]
    fn memory_that_can_shrink_or_has_an_odd_size_is_refused() {
        let plain: OwnedFd = tempfile::tempfile().expect("made").into();
        assert!(Memory::map(&plain).is_err());
        let file = memfd_create(c"open", MFdFlags::MFD_ALLOW_SEALING).expect("made");
        nix::unistd::ftruncate(&file, 4096).expect("grown");
        assert!(Memory::map(&file).is_err());
        nix::unistd::ftruncate(&file, 4097).expect("grown");
        let seal = FcntlArg::F_ADD_SEALS(SealFlag::F_SEAL_SHRINK);
        fcntl(file.as_fd(), seal).expect("sealed");
        assert!(Memory::map(&file).is_err());
        let file = sealed(512).expect("made");
        assert!(nix::unistd::ftruncate(&file, 0).is_err());
    }
}
