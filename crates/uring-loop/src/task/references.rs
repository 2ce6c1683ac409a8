//! References to a task, and what goes with the last of them. `raw.rs` has the life story.

use std::ptr::NonNull;

use super::cache;
use super::callbacks;
use super::raw::{Header, drop_output};
use super::state::flags;
use crate::context;
use crate::turn::Core;

/// The handle goes: drops an output that nobody can take any more, and its reference.
///
/// # Safety
///
/// The caller gives up the handle's local reference, on the task's thread.
#[inline]
pub(super) unsafe fn release_handle(header: NonNull<Header>) {
    // SAFETY: we still hold the reference.
    let this = unsafe { header.as_ref() };
    this.join.detach();
    // Once the output is taken, there is neither a waker nor anything that a callback waits for.
    if this.has(flags::TAKEN) {
        this.clear(flags::HANDLE);
    } else {
        release_untaken(this, header);
    }
    // SAFETY: ours to give up.
    unsafe { release_local(this) };
}

/// The handle of a task goes, and nobody has taken the output.
#[inline(never)]
fn release_untaken(this: &Header, header: NonNull<Header>) {
    this.join.waker.set(None);
    this.clear(flags::HANDLE);
    if this.has(flags::COMPLETE) && !callbacks::any(this) {
        drop_output(this, header);
    }
}

/// Gives up a local reference.
///
/// # Safety
///
/// The caller has one, and is on the task's thread.
#[inline]
pub(crate) unsafe fn release_local(header: &Header) {
    let left = header.local_references.get() - 1;
    header.local_references.set(left);
    if left == 0 {
        // SAFETY: the last of them.
        unsafe { release_last_local(header) };
    }
}

/// # Safety
///
/// The caller gave up the last local reference, on the task's thread.
unsafe fn release_last_local(header: &Header) {
    debug_assert!(header.has(flags::COMPLETE) && header.has(flags::TAKEN));
    debug_assert!(header.join.waker.take().is_none(), "whoever ended the task woke it");
    if header.has(flags::EXTRAS) {
        let remove = |core: &Core| core.tasks.extras.remove(header);
        drop(context::with_loop(header.node.loop_id, remove));
    }
    // SAFETY: the local references' share in `shared` is given up with the last of them.
    unsafe { release_shared(header) };
}

/// Gives up a reference counted in `shared`.
///
/// # Safety
///
/// The caller has one and does not use the header again.
pub(super) unsafe fn release_shared(header: *const Header) {
    // SAFETY: alive until our reference is given up.
    let this = unsafe { &*header };
    if this.shared.release() {
        let (room, loop_id) = (this.vtable.room, this.node.loop_id);
        let cell = NonNull::from(this).cast();
        // SAFETY: the last reference, so nobody looks again. The stage holds neither future nor
        // output (`finish`, `drop_output`), and the header's fields own nothing but a waker slot
        // that the handle emptied. Allocated by a cache, with this room.
        let kept = loop_id == context::loop_id()
            && context::with_core(|core| unsafe { core.tasks.cache.keep(cell, room) }).is_some();
        if !kept {
            // SAFETY: as above.
            unsafe { cache::free(cell, room) };
        }
    }
}
