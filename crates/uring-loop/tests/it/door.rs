//! The door: wakes, calls and tasks from other threads; panics, closed loops, handles that outlive
//! them, and loops that go while threads send.

use std::cell::Cell;
use std::future::{pending, poll_fn};
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};
use std::thread;
use std::time::Duration;

use uring_loop::time::{sleep, timeout};
use uring_loop::{EventLoop, Handle, LoopClosed, RemoteError, spawn, yield_now};

const THREADS: usize = 4;
const ROUNDS: usize = 500;

fn real() -> EventLoop {
    EventLoop::new().expect("a ring")
}

#[test]
fn calls_of_many_threads_all_run_each_threads_in_order() {
    let mut event_loop = real();
    let seen: Arc<Mutex<Vec<Vec<usize>>>> = Arc::new(Mutex::new(vec![Vec::new(); THREADS]));
    let count = Arc::new(AtomicUsize::new(0));
    let threads: Vec<_> = (0..THREADS)
        .map(|index| {
            let (handle, seen, count) = (event_loop.handle(), seen.clone(), count.clone());
            thread::spawn(move || {
                for round in 0..ROUNDS {
                    let (seen, count) = (seen.clone(), count.clone());
                    let call = move || {
                        seen.lock().expect("no panic")[index].push(round);
                        count.fetch_add(1, Ordering::Relaxed);
                    };
                    handle.call_soon(call).expect("it runs");
                    if round % 50 == 0 {
                        thread::sleep(Duration::from_micros(200)); // so that the loop parks
                    }
                }
            })
        })
        .collect();
    event_loop
        .run_until_complete(async {
            while count.load(Ordering::Relaxed) < THREADS * ROUNDS {
                sleep(Duration::from_millis(1)).await;
            }
        })
        .expect("not cancelled");
    threads.into_iter().for_each(|thread| thread.join().expect("no panic"));
    for calls in &*seen.lock().expect("no panic") {
        assert_eq!(*calls, (0..ROUNDS).collect::<Vec<_>>());
    }
    let statistics = event_loop.statistics();
    assert!(statistics.enters <= statistics.turns, "{statistics}");
}

/// No timer stands, so a wake that is lost is a hang.
#[test]
fn wakes_of_many_threads_are_never_lost() {
    let mut event_loop = real();
    let shared: Arc<Mutex<(usize, Option<Waker>)>> = Arc::default();
    let threads: Vec<_> = (0..THREADS)
        .map(|_| {
            let shared = shared.clone();
            thread::spawn(move || {
                for round in 0..ROUNDS {
                    let waker = {
                        let mut shared = shared.lock().expect("no panic");
                        shared.0 += 1;
                        shared.1.clone()
                    };
                    if let Some(waker) = waker {
                        waker.wake();
                    }
                    if round % 20 == 0 {
                        thread::sleep(Duration::from_micros(100));
                    }
                }
            })
        })
        .collect();
    event_loop
        .run_until_complete(poll_fn(|cx| {
            let mut shared = shared.lock().expect("no panic");
            if shared.0 == THREADS * ROUNDS {
                return Poll::Ready(());
            }
            shared.1 = Some(cx.waker().clone());
            Poll::Pending
        }))
        .expect("not cancelled");
    threads.into_iter().for_each(|thread| thread.join().expect("no panic"));
}

#[test]
fn a_ball_is_passed_between_two_loops() {
    fn player(
        own: Arc<Mutex<Option<Handle>>>,
        other: Arc<Mutex<Option<Handle>>>,
        hits: Arc<AtomicUsize>,
    ) {
        let mut event_loop = real();
        *own.lock().expect("no panic") = Some(event_loop.handle());
        event_loop
            .run_until_complete(async {
                let other = loop {
                    if let Some(handle) = other.lock().expect("no panic").clone() {
                        break handle;
                    }
                    sleep(Duration::from_millis(1)).await;
                };
                for _ in 0..200 {
                    let hits = hits.clone();
                    let hit = other.spawn(move || async move {
                        yield_now().await;
                        hits.fetch_add(1, Ordering::Relaxed) + 1
                    });
                    hit.await.expect("the other plays on");
                }
                // The other may still need an answer.
                while hits.load(Ordering::Relaxed) < 400 {
                    sleep(Duration::from_millis(1)).await;
                }
            })
            .expect("not cancelled");
    }
    let (one, other) = (Arc::default(), Arc::default());
    let hits = Arc::new(AtomicUsize::new(0));
    let (mine, theirs, count) = (Arc::clone(&one), Arc::clone(&other), hits.clone());
    let thread = thread::spawn(move || player(mine, theirs, count));
    player(other, one, hits.clone());
    thread.join().expect("no panic");
    assert_eq!(hits.load(Ordering::Relaxed), 400);
}

