//! The joint: the insides of a loop, and its turn.
//!
//! This file and those of `turn/` are the only ones that know the driver, the tasks and the timers.
//! A turn has five steps, in [`Core::turn`], and enters the kernel at most once. How a loop begins
//! and ends is here, and when it stops; `arrivals.rs` has the first step, `park.rs` the fourth,
//! `make.rs` how tasks are made.

mod arrivals;
mod make;
mod park;

use std::cell::{Cell, RefCell};
use std::io;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use crate::cancel::Origin;
use crate::combine::Groups;
use crate::context;
use crate::debug::{Debug, Limits};
use crate::driver::ring::Ring;
use crate::driver::{self, Driver, Entered, InFlight, bufpool};
use crate::handle::Gate;
use crate::interrupt::CtrlC;
use crate::net::names::{self, Names};
use crate::promise::FailedPromises;
use crate::report::{Handler, Report, ReportKind};
use crate::signal::Ears;
use crate::spin::Spin;
use crate::task::TaskRef;
use crate::task::door::Door;
use crate::task::extras::Extras;
use crate::task::inbox::Taken;
use crate::task::queue::Tasks;
use crate::task::raw::Header;
use crate::time::clock::Clock;
use crate::time::wheel::Timers;
use crate::trace::{SIGHT, Trace};
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
    pub(crate) groups: Groups,
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
    /// Every task is asked to end; see `EventLoop::finish`.
    ending: Cell<bool>,
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
            groups: Groups::default(),
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
            ending: Cell::new(false),
            neighbour: Cell::new(std::ptr::null()),
        })
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

    /// Whether every task is asked to end.
    pub(crate) fn is_ending(&self) -> bool {
        self.ending.get()
    }

    pub(crate) fn set_ending(&self, ending: bool) {
        self.ending.set(ending);
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
        if SIGHT && self.watched {
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

    pub(crate) fn note_gathered(&self, task: &Header) {
        if self.debug.is_some() {
            self.tasks.extras.edit(task, |extras| extras.gathered = true);
        }
    }

    /// In debug mode: which tasks are dropped although they were not complete. Whoever awaits a
    /// gathering is reported, and what was gathered is not: as in asyncio, where it would be noise
    /// (`_log_destroy_pending` in Lib/asyncio/tasks.py).
    fn report_pending(&self) {
        if self.debug.is_some() {
            let gathered = |task: &TaskRef| {
                let noted = |extras: &Extras| extras.gathered;
                self.tasks.extras.look(task.header(), noted).unwrap_or(false)
            };
            for task in self.tasks.all().into_iter().filter(|task| !gathered(task)) {
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
