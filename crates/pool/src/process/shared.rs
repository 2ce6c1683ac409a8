//! Shared buffers: bytes that pass between processes without being copied.
//!
//! # Life
//!
//! A [`SharedBufMut`] is memory of one process: a memfd, sealed against any change of size, mapped
//! writable. `freeze` seals it against writing by anybody else and makes the mapping read-only;
//! from then on it is a [`SharedBuf`], which can be cloned and sent. Each process that gets it maps
//! it anew, and checks the seals before: nobody can shrink it (which would make readers fault), and
//! nobody who got it can write. Each `Memory` is unmapped with its last owner in that process; the
//! kernel frees the bytes when no process has a mapping or a descriptor any more, so a dying
//! process leaks nothing.
//!
//! On its way a buffer is its inode number in the encoded arguments or result, and its descriptor
//! beside them (`SCM_RIGHTS`). Between encoding and sending, and between receiving and decoding,
//! the descriptors lie in `PARCEL`, one for each thread.

use std::cell::RefCell;
use std::fmt;
use std::io;
use std::num::NonZeroUsize;
use std::ops::{Deref, DerefMut, RangeBounds};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::Arc;

use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::mman::{MapFlags, ProtFlags, mmap, mprotect, munmap};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de, ser};

/// Most buffers one call, or one answer, can carry: what unix(7) allows in one message is 253.
pub(super) const MOST: usize = 250;

thread_local! {
    /// What is being encoded on this thread, and what is being decoded. `None` outside of jobs.
    static PARCEL: RefCell<Parcel> = const {
        RefCell::new(Parcel { sending: None, received: Vec::new() })
    };
}

struct Parcel {
    sending: Option<Vec<Arc<Memory>>>,
    received: Vec<Arc<Memory>>,
}

/// Bytes shared between processes, on their way in: write them, then [`freeze`](Self::freeze).
///
/// # Examples
///
/// ```
/// use pool::{ProcessPool, SharedBuf, SharedBufMut};
///
/// fn brighten(image: SharedBuf) -> SharedBuf {
///     let mut brighter = SharedBufMut::new(image.len()).unwrap();
///     for (to, from) in brighter.iter_mut().zip(image.iter()) {
///         *to = from.saturating_add(16);
///     }
///     brighter.freeze().unwrap()
/// }
///
/// fn main() -> Result<(), Box<dyn std::error::Error>> {
///     pool::init();
///     let pool = ProcessPool::new()?;
///     let mut image = SharedBufMut::new(1 << 20)?;
///     image[7] = 100;
///     let image = image.freeze()?;
///     let brighter = pool.submit(brighten, (image.clone(),)).wait()?;
///     assert_eq!((image[7], brighter[7], brighter[8]), (100, 116, 16));
///     Ok(())
/// }
/// ```
pub struct SharedBufMut {
    memory: Memory,
}

/// Bytes shared between processes; read-only. Cloning and slicing copy nothing, nor does sending it
/// as part of a job's arguments or result: it travels as a descriptor. Made by
/// [`SharedBufMut::freeze`].
///
/// It can be in any type serde can encode. Encoding it for anything but a job of a process pool is
/// an error. One job can carry up to 250 buffers each way; of a map that is one chunk, so set
/// [`Map::chunk`](crate::Map::chunk) if items have some.
///
/// # Examples
///
/// ```
/// use pool::{ProcessPool, SharedBuf};
///
/// fn sum(part: SharedBuf) -> u64 {
///     part.iter().map(|byte| u64::from(*byte)).sum()
/// }
///
/// fn main() -> Result<(), Box<dyn std::error::Error>> {
///     pool::init();
///     let pool = ProcessPool::new()?;
///     let bytes = SharedBuf::copy_of(&[1; 1_000_000])?;
///     let halves = [bytes.slice(..500_000), bytes.slice(500_000..)]; // nothing is copied
///     let sums: Result<Vec<u64>, _> = pool.map(sum, halves).chunk(1).collect();
///     assert_eq!(sums?, [500_000, 500_000]);
///     Ok(())
/// }
/// ```
#[derive(Clone)]
pub struct SharedBuf {
    memory: Arc<Memory>,
    start: usize,
    length: usize,
}

/// A memfd and its mapping.
pub(crate) struct Memory {
    fd: OwnedFd,
    /// Which one it is, in all processes.
    inode: u64,
    /// Dangling if there are no bytes.
    at: NonNull<u8>,
    length: usize,
}

// SAFETY: the mapping belongs to no thread and stays in place until the last owner drops the
// `Memory`. It is written through `&mut SharedBufMut` only, its one owner then; afterwards it is
// read-only.
unsafe impl Send for Memory {}
// SAFETY: as above.
unsafe impl Sync for Memory {}

