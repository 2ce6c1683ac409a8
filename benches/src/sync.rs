//! The interface of the programs that measure locks, queues and gathering (`sync_*`).
//!
//! All of it is between tasks of one thread, which is pinned. A program gives a function for each
//! row it has, and calls [`main`].

use std::time::Duration;

use clap::Subcommand;

use crate::once::OnOneCore;
use crate::process::print_metrics;

/// One set of primitives. Every function builds its executor, does its work in a spawned task and
/// gives the time.
#[derive(Debug, Clone, Copy)]
pub struct Peer {
    /// Takes a free lock and gives it back, `count` times.
    pub lock: fn(count: u64) -> Duration,
    /// [`TASKS`] tasks take one lock in turn, and yield once while they hold it; `count` times in
    /// all.
    pub lock_contended: fn(count: u64) -> Duration,
    /// Takes a free permit of a semaphore and gives it back, `count` times.
    pub semaphore: fn(count: u64) -> Duration,
    /// [`TASKS`] tasks share [`PERMITS`] permits, and yield once while they hold one; `count` times
    /// in all.
    pub semaphore_contended: fn(count: u64) -> Duration,
    /// One task puts `count` numbers into a queue with room for [`ROOM`], another gets them.
    pub queue: fn(count: u64) -> Duration,
    /// Spawns [`MANY`] tasks that yield once, and gathers their results in order, until `count`
    /// tasks are done.
    pub gather: Option<fn(count: u64) -> Duration>,
}

/// Tasks that contend.
pub const TASKS: u64 = 100;
/// Permits they contend for.
pub const PERMITS: usize = 10;
/// Room in a queue.
pub const ROOM: usize = 64;
/// Tasks that are gathered.
pub const MANY: u64 = 1000;

#[derive(Debug, Clone, Copy, Subcommand)]
enum What {
    /// A lock that is free
    Lock,
    /// A lock that a hundred tasks want
    LockContended,
    /// A semaphore with a free permit
    Semaphore,
    /// Ten permits that a hundred tasks want
    SemaphoreContended,
    /// A queue with room for 64, from one task to another
    Queue,
    /// A thousand tasks, gathered in order
    Gather,
}

/// The whole of a `sync_*` program. For what it has not it prints an empty object.
///
/// # Errors
///
/// When pinning is refused.
pub fn main(peer: Peer) -> anyhow::Result<()> {
    let options = OnOneCore::begin()?;
    let measured = match options.what {
        What::Lock => Some(peer.lock),
        What::LockContended => Some(peer.lock_contended),
        What::Semaphore => Some(peer.semaphore),
        What::SemaphoreContended => Some(peer.semaphore_contended),
        What::Queue => Some(peer.queue),
        What::Gather => peer.gather,
    };
    let ns = measured.map(|way| options.length.nanoseconds_per_unit(way));
    print_metrics(ns.map(|ns| ("ns", ns)));
    Ok(())
}
