//! Options of a loop.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use crate::EventLoop;
use crate::debug::{Limits, wanted_by_environment};
use crate::driver::bufpool::Shape;
use crate::driver::ring::Ring;
use crate::interrupt::CtrlC;
use crate::net::names::{self, Resolve};
use crate::ring_choice::{self, RingChoice};
use crate::sys::uring::{Rung, Wanted};
use crate::time::clock::Clock;
use crate::trace::wanted_by_log;
use crate::turn::Options;

/// Makes an [`EventLoop`]; got from [`EventLoop::builder`].
///
/// # Examples
///
/// ```
/// use std::time::Duration;
///
/// let event_loop = uring_loop::EventLoop::builder()
///     .submissions(256)
///     .buffers(64, 4096)
///     .spin(Duration::from_micros(20))
///     .build()?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Debug)]
#[must_use = "a builder makes nothing until `build`"]
pub struct Builder {
    wanted: Wanted,
    completions: Option<u32>,
    buffers: Shape,
    spin: Duration,
    patience: Duration,
    eager: bool,
    debug: bool,
    ctrl_c: CtrlC,
    dump_on_signal: bool,
    limits: Limits,
    spans: Option<bool>,
    chrome: Option<PathBuf>,
    names: names::Options,
    without: &'static [u8],
    ring: RingChoice,
    #[cfg(any(test, feature = "testing"))]
    virtual_clock: bool,
}

impl Builder {
    pub(crate) fn new() -> Self {
        Builder {
            wanted: Wanted::default(),
            completions: None,
            buffers: Shape { buffers: 256, size: 16 << 10 },
            spin: Duration::ZERO,
            patience: Duration::from_secs(5),
            eager: false,
            debug: wanted_by_environment(),
            ctrl_c: CtrlC::Auto,
            dump_on_signal: false,
            limits: Limits::default(),
            spans: None,
            chrome: None,
            names: names::Options::new(),
            without: &[],
            ring: RingChoice::Auto,
            #[cfg(any(test, feature = "testing"))]
            virtual_clock: false,
        }
    }

    /// Entries of the submission queue, rounded up to a power of two. A full queue is handed over
    /// early; it never fails an operation. Default: 1024.
    pub fn submissions(mut self, entries: u32) -> Self {
        self.wanted.submissions = entries;
        self
    }

    /// Entries of the completion queue, rounded up to a power of two; not fewer than
    /// [`submissions`](Self::submissions). Default: four times as many.
    pub fn completions(mut self, entries: u32) -> Self {
        self.completions = Some(entries);
        self
    }

    /// How many buffers the loop lends to receiving streams (a power of two, at most 32768), and
    /// how many bytes each has. They are made when the first stream receives. Default: 256 of
    /// 16 KiB. Pages that nothing was received into yet take no memory.
    pub fn buffers(mut self, count: u16, size: u32) -> Self {
        self.buffers = Shape { buffers: count, size };
        self
    }

    /// At most so many kernel threads for operations that would block: for files, and for the
    /// rest. They are pinned to the CPUs of the thread that builds the loop. Default: 4 and 8.
    pub fn workers(mut self, files: u32, others: u32) -> Self {
        self.wanted.workers = [files.max(1), others.max(1)];
        self
    }

    /// How long to look for work before parking, once what was submitted is handed over. It
    /// adapts: where looking brings nothing it is done rarely. Zero, the default, parks at once.
    pub fn spin(mut self, limit: Duration) -> Self {
        self.spin = limit;
        self
    }

    /// How long a loop that is dropped waits for the kernel to give operations back, before their
    /// memory is leaked; and before that, for bytes that were handed over to a stream to be sent
    /// ([`ByteStream`](crate::io::ByteStream)). Default: 5 s.
    pub fn shutdown_patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Makes [`spawn`](crate::spawn) take the first step of a task at once, inside of the call. A
    /// task that does not wait then costs no round through the queue; but what follows the call
    /// runs after that step, not before. See [`spawn_eager`](crate::spawn_eager) for single tasks.
    #[doc(alias = "eager_task_factory")]
    pub fn eager_tasks(mut self, eager: bool) -> Self {
        self.eager = eager;
        self
    }

