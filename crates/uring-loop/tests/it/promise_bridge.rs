//! Promises and other futures, other threads, other executors.

use std::future::pending;
use std::task::Poll;
use std::thread;
use std::time::Duration;

use futures_util::future::FutureExt as _;
use uring_loop::testing::run;
use uring_loop::time::sleep;
use uring_loop::{EventLoop, Promise, PromiseError, hold, spawn, yield_now};

use crate::parts::Flag;
use crate::support::logged;

#[test]
fn what_a_future_gives_is_the_promises() {
    run(async {
        let value: Promise<u32, String> = Promise::from_future(async {
            sleep(Duration::from_secs(1)).await;
            Ok(1)
        });
        assert!(!value.is_done());
        assert_eq!(value.await, Ok(1));
        let error: Promise<u32, String> = Promise::from_future(async { Err("no".into()) });
        assert_eq!(error.await, Err(PromiseError::Failed("no".into())));
    });
}

#[test]
fn cancelling_the_promise_drops_the_future() {
    let (flag, dropped) = Flag::new();
    run(async {
        let promise: Promise<u32> = Promise::from_future(async move {
            let _flag = flag;
            pending().await
        });
        yield_now().await;
        promise.cancel();
        assert!(!dropped.get());
        yield_now().await;
        assert!(dropped.get());
    });
}

#[test]
fn a_future_that_panics_leaves_a_cancelled_promise() {
    run(async {
        let promise: Promise<u32> = Promise::from_future(async { panic!("inside") });
        assert_eq!(promise.await, Err(PromiseError::Cancelled));
    });
}

#[test]
fn a_promise_that_somebody_settles_first_keeps_that_result() {
    run(async {
        let promise: Promise<u32> = Promise::from_future(async {
            sleep(Duration::from_secs(1)).await;
            Ok(1)
        });
        promise.set_result(2).expect("pending");
        sleep(Duration::from_secs(2)).await;
        assert_eq!(promise.await, Ok(2));
    });
}

#[test]
fn an_error_that_comes_too_late_for_a_cancelled_promise_is_not_logged() {
    let ((), log) = logged(|| {
        run(async {
            let promise: Promise<u32, &str> = Promise::from_future(async { Err("late") });
            promise.cancel();
            yield_now().await;
        });
    });
    assert_eq!(log, "");
}

#[test]
fn another_thread_sets_the_result_the_error_the_cancel() {
    run(async {
        let _hold = hold("another thread");
        let (value, error, cancelled): (Promise<u32, String>, Promise<u32, String>, Promise<u32>) =
            Default::default();
        let setters = (value.setter(), error.setter(), cancelled.setter());
        let thread = thread::spawn(move || {
            assert!(setters.0.is_wanted());
            setters.0.set_result(1);
            setters.1.set_error("no".into());
            setters.2.cancel();
        });
        assert_eq!(value.await, Ok(1));
        assert_eq!(error.await, Err(PromiseError::Failed("no".into())));
        assert_eq!(cancelled.await, Err(PromiseError::Cancelled));
        thread.join().expect("no panic");
    });
}

#[test]
fn a_setter_that_is_dropped_cancels() {
    run(async {
        let promise: Promise<u32> = Promise::new();
        drop(promise.setter());
        assert_eq!(promise.await, Err(PromiseError::Cancelled));
    });
}

#[test]
fn a_setter_learns_that_its_result_is_not_wanted() {
    run(async {
        let promise: Promise<u32> = Promise::new();
        let setter = promise.setter();
        yield_now().await;
        assert!(setter.is_wanted());
        promise.cancel();
        yield_now().await;
        assert!(!setter.is_wanted());
        setter.set_result(1);
        yield_now().await;
        assert!(promise.is_cancelled());
    });
}

#[test]
fn a_setter_that_outlives_the_loop_is_harmless() {
    let (promise, setter) = run(async {
        let promise: Promise<u32> = Promise::new();
        let setter = promise.setter();
        (promise, setter)
    });
    assert!(promise.is_cancelled(), "nobody can set it any more");
    assert!(!setter.is_wanted());
    setter.set_result(1);
}

#[test]
fn another_thread_blocks_until_a_promise_is_done() {
    let mut event_loop = EventLoop::new().expect("a ring");
    let promise: Promise<u32, String> = Promise::new();
    let (remote,) =
        event_loop.run_until_complete(async { (promise.remote(),) }).expect("not cancelled");
    let thread = thread::spawn(move || {
        let remote = match remote.wait_timeout(Duration::from_millis(1)) {
            Err(remote) => remote,
            Ok(outcome) => return outcome,
        };
        remote.wait()
    });
    event_loop
        .run_until_complete(async {
            sleep(Duration::from_millis(5)).await;
            promise.set_result(7).expect("pending");
            yield_now().await;
        })
        .expect("not cancelled");
    assert_eq!(thread.join().expect("no panic"), Ok(7));
}

