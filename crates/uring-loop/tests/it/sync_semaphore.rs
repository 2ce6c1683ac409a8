//! Semaphores: in which order permits go out, and that they all come back.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use uring_loop::sync::{BoundedSemaphore, OverRelease, Semaphore};
use uring_loop::time::{sleep, timeout};
use uring_loop::{spawn, yield_now};

use crate::by_hand::{Hand, at_once, wakes};
use crate::support::run_limited;

const MS: Duration = Duration::from_millis(1);

#[test]
fn permits_are_taken_and_come_back_with_their_guards() {
    let semaphore = Semaphore::new(4);
    let one = at_once(semaphore.acquire());
    let mut three = at_once(semaphore.acquire_many(3));
    assert_eq!((one.count(), three.count(), semaphore.available()), (1, 3, 0));
    assert!(semaphore.locked());
    assert!(semaphore.try_acquire().is_none());
    let two = three.split(2);
    drop(three);
    assert_eq!((two.count(), semaphore.available()), (2, 1));
    drop((one, two));
    assert_eq!(semaphore.available(), 4);
    assert!(!semaphore.locked());
    assert!(semaphore.try_acquire_many(5).is_none());
    assert_eq!(format!("{semaphore:?}"), "Semaphore { available: 4, waiters: 0 }");
}

#[test]
fn one_without_permits_waits_for_some_to_be_added() {
    let semaphore = Semaphore::new(0);
    assert!(semaphore.locked());
    let mut waiter = Hand::waiting(semaphore.acquire());
    semaphore.add_permits(2);
    assert_eq!(waiter.wakes(), 1);
    assert_eq!(semaphore.available(), 1, "the other is for the waiter");
    waiter.ready().forget();
    assert_eq!(semaphore.available(), 1);
}

#[test]
#[should_panic = "at most usize::MAX permits"]
fn more_permits_than_can_be_counted_are_a_mistake() {
    Semaphore::new(usize::MAX).add_permits(1);
}

#[test]
fn permits_go_out_in_waiting_order_one_wake_each() {
    let semaphore = Semaphore::new(0);
    let mut waiters: Vec<_> = (0..5).map(|_| Hand::waiting(semaphore.acquire())).collect();
    semaphore.add_permits(2);
    assert_eq!(wakes(&waiters), [1, 1, 0, 0, 0]);
    let first = waiters[0].ready();
    drop(first);
    assert_eq!(wakes(&waiters), [1, 1, 1, 0, 0]);
    waiters[3..].iter_mut().for_each(Hand::pending);
}

#[test]
fn who_asks_for_many_is_not_passed_by_those_who_ask_for_few() {
    let semaphore = Semaphore::new(3);
    let held = at_once(semaphore.acquire());
    let mut many = Hand::waiting(semaphore.acquire_many(3));
    assert_eq!(semaphore.available(), 2);
    assert!(semaphore.locked(), "somebody waits");
    assert!(semaphore.try_acquire().is_none());
    let mut few = Hand::waiting(semaphore.acquire());
    let mut none = Hand::waiting(semaphore.acquire_many(0));
    drop(held);
    few.pending();
    none.pending();
    drop(many.ready());
    assert_eq!((few.ready().count(), none.ready().count()), (1, 0));
    assert_eq!(at_once(semaphore.acquire_many(0)).count(), 0);
}

#[test]
fn when_who_asked_for_many_goes_those_behind_move_up() {
    let semaphore = Semaphore::new(2);
    let held = at_once(semaphore.acquire());
    let many = Hand::waiting(semaphore.acquire_many(2));
    let mut few = Hand::waiting(semaphore.acquire());
    drop(many);
    assert_eq!(few.wakes(), 1);
    drop((few.ready(), held));
    assert_eq!(semaphore.available(), 2);
}

#[test]
fn one_that_goes_after_it_was_served_gives_the_permits_on() {
    let semaphore = Semaphore::new(0);
    let two = Hand::waiting(semaphore.acquire_many(2));
    let mut waiters = [Hand::waiting(semaphore.acquire()), Hand::waiting(semaphore.acquire())];
    semaphore.add_permits(2);
    assert_eq!(wakes(&waiters), [0, 0]);
    drop(two);
    assert_eq!(wakes(&waiters), [1, 1]);
    let [one, other] = &mut waiters;
    drop((one.ready(), other.ready()));
    assert_eq!(semaphore.available(), 2);
}

#[test]
fn a_newcomer_waits_behind_one_that_was_woken_and_has_not_run() {
    let semaphore = Semaphore::new(0);
    let mut waiter = Hand::waiting(semaphore.acquire());
    semaphore.add_permits(1);
    assert!(semaphore.try_acquire().is_none());
    let mut newcomer = Hand::waiting(semaphore.acquire());
    let permit = waiter.ready();
    newcomer.pending();
    drop(permit);
    drop(newcomer.ready());
}

