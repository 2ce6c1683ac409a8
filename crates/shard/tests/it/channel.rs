//! The typed channel between loops.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use shard::channel::{Closed, Receiver, Sender, TryRecvError, TrySendError, channel};
use uring_loop::time::{sleep, timeout};

use crate::guarded;

/// Runs both ends, each on a loop of its own, and gives what the receiver gives.
fn between<T, S, R, V>(
    capacity: usize,
    send: impl FnOnce(Sender<T>) -> S + Send + 'static,
    receive: impl FnOnce(Receiver<T>) -> R + Send + 'static,
) -> V
where
    T: Send + 'static,
    S: Future<Output = ()>,
    R: Future<Output = V>,
    V: Send + 'static,
{
    guarded(move || {
        let (sender, receiver) = channel(capacity);
        let sending = thread::spawn(move || uring_loop::run(async { send(sender).await }));
        let value = uring_loop::run(async { receive(receiver).await }).expect("a loop");
        sending.join().expect("no panic").expect("a loop");
        value
    })
}

async fn collect(mut receiver: Receiver<u32>) -> Vec<u32> {
    let mut all = Vec::new();
    while let Some(number) = receiver.recv().await {
        all.push(number);
    }
    all
}

#[test]
fn messages_arrive_in_order_through_channels_of_every_size() {
    for capacity in [1, 2, 3, 64, 1000] {
        let send = |mut sender: Sender<u32>| async move {
            for number in 0..10_000 {
                sender.send(number).await.expect("somebody receives");
            }
        };
        assert!(between(capacity, send, collect).into_iter().eq(0..10_000), "{capacity}");
    }
}

#[test]
fn batches_arrive_in_order_and_mixed_with_single_messages() {
    let send = |mut sender: Sender<u32>| async move {
        let mut numbers = 0..50_000;
        while let Some(number) = numbers.next() {
            sender.send(number).await.expect("somebody receives");
            sender.send_batch(numbers.by_ref().take(77)).await.expect("somebody receives");
        }
    };
    let receive = |mut receiver: Receiver<u32>| async move {
        let mut all = Vec::new();
        while receiver.recv_batch(&mut all, 100).await > 0 {
            if all.len() % 3 == 0 {
                all.extend(receiver.recv().await);
            }
        }
        all
    };
    assert!(between(32, send, receive).into_iter().eq(0..50_000));
}

#[test]
fn both_sides_may_sleep_in_turns() {
    let send = |mut sender: Sender<u32>| async move {
        for number in 0..40 {
            sender.send(number).await.expect("somebody receives");
            if number % 10 == 0 {
                sleep(Duration::from_millis(1)).await; // the receiver finds nothing
            }
        }
    };
    let receive = |mut receiver: Receiver<u32>| async move {
        let mut all = Vec::new();
        while let Some(number) = receiver.recv().await {
            all.push(number);
            if number % 7 == 0 {
                sleep(Duration::from_millis(1)).await; // the sender finds no room
            }
        }
        all
    };
    assert!(between(1, send, receive).into_iter().eq(0..40));
}

#[test]
fn a_full_channel_gives_the_message_back_and_has_room_after_a_receive() {
    let (mut sender, mut receiver) = channel(2);
    assert_eq!(receiver.try_recv(), Err(TryRecvError::Empty));
    assert_eq!(sender.try_send(1), Ok(()));
    assert_eq!(sender.try_send(2), Ok(()));
    assert_eq!(sender.try_send(3), Err(TrySendError::Full(3)));
    assert_eq!(receiver.try_recv(), Ok(1));
    assert_eq!(sender.try_send(3), Ok(()));
    drop(sender);
    assert_eq!(receiver.try_recv(), Ok(2));
    assert_eq!(receiver.try_recv(), Ok(3));
    assert_eq!(receiver.try_recv(), Err(TryRecvError::Closed));
}

#[test]
fn sending_to_nobody_gives_the_message_back() {
    let (mut sender, receiver) = channel(1);
    drop(receiver);
    assert!(sender.is_closed());
    assert_eq!(sender.try_send("a"), Err(TrySendError::Closed("a")));
    let ends = uring_loop::run(async move {
        (sender.send("b").await, sender.send_batch(["c"]).await, sender.ready().await)
    });
    assert_eq!(ends.expect("a loop"), (Err(Closed("b")), Err(Closed(())), Err(Closed(()))));
}

#[test]
fn a_batch_that_is_given_up_keeps_what_was_not_sent() {
    let (mut sender, mut receiver) = channel(4);
    let left = uring_loop::run(async move {
        let mut numbers = 0..10;
        let sending = timeout(Duration::from_millis(1), sender.send_batch(&mut numbers));
        assert!(sending.await.is_err(), "nobody receives");
        numbers
    });
    assert_eq!(left.expect("a loop"), 4..10);
    let got: Vec<_> = std::iter::from_fn(|| receiver.try_recv().ok()).collect();
    assert_eq!(got, [0, 1, 2, 3]);
}

#[test]
fn a_batch_that_just_fills_the_channel_does_not_wait() {
    let (mut sender, _receiver) = channel(4);
    let sent = uring_loop::run(async move { sender.send_batch(0..4).await });
    assert_eq!(sent.expect("a loop"), Ok(()));
}

#[test]
fn every_message_is_dropped_once_wherever_it_is() {
    let counted = Arc::new(());
    let (mut sender, mut receiver) = channel(8);
    for _ in 0..8 {
        sender.try_send(counted.clone()).expect("there is room");
    }
    let one = receiver.try_recv().expect("there is one"); // the others are taken over
    sender.try_send(counted.clone()).expect("there is room");
    assert_eq!(Arc::strong_count(&counted), 10);
    drop(receiver);
    assert_eq!(Arc::strong_count(&counted), 2);
    drop((one, sender));
    assert_eq!(Arc::strong_count(&counted), 1);
}

/// The receiver is always ready, and yet another task of its loop has its turn.
#[test]
fn a_busy_receiver_lets_other_tasks_run() {
    let (mut sender, mut receiver) = channel(2000);
    sender.try_send(0).expect("there is room");
    let others_turn = uring_loop::run(async move {
        let mut sent = 1;
        let task = uring_loop::spawn(async {});
        while !task.is_done() {
            receiver.recv().await.expect("there is one");
            sender.try_send(sent).expect("there is room");
            sent += 1;
        }
        sent
    });
    assert!(others_turn.expect("a loop") < 2000);
}
