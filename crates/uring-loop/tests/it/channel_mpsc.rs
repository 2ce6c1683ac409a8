//! `channel::mpsc`: between loops and plain threads, order, room and who gets it, ends from either
//! side, drops at every point, limits.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::thread;
use std::time::Duration;

use uring_loop::channel::mpsc::{Receiver, Sender, bounded, unbounded};
use uring_loop::channel::{Closed, SendTimeoutError, TryRecvError, TrySendError};
use uring_loop::time::{Elapsed, sleep, timeout};
use uring_loop::{hold, run, spawn, yield_now};

use crate::support::{poll_once, run_limited};

const MS: Duration = Duration::from_millis(1);
const HOUR: Duration = Duration::from_secs(3600);
const ITEMS: u32 = 2000;

async fn send_all(sender: Sender<u32>) {
    for item in 0..ITEMS {
        sender.send(item).await.expect("somebody receives");
    }
}

async fn receive_all(mut receiver: Receiver<u32>) {
    for item in 0..ITEMS {
        assert_eq!(receiver.recv().await, Some(item));
    }
    assert_eq!(receiver.recv().await, None);
}

#[test]
fn items_pass_from_loop_to_loop_in_order() {
    for capacity in [1, 7, 4096] {
        let (sender, receiver) = bounded(capacity);
        let thread = thread::spawn(move || run(send_all(sender)).expect("a ring"));
        run(receive_all(receiver)).expect("a ring");
        thread.join().expect("no panic");
    }
}

#[test]
fn a_plain_thread_sends_to_a_loop() {
    for (sender, receiver) in [bounded(3), unbounded()] {
        let thread = thread::spawn(move || {
            for item in 0..ITEMS {
                sender.blocking_send(item).expect("somebody receives");
            }
        });
        run(receive_all(receiver)).expect("a ring");
        thread.join().expect("no panic");
    }
}

#[test]
fn a_loop_sends_to_a_plain_thread() {
    for (sender, mut receiver) in [bounded(3), unbounded()] {
        let thread = thread::spawn(move || run(send_all(sender)).expect("a ring"));
        for item in 0..ITEMS {
            assert_eq!(receiver.blocking_recv(), Some(item));
        }
        assert_eq!(receiver.blocking_recv(), None);
        thread.join().expect("no panic");
    }
}

#[test]
fn items_of_each_of_many_senders_keep_their_order() {
    let (sender, mut receiver) = bounded(5);
    let threads: Vec<_> = (0..4)
        .map(|index| {
            let sender = sender.clone();
            thread::spawn(move || match index % 2 {
                0 => (0..500).for_each(|item| sender.blocking_send((index, item)).expect("open")),
                _ => run(async move {
                    for item in 0..500 {
                        sender.send((index, item)).await.expect("open");
                    }
                })
                .expect("a ring"),
            })
        })
        .collect();
    drop(sender);
    let mut next = BTreeMap::new();
    run(async {
        while let Some((index, item)) = receiver.recv().await {
            let next = next.entry(index).or_insert(0);
            assert_eq!(item, *next, "of sender {index}");
            *next += 1;
        }
    })
    .expect("a ring");
    assert_eq!(next.into_values().collect::<Vec<_>>(), [500; 4]);
    threads.into_iter().for_each(|thread| thread.join().expect("no panic"));
}

#[test]
fn waiting_senders_get_room_in_order_and_newcomers_none() {
    run_limited(async {
        let (sender, mut receiver) = bounded(1);
        sender.try_send(0).expect("there is room");
        let tasks: Vec<_> = (1..=5)
            .map(|item| {
                let sender = sender.clone();
                spawn(async move { sender.send(item).await })
            })
            .collect();
        yield_now().await;
        for item in 0..=5 {
            assert_eq!(receiver.try_recv(), Ok(item));
            if item < 5 {
                // The place is granted already, although its sender has not run.
                assert_eq!(sender.try_send(99), Err(TrySendError::Full(99)));
                assert!(sender.try_reserve().is_err_and(|error| error.is_full()));
            }
            yield_now().await;
        }
        sender.try_send(6).expect("nobody waits any more");
        for task in tasks {
            task.await.expect("no panic").expect("sent");
        }
    });
}

#[test]
fn a_granted_place_is_handed_on_by_a_sender_that_goes() {
    run_limited(async {
        let (sender, mut receiver) = bounded(1);
        sender.try_send(0).expect("there is room");
        let mut goes = Box::pin(sender.reserve());
        let mut stays = pin!(sender.send(1));
        assert!(poll_once(&mut goes).await.is_pending());
        assert!(poll_once(&mut stays).await.is_pending());
        assert_eq!(receiver.try_recv(), Ok(0));
        assert!(poll_once(&mut stays).await.is_pending(), "it is not its turn");
        drop(goes);
        assert_eq!(poll_once(&mut stays).await, Poll::Ready(Ok(())));
        assert_eq!(receiver.try_recv(), Ok(1));
        // One that never got so far leaves the line, and the room stays free.
        sender.try_send(2).expect("there is room");
        let mut waits = Box::pin(sender.reserve());
        assert!(poll_once(&mut waits).await.is_pending());
        drop(waits);
        assert_eq!(receiver.try_recv(), Ok(2));
        sender.try_send(3).expect("there is room");
    });
}

