//! The work as coroutines of any runtime: it says how it runs, spawns, sleeps, copies and talks
//! ([`Runtime`]), and the rest is the same for all of them. `workload_peers` has the runtimes.
//!
//! [`Runtime::lane`] and [`Runtime::connection`] spawn [`lane`] and [`connection`] of their own
//! type: only there does the compiler know whether a future can move to another thread, as tokio
//! asks.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};

use super::costs::{Night, Shared, Table};
use crate::workloads::cores::{self, Placed};
use crate::workloads::downloads::{self, ANSWER};
use crate::workloads::job::{Done, Job};
use crate::workloads::kv::{self, Locked};
use crate::workloads::meter::{self, Watch};
use crate::workloads::report::{Finding, Order};
use crate::workloads::service::{self, BACKEND, MESSAGE, Service};
use crate::workloads::switches::Lap;
use crate::workloads::thrash::Slice;
use crate::workloads::{batch, primes, server};

/// Bytes that a connection of echo reads at a time, at most; as ours on threads.
const BUFFER: usize = 4096;

/// Jobs that wait for a lane.
pub type Queue = Arc<Mutex<VecDeque<Placed<Job>>>>;

/// What a lane has done.
pub type Results = anyhow::Result<Vec<Placed<Done>>>;

/// How a runtime does it.
pub trait Runtime: Sized + 'static {
    /// Accepts connections.
    type Listener;
    /// A connection.
    type Stream;
    /// The keys of a store, for all tasks.
    type Keys: Keys;

    /// Runs a future to its end on a new runtime, of this thread or of `threads` threads.
    fn run<T: 'static>(
        threads: usize,
        main: impl Future<Output = anyhow::Result<T>> + 'static,
    ) -> anyhow::Result<T>;

    /// Spawns [`lane`]; what it gives waits for its end.
    fn lane(queue: Queue) -> impl Future<Output = Results>;

    /// Spawns [`connection`]; what it gives waits for its end.
    fn connection(
        stream: Self::Stream,
        service: Service,
        keys: Self::Keys,
    ) -> impl Future<Output = anyhow::Result<()>>;

    /// Spawns [`costs::work_off`](super::costs::work_off); what it gives waits for its end.
    fn slices(
        share: Vec<Slice>,
        ledger: Shared,
    ) -> impl Future<Output = anyhow::Result<Vec<Duration>>>;

    /// Spawns [`costs::take_turns`](super::costs::take_turns); what it gives waits for its end.
    fn turns(
        table: Arc<Table>,
        side: usize,
        rounds: u32,
    ) -> impl Future<Output = anyhow::Result<Vec<Lap>>>;

    /// Spawns [`costs::sleep_until`](super::costs::sleep_until), and leaves it alone.
    fn sleeper(moment: Instant, night: Arc<Night>);

    /// Spawns [`sleep_long`](super::costs::sleep_long), and leaves it alone.
    fn idler();

    /// Sleeps.
    fn sleep(time: Duration) -> impl Future<Output = ()>;

    /// Copies a file in pieces of [`crate::workloads::files::PIECE`]; its length.
    fn copy(from: PathBuf, to: PathBuf) -> impl Future<Output = anyhow::Result<u64>>;

    /// Takes a socket that listens.
    ///
    /// # Errors
    ///
    /// When the runtime refuses it.
    fn listen(listener: std::net::TcpListener) -> anyhow::Result<Self::Listener>;

    /// Accepts a connection.
    fn accept(listener: &Self::Listener) -> impl Future<Output = anyhow::Result<Self::Stream>>;

    /// Connects.
    fn connect(server: SocketAddr) -> impl Future<Output = anyhow::Result<Self::Stream>>;

    /// Reads what there is into an empty buffer, up to its capacity; nothing at the end.
    fn receive(
        stream: &mut Self::Stream,
        buffer: Vec<u8>,
    ) -> impl Future<Output = anyhow::Result<Vec<u8>>>;

    /// Writes all of a buffer, and gives it back.
    fn send(
        stream: &mut Self::Stream,
        buffer: Vec<u8>,
    ) -> impl Future<Output = anyhow::Result<Vec<u8>>>;
}

/// A map that tasks share.
pub trait Keys: Clone + Default + 'static {
    /// Does what a request says; its reply.
    fn act(&self, message: kv::Message) -> kv::Message;
}

/// Among threads.
impl Keys for Arc<Locked> {
    fn act(&self, message: kv::Message) -> kv::Message {
        Locked::act(self, message)
    }
}

/// On one thread.
impl Keys for Rc<RefCell<kv::Map>> {
    fn act(&self, message: kv::Message) -> kv::Message {
        kv::act(&mut self.borrow_mut(), message)
    }
}

