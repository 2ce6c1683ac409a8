//! Models of the `mpsc` channel. A wake that is lost is a deadlock, which loom reports.

use std::future::Future as _;
use std::pin::pin;
use std::task::{Context, Waker};

use loom::thread;

use super::{bounded, unbounded};
use crate::channel::model::model;
use crate::channel::{Closed, TryRecvError};

/// The receiver waits for each item, the sender for the second place.
#[test]
fn loom_an_item_is_never_slept_through() {
    model(|| {
        let (sender, mut receiver) = bounded(1);
        let thread = thread::spawn(move || {
            sender.blocking_send(1).expect("somebody receives");
            sender.blocking_send(2).expect("somebody receives");
        });
        assert_eq!(receiver.blocking_recv(), Some(1));
        assert_eq!(receiver.blocking_recv(), Some(2));
        assert_eq!(receiver.blocking_recv(), None);
        thread.join().expect("no panic");
    });
}

#[test]
fn loom_two_senders_share_one_place() {
    model(|| {
        let (sender, mut receiver) = bounded(1);
        let other = sender.clone();
        let one = thread::spawn(move || sender.blocking_send(1).expect("somebody receives"));
        let two = thread::spawn(move || other.blocking_send(2).expect("somebody receives"));
        let first = receiver.blocking_recv().expect("an item");
        let second = receiver.blocking_recv().expect("an item");
        assert_eq!(first + second, 3);
        assert_eq!(receiver.blocking_recv(), None);
        one.join().expect("no panic");
        two.join().expect("no panic");
    });
}

/// Sent, the item can be received, before the close or after it; refused, it is given back.
#[test]
fn loom_an_item_is_received_or_given_back() {
    model(|| {
        let (sender, mut receiver) = bounded(1);
        sender.try_send(0).expect("there is room");
        let thread = thread::spawn(move || sender.blocking_send(1));
        assert_eq!(receiver.try_recv(), Ok(0));
        receiver.close();
        let received = receiver.blocking_recv();
        match thread.join().expect("no panic") {
            Ok(()) => assert_eq!(received, Some(1)),
            Err(Closed(item)) => assert_eq!((item, received), (1, None)),
        }
        assert_eq!(receiver.try_recv(), Err(TryRecvError::Closed));
    });
}

/// One sender looks once and gives up, while a place comes free; the other waits behind it.
#[test]
fn loom_a_place_granted_to_one_who_gives_up_is_handed_on() {
    model(|| {
        let (sender, mut receiver) = bounded(1);
        sender.try_send(0).expect("there is room");
        let other = sender.clone();
        let gives_up = thread::spawn(move || {
            let mut reserve = pin!(sender.reserve());
            let _ = reserve.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        });
        let waits = thread::spawn(move || other.blocking_send(1).expect("somebody receives"));
        assert_eq!(receiver.try_recv(), Ok(0));
        assert_eq!(receiver.blocking_recv(), Some(1));
        gives_up.join().expect("no panic");
        waits.join().expect("no panic");
    });
}

/// The receiver has closed, and waits for what the permit will send, or for its end.
#[test]
fn loom_a_permit_outlives_the_close() {
    for send in [true, false] {
        model(move || {
            let (sender, mut receiver) = bounded(1);
            let (held, is_held) = crate::channel::oneshot::channel();
            let thread = thread::spawn(move || {
                let permit = sender.try_reserve().expect("there is room");
                held.send(()).expect("it waits");
                match send {
                    true => permit.send(1).expect("somebody receives"),
                    false => drop(permit),
                }
                // Not by the end of the sender, but by that of the permit.
                crate::channel::block::block_on("sender.closed", sender.closed());
                sender
            });
            is_held.blocking_recv().expect("a permit");
            receiver.close();
            assert_eq!(receiver.blocking_recv(), send.then_some(1));
            assert_eq!(receiver.blocking_recv(), None);
            drop(thread.join().expect("no panic"));
        });
    }
}

#[test]
fn loom_the_last_of_two_senders_ends_the_wait() {
    model(|| {
        let (sender, mut receiver) = unbounded::<u32>();
        let other = sender.clone();
        let one = thread::spawn(move || drop(sender));
        let two = thread::spawn(move || drop(other));
        assert_eq!(receiver.blocking_recv(), None);
        one.join().expect("no panic");
        two.join().expect("no panic");
    });
}
