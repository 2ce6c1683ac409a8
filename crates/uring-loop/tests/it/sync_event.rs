//! Events: who is woken by a set, and that a clear does not take it back.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Wake, Waker};
use std::time::Duration;

use uring_loop::sync::Event;
use uring_loop::time::{Elapsed, sleep, timeout};
use uring_loop::{spawn, yield_now};

use crate::by_hand::{Hand, at_once, wakes};
use crate::support::run_limited;

const MS: Duration = Duration::from_millis(1);

#[test]
fn it_is_set_cleared_and_shown() {
    let event = Event::new();
    assert!(!event.is_set());
    assert_eq!(format!("{event:?}"), "Event { set: false, waiters: 0 }");
    let waiter = Hand::waiting(event.wait());
    assert_eq!(event.statistics().waiters, 1);
    event.set();
    assert_eq!(format!("{event:?}"), "Event { set: true, waiters: 0 }");
    drop(waiter);
    event.clear();
    assert!(!event.is_set());
    assert!(!Event::default().is_set());
}

#[test]
fn a_wait_on_a_set_event_is_over_at_once_every_time() {
    let event = Event::new();
    event.set();
    event.set();
    at_once(event.wait());
    at_once(event.wait());
    assert!(event.is_set());
}

#[test]
fn all_who_wait_are_woken_even_if_it_is_cleared_at_once() {
    let event = Event::new();
    let mut waiters: Vec<_> = (0..5).map(|_| Hand::waiting(event.wait())).collect();
    event.set();
    event.clear();
    assert_eq!(wakes(&waiters), [1; 5]);
    let mut late = Hand::waiting(event.wait());
    waiters.iter_mut().for_each(Hand::ready);
    late.pending();
    event.set();
    late.ready();
}

#[test]
fn one_that_goes_is_not_woken_and_keeps_nobody() {
    let event = Event::new();
    let mut waiters: Vec<_> = (0..3).map(|_| Hand::waiting(event.wait())).collect();
    drop(waiters.remove(1));
    assert_eq!(event.statistics().waiters, 2);
    event.set();
    drop(waiters.remove(0)); // after it was woken
    waiters[0].ready();
    at_once(event.wait());
}

#[test]
fn a_forgotten_waiter_does_not_hold_up_a_set() {
    let event = Event::new();
    let (one, lost, two) =
        (Hand::waiting(event.wait()), Hand::waiting(event.wait()), Hand::waiting(event.wait()));
    lost.leak();
    let mut rest = [one, two];
    event.set();
    rest.iter_mut().for_each(Hand::ready);
}

/// A waker of another executor may do anything, here: clear the event and wait for it again.
#[test]
fn who_gets_in_line_while_the_others_are_woken_waits_for_the_next_set() {
    thread_local! {
        static EVENT: Rc<Event> = Rc::default();
        static COME: RefCell<Vec<Hand<'static, ()>>> = const { RefCell::new(Vec::new()) };
    }
    fn wait() -> Hand<'static, ()> {
        let event = EVENT.with(Rc::clone);
        Hand::new(async move { event.wait().await })
    }
    struct ComeAgain;
    impl Wake for ComeAgain {
        fn wake(self: Arc<Self>) {
            EVENT.with(|event| event.clear());
            let mut hand = wait();
            assert!(hand.poll_with(&Waker::from(self)).is_pending());
            COME.with_borrow_mut(|come| {
                assert!(come.len() < 10, "a set that never ends");
                come.push(hand);
            });
        }
    }
    let waker = Waker::from(Arc::new(ComeAgain));
    let mut hands = [wait(), wait()];
    assert!(hands.iter_mut().all(|hand| hand.poll_with(&waker).is_pending()));
    EVENT.with(|event| event.set());
    assert!(hands.iter_mut().all(|hand| hand.poll().is_ready()));
    assert_eq!(EVENT.with(|event| event.statistics().waiters), 2);
    COME.with_borrow_mut(Vec::clear);
}

#[test]
fn a_task_set_it_clears_and_sets_it_again_and_each_waiter_sees_one_of_them() {
    run_limited(async {
        let event = Rc::new(Event::new());
        let rounds = Rc::new(Cell::new(0));
        let task = spawn({
            let (event, rounds) = (event.clone(), rounds.clone());
            async move {
                for _ in 0..3 {
                    event.wait().await;
                    rounds.set(rounds.get() + 1);
                }
            }
        });
        for round in 1..=3 {
            sleep(MS).await;
            event.set();
            event.clear();
            yield_now().await;
            assert_eq!(rounds.get(), round);
        }
        task.await.expect("no panic");
    });
}

#[test]
fn a_wait_ends_by_cancel_and_timeout() {
    run_limited(async {
        let event = Rc::new(Event::new());
        let task = spawn({
            let event = event.clone();
            async move { event.wait().await }
        });
        assert_eq!(timeout(MS, event.wait()).await, Err(Elapsed));
        assert_eq!(event.statistics().waiters, 1);
        task.cancel();
        assert!(task.await.expect_err("never set").is_cancelled());
        assert_eq!(event.statistics().waiters, 0);
        event.set();
        assert_eq!(timeout(MS, event.wait()).await, Ok(()));
    });
}

#[test]
fn a_task_that_loops_over_a_set_event_starves_nobody() {
    run_limited(async {
        let event = Event::new();
        event.set();
        let others = Rc::new(Cell::new(0));
        let other = spawn({
            let others = others.clone();
            async move {
                loop {
                    others.set(others.get() + 1);
                    yield_now().await;
                }
            }
        });
        for _ in 0..1000 {
            event.wait().await;
        }
        assert!(others.get() >= 5, "{}", others.get());
        other.abort();
    });
}
