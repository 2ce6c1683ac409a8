//! Options of a group of shards, and its start.

use std::fmt;
use std::future::Future;
use std::io;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use crate::event::{Event, Observer};
use crate::group::{Group, Rules};
use crate::mesh;
use crate::restart::Restart;
use crate::run::{self, Place};
use crate::service::MOST_CONNECTIONS;
use crate::shard::Shard;
use crate::shards::Shards;
use crate::topology::{Placement, Topology};
use crate::watch::Watch;

/// The calls that may be under way from one shard to one other, at most.
const MOST_CALLS: usize = 1 << 20;
const MOST_SERVICES: usize = 256;
/// Loops are asked for a sign of life twice in the time after which they are stuck.
const SHORTEST_STUCK: Duration = Duration::from_millis(10);

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
    placement: Placement,
    count: Option<usize>,
    name: String,
    calls: usize,
    services: Vec<(String, usize)>,
    rules: Rules,
    tune: Arc<Tune>,
}

impl Builder {
    pub(crate) fn new() -> Self {
        Builder {
            placement: Placement::All,
            count: None,
            name: "shard".into(),
            calls: 96,
            services: Vec::new(),
            rules: Rules {
                patience: Duration::from_secs(10),
                linger: true,
                restart: None,
                stuck: Some(Duration::from_secs(10)),
                observer: Observer::default(),
            },
            tune: Arc::new(|options| options),
        }
    }

    /// The CPU of each shard, in order: [`Placement::List`]. All must be in the affinity mask of
    /// the thread that calls [`spawn`](Self::spawn); one may stand twice.
    pub fn cpus(self, cpus: impl IntoIterator<Item = usize>) -> Self {
        self.placement(Placement::List(cpus.into_iter().collect()))
    }

    /// Which CPUs get shards. Default: [`Placement::All`], every CPU of the affinity mask of the
    /// thread that calls [`spawn`](Self::spawn), or as many as the CPU quota of its control group
    /// can keep busy.
    pub fn placement(mut self, placement: Placement) -> Self {
        self.placement = placement;
        self
    }

    /// How many shards: the first so many CPUs of the placement get one.
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
    /// ones wait at the caller. From each shard to each other there is a ring with room for four
    /// times as many messages, those of all services together, rounded up to a power of two, of 32
    /// bytes each. It is made at the start, and its pages are taken as they are first used.
    /// Default: 96, which with the 32 of servers makes rings of 16 KiB: 32 KiB for two shards, 63
    /// MiB for all pairs of 64.
    pub fn calls(mut self, limit: usize) -> Self {
        self.calls = limit;
        self
    }

    /// Adds a class of calls with a limit of its own, for [`Shard::service`]. Rings get room for
    /// its calls besides.
    pub fn service(mut self, name: impl Into<String>, limit: usize) -> Self {
        self.services.push((name.into(), limit));
        self
    }

    /// A shard that panics begins anew: its loop is dropped with all its tasks and states, and
    /// after a pause the service is called again on a new one, on the same thread. Calls it was at
    /// fail; calls that come meanwhile wait. What shards are for, other than panics, such as an
    /// error that a service returns, still ends the group, and so does a shard that panics too
    /// often. Default: the first panic ends the group.
    pub fn on_panic(mut self, restart: Restart) -> Self {
        self.rules.restart = Some(restart);
        self
    }

    /// Calls a closure when something happens to a shard that somebody should hear of, on the
    /// shard's thread or another; it should not block. Default: a warning in the log (`tracing`).
    pub fn observe(mut self, observer: impl Fn(&Event) + Send + Sync + 'static) -> Self {
        self.rules.observer = Observer(Arc::new(observer));
        self
    }

    /// After how long without a turn of its loop a shard is reported as [`Event::Stuck`]. `None`
    /// looks for none. Default: 10 s. The looking is done by one thread, which asks every loop for
    /// a sign of life twice in this time.
    pub fn stuck(mut self, after: Option<Duration>) -> Self {
        self.rules.stuck = after;
        self
    }

    /// How long services may take to end after another has failed, before they are aborted.
    /// Default: 10 s.
    pub fn patience(mut self, patience: Duration) -> Self {
        self.rules.patience = patience;
        self
    }

    /// Whether a shard whose service has returned keeps its loop, and serves calls and its other
    /// tasks, until all services have (the default); or closes at once, so that calls of it fail.
    pub fn linger(mut self, linger: bool) -> Self {
        self.rules.linger = linger;
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

    /// The CPUs that shards would get now.
    pub(crate) fn place(&self) -> io::Result<Vec<usize>> {
        Topology::this()?.place(&self.placement, self.count)
    }

    /// The same for one of several processes, whose threads are told apart by it.
    pub(crate) fn process(mut self, index: usize) -> Self {
        self.name = format!("{}{index}", self.name);
        self
    }

    /// After how long without a turn a shard is stuck.
    pub(crate) fn patience_with_silence(&self) -> Option<Duration> {
        self.rules.stuck
    }

    pub(crate) fn observer(&self) -> &Observer {
        &self.rules.observer
    }

    /// The names of all services, and their limits. Our own come first.
    fn services(&self) -> (Vec<String>, Vec<usize>) {
        let own = [("calls".into(), self.calls), ("connections".into(), MOST_CONNECTIONS)];
        own.into_iter().chain(self.services.iter().cloned()).unzip()
    }

    fn check(&self) -> io::Result<()> {
        let bad = |what: String| Err(io::Error::new(io::ErrorKind::InvalidInput, what));
        let (names, limits) = self.services();
        for (name, limit) in names.iter().zip(limits) {
            if limit == 0 || limit > MOST_CALLS {
                let what = if name == "calls" { String::new() } else { format!("of {name:?} ") };
                return bad(format!(
                    "a limit {what}of {limit} calls: it must be from 1 to {MOST_CALLS}"
                ));
            }
        }
        if let Some(twice) = (1..names.len()).find(|at| names[..*at].contains(&names[*at])) {
            return bad(format!("the service {:?}: its name is taken", names[twice]));
        }
        if names.len() > MOST_SERVICES {
            return bad(format!("{} services: there can be {MOST_SERVICES}", names.len()));
        }
        if self.rules.stuck.is_some_and(|after| after < SHORTEST_STUCK) {
            return bad(format!("shards that are stuck after less than {SHORTEST_STUCK:?}"));
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
        let cpus = self.place()?;
        let (names, limits) = self.services();
        let seats = mesh::seats(cpus.len(), &limits);
        let group = Arc::new(Group::new(cpus, names, self.rules));
        let mut threads = Vec::with_capacity(seats.len());
        for (index, seat) in seats.into_iter().enumerate() {
            let place = Place {
                index,
                group: group.clone(),
                seat,
                limits: limits.clone(),
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
            let watch = Watch::start(&group, &self.name);
            return Ok(Shards::new(threads, group, watch));
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
            .field("placement", &self.placement)
            .field("count", &self.count)
            .field("name", &self.name)
            .field("calls", &self.calls)
            .field("services", &self.services)
            .field("rules", &self.rules)
            .finish_non_exhaustive()
    }
}
