//! Helper threads for calls that io_uring has no opcode for and that may block: getaddrinfo, above
//! all.
//!
//! One set of threads per process. They start on demand, at most [`MOST`], and end after ten idle
//! seconds. For work that is long or heavy on the CPU use the crate `pool` instead: it has bounds,
//! names, cancellation and processes.

use std::collections::{BTreeMap, VecDeque};
use std::future::Future;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use crate::channel::oneshot;
use crate::context;
use crate::sys::fork;

/// At most so many helper threads at a time; further calls wait for a free one.
const MOST: usize = 64;

/// At most so many of them look names up, all loops of the process together; further look-ups wait
/// in line. One whose server is silent takes as long as the resolver's patience (resolv.conf(5): 5
/// s an attempt), and must not keep the helpers from everything else.
const MOST_LOOKUPS: usize = 16;
const IDLE: Duration = Duration::from_secs(10);

/// What an error of a thread or a child that could not be started ends with.
pub(crate) const LIMIT_OF_THREADS: &str =
    " (limits of threads and processes: ulimit -u, TasksMax= of the unit, pids.max of the cgroup)";

type Call = Box<dyn FnOnce() + Send>;

struct Helpers {
    /// Each with the id of its loop.
    calls: VecDeque<(u32, Call)>,
    lookups: VecDeque<(u32, Call)>,
    /// How many calls of a loop have not ended, look-ups apart: nobody waits for those at its end.
    of_loops: BTreeMap<u32, usize>,
    /// Who waits for the end of a loop's calls.
    awaited: Vec<(u32, oneshot::Sender<()>)>,
    /// How many are under way.
    looking: usize,
    idle: usize,
    alive: usize,
    /// Of which process: a forked child has none of its parent's threads.
    generation: u32,
}

/// What a helper does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sort {
    Any,
    LookUp,
}

impl Helpers {
    const fn of(generation: u32) -> Self {
        Helpers {
            calls: VecDeque::new(),
            lookups: VecDeque::new(),
            of_loops: BTreeMap::new(),
            awaited: Vec::new(),
            looking: 0,
            idle: 0,
            alive: 0,
            generation,
        }
    }

    fn line(&mut self, sort: Sort) -> &mut VecDeque<(u32, Call)> {
        match sort {
            Sort::Any => &mut self.calls,
            Sort::LookUp => &mut self.lookups,
        }
    }

    /// Calls that a free helper would begin with.
    fn ready(&self) -> usize {
        self.calls.len() + self.lookups.len().min(MOST_LOOKUPS - self.looking)
    }

    /// The next call. Look-ups go first: there are few, and somebody waits for each.
    fn next(&mut self) -> Option<(Sort, u32, Call)> {
        if self.looking < MOST_LOOKUPS
            && let Some((loop_id, call)) = self.lookups.pop_front()
        {
            self.looking += 1;
            return Some((Sort::LookUp, loop_id, call));
        }
        let (loop_id, call) = self.calls.pop_front()?;
        Some((Sort::Any, loop_id, call))
    }

    fn begin(&mut self, sort: Sort, loop_id: u32, call: Call) {
        self.line(sort).push_back((loop_id, call));
        if sort == Sort::Any {
            *self.of_loops.entry(loop_id).or_default() += 1;
        }
    }

    /// A call has ended. Gives those who waited for it, as the last of its loop.
    fn end(&mut self, sort: Sort, loop_id: u32) -> Vec<oneshot::Sender<()>> {
        if sort == Sort::LookUp {
            self.looking -= 1;
            return Vec::new();
        }
        match self.of_loops.get_mut(&loop_id) {
            Some(left) if *left > 1 => {
                *left -= 1;
                return Vec::new();
            }
            _ => self.of_loops.remove(&loop_id),
        };
        let told = self.awaited.extract_if(.., |(awaited, _)| *awaited == loop_id);
        told.map(|(_, sender)| sender).collect()
    }
}

static HELPERS: Mutex<Helpers> = Mutex::new(Helpers::of(0));
static ARRIVED: Condvar = Condvar::new();

fn helpers() -> MutexGuard<'static, Helpers> {
    let mut helpers = HELPERS.lock().unwrap_or_else(PoisonError::into_inner);
    let generation = fork::generation();
    if helpers.generation != generation {
        // The parent's calls are the parent's to run and to drop.
        std::mem::forget(std::mem::replace(&mut *helpers, Helpers::of(generation)));
    }
    helpers
}

/// Runs a blocking closure on a helper thread and waits for its result. A panic in it goes on
/// here.
///
/// # Errors
///
/// If no helper thread could be started and none runs (EAGAIN: see `ulimit -u`).
///
/// # Panics
///
/// With the panic of `f`; or if no loop runs on this thread.
///
/// # Cancel safety
///
/// Weak: the closure runs all the same, its result is dropped. [`run`](crate::run) and
/// [`Runner`](crate::Runner) wait for its end when they come to theirs, at most for
/// [`shutdown_patience`](crate::Builder::shutdown_patience).
///
/// # Examples
///
/// ```
/// uring_loop::run(async {
///     let name = uring_loop::unblock(|| std::fs::read_to_string("/proc/sys/kernel/ostype")).await;
///     assert_eq!(name.unwrap().unwrap().trim(), "Linux");
/// })
/// # .unwrap();
/// ```
#[doc(alias = "to_thread")]
#[doc(alias = "run_in_executor")]
#[doc(alias = "spawn_blocking")]
pub async fn unblock<T, F>(f: F) -> io::Result<T>
where
    T: Send + 'static,
    F: FnOnce() -> T + Send + 'static,
{
    let (sender, receiver) = oneshot::channel();
    // Nobody may want the result any more.
    enqueue(Sort::Any, Box::new(move || drop(sender.send(catch_unwind(AssertUnwindSafe(f))))))?;
    let _hold = crate::hold::hold("unblock");
    match receiver.await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(panic)) => std::panic::resume_unwind(panic),
        Err(_) => Err(io::Error::other("a helper thread went away without an answer")),
    }
}

