//! How long workers live, what they may use, and what statistics say of them.

use std::time::{Duration, Instant};

use nix::sched::{CpuSet, sched_getaffinity};
use pool::{Exit, JobError, JobOptions, PoolState, ProcessPool, ThreadPool, WorkerState};

use crate::support::{Flag, death_of, eventually, processes, raise_then_wait};

crate::tests![
    a_worker_ends_after_its_tasks,
    recycling_loses_nothing_and_keeps_the_order,
    a_pool_of_single_use_workers_can_be_shut_down_early,
    a_worker_that_has_grown_too_large_makes_way,
    a_worker_shows_the_job_it_runs,
    idle_workers_are_sent_home_and_come_back,
    some_idle_workers_can_be_kept,
    a_job_that_wants_too_much_memory_costs_itself,
    a_job_that_uses_up_the_cpu_limit_costs_itself,
    limits_are_those_asked_for,
    the_kernel_takes_a_worker_before_its_parent,
    workers_keep_off_cores,
    avoiding_all_cores_is_refused,
    statistics_tell_what_workers_do,
    statistics_count_deaths,
    statistics_tell_why_a_pool_is_broken,
    a_shutdown_with_a_limit_kills_what_does_not_end,
    a_shutdown_with_a_limit_lets_work_end,
];

fn me() -> u32 {
    std::process::id()
}

/// CPython's test_max_tasks_per_child.
fn a_worker_ends_after_its_tasks() {
    let pool = ProcessPool::builder().workers(1).max_tasks_per_worker(3).build().unwrap();
    let pids: Vec<u32> = (0..7).map(|_| pool.submit(me, ()).wait().unwrap()).collect();
    assert!(pids[0] == pids[1] && pids[1] == pids[2], "{pids:?}");
    assert!(pids[3] == pids[4] && pids[4] == pids[5], "{pids:?}");
    assert!(pids[2] != pids[3] && pids[5] != pids[6], "{pids:?}");
    assert_eq!(pool.statistics().deaths, 0, "they were told to go");
}

fn recycling_loses_nothing_and_keeps_the_order() {
    let pool = ProcessPool::builder().workers(2).max_tasks_per_worker(2).build().unwrap();
    let jobs: Vec<_> = (0..60u32).map(|n| pool.submit(|n: u32| n, (n,))).collect();
    for (n, job) in jobs.into_iter().enumerate() {
        assert_eq!(job.wait(), Ok(n as u32));
    }
    let got: Result<Vec<u32>, _> = pool.map(|n: u32| n + 1, 0..60).chunk(3).collect();
    assert_eq!(got.unwrap(), (1..61).collect::<Vec<_>>());
}

/// CPython's test_max_tasks_early_shutdown.
fn a_pool_of_single_use_workers_can_be_shut_down_early() {
    let pool = ProcessPool::builder().workers(3).max_tasks_per_worker(1).build().unwrap();
    let jobs: Vec<_> = (0..6u32).map(|n| pool.submit(|n: u32| n, (n,))).collect();
    pool.shutdown(true, false);
    for (n, job) in jobs.into_iter().enumerate() {
        assert_eq!(job.wait(), Ok(n as u32));
    }
}

fn idle_workers_are_sent_home_and_come_back() {
    let limit = Duration::from_millis(50);
    let pool = ProcessPool::builder().workers(2).idle_timeout(limit, 0).build().unwrap();
    let first = pool.submit(me, ()).wait().unwrap();
    eventually("it has gone", || pool.statistics().workers.is_empty());
    assert_ne!(pool.submit(me, ()).wait(), Ok(first));
    assert_eq!(pool.statistics().deaths, 0);
}

fn some_idle_workers_can_be_kept() {
    let limit = Duration::from_millis(30);
    let pool = ProcessPool::builder().workers(2).idle_timeout(limit, 1).build().unwrap();
    let nap = || std::thread::sleep(Duration::from_millis(100));
    let jobs: Vec<_> = (0..4).map(|_| pool.submit(nap, ())).collect();
    jobs.into_iter().for_each(|job| job.wait().unwrap());
    eventually("one is left", || pool.statistics().workers.len() == 1);
    std::thread::sleep(4 * limit);
    assert_eq!(pool.statistics().workers.len(), 1);
}

fn a_job_that_wants_too_much_memory_costs_itself() {
    let pool = ProcessPool::builder().workers(1).memory_limit(256 << 20).build().unwrap();
    let leak = |bytes: usize| {
        let mut all = Vec::new();
        for _ in 0..bytes >> 20 {
            all.push(vec![1u8; 1 << 20]);
        }
        all.len()
    };
    assert_eq!(pool.submit(leak, (50 << 20,)).wait(), Ok(50));
    assert_eq!(death_of(pool.submit(leak, (1 << 30,)).wait()).exit, Exit::Signal(6));
    assert_eq!(pool.submit(leak, (50 << 20,)).wait(), Ok(50));
}

