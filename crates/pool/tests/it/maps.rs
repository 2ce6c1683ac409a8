//! Maps: order, streams, progress, limits per item, and what the death of a worker costs.

use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_core::Stream;
use pool::{Executor, Exit, JobError, JobOptions, Limit, ProcessPool, ThreadPool};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::support::{Flag, block_on, death_of, panic_of, processes};

crate::tests![
    a_death_in_a_chunk_costs_its_item_only,
    a_death_amid_large_results_costs_its_item_only,
    many_deaths_in_one_chunk_cost_an_item_each,
    an_item_that_finished_is_not_run_again,
    an_item_is_retried_if_asked_for,
    an_item_that_is_too_slow_costs_itself_only,
    a_maps_deadline_ends_what_is_left,
    unordered_results_do_not_wait_for_the_slow,
    unordered_results_are_complete,
    maps_are_streams,
    a_stream_of_a_map_runs_on_a_worker_of_its_own_pool,
    progress_counts_items,
    an_error_does_not_end_a_map,
    a_panic_at_any_step_costs_its_item_only,
    shutting_down_mid_way_keeps_what_was_done,
    last_words_are_heard_of_a_panic_that_aborts,
    last_words_of_an_earlier_item_are_not_blamed,
    a_panic_in_a_worker_carries_a_backtrace,
];

fn die_at(n: u32) -> u32 {
    if n % 10 == 7 { std::process::abort() } else { n }
}

fn a_death_in_a_chunk_costs_its_item_only() {
    let pool = processes(2);
    let results: Vec<_> = pool.map(die_at, 0..100).chunk(25).collect();
    assert_eq!(results.len(), 100);
    for (n, result) in results.into_iter().enumerate() {
        if n % 10 == 7 {
            let death = death_of(result);
            assert_eq!(death.exit, Exit::Signal(6));
            assert!(death.task.ends_with("die_at"), "{death:?}");
        } else {
            assert_eq!(result, Ok(n as u32));
        }
    }
}

fn a_death_amid_large_results_costs_its_item_only() {
    let pool = processes(1);
    // Each alone is more than the worker can keep aside; some together are, others not.
    let big = |n: u32| vec![n; if die_at(n).is_multiple_of(3) { 30_000 } else { 3000 }];
    for (n, result) in pool.map(big, 0..30).chunk(30).enumerate() {
        if n % 10 == 7 {
            death_of(result);
        } else {
            let length = if n % 3 == 0 { 30_000 } else { 3000 };
            assert_eq!(result.unwrap(), vec![n as u32; length]);
        }
    }
}

fn many_deaths_in_one_chunk_cost_an_item_each() {
    let pool = processes(1);
    let die = |n: u32| -> u32 { if n < 8 { std::process::exit(n as i32) } else { n } };
    let results: Vec<_> = pool.map(die, 0..10).chunk(10).collect();
    for (n, result) in results.into_iter().enumerate() {
        match result {
            Ok(value) => assert!(n >= 8 && value == n as u32),
            died => assert_eq!(death_of(died).exit, Exit::Code(n as i32)),
        }
    }
}

/// Notes that it was called; then dies, if the number is 5.
fn noted(path: String, n: u32) -> u32 {
    use std::io::Write;
    let mut file = std::fs::OpenOptions::new().append(true).create(true).open(path).unwrap();
    file.write_all(format!("{n} ").as_bytes()).unwrap();
    if n == 5 { std::process::abort() } else { n }
}

fn calls(log: &Flag) -> Vec<u32> {
    let text = std::fs::read_to_string(&log.0).unwrap();
    text.split_whitespace().map(|word| word.parse().unwrap()).collect()
}

fn an_item_that_finished_is_not_run_again() {
    let pool = processes(1);
    let log = Flag::new("map-once");
    let items: Vec<_> = (0..10).map(|n| (log.0.clone(), n)).collect();
    let results: Vec<_> = pool.map(|(path, n)| noted(path, n), items).chunk(10).collect();
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 9);
    assert_eq!(calls(&log), (0..10).collect::<Vec<_>>());
}

