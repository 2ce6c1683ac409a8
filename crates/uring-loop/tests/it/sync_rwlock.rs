//! Locks for readers and writers: who goes in together, and that neither kind starves the other.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use uring_loop::sync::RwLock;
use uring_loop::time::{Elapsed, sleep, timeout};
use uring_loop::{spawn, yield_now};

use crate::by_hand::{Hand, at_once, wakes};
use crate::support::run_limited;

const MS: Duration = Duration::from_millis(1);

#[test]
fn readers_share_and_a_writer_is_alone() {
    let mut lock = RwLock::new(1);
    {
        let (one, two) = (at_once(lock.read()), lock.try_read().expect("together"));
        assert_eq!(*one + *two, 2);
        assert!(lock.try_write().is_none());
        assert_eq!(lock.statistics().readers, 2);
    }
    {
        let mut writer = at_once(lock.write());
        *writer += 1;
        assert!(lock.try_read().is_none() && lock.try_write().is_none());
        assert!(lock.statistics().writer && lock.locked());
        assert_eq!(format!("{lock:?}"), "RwLock { readers: 0, writer: true, waiters: 0, .. }");
    }
    let shown = format!("{lock:?}");
    assert_eq!(shown, "RwLock { readers: 0, writer: false, waiters: 0, value: 2 }");
    *lock.get_mut() += 1;
    assert_eq!(*lock.try_write().expect("free"), 3);
    assert_eq!(lock.into_inner(), 3);
    assert_eq!(*at_once(RwLock::from(5).read()), 5);
}

#[test]
fn readers_next_to_each_other_go_in_together_and_those_behind_a_writer_wait() {
    let lock = RwLock::new(());
    let writing = at_once(lock.write());
    let mut before = [Hand::waiting(lock.read()), Hand::waiting(lock.read())];
    let mut writer = Hand::waiting(lock.write());
    let mut behind = [Hand::waiting(lock.read()), Hand::waiting(lock.read())];
    drop(writing);
    assert_eq!((wakes(&before), writer.wakes(), wakes(&behind)), (vec![1, 1], 0, vec![0, 0]));
    let [one, two] = &mut before;
    let (one, two) = (one.ready(), two.ready());
    drop(one);
    writer.pending();
    drop(two);
    assert_eq!((writer.wakes(), wakes(&behind)), (1, vec![0, 0]));
    drop(writer.ready());
    assert_eq!(wakes(&behind), [1, 1]);
    let [one, two] = &mut behind;
    let _both = (one.ready(), two.ready());
}

#[test]
fn a_reader_that_comes_while_a_writer_waits_does_not_pass_it() {
    let lock = RwLock::new(());
    let reading = at_once(lock.read());
    let mut writer = Hand::waiting(lock.write());
    assert!(lock.try_read().is_none());
    let mut reader = Hand::waiting(lock.read());
    drop(reading);
    drop(writer.ready());
    drop(reader.ready());
    assert!(!lock.locked());
}

#[test]
fn when_a_writer_in_line_goes_the_readers_behind_it_join_those_inside() {
    let lock = RwLock::new(());
    let _reading = at_once(lock.read());
    let writer = Hand::waiting(lock.write());
    let mut reader = Hand::waiting(lock.read());
    drop(writer);
    assert_eq!(reader.wakes(), 1);
    drop(reader.ready());
}

#[test]
fn one_that_goes_when_it_is_its_turn_gives_the_turn_on() {
    let lock = RwLock::new(());
    let reading = at_once(lock.read());
    let writer = Hand::waiting(lock.write());
    let (first, mut second) = (Hand::waiting(lock.read()), Hand::waiting(lock.read()));
    let last = Hand::waiting(lock.write());
    drop(reading);
    drop(writer); // it was the writer's turn
    assert_eq!((first.wakes(), second.wakes(), last.wakes()), (1, 1, 0));
    drop(first);
    drop(second.ready());
    assert_eq!(last.wakes(), 1);
    drop(last);
    assert!(!lock.locked());
}

#[test]
fn a_writer_that_goes_on_reading_lets_the_readers_behind_it_in() {
    let lock = RwLock::new(1);
    let mut writing = at_once(lock.write());
    *writing = 2;
    let mut reader = Hand::waiting(lock.read());
    let mut writer = Hand::waiting(lock.write());
    let reading = writing.downgrade();
    assert_eq!((*reading, *reader.ready()), (2, 2));
    writer.pending();
    drop(reading);
    drop(writer.ready());
    assert!(!lock.locked());
}

#[test]
fn a_forgotten_read_guard_keeps_writers_out_and_lets_readers_in() {
    let lock = RwLock::new(());
    std::mem::forget(at_once(lock.read()));
    assert!(lock.try_read().is_some());
    assert!(lock.try_write().is_none());
}

#[test]
fn streams_of_readers_and_of_writers_let_each_other_through() {
    run_limited(async {
        let lock = Rc::new(RwLock::new(0));
        let (read, written) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
        let tasks: Vec<_> = (0..8)
            .map(|index| {
                let (lock, read, written) = (lock.clone(), read.clone(), written.clone());
                spawn(async move {
                    for _ in 0..50 {
                        if index % 2 == 0 {
                            let guard = lock.read().await;
                            yield_now().await;
                            read.set(read.get() + 1);
                            assert!(*guard <= written.get());
                        } else {
                            let mut guard = lock.write().await;
                            yield_now().await;
                            *guard += 1;
                            written.set(written.get() + 1);
                        }
                        // Neither kind runs away from the other: they take turns.
                        let (read, written) = (read.get(), written.get());
                        assert!(i32::abs(read - written) <= 8, "{read} read, {written} written");
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.expect("fair");
        }
        assert_eq!((*lock.read().await, read.get()), (200, 200));
    });
}

#[test]
fn a_wait_ends_by_cancel_abort_and_timeout_and_nothing_is_held() {
    run_limited(async {
        let lock = Rc::new(RwLock::new(()));
        let reading = lock.read().await;
        let write = || {
            let lock = lock.clone();
            spawn(async move {
                let _guard = lock.write().await;
                sleep(MS).await;
            })
        };
        let (cancelled, aborted) = (write(), write());
        yield_now().await;
        assert_eq!(timeout(MS, lock.read()).await.err(), Some(Elapsed));
        assert_eq!(lock.statistics().waiters, 2);
        cancelled.cancel();
        assert!(cancelled.await.is_err());
        drop(reading); // it is the other's turn
        aborted.abort();
        assert!(!lock.locked());
        assert_eq!(timeout(MS, lock.write()).await.err(), None);
    });
}
