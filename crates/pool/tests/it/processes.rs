//! `ProcessPool` in good weather: results, panics, codecs, cancelling, maps, shutdown, set-up.

use std::process::{Command, ExitCode};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use pool::{JobError, JobOptions, JobState, ProcessPool};
use serde::{Deserialize, Serialize};

use crate::support::{Flag, eventually, panic_of, processes, raise_then_wait};

crate::tests![
    results_come_back_from_another_process,
    a_closure_without_captures_is_shipped,
    a_panic_carries_message_and_place_and_the_worker_goes_on,
    arguments_that_cannot_be_encoded_cost_their_job_only,
    arguments_that_cannot_be_decoded_cost_their_job_only,
    a_result_that_cannot_be_encoded_costs_its_job_only,
    a_result_that_cannot_be_decoded_costs_its_job_only,
    large_arguments_and_results_pass,
    many_large_results_pass_while_nobody_waits,
    arguments_and_results_of_all_sizes_pass_in_their_order,
    small_arguments_find_room_behind_larger_ones_at_a_busy_worker,
    a_queued_job_can_be_cancelled_and_a_running_one_not,
    jobs_behind_a_long_one_go_to_an_idle_worker,
    jobs_behind_long_ones_are_found_although_others_were_taken_back_before,
    an_idle_worker_is_used_before_another_is_started,
    a_timed_wait_gives_the_job_back,
    map_keeps_the_order,
    map_gives_each_item_its_own_result,
    map_is_lazy_over_an_endless_iterator,
    jobs_nobody_waits_for_are_done,
    dropping_the_pool_waits_for_queued_jobs,
    shutdown_can_cancel_what_is_pending,
    submitting_after_shutdown_is_an_error,
    workers_are_initialised_and_named,
    a_failing_initializer_breaks_the_pool_with_its_message,
    a_pool_inside_a_worker_works,
    without_init_a_pool_is_refused,
    zero_workers_are_refused,
    a_worker_reads_nothing_from_standard_input,
];

fn results_come_back_from_another_process() {
    let pool = processes(2);
    let pid = pool.submit(std::process::id, ()).wait().unwrap();
    assert_ne!(pid, std::process::id());
    assert_eq!(pool.submit(u64::pow, (3, 4)).wait(), Ok(81));
    let jobs: Vec<_> = (0..500u64).map(|n| pool.submit(|n: u64| n * 2, (n,))).collect();
    for (n, job) in jobs.into_iter().enumerate() {
        assert_eq!(job.wait(), Ok(n as u64 * 2));
    }
}

fn a_closure_without_captures_is_shipped() {
    let pool = processes(1);
    let job = pool.submit(
        |name: String, tags: Vec<Option<u8>>| (format!("{name}!"), tags.len()),
        ("you".to_owned(), vec![None, Some(3)]),
    );
    assert_eq!(job.wait(), Ok(("you!".to_owned(), 2)));
    // The same function over several types is several functions.
    fn double<T: std::ops::Add<Output = T> + Copy>(x: T) -> T {
        x + x
    }
    assert_eq!(pool.submit(double::<u8>, (4,)).wait(), Ok(8));
    assert_eq!(pool.submit(double::<f64>, (0.25,)).wait(), Ok(0.5));
}

fn a_panic_carries_message_and_place_and_the_worker_goes_on() {
    let pool = processes(1);
    let before = pool.submit(std::process::id, ()).wait();
    let line = line!() + 1;
    let job = pool.submit(|n: u32| -> u32 { panic!("bad number {n}") }, (13,));
    let panic = panic_of(job.wait());
    assert_eq!(panic.message, "bad number 13");
    assert!(panic.location.unwrap().contains(&format!("processes.rs:{line}:")));
    assert!(panic.task.contains("a_panic_carries"), "{}", panic.task);
    assert_eq!(pool.submit(std::process::id, ()).wait(), before);
}

/// Fails, or panics, where it is told to.
#[derive(Clone, Debug, PartialEq, Default)]
struct Fragile {
    encode: Option<bool>,
    decode: Option<bool>,
}

fn fail<E>(how: Option<bool>, error: impl FnOnce() -> E) -> Result<(), E> {
    match how {
        None => Ok(()),
        Some(false) => Err(error()),
        Some(true) => panic!("fragile"),
    }
}

