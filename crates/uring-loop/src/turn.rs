//! The joint: the insides of a loop, and its turn.
//!
//! This is the one file that knows the driver, the tasks and the timers. A turn has five steps,
//! in [`Core::turn`], and enters the kernel at most once.

use std::any::TypeId;
use std::cell::{Cell, RefCell};
use std::future::Future;
use std::io;
use std::panic::Location;
use std::path::PathBuf;
use std::ptr::NonNull;
use std::rc::Rc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use crate::cancel::Origin;
use crate::context;
use crate::debug::{Debug, Limits};
use crate::driver::ring::{Ring, Wait};
use crate::driver::{self, Driver, Entered, InFlight, bufpool};
use crate::handle::{Gate, RemoteCall};
use crate::interrupt::CtrlC;
use crate::net::names::{self, Names};
use crate::promise::FailedPromises;
use crate::report::{Handler, Report, ReportKind};
use crate::signal::Ears;
use crate::spin::Spin;
use crate::task::Task;
use crate::task::door::Door;
use crate::task::inbox::{Node, Taken};
use crate::task::queue::Tasks;
use crate::task::raw::Header;
use crate::task::state::flags;
use crate::time::clock::Clock;
use crate::time::wheel::Timers;
use crate::trace::Trace;
use crate::wake::LocalWaker;

/// Least and most tasks polled in one turn, when so many are ready.
const BATCH: (usize, usize) = (64, 1024);
/// After how many polls beyond the first batch the queues are looked at.
const LOOK_EVERY: usize = 16;

/// The polls of one turn.
struct Budget {
    polled: usize,
    /// At how many it is looked whether to go on.
    pause: usize,
    most: usize,
}

impl Budget {
    /// With so many tasks ready at the start, which have their poll before anything else.
    fn new(ready: usize) -> Self {
        let most = ready.clamp(BATCH.0, BATCH.1);
        Budget { polled: 0, pause: ready.next_multiple_of(LOOK_EVERY).min(most), most }
    }

    /// Counts a poll. `true`: it is time to look whether to go on.
    #[inline]
    fn one_more(&mut self) -> bool {
        self.polled += 1;
        self.polled == self.pause
    }

    /// Goes on to the next pause. `false`: the turn has had its share.
    fn goes_on(&mut self) -> bool {
        self.pause = self.most.min(self.pause + LOOK_EVERY);
        self.polled < self.most
    }
}

/// Most entries of the door that are seen to in one turn, so that threads that send without pause
/// hold up neither timers nor completions.
const ARRIVALS: usize = 1024;

/// Ids of loops; never used twice (a program that makes four billion loops stops).
static NEXT_ID: AtomicU32 = AtomicU32::new(1);

/// The insides of a loop, which leaves reach through [`context`].
pub(crate) struct Core {
    pub(crate) id: u32,
    pub(crate) driver: Rc<Driver>,
    pub(crate) tasks: Tasks,
    pub(crate) timers: Timers,
    pub(crate) clock: Clock,
    pub(crate) gate: std::sync::Arc<Gate>,
    door: &'static Door,
    pub(crate) ears: Ears,
    /// Taken from the door and not yet seen to.
    arrived: RefCell<Taken>,
    pub(crate) handler: Handler,
    pub(crate) promises: FailedPromises,
    pub(crate) names: Names,
    origin: Cell<Origin>,
    pub(crate) holds: Rc<Cell<u32>>,
    pub(crate) options: Options,
    pub(crate) debug: Option<Debug>,
    /// Who looks at the loop, if anybody does.
    pub(crate) trace: Option<Rc<Trace>>,
    /// Whether polls are to be timed or shown.
    watched: bool,
    spin: Spin,
    turns: Cell<u64>,
    parks: Cell<u64>,
    wakes: Cell<u64>,
    due: RefCell<Vec<(u64, LocalWaker)>>,
    /// The run ends once this generation of tasks has been polled; [`NEVER`] if no stop was asked
    /// for.
    stop_after: Cell<u64>,
    /// The next in the list of this thread's loops; see `context`.
    pub(crate) neighbour: Cell<*const Core>,
}

