//! The interface of the programs that start children and wait for them (`child_*`).
//!
//! A child has the core of its parent: what is counted as time is the work of both, one after the
//! other, and CPU time is the parent's alone.

use clap::Subcommand;

use crate::once::OnOneCore;
use crate::process::print_metrics;
use crate::spent::{Begin, Spent};

/// One way to run children. Every function builds its runtime, and tells what its children took.
#[derive(Debug, Clone, Copy)]
pub struct Peer {
    /// Runs [`PROGRAM`] to its end, which is a good one, `count` times, one after the other.
    pub one: fn(count: u64) -> Spent,
    /// The same, [`AT_ONCE`] at a time.
    pub many: fn(count: u64) -> Spent,
    /// Runs [`SPEAKER`] one after the other, and collects what it says, which is [`SPEECH`].
    pub output: fn(count: u64) -> Spent,
}

/// What is run.
pub const PROGRAM: &str = "/bin/true";
/// How many of them at a time.
pub const AT_ONCE: u64 = 32;
/// What is run for what it says, and its argument.
pub const SPEAKER: (&str, &str) = ("/bin/echo", "hello");
/// What it says.
pub const SPEECH: &[u8] = b"hello\n";

#[derive(Debug, Clone, Copy, Subcommand)]
enum What {
    /// One child after the other
    One,
    /// 32 children at a time
    Many,
    /// One child after the other, and what it writes
    Output,
}

/// Does something with a child, `count` times, one after the other.
///
/// # Cancel safety
///
/// None: the child it was about would be left to whoever runs it.
pub async fn one_by_one<F>(count: u64, child: impl Fn() -> F) -> Spent
where
    F: Future<Output = ()>,
{
    let begin = Begin::now();
    for _ in 0..count {
        child().await;
    }
    begin.spent()
}

/// The whole of a `child_*` program.
///
/// # Errors
///
/// When pinning is refused.
pub fn main(peer: Peer) -> anyhow::Result<()> {
    let options = OnOneCore::begin()?;
    let way = match options.what {
        What::One => peer.one,
        What::Many => peer.many,
        What::Output => peer.output,
    };
    let per_unit = options.length.spent_per_unit(|count| Ok(way(count)))?;
    print_metrics([("ns", per_unit.ns), ("cpu_ns", per_unit.cpu_ns)]);
    Ok(())
}
