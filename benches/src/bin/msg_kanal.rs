//! Peer: kanal's bounded channel, awaited on two of tokio's current_thread runtimes.

use benches::msg::channel::{self, Channel};
use benches::msg::{self, ROOM};

struct Kanal;

impl Channel for Kanal {
    type Sender = kanal::AsyncSender<u64>;
    type Receiver = kanal::AsyncReceiver<u64>;

    fn bounded() -> (Self::Sender, Self::Receiver) {
        kanal::bounded_async(ROOM)
    }

    async fn send(sender: &mut Self::Sender, number: u64) {
        sender.send(number).await.expect("the other side listens");
    }

    async fn receive(receiver: &mut Self::Receiver) -> Option<u64> {
        receiver.recv().await.ok()
    }

    fn run<T>(side: impl Future<Output = T>) -> T {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("a tokio runtime").block_on(side)
    }
}

fn main() -> anyhow::Result<()> {
    msg::main(channel::peer::<Kanal>())
}