impl Serialize for Fragile {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        fail(self.encode, || serde::ser::Error::custom("will not be written"))?;
        self.decode.serialize(s)
    }
}

impl<'de> Deserialize<'de> for Fragile {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let decode = Option::<bool>::deserialize(d)?;
        fail(decode, || serde::de::Error::custom("will not be read"))?;
        Ok(Fragile { encode: None, decode })
    }
}

/// The other jobs must not notice.
fn costs_itself_only(bad: impl Fn(&ProcessPool, bool) -> JobError, what: &str) {
    let pool = processes(1);
    let pid = pool.submit(std::process::id, ()).wait().unwrap();
    for by_panic in [false, true] {
        let before = pool.submit(|n: u8| n, (1,));
        let error = bad(&pool, by_panic);
        let after = pool.submit(|n: u8| n, (2,));
        assert!(error.to_string().contains(what), "{error} does not say {what}");
        assert_eq!((before.wait(), after.wait()), (Ok(1), Ok(2)));
    }
    assert_eq!(pool.submit(std::process::id, ()).wait(), Ok(pid), "the worker lives on");
}

fn arguments_that_cannot_be_encoded_cost_their_job_only() {
    let bad = |pool: &ProcessPool, by_panic| {
        let fragile = Fragile { encode: Some(by_panic), decode: None };
        let error = pool.submit(|_: Fragile| (), (fragile,)).wait().unwrap_err();
        assert!(matches!(error, JobError::Encode(_)));
        error
    };
    costs_itself_only(bad, "encoding its arguments failed");
}

fn arguments_that_cannot_be_decoded_cost_their_job_only() {
    let bad = |pool: &ProcessPool, by_panic| {
        let fragile = Fragile { encode: None, decode: Some(by_panic) };
        let error = pool.submit(|_: Fragile| (), (fragile,)).wait().unwrap_err();
        assert!(matches!(error, JobError::Decode(_)));
        error
    };
    costs_itself_only(bad, "decoding its arguments in the worker failed");
}

fn a_result_that_cannot_be_encoded_costs_its_job_only() {
    let bad = |pool: &ProcessPool, by_panic| {
        let make = |by_panic: bool| Fragile { encode: Some(by_panic), decode: None };
        let error = pool.submit(make, (by_panic,)).wait().unwrap_err();
        assert!(matches!(error, JobError::Encode(_)));
        error
    };
    costs_itself_only(bad, "encoding its result in the worker failed");
}

fn a_result_that_cannot_be_decoded_costs_its_job_only() {
    let bad = |pool: &ProcessPool, by_panic| {
        let make = |by_panic: bool| Fragile { encode: None, decode: Some(by_panic) };
        let error = pool.submit(make, (by_panic,)).wait().unwrap_err();
        assert!(matches!(error, JobError::Decode(_)));
        error
    };
    costs_itself_only(bad, "decoding its result failed");
}

fn large_arguments_and_results_pass() {
    let pool = processes(2);
    let reverse = |mut bytes: Vec<u8>| {
        bytes.reverse();
        bytes
    };
    let data: Vec<u8> = (0..5_000_000u32).map(|n| (n % 251) as u8).collect();
    let jobs: Vec<_> = (0..6).map(|_| pool.submit(reverse, (data.clone(),))).collect();
    let expected: Vec<u8> = data.iter().rev().copied().collect();
    for job in jobs {
        assert_eq!(job.wait().unwrap(), expected);
    }
}

fn many_large_results_pass_while_nobody_waits() {
    let pool = processes(1);
    let jobs: Vec<_> = (0..40u32).map(|n| pool.submit(|n: u32| vec![n; 50_000], (n,))).collect();
    eventually("all are done", || jobs.iter().all(|job| job.state() == JobState::Done));
    for (n, job) in jobs.into_iter().enumerate() {
        assert_eq!(job.wait().unwrap(), vec![n as u32; 50_000]);
    }
}

