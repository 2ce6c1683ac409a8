//! The client's loop: a bare ring, multishot recv into provided buffers, sends straight from the
//! pattern.

use std::collections::VecDeque;
use std::net::TcpStream;
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use hdrhistogram::Histogram;
use io_uring::{cqueue, opcode, types};
use nix::time::{ClockId, clock_gettime};

use super::connection::{Connection, open};
use super::pattern::Pattern;
use super::{Outcome, Plan};
use crate::uring::{Buffers, Parts};

const GROUP: u16 = 0;
const RECV: u64 = 0;
const SEND: u64 = 1;
const TICK: u64 = 2;

/// The kernel wakes the client this often, so that a silent server is noticed.
const TICKS: Duration = Duration::from_millis(100);
/// A server that answers nothing for so long is given up.
const SILENCE: Duration = Duration::from_secs(10);

struct Engine<'run> {
    plan: &'run Plan,
    parts: Parts<'run>,
    buffers: &'run mut Buffers,
    pattern: &'run Pattern,
    streams: Vec<TcpStream>,
    connections: Vec<Connection>,
    starved: VecDeque<usize>,
    latency: Histogram<u64>,
    begin: Instant,
    /// Nanoseconds since `begin`, read once per turn.
    now: u64,
    requests: u64,
    last_progress: u64,
}

