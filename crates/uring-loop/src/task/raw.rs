//! The task cell: one allocation with a header, the future, and later its output.
//!
//! # Life story
//!
//! | state | who owns what |
//! |---|---|
//! | *waiting* | The loop's list of tasks owns the cell by one local reference. The future is in it. Wakers hold references, the `Task` handle holds a local one. |
//! | *scheduled* | As waiting, and the run queue points to the cell. It holds no reference: a task that completes while it is scheduled keeps the loop's until it is popped (`RELEASE_ON_POP`). |
//! | *running* | The loop polls the future. Nothing frees the cell: the loop's reference stands. |
//! | *complete* | The future is gone. The output is in the cell until the handle takes or drops it; without a handle it was dropped at once; either comes after the callbacks (`callbacks.rs`). The loop's reference is gone, wakers do nothing. |
//!
//! All *local* references (loop, handle, local wakers) are counted in a plain cell and together
//! hold one reference in [`Shared`]; each `Waker` clone holds one there. The future and the output
//! are touched only by the loop's thread, the header's `node` and `shared` by all.
//!
//! *Dropping*: a loop that is dropped completes every task as cancelled, which drops the futures.
//! Memory is freed by whoever drops the last reference, on any thread.

mod output;
mod step;

use std::alloc::Layout;
use std::cell::{Cell, UnsafeCell};
use std::future::Future;
use std::mem::{ManuallyDrop, offset_of};
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::pin::Pin;
use std::ptr::{self, NonNull};
use std::task::{Context, Poll, RawWaker, Waker};

use super::JoinError;
use super::cache::{Cache, Room};
use super::door::Door;
use super::failure::{Failure, error_in};
use super::inbox::Node;
use super::state::{Shared, flags};
use crate::cancel::{Children, Link, LinkKind};
use crate::context;
use crate::wake::TASK_WAKER;
pub(super) use output::{drop_output, output, report_failure, take_output};
pub(super) use step::{abort, discard, hand_over, step, step_asked};

/// What every task has, whatever its future.
#[repr(C)]
pub(crate) struct Header {
    // Touched by any thread.
    pub(crate) node: Node,
    pub(super) shared: Shared,
    // Touched by the loop's thread only.
    pub(super) local_references: Cell<u32>,
    pub(super) vtable: &'static Vtable,
    pub(super) run_next: Cell<*const Header>,
    pub(super) owned_prev: Cell<*const Header>,
    pub(super) owned_next: Cell<*const Header>,
    /// The number of the loop's door.
    door: u32,
    /// Ahead of the flags, so that what begins as zeroes begins with `children`, aligned: a header
    /// is cleared in pieces of 16 bytes, and a word that lies in two of them is slow to read soon
    /// after.
    pub(super) cancels: Cell<u16>,
    flags: Cell<u16>,
    /// The scopes directly below the task.
    pub(crate) children: Children,
    /// The handle's place in the tree of the task that awaits it, with that task's waker.
    pub(super) join: Link,
    pub(crate) location: &'static Location<'static>,
}

pub(crate) struct Vtable {
    poll: unsafe fn(NonNull<Header>) -> Poll<()>,
    drop_future: unsafe fn(NonNull<Header>),
    /// Puts `Err(error)` where the output goes.
    store_error: unsafe fn(NonNull<Header>, JoinError),
    drop_output: unsafe fn(NonNull<Header>),
    /// Reports the failure that the output is.
    report: unsafe fn(NonNull<Header>),
    /// Where in the cell the output is, a `Result<T, JoinError>`: so many bytes from its start.
    output: usize,
    /// The memory of the cell.
    pub(super) room: &'static Room,
}

#[repr(C)]
union Stage<F: Future> {
    future: ManuallyDrop<F>,
    output: ManuallyDrop<Result<F::Output, JoinError>>,
}

#[repr(C)]
struct TaskCell<F: Future> {
    header: Header,
    stage: UnsafeCell<Stage<F>>,
}

impl<F: Future> TaskCell<F> {
    const VTABLE: Vtable = Vtable {
        poll: Self::poll,
        drop_future: Self::drop_future,
        store_error: Self::store_error,
        drop_output: Self::drop_output,
        report: Self::report,
        output: offset_of!(Self, stage),
        room: const { &Room::of(Layout::new::<Self>()) },
    };

    /// # Safety
    ///
    /// For this and the others: `header` is the head of a live `TaskCell<F>`, and this is the
    /// thread of its loop.
    unsafe fn stage(header: NonNull<Header>) -> *mut Stage<F> {
        // SAFETY: the caller's promise.
        unsafe { header.cast::<Self>().as_ref() }.stage.get()
    }

    /// Polls the future, which must be there. When it is ready, or has panicked, it is dropped
    /// and the output stands in its place.
    unsafe fn poll(header: NonNull<Header>) -> Poll<()> {
        // SAFETY: the header outlives the poll; the waker is not dropped, so no reference is
        // given up for it.
        let waker = ManuallyDrop::new(unsafe {
            Waker::from_raw(RawWaker::new(header.as_ptr().cast_const().cast(), &TASK_WAKER))
        });
        let poll = || {
            // SAFETY: the future is there (caller), in a heap cell that never moves: pinned.
            let future = unsafe { Pin::new_unchecked(&mut *(*Self::stage(header)).future) };
            future.poll(&mut Context::from_waker(&waker))
        };
        let polled = match mutant!("panic-not-caught") {
            true => Ok(poll()),
            false => catch_unwind(AssertUnwindSafe(poll)),
        };
        let output = match polled {
            Ok(Poll::Pending) => return Poll::Pending,
            Ok(Poll::Ready(value)) => Ok(value),
            Err(panic) => Err(JoinError::Panicked(panic)),
        };
        // SAFETY: the future is there, and from here on it isn't.
        let output = match catch_unwind(AssertUnwindSafe(|| unsafe { Self::drop_future(header) })) {
            Ok(()) => output,
            Err(panic) => Err(JoinError::Panicked(panic)),
        };
        // SAFETY: alive; flags are the loop thread's.
        let this = unsafe { header.as_ref() };
        if Self::failure(this, &output).is_some() {
            this.set(flags::FAILED);
        }
        // SAFETY: the place is free now.
        unsafe { (*Self::stage(header)).output = ManuallyDrop::new(output) };
        Poll::Ready(())
    }

