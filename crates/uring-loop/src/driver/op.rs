//! Operations: what one must promise, how it lives in its slot, and the future that waits for it.
//!
//! # What dropping does
//!
//! [`Submit`] holds the op until its first poll, then only a key. So moving, dropping and
//! `mem::forget`ting it are sound at any point:
//!
//! | dropped | the op |
//! |---|---|
//! | before the first poll | is dropped with the future; nothing was submitted |
//! | in flight | becomes an orphan: it and its buffers stay in the slot, a cancel is queued, and what it yields late is dropped |
//! | done, not yet taken | is completed now and the output dropped |
//! | taken | nothing is left |
//!
//! Forgotten in flight, it stays in its slot until it completes and is kept as *done* until the
//! driver goes, after the loop (a forgotten `Submit` keeps the driver, and so itself, for good).

use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use super::Driver;
use super::ring::{Cqe, Sqe};
use super::slab::{Key, Payload, Stages, Vtable};

/// An operation of io_uring that completes once.
///
/// Implement it to add an opcode that this crate doesn't have, and hand it to
/// [`Driver::submit`].
///
/// # Safety
///
/// * Every pointer that [`prepare`](Op::prepare) puts into the entry points to memory that stays
///   valid, and that nobody else touches in a way the kernel's use forbids, until
///   [`complete`](Op::complete) is called or forever: into `self`, which does not move
///   meanwhile, or to memory that `self` owns or keeps alive.
/// * A descriptor in the entry is open when `prepare` is called and is not closed before the entry
///   has been submitted; for entries that the kernel starts later (linked, drained, or handed to a
///   worker by `IOSQE_ASYNC`: it looks the descriptor up only then) not before `complete`.
///   Descriptors closed through this driver are closed in order behind it.
/// * The entry must not change the memory of this process in any other way (no registered
///   resources of others, no provided buffer group of this crate).
///
/// # Examples
///
/// An operation that this crate does not have, on a file that it owns:
///
/// ```
/// use std::fs::File;
/// use std::os::fd::AsRawFd;
/// use uring_loop::op::{Cqe, Driver, Op, Sqe};
///
/// /// `IORING_OP_FADVISE` (5.6): says that a file will be read soon.
/// struct WillNeed(File);
///
/// const OPCODE: u8 = 24;
///
/// // SAFETY: the entry has no pointer, and the file is open as long as `self`, which is until the
/// // operation completes.
/// unsafe impl Op for WillNeed {
///     type Output = std::io::Result<File>;
///
///     fn prepare(&mut self, sqe: &mut Sqe) {
///         sqe.opcode = OPCODE;
///         sqe.fd = self.0.as_raw_fd();
///         sqe.op_flags = 3; // POSIX_FADV_WILLNEED
///     }
///
///     fn complete(self, cqe: Cqe) -> Self::Output {
///         cqe.into_result().map(|_| self.0)
///     }
/// }
///
/// uring_loop::run(async {
///     let file = File::open("/proc/self/exe")?;
///     let file = Driver::current().submit(WillNeed(file)).await?;
///     assert!(file.metadata()?.len() > 0);
///     Ok::<(), std::io::Error>(())
/// })?
/// # ; Ok::<(), std::io::Error>(())
/// ```
pub unsafe trait Op: 'static {
    /// What comes out of it.
    type Output;

    /// Whether a virtual clock must wait for it. False for what may wait for ever, as a read
    /// from a socket does.
    const HOLDS_CLOCK: bool = true;

    /// Fills in the entry, which is all zeroes. The driver sets `user_data`.
    fn prepare(&mut self, sqe: &mut Sqe);

    /// Turns the terminal completion into the output. An orphan's output is dropped, so a
    /// descriptor belongs into an owning type.
    fn complete(self, cqe: Cqe) -> Self::Output;
}