fn an_item_is_retried_if_asked_for() {
    let pool = processes(1);
    let log = Flag::new("map-retry");
    let items: Vec<_> = (0..10).map(|n| (log.0.clone(), n)).collect();
    let map = pool.map(|(path, n)| noted(path, n), items).chunk(10).retries(2).name("noting");
    let results: Vec<_> = map.collect();
    let Err(JobError::Poisoned(poisoned)) = &results[5] else { panic!("{:?}", results[5]) };
    assert_eq!((poisoned.deaths.len(), poisoned.task.as_str()), (3, "noting"));
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 9);
    assert_eq!(calls(&log), [0, 1, 2, 3, 4, 5, 5, 5, 6, 7, 8, 9]);
}

fn an_item_that_is_too_slow_costs_itself_only() {
    const LIMIT: Duration = Duration::from_millis(400);
    fn check(pool: &impl Executor) {
        // The chunk as a whole takes longer than the limit; no item but one does.
        let nap = |n: u64| {
            std::thread::sleep(Duration::from_millis(if n == 4 { 3000 } else { 60 }));
            n
        };
        for (n, result) in pool.map(nap, 0..10).chunk(10).timeout(LIMIT).enumerate() {
            match (n, result) {
                (4, Err(JobError::TimedOut(late))) => {
                    assert_eq!((late.limit, late.started), (Limit::Timeout(LIMIT), true));
                }
                (n, result) => assert_eq!(result, Ok(n as u64)),
            }
        }
    }
    check(&processes(1));
    check(&ThreadPool::builder().threads(2).build().unwrap());
}

fn a_maps_deadline_ends_what_is_left() {
    let pool = processes(1);
    let nap = |n: u64| {
        std::thread::sleep(Duration::from_millis(if n < 5 { 0 } else { 3_600_000 }));
        n
    };
    let map = pool.map(nap, 0..20).chunk(4).deadline(Duration::from_millis(500));
    let results: Vec<_> = map.collect();
    assert_eq!(results.len(), 20);
    for (n, result) in results.into_iter().enumerate() {
        match result {
            Ok(value) => assert!(n < 5 && value == n as u64),
            Err(JobError::TimedOut(late)) => assert!(n >= 5 && late.started == (n == 5), "{n}"),
            other => panic!("{other:?}"),
        }
    }
}

/// The first item waits until the flag is raised.
fn first_is_slow((path, n): (String, u32)) -> u32 {
    while n == 0 && !std::fs::exists(&path).unwrap() {
        std::thread::sleep(Duration::from_millis(1));
    }
    n
}

fn unordered_results_do_not_wait_for_the_slow() {
    fn check(pool: &impl Executor, name: &str) {
        let flag = Flag::new(name);
        let items: Vec<_> = (0..20).map(|n| (flag.0.clone(), n)).collect();
        let mut results = pool.map(first_is_slow, items).chunk(1).unordered();
        assert_eq!(results.size_hint(), (20, Some(20)));
        let mut early: Vec<_> = results.by_ref().take(19).collect();
        flag.raise();
        assert_eq!(results.next(), Some((0, Ok(0))));
        assert_eq!(results.next(), None);
        early.sort_by_key(|(item, _)| *item);
        assert_eq!(early, (1..20).map(|n| (n, Ok(n as u32))).collect::<Vec<_>>());
    }
    check(&ThreadPool::builder().threads(2).build().unwrap(), "unordered-threads");
    check(&processes(2), "unordered-processes");
}

fn unordered_results_are_complete() {
    fn check(pool: &impl Executor) {
        let odd = |n: u64| if n % 100 == 99 { panic!("{n}") } else { n * 2 };
        let mut seen = vec![false; 5000];
        for (item, result) in pool.map(odd, 0..5000).unordered() {
            assert!(!std::mem::replace(&mut seen[item], true), "{item} came twice");
            match item % 100 {
                99 => assert_eq!(panic_of(result).message, item.to_string()),
                _ => assert_eq!(result, Ok(item as u64 * 2)),
            }
        }
        assert!(seen.into_iter().all(|seen| seen));
    }
    check(&ThreadPool::new());
    check(&processes(2));
}

fn all<S: Stream + Unpin>(mut stream: S) -> Vec<S::Item> {
    block_on(async {
        let mut items = Vec::new();
        let next = |cx: &mut std::task::Context<'_>| Pin::new(&mut stream).poll_next(cx);
        let mut next = next;
        while let Some(item) = std::future::poll_fn(&mut next).await {
            items.push(item);
        }
        items
    })
}

