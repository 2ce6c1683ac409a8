//! Small things several tests use.

use std::time::{Duration, Instant};

use pool::{Job, JobError};
use pool_nats::async_nats::jetstream::consumer::pull;
use pool_nats::async_nats::{self, jetstream};
use pool_nats::{RemotePool, RemotePoolBuilder};

use crate::server::Server;
use crate::work;

/// Far longer than anything takes.
pub(crate) const GUARD: Duration = Duration::from_secs(25);

/// Waits until `condition` holds; far longer than it should take.
#[track_caller]
pub(crate) fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !condition() {
        assert!(begun.elapsed() < GUARD, "it never came to be that {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// The end of a job, which is to come.
#[track_caller]
pub(crate) fn end_of<R>(mut job: Job<R>) -> Result<R, JobError> {
    job.wait_timeout(GUARD).expect("the job has not ended")
}

/// A client with the settings of most tests: agents that are silent for 3 s are lost.
pub(crate) fn client(server: &Server) -> RemotePool {
    builder(server).connect().unwrap()
}

pub(crate) fn builder(server: &Server) -> RemotePoolBuilder {
    RemotePool::builder(server.queue(), work::functions()).silence(Duration::from_secs(3))
}

/// Waits for agents with so many workers in all.
#[track_caller]
pub(crate) fn workers(pool: &RemotePool, count: usize) {
    assert!(pool.wait_for_workers(count, GUARD), "there are no {count} workers: {pool:?}");
}

/// How many messages the queue has.
pub(crate) fn queued(server: &Server) -> u64 {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let client = async_nats::connect(server.url()).await.unwrap();
        let stream = jetstream::new(client).get_stream("POOL_tests").await.unwrap();
        stream.cached_info().state.messages
    })
}

/// How many requests for messages agents have at the server; `None` before there is a queue.
pub(crate) fn waiting_requests(server: &Server) -> Option<usize> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let client = async_nats::connect(server.url()).await.ok()?;
        let stream = jetstream::new(client).get_stream("POOL_tests").await.ok()?;
        let agents = stream.get_consumer::<pull::Config>("agents").await.ok()?;
        Some(agents.cached_info().num_waiting)
    })
}

/// How many lines of a file begin with `what`.
pub(crate) fn lines(path: &str, what: &str) -> usize {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.lines().filter(|line| line.starts_with(what)).count()
}
