//! Both pools under the event loop of uring-loop, with a doorbell attached and without one.

use std::sync::Arc;
use std::time::Duration;

use pool::{JobError, JobOptions, ThreadPool, as_completed};
use uring_loop::io::wait_readable;

use crate::support::{collectors_of, processes};

crate::tests![
    jobs_are_awaited_on_a_loop,
    a_loop_with_a_doorbell_collects_by_itself,
    a_dropped_wait_loses_nothing_on_a_loop,
];

fn square(n: u64) -> u64 {
    n * n
}

fn jobs_are_awaited_on_a_loop() {
    let (threads, pool) = (ThreadPool::new(), processes(2));
    let run = async {
        for n in 0..100 {
            let (near, far) = (threads.spawn(move || n + 1), pool.submit(square, (n,)));
            assert_eq!((near.await, far.await), (Ok(n + 1), Ok(n * n)));
        }
    };
    uring_loop::run(run).unwrap();
    assert_eq!(collectors_of(&pool).len(), 1);
}

fn a_loop_with_a_doorbell_collects_by_itself() {
    let pool = processes(2);
    let bell = Arc::new(pool.doorbell());
    let run = async {
        let collector = uring_loop::spawn(async move {
            loop {
                wait_readable(Arc::clone(&bell)).await.unwrap();
                bell.reap();
            }
        });
        let jobs: Vec<_> = (0..300).map(|n| pool.submit(square, (n,))).collect();
        let tasks: Vec<_> = jobs.into_iter().map(uring_loop::spawn).collect();
        for (n, task) in tasks.into_iter().enumerate() {
            assert_eq!(task.await.unwrap(), Ok((n * n) as u64));
        }
        // Deaths and limits ring it too, or rather need no ring.
        let died = pool.submit(|| -> u64 { std::process::abort() }, ()).await;
        assert!(matches!(died, Err(JobError::WorkerDied(_))));
        let options = JobOptions::new().timeout(Duration::from_millis(50));
        let stuck = pool.submit_with(
            options,
            || -> u64 {
                loop {
                    std::hint::spin_loop()
                }
            },
            (),
        );
        assert!(matches!(stuck.await, Err(JobError::TimedOut(_))));
        let mut sum = 0;
        let mut results = as_completed((0..10).map(|n| pool.submit(square, (n,)))).stream();
        let next = |cx: &mut std::task::Context<'_>| {
            futures_core::Stream::poll_next(std::pin::Pin::new(&mut results), cx)
        };
        let mut next = next;
        while let Some((_, result)) = std::future::poll_fn(&mut next).await {
            sum += result.unwrap();
        }
        assert_eq!(sum, 285);
        // When the loop has ended the pool may take over.
        assert_eq!(collectors_of(&pool).len(), 0);
        collector.cancel();
    };
    uring_loop::run(run).unwrap();
}

fn a_dropped_wait_loses_nothing_on_a_loop() {
    let pool = processes(1);
    let run = async {
        let nap = |n: u64| {
            std::thread::sleep(Duration::from_millis(60));
            n
        };
        let mut job = pool.submit(nap, (4,));
        let early = uring_loop::time::timeout(Duration::from_millis(5), &mut job).await;
        assert!(early.is_err(), "{early:?}");
        assert_eq!(job.await, Ok(4));
    };
    uring_loop::run(run).unwrap();
}
