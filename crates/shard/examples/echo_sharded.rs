//! An echo server over all shards, which are threads of one process or processes.
//!
//! `echo_sharded --addr 127.0.0.1:7000 --shards 0,1 [--mode threads|processes]
//! [--accept reuseport|least-loaded|balanced] [--seconds N] [--spin-us N] [--stats] [--banner]`
//!
//! It serves until Ctrl+C (or SIGTERM), or for N seconds, and then says what each shard has done.
//! As processes, SIGHUP replaces them by the program as it is by then, without refusing anybody.
//! With `--banner` every connection begins with a line that tells which build and process serves
//! it.

use std::cell::Cell;
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::rc::Rc;
use std::thread;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use nix::sys::signal::{Signal, kill};
use nix::unistd::getpid;
use shard::{
    Accept, Connection, Deploy, Listener, Mode, Seat, Server, Shard, ShardStatistics, Shards,
};
use uring_loop::net::TcpStream;

/// An echo server with one event loop per core.
#[derive(Parser)]
struct Options {
    /// Where to listen; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:7000")]
    addr: SocketAddr,
    /// The CPUs to use, one shard on each; default: all this process may use.
    #[arg(long, value_delimiter = ',')]
    shards: Option<Vec<usize>>,
    /// What shards are.
    #[arg(long, value_enum, default_value_t = What::Threads)]
    mode: What,
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
    /// Print a table of the shards every second.
    #[arg(long)]
    stats: bool,
    /// Begin every connection with the size of the program, which tells builds apart, and the
    /// number of the process.
    #[arg(long)]
    banner: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum What {
    Threads,
    Processes,
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
    let spin = Duration::from_micros(options.spin_us);
    let mut shards = Shards::builder()
        .name("echo")
        .event_loop(move |options| options.spin(spin))
        .observe(|event| eprintln!("{event}"));
    if let Some(cpus) = options.shards {
        shards = shards.cpus(cpus);
    }
    if let Some(seconds) = options.seconds {
        thread::spawn(move || {
            thread::sleep(Duration::from_secs(seconds));
            kill(getpid(), Signal::SIGTERM)
        });
    }
    let drain = Duration::from_secs(options.drain);
    let banner = match options.banner {
        true => banner()?,
        false => String::new(),
    };
    let mut deploy = Deploy::new(options.addr);
    if options.stats {
        deploy = deploy.statistics(Duration::from_secs(1), table);
    }
    deploy
        .mode(match options.mode {
            What::Threads => Mode::Threads,
            What::Processes => Mode::Processes,
        })
        .accept(match options.accept {
            Policy::Reuseport => Accept::ReusePort,
            Policy::LeastLoaded => Accept::LeastLoaded,
            Policy::Balanced => Accept::Balanced,
        })
        .shards(shards)
        .drain(drain + Duration::from_secs(1))
        .run(move |shard, listener| serve(shard, listener, drain, banner))
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

/// Read once, at the start: later the program at this path may be another one.
fn banner() -> io::Result<String> {
    let size = std::fs::metadata("/proc/self/exe")?.len();
    Ok(format!("build {size} process {}\n", getpid()))
}

/// The service of one shard.
async fn serve(
    shard: Shard,
    listener: Listener,
    drain: Duration,
    banner: String,
) -> io::Result<()> {
    let address = listener.local_addr()?;
    let (index, cpu) = (shard.index(), shard.cpu());
    println!("listening on {address}: shard {index} of process {} on CPU {cpu}", getpid());
    let requests = Rc::new(Cell::new(0_u64));
    let count = requests.clone();
    let served = Server::new(listener).drain(drain).serve(&shard, move |connection: Connection| {
        let (stream, seat) = connection.into_stream();
        echo(stream, seat, count.clone(), banner.clone())
    });
    let served = served.await?;
    let (process, requests) = (getpid(), requests.get());
    // Whoever read this may be gone by now.
    let _ = writeln!(
        io::stdout(),
        "shard {index} of process {process}: {served:?}, {requests} requests"
    );
    Ok(())
}

/// One connection. What goes wrong on it (a reset, say) ends it alone. It is served until its
/// client ends it, also while the server drains: nothing in an echo says that it is over.
async fn echo(mut stream: TcpStream, _seat: Seat, requests: Rc<Cell<u64>>, banner: String) {
    if !banner.is_empty() && stream.write_all(banner).await.0.is_err() {
        return;
    }
    loop {
        let Ok(bytes) = stream.recv().await else { return };
        if bytes.is_empty() {
            return;
        }
        requests.set(requests.get() + 1);
        if stream.write_all(bytes).await.0.is_err() {
            return;
        }
    }
}
