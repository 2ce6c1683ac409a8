//! Drives the measured programs in interleaved rounds; prints tables, writes a JSON record.
//!
//! It builds nothing: the programs are those found beside it.

mod echo;
mod how;
mod idle;
mod once;

use std::process::ExitCode;

use benches::environment;
use benches::report::Record;
use clap::{Parser, Subcommand};

use crate::how::{How, Run};

/// Compares runtimes with each other and with hand-written floors, side by side.
///
/// Every sample is a fresh process. Rounds are interleaved (A B C, B C A, ...), so that drift of
/// the machine meets all alike, and ratios are those of samples of the same round. Before a sample
/// it waits until the machine is quiet; a sample that others disturbed is taken anew.
///
/// Shown are medians, half the width of their 95 % interval in per cent (±), and ratios with their
/// interval. All samples go into a JSON record, with the machine, the kernel and the commit.
#[derive(Debug, Parser)]
#[command(after_help = "\
Build first:  cargo build --profile bench -p benches --bins
Then, e.g.:   target/release/compare echo --servers ours,floor,tokio --connections 1000
              target/release/compare exec --rows spawn,yield
              target/release/compare pools --rounds 1 --patience 0 --retakes 0   (a quick look)")]
struct Command {
    #[command(subcommand)]
    what: What,
    #[command(flatten)]
    how: How,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Echo servers: server CPU per request, latency, throughput
    Echo(echo::Options),
    /// Echo servers: memory of an idle connection
    Idle(idle::Options),
    /// Executors: spawn, yield, timeout, memory of a sleeping task
    #[command(after_help = "Rows: spawn, spawn-many, yield, timeout, timeout-ready, sleep")]
    Exec(once::Options),
    /// Locks, queues and gathering between the tasks of one loop
    #[command(
        after_help = "Rows: lock, lock-contended, semaphore, semaphore-contended, queue, gather"
    )]
    Sync(once::Options),
    /// Files: direct reads at random and one after the other, copies of small ones
    #[command(after_help = "Rows: random-1, random-32, random-128, sequential, copy")]
    Files(once::Options),
    /// TLS over loopback TCP, both ends on one core: handshakes, messages, a long stream
    #[command(after_help = "Rows: handshake, resumed, round-trip, stream")]
    Tls(once::Options),
    /// Messages between two cores: round trip, stream, batches, calls
    #[command(after_help = "Rows: round-trip, one-way, batched, call")]
    Messages(once::Options),
    /// Pools of two workers: round trip, submission, map
    #[command(after_help = "Rows: round-trip, submit, map")]
    Pools(once::Options),
}

fn main() -> ExitCode {
    match run(&Command::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        // The causes, and no backtrace: nothing here is a bug of this program's.
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: &Command) -> anyhow::Result<()> {
    let how = &command.how;
    how.check_cores(matches!(command.what, What::Echo(_) | What::Messages(_)))?;
    let environment = environment::record();
    if !environment.optimised {
        eprintln!("built without optimisation, so the figures say nothing: use --profile bench");
    }
    let kind = match &command.what {
        What::Echo(_) => "echo",
        What::Idle(_) => "idle",
        What::Exec(_) => "exec",
        What::Sync(_) => "sync",
        What::Files(_) => "files",
        What::Tls(_) => "tls",
        What::Messages(_) => "messages",
        What::Pools(_) => "pools",
    };
    let load = environment.load.clone();
    let mut run = Run { how, record: Record::new(kind, how.json.as_deref(), environment) };
    match &command.what {
        What::Echo(options) => echo::compare(options, &mut run)?,
        What::Idle(options) => idle::compare(options, &mut run)?,
        What::Exec(options) => once::exec(options, &mut run)?,
        What::Sync(options) => once::sync(options, &mut run)?,
        What::Files(options) => once::files(options, &mut run)?,
        What::Tls(options) => once::tls(options, &mut run)?,
        What::Messages(options) => once::messages(options, &mut run)?,
        What::Pools(options) => once::pools(options, &mut run)?,
    }
    eprintln!("load {load} -> {}", environment::load_average());
    println!("record: {}", run.record.path().display());
    Ok(())
}
