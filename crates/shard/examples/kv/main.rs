//! A sharded store in memory that speaks Redis' protocol, in both versions: `redis-cli` and
//! `redis-benchmark` drive it unchanged.
//!
//! `kv --addr 127.0.0.1:6380 --shards 0,1 [--seconds N] [--spin-us N] [--accept POLICY]`
//!
//! Each key belongs to one shard, found by a consistent hash; a request for a key of another shard
//! crosses the mesh, and what a client sends at once goes to each shard in one call. No key is ever
//! touched by two threads, and there is no lock.

mod command;
mod reply;
mod resp;
mod session;
mod store;

use std::io;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use nix::sys::signal::{SigSet, Signal};
use shard::{Accept, Ended, Listener, Placement, Served, Server, Shard, Shards, Topology};

/// A sharded store that speaks Redis' protocol.
#[derive(Parser)]
struct Options {
    /// Where to listen; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:6380")]
    addr: SocketAddr,
    /// The CPUs to use, one shard on each; default: all this process may use.
    #[arg(long, value_delimiter = ',')]
    shards: Option<Vec<usize>>,
    /// Who accepts connections, and which shard gets them.
    #[arg(long, value_enum, default_value_t = Policy::Reuseport)]
    accept: Policy,
    /// Connections of a shard, at most.
    #[arg(long, default_value_t = 10_000)]
    connections: usize,
    /// The longest value, in bytes.
    #[arg(long, default_value_t = 8 << 20)]
    longest: usize,
    /// End after so many seconds.
    #[arg(long)]
    seconds: Option<u64>,
    /// Look for work for so many microseconds before sleeping.
    #[arg(long, default_value_t = 0)]
    spin_us: u64,
}

#[derive(Clone, Copy, ValueEnum)]
enum Policy {
    Reuseport,
    LeastLoaded,
    Balanced,
}

fn main() -> ExitCode {
    match run(Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: Options) -> io::Result<()> {
    // Blocked before any thread starts, so that only the waiting one gets them.
    let signals = SigSet::from_iter([Signal::SIGINT, Signal::SIGTERM]);
    signals.thread_block()?;
    let placement = options.shards.map_or(Placement::All, Placement::List);
    let cpus = Topology::this()?.place(&placement, None)?;
    let accept = match options.accept {
        Policy::Reuseport => Accept::ReusePort,
        Policy::LeastLoaded => Accept::LeastLoaded,
        Policy::Balanced => Accept::Balanced,
    };
    let listener = Listener::bind(options.addr, cpus.len(), accept)?;
    let address = listener.local_addr()?;
    let spin = Duration::from_micros(options.spin_us);
    let limits = resp::Limits {
        word: options.longest,
        request: options.longest.saturating_mul(2),
        ..resp::Limits::default()
    };
    let server = Server::new(listener).limit(options.connections).drain(Duration::from_secs(1));
    let builder = Shards::builder().cpus(cpus).name("kv");
    let builder = builder.event_loop(move |options| options.spin(spin));
    let shards = builder.spawn(move |shard| serve(shard, server, limits))?;
    println!("listening on {address} with {} shards", shards.count());

    let stopper = shards.stopper();
    let stop_on_signal = stopper.clone();
    thread::spawn(move || {
        if signals.wait().is_ok() {
            stop_on_signal.stop(Duration::from_secs(3));
        }
    });
    let (ended, end) = mpsc::channel::<()>();
    if let Some(seconds) = options.seconds {
        thread::spawn(move || {
            // The other end goes when the shards have ended by themselves.
            if end.recv_timeout(Duration::from_secs(seconds)).is_err() {
                stopper.stop(Duration::from_secs(3));
            }
        });
    }
    let ends = shards.join()?;
    drop(ended);
    for (shard, end) in ends.into_iter().enumerate() {
        match end {
            Ended::Returned(served) => println!("shard {shard}: {served:?}"),
            other => println!("shard {shard}: {other:?}"),
        }
    }
    Ok(())
}

/// The service of one shard.
async fn serve(shard: Shard, server: Server, limits: resp::Limits) -> io::Result<Served> {
    // All have their stores before anybody is served.
    shard.invoke_on_all(|| async { session::prepare(&Shard::current()) }).await?;
    drop(uring_loop::spawn(session::purge(shard.clone())).named("purge"));
    server.serve(&shard, move |connection| session::serve(connection, limits)).await
}
