//! The interface of the programs that pass messages between two threads (`msg_*`).
//!
//! A program gives up to four functions over a pair of cores and calls [`main`]: "loops" are two
//! executors on two threads, each pinned to its core; floors are two bare threads.

pub mod channel;
pub mod ours;
pub mod processes;

use std::time::Duration;

use clap::{Parser, Subcommand};

use crate::once::{self, Length, TwoCores};
use crate::process::print_metrics;

/// The cores of the two sides; the first asks or sends.
pub type Cores = (usize, usize);

/// One way to pass messages.
#[derive(Debug, Clone, Copy)]
pub struct Peer {
    /// The first side sends a number and awaits it back, `count` times.
    pub round_trip: fn(cores: Cores, count: u64) -> Duration,
    /// The first side sends `count` numbers; the time until the second has them all.
    pub one_way: Option<fn(cores: Cores, count: u64) -> Duration>,
    /// As `one_way`, but [`BATCH`] numbers are handed over at a time, and received up to
    /// [`BATCHES_TAKEN`] of those at a time.
    pub batched: Option<fn(cores: Cores, count: u64) -> Duration>,
    /// The first side has a closure run on the other's executor and awaits the number it gives,
    /// `count` times.
    pub call: Option<fn(cores: Cores, count: u64) -> Duration>,
}

impl Peer {
    /// A way that has nothing but the round trip.
    #[must_use]
    pub fn new(round_trip: fn(cores: Cores, count: u64) -> Duration) -> Self {
        Self { round_trip, one_way: None, batched: None, call: None }
    }
}

/// Room in a bounded channel.
pub const ROOM: usize = 1024;
/// Numbers handed over together in [`Peer::batched`].
pub const BATCH: usize = 128;
/// The receiver takes so many batches at once, if so many are there.
pub const BATCHES_TAKEN: usize = 2;

/// Measures messages between two threads and prints one line of JSON.
#[derive(Debug, Parser)]
struct Options {
    #[command(subcommand)]
    what: What,
    #[command(flatten)]
    length: Length,
    #[command(flatten)]
    cores: TwoCores,
}

#[derive(Debug, Clone, Copy, Subcommand)]
enum What {
    /// There and back, one at a time
    RoundTrip,
    /// A stream in one direction
    OneWay,
    /// A stream in one direction, 128 messages at a time
    Batched,
    /// A closure that runs on the other loop, and its result
    Call,
}

/// The whole of a `msg_*` program. For what it has not it prints an empty object.
///
/// # Errors
///
/// None yet; `Result` for what a program may come to need.
pub fn main(peer: Peer) -> anyhow::Result<()> {
    let options = Options::parse();
    once::limit_life();
    let cores = (options.cores.core, options.cores.other_core);
    let measured = match options.what {
        What::RoundTrip => Some(peer.round_trip),
        What::OneWay => peer.one_way,
        What::Batched => peer.batched,
        What::Call => peer.call,
    };
    let ns = measured.map(|way| options.length.nanoseconds_per_unit(|count| way(cores, count)));
    print_metrics(ns.map(|ns| ("ns", ns)));
    Ok(())
}

/// Runs `first` and `second` on threads of their own, pinned; returns what `first` or `second`
/// timed, whichever is not zero.
///
/// # Panics
///
/// When a thread cannot be pinned, or either side panics.
pub fn pair(
    cores: Cores,
    first: impl FnOnce() -> Duration + Send,
    second: impl FnOnce() -> Duration + Send,
) -> Duration {
    std::thread::scope(|scope| {
        let second = scope.spawn(move || {
            crate::pin::to_core(cores.1).expect("the second core");
            second()
        });
        let first = scope.spawn(move || {
            crate::pin::to_core(cores.0).expect("the first core");
            first()
        });
        let join = |side: std::thread::ScopedJoinHandle<'_, _>| {
            side.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        };
        join(first).max(join(second))
    })
}
