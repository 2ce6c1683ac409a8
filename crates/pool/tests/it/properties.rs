//! Maps whose items take their time, fail, die and are killed as chance will have it: every item
//! has its own answer, in its own place.

use std::time::Duration;

use pool::{Executor, JobError, ProcessPool, ThreadPool};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde::{Deserialize, Serialize};

use crate::support::processes;

crate::tests![
    maps_on_processes_answer_each_item,
    maps_on_threads_answer_each_item,
    jobs_that_are_cancelled_and_killed_at_random_have_one_end,
];

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
enum Deed {
    Work(u8),
    Large(u16),
    Panic,
    Die,
    Stick,
}

fn deeds() -> impl Strategy<Value = Vec<Deed>> {
    let deed = prop_oneof![
        10 => any::<u8>().prop_map(Deed::Work),
        3 => any::<u16>().prop_map(Deed::Large),
        2 => Just(Deed::Panic),
        1 => Just(Deed::Die),
        1 => Just(Deed::Stick),
    ];
    vec(deed, 0..24)
}

fn act((number, deed): (usize, Deed)) -> (usize, Vec<u8>) {
    match deed {
        Deed::Work(us) => std::thread::sleep(Duration::from_micros(us.into())),
        Deed::Large(bytes) => return (number, vec![number as u8; bytes.into()]),
        Deed::Panic => panic!("{number}"),
        Deed::Die => std::process::abort(),
        Deed::Stick => std::thread::sleep(Duration::from_secs(3600)),
    }
    (number, Vec::new())
}

fn check(number: usize, deed: Deed, result: Result<(usize, Vec<u8>), JobError>) {
    match (deed, result) {
        (Deed::Work(_), Ok((n, bytes))) => assert_eq!((n, bytes.len()), (number, 0)),
        (Deed::Large(length), Ok((n, bytes))) => {
            assert_eq!((n, bytes), (number, vec![number as u8; length.into()]));
        }
        (Deed::Panic, Err(JobError::Panicked(panic))) => {
            assert_eq!(panic.message, number.to_string());
        }
        (Deed::Die, Err(JobError::WorkerDied(_))) => {}
        (Deed::Stick, Err(JobError::TimedOut(_))) => {}
        (deed, result) => panic!("{number}: {deed:?} ended as {result:?}"),
    }
}

/// The cases are few and fixed: each may start a dozen processes.
fn runner(cases: u32) -> TestRunner {
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    TestRunner::new(config)
}

/// Maps of any items, in chunks and windows of any size, in order or not. `limit` is what a pool
/// can do against an item that never ends.
fn maps_answer_each_item(cases: u32, pool: &impl Executor, limit: Option<Duration>) {
    let shape = (deeds(), proptest::option::of(1..12usize), 1..6usize, any::<bool>());
    let run = |(mut deeds, chunk, window, ordered): (Vec<Deed>, Option<usize>, usize, bool)| {
        if limit.is_none() {
            // A thread cannot be killed.
            deeds.retain(|deed| !matches!(deed, Deed::Die | Deed::Stick));
        }
        let items: Vec<_> = deeds.iter().copied().enumerate().collect();
        let mut map = pool.map(act, items).window(window);
        if let Some(limit) = limit {
            map = map.timeout(limit);
        }
        if let Some(chunk) = chunk {
            map = map.chunk(chunk);
        }
        let mut results: Vec<_> =
            if ordered { map.enumerate().collect() } else { map.unordered().collect() };
        results.sort_by_key(|(number, _)| *number);
        assert_eq!(results.len(), deeds.len());
        for ((number, result), deed) in results.into_iter().zip(deeds) {
            check(number, deed, result);
        }
        Ok(())
    };
    runner(cases).run(&shape, run).unwrap();
}

fn maps_on_processes_answer_each_item() {
    maps_answer_each_item(8, &processes(2), Some(Duration::from_secs(1)));
}

fn maps_on_threads_answer_each_item() {
    let pool = ThreadPool::builder().threads(3).build().unwrap();
    maps_answer_each_item(60, &pool, None);
}

#[derive(Clone, Copy, Debug)]
enum Order {
    Wait,
    Cancel,
    Kill,
    Drop,
}

fn jobs_that_are_cancelled_and_killed_at_random_have_one_end() {
    let pool: ProcessPool = processes(2);
    let order = prop_oneof![
        3 => Just(Order::Wait),
        2 => Just(Order::Cancel),
        2 => Just(Order::Kill),
        1 => Just(Order::Drop),
    ];
    let run = |orders: Vec<(Order, u8)>| {
        let nap = |n: u8| {
            std::thread::sleep(Duration::from_micros(n.into()));
            n
        };
        let jobs: Vec<_> = orders.iter().map(|&(_, n)| pool.submit(nap, (n,))).collect();
        for (job, (order, n)) in jobs.into_iter().zip(orders) {
            let told = match order {
                Order::Wait => false,
                Order::Cancel => job.cancel(),
                Order::Kill => job.kill(),
                Order::Drop => {
                    drop(job.kill_on_drop());
                    continue;
                }
            };
            match (order, told, job.wait()) {
                (_, _, Ok(value)) if !matches!((order, told), (Order::Cancel, true)) => {
                    assert_eq!(value, n);
                }
                (Order::Cancel | Order::Kill, true, Err(JobError::Cancelled)) => {}
                (Order::Kill, true, Err(JobError::Killed(_))) => {}
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(pool.submit(nap, (3,)).wait(), Ok(3));
        Ok(())
    };
    runner(25).run(&vec((order, any::<u8>()), 1..40), run).unwrap();
}
