//! Shards that panic and begin anew, and shards that are stuck.

use std::future::pending;
use std::io;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use shard::{Cause, Ended, Event, Restart, Shard, Shards};
use uring_loop::yield_now;

use crate::{guarded, seats};

fn quickly() -> Restart {
    Restart::new().pause(Duration::from_millis(1), Duration::from_millis(4))
}

const LONG: Duration = Duration::from_secs(100);

#[test]
fn a_shard_that_panics_begins_anew_without_its_tasks_and_states() {
    guarded(|| {
        let dropped = Arc::new(AtomicUsize::new(0));
        struct Task(Arc<AtomicUsize>);
        impl Drop for Task {
            fn drop(&mut self) {
                self.0.fetch_add(1, Ordering::Relaxed);
            }
        }
        let drops = dropped.clone();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let events = seen.clone();
        let shards = Shards::builder()
            .cpus(seats(2))
            .on_panic(quickly())
            .observe(move |event| events.lock().expect("no panic").push(event.clone()))
            .spawn(move |shard| async move {
                if shard.index() == 1 {
                    return Ok(0);
                }
                assert_eq!(shard.put(Rc::new(1)), None, "it begins without a state");
                let task = Task(drops);
                drop(uring_loop::spawn(async move {
                    let _task = task;
                    pending::<()>().await;
                }));
                yield_now().await;
                assert!(shard.incarnation() >= 2, "too early");
                Ok(shard.incarnation())
            })
            .expect("shards start");
        let ends = shards.join().expect("it is well in the end");
        assert_eq!(ends, [Ended::Returned(2), Ended::Returned(0)]);
        assert_eq!(dropped.load(Ordering::Relaxed), 3);
        let seen = seen.lock().expect("no panic");
        assert_eq!(seen.len(), 2, "{seen:?}");
        for event in &*seen {
            let Event::Restarting { shard: 0, message, .. } = event else { panic!("{event:?}") };
            assert!(message.contains("too early"), "{message}");
        }
    });
}

#[test]
fn a_shard_that_panics_again_and_again_ends_the_group_with_the_last_panic() {
    let failure = guarded(|| {
        let shards = Shards::builder()
            .cpus(seats(2))
            .on_panic(quickly().give_up(3, LONG))
            .spawn(|shard| async move {
                match shard.index() {
                    0 => panic!("death {}", shard.incarnation() + 1),
                    _ => pending::<io::Result<()>>().await,
                }
            })
            .expect("shards start");
        shards.join().expect_err("a crash loop")
    });
    assert_eq!(failure.shard(), 0);
    assert!(matches!(failure.cause(), Cause::Panicked(text) if text == "death 3"), "{failure}");
}

#[test]
fn calls_that_a_panicking_shard_was_at_fail_and_later_ones_reach_the_next_life() {
    guarded(|| {
        let shards = Shards::builder().cpus(seats(2)).calls(2).on_panic(quickly()).spawn(
            |shard| async move {
                shard.put(false);
                if shard.index() == 1 {
                    return match shard.incarnation() {
                        // The first life ends when it was called.
                        0 => {
                            while !shard.with(|called: &mut bool| *called) {
                                yield_now().await;
                            }
                            panic!("in the middle of a call")
                        }
                        life => Ok(life),
                    };
                }
                // Twice the limit: permits come back from calls that fail.
                let mut failed = 0;
                for _ in 0..2 {
                    let calls: Vec<_> = (0..2)
                        .map(|_| {
                            shard.submit_to(1, || async {
                                if Shard::current().incarnation() == 0 {
                                    Shard::current().with(|called: &mut bool| *called = true);
                                    pending::<()>().await;
                                }
                            })
                        })
                        .collect();
                    let ends = uring_loop::join(calls).await;
                    failed += ends.into_iter().filter(Result::is_err).count();
                }
                let life = shard.submit_to(1, || async { Shard::current().incarnation() }).await?;
                assert_eq!(life, 1);
                Ok(failed as u64)
            },
        );
        let ends = shards.expect("shards start").join().expect("it is well in the end");
        let Ended::Returned(failed) = ends[0] else { panic!("{ends:?}") };
        assert!(failed >= 1, "no call was hit");
        assert_eq!(ends[1], Ended::Returned(1));
    });
}

#[test]
fn a_request_to_end_in_the_pause_before_a_restart_ends_it() {
    guarded(|| {
        let (panicked, has_panicked) = channel();
        let shards = Shards::builder()
            .cpus(seats(1))
            .on_panic(Restart::new().pause(LONG * 100, LONG * 100))
            .observe(move |_| panicked.send(()).expect("the test waits"))
            .spawn(|_| async { if true { panic!("once") } else { Ok(()) } })
            .expect("shards start");
        has_panicked.recv().expect("it panics");
        assert_eq!(shards.shutdown(LONG).expect("no failure"), [Ended::Cancelled]);
    });
}

#[test]
fn a_shard_that_blocks_is_reported_as_stuck_and_again_when_it_goes_on() {
    guarded(|| {
        let (told, events) = channel();
        let told = Mutex::new(told);
        let (release, released) = channel::<()>();
        let released = Arc::new(Mutex::new(Some(released)));
        let shards = Shards::builder()
            .cpus(seats(2))
            .stuck(Some(Duration::from_millis(20)))
            .observe(move |event| {
                // After the test there is nobody to hear.
                let _ = told.lock().expect("no panic").send(event.clone());
            })
            .spawn(move |shard| async move {
                if shard.index() == 1 {
                    let released = released.lock().expect("no panic").take();
                    let _ = released.expect("it blocks once").recv();
                }
                pending::<io::Result<()>>().await
            })
            .expect("shards start");
        // A loaded machine may make the other one look stuck too.
        let of_1 = |event: &Event| matches!(event, Event::Stuck { shard: 1, .. });
        let stuck = events.iter().find(of_1).expect("it is told");
        assert!(stuck.to_string().contains("shard 1 is stuck"), "{stuck}");
        drop(release);
        let goes_on = |event: &Event| matches!(event, Event::Unstuck { shard: 1, .. });
        assert!(events.iter().any(|event| goes_on(&event)));
        shards.shutdown(LONG).expect("nothing fails");
    });
}
