//! Conditions: the lock is always held again, a notification is never lost.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use uring_loop::sync::{Condition, Lock, LockGuard};
use uring_loop::time::{Elapsed, timeout};
use uring_loop::{catch_cancel, spawn, yield_now};

use crate::by_hand::{Hand, at_once, wakes};
use crate::support::run_limited;

const MS: Duration = Duration::from_millis(1);

/// A waiter that has given the lock up and stands in line.
#[track_caller]
fn waiter<'a, T: std::fmt::Debug>(
    condition: &'a Condition,
    lock: &'a Lock<T>,
) -> Hand<'a, LockGuard<'a, T>> {
    Hand::waiting(condition.wait(lock.try_lock().expect("free")))
}

#[test]
fn waiting_gives_the_lock_up_and_has_it_again_at_the_end() {
    let (lock, condition) = (Lock::new(1), Condition::new());
    let mut one = waiter(&condition, &lock);
    assert!(!lock.locked());
    let mut guard = lock.try_lock().expect("given up");
    *guard = 2;
    condition.notify(&guard, 1);
    assert_eq!(one.wakes(), 0, "the lock is not free yet");
    one.pending();
    drop(guard);
    assert_eq!(one.wakes(), 1);
    assert!(lock.locked(), "it is handed over");
    assert_eq!(*one.ready(), 2);
}

#[test]
fn until_it_is_first_polled_the_lock_is_kept() {
    let (lock, condition) = (Lock::new(()), Condition::new());
    let mut hand = Hand::new(condition.wait(lock.try_lock().expect("free")));
    assert!(lock.locked());
    hand.pending();
    assert!(!lock.locked());
    drop(Hand::new(condition.wait(lock.try_lock().expect("free"))));
    assert!(!lock.locked(), "dropped before it began, as if the guard were dropped");
    assert_eq!(condition.statistics().waiters, 1);
}

#[test]
fn as_many_as_asked_for_are_notified_in_waiting_order() {
    let (lock, condition) = (Lock::new(()), Condition::new());
    let mut waiters: Vec<_> = (0..5).map(|_| waiter(&condition, &lock)).collect();
    assert_eq!(format!("{condition:?}"), "Condition { waiters: 5 }");
    condition.notify(&at_once(lock.lock()), 2);
    assert_eq!(condition.statistics().waiters, 3);
    assert_eq!(lock.statistics().waiters, 1, "the first has the lock, the second waits for it");
    assert_eq!(wakes(&waiters), [1, 0, 0, 0, 0]);
    drop(waiters[0].ready());
    assert_eq!(wakes(&waiters), [1, 1, 0, 0, 0]);
    drop(waiters[1].ready());
    waiters[2..].iter_mut().for_each(Hand::pending);
    assert!(!lock.locked());

    condition.notify(&at_once(lock.lock()), 0);
    assert_eq!(condition.statistics().waiters, 3);
    condition.notify_all(&at_once(lock.lock()));
    assert_eq!(condition.statistics().waiters, 0);
    waiters[2..].iter_mut().for_each(|waiter| drop(waiter.ready()));
    assert!(!lock.locked());
    condition.notify(&at_once(lock.lock()), 7); // nobody is there
    assert_eq!(condition.statistics().waiters, 0);
}

#[test]
fn a_notification_that_comes_before_the_wait_is_not_kept() {
    let (lock, condition) = (Lock::new(()), Condition::new());
    condition.notify_all(&at_once(lock.lock()));
    let mut late = waiter(&condition, &lock);
    late.pending();
    assert_eq!(late.wakes(), 0);
}

#[test]
fn those_notified_stand_in_line_for_the_lock_behind_those_who_stood_there() {
    let (lock, condition) = (Lock::new(()), Condition::new());
    let mut notified = waiter(&condition, &lock);
    let guard = at_once(lock.lock());
    let mut before = Hand::waiting(lock.lock());
    condition.notify(&guard, 1);
    let mut behind = Hand::waiting(lock.lock());
    drop(guard);
    drop(before.ready());
    behind.pending();
    drop(notified.ready());
    drop(behind.ready());
}

#[test]
fn one_that_goes_unnotified_takes_nothing_with_it() {
    let (lock, condition) = (Lock::new(()), Condition::new());
    let one = waiter(&condition, &lock);
    let mut two = waiter(&condition, &lock);
    drop(one);
    assert!(!lock.locked());
    condition.notify(&at_once(lock.lock()), 1);
    drop(two.ready());
}

