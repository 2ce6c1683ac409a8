//! Cancel requests on their way: catchers nested and side by side under foreign combinators,
//! timeouts as origins, awaited tasks, scopes that move, vanish or are kept unpolled.

use std::cell::{Cell, RefCell};
use std::future::{Future, pending, poll_fn};
use std::panic::AssertUnwindSafe;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use futures_util::future::{Either, FutureExt as _, join, select};
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use uring_loop::testing::run;
use uring_loop::time::{Elapsed, now, sleep, timeout};
use uring_loop::{Cancelled, JoinError, Task, catch_cancel, spawn, yield_now};

use crate::parts::{Flag, started};

const MS: Duration = Duration::from_millis(1);
const LONG: Duration = Duration::from_secs(3600);

type Catch = Pin<Box<dyn Future<Output = Result<(), Cancelled>>>>;

fn caught() -> Catch {
    Box::pin(catch_cancel(pending::<()>()))
}

async fn cancelled<T>(task: Task<T>) -> Result<T, JoinError> {
    let task = started(task).await;
    assert!(task.cancel());
    task.await
}

#[test]
fn the_innermost_catcher_takes_the_request_and_may_go_on() {
    run(async {
        let outer = catch_cancel(async {
            let inner = catch_cancel(pending::<()>()).await;
            assert!(inner.is_err());
            sleep(MS).await;
            "went on"
        });
        let outcome = cancelled(spawn(outer)).await.expect("swallowed");
        assert_eq!(outcome.expect("not outward"), "went on");
    });
}

#[test]
fn a_request_handed_outward_reaches_each_catcher_in_turn_and_then_the_task() {
    run(async {
        let seen = Rc::new(RefCell::new(Vec::new()));
        let log = seen.clone();
        let task = spawn(async move {
            let middle = catch_cancel(async {
                let Err(inner) = catch_cancel(pending::<()>()).await else { unreachable!() };
                log.borrow_mut().push("inner");
                sleep(MS).await; // cleaning up may wait
                inner.propagate().await
            });
            let Err(outer) = middle.await;
            log.borrow_mut().push("outer");
            outer.propagate().await
        });
        assert!(cancelled(task).await.expect_err("no value").is_cancelled());
        assert_eq!(*seen.borrow(), ["inner", "outer"]);
    });
}

#[test]
fn catchers_side_by_side_are_all_asked() {
    run(async {
        let both = spawn(async { join(caught(), caught()).await });
        let (one, other) = cancelled(both).await.expect("both swallowed");
        assert!(one.is_err() && other.is_err());

        let macros = spawn(async { futures_util::join!(caught(), caught(), async { 5 }) });
        let (one, other, five) = cancelled(macros).await.expect("swallowed");
        assert!(one.is_err() && other.is_err() && five == 5);

        let many = spawn(async {
            let mut all: FuturesUnordered<Catch> = (0..100).map(|_| caught()).collect();
            let mut asked = 0;
            while let Some(result) = all.next().await {
                asked += usize::from(result.is_err());
            }
            asked
        });
        assert_eq!(cancelled(many).await.expect("swallowed"), 100);
    });
}

#[test]
fn a_branch_without_a_catcher_goes_on_under_a_foreign_join() {
    run(async {
        let task = spawn(async { join(caught(), sleep(5 * MS)).await });
        let start = now();
        let (taken, ()) = cancelled(task).await.expect("swallowed");
        assert!(taken.is_err());
        assert_eq!(now() - start, 5 * MS);
    });
}

#[test]
fn a_request_whose_catcher_loses_a_select_waits_for_the_next_park() {
    run(async {
        let task = spawn(async {
            // The other branch is polled first and wins in the very poll that brings the request.
            let mut polls = 0;
            let wins = poll_fn(move |_| {
                polls += 1;
                if polls > 1 { Poll::Ready(()) } else { Poll::Pending }
            });
            match select(wins, caught()).await {
                Either::Left(((), loser)) => drop(loser),
                Either::Right(_) => panic!("the catcher was polled first"),
            }
            catch_cancel(sleep(LONG)).await.is_err()
        });
        assert!(cancelled(task).await.expect("swallowed"), "the request is lost");

        let task = spawn(async {
            let mut polls = 0;
            let wins = poll_fn(move |_| {
                polls += 1;
                if polls > 1 { Poll::Ready(()) } else { Poll::Pending }
            });
            drop(select(wins, caught()).await);
            sleep(LONG).await;
        });
        assert!(cancelled(task).await.expect_err("no catcher is left").is_cancelled());
    });
}

