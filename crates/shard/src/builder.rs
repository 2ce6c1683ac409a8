//! Options of a group of shards, and its start.

use std::fmt;
use std::future::Future;
use std::io;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use crate::cpus;
use crate::group::Group;
use crate::mesh;
use crate::run::{self, Place};
use crate::shard::Shard;
use crate::shards::Shards;

/// The calls that may be under way from one shard to one other, at most.
const MOST_CALLS: usize = 1 << 20;

/// Changes the options of a shard's loop.
pub(crate) type Tune = dyn Fn(uring_loop::Builder) -> uring_loop::Builder + Send + Sync;

/// Makes [`Shards`]; got from [`Shards::builder`].
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use shard::Shards;
///
/// let shards = Shards::builder()
///     .count(1)
///     .name("echo")
///     .event_loop(|options| options.spin(Duration::from_micros(50)).submissions(256))
///     .spawn(|shard| async move { Ok(shard.cpu()) })?;
/// println!("{:?}", shards.join()?);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone)]
#[must_use = "a builder starts nothing until `spawn`"]
pub struct Builder {
    cpus: Option<Vec<usize>>,
    count: Option<usize>,
    name: String,
    calls: usize,
    patience: Duration,
    linger: bool,
    tune: Arc<Tune>,
}

impl Builder {
    pub(crate) fn new() -> Self {
        Builder {
            cpus: None,
            count: None,
            name: "shard".into(),
            calls: 128,
            patience: Duration::from_secs(10),
            linger: true,
            tune: Arc::new(|options| options),
        }
    }

    /// The CPU of each shard, in order. All must be in the affinity mask of the thread that calls
    /// [`spawn`](Self::spawn); one may stand twice. Default: every CPU of that mask.
    pub fn cpus(mut self, cpus: impl IntoIterator<Item = usize>) -> Self {
        self.cpus = Some(cpus.into_iter().collect());
        self
    }

    /// How many shards: the first so many CPUs of the list or mask get one.
    pub fn count(mut self, shards: usize) -> Self {
        self.count = Some(shards);
        self
    }

    /// What the threads are called: `name-0`, `name-1`, ... (the kernel keeps 15 bytes). Default:
    /// `shard`.
    pub fn name(mut self, prefix: impl Into<String>) -> Self {
        self.name = prefix.into();
        self
    }

    /// How many calls ([`Shard::submit_to`]) from one shard to one other may be under way; further
    /// ones wait at the caller. From each shard to each other there is a ring of twice as many
    /// entries, of at most 48 bytes each. Default: 128.
    pub fn calls(mut self, limit: usize) -> Self {
        self.calls = limit;
        self
    }

    /// How long services may take to end after another has failed, before they are aborted.
    /// Default: 10 s.
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Whether a shard whose service has returned keeps its loop, and serves calls and its other
    /// tasks, until all services have (the default); or closes at once, so that calls of it fail.
    pub fn linger(mut self, linger: bool) -> Self {
        self.linger = linger;
        self
    }

    /// Sets options of each shard's loop.
    pub fn event_loop(
        mut self,
        tune: impl Fn(uring_loop::Builder) -> uring_loop::Builder + Send + Sync + 'static,
    ) -> Self {
        self.tune = Arc::new(tune);
        self
    }

    fn check(&self) -> io::Result<()> {
        let bad = |what: String| Err(io::Error::new(io::ErrorKind::InvalidInput, what));
        if self.calls == 0 || self.calls > MOST_CALLS {
            return bad(format!(
                "a limit of {} calls: it must be from 1 to {MOST_CALLS}",
                self.calls
            ));
        }
        if self.name.contains('\0') {
            return bad(format!("{:?} as a name of threads: it has a zero byte", self.name));
        }
        Ok(())
    }

    /// Starts the shards: a pinned thread with a loop each, and on each loop the service that
    /// `service` makes there. They start together: no service begins before every thread is pinned
    /// and every loop made.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for options that can't be met, such as a CPU outside the affinity mask; or
    /// what kept a shard from starting, with its index and CPU: a thread that cannot be made or
    /// pinned, a ring that the kernel refuses. No thread is left then.
    pub fn spawn<S, F, T>(self, service: S) -> io::Result<Shards<T>>
    where
        S: FnOnce(Shard) -> F + Clone + Send + 'static,
        F: Future<Output = io::Result<T>> + 'static,
        T: Send + 'static,
    {
        self.check()?;
        let mask = cpus::inherited()?;
        let cpus = cpus::choose(&mask, self.cpus.as_deref(), self.count)?;
        let seats = mesh::seats(cpus.len(), self.calls);
        let group = Arc::new(Group::new(cpus, self.patience, self.linger));
        let mut threads = Vec::with_capacity(seats.len());
        for (index, seat) in seats.into_iter().enumerate() {
            let place = Place {
                index,
                group: group.clone(),
                seat,
                calls: self.calls,
                tune: self.tune.clone(),
            };
            let service = service.clone();
            let thread = thread::Builder::new()
                .name(format!("{}-{index}", self.name))
                .spawn(move || run::shard(place, service));
            match thread {
                Ok(thread) => threads.push(thread),
                Err(error) => {
                    let text = format!("making its thread: {error}");
                    group.report(index, Err(io::Error::new(error.kind(), text)));
                }
            }
        }
        if group.await_start() {
            return Ok(Shards::new(threads, group));
        }
        for thread in threads {
            // It has reported and only leaves; a panic in it is not the cause.
            drop(thread.join());
        }
        Err(group.take_refusal().expect("a start that failed has a cause"))
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("cpus", &self.cpus)
            .field("count", &self.count)
            .field("name", &self.name)
            .field("calls", &self.calls)
            .field("patience", &self.patience)
            .field("linger", &self.linger)
            .finish_non_exhaustive()
    }
}
