//! Counting requests, taking them back, their reasons, and cancels at odd moments: before the
//! first step, twice, of oneself, of a task that is done, by a third party.

use std::cell::{Cell, RefCell};
use std::future::{Future as _, pending};
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use futures_util::future::select;
use uring_loop::testing::run;
use uring_loop::time::{sleep, timeout};
use uring_loop::{JoinError, Task, catch_cancel, spawn, yield_now};

use crate::parts::{Flag, started};
use crate::support::virtual_loop;

const MS: Duration = Duration::from_millis(1);
const LONG: Duration = Duration::from_secs(3600);

#[test]
fn a_reason_reaches_the_catcher_and_the_joiner() {
    run(async {
        let task = spawn(async {
            let Err(request) = catch_cancel(pending::<()>()).await else { unreachable!() };
            assert_eq!(request.reason(), Some("no more work"));
            assert_eq!(request.to_string(), "cancelled: no more work");
            request.propagate().await
        });
        let task = started(task).await;
        assert!(task.cancel_with("no more work"));
        let text = format!("{task:?}");
        assert!(text.starts_with("<Task cancelling "), "{text}");
        assert!(text.ends_with(" reason=\"no more work\">"), "{text}");
        let error = task.await.expect_err("cancelled");
        assert_eq!(error.reason(), Some("no more work"));
        assert_eq!(error.to_string(), "the task was cancelled: no more work");
        let error = std::io::Error::from(error);
        assert_eq!(error.to_string(), "cancelled: no more work");

        let unstarted = spawn(async {});
        unstarted.cancel_with(7);
        assert_eq!(unstarted.await.expect_err("never ran").reason(), Some("7"));
    });
}

#[test]
fn a_task_of_any_output_is_asked_with_a_reason_and_the_request_taken_back() {
    run(async {
        let task = spawn(pending::<()>());
        let any = task.task_ref();
        yield_now().await;
        assert!(any.cancel_with("a mistake"));
        assert_eq!((any.cancelling(), any.uncancel(), any.uncancel()), (1, 0, 0));
        yield_now().await;
        assert!(!task.is_done(), "the request is void");
        assert!(any.cancel_with("in earnest"));
        assert_eq!(task.await.expect_err("cancelled").reason(), Some("in earnest"));
        assert!(!any.cancel_with("too late"));
    });
}

#[test]
fn the_reason_of_the_last_request_counts_even_if_it_has_none() {
    run(async {
        let task = started(spawn(pending::<()>())).await;
        task.cancel_with("one");
        task.cancel_with("two");
        assert_eq!(task.await.expect_err("cancelled").reason(), Some("two"));
        let task = started(spawn(pending::<()>())).await;
        task.cancel_with("one");
        task.cancel();
        assert_eq!(task.await.expect_err("cancelled").reason(), None);
    });
}

#[test]
fn a_reason_goes_down_to_an_awaited_task_and_out_of_the_loop() {
    let mut event_loop = virtual_loop();
    let seen = Rc::new(RefCell::new(None));
    let see = seen.clone();
    let ended = event_loop.run_until_complete(async move {
        let inner = spawn(async move {
            let Err(request) = catch_cancel(pending::<()>()).await else { unreachable!() };
            *see.borrow_mut() = request.reason().map(str::to_owned);
            request.propagate().await
        });
        let outer = spawn(async { inner.await.map(|_| ()) });
        let outer = started(outer).await;
        outer.cancel_with("shutting down");
        let error = outer.await.expect_err("cancelled");
        assert_eq!(error.reason(), Some("shutting down"));
    });
    ended.expect("the main task was not cancelled");
    assert_eq!(seen.borrow().as_deref(), Some("shutting down"));
}

#[test]
fn a_reason_is_forgotten_with_its_task() {
    run(async {
        for _ in 0..3 {
            let task = started(spawn(async { catch_cancel(pending::<()>()).await.is_err() })).await;
            task.cancel_with("once");
            assert!(task.await.expect("swallowed"));
        }
        // A task that is asked without one has none, whoever was asked before it.
        let task = started(spawn(pending::<()>())).await;
        assert!(!format!("{task:?}").contains("reason"), "{task:?}");
        task.cancel();
        assert_eq!(task.await.expect_err("cancelled").reason(), None);
    });
}

