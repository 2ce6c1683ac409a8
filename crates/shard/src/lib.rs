//! One event loop per core: sharded servers without locks.
//!
//! A *shard* is a thread that is pinned to one CPU and runs one [event loop](uring_loop). A program
//! is written for one shard; [`Shards`] runs it on each, and what shards have to tell each other
//! goes by messages: [`Shard::submit_to`] runs a closure on another shard, [`channel`] carries
//! values of a type.
//!
//! ```
//! use shard::{Shard, Shards};
//! use std::cell::Cell;
//!
//! thread_local! { static VISITS: Cell<u32> = const { Cell::new(0) } }
//!
//! let shards = Shards::builder().spawn(|shard: Shard| async move {
//!     for other in 0..shard.count() {
//!         // This runs over there, where nobody else touches what is there.
//!         shard.submit_to(other, || async { VISITS.set(VISITS.get() + 1) }).await?;
//!     }
//!     Ok(())
//! })?;
//! shards.join()?;
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! The words are those of Seastar, which this follows in much else.
//!
//! # Spinning
//!
//! Waking a core that sleeps is most of the cost of a message (tens of microseconds). A loop that
//! looks around for a while before it sleeps saves that where messages come close together:
//! `Shards::builder().event_loop(|options| options.spin(Duration::from_micros(50)))`. It adapts:
//! where looking brings nothing it becomes rare. By default loops sleep at once.

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

/// Whether the planted fault of this name is on: only in a build with `--cfg mutants`, and there
/// only for the name in the variable `MUTANT` (docs/HACKING.md).
macro_rules! mutant {
    ($name:literal) => {{
        static ON: std::sync::LazyLock<bool> =
            std::sync::LazyLock::new(|| std::env::var_os("MUTANT").is_some_and(|on| on == $name));
        cfg!(mutants) && *ON
    }};
}

#[cfg(not(loom))]
mod builder;
#[cfg(not(loom))]
mod calls;
pub mod channel;
#[cfg(not(loom))]
mod cpus;
#[cfg(not(loom))]
mod deploy;
#[cfg(not(loom))]
mod entry;
#[cfg(not(loom))]
mod error;
#[cfg(not(loom))]
mod event;
#[cfg(not(loom))]
mod everywhere;
#[cfg(not(loom))]
mod gate;
#[cfg(not(loom))]
mod group;
#[cfg(not(loom))]
mod link;
#[cfg(all(test, loom))]
mod loom_tests;
#[cfg(not(loom))]
mod mesh;
#[cfg(not(loom))]
mod peers;
#[cfg(not(loom))]
mod restart;
#[cfg(not(loom))]
mod route;
#[cfg(not(loom))]
mod run;
#[cfg(not(loom))]
mod server;
#[cfg(not(loom))]
mod service;
#[cfg(not(loom))]
mod shard;
#[cfg(not(loom))]
mod sharded;
#[cfg(not(loom))]
mod shards;
mod spsc;
#[cfg(all(test, not(loom)))]
mod spsc_tests;
#[cfg(not(loom))]
mod state;
#[cfg(not(loom))]
mod sys;
#[cfg(not(loom))]
mod topology;
#[cfg(not(loom))]
mod watch;
#[cfg_attr(loom, allow(dead_code, reason = "who uses it is not built there"))]
mod wire;
#[cfg(all(test, loom))]
mod wire_loom_tests;

#[cfg(not(loom))]
pub use builder::Builder;
#[cfg(not(loom))]
pub use deploy::{Deploy, Mode, ShardStatistics};
#[cfg(not(loom))]
pub use entry::Entry;
#[cfg(not(loom))]
pub use error::{CallError, Cause, Ended, Failure};
#[cfg(not(loom))]
pub use event::Event;
#[cfg(not(loom))]
pub use gate::{Gate, GateClosed, Pass};
#[cfg(not(loom))]
pub use peers::Peers;
#[cfg(not(loom))]
pub use restart::Restart;
#[cfg(not(loom))]
pub use route::{hash, jump_hash, route};
#[cfg(not(loom))]
pub use server::{Accept, Connection, Listener, Seat, Served, Server, Wake};
#[cfg(not(loom))]
pub use service::Service;
#[cfg(not(loom))]
pub use shard::Shard;
#[cfg(not(loom))]
pub use sharded::Sharded;
#[cfg(not(loom))]
pub use shards::{Shards, Stopper};
#[cfg(not(loom))]
pub use topology::{Cpu, Placement, Quota, Topology, cpu_list};