/// A generation of tasks that is not reached.
const NEVER: u64 = u64::MAX;

/// What a loop is asked to be.
#[derive(Debug)]
pub(crate) struct Options {
    pub(crate) buffers: bufpool::Shape,
    pub(crate) spin: Duration,
    /// Tasks take their first step inside of `spawn`.
    pub(crate) eager: bool,
    /// Whether `Runner` and `run_forever` listen for Ctrl+C.
    pub(crate) ctrl_c: CtrlC,
    /// Whether SIGUSR1 prints a dump.
    pub(crate) dump_on_signal: bool,
    /// Debug mode.
    pub(crate) debug: Option<Limits>,
    /// Whether tasks and operations are spans of the log.
    pub(crate) spans: bool,
    /// Where a trace for Chrome's viewer goes.
    pub(crate) chrome: Option<PathBuf>,
    /// How names are looked up.
    pub(crate) names: names::Options,
    /// Opcodes to do without.
    pub(crate) without: &'static [u8],
}

impl Core {
    pub(crate) fn new(ring: Ring, clock: Clock, options: Options) -> io::Result<Self> {
        crate::sys::fork::watch();
        let door = Door::obtain()?;
        let id = NEXT_ID.fetch_add(1, Ordering::Relaxed);
        assert_ne!(id, 0, "four billion event loops were made");
        let driver = Driver::new(ring, options.buffers);
        driver.do_without(options.without);
        driver.listen_to_bell(door.bell());
        let trace = Trace::of(&options, id)?.map(Rc::new);
        if let Some(trace) = &trace {
            driver.watch(trace.clone());
        }
        Ok(Core {
            id,
            driver,
            tasks: Tasks::new(door, id),
            timers: Timers::new(clock.now()),
            gate: Gate::new(door, id),
            clock,
            door,
            ears: Ears::default(),
            arrived: RefCell::default(),
            handler: Handler::default(),
            promises: FailedPromises::default(),
            names: Names::new(options.names.clone()),
            origin: Cell::new(0),
            holds: Rc::default(),
            spin: Spin::new(options.spin),
            debug: options.debug.map(|limits| Debug::new(limits, id)),
            watched: options.debug.is_some() || trace.as_ref().is_some_and(|t| t.sees_polls()),
            trace,
            options,
            turns: Cell::new(0),
            parks: Cell::new(0),
            wakes: Cell::new(0),
            due: RefCell::default(),
            stop_after: Cell::new(NEVER),
            neighbour: Cell::new(std::ptr::null()),
        })
    }

    pub(crate) fn spawn<F>(
        &self,
        future: F,
        location: &'static Location<'static>,
    ) -> Task<F::Output>
    where
        F: Future + 'static,
        F::Output: 'static,
    {
        if self.options.eager && context::loop_id() == self.id {
            return self.spawn_eager(future, location);
        }
        self.make(future, location, flags::SCHEDULED)
    }

    /// Makes a task, which is only started if the flags say that it is scheduled.
    fn make<F>(
        &self,
        future: F,
        location: &'static Location<'static>,
        flags: u16,
    ) -> Task<F::Output>
    where
        F: Future + 'static,
        F::Output: 'static,
    {
        let fallible = TypeId::of::<F::Output>() == TypeId::of::<io::Result<()>>();
        let flags = flags | if fallible { flags::FALLIBLE } else { 0 };
        // SAFETY: future and output borrow nothing.
        let header = unsafe { self.tasks.add(future, location, flags) };
        // SAFETY: fresh from `add`, with this output.
        let task = unsafe { Task::from_raw(header) };
        self.inherit(task.header());
        task
    }

