//! Calls on helper threads.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use uring_loop::{EventLoop, ReportKind, Runner, run, spawn, unblock};

use crate::support::{in_child, poll_once, reporting};

/// Panics when it is dropped.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("a result that does not want to go");
    }
}

#[test]
fn results_that_panic_in_drop_cost_no_helper_thread() {
    in_child("unblock::results_that_panic_in_drop_cost_no_helper_thread", || {
        run(async {
            // More of them than there may be helper threads.
            for _ in 0..70 {
                let (go, may_go) = mpsc::channel::<()>();
                let mut call = Box::pin(unblock(move || {
                    may_go.recv().expect("told to");
                    Bomb
                }));
                assert!(poll_once(&mut call).await.is_pending());
                drop(call);
                go.send(()).expect("it waits");
            }
            assert_eq!(unblock(|| 7).await.expect("a helper is left"), 7);
        })
        .expect("a ring");
    });
}

/// Begins a call that waits for a word, and leaves it.
async fn begin_and_leave(may_go: mpsc::Receiver<()>, ended: Arc<AtomicBool>) {
    let (begun, has_begun) = mpsc::channel();
    let call = move || {
        begun.send(()).expect("somebody waits");
        may_go.recv().expect("somebody says so");
        ended.store(true, Ordering::Relaxed);
    };
    let mut call = Box::pin(unblock(call));
    assert!(poll_once(&mut call).await.is_pending());
    has_begun.recv().expect("it begins");
}

/// asyncio: `run` shuts the default executor down, which waits for its threads.
#[test]
fn the_end_of_a_run_waits_for_calls_that_have_begun() {
    let (go, may_go) = mpsc::channel();
    let ended = Arc::new(AtomicBool::new(false));
    let releases = thread::spawn(move || {
        thread::sleep(Duration::from_millis(20));
        go.send(()).expect("it waits");
    });
    run(begin_and_leave(may_go, ended.clone())).expect("a ring");
    assert!(ended.load(Ordering::Relaxed));
    releases.join().expect("no panic");
}

#[test]
fn what_a_call_starts_on_the_loop_at_the_end_is_waited_for_too() {
    let mut runner = Runner::new().expect("a ring");
    let handle = runner.event_loop().handle();
    let (sender, receiver) = mpsc::channel();
    let main = async move {
        let call = move || {
            thread::sleep(Duration::from_millis(20));
            sender.send(handle.spawn(|| async { 7 }).wait()).expect("somebody listens");
        };
        assert!(poll_once(&mut Box::pin(unblock(call))).await.is_pending());
    };
    runner.run(main).expect("not stopped");
    drop(runner);
    let answer = receiver.recv().expect("the call has ended");
    // The loop went on; whether the task came to its end or was asked to before is not said.
    assert!(answer.map_or_else(|error| error.to_string().contains("cancelled"), |n| n == 7));
}

#[test]
fn a_call_that_does_not_end_is_waited_for_as_long_as_patience_lasts_and_reported() {
    let builder = EventLoop::builder().shutdown_patience(Duration::from_millis(30));
    let (event_loop, reports) = reporting(builder.build().expect("a ring"));
    let (go, may_go) = mpsc::channel();
    let ended = Arc::new(AtomicBool::new(false));
    let mut runner = Runner::with(event_loop);
    runner.run(begin_and_leave(may_go, ended.clone())).expect("not stopped");
    drop(runner);
    assert!(!ended.load(Ordering::Relaxed));
    go.send(()).expect("it goes on");
    let reports = reports.borrow();
    assert_eq!(reports.len(), 1, "{reports:?}");
    assert_eq!(reports[0].0, ReportKind::Shutdown);
    assert!(reports[0].1.starts_with("1 of the calls on helper threads"), "{reports:?}");
}

/// asyncio: "Executor results arriving after close are dropped silently".
#[test]
fn a_result_that_comes_when_the_loop_is_gone_is_dropped() {
    let (event_loop, reports) = reporting(EventLoop::new().expect("a ring"));
    let mut event_loop = event_loop;
    let (go, may_go) = mpsc::channel::<()>();
    let held = Arc::new(());
    let result = held.clone();
    let main = async {
        let task = spawn(unblock(move || {
            may_go.recv().expect("somebody says so");
            result
        }));
        uring_loop::yield_now().await;
        drop(task);
    };
    event_loop.run_until_complete(main).expect("not stopped");
    drop(event_loop); // by itself it does not wait
    assert_eq!(Arc::strong_count(&held), 2);
    go.send(()).expect("it waits");
    let begun = Instant::now();
    while Arc::strong_count(&held) > 1 {
        assert!(begun.elapsed() < Duration::from_secs(20), "the result is kept");
        thread::sleep(Duration::from_millis(1));
    }
    assert!(reports.borrow().is_empty(), "{reports:?}");
}