/// A loop on another thread, until told to end.
fn background() -> (Handle, Arc<AtomicBool>, thread::JoinHandle<()>) {
    let (sender, receiver) = std::sync::mpsc::channel();
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = stop.clone();
    let thread = thread::spawn(move || {
        let mut event_loop = real();
        sender.send(event_loop.handle()).expect("it waits");
        event_loop
            .run_until_complete(async {
                while !stopped.load(Ordering::Relaxed) {
                    sleep(Duration::from_millis(1)).await;
                }
            })
            .expect("not cancelled");
    });
    (receiver.recv().expect("a loop"), stop, thread)
}

#[test]
fn a_remote_task_gives_results_panics_and_cancels_back() {
    let (handle, stop, thread) = background();
    // The future is made there and need not be Send.
    let value = handle.spawn(|| {
        let local = Rc::new(Cell::new(20));
        async move {
            yield_now().await;
            local.set(local.get() + 1);
            local.get() * 2
        }
    });
    assert_eq!(value.wait().expect("a value"), 42);
    let panicked = handle.spawn(|| async { panic!("over there") }).wait();
    match panicked.expect_err("it panicked") {
        RemoteError::Task(error) => assert_eq!(error.to_string(), "the task panicked: over there"),
        RemoteError::Closed => panic!("the loop goes on"),
    }
    let cancelled = handle.spawn(|| async {
        let task = spawn(pending::<()>());
        yield_now().await;
        task.cancel();
        task.await.expect_err("cancelled").is_cancelled()
    });
    assert!(cancelled.wait().expect("a value"));
    // Under any executor: here another loop.
    let answer = uring_loop::run(async { handle.spawn(|| async { 7 }).await.expect("a value") });
    assert_eq!(answer.expect("a ring"), 7);
    stop.store(true, Ordering::Relaxed);
    thread.join().expect("no panic");
}

#[test]
fn a_remote_task_can_be_waited_for_in_vain_dropped_and_limited() {
    let (handle, stop, thread) = background();
    let gate = Arc::new(AtomicBool::new(false));
    let open = gate.clone();
    let slow = handle.spawn(move || async move {
        while !open.load(Ordering::Relaxed) {
            sleep(Duration::from_millis(1)).await;
        }
        "at last"
    });
    let slow = slow.wait_timeout(Duration::from_millis(5)).expect_err("too early");
    let answer = uring_loop::run(async {
        let mut slow = slow;
        assert!(timeout(Duration::from_millis(5), &mut slow).await.is_err());
        gate.store(true, Ordering::Relaxed);
        slow.await.expect("a value")
    });
    assert_eq!(answer.expect("a ring"), "at last");

    // Dropped: it runs on.
    let done = Arc::new(AtomicBool::new(false));
    let mark = done.clone();
    drop(handle.spawn(move || async move {
        sleep(Duration::from_millis(2)).await;
        mark.store(true, Ordering::Relaxed);
    }));
    while !done.load(Ordering::Relaxed) {
        thread::sleep(Duration::from_millis(1));
    }
    stop.store(true, Ordering::Relaxed);
    thread.join().expect("no panic");
}

