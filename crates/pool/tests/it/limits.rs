//! Options of single jobs: timeouts, deadlines, retries, names, priorities; and killing one.

use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

use pool::{
    Executor, Exit, Job, JobError, JobOptions, JobState, Limit, ProcessPool, ThreadPool, TimedOut,
};

use crate::support::{Flag, death_of, eventually, kill, panic_of, processes, raise_then_wait};

crate::tests![
    a_timeout_kills_a_process_job_and_nothing_else,
    a_timeout_counts_from_the_start_not_from_submission,
    a_timeout_that_is_not_reached_changes_nothing,
    a_timeout_frees_those_who_wait_for_a_thread_job,
    a_deadline_ends_a_job_that_waits,
    a_deadline_ends_a_job_that_runs,
    a_job_whose_deadline_is_over_is_not_begun,
    killing_a_job_costs_that_job_only,
    killing_a_job_as_it_ends_does_not_hit_the_next,
    killing_takes_along_what_the_job_started,
    killing_a_pending_job_cancels_it_and_an_ended_one_is_let_be,
    a_thread_job_cannot_be_killed_while_it_runs,
    a_retried_job_survives_its_workers_death,
    a_job_under_which_every_worker_dies_is_poisoned,
    a_panic_is_not_retried,
    a_name_is_used_in_errors,
    jobs_of_higher_priority_go_first_on_threads,
    jobs_of_lower_priority_go_last_on_threads,
    jobs_of_higher_priority_go_first_on_processes,
    priorities_lose_nothing_under_load,
    a_job_can_be_cancelled_or_killed_by_dropping_it,
    callbacks_are_called_once_in_order_and_may_panic,
];

fn forever() {
    loop {
        std::thread::sleep(Duration::from_secs(1));
    }
}

fn timeout(limit: Duration) -> JobOptions {
    JobOptions::new().timeout(limit)
}

const SHORT: Duration = Duration::from_millis(30);
const LONG: Duration = Duration::from_secs(3600);

#[track_caller]
fn late<R: std::fmt::Debug>(result: Result<R, JobError>) -> TimedOut {
    match result {
        Err(JobError::TimedOut(late)) => *late,
        other => panic!("not a timeout: {other:?}"),
    }
}

fn a_timeout_kills_a_process_job_and_nothing_else() {
    let pool = processes(2);
    let stuck: Vec<Job<()>> =
        (0..4).map(|_| pool.submit_with(timeout(SHORT), forever, ())).collect();
    let others: Vec<_> = (0..200u32).map(|n| pool.submit(|n: u32| n, (n,))).collect();
    for job in stuck {
        let late = late(job.wait());
        assert_eq!((late.limit, late.started), (Limit::Timeout(SHORT), true));
        assert!(late.to_string().contains("ran longer than 30ms"), "{late}");
    }
    for (n, job) in others.into_iter().enumerate() {
        assert_eq!(job.wait(), Ok(n as u32));
    }
}

fn a_timeout_counts_from_the_start_not_from_submission() {
    let pool = processes(1);
    let nap = |ms: u64| std::thread::sleep(Duration::from_millis(ms));
    // The last one has waited much longer than its limit before it starts.
    let limit = Duration::from_millis(1500);
    let jobs: Vec<_> = (0..10).map(|_| pool.submit_with(timeout(limit), nap, (200,))).collect();
    for job in jobs {
        assert_eq!(job.wait(), Ok(()));
    }
}

fn a_timeout_that_is_not_reached_changes_nothing() {
    let (threads, processes) = (ThreadPool::new(), processes(2));
    fn check(pool: &impl Executor) {
        let options = JobOptions::new().timeout(LONG).deadline(LONG);
        let job = |n: u32| pool.submit_with(options.clone(), |n: u32| n * 2, (n,));
        let jobs: Vec<Job<u32>> = (0..500).map(job).collect();
        for (n, job) in jobs.into_iter().enumerate() {
            assert_eq!(job.wait(), Ok(2 * n as u32));
        }
        let unlimited = JobOptions::new().timeout(Duration::MAX).deadline(Duration::MAX);
        assert_eq!(pool.submit_with(unlimited, |n: u32| n, (1,)).wait(), Ok(1));
    }
    check(&threads);
    check(&processes);
}

