//! `channel::broadcast`: everybody gets everything, the slow are told what they missed, items are
//! given up when all have them.

use std::cell::Cell;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use uring_loop::channel::broadcast::{self, Receiver, RecvError, TryRecvError};
use uring_loop::time::{Elapsed, timeout};
use uring_loop::{hold, run, spawn, yield_now};

use crate::support::run_limited;

const MS: Duration = Duration::from_millis(1);
const HOUR: Duration = Duration::from_secs(3600);

async fn numbers(mut receiver: Receiver<u32>) -> Vec<u32> {
    let mut numbers = Vec::new();
    loop {
        match receiver.recv().await {
            Ok(number) => numbers.push(number),
            Err(RecvError::Closed) => return numbers,
            Err(RecvError::Lagged(_)) => panic!("there was room for all"),
        }
    }
}

#[test]
fn loops_and_plain_threads_all_get_everything() {
    let (sender, first) = broadcast::channel(1000);
    let (second, mut third) = (sender.subscribe(), first.resubscribe());
    let a_loop = thread::spawn(move || run(numbers(first)).expect("a ring"));
    let plain = thread::spawn(move || {
        (0..1000).map(|_| third.blocking_recv().expect("kept")).collect::<Vec<_>>()
    });
    let sends = thread::spawn(move || {
        (0..1000).for_each(|number| assert_eq!(sender.send(number), 3));
    });
    let expected: Vec<_> = (0..1000).collect();
    assert_eq!(run(numbers(second)).expect("a ring"), expected);
    sends.join().expect("no panic");
    assert_eq!(a_loop.join().expect("no panic"), expected);
    assert_eq!(plain.join().expect("no panic"), expected);
}

#[test]
fn a_slow_receiver_is_told_what_it_missed_and_goes_on() {
    let (sender, mut slow) = broadcast::channel(3);
    let mut quick = sender.subscribe();
    for number in 0..8 {
        assert_eq!(sender.send(number), 2);
        assert_eq!(quick.try_recv(), Ok(number));
    }
    assert_eq!((slow.len(), quick.len(), sender.len()), (3, 0, 3));
    assert_eq!(slow.try_recv(), Err(TryRecvError::Lagged(5)));
    drop(sender);
    assert_eq!((slow.try_recv(), slow.try_recv()), (Ok(5), Ok(6)));
    assert!(slow.is_closed() && !slow.is_empty());
    assert_eq!(slow.try_recv(), Ok(7));
    assert_eq!(slow.try_recv(), Err(TryRecvError::Closed));
    assert_eq!(quick.try_recv(), Err(TryRecvError::Closed));
}

#[test]
fn one_who_subscribes_gets_what_is_sent_from_then_on() {
    let (sender, mut receiver) = broadcast::channel(3);
    sender.send(1);
    let mut late = sender.subscribe();
    sender.send(2);
    assert_eq!((late.try_recv(), late.try_recv()), (Ok(2), Err(TryRecvError::Empty)));
    assert_eq!((receiver.try_recv(), receiver.try_recv()), (Ok(1), Ok(2)));
    drop((receiver, late));
    assert_eq!(sender.send(3), 0, "nobody is there");
    let mut later = sender.subscribe();
    assert_eq!(later.try_recv(), Err(TryRecvError::Empty));
    assert_eq!(sender.send(4), 1);
    assert_eq!(later.try_recv(), Ok(4));
}

#[test]
fn all_who_wait_are_woken_by_an_item_and_by_the_end() {
    run_limited(async {
        let (sender, receiver) = broadcast::channel(1);
        let tasks: Vec<_> = (0..10)
            .map(|_| {
                let mut receiver = receiver.resubscribe();
                spawn(async move {
                    assert_eq!(receiver.recv().await, Ok('x'));
                    assert_eq!(receiver.recv().await, Err(RecvError::Closed));
                })
            })
            .collect();
        yield_now().await;
        assert_eq!(sender.send('x'), 11);
        yield_now().await;
        drop(sender);
        for task in tasks {
            task.await.expect("no panic");
        }
    });
}

/// Counts its clones.
#[derive(Debug)]
struct Counted(Arc<()>, Cloned);
type Cloned = Arc<std::sync::Mutex<u32>>;

