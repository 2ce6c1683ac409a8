//! Memory of finished tasks, kept for the next ones.
//!
//! A spawn and the end of a task are so short that `malloc` and `free` would be half of them. Cells
//! are allocated in classes of 16 bytes (less 8, which `malloc` keeps for itself) from the global
//! allocator; a loop keeps freed ones in a list per class, up to a bound. Any thread may free a
//! cell to the global allocator instead, since that is where it came from.

use std::alloc::{self, Layout};
use std::cell::Cell;
use std::ptr::{self, NonNull};

const GRAIN: usize = 16;
/// What glibc's malloc puts before each block: a size of 16 n - 8 wastes nothing.
const MALLOC_HEADER: usize = 8;
const CLASSES: usize = 64;
/// At most so many bytes are kept per class: enough for a thousand small tasks that come and go at
/// once.
const KEPT: usize = 256 << 10;

/// The memory of one kind of cell.
#[derive(Debug)]
pub(super) struct Room {
    /// What it is allocated with: a whole class, if it has one.
    layout: Layout,
    /// `CLASSES` for cells that are too large to keep.
    class: usize,
    /// How many freed ones a loop keeps.
    most: u32,
}

impl Room {
    /// Room for cells of this layout.
    pub(super) const fn of(layout: Layout) -> Self {
        let class = (layout.size() + MALLOC_HEADER).div_ceil(GRAIN);
        if class >= CLASSES || layout.align() > GRAIN {
            return Room { layout, class: CLASSES, most: 0 };
        }
        Room { layout: layout_of(class), class, most: (KEPT / (class * GRAIN)) as u32 }
    }

    fn class(&self) -> Option<usize> {
        (self.class < CLASSES).then_some(self.class)
    }
}

const fn layout_of(class: usize) -> Layout {
    match Layout::from_size_align(class * GRAIN - MALLOC_HEADER, GRAIN) {
        Ok(layout) => layout,
        Err(_) => panic!("less than 1 KiB"),
    }
}

/// Frees a cell to the global allocator.
///
/// # Safety
///
/// `cell` was allocated by [`Cache::allocate`] with this room and is not used again.
pub(super) unsafe fn free(cell: NonNull<u8>, room: &Room) {
    if lost() {
        return;
    }
    // SAFETY: the caller's promise.
    unsafe { alloc::dealloc(cell.as_ptr(), room.layout) };
}

/// Whether memory is lost: that of small tasks too, which is seldom freed, but used again.
fn lost() -> bool {
    mutant!("task-memory-never-freed")
}

#[cold]
fn allocate_anew(room: &Room) -> NonNull<u8> {
    // SAFETY: a task's cell has a header, so the size is not 0.
    let cell = unsafe { alloc::alloc(room.layout) };
    NonNull::new(cell).unwrap_or_else(|| alloc::handle_alloc_error(room.layout))
}

/// A freed cell: a link to the next.
struct Free(*mut Free);

/// The freed cells of one loop.
#[derive(Debug)]
pub(crate) struct Cache {
    lists: [Cell<*mut Free>; CLASSES],
    counts: [Cell<u32>; CLASSES],
}

impl Cache {
    pub(super) fn new() -> Self {
        Cache {
            lists: [const { Cell::new(ptr::null_mut()) }; CLASSES],
            counts: [const { Cell::new(0) }; CLASSES],
        }
    }

    /// Room for a cell, a kept one if there is any.
    #[inline]
    pub(super) fn allocate(&self, room: &Room) -> NonNull<u8> {
        if let Some(class) = room.class() {
            // SAFETY: what a list points to is a freed cell with a `Free` in it (`keep`).
            if let Some(free) = unsafe { self.lists[class].get().as_mut() } {
                self.lists[class].set(free.0);
                self.counts[class].set(self.counts[class].get() - 1);
                return NonNull::from(free).cast();
            }
        }
        allocate_anew(room)
    }

    /// Keeps a cell, or frees it if enough are kept.
    ///
    /// # Safety
    ///
    /// As [`free`].
    #[inline]
    pub(super) unsafe fn keep(&self, cell: NonNull<u8>, room: &Room) {
        let Some(class) = room.class() else {
            // SAFETY: handed on.
            return unsafe { free(cell, room) };
        };
        if lost() {
            return;
        }
        let count = self.counts[class].get();
        if count >= room.most {
            // SAFETY: handed on.
            return unsafe { free(cell, room) };
        }
        let cell = cell.cast::<Free>();
        // SAFETY: the cell is ours, at least 16 bytes, aligned to 16.
        unsafe { cell.write(Free(self.lists[class].get())) };
        self.lists[class].set(cell.as_ptr());
        self.counts[class].set(count + 1);
    }
}

impl Drop for Cache {
    fn drop(&mut self) {
        for (class, list) in self.lists.iter().enumerate() {
            // SAFETY: as in `allocate`.
            while let Some(free) = unsafe { list.get().as_mut() } {
                list.set(free.0);
                // SAFETY: allocated with the layout of its class.
                unsafe { alloc::dealloc(ptr::from_mut(free).cast(), layout_of(class)) };
            }
        }
    }
}