#[test]
fn a_closed_loop_refuses_calls_and_answers_what_it_had_taken() {
    let mut event_loop = real();
    let handle = event_loop.handle();
    let dropped = Arc::new(AtomicUsize::new(0));
    struct Count(Arc<AtomicUsize>);
    impl Drop for Count {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
    let (in_task, in_call) = (Count(dropped.clone()), Count(dropped.clone()));
    let waiting = handle.spawn(move || async move {
        let _in_task = in_task;
        pending::<()>().await;
    });
    event_loop
        .run_until_complete(async { sleep(Duration::from_millis(5)).await })
        .expect("not cancelled");
    // Sent, and the loop never runs again.
    handle.call_soon(move || drop(in_call)).expect("it is open");
    let unstarted = handle.spawn(|| async { 1 });
    drop(event_loop);
    assert!(waiting.wait().is_err(), "it was dropped with the loop");
    assert!(unstarted.wait().is_err());
    assert_eq!(dropped.load(Ordering::Relaxed), 2, "nothing sent is leaked");
    assert_eq!(handle.call_soon(|| ()).err(), Some(LoopClosed));
    assert!(matches!(handle.spawn(|| async {}).wait(), Err(RemoteError::Closed)));
    assert_eq!(LoopClosed.to_string(), "the event loop is closed");
    let error = std::io::Error::from(RemoteError::Closed);
    assert_eq!(error.kind(), std::io::ErrorKind::NotConnected);
    assert_eq!(error.to_string(), LoopClosed.to_string());
}

#[test]
fn loops_go_while_threads_send() {
    for _ in 0..30 {
        let mut event_loop = real();
        let stop = Arc::new(AtomicBool::new(false));
        let ran = Arc::new(AtomicUsize::new(0));
        let threads: Vec<_> = (0..3)
            .map(|_| {
                let (handle, stop, ran) = (event_loop.handle(), stop.clone(), ran.clone());
                thread::spawn(move || {
                    let mut sent = Vec::new();
                    let mut refused = false;
                    while !stop.load(Ordering::Relaxed) && !refused {
                        let ran = ran.clone();
                        sent.push(handle.spawn(move || async move {
                            ran.fetch_add(1, Ordering::Relaxed);
                        }));
                        refused = handle.call_soon(|| ()).is_err();
                    }
                    // Every one is answered, in one way or the other: no wait hangs.
                    sent.into_iter().map(|task| usize::from(task.wait().is_ok())).sum::<usize>()
                })
            })
            .collect();
        event_loop
            .run_until_complete(async { sleep(Duration::from_millis(1)).await })
            .expect("not cancelled");
        drop(event_loop);
        stop.store(true, Ordering::Relaxed);
        let good: usize = threads.into_iter().map(|thread| thread.join().expect("no panic")).sum();
        assert!(good <= ran.load(Ordering::Relaxed), "an answer without a run");
    }
}

/// For each call that is seen to, a thread sends two more: were all of them seen to in one turn,
/// the timer would never be looked at.
#[test]
fn threads_that_send_without_pause_hold_up_no_timer() {
    fn breed(handle: &Handle) {
        let (sender, seen_to) = std::sync::mpsc::channel();
        sender.send(()).expect("it is received below");
        let handle = handle.clone();
        thread::spawn(move || {
            while seen_to.recv_timeout(Duration::from_secs(5)).is_ok() {
                for _ in 0..2 {
                    let sender = sender.clone();
                    let more = move || sender.send(()).unwrap_or(());
                    if handle.call_soon(more).is_err() {
                        return; // the loop is gone
                    }
                }
            }
        });
    }
    let mut event_loop = real();
    let handle = event_loop.handle();
    let ran = Arc::new(AtomicUsize::new(0));
    for _ in 0..5000 {
        let ran = ran.clone();
        let call = move || {
            ran.fetch_add(1, Ordering::Relaxed);
        };
        handle.call_soon(call).expect("open");
    }
    event_loop.run_until_complete(async {}).expect("not cancelled");
    let first = ran.load(Ordering::Relaxed);
    assert!(first < 5000, "all {first} calls in one turn");
    breed(&handle);
    event_loop
        .run_until_complete(async {
            while ran.load(Ordering::Relaxed) < 5000 {
                sleep(Duration::from_millis(1)).await;
            }
        })
        .expect("not cancelled");
}

#[test]
fn calls_that_a_loop_never_came_to_are_dropped_unrun() {
    let event_loop = real();
    let ran = Arc::new(AtomicUsize::new(0));
    let inner = ran.clone();
    let call = move || {
        inner.fetch_add(1, Ordering::Relaxed);
    };
    event_loop.handle().call_soon(call).expect("open");
    let task = event_loop.handle().spawn(|| async {});
    drop(event_loop);
    assert_eq!((ran.load(Ordering::Relaxed), Arc::strong_count(&ran)), (0, 1));
    assert!(matches!(task.wait(), Err(RemoteError::Closed)));
}

#[test]
fn wakers_outlive_loops_that_reuse_their_door() {
    for _ in 0..50 {
        let kept: Arc<Mutex<Option<Waker>>> = Arc::default();
        let keep = kept.clone();
        let mut event_loop = real();
        event_loop
            .run_until_complete(async move {
                drop(spawn(poll_fn(move |cx| {
                    *keep.lock().expect("no panic") = Some(cx.waker().clone());
                    Poll::<()>::Pending
                })));
                yield_now().await;
                yield_now().await;
            })
            .expect("not cancelled");
        let waker = kept.lock().expect("no panic").take().expect("it was polled");
        let other = waker.clone();
        let thread = thread::spawn(move || other.wake());
        drop(event_loop);
        // This one takes over the door; the late wake costs it nothing but a look.
        let mut next = real();
        let late = thread::spawn(move || waker.wake());
        next.run_until_complete(async { yield_now().await }).expect("not cancelled");
        thread.join().expect("no panic");
        late.join().expect("no panic");
    }
}

#[test]
#[should_panic(expected = "would stop the loop that runs on this thread: await it")]
fn waiting_on_the_loops_own_thread_is_refused() {
    let _ = uring_loop::run(async {
        let _ = Handle::current().spawn(|| async {}).wait();
    });
}

#[test]
fn a_panic_in_a_call_does_not_lose_the_calls_behind_it() {
    let mut event_loop = real();
    let handle = event_loop.handle();
    let ran = Arc::new(AtomicUsize::new(0));
    let first = ran.clone();
    handle.call_soon(|| panic!("in a call")).expect("open");
    let count = move || {
        first.fetch_add(1, Ordering::Relaxed);
    };
    handle.call_soon(count).expect("open");
    event_loop
        .run_until_complete(async { sleep(Duration::from_millis(2)).await })
        .expect("the loop goes on");
    assert_eq!(ran.load(Ordering::Relaxed), 1);
}
