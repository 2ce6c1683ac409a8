//! `submit_to`: results, errors, panics, limits, floods.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::future::pending;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use shard::{CallError, Ended, Shard, Shards};
use uring_loop::catch_cancel;
use uring_loop::time::{sleep, timeout};
use uring_loop::yield_now;

use crate::{guarded, seats};

/// Runs a service on `count` shards to its end.
fn run<F, T>(count: usize, service: impl FnOnce(Shard) -> F + Clone + Send + 'static) -> Vec<T>
where
    F: Future<Output = io::Result<T>> + 'static,
    T: Send + 'static,
{
    guarded(move || {
        let shards = Shards::builder().cpus(seats(count)).spawn(service).expect("shards start");
        let ends = shards.join().expect("nothing fails");
        ends.into_iter().filter_map(Ended::returned).collect()
    })
}

#[test]
fn a_call_runs_on_the_shard_it_is_sent_to() {
    let places = run(3, |shard| async move {
        let mut places = Vec::new();
        for target in 0..shard.count() {
            places.push(shard.submit_to(target, || async { Shard::current().index() }).await?);
        }
        Ok(places)
    });
    assert_eq!(places, vec![vec![0, 1, 2]; 3]);
}

#[test]
fn the_future_of_a_call_need_not_be_send_and_may_wait() {
    let answers = run(2, |shard| async move {
        let other = 1 - shard.index();
        let words = vec!["a".to_string(), "b".to_string()];
        let answer = shard.submit_to(other, move || {
            let shared = Rc::new(RefCell::new(words));
            async move {
                sleep(Duration::from_millis(1)).await;
                shared.borrow_mut().push("c".into());
                shared.take().concat()
            }
        });
        Ok(answer.await?)
    });
    assert_eq!(answers, ["abc", "abc"]);
}

thread_local! {
    static STORE: RefCell<HashMap<u64, u64>> = RefCell::default();
}

/// Keys belong to shards; every shard adds to every key, without a lock.
#[test]
fn state_of_a_shard_is_reached_by_calls_and_needs_no_lock() {
    let sums = run(3, |shard| async move {
        let count = shard.count();
        for key in 0..300_u64 {
            let add = move || async move {
                STORE.with_borrow_mut(|store| *store.entry(key).or_default() += key);
            };
            shard.submit_to(key as usize % count, add).await?;
        }
        // All have added when all have come here.
        let barrier = || async { STORE.with_borrow(HashMap::len) };
        for other in 0..count {
            while shard.submit_to(other, barrier).await? < 100 {
                yield_now().await;
            }
        }
        Ok(())
    });
    assert_eq!(sums.len(), 3);
}

#[test]
fn an_error_of_the_call_is_its_result() {
    let kinds = run(2, |shard| async move {
        let failing = || async { Err::<(), _>(io::Error::from(io::ErrorKind::NotFound)) };
        let inner = shard.submit_to(1 - shard.index(), failing).await?;
        Ok(inner.expect_err("it fails").kind())
    });
    assert_eq!(kinds, [io::ErrorKind::NotFound; 2]);
}

#[test]
fn panics_of_the_closure_and_of_the_future_come_back_as_errors() {
    run(2, |shard| async move {
        // The own shard is no exception.
        for target in [0, 1] {
            let panicked =
                |message: &str| CallError::Panicked { shard: target, message: message.into() };
            #[expect(unreachable_code)]
            let closure = shard.submit_to(target, || {
                panic!("in the closure");
                async {}
            });
            assert_eq!(closure.await, Err(panicked("in the closure")));
            let late = shard.submit_to(target, || async {
                yield_now().await;
                assert!(Shard::current().count() > 2, "in the future");
            });
            assert_eq!(late.await, Err(panicked("in the future")));
            // The shard goes on.
            assert_eq!(shard.submit_to(target, || async { 7 }).await, Ok(7));
        }
        Ok(())
    });
}

#[test]
fn a_shard_that_does_not_exist_is_a_programmers_error() {
    let failure = guarded(|| {
        let shards = Shards::builder()
            .cpus(seats(2))
            .spawn(|shard| async move { Ok(shard.submit_to(2, || async {}).await?) })
            .expect("shards start");
        shards.join().expect_err("there are shards 0 and 1")
    });
    assert!(
        failure.to_string().contains("submit_to(2): this group has only 2 shards"),
        "{failure}"
    );
}

#[test]
fn every_shard_floods_every_shard() {
    const CALLS: u64 = 5000;
    let sums = run(4, |shard| async move {
        let calls = (0..shard.count()).flat_map(|target| {
            let shard = shard.clone();
            (0..CALLS).map(move |number| shard.submit_to(target, move || async move { number }))
        });
        // All at once: far beyond the limit in every direction.
        let answers = join_all(calls).await;
        answers.into_iter().try_fold(0, |sum, answer| Ok(sum + answer?))
    });
    assert_eq!(sums, [4 * CALLS * (CALLS - 1) / 2; 4]);
}

#[test]
fn a_flood_of_calls_that_wait_in_their_handlers_ends_too() {
    let done = run(3, |shard| async move {
        let calls = (0..shard.count()).flat_map(|target| {
            let shard = shard.clone();
            (0..600).map(move |number| {
                shard.submit_to(target, move || async move {
                    for _ in 0..number % 4 {
                        yield_now().await;
                    }
                })
            })
        });
        Ok(join_all(calls).await.into_iter().filter(Result::is_ok).count())
    });
    assert_eq!(done, [1800; 3]);
}

thread_local! {
    static RUNNING: Cell<usize> = const { Cell::new(0) };
    static MOST: Cell<usize> = const { Cell::new(0) };
}

#[test]
fn no_more_calls_are_under_way_than_the_limit_says() {
    let most = guarded(|| {
        let shards = Shards::builder()
            .cpus(seats(2))
            .calls(5)
            .spawn(|shard| async move {
                let other = 1 - shard.index();
                let calls = (0..100).map(|_| {
                    shard.submit_to(other, || async {
                        RUNNING.set(RUNNING.get() + 1);
                        MOST.set(MOST.get().max(RUNNING.get()));
                        yield_now().await;
                        RUNNING.set(RUNNING.get() - 1);
                    })
                });
                for answer in join_all(calls).await {
                    answer?;
                }
                Ok(shard.submit_to(other, || async { MOST.get() }).await?)
            })
            .expect("shards start");
        shards.join().expect("nothing fails")
    });
    for most in most {
        let most = most.returned().expect("it returned");
        assert!((1..=5).contains(&most), "{most} at a time");
    }
}

#[test]
fn a_caller_that_gives_up_leaves_the_limit_as_it_was() {
    let ends = guarded(|| {
        let open = Arc::new(AtomicBool::new(false));
        let shards = Shards::builder()
            .cpus(seats(2))
            .calls(1)
            .spawn(|shard| async move {
                if shard.index() == 1 {
                    return Ok(0);
                }
                let (gate, begun) = (open.clone(), Arc::new(AtomicBool::new(false)));
                let has_begun = begun.clone();
                let waits = || async move {
                    begun.store(true, Ordering::Relaxed);
                    while !gate.load(Ordering::Relaxed) {
                        // It is asked to end when its caller gives up, and does not.
                        let _ = catch_cancel(sleep(Duration::from_millis(1))).await;
                    }
                };
                let brief = Duration::from_millis(1);
                let call = uring_loop::spawn(shard.submit_to(1, waits));
                while !has_begun.load(Ordering::Relaxed) {
                    sleep(brief).await;
                }
                call.abort();
                // Given up in the line, without a turn: the first call has the only permit.
                assert!(timeout(brief, shard.submit_to(1, || async {})).await.is_err());
                open.store(true, Ordering::Relaxed);
                // It is back when the handler of the first is done.
                Ok(shard.submit_to(1, || async { 1 }).await?)
            })
            .expect("shards start");
        shards.join().expect("nothing fails")
    });
    assert_eq!(ends, [Ended::Returned(1), Ended::Returned(0)]);
}

#[test]
fn calls_from_within_calls_work() {
    let depths = run(3, |shard| async move {
        fn hop(left: usize) -> std::pin::Pin<Box<dyn Future<Output = usize>>> {
            Box::pin(async move {
                if left == 0 {
                    return 0;
                }
                let here = Shard::current();
                let next = (here.index() + 1) % here.count();
                1 + here.submit_to(next, move || hop(left - 1)).await.expect("it lives")
            })
        }
        let next = (shard.index() + 1) % shard.count();
        Ok(shard.submit_to(next, || hop(50)).await?)
    });
    assert_eq!(depths, [50; 3]);
}

/// A shard lives until all services have ended, so this is no race.
#[test]
fn a_shard_whose_service_has_returned_still_answers() {
    let answers = run(2, |shard| async move {
        if shard.index() == 1 {
            return Ok(0);
        }
        sleep(Duration::from_millis(20)).await;
        Ok(shard.submit_to(1, || async { 5 }).await?)
    });
    assert_eq!(answers, [5, 0]);
}

#[test]
fn calls_of_a_stopped_shard_fail_and_pending_ones_too() {
    let ends = guarded(|| {
        let shards = Shards::builder()
            .cpus(seats(2))
            .linger(false)
            .calls(2)
            .spawn(|shard| async move {
                if shard.index() == 1 {
                    // Until a call has begun here.
                    while RUNNING.get() == 0 {
                        yield_now().await;
                    }
                    return Ok(());
                }
                let stuck = (0..5).map(|_| {
                    shard.submit_to(1, || async {
                        RUNNING.set(RUNNING.get() + 1);
                        pending::<()>().await;
                    })
                });
                // Two under way, three in the line.
                for answer in join_all(stuck).await {
                    assert_eq!(answer, Err(CallError::Stopped { shard: 1 }));
                }
                let late = shard.submit_to(1, || async {}).await.expect_err("it is gone");
                assert_eq!(late.to_string(), "calling shard 1: it has stopped");
                assert_eq!(io::Error::from(late).kind(), io::ErrorKind::NotConnected);
                // The own shard lives.
                Ok(shard.submit_to(0, || async {}).await?)
            })
            .expect("shards start");
        shards.join().expect("nothing fails")
    });
    assert_eq!(ends, [Ended::Returned(()), Ended::Returned(())]);
}

/// A value whose drop panics, thrown away by the mesh, does not make the shard deaf.
#[test]
fn a_result_that_panics_when_dropped_does_not_deafen_its_shard() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("dropped");
        }
    }
    let ends = guarded(|| {
        let shards = Shards::builder()
            .cpus(seats(2))
            .spawn(|shard| async move {
                let other = 1 - shard.index();
                let slow = || async {
                    sleep(Duration::from_millis(5)).await;
                    Bomb
                };
                let given_up = timeout(Duration::from_millis(1), shard.submit_to(other, slow));
                match given_up.await {
                    // On a loaded machine it may have come in time.
                    Ok(answer) => std::mem::forget(answer),
                    Err(_) => sleep(Duration::from_millis(20)).await,
                }
                Ok(shard.submit_to(other, || async { 3 }).await?)
            })
            .expect("shards start");
        shards.join().expect("nothing fails")
    });
    assert_eq!(ends, [Ended::Returned(3), Ended::Returned(3)]);
}
