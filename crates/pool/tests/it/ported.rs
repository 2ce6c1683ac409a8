//! Situations of CPython's test_concurrent_futures that no other module has, under the names they
//! have there (in each comment), with our meaning: what breaks the whole pool there costs one job.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};

use pool::{Exit, Job, JobError, ProcessPool, ThreadPool};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::support::{Flag, death_of, eventually, kill, panic_of, processes, raise_then_wait};

crate::tests![
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