impl Memory {
    fn create(length: usize) -> io::Result<Memory> {
        let flags = MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING;
        let fd = memfd_create(c"pool-buffer", flags)?;
        let size = i64::try_from(length).map_err(|_| io::ErrorKind::InvalidInput)?;
        nix::unistd::ftruncate(&fd, size)?;
        let seals = SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_GROW;
        fcntl(fd.as_fd(), FcntlArg::F_ADD_SEALS(seals))?;
        Memory::map(fd, length, ProtFlags::PROT_READ | ProtFlags::PROT_WRITE)
    }

    /// A buffer another process sent.
    fn receive(fd: OwnedFd) -> io::Result<Memory> {
        let seals = SealFlag::from_bits_retain(fcntl(fd.as_fd(), FcntlArg::F_GET_SEALS)?);
        let needed = SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_FUTURE_WRITE;
        if !seals.contains(needed) {
            return Err(io::Error::other("a descriptor that came with a job is no shared buffer"));
        }
        let length = nix::sys::stat::fstat(&fd)?.st_size as usize;
        Memory::map(fd, length, ProtFlags::PROT_READ)
    }

    fn map(fd: OwnedFd, length: usize, access: ProtFlags) -> io::Result<Memory> {
        let inode = nix::sys::stat::fstat(&fd)?.st_ino;
        let at = match NonZeroUsize::new(length) {
            None => NonNull::dangling(),
            Some(size) => {
                // SAFETY: a new mapping at an address of the kernel's choice overlaps nothing. The
                // file has this size and is sealed against shrinking, so access never faults.
                unsafe { mmap(None, size, access, MapFlags::MAP_SHARED, &fd, 0) }?.cast()
            }
        };
        Ok(Memory { fd, inode, at, length })
    }

    fn bytes(&self) -> &[u8] {
        // SAFETY: the mapping has this length and lives as long as `self`. Nobody writes to it
        // while it is borrowed: before it is frozen its one owner would have to borrow it
        // exclusively; afterwards it is read-only here and sealed against new writable mappings
        // elsewhere.
        unsafe { std::slice::from_raw_parts(self.at.as_ptr(), self.length) }
    }

    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        if self.length > 0 {
            // SAFETY: the mapping was made by `map` with this length, and no reference into it
            // outlives `self`.
            let unmapped = unsafe { munmap(self.at.cast(), self.length) };
            debug_assert!(unmapped.is_ok(), "unmapping a whole mapping of our own cannot fail");
        }
    }
}

impl SharedBufMut {
    /// A buffer of so many bytes, all zero.
    ///
    /// # Errors
    ///
    /// What keeps the system from making it: too many descriptors, or no room for a mapping of this
    /// size. (Memory is taken as it is written to.)
    #[doc(alias = "alloc")]
    pub fn new(length: usize) -> io::Result<SharedBufMut> {
        let memory = Memory::create(length).map_err(|error| {
            io::Error::new(
                error.kind(),
                format!("making a shared buffer of {length} bytes: {error}"),
            )
        })?;
        Ok(SharedBufMut { memory })
    }

    /// No more writing; now it can be sent.
    ///
    /// # Errors
    ///
    /// If the kernel refuses to seal it (before Linux 5.1).
    pub fn freeze(self) -> io::Result<SharedBuf> {
        let intent = |error: nix::Error| {
            let error = io::Error::from(error);
            io::Error::new(error.kind(), format!("freezing a shared buffer: {error}"))
        };
        let memory = self.memory;
        let seals = SealFlag::F_SEAL_FUTURE_WRITE | SealFlag::F_SEAL_SEAL;
        fcntl(memory.fd.as_fd(), FcntlArg::F_ADD_SEALS(seals)).map_err(intent)?;
        if memory.length > 0 {
            // SAFETY: the range is the whole mapping, and nobody has a reference into it: it is
            // owned here.
            unsafe { mprotect(memory.at.cast(), memory.length, ProtFlags::PROT_READ) }
                .map_err(intent)?;
        }
        let length = memory.length;
        Ok(SharedBuf { memory: Arc::new(memory), start: 0, length })
    }
}

impl Deref for SharedBufMut {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.memory.bytes()
    }
}

impl DerefMut for SharedBufMut {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: the mapping has this length, is writable, and lives as long as `self`. This is
        // its only owner in this process, borrowed exclusively, and no other process has its
        // descriptor.
        unsafe { std::slice::from_raw_parts_mut(self.memory.at.as_ptr(), self.memory.length) }
    }
}