fn a_timeout_frees_those_who_wait_for_a_thread_job() {
    let pool = ThreadPool::builder().threads(1).build().unwrap();
    let (go_on, wait) = mpsc::channel::<()>();
    let wait = Arc::new(Mutex::new(wait));
    let waits = Arc::clone(&wait);
    let job = pool.submit_with(timeout(SHORT), move || waits.lock().unwrap().recv().is_err(), ());
    assert!(late(job.wait()).started);
    // The thread is still at it, and goes on with others when it is through.
    let next = pool.spawn(|| 5);
    assert_eq!(next.state(), JobState::Pending);
    drop(go_on);
    assert_eq!(next.wait(), Ok(5));
}

fn a_deadline_ends_a_job_that_waits() {
    let pool = processes(1);
    let (started, go_on) = (Flag::new("deadline-1"), Flag::new("deadline-2"));
    let running = pool.submit(raise_then_wait, (started.0.clone(), go_on.0.clone()));
    eventually("the job runs", || started.is_raised());
    let ran = Flag::new("deadline-ran");
    let touch = |path: String| std::fs::write(path, "").unwrap();
    // Some of these lie in the worker's queue, some here.
    let options = JobOptions::new().deadline(SHORT);
    let jobs: Vec<_> =
        (0..30).map(|_| pool.submit_with(options.clone(), touch, (ran.0.clone(),))).collect();
    for job in jobs {
        let late = late(job.wait());
        assert_eq!((late.limit, late.started), (Limit::Deadline(SHORT), false));
    }
    go_on.raise();
    running.wait().unwrap();
    assert_eq!(pool.submit(|| 1u8, ()).wait(), Ok(1));
    assert!(!ran.is_raised());

    let pool = ThreadPool::builder().threads(1).build().unwrap();
    let (go_on, wait) = mpsc::channel::<()>();
    drop(pool.spawn(move || wait.recv()));
    let late = late(pool.submit_with(options, || (), ()).wait());
    assert!(!late.started);
    drop(go_on);
}

fn a_deadline_ends_a_job_that_runs() {
    let pool = processes(1);
    let options = JobOptions::new().deadline(Duration::from_millis(300)).timeout(LONG);
    let late = late(pool.submit_with(options, forever, ()).wait());
    assert_eq!(late.limit, Limit::Deadline(Duration::from_millis(300)));
    assert_eq!(pool.submit(|| 1u8, ()).wait(), Ok(1));
}

fn a_job_whose_deadline_is_over_is_not_begun() {
    fn check(pool: &impl Executor, name: &str) {
        let ran = Flag::new(name);
        let touch = |path: String| std::fs::write(path, "").unwrap();
        // There are idle workers: nothing else could keep it from being run at once.
        assert_eq!(pool.submit(|| 1, ()).wait(), Ok(1));
        for _ in 0..100 {
            let over = JobOptions::new().deadline(Duration::ZERO);
            let job = pool.submit_with(over, touch, (ran.0.clone(),));
            assert!(!late(job.wait()).started);
        }
        assert_eq!(pool.submit(|| 2, ()).wait(), Ok(2));
        assert!(!ran.is_raised());
    }
    check(&ThreadPool::builder().threads(2).build().unwrap(), "overdue-threads");
    check(&processes(2), "overdue-processes");
}

fn killing_a_job_costs_that_job_only() {
    let pool = processes(2);
    let started = Flag::new("kill-one");
    let stuck = pool.submit(raise_then_wait, (started.0.clone(), "/nonexistent".to_owned()));
    let others: Vec<_> = (0..100u32).map(|n| pool.submit(|n: u32| n, (n,))).collect();
    eventually("the job runs", || started.is_raised());
    assert!(stuck.kill());
    stuck.kill(); // twice is once
    let error = stuck.wait().unwrap_err();
    let JobError::Killed(death) = &error else { panic!("{error:?}") };
    assert_eq!(death.exit, Exit::Signal(9));
    // When the job has ended the process is gone.
    assert!(!std::fs::exists(format!("/proc/{}", death.pid)).unwrap());
    for (n, job) in others.into_iter().enumerate() {
        assert_eq!(job.wait(), Ok(n as u32));
    }
}