/// A look-up of a name that was handed to a helper: a future of its result. Dropped before a helper
/// has begun with it, it is withdrawn.
pub(crate) struct Asked<T> {
    receiver: oneshot::Receiver<std::thread::Result<T>>,
    progress: Arc<Progress>,
}

/// How far a look-up is; its helper tells.
#[derive(Default)]
struct Progress {
    begun: OnceLock<()>,
    over: OnceLock<()>,
}

/// Looks a name up on a helper thread.
pub(crate) fn look_up<T: Send + 'static>(
    f: impl FnOnce() -> T + Send + 'static,
) -> io::Result<Asked<T>> {
    let (sender, receiver) = oneshot::channel();
    let progress = Arc::new(Progress::default());
    let asked = Asked { receiver, progress: progress.clone() };
    let call = move || {
        if !sender.is_closed() {
            // Nobody else sets them.
            let _ = progress.begun.set(());
            let result = catch_unwind(AssertUnwindSafe(f));
            let _ = progress.over.set(());
            drop(sender.send(result));
        }
    };
    enqueue(Sort::LookUp, Box::new(call))?;
    Ok(asked)
}

/// How many look-ups are under way in this process, and how many wait in line.
pub(crate) fn lookups() -> (usize, usize) {
    let helpers = helpers();
    (helpers.looking, helpers.lookups.len())
}

impl<T> Asked<T> {
    pub(crate) fn has_begun(&self) -> bool {
        self.progress.begun.get().is_some()
    }

    /// Whether the helper has done its part.
    pub(crate) fn is_over(&self) -> bool {
        self.progress.over.get().is_some()
    }
}

impl<T> Future for Asked<io::Result<T>> {
    type Output = io::Result<T>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<T>> {
        let gone = |what: &str| Err(io::Error::other(format!("the helper thread {what}")));
        Pin::new(&mut self.receiver).poll(cx).map(|received| match received {
            Ok(Ok(result)) => result,
            Ok(Err(_)) => gone("of the look-up panicked"),
            Err(_) => gone("went away without an answer"),
        })
    }
}

/// How many calls of [`unblock`] of a loop have not ended.
pub(crate) fn under_way(loop_id: u32) -> usize {
    helpers().of_loops.get(&loop_id).copied().unwrap_or(0)
}

/// Waits until none is under way; at once, if none is.
pub(crate) async fn all_ended(loop_id: u32) {
    let receiver = {
        let mut helpers = helpers();
        if !helpers.of_loops.contains_key(&loop_id) || mutant!("the-end-forgets-helpers") {
            return;
        }
        let (sender, receiver) = oneshot::channel();
        helpers.awaited.push((loop_id, sender));
        receiver
    };
    let _hold = crate::hold::hold("the end of calls on helper threads");
    // A sender that goes unused is one of a forked child, whose parent's calls are not its own.
    let _ended = receiver.await;
}

fn enqueue(sort: Sort, call: Call) -> io::Result<()> {
    let loop_id = context::core("unblock", |core| core.id);
    let mut helpers = helpers();
    helpers.begin(sort, loop_id, call);
    let stuck =
        sort == Sort::LookUp && helpers.looking == MOST_LOOKUPS && helpers.lookups.len() == 1;
    if helpers.ready() > helpers.idle && helpers.alive < MOST {
        helpers.alive += 1;
        let started = std::thread::Builder::new().name("uring-helper".into()).spawn(help);
        if let Err(error) = started {
            helpers.alive -= 1;
            if helpers.alive == 0 {
                helpers.line(sort).pop_back();
                helpers.looking += usize::from(sort == Sort::LookUp);
                helpers.end(sort, loop_id);
                let message = format!("starting a helper thread: {error}{LIMIT_OF_THREADS}");
                return Err(io::Error::new(error.kind(), message));
            }
        }
    }
    drop(helpers);
    ARRIVED.notify_one();
    if stuck {
        tracing::warn!(
            "{MOST_LOOKUPS} look-ups of names are under way and none comes back: further ones wait"
        );
    }
    Ok(())
}

fn help() {
    let mut guard = helpers();
    loop {
        if let Some((sort, loop_id, call)) = guard.next() {
            drop(guard);
            // A result that nobody waits for is dropped in there; that may panic, and must not cost
            // us the thread, which would be counted as alive for ever.
            if catch_unwind(AssertUnwindSafe(call)).is_err() {
                tracing::error!("what a helper thread computed panicked in drop");
            }
            let told = helpers().end(sort, loop_id);
            for sender in told {
                // Outside of the lock: it wakes who waits, unless that one is gone.
                let _ = sender.send(());
            }
            guard = helpers();
            continue;
        }
        guard.idle += 1;
        let (woken, timeout) =
            ARRIVED.wait_timeout(guard, IDLE).unwrap_or_else(PoisonError::into_inner);
        guard = woken;
        guard.idle -= 1;
        if timeout.timed_out() && guard.ready() == 0 {
            guard.alive -= 1;
            return;
        }
    }
}