#[test]
fn a_remote_end_gets_errors_and_cancels() {
    run(async {
        let _hold = hold("another thread");
        let promise: Promise<u32, String> = Promise::new();
        let remote = promise.remote();
        promise.set_error("no".into()).expect("pending");
        assert_eq!(remote.await, Err(PromiseError::Failed("no".into())));
        let promise: Promise<u32, String> = Promise::new();
        let remote = promise.remote();
        promise.cancel();
        assert_eq!(remote.await, Err(PromiseError::Cancelled));
    });
}

#[test]
fn a_remote_end_cancels_the_promise() {
    run(async {
        let _hold = hold("another thread");
        let promise: Promise<u32> = Promise::new();
        let mut remote = promise.remote();
        let thread = thread::spawn(move || {
            remote.cancel();
            remote.wait()
        });
        assert_eq!((&promise).await, Err(&PromiseError::Cancelled));
        // The relay answers in a later turn; the thread blocks, the loop does not.
        while !thread.is_finished() {
            yield_now().await;
        }
        assert_eq!(thread.join().expect("no panic"), Err(PromiseError::Cancelled));
    });
}

#[test]
fn a_remote_end_that_is_dropped_leaves_the_promise() {
    run(async {
        let promise: Promise<u32> = Promise::new();
        drop(promise.remote());
        yield_now().await;
        yield_now().await;
        assert!(!promise.is_done());
        promise.set_result(1).expect("pending");
        assert_eq!(promise.await, Ok(1));
    });
}

#[test]
fn a_remote_end_that_outlives_the_loop_is_told() {
    let (remote,) = run(async { (Promise::<u32>::new().remote(),) });
    assert_eq!(remote.wait(), Err(PromiseError::Cancelled));
}

#[test]
#[should_panic(expected = "waiting for a promise would stop the loop")]
fn blocking_on_the_loops_own_thread_is_refused() {
    run(async {
        let promise: Promise<u32> = Promise::new();
        let _ = promise.remote().wait();
    });
}

#[test]
fn a_remote_end_is_a_future_under_any_executor() {
    run(async {
        let promise: Promise<u32> = Promise::new();
        let mut remote = promise.remote();
        assert_eq!(futures_util::poll!(&mut remote), Poll::Pending);
        promise.set_result(3).expect("pending");
        let relayed = spawn(remote);
        assert_eq!(relayed.await.expect("no panic"), Ok(3));
        assert_eq!(promise.now_or_never(), Some(Ok(3)));
    });
}

#[test]
fn what_needs_a_loop_says_so_by_its_own_name() {
    let refused = |what: &str, f: fn()| {
        let panic = std::panic::catch_unwind(f).expect_err("no loop runs");
        let text = panic.downcast_ref::<String>().expect("a sentence");
        assert!(text.starts_with(&format!("{what} needs a running event loop")), "{text}");
    };
    refused("Promise::setter", || drop(Promise::<u8>::new().setter()));
    refused("Promise::remote", || drop(Promise::<u8, ()>::new().remote()));
    refused("Promise::from_future", || {
        drop(Promise::<u8>::from_future(std::future::pending()));
    });
}

/// A sentence, and nothing of what was compared to find out.
#[test]
fn waiting_on_the_loops_own_thread_is_refused_in_a_sentence() {
    run(async {
        let refused = |f: &mut dyn FnMut()| {
            let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(f));
            let panic = caught.expect_err("it would stop the loop");
            panic.downcast_ref::<&str>().map_or_else(
                || panic.downcast_ref::<String>().expect("a sentence").clone(),
                |text| (*text).to_owned(),
            )
        };
        let promise = Promise::<u8, ()>::new();
        let task = uring_loop::Handle::current().spawn(|| async {});
        let mut task = Some(task);
        let (_sender, mut receiver) = uring_loop::channel::mpsc::bounded::<u8>(1);
        for text in [
            refused(&mut || assert!(promise.remote().wait().is_ok())),
            refused(&mut || assert!(task.take().expect("once").wait().is_ok())),
            refused(&mut || assert!(receiver.blocking_recv().is_some())),
        ] {
            assert!(
                text.contains(" would stop the loop that runs on this thread: await"),
                "{text}"
            );
            assert!(!text.contains("left") && !text.contains('\n'), "{text}");
        }
    });
}