    /// Gives a new task the task-locals of the one that starts it.
    #[inline]
    fn inherit(&self, child: &Header) {
        if context::task_has_extras() {
            self.inherit_locals(child);
        }
    }

    #[cold]
    fn inherit_locals(&self, child: &Header) {
        let locals = context::with_task(|core, parent| {
            core.tasks.extras.look(parent, |extras| extras.locals.clone())
        });
        if let Some(locals) = locals.flatten().filter(|locals| !locals.is_empty()) {
            self.tasks.extras.edit(child, |extras| extras.locals = locals);
        }
    }

    /// Spawns what is to be shown and counted as a callback.
    pub(crate) fn spawn_callback(
        &self,
        future: impl Future<Output = ()> + 'static,
        location: &'static Location<'static>,
    ) -> Task<()> {
        let task = self.make(future, location, flags::SCHEDULED);
        self.tasks.mark_callback(task.header());
        task
    }

    /// Starts a task and takes its first step at once. The loop runs.
    pub(crate) fn spawn_eager<F>(
        &self,
        future: F,
        location: &'static Location<'static>,
    ) -> Task<F::Output>
    where
        F: Future + 'static,
        F::Output: 'static,
    {
        let task = self.make(future, location, 0);
        // SAFETY: fresh, and the loop runs here.
        unsafe { self.tasks.start_eagerly(NonNull::from(task.header())) };
        task
    }

    /// Starts the main task.
    ///
    /// # Safety
    ///
    /// As [`Tasks::add`].
    pub(crate) unsafe fn spawn_main<F: Future>(
        &self,
        future: F,
        location: &'static Location<'static>,
    ) -> Task<F::Output> {
        // SAFETY: handed on; then fresh from `add`, with this output.
        unsafe { Task::from_raw(self.tasks.add(future, location, flags::SCHEDULED)) }
    }

    /// An id for an origin of cancel requests; not 0, which is the task.
    pub(crate) fn next_origin(&self) -> Origin {
        let next = self.origin.get().wrapping_add(1).max(1);
        self.origin.set(next);
        next
    }

    /// Turns until a stop was asked for and has taken effect; one turn at least.
    pub(crate) fn run(&self) {
        loop {
            self.turn();
            if self.stopped() {
                return self.forget_stop();
            }
        }
    }

    /// Ends the run when the generation in progress has been polled, or the next one if none is.
    pub(crate) fn stop(&self) {
        let begun = context::in_task() || !self.tasks.between_generations();
        self.stop_after_generation(self.tasks.generation() + u64::from(!begun));
    }

    /// The main task is complete: the next generation is the last, as in asyncio, where a callback
    /// of the main task asks for the stop. So whoever it woke at the end still runs.
    pub(crate) fn stop_after_main(&self) {
        self.stop_after_generation(self.tasks.generation() + 1);
    }

    fn stop_after_generation(&self, generation: u64) {
        self.stop_after.set(self.stop_after.get().min(generation));
    }

    /// The run is over: what was asked for in it does not concern the next.
    pub(crate) fn forget_stop(&self) {
        self.stop_after.set(NEVER);
    }

    fn stopping(&self) -> bool {
        self.stop_after.get() != NEVER
    }

    /// Whether a stop takes effect now. It does so between generations only.
    fn stopped(&self) -> bool {
        self.stopping()
            && self.tasks.between_generations()
            && (self.tasks.generation() >= self.stop_after.get() || self.tasks.ready() == 0)
    }

