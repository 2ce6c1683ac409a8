//! Drives the measured programs in interleaved rounds; prints tables, writes a JSON record.
//!
//! It builds nothing: the programs are those found beside it.

mod echo;
mod idle;
mod once;

use std::path::PathBuf;
use std::time::Duration;

use benches::report::{self, Column};
use benches::rounds::{Comparison, Schedule};
use benches::{environment, process};
use clap::{Args, Parser, Subcommand};

/// Compares runtimes with each other and with hand-written floors, side by side.
#[derive(Debug, Parser)]
struct Command {
    #[command(subcommand)]
    what: What,
    #[command(flatten)]
    how: How,
}

#[derive(Debug, Args)]
struct How {
    /// Rounds; nine or more decide a difference within noise
    #[arg(long, default_value_t = 9, global = true)]
    rounds: usize,
    /// Cores others may keep busy during a sample, and share the machine may be slower than its
    /// best
    #[arg(long, default_value_t = 0.15, global = true)]
    tolerance: f64,
    /// How often a sample is taken anew when that is exceeded
    #[arg(long, default_value_t = 3, global = true)]
    retakes: usize,
    /// Seconds to wait for quiet before each attempt
    #[arg(long, default_value_t = 10.0, global = true)]
    patience: f64,
    /// Whom ratios are shown against
    #[arg(long, value_delimiter = ',', default_value = "floor,futex,tokio", global = true)]
    against: Vec<String>,
    /// Core of the measured program
    #[arg(long, default_value_t = 0, global = true)]
    core: usize,
    /// Core of the load maker, or of the second thread
    #[arg(long, default_value_t = 1, global = true)]
    other_core: usize,
    /// Where the JSON record goes [default: target/measurements/WHAT-TIME.json]
    #[arg(long, global = true)]
    json: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Echo servers: server CPU per request, latency, throughput
    Echo(echo::Options),
    /// Echo servers: memory of an idle connection
    Idle(idle::Options),
    /// Executors: spawn, yield, timeout, memory of a sleeping task
    Exec(once::Options),
    /// Messages between two cores: round trip and stream
    Messages(once::Options),
    /// Thread pools: round trip, submission, map
    Pools(once::Options),
}

fn main() -> anyhow::Result<()> {
    let command = Command::parse();
    let environment = environment::record();
    let (kind, comparisons) = match &command.what {
        What::Echo(options) => ("echo", echo::compare(options, &command.how)?),
        What::Idle(options) => ("idle", idle::compare(options, &command.how)?),
        What::Exec(options) => ("exec", once::exec(options, &command.how)?),
        What::Messages(options) => ("messages", once::messages(options, &command.how)?),
        What::Pools(options) => ("pools", once::pools(options, &command.how)?),
    };
    let how = &command.how;
    let path = report::write(kind, how.json.as_deref(), &environment, &comparisons, &how.against)?;
    eprintln!("load {} -> {}", environment.load, environment::load_average());
    println!("record: {}", path.display());
    Ok(())
}

impl How {
    fn schedule(&self) -> Schedule {
        Schedule {
            rounds: self.rounds,
            tolerance: self.tolerance,
            retakes: self.retakes,
            patience: Duration::from_secs_f64(self.patience),
        }
    }
}

/// Prints one comparison as soon as it is complete.
fn show(comparison: &Comparison, columns: &[Column], how: &How) {
    println!("{}", report::table(comparison, columns, &how.against));
    let disturbed = comparison.samples.iter().filter(|sample| sample.disturbed).count();
    if disturbed > 0 {
        println!("{disturbed} of {} samples were disturbed by others\n", comparison.samples.len());
    }
}

/// Those asked for, or all that are built.
fn subjects(asked: &[String], prefix: &str) -> anyhow::Result<Vec<String>> {
    if asked.is_empty() { process::siblings(prefix) } else { Ok(asked.to_vec()) }
}
