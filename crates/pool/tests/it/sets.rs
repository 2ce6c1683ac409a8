//! `wait` and `as_completed` over jobs of both pools. The situations are those of CPython's
//! test_wait.py and test_as_completed.py, with our meaning.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_core::Stream;
use pool::{Executor, Job, JobError, JobState, ThreadPool, WaitUntil, as_completed, wait};

use crate::support::{Flag, block_on, processes, raise_then_wait};

crate::tests![
    all_completed,
    first_completed,
    first_completed_of_some_already_done,
    first_error,
    first_error_of_some_already_failed,
    a_cancelled_job_is_no_error,
    a_wait_with_a_limit_gives_back_what_is_pending,
    a_wait_for_nothing_ends_at_once,
    pending_calls_race,
    results_come_as_jobs_end,
    results_of_jobs_already_ended_come_too,
    an_unfinished_rest_is_counted,
    as_completed_is_a_stream,
    a_worker_that_waits_for_many_of_its_own_pool_runs_them,
    jobs_of_two_pools_can_be_mixed,
];

fn fail() -> u32 {
    panic!("as it should")
}

fn states<R>(jobs: &[Job<R>]) -> Vec<JobState> {
    jobs.iter().map(Job::state).collect()
}

fn all_completed() {
    fn check(pool: &impl Executor) {
        let jobs = [pool.submit(|| 1u32, ()), pool.submit(fail, ()), pool.submit(|| 3u32, ())];
        let waited = wait(jobs, WaitUntil::AllCompleted, None);
        assert!(waited.pending.is_empty());
        assert_eq!(states(&waited.done), [JobState::Done; 3]);
        let results: Vec<_> = waited.done.into_iter().map(|job| job.wait().ok()).collect();
        assert_eq!(results, [Some(1), None, Some(3)]);
    }
    check(&ThreadPool::new());
    check(&processes(2));
}

/// A job that runs until the flag is raised.
fn held(pool: &impl Executor, name: &str) -> (Job<u32>, Flag) {
    let (started, go_on) = (Flag::new(&format!("{name}-s")), Flag::new(name));
    (pool.submit(raise_then_wait, (started.0.clone(), go_on.0.clone())), go_on)
}

/// Lets the held job among these end.
fn let_go(go_on: Flag, jobs: Vec<Job<u32>>) {
    go_on.raise();
    // The flag is gone with this function: all must have seen it.
    drop(wait(jobs, WaitUntil::AllCompleted, None));
}

fn first_completed() {
    fn check(pool: &impl Executor, name: &str) {
        let (long, go_on) = held(pool, name);
        let waited = wait([long, pool.submit(|| 1u32, ())], WaitUntil::FirstCompleted, None);
        assert_eq!((waited.done.len(), waited.pending.len()), (1, 1));
        let_go(go_on, waited.pending);
    }
    check(&ThreadPool::builder().threads(2).build().unwrap(), "first-threads");
    check(&processes(2), "first-processes");
}

fn first_completed_of_some_already_done() {
    let pool = processes(2);
    let done = pool.submit(|| 1u32, ());
    let done = wait([done], WaitUntil::AllCompleted, None).done.pop().unwrap();
    let (long, go_on) = held(&pool, "some-done");
    let waited = wait([long, done], WaitUntil::FirstCompleted, None);
    assert_eq!((waited.done.len(), waited.pending.len()), (1, 1));
    let_go(go_on, waited.pending);
}

fn first_error() {
    fn check(pool: &impl Executor, name: &str) {
        let (long, go_on) = held(pool, name);
        let jobs = [long, pool.submit(|| 1u32, ()), pool.submit(fail, ())];
        let waited = wait(jobs, WaitUntil::FirstError, None);
        assert!(!waited.pending.is_empty(), "the held one has not ended: {waited:?}");
        assert!(waited.done.into_iter().any(|job| job.wait().is_err()), "the failed one is done");
        let_go(go_on, waited.pending);
    }
    // One worker is held, the other runs the rest in order.
    check(&ThreadPool::builder().threads(2).build().unwrap(), "error-threads");
    check(&processes(2), "error-processes");
}

fn first_error_of_some_already_failed() {
    let pool = ThreadPool::builder().threads(2).build().unwrap();
    let failed = wait([pool.spawn(fail)], WaitUntil::AllCompleted, None).done.pop().unwrap();
    let (long, go_on) = held(&pool, "already-failed");
    let waited = wait([long, failed], WaitUntil::FirstError, None);
    assert_eq!((waited.done.len(), waited.pending.len()), (1, 1));
    let_go(go_on, waited.pending);
}

fn a_cancelled_job_is_no_error() {
    let pool = processes(1);
    let (long, go_on) = held(&pool, "cancelled-no-error");
    let cancelled = pool.submit(|| 1u32, ());
    assert!(cancelled.cancel());
    let mut jobs = wait([long, cancelled], WaitUntil::FirstError, Some(Duration::from_millis(30)));
    assert_eq!((jobs.done.len(), jobs.pending.len()), (1, 1));
    assert_eq!(jobs.done.pop().unwrap().wait(), Err(JobError::Cancelled));
    let_go(go_on, jobs.pending);
}

