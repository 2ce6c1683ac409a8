//! Peer: tokio's bounded mpsc between two current_thread runtimes.

use std::time::{Duration, Instant};

use benches::msg::{self, Cores, Peer, ROOM};
use tokio::sync::mpsc::channel;

fn main() -> anyhow::Result<()> {
    msg::main(Peer { round_trip, one_way: Some(one_way) })
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
