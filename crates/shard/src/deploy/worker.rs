//! The side of a worker: one shard, with the sockets and the CPU that its supervisor has chosen.

use std::future::Future;
use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::Signal;
use nix::unistd::getppid;
use uring_loop::net::UnixStream;
use uring_loop::signal::{SignalKind, signals};
use uring_loop::time::sleep;
use uring_loop::unblock;

use super::board::Board;
use super::inherit::Charge;
use super::{Deploy, ShardStatistics, quiet_loop};
use crate::server::Listener;
use crate::shard::Shard;

/// What a worker writes when it serves.
pub(super) const READY: &[u8] = b"ready\n";

/// How often it says how it stands.
const REPORT: Duration = Duration::from_millis(250);

pub(super) fn run<S, F>(deploy: Deploy, charge: Charge, service: S) -> io::Result<()>
where
    S: FnOnce(Shard, Listener) -> F + Clone + Send + 'static,
    F: Future<Output = io::Result<()>> + 'static,
{
    // Should the supervisor be killed, we are told to end.
    set_pdeathsig(Signal::SIGTERM)?;
    if getppid().as_raw() != charge.parent {
        // It was killed before we asked to be told.
        return Ok(());
    }
    let mut event_loop = quiet_loop()?;
    let served = event_loop.run_until_complete(serve(deploy, charge, service));
    served.map_err(io::Error::other)?
}

async fn serve<S, F>(deploy: Deploy, charge: Charge, service: S) -> io::Result<()>
where
    S: FnOnce(Shard, Listener) -> F + Clone + Send + 'static,
    F: Future<Output = io::Result<()>> + 'static,
{
    // A terminal sends its signals to all of us; what they mean the supervisor decides.
    let kinds = [SignalKind::TERMINATE, SignalKind::INTERRUPT, SignalKind::HANGUP];
    let mut signals = signals(kinds)?;
    let listener = Listener::from_sockets(charge.sockets, 1, deploy.accept)?;
    let reporting = uring_loop::spawn(report(charge.board, listener.clone(), charge.index));
    let builder = deploy.builder.cpus([charge.cpu]).process(charge.index);
    let shards = builder.spawn(move |shard| service(shard, listener))?;
    let mut line = UnixStream::from_owned_fd(OwnedFd::from(charge.line));
    // A supervisor that is gone is noticed below.
    let _ = line.write_all(READY).await.0;
    let stopper = shards.stopper();
    let mut ended = Box::pin(unblock(move || shards.join()));
    let told = async { while signals.recv().await != SignalKind::TERMINATE {} };
    let deserted = async { while line.recv().await.is_ok_and(|bytes| !bytes.is_empty()) {} };
    let end = async { Some(ended.as_mut().await) };
    let asked = async {
        uring_loop::race((told, deserted)).await;
        None
    };
    let joined = match uring_loop::race((end, asked)).await {
        Some(joined) => joined?,
        None => {
            // A successor may write there now.
            reporting.abort();
            stopper.stop(deploy.drain);
            ended.await?
        }
    };
    // The supervisor sees only that we failed; `main` says why.
    joined.map(drop).map_err(io::Error::from)
}

/// Says how the shard stands, for as long as it serves.
async fn report(board: Board, listener: Listener, shard: usize) {
    loop {
        let statistics = ShardStatistics { shard, ..ShardStatistics::of(&listener, 0) };
        if let Err(error) = board.write(&statistics) {
            tracing::warn!(target: "shard", "telling how shard {shard} stands: {error}");
            return;
        }
        sleep(REPORT).await;
    }
}