impl SharedBuf {
    /// A shared buffer with a copy of these bytes.
    ///
    /// # Errors
    ///
    /// As [`SharedBufMut::new`] and [`SharedBufMut::freeze`].
    #[doc(alias = "share")]
    pub fn copy_of(bytes: &[u8]) -> io::Result<SharedBuf> {
        let mut buffer = SharedBufMut::new(bytes.len())?;
        buffer.copy_from_slice(bytes);
        buffer.freeze()
    }

    /// A part of it, without copying.
    ///
    /// # Panics
    ///
    /// If the range is not within it.
    pub fn slice(&self, range: impl RangeBounds<usize>) -> SharedBuf {
        let bounds = (range.start_bound().cloned(), range.end_bound().cloned());
        // For the check of the bounds, and their sentence.
        let part = &self[..][bounds];
        let start = self.start + (part.as_ptr() as usize - self.as_ptr() as usize);
        SharedBuf { memory: Arc::clone(&self.memory), start, length: part.len() }
    }
}

impl Deref for SharedBuf {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.memory.bytes()[self.start..self.start + self.length]
    }
}

impl AsRef<[u8]> for SharedBuf {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl Serialize for SharedBuf {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        PARCEL.with_borrow_mut(|parcel| {
            let sending = parcel.sending.as_mut().ok_or_else(|| {
                ser::Error::custom("a shared buffer is encoded for jobs of process pools only")
            })?;
            if !sending.iter().any(|memory| Arc::ptr_eq(memory, &self.memory)) {
                if sending.len() == MOST {
                    return Err(ser::Error::custom(format_args!(
                        "more than {MOST} shared buffers for one job; of a map, set a smaller chunk"
                    )));
                }
                sending.push(Arc::clone(&self.memory));
            }
            Ok(())
        })?;
        (self.memory.inode, self.start as u64, self.length as u64).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for SharedBuf {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<SharedBuf, D::Error> {
        let (inode, start, length) = <(u64, u64, u64)>::deserialize(deserializer)?;
        let memory = PARCEL.with_borrow(|parcel| {
            parcel.received.iter().find(|memory| memory.inode == inode).cloned()
        });
        let memory =
            memory.ok_or_else(|| de::Error::custom("a shared buffer has not come along"))?;
        let whole = memory.length as u64;
        if start > whole || length > whole - start {
            return Err(de::Error::custom("a part of a shared buffer that is outside of it"));
        }
        Ok(SharedBuf { memory, start: start as usize, length: length as usize })
    }
}

/// Runs `encode`, and gives the buffers that what it encoded refers to.
pub(super) fn sending<T>(encode: impl FnOnce() -> T) -> (T, Vec<Arc<Memory>>) {
    let outer = PARCEL.with_borrow_mut(|parcel| parcel.sending.replace(Vec::new()));
    // Encoding does not unwind: `codec::append` catches.
    let value = encode();
    let sent = PARCEL.with_borrow_mut(|parcel| std::mem::replace(&mut parcel.sending, outer));
    (value, sent.unwrap_or_default())
}

/// Within `sending`: takes what has been encoded so far; it is sent now.
pub(super) fn take_sending() -> Vec<Arc<Memory>> {
    PARCEL.with_borrow_mut(|parcel| parcel.sending.as_mut().map(std::mem::take)).unwrap_or_default()
}

/// Within `sending`: whether something waits to be sent.
pub(super) fn is_sending_some() -> bool {
    PARCEL.with_borrow(|parcel| parcel.sending.as_ref().is_some_and(|sending| !sending.is_empty()))
}

/// Runs `decode` with the buffers that came along.
///
/// # Errors
///
/// If one of the descriptors cannot be mapped, or is something else.
pub(super) fn received<T>(fds: Vec<OwnedFd>, decode: impl FnOnce() -> T) -> io::Result<T> {
    if fds.is_empty() {
        return Ok(decode());
    }
    let memories: Result<Vec<_>, _> =
        fds.into_iter().map(|fd| Memory::receive(fd).map(Arc::new)).collect();
    let memories = memories?;
    let outer = PARCEL.with_borrow_mut(|parcel| std::mem::replace(&mut parcel.received, memories));
    // Decoding and jobs do not unwind: both are caught.
    let value = decode();
    let inner = PARCEL.with_borrow_mut(|parcel| std::mem::replace(&mut parcel.received, outer));
    drop(inner);
    Ok(value)
}

impl fmt::Debug for SharedBufMut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedBufMut").field("length", &self.memory.length).finish_non_exhaustive()
    }
}

impl fmt::Debug for SharedBuf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedBuf").field("length", &self.length).finish_non_exhaustive()
    }
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Memory").field("fd", &self.fd).field("length", &self.length).finish()
    }
}

impl PartialEq for SharedBuf {
    fn eq(&self, other: &SharedBuf) -> bool {
        **self == **other
    }
}

impl Eq for SharedBuf {}
