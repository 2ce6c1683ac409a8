//! Who collects results: waiting threads, the collector thread, event loops; and mixtures.

use std::os::fd::AsFd;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use pool::{
    Doorbell, JobError, JobState, ProcessPool, ThreadPool, WaitUntil, WorkerState, as_completed,
    wait,
};

use crate::support::{
    Flag, block_on, collectors_of, death_of, eventually, processes, raise_then_wait,
};

crate::tests![
    awaiting_works_under_a_bare_block_on,
    awaiting_works_under_tokio,
    the_doorbell_replaces_the_collector,
    a_dropped_doorbell_hands_back_to_the_collector,
    a_doorbell_hung_up_mid_way_takes_over_from_the_collector,
    many_threads_wait_on_one_pool,
    waiting_and_awaiting_mix,
    a_waiting_thread_is_promoted_when_the_leader_leaves,
    a_wait_ends_when_another_thread_reaps_its_job,
    an_awaited_job_can_be_dropped_and_awaited_again,
    a_waker_may_submit_and_cancel,
    a_death_wakes_those_who_wait_and_await,
    what_is_told_of_an_end_cannot_wait_for_another,
    what_is_told_of_an_end_can_take_what_has_ended,
    a_pool_dropped_by_what_is_told_of_an_end_ends,
];

fn square(n: u64) -> u64 {
    n * n
}

fn awaiting_works_under_a_bare_block_on() {
    let pool = processes(2);
    for n in 0..200 {
        assert_eq!(block_on(pool.submit(square, (n,))), Ok(n * n));
    }
    let jobs: Vec<_> = (0..200).map(|n| pool.submit(square, (n,))).collect();
    block_on(async {
        for (n, job) in jobs.into_iter().enumerate() {
            assert_eq!(job.await, Ok((n * n) as u64));
        }
    });
    assert_eq!(collectors_of(&pool).len(), 1);
}

fn awaiting_works_under_tokio() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let (processes, threads) = (processes(2), ThreadPool::new());
    runtime.block_on(async {
        let tasks: Vec<_> = (0..100)
            .map(|n| {
                let (far, near) = (processes.submit(square, (n,)), threads.spawn(move || n + 1));
                tokio::spawn(async move { (far.await, near.await) })
            })
            .collect();
        for (n, task) in tasks.into_iter().enumerate() {
            let n = n as u64;
            assert_eq!(task.await.unwrap(), (Ok(n * n), Ok(n + 1)));
        }
        let (started, go_on) = (Flag::new("tokio-1"), Flag::new("tokio-2"));
        let mut job = processes.submit(raise_then_wait, (started.0.clone(), go_on.0.clone()));
        let early = tokio::time::timeout(Duration::from_millis(20), &mut job).await;
        assert!(early.is_err(), "the time-out drops the waiting, not the job");
        go_on.raise();
        assert!(job.await.is_ok());
    });
}

/// Polls and reaps until `done`, as an event loop would.
fn drive(bell: &Doorbell, mut done: impl FnMut() -> bool) -> usize {
    let mut reaped = 0;
    while !done() {
        let ready =
            poll(&mut [PollFd::new(bell.as_fd(), PollFlags::POLLIN)], PollTimeout::from(30_000u16));
        assert_eq!(ready, Ok(1), "nothing to reap for half a minute");
        reaped += bell.reap();
    }
    reaped
}

struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

fn the_doorbell_replaces_the_collector() {
    let pool = processes(2);
    let bell = pool.doorbell();
    let count = Arc::new(Count(AtomicUsize::new(0)));
    let waker = Waker::from(Arc::clone(&count));
    let mut jobs: Vec<_> = (0..300).map(|n| pool.submit(square, (n,))).collect();
    for job in &mut jobs {
        assert!(pin!(job).poll(&mut Context::from_waker(&waker)).is_pending());
    }
    let reaped = drive(&bell, || count.0.load(Ordering::SeqCst) == 300);
    assert_eq!(reaped, 300);
    for (n, mut job) in jobs.into_iter().enumerate() {
        let result = pin!(&mut job).poll(&mut Context::from_waker(&waker));
        assert_eq!(result, Poll::Ready(Ok((n * n) as u64)));
    }
    assert_eq!(collectors_of(&pool).len(), 0);
    assert_eq!(bell.reap(), 0);
}

fn a_dropped_doorbell_hands_back_to_the_collector() {
    let pool = processes(1);
    let (bell, second) = (pool.doorbell(), pool.doorbell());
    let (started, go_on) = (Flag::new("handback-1"), Flag::new("handback-2"));
    let job = pool.submit(raise_then_wait, (started.0.clone(), go_on.0.clone()));
    eventually("the job runs", || started.is_raised());
    drop(bell);
    let waiting = std::thread::spawn(move || block_on(job));
    go_on.raise();
    drop(second);
    assert!(waiting.join().unwrap().is_ok());
}