/// What goes by shared memory at any time, with room to spare, or never; to and fro alike.
fn arguments_and_results_of_all_sizes_pass_in_their_order() {
    let pool = processes(2);
    let stretch = |bytes: Vec<u8>, length: usize| -> Vec<u8> {
        bytes.iter().copied().cycle().take(length).collect()
    };
    let edges = [1, 400, 470, 480, 490, 1000, 8000, 32_000, 32_768, 33_000, 100_000];
    let pairs = edges.iter().flat_map(|from| edges.iter().map(move |to| (*from, *to)));
    // Twice over at once: far more than there is room for.
    let pairs: Vec<(usize, usize)> = pairs.clone().chain(pairs.rev()).collect();
    let bytes = |length: usize| (0..length).map(|n| (n % 251) as u8).collect::<Vec<u8>>();
    let jobs: Vec<_> =
        pairs.iter().map(|(from, to)| pool.submit(stretch, (bytes(*from), *to))).collect();
    for ((from, to), job) in pairs.into_iter().zip(jobs) {
        let expected: Vec<u8> = bytes(from).into_iter().cycle().take(to).collect();
        assert!(job.wait() == Ok(expected), "{from} bytes made {to} others");
    }
}

fn small_arguments_find_room_behind_larger_ones_at_a_busy_worker() {
    let pool = processes(1);
    let (started, go_on) = (Flag::new("room-1"), Flag::new("room-2"));
    let busy = pool.submit(raise_then_wait, (started.0.clone(), go_on.0.clone()));
    eventually("the job runs", || started.is_raised());
    // All in the worker's queue, and more than its memory takes of the larger ones.
    let lengths: Vec<usize> = [32_000; 5].into_iter().chain([470; 40]).collect();
    let job = |length: &usize| pool.submit(|bytes: Vec<u8>| bytes.len(), (vec![1; *length],));
    let jobs: Vec<_> = lengths.iter().map(job).collect();
    // By the second time the supervisor has had a look at its workers in between.
    for _ in 0..2 {
        let late = JobOptions::new().deadline(Duration::from_millis(1));
        assert!(matches!(pool.submit_with(late, || (), ()).wait(), Err(JobError::TimedOut(_))));
    }
    go_on.raise();
    assert!(busy.wait().is_ok());
    let seen: Result<Vec<usize>, JobError> = jobs.into_iter().map(|job| job.wait()).collect();
    assert_eq!(seen, Ok(lengths));
}

fn a_queued_job_can_be_cancelled_and_a_running_one_not() {
    let pool = processes(1);
    let (started, go_on) = (Flag::new("cancel-1"), Flag::new("cancel-2"));
    let ran = Flag::new("cancel-ran");
    let running = pool.submit(raise_then_wait, (started.0.clone(), go_on.0.clone()));
    eventually("the job runs", || started.is_raised());
    assert_eq!(running.state(), JobState::Running);
    // The first of these lie in the worker's own queue, the last ones still here.
    let touch = |path: String| std::fs::write(path, "").unwrap();
    let queued: Vec<_> = (0..40).map(|_| pool.submit(touch, (ran.0.clone(),))).collect();
    assert!(queued.iter().all(|job| job.state() == JobState::Pending));
    assert!(!running.cancel());
    assert!(queued.iter().all(|job| job.cancel()));
    assert!(queued.iter().all(|job| job.state() == JobState::Cancelled));
    let next = pool.submit(|| 5u8, ());
    go_on.raise();
    assert_eq!(next.wait(), Ok(5));
    for job in queued {
        assert_eq!(job.wait(), Err(JobError::Cancelled));
    }
    running.wait().unwrap();
    assert!(!ran.is_raised(), "a cancelled job has run");
}

fn jobs_behind_a_long_one_go_to_an_idle_worker() {
    let pool = processes(2);
    let (started, go_on) = (Flag::new("behind-1"), Flag::new("behind-2"));
    let long = pool.submit(raise_then_wait, (started.0.clone(), go_on.0.clone()));
    eventually("the long job runs", || started.is_raised());
    let short: Vec<_> = (0..100u32).map(|n| pool.submit(|n: u32| n, (n,))).collect();
    for (n, job) in short.into_iter().enumerate() {
        assert_eq!(job.wait(), Ok(n as u32));
    }
    assert_eq!(long.state(), JobState::Running);
    go_on.raise();
    long.wait().unwrap();
}

