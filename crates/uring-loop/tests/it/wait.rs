//! Waiting for some of many tasks: when it ends, what it gives back, what it leaves alone.

use std::cell::{Cell, RefCell};
use std::future::pending;
use std::io;
use std::rc::Rc;
use std::task::Poll;

use proptest::prelude::*;
use uring_loop::testing::run;
use uring_loop::time::{now, sleep};
use uring_loop::{
    NoTasks, Task, WaitUntil, cancel_all, catch_cancel, spawn, spawn_all, try_wait, wait, yield_now,
};

use crate::parts::{ms, naps};
use crate::support::{end_as_cancelled, forget, poll_once, virtual_loop};

async fn values<T>(tasks: Vec<Task<T>>) -> Vec<T> {
    let mut values = Vec::new();
    for task in tasks {
        values.push(task.await.expect("a value"));
    }
    values
}

#[test]
fn all_are_waited_for_and_keep_their_order() {
    run(async {
        let start = now();
        let (done, pending) =
            wait(naps([30, 10, 20]), WaitUntil::AllCompleted).await.expect("some");
        assert_eq!(now() - start, ms(30));
        assert!(pending.is_empty());
        assert_eq!(values(done).await, [30, 10, 20]);
    });
}

#[test]
fn the_first_that_is_done_ends_it() {
    run(async {
        let start = now();
        let (done, pending) =
            wait(naps([30, 10, 20]), WaitUntil::FirstCompleted).await.expect("some");
        assert_eq!(now() - start, ms(10));
        assert_eq!(values(done).await, [10]);
        assert_eq!(values(pending).await, [30, 20], "they run on");
    });
}

#[test]
fn of_those_that_end_together_all_are_done() {
    run(async {
        let (done, pending) =
            wait(naps([10, 99, 10, 10]), WaitUntil::FirstCompleted).await.expect("some");
        assert_eq!((done.len(), pending.len()), (3, 1));
    });
}

#[test]
fn an_array_of_tasks_is_waited_for() {
    run(async {
        let tasks = [30, 10, 20].map(|time| spawn(async move { sleep(ms(time)).await }));
        let (done, pending) = wait(tasks, WaitUntil::FirstCompleted).await.expect("some");
        assert_eq!((done.len(), pending.len()), (1, 2));
    });
}

#[test]
fn the_first_error_ends_it() {
    run(async {
        let start = now();
        let tasks = vec![
            spawn(async {
                sleep(ms(30)).await;
                Ok(1)
            }),
            spawn(async { Ok(2) }),
            spawn(async {
                sleep(ms(10)).await;
                Err("an error")
            }),
        ];
        let (done, pending) = try_wait(tasks, WaitUntil::FirstError).await.expect("some");
        assert_eq!(now() - start, ms(10));
        assert_eq!(values(done).await, [Ok(2), Err("an error")]);
        assert_eq!(values(pending).await, [Ok(1)]);
    });
}

#[test]
fn a_panic_is_an_error_and_an_err_is_one_where_results_are_looked_at() {
    run(async {
        let start = now();
        let fails = |after, panics: bool| {
            spawn(async move {
                sleep(ms(after)).await;
                if panics {
                    panic!("boom");
                }
                Err::<(), _>("an error")
            })
        };
        let (done, _) =
            wait(vec![fails(5, false), fails(9, true), fails(20, false)], WaitUntil::FirstError)
                .await
                .expect("some");
        assert_eq!((done.len(), now() - start), (2, ms(9)), "`wait` looks at panics alone");
    });
}

#[test]
fn without_an_error_the_first_error_is_all() {
    run(async {
        let start = now();
        let (done, pending) = wait(naps([30, 10]), WaitUntil::FirstError).await.expect("some");
        assert_eq!((done.len(), pending.len(), now() - start), (2, 0, ms(30)));
    });
}

#[test]
fn a_cancelled_task_is_done_but_no_error() {
    run(async {
        let start = now();
        let tasks: Vec<Task<Result<(), ()>>> = vec![
            spawn(async {
                sleep(ms(5)).await;
                end_as_cancelled().await
            }),
            spawn(async {
                sleep(ms(20)).await;
                Ok(())
            }),
        ];
        let (done, _) = try_wait(tasks, WaitUntil::FirstError).await.expect("some");
        assert_eq!((done.len(), now() - start), (2, ms(20)));
        let cancelled = spawn(pending::<()>());
        cancelled.cancel();
        let (done, _) = wait(vec![cancelled], WaitUntil::FirstCompleted).await.expect("some");
        assert!(done[0].is_done());
    });
}

#[test]
fn nothing_to_wait_for_is_an_error() {
    run(async {
        let none = wait(Vec::<Task<()>>::new(), WaitUntil::AllCompleted).await;
        assert_eq!(none.expect_err("none"), NoTasks);
        assert_eq!(io::Error::from(NoTasks).kind(), io::ErrorKind::InvalidInput);
    });
}