    /// Debug mode: polls that take too long, and those that never end, are reported, and so are
    /// tasks that are dropped with their loop while they wait. It costs some 100 ns a poll and a
    /// thread. Default: on if `URING_LOOP_DEBUG` is set to something else than 0.
    #[doc(alias = "PYTHONASYNCIODEBUG")]
    #[doc(alias = "set_debug")]
    pub fn debug(mut self, debug: bool) -> Self {
        self.debug = debug;
        self
    }

    /// In debug mode, a poll that takes longer is reported. Default: 100 ms.
    #[doc(alias = "slow_callback_duration")]
    pub fn slow_poll(mut self, limit: Duration) -> Self {
        self.limits.slow = limit;
        self
    }

    /// In debug mode, a poll that still runs after this time is reported by another thread.
    /// Default: 1 s.
    pub fn stall(mut self, limit: Duration) -> Self {
        self.limits.stall = limit;
        self
    }

    /// In debug mode, an operation that takes longer is reported, if it is one that ends by itself:
    /// on files, not on sockets. Default: 1 s.
    pub fn slow_operation(mut self, limit: Duration) -> Self {
        self.limits.operation = limit;
        self
    }

    /// Whether tasks and operations are spans of `tracing`: one per task in the target
    /// `uring_loop::task`, entered for each poll, and one per operation in `uring_loop::op`, from
    /// its submission to its completion, all at level TRACE. Default: if the log takes them when
    /// the loop is built. A loop without them does not pay for them.
    pub fn spans(mut self, spans: bool) -> Self {
        self.spans = Some(spans);
        self
    }

