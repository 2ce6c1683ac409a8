//! Peer: flume's bounded channel, awaited on two of tokio's current_thread runtimes.

use benches::msg::channel::{self, Channel};
use benches::msg::{self, ROOM};

struct Flume;

impl Channel for Flume {
    type Sender = flume::Sender<u64>;
    type Receiver = flume::Receiver<u64>;

    fn bounded() -> (Self::Sender, Self::Receiver) {
        flume::bounded(ROOM)
    }

    async fn send(sender: &mut Self::Sender, number: u64) {
        sender.send_async(number).await.expect("the other side listens");
    }

    async fn receive(receiver: &mut Self::Receiver) -> Option<u64> {
        receiver.recv_async().await.ok()
    }

    fn run<T>(side: impl Future<Output = T>) -> T {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("a tokio runtime").block_on(side)
    }
}

fn main() -> anyhow::Result<()> {
    msg::main(channel::peer::<Flume>())
}