#[test]
fn one_that_goes_notified_while_the_lock_is_held_passes_it_on() {
    let (lock, condition) = (Lock::new(()), Condition::new());
    let one = waiter(&condition, &lock);
    let mut two = waiter(&condition, &lock);
    let guard = at_once(lock.lock());
    condition.notify(&guard, 1);
    drop(one);
    assert_eq!((condition.statistics().waiters, lock.statistics().waiters), (0, 1));
    drop(guard);
    drop(two.ready());
    assert!(!lock.locked());
}

#[test]
fn one_that_goes_notified_with_the_lock_handed_over_passes_both_on() {
    let (lock, condition) = (Lock::new(()), Condition::new());
    let one = waiter(&condition, &lock);
    let mut two = waiter(&condition, &lock);
    condition.notify(&at_once(lock.lock()), 1);
    assert!(lock.locked());
    drop(one);
    assert_eq!(two.wakes(), 1);
    drop(two.ready());
    assert!(!lock.locked());

    let last = waiter(&condition, &lock);
    condition.notify(&at_once(lock.lock()), 1);
    drop(last);
    assert!(!lock.locked(), "nobody is left to pass it on to");
}

#[test]
#[should_panic = "use one condition with one lock"]
fn notifying_under_another_lock_is_a_mistake() {
    let (lock, other, condition) = (Lock::new(()), Lock::new(()), Condition::new());
    let _waiter = waiter(&condition, &lock);
    condition.notify_all(&at_once(other.lock()));
}

#[test]
fn a_lock_may_have_two_conditions() {
    let (lock, full, empty) = (Lock::new(()), Condition::new(), Condition::new());
    let mut getter = waiter(&full, &lock);
    let mut putter = waiter(&empty, &lock);
    full.notify_all(&at_once(lock.lock()));
    drop(getter.ready());
    putter.pending();
    empty.notify_all(&at_once(lock.lock()));
    drop(putter.ready());
}

#[test]
fn a_forgotten_waiter_takes_one_notification_with_it() {
    let (lock, condition) = (Lock::new(()), Condition::new());
    let lost = waiter(&condition, &lock);
    let mut other = waiter(&condition, &lock);
    lost.leak();
    other.pending();
    let guard = at_once(lock.lock());
    condition.notify_all(&guard);
    drop(other);
    drop(guard);
    assert!(lock.locked(), "it has the lock now, as a forgotten guard would");
}

#[test]
fn waiting_for_a_predicate_asks_it_under_the_lock_until_it_holds() {
    let (lock, condition) = (Lock::new(0), Condition::new());
    let asked = Cell::new(0);
    let guard = lock.try_lock().expect("free");
    let mut waiter = Hand::waiting(condition.wait_for(guard, |value| {
        asked.set(asked.get() + 1);
        assert!(lock.locked());
        *value >= 2
    }));
    for value in 1..=2 {
        assert_eq!(asked.get(), value);
        let mut guard = at_once(lock.lock());
        *guard = value;
        condition.notify(&guard, 1);
        drop(guard);
        match value {
            1 => waiter.pending(),
            _ => assert_eq!(*waiter.ready(), 2),
        }
    }
    assert_eq!(asked.get(), 3);
    // One that holds is not waited for.
    let guard = lock.try_lock().expect("given back");
    assert_eq!(*at_once(condition.wait_for(guard, |value| *value == 2)), 2);
}

#[test]
fn producers_and_consumers_of_a_buffer_meet() {
    run_limited(async {
        let shared = Rc::new((Lock::new(Vec::new()), Condition::new(), Condition::new()));
        let got = Rc::new(RefCell::new(Vec::new()));
        let consumers: Vec<_> = (0..3)
            .map(|_| {
                let (shared, got) = (shared.clone(), got.clone());
                spawn(async move {
                    let (lock, filled, emptied) = &*shared;
                    for _ in 0..20 {
                        let guard = lock.lock().await;
                        let mut items = filled.wait_for(guard, |items| !items.is_empty()).await;
                        got.borrow_mut().push(items.remove(0));
                        emptied.notify(&items, 1);
                    }
                })
            })
            .collect();
        let (lock, filled, emptied) = &*shared;
        for item in 0..60 {
            let guard = lock.lock().await;
            let mut items = emptied.wait_for(guard, |items| items.len() < 2).await;
            items.push(item);
            filled.notify(&items, 1);
        }
        for consumer in consumers {
            consumer.await.expect("no panic");
        }
        assert_eq!(*got.borrow(), (0..60).collect::<Vec<_>>());
    });
}

