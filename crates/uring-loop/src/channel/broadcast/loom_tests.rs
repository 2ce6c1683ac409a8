//! Models of the `broadcast` channel. A wake that is lost is a deadlock, which loom reports.

use loom::thread;

use super::{Receiver, RecvError, channel};
use crate::channel::model::model;

/// Receives to the end. Every item up to `count` comes in its turn or is among those missed.
fn drain(mut receiver: Receiver<u64>, count: u64) {
    let mut next = 0;
    loop {
        match receiver.blocking_recv() {
            Ok(item) => {
                assert_eq!(item, next);
                next += 1;
            }
            Err(RecvError::Lagged(missed)) => next += missed,
            Err(RecvError::Closed) => break,
        }
    }
    assert_eq!(next, count);
}

#[test]
fn loom_every_item_is_received_or_counted_as_missed() {
    model(|| {
        let (sender, receiver) = channel(1);
        let thread = thread::spawn(move || {
            assert_eq!(sender.send(0), 1);
            assert_eq!(sender.send(1), 1);
        });
        drain(receiver, 2);
        thread.join().expect("no panic");
    });
}

/// One receiver goes while items come and the other takes them: the counts of the items stay right.
#[test]
fn loom_what_a_receiver_leaves_is_given_up() {
    model(|| {
        let (sender, mut receiver) = channel(2);
        let mut leaves = sender.subscribe();
        let sends = sender.clone();
        let one = thread::spawn(move || {
            sends.send(0);
            sends.send(1);
        });
        let two = thread::spawn(move || {
            let _ = leaves.try_recv();
        });
        assert_eq!(receiver.blocking_recv(), Ok(0));
        assert_eq!(receiver.blocking_recv(), Ok(1));
        one.join().expect("no panic");
        two.join().expect("no panic");
        assert_eq!((sender.len(), sender.receiver_count()), (0, 1));
    });
}