#[test]
fn a_permit_keeps_room_and_gives_it_back() {
    let (sender, mut receiver) = bounded(2);
    let one = sender.try_reserve().expect("there is room");
    let two = sender.try_reserve().expect("there is room");
    assert_eq!(sender.try_send("x"), Err(TrySendError::Full("x")));
    drop(two);
    sender.try_send("first").expect("there is room again");
    assert_eq!(sender.try_send("x"), Err(TrySendError::Full("x")));
    one.send("second").expect("room was kept");
    assert_eq!((receiver.try_recv(), receiver.try_recv()), (Ok("first"), Ok("second")));
    assert_eq!(receiver.try_recv(), Err(TryRecvError::Empty));
}

#[test]
fn a_closed_channel_refuses_gives_back_and_is_drained() {
    run_limited(async {
        let (sender, mut receiver) = bounded(2);
        sender.try_send(1).expect("there is room");
        let permit = sender.reserve().await.expect("there is room");
        let waits = {
            let sender = sender.clone();
            spawn(async move { sender.send(3).await })
        };
        let told = {
            let sender = sender.clone();
            spawn(async move { sender.closed().await })
        };
        yield_now().await;
        assert!(!sender.is_closed() && !receiver.is_closed());
        receiver.close();
        assert!(sender.is_closed());
        assert!(!receiver.is_closed(), "a permit is out");
        assert_eq!(waits.await.expect("no panic"), Err(Closed(3)));
        told.await.expect("no panic");
        assert_eq!(sender.try_send(4), Err(TrySendError::Closed(4)));
        assert!(sender.reserve().await.is_err());
        assert_eq!(receiver.recv().await, Some(1));
        // The permit was given before the close, so the end waits for it.
        assert!(timeout(HOUR, receiver.recv()).await.is_err());
        permit.send(2).expect("the receiver is there");
        assert_eq!(receiver.recv().await, Some(2));
        assert_eq!(receiver.recv().await, None);
        assert!(receiver.is_closed());
    });
}

#[test]
fn the_end_of_an_unused_permit_ends_a_closed_channel() {
    run_limited(async {
        let (sender, mut receiver) = bounded::<u32>(1);
        let permit = sender.try_reserve().expect("there is room");
        receiver.close();
        let end = spawn(async move { receiver.recv().await });
        yield_now().await;
        assert!(!end.is_done());
        drop(permit);
        assert_eq!(end.await.expect("no panic"), None);
    });
}

#[test]
fn everything_comes_back_when_the_receiver_goes() {
    run_limited(async {
        let item = Arc::new(());
        let (sender, receiver) = bounded(2);
        sender.try_send(item.clone()).expect("there is room");
        let permit = sender.try_reserve().expect("there is room");
        let mut waits = pin!(sender.send(item.clone()));
        assert!(poll_once(&mut waits).await.is_pending());
        assert_eq!(Arc::strong_count(&item), 3);
        drop(receiver);
        assert_eq!(Arc::strong_count(&item), 2, "what was in the queue is dropped");
        assert!(matches!(poll_once(&mut waits).await, Poll::Ready(Err(Closed(_)))));
        assert!(permit.send(item.clone()).is_err());
        assert!(matches!(sender.try_send(item.clone()), Err(TrySendError::Closed(_))));
        assert_eq!(Arc::strong_count(&item), 1);
    });
}

#[test]
fn the_last_of_the_senders_ends_the_channel() {
    run_limited(async {
        let (sender, mut receiver) = unbounded();
        let other = sender.clone();
        assert!(sender.same_channel(&other));
        drop(sender);
        other.try_send(1).expect("somebody receives");
        assert_eq!(receiver.recv().await, Some(1));
        let end = spawn(async move { receiver.recv().await });
        yield_now().await;
        assert!(!end.is_done());
        drop(other);
        assert_eq!(end.await.expect("no panic"), None);
    });
}

#[test]
fn many_items_are_taken_at_once() {
    run_limited(async {
        let (sender, mut receiver) = bounded(4);
        (0..4).for_each(|item| sender.try_send(item).expect("there is room"));
        let waiting: Vec<_> = (4..7)
            .map(|item| {
                let sender = sender.clone();
                spawn(async move { sender.send(item).await.expect("open") })
            })
            .collect();
        yield_now().await;
        let mut items = vec![99];
        assert_eq!(receiver.recv_many(&mut items, 0).await, 0);
        assert_eq!(receiver.recv_many(&mut items, 2).await, 2);
        assert_eq!(items, [99, 0, 1]);
        yield_now().await; // two of the three had room
        assert_eq!((receiver.len(), sender.len()), (4, 4));
        assert_eq!(receiver.recv_many(&mut items, usize::MAX).await, 4);
        for task in waiting {
            task.await.expect("no panic");
        }
        drop(sender);
        assert_eq!(receiver.recv_many(&mut items, 9).await, 1);
        assert_eq!(items, [99, 0, 1, 2, 3, 4, 5, 6]);
        assert_eq!(receiver.recv_many(&mut items, 9).await, 0);
    });
}