#[test]
fn a_timeout_is_no_error_and_cancels_nothing() {
    run(async {
        let start = now();
        let waited = wait(naps([10, 40]), WaitUntil::AllCompleted).timeout(ms(20));
        let (done, pending) = waited.await.expect("some");
        assert_eq!(now() - start, ms(20));
        assert_eq!(values(done).await, [10]);
        assert_eq!(values(pending).await, [40]);
        assert_eq!(now() - start, ms(40));
    });
}

#[test]
fn a_timeout_that_is_not_needed_takes_no_time() {
    run(async {
        let start = now();
        let waited = wait(naps([10, 5]), WaitUntil::AllCompleted).timeout(ms(1000));
        assert_eq!(waited.await.expect("some").0.len(), 2);
        assert_eq!(now() - start, ms(10));
    });
}

#[test]
fn tasks_that_are_done_already_end_it_at_once() {
    run(async {
        let tasks = naps([0, 50]);
        sleep(ms(1)).await;
        let mut waited = Box::pin(wait(tasks, WaitUntil::FirstCompleted));
        let Poll::Ready(Ok((done, pending))) = poll_once(&mut waited).await else {
            panic!("not at once");
        };
        assert_eq!((done.len(), pending.len()), (1, 1));
    });
}

#[test]
fn a_cancelled_waiter_leaves_the_tasks_alone() {
    run(async {
        let tasks = Rc::new(RefCell::new(naps([10, 20])));
        let asked = Rc::new(Cell::new(false));
        let (into, heard) = (tasks.clone(), asked.clone());
        tasks.borrow_mut().push(spawn(async move {
            heard.set(catch_cancel(sleep(ms(30))).await.is_err());
            30
        }));
        let waiter = spawn(async move {
            let mut tasks = into.take();
            let waited = catch_cancel(wait(&mut tasks, WaitUntil::AllCompleted)).await;
            assert!(waited.is_err(), "the request comes here");
            into.replace(tasks);
        });
        sleep(ms(5)).await;
        waiter.cancel();
        waiter.await.expect("it caught");
        let tasks = tasks.take();
        assert_eq!(tasks.len(), 3, "given by reference, they are still there");
        assert_eq!(values(tasks).await, [10, 20, 30]);
        assert!(!asked.get());
    });
}

#[test]
fn a_waiter_that_catches_nothing_ends_cancelled() {
    run(async {
        let waiter = spawn(wait(naps([10, 20]), WaitUntil::AllCompleted));
        sleep(ms(5)).await;
        waiter.cancel();
        assert!(waiter.await.expect_err("cancelled").is_cancelled());
    });
}

#[test]
fn a_task_that_was_awaited_before_is_not_asked_through_its_old_place() {
    run(async {
        let heard = Rc::new(Cell::new(false));
        let into = heard.clone();
        let waiter = spawn(async move {
            let mut task = spawn(async move {
                into.set(catch_cancel(sleep(ms(20))).await.is_err());
            });
            assert!(poll_once(&mut task).await.is_pending());
            wait(vec![task], WaitUntil::AllCompleted).await
        });
        sleep(ms(5)).await;
        waiter.cancel();
        assert!(waiter.await.expect_err("cancelled").is_cancelled());
        sleep(ms(50)).await;
        assert!(!heard.get());
    });
}

#[test]
fn what_is_left_may_be_waited_for_again() {
    run(async {
        let mut tasks = naps([30, 10, 20, 10]);
        let mut rounds = Vec::new();
        while !tasks.is_empty() {
            let (done, pending) = wait(&mut tasks, WaitUntil::FirstCompleted).await.expect("some");
            rounds.push(values(done).await);
            assert!(tasks.is_empty(), "both parts were taken");
            tasks = pending;
        }
        assert_eq!(rounds, [vec![10, 10], vec![20], vec![30]]);
    });
}

#[test]
fn cancel_all_asks_those_that_are_left() {
    run(async {
        let (done, pending) =
            wait(naps([1, 2000, 3000]), WaitUntil::FirstCompleted).await.expect("some");
        assert_eq!((cancel_all(&done), cancel_all(&pending)), (0, 2));
        for task in pending {
            assert!(task.await.expect_err("cancelled").is_cancelled());
        }
    });
}

#[test]
fn a_wait_that_is_dropped_or_forgotten_is_harmless() {
    run(async {
        let mut tasks = naps([10, 20]);
        let mut dropped = Box::pin(wait(&mut tasks, WaitUntil::AllCompleted));
        assert!(poll_once(&mut dropped).await.is_pending());
        drop(dropped);
        sleep(ms(15)).await; // a task that was waited for ends, and wakes nobody
        assert_eq!(values(tasks).await, [10, 20]);

        let mut forgotten = Box::pin(wait(naps([10, 20]), WaitUntil::AllCompleted));
        assert!(poll_once(&mut forgotten).await.is_pending());
        forget(forgotten);
        sleep(ms(30)).await;
    });
}

