//! Groups of provided buffers: the kernel's half of `struct io_uring_buf_ring`. `bufpool.rs` has
//! the other half and the protocol; both run on one thread here.

use super::Errno;
use crate::sys::calls;

/// The most entries a ring of buffers may have (io_uring_register_buf_ring(3)).
const MOST_ENTRIES: u16 = 1 << 15;
const PAGE: u64 = 4096;

#[derive(Debug)]
struct Group {
    name: u16,
    ring: u64,
    entries: u16,
    /// The next entry to take.
    head: u16,
}

/// A provided buffer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Buffer {
    pub(super) address: u64,
    pub(super) length: u32,
    pub(super) id: u16,
}

#[derive(Debug, Default)]
pub(super) struct Groups(Vec<Group>);

impl Groups {
    /// # Safety
    ///
    /// `ring` is memory of `entries` descriptors, changed by this thread alone, and it and the
    /// buffers put into it stay mapped as long as this is used.
    pub(super) unsafe fn register(
        &mut self,
        ring: u64,
        entries: u16,
        name: u16,
    ) -> Result<(), Errno> {
        let bad = ring == 0 || !ring.is_multiple_of(PAGE);
        if bad || !entries.is_power_of_two() || entries > MOST_ENTRIES {
            return Err(libc::EINVAL);
        }
        if self.0.iter().any(|group| group.name == name) {
            return Err(libc::EEXIST);
        }
        self.0.push(Group { name, ring, entries, head: 0 });
        Ok(())
    }

    fn group(&mut self, name: u16) -> Option<&mut Group> {
        self.0.iter_mut().find(|group| group.name == name)
    }

    /// The buffer that would be taken next.
    pub(super) fn next(&mut self, name: u16) -> Option<Buffer> {
        let group = self.group(name)?;
        // SAFETY: the promise of `register`.
        let tail = unsafe { calls::provided_tail(group.ring) };
        if tail == group.head {
            return None;
        }
        let index = group.head & (group.entries - 1);
        // SAFETY: the promise of `register`; the index is below the number of entries.
        let (address, length, id) = unsafe { calls::provided(group.ring, index) };
        Some(Buffer { address, length, id })
    }

    /// Takes it: it is the driver's again, which finds it by its id in a completion.
    pub(super) fn take(&mut self, name: u16) {
        if let Some(group) = self.group(name) {
            group.head = group.head.wrapping_add(1);
        }
    }
}
