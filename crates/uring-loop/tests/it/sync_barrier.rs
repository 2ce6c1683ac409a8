//! Barriers: filling, draining, filling again; breaking and mending.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::Duration;

use uring_loop::sync::{Barrier, BarrierState, BrokenBarrier};
use uring_loop::time::{Elapsed, sleep, timeout};
use uring_loop::{spawn, yield_now};

use crate::by_hand::{Hand, at_once, wakes};
use crate::support::run_limited;

const MS: Duration = Duration::from_millis(1);

type Waits<'a> = Vec<Hand<'a, Result<usize, BrokenBarrier>>>;

fn waiting(barrier: &Barrier, count: usize) -> Waits<'_> {
    (0..count).map(|_| Hand::waiting(barrier.wait())).collect()
}

/// Waiters, leaving, outside.
fn counts(barrier: &Barrier) -> (usize, usize, usize) {
    let statistics = barrier.statistics();
    (statistics.waiters, statistics.leaving, statistics.outside)
}

#[test]
#[should_panic = "for one task at least"]
fn one_for_nobody_is_a_mistake() {
    Barrier::new(0);
}

#[test]
fn one_for_a_single_task_never_waits() {
    let barrier = Barrier::new(1);
    for _ in 0..3 {
        assert_eq!(at_once(barrier.wait()), Ok(0));
    }
    assert_eq!(counts(&barrier), (0, 0, 0));
}

#[test]
fn it_says_how_it_stands() {
    let barrier = Barrier::new(3);
    let two = waiting(&barrier, 2);
    assert_eq!((barrier.parties(), barrier.waiters(), barrier.is_broken()), (3, 2, false));
    let shown = "Barrier { state: Filling, parties: 3, waiters: 2, leaving: 0, outside: 0 }";
    assert_eq!(format!("{barrier:?}"), shown);
    drop(two);
    barrier.abort();
    assert!(barrier.is_broken());
    assert_eq!(barrier.statistics().state, BarrierState::Broken);
    assert_eq!(std::io::Error::from(BrokenBarrier).to_string(), BrokenBarrier.to_string());
}

#[test]
fn the_last_to_come_goes_straight_through_and_wakes_the_others() {
    let barrier = Barrier::new(4);
    let mut waits = waiting(&barrier, 3);
    assert_eq!(at_once(barrier.wait()), Ok(3));
    assert_eq!(wakes(&waits), [1; 3]);
    assert_eq!(counts(&barrier), (0, 3, 0));
    // They may run in any order; their numbers are those of their arrival.
    assert_eq!(waits[2].ready(), Ok(2));
    assert_eq!(waits[0].ready(), Ok(0));
    assert_eq!(barrier.statistics().state, BarrierState::Draining);
    assert_eq!(waits[1].ready(), Ok(1));
    assert_eq!(barrier.statistics().state, BarrierState::Filling);
}

#[test]
fn one_that_goes_while_it_fills_is_not_counted_and_numbers_stay_unique() {
    let barrier = Barrier::new(3);
    let mut waits = waiting(&barrier, 2);
    drop(waits.remove(0));
    assert_eq!(barrier.waiters(), 1);
    waits.extend(waiting(&barrier, 1));
    assert_eq!(at_once(barrier.wait()), Ok(2));
    assert_eq!((waits[0].ready(), waits[1].ready()), (Ok(0), Ok(1)));
}

#[test]
fn who_comes_while_it_drains_waits_outside_and_is_let_in_after() {
    let barrier = Barrier::new(2);
    let mut first = waiting(&barrier, 1);
    assert_eq!(at_once(barrier.wait()), Ok(1));
    let mut late = waiting(&barrier, 3);
    assert_eq!(counts(&barrier), (0, 1, 3));
    assert_eq!(wakes(&late), [0; 3], "two of them would do, but it drains");
    assert_eq!(first[0].ready(), Ok(0));
    assert_eq!(wakes(&late), [1, 1, 0], "let in, they were enough at once");
    assert_eq!(counts(&barrier), (0, 2, 1));
    assert_eq!((late[0].ready(), late[1].ready()), (Ok(0), Ok(1)));
    late[2].pending();
    assert_eq!(counts(&barrier), (1, 0, 0));
    assert_eq!(at_once(barrier.wait()), Ok(1));
    assert_eq!(late[2].ready(), Ok(0));
}