/// Runs the plan on a thread of its own, calling `probe` at both ends of the counted window.
///
/// # Errors
///
/// When the server refuses, closes or resets a connection, falls silent for ten seconds, or sends
/// back anything else than it was sent.
pub fn run<P: Send>(plan: &Plan, probe: impl Fn() -> P + Send) -> anyhow::Result<Outcome<P>> {
    std::thread::scope(|scope| {
        let client = scope.spawn(|| {
            crate::pin::to_core(plan.core)?;
            drive(plan, probe)
        });
        client.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

fn drive<P>(plan: &Plan, probe: impl Fn() -> P) -> anyhow::Result<Outcome<P>> {
    let burst = plan.size * plan.depth;
    let buffer = burst.next_power_of_two().clamp(4096, 65536);
    let pattern = Pattern::new(burst.max(buffer));
    let mut buffers = Buffers::new(512, buffer);
    let streams = open(plan.server, plan.connections)?;
    let mut ring = crate::uring::build(2048, 32768)?;
    let parts = Parts::new(&mut ring)?;
    // SAFETY: buffers and pattern are declared before the ring, so dropped after it.
    unsafe { buffers.register(&parts.submitter, GROUP)? };
    let mut engine = Engine {
        plan,
        parts,
        buffers: &mut buffers,
        pattern: &pattern,
        connections: (0..streams.len()).map(|n| Connection::new(n, plan.depth)).collect(),
        streams,
        starved: VecDeque::new(),
        latency: Histogram::new_with_bounds(1, 60_000_000_000, 3)?,
        begin: Instant::now(),
        now: 0,
        requests: 0,
        last_progress: 0,
    };
    engine.measure(probe)
}

impl Engine<'_> {
    fn measure<P>(&mut self, probe: impl Fn() -> P) -> anyhow::Result<Outcome<P>> {
        // SAFETY: a multishot timeout reads its timespec while it is submitted, which `until`
        // does below, before `every` goes out of scope.
        let every = types::Timespec::from(TICKS);
        let tick = opcode::Timeout::new(&raw const every)
            .flags(types::TimeoutFlags::MULTISHOT)
            .count(0)
            .build();
        // SAFETY: as said above.
        unsafe { self.parts.push(&tick.user_data(TICK))? };
        for number in 0..self.connections.len() {
            self.receive(number)?;
            let piece = self.connections[number].ask(self.plan.depth, self.plan.size, 0);
            self.send(number, piece)?;
        }
        self.until(self.plan.warm_up)?;
        self.requests = 0;
        self.latency.reset();
        let first = (probe(), thread_cpu()?, self.clock());
        self.until(first.2 + self.plan.duration)?;
        let last = (probe(), thread_cpu()?, self.clock());
        Ok(Outcome {
            probes: (first.0, last.0),
            requests: self.requests,
            elapsed: last.2 - first.2,
            latency: self.latency.clone(),
            client_cpu: last.1 - first.1,
        })
    }

    fn clock(&self) -> Duration {
        self.begin.elapsed()
    }

    fn until(&mut self, end: Duration) -> anyhow::Result<()> {
        while Duration::from_nanos(self.now) < end {
            self.turn()?;
        }
        Ok(())
    }

    fn turn(&mut self) -> anyhow::Result<()> {
        if self.plan.spin {
            self.parts.spin(1_000_000)?;
        } else {
            self.parts.enter(1)?;
        }
        self.now = self.clock().as_nanos() as u64;
        while let Some(done) = self.parts.done.next() {
            let number = (done.user_data() >> 8) as usize;
            match done.user_data() & 0xff {
                RECV => self.received(number, done.result(), done.flags())?,
                SEND => self.sent(number, done.result())?,
                _ => self.look_for_silence()?,
            }
        }
        self.buffers.publish();
        while let Some(number) = self.starved.pop_front() {
            self.receive(number)?;
        }
        Ok(())
    }

    fn look_for_silence(&self) -> anyhow::Result<()> {
        if Duration::from_nanos(self.now - self.last_progress) > SILENCE {
            bail!("no answer from the server for {SILENCE:?}");
        }
        Ok(())
    }

    fn receive(&mut self, number: usize) -> anyhow::Result<()> {
        let fd = types::Fd(self.streams[number].as_raw_fd());
        let entry = opcode::RecvMulti::new(fd, GROUP).build();
        // SAFETY: the kernel writes to provided buffers only, which outlive the operation.
        Ok(unsafe { self.parts.push(&entry.user_data((number as u64) << 8 | RECV))? })
    }

    #[inline]
    fn send(&mut self, number: usize, piece: Option<(usize, usize)>) -> anyhow::Result<()> {
        let Some((position, length)) = piece else { return Ok(()) };
        let fd = types::Fd(self.streams[number].as_raw_fd());
        let bytes = self.pattern.at(position, length);
        let entry = opcode::Send::new(fd, bytes.as_ptr(), length as u32)
            .flags(libc::MSG_WAITALL | libc::MSG_NOSIGNAL)
            .build();
        // SAFETY: the pattern is never written and outlives the ring.
        Ok(unsafe { self.parts.push(&entry.user_data((number as u64) << 8 | SEND))? })
    }

    #[inline]
    fn received(&mut self, number: usize, result: i32, flags: u32) -> anyhow::Result<()> {
        if result > 0 {
            let id = cqueue::buffer_select(flags).context("a recv without a buffer")?;
            let bytes = self.buffers.lent(id, result as usize);
            let (now, latency) = (self.now, &mut self.latency);
            let whole = self.connections[number]
                .received(bytes, self.pattern, self.plan.size, |stamp| {
                    latency.saturating_record(now - stamp);
                })
                .with_context(|| format!("connection {number}"))?;
            self.buffers.give(id);
            self.requests += whole as u64;
            self.last_progress = now;
            let piece = self.connections[number].ask(whole, self.plan.size, now);
            self.send(number, piece)?;
        } else if result == 0 {
            bail!("the server closed connection {number}");
        } else if result != -libc::ENOBUFS {
            let error = std::io::Error::from_raw_os_error(-result);
            return Err(error).context(format!("receiving on connection {number}"));
        }
        if !cqueue::more(flags) {
            self.starved.push_back(number);
        }
        Ok(())
    }

    #[inline]
    fn sent(&mut self, number: usize, result: i32) -> anyhow::Result<()> {
        if result < 0 {
            let error = std::io::Error::from_raw_os_error(-result);
            return Err(error).context(format!("sending on connection {number}"));
        }
        let piece = self.connections[number].sent(result as usize, self.plan.size);
        self.send(number, piece)
    }
}

fn thread_cpu() -> anyhow::Result<Duration> {
    Ok(clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID)?.into())
}