#[test]
fn owned_permits_keep_their_semaphore_and_travel() {
    let semaphore = Rc::new(Semaphore::new(3));
    let permit = at_once(semaphore.clone().acquire_owned());
    let two = at_once(semaphore.clone().acquire_many_owned(2));
    assert_eq!((permit.count(), two.count(), semaphore.available()), (1, 2, 0));
    let weak = Rc::downgrade(&semaphore);
    drop(semaphore);
    drop(permit);
    assert_eq!(weak.upgrade().expect("kept by `two`").available(), 1);
    let semaphore = weak.upgrade().expect("kept by `two`");
    two.forget();
    assert_eq!(semaphore.available(), 1);
    assert_eq!(Rc::strong_count(&semaphore), 1);
}

#[test]
fn owned_permits_may_be_tried_for() {
    let semaphore = Rc::new(Semaphore::new(2));
    assert!(semaphore.clone().try_acquire_many_owned(3).is_none());
    let permit = semaphore.clone().try_acquire_owned().expect("there are two");
    let mut both = Hand::waiting(semaphore.acquire_many(2));
    assert!(semaphore.clone().try_acquire_owned().is_none(), "somebody waits already");
    assert_eq!(Rc::strong_count(&semaphore), 2, "a permit that was not given keeps nothing");
    drop(permit);
    assert_eq!(both.ready().count(), 2);
    assert_eq!(semaphore.available(), 2);
}

#[test]
fn a_bounded_one_refuses_what_was_not_taken() {
    let semaphore = BoundedSemaphore::new(2);
    assert_eq!(semaphore.release(), Err(OverRelease));
    let (one, two) = (at_once(semaphore.acquire()), semaphore.try_acquire().expect("a second"));
    assert_eq!(semaphore.release(), Err(OverRelease), "its guard gives it back");
    one.forget();
    assert_eq!(semaphore.release(), Ok(()));
    drop(two);
    assert_eq!(semaphore.release(), Err(OverRelease));
    assert_eq!((semaphore.available(), semaphore.locked()), (2, false));
    let shown = format!("{semaphore:?}");
    assert_eq!(shown, "BoundedSemaphore { available: 2, initial: 2, waiters: 0 }");
    assert_eq!(std::io::Error::from(OverRelease).to_string(), OverRelease.to_string());
}

#[test]
fn a_bounded_one_serves_those_who_wait_when_it_is_released() {
    let semaphore = BoundedSemaphore::new(1);
    at_once(semaphore.acquire_many(1)).forget();
    let mut waiter = Hand::waiting(semaphore.acquire());
    assert_eq!(semaphore.statistics().waiters, 1);
    semaphore.release().expect("one is forgotten");
    drop(waiter.ready());
    assert!(semaphore.try_acquire_many(1).is_some());
}

#[test]
#[should_panic = "are never free: ask for less"]
fn more_than_a_bounded_one_has_are_a_mistake() {
    let semaphore = BoundedSemaphore::new(1);
    let _ = at_once(semaphore.acquire_many(2));
}

#[test]
fn no_more_tasks_than_permits_are_inside_at_a_time() {
    run_limited(async {
        let semaphore = Rc::new(Semaphore::new(3));
        let (inside, most) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
        let tasks: Vec<_> = (0..20)
            .map(|index| {
                let (semaphore, inside, most) = (semaphore.clone(), inside.clone(), most.clone());
                spawn(async move {
                    let _permit = semaphore.acquire().await;
                    inside.set(inside.get() + 1);
                    most.set(most.get().max(inside.get()));
                    sleep(MS * (index % 4)).await;
                    inside.set(inside.get() - 1);
                })
            })
            .collect();
        for task in tasks {
            task.await.expect("no panic");
        }
        assert_eq!((most.get(), inside.get(), semaphore.available()), (3, 0, 3));
    });
}

#[test]
fn tasks_that_are_cancelled_aborted_or_too_late_lose_no_permit() {
    run_limited(async {
        let semaphore = Rc::new(Semaphore::new(2));
        for round in 0..50u32 {
            let tasks: Vec<_> = (0..6)
                .map(|index| {
                    let semaphore = semaphore.clone();
                    spawn(async move {
                        let many = semaphore.acquire_many(1 + index % 2);
                        if let Ok(permit) = timeout(MS * (index as u32 + round % 3), many).await {
                            sleep(MS).await;
                            drop(permit);
                        }
                    })
                })
                .collect();
            for _ in 0..round % 5 {
                yield_now().await;
            }
            tasks[round as usize % 6].cancel();
            tasks[(round as usize + 3) % 6].abort();
            for task in tasks {
                let _ = task.await;
            }
            let statistics = semaphore.statistics();
            assert_eq!((statistics.available, statistics.waiters), (2, 0), "round {round}");
        }
    });
}