    /// One pass: see the numbered steps. It does not wait in the kernel once it shall stop.
    fn turn(&self) {
        driver::count(&self.turns);
        // 1. The door: what other threads sent.
        self.open_door();
        // 2. The ready tasks, in budget.
        self.run_ready();
        // 3. The timers that are due.
        self.expire_timers();
        // 4. The kernel: hand over what was submitted, wait if nothing is ready.
        let entered = self.enter();
        self.driver.note_time(self.clock.roughly());
        // 5. What has completed.
        let reaped = self.driver.reap(self.door.bell());
        self.look_at_operations();
        if reaped == 0 && entered == Entered::Refused && self.tasks.ready() == 0 {
            // The kernel is out of memory and nothing completes: do not spin on it.
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Sees to what other threads sent, oldest first, but not to more than a turn can bear.
    fn open_door(&self) {
        if !self.has_arrivals() && self.door.inbox.knocked() {
            self.take_arrivals();
        }
        // After the door's notice was taken back: a signal whose notice went with it is heard here.
        self.ears.hear();
        for _ in 0..ARRIVALS {
            // Not borrowed while it is seen to: a call may do anything.
            let Some(node) = self.arrived.borrow_mut().next() else { return };
            // SAFETY: fresh from the door.
            if let Some(call) = unsafe { self.receive(node) } {
                (call.run)(self);
            }
        }
    }

    /// Takes over all that lies in the door. What had been taken before is seen to.
    fn take_arrivals(&self) {
        self.door.inbox.wake_up();
        let left = self.arrived.replace(self.door.inbox.take());
        debug_assert!(left.is_empty(), "entries of the door are lost");
    }

    fn has_arrivals(&self) -> bool {
        !self.arrived.borrow().is_empty()
    }

    /// Makes a woken task ready, or gives the call that `node` is.
    ///
    /// # Safety
    ///
    /// `node` was just taken from this loop's door.
    unsafe fn receive(&self, node: *mut Node) -> Option<Box<RemoteCall>> {
        // SAFETY: nodes in a door are alive until taken; which kind, the id says.
        let id = unsafe { &*node }.id;
        if id == 0 {
            // SAFETY: id 0 is a leaked `RemoteCall`, ours since it was taken.
            let call = unsafe { Box::from_raw(node.cast::<RemoteCall>()) };
            return (call.node.loop_id == self.id).then_some(call);
        }
        let header = NonNull::new(node.cast::<Header>()).expect("a node is not null");
        // SAFETY: another id is a task's header, taken from our door.
        unsafe { self.tasks.receive(header) };
        None
    }

    /// The loop goes: tasks in the door are let go of, calls dropped.
    fn empty_door(&self) {
        while self.has_arrivals() || self.door.inbox.knocked() {
            while let Some(node) = { self.arrived.borrow_mut().next() } {
                // SAFETY: fresh from the door.
                drop(unsafe { self.receive(node) });
            }
            self.take_arrivals();
        }
    }

    fn run_ready(&self) {
        let mut budget = Budget::new(self.tasks.ready());
        loop {
            if self.tasks.between_generations()
                && (self.tasks.generation() >= self.stop_after.get()
                    || !self.tasks.begin_generation())
            {
                return;
            }
            self.poll_one();
            // Completions come first now.
            if budget.one_more() && (self.driver.hints().any() || !budget.goes_on()) {
                return;
            }
        }
    }

    #[inline]
    fn poll_one(&self) {
        if self.watched {
            self.poll_one_watched();
        } else {
            self.tasks.run_one();
        }
    }

    fn expire_timers(&self) {
        let Some(next) = self.timers.next() else { return };
        let now = self.clock.now();
        if next > now {
            return;
        }
        let mut due = self.due.take();
        self.timers.expire(now, &mut due);
        for (_, waker) in due.drain(..) {
            waker.wake();
        }
        self.due.replace(due);
    }

    /// The one enter of a turn, if there is any reason for it.
    fn enter(&self) -> Entered {
        if self.tasks.ready() > 0 || self.stopping() || self.has_arrivals() {
            if self.driver.unsubmitted() || self.driver.hints().any() {
                return self.enter_kernel(Wait::Poll);
            }
            return Entered::Normally;
        }
        #[cfg(any(test, feature = "testing"))]
        if let Some(sim) = self.driver.simulated() {
            return self.enter_simulated(&sim);
        }
        if self.clock.is_virtual() && self.may_jump() {
            return self.enter_or_jump();
        }
        if self.spin.until(|| self.driver.hints().any() || self.door.inbox.knocked())
            || !self.door.inbox.try_sleep()
        {
            self.door.inbox.wake_up();
            return self.enter_kernel(Wait::Poll);
        }
        driver::count(&self.parks);
        let next = [self.timers.next(), self.next_look()].into_iter().flatten().min();
        let entered = self.enter_kernel(match next {
            Some(deadline) if !self.clock.is_virtual() => Wait::Until(deadline),
            _ => Wait::Forever,
        });
        if self.door.inbox.wake_up() {
            driver::count(&self.wakes);
        }
        entered
    }

    /// A simulated kernel has the only clock: the loop's follows it.
    #[cfg(any(test, feature = "testing"))]
    fn enter_simulated(&self, sim: &crate::testing::SimHandle) -> Entered {
        if !self.door.inbox.try_sleep() {
            self.door.inbox.wake_up();
            return self.enter_kernel(Wait::Poll);
        }
        driver::count(&self.parks);
        let deadline = self.timers.next().filter(|_| self.holds.get() == 0);
        let entered = self.enter_kernel(deadline.map_or(Wait::Forever, Wait::Until));
        self.clock.advance_to(sim.now());
        self.door.inbox.wake_up();
        entered
    }

    fn enter_kernel(&self, wait: Wait) -> Entered {
        match self.shown_park(wait, || self.driver.enter(wait)) {
            Ok(entered) => entered,
            Err(_) if self.driver.closing() => crate::sys::fork::refuse(),
            Err(error) => panic!("io_uring_enter failed in a way that no retry can mend: {error}"),
        }
    }

    /// Whether a virtual clock has somewhere to go and nobody who holds it.
    fn may_jump(&self) -> bool {
        self.timers.next().is_some() && self.holds.get() == 0 && !self.driver.holds_clock()
    }

    /// A look without waiting; if it brings nothing, the virtual clock jumps to the next timer.
    fn enter_or_jump(&self) -> Entered {
        let entered = self.enter_kernel(Wait::Poll);
        let reaped = self.driver.reap(self.door.bell());
        // Completion work comes in bounded batches: nothing reaped is not nothing left.
        let quiet = reaped == 0 && !self.driver.hints().any() && !self.door.inbox.knocked();
        if quiet && self.tasks.ready() == 0 && self.may_jump() {
            self.clock.advance_to(self.timers.next().unwrap_or(0));
        }
        entered
    }

    /// The end: every task is dropped, the door emptied, the kernel asked to let go of all.
    pub(crate) fn shut_down(self: &Rc<Self>, patience: Duration) {
        self.gate.close();
        {
            // Futures that are dropped now may look for their loop.
            let _entered = context::replace(self);
            self.tasks.extras.report_failures();
            self.promises.report();
            self.report_pending();
            self.tasks.discard_all();
            self.empty_door();
            self.tasks.discard_all();
        }
        self.driver.shutdown(patience);
        self.door.give_back();
    }

    pub(crate) fn door(&self) -> &'static Door {
        self.door
    }

    /// In debug mode: which tasks are dropped although they were not complete.
    fn report_pending(&self) {
        if self.debug.is_some() {
            for task in self.tasks.all() {
                Report::new(ReportKind::DroppedPending, "a task is dropped while it is pending")
                    .named(task.name())
                    .at(task.location())
                    .send();
            }
        }
    }

    /// The operations the kernel has not finished with.
    pub(crate) fn in_flight(&self) -> Vec<InFlight> {
        self.driver.note_time(self.clock.roughly());
        self.driver.in_flight_table()
    }

    /// Turns, parks and wakes, for the statistics.
    pub(crate) fn counted(&self) -> (u64, u64, u64) {
        (self.turns.get(), self.parks.get(), self.wakes.get())
    }
}