fn killing_a_job_as_it_ends_does_not_hit_the_next() {
    let moment = |micros: u64| {
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_micros(micros) {}
    };
    let pool = processes(1);
    for round in 0..250u64 {
        let job = pool.submit(moment, (round % 50,));
        let next = pool.submit(moment, (3000,));
        while job.state() == JobState::Pending {
            std::hint::spin_loop();
        }
        job.kill();
        match job.wait() {
            Ok(()) | Err(JobError::Killed(_)) => {}
            other => panic!("{other:?}"),
        }
        assert_eq!(next.wait(), Ok(()));
    }
}

fn killing_takes_along_what_the_job_started() {
    let pool = processes(1);
    let told = Flag::new("kill-group");
    // Nobody waits for that child: it is to be killed with the worker, and init waits for it.
    #[allow(clippy::zombie_processes)]
    let start = |path: String| {
        let child = std::process::Command::new("sleep").arg("1000").spawn().unwrap();
        std::fs::write(format!("{path}.new"), child.id().to_string()).unwrap();
        std::fs::rename(format!("{path}.new"), path).unwrap();
        forever();
    };
    let job = pool.submit(start, (told.0.clone(),));
    eventually("it has started a process", || told.is_raised());
    let pid = std::fs::read_to_string(&told.0).unwrap();
    assert!(job.kill());
    assert!(matches!(job.wait(), Err(JobError::Killed(_))));
    let gone = || {
        std::fs::read_to_string(format!("/proc/{pid}/stat"))
            .map_or(true, |stat| stat.contains(") Z "))
    };
    eventually("that process is gone", gone);
}

fn killing_a_pending_job_cancels_it_and_an_ended_one_is_let_be() {
    let pool = processes(1);
    let (started, go_on) = (Flag::new("kill-1"), Flag::new("kill-2"));
    let running = pool.submit(raise_then_wait, (started.0.clone(), go_on.0.clone()));
    eventually("the job runs", || started.is_raised());
    let pending = pool.submit(|| 1u8, ());
    assert!(pending.kill());
    assert_eq!(pending.wait(), Err(JobError::Cancelled));
    go_on.raise();
    eventually("it is done", || running.state() == JobState::Done);
    assert!(!running.kill());
    running.wait().unwrap();
}

fn a_thread_job_cannot_be_killed_while_it_runs() {
    let pool = ThreadPool::builder().threads(1).build().unwrap();
    let (go_on, wait) = mpsc::channel::<()>();
    let (tell, started) = mpsc::channel();
    let job = pool.spawn(move || {
        tell.send(()).unwrap();
        let _ = wait.recv();
    });
    started.recv().unwrap();
    assert!(!job.kill());
    drop(go_on);
    assert_eq!(job.wait(), Ok(()));
}

/// Dies as long as the file has fewer than `times` bytes; each call adds one.
fn die_at_first(path: String, times: u64) -> u64 {
    use std::io::Write;
    let mut file = std::fs::OpenOptions::new().append(true).create(true).open(&path).unwrap();
    file.write_all(b"x").unwrap();
    let calls = file.metadata().unwrap().len();
    if calls <= times {
        std::process::abort();
    }
    calls
}

fn a_retried_job_survives_its_workers_death() {
    let pool = processes(2);
    let log = Flag::new("retried");
    let options = JobOptions::new().retries(3);
    assert_eq!(pool.submit_with(options, die_at_first, (log.0.clone(), 2)).wait(), Ok(3));
}

