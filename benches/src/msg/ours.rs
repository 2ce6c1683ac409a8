//! Ours: two shards, and the bounded channel of `shard` between them.
//!
//! The programs `msg_ours` (loops that sleep as soon as they have nothing to do, as the peers' do)
//! and `msg_ours_spin` (loops that look for work for a while first) differ in one option.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use shard::channel::channel;
use shard::{Ended, Shard, Shards};

use super::{BATCH, BATCHES_TAKEN, Cores, ROOM};

/// How long the loops of `msg_ours_spin` look before they sleep.
pub const SPIN: Duration = Duration::from_micros(50);

/// Runs `first` on a shard on one core and `second` on a shard on the other; returns what either
/// timed, whichever is not zero. The shards start together, and both serve calls until both are
/// through.
fn pair<A, B>(
    cores: Cores,
    spin: Duration,
    first: impl FnOnce(Shard) -> A + Send + 'static,
    second: impl FnOnce(Shard) -> B + Send + 'static,
) -> Duration
where
    A: Future<Output = Duration> + 'static,
    B: Future<Output = Duration> + 'static,
{
    // A service is cloned for every shard; each takes its own side.
    let sides = std::sync::Arc::new((Mutex::new(Some(first)), Mutex::new(Some(second))));
    let shards = Shards::builder()
        .cpus([cores.0, cores.1])
        .event_loop(move |options| options.spin(spin))
        .spawn(move |shard| async move {
            Ok(match shard.index() {
                0 => take(&sides.0)(shard).await,
                _ => take(&sides.1)(shard).await,
            })
        });
    let ends = shards.expect("two shards").join().expect("no side fails");
    ends.into_iter().filter_map(Ended::returned).max().unwrap_or_default()
}

fn take<T>(side: &Mutex<Option<T>>) -> T {
    side.lock().unwrap_or_else(PoisonError::into_inner).take().expect("one shard per side")
}

/// [`Peer::round_trip`](super::Peer::round_trip).
///
/// # Panics
///
/// When the shards cannot start, as on a core that is not there.
#[must_use]
pub fn round_trip(cores: Cores, spin: Duration, count: u64) -> Duration {
    let (mut ask, mut asked) = channel(ROOM);
    let (mut reply, mut replied) = channel(ROOM);
    let first = async move |_| {
        let begin = Instant::now();
        for number in 0..count {
            ask.send(number).await.expect("the other side listens");
            assert_eq!(replied.recv().await, Some(number));
        }
        begin.elapsed()
    };
    let second = async move |_| {
        while let Some(number) = asked.recv().await {
            reply.send(number).await.expect("the other side listens");
        }
        Duration::ZERO
    };
    pair(cores, spin, first, second)
}

/// [`Peer::one_way`](super::Peer::one_way).
///
/// # Panics
///
/// As [`round_trip`].
#[must_use]
pub fn one_way(cores: Cores, spin: Duration, count: u64) -> Duration {
    let (mut send, mut receive) = channel(ROOM);
    let first = async move |_| {
        for number in 0..count {
            send.send(number).await.expect("the other side listens");
        }
        Duration::ZERO
    };
    let second = async move |_| {
        let begin = Instant::now();
        for number in 0..count {
            assert_eq!(receive.recv().await, Some(number));
        }
        begin.elapsed()
    };
    pair(cores, spin, first, second)
}

/// [`Peer::batched`](super::Peer::batched).
///
/// # Panics
///
/// As [`round_trip`].
#[must_use]
pub fn batched(cores: Cores, spin: Duration, count: u64) -> Duration {
    let (mut send, mut receive) = channel(ROOM);
    let first = async move |_| {
        let mut numbers = 0..count;
        while !numbers.is_empty() {
            let some = numbers.by_ref().take(BATCH);
            send.send_batch(some).await.expect("the other side listens");
        }
        Duration::ZERO
    };
    let second = async move |_| {
        let begin = Instant::now();
        let (mut taken, mut numbers) = (Vec::with_capacity(BATCHES_TAKEN * BATCH), 0..count);
        while receive.recv_batch(&mut taken, BATCHES_TAKEN * BATCH).await > 0 {
            taken.drain(..).for_each(|number| assert_eq!(Some(number), numbers.next()));
        }
        assert!(numbers.is_empty(), "{numbers:?} never came");
        begin.elapsed()
    };
    pair(cores, spin, first, second)
}

/// [`Peer::call`](super::Peer::call).
///
/// # Panics
///
/// As [`round_trip`].
#[must_use]
pub fn call(cores: Cores, spin: Duration, count: u64) -> Duration {
    let first = async move |shard: Shard| {
        let begin = Instant::now();
        for number in 0..count {
            let answer = shard.submit_to(1, move || async move { number }).await;
            assert_eq!(answer, Ok(number));
        }
        begin.elapsed()
    };
    pair(cores, spin, first, async |_| Duration::ZERO)
}
