//! Values made once: one makes it, and the turn never gets lost.

use std::cell::Cell;
use std::future::pending;
use std::rc::Rc;
use std::time::Duration;

use uring_loop::sync::{Event, Once, OnceCell};
use uring_loop::time::{Elapsed, sleep, timeout};
use uring_loop::{spawn, yield_now};

use crate::by_hand::{Hand, at_once, wakes};
use crate::support::run_limited;

const MS: Duration = Duration::from_millis(1);

#[test]
fn it_is_made_at_the_first_need_and_stays() {
    let mut cell = OnceCell::new();
    assert_eq!(cell.get(), None);
    assert_eq!(*at_once(cell.get_or_init(async || 5)), 5);
    assert_eq!(*at_once(cell.get_or_init(async || unreachable!())), 5);
    assert_eq!(cell.set(6), Err(6));
    *cell.get_mut().expect("made") += 1;
    assert_eq!(format!("{cell:?}"), "OnceCell { value: Some(6), running: false, waiters: 0 }");
    assert_eq!(cell.into_inner(), Some(6));
    assert_eq!(OnceCell::from(7).get(), Some(&7));
    assert_eq!(OnceCell::<u8>::default().into_inner(), None);
}

#[test]
fn what_is_to_be_done_once_is_done_once() {
    let (once, done) = (Once::new(), Cell::new(0));
    assert_eq!(at_once(once.try_call_once(async || Err("not yet"))), Err("not yet"));
    assert!(once.get().is_none());
    let gate = Event::new();
    let mut first = Hand::waiting(once.call_once(async || {
        gate.wait().await;
        done.set(done.get() + 1);
    }));
    let mut second = Hand::waiting(once.call_once(async || unreachable!("it is being done")));
    gate.set();
    first.ready();
    second.ready();
    assert_eq!(at_once(once.try_call_once(async || Err("again"))), Ok(()));
    assert_eq!((once.get(), done.get()), (Some(&()), 1));
}

#[test]
fn when_who_does_it_goes_the_next_does_it() {
    let (once, done) = (Once::new(), Cell::new(false));
    let first = Hand::waiting(once.call_once(async || pending().await));
    let mut second = Hand::waiting(once.call_once(async || done.set(true)));
    drop(first);
    assert_eq!(second.wakes(), 1);
    second.ready();
    assert!(done.get() && once.get().is_some());
}

#[test]
fn it_may_be_set_from_outside_unless_somebody_makes_it() {
    let cell = OnceCell::new();
    let gate = Event::new();
    let mut maker = Hand::waiting(cell.get_or_init(async || {
        gate.wait().await;
        1
    }));
    assert!(cell.statistics().running);
    assert_eq!(cell.set(2), Err(2));
    gate.set();
    assert_eq!(*maker.ready(), 1);

    let cell = OnceCell::new();
    assert_eq!(cell.set(3), Ok(()));
    assert_eq!(*at_once(cell.get_or_init(async || unreachable!())), 3);
}

#[test]
fn one_makes_it_and_all_others_get_it() {
    let cell = OnceCell::new();
    let gate = Event::new();
    let mut maker = Hand::waiting(cell.get_or_init(async || {
        gate.wait().await;
        String::from("made")
    }));
    let mut others: Vec<_> = (0..3)
        .map(|_| Hand::waiting(cell.get_or_init(async || unreachable!("it is being made"))))
        .collect();
    assert_eq!(cell.statistics().waiters, 3);
    gate.set();
    assert_eq!(maker.ready(), "made");
    assert_eq!(wakes(&others), [1; 3]);
    drop(others.pop());
    assert!(others.iter_mut().all(|other| other.ready() == "made"));
}

#[test]
fn when_making_it_fails_the_next_tries_with_its_own() {
    let cell = OnceCell::new();
    let gate = Event::new();
    let mut failing = Hand::waiting(cell.get_or_try_init(async || {
        gate.wait().await;
        Err("no luck")
    }));
    let mut waiting: Vec<_> = (0..3)
        .map(|index| Hand::waiting(cell.get_or_try_init(async move || Ok::<_, &str>(index))))
        .collect();
    gate.set();
    assert_eq!(failing.ready(), Err("no luck"));
    assert_eq!(wakes(&waiting), [1, 0, 0], "the turn is one's only");
    assert_eq!(waiting[0].ready(), Ok(&0));
    assert_eq!(waiting[1].ready(), Ok(&0));
    assert_eq!(waiting[2].ready(), Ok(&0));
}

#[test]
fn a_maker_that_is_dropped_hands_the_turn_on_through_others_that_are_dropped() {
    let cell = OnceCell::new();
    let maker = Hand::waiting(cell.get_or_init(async || std::future::pending().await));
    let next = Hand::waiting(cell.get_or_init(async || 1));
    let mut last = Hand::waiting(cell.get_or_init(async || 2));
    drop(maker);
    assert_eq!((next.wakes(), last.wakes()), (1, 0));
    assert_eq!(cell.set(9), Err(9), "it is somebody's turn");
    drop(next);
    assert_eq!(last.wakes(), 1);
    assert_eq!(*last.ready(), 2);

    let cell = OnceCell::new();
    drop(Hand::waiting(cell.get_or_init(async || std::future::pending().await)));
    assert!(!cell.statistics().running);
    assert_eq!(cell.set(3), Ok(()));
}

#[test]
fn a_maker_that_panics_hands_the_turn_on() {
    run_limited(async {
        let cell = Rc::new(OnceCell::new());
        let make = |panics: bool| {
            let cell = cell.clone();
            spawn(async move {
                *cell
                    .get_or_init(async || {
                        sleep(MS).await;
                        assert!(!panics, "on purpose");
                        4
                    })
                    .await
            })
        };
        let (one, two) = (make(true), make(false));
        assert!(one.await.expect_err("it panicked").is_panic());
        assert_eq!(two.await.expect("made"), 4);
    });
}

#[test]
fn tasks_that_are_cancelled_or_too_late_lose_no_turn() {
    run_limited(async {
        let cell = Rc::new(OnceCell::new());
        let begun = Rc::new(Cell::new(0));
        let make = |index: u32| {
            let (cell, begun) = (cell.clone(), begun.clone());
            spawn(async move {
                let make = cell.get_or_init(async || {
                    begun.set(begun.get() + 1);
                    sleep(MS * 10).await;
                    index
                });
                timeout(MS * 12, make).await.copied()
            })
        };
        let tasks: Vec<_> = (0..4).map(make).collect();
        yield_now().await;
        tasks[0].cancel();
        sleep(MS).await;
        tasks[1].abort(); // while it makes it
        sleep(MS * 9).await;
        let mut results = Vec::new();
        for task in tasks {
            results.push(task.await.ok());
        }
        assert_eq!(begun.get(), 3);
        assert_eq!(results, [None, None, Some(Ok(2)), Some(Ok(2))]);
        assert_eq!(timeout(MS, cell.get_or_init(async || 0)).await, Ok::<_, Elapsed>(&2));
    });
}
