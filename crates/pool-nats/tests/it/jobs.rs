//! Jobs where nothing breaks: results, options, cancelling, killing, going.

use std::task::{Context, Poll, Waker};
use std::time::Duration;

use nix::sys::signal::Signal;
use pool::{Executor, Exit, JobError, JobOptions, JobState, Limit};

use crate::roles::{Manner, agent_like, an_agent};
use crate::server::{queue, server};
use crate::support::{builder, client, end_of, eventually, lines, queued, workers};
use crate::work;

crate::tests![
    code_for_any_executor_runs_on_agents,
    maps_keep_their_order_and_an_item_that_fails_costs_itself,
    jobs_submitted_before_any_agent_is_there_wait_for_one,
    a_panic_is_carried_home_with_the_name_of_the_job,
    a_job_is_awaited_like_any_other,
    a_large_result_comes_whole,
    cancelled_before_an_agent_takes_it_a_job_leaves_no_trace,
    a_running_job_is_killed_and_the_agent_goes_on,
    a_timeout_is_kept_by_the_agent,
    an_agent_takes_twice_as_many_jobs_as_it_has_workers,
    an_agent_that_is_told_to_go_hands_back_what_it_has_not_started,
    a_pool_that_is_shut_down_takes_nothing_and_ends_what_it_had,
    a_long_job_is_run_once,
];

fn sum_of_squares(pool: &impl Executor, upto: u64) -> Result<u64, JobError> {
    pool.map(work::square, 1..=upto).sum()
}

fn code_for_any_executor_runs_on_agents() {
    let Some(server) = server("code_for_any_executor_runs_on_agents") else { return };
    let _agent = an_agent(&server);
    let pool = client(&server);
    assert_eq!(sum_of_squares(&pool, 5000), Ok(41_679_167_500));
    assert_eq!(end_of(pool.submit(work::square, (9,))), Ok(81));
    workers(&pool, 1);
    assert_eq!(pool.workers(), 1);
    drop(pool);
    eventually("the queue is empty", || queued(&server) == 0);
}

fn maps_keep_their_order_and_an_item_that_fails_costs_itself() {
    let Some(server) = server("maps_keep_their_order") else { return };
    let _agent = agent_like(&server, Manner { workers: 2, ..Manner::default() });
    let pool = client(&server);
    let results: Vec<_> = pool.map(work::quarter, 0..1000u32).collect();
    for (n, result) in results.into_iter().enumerate() {
        match result {
            Ok(quarter) => assert_eq!(quarter as usize * 4, n),
            Err(JobError::Panicked(_)) => assert!(!n.is_multiple_of(4)),
            Err(error) => panic!("{n}: {error}"),
        }
    }
    let mut unordered: Vec<_> = pool.map(work::slow_square, 0..100).unordered().collect();
    unordered.sort_by_key(|(item, _)| *item);
    assert!(unordered.iter().all(|(item, square)| *square == Ok((item * item) as u64)));
}

fn jobs_submitted_before_any_agent_is_there_wait_for_one() {
    let Some(server) = server("jobs_submitted_before_any_agent_is_there") else { return };
    let pool = client(&server);
    let jobs: Vec<_> = (0..50u64).map(|n| pool.submit(work::square, (n,))).collect();
    eventually("all are in the queue", || pool.statistics().queued == 50);
    assert_eq!(queued(&server), 50);
    let _agent = an_agent(&server);
    for (n, job) in (0..).zip(jobs) {
        assert_eq!(end_of(job), Ok(n * n));
    }
}

fn a_panic_is_carried_home_with_the_name_of_the_job() {
    let Some(server) = server("a_panic_is_carried_home") else { return };
    let _agent = an_agent(&server);
    let pool = client(&server);
    let options = JobOptions::new().name("page 7");
    let Err(JobError::Panicked(panic)) = end_of(pool.submit_with(options, work::quarter, (7,)))
    else {
        panic!("it did not panic")
    };
    assert_eq!((&*panic.task, &*panic.message), ("page 7", "7 is not a multiple of 4"));
    assert!(panic.location.unwrap().contains("work.rs"));
}

fn a_job_is_awaited_like_any_other() {
    let Some(server) = server("a_job_is_awaited_like_any_other") else { return };
    let _agent = an_agent(&server);
    let pool = client(&server);
    let mut job = Box::pin(pool.submit(work::square, (12,)));
    let mut result = None;
    eventually("the future is ready", || {
        match job.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(square) => result = Some(square),
            Poll::Pending => {}
        }
        result.is_some()
    });
    assert_eq!(result, Some(Ok(144)));
}

fn a_large_result_comes_whole() {
    let Some(server) = server("a_large_result_comes_whole") else { return };
    let _agent = an_agent(&server);
    let pool = client(&server);
    // More than the server takes in one message.
    let bytes = end_of(pool.submit(work::bytes_of, (3_000_000,))).unwrap();
    assert_eq!(bytes.len(), 3_000_000);
    assert!(bytes.iter().enumerate().all(|(n, byte)| *byte == n as u8));
}

fn cancelled_before_an_agent_takes_it_a_job_leaves_no_trace() {
    let Some(server) = server("cancelled_before_an_agent_takes_it") else { return };
    let pool = client(&server);
    let path = server.path("notes");
    let jobs: Vec<_> = (0..10u64).map(|n| pool.submit(work::note, (path.clone(), n, 0))).collect();
    eventually("all are in the queue", || pool.statistics().queued == 10);
    let (kept, dropped) = jobs.split_at(1);
    assert!(dropped.iter().all(|job| job.state() == JobState::Pending && job.cancel()));
    eventually("they are taken off the queue", || queued(&server) == 1);
    let _agent = an_agent(&server);
    eventually("the other one is done", || kept[0].state() == JobState::Done);
    for job in jobs.into_iter().skip(1) {
        assert_eq!(end_of(job), Err(JobError::Cancelled));
    }
    drop(pool);
    assert_eq!((lines(&path, "begin"), queued(&server)), (1, 0));
}