fn maps_are_streams() {
    fn check(pool: &impl Executor) {
        let double = |n: u64| n * 2;
        let expected: Vec<u64> = (0..3000).map(double).collect();
        let ordered: Result<Vec<u64>, _> =
            all(pool.map(double, 0..3000).stream()).into_iter().collect();
        assert_eq!(ordered.as_ref(), Ok(&expected));
        let mut unordered = all(pool.map(double, 0..3000).unordered().stream());
        unordered.sort_by_key(|(item, _)| *item);
        let values = unordered.into_iter().map(|(_, result)| result);
        assert_eq!(values.collect::<Result<Vec<u64>, _>>().as_ref(), Ok(&expected));
    }
    check(&ThreadPool::new());
    check(&processes(2));
    // Under tokio, too.
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let pool = processes(1);
    let mut map = Box::pin(pool.map(|n: u32| n + 1, 0..100).stream());
    let sum = runtime.block_on(async {
        let mut sum = 0;
        while let Some(n) = std::future::poll_fn(|cx| map.as_mut().poll_next(cx)).await {
            sum += n.unwrap();
        }
        sum
    });
    assert_eq!(sum, 5050);
}

fn a_stream_of_a_map_runs_on_a_worker_of_its_own_pool() {
    let pool = Arc::new(ThreadPool::builder().threads(1).build().unwrap());
    let own = Arc::clone(&pool);
    let job = pool.spawn(move || {
        let ordered = all(own.map(|n: u32| n, 0..50).stream()).len();
        let unordered = own.map(|n: u32| n, 0..50).unordered().count();
        drop(own);
        (ordered, unordered)
    });
    assert_eq!(job.wait(), Ok((50, 50)));
}

fn progress_counts_items() {
    fn check(pool: &impl Executor) {
        let (most, calls) = (Arc::new(AtomicU64::new(0)), Arc::new(Mutex::new(0)));
        let (seen, counted) = (Arc::clone(&most), Arc::clone(&calls));
        let map = pool.map(|n: u64| n, 0..1000).chunk(10).on_progress(move |progress| {
            assert_eq!((progress.total, progress.done % 10), (Some(1000), 0));
            seen.fetch_max(progress.done, Ordering::SeqCst);
            *counted.lock().unwrap() += 1;
        });
        assert_eq!(map.map(Result::unwrap).sum::<u64>(), 499_500);
        // The last results may be taken before their watchers are through, in whatever order.
        crate::support::eventually("all is told", || *calls.lock().unwrap() == 100);
        assert_eq!(most.load(Ordering::SeqCst), 1000);
    }
    check(&ThreadPool::new());
    check(&processes(2));
}

/// CPython's test_map_exception, the other way: there the map ends.
fn an_error_does_not_end_a_map() {
    let pool = ThreadPool::new();
    let div = |n: i32| 10 / n;
    let results: Vec<_> = pool.map(div, [1, 0, 5]).collect();
    assert_eq!((&results[0], &results[2]), (&Ok(10), &Ok(2)));
    assert!(panic_of(results[1].clone()).message.contains("divide by zero"));
}

fn shutting_down_mid_way_keeps_what_was_done() {
    let pool: ProcessPool = processes(1);
    let mut map = pool.map(|n: u32| n, 0..).chunk(5).window(1);
    assert_eq!(map.next(), Some(Ok(0)));
    pool.shutdown(true, true);
    let rest: Vec<_> = map.by_ref().take(10).collect();
    assert_eq!(rest[..4], (1..5).map(Ok).collect::<Vec<_>>()[..]);
    assert!(rest[4..].iter().all(|result| result == &Err(JobError::PoolShutdown)), "{rest:?}");
}

extern "C" fn no_way_out(n: u32) {
    panic!("deliberate {n}");
}

fn last_words_are_heard_of_a_panic_that_aborts() {
    let pool = ProcessPool::builder().workers(1).backtraces(true).build().unwrap();
    let error = pool.submit(|n: u32| no_way_out(n), (5,)).wait().unwrap_err();
    let text = error.to_string();
    let death = death_of(Err::<(), _>(error));
    assert_eq!(death.exit, Exit::Signal(6));
    let words = death.last_words.expect("it had time to speak");
    assert_eq!(words.message, "deliberate 5");
    assert!(words.location.unwrap().contains("maps.rs"));
    assert!(words.backtrace.unwrap().contains("no_way_out"));
    assert!(text.contains("it had panicked at ") && text.ends_with("deliberate 5"), "{text}");
}