fn jobs_behind_long_ones_are_found_although_others_were_taken_back_before() {
    let pool = processes(6);
    let go_on = Flag::new("found-go-on");
    let started: Vec<_> = (0..6).map(|n| Flag::new(&format!("found-{n}"))).collect();
    let submit = |flag: &Flag| pool.submit(raise_then_wait, (flag.0.clone(), go_on.0.clone()));
    // The first worker is given all of these, and most are taken back for those that come later.
    let mut jobs: Vec<_> = started[..4].iter().map(submit).collect();
    eventually("four run", || started[..4].iter().all(Flag::is_raised));
    jobs.extend(started[4..].iter().map(submit));
    eventually("the others run, too", || started.iter().all(Flag::is_raised));
    go_on.raise();
    jobs.into_iter().for_each(|job| assert!(job.wait().is_ok()));
}

fn an_idle_worker_is_used_before_another_is_started() {
    let pool = processes(8);
    let first = pool.submit(std::process::id, ()).wait().unwrap();
    for _ in 0..20 {
        assert_eq!(pool.submit(std::process::id, ()).wait(), Ok(first));
    }
    assert!(format!("{pool:?}").contains(&format!("pids: [{first}]")), "{pool:?}");
}

fn a_timed_wait_gives_the_job_back() {
    let pool = processes(1);
    let (started, go_on) = (Flag::new("timed-1"), Flag::new("timed-2"));
    let mut job = pool.submit(raise_then_wait, (started.0.clone(), go_on.0.clone()));
    assert_eq!(job.wait_timeout(Duration::ZERO), None);
    assert_eq!(job.wait_timeout(Duration::from_millis(20)), None);
    go_on.raise();
    assert!(matches!(job.wait_timeout(Duration::from_secs(60)), Some(Ok(_))));
}

fn map_keeps_the_order() {
    let pool = processes(2);
    let got: Result<Vec<u64>, _> = pool.map(|n: u64| n + 1, 0..5000).collect();
    assert_eq!(got.unwrap(), (1..=5000).collect::<Vec<_>>());
    let got: Result<Vec<String>, _> =
        pool.map(|n: u32| n.to_string(), 0..50).chunk(7).window(2).collect();
    assert_eq!(got.unwrap(), (0..50).map(|n: u32| n.to_string()).collect::<Vec<_>>());
}

fn map_gives_each_item_its_own_result() {
    let pool = processes(2);
    let third = |n: u32| if n.is_multiple_of(3) { panic!("{n} is a third") } else { n };
    for (n, result) in pool.map(third, 0..20).chunk(4).enumerate() {
        if n % 3 == 0 {
            assert_eq!(panic_of(result).message, format!("{n} is a third"));
        } else {
            assert_eq!(result, Ok(n as u32));
        }
    }
    let items =
        [None, Some(false), Some(true), None].map(|encode| Fragile { encode, decode: None });
    let got: Vec<_> = pool.map(|_: Fragile| 1u8, items).chunk(4).collect();
    assert_eq!((&got[0], &got[3]), (&Ok(1), &Ok(1)));
    assert!(matches!(&got[1..3], [Err(JobError::Encode(_)), Err(JobError::Encode(_))]));
}

fn map_is_lazy_over_an_endless_iterator() {
    let pool = processes(2);
    assert_eq!(pool.map(|n: u64| n * 3, 0..).nth(1000), Some(Ok(3000)));
}

fn jobs_nobody_waits_for_are_done() {
    let pool = processes(1);
    // More than a worker's queue holds, so that somebody must feed it.
    let flags: Vec<Flag> = (0..60).map(|n| Flag::new(&format!("unattended-{n}"))).collect();
    for flag in &flags {
        drop(pool.submit(|path: String| std::fs::write(path, "").unwrap(), (flag.0.clone(),)));
    }
    eventually("all have run", || flags.iter().all(Flag::is_raised));
}

fn dropping_the_pool_waits_for_queued_jobs() {
    let flags: Vec<Flag> = (0..60).map(|n| Flag::new(&format!("dropped-{n}"))).collect();
    let pool = processes(2);
    for flag in &flags {
        drop(pool.submit(|path: String| std::fs::write(path, "").unwrap(), (flag.0.clone(),)));
    }
    drop(pool);
    assert!(flags.iter().all(Flag::is_raised));
}

