//! Results as they come: order, places, limits, breaking off and going on.

use std::cell::{Cell, RefCell};
use std::future::pending;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use futures_util::StreamExt as _;
use proptest::prelude::*;
use uring_loop::testing::run;
use uring_loop::time::{Elapsed, now, sleep, timeout};
use uring_loop::{Promise, Task, as_completed, catch_cancel, spawn, spawn_all, yield_now};

use crate::parts::{ms, naps};
use crate::support::{end_as_cancelled, forget, poll_once, virtual_loop};

#[test]
fn results_come_in_the_order_of_completion_with_their_places() {
    run(async {
        let start = now();
        let mut completed = as_completed(naps([30, 10, 20]));
        let mut seen = Vec::new();
        while let Some((index, result)) = completed.next().await {
            let value = result.expect("a value");
            assert_eq!(now() - start, ms(value), "as soon as it is there");
            seen.push((index, value));
        }
        assert_eq!(seen, [(1, 10), (2, 20), (0, 30)]);
        assert!(completed.next().await.is_none() && completed.is_empty());
    });
}

#[test]
fn without_tasks_there_is_nothing() {
    run(async {
        let mut nothing = as_completed(Vec::<Task<()>>::new());
        assert!(nothing.is_empty());
        assert!(nothing.next().await.is_none());
        assert!(nothing.timeout(ms(1)).next().await.is_none());
    });
}

#[test]
fn panics_and_cancels_are_results() {
    run(async {
        let tasks = [
            spawn(async {
                sleep(ms(2)).await;
                panic!("boom")
            }),
            spawn(async {
                sleep(ms(1)).await;
                end_as_cancelled().await
            }),
            spawn(async {
                sleep(ms(3)).await;
                7
            }),
        ];
        let mut completed = as_completed(tasks);
        let (index, result) = completed.next().await.expect("three");
        assert!(index == 1 && result.expect_err("cancelled").is_cancelled());
        let (index, result) = completed.next().await.expect("three");
        assert!(index == 0 && result.expect_err("it panicked").is_panic());
        let (index, result) = completed.next().await.expect("three");
        assert!(index == 2 && matches!(result, Ok(7)));
    });
}

#[test]
fn it_is_a_stream() {
    run(async {
        let completed = as_completed(naps([30, 10, 20]));
        assert_eq!(futures_util::Stream::size_hint(&completed), (3, Some(3)));
        let values: Vec<_> = completed.map(|(_, result)| result.expect("a value")).collect().await;
        assert_eq!(values, [10, 20, 30]);
        let limited = as_completed(naps([10, 90])).timeout(ms(50));
        let items: Vec<_> = limited.map(|item| item.map(|(index, _)| index)).collect().await;
        assert_eq!(items, [Ok(0), Err(Elapsed)]);
    });
}

#[test]
fn what_was_done_before_comes_first_in_the_order_of_the_arguments() {
    run(async {
        let tasks = naps([2, 50, 1]);
        sleep(ms(10)).await;
        let mut completed = as_completed(tasks);
        for expected in [0, 2, 1] {
            assert_eq!(completed.next().await.expect("three").0, expected);
        }
    });
}

#[test]
fn the_order_is_that_of_ending_also_if_nobody_looked() {
    run(async {
        let mut completed = as_completed(naps([30, 10, 20]));
        sleep(ms(100)).await;
        for expected in [1, 2, 0] {
            assert_eq!(completed.next().await.expect("three").0, expected);
        }
    });
}

#[test]
fn a_limit_for_all_is_told_once_and_the_tasks_run_on() {
    let ran = Rc::new(Cell::new(0));
    run(async {
        let start = now();
        let work = |time| {
            let ran = ran.clone();
            async move {
                sleep(ms(time)).await;
                ran.set(ran.get() + 1);
                time
            }
        };
        let mut completed = as_completed(spawn_all([10, 60, 20, 70].map(work))).timeout(ms(50));
        assert_eq!(completed.next().await.expect("in time").expect("in time").0, 0);
        assert_eq!(completed.next().await.expect("in time").expect("in time").0, 2);
        assert!(matches!(completed.next().await, Some(Err(Elapsed))));
        assert_eq!(now() - start, ms(50));
        assert!(completed.next().await.is_none());
        assert!(completed.next().await.is_none());
        let pending = completed.into_pending();
        assert_eq!(pending.len(), 2);
        drop(pending);
        sleep(ms(100)).await;
    });
    assert_eq!(ran.get(), 4);
}

