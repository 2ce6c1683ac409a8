//! Situations of CPython's test_concurrent_futures that no other module has, under the names they
//! have there (in each comment), with our meaning: what breaks the whole pool there costs one job.
//! [`SITUATIONS`] says for all of them which test here has them.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};

use pool::{Exit, Job, JobError, ProcessPool, ThreadPool};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::support::{Flag, death_of, eventually, kill, panic_of, processes, raise_then_wait};

crate::tests![
    each_situation_has_a_test,
    a_worker_may_crash_exit_or_fail_at_any_step,
    a_full_pool_has_as_many_workers_as_allowed_and_no_more,
    idle_workers_are_reused_by_several_jobs,
    submitting_never_blocks,
    jobs_submitted_while_another_thread_shuts_down_have_an_answer,
    results_taken_are_not_kept,
    a_killed_idle_worker_does_not_hold_up_shutdown,
    a_pool_shut_down_without_waiting_finishes_its_work,
    a_shutdown_after_arguments_that_cannot_be_encoded_ends,
    results_ready_before_a_crash_are_not_lost,
];

/// The tests of Lib/test/test_concurrent_futures that a pool of ours could fail, by module, and
/// where their situation is tested here. Not among them: those of keyword arguments, of the end of
/// an interpreter, of `fork`, and `test_duplicate_futures`, for a job has one handle, which is
/// given away.
const SITUATIONS: &[(&str, &str)] = &[
    // executor.py
    ("test_submit", "processes::results_come_back_from_another_process"),
    ("test_map", "processes::map_keeps_the_order"),
    ("test_map_with_buffersize", "processes::map_is_lazy_over_an_endless_iterator"),
    ("test_map_exception", "maps::an_error_does_not_end_a_map"),
    ("test_map_timeout", "maps::a_maps_deadline_ends_what_is_left"),
    ("test_shutdown_race_issue12456", HERE_SHUTDOWN_RACE),
    ("test_no_stale_references", "ported::results_taken_are_not_kept"),
    ("test_max_workers_negative", "processes::zero_workers_are_refused"),
    ("test_free_reference", "ported::results_taken_are_not_kept"),
    // test_process_pool.py
    ("test_killed_child", "ported::results_ready_before_a_crash_are_not_lost"),
    ("test_map_chunksize", "properties::maps_on_processes_answer_each_item"),
    ("test_traceback", "processes::a_panic_carries_message_and_place_and_the_worker_goes_on"),
    ("test_ressources_gced_in_workers", "shared::a_worker_keeps_no_buffer"),
    ("test_saturation", "ported::a_full_pool_has_as_many_workers_as_allowed_and_no_more"),
    ("test_idle_process_reuse_one", "processes::an_idle_worker_is_used_before_another_is_started"),
    ("test_idle_process_reuse_multiple", "ported::idle_workers_are_reused_by_several_jobs"),
    ("test_max_tasks_per_child", "life::a_worker_ends_after_its_tasks"),
    ("test_max_tasks_early_shutdown", "life::a_pool_of_single_use_workers_can_be_shut_down_early"),
    ("test_force_shutdown_workers", "life::a_shutdown_with_a_limit_kills_what_does_not_end"),
    // test_thread_pool.py
    ("test_executor_map_current_future_cancel", "threads::a_dropped_map_cancels_the_rest"),
    ("test_hang_global_shutdown_lock", "threads::shutdown_from_a_job_does_not_wait_for_itself"),
    // test_deadlock.py
    ("test_error_at_task_unpickle", HERE_ANY_STEP),
    ("test_exit_at_task_unpickle", HERE_ANY_STEP),
    ("test_crash_at_task_unpickle", HERE_ANY_STEP),
    ("test_crash_during_func_exec_on_worker", HERE_ANY_STEP),
    ("test_exit_during_func_exec_on_worker", HERE_ANY_STEP),
    ("test_error_during_func_exec_on_worker", HERE_ANY_STEP),
    ("test_crash_during_result_pickle_on_worker", HERE_ANY_STEP),
    ("test_exit_during_result_pickle_on_worker", HERE_ANY_STEP),
    ("test_error_during_result_pickle_on_worker", HERE_ANY_STEP),
    (
        "test_error_during_result_unpickle_in_result_handler",
        "processes::a_result_that_cannot_be_decoded_costs_its_job_only",
    ),
    (
        "test_exit_during_result_unpickle_in_result_handler",
        "processes::a_result_that_cannot_be_decoded_costs_its_job_only",
    ),
    ("test_shutdown_deadlock", "survival::shutdown_while_workers_die_ends"),
    ("test_shutdown_deadlock_pickle", HERE_NOT_ENCODED),
    ("test_crash_big_data", "survival::a_death_amid_large_arguments_does_not_hang"),
    ("test_gh105829_should_not_deadlock_if_wakeup_pipe_full", "ported::submitting_never_blocks"),
    // test_shutdown.py
    ("test_run_after_shutdown", "processes::submitting_after_shutdown_is_an_error"),
    ("test_interpreter_shutdown", "survival::workers_end_with_their_parent"),
    ("test_hang_issue12364", "processes::dropping_the_pool_waits_for_queued_jobs"),
    ("test_cancel_futures", "processes::shutdown_can_cancel_what_is_pending"),
    ("test_hang_gh83386", "ported::a_pool_shut_down_without_waiting_finishes_its_work"),
    ("test_hang_gh94440", HERE_NOT_ENCODED),
    ("test_threads_terminate", "threads::dropping_the_pool_waits_for_queued_jobs"),
    ("test_processes_terminate", "hygiene::alone_many_pools_leave_nothing"),
    ("test_del_shutdown", "processes::dropping_the_pool_waits_for_queued_jobs"),
    ("test_shutdown_no_wait", "ported::a_pool_shut_down_without_waiting_finishes_its_work"),
    ("test_gh_132969_case_1", "ported::a_killed_idle_worker_does_not_hold_up_shutdown"),
    ("test_gh_132969_case_2", "ported::a_killed_idle_worker_does_not_hold_up_shutdown"),
    // test_init.py
    ("test_initializer", "processes::workers_are_initialised_and_named"),
    ("FailingInitializer", "processes::a_failing_initializer_breaks_the_pool_with_its_message"),
    // test_wait.py
    ("test_first_completed", "sets::first_completed"),
    ("test_first_completed_some_already_completed", "sets::first_completed_of_some_already_done"),
    ("test_first_exception", "sets::first_error"),
    ("test_first_exception_some_already_complete", "sets::first_error_of_some_already_failed"),
    ("test_first_exception_one_already_failed", "sets::first_error_of_some_already_failed"),
    ("test_all_completed", "sets::all_completed"),
    ("test_timeout", "sets::a_wait_with_a_limit_gives_back_what_is_pending"),
    ("test_pending_calls_race", "sets::pending_calls_race"),
    // test_as_completed.py
    ("test_no_timeout", "sets::results_of_jobs_already_ended_come_too"),
    ("test_future_times_out", "sets::an_unfinished_rest_is_counted"),
    ("test_correct_timeout_exception_msg", "sets::an_unfinished_rest_is_counted"),
];

