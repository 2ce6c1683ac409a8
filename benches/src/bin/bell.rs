//! The bell of a door: three ways to wake a loop parked in its ring, measured side by side.
//!
//! A sleeper is parked in `io_uring_enter` on one core; a ringer on another core rings and waits
//! for the answer on a shared word (spinning, so that only one wake is measured). The ways:
//! `eventfd` (write(2) on an eventfd that the ring polls with one multishot POLL_ADD), `msg_ring`
//! (`IORING_OP_MSG_RING` from the ringer's own ring) and `send_msg_ring`
//! (`IORING_REGISTER_SEND_MSG_RING`, from a thread without a ring, 6.13).

use std::os::fd::{AsRawFd, RawFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context;
use benches::uring::Parts;
use clap::Parser;
use io_uring::{IoUring, opcode, types};

/// Measures the ways to wake a parked loop.
#[derive(Debug, Parser)]
struct Options {
    /// Core of the sleeper
    #[arg(long, default_value_t = 0)]
    core: usize,
    /// Core of the ringer
    #[arg(long, default_value_t = 1)]
    other_core: usize,
    /// Wakes per way and round
    #[arg(long, default_value_t = 5000)]
    wakes: u64,
    /// Rounds, the ways in turn
    #[arg(long, default_value_t = 9)]
    rounds: usize,
}

const WAYS: [&str; 3] = ["eventfd", "msg_ring", "send_msg_ring"];
const STOP: u64 = u64::MAX;
/// `IORING_REGISTER_SEND_MSG_RING`.
const REGISTER_SEND_MSG_RING: u32 = 31;

/// What both threads see: which wake was asked for, and which was answered.
struct Shared {
    asked: AtomicU64,
    answered: AtomicU64,
    ring: AtomicI32,
}

fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    let mut samples: [Vec<(f64, f64)>; 3] = Default::default();
    for _ in 0..options.rounds {
        for (way, samples) in samples.iter_mut().enumerate() {
            samples.push(round(way, &options)?);
        }
    }
    println!("way            wake to answer p50 us   cost to the ringer ns   (medians of rounds)");
    for (name, samples) in WAYS.iter().zip(&mut samples) {
        let latency = median(samples.iter().map(|sample| sample.0).collect());
        let cost = median(samples.iter().map(|sample| sample.1).collect());
        println!("{name:14} {latency:22.2} {cost:23.0}");
    }
    Ok(())
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// One way, in microseconds from ringing to the answer (p50) and nanoseconds of ringing (p50).
fn round(way: usize, options: &Options) -> anyhow::Result<(f64, f64)> {
    let shared = Arc::new(Shared {
        asked: AtomicU64::new(0),
        answered: AtomicU64::new(0),
        ring: AtomicI32::new(-1),
    });
    let event = Arc::new(nix::sys::eventfd::EventFd::new()?);
    let sleeper = {
        let (shared, event, core) = (shared.clone(), event.clone(), options.core);
        std::thread::spawn(move || sleep(&shared, event.as_raw_fd(), core))
    };
    benches::pin::to_core(options.other_core)?;
    while shared.ring.load(Ordering::Acquire) < 0 {
        anyhow::ensure!(!sleeper.is_finished(), "the sleeper could not start");
        std::thread::sleep(Duration::from_millis(1));
    }
    let mut own = benches::uring::build(8, 16)?;
    let mut ringer = Ringer {
        way,
        event: &event,
        parts: Parts::new(&mut own)?,
        target: shared.ring.load(Ordering::Acquire),
    };
    let (mut latencies, mut costs) = (Vec::new(), Vec::new());
    for wake in 1..=options.wakes {
        // Long enough for the sleeper to park, and for its core to go idle.
        let pause = Instant::now();
        while pause.elapsed() < Duration::from_micros(40) {
            std::hint::spin_loop();
        }
        shared.asked.store(wake, Ordering::Release);
        let start = Instant::now();
        ringer.ring()?;
        costs.push(start.elapsed().as_nanos() as f64);
        while shared.answered.load(Ordering::Acquire) != wake {
            std::hint::spin_loop();
        }
        latencies.push(start.elapsed().as_nanos() as f64 / 1000.0);
    }
    shared.asked.store(STOP, Ordering::Release);
    ringer.ring()?;
    sleeper.join().map_err(|_| anyhow::anyhow!("the sleeper panicked"))??;
    Ok((median(latencies), median(costs)))
}

struct Ringer<'a> {
    way: usize,
    event: &'a nix::sys::eventfd::EventFd,
    parts: Parts<'a>,
    target: RawFd,
}

impl Ringer<'_> {
    fn ring(&mut self) -> anyhow::Result<()> {
        match self.way {
            0 => drop(self.event.write(1).context("ringing the eventfd")?),
            1 => {
                let entry = opcode::MsgRingData::new(types::Fd(self.target), 0, 2, None).build();
                // SAFETY: a message points at nothing.
                unsafe { self.parts.push(&entry)? };
                self.parts.enter(1)?;
                (&mut self.parts.done).for_each(drop);
            }
            _ => self.send_without_ring()?,
        }
        Ok(())
    }

    fn send_without_ring(&self) -> anyhow::Result<()> {
        let mut entry = [0u64; 8];
        // struct io_uring_sqe: opcode in byte 0, fd in bytes 4 to 7, off (the user data) in word 1,
        // addr (IORING_MSG_DATA = 0) in word 2.
        entry[0] = 40 | (self.target as u32 as u64) << 32;
        entry[1] = 2;
        // SAFETY: the argument is one io_uring_sqe that outlives the call, as
        // IORING_REGISTER_SEND_MSG_RING asks (io_uring_register(2)); fd -1: no ring of ours.
        let result = unsafe {
            libc::syscall(
                libc::SYS_io_uring_register,
                -1,
                REGISTER_SEND_MSG_RING,
                entry.as_ptr(),
                1,
            )
        };
        anyhow::ensure!(result >= 0, "SEND_MSG_RING: {}", std::io::Error::last_os_error());
        Ok(())
    }
}

/// Parks in its ring again and again, and answers each wake.
fn sleep(shared: &Shared, event: RawFd, core: usize) -> anyhow::Result<()> {
    benches::pin::to_core(core)?;
    let mut ring: IoUring = benches::uring::build(8, 64)?;
    let descriptor = ring.as_raw_fd();
    let mut parts = Parts::new(&mut ring)?;
    let poll = opcode::PollAdd::new(types::Fd(event), libc::POLLIN as u32).multi(true).build();
    // SAFETY: a poll points at nothing.
    unsafe { parts.push(&poll.user_data(1))? };
    parts.enter(0)?;
    shared.ring.store(descriptor, Ordering::Release);
    loop {
        parts.enter(1)?;
        (&mut parts.done).for_each(drop);
        let asked = shared.asked.load(Ordering::Acquire);
        if asked == STOP {
            return Ok(());
        }
        shared.answered.store(asked, Ordering::Release);
    }
}
