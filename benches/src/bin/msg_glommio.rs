//! Peer: glommio's shared channel between two executors.

use std::time::{Duration, Instant};

use benches::msg::{self, Cores, Peer, ROOM};
use glommio::LocalExecutorBuilder;
use glommio::channels::shared_channel::new_bounded;

fn main() -> anyhow::Result<()> {
    msg::main(Peer { one_way: Some(one_way), ..Peer::new(round_trip) })
}

fn run<T>(future: impl Future<Output = T>) -> T {
    // No placement: the thread is pinned already.
    LocalExecutorBuilder::default().make().expect("a glommio executor").run(future)
}

fn round_trip(cores: Cores, count: u64) -> Duration {
    let (ask, asked) = new_bounded(ROOM);
    let (reply, replied) = new_bounded(ROOM);
    let first = async move || {
        let (ask, replied) = (ask.connect().await, replied.connect().await);
        let begin = Instant::now();
        for number in 0..count {
            ask.send(number).await.expect("the other side listens");
            assert_eq!(replied.recv().await, Some(number));
        }
        begin.elapsed()
    };
    let second = async move || {
        let (asked, reply) = (asked.connect().await, reply.connect().await);
        while let Some(number) = asked.recv().await {
            reply.send(number).await.expect("the other side listens");
        }
        Duration::ZERO
    };
    msg::pair(cores, || run(first()), || run(second()))
}

fn one_way(cores: Cores, count: u64) -> Duration {
    let (send, receive) = new_bounded(ROOM);
    let first = async move || {
        let send = send.connect().await;
        for number in 0..count {
            send.send(number).await.expect("the other side listens");
        }
        Duration::ZERO
    };
    let second = async move || {
        let receive = receive.connect().await;
        let begin = Instant::now();
        for number in 0..count {
            assert_eq!(receive.recv().await, Some(number));
        }
        begin.elapsed()
    };
    msg::pair(cores, || run(first()), || run(second()))
}
