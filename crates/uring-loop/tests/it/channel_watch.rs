//! `channel::watch`: versions and who has seen them, changing in place, ends, and values that are
//! held while the next one comes.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use uring_loop::channel::Closed;
use uring_loop::channel::watch;
use uring_loop::time::{Elapsed, timeout};
use uring_loop::{hold, run, spawn, yield_now};

use crate::support::run_limited;

const MS: Duration = Duration::from_millis(1);
const HOUR: Duration = Duration::from_secs(3600);

#[test]
fn values_of_a_plain_thread_reach_a_loop_and_back() {
    let (sender, mut receiver) = watch::channel(0);
    let (echo, mut echoed) = watch::channel(0);
    let thread = thread::spawn(move || {
        for value in 1..=500 {
            sender.send(value);
            if value % 100 == 0 {
                // It sees this one, since it is the latest until it is echoed.
                echoed.blocking_wait_for(|echo| *echo == value).expect("it echoes");
            }
        }
    });
    run(async move {
        let mut last = 0;
        while receiver.changed().await.is_ok() {
            let value = *receiver.borrow_and_update();
            assert!(value > last, "{value} behind {last}");
            last = value;
            echo.send(value);
        }
        assert_eq!(last, 500);
    })
    .expect("a ring");
    thread.join().expect("no panic");
}

#[test]
fn each_receiver_sees_a_version_at_most_once() {
    run_limited(async {
        let (sender, mut receiver) = watch::channel('a');
        assert!(!receiver.has_changed(), "the first value counts as seen");
        assert_eq!(timeout(HOUR, receiver.changed()).await, Err(Elapsed));
        sender.send('b');
        sender.send('c');
        let mut same = receiver.clone();
        let mut late = sender.subscribe();
        assert!(receiver.has_changed() && same.has_changed() && !late.has_changed());
        assert_eq!(receiver.changed().await, Ok(()));
        assert_eq!((*receiver.borrow(), receiver.has_changed()), ('c', false));
        assert_eq!(timeout(HOUR, receiver.changed()).await, Err(Elapsed));
        assert_eq!((*same.borrow(), same.has_changed()), ('c', true));
        assert_eq!((*same.borrow_and_update(), same.has_changed()), ('c', false));
        sender.send('c'); // the same value, and a version of its own
        late.changed().await.expect("open");
        drop(sender);
        assert!(same.is_closed());
        assert_eq!(same.changed().await, Ok(()), "the last version comes before the end");
        assert_eq!(same.changed().await, Err(Closed(())));
    });
}

#[test]
fn all_receivers_are_woken_by_a_value_and_by_the_end() {
    run_limited(async {
        let (sender, receiver) = watch::channel(0);
        let tasks: Vec<_> = (0..10)
            .map(|_| {
                let mut receiver = receiver.clone();
                spawn(async move {
                    receiver.changed().await.expect("a value");
                    assert_eq!(receiver.changed().await, Err(Closed(())));
                })
            })
            .collect();
        yield_now().await;
        sender.send(1);
        yield_now().await;
        drop(sender);
        for task in tasks {
            task.await.expect("no panic");
        }
    });
}

#[test]
fn a_value_that_pleases_is_waited_for() {
    run_limited(async {
        let (sender, mut receiver) = watch::channel(1);
        assert_eq!(receiver.wait_for(|value| *value == 1).await.as_deref(), Ok(&1));
        let even = spawn(async move {
            let asked = std::cell::RefCell::new(Vec::new());
            let found = receiver
                .wait_for(|value| {
                    asked.borrow_mut().push(*value);
                    value % 2 == 0
                })
                .await;
            (found.map(|value| *value), asked.into_inner(), receiver)
        });
        yield_now().await;
        sender.send(3);
        yield_now().await;
        sender.send(4);
        let (found, asked, mut receiver) = even.await.expect("no panic");
        assert_eq!((found, asked), (Ok(4), vec![1, 3, 4]));
        let wait = timeout(HOUR, receiver.wait_for(|value| *value > 4));
        assert!(wait.await.is_err());
        drop(sender);
        assert_eq!(receiver.wait_for(|value| *value > 4).await, Err(Closed(())));
        assert_eq!(receiver.wait_for(|value| *value == 4).await.as_deref(), Ok(&4));
    });
}