fn a_doorbell_hung_up_mid_way_takes_over_from_the_collector() {
    let pool = processes(1);
    let (started, go_on) = (Flag::new("takeover-1"), Flag::new("takeover-2"));
    let mut job = pool.submit(raise_then_wait, (started.0.clone(), go_on.0.clone()));
    let count = Arc::new(Count(AtomicUsize::new(0)));
    let waker = Waker::from(Arc::clone(&count));
    assert!(pin!(&mut job).poll(&mut Context::from_waker(&waker)).is_pending());
    eventually("the collector is there", || collectors_of(&pool).len() == 1);
    let bell = pool.doorbell();
    go_on.raise();
    // The collector may reap this first one while it steps down; the next ones are the loop's.
    eventually("the job ends", || {
        bell.reap();
        job.state() == JobState::Done
    });
    assert!(job.wait().is_ok());
    let jobs: Vec<_> = (0..50).map(|n| pool.submit(square, (n,))).collect();
    drive(&bell, || jobs.iter().all(|job| job.state() == JobState::Done));
}

fn many_threads_wait_on_one_pool() {
    let pool = processes(2);
    std::thread::scope(|scope| {
        for thread in 0..8u64 {
            let pool = &pool;
            scope.spawn(move || {
                for n in 0..100 {
                    let n = thread * 1000 + n;
                    assert_eq!(pool.submit(square, (n,)).wait(), Ok(n * n));
                }
            });
        }
    });
    assert_eq!(collectors_of(&pool).len(), 0, "waiting threads need no collector");
}

fn waiting_and_awaiting_mix() {
    let pool = processes(2);
    std::thread::scope(|scope| {
        for thread in 0..6u64 {
            let pool = &pool;
            scope.spawn(move || {
                for n in 0..100 {
                    let mut job = pool.submit(square, (n,));
                    let result = match thread % 3 {
                        0 => job.wait(),
                        1 => block_on(job),
                        _ => loop {
                            if let Some(result) = job.wait_timeout(Duration::from_millis(1)) {
                                break result;
                            }
                        },
                    };
                    assert_eq!(result, Ok(n * n));
                }
            });
        }
    });
}

fn a_waiting_thread_is_promoted_when_the_leader_leaves() {
    // Before the pool, which at its end waits for jobs that wait for them.
    let (started, also) = (Flag::new("promote-1"), Flag::new("promote-2"));
    let go_on = Flag::new("promote-3");
    let pool = processes(2);
    let long = pool.submit(raise_then_wait, (started.0.clone(), go_on.0.clone()));
    eventually("the long job runs", || started.is_raised());
    let mut short = pool.submit(raise_then_wait, (also.0.clone(), go_on.0.clone()));
    std::thread::scope(|scope| {
        // It leads, and leaves at its time-out.
        let leader = scope.spawn(move || short.wait_timeout(Duration::from_millis(60)));
        std::thread::sleep(Duration::from_millis(20));
        let follower = scope.spawn(move || long.wait());
        assert_eq!(leader.join().unwrap(), None);
        go_on.raise();
        assert!(follower.join().unwrap().is_ok());
    });
}

fn a_wait_ends_when_another_thread_reaps_its_job() {
    let pool = processes(1);
    let bell = pool.doorbell();
    for n in 0..200 {
        let job = pool.submit(square, (n,));
        std::thread::scope(|scope| {
            let waiting = scope.spawn(move || job.wait());
            while !waiting.is_finished() {
                bell.reap();
            }
            assert_eq!(waiting.join().unwrap(), Ok(n * n));
        });
    }
}

fn an_awaited_job_can_be_dropped_and_awaited_again() {
    let pool = processes(1);
    let (started, go_on) = (Flag::new("again-1"), Flag::new("again-2"));
    let mut job = pool.submit(raise_then_wait, (started.0.clone(), go_on.0.clone()));
    let count = Arc::new(Count(AtomicUsize::new(0)));
    let waker = Waker::from(Arc::clone(&count));
    for _ in 0..3 {
        assert!(pin!(&mut job).poll(&mut Context::from_waker(&waker)).is_pending());
    }
    assert_eq!(job.wait_timeout(Duration::from_millis(5)), None);
    go_on.raise();
    assert!(block_on(&mut job).is_ok());
    // Jobs dropped while awaited leave nothing behind: the pool still ends.
    let mut dropped = pool.submit(square, (2,));
    let _ = pin!(&mut dropped).poll(&mut Context::from_waker(&waker));
    drop(dropped);
    pool.shutdown(true, false);
}