#[test]
fn a_wait_that_borrows_and_is_leaked_leaves_tasks_that_work() {
    run(async {
        let mut tasks = naps([10, 20]);
        {
            let mut waited = Box::pin(wait(&mut tasks, WaitUntil::AllCompleted));
            assert!(poll_once(&mut waited).await.is_pending());
            // Its slots are never given back; the tasks wake them, and nobody is there.
            forget(waited);
        }
        sleep(ms(15)).await;
        assert_eq!(values(tasks).await, [10, 20]);
    });
}

#[test]
fn a_wait_may_be_a_task_with_a_callback() {
    let seen = Rc::new(Cell::new(0));
    run(async {
        let into = seen.clone();
        let waiting = spawn(wait(naps([1, 2]), WaitUntil::AllCompleted));
        waiting.on_done(move |result| {
            let (done, _) = result.as_ref().expect("no panic").as_ref().expect("some");
            into.set(done.len());
        });
        waiting.await.expect("no panic").expect("some");
    });
    assert_eq!(seen.get(), 2);
}

#[test]
fn two_waits_of_one_task_do_not_disturb_each_other() {
    run(async {
        let one = wait(naps([10, 30]), WaitUntil::AllCompleted);
        let other = wait(naps([20, 25]), WaitUntil::FirstCompleted);
        let (one, other) = futures_util::future::join(one, other).await;
        assert_eq!((one.expect("some").0.len(), other.expect("some").0.len()), (2, 1));
    });
}

#[test]
fn a_thousand_tasks_cost_few_polls() {
    let mut event_loop = virtual_loop();
    event_loop
        .run_until_complete(async {
            let tasks = spawn_all((0..1000).map(|_| yield_now()));
            let (done, _) = wait(tasks, WaitUntil::AllCompleted).await.expect("some");
            assert_eq!(done.len(), 1000);
        })
        .expect("not cancelled");
    let polls = event_loop.statistics().polls;
    assert!(polls < 2050, "{polls} polls");
}

#[derive(Clone, Copy, Debug)]
enum End {
    Value,
    Error,
    Panic,
    Cancelled,
}

fn plan() -> impl Strategy<Value = Vec<(u64, End)>> {
    let end = prop_oneof![
        4 => Just(End::Value),
        1 => Just(End::Error),
        1 => Just(End::Panic),
        2 => Just(End::Cancelled),
    ];
    prop::collection::vec((0..15_u64, end), 1..12).prop_map(|tasks| {
        let apart = |(index, (at, end))| (at * 100 + index as u64, end);
        tasks.into_iter().enumerate().map(apart).collect()
    })
}

proptest! {
    /// Against a model: when it ends, and which tasks are done by then, in order.
    #[test]
    fn it_ends_when_it_should_and_parts_the_tasks_in_order(
        plan in plan(),
        until in prop_oneof![
            Just(WaitUntil::AllCompleted),
            Just(WaitUntil::FirstCompleted),
            Just(WaitUntil::FirstError),
        ],
        limit in prop::option::of(0..2000_u64),
        begun in 0..1000_u64,
    ) {
        run(async {
            let start = now();
            let task = |(index, (at, end)): (usize, &(u64, End))| {
                let (at, end) = (*at, *end);
                spawn(async move {
                    sleep(ms(at)).await;
                    match end {
                        End::Value => Ok(index),
                        End::Error => Err(index),
                        End::Panic => std::panic::resume_unwind(Box::new(index)),
                        End::Cancelled => end_as_cancelled().await,
                    }
                })
            };
            let tasks: Vec<_> = plan.iter().enumerate().map(task).collect();
            let ids: Vec<_> = tasks.iter().map(Task::id).collect();
            sleep(ms(begun)).await;
            let waited = try_wait(tasks, until);
            let waited = match limit {
                Some(limit) => waited.timeout(ms(limit)),
                None => waited,
            };
            let (done, pending) = waited.await.expect("some");

            let all = plan.iter().map(|(at, _)| *at).max().expect("some");
            let counts = |end: End| match until {
                WaitUntil::AllCompleted => false,
                WaitUntil::FirstCompleted => true,
                WaitUntil::FirstError => matches!(end, End::Error | End::Panic),
            };
            let first = plan.iter().filter(|(_, end)| counts(*end)).map(|(at, _)| *at).min();
            let ends = first.unwrap_or(all).max(begun);
            let ends = limit.map_or(ends, |limit| ends.min(begun + limit));
            assert_eq!((now() - start).as_millis() as u64, ends);
            let of = |tasks: &[Task<_>]| tasks.iter().map(Task::id).collect::<Vec<_>>();
            let (mut done_ids, mut pending_ids) = (Vec::new(), Vec::new());
            for (id, (at, _)) in ids.iter().zip(&plan) {
                if *at == ends && (limit.is_some() || *at == begun) {
                    // It ends in the very turn: either is right.
                    return;
                }
                if *at <= ends { done_ids.push(*id) } else { pending_ids.push(*id) }
            }
            assert_eq!((of(&done), of(&pending)), (done_ids, pending_ids));
        });
    }
}
