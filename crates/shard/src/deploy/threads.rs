//! A service on threads of this process.

use std::future::Future;
use std::io;

use uring_loop::signal::{SignalKind, signals};
use uring_loop::unblock;

use super::notify::Notify;
use super::{Deploy, ShardStatistics, quiet_loop};
use crate::peers::{Peers, Program};
use crate::server::Listener;
use crate::shard::Shard;

pub(super) fn run<S, F>(deploy: Deploy, service: S) -> io::Result<()>
where
    S: FnOnce(Shard, Vec<Listener>) -> F + Clone + Send + 'static,
    F: Future<Output = io::Result<()>> + 'static,
{
    let mut event_loop = quiet_loop()?;
    event_loop.run_until_complete(serve(deploy, service)).map_err(io::Error::other)?
}

async fn serve<S, F>(deploy: Deploy, service: S) -> io::Result<()>
where
    S: FnOnce(Shard, Vec<Listener>) -> F + Clone + Send + 'static,
    F: Future<Output = io::Result<()>> + 'static,
{
    let notify = Notify::new();
    // Before any shard: a signal that comes early is not lost.
    let mut signals = signals([SignalKind::TERMINATE, SignalKind::INTERRUPT])?;
    let cpus = deploy.builder.place()?;
    let (sockets, given) = deploy.sockets(cpus.len())?;
    let listener = |sockets| match given {
        true => Listener::from_sockets(sockets, cpus.len(), deploy.accept),
        false => Listener::own(sockets, cpus.len(), deploy.accept),
    };
    let listeners = sockets.into_iter().map(listener).collect::<io::Result<Vec<_>>>()?;
    let (shown, count) = (listeners.clone(), cpus.len());
    deploy.show(move || (0..count).map(|shard| ShardStatistics::of(&shown, shard)).collect());
    let builder = deploy.builder.cpus(cpus);
    let program = Program { count, functions: deploy.functions, processes: false };
    let shards = builder.spawn(move |shard| {
        Peers::install(program, shard.index());
        service(shard, listeners)
    })?;
    notify.ready(&format!("{} shards", shards.count()));
    let stopper = shards.stopper();
    let mut ended = Box::pin(unblock(move || shards.join()));
    let mut patience = deploy.drain;
    loop {
        let signal = async {
            signals.recv().await;
            None
        };
        let end = async { Some(ended.as_mut().await) };
        match uring_loop::race((end, signal)).await {
            Some(joined) => return joined?.map(drop).map_err(io::Error::from),
            None => {
                notify.stopping();
                stopper.stop(patience);
                // The second time there is none.
                patience = std::time::Duration::ZERO;
            }
        }
    }
}
