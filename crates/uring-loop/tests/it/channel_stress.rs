//! Channels under load, on several threads and loops at once: nothing is lost, nothing comes twice.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use futures_util::future::{Either, select};
use uring_loop::channel::{SendTimeoutError, broadcast, mpsc, oneshot, watch};
use uring_loop::time::{sleep, timeout};
use uring_loop::{run, spawn, yield_now};

const US: Duration = Duration::from_micros(1);
const EACH: u64 = 1500;

/// An item: who sent it and which of its items it is. All of them count the one `Arc`.
type Item = (u64, u64, Arc<()>);

/// Sends from a plain thread, in every way, and gives up now and then.
fn send_blocking(sender: &mpsc::Sender<Item>, me: u64, alive: &Arc<()>) {
    for number in 0..EACH {
        let mut item = (me, number, alive.clone());
        for attempt in 0.. {
            let sent = match (number + attempt) % 3 {
                0 => sender.try_send(item).map_err(|error| error.into_inner()),
                1 => sender.blocking_send(item).map_err(|error| error.0),
                _ => sender.blocking_send_timeout(item, 30 * US).map_err(|error| {
                    assert!(matches!(error, SendTimeoutError::Elapsed(_)));
                    error.into_inner()
                }),
            };
            match sent {
                Ok(()) => break,
                Err(back) => item = back,
            }
        }
    }
}

/// Sends from a loop, by permits that are given up now and then.
async fn send_awaiting(sender: mpsc::Sender<Item>, me: u64, alive: Arc<()>) {
    for number in 0..EACH {
        let first = select(Box::pin(sender.reserve()), Box::pin(yield_now())).await;
        let permit = match first {
            Either::Left((permit, _)) => permit,
            Either::Right(((), reserve)) => {
                // While it waits, or just when it was granted.
                drop(reserve);
                sender.reserve().await
            }
        };
        let sent = permit.expect("open").send((me, number, alive.clone()));
        sent.expect("somebody receives");
    }
}

/// Receives from a loop, one by one or many, and gives up now and then.
async fn receive(mut receiver: mpsc::Receiver<Item>) -> Vec<Item> {
    let mut items = Vec::new();
    loop {
        match items.len() % 4 {
            0 => {
                if receiver.recv_many(&mut items, 3).await == 0 {
                    return items;
                }
            }
            1 => match timeout(10 * US, receiver.recv()).await {
                Ok(None) => return items,
                Ok(Some(item)) => items.push(item),
                Err(_) => yield_now().await,
            },
            _ => match receiver.recv().await {
                None => return items,
                Some(item) => items.push(item),
            },
        }
    }
}

#[test]
fn no_item_is_lost_or_doubled_among_threads_and_loops() {
    for capacity in [1, 16] {
        let alive = Arc::new(());
        let (sender, receiver) = mpsc::bounded(capacity);
        let threads: Vec<_> = (0..4)
            .map(|me| {
                let (sender, alive) = (sender.clone(), alive.clone());
                thread::spawn(move || match me % 2 {
                    0 => send_blocking(&sender, me, &alive),
                    _ => run(send_awaiting(sender, me, alive)).expect("a ring"),
                })
            })
            .collect();
        drop(sender);
        let items = run(receive(receiver)).expect("a ring");
        threads.into_iter().for_each(|thread| thread.join().expect("no panic"));
        for me in 0..4 {
            let its = items.iter().filter(|item| item.0 == me).map(|item| item.1);
            assert!(its.eq(0..EACH), "items of sender {me}");
        }
        assert_eq!(Arc::strong_count(&alive) as u64, 4 * EACH + 1);
        drop(items);
        assert_eq!(Arc::strong_count(&alive), 1);
    }
}

/// The receiver goes in the middle: each item was received, came back, or went with the channel.
#[test]
fn a_receiver_that_goes_under_load_leaves_nothing_behind() {
    for _ in 0..30 {
        let alive = Arc::new(());
        let (sender, mut receiver) = mpsc::bounded(2);
        let threads: Vec<_> = (0..3u64)
            .map(|me| {
                let (sender, alive) = (sender.clone(), alive.clone());
                thread::spawn(move || {
                    if me == 0 {
                        return while sender.blocking_send(alive.clone()).is_ok() {};
                    }
                    run(async move {
                        let told = spawn({
                            let sender = sender.clone();
                            async move { sender.closed().await }
                        });
                        while let Ok(permit) = sender.reserve().await {
                            yield_now().await;
                            let _ = permit.send(alive.clone());
                        }
                        told.await.expect("no panic");
                    })
                    .expect("a ring");
                })
            })
            .collect();
        drop(sender);
        for _ in 0..50 {
            receiver.blocking_recv().expect("they send on");
        }
        drop(receiver);
        threads.into_iter().for_each(|thread| thread.join().expect("no panic"));
        assert_eq!(Arc::strong_count(&alive), 1);
    }
}