/// An operation that completes many times, each time with an item.
///
/// # Safety
///
/// As for [`Op`], where "`complete`" is the call of [`item`](MultishotOp::item) with a completion
/// without `F_MORE`.
pub(crate) unsafe trait MultishotOp: 'static {
    type Item;

    fn prepare(&mut self, sqe: &mut Sqe);

    /// Turns one completion into an item. An orphan's items are dropped.
    fn item(&mut self, cqe: Cqe) -> Self::Item;
}

/// What lives in a slot.
pub(crate) trait Resident: Sized + 'static {
    const MULTISHOT: bool;
    const HOLDS_CLOCK: bool;

    fn prepare(&mut self, sqe: &mut Sqe);
    /// Keeps a completion that is not the terminal one. `true`: there are more than anybody
    /// takes, stop the op if no one is waiting.
    fn more(&mut self, cqe: Cqe) -> bool;
    /// The terminal completion of an orphan.
    fn reclaim(self, cqe: Cqe);

    /// Whether it may take several entries, one after the other. The end of a loop waits for
    /// such ops before it cancels what is in flight.
    const STAGED: bool = false;

    /// Notes what one entry has brought. `true`: prepare the next, there is more to do.
    fn goes_on(&mut self, _: Cqe) -> bool {
        false
    }
}

/// An [`Op`] in a slot.
pub(super) struct Once<T>(pub(super) T);

impl<T: Op> Resident for Once<T> {
    const MULTISHOT: bool = false;
    const HOLDS_CLOCK: bool = T::HOLDS_CLOCK;

    fn prepare(&mut self, sqe: &mut Sqe) {
        self.0.prepare(sqe);
    }

    fn more(&mut self, _: Cqe) -> bool {
        // A zero-copy send's first completion: the driver has kept the result.
        false
    }

    fn reclaim(self, cqe: Cqe) {
        drop(self.0.complete(cqe));
    }
}

/// A [`MultishotOp`] in a slot, with the completions nobody has taken.
pub(super) struct Many<T> {
    pub(super) op: T,
    pub(super) queue: VecDeque<Cqe>,
}

impl<T: MultishotOp> Resident for Many<T> {
    const MULTISHOT: bool = true;
    const HOLDS_CLOCK: bool = false;

    fn prepare(&mut self, sqe: &mut Sqe) {
        self.op.prepare(sqe);
    }

    fn more(&mut self, cqe: Cqe) -> bool {
        self.queue.push_back(cqe);
        false
    }

    fn reclaim(mut self, cqe: Cqe) {
        for cqe in self.queue.drain(..) {
            drop(self.op.item(cqe));
        }
        if !mutant!("late-connection-kept-open") {
            drop(self.op.item(cqe));
        }
    }
}

/// Whether a resident fits in the payload, or lies in a box that the payload points to.
const fn inline<R>() -> bool {
    size_of::<R>() <= Payload::SIZE && align_of::<R>() <= Payload::ALIGN
}

/// Moves a resident to its final address.
///
/// # Safety
///
/// `payload` is a free payload.
pub(super) unsafe fn store<R: Resident>(payload: *mut Payload, resident: R) {
    if inline::<R>() {
        // SAFETY: free, large enough and aligned.
        unsafe { payload.cast::<R>().write(resident) };
    } else {
        let boxed = Box::into_raw(Box::new(resident));
        // SAFETY: free, and a pointer fits.
        unsafe { payload.cast::<*mut R>().write(boxed) };
    }
}

/// Where a resident lies.
///
/// # Safety
///
/// `payload` holds an `R`, as `store` left it.
pub(super) unsafe fn locate<R: Resident>(payload: *mut Payload) -> *mut R {
    // SAFETY: the caller's promise.
    if inline::<R>() { payload.cast() } else { unsafe { payload.cast::<*mut R>().read() } }
}

