//! Groups of provided buffers: the kernel's half of `struct io_uring_buf_ring`.
//!
//! The driver writes entries and moves the tail; we take entries at the head. A buffer's bytes are
//! the kernel's from the moment the tail passes its entry until it is named in a completion, and
//! the driver's from then until it puts it back. A buffer that is put in twice would be lent to
//! two readers: that is a fault of the driver, and we panic.

use std::collections::{BTreeMap, BTreeSet};

use super::{Errno, memory};

/// Bytes of a `struct io_uring_buf`: address, length, id, reserved.
const ENTRY: usize = 16;

/// The most entries a ring of buffers may have (io_uring_register_buf_ring(3)).
const MOST_ENTRIES: u16 = 1 << 15;

const PAGE: u64 = 4096;

#[derive(Debug, Default)]
pub(super) struct Groups(BTreeMap<u16, Group>);

#[derive(Debug)]
struct Group {
    ring: u64,
    entries: u16,
    /// The next entry to take.
    head: u16,
    /// Entries before this one were looked at.
    seen: u16,
    /// Ids between head and seen.
    present: BTreeSet<u16>,
}

/// A provided buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Buffer {
    pub(super) address: u64,
    pub(super) length: u32,
    pub(super) id: u16,
}

impl Group {
    fn entry(&self, index: u16) -> Buffer {
        let place = u64::from(index & (self.entries - 1)) * ENTRY as u64;
        let bytes = memory::read(self.ring + place, ENTRY).expect("the ring is mapped");
        let word = |range: std::ops::Range<usize>| &bytes[range];
        Buffer {
            address: u64::from_ne_bytes(word(0..8).try_into().expect("eight bytes")),
            length: u32::from_ne_bytes(word(8..12).try_into().expect("four bytes")),
            id: u16::from_ne_bytes(word(12..14).try_into().expect("two bytes")),
        }
    }

    /// Looks at what was put in since the last time.
    fn refresh(&mut self, name: u16) {
        let tail = memory::buffer_ring_tail(self.ring);
        let count = tail.wrapping_sub(self.head);
        assert!(
            count <= self.entries,
            "group {name}: the tail ({tail}) is {count} before the head, of {} entries",
            self.entries
        );
        while self.seen != tail {
            let buffer = self.entry(self.seen);
            assert!(
                self.present.insert(buffer.id),
                "group {name}: buffer {} was put back although the kernel has it",
                buffer.id
            );
            self.seen = self.seen.wrapping_add(1);
        }
    }

    fn free(&self) -> u16 {
        self.seen.wrapping_sub(self.head)
    }
}

impl Groups {
    pub(super) fn register(&mut self, ring: u64, entries: u16, name: u16) -> Result<(), Errno> {
        if ring == 0 || !ring.is_multiple_of(PAGE) {
            return Err(libc::EINVAL);
        }
        if !entries.is_power_of_two() || entries > MOST_ENTRIES {
            return Err(libc::EINVAL);
        }
        if self.0.contains_key(&name) {
            return Err(libc::EEXIST);
        }
        let group = Group { ring, entries, head: 0, seen: 0, present: BTreeSet::new() };
        self.0.insert(name, group);
        Ok(())
    }

    /// The buffer that would be taken next.
    pub(super) fn peek(&mut self, name: u16) -> Option<Buffer> {
        let group = self.0.get_mut(&name)?;
        group.refresh(name);
        (group.free() > 0).then(|| group.entry(group.head))
    }

    /// Takes the buffer that `peek` showed: it is the driver's now.
    pub(super) fn take(&mut self, name: u16) -> Option<Buffer> {
        let buffer = self.peek(name)?;
        let group = self.0.get_mut(&name)?;
        group.head = group.head.wrapping_add(1);
        group.present.remove(&buffer.id);
        Some(buffer)
    }

    pub(super) fn free(&mut self, name: u16) -> Option<u16> {
        let group = self.0.get_mut(&name)?;
        group.refresh(name);
        Some(group.free())
    }

    /// Every buffer that is the kernel's at this moment.
    pub(super) fn all_free(&mut self) -> Vec<Buffer> {
        let mut buffers = Vec::new();
        for (name, group) in &mut self.0 {
            group.refresh(*name);
            buffers.extend((0..group.free()).map(|at| group.entry(group.head.wrapping_add(at))));
        }
        buffers
    }
}