/// Does jobs on a runtime, and measures it.
///
/// # Errors
///
/// When a job fails or its result is wrong, or the runtime doesn't start.
pub fn jobs<R: Runtime>(order: &Order) -> anyhow::Result<Finding> {
    batch::measure(order, |stage, jobs| {
        let count = jobs.len();
        let lanes = Job::at_a_time(order.workload).min(count);
        let queue = Arc::new(Mutex::new(VecDeque::from(cores::deal(jobs, 1).remove(0))));
        let (results, seen) = R::run(order.cores.len(), async move {
            let lanes: Vec<_> = (0..lanes).map(|_| R::lane(Arc::clone(&queue))).collect();
            let mut results = Vec::with_capacity(count);
            for lane in lanes {
                results.extend(lane.await?);
            }
            // Its threads end with it.
            let mut watch = Watch::new(std::process::id(), false);
            watch.look();
            Ok((results, watch.seen()))
        })?;
        stage.watch.saw(seen);
        stage.last();
        cores::collect(count, results)
    })
}

/// Takes jobs until none is left.
///
/// # Errors
///
/// The first error of a job.
///
/// # Cancel safety
///
/// None: a job that has begun is lost.
pub async fn lane<R: Runtime>(queue: Queue) -> Results {
    let mut results = Vec::new();
    loop {
        let next = queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
        let Some((place, job)) = next else { return Ok(results) };
        let begin = Instant::now();
        let answer = match job {
            Job::Prime(n) => u64::from(primes::by_trial(n)),
            Job::Sleep(time) => {
                R::sleep(time).await;
                0
            }
            Job::Copy { from, to } => {
                R::copy(from, to).await.with_context(|| format!("job {place}"))?
            }
            Job::Download { server, number } => {
                download::<R>(server, number).await.with_context(|| format!("job {place}"))?
            }
        };
        results.push((place, Done { took: begin.elapsed(), answer }));
    }
}

async fn download<R: Runtime>(server: SocketAddr, number: u64) -> anyhow::Result<u64> {
    let mut stream = R::connect(server).await.context("connecting")?;
    let request = downloads::request(server, number).into_bytes();
    R::send(&mut stream, request).await.context("asking")?;
    let mut answer = Vec::with_capacity(ANSWER);
    let mut buffer = Vec::with_capacity(ANSWER);
    loop {
        buffer.clear();
        buffer = R::receive(&mut stream, buffer).await.context("receiving")?;
        if buffer.is_empty() {
            return downloads::check(&answer);
        }
        answer.extend_from_slice(&buffer);
    }
}

/// Serves as many connections as will come on a runtime, and measures it.
///
/// # Errors
///
/// When a connection fails, or the runtime doesn't start.
pub fn serve<R: Runtime>(order: &Order) -> anyhow::Result<Finding> {
    server::measure(order, |service, watch| {
        meter::note("main thread");
        R::run(order.cores.len(), accept_all::<R>(order.connections(), service))?;
        watch.look();
        Ok(())
    })
}

async fn accept_all<R: Runtime>(connections: usize, service: Service) -> anyhow::Result<()> {
    let socket = server::bound()?;
    socket.listen(4096)?;
    let socket = std::net::TcpListener::from(socket);
    let address = socket.local_addr()?;
    let listener = R::listen(socket)?;
    server::announce(address)?;
    let keys = R::Keys::default();
    let mut served = Vec::with_capacity(connections);
    for _ in 0..connections {
        let stream = R::accept(&listener).await.context("accepting")?;
        served.push(R::connection(stream, service, keys.clone()));
    }
    for connection in served {
        connection.await?;
    }
    Ok(())
}

/// Serves a connection until the client closes it. The CPU part of a mixed request is done here:
/// the thread's other tasks stand still meanwhile.
///
/// # Errors
///
/// Those of the runtime, and an end within a request.
///
/// # Cancel safety
///
/// None: a request may be lost.
pub async fn connection<R: Runtime>(
    mut stream: R::Stream,
    service: Service,
    keys: R::Keys,
) -> anyhow::Result<()> {
    if service == Service::Echo {
        return echo::<R>(stream).await;
    }
    let (mut buffer, mut request) = (Vec::with_capacity(MESSAGE), Vec::with_capacity(MESSAGE));
    loop {
        while request.len() < MESSAGE {
            buffer.clear();
            buffer = R::receive(&mut stream, buffer).await?;
            if buffer.is_empty() {
                ensure!(request.is_empty(), "a client closed within a request");
                return Ok(());
            }
            request.extend_from_slice(&buffer);
        }
        ensure!(request.len() == MESSAGE, "a client sent more than it may");
        if let Service::Mixed { divisions } = service {
            R::sleep(BACKEND).await;
            let sum = primes::work(service::number(&request), divisions);
            service::answer(&mut request, sum);
        } else {
            let message = kv::read(request[..].try_into()?);
            kv::write(&keys.act(message), &mut request);
        }
        request = R::send(&mut stream, request).await?;
        request.clear();
    }
}

async fn echo<R: Runtime>(mut stream: R::Stream) -> anyhow::Result<()> {
    let mut buffer = Vec::with_capacity(BUFFER);
    loop {
        buffer.clear();
        buffer = R::receive(&mut stream, buffer).await?;
        if buffer.is_empty() {
            return Ok(());
        }
        buffer = R::send(&mut stream, buffer).await?;
    }
}
