//! An echo server over all shards, which are threads of one process or processes.
//!
//! `echo_sharded --addr 127.0.0.1:7000 --shards 0,1 [--mode threads|processes]
//! [--accept reuseport|least-loaded|balanced] [--seconds N] [--spin-us N] [--stats] [--banner]`
//!
//! It serves until Ctrl+C (or SIGTERM), or for N seconds, and then says what each shard has done.
//! As processes, SIGHUP replaces them by the program as it is by then, without refusing anybody.
//! With `--banner` every connection begins with a line that tells which build and process serves
//! it.

#[path = "common/mod.rs"]
mod common;

use std::cell::Cell;
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::rc::Rc;
use std::time::Duration;

use clap::Parser;
use nix::unistd::getpid;
use shard::{Connection, Listener, Seat, Server, Shard};
use uring_loop::net::TcpStream;

/// An echo server with one event loop per core.
#[derive(Parser)]
struct Options {
    /// Where to listen; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:7000")]
    addr: SocketAddr,
    #[command(flatten)]
    serving: common::Serving,
    /// Begin every connection with the size of the program, which tells builds apart, and the
    /// number of the process.
    #[arg(long)]
    banner: bool,
}

fn main() -> ExitCode {
    common::exit(run(Options::parse()))
}

fn run(options: Options) -> io::Result<()> {
    let drain = options.serving.drain();
    let banner = match options.banner {
        true => banner()?,
        false => String::new(),
    };
    let deploy = options.serving.deploy(options.addr, "echo");
    deploy.run(move |shard, listener| serve(shard, listener, drain, banner))
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
    common::announce(&shard, &listener)?;
    let index = shard.index();
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
