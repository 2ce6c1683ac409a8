//! Models of the ring and the wake slot, most of them through the channel that is made of both.
//! A wake that is lost shows as a deadlock, which loom reports.

use loom::future::block_on;
use loom::model::Builder;
use loom::sync::Arc;
use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::thread;

use crate::channel::{Closed, TrySendError, channel};
use crate::spsc::{Refusal, ring, wake_slot};

fn model(preemptions: usize, f: impl Fn() + Sync + Send + 'static) {
    let mut builder = Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.check(f);
}

#[test]
fn loom_messages_arrive_once_and_in_order_through_a_ring_that_wraps() {
    model(3, || {
        let (mut producer, mut consumer) = ring(2);
        let sender = thread::spawn(move || {
            let mut sent = 0;
            while sent < 3 {
                match producer.push(Box::new(sent)) {
                    Ok(()) => sent += 1,
                    Err(Refusal::Full(_)) => thread::yield_now(),
                    Err(Refusal::Gone(_)) => panic!("the consumer lives"),
                }
            }
        });
        let mut got = Vec::new();
        while got.len() < 3 {
            if consumer.drain(2, |message| got.push(*message)) == 0 {
                thread::yield_now();
            }
        }
        assert_eq!(got, [0, 1, 2]);
        sender.join().expect("no panic");
    });
}

#[test]
fn loom_a_batch_is_seen_whole_or_in_part_but_in_order() {
    model(3, || {
        let (mut producer, mut consumer) = ring(2);
        let sender = thread::spawn(move || {
            let mut messages = (0..3).map(Box::new);
            let first = producer.push_batch(&mut messages);
            assert_eq!(first, 2, "what does not fit is not taken");
            assert!(messages.len() >= 1);
        });
        let mut got = Vec::new();
        while !consumer.is_ended() {
            if consumer.drain(1, |message| got.push(*message)) == 0 {
                thread::yield_now();
            }
        }
        assert_eq!(got, [0, 1]);
        sender.join().expect("no panic");
    });
}

#[test]
fn loom_every_message_is_dropped_once_whoever_goes_first() {
    struct Counted(Arc<AtomicUsize>);
    impl Drop for Counted {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
    model(3, || {
        let drops = Arc::new(AtomicUsize::new(0));
        let (mut producer, mut consumer) = ring(2);
        let count = drops.clone();
        let sender = thread::spawn(move || {
            drop(producer.push(Counted(count.clone())));
            drop(producer.push(Counted(count)));
        });
        consumer.drain(1, drop);
        drop(consumer);
        sender.join().expect("no panic");
        assert_eq!(drops.load(Ordering::Relaxed), 2);
    });
}

#[test]
fn loom_neither_side_sleeps_through_the_other() {
    model(2, || {
        let (mut sender, mut receiver) = channel(1);
        let thread = thread::spawn(move || {
            block_on(async {
                for number in 0..2 {
                    sender.send(number).await.expect("somebody receives");
                }
            });
        });
        block_on(async {
            assert_eq!(receiver.recv().await, Some(0));
            assert_eq!(receiver.recv().await, Some(1));
            assert_eq!(receiver.recv().await, None);
        });
        thread.join().expect("no panic");
    });
}

#[test]
fn loom_a_receiver_that_goes_wakes_the_sender() {
    model(3, || {
        let (mut sender, receiver) = channel(1);
        let thread = thread::spawn(move || drop(receiver));
        let ended = block_on(async {
            loop {
                if let Err(Closed(number)) = sender.send(7).await {
                    return number;
                }
            }
        });
        assert_eq!(ended, 7);
        thread.join().expect("no panic");
    });
}

#[test]
fn loom_the_last_message_comes_before_the_end() {
    model(3, || {
        let (mut sender, mut receiver) = channel(2);
        let thread = thread::spawn(move || sender.try_send(1).expect("there is room"));
        let got = block_on(async {
            let first = receiver.recv().await;
            (first, receiver.recv().await)
        });
        assert_eq!(got, (Some(1), None));
        thread.join().expect("no panic");
    });
}

#[test]
fn loom_two_ringers_wake_one_sleeper() {
    model(2, || {
        // As in the mesh: two rings, one place to sleep.
        let (mut sleeper, ringer) = wake_slot();
        let (mut ends, mut threads) = (Vec::new(), Vec::new());
        for number in 0..2 {
            let (mut producer, consumer) = ring(1);
            let ringer = ringer.clone();
            ends.push(consumer);
            threads.push(thread::spawn(move || {
                assert!(producer.push(number).is_ok());
                ringer.ring();
            }));
        }
        let mut got = Vec::new();
        block_on(std::future::poll_fn(|cx| {
            use std::task::Poll;
            for ring in &mut ends {
                ring.drain(1, |number| got.push(number));
            }
            if got.len() == 2 {
                return Poll::Ready(());
            }
            if sleeper.arm(cx.waker()) && ends.iter_mut().any(|ring| !ring.is_empty()) {
                sleeper.disarm();
                cx.waker().wake_by_ref();
            }
            Poll::Pending
        }));
        got.sort();
        assert_eq!(got, [0, 1]);
        threads.into_iter().for_each(|thread| thread.join().expect("no panic"));
    });
}

#[test]
fn loom_a_full_channel_refuses_and_gives_the_message_back() {
    model(3, || {
        let (mut sender, mut receiver) = channel(1);
        let thread = thread::spawn(move || {
            let mut refused = 0;
            for number in [1, 2] {
                match sender.try_send(number) {
                    Ok(()) => {}
                    Err(TrySendError::Full(back)) => {
                        assert_eq!(back, number);
                        refused += 1;
                    }
                    Err(TrySendError::Closed(_)) => panic!("the receiver lives"),
                }
            }
            refused
        });
        let mut got = 0;
        while block_on(receiver.recv()).is_some() {
            got += 1;
        }
        assert_eq!(got + thread.join().expect("no panic"), 2);
    });
}
