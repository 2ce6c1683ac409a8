//! What the servers among the examples have in common: options, and how they are started.

use std::io;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use clap::{Args, ValueEnum};
use nix::sys::signal::{Signal, kill};
use nix::unistd::getpid;
use shard::{Accept, Deploy, Listener, Mode, Shard, ShardStatistics, Shards};

/// Where and how to serve.
#[derive(Args, Clone)]
pub(crate) struct Serving {
    /// The CPUs to use, one shard on each; default: all this process may use.
    #[arg(long, value_delimiter = ',')]
    shards: Option<Vec<usize>>,
    /// What shards are.
    #[arg(long, value_enum, default_value_t = What::Threads)]
    pub(crate) mode: What,
    /// Who accepts connections, and which shard gets them.
    #[arg(long, value_enum, default_value_t = Policy::Reuseport)]
    accept: Policy,
    /// How long connections may take to end, in seconds, when the server ends or is replaced.
    #[arg(long, default_value_t = 1)]
    drain: u64,
    /// End after so many seconds.
    #[arg(long)]
    seconds: Option<u64>,
    /// Look for work for so many microseconds before sleeping.
    #[arg(long, default_value_t = 0)]
    spin_us: u64,
    /// After how many milliseconds without a turn of its loop a shard is reported as stuck.
    #[arg(long, default_value_t = 10_000)]
    stuck_ms: u64,
    /// Kill processes that are stuck, so that others take their place.
    #[arg(long)]
    kill_stuck: bool,
    /// Print a table of the shards every second.
    #[arg(long)]
    stats: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum What {
    Threads,
    Processes,
}

#[derive(Clone, Copy, ValueEnum)]
enum Policy {
    Reuseport,
    LeastLoaded,
    Balanced,
}

impl Serving {
    /// How long connections may take to end.
    pub(crate) fn drain(&self) -> Duration {
        Duration::from_secs(self.drain)
    }

    /// A deployment by these options, whose threads have that name.
    pub(crate) fn deploy(self, address: SocketAddr, name: &str) -> Deploy {
        let (spin, drain) = (Duration::from_micros(self.spin_us), self.drain());
        let mut shards = Shards::builder()
            .name(name)
            .stuck(Some(Duration::from_millis(self.stuck_ms)))
            .event_loop(move |options| options.spin(spin))
            .observe(|event| eprintln!("{event}"));
        if let Some(cpus) = self.shards {
            shards = shards.cpus(cpus);
        }
        if let Some(seconds) = self.seconds {
            thread::spawn(move || {
                thread::sleep(Duration::from_secs(seconds));
                kill(getpid(), Signal::SIGTERM)
            });
        }
        let mut deploy = Deploy::new(address);
        if self.stats {
            deploy = deploy.statistics(Duration::from_secs(1), table);
        }
        deploy
            .kill_stuck(self.kill_stuck)
            .mode(match self.mode {
                What::Threads => Mode::Threads,
                What::Processes => Mode::Processes,
            })
            .accept(match self.accept {
                Policy::Reuseport => Accept::ReusePort,
                Policy::LeastLoaded => Accept::LeastLoaded,
                Policy::Balanced => Accept::Balanced,
            })
            .shards(shards)
            .drain(drain + Duration::from_secs(1))
    }
}

fn table(shards: &[ShardStatistics]) {
    println!(
        "{:>6} {:>8} {:>12} {:>12} {:>9}",
        "shard", "process", "connections", "accepted", "delay"
    );
    for one in shards {
        let ShardStatistics { shard, process, connections, accepted, delay, .. } = one;
        let delay = format!("{delay:.0?}");
        println!("{shard:>6} {process:>8} {connections:>12} {accepted:>12} {delay:>9}");
    }
}

/// Says where a shard listens, once it does.
pub(crate) fn announce(shard: &Shard, listener: &Listener) -> io::Result<()> {
    let (address, index, cpu) = (listener.local_addr()?, shard.index(), shard.cpu());
    println!("listening on {address}: shard {index} of process {} on CPU {cpu}", getpid());
    Ok(())
}

/// How `main` ends.
pub(crate) fn exit(ended: io::Result<()>) -> ExitCode {
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
