//! Locks between tasks that are cancelled, aborted, too late, or busy.

use std::cell::{Cell, RefCell};
use std::future::{Future as _, pending, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use uring_loop::sync::Lock;
use uring_loop::time::{Elapsed, sleep, timeout};
use uring_loop::{catch_cancel, spawn, yield_now};

use crate::support::run_limited;

const MS: Duration = Duration::from_millis(1);

#[test]
fn tasks_that_add_to_a_value_over_an_await_do_not_lose_anything() {
    run_limited(async {
        let total = Rc::new(Lock::new(0));
        let tasks: Vec<_> = (0..50)
            .map(|index| {
                let total = total.clone();
                spawn(async move {
                    let mut guard = total.lock().await;
                    let old = *guard;
                    match index % 3 {
                        0 => yield_now().await,
                        1 => sleep(MS).await,
                        _ => {}
                    }
                    *guard = old + index;
                })
            })
            .collect();
        for task in tasks {
            task.await.expect("no panic");
        }
        assert_eq!(*total.lock().await, (0..50).sum::<i32>());
    });
}

#[test]
fn tasks_get_it_in_the_order_in_which_they_asked() {
    run_limited(async {
        let lock = Rc::new(Lock::new(Vec::new()));
        let mut guard = lock.lock().await;
        guard.push(0);
        let tasks: Vec<_> = (1..=20)
            .map(|index| {
                let lock = lock.clone();
                spawn(async move { lock.lock().await.push(index) })
            })
            .collect();
        yield_now().await;
        drop(guard);
        for task in tasks {
            task.await.expect("no panic");
        }
        assert_eq!(*lock.lock().await, (0..=20).collect::<Vec<_>>());
    });
}

/// asyncio's own race: the holder unlocks and the first in line is cancelled in one turn.
#[test]
fn unlocking_and_cancelling_the_next_in_one_turn_loses_no_turn() {
    for cancel_first in [true, false] {
        run_limited(async {
            let lock = Rc::new(Lock::new(()));
            let guard = lock.lock().await;
            let take = || {
                let lock = lock.clone();
                spawn(async move {
                    drop(lock.lock().await);
                    pending::<()>().await;
                })
            };
            let (one, two) = (take(), take());
            yield_now().await;
            if cancel_first {
                one.cancel();
                drop(guard);
            } else {
                drop(guard);
                one.cancel();
            }
            // Ready wins: it has the lock for a moment, and is dropped at its next wait.
            assert!(one.await.expect_err("it waited again").is_cancelled());
            yield_now().await;
            assert!(!lock.locked(), "two had it as well");
            assert!(!two.is_done());
            two.abort();
        });
    }
}

#[test]
fn a_wait_ends_by_cancel_abort_and_timeout_and_the_line_moves_up() {
    run_limited(async {
        let lock = Rc::new(Lock::new(()));
        let guard = lock.lock().await;
        let take = || {
            let lock = lock.clone();
            spawn(async move { drop(lock.lock().await) })
        };
        let (cancelled, aborted, patient) = (take(), take(), take());
        assert_eq!(timeout(MS, lock.lock()).await.err(), Some(Elapsed));
        assert_eq!(lock.statistics().waiters, 3);
        cancelled.cancel();
        assert!(cancelled.await.expect_err("it waited").is_cancelled());
        aborted.abort();
        assert_eq!(lock.statistics().waiters, 1);
        drop(guard);
        aborted.abort();
        patient.await.expect("its turn comes");
        assert!(!lock.locked());
    });
}

#[test]
fn one_that_is_aborted_when_it_is_its_turn_gives_the_turn_on() {
    run_limited(async {
        let lock = Rc::new(Lock::new(()));
        let guard = lock.lock().await;
        let take = || {
            let lock = lock.clone();
            spawn(async move { drop(lock.lock().await) })
        };
        let (one, two) = (take(), take());
        yield_now().await;
        drop(guard);
        one.abort();
        two.await.expect("its turn comes");
        assert!(!lock.locked());
    });
}

#[test]
fn a_request_to_cancel_is_seen_by_who_catches_and_the_guard_is_gone() {
    run_limited(async {
        let lock = Rc::new(Lock::new(()));
        let task = spawn({
            let lock = lock.clone();
            async move {
                let held = async {
                    let _guard = lock.lock().await;
                    pending::<()>().await;
                };
                let caught = catch_cancel(held).await.is_err();
                (caught, lock.try_lock().is_some())
            }
        });
        yield_now().await;
        assert!(lock.locked());
        task.cancel();
        assert_eq!(task.await.expect("it caught"), (true, true));
    });
}

#[test]
fn a_panic_unlocks_and_leaves_the_value() {
    run_limited(async {
        let lock = Rc::new(Lock::new(1));
        let task = spawn({
            let lock = lock.clone();
            async move {
                let mut guard = lock.lock().await;
                *guard = 2;
                panic!("on purpose");
            }
        });
        assert!(task.await.expect_err("it panicked").is_panic());
        assert_eq!(*lock.lock().await, 2);
    });
}

#[test]
fn a_task_that_loops_over_a_free_lock_starves_nobody() {
    run_limited(async {
        let lock = Rc::new(Lock::new(()));
        let others = Rc::new(Cell::new(0));
        let seen = Rc::new(RefCell::new(Vec::new()));
        let busy = spawn({
            let (lock, others, seen) = (lock.clone(), others.clone(), seen.clone());
            async move {
                for _ in 0..10 {
                    for _ in 0..200 {
                        drop(lock.lock().await);
                    }
                    seen.borrow_mut().push(others.get());
                }
            }
        });
        let other = spawn(async move {
            loop {
                others.set(others.get() + 1);
                yield_now().await;
            }
        });
        busy.await.expect("no panic");
        other.abort();
        assert!(seen.borrow().is_sorted_by(|a, b| a < b), "{seen:?}: others run in between");
    });
}

#[test]
fn a_turn_is_not_held_up_by_a_budget_that_is_used_up() {
    run_limited(async {
        let (lock, free) = (Lock::new(()), Lock::new(()));
        let guard = lock.lock().await;
        let mut waiter = pin!(lock.lock());
        let mut looked = false;
        poll_fn(|cx| {
            if !std::mem::replace(&mut looked, true) {
                assert!(waiter.as_mut().poll(cx).is_pending());
            }
            Poll::Ready(())
        })
        .await;
        drop(guard);
        poll_fn(|cx| {
            // More than one poll may take.
            let taken = (0..1000).take_while(|_| pin!(free.lock()).poll(cx).is_ready()).count();
            assert!((1..1000).contains(&taken), "{taken}");
            assert!(!free.locked(), "one that is made to yield has taken nothing");
            assert!(waiter.as_mut().poll(cx).is_ready());
            Poll::Ready(())
        })
        .await;
        assert!(!lock.locked());
    });
}