#[test]
fn a_value_that_is_held_keeps_nobody_waiting() {
    let (sender, receiver) = watch::channel(String::from("old"));
    let held = receiver.borrow();
    sender.send_modify(|value| value.push_str("er"));
    sender.send(String::from("new"));
    assert_eq!((held.as_str(), receiver.borrow().as_str()), ("old", "new"));
    let before = sender.send_replace(String::from("newest"));
    assert_eq!((before.as_str(), sender.borrow().as_str()), ("new", "newest"));
}

#[test]
fn a_change_that_fails_or_is_refused_changes_nothing() {
    let (sender, receiver) = watch::channel(vec![1]);
    let refused = sender.send_if_modified(|value| {
        value.push(2);
        false
    });
    assert!(!refused);
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        sender.send_modify(|value| {
            value.push(3);
            panic!("half way");
        });
    }));
    assert!(panicked.is_err());
    assert_eq!((receiver.borrow().as_slice(), receiver.has_changed()), (&[1][..], false));
    sender.send_modify(|value| value.push(4));
    assert_eq!((receiver.borrow().as_slice(), receiver.has_changed()), (&[1, 4][..], true));
}

#[test]
fn a_closure_may_look_at_the_channel_but_not_send() {
    let (sender, receiver) = watch::channel(1);
    let other = sender.clone();
    sender.send_modify(|value| *value += *receiver.borrow());
    assert_eq!(*receiver.borrow(), 2);
    let inside = catch_unwind(AssertUnwindSafe(|| sender.send_modify(|_| other.send(9))));
    let message = inside.expect_err("it would wait for itself");
    let message = message.downcast_ref::<&str>().expect("a sentence");
    assert!(message.contains("let the closure return first"), "{message}");
    other.send(5);
    assert_eq!(*receiver.borrow(), 5);
}

#[test]
fn what_several_threads_modify_adds_up() {
    let (sender, receiver) = watch::channel(0);
    let threads: Vec<_> = (0..3)
        .map(|_| {
            let sender = sender.clone();
            thread::spawn(move || {
                (0..500).for_each(|_| {
                    sender.send_modify(|value| {
                        // The others come in between, if they can.
                        thread::yield_now();
                        *value += 1;
                    });
                });
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().expect("no panic"));
    assert_eq!(*receiver.borrow(), 1500);
}

#[test]
fn a_sender_learns_that_nobody_looks() {
    run_limited(async {
        let (sender, receiver) = watch::channel(0);
        let other = receiver.clone();
        assert_eq!((sender.receiver_count(), sender.is_closed()), (2, false));
        drop(receiver);
        assert_eq!(timeout(HOUR, sender.closed()).await, Err(Elapsed));
        let goes = spawn(async move { drop(other) });
        sender.closed().await;
        assert!(sender.is_closed());
        goes.await.expect("no panic");
        sender.send(7); // for those who come later
        assert_eq!(*sender.subscribe().borrow(), 7);
    });
}

#[test]
fn limits_hold_on_the_loop_and_on_plain_threads() {
    let (sender, mut receiver) = watch::channel(0);
    assert_eq!(receiver.blocking_changed_timeout(MS), Err(Elapsed));
    assert_eq!(receiver.blocking_wait_for_timeout(MS, |value| *value == 1), Err(Elapsed));
    sender.send(1);
    assert_eq!(receiver.blocking_changed_timeout(Duration::ZERO), Ok(Ok(())));
    let found = receiver.blocking_wait_for_timeout(Duration::ZERO, |value| *value == 1);
    assert_eq!(found, Ok(Ok(Arc::new(1))));
    run_limited(async move {
        let held = hold("another thread sends");
        let thread = thread::spawn(move || {
            thread::sleep(10 * MS);
            sender.send(2);
        });
        assert_eq!(timeout(HOUR, receiver.changed()).await, Ok(Ok(())));
        drop(held);
        thread.join().expect("no panic");
        assert_eq!(receiver.changed().await, Err(Closed(())));
    });
}

#[test]
#[should_panic(expected = "blocking_changed would stop the loop that runs on this thread: await")]
fn blocking_on_a_loops_own_thread_is_refused() {
    let (_sender, mut receiver) = watch::channel(0);
    let _ = run(async { receiver.blocking_changed() });
}

#[test]
fn both_ends_print_their_state() {
    let (sender, receiver) = watch::channel(1);
    sender.send(2);
    assert_eq!(
        format!("{sender:?} {receiver:?}"),
        "Sender { value: 2, receivers: 1 } Receiver { value: 2, unseen: true, closed: false }"
    );
}
