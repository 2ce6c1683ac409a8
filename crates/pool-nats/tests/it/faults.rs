//! Workers, agents and servers that die: exactly n results, none lost.

use std::time::Duration;

use pool::{Executor as _, Exit, JobError, JobOptions};
use pool_nats::RemotePool;

use crate::roles::{Manner, agent_like, an_agent};
use crate::server::{queue, server};
use crate::support::{builder, client, end_of, eventually, lines, queued, workers};
use crate::work;

crate::tests![
    a_server_that_is_killed_and_comes_back_loses_nothing,
    a_server_that_forgets_everything_is_told_again,
    an_agent_that_is_killed_costs_nothing,
    what_runs_once_is_lost_with_its_agent_and_not_run_again,
    a_job_that_brings_agents_down_is_given_to_few_of_them,
    a_worker_that_aborts_costs_a_try_not_a_wait,
    a_poisonous_job_ends_at_once_with_all_its_deaths,
    one_that_runs_once_is_tried_again_only_if_asked_to,
];

const N: u64 = 600;

/// All squares, each as a job of its own; each exactly once, or it panics.
fn all_squares(pool: &RemotePool, meanwhile: impl FnOnce()) {
    let jobs: Vec<_> = (0..N).map(|n| pool.submit(work::slow_square, (n,))).collect();
    meanwhile();
    for (n, job) in (0..N).zip(jobs) {
        assert_eq!(end_of(job), Ok(n * n));
    }
}

/// Waits until some of the jobs are done, but not all.
fn in_the_middle(pool: &RemotePool) {
    eventually("a third is done", || pool.statistics().jobs < N as usize * 2 / 3);
}

fn a_server_that_is_killed_and_comes_back_loses_nothing() {
    let Some(mut server) = server("a_server_that_is_killed_and_comes_back") else { return };
    let _agents = [an_agent(&server), an_agent(&server)];
    let pool = client(&server);
    all_squares(&pool, || {
        for _ in 0..2 {
            in_the_middle(&pool);
            server.kill();
            std::thread::sleep(Duration::from_millis(300));
            server.start_again();
        }
    });
}

fn a_server_that_forgets_everything_is_told_again() {
    let Some(mut server) = server("a_server_that_forgets_everything") else { return };
    let pool = RemotePool::connect(queue(&server.url(), 1000, "memory"), work::functions());
    let pool = pool.unwrap();
    let jobs: Vec<_> = (0..20u64).map(|n| pool.submit(work::square, (n,))).collect();
    eventually("all are in the queue", || pool.statistics().queued == 20);
    server.kill();
    server.start_again();
    eventually("the client is back", || pool.statistics().connected);
    // These find no queue to go to.
    let more = (20..25u64).map(|n| pool.submit(work::square, (n,)));
    let jobs: Vec<_> = jobs.into_iter().chain(more).collect();
    eventually("they are in a new one", || pool.statistics().queued == 25);
    let _agent = agent_like(&server, Manner { storage: "memory", ..Manner::default() });
    for (n, job) in (0..).zip(jobs) {
        assert_eq!(end_of(job), Ok(n * n));
    }
    assert_eq!(pool.statistics().republished, 20);
}

fn an_agent_that_is_killed_costs_nothing() {
    let Some(server) = server("an_agent_that_is_killed_costs_nothing") else { return };
    let mut first = agent_like(&server, Manner { workers: 2, ..Manner::default() });
    let _second = an_agent(&server);
    let pool = client(&server);
    workers(&pool, 3);
    all_squares(&pool, || {
        in_the_middle(&pool);
        first.kill();
    });
    eventually("it is known to be lost", || pool.workers() == 1);
    // What it had was still in the queue.
    assert_eq!(pool.statistics().republished, 0);
    drop(pool);
    eventually("the queue is empty", || queued(&server) == 0);
}

fn what_runs_once_is_lost_with_its_agent_and_not_run_again() {
    let Some(server) = server("what_runs_once_is_lost_with_its_agent") else { return };
    let path = server.path("notes");
    let mut first = an_agent(&server);
    let pool = client(&server);
    let job = pool.submit(work::note_once, (path.clone(), 1, 60_000));
    eventually("it runs", || lines(&path, "begin") == 1);
    let _second = an_agent(&server);
    first.kill();
    let Err(JobError::Lost(lost)) = end_of(job) else { panic!("it was not lost") };
    assert!(lost.reason.contains("has not been heard of for 3s; it may have run"), "{lost:?}");
    assert_eq!(end_of(pool.submit(work::note_once, (path.clone(), 2, 0))), Ok(2));
    assert_eq!(lines(&path, "begin"), 2);
    eventually("the queue is empty", || queued(&server) == 0);
}