const HERE_ANY_STEP: &str = "ported::a_worker_may_crash_exit_or_fail_at_any_step";
const HERE_NOT_ENCODED: &str = "ported::a_shutdown_after_arguments_that_cannot_be_encoded_ends";
const HERE_SHUTDOWN_RACE: &str =
    "ported::jobs_submitted_while_another_thread_shuts_down_have_an_answer";

fn each_situation_has_a_test() {
    let tests = crate::all();
    for (situation, name) in SITUATIONS {
        let found = tests.iter().any(|(path, _)| path.strip_prefix("it::") == Some(name));
        assert!(found, "{situation} is not at {name}");
    }
}

/// Where it happens.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
enum At {
    DecodingArguments,
    Running,
    EncodingResult,
}

/// What happens.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
enum How {
    Crash,
    Exit,
    Fail,
}

#[derive(Clone, Copy, Debug)]
struct Bomb {
    at: At,
    how: How,
    /// The process it was made in: there it is harmless.
    home: u32,
}

impl Bomb {
    fn go_off(self, at: At) -> Result<(), &'static str> {
        match self.how {
            _ if self.at != at || self.home == std::process::id() => Ok(()),
            How::Crash => std::process::abort(),
            How::Exit => std::process::exit(5),
            How::Fail => Err("it failed"),
        }
    }
}

