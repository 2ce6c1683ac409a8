//! The store of timers: arming and disarming beside many others, and firing.

use std::future::poll_fn;
use std::hint::black_box;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use uring_loop::time::{Sleep, sleep, timeout};

use crate::{Group, MANY, each, event_loop, run};

/// Far off, and apart from each other: timers that lie everywhere in the store.
fn far(number: u64) -> Duration {
    Duration::from_micros(60_000_000 + number * 7_919 % 3_600_000_000)
}

/// Polls a sleep once, which arms it.
fn arm(sleep: Pin<&mut Sleep>, cx: &mut Context<'_>) {
    assert!(sleep.poll(cx).is_pending(), "far off");
}

/// So many timers, armed, as long as they live.
async fn armed(count: u64) -> Vec<Pin<Box<Sleep>>> {
    let mut others: Vec<_> = (0..count).map(|number| Box::pin(sleep(far(number)))).collect();
    poll_fn(|cx| {
        others.iter_mut().for_each(|sleep| arm(sleep.as_mut(), cx));
        Poll::Ready(())
    })
    .await;
    others
}

pub(crate) fn all(group: &mut Group<'_>) {
    for others in [0, 1000, 100_000] {
        let name = format!("timers: arm and disarm one, {others} others armed");
        group.bench_function(&name, |bencher| {
            let mut event_loop = event_loop();
            bencher.iter_custom(|count| run(&mut event_loop, arm_and_disarm(count, others)));
        });
    }
    group.bench_function("timers: arm and fire, each of 1000 due at once", |bencher| {
        let mut event_loop = event_loop();
        bencher.iter_custom(|count| run(&mut event_loop, fire(count)));
    });
    group.bench_function("timers: timeout round a ready future", |bencher| {
        let mut event_loop = event_loop();
        bencher.iter_custom(|count| run(&mut event_loop, timeouts(count)));
    });
}

async fn arm_and_disarm(count: u64, others: u64) -> Duration {
    let others = armed(others).await;
    let took = poll_fn(|cx| {
        let begin = Instant::now();
        for number in 0..count {
            arm(pin!(sleep(far(number))), cx);
        }
        Poll::Ready(begin.elapsed())
    })
    .await;
    drop(others);
    took
}

async fn fire(batches: u64) -> Duration {
    let mut sleeps = Vec::with_capacity(MANY as usize);
    let begin = Instant::now();
    for _ in 0..batches {
        sleeps.extend((0..MANY).map(|_| Box::pin(sleep(Duration::ZERO))));
        poll_fn(|cx| {
            let armed = sleeps.iter_mut().all(|sleep| sleep.as_mut().poll(cx).is_pending());
            assert!(armed, "a sleep of no time waits for the next turn");
            Poll::Ready(())
        })
        .await;
        for sleep in sleeps.drain(..) {
            sleep.await;
        }
    }
    each(begin.elapsed())
}

async fn timeouts(count: u64) -> Duration {
    let begin = Instant::now();
    for number in 0..count {
        let ready = std::future::ready(number);
        black_box(timeout(Duration::from_secs(60), ready).await.expect("in time"));
    }
    begin.elapsed()
}
