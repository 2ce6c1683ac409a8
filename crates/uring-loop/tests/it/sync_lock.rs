//! Locks: whose turn it is, and what becomes of the turn of one that goes. Without a loop.

use std::fmt::Display;
use std::future::Future as _;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Waker};

use futures_util::FutureExt as _;
use uring_loop::sync::Lock;

use crate::by_hand::{Count, Hand, at_once, wakes};

#[test]
fn without_a_loop_it_is_made_taken_and_given_back() {
    let mut lock = Lock::new(5);
    assert!(!lock.locked());
    {
        let mut guard = lock.try_lock().expect("free");
        *guard += 1;
        assert!(lock.locked());
        assert!(lock.try_lock().is_none());
        assert_eq!(format!("{guard} {guard:?}"), "6 6");
    }
    *lock.get_mut() += 1;
    assert_eq!(*at_once(lock.lock()), 7);
    assert!(!lock.locked());
    assert_eq!(lock.into_inner(), 7);
    assert!(!Lock::<Vec<u8>>::default().locked());
    assert_eq!(*Lock::from("text").try_lock().expect("free"), "text");
}

#[test]
fn it_says_who_holds_it_and_who_waits() {
    let lock = Lock::new(5);
    assert_eq!(format!("{lock:?}"), "Lock { locked: false, waiters: 0, value: 5 }");
    let guard = lock.try_lock().expect("free");
    let _one = Hand::waiting(lock.lock());
    let _two = Hand::waiting(lock.lock());
    assert_eq!(format!("{lock:?}"), "Lock { locked: true, waiters: 2, .. }");
    let statistics = lock.statistics();
    assert_eq!((statistics.locked, statistics.waiters), (true, 2));
    drop(guard);
}

#[test]
fn it_may_guard_what_has_no_size() {
    let lock: Box<Lock<[u8]>> = Box::new(Lock::new([1, 2, 3]));
    at_once(lock.lock())[0] = 9;
    assert_eq!(*at_once(lock.lock()), [9, 2, 3]);
}

#[test]
fn an_owned_guard_keeps_its_lock_and_travels() {
    let lock = Rc::new(Lock::new(vec![1]));
    let mut guard = at_once(lock.clone().lock_owned());
    guard.push(2);
    assert_eq!(format!("{guard:?}"), "[1, 2]");
    assert!(lock.locked());
    assert!(lock.try_lock().is_none() && lock.clone().try_lock_owned().is_none());
    let weak = Rc::downgrade(&lock);
    drop(lock);
    let lock = weak.upgrade().expect("kept by the guard");
    drop::<Box<dyn FnOnce()>>(Box::new(move || drop(guard))); // not called, and dropped
    assert!(!lock.locked());
    assert_eq!(Rc::strong_count(&lock), 1);
    let last = lock.clone().try_lock_owned().expect("free");
    drop(lock);
    assert_eq!(weak.upgrade().expect("kept by the guard").statistics().waiters, 0);
    drop(last);
    assert!(weak.upgrade().is_none());
}

#[test]
fn owned_guards_and_borrowed_ones_stand_in_one_line() {
    let lock: Rc<Lock<dyn Display>> = Rc::new(Lock::new(7));
    let guard = at_once(lock.lock());
    let mut owned = Hand::waiting(lock.clone().lock_owned().map(|guard| guard.to_string()));
    let mut borrowed = Hand::waiting(lock.lock().map(|guard| guard.to_string()));
    let gone = Hand::waiting(lock.clone().lock_owned().map(|guard| guard.to_string()));
    let mut last = Hand::waiting(lock.clone().lock_owned().map(|guard| guard.to_string()));
    drop(guard);
    assert_eq!((owned.wakes(), borrowed.wakes(), last.wakes()), (1, 0, 0));
    borrowed.pending();
    assert_eq!(owned.ready(), "7");
    assert_eq!((borrowed.wakes(), gone.wakes(), last.wakes()), (1, 0, 0));
    assert_eq!(borrowed.ready(), "7");
    assert_eq!((gone.wakes(), last.wakes()), (1, 0));
    drop(gone); // in its turn
    assert_eq!(last.ready(), "7");
    assert!(!lock.locked());
    drop((owned, borrowed, last));
    assert_eq!(Rc::strong_count(&lock), 1, "futures that are over or dropped keep nothing");
}

#[test]
fn it_is_handed_over_in_waiting_order_and_each_time_one_is_woken() {
    let lock = Lock::new(());
    let mut guard = at_once(lock.lock());
    let mut waiters: Vec<_> = (0..4).map(|_| Hand::waiting(lock.lock())).collect();
    for turn in 0..4 {
        drop(guard);
        let expected: Vec<_> = (0..4).map(|index| usize::from(index <= turn)).collect();
        assert_eq!(wakes(&waiters), expected);
        waiters[turn + 1..].iter_mut().for_each(Hand::pending);
        guard = waiters[turn].ready();
    }
    drop(guard);
    assert!(!lock.locked());
}