fn a_waker_may_submit_and_cancel() {
    struct Busy(Arc<ProcessPool>, AtomicUsize);
    impl Wake for Busy {
        fn wake(self: Arc<Self>) {
            let job = self.0.submit(square, (3,));
            let other = self.0.submit(square, (4,));
            other.cancel();
            drop(job);
            self.1.fetch_add(1, Ordering::SeqCst);
        }
    }
    let pool = Arc::new(processes(1));
    let busy = Arc::new(Busy(Arc::clone(&pool), AtomicUsize::new(0)));
    let waker = Waker::from(Arc::clone(&busy));
    let mut jobs: Vec<_> = (0..20).map(|n| pool.submit(square, (n,))).collect();
    let mut woken = 0;
    for job in &mut jobs {
        woken += usize::from(pin!(job).poll(&mut Context::from_waker(&waker)).is_pending());
    }
    eventually("all wakers have run", || busy.1.load(Ordering::SeqCst) == woken);
}

fn a_death_wakes_those_who_wait_and_await() {
    let pool = processes(1);
    let die = || std::process::abort();
    for _ in 0..5 {
        let dead: Result<(), JobError> = pool.submit(die, ()).wait();
        death_of(dead);
        let dead: Result<(), JobError> = block_on(pool.submit(die, ()));
        death_of(dead);
        let bell = pool.doorbell();
        let job = pool.submit(die, ());
        // Deaths are the supervisor's: they need no reaping.
        let dead: Result<(), JobError> = block_on(job);
        death_of(dead);
        drop(bell);
    }
}

/// The message of a panic, if `f` panics.
fn panic_in<T>(f: impl FnOnce() -> T) -> Option<String> {
    let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(f));
    caught.err().map(|payload| match payload.downcast::<String>() {
        Ok(text) => *text,
        Err(payload) => payload.downcast::<&str>().unwrap().to_string(),
    })
}

fn raise_then_abort(started: String, go_on: String) -> u32 {
    raise_then_wait(started, go_on);
    std::process::abort()
}

fn what_is_told_of_an_end_cannot_wait_for_another() {
    let pool = Arc::new(processes(2));
    // It waits by itself, in a set, and in the order of their ends; on whatever thread it is told:
    // one that waits, the collector, the supervisor.
    for case in 0..6 {
        let (started, go_on) = (Flag::new("told-started"), Flag::new("told-go-on"));
        let other = pool.submit(raise_then_wait, (started.0.clone(), go_on.0.clone()));
        eventually("the other one runs", || started.is_raised());
        let (tell, told) = std::sync::mpsc::channel();
        // It ends after the callback is there, which else would run on this thread.
        let (ready, end) = (Flag::new("told-ready"), Flag::new("told-end"));
        let flags = (ready.0.clone(), end.0.clone());
        let job = match case {
            5 => pool.submit(raise_then_abort, flags),
            _ => pool.submit(raise_then_wait, flags),
        };
        job.on_done(move |_| {
            let message = panic_in(|| match case % 3 {
                0 => drop(other.wait()),
                1 => drop(wait([other], WaitUntil::AllCompleted, None)),
                _ => drop(as_completed([other]).next()),
            });
            tell.send(message).unwrap();
        });
        end.raise();
        if case < 3 {
            job.wait().unwrap();
        } else {
            drop(job);
        }
        let message = told.recv().unwrap().expect("it panics");
        assert!(message.contains("same process pool"), "{case}: {message}");
        go_on.raise();
        eventually("the other one ends", || {
            pool.statistics().workers.iter().all(|worker| worker.state == WorkerState::Idle)
        });
    }
    assert_eq!(pool.submit(square, (3,)).wait(), Ok(9));
}

fn what_is_told_of_an_end_can_take_what_has_ended() {
    let (pool, elsewhere) = (processes(1), ThreadPool::new());
    let first = pool.submit(square, (2,));
    let (tell, told) = std::sync::mpsc::channel();
    let second = pool.submit(square, (3,));
    let near = elsewhere.spawn(|| std::thread::sleep(Duration::from_millis(20)));
    second.on_done(move |_| {
        // One worker: the first has ended. And jobs of another pool are somebody else's to bring.
        tell.send((first.wait(), near.wait())).unwrap();
    });
    assert_eq!(told.recv().unwrap(), (Ok(4), Ok(())));
    assert_eq!(second.wait(), Ok(9));
}

fn a_pool_dropped_by_what_is_told_of_an_end_ends() {
    let slow = |milliseconds: u64| std::thread::sleep(Duration::from_millis(milliseconds));
    for waits in [true, false] {
        let pool = Arc::new(processes(2));
        let other = pool.submit(slow, (200,));
        let job = pool.submit(slow, (20,));
        let (tell, told) = std::sync::mpsc::channel();
        job.on_done(move |_| {
            drop(pool);
            tell.send(()).unwrap();
        });
        if waits {
            assert_eq!(job.wait(), Ok(()));
        }
        told.recv().unwrap();
        assert_eq!(other.wait(), Ok(()));
    }
}