#[test]
fn a_limit_that_is_not_needed_takes_no_time() {
    run(async {
        let start = now();
        let mut completed = as_completed(naps([1, 2])).timeout(Duration::from_secs(1000));
        while let Some(item) = completed.next().await {
            item.expect("in time").1.expect("a value");
        }
        assert_eq!(now() - start, ms(2));
    });
}

#[test]
fn what_has_ended_when_the_limit_is_reached_comes_first() {
    run(async {
        let mut completed = as_completed(naps([10, 20, 900])).timeout(ms(50));
        sleep(ms(100)).await;
        for expected in [Some(Ok(0)), Some(Ok(1)), Some(Err(Elapsed)), None] {
            let item = completed.next().await;
            assert_eq!(item.map(|item| item.map(|(index, _)| index)), expected);
        }
    });
}

#[test]
fn it_can_be_broken_off_and_taken_up_again() {
    run(async {
        let mut completed = as_completed(naps([30, 10, 20]));
        for expected in [1, 2] {
            assert_eq!(completed.next().await.expect("three").0, expected);
            assert!(timeout(ms(1), completed.next()).await.is_err(), "nothing is lost by this");
        }
        assert_eq!(completed.len(), 1);
        assert_eq!(completed.next().await.expect("three").0, 0);
    });
}

#[test]
fn what_is_left_is_given_back() {
    run(async {
        let mut completed = as_completed(naps([30, 10, 20, 10]));
        assert_eq!(completed.next().await.expect("four").0, 1);
        let mut values = Vec::new();
        for task in completed.into_pending() {
            values.push(task.await.expect("a value"));
        }
        assert_eq!(values, [30, 20, 10], "in the order of the arguments, the one that is done too");
    });
}

#[test]
fn dropped_or_forgotten_the_tasks_run_on() {
    let ran = Rc::new(Cell::new(0));
    run(async {
        let work = |time| {
            let ran = ran.clone();
            async move {
                sleep(ms(time)).await;
                ran.set(ran.get() + 1);
            }
        };
        let mut dropped = as_completed(spawn_all([10, 20].map(work)));
        dropped.next().await.expect("two").1.expect("a value");
        drop(dropped);
        let mut forgotten = as_completed(spawn_all([10, 20].map(work)));
        forgotten.next().await.expect("two").1.expect("a value");
        forget(forgotten);
        sleep(ms(100)).await;
    });
    assert_eq!(ran.get(), 4);
}

#[test]
fn a_cancel_of_who_asks_is_not_handed_to_the_tasks() {
    run(async {
        let heard = Rc::new(Cell::new(false));
        let into = heard.clone();
        let task = spawn(async move {
            into.set(catch_cancel(sleep(ms(20))).await.is_err());
            1
        });
        let asks = spawn(async move {
            let mut completed = as_completed([task]);
            assert!(catch_cancel(completed.next()).await.is_err(), "the request comes here");
            completed.next().await.map(|(index, _)| index)
        });
        sleep(ms(5)).await;
        asks.cancel();
        assert_eq!(asks.await.expect("it caught"), Some(0));
        assert!(!heard.get());
    });
}

#[test]
fn several_tasks_may_ask_one_after_the_other() {
    run(async {
        let completed = Rc::new(RefCell::new(Some(as_completed(naps([10, 20, 30])))));
        for expected in [0, 1, 2] {
            let mut mine = completed.take().expect("handed back");
            let (mine, index) = spawn(async move {
                let next = mine.next().await;
                (mine, next.map(|(index, _)| index))
            })
            .await
            .expect("no panic");
            assert_eq!(index, Some(expected));
            completed.replace(Some(mine));
        }
    });
}

