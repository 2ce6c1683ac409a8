//! The end of a group: join, failures, shutdown, what is cleaned up and what is left.

use std::future::pending;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use shard::{Cause, Ended, Shards};
use uring_loop::time::sleep;
use uring_loop::{catch_cancel, yield_now};

use crate::{cpus, eventually, guarded, seats, threads};

const SOON: Duration = Duration::from_millis(50);
const LONG: Duration = Duration::from_secs(100);

/// Counts those who have come to a place.
#[derive(Clone, Default)]
struct Arrivals(Arc<AtomicUsize>);

impl Arrivals {
    fn one_more(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn count(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    fn wait_for(&self, count: usize) {
        eventually("all have arrived", || self.count() == count);
    }
}

#[test]
fn a_service_that_catches_the_request_cleans_up_and_returns() {
    guarded(|| {
        let waiting = Arrivals::default();
        let arrived = waiting.clone();
        let shards = Shards::builder()
            .cpus(seats(3))
            .name("clean")
            .spawn(move |shard| async move {
                arrived.one_more();
                let Err(_cancelled) = catch_cancel(pending::<std::convert::Infallible>()).await;
                // Cleaning up may wait, and may call others: they live until all have ended.
                sleep(Duration::from_millis(2)).await;
                let next = (shard.index() + 1) % 3;
                Ok(shard.submit_to(next, || async { "cleaned up" }).await?)
            })
            .expect("shards start");
        waiting.wait_for(3);
        let ends = shards.shutdown(LONG).expect("nothing fails");
        assert_eq!(ends, [Ended::Returned("cleaned up"); 3]);
        eventually("the threads are gone", || threads("clean") == 0);
    });
}

#[test]
fn a_service_that_catches_nothing_is_dropped_at_the_request() {
    guarded(|| {
        let waiting = Arrivals::default();
        let arrived = waiting.clone();
        let shards = Shards::builder()
            .cpus(seats(2))
            .spawn(move |_| async move {
                arrived.one_more();
                pending::<io::Result<()>>().await
            })
            .expect("shards start");
        waiting.wait_for(2);
        let ends = shards.shutdown(LONG).expect("to be cancelled is no failure");
        assert_eq!(ends, [Ended::Cancelled, Ended::Cancelled]);
    });
}

#[test]
fn a_request_handed_on_as_an_error_is_no_failure() {
    guarded(|| {
        let waiting = Arrivals::default();
        let arrived = waiting.clone();
        let shards = Shards::builder()
            .cpus(seats(1))
            .spawn(move |_| async move {
                arrived.one_more();
                catch_cancel(pending::<()>()).await?;
                Ok(())
            })
            .expect("shards start");
        waiting.wait_for(1);
        assert_eq!(shards.shutdown(LONG).expect("no failure"), [Ended::Cancelled]);
    });
}

#[test]
fn a_service_that_ignores_the_request_is_aborted_at_the_deadline() {
    struct Dropped(Arrivals);
    impl Drop for Dropped {
        fn drop(&mut self) {
            self.0.one_more();
        }
    }
    guarded(|| {
        let (waiting, dropped) = (Arrivals::default(), Arrivals::default());
        let (arrived, drops) = (waiting.clone(), dropped.clone());
        let shards = Shards::builder()
            .cpus(seats(2))
            .name("ignores")
            .spawn(move |_| async move {
                let _dropped = Dropped(drops);
                arrived.one_more();
                loop {
                    drop(catch_cancel(pending::<()>()).await);
                }
                #[expect(unreachable_code)]
                Ok(())
            })
            .expect("shards start");
        waiting.wait_for(2);
        let ends = shards.shutdown(SOON).expect("to be aborted is no failure");
        assert_eq!(ends, [Ended::Aborted, Ended::Aborted]);
        assert_eq!(dropped.count(), 2);
        eventually("the threads are gone", || threads("ignores") == 0);
    });
}

/// The other shard waits in a clean-up that would last for ever: a second request with a nearer
/// deadline counts, one with a later deadline does not.
#[test]
fn of_several_requests_the_nearest_deadline_counts() {
    guarded(|| {
        let waiting = Arrivals::default();
        let arrived = waiting.clone();
        let shards = Shards::builder()
            .cpus(seats(1))
            .spawn(move |_| async move {
                arrived.one_more();
                drop(catch_cancel(pending::<()>()).await);
                arrived.one_more();
                pending::<io::Result<()>>().await
            })
            .expect("shards start");
        waiting.wait_for(1);
        let stopper = shards.stopper();
        stopper.stop(LONG);
        waiting.wait_for(2);
        stopper.stop(SOON);
        stopper.stop(LONG);
        assert_eq!(shards.join().expect("no failure"), [Ended::Aborted]);
    });
}

#[test]
fn the_first_error_ends_the_group_and_is_reported_with_its_shard() {
    let failure = guarded(|| {
        let shards = Shards::builder()
            .cpus(seats(3))
            .spawn(|shard| async move {
                if shard.index() == 2 {
                    return Err(io::Error::new(io::ErrorKind::AddrInUse, "no port for me"));
                }
                // The others clean up, and one fails at that: too late to be the first.
                drop(catch_cancel(pending::<()>()).await);
                if shard.index() == 0 { Err(io::Error::other("second")) } else { Ok(()) }
            })
            .expect("shards start");
        shards.join().expect_err("shard 2 fails")
    });
    let cpu = seats(3)[2];
    assert_eq!((failure.shard(), failure.cpu()), (2, cpu));
    assert_eq!(failure.to_string(), format!("shard 2 on CPU {cpu} failed: no port for me"));
    assert_eq!(io::Error::from(failure).kind(), io::ErrorKind::AddrInUse);
}

#[test]
fn a_panic_ends_the_group_and_is_reported_with_its_shard() {
    let failure = guarded(|| {
        let shards = Shards::builder()
            .cpus(seats(2))
            .name("panics")
            .spawn(|shard| async move {
                if shard.index() == 1 {
                    yield_now().await;
                    panic!("what a shame: {}", 7);
                }
                pending::<io::Result<()>>().await
            })
            .expect("shards start");
        let failure = shards.join().expect_err("shard 1 panics");
        eventually("the threads are gone", || threads("panics") == 0);
        failure
    });
    assert_eq!(failure.shard(), 1);
    assert!(matches!(failure.cause(), Cause::Panicked(text) if text == "what a shame: 7"));
    assert!(failure.to_string().ends_with("panicked: what a shame: 7"), "{failure}");
}

#[test]
fn a_panic_of_the_closure_that_makes_the_service_is_the_services() {
    let failure = guarded(|| {
        let shards = Shards::builder()
            .cpus(seats(1))
            .spawn(|_| {
                assert!(cpus().is_empty(), "no service");
                async { Ok(()) }
            })
            .expect("shards start");
        shards.join().expect_err("it panics")
    });
    assert!(failure.to_string().contains("no service"), "{failure}");
}

#[test]
fn after_a_failure_a_service_that_stays_is_aborted_when_the_patience_is_over() {
    let failure = guarded(|| {
        let shards = Shards::builder()
            .cpus(seats(2))
            .patience(SOON)
            .spawn(|shard| async move {
                if shard.index() == 0 {
                    return Err(io::Error::other("I go"));
                }
                loop {
                    drop(catch_cancel(pending::<()>()).await);
                }
                #[expect(unreachable_code)]
                Ok(())
            })
            .expect("shards start");
        shards.join().expect_err("shard 0 fails")
    });
    assert_eq!(failure.shard(), 0);
}

#[test]
fn a_service_can_end_the_group() {
    guarded(|| {
        let shards = Shards::builder()
            .cpus(seats(3))
            .spawn(|shard| async move {
                if shard.index() == 1 {
                    shard.stop(LONG);
                    return Ok("said so");
                }
                pending().await
            })
            .expect("shards start");
        let ends = shards.join().expect("nothing fails");
        // One that asks before a service began keeps that from beginning.
        assert_eq!(ends, [Ended::Cancelled, Ended::Returned("said so"), Ended::Cancelled]);
    });
}

#[test]
fn dropping_the_group_ends_it() {
    guarded(|| {
        let shards = Shards::builder()
            .cpus(seats(2))
            .name("dropped")
            .spawn(|_| pending::<io::Result<()>>())
            .expect("shards start");
        assert_eq!(shards.count(), 2);
        drop(shards);
        eventually("the threads are gone", || threads("dropped") == 0);
    });
}

#[test]
fn tasks_that_a_service_left_behind_are_dropped_with_their_loop() {
    struct Dropped(Arrivals);
    impl Drop for Dropped {
        fn drop(&mut self) {
            self.0.one_more();
        }
    }
    let drops = Arrivals::default();
    let count = drops.clone();
    guarded(move || {
        let shards = Shards::builder()
            .cpus(seats(2))
            .spawn(move |shard| async move {
                let left_behind = Dropped(count);
                let other = 1 - shard.index();
                drop(uring_loop::spawn(async move {
                    let _left_behind = left_behind;
                    // In a call that never ends, of a shard that closes too.
                    shard.submit_to(other, pending::<()>).await
                }));
                yield_now().await;
                Ok(())
            })
            .expect("shards start");
        shards.join().expect("nothing fails");
    });
    assert_eq!(drops.count(), 2);
}

#[test]
fn groups_come_and_go_and_leave_nothing() {
    guarded(|| {
        for _ in 0..20 {
            let shards = Shards::builder()
                .cpus(seats(2))
                .name("cycle")
                .spawn(|shard| async move { Ok(shard.submit_to(0, || async { 1 }).await?) })
                .expect("shards start");
            shards.join().expect("nothing fails");
        }
        eventually("the threads are gone", || threads("cycle") == 0);
    });
}
