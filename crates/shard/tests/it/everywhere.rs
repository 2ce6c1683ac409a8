//! What is done on all shards, instances on each, and cancels that travel.

use std::cell::Cell;
use std::future::pending;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use shard::{CallError, Shard, Sharded, Shards};
use uring_loop::time::timeout;
use uring_loop::{catch_cancel, yield_now};

use crate::{guarded, seats};

/// Runs on shard 0; the others only serve.
fn on_shard_0<F, T>(count: usize, main: impl FnOnce(Shard) -> F + Clone + Send + 'static) -> T
where
    F: Future<Output = T> + 'static,
    T: Send + 'static,
{
    guarded(move || {
        let shards = Shards::builder().cpus(seats(count)).calls(2).spawn(|shard| async move {
            Ok(if shard.index() == 0 { Some(main(shard).await) } else { None })
        });
        let ends = shards.expect("shards start").join().expect("nothing fails");
        let first = ends.into_iter().next().and_then(|end| end.returned());
        first.flatten().expect("shard 0 has a result")
    })
}

#[test]
fn a_closure_runs_on_every_shard_and_the_results_are_in_their_order() {
    let indices = on_shard_0(3, |shard| async move {
        shard.invoke_on_all(|| async { Shard::current().index() }).await
    });
    assert_eq!(indices, Ok(vec![0, 1, 2]));
}

#[test]
fn a_fold_over_all_shards_goes_in_their_order() {
    let text = on_shard_0(3, |shard| async move {
        let index = || async { Shard::current().index().to_string() };
        shard.map_reduce(index, String::new(), |text, index| text + &index).await
    });
    assert_eq!(text.as_deref(), Ok("012"));
}

#[test]
fn of_shards_that_panic_the_lowest_is_told_when_all_are_over() {
    let (error, ran) = on_shard_0(3, |shard| async move {
        let ran = Arc::new(AtomicUsize::new(0));
        let count = ran.clone();
        let all = shard.invoke_on_all(move || async move {
            count.fetch_add(1, Ordering::Relaxed);
            let index = Shard::current().index();
            assert!(index == 0, "not on {index}");
        });
        (all.await, ran.load(Ordering::Relaxed))
    });
    assert_eq!(ran, 3);
    let message = "not on 1".to_string();
    assert_eq!(error, Err(CallError::Panicked { shard: 1, message }));
}

#[test]
fn every_shard_gets_a_copy_of_what_is_broadcast() {
    let lengths = on_shard_0(3, |shard| async move {
        shard.broadcast(vec![1, 2], |value| drop(Shard::current().put(value))).await?;
        let length = || async { Shard::current().with(|value: &mut Vec<i32>| value.len()) };
        shard.invoke_on_all(length).await
    });
    assert_eq!(lengths, Ok(vec![2, 2, 2]));
}

#[test]
fn a_channel_brings_values_to_a_task_on_another_shard() {
    let sum = on_shard_0(2, |shard| async move {
        let mut sender = shard
            .channel_to(1, 4, |mut receiver| async move {
                Shard::current().put(0_u64);
                while let Some(number) = receiver.recv().await {
                    Shard::current().with(|sum: &mut u64| *sum += number);
                }
                Shard::current().put("done");
            })
            .await?;
        for number in 0..100 {
            sender.send(number).await.map_err(io::Error::other)?;
        }
        drop(sender);
        let sum = || async {
            let shard = Shard::current();
            let done = || shard.put(()).is_some() || shard.with(|sum: &mut u64| *sum == 4950);
            while !done() {
                yield_now().await;
            }
            shard.with(|sum: &mut u64| *sum)
        };
        shard.submit_to(1, sum).await.map_err(io::Error::from)
    });
    assert_eq!(sum.expect("it works"), 4950);
}

#[test]
fn instances_live_each_on_its_shard_and_need_not_be_send() {
    let (sums, gone) = on_shard_0(3, |shard| async move {
        let sharded = Sharded::start(&shard, |here| Rc::new(Cell::new(here.index()))).await?;
        sharded.with(|mine| mine.set(mine.get() + 100));
        sharded.invoke_on(&shard, 2, |far| far.set(far.get() + 10)).await?;
        let values = sharded.invoke_on_all(&shard, |one| one.get()).await?;
        let sum = sharded.map_reduce(&shard, |one| one.get(), 0, |sum, one| sum + one).await?;
        sharded.stop(&shard).await?;
        let gone = sharded.invoke_on(&shard, 1, |one| one.get()).await;
        Ok::<_, CallError>(((values, sum), gone))
    })
    .expect("the calls work");
    assert_eq!(sums, (vec![100, 1, 12], 113));
    assert_eq!(gone, Err(CallError::Stopped { shard: 1 }));
}

#[test]
fn when_an_instance_cannot_be_made_the_others_are_dropped() {
    let (error, left) = on_shard_0(3, |shard| async move {
        let alive = Arc::new(());
        let share = alive.clone();
        let made = Sharded::start(&shard, move |here| {
            assert!(here.index() < 2, "no room");
            share
        });
        let error = made.await.map(drop);
        (error, Arc::strong_count(&alive))
    });
    assert!(matches!(error, Err(CallError::Panicked { shard: 2, .. })), "{error:?}");
    assert_eq!(left, 1);
}

/// Waits over there for what happens to it.
async fn patient(fate: Arc<AtomicUsize>) {
    struct Dropped(Arc<AtomicUsize>);
    impl Drop for Dropped {
        fn drop(&mut self) {
            self.0.fetch_add(100, Ordering::Relaxed);
        }
    }
    let _dropped = Dropped(fate.clone());
    fate.fetch_add(1, Ordering::Relaxed);
    let Err(_cancelled) = catch_cancel(pending::<std::convert::Infallible>()).await;
    fate.fetch_add(10, Ordering::Relaxed);
}

#[test]
fn a_call_that_is_dropped_is_cancelled_over_there_and_on_the_own_shard() {
    for target in [0, 1] {
        on_shard_0(2, move |shard| async move {
            let fate = Arc::new(AtomicUsize::new(0));
            let theirs = fate.clone();
            let mut call = Box::pin(shard.submit_to(target, move || patient(theirs)));
            while fate.load(Ordering::Relaxed) == 0 {
                let limited = timeout(Duration::from_millis(1), &mut call).await;
                assert!(limited.is_err(), "nothing ends it");
            }
            drop(call);
            while fate.load(Ordering::Relaxed) != 111 {
                yield_now().await;
            }
        });
    }
}

/// Each gives its permit back, whatever it was at when it was dropped: the limit is 2.
#[test]
fn calls_dropped_at_any_point_give_their_permits_back() {
    on_shard_0(2, |shard| async move {
        for round in 0..500 {
            let mut call = Box::pin(shard.submit_to(1, move || async move {
                for _ in 0..round % 3 {
                    yield_now().await;
                }
            }));
            for _ in 0..round % 7 {
                if futures_util::poll!(&mut call).is_ready() {
                    break;
                }
                yield_now().await;
            }
            // Polled to its end, it must not be polled again; dropping it is fine at any point.
            drop(call);
        }
        for _ in 0..4 {
            assert_eq!(shard.submit_to(1, || async { 7 }).await, Ok(7));
        }
    });
}