#[test]
fn a_newcomer_does_not_get_between_the_hand_over_and_the_one_whose_turn_it_is() {
    let lock = Lock::new(());
    let guard = at_once(lock.lock());
    let mut first = Hand::waiting(lock.lock());
    drop(guard);
    assert!(lock.locked());
    assert!(lock.try_lock().is_none());
    let mut newcomer = Hand::waiting(lock.lock());
    let guard = first.ready();
    newcomer.pending();
    drop(guard);
    drop(newcomer.ready());
}

#[test]
fn one_that_goes_while_it_waits_is_skipped() {
    let lock = Lock::new(());
    let guard = at_once(lock.lock());
    let mut waiters: Vec<_> = (0..3).map(|_| Hand::waiting(lock.lock())).collect();
    drop(waiters.remove(1));
    drop(waiters.remove(0));
    assert_eq!(lock.statistics().waiters, 1);
    drop(guard);
    drop(waiters[0].ready());
    assert!(!lock.locked());
}

#[test]
fn one_that_goes_when_it_is_its_turn_gives_the_turn_on() {
    let lock = Lock::new(());
    let guard = at_once(lock.lock());
    let one = Hand::waiting(lock.lock());
    let mut two = Hand::waiting(lock.lock());
    drop(guard);
    assert_eq!((one.wakes(), two.wakes()), (1, 0));
    drop(one);
    assert_eq!(two.wakes(), 1);
    drop(two.ready());
    assert!(!lock.locked());

    let guard = at_once(lock.lock());
    let last = Hand::waiting(lock.lock());
    drop(guard);
    drop(last);
    assert!(!lock.locked(), "nobody waits, so it is free");
}

#[test]
fn one_that_was_never_polled_is_not_in_line() {
    let lock = Lock::new(());
    let guard = at_once(lock.lock());
    let unpolled = Hand::new(lock.lock());
    assert_eq!(lock.statistics().waiters, 0);
    drop(unpolled);
    drop(guard);
    assert!(!lock.locked());
}

#[test]
fn the_waker_of_the_last_poll_is_woken() {
    let lock = Lock::new(());
    let guard = at_once(lock.lock());
    let (old, new) = (Arc::new(Count::default()), Arc::new(Count::default()));
    let mut waiter = pin!(lock.lock());
    for count in [&old, &new] {
        let waker = Waker::from(count.clone());
        assert!(waiter.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    }
    assert_eq!(Arc::strong_count(&old), 1, "a waker that was replaced is let go of");
    drop(guard);
    assert_eq!((old.get(), new.get()), (0, 1));
}

#[test]
fn a_forgotten_guard_keeps_it_locked_and_no_more() {
    let mut lock = Lock::new(String::from("kept"));
    std::mem::forget(lock.try_lock());
    assert!(lock.locked());
    assert!(lock.try_lock().is_none());
    lock.get_mut().push('!');
    assert_eq!(lock.into_inner(), "kept!");
}

#[test]
fn a_forgotten_waiter_stays_in_line_wherever_the_lock_goes() {
    let lock = Lock::new(());
    let guard = at_once(lock.lock());
    let (before, forgotten) = (Hand::waiting(lock.lock()), Hand::waiting(lock.lock()));
    let mut after = Hand::waiting(lock.lock());
    let count = forgotten.counter();
    forgotten.leak();
    // Its neighbours leave and are served as if it were there.
    drop(before);
    drop(guard);
    assert_eq!(count.get(), 1, "it has its turn");
    after.pending();
    drop(after);

    // It borrows nothing any more: the lock may move, and be waited for.
    let moved = Box::new(lock);
    assert!(moved.locked());
    let late = Hand::waiting(moved.lock());
    assert_eq!(moved.statistics().waiters, 1);
    drop(late);
    drop(moved);
}

#[test]
fn a_lock_that_goes_lets_go_of_the_wakers_of_forgotten_waiters() {
    let lock = Box::new(Lock::new(()));
    std::mem::forget(at_once(lock.lock()));
    let waiters: Vec<_> = (0..3).map(|_| Hand::waiting(lock.lock())).collect();
    let counts: Vec<_> = waiters.iter().map(Hand::counter).collect();
    waiters.into_iter().for_each(Hand::leak);
    let lock = *lock; // moved, with all three in line
    drop(lock);
    for count in counts {
        assert_eq!((count.get(), Arc::strong_count(&count)), (0, 2), "ours, and the test's own");
    }
}