#[test]
fn a_notified_task_that_is_cancelled_or_aborted_passes_it_on() {
    for abort in [false, true] {
        run_limited(async move {
            let shared = Rc::new((Lock::new(()), Condition::new()));
            let wait = || {
                let shared = shared.clone();
                spawn(async move { drop(shared.1.wait(shared.0.lock().await).await) })
            };
            let (one, two, three) = (wait(), wait(), wait());
            yield_now().await;
            yield_now().await;
            let (lock, condition) = &*shared;
            assert_eq!(condition.statistics().waiters, 3);
            let guard = lock.lock().await;
            condition.notify(&guard, 1);
            if abort {
                one.abort()
            } else {
                assert!(one.cancel())
            }
            assert!(one.await.expect_err("it waited for the lock").is_cancelled());
            drop(guard);
            two.await.expect("it was notified instead");
            assert_eq!(condition.statistics().waiters, 1);
            assert_eq!(timeout(MS, three).await.err(), Some(Elapsed));
            assert!(!lock.locked());
        });
    }
}

#[test]
fn a_wait_that_takes_too_long_gives_the_lock_up() {
    run_limited(async {
        let (lock, condition) = (Lock::new(1), Condition::new());
        let wait = condition.wait_for(lock.lock().await, |value| *value > 1);
        assert!(timeout(MS, wait).await.is_err());
        assert_eq!((lock.locked(), condition.statistics().waiters), (false, 0));
        *lock.lock().await += 1;
        let wait = condition.wait_for(lock.lock().await, |value| *value > 1);
        assert_eq!(timeout(MS, wait).await.map(|value| *value), Ok(2));
    });
}

#[test]
fn a_wait_that_is_cancelled_gives_no_guard_and_the_catcher_may_lock_again() {
    run_limited(async {
        let shared = Rc::new((Lock::new(1), Condition::new()));
        let task = spawn({
            let shared = shared.clone();
            async move {
                let (lock, condition) = &*shared;
                let guard = lock.lock().await;
                assert!(catch_cancel(condition.wait(guard)).await.is_err());
                *lock.lock().await += 1;
            }
        });
        yield_now().await;
        let guard = shared.0.lock().await;
        task.cancel();
        yield_now().await;
        assert!(!task.is_done(), "it cleans up under the lock, which is ours");
        drop(guard);
        task.await.expect("it caught");
        assert_eq!(*shared.0.lock().await, 2);
        assert_eq!(shared.1.statistics().waiters, 0);
    });
}

#[test]
fn waiting_with_a_guard_that_borrows_nothing_is_the_same() {
    run_limited(async {
        let (lock, changed) = (Rc::new(Lock::new(1)), Rc::new(Condition::new()));
        let guard = lock.clone().lock_owned().await;
        let condition = changed.clone();
        let waiting = spawn(async move {
            let mut value = condition.wait_owned(guard).await;
            *value *= 10;
            value
        });
        yield_now().await;
        let mut value = lock.lock().await;
        *value += 1;
        changed.notify(&value, 1);
        yield_now().await;
        assert!(!waiting.is_done(), "the lock is not its yet");
        drop(value);
        let value = waiting.await.expect("no panic");
        assert!(lock.try_lock().is_none(), "it has the lock again");
        assert_eq!(*value, 20);
        drop(value);
        assert_eq!(*lock.try_lock().expect("given back"), 20);
        assert_eq!(Rc::strong_count(&lock), 1, "a guard has kept the lock");
    });
}

#[test]
fn a_wait_with_such_a_guard_that_is_dropped_gives_the_lock_up_and_the_notification_on() {
    run_limited(async {
        let (lock, changed) = (Rc::new(Lock::new(())), Condition::new());
        // Before its first poll it holds the lock, and gives it back.
        let waiting = changed.wait_owned(lock.clone().lock_owned().await);
        assert!(lock.locked());
        drop(waiting);
        assert!(!lock.locked());
        // In line, and notified with another behind it.
        let mut first = Box::pin(changed.wait_owned(lock.clone().lock_owned().await));
        assert!(crate::support::poll_once(&mut first).await.is_pending());
        let mut second = Box::pin(changed.wait_owned(lock.clone().lock_owned().await));
        assert!(crate::support::poll_once(&mut second).await.is_pending());
        changed.notify(&lock.lock().await, 1);
        drop(first);
        drop(second.await);
        assert!(!lock.locked());
        // For a value that is right already it does not wait.
        let guard = changed.wait_for_owned(lock.clone().lock_owned().await, |()| true).await;
        drop(guard);
        assert_eq!(Rc::strong_count(&lock), 1, "a guard has kept the lock");
    });
}