fn a_job_that_uses_up_the_cpu_limit_costs_itself() {
    let pool = ProcessPool::builder().workers(1).cpu_limit(Duration::from_millis(500)).build();
    let pool = pool.unwrap();
    let spin = || -> () {
        loop {
            std::hint::spin_loop();
        }
    };
    // Soft and hard limit are the same: SIGKILL, or SIGXCPU if the kernel looks at that first.
    let exit = death_of(pool.submit(spin, ()).wait()).exit;
    assert!(matches!(exit, Exit::Signal(9 | 24)), "{exit}");
    assert_eq!(pool.submit(|| 1u8, ()).wait(), Ok(1));
}

fn limits_are_those_asked_for() {
    let pool = ProcessPool::builder().workers(1).open_files_limit(50).build().unwrap();
    let limit = |what: String| {
        let text = std::fs::read_to_string("/proc/self/limits").unwrap();
        let line = text.lines().find(|line| line.starts_with(&what)).unwrap();
        line[what.len()..].split_whitespace().next().unwrap().to_owned()
    };
    let of =
        |pool: &ProcessPool, what: &str| pool.submit(limit, (what.to_owned(),)).wait().unwrap();
    assert_eq!(of(&pool, "Max open files"), "50");
    assert_eq!(of(&pool, "Max core file size"), "0");
    let unlimited = ProcessPool::builder().workers(1).core_dumps(true).build().unwrap();
    let own = limit("Max core file size".to_owned());
    assert_eq!(of(&unlimited, "Max core file size"), own, "as its parent's");
}

fn the_kernel_takes_a_worker_before_its_parent() {
    let score = || -> i32 {
        let text = std::fs::read_to_string("/proc/self/oom_score_adj").unwrap();
        text.trim().parse().unwrap()
    };
    let pool = processes(1);
    assert_eq!(pool.submit(score, ()).wait(), Ok((score() + 300).min(1000)));
}

fn cores_of_this_thread() -> Vec<usize> {
    let set = sched_getaffinity(nix::unistd::Pid::from_raw(0)).unwrap();
    (0..CpuSet::count()).filter(|core| set.is_set(*core).unwrap()).collect()
}

fn workers_keep_off_cores() {
    let all = cores_of_this_thread();
    let [first, rest @ ..] = &*all else { panic!("a thread runs somewhere") };
    if rest.is_empty() {
        return; // One core: nothing to choose from.
    }
    let pool = ProcessPool::builder().avoid_cores([*first]).build().unwrap();
    assert_eq!(pool.workers(), rest.len());
    assert_eq!(pool.submit(cores_of_this_thread, ()).wait().unwrap(), rest);
    let pool = ThreadPool::builder().avoid_cores([*first]).build().unwrap();
    assert_eq!(pool.workers(), rest.len());
    assert_eq!(pool.spawn(cores_of_this_thread).wait().unwrap(), rest);
}

fn avoiding_all_cores_is_refused() {
    let invalid = std::io::ErrorKind::InvalidInput;
    let error = ProcessPool::builder().avoid_cores(0..CpuSet::count()).build().unwrap_err();
    assert_eq!(error.kind(), invalid);
    assert!(error.to_string().contains("leaves none"), "{error}");
    let error = ThreadPool::builder().avoid_cores(0..CpuSet::count()).build().unwrap_err();
    assert_eq!(error.kind(), invalid);
}

fn statistics_tell_what_workers_do() {
    let pool = processes(1);
    assert!(pool.statistics().workers.is_empty());
    let pid = pool.submit(me, ()).wait().unwrap();
    let idle = &pool.statistics().workers[0];
    assert_eq!((idle.pid, idle.state, idle.done), (pid, WorkerState::Idle, 1));
    assert_eq!(idle.job, None);
    assert!(idle.memory.unwrap() > 100_000);
    let (started, go_on) = (Flag::new("stats-1"), Flag::new("stats-2"));
    let begun = Instant::now();
    let options = JobOptions::new().name("holding");
    let job = pool.submit_with(options, raise_then_wait, (started.0.clone(), go_on.0.clone()));
    eventually("the job runs", || started.is_raised());
    let rest: Vec<_> = (0..30u8).map(|n| pool.submit(|n: u8| n, (n,))).collect();
    assert!(rest[29].cancel());
    let statistics = pool.statistics();
    let busy = &statistics.workers[0];
    assert_eq!((busy.pid, busy.state), (pid, WorkerState::Running));
    assert_eq!(busy.job.as_deref(), Some("holding"));
    assert!(busy.since <= begun.elapsed());
    assert_eq!(busy.queued + statistics.backlog, 29);
    assert_eq!((statistics.started, statistics.state), (1, PoolState::Open));
    go_on.raise();
    job.wait().unwrap();
    pool.shutdown(true, false);
    assert_eq!(pool.statistics().state, PoolState::Closing);
    assert_eq!(pool.statistics().done, 31);
}

fn statistics_count_deaths() {
    let pool = processes(1);
    for _ in 0..3 {
        death_of(pool.submit(|| -> () { std::process::abort() }, ()).wait());
    }
    assert_eq!(pool.submit(|| 1u8, ()).wait(), Ok(1));
    let statistics = pool.statistics();
    assert_eq!((statistics.deaths, statistics.started, statistics.done), (3, 4, 1));
}