fn last_words_of_an_earlier_item_are_not_blamed() {
    let pool = processes(1);
    let f = |n: u32| match n {
        0 => panic!("survived"),
        1 => std::process::abort(),
        n => n,
    };
    let results: Vec<_> = pool.map(f, 0..3).chunk(3).collect();
    assert_eq!(panic_of(results[0].clone()).message, "survived");
    assert_eq!(death_of(results[1].clone()).last_words, None);
    assert_eq!(results[2], Ok(2));
    panic_of(pool.submit(f, (0,)).wait());
    assert_eq!(death_of(pool.submit(f, (1,)).wait()).last_words, None);
}

fn a_panic_in_a_worker_carries_a_backtrace() {
    fn deep(n: u32) -> u32 {
        if n == 0 { panic!("bottom") } else { std::hint::black_box(deep(n - 1)) + 1 }
    }
    let pool = ProcessPool::builder().workers(1).backtraces(true).build().unwrap();
    let options = JobOptions::new().name("digging");
    let panic = panic_of(pool.submit_with(options, deep, (3,)).wait());
    assert!(panic.backtrace.unwrap().contains("deep"));
    assert_eq!(panic.task, "digging");
}

/// Where an item panics on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Step {
    Encoded,
    Decoded,
    Run,
    ResultEncoded,
    ResultDropped,
    ResultDecoded,
    Nowhere,
}

#[derive(Debug)]
struct Argument(Step, u32);

#[derive(Debug)]
struct Doubled(Step, u32);

fn panic_if(here: bool) {
    assert!(!here, "this is the step");
}

impl Serialize for Argument {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        panic_if(self.0 == Step::Encoded);
        (self.0, self.1).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Argument {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (step, number) = Deserialize::deserialize(deserializer)?;
        panic_if(step == Step::Decoded);
        Ok(Argument(step, number))
    }
}

impl Serialize for Doubled {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        panic_if(self.0 == Step::ResultEncoded);
        (self.0, self.1).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Doubled {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (step, number) = Deserialize::deserialize(deserializer)?;
        panic_if(step == Step::ResultDecoded);
        // What is dropped here is another's.
        let step = if step == Step::ResultDropped { Step::Nowhere } else { step };
        Ok(Doubled(step, number))
    }
}

impl Drop for Doubled {
    fn drop(&mut self) {
        panic_if(self.0 == Step::ResultDropped);
    }
}

fn double(Argument(step, number): Argument) -> Doubled {
    panic_if(step == Step::Run);
    Doubled(step, number * 2)
}

fn a_panic_at_any_step_costs_its_item_only() {
    let pool = processes(1);
    let steps = [
        Step::Nowhere,
        Step::Encoded,
        Step::Decoded,
        Step::Run,
        Step::ResultEncoded,
        Step::ResultDropped,
        Step::ResultDecoded,
        Step::Nowhere,
    ];
    // Each first, last, alone and beside others in a chunk.
    for size in [1, 3, 8, 24] {
        let items = (0..24).map(|n| Argument(steps[n % steps.len()], n as u32));
        let results: Vec<_> = pool.map(double, items).chunk(size).collect();
        assert_eq!(results.len(), 24);
        for (n, result) in results.into_iter().enumerate() {
            let step = steps[n % steps.len()];
            let told = match result {
                Ok(doubled) => {
                    assert!([Step::Nowhere, Step::ResultDropped].contains(&step), "{step:?}");
                    assert_eq!(doubled.1, 2 * n as u32);
                    continue;
                }
                Err(error) => error.to_string(),
            };
            let expected = match step {
                Step::Encoded => "encoding its arguments failed: its Serialize panicked",
                Step::Decoded => "decoding its arguments in the worker failed: its Deserialize",
                Step::Run => "panicked",
                Step::ResultEncoded => "encoding its result in the worker failed: its Serialize",
                Step::ResultDecoded => "decoding its result failed: its Deserialize panicked",
                Step::ResultDropped | Step::Nowhere => panic!("{step:?}: {told}"),
            };
            assert!(told.contains(expected), "{step:?}: {told}");
            assert!(told.contains("this is the step"), "{step:?}: {told}");
        }
    }
}