fn a_job_under_which_every_worker_dies_is_poisoned() {
    let pool = processes(2);
    let log = Flag::new("poisoned");
    let options = JobOptions::new().retries(2).name("cursed");
    let error = pool.submit_with(options, die_at_first, (log.0.clone(), 100)).wait().unwrap_err();
    let JobError::Poisoned(poisoned) = &error else { panic!("{error:?}") };
    assert_eq!(poisoned.deaths.len(), 3);
    assert!(poisoned.deaths.iter().all(|death| death.exit == Exit::Signal(6)));
    assert!(error.to_string().contains("job cursed lost its worker process in each of 3 attempts"));
    assert_eq!(std::fs::read(&log.0).unwrap().len(), 3);
    // Without retries it is an ordinary death.
    death_of(pool.submit(die_at_first, (log.0.clone(), 100)).wait());
}

fn a_panic_is_not_retried() {
    let pool = processes(1);
    let log = Flag::new("panic-once");
    let fail = |path: String| -> u64 {
        die_at_first(path, 0);
        panic!("an answer")
    };
    let options = JobOptions::new().retries(5);
    assert_eq!(
        panic_of(pool.submit_with(options, fail, (log.0.clone(),)).wait()).message,
        "an answer"
    );
    assert_eq!(std::fs::read(&log.0).unwrap().len(), 1);
}

fn a_name_is_used_in_errors() {
    let named = || JobOptions::new().name("tax return");
    fn fail() {
        panic!("no")
    }
    let threads = ThreadPool::new();
    assert_eq!(panic_of(threads.submit_with(named(), fail, ()).wait()).task, "tax return");
    let pool = processes(1);
    assert_eq!(panic_of(pool.submit_with(named(), fail, ()).wait()).task, "tax return");
    let death = death_of(pool.submit_with(named(), || -> () { std::process::abort() }, ()).wait());
    assert_eq!(death.task, "tax return");
}

/// Submits jobs while the only worker is busy; gives the order in which they ran.
fn order_on_a_thread(priorities: &[i32]) -> Vec<i32> {
    let pool = ThreadPool::builder().threads(1).build().unwrap();
    let (go_on, wait) = mpsc::channel::<()>();
    let (tell, started) = mpsc::channel();
    drop(pool.spawn(move || {
        tell.send(()).unwrap();
        let _ = wait.recv();
    }));
    started.recv().unwrap();
    let ran = Arc::new(Mutex::new(Vec::new()));
    for &priority in priorities {
        let ran = Arc::clone(&ran);
        let options = JobOptions::new().priority(priority);
        drop(pool.submit_with(options, move || ran.lock().unwrap().push(priority), ()));
    }
    drop(go_on);
    pool.shutdown(true, false);
    Arc::into_inner(ran).unwrap().into_inner().unwrap()
}

fn jobs_of_higher_priority_go_first_on_threads() {
    assert_eq!(order_on_a_thread(&[0, 0, 3, 0, 7, 3, 0]), [7, 3, 3, 0, 0, 0, 0]);
}

fn jobs_of_lower_priority_go_last_on_threads() {
    // Not shut down while they wait: what is closed goes in the order it lies.
    let pool = ThreadPool::builder().threads(1).build().unwrap();
    let (go_on, wait) = mpsc::channel::<()>();
    drop(pool.spawn(move || wait.recv()));
    let ran = Arc::new(Mutex::new(Vec::new()));
    let jobs: Vec<_> = [0, -5, 0, -1, 0, 2, -5, 0]
        .map(|priority| {
            let ran = Arc::clone(&ran);
            let run = move || ran.lock().unwrap().push(priority);
            pool.submit_with(JobOptions::new().priority(priority), run, ())
        })
        .into();
    drop(go_on);
    for job in jobs {
        job.wait().unwrap();
    }
    assert_eq!(*ran.lock().unwrap(), [2, 0, 0, 0, 0, -1, -5, -5]);
}

