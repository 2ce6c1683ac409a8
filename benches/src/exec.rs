//! The interface of the executor comparison programs (`exec_*`).
//!
//! A program gives four functions and calls [`main`]. The futures measured are those of this file,
//! so that every executor runs the same.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use clap::Subcommand;

use crate::once::OnOneCore;
use crate::process::print_metrics;
use crate::usage;

/// One executor. Every function builds its own, on the calling thread, which is pinned already, and
/// does its work in a spawned task: the future given to `block_on` is a special case in some.
#[derive(Debug, Clone, Copy)]
pub struct Peer {
    /// Spawns an empty task and joins it, `count` times, one after the other.
    pub spawn: fn(count: u64) -> Duration,
    /// Spawns a thousand empty tasks and joins them, until `count` are done.
    pub spawn_many: fn(count: u64) -> Duration,
    /// Runs `tasks` tasks of [`yielding`] at once, and joins them.
    pub yields: fn(tasks: usize, rounds: u64) -> Duration,
    /// Awaits [`Yield`] within a timeout of 60 s, `count` times, one after the other.
    pub timeout: fn(count: u64) -> Duration,
    /// Awaits a future that is ready at once, the same way: a timeout that need not be armed.
    pub timeout_ready: fn(count: u64) -> Duration,
    /// Spawns `count` tasks that call [`asleep`] and then sleep for [`LONG`]; looks every
    /// [`SHORT`] whether [`count_asleep`] is there, and then calls `probe`.
    pub sleepers: fn(count: usize, probe: Probe),
}

/// What is called while all sleepers sleep; it ends the process.
pub type Probe = Box<dyn FnOnce() + Send>;

/// How many tasks [`Peer::spawn_many`] has at once.
pub const MANY: u64 = 1000;

/// How long sleepers sleep: longer than any measurement.
pub const LONG: Duration = Duration::from_secs(3600);
/// How often to look whether all sleepers sleep.
pub const SHORT: Duration = Duration::from_millis(5);
/// The timeout that never comes.
pub const TIMEOUT: Duration = Duration::from_secs(60);

/// Pending once, and woken at once.
///
/// What that means is the executor's affair: most put the task at the end of the queue; monoio 0.2
/// puts a task that woke itself at the front and polls it again at once, with all caches warm.
#[derive(Debug, Default)]
pub struct Yield {
    over: bool,
}

impl Future for Yield {
    type Output = ();

    #[inline]
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.over {
            return Poll::Ready(());
        }
        self.over = true;
        context.waker().wake_by_ref();
        Poll::Pending
    }
}

/// Awaits [`Yield`] `rounds` times.
///
/// # Cancel safety
///
/// Strict: there is nothing to lose.
pub async fn yielding(rounds: u64) {
    for _ in 0..rounds {
        Yield::default().await;
    }
}

static ASLEEP: AtomicUsize = AtomicUsize::new(0);

/// A sleeper says that it runs and is about to sleep.
pub fn asleep() {
    ASLEEP.fetch_add(1, Ordering::Relaxed);
}

/// How many sleepers have called [`asleep`].
#[must_use]
pub fn count_asleep() -> usize {
    ASLEEP.load(Ordering::Relaxed)
}

#[derive(Debug, Subcommand)]
enum What {
    /// Spawn and join a task, one after the other
    Spawn,
    /// Spawn and join a thousand tasks at once, per task
    SpawnMany,
    /// One yield, with many tasks yielding
    Yield {
        /// Tasks
        #[arg(long, default_value_t = 1000)]
        tasks: usize,
    },
    /// A timeout round a future that is ready after one yield
    Timeout,
    /// A timeout round a future that is ready at once
    TimeoutReady,
    /// Memory of sleeping tasks
    Sleep {
        /// Tasks
        #[arg(long, default_value_t = 200_000)]
        tasks: usize,
    },
}

/// The whole of an `exec_*` program.
///
/// # Errors
///
/// When pinning or reading the memory is refused.
pub fn main(peer: Peer) -> anyhow::Result<()> {
    let options = OnOneCore::begin()?;
    match options.what {
        What::Spawn => print_metrics([("ns", options.length.nanoseconds_per_unit(peer.spawn))]),
        What::SpawnMany => {
            print_metrics([("ns", options.length.nanoseconds_per_unit(peer.spawn_many))])
        }
        What::Timeout => print_metrics([("ns", options.length.nanoseconds_per_unit(peer.timeout))]),
        What::TimeoutReady => {
            print_metrics([("ns", options.length.nanoseconds_per_unit(peer.timeout_ready))]);
        }
        What::Yield { tasks } => {
            let per_round =
                options.length.nanoseconds_per_unit(|rounds| (peer.yields)(tasks, rounds));
            print_metrics([("ns", per_round / tasks as f64)]);
        }
        What::Sleep { tasks } => sleep(peer, tasks)?,
    }
    Ok(())
}

fn sleep(peer: Peer, tasks: usize) -> anyhow::Result<()> {
    let resident = || usage::resident(std::process::id());
    let before = resident()?;
    let probe = move || {
        let grown = resident().expect("our own memory").saturating_sub(before);
        print_metrics([("bytes", grown as f64 / tasks as f64)]);
        // Not every executor can end with so many tasks asleep, and none needs to here.
        std::process::exit(0);
    };
    (peer.sleepers)(tasks, Box::new(probe));
    anyhow::bail!("the sleepers woke up")
}