#[test]
fn two_requests_before_delivery_count_two_and_are_one_drop() {
    run(async {
        let task = started(spawn(pending::<()>())).await;
        assert!(task.cancel());
        assert!(task.cancel());
        assert_eq!(task.cancelling(), 2);
        sleep(MS).await;
        assert!(task.is_done());
        assert!(!task.cancel(), "it is done");
        assert_eq!(task.cancelling(), 2);
    });
}

#[test]
fn two_requests_before_delivery_are_one_for_a_catcher() {
    run(async {
        let task = spawn(async {
            assert!(catch_cancel(pending::<()>()).await.is_err());
            // Were the second one kept, this would end at once.
            catch_cancel(sleep(5 * MS)).await.is_err()
        });
        let task = started(task).await;
        task.cancel();
        task.cancel();
        assert!(!task.await.expect("swallowed"));
    });
}

#[test]
fn a_request_taken_back_before_its_delivery_is_void() {
    run(async {
        // Where nothing catches.
        let task = started(spawn(async { sleep(5 * MS).await })).await;
        task.cancel();
        assert_eq!(task.uncancel(), 0);
        assert_eq!(task.cancelling(), 0);
        task.await.expect("not cancelled");

        // Where something does.
        let task = started(spawn(async { catch_cancel(sleep(5 * MS)).await })).await;
        task.cancel();
        task.uncancel();
        assert_eq!(task.await.expect("not cancelled"), Ok(()));

        // Before the first step.
        let ran = Rc::new(Cell::new(false));
        let mark = ran.clone();
        let task = spawn(async move { mark.set(true) });
        task.cancel_with("a mistake");
        task.uncancel();
        task.await.expect("not cancelled");
        assert!(ran.get());
    });
}

#[test]
fn one_of_two_requests_taken_back_leaves_the_other() {
    run(async {
        let task = started(spawn(pending::<()>())).await;
        task.cancel();
        task.cancel();
        assert_eq!(task.uncancel(), 1);
        assert!(task.await.expect_err("one stands").is_cancelled());
    });
}

#[test]
fn taking_back_what_was_delivered_lowers_the_count_only() {
    run(async {
        let task = spawn(async {
            let request = catch_cancel(pending::<()>()).await.expect_err("cancelled");
            sleep(MS).await;
            request.propagate().await
        });
        let task = started(task).await;
        task.cancel();
        yield_now().await;
        yield_now().await;
        assert_eq!(task.uncancel(), 0);
        assert!(task.await.expect_err("it had been taken").is_cancelled());
    });
}

#[test]
fn after_the_end_taking_back_changes_nothing() {
    run(async {
        let task = started(spawn(pending::<()>())).await;
        task.cancel();
        sleep(MS).await;
        assert_eq!(task.uncancel(), 1);
        assert_eq!(task.uncancel(), 1);
        assert_eq!(spawn(async {}).uncancel(), 0);
    });
}

#[test]
fn swallowing_leaves_the_count_and_uncancel_inside_lowers_it() {
    run(async {
        let task = spawn(async {
            let first = catch_cancel(pending::<()>()).await.expect_err("cancelled");
            drop(first); // swallowed, and still counted
            let second = catch_cancel(pending::<()>()).await.expect_err("cancelled");
            assert_eq!(second.uncancel(), 1);
            let limited = timeout(MS, async { catch_cancel(pending::<()>()).await });
            let Ok(Err(third)) = limited.await else { unreachable!() };
            assert_eq!(third.uncancel(), 1, "a timeout's request is not counted");
            pending::<()>().await;
        });
        let task = started(task).await;
        task.cancel();
        sleep(MS).await;
        assert_eq!(task.cancelling(), 1);
        task.cancel();
        sleep(10 * MS).await;
        assert_eq!(task.cancelling(), 1);
        task.cancel();
        assert!(task.await.expect_err("nobody catches").is_cancelled());
    });
}