/// The clock jumps only when no other thread is awaited.
#[test]
fn limits_of_the_loop_are_those_of_its_clock() {
    run_limited(async {
        let (sender, mut receiver) = bounded(1);
        assert_eq!(timeout(HOUR, receiver.recv()).await, Err(Elapsed));
        sender.send(1).await.expect("there is room");
        assert!(timeout(HOUR, sender.reserve()).await.is_err());
        assert_eq!(receiver.recv().await, Some(1));
        let held = hold("another thread sends");
        let thread = thread::spawn(move || {
            thread::sleep(20 * MS);
            sender.blocking_send(2).expect("there is room");
        });
        assert_eq!(timeout(HOUR, receiver.recv()).await, Ok(Some(2)));
        drop(held);
        thread.join().expect("no panic");
    });
}

#[test]
fn limits_of_a_plain_thread_give_everything_back() {
    let (sender, mut receiver) = bounded(1);
    assert_eq!(receiver.blocking_recv_timeout(MS), Err(Elapsed));
    assert_eq!(sender.blocking_send_timeout(1, Duration::MAX), Ok(()));
    assert_eq!(sender.blocking_send_timeout(2, MS), Err(SendTimeoutError::Elapsed(2)));
    assert_eq!(sender.blocking_send_timeout(2, MS).expect_err("full").into_inner(), 2);
    assert_eq!(receiver.blocking_recv_timeout(Duration::ZERO), Ok(Some(1)), "ready at once");
    assert_eq!(sender.blocking_send_timeout(3, Duration::ZERO), Ok(()), "nobody is in line");
    let mut items = Vec::new();
    assert_eq!(receiver.blocking_recv_many(&mut items, 5), 1);
    drop(receiver);
    assert_eq!(sender.blocking_send_timeout(4, MS), Err(SendTimeoutError::Closed(4)));
    assert_eq!(sender.blocking_send(4), Err(Closed(4)));
}

/// A receive is dropped in the turn in which its item comes, in each possible order.
#[test]
fn a_receive_that_is_dropped_loses_nothing() {
    run_limited(async {
        let (sender, mut receiver) = bounded(1);
        let task = spawn(async move {
            for item in 0..1000 {
                sender.send(item).await.expect("somebody receives");
                sleep(MS * (item % 3)).await;
            }
        });
        let mut items = Vec::new();
        let mut given_up = 0;
        while items.len() < 1000 {
            match timeout(MS, receiver.recv()).await {
                Ok(item) => items.push(item.expect("it sends on")),
                Err(Elapsed) => given_up += 1,
            }
        }
        assert_eq!(items, (0..1000).collect::<Vec<_>>());
        assert!(given_up > 100, "{given_up}");
        task.await.expect("no panic");
    });
}

#[test]
fn a_receiver_with_a_flood_of_items_lets_others_run() {
    run_limited(async {
        let (sender, mut receiver) = unbounded();
        (0..1000).for_each(|item| sender.try_send(item).expect("open"));
        let flood = spawn(async move {
            for _ in 0..1000 {
                receiver.recv().await.expect("it is there");
            }
        });
        yield_now().await;
        yield_now().await;
        assert!(!flood.is_done());
        assert!(sender.len() < 1000, "it has begun");
        flood.await.expect("no panic");
    });
}

#[test]
#[should_panic(expected = "blocking_recv would stop the loop that runs on this thread: await")]
fn blocking_on_a_loops_own_thread_is_refused() {
    let (sender, mut receiver) = unbounded();
    sender.try_send(1).expect("open");
    let _ = run(async { receiver.blocking_recv() });
}

#[test]
#[should_panic(expected = "give it a capacity of at least 1")]
fn a_channel_without_room_is_refused() {
    let _ = bounded::<()>(0);
}

#[test]
fn ends_and_errors_print_themselves() {
    let (sender, receiver) = bounded(3);
    sender.try_send("secret").expect("there is room");
    assert_eq!(
        format!("{sender:?} {receiver:?}"),
        "Sender { len: 1, capacity: 3, senders: 1, closed: false } \
         Receiver { len: 1, capacity: 3, senders: 1, closed: false }"
    );
    assert_eq!(sender.capacity(), Some(3));
    assert_eq!(unbounded::<()>().1.capacity(), None);
    drop(receiver);
    let error = sender.try_send("secret").expect_err("closed");
    assert_eq!(format!("{error} {error:?}"), "the channel is closed Closed(..)");
    let error = std::io::Error::from(Closed("secret"));
    assert_eq!(error.kind(), std::io::ErrorKind::BrokenPipe);
    assert_eq!(error.to_string(), "the channel is closed");
}
