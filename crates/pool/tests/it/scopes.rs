//! Jobs that borrow.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, mpsc};

use pool::{JobError, ThreadPool};

use crate::support::panic_of;

crate::tests![
    jobs_may_borrow_and_change_what_is_outside,
    leaving_a_scope_waits_for_jobs_nobody_waits_for,
    a_panic_in_the_body_waits_for_the_jobs,
    a_panic_in_a_job_is_its_own,
    a_cancelled_job_gives_its_borrows_back,
    a_broken_pool_does_not_hold_a_scope_up,
    a_scope_on_a_worker_of_its_own_pool_ends,
    a_forgotten_handle_does_no_harm,
];

fn jobs_may_borrow_and_change_what_is_outside() {
    let pool = ThreadPool::new();
    let mut numbers: Vec<u32> = (0..1000).collect();
    let names = ["a".to_owned(), "b".to_owned()];
    let lengths = pool.scope(|scope| {
        let jobs: Vec<_> = numbers
            .chunks_mut(100)
            .map(|part| scope.spawn(|| part.iter_mut().for_each(|n| *n *= 2)))
            .collect();
        // A result may borrow, too.
        let first = scope.spawn(|| names[0].as_str());
        jobs.into_iter().for_each(|job| job.wait().unwrap());
        first.wait().unwrap().len()
    });
    assert_eq!(lengths, 1);
    assert_eq!(numbers.iter().sum::<u32>(), 999_000);
}

fn leaving_a_scope_waits_for_jobs_nobody_waits_for() {
    let pool = ThreadPool::builder().threads(2).build().unwrap();
    let ran = AtomicU32::new(0);
    pool.scope(|scope| {
        for _ in 0..50 {
            drop(scope.spawn(|| {
                std::thread::sleep(std::time::Duration::from_millis(1));
                ran.fetch_add(1, Ordering::SeqCst);
            }));
        }
    });
    assert_eq!(ran.into_inner(), 50);
}

fn a_panic_in_the_body_waits_for_the_jobs() {
    let pool = ThreadPool::builder().threads(1).build().unwrap();
    let ran = AtomicU32::new(0);
    let body = std::panic::AssertUnwindSafe(|| {
        pool.scope(|scope| {
            for _ in 0..20 {
                drop(scope.spawn(|| ran.fetch_add(1, Ordering::SeqCst)));
            }
            panic!("out");
        })
    });
    assert!(std::panic::catch_unwind(body).is_err());
    assert_eq!(ran.into_inner(), 20);
}

fn a_panic_in_a_job_is_its_own() {
    let pool = ThreadPool::new();
    let text = "borrowed".to_owned();
    pool.scope(|scope| {
        let bad = scope.spawn(|| panic!("{text}"));
        let good = scope.spawn(|| text.len());
        assert_eq!(panic_of::<()>(bad.wait()).message, "borrowed");
        assert_eq!(good.wait(), Ok(8));
    });
}

fn a_cancelled_job_gives_its_borrows_back() {
    let pool = ThreadPool::builder().threads(1).build().unwrap();
    let (go_on, wait) = mpsc::channel::<()>();
    drop(pool.spawn(move || wait.recv()));
    let mut value = 1;
    pool.scope(|scope| {
        let job = scope.spawn(|| value += 1);
        assert!(job.cancel());
        assert_eq!(job.wait(), Err(JobError::Cancelled));
    });
    value += 10;
    drop(go_on);
    assert_eq!(value, 11);
}

fn a_broken_pool_does_not_hold_a_scope_up() {
    let builder = ThreadPool::builder().threads(2).initializer(|| panic!("broken from the start"));
    let pool = builder.build().unwrap();
    let text = "borrowed".to_owned();
    pool.scope(|scope| {
        let jobs: Vec<_> = (0..10).map(|_| scope.spawn(|| text.len())).collect();
        for job in jobs {
            assert!(matches!(job.wait(), Err(JobError::Broken(_))));
        }
    });
}

fn a_scope_on_a_worker_of_its_own_pool_ends() {
    let pool = Arc::new(ThreadPool::builder().threads(1).build().unwrap());
    let own = Arc::clone(&pool);
    let job = pool.spawn(move || {
        let ran = AtomicU32::new(0);
        own.scope(|scope| {
            for _ in 0..10 {
                drop(scope.spawn(|| {
                    own.scope(|scope| drop(scope.spawn(|| ran.fetch_add(1, Ordering::SeqCst))));
                }));
            }
        });
        drop(own);
        ran.into_inner()
    });
    assert_eq!(job.wait(), Ok(10));
}

fn a_forgotten_handle_does_no_harm() {
    let pool = ThreadPool::new();
    let text = "borrowed".to_owned();
    pool.scope(|scope| std::mem::forget(scope.spawn(|| text.clone())));
    drop(text);
}
