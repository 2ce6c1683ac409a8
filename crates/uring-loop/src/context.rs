//! The only `thread_local!` of the crate: which loop runs on this thread, and which task and scope
//! is being polled.
//!
//! Plain cells without a destructor, so that looking at them costs a load.

use std::cell::Cell;
use std::marker::PhantomData;
use std::ptr;
use std::rc::Rc;

use crate::cancel::ScopeRef;
use crate::driver::Driver;
use crate::task::raw::Header;
use crate::task::state::flags;
use crate::turn::Core;

/// What every leaf may ask without being handed anything.
struct Context {
    /// Id of the running loop; 0 when none runs.
    loop_id: Cell<u32>,
    core: Cell<*const Core>,
    task: Cell<*const Header>,
    scope: Cell<ScopeRef>,
    /// Leaf operations the task in progress may still complete before it must yield.
    budget: Cell<u32>,
    /// What the leaf that was polled last waits for; for debug mode.
    waits_for: Cell<Option<&'static str>>,
    /// The loops of this thread, running or not: the first of a list through `Core::neighbour`.
    loops: Cell<*const Core>,
    /// The state of a generator of numbers, for whoever must favour nobody.
    lots: Cell<u64>,
}

thread_local! {
    static CONTEXT: Context = const {
        Context {
            loop_id: Cell::new(0),
            core: Cell::new(ptr::null()),
            task: Cell::new(ptr::null()),
            scope: Cell::new(ScopeRef::NONE),
            budget: Cell::new(0),
            waits_for: Cell::new(None),
            loops: Cell::new(ptr::null()),
            lots: Cell::new(0),
        }
    };
}

/// A number below `count`, which is not 0: each as often as any other, in an order that is the same
/// in every run. (A Weyl sequence, hashed as in splitmix64: Steele, Lea, Flood 2014.)
pub(crate) fn lot(count: usize) -> usize {
    let state = CONTEXT.with(|context| {
        let next = context.lots.get().wrapping_add(0x9E37_79B9_7F4A_7C15);
        context.lots.replace(next)
    });
    let mixed = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    ((mixed ^ (mixed >> 31)) % count as u64) as usize
}

/// How many leaf operations a task may complete in one poll before it is made to yield.
pub(crate) const BUDGET: u32 = 128;

/// The id of the loop running on this thread, 0 if none.
#[inline]
pub(crate) fn loop_id() -> u32 {
    CONTEXT.with(|context| context.loop_id.get())
}

/// Lends the running loop to `f`; `None` if none runs on this thread.
#[inline]
pub(crate) fn with_core<R>(f: impl FnOnce(&Core) -> R) -> Option<R> {
    let core = CONTEXT.with(|context| context.core.get());
    // SAFETY: `enter` set the pointer from a reference that outlives its guard, and the guard
    // clears it. `f` runs inside of that time, and the borrow ends with `f`.
    unsafe { core.as_ref() }.map(f)
}

/// Lends the loop with this id to `f`, running or not; `None` if it is not of this thread, or gone.
pub(crate) fn with_loop<R>(id: u32, f: impl FnOnce(&Core) -> R) -> Option<R> {
    CONTEXT.with(|context| {
        let running = context.loop_id.get() == id;
        let mut at = if running { context.core.get() } else { context.loops.get() };
        // SAFETY: a loop is in the list from `add_loop` to `remove_loop`, between which it lives
        // at one place; for the running one see `with_core`.
        while let Some(core) = unsafe { at.as_ref() } {
            if core.id == id {
                return Some(f(core));
            }
            at = core.neighbour.get();
        }
        None
    })
}

/// Makes a loop of this thread known.
///
/// # Safety
///
/// It is taken off again, by [`remove_loop`], before it moves or goes.
pub(crate) unsafe fn add_loop(core: &Core) {
    CONTEXT.with(|context| core.neighbour.set(context.loops.replace(core)));
}

/// Forgets a loop of this thread.
pub(crate) fn remove_loop(core: &Core) {
    CONTEXT.with(|context| {
        let mut link = &context.loops;
        // SAFETY: as in `with_loop`.
        while let Some(at) = unsafe { link.get().as_ref() } {
            if ptr::eq(at, core) {
                return link.set(at.neighbour.get());
            }
            link = &at.neighbour;
        }
    });
}

/// Lends the running loop to `f`.
///
/// # Panics
///
/// If no loop runs on this thread; the message names `what` was tried.
#[track_caller]
pub(crate) fn core<R>(what: &str, f: impl FnOnce(&Core) -> R) -> R {
    match with_core(f) {
        Some(result) => result,
        None => none_runs(what),
    }
}

/// By itself, so that whoever has a loop does not put down the words for this.
#[cold]
#[track_caller]
fn none_runs(what: &str) -> ! {
    panic!(
        "{what} needs a running event loop on this thread: call it from inside \
         `uring_loop::run` or `EventLoop::run_until_complete`"
    )
}

/// Makes `core` the running loop of this thread until the guard is dropped.
///
/// # Panics
///
/// If a loop already runs here: loops do not nest.
#[track_caller]
pub(crate) fn enter(core: &Core) -> Entered<'_> {
    CONTEXT.with(|context| {
        assert!(
            context.loop_id.get() == 0,
            "an event loop is already running on this thread, and loops do not nest: await the \
             future instead of running it, or start the other loop on a thread of its own"
        );
    });
    replace(core)
}

