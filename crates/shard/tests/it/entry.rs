//! The way in for threads that are no shards.

use std::future::pending;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use shard::{CallError, Shard, Shards};
use uring_loop::yield_now;

use crate::{eventually, guarded, seats};

const LONG: Duration = Duration::from_secs(100);

fn idle(count: usize) -> Shards<()> {
    let shards = Shards::builder().cpus(seats(count));
    shards.spawn(|_| pending::<io::Result<()>>()).expect("shards start")
}

#[test]
fn several_threads_call_all_shards_within_the_limit() {
    guarded(|| {
        let shards = idle(2);
        let entry = shards.entry(3);
        let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let threads: Vec<_> = (0..8)
            .map(|_| {
                let (entry, now, most) = (entry.clone(), now.clone(), most.clone());
                thread::spawn(move || {
                    for _ in 0..50 {
                        let (now, most) = (now.clone(), most.clone());
                        let index = entry.call(1, move || async move {
                            most.fetch_max(
                                now.fetch_add(1, Ordering::Relaxed) + 1,
                                Ordering::Relaxed,
                            );
                            yield_now().await;
                            now.fetch_sub(1, Ordering::Relaxed);
                            Shard::current().index()
                        });
                        assert_eq!(index, Ok(1));
                    }
                })
            })
            .collect();
        threads.into_iter().for_each(|thread| thread.join().expect("no panic"));
        assert!((1..=3).contains(&most.load(Ordering::Relaxed)), "{most:?}");
        shards.shutdown(LONG).expect("nothing fails");
    });
}

#[test]
fn a_call_from_another_loop_may_be_dropped_and_is_cancelled_on_its_shard() {
    guarded(|| {
        let shards = idle(1);
        let entry = shards.entry(1);
        let alive = Arc::new(());
        let theirs = alive.clone();
        uring_loop::run(async {
            let mut call = Box::pin(entry.submit_to(0, || async move {
                let _theirs = theirs;
                pending::<()>().await;
            }));
            assert!(futures_util::poll!(&mut call).is_pending());
            drop(call);
            // The permit is free when the call has ended over there.
            assert_eq!(entry.submit_to(0, || async { 5 }).await, Ok(5));
        })
        .expect("a loop");
        eventually("the call is gone", || Arc::strong_count(&alive) == 1);
        shards.shutdown(LONG).expect("nothing fails");
    });
}

#[test]
fn a_panic_and_the_end_of_a_shard_come_back_as_errors() {
    guarded(|| {
        let shards = idle(1);
        let entry = shards.entry(2);
        let panicked = entry.call(0, || async { assert!(Shard::try_current().is_none(), "oh") });
        assert_eq!(panicked, Err(CallError::Panicked { shard: 0, message: "oh".into() }));
        let at_it = entry.clone();
        let waits = thread::spawn(move || at_it.call(0, pending::<()>));
        // It may be under way or not: both end.
        shards.shutdown(LONG).expect("nothing fails");
        assert_eq!(waits.join().expect("no panic"), Err(CallError::Stopped { shard: 0 }));
        assert_eq!(entry.call(0, || async {}), Err(CallError::Stopped { shard: 0 }));
    });
}

#[test]
fn blocking_a_shard_on_another_is_a_programmers_error() {
    let failure = guarded(|| {
        let (send, entry) = std::sync::mpsc::channel::<shard::Entry>();
        let entry = Arc::new(std::sync::Mutex::new(entry));
        let shards = Shards::builder().cpus(seats(2)).spawn(move |shard| async move {
            if shard.index() == 0 {
                let entry = entry.lock().expect("no panic").recv().expect("it comes");
                drop(entry.call(1, || async {}));
            }
            pending::<io::Result<()>>().await
        });
        let shards = shards.expect("shards start");
        send.send(shards.entry(1)).expect("it waits");
        shards.join().expect_err("it panics")
    });
    assert!(failure.to_string().contains("await Shard::submit_to"), "{failure}");
}
