//! `ThreadPool`: results, panics, nesting, shutdown, initialisers, maps.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, Mutex, mpsc};
use std::time::Duration;

use pool::{Executor, JobError, JobState, ThreadPool};

use crate::support::{block_on, panic_of};

crate::tests![
    results_come_back,
    a_panic_carries_message_and_place_and_the_thread_goes_on,
    a_pending_job_can_be_cancelled_and_a_running_one_not,
    a_timed_wait_gives_the_job_back,
    jobs_waiting_for_jobs_of_their_pool_do_not_lock_it_up,
    a_block_on_inside_a_worker_does_not_lock_it_up,
    a_dropped_job_still_runs,
    dropping_the_pool_waits_for_queued_jobs,
    shutdown_can_cancel_what_is_pending,
    submitting_after_shutdown_is_an_error,
    shutdown_from_a_job_does_not_wait_for_itself,
    workers_are_named_and_initialised,
    a_failing_initializer_breaks_the_pool,
    threads_can_be_pinned,
    zero_threads_are_refused,
    map_keeps_the_order,
    map_is_lazy_over_an_endless_iterator,
    map_gives_each_item_its_own_result,
    a_dropped_map_cancels_the_rest,
    the_same_code_runs_on_any_executor,
    a_panicking_destructor_does_not_end_the_worker,
    many_submitters_lose_nothing,
];

fn one_thread() -> ThreadPool {
    ThreadPool::builder().threads(1).build().unwrap()
}

/// Keeps the only worker busy until the sender goes.
fn occupy(pool: &ThreadPool) -> mpsc::Sender<()> {
    let (release, held) = mpsc::channel::<()>();
    let (started, running) = mpsc::channel();
    drop(pool.spawn(move || {
        started.send(()).unwrap();
        let _ = held.recv();
    }));
    running.recv().unwrap();
    release
}

fn results_come_back() {
    let pool = ThreadPool::new();
    let text = String::from("captured");
    assert_eq!(pool.spawn(move || text.len()).wait(), Ok(8));
    assert_eq!(pool.submit(|a: u32, b: u32| a - b, (9, 4)).wait(), Ok(5));
    assert_eq!(block_on(pool.submit(str::len, ("four",))), Ok(4));
    assert_eq!(pool.workers(), std::thread::available_parallelism().unwrap().get());
}

fn a_panic_carries_message_and_place_and_the_thread_goes_on() {
    let pool = one_thread();
    let before = pool.spawn(|| std::thread::current().id()).wait().unwrap();
    let line = line!() + 1;
    let panic = panic_of(pool.spawn(|| -> u8 { panic!("it is {}", "broken") }).wait());
    assert_eq!(panic.message, "it is broken");
    assert!(panic.location.unwrap().contains(&format!("threads.rs:{line}:")));
    assert!(panic.task.contains("a_panic_carries"), "{}", panic.task);
    assert_eq!(pool.spawn(|| std::thread::current().id()).wait().unwrap(), before);
}

fn a_pending_job_can_be_cancelled_and_a_running_one_not() {
    let pool = one_thread();
    let (release, held) = mpsc::channel::<()>();
    let (started, running) = mpsc::channel();
    let first = pool.spawn(move || {
        started.send(()).unwrap();
        let _ = held.recv();
        7
    });
    running.recv().unwrap();
    let ran = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&ran);
    let second = pool.spawn(move || seen.fetch_add(1, Ordering::SeqCst));
    assert_eq!((first.state(), second.state()), (JobState::Running, JobState::Pending));
    assert!(!first.cancel());
    assert!(second.cancel());
    assert!(second.cancel(), "it stays cancelled");
    assert_eq!(second.state(), JobState::Cancelled);
    assert_eq!(second.wait(), Err(JobError::Cancelled));
    drop(release);
    assert_eq!(first.wait(), Ok(7));
    pool.shutdown(true, false);
    assert_eq!(ran.load(Ordering::SeqCst), 0);
}

fn a_timed_wait_gives_the_job_back() {
    let pool = one_thread();
    let release = occupy(&pool);
    let mut job = pool.spawn(|| 5);
    assert_eq!(job.wait_timeout(Duration::from_millis(5)), None);
    assert_eq!(job.wait_timeout(Duration::ZERO), None);
    drop(release);
    assert_eq!(job.wait_timeout(Duration::MAX), Some(Ok(5)));
    assert_eq!(job.state(), JobState::Done);
}

