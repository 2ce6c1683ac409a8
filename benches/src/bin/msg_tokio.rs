//! Peer: tokio's bounded mpsc between two current_thread runtimes; batches by `reserve_many` and
//! `recv_many`, calls by `Handle::spawn`.

use std::time::{Duration, Instant};

use benches::msg::{self, BATCH, BATCHES_TAKEN, Cores, Peer, ROOM};
use tokio::runtime::Handle;
use tokio::sync::{mpsc::channel, oneshot};

fn main() -> anyhow::Result<()> {
    let (one_way, batched, call) = (Some(one_way as _), Some(batched as _), Some(call as _));
    msg::main(Peer { round_trip, one_way, batched, call })
}

fn run<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a tokio runtime").block_on(future)
}

fn round_trip(cores: Cores, count: u64) -> Duration {
    let (ask, mut asked) = channel(ROOM);
    let (reply, mut replied) = channel(ROOM);
    let first = async move {
        let begin = Instant::now();
        for number in 0..count {
            ask.send(number).await.expect("the other side listens");
            assert_eq!(replied.recv().await, Some(number));
        }
        begin.elapsed()
    };
    let second = async move {
        while let Some(number) = asked.recv().await {
            reply.send(number).await.expect("the other side listens");
        }
        Duration::ZERO
    };
    msg::pair(cores, || run(first), || run(second))
}

fn one_way(cores: Cores, count: u64) -> Duration {
    let (send, mut receive) = channel(ROOM);
    let first = async move {
        for number in 0..count {
            send.send(number).await.expect("the other side listens");
        }
        Duration::ZERO
    };
    let second = async move {
        let begin = Instant::now();
        for number in 0..count {
            assert_eq!(receive.recv().await, Some(number));
        }
        begin.elapsed()
    };
    msg::pair(cores, || run(first), || run(second))
}

fn batched(cores: Cores, count: u64) -> Duration {
    let (send, mut receive) = channel(ROOM);
    let first = async move {
        let mut numbers = 0..count;
        while !numbers.is_empty() {
            let some = BATCH.min((numbers.end - numbers.start) as usize);
            let room = send.reserve_many(some).await.expect("the other side listens");
            room.zip(&mut numbers).for_each(|(place, number)| place.send(number));
        }
        Duration::ZERO
    };
    let second = async move {
        let begin = Instant::now();
        let (mut taken, mut numbers) = (Vec::with_capacity(BATCHES_TAKEN * BATCH), 0..count);
        while receive.recv_many(&mut taken, BATCHES_TAKEN * BATCH).await > 0 {
            taken.drain(..).for_each(|number| assert_eq!(Some(number), numbers.next()));
        }
        assert!(numbers.is_empty(), "{numbers:?} never came");
        begin.elapsed()
    };
    msg::pair(cores, || run(first), || run(second))
}

fn call(cores: Cores, count: u64) -> Duration {
    let (tell, told) = std::sync::mpsc::channel();
    let (end, ended) = oneshot::channel::<()>();
    let first = async move {
        let other: Handle = told.recv().expect("the other side starts");
        let begin = Instant::now();
        for number in 0..count {
            let answer = other.spawn(async move { number }).await;
            assert_eq!(answer.expect("no panic"), number);
        }
        drop(end);
        begin.elapsed()
    };
    let second = async move {
        tell.send(Handle::current()).expect("the first side waits");
        // Serves calls until the first side drops the other end.
        assert!(ended.await.is_err());
        Duration::ZERO
    };
    msg::pair(cores, || run(first), || run(second))
}