impl Clone for Counted {
    fn clone(&self) -> Self {
        *self.1.lock().expect("no panic") += 1;
        Counted(self.0.clone(), self.1.clone())
    }
}

#[test]
fn an_item_is_given_up_when_the_last_has_received_it() {
    let (alive, cloned) = (Arc::new(()), Cloned::default());
    let (sender, mut one) = broadcast::channel(4);
    let mut two = sender.subscribe();
    let three = sender.subscribe();
    let kept = || (Arc::strong_count(&alive) - 1, *cloned.lock().expect("no panic"));
    let item = || Counted(alive.clone(), cloned.clone());
    sender.send(item());
    sender.send(item());
    drop(one.try_recv().expect("kept"));
    assert_eq!(kept(), (2, 1));
    drop(three); // it was to receive both
    assert_eq!(kept(), (2, 1));
    drop(two.try_recv().expect("kept"));
    assert_eq!(kept(), (1, 1), "the last one gets the item itself");
    drop(two);
    assert_eq!(kept(), (1, 1));
    drop(one.try_recv().expect("kept"));
    assert_eq!((kept(), sender.is_empty()), ((0, 1), true));
    // Makes room, goes with nobody to receive it, goes with the last receiver.
    (0..6).for_each(|_| assert_eq!(sender.send(item()), 1));
    assert_eq!((kept().0, sender.len()), (4, 4));
    drop(one);
    assert_eq!((kept().0, sender.len()), (0, 0));
    assert_eq!(sender.send(item()), 0);
    assert_eq!(kept().0, 0);
}

#[test]
fn limits_hold_on_the_loop_and_on_plain_threads() {
    let (sender, mut receiver) = broadcast::channel(1);
    assert_eq!(receiver.blocking_recv_timeout(MS), Err(Elapsed));
    sender.send(1);
    assert_eq!(receiver.blocking_recv_timeout(Duration::ZERO), Ok(Ok(1)));
    run_limited(async move {
        assert_eq!(timeout(HOUR, receiver.recv()).await, Err(Elapsed));
        let held = hold("another thread sends");
        let thread = thread::spawn(move || {
            thread::sleep(10 * MS);
            sender.send(2);
        });
        assert_eq!(timeout(HOUR, receiver.recv()).await, Ok(Ok(2)));
        drop(held);
        thread.join().expect("no panic");
        assert_eq!(receiver.recv().await, Err(RecvError::Closed));
    });
}

#[test]
fn a_receive_that_is_dropped_loses_nothing() {
    run_limited(async {
        let (sender, mut receiver) = broadcast::channel(8);
        let sends = spawn(async move {
            for number in 0..500u32 {
                sender.send(number);
                uring_loop::time::sleep(MS * (number % 3)).await;
            }
        });
        let given_up = Cell::new(0);
        let mut next = 0;
        while next < 500 {
            match timeout(MS, receiver.recv()).await {
                Ok(number) => {
                    assert_eq!(number, Ok(next));
                    next += 1;
                }
                Err(Elapsed) => given_up.set(given_up.get() + 1),
            }
        }
        assert!(given_up.get() > 50);
        sends.await.expect("no panic");
    });
}

#[test]
#[should_panic(expected = "blocking_recv would stop the loop that runs on this thread: await")]
fn blocking_on_a_loops_own_thread_is_refused() {
    let (_sender, mut receiver) = broadcast::channel::<()>(1);
    let _ = run(async { receiver.blocking_recv() });
}

#[test]
#[should_panic(expected = "give it a capacity of at least 1")]
fn a_channel_without_room_is_refused() {
    let _ = broadcast::channel::<()>(0);
}

#[test]
fn ends_and_errors_print_themselves() {
    let (sender, receiver) = broadcast::channel(2);
    sender.send(1);
    assert_eq!(
        format!("{sender:?} {receiver:?}"),
        "Sender { len: 1, capacity: 2, receivers: 1 } Receiver { len: 1, closed: false }"
    );
    assert_eq!(TryRecvError::Lagged(3).to_string(), "the receiver was too slow for 3 items");
}