fn jobs_waiting_for_jobs_of_their_pool_do_not_lock_it_up() {
    fn sum(pool: &Arc<ThreadPool>, from: u64, to: u64) -> u64 {
        if to - from < 4 {
            return (from..to).sum();
        }
        let middle = from.midpoint(to);
        let (left, right) = (Arc::clone(pool), Arc::clone(pool));
        let left = pool.spawn(move || sum(&left, from, middle));
        let right = pool.spawn(move || sum(&right, middle, to));
        left.wait().unwrap() + right.wait().unwrap()
    }
    for threads in [1, 2] {
        let pool = Arc::new(ThreadPool::builder().threads(threads).build().unwrap());
        assert_eq!(sum(&pool, 0, 1000), 499_500);
    }
}

fn a_block_on_inside_a_worker_does_not_lock_it_up() {
    let pool = Arc::new(one_thread());
    let inner = Arc::clone(&pool);
    let job = pool.spawn(move || block_on(inner.spawn(|| 3)).unwrap() + 1);
    assert_eq!(job.wait(), Ok(4));
}

fn a_dropped_job_still_runs() {
    let pool = one_thread();
    let (tell, told) = mpsc::channel();
    drop(pool.spawn(move || tell.send(11)));
    assert_eq!(told.recv(), Ok(11));
}

fn dropping_the_pool_waits_for_queued_jobs() {
    let count = Arc::new(AtomicUsize::new(0));
    let pool = one_thread();
    for _ in 0..100 {
        let count = Arc::clone(&count);
        drop(pool.spawn(move || count.fetch_add(1, Ordering::SeqCst)));
    }
    drop(pool);
    assert_eq!(count.load(Ordering::SeqCst), 100);
}

fn shutdown_can_cancel_what_is_pending() {
    let pool = one_thread();
    let release = occupy(&pool);
    let jobs: Vec<_> = (0..10).map(|n| pool.spawn(move || n)).collect();
    pool.shutdown(false, true);
    for job in jobs {
        assert_eq!(job.wait(), Err(JobError::Cancelled));
    }
    drop(release);
    pool.shutdown(true, true);
}

fn submitting_after_shutdown_is_an_error() {
    let pool = ThreadPool::new();
    pool.shutdown(true, false);
    assert_eq!(pool.spawn(|| 1).wait(), Err(JobError::PoolShutdown));
    let results: Vec<_> = pool.map(|n: u8| n, 0..3).collect();
    assert_eq!(results, vec![Err(JobError::PoolShutdown); 3]);
    pool.shutdown(true, true);
}

fn shutdown_from_a_job_does_not_wait_for_itself() {
    let pool = Arc::new(one_thread());
    let inner = Arc::clone(&pool);
    let job = pool.spawn(move || {
        inner.shutdown(true, false);
        inner.spawn(|| 1).wait()
    });
    assert_eq!(job.wait(), Ok(Err(JobError::PoolShutdown)));
}

fn workers_are_named_and_initialised() {
    static STARTS: AtomicUsize = AtomicUsize::new(0);
    let pool = ThreadPool::builder()
        .threads(3)
        .name("unit")
        .initializer(|| {
            STARTS.fetch_add(1, Ordering::SeqCst);
        })
        .stack_size(256 * 1024)
        .eager(true)
        .build()
        .unwrap();
    let name = pool.spawn(|| std::thread::current().name().unwrap().to_owned()).wait().unwrap();
    assert!(["unit.0", "unit.1", "unit.2"].contains(&name.as_str()));
    pool.shutdown(true, false);
    assert_eq!(STARTS.load(Ordering::SeqCst), 3);
}

fn a_failing_initializer_breaks_the_pool() {
    let go = Arc::new(Barrier::new(2));
    let wait = Arc::clone(&go);
    let pool = ThreadPool::builder().threads(1).initializer(move || {
        wait.wait();
        panic!("no licence")
    });
    let pool = pool.build().unwrap();
    let pending = pool.spawn(|| 1);
    go.wait();
    let error = pending.wait().unwrap_err();
    assert!(matches!(error, JobError::Broken(_)), "{error:?}");
    let text = error.to_string();
    assert!(text.contains("no licence") && text.contains("threads.rs"), "{text}");
    assert_eq!(pool.spawn(|| 1).wait(), Err(error));
}

fn threads_can_be_pinned() {
    let pool = ThreadPool::builder().threads(1).pin_cores(true).build().unwrap();
    let cores = pool.spawn(core_affinity_of_this_thread).wait().unwrap();
    assert_eq!(cores, 1, "the thread may run on one core only");
}

fn core_affinity_of_this_thread() -> u32 {
    let status = std::fs::read_to_string("/proc/thread-self/status").unwrap();
    let mask = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed:")).unwrap();
    mask.trim().chars().filter_map(|digit| digit.to_digit(16)).map(u32::count_ones).sum()
}