/// Makes `core` the loop of this thread until the guard is dropped, whatever it was before: for a
/// loop that is dropped inside of another's run.
pub(crate) fn replace(core: &Core) -> Entered<'_> {
    CONTEXT.with(|context| Entered {
        loop_id: context.loop_id.replace(core.id),
        core: context.core.replace(core),
        _borrowed: PhantomData,
    })
}

/// While it lives, a loop runs on this thread. Restores what was before.
pub(crate) struct Entered<'a> {
    loop_id: u32,
    core: *const Core,
    _borrowed: PhantomData<&'a Core>,
}

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        CONTEXT.with(|context| {
            context.loop_id.set(self.loop_id);
            context.core.set(self.core);
        });
    }
}

/// Makes `task` the current one until the guard is dropped, with a fresh budget. There is none now:
/// see [`set_aside`].
#[inline]
pub(crate) fn enter_task(task: &Header, scope: ScopeRef) -> EnteredTask {
    CONTEXT.with(|context| {
        debug_assert!(context.task.get().is_null(), "polls of tasks nest only where it is meant");
        context.task.set(task);
        context.scope.set(scope);
        context.budget.set(BUDGET);
    });
    EnteredTask(())
}

/// While it lives, a task is being polled, or dropped; on unwinding it goes too.
pub(crate) struct EnteredTask(());

impl Drop for EnteredTask {
    #[inline]
    fn drop(&mut self) {
        CONTEXT.with(|context| {
            context.task.set(ptr::null());
            context.scope.set(ScopeRef::NONE);
        });
    }
}

/// Until the guard is dropped, no task is the current one: so another can be polled, or dropped, in
/// the middle of it.
pub(crate) fn set_aside() -> SetAside {
    CONTEXT.with(|context| SetAside {
        task: context.task.replace(ptr::null()),
        scope: context.scope.replace(ScopeRef::NONE),
        budget: context.budget.get(),
    })
}

/// Restores the task and scope from before; on unwinding too.
pub(crate) struct SetAside {
    task: *const Header,
    scope: ScopeRef,
    budget: u32,
}

impl Drop for SetAside {
    fn drop(&mut self) {
        CONTEXT.with(|context| {
            context.task.set(self.task);
            context.scope.set(self.scope);
            context.budget.set(self.budget);
        });
    }
}

/// Lends the running loop and the task being polled, or dropped, to `f`.
pub(crate) fn with_task<R>(f: impl FnOnce(&Core, &Header) -> R) -> Option<R> {
    let task = CONTEXT.with(|context| context.task.get());
    // SAFETY: set for the time of a poll or a drop by `enter_task`, whose caller keeps the task
    // alive; cleared after it.
    let task = unsafe { task.as_ref() }?;
    with_loop(task.node.loop_id, |core| f(core, task))
}

/// Whether the task being polled has something in the table of extras.
#[inline]
pub(crate) fn task_has_extras() -> bool {
    let task = CONTEXT.with(|context| context.task.get());
    // SAFETY: as in `with_task`.
    unsafe { task.as_ref() }.is_some_and(|task| task.has(flags::EXTRAS))
}

/// Whether a task is being polled, or dropped.
pub(crate) fn in_task() -> bool {
    CONTEXT.with(|context| !context.task.get().is_null())
}

/// Whether this task is the one being polled.
#[inline]
pub(crate) fn is_task(task: &Header) -> bool {
    CONTEXT.with(|context| ptr::eq(context.task.get(), task))
}

/// The number of the task being polled, or dropped; 0 outside of tasks.
pub(crate) fn task_id() -> u32 {
    with_task(|_, task| task.node.id).unwrap_or(0)
}

/// The scope being polled.
#[inline]
pub(crate) fn scope() -> ScopeRef {
    CONTEXT.with(|context| context.scope.get())
}

/// Makes `scope` the current one until the guard is dropped.
pub(crate) fn enter_scope(scope: ScopeRef) -> EnteredScope {
    EnteredScope(CONTEXT.with(|context| context.scope.replace(scope)))
}

/// Restores the scope from before; on unwinding too.
pub(crate) struct EnteredScope(ScopeRef);

impl Drop for EnteredScope {
    fn drop(&mut self) {
        CONTEXT.with(|context| context.scope.set(self.0));
    }
}

/// A leaf that no list leads back to says what the task waits for: in words, or by the name of its
/// type. It is called for each wait, so it only stores.
#[inline]
pub(crate) fn note_wait(what: &'static str) {
    CONTEXT.with(|context| context.waits_for.set(Some(what)));
}

/// What was noted last.
pub(crate) fn take_noted_wait() -> Option<&'static str> {
    CONTEXT.with(|context| context.waits_for.take())
}

/// Takes one unit of the running task's budget. `false`: it is used up, wake yourself and yield.
#[inline]
pub(crate) fn take_budget() -> bool {
    CONTEXT.with(|context| {
        let left = context.budget.get();
        context.budget.set(left.saturating_sub(1));
        // Outside of a task there is nobody to starve.
        left > 0 || context.task.get().is_null() || mutant!("budget-not-taken")
    })
}

impl Driver {
    /// The driver of the loop that runs on this thread.
    ///
    /// # Panics
    ///
    /// If none runs.
    #[track_caller]
    pub fn current() -> Rc<Driver> {
        core("an I/O operation", |core| core.driver.clone())
    }
}
