//! Time limits: when they end what, who hears of it, races with completion and with cancels from
//! outside, and limits that are moved. The situations are those of asyncio's test_timeouts and
//! test_waitfor, where Rust has them.

use std::cell::{Cell, RefCell};
use std::future::{Future, pending, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use futures_util::future::join;
use uring_loop::testing::run;
use uring_loop::time::{Elapsed, now, sleep, sleep_until, timeout, timeout_at, timeout_scope};
use uring_loop::{Task, catch_cancel, spawn, yield_now};

use crate::parts::{Count, cleaning_up};

const MS: Duration = Duration::from_millis(1);
const LONG: Duration = Duration::from_secs(3600);

/// Becomes ready at its second poll.
fn ready_at_the_second_poll<T: Copy>(value: T) -> impl Future<Output = T> {
    let mut polls = 0;
    poll_fn(move |_| {
        polls += 1;
        if polls == 2 { Poll::Ready(value) } else { Poll::Pending }
    })
}

#[test]
fn what_is_ready_in_time_gives_its_value() {
    run(async {
        let start = now();
        assert_eq!(timeout(10 * MS, async { 1 }).await, Ok(1));
        assert_eq!(timeout(10 * MS, async { sleep(5 * MS).await }).await, Ok(()));
        assert_eq!(timeout_at(now() + LONG, async { sleep(5 * MS).await }).await, Ok(()));
        assert_eq!(now() - start, 10 * MS, "the limits left no timers behind");
    });
}

#[test]
fn what_takes_longer_is_ended_at_the_deadline() {
    run(async {
        let start = now();
        assert_eq!(timeout(10 * MS, sleep(LONG)).await, Err(Elapsed));
        assert_eq!(now() - start, 10 * MS);
        assert_eq!(timeout_at(start + 15 * MS, sleep(LONG)).await, Err(Elapsed));
        assert_eq!(now() - start, 15 * MS);
        // It ends once: what comes after it is not limited.
        sleep(50 * MS).await;
        assert_eq!(now() - start, 65 * MS);
    });
}

#[test]
fn a_limit_of_nothing_is_none() {
    run(async {
        let start = now();
        let ended = timeout_scope(None, async |scope| {
            assert_eq!(scope.when(), None);
            sleep(1000 * LONG).await;
            scope.expired()
        });
        assert_eq!(ended.await, Ok(false));
        assert_eq!(now() - start, 1000 * LONG);
        assert_eq!(timeout(Duration::MAX, async { sleep(LONG).await }).await, Ok(()));
    });
}

#[test]
fn a_limit_of_zero_ends_at_the_first_wait_even_a_bare_yield() {
    run(async {
        let start = now();
        let reached = Cell::new(0);
        let body = async {
            reached.set(1);
            yield_now().await;
            reached.set(2);
        };
        assert_eq!(timeout(Duration::ZERO, body).await, Err(Elapsed));
        assert_eq!(reached.get(), 1);
        assert_eq!(timeout_at(start, yield_now()).await, Err(Elapsed));
        assert_eq!(timeout_at(start - LONG, yield_now()).await, Err(Elapsed));
        let ended = timeout_scope(Duration::ZERO, async |_| yield_now().await);
        assert_eq!(ended.await, Err(Elapsed));
        assert_eq!(timeout(Duration::ZERO, async { 3 }).await, Ok(3), "ready wins");
        assert_eq!(now(), start);
    });
}

#[test]
fn a_limit_of_zero_asks_what_catches_inside() {
    run(async {
        let cleaned = Count::default();
        let start = now();
        let ended = timeout(Duration::ZERO, cleaning_up(5 * MS, &cleaned)).await;
        assert_eq!((ended, cleaned.get()), (Err(Elapsed), 1));
        assert_eq!(now() - start, 5 * MS);
    });
}

#[test]
fn completed_and_timed_out_in_the_same_turn_is_completed() {
    run(async {
        let deadline = now() + 5 * MS;
        assert_eq!(timeout_at(deadline, sleep_until(deadline)).await, Ok(()));
        assert_eq!(timeout(5 * MS, ready_at_the_second_poll(7)).await, Ok(7));
    });
}

#[test]
fn a_cancel_in_the_turn_of_completion_is_kept_for_the_next_wait() {
    run(async {
        let value = Rc::new(Cell::new(0));
        let seen = value.clone();
        let task = spawn(async move {
            seen.set(timeout(LONG, ready_at_the_second_poll(7)).await.expect("in time"));
            pending::<()>().await;
        });
        yield_now().await;
        yield_now().await;
        task.cancel();
        assert!(task.await.expect_err("it was kept").is_cancelled());
        assert_eq!(value.get(), 7);
    });
}

#[test]
fn a_cancel_in_the_turn_of_the_deadline_is_not_turned_into_elapsed() {
    run(async {
        for catching in [false, true] {
            let told = Rc::new(RefCell::new(Vec::new()));
            let tell = told.clone();
            let task = spawn(async move {
                let limited = timeout(5 * MS, sleep(LONG));
                if catching {
                    let ended = catch_cancel(limited).await;
                    tell.borrow_mut().push(format!("{ended:?}"));
                } else {
                    let ended = limited.await;
                    tell.borrow_mut().push(format!("{ended:?}"));
                }
            });
            // Armed before the limit, so it is woken before it.
            let canceller = async {
                sleep(5 * MS).await;
                task.cancel();
            };
            canceller.await;
            let ended = task.await;
            match catching {
                true => assert!(told.borrow()[0].starts_with("Err(Cancelled"), "{told:?}"),
                false => assert!(ended.is_err() && told.borrow().is_empty(), "{told:?}"),
            }
        }
    });
}

#[test]
fn of_nested_limits_that_end_together_the_outer_one_counts() {
    run(async {
        let deadline = now() + 5 * MS;
        let inner = Cell::new(None);
        let outer = timeout_at(deadline, async {
            inner.set(Some(timeout_at(deadline, sleep(LONG)).await));
        });
        assert_eq!(outer.await, Err(Elapsed));
        assert_eq!(inner.take(), None, "the inner one passes the request on");

        // With a clean-up in between: each of the requests is the outer one's.
        let deadline = now() + 5 * MS;
        let cleaned = Count::default();
        let outer = timeout_at(deadline, async {
            inner.set(Some(timeout_at(deadline, cleaning_up(3 * MS, &cleaned)).await));
        });
        assert_eq!(outer.await, Err(Elapsed));
        assert_eq!((inner.take(), cleaned.get()), (None, 1));
        assert_eq!(now(), deadline + 3 * MS);
    });
}

#[test]
fn nested_limits_end_at_their_own_level() {
    run(async {
        let start = now();
        let outer = timeout(20 * MS, async {
            assert_eq!(timeout(5 * MS, sleep(LONG)).await, Err(Elapsed));
            assert_eq!(now() - start, 5 * MS);
            sleep(LONG).await;
        });
        assert_eq!(outer.await, Err(Elapsed));
        assert_eq!(now() - start, 20 * MS);
    });
}

#[test]
fn limits_side_by_side_do_not_disturb_each_other() {
    run(async {
        let one = timeout(5 * MS, sleep(LONG));
        let other = timeout(10 * MS, async {
            sleep(7 * MS).await;
            "whole"
        });
        assert_eq!(join(one, other).await, (Err(Elapsed), Ok("whole")));
    });
}

#[test]
fn a_limit_inside_of_a_clean_up_works() {
    run(async {
        let start = now();
        let outer = timeout(5 * MS, async {
            let Err(request) = catch_cancel(sleep(LONG)).await else { unreachable!() };
            assert_eq!(timeout(3 * MS, sleep(LONG)).await, Err(Elapsed));
            request.propagate().await;
        });
        assert_eq!(outer.await, Err(Elapsed));
        assert_eq!(now() - start, 8 * MS);
    });
}

#[test]
fn a_limit_works_after_a_cancel_was_swallowed_and_while_it_is_handled() {
    run(async {
        let task = spawn(async {
            let request = catch_cancel(pending::<()>()).await.expect_err("cancelled");
            // The count of requests is above zero all along.
            let ended = timeout(5 * MS, sleep(LONG)).await;
            drop(request);
            (ended, timeout(5 * MS, sleep(LONG)).await)
        });
        sleep(MS).await;
        task.cancel();
        assert_eq!(task.await.expect("swallowed"), (Err(Elapsed), Err(Elapsed)));
    });
}

#[test]
fn a_cancel_within_a_limit_after_a_swallowed_cancel_is_a_cancel() {
    run(async {
        let task = spawn(async {
            drop(catch_cancel(pending::<()>()).await);
            timeout(LONG, pending::<()>()).await
        });
        sleep(MS).await;
        task.cancel();
        sleep(MS).await;
        task.cancel();
        assert!(task.await.expect_err("cancelled").is_cancelled());
        // Two cancels were asked for, and the limit took none of them away.
    });
}

#[test]
fn a_foreign_cancel_before_the_deadline_passes_through() {
    run(async {
        let start = now();
        let task = spawn(async { timeout(LONG, sleep(2 * LONG)).await });
        sleep(MS).await;
        task.cancel();
        assert!(task.await.expect_err("not elapsed").is_cancelled());
        assert_eq!(now() - start, MS);
    });
}

#[test]
fn an_error_of_the_future_passes_also_when_the_time_is_over() {
    run(async {
        assert_eq!(timeout(LONG, async { Err::<(), _>("in time") }).await, Ok(Err("in time")));
        let late = timeout(5 * MS, async {
            assert!(catch_cancel(sleep(LONG)).await.is_err());
            Err::<(), _>("while it cleaned up")
        });
        assert_eq!(late.await, Ok(Err("while it cleaned up")));
    });
}

#[test]
fn a_limited_task_is_cancelled_and_its_end_awaited() {
    run(async {
        let start = now();
        let cleaned = Count::default();
        let count = cleaned.clone();
        let task = spawn(async move { cleaning_up(7 * MS, &count).await });
        assert!(timeout(5 * MS, task).await.is_err());
        assert_eq!((cleaned.get(), now() - start), (1, 12 * MS));

        // What it answers instead counts: a value, an error.
        let swallows = spawn(async {
            let _ = catch_cancel(pending::<()>()).await;
            sleep(MS).await;
            7
        });
        assert_eq!(timeout(MS, swallows).await.expect("its value").expect("its value"), 7);
        let panics = spawn(async {
            let _ = catch_cancel(pending::<()>()).await;
            panic!("in the clean-up");
        });
        let ended: Result<(), _> = timeout(MS, panics).await.expect("its error");
        assert!(ended.expect_err("a panic").is_panic());
    });
}

#[test]
fn a_task_that_is_done_gives_its_value_at_a_limit_of_zero_and_one_that_has_not_begun_never_does() {
    run(async {
        let done = spawn(async { 5 });
        sleep(MS).await;
        assert_eq!(timeout(Duration::ZERO, done).await.expect("done").expect("done"), 5);

        let began = Rc::new(Cell::new(false));
        let mark = began.clone();
        let task = spawn(async move { mark.set(true) });
        assert!(timeout(Duration::ZERO, task).await.is_err());
        assert!(!began.get());
    });
}

#[test]
fn a_limited_task_that_is_cancelled_by_another_is_not_elapsed() {
    run(async {
        let task = spawn(pending::<()>());
        let shared = Rc::new(task);
        let other = shared.clone();
        let canceller = spawn(async move {
            sleep(MS).await;
            other.cancel();
        });
        canceller.await.expect("no panic");
        let task = Rc::into_inner(shared).expect("the canceller is gone");
        let ended = timeout(LONG, task).await.expect("in time");
        assert!(ended.expect_err("cancelled").is_cancelled());
    });
}

#[test]
fn a_limited_task_cancelled_from_outside_forwards_and_waits() {
    run(async {
        let cleaned = Count::default();
        let count = cleaned.clone();
        let outer = spawn(async move {
            let inner = spawn(async move { cleaning_up(7 * MS, &count).await });
            timeout(LONG, inner).await.map(|ended| ended.map_err(|error| error.to_string()))
        });
        sleep(MS).await;
        outer.cancel();
        assert!(outer.await.expect_err("not elapsed").is_cancelled());
        assert_eq!(cleaned.get(), 1);
    });
}

#[test]
fn a_limit_that_expires_while_a_cancel_is_cleaned_up_does_not_turn_it_into_elapsed() {
    run(async {
        let task = spawn(async {
            timeout(5 * MS, async {
                let Err(request) = catch_cancel(pending::<()>()).await else { unreachable!() };
                // The clean-up catches as well, so the limit finds somebody to ask.
                if let Err(limit) = catch_cancel(sleep(10 * MS)).await {
                    drop(limit);
                }
                request.propagate().await;
            })
            .await
        });
        sleep(MS).await;
        task.cancel();
        assert!(task.await.expect_err("the task's request stands").is_cancelled());
    });
}

#[test]
fn a_limit_that_cuts_a_clean_up_short_hands_the_cancel_on() {
    run(async {
        let (told, start) = (Rc::new(Cell::new(None)), now());
        let tell = told.clone();
        let task = spawn(async move {
            let limited = timeout(5 * MS, async {
                let request = catch_cancel(pending::<()>()).await.expect_err("cancelled");
                sleep(LONG).await; // cleans up for too long
                request.propagate().await;
            });
            tell.set(Some(limited.await));
        });
        sleep(MS).await;
        task.cancel_with("a reason");
        let error = task.await.expect_err("cancelled, not elapsed");
        assert_eq!((error.reason(), told.take()), (Some("a reason"), None));
        assert_eq!(now() - start, 5 * MS);
    });
}

#[test]
fn a_limit_that_cuts_short_the_clean_up_of_an_awaited_task_hands_the_cancel_on() {
    run(async {
        let told = Rc::new(Cell::new(0));
        let tell = told.clone();
        let task = spawn(async move {
            let inner = spawn(async {
                let request = catch_cancel(pending::<()>()).await.expect_err("cancelled");
                sleep(LONG).await;
                request.propagate().await;
            });
            let _ = timeout(5 * MS, inner).await;
            tell.set(1);
            sleep(LONG).await;
        });
        sleep(MS).await;
        task.cancel();
        assert!(task.await.expect_err("cancelled, not elapsed").is_cancelled());
        assert_eq!(told.get(), 0);
    });
}

#[test]
fn a_limit_that_cuts_short_a_group_or_a_join_hands_the_cancel_on() {
    run(async {
        let told = Rc::new(Cell::new(0));
        let tell = told.clone();
        let cleaning_up = async || {
            let request = catch_cancel(pending::<()>()).await.expect_err("cancelled");
            sleep(LONG).await;
            request.propagate().await;
        };
        let task = spawn(async move {
            let group = uring_loop::TaskGroup::<()>::scope(async |group| {
                group.spawn_value(async move { cleaning_up().await });
                Ok(())
            });
            let swallows = async {
                let _ = catch_cancel(pending::<()>()).await;
                sleep(LONG).await;
            };
            let both = uring_loop::join((swallows, pending::<()>(), group));
            let _ = timeout(5 * MS, async { both.await.2 }).await;
            tell.set(1);
            sleep(LONG).await;
        });
        sleep(MS).await;
        let start = now();
        task.cancel();
        assert!(task.await.expect_err("cancelled, not elapsed").is_cancelled());
        assert_eq!((told.get(), now() - start), (0, 4 * MS));
    });
}

#[test]
fn a_limit_that_expires_after_a_cancel_was_swallowed_is_elapsed() {
    run(async {
        let task = spawn(async {
            timeout(5 * MS, async {
                drop(catch_cancel(pending::<()>()).await);
                sleep(LONG).await;
            })
            .await
        });
        sleep(MS).await;
        task.cancel();
        assert_eq!(task.await.expect("swallowed"), Err(Elapsed));
    });
}

#[test]
fn a_cancelled_result_of_another_task_that_is_held_cancels_nobody() {
    run(async {
        let other = spawn(pending::<()>());
        yield_now().await;
        other.cancel();
        let error = std::io::Error::from(other.await.expect_err("cancelled"));
        let task = spawn(async move {
            timeout(5 * MS, async move {
                let _error = error;
                sleep(LONG).await;
            })
            .await
        });
        assert_eq!(task.await.expect("not cancelled"), Err(Elapsed));
    });
}

#[test]
fn a_limit_can_be_moved_away_and_nearer_and_back() {
    run(async {
        let start = now();
        let ended = timeout_scope(10 * MS, async |scope| {
            assert_eq!(scope.when(), Some(start + 10 * MS));
            sleep(8 * MS).await;
            scope.reschedule(Some(start + 20 * MS)).expect("in time");
            sleep(8 * MS).await;
            scope.reschedule(None).expect("in time");
            assert_eq!(scope.when(), None);
            sleep(8 * MS).await;
            scope.reschedule(Some(now() + MS)).expect("in time");
            assert!(!scope.expired());
            sleep(LONG).await;
        });
        assert_eq!(ended.await, Err(Elapsed));
        assert_eq!(now() - start, 25 * MS);
    });
}

#[test]
fn a_limit_moved_into_the_past_ends_at_the_next_wait() {
    run(async {
        let start = now();
        let reached = Cell::new(0);
        let ended = timeout_scope(LONG, async |scope| {
            sleep(MS).await;
            scope.reschedule(Some(start)).expect("in time");
            reached.set(1);
            yield_now().await;
            reached.set(2);
        });
        assert_eq!(ended.await, Err(Elapsed));
        assert_eq!((reached.get(), now() - start), (1, MS));
        let ready = timeout_scope(LONG, async |scope| scope.reschedule(Some(start)));
        assert_eq!(ready.await, Ok(Ok(())), "ready wins");
    });
}

#[test]
fn a_limit_that_is_over_cannot_be_moved() {
    run(async {
        let start = now();
        let ended = timeout_scope(5 * MS, async |scope| {
            assert!(!scope.expired());
            assert_eq!(format!("{scope:?}"), "TimeoutScope(active)");
            let _ = catch_cancel(sleep(LONG)).await;
            assert!(scope.expired());
            assert_eq!(format!("{scope:?}"), "TimeoutScope(expiring)");
            sleep(20 * MS).await; // swallowed: it is not asked again
            scope.reschedule(Some(now() + LONG))
        });
        assert_eq!(ended.await, Ok(Err(Elapsed)));
        assert_eq!(now() - start, 25 * MS);
    });
}

#[test]
fn a_limit_can_be_moved_from_a_branch_of_its_body() {
    run(async {
        let start = now();
        let ended = timeout_scope(5 * MS, async |scope| {
            let mover = async {
                for _ in 0..5 {
                    sleep(3 * MS).await;
                    scope.reschedule(Some(now() + 5 * MS)).expect("in time");
                }
            };
            join(mover, sleep(LONG)).await;
        });
        assert_eq!(ended.await, Err(Elapsed));
        assert_eq!(now() - start, 20 * MS);
    });
}

#[test]
fn a_foreign_cancel_passes_through_a_scope_with_a_handle() {
    run(async {
        let task = spawn(timeout_scope(None, async |scope| {
            assert!(catch_cancel(pending::<()>()).await.is_err());
            scope.expired()
        }));
        sleep(MS).await;
        task.cancel();
        assert_eq!(task.await.expect("swallowed"), Ok(false));
    });
}

#[test]
fn dropping_and_forgetting_limits_leaves_no_timer() {
    run(async {
        let mut limited: Pin<Box<dyn Future<Output = _>>> = Box::pin(timeout(MS, sleep(LONG)));
        assert!(futures_util::poll!(&mut limited).is_pending());
        drop(limited);
        let mut scoped: Pin<Box<dyn Future<Output = _>>> =
            Box::pin(timeout_scope(MS, async |_| sleep(LONG).await));
        assert!(futures_util::poll!(&mut scoped).is_pending());
        super::support::forget(scoped);
        sleep(5 * MS).await;
    });
}

#[test]
fn many_tasks_whose_limits_end_together_all_end() {
    run(async {
        let start = now();
        let tasks: Vec<Task<_>> =
            (0..1000).map(|_| spawn(timeout_at(start + 5 * MS, sleep(LONG)))).collect();
        for task in tasks {
            assert_eq!(task.await.expect("not cancelled"), Err(Elapsed));
        }
        assert_eq!(now() - start, 5 * MS);
    });
}