    /// Writes a trace of the loop to a file, for `chrome://tracing` or <https://ui.perfetto.dev>:
    /// each poll, each park and each operation on a time line. It grows by some 150 bytes an event,
    /// and is complete when the loop is dropped. Default: none.
    ///
    /// # Examples
    ///
    /// ```
    /// # let folder = std::env::temp_dir();
    /// # let path = folder.join(format!("uring-loop-doc-{}.json", std::process::id()));
    /// let mut event_loop = uring_loop::EventLoop::builder().chrome_trace(&path).build()?;
    /// event_loop.run_until_complete(async { uring_loop::yield_now().await })?;
    /// drop(event_loop);
    /// let trace = std::fs::read_to_string(&path)?;
    /// assert!(trace.contains("\"cat\":\"poll\""));
    /// # std::fs::remove_file(path)?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn chrome_trace(mut self, path: impl Into<PathBuf>) -> Self {
        self.chrome = Some(path.into());
        self
    }

    /// Prints the [dump](crate::Dump) of all tasks to stderr whenever SIGUSR1 comes while the loop
    /// runs: `kill -USR1 PID` shows what a server waits for. Default: off.
    pub fn dump_on_signal(mut self, dump: bool) -> Self {
        self.dump_on_signal = dump;
        self
    }

    /// Whether [`run_forever`](EventLoop::run_forever) and [`Runner`](crate::Runner) listen for
    /// Ctrl+C (SIGINT) while they run. Default: on the thread of `main`, unless SIGINT is handled
    /// or ignored already.
    pub fn ctrl_c(mut self, listen: bool) -> Self {
        self.ctrl_c = if listen { CtrlC::Always } else { CtrlC::Never };
        self
    }

    /// How long the addresses of a name are kept before it is looked up again. Zero keeps none.
    /// Default: 5 s, which spares a burst of connections to one name its look-ups, and is short
    /// beside the time for which name servers let an answer stand.
    pub fn keep_names(mut self, time: Duration) -> Self {
        self.names.keep = time;
        self
    }

    /// Who looks names up: another than the system's `getaddrinfo(3)`, or one made for a test.
    ///
    /// # Examples
    ///
    /// ```
    /// use uring_loop::EventLoop;
    ///
    /// let fixed = |host: &str| match host {
    ///     "db.internal" => Ok(vec!["10.0.0.7:0".parse().unwrap()]),
    ///     _ => Err(std::io::ErrorKind::NotFound.into()),
    /// };
    /// let mut event_loop = EventLoop::builder().resolve_with(fixed).build()?;
    /// let found = event_loop.run_until_complete(uring_loop::net::resolve("db.internal:5432"));
    /// assert_eq!(found.unwrap()?, ["10.0.0.7:5432".parse().unwrap()]);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn resolve_with(mut self, resolver: impl Resolve) -> Self {
        self.names.resolver = std::sync::Arc::new(resolver);
        self
    }

    /// Which ring the loop has. Default: what the environment says in `URING_LOOP_RING` (`auto`,
    /// `kernel`, `soft`), or else [`RingChoice::Auto`].
    ///
    /// # Examples
    ///
    /// ```
    /// use uring_loop::{EventLoop, RingChoice, RingKind};
    ///
    /// let event_loop = EventLoop::builder().ring(RingChoice::Soft).build()?;
    /// assert_eq!(event_loop.statistics().ring, RingKind::Soft);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn ring(mut self, ring: RingChoice) -> Self {
        self.ring = ring;
        self
    }

    /// The highest rung of the set-up ladder to try, for tests of the lower ones.
    #[doc(hidden)]
    pub fn top_rung(mut self, rung: Rung) -> Self {
        self.wanted.top = rung;
        self
    }

    /// Makes no use of these opcodes where there is another way, as on a kernel that lacks them;
    /// for tests of that.
    #[doc(hidden)]
    pub fn without(mut self, opcodes: &'static [u8]) -> Self {
        self.without = opcodes;
        self
    }

    /// A clock that jumps to the next timer when nothing else is to be done.
    #[cfg(any(test, feature = "testing"))]
    pub fn virtual_clock(mut self) -> Self {
        self.virtual_clock = true;
        self
    }

    fn clock(&self) -> Clock {
        #[cfg(any(test, feature = "testing"))]
        if self.virtual_clock {
            return Clock::virtual_();
        }
        Clock::real()
    }

    fn check(&self) -> io::Result<()> {
        let bad = |what: String| Err(io::Error::new(io::ErrorKind::InvalidInput, what));
        let Shape { buffers, size } = self.buffers;
        if !buffers.is_power_of_two() || buffers > 32768 || size == 0 {
            return bad(format!(
                "{buffers} buffers of {size} bytes: the count must be a power of two up to 32768, \
                 the size more than 0"
            ));
        }
        if self.wanted.submissions == 0 {
            return bad("a submission queue of 0 entries: give at least 1".into());
        }
        let submissions = self.wanted.submissions;
        if let Some(entries) = self.completions.filter(|entries| *entries < submissions) {
            return bad(format!(
                "a completion queue of {entries} entries is shorter than the submission queue of \
                 {submissions}: give at least as many, or make the other shorter"
            ));
        }
        Ok(())
    }

    /// Makes the loop. The thread that builds it is the one that runs it.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for options that make no sense, those of making the file of a trace,
    /// otherwise the refusal of the kernel with its cause and fix ([`Refused`](crate::Refused)), if
    /// there is to be no other ring than the kernel's or none can be had.
    pub fn build(self) -> io::Result<EventLoop> {
        self.check()?;
        let mut wanted = self.wanted.clone();
        wanted.completions = self.completions.unwrap_or(wanted.submissions.saturating_mul(4));
        let ring = ring_choice::make(self.ring.decide()?, &wanted)?;
        self.build_on(ring)
    }

    /// Makes a loop on a simulated kernel, with its virtual clock, and the handle to that kernel.
    ///
    /// # Errors
    ///
    /// As [`build`](Self::build); the refusal is [`SimConfig::refuse`](crate::testing::SimConfig).
    #[cfg(any(test, feature = "testing"))]
    pub fn build_simulated(
        mut self,
        config: crate::testing::SimConfig,
    ) -> io::Result<(EventLoop, crate::testing::SimHandle)> {
        self.check()?;
        self.virtual_clock = true;
        let (sim, handle) = crate::testing::Sim::new(config)?;
        Ok((self.build_on(Ring::Sim(Box::new(sim)))?, handle))
    }

    pub(crate) fn build_on(self, ring: Ring) -> io::Result<EventLoop> {
        let clock = self.clock();
        let options = Options {
            buffers: self.buffers,
            spin: self.spin,
            eager: self.eager,
            ctrl_c: self.ctrl_c,
            dump_on_signal: self.dump_on_signal,
            debug: self.debug.then_some(self.limits),
            spans: self.spans.unwrap_or_else(wanted_by_log),
            chrome: self.chrome,
            names: self.names,
            without: self.without,
        };
        EventLoop::assemble(ring, clock, self.patience, options)
    }
}