#[test]
fn every_broadcast_item_is_received_or_counted_as_missed() {
    let (sender, receiver) = broadcast::channel(64);
    let receive = |mut receiver: broadcast::Receiver<(u64, u64)>, slow: bool| async move {
        let (mut seen, mut next) = (0, [0, 0]);
        loop {
            match receiver.recv().await {
                Ok((me, number)) => {
                    assert!(number >= next[me as usize], "out of order, or twice");
                    next[me as usize] = number + 1;
                    seen += 1;
                    if slow && seen % 50 == 0 {
                        sleep(200 * US).await;
                    }
                }
                Err(broadcast::RecvError::Lagged(missed)) => seen += missed,
                Err(broadcast::RecvError::Closed) => return seen,
            }
        }
    };
    let other = receiver.resubscribe();
    let receivers = [
        thread::spawn(move || run(receive(receiver, true)).expect("a ring")),
        thread::spawn(move || run(receive(other, false)).expect("a ring")),
    ];
    let senders: Vec<_> = (0..2)
        .map(|me| {
            let sender = sender.clone();
            thread::spawn(move || {
                for number in 0..EACH {
                    sender.send((me, number));
                    if number % 100 == 0 {
                        thread::yield_now();
                        // Comes and goes, with what was kept for it.
                        drop(sender.subscribe());
                    }
                }
            })
        })
        .collect();
    senders.into_iter().for_each(|thread| thread.join().expect("no panic"));
    drop(sender);
    for receiver in receivers {
        assert_eq!(receiver.join().expect("no panic"), 2 * EACH);
    }
}

#[test]
fn the_last_of_many_watched_values_is_seen_by_all() {
    let (sender, receiver) = watch::channel(0);
    let watchers: Vec<_> = (0..3)
        .map(|index| {
            let mut receiver = receiver.clone();
            thread::spawn(move || {
                let mut last = 0;
                let mut look = |value: u64| {
                    assert!(value > last, "{value} behind {last}");
                    last = value;
                };
                match index {
                    0 => {
                        while receiver.blocking_changed().is_ok() {
                            look(*receiver.borrow_and_update());
                        }
                    }
                    _ => run(async {
                        while receiver.changed().await.is_ok() {
                            look(*receiver.borrow_and_update());
                        }
                    })
                    .expect("a ring"),
                }
                last
            })
        })
        .collect();
    let senders: Vec<_> = (0..2)
        .map(|_| {
            let sender = sender.clone();
            thread::spawn(move || (0..EACH).for_each(|_| sender.send_modify(|value| *value += 1)))
        })
        .collect();
    senders.into_iter().for_each(|thread| thread.join().expect("no panic"));
    drop(sender);
    for watcher in watchers {
        assert_eq!(watcher.join().expect("no panic"), 2 * EACH);
    }
}

/// Value, close and drop of both ends race.
#[test]
fn each_oneshot_value_is_received_or_given_back() {
    let alive = Arc::new(());
    let (sender, mut receiver) = mpsc::bounded(8);
    let mine = alive.clone();
    let thread = thread::spawn(move || {
        for round in 0..EACH {
            let (answer, question) = oneshot::channel::<Arc<()>>();
            sender.blocking_send((round, answer)).expect("it answers");
            let mut question = question;
            match round % 3 {
                0 => drop(question),
                1 => drop(question.blocking_recv_timeout(Duration::ZERO)),
                _ => drop(question.blocking_recv().expect("an answer")),
            }
        }
    });
    run(async move {
        while let Some((round, mut answer)) = receiver.recv().await {
            if round % 6 == 0 {
                answer.closed().await;
            }
            let _ = answer.send(mine.clone());
        }
    })
    .expect("a ring");
    thread.join().expect("no panic");
    assert_eq!(Arc::strong_count(&alive), 1);
}