#[test]
fn a_request_that_comes_back_reaches_the_catcher_above() {
    run(async {
        let task = spawn(async {
            let mut polls = 0;
            let wins = poll_fn(move |_| {
                polls += 1;
                if polls > 1 { Poll::Ready(()) } else { Poll::Pending }
            });
            let outer = catch_cancel(async {
                drop(select(wins, caught()).await);
                sleep(LONG).await;
            });
            outer.await.is_err()
        });
        assert!(cancelled(task).await.expect("swallowed"));
    });
}

#[test]
fn ready_wins_and_the_request_waits() {
    run(async {
        let (gate, opened) = (Rc::new(Cell::new(false)), Rc::new(Cell::new(0)));
        let (look, count) = (gate.clone(), opened.clone());
        let task = spawn(async move {
            let value = catch_cancel(poll_fn(move |_| match look.get() {
                true => Poll::Ready(7),
                false => Poll::Pending,
            }));
            let value = value.await.expect("ready wins");
            count.set(value);
            sleep(LONG).await;
        });
        let task = started(task).await;
        gate.set(true);
        task.cancel();
        assert!(task.await.expect_err("at the next park").is_cancelled());
        assert_eq!(opened.get(), 7);
    });
}

#[test]
fn a_catcher_that_is_kept_but_not_polled_does_not_swallow_the_request() {
    run(async {
        let task = spawn(async {
            let mut kept = pin!(catch_cancel(pending::<()>()));
            drop(select(kept.as_mut(), Box::pin(sleep(MS))).await);
            sleep(LONG).await;
        });
        sleep(2 * MS).await;
        task.cancel();
        assert!(task.await.expect_err("no catcher is polled").is_cancelled());

        // Nor does it hide a catcher above it.
        let task = spawn(async {
            let outer = catch_cancel(async {
                let mut kept = caught();
                drop(select(&mut kept, Box::pin(sleep(MS))).await);
                sleep(LONG).await;
            });
            outer.await.is_err()
        });
        sleep(2 * MS).await;
        task.cancel();
        assert!(task.await.expect("swallowed"));
    });
}

#[test]
fn a_handle_that_is_kept_but_not_awaited_does_not_swallow_the_request() {
    run(async {
        let inner = spawn(pending::<()>());
        let outer = spawn(async move {
            let mut inner = inner;
            drop(select(&mut inner, Box::pin(sleep(MS))).await);
            sleep(LONG).await;
        });
        sleep(2 * MS).await;
        outer.cancel();
        assert!(outer.await.expect_err("it awaits nothing that catches").is_cancelled());
    });
}

#[test]
fn a_timeout_passes_by_a_catcher_that_is_kept_but_not_polled() {
    run(async {
        let start = now();
        let limited = timeout(5 * MS, async {
            let mut kept = caught();
            drop(select(&mut kept, Box::pin(sleep(MS))).await);
            sleep(LONG).await;
        });
        assert_eq!(limited.await, Err(Elapsed));
        assert_eq!(now() - start, 5 * MS);
    });
}

#[test]
fn a_kept_catcher_works_again_when_it_is_polled_again() {
    run(async {
        let task = spawn(async {
            let mut kept = caught();
            drop(select(&mut kept, Box::pin(sleep(MS))).await);
            let first = catch_cancel(sleep(LONG)).await;
            let second = kept.await;
            (first.is_err(), second.is_err())
        });
        sleep(2 * MS).await;
        task.cancel();
        sleep(MS).await;
        task.cancel();
        assert_eq!(task.await.expect("both swallowed"), (true, true));
    });
}

#[test]
fn a_timeout_asks_the_catchers_inside() {
    run(async {
        // One that swallows and gives a value, which counts.
        let value = timeout(MS, async {
            assert!(catch_cancel(sleep(LONG)).await.is_err());
            sleep(5 * MS).await;
            "late but whole"
        });
        assert_eq!(value.await, Ok("late but whole"));

        // One that cleans up and hands it on.
        let cleaned = Cell::new(false);
        let start = now();
        let elapsed = timeout(MS, async {
            if let Err(request) = catch_cancel(sleep(LONG)).await {
                sleep(5 * MS).await;
                cleaned.set(true);
                request.propagate().await;
            }
        });
        assert_eq!(elapsed.await, Err(Elapsed));
        assert!(cleaned.get());
        assert_eq!(now() - start, 6 * MS);

        // None: the future is dropped.
        assert_eq!(timeout(MS, sleep(LONG)).await, Err(Elapsed));
        assert_eq!(timeout(Duration::ZERO, async { 1 }).await, Ok(1), "ready wins");
    });
}

