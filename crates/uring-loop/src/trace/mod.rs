//! Looking at a loop while it runs: spans for `tracing`, a file for Chrome's trace viewer, and the
//! report of operations that take too long.
//!
//! Nothing of this exists in a loop that was not asked for it: the loop looks at one flag per poll,
//! its driver at one per operation.

mod chrome;
mod spans;

use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::fmt;
use std::io;
use std::time::Duration;

use crate::context;
use crate::driver::ring::Wait;
use crate::driver::{InFlight, Watch};
use crate::report::{Report, ReportKind};
use crate::sys::clock::saturating_ns;
use crate::task::TaskRef;
use crate::task::state::flags;
use crate::turn::{Core, Options};
use chrome::Chrome;
use spans::Spans;
pub(crate) use spans::wanted_by_log;

/// Whether a loop can be looked at. In a build with `--cfg blind` it cannot: `cargo xtask ci sight`
/// shows with it what this costs while nobody looks.
pub(crate) const SIGHT: bool = cfg!(not(blind));

/// Whoever looks at a loop.
pub(crate) struct Trace {
    spans: Option<Spans>,
    chrome: Option<Chrome>,
    slow: Option<Slow>,
}

impl Trace {
    /// What these options ask for; `None` if nobody looks.
    ///
    /// # Errors
    ///
    /// Those of making the file of a trace.
    pub(crate) fn of(options: &Options, loop_id: u32) -> io::Result<Option<Self>> {
        let spans = options.spans.then(Spans::default);
        let chrome = options.chrome.as_deref().map(|path| Chrome::create(path, loop_id));
        let chrome = chrome.transpose()?;
        let slow = options.debug.map(|limits| Slow::new(limits.operation));
        let any = spans.is_some() || chrome.is_some() || slow.is_some();
        Ok(any.then_some(Trace { spans, chrome, slow }))
    }

    /// Whether somebody wants to see polls and parks, and not only operations.
    pub(crate) fn sees_polls(&self) -> bool {
        self.spans.is_some() || self.chrome.is_some()
    }

    /// A task, or a callback, is polled.
    fn poll(&self, task: &TaskRef, poll: impl FnOnce()) {
        let spanned = || match &self.spans {
            Some(spans) => spans.poll(task, poll),
            None => poll(),
        };
        match &self.chrome {
            Some(chrome) => chrome.poll(task, spanned),
            None => spanned(),
        }
    }

    /// The loop waits in the kernel.
    fn park<R>(&self, park: impl FnOnce() -> R) -> R {
        match &self.chrome {
            Some(chrome) => chrome.park(park),
            None => park(),
        }
    }
}

impl Core {
    /// Polls the next task while others look.
    #[cold]
    pub(crate) fn poll_one_watched(&self) {
        let Some(task) = self.tasks.next_ready() else { return };
        self.driver.note_time(self.clock.roughly());
        let _stale = context::take_noted_wait();
        let run = || self.tasks.run_one();
        let timed = || match &self.debug {
            Some(debug) => debug.time(&task, run),
            None => run(),
        };
        match &self.trace {
            Some(trace) => trace.poll(&task, timed),
            None => timed(),
        }
        if self.debug.is_some() {
            self.note_what_it_waits_for(&task);
        }
    }

    fn note_what_it_waits_for(&self, task: &TaskRef) {
        let noted = context::take_noted_wait();
        if !task.is_done() && (noted.is_some() || task.header().has(flags::EXTRAS)) {
            self.tasks.extras.edit(task.header(), |extras| extras.waits_for = noted);
        }
    }

    /// Enters the kernel while others look.
    #[inline]
    pub(crate) fn shown_park<R>(&self, wait: Wait, enter: impl FnOnce() -> R) -> R {
        match &self.trace {
            Some(trace) if SIGHT && wait != Wait::Poll => trace.park(enter),
            _ => enter(),
        }
    }

    /// In debug mode: reports operations that take too long, whether they end or not.
    #[inline]
    pub(crate) fn look_at_operations(&self) {
        if let Some(slow) = self.slow() {
            slow.look(self);
        }
    }

    /// Until when the loop may wait before it looks at the operations, if it has to.
    #[inline]
    pub(crate) fn next_look(&self) -> Option<u64> {
        self.slow()?.next_look(self)
    }

    #[inline]
    fn slow(&self) -> Option<&Slow> {
        self.trace.as_ref().filter(|_| SIGHT)?.slow.as_ref()
    }
}

impl Watch for Trace {
    fn submitted(&self, operation: &InFlight) {
        if let Some(spans) = &self.spans {
            spans.submitted(operation);
        }
        if let Some(chrome) = &self.chrome {
            chrome.submitted(operation);
        }
    }

    fn completed(&self, operation: &InFlight, result: i32, last: bool) {
        if let Some(spans) = &self.spans {
            spans.completed(operation, result, last);
        }
        if let Some(chrome) = &self.chrome {
            chrome.completed(operation, result, last);
        }
        if let (Some(slow), true) = (&self.slow, last) {
            slow.look_at(operation, "took");
            slow.reported.borrow_mut().remove(&operation.user_data);
        }
    }
}

impl fmt::Debug for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trace")
            .field("spans", &self.spans.is_some())
            .field("chrome", &self.chrome)
            .field("slow_operation", &self.slow.as_ref().map(|slow| slow.limit))
            .finish()
    }
}

/// Operations that take too long, in debug mode.
struct Slow {
    limit: Duration,
    /// When to look next, in nanoseconds.
    next: Cell<u64>,
    /// Those in flight that were reported.
    reported: RefCell<HashSet<u64>>,
}

impl Slow {
    fn new(limit: Duration) -> Self {
        Slow { limit, next: Cell::new(0), reported: RefCell::default() }
    }

    /// Looks at what is in flight, twice in the time that an operation may take.
    fn look(&self, core: &Core) {
        if !core.driver.holds_clock() {
            return;
        }
        let now = core.clock.roughly();
        if now < self.next.get() {
            return;
        }
        self.next.set(now.saturating_add(self.pause()));
        for operation in core.driver.in_flight_table() {
            self.look_at(&operation, "runs for");
        }
    }

    fn pause(&self) -> u64 {
        saturating_ns(self.limit / 2).max(1_000_000)
    }

    fn next_look(&self, core: &Core) -> Option<u64> {
        core.driver.holds_clock().then(|| core.clock.now().saturating_add(self.pause()))
    }

    fn look_at(&self, operation: &InFlight, verb: &str) {
        let Some(age) = operation.age.filter(|age| operation.bounded && *age >= self.limit) else {
            return;
        };
        if self.reported.borrow_mut().insert(operation.user_data) {
            let message = format!("an operation {verb} {:.3} s", age.as_secs_f64());
            Report::new(ReportKind::SlowOperation, message).named(operation.operation).send();
        }
    }
}
