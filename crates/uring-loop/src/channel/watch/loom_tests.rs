//! Models of the `watch` channel. A wake that is lost is a deadlock, which loom reports.

use loom::thread;

use super::channel;
use crate::channel::Closed;
use crate::channel::block::block_on;
use crate::channel::model::model;

/// Versions come in order and at most once, and the last one before the end.
#[test]
fn loom_the_last_version_is_seen() {
    model(|| {
        let (sender, mut receiver) = channel(0);
        let thread = thread::spawn(move || {
            sender.send(1);
            sender.send(2);
        });
        let mut last = 0;
        while receiver.blocking_changed() == Ok(()) {
            let value = *receiver.borrow();
            assert!(value > last || last == 2, "{value} behind {last}");
            last = value;
        }
        assert_eq!(last, 2);
        thread.join().expect("no panic");
    });
}

#[test]
fn loom_what_two_senders_modify_adds_up() {
    model(|| {
        let (sender, mut receiver) = channel(0);
        let other = sender.clone();
        let thread = thread::spawn(move || other.send_modify(|value| *value += 1));
        sender.send_modify(|value| *value += 1);
        thread.join().expect("no panic");
        assert_eq!(*receiver.borrow_and_update(), 2);
        drop(sender);
        assert_eq!(receiver.blocking_changed(), Err(Closed(())));
    });
}

#[test]
fn loom_a_value_that_pleases_is_never_slept_through() {
    model(|| {
        let (sender, mut receiver) = channel(0);
        let thread = thread::spawn(move || {
            sender.send(1);
            sender.send(2);
            block_on("sender.closed", sender.closed());
        });
        assert_eq!(receiver.blocking_wait_for(|value| *value == 2).as_deref(), Ok(&2));
        drop(receiver);
        thread.join().expect("no panic");
    });
}