#[test]
fn nested_timeouts_end_at_their_own_level() {
    run(async {
        let inner_first = timeout(10 * MS, async { timeout(MS, sleep(LONG)).await });
        assert_eq!(inner_first.await, Ok(Err(Elapsed)));
        let outer_first = timeout(MS, async { timeout(10 * MS, sleep(LONG)).await });
        assert_eq!(outer_first.await, Err(Elapsed));
        // A catcher below both: the outer's request passes through the inner.
        let outer_first = timeout(MS, async {
            let inner = timeout(10 * MS, async {
                let Err(request) = catch_cancel(sleep(LONG)).await else { return "slept" };
                sleep(MS).await;
                request.propagate().await;
                "not reached"
            });
            inner.await
        });
        assert_eq!(outer_first.await, Err(Elapsed));
    });
}

#[test]
fn a_foreign_request_passes_through_a_timeout() {
    run(async {
        let task = spawn(async {
            timeout(LONG, async {
                let Err(request) = catch_cancel(pending::<()>()).await else { unreachable!() };
                request.propagate().await;
            })
            .await
        });
        // Not Elapsed: the task itself was cancelled.
        assert!(cancelled(task).await.expect_err("no value").is_cancelled());

        let swallowing = spawn(async {
            let result = timeout(LONG, async { catch_cancel(pending::<()>()).await.is_err() });
            result.await
        });
        assert_eq!(cancelled(swallowing).await.expect("swallowed"), Ok(true));
    });
}

#[test]
fn of_two_requests_the_outer_one_counts() {
    run(async {
        // The timeout expires while the catcher cleans up after the task's cancel.
        let task = spawn(async {
            timeout(5 * MS, async {
                let Err(request) = catch_cancel(pending::<()>()).await else { unreachable!() };
                sleep(10 * MS).await;
                request.propagate().await;
            })
            .await
        });
        sleep(MS).await;
        task.cancel();
        match task.await {
            Err(error) => assert!(error.is_cancelled()),
            // Its clean-up had no catcher, so the timeout dropped it: that is an end as well.
            Ok(result) => assert_eq!(result, Err(Elapsed)),
        }
    });
}

#[test]
fn awaiting_a_task_forwards_the_request() {
    run(async {
        // The inner task swallows: its value is the outer's.
        let outer = spawn(async {
            let inner = spawn(async {
                assert!(catch_cancel(pending::<()>()).await.is_err());
                sleep(MS).await;
                3
            });
            inner.await
        });
        assert_eq!(cancelled(outer).await.expect("a value").expect("a value"), 3);

        // The inner task ends cancelled: the request goes on outward.
        let (flag, dropped) = Flag::new();
        let outer = spawn(async {
            let inner = spawn(async move {
                let _flag = flag;
                pending::<()>().await;
            });
            inner.await
        });
        assert!(cancelled(outer).await.expect_err("both").is_cancelled());
        assert!(dropped.get(), "the inner task is over when the outer is");

        // … where a catcher may take it.
        let outer = spawn(async {
            let inner = spawn(pending::<()>());
            catch_cancel(inner).await.is_err()
        });
        assert!(cancelled(outer).await.expect("swallowed"));
    });
}

#[test]
fn the_request_goes_down_a_chain_of_tasks_and_up_again() {
    run(async {
        fn chain(depth: u32) -> Pin<Box<dyn Future<Output = ()>>> {
            Box::pin(async move {
                match depth {
                    0 => pending().await,
                    _ => spawn(chain(depth - 1)).await.expect("cancels go outward"),
                }
            })
        }
        let task = spawn(chain(50));
        sleep(MS).await;
        task.cancel();
        assert!(task.await.expect_err("all of it").is_cancelled());
    });
}

#[test]
fn a_timeout_over_a_task_cancels_the_task_and_waits_for_it() {
    run(async {
        let cleaned = Rc::new(Cell::new(false));
        let mark = cleaned.clone();
        let task = spawn(async move {
            let Err(request) = catch_cancel(pending::<()>()).await else { unreachable!() };
            sleep(3 * MS).await;
            mark.set(true);
            request.propagate().await;
        });
        let start = now();
        assert_eq!(timeout(MS, task).await.expect_err("elapsed"), Elapsed);
        assert!(cleaned.get());
        assert_eq!(now() - start, 4 * MS);
    });
}

#[test]
fn a_request_of_a_timeout_that_is_gone_cancels_nobody_else() {
    run(async {
        let mut task = spawn(async {
            let Err(request) = catch_cancel(pending::<()>()).await else { unreachable!() };
            sleep(5 * MS).await;
            request.propagate().await;
        });
        let outer = spawn(async move {
            // The timeout forwards its request to the task, and is then dropped itself.
            let limited = Box::pin(timeout(MS, &mut task));
            drop(select(limited, Box::pin(sleep(3 * MS))).await);
            let ended = task.await.expect_err("it was cancelled");
            assert!(ended.is_cancelled());
            "not cancelled itself"
        });
        assert_eq!(outer.await.expect("alive"), "not cancelled itself");
    });
}

