//! Peer: kanal's bounded channel, awaited on two of tokio's current_thread runtimes.

use std::time::{Duration, Instant};

use benches::msg::{self, Cores, Peer, ROOM};
use kanal::bounded_async;

fn main() -> anyhow::Result<()> {
    msg::main(Peer { one_way: Some(one_way), ..Peer::new(round_trip) })
}

fn run<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a tokio runtime").block_on(future)
}

fn round_trip(cores: Cores, count: u64) -> Duration {
    let (ask, asked) = bounded_async(ROOM);
    let (reply, replied) = bounded_async(ROOM);
    let first = async move {
        let begin = Instant::now();
        for number in 0..count {
            ask.send(number).await.expect("the other side listens");
            assert_eq!(replied.recv().await.ok(), Some(number));
        }
        begin.elapsed()
    };
    let second = async move {
        while let Ok(number) = asked.recv().await {
            reply.send(number).await.expect("the other side listens");
        }
        Duration::ZERO
    };
    msg::pair(cores, || run(first), || run(second))
}

fn one_way(cores: Cores, count: u64) -> Duration {
    let (send, receive) = bounded_async(ROOM);
    let first = async move {
        for number in 0..count {
            send.send(number).await.expect("the other side listens");
        }
        Duration::ZERO
    };
    let second = async move {
        let begin = Instant::now();
        for number in 0..count {
            assert_eq!(receive.recv().await.ok(), Some(number));
        }
        begin.elapsed()
    };
    msg::pair(cores, || run(first), || run(second))
}