fn statistics_tell_why_a_pool_is_broken() {
    let builder = ProcessPool::builder().workers(1).initializer(|| panic!("no licence"));
    let pool = builder.build().unwrap();
    assert!(matches!(pool.submit(|| 1u8, ()).wait(), Err(JobError::Broken(_))));
    let state = pool.statistics().state;
    assert!(matches!(&state, PoolState::Broken(why) if why.contains("no licence")), "{state:?}");
}

fn a_shutdown_with_a_limit_kills_what_does_not_end() {
    let pool = processes(2);
    let started = Flag::new("within");
    let stuck = pool.submit(raise_then_wait, (started.0.clone(), "/nonexistent".to_owned()));
    let second = Flag::new("within-2");
    let also = pool.submit(raise_then_wait, (second.0.clone(), "/nonexistent".to_owned()));
    eventually("both run", || started.is_raised() && second.is_raised());
    let ran = Flag::new("within-ran");
    let touch = |path: String| std::fs::write(path, "").unwrap();
    let queued: Vec<_> = (0..40).map(|_| pool.submit(touch, (ran.0.clone(),))).collect();
    assert!(!pool.shutdown_within(Duration::from_millis(50), false));
    for stuck in [stuck, also] {
        assert!(matches!(stuck.wait(), Err(JobError::Killed(_))));
    }
    for job in queued {
        assert_eq!(job.wait(), Err(JobError::Cancelled));
    }
    assert!(!ran.is_raised());
    assert!(pool.statistics().workers.is_empty(), "it has waited for the end of all");
}

fn a_shutdown_with_a_limit_lets_work_end() {
    let pool = processes(2);
    let jobs: Vec<_> = (0..100u32).map(|n| pool.submit(|n: u32| n, (n,))).collect();
    assert!(pool.shutdown_within(Duration::from_secs(100), false));
    for (n, job) in jobs.into_iter().enumerate() {
        assert_eq!(job.wait(), Ok(n as u32));
    }
    assert!(processes(1).shutdown_within(Duration::ZERO, true), "there was nothing to end");
}

/// Keeps ever more, like a library that leaks.
fn leak(megabytes: usize) -> u32 {
    std::mem::forget(std::hint::black_box(vec![1u8; megabytes << 20]));
    std::process::id()
}

fn a_worker_that_has_grown_too_large_makes_way() {
    let pool =
        ProcessPool::builder().workers(1).max_resident_per_worker(100 << 20).build().unwrap();
    let small = pool.submit(leak, (1,)).wait().unwrap();
    assert_eq!(pool.submit(leak, (1,)).wait(), Ok(small));
    // It has grown; the pool looks, and its queue goes to the next one.
    let large = pool.submit(leak, (150,));
    assert_eq!(large.wait(), Ok(small));
    eventually("another has taken its place", || pool.statistics().started == 2);
    let other = pool.submit(leak, (1,)).wait().unwrap();
    assert_ne!(other, small);
    assert_eq!(pool.statistics().deaths, 0, "it was told to go");
    // Nothing is lost under load, however often they are replaced.
    let jobs: Vec<_> = (0..60).map(|_| pool.submit(leak, (20,))).collect();
    let mut pids: Vec<u32> = jobs.into_iter().map(|job| job.wait().unwrap()).collect();
    pids.dedup();
    assert!(pids.len() > 1, "{pids:?}");
    assert_eq!(pool.statistics().deaths, 0);
}

fn a_worker_shows_the_job_it_runs() {
    let comm = || std::fs::read_to_string("/proc/self/comm").unwrap().trim().to_owned();
    fn a_function_with_a_long_name() -> String {
        std::fs::read_to_string("/proc/self/comm").unwrap().trim().to_owned()
    }
    let pool = ProcessPool::builder().workers(1).name("shows").show_jobs(true).build().unwrap();
    assert_eq!(pool.submit(a_function_with_a_long_name, ()).wait().unwrap(), "a_function_with");
    assert_eq!(pool.submit(comm, ()).wait().unwrap(), "a_worker_shows_");
    let named = pool::JobOptions::new().name("a job");
    assert_eq!(pool.submit_with(named, comm, ()).wait().unwrap(), "a job");
    let pid = pool.submit(std::process::id, ()).wait().unwrap();
    let shown = || std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap();
    eventually("the worker has its own name again", || shown().trim() == "shows.1");
    // The names of jobs do not take their places in the queue.
    let jobs: Vec<_> = (0..500u64).map(|n| pool.submit(|n: u64| n, (n,))).collect();
    for (n, job) in (0..).zip(jobs) {
        assert_eq!(job.wait(), Ok(n));
    }
    // Without it nothing is shown.
    let pool = ProcessPool::builder().workers(1).name("plain").build().unwrap();
    assert_eq!(pool.submit(comm, ()).wait().unwrap(), "plain.1");
}