#[test]
fn callbacks_come_before_the_result() {
    let order = Rc::new(RefCell::new(Vec::new()));
    run(async {
        let tasks = naps([1, 2]);
        for task in &tasks {
            let order = order.clone();
            task.on_done(move |result| order.borrow_mut().push(*result.as_ref().expect("a value")));
        }
        let mut completed = as_completed(tasks);
        while let Some((_, result)) = completed.next().await {
            order.borrow_mut().push(result.expect("a value") + 100);
        }
    });
    assert_eq!(*order.borrow(), [1, 101, 2, 102]);
}

#[test]
fn a_request_in_the_turn_of_the_result_loses_neither() {
    run(async {
        let promise: Promise<u32> = Promise::new();
        let waiting = promise.clone();
        let task = spawn(async move { waiting.await.expect("a value") });
        let asks = spawn(async move {
            let mut completed = as_completed([task]);
            let first = catch_cancel(completed.next()).await.is_err();
            let then = catch_cancel(pending::<()>()).await.is_err();
            (first, then)
        });
        sleep(ms(1)).await;
        promise.set_result(1).expect("pending");
        yield_now().await; // the task has ended, who asks is ready
        asks.cancel();
        assert_eq!(asks.await.expect("it caught"), (false, true), "ready wins, the request waits");
    });
}

#[test]
fn a_thousand_tasks_cost_few_polls() {
    let mut event_loop = virtual_loop();
    event_loop
        .run_until_complete(async {
            let mut completed = as_completed(spawn_all((0..1000).map(|_| yield_now())));
            while completed.next().await.is_some() {}
        })
        .expect("not cancelled");
    let polls = event_loop.statistics().polls;
    assert!(polls < 2050, "{polls} polls");
}

#[test]
fn an_unpolled_rest_holds_no_memory_of_who_asked() {
    run(async {
        let mut completed = as_completed([spawn(pending::<()>())]);
        assert!(matches!(poll_once(&mut Box::pin(completed.next())).await, Poll::Pending));
        let rest = completed.into_pending();
        assert_eq!(rest.len(), 1);
        rest[0].abort();
    });
}

/// What is done between the steps of time.
#[derive(Clone, Debug)]
enum Step {
    Next,
    /// Asks, for so long.
    Try(u64),
    Pause(u64),
    Rebuild,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => Just(Step::Next),
        2 => (0..500_u64).prop_map(Step::Try),
        2 => (0..500_u64).prop_map(Step::Pause),
        1 => Just(Step::Rebuild),
    ]
}

proptest! {
    /// However it is asked, dropped half-way and built anew: every result comes exactly once, and
    /// between two builds in the order in which the tasks end.
    #[test]
    fn every_result_comes_once_and_in_order(
        times in prop::collection::vec(0..10_u64, 0..12),
        steps in prop::collection::vec(step(), 0..30),
    ) {
        run(async {
            let times: Vec<_> = times.iter().enumerate().map(|(i, t)| t * 100 + i as u64).collect();
            let work = |time: u64| async move {
                sleep(ms(time)).await;
                time
            };
            let mut completed = as_completed(spawn_all(times.iter().copied().map(work)));
            let (mut seen, mut ordered) = (Vec::new(), Vec::new());
            let finish = std::iter::repeat_n(Step::Next, times.len() + 1);
            let mut built = 0;
            let start = now();
            for step in steps.into_iter().chain(finish) {
                let item = match step {
                    Step::Next => completed.next().await,
                    Step::Try(time) => timeout(ms(time), completed.next()).await.unwrap_or(None),
                    Step::Pause(time) => {
                        sleep(ms(time)).await;
                        None
                    }
                    Step::Rebuild => {
                        completed = as_completed(completed.into_pending());
                        built = (now() - start).as_millis() as u64;
                        ordered.clear();
                        None
                    }
                };
                if let Some((_, result)) = item {
                    let time = result.expect("a value");
                    seen.push(time);
                    // Those that had ended when it was built come in the order of the arguments.
                    if time > built {
                        assert!(ordered.last().is_none_or(|last| *last < time));
                        ordered.push(time);
                    }
                }
            }
            assert!(completed.is_empty());
            let (mut all, mut seen) = (times, seen);
            all.sort_unstable();
            seen.sort_unstable();
            assert_eq!(seen, all);
        });
    }
}