impl Serialize for Bomb {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.go_off(At::EncodingResult).map_err(serde::ser::Error::custom)?;
        (self.at, self.how, self.home).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Bomb {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Bomb, D::Error> {
        let (at, how, home) = Deserialize::deserialize(deserializer)?;
        let bomb = Bomb { at, how, home };
        bomb.go_off(At::DecodingArguments).map_err(serde::de::Error::custom)?;
        Ok(bomb)
    }
}

fn handle(bomb: Bomb) -> Bomb {
    bomb.go_off(At::Running).unwrap();
    bomb
}

/// test_deadlock: crash, exit and error, each while unpickling the task, during it, and while
/// pickling the result.
fn a_worker_may_crash_exit_or_fail_at_any_step() {
    let pool = processes(2);
    for at in [At::DecodingArguments, At::Running, At::EncodingResult] {
        for how in [How::Crash, How::Exit, How::Fail] {
            let bomb = Bomb { at, how, home: std::process::id() };
            let before: Vec<_> = (0..20u32).map(|n| pool.submit(|n: u32| n, (n,))).collect();
            let struck = pool.submit(handle, (bomb,));
            let after: Vec<_> = (0..20u32).map(|n| pool.submit(|n: u32| n, (n,))).collect();
            match (struck.wait().map(drop), how, at) {
                (died, How::Crash, _) => assert_eq!(death_of(died).exit, Exit::Signal(6)),
                (died, How::Exit, _) => assert_eq!(death_of(died).exit, Exit::Code(5)),
                (Err(JobError::Decode(_)), How::Fail, At::DecodingArguments) => {}
                (Err(JobError::Encode(_)), How::Fail, At::EncodingResult) => {}
                (panicked, How::Fail, At::Running) => drop(panic_of(panicked)),
                other => panic!("{other:?}"),
            }
            for jobs in [before, after] {
                for (n, job) in jobs.into_iter().enumerate() {
                    assert_eq!(job.wait(), Ok(n as u32), "{at:?} {how:?}");
                }
            }
        }
    }
}

/// test_saturation, of both pools.
fn a_full_pool_has_as_many_workers_as_allowed_and_no_more() {
    let pool = processes(3);
    let (started, go_on) = (Flag::new("saturation-s"), Flag::new("saturation"));
    let jobs: Vec<_> = (0..45)
        .map(|_| pool.submit(raise_then_wait, (started.0.clone(), go_on.0.clone())))
        .collect();
    eventually("three run", || {
        let running = |job: &&Job<u32>| job.state() == pool::JobState::Running;
        jobs.iter().filter(running).count() == 3
    });
    assert_eq!((pool.statistics().started, pool.statistics().starting), (3, 0));
    go_on.raise();
    let mut pids: Vec<u32> = jobs.into_iter().map(|job| job.wait().unwrap()).collect();
    pids.sort_unstable();
    pids.dedup();
    assert!(pids.len() <= 3, "{pids:?}");

    let threads = ThreadPool::builder().threads(3).build().unwrap();
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let jobs: Vec<_> = (0..200)
        .map(|_| {
            let (now, most) = (Arc::clone(&now), Arc::clone(&most));
            threads.spawn(move || {
                most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                std::thread::yield_now();
                now.fetch_sub(1, Ordering::SeqCst);
            })
        })
        .collect();
    jobs.into_iter().for_each(|job| job.wait().unwrap());
    assert!(most.load(Ordering::SeqCst) <= 3);
}

/// test_idle_process_reuse_multiple.
fn idle_workers_are_reused_by_several_jobs() {
    let pool = processes(8);
    for _ in 0..3 {
        let jobs: Vec<_> = (0..2).map(|_| pool.submit(std::process::id, ())).collect();
        jobs.into_iter().for_each(|job| assert_ne!(job.wait(), Ok(0)));
        eventually("none is being started", || pool.statistics().starting == 0);
    }
    assert!(pool.statistics().started <= 2, "{:?}", pool.statistics());
}

/// test_gh105829_should_not_deadlock_if_wakeup_pipe_full.
fn submitting_never_blocks() {
    let pool = processes(1);
    let (started, go_on) = (Flag::new("full-s"), Flag::new("full"));
    let held = pool.submit(raise_then_wait, (started.0.clone(), go_on.0.clone()));
    eventually("the job runs", || started.is_raised());
    let jobs: Vec<_> =
        (0..5000).map(|_| pool.submit(|bytes: Vec<u8>| bytes.len(), (vec![0; 4096],))).collect();
    assert!(held.state() == pool::JobState::Running);
    go_on.raise();
    held.wait().unwrap();
    assert!(jobs.into_iter().all(|job| job.wait() == Ok(4096)));
}

/// test_shutdown_race_issue12456, and bpo-39104.
fn jobs_submitted_while_another_thread_shuts_down_have_an_answer() {
    fn check(submit: impl Fn(u32) -> Job<u32> + Sync, shutdown: impl Fn() + Sync) {
        let begin = Barrier::new(2);
        std::thread::scope(|scope| {
            let submitter = scope.spawn(|| {
                begin.wait();
                (0..300u32).map(|n| (n, submit(n).wait())).collect::<Vec<_>>()
            });
            begin.wait();
            shutdown();
            let results = submitter.join().unwrap();
            let refused = results.iter().position(|(_, result)| result.is_err()).unwrap_or(300);
            for (n, result) in results {
                let expected =
                    if (n as usize) < refused { Ok(n) } else { Err(JobError::PoolShutdown) };
                assert_eq!(result, expected);
            }
        });
    }
    for _ in 0..20 {
        let pool = ThreadPool::builder().threads(2).build().unwrap();
        check(|n| pool.spawn(move || n), || pool.shutdown(true, false));
    }
    for _ in 0..5 {
        let pool = processes(1);
        check(|n| pool.submit(|n: u32| n, (n,)), || pool.shutdown(true, false));
    }
}

/// test_free_reference.
fn results_taken_are_not_kept() {
    let alive = Arc::new(());
    let pool = ThreadPool::new();
    let held = Arc::clone(&alive);
    let mut map = pool.map(move |_: u32| Arc::clone(&held), 0..10).chunk(1).window(1);
    for _ in 0..10 {
        let result = map.next().unwrap().unwrap();
        drop(result);
        // This one, the one the function holds, and at most the next ones.
        assert!(Arc::strong_count(&alive) <= 2 + 1);
    }
    drop(map);
    eventually("the function is dropped", || Arc::strong_count(&alive) == 1);
}

/// test_gh_132969, both cases: a worker is killed, then the pool is shut down.
fn a_killed_idle_worker_does_not_hold_up_shutdown() {
    for wait in [true, false] {
        let pool = processes(2);
        let pid = pool.submit(std::process::id, ()).wait().unwrap();
        kill(pid, nix::sys::signal::Signal::SIGKILL);
        let jobs: Vec<_> = (0..20u32).map(|n| pool.submit(|n: u32| n, (n,))).collect();
        pool.shutdown(wait, false);
        for (n, job) in jobs.into_iter().enumerate() {
            match job.wait() {
                Ok(value) => assert_eq!(value, n as u32),
                // It had claimed one before the signal came.
                died => assert_eq!(death_of(died).pid, pid),
            }
        }
    }
}

/// test_hang_gh83386: shutdown(wait=False), and then the end.
fn a_pool_shut_down_without_waiting_finishes_its_work() {
    let flags: Vec<Flag> = (0..10).map(|n| Flag::new(&format!("gh83386-{n}"))).collect();
    let pool = processes(2);
    for flag in &flags {
        drop(pool.submit(|path: String| std::fs::write(path, "").unwrap(), (flag.0.clone(),)));
    }
    pool.shutdown(false, false);
    eventually("all have run", || flags.iter().all(Flag::is_raised));
}

/// test_hang_gh94440: the last job cannot be pickled.
fn a_shutdown_after_arguments_that_cannot_be_encoded_ends() {
    struct Never;
    impl Serialize for Never {
        fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
            Err(serde::ser::Error::custom("never"))
        }
    }
    impl<'de> Deserialize<'de> for Never {
        fn deserialize<D: Deserializer<'de>>(_: D) -> Result<Never, D::Error> {
            Ok(Never)
        }
    }
    let pool = processes(1);
    let fine = pool.submit(|| 1u8, ());
    let bad = pool.submit(|_: Never| (), (Never,));
    pool.shutdown(true, false);
    assert_eq!(fine.wait(), Ok(1));
    assert!(matches!(bad.wait(), Err(JobError::Encode(_))));
}

/// test_killed_child, inverted.
fn results_ready_before_a_crash_are_not_lost() {
    let pool: ProcessPool = processes(1);
    let crash = |n: u32| if n == 10 { std::process::abort() } else { vec![n; 1000] };
    // All in one worker's queue; nobody collects until it is dead.
    let jobs: Vec<_> = (0..11u32).map(|n| pool.submit(crash, (n,))).collect();
    for (n, job) in jobs.into_iter().enumerate() {
        match n {
            10 => assert_eq!(death_of(job.wait()).exit, Exit::Signal(6)),
            n => assert_eq!(job.wait(), Ok(vec![n as u32; 1000])),
        }
    }
}