#[test]
fn one_that_goes_after_it_was_let_go_on_has_left() {
    let barrier = Barrier::new(3);
    let mut waits = waiting(&barrier, 2);
    assert_eq!(at_once(barrier.wait()), Ok(2));
    drop(waits.remove(0));
    assert_eq!(counts(&barrier), (0, 1, 0));
    assert_eq!(waits[0].ready(), Ok(1));
    assert_eq!(barrier.statistics().state, BarrierState::Filling);
}

#[test]
fn one_that_goes_while_it_waits_outside_is_forgotten() {
    let barrier = Barrier::new(2);
    let mut first = waiting(&barrier, 1);
    assert_eq!(at_once(barrier.wait()), Ok(1));
    let mut late = waiting(&barrier, 2);
    drop(late.remove(0));
    assert_eq!(first[0].ready(), Ok(0));
    late[0].pending();
    assert_eq!(counts(&barrier), (1, 0, 0));
}

#[test]
fn a_reset_breaks_those_inside_and_it_fills_anew() {
    let barrier = Barrier::new(3);
    let mut waits = waiting(&barrier, 2);
    barrier.reset();
    assert_eq!(wakes(&waits), [1, 1]);
    assert_eq!(counts(&barrier), (0, 0, 0));
    assert!(!barrier.is_broken());
    let mut anew = waiting(&barrier, 2);
    assert!(waits.iter_mut().all(|wait| wait.ready() == Err(BrokenBarrier)));
    assert_eq!(at_once(barrier.wait()), Ok(2));
    assert!(anew.iter_mut().enumerate().all(|(index, wait)| wait.ready() == Ok(index)));
    barrier.reset(); // of an empty one
    assert_eq!(counts(&barrier), (0, 0, 0));
}

#[test]
fn a_reset_while_it_drains_breaks_those_that_have_not_run_and_lets_those_outside_in() {
    let barrier = Barrier::new(3);
    let mut waits = waiting(&barrier, 2);
    assert_eq!(at_once(barrier.wait()), Ok(2));
    let mut late = waiting(&barrier, 2);
    assert_eq!(waits[0].ready(), Ok(0));
    barrier.reset();
    assert_eq!(counts(&barrier), (2, 0, 0));
    assert_eq!(at_once(barrier.wait()), Ok(2));
    assert_eq!(waits[1].ready(), Err(BrokenBarrier));
    assert_eq!(counts(&barrier), (0, 2, 0), "it was not counted as one of the second round");
    assert_eq!((late[0].ready(), late[1].ready()), (Ok(0), Ok(1)));
}

#[test]
fn an_abort_breaks_all_and_those_to_come_until_it_is_reset() {
    let barrier = Barrier::new(2);
    let mut inside = waiting(&barrier, 1);
    assert_eq!(at_once(barrier.wait()), Ok(1));
    let mut outside = waiting(&barrier, 1);
    barrier.abort();
    assert_eq!(inside[0].ready(), Err(BrokenBarrier));
    assert_eq!(outside[0].ready(), Err(BrokenBarrier));
    assert_eq!(at_once(barrier.wait()), Err(BrokenBarrier));
    barrier.abort();
    barrier.reset();
    let mut waits = waiting(&barrier, 1);
    assert_eq!(at_once(barrier.wait()), Ok(1));
    assert_eq!(waits[0].ready(), Ok(0));
}

