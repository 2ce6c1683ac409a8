//! `Agent`: takes jobs from a queue and runs them in the process pool of its machine.
//!
//! `run` is the loop, `held` what it has in hand, `clients` whom it has heard of, `pull` takes
//! messages off the queue.

mod clients;
mod held;
mod pull;
mod run;

use std::io;
use std::time::Duration;

use pool::{ProcessPool, ProcessPoolBuilder};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use crate::functions::Functions;
use crate::queue::Queue;

/// Takes jobs from a [`Queue`] and runs them in the worker processes of this machine: one for each
/// host. Usually the same program as the client, called in another way.
///
/// It has at most twice as many jobs in hand as it has workers, so that a worker does not wait for
/// the network, and the rest stays for others. While it has a job it gives the server a sign of
/// life; if it is lost, the server gives what it had to another agent after
/// [`ack_wait`](Queue::ack_wait). The death of one of its workers it reports at once.
///
/// An agent keeps nothing. It may be started and ended at any time; how often is the business of
/// systemd or whoever starts it.
///
/// # Examples
///
/// ```no_run
/// use pool::ProcessPool;
/// use pool_nats::{Agent, Functions, Queue};
///
/// fn is_prime(n: u64) -> bool {
///     n > 1 && (2..=n.isqrt()).all(|divisor| n % divisor != 0)
/// }
///
/// fn main() -> std::io::Result<()> {
///     pool::init(); // the workers are this program, too
///     let functions = Functions::new().add_idempotent("is_prime", is_prime);
///     let queue = Queue::new("nats://queue.example.org", "primes");
///     let workers = ProcessPool::builder().memory_limit(512 << 20);
///     Agent::new(queue, functions).workers(workers).run()
/// }
/// ```
#[derive(Debug)]
pub struct Agent {
    queue: Queue,
    functions: Functions,
    workers: ProcessPoolBuilder,
    patience: Duration,
}

/// What an agent is told from outside: the first time to go when its work is done, the second time
/// at once.
type Stops = mpsc::UnboundedReceiver<()>;

impl Agent {
    /// An agent with a worker for each core.
    pub fn new(queue: Queue, functions: Functions) -> Agent {
        let workers = ProcessPool::builder();
        Agent { queue, functions, workers, patience: Duration::from_secs(60) }
    }

    /// Settings of the process pool that runs the jobs: how many workers, and what they may use.
    pub fn workers(mut self, workers: ProcessPoolBuilder) -> Self {
        self.workers = workers;
        self
    }

    /// For how long a client may be silent before its jobs are dropped, and what it did not hear;
    /// 60 s unless set. Clients give a sign of life every second. (A client that was only cut off
    /// puts what was dropped of idempotent jobs into the queue again.)
    pub fn patience(mut self, limit: Duration) -> Self {
        self.patience = limit;
        self
    }

    /// Serves until SIGTERM or SIGINT. Then it takes no more jobs, hands back those no worker has
    /// started, waits for the others, and returns. A second signal ends it at once: what runs is
    /// killed, and idempotent jobs are run elsewhere.
    ///
    /// # Errors
    ///
    /// As [`ProcessPoolBuilder::build`] (above all if `pool::init` was not called first in `main`)
    /// and [`RemotePoolBuilder::connect`](crate::RemotePoolBuilder::connect); and if its process
    /// pool breaks, with the reason.
    pub fn run(self) -> io::Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let (stop, stops) = mpsc::unbounded_channel();
            for kind in [SignalKind::terminate(), SignalKind::interrupt()] {
                let (mut signals, stop) = (signal(kind)?, stop.clone());
                tokio::spawn(async move {
                    while signals.recv().await.is_some() && stop.send(()).is_ok() {}
                });
            }
            self.serve(stops).await
        })
    }

    /// [`run`](Self::run) without signals: serves until `stop` is ready, then goes when its work is
    /// done. Blocks; `stop` is polled on this thread.
    ///
    /// # Errors
    ///
    /// As [`run`](Self::run).
    pub fn run_until(self, stop: impl Future<Output = ()>) -> io::Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let (tell, stops) = mpsc::unbounded_channel();
            let stopped = async {
                stop.await;
                let _ = tell.send(());
                std::future::pending::<()>().await;
            };
            tokio::select! {
                served = self.serve(stops) => served,
                () = stopped => unreachable!("it is pending for ever"),
            }
        })
    }

    async fn serve(self, stops: Stops) -> io::Result<()> {
        let Agent { queue, functions, workers, patience } = self;
        let pool = workers.build()?;
        let link = queue.connect("agent").await?;
        run::Run::new(link, pool, functions, patience).await?.serve(stops).await
    }
}
