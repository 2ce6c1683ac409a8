//! Peer: tokio's bounded mpsc between two current_thread runtimes; batches by `reserve_many` and
//! `recv_many`, calls by `Handle::spawn`.

use std::time::{Duration, Instant};

use benches::msg::channel::{self, Channel};
use benches::msg::{self, BATCH, BATCHES_TAKEN, Cores, Peer, ROOM};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};

struct Tokio;

impl Channel for Tokio {
    type Sender = mpsc::Sender<u64>;
    type Receiver = mpsc::Receiver<u64>;

    fn bounded() -> (Self::Sender, Self::Receiver) {
        mpsc::channel(ROOM)
    }

    async fn send(sender: &mut Self::Sender, number: u64) {
        sender.send(number).await.expect("the other side listens");
    }

    async fn receive(receiver: &mut Self::Receiver) -> Option<u64> {
        receiver.recv().await
    }

    fn run<T>(side: impl Future<Output = T>) -> T {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("a tokio runtime").block_on(side)
    }
}

fn main() -> anyhow::Result<()> {
    let (batched, call) = (Some(batched as _), Some(call as _));
    msg::main(Peer { batched, call, ..channel::peer::<Tokio>() })
}

fn batched(cores: Cores, count: u64) -> Duration {
    let (send, mut receive) = Tokio::bounded();
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
    msg::pair(cores, || Tokio::run(first), || Tokio::run(second))
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
    msg::pair(cores, || Tokio::run(first), || Tokio::run(second))
}