#[test]
fn one_that_was_broken_and_goes_unpolled_changes_nothing() {
    for abort in [false, true] {
        let barrier = Barrier::new(2);
        let inside = waiting(&barrier, 1);
        assert_eq!(at_once(barrier.wait()), Ok(1));
        if abort {
            barrier.abort()
        } else {
            barrier.reset()
        }
        drop(inside);
        barrier.reset();
        let mut waits = waiting(&barrier, 1);
        assert_eq!(counts(&barrier), (1, 0, 0));
        assert_eq!(at_once(barrier.wait()), Ok(1));
        assert_eq!(waits[0].ready(), Ok(0));
    }
}

#[test]
fn a_reset_frees_it_of_a_forgotten_waiter() {
    let barrier = Barrier::new(2);
    Hand::waiting(barrier.wait()).leak();
    assert_eq!(at_once(barrier.wait()), Ok(1));
    let mut late = waiting(&barrier, 1);
    assert_eq!(barrier.statistics().state, BarrierState::Draining, "it never leaves");
    barrier.reset();
    assert_eq!(at_once(barrier.wait()), Ok(1));
    assert_eq!(late[0].ready(), Ok(0));
}

#[test]
fn tasks_meet_again_and_again() {
    run_limited(async {
        const TASKS: usize = 5;
        let barrier = Rc::new(Barrier::new(TASKS));
        let log = Rc::new(RefCell::new(Vec::new()));
        let tasks: Vec<_> = (0..TASKS)
            .map(|task| {
                let (barrier, log) = (barrier.clone(), log.clone());
                spawn(async move {
                    for round in 0..20 {
                        sleep(MS * ((task * 7 + round) % 3) as u32).await;
                        let index = barrier.wait().await.expect("not broken");
                        log.borrow_mut().push((round, index));
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.expect("no panic");
        }
        let log = log.borrow();
        for (round, meeting) in log.chunks(TASKS).enumerate() {
            let indexes: BTreeSet<_> = meeting.iter().map(|entry| entry.1).collect();
            assert!(meeting.iter().all(|entry| entry.0 == round), "nobody is a round ahead");
            assert_eq!(indexes, (0..TASKS).collect());
        }
    });
}

/// More tasks than places: whole rounds go on, the rest waits.
#[test]
fn of_many_tasks_whole_rounds_go_on() {
    run_limited(async {
        let barrier = Rc::new(Barrier::new(3));
        let tasks: Vec<_> = (0..8)
            .map(|_| {
                let barrier = barrier.clone();
                spawn(async move { barrier.wait().await })
            })
            .collect();
        sleep(MS).await;
        assert_eq!(tasks.iter().filter(|task| task.is_done()).count(), 6);
        assert_eq!(counts(&barrier), (2, 0, 0));
        barrier.abort();
        sleep(MS).await;
        assert!(tasks.iter().all(|task| task.is_done()));
        let mut broken = 0;
        for task in tasks {
            broken += usize::from(task.await.expect("no panic").is_err());
        }
        assert_eq!(broken, 2);
    });
}

#[test]
fn a_wait_ends_by_cancel_abort_and_timeout() {
    run_limited(async {
        let barrier = Rc::new(Barrier::new(3));
        let arrive = || {
            let barrier = barrier.clone();
            spawn(async move { barrier.wait().await })
        };
        let (cancelled, aborted, patient) = (arrive(), arrive(), arrive());
        cancelled.cancel(); // before it began
        yield_now().await;
        assert_eq!(barrier.waiters(), 2);
        aborted.abort();
        assert_eq!(timeout(MS, barrier.wait()).await, Err(Elapsed));
        assert_eq!(barrier.waiters(), 1);
        let other = arrive();
        yield_now().await;
        assert_eq!(barrier.wait().await, Ok(2));
        assert_eq!(patient.await.expect("no panic"), Ok(0));
        assert_eq!(other.await.expect("no panic"), Ok(1));
        assert!(cancelled.await.is_err() && aborted.await.is_err());
    });
}
