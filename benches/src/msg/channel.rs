//! What is measured of a bounded channel that is awaited: the same for every such channel.

use std::time::{Duration, Instant};

use super::{Cores, Peer, pair};

/// A bounded channel of numbers, and the executor on which each of its sides runs.
pub trait Channel {
    /// The side that sends.
    type Sender: Send;
    /// The side that receives.
    type Receiver: Send;

    /// A channel with room for [`ROOM`](super::ROOM).
    fn bounded() -> (Self::Sender, Self::Receiver);

    /// Sends a number, and panics if nobody listens.
    fn send(sender: &mut Self::Sender, number: u64) -> impl Future<Output = ()>;

    /// Receives a number; `None` after the last.
    fn receive(receiver: &mut Self::Receiver) -> impl Future<Output = Option<u64>>;

    /// Runs a side to its end on this thread.
    fn run<T>(side: impl Future<Output = T>) -> T;
}

/// What all channels have: the round trip, and one way.
#[must_use]
pub fn peer<C: Channel>() -> Peer {
    Peer { one_way: Some(one_way::<C>), ..Peer::new(round_trip::<C>) }
}

fn round_trip<C: Channel>(cores: Cores, count: u64) -> Duration {
    let (mut ask, mut asked) = C::bounded();
    let (mut reply, mut replied) = C::bounded();
    let first = move || {
        C::run(async move {
            let begin = Instant::now();
            for number in 0..count {
                C::send(&mut ask, number).await;
                assert_eq!(C::receive(&mut replied).await, Some(number));
            }
            begin.elapsed()
        })
    };
    let second = move || {
        C::run(async move {
            while let Some(number) = C::receive(&mut asked).await {
                C::send(&mut reply, number).await;
            }
            Duration::ZERO
        })
    };
    pair(cores, first, second)
}

fn one_way<C: Channel>(cores: Cores, count: u64) -> Duration {
    let (mut send, mut receive) = C::bounded();
    let first = move || {
        C::run(async move {
            for number in 0..count {
                C::send(&mut send, number).await;
            }
            Duration::ZERO
        })
    };
    let second = move || {
        C::run(async move {
            let begin = Instant::now();
            for number in 0..count {
                assert_eq!(C::receive(&mut receive).await, Some(number));
            }
            begin.elapsed()
        })
    };
    pair(cores, first, second)
}