    /// The part of an output that somebody should hear of.
    fn failure<'a>(
        header: &Header,
        output: &'a Result<F::Output, JoinError>,
    ) -> Option<Failure<'a>> {
        match output {
            Err(JoinError::Panicked(panic)) => Some(Failure::Panic(&**panic)),
            Ok(value) if header.has(flags::READER) => {
                // SAFETY: this is the type of the task's output.
                unsafe { error_in(header, NonNull::from(value).cast()) }.map(Failure::Error)
            }
            _ => None,
        }
    }

    unsafe fn report(header: NonNull<Header>) {
        // SAFETY: the caller promises that the output is there.
        let (this, output) = unsafe { (header.as_ref(), &(*Self::stage(header)).output) };
        if let Some(failure) = Self::failure(this, output) {
            failure.report(this);
        }
    }

    unsafe fn drop_future(header: NonNull<Header>) {
        if mutant!("future-never-dropped") {
            return;
        }
        // SAFETY: the caller promises that the future is there and never used again.
        unsafe { ManuallyDrop::drop(&mut (*Self::stage(header)).future) }
    }

    unsafe fn store_error(header: NonNull<Header>, error: JoinError) {
        // SAFETY: the caller promises that neither future nor output is there.
        unsafe { (*Self::stage(header)).output = ManuallyDrop::new(Err(error)) };
    }

    unsafe fn drop_output(header: NonNull<Header>) {
        // SAFETY: the caller promises that the output is there and never used again.
        unsafe { ManuallyDrop::drop(&mut (*Self::stage(header)).output) }
    }
}

/// What a new task needs to know of its loop.
pub(crate) struct Home {
    pub(crate) door: u32,
    pub(crate) loop_id: u32,
    pub(crate) id: u32,
    /// Those it begins with, besides `HANDLE`.
    pub(super) flags: u16,
}

/// Makes a cell with two local references: the loop's and the handle's.
///
/// # Safety
///
/// The future may borrow: the caller sees to it that the task is complete (its future dropped, its
/// output taken) before what it borrows is gone.
#[inline]
pub(super) unsafe fn allocate<F: Future>(
    future: F,
    home: impl FnOnce() -> Home,
    location: &'static Location<'static>,
    cache: &Cache,
) -> NonNull<Header> {
    let place = cache.allocate(const { TaskCell::<F>::VTABLE.room }).cast::<TaskCell<F>>();
    // Asked for now: what is known before a call has to be kept over it.
    let home = home();
    let cell = TaskCell {
        header: Header {
            node: Node::new(home.id, home.loop_id),
            shared: Shared::new(),
            local_references: Cell::new(2),
            vtable: const { &TaskCell::<F>::VTABLE },
            run_next: Cell::new(ptr::null()),
            owned_prev: Cell::new(ptr::null()),
            owned_next: Cell::new(ptr::null()),
            door: home.door,
            flags: Cell::new(flags::HANDLE | home.flags),
            cancels: Cell::new(0),
            children: Children::new(),
            join: Link::new(LinkKind::Join),
            location,
        },
        stage: UnsafeCell::new(Stage { future: ManuallyDrop::new(future) }),
    };
    // SAFETY: fresh room of this layout.
    unsafe { place.write(cell) };
    place.cast()
}

impl Header {
    pub(crate) fn has(&self, flag: u16) -> bool {
        self.flags.get() & flag != 0
    }

    pub(crate) fn set(&self, flag: u16) {
        self.flags.set(self.flags.get() | flag);
    }

    pub(super) fn clear(&self, flag: u16) {
        self.flags.set(self.flags.get() & !flag);
    }

    /// Clears the flag and tells whether it was set.
    pub(super) fn take(&self, flag: u16) -> bool {
        let was = self.has(flag);
        self.clear(flag);
        was
    }

    pub(super) fn is_complete(&self) -> bool {
        self.has(flags::COMPLETE)
    }

    /// The number of the reader of its output.
    pub(super) fn reader(&self) -> u16 {
        self.flags.get() >> flags::READER_SHIFT
    }

    pub(crate) fn retain_local(&self) {
        self.local_references.set(self.local_references.get() + 1);
    }

    /// Wakes the task, from its thread or another.
    #[inline]
    pub(crate) fn wake(&self) {
        if self.node.loop_id == context::loop_id() {
            context::with_core(|core| core.tasks.schedule(self));
        } else {
            self.wake_from_elsewhere();
        }
    }

    fn wake_from_elsewhere(&self) {
        if self.shared.wake() {
            let node = &raw const self.node;
            // SAFETY: the door has a reference now, so the node stays valid until it is taken;
            // `QUEUED` keeps it from being pushed twice.
            unsafe { Door::of(self.door).push(node.cast_mut()) };
        }
    }
}

/// The loop took the task from the door.
pub(super) fn unqueue(header: &Header) {
    header.shared.unqueue();
}

const _: () = assert!(offset_of!(Header, node) == 0);
