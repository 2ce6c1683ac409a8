//! `RemotePoolBuilder`: what a client bears, and its connection.

use std::io;
use std::sync::{Arc, mpsc as std_mpsc};
use std::time::Duration;

use tokio::sync::mpsc;

use super::RemotePool;
use super::book::Limits;
use super::bridge::{self, Ears};
use super::hub::{Hub, Terms};
use crate::functions::Functions;
use crate::queue::Queue;

/// Settings for a [`RemotePool`]; made by [`RemotePool::builder`].
#[derive(Debug)]
pub struct RemotePoolBuilder {
    queue: Queue,
    functions: Functions,
    deadline: Option<Duration>,
    limits: Limits,
}

impl RemotePoolBuilder {
    pub(super) fn new(queue: Queue, functions: Functions) -> RemotePoolBuilder {
        let limits = Limits { silence: Duration::from_secs(10), losses: 3 };
        RemotePoolBuilder { queue, functions, deadline: None, limits }
    }

    /// The [deadline](pool::JobOptions::deadline) of jobs that are not given one; none unless set.
    /// A job without a deadline waits for an agent for ever, as those of other pools wait for a
    /// worker.
    pub fn deadline(mut self, limit: Duration) -> Self {
        self.deadline = Some(limit);
        self
    }

    /// For how long nothing may be heard of an agent before what it has of jobs that run once is
    /// taken for lost ([`JobError::Lost`](pool::JobError::Lost)); 10 s unless set. Agents give a
    /// sign of life every half second. Time in which this client is cut off itself does not count;
    /// but it takes up to 6 s to know that, so less may blame agents for the network here.
    pub fn silence(mut self, limit: Duration) -> Self {
        self.limits.silence = limit;
        self
    }

    /// How many agents may be lost one after the other while they have an idempotent job, before
    /// the job is blamed for it and ends as [`JobError::Lost`](pool::JobError::Lost); 3 unless set.
    /// (A *worker* that dies is another matter, see [`JobOptions::retries`]: it is known at once.)
    ///
    /// [`JobOptions::retries`]: pool::JobOptions::retries
    pub fn losses(mut self, agents: u64) -> Self {
        self.limits.losses = agents;
        self
    }

    /// Connects to the server, and starts the pool's one thread. Blocks until the connection is
    /// made or refused: at most some 20 s, if a server takes the connection and answers nothing (of
    /// a cluster that has just been started, the first answer takes some seconds). Later nothing
    /// blocks: a connection that is lost is made again, for as long as the pool is there.
    ///
    /// # Errors
    ///
    /// What kept it from connecting (`ConnectionRefused`), a server without JetStream
    /// (`Unsupported`), an address or a name that is none (`InvalidInput`), what the server said to
    /// making the queue (`Other`; also if most servers of a cluster are away), and what kept the
    /// thread from being started.
    pub fn connect(self) -> io::Result<RemotePool> {
        let (ready, connected) = std_mpsc::sync_channel(1);
        let body = move || self.run(&ready);
        let thread = std::thread::Builder::new().name("pool-nats".to_owned()).spawn(body)?;
        match connected.recv() {
            Ok(Ok(hub)) => {
                hub.set_thread(thread);
                Ok(RemotePool { hub })
            }
            Ok(Err(error)) => Err(error),
            Err(_) => Err(io::Error::other("connecting to a pool: its thread has panicked")),
        }
    }

    fn run(self, ready: &std_mpsc::SyncSender<io::Result<Arc<Hub>>>) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = match runtime {
            Ok(runtime) => runtime,
            Err(error) => return drop(ready.send(Err(error))),
        };
        runtime.block_on(async {
            let RemotePoolBuilder { queue, functions, deadline, limits } = self;
            let opened = async {
                let link = queue.connect("client").await?;
                let client = link.client.new_inbox();
                let (errands, to_do) = mpsc::unbounded_channel();
                let ears = Ears::open(&link, &client, to_do).await?;
                let (pool, most) = (link.pool.clone(), link.most());
                let terms = Terms { functions, pool, client, deadline, limits, most };
                io::Result::Ok((Arc::new(Hub::new(terms, errands)), link, ears))
            };
            match opened.await {
                Ok((hub, link, ears)) => {
                    let _ = ready.send(Ok(Arc::clone(&hub)));
                    bridge::serve(hub, link, ears).await;
                }
                Err(error) => drop(ready.send(Err(error))),
            }
        });
    }
}
