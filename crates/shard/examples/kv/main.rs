//! A sharded store in memory that speaks Redis' protocol, in both versions: `redis-cli` and
//! `redis-benchmark` drive it unchanged.
//!
//! `kv --addr 127.0.0.1:6380 --shards 0,1 [--mode threads|processes]
//! [--accept reuseport|least-loaded|balanced] [--seconds N] [--spin-us N] [--stats]`
//!
//! Each key belongs to one shard, found by a consistent hash; a request for a key of another shard
//! crosses the mesh, and what a client sends at once goes to each shard in one call. No key is ever
//! touched by two threads, and there is no lock.
//!
//! As processes, shards call each other by name over shared memory. A process that dies, or is
//! replaced (SIGHUP), takes its keys with it: this is a cache. Everybody else's connections and
//! keys stay, and a request for a key whose process is not there is answered with an error.

mod command;
#[path = "../common/mod.rs"]
mod common;
mod reply;
mod resp;
mod session;
mod store;

use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use nix::unistd::getpid;
use shard::{Listener, Peers, Server, Shard};
use uring_loop::time::timeout;

/// How long a process waits for its links to the others before it serves all the same: one of them
/// may be dead at the moment.
const PATIENCE: Duration = Duration::from_secs(1);

/// A sharded store that speaks Redis' protocol.
#[derive(Parser)]
struct Options {
    /// Where to listen; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:6380")]
    addr: SocketAddr,
    #[command(flatten)]
    serving: common::Serving,
    /// Connections of a shard, at most.
    #[arg(long, default_value_t = 10_000)]
    connections: usize,
    /// The longest value, in bytes.
    #[arg(long, default_value_t = 8 << 20)]
    longest: usize,
}

fn main() -> ExitCode {
    common::exit(run(Options::parse()))
}

fn run(options: Options) -> io::Result<()> {
    let limits = resp::Limits {
        word: options.longest,
        request: options.longest.saturating_mul(2),
        ..resp::Limits::default()
    };
    let (drain, connections) = (options.serving.drain(), options.connections);
    options
        .serving
        .deploy(options.addr, "kv")
        .function(session::ACT, |deeds| async move { session::act(&Shard::current(), deeds) })
        .run(move |shard, listener| async move {
            // All have their stores before anybody is served.
            shard.invoke_on_all(|| async { session::prepare(&Shard::current()) }).await?;
            let _ = timeout(PATIENCE, Peers::current().linked()).await;
            serve(shard, listener, |server| server.limit(connections).drain(drain), limits).await
        })
}

/// The service of one shard.
async fn serve(
    shard: Shard,
    listener: Listener,
    set: impl FnOnce(Server) -> Server,
    limits: resp::Limits,
) -> io::Result<()> {
    common::announce(&shard, &listener)?;
    drop(uring_loop::spawn(session::purge(shard.clone())).named("purge"));
    let server = set(Server::new(listener));
    let served = server.serve(&shard, move |connection| session::serve(connection, limits)).await?;
    // Whoever read this may be gone by now.
    let (index, process) = (shard.index(), getpid());
    let _ = writeln!(io::stdout(), "shard {index} of process {process}: {served:?}");
    Ok(())
}
