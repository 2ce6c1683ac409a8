//! The load maker for servers that echo or answer requests: one pinned thread, a closed loop per
//! connection.
//!
//! Each connection keeps `depth` messages under way and sends a new one for each that has come back
//! whole. Every byte is checked. Latency runs from the turn in which the client could first send a
//! message to the turn that saw its last byte, so a client that is itself late counts against the
//! server: the busy shares in the result say who was the bottleneck.
//!
//! Who that is changes what a request costs. In a closed loop all connections queue at the slower
//! side. Where that is the server, thousands of sockets wait in it and each is cold in the caches
//! when its turn comes; where it is the client, the server meets each soon after its data came. A
//! pair of equal speed flips between the two (a quarter of difference at 4000 connections). Hence
//! two engines: the epoll client is slower than every good server, so those are compared below
//! saturation and steadily; the ring client is about as fast as the floor, and saturates the rest.

mod connection;
mod idle;
mod pattern;
mod ready;
mod ring;
mod script;
mod session;

use std::net::SocketAddr;
use std::time::Duration;

use crate::uring::{Buffers, Parts};

pub use idle::{Before, settle};
pub use script::Exchange;

/// How the client meets the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Client {
    /// epoll, read, write
    Epoll,
    /// A bare io_uring
    Uring,
}

/// What the client does.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Connections, all open from the start.
    pub connections: usize,
    /// What is asked, and what has to come back.
    pub exchange: Exchange,
    /// Messages under way on each connection.
    pub depth: usize,
    /// Time before anything is counted.
    pub warm_up: Duration,
    /// Time that is counted.
    pub duration: Duration,
    /// Core of the client.
    pub core: usize,
    /// Which engine.
    pub client: Client,
    /// Poll instead of sleeping.
    pub spin: bool,
    /// Where the server listens.
    pub server: SocketAddr,
}

/// What came of it, within the counted window.
#[derive(Debug, Clone)]
pub struct Outcome<P> {
    /// What the probe said at the beginning and at the end of the window.
    pub probes: (P, P),
    /// Messages that came back whole.
    pub requests: u64,
    /// How long the window was in fact.
    pub elapsed: Duration,
    /// Latency in nanoseconds.
    pub latency: hdrhistogram::Histogram<u64>,
    /// CPU time of the client's thread.
    pub client_cpu: Duration,
}

/// Runs the plan on a thread of its own, calling `probe` at both ends of the counted window.
///
/// # Errors
///
/// When the server refuses, closes or resets a connection, falls silent for ten seconds, or sends
/// anything else than is due.
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
    let (question, answer) = plan.exchange.sizes();
    let burst = question.max(answer) * plan.depth;
    let buffer = burst.next_power_of_two().clamp(4096, 65536);
    let script = script::Script::new(plan.exchange, burst.max(buffer));
    let streams = connection::open(plan.server, plan.connections)?;
    let mut session = session::Session::new(plan, &script, &streams)?;
    match plan.client {
        Client::Epoll => {
            let mut engine = ready::Ready::new(streams.len(), buffer)?;
            session.measure(&mut engine, probe)
        }
        Client::Uring => {
            let mut buffers = Buffers::new(512, buffer);
            let mut ring = crate::uring::build(2048, 32768)?;
            // SAFETY: all of them are declared before the ring.
            let mut engine = unsafe { ring::Ring::new(Parts::new(&mut ring)?, &mut buffers)? };
            session.measure(&mut engine, probe)
        }
    }
}