fn a_wait_with_a_limit_gives_back_what_is_pending() {
    let pool = processes(1);
    let (long, go_on) = held(&pool, "wait-limit");
    let after = pool.submit(|| 1u32, ());
    let waited = wait([long, after], WaitUntil::AllCompleted, Some(Duration::from_millis(20)));
    assert_eq!((waited.done.len(), waited.pending.len()), (0, 2));
    go_on.raise();
    let waited = wait(waited.pending, WaitUntil::AllCompleted, Some(Duration::MAX));
    assert_eq!((waited.done.len(), waited.pending.len()), (2, 0));
}

fn a_wait_for_nothing_ends_at_once() {
    for until in [WaitUntil::AllCompleted, WaitUntil::FirstCompleted, WaitUntil::FirstError] {
        let waited = wait(Vec::<Job<u32>>::new(), until, None);
        assert!(waited.done.is_empty() && waited.pending.is_empty());
    }
    assert_eq!(as_completed(Vec::<Job<u32>>::new()).next(), None);
}

/// Many jobs that end while the wait for them is being set up (CPython issue 14406).
fn pending_calls_race() {
    fn check(pool: &impl Executor) {
        for _ in 0..20 {
            let jobs: Vec<_> = (0..60u32).map(|n| pool.submit(|n: u32| n, (n,))).collect();
            let waited = wait(jobs, WaitUntil::AllCompleted, None);
            assert_eq!(waited.done.len(), 60);
        }
    }
    check(&ThreadPool::builder().threads(4).build().unwrap());
    check(&processes(2));
}

fn results_come_as_jobs_end() {
    fn check(pool: &impl Executor, name: &str) {
        let (long, go_on) = held(pool, name);
        let mut results = as_completed([long, pool.submit(|| 7u32, ())]);
        assert_eq!(results.len(), 2);
        assert_eq!(results.next(), Some((1, Ok(7))));
        go_on.raise();
        assert!(matches!(results.next(), Some((0, Ok(_)))));
        assert_eq!((results.next(), results.len()), (None, 0));
    }
    check(&ThreadPool::builder().threads(2).build().unwrap(), "completed-threads");
    check(&processes(2), "completed-processes");
}

fn results_of_jobs_already_ended_come_too() {
    let pool = ThreadPool::new();
    let jobs: Vec<_> = (0..10u32).map(|n| pool.spawn(move || n)).collect();
    let jobs = wait(jobs, WaitUntil::AllCompleted, None).done;
    assert_eq!(as_completed(jobs).filter_map(|(_, result)| result.ok()).sum::<u32>(), 45);
}

/// CPython's test_correct_timeout_exception_msg.
fn an_unfinished_rest_is_counted() {
    let pool = ThreadPool::builder().threads(2).build().unwrap();
    let (long, go_on) = held(&pool, "unfinished");
    let mut results = as_completed([long, pool.spawn(|| 7u32)]);
    assert_eq!(results.next_timeout(Duration::MAX), Ok(Some((1, Ok(7)))));
    let error = results.next_timeout(Duration::from_millis(10)).unwrap_err();
    assert_eq!(error.to_string(), "1 (of 2) jobs unfinished");
    go_on.raise();
    assert!(matches!(results.next_timeout(Duration::from_secs(60)), Ok(Some((0, Ok(_))))));
    assert_eq!(results.next_timeout(Duration::ZERO), Ok(None));
}

fn next<S: Stream + Unpin>(results: &mut S) -> Option<S::Item> {
    block_on(std::future::poll_fn(|cx| Pin::new(&mut *results).poll_next(cx)))
}

fn as_completed_is_a_stream() {
    fn check(pool: &impl Executor, name: &str) {
        let (long, go_on) = held(pool, name);
        let mut results = as_completed([long, pool.submit(|| 7u32, ())]).stream();
        assert_eq!(next(&mut results), Some((1, Ok(7))));
        go_on.raise();
        assert!(matches!(next(&mut results), Some((0, Ok(_)))));
        assert_eq!(next(&mut results), None);
    }
    check(&ThreadPool::builder().threads(2).build().unwrap(), "stream-threads");
    check(&processes(2), "stream-processes");
}

fn a_worker_that_waits_for_many_of_its_own_pool_runs_them() {
    let pool = Arc::new(ThreadPool::builder().threads(1).build().unwrap());
    let own = Arc::clone(&pool);
    let sum = pool.spawn(move || {
        let some = |own: &ThreadPool| (0..5u32).map(|n| own.spawn(move || n)).collect::<Vec<_>>();
        let all = wait(some(&own), WaitUntil::AllCompleted, None).done.len();
        let first = wait(some(&own), WaitUntil::FirstCompleted, None).done.len();
        let each: u32 = as_completed(some(&own)).map(|(_, result)| result.unwrap()).sum();
        let mut stream = as_completed(some(&own)).stream();
        let mut streamed = 0;
        while let Some((_, result)) = next(&mut stream) {
            streamed += result.unwrap();
        }
        // Not left to the end of the closure: then the pool would be dropped by its own worker.
        drop(own);
        (all, first, each, streamed)
    });
    assert_eq!(sum.wait(), Ok((5, 1, 10, 10)));
}

fn jobs_of_two_pools_can_be_mixed() {
    let (threads, processes) = (ThreadPool::new(), processes(1));
    let jobs = [threads.spawn(|| 1u32), processes.submit(|| 2u32, ())];
    assert_eq!(as_completed(jobs).map(|(_, result)| result.unwrap()).sum::<u32>(), 3);
}