fn zero_threads_are_refused() {
    let error = ThreadPool::builder().threads(0).build().unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput);
    assert!(ThreadPool::builder().name("a\0b").build().is_err());
}

fn map_keeps_the_order() {
    let pool = ThreadPool::builder().threads(3).build().unwrap();
    let slow_first = |n: u64| {
        if n.is_multiple_of(50) {
            std::thread::sleep(Duration::from_millis(1));
        }
        n
    };
    let got: Result<Vec<u64>, _> = pool.map(slow_first, 0..1000).collect();
    assert_eq!(got.unwrap(), (0..1000).collect::<Vec<_>>());
    let got: Result<Vec<u64>, _> = pool.map(slow_first, 0..1000).chunk(7).window(1).collect();
    assert_eq!(got.unwrap(), (0..1000).collect::<Vec<_>>());
    assert_eq!(pool.map(slow_first, 0..0).next(), None);
}

fn map_is_lazy_over_an_endless_iterator() {
    let pool = ThreadPool::builder().threads(2).build().unwrap();
    let read = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&read);
    let items = (0u64..).inspect(move |_| {
        count.fetch_add(1, Ordering::SeqCst);
    });
    let mut map = pool.map(|n: u64| n * 2, items).chunk(3).window(4);
    assert_eq!(read.load(Ordering::SeqCst), 0, "nothing is read before the first next");
    assert_eq!(map.next(), Some(Ok(0)));
    assert_eq!(read.load(Ordering::SeqCst), 12, "a window is read ahead, no more");
    assert_eq!(map.nth(99), Some(Ok(200)));
    assert!(read.load(Ordering::SeqCst) <= 101 + 12 + 3);
}

fn map_gives_each_item_its_own_result() {
    let pool = ThreadPool::new();
    let third = |n: u32| if n.is_multiple_of(3) { panic!("{n} is a third") } else { n };
    let got: Vec<_> = pool.map(third, 0..9).chunk(4).collect();
    assert_eq!(got.len(), 9);
    for (n, result) in got.into_iter().enumerate() {
        if n % 3 == 0 {
            assert_eq!(panic_of(result).message, format!("{n} is a third"));
        } else {
            assert_eq!(result, Ok(n as u32));
        }
    }
    let stopped: Result<Vec<u32>, _> = pool.map(third, 1..9).collect();
    assert_eq!(panic_of(stopped).message, "3 is a third");
}

fn a_dropped_map_cancels_the_rest() {
    let pool = one_thread();
    let ran = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&ran);
    let (release, held) = mpsc::channel::<()>();
    let held = Mutex::new(held);
    let mut map = pool
        .map(
            move |n: u32| {
                seen.lock().unwrap().push(n);
                if n == 1 {
                    let _ = held.lock().unwrap().recv();
                }
            },
            0..100,
        )
        .chunk(1)
        .window(10);
    assert_eq!(map.next(), Some(Ok(())));
    while ran.lock().unwrap().len() < 2 {
        std::thread::yield_now();
    }
    drop(map);
    drop(release);
    pool.shutdown(true, false);
    assert_eq!(*ran.lock().unwrap(), [0, 1]);
}

fn the_same_code_runs_on_any_executor() {
    fn work(pool: &impl Executor) -> (Result<u64, JobError>, u64) {
        let sum = pool.submit(|a: u64, b: u64| a + b, (1, 2)).wait();
        let total = pool.map(|n: u64| n * n, 1..=10).map(Result::unwrap).sum();
        pool.shutdown(true, false);
        (sum, total)
    }
    assert_eq!(work(&ThreadPool::new()), (Ok(3), 385));
    assert_eq!(work(&crate::support::processes(1)), (Ok(3), 385));
}

fn a_panicking_destructor_does_not_end_the_worker() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("in a destructor");
        }
    }
    let pool = one_thread();
    let release = occupy(&pool);
    drop(pool.spawn(|| Bomb));
    let bomb = Bomb;
    let cancelled = pool.spawn(move || drop(bomb));
    assert!(cancelled.cancel());
    drop(release);
    assert_eq!(pool.spawn(|| 1).wait(), Ok(1));
}

fn many_submitters_lose_nothing() {
    let pool = ThreadPool::builder().threads(2).build().unwrap();
    std::thread::scope(|scope| {
        for offset in 0..4u64 {
            let pool = &pool;
            scope.spawn(move || {
                let jobs: Vec<_> = (0..2000).map(|n| pool.spawn(move || n + offset)).collect();
                let total: u64 = jobs.into_iter().map(|job| job.wait().unwrap()).sum();
                assert_eq!(total, 1_999_000 + 2000 * offset);
            });
        }
    });
}