#[test]
fn a_task_that_cancels_itself_ends_where_it_next_waits() {
    run(async {
        let own = Rc::new(RefCell::new(None::<Task<()>>));
        let handle = own.clone();
        let reached = Rc::new(Cell::new(0));
        let mark = reached.clone();
        let task = spawn(async move {
            assert!(handle.borrow().as_ref().is_some_and(Task::cancel));
            mark.set(1);
            sleep(LONG).await;
            mark.set(2);
        });
        *own.borrow_mut() = Some(task);
        sleep(MS).await;
        let task = own.borrow_mut().take().expect("it is there");
        assert!(task.await.expect_err("cancelled").is_cancelled());
        assert_eq!(reached.get(), 1);

        // If it returns instead, its value counts: ready wins.
        let own = Rc::new(RefCell::new(None::<Task<u32>>));
        let handle = own.clone();
        *own.borrow_mut() = Some(spawn(async move {
            assert!(handle.borrow().as_ref().is_some_and(Task::cancel));
            7
        }));
        sleep(MS).await;
        let task = own.borrow_mut().take().expect("it is there");
        assert_eq!(task.await.expect("ready wins"), 7);
    });
}

#[test]
fn a_task_that_awaits_itself_panics_instead_of_waiting_for_ever() {
    run(async {
        let own = Rc::new(RefCell::new(None::<Task<()>>));
        let handle = own.clone();
        let unwound = Rc::new(Cell::new(false));
        let mark = unwound.clone();
        *own.borrow_mut() = Some(spawn(async move {
            let _guard = Flag(mark);
            let own = handle.borrow_mut().take().expect("it is there");
            let ended = own.await;
            unreachable!("{ended:?}");
        }));
        sleep(MS).await;
        assert!(unwound.get(), "it waits for itself");
    });
}

#[test]
fn a_third_party_that_cancels_the_awaited_task_does_not_cancel_the_awaiter() {
    run(async {
        let inner = started(spawn(pending::<()>())).await;
        let shared = Rc::new(RefCell::new(Some(inner)));
        let taken = shared.clone();
        let outer = spawn(async move {
            let mut inner = taken.borrow_mut().take().expect("it is there");
            let mut tick = pin!(sleep(MS));
            drop(select(&mut inner, tick.as_mut()).await);
            inner.cancel();
            inner.await
        });
        let ended = outer.await.expect("the awaiter goes on");
        assert!(matches!(ended, Err(JoinError::Cancelled(None))));
    });
}

#[test]
fn an_awaiter_asked_in_the_turn_in_which_the_awaited_ends_cancelled_ends_too() {
    run(async {
        let inner = started(spawn(pending::<()>())).await;
        let inner = Rc::new(RefCell::new(Some(inner)));
        let awaited = inner.clone();
        let told = Rc::new(Cell::new(false));
        let tell = told.clone();
        let outer = spawn(async move {
            let mut inner = awaited.borrow_mut().take().expect("it is there");
            let mut polled = false;
            let ended = std::future::poll_fn(|cx| {
                let ended = std::pin::Pin::new(&mut inner).poll(cx);
                if !std::mem::replace(&mut polled, true) {
                    // It ends in this turn, while the awaiter is asked.
                    inner.abort();
                }
                ended
            });
            let ended = ended.await;
            tell.set(true);
            sleep(MS).await;
            ended
        });
        yield_now().await;
        outer.cancel();
        assert!(outer.await.expect_err("asked to end").is_cancelled());
        assert!(!told.get(), "the end of the awaited task is its answer to the request");
    });
}

#[test]
fn a_request_forwarded_to_a_task_that_was_about_to_be_done_is_kept() {
    run(async {
        let told = Rc::new(Cell::new(0));
        let tell = told.clone();
        let outer = spawn(async move {
            // The sleep is over in the turn of the cancel, so nobody answers it.
            let value = spawn(async { spawn(sleep(MS)).await.expect("it wakes") }).await;
            tell.set(tell.get() + u32::from(value.is_ok()));
            sleep(LONG).await;
            tell.set(10);
        });
        yield_now().await;
        yield_now().await;
        yield_now().await;
        let gather =
            spawn(async { uring_loop::gather([spawn(sleep(MS)), spawn(sleep(MS))]).await });
        let gather = spawn(async move {
            gather.await.expect("not cancelled").expect("both wake");
            sleep(LONG).await;
        });
        sleep(MS).await;
        outer.cancel();
        gather.cancel();
        assert!(outer.await.expect_err("at the next park").is_cancelled());
        assert!(gather.await.expect_err("at the next park").is_cancelled());
        assert!(told.get() <= 1);
    });
}