#[test]
fn a_dropped_handle_detaches_and_is_not_asked() {
    run(async {
        let done = Rc::new(Cell::new(false));
        let mark = done.clone();
        let outer = spawn(async move {
            let mut inner = spawn(async move {
                sleep(5 * MS).await;
                mark.set(true);
            });
            drop(select(&mut inner, Box::pin(sleep(MS))).await);
            drop(inner);
            pending::<()>().await;
        });
        sleep(2 * MS).await;
        outer.cancel();
        assert!(outer.await.is_err());
        assert!(!done.get());
        sleep(10 * MS).await;
        assert!(done.get(), "a detached task runs on");
    });
}

#[test]
fn a_scope_that_moves_belongs_to_the_task_that_polls_it() {
    run(async {
        let mut moving = caught();
        assert!(futures_util::poll!(&mut moving).is_pending());
        let slot = Rc::new(RefCell::new(Some(moving)));
        let from = slot.clone();
        let first = spawn(async move {
            let mut moving = from.borrow_mut().take().expect("it is there");
            drop(select(&mut moving, Box::pin(sleep(MS))).await);
            *from.borrow_mut() = Some(moving);
            pending::<()>().await;
        });
        sleep(2 * MS).await;
        let moving = slot.borrow_mut().take().expect("given back");
        let second = started(spawn(async move { moving.await.is_err() })).await;
        first.cancel();
        assert!(first.await.expect_err("it has no catcher any more").is_cancelled());
        assert!(!second.is_done(), "the request was the other task's");
        second.cancel();
        assert!(second.await.expect("swallowed"));
    });
}

#[test]
fn scopes_are_restored_when_a_poll_unwinds() {
    run(async {
        let task = spawn(async {
            let boom = catch_cancel(async {
                yield_now().await;
                panic!("inside of a scope");
            });
            let unwound = AssertUnwindSafe(boom).catch_unwind().await;
            assert!(unwound.is_err());
            let limited = timeout(LONG, async {
                yield_now().await;
                panic!("inside of a timeout");
            });
            assert!(AssertUnwindSafe(limited).catch_unwind().await.is_err());
            let inner = catch_cancel(pending::<()>()).await;
            assert!(inner.is_err());
            "still routed"
        });
        sleep(MS).await;
        task.cancel();
        assert_eq!(task.await.expect("swallowed"), "still routed");
    });
}

#[test]
fn a_catcher_that_was_never_polled_is_not_asked() {
    run(async {
        let task = spawn(async {
            let _unused = catch_cancel(pending::<()>());
            pending::<()>().await;
        });
        assert!(cancelled(task).await.expect_err("nobody catches").is_cancelled());
        let unstarted = spawn(async { catch_cancel(pending::<()>()).await.is_err() });
        unstarted.cancel();
        assert!(unstarted.await.expect_err("it never ran").is_cancelled());
    });
}

#[test]
fn a_request_handed_on_outside_of_its_origin_ends_the_task_that_hands_it() {
    run(async {
        let request = timeout(MS, async { catch_cancel(pending::<()>()).await });
        let Ok(Err(request)) = request.await else { panic!("it was caught") };
        let task = spawn(async move {
            request.propagate().await;
        });
        assert!(task.await.expect_err("it has nowhere else to go").is_cancelled());
    });
}

#[test]
fn requests_are_counted() {
    run(async {
        let task = spawn(async {
            for _ in 0..3 {
                assert!(catch_cancel(pending::<()>()).await.is_err());
            }
        });
        let task = started(task).await;
        for count in 1..=3 {
            assert!(task.cancel());
            assert_eq!(task.cancelling(), count);
            sleep(MS).await;
        }
        assert!(task.is_done());
        assert!(!task.cancel());
        assert_eq!(task.cancelling(), 3);
        task.await.expect("it swallowed all");
    });
}

#[test]
fn a_catcher_dropped_by_another_task_gives_the_request_back() {
    run(async {
        let slot: Rc<RefCell<Option<Catch>>> = Rc::new(RefCell::new(Some(caught())));
        let inside = slot.clone();
        let task = spawn(poll_fn(move |cx| {
            if let Some(catch) = inside.borrow_mut().as_mut() {
                // Once only: later polls leave it alone.
                let _ = catch.as_mut().poll(cx);
            }
            Poll::<()>::Pending
        }));
        let task = started(task).await;
        let thief = slot.borrow_mut().take();
        task.cancel();
        drop(thief);
        assert!(task.await.expect_err("nobody catches any more").is_cancelled());
    });
}