fn a_job_that_brings_agents_down_is_given_to_few_of_them() {
    let Some(server) = server("a_job_that_brings_agents_down") else { return };
    let path = server.path("notes");
    let mut agents = [(); 3].map(|()| an_agent(&server));
    let pool = builder(&server).losses(1).connect().unwrap();
    workers(&pool, 3);
    let job = pool.submit(work::shoot_the_agent, (path.clone(),));
    let Err(JobError::Lost(lost)) = end_of(job) else { panic!("it was not blamed") };
    assert!(lost.reason.starts_with("2 agents had it"), "{lost:?}");
    assert_eq!(lines(&path, "shot"), 2);
    assert_eq!(end_of(pool.submit(work::square, (3,))), Ok(9));
    agents.iter_mut().for_each(|agent| agent.kill());
}

/// Nobody waits for as long as an agent may be silent about a job.
const SLOW: Manner =
    Manner { workers: 1, ack_wait: 120_000, patience: 60_000, storage: "file", functions: "all" };

fn a_worker_that_aborts_costs_a_try_not_a_wait() {
    let Some(server) = server("a_worker_that_aborts_costs_a_try") else { return };
    let path = server.path("notes");
    let _agent = agent_like(&server, SLOW);
    let pool = RemotePool::connect(queue(&server.url(), SLOW.ack_wait, "file"), work::functions())
        .unwrap();
    let options = JobOptions::new().retries(1);
    let others: Vec<_> = (0..50u64).map(|n| pool.submit(work::square, (n,))).collect();
    assert_eq!(end_of(pool.submit_with(options, work::abort_once, (path.clone(),))), Ok(7));
    assert_eq!(lines(&path, "abort"), 1);
    for (n, job) in (0..).zip(others) {
        assert_eq!(end_of(job), Ok(n * n));
    }
}

fn a_poisonous_job_ends_at_once_with_all_its_deaths() {
    let Some(server) = server("a_poisonous_job_ends_at_once") else { return };
    let path = server.path("notes");
    let _agents = [agent_like(&server, SLOW), agent_like(&server, SLOW)];
    let pool = RemotePool::connect(queue(&server.url(), SLOW.ack_wait, "file"), work::functions())
        .unwrap();
    let options = JobOptions::new().retries(2);
    let job = pool.submit_with(options, work::abort, (path.clone(),));
    let Err(JobError::Poisoned(poisoned)) = end_of(job) else { panic!("it was not poisonous") };
    assert!(poisoned.deaths.iter().all(|death| death.exit == Exit::Signal(6)));
    assert_eq!((poisoned.deaths.len(), lines(&path, "abort")), (3, 3));
    // Without retries, the first death is the last.
    let Err(JobError::WorkerDied(_)) = end_of(pool.submit(work::abort, (path.clone(),))) else {
        panic!("it was tried again")
    };
    // Of a map, it costs its own item.
    let paths = [path.clone(), path.clone()];
    let results: Vec<_> = pool.map(work::abort_once, paths).chunk(2).collect();
    assert_eq!(results, [Ok(7), Ok(7)]);
    drop(pool);
    eventually("the queue is empty", || queued(&server) == 0);
}

fn one_that_runs_once_is_tried_again_only_if_asked_to() {
    let Some(server) = server("one_that_runs_once_is_tried_again") else { return };
    let _agent = agent_like(&server, SLOW);
    let pool = RemotePool::connect(queue(&server.url(), SLOW.ack_wait, "file"), work::functions())
        .unwrap();
    let error = end_of(pool.submit(work::abort_once_once, (server.path("a"),))).unwrap_err();
    assert!(matches!(error, JobError::WorkerDied(_)), "{error}");
    let options = JobOptions::new().retries(1);
    let job = pool.submit_with(options, work::abort_once_once, (server.path("b"),));
    assert_eq!(end_of(job), Ok(7));
}
