//! What both engines share: the state of all connections, the clock, the counts, the window.

use std::net::TcpStream;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use hdrhistogram::Histogram;
use nix::time::{ClockId, clock_gettime};

use super::connection::Connection;
use super::script::Script;
use super::{Outcome, Plan};

/// Engines look up this often at the latest, so that a silent server is noticed.
pub(super) const TICK: Duration = Duration::from_millis(100);
/// A server that answers nothing for so long is given up.
const SILENCE: Duration = Duration::from_secs(10);

/// Moves bytes between the kernel and a [`Session`].
pub(super) trait Engine {
    /// Begins to receive on connection `number` and sends it its first piece.
    fn begin(&mut self, session: &mut Session<'_>, number: usize) -> anyhow::Result<()>;

    /// Waits for something, calls [`Session::tick`], and deals with all there is.
    fn turn(&mut self, session: &mut Session<'_>) -> anyhow::Result<()>;
}

/// A piece of what is asked: position and length.
pub(super) type Piece = (usize, usize);

/// All connections of one run.
#[derive(Debug)]
pub(super) struct Session<'run> {
    pub(super) plan: &'run Plan,
    pub(super) script: &'run Script,
    pub(super) streams: &'run [TcpStream],
    connections: Vec<Connection>,
    latency: Histogram<u64>,
    begin: Instant,
    /// Nanoseconds since `begin`, read once per turn.
    now: u64,
    requests: u64,
    last_progress: u64,
}

impl<'run> Session<'run> {
    pub(super) fn new(
        plan: &'run Plan,
        script: &'run Script,
        streams: &'run [TcpStream],
    ) -> anyhow::Result<Self> {
        Ok(Self {
            plan,
            script,
            streams,
            connections: (0..streams.len())
                .map(|number| Connection::new(script, number, plan.depth))
                .collect(),
            latency: Histogram::new_with_bounds(1, 60_000_000_000, 3)?,
            begin: Instant::now(),
            now: 0,
            requests: 0,
            last_progress: 0,
        })
    }

    /// Runs warm-up and window on `engine`.
    pub(super) fn measure<P>(
        &mut self,
        engine: &mut impl Engine,
        probe: impl Fn() -> P,
    ) -> anyhow::Result<Outcome<P>> {
        self.tick();
        for number in 0..self.connections.len() {
            engine.begin(self, number)?;
        }
        self.until(engine, self.begin.elapsed() + self.plan.warm_up)?;
        self.requests = 0;
        self.latency.reset();
        let first = (probe(), thread_cpu()?, self.begin.elapsed());
        self.until(engine, first.2 + self.plan.duration)?;
        let last = (probe(), thread_cpu()?, self.begin.elapsed());
        Ok(Outcome {
            probes: (first.0, last.0),
            requests: self.requests,
            elapsed: last.2 - first.2,
            latency: self.latency.clone(),
            client_cpu: last.1 - first.1,
        })
    }

    fn until(&mut self, engine: &mut impl Engine, end: Duration) -> anyhow::Result<()> {
        while Duration::from_nanos(self.now) < end {
            engine.turn(self)?;
            if Duration::from_nanos(self.now - self.last_progress) > SILENCE {
                bail!("no answer from the server for {SILENCE:?}");
            }
        }
        Ok(())
    }

    /// Reads the clock for this turn.
    #[inline]
    pub(super) fn tick(&mut self) {
        self.now = self.begin.elapsed().as_nanos() as u64;
    }

    /// The first piece of a connection.
    pub(super) fn first(&mut self, number: usize) -> Option<Piece> {
        self.connections[number].ask(self.script, self.plan.depth, self.now)
    }

    /// Bytes came back. `Some` is what to send for the messages they completed.
    #[inline]
    pub(super) fn received(
        &mut self,
        number: usize,
        bytes: &[u8],
    ) -> anyhow::Result<Option<Piece>> {
        if bytes.is_empty() {
            bail!("the server closed connection {number}");
        }
        let (now, latency) = (self.now, &mut self.latency);
        let connection = &mut self.connections[number];
        let whole = connection
            .received(self.script, bytes, |stamp| {
                latency.saturating_record(now - stamp);
            })
            .with_context(|| format!("connection {number}"))?;
        self.requests += whole as u64;
        self.last_progress = now;
        Ok(connection.ask(self.script, whole, now))
    }

    /// The kernel took `sent` bytes. `Some` is what to send next.
    #[inline]
    pub(super) fn sent(&mut self, number: usize, sent: usize) -> Option<Piece> {
        self.connections[number].sent(self.script, sent)
    }
}

fn thread_cpu() -> anyhow::Result<Duration> {
    Ok(clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID)?.into())
}
