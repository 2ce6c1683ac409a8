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
/// At most so many bytes are kept per class.
const KEPT: usize = 64 << 10;

/// The layout that cells like `layout` are allocated with, and their class if they have one.
fn class(layout: Layout) -> (Layout, Option<usize>) {
    let class = (layout.size() + MALLOC_HEADER).div_ceil(GRAIN);
    if class >= CLASSES || layout.align() > GRAIN {
        return (layout, None);
    }
    (layout_of(class), Some(class))
}

fn layout_of(class: usize) -> Layout {
    Layout::from_size_align(class * GRAIN - MALLOC_HEADER, GRAIN).expect("less than 1 KiB")
}

/// Frees a cell to the global allocator.
///
/// # Safety
///
/// `cell` was allocated by [`Cache::allocate`] with this layout and is not used again.
pub(super) unsafe fn free(cell: NonNull<u8>, layout: Layout) {
    // SAFETY: the caller's promise; `allocate` used the same class.
    unsafe { alloc::dealloc(cell.as_ptr(), class(layout).0) };
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
    pub(super) fn allocate(&self, layout: Layout) -> NonNull<u8> {
        let (rounded, class) = class(layout);
        if let Some(class) = class {
            // SAFETY: what a list points to is a freed cell with a `Free` in it (`keep`).
            if let Some(free) = unsafe { self.lists[class].get().as_mut() } {
                self.lists[class].set(free.0);
                self.counts[class].set(self.counts[class].get() - 1);
                return NonNull::from(free).cast();
            }
        }
        // SAFETY: a task's cell has a header, so the size is not 0.
        let cell = unsafe { alloc::alloc(rounded) };
        NonNull::new(cell).unwrap_or_else(|| alloc::handle_alloc_error(rounded))
    }

    /// Keeps a cell, or frees it if enough are kept.
    ///
    /// # Safety
    ///
    /// As [`free`].
    pub(super) unsafe fn keep(&self, cell: NonNull<u8>, layout: Layout) {
        let Some(class) = class(layout).1 else {
            // SAFETY: handed on.
            return unsafe { free(cell, layout) };
        };
        let count = self.counts[class].get();
        if count as usize * class * GRAIN >= KEPT {
            // SAFETY: handed on.
            return unsafe { free(cell, layout) };
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