/// Moves a resident out; the payload is free again.
///
/// # Safety
///
/// `payload` holds an `R` that the kernel has let go of.
pub(super) unsafe fn take<R: Resident>(payload: *mut Payload) -> R {
    if inline::<R>() {
        // SAFETY: the caller's promise.
        unsafe { payload.cast::<R>().read() }
    } else {
        // SAFETY: the box that `store` made.
        *unsafe { Box::from_raw(payload.cast::<*mut R>().read()) }
    }
}

/// Where the vtable of `R` is made.
pub(super) struct VtableOf<R>(std::marker::PhantomData<R>);

impl<R: Resident> VtableOf<R> {
    pub(super) const VTABLE: Vtable = Vtable {
        multishot: R::MULTISHOT,
        holds_clock: R::HOLDS_CLOCK,
        more: |payload, cqe| {
            // SAFETY: the driver calls this on a slot that holds an `R`; the kernel does not use
            // what `more` touches.
            unsafe { &mut *locate::<R>(payload) }.more(cqe)
        },
        reclaim: |payload, cqe| {
            // SAFETY: the driver calls this once, with a payload that holds an `R`, after the
            // terminal completion.
            unsafe { take::<R>(payload) }.reclaim(cqe);
        },
        stages: if R::STAGED { Some(Self::STAGES) } else { None },
    };

    const STAGES: Stages = Stages {
        goes_on: |payload, cqe| {
            // SAFETY: the driver calls this on a slot that holds an `R`, between two entries: the
            // kernel uses nothing of it.
            unsafe { &mut *locate::<R>(payload) }.goes_on(cqe)
        },
        prepare: |payload, sqe| {
            // SAFETY: as above.
            unsafe { &mut *locate::<R>(payload) }.prepare(sqe);
        },
    };
}

/// Future of [`Driver::submit`]: the op, then the wait for its completion.
#[must_use = "an operation is submitted when it is first polled"]
pub struct Submit<T: Op> {
    driver: Rc<Driver>,
    state: Submission<T>,
}

enum Submission<T> {
    New(T),
    InFlight(Key),
    Taken,
}

impl<T: Op> Submit<T> {
    pub(super) fn new(driver: Rc<Driver>, op: T) -> Self {
        Submit { driver, state: Submission::New(op) }
    }

    /// The wait for an op that lies in its slot.
    pub(super) fn started(driver: Rc<Driver>, key: Key) -> Self {
        Submit { driver, state: Submission::InFlight(key) }
    }
}

// An op is moved into its slot at submission; nothing is pinned in the future.
impl<T: Op> Unpin for Submit<T> {}

impl<T: Op> Submit<T> {
    /// Asks the kernel to end the operation early. The future still waits for its completion, which
    /// says what came of it (often ECANCELED), and gives the buffers back.
    ///
    /// One that was not polled yet is submitted all the same.
    pub fn cancel(&self) {
        if let Submission::InFlight(key) = self.state {
            self.driver.cancel(key);
        }
    }
}

impl<T: Op> Future for Submit<T> {
    type Output = T::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T::Output> {
        if let Submission::New(_) = self.state {
            let Submission::New(op) = std::mem::replace(&mut self.state, Submission::Taken) else {
                unreachable!("just looked");
            };
            self.state = Submission::InFlight(self.driver.start(op));
        }
        let Submission::InFlight(key) = self.state else {
            panic!("a Submit is not polled after it was ready");
        };
        let polled = self.driver.poll_op::<T>(key, cx);
        if polled.is_ready() {
            self.state = Submission::Taken;
        }
        polled
    }
}

impl<T: Op> Drop for Submit<T> {
    fn drop(&mut self) {
        if let Submission::InFlight(key) = self.state {
            self.driver.abandon(key);
        }
    }
}

impl<T: Op> fmt::Debug for Submit<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.state {
            Submission::New(_) => "Submit(new)",
            Submission::InFlight(_) => "Submit(in flight)",
            Submission::Taken => "Submit(taken)",
        })
    }
}