fn a_running_job_is_killed_and_the_agent_goes_on() {
    let Some(server) = server("a_running_job_is_killed") else { return };
    let _agent = an_agent(&server);
    let pool = client(&server);
    let job = pool.submit(work::sleep, (60_000,));
    let behind = pool.submit(work::square, (3,));
    eventually("it runs", || job.state() == JobState::Running);
    assert!(!job.cancel());
    assert!(job.kill());
    let Err(JobError::Killed(death)) = end_of(job) else { panic!("it was not killed") };
    assert_eq!(death.exit, Exit::Signal(9));
    assert_eq!(end_of(behind), Ok(9));
}

fn a_timeout_is_kept_by_the_agent() {
    let Some(server) = server("a_timeout_is_kept_by_the_agent") else { return };
    let _agent = an_agent(&server);
    let pool = client(&server);
    let limit = Duration::from_millis(50);
    let options = JobOptions::new().timeout(limit);
    let Err(JobError::TimedOut(late)) = end_of(pool.submit_with(options, work::sleep, (60_000,)))
    else {
        panic!("it was not too late")
    };
    assert_eq!((late.limit, late.started), (Limit::Timeout(limit), true));
    // Of a map it is each item's own.
    let items = [1u64, 60_000, 1];
    let results: Vec<_> = pool.map(work::sleep, items).chunk(3).timeout(limit).collect();
    assert!(matches!(results[..], [Ok(()), Err(JobError::TimedOut(_)), Ok(())]), "{results:?}");
}

fn an_agent_takes_twice_as_many_jobs_as_it_has_workers() {
    let Some(server) = server("an_agent_takes_twice_as_many_jobs") else { return };
    let (path, flag) = (server.path("notes"), server.path("flag"));
    let pool = client(&server);
    let _first = an_agent(&server);
    workers(&pool, 1);
    let jobs: Vec<_> = (0..10u64)
        .map(|n| pool.submit(work::note_and_wait, (path.clone(), n, flag.clone())))
        .collect();
    eventually("one runs", || lines(&path, "begin") == 1);
    // One at each, and one more in hand; so what is left is there for another agent.
    let _second = agent_like(&server, Manner { workers: 8, ..Manner::default() });
    eventually("the others run elsewhere", || lines(&path, "begin") == 9);
    std::fs::write(&flag, "").unwrap();
    for (n, job) in (0..).zip(jobs) {
        assert_eq!(end_of(job), Ok(n));
    }
}

fn an_agent_that_is_told_to_go_hands_back_what_it_has_not_started() {
    let Some(server) = server("an_agent_that_is_told_to_go") else { return };
    // Long: what is handed back is not waited for.
    let manner = Manner { ack_wait: 60_000, ..Manner::default() };
    let (path, flag) = (server.path("notes"), server.path("flag"));
    let mut first = agent_like(&server, manner);
    let pool =
        pool_nats::RemotePool::connect(queue(&server.url(), 60_000, "file"), work::functions());
    let pool = pool.unwrap();
    let jobs: Vec<_> = (0..4u64)
        .map(|n| pool.submit(work::note_and_wait, (path.clone(), n, flag.clone())))
        .collect();
    eventually("one runs", || lines(&path, "begin") == 1);
    first.signal(Signal::SIGTERM);
    let _second = agent_like(&server, Manner { workers: 3, ..manner });
    eventually("the others run elsewhere", || lines(&path, "begin") == 4);
    std::fs::write(&flag, "").unwrap();
    for (n, job) in (0..).zip(jobs) {
        assert_eq!(end_of(job), Ok(n));
    }
    assert!(first.0.wait().unwrap().success());
    assert_eq!(lines(&path, "begin"), 4);
}

fn a_pool_that_is_shut_down_takes_nothing_and_ends_what_it_had() {
    let Some(server) = server("a_pool_that_is_shut_down") else { return };
    let pool = builder(&server).connect().unwrap();
    let waiting = pool.submit(work::square, (3,));
    pool.shutdown(true, true);
    assert_eq!(end_of(waiting), Err(JobError::Cancelled));
    eventually("the queue is empty", || queued(&server) == 0);
    assert_eq!(end_of(pool.submit(work::square, (3,))), Err(JobError::PoolShutdown));
    let _agent = an_agent(&server);
    let pool = client(&server);
    let waiting = pool.submit(work::square, (4,));
    pool.shutdown(true, false);
    assert_eq!(end_of(waiting), Ok(16));
    let pool = client(&server);
    let (endless, behind) = (pool.submit(work::sleep, (60_000,)), pool.submit(work::sleep, (1,)));
    eventually("it runs", || endless.state() == JobState::Running);
    assert!(!pool.shutdown_within(Duration::from_millis(10), false));
    assert!(matches!(end_of(endless), Err(JobError::Lost(_))));
    assert_eq!(end_of(behind), Err(JobError::Cancelled));
    // Its worker was killed: there is one for others.
    assert_eq!(end_of(client(&server).submit(work::square, (5,))), Ok(25));
}

fn a_long_job_is_run_once() {
    let Some(server) = server("a_long_job_is_run_once") else { return };
    let _agents = [an_agent(&server), an_agent(&server)];
    let pool = client(&server);
    workers(&pool, 2);
    let path = server.path("notes");
    // Three times as long as an agent may be silent about a job.
    assert_eq!(end_of(pool.submit(work::note, (path.clone(), 5, 3000))), Ok(5));
    assert_eq!(lines(&path, "begin"), 1);
}