fn shutdown_can_cancel_what_is_pending() {
    let pool = processes(1);
    let (started, go_on) = (Flag::new("shutdown-1"), Flag::new("shutdown-2"));
    let running = pool.submit(raise_then_wait, (started.0.clone(), go_on.0.clone()));
    eventually("the job runs", || started.is_raised());
    let queued: Vec<_> = (0..40u8).map(|n| pool.submit(|n: u8| n, (n,))).collect();
    pool.shutdown(false, true);
    for job in queued {
        assert_eq!(job.wait(), Err(JobError::Cancelled));
    }
    go_on.raise();
    pool.shutdown(true, true);
    assert!(running.wait().is_ok(), "what runs may end");
}

fn submitting_after_shutdown_is_an_error() {
    let pool = processes(1);
    let before = pool.submit(|| 1u8, ());
    pool.shutdown(false, false);
    assert_eq!(pool.submit(|| 2u8, ()).wait(), Err(JobError::PoolShutdown));
    assert_eq!(before.wait(), Ok(1), "what was queued still runs");
    pool.shutdown(true, false);
    // A pool no job was ever given to ends as well.
    processes(3).shutdown(true, false);
}

fn workers_are_initialised_and_named() {
    static READY: AtomicU32 = AtomicU32::new(0);
    let pool = ProcessPool::builder()
        .workers(1)
        .name("unit")
        .initializer(|| READY.store(42, Ordering::SeqCst))
        .build()
        .unwrap();
    assert_eq!(pool.submit(|| READY.load(Ordering::SeqCst), ()).wait(), Ok(42));
    assert_eq!(READY.load(Ordering::SeqCst), 0, "only workers are initialised");
    let name = pool.submit(|| std::fs::read_to_string("/proc/self/comm").unwrap(), ());
    assert_eq!(name.wait().unwrap().trim(), "unit.1");
}

fn a_failing_initializer_breaks_the_pool_with_its_message() {
    let builder = ProcessPool::builder().workers(2).initializer(|| panic!("no licence here"));
    let pool = builder.build().unwrap();
    let jobs: Vec<_> = (0..5u8).map(|n| pool.submit(|n: u8| n, (n,))).collect();
    for job in jobs {
        let error = job.wait().unwrap_err();
        assert!(matches!(error, JobError::Broken(_)), "{error:?}");
        let text = error.to_string();
        assert!(text.contains("no licence here") && text.contains("processes.rs"), "{text}");
    }
    assert!(matches!(pool.submit(|| 1u8, ()).wait(), Err(JobError::Broken(_))));
}

fn a_pool_inside_a_worker_works() {
    fn nested(levels: u32) -> Result<u32, String> {
        let pool = ProcessPool::new().map_err(|error| error.to_string())?;
        match levels {
            0 => Ok(0),
            _ => pool.submit(nested, (levels - 1,)).wait().unwrap().map(|deep| deep + 1),
        }
    }
    let pool = processes(1);
    assert_eq!(pool.submit(nested, (2,)).wait(), Ok(Ok(2)));
    let error = pool.submit(nested, (9,)).wait().unwrap().unwrap_err();
    assert!(error.contains("inside 4 pools"), "{error}");
}

const WITHOUT_INIT: &str = "POOL_TEST_WITHOUT_INIT";

/// In a child of the next test: builds a pool before `init`.
pub(crate) fn without_init() -> Option<ExitCode> {
    std::env::var_os(WITHOUT_INIT)?;
    println!("{}", ProcessPool::new().unwrap_err());
    Some(ExitCode::SUCCESS)
}

fn without_init_a_pool_is_refused() {
    let exe = std::env::current_exe().unwrap();
    let output = Command::new(exe).env(WITHOUT_INIT, "1").output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("pool::init() has not been called"), "{text}");
}

fn zero_workers_are_refused() {
    let error = ProcessPool::builder().workers(0).build().unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput);
    assert!(ProcessPool::builder().name("a\0b").build().is_err());
}

fn a_worker_reads_nothing_from_standard_input() {
    fn read() -> usize {
        std::io::Read::read(&mut std::io::stdin(), &mut [0; 10]).unwrap()
    }
    let pool = processes(1);
    assert_eq!(pool.submit(read, ()).wait(), Ok(0));
    assert_eq!(pool.submit(|| 1u8, ()).wait(), Ok(1));
}
