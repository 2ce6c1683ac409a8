//! An echo server over all shards: every shard listens on the same port (SO_REUSEPORT), the kernel
//! spreads the connections.
//!
//! `echo_sharded --addr 127.0.0.1:7000 --shards 0,1 [--seconds N] [--spin-us N]`
//!
//! It serves until Ctrl+C (or SIGTERM), or for N seconds, and then says what each shard has done.

use std::cell::Cell;
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::rc::Rc;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use clap::Parser;
use nix::sys::signal::{SigSet, Signal};
use shard::{Ended, Shard, Shards};
use uring_loop::catch_cancel;
use uring_loop::net::{TcpListener, TcpStream};
use uring_loop::time::sleep;

/// An echo server with one event loop per core.
#[derive(Parser)]
struct Options {
    /// Where to listen; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:7000")]
    addr: SocketAddr,
    /// The CPUs to use, one shard on each; default: all this process may use.
    #[arg(long, value_delimiter = ',')]
    shards: Option<Vec<usize>>,
    /// End after so many seconds.
    #[arg(long)]
    seconds: Option<u64>,
    /// Look for work for so many microseconds before sleeping.
    #[arg(long, default_value_t = 0)]
    spin_us: u64,
}

/// What a shard has done.
#[derive(Default)]
struct Counts {
    connections: Cell<u64>,
    requests: Cell<u64>,
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

    // Port 0: all shards must share the port that the first one gets.
    let reserved = reserve(options.addr)?;
    let address = reserved.local_addr()?;
    let spin = Duration::from_micros(options.spin_us);
    let mut builder = Shards::builder().name("echo").event_loop(move |options| options.spin(spin));
    if let Some(cpus) = options.shards {
        builder = builder.cpus(cpus);
    }
    let shards = builder.spawn(move |shard| serve(shard, address))?;
    println!("listening on {address} with {} shards", shards.count());

    let stopper = shards.stopper();
    let stop_on_signal = stopper.clone();
    thread::spawn(move || {
        if signals.wait().is_ok() {
            stop_on_signal.stop(Duration::from_secs(1));
        }
    });
    let (ended, end) = mpsc::channel::<()>();
    if let Some(seconds) = options.seconds {
        thread::spawn(move || {
            // The other end goes when the shards have ended by themselves.
            if end.recv_timeout(Duration::from_secs(seconds)).is_err() {
                stopper.stop(Duration::from_secs(1));
            }
        });
    }
    let ends = shards.join()?;
    drop(ended);
    for (shard, end) in ends.into_iter().enumerate() {
        match end {
            Ended::Returned((connections, requests)) => {
                println!("shard {shard}: {connections} connections, {requests} requests");
            }
            other => println!("shard {shard}: {other:?}"),
        }
    }
    Ok(())
}

/// A bound socket that never listens: it keeps the port, and gets no connection.
fn reserve(address: SocketAddr) -> io::Result<std::net::TcpListener> {
    let domain = socket2::Domain::for_address(address);
    let socket = socket2::Socket::new(domain, socket2::Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket
        .bind(&address.into())
        .map_err(|error| io::Error::new(error.kind(), format!("binding to {address}: {error}")))?;
    Ok(socket.into())
}

/// The service of one shard: (connections, requests) when it is asked to end.
async fn serve(shard: Shard, address: SocketAddr) -> io::Result<(u64, u64)> {
    let listener = TcpListener::bind_reuse_port(address.to_string())?;
    println!("shard {} is pinned to CPU {}", shard.index(), shard.cpu());
    let counts = Rc::new(Counts::default());
    let served = catch_cancel(async {
        loop {
            match listener.accept().await {
                Ok(stream) => {
                    counts.connections.set(counts.connections.get() + 1);
                    drop(uring_loop::spawn(echo(stream, counts.clone())));
                }
                // Too many descriptors, say: it may pass, and the connections wait meanwhile.
                Err(error) => {
                    eprintln!("shard {}: {error}", shard.index());
                    sleep(Duration::from_millis(100)).await;
                }
            }
        }
    });
    // The loop has no end of its own, so this is the request to end, and we do.
    let Err(_cancelled): Result<Infallible, _> = served.await;
    Ok((counts.connections.get(), counts.requests.get()))
}

/// One connection. What goes wrong on it (a reset, say) ends it alone.
async fn echo(mut stream: TcpStream, counts: Rc<Counts>) {
    loop {
        let Ok(bytes) = stream.recv().await else { return };
        if bytes.is_empty() {
            return;
        }
        counts.requests.set(counts.requests.get() + 1);
        if stream.write_all(bytes).await.0.is_err() {
            return;
        }
    }
}
