//! The load maker for echo servers: one pinned thread, a bare ring, a closed loop per connection.
//!
//! Each connection keeps `depth` messages under way and sends a new one for each that has come back
//! whole. Every byte is checked. Latency runs from the turn in which the client could first send a
//! message to the turn that saw its last byte, so a client that is itself late counts against the
//! server: the `client` share in the result says how busy it was.

mod connection;
mod engine;
mod idle;
mod pattern;

use std::net::SocketAddr;
use std::time::Duration;

pub use engine::run;
pub use idle::settle;

/// What the client does.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Connections, all open from the start.
    pub connections: usize,
    /// Bytes of one message.
    pub size: usize,
    /// Messages under way on each connection.
    pub depth: usize,
    /// Time before anything is counted.
    pub warm_up: Duration,
    /// Time that is counted.
    pub duration: Duration,
    /// Core of the client.
    pub core: usize,
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