fn jobs_of_higher_priority_go_first_on_processes() {
    let pool = processes(1);
    let (started, go_on) = (Flag::new("rank-1"), Flag::new("rank-2"));
    let running = pool.submit(raise_then_wait, (started.0.clone(), go_on.0.clone()));
    eventually("the job runs", || started.is_raised());
    let log = Flag::new("rank-log");
    let note = |path: String, text: String| {
        use std::io::Write;
        let mut file = std::fs::OpenOptions::new().append(true).create(true).open(path).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    };
    // More than fit into the worker's queue.
    let priorities = [0, 1, -1].into_iter().cycle().take(60).chain([9]);
    let submit = |priority| {
        let options = JobOptions::new().priority(priority);
        pool.submit_with(options, note, (log.0.clone(), format!("{priority} ")))
    };
    let jobs: Vec<_> = priorities.map(submit).collect();
    go_on.raise();
    running.wait().unwrap();
    jobs.into_iter().for_each(|job| job.wait().unwrap());
    let text = std::fs::read_to_string(&log.0).unwrap();
    let ran: Vec<i32> = text.split_whitespace().map(|word| word.parse().unwrap()).collect();
    let mut expected = ran.clone();
    expected.sort_by_key(|priority| -priority);
    assert_eq!((ran.len(), &ran), (61, &expected));
}

fn priorities_lose_nothing_under_load() {
    let pool = Arc::new(ThreadPool::builder().threads(2).build().unwrap());
    let submit = |from: i32| {
        let pool = Arc::clone(&pool);
        std::thread::spawn(move || -> u64 {
            let job = |n: i32| {
                let options = JobOptions::new().priority((n * 7 + from) % 5 - 2);
                pool.submit_with(options, move || 1u64, ())
            };
            let jobs: Vec<_> = (0..3000).map(job).collect();
            jobs.into_iter().map(|job| job.wait().unwrap()).sum()
        })
    };
    let threads = [0, 1, 2].map(submit);
    assert_eq!(threads.map(|thread| thread.join().unwrap()), [3000; 3]);
}

fn a_job_can_be_cancelled_or_killed_by_dropping_it() {
    let pool = processes(1);
    let started = Flag::new("drop-kill");
    let stuck = pool.submit(raise_then_wait, (started.0.clone(), "/nonexistent".to_owned()));
    let stuck = stuck.kill_on_drop();
    eventually("the job runs", || started.is_raised());
    let ran = Flag::new("drop-ran");
    let touch = |path: String| std::fs::write(path, "").unwrap();
    drop(pool.submit(touch, (ran.0.clone(),)).cancel_on_drop());
    drop(stuck);
    assert_eq!(pool.submit(|| 3u8, ()).wait(), Ok(3), "the worker was freed");
    assert!(!ran.is_raised());
}

fn callbacks_are_called_once_in_order_and_may_panic() {
    fn check(pool: &impl Executor) {
        let (tell, told) = mpsc::channel();
        let job = pool.submit(|| std::thread::sleep(Duration::from_millis(20)), ());
        for n in 0..3 {
            let tell = tell.clone();
            job.on_done(move |state| {
                tell.send((n, state)).unwrap();
                assert!(n != 1, "callbacks may panic");
            });
        }
        let got: Vec<_> = (0..3).map(|_| told.recv().unwrap()).collect();
        assert_eq!(got, [0, 1, 2].map(|n| (n, JobState::Done)));
        job.on_done(move |state| tell.send((9, state)).unwrap());
        assert_eq!(told.recv(), Ok((9, JobState::Done)));
        assert!(told.recv().is_err(), "each is called once, and dropped");
        // Also when nobody holds the job any more.
        let (tell, told) = mpsc::channel();
        pool.submit(|| (), ()).on_done(move |state| tell.send(state).unwrap());
        assert_eq!(told.recv(), Ok(JobState::Done));
    }
    check(&ThreadPool::new());
    check(&processes(1));
    let begun = Instant::now();
    // A worker's death is an end too.
    let pool: ProcessPool = processes(1);
    let (tell, told) = mpsc::channel();
    let job = pool.submit(forever, ());
    job.on_done(move |state| tell.send(state).unwrap());
    let pid = loop {
        let pids = crate::support::children();
        if job.state() == JobState::Running {
            let text = format!("{pool:?}");
            if let Some((pid, _)) = pids.iter().find(|(pid, _)| text.contains(&pid.to_string())) {
                break *pid;
            }
        }
        assert!(begun.elapsed() < Duration::from_secs(60));
    };
    kill(pid, nix::sys::signal::Signal::SIGKILL);
    assert_eq!(told.recv(), Ok(JobState::Done));
    assert!(job.wait().is_err());
}
