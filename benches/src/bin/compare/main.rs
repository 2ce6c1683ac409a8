//! Drives the measured programs in interleaved rounds; prints tables, writes a JSON record.
//!
//! It builds nothing: the programs are those found beside it.

mod how;
mod idle;
mod once;
mod rows;
mod servers;

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
    Echo(servers::Echo),
    /// Servers of HTTP/1.1: server CPU per request, latency, throughput
    Http(servers::Http),
    /// Echo servers: memory of an idle connection
    Idle(idle::Options),
    /// Executors: spawn, yield, timeout, memory of a sleeping task
    #[command(after_help = rows(once::EXEC))]
    Exec(once::Options),
    /// Locks, queues and gathering between the tasks of one loop
    #[command(after_help = rows(once::SYNC))]
    Sync(once::Options),
    /// Files: direct reads at random and one after the other, copies of small ones
    #[command(after_help = rows(once::FILES))]
    Files(once::Options),
    /// Datagrams over the loopback: answered, received and sent; what is lost of a flood
    #[command(after_help = rows(once::UDP))]
    Udp(once::Options),
    /// Lines read from a connection that brings many at a time
    #[command(after_help = rows(once::LINES))]
    Lines(once::Options),
    /// TLS over loopback TCP, both ends on one core: handshakes, messages, a long stream
    #[command(after_help = rows(once::TLS))]
    Tls(once::Options),
    /// Child processes: started and waited for
    #[command(after_help = rows(once::CHILDREN))]
    Children(once::Options),
    /// Messages between two cores: round trip, stream, batches, calls
    #[command(after_help = rows(once::MESSAGES))]
    Messages(once::Options),
    /// Pools of threads and of processes: round trip, submission, map, the life of workers
    #[command(after_help = rows(once::POOLS))]
    Pools(once::Options),
}

fn rows(kind: once::Kind) -> String {
    format!("Rows: {}", kind.names().join(", "))
}

impl What {
    fn name(&self) -> &'static str {
        match self {
            What::Echo(_) => "echo",
            What::Http(_) => "http",
            What::Idle(_) => "idle",
            What::Exec(_) => "exec",
            What::Sync(_) => "sync",
            What::Files(_) => "files",
            What::Udp(_) => "udp",
            What::Lines(_) => "lines",
            What::Tls(_) => "tls",
            What::Children(_) => "children",
            What::Messages(_) => "messages",
            What::Pools(_) => "pools",
        }
    }

    /// What is measured by programs that do so themselves.
    fn once(&self) -> Option<(once::Kind, &once::Options)> {
        Some(match self {
            What::Echo(_) | What::Http(_) | What::Idle(_) => return None,
            What::Exec(options) => (once::EXEC, options),
            What::Sync(options) => (once::SYNC, options),
            What::Files(options) => (once::FILES, options),
            What::Udp(options) => (once::UDP, options),
            What::Lines(options) => (once::LINES, options),
            What::Tls(options) => (once::TLS, options),
            What::Children(options) => (once::CHILDREN, options),
            What::Messages(options) => (once::MESSAGES, options),
            What::Pools(options) => (once::POOLS, options),
        })
    }

    fn has_two_sides(&self) -> bool {
        match self.once() {
            Some((kind, _)) => kind.has_two_sides(),
            None => matches!(self, What::Echo(_) | What::Http(_)),
        }
    }

    fn compare(&self, run: &mut Run<'_>) -> anyhow::Result<()> {
        match self {
            What::Echo(options) => options.compare(run),
            What::Http(options) => options.compare(run),
            What::Idle(options) => idle::compare(options, run),
            _ => self.once().map_or(Ok(()), |(kind, options)| kind.compare(options, run)),
        }
    }
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
    how.check_cores(command.what.has_two_sides())?;
    let environment = environment::record();
    if !environment.optimised {
        eprintln!("built without optimisation, so the figures say nothing: use --profile bench");
    }
    let load = environment.load.clone();
    let record = Record::new(command.what.name(), how.json.as_deref(), environment);
    let mut run = Run { how, record };
    command.what.compare(&mut run)?;
    eprintln!("load {load} -> {}", environment::load_average());
    println!("record: {}", run.record.path().display());
    Ok(())
}
